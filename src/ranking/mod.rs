//! What we know of peers. A node answers lists from its own copy of a swarm, or from the store while the swarm is small;
//! what it hears goes to the store behind the calls, in loops. Nothing here fails because the store is away.

mod hints;
mod introductions;
mod learning;
mod lists;
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
    domain::{Member, PeerId, Receipt, SwarmId, Totals, evidence::Source},
    store::{Gone, Store, StoreError},
};

pub use hints::Hints;
pub use lists::Listing;
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
