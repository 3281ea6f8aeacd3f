//! A run: who offers to whom and when, from the first connection to the last signal.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rand::RngExt;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::sleep,
};

use crate::{
    checker::Verdict,
    client::{self, Target},
    history::{Log, What},
    measure::{Measured, Meter, Process},
    peer::{Behaviour, Peer, Phase, Role, Shared},
    report::Progress,
    sdp::{Descriptions, late_candidates},
    tally::{Counts, Following, Latencies, Live, Tally},
};

/// Clients that may be connecting at once.
const DOORS: usize = 64;
/// How long clients may take to find each other, for each thousand of them and besides.
const MEETING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));
/// How long what is open may take to come to an end: an offer is given up after 8 s, a call after 5 s.
const DRAINING: Duration = Duration::from_secs(25);
/// How long what is acknowledged may take to be seen by those who are there.
const SETTLING: Duration = Duration::from_secs(6);
/// Two looks at the state of a run.
const LOOK: Duration = Duration::from_millis(50);

/// How clients are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// So many that offer and as many that answer.
    Pairs(usize),
    /// Swarms in which everybody does both.
    Swarms {
        /// Clients in all.
        clients: usize,
        /// In each swarm.
        size: usize,
    },
}

/// Everything about a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who offers to whom.
    pub plan: Plan,
    /// Offers in a call.
    pub fan: usize,
    /// Whether answers are published.
    pub publishes: bool,
    /// Signals per second in all; `None`: as fast as answers come.
    pub rate: Option<f64>,
    /// How long it is measured.
    pub time: Duration,
    /// How long it runs before that.
    pub warm_up: Duration,
    /// Candidates per side.
    pub trickle: usize,
    /// How long candidates are gathered.
    pub gather: Duration,
    /// Whether sessions end with a bye.
    pub byes: bool,
    /// The size of a description.
    pub sdp_bytes: Option<usize>,
    /// Where random choices begin.
    pub seed: u64,
    /// The beginning of the names of swarms; a token allows those.
    pub swarms: String,
    /// Where the history goes.
    pub history: Option<PathBuf>,
    /// How many backends serve.
    pub backends: u32,
    /// Whether a line shows how far it is.
    pub progress: bool,
}

/// What came of a run.
pub struct Outcome {
    /// Whether promises were kept.
    pub verdict: Verdict,
    /// How often what happened.
    pub counts: Counts,
    /// How long it took.
    pub latencies: Latencies,
    /// CPU and memory.
    pub measured: Measured,
    /// Clients.
    pub clients: usize,
    /// Bytes of this process's memory for each client, when all had connected.
    pub bytes_per_client: u64,
    /// Calls sent late by the generator itself.
    pub late: u64,
    /// The most that a call was late, in microseconds.
    pub latest: u64,
    /// Calls that were planned and not sent, since their peer was not connected.
    pub skipped: u64,
    /// Publications that clients got, apart from those that were recovered.
    pub deliveries: u64,
    /// Bytes of these, as lines of the Centrifuge protocol.
    pub delivered_bytes: u64,
    /// Clients that gave up, and why.
    pub failed: Vec<String>,
}

/// A run whose clients have met.
pub struct Run {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    clients: JoinSet<anyhow::Error>,
    count: usize,
    following: Following,
    live: Arc<Live>,
    progress: Progress,
    bytes_per_client: u64,
    failed: Vec<String>,
}

impl Options {
    /// So many pairs in a closed loop for a second, one offer in a call, with everything else as it is when nobody asks.
    pub fn pairs(pairs: usize) -> Self {
        Self {
            plan: Plan::Pairs(pairs),
            fan: 1,
            publishes: false,
            rate: None,
            time: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            trickle: 0,
            gather: Duration::ZERO,
            byes: false,
            sdp_bytes: None,
            seed: any_seed(),
            swarms: "load/".to_owned(),
            history: None,
            backends: 1,
            progress: false,
        }
    }

    /// Signals that a session takes.
    fn signals_per_session(&self) -> usize {
        let gather = u64::try_from(self.gather.as_millis()).unwrap_or(0);
        2 + 2 * late_candidates(self.trickle, gather).count() + usize::from(self.byes)
    }

    /// The role and swarm of each client.
    fn clients(&self) -> Vec<(Role, Arc<str>)> {
        let name = |n: usize| Arc::<str>::from(format!("{}{:x}/{n}", self.swarms, self.seed));
        match self.plan {
            Plan::Swarms { clients, size } => {
                let both = Role { offers: true, answers: true };
                let swarms = (clients / size).max(1);
                (0..clients).map(|n| (both, name(n % swarms))).collect()
            }
            Plan::Pairs(pairs) => {
                // As many in a swarm as are offered to in one call, so that everybody finds its receivers.
                let swarms = (pairs / self.fan).max(1);
                let roles = [Role { offers: false, answers: true }, Role { offers: true, answers: false }];
                let of_pair = |n: usize| roles.map(|role| (role, name(n % swarms)));
                (0..pairs).flat_map(of_pair).collect()
            }
        }
    }
}

impl Run {
    /// Connects all clients and waits until they have found each other.
    pub async fn start(options: &Options, target: Target) -> anyhow::Result<Self> {
        let (log, blocks) = Log::new();
        let live = Arc::new(Live::default());
        let following = Tally::new(live.clone())?.follow(blocks, options.history.as_deref())?;
        log.add(0, What::Begin { backends: options.backends });
        let clients = options.clients();
        let offering = clients.iter().filter(|(role, _)| role.offers).count();
        let gather_ms = u64::try_from(options.gather.as_millis()).unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "counts of clients and signals are small")]
        let calls = options.rate.map(|rate| rate / (options.fan * options.signals_per_session()) as f64);
        #[expect(clippy::cast_precision_loss, reason = "counts of clients and signals are small")]
        let interval = calls.map(|calls| Duration::from_secs_f64(offering as f64 / calls));
        let early = options.trickle - late_candidates(options.trickle, gather_ms).count();
        let behaviour = Behaviour {
            fan: options.fan,
            publishes: options.publishes,
            trickle: options.trickle,
            gather_ms,
            byes: options.byes,
            interval: interval.map(|interval| u64::try_from(interval.as_micros()).unwrap_or(u64::MAX)),
        };
        let shared = Arc::new(Shared {
            log,
            descriptions: Descriptions::new(options.sdp_bytes, early)?,
            behaviour,
            ready: AtomicUsize::new(0),
            open: AtomicI64::new(0),
            late: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            delivered_bytes: AtomicU64::new(0),
        });
        let (phase, listen) = watch::channel(Phase::Meeting);
        let before = Process::own().memory();
        let count = clients.len();
        let target = Arc::new(Target { doors: Semaphore::new(DOORS), ..target });
        let mut tasks = JoinSet::new();
        for (n, (role, swarm)) in clients.into_iter().enumerate() {
            let peer = Peer::new(shared.clone(), u32::try_from(n)?, role, swarm, options.seed);
            tasks.spawn(client::run(peer, target.clone(), listen.clone()));
        }
        let progress = Progress::new(options.progress);
        let mut run = Self {
            shared,
            phase,
            clients: tasks,
            count,
            following,
            live,
            progress,
            bytes_per_client: 0,
            failed: Vec::new(),
        };
        run.meet().await?;
        let grown = Process::own().memory().saturating_sub(before);
        run.bytes_per_client = grown / u64::try_from(count.max(1))?;
        Ok(run)
    }

    async fn meet(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let patience = MEETING.0.mul_f64(f64::from(u32::try_from(self.count)?) / 1000.0) + MEETING.1;
        loop {
            let ready = self.shared.ready.load(Relaxed);
            if ready >= self.count {
                return Ok(());
            }
            if let Some(failed) = self.clients.try_join_next() {
                return Err(failed?.context("a client could not connect"));
            }
            if began.elapsed() > patience {
                let count = self.count;
                bail!(
                    "only {ready} of {count} clients found whom they need within {patience:?}: are there enough in a swarm?"
                );
            }
            self.look(&format!("{ready} of {} clients have met", self.count)).await;
        }
    }

    /// Lets a moment pass, and shows where the run is.
    async fn look(&self, what: &str) {
        self.progress.show(what, &self.live);
        self.shared.log.flush();
        sleep(LOOK).await;
    }

    /// Offers, and measures what these processes use; `during` goes on beside it and may take longer.
    pub async fn measure<T>(
        &mut self,
        (warm_up, time): (Duration, Duration),
        processes: Vec<Process>,
        during: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(Measured, T)> {
        self.phase.send_replace(Phase::Running);
        self.pass("warming up", warm_up).await;
        let mut measured = processes;
        measured.push(Process::own());
        let meter = Meter::start(measured);
        self.shared.log.add(0, What::Measure { on: true });
        let (told, ()) = tokio::join!(during, self.pass("measuring", time));
        self.shared.log.add(0, What::Measure { on: false });
        Ok((meter.stop(), told?))
    }

    async fn pass(&self, what: &str, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.look(what).await;
        }
    }

    /// Brings what is open to an end, waits until everything that was acknowledged is seen, and judges.
    pub async fn finish(mut self, measured: Measured) -> anyhow::Result<Outcome> {
        self.phase.send_replace(Phase::Draining);
        self.wait("draining", DRAINING, |run| run.shared.open.load(Relaxed) <= 0).await;
        // Whoever lost its connection comes back; whoever trickles, does so to the end.
        let all = i64::try_from(self.count)?;
        let connected = move |run: &Self| run.live.connected.load(Relaxed) + run.gone() >= all;
        self.wait("waiting for all to come back", DRAINING, connected).await;
        self.pass("settling", Duration::from_millis(800)).await;
        self.wait("settling", SETTLING, |run| run.live.unseen.load(Relaxed) <= 0).await;
        while let Some(failed) = self.clients.try_join_next() {
            self.failed.push(format!("{:#}", failed?));
        }
        self.shared.log.add(0, What::Finish);
        self.shared.log.flush();
        self.clients.shutdown().await;
        let following = self.following;
        let tally = tokio::task::spawn_blocking(move || following.join()).await?;
        let tally = tally.map_err(|_| anyhow::anyhow!("the thread of the history has died"))??;
        let (verdict, counts, latencies) = tally.finish();
        self.progress.end();
        Ok(Outcome {
            verdict,
            counts,
            latencies,
            measured,
            clients: self.count,
            bytes_per_client: self.bytes_per_client,
            late: self.shared.late.load(Relaxed),
            latest: self.shared.latest.load(Relaxed),
            skipped: self.shared.skipped.load(Relaxed),
            deliveries: self.shared.deliveries.load(Relaxed),
            delivered_bytes: self.shared.delivered_bytes.load(Relaxed),
            failed: self.failed,
        })
    }

    fn gone(&self) -> i64 {
        i64::try_from(self.count - self.clients.len()).unwrap_or(0)
    }

    async fn wait(&self, what: &str, patience: Duration, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + patience;
        while !done(self) && Instant::now() < end {
            self.look(what).await;
        }
    }
}

/// A whole run, without anything happening beside it.
pub async fn run(options: &Options, target: Target, processes: Vec<Process>) -> anyhow::Result<Outcome> {
    let mut run = Run::start(options, target).await?;
    let span = (options.warm_up, options.time);
    let (measured, ()) = run.measure(span, processes, async { Ok(()) }).await?;
    run.finish(measured).await
}

/// A seed for a run that nobody asked to repeat.
pub fn any_seed() -> u64 {
    rand::rng().random_range(1..1 << 32)
}

/// The address of a gateway on loopback, from its URL.
pub fn address(url: &str) -> anyhow::Result<std::net::SocketAddr> {
    let rest = url.strip_prefix("ws://").context("--url does not begin with ws://")?;
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.replace("localhost", "127.0.0.1");
    let address: std::net::SocketAddr =
        host.parse().context("--url needs an address and a port, such as ws://127.0.0.1:8000/connection/websocket")?;
    ensure!(
        address.ip().is_loopback(),
        "{address} is not on this machine: load is for loopback only, so that nobody is hit by mistake"
    );
    Ok(address)
}
