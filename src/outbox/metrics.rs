//! What operators see of the outbox.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::domain::Kind;

/// Made once at start, so that series exist at zero.
pub(super) struct OutboxMetrics {
    accepted: [Counter; 4],
    pub full: Counter,
    pub late: Counter,
    pub published: Counter,
    pub failed: Counter,
    pub candidates_lost: Counter,
    pub waiting: Gauge,
    pub lane_seconds: Histogram,
    pub flush_seconds: Histogram,
    pub batch_deliveries: Histogram,
}

const KINDS: [Kind; 4] = [Kind::Offer, Kind::Answer, Kind::Candidates, Kind::Bye];

impl OutboxMetrics {
    pub fn new() -> Self {
        Self {
            accepted: KINDS.map(|kind| counter!("starling_outbox_signals_accepted_total", "kind" => kind.as_str())),
            full: counter!("starling_outbox_signals_refused_total", "reason" => "full"),
            late: counter!("starling_outbox_signals_refused_total", "reason" => "late"),
            published: counter!("starling_outbox_deliveries_published_total"),
            failed: counter!("starling_outbox_deliveries_failed_total"),
            candidates_lost: counter!("starling_outbox_candidates_lost_total"),
            waiting: gauge!("starling_outbox_signals_waiting"),
            lane_seconds: histogram!("starling_outbox_lane_seconds"),
            flush_seconds: histogram!("starling_outbox_flush_seconds"),
            batch_deliveries: histogram!("starling_outbox_batch_deliveries"),
        }
    }

    pub fn accepted(&self, kind: Kind) {
        self.accepted[kind as usize].increment(1);
    }
}
