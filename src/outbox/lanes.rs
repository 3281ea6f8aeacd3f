//! The lanes: each publishes one batch at a time, and the next gathers meanwhile.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    NotPublished, OutboxSettings, PATIENCE,
    batch::{Batch, Outgoing, Parcel},
    metrics::OutboxMetrics,
    now,
};
use crate::{
    domain::PeerId,
    gateway::{Gateway, GatewayError},
};

/// Longest time for a flush, with what it tries again: a signal waits for the flush before its own at most, unless its
/// lane is crowded, and two of them fit into [`PATIENCE`].
const FLUSH: Duration = Duration::from_millis(800);
/// A flush that has so little left tries nothing again.
const TOO_LATE: Duration = Duration::from_millis(100);
/// How often a delivery that was refused is tried again.
const MOST_REFUSALS: u32 = 3;
/// Pause before the first try again, give or take a half; before each further one it is twice as long.
const PAUSE: Duration = Duration::from_millis(20);
/// How many signals are taken from the queue at once.
const GULP: usize = 512;

/// A signal on its way into a lane.
pub(super) struct Item {
    pub to: PeerId,
    pub signal: Outgoing,
    pub tag: Tag,
}

/// What a lane needs to know of a signal beside its text.
pub(super) struct Tag {
    /// When it was accepted.
    pub since: Instant,
    /// Who waits to hear what became of it.
    pub verdict: Option<oneshot::Sender<Result<(), NotPublished>>>,
}

impl Tag {
    /// Candidates are never late: they were accepted for good.
    fn is_late(&self, now: Instant) -> bool {
        self.verdict.is_some() && now - self.since > PATIENCE
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
    /// A lane, and the way into it.
    pub(super) fn new(
        settings: OutboxSettings,
        gateway: Arc<dyn Gateway>,
        metrics: Arc<OutboxMetrics>,
    ) -> (mpsc::Sender<Item>, Self) {
        let OutboxSettings { window, capacity, .. } = settings;
        let (way_in, inbox) = mpsc::channel(capacity);
        (way_in, Self { inbox, batch: Batch::new(window), gateway, metrics, capacity })
    }

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
            self.batch.push(now, to, signal, tag);
        }
    }

    /// What is due, without what has waited for too long: its sender was told so and repeats it, and to publish it still
    /// would only prolong the jam.
    fn due(&mut self, now: Instant) -> Vec<Parcel<Tag>> {
        let mut parcels = self.batch.take(now);
        for Parcel { delivery, tags } in &mut parcels {
            if !tags.iter().any(|tag| tag.is_late(now)) {
                continue;
            }
            let signals = std::mem::take(&mut delivery.signals);
            let all = std::mem::take(tags);
            for (signal, tag) in signals.into_iter().zip(all) {
                if tag.is_late(now) {
                    self.metrics.too_late();
                } else {
                    delivery.signals.push(signal);
                    tags.push(tag);
                }
            }
        }
        parcels.retain(|parcel| !parcel.tags.is_empty());
        parcels
    }

    /// Publishes what is due and settles every signal, whatever happens. What may pass is tried again before anything
    /// newer goes out, so that order holds; a receiver drops what comes twice.
    async fn flush(&mut self) {
        let started = now();
        let mut parcels = self.due(started);
        for longest in parcels.iter().filter_map(|parcel| parcel.tags.first()) {
            self.metrics.lane_seconds.record(started - longest.since);
        }
        for attempt in 0.. {
            if parcels.is_empty() {
                return;
            }
            let (deliveries, tags): (Vec<_>, Vec<_>) =
                parcels.into_iter().map(|Parcel { delivery, tags }| (delivery, tags)).unzip();
            self.metrics.batch(&deliveries);
            let outcome = self.gateway.publish(&deliveries, FLUSH.saturating_sub(now() - started)).await;
            let verdicts = outcome.unwrap_or_else(|error| vec![Err(error); deliveries.len()]);

            let pause = PAUSE.mul_f64(f64::from(1 << attempt) * rand::random_range(0.5..1.5));
            let in_time = now() - started + pause + TOO_LATE < FLUSH;
            let again = |error: &GatewayError| match error {
                // What was known before is not waited for.
                GatewayError::Down => in_time && attempt > 0,
                // One receiver's trouble must not keep the others for long.
                GatewayError::Refused { .. } => in_time && attempt < MOST_REFUSALS && error.may_pass(),
                GatewayError::Unreachable(_) | GatewayError::Answer(_) => in_time && error.may_pass(),
            };
            let mut last_error = None;
            parcels = Vec::new();
            for ((delivery, tags), verdict) in deliveries.into_iter().zip(tags).zip(verdicts) {
                match verdict {
                    Err(error) if again(&error) => parcels.push(Parcel { delivery, tags }),
                    verdict => {
                        self.settle(tags, verdict.is_ok());
                        last_error = verdict.err().or(last_error);
                    }
                }
            }
            if let Some(error) = last_error {
                warn!("Signals were not published: {error}");
            }
            if !parcels.is_empty() {
                self.metrics.retried.increment(parcels.len() as u64);
                sleep(pause).await;
            }
        }
    }

    /// Tells everybody what became of a delivery.
    fn settle(&self, tags: Vec<Tag>, published: bool) {
        self.metrics.settled(tags.len(), published);
        for Tag { verdict, .. } in tags {
            match verdict {
                // The caller may have gone away; then nobody needs to know.
                Some(verdict) => _ = verdict.send(if published { Ok(()) } else { Err(NotPublished::Gateway) }),
                None if !published => self.metrics.candidates_lost.increment(1),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Kind,
        gateway::recording::RecordingGateway,
        outbox::{Outbox, Receipt},
    };

    const SETTINGS: OutboxSettings = OutboxSettings { window: Duration::from_millis(100), lanes: 1, capacity: 8 };

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    struct Setup {
        gateway: Arc<RecordingGateway>,
        outbox: Outbox,
        stop: CancellationToken,
        lane: tokio::task::JoinHandle<()>,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
    }

    fn start(gateway: RecordingGateway) -> Setup {
        start_with(gateway, SETTINGS)
    }

    fn start_with(gateway: RecordingGateway, settings: OutboxSettings) -> Setup {
        let gateway = Arc::new(gateway);
        let recorder = crate::telemetry::recorder();
        let (outbox, mut lanes) =
            metrics::with_local_recorder(&recorder, || Outbox::new(settings, &(gateway.clone() as Arc<dyn Gateway>)));
        let stop = CancellationToken::new();
        let lane = tokio::spawn(lanes.remove(0).run(stop.clone()));
        Setup { gateway, outbox, stop, lane, metrics: recorder.handle() }
    }

    async fn verdicts(receipts: impl IntoIterator<Item = Receipt>) -> Vec<Result<(), NotPublished>> {
        futures_util::future::join_all(receipts.into_iter().map(Receipt::settled)).await
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
        let s = start_with(RecordingGateway::closed(), OutboxSettings { capacity: 200, ..SETTINGS });
        // More than three batches hold, and a batch takes as long as a flush may.
        let large = "x".repeat(64 * 1024);
        let receipts = (0..100).map(|n| s.outbox.send(peer(n), Kind::Offer, large.clone()).unwrap());
        let receipts: Vec<_> = receipts.collect();
        s.outbox.send(peer(99), Kind::Candidates, "c".into()).unwrap();
        let verdicts = verdicts(receipts).await;
        assert_eq!(verdicts[..64], [Err(NotPublished::Gateway); 64]);
        assert_eq!(verdicts[96..], [Err(NotPublished::Late); 4]);
        tokio::time::sleep(FLUSH).await;
        s.gateway.let_through(2);
        s.outbox.send(peer(100), Kind::Offer, "new".into()).unwrap().settled().await.unwrap();
        assert_eq!(signals(&s.gateway), [["c"], ["new"]], "candidates were accepted for good");
        assert!(s.metrics.render().contains("starling_outbox_signals_refused_total{reason=\"late\"} 4\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn each_delivery_has_its_own_verdict() {
        let s = start(RecordingGateway::closed());
        s.gateway.refuse(peer(1), 107, 1);
        let receipts = [0, 1, 2].map(|n| s.outbox.send(peer(n), Kind::Offer, "o".into()).unwrap());
        s.gateway.let_through(3);
        assert_eq!(verdicts(receipts).await, [Ok(()), Err(NotPublished::Gateway), Ok(())]);
        assert_eq!(s.gateway.batches().len(), 1, "a refusal for good is not tried again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_call_is_tried_again_before_anything_newer_goes_out() {
        let s = start(RecordingGateway::default());
        s.gateway.fail(3);
        let first = s.outbox.send(peer(1), Kind::Offer, "1".into()).unwrap();
        tokio::task::yield_now().await;
        let second = s.outbox.send(peer(1), Kind::Bye, "2".into()).unwrap();
        assert_eq!(verdicts([first, second]).await, [Ok(()), Ok(())]);
        assert_eq!(signals(&s.gateway), [["1"], ["2"]]);
        assert!(s.metrics.render().contains("starling_outbox_deliveries_retried_total 3\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_failed_is_tried_again() {
        let s = start(RecordingGateway::closed());
        s.gateway.refuse(peer(1), 100, 2);
        let receipts = [0, 1, 2].map(|n| s.outbox.send(peer(n), Kind::Offer, n.to_string()).unwrap());
        s.gateway.let_through(3);
        assert_eq!(verdicts(receipts).await, [Ok(()), Ok(()), Ok(())]);
        assert_eq!(signals(&s.gateway), [vec!["0".to_owned(), "2".to_owned()], vec![], vec!["1".to_owned()]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_has_an_end() {
        let s = start(RecordingGateway::default());
        s.gateway.refuse(peer(1), 100, usize::MAX);
        for hangs in [false, true] {
            if hangs {
                s.gateway.hang();
            }
            let begun = now();
            let receipt = s.outbox.send(peer(1), Kind::Answer, "a".into()).unwrap();
            assert_eq!(receipt.settled().await, Err(NotPublished::Gateway));
            assert!(now() - begun <= FLUSH, "{:?}", now() - begun);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_known_to_be_down_is_not_waited_for() {
        let s = start(RecordingGateway::default());
        let begun = now();
        let candidates = s.outbox.send(peer(1), Kind::Candidates, "c".into()).unwrap();
        let offer = s.outbox.send(peer(2), Kind::Offer, "o".into()).unwrap();
        s.gateway.go_down();
        assert_eq!(s.outbox.send(peer(1), Kind::Candidates, "c".into()).err(), Some(NotPublished::Gateway));
        assert_eq!(verdicts([candidates, offer]).await, [Ok(()), Err(NotPublished::Gateway)]);
        assert_eq!(now() - begun, Duration::ZERO);
        tokio::time::sleep(SETTINGS.window).await;
        s.stop.cancel();
        s.lane.await.unwrap();
        let metrics = s.metrics.render();
        for line in [
            "starling_outbox_candidates_lost_total 1\n",
            "starling_outbox_signals_refused_total{reason=\"gateway\"} 3\n",
            "starling_outbox_signals_waiting 0\n",
            "starling_outbox_deliveries_retried_total 0\n",
        ] {
            assert!(metrics.contains(line), "{line} not in:\n{metrics}");
        }
    }
}
