//! Memberships in a Redis Cluster: the store of several nodes.
//!
//! A swarm is cut into shards, each in one slot; what changes a shard is one script there. See `keys` for the layout.

mod answers;
mod bits;
mod connection;
mod hints;
pub mod keys;
mod learning;
mod lists;
mod metrics;
mod moves;
mod policies;
mod pull;
pub mod records;
mod scripts;
mod seek;
#[cfg(test)]
mod tests;
mod totals;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rand::RngExt;
use redis::Value;
use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::CancellationToken;

pub use connection::Settings;

use self::{
    answers::{all_but, bytes, list, number, peer, ranked},
    connection::{AT_ONCE, BEHIND, Connection},
    hints::Listener,
    keys::{FULL_SHARD, Keys, MAX_SHARDS, ShardKeys, shard_of},
    metrics::{Command, RedisMetrics},
    records::Stored,
    scripts::{Now, Request, Script, text, verdict},
    seek::{Answer, Question, ShardCounts},
};
use super::{Found, Gone, Judged, Known, Pulled, Restored, Steered, Store, StoreError, Swept};
use crate::domain::{Member, Outcomes, Pair, PeerId, PolicyOverrides, SwarmId, Timestamp, Totals};

/// Requests to different slots that one call has under way at once.
const AT_THE_SAME_TIME: usize = 12;
/// Members that one script of ours touches at most: a judgement of so many takes a millisecond or two.
const MOST: usize = 100;
/// A node counts as live for so long after its heartbeat.
const NODE_LIVES: Duration = Duration::from_secs(15);
/// Lifetime of the list of nodes.
const NODES_KEPT: Duration = Duration::from_mins(1);

/// A store in a Redis Cluster. `watch` and `listen` must run.
pub struct RedisStore {
    connection: Arc<Connection>,
    listener: Arc<Listener>,
    keys: Keys,
    counts: ShardCounts,
    remember: Duration,
    /// More members in a shard than this, and the number of shards doubles.
    full: usize,
    /// This node, among those that live.
    node: [u8; 16],
}

impl RedisStore {
    /// A store that connects as soon as `watch` runs; says what is wrong with the settings.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let metrics = Arc::new(RedisMetrics::new());
        let keys = Keys::new(&settings.key_prefix);
        Ok(Self {
            connection: Arc::new(Connection::new(settings, metrics)?),
            listener: Arc::new(Listener::new(settings.single_nodes()?, keys.gone())),
            keys,
            counts: ShardCounts::default(),
            remember: settings.remember,
            full: FULL_SHARD,
            node: rand::rng().random(),
        })
    }

    /// Connects, and stays connected, until told to stop.
    pub fn watch(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        self.connection.clone().watch(stop)
    }

    /// Waits until it is connected for the first time, or has found out in this time that it cannot be.
    pub async fn connected(&self, patience: Duration) {
        let _ = timeout(patience, self.connection.connected()).await;
    }

    /// Listens to other nodes' hints until told to stop.
    pub fn listen(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        self.listener.clone().run(stop)
    }

    fn now(&self, now: Timestamp) -> Now {
        Now { now, remember: self.remember }
    }

    /// Runs a script whose answer is a list that begins with how many shards the swarm has.
    async fn run(
        &self,
        command: Command,
        swarm: &SwarmId,
        request: Request,
        limit: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        let mut answers = self.connection.send(command, &request, limit).await?;
        let Some(Value::Array(answer)) = answers.pop() else { return Err(unexpected(command)) };
        let shards = answer.first().and_then(number).ok_or_else(|| unexpected(command))?;
        self.counts.note(swarm, shards);
        Ok(answer)
    }

    async fn touch_within(
        &self,
        swarm: &SwarmId,
        seen: &[(PeerId, Timestamp)],
        now: Now,
        limit: Duration,
    ) -> Result<Vec<PeerId>, StoreError> {
        let question = Question {
            command: Command::Touch,
            limit,
            peer: |(peer, _): &(PeerId, Timestamp)| *peer,
            ask: &|keys, seen| {
                let arguments = seen.iter().flat_map(|(peer, at)| [peer.as_bytes().to_vec(), text(at.0)]);
                Request::script(&scripts::TOUCH, keys, now, arguments.collect())
            },
            read: &|seen, answers| {
                let [shards, strangers] = list(answers.first()?)? else { return None };
                Some(Answer { shards: number(shards)?, found: all_but(seen.len(), strangers)? })
            },
        };
        let found = self.seek(swarm, seen, &question).await?;
        self.keep_count(swarm, limit).await?;
        Ok(seen.iter().zip(found).filter(|(_, found)| found.is_none()).map(|((peer, _), _)| *peer).collect())
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn join(&self, swarm: &SwarmId, member: Member, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        let now = self.now(now);
        let record = records::member(&member);
        let mut home = shard_of(&member.peer, self.counts.of(swarm));
        let found = loop {
            let keys = self.keys.shard(swarm, home);
            let arguments = vec![member.peer.as_bytes().to_vec(), text(sample as u64), record.clone()];
            let found = self.candidates(Command::Join, &scripts::JOIN, (swarm, &keys), arguments, now).await?;
            // The swarm may have more shards than this node knew; who joined in the wrong one is moved in time.
            let now_home = shard_of(&member.peer, self.counts.of(swarm));
            if now_home == home {
                break found;
            }
            home = now_home;
        };
        self.keep_count(swarm, AT_ONCE).await?;
        self.widened(Command::Join, swarm, home, sample, found, now).await
    }

    async fn find(&self, swarm: &SwarmId, caller: PeerId, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        let now = self.now(now);
        let home = shard_of(&caller, self.counts.of(swarm));
        let keys = self.keys.shard(swarm, home);
        let arguments = vec![caller.as_bytes().to_vec(), text(sample as u64)];
        let mut found = self.candidates(Command::Find, &scripts::FIND, (swarm, &keys), arguments, now).await?;
        if !found.joined && self.counts.of(swarm) > 1 {
            found.joined = self.touch_within(swarm, &[(caller, now.now)], now, AT_ONCE).await?.is_empty();
        }
        self.widened(Command::Find, swarm, home, sample, found, now).await
    }

    async fn touch(
        &self,
        swarm: &SwarmId,
        seen: &[(PeerId, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<PeerId>, StoreError> {
        self.touch_within(swarm, seen, self.now(now), BEHIND).await
    }

    async fn leave(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError> {
        let question = Question {
            command: Command::Leave,
            limit: AT_ONCE,
            peer: |peer: &PeerId| *peer,
            ask: &|keys, peers| {
                let arguments = peers.iter().flat_map(|peer| [peer.as_bytes().to_vec(), records::left(now)]);
                Request::script(&scripts::LEAVE, keys, self.now(now), arguments.collect())
            },
            read: &|_, answers| {
                let [shards, was] = list(answers.first()?)? else { return None };
                Some(Answer { shards: number(shards)?, found: vec![(number(was)? == 1).then_some(())] })
            },
        };
        Ok(self.seek(swarm, &[peer], &question).await?[0].is_some())
    }

    async fn restore(&self, swarm: &SwarmId, members: &[Restored], now: Timestamp) -> Result<(), StoreError> {
        let moves = members.iter().map(moves::Move::from).collect::<Vec<_>>();
        let count = self.counts.of(swarm);
        self.put(Command::Restore, swarm, &moves, count, self.now(now)).await?;
        // A node that has just come up knows of one shard only; what it has put there is moved in time.
        let now_count = self.counts.of(swarm);
        if now_count != count {
            self.put(Command::Restore, swarm, &moves, now_count, self.now(now)).await?;
        }
        self.keep_count(swarm, BEHIND).await
    }

    async fn known(&self, swarm: &SwarmId, peers: &[PeerId]) -> Result<Vec<Option<Known>>, StoreError> {
        let question = Question {
            command: Command::Known,
            limit: BEHIND,
            peer: |peer: &PeerId| *peer,
            ask: &|keys, peers| {
                let peers: Vec<_> = peers.iter().map(|peer| peer.as_bytes().as_slice()).collect();
                let request = Request::to(keys.tag)
                    .command("HMGET", &keys.members, &peers)
                    .command("HMGET", &keys.evidence, &peers)
                    .command("ZMSCORE", &keys.ranking, &peers)
                    .command("ZMSCORE", &keys.seen, &peers);
                match &keys.shards {
                    Some(shards) => request.command("GET", shards, &[]),
                    None => request,
                }
            },
            read: &|peers, answers| {
                let (members, evidence) = (list(answers.first()?)?, list(answers.get(1)?)?);
                let (scores, seen) = (list(answers.get(2)?)?, list(answers.get(3)?)?);
                let known = |(place, peer): (usize, &&PeerId)| {
                    let Some(Stored::Member(member)) = records::read_member(**peer, bytes(members.get(place)?)?) else {
                        return None;
                    };
                    Some(Known {
                        ranked: ranked(member, scores.get(place)?, seen.get(place)?),
                        evidence: bytes(evidence.get(place)?).and_then(records::read_evidence),
                    })
                };
                let shards = answers.get(4).map_or(0, |count| number(count).unwrap_or(1));
                Some(Answer { shards, found: peers.iter().enumerate().map(known).collect() })
            },
        };
        self.seek(swarm, peers, &question).await
    }

    async fn judge(&self, swarm: &SwarmId, judged: &[Judged], now: Timestamp) -> Result<Vec<PeerId>, StoreError> {
        let now = self.now(now);
        let question = Question {
            command: Command::Judge,
            limit: BEHIND,
            peer: |judged: &Judged| judged.member.peer,
            ask: &|keys, judged| {
                let arguments = judged.iter().flat_map(|judged| verdict(judged));
                Request::script(&scripts::JUDGE, keys, now, arguments.collect())
            },
            read: &|judged, answers| {
                let [shards, strangers, losers] = list(answers.first()?)? else { return None };
                let mut found =
                    all_but(judged.len(), strangers)?.into_iter().map(|is| is.map(|()| true)).collect::<Vec<_>>();
                for loser in list(losers)? {
                    *found.get_mut(usize::try_from(number(loser)?).ok()?)? = Some(false);
                }
                Some(Answer { shards: number(shards)?, found })
            },
        };
        let stored = self.seek(swarm, judged, &question).await?;
        self.keep_count(swarm, BEHIND).await?;
        let losers = judged.iter().zip(stored).filter(|(_, stored)| *stored == Some(false));
        Ok(losers.map(|(judged, _)| judged.member.peer).collect())
    }

    async fn pull(&self, swarm: &SwarmId, known: &[u64], now: Timestamp) -> Result<Vec<Pulled>, StoreError> {
        self.pull_shards(swarm, known, self.now(now)).await
    }

    async fn sweep(&self, swarm: &SwarmId, since: Option<Timestamp>, now: Timestamp) -> Result<Swept, StoreError> {
        self.sweep_shards(swarm, since, self.now(now)).await
    }

    async fn account(&self, swarm: &SwarmId, new: Totals, now: Timestamp) -> Result<(), StoreError> {
        self.add_totals(swarm, new, self.now(now)).await
    }

    async fn totals(&self, swarm: &SwarmId) -> Result<Totals, StoreError> {
        self.read_totals(swarm).await
    }

    async fn learn(&self, counted: &[(Pair, Outcomes)], now: Timestamp) -> Result<(), StoreError> {
        self.add_outcomes(counted, now).await
    }

    async fn learned(&self, now: Timestamp) -> Result<Vec<(Pair, Outcomes)>, StoreError> {
        self.read_outcomes(now).await
    }

    async fn steer(
        &self,
        swarm: &SwarmId,
        policy: Option<(PolicyOverrides, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write_policy(swarm, policy, now).await
    }

    async fn steered(&self, now: Timestamp) -> Result<Vec<Steered>, StoreError> {
        self.read_policies(now).await
    }

    async fn tell(&self, gone: &[Gone]) -> Result<(), StoreError> {
        let (_, tag) = self.keys.nodes();
        let channel = self.keys.gone();
        for message in hints::messages(gone) {
            let request = Request::to(tag).command("PUBLISH", &channel, &[&message]);
            self.connection.send(Command::Tell, &request, BEHIND).await?;
        }
        Ok(())
    }

    fn hear(&self) -> broadcast::Receiver<Gone> {
        self.listener.hear()
    }

    async fn announce(&self, now: Timestamp) -> Result<usize, StoreError> {
        let (nodes, tag) = self.keys.nodes();
        let (at, dead) = (text(now.0), text((now - NODE_LIVES).0));
        let request = Request::to(tag)
            .command("ZADD", &nodes, &[&at, &self.node])
            .command("ZREMRANGEBYSCORE", &nodes, &[b"-inf", &dead])
            .command("ZCARD", &nodes, &[])
            .command("PEXPIRE", &nodes, &[&text(millis(NODES_KEPT))]);
        let answers = self.connection.send(Command::Announce, &request, BEHIND).await?;
        let live = answers.get(2).and_then(number).and_then(|live| usize::try_from(live).ok());
        let heartbeat = Request::to(tag).command("PUBLISH", &self.keys.gone(), &[&hints::heartbeat()]);
        self.connection.send(Command::Tell, &heartbeat, BEHIND).await?;
        live.ok_or_else(|| unexpected(Command::Announce))
    }

    fn missing(&self) -> Option<String> {
        self.connection.missing()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn unexpected(command: Command) -> StoreError {
    StoreError::Away(format!("an answer to {command:?} that cannot be read"))
}
