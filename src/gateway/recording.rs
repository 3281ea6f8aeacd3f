//! A fake gateway that records what it is given, and refuses or hangs when told to: what cannot be provoked with a real
//! one.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

use super::{Delivery, Gateway, GatewayError, Published};
use crate::domain::PeerId;

/// Records every batch it published.
pub struct RecordingGateway {
    batches: Mutex<Vec<Vec<Delivery>>>,
    // Whose deliveries are refused, with which code, how often.
    refused: Mutex<Vec<(PeerId, u32, usize)>>,
    down: Mutex<bool>,
    // How many calls fail before the next works.
    failures: Mutex<usize>,
    // One permit per call that may go through.
    gate: Semaphore,
}

impl Default for RecordingGateway {
    fn default() -> Self {
        Self {
            batches: Mutex::default(),
            refused: Mutex::default(),
            down: Mutex::default(),
            failures: Mutex::default(),
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

    /// Lets no more calls through.
    pub fn hang(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Refuses the next `times` deliveries to `peer` with `code`, and only those.
    pub fn refuse(&self, peer: PeerId, code: u32, times: usize) {
        self.refused.lock().push((peer, code, times));
    }

    /// Fails the next `n` calls.
    pub fn fail(&self, n: usize) {
        *self.failures.lock() = n;
    }

    /// Is down, and known to be.
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
    async fn publish(&self, deliveries: &[Delivery], within: Duration) -> Result<Published, GatewayError> {
        if !self.is_up() {
            return Err(GatewayError::Down);
        }
        let late = |_| GatewayError::Late { elsewhere: false };
        timeout(within, self.gate.acquire()).await.map_err(late)?.expect("the gate is never closed for good").forget();
        {
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return Err(GatewayError::Unreachable("connection reset".into()));
            }
        }
        let mut refused = self.refused.lock();
        let mut published = Vec::new();
        let verdict = |delivery: &Delivery| {
            let rule = refused.iter_mut().find(|(peer, _, times)| *peer == delivery.to && *times > 0);
            if let Some((_, code, times)) = rule {
                *times -= 1;
                return Err(GatewayError::Refused { code: *code, message: "refused".into() });
            }
            published.push(delivery.clone());
            Ok(())
        };
        let verdicts = deliveries.iter().map(verdict).collect();
        self.batches.lock().push(published);
        Ok(verdicts)
    }

    async fn disconnect_others(&self, _: PeerId, _: &str) -> Result<(), GatewayError> {
        Ok(())
    }

    fn is_up(&self) -> bool {
        !*self.down.lock()
    }

    fn missing(&self) -> Option<String> {
        None
    }
}
