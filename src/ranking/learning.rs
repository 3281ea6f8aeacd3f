//! What NATs let through, by what came of attempts: noted as receipts are judged, counted in the store for all nodes
//! together, and read again every interval. With the store away what was known last stays, and what is new waits.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tracing::debug;

use super::Ranking;
use crate::{
    domain::{End, Outcomes, Pair, Pairs, PeerId},
    store::{MOST_NETWORKS, StoreError},
};

/// So many attempts of one reporter count in a round of one node: nobody can speak for a whole network.
const MOST_OF_ONE: u8 = 8;
/// Most pairs of which something waits; those of kinds of NAT are a few of them.
const MOST_WAITING: usize = MOST_NETWORKS;

/// What is known, and what waits to be told.
#[derive(Default)]
pub struct Learning {
    pairs: ArcSwap<Pairs>,
    waiting: Mutex<HashMap<Pair, Outcomes, ahash::RandomState>>,
    // How many attempts of whom counted in this round.
    spoken: Mutex<HashMap<PeerId, u8, ahash::RandomState>>,
}

impl Learning {
    /// Everybody may speak again.
    pub fn begin(&self) {
        *self.spoken.lock() = HashMap::default();
    }

    /// Notes what came of an attempt between two, as `by` says. Says whether it counts.
    pub fn note(&self, by: PeerId, here: End, there: End, opened: bool) -> bool {
        let mut spoken = self.spoken.lock();
        let times = spoken.entry(by).or_default();
        if *times >= MOST_OF_ONE {
            return false;
        }
        *times += 1;
        drop(spoken);
        let one = if opened { Outcomes { opened: 1.0, failed: 0.0 } } else { Outcomes { opened: 0.0, failed: 1.0 } };
        for pair in Pair::of(here, there) {
            self.wait(pair, one);
        }
        true
    }

    /// Of how many pairs something waits.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }

    fn wait(&self, pair: Pair, outcomes: Outcomes) {
        let mut waiting = self.waiting.lock();
        let is_room = waiting.len() < MOST_WAITING || matches!(pair, Pair::Classes(..));
        if let Some(count) = waiting.get_mut(&pair) {
            *count = count.plus(outcomes);
        } else if is_room {
            waiting.insert(pair, outcomes);
        }
    }
}

impl Ranking {
    /// What is known of pairs of NATs and networks, all nodes together.
    pub fn pairs(&self) -> Arc<Pairs> {
        self.learning.pairs.load_full()
    }

    /// Tells the store what is new, and reads what all nodes have told it.
    pub(super) async fn learn(&self) {
        if let Err(error) = self.try_learn().await {
            debug!("What came of attempts waits: {error}");
        }
    }

    async fn try_learn(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let new: Vec<_> = std::mem::take(&mut *self.learning.waiting.lock()).into_iter().collect();
        if !new.is_empty()
            && let Err(error) = self.store.learn(&new, now).await
        {
            for (pair, outcomes) in new {
                self.learning.wait(pair, outcomes);
            }
            return Err(error);
        }
        self.learning.pairs.store(Arc::new(Pairs::new(self.store.learned(now).await?)));
        Ok(())
    }
}
