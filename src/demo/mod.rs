//! `starling demo`: gateway, backend, page and tokens in one command, everything on loopback, with secrets made up at
//! start.

pub mod gateway;
mod page;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use rand::Rng;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    app::{App, token_keys},
    clock::Clock,
    config::{Config, environment},
    domain::SwarmId,
    lifecycle::{Lifecycle, asked_to_stop},
    listener, telemetry,
};
use gateway::{GatewayProcess, GatewaySetup, Transport};

/// A gateway that ended so often within this time will not stay.
const RESTARTS: (usize, Duration) = (3, Duration::from_secs(20));

/// `starling demo --help`
#[derive(Args, Debug)]
pub struct Options {
    /// Move all five ports: the page takes PORT, gateway and backend the four above it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1024..=65531))]
    port: Option<u16>,
    /// The swarm that the page joins; another one can be named in its address, as ?swarm=...
    #[arg(long, default_value = "demo", value_parser = SwarmId::parse)]
    swarm: SwarmId,
    /// The folder with the built page
    #[arg(long, default_value = "client/dist/demo")]
    page: PathBuf,
    /// Centrifugo's binary; otherwise the one on PATH, then the one that scripts/centrifugo has built
    #[arg(long, env = "CENTRIFUGO")]
    centrifugo: Option<PathBuf>,
    /// Keep state in the Redis Cluster of these nodes, as host:port with commas between; otherwise in memory
    #[arg(long, value_name = "NODES")]
    redis: Option<String>,
}

struct Ports {
    page: u16,
    clients: u16,
    api: u16,
    proxy: u16,
    admin: u16,
}

impl Ports {
    fn new(base: Option<u16>) -> Self {
        match base {
            None => Self { page: 8080, clients: 8000, api: 8001, proxy: 9000, admin: 9001 },
            Some(page) => Self { page, clients: page + 1, api: page + 2, proxy: page + 3, admin: page + 4 },
        }
    }

    /// Every port that cannot be had, in one message.
    async fn must_be_free(&self) -> anyhow::Result<()> {
        let mut taken = Vec::new();
        for (port, what) in [
            (self.page, "the page"),
            (self.clients, "the gateway's clients"),
            (self.api, "the gateway's API"),
            (self.proxy, "the backend's proxy calls"),
            (self.admin, "the backend's health and metrics"),
        ] {
            if let Err(error) = TcpListener::bind(loopback(port)).await {
                taken.push(format!("port {port} for {what}: {error}"));
            }
        }
        let list = taken.join("\n  ");
        ensure!(taken.is_empty(), "not every port is free; --port 18080 moves all of them.\n  {list}");
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Runs everything until Ctrl-C or SIGTERM.
#[expect(clippy::print_stdout, reason = "what runs and where is what a person at the terminal wants to read")]
pub async fn run(options: Options) -> anyhow::Result<()> {
    telemetry::log_events();
    let asked_to_stop = asked_to_stop().context("signals cannot be heard")?;
    let ports = Ports::new(options.port);
    ports.must_be_free().await?;
    ensure!(
        options.page.join("index.html").is_file(),
        "there is no page in {}: run `make demo`, which builds it, or name its folder with --page",
        options.page.display()
    );
    let setup = GatewaySetup {
        binary: gateway::find(options.centrifugo)?,
        clients: ports.clients,
        api: ports.api,
        backend: loopback(ports.proxy),
        transport: Transport::Grpc,
        api_key: made_up(),
        secret: made_up(),
        origins: format!("http://127.0.0.1:{0} http://localhost:{0}", ports.page),
        redis: None,
    };
    let config = configuration(&ports, &setup, options.redis.as_deref())?;
    let app = App::start(&config, Clock::System).await?;
    let url = format!("ws://127.0.0.1:{}/connection/websocket", ports.clients);
    let page = page::router(&options.page, &url, &options.swarm, token_keys(&config));
    let page_listener = TcpListener::bind(loopback(ports.page)).await?;
    let pages = Lifecycle::default();
    pages.start(|stop| listener::serve(page_listener, page, stop));

    let mut gateway = None;
    let announce = |version: &str| {
        println!("Gateway  Centrifugo {version} for clients on {url}");
        println!(
            "Backend  proxy calls on {}, health and metrics on http://{}",
            app.proxy_address(),
            app.admin_address()
        );
        if let Some(nodes) = &options.redis {
            println!("State    in the Redis Cluster of {nodes}");
        }
        println!("Page     http://127.0.0.1:{}  (open it in two tabs; Ctrl-C stops everything)", ports.page);
    };
    let end = tokio::select! {
        () = asked_to_stop => Ok(()),
        () = app.failed() => Err(anyhow!("the backend failed")),
        error = keep_gateway(&setup, &mut gateway, announce) => Err(error),
    };
    println!("Stopping");
    pages.stop("The page", Duration::from_secs(1)).await;
    let stopped = app.stop().await;
    if let Some(gateway) = gateway {
        gateway.stop().await;
    }
    end.and(stopped)
}

/// Starts the gateway, and starts it again whenever it has ended. Returns why it gave up.
#[expect(clippy::print_stdout, reason = "what runs is what a person at the terminal wants to read")]
async fn keep_gateway(
    setup: &GatewaySetup,
    gateway: &mut Option<GatewayProcess>,
    announce: impl FnOnce(&str),
) -> anyhow::Error {
    let mut announce = Some(announce);
    let mut starts: Vec<Instant> = Vec::new();
    loop {
        let running = match GatewayProcess::start(setup).await {
            Ok(started) => gateway.insert(started),
            Err(error) => return error,
        };
        if let Some(announce) = announce.take() {
            announce(running.version());
        }
        let how = running.ended().await;
        starts.retain(|at| at.elapsed() < RESTARTS.1);
        if starts.len() >= RESTARTS.0 {
            return anyhow!("the gateway does not stay: {how}");
        }
        starts.push(Instant::now());
        println!("The gateway ended ({how}) and is started again");
    }
}

/// Everything that was made up, as a configuration like any other. What was not can be set in the environment, such as
/// `STARLING_RANKING__INTERVAL`.
fn configuration(ports: &Ports, setup: &GatewaySetup, redis: Option<&str>) -> anyhow::Result<Config> {
    let mut config = json!({
        "proxy": { "listen": loopback(ports.proxy), "secret": setup.secret, "drain": "0s" },
        "admin": { "listen": loopback(ports.admin) },
        "gateway": { "api_url": format!("http://{}/api", loopback(ports.api)), "api_key": setup.api_key },
        "token": { "keys": [{ "id": "demo", "alg": "HS256", "secret": made_up() }] },
        "ticket": { "keys": [{ "id": 1, "secret": made_up() }] },
    });
    if let Some(nodes) = redis {
        config["store"] = json!({ "kind": "redis", "redis_nodes": nodes });
    }
    let file = toml::to_string(&config).context("made up and not TOML")?;
    Config::from_text_and(&file, environment().filter(|(name, _)| !is_made_up(name)))
}

/// Whether a variable sets something in a section whose settings fit together because they were made up together.
fn is_made_up(name: &str) -> bool {
    let section = name.strip_prefix("STARLING_").and_then(|setting| setting.split_once("__"));
    let section = section.map(|(section, _)| section.to_ascii_lowercase());
    section.is_some_and(|section| ["proxy", "admin", "gateway", "token", "ticket", "store"].contains(&section.as_str()))
}

/// A secret of 256 bits.
pub fn made_up() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_demo_makes_up_is_not_taken_from_the_environment() {
        assert!(is_made_up("STARLING_PROXY__LISTEN") && is_made_up("STARLING_store__KIND"));
        for name in ["STARLING_RANKING__INTERVAL", "STARLING_PROXY_PORT", "PROXY__LISTEN", "STARLING_STORES__KIND"] {
            assert!(!is_made_up(name), "{name}");
        }
    }
}
