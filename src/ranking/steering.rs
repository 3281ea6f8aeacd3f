//! Policies of single swarms: set on any node, kept in the store, and known on every node an interval later.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tracing::debug;

use super::{Ranking, at_once};
use crate::{
    domain::{PolicyOverrides, SwarmId, Timestamp},
    store::StoreError,
};

type Known = HashMap<SwarmId, (PolicyOverrides, Timestamp), ahash::RandomState>;

/// This node's copy of them.
#[derive(Default)]
pub struct Steering {
    known: ArcSwap<Known>,
    // How many were set here: what was read while one was is older than that.
    set: Mutex<u64>,
}

impl Ranking {
    /// What a swarm's own policy changes, where it has one. No round trip.
    pub fn policy(&self, swarm: &SwarmId) -> Option<PolicyOverrides> {
        self.steered(swarm).map(|(policy, _)| policy)
    }

    /// The same, and until when.
    pub fn steered(&self, swarm: &SwarmId) -> Option<(PolicyOverrides, Timestamp)> {
        self.steering.known.load().get(swarm).filter(|(_, until)| *until > self.clock.now()).cloned()
    }

    /// Gives a swarm a policy of its own until that moment, or takes it away. Known here at once, on other nodes within
    /// an interval. Nothing changes where it fails, as far as is known.
    pub async fn steer(&self, swarm: &SwarmId, policy: Option<(PolicyOverrides, Timestamp)>) -> Result<(), StoreError> {
        at_once(self.store.steer(swarm, policy.clone(), self.clock.now())).await?;
        let mut set = self.steering.set.lock();
        *set += 1;
        let mut known = Known::clone(&self.steering.known.load());
        match policy {
            Some(policy) => known.insert(swarm.clone(), policy),
            None => known.remove(swarm),
        };
        self.steering.known.store(Arc::new(known));
        Ok(())
    }

    /// Reads all of them. With the store away what was known stays, until it ends.
    pub(super) async fn renew_policies(&self) {
        let before = *self.steering.set.lock();
        match self.store.steered(self.clock.now()).await {
            Err(error) => debug!("Policies of swarms stay as they are: {error}"),
            Ok(steered) => {
                let known = steered.into_iter().map(|(swarm, policy, until)| (swarm, (policy, until))).collect();
                let set = self.steering.set.lock();
                if *set == before {
                    self.steering.known.store(Arc::new(known));
                }
            }
        }
    }
}
