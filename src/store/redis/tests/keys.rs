//! What is in Redis when we are done: every key ends.

use redis::{AsyncCommands, aio::MultiplexedConnection};

use super::*;
use crate::{
    domain::{Evidence, Nat, Outcomes, Pair, PolicyOverrides, Totals},
    store::{
        Restored,
        conformance::{START, member},
    },
};

fn swarm(n: u16) -> SwarmId {
    SwarmId::parse(&format!("swarm/{n}")).unwrap()
}

/// A connection to each node.
async fn all_nodes() -> Vec<MultiplexedConnection> {
    let one = redis::Client::open(format!("redis://{}", nodes()[0])).unwrap();
    let mut one = one.get_multiplexed_async_connection().await.unwrap();
    let known: String = redis::cmd("CLUSTER").arg("NODES").query_async(&mut one).await.unwrap();
    let mut connections = Vec::new();
    for line in known.lines().filter(|line| line.contains("master")) {
        let address = line.split_whitespace().nth(1).and_then(|address| address.split('@').next()).unwrap();
        let client = redis::Client::open(format!("redis://{address}")).unwrap();
        connections.push(client.get_multiplexed_async_connection().await.unwrap());
    }
    connections
}

/// Keys with this prefix, and how many milliseconds each has to live.
async fn keys(prefix: &str) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for mut node in all_nodes().await {
        let names: Vec<String> = node.keys(format!("{prefix}:*")).await.unwrap();
        for name in names {
            let left: i64 = node.pttl(&name).await.unwrap();
            found.push((name, left));
        }
    }
    found
}

/// Whether it is of no swarm.
fn is_of_all(name: &str) -> bool {
    [":nodes", ":nat-", ":policies"].iter().any(|kind| name.contains(kind))
}

/// Everything that writes.
async fn everything(store: &RedisStore) {
    for n in 0..20 {
        let s = swarm(n);
        store.join(&s, member(1), 8, START).await.unwrap();
        store.join(&s, member(2), 8, START).await.unwrap();
        let restored = Restored { member: member(3), evidence: Some(Evidence::new(START)), seen: START };
        store.restore(&s, &[restored], START).await.unwrap();
        let evidence = Evidence::new(START);
        let judged = Judged { member: member(2), said: START, evidence, unlist: n % 2 == 0 };
        assert_eq!(store.judge(&s, &[judged], START).await.unwrap(), []);
        let later = START + Duration::from_secs(20);
        store.touch(&s, &[(member(2).peer, later)], later).await.unwrap();
        store.find(&s, member(1).peer, 8, later).await.unwrap();
        store.leave(&s, member(3).peer, later).await.unwrap();
        store.account(&s, Totals { p2p_bytes: 1, ..Totals::default() }, later).await.unwrap();
        store.sweep(&s, None, START + Duration::from_mins(1)).await.unwrap();
        store.pull(&s, &[], START + Duration::from_mins(1)).await.unwrap();
        store.grow(&s, store.now(START)).await.unwrap();
        store.pull(&s, &[], START + Duration::from_mins(1)).await.unwrap();
        store.join(&s, member(4), 8, START).await.unwrap();
    }
    let counted =
        [(Pair::classes(Nat::Eim, Nat::Eim), Outcomes::default()), (Pair::networks(1, 2), Outcomes::default())];
    store.learn(&counted, START).await.unwrap();
    let policy = Some((PolicyOverrides::default(), START + REMEMBER));
    store.steer(&swarm(1), policy, START).await.unwrap();
    store.steer(&swarm(2), Some((PolicyOverrides::default(), START)), START).await.unwrap();
    store.steered(START).await.unwrap();
    store.announce(START).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_ends_and_a_dead_swarm_leaves_nothing() {
    let settings = settings();
    let node = Node::new(&settings).await;
    everything(&node.store).await;
    let found = keys(&settings.key_prefix).await;
    for kind in [
        "members",
        "ranking",
        "evidence",
        "seen",
        "version",
        "shards",
        "totals",
        "nodes",
        "nat-classes",
        "nat-networks",
        "policies",
    ] {
        assert!(found.iter().any(|(name, _)| name.contains(&format!(":{kind}"))), "no {kind} in {found:?}");
    }
    let longest = i64::try_from(REMEMBER.as_millis()).unwrap();
    for (name, left) in &found {
        let longest = match name {
            name if name.ends_with(":policies") => longest * 6 * 24 * 90,
            name if name.contains(":nat-") => longest * 6 * 4,
            _ => longest,
        };
        assert!((1..=longest).contains(left), "{name} lives for {left} ms");
    }

    // The same with a short life: nothing is left.
    let settings = Settings { remember: Duration::from_millis(600), ..self::settings() };
    let node = Node::new(&settings).await;
    everything(&node.store).await;
    assert!(!keys(&settings.key_prefix).await.is_empty());
    let gone = async || keys(&settings.key_prefix).await.iter().all(|(name, _)| is_of_all(name));
    node.eventually("forgotten", gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_keeps_nothing_alive() {
    let settings = settings();
    let node = Node::new(&settings).await;
    let s = swarm(1);
    node.store.join(&s, member(1), 0, START).await.unwrap();
    let short = RedisStore { remember: Duration::from_hours(1), ..RedisStore::new(&settings).unwrap() };
    let sweeper = Node::of(short);
    sweeper.eventually("connected", async || sweeper.store.missing().is_none()).await;
    let swept = sweeper.store.sweep(&s, None, START + Duration::from_mins(1)).await.unwrap();
    assert_eq!(swept.unlisted, [member(1).peer]);
    let longest = i64::try_from(REMEMBER.as_millis()).unwrap();
    assert!(keys(&settings.key_prefix).await.iter().all(|(_, left)| (1..=longest).contains(left)));
    // Nor does it make a key where all have gone.
    let other = swarm(2);
    sweeper.store.sweep(&other, None, START).await.unwrap();
    node.store.find(&other, member(1).peer, 8, START).await.unwrap();
    node.store.touch(&other, &[(member(1).peer, START)], START).await.unwrap();
    node.store.leave(&other, member(1).peer, START).await.unwrap();
    assert!(keys(&settings.key_prefix).await.iter().all(|(name, _)| !name.contains("swarm/2")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_counted_while_they_live() {
    let settings = settings();
    let (one, other) = (Node::new(&settings).await, Node::new(&settings).await);
    assert_eq!(one.store.announce(START).await.unwrap(), 1);
    assert_eq!(other.store.announce(START + Duration::from_secs(5)).await.unwrap(), 2);
    assert_eq!(other.store.announce(START + Duration::from_secs(10)).await.unwrap(), 2);
    assert_eq!(other.store.announce(START + Duration::from_secs(16)).await.unwrap(), 1);
    let elsewhere = Node::new(&self::settings()).await;
    assert_eq!(elsewhere.store.announce(START).await.unwrap(), 1, "another prefix, another network");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_for_so_many_policies() {
    let node = Node::new(&settings()).await;
    let policy = Some((PolicyOverrides::default(), START + Duration::from_secs(100)));
    node.store.steer(&swarm(0), policy, START).await.unwrap();
    // The others look like that one; one by one takes its time.
    let (key, tag) = node.store.keys.policies();
    let send = async |request| node.store.connection.send(Command::Steer, &request, BEHIND).await.unwrap().remove(0);
    let one = send(Request::to(tag).command("HGET", &key, &[swarm(0).as_str().as_bytes()])).await;
    let one = bytes(&one).unwrap();
    let names: Vec<_> = (0..crate::store::MOST_STEERED - 10).map(|n| format!("s{n}")).collect();
    let fields: Vec<_> = names.iter().flat_map(|name| [name.as_bytes(), one]).collect();
    send(Request::to(tag).command("HDEL", &key, &[swarm(0).as_str().as_bytes()])).await;
    send(Request::to(tag).command("HSET", &key, &fields)).await;
    conformance::room_for_policies(node.store.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_was_written_again_does_not_end_with_the_one_before() {
    let node = Node::new(&settings()).await;
    let policy = |seconds| Some((PolicyOverrides::default(), START + Duration::from_secs(seconds)));
    let (key, tag) = node.store.keys.policies();
    let send = async |request| node.store.connection.send(Command::Steer, &request, BEHIND).await.unwrap().remove(0);
    node.store.steer(&swarm(0), policy(10), START).await.unwrap();
    let name = swarm(0).as_str().as_bytes().to_vec();
    let before = send(Request::to(tag).command("HGET", &key, &[&name])).await;
    // Between a reader's look and its deed.
    node.store.steer(&swarm(0), policy(99), START).await.unwrap();
    let arguments = vec![name, bytes(&before).unwrap().to_vec()];
    send(Request::script_on(&scripts::UNSTEER, tag, vec![key], node.store.now(START), arguments)).await;
    assert_eq!(node.store.steered(START + Duration::from_secs(20)).await.unwrap().len(), 1);
}

/// A peer of which sixteen others have said all that is usual.
fn known_well(n: u32) -> Restored {
    use crate::domain::{Receipt, evidence::Source, place::Prefix};
    let peer = |n: u32| {
        let mut name = [0; 16];
        name[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        name[8..12].copy_from_slice(&n.to_le_bytes());
        PeerId::from_bytes(name)
    };
    let mut evidence = Evidence::new(START);
    for reporter in 0..16_u16 {
        let [high, low] = reporter.to_be_bytes();
        let prefix = Some(Prefix::of([198, high, low, 1].into()));
        let source = Source {
            peer: peer(n + u32::from(reporter) * 7919 + 1),
            prefix,
            can_meet: true,
            end: crate::domain::End::default(),
        };
        let receipt = Receipt {
            epoch: 40_000 + reporter,
            connected: true,
            bytes: 100_000_000,
            busy_ms: 60_000,
            ok: 400,
            timeout: 3,
            bad: 0,
            connect_ms: None,
        };
        evidence.add(&source, &receipt, 6000, START + Duration::from_secs(4 * u64::from(reporter)));
    }
    let (down_bytes, http_bytes, up_bytes) = (2_400_000_000, 1_200_000_000, 3_600_000_000);
    let own = crate::domain::Counters { epoch: 40_000, down_bytes, http_bytes, up_bytes, rebuffers: 9 };
    evidence.account(own, START - Duration::from_hours(1), START + Duration::from_mins(1));
    assert!(evidence.own.is_some());
    let place =
        crate::domain::Place { asn: Some(64_500), country: Some(*b"NZ"), pid: crate::domain::Pid::of_number(7) };
    let address = Some([203, 0, 113, 7].into());
    let (playhead, slots, bitrate_kbps) = (Some(1234.5), Some(12), Some(4500));
    let member = Member { peer: peer(n), place, address, playhead, slots, bitrate_kbps, ..member(0) };
    Restored { member, evidence: Some(evidence), seen: START }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sixteen_know_well_takes_no_more_than_700_bytes() {
    const PEERS: u32 = 2000;
    let settings = settings();
    let node = Node::new(&settings).await;
    let all: Vec<_> = (0..PEERS).map(known_well).collect();
    node.store.restore(&swarm(1), &all, START).await.unwrap();
    let mut bytes = 0;
    for mut redis in all_nodes().await {
        let names: Vec<String> = redis.keys(format!("{}:*", settings.key_prefix)).await.unwrap();
        for name in names {
            let mut ask = redis::cmd("MEMORY");
            let usage: u32 = ask.arg("USAGE").arg(&name).arg("SAMPLES").arg(0).query_async(&mut redis).await.unwrap();
            println!("{name}: {} bytes for each of {PEERS}", usage / PEERS);
            bytes += usage;
        }
    }
    assert!(bytes / PEERS > 300 && bytes / PEERS <= 700, "{} bytes", bytes / PEERS);
}
