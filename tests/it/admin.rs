//! What operators ask.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Transport, World};

#[tokio::test]
async fn health_says_what_is_missing() {
    let mut world = World::start(Transport::Grpc).await;
    assert_eq!(world.admin("/health/live").await.0, 200);
    assert_eq!(world.admin("/health/ready").await, (200, json!({ "status": "ready" })));
    world.kill_gateway();
    let missing = world.missing("gateway").await;
    assert!(missing.contains("unreachable"), "{missing}");
    assert_eq!(world.admin("/health/ready").await.0, 200, "one gateway must not take all backends out");
    world.start_gateway().await;
    assert_eq!(world.admin("/health/ready").await.1, json!({ "status": "ready" }));
}

#[tokio::test]
async fn a_wrong_api_key_is_said_in_words() {
    let world =
        World::start_with(Transport::Grpc, |config| config.gateway.api_key.0 = "not the key at all".into()).await;
    let missing = world.missing("gateway").await;
    assert!(missing.contains("gateway.api_key"), "{missing}");
}

#[tokio::test]
async fn a_swarm_is_shown_without_addresses() {
    let world = World::start(Transport::Grpc).await;
    let ann = world.peer().await;
    ann.rpc("join", json!({ "swarm": "movie/42", "net": { "nat": "eim" }, "upload": false })).await.unwrap();
    let (status, swarm) = world.admin("/swarms/movie%2F42").await;
    let mut member = json!({
        "peer": ann.peer, "score": null, "upload": false, "resting": false, "asn": null, "country": null, "group": null,
        "nat": "eim", "attempts": { "easy": { "opened": 0, "failed": 0 }, "hard": { "opened": 0, "failed": 0 } },
        "slots": null, "degree": 0, "playhead": null, "bitrate_kbps": null, "joined_s_ago": 0, "seen_s_ago": 0,
    });
    let expected = json!({
        "swarm": "movie/42", "size": 1, "offered": 0, "shards": 1, "copy_age_s": null, "members": [member],
        "offload": {
            "p2p_bytes": 0, "http_bytes": 0, "upload_bytes": 0, "ratio": null, "rebuffers": 0, "connects": 0,
            "connect_ms_mean": null, "saved": 0.0,
        },
    });
    assert_eq!((status, swarm), (200, expected));
    member["evidence"] = Value::Null;
    assert_eq!(world.admin(&format!("/swarms/movie%2F42/peers/{}", ann.peer)).await, (200, member));
    assert_eq!(world.admin("/swarms/movie%2F42/peers/AAAAAAAAAAAAAAAAAAAAAA").await.0, 404);
    assert_eq!(world.admin("/swarms/movie%2F42/peers/me").await.0, 400);
    assert_eq!(world.admin("/swarms/nobody").await.0, 404);
    assert_eq!(world.admin("/swarms/a%20b").await.0, 400);
    assert_eq!(world.admin("/swarms/movie/42").await.0, 404);
    assert_eq!(world.admin("/").await.0, 404);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let world = World::start(Transport::Grpc).await;
    let (ann, bob, ticket) = world.pair().await;
    let bye = json!({ "to": bob.peer, "ticket": ticket, "session": "one", "seq": 0, "bye": { "reason": "x" } });
    ann.signal("s", json!([bye])).await;
    ann.refusal("explode", json!({})).await;
    let (_, Value::String(metrics)) = world.admin("/metrics").await else { panic!("text") };
    for line in [
        r#"starling_outbox_signals_accepted_total{kind="bye"} 1"#,
        r#"starling_outbox_signals_accepted_total{kind="offer"} 0"#,
        "starling_outbox_deliveries_published_total 1",
        "starling_outbox_signals_waiting 0",
        r#"starling_signaling_signals_relayed_total{by="lane"} 1"#,
        r#"starling_proxy_call_errors_total{code="404"} 1"#,
        r#"starling_proxy_call_seconds_count{method="join"} 2"#,
    ] {
        assert!(metrics.lines().any(|there| there == line), "{line} not in:\n{metrics}");
    }
}

#[tokio::test]
async fn what_nats_let_through_is_shown_and_learned() {
    let world = World::start_with(Transport::Grpc, |config| config.ranking.interval = Duration::from_secs(1)).await;
    let fresh = json!({ "chance": 0.9, "prior": 0.9, "opened": 0.0, "failed": 0.0 });
    let (_, shown) = world.admin("/nat").await;
    assert_eq!((&shown["classes"]["eim"]["eim"], &shown["networks"]), (&fresh, &json!([])));
    for one in ["open", "eim", "apdm", "blocked", "unknown"] {
        assert_eq!(shown["classes"].as_object().unwrap().len(), 5);
        assert_eq!(shown["classes"][one].as_object().unwrap().len(), 5);
        assert_eq!(shown["classes"][one]["blocked"]["chance"], 0.0);
    }
    let (ann, bob) = (world.peer().await, world.peer().await);
    for (peer, nat) in [(&ann, "eim"), (&bob, "apdm")] {
        peer.rpc("join", json!({ "swarm": "s", "net": { "nat": nat } })).await.unwrap();
    }
    let ticket = ann.ticket_for("s", &bob.peer).await;
    world.clock.advance(Duration::from_secs(10));
    let receipt = json!({
        "peer": bob.peer, "ticket": ticket, "connected": true, "bytes": 0, "busy_ms": 0, "ok": 0, "timeout": 0, "bad": 0,
    });
    let report = json!({
        "swarm": "s", "epoch": 1, "seq": 1, "up_bytes": 0, "down_bytes": 0, "http_bytes": 0, "rebuffers": 0, "degree": 1,
        "receipts": [receipt],
    });
    ann.rpc("report", report).await.unwrap();
    let learned = json!({ "chance": 0.51, "prior": 0.5, "opened": 1.0, "failed": 0.0 });
    let is_learned = |shown: &Value| (shown["classes"]["apdm"]["eim"] == learned).then(|| shown.clone());
    let shown = world.until("/nat", "an attempt", is_learned).await;
    assert_eq!(shown["classes"]["eim"]["apdm"], learned);
    world.metric(r#"starling_ranking_attempts_total{outcome="opened"} 1"#).await;
    // Two that hardly meet: nobody is to blame for it, but it counts here.
    ann.rpc("join", json!({ "swarm": "s", "net": { "nat": "apdm" } })).await.unwrap();
    let failed = json!({
        "peer": bob.peer, "ticket": ticket, "connected": false, "bytes": 0, "busy_ms": 0, "ok": 0, "timeout": 0, "bad": 0,
    });
    let report = json!({
        "swarm": "s", "epoch": 2, "seq": 1, "up_bytes": 0, "down_bytes": 0, "http_bytes": 0, "rebuffers": 0, "degree": 1,
        "receipts": [failed],
    });
    ann.rpc("report", report).await.unwrap();
    let is_counted = |shown: &Value| (shown["classes"]["apdm"]["apdm"]["failed"] == 1.0).then_some(());
    world.until("/nat", "a failure", is_counted).await;
    let (_, bob) = world.admin(&format!("/swarms/s/peers/{}", bob.peer)).await;
    assert_eq!(bob["evidence"]["reporters"], json!({ "connected": 0, "failed": 0 }));
}
