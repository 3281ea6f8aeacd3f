//! What counterparts have said about a peer: decayed totals, and the last counters of each reporter, so that cumulative
//! receipts count once, on whichever node and however often they arrive.
//!
//! Times are whole seconds, and what is remembered of a reporter is rounded, so that every store keeps exactly this; of
//! the totals it keeps at least four digits.

use std::{hash::Hasher, time::Duration};

use fnv::FnvHasher;

use super::{
    ids::PeerId,
    nat::End,
    offload::{Account, Counters, Totals},
    place::Prefix,
    score::Score,
    time::Timestamp,
};

#[cfg(test)]
mod tests;

/// What was said loses half its weight in this time.
pub const HALF_LIFE: Duration = Duration::from_mins(5);
/// Reporters remembered of each peer. Another takes the place of the one that was heard of longest ago, if that is a
/// [`HALF_LIFE`] ago; until then it does not count.
pub const MAX_REPORTERS: usize = 16;
/// What one reporter's transfers can weigh at any time. Its connect or failure weighs at most 1.
pub const MOST_TRANSFERS: f32 = 16.0;
/// Steps in which that weight is remembered.
pub const WEIGHT_STEPS: f32 = 63.0;
/// Bytes are remembered in whole units of 16 KiB.
pub const BYTES_UNIT: u64 = 16 * 1024;
/// Busy time is remembered in whole units of 16 ms.
pub const BUSY_UNIT: u64 = 16;
/// The time of a reporter's last news is remembered in whole units of 4 s.
pub const AT_UNIT: u64 = 4;

/// What the counterpart of a link says about it: counters since the link was first tried in this epoch of the reporter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Counters begin anew when it grows. Compared as serial numbers (RFC 1982), so it may wrap.
    pub epoch: u16,
    /// Whether the link was ever open.
    pub connected: bool,
    /// Bytes received.
    pub bytes: u64,
    /// Milliseconds during which something was being received.
    pub busy_ms: u64,
    /// Transfers that succeeded.
    pub ok: u32,
    /// Transfers that took too long.
    pub timeout: u32,
    /// Transfers whose content was wrong.
    pub bad: u32,
    /// Milliseconds from the attempt's beginning to the open link, where said. Evidence does not remember it.
    pub connect_ms: Option<u32>,
}

impl Receipt {
    /// Two receipts of one reporter about one peer, in any order: the later epoch, and of one epoch the larger counters.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.epoch != other.epoch {
            return if is_later(self.epoch, other.epoch) { self } else { other };
        }
        Self {
            epoch: self.epoch,
            connected: self.connected || other.connected,
            bytes: self.bytes.max(other.bytes),
            busy_ms: self.busy_ms.max(other.busy_ms),
            ok: self.ok.max(other.ok),
            timeout: self.timeout.max(other.timeout),
            bad: self.bad.max(other.bad),
            connect_ms: self.connect_ms.or(other.connect_ms),
        }
    }
}

/// Whether serial number `one` comes after `other`. Of two that are half the circle apart, the larger one does.
pub const fn is_later(one: u16, other: u16) -> bool {
    let ahead = one.wrapping_sub(other);
    ahead != 0 && (ahead < 0x8000 || ahead == 0x8000 && one > other)
}

/// What came of a reporter's attempt to link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing that counts: a failure between two NATs that cannot meet.
    Void,
    /// It failed.
    Failed,
    /// It opened.
    Connected,
}

/// What is new in a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether the link opened, where that was not known: once for each attempt, but for one that was taken to have failed
    /// and opened later.
    pub opened: Option<bool>,
}

/// A reporter, and its last receipt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reporter {
    /// FNV-1a of its peer id, folded to 24 bits.
    pub id: u32,
    /// The same of its prefix, never 0; 0 where that is not known.
    pub prefix: u8,
    /// When it last said something new, in units of [`AT_UNIT`].
    pub at: Timestamp,
    /// What came of its attempt.
    pub attempt: Attempt,
    /// What its transfers weighed at that time, in steps of 1/63 of the most.
    pub weight: f32,
    /// The last counters, in the units above.
    pub receipt: Receipt,
}

/// Who reports, as evidence remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The reporter.
    pub peer: PeerId,
    /// The prefix of its address, where known.
    pub prefix: Option<Prefix>,
    /// Whether its NAT and the peer's allow a link at all.
    pub can_meet: bool,
    /// Its NAT and network, for what is learned of such. Evidence does not remember them.
    pub end: End,
}

/// Everything that is remembered of what counterparts said about one peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Grows by one, and wraps, with each time it is stored: who wants to store it must have read the last one.
    pub revision: u16,
    /// Totals are decayed up to this moment, in whole seconds. Also the time of `score`.
    pub touched: Timestamp,
    /// The score at that time, which limits how fast the next one rises.
    pub score: Score,
    /// Links that opened.
    pub connects: f32,
    /// Attempts that failed.
    pub failures: f32,
    /// Transfers that succeeded.
    pub ok: f32,
    /// That took too long.
    pub timeouts: f32,
    /// That were wrong.
    pub bad: f32,
    /// Sum over the successful ones of how fast they were: 1 is as fast as anybody needs.
    pub speed: f32,
    /// The last counters of up to [`MAX_REPORTERS`], those that were heard of last at the end.
    pub reporters: Vec<Reporter>,
    /// The peer's own counters. Nothing is judged by them.
    pub own: Option<Account>,
}

impl Evidence {
    /// Nothing yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            revision: 0,
            touched: Timestamp::from_seconds(now.seconds()),
            score: Score::NEW,
            connects: 0.0,
            failures: 0.0,
            ok: 0.0,
            timeouts: 0.0,
            bad: 0.0,
            speed: 0.0,
            reporters: Vec::new(),
            own: None,
        }
    }

    /// Lets it lose weight up to `now`. A clock that goes back changes nothing.
    pub fn decay(&mut self, now: Timestamp) {
        let now = Timestamp::from_seconds(now.seconds());
        if now <= self.touched {
            return;
        }
        let factor = left_of(now.since(self.touched));
        for total in
            [&mut self.connects, &mut self.failures, &mut self.ok, &mut self.timeouts, &mut self.bad, &mut self.speed]
        {
            *total *= factor;
        }
        self.touched = now;
    }

    /// Counts what is new in the peer's own counters, up to now, and returns that.
    pub fn account(&mut self, said: Counters, joined: Timestamp, now: Timestamp) -> Totals {
        self.decay(now);
        let Some((own, new)) = Account::next(self.own, said, joined, self.touched) else { return Totals::default() };
        self.own = Some(own);
        new
    }

    /// Adds what is new in a receipt; `full_kbps` is the rate beyond which faster is no better. `None` where nothing is.
    /// Counters that went back count as unchanged; a receipt of an earlier epoch is not looked at.
    pub fn add(&mut self, source: &Source, receipt: &Receipt, full_kbps: u32, now: Timestamp) -> Option<News> {
        self.decay(now);
        let now = self.touched;
        let id = short_id(source.peer);
        let place = self.reporters.iter().position(|reporter| reporter.id == id);
        let last = place.map(|place| self.reporters[place]);
        if last.is_some_and(|last| is_later(last.receipt.epoch, receipt.epoch)) {
            return None;
        }
        // If any newcomer took a place at once, seventeen that take turns would be forgotten and count anew each time.
        let is_in_place_of_another = last.is_none() && self.reporters.len() >= MAX_REPORTERS;
        if is_in_place_of_another && now.since(self.reporters[0].at) < HALF_LIFE {
            return None;
        }
        let before = last
            .map(|last| last.receipt)
            .filter(|before| before.epoch == receipt.epoch)
            .unwrap_or(Receipt { epoch: receipt.epoch, ..Receipt::default() });
        let after = before.merge(Receipt {
            bytes: receipt.bytes - receipt.bytes % BYTES_UNIT,
            busy_ms: receipt.busy_ms - receipt.busy_ms % BUSY_UNIT,
            connect_ms: None,
            ..*receipt
        });
        let attempt = match (after.connected, source.can_meet) {
            (true, _) => Attempt::Connected,
            (false, true) => Attempt::Failed,
            (false, false) => Attempt::Void,
        };
        if last.is_some_and(|last| last.receipt == after && last.attempt == attempt) {
            return None;
        }
        // As if said at the rounded time: so what is left of it later is known exactly, and can be taken back.
        let at = Timestamp::from_seconds(now.seconds() - now.seconds() % AT_UNIT);
        let fresh = left_of(now.since(at));
        let left = last.map_or(0.0, |last| left_of(at.since(last.at)));
        self.add_attempt(last.map_or(Attempt::Void, |last| last.attempt), -left * fresh);
        self.add_attempt(attempt, fresh);
        let weight = last.map_or(0.0, |last| last.weight * left);
        // It may have been here before, and its transfers with it: what it says from now on counts.
        let counted = if is_in_place_of_another { after } else { before };
        let weight = self.add_transfers(weight, fresh, &counted, &after, full_kbps);
        if let Some(place) = place {
            self.reporters.remove(place);
        } else if is_in_place_of_another {
            self.reporters.remove(0);
        }
        let prefix = source.prefix.map_or(0, short_prefix);
        self.reporters.push(Reporter { id, prefix, at, attempt, weight, receipt: after });
        let was_known = last.is_some_and(|last| last.receipt.epoch == after.epoch);
        let was_open = last.is_some_and(|last| last.attempt == Attempt::Connected) && was_known;
        let opened = if after.connected { (!was_open).then_some(true) } else { (!was_known).then_some(false) };
        Some(News { opened })
    }

    /// Adds to what attempts of this kind weigh, or takes from it.
    fn add_attempt(&mut self, attempt: Attempt, weight: f32) {
        match attempt {
            Attempt::Void => {}
            Attempt::Failed => self.failures = (self.failures + weight).max(0.0),
            Attempt::Connected => self.connects = (self.connects + weight).max(0.0),
        }
    }

    /// Adds the new transfers as far as this reporter's weight allows; returns what all of its transfers weigh with them.
    /// `fresh` is what is left of a weight of 1 by now.
    fn add_transfers(&mut self, weight: f32, fresh: f32, before: &Receipt, after: &Receipt, full_kbps: u32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "what is larger than 2^23 is cut to 16 just below")]
        let [ok, timeout, bad] =
            [after.ok - before.ok, after.timeout - before.timeout, after.bad - before.bad].map(|count| count as f32);
        let all = ok + timeout + bad;
        if all <= 0.0 {
            return round_up(weight);
        }
        let share = ((MOST_TRANSFERS - weight).max(0.0) / all).min(1.0);
        #[expect(clippy::cast_precision_loss, reason = "a rate of which eight digits matter")]
        let kbps = (after.bytes - before.bytes) as f32 * 8.0 / ((after.busy_ms - before.busy_ms).max(1) as f32);
        #[expect(clippy::cast_precision_loss, reason = "likewise")]
        let speed = (kbps / full_kbps.max(1) as f32).clamp(0.05, 1.0);
        let each = share * fresh;
        self.ok += ok * each;
        self.timeouts += timeout * each;
        self.bad += bad * each;
        self.speed += ok * each * speed;
        round_up(weight + all * share)
    }

    /// Reporters whose links opened, and in how many different prefixes; `None` where no prefix is known.
    pub fn witnesses(&self) -> (usize, Option<usize>) {
        let connected = || self.reporters.iter().filter(|reporter| reporter.attempt == Attempt::Connected);
        let mut prefixes: Vec<_> = connected().map(|reporter| reporter.prefix).filter(|prefix| *prefix != 0).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        (connected().count(), (!prefixes.is_empty()).then_some(prefixes.len()))
    }
}

/// What is left of a weight of 1 after this time.
fn left_of(age: Duration) -> f32 {
    (-age.as_secs_f32() / HALF_LIFE.as_secs_f32()).exp2()
}

fn round_up(weight: f32) -> f32 {
    let step = MOST_TRANSFERS / WEIGHT_STEPS;
    ((weight / step).ceil() * step).min(MOST_TRANSFERS)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = FnvHasher::default();
    hash.write(bytes);
    hash.finish()
}

fn short_id(peer: PeerId) -> u32 {
    let hash = fnv1a(peer.as_bytes());
    u32::try_from((hash >> 24 ^ hash) & 0xff_ffff).expect("24 bits")
}

fn short_prefix(prefix: Prefix) -> u8 {
    u8::try_from(fnv1a(&prefix.number().to_be_bytes()) % 255 + 1).expect("1 to 255")
}
