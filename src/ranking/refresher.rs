//! Keeps this node's copies of swarms and of their policies: sweeps, pulls what changed, swaps; forgets what nobody asks for.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{Ranking, jittered, view::View};
use crate::{
    domain::{PeerId, SwarmId},
    store::{Pulled, StoreError, Swept},
    telemetry::EVENTS,
};

/// A copy is kept up for so long after the last list was asked for.
const ASKED_FOR: Duration = Duration::from_mins(1);
/// A node that has just started reads policies so early: it is connected by then.
const POLICIES_AFTER: Duration = Duration::from_secs(1);
/// Swarms renewed at once: many, since those of a master that hangs take a second each, and the others must not wait.
const AT_ONCE: usize = 128;

/// The loop.
pub struct Refresher {
    ranking: Arc<Ranking>,
    wants: mpsc::Receiver<SwarmId>,
}

impl Refresher {
    /// A refresher of the copies of `ranking`; renews those that are wanted out of turn.
    pub fn new(ranking: Arc<Ranking>, wants: mpsc::Receiver<SwarmId>) -> Self {
        Self { ranking, wants }
    }

    /// Renews until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut next = Instant::now() + jittered(self.ranking.settings.interval);
        let mut policies = Some(Instant::now() + POLICIES_AFTER);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next) => {
                    if stop.run_until_cancelled(self.run_once()).await.is_none() {
                        return;
                    }
                    next = Instant::now() + jittered(self.ranking.settings.interval);
                }
                () = tokio::time::sleep_until(policies.unwrap_or(next)), if policies.is_some() => {
                    policies = None;
                    if stop.run_until_cancelled(self.ranking.renew_policies()).await.is_none() {
                        return;
                    }
                }
                Some(swarm) = self.wants.recv() => {
                    if stop.run_until_cancelled(self.wanted(swarm)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Renews one copy, and those that are wanted as well by now, each once.
    async fn wanted(&mut self, swarm: SwarmId) {
        let mut swarms = vec![swarm];
        while let Ok(swarm) = self.wants.try_recv() {
            if !swarms.contains(&swarm) {
                swarms.push(swarm);
            }
        }
        for swarm in swarms {
            let view = self.ranking.views.get(&swarm).map(|view| view.clone());
            if let Some(view) = view.filter(|view| view.may_ask()) {
                self.settle(&view).await;
            }
        }
    }

    /// One round.
    pub async fn run_once(&self) {
        self.ranking.renew_policies().await;
        let now = self.ranking.clock.now();
        let (mut live, mut members, mut kept, mut swarms) = (0, 0, 0, 0);
        let mut age = Duration::ZERO;
        let views = self.ranking.views();
        let may_ask = views.iter().filter(|view| view.may_ask());
        stream::iter(may_ask).for_each_concurrent(AT_ONCE, |view| self.settle(view)).await;
        for view in views {
            let unused = now.since(view.used());
            let silent = view.forget(now, self.ranking.settings.remember);
            for peer in silent {
                self.ranking.exit(peer, &view.swarm);
            }
            let is_over = unused > self.ranking.settings.remember + ASKED_FOR;
            let is_idle = unused > ASKED_FOR && view.snapshot().rows().is_empty() && view.is_idle();
            // Ours, and that of the table: a call that has it at this moment must not speak into the void.
            let is_ours = |_: &SwarmId, view: &Arc<View>| Arc::strong_count(view) <= 2;
            if (is_over || is_idle) && self.ranking.views.remove_if(&view.swarm, is_ours).is_some() {
                // What could not be judged in all that time goes with it.
                view.reports.take(usize::MAX, &self.ranking.waiting);
                continue;
            }
            let snapshot = view.snapshot();
            if let Some((_, taken)) = snapshot.taken() {
                age = age.max(taken.elapsed());
            }
            live += snapshot.live();
            members += snapshot.rows().len();
            kept += view.state().count_unwritten();
            swarms += usize::from(!snapshot.rows().is_empty());
        }
        let metrics = &self.ranking.metrics;
        metrics.snapshot_age.set(age);
        let waiting = self.ranking.waiting.load(Relaxed);
        let introduced = self.ranking.introductions.forget(now);
        #[expect(clippy::cast_precision_loss, reason = "counts of peers are far below 2^52")]
        for (gauge, count) in [
            (&metrics.live, live),
            (&metrics.members, members),
            (&metrics.kept_joins, kept),
            (&metrics.swarms, swarms),
            (&metrics.dirty, waiting),
            (&metrics.introduced, introduced),
        ] {
            gauge.set(count as f64);
        }
    }

    async fn settle(&self, view: &View) {
        if let Err(error) = self.renew(view).await {
            debug!("The copy of {} stays as it is: {error}", view.swarm);
            view.state().failed();
        }
    }

    async fn renew(&self, view: &View) -> Result<(), StoreError> {
        let ranking = &self.ranking;
        let now = ranking.clock.now();
        if !view.was_asked_within(ASKED_FOR) {
            // Who asks later gets it from the store, which looks at the time itself.
            view.drop_snapshot();
            return Ok(());
        }
        let since = view.state().swept;
        let Swept { unlisted, forgotten } = ranking.store.sweep(&view.swarm, since, now).await?;
        view.state().swept = Some(now);
        self.count(view, &unlisted, forgotten);
        let began = Instant::now();
        let before = view.snapshot();
        let pulled = ranking.store.pull(&view.swarm, &before.versions(), now).await?;
        let lost = pulled.iter().any(|shard| matches!(shard, Pulled::Lost(_)));
        let mut left = Vec::new();
        for shard in &pulled {
            if let Pulled::Changed(shard) | Pulled::Lost(shard) = shard {
                left.extend_from_slice(&shard.left);
            }
        }
        let snapshot = before.next(pulled, now);
        if lost {
            let restored = view.to_restore(&snapshot, now);
            info!("The store has lost what it knew of {}: {} members are given back", view.swarm, restored.len());
            ranking.store.restore(&view.swarm, &restored, now).await?;
            ranking.metrics.restored.increment(restored.len() as u64);
            for given_back in &restored {
                view.signs.wrote(given_back.member.peer, given_back.seen, true);
            }
        }
        view.renew(snapshot, &left, began);
        view.state().answered();
        ranking.metrics.pull_seconds.record(began.elapsed());
        Ok(())
    }

    fn count(&self, view: &View, unlisted: &[PeerId], forgotten: usize) {
        let swarm = &view.swarm;
        for peer in unlisted {
            let short = peer.short();
            debug!(target: EVENTS, peer = %peer, swarm = %swarm, "{short} fell silent and is not listed in {swarm} any more");
        }
        self.ranking.metrics.unlisted.increment(unlisted.len() as u64);
        self.ranking.metrics.forgotten.increment(forgotten as u64);
    }
}
