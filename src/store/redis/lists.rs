//! What lists are made of: one shard's sample and, where that is not enough, others'.

use rand::seq::SliceRandom;

use super::{
    AT_ONCE, AT_THE_SAME_TIME, Command, Now, RedisStore, Request, Script, ShardKeys, answers::candidates, list, number,
    scripts, unexpected,
};
use crate::{
    domain::{Ranked, SwarmId},
    store::{Found, StoreError},
};

impl RedisStore {
    /// Joins or finds at one shard.
    pub(super) async fn candidates(
        &self,
        command: Command,
        script: &'static Script,
        at: (&SwarmId, &ShardKeys),
        arguments: Vec<Vec<u8>>,
        now: Now,
    ) -> Result<Found, StoreError> {
        let request = Request::script(script, at.1, now, arguments);
        let answer = self.run(command, at.0, request, AT_ONCE).await?;
        let found = || {
            let [_, size, joined, found] = answer.as_slice() else { return None };
            Some(Found {
                candidates: candidates(list(found)?)?,
                swarm_size: usize::try_from(number(size)?).ok()?,
                joined: number(joined)? == 1,
            })
        };
        found().ok_or_else(|| unexpected(command))
    }

    /// Makes of what one shard found what the swarm has: where that is not enough, others are asked.
    pub(super) async fn widened(
        &self,
        command: Command,
        swarm: &SwarmId,
        home: u32,
        sample: usize,
        mut found: Found,
        now: Now,
    ) -> Result<Found, StoreError> {
        let shards = self.counts.of(swarm);
        let mut asked = 1;
        if found.candidates.len() < sample && shards > 1 {
            let mut others: Vec<_> = (0..shards).filter(|shard| *shard != home).collect();
            others.shuffle(&mut rand::rng());
            others.truncate(AT_THE_SAME_TIME);
            let arguments = vec![sample.to_string().into_bytes()];
            let places: Vec<_> = others.iter().map(|shard| self.keys.shard(swarm, *shard)).collect();
            let ask = |keys| self.candidates(command, &scripts::LOOK, (swarm, keys), arguments.clone(), now);
            for other in futures_util::future::try_join_all(places.iter().map(ask)).await? {
                found.swarm_size += other.swarm_size;
                // One that is being moved can be in two.
                let new = |one: &Ranked| found.candidates.iter().all(|known| known.member.peer != one.member.peer);
                let new: Vec<_> = other.candidates.into_iter().filter(new).collect();
                found.candidates.extend(new);
                asked += 1;
            }
        }
        if found.candidates.len() > sample {
            found.candidates.shuffle(&mut rand::rng());
            found.candidates.truncate(sample);
        }
        found.swarm_size = found.swarm_size * shards as usize / asked;
        Ok(found)
    }
}
