//! `signal`: one peer sends others an offer, an answer, candidates or a bye. Each signal is judged by itself. And the
//! same for a single one that the gateway publishes itself.

use std::time::Instant;

use tracing::debug;

use super::{CallError, Caller, Signaling};
use crate::{
    domain::{
        Kind, PeerId, SwarmId,
        signal::BadSignal,
        ticket::{Permit, TicketError},
    },
    outbox::{NotPublished, Receipt},
    protocol::{Addressed, Delivered, MAX_SIGNALS, MalformedSignal, SignalRequest, push_delivery},
    telemetry::EVENTS,
};

/// Why one signal was not passed on.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(MalformedSignal),
    /// It breaks a limit or the grammar.
    #[error(transparent)]
    Bad(BadSignal),
    /// Its ticket does not permit it.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Its receiver has left.
    #[error("the peer has left the swarm")]
    Gone,
    /// It could not be published.
    #[error(transparent)]
    NotPublished(#[from] NotPublished),
}

impl From<MalformedSignal> for RelayError {
    fn from(error: MalformedSignal) -> Self {
        match error {
            MalformedSignal::Bad(bad) => Self::Bad(bad),
            error => Self::Malformed(error),
        }
    }
}

/// Why a signal was not passed on by publishing.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Its sender may not.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It is not good.
    #[error(transparent)]
    Relay(#[from] RelayError),
}

/// What the gateway is to publish in place of what it was given.
#[derive(Debug)]
pub struct Publication {
    /// As JSON text.
    pub data: String,
    /// Whether a client that is away for a moment should find it when it comes back.
    pub history: bool,
}

struct Relayed {
    kind: Kind,
    to: PeerId,
    receipt: Receipt,
}

impl Signaling {
    /// Relays the signals of one call; returns, in order, what became of each, once the gateway has accepted all that
    /// go out at once.
    pub async fn signal(
        &self,
        caller: &Caller,
        request: SignalRequest,
    ) -> Result<Vec<Result<(), RelayError>>, CallError> {
        let SignalRequest { swarm, signals } = request;
        self.admit(caller, &swarm)?;
        if signals.len() > MAX_SIGNALS {
            return Err(CallError::TooManySignals);
        }
        let accepted = Instant::now();
        self.ranking.heard(&swarm, caller.peer);
        let relayed: Vec<_> = signals.into_iter().map(|signal| self.relay(caller.peer, &swarm, &signal?)).collect();
        let mut results = Vec::with_capacity(relayed.len());
        for relayed in relayed {
            let result = match relayed {
                Ok(relayed) => self.settle(caller.peer, relayed, accepted).await,
                Err(error) => Err(error),
            };
            self.metrics.called(result.as_ref().err());
            results.push(result);
        }
        Ok(results)
    }

    /// Checks a signal that its sender publishes to the inbox of `to`. The gateway publishes what is returned, and then
    /// tells the sender: so here too, acknowledged means published.
    pub fn publish(&self, caller: &Caller, to: PeerId, data: &[u8]) -> Result<Publication, PublishError> {
        let publication = self.try_publish(caller, to, data);
        self.metrics.published(publication.as_ref().err());
        publication
    }

    fn try_publish(&self, caller: &Caller, to: PeerId, data: &[u8]) -> Result<Publication, PublishError> {
        let (swarm, addressed) = Addressed::parse_published(data, to).map_err(RelayError::from)?;
        self.admit(caller, &swarm)?;
        self.ranking.heard(&swarm, caller.peer);
        let signal = self.check(caller.peer, &swarm, &addressed)?;
        let kind = addressed.signal.kind();
        debug!(
            target: EVENTS, peer = %caller.peer, %to, kind = kind.as_str(),
            "{} of {} handed to the gateway for {}", kind.as_str(), caller.peer.short(), to.short()
        );
        let mut data = String::with_capacity(signal.len() + 16);
        push_delivery(&mut data, [signal.as_str()]);
        Ok(Publication { data, history: kind.is_express() })
    }

    /// A signal as its receiver gets it, if it may.
    fn check(&self, from: PeerId, swarm: &SwarmId, addressed: &Addressed) -> Result<String, RelayError> {
        let Addressed { to, ticket, signal } = addressed;
        let permit = Permit::verify(&self.tickets, ticket, self.clock.now(), swarm, (from, *to), signal.kind())?;
        if self.ranking.is_gone(swarm, *to) {
            return Err(RelayError::Gone);
        }
        let back = permit.reverse().issue(&self.tickets, swarm, *to, from);
        Ok(Delivered::new(from, swarm, back, signal).to_json())
    }

    fn relay(&self, from: PeerId, swarm: &SwarmId, addressed: &Addressed) -> Result<Relayed, RelayError> {
        let (to, kind) = (addressed.to, addressed.signal.kind());
        let json = self.check(from, swarm, addressed)?;
        Ok(Relayed { kind, to, receipt: self.outbox.send(to, kind, json)? })
    }

    async fn settle(&self, from: PeerId, relayed: Relayed, accepted: Instant) -> Result<(), RelayError> {
        let Relayed { kind, to, receipt } = relayed;
        receipt.settled().await?;
        if kind.is_express() {
            let took = accepted.elapsed();
            debug!(
                target: EVENTS, peer = %from, to = %to, kind = kind.as_str(), ms = took.as_secs_f64() * 1e3,
                "{} of {} delivered to {} in {:.1} ms", kind.as_str(), from.short(), to.short(), took.as_secs_f64() * 1e3
            );
        }
        Ok(())
    }
}
