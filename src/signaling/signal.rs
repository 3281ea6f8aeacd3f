//! `signal`: one peer sends others an offer, an answer, candidates or a bye. Each signal is judged by itself.

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
    protocol::{Addressed, Delivered, MAX_SIGNALS, MalformedSignal, SignalRequest},
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
        request: SignalRequest<'_>,
    ) -> Result<Vec<Result<(), RelayError>>, CallError> {
        let SignalRequest { swarm, signals } = request;
        self.admit(caller, &swarm)?;
        if signals.len() > MAX_SIGNALS {
            return Err(CallError::TooManySignals);
        }
        let accepted = Instant::now();
        // Only a sign of life: a store that is away must not stop signals.
        let _ = self.store.touch(&swarm, caller.peer, self.clock.now()).await;
        let relayed: Vec<_> = signals
            .into_iter()
            .map(|raw| {
                let addressed = Addressed::parse(raw).map_err(|error| match error {
                    MalformedSignal::Bad(bad) => RelayError::Bad(bad),
                    error => RelayError::Malformed(error),
                })?;
                self.relay(caller.peer, &swarm, &addressed)
            })
            .collect();
        let mut results = Vec::with_capacity(relayed.len());
        for relayed in relayed {
            let result = match relayed {
                Ok(relayed) => self.settle(caller.peer, relayed, accepted).await,
                Err(error) => Err(error),
            };
            self.metrics.relayed(result.as_ref().err());
            results.push(result);
        }
        Ok(results)
    }

    fn relay(&self, from: PeerId, swarm: &SwarmId, addressed: &Addressed) -> Result<Relayed, RelayError> {
        let Addressed { to, ticket, signal } = addressed;
        let kind = signal.kind();
        let permit = Permit::verify(&self.tickets, ticket, self.clock.now(), swarm, (from, *to), kind)?;
        if self.store.is_gone(swarm, *to) {
            return Err(RelayError::Gone);
        }
        let back = permit.reverse().issue(&self.tickets, swarm, *to, from);
        let json = Delivered::new(from, swarm, back, signal).to_json();
        Ok(Relayed { kind, to: *to, receipt: self.outbox.send(*to, kind, json)? })
    }

    async fn settle(&self, from: PeerId, relayed: Relayed, accepted: Instant) -> Result<(), RelayError> {
        let Relayed { kind, to, receipt } = relayed;
        receipt.settled().await?;
        if kind != Kind::Candidates {
            let took = accepted.elapsed();
            debug!(
                target: EVENTS, peer = %from, to = %to, kind = kind.as_str(), ms = took.as_secs_f64() * 1e3,
                "{} of {} delivered to {} in {:.1} ms", kind.as_str(), from.short(), to.short(), took.as_secs_f64() * 1e3
            );
        }
        Ok(())
    }
}
