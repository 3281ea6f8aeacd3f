//! Who was introduced to whom through this node a moment ago, over all swarms: no lock over all peers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;

use super::Ranking;
use crate::domain::{
    PeerId, Timestamp,
    introductions::{Held, Introduced},
};

/// Most peers that are remembered: 500 bytes each. Beyond it, introductions of others are not held back.
const MOST_PEERS: usize = 1_000_000;
/// Peers are locked with one in so many others: each list looks at a dozen peers, and changes some.
const PARTS: usize = 256;

/// The introductions of the last half minute, each with both peers.
pub struct Introductions {
    by_peer: DashMap<PeerId, Introduced, ahash::RandomState>,
    peers: AtomicUsize,
}

impl Default for Introductions {
    fn default() -> Self {
        let by_peer = DashMap::with_hasher_and_shard_amount(ahash::RandomState::default(), PARTS);
        Self { by_peer, peers: AtomicUsize::new(0) }
    }
}

impl Introductions {
    /// How things stand with `target`, whose own word is of `said`, for `caller`.
    pub fn held(&self, target: PeerId, caller: PeerId, said: Timestamp, now: Timestamp, nodes: usize) -> Held {
        self.by_peer.get(&target).map(|introduced| introduced.held(caller, said, now, nodes)).unwrap_or_default()
    }

    /// Introduces `target` to `caller`; says whether it may be. A slot of each is reserved.
    pub fn hold(&self, target: PeerId, caller: PeerId, insist: bool, now: Timestamp, nodes: usize) -> bool {
        let is_held = self.with(target, |introduced| introduced.hold(caller, insist, now, nodes)).unwrap_or(true);
        if is_held {
            self.with(caller, |introduced| introduced.given(target, now));
        }
        is_held
    }

    /// Changes what is remembered of a peer; `None` where there is no room for it.
    fn with<T>(&self, peer: PeerId, change: impl FnOnce(&mut Introduced) -> T) -> Option<T> {
        if let Some(mut introduced) = self.by_peer.get_mut(&peer) {
            return Some(change(&mut introduced));
        }
        if self.peers.load(Relaxed) >= MOST_PEERS {
            return None;
        }
        let entry = self.by_peer.entry(peer);
        if matches!(entry, dashmap::Entry::Vacant(_)) {
            self.peers.fetch_add(1, Relaxed);
        }
        Some(change(&mut entry.or_default()))
    }

    /// Who left holds no slots.
    pub fn left(&self, peer: PeerId) {
        let Some((_, introduced)) = self.by_peer.remove(&peer) else { return };
        self.peers.fetch_sub(1, Relaxed);
        for other in introduced.others() {
            if let Some(mut of_other) = self.by_peer.get_mut(&other) {
                of_other.left(peer);
            }
        }
    }

    /// Forgets what is over; returns how many peers are left.
    pub fn forget(&self, now: Timestamp) -> usize {
        self.by_peer.retain(|_, introduced| {
            let stays = !introduced.is_over(now);
            if !stays {
                self.peers.fetch_sub(1, Relaxed);
            }
            stays
        });
        self.peers.load(Relaxed)
    }
}

impl Ranking {
    /// What is reserved of `target`, whose own word is of `said`, for others than `caller`.
    pub fn held(&self, target: PeerId, caller: PeerId, said: Timestamp) -> Held {
        self.introductions.held(target, caller, said, self.clock.now(), self.live_nodes())
    }

    /// Introduces `target` to `caller`: a slot of each is reserved for a moment. Says whether it may be introduced now;
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
        assert_eq!(introductions.held(peer(255), peer(254), NOW, NOW, 1).slots, 2);
    }

    #[test]
    fn beyond_the_most_peers_others_are_introduced_and_not_remembered() {
        let introductions = Introductions { peers: AtomicUsize::new(MOST_PEERS - 1), ..Introductions::default() };
        for n in 0..9 {
            assert!(introductions.hold(peer(n), peer(200), false, NOW, 1));
        }
        assert_eq!(introductions.by_peer.len(), 1);
        assert!((0..5).all(|n| introductions.hold(peer(8), peer(n), false, NOW, 1)));
        let known = (0..5).filter(|n| introductions.hold(peer(0), peer(*n), false, NOW, 1)).count();
        assert_eq!(known, 1, "but who is, is");
    }

    #[test]
    fn who_left_holds_no_slots() {
        let introductions = Introductions::default();
        assert!(
            introductions.hold(peer(1), peer(2), false, NOW, 1) && introductions.hold(peer(2), peer(3), false, NOW, 1)
        );
        let here = |target| introductions.held(peer(target), peer(9), NOW, NOW, 1).here;
        assert_eq!([here(1), here(2), here(3)], [1, 2, 1]);
        introductions.left(peer(2));
        introductions.left(peer(2));
        assert_eq!([here(1), here(2), here(3)], [0, 0, 0]);
        assert_eq!(introductions.forget(NOW + Duration::from_secs(31)), 0);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let introductions = Introductions::default();
        for n in 0..100 {
            let later = NOW + Duration::from_secs(u64::from(n) / 50 * 10);
            assert!(introductions.hold(peer(n), peer(200), false, later, 1));
        }
        assert_eq!(introductions.forget(NOW + Duration::from_secs(29)), 101);
        assert_eq!(introductions.forget(NOW + Duration::from_secs(31)), 51);
        assert_eq!(introductions.forget(NOW + Duration::from_secs(41)), 0);
        assert_eq!(introductions.by_peer.len(), 0);
    }
}
