//! Without the store, and with one that has lost its memory.

use super::*;

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
