//! Against a real cluster: `make test` starts one and says where in `REDIS_CLUSTER`.

mod faults;
mod keys;
mod secured;
mod shards;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::conformance::{self, REMEMBER};

/// Where the cluster is, from the environment.
fn nodes() -> Vec<String> {
    let nodes = std::env::var("REDIS_CLUSTER").expect(
        "REDIS_CLUSTER names no nodes of a Redis Cluster. Say REDIS_CLUSTER=$(scripts/redis-cluster start), or `make test`",
    );
    nodes.split(',').map(str::to_owned).collect()
}

/// A prefix that no other test has.
fn prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{:x}-{}", std::process::id(), rand::rng().random::<u32>(), NEXT.fetch_add(1, Relaxed))
}

fn settings() -> Settings {
    settings_of(nodes())
}

fn settings_of(nodes: Vec<String>) -> Settings {
    Settings {
        nodes,
        user: String::new(),
        password: String::new(),
        tls: false,
        ca: None,
        key_prefix: prefix(),
        remember: REMEMBER,
    }
}

/// A node's store with its loops, which end with it.
struct Node {
    store: Arc<RedisStore>,
    stop: CancellationToken,
}

impl Node {
    fn unconnected(settings: &Settings) -> Self {
        Self::of(RedisStore::new(settings).unwrap())
    }

    fn of(store: RedisStore) -> Self {
        let (store, stop) = (Arc::new(store), CancellationToken::new());
        tokio::spawn(store.watch(stop.clone()));
        tokio::spawn(store.listen(stop.clone()));
        Self { store, stop }
    }

    async fn new(settings: &Settings) -> Self {
        let node = Self::unconnected(settings);
        node.eventually("connected", async || node.store.missing().is_none()).await;
        node
    }

    async fn eventually(&self, what: &str, is: impl AsyncFn() -> bool) {
        let wait = async {
            while !is().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("never {what}: {:?}", self.store.missing()));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_behaves_as_a_store_does() {
    let nodes = parking_lot::Mutex::new(Vec::new());
    conformance::all(async || {
        let settings = settings();
        let (one, other) = (Node::new(&settings).await, Node::new(&settings).await);
        let stores = (one.store.clone(), other.store.clone());
        nodes.lock().extend([one, other]);
        stores
    })
    .await;
}

/// Waits until one hears what the other tells.
async fn hears(one: &Node, other: &Node) {
    // It listens soon; what is told before is lost.
    let mut heard = other.store.hear();
    let test =
        Gone { swarm: SwarmId::parse("test").unwrap(), peer: conformance::member(1).peer, at: conformance::START };
    for tries in 0.. {
        one.store.tell(std::slice::from_ref(&test)).await.unwrap();
        if timeout(Duration::from_secs(1), heard.recv()).await.is_ok() {
            break;
        }
        assert!(tries < 20, "nothing is ever heard");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_tells_the_other_hears() {
    let settings = settings();
    let (one, other) = (Node::new(&settings).await, Node::new(&settings).await);
    hears(&one, &other).await;
    conformance::hints((one.store.clone(), other.store.clone())).await;
}
