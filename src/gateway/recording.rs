//! A fake gateway that records what it is given, and refuses or hangs when told to: what cannot be provoked with a real
//! one.

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Delivery, Gateway, GatewayError};
use crate::domain::PeerId;

/// Records every batch it published.
pub struct RecordingGateway {
    batches: Mutex<Vec<Vec<Delivery>>>,
    refused: Mutex<Vec<PeerId>>,
    down: Mutex<bool>,
    // One permit per call that may go through.
    gate: Semaphore,
}

impl Default for RecordingGateway {
    fn default() -> Self {
        Self {
            batches: Mutex::default(),
            refused: Mutex::default(),
            down: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl RecordingGateway {
    /// One whose calls wait until [`Self::let_through`].
    pub fn closed() -> Self {
        Self { gate: Semaphore::new(0), ..Self::default() }
    }

    /// Lets `n` calls through.
    pub fn let_through(&self, n: usize) {
        self.gate.add_permits(n);
    }

    /// Refuses deliveries to `peer`, and only those.
    pub fn refuse(&self, peer: PeerId) {
        self.refused.lock().push(peer);
    }

    /// Fails every call.
    pub fn go_down(&self) {
        *self.down.lock() = true;
    }

    /// What was published, batch by batch.
    pub fn batches(&self) -> Vec<Vec<Delivery>> {
        self.batches.lock().clone()
    }
}

#[async_trait]
impl Gateway for RecordingGateway {
    async fn publish(&self, deliveries: &[Delivery]) -> Result<Vec<Result<(), GatewayError>>, GatewayError> {
        self.gate.acquire().await.expect("the gate is never closed for good").forget();
        if *self.down.lock() {
            return Err(GatewayError::Unreachable("down".into()));
        }
        let refused = self.refused.lock().clone();
        let (bad, good): (Vec<_>, Vec<_>) = deliveries.iter().cloned().partition(|d| refused.contains(&d.to));
        drop(bad);
        self.batches.lock().push(good);
        let refusal = || GatewayError::Refused { code: 100, message: "internal".into() };
        Ok(deliveries.iter().map(|d| if refused.contains(&d.to) { Err(refusal()) } else { Ok(()) }).collect())
    }

    async fn disconnect_others(&self, _: PeerId, _: &str) -> Result<(), GatewayError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), GatewayError> {
        Ok(())
    }
}
