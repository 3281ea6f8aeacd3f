//! What attempts have taught a client of its own network (`patience.ts`): how many to make at a time, and when to rest.

/// Attempts at a time before the first link; after so many in a row that the network made nothing of, it makes one at a time.
const MOST_AT_ONCE: usize = 3;
/// Both, of one that does not know its NAT.
const MOST_AT_ONCE_BLINDLY: usize = 2;
/// That one not before a rest: so long, doubling with each that follows, ...
const REST_MS: u32 = 30_000;
/// ... up to 16 times.
const MOST_DOUBLED: usize = 4;
/// So many attempts are taken to have worked before the first.
const LUCK_WEIGHS: u32 = 2;

/// What is known of one's own attempts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// It knows how its NAT behaves.
    pub knows_nat: bool,
    opened: u32,
    unreachable: u32,
    in_vain: usize,
    rests_until: u32,
}

impl Patience {
    /// A link opened.
    pub fn opened(&mut self) {
        self.opened += 1;
        self.in_vain = 0;
    }

    /// The network let an attempt come to nothing.
    pub fn unreachable(&mut self, now: u32) {
        self.unreachable += 1;
        self.in_vain += 1;
        if let Some(more) = self.in_vain.checked_sub(self.most_at_once()) {
            self.rests_until = now + (REST_MS << more.min(MOST_DOUBLED));
        }
    }

    /// The share of its attempts that the network lets through, as far as it knows.
    pub fn luck(&self) -> f64 {
        f64::from(self.opened + LUCK_WEIGHS) / f64::from(self.opened + self.unreachable + LUCK_WEIGHS)
    }

    /// How many of so many missing links to try for, with so many attempts under way.
    pub fn missing(&self, missing: usize, attempts: usize, now: u32) -> usize {
        if self.in_vain >= self.most_at_once() {
            let is_time = attempts == 0 && now >= self.rests_until;
            return missing.min(usize::from(is_time));
        }
        (missing as f64 * self.luck()).ceil() as usize
    }

    /// How many attempts to begin now; the others wait until one has worked.
    pub fn at_once(&self, attempts: usize) -> usize {
        if self.opened == 0 { self.most_at_once().saturating_sub(attempts) } else { usize::MAX }
    }

    fn most_at_once(&self) -> usize {
        if self.knows_nat { MOST_AT_ONCE } else { MOST_AT_ONCE_BLINDLY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_few_and_rests_longer_and_longer_while_nothing_works() {
        let mut patience = Patience { knows_nat: true, ..Patience::default() };
        assert_eq!((patience.at_once(0), patience.at_once(2), Patience::default().at_once(0)), (3, 1, 2));
        let missing = |patience: Patience, now| patience.missing(8, 0, now);
        for (failures, expected) in [(1, 6), (2, 4)] {
            patience.unreachable(1000);
            assert_eq!(missing(patience, 1000), expected, "after {failures}");
        }
        for (failures, rest) in [(3, 30_000), (4, 60_000), (5, 120_000), (6, 240_000), (7, 480_000), (8, 480_000)] {
            patience.unreachable(1000);
            assert_eq!((missing(patience, 999 + rest), missing(patience, 1000 + rest)), (0, 1), "after {failures}");
        }
        assert_eq!((patience.missing(8, 1, 1_000_000), patience.missing(0, 0, 1_000_000)), (0, 0));
        patience.opened();
        assert_eq!((missing(patience, 1000), patience.at_once(0)), (3, usize::MAX));
    }
}
