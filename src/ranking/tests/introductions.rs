//! Introductions on one node of several.

use super::*;

#[tokio::test(start_paused = true)]
async fn each_of_several_nodes_hands_a_target_out_as_often_as_its_share_is() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    let handed_out = |from| (from..from + 10).filter(|n| node.ranking.introduce(peer(99), peer(*n), false)).count();
    assert_eq!(handed_out(0), 2);
    node.ranking.nodes.store(3, Relaxed);
    advance(&clock, Duration::from_secs(40)).await;
    assert_eq!(handed_out(10), 2);
    let held = node.ranking.held(peer(99), peer(0), clock.now());
    assert_eq!((held.here, held.slots, held.is_busy), (2, 6, true));
    advance(&clock, Duration::from_millis(2999)).await;
    assert_eq!(handed_out(20), 0);
    advance(&clock, Duration::from_millis(1)).await;
    assert_eq!(handed_out(30), 2);
}
