//! Who was introduced to whom through this node a moment ago, over all swarms: no lock over all targets.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;

use super::Ranking;
use crate::domain::{
    PeerId, Timestamp,
    introductions::{Held, Introduced},
};

/// Most targets that are remembered: 100 bytes each. Beyond it, introductions to others are not held back.
const MOST_TARGETS: usize = 1_000_000;

/// The introductions of the last seconds, by target.
#[derive(Default)]
pub struct Introductions {
    by_target: DashMap<PeerId, Introduced, ahash::RandomState>,
    targets: AtomicUsize,
}

impl Introductions {
    /// How things stand with `target` for `caller`.
    pub fn held(&self, target: PeerId, caller: PeerId, now: Timestamp, nodes: usize) -> Held {
        self.by_target.get(&target).map(|introduced| introduced.held(caller, now, nodes)).unwrap_or_default()
    }

    /// Introduces `target` to `caller`; says whether it may be.
    pub fn hold(&self, target: PeerId, caller: PeerId, insist: bool, now: Timestamp, nodes: usize) -> bool {
        if let Some(mut introduced) = self.by_target.get_mut(&target) {
            return introduced.hold(caller, insist, now, nodes);
        }
        if self.targets.load(Relaxed) >= MOST_TARGETS {
            return true;
        }
        let entry = self.by_target.entry(target);
        if matches!(entry, dashmap::Entry::Vacant(_)) {
            self.targets.fetch_add(1, Relaxed);
        }
        entry.or_default().hold(caller, insist, now, nodes)
    }

    /// Forgets what is over; returns how many targets are left.
    pub fn forget(&self, now: Timestamp) -> usize {
        self.by_target.retain(|_, introduced| {
            let stays = !introduced.is_over(now);
            if !stays {
                self.targets.fetch_sub(1, Relaxed);
            }
            stays
        });
        self.targets.load(Relaxed)
    }
}

impl Ranking {
    /// What is reserved of `target` for others than `caller`.
    pub fn held(&self, target: PeerId, caller: PeerId) -> Held {
        self.introductions.held(target, caller, self.clock.now(), self.live_nodes())
    }

    /// Introduces `target` to `caller`: one of its slots is reserved for a moment. Says whether it may be introduced now;
    /// with `insist`, however many introductions it has had.
    pub fn introduce(&self, target: PeerId, caller: PeerId, insist: bool) -> bool {
        self.introductions.hold(target, caller, insist, self.clock.now(), self.live_nodes())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    #[test]
    fn however_many_ask_at_once_a_target_is_handed_out_twice_a_second() {
        let introductions = Arc::new(Introductions::default());
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let introductions = introductions.clone();
                let callers = n * 25..(n + 1) * 25;
                std::thread::spawn(move || {
                    callers.filter(|n| introductions.hold(peer(255), peer(*n), false, NOW, 1)).count()
                })
            })
            .collect();
        let held: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(held, 2);
        assert_eq!(introductions.held(peer(255), peer(254), NOW, 1).slots, 2);
    }

    #[test]
    fn beyond_the_most_targets_others_are_introduced_and_not_remembered() {
        let introductions = Introductions { targets: AtomicUsize::new(MOST_TARGETS - 1), ..Introductions::default() };
        for n in 0..9 {
            assert!(introductions.hold(peer(n), peer(200), false, NOW, 1));
        }
        assert_eq!(introductions.by_target.len(), 1);
        assert!((0..5).all(|n| introductions.hold(peer(8), peer(n), false, NOW, 1)));
        assert_eq!(
            (0..5).filter(|n| introductions.hold(peer(0), peer(*n), false, NOW, 1)).count(),
            1,
            "but who is, is"
        );
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let introductions = Introductions::default();
        for n in 0..100 {
            let later = NOW + Duration::from_secs(u64::from(n) / 50 * 10);
            assert!(introductions.hold(peer(n), peer(200), false, later, 1));
        }
        assert_eq!(introductions.forget(NOW + Duration::from_secs(14)), 100);
        assert_eq!(introductions.forget(NOW + Duration::from_secs(16)), 50);
        assert_eq!(introductions.forget(NOW + Duration::from_secs(26)), 0);
        assert_eq!(introductions.by_target.len(), 0);
    }
}
