//! Who was introduced to one peer a moment ago: soft reservations of its slots, and a limit on how fast it is handed out,
//! so that the best are not drowned. A plain value; each backend node keeps its own, and takes its share of the limits.

use std::time::Duration;

use super::{ids::PeerId, time::Timestamp};

/// How long a slot stays reserved on either side: at the latest until the peer's own word on its links is known, which
/// takes a report, a judgement and a copy of the swarm.
pub const HELD_FOR: Duration = Duration::from_secs(30);
/// How long two that were introduced to each other are not introduced again, unless there are few others.
pub const TRIED_FOR: Duration = Duration::from_secs(15);
/// A word of what links there are does not tell of those that are about to open: introductions of so long before count beside it.
const OPENS_WITHIN: Duration = Duration::from_secs(2);
/// Introductions to one target in any second, over all nodes.
pub const MOST_A_SECOND: usize = 2;
/// And where a caller would get next to nobody otherwise.
const MOST_INSISTED: usize = MOST_A_SECOND + 1;
/// Most slots that are held of one peer, however many it says it has.
const MOST_HELD: usize = 64;

/// The introductions of one peer.
#[derive(Clone, Debug, Default)]
pub struct Introduced(Vec<Introduction>);

#[derive(Clone, Copy, Debug)]
struct Introduction {
    with: PeerId,
    // When a slot was reserved.
    at: Timestamp,
    // How much later the two were introduced again, in milliseconds.
    again: u32,
    // It was handed out to somebody new; otherwise it asked, or is known.
    as_target: bool,
}

impl Introduction {
    fn new(with: PeerId, at: Timestamp, as_target: bool) -> Self {
        Self { with, at, again: 0, as_target }
    }

    fn holds(&self, now: Timestamp) -> bool {
        age(self.at, now) < HELD_FOR
    }

    /// Whether the two were introduced a moment ago, perhaps not for the first time.
    fn is_fresh(&self, now: Timestamp) -> bool {
        age(self.at + Duration::from_millis(self.again.into()), now) < HELD_FOR
    }

    /// They are introduced again: to nobody new, so whoever comes in between, each stays in the other's lists. The slot is
    /// reserved anew once it is free.
    fn renew(&mut self, now: Timestamp) {
        if self.holds(now) {
            self.again = u32::try_from(now.since(self.at).as_millis()).unwrap_or(0);
        } else {
            *self = Self::new(self.with, now, false);
        }
    }
}

/// What stands in the way of introducing a target to a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Slots that are reserved for others, on this node.
    pub here: usize,
    /// The same on all nodes, if each has reserved as many.
    pub slots: usize,
    /// Whether it was introduced to this caller a moment ago.
    pub to_caller: bool,
    /// Whether it has had as many introductions as it may for now.
    pub is_busy: bool,
}

impl Introduced {
    /// How things stand for `caller` on one of so many nodes. What was reserved before the peer's own word of `said` is in
    /// that word.
    pub fn held(&self, caller: PeerId, said: Timestamp, now: Timestamp, nodes: usize) -> Held {
        let (mut here, mut to_caller, mut is_known) = (0, false, false);
        let counts_from = said - OPENS_WITHIN;
        for introduction in &self.0 {
            if introduction.with == caller {
                to_caller = age(introduction.at, now) < TRIED_FOR;
                is_known = introduction.is_fresh(now);
            } else {
                here += usize::from(introduction.at >= counts_from && introduction.holds(now));
            }
        }
        let is_busy = !is_known && self.lately(now, nodes) >= MOST_A_SECOND;
        Held { here, slots: here * nodes.max(1), to_caller, is_busy }
    }

    /// How often it was handed out in this node's share of a second.
    fn lately(&self, now: Timestamp, nodes: usize) -> usize {
        let window = Duration::from_secs(nodes.max(1) as u64).min(HELD_FOR);
        self.0.iter().filter(|introduction| introduction.as_target && age(introduction.at, now) < window).count()
    }

    /// Introduces it to `caller`, for whom a slot is reserved from now on. Says whether it may be: the limit may have been
    /// reached since [`Introduced::held`] was asked. With `insist`, it may be a few times more.
    pub fn hold(&mut self, caller: PeerId, insist: bool, now: Timestamp, nodes: usize) -> bool {
        if self.renewed(caller, now) {
            return true;
        }
        let most = if insist { MOST_INSISTED } else { MOST_A_SECOND };
        let is_held = self.lately(now, nodes) < most && self.0.len() < MOST_HELD;
        if is_held {
            self.0.push(Introduction::new(caller, now, true));
        }
        is_held
    }

    /// It was given `target`, so one of its own slots is reserved too.
    pub fn given(&mut self, target: PeerId, now: Timestamp) {
        if !self.renewed(target, now) && self.0.len() < MOST_HELD {
            self.0.push(Introduction::new(target, now, false));
        }
    }

    /// Forgets what is over, and renews what is known of `with`; says whether anything is.
    fn renewed(&mut self, with: PeerId, now: Timestamp) -> bool {
        self.0.retain(|introduction| introduction.is_fresh(now));
        let known = self.0.iter_mut().find(|introduction| introduction.with == with);
        known.map(|known| known.renew(now)).is_some()
    }

    /// The other side left: its slot is free again.
    pub fn left(&mut self, with: PeerId) {
        self.0.retain(|introduction| introduction.with != with);
    }

    /// With whom it was introduced.
    pub fn others(&self) -> impl Iterator<Item = PeerId> {
        self.0.iter().map(|introduction| introduction.with)
    }

    /// Whether nothing is left of it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        !self.0.iter().any(|introduction| introduction.is_fresh(now))
    }
}

/// How long ago that was. A clock that went back makes it as old as it is far ahead: nothing is held until it catches up.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    now.since(at).max(at.since(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    fn after(ms: u64) -> Timestamp {
        NOW + Duration::from_millis(ms)
    }

    fn after_seconds(seconds: u64) -> Timestamp {
        after(seconds * 1000)
    }

    #[test]
    fn a_slot_is_held_for_half_a_minute_against_everybody_else() {
        let mut introduced = Introduced::default();
        assert!(introduced.hold(peer(1), false, NOW, 1));
        assert_eq!(introduced.held(peer(2), NOW, NOW, 1), Held { here: 1, slots: 1, to_caller: false, is_busy: false });
        assert_eq!(introduced.held(peer(1), NOW, NOW, 1), Held { to_caller: true, ..Held::default() });
        let on_four = introduced.held(peer(2), NOW, NOW, 4);
        assert_eq!((on_four.here, on_four.slots), (1, 4), "the other nodes do the same");
        assert_eq!(introduced.held(peer(1), NOW, after(15_000), 1), Held::default(), "two may be tried again sooner");
        assert!(!introduced.is_over(after(29_999)));
        assert_eq!(introduced.held(peer(2), NOW, after(29_999), 1).slots, 1);
        assert_eq!(introduced.held(peer(2), NOW, after(30_000), 1), Held::default());
        assert!(introduced.is_over(after(30_000)));
    }

    #[test]
    fn what_was_reserved_before_a_peers_own_word_is_in_it() {
        let mut introduced = Introduced::default();
        assert!(introduced.hold(peer(1), false, NOW, 1) && introduced.hold(peer(2), false, after(5000), 1));
        let here = |said| introduced.held(peer(9), said, after(6000), 1).here;
        // Those that were about to open when it spoke are not.
        let long = |ms| here(after(ms) + OPENS_WITHIN);
        assert_eq!((here(after(1)), long(0), long(1), long(5000), long(5001)), (2, 2, 1, 1, 0));
    }

    #[test]
    fn who_is_given_somebody_keeps_a_slot_for_it_and_is_handed_out_as_often_as_before() {
        let mut introduced = Introduced::default();
        for n in 1..=8 {
            introduced.given(peer(n), NOW);
            introduced.given(peer(n), NOW);
        }
        let held = introduced.held(peer(9), NOW, NOW, 1);
        assert_eq!((held.here, held.is_busy), (8, false));
        assert!(introduced.held(peer(1), NOW, NOW, 1).to_caller, "it was introduced to this one already");
        for n in 0..200 {
            introduced.given(peer(n), NOW);
        }
        assert_eq!(introduced.0.len(), MOST_HELD);
    }

    #[test]
    fn who_comes_again_takes_no_second_slot() {
        let mut introduced = Introduced::default();
        for n in 0..200 {
            assert!(introduced.hold(peer(1), false, after(n * 100), 1));
        }
        assert_eq!(introduced.held(peer(2), NOW, after(200 * 100), 1).slots, 1);
    }

    #[test]
    fn who_comes_again_gets_it_again_however_many_others_did() {
        let mut introduced = Introduced::default();
        assert!(introduced.hold(peer(1), false, NOW, 1));
        assert!(introduced.hold(peer(2), false, after(2000), 1) && introduced.hold(peer(3), false, after(2000), 1));
        assert!(!introduced.hold(peer(4), false, after(2500), 1));
        assert!(introduced.hold(peer(1), false, after(2500), 1));
        assert_eq!(introduced.held(peer(4), NOW, after(2500), 1).here, 3);
        assert!(introduced.held(peer(4), NOW, after(2500), 1).is_busy);
        assert!(!introduced.held(peer(1), NOW, after(2500), 1).is_busy);
        assert!(!introduced.held(peer(1), NOW, after(15_000), 1).to_caller, "as tried it counts from the first time");
    }

    #[test]
    fn two_who_are_introduced_again_and_again_stay_known_to_each_other() {
        let mut introduced = Introduced::default();
        for seconds in [0, 25] {
            assert!(introduced.hold(peer(1), false, after_seconds(seconds), 1));
        }
        let is_new =
            |introduced: &Introduced, seconds| introduced.held(peer(1), NOW, after_seconds(seconds), 1).is_busy;
        for n in [2, 3] {
            assert!(introduced.hold(peer(n), false, after_seconds(50), 1));
        }
        assert!(!is_new(&introduced, 50) && introduced.hold(peer(1), false, after_seconds(50), 1));
        assert_eq!(introduced.held(peer(9), NOW, after_seconds(79), 1).here, 3, "its slot is reserved anew");
        assert!(introduced.hold(peer(4), false, after_seconds(79), 1), "nobody new came at that time");
        for n in [5, 6] {
            introduced.hold(peer(n), false, after_seconds(80), 1);
        }
        assert!(is_new(&introduced, 80) && !introduced.hold(peer(1), false, after_seconds(80), 1));
        assert!(introduced.held(peer(9), NOW, after_seconds(80), 1).here <= 3);
    }

    #[test]
    fn a_clock_that_goes_back_frees_what_was_held() {
        let mut introduced = Introduced::default();
        assert!(
            introduced.hold(peer(1), false, after(3_600_000), 1)
                && introduced.hold(peer(2), false, after(3_600_000), 1)
        );
        assert_eq!(introduced.held(peer(3), NOW, NOW, 1), Held::default());
        assert!(introduced.is_over(NOW) && introduced.hold(peer(3), false, NOW, 1));
        assert_eq!(introduced.held(peer(4), NOW, NOW, 1).here, 1);
    }

    #[test]
    fn who_insists_gets_more_but_not_without_end() {
        let mut introduced = Introduced::default();
        assert_eq!((0..9).filter(|n| introduced.hold(peer(*n), false, NOW, 1)).count(), MOST_A_SECOND);
        assert_eq!(
            (10..250).filter(|n| introduced.hold(peer(*n), true, NOW, 1)).count(),
            MOST_INSISTED - MOST_A_SECOND
        );
        for second in 1..100 {
            for n in 0..3 {
                introduced.hold(peer(second * 2 + n), true, after_seconds(second.into()), 1);
            }
        }
        assert!(introduced.0.len() <= MOST_HELD);
    }

    proptest! {
        #[test]
        fn never_more_than_two_in_any_second_of_each_node(waits in prop::collection::vec(0..900_u64, 1..200), nodes in 1..6_usize) {
            let mut introduced = Introduced::default();
            let (mut now, mut held) = (0, Vec::new());
            for (caller, wait) in (0..).zip(waits) {
                now += wait;
                if introduced.hold(peer(caller), false, after(now), nodes) {
                    held.push(now);
                }
            }
            for three in held.windows(3) {
                prop_assert!(three[2] - three[0] >= 1000 * nodes as u64, "{three:?}");
            }
            prop_assert!(introduced.0.len() <= 60);
        }
    }
}
