//! One swarm as an operator sees it. No addresses.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::Admin;
use crate::{
    domain::{Member, SwarmId, Timestamp},
    store::SwarmView,
};

/// Most members shown; the sizes count all.
const SHOWN: usize = 1000;

/// `GET /swarms/{id}`
pub async fn swarm(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> (StatusCode, Json<Value>) {
    let Ok(swarm) = SwarmId::parse(&id) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "not a swarm id" })));
    };
    let now = admin.clock.now();
    match admin.store.describe(&swarm, SHOWN, now).await {
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error.to_string() }))),
        Ok(None) => (StatusCode::NOT_FOUND, Json(json!({ "error": "nobody is in this swarm" }))),
        Ok(Some(SwarmView { size, offered, members })) => {
            let members: Vec<_> = members.iter().map(|(member, seen)| show(member, *seen, now)).collect();
            (StatusCode::OK, Json(json!({ "swarm": swarm, "size": size, "offered": offered, "members": members })))
        }
    }
}

fn show(member: &Member, seen: Timestamp, now: Timestamp) -> Value {
    json!({
        "peer": member.peer,
        "upload": member.upload,
        "nat": member.nat,
        "slots": member.slots,
        "playhead": member.playhead,
        "bitrate_kbps": member.bitrate_kbps,
        "joined_s_ago": now.since(member.joined).as_secs(),
        "seen_s_ago": now.since(seen).as_secs(),
    })
}
