//! Who is a member, who is offered, who is forgotten.

use std::time::Duration;

use super::{MANY, Pair, REMEMBER, START, after, assert_kept, member, peers, rich_evidence, set, swarm};
use crate::{
    domain::{Member, Nat, Pid, Place, Score, Timestamp},
    store::{LISTED_FOR, Restored, Swept},
};

pub async fn all(new: &impl AsyncFn() -> Pair) {
    a_join_is_seen_by_itself_and_by_others(new().await).await;
    a_member_is_kept_as_it_is(new().await).await;
    only_who_may_be_offered_is(new().await).await;
    a_sample_is_as_large_as_asked_and_has_no_doubles(new().await).await;
    a_second_join_keeps_the_first_ones_time(new().await).await;
    who_asks_gives_a_sign_of_life(new().await).await;
    a_touch_names_strangers_and_never_takes_time_back(new().await).await;
    silence_unlists_and_then_forgets(new().await).await;
    a_sweep_is_harmless_twice(new().await).await;
    a_sweep_tells_each_caller_who_fell_silent_since_its_last(new().await).await;
    who_left_is_gone_until_it_comes_back(new().await).await;
    who_leaves_as_it_joins_is_not_put_back(new().await).await;
    a_restored_member_is_as_it_was(new().await).await;
    a_restore_never_undoes_what_came_later(new().await).await;
    swarms_are_apart(new().await).await;
    many_at_once_are_as_many_one_by_one(new().await).await;
    a_node_counts_itself(new().await).await;
}

async fn a_join_is_seen_by_itself_and_by_others(pair: Pair) {
    let first = pair.one.join(&pair.s, member(1), 8, START).await.unwrap();
    assert_eq!((first.swarm_size, first.joined), (1, true));
    assert_eq!((&first.candidates[0].member, first.candidates.len()), (&member(1), 1));
    assert_eq!((first.candidates[0].score, first.candidates[0].seen), (Score::NEW, START));
    let second = pair.other.join(&pair.s, member(2), 8, START).await.unwrap();
    assert_eq!((second.swarm_size, second.candidates.len(), second.joined), (2, 2, true));
    assert_eq!(pair.listed(START).await, set([1, 2]));
}

async fn a_member_is_kept_as_it_is(pair: Pair) {
    let full = Member {
        nat: Nat::Apdm,
        slots: Some(12),
        degree: 3,
        playhead: Some(4321.5),
        bitrate_kbps: Some(4500),
        address: Some("2001:db8::17".parse().unwrap()),
        place: Place { asn: Some(4_200_000_000), country: Some(*b"NZ"), pid: Pid::of_number(40_001) },
        tried: true,
        joined: after(3),
        said: Timestamp(START.0 + 4321),
        ..member(1)
    };
    let address = Some("192.0.2.254".parse().unwrap());
    let plain = Member { upload: false, resting: true, address, ..member(2) };
    for member in [&full, &plain] {
        pair.one.join(&pair.s, member.clone(), 0, after(5)).await.unwrap();
    }
    assert_eq!(pair.known(1).await.unwrap().ranked.member, full);
    assert_eq!(pair.known(2).await.unwrap().ranked.member, plain);
    let found = pair.other.find(&pair.s, member(3).peer, 8, after(5)).await.unwrap();
    assert_eq!(found.candidates[0].member, full);
    assert_eq!(found.candidates[0].seen, after(5));
}

async fn only_who_may_be_offered_is(pair: Pair) {
    pair.one.join(&pair.s, Member { upload: false, ..member(1) }, 8, START).await.unwrap();
    pair.one.join(&pair.s, Member { resting: true, ..member(2) }, 8, START).await.unwrap();
    let found = pair.one.join(&pair.s, member(3), 8, START).await.unwrap();
    assert_eq!(found.swarm_size, 3);
    assert_eq!(pair.listed(START).await, set([3]));
    assert_eq!(pair.known(1).await.unwrap().ranked.score, Score::ZERO);
    pair.one.join(&pair.s, Member { upload: false, ..member(3) }, 8, after(1)).await.unwrap();
    pair.one.join(&pair.s, member(2), 8, after(1)).await.unwrap();
    assert_eq!(pair.listed(after(1)).await, set([2]));
    // A sign of life does not change what it said.
    pair.one.touch(&pair.s, &[(member(1).peer, after(20)), (member(3).peer, after(20))], after(20)).await.unwrap();
    assert_eq!(pair.listed(after(20)).await, set([2]));
}

async fn a_sample_is_as_large_as_asked_and_has_no_doubles(pair: Pair) {
    let pair = pair.joined(0..30).await;
    for sample in [0, 1, 7, 30, 31] {
        let found = pair.other.find(&pair.s, member(1).peer, sample, START).await.unwrap();
        let distinct: std::collections::HashSet<_> = found.candidates.iter().map(|found| found.member.peer).collect();
        assert_eq!((found.candidates.len(), distinct.len()), (sample.min(30), sample.min(30)));
        assert_eq!(found.swarm_size, 30);
    }
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let found = pair.other.find(&pair.s, member(1).peer, 3, START).await.unwrap();
        seen.extend(found.candidates.into_iter().map(|found| found.member.peer));
    }
    // Missing one of 30 in 100 samples of 3 happens to one run in a thousand; missing three does not happen.
    assert!(seen.len() >= 28, "not a sample of the whole: {}", seen.len());
}

async fn a_second_join_keeps_the_first_ones_time(pair: Pair) {
    let pair = pair.joined([1]).await;
    let again = Member { joined: after(30), said: after(30), nat: Nat::Eim, ..member(1) };
    let found = pair.other.join(&pair.s, again.clone(), 1, after(30)).await.unwrap();
    assert_eq!((found.swarm_size, found.candidates.len()), (1, 1));
    assert_eq!(found.candidates[0].member, Member { joined: START, ..again });
    // One that arrives late is no step back in time.
    pair.one.join(&pair.s, member(1), 0, after(10)).await.unwrap();
    assert_eq!(pair.known(1).await.unwrap().ranked.seen, after(30));
}

async fn who_asks_gives_a_sign_of_life(pair: Pair) {
    let pair = pair.joined([1, 2]).await;
    let found = pair.other.find(&pair.s, member(1).peer, 8, after(40)).await.unwrap();
    assert!(found.joined);
    assert_eq!(pair.listed(after(60)).await, set([1]));
    assert!(!pair.other.find(&pair.s, member(3).peer, 8, after(60)).await.unwrap().joined);
    assert_eq!(pair.known(3).await, None);
    let back = pair.other.find(&pair.s, member(2).peer, 8, after(60)).await.unwrap();
    assert!(back.joined, "a silent member is still one");
    assert_eq!((back.swarm_size, back.candidates.len()), (2, 2), "asking ends the silence");
}

async fn a_touch_names_strangers_and_never_takes_time_back(pair: Pair) {
    let pair = pair.joined([1, 2, 3]).await;
    pair.leave(3, START).await;
    let seen = [(member(9).peer, after(20)), (member(2).peer, after(20)), (member(3).peer, after(20))];
    let strangers = pair.other.touch(&pair.s, &seen, after(20)).await.unwrap();
    assert_eq!(strangers, peers([9, 3]));
    assert_eq!(pair.one.touch(&swarm("other"), &seen[..1], after(20)).await.unwrap(), peers([9]));
    assert_eq!(pair.one.touch(&pair.s, &[], after(20)).await.unwrap(), []);
    assert_eq!(pair.other.touch(&pair.s, &[(member(2).peer, START)], after(21)).await.unwrap(), []);
    assert_eq!(pair.known(2).await.unwrap().ranked.seen, after(20));
    assert_eq!(pair.listed(START + LISTED_FOR).await, set([1, 2]));
    assert_eq!(pair.listed(after(46)).await, set([2]));
}

async fn silence_unlists_and_then_forgets(pair: Pair) {
    let pair = pair.joined([1, 2]).await;
    let silent = START + LISTED_FOR + Duration::from_millis(1);
    let unlisted = pair.one.sweep(&pair.s, None, silent).await.unwrap();
    assert_eq!(unlisted.unlisted.into_iter().collect::<std::collections::HashSet<_>>(), set([1, 2]));
    assert_eq!(unlisted.forgotten, 0);
    assert_eq!((pair.listed(silent).await, pair.size(silent).await), (set([]), 0));
    assert_eq!(pair.known(1).await.unwrap().ranked.score, Score::ZERO);
    // Not a sign of life that is as old as the silence; one from now is.
    pair.other
        .touch(&pair.s, &[(member(1).peer, START + Duration::from_millis(1)), (member(2).peer, silent)], after(50))
        .await
        .unwrap();
    assert_eq!((pair.listed(after(50)).await, pair.size(after(50)).await), (set([2]), 1));
    assert_eq!(pair.known(2).await.unwrap().ranked.score, Score::NEW);

    let late = START + REMEMBER + Duration::from_secs(2);
    assert_eq!(pair.other.sweep(&pair.s, None, late).await.unwrap().forgotten, 1);
    assert_eq!(pair.other.known(&pair.s, &peers([1])).await.unwrap(), [None]);
    let known = pair.known(2).await.unwrap();
    assert_eq!((known.ranked.member, known.ranked.seen), (member(2), silent));
    assert_eq!(pair.other.touch(&pair.s, &[(member(1).peer, late)], late).await.unwrap(), peers([1]));
    assert_eq!(pair.one.sweep(&pair.s, None, late + REMEMBER).await.unwrap().forgotten, 1);
    for shard in pair.one.pull(&pair.s, &[], late + REMEMBER).await.unwrap().into_iter().map(super::changed) {
        assert_eq!((shard.members, shard.left), (vec![], vec![]), "something was left behind");
    }
}

async fn a_sweep_is_harmless_twice(pair: Pair) {
    let pair = pair.joined([1, 2, 3]).await;
    pair.leave(3, START).await;
    let silent = after(60);
    assert_eq!(pair.one.sweep(&pair.s, None, silent).await.unwrap().unlisted.len(), 2);
    for store in [&pair.one, &pair.other] {
        assert_eq!(store.sweep(&pair.s, Some(silent), silent).await.unwrap(), Swept::default());
    }
    let forgotten = START + REMEMBER * 2;
    let one = pair.one.sweep(&pair.s, Some(silent), forgotten).await.unwrap().forgotten;
    let other = pair.other.sweep(&pair.s, Some(silent), forgotten).await.unwrap().forgotten;
    assert_eq!((one, other), (3, 0), "two silent and one who left, each forgotten once");
    assert_eq!(pair.one.sweep(&swarm("nobody"), None, forgotten).await.unwrap(), Swept::default());
}

/// A sweep looks at no more than what may have fallen silent since, and misses nobody.
async fn a_sweep_tells_each_caller_who_fell_silent_since_its_last(pair: Pair) {
    for (n, at) in [(1, 0), (2, 10), (3, 20)] {
        pair.one.join(&pair.s, member(n), 0, after(at)).await.unwrap();
    }
    let mut since = None;
    for (now, expected) in [(45, None), (46, Some(1)), (55, None), (56, Some(2)), (65, None), (70, Some(3))] {
        let swept = pair.one.sweep(&pair.s, since, after(now)).await.unwrap();
        assert_eq!(swept.unlisted, peers(expected), "after {now} s");
        since = Some(after(now));
    }
    // Back, and silent again.
    pair.other.touch(&pair.s, &[(member(2).peer, after(71))], after(71)).await.unwrap();
    assert_eq!(pair.one.sweep(&pair.s, since, after(80)).await.unwrap().unlisted, []);
    assert_eq!(pair.one.sweep(&pair.s, Some(after(80)), after(120)).await.unwrap().unlisted, peers([2]));
}

async fn who_left_is_gone_until_it_comes_back(pair: Pair) {
    assert!(!pair.one.leave(&pair.s, member(1).peer, START).await.unwrap());
    assert!(pair.pulled(START).await.iter().all(|shard| shard.left.is_empty()), "who was never there did not leave");
    let pair = pair.joined([1, 2]).await;
    assert!(pair.one.leave(&pair.s, member(1).peer, after(1)).await.unwrap());
    assert!(!pair.other.leave(&pair.s, member(1).peer, after(2)).await.unwrap());
    assert_eq!((pair.listed(after(2)).await, pair.size(after(2)).await), (set([2]), 1));
    assert_eq!(pair.known(1).await, None);
    assert!(!pair.other.find(&pair.s, member(1).peer, 0, after(2)).await.unwrap().joined);
    pair.one.join(&pair.s, member(1), 0, after(3)).await.unwrap();
    assert_eq!(pair.listed(after(3)).await, set([1, 2]));
    // The clock of the node where it comes back can be behind that of the node where it left.
    pair.leave(1, after(5)).await;
    pair.other.join(&pair.s, Member { said: after(4), degree: 3, ..member(1) }, 0, after(4)).await.unwrap();
    let back = pair.known(1).await.unwrap().ranked.member;
    assert_eq!(
        (back.said, back.degree),
        (after(5) + Duration::from_millis(1), 3),
        "who heard that it left hears of it"
    );
}

async fn who_leaves_as_it_joins_is_not_put_back(pair: Pair) {
    let pair = pair.joined([1]).await;
    // By the clock of another node even before.
    for at in [START, START - Duration::from_millis(50)] {
        pair.leave(1, at).await;
        let kept = Restored { member: member(1), evidence: None, seen: START };
        pair.one.restore(&pair.s, &[kept], after(1)).await.unwrap();
        assert_eq!(pair.known(1).await, None);
        pair.one.join(&pair.s, member(1), 0, START).await.unwrap();
    }
}

async fn a_restored_member_is_as_it_was(pair: Pair) {
    let evidence = rich_evidence(&member(1), START);
    let lost = Restored { member: member(1), evidence: Some(evidence.clone()), seen: after(30) };
    let silent = Restored { member: member(2), evidence: None, seen: START };
    for store in [&pair.one, &pair.other] {
        store.restore(&pair.s, &[lost.clone(), silent.clone()], after(50)).await.unwrap();
        let known = pair.known(1).await.unwrap();
        assert_eq!((&known.ranked.member, known.ranked.seen), (&lost.member, after(30)));
        assert_eq!(known.ranked.score, evidence.score);
        assert_kept(known.evidence.as_ref(), &evidence);
        assert_eq!((pair.listed(after(50)).await, pair.size(after(50)).await), (set([1]), 1), "silent is silent");
    }
    assert_eq!(pair.one.touch(&pair.s, &[(member(2).peer, after(51))], after(51)).await.unwrap(), []);
    assert_eq!(pair.listed(after(51)).await, set([1, 2]));
}

async fn a_restore_never_undoes_what_came_later(pair: Pair) {
    let pair = pair.joined([1, 2, 3]).await;
    let said = |n, seconds| Member { said: after(seconds), degree: 7, ..member(n) };
    let restored = |n, seconds| Restored { member: said(n, seconds), evidence: None, seen: after(seconds) };
    pair.leave(1, after(10)).await;
    pair.leave(2, after(10)).await;
    pair.other.join(&pair.s, Member { said: after(10), ..member(3) }, 0, after(10)).await.unwrap();
    pair.one.restore(&pair.s, &[restored(1, 9), restored(2, 11), restored(3, 9)], after(12)).await.unwrap();
    assert_eq!(pair.known(1).await, None, "it left later");
    assert_eq!(pair.known(2).await.unwrap().ranked.member, said(2, 11), "it came back later");
    let third = pair.known(3).await.unwrap().ranked;
    assert_eq!((third.member.degree, third.seen), (0, after(10)), "it said something later");
    pair.other.restore(&pair.s, &[Restored { seen: after(11), ..restored(3, 9) }], after(12)).await.unwrap();
    let third = pair.known(3).await.unwrap().ranked;
    assert_eq!((third.member.degree, third.seen), (0, after(11)), "a sign of life counts all the same");
    let again = Restored { member: Member { joined: after(11), ..said(3, 11) }, evidence: None, seen: after(9) };
    pair.one.restore(&pair.s, &[again], after(12)).await.unwrap();
    let third = pair.known(3).await.unwrap();
    assert_eq!(third.ranked.member, said(3, 11), "the time of its first join stays");
    assert_eq!((third.ranked.seen, third.evidence), (after(11), None));
    // It came back by itself; what others said of it is still worth knowing.
    let evidence = rich_evidence(&member(3), START);
    let remembered = Restored { evidence: Some(evidence.clone()), ..restored(3, 9) };
    pair.one.restore(&pair.s, &[remembered], after(12)).await.unwrap();
    assert_kept(pair.evidence(3).await.as_ref(), &evidence);
    assert_eq!(pair.listed(after(12)).await, set([2, 3]));
    assert!(pair.pulled(after(12)).await.iter().all(|shard| shard.left.iter().all(|left| left.0 == member(1).peer)));
}

async fn swarms_are_apart(pair: Pair) {
    let pair = pair.joined([1]).await;
    for name in ["other", "S", "s/1", "s:1", &"~".repeat(128)] {
        let apart = Pair { s: swarm(name), ..pair.clone() };
        assert_eq!((apart.listed(START).await, apart.known(1).await), (set([]), None));
        assert!(!apart.one.leave(&apart.s, member(1).peer, START).await.unwrap());
        apart.joined([2]).await;
    }
    assert_eq!(pair.listed(START).await, set([1]));
}

async fn many_at_once_are_as_many_one_by_one(pair: Pair) {
    let restored: Vec<_> = (0..MANY).map(|n| Restored { member: member(n), evidence: None, seen: START }).collect();
    pair.one.restore(&pair.s, &restored, START).await.unwrap();
    assert_eq!(pair.size(START).await, usize::from(MANY));
    assert_eq!(pair.listed(START).await.len(), usize::from(MANY));
    let everybody = peers(0..MANY);
    let known = pair.other.known(&pair.s, &everybody).await.unwrap();
    let order: Vec<_> = known.into_iter().map(|known| known.unwrap().ranked.member.peer).collect();
    assert_eq!(order, everybody);
    let seen: Vec<_> = peers(1..=MANY).into_iter().map(|peer| (peer, after(20))).collect();
    assert_eq!(pair.other.touch(&pair.s, &seen, after(20)).await.unwrap(), peers([MANY]));
    assert_eq!(pair.listed(after(50)).await.len(), usize::from(MANY) - 1);
    let members: usize = pair.pulled(after(50)).await.iter().map(|shard| shard.members.len()).sum();
    assert_eq!(members, usize::from(MANY));
    let swept = pair.one.sweep(&pair.s, None, after(70)).await.unwrap();
    assert_eq!((swept.unlisted.len(), swept.forgotten), (usize::from(MANY), 0));
    let swept = pair.one.sweep(&pair.s, Some(after(70)), START + REMEMBER * 2).await.unwrap();
    assert_eq!(swept.forgotten, usize::from(MANY));
    assert_eq!(pair.known(0).await, None);
}

async fn a_node_counts_itself(pair: Pair) {
    assert!(pair.one.announce(START).await.unwrap() >= 1);
    assert!(pair.other.announce(START).await.unwrap() >= 1);
    assert_eq!((pair.one.missing(), pair.other.missing()), (None, None));
    pair.one.tell(&[]).await.unwrap();
    let mut heard = pair.other.hear();
    assert!(heard.try_recv().is_err(), "nobody said anything");
}
