//! What the checker says.

use std::collections::BTreeMap;

use serde::Serialize;

/// Examples that are kept of what is wrong.
const EXAMPLES: usize = 20;

/// What is wrong with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wrong {
    /// Acknowledged and never seen.
    Lost,
    /// Received by somebody else.
    Misrouted,
    /// Received and never sent.
    Forged,
    /// Received with another content or kind than sent.
    Corrupted,
    /// Seen twice.
    Twice,
    /// Seen in the wrong order.
    Order,
    /// Dropped by a client although its session was open.
    Dropped,
    /// The history does not end, or contradicts itself.
    Incomplete,
}

/// What was found, and what was counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// How often each thing is wrong. Empty is good.
    pub wrong: BTreeMap<Wrong, u64>,
    /// Some of it, in words.
    pub examples: Vec<String>,
    /// Acknowledged offers, answers and byes whose receivers' sessions were void.
    pub void: u64,
    /// The same whose receivers were away to the end.
    pub absent: u64,
    /// The same that came for a session that their receiver had given up.
    pub stale: u64,
    /// Acknowledged candidates that never came: allowed, and counted.
    pub candidates_lost: u64,
    /// Signals with neither `ok` nor refusal.
    pub unknown: u64,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(super) fn add(&mut self, wrong: Wrong, example: impl FnOnce() -> String) {
        *self.wrong.entry(wrong).or_default() += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("{wrong:?}: {}", example()));
        }
    }
}
