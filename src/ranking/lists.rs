//! Candidates for lists: from this node's copy of a swarm, or from the store while the swarm is small.

use std::sync::Arc;

use super::{Ranking, RankingError, SMALL, Snapshot, at_once, view::View};
use crate::{
    domain::{Member, PeerId, Ranked, Score, SwarmId, Whereabouts},
    store::{Found, LISTED_FOR, StoreError},
};

/// A copy is stale when so many intervals went by without another.
const STALE_AFTER: u32 = 3;

/// What a list is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Peers that may be offered, in no order. The caller itself may be among them.
    pub candidates: Vec<Ranked>,
    /// Live members, whether they may be offered or not.
    pub swarm_size: usize,
    /// Whether the caller is a member, as far as is known.
    pub joined: bool,
    /// The store has been away for a while: this is what was known before.
    pub stale: bool,
}

impl Ranking {
    /// Makes a peer a member of `swarm` (again) and finds up to `sample` candidates; in a large swarm only such as `fits`
    /// lets. With the store away, or the swarm large, the membership is written a moment later.
    pub async fn join(
        &self,
        swarm: &SwarmId,
        member: Member,
        sample: usize,
        fits: impl Fn(&Ranked) -> bool,
    ) -> Result<Listing, RankingError> {
        let now = self.clock.now();
        let peer = member.peer;
        let near = member.whereabouts();
        let score = if member.is_offered() { Score::NEW } else { Score::ZERO };
        let view = self.view(swarm)?;
        self.enter(peer, swarm)?;
        let ranked = Ranked { member: member.clone(), score, seen: now };
        let may_ask = view.ask(now);
        let answer = if view.is_large() || !may_ask {
            None
        } else {
            match at_once(self.store.join(swarm, member, sample, now)).await {
                Ok(found) => Some(found),
                Err(StoreError::Full) => {
                    self.exit(peer, swarm);
                    return Err(RankingError::Full);
                }
                Err(StoreError::Away(_)) => None,
            }
        };
        if !view.joined(ranked, answer.is_some()) {
            self.exit(peer, swarm);
            return Err(RankingError::Full);
        }
        if let Some(found) = answer {
            return Ok(self.found(&view, found));
        }
        if !view.is_large() && may_ask {
            view.state().failed();
        }
        Ok(Listing { joined: true, ..self.own_listing(&view, &near, peer, sample, fits) })
    }

    /// Finds up to `sample` candidates; in a large swarm only such as `fits` lets. A sign of life of the caller.
    pub async fn find(
        &self,
        swarm: &SwarmId,
        caller: PeerId,
        near: Whereabouts,
        sample: usize,
        fits: impl Fn(&Ranked) -> bool,
    ) -> Result<Listing, RankingError> {
        let now = self.clock.now();
        let view = self.view(swarm)?;
        view.hear(caller, now);
        let may_ask = view.ask(now);
        if view.is_large() || !may_ask {
            return Ok(self.own_listing(&view, &near, caller, sample, fits));
        }
        if let Ok(found) = at_once(self.store.find(swarm, caller, sample, now)).await {
            let forgotten = !found.joined && view.knows(caller);
            view.signs.wrote(caller, now, found.joined);
            if forgotten {
                // The store has lost its memory, and the rest of the swarm with it: what is known here is given back.
                let _ = self.wanted.try_send(view.swarm.clone());
                return Ok(Listing { joined: true, ..self.own_listing(&view, &near, caller, sample, fits) });
            }
            Ok(self.found(&view, found))
        } else {
            view.state().failed();
            Ok(self.own_listing(&view, &near, caller, sample, fits))
        }
    }

    /// Candidates from a copy of a swarm, as a list would begin with. No sign of life of anybody.
    pub fn look(
        &self,
        swarm: &SwarmId,
        copy: &Snapshot,
        near: &Whereabouts,
        sample: usize,
        fits: impl Fn(&Ranked) -> bool,
    ) -> Vec<Ranked> {
        let fits = |row: &Ranked| copy.offered() <= SMALL || fits(row);
        let seen_by = copy.seen_by(self.clock.now());
        let is_alive = |row: &Ranked| seen_by.since(row.seen) <= LISTED_FOR && !self.is_gone(swarm, row.member.peer);
        copy.sample(near, sample, &mut rand::rng(), |row| is_alive(row) && fits(row))
    }

    /// What the store found, in a swarm that is asked about.
    fn found(&self, view: &Arc<View>, found: Found) -> Listing {
        let Found { candidates, swarm_size, joined } = found;
        let mut state = view.state();
        state.answered();
        for row in &candidates {
            state.came_back(row.member.peer, row.member.said);
        }
        drop(state);
        if swarm_size > SMALL && view.snapshot().taken().is_none() {
            let _ = self.wanted.try_send(view.swarm.clone());
        }
        self.metrics.lists_from_store.increment(1);
        Listing { candidates, swarm_size, joined, stale: false }
    }

    /// What this node knows itself.
    fn own_listing(
        &self,
        view: &View,
        near: &Whereabouts,
        caller: PeerId,
        sample: usize,
        fits: impl Fn(&Ranked) -> bool,
    ) -> Listing {
        let now = self.clock.now();
        let snapshot = view.snapshot();
        let candidates = view.sample(&snapshot, near, sample, now, fits);
        let stale = snapshot.taken().is_none_or(|(_, taken)| taken.elapsed() > self.settings.interval * STALE_AFTER);
        self.metrics.lists_from_copy.increment(1);
        if stale {
            self.metrics.lists_stale.increment(1);
        }
        let joined = view.has(&snapshot, caller, now);
        let swarm_size = snapshot.live().max(candidates.len());
        Listing { candidates, swarm_size, joined, stale }
    }
}
