//! Peer lists: what `join`, `peers` and the connect reply have in common.

use std::sync::Arc;

use crate::{
    domain::{
        CostMap, Member, Nat, Pairs, PeerId, Policy, Ranked, Reach, SwarmId, Timestamp, Whereabouts,
        introductions::Held,
        policy::Turn,
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

/// What a list is drawn by, as it is at one moment.
pub(super) struct Ground {
    costs: Arc<CostMap>,
    pairs: Arc<Pairs>,
    slots: usize,
    now: Timestamp,
    // All links of the caller go through TURN.
    is_relayed: bool,
}

impl Ground {
    /// How the caller's NAT counts that behaves so, and what came of its attempts: who is behind a TURN server is reached as if
    /// it had none.
    pub(super) fn network(&self, known: (Nat, Reach)) -> (Nat, Reach) {
        if self.is_relayed { (Nat::Open, Reach::default()) } else { known }
    }

    /// Whether somebody can be a candidate for this wish.
    pub(super) fn fits<'a>(&'a self, wish: &'a Wish<'_>) -> impl Fn(&Ranked) -> bool + 'a {
        |ranked| self.terrain().fits(wish, ranked)
    }

    fn terrain(&self) -> Terrain<'_> {
        Terrain { costs: &self.costs, pairs: &self.pairs, slots: self.slots, now: self.now }
    }
}

impl Signaling {
    /// Answers a request that was admitted.
    pub(super) async fn list(&self, caller: &Caller, request: &PeersRequest) -> Result<PeerList, RankingError> {
        let member = self.ranking.member(&request.swarm, caller.peer);
        let now = self.clock.now();
        let policy = self.policy(&caller.session, Some(&request.swarm));
        let ground = self.ground(&request.swarm, &policy);
        let known = member.as_ref().map_or_else(Default::default, |member| (member.nat, member.reach));
        let (nat, reach) = ground.network(known);
        let wish = Wish {
            nat,
            reach,
            playhead: request.playhead.or_else(|| member.as_ref()?.playhead_at(now)),
            urgent: request.urgent,
            is_lonely: member.as_ref().is_none_or(|member| member.degree == 0),
            said: member.as_ref().map_or(now, |member| member.said),
            ..self.wish(caller, &request.swarm, request.want.unwrap_or(policy.want), &request.exclude)
        };
        let found = self.ranking.find(&request.swarm, caller.peer, wish.at, wish.sample(), ground.fits(&wish)).await?;
        // A first list has nobody who could be told that it may not ask for reasons: it comes without.
        let explain = request.explain && caller.session.explain;
        Ok(self.listed(caller, &request.swarm, found, &wish, &ground, explain))
    }

    /// What `caller` asks for, as long as nothing is known of it.
    pub(super) fn wish<'a>(&self, caller: &Caller, swarm: &SwarmId, want: u8, exclude: &'a [PeerId]) -> Wish<'a> {
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
        ground: &Ground,
        explain: bool,
    ) -> PeerList {
        let mut introducing = Introducing { ranking: &self.ranking, caller: caller.peer };
        let drawn = draw(found.candidates, wish, ground, &mut introducing);
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
        let policy = self.policy_of(swarm);
        let ground = self.ground(swarm, &policy);
        let (nat, reach) = ground.network((asker.nat, asker.reach));
        let wish = Wish {
            caller: asker.peer,
            at: asker.whereabouts(),
            nat,
            reach,
            playhead: asker.playhead_at(now),
            urgent: false,
            is_lonely: asker.degree == 0,
            said: asker.said,
            want: if self.is_off(swarm) { 0 } else { policy.want.into() },
            exclude: &[],
        };
        let candidates = self.ranking.look(swarm, snapshot, &wish.at, wish.sample(), ground.fits(&wish));
        let drawn = draw(candidates, &wish, &ground, &mut Looking { ranking: &self.ranking, caller: asker.peer });
        drawn.listed().chain(drawn.others()).map(explained).collect()
    }

    /// What lists of a swarm are drawn by now, for a caller under this policy.
    pub(super) fn ground(&self, swarm: &SwarmId, policy: &Policy) -> Ground {
        let is_relayed = policy.turn == Turn::Only;
        Ground {
            costs: self.geo.costs(),
            // What came of direct attempts says nothing of others.
            pairs: if is_relayed { Arc::default() } else { self.ranking.pairs() },
            slots: self.policy_of(swarm).degree_max.into(),
            now: self.clock.now(),
            is_relayed,
        }
    }
}

/// Draws a list.
fn draw(mut candidates: Vec<Ranked>, wish: &Wish<'_>, ground: &Ground, reservations: &mut impl Reservations) -> Drawn {
    candidates.retain(|ranked| wish.admits(ranked));
    candidates.truncate(CANDIDATES);
    let wish = wish.within(ground.slots, reservations.held(wish.caller, wish.said));
    selection::choose(candidates, &wish, &ground.terrain(), &mut rand::rng(), reservations)
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
