//! Data of the connect command and its reply.

use serde::{Deserialize, Serialize};

use super::lists::{PeerList, PeersRequest};
use crate::domain::{PeerId, TaggedPolicy};

/// What a client says when it connects.
#[derive(Debug, Deserialize)]
pub struct ConnectData {
    /// Its access token.
    pub token: String,
    /// Asks to keep a peer id.
    #[serde(default)]
    pub resume: Option<String>,
    /// Asks for a first peer list, so that one round trip reaches the first peers.
    #[serde(default)]
    pub first: Option<PeersRequest>,
}

/// What it gets.
#[derive(Debug, Serialize)]
pub struct ConnectReply {
    /// The protocol version.
    pub v: u32,
    /// Its peer id.
    pub peer: PeerId,
    /// With this it keeps the peer id over a reconnect.
    pub resume: String,
    /// How it should behave.
    pub policy: TaggedPolicy,
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// The first peer list, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<PeerList>,
}

/// One entry of `RTCConfiguration.iceServers`, passed on as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:` and `turn:` URLs.
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}
