//! Two nodes over one store, in memory and with time that stands still until it is moved.

mod introductions;
mod learning;
mod offload;
mod steering;
mod trouble;

use std::collections::HashSet;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    domain::{Ranked, Timestamp, Whereabouts},
    store::{LISTED_FOR, MemoryStore, SwitchedStore},
};

const SETTINGS: RankingSettings =
    RankingSettings { interval: Duration::from_secs(10), remember: Duration::from_mins(10), price_per_gb: 0.05 };

fn store() -> MemoryStore {
    MemoryStore::new(1_000_000, SETTINGS.remember)
}

fn swarm() -> SwarmId {
    SwarmId::parse("s").unwrap()
}

fn peer(n: u32) -> PeerId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn member(n: u32, now: Timestamp) -> Member {
    Member::new(peer(n), now)
}

/// A node whose loops run only when a test says so.
struct Node {
    ranking: Arc<Ranking>,
    loops: Loops,
    clock: Clock,
}

impl Node {
    fn new(store: &Arc<SwitchedStore>, clock: &Clock) -> Self {
        let (ranking, loops) = Ranking::new(store.clone(), clock.clone(), SETTINGS);
        Self { ranking, loops, clock: clock.clone() }
    }

    async fn join(&self, n: u32) -> Listing {
        self.ranking.join(&swarm(), member(n, self.clock.now()), 16, |_| true).await.unwrap()
    }

    async fn find(&self, n: u32) -> Listing {
        self.ranking.find(&swarm(), peer(n), Whereabouts::default(), 16, |_| true).await.unwrap()
    }

    /// Everybody that a list of this node can hold.
    async fn listed(&self) -> HashSet<PeerId> {
        let list = self.ranking.find(&swarm(), peer(u32::MAX), Whereabouts::default(), 1000, |_| true).await.unwrap();
        let peers: Vec<_> = list.candidates.iter().map(|row| row.member.peer).collect();
        let distinct: HashSet<_> = peers.iter().copied().collect();
        assert_eq!(peers.len(), distinct.len(), "nobody is listed twice");
        distinct
    }

    fn report(&self, about: u32, by: u32, ok: u32) {
        let receipt = Receipt {
            connected: true,
            ok,
            bytes: u64::from(ok) << 20,
            busy_ms: u64::from(ok) * 200,
            ..Receipt::default()
        };
        let source = Source { peer: peer(by), prefix: None, can_meet: true, end: crate::domain::End::default() };
        assert!(self.ranking.receipt(&swarm(), peer(about), source, receipt));
    }
}

/// Moves time for everybody.
async fn advance(clock: &Clock, by: Duration) {
    clock.advance(by);
    tokio::time::advance(by).await;
}

fn world() -> (Arc<SwitchedStore>, Clock) {
    (SwitchedStore::new(store()), Clock::manual(Timestamp::from_seconds(1_800_000_000)))
}

#[tokio::test(start_paused = true)]
async fn in_a_small_swarm_everybody_is_found_at_once_on_every_node() {
    let (store, clock) = world();
    let (one, two) = (Node::new(&store, &clock), Node::new(&store, &clock));
    assert_eq!(one.join(1).await.swarm_size, 1);
    one.loops.refresher.run_once().await;
    let found = two.join(2).await;
    assert_eq!((found.candidates.len(), found.swarm_size, found.joined, found.stale), (2, 2, true, false));
    assert_eq!(one.listed().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_large_swarm_is_listed_without_asking_the_store() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for n in 0..200 {
        node.join(n).await;
    }
    node.loops.refresher.run_once().await;
    store.calls();
    for n in 0..200 {
        let list = node.find(n).await;
        assert_eq!((list.candidates.len(), list.swarm_size, list.joined, list.stale), (16, 200, true, false));
    }
    let joined = node.join(200).await;
    assert_eq!((joined.candidates.len(), joined.joined), (16, true));
    let fits = |row: &Ranked| row.member.peer.as_bytes()[3].is_multiple_of(2);
    let found = node.ranking.find(&swarm(), peer(1), Whereabouts::default(), 16, fits).await.unwrap();
    assert!(found.candidates.iter().all(fits) && !found.candidates.is_empty(), "only who fits");
    assert_eq!(store.calls(), 0);
    assert!(node.listed().await.contains(&peer(200)), "who joined a moment ago is listed here");
    // The signs of life were written with the joins; the new member is written behind, and then seen by others.
    node.loops.writer.run_once().await;
    let other = Node::new(&store, &clock);
    assert!(other.listed().await.contains(&peer(200)));
}

#[tokio::test(start_paused = true)]
async fn lists_of_a_large_swarm_are_made_side_by_side() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for n in 0..200 {
        node.join(n).await;
    }
    node.loops.refresher.run_once().await;
    let view = node.ranking.view(&swarm()).unwrap();
    let others = view.shared();
    let (told, tells) = std::sync::mpsc::channel();
    let ranking = node.ranking.clone();
    std::thread::spawn(move || {
        let list = ranking.find(&swarm(), peer(1), Whereabouts::default(), 16, |_| true).now_or_never();
        ranking.heard(&swarm(), peer(2));
        told.send(list.unwrap().unwrap().candidates.len())
    });
    assert_eq!(tells.recv_timeout(Duration::from_mins(1)), Ok(16), "it waits for a lock");
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_gone_here_at_once_and_elsewhere_with_the_hint() {
    let (store, clock) = world();
    let (one, two) = (Node::new(&store, &clock), Node::new(&store, &clock));
    for n in 0..100 {
        one.join(n).await;
        two.find(n).await;
    }
    for node in [&one, &two] {
        node.loops.refresher.run_once().await;
    }
    let stop = CancellationToken::new();
    let Node { ranking, loops: Loops { hints, .. }, .. } = two;
    tokio::spawn(hints.run(stop.clone()));
    advance(&clock, Duration::from_secs(2)).await;
    assert!(one.ranking.leave(&swarm(), peer(5)).await);
    assert!(one.ranking.is_gone(&swarm(), peer(5)) && !one.listed().await.contains(&peer(5)));
    assert!(!ranking.is_gone(&swarm(), peer(5)));
    one.loops.writer.run_once().await;
    tokio::task::yield_now().await;
    assert!(ranking.is_gone(&swarm(), peer(5)));
    let near = Whereabouts::default();
    let list = ranking.find(&swarm(), peer(1), near, 1000, |_| true).await.unwrap();
    assert!(list.candidates.len() == 99 && list.candidates.iter().all(|row| row.member.peer != peer(5)));
    advance(&clock, Duration::from_secs(2)).await;
    one.join(5).await;
    assert!(!one.ranking.is_gone(&swarm(), peer(5)), "it came back");
    assert!(one.listed().await.contains(&peer(5)));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_the_next_copy_tells_who_left() {
    let (store, clock) = world();
    let (one, two) = (Node::new(&store, &clock), Node::new(&store, &clock));
    for n in 0..100 {
        one.join(n).await;
    }
    two.find(0).await;
    two.loops.refresher.run_once().await;
    assert_eq!(two.listed().await.len(), 100);
    advance(&clock, Duration::from_secs(1)).await;
    one.ranking.leave(&swarm(), peer(5)).await;
    two.loops.refresher.run_once().await;
    assert!(two.listed().await.len() == 99 && two.ranking.is_gone(&swarm(), peer(5)));
    // And it may come back on either.
    advance(&clock, Duration::from_secs(1)).await;
    one.join(5).await;
    one.loops.writer.run_once().await;
    two.loops.refresher.run_once().await;
    assert!(!two.ranking.is_gone(&swarm(), peer(5)) && two.listed().await.len() == 100);
}

/// Peers that call every 30 s or less, on any node, are never unlisted on any; those that stopped are, within 45 s.
#[tokio::test(start_paused = true)]
async fn who_calls_is_listed_and_who_stopped_is_not() {
    let (store, clock) = world();
    let nodes = [Node::new(&store, &clock), Node::new(&store, &clock)];
    let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(5);
    let mut next: Vec<u64> = vec![0; 100];
    for n in 0..100 {
        nodes[n as usize % 2].join(n).await;
    }
    let (mut pulls, mut stopped) = ([0, 5], None);
    for second in 0..400 {
        for n in 0..100 {
            // The last ten fall silent half way.
            if next[n as usize] == second && (n < 90 || second < 200) {
                nodes[rng.random_range(0..2)].ranking.heard(&swarm(), peer(n));
                next[n as usize] += rng.random_range(1..=30);
                if n == 99 {
                    stopped = Some(second);
                }
            }
        }
        advance(&clock, Duration::from_secs(1)).await;
        for (node, pull) in nodes.iter().zip(&mut pulls) {
            node.loops.writer.run_once().await;
            if *pull <= second {
                node.loops.refresher.run_once().await;
                *pull = second + 11;
            }
        }
        for node in &nodes {
            let listed = node.listed().await;
            let missing = (0..90).find(|n| !listed.contains(&peer(*n)));
            if let Some(n) = missing {
                let v = node.ranking.view(&swarm()).unwrap();
                eprintln!(
                    "{n} {:?} next {} pulls {pulls:?} store {:?}",
                    v.snapshot().member(peer(n)),
                    next[n as usize],
                    store.known(&swarm(), &[peer(n)]).await.unwrap()
                );
            }
            assert_eq!(missing, None, "all alive are listed after {second} s");
            let silent = stopped.map_or(0, |stopped| second + 1 - stopped);
            assert!(silent <= 45 || !listed.contains(&peer(99)), "silent for {silent} s and listed");
        }
    }
    assert!(stopped.is_some_and(|stopped| stopped < 200));
    assert!(store.calls() > 0);
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_are_written_every_15_s_at_most() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    store.calls();
    for _ in 0..60 {
        for _ in 0..10 {
            node.ranking.heard(&swarm(), peer(1));
        }
        node.loops.writer.run_once().await;
        advance(&clock, Duration::from_secs(1)).await;
    }
    assert!((3..=4).contains(&store.calls()));
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_hear_half_of_it_each_come_to_the_scores_of_one_that_hears_all() {
    let mut scores = Vec::new();
    for split in [false, true] {
        let (store, clock) = world();
        let nodes = [Node::new(&store, &clock), Node::new(&store, &clock)];
        for n in 0..20 {
            nodes[0].join(n).await;
        }
        for round in 1..20 {
            for about in 0..20 {
                for by in (0..20).filter(|by| *by != about && (by + about) % 3 != 0) {
                    let node = usize::from(split && (by + round) % 2 == 0);
                    // Some receipts come twice, on both.
                    nodes[node].report(about, by, round * (about + 1) / 4);
                    if split && by % 5 == 0 {
                        nodes[1 - node].report(about, by, round * (about + 1) / 4);
                    }
                }
            }
            advance(&clock, Duration::from_secs(10)).await;
            tokio::join!(nodes[0].loops.ranker.run_once(), nodes[1].loops.ranker.run_once());
        }
        let peers: Vec<_> = (0..20).map(peer).collect();
        let known = store.known(&swarm(), &peers).await.unwrap();
        scores.push(known.into_iter().map(|known| known.unwrap().ranked.score.fixed()).collect::<Vec<_>>());
        assert_eq!(nodes[0].ranking.waiting.load(Relaxed), 0);
    }
    for (one, two) in scores[0].iter().zip(&scores[1]) {
        assert!(one.abs_diff(*two) <= 10, "{scores:?}");
    }
    assert!(scores[0].iter().max() > scores[0].iter().min());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_reached_by_two_and_has_been_silent_is_unlisted_until_it_calls() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for n in 0..3 {
        node.join(n).await;
    }
    let failed = |by, timeout| {
        let source = Source { peer: peer(by), prefix: None, can_meet: true, end: crate::domain::End::default() };
        let receipt = Receipt { connected: true, timeout, ..Receipt::default() };
        node.ranking.receipt(&swarm(), peer(0), source, receipt)
    };
    for (wait, timeout, by, listed) in [(10, 1, 2, true), (15, 2, 1, true), (0, 3, 2, false)] {
        advance(&clock, Duration::from_secs(wait)).await;
        for by in 1..=by {
            assert!(failed(by, timeout));
        }
        node.loops.ranker.run_once().await;
        assert_eq!(node.listed().await.contains(&peer(0)), listed, "timeout {timeout}");
    }
    node.find(0).await;
    assert!(node.listed().await.contains(&peer(0)));
}

#[tokio::test(start_paused = true)]
async fn a_fifth_swarm_is_refused() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    let join = async |name: &str| {
        let swarm = SwarmId::parse(name).unwrap();
        node.ranking.join(&swarm, member(1, clock.now()), 8, |_| true).await.map(|list| list.swarm_size)
    };
    for n in 0..MAX_SWARMS {
        join(&format!("s{n}")).await.unwrap();
    }
    assert_eq!(join("fifth").await, Err(RankingError::TooManySwarms));
    join("s0").await.expect("a swarm it is in already");
    node.ranking.leave(&SwarmId::parse("s0").unwrap(), peer(1)).await;
    join("fifth").await.expect("after leaving one there is room");
    advance(&clock, SETTINGS.remember + Duration::from_secs(1)).await;
    node.loops.refresher.run_once().await;
    join("sixth").await.expect("what is over does not count");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_forgotten() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    for n in 0..100 {
        node.join(n).await;
    }
    node.ranking.leave(&swarm(), peer(0)).await;
    node.loops.refresher.run_once().await;
    assert!(node.ranking.snapshot(&swarm()).is_some());
    advance(&clock, Duration::from_secs(61)).await;
    node.loops.refresher.run_once().await;
    assert!(node.ranking.snapshot(&swarm()).is_none(), "a copy that nobody asks for");
    assert_eq!(node.ranking.views.len(), 1);
    advance(&clock, SETTINGS.remember).await;
    node.loops.refresher.run_once().await;
    assert_eq!((node.ranking.views.len(), node.ranking.memberships.len()), (0, 0));
    store.announce(clock.now()).await.unwrap(); // which sweeps the memory store
    assert!(store.pull(&swarm(), &[], clock.now()).await.unwrap().iter().all(|shard| match shard {
        crate::store::Pulled::Changed(shard) => shard.members.is_empty() && shard.left.is_empty(),
        _ => true,
    }));
}

#[tokio::test(start_paused = true)]
async fn who_three_have_spoken_of_was_tried() {
    let (store, clock) = world();
    let node = Node::new(&store, &clock);
    node.join(1).await;
    for by in 2..=4 {
        let said = store.known(&swarm(), &[peer(1)]).await.unwrap()[0].clone().unwrap().ranked.member;
        assert!(!said.tried, "after {}", by - 2);
        node.report(1, by, 1);
        node.loops.ranker.run_once().await;
    }
    let member = store.known(&swarm(), &[peer(1)]).await.unwrap()[0].clone().unwrap().ranked.member;
    assert!(member.tried && member.said == clock.now(), "and said nothing new by that");
}
