//! Policy steered by the server: what an operator changes reaches clients with their next report.

use std::time::Duration;

use serde_json::{Value, json};
use starling::domain::{PolicyOverrides, token::Claims};

use crate::{
    client::Connected,
    over_both_transports,
    world::{Transport, World},
};

over_both_transports! {
    what_an_operator_changes_comes_with_the_next_report_until_it_is_known,
    a_change_ends_by_itself,
    where_uploading_is_off_nobody_is_listed,
    an_operators_word_wins_over_the_tokens_but_forbidding_adds_up,
}

/// Reports as somebody who has this policy, or does not say; returns the one that the reply brings.
async fn told(peer: &Connected, swarm: &str, had: Option<&Value>) -> Option<Value> {
    let mut report = json!({
        "swarm": swarm, "epoch": 0, "seq": 1, "up_bytes": 0, "down_bytes": 0, "http_bytes": 0, "rebuffers": 0, "degree": 0,
        "receipts": [],
    });
    if let Some(had) = had {
        report["policy"] = had["tag"].clone();
    }
    peer.rpc("report", report).await.unwrap().get("policy").cloned()
}

async fn steer(world: &World, path: &str, changes: Value) -> Value {
    let (status, answer) = world.ask("PUT", path, &changes.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn listed(peer: &Connected, swarm: &str) -> usize {
    peer.rpc("peers", json!({ "swarm": swarm, "want": 16 })).await.unwrap()["peers"].as_array().unwrap().len()
}

async fn what_an_operator_changes_comes_with_the_next_report_until_it_is_known(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob) = (world.joined().await, world.joined().await);
    let first = ann.reply["data"]["policy"].clone();
    assert_eq!((told(&ann, "s", None).await, told(&ann, "s", Some(&first)).await), (None, None));

    let answer = steer(&world, "/swarms/s/policy", json!({ "degree_max": 4, "want": 2 })).await;
    let new = told(&ann, "s", Some(&first)).await.expect("the policy has changed");
    assert_eq!((&new["degree_max"], &new["want"], &new["idle_interval_s"]), (&json!(4), &json!(2), &json!(30)));
    assert_eq!(answer["policy"], new);
    assert_eq!(told(&ann, "s", Some(&new)).await, None, "it is known");
    assert_eq!(told(&bob, "s", None).await, Some(new.clone()), "who says nothing has what it connected with");
    assert_eq!(told(&bob, "movie/1", Some(&first)).await, None, "of one swarm");

    for _ in 0..4 {
        world.joined().await;
    }
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(list["peers"].as_array().unwrap().len(), 2, "want is the swarm's where none is said");
    world.clock.advance(Duration::from_secs(31)); // until then it has slots for the peers it was given
    assert_eq!(listed(&ann, "s").await, 4, "more where it says so, up to the links that it may have");
    world.clock.advance(Duration::from_secs(1)); // in this one, everybody was introduced often enough
    let connected = world.connect(json!({ "v": 1, "token": world.token(&["s"]), "first": { "swarm": "s" } })).await;
    assert_eq!(connected.reply["data"]["policy"], new, "whoever asks for a first list has it at once");
    assert_eq!(connected.reply["data"]["first"]["peers"].as_array().unwrap().len(), 2);

    let (status, answer) = world.ask("DELETE", "/swarms/s/policy", "").await;
    assert_eq!((status, &answer["changes"], &answer["until"]), (200, &Value::Null, &Value::Null));
    assert_eq!(told(&ann, "s", Some(&new)).await, Some(first), "the old one comes back");
    assert_eq!(told(&bob, "s", None).await, None);
}

async fn a_change_ends_by_itself(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.joined().await;
    let answer = steer(&world, "/swarms/movie%2F1/policy?for=10m", json!({ "turn": "never" })).await;
    assert_eq!((&answer["changes"], &answer["policy"]["turn"]), (&json!({ "turn": "never" }), &json!("never")));
    assert!(answer["until"].as_str().unwrap().ends_with('Z'), "{answer}");
    assert_eq!(world.admin("/swarms/movie%2F1/policy").await, (200, answer));
    let new = told(&ann, "movie/1", None).await.expect("the policy has changed");
    world.clock.advance(Duration::from_secs(599));
    assert_eq!(told(&ann, "movie/1", Some(&new)).await, None);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(told(&ann, "movie/1", Some(&new)).await, Some(ann.reply["data"]["policy"].clone()));
    assert_eq!(world.admin("/swarms/movie%2F1/policy").await.1["changes"], Value::Null);
}

async fn where_uploading_is_off_nobody_is_listed(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, _bob) = (world.joined().await, world.joined().await);
    assert_eq!(listed(&ann, "s").await, 1);
    steer(&world, "/swarms/s/policy", json!({ "upload": false })).await;
    assert_eq!(told(&ann, "s", None).await.unwrap()["upload"], false);
    assert_eq!(listed(&ann, "s").await, 0);
    let cem = world.peer().await;
    let list = cem.rpc("join", json!({ "swarm": "s", "want": 16 })).await.unwrap();
    assert_eq!((&list["peers"], &list["swarm_size"]), (&json!([]), &json!(3)));
    let (_, swarm) = world.admin("/swarms/s").await;
    let members = swarm["members"].as_array().unwrap();
    let shown = members.iter().find(|member| member["peer"] == cem.peer).unwrap();
    assert_eq!(shown["upload"], false, "who joined meanwhile is not offered");
    world.ask("DELETE", "/swarms/s/policy", "").await;
    assert_eq!(listed(&ann, "s").await, 1, "nor later, until it joins again");
    cem.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(listed(&ann, "s").await, 2);
}

async fn an_operators_word_wins_over_the_tokens_but_forbidding_adds_up(transport: Transport) {
    let world = World::start(transport).await;
    let policy = PolicyOverrides { want: Some(3), degree_max: Some(5), upload: Some(false), ..Default::default() };
    let token = world.sign(&Claims { policy: Some(policy), ..world.claims(&["s"]) });
    let ann = world.connect(json!({ "v": 1, "token": token })).await;
    let first = &ann.reply["data"]["policy"];
    assert_eq!((&first["want"], &first["upload"]), (&json!(3), &json!(false)));
    assert_eq!(told(&ann, "s", None).await, None, "its token's policy is what it has");
    steer(&world, "/swarms/s/policy", json!({ "want": 7, "upload": true })).await;
    let new = told(&ann, "s", Some(first)).await.unwrap();
    assert_eq!((&new["want"], &new["degree_max"], &new["upload"]), (&json!(7), &json!(5), &json!(false)));
    let long = json!({ "swarm": "s", "policy": "x".repeat(33) });
    assert_eq!(ann.refusal("report", long).await, 400);
}

#[tokio::test]
async fn an_operator_is_told_what_is_wrong() {
    let world = World::start(Transport::Grpc).await;
    let large = json!({ "turn": "x".repeat(5000) }).to_string();
    for (path, body, status, expected) in [
        ("/swarms/s/policy", "{}", 400, "nothing would change"),
        ("/swarms/s/policy", "want=3", 400, "no JSON object"),
        ("/swarms/s/policy", r#"{"wnat":3}"#, 400, "no \"wnat\" in a policy"),
        ("/swarms/s/policy", r#"{"want":99}"#, 400, "want: 99 is out of range"),
        ("/swarms/s/policy", &large, 413, "4096 bytes"),
        ("/swarms/s/policy?for=soon", r#"{"want":3}"#, 400, "from 1s to 90d"),
        ("/swarms/s/policy?for=91d", r#"{"want":3}"#, 400, "from 1s to 90d"),
        ("/swarms/s/policy?for=0s", r#"{"want":3}"#, 400, "from 1s to 90d"),
        ("/swarms/s/policy?until=7d", r#"{"want":3}"#, 400, "only parameter is `for`"),
        ("/swarms/a%20b/policy", r#"{"want":3}"#, 400, "a swarm id is"),
    ] {
        let (refused, answer) = world.ask("PUT", path, body).await;
        let complaint = answer["error"].as_str().unwrap();
        assert!(refused == status && complaint.contains(expected), "{path} {body:.40}: {refused} {complaint}");
    }
    assert_eq!(world.ask("DELETE", "/swarms/a%20b/policy", "").await.0, 400);
    assert_eq!(world.admin("/swarms/a%20b/policy").await.0, 400);
    assert_eq!(world.ask("POST", "/swarms/s/policy", "{}").await.0, 405);
    assert_eq!(world.admin("/swarms/s/policy").await.1["changes"], Value::Null);
}
