//! What the network is worth to a swarm: bytes that came from peers instead of servers, as viewers' reports say.

/// A peer's own counters, all growing within one epoch of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The client's epoch; counters begin anew when it grows. Compared as serial numbers (RFC 1982).
    pub epoch: u16,
    /// Bytes received from peers.
    pub down_bytes: u64,
    /// Bytes received from servers.
    pub http_bytes: u64,
    /// Bytes sent to peers.
    pub up_bytes: u64,
    /// How often playing stopped for want of data.
    pub rebuffers: u32,
}

/// What all viewers of a swarm together have reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes received from peers.
    pub p2p_bytes: u64,
    /// Bytes received from servers.
    pub http_bytes: u64,
    /// Bytes sent to peers.
    pub up_bytes: u64,
    /// How often playing stopped for want of data.
    pub rebuffers: u64,
    /// Links that opened.
    pub connects: u64,
    /// Milliseconds from their attempts' beginnings to the open channels, all together.
    pub connect_ms: u64,
}

impl Totals {
    /// The share of bytes that came from peers; `None` before any came.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of which three digits matter")]
    pub fn offload(&self) -> Option<f64> {
        let all = self.p2p_bytes.saturating_add(self.http_bytes);
        (all > 0).then(|| self.p2p_bytes as f64 / all as f64)
    }
}
