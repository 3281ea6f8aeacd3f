//! One swarm as this node knows it: its copy of the swarm, and what it heard and has yet to tell the store.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use indexmap::IndexMap;
use parking_lot::{RwLock, RwLockWriteGuard};
use rand::RngExt;
use tokio::time::Instant;

use super::{SMALL, reports::Reports, signs::Signs, snapshot::Snapshot};
use crate::{
    domain::{Member, PeerId, Ranked, Score, SwarmId, Timestamp, Whereabouts},
    store::{LISTED_FOR, Restored},
};

/// How long a swarm's calls do without the store after it failed one; doubled with each failure in a row, up to the most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Most joins, and most departures, that are kept of one swarm.
const MOST_KEPT: usize = 100_000;
/// A call of a peer that just left is its last word to the others. Later ones say that it came back.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One swarm.
pub struct View {
    /// Its name.
    pub swarm: SwarmId,
    /// What waits to be judged.
    pub reports: Reports,
    /// Who was heard.
    pub signs: Signs,
    // When somebody last called, since the Unix epoch.
    used: AtomicU64,
    // When somebody last asked for a list, after `made`, plus one; 0 for never. Both in milliseconds.
    asked: AtomicU64,
    made: Instant,
    snapshot: ArcSwap<Snapshot>,
    state: RwLock<State>,
}

/// What changes when somebody comes or goes. Calls of others share its lock; held for microseconds, and never across an
/// await. A part of `signs` may be locked under it, never the other way round.
pub struct State {
    // Joined through this node, and not in the snapshot yet: with whether it is in the store.
    own: IndexMap<PeerId, Own, ahash::RandomState>,
    gone: HashMap<PeerId, Timestamp, ahash::RandomState>,
    /// When this node last swept the swarm.
    pub swept: Option<Timestamp>,
    failures: u32,
    no_earlier: Option<Instant>,
}

struct Own {
    ranked: Ranked,
    written: Option<Instant>,
}

impl View {
    /// A swarm of which nothing is known yet.
    pub fn new(swarm: SwarmId, now: Timestamp) -> Self {
        let state =
            State { own: IndexMap::default(), gone: HashMap::default(), swept: None, failures: 0, no_earlier: None };
        Self {
            swarm,
            reports: Reports::default(),
            signs: Signs::default(),
            used: AtomicU64::new(now.0),
            asked: AtomicU64::new(0),
            made: Instant::now(),
            snapshot: ArcSwap::default(),
            state: RwLock::new(state),
        }
    }

    /// The copy.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Whether its lists come from the copy.
    pub fn is_large(&self) -> bool {
        self.snapshot.load().offered() > SMALL
    }

    /// What changes. Held to the end of the statement that asks for it: never twice in one.
    pub fn state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    /// Somebody calls.
    fn called(&self, now: Timestamp) {
        later(&self.used, now.0);
    }

    /// When somebody last called.
    pub fn used(&self) -> Timestamp {
        Timestamp(self.used.load(Relaxed))
    }

    /// Somebody wants a list. Says whether the store may be asked.
    pub fn ask(&self, now: Timestamp) -> bool {
        self.called(now);
        later(&self.asked, self.since_made() + 1);
        self.may_ask()
    }

    /// Whether somebody wanted a list in the last `time`.
    pub fn was_asked_within(&self, time: Duration) -> bool {
        let asked = self.asked.load(Relaxed);
        asked > 0 && Duration::from_millis((self.since_made() + 1).saturating_sub(asked)) <= time
    }

    fn since_made(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Whether the store may be asked now.
    pub fn may_ask(&self) -> bool {
        self.state.read().no_earlier.is_none_or(|moment| Instant::now() >= moment)
    }

    /// A sign of life.
    pub fn hear(&self, peer: PeerId, now: Timestamp) {
        self.called(now);
        let came_back = self.state.read().is_back(peer, now);
        if came_back {
            let mut state = self.state.write();
            if state.is_back(peer, now) {
                state.gone.remove(&peer);
            }
        }
        self.signs.hear(peer, now);
    }

    /// Somebody joined through this node; `written` says whether the store knows. Says whether there is room for it.
    pub fn joined(&self, ranked: Ranked, written: bool) -> bool {
        self.called(ranked.seen);
        // First, or it could be forgotten at once.
        self.signs.hear_joining(ranked.member.peer, ranked.seen);
        self.state.write().joined(ranked, written)
    }

    /// Joins that the store does not know of, some at a time.
    pub fn unwritten(&self, most: usize) -> Vec<Restored> {
        let state = self.state.read();
        let unwritten = state.own.values().filter(|own| own.written.is_none());
        let restored = |own: &Own| {
            let Ranked { member, seen, .. } = &own.ranked;
            let seen = self.signs.last(member.peer).map_or(*seen, |last| last.max(*seen));
            Restored { member: member.clone(), evidence: None, seen }
        };
        unwritten.take(most).map(restored).collect()
    }

    /// The store knows of them now, as far as they have not changed since.
    pub fn wrote_joins(&self, written: &[Restored]) {
        self.state.write().wrote_joins(written);
        for Restored { member, seen, .. } in written {
            self.signs.wrote(member.peer, *seen, true);
        }
    }

    /// Whether nobody is known here who is a member, or may be.
    pub fn is_idle(&self) -> bool {
        self.state.read().own.is_empty() && self.signs.are_of_strangers()
    }

    /// Whether a peer is known to have left.
    pub fn is_gone(&self, peer: PeerId) -> bool {
        self.state.read().is_gone(peer)
    }

    /// Forgets whom this node has not heard for a while, and returns them, and who has been gone for so long.
    pub fn forget(&self, now: Timestamp, remember: Duration) -> Vec<PeerId> {
        self.state.write().forget(now, remember);
        self.signs.forget(now, remember)
    }

    /// As others hold it while they make lists.
    #[cfg(test)]
    pub fn shared(&self) -> parking_lot::RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Takes a new copy, pulled from `began` on.
    pub fn renew(&self, snapshot: Snapshot, left: &[(PeerId, Timestamp)], began: Instant) {
        let mut state = self.state.write();
        for (peer, at) in left {
            state.is_gone_since(*peer, *at);
        }
        // Who comes back says so later than it left, whatever the clocks of nodes say.
        state.gone.retain(|peer, at| snapshot.member(*peer).is_none_or(|row| row.member.said <= *at));
        state.own.retain(|_, own| own.written.is_none_or(|written| written >= began));
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Forgets the copy, which nobody asks for.
    pub fn drop_snapshot(&self) {
        self.snapshot.store(Arc::default());
    }

    /// Candidates from what this node knows: its copy, and who joined through it since. Only such as `fits` lets.
    pub fn sample(
        &self,
        snapshot: &Snapshot,
        near: &Whereabouts,
        amount: usize,
        now: Timestamp,
        fits: impl Fn(&Ranked) -> bool,
    ) -> Vec<Ranked> {
        let state = self.state.read();
        let seen_by = snapshot.seen_by(now);
        let mut rng = rand::rng();
        let mut candidates = snapshot.sample(near, amount, &mut rng, |row| {
            !state.own.contains_key(&row.member.peer) && self.is_alive(&state, row, seen_by) && fits(row)
        });
        let own = &state.own;
        // Who joined a moment ago takes the place of somebody; in a small swarm everybody has one.
        let fresh = rand::seq::index::sample(&mut rng, own.len(), amount.min(own.len()));
        for at in fresh {
            let row = &own[at].ranked;
            if row.score == Score::ZERO || !self.is_alive(&state, row, seen_by) || !fits(row) {
                continue;
            }
            if candidates.len() < amount {
                candidates.push(row.clone());
            } else if rng.random_range(0..snapshot.offered() + own.len()) < own.len() {
                let at = rng.random_range(0..candidates.len());
                candidates[at] = row.clone();
            }
        }
        candidates
    }

    /// What is known of a member here.
    pub fn member(&self, peer: PeerId) -> Option<Member> {
        if let Some(own) = self.state.read().own.get(&peer) {
            return Some(own.ranked.member.clone());
        }
        self.snapshot.load().member(peer).map(|row| row.member.clone())
    }

    /// Whether this is a member by what is known here.
    pub fn knows(&self, peer: PeerId) -> bool {
        self.member(peer).is_some() && !self.is_gone(peer)
    }

    /// Whether a peer is a member, as far as is known. What the store says of one that it has just lost does not count as
    /// long as the copy has it: it is given back, and must not join again.
    pub fn has(&self, snapshot: &Snapshot, peer: PeerId, now: Timestamp) -> bool {
        let was_alive = |row: &Ranked| snapshot.seen_by(now).since(row.seen) <= LISTED_FOR;
        !self.signs.is_stranger(peer) || snapshot.member(peer).is_some_and(was_alive) && !self.is_gone(peer)
    }

    /// Members that this node heard lately and knows, as they can be given back to a store that lost its memory.
    pub fn to_restore(&self, snapshot: &Snapshot, now: Timestamp) -> Vec<Restored> {
        let lately = self.signs.since(now - LISTED_FOR);
        let state = self.state.read();
        let known = lately.into_iter().filter_map(|(peer, seen)| {
            let member = snapshot.member(peer)?.member.clone();
            (!state.is_gone(peer)).then_some(Restored { member, evidence: None, seen })
        });
        known.collect()
    }

    /// Whether a member may be listed at this time.
    fn is_alive(&self, state: &State, row: &Ranked, now: Timestamp) -> bool {
        let peer = row.member.peer;
        let heard_here = || self.signs.last(peer).is_some_and(|at| now.since(at) <= LISTED_FOR);
        (now.since(row.seen) <= LISTED_FOR || heard_here()) && !state.is_gone(peer)
    }
}

impl State {
    fn forget(&mut self, now: Timestamp, remember: Duration) {
        self.gone.retain(|_, at| now.since(*at) <= remember);
        self.own.retain(|_, own| now.since(own.ranked.seen) <= remember);
    }

    fn joined(&mut self, mut ranked: Ranked, written: bool) -> bool {
        let peer = ranked.member.peer;
        self.gone.remove(&peer);
        let written = written.then(Instant::now);
        let full = self.own.len() >= MOST_KEPT;
        if let Some(own) = self.own.get(&peer) {
            ranked.member.joined = own.ranked.member.joined.min(ranked.member.joined);
        } else if full {
            return written.is_some();
        }
        self.own.insert(peer, Own { ranked, written });
        true
    }

    /// How many joins the store does not know of.
    pub fn count_unwritten(&self) -> usize {
        self.own.values().filter(|own| own.written.is_none()).count()
    }

    fn wrote_joins(&mut self, written: &[Restored]) {
        for Restored { member, .. } in written {
            if let Some(own) = self.own.get_mut(&member.peer).filter(|own| own.ranked.member.said == member.said) {
                own.written = Some(Instant::now());
            }
        }
    }

    /// Somebody left, or was found to be gone, at this time. Says whether that is news.
    pub fn is_gone_since(&mut self, peer: PeerId, at: Timestamp) -> bool {
        if self.own.get(&peer).is_some_and(|own| own.ranked.member.said > at) {
            return false;
        }
        self.own.swap_remove(&peer);
        let full = self.gone.len() >= MOST_KEPT;
        match self.gone.entry(peer) {
            Entry::Occupied(known) if *known.get() >= at => false,
            Entry::Occupied(mut known) => {
                known.insert(at);
                true
            }
            Entry::Vacant(place) => {
                if !full {
                    place.insert(at);
                }
                true
            }
        }
    }

    /// It says something else of itself later: it came back.
    pub fn came_back(&mut self, peer: PeerId, said: Timestamp) {
        if self.gone.get(&peer).is_some_and(|at| *at < said) {
            self.gone.remove(&peer);
        }
    }

    /// Whether a sign of life at this time says that one who left is back.
    fn is_back(&self, peer: PeerId, now: Timestamp) -> bool {
        self.gone.get(&peer).is_some_and(|at| now.since(*at) > LAST_WORDS)
    }

    fn is_gone(&self, peer: PeerId) -> bool {
        self.gone.contains_key(&peer)
    }

    /// It answered.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.no_earlier = None;
    }

    /// It did not.
    pub fn failed(&mut self) {
        let (first, most) = BACK_OFF;
        let wait = (first * 2_u32.pow(self.failures.min(8))).min(most);
        self.failures += 1;
        self.no_earlier = Some(Instant::now() + wait.mul_f64(rand::rng().random_range(0.5..1.0)));
    }
}

/// Sets it to a later moment. Where many calls come in one, most only look.
fn later(moment: &AtomicU64, to: u64) {
    if moment.load(Relaxed) < to {
        moment.fetch_max(to, Relaxed);
    }
}
