//! `signal`: who may say what to whom, and what arrives.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::Client,
    over_both_transports,
    world::{Transport, World},
};

over_both_transports! {
    an_offer_an_answer_candidates_and_a_bye_reach_whom_they_are_for,
    a_ticket_is_for_one_pair_in_one_swarm,
    a_ticket_is_for_its_kind_of_signal,
    a_ticket_ends,
    each_signal_of_a_call_has_its_own_result,
    seventeen_signals_are_too_many,
    who_has_left_is_gone,
    candidates_are_accepted_at_once_and_travel_together,
    without_a_gateway_nothing_is_acknowledged,
}

pub const SDP: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n";
pub const CANDIDATE: &str = "candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag abcd";

fn signal(to: &str, ticket: &str, seq: u32, body: Value) -> Value {
    let mut signal = json!({ "to": to, "ticket": ticket, "session": "one", "seq": seq });
    signal.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    signal
}

fn offer() -> Value {
    json!({ "offer": { "sdp": SDP } })
}

fn answer() -> Value {
    json!({ "answer": { "sdp": SDP } })
}

fn bye() -> Value {
    json!({ "bye": { "reason": "done" } })
}

async fn an_offer_an_answer_candidates_and_a_bye_reach_whom_they_are_for(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let cem = world.joined().await;

    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, offer())])).await, ["ok"]);
    let [delivered] = &bob.delivery().await[..] else { panic!("one signal") };
    let back = delivered["ticket"].as_str().unwrap();
    let expected =
        json!({ "from": ann.peer, "swarm": "s", "session": "one", "seq": 0, "ticket": back, "offer": { "sdp": SDP } });
    assert_eq!(delivered, &expected);

    assert_eq!(bob.signal("s", json!([signal(&ann.peer, back, 0, answer())])).await, ["ok"]);
    let [delivered] = &ann.delivery().await[..] else { panic!("one signal") };
    assert_eq!((&delivered["from"], &delivered["answer"]["sdp"]), (&json!(bob.peer), &json!(SDP)));
    let again = delivered["ticket"].as_str().unwrap();

    let more = json!([
        signal(&bob.peer, again, 1, json!({ "candidates": [CANDIDATE], "end": true })),
        signal(&bob.peer, &ticket, 2, bye())
    ]);
    assert_eq!(ann.signal("s", more).await, ["ok", "ok"]);
    let [candidates, end] = &bob.delivery().await[..] else { panic!("two signals in one delivery") };
    assert_eq!((&candidates["candidates"], &candidates["end"]), (&json!([CANDIDATE]), &json!(true)));
    assert_eq!(end["bye"], json!({ "reason": "done" }));
    assert_eq!((&candidates["seq"], &end["seq"]), (&json!(1), &json!(2)));

    assert_eq!(cem.deliveries_so_far().await, 0, "nobody hears what was not addressed to them");
    assert_eq!(ann.deliveries_so_far().await, 0);
}

async fn a_ticket_is_for_one_pair_in_one_swarm(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let cem = world.joined().await;
    for peer in [&ann, &bob] {
        peer.rpc("join", json!({ "swarm": "movie/1" })).await.unwrap();
    }
    let forged = format!("{}{}", if ticket.starts_with('A') { "B" } else { "A" }, &ticket[1..]);
    for bad in ["", "x", &forged, &ticket[1..]] {
        assert_eq!(ann.signal("s", json!([signal(&bob.peer, bad, 0, offer())])).await, [403], "{bad}");
    }
    assert_eq!(ann.signal("s", json!([signal(&cem.peer, &ticket, 0, offer())])).await, [403], "to another");
    assert_eq!(ann.signal("s", json!([signal(&ann.peer, &ticket, 0, offer())])).await, [403], "to oneself");
    assert_eq!(cem.signal("s", json!([signal(&bob.peer, &ticket, 0, offer())])).await, [403], "from another");
    assert_eq!(bob.signal("s", json!([signal(&ann.peer, &ticket, 0, offer())])).await, [403], "the other way");
    assert_eq!(ann.signal("movie/1", json!([signal(&bob.peer, &ticket, 0, offer())])).await, [403], "elsewhere");
    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, bye())])).await, ["ok"]);
    assert_eq!(bob.delivery().await[0]["from"], ann.peer, "the first thing that arrives is the permitted one");
    for peer in [&ann, &bob, &cem] {
        assert_eq!(peer.deliveries_so_far().await, 0);
    }
}

async fn a_ticket_is_for_its_kind_of_signal(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, answer())])).await, [403], "an answer unasked");
    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, offer())])).await, ["ok"]);
    let back = bob.delivery().await[0]["ticket"].as_str().unwrap().to_owned();
    assert_eq!(
        bob.signal("s", json!([signal(&ann.peer, &back, 0, offer())])).await,
        [403],
        "an offer on the right to answer"
    );
    let all = json!([signal(&ann.peer, &back, 0, answer()), signal(&ann.peer, &back, 1, bye())]);
    assert_eq!(bob.signal("s", all).await, ["ok", "ok"]);
}

async fn a_ticket_ends(transport: Transport) {
    let world = World::start_with(transport, |config| config.ticket.ttl = Duration::from_mins(1)).await;
    let (ann, bob, ticket) = world.pair().await;
    world.clock.advance(Duration::from_secs(58));
    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, offer())])).await, ["ok"]);
    let back = bob.delivery().await[0]["ticket"].as_str().unwrap().to_owned();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, offer())])).await, [403]);
    assert_eq!(
        bob.signal("s", json!([signal(&ann.peer, &back, 0, answer())])).await,
        ["ok"],
        "answers have a little longer"
    );
    let again = ann.delivery().await[0]["ticket"].as_str().unwrap().to_owned();
    assert_eq!(
        ann.signal("s", json!([signal(&bob.peer, &again, 1, offer())])).await,
        [403],
        "an answer prolongs nothing"
    );
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(bob.signal("s", json!([signal(&ann.peer, &back, 0, answer())])).await, [403]);
}

async fn each_signal_of_a_call_has_its_own_result(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let to = |body| signal(&bob.peer, &ticket, 0, body);
    let signals = json!([
        to(offer()),
        to(json!({ "offer": { "sdp": "v=0\r\nm=video 9 x y\r\n" } })),
        to(json!({ "offer": { "sdp": format!("{SDP}a={}\r\n", "x".repeat(8192)) } })),
        to(json!({ "candidates": ["a=candidate:1"] })),
        to(json!({ "candidates": vec![CANDIDATE; 21] })),
        to(json!({ "bye": { "reason": "x".repeat(65) } })),
        to(json!({})),
        to(json!({ "offer": { "sdp": SDP }, "answer": { "sdp": SDP } })),
        json!("text"),
        json!({ "to": bob.peer }),
        signal("nobody", &ticket, 0, offer()),
        signal(&bob.peer, "forged", 0, offer()),
        to(bye()),
    ]);
    let results = ann.signal("s", signals).await;
    let expected = json!(["ok", 422, 413, 422, 413, 400, 400, 400, 400, 400, 400, 403, "ok"]);
    assert_eq!(json!(results), expected);
    let mut arrived = bob.delivery().await;
    if arrived.len() == 1 {
        arrived.extend(bob.delivery().await);
    }
    assert!(arrived.len() == 2 && arrived[0]["offer"].is_object() && arrived[1]["bye"].is_object());

    let reply = ann
        .rpc("signal", json!({ "swarm": "s", "signals": [to(json!({ "offer": { "sdp": "v=0\r\nsecret" } }))] }))
        .await
        .unwrap();
    let message = reply["results"][0]["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("line 2") && !message.contains("secret"),
        "the type of the line, never its content: {message}"
    );
}

async fn seventeen_signals_are_too_many(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let signals = |n| json!(vec![signal(&bob.peer, &ticket, 0, bye()); n]);
    assert_eq!(ann.refusal("signal", json!({ "swarm": "s", "signals": signals(17) })).await, 413);
    assert_eq!(ann.signal("s", signals(16)).await, vec!["ok"; 16]);
    assert_eq!(ann.signal("s", json!([])).await.len(), 0);
}

async fn who_has_left_is_gone(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    bob.rpc("leave", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, offer())])).await, [410]);
    bob.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, 0, offer())])).await, ["ok"]);
}

async fn candidates_are_accepted_at_once_and_travel_together(transport: Transport) {
    let world = World::start_with(transport, |config| config.batch.window = Duration::from_secs(1)).await;
    let (ann, bob, ticket) = world.pair().await;
    for seq in 0..3 {
        let candidates = json!({ "candidates": [CANDIDATE] });
        assert_eq!(ann.signal("s", json!([signal(&bob.peer, &ticket, seq, candidates)])).await, ["ok"]);
    }
    assert_eq!(bob.deliveries_so_far().await, 0, "accepted before they are published");
    assert_eq!(bob.delivery().await.len(), 3);
}

async fn without_a_gateway_nothing_is_acknowledged(transport: Transport) {
    let world = World::start_with(transport, |config| {
        // Nobody listens there; calls come in through the real gateway all the same.
        config.gateway.api_url = vec!["http://127.0.0.1:9/api".into()];
    })
    .await;
    let (ann, bob, ticket) = world.pair().await;
    // Once it is known to be down, candidates are not accepted either.
    world.missing("gateway").await;
    for body in [offer(), json!({ "candidates": [CANDIDATE] })] {
        let signals = json!([signal(&bob.peer, &ticket, 0, body)]);
        let reply = ann.rpc("signal", json!({ "swarm": "s", "signals": signals })).await.unwrap();
        let error = &reply["results"][0]["error"];
        assert_eq!((&error["code"], &error["retry_ms"]), (&json!(503), &json!(500)));
    }
    world.metric(r#"starling_outbox_signals_refused_total{reason="gateway"} 2"#).await;
    let data = json!({ "v": 1, "token": world.token(&["s", "movie/*"]), "resume": ann.reply["data"]["resume"] });
    let refused = Client::connect(&world.url(), data).await.err().expect("an inbox never has two listeners");
    assert_eq!(refused.0, 4001);
}
