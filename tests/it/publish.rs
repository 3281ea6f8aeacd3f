//! One signal by publishing to its receiver's inbox: the same rules as for `signal`, and the gateway publishes it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::{Connected, Refused},
    inbox::come_back,
    over_both_transports,
    signal::{CANDIDATE, SDP},
    world::{Transport, World},
};

over_both_transports! {
    every_kind_of_signal_can_be_published,
    what_is_published_is_checked_as_what_is_signalled,
    a_published_signal_waits_for_who_is_away_and_candidates_do_not,
}

/// Publishes a signal with this body, and these fields changed.
async fn publish(from: &Connected, to: &str, ticket: &str, change: Value) -> Result<(), Refused> {
    let mut data = json!({ "swarm": "s", "ticket": ticket, "session": "one", "seq": 0 });
    data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    from.command("publish", json!({ "channel": format!("inbox:{to}"), "data": data })).await.map(|_| ())
}

async fn every_kind_of_signal_can_be_published(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let mut back = String::new();
    for (seq, body) in [
        json!({ "offer": { "sdp": SDP } }),
        json!({ "candidates": [CANDIDATE], "end": true }),
        json!({ "bye": { "reason": "done" } }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut sent = body.clone();
        sent.as_object_mut().unwrap().insert("seq".into(), seq.into());
        publish(&ann, &bob.peer, &ticket, sent).await.unwrap();
        let [delivered] = &bob.delivery().await[..] else { panic!("one signal") };
        delivered["ticket"].as_str().unwrap().clone_into(&mut back);
        let mut expected = json!({ "from": ann.peer, "swarm": "s", "session": "one", "seq": seq, "ticket": back });
        expected.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        assert_eq!(delivered, &expected);
    }
    publish(&bob, &ann.peer, &back, json!({ "answer": { "sdp": SDP } })).await.unwrap();
    assert_eq!(ann.delivery().await[0]["from"], bob.peer);
    world.metric(r#"starling_signaling_signals_relayed_total{by="gateway"} 4"#).await;
    world.metric(r#"starling_proxy_call_seconds_count{method="publish"} 4"#).await;
}

async fn what_is_published_is_checked_as_what_is_signalled(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let cem = world.joined().await;
    let offer = json!({ "offer": { "sdp": SDP } });
    for (what, to, ticket, body, code) in [
        ("no signal", &bob, &*ticket, json!({}), 400),
        ("no swarm", &bob, &ticket, json!({ "swarm": null, "offer": { "sdp": SDP } }), 400),
        ("a bad session", &bob, &ticket, json!({ "session": "a b", "offer": { "sdp": SDP } }), 400),
        ("another swarm's ticket", &bob, &ticket, json!({ "swarm": "movie/1", "offer": { "sdp": SDP } }), 403),
        ("a swarm not allowed", &bob, &ticket, json!({ "swarm": "t", "offer": { "sdp": SDP } }), 403),
        ("no ticket", &bob, "", offer.clone(), 403),
        ("a ticket for another", &cem, &ticket, offer.clone(), 403),
        ("oneself", &ann, &ticket, offer.clone(), 403),
        ("a kind that the ticket does not permit", &bob, &ticket, json!({ "answer": { "sdp": SDP } }), 403),
        ("too long", &bob, &ticket, json!({ "offer": { "sdp": "x".repeat(9000) } }), 413),
        ("far too long", &bob, &ticket, json!({ "offer": { "sdp": "x".repeat(20_000) } }), 413),
        ("padded", &bob, &ticket, json!({ "offer": { "sdp": SDP }, "padding": "x".repeat(16 * 1024) }), 413),
        ("no SDP", &bob, &ticket, json!({ "offer": { "sdp": "hello" } }), 422),
    ] {
        let refused = publish(&ann, &to.peer, ticket, body).await.expect_err(what);
        assert_eq!((refused.code, refused.temporary), (code, false), "{what}: {}", refused.message);
    }
    let not_allowed = publish(&ann, &bob.peer, &ticket, json!({ "swarm": "t", "offer": { "sdp": SDP } })).await;
    assert_eq!(not_allowed.unwrap_err().message, "swarm not allowed", "said before the ticket is looked at");
    let channel = |channel: &str| json!({ "channel": channel, "data": { "swarm": "s" } });
    assert_eq!(ann.command("publish", channel("inbox:somebody")).await.unwrap_err().code, 400);
    assert_eq!(ann.command("publish", channel("inbox:")).await.unwrap_err().code, 400);
    // Of all this nothing has arrived.
    let for_cem = ann.ticket_for("s", &cem.peer).await;
    for (to, ticket) in [(&bob, &ticket), (&cem, &for_cem)] {
        publish(&ann, &to.peer, ticket, offer.clone()).await.unwrap();
        assert_eq!(to.delivery().await[0]["offer"]["sdp"], SDP, "the first delivery");
    }
    bob.rpc("leave", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(publish(&ann, &bob.peer, &ticket, offer.clone()).await.unwrap_err().code, 410);
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(publish(&ann, &cem.peer, &for_cem, offer).await.unwrap_err().code, 401);
}

async fn a_published_signal_waits_for_who_is_away_and_candidates_do_not(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let reply = bob.reply.clone();
    drop(bob);
    let peer = reply["data"]["peer"].as_str().unwrap();
    publish(&ann, peer, &ticket, json!({ "candidates": [CANDIDATE] })).await.unwrap();
    publish(&ann, peer, &ticket, json!({ "offer": { "sdp": SDP } })).await.unwrap();
    let missed = come_back(&world, &reply).await.missed().to_vec();
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0]["data"]["signals"][0]["offer"]["sdp"], SDP);
}
