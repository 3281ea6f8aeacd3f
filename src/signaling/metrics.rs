//! What operators see of the use cases.

use metrics::{Counter, Histogram, counter, histogram};

use super::{PublishError, RelayError, report::Uncounted};

/// Made once at start, so that series exist at zero.
pub struct SignalingMetrics {
    relayed: Counter,
    published: Counter,
    malformed: Counter,
    ticket: Counter,
    gone: Counter,
    not_published: Counter,
    listed_peers: Histogram,
    receipts: Counter,
    foreign_receipts: Counter,
    own_receipts: Counter,
    double_receipts: Counter,
    crowded_receipts: Counter,
}

impl SignalingMetrics {
    /// Registers the series.
    pub fn new() -> Self {
        let refused = |reason: &'static str| counter!("starling_signaling_signals_refused_total", "reason" => reason);
        let receipt = |reason: &'static str| counter!("starling_signaling_receipts_refused_total", "reason" => reason);
        let relayed = |by: &'static str| counter!("starling_signaling_signals_relayed_total", "by" => by);
        Self {
            relayed: relayed("lane"),
            published: relayed("gateway"),
            malformed: refused("malformed"),
            ticket: refused("ticket"),
            gone: refused("gone"),
            not_published: refused("not_published"),
            listed_peers: histogram!("starling_signaling_listed_peers"),
            receipts: counter!("starling_signaling_receipts_total"),
            foreign_receipts: receipt("ticket"),
            own_receipts: receipt("self"),
            double_receipts: receipt("double"),
            crowded_receipts: receipt("full"),
        }
    }

    /// A signal of a call went out by its lane, or did not.
    pub(super) fn called(&self, error: Option<&RelayError>) {
        match error {
            None => self.relayed.increment(1),
            Some(error) => self.refused(error),
        }
    }

    /// A signal was handed to the gateway, which publishes it itself, or was not.
    pub(super) fn published(&self, error: Option<&PublishError>) {
        match error {
            None => self.published.increment(1),
            Some(PublishError::Relay(error)) => self.refused(error),
            Some(PublishError::Call(_)) => {} // counted as every call's error
        }
    }

    fn refused(&self, error: &RelayError) {
        let counter = match error {
            RelayError::Malformed(_) | RelayError::Bad(_) => &self.malformed,
            RelayError::Ticket(_) => &self.ticket,
            RelayError::Gone => &self.gone,
            RelayError::NotPublished(_) => &self.not_published,
        };
        counter.increment(1);
    }

    /// A receipt counts, or does not.
    pub(super) fn receipt(&self, uncounted: Option<Uncounted>) {
        let counter = match uncounted {
            None => &self.receipts,
            Some(Uncounted::Ticket) => &self.foreign_receipts,
            Some(Uncounted::Oneself) => &self.own_receipts,
            Some(Uncounted::Double) => &self.double_receipts,
            Some(Uncounted::Full) => &self.crowded_receipts,
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
