//! Two nodes that each hear a part of what is said come to the scores of one that hears it all.

use std::sync::Arc;

use super::{Pair, START, after, member, source};
use crate::{
    domain::{Evidence, Member, Receipt, Timestamp, score},
    store::{Judged, Known, Store},
};

const MEMBERS: u16 = 6;
const REPORTERS: u16 = 8;
const ROUNDS: u64 = 30;

pub async fn all(new: &impl AsyncFn() -> Pair) {
    two_nodes_come_to_the_scores_of_one(new().await, new().await).await;
}

/// About whom, by whom, what.
type Report = (u16, u16, Receipt);

async fn two_nodes_come_to_the_scores_of_one(two: Pair, single: Pair) {
    let (two, single) = (two.joined(0..MEMBERS).await, single.joined(0..MEMBERS).await);
    for round in 1..=ROUNDS {
        let now = after(10 * round);
        let reports: Vec<_> = (0..MEMBERS).flat_map(|about| (0..REPORTERS).map(move |by| (about, by))).collect();
        let reports: Vec<_> = reports.into_iter().map(|(about, by)| (about, by, receipt(about, by, round))).collect();
        // Reporters change nodes; some tell both.
        let heard_on = |node: u16| {
            let hears = move |by: u16| (u64::from(by) + round) % 3 == u64::from(node) || by.is_multiple_of(4);
            reports.iter().filter(move |(_, by, _)| hears(*by)).copied().collect::<Vec<_>>()
        };
        // The second node reads before the first has written.
        let all = [heard_on(0), heard_on(1), heard_on(2)].concat();
        run_once(&single.one, &single, all, now, &[]).await;
        let second = [heard_on(1), heard_on(2)].concat();
        let losers = run_once(&two.one, &two, heard_on(0), now, &second).await;
        assert!(losers > 0, "the two never met");
    }
    // Nothing is new any more, and what was limited by the time of a judgement in between has caught up.
    for more in 1..=3 {
        let now = after(10 * (ROUNDS + more));
        for pair in [&two, &single] {
            let again: Vec<_> = (0..MEMBERS).map(|about| (about, 0, receipt(about, 0, ROUNDS))).collect();
            run_once(&pair.one, pair, again, now, &[]).await;
        }
    }
    let mut scores = Vec::new();
    for n in 0..MEMBERS {
        let (one, both) = (single.evidence(n).await.unwrap(), two.evidence(n).await.unwrap());
        assert!(one.score.fixed().abs_diff(both.score.fixed()) <= 1, "{n}: {:?} and {:?}", one.score, both.score);
        assert!((one.connects - both.connects).abs() < 0.001 && (one.ok - both.ok).abs() < 0.01, "{one:?} {both:?}");
        scores.push(one.score);
    }
    scores.dedup();
    assert!(scores.len() > 3 && scores.iter().any(|score| score.value() > 0.6), "not much of a contest: {scores:?}");
}

/// Member 0 is the best; the more reports, the clearer.
fn receipt(about: u16, by: u16, round: u64) -> Receipt {
    let count = u32::try_from(round).unwrap();
    let bad_luck = u32::from(about) * count / 3;
    Receipt {
        epoch: by,
        connected: about != 5 || by.is_multiple_of(2),
        bytes: round * 1_000_000 * u64::from(6 - about),
        busy_ms: round * 900,
        ok: count * 2,
        timeout: bad_luck,
        bad: bad_luck / 4,
        connect_ms: None,
    }
}

/// A round of one node; another's, who heard `second`, lies between its reading and its writing. Returns how many lost.
async fn run_once(store: &Arc<dyn Store>, pair: &Pair, first: Vec<Report>, now: Timestamp, second: &[Report]) -> usize {
    let judged = read(store, pair, &first, now).await;
    let interloper = read(&pair.other, pair, second, now).await;
    pair.other.judge(&pair.s, &interloper, now).await.unwrap();
    let mut lost = 0;
    let mut losers = store.judge(&pair.s, &judged, now).await.unwrap();
    while !losers.is_empty() {
        lost += losers.len();
        let again: Vec<_> = first.iter().filter(|(about, ..)| losers.contains(&member(*about).peer)).copied().collect();
        let judged = read(store, pair, &again, now).await;
        losers = store.judge(&pair.s, &judged, now).await.unwrap();
    }
    lost
}

/// What is known of those that are reported about, with what is new.
async fn read(store: &Arc<dyn Store>, pair: &Pair, reports: &[Report], now: Timestamp) -> Vec<Judged> {
    let mut about: Vec<_> = reports.iter().map(|(about, ..)| *about).collect();
    about.sort_unstable();
    about.dedup();
    let known = store.known(&pair.s, &super::peers(about.iter().copied())).await.unwrap();
    let judge = |(about, Known { ranked, evidence }): (u16, Known)| {
        let member = Member { joined: START, ..ranked.member };
        let mut evidence = evidence.unwrap_or_else(|| Evidence::new(now));
        let touched = evidence.touched;
        for (_, by, receipt) in reports.iter().filter(|report| report.0 == about) {
            evidence.add(&source(*by), receipt, score::full_kbps(&member), now);
        }
        evidence.score = score::score(&evidence, touched, &member, now);
        Judged { said: member.said, member, evidence, unlist: false }
    };
    about.into_iter().zip(known).filter_map(|(about, known)| Some((about, known?))).map(judge).collect()
}
