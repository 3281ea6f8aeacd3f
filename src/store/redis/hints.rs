//! Who is gone, told between nodes by Pub/Sub.
//!
//! A message: a byte for the version, 1; then, for each who is gone, the length of the swarm's name (1), the name, the
//! peer (16) and the time in ms (6). One that says nothing is a heartbeat.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use rand::RngExt;
use redis::Client;
use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::records;
use crate::{
    domain::{PeerId, SwarmId},
    store::Gone,
};

const VERSION: u8 = 1;
/// Hints that a slow listener can be behind before it misses some.
const KEPT: usize = 4096;
/// Bytes in a message, about.
const LARGE: usize = 16 * 1024;
/// Every node's heartbeat comes by within this; who hears none is connected to a node that is dead or on its own.
const SILENCE: Duration = Duration::from_secs(12);
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Messages that say who is gone.
pub fn messages(gone: &[Gone]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut message = heartbeat();
    for Gone { swarm, peer, at } in gone {
        message.push(u8::try_from(swarm.as_str().len()).expect("a name of up to 128 bytes"));
        message.extend(swarm.as_str().as_bytes());
        message.extend(peer.as_bytes());
        message.extend(records::time(*at));
        if message.len() > LARGE {
            messages.push(std::mem::replace(&mut message, heartbeat()));
        }
    }
    if message.len() > 1 {
        messages.push(message);
    }
    messages
}

/// A message that says nothing.
pub fn heartbeat() -> Vec<u8> {
    vec![VERSION]
}

/// Who is gone according to a message; `None` for one that is not ours.
fn read(message: &[u8]) -> Option<Vec<Gone>> {
    let (version, mut rest) = message.split_first()?;
    let mut gone = Vec::new();
    while *version == VERSION && !rest.is_empty() {
        let (length, name) = rest.split_first()?;
        let (name, after) = name.split_at_checked(usize::from(*length))?;
        let (peer, after) = after.split_first_chunk::<16>()?;
        let (at, after) = after.split_first_chunk()?;
        let swarm = SwarmId::parse(std::str::from_utf8(name).ok()?).ok()?;
        gone.push(Gone { swarm, peer: PeerId::from_bytes(*peer), at: records::read_time(*at) });
        rest = after;
    }
    Some(gone)
}

/// Hears what nodes tell.
pub struct Listener {
    nodes: Vec<Client>,
    channel: String,
    heard: broadcast::Sender<Gone>,
}

impl Listener {
    /// To this channel, on one of these nodes: each of a cluster hears what any of them was told.
    pub fn new(nodes: Vec<Client>, channel: String) -> Self {
        Self { nodes, channel, heard: broadcast::Sender::new(KEPT) }
    }

    /// What is heard from now on.
    pub fn hear(&self) -> broadcast::Receiver<Gone> {
        self.heard.subscribe()
    }

    /// Listens until told to stop, at another node when one is silent.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut wait = WAITS.0;
        let mut node = rand::rng().random_range(0..self.nodes.len());
        loop {
            match stop.run_until_cancelled(self.listen(&self.nodes[node])).await {
                None => break,
                Some(Ok(())) => wait = WAITS.0,
                Some(Err(error)) => {
                    if wait == WAITS.0 {
                        warn!("Hints of other nodes cannot be heard: {error}");
                    }
                    wait = (wait * 2).min(WAITS.1);
                }
            }
            node = (node + 1) % self.nodes.len();
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..1.5));
            if stop.run_until_cancelled(tokio::time::sleep(jittered)).await.is_none() {
                break;
            }
        }
    }

    /// Listens at one node until it falls silent.
    async fn listen(&self, node: &Client) -> anyhow::Result<()> {
        let connection = timeout(CONNECT_WITHIN, async {
            let mut connection = node.get_async_pubsub().await?;
            connection.subscribe(&self.channel).await?;
            Ok::<_, redis::RedisError>(connection)
        });
        let mut messages = connection.await??.into_on_message();
        while let Ok(Some(message)) = timeout(SILENCE, messages.next()).await {
            let Some(gone) = read(message.get_payload_bytes()) else {
                debug!("A hint that is none was ignored");
                continue;
            };
            for gone in gone {
                // Nobody may be listening.
                let _ = self.heard.send(gone);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Timestamp;

    fn gone(n: u16) -> Gone {
        let mut peer = [7; 16];
        peer[..2].copy_from_slice(&n.to_be_bytes());
        let swarm = SwarmId::parse(&"s".repeat(usize::from(n % 128) + 1)).unwrap();
        Gone { swarm, peer: PeerId::from_bytes(peer), at: Timestamp(1_800_000_000_000 + u64::from(n)) }
    }

    #[test]
    fn what_is_told_is_heard() {
        let told: Vec<_> = (0..1000).map(gone).collect();
        let messages = messages(&told);
        assert!(messages.len() > 1 && messages.iter().all(|message| message.len() < LARGE * 2));
        let heard: Vec<_> = messages.iter().flat_map(|message| read(message).unwrap()).collect();
        assert_eq!(heard, told);
        assert_eq!((super::messages(&[]).len(), read(&heartbeat())), (0, Some(Vec::new())));
    }

    #[test]
    fn a_message_of_another_version_says_nothing() {
        assert_eq!(read(&[2, 1, 2, 3]), Some(Vec::new()));
        assert_eq!(read(&[]), None);
    }

    proptest! {
        #[test]
        fn no_message_panics(mut message in proptest::collection::vec(any::<u8>(), 1..80)) {
            message[0] = VERSION;
            let _ = read(&message);
        }
    }
}
