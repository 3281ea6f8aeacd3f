//! Memberships in this process's memory: the store of a single node.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{Found, Gone, Judged, Known, Pulled, Restored, Store, StoreError, Swept};
use crate::domain::{Member, PeerId, SwarmId, Timestamp};

/// One lock over everything: each call holds it for microseconds, and never across an await.
pub struct MemoryStore {
    max_members: usize,
    remember: std::time::Duration,
}

impl MemoryStore {
    /// A store with room for `max_members` memberships, each forgotten after `remember` without a sign of life.
    pub fn new(max_members: usize, remember: std::time::Duration) -> Self {
        Self { max_members, remember }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn join(&self, _: &SwarmId, _: Member, _: usize, _: Timestamp) -> Result<Found, StoreError> {
        let _ = (self.max_members, self.remember);
        unimplemented!()
    }
    async fn find(&self, _: &SwarmId, _: PeerId, _: usize, _: Timestamp) -> Result<Found, StoreError> {
        unimplemented!()
    }
    async fn touch(&self, _: &SwarmId, _: &[(PeerId, Timestamp)], _: Timestamp) -> Result<Vec<PeerId>, StoreError> {
        unimplemented!()
    }
    async fn leave(&self, _: &SwarmId, _: PeerId, _: Timestamp) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn restore(&self, _: &SwarmId, _: &[Restored], _: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn known(&self, _: &SwarmId, _: &[PeerId]) -> Result<Vec<Option<Known>>, StoreError> {
        unimplemented!()
    }
    async fn judge(&self, _: &SwarmId, _: &[Judged], _: Timestamp) -> Result<Vec<PeerId>, StoreError> {
        unimplemented!()
    }
    async fn pull(&self, _: &SwarmId, _: &[u64], _: Timestamp) -> Result<Vec<Pulled>, StoreError> {
        unimplemented!()
    }
    async fn sweep(&self, _: &SwarmId, _: Option<Timestamp>, _: Timestamp) -> Result<Swept, StoreError> {
        unimplemented!()
    }
    async fn tell(&self, _: &[Gone]) -> Result<(), StoreError> {
        unimplemented!()
    }
    fn hear(&self) -> broadcast::Receiver<Gone> {
        unimplemented!()
    }
    async fn announce(&self, _: Timestamp) -> Result<usize, StoreError> {
        unimplemented!()
    }
    fn missing(&self) -> Option<String> {
        None
    }
}
