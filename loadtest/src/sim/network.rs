//! What the network really lets through. Servers do not know it; they learn of it by what came of attempts.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::{
    assumptions::{FILTERED, Filter, NO_HAIRPIN, ODD_PAIRS, WALLED, truth},
    population::{Population, Viewer, number},
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
        let mut chance = truth((one.nat, one.filter), (other.nat, other.filter));
        for end in [one, other] {
            if end.filter == Filter::Walled {
                chance *= WALLED.1;
            }
        }
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

    /// Whether two get a link, when both are there and have room: always the same, however often they try.
    pub fn opens(&self, one: &Viewer, other: &Viewer) -> bool {
        let [one_number, other_number] = [one, other].map(|viewer| number(viewer.id) as u32);
        self.draw(4, one_number.min(other_number), one_number.max(other_number)) < self.chance(one, other)
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
    fn two_behind_nats_meet_about_as_often_as_was_measured() {
        let all = Population::new(&Shape { viewers: 3000, minutes: 3, seed: 1, liars: 0.0, free_riders: 0.0 });
        let network = Network::new(&all, 1);
        let natted: Vec<_> = all.viewers.iter().filter(|viewer| matches!(viewer.nat, Nat::Eim | Nat::Apdm)).collect();
        let pairs = || natted.iter().zip(natted.iter().skip(1));
        let mean = pairs().map(|(one, other)| network.chance(one, other)).sum::<f64>() / pairs().count() as f64;
        assert!((0.629..0.771).contains(&mean), "{mean}");
    }

    #[test]
    fn the_truth_is_the_same_from_both_ends_and_worse_between_some_networks() {
        let all = Population::new(&Shape { viewers: 600, minutes: 3, seed: 5, liars: 0.0, free_riders: 0.0 });
        let network = Network::new(&all, 5);
        let usual = truth((Nat::Eim, Filter::Strict), (Nat::Eim, Filter::Strict));
        let good: Vec<_> = all.viewers.iter().filter(|viewer| viewer.nat == Nat::Eim && !viewer.is_cellular).collect();
        let (mut worse, mut pairs, mut opened, mut expected) = (0, 0, 0.0, 0.0);
        for (n, one) in good.iter().enumerate() {
            for other in &good[..n] {
                let chance = network.chance(one, other);
                assert!((chance - network.chance(other, one)).abs() < 1e-9 && chance <= usual);
                assert_eq!(network.opens(one, other), network.opens(other, one));
                opened += f64::from(u8::from(network.opens(one, other)));
                expected += network.chance(one, other);
                pairs += 1;
                worse += u32::from(chance < usual - 1e-9);
            }
        }
        assert!((opened / expected - 1.0_f64).abs() < 0.02, "{opened} of {expected}");
        let share = f64::from(worse) / f64::from(pairs);
        assert!((0.02..0.15).contains(&share), "{share} of all pairs");
    }
}
