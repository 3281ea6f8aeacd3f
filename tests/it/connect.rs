//! Connect, resume and refresh.

use std::time::Duration;

use serde_json::{Value, json};
use starling::{
    clock::Clock,
    domain::{
        PolicyOverrides,
        token::{Claims, TokenKey, TokenKeys},
    },
};

use crate::{
    client::Client,
    over_both_transports,
    world::{Transport, World},
};

over_both_transports! {
    a_client_gets_a_name_a_policy_and_its_inbox,
    first_lists_who_is_there,
    a_token_can_change_the_policy,
    a_bad_token_is_refused_for_good,
    bad_connect_data_is_refused_for_good,
    a_resume_token_keeps_the_name_and_puts_out_the_other_holder,
    of_several_that_resume_at_once_one_remains,
    a_resume_token_is_worth_nothing_to_others,
    an_expired_session_is_ended_by_the_gateway,
    the_gateway_logs_neither_tokens_nor_descriptions,
}

async fn refusal(world: &World, data: Value) -> u16 {
    Client::connect(&world.url(), data).await.err().expect("this connection is refused").0
}

async fn a_client_gets_a_name_a_policy_and_its_inbox(transport: Transport) {
    let world = World::start_with(transport, |config| {
        config.ice.servers = vec![serde_json::from_str(r#"{"urls":["stun:stun.example.com"]}"#).unwrap()];
    })
    .await;
    let peer = world.peer().await;
    let data = &peer.reply["data"];
    assert_eq!((data["v"].as_u64(), peer.peer.len()), (Some(1), 22));
    assert_eq!(data["ice_servers"], json!([{ "urls": ["stun:stun.example.com"] }]));
    let policy = json!({
        "report_interval_s": 10, "idle_interval_s": 30, "want": 8, "degree_target": 8, "degree_min": 4,
        "degree_max": 12, "gather_ms": 150, "turn": "on_failure", "upload": true,
        "tag": "5adfd483",
    });
    assert_eq!(data["policy"], policy);
    assert!(data.get("first").is_none());
    let inbox = &peer.reply["subs"][format!("inbox:{}", peer.peer)];
    assert_eq!((&inbox["recoverable"], &inbox["positioned"]), (&json!(true), &json!(true)));
    assert_ne!(peer.peer, world.peer().await.peer);
}

async fn first_lists_who_is_there(transport: Transport) {
    let world = World::start(transport).await;
    let there = world.joined().await;
    let token = world.token(&["s"]);
    let first = json!({ "swarm": "s", "want": 4 });
    let peer = world.connect(json!({ "v": 1, "token": token, "first": first })).await;
    let list = &peer.reply["data"]["first"];
    assert_eq!((&list["peers"][0]["peer"], &list["swarm_size"]), (&json!(there.peer), &json!(1)));
    assert_eq!(list["peers"][0]["ticket"].as_str().unwrap().len(), 30);
}

async fn a_token_can_change_the_policy(transport: Transport) {
    let world = World::start(transport).await;
    let policy = PolicyOverrides { want: Some(3), ..Default::default() };
    let token = world.sign(&Claims { policy: Some(policy), ..world.claims(&["s"]) });
    let peer = world.connect(json!({ "v": 1, "token": token })).await;
    assert_eq!(peer.reply["data"]["policy"]["want"], 3);
    for _ in 0..4 {
        world.joined().await;
    }
    world.clock.advance(Duration::from_secs(1)); // until then the first of them has been introduced often enough
    let list = peer.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(list["peers"].as_array().unwrap().len(), 3, "want is the policy's when not said");
}

async fn a_bad_token_is_refused_for_good(transport: Transport) {
    let world = World::start(transport).await;
    let claims = world.claims(&["s"]);
    let forged = TokenKeys::new(vec![TokenKey::hs256("test", "another secret")], "starling").sign(&claims).unwrap();
    let key = TokenKey::hs256("test", &world.config.token.keys[0].secret.0);
    let for_others = TokenKeys::new(vec![key], "another service").sign(&claims).unwrap();
    let expired = world.sign(&Claims { exp: world.clock.now().seconds(), ..claims.clone() });
    for token in ["", "x.y.z", &forged, &for_others, &expired] {
        assert_eq!(refusal(&world, json!({ "v": 1, "token": token })).await, 4501, "{token}");
    }
    world.peer().await;
}

async fn bad_connect_data_is_refused_for_good(transport: Transport) {
    let world = World::start(transport).await;
    let token = world.token(&["s"]);
    for data in [
        json!(null),
        json!(5),
        json!([]),
        json!({}),
        json!({ "token": token }),
        json!({ "v": "1", "token": token }),
        json!({ "v": 1 }),
        json!({ "v": 1, "token": 7 }),
        json!({ "v": 1, "token": token, "resume": 7 }),
        json!({ "v": 1, "token": token, "first": { "swarm": "a b" } }),
        json!({ "v": 1, "token": token, "first": { "swarm": "s", "want": 17 } }),
        json!({ "v": 1, "token": token, "padding": "x".repeat(16 * 1024) }),
    ] {
        assert_eq!(refusal(&world, data.clone()).await, 4500, "{data}");
    }
    assert_eq!(refusal(&world, json!({ "v": 2, "token": { "new": "shape" } })).await, 4502);
    assert_eq!(refusal(&world, json!({ "v": 1, "token": token, "first": { "swarm": "t" } })).await, 4503);
    world.peer().await;
}

async fn a_resume_token_keeps_the_name_and_puts_out_the_other_holder(transport: Transport) {
    let world = World::start(transport).await;
    let first = world.peer().await;
    let resume = &first.reply["data"]["resume"];
    let second = world.connect(json!({ "v": 1, "token": world.token(&["s", "movie/*"]), "resume": resume })).await;
    assert_eq!(second.peer, first.peer);
    assert_eq!(first.closed().await, (4504, "resumed elsewhere".to_owned()));
    second.rpc("join", json!({ "swarm": "s" })).await.expect("the new holder stays");
    assert_ne!(&second.reply["data"]["resume"], &Value::Null);
}

async fn of_several_that_resume_at_once_one_remains(transport: Transport) {
    let world = World::start(transport).await;
    let first = world.peer().await;
    let data = json!({ "v": 1, "token": world.token(&["s", "movie/*"]), "resume": first.reply["data"]["resume"] });
    let url = world.url();
    let (a, b, c) = tokio::join!(
        Client::connect(&url, data.clone()),
        Client::connect(&url, data.clone()),
        Client::connect(&url, data)
    );
    // Some may be out already. The first that can still join is the only one left.
    let join = json!({ "method": "join", "data": { "swarm": "s" } });
    let mut remaining = None;
    let mut others = Vec::new();
    for holder in [a, b, c].into_iter().flatten() {
        match remaining {
            None if holder.try_command("rpc", join.clone()).await.is_some() => remaining = Some(holder),
            _ => others.push(holder),
        }
    }
    for other in others {
        assert_eq!(other.closed().await.0, 4504);
    }
    let remaining = remaining.expect("the last to connect was put out by nobody");
    remaining.rpc("peers", json!({ "swarm": "s" })).await.expect("it stays");
}

async fn a_resume_token_is_worth_nothing_to_others(transport: Transport) {
    let world = World::start(transport).await;
    let first = world.peer().await;
    let resume = first.reply["data"]["resume"].as_str().unwrap();
    let other_swarms = world.token(&["s"]);
    let other_subject = world.sign(&Claims { sub: Some("bob".into()), ..world.claims(&["s", "movie/*"]) });
    let same = world.token(&["s", "movie/*"]);
    let changed = format!("{}{}", if resume.starts_with('B') { 'C' } else { 'B' }, &resume[1..]);
    for (token, resume) in
        [(other_swarms, resume), (other_subject, resume), (same.clone(), changed.as_str()), (same, "")]
    {
        let other = world.connect(json!({ "v": 1, "token": token, "resume": resume })).await;
        assert_ne!(other.peer, first.peer);
    }
    first.rpc("join", json!({ "swarm": "s" })).await.expect("the first holder stays");
}

async fn an_expired_session_is_ended_by_the_gateway(transport: Transport) {
    let world = World::start(transport).await;
    // The gateway looks at its own clock, so this token ends in real time.
    let exp = (Clock::System.now() + Duration::from_secs(2)).seconds();
    let peer = world.connect(json!({ "v": 1, "token": world.sign(&Claims { exp, ..world.claims(&["s"]) }) })).await;
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(peer.refusal("peers", json!({ "swarm": "s" })).await, 401);
    assert_eq!(peer.closed().await.0, 3005, "the gateway asks us, and we say that it has expired");
}

async fn the_gateway_logs_neither_tokens_nor_descriptions(transport: Transport) {
    let mut world = World::start(transport).await;
    let token = world.token(&["s"]);
    refusal(&world, json!({ "v": 1, "token": token, "first": { "swarm": "t" } })).await;
    let peer = world.peer().await;
    peer.refusal("signal", json!({ "swarm": "not-mine", "signals": [{ "offer": { "sdp": "sekrit" } }] })).await;
    let log = world.gateway.take().unwrap().stop().await;
    assert!(!log.contains(&token) && !log.contains("sekrit"), "{log}");
}
