//! A backend and a real Centrifugo, on ports of their own.

use std::{net::SocketAddr, path::PathBuf, sync::OnceLock, time::Duration};

use serde_json::{Value, json};
use starling::{
    app::{App, token_keys},
    clock::Clock,
    config::Config,
    demo::{
        gateway::{GatewayProcess, GatewaySetup, find},
        made_up,
    },
    domain::{SwarmPattern, token::Claims},
};

use tokio::time::{sleep, timeout};

pub use starling::demo::gateway::Transport;
pub use starling_load::ports::{free_port, loopback};

use crate::client::{Client, Connected};

/// Everything a test needs. The backend's clock stands still until the test moves it.
pub struct World {
    pub app: App,
    pub config: Config,
    pub clock: Clock,
    pub gateway: Option<GatewayProcess>,
    setup: GatewaySetup,
}

/// The Centrifugo that `make test` has found or built.
pub fn centrifugo() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let named = std::env::var_os("CENTRIFUGO").map(PathBuf::from);
    FOUND.get_or_init(|| find(named).expect("run scripts/centrifugo, or `make test`, which does")).clone()
}

/// The nodes of the Redis Cluster that `make test` has started, with commas between.
pub fn redis_cluster() -> String {
    std::env::var("REDIS_CLUSTER").expect("REDIS_CLUSTER names no nodes: run `make test`, which starts a cluster")
}

/// A configuration for a backend on this address, beside a gateway with its API on this port.
pub fn configuration(backend: SocketAddr, api: u16, api_key: &str, secret: &str) -> Config {
    let config = json!({
        "proxy": { "listen": backend, "secret": secret, "drain": "0s" },
        "admin": { "listen": loopback(0) },
        "gateway": { "api_url": format!("http://127.0.0.1:{api}/api"), "api_key": api_key },
        "token": { "keys": [{ "id": "test", "alg": "HS256", "secret": "a secret for tokens of the tests" }] },
        "ticket": { "keys": [{ "id": 1, "secret": "a secret for tickets of the tests" }] },
    });
    Config::from_text(&toml::to_string(&config).unwrap()).unwrap()
}

impl World {
    pub async fn start(transport: Transport) -> Self {
        Self::start_with(transport, |_| {}).await
    }

    /// Starts with a changed configuration.
    pub async fn start_with(transport: Transport, change: impl Fn(&mut Config)) -> Self {
        // A port can be lost between finding it and using it.
        for _ in 0..5 {
            let (clients, api, backend) = (free_port(), free_port(), loopback(free_port()));
            let (api_key, secret) = (made_up(), made_up());
            let mut config = configuration(backend, api, &api_key, &secret);
            change(&mut config);
            let clock = Clock::manual(Clock::System.now());
            let origins = "http://localhost".to_owned();
            let setup = GatewaySetup {
                binary: centrifugo(),
                clients,
                api,
                backend,
                transport,
                api_key,
                secret,
                origins,
                redis: None,
            };
            // The gateway first: a backend that finds none looks again only after a while.
            let started = async {
                let gateway = GatewayProcess::start(&setup).await?;
                anyhow::Ok((gateway, App::start(&config, clock.clone()).await?))
            };
            match started.await {
                Ok((gateway, app)) => return Self { app, config, clock, gateway: Some(gateway), setup },
                Err(error) => eprintln!("{error:#}"),
            }
        }
        panic!("no gateway could be started")
    }

    /// Kills the gateway, as a crash would.
    pub fn kill_gateway(&mut self) {
        self.gateway = None;
    }

    pub async fn start_gateway(&mut self) {
        self.gateway = Some(GatewayProcess::start(&self.setup).await.unwrap());
        self.nothing_is_missing().await;
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/connection/websocket", self.setup.clients)
    }

    /// The claims of a token for these swarms, valid for an hour.
    pub fn claims(&self, swarms: &[&str]) -> Claims {
        let swarms = swarms.iter().map(|swarm| SwarmPattern::parse(swarm).unwrap()).collect();
        Claims::until(self.clock.now() + Duration::from_hours(1), swarms)
    }

    pub fn sign(&self, claims: &Claims) -> String {
        token_keys(&self.config).sign(claims).unwrap()
    }

    pub fn token(&self, swarms: &[&str]) -> String {
        self.sign(&self.claims(swarms))
    }

    /// A client that connected with this data.
    pub async fn connect(&self, data: Value) -> Connected {
        Client::connect(&self.url(), data).await.expect("the connection is accepted")
    }

    /// A peer whose token allows the swarm `s` and everything below `movie/`.
    pub async fn peer(&self) -> Connected {
        self.connect(json!({ "v": 1, "token": self.token(&["s", "movie/*"]) })).await
    }

    /// A peer that has joined `s`.
    pub async fn joined(&self) -> Connected {
        let peer = self.peer().await;
        peer.rpc("join", json!({ "swarm": "s" })).await.unwrap();
        peer
    }

    /// Two peers that have joined `s`, and the first one's ticket for the second.
    pub async fn pair(&self) -> (Connected, Connected, String) {
        let (ann, bob) = (self.joined().await, self.joined().await);
        let ticket = ann.ticket_for("s", &bob.peer).await;
        (ann, bob, ticket)
    }

    /// Waits until `/metrics` has this line.
    pub async fn metric(&self, line: &str) {
        let lines = |metrics: &Value| metrics.as_str().unwrap().lines().any(|other| other == line).then_some(());
        self.until("/metrics", line, lines).await;
    }

    /// Waits until readiness misses `what` ("gateway", "redis"), and returns what it says.
    pub async fn missing(&self, what: &str) -> String {
        let missing = |ready: &Value| Some(ready["missing"][what].as_str()?.to_owned());
        self.until("/health/ready", what, missing).await
    }

    /// Waits until readiness misses nothing.
    pub async fn nothing_is_missing(&self) {
        let ready = |ready: &Value| (ready == &json!({ "status": "ready" })).then_some(());
        self.until("/health/ready", "nothing is missing", ready).await;
    }

    /// Asks again and again, until the answer is yes.
    pub async fn eventually(&self, what: &str, mut asked: impl AsyncFnMut() -> bool) {
        let asking = async {
            while !asked().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), asking).await.expect(what);
    }

    /// Waits until a page of the admin listener has something.
    pub async fn until<T>(&self, path: &str, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let asking = async {
            loop {
                if let Some(found) = found(&self.admin(path).await.1) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), asking).await.expect(what)
    }

    pub async fn admin(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "").await
    }

    /// Any request to the admin listener.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.app.admin_address());
        let request = reqwest::Client::new().request(method.parse().unwrap(), url).body(body.to_owned());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}
