//! One swarm in memory. No lock, no clock.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    time::Duration,
};

use indexmap::IndexSet;

use crate::{
    domain::{Evidence, Member, PeerId, Ranked, Score, Timestamp, Totals},
    store::{Found, Judged, Known, LISTED_FOR, Pulled, Restored, Shard},
};

/// Who is in it, and what was said of them.
pub struct Swarm {
    // The first version this swarm can have had, and the present one.
    born: u64,
    version: u64,
    members: HashMap<PeerId, Entry>,
    // Peers that may be offered, in an order that allows picking by index.
    offered: IndexSet<PeerId>,
    // Every member by its last sign of life: first those that are live, ...
    live: BTreeSet<(Timestamp, PeerId)>,
    // ... then those that fell silent.
    silent: BTreeSet<(Timestamp, PeerId)>,
    // Who left and has not come back, by name and by time.
    left: HashMap<PeerId, Left>,
    left_order: BTreeSet<(Timestamp, PeerId)>,
    /// What its viewers have reported.
    pub totals: Totals,
}

struct Entry {
    member: Member,
    evidence: Option<Evidence>,
    seen: Timestamp,
    // By a judgement; until the next sign of life.
    unlisted: bool,
}

struct Left {
    at: Timestamp,
    evidence: Option<Evidence>,
}

impl Swarm {
    /// An empty one. Versions begin with the time, so that a swarm that was forgotten and made anew is not taken for the
    /// old one.
    pub fn new(now: Timestamp) -> Self {
        let born = now.0 << 20;
        Self {
            born,
            version: born,
            members: HashMap::new(),
            offered: IndexSet::new(),
            live: BTreeSet::new(),
            silent: BTreeSet::new(),
            left: HashMap::new(),
            left_order: BTreeSet::new(),
            totals: Totals::default(),
        }
    }

    /// Members, and who left.
    pub fn sizes(&self) -> (usize, usize) {
        (self.members.len(), self.left.len())
    }

    pub fn has(&self, peer: PeerId) -> bool {
        self.members.contains_key(&peer)
    }

    pub fn join(&mut self, mut member: Member, now: Timestamp) {
        let before = self.members.get(&member.peer);
        let seen = before.map_or(now, |before| before.seen.max(now));
        if let Some(before) = before {
            member.keep_of(&before.member);
        }
        if let Some(left) = self.left.get(&member.peer) {
            // Two nodes' clocks differ: it came back after it left.
            member.said = member.said.max(left.at + Duration::from_millis(1));
        }
        self.put(member, None, seen, now);
    }

    /// Whether the peer is a member.
    pub fn touch(&mut self, peer: PeerId, at: Timestamp, now: Timestamp) -> bool {
        let Some(entry) = self.members.get_mut(&peer) else { return false };
        if at > entry.seen {
            let before = std::mem::replace(&mut entry.seen, at);
            entry.unlisted = false;
            self.live.remove(&(before, peer));
            self.silent.remove(&(before, peer));
            self.version += 1;
            self.place(peer, now);
        }
        true
    }

    pub fn leave(&mut self, peer: PeerId, remembered: bool, now: Timestamp) -> bool {
        let Some(entry) = self.remove(peer) else { return false };
        if remembered {
            // Whatever it said, it left later.
            let at = now.max(entry.member.said + Duration::from_millis(1));
            self.left.insert(peer, Left { at, evidence: entry.evidence });
            self.left_order.insert((at, peer));
        }
        true
    }

    pub fn restore(&mut self, Restored { mut member, evidence, seen }: Restored, now: Timestamp) {
        if self.left.get(&member.peer).is_some_and(|left| left.at > member.said) {
            return;
        }
        let Some(before) = self.members.get_mut(&member.peer) else { return self.put(member, evidence, seen, now) };
        if before.member.said >= member.said {
            // Nothing new but that it lives and, maybe, what others said.
            if before.evidence.is_none() && evidence.is_some() {
                before.evidence = evidence;
                self.version += 1;
            }
            self.touch(member.peer, seen, now);
            return;
        }
        member.keep_of(&before.member);
        let seen = seen.max(before.seen);
        self.put(member, evidence, seen, now);
    }

    pub fn known(&self, peer: PeerId) -> Option<Known> {
        let entry = self.members.get(&peer)?;
        Some(Known { ranked: self.ranked(peer, entry), evidence: entry.evidence.clone() })
    }

    /// Says no where somebody else changed the member since it was read.
    pub fn judge(&mut self, judged: &Judged) -> bool {
        let Judged { member, said, evidence, unlist } = judged;
        let Some(entry) = self.members.get_mut(&member.peer) else { return true };
        let revision = entry.evidence.as_ref().map_or(0, |evidence| evidence.revision);
        if (entry.member.said, revision) != (*said, evidence.revision) {
            return false;
        }
        entry.member = member.clone();
        entry.evidence = Some(Evidence { revision: revision.wrapping_add(1), ..evidence.clone() });
        entry.unlisted |= unlist;
        let is_offered = self.live.contains(&(entry.seen, member.peer)) && entry.is_offered();
        self.offer(member.peer, is_offered);
        self.version += 1;
        true
    }

    pub fn pull(&mut self, known: u64, now: Timestamp) -> Pulled {
        self.unlist_silent(now);
        if known == self.version {
            return Pulled::Unchanged;
        }
        let shard = Shard {
            version: self.version,
            members: self.members.iter().map(|(peer, entry)| self.ranked(*peer, entry)).collect(),
            left: self.left.iter().map(|(peer, left)| (*peer, left.at)).collect(),
        };
        if known == 0 || (self.born..self.version).contains(&known) {
            Pulled::Changed(shard)
        } else {
            Pulled::Lost(shard)
        }
    }

    /// A sample for `caller`.
    pub fn find(&mut self, caller: PeerId, sample: usize, now: Timestamp) -> Found {
        self.unlist_silent(now);
        let amount = sample.min(self.offered.len());
        let candidates = rand::seq::index::sample(&mut rand::rng(), self.offered.len(), amount)
            .into_iter()
            .map(|index| self.offered[index])
            .map(|peer| self.ranked(peer, &self.members[&peer]))
            .collect();
        Found { candidates, swarm_size: self.live.len(), joined: self.has(caller) }
    }

    /// Who fell silent after `since`; it may be unlisted already.
    pub fn fell_silent(&mut self, since: Option<Timestamp>, now: Timestamp) -> Vec<PeerId> {
        self.unlist_silent(now);
        let nobody = PeerId::from_bytes([0; 16]);
        let from = since.map_or(Bound::Unbounded, |since| Bound::Included((since - LISTED_FOR, nobody)));
        self.silent.range((from, Bound::Unbounded)).map(|(_, peer)| *peer).collect()
    }

    /// Forgets who gave no sign of life for so long, and who left as long ago; says how many.
    pub fn forget(&mut self, now: Timestamp, remember: Duration) -> usize {
        let mut forgotten = 0;
        while let Some(&(_, peer)) = self.silent.first().filter(|(seen, _)| now.since(*seen) > remember) {
            self.remove(peer);
            forgotten += 1;
        }
        while let Some(&(at, peer)) = self.left_order.first().filter(|(at, _)| now.since(*at) > remember) {
            self.left_order.remove(&(at, peer));
            self.left.remove(&peer);
            self.version += 1;
            forgotten += 1;
        }
        forgotten
    }

    /// Makes it a member, in place of what it was; what was said of it stays where there is any.
    fn put(&mut self, member: Member, evidence: Option<Evidence>, seen: Timestamp, now: Timestamp) {
        let peer = member.peer;
        let mut known = self.remove(peer).and_then(|entry| entry.evidence);
        if let Some(left) = self.left.remove(&peer) {
            self.left_order.remove(&(left.at, peer));
            known = left.evidence;
        }
        self.members.insert(peer, Entry { member, evidence: known.or(evidence), seen, unlisted: false });
        self.version += 1;
        self.place(peer, now);
    }

    fn remove(&mut self, peer: PeerId) -> Option<Entry> {
        let entry = self.members.remove(&peer)?;
        self.live.remove(&(entry.seen, peer));
        self.silent.remove(&(entry.seen, peer));
        self.offered.swap_remove(&peer);
        self.version += 1;
        Some(entry)
    }

    /// Puts a member where its last sign of life belongs.
    fn place(&mut self, peer: PeerId, now: Timestamp) {
        let entry = &self.members[&peer];
        let is_live = now.since(entry.seen) <= LISTED_FOR;
        let is_offered = is_live && entry.is_offered();
        if is_live { &mut self.live } else { &mut self.silent }.insert((entry.seen, peer));
        self.offer(peer, is_offered);
    }

    fn offer(&mut self, peer: PeerId, is_offered: bool) {
        let changed = if is_offered { self.offered.insert(peer) } else { self.offered.swap_remove(&peer) };
        self.version += u64::from(changed);
    }

    fn unlist_silent(&mut self, now: Timestamp) {
        while let Some(&(seen, peer)) = self.live.first().filter(|(seen, _)| now.since(*seen) > LISTED_FOR) {
            self.live.pop_first();
            self.silent.insert((seen, peer));
            self.offer(peer, false);
        }
    }

    fn ranked(&self, peer: PeerId, entry: &Entry) -> Ranked {
        let score = if self.offered.contains(&peer) {
            entry.evidence.as_ref().map_or(Score::NEW, |evidence| evidence.score)
        } else {
            Score::ZERO
        };
        Ranked { member: entry.member.clone(), score, seen: entry.seen }
    }
}

impl Entry {
    const fn is_offered(&self) -> bool {
        self.member.is_offered() && !self.unlisted
    }
}
