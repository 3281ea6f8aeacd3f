//! Two backends behind a balancer, something that breaks under load, and the checker over everything that clients saw.
//! Short and slow runs of what `make fault` does at length.

use starling_load::{
    client::Target,
    faults::{self, Scenario, Verdict},
    load::{self, Options},
    stack,
};
use tokio::sync::Semaphore;

use crate::world::{Transport, centrifugo};

/// Everything that a run needs.
fn everything(backends: usize, redis: bool, store: stack::Store) -> stack::Options {
    let (starling, centrifugo) = (env!("CARGO_BIN_EXE_starling").into(), centrifugo());
    stack::Options { starling, centrifugo, backends, redis, store, transport: Transport::Grpc }
}

/// With one backend candidates, too, come before what is said after them; so this is where order is tried hardest.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_nothing_breaks_everything_comes_once_and_in_order() {
    let options = Options { rate: Some(200.0), trickle: 4, byes: true, ..Options::pairs(8) };
    let stack = stack::Stack::start(&everything(1, false, stack::Store::Memory)).await.unwrap();
    let (url, token) = (stack.url(), stack.token(&options.swarms).unwrap());
    let target = Target { address: load::address(&url).unwrap(), url, token, doors: Semaphore::new(0) };
    let outcome = load::run(&options, target, Vec::new()).await.unwrap();
    stack.stop().await.unwrap();
    let complaints = outcome.complaints(true);
    assert!(complaints.is_empty(), "{}", outcome.table(&complaints));
}

/// A few pairs that offer, trickle and say bye while this happens.
async fn broken(scenario: Scenario, times: u16, redis: bool) -> Verdict {
    let options = Options { rate: Some(200.0), trickle: 2, byes: true, backends: 2, ..Options::pairs(8) };
    let store = if scenario.is_of_redis() { stack::Store::Redis } else { stack::Store::Memory };
    let verdict = faults::run(scenario, times, &options, &everything(2, redis, store)).await.unwrap();
    let counts = &verdict.outcome.counts;
    assert!(verdict.complaints.is_empty(), "{}", verdict.table());
    assert!(counts.acknowledged > 0 && counts.measured > 0, "{}", verdict.table());
    assert!(counts.sessions.get("linked").is_some_and(|linked| *linked > 0), "{}", verdict.table());
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_backend_that_is_killed_loses_nothing_acknowledged() {
    let verdict = broken(Scenario::KillBackend, 2, false).await;
    assert_eq!((verdict.faults, verdict.outcome.counts.reconnects), (2, 0), "{}", verdict.table());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rolling_restart_loses_nothing_acknowledged() {
    let verdict = broken(Scenario::RollingRestart, 1, false).await;
    assert_eq!((verdict.faults, verdict.outcome.counts.reconnects), (2, 0), "{}", verdict.table());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn clients_of_a_gateway_that_is_killed_know_what_is_void() {
    let verdict = broken(Scenario::KillGateway, 1, false).await;
    let counts = &verdict.outcome.counts;
    assert_eq!((counts.reconnects, counts.reconnects_recovered), (16, 0), "{}", verdict.table());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn with_a_redis_clients_of_a_gateway_that_is_killed_recover_everything() {
    let verdict = broken(Scenario::KillGateway, 1, true).await;
    let counts = &verdict.outcome.counts;
    assert_eq!((counts.reconnects, counts.reconnects_recovered), (16, 16), "{}", verdict.table());
    assert_eq!(verdict.outcome.verdict.void, 0, "{}", verdict.table());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_gateway_that_stalls_loses_nothing_acknowledged() {
    let verdict = broken(Scenario::StallGateway, 1, false).await;
    assert_eq!(verdict.faults, 1, "{}", verdict.table());
}

/// The longest of these tests: scores rise by 0.1 in 10 s, and have to have risen before anybody could miss them.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_redis_master_that_is_killed_costs_a_little_freshness_and_nothing_else() {
    let verdict = broken(Scenario::KillRedisMaster, 1, false).await;
    let findings = verdict.findings.as_ref().unwrap();
    let effect = &findings.effects[0];
    assert!(effect.repaired_ms.is_some() && effect.is_whole, "{}", verdict.table());
    // The prober notices when nothing is fresh: the replica is not there before the master has been missed for 2 s.
    assert!(effect.without_fresh_lists_ms > 2000 && findings.calm_ms < 2000, "{}", verdict.table());
    let failed = findings.calls.values().flat_map(|calls| calls.errors.keys()).collect::<Vec<_>>();
    assert!(failed.is_empty(), "{failed:?}");
}
