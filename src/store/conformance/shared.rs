//! What all nodes add to, and all read.

use super::{Pair, REMEMBER, START, after, member, swarm};
use crate::domain::Totals;

pub async fn all(new: &impl AsyncFn() -> Pair) {
    what_is_accounted_adds_up(new().await).await;
}

async fn what_is_accounted_adds_up(pair: Pair) {
    let pair = pair.joined([1]).await;
    assert_eq!(pair.other.totals(&pair.s).await.unwrap(), Totals::default());
    let new = Totals { p2p_bytes: 1 << 40, http_bytes: 2, up_bytes: 3, rebuffers: 4, connects: 5, connect_ms: 6 };
    let adding = |store: &std::sync::Arc<dyn crate::store::Store>| {
        let (store, s) = (store.clone(), pair.s.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                store.account(&s, new, after(1)).await.unwrap();
            }
        })
    };
    let (one, other) = (adding(&pair.one), adding(&pair.other));
    one.await.unwrap();
    other.await.unwrap();
    pair.one.account(&pair.s, Totals { rebuffers: 1, ..Totals::default() }, after(1)).await.unwrap();
    let sum =
        Totals { p2p_bytes: 20 << 40, http_bytes: 40, up_bytes: 60, rebuffers: 81, connects: 100, connect_ms: 120 };
    assert_eq!(pair.other.totals(&pair.s).await.unwrap(), sum);
    assert_eq!(pair.other.totals(&swarm("other")).await.unwrap(), Totals::default());
    // Who leaves takes nothing along.
    pair.leave(1, after(2)).await;
    assert_eq!(pair.one.totals(&pair.s).await.unwrap(), sum);
    pair.one.join(&pair.s, member(2), 0, after(3)).await.unwrap();
    pair.one.sweep(&pair.s, None, START + REMEMBER).await.unwrap();
    assert_eq!(pair.other.totals(&pair.s).await.unwrap(), sum);
}
