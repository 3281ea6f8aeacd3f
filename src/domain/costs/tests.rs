use std::collections::HashMap;

use super::*;

fn group(name: &str, prefixes: &[&str], asns: &[u32]) -> (String, Group) {
    let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    (name.to_owned(), Group { prefixes, asns: asns.to_vec() })
}

fn cost(from: &str, to: &str, cost: f64) -> (String, String, f64) {
    (from.to_owned(), to.to_owned(), cost)
}

fn peering(rule: Rule, groups: &[&str]) -> Peering {
    Peering { groups: groups.iter().map(|name| (*name).to_owned()).collect(), rule }
}

fn three() -> Plan {
    let groups = vec![
        group("a", &["10.0.0.0/8", "2001:db8::/32"], &[64500]),
        group("b", &["10.1.0.0/16"], &[64501]),
        group("c", &["10.1.2.0/24", "2001:db8:7::/48"], &[]),
    ];
    Plan { groups, ..Plan::default() }
}

/// Somebody in this group, each in a network and a country of its own.
fn at(name: &str) -> Whereabouts {
    let pid = (!name.is_empty()).then(|| Pid::named(name));
    Whereabouts { place: Place { pid, ..Place::default() }, prefix: None }
}

#[test]
fn the_longest_prefix_counts_then_the_autonomous_system() {
    let map = CostMap::new(&three()).unwrap();
    for (address, asn, expected) in [
        ("10.9.9.9", None, Some("a")),
        ("10.1.9.9", None, Some("b")),
        ("10.1.2.9", None, Some("c")),
        ("::ffff:10.1.2.9", None, Some("c")),
        ("2001:db8:1::1", None, Some("a")),
        ("2001:db8:7:1::1", None, Some("c")),
        ("10.1.2.9", Some(64500), Some("c")),
        ("192.0.2.1", Some(64500), Some("a")),
        ("192.0.2.1", Some(64501), Some("b")),
        ("192.0.2.1", Some(7), None),
        ("192.0.2.1", None, None),
        ("2001:db9::1", None, None),
    ] {
        let pid = map.pid_of(address.parse().unwrap(), asn);
        assert_eq!(pid.map(|pid| map.name(pid).unwrap()), expected, "{address} {asn:?}");
    }
    assert_eq!(CostMap::default().pid_of("10.1.1.1".parse().unwrap(), Some(1)), None);
}

#[test]
fn everybody_is_in_a_group_of_all_addresses() {
    let plan = Plan { groups: vec![group("v4", &["0.0.0.0/0"], &[]), group("v6", &["::/0"], &[])], ..Plan::default() };
    let map = CostMap::new(&plan).unwrap();
    for (address, expected) in [("0.0.0.0", "v4"), ("255.1.1.1", "v4"), ("::", "v6"), ("ffff::1", "v6")] {
        assert_eq!(map.pid_of(address.parse().unwrap(), None), Some(Pid::named(expected)), "{address}");
    }
}

#[test]
fn costs_are_directed_and_one_direction_serves_for_both() {
    let costs = vec![cost("a", "b", 2.0), cost("b", "a", 3.0), cost("a", "c", 0.5), cost("c", "c", 7.0)];
    let map = CostMap::new(&Plan { costs, ..three() }).unwrap();
    for (from, to, expected) in [
        ("a", "b", 2.0),
        ("b", "a", 3.0),
        ("a", "c", 0.5),
        ("c", "a", 0.5),
        ("c", "c", 7.0),
        ("b", "c", FAR),
        ("a", "a", FAR),
        ("", "a", FAR),
        ("gone from the map", "a", FAR),
    ] {
        assert!((map.cost(&at(from), &at(to)) - expected).abs() < 1e-6, "{from} to {to}");
    }
}

#[test]
fn without_a_word_the_tiers_hold_and_the_default_is_for_two_groups() {
    let with = |asn, country: &[u8; 2], name: &str| {
        let place = Place { asn: Some(asn), country: Some(*country), pid: Some(Pid::named(name)) };
        Whereabouts { place, prefix: None }
    };
    let [near, there, far] = [with(1, b"DE", "a"), with(2, b"DE", "b"), with(3, b"FR", "c")];
    let tiers = CostMap::default();
    let costs = |map: &CostMap| [&near, &there, &far].map(|to| map.cost(&near, to));
    assert_eq!(costs(&tiers).map(f32::to_bits), [0.0, 1.0, 4.0].map(f32::to_bits));
    let map = CostMap::new(&Plan { costs: vec![cost("c", "a", 2.0)], other: Some(9.0), ..three() }).unwrap();
    assert_eq!(costs(&map).map(f32::to_bits), [0.0, 9.0, 2.0].map(f32::to_bits));
    assert!((map.cost(&at("gone"), &at("a")) - FAR).abs() < 1e-6, "a group of a former map is no group");
}

#[test]
fn who_may_only_meet_each_other_meets_nobody_else() {
    let map = |rules: &[Peering]| CostMap::new(&Plan { peering: rules.to_vec(), ..three() }).unwrap();
    let meet = |map: &CostMap| {
        let mut pairs = Vec::new();
        for one in ["", "a", "b", "c", "gone"] {
            for other in ["", "a", "b", "c", "gone"] {
                let may = map.may_meet(&at(one), &at(other));
                assert_eq!(may, map.may_meet(&at(other), &at(one)), "{one} and {other}");
                if may && one <= other {
                    pairs.push(format!("{one}-{other}"));
                }
            }
        }
        pairs.join(" ")
    };
    assert_eq!(meet(&map(&[])).split(' ').count(), 15, "everybody");
    assert_eq!(meet(&map(&[peering(Rule::Only, &["a"])])), "- -b -c -gone a-a b-b b-c b-gone c-c c-gone gone-gone");
    assert_eq!(meet(&map(&[peering(Rule::Only, &["a", "b"])])), "- -c -gone a-a a-b b-b c-c c-gone gone-gone");
    // Each for itself, and both rules hold for b.
    let both = [peering(Rule::Only, &["a", "b"]), peering(Rule::Only, &["b", "c"])];
    assert_eq!(meet(&map(&both)), "- -gone a-a b-b c-c gone-gone");
    let never = peering(Rule::Never, &["a", "c"]);
    assert_eq!(meet(&map(&[never])), "- -a -b -c -gone a-a a-b a-gone b-b b-c b-gone c-c c-gone gone-gone");
    let alone = peering(Rule::Never, &["a", "a"]);
    assert_eq!(meet(&map(&[alone])), "- -a -b -c -gone a-b a-c a-gone b-b b-c b-gone c-c c-gone gone-gone");
}

#[test]
fn what_is_wrong_is_said_with_the_fix() {
    let with = |name: &str, prefixes: &[&str], asns: &[u32]| {
        let mut plan = three();
        plan.groups.push(group(name, prefixes, asns));
        plan
    };
    let mut names = HashMap::new();
    let (one, twin) = (0_u32..)
        .find_map(|n| {
            let name = format!("g{n}");
            names.insert(Pid::named(&name), name.clone()).map(|other| (other, name))
        })
        .unwrap();
    let mut twins = with(&one, &[], &[]);
    twins.groups.push(group(&twin, &[], &[]));
    let many: Vec<_> = (0..=MAX_PREFIXES).map(|n| format!("10.{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let costs = |list: &[(String, String, f64)]| Plan { costs: list.to_vec(), ..three() };
    let rules = |rule, groups: &[&str]| Plan { peering: vec![peering(rule, groups)], ..three() };
    for (plan, expected) in [
        (with("", &[], &[]), "no name for a group"),
        (with("an office", &[], &[]), "\"an office\" is no name for a group"),
        (with(&"x".repeat(65), &[], &[]), "1 to 64 characters"),
        (with("a", &[], &[]), "the group a is there twice"),
        (twins, "rename one of them"),
        (with("d", &["10.0.0.0"], &[]), "group d: \"10.0.0.0\" is no prefix"),
        (with("d", &["10.0.0.0/33"], &[]), "is no prefix"),
        (with("d", &["10.3.0.1/16"], &[]), "write 10.3.0.0/16"),
        (with("d", &["::ffff:10.3.0.0/112"], &[]), "write it as IPv4"),
        (with("d", &["10.1.0.0/16"], &[]), "the prefix 10.1.0.0/16 is in b and in d"),
        (with("d", &["9.0.0.0/8", "9.0.0.0/8"], &[]), "in d and in d"),
        (with("d", &[], &[64500]), "the autonomous system 64500 is in a and in d"),
        (with("d", &many, &[]), "more than 100000 prefixes"),
        (costs(&[cost("a", "elsewhere", 1.0)]), "a cost names the group \"elsewhere\", which is not there"),
        (costs(&[cost("a", &twin, 1.0)]), "which is not there"),
        (costs(&[cost("a", "b", -1.0)]), "the cost from a to b is -1"),
        (costs(&[cost("a", "b", f64::NAN)]), "the cost from a to b is NaN"),
        (costs(&[cost("a", "b", f64::INFINITY)]), "from 0 to 1000000"),
        (costs(&[cost("a", "b", 1.0), cost("a", "b", 1.0)]), "the cost from a to b is there twice"),
        (Plan { other: Some(-0.5), ..three() }, "the default cost is -0.5"),
        (rules(Rule::Only, &["a", "nobody"]), "a rule of peering names the group \"nobody\""),
        (rules(Rule::Never, &[]), "names no group"),
        (rules(Rule::Never, &["a"; 1001]), "more than 1000000 pairs"),
    ] {
        let complaint = CostMap::new(&plan).expect_err(expected).to_string();
        assert!(complaint.contains(expected), "{expected} not in: {complaint}");
    }
}
