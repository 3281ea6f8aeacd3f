//! Policies of single swarms.

use super::*;
use crate::domain::PolicyOverrides;

fn want(want: u8) -> PolicyOverrides {
    PolicyOverrides { want: Some(want), ..PolicyOverrides::default() }
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_known_here_at_once_elsewhere_with_the_next_copy_and_ends() {
    let (store, clock) = world();
    let (one, other) = (Node::new(&store, &clock), Node::new(&store, &clock));
    let until = clock.now() + Duration::from_mins(1);
    one.ranking.steer(&swarm(), Some((want(3), until))).await.unwrap();
    assert_eq!((one.ranking.policy(&swarm()), other.ranking.policy(&swarm())), (Some(want(3)), None));
    assert_eq!(one.ranking.policy(&SwarmId::parse("other").unwrap()), None);
    other.loops.refresher.run_once().await;
    assert_eq!(other.ranking.policy(&swarm()), Some(want(3)));
    other.ranking.steer(&swarm(), Some((want(4), until))).await.unwrap();
    assert_eq!(other.ranking.policy(&swarm()), Some(want(4)));
    one.loops.refresher.run_once().await;
    assert_eq!(one.ranking.policy(&swarm()), Some(want(4)));
    // Without the store it ends all the same.
    store.switch_away(true);
    advance(&clock, Duration::from_secs(59)).await;
    one.loops.refresher.run_once().await;
    assert_eq!(one.ranking.policy(&swarm()), Some(want(4)));
    assert!(one.ranking.steer(&swarm(), Some((want(5), until))).await.is_err());
    assert_eq!(one.ranking.policy(&swarm()), Some(want(4)));
    advance(&clock, Duration::from_secs(1)).await;
    assert_eq!(one.ranking.policy(&swarm()), None);
    store.switch_away(false);
    let until = clock.now() + Duration::from_mins(1);
    one.ranking.steer(&swarm(), Some((want(6), until))).await.unwrap();
    one.ranking.steer(&swarm(), None).await.unwrap();
    assert_eq!(one.ranking.policy(&swarm()), None);
    other.loops.refresher.run_once().await;
    assert_eq!(other.ranking.policy(&swarm()), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_policy_was_set_does_not_undo_it() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    let until = clock.now() + Duration::from_mins(1);
    // The store answers a moment after it has read.
    store.answer_late(Duration::from_millis(100));
    let setting = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.answer_late(Duration::ZERO);
        node.ranking.steer(&swarm(), Some((want(3), until))).await.unwrap();
    };
    tokio::join!(node.ranking.renew_policies(), setting);
    assert_eq!(node.ranking.policy(&swarm()), Some(want(3)));
    node.ranking.renew_policies().await;
    assert_eq!(node.ranking.policy(&swarm()), Some(want(3)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_waited_for_no_longer_than_by_any_call() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    store.switch_hanging(true);
    let began = tokio::time::Instant::now();
    assert!(node.ranking.steer(&swarm(), None).await.is_err());
    assert_eq!(began.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_knows_policies_a_second_later() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.ranking.steer(&swarm(), Some((want(3), clock.now() + Duration::from_mins(1)))).await.unwrap();
    let Node { ranking, loops: Loops { refresher, .. }, .. } = Node::new(&store, &clock);
    let stop = CancellationToken::new();
    let task = tokio::spawn(refresher.run(stop.clone()));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(ranking.policy(&swarm()), Some(want(3)));
    stop.cancel();
    task.await.unwrap();
}
