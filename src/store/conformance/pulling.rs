//! A node's own copy of a swarm: what is read again, and what need not be.

use super::{Pair, REMEMBER, START, after, member, set};
use crate::{
    domain::{Member, PeerId, Timestamp},
    store::Pulled,
};

pub async fn all(new: &impl AsyncFn() -> Pair) {
    a_pull_has_everybody(new().await).await;
    only_what_changed_is_pulled_again(new().await).await;
    every_change_is_noticed(new().await).await;
    who_left_is_in_the_pull_until_it_comes_back_or_is_forgotten(new().await).await;
    a_store_that_lost_its_memory_says_so(new().await).await;
}

async fn a_pull_has_everybody(pair: Pair) {
    assert!(pair.pulled(START).await.iter().all(|shard| shard.members.is_empty() && shard.left.is_empty()));
    let pair = pair.joined([1, 2]).await;
    pair.one.join(&pair.s, Member { upload: false, ..member(3) }, 0, after(50)).await.unwrap();
    pair.judge(pair.heard(1, 1.0, after(50)).await, after(50)).await;
    pair.one.sweep(&pair.s, None, after(50)).await.unwrap();
    let mut members: Vec<_> = pair.pulled(after(50)).await.into_iter().flat_map(|shard| shard.members).collect();
    members.sort_unstable_by_key(|ranked| ranked.member.peer);
    assert_eq!(members.len(), 3);
    for (n, ranked) in (1..).zip(members) {
        assert_eq!(ranked, pair.known(n).await.unwrap().ranked);
    }
}

async fn only_what_changed_is_pulled_again(pair: Pair) {
    let pair = pair.joined([1, 2]).await;
    let known: Vec<_> = pair.pulled(START).await.into_iter().map(|shard| shard.version).collect();
    for store in [&pair.one, &pair.other] {
        let pulled = store.pull(&pair.s, &known, after(1)).await.unwrap();
        assert!(pulled.iter().all(|pulled| *pulled == Pulled::Unchanged) && pulled.len() == known.len());
    }
    pair.other.join(&pair.s, member(3), 0, after(1)).await.unwrap();
    let pulled = pair.one.pull(&pair.s, &known, after(1)).await.unwrap();
    let changed: Vec<_> =
        pulled.into_iter().filter(|pulled| *pulled != Pulled::Unchanged).map(super::changed).collect();
    assert_eq!(changed.len(), 1, "one shard, and no more");
    assert!(changed[0].members.iter().any(|ranked| ranked.member == member(3)));
    assert!(known.iter().all(|version| changed[0].version > *version));
}

async fn every_change_is_noticed(pair: Pair) {
    let pair = pair.joined([1, 2]).await;
    let mut known: Vec<_> = pair.pulled(START).await.into_iter().map(|shard| shard.version).collect();
    let mut notice = async |what: &str, now: Timestamp| {
        let pulled = pair.other.pull(&pair.s, &known, now).await.unwrap();
        assert!(pulled.iter().any(|pulled| matches!(pulled, Pulled::Changed(_))), "{what} went unnoticed");
        assert!(!pulled.iter().any(|pulled| matches!(pulled, Pulled::Lost(_))), "{what} was taken for a loss");
        known = pair.pulled(now).await.into_iter().map(|shard| shard.version).collect();
    };
    pair.one.join(&pair.s, Member { said: after(1), ..member(1) }, 0, after(1)).await.unwrap();
    notice("a join again", after(1)).await;
    pair.one.join(&pair.s, Member { upload: false, ..member(3) }, 0, after(1)).await.unwrap();
    notice("somebody who is never offered", after(1)).await;
    pair.judge(pair.heard(1, 1.0, after(2)).await, after(2)).await;
    notice("a judgement", after(2)).await;
    pair.leave(1, after(3)).await;
    notice("leaving", after(3)).await;
    pair.one.sweep(&pair.s, None, after(50)).await.unwrap();
    notice("silence", after(50)).await;
    pair.one.touch(&pair.s, &[(member(2).peer, after(60))], after(60)).await.unwrap();
    notice("the end of silence", after(60)).await;
    pair.one.touch(&pair.s, &[(member(2).peer, after(61))], after(61)).await.unwrap();
    notice("a sign of life", after(61)).await;
    let back =
        crate::store::Restored { member: Member { said: after(61), ..member(1) }, evidence: None, seen: after(61) };
    pair.one.restore(&pair.s, &[back], after(61)).await.unwrap();
    notice("a return", after(61)).await;
    pair.leave(1, after(61)).await;
    notice("leaving again", after(61)).await;
    let late = after(62) + REMEMBER;
    pair.one.touch(&pair.s, &[(member(2).peer, late)], late).await.unwrap();
    pair.one.sweep(&pair.s, None, late).await.unwrap();
    notice("forgetting", late).await;
}

async fn who_left_is_in_the_pull_until_it_comes_back_or_is_forgotten(pair: Pair) {
    let pair = pair.joined([1, 2, 3]).await;
    let left = async |now| -> Vec<(PeerId, Timestamp)> {
        let mut left: Vec<_> = pair.pulled(now).await.into_iter().flat_map(|shard| shard.left).collect();
        left.sort_unstable();
        left
    };
    pair.leave(1, after(1)).await;
    pair.leave(2, after(2)).await;
    assert_eq!(left(after(2)).await, [(member(1).peer, after(1)), (member(2).peer, after(2))]);
    pair.other.leave(&pair.s, member(1).peer, after(3)).await.unwrap();
    assert_eq!(left(after(3)).await[0], (member(1).peer, after(1)), "it left once");
    pair.one.join(&pair.s, member(1), 0, after(4)).await.unwrap();
    assert_eq!(left(after(4)).await, [(member(2).peer, after(2))]);
    assert_eq!(pair.listed(after(4)).await, set([1, 3]));
    pair.one.sweep(&pair.s, None, after(2) + REMEMBER).await.unwrap();
    assert_eq!(left(after(2) + REMEMBER).await.len(), 1);
    pair.one.sweep(&pair.s, None, after(3) + REMEMBER).await.unwrap();
    assert_eq!(left(after(3) + REMEMBER).await, []);
}

async fn a_store_that_lost_its_memory_says_so(pair: Pair) {
    let pair = pair.joined([1]).await;
    let shards = pair.pulled(START).await;
    // As a copy that took over and had missed the last change, or a store that was started empty.
    let ahead: Vec<_> = shards.iter().map(|shard| shard.version + 1).collect();
    let pulled = pair.other.pull(&pair.s, &ahead, START).await.unwrap();
    let lost = |pulled: &Pulled| matches!(pulled, Pulled::Lost(shard) if shard.members.len() == 1);
    assert!(pulled.iter().any(lost), "{pulled:?}");
    let pulled = pair.other.pull(&super::swarm("never-there"), &ahead, START).await.unwrap();
    assert!(matches!(&pulled[0], Pulled::Lost(shard) if shard.members.is_empty()), "{pulled:?}");
    // An empty swarm is no loss for who knows nothing of it.
    let pulled = pair.other.pull(&super::swarm("never-there"), &[], START).await.unwrap();
    assert!(!matches!(&pulled[0], Pulled::Lost(_)), "{pulled:?}");
}
