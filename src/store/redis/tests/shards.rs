//! Swarms that are too large for one slot.

use std::collections::HashMap;

use super::*;
use crate::{
    domain::{Evidence, Score},
    store::{
        Restored,
        conformance::{START, changed},
    },
};

/// Of a shard that is full, and of a swarm that has four.
const FULL: usize = 200;
const SIZE: u32 = 450;

fn member(n: u32) -> Member {
    let mut name = [n.to_le_bytes()[0]; 16];
    name[..4].copy_from_slice(&n.to_be_bytes());
    Member { peer: PeerId::from_bytes(name), ..conformance::member(0) }
}

async fn node(settings: &Settings) -> Node {
    let node = Node::of(RedisStore { full: FULL, ..RedisStore::new(settings).unwrap() });
    node.eventually("connected", async || node.store.missing().is_none()).await;
    node
}

fn after(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn swarm() -> SwarmId {
    SwarmId::parse("large").unwrap()
}

/// Evidence that can be told apart.
fn evidence(n: u32) -> Evidence {
    Evidence { score: Score::from_fixed(u16::try_from(n).unwrap()), ..Evidence::new(START) }
}

/// A swarm of many, each with evidence of its own, in one shard.
async fn filled(node: &Node) {
    let restored = |n| Restored { member: member(n), evidence: Some(evidence(n)), seen: START };
    node.store.restore(&swarm(), &(0..SIZE).map(restored).collect::<Vec<_>>(), START).await.unwrap();
}

/// Who is in which shard, and who left.
async fn pulled(node: &Node, now: Timestamp) -> (HashMap<PeerId, u32>, Vec<PeerId>, u32) {
    let shards = node.store.pull(&swarm(), &[], now).await.unwrap();
    let count = u32::try_from(shards.len()).unwrap();
    let (mut members, mut left) = (HashMap::new(), Vec::new());
    for (shard, number) in shards.into_iter().map(changed).zip(0..) {
        members.extend(shard.members.into_iter().map(|one| (one.member.peer, number)));
        left.extend(shard.left.into_iter().map(|(peer, _)| peer));
    }
    (members, left, count)
}

fn all_in_place(members: &HashMap<PeerId, u32>, count: u32) -> bool {
    members.iter().all(|(peer, shard)| shard_of(peer, count) == *shard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_grows_and_keeps_everybody_where_two_nodes_find_them() {
    let settings = settings();
    let (one, other) = (node(&settings).await, node(&settings).await);
    filled(&one).await;
    assert!(one.store.leave(&swarm(), member(7).peer, after(1)).await.unwrap());
    let (mut rounds, mut called) = (0, Vec::new());
    loop {
        // Calls go on meanwhile, on a node that has just come up and on one that knows the swarm from earlier.
        let new = node(&settings).await;
        let by = if rounds % 2 == 0 { &new } else { &other };
        let now = after(2 + rounds);
        let some = rounds * 20 + 10;
        let seen: Vec<_> = (some..some + 20).map(|n| (member(u32::try_from(n).unwrap()).peer, now)).collect();
        let calls = async {
            assert_eq!(by.store.touch(&swarm(), &seen, now).await.unwrap(), []);
            let peers: Vec<_> = seen.iter().map(|(peer, _)| *peer).collect();
            let known = by.store.known(&swarm(), &peers).await.unwrap();
            for (n, known) in (u16::try_from(some).unwrap()..).zip(known) {
                let known = known.expect("a member");
                assert_eq!(known.ranked.score.fixed(), n);
                assert_eq!(known.evidence.unwrap().score.fixed(), n);
            }
            let found = by.store.find(&swarm(), peers[0], 8, now).await.unwrap();
            assert!(found.joined);
            assert_eq!(found.candidates.len(), 8);
        };
        let (from_one, from_other, ()) = tokio::join!(pulled(&one, now), pulled(&other, now), calls);
        for (members, left, _) in [&from_one, &from_other] {
            assert_eq!((members.len(), &left[..]), (SIZE as usize - 1, &[member(7).peer][..]));
        }
        let (members, _, count) = from_one;
        if count == 4 && all_in_place(&members, count) && all_in_place(&from_other.0, from_other.2) {
            break;
        }
        called.extend(seen);
        rounds += 1;
        assert!(rounds < 20, "still not in order: {count} shards");
    }
    // Nobody is left where it was, and all that was said of them came along.
    let now = after(30);
    let (members, _, count) = pulled(&one, now).await;
    assert_eq!((members.len(), count), (SIZE as usize - 1, 4));
    let peers: Vec<_> = (0..SIZE).map(|n| member(n).peer).collect();
    let known = other.store.known(&swarm(), &peers).await.unwrap();
    for (n, known) in (0..).zip(&known) {
        let score = known.as_ref().map(|known| known.evidence.as_ref().unwrap().score.fixed());
        assert_eq!(score, (n != 7).then_some(n));
    }
    for (peer, at) in called {
        let known = known[peers.iter().position(|known| *known == peer).unwrap()].as_ref().unwrap();
        assert!(known.ranked.seen >= at, "a sign of life was lost on the way");
    }
    // Neither has a late node a way to bring back who left.
    let late = Restored { member: member(7), evidence: None, seen: START };
    node(&settings).await.store.restore(&swarm(), &[late], now).await.unwrap();
    assert_eq!(one.store.known(&swarm(), &[member(7).peer]).await.unwrap(), [None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_while_it_is_moved_stays_as_it_was_changed() {
    let settings = settings();
    let (one, other) = (node(&settings).await, node(&settings).await);
    filled(&one).await;
    pulled(&one, START).await;
    assert_eq!(one.store.counts.of(&swarm()), 2);
    // The other one believes in one shard, until it hears better.
    let now = after(10);
    let leaving = async {
        for n in 0..50 {
            assert!(other.store.leave(&swarm(), member(n).peer, now).await.unwrap(), "{n}");
        }
    };
    let joining = async {
        for n in 50..100 {
            let again = Member { degree: 9, said: now, ..member(n) };
            other.store.join(&swarm(), again, 0, now).await.unwrap();
        }
    };
    let moving = async {
        for _ in 0..4 {
            pulled(&one, now).await;
        }
    };
    tokio::join!(leaving, joining, moving);
    // What was changed in the last moment is put in order by the next pull.
    pulled(&one, now).await;
    for node in [&one, &other] {
        let peers: Vec<_> = (0..150).map(|n| member(n).peer).collect();
        for (n, known) in (0..).zip(node.store.known(&swarm(), &peers).await.unwrap()) {
            let degree = known.map(|known| known.ranked.member.degree);
            let expected = if n < 50 { None } else { Some(if n < 100 { 9 } else { 0 }) };
            assert_eq!(degree, expected, "{n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_its_place_after_all_is_not_taken_away() {
    let node = node(&settings()).await;
    filled(&node).await;
    // Found to be misplaced by who believed that the swarm had grown: so it stands after a master has lost that.
    let keys = node.store.keys.shard(&swarm(), 0);
    let record = records::member(&member(1));
    let seen = i64::try_from(START.0).unwrap();
    let one = moves::Move { peer: member(1).peer, record, evidence: Vec::new(), seen };
    node.store.move_out(&swarm(), &keys, vec![one], node.store.now(START)).await.unwrap();
    assert!(node.store.known(&swarm(), &[member(1).peer]).await.unwrap()[0].is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_judged_in_many_shards_at_once_is_judged_once() {
    let settings = settings();
    let (one, other) = (node(&settings).await, node(&settings).await);
    filled(&one).await;
    for _ in 0..6 {
        pulled(&one, START).await;
    }
    let judged =
        |n| Judged { member: Member { degree: 5, ..member(n) }, said: START, evidence: evidence(9000), unlist: false };
    let judged: Vec<_> = (0..SIZE).map(judged).collect();
    let s = swarm();
    let (first, second) =
        tokio::join!(one.store.judge(&s, &judged, after(1)), other.store.judge(&s, &judged, after(1)));
    assert_eq!(first.unwrap().len() + second.unwrap().len(), SIZE as usize, "each was stored by one of the two");
    let (members, ..) = pulled(&other, after(1)).await;
    assert_eq!(members.len(), SIZE as usize);
    let swept = other.store.sweep(&swarm(), None, after(60)).await.unwrap();
    assert_eq!((swept.unlisted.len(), swept.forgotten), (SIZE as usize, 0));
    let found = one.store.find(&swarm(), member(1).peer, 8, after(60)).await.unwrap();
    assert!(found.joined && found.candidates.len() == 1, "{}", found.candidates.len());
}
