//! A node's own copy of a swarm: a plain value, swapped whole.

use std::{collections::HashMap, hash::Hash, ops::Range};

use rand::{Rng, seq::index};
use tokio::time::Instant;

use crate::{
    domain::{PeerId, Place, Prefix, Ranked, Score, Timestamp},
    store::{LISTED_FOR, Pulled, Shard},
};

/// Most candidates from the caller's own network, ...
const NEAR: usize = 24;
/// ... and from its country.
const COUNTRY: usize = 20;

/// The members of a swarm as they were when it was pulled.
#[derive(Debug, Default)]
pub struct Snapshot {
    // Shard by shard, in each by peer id.
    rows: Vec<Ranked>,
    shards: Vec<(u64, Range<usize>)>,
    // Rows that may be offered; all of them, and by where they are.
    offered: Vec<u32>,
    by_asn: Index<u32>,
    by_country: Index<[u8; 2]>,
    by_prefix: Index<Prefix>,
    live: usize,
    // When it was pulled: on the clock that all nodes share, and on this machine's.
    taken: Option<(Timestamp, Instant)>,
}

/// Where a caller is, for candidates near to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whereabouts {
    /// Its network and country, where known.
    pub place: Place,
    /// The prefix of its address, where known.
    pub prefix: Option<Prefix>,
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
            // Of two of one peer the one that was seen last comes first.
            rows[begin..].sort_unstable_by_key(|row| (row.member.peer, std::cmp::Reverse(row.seen)));
            let mut kept = begin;
            for at in begin..rows.len() {
                if at == begin || rows[at].member.peer != rows[kept - 1].member.peer {
                    rows.swap(kept, at);
                    kept += 1;
                }
            }
            rows.truncate(kept);
            shards.push((version, begin..rows.len()));
        }
        rows.shrink_to_fit();
        let offered: Vec<u32> =
            (0..).zip(&rows).filter(|(_, row)| row.score > Score::ZERO).map(|(number, _)| number).collect();
        let row = |number: &u32| &rows[*number as usize].member;
        let by_asn = Index::new(offered.iter().filter_map(|n| Some((row(n).place.asn?, *n))));
        let by_country = Index::new(offered.iter().filter_map(|n| Some((row(n).place.country?, *n))));
        let by_prefix = Index::new(offered.iter().filter_map(|n| Some((row(n).prefix()?, *n))));
        let live = rows.iter().filter(|row| now.since(row.seen) <= LISTED_FOR).count();
        let taken = Some((now, Instant::now()));
        Self { rows, shards, offered, by_asn, by_country, by_prefix, live, taken }
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

    /// All members.
    pub fn rows(&self) -> &[Ranked] {
        &self.rows
    }

    /// When it was pulled; `None` for one that never was.
    pub fn taken(&self) -> Option<(Timestamp, Instant)> {
        self.taken
    }

    /// A member by its name.
    pub fn member(&self, peer: PeerId) -> Option<&Ranked> {
        let find = |(_, range): &(u64, Range<usize>)| {
            let rows = &self.rows[range.clone()];
            rows.binary_search_by_key(&peer, |row| row.member.peer).ok().map(|at| &rows[at])
        };
        // One that is being moved to another shard is in two for a moment.
        self.shards.iter().filter_map(find).max_by_key(|row| row.seen)
    }

    /// Up to `amount` candidates, each once: some of the caller's network and country, and the rest of the whole swarm;
    /// uniform inside each. `good` is asked about each.
    pub fn sample(
        &self,
        near: &Whereabouts,
        amount: usize,
        rng: &mut impl Rng,
        mut good: impl FnMut(&Ranked) -> bool,
    ) -> Vec<Ranked> {
        let network = match near.place.asn {
            Some(asn) => self.by_asn.group(Some(asn)),
            None => self.by_prefix.group(near.prefix),
        };
        let mut taken: Vec<u32> = Vec::with_capacity(amount);
        for (from, most) in
            [(network, NEAR), (self.by_country.group(near.place.country), COUNTRY), (&self.offered, amount)]
        {
            let enough = amount.min(taken.len() + most);
            // Several times what is needed, since some are taken already and some not good.
            for at in index::sample(rng, from.len(), (4 * (enough - taken.len()) + taken.len()).min(from.len())) {
                let row = from[at];
                if taken.len() == enough {
                    break;
                }
                if !taken.contains(&row) && good(&self.rows[row as usize]) {
                    taken.push(row);
                }
            }
        }
        let mut sample: Vec<Ranked> = Vec::with_capacity(taken.len());
        for row in taken {
            let row = &self.rows[row as usize];
            // One that is being moved to another shard is in two for a moment.
            if sample.iter().all(|other| other.member.peer != row.member.peer) {
                sample.push(row.clone());
            }
        }
        sample
    }
}
