//! One run, second by second: who leaves and comes, who asks and offers, what comes of attempts, what is exchanged, and
//! what the server hears of it.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use starling::domain::{Nat, PeerId};

use super::{
    Scenario,
    assumptions::{LOST, NOTICED_MS, OPENS_MS},
    backend::{Backend, INTERVAL_S},
    exchange::{Exchange, Scene},
    lists::{Ask, worth},
    network::Network,
    outcome::{End, Outcome},
    population::{Conduct, Population, Viewer},
    receipts::Lies,
    viewers::{Client, MOST_WANTED},
};

/// An offer without an answer is given up after this (`session.ts`).
const EXPIRES_MS: u32 = 8000;
/// And an answered one without a connection after this.
const CONNECTS_MS: u32 = 15_000;
/// When the server wants to be asked again: after a list as long as wanted, and after a shorter one.
const NEXT_MS: (u32, u32) = (15_000, 5_000);
/// Seconds between reports, with links and without.
const REPORTS_S: (u32, u32) = (10, 30);
/// Who was there for so long counts in samples of links, in seconds.
const SETTLED_S: u32 = 30;
/// Who was there for so long counts where a viewer is judged, in seconds.
const MINUTE_S: u32 = 60;

#[derive(Clone, Copy, Debug)]
struct Attempt {
    from: u32,
    to: u32,
    // What becomes of it, when both are still there then.
    end: End,
}

/// A run under way.
#[derive(Debug)]
pub struct World<'a> {
    scenario: Scenario,
    population: &'a Population,
    network: Network<'a>,
    backend: Backend<'a>,
    exchange: Exchange,
    clients: Vec<Client>,
    lies: BTreeMap<u32, Lies>,
    here: Vec<u32>,
    arrived: usize,
    leaving: Vec<Vec<u32>>,
    settling: Vec<Vec<Attempt>>,
    closing: Vec<Vec<(u32, u32)>>,
    introduced: Vec<u32>,
    in_first_second: Vec<u32>,
    in_first_minute: Vec<u32>,
    outcome: Outcome,
    rng: StdRng,
}

/// Runs one scenario to its end; `progress` is called after each simulated second.
pub fn run(scenario: Scenario, mut progress: impl FnMut()) -> Outcome {
    let population = Population::new(&scenario.shape);
    let mut world = World::new(scenario, &population);
    for second in 0..world.seconds() {
        world.step(second);
        progress();
    }
    world.finish()
}

impl<'a> World<'a> {
    /// Before anybody comes.
    pub fn new(scenario: Scenario, population: &'a Population) -> Self {
        let (all, seconds) = (population.viewers.len(), (scenario.shape.minutes * 60) as usize);
        let outcome = Outcome {
            http_by_second: vec![0.0; seconds],
            viewers_by_second: vec![0; seconds],
            most_introduced: vec![0; seconds],
            ..Outcome::default()
        };
        Self {
            scenario,
            population,
            network: Network::new(population, scenario.shape.seed),
            backend: Backend::new(population, scenario.strategy, scenario.without),
            exchange: Exchange::new(population),
            clients: vec![Client::default(); all],
            lies: BTreeMap::new(),
            here: Vec::new(),
            arrived: 0,
            leaving: vec![Vec::new(); seconds],
            settling: vec![Vec::new(); seconds],
            closing: vec![Vec::new(); seconds],
            introduced: vec![0; all],
            in_first_second: vec![0; all],
            in_first_minute: vec![0; all],
            outcome,
            rng: StdRng::seed_from_u64(scenario.shape.seed ^ 0x5eed),
        }
    }

    fn seconds(&self) -> u32 {
        self.scenario.shape.minutes * 60
    }

    /// One second.
    pub fn step(&mut self, second: u32) {
        let now = second * 1000;
        for viewer in std::mem::take(&mut self.leaving[second as usize]) {
            self.leave(viewer, now);
        }
        for attempt in std::mem::take(&mut self.settling[second as usize]) {
            self.settle(attempt, now);
        }
        for (viewer, with) in std::mem::take(&mut self.closing[second as usize]) {
            self.close(viewer, with, now);
        }
        self.come_and_ask(now);
        let Self { exchange, here, clients, outcome, rng, .. } = self;
        exchange.step(here, &mut Scene { viewers: &self.population.viewers, clients, outcome, rng, now: second });
        self.report(second);
        self.backend.tick(now);
        self.count(second);
    }

    fn viewer(&self, number: u32) -> &'a Viewer {
        &self.population.viewers[number as usize]
    }

    fn client(&mut self, number: u32) -> &mut Client {
        &mut self.clients[number as usize]
    }

    /// Those who arrive, and those whose time to ask has come, in the order of their moments.
    fn come_and_ask(&mut self, now: u32) {
        let end = now + 1000;
        let asking = self.here.iter().map(|viewer| (self.clients[*viewer as usize].asks.max(now), *viewer));
        let mut due: Vec<(u32, u32)> = asking.filter(|(at, _)| *at < end).collect();
        while let Some(viewer) = self.population.viewers.get(self.arrived).filter(|viewer| viewer.arrives < end) {
            due.push((viewer.arrives, self.arrived as u32));
            self.arrived += 1;
        }
        due.sort_unstable();
        for (at, viewer) in due {
            if !self.clients[viewer as usize].is_here {
                self.arrive(viewer, at);
            }
            self.ask(viewer, at);
        }
    }

    fn arrive(&mut self, number: u32, now: u32) {
        let viewer = self.viewer(number);
        let client = self.client(number);
        client.is_here = true;
        client.patience.knows_nat = viewer.said_nat != Nat::Unknown;
        self.here.push(number);
        if let Some(leaving) = self.leaving.get_mut(viewer.leaves as usize) {
            leaving.push(number);
        }
        self.backend.join(number, now);
    }

    fn ask(&mut self, caller: u32, now: u32) {
        let is_liar = self.viewer(caller).conduct == Conduct::Liar;
        let client = &self.clients[caller as usize];
        let want = if is_liar { MOST_WANTED } else { client.missing(now) };
        let exclude: Vec<PeerId> = client.excluded(now).map(|peer| self.backend.id(peer)).collect();
        let ask = Ask { caller, want, exclude: &exclude, now };
        let worth = |target: u32| worth(self.population, self.network, &self.clients, &self.exchange, caller, target);
        let listed = self.backend.list(&ask, worth, &mut self.rng);
        for target in &listed {
            self.introduced[*target as usize] += 1;
            if is_liar {
                let is_friend = self.viewer(*target).conduct == Conduct::Liar;
                self.lies.entry(caller).or_default().meet(*target, is_friend);
            }
        }
        let next = if listed.len() < want { NEXT_MS.1 } else { NEXT_MS.0 };
        let client = &self.clients[caller as usize];
        let mut fresh: Vec<u32> =
            listed.into_iter().filter(|peer| !client.has(*peer) && !client.avoids(*peer, now)).collect();
        let spares = fresh.split_off(client.at_once(now).min(fresh.len()));
        self.client(caller).spares = spares;
        for target in fresh {
            self.offer(caller, target, now);
        }
        let Self { clients, rng, .. } = self;
        clients[caller as usize].answered(next, now, rng);
    }

    /// The first attempts worked: now for the others of the list.
    fn offer_spares(&mut self, caller: u32, now: u32) {
        let client = self.client(caller);
        let most = client.at_once(now);
        let spares = std::mem::take(&mut client.spares).into_iter();
        let fresh: Vec<u32> =
            spares.filter(|peer| !client.has(*peer) && !client.avoids(*peer, now)).take(most).collect();
        for target in fresh {
            self.offer(caller, target, now);
        }
    }

    fn offer(&mut self, from: u32, to: u32, now: u32) {
        let target = &self.clients[to as usize];
        let gone = !target.is_here;
        if gone && !self.viewer(to).vanishes || !gone && !target.has_room() {
            // The server knows that it left, or it says bye because it is full.
            self.outcome.ended(if gone { End::Gone } else { End::Full });
            let Self { clients, rng, .. } = self;
            clients[from as usize].avoid(to, now, rng);
            return self.offer_spares(from, now); // this one told nothing of our own network
        }
        if target.has(from) {
            return; // theirs stands
        }
        self.client(from).begin(to, true);
        let (end, takes) = if gone || self.rng.random_bool(LOST) {
            (if gone { End::Gone } else { End::Lost }, EXPIRES_MS)
        } else {
            self.client(to).begin(from, false);
            if self.network.opens(self.viewer(from), self.viewer(to)) {
                (End::Opened, self.rng.random_range(OPENS_MS))
            } else {
                (End::Unreachable, CONNECTS_MS)
            }
        };
        if let Some(settling) = self.settling.get_mut(((now + takes) / 1000 + 1) as usize) {
            settling.push(Attempt { from, to, end });
        }
    }

    /// What comes of an attempt; by now either side may have left, or given up.
    fn settle(&mut self, Attempt { from, to, end }: Attempt, now: u32) {
        let is_trying = |clients: &[Client], one: u32, other: u32| {
            clients[one as usize].sessions.iter().any(|session| session.with == other && !session.is_open)
        };
        let [offers, answers] = [(from, to), (to, from)].map(|(one, other)| is_trying(&self.clients, one, other));
        if offers && answers {
            let tried = self.outcome.by_nat.entry((self.viewer(from).nat, self.viewer(to).nat)).or_default();
            *tried = (tried.0 + 1, tried.1 + u64::from(end == End::Opened));
        }
        if offers {
            self.outcome.ended(if end == End::Opened && !answers { End::Gone } else { end });
        }
        for (one, other, trying) in [(from, to, offers), (to, from, answers)] {
            let Self { clients, rng, .. } = self;
            let client = &mut clients[one as usize];
            if !trying {
                continue;
            }
            if end == End::Opened && offers && answers {
                client.opened(other);
                client.receipts.opened(other);
                self.offer_spares(one, now);
            } else {
                client.receipts.failed(other);
                if end == End::Unreachable {
                    client.unreachable(other, now, rng);
                } else {
                    client.end(other, now, rng);
                }
            }
        }
    }

    /// A link ends, since the other side is no more.
    fn close(&mut self, viewer: u32, with: u32, now: u32) {
        let Self { clients, rng, outcome, .. } = self;
        let client = &mut clients[viewer as usize];
        match client.end(with, now, rng) {
            Some(session) if session.is_open => client.receipts.closed(with),
            Some(session) if session.is_ours => outcome.ended(End::Gone),
            _ => {}
        }
    }

    fn leave(&mut self, number: u32, now: u32) {
        let viewer = self.viewer(number);
        let client = std::mem::take(self.client(number));
        self.here.retain(|other| *other != number);
        self.exchange.leave(number);
        self.lies.remove(&number);
        for session in client.sessions {
            if !viewer.vanishes {
                self.close(session.with, number, now);
            } else if session.is_open
                && let Some(closing) = self.closing.get_mut(((now + NOTICED_MS) / 1000) as usize)
            {
                closing.push((session.with, number));
            }
        }
        if !viewer.vanishes {
            self.backend.leave(number);
        }
    }

    fn report(&mut self, second: u32) {
        for at in 0..self.here.len() {
            let number = self.here[at];
            let degree = self.clients[number as usize].links().count();
            let every = if degree > 0 { REPORTS_S.0 } else { REPORTS_S.1 };
            if !(second + number).is_multiple_of(every) {
                continue;
            }
            let receipts = match self.lies.get_mut(&number) {
                Some(lies) => lies.report(&mut self.rng),
                None => self.client(number).receipts.report(),
            };
            self.backend.report(number, degree, receipts, second * 1000);
        }
    }

    fn count(&mut self, second: u32) {
        let at = second as usize;
        self.outcome.viewers_by_second[at] = self.here.len() as u32;
        let flash = self.population.flash_at;
        for (target, count) in self.introduced.iter_mut().enumerate() {
            let count = std::mem::take(count);
            self.outcome.most_introduced[at] = self.outcome.most_introduced[at].max(count);
            if second == flash {
                self.in_first_second[target] = count;
            }
            if (flash..flash + MINUTE_S).contains(&second) {
                self.in_first_minute[target] += count;
            }
        }
        if second.is_multiple_of(INTERVAL_S) {
            self.sample(second);
        }
    }

    /// The links of those who have had time to find some.
    fn sample(&mut self, second: u32) {
        let viewers = &self.population.viewers;
        let Self { here, clients, outcome, .. } = self;
        for number in here {
            if second * 1000 < viewers[*number as usize].arrives + SETTLED_S * 1000 {
                continue;
            }
            let links = || clients[*number as usize].links();
            let useless = links().filter(|link| !viewers[link.with as usize].uploads()).count();
            outcome.samples += 1;
            outcome.without_link += u64::from(links().count() == 0);
            outcome.links += links().count() as u64;
            outcome.useless_links += useless as u64;
        }
    }

    /// The end: what is known of each viewer.
    pub fn finish(mut self) -> Outcome {
        let seconds = self.seconds();
        for (number, viewer) in self.population.viewers.iter().enumerate() {
            let came = viewer.arrives / 1000;
            let stayed = viewer.leaves.min(seconds).saturating_sub(came);
            let sent = self.exchange.sent(number);
            self.outcome.most_uploaded = self.outcome.most_uploaded.max(sent);
            self.outcome.uploaded += sent;
            let can_link = viewer.nat != Nat::Blocked;
            if stayed >= MINUTE_S && can_link {
                self.outcome.first_byte.push(self.exchange.first_byte(number).map(|seconds| seconds as f32));
                if viewer.uploads() {
                    self.outcome.uploads.push(sent / f64::from(stayed));
                }
            }
            let counts = [
                (&self.in_first_second, &mut self.outcome.first_second),
                (&self.in_first_minute, &mut self.outcome.first_minute),
            ];
            for (introduced, of_targets) in counts {
                of_targets.extend(Some(introduced[number]).filter(|count| *count > 0));
            }
        }
        self.outcome
    }
}
