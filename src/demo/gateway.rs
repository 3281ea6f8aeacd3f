//! A real Centrifugo as a child process, with the configuration of `centrifugo/` and everything that differs from one
//! installation to the next in its environment, as in production.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};

const V5: &str = include_str!("../../centrifugo/v5.4.json");
const V6: &str = include_str!("../../centrifugo/v6.json");

/// How long it may take to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of its log is kept, in lines.
const LOG_LINES: usize = 20;

/// What a gateway needs to know.
#[derive(Clone, Debug)]
pub struct GatewaySetup {
    /// Centrifugo 5.4, or 6.5 or later.
    pub binary: PathBuf,
    /// Port for clients.
    pub clients: u16,
    /// Port for API, metrics and health.
    pub api: u16,
    /// Where the backend hears proxy calls.
    pub backend: SocketAddr,
    /// How it is called.
    pub transport: Transport,
    /// Key of the API.
    pub api_key: String,
    /// What is shown to the backend.
    pub secret: String,
    /// Origins of pages, separated by spaces.
    pub origins: String,
    /// The Redis through which several gateways are one; a gateway alone keeps everything in memory.
    pub redis: Option<SocketAddr>,
}

/// How the gateway calls the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// gRPC.
    Grpc,
    /// HTTP/JSON.
    Http,
}

/// A gateway that is running. Dropped, it is killed.
pub struct GatewayProcess {
    child: Child,
    version: String,
    log: Arc<Mutex<VecDeque<String>>>,
    readers: [JoinHandle<()>; 2],
    _configuration: tempfile::TempDir,
}

/// The binary that was named, or the one on PATH, or the one that `scripts/centrifugo` has built.
pub fn find(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("centrifugo"));
    let built = PathBuf::from(".tools/centrifugo");
    on_path.chain([built]).find(|binary| binary.is_file()).context(
        "there is no Centrifugo: run scripts/centrifugo, which builds it once, or put a release (5.4, or 6.5 or later) \
         on PATH, or name one with --centrifugo",
    )
}

impl GatewayProcess {
    /// Starts a gateway and waits until it serves.
    pub async fn start(setup: &GatewaySetup) -> anyhow::Result<Self> {
        let version = version(setup).await?;
        let is_v5 = version.starts_with("5.");
        let folder = tempfile::tempdir().context("no folder for the gateway's configuration")?;
        let file = folder.path().join("config.json");
        let text = configuration(if is_v5 { V5 } else { V6 }, setup.transport)?;
        std::fs::write(&file, text).context("the gateway's configuration cannot be written")?;
        let mut child = Command::new(&setup.binary)
            .arg("-c")
            .arg(&file)
            .envs(environment(setup, is_v5))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Not ours to pass on: Ctrl-C at a terminal reaches a whole process group.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be run", setup.binary.display()))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        // v5 logs to standard error, v6 to standard output.
        let (error, output) = (child.stderr.take(), child.stdout.take());
        let readers = [tokio::spawn(keep_lines(error, log.clone())), tokio::spawn(keep_lines(output, log.clone()))];
        let mut gateway = Self { child, version, log, readers, _configuration: folder };
        gateway.serving(setup.api).await?;
        Ok(gateway)
    }

    async fn serving(&mut self, api: u16) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(1)).build()?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended with {status}:\n{}", self.last_words().await);
            }
            let health = http.get(format!("http://127.0.0.1:{api}/health")).send().await;
            if health.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.child.kill().await?;
        bail!("the gateway does not serve after {PATIENCE:?}:\n{}", self.last_words().await)
    }

    /// Such as `5.4.9`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Resolves when it has ended, with how.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Asks it to end, and insists after a while. Returns the end of its log.
    pub async fn stop(mut self) -> String {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !asked || timeout(PATIENCE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        self.last_words().await
    }

    /// The end of the log of a gateway that has ended.
    async fn last_words(&mut self) -> String {
        for reader in &mut self.readers {
            let _ = reader.await;
        }
        Vec::from(self.log.lock().clone()).join("\n")
    }
}

/// Keeps the last lines of a stream until it ends.
async fn keep_lines(stream: Option<impl AsyncRead + Unpin>, log: Arc<Mutex<VecDeque<String>>>) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock();
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

async fn version(setup: &GatewaySetup) -> anyhow::Result<String> {
    let binary = setup.binary.display();
    let output = Command::new(&setup.binary).arg("version").output().await;
    let output = output.with_context(|| format!("{binary} cannot be run"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    // Centrifugo v5.4.9 (Go version: go1.26.8)
    let version = said.split_whitespace().nth(1).and_then(|word| word.strip_prefix('v')).unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let supported = match (numbers.next(), numbers.next()) {
        (Some(5), Some(minor)) => minor >= 4,
        (Some(6), Some(minor)) => minor >= 5,
        _ => false,
    };
    ensure!(supported, "{binary} says it is version \"{version}\"; 5.4, or 6.5 or later is needed");
    Ok(version.to_owned())
}

/// The file as it is, or changed as `centrifugo/README.md` says for HTTP.
fn configuration(file: &str, transport: Transport) -> anyhow::Result<String> {
    if transport == Transport::Grpc {
        return Ok(file.to_owned());
    }
    let mut config: Value = serde_json::from_str(file)?;
    if let Some(top) = config.as_object_mut() {
        top.remove("proxy_grpc_credentials_key");
    }
    for proxy in ["/client/proxy/connect", "/client/proxy/refresh", "/rpc/proxy", "/channel/proxy/publish"] {
        if let Some(proxy) = config.pointer_mut(proxy).and_then(Value::as_object_mut) {
            proxy.remove("grpc");
            let header = json!({ "key": "X-Starling-Secret", "value": "${CENTRIFUGO_VAR_STARLING_SECRET}" });
            proxy.insert("http".to_owned(), json!({ "static_headers": [header] }));
        }
    }
    Ok(config.to_string())
}

fn environment(setup: &GatewaySetup, is_v5: bool) -> Vec<(String, String)> {
    let endpoint = |event: &str| match setup.transport {
        Transport::Grpc => format!("grpc://{}", setup.backend),
        Transport::Http => format!("http://{}/{event}", setup.backend),
    };
    let proxies = if is_v5 {
        ["PROXY_CONNECT", "PROXY_REFRESH", "PROXY_RPC", "PROXY_PUBLISH"]
    } else {
        ["CLIENT_PROXY_CONNECT", "CLIENT_PROXY_REFRESH", "RPC_PROXY", "CHANNEL_PROXY_PUBLISH"]
    };
    let mut variables: Vec<(String, String)> = proxies
        .into_iter()
        .zip(["connect", "refresh", "rpc", "publish"])
        .map(|(proxy, event)| (format!("{proxy}_ENDPOINT"), endpoint(event)))
        .collect();
    let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
    let (clients, api) = (setup.clients.to_string(), setup.api.to_string());
    if is_v5 {
        set("ADDRESS", "127.0.0.1");
        set("PORT", &clients);
        set("INTERNAL_PORT", &api);
        set("API_KEY", &setup.api_key);
        set("ALLOWED_ORIGINS", &setup.origins);
        match setup.transport {
            Transport::Grpc => set("PROXY_GRPC_CREDENTIALS_VALUE", &setup.secret),
            Transport::Http => {
                set("PROXY_STATIC_HTTP_HEADERS", &json!({ "X-Starling-Secret": setup.secret }).to_string());
            }
        }
    } else {
        set("HTTP_SERVER_ADDRESS", "127.0.0.1");
        set("HTTP_SERVER_PORT", &clients);
        set("HTTP_SERVER_INTERNAL_PORT", &api);
        set("HTTP_API_KEY", &setup.api_key);
        set("CLIENT_ALLOWED_ORIGINS", &setup.origins);
        set("VAR_STARLING_SECRET", &setup.secret);
    }
    if let Some(redis) = setup.redis {
        let (engine, address) =
            if is_v5 { ("ENGINE", "REDIS_ADDRESS") } else { ("ENGINE_TYPE", "ENGINE_REDIS_ADDRESS") };
        set(engine, "redis");
        set(address, &redis.to_string());
    }
    variables.into_iter().map(|(name, value)| (format!("CENTRIFUGO_{name}"), value)).collect()
}
