//! What we know of peers. A node answers lists from its own copy of a swarm, or from the store while the swarm is small;
//! what it hears goes to the store behind the calls, in loops. Nothing here fails because the store is away.

mod hints;
mod introductions;
mod learning;
mod metrics;
mod offload;
mod ranker;
mod refresher;
mod reports;
mod signs;
mod snapshot;
mod steering;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::{Member, PeerId, Ranked, Receipt, Score, SwarmId, Totals, Whereabouts, evidence::Source},
    store::{Found, Gone, LISTED_FOR, Store, StoreError},
};

pub use hints::Hints;
pub use ranker::Ranker;
pub use refresher::Refresher;
pub use reports::{OwnWord, Said};
pub use snapshot::Snapshot;
pub use writer::Writer;

use introductions::Introductions;
use learning::Learning;
use metrics::RankingMetrics;
use offload::OffloadMetrics;
use steering::Steering;
use view::View;

/// Most swarms one peer can be in, as far as one node knows.
pub const MAX_SWARMS: usize = 4;
/// Lists of a swarm with more that may be offered than this come from the copy; others from the store, since in a small
/// swarm a copy that is ten seconds old would hide the only other peer.
const SMALL: usize = 64;
/// A copy is stale when so many intervals went by without another.
const STALE_AFTER: u32 = 3;
/// A call of a client waits no longer for the store.
const PATIENCE: Duration = Duration::from_millis(250);
/// Most swarms that a node knows of.
const MOST_VIEWS: usize = 100_000;
/// What is left to write may take so long when the process stops.
const LAST: Duration = Duration::from_secs(1);
/// Most hints that wait to be told.
const MOST_HINTS: usize = 100_000;

/// Why the ranking did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RankingError {
    /// The peer is in [`MAX_SWARMS`] other swarms.
    #[error("a peer is in at most {MAX_SWARMS} swarms")]
    TooManySwarms,
    /// No room for another member or swarm.
    #[error("there is no room for another member")]
    Full,
}

/// What a list is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Peers that may be offered, in no order. The caller itself may be among them.
    pub candidates: Vec<Ranked>,
    /// Live members, whether they may be offered or not.
    pub swarm_size: usize,
    /// Whether the caller is a member, as far as is known.
    pub joined: bool,
    /// The store has been away for a while: this is what was known before.
    pub stale: bool,
}

/// How it keeps time, and what a gigabyte is worth.
#[derive(Clone, Copy, Debug)]
pub struct RankingSettings {
    /// How often scores are computed and copies renewed.
    pub interval: Duration,
    /// How long a silent peer is remembered.
    pub remember: Duration,
    /// What 10^9 bytes from a server cost, in any currency.
    pub price_per_gb: f64,
}

/// What this node knows of peers, and what it has yet to tell the store.
pub struct Ranking {
    store: Arc<dyn Store>,
    clock: Clock,
    settings: RankingSettings,
    views: DashMap<SwarmId, Arc<View>, ahash::RandomState>,
    // Which swarms a peer has joined through this node.
    memberships: DashMap<PeerId, Vec<SwarmId>, ahash::RandomState>,
    // Peers of whom something waits to be judged.
    waiting: AtomicUsize,
    hints: Mutex<Vec<Gone>>,
    introductions: Introductions,
    // Swarms whose copy is wanted at once.
    wanted: mpsc::Sender<SwarmId>,
    nodes: AtomicUsize,
    metrics: RankingMetrics,
    offload: OffloadMetrics,
    learning: Learning,
    steering: Steering,
}

impl Ranking {
    /// What is known over this store; and the loops that keep it so, all of which must run.
    pub fn new(store: Arc<dyn Store>, clock: Clock, settings: RankingSettings) -> (Arc<Self>, Loops) {
        let (wanted, wants) = mpsc::channel(1024);
        let heard = store.hear();
        let ranking = Arc::new(Self {
            store,
            clock,
            settings,
            views: DashMap::default(),
            memberships: DashMap::default(),
            waiting: AtomicUsize::new(0),
            hints: Mutex::default(),
            introductions: Introductions::default(),
            wanted,
            nodes: AtomicUsize::new(1),
            metrics: RankingMetrics::new(),
            offload: OffloadMetrics::new(settings.price_per_gb),
            learning: Learning::default(),
            steering: Steering::default(),
        });
        let loops = Loops {
            ranker: Ranker::new(ranking.clone()),
            refresher: Refresher::new(ranking.clone(), wants),
            writer: Writer::new(ranking.clone()),
            hints: Hints::new(ranking.clone(), heard),
        };
        (ranking, loops)
    }

    /// Makes a peer a member of `swarm` (again) and finds up to `sample` candidates. With the store away, or the swarm
    /// large, the membership is written a moment later.
    pub async fn join(&self, swarm: &SwarmId, member: Member, sample: usize) -> Result<Listing, RankingError> {
        let now = self.clock.now();
        let peer = member.peer;
        let near = member.whereabouts();
        let score = if member.is_offered() { Score::NEW } else { Score::ZERO };
        let view = self.view(swarm)?;
        self.enter(peer, swarm)?;
        let ranked = Ranked { member: member.clone(), score, seen: now };
        let may_ask = view.ask(now);
        let answer = if view.is_large() || !may_ask {
            None
        } else {
            match at_once(self.store.join(swarm, member, sample, now)).await {
                Ok(found) => Some(found),
                Err(StoreError::Full) => {
                    self.exit(peer, swarm);
                    return Err(RankingError::Full);
                }
                Err(StoreError::Away(_)) => None,
            }
        };
        if !view.joined(ranked, answer.is_some()) {
            self.exit(peer, swarm);
            return Err(RankingError::Full);
        }
        if let Some(found) = answer {
            return Ok(self.found(&view, found));
        }
        if !view.is_large() && may_ask {
            view.state().failed();
        }
        Ok(Listing { joined: true, ..self.own_listing(&view, &near, peer, sample) })
    }

    /// Finds up to `sample` candidates. A sign of life of the caller.
    pub async fn find(
        &self,
        swarm: &SwarmId,
        caller: PeerId,
        near: Whereabouts,
        sample: usize,
    ) -> Result<Listing, RankingError> {
        let now = self.clock.now();
        let view = self.view(swarm)?;
        view.hear(caller, now);
        let may_ask = view.ask(now);
        if view.is_large() || !may_ask {
            return Ok(self.own_listing(&view, &near, caller, sample));
        }
        if let Ok(found) = at_once(self.store.find(swarm, caller, sample, now)).await {
            let forgotten = !found.joined && view.knows(caller);
            view.signs.wrote(caller, now, found.joined);
            if forgotten {
                // The store has lost its memory, and the rest of the swarm with it: what is known here is given back.
                let _ = self.wanted.try_send(view.swarm.clone());
                return Ok(Listing { joined: true, ..self.own_listing(&view, &near, caller, sample) });
            }
            Ok(self.found(&view, found))
        } else {
            view.state().failed();
            Ok(self.own_listing(&view, &near, caller, sample))
        }
    }

    /// Notes a sign of life. Never waits.
    pub fn heard(&self, swarm: &SwarmId, peer: PeerId) {
        if let Ok(view) = self.view(swarm) {
            view.hear(peer, self.clock.now());
        }
    }

    /// Ends a membership, and tells other nodes. Says whether there was one, as far as is known.
    pub async fn leave(&self, swarm: &SwarmId, peer: PeerId) -> bool {
        let now = self.clock.now();
        self.exit(peer, swarm);
        self.introductions.left(peer);
        let known = self.views.get(swarm).map(|view| view.clone());
        let was_known = known.as_ref().is_some_and(|view| {
            let was_member = view.knows(peer);
            view.state().is_gone_since(peer, now);
            was_member
        });
        let may_ask = known.as_ref().is_none_or(|view| view.may_ask());
        let left = if may_ask { at_once(self.store.leave(swarm, peer, now)).await } else { Ok(was_known) };
        if let (Err(_), Some(view)) = (&left, &known) {
            view.state().failed();
        }
        let was_member = left.unwrap_or(was_known);
        if was_member {
            let mut hints = self.hints.lock();
            if hints.len() < MOST_HINTS {
                hints.push(Gone { swarm: swarm.clone(), peer, at: now });
            }
        }
        was_member
    }

    /// Whether the peer is known to have left and not come back. No round trip.
    pub fn is_gone(&self, swarm: &SwarmId, peer: PeerId) -> bool {
        self.views.get(swarm).is_some_and(|view| view.is_gone(peer))
    }

    /// What this node knows of a member without asking.
    pub fn member(&self, swarm: &SwarmId, peer: PeerId) -> Option<Member> {
        self.views.get(swarm)?.member(peer)
    }

    /// Notes a peer's word on itself; the newest counts. A sign of life, in a swarm that this node does not know as well.
    pub fn says(&self, swarm: &SwarmId, peer: PeerId, epoch: u16, seq: u32, word: OwnWord) {
        if let Ok(view) = self.view(swarm) {
            let said = Said { epoch, seq, at: self.clock.now() };
            view.hear(peer, said.at);
            view.reports.word(peer, said, word, &self.waiting);
        }
    }

    /// Notes a receipt about `about`, whose ticket was good. Says whether there was room; if not, the next one tells the
    /// same and more.
    pub fn receipt(&self, swarm: &SwarmId, about: PeerId, source: Source, receipt: Receipt) -> bool {
        self.view(swarm).is_ok_and(|view| view.reports.receipt(about, source, receipt, &self.waiting))
    }

    /// What the bytes that came from peers would have cost from servers.
    pub fn saved(&self, totals: &Totals) -> f64 {
        totals.saved(self.settings.price_per_gb)
    }

    /// How many backend nodes are alive, this one included: limits that each keeps are divided by it.
    pub fn live_nodes(&self) -> usize {
        self.nodes.load(Relaxed)
    }

    /// This node's copy of a swarm, where it has one.
    pub fn snapshot(&self, swarm: &SwarmId) -> Option<Arc<Snapshot>> {
        let snapshot = self.views.get(swarm)?.snapshot();
        snapshot.taken().is_some().then_some(snapshot)
    }

    /// Candidates from a copy of a swarm, as a list would begin with. No sign of life of anybody.
    pub fn look(&self, swarm: &SwarmId, copy: &Snapshot, near: &Whereabouts, sample: usize) -> Vec<Ranked> {
        let seen_by = copy.seen_by(self.clock.now());
        let is_alive = |row: &Ranked| seen_by.since(row.seen) <= LISTED_FOR && !self.is_gone(swarm, row.member.peer);
        copy.sample(near, sample, &mut rand::rng(), is_alive)
    }

    fn view(&self, swarm: &SwarmId) -> Result<Arc<View>, RankingError> {
        if let Some(view) = self.views.get(swarm) {
            return Ok(view.clone());
        }
        if self.views.len() >= MOST_VIEWS {
            return Err(RankingError::Full);
        }
        let now = self.clock.now();
        Ok(self.views.entry(swarm.clone()).or_insert_with(|| Arc::new(View::new(swarm.clone(), now))).clone())
    }

    fn views(&self) -> Vec<Arc<View>> {
        self.views.iter().map(|view| view.clone()).collect()
    }

    fn enter(&self, peer: PeerId, swarm: &SwarmId) -> Result<(), RankingError> {
        let mut swarms = self.memberships.entry(peer).or_default();
        if !swarms.contains(swarm) {
            if swarms.len() >= MAX_SWARMS {
                return Err(RankingError::TooManySwarms);
            }
            swarms.push(swarm.clone());
        }
        Ok(())
    }

    fn exit(&self, peer: PeerId, swarm: &SwarmId) {
        self.memberships.remove_if_mut(&peer, |_, swarms| {
            swarms.retain(|other| other != swarm);
            swarms.is_empty()
        });
    }

    /// What the store found, in a swarm that is asked about.
    fn found(&self, view: &Arc<View>, found: Found) -> Listing {
        let Found { candidates, swarm_size, joined } = found;
        let mut state = view.state();
        state.answered();
        for row in &candidates {
            state.came_back(row.member.peer, row.member.said);
        }
        drop(state);
        if swarm_size > SMALL && view.snapshot().taken().is_none() {
            let _ = self.wanted.try_send(view.swarm.clone());
        }
        self.metrics.lists_from_store.increment(1);
        Listing { candidates, swarm_size, joined, stale: false }
    }

    /// What this node knows itself.
    fn own_listing(&self, view: &View, near: &Whereabouts, caller: PeerId, sample: usize) -> Listing {
        let now = self.clock.now();
        let snapshot = view.snapshot();
        let candidates = view.sample(&snapshot, near, sample, now);
        let stale = snapshot.taken().is_none_or(|(_, taken)| taken.elapsed() > self.settings.interval * STALE_AFTER);
        self.metrics.lists_from_copy.increment(1);
        if stale {
            self.metrics.lists_stale.increment(1);
        }
        let joined = view.has(&snapshot, caller, now);
        let swarm_size = snapshot.live().max(candidates.len());
        Listing { candidates, swarm_size, joined, stale }
    }
}

/// The loops of a [`Ranking`].
pub struct Loops {
    /// Judges.
    pub ranker: Ranker,
    /// Sweeps, and renews copies.
    pub refresher: Refresher,
    /// Writes what waits.
    pub writer: Writer,
    /// Hears other nodes.
    pub hints: Hints,
}

/// Whatever the store takes, a call waits for it no longer than [`PATIENCE`].
async fn at_once<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::Away(format!("no answer within {PATIENCE:?}")));
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(late)
}

/// Does `work`, and waits for it no longer than [`LAST`] once told to stop. Says whether it came to its end.
async fn done_in_time(stop: &CancellationToken, work: impl Future<Output = ()>) -> bool {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST).await;
    };
    tokio::select! {
        () = work => true,
        () = late => false,
    }
}

/// Give or take a tenth, so that nodes do not go in step.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.9..1.1))
}
