//! `peers`: more peers of a swarm. Also a sign of life.

use super::{CallError, Caller, Signaling};
use crate::protocol::{PeerList, PeersRequest};

impl Signaling {
    /// Lists peers to a caller that need not have joined yet.
    pub async fn peers(&self, caller: &Caller, request: PeersRequest) -> Result<PeerList, CallError> {
        self.admit(caller, &request.swarm)?;
        if request.explain && !caller.session.explain {
            return Err(CallError::ExplainNotAllowed);
        }
        self.list(caller, &request).await.map_err(Into::into)
    }
}
