//! How the server answers who wants peers, by strategy. The lists of ours are made as `ranking/view.rs` and
//! `signaling/lists.rs` make them.

use rand::{RngExt, rngs::StdRng, seq::index};
use starling::domain::{
    CostMap, PeerId, Ranked, Reach, Score, Timestamp, costs,
    introductions::{Held, Introduced},
    selection::{self, CANDIDATES, Reservations, Terrain, Wish},
};

use super::{
    backend::{Backend, clock},
    exchange::Exchange,
    network::Network,
    population::Population,
    population::number,
    strategies::{Strategy, Without},
    viewers::{Client, DEGREE_MAX},
};

/// How many the oracle looks at.
const ORACLE_SEES: usize = 256;

/// Reserves for a caller, as `signaling/lists.rs` does on one node.
struct Reserving<'a> {
    introduced: &'a mut [Introduced],
    caller: PeerId,
    now: Timestamp,
    remembers: bool,
}

impl Reservations for Reserving<'_> {
    fn held(&self, target: PeerId, said: Timestamp) -> Held {
        let introduced = &self.introduced[number(target)];
        if self.remembers { introduced.held(self.caller, said, self.now, 1) } else { Held::default() }
    }

    fn reserve(&mut self, target: PeerId, insist: bool) -> bool {
        if !self.remembers {
            return true;
        }
        let is_held = self.introduced[number(target)].hold(self.caller, insist, self.now, 1);
        if is_held {
            self.introduced[number(self.caller)].given(target, self.now);
        }
        is_held
    }
}

/// Somebody wants peers.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Who.
    pub caller: u32,
    /// How many.
    pub want: usize,
    /// But not these.
    pub exclude: &'a [PeerId],
    /// When, in milliseconds.
    pub now: u32,
}

impl Backend<'_> {
    /// A list. `worth` is what only the oracle may ask: how good a link to somebody would be, at this moment, in truth.
    pub fn list(&mut self, ask: &Ask<'_>, worth: impl Fn(u32) -> f64, rng: &mut StdRng) -> Vec<u32> {
        self.hear(ask.caller, ask.now);
        if ask.want == 0 {
            return Vec::new();
        }
        match self.strategy {
            Strategy::Random => self.random(ask, rng),
            Strategy::TopK => self.top_k(ask),
            Strategy::Starling => self.starling(ask, rng),
            Strategy::Oracle => self.oracle(ask, worth, rng),
        }
    }

    /// Each as likely as any other.
    fn random(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::with_capacity(ask.want);
        for _ in 0..ask.want * 8 {
            if found.len() == ask.want || self.listed.is_empty() {
                break;
            }
            let at = rng.random_range(0..self.listed.len());
            let peer = self.listed[at];
            if !self.is_alive(peer, ask.now) {
                self.listed.swap_remove(at);
            } else if peer != ask.caller && !found.contains(&peer) && !ask.exclude.contains(&self.id(peer)) {
                found.push(peer);
            }
        }
        found
    }

    fn top_k(&self, ask: &Ask<'_>) -> Vec<u32> {
        // Until there is a copy, those who came first.
        let best = if self.best.is_empty() { &self.own } else { &self.best };
        let good = |peer: &&u32| {
            **peer != ask.caller
                && self.is_alive(**peer, ask.now)
                && self.population.viewers[**peer as usize].may_upload()
                && !ask.exclude.contains(&self.id(**peer))
        };
        best.iter().filter(good).take(ask.want).copied().collect()
    }

    fn starling(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Vec<u32> {
        let Ask { caller, want, exclude, now } = *ask;
        let viewer = &self.population.viewers[caller as usize];
        let seen = self.row_of(viewer, now).member;
        let wish = Wish {
            caller: viewer.id,
            at: seen.whereabouts(),
            nat: seen.nat,
            reach: self.reach(caller),
            playhead: seen.playhead,
            urgent: false,
            is_lonely: self.degree(caller) == 0,
            said: self.said(caller),
            want,
            exclude,
        };
        let mut candidates = self.sample(&wish, wish.sample(), now, rng);
        candidates.truncate(CANDIDATES);
        let costs = CostMap::default();
        let terrain = Terrain { costs: &costs, pairs: &self.pairs, slots: DEGREE_MAX, now: clock(now) };
        let remembers = self.without != Without::Reservations;
        let mut reservations =
            Reserving { introduced: &mut self.introduced, caller: viewer.id, now: clock(now), remembers };
        let wish = wish.within(DEGREE_MAX, reservations.held(viewer.id, wish.said));
        let drawn = selection::choose(candidates, &wish, &terrain, rng, &mut reservations);
        drawn.listed().map(|(ranked, _)| number(ranked.member.peer) as u32).collect()
    }

    /// Candidates from the copy, and who joined since: as `View::sample`.
    fn sample(&self, wish: &Wish<'_>, amount: usize, now: u32, rng: &mut StdRng) -> Vec<Ranked> {
        let costs = CostMap::default();
        let terrain = Terrain { costs: &costs, pairs: &self.pairs, slots: DEGREE_MAX, now: clock(now) };
        let may_be_listed = |row: &Ranked| {
            let peer = number(row.member.peer) as u32;
            self.is_alive(peer, now) && terrain.fits(wish, row)
        };
        let mut candidates = self
            .snapshot
            .sample(&wish.at, amount, rng, |row| !self.is_own[number(row.member.peer)] && may_be_listed(row));
        let fresh = index::sample(rng, self.own.len(), amount.min(self.own.len()));
        for at in fresh {
            let row = self.row(self.own[at], now);
            if row.score == Score::ZERO || !may_be_listed(&row) {
                continue;
            }
            if candidates.len() < amount {
                candidates.push(row);
            } else if rng.random_range(0..self.snapshot.offered() + self.own.len()) < self.own.len() {
                let at = rng.random_range(0..candidates.len());
                candidates[at] = row;
            }
        }
        candidates
    }

    fn oracle(&self, ask: &Ask<'_>, worth: impl Fn(u32) -> f64, rng: &mut StdRng) -> Vec<u32> {
        let Ask { caller, want, exclude, now } = *ask;
        let viewer = &self.population.viewers[caller as usize];
        let at = self.row_of(viewer, now).member.whereabouts();
        let wish = Wish {
            caller: viewer.id,
            at,
            nat: viewer.nat,
            reach: Reach::default(),
            playhead: None,
            urgent: false,
            is_lonely: true,
            said: clock(now),
            want,
            exclude,
        };
        let costs = CostMap::default();
        let mut worths: Vec<(f64, u32)> = self
            .sample(&wish, ORACLE_SEES, now, rng)
            .iter()
            .map(|row| {
                let peer = number(row.member.peer) as u32;
                let locality = costs::locality(costs.cost(&row.member.whereabouts(), &at));
                (worth(peer) * f64::from(locality), peer)
            })
            .filter(|(worth, _)| *worth > 0.0)
            .collect();
        worths.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        worths.into_iter().take(want).map(|(_, peer)| peer).collect()
    }
}

/// What only an oracle knows: how good a link to somebody would be at this moment.
pub fn worth(
    population: &Population,
    network: Network<'_>,
    clients: &[Client],
    exchange: &Exchange,
    caller: u32,
    target: u32,
) -> f64 {
    let [one, other] = [caller, target].map(|number| &population.viewers[number as usize]);
    let client = &clients[target as usize];
    if !client.is_here || !other.uploads() || !client.has_room() {
        return 0.0;
    }
    let free = (DEGREE_MAX - client.sessions.len()) as f64 / DEGREE_MAX as f64;
    network.chance(one, other).powi(2) * free * exchange.spare(other, target)
}
