//! What attempts tell of one peer's own network, beyond what its client found out: whether it is behind a firewall, what it is
//! if nobody knows, and how its NAT filters.

use super::nat::Nat;

/// So many are told apart of each kind; after that the older ones count less.
const MOST: u8 = 15;
const USUAL: f32 = 0.9;
const WEIGHT: f32 = 1.0;

/// Attempts of one kind that opened and failed, the latest [`MOST`] or so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Links that opened.
    pub opened: u8,
    /// Attempts that failed.
    pub failed: u8,
}

impl Tally {
    fn note(&mut self, opened: bool) {
        if self.opened == MOST || self.failed == MOST {
            (self.opened, self.failed) = (self.opened / 2, self.failed / 2);
        }
        if opened { self.opened += 1 } else { self.failed += 1 }
    }

    /// The chance that the next attempt opens, where `chance` is that of anybody of its kind, and counts like one attempt (the
    /// mean of a beta distribution).
    pub fn chance(self, chance: f32) -> f32 {
        let [opened, failed] = [self.opened, self.failed].map(f32::from);
        let usual = chance.min(USUAL);
        chance / usual * (usual * WEIGHT + opened) / (WEIGHT + opened + failed)
    }

    /// What is left of the chance of anybody to meet this one.
    pub fn left(self) -> f32 {
        (self.chance(USUAL) / USUAL).min(1.0)
    }

    /// As a byte.
    pub const fn byte(self) -> u8 {
        self.opened << 4 | self.failed
    }

    /// From a byte.
    pub const fn of_byte(byte: u8) -> Self {
        Self { opened: byte >> 4, failed: byte & 15 }
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
