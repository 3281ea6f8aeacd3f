//! How good a peer is as an uploader. The one place where the formula is.

use std::time::Duration;

use super::{evidence::Evidence, member::Member, time::Timestamp};

/// How much a score can rise in [`RISE_TIME`]. It falls at once.
const RISE: f64 = 0.10;
const RISE_TIME: Duration = Duration::from_secs(10);
/// Above this, several have to have said so.
const PROVEN: f64 = 0.6;
/// So many reporters, ...
const WITNESSES: usize = 3;
/// ... from so many prefixes, where any is known.
const WITNESS_PREFIXES: usize = 2;
/// Nobody's links count as fast because it claims to watch something slow: kbit/s of an ordinary stream.
const USUAL_KBPS: u32 = 3000;

/// 0 (never offer it) or from 0.05 to 1, as a whole number of ten-thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u16);

impl Score {
    /// Of a peer that must not be offered.
    pub const ZERO: Self = Self(0);
    /// Of a peer that nobody has said anything about.
    pub const NEW: Self = Self(1500);
    const ONE: u16 = 10_000;

    /// From ten-thousandths; more than 10,000 count as 10,000.
    pub const fn from_fixed(fixed: u16) -> Self {
        Self(if fixed > Self::ONE { Self::ONE } else { fixed })
    }

    /// In ten-thousandths.
    pub const fn fixed(self) -> u16 {
        self.0
    }

    /// From 0 to 1.
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    fn from_value(value: f64) -> Self {
        Self((value.clamp(0.0, 1.0) * f64::from(Self::ONE)).round() as u16)
    }
}

/// The rate beyond which a transfer from this peer is as good as anybody needs: twice what is watched.
pub fn full_kbps(member: &Member) -> u32 {
    member.bitrate_kbps.unwrap_or_default().clamp(USUAL_KBPS, 100_000) * 2
}

/// The score of a peer with this evidence, decayed up to `now`, whose score was `evidence.score` at `touched`. Factor E of
/// the formula is not in it: who must not be offered keeps its score and is not in the ranking.
pub fn score(evidence: &Evidence, touched: Timestamp, member: &Member, now: Timestamp) -> Score {
    let [connects, failures, ok, timeouts, bad, speed] =
        [evidence.connects, evidence.failures, evidence.ok, evidence.timeouts, evidence.bad, evidence.speed]
            .map(f64::from);
    let reachable = (connects + 2.0) / (connects + failures + 4.0);
    let reliable = (ok + 2.0) / (ok + timeouts + 3.0 * bad + 4.0);
    let fast = ((speed + 2.0) / (ok + 4.0)).clamp(0.05, 1.0);
    let age = now.since(member.joined).as_secs_f64();
    let stays = ((age + 30.0) / 330.0).min(1.0);
    let mut value = 0.05 + 0.95 * reachable.sqrt() * reliable * fast * (0.5 + 0.5 * stays);
    let (witnesses, prefixes) = evidence.witnesses();
    if witnesses < WITNESSES || prefixes.is_some_and(|prefixes| prefixes < WITNESS_PREFIXES) {
        value = value.min(PROVEN);
    }
    let waited = now.since(touched).min(RISE_TIME).as_secs_f64() / RISE_TIME.as_secs_f64();
    Score::from_value(value.min(evidence.score.value() + RISE * waited))
}
