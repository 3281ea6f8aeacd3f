//! What happens to a cluster, and what calls notice of it. Each test has a cluster of its own.

use std::time::Instant;

use starling_load::cluster::Cluster;

use super::*;
use crate::store::{conformance::member, redis::keys::TAGS};

/// A swarm in the slots of the first, second or third master.
fn swarm_of(master: usize) -> SwarmId {
    let keys = Keys::new("any");
    let names = (0..).map(|n| SwarmId::parse(&format!("s{n}")).unwrap());
    let mut names = names.filter(|name| keys.shard(name, 0).tag * 3 / TAGS == master);
    names.next().unwrap()
}

fn slot(master: usize) -> u16 {
    u16::try_from(Keys::new("any").shard(&swarm_of(master), 0).tag * 16).unwrap()
}

fn of(cluster: &Cluster) -> Settings {
    Settings { nodes: cluster.nodes().split(',').map(str::to_owned).collect(), ..settings_of(Vec::new()) }
}

/// Calls that go on while something happens: a call to a swarm of each master every 20 ms.
struct Calls {
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<Outcome>>,
}

/// What calls to one master came to.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    calls: u32,
    failed: u32,
    /// From the first to the last failure.
    outage: Duration,
    slowest: Duration,
}

impl Calls {
    fn start(node: &Node) -> Self {
        let stop = CancellationToken::new();
        let tasks = (0..3).map(|master| tokio::spawn(call(node.store.clone(), swarm_of(master), stop.clone())));
        let tasks = tasks.collect();
        Self { stop, tasks }
    }

    async fn stop(self) -> [Outcome; 3] {
        self.stop.cancel();
        let mut outcomes = [Outcome::default(); 3];
        for (outcome, task) in outcomes.iter_mut().zip(self.tasks) {
            *outcome = task.await.unwrap();
        }
        outcomes
    }
}

async fn call(store: Arc<RedisStore>, swarm: SwarmId, stop: CancellationToken) -> Outcome {
    let mut outcome = Outcome::default();
    let mut first_failure = None;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let started = Instant::now();
        let result = store.join(&swarm, member(1), 8, conformance::START).await;
        outcome.slowest = outcome.slowest.max(started.elapsed());
        outcome.calls += 1;
        if result.is_err() {
            outcome.failed += 1;
            outcome.outage = first_failure.get_or_insert(started).elapsed();
        }
    }
    outcome
}

/// All masters answer.
async fn is_whole(node: &Node) -> bool {
    for master in 0..3 {
        if node.store.join(&swarm_of(master), member(1), 8, conformance::START).await.is_err() {
            return false;
        }
    }
    node.store.missing().is_none()
}

/// Nothing of what happens elsewhere costs a call more than a moment.
fn assert_untouched(outcome: Outcome) {
    assert!(outcome.failed <= outcome.calls / 50, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_costs_its_part_until_it_is_replaced() {
    let cluster = Cluster::start().await.unwrap();
    let node = Node::new(&of(&cluster)).await;
    node.eventually("whole", async || is_whole(&node).await).await;
    let calls = Calls::start(&node);
    cluster.kill(1).await.unwrap();
    cluster.replaced(slot(1), 1).await.unwrap();
    node.eventually("whole again", async || is_whole(&node).await).await;
    let [first, killed, third] = calls.stop().await;
    assert_untouched(first);
    assert_untouched(third);
    assert!(killed.failed > 0 && killed.slowest < AT_ONCE * 2, "{killed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_costs_its_part_until_it_is_replaced() {
    let cluster = Cluster::start().await.unwrap();
    let node = Node::new(&of(&cluster)).await;
    node.eventually("whole", async || is_whole(&node).await).await;
    let calls = Calls::start(&node);
    cluster.stall(1).unwrap();
    cluster.replaced(slot(1), 1).await.unwrap();
    // While it still hangs.
    node.eventually("whole again", async || is_whole(&node).await).await;
    cluster.release(1).unwrap();
    cluster.restart().await.unwrap(); // nothing to start: waits until all agree
    node.eventually("whole still", async || is_whole(&node).await).await;
    let [first, hung, third] = calls.stop().await;
    assert_untouched(first);
    assert_untouched(third);
    assert!(hung.failed > 0 && hung.slowest < AT_ONCE * 2, "{hung:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_nobody_can_serve_does_not_take_the_others_with_it() {
    let cluster = Cluster::start().await.unwrap();
    let node = Node::new(&of(&cluster)).await;
    node.eventually("whole", async || is_whole(&node).await).await;
    let calls = Calls::start(&node);
    for lost in [1, 4] {
        cluster.stall(lost).unwrap();
    }
    node.eventually("missed", async || node.store.missing().is_some()).await;
    // Long enough for several attempts to find another connection.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(node.store.missing().is_some_and(|what| what.contains("redis")), "{:?}", node.store.missing());
    for lost in [1, 4] {
        cluster.release(lost).unwrap();
    }
    node.eventually("whole again", async || is_whole(&node).await).await;
    let [first, lost, third] = calls.stop().await;
    assert_untouched(first);
    assert_untouched(third);
    assert!(lost.failed > 0 && lost.slowest < AT_ONCE * 2, "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_comes_back_empty_is_used_again() {
    let cluster = Cluster::start().await.unwrap();
    let node = Node::new(&of(&cluster)).await;
    node.eventually("whole", async || is_whole(&node).await).await;
    let swarm = swarm_of(0);
    let known: Vec<_> = node.store.pull(&swarm, &[], conformance::START).await.unwrap();
    let known: Vec<_> = known.into_iter().map(|pulled| conformance::changed(pulled).version).collect();
    cluster.kill_all().await.unwrap();
    let missed = node.eventually("missed", async || {
        let _ = node.store.leave(&swarm, member(1).peer, conformance::START).await;
        node.store.missing().is_some()
    });
    missed.await;
    cluster.restart().await.unwrap();
    node.eventually("used again", async || node.store.pull(&swarm, &known, conformance::START).await.is_ok()).await;
    let pulled = node.store.pull(&swarm, &known, conformance::START).await.unwrap();
    assert!(matches!(&pulled[..], [Pulled::Lost(shard)] if shard.members.is_empty()), "{pulled:?}");
    node.eventually("whole again", async || is_whole(&node).await).await;
    // It has begun to fill again, from another version.
    let pulled = node.store.pull(&swarm, &[1], conformance::START).await.unwrap();
    assert!(matches!(&pulled[..], [Pulled::Lost(shard)] if shard.members.len() == 1), "{pulled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_without_redis_and_finds_it_later() {
    let cluster = Cluster::start().await.unwrap();
    cluster.kill_all().await.unwrap();
    let node = Node::unconnected(&of(&cluster));
    let started = Instant::now();
    let swarm = swarm_of(0);
    let joined = node.store.join(&swarm, member(1), 8, conformance::START).await;
    assert!(matches!(joined, Err(StoreError::Away(_))) && started.elapsed() < AT_ONCE * 2, "{joined:?}");
    assert!(node.store.missing().is_some_and(|what| what.contains("redis")));
    let mut heard = node.store.hear();
    cluster.restart().await.unwrap();
    node.eventually("whole", async || is_whole(&node).await).await;
    let gone = Gone { swarm, peer: member(1).peer, at: conformance::START };
    let told = node.eventually("heard", async || {
        node.store.tell(std::slice::from_ref(&gone)).await.unwrap();
        !heard.is_empty()
    });
    told.await;
    assert_eq!(heard.recv().await.unwrap(), gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_cost_no_call() {
    let cluster = Cluster::start().await.unwrap();
    let node = Node::new(&of(&cluster)).await;
    node.eventually("whole", async || is_whole(&node).await).await;
    let calls = Calls::start(&node);
    cluster.fail_over(0).await.unwrap();
    cluster.restart().await.unwrap(); // nothing to start: waits until all agree
    // More than half of what it has, so that the swarm's slot is among them.
    cluster.reshard(1, 2, 4000).await.unwrap();
    assert_eq!(cluster.master_of(slot(1)).await.unwrap(), 2);
    node.eventually("whole still", async || is_whole(&node).await).await;
    for outcome in calls.stop().await {
        assert_untouched(outcome);
    }
}
