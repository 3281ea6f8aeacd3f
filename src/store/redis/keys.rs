//! Every key in Redis, with its type and lifetime.
//!
//! | key | type | holds | of |
//! |---|---|---|---|
//! | `<prefix>:{<tag>}:members:<swarm>:<shard>` | HASH | peer (16 bytes) -> record of a member, or of its leaving | a shard |
//! | `<prefix>:{<tag>}:ranking:<swarm>:<shard>` | ZSET | peer -> score in ten-thousandths; only who may be offered | a shard |
//! | `<prefix>:{<tag>}:evidence:<swarm>:<shard>` | HASH | peer -> record of what was said of it | a shard |
//! | `<prefix>:{<tag>}:seen:<swarm>:<shard>` | ZSET | peer -> last sign of life in ms; negative: when it left | a shard |
//! | `<prefix>:{<tag>}:version:<swarm>:<shard>` | INT | grows with every change; begins at ms << 20 | a shard |
//! | `<prefix>:{<tag>}:shards:<swarm>:0` | INT | number of shards, a power of two that only grows; absent: 1 | a swarm |
//! | `<prefix>:{<tag>}:totals:<swarm>:0` | HASH | p2p, http, up (bytes), rebuffers, connects, `connect_ms` -> sum over all viewers' reports | a swarm |
//! | `<prefix>:{<tag>}:nat-classes:<hour>` | HASH | `<kind>,<kind>,o` and `...,f` -> hundredths of attempts between two kinds of NAT that opened, failed | all |
//! | `<prefix>:{<tag>}:nat-networks:<hour>` | HASH | `<ASN>,<ASN>,o` and `...,f` -> the same between two networks; at most 4,096 pairs | all |
//! | `<prefix>:{<tag>}:policies` | HASH | swarm -> its end and what it changes, as JSON; at most 10,000 | all |
//! | `<prefix>:{<tag>}:nodes` | ZSET | node (16 bytes) -> last heartbeat in ms | all |
//! | `<prefix>:gone` | channel | who is gone, and heartbeats | all |
//!
//! Whatever writes to a shard renews the lifetime of all its keys to `store.remember`, so that all of a dead swarm goes. `nodes`
//! lives for a minute, an hour's counts (hours since the Unix epoch) for four hours, `policies` for 90 days after the last
//! one was written.

use std::{hash::Hasher, sync::LazyLock};

use fnv::FnvHasher;

use crate::domain::{PeerId, SwarmId};

/// More members in a shard than this, and the number of shards doubles. A command on 2,000 takes a millisecond.
pub const FULL_SHARD: usize = 2000;
/// Most shards of a swarm.
pub const MAX_SHARDS: u32 = 1024;
/// Hash tags: tag `t` is in one of the slots from `16 * t` to `16 * t + 15`, so tags spread over masters as slots do.
pub const TAGS: usize = 1024;
/// How far apart the tags of a swarm's shards are: odd, so that it meets all of them, and near `TAGS` divided by the
/// golden ratio, so that a few are far apart.
const STRIDE: u64 = 633;

static TAG_TABLE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut table = vec![String::new(); TAGS];
    let mut left = TAGS;
    for number in 0_u32.. {
        let tag = format!("{number:x}");
        let entry = &mut table[usize::from(slot(tag.as_bytes())) * TAGS / 16384];
        if entry.is_empty() {
            *entry = tag;
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    table
});

/// The slot of a hash tag: CRC-16/XMODEM, as the cluster specification has it.
fn slot(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    });
    crc % 16384
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = FnvHasher::default();
    hash.write(bytes);
    hash.finish()
}

/// The shard that a peer belongs to in a swarm of so many.
pub fn shard_of(peer: &PeerId, shards: u32) -> u32 {
    let hash = fnv1a(peer.as_bytes()) & u64::from(shards - 1);
    u32::try_from(hash).expect("less than the number of shards")
}

/// Other shards that it can be in, because the swarm had fewer when it joined.
pub fn former_shards_of(peer: &PeerId, shards: u32) -> impl Iterator<Item = u32> {
    let mut last = shard_of(peer, shards);
    let counts = std::iter::successors(Some(shards / 2), |count| Some(count / 2)).take_while(|count| *count > 0);
    counts.map(|count| shard_of(peer, count)).filter(move |shard| std::mem::replace(&mut last, *shard) != *shard)
}

/// Makes all keys.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// The keys of one shard: all in one slot.
#[derive(Clone, Debug)]
pub struct ShardKeys {
    /// The number of the shard in its swarm.
    pub shard: u32,
    /// The number of its tag.
    pub tag: usize,
    /// HASH peer -> member.
    pub members: String,
    /// ZSET peer -> score.
    pub ranking: String,
    /// HASH peer -> evidence.
    pub evidence: String,
    /// ZSET peer -> last sign of life.
    pub seen: String,
    /// INT.
    pub version: String,
    /// INT; in shard 0 only.
    pub shards: Option<String>,
    /// HASH; in shard 0 only.
    pub totals: Option<String>,
}

impl ShardKeys {
    /// In the order in which scripts know them.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        [&self.members, &self.ranking, &self.evidence, &self.seen, &self.version]
            .into_iter()
            .chain(&self.shards)
            .chain(&self.totals)
            .map(String::as_str)
    }
}

impl Keys {
    /// Keys that begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The keys of a shard.
    pub fn shard(&self, swarm: &SwarmId, shard: u32) -> ShardKeys {
        let tag = fnv1a(swarm.as_str().as_bytes()).wrapping_add(u64::from(shard) * STRIDE) % TAGS as u64;
        let tag = usize::try_from(tag).expect("less than 1,024");
        let key = |kind: &str| format!("{}:{{{}}}:{kind}:{swarm}:{shard}", self.prefix, TAG_TABLE[tag]);
        ShardKeys {
            shard,
            tag,
            members: key("members"),
            ranking: key("ranking"),
            evidence: key("evidence"),
            seen: key("seen"),
            version: key("version"),
            shards: (shard == 0).then(|| key("shards")),
            totals: (shard == 0).then(|| key("totals")),
        }
    }

    /// ZSET node -> last heartbeat; and the number of its tag.
    pub fn nodes(&self) -> (String, usize) {
        (format!("{}:{{{}}}:nodes", self.prefix, TAG_TABLE[0]), 0)
    }

    /// The two HASH keys of an hour's counts: of kinds of NAT, and of networks; and the number of their tag.
    pub fn outcomes(&self, hour: u64) -> ([String; 2], usize) {
        let key = |kind: &str| format!("{}:{{{}}}:{kind}:{hour}", self.prefix, TAG_TABLE[TAGS / 3]);
        ([key("nat-classes"), key("nat-networks")], TAGS / 3)
    }

    /// HASH swarm -> policy; and the number of its tag.
    pub fn policies(&self) -> (String, usize) {
        (format!("{}:{{{}}}:policies", self.prefix, TAG_TABLE[TAGS * 2 / 3]), TAGS * 2 / 3)
    }

    /// A key that is never written, to see whether whoever serves this tag answers.
    pub fn probe(&self, tag: usize) -> String {
        format!("{}:{{{}}}:probe", self.prefix, TAG_TABLE[tag])
    }

    /// The channel of hints.
    pub fn gone(&self) -> String {
        format!("{}:gone", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tags_are_spread_over_all_slots_and_never_change() {
        assert_eq!(slot(b"123456789"), 0x31c3, "the example of the cluster specification");
        for (number, tag) in TAG_TABLE.iter().enumerate() {
            assert_eq!(usize::from(slot(tag.as_bytes())) / 16, number, "{tag}");
        }
        assert_eq!([&TAG_TABLE[0], &TAG_TABLE[1], &TAG_TABLE[1023]], ["2dd", "491", "2ad"]);
    }

    #[test]
    fn the_shards_of_a_swarm_have_different_tags() {
        let keys = Keys::new("test");
        let swarm = SwarmId::parse("movie/42").unwrap();
        let tags: HashSet<_> = (0..MAX_SHARDS).map(|shard| keys.shard(&swarm, shard).tag).collect();
        assert_eq!(tags.len(), TAGS);
        let shard = keys.shard(&swarm, 0);
        let tags: HashSet<_> = shard.all().map(|key| key.split(['{', '}']).nth(1).unwrap()).collect();
        assert_eq!((shard.all().count(), tags.len()), (7, 1), "{shard:?}");
        assert!(shard.members.ends_with(":members:movie/42:0"), "{}", shard.members);
    }

    #[test]
    fn a_peer_moves_to_the_double_of_its_shard_or_stays() {
        for n in 0..200 {
            let peer = PeerId::from_bytes([n; 16]);
            for shards in [1, 2, 64, 512] {
                let (before, after) = (shard_of(&peer, shards), shard_of(&peer, shards * 2));
                assert!(after == before || after == before + shards);
                assert!(after == before || former_shards_of(&peer, shards * 2).any(|shard| shard == before));
            }
            assert_eq!(former_shards_of(&peer, 1).count(), 0);
        }
    }
}
