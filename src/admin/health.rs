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
    let mut missing = serde_json::Map::new();
    let parts = [
        ("gateway", admin.gateway.missing()),
        ("redis", admin.store.missing()),
        ("geo", admin.signaling.geo.missing()),
    ];
    for (part, what) in parts {
        missing.extend(what.map(|what| (part.to_owned(), what.into())));
    }
    let answer = if missing.is_empty() {
        json!({ "status": "ready" })
    } else {
        json!({ "status": "degraded", "missing": missing })
    };
    (StatusCode::OK, Json(answer))
}
