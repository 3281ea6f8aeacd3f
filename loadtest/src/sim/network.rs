//! What the network really lets through. Servers do not know it; they learn of it by what came of attempts.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::{
    assumptions::{FILTERED, NO_HAIRPIN, ODD_PAIRS, truth},
    population::{Population, Viewer},
};

/// The truth about pairs.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    population: &'a Population,
    seed: u64,
}

impl<'a> Network<'a> {
    /// The same for every strategy.
    pub fn new(population: &'a Population, seed: u64) -> Self {
        Self { population, seed }
    }

    /// The chance that two get a link, when both are there and have room.
    pub fn chance(&self, one: &Viewer, other: &Viewer) -> f64 {
        let (a, b) = (one.network.min(other.network), one.network.max(other.network));
        let mut chance = truth(one.nat, other.nat);
        for end in [a, b] {
            if !self.population.is_largest[end as usize] && self.draw(1, end, end) < FILTERED.0 {
                chance *= FILTERED.1;
            }
        }
        if a != b && self.draw(2, a, b) < ODD_PAIRS.0 {
            chance *= ODD_PAIRS.1;
        }
        if a == b && self.population.is_mobile[a as usize] && self.draw(3, a, a) < NO_HAIRPIN.0 {
            chance *= NO_HAIRPIN.1;
        }
        chance
    }

    /// From 0 to 1, always the same for a pair.
    fn draw(&self, what: u8, one: u32, other: u32) -> f64 {
        let mut hash = FnvHasher::default();
        hash.write_u64(self.seed);
        hash.write_u8(what);
        hash.write_u32(one);
        hash.write_u32(other);
        // The last bits of FNV's steps are weak: they are mixed once more.
        let mixed = (hash.finish() ^ hash.finish() >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use starling::domain::Nat;

    use super::*;
    use crate::sim::Shape;

    #[test]
    fn the_truth_is_the_same_from_both_ends_and_worse_between_some_networks() {
        let all = Population::new(&Shape { viewers: 600, minutes: 3, seed: 5, liars: 0.0, free_riders: 0.0 });
        let network = Network::new(&all, 5);
        let good: Vec<_> = all.viewers.iter().filter(|viewer| viewer.nat == Nat::Eim && !viewer.is_cellular).collect();
        let (mut worse, mut pairs) = (0, 0);
        for (n, one) in good.iter().enumerate() {
            for other in &good[..n] {
                let chance = network.chance(one, other);
                assert!((chance - network.chance(other, one)).abs() < 1e-9 && chance <= truth(Nat::Eim, Nat::Eim));
                pairs += 1;
                worse += u32::from(chance < truth(Nat::Eim, Nat::Eim) - 1e-9);
            }
        }
        let share = f64::from(worse) / f64::from(pairs);
        assert!((0.02..0.15).contains(&share), "{share} of all pairs");
    }
}
