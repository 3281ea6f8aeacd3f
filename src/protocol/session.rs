//! The session: it lives on the connection (as Centrifugo's connection meta), not in our memory, and comes back with
//! every call.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::{Policy, PolicyOverrides, Prefix, SwarmId, SwarmPattern, Timestamp};

/// What the token allowed, and where the client came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Swarms it may join.
    pub swarms: Vec<SwarmPattern>,
    /// When the token ends, in seconds since the epoch.
    pub exp: u64,
    /// Whether the token lets it upload, by its claim and by its policy.
    pub upload: bool,
    /// Whether it keeps a peer id from before: then another connection may have the same one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Whether the token lets it ask why its lists are as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub explain: bool,
    /// What the token changes in the policy.
    #[serde(default, skip_serializing_if = "PolicyOverrides::is_empty")]
    pub policy: PolicyOverrides,
    /// Its public address, where the gateway passes it on. Centrifugo keeps it beside the connection that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl Session {
    /// Whether the token allows `swarm`.
    pub fn allows(&self, swarm: &SwarmId) -> bool {
        self.swarms.iter().any(|pattern| pattern.allows(swarm))
    }

    /// The policy that its connection began with, whatever an operator says of a swarm.
    pub fn policy(&self) -> Policy {
        let policy = Policy::default().with(&self.policy);
        Policy { upload: policy.upload && self.upload, ..policy }
    }

    /// The prefix of its address, where known. Not of loopback: there everybody has the same.
    pub fn prefix(&self) -> Option<Prefix> {
        self.address.and_then(Prefix::telling)
    }

    /// Whether the token has ended.
    pub fn expired(&self, now: Timestamp) -> bool {
        now >= Timestamp::from_seconds(self.exp)
    }
}
