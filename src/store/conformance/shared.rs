//! What all nodes add to, and all read.

use super::{Pair, REMEMBER, START, after, member, swarm};
use crate::{
    domain::{Nat, Outcomes, PolicyOverrides, SwarmId, Timestamp, Totals, Turn, nat},
    store::{MOST_NETWORKS, MOST_STEERED, Store, StoreError},
};

pub async fn all(new: &impl AsyncFn() -> Pair) {
    what_is_accounted_adds_up(new().await).await;
    what_came_of_attempts_loses_weight_by_the_hour(new().await).await;
    pairs_of_networks_are_so_many_in_an_hour(new().await).await;
    a_policy_holds_until_it_ends_or_is_taken_away(new().await).await;
}

async fn what_is_accounted_adds_up(pair: Pair) {
    let pair = pair.joined([1]).await;
    assert_eq!(pair.other.totals(&pair.s).await.unwrap(), Totals::default());
    let new = Totals { p2p_bytes: 1 << 40, http_bytes: 2, up_bytes: 3, rebuffers: 4, connects: 5, connect_ms: 6 };
    let adding = |store: &std::sync::Arc<dyn crate::store::Store>| {
        let (store, s) = (store.clone(), pair.s.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                store.account(&s, new, after(1)).await.unwrap();
            }
        })
    };
    let (one, other) = (adding(&pair.one), adding(&pair.other));
    one.await.unwrap();
    other.await.unwrap();
    pair.one.account(&pair.s, Totals { rebuffers: 1, ..Totals::default() }, after(1)).await.unwrap();
    let sum =
        Totals { p2p_bytes: 20 << 40, http_bytes: 40, up_bytes: 60, rebuffers: 81, connects: 100, connect_ms: 120 };
    assert_eq!(pair.other.totals(&pair.s).await.unwrap(), sum);
    assert_eq!(pair.other.totals(&swarm("other")).await.unwrap(), Totals::default());
    // Who leaves takes nothing along.
    pair.leave(1, after(2)).await;
    assert_eq!(pair.one.totals(&pair.s).await.unwrap(), sum);
    pair.one.join(&pair.s, member(2), 0, after(3)).await.unwrap();
    pair.one.sweep(&pair.s, None, START + REMEMBER).await.unwrap();
    assert_eq!(pair.other.totals(&pair.s).await.unwrap(), sum);
}

/// What is learned by now, in order; the same for both.
async fn learned(pair: &Pair, seconds: u64) -> Vec<(nat::Pair, Outcomes)> {
    let mut learned = Vec::new();
    for store in [&pair.one, &pair.other] {
        let mut one = store.learned(after(seconds)).await.unwrap();
        one.sort_by_key(|(pair, _)| *pair);
        learned.push(one);
    }
    assert_eq!(learned[0], learned[1]);
    learned.swap_remove(0)
}

async fn what_came_of_attempts_loses_weight_by_the_hour(pair: Pair) {
    assert_eq!(learned(&pair, 0).await, []);
    let (classes, networks) = (nat::Pair::classes(Nat::Eim, Nat::Open), nat::Pair::networks(4_200_000_000, 3));
    let of = |opened, failed| Outcomes { opened, failed };
    pair.one.learn(&[(classes, of(3.0, 1.0)), (networks, of(0.0, 2.5))], after(10)).await.unwrap();
    pair.other.learn(&[(classes, of(1.0, 0.0))], after(20)).await.unwrap();
    pair.other.learn(&[], after(20)).await.unwrap();
    assert_eq!(learned(&pair, 30).await, [(classes, of(4.0, 1.0)), (networks, of(0.0, 2.5))]);
    pair.one.learn(&[(classes, of(2.0, 2.0))], after(3600)).await.unwrap();
    assert_eq!(learned(&pair, 7199).await, [(classes, of(4.0, 2.5)), (networks, of(0.0, 1.25))]);
    assert_eq!(learned(&pair, 7200).await, [(classes, of(2.0, 1.25)), (networks, of(0.0, 0.625))]);
    assert_eq!(learned(&pair, 10_800).await, [(classes, of(0.5, 0.5))]);
    pair.one.learn(&[(networks, of(1.0, 0.0))], after(10_900)).await.unwrap();
    assert_eq!(learned(&pair, 14_400).await, [(networks, of(0.5, 0.0))]);
    assert_eq!(learned(&pair, 21_600).await, []);
}

async fn pairs_of_networks_are_so_many_in_an_hour(pair: Pair) {
    let one = Outcomes { opened: 1.0, failed: 0.0 };
    let of = |numbers: std::ops::Range<usize>| {
        numbers.map(|n| (nat::Pair::networks(u32::try_from(n).unwrap(), 9_999_999), one)).collect::<Vec<_>>()
    };
    pair.one.learn(&of(0..MOST_NETWORKS - 5), after(0)).await.unwrap();
    pair.other.learn(&of(MOST_NETWORKS - 10..MOST_NETWORKS + 10), after(1)).await.unwrap();
    let classes = (nat::Pair::classes(Nat::Eim, Nat::Eim), one);
    pair.one.learn(&[&[classes], &of(0..1)[..]].concat(), after(2)).await.unwrap();
    let learned = learned(&pair, 3).await;
    assert_eq!(learned.len(), MOST_NETWORKS + 1);
    let twice = learned.iter().filter(|(_, outcomes)| outcomes.opened > 1.5).count();
    assert_eq!(twice, 6, "five that came twice, and one that is known");
    pair.one.learn(&of(MOST_NETWORKS..MOST_NETWORKS + 10), after(3600)).await.unwrap();
    assert_eq!(pair.other.learned(after(3601)).await.unwrap().len(), MOST_NETWORKS + 11, "another hour");
}

/// All policies, in order; the same for both.
async fn steered(pair: &Pair, seconds: u64) -> Vec<(SwarmId, PolicyOverrides, Timestamp)> {
    let mut steered = Vec::new();
    for store in [&pair.one, &pair.other] {
        let mut one = store.steered(after(seconds)).await.unwrap();
        one.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        steered.push(one);
    }
    assert_eq!(steered[0], steered[1]);
    steered.swap_remove(0)
}

async fn a_policy_holds_until_it_ends_or_is_taken_away(pair: Pair) {
    assert_eq!(steered(&pair, 0).await, []);
    pair.one.steer(&swarm("a"), None, after(0)).await.unwrap();
    let full = PolicyOverrides {
        report_interval_s: Some(20),
        idle_interval_s: Some(40),
        want: Some(4),
        degree_target: Some(6),
        degree_min: Some(2),
        degree_max: Some(9),
        gather_ms: Some(0),
        turn: Some(Turn::Never),
        upload: Some(false),
    };
    let (plain, none) = (PolicyOverrides { want: Some(0), ..Default::default() }, PolicyOverrides::default());
    pair.one.steer(&swarm("a"), Some((full.clone(), after(60))), after(0)).await.unwrap();
    pair.other.steer(&swarm("movie/42"), Some((none.clone(), after(90))), after(0)).await.unwrap();
    let both = [(swarm("a"), full, after(60)), (swarm("movie/42"), none.clone(), after(90))];
    assert_eq!(steered(&pair, 59).await, both);
    // The last word counts, and a longer life.
    pair.other.steer(&swarm("a"), Some((plain.clone(), after(80))), after(59)).await.unwrap();
    assert_eq!(steered(&pair, 79).await, [(swarm("a"), plain.clone(), after(80)), both[1].clone()]);
    assert_eq!(steered(&pair, 80).await, both[1..]);
    pair.one.steer(&swarm("movie/42"), None, after(81)).await.unwrap();
    assert_eq!(steered(&pair, 82).await, []);
    // What has ended is forgotten, whatever a clock says then.
    assert_eq!(steered(&pair, 0).await, []);
    pair.one.steer(&swarm("a"), Some((plain.clone(), after(100))), after(90)).await.unwrap();
    assert_eq!(steered(&pair, 99).await, [(swarm("a"), plain, after(100))]);
}

/// There is room for so many policies, for one store that has all but ten of them, of swarms called `s0` and so on that end
/// at 100 s.
pub async fn room_for_policies(store: &dyn Store) {
    let policy = |end| Some((PolicyOverrides::default(), after(end)));
    for n in MOST_STEERED - 10..MOST_STEERED {
        store.steer(&swarm(&format!("s{n}")), policy(100), after(0)).await.unwrap();
    }
    assert_eq!(store.steer(&swarm("more"), policy(100), after(0)).await, Err(StoreError::Full));
    store.steer(&swarm("s7"), policy(100), after(0)).await.expect("it has one already");
    assert_eq!(store.steered(after(99)).await.unwrap().len(), MOST_STEERED);
    store.steer(&swarm("s7"), None, after(0)).await.unwrap();
    store.steer(&swarm("more"), policy(200), after(0)).await.expect("there is room again");
    assert_eq!(store.steer(&swarm("s7"), policy(200), after(0)).await, Err(StoreError::Full));
    assert_eq!(store.steered(after(101)).await.unwrap(), [(swarm("more"), PolicyOverrides::default(), after(200))]);
    store.steer(&swarm("s7"), policy(200), after(101)).await.expect("what ended takes no room");
}
