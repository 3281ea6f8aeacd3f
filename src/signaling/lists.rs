//! Peer lists: what `join`, `peers` and the connect reply have in common.

use rand::Rng;

use crate::{
    domain::{
        CostMap, Nat, Pairs, PeerId, Ranked, SwarmId, Whereabouts,
        selection::{self, CANDIDATES, Candidate, Drawn, Judged, Terrain, Wish},
        ticket::{Permit, TicketKind},
    },
    protocol::{Near, Other, Peer, PeerList, PeersRequest},
    ranking::{Listing, RankingError},
    signaling::{Caller, Signaling},
};

/// When to ask again after a list as long as wanted.
const NEXT_MS: u64 = 15_000;
/// And after a shorter one.
const NEXT_SHORT_MS: u64 = 5_000;
/// Links that a peer takes which does not say: the usual `degree_max`.
const USUAL_SLOTS: usize = 12;

impl Signaling {
    /// Answers a request that was admitted.
    pub(super) async fn list(&self, caller: &Caller, request: &PeersRequest) -> Result<PeerList, RankingError> {
        let member = self.ranking.member(&request.swarm, caller.peer);
        let now = self.clock.now();
        let wish = Wish {
            nat: member.as_ref().map_or(Nat::Unknown, |member| member.nat),
            playhead: request.playhead.or_else(|| member?.playhead_at(now)),
            urgent: request.urgent,
            ..self.wish(caller, request.want, &request.exclude)
        };
        let found = self.ranking.find(&request.swarm, caller.peer, wish.at, wish.sample()).await?;
        Ok(self.listed(caller, &request.swarm, found, &wish, request.explain))
    }

    /// What `caller` asks for, with its policy's number where it names none.
    pub(super) fn wish<'a>(&self, caller: &Caller, want: Option<u8>, exclude: &'a [PeerId]) -> Wish<'a> {
        Wish {
            caller: caller.peer,
            at: Whereabouts { prefix: caller.session.prefix(), ..Whereabouts::default() },
            nat: Nat::Unknown,
            playhead: None,
            urgent: false,
            want: want.unwrap_or(caller.session.want).into(),
            exclude,
        }
    }

    /// Draws from what was found, and writes a ticket for each pick, the nearest first.
    pub(super) fn listed(
        &self,
        caller: &Caller,
        swarm: &SwarmId,
        found: Listing,
        wish: &Wish<'_>,
        explain: bool,
    ) -> PeerList {
        let reserve = |target, insist| self.ranking.introduce(target, caller.peer, insist);
        let Drawn { listed, others } = self.draw(found.candidates, wish, &mut rand::rng(), reserve);
        let expires = self.clock.now() + self.ticket_ttl;
        let entry = |judged: Judged| {
            let reasons = explain.then(|| (&judged).into());
            let Ranked { member, score, .. } = judged.ranked;
            let same_address = member.address.is_some() && member.address == caller.session.address;
            let permit = Permit { kind: TicketKind::Offer, same_address, expires };
            Peer {
                peer: member.peer,
                ticket: permit.issue(&self.tickets, swarm, caller.peer, member.peer),
                score: score.value(),
                near: near(same_address, &wish.at, &member.whereabouts()),
                reasons,
            }
        };
        let mut peers: Vec<_> = listed.into_iter().map(entry).collect();
        peers.sort_by_key(|peer| peer.near);
        self.metrics.listed(peers.len());
        let next_ms = if peers.len() < wish.want { NEXT_SHORT_MS } else { NEXT_MS };
        PeerList {
            peers,
            swarm_size: found.swarm_size,
            next_ms,
            joined: (!found.joined).then_some(false),
            others: explain.then(|| others.iter().map(other).collect()),
            stale: found.stale,
        }
    }

    /// Draws a list by what is known now.
    fn draw(
        &self,
        candidates: Vec<Ranked>,
        wish: &Wish<'_>,
        rng: &mut impl Rng,
        reserve: impl FnMut(PeerId, bool) -> bool,
    ) -> Drawn {
        let admitted = candidates.into_iter().filter(|ranked| wish.admits(ranked)).take(CANDIDATES);
        let candidates = admitted
            .map(|ranked| Candidate { held: self.ranking.held(ranked.member.peer, wish.caller), ranked })
            .collect();
        let (costs, pairs) = (CostMap::default(), Pairs::default());
        let terrain = Terrain { costs: &costs, pairs: &pairs, slots: USUAL_SLOTS, now: self.clock.now() };
        selection::choose(candidates, wish, &terrain, rng, reserve)
    }
}

fn near(same_address: bool, here: &Whereabouts, there: &Whereabouts) -> Near {
    if same_address {
        Near::Lan
    } else if here.shares_network(there) {
        Near::Asn
    } else if here.shares_country(there) {
        Near::Country
    } else {
        Near::Far
    }
}

fn other(judged: &Judged) -> Other {
    Other { peer: judged.ranked.member.peer, reasons: judged.into() }
}
