//! What attempts tell of one peer's own network, beyond what its client found out: whether it is behind a firewall, what it is
//! if nobody knows, and how its NAT filters.

use super::nat::{Nat, Outcomes, USUAL};

/// So many are told apart of each kind; after that the older ones count less.
const MOST: u8 = 15;
/// What is known of a peer's kind counts like so many attempts of its own.
const KIND_WEIGHS: f32 = 1.0;

/// Attempts of one kind that opened and failed, the latest [`MOST`] or so. A byte, since every row of a copy has two: the upper
/// half tells how many opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally(u8);

impl Tally {
    /// So many of each, up to 15.
    pub const fn new(opened: u8, failed: u8) -> Self {
        const fn most(count: u8) -> u8 {
            if count < MOST { count } else { MOST }
        }
        Self(most(opened) << 4 | most(failed))
    }

    /// Links that opened.
    pub const fn opened(self) -> u8 {
        self.0 >> 4
    }

    /// Attempts that failed.
    pub const fn failed(self) -> u8 {
        self.0 & MOST
    }

    fn note(&mut self, has_opened: bool) {
        let [mut opened, mut failed] = [self.opened(), self.failed()];
        if opened == MOST || failed == MOST {
            (opened, failed) = (opened / 2, failed / 2);
        }
        *self = if has_opened { Self::new(opened + 1, failed) } else { Self::new(opened, failed + 1) };
    }

    /// The chance that the next attempt opens, where `chance` is that of anybody of its kind.
    pub fn chance(self, chance: f32) -> f32 {
        let came = Outcomes { opened: self.opened().into(), failed: self.failed().into() };
        let usual = chance.min(USUAL);
        chance / usual * came.chance(usual, KIND_WEIGHS)
    }

    /// What is left of the chance of anybody to meet this one.
    pub fn left(self) -> f32 {
        (self.chance(USUAL) / USUAL).min(1.0)
    }

    /// As a byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// From a byte.
    pub const fn of_byte(byte: u8) -> Self {
        Self(byte)
    }
}

/// What came of a peer's attempts, by who was at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// With those whom anybody meets: failures are its own network's.
    pub easy: Tally,
    /// Of a NAT that maps endpoint-independently, with those that map by destination: whether they get in depends on how it
    /// filters (RFC 4787, section 5), which is the same for all of them.
    pub hard: Tally,
}

/// What an attempt tells of an end, by the kinds of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// Whether anybody gets in at all.
    Easy,
    /// How it filters.
    Hard,
}

impl Tells {
    /// What an attempt tells of a NAT of kind `own`; `None` where it tells nothing.
    pub const fn of(own: Nat, other: Nat) -> Option<Self> {
        use Nat::{Apdm, Blocked, Eim, Unknown};
        match (own, other) {
            (Blocked, _) | (_, Blocked | Unknown) | (Apdm, Eim | Apdm) | (Unknown, Apdm) => None,
            (Eim, Apdm) => Some(Self::Hard),
            _ => Some(Self::Easy),
        }
    }
}

impl Reach {
    /// Whether nothing is known yet of what an attempt of a NAT of kind `own` tells.
    pub fn is_new(&self, own: Nat, other: Nat) -> bool {
        match Tells::of(own, other) {
            Some(Tells::Easy) => self.easy == Tally::default(),
            Some(Tells::Hard) => self.hard == Tally::default(),
            None => true,
        }
    }

    /// Counts what came of an attempt of a NAT of kind `own`.
    pub fn note(&mut self, own: Nat, other: Nat, opened: bool) {
        match Tells::of(own, other) {
            Some(Tells::Easy) => self.easy.note(opened),
            Some(Tells::Hard) => self.hard.note(opened),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_attempts_tell_much_and_many_more() {
        let tally = Tally::new;
        let near = |tally: Tally, chance: f32, expected: f32| (tally.chance(chance) - expected).abs() < 0.006;
        assert!(near(tally(0, 0), 0.98, 0.98) && near(tally(0, 0), 0.4, 0.4));
        assert!(near(tally(0, 1), 0.9, 0.45) && near(tally(0, 2), 0.9, 0.3) && near(tally(3, 1), 0.9, 0.78));
        assert!(near(tally(0, 1), 0.4, 0.2) && near(tally(1, 0), 0.4, 0.7) && near(tally(4, 0), 0.4, 0.88));
        assert!((tally(9, 0).left() - 1.0).abs() < 1e-6 && (tally(0, 2).left() - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn an_attempt_tells_of_ones_own_network_only_where_the_other_end_explains_nothing() {
        use Nat::{Apdm, Blocked, Eim, Open, Unknown};
        let noted = |own, other| {
            let mut reach = Reach::default();
            assert!(reach.is_new(own, other));
            reach.note(own, other, false);
            (reach.easy.failed(), reach.hard.failed())
        };
        for (own, other, easy, hard) in [
            (Open, Open, 1, 0),
            (Open, Apdm, 1, 0),
            (Eim, Open, 1, 0),
            (Eim, Eim, 1, 0),
            (Eim, Apdm, 0, 1),
            (Apdm, Open, 1, 0),
            (Apdm, Eim, 0, 0),
            (Apdm, Apdm, 0, 0),
            (Unknown, Eim, 1, 0),
            (Unknown, Apdm, 0, 0),
            (Eim, Unknown, 0, 0),
            (Blocked, Open, 0, 0),
            (Open, Blocked, 0, 0),
        ] {
            assert_eq!(noted(own, other), (easy, hard), "{own:?} and {other:?}");
        }
        let mut reach = Reach::default();
        reach.note(Eim, Apdm, true);
        assert!(!reach.is_new(Eim, Apdm) && reach.is_new(Eim, Eim));
    }

    proptest! {
        #[test]
        fn the_latest_count_most_and_all_fit_into_a_byte(opened in prop::collection::vec(any::<bool>(), 0..100)) {
            let mut reach = Reach::default();
            for opened in opened {
                reach.note(Nat::Open, Nat::Open, opened);
                prop_assert_eq!(Tally::of_byte(reach.easy.byte()), reach.easy);
            }
            for _ in 0..MOST {
                reach.note(Nat::Open, Nat::Open, false);
            }
            prop_assert!(reach.easy.chance(0.9) < 0.45, "{:?}", reach.easy);
        }
    }
}
