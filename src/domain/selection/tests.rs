//! The draw against its promises, and against its exact distribution.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::domain::{
    CostMap, End, Outcomes, Pair, Pairs, Pid, Place, Tally,
    costs::{Group, Peering, Plan, Rule},
    member::PLAYHEADS,
    nat::LEAST_CHANCE,
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 16])
}

mod promises;
mod reach;

#[derive(Clone, Debug)]
struct Candidate {
    ranked: Ranked,
    held: Held,
}

/// What is held stays so, whatever is reserved.
#[derive(Default)]
struct Reserved {
    held: HashMap<PeerId, Held>,
    asked: Vec<(PeerId, bool)>,
    // So many find that another call was faster.
    late: usize,
}

impl Reservations for Reserved {
    fn held(&self, target: PeerId, _said: Timestamp) -> Held {
        self.held.get(&target).copied().unwrap_or_default()
    }

    fn reserve(&mut self, target: PeerId, insist: bool) -> bool {
        self.asked.push((target, insist));
        self.asked.len() > self.late
    }
}

/// Draws without any knowledge of the network.
fn drawn(candidates: &[Candidate], wish: &Wish<'_>, rng: &mut StdRng, reserved: &mut Reserved) -> Drawn {
    let (costs, pairs) = (CostMap::default(), Pairs::default());
    let terrain = Terrain { costs: &costs, pairs: &pairs, slots: 12, now: NOW };
    reserved.held = candidates.iter().map(|candidate| (candidate.ranked.member.peer, candidate.held)).collect();
    choose(candidates.iter().map(|candidate| candidate.ranked.clone()).collect(), wish, &terrain, rng, reserved)
}

fn listed(candidates: &[Candidate], wish: &Wish<'_>, rng: &mut StdRng) -> Vec<PeerId> {
    drawn(candidates, wish, rng, &mut Reserved::default()).listed().map(|(ranked, _)| ranked.member.peer).collect()
}

/// Somebody well known, near in nothing, with all slots free.
fn candidate(n: u8, score: u16) -> Candidate {
    let member = Member { nat: Nat::Open, tried: true, slots: Some(10), ..Member::new(peer(n), NOW) };
    Candidate { ranked: Ranked { member, score: Score::from_fixed(score), seen: NOW }, held: Held::default() }
}

/// So many slots are held, and no other node is there.
fn reserved(held: usize) -> Held {
    Held { here: held, slots: held, ..Held::default() }
}

fn wish(want: usize) -> Wish<'static> {
    Wish {
        caller: peer(255),
        at: Whereabouts::default(),
        nat: Nat::Open,
        reach: Reach::default(),
        playhead: None,
        urgent: false,
        is_lonely: true,
        said: NOW,
        want,
        exclude: &[],
    }
}

fn draw(candidates: &[Candidate], wish: &Wish<'_>, seed: u64) -> Vec<PeerId> {
    listed(candidates, wish, &mut StdRng::seed_from_u64(seed))
}

fn judged(candidate: Candidate, wish: &Wish<'_>) -> Verdict {
    let drawn = drawn(&[candidate], wish, &mut StdRng::seed_from_u64(1), &mut Reserved::default());
    drawn.listed().chain(drawn.others()).next().map(|(_, verdict)| *verdict).unwrap()
}

/// How often each outcome came, against how often it should have, as chi-square.
fn chi_square<K: std::hash::Hash + Eq + std::fmt::Debug>(
    counted: &HashMap<K, u32>,
    expected: impl IntoIterator<Item = (K, f64)>,
    runs: u32,
) -> f64 {
    let mut seen = 0;
    let chi = expected.into_iter().map(|(outcome, probability)| {
        let (is, should) = (counted.get(&outcome).copied().unwrap_or(0), probability * f64::from(runs));
        assert!(should > 10.0, "too few of {outcome:?} to judge");
        seen += is;
        (f64::from(is) - should).powi(2) / should
    });
    let chi = chi.sum();
    assert_eq!(seen, runs, "nothing else came out");
    chi
}

#[test]
fn pairs_are_drawn_with_exactly_the_probability_of_their_weights() {
    const RUNS: u32 = 100_000;
    let scores = [500, 1500, 3000, 6000, 10_000];
    let all: f64 = scores.iter().map(|score| f64::from(*score)).sum();
    let candidates: Vec<_> = (0..).zip(scores).map(|(n, score)| candidate(n, score)).collect();
    let mut rng = StdRng::seed_from_u64(7);
    let mut counted = HashMap::new();
    for _ in 0..RUNS {
        let list = listed(&candidates, &wish(2), &mut rng);
        *counted.entry((list[0], list[1])).or_default() += 1;
    }
    // Without replacement: the first by its share of all weights, the second by its share of what is left.
    let pairs = (0..5_u8).flat_map(|a| (0..5_u8).filter(move |b| *b != a).map(move |b| (a, b)));
    let expected = pairs.map(|(a, b)| {
        let [first, second] = [a, b].map(|n| f64::from(scores[usize::from(n)]));
        ((peer(a), peer(b)), first / all * second / (all - first))
    });
    // 19 degrees of freedom: below 43.8 in 999 of 1,000 worlds.
    let chi = chi_square(&counted, expected, RUNS);
    assert!(chi < 43.8, "chi-square {chi}");
}

#[test]
fn every_factor_counts_in_proportion() {
    const RUNS: u32 = 40_000;
    let mut candidates: Vec<_> = (0..5).map(|n| candidate(n, 10_000)).collect();
    let here = Place { asn: Some(7), country: Some(*b"NZ"), pid: None };
    for candidate in &mut candidates {
        candidate.ranked.member.place = here;
    }
    candidates[1].ranked.member.place.asn = Some(8); // same country: (1 / 2)^3
    candidates[2].ranked.member.degree = 6; // 4 of 10 free: 0.4
    candidates[3].ranked.member.degree = 9; // 1 of 10: 0.1
    candidates[4].ranked.member.playhead = Some(1000.0 + 180.0); // half way from 60 to 300: 0.55
    let wish = Wish { at: Whereabouts { place: here, prefix: None }, playhead: Some(1000.0), ..wish(1) };
    let weights = [1.0, 0.125, 0.4, 0.1, 0.55];
    let all: f64 = weights.iter().sum();
    let mut rng = StdRng::seed_from_u64(8);
    let mut counted = HashMap::new();
    for _ in 0..RUNS {
        *counted.entry(listed(&candidates, &wish, &mut rng)[0]).or_default() += 1;
    }
    let expected = (0..).zip(weights).map(|(n, weight)| (peer(n), weight / all));
    // 4 degrees of freedom: below 18.5 in 999 of 1,000 worlds.
    let chi = chi_square(&counted, expected, RUNS);
    assert!(chi < 18.5, "chi-square {chi}: {counted:?}");
}

#[test]
fn one_place_in_five_goes_to_those_yet_to_be_tried() {
    const RUNS: u32 = 20_000;
    // One newcomer whom nobody would draw, among eleven of the best.
    let mut candidates: Vec<_> = (0..12).map(|n| candidate(n, 10_000)).collect();
    candidates[0].ranked.score = Score::from_fixed(1);
    let mut rng = StdRng::seed_from_u64(9);
    let mut count = |tried: bool, wish: &Wish<'_>| {
        candidates[0].ranked.member.tried = tried;
        let is_listed = |_: &u32| listed(&candidates, wish, &mut rng).contains(&peer(0));
        f64::from(u32::try_from((0..RUNS).filter(is_listed).count()).unwrap()) / f64::from(RUNS)
    };
    // Four standard deviations: 0.014.
    assert!((count(false, &wish(3)) - 0.6).abs() < 0.014);
    assert!((count(false, &wish(1)) - 0.2).abs() < 0.014);
    assert!(count(false, &wish(8)) > 0.999);
    assert!(count(true, &wish(3)) < 0.001);
    assert!(count(false, &Wish { urgent: true, ..wish(3) }) < 0.001, "who is about to run out tries nothing");
}

#[test]
fn whom_nobody_has_tried_is_tried_whatever_its_score() {
    const RUNS: u32 = 20_000;
    let mut candidates = [candidate(0, 500), candidate(1, 9500), candidate(2, 5000)];
    candidates[0].ranked.member.tried = false;
    candidates[1].ranked.member.tried = false;
    let mut counted = HashMap::new();
    for seed in 0..u64::from(RUNS) {
        let drawn = drawn(&candidates, &wish(5), &mut StdRng::seed_from_u64(seed), &mut Reserved::default());
        let explored = drawn.listed().find(|(_, verdict)| verdict.fate == Fate::Explored).unwrap();
        *counted.entry(explored.0.member.peer).or_default() += 1;
    }
    let chi = chi_square(&counted, [(peer(0), 0.5), (peer(1), 0.5)], RUNS);
    assert!(chi < 10.8, "chi-square {chi}");
}

#[test]
fn an_urgent_list_is_of_those_who_proved_themselves() {
    const RUNS: u32 = 20_000;
    let candidates = [candidate(0, 2500), candidate(1, 5000)];
    let mut counted = HashMap::new();
    for seed in 0..u64::from(RUNS) {
        *counted.entry(draw(&candidates, &Wish { urgent: true, ..wish(1) }, seed)[0]).or_default() += 1;
    }
    let chi = chi_square(&counted, [(peer(0), 0.2), (peer(1), 0.8)], RUNS);
    assert!(chi < 10.8, "chi-square {chi}");
}

#[test]
fn content_is_what_lies_just_ahead() {
    let wish = |urgent| Wish { playhead: Some(1000.0), urgent, ..wish(1) };
    let at = |lead: f32, urgent| {
        let mut candidate = candidate(1, 5000);
        candidate.ranked.member.said = NOW - Duration::from_secs(20);
        candidate.ranked.member.playhead = Some(980.0 + lead);
        judged(candidate, &wish(urgent)).factors.unwrap().content
    };
    for (lead, expected) in
        [(0.0, 1.0), (60.0, 1.0), (180.0, 0.55), (300.0, 0.1), (9000.0, 0.1), (-5.0, 1.0), (-32.5, 0.55)]
    {
        assert!((at(lead, false) - expected).abs() < 1e-3, "{lead} s ahead: {}", at(lead, false));
    }
    assert!((at(60.0 - PLAYHEADS, false) - 1.0).abs() < 1e-3, "one has begun anew");
    assert!((at(180.0 + PLAYHEADS, false) - 0.55).abs() < 1e-3, "or the other");
    assert!((at(-30.0, true) - 0.1).abs() < 1e-6);
    assert!((at(10.0, true) - 1.0).abs() < 1e-6);
    assert!((judged(candidate(1, 5000), &wish(true)).factors.unwrap().content - 1.0).abs() < 1e-6);
}

#[test]
fn the_operators_map_and_what_was_learned_of_two_networks_count() {
    let names = ["here", "there", "apart"].map(str::to_owned);
    let group = |asn| Group { prefixes: Vec::new(), asns: vec![asn] };
    let [here, there, apart] = names.clone();
    let plan = Plan {
        groups: names.into_iter().zip((1..).map(group)).collect(),
        costs: vec![(there.clone(), here.clone(), 3.0), (here.clone(), there, 1.0)],
        other: None,
        peering: vec![Peering { groups: vec![here, apart], rule: Rule::Never }],
    };
    let costs = CostMap::new(&plan).unwrap();
    let pairs = Pairs::new([(Pair::networks(1, 2), Outcomes { opened: 0.0, failed: 20.0 })]);
    let terrain = Terrain { costs: &costs, pairs: &pairs, slots: 12, now: NOW };
    let place = |asn, name| Place { asn: Some(asn), country: None, pid: Some(Pid::named(name)) };
    let wish = Wish { at: Whereabouts { place: place(1, "here"), prefix: None }, ..wish(4) };
    let verdict = |asn, name| {
        let mut candidate = candidate(1, 5000);
        candidate.ranked.member.place = place(asn, name);
        judge(&candidate.ranked, &wish, &terrain)
    };
    let [near, far] = [verdict(1, "here"), verdict(2, "there")].map(|verdict| verdict.factors.unwrap());
    assert!((near.locality - 1.0).abs() < 1e-6);
    assert!((far.locality - 1.0 / 64.0).abs() < 1e-6, "bytes come from there: {}", far.locality);
    assert!((far.nat - near.nat / 2.0).abs() < 1e-6, "{} and {}", far.nat, near.nat);
    assert_eq!(verdict(3, "apart").fate, Fate::Unfit(Unfit::Apart));
}

#[test]
fn a_short_list_overlooks_one_thing_after_the_other() {
    let mut elsewhere = candidate(1, 5000);
    elsewhere.ranked.member.playhead = Some(9000.0);
    let mut tried = candidate(2, 5000);
    tried.held.to_caller = true;
    let mut unlikely = candidate(3, 5000);
    unlikely.ranked.member.nat = Nat::Apdm;
    let mut full = candidate(7, 5000);
    full.held = reserved(10);
    let prefixed: Vec<_> = (4..7)
        .map(|n| {
            let mut candidate = candidate(n, 5000);
            candidate.ranked.member.address = Some(Ipv4Addr::new(192, 0, 2, n).into());
            candidate
        })
        .collect();
    let mut all = vec![elsewhere, tried, unlikely.clone(), full.clone()];
    all.extend(prefixed);
    for seed in 0..200 {
        let list = |want| {
            let mut list = draw(&all, &Wish { playhead: Some(1000.0), nat: Nat::Eim, ..wish(want) }, seed);
            list.sort_unstable();
            list.iter().map(|peer| peer.as_bytes()[0]).collect::<Vec<_>>()
        };
        assert!(
            list(4).len() == 3 && list(4).contains(&2) && !list(4).contains(&1),
            "who was tried comes after the others"
        );
        assert!(list(7).len() == 4 && list(7).contains(&1));
        assert!(list(9).len() == 5 && list(9).iter().filter(|n| **n >= 4).count() == 3);
        assert_eq!(list(16), [1, 2, 4, 5, 6]);
    }
    let few = Wish { nat: Nat::Eim, ..wish(16) };
    let alone = judged(unlikely.clone(), &few);
    assert_eq!(alone.fate, Fate::Drawn(Step::Unlikely), "better than nobody");
    assert_eq!(judged(unlikely, &Wish { is_lonely: false, ..few }).fate, Fate::Passed(Step::Unlikely));
    assert_eq!(judged(full, &wish(16)).fate, Fate::Unfit(Unfit::Full));
    let mut none = candidate(9, 5000);
    none.ranked.member.slots = Some(0);
    assert_eq!(judged(none, &wish(16)).fate, Fate::Unfit(Unfit::Full), "who takes none is asked for none");
}

#[test]
fn what_other_nodes_may_have_reserved_leaves_nobody_alone() {
    let mut guessed = candidate(1, 5000);
    guessed.held = Held { here: 2, slots: 20, ..Held::default() };
    assert_eq!(judged(guessed.clone(), &wish(8)).fate, Fate::Drawn(Step::Busy));
    let others: Vec<_> = (2..6).map(|n| candidate(n, 500)).collect();
    let list = draw(&[vec![guessed], others].concat(), &wish(8), 1);
    assert!(list.len() == 4 && !list.contains(&peer(1)), "but it is asked last");
}

#[test]
fn when_everybody_is_busy_those_with_the_fewest_introductions_come_first() {
    let mut candidates: Vec<_> = (0..9).map(|n| candidate(n, 500 * (9 - u16::from(n)))).collect();
    for (n, candidate) in candidates.iter_mut().enumerate() {
        candidate.held = Held { is_busy: true, ..reserved(8 - n) };
    }
    let mut reserved = Reserved::default();
    drawn(&candidates, &wish(8), &mut StdRng::seed_from_u64(1), &mut reserved);
    assert_eq!(reserved.asked, [8, 7, 6, 5].map(|n| (peer(n), true)));
}

#[test]
fn nobody_is_given_more_than_it_has_slots_for() {
    let given = |here| wish(8).within(12, Held { here, ..Held::default() }).want;
    assert_eq!([given(0), given(4), given(7), given(12), given(60)], [8, 8, 5, 1, 1]);
    assert_eq!(wish(0).within(12, Held::default()).want, 0);
}

#[test]
fn who_cannot_be_reserved_makes_place_for_the_next() {
    let candidates: Vec<_> = (0..9).map(|n| candidate(n, 5000)).collect();
    let mut reserved = Reserved { late: 3, ..Reserved::default() };
    let list = drawn(&candidates, &wish(4), &mut StdRng::seed_from_u64(1), &mut reserved);
    let list: Vec<_> = list.listed().map(|(ranked, _)| (ranked.member.peer, false)).collect();
    assert_eq!(list, reserved.asked[3..]);
    assert_eq!(reserved.asked.len(), 7, "each is asked for once");
}

#[test]
fn each_candidate_has_its_fate() {
    let mut candidates: Vec<_> = (0..20).map(|n| candidate(n, 500 * u16::from(n))).collect();
    candidates[3].held.is_busy = true;
    candidates[4].ranked.member.nat = Nat::Blocked;
    candidates[5].ranked.member.tried = false;
    for seed in 0..50 {
        let drawn = drawn(&candidates, &wish(5), &mut StdRng::seed_from_u64(seed), &mut Reserved::default());
        assert_eq!((drawn.listed().count(), drawn.others().count()), (5, 15));
        assert!(drawn.listed().all(|(_, verdict)| verdict.fate.is_listed() && verdict.factors.is_some()));
        let all = || drawn.listed().chain(drawn.others());
        let fate = |n| all().find(|(ranked, _)| ranked.member.peer == peer(n)).unwrap().1.fate;
        assert_eq!(fate(0), Fate::Unfit(Unfit::NotAdmitted));
        assert!([Fate::Passed(Step::Fits), Fate::Passed(Step::Busy)].contains(&fate(3)), "whether it came up or not");
        assert_eq!(fate(4), Fate::Unfit(Unfit::Nat));
        assert_eq!(fate(5), Fate::Explored);
    }
}

#[test]
fn who_is_one_too_many_of_a_prefix_is_told_so() {
    let candidates: Vec<_> = (0..9_u8)
        .map(|n| {
            let mut candidate = candidate(n, 5000);
            candidate.ranked.member.address = Some(Ipv4Addr::new(192, 0, 2, n).into());
            candidate
        })
        .collect();
    let drawn = drawn(&candidates, &wish(4), &mut StdRng::seed_from_u64(1), &mut Reserved::default());
    assert_eq!(drawn.listed().count(), 2);
    assert!(drawn.others().all(|(_, verdict)| verdict.fate == Fate::Passed(Step::Prefix)));
}
