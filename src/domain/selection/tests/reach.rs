//! What is known of networks beyond what clients say.

use super::*;

#[test]
fn of_whom_nothing_is_known_one_finds_out_first() {
    let mut stranger = candidate(1, 5000);
    stranger.ranked.member.nat = Nat::Unknown;
    let held = |stranger: &Candidate, held| Candidate { held: reserved(held), ..stranger.clone() };
    let known = Tally::new(1, 0);
    assert_eq!(judged(held(&stranger, 0), &wish(8)).fate, Fate::Drawn(Step::Fits));
    assert_eq!(judged(held(&stranger, 1), &wish(8)).fate, Fate::Drawn(Step::Busy));
    let knows_nothing = Wish { nat: Nat::Unknown, ..wish(8) };
    assert_eq!(
        judged(held(&stranger, 1), &knows_nothing).fate,
        Fate::Drawn(Step::Fits),
        "both have to begin somewhere"
    );
    let tried = Wish { reach: Reach { easy: known, ..Reach::default() }, ..knows_nothing };
    assert_eq!(judged(held(&stranger, 1), &tried).fate, Fate::Drawn(Step::Busy));
    stranger.ranked.member.reach.easy = known;
    assert_eq!(judged(held(&stranger, 1), &wish(8)).fate, Fate::Drawn(Step::Fits));
}

#[test]
fn where_nobody_knows_its_nat_what_is_learned_of_such_empties_no_list() {
    let mut stranger = candidate(1, 5000);
    stranger.ranked.member.nat = Nat::Unknown;
    let blindly = Wish { nat: Nat::Unknown, is_lonely: false, ..wish(8) };
    let pair = Pair::classes(Nat::Unknown, Nat::Unknown);
    for (opened, failed, fate) in
        [(250.0, 750.0, Fate::Passed(Step::Unlikely)), (400.0, 600.0, Fate::Drawn(Step::Fits))]
    {
        let pairs = Pairs::new([(pair, Outcomes { opened, failed })]);
        let terrain = Terrain { costs: &CostMap::default(), pairs: &pairs, slots: 12, now: NOW };
        let mut rng = StdRng::seed_from_u64(1);
        let drawn = choose(vec![stranger.ranked.clone()], &blindly, &terrain, &mut rng, &mut Reserved::default());
        assert_eq!(drawn.listed().chain(drawn.others()).next().unwrap().1.fate, fate, "{opened} of 1,000");
    }
}

#[test]
fn what_came_of_somebodys_attempts_decides_whom_it_is_likely_to_meet() {
    let failed = Reach { easy: Tally::new(0, 3), ..Reach::default() };
    let few = Wish { nat: Nat::Eim, is_lonely: false, ..wish(8) };
    assert_eq!(judged(candidate(1, 5000), &few).fate, Fate::Drawn(Step::Fits));
    assert_eq!(judged(candidate(1, 5000), &Wish { reach: failed, ..few }).fate, Fate::Passed(Step::Unlikely));
    let mut other = candidate(1, 5000);
    (other.ranked.member.nat, other.ranked.member.reach) = (Nat::Eim, failed);
    assert_eq!(judged(other.clone(), &few).fate, Fate::Passed(Step::Unlikely));
    let symmetric = Wish { nat: Nat::Apdm, ..few };
    other.ranked.member.reach = Reach::default();
    assert_eq!(judged(other.clone(), &symmetric).fate, Fate::Passed(Step::Unlikely));
    other.ranked.member.reach.hard = Tally::new(1, 0);
    assert_eq!(judged(other, &symmetric).fate, Fate::Drawn(Step::Fits), "its NAT lets such in");
}
