//! A store that is full, away, hangs, or has lost what it knew.

use tokio::time::Instant;

use super::*;
use crate::domain::Counters;

/// A node with a swarm so large that its lists come from the copy.
async fn large() -> (Arc<SwitchedStore>, Clock, Node) {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for n in 0..200 {
        node.join(n).await;
    }
    node.loops.refresher.run_once().await;
    (store, clock, node)
}

async fn ok(store: &SwitchedStore, n: u32) -> f32 {
    store.known(&swarm(), &[peer(n)]).await.unwrap()[0].clone().unwrap().evidence.unwrap().ok
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_for_want_of_room_is_in_no_swarm() {
    let (_, clock) = world();
    let node = Node::new(&SwitchedStore::new(MemoryStore::new(1, SETTINGS.remember)), &clock);
    node.join(1).await;
    let refused = node.ranking.join(&swarm(), member(2, clock.now()), 8, |_| true).await;
    assert_eq!((refused, node.ranking.memberships.len()), (Err(RankingError::Full), 1));
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_a_swarm_that_is_forgotten_takes_no_room() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    store.switch_away(true);
    node.report(1, 2, 1);
    advance(&clock, SETTINGS.remember + Duration::from_mins(2)).await;
    node.loops.refresher.run_once().await;
    assert_eq!((node.ranking.views.len(), node.ranking.waiting.load(Relaxed)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_given_back_to_a_store_is_not_told_to_join_again() {
    let (store, clock, node) = large().await;
    for away in [Duration::from_secs(16), LISTED_FOR * 2] {
        store.switch_away(true);
        advance(&clock, away).await;
        node.find(1).await;
        store.exchange(self::store());
        store.switch_away(false);
        advance(&clock, Duration::from_secs(3)).await;
        // The store says that nobody is a member; the copy knows better.
        node.loops.writer.run_once().await;
        assert!(node.find(1).await.joined, "before it is given back");
        node.loops.refresher.run_once().await;
        assert!(store.known(&swarm(), &[peer(1)]).await.unwrap()[0].is_some());
        assert!(node.find(1).await.joined, "after that");
        for n in 0..200 {
            node.join(n).await;
        }
        node.loops.writer.run_once().await;
        node.loops.refresher.run_once().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_no_member_is_told_so_until_it_joins() {
    let (_, clock, node) = large().await;
    assert!(node.find(500).await.joined, "nothing is known yet");
    node.loops.writer.run_once().await;
    assert!(!node.find(500).await.joined);
    node.join(500).await;
    assert!(node.find(500).await.joined);
    node.loops.writer.run_once().await;
    node.find(500).await;
    advance(&clock, Duration::from_secs(16)).await;
    node.loops.writer.run_once().await;
    assert!(node.find(500).await.joined);
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_that_could_not_be_written_is_written_later() {
    let (store, clock, node) = large().await;
    advance(&clock, Duration::from_secs(20)).await;
    let heard = clock.now();
    node.ranking.heard(&swarm(), peer(1));
    store.switch_away(true);
    node.loops.writer.run_once().await;
    store.switch_away(false);
    advance(&clock, Duration::from_secs(2)).await;
    node.loops.writer.run_once().await;
    let known = store.known(&swarm(), &[peer(1)]).await.unwrap();
    assert_eq!(known[0].as_ref().unwrap().ranked.seen, heard);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_a_sign_of_life_on_a_node_that_does_not_know_the_swarm() {
    let (store, clock) = world();
    let (one, other) = (Node::new(&store, &clock), Node::new(&store, &clock));
    one.join(1).await;
    advance(&clock, Duration::from_secs(20)).await;
    other.ranking.says(
        &swarm(),
        peer(1),
        1,
        1,
        OwnWord { degree: 0, playhead: None, resting: false, counters: Counters::default() },
    );
    other.loops.writer.run_once().await;
    let known = store.known(&swarm(), &[peer(1)]).await.unwrap();
    assert_eq!(known[0].as_ref().unwrap().ranked.seen, clock.now());
}

#[tokio::test(start_paused = true)]
async fn counters_that_go_back_while_they_wait_count_as_unchanged() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    node.report(1, 2, 5);
    node.report(1, 2, 3);
    node.loops.ranker.run_once().await;
    assert!((ok(&store, 1).await - 5.0).abs() < 0.1);
}

#[tokio::test(start_paused = true)]
async fn with_a_store_that_hangs_every_loop_ends_in_time() {
    let (store, clock) = world();
    let Node { ranking, loops: Loops { ranker, refresher, writer, .. }, .. } = Node::new(&store, &clock);
    store.switch_away(true);
    for n in 0..1000 {
        let swarm = SwarmId::parse(&format!("s{n}")).unwrap();
        ranking.join(&swarm, member(n, clock.now()), 8, |_| true).await.unwrap();
        let source = Source { peer: peer(n + 1), prefix: None, can_meet: true, end: crate::domain::End::default() };
        assert!(ranking.receipt(&swarm, peer(n), source, Receipt { ok: 1, ..Receipt::default() }));
    }
    store.switch_hanging(true);
    let stop = CancellationToken::new();
    let loops = [
        tokio::spawn(ranker.run(stop.clone())),
        tokio::spawn(refresher.run(stop.clone())),
        tokio::spawn(writer.run(stop.clone())),
    ];
    // All of them are in the middle of a round.
    tokio::time::sleep(Duration::from_secs(13)).await;
    stop.cancel();
    let told = Instant::now();
    for task in loops {
        task.await.unwrap();
    }
    assert!(told.elapsed() <= LAST * 2, "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_two_nodes_hear_of_one_peer_at_once_counts_both() {
    let (store, clock) = world();
    let (one, other) = (Node::new(&store, &clock), Node::new(&store, &clock));
    one.join(1).await;
    one.report(1, 2, 3);
    other.report(1, 3, 4);
    tokio::join!(one.loops.ranker.run_once(), other.loops.ranker.run_once());
    assert!((ok(&store, 1).await - 7.0).abs() < 0.1);
    assert_eq!([&one, &other].map(|node| node.ranking.waiting.load(Relaxed)), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answered_is_asked_again_soon_after_its_next_failure() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    store.switch_away(true);
    for _ in 0..5 {
        node.find(1).await;
        advance(&clock, Duration::from_secs(2)).await;
    }
    store.switch_away(false);
    node.find(1).await;
    store.switch_away(true);
    node.find(1).await;
    advance(&clock, Duration::from_millis(200)).await;
    store.calls();
    node.find(1).await;
    assert_eq!(store.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_a_call_no_more_than_its_patience() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for n in 0..2 {
        node.join(n).await;
    }
    store.switch_hanging(true);
    let calls = async |n: u32| match n {
        0 => drop(node.join(2).await),
        1 => drop(node.find(0).await),
        _ => drop(node.ranking.leave(&swarm(), peer(1)).await),
    };
    for n in 0..3 {
        advance(&clock, Duration::from_secs(3)).await;
        let began = Instant::now();
        calls(n).await;
        assert_eq!(began.elapsed(), PATIENCE, "it asked, and gave up");
        let began = Instant::now();
        calls(n).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "it does not ask again at once");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_store_lists_go_on_and_joins_are_kept() {
    let (store, clock) = world();
    let (node, other) = (Node::new(&store, &clock), Node::new(&store, &clock));
    for n in 0..3 {
        node.join(n).await;
    }
    node.loops.refresher.run_once().await;
    store.switch_away(true);
    store.calls();
    assert_eq!(node.join(3).await.candidates.len(), 4);
    assert_eq!(node.listed().await, (0..4).map(peer).collect());
    let calls = store.calls();
    for _ in 0..100 {
        node.find(0).await;
    }
    assert!((1..3).contains(&calls) && store.calls() == 0, "a store that is away is not asked by every call");

    advance(&clock, SETTINGS.interval * 3).await;
    node.loops.refresher.run_once().await;
    assert!(!node.find(0).await.stale);
    advance(&clock, SETTINGS.interval).await;
    let list = node.find(0).await;
    assert!(list.stale && list.joined && list.candidates.len() == 4, "{list:?}");
    advance(&clock, LISTED_FOR * 3).await;
    assert_eq!(node.find(1).await.candidates.len(), 4, "who was alive when the store went counts as alive");
    let fresh = other.join(4).await;
    assert!(fresh.stale && fresh.joined, "a node that knows nothing says so");
    assert!(node.ranking.leave(&swarm(), peer(2)).await);
    assert!(!node.listed().await.contains(&peer(2)));

    node.find(3).await;
    store.switch_away(false);
    advance(&clock, Duration::from_secs(3)).await;
    for node in [&node, &other] {
        node.loops.writer.run_once().await;
        node.loops.refresher.run_once().await;
    }
    assert!(!node.find(0).await.stale);
    assert!(other.listed().await.is_superset(&[peer(1), peer(3), peer(4)].into()), "joins that were kept are written");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_its_memory_gets_back_who_is_alive() {
    for n in [10, 200] {
        let (store, clock) = world();
        let nodes = [Node::new(&store, &clock), Node::new(&store, &clock)];
        for i in 0..n {
            nodes[i as usize % 2].join(i).await;
        }
        let renew = async || {
            for node in &nodes {
                node.loops.writer.run_once().await;
                node.loops.refresher.run_once().await;
            }
        };
        renew().await;
        store.switch_away(true);
        advance(&clock, Duration::from_mins(1)).await;
        for i in 0..n - 1 {
            nodes[i as usize % 2].find(i).await;
        }
        assert!(nodes[0].ranking.leave(&swarm(), peer(0)).await);
        store.exchange(self::store());
        store.switch_away(false);
        advance(&clock, Duration::from_secs(3)).await;
        // The first call that finds the store empty is answered from what is known, and is told nothing of it.
        let list = nodes[1].find(1).await;
        assert!(list.joined && list.candidates.len() >= 9, "{list:?}");
        renew().await;
        renew().await;
        let expected: HashSet<_> = (1..n - 1).map(peer).collect();
        for node in &nodes {
            assert_eq!(node.listed().await, expected, "not who left, nor who fell silent");
        }
        assert!(nodes[0].find(1).await.joined);
        advance(&clock, LISTED_FOR + Duration::from_secs(12)).await;
        renew().await;
        assert_eq!(nodes[0].listed().await.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn reports_wait_for_a_store_that_is_away_and_a_lost_node_costs_an_interval() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for n in 0..3 {
        node.join(n).await;
    }
    store.switch_away(true);
    for round in 1..5 {
        node.report(0, 1, round);
        advance(&clock, Duration::from_secs(10)).await;
        node.loops.ranker.run_once().await;
    }
    assert_eq!(node.ranking.waiting.load(Relaxed), 1);
    store.switch_away(false);
    advance(&clock, Duration::from_secs(3)).await;
    node.loops.ranker.run_once().await;
    let ok = async || store.known(&swarm(), &[peer(0)]).await.unwrap()[0].clone().unwrap().evidence.unwrap().ok;
    assert!((ok().await - 4.0).abs() < 0.1);
    node.report(0, 1, 6);
    drop(node); // killed: this one is lost
    let other = Node::new(&store, &clock);
    other.report(0, 1, 8);
    other.loops.ranker.run_once().await;
    assert!((ok().await - 8.0).abs() < 0.1, "counters are cumulative");
}
