//! Peer lists: what `join`, `peers` and the connect reply have in common.

use crate::{
    domain::{
        CostMap, Nat, Pairs, Ranked, SwarmId, Whereabouts,
        introductions::Held,
        selection::{self, Candidate, Terrain, Wish},
        ticket::{Permit, TicketKind},
    },
    protocol::{Near, Peer, PeerList, PeersRequest},
    ranking::{Listing, RankingError},
    signaling::{Caller, Signaling},
};

/// When to ask again after a list as long as wanted.
const NEXT_MS: u64 = 15_000;
/// And after a shorter one.
const NEXT_SHORT_MS: u64 = 5_000;

impl Signaling {
    /// Answers a request that was admitted.
    pub(super) async fn list(&self, caller: &Caller, request: &PeersRequest) -> Result<PeerList, RankingError> {
        let wish = wish(caller, request.want, &request.exclude);
        let found = self.ranking.find(&request.swarm, caller.peer, near(caller), wish.sample()).await?;
        Ok(self.listed(caller, &request.swarm, found, &wish))
    }

    /// Picks from what was found, and writes a ticket for each pick.
    pub(super) fn listed(&self, caller: &Caller, swarm: &SwarmId, found: Listing, wish: &Wish<'_>) -> PeerList {
        let expires = self.clock.now() + self.ticket_ttl;
        let listed = |Ranked { member, score, .. }: Ranked| {
            let same_address = member.address.is_some() && member.address == caller.session.address;
            let permit = Permit { kind: TicketKind::Offer, same_address, expires };
            Peer {
                peer: member.peer,
                ticket: permit.issue(&self.tickets, swarm, caller.peer, member.peer),
                score: score.value(),
                near: if same_address { Near::Lan } else { Near::Far },
            }
        };
        let candidates =
            found.candidates.into_iter().map(|ranked| Candidate { ranked, held: Held::default() }).collect();
        let (costs, pairs) = (CostMap::default(), Pairs::default());
        let terrain = Terrain { costs: &costs, pairs: &pairs, slots: 12, now: self.clock.now() };
        let chosen = selection::choose(candidates, wish, &terrain, &mut rand::rng(), |_| true);
        let peers: Vec<_> = chosen.into_iter().map(listed).collect();
        self.metrics.listed(peers.len());
        let next_ms = if peers.len() < wish.want { NEXT_SHORT_MS } else { NEXT_MS };
        PeerList {
            peers,
            swarm_size: found.swarm_size,
            next_ms,
            joined: (!found.joined).then_some(false),
            stale: found.stale,
        }
    }
}

fn near(caller: &Caller) -> Whereabouts {
    Whereabouts { prefix: caller.session.prefix(), ..Whereabouts::default() }
}

/// What `caller` asks for, with its policy's number where it names none.
pub(super) fn wish<'a>(caller: &Caller, want: Option<u8>, exclude: &'a [crate::domain::PeerId]) -> Wish<'a> {
    let want = want.unwrap_or(caller.session.want).into();
    Wish { caller: caller.peer, at: near(caller), nat: Nat::Unknown, playhead: None, urgent: false, want, exclude }
}
