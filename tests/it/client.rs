//! A small Centrifuge client (JSON protocol over WebSocket), with nothing between a test and the wire.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// An `error` in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: u64,
    pub message: String,
    pub temporary: bool,
}

/// A connection, before and after its connect command.
pub struct Client {
    outgoing: mpsc::UnboundedSender<Value>,
    waiting: Arc<parking_lot::Mutex<HashMap<u64, oneshot::Sender<Value>>>>,
    pushes: Mutex<mpsc::UnboundedReceiver<Value>>,
    closed: Mutex<Option<oneshot::Receiver<(u16, String)>>>,
    next: std::sync::atomic::AtomicU64,
}

/// A client that was let in.
pub struct Connected {
    client: Client,
    pub peer: String,
    /// The whole reply to the connect command.
    pub reply: Value,
}

impl Client {
    async fn open(url: &str, address: Option<&str>) -> Self {
        let mut request = url.into_client_request().unwrap();
        if let Some(address) = address {
            request.headers_mut().insert("X-Real-Ip", address.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await.expect("the gateway listens");
        let (mut sink, mut stream) = socket.split();
        let (outgoing, mut to_send) = mpsc::unbounded_channel::<Value>();
        let (push, pushes) = mpsc::unbounded_channel();
        let (close, closed) = oneshot::channel();
        let waiting = Arc::new(parking_lot::Mutex::new(HashMap::<u64, oneshot::Sender<Value>>::new()));
        let replies = waiting.clone();
        tokio::spawn(async move {
            let mut end = (0, "dropped".to_owned());
            loop {
                tokio::select! {
                    command = to_send.recv() => match command {
                        Some(command) => sink.send(Message::text(command.to_string())).await.unwrap_or(()),
                        None => break,
                    },
                    message = stream.next() => match message {
                        Some(Ok(Message::Text(text))) => for line in text.as_str().lines() {
                            let mut line: Value = serde_json::from_str(line).expect("the gateway speaks JSON");
                            if let Some(waiting) = line["id"].as_u64().and_then(|id| replies.lock().remove(&id)) {
                                let _ = waiting.send(line);
                            } else if line["push"].is_object() {
                                let _ = push.send(line["push"].take());
                            } else {
                                let _ = sink.send(Message::text("{}")).await; // a ping
                            }
                        },
                        Some(Ok(Message::Close(frame))) => {
                            end = frame.map_or(end, |frame| (frame.code.into(), frame.reason.to_string()));
                            break;
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    },
                }
            }
            replies.lock().clear();
            let _ = close.send(end);
        });
        let closed = Mutex::new(Some(closed));
        Self { outgoing, waiting, pushes: Mutex::new(pushes), closed, next: 1.into() }
    }

    /// Connects; `Err` is the close code and reason.
    pub async fn connect(url: &str, data: Value) -> Result<Connected, (u16, String)> {
        Self::connect_with(url, None, json!({ "data": data })).await
    }

    /// Connects with a whole connect command, such as one that recovers, and the header that a balancer would set.
    pub async fn connect_with(url: &str, address: Option<&str>, command: Value) -> Result<Connected, (u16, String)> {
        let client = Self::open(url, address).await;
        let Some(mut reply) = client.command("connect", command).await else { return Err(client.closed().await) };
        let reply = reply["connect"].take();
        let peer = reply["data"]["peer"].as_str().expect("the reply names the peer").to_owned();
        Ok(Connected { client, peer, reply })
    }

    /// Sends a command; `None` when the connection ended instead of a reply.
    async fn command(&self, kind: &str, body: Value) -> Option<Value> {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (reply, waiting) = oneshot::channel();
        self.waiting.lock().insert(id, reply);
        self.outgoing.send(json!({ "id": id, kind: body })).ok()?;
        timeout(PATIENCE, waiting).await.expect("a reply or an end").ok()
    }

    /// The code and reason with which the gateway closes the connection.
    async fn closed(&self) -> (u16, String) {
        let closed = self.closed.lock().await.take().expect("asked once");
        timeout(PATIENCE, closed).await.expect("the gateway closes the connection").unwrap()
    }
}

impl Connected {
    /// How the subscription to the own inbox began.
    pub fn inbox(&self) -> &Value {
        &self.reply["subs"][format!("inbox:{}", self.peer)]
    }

    /// The publications that were recovered.
    pub fn missed(&self) -> &[Value] {
        self.inbox()["publications"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Any command of the Centrifuge protocol.
    pub async fn command(&self, kind: &str, body: Value) -> Result<Value, Refused> {
        self.try_command(kind, body).await.expect("the connection stays")
    }

    /// Likewise; `None` when the connection ends instead.
    pub async fn try_command(&self, kind: &str, body: Value) -> Option<Result<Value, Refused>> {
        let mut reply = self.client.command(kind, body).await?;
        Some(match &reply["error"] {
            Value::Null => Ok(reply[kind].take()),
            error => Err(Refused {
                code: error["code"].as_u64().unwrap(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                temporary: error["temporary"].as_bool().unwrap_or_default(),
            }),
        })
    }

    pub async fn rpc(&self, method: &str, data: Value) -> Result<Value, Refused> {
        Ok(self.command("rpc", json!({ "method": method, "data": data })).await?["data"].take())
    }

    /// The code that a call is refused with.
    pub async fn refusal(&self, method: &str, data: Value) -> u64 {
        self.rpc(method, data).await.expect_err("this call is refused").code
    }

    /// Sends signals; the results as `"ok"` or the code.
    pub async fn signal(&self, swarm: &str, signals: Value) -> Vec<Value> {
        let reply = self.rpc("signal", json!({ "swarm": swarm, "signals": signals })).await.unwrap();
        let result = |result: &Value| if result["ok"] == true { json!("ok") } else { result["error"]["code"].clone() };
        reply["results"].as_array().unwrap().iter().map(result).collect()
    }

    /// A ticket for `peer` from a fresh list.
    pub async fn ticket_for(&self, swarm: &str, peer: &str) -> String {
        let list = self.rpc("peers", json!({ "swarm": swarm, "want": 16 })).await.unwrap();
        let entry = list["peers"].as_array().unwrap().iter().find(|entry| entry["peer"] == peer);
        entry.expect("the peer is listed")["ticket"].as_str().unwrap().to_owned()
    }

    /// The signals of the next delivery.
    pub async fn delivery(&self) -> Vec<Value> {
        let mut pushes = self.client.pushes.lock().await;
        let mut push = timeout(PATIENCE, pushes.recv()).await.expect("a delivery comes").expect("the connection stays");
        assert_eq!(push["channel"], format!("inbox:{}", self.peer), "not the own inbox");
        let Value::Array(signals) = push["pub"]["data"]["signals"].take() else { panic!("no signals in {push}") };
        signals
    }

    /// Deliveries that are here already; used after something that came later by the same way.
    pub async fn deliveries_so_far(&self) -> usize {
        let mut pushes = self.client.pushes.lock().await;
        std::iter::from_fn(|| pushes.try_recv().ok()).count()
    }

    /// The code and reason with which the gateway closes the connection.
    pub async fn closed(&self) -> (u16, String) {
        self.client.closed().await
    }
}
