//! Copies and samples of them.

use std::collections::HashSet;

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    domain::{Member, Place},
    store::conformance::member,
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn row(n: u16, change: impl Fn(&mut Member)) -> Ranked {
    let mut member = member(n);
    change(&mut member);
    Ranked { member, score: Score::NEW, seen: NOW }
}

fn shard(version: u64, rows: impl IntoIterator<Item = Ranked>) -> Shard {
    Shard { version, members: rows.into_iter().collect(), left: Vec::new() }
}

fn changed(version: u64, rows: impl IntoIterator<Item = Ranked>) -> Pulled {
    Pulled::Changed(shard(version, rows))
}

fn names(rows: &[Ranked]) -> HashSet<PeerId> {
    let names: HashSet<_> = rows.iter().map(|row| row.member.peer).collect();
    assert_eq!(names.len(), rows.len(), "nobody twice");
    names
}

fn peers(numbers: impl IntoIterator<Item = u16>) -> HashSet<PeerId> {
    numbers.into_iter().map(|n| member(n).peer).collect()
}

#[test]
fn what_did_not_change_is_as_before_and_what_was_lost_is_kept() {
    let first =
        Snapshot::default().next(vec![changed(5, [row(1, |_| {}), row(2, |_| {})]), changed(7, [row(3, |_| {})])], NOW);
    assert_eq!((first.versions(), first.live(), first.offered()), (vec![5, 7], 3, 3));
    let second = first.next(vec![Pulled::Unchanged, changed(8, [row(4, |_| {})])], NOW);
    assert_eq!((second.versions(), names(second.rows())), (vec![5, 8], peers([1, 2, 4])));
    let mut left = shard(1, [row(9, |_| {})]);
    left.left.push((member(2).peer, NOW));
    let third = second.next(vec![Pulled::Lost(left), Pulled::Unchanged, changed(1, [])], NOW);
    assert_eq!((third.versions(), names(third.rows())), (vec![1, 8, 1], peers([1, 9, 4])));
}

#[test]
fn who_is_in_two_shards_is_found_once_as_it_was_seen_last() {
    let late = Ranked { seen: NOW + std::time::Duration::from_secs(5), ..row(1, |_| {}) };
    let snapshot = Snapshot::default().next(vec![changed(1, [row(1, |_| {})]), changed(1, [late.clone()])], NOW);
    assert_eq!(snapshot.member(member(1).peer), Some(&late));
    assert_eq!(snapshot.member(member(2).peer), None);
    let sample = snapshot.sample(&Whereabouts::default(), 9, &mut StdRng::seed_from_u64(1), |_| true);
    assert_eq!(sample.len(), 1);
}

#[test]
fn a_sample_has_who_is_near_and_the_rest_of_the_swarm() {
    let place = |n: u16| Place {
        asn: Some(u32::from(n % 10)),
        country: Some([b'A', b'A' + u8::try_from(n % 4).unwrap()]),
        pid: None,
    };
    let rows = (0..1000).map(|n| row(n, |member| member.place = place(n)));
    let snapshot = Snapshot::default().next(vec![changed(1, rows)], NOW);
    let mut rng = StdRng::seed_from_u64(1);
    let near = Whereabouts { place: place(3), prefix: None };
    for _ in 0..100 {
        let sample = snapshot.sample(&near, 64, &mut rng, |_| true);
        let asn = sample.iter().filter(|row| row.member.place.asn == near.place.asn).count();
        let country = sample.iter().filter(|row| row.member.place.country == near.place.country).count();
        assert_eq!(names(&sample).len(), 64);
        assert!(asn >= NEAR && country >= COUNTRY && asn < 45, "{asn} {country}");
    }
    assert_eq!(snapshot.sample(&near, 8, &mut rng, |row| row.member.peer == member(3).peer).len(), 1);
    assert_eq!(snapshot.sample(&near, 0, &mut rng, |_| true), []);
    assert_eq!(snapshot.sample(&Whereabouts::default(), 2000, &mut rng, |_| true).len(), 1000);
}

#[test]
fn without_a_database_one_prefix_is_near() {
    let address =
        |n: u16| std::net::Ipv4Addr::new(10, 0, u8::try_from(n % 100).unwrap(), u8::try_from(n / 100).unwrap()).into();
    let rows = (0..1000).map(|n| row(n, |member| member.address = Some(address(n))));
    let snapshot = Snapshot::default().next(vec![changed(1, rows)], NOW);
    let near = Whereabouts { place: Place::default(), prefix: Some(Prefix::of(address(42))) };
    let sample = snapshot.sample(&near, 20, &mut StdRng::seed_from_u64(1), |_| true);
    assert!(names(&sample).is_superset(&peers((0..10).map(|n| n * 100 + 42))));
}

#[test]
fn a_small_group_of_the_operators_is_found_in_a_large_swarm() {
    let place = |n: u16| Place { asn: Some(7), country: Some(*b"DE"), pid: Pid::of_number(3).filter(|_| n < 20) };
    let rows = (0..5000).map(|n| row(n, |member| member.place = place(n)));
    let snapshot = Snapshot::default().next(vec![changed(1, rows)], NOW);
    let near = Whereabouts { place: place(0), prefix: None };
    let sample = snapshot.sample(&near, 64, &mut StdRng::seed_from_u64(1), |_| true);
    let of_it = sample.iter().filter(|row| row.member.place.pid == near.place.pid).count();
    assert!((NEAR / 2..20).contains(&of_it), "{of_it}");
    assert_eq!(names(&sample).len(), 64);
}

#[test]
fn who_may_meet_only_its_own_small_group_gets_it_from_a_large_swarm() {
    let place =
        |n: u16| Place { asn: Some(7), country: Some(*b"DE"), pid: Pid::of_number(3).filter(|_| n % 100 == 50) };
    let rows = (0..3000).map(|n| row(n, |member| member.place = place(n)));
    let snapshot = Snapshot::default().next(vec![changed(1, rows)], NOW);
    let near = Whereabouts { place: place(50), prefix: None };
    let mut looked_at = 0;
    let mut rng = StdRng::seed_from_u64(1);
    let sample = snapshot.sample(&near, 64, &mut rng, |row| {
        looked_at += 1;
        row.member.place.pid == near.place.pid
    });
    assert_eq!(names(&sample), peers((0..30).map(|n| n * 100 + 50)));
    assert!(looked_at < 2 * MOST_LOOKED_AT, "{looked_at}");
    // Where most are good, no more are looked at than it takes.
    looked_at = 0;
    let sample = snapshot.sample(&near, 64, &mut rng, |row| {
        looked_at += 1;
        row.member.peer.as_bytes()[15] % 4 > 0 || row.member.place.pid.is_some()
    });
    assert!(sample.len() == 64 && looked_at < 200, "{looked_at}");
}

#[test]
fn who_is_not_in_the_ranking_is_in_no_sample() {
    let rows = (0..10).map(|n| Ranked { score: if n < 5 { Score::ZERO } else { Score::NEW }, ..row(n, |_| {}) });
    let snapshot = Snapshot::default().next(vec![changed(1, rows)], NOW);
    let sample = snapshot.sample(&Whereabouts::default(), 10, &mut StdRng::seed_from_u64(1), |_| true);
    assert_eq!((names(&sample), snapshot.live()), (peers(5..10), 10));
}

#[test]
fn everybody_in_the_swarm_is_as_likely() {
    let snapshot = Snapshot::default().next(vec![changed(1, (0..11).map(|n| row(n, |_| {})))], NOW);
    let mut rng = StdRng::seed_from_u64(1);
    let mut picked = std::collections::HashMap::new();
    for _ in 0..11_000 {
        for row in snapshot.sample(&Whereabouts::default(), 3, &mut rng, |_| true) {
            *picked.entry(row.member.peer).or_insert(0_u32) += 1;
        }
    }
    // 3,000 expected of each; chi-square with 10 degrees of freedom stays below 29.6 in 999 of 1,000 worlds.
    let chi: f64 = picked.values().map(|&n| (f64::from(n) - 3000.0).powi(2) / 3000.0).sum();
    assert!(picked.len() == 11 && chi < 29.6, "chi-square {chi}");
}

/// A table has an eighth of its places free, and a byte beside each.
fn table<K, V>(map: &HashMap<K, V, ahash::RandomState>) -> usize {
    (size_of::<(K, V)>() + 1) * (map.capacity() * 8 / 7)
}

#[test]
fn a_member_takes_less_than_200_bytes() {
    let mut rng = StdRng::seed_from_u64(1);
    for has_database in [true, false] {
        let rows: Vec<_> = (0..100_000)
            .map(|_| {
                let address = std::net::Ipv4Addr::from_bits(rng.random());
                let place = Place {
                    pid: Pid::of_number(rng.random_range(1..1000)),
                    asn: has_database.then(|| rng.random_range(0..5000)),
                    country: Some([b'A', rng.random_range(b'A'..=b'Z')]),
                };
                let peer = PeerId::random(&mut rng);
                row(1, |member| *member = Member { peer, address: Some(address.into()), place, ..member.clone() })
            })
            .collect();
        let Snapshot { rows, by_peer, offered, by_asn, by_country, by_prefix, by_group, .. } =
            Snapshot::default().next(vec![changed(1, rows)], NOW);
        let numbers = [&offered, &by_asn.rows, &by_country.rows, &by_prefix.rows, &by_group.rows];
        let bytes = rows.capacity() * size_of::<Ranked>()
            + numbers.map(Vec::capacity).iter().sum::<usize>() * 4
            + table(&by_peer)
            + table(&by_asn.groups)
            + table(&by_country.groups)
            + table(&by_prefix.groups)
            + table(&by_group.groups);
        assert!(bytes <= 200 * 100_000, "{} bytes each", bytes / 100_000);
    }
}
