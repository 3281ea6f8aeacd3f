//! A client connects: check its token, give it a name and a session.

use std::{net::IpAddr, time::Duration};

use tracing::{debug, warn};

use super::{Caller, Signaling};
use crate::{
    domain::{PeerId, Policy, resume, token::TokenError},
    protocol::{ConnectData, ConnectReply, Session, VERSION},
    telemetry::EVENTS,
};

/// How long a peer id can be kept over reconnects, counted from the last connect.
const RESUMABLE_FOR: Duration = Duration::from_hours(24);

/// Why a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token does not allow the swarm of `first`.
    #[error("swarm not allowed")]
    SwarmNotAllowed,
    /// We cannot do it now.
    #[error("overloaded")]
    Overloaded,
}

/// A client that wants to connect.
#[derive(Debug)]
pub struct Connecting<'a> {
    /// The gateway's name for the connection.
    pub client: &'a str,
    /// Its public address, where the gateway passes it on.
    pub address: Option<IpAddr>,
    /// What it says.
    pub data: ConnectData,
}

/// A client that was let in.
#[derive(Debug)]
pub struct Admitted {
    /// Its name, and its session for the connection to keep.
    pub caller: Caller,
    /// What it gets.
    pub reply: ConnectReply,
}

impl Signaling {
    /// Lets a client in, or says why not.
    pub async fn connect(&self, connecting: Connecting<'_>) -> Result<Admitted, ConnectError> {
        let Connecting { client, address, data } = connecting;
        let now = self.clock.now();
        let claims = self.tokens.verify(&data.token, now)?;
        let mut policy = Policy::default().with(&claims.policy.clone().unwrap_or_default());
        policy.upload &= claims.upload.unwrap_or(true);
        let session = Session {
            swarms: claims.swarms.clone(),
            exp: claims.exp,
            upload: policy.upload,
            want: policy.want,
            address,
        };
        if data.first.as_ref().is_some_and(|first| !session.allows(&first.swarm)) {
            return Err(ConnectError::SwarmNotAllowed);
        }
        let resumed = data.resume.and_then(|token| resume::verify(&self.tickets, &token, now, &claims));
        if let Some(peer) = resumed {
            // An inbox never has two listeners. If that cannot be had now, the client comes back.
            self.gateway.disconnect_others(peer, client).await.map_err(|error| {
                warn!("A session was not resumed, since its other connections could not be ended: {error}");
                ConnectError::Overloaded
            })?;
        }
        let caller = Caller { peer: resumed.unwrap_or_else(|| PeerId::random(&mut rand::rng())), session };
        let first = match &data.first {
            None => None,
            Some(first) => Some(self.list(&caller, first).await.map_err(|error| {
                warn!("A client got no first list: {error}");
                ConnectError::Overloaded
            })?),
        };
        let reply = ConnectReply {
            v: VERSION,
            peer: caller.peer,
            resume: resume::issue(&self.tickets, caller.peer, now + RESUMABLE_FOR, &claims),
            policy,
            ice_servers: self.ice_servers.clone(),
            first,
        };
        let how = if resumed.is_some() { "came back" } else { "connected" };
        debug!(target: EVENTS, peer = %caller.peer, "{} {how}", caller.peer.short());
        Ok(Admitted { caller, reply })
    }
}
