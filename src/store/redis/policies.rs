//! Policies of single swarms, for all nodes.

use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::{BEHIND, Command, Now, RedisStore, Request, answers::pairs, bytes, number, scripts, text, unexpected};
use crate::{
    domain::{PolicyOverrides, SwarmId, Timestamp},
    store::{MOST_STEERED, Steered, StoreError},
};

/// Lifetime of all after the last one was written.
const KEPT: Duration = Duration::from_hours(90 * 24);
/// Policies that one script takes away at most.
const MOST: usize = 500;

/// A policy as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// In ms since the Unix epoch.
    until: u64,
    policy: PolicyOverrides,
}

impl RedisStore {
    pub(super) async fn write_policy(
        &self,
        swarm: &SwarmId,
        policy: Option<(PolicyOverrides, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (key, tag) = self.keys.policies();
        let swarm = swarm.as_str().as_bytes();
        let Some((policy, until)) = policy else {
            let request = Request::to(tag).command("HDEL", &key, &[swarm]);
            return self.connection.send(Command::Steer, &request, BEHIND).await.map(drop);
        };
        let stored = Stored { until: until.0, policy };
        let stored = serde_json::to_vec(&stored).expect("numbers and words are JSON");
        let arguments = vec![text(MOST_STEERED as u64), swarm.to_vec(), stored];
        let now = Now { now, remember: KEPT };
        let request = Request::script_on(&scripts::STEER, tag, vec![key], now, arguments);
        let answers = self.connection.send(Command::Steer, &request, BEHIND).await?;
        match answers.first().and_then(number) {
            Some(1) => Ok(()),
            Some(0) => Err(StoreError::Full),
            _ => Err(unexpected(Command::Steer)),
        }
    }

    pub(super) async fn read_policies(&self, now: Timestamp) -> Result<Vec<Steered>, StoreError> {
        let (key, tag) = self.keys.policies();
        let request = Request::to(tag).command("HGETALL", &key, &[]);
        let answers = self.connection.send(Command::Steered, &request, BEHIND).await?;
        let all = answers.first().and_then(pairs).ok_or_else(|| unexpected(Command::Steered))?;
        let (mut steered, mut ended) = (Vec::with_capacity(all.len()), Vec::new());
        for (name, stored) in all {
            match read(name, stored) {
                Some(policy) if policy.2 > now => steered.push(policy),
                Some(_) => ended.push([name, stored].map(|value| bytes(value).unwrap_or_default().to_vec())),
                // Another version's: it knows when that ends.
                None => {}
            }
        }
        for some in ended.chunks(MOST) {
            let now = Now { now, remember: KEPT };
            let request = Request::script_on(&scripts::UNSTEER, tag, vec![key.clone()], now, some.concat());
            self.connection.send(Command::Steered, &request, BEHIND).await?;
        }
        Ok(steered)
    }
}

fn read(name: &Value, stored: &Value) -> Option<Steered> {
    let swarm = SwarmId::parse(std::str::from_utf8(bytes(name)?).ok()?).ok()?;
    let Stored { until, policy } = serde_json::from_slice(bytes(stored)?).ok()?;
    Some((swarm, policy, Timestamp(until)))
}
