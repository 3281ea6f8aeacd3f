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
    // In whole seconds as `touched` is, or what is left of each second would count again with every judgement.
    let waited = Timestamp::from_seconds(now.seconds()).since(touched).min(RISE_TIME);
    let waited = waited.as_secs_f64() / RISE_TIME.as_secs_f64();
    Score::from_value(value.min(evidence.score.value() + RISE * waited))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{PeerId, Prefix, Receipt, evidence::Source};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const AGO: Duration = Duration::from_hours(1);

    fn member(bitrate_kbps: Option<u32>) -> Member {
        Member { bitrate_kbps, joined: NOW - AGO, ..Member::new(PeerId::from_bytes([1; 16]), NOW) }
    }

    /// Nobody could do better: one reporter from each of these networks, who are full of praise.
    fn praise(networks: &[Option<u8>]) -> Evidence {
        let mut evidence = Evidence { score: Score::from_fixed(10_000), ..Evidence::new(NOW) };
        for (n, network) in (0..).zip(networks) {
            let prefix = network.map(|network| Prefix::of([192, 0, network, 1].into()));
            let source = Source {
                peer: PeerId::from_bytes([n; 16]),
                prefix,
                can_meet: true,
                end: crate::domain::End::default(),
            };
            let receipt =
                Receipt { connected: true, bytes: 1 << 40, busy_ms: 1000, ok: 1_000_000, ..Receipt::default() };
            evidence.add(&source, &receipt, full_kbps(&member(None)), NOW);
        }
        evidence
    }

    fn of(evidence: &Evidence) -> f64 {
        score(evidence, NOW, &member(None), NOW).value()
    }

    #[test]
    fn a_high_score_takes_three_reporters_in_two_networks() {
        assert!(of(&praise(&[Some(1), Some(2)])) <= PROVEN);
        assert!(of(&praise(&[Some(1), Some(1), Some(1), Some(1)])) <= PROVEN);
        assert!(of(&praise(&[Some(1), Some(2), Some(2)])) > PROVEN);
        assert!(of(&praise(&[None, None])) <= PROVEN);
        assert!(of(&praise(&[None, None, None])) > PROVEN);
        // Those whose networks are not known are no second network.
        assert!(of(&praise(&[None, None, Some(1)])) <= PROVEN);
        let mut failed = praise(&[Some(1), Some(2)]);
        for n in 7..12 {
            let prefix = Some(Prefix::of([192, 0, n, 1].into()));
            let source = Source {
                peer: PeerId::from_bytes([n; 16]),
                prefix,
                can_meet: true,
                end: crate::domain::End::default(),
            };
            failed.add(&source, &Receipt { ok: 1000, ..Receipt::default() }, 1, NOW);
        }
        assert!(of(&failed) <= PROVEN, "who never got a link saw nothing");
    }

    #[test]
    fn a_score_rises_slowly_however_often_it_is_judged_and_falls_at_once() {
        for every_ms in [50, 100, 333, 1000, 3000, 10_000, 60_000] {
            let mut evidence = Evidence { score: Score::NEW, ..praise(&[Some(1), Some(2), Some(3)]) };
            let mut now = NOW + Duration::from_millis(950);
            while now < NOW + Duration::from_secs(30) {
                let touched = evidence.touched;
                evidence.decay(now);
                evidence.score = score(&evidence, touched, &member(None), now);
                let limit = Score::NEW.value() + RISE * (now.since(NOW).as_secs_f64() / RISE_TIME.as_secs_f64());
                assert!(evidence.score.value() <= limit + 1e-9, "every {every_ms} ms: {:?}", evidence.score);
                now = now + Duration::from_millis(every_ms);
            }
            let slowest = if every_ms == 60_000 { 0.15 } else { 0.34 };
            assert!(evidence.score.value() >= slowest, "every {every_ms} ms: {:?}", evidence.score);
            evidence.bad = 1000.0;
            assert!(score(&evidence, evidence.touched, &member(None), evidence.touched).value() < 0.08);
        }
    }

    #[test]
    fn what_a_peer_claims_to_watch_does_not_make_it_fast() {
        assert_eq!(full_kbps(&member(Some(1))), full_kbps(&member(None)));
        assert!(full_kbps(&member(Some(8000))) > full_kbps(&member(None)));
        assert_eq!(full_kbps(&member(Some(u32::MAX))), 200_000);
    }

    #[test]
    fn each_kind_of_news_moves_the_score_its_way() {
        let usual = Evidence {
            connects: 5.0,
            failures: 2.0,
            ok: 20.0,
            timeouts: 2.0,
            bad: 1.0,
            speed: 10.0,
            ..praise(&[None, None, None])
        };
        let by = |change: fn(&mut Evidence)| {
            let mut evidence = usual.clone();
            change(&mut evidence);
            of(&evidence) - of(&usual)
        };
        assert!(by(|evidence| evidence.connects += 2.0) > 0.0);
        assert!(by(|evidence| evidence.failures += 2.0) < 0.0);
        assert!(by(|evidence| evidence.speed += 2.0) > 0.0);
        let [timeouts, bad] = [by(|evidence| evidence.timeouts += 2.0), by(|evidence| evidence.bad += 2.0)];
        assert!(bad < timeouts && timeouts < 0.0);
        let new = Member { joined: NOW, ..member(None) };
        assert!(score(&usual, NOW, &new, NOW).value() < of(&usual), "who stays is worth more");
    }

    proptest! {
        #[test]
        fn a_score_is_one(totals: [u32; 6], before in 500..=10_000_u16, waited in 0..100_000_u64, age in 0..100_000_u64) {
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            let [connects, failures, ok, timeouts, bad, speed] = totals.map(|total| total as f32 / 1000.0);
            let before = Score::from_fixed(before);
            let evidence = Evidence {
                connects, failures, ok, timeouts, bad, speed, score: before, ..praise(&[None, None, None])
            };
            let now = NOW + Duration::from_millis(waited);
            let member = Member { joined: now - Duration::from_millis(age), ..member(None) };
            let score = score(&evidence, NOW, &member, now);
            prop_assert!((500..=10_000).contains(&score.fixed()));
            prop_assert!(score.value() <= before.value() + RISE + 1e-9);
        }
    }
}
