//! A node's own copy of a swarm: a plain value, swapped whole.

use std::{collections::HashMap, hash::Hash, ops::Range};

use rand::{Rng, RngExt, seq::index};
use tokio::time::Instant;

use crate::{
    domain::{PeerId, Pid, Prefix, Ranked, Score, Timestamp, Whereabouts},
    store::{LISTED_FOR, Pulled, Shard},
};

/// Most candidates from the caller's own network; half of them from its group, where the operator's map has one: who may
/// meet nobody else would hardly come up among all. ...
const NEAR: usize = 24;
/// ... and from its country.
const COUNTRY: usize = 20;

/// Where hardly anybody is good, so many are looked at before a list stays short.
const MOST_LOOKED_AT: usize = 1024;

/// The members of a swarm as they were when it was pulled.
#[derive(Debug, Default)]
pub struct Snapshot {
    // Shard by shard.
    rows: Vec<Ranked>,
    shards: Vec<(u64, Range<usize>)>,
    // One that is being moved to another shard is in two for a moment: the row that was seen last.
    by_peer: HashMap<PeerId, u32, ahash::RandomState>,
    // Rows that may be offered; all of them, and by where they are.
    offered: Vec<u32>,
    by_asn: Index<u32>,
    by_country: Index<[u8; 2]>,
    by_prefix: Index<Prefix>,
    by_group: Index<Pid>,
    live: usize,
    // When it was pulled: on the clock that all nodes share, and on this machine's.
    taken: Option<(Timestamp, Instant)>,
}

/// Rows by what they have in common, each group one stretch of `rows`.
#[derive(Debug)]
struct Index<K> {
    groups: HashMap<K, Range<u32>, ahash::RandomState>,
    rows: Vec<u32>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { groups: HashMap::default(), rows: Vec::new() }
    }
}

impl<K: Ord + Hash + Copy> Index<K> {
    fn new(keyed: impl Iterator<Item = (K, u32)>) -> Self {
        let mut keyed: Vec<_> = keyed.collect();
        keyed.sort_unstable();
        let mut groups: HashMap<K, Range<u32>, _> = HashMap::default();
        for ((key, _), at) in keyed.iter().zip(0..) {
            groups.entry(*key).and_modify(|group| group.end = at + 1).or_insert(at..at + 1);
        }
        groups.shrink_to_fit();
        Self { groups, rows: keyed.into_iter().map(|(_, row)| row).collect() }
    }

    fn group(&self, key: Option<K>) -> &[u32] {
        let group = key.and_then(|key| self.groups.get(&key));
        group.map_or(&[], |group| &self.rows[group.start as usize..group.end as usize])
    }
}

impl Snapshot {
    /// The next copy: what changed is new, the rest is as before. Of a shard that the store has lost the memory of, what
    /// was known before is kept beside what it has now, until the next pull.
    #[must_use]
    pub fn next(&self, pulled: Vec<Pulled>, now: Timestamp) -> Self {
        let mut rows = Vec::with_capacity(self.rows.len());
        let mut shards = Vec::with_capacity(pulled.len());
        for (number, pulled) in pulled.into_iter().enumerate() {
            let begin = rows.len();
            let before = self.shards.get(number).map_or(&[][..], |(_, range)| &self.rows[range.clone()]);
            let version = match pulled {
                Pulled::Unchanged => {
                    rows.extend_from_slice(before);
                    self.shards.get(number).map_or(0, |(version, _)| *version)
                }
                Pulled::Changed(Shard { version, members, .. }) => {
                    rows.extend(members);
                    version
                }
                Pulled::Lost(Shard { version, members, left }) => {
                    rows.extend(members);
                    rows.extend(
                        before.iter().filter(|row| left.iter().all(|(peer, _)| *peer != row.member.peer)).cloned(),
                    );
                    version
                }
            };
            shards.push((version, begin..rows.len()));
        }
        rows.shrink_to_fit();
        let mut by_peer: HashMap<_, u32, _> = HashMap::with_capacity_and_hasher(rows.len(), ahash::RandomState::new());
        for (row, number) in rows.iter().zip(0..) {
            let best = by_peer.entry(row.member.peer).or_insert(number);
            if rows[*best as usize].seen < row.seen {
                *best = number;
            }
        }
        let is_best = |row: &Ranked, number| by_peer.get(&row.member.peer) == Some(&number);
        let offered: Vec<u32> = (0..)
            .zip(&rows)
            .filter(|(number, row)| row.score > Score::ZERO && is_best(row, *number))
            .map(|(number, _)| number)
            .collect();
        let row = |number: &u32| &rows[*number as usize].member;
        let by_asn = Index::new(offered.iter().filter_map(|n| Some((row(n).place.asn?, *n))));
        let by_country = Index::new(offered.iter().filter_map(|n| Some((row(n).place.country?, *n))));
        let by_prefix = Index::new(offered.iter().filter_map(|n| Some((row(n).prefix()?, *n))));
        let by_group = Index::new(offered.iter().filter_map(|n| Some((row(n).place.pid?, *n))));
        let live = by_peer.values().filter(|number| now.since(rows[**number as usize].seen) <= LISTED_FOR).count();
        let taken = Some((now, Instant::now()));
        Self { rows, shards, by_peer, offered, by_asn, by_country, by_prefix, by_group, live, taken }
    }

    /// The versions of its shards.
    pub fn versions(&self) -> Vec<u64> {
        self.shards.iter().map(|(version, _)| *version).collect()
    }

    /// Members that were alive when it was pulled.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Peers that may be offered.
    pub fn offered(&self) -> usize {
        self.offered.len()
    }

    /// All members; one that is being moved to another shard can be there twice.
    pub fn rows(&self) -> &[Ranked] {
        &self.rows
    }

    /// When it was pulled; `None` for one that never was.
    pub fn taken(&self) -> Option<(Timestamp, Instant)> {
        self.taken
    }

    /// The time at which signs of life in it are judged. While the store is away nobody's come through: who was alive then
    /// counts as alive.
    pub fn seen_by(&self, now: Timestamp) -> Timestamp {
        self.taken.map_or(now, |(at, taken)| now.min(at + taken.elapsed().min(LISTED_FOR / 4)))
    }

    /// A member by its name.
    pub fn member(&self, peer: PeerId) -> Option<&Ranked> {
        self.by_peer.get(&peer).map(|number| &self.rows[*number as usize])
    }

    /// Up to `amount` candidates, each once: some of the caller's group, network and country, and the rest of the whole
    /// swarm; uniform inside each. `good` is asked about each.
    pub fn sample(
        &self,
        near: &Whereabouts,
        amount: usize,
        rng: &mut impl Rng,
        good: impl FnMut(&Ranked) -> bool,
    ) -> Vec<Ranked> {
        let network = match near.place.asn {
            Some(asn) => self.by_asn.group(Some(asn)),
            None => self.by_prefix.group(near.prefix),
        };
        let country = self.by_country.group(near.place.country);
        let group = self.by_group.group(near.place.pid);
        let near = if group.is_empty() { NEAR } else { NEAR / 2 };
        let mut sample =
            Sample { rows: &self.rows, drawn: Vec::with_capacity(amount), found: Vec::with_capacity(amount), good };
        for (from, most) in [(group, near), (network, near), (country, COUNTRY), (&self.offered, amount)] {
            let enough = amount.min(sample.found.len() + most);
            if from.len() > 4 * amount {
                for _ in 0..4 {
                    let missing = enough - sample.found.len();
                    sample.take((0..missing).map(|_| from[rng.random_range(0..from.len())]));
                }
            } else {
                let mut all = index::sample(rng, from.len(), from.len()).into_iter().map(|at| from[at]);
                while sample.found.len() < enough && all.len() > 0 {
                    let missing = enough - sample.found.len();
                    sample.take(all.by_ref().take(missing));
                }
            }
        }
        if sample.found.len() < amount && !self.offered.is_empty() {
            // Hardly anybody is good: the next ones, whoever they are.
            let start = rng.random_range(0..self.offered.len());
            let (before, behind) = self.offered.split_at(start);
            sample.take(behind.iter().chain(before).copied().take(MOST_LOOKED_AT));
            sample.found.truncate(amount);
        }
        sample.found
    }
}

/// A sample that is being drawn.
struct Sample<'a, G> {
    rows: &'a [Ranked],
    drawn: Vec<u32>,
    found: Vec<Ranked>,
    good: G,
}

impl<G: FnMut(&Ranked) -> bool> Sample<'_, G> {
    /// Adds the good ones among these that were not drawn before.
    fn take(&mut self, rows: impl Iterator<Item = u32>) {
        let begin = self.drawn.len();
        for row in rows {
            if !self.drawn.contains(&row) {
                self.drawn.push(row);
            }
        }
        // Copied first and looked at then: so the memory is asked for many rows at once.
        let found = self.found.len();
        self.found.extend(self.drawn[begin..].iter().map(|row| self.rows[*row as usize].clone()));
        let mut kept = found;
        for at in found..self.found.len() {
            if (self.good)(&self.found[at]) {
                self.found.swap(kept, at);
                kept += 1;
            }
        }
        self.found.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
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
        let first = Snapshot::default()
            .next(vec![changed(5, [row(1, |_| {}), row(2, |_| {})]), changed(7, [row(3, |_| {})])], NOW);
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
        let address = |n: u16| {
            std::net::Ipv4Addr::new(10, 0, u8::try_from(n % 100).unwrap(), u8::try_from(n / 100).unwrap()).into()
        };
        let rows = (0..1000).map(|n| row(n, |member| member.address = Some(address(n))));
        let snapshot = Snapshot::default().next(vec![changed(1, rows)], NOW);
        let near = Whereabouts { place: Place::default(), prefix: Some(Prefix::of(address(42))) };
        let sample = snapshot.sample(&near, 20, &mut StdRng::seed_from_u64(1), |_| true);
        assert!(names(&sample).is_superset(&peers((0..10).map(|n| n * 100 + 42))));
    }

    #[test]
    fn a_small_group_of_the_operators_is_found_in_a_large_swarm() {
        let place = |n: u16| Place { asn: Some(7), country: Some(*b"DE"), pid: (n < 20).then_some(Pid(3)) };
        let rows = (0..5000).map(|n| row(n, |member| member.place = place(n)));
        let snapshot = Snapshot::default().next(vec![changed(1, rows)], NOW);
        let near = Whereabouts { place: place(0), prefix: None };
        let sample = snapshot.sample(&near, 64, &mut StdRng::seed_from_u64(1), |_| true);
        let of_it = sample.iter().filter(|row| row.member.place.pid == near.place.pid).count();
        assert!((NEAR / 2..20).contains(&of_it), "{of_it}");
        assert_eq!(names(&sample).len(), 64);
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
        let rows: Vec<_> = (0..100_000)
            .map(|_| {
                let address = std::net::Ipv4Addr::from_bits(rng.random());
                let place = Place {
                    pid: Some(Pid(rng.random_range(0..1000))),
                    asn: Some(rng.random_range(0..5000)),
                    country: Some([b'A', rng.random_range(b'A'..=b'Z')]),
                };
                let peer = PeerId::random(&mut rng);
                row(1, |member| *member = Member { peer, address: Some(address.into()), place, ..member.clone() })
            })
            .collect();
        let Snapshot { rows, by_peer, offered, by_asn, by_country, by_prefix, by_group, .. } =
            Snapshot::default().next(vec![changed(1, rows)], NOW);
        let bytes = rows.capacity() * size_of::<Ranked>()
            + [&offered, &by_asn.rows, &by_country.rows, &by_prefix.rows, &by_group.rows].map(Vec::capacity).iter().sum::<usize>() * 4
            + table(&by_peer)
            + table(&by_asn.groups)
            + table(&by_country.groups)
            + table(&by_prefix.groups)
            + table(&by_group.groups);
        assert!(bytes <= 200 * 100_000, "{} bytes each", bytes / 100_000);
    }
}
