//! What we know of peers, kept in loops of their own.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    domain::{Member, PeerId, Ranked, Receipt, SwarmId, evidence::Source},
    store::Store,
};

/// Why the ranking did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RankingError {
    /// The peer is in as many other swarms as it may be.
    #[error("a peer is in at most 4 swarms")]
    TooManySwarms,
    /// No room for another member or swarm.
    #[error("no room for another member")]
    Full,
}

/// What a list is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Peers that may be offered, in no order.
    pub candidates: Vec<Ranked>,
    /// Live members, whether they may be offered or not.
    pub swarm_size: usize,
    /// Whether the caller is a member, as far as is known.
    pub joined: bool,
    /// The store has been away for a while.
    pub stale: bool,
}

/// What a peer says of itself in a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnWord {
    /// Links it has.
    pub degree: u16,
    /// Seconds into the content.
    pub playhead: Option<f32>,
    /// Its tab is hidden, or its battery low.
    pub resting: bool,
}

/// What this node knows of peers, and what it has yet to tell the store.
pub struct Ranking {
    store: Arc<dyn Store>,
    clock: Clock,
    interval: Duration,
}

impl Ranking {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>, clock: Clock, interval: Duration) -> Self {
        Self { store, clock, interval }
    }

    /// Joins.
    pub async fn join(&self, _swarm: &SwarmId, _member: Member, _sample: usize) -> Result<Listing, RankingError> {
        let _ = (&self.store, &self.clock, self.interval);
        unimplemented!()
    }

    /// Finds; a sign of life of the caller.
    pub async fn find(&self, _swarm: &SwarmId, _caller: PeerId, _sample: usize) -> Result<Listing, RankingError> {
        unimplemented!()
    }

    /// Notes a sign of life.
    pub fn heard(&self, _swarm: &SwarmId, _peer: PeerId) {
        unimplemented!()
    }

    /// Leaves; says whether it was a member as far as is known.
    pub async fn leave(&self, _swarm: &SwarmId, _peer: PeerId) -> bool {
        unimplemented!()
    }

    /// Whether the peer is known to have left and not come back. No round trip.
    pub fn is_gone(&self, _swarm: &SwarmId, _peer: PeerId) -> bool {
        unimplemented!()
    }

    /// What this node knows of a member without asking.
    pub fn member(&self, _swarm: &SwarmId, _peer: PeerId) -> Option<Member> {
        unimplemented!()
    }

    /// Notes a peer's word on itself; the newest `(epoch, seq)` counts.
    pub fn says(&self, _swarm: &SwarmId, _peer: PeerId, _at: (u32, u32), _word: OwnWord) {
        unimplemented!()
    }

    /// Notes a receipt about `about`, whose ticket was good. Says whether there was room for it.
    pub fn receipt(&self, _swarm: &SwarmId, _about: PeerId, _source: Source, _receipt: Receipt) -> bool {
        unimplemented!()
    }
}
