//! What every store must do: one suite, run against each of them.

use std::{collections::HashSet, time::Duration};

use super::{LISTED_FOR, MAX_SWARMS, REMEMBERED_FOR, Store, StoreError, Totals};
use crate::domain::{Member, Nat, PeerId, SwarmId, Timestamp};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A member by number.
pub fn member(n: u8) -> Member {
    Member {
        peer: PeerId::from_bytes([n; 16]),
        upload: true,
        nat: Nat::Unknown,
        slots: None,
        playhead: None,
        bitrate_kbps: None,
        address: None,
        joined: START,
    }
}

fn swarm(name: &str) -> SwarmId {
    SwarmId::parse(name).unwrap()
}

async fn listed(store: &dyn Store, name: &str, now: Timestamp) -> HashSet<PeerId> {
    store.find(&swarm(name), 100, now).await.unwrap().candidates.into_iter().map(|m| m.peer).collect()
}

/// Runs the suite; `make` gives an empty store each time.
pub async fn all<S: Store + 'static>(make: impl Fn() -> S) {
    a_join_is_seen_by_itself_and_by_others(&make()).await;
    only_who_uploads_is_offered(&make()).await;
    a_sample_is_as_large_as_asked_and_has_no_doubles(&make()).await;
    who_leaves_is_gone_until_it_comes_back(&make()).await;
    silence_unlists_and_then_forgets(&make()).await;
    a_fifth_swarm_is_refused(&make()).await;
    a_second_join_keeps_the_first_ones_time(&make()).await;
    of_two_that_join_at_once_one_finds_the_other(make).await;
}

async fn a_join_is_seen_by_itself_and_by_others(store: &dyn Store) {
    let first = store.join(&swarm("s"), member(1), 8, START).await.unwrap();
    assert_eq!((first.swarm_size, first.candidates), (1, vec![member(1)]));
    let second = store.join(&swarm("s"), member(2), 8, START).await.unwrap();
    assert_eq!((second.swarm_size, second.candidates.len()), (2, 2));
    assert_eq!(listed(store, "other", START).await, HashSet::new());
    assert_eq!(store.totals().await.unwrap(), Totals { swarms: 1, live: 2, members: 2 });
    let view = store.describe(&swarm("s"), 1, START).await.unwrap().unwrap();
    assert_eq!((view.size, view.offered, view.members.len()), (2, 2, 1));
    assert_eq!(store.describe(&swarm("other"), 1, START).await.unwrap(), None);
}

async fn only_who_uploads_is_offered(store: &dyn Store) {
    store.join(&swarm("s"), Member { upload: false, ..member(1) }, 8, START).await.unwrap();
    let found = store.join(&swarm("s"), member(2), 8, START).await.unwrap();
    assert_eq!((found.swarm_size, found.candidates), (2, vec![member(2)]));
    store.join(&swarm("s"), Member { upload: false, ..member(2) }, 8, START).await.unwrap();
    assert_eq!(listed(store, "s", START).await, HashSet::new());
    // Neither does a sign of life change what it said.
    store.touch(&swarm("s"), member(2).peer, START + Duration::from_secs(1)).await.unwrap();
    assert_eq!(listed(store, "s", START).await, HashSet::new());
}

async fn a_sample_is_as_large_as_asked_and_has_no_doubles(store: &dyn Store) {
    for n in 0..30 {
        store.join(&swarm("s"), member(n), 0, START).await.unwrap();
    }
    for sample in [0, 1, 7, 30, 31] {
        let found = store.find(&swarm("s"), sample, START).await.unwrap();
        let distinct: HashSet<_> = found.candidates.iter().map(|m| m.peer).collect();
        assert_eq!((found.candidates.len(), distinct.len()), (sample.min(30), sample.min(30)));
        assert_eq!(found.swarm_size, 30);
    }
}

async fn who_leaves_is_gone_until_it_comes_back(store: &dyn Store) {
    let (s, peer) = (swarm("s"), member(1).peer);
    assert!(!store.leave(&s, peer, START).await.unwrap());
    assert!(!store.is_gone(&s, peer), "who was never there is not known to be gone");
    store.join(&s, member(1), 0, START).await.unwrap();
    store.join(&s, member(2), 0, START).await.unwrap();
    assert!(store.leave(&s, peer, START).await.unwrap());
    assert!(!store.leave(&s, peer, START).await.unwrap());
    assert!(store.is_gone(&s, peer) && !store.is_gone(&s, member(2).peer));
    assert!(!store.is_gone(&swarm("other"), peer));
    assert!(!listed(store, "s", START).await.contains(&peer));
    assert!(!store.touch(&s, peer, START).await.unwrap());
    store.join(&s, member(1), 0, START).await.unwrap();
    assert!(!store.is_gone(&s, peer));
    assert!(listed(store, "s", START).await.contains(&peer));
    store.leave(&s, peer, START).await.unwrap();
    store.sweep(START + REMEMBERED_FOR * 2).await.unwrap();
    assert!(!store.is_gone(&s, peer), "the fact is forgotten in time");
}

async fn silence_unlists_and_then_forgets(store: &dyn Store) {
    let s = swarm("s");
    let later = START + Duration::from_secs(20);
    store.join(&s, member(1), 0, START).await.unwrap();
    store.join(&s, member(2), 0, START).await.unwrap();
    assert!(store.touch(&s, member(2).peer, later).await.unwrap());
    store.touch(&s, member(2).peer, START).await.unwrap();
    assert_eq!(listed(store, "s", START + LISTED_FOR).await.len(), 2);
    let silent = START + LISTED_FOR + Duration::from_millis(1);
    assert_eq!(
        listed(store, "s", silent).await,
        HashSet::from([member(2).peer]),
        "an older sign of life took time back"
    );
    assert_eq!(store.find(&s, 0, silent).await.unwrap().swarm_size, 1);
    assert!(store.touch(&s, member(1).peer, silent).await.unwrap(), "a silent member is still one");
    assert_eq!(listed(store, "s", silent).await.len(), 2);

    let swept = store.sweep(silent + LISTED_FOR * 2).await.unwrap();
    let unlisted: HashSet<_> = swept.unlisted.into_iter().collect();
    assert_eq!(unlisted, HashSet::from([(s.clone(), member(1).peer), (s.clone(), member(2).peer)]));
    assert_eq!(swept.forgotten, 0);
    assert_eq!(store.sweep(silent + LISTED_FOR * 2).await.unwrap(), super::Swept::default(), "twice is harmless");
    assert_eq!(store.totals().await.unwrap(), Totals { swarms: 1, live: 0, members: 2 });

    assert_eq!(store.sweep(silent + REMEMBERED_FOR * 2).await.unwrap().forgotten, 2);
    assert!(!store.touch(&s, member(1).peer, silent + REMEMBERED_FOR * 2).await.unwrap());
    assert_eq!(store.totals().await.unwrap(), Totals::default());
}

async fn a_fifth_swarm_is_refused(store: &dyn Store) {
    for n in 0..MAX_SWARMS {
        store.join(&swarm(&format!("s{n}")), member(1), 0, START).await.unwrap();
    }
    let refused = store.join(&swarm("fifth"), member(1), 0, START).await;
    assert_eq!(refused, Err(StoreError::TooManySwarms));
    store.join(&swarm("s0"), member(1), 0, START).await.expect("a swarm it is in already");
    store.leave(&swarm("s0"), member(1).peer, START).await.unwrap();
    store.join(&swarm("fifth"), member(1), 0, START).await.expect("after leaving one there is room");
}

async fn a_second_join_keeps_the_first_ones_time(store: &dyn Store) {
    let later = START + Duration::from_secs(30);
    store.join(&swarm("s"), member(1), 0, START).await.unwrap();
    let again = Member { joined: later, nat: Nat::Eim, ..member(1) };
    let found = store.join(&swarm("s"), again.clone(), 1, later).await.unwrap();
    assert_eq!((found.swarm_size, found.candidates), (1, vec![Member { joined: START, ..again }]));
}

async fn of_two_that_join_at_once_one_finds_the_other<S: Store + 'static>(make: impl Fn() -> S) {
    for _ in 0..50 {
        let store = std::sync::Arc::new(make());
        let join = |n| {
            let store = store.clone();
            tokio::spawn(async move { store.join(&swarm("s"), member(n), 8, START).await.unwrap().candidates.len() })
        };
        let (first, second) = (join(1), join(2));
        assert!(first.await.unwrap().max(second.await.unwrap()) == 2);
    }
}
