//! What every store must do: one suite, run against each of them. Each test gets two handles of one empty store, as two
//! nodes have.

mod judging;
mod membership;
mod pulling;
mod races;
mod ranking;
mod shared;

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{Gone, Judged, Known, Pulled, Shard, Store};
use crate::domain::{
    Counters, Evidence, Member, PeerId, Receipt, SwarmId, Timestamp, evidence::Source, score::full_kbps,
};

pub use shared::room_for_policies;

/// For how long the stores of this suite must remember.
pub const REMEMBER: Duration = Duration::from_mins(10);
/// When it plays. Stores must take the time that they are given.
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// More than any call does in one step.
const MANY: u16 = 1200;

/// A member by number.
pub fn member(n: u16) -> Member {
    let [high, low] = n.to_be_bytes();
    let peer = [high, low, low, low, low, low, low, low, low, low, low, low, low, low, high, low];
    Member::new(PeerId::from_bytes(peer), START)
}

/// Runs the suite; `make` gives two handles of a new, empty store each time.
pub async fn all<S: Store + 'static>(make: impl AsyncFn() -> (Arc<S>, Arc<S>)) {
    let new = async || {
        let (one, other) = make().await;
        Pair { one, other, s: swarm("s") }
    };
    membership::all(&new).await;
    judging::all(&new).await;
    pulling::all(&new).await;
    races::all(&new).await;
    ranking::all(&new).await;
    shared::all(&new).await;
}

/// What one node tells, the other hears; for stores of several nodes.
pub async fn hints<S: Store + 'static>((one, other): (Arc<S>, Arc<S>)) {
    let mut heard = other.hear();
    let gone: Vec<_> = (1..=3).map(|n| Gone { swarm: swarm("s"), peer: member(n).peer, at: after(n.into()) }).collect();
    one.tell(&gone).await.unwrap();
    for gone in gone {
        let hint = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await;
        assert_eq!(hint.expect("a hint within 5 s").unwrap(), gone);
    }
}

/// Two handles of one store, and the swarm in which most of it happens.
#[derive(Clone)]
struct Pair {
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
    s: SwarmId,
}

fn swarm(name: &str) -> SwarmId {
    SwarmId::parse(name).unwrap()
}

/// So many seconds after the start.
fn after(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn peers(numbers: impl IntoIterator<Item = u16>) -> Vec<PeerId> {
    numbers.into_iter().map(|n| member(n).peer).collect()
}

fn set(numbers: impl IntoIterator<Item = u16>) -> HashSet<PeerId> {
    numbers.into_iter().map(|n| member(n).peer).collect()
}

impl Pair {
    /// These join, at the start.
    async fn joined(self, numbers: impl IntoIterator<Item = u16>) -> Self {
        for n in numbers {
            self.one.join(&self.s, member(n), 0, START).await.unwrap();
        }
        self
    }

    /// Who is offered, on both handles alike.
    async fn listed(&self, now: Timestamp) -> HashSet<PeerId> {
        let stranger = PeerId::from_bytes([255; 16]);
        let mut listed = Vec::new();
        for store in [&self.one, &self.other] {
            let found = store.find(&self.s, stranger, 10_000, now).await.unwrap();
            assert!(!found.joined, "who asks is no member by that");
            listed.push(found.candidates.into_iter().map(|ranked| ranked.member.peer).collect());
        }
        assert_eq!(listed[0], listed[1]);
        listed.swap_remove(0)
    }

    async fn size(&self, now: Timestamp) -> usize {
        self.other.find(&self.s, PeerId::from_bytes([255; 16]), 0, now).await.unwrap().swarm_size
    }

    async fn known(&self, n: u16) -> Option<Known> {
        self.other.known(&self.s, &peers([n])).await.unwrap().remove(0)
    }

    async fn evidence(&self, n: u16) -> Option<Evidence> {
        self.known(n).await.and_then(|known| known.evidence)
    }

    /// A judgement of one, who has something new said of it.
    async fn heard(&self, n: u16, connects: f32, now: Timestamp) -> Judged {
        let Known { ranked, evidence } = self.known(n).await.expect("a member");
        let mut evidence = evidence.unwrap_or_else(|| Evidence::new(now));
        evidence.connects = connects;
        Judged { said: ranked.member.said, member: ranked.member, evidence, unlist: false }
    }

    /// Stores it, in one go.
    async fn judge(&self, judged: Judged, now: Timestamp) {
        assert_eq!(self.one.judge(&self.s, &[judged], now).await.unwrap(), []);
    }

    async fn leave(&self, n: u16, now: Timestamp) {
        assert!(self.one.leave(&self.s, member(n).peer, now).await.unwrap());
    }

    /// All shards as they are.
    async fn pulled(&self, now: Timestamp) -> Vec<Shard> {
        let pulled = self.other.pull(&self.s, &[], now).await.unwrap();
        assert!(!pulled.is_empty());
        pulled.into_iter().map(changed).collect()
    }
}

/// The shard, which must have changed.
pub fn changed(pulled: Pulled) -> Shard {
    match pulled {
        Pulled::Changed(shard) => shard,
        other => panic!("not changed: {other:?}"),
    }
}

/// Who says it: a reporter by number, each from a prefix of its own.
fn source(n: u16) -> Source {
    let [high, low] = n.to_be_bytes();
    let prefix = Some(crate::domain::Prefix::of([10, high, low, 1].into()));
    Source { peer: member(n + 10_000).peer, prefix, can_meet: true, end: crate::domain::End::default() }
}

/// Evidence with everything in it: several reporters, each total above zero.
fn rich_evidence(member: &Member, now: Timestamp) -> Evidence {
    let mut evidence = Evidence::new(now);
    for n in 0..20 {
        let receipt = Receipt {
            epoch: n,
            connected: n % 4 != 0,
            bytes: u64::from(n) << 20,
            busy_ms: 777 * u64::from(n),
            ok: 3 * u32::from(n),
            timeout: u32::from(n) / 3,
            bad: u32::from(n) / 7,
            connect_ms: None,
        };
        evidence.add(&source(n), &receipt, full_kbps(member), now + Duration::from_secs(n.into()));
    }
    let own = Counters { epoch: 9, down_bytes: 1 << 40, http_bytes: 1 << 20, up_bytes: 1 << 30, rebuffers: 77 };
    evidence.account(own, member.joined, now + Duration::from_secs(10));
    evidence
}

/// Nothing is kept but with the digits that are promised; all else exactly.
#[track_caller]
fn assert_kept(kept: Option<&Evidence>, expected: &Evidence) {
    let kept = kept.expect("something was said of it");
    let totals = |e: &Evidence| [e.connects, e.failures, e.ok, e.timeouts, e.bad, e.speed];
    for (kept, expected) in totals(kept).into_iter().zip(totals(expected)) {
        assert!((kept - expected).abs() <= expected / 10_000.0, "{kept} instead of {expected}");
    }
    let [connects, failures, ok, timeouts, bad, speed] = totals(expected);
    assert_eq!(*expected, Evidence { connects, failures, ok, timeouts, bad, speed, ..kept.clone() });
}
