//! `leave`: the caller is listed no longer.

use tracing::debug;

use super::{CallError, Caller, Signaling};
use crate::{protocol::LeaveRequest, telemetry::EVENTS};

impl Signaling {
    /// Leaves. Idempotent, and open to a session that has expired: nobody is kept in a swarm.
    pub async fn leave(&self, caller: &Caller, request: LeaveRequest) -> Result<(), CallError> {
        if self.ranking.leave(&request.swarm, caller.peer).await {
            debug!(target: EVENTS, peer = %caller.peer, swarm = %request.swarm, "{} left {}", caller.peer.short(), request.swarm);
        }
        Ok(())
    }
}
