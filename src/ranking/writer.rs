//! Tells the store what this node heard: signs of life, joins that could not be written at once, hints.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{LAST, Ranking, done_in_time, view::View};
use crate::store::StoreError;

/// How often.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often this node announces itself, and counts the others.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// Swarms written at once: many, since those of a master that hangs take a second each, and the others must not wait.
const AT_ONCE: usize = 128;
/// Joins written together.
const BATCH: usize = 2000;

/// The loop.
pub struct Writer(Arc<Ranking>);

impl Writer {
    /// A writer of what `ranking` hears.
    pub fn new(ranking: Arc<Ranking>) -> Self {
        Self(ranking)
    }

    /// Writes until told to stop, and then once more.
    pub async fn run(self, stop: CancellationToken) {
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let announcing = async {
            let mut tick = interval(ANNOUNCE_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                self.announce().await;
            }
        };
        let writing = async {
            while stop.run_until_cancelled(tick.tick()).await.is_some() {
                if !done_in_time(&stop, self.run_once()).await {
                    return false;
                }
            }
            true
        };
        let in_time = tokio::select! {
            in_time = writing => in_time,
            () = announcing => true,
        };
        // With a store that hangs once more would be no better.
        if in_time {
            let _ = timeout(LAST, self.run_once()).await;
        }
    }

    /// Announces this node.
    async fn announce(&self) {
        if let Ok(nodes) = self.0.store.announce(self.0.clock.now()).await {
            self.0.nodes.store(nodes.max(1), Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "a count of nodes")]
            self.0.metrics.nodes.set(nodes as f64);
        }
    }

    /// Writes what waits.
    pub async fn run_once(&self) {
        self.tell().await;
        let views = self.0.views().into_iter().filter(|view| view.may_ask());
        stream::iter(views).for_each_concurrent(AT_ONCE, |view| self.settle(view)).await;
    }

    async fn settle(&self, view: Arc<View>) {
        if let Err(error) = self.write(&view).await {
            debug!("What was heard in {} waits: {error}", view.swarm);
            view.state().failed();
        }
    }

    async fn write(&self, view: &View) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        loop {
            let joins = view.unwritten(BATCH);
            if joins.is_empty() {
                break;
            }
            self.0.store.restore(&view.swarm, &joins, now).await?;
            view.state().answered();
            view.wrote_joins(&joins);
        }
        let due = view.signs.take_due(now);
        if due.is_empty() {
            return Ok(());
        }
        let strangers = match self.0.store.touch(&view.swarm, &due, now).await {
            Ok(strangers) => strangers,
            Err(error) => {
                view.signs.put_back_due(&due, now);
                return Err(error);
            }
        };
        view.state().answered();
        for (peer, at) in due {
            view.signs.wrote(peer, at, !strangers.contains(&peer));
        }
        Ok(())
    }

    async fn tell(&self) {
        let hints = std::mem::take(&mut *self.0.hints.lock());
        if !hints.is_empty() && self.0.store.tell(&hints).await.is_err() {
            self.0.metrics.hints_lost.increment(hints.len() as u64);
        }
    }
}
