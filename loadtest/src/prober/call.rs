//! Proxy calls as the gateway makes them, to a backend that is named: what one backend did is looked for at the other.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// As long as the gateway waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to all backends.
pub struct Door {
    http: reqwest::Client,
    backends: Vec<SocketAddr>,
    secret: String,
    token: String,
}

/// A client that is connected, as far as backends can see.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name.
    pub peer: String,
    meta: Value,
}

impl Door {
    /// To these backends, with what is shown to them, and the token of every client.
    pub fn new(backends: Vec<SocketAddr>, secret: String, token: String) -> anyhow::Result<Self> {
        Ok(Self { http: reqwest::Client::builder().timeout(PATIENCE).build()?, backends, secret, token })
    }

    /// How many there are.
    pub fn backends(&self) -> usize {
        self.backends.len()
    }

    /// Connects a new client.
    pub async fn connect(&self, backend: usize) -> anyhow::Result<Client> {
        let call = json!({ "client": "prober", "data": { "v": 1, "token": self.token } });
        let said = self.post(backend, "connect", &call).await?;
        let peer = said["result"]["user"].as_str().with_context(|| format!("a client was not let in: {said}"))?;
        Ok(Client { peer: peer.to_owned(), meta: said["result"]["meta"].clone() })
    }

    /// Makes a call of a client; what the client would get.
    pub async fn call(&self, backend: usize, client: &Client, method: &str, data: Value) -> anyhow::Result<Value> {
        let Client { peer, meta } = client;
        let call = json!({ "client": "prober", "user": peer, "method": method, "data": data, "meta": meta });
        let mut said = self.post(backend, "rpc", &call).await?;
        if let Some(code) = said["error"]["code"].as_u64() {
            bail!("error {code}");
        }
        Ok(said["result"]["data"].take())
    }

    async fn post(&self, backend: usize, event: &str, call: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/{event}", self.backends[backend]);
        let request = self.http.post(url).header("X-Starling-Secret", &self.secret).body(call.to_string());
        let response = request.send().await.context("no answer")?;
        let (status, text) = (response.status(), response.text().await.context("no whole answer")?);
        serde_json::from_str(&text).with_context(|| format!("status {status}"))
    }
}
