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
    departed: Departed,
    // Who fell silent since the last sweep.
    unlisted: Vec<(SwarmId, PeerId)>,
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
}

struct Entry {
    member: Member,
    seen: Timestamp,
}

/// Who left and has not come back, by name and by time.
#[derive(Default)]
struct Departed {
    at: HashMap<(SwarmId, PeerId), Timestamp>,
    order: BTreeSet<(Timestamp, SwarmId, PeerId)>,
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
        state.departed.remove(swarm, member.peer);
        state.swarms.entry(swarm.clone()).or_default().put(member, now);
        Ok(state.unlist_silent(swarm, now).map(|swarm| swarm.sample(sample)).unwrap_or_default())
    }

    async fn find(&self, swarm: &SwarmId, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        let state = &mut *self.state.lock();
        Ok(state.unlist_silent(swarm, now).map(|swarm| swarm.sample(sample)).unwrap_or_default())
    }

    async fn touch(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError> {
        let state = &mut *self.state.lock();
        Ok(state.swarms.get_mut(swarm).is_some_and(|swarm| swarm.touch(peer, now)))
    }

    async fn leave(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError> {
        let state = &mut *self.state.lock();
        let was_member = state.swarms.get_mut(swarm).is_some_and(|entry| entry.remove(peer));
        if was_member {
            state.departed.insert(swarm, peer, now, self.max_members);
            state.forget(swarm, peer);
        }
        Ok(was_member)
    }

    fn is_gone(&self, swarm: &SwarmId, peer: PeerId) -> bool {
        self.state.lock().departed.at.contains_key(&(swarm.clone(), peer))
    }

    async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let mut forgotten = 0;
        // Swarm by swarm, so that a call waits for one swarm at most.
        let swarms: Vec<_> = self.state.lock().swarms.keys().cloned().collect();
        for id in swarms {
            let state = &mut *self.state.lock();
            let Some(swarm) = state.unlist_silent(&id, now) else { continue };
            let silent = swarm.remove_silent(now);
            forgotten += silent.len();
            for peer in silent {
                state.forget(&id, peer);
            }
        }
        let state = &mut *self.state.lock();
        state.departed.forget(now);
        Ok(Swept { unlisted: std::mem::take(&mut state.unlisted), forgotten })
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let state = &*self.state.lock();
        Ok(Totals {
            swarms: state.swarms.len(),
            live: state.swarms.values().map(|swarm| swarm.live.len()).sum(),
            members: state.members,
        })
    }

    async fn describe(&self, swarm: &SwarmId, limit: usize, now: Timestamp) -> Result<Option<SwarmView>, StoreError> {
        let state = &mut *self.state.lock();
        let Some(swarm) = state.unlist_silent(swarm, now) else { return Ok(None) };
        let members = swarm.members.values().take(limit).map(|entry| (entry.member.clone(), entry.seen)).collect();
        Ok(Some(SwarmView { size: swarm.live.len(), offered: swarm.offered.len(), members }))
    }
}

impl State {
    /// The swarm, with none in it listed that has fallen silent.
    fn unlist_silent(&mut self, id: &SwarmId, now: Timestamp) -> Option<&mut Swarm> {
        let swarm = self.swarms.get_mut(id)?;
        self.unlisted.extend(swarm.unlist_silent(now).into_iter().map(|peer| (id.clone(), peer)));
        Some(swarm)
    }

    /// Settles the accounts after a member was removed: its list of swarms, and the swarm when it was the last.
    fn forget(&mut self, swarm: &SwarmId, peer: PeerId) {
        self.members -= 1;
        if let Some(memberships) = self.memberships.get_mut(&peer) {
            memberships.retain(|other| other != swarm);
            if memberships.is_empty() {
                self.memberships.remove(&peer);
            }
        }
        if self.swarms.get(swarm).is_some_and(|swarm| swarm.members.is_empty()) {
            self.swarms.remove(swarm);
        }
    }
}

impl Departed {
    /// Notes that `peer` left; beyond `most`, the oldest such facts are forgotten.
    fn insert(&mut self, swarm: &SwarmId, peer: PeerId, now: Timestamp, most: usize) {
        self.remove(swarm, peer);
        self.at.insert((swarm.clone(), peer), now);
        self.order.insert((now, swarm.clone(), peer));
        while self.order.len() > most {
            self.pop_first();
        }
    }

    fn remove(&mut self, swarm: &SwarmId, peer: PeerId) {
        if let Some(at) = self.at.remove(&(swarm.clone(), peer)) {
            self.order.remove(&(at, swarm.clone(), peer));
        }
    }

    fn forget(&mut self, now: Timestamp) {
        while self.order.first().is_some_and(|(at, ..)| now.since(*at) > REMEMBERED_FOR) {
            self.pop_first();
        }
    }

    fn pop_first(&mut self) {
        if let Some((_, swarm, peer)) = self.order.pop_first() {
            self.at.remove(&(swarm, peer));
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

    fn remove_silent(&mut self, now: Timestamp) -> Vec<PeerId> {
        let mut removed = Vec::new();
        while let Some(&(_, peer)) = self.silent.first().filter(|(seen, _)| now.since(*seen) > REMEMBERED_FOR) {
            self.remove(peer);
            removed.push(peer);
        }
        removed
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
        assert!(state.departed.at.is_empty() && state.departed.order.is_empty());
    }

    #[tokio::test]
    async fn joining_and_leaving_for_ever_does_not_grow() {
        let store = MemoryStore::new(10);
        for n in 0..100 {
            let swarm = SwarmId::parse(&format!("s{n}")).unwrap();
            store.join(&swarm, conformance::member(1), 0, Timestamp(n)).await.unwrap();
            store.leave(&swarm, conformance::member(1).peer, Timestamp(n)).await.unwrap();
        }
        let state = store.state.lock();
        assert_eq!((state.swarms.len(), state.departed.at.len(), state.departed.order.len()), (0, 10, 10));
    }
}
