//! What came of attempts is known on every node, and counts once.

use super::*;
use crate::domain::{End, Nat, Outcomes, Pair, Tally};

fn here() -> End {
    End { nat: Nat::Eim, asn: Some(64_501), ..End::default() }
}

fn tried(node: &Node, about: u32, by: u32, epoch: u16, connected: bool) {
    // Whether they can meet is nobody's fault, and still worth knowing.
    let source = Source { peer: peer(by), prefix: None, can_meet: false, end: here() };
    let receipt = Receipt { epoch, connected, ..Receipt::default() };
    assert!(node.ranking.receipt(&swarm(), peer(about), source, receipt));
}

async fn joins(node: &Node, n: u32) {
    let place = crate::domain::Place { asn: Some(64_500), ..Default::default() };
    let member = Member { nat: Nat::Eim, place, ..member(n, node.clock.now()) };
    node.ranking.join(&swarm(), member, 8, |_| true).await.unwrap();
}

fn outcomes(node: &Node) -> [(f32, f32); 2] {
    let pairs = node.ranking.pairs();
    [Pair::classes(Nat::Eim, Nat::Eim), Pair::networks(64_500, 64_501)].map(|pair| {
        let Outcomes { opened, failed } = pairs.outcomes(pair);
        (opened, failed)
    })
}

#[tokio::test(start_paused = true)]
async fn an_attempt_counts_once_for_all_nodes() {
    let (store, clock) = world();
    let (one, other) = (Node::new(&store, &clock), Node::new(&store, &clock));
    joins(&one, 1).await;
    for (epoch, connected, expected) in [
        (1, false, (0.0, 1.0)),
        (1, false, (0.0, 1.0)),
        (1, true, (1.0, 1.0)),
        (1, true, (1.0, 1.0)),
        (2, true, (2.0, 1.0)),
        (1, false, (2.0, 1.0)),
    ] {
        for node in [&one, &other] {
            tried(node, 1, 2, epoch, connected);
        }
        tokio::join!(one.loops.ranker.run_once(), other.loops.ranker.run_once());
        one.loops.ranker.run_once().await;
        other.loops.ranker.run_once().await;
        for node in [&one, &other] {
            // Of the kinds the first one tells: after that, something is known of this peer.
            assert_eq!(outcomes(node), [(0.0, 1.0), expected], "{epoch} {connected}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_reporter_counts_eight_times_a_round() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for about in 0..20 {
        joins(&node, about).await;
        tried(&node, about, 100, 1, false);
        tried(&node, about, 200 + about, 1, true);
    }
    node.loops.ranker.run_once().await;
    assert_eq!(outcomes(&node), [(0.0, 8.0), (20.0, 8.0)]);
    // Not what did not count, but what is new.
    for about in 0..3 {
        tried(&node, about, 100, 2, false);
    }
    node.loops.ranker.run_once().await;
    assert_eq!(outcomes(&node), [(0.0, 8.0), (20.0, 11.0)]);
}

#[tokio::test(start_paused = true)]
async fn with_the_store_away_what_was_known_stays_and_what_is_new_waits() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    joins(&node, 1).await;
    tried(&node, 1, 2, 1, true);
    node.loops.ranker.run_once().await;
    tried(&node, 1, 3, 1, false);
    store.fail_learning(true);
    for _ in 0..3 {
        node.loops.ranker.run_once().await;
        assert_eq!(outcomes(&node), [(1.0, 0.0); 2]);
    }
    store.fail_learning(false);
    for _ in 0..3 {
        node.loops.ranker.run_once().await;
        assert_eq!(outcomes(&node), [(1.0, 0.0), (1.0, 1.0)]);
    }
    advance(&clock, Duration::from_hours(1)).await;
    node.loops.ranker.run_once().await;
    assert_eq!(outcomes(&node), [(0.5, 0.0), (0.5, 0.5)], "read again without any report");
}

#[test]
fn what_waits_has_a_limit() {
    let learning = Learning::default();
    let end = |asn| End { nat: Nat::Eim, asn: Some(asn), ..End::default() };
    for n in 0..10_000 {
        assert!(learning.note(peer(n), end(n), end(7), true));
    }
    assert!(learning.note(peer(10_001), End { nat: Nat::Apdm, ..End::default() }, end(7), false));
    assert!((4096..4120).contains(&learning.waiting()), "{}", learning.waiting());
}

#[tokio::test(start_paused = true)]
async fn what_came_of_its_attempts_is_known_of_a_peer() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    joins(&node, 1).await;
    let symmetric =
        Source { peer: peer(9), prefix: None, can_meet: true, end: End { nat: Nat::Apdm, ..End::default() } };
    for _ in 0..2 {
        for (by, connected) in [(2, true), (3, false), (4, true)] {
            tried(&node, 1, by, 1, connected);
        }
        assert!(node.ranking.receipt(&swarm(), peer(1), symmetric, Receipt { connected: true, ..Receipt::default() }));
        node.loops.ranker.run_once().await;
        let known = store.known(&swarm(), &[peer(1)]).await.unwrap().remove(0).unwrap().ranked.member.reach;
        assert_eq!((known.easy, known.hard), (Tally::new(2, 1), Tally::new(1, 0)), "each attempt once");
    }
}
