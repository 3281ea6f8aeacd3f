//! What we remember: who is in which swarm. The trait speaks in our questions; slices and counts make one call one
//! round trip.

#[cfg(test)]
pub mod conformance;
pub mod memory;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{Member, PeerId, SwarmId, Timestamp};

pub use memory::MemoryStore;

/// A peer that gave no sign of life for so long is not offered any more.
pub const LISTED_FOR: Duration = Duration::from_secs(45);
/// And after so long it is forgotten; so is the fact that a peer left.
pub const REMEMBERED_FOR: Duration = Duration::from_mins(10);
/// Most swarms one peer can be in.
pub const MAX_SWARMS: usize = 4;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The peer is in [`MAX_SWARMS`] other swarms.
    #[error("a peer is in at most {MAX_SWARMS} swarms")]
    TooManySwarms,
    /// No room for another member.
    #[error("the store is full")]
    Full,
}

/// Candidates for a list, as the store found them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Peers that may be offered: a uniform sample, in no order.
    pub candidates: Vec<Member>,
    /// Live members, whether they may be offered or not.
    pub swarm_size: usize,
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Members that fell silent and are offered no longer.
    pub unlisted: Vec<(SwarmId, PeerId)>,
    /// How many members were forgotten.
    pub forgotten: usize,
}

/// Everything that is counted over all swarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Swarms with at least one member.
    pub swarms: usize,
    /// Members that are alive.
    pub live: usize,
    /// Members remembered, the silent ones included.
    pub members: usize,
}

/// One swarm as an operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SwarmView {
    /// Live members.
    pub size: usize,
    /// Members that may be offered.
    pub offered: usize,
    /// Some of them, with the time of their last sign of life.
    pub members: Vec<(Member, Timestamp)>,
}

/// A store of memberships. All methods are idempotent. Time is the caller's; it may go back a little between nodes.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes `member` a member of `swarm` (again), then finds up to `sample` candidates: written first, so of two
    /// peers that join at once at least one finds the other. The caller itself may be among them.
    async fn join(&self, swarm: &SwarmId, member: Member, sample: usize, now: Timestamp) -> Result<Found, StoreError>;

    /// Finds up to `sample` candidates.
    async fn find(&self, swarm: &SwarmId, sample: usize, now: Timestamp) -> Result<Found, StoreError>;

    /// Notes a sign of life; a silent member is offered again. Says whether the peer is a member.
    async fn touch(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError>;

    /// Ends a membership; says whether there was one.
    async fn leave(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError>;

    /// Whether `peer` is known to have left `swarm` and not come back. No round trip: what this node knows.
    fn is_gone(&self, swarm: &SwarmId, peer: PeerId) -> bool;

    /// Unlists who fell silent, forgets who stayed silent.
    async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError>;

    /// Counts everything.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Shows a swarm and up to `limit` of its members; `None` when nobody is in it.
    async fn describe(&self, swarm: &SwarmId, limit: usize, now: Timestamp) -> Result<Option<SwarmView>, StoreError>;
}
