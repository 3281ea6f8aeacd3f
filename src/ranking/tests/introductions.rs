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

#[tokio::test(start_paused = true)]
async fn who_leaves_through_one_node_holds_no_slots_on_another() {
    let (store, clock) = world();
    let (one, two) = (Node::new(&store, &clock), Node::new(&store, &clock));
    one.join(1).await;
    two.join(2).await;
    let stop = CancellationToken::new();
    let Node { ranking, loops: Loops { hints, .. }, .. } = two;
    tokio::spawn(hints.run(stop.clone()));
    let began = clock.now();
    assert!(ranking.introduce(peer(2), peer(1), false));
    let here = || ranking.held(peer(2), peer(3), began).here;
    assert_eq!(here(), 1);
    advance(&clock, Duration::from_secs(1)).await;
    assert!(one.ranking.leave(&swarm(), peer(1)).await);
    one.loops.writer.run_once().await;
    tokio::task::yield_now().await;
    assert_eq!(here(), 0);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn who_says_again_how_many_links_it_has_is_believed_again() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    let joining = Member { playhead: Some(3.0), ..member(1, clock.now()) };
    node.ranking.join(&swarm(), joining, 0, |_| true).await.unwrap();
    node.join(2).await;
    for seq in 1..4 {
        advance(&clock, Duration::from_secs(10)).await;
        assert!(node.ranking.introduce(peer(1), peer(10 + seq), false));
        advance(&clock, Duration::from_secs(3)).await;
        let word = OwnWord { degree: 3, playhead: None, resting: false, counters: crate::domain::Counters::default() };
        node.ranking.says(&swarm(), peer(1), 1, seq, word);
        let said = clock.now();
        node.loops.ranker.run_once().await;
        let found = node.find(2).await.candidates.into_iter().find(|row| row.member.peer == peer(1)).unwrap();
        assert_eq!((found.member.degree, found.member.said), (3, said));
        assert_eq!(found.member.playhead, Some(3.0 + 13.0 * f32::from(u8::try_from(seq).unwrap())));
        assert_eq!(node.ranking.held(peer(1), peer(2), found.member.said).here, 0, "what was reserved is in its word");
    }
}
