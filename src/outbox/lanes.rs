//! The lanes: each publishes one batch at a time, and the next gathers meanwhile. A receiver always maps to the same
//! lane, so order holds.

use std::{
    hash::Hasher,
    sync::Arc,
    time::{Duration, Instant},
};

use fnv::FnvHasher;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    batch::{Batch, Outgoing, Parcel},
    metrics::OutboxMetrics,
};
use crate::{
    domain::{Kind, PeerId},
    gateway::Gateway,
};

/// How long a signal that goes out at once may wait, which is how long its call waits for it: below Centrifugo's proxy
/// timeout of 2 s, so that the call is answered. After that its sender repeats it.
const PATIENCE: Duration = Duration::from_millis(1700);
/// How many signals are taken from the queue at once.
const GULP: usize = 512;

/// How the outbox is built.
#[derive(Clone, Copy, Debug)]
pub struct OutboxSettings {
    /// How long candidates wait for company.
    pub window: Duration,
    /// How many lanes.
    pub lanes: usize,
    /// How many signals can wait in a lane before it refuses more.
    pub capacity: usize,
}

/// Why a signal was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// Too many wait already.
    #[error("too many signals are waiting")]
    Full,
    /// We are on our way out.
    #[error("the backend is stopping")]
    Stopping,
    /// The gateway did not take it.
    #[error("the gateway did not accept it")]
    Gateway,
    /// The gateway has not taken it yet.
    #[error("the gateway has not accepted it in time")]
    Late,
}

/// The way into the lanes.
pub struct Outbox {
    lanes: Vec<mpsc::Sender<Item>>,
    metrics: Arc<OutboxMetrics>,
}

/// Resolves when the gateway has accepted the signal, or did not. Candidates are settled by being accepted into the batch:
/// they have no verdict to wait for.
pub struct Receipt {
    since: Instant,
    verdict: Option<oneshot::Receiver<Result<(), NotPublished>>>,
}

impl Receipt {
    /// Waits for the verdict, no longer than the call that brought the signal may take.
    pub async fn settled(self) -> Result<(), NotPublished> {
        let Some(verdict) = self.verdict else { return Ok(()) };
        match timeout_at((self.since + PATIENCE).into(), verdict).await {
            Ok(verdict) => verdict.unwrap_or(Err(NotPublished::Stopping)), // a lane that is gone without a word
            Err(_) => Err(NotPublished::Late),
        }
    }
}

struct Item {
    to: PeerId,
    signal: Outgoing,
    tag: Tag,
}

struct Tag {
    since: Instant,
    verdict: Option<oneshot::Sender<Result<(), NotPublished>>>,
}

impl Outbox {
    /// The outbox and its lanes, each to be run as a task of its own.
    pub fn new(settings: OutboxSettings, gateway: &Arc<dyn Gateway>) -> (Self, Vec<Lane>) {
        let metrics = Arc::new(OutboxMetrics::new());
        let (senders, lanes) = (0..settings.lanes)
            .map(|_| {
                let (sender, inbox) = mpsc::channel(settings.capacity);
                let batch = Batch::new(settings.window);
                let (gateway, metrics) = (gateway.clone(), metrics.clone());
                (sender, Lane { inbox, batch, gateway, metrics, capacity: settings.capacity })
            })
            .collect::<(Vec<_>, Vec<_>)>();
        (Self { lanes: senders, metrics }, lanes)
    }

    /// Puts a signal of `kind` into the lane of its receiver. Never waits: a lane that is full refuses.
    pub fn send(&self, to: PeerId, kind: Kind, json: String) -> Result<Receipt, NotPublished> {
        let express = kind != Kind::Candidates;
        let since = now();
        let (verdict, waiting) = if express { Some(oneshot::channel()).unzip() } else { (None, None) };
        let mut hash = FnvHasher::default();
        hash.write(to.as_bytes());
        let lane = &self.lanes[usize::try_from(hash.finish() % self.lanes.len() as u64).expect("less than the lanes")];
        lane.try_send(Item { to, signal: Outgoing { json, express }, tag: Tag { since, verdict } }).map_err(
            |refused| match refused {
                mpsc::error::TrySendError::Full(_) => {
                    self.metrics.full.increment(1);
                    NotPublished::Full
                }
                mpsc::error::TrySendError::Closed(_) => NotPublished::Stopping,
            },
        )?;
        self.metrics.accepted(kind);
        self.metrics.waiting.increment(1);
        Ok(Receipt { since, verdict: waiting })
    }
}

/// One lane.
pub struct Lane {
    inbox: mpsc::Receiver<Item>,
    batch: Batch<Tag>,
    gateway: Arc<dyn Gateway>,
    metrics: Arc<OutboxMetrics>,
    capacity: usize,
}

impl Lane {
    /// Publishes until told to stop, then whatever was accepted before that.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut items = Vec::with_capacity(GULP);
        loop {
            // A batch that is full leaves the rest in the queue, and a full queue refuses.
            let room = self.capacity.saturating_sub(self.batch.len()).min(GULP);
            let due = self.batch.due_at();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = self.inbox.recv_many(&mut items, room), if room > 0 => {
                    if taken == 0 {
                        break;
                    }
                    self.gather(&mut items);
                    // At once if something is due: a queue that never runs dry must not keep it.
                    self.flush().await;
                }
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => self.flush().await,
            }
        }
        self.inbox.close();
        while self.inbox.recv_many(&mut items, GULP).await > 0 {
            self.gather(&mut items);
        }
        // Whatever we said yes to is delivered.
        self.batch.hurry(now());
        while self.batch.len() > 0 {
            self.flush().await;
        }
    }

    fn gather(&mut self, items: &mut Vec<Item>) {
        let now = now();
        for Item { to, signal, tag } in items.drain(..) {
            match tag.verdict {
                // Its sender was told so and repeats it: to publish it still would only prolong the jam.
                Some(verdict) if now - tag.since > PATIENCE => {
                    let _ = verdict.send(Err(NotPublished::Late));
                    self.metrics.waiting.decrement(1);
                    self.metrics.late.increment(1);
                }
                verdict => self.batch.push(now, to, signal, Tag { verdict, ..tag }),
            }
        }
    }

    /// Publishes what is due, settles every signal, logs what failed. Never fails.
    async fn flush(&mut self) {
        let parcels = self.batch.take(now());
        if parcels.is_empty() {
            return;
        }
        let (deliveries, tags): (Vec<_>, Vec<_>) =
            parcels.into_iter().map(|Parcel { delivery, tags }| (delivery, tags)).unzip();
        let started = now();
        let outcome = self.gateway.publish(&deliveries).await;
        let finished = now();
        self.metrics.flush_seconds.record(finished - started);
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 512 deliveries")]
        self.metrics.batch_deliveries.record(deliveries.len() as f64);

        let verdicts = outcome.unwrap_or_else(|error| vec![Err(error); deliveries.len()]);
        let mut first_error = None;
        for (tags, verdict) in tags.into_iter().zip(verdicts) {
            let settled = verdict.as_ref().map_err(|_| NotPublished::Gateway).copied();
            let counter = if settled.is_ok() { &self.metrics.published } else { &self.metrics.failed };
            counter.increment(1);
            for Tag { since, verdict } in tags {
                self.metrics.waiting.decrement(1);
                self.metrics.lane_seconds.record(started - since);
                match verdict {
                    // The caller may have gone away; then nobody needs to know.
                    Some(verdict) => _ = verdict.send(settled),
                    None if settled.is_err() => self.metrics.candidates_lost.increment(1),
                    None => {}
                }
            }
            first_error = first_error.or(verdict.err());
        }
        if let Some(error) = first_error {
            warn!(deliveries = deliveries.len(), "A batch was not published in full: {error}");
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::recording::RecordingGateway;

    const SETTINGS: OutboxSettings = OutboxSettings { window: Duration::from_millis(100), lanes: 1, capacity: 8 };

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    struct Setup {
        gateway: Arc<RecordingGateway>,
        outbox: Outbox,
        stop: CancellationToken,
        lane: tokio::task::JoinHandle<()>,
    }

    fn start(gateway: RecordingGateway) -> Setup {
        let gateway = Arc::new(gateway);
        let (outbox, mut lanes) = Outbox::new(SETTINGS, &(gateway.clone() as Arc<dyn Gateway>));
        let stop = CancellationToken::new();
        let lane = tokio::spawn(lanes.remove(0).run(stop.clone()));
        Setup { gateway, outbox, stop, lane }
    }

    fn signals(gateway: &RecordingGateway) -> Vec<Vec<String>> {
        gateway.batches().into_iter().map(|batch| batch.into_iter().flat_map(|d| d.signals).collect()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_offer_goes_out_at_once_and_candidates_after_the_window() {
        let s = start(RecordingGateway::default());
        let begun = now();
        s.outbox.send(peer(1), Kind::Candidates, "c".into()).unwrap().settled().await.unwrap();
        s.outbox.send(peer(2), Kind::Offer, "o".into()).unwrap().settled().await.unwrap();
        assert_eq!((now() - begun, signals(&s.gateway)), (Duration::ZERO, vec![vec!["o".to_owned()]]));
        tokio::time::sleep(Duration::from_millis(101)).await;
        assert_eq!(signals(&s.gateway)[1..], [["c"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_accepted_before_the_stop_is_delivered() {
        let s = start(RecordingGateway::default());
        s.outbox.send(peer(1), Kind::Candidates, "c".into()).unwrap();
        let offer = s.outbox.send(peer(2), Kind::Offer, "o".into()).unwrap();
        s.stop.cancel();
        s.lane.await.unwrap();
        assert_eq!(signals(&s.gateway).concat().len(), 2);
        assert_eq!(offer.settled().await, Ok(()));
        assert_eq!(s.outbox.send(peer(1), Kind::Bye, "b".into()).err(), Some(NotPublished::Stopping));
    }

    #[tokio::test(start_paused = true)]
    async fn while_one_batch_is_under_way_the_next_gathers() {
        let s = start(RecordingGateway::closed());
        let mut receipts = vec![s.outbox.send(peer(0), Kind::Offer, "0".into()).unwrap()];
        tokio::task::yield_now().await;
        for n in 1..5 {
            receipts.push(s.outbox.send(peer(n), Kind::Offer, n.to_string()).unwrap());
        }
        s.gateway.let_through(2);
        for receipt in receipts {
            receipt.settled().await.unwrap();
        }
        assert_eq!(signals(&s.gateway).iter().map(Vec::len).collect::<Vec<_>>(), [1, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_refuses_and_recovers() {
        let s = start(RecordingGateway::closed());
        let first = s.outbox.send(peer(0), Kind::Offer, "0".into()).unwrap();
        tokio::task::yield_now().await;
        let mut receipts: Vec<_> = (0..8).map(|n| s.outbox.send(peer(n), Kind::Offer, "x".into()).unwrap()).collect();
        assert_eq!(s.outbox.send(peer(9), Kind::Offer, "x".into()).err(), Some(NotPublished::Full));
        s.gateway.let_through(9);
        receipts.push(first);
        for receipt in receipts {
            receipt.settled().await.unwrap();
        }
        s.outbox.send(peer(9), Kind::Offer, "x".into()).unwrap().settled().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn candidates_do_not_gather_without_end() {
        let s = start(RecordingGateway::closed());
        let mut accepted = 0;
        while s.outbox.send(peer(1), Kind::Candidates, "c".into()).is_ok() {
            accepted += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(accepted, 16, "a batch of 8, and a queue of 8");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_too_long_is_refused_and_not_published_after_all() {
        let s = start(RecordingGateway::closed());
        let first = s.outbox.send(peer(0), Kind::Offer, "0".into()).unwrap();
        tokio::task::yield_now().await;
        let second = s.outbox.send(peer(1), Kind::Offer, "1".into()).unwrap();
        assert_eq!(first.settled().await, Err(NotPublished::Late));
        assert_eq!(second.settled().await, Err(NotPublished::Late));
        tokio::time::sleep(Duration::from_millis(1)).await;
        s.gateway.let_through(2);
        let third = s.outbox.send(peer(2), Kind::Offer, "2".into()).unwrap();
        assert_eq!(third.settled().await, Ok(()));
        assert_eq!(signals(&s.gateway), [["0"], ["2"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_delivery_has_its_own_verdict() {
        let s = start(RecordingGateway::closed());
        s.gateway.refuse(peer(1));
        let receipts = [0, 1, 2].map(|n| s.outbox.send(peer(n), Kind::Offer, "o".into()).unwrap());
        s.gateway.let_through(3);
        let mut verdicts = Vec::new();
        for receipt in receipts {
            verdicts.push(receipt.settled().await);
        }
        assert_eq!(verdicts, [Ok(()), Err(NotPublished::Gateway), Ok(())]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_gateway_is_an_error_not_a_hang() {
        let s = start(RecordingGateway::default());
        s.gateway.go_down();
        let verdict = s.outbox.send(peer(1), Kind::Answer, "a".into()).unwrap().settled().await;
        assert_eq!(verdict, Err(NotPublished::Gateway));
    }
}
