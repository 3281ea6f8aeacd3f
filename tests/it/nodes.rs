//! Two backends over one Redis Cluster, each with a Centrifugo of its own: any node answers any viewer.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use starling::config::StoreKind;

use crate::{
    client::Connected,
    world::{Transport, World, redis_cluster},
};

/// A new place in the cluster that `make test` has started.
fn prefix() -> String {
    format!("it-{}", starling::demo::made_up())
}

async fn node(prefix: &str, cluster: &str) -> World {
    World::start_with(Transport::Grpc, |config| {
        config.store.kind = StoreKind::Redis;
        config.store.redis_nodes = cluster.split(',').map(str::to_owned).collect();
        prefix.clone_into(&mut config.store.key_prefix);
        config.ranking.interval = Duration::from_secs(1);
    })
    .await
}

async fn two_nodes() -> (World, World) {
    let (prefix, cluster) = (prefix(), redis_cluster());
    (node(&prefix, &cluster).await, node(&prefix, &cluster).await)
}

fn has(list: &Value, peer: &str) -> bool {
    list["peers"].as_array().unwrap().iter().any(|entry| entry["peer"] == peer)
}

async fn join(peer: &Connected, swarm: &str) -> Value {
    let list = peer.rpc("join", json!({ "swarm": swarm })).await.unwrap();
    assert_eq!(list.get("stale"), None, "{list}");
    list
}

#[tokio::test]
async fn who_joined_on_one_node_is_found_on_the_other_a_moment_later() {
    let (one, two) = two_nodes().await;
    let (ann, bob) = (one.peer().await, two.peer().await);
    for n in 0..200 {
        let swarm = format!("movie/{n}");
        join(&ann, &swarm).await;
        let list = join(&bob, &swarm).await;
        assert!(has(&list, &ann.peer) && list["swarm_size"] == 2, "try {n}: {list}");
        for peer in [&ann, &bob] {
            peer.rpc("leave", json!({ "swarm": swarm })).await.unwrap();
        }
    }
}

#[tokio::test]
async fn of_two_that_join_at_once_one_finds_the_other_and_then_both_do() {
    let (one, two) = two_nodes().await;
    let (ann, bob) = (one.peer().await, two.peer().await);
    let mut both = 0;
    for n in 0..200 {
        let swarm = format!("movie/{n}");
        let (first, second) = tokio::join!(join(&ann, &swarm), join(&bob, &swarm));
        let found = [has(&first, &bob.peer), has(&second, &ann.peer)];
        assert!(found.contains(&true), "try {n}: {first} {second}");
        both += usize::from(found == [true, true]);
        for (peer, other) in [(&ann, &bob), (&bob, &ann)] {
            let list = peer.rpc("peers", json!({ "swarm": swarm })).await.unwrap();
            assert!(has(&list, &other.peer), "try {n}: {list}");
        }
        for peer in [&ann, &bob] {
            peer.rpc("leave", json!({ "swarm": swarm })).await.unwrap();
        }
    }
    assert!(both < 200, "they never met half way: these joins were not at once");
}

#[tokio::test]
async fn who_left_through_one_node_is_gone_on_the_other() {
    let (one, two) = two_nodes().await;
    let (ann, bob) = (one.peer().await, two.peer().await);
    join(&ann, "s").await;
    join(&bob, "s").await;
    let ticket = bob.ticket_for("s", &ann.peer).await;
    ann.rpc("leave", json!({ "swarm": "s" })).await.unwrap();
    let list = bob.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!((has(&list, &ann.peer), &list["swarm_size"]), (false, &json!(1)));
    // The hint comes by itself; until then signals are merely nobody's.
    let bye = json!({ "to": ann.peer, "ticket": ticket, "session": "x", "seq": 0, "bye": { "reason": "" } });
    two.eventually("the hint is heard", async || {
        let results = bob.signal("s", json!([bye])).await;
        results[0] == 410
    })
    .await;
}

#[tokio::test]
async fn scores_and_members_outlive_every_backend() {
    let (prefix, cluster) = (prefix(), redis_cluster());
    let one = node(&prefix, &cluster).await;
    let (ann, bob) = (one.joined().await, one.joined().await);
    let ticket = bob.ticket_for("s", &ann.peer).await;
    let report = json!({
        "swarm": "s", "epoch": 1, "seq": 1, "up_bytes": 0, "down_bytes": 50_000_000, "http_bytes": 0, "rebuffers": 0, "degree": 1,
        "receipts": [{
            "peer": ann.peer, "ticket": ticket, "connected": true, "bytes": 50_000_000, "busy_ms": 20_000, "ok": 100, "timeout": 0, "bad": 0,
        }],
    });
    assert_eq!(bob.rpc("report", report).await.unwrap(), json!({}));
    let path = format!("/swarms/s/peers/{}", ann.peer);
    one.clock.advance(Duration::from_secs(10));
    one.eventually("the report is judged", async || one.admin(&path).await.1["evidence"]["ok"].as_f64() > Some(15.0))
        .await;
    let before = one.admin(&path).await.1;
    assert!(before["score"].as_f64() > Some(0.15), "{before}");
    one.app.stop().await.unwrap();
    let two = node(&prefix, &cluster).await;
    let after = two.admin(&path).await.1;
    assert_eq!((&after["score"], &after["evidence"]["connects"]), (&before["score"], &before["evidence"]["connects"]));
    let cem = two.peer().await;
    let list = join(&cem, "s").await;
    let entry = list["peers"].as_array().unwrap().iter().find(|entry| entry["peer"] == ann.peer.as_str()).cloned();
    assert_eq!(entry.unwrap()["score"], before["score"]);
}

#[tokio::test]
async fn a_large_swarm_is_found_from_every_node() {
    let (one, two) = two_nodes().await;
    let mut peers = HashSet::new();
    let mut connected = Vec::new();
    for n in 0..80 {
        let peer = [&one, &two][n % 2].peer().await;
        join(&peer, "s").await;
        peers.insert(peer.peer.clone());
        connected.push(peer);
    }
    for (world, of_it) in [(&one, 0), (&two, 1)] {
        let mut askers = connected.iter().skip(of_it).step_by(2).cycle();
        world
            .eventually("everybody is in the copy", async || {
                let asking = askers.next().unwrap();
                let list = asking.rpc("peers", json!({ "swarm": "s", "want": 0 })).await.unwrap();
                list["swarm_size"] == 80 && world.admin("/swarms/s").await.1["copy_age_s"].is_number()
            })
            .await;
        let mut found = HashSet::new();
        world
            .eventually("everybody was listed", async || {
                // Nobody is given more than it has slots for, so many have to ask.
                let list = askers.next().unwrap().rpc("peers", json!({ "swarm": "s", "want": 16 })).await.unwrap();
                found.extend(list["peers"].as_array().unwrap().iter().map(|e| e["peer"].as_str().unwrap().to_owned()));
                world.clock.advance(Duration::from_millis(200)); // nor handed out too often
                found == peers
            })
            .await;
    }
}

#[tokio::test]
async fn without_redis_the_service_goes_on_and_says_so() {
    let cluster = starling_load::cluster::Cluster::start().await.unwrap();
    let world = node(&prefix(), &cluster.nodes()).await;
    let (ann, bob, ticket) = world.pair().await;
    let (_, shown) = world.admin("/swarms/s").await;
    assert_eq!(shown["size"], 2);
    world.eventually("there is a copy", async || world.admin("/swarms/s").await.1["copy_age_s"].is_number()).await;
    cluster.kill_all().await.unwrap();
    let mut stale = false;
    world
        .eventually("the list is stale", async || {
            let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
            assert!(has(&list, &bob.peer), "{list}");
            stale |= list["stale"] == true;
            stale
        })
        .await;
    let cem = world.peer().await;
    let list = cem.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    assert!(has(&list, &ann.peer) && list["stale"] == true, "{list}");
    assert!(!world.missing("redis").await.is_empty());
    assert_eq!(world.admin("/health/live").await.0, 200);
    let bye = json!({ "to": bob.peer, "ticket": ticket, "session": "x", "seq": 0, "bye": { "reason": "" } });
    assert_eq!(ann.signal("s", json!([bye])).await, ["ok"]);

    cluster.restart().await.unwrap();
    world.nothing_is_missing().await;
    // Redis has forgotten everybody; this node has not, nor who joined meanwhile.
    world
        .eventually("everybody is back", async || {
            let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
            list.get("stale").is_none() && has(&list, &bob.peer) && has(&list, &cem.peer)
        })
        .await;
}

/// What a viewer says of itself in its n-th report.
fn report(n: u64, receipts: Value) -> Value {
    json!({
        "swarm": "s", "epoch": 0, "seq": n, "up_bytes": n * 1_048_576, "down_bytes": n * 3_145_728, "http_bytes": n * 1_048_576,
        "rebuffers": 0, "degree": 1, "receipts": receipts,
    })
}

#[tokio::test]
async fn what_an_operator_changes_on_one_node_holds_on_the_other() {
    let (one, two) = two_nodes().await;
    let bob = two.joined().await;
    let tag = bob.reply["data"]["policy"]["tag"].clone();
    let (status, answer) = one.ask("PUT", "/swarms/s/policy", r#"{"degree_max": 5}"#).await;
    assert_eq!((status, &answer["policy"]["degree_max"]), (200, &json!(5)), "{answer}");
    let mut seq = 0;
    two.eventually("the policy has come with a report", async || {
        seq += 1;
        let mut report = report(seq, json!([]));
        report["policy"] = tag.clone();
        bob.rpc("report", report).await.unwrap()["policy"]["degree_max"] == 5
    })
    .await;
    assert_eq!(two.ask("DELETE", "/swarms/s/policy", "").await.0, 200);
    one.eventually("it is gone", async || one.admin("/swarms/s/policy").await.1["changes"].is_null()).await;
}

#[tokio::test]
async fn whichever_node_hears_a_report_bytes_and_attempts_count_once() {
    let (one, two) = two_nodes().await;
    let (ann, bob) = (one.joined().await, two.peer().await);
    bob.rpc("join", json!({ "swarm": "s", "net": { "nat": "eim" } })).await.unwrap();
    let ticket = bob.ticket_for("s", &ann.peer).await;
    let receipt = json!([{
        "peer": ann.peer, "ticket": ticket, "connected": true, "connect_ms": 250, "bytes": 1_048_576, "busy_ms": 900, "ok": 1,
        "timeout": 0, "bad": 0,
    }]);
    // The same peer, as if the balancer sent its calls here and there.
    let resume = &bob.reply["data"]["resume"];
    let elsewhere = one.connect(json!({ "v": 1, "token": one.token(&["s", "movie/*"]), "resume": resume })).await;
    assert_eq!(elsewhere.peer, bob.peer);
    for (n, peer) in [(1, &bob), (2, &elsewhere), (3, &elsewhere)] {
        for world in [&one, &two] {
            world.clock.advance(Duration::from_secs(10));
        }
        peer.rpc("report", report(n, receipt.clone())).await.unwrap();
        let p2p = n * 3_145_728;
        one.eventually("it is counted", async || {
            one.admin("/swarms/s").await.1["offload"]["p2p_bytes"].as_u64().is_some_and(|bytes| bytes >= p2p)
        })
        .await;
    }
    for world in [&one, &two] {
        let offload = world.admin("/swarms/s").await.1["offload"].clone();
        assert_eq!(
            (&offload["p2p_bytes"], &offload["http_bytes"]),
            (&json!(9_437_184), &json!(3_145_728)),
            "{offload}"
        );
        assert_eq!((&offload["ratio"], &offload["connects"]), (&json!(0.75), &json!(1)), "{offload}");
        world
            .eventually("the attempt is known", async || {
                world.admin("/nat").await.1["classes"]["eim"]["unknown"]["opened"] == 1.0
            })
            .await;
    }
}
