//! One swarm as this node knows it: its copy of the swarm, and what it heard and has yet to tell the store.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use indexmap::IndexMap;
use parking_lot::{RwLock, RwLockWriteGuard};
use rand::RngExt;
use tokio::time::Instant;

use super::{SMALL, reports::Reports, snapshot::Snapshot};
use crate::{
    domain::{Member, PeerId, Ranked, Score, SwarmId, Timestamp, Whereabouts},
    store::{LISTED_FOR, Restored},
};

/// A sign of life is written when the last one that was is older than this: a third of what unlists a peer. So with
/// calls at least every 30 s, and a copy renewed every 10 s, nobody alive seems silent.
const WRITE_EVERY: Duration = Duration::from_secs(15);
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
    snapshot: ArcSwap<Snapshot>,
    state: RwLock<State>,
}

/// What changes with every call. Held for microseconds, and never across an await. Lists are drawn under a lock that others
/// share.
pub struct State {
    heard: HashMap<PeerId, Heard, ahash::RandomState>,
    // When signs of life are to be written, by the second; each peer in one place at most.
    due: BTreeMap<u64, Vec<PeerId>>,
    // Joined through this node, and not in the snapshot yet: with whether it is in the store.
    own: IndexMap<PeerId, Own, ahash::RandomState>,
    gone: HashMap<PeerId, Timestamp, ahash::RandomState>,
    /// When somebody last called.
    pub used: Timestamp,
    /// When somebody last asked for a list.
    pub asked: Option<Instant>,
    /// When this node last swept the swarm.
    pub swept: Option<Timestamp>,
    failures: u32,
    no_earlier: Option<Instant>,
}

struct Heard {
    at: Timestamp,
    written: Option<Timestamp>,
    is_due: bool,
    // The store says that it is no member.
    stranger: bool,
}

struct Own {
    ranked: Ranked,
    written: Option<Instant>,
}

impl View {
    /// A swarm of which nothing is known yet.
    pub fn new(swarm: SwarmId, now: Timestamp) -> Self {
        let state = State {
            heard: HashMap::default(),
            due: BTreeMap::new(),
            own: IndexMap::default(),
            gone: HashMap::default(),
            used: now,
            asked: None,
            swept: None,
            failures: 0,
            no_earlier: None,
        };
        Self { swarm, reports: Reports::default(), snapshot: ArcSwap::default(), state: RwLock::new(state) }
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

    /// Candidates from what this node knows: its copy, and who joined through it since.
    pub fn sample(&self, snapshot: &Snapshot, near: &Whereabouts, amount: usize, now: Timestamp) -> Vec<Ranked> {
        let state = self.state.read();
        let seen_by = snapshot.seen_by(now);
        let mut rng = rand::rng();
        let mut candidates = snapshot.sample(near, amount, &mut rng, |row| {
            !state.own.contains_key(&row.member.peer) && state.is_alive(row, seen_by)
        });
        let own = &state.own;
        // Who joined a moment ago takes the place of somebody; in a small swarm everybody has one.
        let fresh = rand::seq::index::sample(&mut rng, own.len(), amount.min(own.len()));
        for at in fresh {
            let row = &own[at].ranked;
            if row.score == Score::ZERO || !state.is_alive(row, seen_by) {
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
        self.member(peer).is_some() && !self.state.read().is_gone(peer)
    }

    /// Whether a peer is a member, as far as is known. What the store says of one that it has just lost does not count as
    /// long as the copy has it: it is given back, and must not join again.
    pub fn has(&self, snapshot: &Snapshot, peer: PeerId, now: Timestamp) -> bool {
        let state = self.state.read();
        let was_alive = |row: &Ranked| snapshot.seen_by(now).since(row.seen) <= LISTED_FOR;
        !state.is_stranger(peer) || snapshot.member(peer).is_some_and(was_alive) && !state.is_gone(peer)
    }

    /// Members that this node heard lately and knows, as they can be given back to a store that lost its memory.
    pub fn to_restore(&self, snapshot: &Snapshot, now: Timestamp) -> Vec<Restored> {
        let state = self.state.read();
        let lately = state.heard.iter().filter(|(_, heard)| now.since(heard.at) <= LISTED_FOR);
        let known = lately.filter_map(|(peer, heard)| {
            let member = snapshot.member(*peer)?.member.clone();
            (!state.is_gone(*peer)).then_some(Restored { member, evidence: None, seen: heard.at })
        });
        known.collect()
    }
}

impl State {
    /// Somebody wants a list. Says whether the store may be asked.
    pub fn ask(&mut self, now: Timestamp) -> bool {
        self.used = self.used.max(now);
        self.asked = Some(Instant::now());
        self.may_ask()
    }

    /// The same of a member: a sign of life.
    pub fn hear_asking(&mut self, peer: PeerId, now: Timestamp) -> bool {
        self.hear(peer, now);
        self.ask(now)
    }

    /// A sign of life.
    pub fn hear(&mut self, peer: PeerId, now: Timestamp) {
        self.used = self.used.max(now);
        if self.gone.get(&peer).is_some_and(|at| now.since(*at) > LAST_WORDS) {
            self.gone.remove(&peer);
        }
        let heard = self.heard.entry(peer).or_insert(Heard { at: now, written: None, is_due: false, stranger: false });
        heard.at = heard.at.max(now);
        if !heard.is_due {
            heard.is_due = true;
            let due = heard.written.map_or(now, |written| now.max(written + WRITE_EVERY));
            self.due.entry(due.seconds()).or_default().push(peer);
        }
    }

    /// The store knows of a sign of life.
    pub fn wrote_sign(&mut self, peer: PeerId, at: Timestamp, is_member: bool) {
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.written = Some(heard.written.map_or(at, |written| written.max(at)));
            heard.stranger = !is_member;
        }
    }

    /// Takes signs of life that are to be written now.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<(PeerId, Timestamp)> {
        let later = self.due.split_off(&(now.seconds() + 1));
        let due = std::mem::replace(&mut self.due, later);
        let take = |peer: PeerId| {
            let heard = self.heard.get_mut(&peer)?;
            heard.is_due = false;
            // Written with a list in the meantime, perhaps.
            (heard.written.is_none_or(|written| heard.at > written)).then_some((peer, heard.at))
        };
        due.into_values().flatten().filter_map(take).collect()
    }

    /// They could not be written: again in a second.
    pub fn put_back_due(&mut self, due: &[(PeerId, Timestamp)], now: Timestamp) {
        for (peer, _) in due {
            if let Some(heard) = self.heard.get_mut(peer).filter(|heard| !heard.is_due) {
                heard.is_due = true;
                self.due.entry(now.seconds() + 1).or_default().push(*peer);
            }
        }
    }

    /// Whether the store has said that this peer is no member.
    pub fn is_stranger(&self, peer: PeerId) -> bool {
        self.heard.get(&peer).is_some_and(|heard| heard.stranger)
    }

    /// Forgets whom this node has not heard for a while, and who has been gone for so long.
    pub fn forget(&mut self, now: Timestamp, remember: Duration) -> Vec<PeerId> {
        let mut silent = Vec::new();
        self.heard.retain(|peer, heard| {
            let stays = now.since(heard.at) <= remember;
            if !stays {
                silent.push(*peer);
            }
            stays
        });
        self.gone.retain(|_, at| now.since(*at) <= remember);
        self.own.retain(|_, own| now.since(own.ranked.seen) <= remember);
        silent
    }

    /// Somebody joined through this node; `written` says whether the store knows. Says whether there is room for it.
    pub fn joined(&mut self, mut ranked: Ranked, written: bool) -> bool {
        let peer = ranked.member.peer;
        self.gone.remove(&peer);
        self.hear(peer, ranked.seen);
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.stranger = false;
        }
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

    /// Joins that the store does not know of, some at a time.
    pub fn unwritten(&self, most: usize) -> Vec<Restored> {
        let unwritten = self.own.values().filter(|own| own.written.is_none());
        let restored = |own: &Own| {
            let peer = own.ranked.member.peer;
            let seen = self.heard.get(&peer).map_or(own.ranked.seen, |heard| heard.at.max(own.ranked.seen));
            Restored { member: own.ranked.member.clone(), evidence: None, seen }
        };
        unwritten.take(most).map(restored).collect()
    }

    /// Whether nobody is known here who is a member, or may be.
    pub fn is_idle(&self) -> bool {
        self.own.is_empty() && self.heard.values().all(|heard| heard.stranger)
    }

    /// How many joins the store does not know of.
    pub fn count_unwritten(&self) -> usize {
        self.own.values().filter(|own| own.written.is_none()).count()
    }

    /// The store knows of them now, as far as they have not changed since.
    pub fn wrote_joins(&mut self, written: &[Restored]) {
        for Restored { member, seen, .. } in written {
            if let Some(own) = self.own.get_mut(&member.peer).filter(|own| own.ranked.member.said == member.said) {
                own.written = Some(Instant::now());
            }
            self.wrote_sign(member.peer, *seen, true);
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

    /// Whether it is known to have left.
    pub fn is_gone(&self, peer: PeerId) -> bool {
        self.gone.contains_key(&peer)
    }

    /// Whether a member may be listed at this time.
    fn is_alive(&self, row: &Ranked, now: Timestamp) -> bool {
        let peer = row.member.peer;
        let heard_here = || self.heard.get(&peer).is_some_and(|heard| now.since(heard.at) <= LISTED_FOR);
        (now.since(row.seen) <= LISTED_FOR || heard_here()) && !self.is_gone(peer)
    }

    /// Whether the store may be asked now.
    pub fn may_ask(&self) -> bool {
        self.no_earlier.is_none_or(|moment| Instant::now() >= moment)
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
