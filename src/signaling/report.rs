//! `report`: what a peer says of itself and of its counterparts; the ranking learns.

use super::{CallError, Caller, Signaling};
use crate::{
    domain::{End, SwarmId, evidence::Source, nat::LEAST_CHANCE, ticket::Permit},
    protocol::{MAX_RECEIPTS, ReportReply, ReportRequest, ReportedReceipt},
    ranking::OwnWord,
};

/// Why one receipt does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uncounted {
    /// No ticket of ours for this pair in this swarm, or one that ended too long ago.
    Ticket,
    /// About oneself.
    Oneself,
    /// The report has another one about this peer.
    Double,
    /// No room for it now. The next report tells the same and more.
    Full,
}

impl Signaling {
    /// Notes a report. A sign of life. A receipt that does not count is left out, and its peer named in the reply.
    pub fn report(&self, caller: &Caller, request: ReportRequest) -> Result<ReportReply, CallError> {
        self.admit(caller, &request.swarm)?;
        if request.receipts.len() > MAX_RECEIPTS {
            return Err(CallError::TooManyReceipts);
        }
        let [.., high, low] = request.epoch.to_be_bytes();
        let epoch = u16::from_be_bytes([high, low]);
        let counters = request.counters(epoch);
        let ReportRequest { swarm, seq, degree, playhead, hidden, battery_low, policy, receipts, .. } = request;
        let word = OwnWord { degree, playhead, resting: hidden || battery_low, counters };
        self.ranking.says(&swarm, caller.peer, epoch, seq, word);
        let mut refused = Vec::new();
        for (n, receipt) in receipts.iter().enumerate() {
            let is_double = receipts[..n].iter().any(|other| other.peer == receipt.peer);
            let counted = if is_double { Err(Uncounted::Double) } else { self.count(caller, &swarm, epoch, receipt) };
            self.metrics.receipt(counted.err());
            if counted.is_err() {
                refused.push(receipt.peer);
            }
        }
        let known = policy.unwrap_or_else(|| caller.session.policy().tag());
        let policy = self.policy(&caller.session, Some(&swarm));
        Ok(ReportReply { refused, policy: (policy.tag() != known).then(|| policy.into()) })
    }

    fn count(&self, caller: &Caller, swarm: &SwarmId, epoch: u16, receipt: &ReportedReceipt) -> Result<(), Uncounted> {
        let (reporter, about) = (caller.peer, receipt.peer);
        if reporter == about {
            return Err(Uncounted::Oneself);
        }
        Permit::verify_for_receipt(&self.tickets, &receipt.ticket, self.clock.now(), swarm, (reporter, about))
            .map_err(|_| Uncounted::Ticket)?;
        let end = |peer| self.ranking.member(swarm, peer).map_or_else(End::default, |member| member.end());
        let (here, there) = (end(reporter), end(about));
        let can_meet = self.ranking.pairs().chance(here, there) >= LEAST_CHANCE;
        let source = Source { peer: reporter, prefix: caller.session.prefix(), can_meet, end: here };
        let has_room = self.ranking.receipt(swarm, about, source, receipt.receipt(epoch));
        if has_room { Ok(()) } else { Err(Uncounted::Full) }
    }
}
