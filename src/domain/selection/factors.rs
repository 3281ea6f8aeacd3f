//! What speaks for a candidate, each by itself.

use super::{Unfit, Wish};
use crate::domain::{
    costs::{self, CostMap},
    member::{Member, PLAYHEADS, Ranked},
    nat::{LEAST_CHANCE, Pairs},
    time::Timestamp,
};

/// A candidate that is so many seconds ahead has what the caller needs next, and has it still; ...
const AHEAD: f32 = 60.0;
/// ... one that is further ahead than this has thrown it away by now.
const FAR_AHEAD: f32 = 300.0;
/// Players are not in step to the second; ...
const BEHIND: f32 = 5.0;
/// ... but so far behind, a candidate will not have what the caller needs.
const FAR_BEHIND: f32 = 60.0;
/// The content factor of who hardly has anything that the caller needs.
pub(super) const LEAST_CONTENT: f32 = 0.1;

/// What is known of the network, and when it is.
#[derive(Clone, Copy, Debug)]
pub struct Terrain<'a> {
    /// What it costs to reach whom, and who may meet.
    pub costs: &'a CostMap,
    /// Which pairs of NATs and networks let links through.
    pub pairs: &'a Pairs,
    /// Links that a peer takes which does not say.
    pub slots: usize,
    /// Now.
    pub now: Timestamp,
}

impl Terrain<'_> {
    /// Whether this one can be a candidate at all, and the two may and can meet. Nobody else is worth being looked at.
    pub fn fits(&self, wish: &Wish<'_>, ranked: &Ranked) -> bool {
        wish.admits(ranked) && self.chance(wish, &ranked.member).is_ok()
    }

    /// The chance that a link opens.
    fn chance(&self, wish: &Wish<'_>, member: &Member) -> Result<f32, Unfit> {
        if !self.costs.may_meet(&wish.at, &member.whereabouts()) {
            return Err(Unfit::Apart);
        }
        let chance = self.pairs.chance(wish.end(), member.end());
        if chance < LEAST_CHANCE { Err(Unfit::Nat) } else { Ok(chance) }
    }
}

/// What speaks for a candidate, each from 0 to 1. Their product is its weight in the draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// How good an uploader it is.
    pub score: f32,
    /// How near.
    pub locality: f32,
    /// The chance that a link opens.
    pub nat: f32,
    /// The share of its slots that is free, as it said last.
    pub free: f32,
    /// Whether it has what the caller needs.
    pub content: f32,
}

impl Factors {
    /// What speaks for a candidate, or what rules it out.
    pub(super) fn of(ranked: &Ranked, wish: &Wish<'_>, terrain: &Terrain<'_>) -> Result<Self, Unfit> {
        let Ranked { member, score, .. } = ranked;
        if !wish.admits(ranked) {
            return Err(Unfit::NotAdmitted);
        }
        let nat = terrain.chance(wish, member)?;
        let slots = slots(member, terrain.slots);
        let free = slots.checked_sub(member.degree.into()).filter(|free| *free > 0).ok_or(Unfit::Full)?;
        #[expect(clippy::cast_precision_loss, reason = "two small numbers")]
        let free = free as f32 / slots as f32;
        // Bytes go from the candidate to the caller.
        let locality = costs::locality(terrain.costs.cost(&member.whereabouts(), &wish.at));
        #[expect(clippy::cast_possible_truncation, reason = "four digits")]
        let score = score.value() as f32;
        Ok(Self { score, locality, nat, free, content: content(wish, member, terrain.now) })
    }

    /// The weight in the draw.
    pub fn weight(&self) -> f32 {
        self.score * self.unproven_weight()
    }

    /// The same without regard to what was said of it.
    pub(super) fn unproven_weight(&self) -> f32 {
        self.locality * self.nat * self.free * self.content
    }
}

/// Links that a candidate takes: what it says can only lower the usual number, or who says a million is never full.
pub(super) fn slots(member: &Member, usual: usize) -> usize {
    member.slots.map_or(usual, |said| usual.min(said.into()))
}

/// How much of what the caller needs next a candidate has, by where both are in the content. Unknown counts as all.
fn content(wish: &Wish<'_>, member: &Member, now: Timestamp) -> f32 {
    let (Some(caller), Some(candidate)) = (wish.playhead, member.playhead_at(now)) else { return 1.0 };
    let lead = candidate - caller;
    let lead = lead - PLAYHEADS * (lead / PLAYHEADS).round();
    if wish.urgent && lead < -BEHIND {
        return LEAST_CONTENT;
    }
    let left = |from: f32, to: f32| 1.0 - ((lead - from) / (to - from)).clamp(0.0, 1.0);
    let left = if lead > AHEAD { left(AHEAD, FAR_AHEAD) } else { left(-BEHIND, -FAR_BEHIND) };
    LEAST_CONTENT + (1.0 - LEAST_CONTENT) * left
}
