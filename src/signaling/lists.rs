//! Peer lists: what `join`, `peers` and the connect reply have in common.

use crate::{
    domain::{
        Member, Nat, PeerId, Ranked, Reach, SwarmId, Timestamp, Whereabouts,
        introductions::Held,
        selection::{self, CANDIDATES, Drawn, Reservations, Terrain, Verdict, Wish},
        ticket::{Permit, TicketKind},
    },
    protocol::{Explained, Near, Peer, PeerList, PeersRequest},
    ranking::{Listing, Ranking, RankingError, Snapshot},
    signaling::{Caller, Signaling},
};

/// When to ask again after a list as long as wanted.
const NEXT_MS: u64 = 15_000;
/// And after a shorter one.
const NEXT_SHORT_MS: u64 = 5_000;
/// Whatever there is to do: a call is a sign of life too.
const NEXT_AT_MOST_MS: u64 = 40_000;

impl Signaling {
    /// Answers a request that was admitted.
    pub(super) async fn list(&self, caller: &Caller, request: &PeersRequest) -> Result<PeerList, RankingError> {
        let member = self.ranking.member(&request.swarm, caller.peer);
        let now = self.clock.now();
        let wish = Wish {
            nat: member.as_ref().map_or(Nat::Unknown, |member| member.nat),
            reach: member.as_ref().map_or_else(Reach::default, |member| member.reach),
            playhead: request.playhead.or_else(|| member.as_ref()?.playhead_at(now)),
            urgent: request.urgent,
            is_lonely: member.as_ref().is_none_or(|member| member.degree == 0),
            said: member.as_ref().map_or(now, |member| member.said),
            ..self.wish(caller, &request.swarm, request.want, &request.exclude)
        };
        let found = self.ranking.find(&request.swarm, caller.peer, wish.at, wish.sample()).await?;
        // A first list has nobody who could be told that it may not ask for reasons: it comes without.
        let explain = request.explain && caller.session.explain;
        Ok(self.listed(caller, &request.swarm, found, &wish, explain))
    }

    /// What `caller` asks for, with its policy's number where it names none.
    pub(super) fn wish<'a>(
        &self,
        caller: &Caller,
        swarm: &SwarmId,
        want: Option<u8>,
        exclude: &'a [PeerId],
    ) -> Wish<'a> {
        let want = want.unwrap_or_else(|| self.policy(&caller.session, Some(swarm)).want);
        Wish {
            caller: caller.peer,
            at: Whereabouts { place: self.geo.place(caller.session.address), prefix: caller.session.prefix() },
            nat: Nat::Unknown,
            reach: Reach::default(),
            playhead: None,
            urgent: false,
            is_lonely: true,
            said: self.clock.now(),
            // Where uploading is turned off, nobody is listed.
            want: if self.is_off(swarm) { 0 } else { want.into() },
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
        let drawn =
            self.draw(swarm, found.candidates, wish, &mut Introducing { ranking: &self.ranking, caller: caller.peer });
        let expires = self.clock.now() + self.ticket_ttl;
        let entry = |(Ranked { member, score, .. }, verdict): (&Ranked, &Verdict)| {
            let same_address = member.address.is_some() && member.address == caller.session.address;
            let permit = Permit { kind: TicketKind::Offer, same_address, expires };
            Peer {
                peer: member.peer,
                ticket: permit.issue(&self.tickets, swarm, caller.peer, member.peer),
                score: score.value(),
                near: near(same_address, &wish.at, &member.whereabouts()),
                reasons: explain.then(|| verdict.into()),
            }
        };
        let mut peers: Vec<_> = drawn.listed().map(entry).collect();
        peers.sort_by_key(|peer| peer.near);
        self.metrics.listed(peers.len());
        let next_ms = if peers.len() < wish.want { NEXT_SHORT_MS } else { NEXT_MS };
        PeerList {
            peers,
            swarm_size: found.swarm_size,
            next_ms: (next_ms * u64::from(self.overload.factor())).min(NEXT_AT_MOST_MS),
            joined: (!found.joined).then_some(false),
            others: explain.then(|| drawn.others().map(explained).collect()),
            stale: found.stale,
        }
    }

    /// A list as `asker` could get it now from this copy of the swarm, and the other candidates, each with its reasons.
    /// Nobody is introduced.
    pub fn explain(&self, swarm: &SwarmId, asker: &Member, snapshot: &Snapshot) -> Vec<Explained> {
        let now = self.clock.now();
        let wish = Wish {
            caller: asker.peer,
            at: asker.whereabouts(),
            nat: asker.nat,
            reach: asker.reach,
            playhead: asker.playhead_at(now),
            urgent: false,
            is_lonely: asker.degree == 0,
            said: asker.said,
            want: if self.is_off(swarm) { 0 } else { self.policy_of(swarm).want.into() },
            exclude: &[],
        };
        let candidates = self.ranking.look(swarm, snapshot, &wish.at, wish.sample());
        let drawn = self.draw(swarm, candidates, &wish, &mut Looking { ranking: &self.ranking, caller: asker.peer });
        drawn.listed().chain(drawn.others()).map(explained).collect()
    }

    /// Draws a list by what is known now.
    fn draw(
        &self,
        swarm: &SwarmId,
        mut candidates: Vec<Ranked>,
        wish: &Wish<'_>,
        reservations: &mut impl Reservations,
    ) -> Drawn {
        candidates.retain(|ranked| wish.admits(ranked));
        candidates.truncate(CANDIDATES);
        let slots = self.policy_of(swarm).degree_max.into();
        let wish = wish.within(slots, reservations.held(wish.caller, wish.said));
        let (costs, pairs) = (self.geo.costs(), self.ranking.pairs());
        let terrain = Terrain { costs: &costs, pairs: &pairs, slots, now: self.clock.now() };
        selection::choose(candidates, &wish, &terrain, &mut rand::rng(), reservations)
    }
}

/// Introduces peers to a caller.
struct Introducing<'a> {
    ranking: &'a Ranking,
    caller: PeerId,
}

impl Reservations for Introducing<'_> {
    fn held(&self, target: PeerId, said: Timestamp) -> Held {
        self.ranking.held(target, self.caller, said)
    }

    fn reserve(&mut self, target: PeerId, insist: bool) -> bool {
        self.ranking.introduce(target, self.caller, insist)
    }
}

/// Asks what a caller would get.
struct Looking<'a> {
    ranking: &'a Ranking,
    caller: PeerId,
}

impl Reservations for Looking<'_> {
    fn held(&self, target: PeerId, said: Timestamp) -> Held {
        self.ranking.held(target, self.caller, said)
    }

    fn reserve(&mut self, _target: PeerId, _insist: bool) -> bool {
        true
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

fn explained((ranked, verdict): (&Ranked, &Verdict)) -> Explained {
    Explained { peer: ranked.member.peer, reasons: verdict.into() }
}
