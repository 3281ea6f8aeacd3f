use super::*;
use crate::store::conformance::{self, REMEMBER, START, member};

fn swarm(name: &str) -> SwarmId {
    SwarmId::parse(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_behaves_as_a_store_does() {
    conformance::all(async || {
        let store = std::sync::Arc::new(MemoryStore::new(2000, REMEMBER));
        (store.clone(), store)
    })
    .await;
}

#[tokio::test]
async fn it_says_when_it_is_full() {
    let (store, s) = (MemoryStore::new(2, REMEMBER), swarm("s"));
    for n in 0..2 {
        store.join(&s, member(n), 0, START).await.unwrap();
    }
    assert_eq!(store.join(&s, member(2), 0, START).await, Err(StoreError::Full));
    assert_eq!(store.join(&swarm("other"), member(0), 0, START).await, Err(StoreError::Full));
    let restored = Restored { member: member(2), evidence: None, seen: START };
    assert_eq!(store.restore(&s, &[restored], START).await, Err(StoreError::Full));
    store.join(&s, member(1), 0, START).await.expect("a member can always join again");
    store.leave(&s, member(0).peer, START).await.unwrap();
    store.join(&s, member(2), 0, START).await.expect("after somebody left there is room");
}

#[tokio::test]
async fn a_dead_swarm_leaves_nothing_behind() {
    let (store, s) = (MemoryStore::new(10, REMEMBER), swarm("s"));
    for n in 0..3 {
        store.join(&s, member(n), 0, START).await.unwrap();
    }
    store.leave(&s, member(0).peer, START).await.unwrap();
    store.announce(START + REMEMBER).await.unwrap();
    assert!(!store.state.lock().swarms.is_empty());
    store.announce(START + REMEMBER * 2).await.unwrap();
    let state = store.state.lock();
    assert!(state.swarms.is_empty() && state.members == 0 && state.left == 0);
}

#[tokio::test]
async fn joining_and_leaving_for_ever_does_not_grow() {
    let store = MemoryStore::new(10, REMEMBER);
    for n in 0..100 {
        let s = swarm(&format!("s{n}"));
        store.join(&s, member(1), 0, START).await.unwrap();
        store.leave(&s, member(1).peer, START).await.unwrap();
        store.find(&s, member(1).peer, 0, START).await.unwrap();
    }
    let state = store.state.lock();
    assert_eq!((state.swarms.len(), state.members, state.left), (10, 0, 10));
}

#[tokio::test]
async fn a_swarm_made_anew_is_not_the_old_one() {
    let (store, s) = (MemoryStore::new(10, REMEMBER), swarm("s"));
    store.join(&s, member(1), 0, START).await.unwrap();
    let Pulled::Changed(before) = store.pull(&s, &[], START).await.unwrap().remove(0) else { panic!() };
    let later = START + REMEMBER * 2;
    store.sweep(&s, None, later).await.unwrap();
    let gone = store.pull(&s, &[before.version], later).await.unwrap();
    assert_eq!(gone, [Pulled::Lost(Shard::default())]);
    for _ in 0..3 {
        store.join(&s, member(2), 0, later).await.unwrap();
    }
    let pulled = store.pull(&s, &[before.version], later).await.unwrap();
    assert!(matches!(&pulled[..], [Pulled::Lost(shard)] if shard.members.len() == 1), "{pulled:?}");
}

#[tokio::test]
async fn there_is_room_for_so_many_policies() {
    let store = MemoryStore::new(10, REMEMBER);
    for n in 0..crate::store::MOST_STEERED - 10 {
        let policy = Some((PolicyOverrides::default(), START + Duration::from_secs(100)));
        store.steer(&swarm(&format!("s{n}")), policy, START).await.unwrap();
    }
    conformance::room_for_policies(&store).await;
}
