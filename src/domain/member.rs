//! What we know of a peer in a swarm.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{ids::PeerId, time::Timestamp};

/// How a peer's NAT maps its ports (RFC 4787, section 4.1), as its client found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nat {
    /// No NAT at all.
    Open,
    /// Endpoint-independent mapping: reachable with a little help.
    Eim,
    /// Address and port dependent mapping: reachable from the two kinds above.
    Apdm,
    /// UDP is blocked.
    Blocked,
    /// Not found out.
    #[default]
    Unknown,
}

/// One peer's membership in one swarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Who.
    pub peer: PeerId,
    /// Whether it may be offered to others: consent, token, network.
    pub upload: bool,
    /// How its NAT behaves.
    pub nat: Nat,
    /// Links it will still take, as it says.
    pub slots: Option<u16>,
    /// Seconds into the content.
    pub playhead: Option<f64>,
    /// What it watches, in kbit/s.
    pub bitrate_kbps: Option<u32>,
    /// Its public address as the gateway saw it, where known. Never shown to anybody.
    pub address: Option<IpAddr>,
    /// When it joined; a join that is repeated keeps the first.
    pub joined: Timestamp,
}
