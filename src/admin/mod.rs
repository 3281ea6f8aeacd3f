//! What operators ask: are you alive, are you ready, how much is there, who is in this swarm; and how they steer one. On a
//! listener of its own.

mod health;
mod nat;
mod policy;
mod swarms;

use std::sync::{Arc, atomic::AtomicU8};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{clock::Clock, gateway::Gateway, signaling::Signaling, store::Store};

pub use health::Phase;

/// What the handlers share.
pub struct Admin {
    /// Starting, running or stopping.
    pub phase: AtomicU8,
    /// Asked whether it is there.
    pub gateway: Arc<dyn Gateway>,
    /// Shown swarm by swarm, and asked for reasons.
    pub signaling: Arc<Signaling>,
    /// Asked for what is not at hand.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Clock,
    /// All series.
    pub metrics: PrometheusHandle,
}

/// The routes.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics))
        .route("/nat", get(nat::nat))
        .route("/swarms/{id}", get(swarms::swarm))
        .route("/swarms/{id}/peers/{peer}", get(swarms::peer))
        .route("/swarms/{id}/explain", get(swarms::explain))
        .route("/swarms/{id}/policy", get(policy::get).put(policy::put).delete(policy::delete))
        .fallback(not_found)
        .with_state(admin)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> String {
    admin.metrics.render()
}

async fn not_found() -> (StatusCode, &'static str) {
    let words = "There is /health/live, /health/ready, /metrics, /nat, /swarms/{id}, /swarms/{id}/peers/{peer}, \
                 /swarms/{id}/explain?peer= and /swarms/{id}/policy, a swarm's slashes written as %2F.\n";
    (StatusCode::NOT_FOUND, words)
}
