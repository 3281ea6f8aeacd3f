//! What every list promises, whoever the candidates are.

use proptest::{option, prelude::*, sample::select};

use super::*;

fn of_bytes(reach: [u8; 2]) -> Reach {
    let [easy, hard] = reach.map(Tally::of_byte);
    Reach { easy, hard }
}

prop_compose! {
    fn candidates()(
        n in 0..40_u8,
        score in select(vec![0_u16, 500, 1500, 9000]),
        nat in select(&Nat::ALL[..]),
        network in option::of(0..4_u8),
        (slots, degree) in (option::of(0..6_u16), 0..9_u16),
        playhead in option::of(0_f32..2000.0),
        (asn, country) in (option::of(0..3_u32), option::of(select(vec![*b"NZ", *b"AU"]))),
        reach in any::<[u8; 2]>(),
        (tried, held, to_caller, is_busy) in (any::<bool>(), 0..9_usize, any::<bool>(), any::<bool>()),
    ) -> Candidate {
        let place = Place { asn, country, pid: asn.and_then(Pid::of_number) };
        let reach = of_bytes(reach);
        let address = network.map(|network| Ipv4Addr::new(192, 0, network, n).into());
        let member = Member { nat, slots, degree, playhead, address, place, tried, reach, ..Member::new(peer(n), NOW) };
        Candidate {
            ranked: Ranked { member, score: Score::from_fixed(score), seen: NOW },
            held: Held { to_caller, is_busy, ..reserved(held) },
        }
    }
}

proptest! {
    #[test]
    fn a_list_keeps_its_promises(
        mut candidates in prop::collection::vec(candidates(), 0..60),
        want in 0..=16_usize,
        exclude in prop::collection::vec(0..40_u8, 0..20),
        reach in any::<[u8; 2]>(),
        (nat, playhead, urgent, seed) in (select(&Nat::ALL[..]), option::of(0_f32..2000.0), any::<bool>(), any::<u64>()),
    ) {
        candidates.sort_by_key(|candidate| candidate.ranked.member.peer);
        candidates.dedup_by_key(|candidate| candidate.ranked.member.peer);
        let reach = of_bytes(reach);
        let exclude: Vec<_> = exclude.into_iter().map(peer).collect();
        let wish = Wish { caller: peer(0), nat, reach, playhead, urgent, exclude: &exclude, ..wish(want) };
        let here = End { nat, reach, asn: None };
        let chance = |member: &Member| Pairs::default().chance(here, member.end());
        let is_possible = |Candidate { ranked: Ranked { member, score, .. }, held }: &&Candidate| {
            let slots = member.slots.map_or(12, usize::from);
            *score > Score::ZERO && member.peer != wish.caller && !exclude.contains(&member.peer)
                && chance(member) >= LEAST_CHANCE && usize::from(member.degree) + held.here < slots
        };
        let least = |member: &Member| if [nat, member.nat] == [Nat::Unknown; 2] { LIKELY_BLINDLY } else { LIKELY };
        let is_likely = |candidate: &&Candidate| is_possible(candidate) && chance(&candidate.ranked.member) >= least(&candidate.ranked.member);
        let possible = candidates.iter().filter(is_possible).count();
        let list = draw(&candidates, &wish, seed);
        prop_assert!(list.len() <= want);
        // Always somebody when somebody is possible, and half of what is wanted where there are as many.
        let likely = candidates.iter().filter(is_likely).count();
        prop_assert!(list.len() >= likely.min(want.div_ceil(2)), "{} of {likely} likely", list.len());
        prop_assert!(list.len() >= possible.min(want).min(1));
        prop_assert!(list.len() == 1 || list.len() <= likely, "one that is not likely is alone");
        let rows: Vec<_> = list
            .iter()
            .map(|peer| candidates.iter().find(|candidate| candidate.ranked.member.peer == *peer).unwrap())
            .collect();
        prop_assert!(rows.iter().all(is_possible));
        let is_short = list.len() <= want.div_ceil(2);
        prop_assert!(is_short || rows.iter().all(|row| !row.held.is_busy), "nobody is handed out too often");
        let mut names = list.clone();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), list.len(), "nobody twice");
        for network in 0..4 {
            let prefix = Prefix::of([192, 0, network, 1].into());
            let of_it = rows.iter().filter(|row| row.ranked.member.prefix() == Some(prefix)).count();
            prop_assert!(of_it <= MOST_OF_A_PREFIX || is_short, "{of_it} of one prefix");
        }
    }
}
