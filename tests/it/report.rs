//! `report`: what peers say of themselves and of each other, and what becomes of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::Connected,
    over_both_transports,
    signal::SDP,
    world::{Transport, World},
};

over_both_transports! {
    both_ends_of_a_link_say_what_became_of_it,
    a_receipt_counts_only_with_its_ticket,
    a_ticket_serves_for_receipts_six_hours_longer,
    counters_that_go_back_or_come_again_count_once,
    a_terabyte_in_a_second_is_no_better_than_fast,
    who_rests_is_not_listed,
    a_report_is_a_sign_of_life,
    what_viewers_report_of_themselves_is_shown_and_worth_something,
    bad_reports_get_their_code_and_the_connection_stays,
}

async fn world(transport: Transport) -> World {
    World::start_with(transport, |config| config.ranking.interval = Duration::from_secs(1)).await
}

fn with(mut value: Value, change: Value) -> Value {
    value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    value
}

fn report(seq: u32, receipts: &[Value]) -> Value {
    json!({
        "swarm": "s", "epoch": 1, "seq": seq, "up_bytes": 0, "down_bytes": 1 << 20, "http_bytes": 0, "rebuffers": 0,
        "degree": 1, "receipts": receipts,
    })
}

fn receipt(peer: &str, ticket: &str, ok: u32) -> Value {
    json!({
        "peer": peer, "ticket": ticket, "connected": true, "candidate_type": "host", "rtt_ms": 12,
        "bytes": u64::from(ok) << 20, "busy_ms": ok * 1000, "ok": ok, "timeout": 0, "bad": 0,
    })
}

/// Says it, and returns whose receipts did not count.
async fn refused(peer: &Connected, report: Value) -> Vec<String> {
    let reply = peer.rpc("report", report).await.unwrap();
    let refused: Vec<_> =
        reply["refused"].as_array().into_iter().flatten().map(|peer| peer.as_str().unwrap().to_owned()).collect();
    assert_eq!(reply == json!({}), refused.is_empty());
    refused
}

/// What is remembered of a peer, once it is so.
async fn known(world: &World, peer: &Connected, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    world.until(&format!("/swarms/s/peers/{}", peer.peer), what, |known| is_so(known).then(|| known.clone())).await
}

async fn both_ends_of_a_link_say_what_became_of_it(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let offer = json!({ "to": bob.peer, "ticket": ticket, "session": "one", "seq": 0, "offer": { "sdp": SDP } });
    assert_eq!(ann.signal("s", json!([offer])).await, ["ok"]);
    let back = bob.delivery().await[0]["ticket"].as_str().unwrap().to_owned();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(refused(&ann, report(1, &[receipt(&bob.peer, &ticket, 3)])).await, [""; 0]);
    let failed = with(receipt(&ann.peer, &back, 0), json!({ "connected": false }));
    assert_eq!(refused(&bob, with(report(1, &[failed]), json!({ "degree": 7 }))).await, [""; 0]);
    let of_bob = known(&world, &bob, "a link that opened", |known| known["evidence"]["ok"].as_f64() > Some(2.9)).await;
    assert_eq!(of_bob["evidence"]["reporters"], json!({ "connected": 1, "failed": 0 }));
    assert_eq!((&of_bob["score"], &of_bob["degree"]), (&json!(0.25), &json!(7)), "0.10 in 10 s");
    let of_ann = known(&world, &ann, "an attempt that failed", |known| known["evidence"].is_object()).await;
    assert_eq!(of_ann["evidence"]["reporters"], json!({ "connected": 0, "failed": 1 }));
    world.metric("starling_signaling_receipts_total 2").await;
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(list["peers"][0]["score"], 0.25);
}

async fn a_receipt_counts_only_with_its_ticket(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let cem = world.joined().await;
    let elsewhere = {
        for peer in [&ann, &bob] {
            peer.rpc("join", json!({ "swarm": "movie/1" })).await.unwrap();
        }
        ann.ticket_for("movie/1", &bob.peer).await
    };
    let forged = format!("{}{}", if ticket.starts_with('A') { "B" } else { "A" }, &ticket[1..]);
    for bad in ["", "x", &forged, &ticket[1..], &elsewhere] {
        assert_eq!(refused(&ann, report(1, &[receipt(&bob.peer, bad, 1)])).await, [bob.peer.as_str()], "{bad}");
    }
    assert_eq!(refused(&ann, report(1, &[receipt(&cem.peer, &ticket, 1)])).await, [cem.peer.as_str()]);
    assert_eq!(refused(&cem, report(1, &[receipt(&bob.peer, &ticket, 1)])).await, [bob.peer.as_str()]);
    assert_eq!(refused(&bob, report(1, &[receipt(&ann.peer, &ticket, 1)])).await, [ann.peer.as_str()]);
    world.metric(r#"starling_signaling_receipts_refused_total{reason="ticket"} 8"#).await;

    // One that does not count costs the others nothing.
    let mixed = [receipt(&ann.peer, &ticket, 1), receipt(&bob.peer, &ticket, 1), receipt(&bob.peer, &ticket, 5)];
    assert_eq!(refused(&ann, report(2, &mixed)).await, [ann.peer.as_str(), bob.peer.as_str()]);
    for line in [
        r#"starling_signaling_receipts_refused_total{reason="self"} 1"#,
        r#"starling_signaling_receipts_refused_total{reason="double"} 1"#,
        r#"starling_signaling_receipts_refused_total{reason="full"} 0"#,
        "starling_signaling_receipts_total 1",
    ] {
        world.metric(line).await;
    }
    let of_bob = known(&world, &bob, "the one that counts", |known| known["evidence"].is_object()).await;
    assert!(of_bob["evidence"]["ok"].as_f64() < Some(1.1), "{of_bob}");
    for (peer, what) in [(&ann, "about oneself"), (&cem, "by nobody")] {
        let (_, known) = world.admin(&format!("/swarms/s/peers/{}", peer.peer)).await;
        assert_eq!(known["evidence"]["reporters"]["connected"].as_u64().unwrap_or_default(), 0, "{what}");
    }
}

async fn a_ticket_serves_for_receipts_six_hours_longer(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, ticket) = {
        // Sessions that outlive the ticket.
        let token = || {
            let mut claims = world.claims(&["s"]);
            claims.exp += 24 * 3600;
            world.sign(&claims)
        };
        let join = async || {
            let peer = world.connect(json!({ "v": 1, "token": token() })).await;
            peer.rpc("join", json!({ "swarm": "s" })).await.unwrap();
            peer
        };
        let (ann, bob) = (join().await, join().await);
        let ticket = ann.ticket_for("s", &bob.peer).await;
        (ann, bob, ticket)
    };
    let bye = json!({ "to": bob.peer, "ticket": ticket, "session": "one", "seq": 0, "bye": { "reason": "" } });
    world.clock.advance(world.config.ticket.ttl + Duration::from_secs(6 * 3600 - 2));
    assert_eq!(ann.signal("s", json!([bye])).await, [403]);
    assert_eq!(refused(&ann, report(1, &[receipt(&bob.peer, &ticket, 1)])).await, [""; 0]);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(refused(&ann, report(2, &[receipt(&bob.peer, &ticket, 1)])).await, [bob.peer.as_str()]);
}

async fn counters_that_go_back_or_come_again_count_once(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let ok = |known: &Value| known["evidence"]["ok"].as_f64();
    refused(&ann, report(1, &[receipt(&bob.peer, &ticket, 5)])).await;
    known(&world, &bob, "five", |known| ok(known) > Some(4.9)).await;
    for n in [5, 3, 0, 6] {
        refused(&ann, report(2, &[receipt(&bob.peer, &ticket, n)])).await;
    }
    let six = known(&world, &bob, "one more", |known| ok(known) > Some(5.1)).await;
    assert!(ok(&six) < Some(6.01), "{six}");
}

async fn a_terabyte_in_a_second_is_no_better_than_fast(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    world.clock.advance(Duration::from_secs(40));
    let absurd = json!({ "bytes": 1_u64 << 40, "busy_ms": 1000, "ok": u32::MAX });
    assert_eq!(refused(&ann, report(1, &[with(receipt(&bob.peer, &ticket, 1), absurd)])).await, [""; 0]);
    let known = known(&world, &bob, "what was said", |known| known["evidence"].is_object()).await;
    let total = |name: &str| known["evidence"][name].as_f64().unwrap();
    assert!(total("ok") <= 16.0 && total("speed") <= total("ok") && total("connects") <= 1.0, "{known}");
    assert_eq!(known["score"], 0.25, "and nobody rises faster than 0.10 in 10 s");
}

async fn who_rests_is_not_listed(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, _) = world.pair().await;
    for (seq, rest) in [(1, json!({ "hidden": true })), (3, json!({ "battery_low": true }))] {
        world.clock.advance(Duration::from_secs(1));
        refused(&bob, with(report(seq, &[]), rest)).await;
        known(&world, &bob, "at rest", |known| known["score"].is_null()).await;
        let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
        assert_eq!((&list["peers"], &list["swarm_size"]), (&json!([]), &json!(2)));
        world.clock.advance(Duration::from_secs(1));
        refused(&bob, report(seq + 1, &[])).await;
        known(&world, &bob, "awake", |known| known["score"].is_number()).await;
    }
}

async fn a_report_is_a_sign_of_life(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, _) = world.pair().await;
    world.clock.advance(Duration::from_secs(40));
    refused(&bob, report(1, &[])).await;
    world.clock.advance(Duration::from_secs(40));
    known(&world, &bob, "seen lately", |known| known["seen_s_ago"] == 40).await;
    let list = ann.rpc("peers", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(list["peers"][0]["peer"], bob.peer);
}

async fn what_viewers_report_of_themselves_is_shown_and_worth_something(transport: Transport) {
    let world = World::start_with(transport, |config| {
        config.ranking.interval = Duration::from_secs(1);
        config.offload.price_per_gb = 0.02;
    })
    .await;
    let (ann, bob, ticket) = world.pair().await;
    world.clock.advance(Duration::from_mins(1));
    let own = |seq, receipts: &[Value]| {
        let bytes = json!({ "down_bytes": 3_u64 << 30, "http_bytes": 1 << 30, "up_bytes": 1 << 20, "rebuffers": 2 });
        with(report(seq, receipts), bytes)
    };
    let receipt = with(receipt(&bob.peer, &ticket, 1), json!({ "connect_ms": 420 }));
    for seq in 1..4 {
        refused(&ann, own(seq, std::slice::from_ref(&receipt))).await;
    }
    let found = |swarm: &Value| (swarm["offload"]["connects"] == 1).then(|| swarm["offload"].clone());
    let mut offload = world.until("/swarms/s", "what was reported", found).await;
    let saved = offload["saved"].take().as_f64().unwrap();
    assert!((saved - 0.064_424_509_44).abs() < 1e-9, "{saved}");
    let expected = json!({
        "p2p_bytes": 3_u64 << 30, "http_bytes": 1 << 30, "upload_bytes": 1 << 20, "ratio": 0.75, "rebuffers": 2,
        "connects": 1, "connect_ms_mean": 420, "saved": null,
    });
    assert_eq!(offload, expected);
    for line in [
        "starling_offload_p2p_bytes_total 3221225472",
        "starling_offload_http_bytes_total 1073741824",
        "starling_offload_upload_bytes_total 1048576",
        "starling_offload_rebuffers_total 2",
        "starling_offload_ratio 0.75",
        "starling_signaling_link_connect_seconds_count 1",
    ] {
        world.metric(line).await;
    }
}

async fn bad_reports_get_their_code_and_the_connection_stays(transport: Transport) {
    let world = world(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let good = receipt(&bob.peer, &ticket, 1);
    let mut without_ticket = good.clone();
    without_ticket.as_object_mut().unwrap().remove("ticket");
    let small = with(good.clone(), json!({ "ticket": "", "bytes": 0, "busy_ms": 0 }));
    for (code, change) in [
        (400, json!({ "receipts": [without_ticket] })),
        (400, json!({ "receipts": [with(good.clone(), json!({ "bytes": -1 }))] })),
        (400, json!({ "receipts": [with(good.clone(), json!({ "ok": 1.5 }))] })),
        (400, json!({ "receipts": null })),
        (400, json!({ "receipts": [with(good.clone(), json!({ "connect_ms": 600_001 }))] })),
        (400, json!({ "degree": 100_000 })),
        (400, json!({ "epoch": "one" })),
        (400, json!({ "swarm": "{s}*" })),
        (400, json!({ "swarm": "s\nHSET" })),
        (400, json!({ "swarm": "" })),
        (403, json!({ "swarm": "not-mine" })),
        (413, json!({ "receipts": vec![good.clone(); 500] })),
        (413, json!({ "receipts": vec![small.clone(); 17] })),
        (413, json!({ "x": "x".repeat(4096) })),
    ] {
        let bad = with(report(1, &[]), change);
        assert_eq!(ann.refusal("report", bad.clone()).await, code, "{bad:.200}");
    }
    assert_eq!(ann.refusal("report", json!([])).await, 400);
    assert_eq!(refused(&ann, report(1, &vec![small; 16])).await.len(), 16);
    assert_eq!(refused(&ann, report(1, &[good])).await, [""; 0]);
    world.metric("starling_signaling_receipts_total 1").await;
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(ann.refusal("report", report(2, &[])).await, 401);
}
