//! Who should meet whom. A list is not the top of the ranking: everybody would be handed the same few. It is drawn, by
//! weights that say how much good a link would do and how likely it comes about; newcomers get a share of the places.
//! Each step is a function of plain values; callers pass the time, the randomness, and what is reserved.

use rand::{Rng, RngExt};

use super::{
    ids::PeerId,
    introductions::Held,
    member::{Member, Ranked},
    nat::{End, Nat},
    place::{Prefix, Whereabouts},
    reach::Reach,
    score::Score,
    time::Timestamp,
};

mod factors;
#[cfg(test)]
mod tests;

pub use factors::{Factors, Terrain};
use factors::{LEAST_CONTENT, slots};

/// Most peers in one list.
pub const MAX_WANT: u8 = 16;
/// Most peers that a request can exclude.
pub const MAX_EXCLUDE: usize = 64;
/// Candidates that are looked at for one list.
pub const CANDIDATES: usize = 64;
/// Most peers of one prefix in a list, unless hardly anybody else is there.
pub const MOST_OF_A_PREFIX: usize = 2;
/// With a smaller chance of a link, a peer is listed only where there is nobody else: most attempts would fail.
const LIKELY: f32 = 0.6;
/// Of two who do not know their NATs: where hardly anybody does, there is nobody better.
const LIKELY_BLINDLY: f32 = LIKELY / 2.0;
/// One place in so many is for peers that are yet to be tried.
const EXPLORED: f64 = 5.0;

/// What a peer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Who asks.
    pub caller: PeerId,
    /// Where it is.
    pub at: Whereabouts,
    /// How its NAT behaves.
    pub nat: Nat,
    /// What came of its attempts.
    pub reach: Reach,
    /// Seconds into the content.
    pub playhead: Option<f32>,
    /// It is about to run out: nothing is tried, and only who has what comes next will do.
    pub urgent: bool,
    /// It has no link, and cannot be choosy.
    pub is_lonely: bool,
    /// When it last said how many links it has.
    pub said: Timestamp,
    /// At most so many peers.
    pub want: usize,
    /// But not these.
    pub exclude: &'a [PeerId],
}

impl Wish<'_> {
    /// The same, but for no more than the caller has slots for, beside what it was given since its last word; one at least. So
    /// nobody reserves a swarm for itself, and who cannot be reached by anybody does not try everybody.
    #[must_use]
    pub fn within(self, slots: usize, given: Held) -> Self {
        Self { want: self.want.min(slots.saturating_sub(given.here).max(1)), ..self }
    }

    /// The caller, as an end of attempts.
    pub const fn end(&self) -> End {
        End { nat: self.nat, asn: self.at.place.asn, reach: self.reach }
    }

    /// How many candidates to look for, so that enough are left whoever of them is excluded.
    pub const fn sample(&self) -> usize {
        if self.want == 0 { 0 } else { CANDIDATES + self.exclude.len() + 1 }
    }

    /// Whether this one can be a candidate at all: offered, not the caller, not excluded.
    pub fn admits(&self, Ranked { member, score, .. }: &Ranked) -> bool {
        *score > Score::ZERO && member.peer != self.caller && !self.exclude.contains(&member.peer)
    }
}

/// What is overlooked, one after the other, when a list stays short. (Locality is a weight and nothing more, so there is
/// nothing of it to drop.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing.
    Fits,
    /// That it was introduced to this caller a moment ago.
    Tried,
    /// That it is elsewhere in the content.
    Playhead,
    /// That enough others of its prefix are in the list.
    Prefix,
    /// That it has had as many introductions as it should for now.
    Busy,
    /// That a link will hardly open: for a caller that has none, when there is nobody else.
    Unlikely,
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

/// What was found about a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// What speaks for it; `None` where nothing could.
    pub factors: Option<Factors>,
    /// What was reserved of it; only of who came up in the draw.
    pub held: Option<Held>,
    /// What became of it.
    pub fate: Fate,
}

/// What was drawn.
#[derive(Debug)]
pub struct Drawn {
    candidates: Vec<Ranked>,
    verdicts: Vec<Verdict>,
    listed: Vec<usize>,
}

impl Drawn {
    /// Who is in the list, in the order in which they were drawn.
    pub fn listed(&self) -> impl Iterator<Item = (&Ranked, &Verdict)> {
        self.listed.iter().map(|at| (&self.candidates[*at], &self.verdicts[*at]))
    }

    /// The other candidates, in no order.
    pub fn others(&self) -> impl Iterator<Item = (&Ranked, &Verdict)> {
        self.candidates.iter().zip(&self.verdicts).filter(|(_, verdict)| !verdict.fate.is_listed())
    }
}

/// What is reserved of peers, by who was introduced to whom.
pub trait Reservations {
    /// What is reserved of `target`, whose own word is of `said`, for others than the caller.
    fn held(&self, target: PeerId, said: Timestamp) -> Held;

    /// Reserves a slot of `target` for the caller. Says whether it could: another call may have been faster. With `insist`,
    /// it can, however many introductions the target had.
    fn reserve(&mut self, target: PeerId, insist: bool) -> bool;
}

/// Draws a list: never the caller, nobody excluded, nobody incompatible, at most `want`, and somebody where anybody is
/// possible.
pub fn choose(
    candidates: Vec<Ranked>,
    wish: &Wish<'_>,
    terrain: &Terrain<'_>,
    rng: &mut impl Rng,
    reservations: &mut impl Reservations,
) -> Drawn {
    let verdicts = candidates.iter().map(|ranked| judge(ranked, wish, terrain)).collect();
    let drawn = Drawn { candidates, verdicts, listed: Vec::with_capacity(wish.want) };
    let is_choosy = !wish.end().is_unknown();
    let mut draw = Draw { drawn, slots: terrain.slots, is_choosy, reservations };
    draw.run(wish, rng);
    draw.drawn
}

struct Draw<'a, R> {
    drawn: Drawn,
    slots: usize,
    // More is known of the caller than nothing.
    is_choosy: bool,
    reservations: &'a mut R,
}

impl<R: Reservations> Draw<'_, R> {
    fn run(&mut self, wish: &Wish<'_>, rng: &mut impl Rng) {
        let places = if wish.urgent { 0 } else { places_to_explore(wish.want, rng) };
        if places > 0 {
            let order = self.order(rng, |ranked, factors| (!ranked.member.tried).then(|| factors.unproven_weight()));
            self.take(&order, Step::Fits, places, |_| Fate::Explored);
        }
        // Who is about to run out is served by those who have proved themselves.
        let power = if wish.urgent { 2 } else { 1 };
        let mut order = self.order(rng, |_, factors| Some(factors.weight().powi(power)));
        self.take(&order, Step::Fits, wish.want, Fate::Drawn);
        // In a small swarm it may have met everybody a moment ago, and have forgotten them.
        self.take(&order, Step::Tried, wish.want, Fate::Drawn);
        // Half a list of peers that will do is better than a whole one of those that hardly will.
        let enough = wish.want.div_ceil(2);
        for step in [Step::Playhead, Step::Prefix] {
            self.take(&order, step, enough, Fate::Drawn);
        }
        if self.drawn.listed.len() < enough {
            // What is left of it goes to those who were introduced to the fewest, so that a crowd spreads.
            order.sort_by_key(|at| self.drawn.verdicts[*at].held.map(|held| held.slots));
            self.take(&order, Step::Busy, enough, Fate::Drawn);
        }
        // One attempt that will probably fail is better than none; more are of no use to either side.
        if wish.is_lonely {
            self.take(&order, Step::Unlikely, enough.min(1), Fate::Drawn);
        }
    }

    /// Weighted sampling without replacement: the order of `ln(u) / weight`, the largest first (Efraimidis, Spirakis:
    /// Weighted random sampling with a reservoir, 2006, algorithm A-ES, in logarithms).
    fn order(&self, rng: &mut impl Rng, weight: impl Fn(&Ranked, Factors) -> Option<f32>) -> Vec<usize> {
        let mut keyed: Vec<(f32, usize)> = Vec::with_capacity(self.drawn.candidates.len());
        for (at, (ranked, verdict)) in self.drawn.candidates.iter().zip(&self.drawn.verdicts).enumerate() {
            if let Some(weight) = verdict.factors.and_then(|factors| weight(ranked, factors)) {
                keyed.push((rng.random::<f32>().ln() / weight.max(f32::MIN_POSITIVE), at));
            }
        }
        keyed.sort_unstable_by(|(one, _), (other, _)| other.total_cmp(one));
        keyed.into_iter().map(|(_, at)| at).collect()
    }

    /// Lists who fits once `step` is overlooked, until `enough` are listed.
    fn take(&mut self, order: &[usize], step: Step, enough: usize, fate: impl Fn(Step) -> Fate) {
        for &at in order {
            if self.drawn.listed.len() >= enough {
                return;
            }
            let Drawn { candidates, verdicts, .. } = &self.drawn;
            let Verdict { fate: Fate::Passed(needed), held, .. } = verdicts[at] else { continue };
            if needed > step {
                continue;
            }
            let member = &candidates[at].member;
            if step < Step::Prefix && self.is_crowded(member.prefix()) {
                // It stays so: a list only grows.
                self.drawn.verdicts[at].fate = Fate::Passed(Step::Prefix);
                continue;
            }
            let peer = member.peer;
            let held = held.unwrap_or_else(|| self.reservations.held(peer, member.said));
            let found = match taken(member, held, self.slots, self.is_choosy) {
                Err(unfit) => Fate::Unfit(unfit),
                Ok(lacking) if lacking > step => Fate::Passed(lacking.max(needed)),
                Ok(_) if self.reservations.reserve(peer, step == Step::Busy) => fate(step),
                // Another call was faster.
                Ok(_) => Fate::Passed(Step::Busy),
            };
            let verdict = &mut self.drawn.verdicts[at];
            (verdict.held, verdict.fate) = (Some(held), found);
            if found.is_listed() {
                self.drawn.listed.push(at);
            }
        }
    }

    /// Whether the list has enough of a prefix.
    fn is_crowded(&self, prefix: Option<Prefix>) -> bool {
        let is_same = |(ranked, _): &(&Ranked, &Verdict)| ranked.member.prefix() == prefix;
        prefix.is_some() && self.drawn.listed().filter(is_same).count() >= MOST_OF_A_PREFIX
    }
}

/// What speaks for a candidate, and what has to be overlooked before it is listed, as far as it depends on these two alone.
fn judge(ranked: &Ranked, wish: &Wish<'_>, terrain: &Terrain<'_>) -> Verdict {
    match Factors::of(ranked, wish, terrain) {
        Ok(factors) => {
            let likely = if [wish.nat, ranked.member.nat] == [Nat::Unknown; 2] { LIKELY_BLINDLY } else { LIKELY };
            let needed = if factors.nat < likely {
                Step::Unlikely
            } else if factors.content <= LEAST_CONTENT {
                Step::Playhead
            } else {
                Step::Fits
            };
            Verdict { factors: Some(factors), held: None, fate: Fate::Passed(needed) }
        }
        Err(unfit) => Verdict { factors: None, held: None, fate: Fate::Unfit(unfit) },
    }
}

/// What has to be overlooked with so much of a candidate reserved.
fn taken(member: &Member, held: Held, usual: usize, is_choosy: bool) -> Result<Step, Unfit> {
    let slots = slots(member, usual);
    let [known, guessed] = [held.here, held.slots].map(|held| usize::from(member.degree) + held);
    if known >= slots {
        return Err(Unfit::Full);
    }
    // Of whom nothing is known, one finds out first.
    let is_being_tried = is_choosy && member.end().is_unknown() && held.slots > 0;
    // What other nodes have reserved is a guess, which must not leave anybody alone.
    let is_busy = held.is_busy || !held.to_caller && (is_being_tried || guessed >= slots);
    let lacking = [(held.to_caller, Step::Tried), (is_busy, Step::Busy)];
    Ok(lacking.into_iter().filter(|(is, _)| *is).map(|(_, step)| step).next_back().unwrap_or(Step::Fits))
}

/// One place in five, a fraction of one by chance.
fn places_to_explore(want: usize, rng: &mut impl Rng) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "at most 16")]
    let share = want as f64 / EXPLORED;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 4")]
    let whole = share.floor() as usize;
    whole + usize::from(rng.random_bool(share.fract()))
}
