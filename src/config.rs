//! Configuration: one tree of structs. Defaults are in `config/default.toml`; a file changes what it names, and the
//! environment wins over both.

mod commas;
mod geo;
mod offload;
#[cfg(test)]
mod tests;
mod validate;

use std::{fmt, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, bail};
use config::{File, FileFormat, Value, ValueKind};
use serde::{Deserialize, Serialize, Serializer};

use crate::protocol::IceServer;

pub use geo::Geo;

const DEFAULTS: &str = include_str!("../config/default.toml");
const ENVIRONMENT: &str = "STARLING_";

/// Everything that can be configured.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Calls from Centrifugo.
    pub proxy: Proxy,
    /// Health and metrics.
    pub admin: Admin,
    /// Calls to Centrifugo.
    pub gateway: Gateway,
    /// Access tokens.
    pub token: Token,
    /// Tickets and resume tokens.
    pub ticket: Ticket,
    /// Memberships.
    pub store: Store,
    /// What is known of peers.
    pub ranking: Ranking,
    /// Where peers are.
    pub geo: Geo,
    /// The outbox.
    pub batch: Batch,
    /// What clients are told about STUN and TURN.
    pub ice: Ice,
    /// What it is worth.
    pub offload: offload::Offload,
}

/// `[proxy]`: the listener that Centrifugo calls, over gRPC or HTTP.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Address and port; port 0 takes a free one. Let nobody but Centrifugo reach it.
    pub listen: SocketAddr,
    /// What Centrifugo shows as `x-starling-secret`: at least 16 characters.
    pub secret: Secret,
    /// The header in which the gateway passes on the client's address. Whoever can write it can claim any address, so
    /// the balancer in front of the gateway must overwrite it.
    pub client_ip_header: String,
    /// How long calls are still taken after SIGTERM, while readiness says 503 already: up to 1 s. Longer than balancers
    /// need to notice, or they send calls to a backend that is gone; 0 where nobody balances.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

/// `[admin]`: the listener for operators.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address and port; port 0 takes a free one. What it shows is not for the public.
    pub listen: SocketAddr,
}

/// `[gateway]`: Centrifugo's HTTP API.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Of each node, up to and with `/api`; plain HTTP, on the internal network. Several are separated by commas; they
    /// share an engine, and any of them takes any publication, so that one may be lost.
    #[serde(with = "commas")]
    pub api_url: Vec<String>,
    /// Its API key: at least 16 characters.
    pub api_key: Secret,
}

/// `[token]`: access tokens, which the publisher's own backend signs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// At least one. Tried in order for a token that names none.
    pub keys: Vec<TokenKey>,
    /// What a token's `aud` must say (or have among what it says).
    pub audience: String,
}

/// One key of access tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// What a token's `kid` calls it.
    pub id: String,
    /// Its algorithm.
    pub alg: Algorithm,
    /// The secret as plain text: at least 32 characters (RFC 7518, section 3.2).
    pub secret: Secret,
}

/// The algorithm of an access token's key.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub enum Algorithm {
    /// HMAC with SHA-256 under a shared secret.
    HS256,
}

/// `[ticket]`: what permits one peer to signal another.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// At least one, the same on every node. The first signs, all verify: to rotate, add the new one behind, then move
    /// it to the front; take the old one away after a day, since clients that come back within that time keep their ids
    /// with it.
    pub keys: Vec<TicketKey>,
    /// How long a listed peer may be offered to: 10 s to 6 h. Short, and lists must be asked for more often; long, and a
    /// peer that left can be pestered longer.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
}

/// One key of tickets and resume tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TicketKey {
    /// Travels in the ticket.
    pub id: u8,
    /// At least 32 characters.
    pub secret: Secret,
}

/// `[store]`: where memberships are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Which store.
    pub kind: StoreKind,
    /// How long a peer that fell silent, and what was said of it, is remembered: 1 min to 1 h. A viewer who comes back
    /// within that time is who it was; a swarm that ends leaves nothing behind after it.
    #[serde(with = "humantime_serde")]
    pub remember: Duration,
    /// Some nodes of the Redis Cluster, as `host:port` with commas between: the others are found through them, so name
    /// enough that one of them is up when a backend starts.
    #[serde(with = "commas")]
    pub redis_nodes: Vec<String>,
    /// Who we are there: `config/redis.acl` says what this user needs. Empty: the default user.
    pub redis_user: String,
    /// Its password. Empty: none.
    pub redis_password: Secret,
    /// Whether the nodes speak TLS.
    pub redis_tls: bool,
    /// A file with the certificates (PEM) of who signs the nodes'. Empty: whom the system trusts.
    pub redis_ca_file: String,
    /// What the names of all keys and channels begin with: up to 64 characters without `{`, `}`, `*` or white space. The
    /// same on every node of one network; another for each network that shares the cluster.
    pub key_prefix: String,
}

/// The kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// This process's memory: for a single backend. A restart empties it, and clients join again.
    Memory,
    /// A Redis Cluster: for several.
    Redis,
}

/// `[ranking]`: what is known of peers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// How often scores are computed and the copies of swarms renewed, give or take a tenth: 1 s to 10 s. Shorter costs
    /// the store more; longer, and peers that are alive would seem silent.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

/// `[batch]`: how signals wait to be published.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// How long candidates wait to travel together: up to 1 s. Longer saves publications and costs time to link.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// How many batches can be under way at once: 1 to 64. One makes the largest batches, which cost the least; more
    /// where a call of the gateway takes long, since each lane waits for its own.
    pub lanes: usize,
    /// How many signals (2 KB each or so) can wait in each lane before more are refused with 503: 16 to 1,000,000. As
    /// many again can be in the batch that it gathers.
    pub capacity: usize,
}

/// `[ice]`: STUN and TURN servers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ice {
    /// As in `RTCConfiguration.iceServers`. What stands here every client gets to see.
    pub servers: Vec<IceServer>,
}

/// A text that is shown to nobody.
#[derive(Clone, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(empty)" } else { "***" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl Config {
    /// Reads the defaults, the file where given, and the environment; says everything that is wrong at once.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("the configuration file {} cannot be read", path.display()))
        };
        let file = file.map(read).transpose()?.unwrap_or_default();
        Self::from_text_and(&file, environment())
    }

    /// Reads the defaults and `file`, the text of a configuration file.
    pub fn from_text(file: &str) -> anyhow::Result<Self> {
        Self::from_text_and(file, std::iter::empty())
    }

    /// The same, and these variables, which win.
    pub fn from_text_and(file: &str, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let config = Self::parse(file, environment)?;
        config.validate()?;
        Ok(config)
    }

    fn parse(file: &str, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        // Checked first, since the message of the config crate shows the line, which may hold a secret.
        if let Err(error) = file.parse::<toml::Table>() {
            let before = &file[..error.span().map_or(0, |span| span.start.min(file.len()))];
            bail!("line {} of the configuration file: {}", before.lines().count().max(1), error.message());
        }
        let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
        let known = config::Config::builder().add_source(defaults.clone()).build()?;
        let mut builder =
            config::Config::builder().add_source(defaults).add_source(File::from_str(file, FileFormat::Toml));
        for (name, text) in environment {
            // Without `__` it is somebody else's, such as what an orchestrator sets for a service called starling.
            let Some(path) = name.strip_prefix(ENVIRONMENT).filter(|path| path.contains("__")) else { continue };
            let key = path.to_ascii_lowercase().replace("__", ".");
            let default =
                known.get::<Value>(&key).map_err(|_| anyhow::anyhow!("{name}: there is no setting called {key}"))?;
            let is_list = matches!(default.kind, ValueKind::Array(_));
            builder = builder.set_override(key, value(&name, &text, is_list)?)?;
        }
        Ok(builder.build()?.try_deserialize()?)
    }
}

/// All variables. What is not text is not for us.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}

/// A variable's text as a value: JSON for a list. What is wrong with it is said without showing it.
fn value(name: &str, text: &str, is_list: bool) -> anyhow::Result<Value> {
    if !is_list {
        return Ok(text.into());
    }
    if text.trim().is_empty() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    let list: Vec<std::collections::HashMap<String, Value>> =
        serde_json::from_str(text).ok().with_context(|| format!("{name} is not a JSON list of objects"))?;
    Ok(list.into())
}
