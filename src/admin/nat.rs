//! What NATs let through, as this node knows it of all.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use super::Admin;
use crate::domain::{
    Nat, Pair,
    nat::{Outcomes, prior},
};

/// Most pairs of networks shown, those with the most attempts first.
const SHOWN: usize = 100;

/// `GET /nat`: a chance for each two kinds of NAT, what it began with and what corrected it; and pairs of networks.
pub async fn nat(State(admin): State<Arc<Admin>>) -> Json<Value> {
    let pairs = admin.signaling.ranking.pairs();
    let cell = |one, other| {
        let Outcomes { opened, failed } = pairs.outcomes(Pair::classes(one, other));
        json!({
            "chance": digits(pairs.chance_of_classes(one, other)),
            "prior": digits(prior(one, other)),
            "opened": digits(opened),
            "failed": digits(failed),
        })
    };
    let row =
        |one| Nat::ALL.into_iter().map(|other| (other.name().to_owned(), cell(one, other))).collect::<Map<_, _>>();
    let classes: Map<_, _> = Nat::ALL.into_iter().map(|one| (one.name().to_owned(), row(one).into())).collect();
    let mut networks: Vec<_> = pairs
        .iter()
        .filter_map(|(pair, outcomes)| match pair {
            Pair::Networks(one, other) => Some(([one, other], outcomes)),
            Pair::Classes(..) => None,
        })
        .collect();
    networks.sort_by(|(a, one), (b, other)| {
        (other.opened + other.failed).total_cmp(&(one.opened + one.failed)).then_with(|| a.cmp(b))
    });
    let count = networks.len();
    let networks: Vec<_> = networks
        .into_iter()
        .take(SHOWN)
        .map(|(asns, Outcomes { opened, failed })| {
            json!({ "asns": asns, "opened": digits(opened), "failed": digits(failed) })
        })
        .collect();
    Json(json!({ "classes": classes, "networks_known": count, "networks": networks }))
}

/// With three digits behind the point.
fn digits(number: f32) -> f64 {
    (f64::from(number) * 1000.0).round() / 1000.0
}
