//! What was said of a peer: kept, and never overwritten unread.

use std::collections::HashSet;

use super::{MANY, Pair, REMEMBER, START, after, assert_kept, member, peers, rich_evidence, set};
use crate::{
    domain::{Evidence, Member, Nat, Reach, Score, Tally},
    store::{Judged, Restored},
};

pub async fn all(new: &impl AsyncFn() -> Pair) {
    evidence_is_kept_as_it_is(new().await).await;
    known_is_in_order_and_none_for_strangers(new().await).await;
    a_judgement_decides_the_place_in_the_ranking(new().await).await;
    a_judgement_loses_against_another(new().await).await;
    a_judgement_loses_against_what_the_peer_said_since(new().await).await;
    a_judgement_of_who_left_is_ignored(new().await).await;
    evidence_outlives_leaving_and_silence_until_forgotten(new().await).await;
    who_is_unlisted_stays_so_until_its_next_sign_of_life(new().await).await;
    many_are_judged_at_once(new().await).await;
    who_was_tried_stays_so(new().await).await;
}

async fn evidence_is_kept_as_it_is(pair: Pair) {
    let pair = pair.joined([1]).await;
    let evidence = Evidence { score: Score::from_fixed(4321), ..rich_evidence(&member(1), START) };
    assert!(evidence.reporters.len() == 16 && evidence.bad > 0.0 && evidence.timeouts > 0.0 && evidence.failures > 0.0);
    let judged = Judged { member: member(1), said: START, evidence: evidence.clone(), unlist: false };
    pair.judge(judged, after(30)).await;
    let Some(kept) = pair.known(1).await else { panic!("not a member") };
    assert_kept(kept.evidence.as_ref(), &Evidence { revision: 1, ..evidence });
    assert_eq!(kept.ranked.score, Score::from_fixed(4321));
}

async fn known_is_in_order_and_none_for_strangers(pair: Pair) {
    let pair = pair.joined([1, 2, 3]).await;
    pair.leave(2, START).await;
    let known = pair.other.known(&pair.s, &peers([3, 9, 2, 1])).await.unwrap();
    let who: Vec<_> = known.iter().map(|known| known.as_ref().map(|known| known.ranked.member.peer)).collect();
    assert_eq!(who, [Some(member(3).peer), None, None, Some(member(1).peer)]);
    assert!(known.iter().flatten().all(|known| known.evidence.is_none()));
    assert_eq!(pair.other.known(&pair.s, &[]).await.unwrap(), []);
}

async fn a_judgement_decides_the_place_in_the_ranking(pair: Pair) {
    let pair = pair.joined([1]).await;
    let mut judged = pair.heard(1, 1.0, after(1)).await;
    judged.evidence.score = Score::from_fixed(777);
    judged.member = Member { resting: true, degree: 5, said: after(1), ..judged.member };
    let tired = judged.member.clone();
    pair.judge(judged, after(1)).await;
    assert_eq!(pair.listed(after(1)).await, set([]), "it said that it had better not be offered");
    let known = pair.known(1).await.unwrap();
    assert_eq!((known.ranked.member, known.ranked.score), (tired, Score::ZERO));

    let mut judged = pair.heard(1, 1.0, after(2)).await;
    judged.member.resting = false;
    pair.judge(judged, after(2)).await;
    let found = pair.other.find(&pair.s, member(1).peer, 1, after(2)).await.unwrap();
    assert_eq!(found.candidates[0].score, Score::from_fixed(777));

    // Nobody is brought back by what others say, nor is that a sign of life.
    let judged = pair.heard(1, 1.0, after(50)).await;
    pair.one.sweep(&pair.s, None, after(50)).await.unwrap();
    pair.judge(judged, after(50)).await;
    assert_eq!((pair.listed(after(50)).await, pair.size(after(50)).await), (set([]), 0));
    assert_eq!(pair.known(1).await.unwrap().ranked.seen, after(2));
    // Nor does a judgement while it is silent make its score forgotten.
    pair.one.touch(&pair.s, &[(member(1).peer, after(60))], after(60)).await.unwrap();
    assert_eq!(pair.known(1).await.unwrap().ranked.score, Score::from_fixed(777));
}

async fn a_judgement_loses_against_another(pair: Pair) {
    let pair = pair.joined([1, 2]).await;
    let (mine, yours) = (pair.heard(1, 1.0, after(1)).await, pair.heard(1, 2.0, after(1)).await);
    pair.judge(mine, after(1)).await;
    let both = [yours, pair.heard(2, 2.0, after(1)).await];
    assert_eq!(pair.other.judge(&pair.s, &both, after(1)).await.unwrap(), peers([1]));
    let connects = |evidence: Option<Evidence>| evidence.map(|evidence| (evidence.revision, evidence.connects));
    assert_eq!(connects(pair.evidence(1).await), Some((1, 1.0)));
    assert_eq!(connects(pair.evidence(2).await), Some((1, 2.0)), "only the loser loses");
    let again = pair.heard(1, 3.0, after(2)).await;
    assert_eq!(pair.other.judge(&pair.s, std::slice::from_ref(&again), after(2)).await.unwrap(), []);
    assert_eq!(connects(pair.evidence(1).await), Some((2, 3.0)));
    assert_eq!(pair.other.judge(&pair.s, &[again], after(2)).await.unwrap(), peers([1]), "not twice");
}

async fn a_judgement_loses_against_what_the_peer_said_since(pair: Pair) {
    let pair = pair.joined([1]).await;
    let judged = pair.heard(1, 1.0, after(1)).await;
    let rejoined = Member { upload: false, said: after(2), ..member(1) };
    pair.other.join(&pair.s, rejoined.clone(), 0, after(2)).await.unwrap();
    assert_eq!(pair.one.judge(&pair.s, &[judged], after(3)).await.unwrap(), peers([1]));
    assert_eq!(pair.known(1).await.unwrap().ranked.member, rejoined);
    assert_eq!(pair.listed(after(3)).await, set([]));
    pair.judge(pair.heard(1, 1.0, after(3)).await, after(3)).await;
    assert_eq!(pair.evidence(1).await.unwrap().revision, 1);
}

async fn a_judgement_of_who_left_is_ignored(pair: Pair) {
    let pair = pair.joined([1, 2]).await;
    let judged = [pair.heard(1, 1.0, after(1)).await, pair.heard(2, 2.0, after(1)).await];
    pair.leave(1, after(1)).await;
    assert_eq!(pair.other.judge(&pair.s, &judged, after(2)).await.unwrap(), [], "who is no member needs no second try");
    assert_eq!((pair.known(1).await, pair.listed(after(2)).await), (None, set([2])));
    let unknown = Judged { member: member(9), ..judged[0].clone() };
    assert_eq!(pair.one.judge(&pair.s, &[unknown], after(2)).await.unwrap(), []);
    assert_eq!(pair.known(9).await, None);
}

async fn evidence_outlives_leaving_and_silence_until_forgotten(pair: Pair) {
    let pair = pair.joined([1, 2, 3]).await;
    for n in 1..=3 {
        let mut judged = pair.heard(n, f32::from(n), START).await;
        judged.evidence.score = Score::from_fixed(5000);
        pair.judge(judged, START).await;
    }
    let connects = async |n| pair.evidence(n).await.map(|evidence| (evidence.revision, evidence.connects));
    // A reconnect: it joins again.
    pair.other.join(&pair.s, Member { said: after(5), ..member(1) }, 0, after(5)).await.unwrap();
    assert_eq!(connects(1).await, Some((1, 1.0)));
    // It leaves and comes back, by joining or by being put back.
    pair.leave(2, after(5)).await;
    pair.leave(1, after(5)).await;
    let found = pair.other.join(&pair.s, Member { said: after(6), ..member(2) }, 8, after(6)).await.unwrap();
    assert_eq!(found.candidates.iter().find(|found| found.member.peer == member(2).peer).unwrap().score.fixed(), 5000);
    let back = Restored { member: Member { said: after(6), ..member(1) }, evidence: None, seen: after(6) };
    pair.other.restore(&pair.s, &[back], after(6)).await.unwrap();
    assert_eq!((connects(1).await, connects(2).await), (Some((1, 1.0)), Some((1, 2.0))));
    // What a node remembers of it counts for nothing where the store remembers something.
    let remembered = Evidence { revision: 9, ..rich_evidence(&member(1), START) };
    for said in [6, 7] {
        let member = Member { said: after(said), ..member(1) };
        let back = Restored { member, evidence: Some(remembered.clone()), seen: after(7) };
        pair.one.restore(&pair.s, &[back], after(7)).await.unwrap();
        assert_eq!(connects(1).await, Some((1, 1.0)));
    }
    // It falls silent and comes back.
    pair.one.sweep(&pair.s, None, after(100)).await.unwrap();
    pair.one.touch(&pair.s, &[(member(3).peer, after(100))], after(100)).await.unwrap();
    assert_eq!(pair.known(3).await.unwrap().ranked.score.fixed(), 5000);
    assert_eq!(connects(3).await, Some((1, 3.0)));
    // All are forgotten in time, and so is what was said of them.
    pair.leave(2, after(100)).await;
    let forgotten = after(101) + REMEMBER;
    assert_eq!(pair.one.sweep(&pair.s, None, forgotten).await.unwrap().forgotten, 3);
    for n in 1..=3 {
        pair.one.join(&pair.s, Member { joined: forgotten, said: forgotten, ..member(n) }, 0, forgotten).await.unwrap();
        let known = pair.known(n).await.unwrap();
        assert_eq!((known.evidence, known.ranked.score), (None, Score::NEW));
        assert_eq!(known.ranked.member.joined, forgotten);
    }
}

async fn who_is_unlisted_stays_so_until_its_next_sign_of_life(pair: Pair) {
    let pair = pair.joined([1, 2, 3, 4]).await;
    let unlist = async |n, now| {
        let judged = Judged { unlist: true, ..pair.heard(n, 1.0, now).await };
        pair.judge(judged, now).await;
    };
    for n in 1..=3 {
        unlist(n, after(1)).await;
    }
    assert_eq!(pair.listed(after(1)).await, set([4]));
    assert_eq!(pair.known(1).await.unwrap().ranked.score, Score::ZERO);
    pair.judge(pair.heard(1, 2.0, after(2)).await, after(2)).await;
    assert_eq!(pair.listed(after(2)).await, set([4]), "another judgement is no sign of life");
    pair.one.touch(&pair.s, &[(member(1).peer, after(3))], after(3)).await.unwrap();
    assert_eq!(pair.listed(after(3)).await, set([1, 4]));
    assert!(pair.other.find(&pair.s, member(2).peer, 0, after(3)).await.unwrap().joined);
    assert_eq!(pair.listed(after(3)).await, set([1, 2, 4]));
    pair.one.join(&pair.s, Member { said: after(4), ..member(3) }, 0, after(4)).await.unwrap();
    assert_eq!(pair.listed(after(4)).await, set([1, 2, 3, 4]));
}

async fn many_are_judged_at_once(pair: Pair) {
    let restored: Vec<_> = (0..MANY).map(|n| Restored { member: member(n), evidence: None, seen: START }).collect();
    pair.one.restore(&pair.s, &restored, START).await.unwrap();
    let judged = |n: u16| Judged {
        member: Member { degree: n, ..member(n) },
        said: START,
        evidence: Evidence { score: Score::from_fixed(1000 + n), ..rich_evidence(&member(n), START) },
        unlist: n.is_multiple_of(10),
    };
    let all: Vec<_> = (0..MANY + 5).map(judged).collect();
    assert_eq!(pair.one.judge(&pair.s, &all, after(1)).await.unwrap(), []);
    let losers = pair.other.judge(&pair.s, &all, after(1)).await.unwrap();
    assert_eq!(losers.len(), usize::from(MANY));
    assert_eq!(losers.into_iter().collect::<HashSet<_>>(), set(0..MANY));
    assert_eq!(pair.listed(after(1)).await, set((0..MANY).filter(|n| !n.is_multiple_of(10))));
    let known = pair.other.known(&pair.s, &peers(0..MANY)).await.unwrap();
    for (n, known) in (0..MANY).zip(known.into_iter().map(Option::unwrap)) {
        assert_eq!(known.ranked.member.degree, n);
        assert_eq!(known.ranked.score.fixed(), if n.is_multiple_of(10) { 0 } else { 1000 + n });
        assert_kept(known.evidence.as_ref(), &Evidence { revision: 1, ..all[usize::from(n)].evidence.clone() });
    }
}

async fn who_was_tried_stays_so(pair: Pair) {
    let pair = pair.joined([1, 2]).await;
    let reach = Reach { easy: Tally::new(15, 1), hard: Tally::new(0, 7) };
    let is_tried = async || {
        let member = pair.known(1).await.unwrap().ranked.member;
        assert_eq!(member.reach, if member.tried { reach } else { Reach::default() });
        member.tried
    };
    assert!(!is_tried().await);
    let mut judged = pair.heard(1, 1.0, after(1)).await;
    judged.member.tried = true;
    judged.member.reach = reach;
    pair.judge(judged, after(1)).await;
    assert!(is_tried().await);
    // It joins again, or is put back, and neither knows of it.
    for (said, upload) in [(2, true), (3, false), (4, true)] {
        let again = Member { said: after(said), upload, ..member(1) };
        pair.other.join(&pair.s, again, 0, after(said)).await.unwrap();
        assert!(is_tried().await, "{said}");
    }
    let back = Restored { member: Member { said: after(5), ..member(1) }, evidence: None, seen: after(5) };
    pair.one.restore(&pair.s, &[back], after(5)).await.unwrap();
    let found = pair.other.find(&pair.s, member(2).peer, 8, after(5)).await.unwrap().candidates;
    let pulled = pair.pulled(after(5)).await.into_iter().flat_map(|shard| shard.members).collect();
    for rows in [found, pulled] {
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.member.tried == (row.member.peer == member(1).peer)), "{rows:?}");
    }
    let judged = pair.heard(1, 2.0, after(6)).await;
    assert!(judged.member.tried && judged.member.said == after(5));
    pair.judge(Judged { unlist: true, ..judged }, after(6)).await;
    assert_eq!(pair.listed(after(6)).await, set([2]));
    pair.one.touch(&pair.s, &[(member(1).peer, after(7))], after(7)).await.unwrap();
    assert!(is_tried().await && pair.listed(after(7)).await == set([1, 2]), "the flag beside it is no other");
    // What came of its attempts was another NAT's.
    let moved = Member { said: after(8), nat: Nat::Apdm, ..member(1) };
    pair.other.join(&pair.s, moved, 0, after(8)).await.unwrap();
    let moved = pair.known(1).await.unwrap().ranked.member;
    assert_eq!((moved.tried, moved.reach), (true, Reach::default()));
}
