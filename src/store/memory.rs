//! Memberships in this process's memory: the store of a single node. What it holds ends with the process.

mod learning;
mod policies;
mod swarm;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use self::{learning::Learning, policies::Policies, swarm::Swarm};
use super::{Found, Gone, Judged, Known, Pulled, Restored, Shard, Steered, Store, StoreError, Swept};
use crate::domain::{Member, Outcomes, Pair, PeerId, PolicyOverrides, SwarmId, Timestamp, Totals};

/// One lock over everything: each call holds it for one swarm at most, and never across an await. A swarm is one shard.
/// A pull copies the whole swarm under the lock.
pub struct MemoryStore {
    max_members: usize,
    remember: Duration,
    state: Mutex<State>,
    learning: Mutex<Learning>,
    policies: Mutex<Policies>,
    // Nobody sends into it: there is no other node.
    hints: broadcast::Sender<Gone>,
}

#[derive(Default)]
struct State {
    swarms: HashMap<SwarmId, Swarm>,
    members: usize,
    // Who left and is not forgotten, in all swarms.
    left: usize,
}

impl MemoryStore {
    /// A store with room for `max_members` memberships, and for what is remembered of as many that ended. Each is
    /// forgotten after `remember` without a sign of life.
    pub fn new(max_members: usize, remember: Duration) -> Self {
        Self {
            max_members,
            remember,
            state: Mutex::default(),
            learning: Mutex::default(),
            policies: Mutex::default(),
            hints: broadcast::Sender::new(1),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn join(&self, swarm: &SwarmId, member: Member, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        let state = &mut *self.state.lock();
        if !state.has(swarm, member.peer) && state.members >= self.max_members {
            return Err(StoreError::Full);
        }
        let peer = member.peer;
        Ok(state.change(swarm, now, |swarm| {
            swarm.join(member, now);
            swarm.find(peer, sample, now)
        }))
    }

    async fn find(&self, swarm: &SwarmId, caller: PeerId, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        let state = &mut *self.state.lock();
        let Some(swarm) = state.swarms.get_mut(swarm) else { return Ok(Found::default()) };
        swarm.touch(caller, now, now);
        Ok(swarm.find(caller, sample, now))
    }

    async fn touch(
        &self,
        swarm: &SwarmId,
        seen: &[(PeerId, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<PeerId>, StoreError> {
        let state = &mut *self.state.lock();
        let mut swarm = state.swarms.get_mut(swarm);
        let mut is_member = |peer, at| swarm.as_mut().is_some_and(|swarm| swarm.touch(peer, at, now));
        Ok(seen.iter().filter(|(peer, at)| !is_member(*peer, *at)).map(|(peer, _)| *peer).collect())
    }

    async fn leave(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError> {
        let state = &mut *self.state.lock();
        if !state.has(swarm, peer) {
            return Ok(false);
        }
        // Where as many have left as may be members, who leaves next is forgotten at once.
        let remembered = state.left < self.max_members;
        Ok(state.change(swarm, now, |swarm| swarm.leave(peer, remembered, now)))
    }

    async fn restore(&self, swarm: &SwarmId, members: &[Restored], now: Timestamp) -> Result<(), StoreError> {
        let state = &mut *self.state.lock();
        for restored in members {
            if state.has(swarm, restored.member.peer) || state.members < self.max_members {
                state.change(swarm, now, |swarm| swarm.restore(restored.clone(), now));
            } else {
                return Err(StoreError::Full);
            }
        }
        Ok(())
    }

    async fn known(&self, swarm: &SwarmId, peers: &[PeerId]) -> Result<Vec<Option<Known>>, StoreError> {
        let state = self.state.lock();
        let swarm = state.swarms.get(swarm);
        Ok(peers.iter().map(|peer| swarm?.known(*peer)).collect())
    }

    async fn judge(&self, swarm: &SwarmId, judged: &[Judged], _: Timestamp) -> Result<Vec<PeerId>, StoreError> {
        let state = &mut *self.state.lock();
        let Some(swarm) = state.swarms.get_mut(swarm) else { return Ok(Vec::new()) };
        Ok(judged.iter().filter(|judged| !swarm.judge(judged)).map(|judged| judged.member.peer).collect())
    }

    async fn pull(&self, swarm: &SwarmId, known: &[u64], now: Timestamp) -> Result<Vec<Pulled>, StoreError> {
        let state = &mut *self.state.lock();
        let known = known.first().copied().unwrap_or_default();
        Ok(vec![match state.swarms.get_mut(swarm) {
            Some(swarm) => swarm.pull(known, now),
            None if known == 0 => Pulled::Changed(Shard::default()),
            None => Pulled::Lost(Shard::default()),
        }])
    }

    async fn sweep(&self, swarm: &SwarmId, since: Option<Timestamp>, now: Timestamp) -> Result<Swept, StoreError> {
        let state = &mut *self.state.lock();
        Ok(state.sweep(swarm, since, now, self.remember))
    }

    async fn account(&self, swarm: &SwarmId, new: Totals, _: Timestamp) -> Result<(), StoreError> {
        if let Some(swarm) = self.state.lock().swarms.get_mut(swarm) {
            swarm.totals = swarm.totals.plus(new);
        }
        Ok(())
    }

    async fn totals(&self, swarm: &SwarmId) -> Result<Totals, StoreError> {
        Ok(self.state.lock().swarms.get(swarm).map(|swarm| swarm.totals).unwrap_or_default())
    }

    async fn learn(&self, counted: &[(Pair, Outcomes)], now: Timestamp) -> Result<(), StoreError> {
        self.learning.lock().learn(counted, now);
        Ok(())
    }

    async fn learned(&self, now: Timestamp) -> Result<Vec<(Pair, Outcomes)>, StoreError> {
        Ok(self.learning.lock().learned(now))
    }

    async fn steer(
        &self,
        swarm: &SwarmId,
        policy: Option<(PolicyOverrides, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.policies.lock().steer(swarm, policy, now)
    }

    async fn steered(&self, now: Timestamp) -> Result<Vec<Steered>, StoreError> {
        Ok(self.policies.lock().steered(now))
    }

    async fn tell(&self, _: &[Gone]) -> Result<(), StoreError> {
        Ok(())
    }

    fn hear(&self) -> broadcast::Receiver<Gone> {
        self.hints.subscribe()
    }

    /// There is one node. Sweeps every swarm as well, so that none is left for which nobody asks any more.
    async fn announce(&self, now: Timestamp) -> Result<usize, StoreError> {
        let swarms: Vec<_> = self.state.lock().swarms.keys().cloned().collect();
        for swarm in swarms {
            // Swarm by swarm, so that a call waits for one swarm at most.
            self.state.lock().sweep(&swarm, Some(now), now, self.remember);
        }
        Ok(1)
    }

    fn missing(&self) -> Option<String> {
        None
    }
}

impl State {
    fn has(&self, swarm: &SwarmId, peer: PeerId) -> bool {
        self.swarms.get(swarm).is_some_and(|swarm| swarm.has(peer))
    }

    /// Changes a swarm, which begins and ends with that where need be, and keeps count.
    fn change<T>(&mut self, id: &SwarmId, now: Timestamp, change: impl FnOnce(&mut Swarm) -> T) -> T {
        let swarm = self.swarms.entry(id.clone()).or_insert_with(|| Swarm::new(now));
        let (members, left) = swarm.sizes();
        let result = change(swarm);
        let (members_now, left_now) = swarm.sizes();
        self.members = self.members - members + members_now;
        self.left = self.left - left + left_now;
        if (members_now, left_now) == (0, 0) {
            self.swarms.remove(id);
        }
        result
    }

    fn sweep(&mut self, id: &SwarmId, since: Option<Timestamp>, now: Timestamp, remember: Duration) -> Swept {
        if !self.swarms.contains_key(id) {
            return Swept::default();
        }
        self.change(id, now, |swarm| Swept {
            unlisted: swarm.fell_silent(since, now),
            forgotten: swarm.forget(now, remember),
        })
    }
}
