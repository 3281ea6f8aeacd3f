//! What the network is worth to a swarm: bytes that came from peers instead of servers, as viewers' reports say.
//!
//! A report reaches any node and its counters are cumulative, so what was counted last is remembered of each peer: an
//! [`Account`]. A peer can say what it likes; nobody is judged by it, and no more counts than a fast line can carry.

use super::{
    evidence::{BYTES_UNIT, is_later},
    time::Timestamp,
};

/// What a peer can have moved in a millisecond at most, each way: a gigabit a second.
const MOST_PER_MS: u64 = 125_000;

/// A peer's own counters, all growing within one epoch of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The client's epoch; counters begin anew when it grows. Compared as serial numbers (RFC 1982).
    pub epoch: u16,
    /// Bytes received from peers.
    pub down_bytes: u64,
    /// Bytes received from servers.
    pub http_bytes: u64,
    /// Bytes sent to peers.
    pub up_bytes: u64,
    /// How often playing stopped for want of data.
    pub rebuffers: u32,
}

impl Counters {
    /// Two words of one peer, in any order: the later epoch, and of one epoch the larger counters.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.epoch != other.epoch {
            return if is_later(self.epoch, other.epoch) { self } else { other };
        }
        Self {
            epoch: self.epoch,
            down_bytes: self.down_bytes.max(other.down_bytes),
            http_bytes: self.http_bytes.max(other.http_bytes),
            up_bytes: self.up_bytes.max(other.up_bytes),
            rebuffers: self.rebuffers.max(other.rebuffers),
        }
    }

    /// In whole units; what is left over counts once it has become one.
    fn in_units(self) -> Self {
        let [down_bytes, http_bytes, up_bytes] =
            [self.down_bytes, self.http_bytes, self.up_bytes].map(|bytes| bytes - bytes % BYTES_UNIT);
        Self { down_bytes, http_bytes, up_bytes, ..self }
    }
}

/// A peer's own counters as they were counted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Bytes in whole units of [`BYTES_UNIT`].
    pub counters: Counters,
    /// When, in whole seconds.
    pub at: Timestamp,
}

impl Account {
    /// The account after `said`, and what is new; `None` where nothing is. Counters that went back count as unchanged, a
    /// later epoch begins anew. What is more than a gigabit a second since the last time (at first: since it joined), or
    /// than one rebuffering a second, does not count, then or later.
    pub fn next(last: Option<Self>, said: Counters, joined: Timestamp, now: Timestamp) -> Option<(Self, Totals)> {
        let at = Timestamp::from_seconds(now.seconds());
        let before = match last {
            Some(last) if is_later(last.counters.epoch, said.epoch) => return None,
            Some(last) if last.counters.epoch == said.epoch => last.counters,
            _ => Counters { epoch: said.epoch, ..Counters::default() },
        };
        let after = before.merge(said.in_units());
        let waited = at.since(last.map_or(joined, |last| last.at));
        // Nothing may count yet where no time has passed: the next word says the same and more.
        if waited.is_zero() || last.is_some_and(|last| last.counters == after) {
            return None;
        }
        let most = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX).saturating_mul(MOST_PER_MS);
        let new = Totals {
            p2p_bytes: (after.down_bytes - before.down_bytes).min(most),
            http_bytes: (after.http_bytes - before.http_bytes).min(most),
            up_bytes: (after.up_bytes - before.up_bytes).min(most),
            rebuffers: u64::from(after.rebuffers - before.rebuffers).min(waited.as_secs().max(1)),
            ..Totals::default()
        };
        Some((Self { counters: after, at }, new))
    }
}

/// What all viewers of a swarm together have reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes received from peers.
    pub p2p_bytes: u64,
    /// Bytes received from servers.
    pub http_bytes: u64,
    /// Bytes sent to peers.
    pub up_bytes: u64,
    /// How often playing stopped for want of data.
    pub rebuffers: u64,
    /// Links that opened, as often as one end said how long it took: twice, where both do.
    pub connects: u64,
    /// Milliseconds from their attempts' beginnings to the open channels, all together.
    pub connect_ms: u64,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            p2p_bytes: self.p2p_bytes.saturating_add(other.p2p_bytes),
            http_bytes: self.http_bytes.saturating_add(other.http_bytes),
            up_bytes: self.up_bytes.saturating_add(other.up_bytes),
            rebuffers: self.rebuffers.saturating_add(other.rebuffers),
            connects: self.connects.saturating_add(other.connects),
            connect_ms: self.connect_ms.saturating_add(other.connect_ms),
        }
    }

    /// What the bytes that came from peers would have cost from servers, at this price of 10^9.
    #[expect(clippy::cast_precision_loss, reason = "an amount of which a few digits matter")]
    pub fn saved(&self, price_per_gb: f64) -> f64 {
        self.p2p_bytes as f64 / 1e9 * price_per_gb
    }

    /// The share of bytes that came from peers; `None` before any came.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of which three digits matter")]
    pub fn offload(&self) -> Option<f64> {
        let all = self.p2p_bytes.saturating_add(self.http_bytes);
        (all > 0).then(|| self.p2p_bytes as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const JOINED: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const UNIT: u64 = BYTES_UNIT;

    fn after(seconds: u64) -> Timestamp {
        JOINED + Duration::from_secs(seconds)
    }

    fn said(epoch: u16, units: u64) -> Counters {
        let rebuffers = u32::try_from(units).unwrap();
        Counters {
            epoch,
            down_bytes: units * UNIT,
            http_bytes: 2 * units * UNIT,
            up_bytes: 3 * units * UNIT,
            rebuffers,
        }
    }

    fn totals(units: u64) -> Totals {
        let bytes = units * UNIT;
        let (p2p_bytes, http_bytes, up_bytes) = (bytes, 2 * bytes, 3 * bytes);
        Totals { p2p_bytes, http_bytes, up_bytes, rebuffers: units, ..Totals::default() }
    }

    #[test]
    fn what_is_said_again_or_late_counts_once_and_a_new_epoch_begins_anew() {
        let mut last = None;
        for (seconds, word, expected) in [
            (10, said(65_535, 5), Some(5)),
            (20, said(65_535, 5), None),
            (30, said(65_535, 3), None),
            (40, said(65_535, 7), Some(2)),
            (40, said(65_535, 9), None),
            (50, said(65_535, 9), Some(2)),
            (60, said(0, 4), Some(4)),
            (70, said(65_535, 20), None),
            (80, said(0, 5), Some(1)),
        ] {
            let next = Account::next(last, word, JOINED, after(seconds));
            assert_eq!(next.map(|(_, new)| new), expected.map(totals), "{seconds} s");
            last = next.map(|(account, _)| account).or(last);
        }
        let mixed = Counters { up_bytes: 0, down_bytes: 6 * UNIT + UNIT - 1, ..said(0, 5) };
        let (account, new) = Account::next(last, mixed, JOINED, after(90)).unwrap();
        assert_eq!(new, Totals { p2p_bytes: UNIT, ..Totals::default() }, "each counter by itself, in whole units");
        let rest = Counters { down_bytes: 7 * UNIT, ..mixed };
        assert_eq!(Account::next(Some(account), rest, JOINED, after(91)).unwrap().1.p2p_bytes, UNIT);
    }

    #[test]
    fn nobody_moves_more_than_a_gigabit_a_second_since_the_last_word() {
        let boast = |epoch| Counters {
            epoch,
            down_bytes: 1 << 45,
            http_bytes: u64::MAX,
            up_bytes: 1 << 45,
            rebuffers: u32::MAX,
        };
        let (account, new) = Account::next(None, boast(1), JOINED, after(8)).unwrap();
        let gigabyte = 1_000_000_000;
        let most =
            Totals { p2p_bytes: gigabyte, http_bytes: gigabyte, up_bytes: gigabyte, rebuffers: 8, ..Totals::default() };
        assert_eq!(new, most);
        assert_eq!(
            Account::next(Some(account), boast(1), JOINED, after(80)),
            None,
            "what was too much is not counted later"
        );
        let (_, new) = Account::next(Some(account), boast(2), JOINED, after(16)).unwrap();
        assert_eq!(new, most);
        assert_eq!(Account::next(None, boast(1), JOINED, JOINED), None);
        assert_eq!(Account::next(None, boast(1), after(9), after(8)), None, "clocks differ");
    }

    #[test]
    fn a_share_a_price_and_a_sum() {
        let totals = Totals { p2p_bytes: 3_000_000_000, http_bytes: 1_000_000_000, ..Totals::default() };
        assert_eq!((totals.offload(), Totals::default().offload()), (Some(0.75), None));
        assert!((totals.saved(0.02) - 0.06).abs() < 1e-12);
        assert_eq!(totals.plus(totals).p2p_bytes, 6_000_000_000);
        assert_eq!(totals.plus(Totals { p2p_bytes: u64::MAX, ..totals }).p2p_bytes, u64::MAX);
    }

    proptest! {
        #[test]
        fn no_order_counts_more_than_the_last_word(
            words in prop::collection::vec((0..3_u16, 0..1000_u64), 1..12),
        ) {
            let (mut last, mut sum) = (None, Totals::default());
            for (at, (epoch, units)) in (1..).zip(&words) {
                if let Some((account, new)) = Account::next(last, said(*epoch, *units), JOINED, after(at * 10_000)) {
                    last = Some(account);
                    sum = sum.plus(new);
                }
            }
            let most = |epoch: u16| words.iter().filter(|word| word.0 == epoch).map(|word| word.1).max().unwrap_or(0);
            prop_assert!(sum.p2p_bytes <= (0..3).map(most).sum::<u64>() * UNIT);
            let latest = words.iter().map(|word| word.0).max().unwrap();
            prop_assert!(sum.p2p_bytes >= most(latest) * UNIT);
        }
    }
}
