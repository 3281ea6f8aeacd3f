//! Everything on loopback, each part a process of its own: Centrifugo, one or two backends, with two a balancer between
//! them, a Redis as Centrifugo's engine and a Redis Cluster as the backends' store where asked for. What is dropped is
//! killed.

mod balancer;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use starling::{
    app::token_keys,
    config::Config,
    demo::{
        gateway::{GatewayProcess, GatewaySetup, Transport},
        made_up,
    },
    domain::{SwarmPattern, Timestamp, token::Claims},
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    cluster::Cluster,
    measure::Process,
    ports::{free_port, loopback},
};

/// How long a process may take to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many times ports are looked for: one can be lost between finding and using it.
const TRIES: usize = 3;

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `starling`.
    pub starling: PathBuf,
    /// The program `centrifugo`.
    pub centrifugo: PathBuf,
    /// One or two.
    pub backends: usize,
    /// Whether a Redis keeps inboxes.
    pub redis: bool,
    /// Where backends keep their state.
    pub store: Store,
    /// How Centrifugo calls backends.
    pub transport: Transport,
}

/// Where backends keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// Each in its own memory
    Memory,
    /// In a Redis Cluster of six nodes, which is started with them
    Redis,
}

/// A backend and where it is.
struct Backend {
    child: Option<Child>,
    proxy: u16,
    admin: u16,
}

/// Everything that was started.
pub struct Stack {
    options: Options,
    settings: Vec<(String, String)>,
    backends: Vec<Backend>,
    gateway: Option<GatewayProcess>,
    setup: GatewaySetup,
    balancer: Option<(Child, tempfile::TempDir)>,
    /// Where the balancer has its page for operators.
    operators: u16,
    redis: Option<Child>,
    cluster: Option<Cluster>,
    http: reqwest::Client,
    config: Config,
}

impl Stack {
    /// Starts everything; it serves when this returns.
    pub async fn start(options: &Options) -> anyhow::Result<Self> {
        ensure!((1..=2).contains(&options.backends), "one or two backends can be started");
        let mut tries = 1;
        loop {
            match Self::try_start(options).await {
                Err(_) if tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    async fn try_start(options: &Options) -> anyhow::Result<Self> {
        let (api, api_key, secret) = (free_port(), made_up(), made_up());
        let settings = json!({
            "proxy": { "secret": secret },
            "gateway": { "api_url": format!("http://{}/api", loopback(api)), "api_key": api_key },
            "token": { "keys": [{ "id": "load", "alg": "HS256", "secret": made_up() }] },
            "ticket": { "keys": [{ "id": 1, "secret": made_up() }] },
        });
        let config = Config::from_text(&toml::to_string(&settings)?)?;
        let mut settings = variables(&settings);
        let mut cluster = None;
        if options.store == Store::Redis {
            let started = Cluster::start().await?;
            settings.push(("STARLING_STORE__KIND".to_owned(), "redis".to_owned()));
            settings.push(("STARLING_STORE__REDIS_NODES".to_owned(), started.nodes()));
            cluster = Some(started);
        }
        let backends: Vec<Backend> =
            (0..options.backends).map(|_| Backend { child: None, proxy: free_port(), admin: free_port() }).collect();
        let mut redis = None;
        let mut engine = None;
        if options.redis {
            let port = free_port();
            redis = Some(start_redis(port).await?);
            engine = Some(loopback(port));
        }
        let front = if options.backends > 1 { free_port() } else { backends[0].proxy };
        let setup = GatewaySetup {
            binary: options.centrifugo.clone(),
            clients: free_port(),
            api,
            backend: loopback(front),
            transport: options.transport,
            api_key,
            secret,
            origins: "http://localhost".to_owned(),
            redis: engine,
        };
        let http = reqwest::Client::builder().timeout(Duration::from_secs(1)).build()?;
        let options = options.clone();
        let (gateway, balancer, operators) = (None, None, free_port());
        let mut stack =
            Self { options, settings, backends, gateway, setup, balancer, operators, redis, cluster, http, config };
        for n in 0..stack.backends.len() {
            stack.start_backend(n).await?;
        }
        if stack.backends.len() > 1 {
            stack.balancer = Some(balancer::start(loopback(front), loopback(operators), &stack.backends)?);
            stack.balanced().await?;
        }
        stack.start_gateway().await?;
        Ok(stack)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("ws://{}/connection/websocket", loopback(self.setup.clients))
    }

    /// A token for swarms that begin like this, valid for an hour.
    pub fn token(&self, swarms: &str) -> anyhow::Result<String> {
        token(&self.config, swarms)
    }

    /// Every process that runs.
    pub fn processes(&self) -> Vec<Process> {
        let named = |name: &str, pid: Option<u32>| pid.map(|pid| Process { name: name.to_owned(), pid });
        let mut processes = vec![named("gateway", self.gateway_pid())];
        for n in 0..self.backends.len() {
            processes.push(named(&format!("backend {}", n + 1), self.backend_pid(n)));
        }
        processes.push(named("balancer", self.balancer.as_ref().and_then(|(child, _)| child.id())));
        processes.push(named("redis", self.redis.as_ref().and_then(Child::id)));
        let cluster = self.cluster.as_ref().map_or_else(Vec::new, Cluster::processes);
        processes.into_iter().flatten().chain(cluster).collect()
    }

    /// Where the `n`th backend hears proxy calls, for who knows the [`secret`](Self::secret).
    pub fn proxy(&self, n: usize) -> SocketAddr {
        loopback(self.backends[n].proxy)
    }

    /// What is shown to backends.
    pub fn secret(&self) -> &str {
        &self.setup.secret
    }

    /// The Redis Cluster that backends keep their state in.
    pub fn cluster(&self) -> anyhow::Result<&Cluster> {
        self.cluster.as_ref().context("backends keep their state in memory here: take --store redis")
    }

    /// The process of the gateway.
    pub fn gateway_pid(&self) -> Option<u32> {
        self.gateway.as_ref().and_then(GatewayProcess::pid)
    }

    /// The process of the `n`th backend.
    pub fn backend_pid(&self, n: usize) -> Option<u32> {
        self.backends[n].child.as_ref().and_then(Child::id)
    }

    /// Starts a backend, and waits until it is ready.
    pub async fn start_backend(&mut self, n: usize) -> anyhow::Result<()> {
        let binary = &self.options.starling;
        let backend = &mut self.backends[n];
        let child = Command::new(binary)
            .args(["serve", "--log", "error"])
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .env("STARLING_PROXY__LISTEN", loopback(backend.proxy).to_string())
            .env("STARLING_ADMIN__LISTEN", loopback(backend.admin).to_string())
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be run: name the program with --starling", binary.display()))?;
        backend.child = Some(child);
        let url = format!("http://{}/health/ready", loopback(backend.admin));
        let began = Instant::now();
        while !self.http.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
            if let Some(status) = self.backends[n].child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("backend {} ended with {status}", n + 1);
            }
            ensure!(began.elapsed() < PATIENCE, "backend {} is not ready after {PATIENCE:?}", n + 1);
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Sends a signal to a backend and waits for its end. Says how it ended.
    pub async fn end_backend(&mut self, n: usize, signal: Signal) -> anyhow::Result<std::process::ExitStatus> {
        let mut child = self.backends[n].child.take().context("this backend does not run")?;
        kill(child.id(), signal)?;
        timeout(PATIENCE, child.wait()).await.context("a backend did not end")?.context("a backend was lost")
    }

    /// Waits until the balancer gives calls to every backend, as its page for operators says.
    pub async fn balanced(&self) -> anyhow::Result<()> {
        let page = format!("http://{}/;csv", loopback(self.operators));
        let began = Instant::now();
        loop {
            let asked = self.http.get(&page).send().await;
            let said = match asked {
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(_) => String::new(), // it is about to listen
            };
            if balancer::servers_up(&said) == self.backends.len() {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the balancer misses a backend after {PATIENCE:?}:\n{said}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts the gateway, and waits until it serves.
    pub async fn start_gateway(&mut self) -> anyhow::Result<()> {
        self.gateway = Some(GatewayProcess::start(&self.setup).await?);
        Ok(())
    }

    /// Kills the gateway, as a crash would, and waits for its end.
    pub async fn kill_gateway(&mut self) -> anyhow::Result<String> {
        let mut gateway = self.gateway.take().context("the gateway does not run")?;
        kill(gateway.pid(), Signal::KILL)?;
        timeout(PATIENCE, gateway.ended()).await.context("the gateway did not end")
    }

    /// Stops the gateway's process, and makes sure that it stands still.
    pub async fn stall_gateway(&self) -> anyhow::Result<()> {
        let pid = self.gateway_pid();
        kill(pid, Signal::STOP)?;
        let process = Process { name: "gateway".to_owned(), pid: pid.context("the gateway does not run")? };
        let began = Instant::now();
        while !process.is_stopped() {
            ensure!(began.elapsed() < PATIENCE, "the gateway does not stand still");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Lets the gateway's process go on.
    pub fn release_gateway(&self) -> anyhow::Result<()> {
        kill(self.gateway_pid(), Signal::CONT)
    }

    /// Ends everything in order. Says what did not end well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for n in 0..self.backends.len() {
            if self.backends[n].child.is_some() {
                let status = self.end_backend(n, Signal::TERM).await?;
                ensure!(status.success(), "backend {} ended with {status} when it was asked to stop", n + 1);
            }
        }
        if let Some(gateway) = self.gateway.take() {
            gateway.stop().await;
        }
        Ok(())
    }
}

/// A token of this configuration for swarms that begin like this, valid for an hour.
pub fn token(config: &Config, swarms: &str) -> anyhow::Result<String> {
    let pattern = SwarmPattern::parse(&format!("{swarms}*")).context("no swarm can begin like that")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let claims = Claims::until(Timestamp::from_seconds(now.as_secs()) + Duration::from_hours(1), vec![pattern]);
    token_keys(config).sign(&claims).context("none of token.keys can sign: it needs one with a secret")
}

fn kill(pid: Option<u32>, signal: Signal) -> anyhow::Result<()> {
    let pid = pid.and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).context("the process has ended already")?;
    kill_process(pid, signal).context("the process cannot be signalled")
}

fn variables(settings: &serde_json::Value) -> Vec<(String, String)> {
    let parts = settings.as_object().into_iter().flatten();
    let fields =
        parts.flat_map(|(part, fields)| fields.as_object().into_iter().flatten().map(move |field| (part, field)));
    let variable = |(part, (field, value)): (&String, (&String, &serde_json::Value))| {
        let name = format!("STARLING_{part}__{field}").to_ascii_uppercase();
        (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    fields.map(variable).collect()
}

/// A standalone Redis that keeps nothing on disk; it listens when this returns. Dropped, it is killed.
pub async fn start_redis(port: u16) -> anyhow::Result<Child> {
    let text = port.to_string();
    let mut child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &text, "--save", "", "--appendonly", "no", "--loglevel", "warning"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("redis-server cannot be run: install it, or take --engine memory")?;
    while TcpStream::connect(loopback(port)).await.is_err() {
        ensure!(child.try_wait()?.is_none(), "redis-server ended at once: is port {port} taken?");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(child)
}

/// The program that `--starling` names, or the one beside this one.
pub fn find_starling(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named);
    }
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let beside = own.parent().unwrap_or(Path::new(".")).join("starling");
    ensure!(
        beside.is_file(),
        "there is no {}: build it with `cargo build --release`, or name it with --starling",
        beside.display()
    );
    Ok(beside)
}
