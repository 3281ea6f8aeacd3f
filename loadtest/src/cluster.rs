//! A Redis Cluster of six nodes on loopback, and everything that can happen to one. `scripts/redis-cluster` starts and
//! ends it; dropped, it is ended, and when this process dies, soon after.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{net::TcpStream, process::Command, time::sleep};

use crate::{measure::Process, ports::loopback};

const SCRIPT: &str = include_str!("../../scripts/redis-cluster");
/// How many nodes there are: three masters with a replica each.
pub const NODES: usize = 6;
/// How long a node may take to answer a question; one that stands still never does.
const ANSWER: Duration = Duration::from_secs(1);
/// How long anything may take until it is seen: a node is given up after two seconds, then there is an election.
const PATIENCE: Duration = Duration::from_secs(20);

/// Six nodes, numbered from 0. The first three begin as masters, each with the node three after it as its replica.
pub struct Cluster {
    folder: TempDir,
    ports: Vec<u16>,
    arguments: Vec<String>,
}

/// What a node knows of itself.
struct Known {
    node: usize,
    id: String,
    is_master: bool,
    epoch: u64,
    /// First and last, of each range that it serves.
    slots: Vec<(u16, u16)>,
}

impl Cluster {
    /// Starts six nodes on free ports; they agree, and replicas are in sync, when this returns.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with more arguments for each `redis-server`.
    pub async fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no folder for the cluster")?;
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut cluster = Self { folder, ports: Vec::new(), arguments };
        let said = cluster.script(&["start", "--port", "0", "--while", &std::process::id().to_string()]).await?;
        let port = |node: &str| node.rsplit(':').next().and_then(|port| port.parse().ok());
        cluster.ports = said.trim().split(',').filter_map(port).collect();
        ensure!(cluster.ports.len() == NODES, "scripts/redis-cluster said something else than six nodes: {said}");
        Ok(cluster)
    }

    /// All six, as host:port with commas between.
    pub fn nodes(&self) -> String {
        self.ports.iter().map(|port| loopback(*port).to_string()).collect::<Vec<_>>().join(",")
    }

    /// The processes that run.
    pub fn processes(&self) -> Vec<Process> {
        let named = |node| Some(Process { name: format!("redis {}", node + 1), pid: self.pid(node)? });
        (0..NODES).filter_map(named).collect()
    }

    /// Asks a node, as `redis-cli` would; what it says, or why it does not.
    pub async fn ask(&self, node: usize, question: &[&str]) -> anyhow::Result<String> {
        let port = self.ports[node].to_string();
        let asked = Command::new("redis-cli").args(["-p", &port, "-e"]).args(question).kill_on_drop(true).output();
        let said =
            tokio::time::timeout(ANSWER, asked).await.with_context(|| format!("node {node} does not answer"))??;
        let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        ensure!(said.status.success(), "node {node}: {text}{}", String::from_utf8_lossy(&said.stderr));
        Ok(text)
    }

    /// The master that serves a slot, by its own word; where two say so, the one of the later election.
    pub async fn master_of(&self, slot: u16) -> anyhow::Result<usize> {
        let serves = |known: &Known| known.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
        let all = self.known().await;
        let master = all.into_iter().filter(|known| known.is_master && serves(known)).max_by_key(|known| known.epoch);
        Ok(master.with_context(|| format!("nobody serves slot {slot}"))?.node)
    }

    /// Who is a master and serves slots, by its own word.
    pub async fn masters(&self) -> anyhow::Result<Vec<usize>> {
        let began = Instant::now();
        loop {
            let all = self.known().await;
            let serving = all.into_iter().filter(|known| known.is_master && !known.slots.is_empty());
            let masters: Vec<_> = serving.map(|known| known.node).collect();
            // On a busy machine some do not answer in time.
            if masters.len() >= NODES / 2 {
                return Ok(masters);
            }
            ensure!(began.elapsed() < PATIENCE, "only {} masters answer", masters.len());
        }
    }

    /// The first slot that a master serves.
    pub async fn first_slot(&self, master: usize) -> anyhow::Result<u16> {
        let all = self.known().await;
        let slots = all.iter().filter(|known| known.node == master).flat_map(|known| &known.slots);
        slots.map(|(first, _)| *first).min().with_context(|| format!("node {master} serves no slot"))
    }

    /// The replica of a master, by the word of the replica.
    pub async fn replica_of(&self, master: usize) -> anyhow::Result<usize> {
        let port = format!("master_port:{}", self.ports[master]);
        for node in 0..NODES {
            let said = self.ask(node, &["INFO", "replication"]).await.unwrap_or_default();
            if said.lines().any(|line| line.trim() == port) {
                return Ok(node);
            }
        }
        anyhow::bail!("node {master} has no replica")
    }

    /// Kills a node, as a crash would.
    pub async fn kill(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, Signal::KILL)?;
        self.wait("a killed node to be gone", async || TcpStream::connect(loopback(self.ports[node])).await.is_err())
            .await
    }

    /// Makes a node stand still: connections stay open, and nothing is answered.
    pub fn stall(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, Signal::STOP)
    }

    /// Lets a node that stands still go on.
    pub fn release(&self, node: usize) -> anyhow::Result<()> {
        self.signal(node, Signal::CONT)
    }

    /// Kills all six at once.
    pub async fn kill_all(&self) -> anyhow::Result<()> {
        let all = futures_util::future::join_all((0..NODES).map(|node| self.kill(node))).await;
        all.into_iter().collect()
    }

    /// Starts every node that was killed, with nothing in it, and waits until all six agree and replicas are in sync.
    /// A master that nobody has replaced is one again, and empty.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.script(&["start"]).await.map(drop)
    }

    /// Asks the replica of a master to take its place, and waits until it has.
    pub async fn fail_over(&self, master: usize) -> anyhow::Result<usize> {
        let replica = self.replica_of(master).await?;
        self.ask(replica, &["CLUSTER", "FAILOVER"]).await?;
        self.wait("the replica to take over", async || {
            self.known().await.iter().any(|known| known.node == replica && !known.slots.is_empty())
        })
        .await?;
        Ok(replica)
    }

    /// Waits until somebody else serves a slot.
    pub async fn replaced(&self, slot: u16, master: usize) -> anyhow::Result<usize> {
        self.wait("another master", async || self.master_of(slot).await.is_ok_and(|now| now != master)).await?;
        self.master_of(slot).await
    }

    /// Moves so many slots, with their keys, from one master to another.
    pub async fn reshard(&self, from: usize, to: usize, slots: u16) -> anyhow::Result<()> {
        let known = self.known().await;
        let id = |node| known.iter().find(|known| known.node == node).map(|known| known.id.as_str());
        let (from, to) = (id(from).context("this node does not answer")?, id(to).context("this node does not answer")?);
        let said = Command::new("redis-cli")
            .args(["--cluster", "reshard", &loopback(self.ports[0]).to_string(), "--cluster-from", from])
            .args(["--cluster-to", to, "--cluster-slots", &slots.to_string(), "--cluster-yes"])
            .kill_on_drop(true)
            .output()
            .await
            .context("redis-cli cannot be run")?;
        let text = String::from_utf8_lossy(&said.stdout);
        let end = text.lines().rev().take(5).collect::<Vec<_>>().join("\n");
        ensure!(said.status.success() && !text.contains("[ERR]"), "slots could not be moved:\n{end}");
        Ok(())
    }

    /// How many slots a master serves.
    pub async fn slots(&self, master: usize) -> usize {
        let known = self.known().await;
        let slots = known.iter().filter(|known| known.node == master).flat_map(|known| &known.slots);
        slots.map(|(first, last)| usize::from(last - first) + 1).sum()
    }

    /// What each node that answers knows of itself.
    async fn known(&self) -> Vec<Known> {
        let asked = (0..NODES).map(async |node| {
            let said = self.ask(node, &["CLUSTER", "NODES"]).await.ok()?;
            myself(node, said.lines().find(|line| line.contains("myself"))?)
        });
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn wait(&self, what: &str, done: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !done().await {
            ensure!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn pid(&self, node: usize) -> Option<u32> {
        let file = self.folder.path().join(format!("{}.pid", self.ports[node]));
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    fn signal(&self, node: usize, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid(node).and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pid = pid.with_context(|| format!("node {node} was not started"))?;
        kill_process(pid, signal).with_context(|| format!("node {node} does not run"))
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new("bash");
        command.args(["-c", SCRIPT, "redis-cluster"]).args(arguments).arg("--dir").arg(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    async fn script(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::from(self.command(arguments));
        let said = command.arg("--").args(&self.arguments).output().await.context("bash cannot be run")?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr).trim());
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command(&["stop"]).output();
    }
}

/// A node's line about itself in `CLUSTER NODES`: id, address, flags, master, two times, epoch, link, slots.
fn myself(node: usize, line: &str) -> Option<Known> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // A slot on its way to another node stands in brackets, besides.
    let ranges = fields.iter().skip(8).filter(|range| !range.starts_with('['));
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    Some(Known {
        node,
        id: (*fields.first()?).to_owned(),
        is_master: fields.get(2)?.contains("master"),
        epoch: fields.get(6)?.parse().ok()?,
        slots: ranges.filter_map(|text| range(text)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of slots of the first, second and third master, in this order.
    const KEYS: [(&str, u16); 3] = [("b", 3300), ("c", 7365), ("k232", 10975)];

    async fn written() -> Cluster {
        let cluster = Cluster::start().await.unwrap();
        for (node, (key, slot)) in KEYS.into_iter().enumerate() {
            assert_eq!(cluster.master_of(slot).await.unwrap(), node);
            assert_eq!(cluster.ask(node, &["SET", key, "here"]).await.unwrap(), "OK");
            // What follows must not depend on a replica that is a moment behind.
            assert_eq!(cluster.ask(node, &["WAIT", "1", "900"]).await.unwrap(), "1");
        }
        cluster
    }

    #[tokio::test]
    async fn dropped_it_leaves_no_process_and_no_file() {
        let cluster = written().await;
        let (ports, folder) = (cluster.ports.clone(), cluster.folder.path().to_owned());
        assert_eq!(cluster.processes().len(), NODES);
        cluster.stall(2).unwrap(); // one that cannot hear
        drop(cluster);
        for port in ports {
            assert!(TcpStream::connect(loopback(port)).await.is_err(), "something listens on {port}");
        }
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_master_that_is_killed_is_replaced_and_comes_back_as_a_replica() {
        let cluster = written().await;
        let (key, slot) = KEYS[0];
        cluster.kill(0).await.unwrap();
        assert!(cluster.ask(0, &["PING"]).await.is_err());
        assert_eq!(cluster.replaced(slot, 0).await.unwrap(), 3);
        assert_eq!(cluster.ask(3, &["GET", key]).await.unwrap(), "here");
        cluster.restart().await.unwrap();
        assert_eq!(cluster.replica_of(3).await.unwrap(), 0);
        assert_eq!(cluster.master_of(slot).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_master_that_stands_still_is_replaced_and_goes_on_as_a_replica() {
        let cluster = written().await;
        let (_, slot) = KEYS[1];
        cluster.stall(1).unwrap();
        assert!(cluster.ask(1, &["PING"]).await.is_err());
        assert_eq!(cluster.replaced(slot, 1).await.unwrap(), 4);
        cluster.release(1).unwrap();
        cluster.restart().await.unwrap(); // nothing to start: waits until all agree
        assert_eq!(cluster.replica_of(4).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn all_six_killed_come_back_with_nothing_in_them() {
        let cluster = written().await;
        let nodes = cluster.nodes();
        cluster.kill_all().await.unwrap();
        assert!(cluster.master_of(0).await.is_err());
        cluster.restart().await.unwrap();
        assert_eq!(cluster.nodes(), nodes);
        for node in 0..NODES {
            assert_eq!(cluster.ask(node, &["DBSIZE"]).await.unwrap(), "0");
        }
    }

    #[tokio::test]
    async fn a_replica_that_is_asked_takes_over_and_slots_move_with_their_keys() {
        let cluster = written().await;
        let (key, slot) = KEYS[2];
        assert_eq!(cluster.fail_over(2).await.unwrap(), 5);
        assert_eq!(cluster.master_of(slot).await.unwrap(), 5);
        cluster.restart().await.unwrap(); // all agree
        let (from, to) = (cluster.slots(5).await, cluster.slots(0).await);
        cluster.reshard(5, 0, 100).await.unwrap(); // the lowest ones go first
        assert_eq!((cluster.slots(5).await, cluster.slots(0).await), (from - 100, to + 100));
        assert_eq!(cluster.master_of(slot).await.unwrap(), 0);
        assert_eq!(cluster.ask(0, &["GET", key]).await.unwrap(), "here");
    }
}
