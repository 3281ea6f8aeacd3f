//! Centrifugo's nodes: who of them is up, and whom to ask next. A node that fails is asked
//! again, less and less often, by [`Centrifugo::watch`]; until it answers, nobody waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Delivery, Gateway, GatewayError, Published,
    api::{self, Api},
    metrics::GatewayMetrics,
};
use crate::domain::PeerId;

/// Longest time for one call of the API, so that a call of a client which waits for two of them, one after the other, is
/// answered within Centrifugo's proxy timeout of 2 s.
pub const TIMEOUT: Duration = Duration::from_millis(600);
/// After so many failures in a row a node is down: it gets no calls but those that ask whether it is back. One failure
/// may be a connection that broke; three are not.
const DOWN_AFTER: u32 = 3;
/// How often a node that works is asked.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How soon one that failed is asked again; after each further failure twice as long, up to a limit: signals are refused
/// until it is known to be back.
const CHECK_AGAIN: Duration = Duration::from_millis(50);
const CHECK_AGAIN_AT_MOST: Duration = Duration::from_millis(400);

/// All nodes of the gateway. Any of them takes a publication for any inbox.
pub struct Centrifugo {
    nodes: Vec<Node>,
    turn: AtomicUsize,
    metrics: GatewayMetrics,
}

struct Node {
    api: Api,
    url: String,
    // Failures in a row; since the last success.
    failures: AtomicU32,
    last_error: Mutex<Option<GatewayError>>,
}

impl Node {
    fn is_up(&self) -> bool {
        self.failures.load(Relaxed) < DOWN_AFTER
    }
}

impl Centrifugo {
    /// `urls` of the nodes' APIs, up to and with `/api`, and the key of all of them. Fails when the key has characters
    /// that no header can hold.
    pub fn new(urls: &[String], key: &str) -> anyhow::Result<Self> {
        let http = api::client(key, TIMEOUT / 2)?;
        // Several share an engine, which each publication waits for; a single one most likely has none, and publishing in
        // parallel would cost it a sixth more CPU.
        let parallel = urls.len() > 1;
        let node = |url: &String| Node {
            api: Api::new(http.clone(), url, parallel),
            url: url.clone(),
            failures: AtomicU32::new(0),
            last_error: Mutex::default(),
        };
        let metrics = GatewayMetrics::new(urls.len());
        Ok(Self { nodes: urls.iter().map(node).collect(), turn: AtomicUsize::new(0), metrics })
    }

    /// Asks every node from time to time whether it works, until told to stop.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let all = join_all((0..self.nodes.len()).map(|node| self.watch_node(node)));
        stop.run_until_cancelled(all).await;
    }

    async fn watch_node(&self, node: usize) {
        loop {
            // The way that signals go, to an inbox that is nobody's: an engine that is down is found too.
            let nobody = Delivery { to: PeerId::from_bytes([0; 16]), signals: Vec::new(), history: false };
            let answer = self.nodes[node].api.publish(&[nobody], TIMEOUT).await;
            self.note(node, answer.and_then(|replies| replies.into_iter().collect::<Result<(), _>>()).err());
            let pause = check_in(self.nodes[node].failures.load(Relaxed));
            sleep(pause.mul_f64(rand::random_range(0.8..1.2))).await;
        }
    }

    /// The node to ask next: of those that are up, one with the fewest failures, in turn.
    fn pick(&self) -> Result<usize, GatewayError> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let in_turn = (0..self.nodes.len()).map(|n| turn.wrapping_add(n) % self.nodes.len());
        let best = in_turn.min_by_key(|number| self.nodes[*number].failures.load(Relaxed));
        best.filter(|number| self.nodes[*number].is_up()).ok_or(GatewayError::Down)
    }

    /// Notes how a call went. A refusal of what was asked is not the node's failure.
    fn note(&self, number: usize, error: Option<GatewayError>) {
        let node = &self.nodes[number];
        let Some(error) = error else {
            if node.failures.swap(0, Relaxed) >= DOWN_AFTER {
                info!("Gateway node {} is back", node.url);
            }
            self.metrics.up[number].set(1);
            return;
        };
        *node.last_error.lock() = Some(error.clone());
        if node.failures.fetch_add(1, Relaxed) + 1 == DOWN_AFTER {
            warn!("Gateway node {} is down: {error}", node.url);
            self.metrics.up[number].set(0);
        }
    }

    /// Calls a node, and notes how it went; `ails` says what is wrong with a node that did answer.
    async fn call<T>(
        &self,
        within: Duration,
        call: impl AsyncFnOnce(&Api, Duration) -> Result<T, GatewayError>,
        ails: impl FnOnce(&T) -> Option<GatewayError>,
    ) -> Result<T, GatewayError> {
        let number = self.pick()?;
        let started = Instant::now();
        let answer = call(&self.nodes[number].api, within.min(TIMEOUT)).await;
        self.metrics.called(started.elapsed(), answer.as_ref().err());
        match answer {
            Ok(answer) => {
                self.note(number, ails(&answer));
                Ok(answer)
            }
            Err(GatewayError::Late { .. }) => {
                let error = GatewayError::Late { elsewhere: self.is_up_beside(number) };
                // One that had less time than it may take has not failed.
                if within >= TIMEOUT {
                    self.note(number, Some(error.clone()));
                }
                Err(error)
            }
            Err(error) => {
                let is_its_own = !matches!(error, GatewayError::Refused { .. });
                self.note(number, is_its_own.then(|| error.clone()));
                Err(error)
            }
        }
    }

    fn is_up_beside(&self, number: usize) -> bool {
        self.nodes.iter().enumerate().any(|(other, node)| other != number && node.is_up())
    }
}

/// A node that failed with every delivery has lost its engine, and would fail with the next ones too.
fn without_engine(published: &Published) -> Option<GatewayError> {
    let failed = |verdict: &Result<(), GatewayError>| verdict.as_ref().is_err_and(GatewayError::is_internal);
    if published.iter().all(failed) { published.first()?.clone().err() } else { None }
}

/// In how long to ask a node that failed so often in a row.
fn check_in(failures: u32) -> Duration {
    match failures {
        0 => CHECK_EVERY,
        failures => CHECK_AGAIN_AT_MOST.min(CHECK_AGAIN * (1 << (failures - 1).min(10))),
    }
}

#[async_trait]
impl Gateway for Centrifugo {
    async fn publish(&self, deliveries: &[Delivery], within: Duration) -> Result<Published, GatewayError> {
        self.call(within, async |api, within| api.publish(deliveries, within).await, without_engine).await
    }

    async fn disconnect_others(&self, peer: PeerId, keep: &str) -> Result<(), GatewayError> {
        self.call(TIMEOUT, async |api, within| api.disconnect_others(peer, keep, within).await, |()| None).await
    }

    fn is_up(&self) -> bool {
        self.nodes.iter().any(Node::is_up)
    }

    fn missing(&self) -> Option<String> {
        let missing: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| !node.is_up())
            .map(|node| {
                let error = node.last_error.lock();
                format!("{}: {}", node.url, error.as_ref().map(ToString::to_string).unwrap_or_default())
            })
            .collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::net::TcpListener;

    use super::*;

    const WORKS: &str = r#"{"replies":[{}]}"#;

    /// A fake node: one that answers as told.
    async fn fake(answer: Arc<Mutex<&'static str>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let router = Router::new().fallback(async move || *answer.lock());
        tokio::spawn(crate::listener::serve(listener, router, CancellationToken::new()));
        url
    }

    fn delivery() -> Vec<Delivery> {
        vec![Delivery { to: PeerId::from_bytes([1; 16]), signals: vec!["{}".into()], history: true }]
    }

    #[tokio::test]
    async fn a_node_that_fails_is_passed_over_and_comes_back() {
        let answers = [WORKS, "not JSON"].map(|answer| Arc::new(Mutex::new(answer)));
        let urls = [fake(answers[0].clone()).await, fake(answers[1].clone()).await];
        let gateway = Centrifugo::new(&urls, "key").unwrap();
        let mut failed = 0;
        for _ in 0..100 {
            failed += usize::from(gateway.publish(&delivery(), TIMEOUT).await.is_err());
        }
        assert_eq!(failed, 1, "one that failed is not asked while another works");
        *answers[0].lock() = "nor this";
        for _ in 0..2 * DOWN_AFTER {
            let _ = gateway.publish(&delivery(), TIMEOUT).await;
        }
        assert_eq!(gateway.publish(&delivery(), TIMEOUT).await, Err(GatewayError::Down));
        assert!(!gateway.is_up());
        assert!(urls.iter().all(|url| gateway.missing().unwrap().contains(url)));
        *answers[1].lock() = WORKS;
        let gateway = Arc::new(gateway);
        let stop = CancellationToken::new();
        let watch = tokio::spawn(gateway.clone().watch(stop.clone()));
        let back = async {
            while !gateway.is_up() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), back).await.expect("the watch finds that it works again");
        assert_eq!(gateway.publish(&delivery(), TIMEOUT).await, Ok(vec![Ok(())]));
        assert!(!gateway.missing().unwrap().contains(&urls[1]), "the other is still missing");
        stop.cancel();
        watch.await.unwrap();
    }

    #[tokio::test]
    async fn a_node_that_hangs_is_left_for_another() {
        let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hanging = format!("http://{}/api", hangs.local_addr().unwrap());
        let urls = [hanging, fake(Arc::new(Mutex::new(WORKS))).await];
        let (gateway, alone) = (Centrifugo::new(&urls, "key").unwrap(), Centrifugo::new(&urls[..1], "key").unwrap());
        tokio::time::pause();
        assert_eq!(gateway.publish(&delivery(), TIMEOUT).await, Err(GatewayError::Late { elsewhere: true }));
        for _ in 0..2 * DOWN_AFTER {
            assert_eq!(alone.publish(&delivery(), TIMEOUT / 2).await, Err(GatewayError::Late { elsewhere: false }));
        }
        assert!(alone.is_up(), "what had less time than it may take proves nothing");
        for _ in 0..DOWN_AFTER {
            assert_eq!(alone.publish(&delivery(), TIMEOUT).await, Err(GatewayError::Late { elsewhere: false }));
        }
        assert!(!alone.is_up());
        tokio::time::resume();
        assert_eq!(gateway.publish(&delivery(), TIMEOUT).await, Ok(vec![Ok(())]));
    }

    #[tokio::test]
    async fn a_node_that_refuses_what_it_is_asked_is_up() {
        let url = fake(Arc::new(Mutex::new(r#"{"error":{"code":102}}"#))).await;
        let gateway = Centrifugo::new(&[url], "key").unwrap();
        for _ in 0..2 * DOWN_AFTER {
            let refused = gateway.disconnect_others(PeerId::from_bytes([1; 16]), "me").await;
            assert!(matches!(refused, Err(GatewayError::Refused { code: 102, .. })));
        }
        assert!(gateway.is_up());
    }

    #[tokio::test]
    async fn a_node_without_its_engine_is_down_although_it_answers() {
        let answer = Arc::new(Mutex::new(r#"{"replies":[{"error":{"code":107}}]}"#));
        let gateway = Centrifugo::new(&[fake(answer.clone()).await], "key").unwrap();
        let refused = async || gateway.publish(&delivery(), TIMEOUT).await.map(|replies| replies[0].is_err());
        for _ in 0..2 * DOWN_AFTER {
            assert_eq!(refused().await, Ok(true), "a refusal of what it was asked is no failure");
        }
        *answer.lock() = r#"{"replies":[{"error":{"code":100}}]}"#;
        for _ in 0..DOWN_AFTER {
            assert_eq!(refused().await, Ok(true));
        }
        assert_eq!(refused().await, Err(GatewayError::Down));
    }

    #[test]
    fn a_node_that_stays_away_is_asked_less_and_less_often() {
        let times: Vec<_> = (1..8).map(|failures| check_in(failures).as_millis()).collect();
        assert_eq!(times, [50, 100, 200, 400, 400, 400, 400]);
        assert_eq!(check_in(u32::MAX), CHECK_AGAIN_AT_MOST);
    }
}
