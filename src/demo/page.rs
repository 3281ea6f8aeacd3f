//! The demo's page, where it finds the gateway, and tokens for whoever asks: on loopback only.

use std::{path::Path, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::services::ServeDir;

use crate::{
    clock::Clock,
    domain::{
        SwarmId, SwarmPattern,
        token::{Claims, TokenKeys},
    },
};

/// How long a token of the demo is valid.
const TTL: Duration = Duration::from_hours(1);

/// The page in `folder`, `/demo.json` and `/token`.
pub fn router(folder: &Path, url: &str, swarm: &SwarmId, keys: TokenKeys) -> Router {
    let demo = json!({ "url": url, "swarm": swarm });
    Router::new()
        .route("/demo.json", get(async move || Json(demo)))
        .route("/token", get(token))
        .fallback_service(ServeDir::new(folder))
        .with_state(keys)
}

#[derive(Deserialize)]
struct For {
    swarm: String,
}

async fn token(State(keys): State<TokenKeys>, Query(For { swarm }): Query<For>) -> (StatusCode, Json<Value>) {
    let swarm = match SwarmId::parse(&swarm) {
        Ok(swarm) => swarm,
        Err(error) => return (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))),
    };
    let claims = Claims::until(Clock::System.now() + TTL, vec![SwarmPattern::Exact(swarm)]);
    match keys.sign(&claims) {
        Some(token) => (StatusCode::OK, Json(json!({ "token": token }))),
        None => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "no key can sign" }))),
    }
}
