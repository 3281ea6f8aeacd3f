//! Liveness and readiness.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use super::Admin;

/// Where in its life the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Running,
    /// Finishing what it has in hand.
    Stopping,
}

impl Admin {
    /// Says where we are.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }
}

/// Alive: it answers. Depends on nothing else.
pub async fn live() -> &'static str {
    "alive\n"
}

/// Ready: 503 only while starting or stopping. A dependency that fails is named under 200, since it fails for every
/// backend at once and must not take all of them out of the balancer.
pub async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Value>) {
    let phase = admin.phase.load(Relaxed);
    for (not_ready, word) in [(Phase::Starting, "starting"), (Phase::Stopping, "stopping")] {
        if phase == not_ready as u8 {
            return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": word })));
        }
    }
    let answer = match admin.gateway.missing() {
        None => json!({ "status": "ready" }),
        Some(what) => json!({ "status": "degraded", "missing": { "gateway": what } }),
    };
    (StatusCode::OK, Json(answer))
}
