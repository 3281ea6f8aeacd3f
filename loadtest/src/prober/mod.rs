//! What a viewer notices when the store breaks: in a few swarms on every master of the Redis Cluster somebody asks both
//! backends for lists all the time, others come and go, and reports bring scores. `record` judges what it saw.

mod call;
mod record;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::{cluster::Cluster, stack::Stack};

pub use call::{Client, Door};
pub use record::{Calls, Effect, Findings, Record, Seen};

/// Swarms on each master. The first of them is among the slots that a reshard moves.
const PER_MASTER: usize = 2;
/// Slots that a reshard moves: the lowest of its master.
pub const MOVED: u16 = 500;
/// Names that are tried for these swarms: one in 33 is among those slots.
const NAMES: usize = 400;
/// Members of each swarm that stay, ask for lists and report.
const RESIDENTS: usize = 4;
/// Each of them asks so often, both backends in turn: a backend is asked twice as often by all of them together.
const ASKS: Duration = Duration::from_millis(500);
/// How many of its questions make a report.
const ASKS_PER_REPORT: u64 = 4;
/// Between somebody's coming and going, by each backend in each swarm.
const CHANGES: Duration = Duration::from_millis(700);
/// Scores have risen when the lowest is twice that of somebody new, ...
const RISEN: f64 = 0.30;
/// ... and no more than this times what it was ...
const STEADY: f64 = 1.05;
/// ... so long ago, which is longer than the time between two looks at a swarm: an older look shows the same.
const STEADY_FOR: Duration = Duration::from_secs(12);
/// How long that may take. They rise by 0.1 in 10 s.
const RISING: Duration = Duration::from_mins(2);
/// More than there are members.
const WANT: usize = 16;

/// Who looks, until it is told to stop.
pub struct Prober {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    door: Door,
    swarms: Vec<String>,
    record: Mutex<Record>,
    began: Instant,
}

impl Prober {
    /// Finds swarms on every master, and begins. The token is for swarms that begin with `swarms`.
    pub async fn start(stack: &Stack, swarms: &str, seed: u64) -> anyhow::Result<Self> {
        let backends = vec![stack.proxy(0), stack.proxy(1)];
        let door = Door::new(backends, stack.secret().to_owned(), stack.token(swarms)?)?;
        let swarms = place(&door, stack.cluster()?, &format!("{swarms}{seed:x}/probe/")).await?;
        let record = Mutex::new(Record::new(swarms.len(), door.backends()));
        let shared = Arc::new(Shared { door, swarms, record, began: Instant::now() });
        let mut tasks = JoinSet::new();
        for swarm in 0..shared.swarms.len() {
            for number in 0..RESIDENTS {
                let client = shared.door.connect(number % 2).await?;
                shared.record.lock().resident(swarm, &client.peer);
                tasks.spawn(Resident::new(shared.clone(), swarm, number, client).run());
            }
            for backend in 0..shared.door.backends() {
                tasks.spawn(come_and_go(shared.clone(), swarm, backend));
            }
        }
        Ok(Self { shared, tasks })
    }

    /// Waits until scores have risen well above those of newcomers, so that losing them shows, and rise no more, so that
    /// nothing else shows.
    pub async fn risen(&self) -> anyhow::Result<()> {
        let end = Instant::now() + RISING;
        let mut past = VecDeque::new();
        loop {
            let now = Instant::now();
            let lowest = self.shared.record.lock().lowest_score().unwrap_or_default();
            past.push_back((now, lowest));
            while past.get(1).is_some_and(|(at, _)| *at + STEADY_FOR <= now) {
                past.pop_front();
            }
            let (at, before) = past[0];
            if at + STEADY_FOR <= now && before >= RISEN && lowest <= before * STEADY {
                return Ok(());
            }
            ensure!(now < end, "scores do not rise and stay: the lowest is {lowest} after {RISING:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Something breaks now.
    pub fn breaks(&self) {
        self.shared.record.lock().breaks(self.shared.now());
    }

    /// What had broken works again.
    pub fn repaired(&self) {
        self.shared.record.lock().repaired(self.shared.now());
    }

    /// Waits until lists are fresh and scores whole everywhere. When that takes too long, the record will say so.
    pub async fn well(&self, patience: Duration) {
        let end = Instant::now() + patience;
        while !self.shared.record.lock().is_well(self.shared.now()) && Instant::now() < end {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What it found.
    pub async fn stop(mut self) -> Findings {
        let end = self.shared.now();
        self.tasks.shutdown().await;
        let (swarms, backends) = (self.shared.swarms.len(), self.shared.door.backends());
        std::mem::replace(&mut *self.shared.record.lock(), Record::new(swarms, backends)).finish(end)
    }
}

/// Names of swarms, so many on each master: somebody joins many, and their keys tell.
async fn place(door: &Door, cluster: &Cluster, prefix: &str) -> anyhow::Result<Vec<String>> {
    let scout = async |number: usize| {
        let (client, swarm) = (door.connect(0).await?, format!("{prefix}{number:03}"));
        door.call(0, &client, "join", json!({ "swarm": swarm, "want": 0 })).await.context("a first join")?;
        anyhow::Ok((client, swarm))
    };
    let mut scouts = Vec::new();
    for number in 0..NAMES {
        scouts.push(scout(number).await?);
    }
    let mut chosen = Vec::new();
    for master in cluster.masters().await? {
        let keys = cluster.ask(master, &["--scan", "--pattern", &format!("*{prefix}*")]).await?;
        let first = cluster.first_slot(master).await?;
        let mut here: BTreeMap<&str, u16> = BTreeMap::new();
        for (swarm, key) in scouts
            .iter()
            .filter_map(|(_, swarm)| Some((swarm.as_str(), keys.lines().find(|key| key.contains(swarm.as_str()))?)))
        {
            here.insert(swarm, slot(key));
        }
        let low = here.iter().find(|(_, slot)| **slot < first + MOVED);
        let (low, _) = low.with_context(|| format!("none of {NAMES} swarms is low on master {master}"))?;
        let others = here.keys().filter(|swarm| *swarm != low).take(PER_MASTER - 1);
        chosen.extend(std::iter::once(low).chain(others).map(|swarm| (*swarm).to_owned()));
    }
    for (client, swarm) in &scouts {
        door.call(0, client, "leave", json!({ "swarm": swarm })).await?;
    }
    Ok(chosen)
}

/// The slot of a key: CRC-16/XMODEM of what stands in its first braces, as the cluster specification has it.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let step = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
    tag.bytes().fold(0, |crc, byte| (0..8).fold(crc ^ u16::from(byte) << 8, step)) % 16384
}

impl Shared {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Makes a call and notes how it went.
    async fn call(&self, backend: usize, client: &Client, method: &'static str, data: Value) -> Option<Value> {
        let began = Instant::now();
        let said = self.door.call(backend, client, method, data).await;
        let error = said.as_ref().err().map(|error| format!("{error:#}"));
        self.record.lock().called(method, began.elapsed(), error);
        said.ok()
    }

    /// Joins or leaves.
    async fn change(&self, swarm: usize, backend: usize, client: &Client, joins: bool) {
        let name = &self.swarms[swarm];
        self.record.lock().changing(swarm, backend, &client.peer, joins, self.now());
        let (method, data) = if joins {
            ("join", json!({ "swarm": name, "want": WANT, "upload": true }))
        } else {
            ("leave", json!({ "swarm": name }))
        };
        if self.call(backend, client, method, data).await.is_some() {
            self.record.lock().changed(swarm, &client.peer, self.now());
        }
    }
}

/// Comes and goes by one backend, each time as somebody new.
async fn come_and_go(shared: Arc<Shared>, swarm: usize, backend: usize) {
    let mut ticks = interval_at(Instant::now() + CHANGES.mul_f64(rand::random_range(0.0..1.0)), CHANGES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(client) = shared.door.connect(backend).await else { continue };
        shared.change(swarm, backend, &client, true).await;
        ticks.tick().await;
        shared.change(swarm, backend, &client, false).await;
    }
}

/// A member that stays.
struct Resident {
    shared: Arc<Shared>,
    swarm: usize,
    number: usize,
    client: Client,
    tickets: HashMap<String, String>,
    reports: u64,
}

impl Resident {
    fn new(shared: Arc<Shared>, swarm: usize, number: usize, client: Client) -> Self {
        Self { shared, swarm, number, client, tickets: HashMap::new(), reports: 0 }
    }

    async fn run(mut self) {
        let phase = u32::try_from(self.number).unwrap_or(0) * ASKS / u32::try_from(RESIDENTS).unwrap_or(1);
        let mut ticks = interval_at(Instant::now() + phase, ASKS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.shared.change(self.swarm, self.number % 2, &self.client, true).await;
        for turn in 0_u64.. {
            ticks.tick().await;
            let backend = (self.number + usize::from(turn % 2 == 1)) % self.shared.door.backends();
            self.ask(backend).await;
            if turn % ASKS_PER_REPORT == 0 {
                self.report(backend).await;
            }
        }
    }

    async fn ask(&mut self, backend: usize) {
        let asked = self.shared.now();
        let data = json!({ "swarm": self.shared.swarms[self.swarm], "want": WANT });
        let Some(said) = self.shared.call(backend, &self.client, "peers", data).await else { return };
        let listed = said["peers"].as_array().map_or(&[][..], Vec::as_slice);
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        for entry in listed {
            self.tickets.insert(text(entry, "peer"), text(entry, "ticket"));
        }
        let score = |entry: &Value| entry["score"].as_f64().unwrap_or(0.0);
        let peers: Vec<_> =
            listed.iter().map(|entry| (entry["peer"].as_str().unwrap_or_default(), score(entry))).collect();
        let stale = said["stale"].as_bool().unwrap_or(false);
        let (by, got) = (self.client.peer.as_str(), self.shared.now());
        let seen = Seen { swarm: self.swarm, backend, by, asked, got, stale, peers: &peers };
        self.shared.record.lock().list(&seen);
        if said["joined"] == json!(false) {
            self.shared.record.lock().forgotten();
            let data = json!({ "swarm": self.shared.swarms[self.swarm], "want": 0, "upload": true });
            self.shared.call(backend, &self.client, "join", data).await;
        }
    }

    /// Everybody else is as good as can be.
    async fn report(&mut self, backend: usize) {
        self.reports += 1;
        let n = self.reports;
        let residents = self.shared.record.lock().residents(self.swarm);
        let receipts: Vec<_> = residents
            .iter()
            .filter_map(|peer| {
                let ticket = self.tickets.get(peer)?;
                Some(json!({ "peer": peer, "ticket": ticket, "connected": true, "candidate_type": "host", "rtt_ms": 20,
                             "bytes": n * 4_000_000, "busy_ms": n * 1500, "ok": n * 4, "timeout": 0, "bad": 0 }))
            })
            .collect();
        let data = json!({ "swarm": self.shared.swarms[self.swarm], "epoch": 1, "seq": n, "up_bytes": n * 4_000_000,
                           "down_bytes": n * 4_000_000, "http_bytes": 0, "rebuffers": 0, "degree": receipts.len(),
                           "receipts": receipts });
        self.shared.call(backend, &self.client, "report", data).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_are_those_of_redis() {
        let cluster = Cluster::start().await.unwrap();
        for key in ["a", "123456789", "starling:{3f}:members:load/1/probe/001:0", "{}x", "x{y}z{q}"] {
            let said = cluster.ask(0, &["CLUSTER", "KEYSLOT", key]).await.unwrap();
            assert_eq!(slot(key).to_string(), said, "{key}");
        }
    }
}
