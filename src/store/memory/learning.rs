//! What came of attempts, by the hour.

use std::collections::{BTreeMap, HashMap};

use crate::{
    domain::{Outcomes, Pair, Timestamp},
    store::{MOST_NETWORKS, OUTCOMES_WEIGH, hour},
};

/// All that counts.
#[derive(Default)]
pub struct Learning(BTreeMap<u64, Hour>);

#[derive(Default)]
struct Hour {
    counts: HashMap<Pair, Outcomes>,
    networks: usize,
}

impl Learning {
    pub fn learn(&mut self, counted: &[(Pair, Outcomes)], now: Timestamp) {
        let now = hour(now);
        self.0.retain(|hour, _| hour + OUTCOMES_WEIGH.len() as u64 > now);
        let hour = self.0.entry(now).or_default();
        for (pair, outcomes) in counted {
            let is_networks = matches!(pair, Pair::Networks(..));
            if let Some(count) = hour.counts.get_mut(pair) {
                *count = count.plus(*outcomes);
            } else if !is_networks || hour.networks < MOST_NETWORKS {
                hour.networks += usize::from(is_networks);
                hour.counts.insert(*pair, *outcomes);
            }
        }
    }

    pub fn learned(&self, now: Timestamp) -> Vec<(Pair, Outcomes)> {
        let mut sum = HashMap::<_, Outcomes>::new();
        for (age, weight) in (0..).zip(OUTCOMES_WEIGH) {
            let counts = hour(now).checked_sub(age).and_then(|hour| self.0.get(&hour));
            for (pair, outcomes) in counts.into_iter().flat_map(|hour| &hour.counts) {
                let sum = sum.entry(*pair).or_default();
                *sum = sum.plus(outcomes.times(weight));
            }
        }
        sum.into_iter().collect()
    }
}
