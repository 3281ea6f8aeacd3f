//! Two nodes at the same moment.

use std::sync::Arc;

use super::{Pair, START, after, member, peers, set, source, swarm};
use crate::{
    domain::{Evidence, Member, Receipt, evidence},
    store::{Judged, Known, Store},
};

const ROUNDS: u16 = 50;

pub async fn all(new: &impl AsyncFn() -> Pair) {
    of_two_that_join_at_once_one_finds_the_other(new().await).await;
    judged_and_gone_at_once_is_gone(new().await).await;
    who_joins_or_calls_during_a_sweep_is_listed(new().await).await;
    leaving_and_sweeping_at_once_leaves_nobody(new().await).await;
    receipts_judged_on_two_nodes_count_once(new().await).await;
}

async fn of_two_that_join_at_once_one_finds_the_other(pair: Pair) {
    for round in 0..ROUNDS {
        let join = |store: &Arc<dyn Store>, n| {
            let (store, s) = (store.clone(), swarm(&format!("s{round}")));
            tokio::spawn(async move { store.join(&s, member(n), 8, START).await.unwrap().candidates.len() })
        };
        let (first, second) = (join(&pair.one, 1), join(&pair.other, 2));
        assert_eq!(first.await.unwrap().max(second.await.unwrap()), 2, "round {round}");
    }
}

async fn judged_and_gone_at_once_is_gone(pair: Pair) {
    let pair = pair.joined([1]).await;
    for round in 1..=u64::from(ROUNDS) {
        let now = after(round);
        let judged = pair.heard(1, 1.0, now).await;
        let (one, other) = (pair.clone(), pair.clone());
        let judging = tokio::spawn(async move { one.one.judge(&one.s, &[judged], now).await.unwrap() });
        let leaving = tokio::spawn(async move { other.other.leave(&other.s, member(1).peer, now).await.unwrap() });
        assert!(leaving.await.unwrap());
        assert_eq!(judging.await.unwrap(), [], "nobody else changed it");
        assert_eq!((pair.known(1).await, pair.listed(now).await, pair.size(now).await), (None, set([]), 0));
        pair.one.join(&pair.s, Member { said: now, ..member(1) }, 0, now).await.unwrap();
        assert_eq!(pair.listed(now).await, set([1]));
    }
}

async fn who_joins_or_calls_during_a_sweep_is_listed(pair: Pair) {
    for round in 0..ROUNDS {
        let pair = Pair { s: swarm(&format!("s{round}")), ..pair.clone() }.joined([1, 2, 3]).await;
        let (sweeper, joiner, caller) = (pair.clone(), pair.clone(), pair.clone());
        let now = after(50);
        let sweep = tokio::spawn(async move { sweeper.one.sweep(&sweeper.s, None, now).await.unwrap() });
        let join =
            tokio::spawn(async move { joiner.other.join(&joiner.s, member(1), 0, now).await.unwrap().swarm_size });
        let touch =
            tokio::spawn(async move { caller.other.touch(&caller.s, &[(member(2).peer, now)], now).await.unwrap() });
        sweep.await.unwrap();
        assert!(join.await.unwrap() >= 1);
        assert_eq!(touch.await.unwrap(), []);
        assert_eq!((pair.listed(now).await, pair.size(now).await), (set([1, 2]), 2), "round {round}");
    }
}

async fn leaving_and_sweeping_at_once_leaves_nobody(pair: Pair) {
    for round in 0..ROUNDS {
        let pair = Pair { s: swarm(&format!("s{round}")), ..pair.clone() }.joined([1, 2]).await;
        let (sweeper, leaver, now) = (pair.clone(), pair.clone(), START + super::REMEMBER * 2);
        let sweep = tokio::spawn(async move { sweeper.one.sweep(&sweeper.s, None, now).await.unwrap().forgotten });
        let leave = tokio::spawn(async move { leaver.other.leave(&leaver.s, member(1).peer, now).await.unwrap() });
        let (forgotten, left) = (sweep.await.unwrap(), leave.await.unwrap());
        assert_eq!(forgotten + usize::from(left), 2, "each went one way");
        assert_eq!(pair.other.known(&pair.s, &peers([1, 2])).await.unwrap(), [None, None]);
        assert_eq!(pair.size(now).await, 0);
    }
}

/// Each node has receipts of reporters of its own about the same peers, some of them on both nodes.
async fn receipts_judged_on_two_nodes_count_once(pair: Pair) {
    let pair = pair.joined(0..20).await;
    // When nothing has lost any weight yet.
    let now = after(evidence::AT_UNIT);
    let said = |reporter: u16| Receipt { connected: true, ok: u32::from(reporter), ..Receipt::default() };
    let work = |store: &Arc<dyn Store>, mut reporters: Vec<u16>| {
        let (store, s) = (store.clone(), pair.s.clone());
        tokio::spawn(async move {
            let mut tries = 0;
            for reporter in reporters.drain(..) {
                let mut todo = peers(0..20);
                while !todo.is_empty() {
                    let known = store.known(&s, &todo).await.unwrap();
                    tokio::task::yield_now().await;
                    let judge = |Known { ranked, evidence }: Known| {
                        let mut evidence = evidence.unwrap_or_else(|| Evidence::new(now));
                        evidence.add(&source(reporter), &said(reporter), 1000, now);
                        Judged { said: ranked.member.said, member: ranked.member, evidence, unlist: false }
                    };
                    let judged: Vec<_> = known.into_iter().flatten().map(judge).collect();
                    todo = store.judge(&s, &judged, now).await.unwrap();
                    tries += 1;
                    assert!(tries < 1000, "nobody ever wins");
                }
            }
        })
    };
    let (one, other) = (work(&pair.one, (1..=10).collect()), work(&pair.other, (5..=14).rev().collect()));
    one.await.unwrap();
    other.await.unwrap();
    for n in 0..20 {
        let evidence = pair.evidence(n).await.unwrap();
        assert_eq!((evidence.reporters.len(), evidence.revision), (14, 20));
        assert!((evidence.connects - 14.0).abs() < 0.001, "{}", evidence.connects);
        assert!((evidence.ok - 105.0).abs() < 0.001, "{}", evidence.ok);
    }
}
