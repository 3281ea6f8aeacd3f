//! Bytes on the wire, version 1: what clients ask and what we answer. Unknown fields are ignored, so that a newer client
//! works with an older server.

mod code;
mod connect;
mod lists;
mod report;
mod session;
mod signal;

use crate::domain::PeerId;

pub use code::{Code, Refusal};
pub use connect::{ConnectData, ConnectReply, IceServer};
pub use lists::{Explained, JoinRequest, LeaveRequest, Near, NetInfo, Peer, PeerList, PeersRequest, Reasons};
pub use report::{CandidateType, ReportReply, ReportRequest, ReportedReceipt};
pub use session::Session;
pub use signal::{
    Addressed, Delivered, MalformedSignal, SignalError, SignalReply, SignalRequest, SignalResult, push_delivery,
};

/// What the name of a peer's inbox begins with.
const INBOX: &str = "inbox:";
/// The version this server speaks.
pub const VERSION: u32 = 1;
/// Largest `signal` request, in bytes.
pub const MAX_SIGNAL_REQUEST: usize = 64 * 1024;
/// Largest `report` request, in bytes.
pub const MAX_REPORT_REQUEST: usize = 4 * 1024;
/// Largest request of any other kind, in bytes.
pub const MAX_REQUEST: usize = 16 * 1024;
/// Most signals in one call.
pub const MAX_SIGNALS: usize = 16;
/// Most receipts in one report.
pub const MAX_RECEIPTS: usize = 16;

/// The server-side channel in which a peer hears what is addressed to it.
pub fn inbox(peer: PeerId) -> String {
    format!("{INBOX}{peer}")
}

/// Whose inbox that is; `None` for any other channel.
pub fn owner(channel: &str) -> Option<PeerId> {
    PeerId::parse(channel.strip_prefix(INBOX)?).ok()
}
