//! Who was introduced to one target a moment ago: soft reservations of its slots, and a limit on how fast it is handed
//! out, so that the best are not drowned. A plain value; each backend node keeps its own, and takes its share of the limits.

use std::time::Duration;

use super::{ids::PeerId, time::Timestamp};

/// How long a target's slot stays reserved for whom it was introduced to: until its own word on its links is known.
pub const HELD_FOR: Duration = Duration::from_secs(15);
/// Introductions to one target in any second, over all nodes.
pub const MOST_A_SECOND: usize = 2;

/// Most slots that are held of one target, however many it says it has.
const MOST_HELD: usize = 64;

/// The introductions to one target.
#[derive(Clone, Debug, Default)]
pub struct Introduced(Vec<(PeerId, Timestamp)>);

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
    /// How things stand for `caller` on one of so many nodes.
    pub fn held(&self, caller: PeerId, now: Timestamp, nodes: usize) -> Held {
        let (mut here, mut lately, mut to_caller) = (0, 0, false);
        for (peer, at) in &self.0 {
            let age = age(*at, now);
            if age < HELD_FOR {
                lately += usize::from(age < window(nodes));
                to_caller |= *peer == caller;
                here += usize::from(*peer != caller);
            }
        }
        Held { here, slots: here * nodes.max(1), to_caller, is_busy: lately >= MOST_A_SECOND }
    }

    /// Introduces it to `caller`, for whom a slot is reserved from now on. Says whether it may be: the limit may have been
    /// reached since [`Introduced::held`] was asked. With `insist`, it may be all the same.
    pub fn hold(&mut self, caller: PeerId, insist: bool, now: Timestamp, nodes: usize) -> bool {
        self.0.retain(|(_, at)| age(*at, now) < HELD_FOR);
        // A repeat takes no second slot; one that is refused keeps the first.
        let before = self.0.iter().position(|(peer, _)| *peer == caller).map(|at| self.0.remove(at));
        let is_busy = self.held(caller, now, nodes).is_busy && !insist;
        let is_held = !is_busy && self.0.len() < MOST_HELD;
        self.0.extend(if is_held { Some((caller, now)) } else { before });
        is_held
    }

    /// Whether nothing is left of it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.0.iter().all(|(_, at)| age(*at, now) >= HELD_FOR)
    }
}

/// How long ago that was. A clock that went back makes it as old as it is far ahead: nothing is held until it catches up.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    now.since(at).max(at.since(now))
}

/// How long a node lets [`MOST_A_SECOND`] introductions take: a second for each node.
fn window(nodes: usize) -> Duration {
    Duration::from_secs(nodes.max(1) as u64).min(HELD_FOR)
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

    #[test]
    fn a_slot_is_held_for_fifteen_seconds_against_everybody_else() {
        let mut introduced = Introduced::default();
        assert!(introduced.hold(peer(1), false, NOW, 1));
        assert_eq!(introduced.held(peer(2), NOW, 1), Held { here: 1, slots: 1, to_caller: false, is_busy: false });
        assert_eq!(introduced.held(peer(1), NOW, 1), Held { to_caller: true, ..Held::default() });
        let on_four = introduced.held(peer(2), NOW, 4);
        assert_eq!((on_four.here, on_four.slots), (1, 4), "the other nodes do the same");
        assert!(!introduced.is_over(after(14_999)));
        assert_eq!(introduced.held(peer(2), after(14_999), 1).slots, 1);
        assert_eq!(introduced.held(peer(1), after(15_000), 1), Held::default());
        assert!(introduced.is_over(after(15_000)));
    }

    #[test]
    fn who_comes_again_takes_no_second_slot() {
        let mut introduced = Introduced::default();
        for n in 0..200 {
            assert!(introduced.hold(peer(1), false, after(n * 100), 1));
        }
        assert_eq!(introduced.held(peer(2), after(200 * 100), 1).slots, 1);
    }

    #[test]
    fn who_comes_again_and_is_refused_keeps_its_slot() {
        let mut introduced = Introduced::default();
        assert!(introduced.hold(peer(1), false, NOW, 1));
        assert!(introduced.hold(peer(2), false, after(2000), 1) && introduced.hold(peer(3), false, after(2000), 1));
        assert!(!introduced.hold(peer(1), false, after(2500), 1));
        assert_eq!(introduced.held(peer(4), after(2500), 1).here, 3);
        assert!(introduced.held(peer(1), after(2500), 1).to_caller);
        assert!(!introduced.held(peer(1), after(15_000), 1).to_caller, "but no longer than at first");
    }

    #[test]
    fn a_clock_that_goes_back_frees_what_was_held() {
        let mut introduced = Introduced::default();
        assert!(
            introduced.hold(peer(1), false, after(3_600_000), 1)
                && introduced.hold(peer(2), false, after(3_600_000), 1)
        );
        assert_eq!(introduced.held(peer(3), NOW, 1), Held::default());
        assert!(introduced.is_over(NOW) && introduced.hold(peer(3), false, NOW, 1));
        assert_eq!(introduced.held(peer(4), NOW, 1).here, 1);
    }

    #[test]
    fn who_insists_gets_more_but_not_without_end() {
        let mut introduced = Introduced::default();
        assert_eq!((0..9).filter(|n| introduced.hold(peer(*n), false, NOW, 1)).count(), MOST_A_SECOND);
        assert_eq!((10..250).filter(|n| introduced.hold(peer(*n), true, NOW, 1)).count(), MOST_HELD - MOST_A_SECOND);
        assert_eq!(introduced.held(peer(251), NOW, 1).slots, MOST_HELD);
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
            prop_assert!(introduced.0.len() <= 30);
        }
    }
}
