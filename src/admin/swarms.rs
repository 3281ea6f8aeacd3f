//! One swarm, and one peer in it, as an operator sees them. No addresses.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use crate::{
    domain::{CostMap, Evidence, PeerId, Place, Ranked, Score, SwarmId, Tally, Timestamp, Totals, evidence::Attempt},
    ranking::Snapshot,
    store::Known,
};

/// Most members shown, the best first; the sizes count all.
const SHOWN: usize = 1000;

/// What an operator gets.
pub type Answer = (StatusCode, Json<Value>);

/// Says no, and why.
pub fn refuse(status: StatusCode, error: &str) -> Answer {
    (status, Json(json!({ "error": error })))
}

/// This node's copy of a swarm where it has one, or else what the store says now.
async fn look(admin: &Admin, swarm: &SwarmId, now: Timestamp) -> Result<Arc<Snapshot>, Answer> {
    if let Some(copy) = admin.signaling.ranking.snapshot(swarm) {
        return Ok(copy);
    }
    match admin.store.pull(swarm, &[], now).await {
        Ok(pulled) => Ok(Arc::new(Snapshot::default().next(pulled, now))),
        Err(error) => Err(refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())),
    }
}

/// `GET /swarms/{id}`: this node's copy where it has one, or else what the store says now.
pub async fn swarm(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Answer {
    let Ok(swarm) = SwarmId::parse(&id) else { return refuse(StatusCode::BAD_REQUEST, "not a swarm id") };
    let now = admin.clock.now();
    let copy = admin.signaling.ranking.snapshot(&swarm);
    let age = copy.as_ref().and_then(|copy| copy.taken()).map(|(_, taken)| taken.elapsed().as_secs_f64());
    let snapshot = match look(&admin, &swarm, now).await {
        Ok(snapshot) => snapshot,
        Err(answer) => return answer,
    };
    if snapshot.rows().is_empty() {
        return refuse(StatusCode::NOT_FOUND, "nobody is in this swarm");
    }
    // Who left since the copy was taken is not offered any more.
    let is_gone = |row: &&Ranked| admin.signaling.ranking.is_gone(&swarm, row.member.peer);
    let mut rows: Vec<_> = snapshot.rows().iter().filter(|row| !is_gone(row)).collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.score, row.seen)));
    let costs = admin.signaling.geo.costs();
    let members: Vec<_> = rows.into_iter().take(SHOWN).map(|row| show(row, &costs, now)).collect();
    let answer = json!({
        "swarm": swarm,
        "size": snapshot.live(),
        "offered": snapshot.offered(),
        "shards": snapshot.versions().len(),
        "copy_age_s": age,
        // The page is of use without it.
        "offload": admin.store.totals(&swarm).await.ok().map(|totals| show_offload(&totals, admin.signaling.ranking.saved(&totals))),
        "members": members,
    });
    (StatusCode::OK, Json(answer))
}

/// Of whom the question is.
#[derive(Deserialize)]
pub struct Asker {
    peer: String,
}

/// `GET /swarms/{id}/explain?peer=`: a list as this peer could get it now, and what speaks for and against each candidate.
/// Another draw comes out otherwise; nobody is introduced by it.
pub async fn explain(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    Query(Asker { peer }): Query<Asker>,
) -> Answer {
    let (Ok(swarm), Ok(peer)) = (SwarmId::parse(&id), PeerId::parse(&peer)) else {
        return refuse(StatusCode::BAD_REQUEST, "not a swarm id and a peer id");
    };
    let now = admin.clock.now();
    let snapshot = match look(&admin, &swarm, now).await {
        Ok(snapshot) => snapshot,
        Err(answer) => return answer,
    };
    let Some(Ranked { member, .. }) = snapshot.member(peer) else {
        return refuse(StatusCode::NOT_FOUND, "this peer is not in this swarm");
    };
    let candidates = admin.signaling.explain(&swarm, member, &snapshot);
    (StatusCode::OK, Json(json!({ "swarm": swarm, "peer": peer, "candidates": candidates })))
}

/// `GET /swarms/{id}/peers/{peer}`: what the store says of it now.
pub async fn peer(State(admin): State<Arc<Admin>>, Path((id, peer)): Path<(String, String)>) -> Answer {
    let (Ok(swarm), Ok(peer)) = (SwarmId::parse(&id), PeerId::parse(&peer)) else {
        return refuse(StatusCode::BAD_REQUEST, "not a swarm id and a peer id");
    };
    let now = admin.clock.now();
    match admin.store.known(&swarm, &[peer]).await.map(|mut known| known.pop().flatten()) {
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Ok(None) => refuse(StatusCode::NOT_FOUND, "this peer is not in this swarm"),
        Ok(Some(Known { ranked, evidence })) => {
            let mut shown = show(&ranked, &admin.signaling.geo.costs(), now);
            shown["evidence"] = evidence.map_or(Value::Null, |evidence| show_evidence(&evidence, now));
            (StatusCode::OK, Json(shown))
        }
    }
}

fn show(Ranked { member, score, seen }: &Ranked, costs: &CostMap, now: Timestamp) -> Value {
    let Place { asn, country, pid } = member.place;
    json!({
        "peer": member.peer,
        "score": (*score > Score::ZERO).then(|| score.value()),
        "upload": member.upload,
        "resting": member.resting,
        "asn": asn,
        "country": country.map(|letters| letters.map(char::from).iter().collect::<String>()),
        "group": pid.and_then(|pid| costs.name(pid)),
        "nat": member.nat,
        "attempts": { "easy": show_tally(member.reach.easy), "hard": show_tally(member.reach.hard) },
        "slots": member.slots,
        "degree": member.degree,
        "playhead": member.playhead,
        "bitrate_kbps": member.bitrate_kbps,
        "joined_s_ago": now.since(member.joined).as_secs(),
        "seen_s_ago": now.since(*seen).as_secs(),
    })
}

fn show_tally(tally: Tally) -> Value {
    json!({ "opened": tally.opened(), "failed": tally.failed() })
}

fn show_offload(totals: &Totals, saved: f64) -> Value {
    let Totals { p2p_bytes, http_bytes, up_bytes, rebuffers, connects, connect_ms } = totals;
    json!({
        "p2p_bytes": p2p_bytes,
        "http_bytes": http_bytes,
        "upload_bytes": up_bytes,
        "ratio": totals.offload(),
        "rebuffers": rebuffers,
        "connects": connects,
        "connect_ms_mean": connect_ms.checked_div(*connects),
        "saved": saved,
    })
}

fn show_evidence(evidence: &Evidence, now: Timestamp) -> Value {
    let connected = |wanted| evidence.reporters.iter().filter(|reporter| reporter.attempt == wanted).count();
    json!({
        "score": evidence.score.value(),
        "connects": evidence.connects,
        "failures": evidence.failures,
        "ok": evidence.ok,
        "timeouts": evidence.timeouts,
        "bad": evidence.bad,
        "speed": evidence.speed,
        "judged_s_ago": now.since(evidence.touched).as_secs(),
        "reporters": { "connected": connected(Attempt::Connected), "failed": connected(Attempt::Failed) },
    })
}
