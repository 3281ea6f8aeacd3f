//! What leaves us: lanes of signals waiting to be published. A receiver always maps to the same lane, so order holds.

mod batch;
mod lanes;
mod metrics;

use std::{
    hash::Hasher,
    sync::Arc,
    time::{Duration, Instant},
};

use fnv::FnvHasher;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout_at,
};

use crate::{
    domain::{Kind, PeerId},
    gateway::Gateway,
};
use batch::Outgoing;
use lanes::{Item, Tag};
use metrics::OutboxMetrics;

pub use lanes::Lane;

/// How long a signal that goes out at once may wait, which is how long its call waits for it: below Centrifugo's proxy
/// timeout of 2 s, so that the call is answered. After that its sender repeats it.
const PATIENCE: Duration = Duration::from_millis(1700);

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
    /// The gateway did not take it, or not for sure: then its receiver may get it all the same.
    #[error("the gateway did not accept it")]
    Gateway,
    /// The gateway has not taken it yet.
    #[error("the gateway has not accepted it in time")]
    Late,
}

/// The way into the lanes.
pub struct Outbox {
    lanes: Vec<mpsc::Sender<Item>>,
    gateway: Arc<dyn Gateway>,
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

impl Outbox {
    /// The outbox and its lanes, each to be run as a task of its own.
    pub fn new(settings: OutboxSettings, gateway: &Arc<dyn Gateway>) -> (Self, Vec<Lane>) {
        let metrics = Arc::new(OutboxMetrics::new());
        let lane = |_| Lane::new(settings, gateway.clone(), metrics.clone());
        let (ways_in, lanes) = (0..settings.lanes).map(lane).unzip();
        (Self { lanes: ways_in, gateway: gateway.clone(), metrics }, lanes)
    }

    /// Puts a signal of `kind` into the lane of its receiver. Never waits: a lane that is full refuses, and so does a
    /// gateway that is down.
    pub fn send(&self, to: PeerId, kind: Kind, json: String) -> Result<Receipt, NotPublished> {
        self.try_send(to, kind, json).inspect_err(|refused| self.metrics.refused(*refused))
    }

    fn try_send(&self, to: PeerId, kind: Kind, json: String) -> Result<Receipt, NotPublished> {
        if !self.gateway.is_up() {
            return Err(NotPublished::Gateway);
        }
        let express = kind.is_express();
        let since = now();
        let (verdict, waiting) = if express { Some(oneshot::channel()).unzip() } else { (None, None) };
        let mut hash = FnvHasher::default();
        hash.write(to.as_bytes());
        let lane = &self.lanes[usize::try_from(hash.finish() % self.lanes.len() as u64).expect("less than the lanes")];
        lane.try_send(Item { to, signal: Outgoing { json, express }, tag: Tag { since, verdict } }).map_err(
            |refused| match refused {
                mpsc::error::TrySendError::Full(_) => NotPublished::Full,
                mpsc::error::TrySendError::Closed(_) => NotPublished::Stopping,
            },
        )?;
        self.metrics.accepted(kind);
        Ok(Receipt { since, verdict: waiting })
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::gateway::recording::RecordingGateway;

    #[tokio::test(start_paused = true)]
    async fn all_signals_for_a_receiver_take_the_same_lane() {
        let gateway = Arc::new(RecordingGateway::default());
        let settings = OutboxSettings { window: Duration::from_millis(100), lanes: 8, capacity: 16 };
        let (outbox, lanes) = Outbox::new(settings, &(gateway.clone() as Arc<dyn Gateway>));
        let bob = PeerId::from_bytes([1; 16]);
        let said = ["offer", "candidates", "more", "bye"].map(str::to_owned);
        for (kind, json) in [Kind::Offer, Kind::Candidates, Kind::Candidates, Kind::Bye].into_iter().zip(&said) {
            outbox.send(bob, kind, json.clone()).unwrap();
        }
        let stop = CancellationToken::new();
        stop.cancel();
        for lane in lanes {
            lane.run(stop.clone()).await;
        }
        let batches = gateway.batches();
        let [delivery] = batches.iter().flatten().collect::<Vec<_>>()[..] else { panic!("one delivery: {batches:?}") };
        assert_eq!(delivery.signals, said);
    }
}
