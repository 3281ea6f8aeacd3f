//! The connection to the cluster: made in the background, watched, and made anew when it is of no use any more.
//!
//! The client library follows moved slots and lost nodes by itself. What it does not notice is a master that hangs: it
//! goes on asking it. So when a part of the slots has given no answer for a second, we make another connection from the
//! configured nodes, and take it if it answers where the old one did not.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use rand::RngExt;
use redis::{
    Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError, ServerErrorKind,
    TlsCertificates, Value,
    aio::ConnectionLike,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    keys::{Keys, TAGS},
    metrics::{Command, Reason, RedisMetrics},
    scripts::Request,
};
use crate::store::StoreError;

/// What a request on the path of a client's call may take: a little less than that call waits, so that it is noticed here
/// when there is no answer.
pub const AT_ONCE: Duration = Duration::from_millis(230);
/// What a request of a background loop may take.
pub const BEHIND: Duration = Duration::from_secs(1);
/// A part of the slots that gives no answer for so long makes us look for another connection.
const PATIENCE: Duration = Duration::from_secs(1);
/// Failures older than this say nothing about now.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// Waits between attempts to connect.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Slots are watched in so many parts: about as many as a cluster has masters at most.
const PARTS: usize = 64;

/// Where the cluster is, and who we are there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Some of its nodes, as `host:port`.
    pub nodes: Vec<String>,
    /// Empty: the default user.
    pub user: String,
    /// Empty: none.
    pub password: String,
    /// Whether to speak TLS.
    pub tls: bool,
    /// Who signed the nodes' certificates, as PEM; `None`: whom the system trusts.
    pub ca: Option<Vec<u8>>,
    /// What keys and channels begin with.
    pub key_prefix: String,
    /// Lifetime of what nobody renews.
    pub remember: Duration,
}

impl Settings {
    fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = self.ca.clone();
        self.tls.then_some(TlsCertificates { client_tls: None, root_cert })
    }

    /// Each node's address with the user.
    fn addresses(&self) -> Result<Vec<ConnectionInfo>, RedisError> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let address = |node: &String| {
            let address = format!("{scheme}://{node}").into_connection_info()?;
            let mut user = address.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            if !self.user.is_empty() {
                user = user.set_username(&self.user);
            }
            if !self.password.is_empty() {
                user = user.set_password(&self.password);
            }
            Ok(address.set_redis_settings(user))
        };
        self.nodes.iter().map(address).collect()
    }

    fn cluster(&self) -> Result<ClusterClient, RedisError> {
        let builder = ClusterClientBuilder::new(self.addresses()?)
            .retries(3)
            .min_retry_wait(20)
            .max_retry_wait(200)
            .connection_timeout(Duration::from_millis(300))
            // Who has less time than that waits no longer than it has.
            .response_timeout(BEHIND)
            .overall_response_timeout(Some(BEHIND));
        match self.certificates() {
            Some(certificates) => builder.certs(certificates).build(),
            None => builder.build(),
        }
    }

    /// A client of each node.
    pub fn single_nodes(&self) -> Result<Vec<Client>, RedisError> {
        let client = |address: ConnectionInfo| match self.certificates() {
            Some(certificates) => Client::build_with_tls(address, certificates),
            None => Client::open(address),
        };
        self.addresses()?.into_iter().map(client).collect()
    }
}

/// What is known of one part of the slots: since when it fails, and as what.
struct Failing {
    since: Instant,
    last: Instant,
    times: u32,
    tag: usize,
    why: String,
}

impl Failing {
    fn is_lasting(&self) -> bool {
        self.times >= 3 && self.last - self.since >= PATIENCE && self.last.elapsed() < FORGOTTEN
    }
}

/// The connection, and how it does.
pub struct Connection {
    client: ClusterClient,
    keys: Keys,
    metrics: Arc<RedisMetrics>,
    current: RwLock<Option<ClusterConnection>>,
    /// Why there is none yet.
    unconnected: Mutex<String>,
    /// By part. Empty while all is well.
    failing: Mutex<HashMap<usize, Failing>>,
    worry: Notify,
}

impl Connection {
    /// One that is not connected yet: `watch` does that.
    pub fn new(settings: &Settings, metrics: Arc<RedisMetrics>) -> Result<Self, RedisError> {
        // Several libraries may bring their own cryptography; who was first stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            client: settings.cluster()?,
            keys: Keys::new(&settings.key_prefix),
            metrics,
            current: RwLock::new(None),
            unconnected: Mutex::new("not connected yet".to_owned()),
            failing: Mutex::new(HashMap::new()),
            worry: Notify::new(),
        })
    }

    /// Sends a request and returns an answer to each of its commands.
    pub async fn send(&self, command: Command, request: &Request, limit: Duration) -> Result<Vec<Value>, StoreError> {
        let started = Instant::now();
        let result = match timeout(limit, self.try_send(request)).await {
            Ok(result) => result,
            Err(_) => Err((Reason::Late, format!("no answer within {limit:?}"))),
        };
        self.metrics.done(command, request, started.elapsed(), result.as_ref().err().map(|(reason, _)| *reason));
        match &result {
            // Whoever answers that is there.
            Ok(_) | Err((Reason::Answer, _)) => self.is_well(request.tag),
            Err((Reason::Late | Reason::Away, why)) => self.is_failing(request.tag, why),
        }
        result.map_err(|(_, why)| StoreError::Away(why))
    }

    /// Resolves once there is a connection.
    pub async fn connected(&self) {
        while self.current.read().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn try_send(&self, request: &Request) -> Result<Vec<Value>, (Reason, String)> {
        let current = self.current.read().clone();
        let mut connection = current.ok_or_else(|| (Reason::Away, self.unconnected.lock().clone()))?;
        let mut by_text = false;
        loop {
            let pipeline = request.pipeline(by_text);
            let answers = connection.req_packed_commands(&pipeline, 0, request.len()).await.map_err(explained)?;
            let mut failed = answers.iter().filter_map(|answer| match answer {
                Value::ServerError(error) => Some(error),
                _ => None,
            });
            match failed.next() {
                None => return Ok(answers),
                Some(error) if error.kind() == Some(ServerErrorKind::NoScript) && !by_text => by_text = true,
                Some(error) => return Err(explained(RedisError::from(error.clone()))),
            }
        }
    }

    fn is_well(&self, tag: usize) {
        let mut failing = self.failing.lock();
        if !failing.is_empty() {
            failing.remove(&part(tag));
        }
    }

    fn is_failing(&self, tag: usize, why: &str) {
        let now = Instant::now();
        let mut failing = self.failing.lock();
        let new = || Failing { since: now, last: now, times: 0, tag, why: String::new() };
        let part = failing.entry(part(tag)).or_insert_with(new);
        if part.last.elapsed() > FORGOTTEN {
            *part = new();
        }
        part.times += 1;
        part.last = now;
        part.tag = tag;
        why.clone_into(&mut part.why);
        if part.is_lasting() {
            self.worry.notify_one();
        }
    }

    /// What is wrong, in words; `None` when nothing is.
    pub fn missing(&self) -> Option<String> {
        if self.current.read().is_none() {
            return Some(format!("redis: {}", self.unconnected.lock()));
        }
        let failing = self.failing.lock();
        let worst = failing.values().find(|part| part.is_lasting())?;
        Some(format!("redis, or a part of it: {}", worst.why))
    }

    /// A slot that does not answer, if there is one; any, if there is no connection at all.
    fn wanted(&self) -> Option<usize> {
        if self.current.read().is_none() {
            return Some(rand::rng().random_range(0..TAGS));
        }
        self.failing.lock().values().find(|part| part.is_lasting()).map(|part| part.tag)
    }

    /// Connects, and connects anew when the connection does not answer any more. Does not end before it is told to.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut wait = WAITS.0;
        loop {
            if let Some(tag) = self.wanted() {
                wait = match stop.run_until_cancelled(self.rebuild(tag)).await {
                    None => break,
                    Some(true) => WAITS.0,
                    Some(false) => (wait * 2).min(WAITS.1),
                };
                let jittered = wait.mul_f64(rand::rng().random_range(0.5..1.5));
                if stop.run_until_cancelled(tokio::time::sleep(jittered)).await.is_none() {
                    break;
                }
            } else if stop.run_until_cancelled(self.worry.notified()).await.is_none() {
                break;
            }
        }
    }

    /// Makes a connection, and takes it if this slot answers there. Says whether.
    async fn rebuild(&self, tag: usize) -> bool {
        match self.connect(tag).await {
            Ok(connection) => {
                let old = self.current.write().replace(connection);
                self.failing.lock().clear();
                if old.is_some() {
                    self.metrics.rebuilds.increment(1);
                    info!("The connection to Redis was made anew, since the last one did not answer");
                } else {
                    info!("Connected to Redis");
                }
                true
            }
            Err(why) => {
                let mut last = self.unconnected.lock();
                if *last != why {
                    warn!("Redis cannot be reached: {why}");
                    *last = why;
                }
                false
            }
        }
    }

    async fn connect(&self, tag: usize) -> Result<ClusterConnection, String> {
        // Each step of it has a limit; this one is for what they add up to.
        let late = |_| "no connection within 3 s".to_owned();
        let connection = timeout(Duration::from_secs(3), self.client.get_async_connection()).await.map_err(late)?;
        let mut connection = connection.map_err(|error| explained(error).1)?;
        let mut probe = redis::cmd("GET");
        probe.arg(self.keys.probe(tag));
        let answer = timeout(BEHIND, connection.req_packed_command(&probe)).await.map_err(late)?;
        answer.and_then(Value::extract_error).map_err(|error| explained(error).1)?;
        Ok(connection)
    }
}

const fn part(tag: usize) -> usize {
    tag * PARTS / TAGS
}

fn explained(error: RedisError) -> (Reason, String) {
    let reason = match error.kind() {
        _ if error.is_timeout() => Reason::Late,
        ErrorKind::Io
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::Server(
            ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => Reason::Away,
        _ => Reason::Answer,
    };
    (reason, error.to_string())
}
