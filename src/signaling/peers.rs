//! `peers`: more peers of a swarm. Also a sign of life.

use super::{CallError, Caller, Signaling};
use crate::protocol::{PeerList, PeersRequest};

impl Signaling {
    /// Lists peers to a caller that need not have joined yet.
    pub async fn peers(&self, caller: &Caller, request: PeersRequest) -> Result<PeerList, CallError> {
        self.admit(caller, &request.swarm)?;
        let joined = self.store.touch(&request.swarm, caller.peer, self.clock.now()).await?;
        let list = self.list(caller, &request).await?;
        // A memory store that was started anew has forgotten everybody; this is how its members learn of it.
        Ok(PeerList { joined: (!joined).then_some(false), ..list })
    }
}
