//! What we remember: who is in which swarm, and what was said of it. The trait speaks in our questions; slices and counts
//! make one call one round trip.

#[cfg(test)]
pub mod conformance;
pub mod memory;
pub mod redis;
#[cfg(test)]
mod switched;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::domain::{Evidence, Member, Outcomes, Pair, PeerId, PolicyOverrides, Ranked, SwarmId, Timestamp, Totals};

pub use memory::MemoryStore;
pub use redis::{RedisStore, Settings as RedisSettings};
#[cfg(test)]
pub use switched::SwitchedStore;

/// A peer that gave no sign of life for so long is not offered any more.
pub const LISTED_FOR: Duration = Duration::from_secs(45);

/// What came of attempts is counted by the hour: what such a count weighs now, an hour later, and two. Older ones are gone.
pub const OUTCOMES_WEIGH: [f32; 3] = [1.0, 0.5, 0.25];
/// Most pairs of networks counted in one hour; another is left out.
pub const MOST_NETWORKS: usize = 4096;

/// Most swarms with a policy of their own.
pub const MOST_STEERED: usize = 10_000;

/// The hour that a moment is in.
const fn hour(now: Timestamp) -> u64 {
    now.seconds() / 3600
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room for another member, or another policy.
    #[error("the store is full")]
    Full,
    /// It cannot be reached, did not answer in time or not as expected. What it was asked may have been done.
    #[error("the store is away: {0}")]
    Away(String),
}

/// Candidates for a list, as the store found them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Peers that may be offered: a uniform sample, in no order.
    pub candidates: Vec<Ranked>,
    /// Live members, whether they may be offered or not. In a swarm of several shards an estimate.
    pub swarm_size: usize,
    /// Whether the caller of `find` is a member; true for `join`.
    pub joined: bool,
}

/// Everything about one member.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// As a list needs it.
    pub ranked: Ranked,
    /// What was said of it, if anything.
    pub evidence: Option<Evidence>,
}

/// What the ranker makes of a member, to be stored unless somebody else stored something first.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The member, as it is to be.
    pub member: Member,
    /// [`Member::said`] as it was read.
    pub said: Timestamp,
    /// The evidence as it is to be, but with the revision that was read (0 for none): the store sets the next one.
    pub evidence: Evidence,
    /// Not seen alive by its counterparts either: takes it out of the ranking until its next sign of life.
    pub unlist: bool,
}

/// A member that is to be put back: a join that could not be written, or one that a store which lost its memory forgot.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The member.
    pub member: Member,
    /// What was said of it, where known.
    pub evidence: Option<Evidence>,
    /// Its last sign of life.
    pub seen: Timestamp,
}

/// A part of a swarm, as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shard {
    /// Grows with every change, signs of life included.
    pub version: u64,
    /// Its members, the silent ones included, in no order.
    pub members: Vec<Ranked>,
    /// Who left, and when, and has not come back.
    pub left: Vec<(PeerId, Timestamp)>,
}

/// What has become of a shard since its last known version.
#[derive(Clone, Debug, PartialEq)]
pub enum Pulled {
    /// Nothing.
    Unchanged,
    /// This.
    Changed(Shard),
    /// The store has lost its memory since (started empty, or a copy took over that had missed something): members can
    /// be missing that never left.
    Lost(Shard),
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Members that fell silent and are offered no longer.
    pub unlisted: Vec<PeerId>,
    /// How many, silent or gone, were forgotten with everything that was said of them.
    pub forgotten: usize,
}

/// A swarm with a policy of its own, what that changes, and when it ends.
pub type Steered = (SwarmId, PolicyOverrides, Timestamp);

/// A hint from another node: this peer left, or was found to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Where.
    pub swarm: SwarmId,
    /// Who.
    pub peer: PeerId,
    /// When.
    pub at: Timestamp,
}

/// A store of memberships. All methods are idempotent. Time is the caller's; it may go back a little between nodes.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes `member` a member of `swarm` (again; `joined` and what was said of it stay), alive `now`, and says so later than it left; then finds up to
    /// `sample` candidates: written first, so of two peers that join at once at least one finds the other. The caller
    /// itself may be among them.
    async fn join(&self, swarm: &SwarmId, member: Member, sample: usize, now: Timestamp) -> Result<Found, StoreError>;

    /// Notes a sign of life of `caller`, as `touch` does; then finds up to `sample` candidates.
    async fn find(&self, swarm: &SwarmId, caller: PeerId, sample: usize, now: Timestamp) -> Result<Found, StoreError>;

    /// Notes signs of life, each with its time; a silent member is offered again. Returns who is no member.
    async fn touch(
        &self,
        swarm: &SwarmId,
        seen: &[(PeerId, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<PeerId>, StoreError>;

    /// Ends a membership; says whether there was one. What was said of the peer is kept until it is forgotten.
    async fn leave(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError>;

    /// Puts members back, each unless it said something or left later than its `said`; `joined` and what was said of it
    /// stay where it is one. Of who said something later the sign of life counts all the same.
    async fn restore(&self, swarm: &SwarmId, members: &[Restored], now: Timestamp) -> Result<(), StoreError>;

    /// Reads everything about some peers, in their order; `None` for who is no member.
    async fn known(&self, swarm: &SwarmId, peers: &[PeerId]) -> Result<Vec<Option<Known>>, StoreError>;

    /// Stores judgements. Returns, of those that are still members, who was changed by somebody else since it was read:
    /// to be read and judged again.
    async fn judge(&self, swarm: &SwarmId, judged: &[Judged], now: Timestamp) -> Result<Vec<PeerId>, StoreError>;

    /// Reads the shards of a swarm that are not at the version known of them. `known` may be shorter than the swarm has
    /// shards, or empty; what is returned is as long as it has.
    async fn pull(&self, swarm: &SwarmId, known: &[u64], now: Timestamp) -> Result<Vec<Pulled>, StoreError>;

    /// Unlists who fell silent, forgets who stayed so. `since`: the time of this caller's last sweep of this swarm.
    async fn sweep(&self, swarm: &SwarmId, since: Option<Timestamp>, now: Timestamp) -> Result<Swept, StoreError>;

    /// Adds to what viewers of a swarm have reported. Where it fails it can have been done, and count twice if repeated.
    async fn account(&self, swarm: &SwarmId, new: Totals, now: Timestamp) -> Result<(), StoreError>;

    /// What viewers of a swarm have reported, since it began. Forgotten with it.
    async fn totals(&self, swarm: &SwarmId) -> Result<Totals, StoreError>;

    /// Adds what came of attempts. Where it fails it can have been done, and count twice if repeated.
    async fn learn(&self, counted: &[(Pair, Outcomes)], now: Timestamp) -> Result<(), StoreError>;

    /// What came of attempts lately, all nodes together, older ones weighing less ([`OUTCOMES_WEIGH`]). In no order.
    async fn learned(&self, now: Timestamp) -> Result<Vec<(Pair, Outcomes)>, StoreError>;

    /// Gives a swarm a policy of its own until that moment, or takes it away.
    async fn steer(
        &self,
        swarm: &SwarmId,
        policy: Option<(PolicyOverrides, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// All policies that have not ended, each with its end; forgets those that have. In no order.
    async fn steered(&self, now: Timestamp) -> Result<Vec<Steered>, StoreError>;

    /// Tells other nodes who is gone. A hint that is lost costs freshness only.
    async fn tell(&self, gone: &[Gone]) -> Result<(), StoreError>;

    /// Hears what other nodes tell, and maybe what this one does.
    fn hear(&self) -> broadcast::Receiver<Gone>;

    /// Announces this node, and counts the live ones, itself included.
    async fn announce(&self, now: Timestamp) -> Result<usize, StoreError>;

    /// What is missing, in words for an operator; `None` when all is well. No round trip: what it knows.
    fn missing(&self) -> Option<String>;
}
