//! What can break, broken on purpose under load: then the history says whether anything that was promised was lost.

mod redis;

use std::{fmt::Write, time::Duration};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::{
    client::Target,
    load::{Options, Outcome, Run, address},
    prober::{Findings, Prober},
    stack::{self, Stack},
};

/// How long the gateway's process stands still.
const STALL: Duration = Duration::from_secs(3);
/// Time for clients to come back and go on, after each fault of the gateway: the next one is to hit them at work.
const AFTER: Duration = Duration::from_secs(2);

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// kill -9 of one of two backends at random moments; it is started again
    KillBackend,
    /// SIGTERM to one backend after the other, each started again
    RollingRestart,
    /// kill -9 of Centrifugo, and a restart
    KillGateway,
    /// Centrifugo stands still for 3 s (SIGSTOP)
    StallGateway,
    /// kill -9 of a master of the Redis Cluster; its replica takes over, and it comes back empty as a replica
    KillRedisMaster,
    /// A master of the Redis Cluster stands still for 10 s (SIGSTOP)
    StallRedisMaster,
    /// A replica takes over from its master, which agrees (CLUSTER FAILOVER)
    FailoverRedis,
    /// kill -9 of all six nodes of the Redis Cluster; a minute later they are back, empty
    LoseRedis,
    /// 500 slots of the Redis Cluster, viewers in them, move to another master
    ReshardRedis,
}

/// What came of it.
pub struct Verdict {
    /// What was broken.
    pub scenario: Scenario,
    /// How many times something was broken.
    pub faults: u32,
    /// How the run went.
    pub outcome: Outcome,
    /// What was seen of Redis' absence, where that is what was broken.
    pub findings: Option<Findings>,
    /// Why it is no success; empty when it is one.
    pub complaints: Vec<String>,
}

impl Scenario {
    /// How many times it is done when nobody says.
    pub fn usual_times(self) -> u16 {
        match self {
            Self::KillBackend => 20,
            Self::RollingRestart => 5,
            Self::KillGateway => 10,
            Self::StallGateway | Self::KillRedisMaster | Self::FailoverRedis => 3,
            Self::StallRedisMaster | Self::ReshardRedis => 2,
            Self::LoseRedis => 1,
        }
    }

    /// Whether it breaks the Redis Cluster in which backends keep their state.
    pub fn is_of_redis(self) -> bool {
        match self {
            Self::KillBackend | Self::RollingRestart | Self::KillGateway | Self::StallGateway => false,
            Self::KillRedisMaster
            | Self::StallRedisMaster
            | Self::FailoverRedis
            | Self::LoseRedis
            | Self::ReshardRedis => true,
        }
    }

    /// What each of them is: a rolling restart ends both backends.
    fn faults_each(self) -> u32 {
        if self == Self::RollingRestart { 2 } else { 1 }
    }

    /// Does it once.
    async fn once(self, stack: &mut Stack, prober: Option<&Prober>, rng: &mut SmallRng) -> anyhow::Result<u32> {
        sleep(Duration::from_millis(rng.random_range(200..900))).await;
        match self {
            Self::KillBackend => {
                let n = rng.random_range(0..2);
                let status = stack.end_backend(n, Signal::KILL).await?;
                ensure!(!status.success(), "backend {} was killed and ended with {status}", n + 1);
                sleep(Duration::from_millis(rng.random_range(0..600))).await;
                stack.start_backend(n).await?;
                stack.balanced().await?;
                Ok(1)
            }
            Self::RollingRestart => {
                for n in 0..2 {
                    let status = stack.end_backend(n, Signal::TERM).await?;
                    ensure!(status.success(), "backend {} was asked to stop and ended with {status}", n + 1);
                    stack.start_backend(n).await?;
                    stack.balanced().await?;
                }
                Ok(2)
            }
            Self::KillGateway => {
                stack.kill_gateway().await?;
                stack.start_gateway().await?;
                sleep(AFTER).await;
                Ok(1)
            }
            Self::StallGateway => {
                stack.stall_gateway().await?;
                sleep(STALL).await;
                stack.release_gateway()?;
                sleep(AFTER).await;
                Ok(1)
            }
            Self::KillRedisMaster
            | Self::StallRedisMaster
            | Self::FailoverRedis
            | Self::LoseRedis
            | Self::ReshardRedis => {
                let prober = prober.context("nobody looks")?;
                redis::once(self, stack.cluster()?, prober, rng).await?;
                Ok(1)
            }
        }
    }
}

/// Starts everything, breaks it so many times under load, lets it settle, and judges.
pub async fn run(scenario: Scenario, times: u16, options: &Options, stack: &stack::Options) -> anyhow::Result<Verdict> {
    ensure!(options.rate.is_some(), "faults need a rate: without one nobody offers while something is broken");
    let mut stack = Stack::start(stack).await?;
    let url = stack.url();
    let target =
        Target { address: address(&url)?, url, token: stack.token(&options.swarms)?, doors: Semaphore::new(0) };
    let mut run = Run::start(options, target).await?;
    let mut prober = None;
    if scenario.is_of_redis() {
        prober = Some(Prober::start(&stack, &options.swarms, options.seed).await?);
    }
    let mut rng = SmallRng::seed_from_u64(options.seed);
    let began = Instant::now();
    let breaking = async {
        let mut faults = 0;
        if let Some(prober) = &prober {
            prober.risen().await?;
        }
        for _ in 0..times {
            faults += scenario.once(&mut stack, prober.as_ref(), &mut rng).await?;
        }
        anyhow::Ok(faults)
    };
    let span = (options.warm_up, options.time);
    let (measured, faults) = run.measure(span, Vec::new(), breaking).await?;
    let took = began.elapsed();
    let findings = match prober {
        Some(prober) => Some(prober.stop().await),
        None => None,
    };
    let outcome = run.finish(measured).await?;
    stack.stop().await?;
    let mut complaints = outcome.complaints(false);
    complaints.extend(findings.iter().flat_map(redis::complaints));
    let wanted = u32::from(times) * scenario.faults_each();
    if faults != wanted {
        complaints.push(format!("{faults} faults instead of {wanted} in {took:?}"));
    }
    if outcome.counts.measured == 0 {
        complaints.push("nothing was relayed while something was broken".to_owned());
    }
    Ok(Verdict { scenario, faults, outcome, findings, complaints })
}

impl Verdict {
    /// For a person.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let name = self.scenario.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
        let _ = writeln!(out, "{name:<22} {} times", self.faults);
        let seen = self.findings.as_ref().map_or_else(String::new, redis::table);
        out + &seen + &self.outcome.table(&self.complaints)
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let name = self.scenario.to_possible_value().map(|value| value.get_name().to_owned());
        json!({ "scenario": name, "faults": self.faults, "store": self.findings, "run": self.outcome.json(&self.complaints) })
    }
}
