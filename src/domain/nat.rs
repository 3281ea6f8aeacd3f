//! How peers' NATs behave, and how likely two of them let a direct link through: a table to begin with, corrected by what
//! came of attempts.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::reach::{Reach, Tells};

/// How a peer's NAT maps its ports (RFC 4787, section 4.1), as its client found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nat {
    /// No NAT at all.
    Open,
    /// Endpoint-independent mapping: reachable with a little help.
    Eim,
    /// Address and port dependent mapping: reachable from the two kinds above.
    Apdm,
    /// UDP is blocked.
    Blocked,
    /// Not found out.
    #[default]
    Unknown,
}

impl Nat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Open, Self::Eim, Self::Apdm, Self::Blocked, Self::Unknown];

    /// What it is called, on the wire and in Redis.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Eim => "eim",
            Self::Apdm => "apdm",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }

    /// The one that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|nat| nat.name() == name)
    }
}

/// Below this chance of a direct link, two peers are not introduced, and a failure between them is nobody's fault.
pub const LEAST_CHANCE: f32 = 0.2;
/// The table counts like so many attempts, ...
const CLASSES_WEIGH: f32 = 50.0;
/// ... and that nothing stands between two networks like so many between them.
const NETWORKS_WEIGH: f32 = 20.0;
/// The chance of two kinds of NAT that usually meet. Attempts between others say nothing of the networks they are in.
pub(super) const USUAL: f32 = 0.9;
/// Whatever is said, this share of the way from the table to certainty is not gone: nobody's reports can part two kinds
/// that can meet.
const KEPT: f32 = 0.25;

/// Whose attempts are counted together. Both orders are the same pair: make it with [`Pair::classes`] or
/// [`Pair::networks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pair {
    /// Two kinds of NAT, the smaller one first.
    Classes(Nat, Nat),
    /// Two autonomous systems, the smaller number first.
    Networks(u32, u32),
}

impl Pair {
    /// Of two kinds of NAT.
    pub fn classes(one: Nat, other: Nat) -> Self {
        Self::Classes(one.min(other), one.max(other))
    }

    /// Of two autonomous systems.
    pub fn networks(one: u32, other: u32) -> Self {
        Self::Networks(one.min(other), one.max(other))
    }

    /// What an attempt between these two counts for: their classes, if it is not known how these two differ from others of
    /// theirs; and their networks, unless the classes explain whatever comes of it.
    pub fn of(one: End, other: End) -> impl Iterator<Item = Self> {
        let tells = prior(one.nat, other.nat) >= USUAL;
        let networks = one.asn.zip(other.asn).filter(|_| tells).map(|(one, other)| Self::networks(one, other));
        let are_strangers = one.reach.is_new(one.nat, other.nat) && other.reach.is_new(other.nat, one.nat);
        let classes = are_strangers.then(|| Self::classes(one.nat, other.nat));
        [classes, networks].into_iter().flatten()
    }
}

/// What came of attempts, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// Links that opened.
    pub opened: f32,
    /// Attempts that failed.
    pub failed: f32,
}

impl Outcomes {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { opened: self.opened + other.opened, failed: self.failed + other.failed }
    }

    /// Both, losing weight.
    #[must_use]
    pub fn times(self, factor: f32) -> Self {
        Self { opened: self.opened * factor, failed: self.failed * factor }
    }

    /// The chance that the next attempt opens, when `prior` counts like `weight` attempts (the mean of a beta
    /// distribution).
    pub fn chance(self, prior: f32, weight: f32) -> f32 {
        (prior * weight + self.opened) / (weight + self.opened + self.failed)
    }
}

/// What is known of pairs. A plain value that is swapped whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    counted: HashMap<Pair, Outcomes, ahash::RandomState>,
    // A list asks a hundred times.
    chances: [[f32; Nat::ALL.len()]; Nat::ALL.len()],
}

impl Default for Pairs {
    fn default() -> Self {
        Self::new([])
    }
}

/// One end of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// How its NAT behaves.
    pub nat: Nat,
    /// Its autonomous system, where known.
    pub asn: Option<u32>,
    /// What came of its attempts so far.
    pub reach: Reach,
}

impl End {
    /// Whether nothing is known of it, neither by its client nor by attempts.
    pub fn is_unknown(&self) -> bool {
        self.nat == Nat::Unknown && self.reach == Reach::default()
    }
}

impl Pairs {
    /// What was counted.
    pub fn new(counted: impl IntoIterator<Item = (Pair, Outcomes)>) -> Self {
        let counted: HashMap<_, Outcomes, _> = counted.into_iter().collect();
        let chances = Nat::ALL.map(|one| {
            Nat::ALL.map(|other| {
                let prior = prior(one, other);
                let outcomes = counted.get(&Pair::classes(one, other)).copied().unwrap_or_default();
                // UDP that is blocked is not learned away.
                if prior <= 0.0 { 0.0 } else { within(outcomes.chance(prior, CLASSES_WEIGH), prior) }
            })
        });
        Self { counted, chances }
    }

    /// What was counted of a pair.
    pub fn outcomes(&self, pair: Pair) -> Outcomes {
        self.counted.get(&pair).copied().unwrap_or_default()
    }

    /// All that was counted, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Pair, Outcomes)> {
        self.counted.iter().map(|(pair, outcomes)| (*pair, *outcomes))
    }

    /// The chance that a direct attempt between two kinds of NAT opens a link.
    pub fn chance_of_classes(&self, one: Nat, other: Nat) -> f32 {
        self.chances[one as usize][other as usize]
    }

    /// The chance that a direct attempt between these two opens a link.
    pub fn chance(&self, one: End, other: End) -> f32 {
        let chance = self.chance_of_strangers(one, other);
        let is_told = |end: End| end.reach != Reach::default();
        let chance = if is_told(one) { after(chance, one, other) } else { chance };
        if is_told(other) { after(chance, other, one) } else { chance }
    }

    /// The same, whatever came of their own attempts.
    fn chance_of_strangers(&self, one: End, other: End) -> f32 {
        let classes = self.chance_of_classes(one.nat, other.nat);
        let (Some(a), Some(b)) = (one.asn, other.asn) else { return classes };
        if classes <= 0.0 || self.counted.is_empty() {
            return classes;
        }
        let Some(outcomes) = self.counted.get(&Pair::networks(a, b)) else { return classes };
        classes * (outcomes.chance(USUAL, NETWORKS_WEIGH) / USUAL).clamp(KEPT, 1.0)
    }
}

/// A chance, corrected by what came of attempts of `end`. It does not part who can meet: something may have changed.
fn after(chance: f32, end: End, other: End) -> f32 {
    let Reach { easy, hard } = end.reach;
    let corrected = match Tells::of(end.nat, other.nat) {
        Some(Tells::Easy) => easy.chance(chance),
        Some(Tells::Hard) => hard.chance(chance) * easy.left(),
        None => chance * easy.left(),
    };
    corrected.max(chance.min(LEAST_CHANCE))
}

/// Neither certain nor hopeless, however much is said.
fn within(learned: f32, prior: f32) -> f32 {
    learned.clamp(prior * KEPT, 1.0 - (1.0 - prior) * KEPT)
}

/// The chance to begin with. Who has no NAT, or one that maps independently of the endpoint, is reached by hole punching
/// (RFC 5128, section 3.3); 82 % of NATs let UDP through so (Ford, Srisuresh, Kegel: Peer-to-Peer Communication Across Network
/// Address Translators, 2005). Against address and port dependent mapping it depends on the other side's filtering (RFC 4787,
/// section 5), and two of those do not meet but by luck. What is unknown is as of a usual mix of the others.
pub const fn prior(one: Nat, other: Nat) -> f32 {
    use Nat::{Apdm, Blocked, Eim, Open, Unknown};
    match (one, other) {
        (Blocked, _) | (_, Blocked) => 0.0,
        (Open, Open) => 0.98,
        (Open, Eim) | (Eim, Open) => 0.96,
        (Open, Apdm) | (Apdm, Open) => 0.93,
        (Eim, Eim) => 0.9,
        (Open, Unknown) | (Unknown, Open) => 0.85,
        (Eim, Unknown) | (Unknown, Eim) => 0.75,
        (Unknown, Unknown) => 0.6,
        (Eim, Apdm) | (Apdm, Eim) => 0.5,
        (Apdm, Unknown) | (Unknown, Apdm) => 0.4,
        (Apdm, Apdm) => 0.05,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tally;

    fn end(nat: Nat) -> End {
        End { nat, ..End::default() }
    }

    #[test]
    fn each_has_one_name() {
        for nat in Nat::ALL {
            assert_eq!(serde_json::to_value(nat).unwrap(), nat.name());
            assert_eq!(Nat::named(nat.name()), Some(nat));
        }
        assert_eq!(Nat::named("cone"), None);
    }

    #[test]
    fn the_table_knows_no_order_and_only_the_hopeless_are_kept_apart() {
        for one in Nat::ALL {
            for other in Nat::ALL {
                assert!((prior(one, other) - prior(other, one)).abs() < f32::EPSILON);
                let hopeless = one == Nat::Blocked || other == Nat::Blocked || (one, other) == (Nat::Apdm, Nat::Apdm);
                let chance = Pairs::default().chance(end(one), end(other));
                assert_eq!(chance < LEAST_CHANCE, hopeless, "{one:?} and {other:?}: {chance}");
            }
        }
    }

    #[test]
    fn what_came_of_attempts_corrects_the_table_but_never_parts_who_can_meet() {
        let learned = |opened, failed| {
            let pairs = Pairs::new([(Pair::classes(Nat::Apdm, Nat::Eim), Outcomes { opened, failed })]);
            pairs.chance(end(Nat::Eim), end(Nat::Apdm))
        };
        assert!((learned(0.0, 0.0) - 0.5).abs() < 1e-6);
        assert!((learned(90.0, 10.0) - 115.0 / 150.0).abs() < 1e-6);
        assert!((learned(0.0, 1e9) - 0.125).abs() < 1e-6);
        let slandered = Pairs::new([(Pair::classes(Nat::Eim, Nat::Eim), Outcomes { opened: 0.0, failed: 1e9 })]);
        assert!(slandered.chance(end(Nat::Eim), end(Nat::Eim)) >= LEAST_CHANCE);
        let praised = Pairs::new([
            (Pair::classes(Nat::Apdm, Nat::Apdm), Outcomes { opened: 1e9, failed: 0.0 }),
            (Pair::classes(Nat::Blocked, Nat::Open), Outcomes { opened: 1e9, failed: 0.0 }),
        ]);
        assert!(praised.chance(end(Nat::Apdm), end(Nat::Apdm)) > 0.7, "prediction of ports may work");
        assert!(praised.chance(end(Nat::Blocked), end(Nat::Open)) <= 0.0);
    }

    #[test]
    fn two_networks_are_learned_on_top_of_their_classes() {
        let end = |asn| End { nat: Nat::Eim, asn: Some(asn), ..End::default() };
        let pairs = Pairs::new([(Pair::networks(7, 3), Outcomes { opened: 0.0, failed: 60.0 })]);
        assert!((pairs.chance(end(3), end(7)) - 0.9 * 20.0 / 80.0).abs() < 1e-6);
        assert!((pairs.chance(end(3), end(3)) - 0.9).abs() < 1e-6);
        let classes = (Pair::classes(Nat::Eim, Nat::Eim), Outcomes { opened: 5.0, failed: 45.0 });
        let pairs = Pairs::new([classes, (Pair::networks(3, 7), Outcomes { opened: 20.0, failed: 0.0 })]);
        let of_classes = pairs.chance_of_classes(Nat::Eim, Nat::Eim);
        assert!((of_classes - 0.5).abs() < 1e-6);
        assert!(
            (pairs.chance(end(3), end(7)) - 0.5).abs() < 1e-6,
            "a network makes nothing likelier than its classes do"
        );
    }

    #[test]
    fn what_came_of_a_peers_own_attempts_corrects_its_kind_but_never_parts_it_from_all() {
        let after = |nat, opened, failed| {
            let tally = Tally::new(opened, failed);
            End { nat, asn: Some(1), reach: Reach { easy: tally, hard: tally } }
        };
        let pairs = Pairs::default();
        let chance = |one, other| pairs.chance(one, other);
        for (one, other) in
            [(Nat::Eim, Nat::Eim), (Nat::Eim, Nat::Apdm), (Nat::Unknown, Nat::Open), (Nat::Apdm, Nat::Open)]
        {
            let [before, good, bad] =
                [after(one, 0, 0), after(one, 9, 0), after(one, 0, 9)].map(|one| chance(one, end(other)));
            assert!(good >= before && bad < before / 2.0 && bad >= LEAST_CHANCE, "{one:?}: {before} {good} {bad}");
            assert!((chance(end(other), after(one, 0, 9)) - bad).abs() < 1e-6, "from both ends");
        }
        assert!(chance(after(Nat::Eim, 1, 0), end(Nat::Apdm)) > 0.7, "its NAT lets in who maps by destination");
        let walled = End { reach: Reach { hard: Tally::default(), ..after(Nat::Eim, 0, 9).reach }, ..end(Nat::Eim) };
        assert!(chance(walled, end(Nat::Apdm)) < 0.25, "and whom nobody meets, those do not either");
        assert!(chance(after(Nat::Apdm, 9, 0), end(Nat::Apdm)) < LEAST_CHANCE);
        assert!(chance(after(Nat::Blocked, 9, 0), end(Nat::Open)) <= 0.0);
    }

    #[test]
    fn kinds_are_learned_from_those_of_whom_nothing_is_known() {
        let tried = End { reach: Reach { hard: Tally::new(1, 0), ..Reach::default() }, ..end(Nat::Eim) };
        let counted = |one, other| Pair::of(one, other).count();
        assert_eq!((counted(tried, end(Nat::Apdm)), counted(end(Nat::Apdm), tried)), (0, 0), "it was picked for that");
        assert_eq!((counted(tried, end(Nat::Eim)), counted(end(Nat::Eim), end(Nat::Apdm))), (1, 1));
    }

    #[test]
    fn networks_where_usual_kinds_meet_make_no_other_kind_more_likely() {
        let end = |nat| End { nat, asn: Some(3), ..End::default() };
        let counted = |one, other| Pair::of(end(one), end(other)).count();
        assert_eq!(
            (counted(Nat::Eim, Nat::Open), counted(Nat::Eim, Nat::Apdm), counted(Nat::Eim, Nat::Unknown)),
            (2, 1, 1)
        );
        let pairs = Pairs::new([(Pair::networks(3, 3), Outcomes { opened: 1e6, failed: 0.0 })]);
        let chance = |other| pairs.chance(end(Nat::Eim), end(other));
        assert!((chance(Nat::Apdm) - 0.5).abs() < 1e-6 && (chance(Nat::Eim) - 0.9).abs() < 1e-6);
    }
}
