//! A fake for tests: a store that can be switched away, or exchanged for an empty one, and that counts its calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{Found, Gone, Judged, Known, MemoryStore, Pulled, Restored, Steered, Store, StoreError, Swept};
use crate::domain::{Member, Outcomes, Pair, PeerId, PolicyOverrides, SwarmId, Timestamp, Totals};

/// In front of a [`MemoryStore`].
pub struct SwitchedStore {
    inner: Mutex<Arc<MemoryStore>>,
    away: AtomicBool,
    hanging: AtomicBool,
    no_accounts: AtomicBool,
    no_learning: AtomicBool,
    late: Mutex<Duration>,
    calls: AtomicUsize,
    hints: broadcast::Sender<Gone>,
}

impl SwitchedStore {
    /// In front of this store; it is there.
    pub fn new(inner: MemoryStore) -> Arc<Self> {
        let (hints, _) = broadcast::channel(1024);
        let inner = Mutex::new(Arc::new(inner));
        let [away, hanging, no_accounts, no_learning] = [(); 4].map(|()| AtomicBool::new(false));
        Arc::new(Self {
            inner,
            away,
            hanging,
            no_accounts,
            no_learning,
            late: Mutex::default(),
            calls: AtomicUsize::new(0),
            hints,
        })
    }

    /// Makes it fail every call, or none.
    pub fn switch_away(&self, away: bool) {
        self.away.store(away, Relaxed);
    }

    /// Makes it fail every call a second later, as one that hangs does, or none.
    pub fn switch_hanging(&self, hanging: bool) {
        self.hanging.store(hanging, Relaxed);
    }

    /// Makes it fail to add to totals, or not.
    pub fn fail_accounts(&self, fail: bool) {
        self.no_accounts.store(fail, Relaxed);
    }

    /// Makes it fail to learn, or not.
    pub fn fail_learning(&self, fail: bool) {
        self.no_learning.store(fail, Relaxed);
    }

    /// Makes it answer so long after it has read policies.
    pub fn answer_late(&self, by: Duration) {
        *self.late.lock() = by;
    }

    /// Makes it forget everything.
    pub fn exchange(&self, inner: MemoryStore) {
        *self.inner.lock() = Arc::new(inner);
    }

    /// How often it was called since this was last asked.
    pub fn calls(&self) -> usize {
        self.calls.swap(0, Relaxed)
    }

    async fn inner(&self) -> Result<Arc<MemoryStore>, StoreError> {
        self.calls.fetch_add(1, Relaxed);
        // As over a network: others come between.
        tokio::task::yield_now().await;
        if self.hanging.load(Relaxed) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Err(StoreError::Away("hanging".to_owned()));
        }
        if self.away.load(Relaxed) {
            return Err(StoreError::Away("switched".to_owned()));
        }
        Ok(self.inner.lock().clone())
    }
}

#[async_trait]
impl Store for SwitchedStore {
    async fn join(&self, swarm: &SwarmId, member: Member, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        self.inner().await?.join(swarm, member, sample, now).await
    }

    async fn find(&self, swarm: &SwarmId, caller: PeerId, sample: usize, now: Timestamp) -> Result<Found, StoreError> {
        self.inner().await?.find(swarm, caller, sample, now).await
    }

    async fn touch(
        &self,
        swarm: &SwarmId,
        seen: &[(PeerId, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<PeerId>, StoreError> {
        self.inner().await?.touch(swarm, seen, now).await
    }

    async fn leave(&self, swarm: &SwarmId, peer: PeerId, now: Timestamp) -> Result<bool, StoreError> {
        self.inner().await?.leave(swarm, peer, now).await
    }

    async fn restore(&self, swarm: &SwarmId, members: &[Restored], now: Timestamp) -> Result<(), StoreError> {
        self.inner().await?.restore(swarm, members, now).await
    }

    async fn known(&self, swarm: &SwarmId, peers: &[PeerId]) -> Result<Vec<Option<Known>>, StoreError> {
        self.inner().await?.known(swarm, peers).await
    }

    async fn judge(&self, swarm: &SwarmId, judged: &[Judged], now: Timestamp) -> Result<Vec<PeerId>, StoreError> {
        self.inner().await?.judge(swarm, judged, now).await
    }

    async fn pull(&self, swarm: &SwarmId, known: &[u64], now: Timestamp) -> Result<Vec<Pulled>, StoreError> {
        self.inner().await?.pull(swarm, known, now).await
    }

    async fn sweep(&self, swarm: &SwarmId, since: Option<Timestamp>, now: Timestamp) -> Result<Swept, StoreError> {
        self.inner().await?.sweep(swarm, since, now).await
    }

    async fn account(&self, swarm: &SwarmId, new: Totals, now: Timestamp) -> Result<(), StoreError> {
        if self.no_accounts.load(Relaxed) {
            return Err(StoreError::Away("switched".to_owned()));
        }
        self.inner().await?.account(swarm, new, now).await
    }

    async fn totals(&self, swarm: &SwarmId) -> Result<Totals, StoreError> {
        self.inner().await?.totals(swarm).await
    }

    async fn learn(&self, counted: &[(Pair, Outcomes)], now: Timestamp) -> Result<(), StoreError> {
        if self.no_learning.load(Relaxed) {
            return Err(StoreError::Away("switched".to_owned()));
        }
        self.inner().await?.learn(counted, now).await
    }

    async fn learned(&self, now: Timestamp) -> Result<Vec<(Pair, Outcomes)>, StoreError> {
        self.inner().await?.learned(now).await
    }

    async fn steer(
        &self,
        swarm: &SwarmId,
        policy: Option<(PolicyOverrides, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner().await?.steer(swarm, policy, now).await
    }

    async fn steered(&self, now: Timestamp) -> Result<Vec<Steered>, StoreError> {
        let read = self.inner().await?.steered(now).await;
        let late = *self.late.lock();
        tokio::time::sleep(late).await;
        read
    }

    async fn tell(&self, gone: &[Gone]) -> Result<(), StoreError> {
        self.inner().await?;
        for gone in gone {
            let _ = self.hints.send(gone.clone());
        }
        Ok(())
    }

    fn hear(&self) -> broadcast::Receiver<Gone> {
        self.hints.subscribe()
    }

    async fn announce(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.inner().await?.announce(now).await
    }

    fn missing(&self) -> Option<String> {
        self.away.load(Relaxed).then(|| "switched".to_owned())
    }
}
