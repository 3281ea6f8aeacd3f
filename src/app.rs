//! Plugs it together: one backend, from a configuration to a clean stop.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU8},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::{net::TcpListener, time::timeout};
use tracing::info;

use crate::{
    admin::{self, Admin, Phase},
    clock::Clock,
    config::{Algorithm, Config, StoreKind},
    domain::{
        mac::MacKeys,
        token::{TokenKey, TokenKeys},
    },
    gateway::{Centrifugo, Gateway},
    geo::{Geo, GeoSettings},
    lifecycle::Lifecycle,
    listener,
    outbox::{Outbox, OutboxSettings},
    proxy::{self, Proxy, ProxyMetrics},
    ranking::{Loops, Ranking, RankingSettings},
    signaling::{Overload, Signaling, SignalingMetrics},
    store::{MemoryStore, RedisSettings, RedisStore, Store},
    telemetry,
};

/// Most memberships in one process's memory: about 500 bytes each.
const MAX_MEMBERS: usize = 1_000_000;
/// A backend that starts waits so long for Redis, so that its first lists are not empty; then it serves without.
const REDIS_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop may take: `proxy.drain` of up to 1 s, a call in hand of up to 2 s, and two last flushes.
const STOP_WITHIN: Duration = Duration::from_millis(4800);

/// A backend that is running.
pub struct App {
    proxy_address: SocketAddr,
    admin_address: SocketAddr,
    admin: Arc<Admin>,
    drain: Duration,
    // In the order in which they stop: calls come in through the first, and what they left goes out through the second.
    calls: Lifecycle,
    lanes: Lifecycle,
    operators: Lifecycle,
}

impl App {
    /// Starts a backend; it serves when this returns.
    pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let recorder = telemetry::recorder();
        let metrics = recorder.handle();
        let listen = async |what: &str, address| {
            let listener = TcpListener::bind(address).await;
            listener.with_context(|| format!("{what} = \"{address}\" cannot be listened on"))
        };
        let proxy_listener = listen("proxy.listen", config.proxy.listen).await?;
        let admin_listener = listen("admin.listen", config.admin.listen).await?;
        let (proxy_address, admin_address) = (proxy_listener.local_addr()?, admin_listener.local_addr()?);

        let mut redis = None;
        let store: Arc<dyn Store> = match config.store.kind {
            StoreKind::Memory => Arc::new(MemoryStore::new(MAX_MEMBERS, config.store.remember)),
            StoreKind::Redis => {
                let settings = redis_settings(config)?;
                let store = metrics::with_local_recorder(&recorder, || RedisStore::new(&settings));
                redis.insert(Arc::new(store.context("store.redis_nodes or store.redis_ca_file")?)).clone()
            }
        };
        // Every part makes its series here, so that they exist at zero.
        let (proxy, lanes, signaling, loops, centrifugo) = metrics::with_local_recorder(&recorder, || {
            let centrifugo = Centrifugo::new(&config.gateway.api_url, &config.gateway.api_key.0);
            let centrifugo =
                Arc::new(centrifugo.context("gateway.api_key has characters that no HTTP header can hold")?);
            let gateway: Arc<dyn Gateway> = centrifugo.clone();
            let settings = OutboxSettings {
                window: config.batch.window,
                lanes: config.batch.lanes,
                capacity: config.batch.capacity,
            };
            let (outbox, lanes) = Outbox::new(settings, &gateway);
            let settings = RankingSettings {
                interval: config.ranking.interval,
                remember: config.store.remember,
                price_per_gb: config.offload.price_per_gb,
            };
            let (ranking, loops) = Ranking::new(store.clone(), clock.clone(), settings);
            let signaling = Arc::new(Signaling {
                ranking: ranking.clone(),
                geo: Arc::new(Geo::open(geo_settings(config))?),
                overload: Arc::new(Overload::new()),
                outbox,
                gateway,
                tokens: token_keys(config),
                tickets: ticket_keys(config)?,
                ticket_ttl: config.ticket.ttl,
                ice_servers: config.ice.servers.clone(),
                clock: clock.clone(),
                metrics: SignalingMetrics::new(),
            });
            let proxy = Proxy {
                signaling: signaling.clone(),
                secret: config.proxy.secret.0.clone(),
                client_ip_header: config.proxy.client_ip_header.parse().context("proxy.client_ip_header")?,
                metrics: ProxyMetrics::new(),
            };
            anyhow::Ok((Arc::new(proxy), lanes, signaling, loops, centrifugo))
        })?;

        let phase = AtomicU8::new(Phase::Starting as u8);
        let admin = Arc::new(Admin { phase, gateway: centrifugo.clone(), signaling, store, clock, metrics });
        let app = Self {
            proxy_address,
            admin_address,
            admin: admin.clone(),
            drain: config.proxy.drain,
            calls: Lifecycle::default(),
            lanes: Lifecycle::default(),
            operators: Lifecycle::default(),
        };
        app.operators.start(|stop| listener::serve(admin_listener, admin::router(admin), stop));
        app.operators.start(|stop| centrifugo.watch(stop));
        let (geo, overload) = (app.admin.signaling.geo.clone(), app.admin.signaling.overload.clone());
        app.operators.start(|stop| geo.run(stop));
        app.operators.start(|stop| overload.run(stop));
        let Loops { ranker, refresher, writer, hints } = loops;
        app.operators.start(|stop| ranker.run(stop));
        app.operators.start(|stop| refresher.run(stop));
        app.operators.start(|stop| writer.run(stop));
        app.operators.start(|stop| hints.run(stop));
        app.operators.start(|stop| telemetry::upkeep(app.admin.metrics.clone(), stop));
        if let Some(store) = redis {
            app.operators.start(|stop| store.watch(stop));
            app.operators.start(|stop| store.listen(stop));
            store.connected(REDIS_WITHIN).await;
        }
        for lane in lanes {
            app.lanes.start(|stop| lane.run(stop));
        }
        app.calls.start(|stop| listener::serve(proxy_listener, proxy::service(proxy), stop));
        app.admin.enter(Phase::Running);
        info!("Serving proxy calls on {proxy_address}, health and metrics on {admin_address}");
        Ok(app)
    }

    /// Where Centrifugo reaches us.
    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy_address
    }

    /// Where operators do.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Resolves when a task that should not end has ended.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.calls.stopped() => {}
            () = self.lanes.stopped() => {}
            () = self.operators.stopped() => {}
        }
    }

    /// Says that it is not ready, goes on until balancers know, takes no more calls, finishes those in hand, publishes
    /// what was accepted. Ends within 5 s; an error says what was left undone.
    pub async fn stop(self) -> anyhow::Result<()> {
        let end = Instant::now() + STOP_WITHIN;
        let left = || end - Instant::now();
        self.admin.enter(Phase::Stopping);
        // A task that died ends the wait too.
        let _ = timeout(self.drain, self.failed()).await;
        let calls = self.calls.stop("The proxy listener", left()).await;
        let lanes = self.lanes.stop("The outbox", left()).await;
        let operators = self.operators.stop("The admin listener", left()).await;
        ensure!(calls && lanes && operators, "not everything ended in time");
        Ok(())
    }
}

/// Where the Redis Cluster is, as configured.
fn redis_settings(config: &Config) -> anyhow::Result<RedisSettings> {
    let crate::config::Store { redis_nodes, redis_user, redis_password, redis_tls, redis_ca_file, key_prefix, .. } =
        &config.store;
    let read = |file: &str| std::fs::read(file).with_context(|| format!("store.redis_ca_file: {file} cannot be read"));
    Ok(RedisSettings {
        nodes: redis_nodes.clone(),
        user: redis_user.clone(),
        password: redis_password.0.clone(),
        tls: *redis_tls,
        ca: (!redis_ca_file.is_empty()).then(|| read(redis_ca_file)).transpose()?,
        key_prefix: key_prefix.clone(),
        remember: config.store.remember,
    })
}

/// Where peers are, as configured.
pub fn geo_settings(config: &Config) -> GeoSettings {
    let file = |path: &str| (!path.is_empty()).then(|| path.into());
    let crate::config::Geo { asn_database, country_database, cost_map } = &config.geo;
    GeoSettings { asn_database: file(asn_database), country_database: file(country_database), cost_map: file(cost_map) }
}

/// The keys of access tokens, as configured.
pub fn token_keys(config: &Config) -> TokenKeys {
    let key = |key: &crate::config::TokenKey| match key.alg {
        Algorithm::HS256 => TokenKey::hs256(&key.id, &key.secret.0),
    };
    TokenKeys::new(config.token.keys.iter().map(key).collect(), &config.token.audience)
}

fn ticket_keys(config: &Config) -> anyhow::Result<MacKeys> {
    let keys = config.ticket.keys.iter().map(|key| (key.id, key.secret.0.as_bytes()));
    MacKeys::new(keys).context("ticket.keys is empty")
}
