//! What the network is worth, as operators see it: of the reports that this node judged.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::Mutex;

use crate::domain::Totals;

/// Made once at start, so that series exist at zero.
pub struct OffloadMetrics {
    price_per_gb: f64,
    sum: Mutex<Totals>,
    p2p: Counter,
    http: Counter,
    upload: Counter,
    rebuffers: Counter,
    ratio: Gauge,
    // Money comes in fractions, which counters do not hold.
    saved: Gauge,
    connect_seconds: Histogram,
}

impl OffloadMetrics {
    /// Registers the series.
    pub fn new(price_per_gb: f64) -> Self {
        Self {
            price_per_gb,
            sum: Mutex::default(),
            p2p: counter!("starling_offload_p2p_bytes_total"),
            http: counter!("starling_offload_http_bytes_total"),
            upload: counter!("starling_offload_upload_bytes_total"),
            rebuffers: counter!("starling_offload_rebuffers_total"),
            ratio: gauge!("starling_offload_ratio"),
            saved: gauge!("starling_offload_saved"),
            connect_seconds: histogram!("starling_signaling_link_connect_seconds"),
        }
    }

    /// Counts what is new.
    pub fn count(&self, new: Totals) {
        self.p2p.increment(new.p2p_bytes);
        self.http.increment(new.http_bytes);
        self.upload.increment(new.up_bytes);
        self.rebuffers.increment(new.rebuffers);
        let mut sum = self.sum.lock();
        *sum = sum.plus(new);
        self.ratio.set(sum.offload().unwrap_or_default());
        self.saved.set(sum.saved(self.price_per_gb));
    }

    /// A link has opened.
    pub fn connected(&self, ms: u32) {
        self.connect_seconds.record(Duration::from_millis(ms.into()));
    }
}
