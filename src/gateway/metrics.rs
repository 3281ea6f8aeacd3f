//! What operators see of our calls to the gateway.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::GatewayError;

/// Made once at start, so that series exist at zero.
pub(super) struct GatewayMetrics {
    /// One per node, in the order of `gateway.api_url`: 1 while it gets calls.
    pub up: Vec<Gauge>,
    seconds: Histogram,
    unreachable: Counter,
    late: Counter,
    unusable: Counter,
    refused: Counter,
}

impl GatewayMetrics {
    pub fn new(nodes: usize) -> Self {
        let failed = |reason: &'static str| counter!("starling_gateway_calls_failed_total", "reason" => reason);
        let up = |node: usize| {
            let gauge = gauge!("starling_gateway_node_up", "node" => node.to_string());
            gauge.set(1);
            gauge
        };
        Self {
            up: (0..nodes).map(up).collect(),
            seconds: histogram!("starling_gateway_call_seconds"),
            unreachable: failed("unreachable"),
            late: failed("late"),
            unusable: failed("unusable_answer"),
            refused: failed("refused"),
        }
    }

    pub fn called(&self, took: Duration, error: Option<&GatewayError>) {
        self.seconds.record(took);
        match error {
            None | Some(GatewayError::Down) => {}
            Some(GatewayError::Unreachable(_)) => self.unreachable.increment(1),
            Some(GatewayError::Late { .. }) => self.late.increment(1),
            Some(GatewayError::Answer(_)) => self.unusable.increment(1),
            Some(GatewayError::Refused { .. }) => self.refused.increment(1),
        }
    }
}
