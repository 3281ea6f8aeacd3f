//! A client connects: check its token, give it a name and a session.

use std::{net::IpAddr, time::Duration};

use tracing::{debug, warn};

use super::{Caller, Signaling};
use crate::{
    domain::{PeerId, resume, token::TokenError},
    gateway::GatewayError,
    protocol::{ConnectData, ConnectReply, PeerList, Session, VERSION},
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
        let overrides = claims.policy.clone().unwrap_or_default();
        let upload = claims.upload.unwrap_or(true) && overrides.upload.unwrap_or(true);
        let resumed = data.resume.and_then(|token| resume::verify(&self.tickets, &token, now, &claims));
        let session = Session {
            swarms: claims.swarms.clone(),
            exp: claims.exp,
            upload,
            resumed: resumed.is_some(),
            explain: claims.explain,
            policy: overrides,
            address,
        };
        if data.first.as_ref().is_some_and(|first| !session.allows(&first.swarm)) {
            return Err(ConnectError::SwarmNotAllowed);
        }
        let peer = resumed.unwrap_or_else(|| PeerId::random(&mut rand::rng()));
        let caller = Caller { peer, client: client.to_owned(), session };
        self.put_out_other_holders(&caller).await.map_err(|_| ConnectError::Overloaded)?;
        let first = match &data.first {
            None => None,
            Some(first) => {
                let list = self.list(&caller, first).await.map_err(|error| {
                    warn!("A client got no first list: {error}");
                    ConnectError::Overloaded
                })?;
                // That it has not joined yet is no news to it.
                Some(PeerList { joined: None, ..list })
            }
        };
        let reply = ConnectReply {
            v: VERSION,
            peer: caller.peer,
            resume: resume::issue(&self.tickets, caller.peer, now + RESUMABLE_FOR, &claims),
            policy: self.policy(&caller.session, data.first.as_ref().map(|first| &first.swarm)).into(),
            ice_servers: self.ice_servers.clone(),
            first,
        };
        let how = if resumed.is_some() { "came back" } else { "connected" };
        debug!(target: EVENTS, peer = %caller.peer, "{} {how}", caller.peer.short());
        Ok(Admitted { caller, reply })
    }

    /// An inbox never has two listeners: ends every other connection of a peer that was resumed. Called when it connects,
    /// which puts out those that were there, and when it joins, which puts out those that connected at the same moment.
    /// What fails here must fail the call; the client comes back.
    pub(super) async fn put_out_other_holders(&self, caller: &Caller) -> Result<(), GatewayError> {
        if !caller.session.resumed {
            return Ok(());
        }
        self.gateway.disconnect_others(caller.peer, &caller.client).await.inspect_err(|error| {
            warn!("A session was not resumed, since its other connections could not be ended: {error}");
        })
    }
}
