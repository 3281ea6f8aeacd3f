//! Puts members where they belong: back after a loss, or into another shard when a swarm has grown.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    AT_THE_SAME_TIME, BEHIND, Command, MAX_SHARDS, MOST, Now, RedisStore, Request, Script, ShardKeys, bytes, list,
    records, scripts, shard_of, unexpected,
};
use crate::{
    domain::{PeerId, SwarmId},
    store::{Restored, StoreError},
};

/// A peer as it stands in a shard.
#[derive(Clone, Debug)]
pub struct Move {
    pub peer: PeerId,
    pub record: Vec<u8>,
    /// Empty: none.
    pub evidence: Vec<u8>,
    /// Negative: it left.
    pub seen: i64,
}

impl From<&Restored> for Move {
    fn from(restored: &Restored) -> Self {
        let Restored { member, evidence, seen } = restored;
        Self {
            peer: member.peer,
            record: records::member(member),
            evidence: evidence.as_ref().map(records::evidence).unwrap_or_default(),
            seen: i64::try_from(seen.0).unwrap_or(i64::MAX),
        }
    }
}

impl RedisStore {
    /// Puts peers into the shards where they belong in a swarm of so many.
    pub(super) async fn put(
        &self,
        command: Command,
        swarm: &SwarmId,
        peers: &[Move],
        count: u32,
        now: Now,
    ) -> Result<(), StoreError> {
        let mut by_shard = BTreeMap::<u32, Vec<&Move>>::new();
        for peer in peers {
            by_shard.entry(shard_of(&peer.peer, count)).or_default().push(peer);
        }
        let requests: Vec<_> = by_shard
            .iter()
            .flat_map(|(shard, peers)| {
                let keys = self.keys.shard(swarm, *shard);
                peers.chunks(MOST).map(move |peers| request(&scripts::RESTORE, &keys, peers, now)).collect::<Vec<_>>()
            })
            .map(|request| async move { self.run(command, swarm, request, BEHIND).await.map(drop) })
            .collect();
        stream::iter(requests).buffer_unordered(AT_THE_SAME_TIME).try_collect().await
    }

    /// Moves peers out of a shard, each unless it changes meanwhile. Harmless when two nodes do it.
    pub(super) async fn move_out(
        &self,
        swarm: &SwarmId,
        from: &ShardKeys,
        mut peers: Vec<Move>,
        now: Now,
    ) -> Result<(), StoreError> {
        let count = self.counts.of(swarm);
        // What is known of the swarm can have changed since they were found to be misplaced. Who belongs here after all
        // would be put where it is, and taken away then.
        peers.retain(|one| shard_of(&one.peer, count) != from.shard);
        for some in peers.chunks_mut(MOST) {
            let names: Vec<_> = some.iter().map(|one| one.peer.as_bytes().as_slice()).collect();
            let request = Request::to(from.tag).command("HMGET", &from.evidence, &names);
            let answers = self.connection.send(Command::Pull, &request, BEHIND).await?;
            let evidence = answers.first().and_then(list).filter(|list| list.len() == some.len());
            let evidence = evidence.ok_or_else(|| unexpected(Command::Pull))?;
            for (one, evidence) in some.iter_mut().zip(evidence) {
                one.evidence = bytes(evidence).unwrap_or_default().to_vec();
            }
            self.put(Command::Pull, swarm, some, count, now).await?;
            let some: Vec<_> = some.iter().collect();
            self.run(Command::Pull, swarm, request_of_take(from, &some, now), BEHIND).await?;
        }
        Ok(())
    }

    /// Doubles the number of shards.
    pub(super) async fn grow(&self, swarm: &SwarmId, now: Now) -> Result<(), StoreError> {
        let wanted = (self.counts.of(swarm) * 2).min(MAX_SHARDS).to_string().into_bytes();
        let request = Request::script(&scripts::GROW, &self.keys.shard(swarm, 0), now, vec![wanted]);
        self.run(Command::Pull, swarm, request, BEHIND).await.map(drop)
    }
}

fn request_of_take(from: &ShardKeys, peers: &[&Move], now: Now) -> Request {
    request(&scripts::TAKE, from, peers, now)
}

fn request(script: &'static Script, keys: &ShardKeys, peers: &[&Move], now: Now) -> Request {
    let arguments = peers.iter().flat_map(|one| {
        [one.peer.as_bytes().to_vec(), one.record.clone(), one.evidence.clone(), one.seen.to_string().into_bytes()]
    });
    Request::script(script, keys, now, arguments.collect())
}
