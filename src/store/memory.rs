//! Memberships in this process's memory: the store of a single node.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use indexmap::IndexSet;
use parking_lot::Mutex;

use super::{Found, LISTED_FOR, MAX_SWARMS, REMEMBERED_FOR, Store, StoreError, SwarmView, Swept, Totals};
use crate::domain::{Member, PeerId, SwarmId, Timestamp};

/// One lock over everything: each call holds it for microseconds, and never across an await.
pub struct MemoryStore {
    max_members: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    swarms: HashMap<SwarmId, Swarm>,
    memberships: HashMap<PeerId, Vec<SwarmId>>,
    members: usize,
}

#[derive(Default)]
struct Swarm {
    members: HashMap<PeerId, Entry>,
    // Peers that may be offered, in an order that allows picking by index.
    offered: IndexSet<PeerId>,
    // Every member by its last sign of life: first those that are live, ...
    live: BTreeSet<(Timestamp, PeerId)>,
    // ... then those that fell silent.
    silent: BTreeSet<(Timestamp, PeerId)>,
    // Who left and has not come back, by name and by time.
    gone: HashMap<PeerId, Timestamp>,
    left: BTreeSet<(Timestamp, PeerId)>,
}

struct Entry {
    member: Member,
    seen: Timestamp,
}

impl MemoryStore {
    /// A store with room for `max_members` memberships.
    pub fn new(max_members: usize) -> Self {
        Self { max_members, state: Mutex::default() }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn join(&self, swarm: &SwarmId, member: Member, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        let state = &mut *self.state.lock();
        let known = state.swarms.get(swarm).is_some_and(|s| s.members.contains_key(&member.peer));
        if !known {
            if state.members >= self.max_members {
                return Err(StoreError::Full);
            }
            let memberships = state.memberships.entry(member.peer).or_default();
            if memberships.len() >= MAX_SWARMS {
                return Err(StoreError::TooManySwarms);
            }
            memberships.push(swarm.clone());
            state.members += 1;
        }
        let swarm = state.swarms.entry(swarm.clone()).or_default();
        swarm.put(member, now);
        swarm.unlist_silent(now);
        Ok(swarm.sample(sample))
    }

    async fn find(&self, swarm: &SwarmId, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        let state = &mut *self.state.lock();
        let Some(swarm) = state.swarms.get_mut(swarm) else { return Ok(Found::default()) };
        swarm.unlist_silent(now);
        Ok(swarm.sample(sample))
    }

    async fn touch(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError> {
        let state = &mut *self.state.lock();
        Ok(state.swarms.get_mut(swarm).is_some_and(|swarm| swarm.touch(peer, now)))
    }

    async fn leave(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError> {
        let state = &mut *self.state.lock();
        let Some(entry) = state.swarms.get_mut(swarm) else { return Ok(false) };
        let was_member = entry.remove(peer);
        if was_member {
            entry.gone.insert(peer, now);
            entry.left.insert((now, peer));
            state.forget(swarm, peer);
        }
        Ok(was_member)
    }

    fn gone(&self, swarm: &SwarmId, peers: &[PeerId]) -> Vec<bool> {
        let state = &*self.state.lock();
        let gone = state.swarms.get(swarm).map(|swarm| &swarm.gone);
        peers.iter().map(|peer| gone.is_some_and(|gone| gone.contains_key(peer))).collect()
    }

    async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        // Swarm by swarm, so that a call waits for one swarm at most.
        let swarms: Vec<_> = self.state.lock().swarms.keys().cloned().collect();
        for id in swarms {
            let state = &mut *self.state.lock();
            let Some(swarm) = state.swarms.get_mut(&id) else { continue };
            swept.unlisted.extend(swarm.unlist_silent(now).into_iter().map(|peer| (id.clone(), peer)));
            let forgotten = swarm.forget_silent(now);
            let empty = swarm.members.is_empty() && swarm.left.is_empty();
            swept.forgotten += forgotten.len();
            for peer in forgotten {
                state.forget(&id, peer);
            }
            if empty {
                state.swarms.remove(&id);
            }
        }
        Ok(swept)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let state = &*self.state.lock();
        let inhabited = || state.swarms.values().filter(|swarm| !swarm.members.is_empty());
        Ok(Totals {
            swarms: inhabited().count(),
            live: inhabited().map(|swarm| swarm.live.len()).sum(),
            members: state.members,
        })
    }

    async fn describe(&self, swarm: &SwarmId, limit: usize, now: Timestamp) -> Result<Option<SwarmView>, StoreError> {
        let state = &mut *self.state.lock();
        let Some(swarm) = state.swarms.get_mut(swarm).filter(|swarm| !swarm.members.is_empty()) else {
            return Ok(None);
        };
        swarm.unlist_silent(now);
        let members = swarm.members.values().take(limit).map(|entry| (entry.member.clone(), entry.seen)).collect();
        Ok(Some(SwarmView { size: swarm.live.len(), offered: swarm.offered.len(), members }))
    }
}

impl State {
    /// Strikes a membership that has ended from the peer's list.
    fn forget(&mut self, swarm: &SwarmId, peer: PeerId) {
        self.members -= 1;
        if let Some(memberships) = self.memberships.get_mut(&peer) {
            memberships.retain(|other| other != swarm);
            if memberships.is_empty() {
                self.memberships.remove(&peer);
            }
        }
    }
}

impl Swarm {
    fn put(&mut self, mut member: Member, now: Timestamp) {
        let peer = member.peer;
        if let Some(before) = self.members.get(&peer) {
            member.joined = before.member.joined;
        }
        self.remove(peer);
        if let Some(at) = self.gone.remove(&peer) {
            self.left.remove(&(at, peer));
        }
        self.live.insert((now, peer));
        if member.upload {
            self.offered.insert(peer);
        }
        self.members.insert(peer, Entry { member, seen: now });
    }

    fn touch(&mut self, peer: PeerId, now: Timestamp) -> bool {
        let Some(entry) = self.members.get_mut(&peer) else { return false };
        if now > entry.seen {
            self.live.remove(&(entry.seen, peer));
            self.silent.remove(&(entry.seen, peer));
            entry.seen = now;
            self.live.insert((now, peer));
            if entry.member.upload {
                self.offered.insert(peer);
            }
        }
        true
    }

    fn remove(&mut self, peer: PeerId) -> bool {
        let Some(entry) = self.members.remove(&peer) else { return false };
        self.live.remove(&(entry.seen, peer));
        self.silent.remove(&(entry.seen, peer));
        self.offered.swap_remove(&peer);
        true
    }

    fn unlist_silent(&mut self, now: Timestamp) -> Vec<PeerId> {
        let mut unlisted = Vec::new();
        while let Some(&(seen, peer)) = self.live.first().filter(|(seen, _)| now.since(*seen) > LISTED_FOR) {
            self.live.pop_first();
            self.silent.insert((seen, peer));
            self.offered.swap_remove(&peer);
            unlisted.push(peer);
        }
        unlisted
    }

    fn forget_silent(&mut self, now: Timestamp) -> Vec<PeerId> {
        let mut forgotten = Vec::new();
        while let Some(&(_, peer)) = self.silent.first().filter(|(seen, _)| now.since(*seen) > REMEMBERED_FOR) {
            self.remove(peer);
            forgotten.push(peer);
        }
        while let Some(&(_, peer)) = self.left.first().filter(|(at, _)| now.since(*at) > REMEMBERED_FOR) {
            self.left.pop_first();
            self.gone.remove(&peer);
        }
        forgotten
    }

    fn sample(&self, sample: usize) -> Found {
        let amount = sample.min(self.offered.len());
        let candidates = rand::seq::index::sample(&mut rand::rng(), self.offered.len(), amount)
            .into_iter()
            .map(|index| self.members[&self.offered[index]].member.clone())
            .collect();
        Found { candidates, swarm_size: self.live.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::conformance, *};

    #[tokio::test]
    async fn it_behaves_as_a_store_does() {
        conformance::all(|| MemoryStore::new(100)).await;
    }

    #[tokio::test]
    async fn it_says_when_it_is_full() {
        let store = MemoryStore::new(2);
        let swarm = SwarmId::parse("s").unwrap();
        for n in 0..2 {
            store.join(&swarm, conformance::member(n), 0, Timestamp(0)).await.unwrap();
        }
        let full = store.join(&swarm, conformance::member(2), 0, Timestamp(0)).await;
        assert_eq!(full, Err(StoreError::Full));
        store.join(&swarm, conformance::member(1), 0, Timestamp(0)).await.expect("a member can always join again");
    }

    #[tokio::test]
    async fn a_dead_swarm_leaves_nothing_behind() {
        let store = MemoryStore::new(10);
        let swarm = SwarmId::parse("s").unwrap();
        for n in 0..3 {
            store.join(&swarm, conformance::member(n), 0, Timestamp(0)).await.unwrap();
        }
        store.leave(&swarm, conformance::member(0).peer, Timestamp(0)).await.unwrap();
        store.sweep(Timestamp(0) + LISTED_FOR * 2).await.unwrap();
        store.sweep(Timestamp(0) + REMEMBERED_FOR * 2).await.unwrap();
        let state = store.state.lock();
        assert!(state.swarms.is_empty() && state.memberships.is_empty() && state.members == 0);
    }
}
