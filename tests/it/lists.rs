//! `join`, `peers` and `leave`, and how calls are refused.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use starling::domain::{PolicyOverrides, token::Claims};

use crate::{
    client::Client,
    over_both_transports,
    world::{Transport, World},
};

over_both_transports! {
    who_joins_is_listed_and_gets_who_was_there,
    a_list_keeps_to_the_wish,
    who_may_not_upload_is_not_listed,
    who_leaves_or_falls_silent_is_not_listed,
    who_is_no_member_is_told,
    one_public_address_is_near,
    who_cannot_be_reached_is_not_listed,
    reasons_are_given_to_who_may_ask,
    who_is_about_to_run_out_gets_who_is_ahead,
    a_fifth_swarm_is_refused,
    bad_calls_get_their_code_and_the_connection_stays,
    an_expired_session_gets_401,
}

fn peers(list: &Value) -> HashSet<String> {
    list["peers"].as_array().unwrap().iter().map(|entry| entry["peer"].as_str().unwrap().to_owned()).collect()
}

async fn who_joins_is_listed_and_gets_who_was_there(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob) = (world.peer().await, world.peer().await);
    let alone = ann.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(alone, json!({ "peers": [], "swarm_size": 1, "next_ms": 5000 }));
    let list = bob.rpc("join", json!({ "swarm": "s", "want": 1 })).await.unwrap();
    assert_eq!((peers(&list), &list["swarm_size"]), (HashSet::from([ann.peer.clone()]), &json!(2)));
    assert_eq!(list["next_ms"], 15_000);
    let entry = &list["peers"][0];
    assert_eq!((&entry["score"], &entry["near"]), (&json!(0.15), &json!("far")));
    assert_eq!(entry.as_object().unwrap().keys().collect::<Vec<_>>(), ["near", "peer", "score", "ticket"]);
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(peers(&list), HashSet::from([bob.peer]));
}

async fn a_list_keeps_to_the_wish(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.joined().await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(world.joined().await.peer);
    }
    for want in [0, 1, 4, 5, 16] {
        // Nobody is introduced to one peer twice within 15 s, unless there are few others.
        world.clock.advance(Duration::from_secs(if want < 4 { 0 } else { 15 }));
        let list = ann.rpc("peers", json!({ "swarm": "s", "want": want })).await.unwrap();
        assert_eq!(peers(&list).len(), want.min(5));
        assert!(!peers(&list).contains(&ann.peer));
    }
    for method in ["peers", "join"] {
        let list = ann.rpc(method, json!({ "swarm": "s", "want": 16, "exclude": others[1..] })).await.unwrap();
        assert_eq!(peers(&list), HashSet::from([others[0].clone()]), "{method}");
    }
}

async fn who_may_not_upload_is_not_listed(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.joined().await;
    for refusal in [
        json!({ "swarm": "s", "upload": false }),
        json!({ "swarm": "s", "net": { "save_data": true } }),
        json!({ "swarm": "s", "net": { "type": "cellular" } }),
        json!({ "swarm": "s", "net": { "nat": "blocked" } }),
    ] {
        world.peer().await.rpc("join", refusal).await.unwrap();
    }
    let token = world.sign(&Claims { upload: Some(false), ..world.claims(&["s"]) });
    let policy = Some(PolicyOverrides { upload: Some(false), ..Default::default() });
    let by_policy = world.sign(&Claims { policy, ..world.claims(&["s"]) });
    world.connect(json!({ "v": 1, "token": by_policy })).await.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    let consumer = world.connect(json!({ "v": 1, "token": token })).await;
    assert_eq!(consumer.reply["data"]["policy"]["upload"], false);
    consumer.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!((peers(&list), &list["swarm_size"]), (HashSet::new(), &json!(7)));
}

async fn who_leaves_or_falls_silent_is_not_listed(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, cem) = (world.joined().await, world.joined().await, world.joined().await);
    assert_eq!(bob.rpc("leave", json!({ "swarm": "s" })).await.unwrap(), json!({}));
    assert_eq!(bob.rpc("leave", json!({ "swarm": "s" })).await.unwrap(), json!({}), "twice is harmless");
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!((peers(&list), &list["swarm_size"]), (HashSet::from([cem.peer.clone()]), &json!(2)));
    world.clock.advance(Duration::from_secs(46));
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!((peers(&list), &list["swarm_size"]), (HashSet::new(), &json!(1)), "silent for more than 45 s");
    cem.rpc("peers", json!({ "swarm": "s", "want": 0 })).await.unwrap();
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(peers(&list), HashSet::from([cem.peer.clone()]), "any call is a sign of life");
    world.clock.advance(Duration::from_secs(46));
    cem.signal("s", json!([])).await;
    let back = HashSet::from([cem.peer]);
    world
        .eventually("so is a signal, which is not kept waiting for it", async || {
            peers(&ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap()) == back
        })
        .await;
}

async fn one_public_address_is_near(transport: Transport) {
    let world = World::start(transport).await;
    let join = async |address: &str| {
        let command = json!({ "data": { "v": 1, "token": world.token(&["s"]) } });
        let peer = Client::connect_with(&world.url(), Some(address), command).await.unwrap();
        peer.rpc("join", json!({ "swarm": "s" })).await.unwrap();
        peer
    };
    let ann = join("192.0.2.7").await;
    let (same, other, garbage) = (join("::ffff:192.0.2.7").await, join("192.0.2.8").await, join("none").await);
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    for (peer, near) in [(&same, "lan"), (&other, "asn"), (&garbage, "far")] {
        let entry = list["peers"].as_array().unwrap().iter().find(|entry| entry["peer"] == peer.peer.as_str());
        assert_eq!(entry.unwrap()["near"], near);
    }
    let again = join("none").await.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert!(again["peers"].as_array().unwrap().iter().all(|entry| entry["near"] == "far"), "unknown is not the same");
    let shown = world.admin("/swarms/s").await.1.to_string();
    assert!(!list.to_string().contains("192.0.2") && !shown.contains("192.0.2"));
}

async fn who_cannot_be_reached_is_not_listed(transport: Transport) {
    let world = World::start(transport).await;
    let join = async |nat: &str| {
        let peer = world.peer().await;
        let list = peer.rpc("join", json!({ "swarm": "s", "net": { "nat": nat } })).await.unwrap();
        (peer, list)
    };
    let (ann, _) = join("apdm").await;
    let (_, list) = join("apdm").await;
    assert_eq!((peers(&list), &list["swarm_size"]), (HashSet::new(), &json!(2)), "two such NATs let nothing through");
    let (cem, list) = join("eim").await;
    assert_eq!(
        peers(&list).len(),
        1,
        "these let something through now and then: one at a time, while there is no link"
    );
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(peers(&list), HashSet::from([cem.peer]));
}

async fn reasons_are_given_to_who_may_ask(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.joined().await;
    assert_eq!(ann.refusal("peers", json!({ "swarm": "s", "explain": true })).await, 403);
    let token = world.sign(&Claims { explain: true, ..world.claims(&["s"]) });
    let bob = world.connect(json!({ "v": 1, "token": token })).await;
    bob.rpc("join", json!({ "swarm": "s", "want": 0, "net": { "nat": "apdm" } })).await.unwrap();
    let cem = world.peer().await;
    cem.rpc("join", json!({ "swarm": "s", "want": 0, "net": { "nat": "apdm" } })).await.unwrap();
    let list = bob.rpc("peers", json!({ "swarm": "s", "want": 1, "explain": true })).await.unwrap();
    let [listed, other] = [&list["peers"][0], &list["others"][0]];
    assert_eq!((&listed["peer"], &other["peer"]), (&json!(ann.peer), &json!(cem.peer)), "{list}");
    assert_eq!(other["reasons"], json!({ "fate": "nat" }));
    let reasons = &listed["reasons"];
    let factors = ["score", "locality", "nat", "free", "content"].map(|factor| reasons[factor].as_f64().unwrap());
    assert!((factors.iter().product::<f64>() - reasons["weight"].as_f64().unwrap()).abs() < 1e-6, "{reasons}");
    assert!(["drawn", "explored"].contains(&reasons["fate"].as_str().unwrap()));
    let plain = bob.rpc("peers", json!({ "swarm": "s", "want": 1 })).await.unwrap();
    assert!(plain.get("others").is_none() && plain["peers"][0].get("reasons").is_none());

    // And to operators, of anybody.
    let (status, shown) = world.admin(&format!("/swarms/s/explain?peer={}", cem.peer)).await;
    let fates: HashSet<_> = shown["candidates"]
        .as_array()
        .unwrap_or_else(|| panic!("{shown}"))
        .iter()
        .map(|candidate| (candidate["peer"].as_str().unwrap(), candidate["reasons"]["fate"].as_str().unwrap() == "nat"))
        .collect();
    assert_eq!((status, fates), (200, HashSet::from([(ann.peer.as_str(), false), (bob.peer.as_str(), true)])));
    for (query, status) in [("", 400), ("?peer=me", 400), ("?peer=AAAAAAAAAAAAAAAAAAAAAA", 404)] {
        assert_eq!(world.admin(&format!("/swarms/s/explain{query}")).await.0, status, "{query}");
    }
}

async fn who_is_about_to_run_out_gets_who_is_ahead(transport: Transport) {
    let world = World::start(transport).await;
    let join = async |playhead: f64| {
        let peer = world.peer().await;
        peer.rpc("join", json!({ "swarm": "s", "want": 0, "playhead": playhead })).await.unwrap();
        peer
    };
    let (behind, ahead, elsewhere) = (join(80.0).await, join(130.0).await, join(5000.0).await);
    let ann = join(100.0).await;
    let list = ann.rpc("peers", json!({ "swarm": "s", "want": 2, "urgent": true })).await.unwrap();
    assert_eq!(peers(&list), HashSet::from([ahead.peer.clone()]), "half of what is wanted will do");
    world.clock.advance(Duration::from_secs(15));
    let list = ann.rpc("peers", json!({ "swarm": "s", "want": 2, "playhead": 115.0 })).await.unwrap();
    assert_eq!(peers(&list), HashSet::from([ahead.peer.clone(), behind.peer.clone()]), "both are near enough");
    world.clock.advance(Duration::from_secs(15));
    let list = ann.rpc("peers", json!({ "swarm": "s", "want": 2, "playhead": 5010.0 })).await.unwrap();
    assert_eq!(peers(&list), HashSet::from([elsewhere.peer]), "it has jumped there");
}

async fn who_is_no_member_is_told(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.peer().await;
    let peers = async || ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(peers().await["joined"], false);
    ann.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(peers().await.get("joined"), None);
    world.clock.advance(Duration::from_secs(50));
    assert_eq!(peers().await.get("joined"), None, "silent for a while, and listed again by this call");
    ann.rpc("leave", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(peers().await["joined"], false);
}

async fn a_fifth_swarm_is_refused(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.peer().await;
    for n in 0..4 {
        ann.rpc("join", json!({ "swarm": format!("movie/{n}") })).await.unwrap();
    }
    assert_eq!(ann.refusal("join", json!({ "swarm": "movie/5" })).await, 400);
    ann.rpc("leave", json!({ "swarm": "movie/0" })).await.unwrap();
    ann.rpc("join", json!({ "swarm": "movie/5" })).await.unwrap();
}

async fn bad_calls_get_their_code_and_the_connection_stays(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.peer().await;
    for method in ["join", "peers", "signal", "leave"] {
        for bad in [
            json!(null),
            json!("text"),
            json!([1]),
            json!({}),
            json!({ "swarm": 5, "signals": [] }),
            json!({ "swarm": "", "signals": [] }),
            json!({ "swarm": "{a}*", "signals": [] }),
            json!({ "swarm": "x".repeat(129), "signals": [] }),
        ] {
            assert_eq!(ann.refusal(method, bad.clone()).await, 400, "{method} {bad}");
        }
        let large = json!({ "swarm": "s", "signals": [], "padding": "x".repeat(if method == "signal" { 65536 } else { 16384 }) });
        assert_eq!(ann.refusal(method, large).await, 413, "{method}");
        if method != "leave" {
            assert_eq!(ann.refusal(method, json!({ "swarm": "not-mine", "signals": [] })).await, 403, "{method}");
        }
    }
    for bad in [
        json!({ "swarm": "s", "want": 17 }),
        json!({ "swarm": "s", "want": "8" }),
        json!({ "swarm": "s", "playhead": -1 }),
    ] {
        assert_eq!(ann.refusal("join", bad.clone()).await, 400, "{bad}");
        assert_eq!(ann.refusal("peers", bad.clone()).await, 400, "{bad}");
    }
    assert_eq!(ann.refusal("join", json!({ "swarm": "s", "net": { "nat": "cone" } })).await, 400);
    assert_eq!(ann.refusal("peers", json!({ "swarm": "s", "exclude": ["x"] })).await, 400);
    assert_eq!(ann.refusal("peers", json!({ "swarm": "s", "exclude": vec![ann.peer.as_str(); 65] })).await, 400);
    assert_eq!(ann.refusal("leave", json!({ "swarm": ["s"] })).await, 400);
    let unknown = ann.rpc("explode", json!({})).await.unwrap_err();
    assert_eq!((unknown.code, unknown.temporary), (404, false));
    ann.rpc("join", json!({ "swarm": "s", "unknown": { "field": 1 } }))
        .await
        .expect("alive, and unknown fields are ignored");
}

async fn an_expired_session_gets_401(transport: Transport) {
    let world = World::start(transport).await;
    let ann = world.joined().await;
    world.clock.advance(Duration::from_hours(1));
    for (method, data) in [
        ("join", json!({ "swarm": "s" })),
        ("peers", json!({ "swarm": "s" })),
        ("signal", json!({ "swarm": "s", "signals": [] })),
    ] {
        assert_eq!(ann.refusal(method, data).await, 401, "{method}");
    }
    ann.rpc("leave", json!({ "swarm": "s" })).await.expect("nobody is kept in a swarm");
}
