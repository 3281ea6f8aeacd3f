//! What viewers report of themselves adds up, once.

use super::*;
use crate::domain::Counters;

const MIB: u64 = 1 << 20;

fn says(node: &Node, n: u32, seq: u32, mib: u64) {
    let counters = Counters {
        epoch: 1,
        down_bytes: 3 * mib * MIB,
        http_bytes: mib * MIB,
        up_bytes: 2 * mib * MIB,
        rebuffers: seq,
    };
    let word = OwnWord { degree: 0, playhead: None, resting: false, counters };
    node.ranking.says(&swarm(), peer(n), 1, seq, word);
}

async fn totals(store: &SwitchedStore) -> Totals {
    store.totals(&swarm()).await.unwrap()
}

fn expected(mib: u64, rebuffers: u64) -> Totals {
    let (p2p_bytes, http_bytes, up_bytes) = (3 * mib * MIB, mib * MIB, 2 * mib * MIB);
    Totals { p2p_bytes, http_bytes, up_bytes, rebuffers, ..Totals::default() }
}

#[tokio::test(start_paused = true)]
async fn a_report_counts_once_on_whichever_node_it_comes_and_comes_again() {
    let (store, clock) = world();
    let nodes = [Node::new(&store, &clock), Node::new(&store, &clock)];
    for n in 0..10 {
        nodes[0].join(n).await;
    }
    for round in 1..=6 {
        advance(&clock, Duration::from_secs(10)).await;
        for n in 0..10 {
            // Some come twice, on both; some late, behind the next.
            says(&nodes[((n + round) % 2) as usize], n, round, u64::from(round * (n + 1)));
            if n % 3 == 0 {
                says(&nodes[((n + round + 1) % 2) as usize], n, round, u64::from(round * (n + 1)));
            }
            if round > 1 && n % 4 == 0 {
                says(&nodes[0], n, round - 1, u64::from((round - 1) * (n + 1)));
            }
        }
        tokio::join!(nodes[0].loops.ranker.run_once(), nodes[1].loops.ranker.run_once());
    }
    assert_eq!(totals(&store).await, expected(6 * 55, 60));
    // A client that began anew.
    advance(&clock, Duration::from_secs(10)).await;
    let counters = Counters { epoch: 2, down_bytes: MIB, ..Counters::default() };
    let word = OwnWord { degree: 0, playhead: None, resting: false, counters };
    nodes[1].ranking.says(&swarm(), peer(1), 2, 1, word);
    nodes[1].loops.ranker.run_once().await;
    assert_eq!(totals(&store).await.p2p_bytes, expected(6 * 55, 60).p2p_bytes + MIB);
    assert!((nodes[0].ranking.saved(&Totals { p2p_bytes: 2_000_000_000, ..Totals::default() }) - 0.1).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn of_what_waits_the_largest_counters_count_in_any_order() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    advance(&clock, Duration::from_secs(10)).await;
    says(&node, 1, 2, 7);
    says(&node, 1, 1, 5);
    says(&node, 1, 3, 6);
    node.loops.ranker.run_once().await;
    assert_eq!(totals(&store).await, expected(7, 3));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_waits_and_is_written_once() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    advance(&clock, Duration::from_secs(10)).await;
    says(&node, 1, 1, 5);
    store.fail_accounts(true);
    node.loops.ranker.run_once().await;
    assert_eq!(totals(&store).await, Totals::default());
    advance(&clock, Duration::from_secs(10)).await;
    says(&node, 1, 2, 6);
    node.loops.ranker.run_once().await;
    store.fail_accounts(false);
    for _ in 0..3 {
        advance(&clock, Duration::from_secs(10)).await;
        node.loops.ranker.run_once().await;
        assert_eq!(totals(&store).await, expected(6, 2), "and without another report");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_a_link_took_counts_once() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    let said = |by: u32, connected, ok, connect_ms| {
        let source = Source { peer: peer(by), prefix: None, can_meet: true, end: crate::domain::End::default() };
        let receipt = Receipt { connected, ok, connect_ms, ..Receipt::default() };
        assert!(node.ranking.receipt(&swarm(), peer(1), source, receipt));
    };
    for round in 0..4 {
        said(2, round > 0, round, (round > 0).then_some(300));
        said(3, true, round, Some(500));
        said(4, true, round, None);
        said(5, false, round, None);
        node.loops.ranker.run_once().await;
        advance(&clock, Duration::from_secs(10)).await;
    }
    let Totals { connects, connect_ms, .. } = totals(&store).await;
    assert_eq!((connects, connect_ms), (2, 800));
}
