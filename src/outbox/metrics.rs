//! What operators see of the outbox.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::NotPublished;
use crate::{domain::Kind, gateway::Delivery};

/// Made once at start, so that series exist at zero.
pub(super) struct OutboxMetrics {
    accepted: [Counter; 4],
    refused: [Counter; 4],
    published: Counter,
    coalesced: Counter,
    deliveries: Counter,
    failed: Counter,
    pub retried: Counter,
    pub candidates_lost: Counter,
    pub waiting: Gauge,
    pub lane_seconds: Histogram,
    batch_deliveries: Histogram,
    batch_bytes: Histogram,
}

const KINDS: [Kind; 4] = [Kind::Offer, Kind::Answer, Kind::Candidates, Kind::Bye];
const REASONS: [&str; 4] = ["full", "stopping", "gateway", "late"];

impl OutboxMetrics {
    pub fn new() -> Self {
        Self {
            accepted: KINDS.map(|kind| counter!("starling_outbox_signals_accepted_total", "kind" => kind.as_str())),
            refused: REASONS.map(|reason| counter!("starling_outbox_signals_refused_total", "reason" => reason)),
            published: counter!("starling_outbox_signals_published_total"),
            coalesced: counter!("starling_outbox_signals_coalesced_total"),
            deliveries: counter!("starling_outbox_deliveries_published_total"),
            failed: counter!("starling_outbox_deliveries_failed_total"),
            retried: counter!("starling_outbox_deliveries_retried_total"),
            candidates_lost: counter!("starling_outbox_candidates_lost_total"),
            waiting: gauge!("starling_outbox_signals_waiting"),
            lane_seconds: histogram!("starling_outbox_lane_seconds"),
            batch_deliveries: histogram!("starling_outbox_batch_deliveries"),
            batch_bytes: histogram!("starling_outbox_batch_bytes"),
        }
    }

    pub fn accepted(&self, kind: Kind) {
        self.accepted[kind as usize].increment(1);
        self.waiting.increment(1);
    }

    pub fn refused(&self, why: NotPublished) {
        let reason = match why {
            NotPublished::Full => 0,
            NotPublished::Stopping => 1,
            NotPublished::Gateway => 2,
            NotPublished::Late => 3,
        };
        self.refused[reason].increment(1);
    }

    /// A signal has waited for too long, and its verdict does not matter any more.
    pub fn too_late(&self) {
        self.waiting.decrement(1);
        self.refused(NotPublished::Late);
    }

    #[expect(clippy::cast_precision_loss, reason = "a batch has at most 512 deliveries and 3 MB")]
    pub fn batch(&self, deliveries: &[Delivery]) {
        self.batch_deliveries.record(deliveries.len() as f64);
        let bytes: usize = deliveries.iter().flat_map(|delivery| &delivery.signals).map(String::len).sum();
        self.batch_bytes.record(bytes as f64);
    }

    /// A delivery of so many signals has its verdict.
    pub fn settled(&self, signals: usize, published: bool) {
        let count = signals as u64;
        #[expect(clippy::cast_precision_loss, reason = "a delivery has at most some thousand signals")]
        self.waiting.decrement(signals as f64);
        if published {
            self.deliveries.increment(1);
            self.published.increment(count);
            self.coalesced.increment(count - 1);
        } else {
            self.failed.increment(1);
            self.refused[2].increment(count);
        }
    }
}
