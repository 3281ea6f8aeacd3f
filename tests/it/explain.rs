//! Why a list is as it is, for those who may ask.

use std::time::Duration;

use serde_json::{Value, json};
use starling::domain::token::Claims;

use crate::{
    client::{Client, Connected},
    world::{Transport, World},
};

const ADDRESS: &str = "198.51.100.7";

/// Somebody who may ask for reasons, or not.
fn token(world: &World, explain: bool) -> String {
    world.sign(&Claims { explain, ..world.claims(&["s"]) })
}

/// A peer that has joined `s` from a public address, with this NAT.
async fn joined(world: &World, explain: bool, nat: &str) -> Connected {
    let data = json!({ "v": 1, "token": token(world, explain) });
    let peer = Client::connect_with(&world.url(), Some(ADDRESS), json!({ "data": data })).await.unwrap();
    peer.rpc("join", json!({ "swarm": "s", "want": 0, "net": { "nat": nat } })).await.unwrap();
    peer
}

fn fate<'a>(peer: &Connected, candidates: &'a Value) -> &'a Value {
    let entry = candidates.as_array().unwrap().iter().find(|entry| entry["peer"] == peer.peer);
    &entry.expect("it is a candidate")["reasons"]["fate"]
}

#[tokio::test]
async fn only_whom_the_token_lets_is_told_reasons() {
    let world = World::start(Transport::Grpc).await;
    let (ann, bob) = (joined(&world, false, "eim").await, joined(&world, true, "eim").await);
    let ask = json!({ "swarm": "s", "want": 4, "explain": true });
    assert_eq!(ann.refusal("peers", ask.clone()).await, 403);
    for (explain, shown) in [(false, false), (true, true)] {
        let data = json!({ "v": 1, "token": token(&world, explain), "first": ask });
        let first = world.connect(data).await.reply["data"]["first"].clone();
        let entries = first["peers"].as_array().unwrap();
        assert!(!entries.is_empty());
        assert!(entries.iter().all(|entry| entry.get("reasons").is_some() == shown), "{first}");
        assert_eq!(first.get("others").is_some(), shown, "{first}");
    }
    let plain = bob.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert!(plain.get("others").is_none() && plain["peers"][0].get("reasons").is_none(), "who may ask need not");
}

#[tokio::test]
async fn reasons_tell_what_became_of_each_and_no_addresses() {
    let world = World::start(Transport::Grpc).await;
    let ann = joined(&world, true, "apdm").await;
    let (bob, cem) = (joined(&world, false, "eim").await, joined(&world, false, "apdm").await);
    let list = ann.rpc("peers", json!({ "swarm": "s", "want": 4, "explain": true })).await.unwrap();
    let shown = |key: &str, peer: &Connected| fate(peer, &list[key]).as_str().unwrap().to_owned();
    assert!(["drawn", "explored"].contains(&shown("peers", &bob).as_str()), "{list}");
    assert_eq!(shown("others", &cem), "nat");
    let reasons = &list["peers"][0]["reasons"];
    for (factor, value) in
        [("score", 0.15), ("locality", 1.0), ("nat", 0.5), ("free", 1.0), ("content", 1.0), ("weight", 0.075)]
    {
        assert!((reasons[factor].as_f64().unwrap() - value).abs() < 1e-6, "{factor} of {reasons}");
    }
    assert_eq!(reasons["held"], 0);
    assert!(!list.to_string().contains("198.51"), "{list}");
}

#[tokio::test]
async fn whose_links_all_go_through_turn_is_kept_apart_from_nobody_by_its_nat() {
    let world = World::start(Transport::Grpc).await;
    let (ann, bob) = (joined(&world, true, "apdm").await, joined(&world, false, "apdm").await);
    let list = async || ann.rpc("peers", json!({ "swarm": "s", "explain": true })).await.unwrap();
    let before = list().await;
    assert_eq!(fate(&bob, &before["others"]), "nat", "{before}");
    world.ask("PUT", "/swarms/s/policy", r#"{ "turn": "only" }"#).await;
    let after = list().await;
    assert!(after["peers"][0]["reasons"]["nat"].as_f64().unwrap() > 0.9, "{after}");
    let (_, shown) = world.admin(&format!("/swarms/s/explain?peer={}", ann.peer)).await;
    assert_ne!(fate(&bob, &shown["candidates"]), "nat", "{shown}");
    let cem = joined(&world, false, "apdm").await;
    let list = cem.rpc("join", json!({ "swarm": "s", "net": { "nat": "apdm" } })).await.unwrap();
    assert_eq!(list["peers"].as_array().unwrap().len(), 2, "{list}");
}

#[tokio::test]
async fn who_does_not_say_where_it_plays_has_played_on_since_it_said_so() {
    let world = World::start(Transport::Grpc).await;
    let (ann, bob) = (joined(&world, true, "eim").await, joined(&world, false, "eim").await);
    for (peer, playhead) in [(&ann, 1000), (&bob, 1180)] {
        peer.rpc("join", json!({ "swarm": "s", "want": 0, "playhead": playhead })).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(20));
    for (about, content) in [(json!({}), 0.55), (json!({ "playhead": 1200 }), 1.0)] {
        let mut ask = json!({ "swarm": "s", "explain": true });
        ask.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        let list = ann.rpc("peers", ask).await.unwrap();
        let shown = list["peers"][0]["reasons"]["content"].as_f64().unwrap();
        assert!((shown - content).abs() < 1e-3, "{content} expected: {list}");
    }
}

#[tokio::test]
async fn an_operator_sees_a_list_without_anybody_being_introduced() {
    let world = World::start(Transport::Grpc).await;
    let (ann, bob) = (joined(&world, false, "eim").await, joined(&world, false, "eim").await);
    let path = format!("/swarms/s/explain?peer={}", ann.peer);
    world.clock.advance(Duration::from_secs(15)); // they were introduced as they joined
    for _ in 0..3 {
        let (status, shown) = world.admin(&path).await;
        assert_eq!((status, &shown["swarm"], &shown["peer"]), (200, &json!("s"), &json!(ann.peer)));
        let [candidate] = &shown["candidates"].as_array().unwrap()[..] else { panic!("{shown}") };
        assert_eq!((&candidate["peer"], &candidate["reasons"]["held"]), (&json!(bob.peer), &json!(0)));
        assert!(candidate["reasons"].get("overlooked").is_none(), "nobody was introduced by asking: {shown}");
        assert!(!shown.to_string().contains("198.51"), "{shown}");
    }
    ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    let (_, shown) = world.admin(&path).await;
    assert_eq!(shown["candidates"][0]["reasons"]["overlooked"], "tried", "{shown}");
    world.ask("PUT", "/swarms/s/policy", r#"{ "degree_max": 0 }"#).await;
    let (_, shown) = world.admin(&path).await;
    assert_eq!(fate(&bob, &shown["candidates"]), "full", "who names no slots has those of the policy: {shown}");
    bob.rpc("join", json!({ "swarm": "s", "want": 0, "slots": 4 })).await.unwrap();
    assert_eq!(fate(&bob, &world.admin(&path).await.1["candidates"]), "full", "and whoever names more");
    world.ask("PUT", "/swarms/s/policy", r#"{ "upload": false }"#).await;
    assert_eq!(world.admin(&path).await.1["candidates"], json!([]), "where uploading is off, nobody is listed");
    for (path, status) in [
        ("/swarms/s/explain?peer=AAAAAAAAAAAAAAAAAAAAAA", 404),
        ("/swarms/nobody/explain?peer=AAAAAAAAAAAAAAAAAAAAAA", 404),
        ("/swarms/s/explain?peer=me", 400),
        ("/swarms/s/explain", 400),
    ] {
        assert_eq!(world.admin(path).await.0, status, "{path}");
    }
}
