//! Inboxes on the real gateway: who can reach them, and what survives a dropped connection.

use serde_json::{Value, json};

use crate::{
    client::{Client, Connected},
    over_both_transports,
    world::{Transport, World},
};

over_both_transports! {
    no_client_can_touch_an_inbox,
    the_backend_is_asked_about_what_is_published_to_an_inbox_and_nothing_else_is_taken,
    what_was_missed_is_delivered_after_a_reconnect,
    names_outlive_the_gateway,
}

async fn no_client_can_touch_an_inbox(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob) = (world.joined().await, world.joined().await);
    for channel in [format!("inbox:{}", bob.peer), format!("inbox:{}", ann.peer), "inbox:".into(), "other".into()] {
        for (command, body) in [
            ("subscribe", json!({ "channel": channel })),
            ("history", json!({ "channel": channel, "limit": 10 })),
            ("presence", json!({ "channel": channel })),
            ("presence_stats", json!({ "channel": channel })),
        ] {
            let refused = ann.command(command, body).await.expect_err(&format!("{command} {channel}"));
            assert!([102, 103, 105, 107, 108].contains(&refused.code), "{command} {channel}: {refused:?}");
        }
    }
    assert_eq!(bob.deliveries_so_far().await, 0);
}

async fn the_backend_is_asked_about_what_is_published_to_an_inbox_and_nothing_else_is_taken(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob) = (world.joined().await, world.joined().await);
    let publish = async |channel: &str| {
        let refused = ann.command("publish", json!({ "channel": channel, "data": {} })).await;
        refused.expect_err(channel).code
    };
    for channel in [format!("inbox:{}", bob.peer), format!("inbox:{}", ann.peer), "inbox:".into(), "inbox:x".into()] {
        let code = publish(&channel).await;
        assert!(code >= 400, "{channel}: {code} is the gateway's own");
    }
    for (channel, code) in [("other", 103), ("other:x", 102), (&*bob.peer, 103), ("inbox", 103), ("Inbox:x", 102)] {
        assert_eq!(publish(channel).await, code, "{channel}");
    }
    assert_eq!(bob.deliveries_so_far().await, 0);
}

async fn what_was_missed_is_delivered_after_a_reconnect(transport: Transport) {
    let world = World::start(transport).await;
    let (ann, bob, ticket) = world.pair().await;
    let (peer, reply) = (bob.peer.clone(), bob.reply.clone());
    drop(bob);
    let bye = json!({ "to": peer, "ticket": ticket, "session": "one", "seq": 0, "bye": { "reason": "x" } });
    assert_eq!(ann.signal("s", json!([bye])).await, ["ok"]);

    let bob = come_back(&world, &reply).await;
    assert_eq!((&bob.peer, &bob.inbox()["recovered"]), (&peer, &json!(true)));
    assert_eq!(bob.missed()[0]["data"]["signals"][0]["from"], ann.peer);
}

/// Connects as the peer that was once connected with this reply, and asks for what it missed.
pub async fn come_back(world: &World, reply: &Value) -> Connected {
    let peer = reply["data"]["peer"].as_str().unwrap();
    let channel = format!("inbox:{peer}");
    let position = &reply["subs"][&channel];
    let recover =
        json!({ "recover": true, "epoch": position["epoch"], "offset": position["offset"].as_u64().unwrap_or(0) });
    let data = json!({ "v": 1, "token": world.token(&["s", "movie/*"]), "resume": reply["data"]["resume"] });
    let command = json!({ "data": data, "subs": { (channel.clone()): recover } });
    Client::connect_with(&world.url(), None, command).await.unwrap()
}

async fn names_outlive_the_gateway(transport: Transport) {
    let mut world = World::start(transport).await;
    let (ann, bob) = (world.joined().await, world.joined().await);
    world.kill_gateway();
    ann.closed().await;
    world.start_gateway().await;
    let resume = &ann.reply["data"]["resume"];
    let back = world.connect(json!({ "v": 1, "token": world.token(&["s", "movie/*"]), "resume": resume })).await;
    assert_eq!(back.peer, ann.peer);
    assert!(!back.ticket_for("s", &bob.peer).await.is_empty(), "memberships outlive it as well");
}
