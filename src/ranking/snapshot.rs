//! A node's own copy of a swarm: a plain value, swapped whole.

use std::{collections::HashMap, hash::Hash, ops::Range};

use rand::{Rng, RngExt, seq::index};
use tokio::time::Instant;

use crate::{
    domain::{PeerId, Pid, Prefix, Ranked, Score, Timestamp, Whereabouts},
    store::{LISTED_FOR, Pulled, Shard},
};

#[cfg(test)]
mod tests;

/// Most candidates from the caller's own network; half of them from its group, where the operator's map has one: who may
/// meet nobody else would hardly come up among all. ...
const NEAR: usize = 24;
/// ... and from its country.
const COUNTRY: usize = 20;

/// Where hardly anybody is good, so many are looked at before a list stays short, ...
const MOST_LOOKED_AT: usize = 1024;
/// ... so many at once.
const LOOKED_AT_ONCE: usize = 64;

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
        // Asked for only where no database tells networks.
        let is_lost = |n: &&u32| row(n).place.asn.is_none();
        let by_prefix = Index::new(offered.iter().filter(is_lost).filter_map(|n| Some((row(n).prefix()?, *n))));
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
        if sample.found.len() < amount {
            // Hardly anybody is good: the next ones, whoever they are; first in the group, which may meet nobody else.
            let mut looked_at = 0;
            for from in [group, &self.offered] {
                let (before, behind) = from.split_at(rng.random_range(0..=from.len()));
                for rows in behind.chunks(LOOKED_AT_ONCE).chain(before.chunks(LOOKED_AT_ONCE)) {
                    if looked_at >= MOST_LOOKED_AT || sample.found.len() >= amount {
                        break;
                    }
                    looked_at += rows.len();
                    sample.take(rows.iter().copied());
                }
            }
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
