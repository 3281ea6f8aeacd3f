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
                GatewayError::Unreachable(_) | GatewayError::Late { .. } | GatewayError::Answer(_) => {
                    in_time && error.may_pass()
                }
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
mod tests;
