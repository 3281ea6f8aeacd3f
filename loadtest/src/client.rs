//! One light client: a connection, and another one when it is lost.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    peer::{Peer, Phase},
    wire::{Line, Socket},
};

/// How long a connect may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a client comes back, before jitter; doubled each time, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));
/// How many times it tries for the first connection.
const FIRST_TRIES: u32 = 5;

/// Where clients go.
pub struct Target {
    /// Of the gateway.
    pub address: SocketAddr,
    /// Such as `ws://127.0.0.1:8000/connection/websocket`.
    pub url: String,
    /// The access token of every client.
    pub token: String,
    /// How many may be connecting at once.
    pub doors: Semaphore,
}

/// Keeps a peer connected until it is dropped. Ends with why it cannot go on.
pub async fn run(mut peer: Peer, target: Arc<Target>, mut phase: watch::Receiver<Phase>) -> anyhow::Error {
    let (mut tries, mut was_connected) = (0, false);
    loop {
        let end = match connect(&mut peer, &target).await {
            Ok(mut socket) => {
                (tries, was_connected) = (0, true);
                let code = serve(&mut peer, &mut socket, &mut phase).await;
                peer.lost();
                anyhow::anyhow!("the gateway closed the connection with {code}").context(Closed(code))
            }
            Err(error) => error,
        };
        let code = end.downcast_ref::<Closed>().map_or(0, |closed| closed.0);
        let is_final = matches!(code, 3500..=3999 | 4500..=4999);
        if is_final || (!was_connected && tries >= FIRST_TRIES) {
            return end;
        }
        let pause = (PAUSE.0 * 2_u32.pow(tries.min(5))).min(PAUSE.1);
        let jitter = rand::random_range(0.5..1.5);
        sleep(pause.mul_f64(jitter)).await;
        tries += 1;
    }
}

/// The code with which a connection was closed; 0 when it just ended.
#[derive(Debug)]
struct Closed(u16);

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "close code {}", self.0)
    }
}

async fn connect(peer: &mut Peer, target: &Target) -> anyhow::Result<Socket> {
    let _door = target.doors.acquire().await.context("no client may connect any more")?;
    let opening = async {
        let mut socket = Socket::open(target.address, &target.url).await?;
        socket.send(peer.hello(&target.token)).await;
        let text = match socket.next().await {
            Ok(text) => text,
            Err(code) => return Err(anyhow::anyhow!("the connection was refused").context(Closed(code))),
        };
        let mut lines = text.lines();
        let reply = lines.next().unwrap_or_default();
        let reply: Line = serde_json::from_str(reply).context("the reply to the connect command cannot be read")?;
        if let Some(error) = reply.error {
            bail!("the connect command was answered with error {}", error.code);
        }
        let welcome = reply.connect.context("the connect command got no reply")?;
        ensure!(reply.id == 1, "the first reply is not for the connect command");
        peer.welcome(&welcome)?;
        for line in lines {
            peer.hear(line);
        }
        Ok(socket)
    };
    timeout(PATIENCE, opening).await.context("the gateway did not answer in time")?
}

/// Serves a connection until it ends; returns its close code.
async fn serve(peer: &mut Peer, socket: &mut Socket, phase: &mut watch::Receiver<Phase>) -> u16 {
    let far = Duration::from_hours(1);
    let alarm = sleep(far);
    tokio::pin!(alarm);
    let mut armed = None;
    loop {
        for line in peer.take_lines() {
            socket.send(line).await;
        }
        let due = peer.due();
        if due != armed {
            armed = due;
            let at = due.map_or_else(|| Instant::now() + far, |due| peer.shared().log.instant(due).into());
            alarm.as_mut().reset(at);
        }
        tokio::select! {
            text = socket.next() => match text {
                Ok(text) => {
                    for line in text.lines() {
                        if line == "{}" {
                            peer.pinged();
                            socket.send("{}".to_owned()).await;
                        } else {
                            peer.hear(line);
                        }
                    }
                }
                Err(code) => return code,
            },
            () = &mut alarm => {
                armed = None;
                peer.wake();
                if peer.is_deaf() {
                    return 0;
                }
            }
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                if changed.is_err() {
                    return 0;
                }
                peer.enter(now);
            }
        }
    }
}
