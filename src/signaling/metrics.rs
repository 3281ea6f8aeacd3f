//! What operators see of the use cases.

use metrics::{Counter, Histogram, counter, histogram};

use super::RelayError;
use crate::outbox::NotPublished;

/// Made once at start, so that series exist at zero.
pub struct SignalingMetrics {
    relayed: Counter,
    malformed: Counter,
    ticket: Counter,
    gone: Counter,
    not_published: Counter,
    listed_peers: Histogram,
}

impl SignalingMetrics {
    /// Registers the series.
    pub fn new() -> Self {
        let refused = |reason: &'static str| counter!("starling_signaling_signals_refused_total", "reason" => reason);
        Self {
            relayed: counter!("starling_signaling_signals_relayed_total"),
            malformed: refused("malformed"),
            ticket: refused("ticket"),
            gone: refused("gone"),
            not_published: refused("not_published"),
            listed_peers: histogram!("starling_signaling_listed_peers"),
        }
    }

    pub(super) fn relayed(&self, error: Option<&RelayError>) {
        let counter = match error {
            None => &self.relayed,
            Some(RelayError::Malformed(_) | RelayError::Bad(_)) => &self.malformed,
            Some(RelayError::Ticket(_)) => &self.ticket,
            Some(RelayError::Gone) => &self.gone,
            Some(RelayError::NotPublished(
                NotPublished::Full | NotPublished::Stopping | NotPublished::Gateway | NotPublished::Late,
            )) => &self.not_published,
        };
        counter.increment(1);
    }

    pub(super) fn listed(&self, peers: usize) {
        self.listed_peers.record(u8::try_from(peers).unwrap_or(u8::MAX));
    }
}

impl Default for SignalingMetrics {
    fn default() -> Self {
        Self::new()
    }
}
