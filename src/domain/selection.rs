//! Who should meet whom. For now every peer that may upload is as good as another.

use rand::{Rng, seq::SliceRandom};

use super::{ids::PeerId, member::Ranked, score::Score};

/// Most peers in one list.
pub const MAX_WANT: u8 = 16;
/// Most peers that a request can exclude.
pub const MAX_EXCLUDE: usize = 64;

/// What a peer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Who asks.
    pub caller: PeerId,
    /// At most so many peers.
    pub want: usize,
    /// But not these.
    pub exclude: &'a [PeerId],
}

impl Wish<'_> {
    /// How many candidates are enough to fulfil this wish whoever of them drops out.
    pub const fn sample(&self) -> usize {
        if self.want == 0 { 0 } else { self.want + self.exclude.len() + 1 }
    }
}

/// Picks from `candidates`, uniformly: never the caller, nobody excluded, nobody who may not be offered, at most `want`.
pub fn choose(mut candidates: Vec<Ranked>, wish: &Wish<'_>, rng: &mut impl Rng) -> Vec<Ranked> {
    candidates.retain(|Ranked { member, score, .. }| {
        *score > Score::ZERO && member.peer != wish.caller && !wish.exclude.contains(&member.peer)
    });
    let (chosen, _) = candidates.partial_shuffle(rng, wish.want);
    let chosen = chosen.len();
    // `partial_shuffle` leaves the chosen at the end.
    candidates.drain(..candidates.len() - chosen);
    candidates
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::{
        super::{Member, Timestamp},
        *,
    };

    fn ranked(n: u8, upload: bool) -> Ranked {
        let member = Member { upload, ..Member::new(PeerId::from_bytes([n; 16]), Timestamp(0)) };
        Ranked { member, score: if upload { Score::NEW } else { Score::ZERO }, seen: Timestamp(0) }
    }

    proptest! {
        #[test]
        fn a_list_keeps_its_promises(n in 0..40_u8, silent: u64, want in 0..=16_usize, exclude in prop::collection::vec(0..40_u8, 0..20), seed: u64) {
            let candidates: Vec<_> = (0..n).map(|i| ranked(i, silent >> i & 1 == 0)).collect();
            let exclude: Vec<_> = exclude.into_iter().map(|i| PeerId::from_bytes([i; 16])).collect();
            let wish = Wish { caller: PeerId::from_bytes([0; 16]), want, exclude: &exclude };
            let possible = candidates.iter().filter(|c| c.member.upload && c.member.peer != wish.caller && !exclude.contains(&c.member.peer)).count();
            let list = choose(candidates, &wish, &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(list.len(), possible.min(want));
            prop_assert!(list.iter().all(|c| c.member.upload && c.member.peer != wish.caller && !exclude.contains(&c.member.peer)));
            let mut ids: Vec<_> = list.iter().map(|c| c.member.peer).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), list.len());
        }
    }

    #[test]
    fn everybody_is_picked_equally_often() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut picked = HashMap::new();
        let wish = Wish { caller: PeerId::from_bytes([0; 16]), want: 3, exclude: &[] };
        for _ in 0..10_000 {
            for c in choose((0..11).map(|i| ranked(i, true)).collect(), &wish, &mut rng) {
                *picked.entry(c.member.peer).or_insert(0_u32) += 1;
            }
        }
        assert_eq!(picked.len(), 10);
        // 3,000 expected of each; chi-square with 9 degrees of freedom stays below 27.9 in 999 of 1,000 worlds.
        let chi: f64 = picked.values().map(|&n| (f64::from(n) - 3000.0).powi(2) / 3000.0).sum();
        assert!(chi < 27.9, "chi-square {chi}");
    }
}
