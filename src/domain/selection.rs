//! Who should meet whom. A list is not the top of the ranking: everybody would be handed the same few. It is drawn, by
//! weights that say how much good a link would do and how likely it comes about; newcomers get a share of the places.
//! Each step is a function of plain values; callers pass the time, the randomness, and what is reserved.

use rand::{Rng, RngExt};

use super::{
    costs::{self, CostMap},
    ids::PeerId,
    introductions::Held,
    member::{Member, Ranked},
    nat::{End, LEAST_CHANCE, Nat, Pairs},
    place::{Prefix, Whereabouts},
    score::Score,
    time::Timestamp,
};

#[cfg(test)]
mod tests;

/// Most peers in one list.
pub const MAX_WANT: u8 = 16;
/// Most peers that a request can exclude.
pub const MAX_EXCLUDE: usize = 64;
/// Candidates that are looked at for one list.
pub const CANDIDATES: usize = 64;
/// Most peers of one prefix in a list, unless hardly anybody else is there.
pub const MOST_OF_A_PREFIX: usize = 2;
/// One place in so many is for peers that are yet to be tried.
const EXPLORED: f64 = 5.0;
/// So many links more than they have slots for are asked of peers when hardly anybody has any.
const MORE_SLOTS: usize = 3;
/// A candidate that is so many seconds ahead has what the caller needs next, and has it still; ...
const AHEAD: f32 = 60.0;
/// ... one that is further ahead than this has thrown it away by now.
const FAR_AHEAD: f32 = 300.0;
/// Players are not in step to the second; ...
const BEHIND: f32 = 5.0;
/// ... but so far behind, a candidate will not have what the caller needs.
const FAR_BEHIND: f32 = 60.0;
/// The content factor of who hardly has anything that the caller needs.
const LEAST_CONTENT: f32 = 0.1;

/// What a peer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Who asks.
    pub caller: PeerId,
    /// Where it is.
    pub at: Whereabouts,
    /// How its NAT behaves.
    pub nat: Nat,
    /// Seconds into the content.
    pub playhead: Option<f32>,
    /// It is about to run out: nothing is tried, and only who has what comes next will do.
    pub urgent: bool,
    /// At most so many peers.
    pub want: usize,
    /// But not these.
    pub exclude: &'a [PeerId],
}

impl Wish<'_> {
    /// How many candidates to look for, so that enough are left whoever of them is excluded.
    pub const fn sample(&self) -> usize {
        if self.want == 0 { 0 } else { CANDIDATES + self.exclude.len() + 1 }
    }

    /// Whether this one can be a candidate at all: offered, not the caller, not excluded.
    pub fn admits(&self, Ranked { member, score, .. }: &Ranked) -> bool {
        *score > Score::ZERO && member.peer != self.caller && !self.exclude.contains(&member.peer)
    }
}

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

/// Somebody who may be listed.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who, and how good.
    pub ranked: Ranked,
    /// What is reserved of it.
    pub held: Held,
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
    /// The share of its slots that is free.
    pub free: f32,
    /// Whether it has what the caller needs.
    pub content: f32,
}

impl Factors {
    /// The weight in the draw.
    pub fn weight(&self) -> f32 {
        self.score * self.unproven_weight()
    }

    /// The same without regard to what was said of it.
    fn unproven_weight(&self) -> f32 {
        self.locality * self.nat * self.free * self.content
    }
}

/// What is overlooked, one after the other, when a list stays short. (Locality is a weight and nothing more, so there is
/// nothing of it to drop.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing.
    Fits,
    /// That it is elsewhere in the content.
    Playhead,
    /// That it was introduced to this caller a moment ago.
    Tried,
    /// That its slots are taken, up to a few more.
    Slots,
    /// That enough others of its prefix are in the list.
    Prefix,
    /// That it has had as many introductions as it should for now.
    Busy,
}

/// Why a candidate is in no list, however short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is the caller, excluded, or may not be offered.
    NotAdmitted,
    /// The operator keeps the two apart.
    Apart,
    /// Their NATs hardly ever let a link through.
    Nat,
    /// All its slots are taken, and more.
    Full,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// In the list, in a place for those that are yet to be tried.
    Explored,
    /// In the list, drawn by its weight, after this was overlooked.
    Drawn(Step),
    /// Not in the list, but could have been, once this was overlooked.
    Passed(Step),
    /// Not in the list, and could not have been.
    Unfit(Unfit),
}

impl Fate {
    /// Whether it is in the list.
    pub const fn is_listed(self) -> bool {
        matches!(self, Self::Explored | Self::Drawn(_))
    }
}

/// A candidate that was judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Who, and how good.
    pub ranked: Ranked,
    /// What was reserved of it.
    pub held: Held,
    /// What speaks for it; `None` where nothing could.
    pub factors: Option<Factors>,
    /// What became of it.
    pub fate: Fate,
}

/// What was drawn.
#[derive(Debug)]
pub struct Drawn {
    /// Who is in the list, in the order in which they were drawn.
    pub listed: Vec<Judged>,
    /// The other candidates, in no order.
    pub others: Vec<Judged>,
}

/// Draws a list: never the caller, nobody excluded, nobody incompatible, at most `want`, and somebody where anybody is
/// possible. `reserve` holds a slot of a pick, and says whether it could; its second argument tells it to insist.
pub fn choose(
    candidates: Vec<Candidate>,
    wish: &Wish<'_>,
    terrain: &Terrain<'_>,
    rng: &mut impl Rng,
    reserve: impl FnMut(PeerId, bool) -> bool,
) -> Drawn {
    let mut draw = Draw::new(candidates, wish, terrain);
    draw.run(wish, rng, reserve);
    let mut judged: Vec<_> = draw.judged.into_iter().map(Some).collect();
    let listed = draw.listed.into_iter().map(|at| judged[at].take().expect("nobody is drawn twice")).collect();
    Drawn { listed, others: judged.into_iter().flatten().collect() }
}

struct Draw {
    judged: Vec<Judged>,
    listed: Vec<usize>,
}

impl Draw {
    /// Looks at each candidate by itself.
    fn new(candidates: Vec<Candidate>, wish: &Wish<'_>, terrain: &Terrain<'_>) -> Self {
        let judge = |Candidate { ranked, held }| match judge(&ranked, held, wish, terrain) {
            Ok((factors, step)) => Judged { ranked, held, factors: Some(factors), fate: Fate::Passed(step) },
            Err(unfit) => Judged { ranked, held, factors: None, fate: Fate::Unfit(unfit) },
        };
        Self { judged: candidates.into_iter().map(judge).collect(), listed: Vec::with_capacity(wish.want) }
    }

    fn run(&mut self, wish: &Wish<'_>, rng: &mut impl Rng, mut reserve: impl FnMut(PeerId, bool) -> bool) {
        let places = if wish.urgent { 0 } else { places_to_explore(wish.want, rng) };
        if places > 0 {
            let untried = |judged: &Judged| judged.factors.filter(|_| !judged.ranked.member.tried);
            let order = self.order(rng, |judged| Some(untried(judged)?.unproven_weight()));
            self.take(&order, Step::Fits, places, |_| Fate::Explored, &mut reserve);
        }
        // Who is about to run out is served by those who have proved themselves.
        let power = if wish.urgent { 2 } else { 1 };
        let mut order = self.order(rng, |judged| Some(judged.factors?.weight().powi(power)));
        self.take(&order, Step::Fits, wish.want, Fate::Drawn, &mut reserve);
        // Half a list of peers that will do is better than a whole one of those that hardly will.
        let enough = wish.want.div_ceil(2);
        for step in [Step::Playhead, Step::Tried, Step::Slots, Step::Prefix] {
            self.take(&order, step, enough, Fate::Drawn, &mut reserve);
        }
        // What is left of it goes to those who were introduced to the fewest, so that a crowd spreads.
        order.sort_by_key(|at| self.judged[*at].held.slots);
        self.take(&order, Step::Busy, enough, Fate::Drawn, &mut reserve);
    }

    /// Weighted sampling without replacement: the order of `ln(u) / weight`, the largest first (Efraimidis, Spirakis:
    /// Weighted random sampling with a reservoir, 2006, algorithm A-ES, in logarithms).
    fn order(&self, rng: &mut impl Rng, weight: impl Fn(&Judged) -> Option<f32>) -> Vec<usize> {
        let mut keyed: Vec<(f32, usize)> = (0..)
            .zip(&self.judged)
            .filter_map(|(at, judged)| Some((rng.random::<f32>().ln() / weight(judged)?.max(f32::MIN_POSITIVE), at)))
            .collect();
        keyed.sort_unstable_by(|(one, _), (other, _)| other.total_cmp(one));
        keyed.into_iter().map(|(_, at)| at).collect()
    }

    /// Lists who fits once `step` is overlooked, until `enough` are listed.
    fn take(
        &mut self,
        order: &[usize],
        step: Step,
        enough: usize,
        fate: impl Fn(Step) -> Fate,
        reserve: &mut impl FnMut(PeerId, bool) -> bool,
    ) {
        for &at in order {
            if self.listed.len() >= enough {
                return;
            }
            let Judged { ranked, fate: Fate::Passed(needed), .. } = &self.judged[at] else { continue };
            let prefix = ranked.member.prefix();
            if *needed > step || step < Step::Prefix && self.is_crowded(prefix) {
                continue;
            }
            self.judged[at].fate = if reserve(ranked.member.peer, step == Step::Busy) {
                self.listed.push(at);
                fate(step)
            } else {
                // Another call was faster.
                Fate::Passed(Step::Busy)
            };
        }
    }

    /// Whether the list has enough of a prefix.
    fn is_crowded(&self, prefix: Option<Prefix>) -> bool {
        let is_same = |at: &&usize| self.judged[**at].ranked.member.prefix() == prefix;
        prefix.is_some() && self.listed.iter().filter(is_same).count() >= MOST_OF_A_PREFIX
    }
}

/// What speaks for a candidate, and what has to be overlooked before it is listed.
fn judge(ranked: &Ranked, held: Held, wish: &Wish<'_>, terrain: &Terrain<'_>) -> Result<(Factors, Step), Unfit> {
    let Ranked { member, score, .. } = ranked;
    if !wish.admits(ranked) {
        return Err(Unfit::NotAdmitted);
    }
    let at = member.whereabouts();
    if !terrain.costs.may_meet(&wish.at, &at) {
        return Err(Unfit::Apart);
    }
    let ends = [(wish.nat, wish.at), (member.nat, at)].map(|(nat, at)| End { nat, asn: at.place.asn });
    let nat = terrain.pairs.chance(ends[0], ends[1]);
    if nat < LEAST_CHANCE {
        return Err(Unfit::Nat);
    }
    let (free, is_full) = free(member, held.slots, terrain.slots).ok_or(Unfit::Full)?;
    let content = content(wish, member, terrain.now);
    let lacking = [
        (content <= LEAST_CONTENT, Step::Playhead),
        (held.to_caller, Step::Tried),
        (is_full, Step::Slots),
        (held.is_busy, Step::Busy),
    ];
    let step = lacking.iter().filter(|(is, _)| *is).map(|(_, step)| *step).next_back().unwrap_or(Step::Fits);
    // Bytes go from the candidate to the caller.
    let locality = costs::locality(terrain.costs.cost(&at, &wish.at));
    #[expect(clippy::cast_possible_truncation, reason = "four digits")]
    let score = score.value() as f32;
    Ok((Factors { score, locality, nat, free, content }, step))
}

/// The share of a candidate's slots that is free, and whether it takes one more than it has; `None` when it has too many
/// links even for that.
fn free(member: &Member, held: usize, usual: usize) -> Option<(f32, bool)> {
    let slots = member.slots.map_or(usual, usize::from);
    let taken = usize::from(member.degree) + held;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = |free: usize| free as f32 / slots as f32;
    if taken < slots {
        Some((share(slots - taken), false))
    } else if slots > 0 && taken < slots + MORE_SLOTS {
        Some((share(1), true))
    } else {
        None
    }
}

/// How much of what the caller needs next a candidate has, by where both are in the content. Unknown counts as all.
fn content(wish: &Wish<'_>, member: &Member, now: Timestamp) -> f32 {
    let (Some(caller), Some(candidate)) = (wish.playhead, member.playhead_at(now)) else { return 1.0 };
    let lead = candidate - caller;
    if wish.urgent && lead < -BEHIND {
        return LEAST_CONTENT;
    }
    let left = |from: f32, to: f32| 1.0 - ((lead - from) / (to - from)).clamp(0.0, 1.0);
    let left = if lead > AHEAD { left(AHEAD, FAR_AHEAD) } else { left(-BEHIND, -FAR_BEHIND) };
    LEAST_CONTENT + (1.0 - LEAST_CONTENT) * left
}

/// One place in five, a fraction of one by chance.
fn places_to_explore(want: usize, rng: &mut impl Rng) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "at most 16")]
    let share = want as f64 / EXPLORED;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 4")]
    let whole = share.floor() as usize;
    whole + usize::from(rng.random_bool(share.fract()))
}
