//! Policies of single swarms.

use std::collections::HashMap;

use crate::{
    domain::{PolicyOverrides, SwarmId, Timestamp},
    store::{MOST_STEERED, Steered, StoreError},
};

/// All of them.
#[derive(Default)]
pub struct Policies(HashMap<SwarmId, (PolicyOverrides, Timestamp)>);

impl Policies {
    pub fn steer(
        &mut self,
        swarm: &SwarmId,
        policy: Option<(PolicyOverrides, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(policy) = policy else {
            self.0.remove(swarm);
            return Ok(());
        };
        if self.0.len() >= MOST_STEERED {
            self.forget(now);
        }
        if self.0.len() >= MOST_STEERED && !self.0.contains_key(swarm) {
            return Err(StoreError::Full);
        }
        self.0.insert(swarm.clone(), policy);
        Ok(())
    }

    pub fn steered(&mut self, now: Timestamp) -> Vec<Steered> {
        self.forget(now);
        self.0.iter().map(|(swarm, (policy, until))| (swarm.clone(), policy.clone(), *until)).collect()
    }

    fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, (_, until)| *until > now);
    }
}
