//! Unlists peers that fell silent and forgets those that stayed so.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Gauge, counter, gauge};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{clock::Clock, store::Store, telemetry::EVENTS};

/// How often. Lists look at the time themselves; the sweep is for swarms that nobody asks about.
const INTERVAL: Duration = Duration::from_secs(1);

/// The loop.
pub struct Sweeper {
    store: Arc<dyn Store>,
    clock: Clock,
    unlisted: Counter,
    forgotten: Counter,
    live: Gauge,
    members: Gauge,
    swarms: Gauge,
}

impl Sweeper {
    /// A sweeper of `store`.
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            unlisted: counter!("starling_ranking_unlisted_total"),
            forgotten: counter!("starling_ranking_forgotten_total"),
            live: gauge!("starling_ranking_live_peers"),
            members: gauge!("starling_ranking_members"),
            swarms: gauge!("starling_ranking_swarms"),
        }
    }

    /// Sweeps until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.run_once().await;
        }
    }

    /// One sweep.
    pub async fn run_once(&self) {
        let swept = match self.store.sweep(self.clock.now()).await {
            Ok(swept) => swept,
            Err(error) => return warn!("A sweep failed: {error}"),
        };
        for (swarm, peer) in &swept.unlisted {
            let short = peer.short();
            debug!(target: EVENTS, peer = %peer, swarm = %swarm, "{short} fell silent and is not listed in {swarm} any more");
        }
        self.unlisted.increment(swept.unlisted.len() as u64);
        self.forgotten.increment(swept.forgotten as u64);
        if let Ok(totals) = self.store.totals().await {
            #[expect(clippy::cast_precision_loss, reason = "counts of peers are far below 2^52")]
            for (gauge, count) in
                [(&self.live, totals.live), (&self.members, totals.members), (&self.swarms, totals.swarms)]
            {
                gauge.set(count as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{SwarmId, Timestamp},
        store::{LISTED_FOR, MemoryStore, conformance::member},
    };

    #[tokio::test(start_paused = true)]
    async fn who_falls_silent_is_noticed_without_a_call() {
        let (store, clock) = (Arc::new(MemoryStore::new(10)), Clock::manual(Timestamp(0)));
        let stop = CancellationToken::new();
        tokio::spawn(Sweeper::new(store.clone(), clock.clone()).run(stop));
        store.join(&SwarmId::parse("s").unwrap(), member(1), 0, clock.now()).await.unwrap();
        tokio::time::sleep(INTERVAL * 2).await;
        assert_eq!(store.totals().await.unwrap().live, 1);
        clock.advance(LISTED_FOR * 2);
        tokio::time::sleep(INTERVAL * 2).await;
        assert_eq!(store.totals().await.unwrap().live, 0);
    }
}
