//! What operators see of proxy calls.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::protocol::Code;

/// RPC methods, and the publish event.
const METHODS: [&str; 7] = ["join", "peers", "signal", "report", "leave", "publish", "unknown"];
const CODES: [Code; 8] = [
    Code::Malformed,
    Code::Unauthorized,
    Code::Forbidden,
    Code::UnknownMethod,
    Code::Gone,
    Code::TooLarge,
    Code::Unprocessable,
    Code::Unavailable,
];
const REFUSALS: [u32; 5] = [4001, 4500, 4501, 4502, 4503];

/// Made once at start, so that series exist at zero.
pub struct ProxyMetrics {
    pub(super) unauthenticated: Counter,
    pub(super) refreshed: Counter,
    pub(super) bad_envelopes: Counter,
    connect_seconds: Histogram,
    refused: [Counter; REFUSALS.len()],
    call_seconds: [Histogram; METHODS.len()],
    errors: [Counter; CODES.len()],
}

impl ProxyMetrics {
    /// Registers the series.
    pub fn new() -> Self {
        Self {
            unauthenticated: counter!("starling_proxy_unauthenticated_total"),
            refreshed: counter!("starling_proxy_refreshes_total"),
            bad_envelopes: counter!("starling_proxy_bad_envelopes_total"),
            connect_seconds: histogram!("starling_proxy_connect_seconds"),
            refused: REFUSALS.map(|code| counter!("starling_proxy_connects_refused_total", "code" => code.to_string())),
            call_seconds: METHODS.map(|method| histogram!("starling_proxy_call_seconds", "method" => method)),
            errors: CODES.map(|code| counter!("starling_proxy_call_errors_total", "code" => code.number().to_string())),
        }
    }

    pub(super) fn connect(&self, took: Duration, refused: Option<u32>) {
        self.connect_seconds.record(took);
        if let Some(index) = refused.and_then(|code| REFUSALS.iter().position(|known| *known == code)) {
            self.refused[index].increment(1);
        }
    }

    pub(super) fn called(&self, method: &str, took: Duration, error: Option<Code>) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        self.call_seconds[method].record(took);
        if let Some(index) = error.and_then(|code| CODES.iter().position(|known| *known == code)) {
            self.errors[index].increment(1);
        }
    }
}

impl Default for ProxyMetrics {
    fn default() -> Self {
        Self::new()
    }
}
