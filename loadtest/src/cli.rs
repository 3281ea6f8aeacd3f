//! The command line: what can be asked for, and what is refused.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::Value;
use starling::{config::Config, demo::gateway::Transport};
use tokio::sync::Semaphore;

use crate::{
    checker::Checker,
    client::Target,
    faults, history,
    load::{self, Options, Plan, address, any_seed},
    measure::Process,
    sdp,
    sim::command::Sim,
    stack,
};

/// Most clients of a run: a Centrifugo node on a small machine, and the ports of one address.
const MOST_CLIENTS: usize = 15_000;
/// Longest run.
const LONGEST: Duration = Duration::from_mins(10);
/// The beginning of the names of swarms.
const SWARMS: &str = "load/";

/// Load and faults for Starling, the check that nothing acknowledged is lost, and a simulator of who meets whom.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put load on an installation, check every signal, and say what it cost
    Load(Box<Load>),
    /// Start two backends behind a balancer, break something under load, and check every signal
    Fault(Box<Fault>),
    /// Simulate who meets whom, with the selection and scores of the server, beside other strategies
    Sim(Box<Sim>),
    /// Check a history that --history wrote
    Check {
        /// The history
        file: PathBuf,
        /// Write the verdict as JSON to a file, or to standard output with -
        #[arg(long, value_name = "FILE|-")]
        json: Option<PathBuf>,
    },
}

/// What both kinds of run take.
#[derive(Args)]
struct Common {
    /// Pairs of clients: one offers, one answers
    #[arg(long, default_value_t = 50, conflicts_with_all = ["swarm_size", "clients"])]
    pairs: usize,
    /// Swarms of so many clients that offer to each other, instead of pairs
    #[arg(long, requires = "clients")]
    swarm_size: Option<usize>,
    /// Clients in all, with --swarm-size
    #[arg(long, requires = "swarm_size")]
    clients: Option<usize>,
    /// Offers in each call, every one to another receiver
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    offers_per_call: u8,
    /// How answers are sent
    #[arg(long, value_enum, default_value_t = Answers::Rpc)]
    answers: Answers,
    /// How long before it is measured
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Candidates that each side finds, sent one by one where they come after the description
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=32))]
    trickle: u8,
    /// How long candidates are gathered into the description
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    gather: Duration,
    /// Say bye at the end of each session
    #[arg(long)]
    byes: bool,
    /// Bring descriptions to this size; otherwise they are as long as browsers make them
    #[arg(long)]
    sdp_bytes: Option<usize>,
    /// Write the history to this file, a line of JSON per event
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Write the results as JSON to a file, or to standard output with -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Where random choices begin, to repeat a run
    #[arg(long)]
    seed: Option<u64>,
    /// The program `starling`; otherwise the one beside this one
    #[arg(long, env = "STARLING_PROGRAM")]
    starling: Option<PathBuf>,
    /// Centrifugo's binary; otherwise the one on PATH, then the one that scripts/centrifugo has built
    #[arg(long, env = "CENTRIFUGO")]
    centrifugo: Option<PathBuf>,
    /// Where inboxes are kept, in what is started here
    #[arg(long, value_enum, default_value_t = Engine::Memory)]
    engine: Engine,
    /// Where backends keep their state, in what is started here
    #[arg(long, value_enum, default_value_t = stack::Store::Memory)]
    store: stack::Store,
}

#[derive(Args)]
struct Load {
    #[command(flatten)]
    common: Common,
    /// Start everything on loopback, instead of --url
    #[arg(long, conflicts_with_all = ["url", "token", "config", "pid"])]
    stack: bool,
    /// Backends to start with --stack; two get a balancer
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    backends: u8,
    /// The gateway, such as `ws://127.0.0.1:8000/connection/websocket`
    #[arg(long, required_unless_present = "stack")]
    url: Option<String>,
    /// An access token for swarms that begin with load/ (`starling token --swarm 'load/*'`)
    #[arg(long, conflicts_with = "config")]
    token: Option<String>,
    /// The backend's configuration file, whose first key signs a token; without it the environment, as for the backend
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A server's process to measure; can be repeated
    #[arg(long, value_name = "NAME=PID")]
    pid: Vec<Process>,
    /// Signals per second in all, at times that are planned ahead; otherwise each answer brings the next offer
    #[arg(long)]
    rate: Option<f64>,
    /// How long it is measured
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    time: Duration,
}

#[derive(Args)]
struct Fault {
    /// What is broken
    #[arg(value_enum)]
    scenario: faults::Scenario,
    #[command(flatten)]
    common: Common,
    /// How many times; otherwise 20 for kill-backend, 5 for rolling-restart, 10 for kill-gateway, 1 for lose-redis, 2 for
    /// stall-redis-master and reshard-redis, 3 for the others
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    times: Option<u16>,
    /// Signals per second in all
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Answers {
    /// In a call, as offers are
    Rpc,
    /// As a publication to the offerer's inbox
    Publish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Centrifugo's own memory, which ends with it
    Memory,
    /// A Redis, which outlives it
    Redis,
}

impl Common {
    fn options(&self, rate: Option<f64>, time: Duration, backends: u32) -> anyhow::Result<Options> {
        let plan = match (self.swarm_size, self.clients) {
            (Some(size), Some(clients)) => Plan::Swarms { clients, size },
            _ => Plan::Pairs(self.pairs),
        };
        let fan = usize::from(self.offers_per_call);
        let clients = match plan {
            Plan::Pairs(pairs) => pairs * 2,
            Plan::Swarms { clients, .. } => clients,
        };
        ensure!(clients > 0, "there is nobody to offer: take --pairs of 1 or more");
        ensure!(clients <= MOST_CLIENTS, "{clients} clients are too many: at most {MOST_CLIENTS} fit");
        match plan {
            Plan::Pairs(pairs) => {
                ensure!(
                    pairs >= fan,
                    "--pairs {pairs} has too few receivers for {fan} offers in a call: take {fan} or more"
                );
            }
            Plan::Swarms { size, .. } => {
                ensure!(size > fan, "--swarm-size {size} has too few receivers: take {} or more", fan + 1);
                ensure!(clients >= size, "--clients {clients} do not fill a swarm of {size}: take {size} or more");
            }
        }
        ensure!(time >= Duration::from_millis(100), "--time is too short to measure anything: take 100ms or more");
        ensure!(time + self.warm_up <= LONGEST, "--time and --warm-up are longer than {LONGEST:?} together");
        ensure!(rate.is_none_or(|rate| (1.0..=100_000.0).contains(&rate)), "--rate is not from 1 to 100000");
        ensure!(self.gather <= Duration::from_secs(5), "--gather is longer than 5s, the longest that a policy allows");
        ensure!(
            self.sdp_bytes.is_none_or(|bytes| sdp::SIZES.contains(&bytes)),
            "--sdp-bytes is not from {} to {}",
            sdp::SIZES.start(),
            sdp::SIZES.end()
        );
        Ok(Options {
            plan,
            fan,
            publishes: self.answers == Answers::Publish,
            rate,
            time,
            warm_up: self.warm_up,
            trickle: usize::from(self.trickle),
            gather: self.gather,
            byes: self.byes,
            sdp_bytes: self.sdp_bytes,
            seed: self.seed.unwrap_or_else(any_seed),
            swarms: SWARMS.to_owned(),
            history: self.history.clone(),
            backends,
            progress: true,
        })
    }

    fn stack(&self, backends: u8) -> anyhow::Result<stack::Options> {
        Ok(stack::Options {
            starling: stack::find_starling(self.starling.clone())?,
            centrifugo: starling::demo::gateway::find(self.centrifugo.clone())?,
            backends: usize::from(backends),
            redis: self.engine == Engine::Redis,
            store: self.store,
            transport: Transport::Grpc,
        })
    }
}

/// Does what it says; the exit status says whether every promise was kept.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Load(load) => run_load(*load).await,
        Command::Fault(fault) => run_fault(*fault).await,
        Command::Sim(sim) => run_sim(&sim),
        Command::Check { file, json } => check(&file, json),
    }
}

async fn run_load(load: Load) -> anyhow::Result<ExitCode> {
    let options = load.common.options(load.rate, load.time, if load.stack { u32::from(load.backends) } else { 2 })?;
    let (url, token, processes, stack) = if load.stack {
        let stack = stack::Stack::start(&load.common.stack(load.backends)?).await?;
        (stack.url(), stack.token(SWARMS)?, stack.processes(), Some(stack))
    } else {
        let url = load.url.context("--url is missing")?;
        let token = match load.token {
            Some(token) => token,
            None => stack::token(&Config::load(load.config.as_deref())?, SWARMS)
                .context("no token can be made: name --token, or --config with the backend's configuration")?,
        };
        (url, token, load.pid, None)
    };
    let target = Target { address: address(&url)?, url, token, doors: Semaphore::new(0) };
    let outcome = load::run(&options, target, processes).await?;
    if let Some(stack) = stack {
        stack.stop().await?;
    }
    let complaints = outcome.complaints(true);
    tell(&outcome.table(&complaints), outcome.json(&complaints), load.common.json)?;
    Ok(status(complaints.is_empty()))
}

async fn run_fault(fault: Fault) -> anyhow::Result<ExitCode> {
    let options = fault.common.options(Some(fault.rate), Duration::from_secs(1), 2)?;
    let mut stack = fault.common.stack(2)?;
    if fault.scenario.is_of_redis() {
        stack.store = stack::Store::Redis;
    }
    let times = fault.times.unwrap_or_else(|| fault.scenario.usual_times());
    let verdict = faults::run(fault.scenario, times, &options, &stack).await?;
    tell(&verdict.table(), verdict.json(), fault.common.json)?;
    Ok(status(verdict.complaints.is_empty()))
}

fn run_sim(sim: &Sim) -> anyhow::Result<ExitCode> {
    let (table, results) = sim.run()?;
    tell(&table, results, sim.json.clone())?;
    Ok(ExitCode::SUCCESS)
}

fn check(file: &std::path::Path, json: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let mut checker = Checker::default();
    for event in history::read(file)? {
        checker.observe(&event?);
    }
    let verdict = checker.finish();
    let is_clean = verdict.is_clean();
    tell(&verdict.table(), serde_json::to_value(&verdict)?, json)?;
    Ok(status(is_clean))
}

fn status(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The table, and the same for programs where asked for; alone on standard output, if that is where it goes.
#[expect(clippy::print_stdout, reason = "this is what it was asked for")]
fn tell(table: &str, results: Value, json: Option<PathBuf>) -> anyhow::Result<()> {
    match json {
        Some(path) if path.as_os_str() == "-" => println!("{results:#}"),
        path => {
            print!("{table}");
            if let Some(path) = path {
                std::fs::write(&path, format!("{results:#}\n"))
                    .with_context(|| format!("{} cannot be written: choose another --json", path.display()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(arguments: &[&str]) -> String {
        let all = ["starling-load", "load", "--stack"].iter().chain(arguments);
        let Command::Load(load) = Cli::parse_from(all).command else { panic!("this is a load") };
        format!("{:#}", load.common.options(load.rate, load.time, 1).expect_err("this cannot be"))
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_do() {
        for (arguments, expected) in [
            (&["--pairs", "7501"][..], "at most 15000"),
            (&["--pairs", "0"], "--pairs of 1"),
            (&["--pairs", "3", "--offers-per-call", "8"], "take 8 or more"),
            (&["--swarm-size", "8", "--clients", "80", "--offers-per-call", "8"], "take 9 or more"),
            (&["--swarm-size", "8", "--clients", "7"], "take 8 or more"),
            (&["--time", "601s"], "--time"),
            (&["--rate", "0"], "--rate"),
            (&["--sdp-bytes", "10"], "--sdp-bytes"),
        ] {
            let complaint = complaint(arguments);
            assert!(complaint.contains(expected), "{expected} not in: {complaint}");
        }
    }

    #[test]
    fn load_stays_on_this_machine() {
        assert!(address("ws://127.0.0.1:8000/connection/websocket").is_ok());
        assert!(address("ws://localhost:8000/x").is_ok());
        for bad in ["ws://192.0.2.1:8000/x", "ws://example.com/x", "http://127.0.0.1:8000", "wss://127.0.0.1:1/x"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
