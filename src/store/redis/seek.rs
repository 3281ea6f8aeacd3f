//! How peers are found whose shard can have changed: first where they belong, then where they did when the swarm had
//! fewer shards.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use redis::Value;

use super::{
    AT_THE_SAME_TIME, MAX_SHARDS, MOST, RedisStore,
    keys::{ShardKeys, former_shards_of, shard_of},
    metrics::Command,
    number,
    scripts::Request,
    unexpected,
};
use crate::{
    domain::{PeerId, SwarmId},
    store::StoreError,
};

/// Swarms of more than one shard that a node remembers the number of.
const REMEMBERED: usize = 10_000;

/// How many shards swarms have, as far as this node knows. Where it does not, it takes them to have one: shard 0, which
/// it then asks, knows better.
#[derive(Default)]
pub struct ShardCounts(Mutex<HashMap<SwarmId, Count>>);

struct Count {
    shards: u32,
    /// When the key that holds it was last given a longer life.
    kept: Instant,
}

impl ShardCounts {
    /// Of this swarm.
    pub fn of(&self, swarm: &SwarmId) -> u32 {
        self.0.lock().get(swarm).map_or(1, |count| count.shards)
    }

    /// Takes note of what a shard said; 0: it does not know.
    pub fn note(&self, swarm: &SwarmId, shards: i64) {
        let Some(shards) =
            u32::try_from(shards).ok().filter(|shards| shards.is_power_of_two() && *shards <= MAX_SHARDS)
        else {
            return;
        };
        let mut counts = self.0.lock();
        if shards == 1 {
            counts.remove(swarm);
        } else if let Some(count) = counts.get_mut(swarm) {
            count.shards = shards;
        } else {
            if counts.len() >= REMEMBERED {
                counts.clear();
            }
            counts.insert(swarm.clone(), Count { shards, kept: Instant::now() });
        }
    }

    /// Whether it is time to give the key a longer life. Says yes once.
    fn is_to_be_kept(&self, swarm: &SwarmId, every: Duration) -> bool {
        let mut counts = self.0.lock();
        let due = counts.get_mut(swarm).filter(|count| count.kept.elapsed() >= every);
        due.map(|count| count.kept = Instant::now()).is_some()
    }
}

/// What is asked of each of many items at the shards where they are.
pub struct Question<'a, T, R> {
    pub command: Command,
    /// What each request may take.
    pub limit: Duration,
    /// Whom an item is about.
    pub peer: fn(&T) -> PeerId,
    /// The request about some items to one shard.
    pub ask: &'a Ask<'a, T>,
    /// Reads its answers.
    pub read: &'a Read<'a, T, R>,
}

type Ask<'a, T> = dyn Fn(&ShardKeys, &[&T]) -> Request + Send + Sync + 'a;
type Read<'a, T, R> = dyn Fn(&[&T], &[Value]) -> Option<Answer<R>> + Send + Sync + 'a;

/// What one shard says.
pub struct Answer<R> {
    /// How many shards the swarm has; 0: it does not know.
    pub shards: i64,
    /// About each item; `None`: not here.
    pub found: Vec<Option<R>>,
}

impl RedisStore {
    /// Asks about each item where its peer is.
    pub(super) async fn seek<T: Sync, R: Send>(
        &self,
        swarm: &SwarmId,
        items: &[T],
        question: &Question<'_, T, R>,
    ) -> Result<Vec<Option<R>>, StoreError> {
        let mut found: Vec<_> = items.iter().map(|_| None).collect();
        let count = self.counts.of(swarm);
        let peers: Vec<_> = items.iter().map(question.peer).collect();
        let homes = |count| move |(place, peer): (usize, &PeerId)| (shard_of(peer, count), place);
        let first: Vec<_> = peers.iter().enumerate().map(homes(count)).collect();
        self.ask_at(swarm, items, &first, question, &mut found).await?;
        if count > 1 && found.iter().any(Option::is_none) {
            self.refresh_count(swarm, question.command, question.limit).await?;
        }
        // Who is not where it belongs, as far as we knew, can be where it belonged before. Who was found there belongs
        // somewhere else now, and may be there too.
        let now_count = self.counts.of(swarm);
        let mut others = Vec::new();
        for (place, peer) in peers.iter().enumerate() {
            others.push(homes(now_count)((place, peer)));
            if found[place].is_none() {
                others.extend(former_shards_of(peer, now_count).map(|shard| (shard, place)));
            }
        }
        others.retain(|(shard, place)| *shard != first[*place].0);
        self.ask_at(swarm, items, &others, question, &mut found).await?;
        // It can have been moved between the two looks.
        if now_count > 1 {
            let missing = |(place, _): &(usize, &PeerId)| found[*place].is_none();
            let last: Vec<_> = peers.iter().enumerate().filter(missing).map(homes(now_count)).collect();
            self.ask_at(swarm, items, &last, question, &mut found).await?;
        }
        Ok(found)
    }

    /// Asks about items (by their place in the list) at shards.
    async fn ask_at<T: Sync, R: Send>(
        &self,
        swarm: &SwarmId,
        items: &[T],
        places: &[(u32, usize)],
        question: &Question<'_, T, R>,
        found: &mut [Option<R>],
    ) -> Result<(), StoreError> {
        let mut by_shard = BTreeMap::<u32, Vec<usize>>::new();
        for (shard, place) in places {
            by_shard.entry(*shard).or_default().push(*place);
        }
        let requests: Vec<_> = by_shard
            .iter()
            .flat_map(|(shard, places)| {
                let keys = self.keys.shard(swarm, *shard);
                places.chunks(MOST).map(move |places| (keys.clone(), places))
            })
            .map(|(keys, places)| async move {
                let about: Vec<_> = places.iter().map(|place| &items[*place]).collect();
                let request = (question.ask)(&keys, &about);
                let answers = self.connection.send(question.command, &request, question.limit).await?;
                let answer = (question.read)(&about, &answers).filter(|answer| answer.found.len() == places.len());
                let answer = answer.ok_or_else(|| unexpected(question.command))?;
                self.counts.note(swarm, answer.shards);
                Ok((places, answer))
            })
            .collect();
        let mut answers = stream::iter(requests).buffer_unordered(AT_THE_SAME_TIME);
        while let Some((places, answer)) = answers.try_next().await? {
            for (place, one) in places.iter().zip(answer.found) {
                if one.is_some() {
                    found[*place] = one;
                }
            }
        }
        Ok(())
    }

    /// Asks how many shards a swarm has.
    async fn refresh_count(&self, swarm: &SwarmId, command: Command, limit: Duration) -> Result<(), StoreError> {
        let keys = self.keys.shard(swarm, 0);
        let name = keys.shards.as_deref().expect("shard 0 has the number");
        let answers = self.connection.send(command, &Request::to(keys.tag).command("GET", name, &[]), limit).await?;
        self.counts.note(swarm, answers.first().and_then(number).unwrap_or(1));
        Ok(())
    }

    /// Keeps the number of shards alive, which nobody renews who writes to other shards than the first.
    pub(super) async fn keep_count(&self, swarm: &SwarmId, limit: Duration) -> Result<(), StoreError> {
        if self.counts.is_to_be_kept(swarm, self.remember / 4) {
            let keys = self.keys.shard(swarm, 0);
            let name = keys.shards.as_deref().expect("shard 0 has the number");
            let life = self.remember.as_millis().max(1).to_string().into_bytes();
            let request = Request::to(keys.tag).command("PEXPIRE", name, &[&life]);
            self.connection.send(Command::Touch, &request, limit).await?;
        }
        Ok(())
    }
}
