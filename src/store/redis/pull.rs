//! Reads whole shards, and keeps them in order: grows a swarm whose shards are full, moves who is in the wrong one, sweeps.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Value;

use super::{
    AT_THE_SAME_TIME, BEHIND, Command, MAX_SHARDS, MOST, Now, RedisStore, Request, ShardKeys,
    answers::pairs,
    bytes, list,
    moves::Move,
    number, peer, ranked,
    records::{self, Stored},
    scripts, shard_of, text, unexpected,
};
use crate::{
    domain::{PeerId, SwarmId, Timestamp},
    store::{Pulled, Shard, StoreError, Swept},
};

/// A version larger than the last by more than this is of a shard that began anew: it begins at milliseconds << 20.
const LEAP: u64 = 1 << 30;
/// Peers that one pull moves out of one shard at most.
const MOVES: usize = 2000;

/// One line of a shard.
struct Line {
    peer: PeerId,
    record: Vec<u8>,
    score: Value,
    seen: Value,
}

impl RedisStore {
    pub(super) async fn pull_shards(
        &self,
        swarm: &SwarmId,
        known: &[u64],
        now: Now,
    ) -> Result<Vec<Pulled>, StoreError> {
        let mut pulled = vec![self.pull_shard(swarm, 0, known.first().copied(), now).await?];
        // Peers only ever move from the lower half to the upper one when the number of shards doubles. Who is on the way
        // while we read is met in one or the other, or in both, as long as the upper half is read later.
        while pulled.len() < self.counts.of(swarm) as usize {
            let half = pulled.len();
            let shards = (half..half * 2).zip(0..).map(|(shard, place): (usize, u32)| {
                let number = u32::try_from(half).expect("at most 1,024") + place;
                self.pull_shard(swarm, number, known.get(shard).copied(), now)
            });
            let shards = stream::iter(shards.collect::<Vec<_>>()).buffered(AT_THE_SAME_TIME);
            pulled.extend(shards.try_collect::<Vec<_>>().await?);
        }
        let count = u32::try_from(pulled.len()).expect("at most 1,024");
        let is_full = |pulled: &Pulled, shard| match pulled {
            Pulled::Unchanged => false,
            Pulled::Changed(now) | Pulled::Lost(now) => {
                let here = now.members.iter().filter(|one| shard_of(&one.member.peer, count) == shard);
                here.count() > self.full
            }
        };
        if count < MAX_SHARDS && pulled.iter().zip(0..).any(|(pulled, shard)| is_full(pulled, shard)) {
            self.grow(swarm, now).await?;
        }
        Ok(pulled)
    }

    async fn pull_shard(
        &self,
        swarm: &SwarmId,
        shard: u32,
        known: Option<u64>,
        now: Now,
    ) -> Result<Pulled, StoreError> {
        let keys = self.keys.shard(swarm, shard);
        let mut request = Request::to(keys.tag).command("GET", &keys.version, &[]).command("HLEN", &keys.members, &[]);
        if let Some(shards) = &keys.shards {
            request = request.command("GET", shards, &[]);
        }
        let answers = self.connection.send(Command::Pull, &request, BEHIND).await?;
        if keys.shards.is_some() {
            self.counts.note(swarm, answers.get(2).and_then(number).unwrap_or(1));
        }
        let size = answers.get(1).and_then(number).and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| unexpected(Command::Pull))?;
        let version = version(answers.first())?;
        if known == Some(version) {
            return Ok(Pulled::Unchanged);
        }
        let (version, lines) = if version == 0 {
            (0, Vec::new())
        } else if size <= self.full + self.full / 4 {
            self.whole(&keys).await?
        } else {
            (version, self.in_pages(&keys, now).await?)
        };
        let (mut shard, misplaced) = self.shard(swarm, &keys, version, lines);
        if !misplaced.is_empty() {
            // They are read where they are now.
            let moved: HashSet<_> = misplaced.iter().map(|one| one.peer).collect();
            self.move_out(swarm, &keys, misplaced, now).await?;
            shard.members.retain(|one| !moved.contains(&one.member.peer));
            shard.left.retain(|(peer, _)| !moved.contains(peer));
        }
        Ok(match known {
            // A shard that was not there has nothing to lose.
            None | Some(0) => Pulled::Changed(shard),
            Some(known) if version < known || version - known > LEAP => Pulled::Lost(shard),
            Some(_) => Pulled::Changed(shard),
        })
    }

    /// Reads a shard at once. The version comes first: what changes while the rest is read is read again.
    async fn whole(&self, keys: &ShardKeys) -> Result<(u64, Vec<Line>), StoreError> {
        let all: &[&[u8]] = &[b"0", b"-1", b"WITHSCORES"];
        let request = Request::to(keys.tag)
            .command("GET", &keys.version, &[])
            .command("HGETALL", &keys.members, &[])
            .command("ZRANGE", &keys.ranking, all)
            .command("ZRANGE", &keys.seen, all);
        let answers = self.connection.send(Command::Pull, &request, BEHIND).await?;
        let version = version(answers.first())?;
        let read = || {
            let scores: HashMap<_, _> =
                pairs(&answers[2])?.into_iter().map(|(one, score)| (bytes(one), score)).collect();
            let seen: HashMap<_, _> = pairs(&answers[3])?.into_iter().map(|(one, seen)| (bytes(one), seen)).collect();
            let line = |(name, record): (&Value, &Value)| {
                let of =
                    |values: &HashMap<_, &Value>| values.get(&bytes(name)).map_or(Value::Nil, |value| (*value).clone());
                Some(Line { peer: peer(name)?, record: bytes(record)?.to_vec(), score: of(&scores), seen: of(&seen) })
            };
            Some(pairs(&answers[1])?.into_iter().filter_map(line).collect())
        };
        Ok((version, read().ok_or_else(|| unexpected(Command::Pull))?))
    }

    /// Reads a large shard piece by piece.
    async fn in_pages(&self, keys: &ShardKeys, now: Now) -> Result<Vec<Line>, StoreError> {
        let mut lines = HashMap::new();
        let mut cursor = b"0".to_vec();
        loop {
            let request = Request::script(&scripts::PAGE, keys, now, vec![cursor]);
            let answers = self.connection.send(Command::Pull, &request, BEHIND).await?;
            let page = || {
                let [next, page] = list(answers.first()?)? else { return None };
                let (page, _) = list(page)?.as_chunks();
                Some((bytes(next)?.to_vec(), page))
            };
            let (next, page) = page().ok_or_else(|| unexpected(Command::Pull))?;
            for [name, score, seen, record] in page {
                if let (Some(peer), Some(record)) = (peer(name), bytes(record)) {
                    let line = Line { peer, record: record.to_vec(), score: score.clone(), seen: seen.clone() };
                    // While a hash grows some come twice.
                    lines.insert(peer, line);
                }
            }
            if next == b"0" {
                return Ok(lines.into_values().collect());
            }
            cursor = next;
        }
    }

    /// Makes of lines what callers know, and says which belong into another shard.
    fn shard(&self, swarm: &SwarmId, keys: &ShardKeys, version: u64, lines: Vec<Line>) -> (Shard, Vec<Move>) {
        let mut shard = Shard { version, members: Vec::with_capacity(lines.len()), left: Vec::new() };
        let mut misplaced = Vec::new();
        let count = self.counts.of(swarm);
        for Line { peer, record, score, seen } in lines {
            let stored = records::read_member(peer, &record);
            if stored.is_some() && shard_of(&peer, count) != keys.shard && misplaced.len() < MOVES {
                let seen = number(&seen).unwrap_or_default();
                misplaced.push(Move { peer, record, evidence: Vec::new(), seen });
            }
            match stored {
                Some(Stored::Member(member)) => shard.members.push(ranked(member, &score, &seen)),
                Some(Stored::Left(at)) => shard.left.push((peer, at)),
                None => {}
            }
        }
        (shard, misplaced)
    }

    pub(super) async fn sweep_shards(
        &self,
        swarm: &SwarmId,
        since: Option<Timestamp>,
        now: Now,
    ) -> Result<Swept, StoreError> {
        let mut swept = self.sweep_shard(swarm, 0, since, now).await?;
        let rest: Vec<_> = (1..self.counts.of(swarm)).map(|shard| self.sweep_shard(swarm, shard, since, now)).collect();
        let mut rest = stream::iter(rest).buffer_unordered(AT_THE_SAME_TIME);
        while let Some(other) = rest.try_next().await? {
            swept.unlisted.extend(other.unlisted);
            swept.forgotten += other.forgotten;
        }
        Ok(swept)
    }

    async fn sweep_shard(
        &self,
        swarm: &SwarmId,
        shard: u32,
        since: Option<Timestamp>,
        now: Now,
    ) -> Result<Swept, StoreError> {
        let keys = self.keys.shard(swarm, shard);
        let low = since.map_or(0, |since| Now { now: since, ..now }.alive().0);
        let remembered = (now.now - self.remember).0;
        let mut swept = Swept::default();
        loop {
            let arguments = vec![text(low), text(remembered), text(swept.unlisted.len() as u64), text(MOST as u64)];
            let request = Request::script(&scripts::SWEEP, &keys, now, arguments);
            let answer = self.run(Command::Sweep, swarm, request, BEHIND).await?;
            let read = || {
                let [_, forgotten, silent] = answer.as_slice() else { return None };
                let silent = list(silent)?.iter().map(peer).collect::<Option<Vec<_>>>()?;
                Some((usize::try_from(number(forgotten)?).ok()?, silent))
            };
            let (forgotten, silent) = read().ok_or_else(|| unexpected(Command::Sweep))?;
            let is_done = forgotten < MOST && silent.len() < MOST;
            swept.forgotten += forgotten;
            swept.unlisted.extend(silent);
            if is_done {
                return Ok(swept);
            }
        }
    }
}

/// A version in an answer; 0 where there is none.
fn version(answer: Option<&Value>) -> Result<u64, StoreError> {
    match answer {
        Some(Value::Nil) => Ok(0),
        Some(value) => {
            let version = number(value).and_then(|version| u64::try_from(version).ok());
            version.ok_or_else(|| unexpected(Command::Pull))
        }
        None => Err(unexpected(Command::Pull)),
    }
}
