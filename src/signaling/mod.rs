//! The use cases, one file each. No transport, no Redis: requests and replies are plain values.

mod connect;
mod join;
mod leave;
mod lists;
mod metrics;
mod overload;
mod peers;
mod refresh;
mod report;
mod signal;

use std::sync::Arc;

use crate::{
    clock::Clock,
    domain::{PeerId, Policy, SwarmId, mac::MacKeys, token::TokenKeys},
    gateway::Gateway,
    geo::Geo,
    outbox::Outbox,
    protocol::{IceServer, Session},
    ranking::{Ranking, RankingError},
};

pub use connect::{Admitted, ConnectError, Connecting};
pub use metrics::SignalingMetrics;
pub use overload::Overload;
pub use refresh::Refreshed;
pub use signal::{Publication, PublishError, RelayError};

/// Who calls: from the connection, never from a payload.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its peer id.
    pub peer: PeerId,
    /// The gateway's name for its connection.
    pub client: String,
    /// Its session.
    pub session: Session,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The token that the session was opened with has ended.
    #[error("the session's token has expired")]
    SessionExpired,
    /// The token does not allow this swarm.
    #[error("swarm not allowed")]
    SwarmNotAllowed,
    /// The token does not allow to ask for reasons.
    #[error("explain not allowed")]
    ExplainNotAllowed,
    /// More signals than one call may hold.
    #[error("a call holds at most {} signals", crate::protocol::MAX_SIGNALS)]
    TooManySignals,
    /// More receipts than one report may hold.
    #[error("a report holds at most {} receipts", crate::protocol::MAX_RECEIPTS)]
    TooManyReceipts,
    /// The gateway could not end other connections of the same peer.
    #[error("the gateway is away")]
    GatewayAway,
    /// The ranking could not.
    #[error(transparent)]
    Ranking(#[from] RankingError),
}

/// The use cases with what they need.
pub struct Signaling {
    /// Who is where, and how good.
    pub ranking: Arc<Ranking>,
    /// Where they are.
    pub geo: Arc<Geo>,
    /// What leaves us.
    pub outbox: Outbox,
    /// Clients' connections.
    pub gateway: Arc<dyn Gateway>,
    /// Keys of access tokens.
    pub tokens: TokenKeys,
    /// Keys of tickets and resume tokens.
    pub tickets: MacKeys,
    /// How long a ticket lasts.
    pub ticket_ttl: std::time::Duration,
    /// STUN and TURN servers for clients.
    pub ice_servers: Vec<IceServer>,
    /// What time it is.
    pub clock: Clock,
    /// Whether clients had better ask less often.
    pub overload: Arc<Overload>,
    /// What operators see.
    pub metrics: SignalingMetrics,
}

impl Signaling {
    /// A session's policy now, in a swarm: what is usual, changed by the token, then by the operator, then by how much there
    /// is to do.
    fn policy(&self, session: &Session, swarm: Option<&SwarmId>) -> Policy {
        let policy = session.policy();
        let policy = match swarm.and_then(|swarm| self.ranking.policy(swarm)) {
            Some(overrides) => policy.steered(&overrides),
            None => policy,
        };
        policy.stretched(self.overload.factor())
    }

    /// The policy of a swarm, whoever is in it.
    fn policy_of(&self, swarm: &SwarmId) -> Policy {
        self.ranking.policy(swarm).map_or_else(Policy::default, |overrides| Policy::default().steered(&overrides))
    }

    /// Whether the operator has turned uploading off in a swarm.
    fn is_off(&self, swarm: &SwarmId) -> bool {
        self.ranking.policy(swarm).is_some_and(|overrides| overrides.upload == Some(false))
    }

    /// What every call in a swarm must pass.
    fn admit(&self, caller: &Caller, swarm: &SwarmId) -> Result<(), CallError> {
        if caller.session.expired(self.clock.now()) {
            return Err(CallError::SessionExpired);
        }
        if !caller.session.allows(swarm) {
            return Err(CallError::SwarmNotAllowed);
        }
        Ok(())
    }
}
