//! What a peer's membership in a swarm holds: what it says of itself, and where it is.

use std::net::IpAddr;

use super::{
    ids::PeerId,
    nat::{End, Nat},
    place::{Place, Prefix, Whereabouts},
    reach::Reach,
    score::Score,
    time::Timestamp,
};

/// A peer of which fewer counterparts have said anything is yet to be tried.
pub const TRIED_BY: usize = 3;
/// Playheads begin anew after so many seconds, or twelve days: in streams that count from the Unix epoch, [`f32`] would
/// tell minutes apart at best.
pub const PLAYHEADS: f32 = 1_048_576.0;

/// One peer's membership in one swarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Who.
    pub peer: PeerId,
    /// Whether it may be offered to others at all: consent, token, network.
    pub upload: bool,
    /// Whether it had better not be offered for now: its tab is hidden, or its battery low.
    pub resting: bool,
    /// How its NAT behaves.
    pub nat: Nat,
    /// Links it takes in all, as it says.
    pub slots: Option<u16>,
    /// Links it has, as it says.
    pub degree: u16,
    /// Seconds into the content at the time of `said`, less than [`PLAYHEADS`].
    pub playhead: Option<f32>,
    /// What it watches, in kbit/s.
    pub bitrate_kbps: Option<u32>,
    /// Its public address as the gateway saw it, where known. Never shown to anybody.
    pub address: Option<IpAddr>,
    /// Where that is.
    pub place: Place,
    /// Whether at least [`TRIED_BY`] counterparts have said something of it. The ranker finds out.
    pub tried: bool,
    /// What came of its attempts. The ranker finds out.
    pub reach: Reach,
    /// When it joined; a join that is repeated keeps the first.
    pub joined: Timestamp,
    /// When it last said any of this.
    pub said: Timestamp,
}

impl Member {
    /// Somebody who joins, uploads, and has said nothing else.
    pub fn new(peer: PeerId, now: Timestamp) -> Self {
        Self {
            peer,
            upload: true,
            resting: false,
            nat: Nat::Unknown,
            slots: None,
            degree: 0,
            playhead: None,
            bitrate_kbps: None,
            address: None,
            place: Place::default(),
            tried: false,
            reach: Reach::default(),
            joined: now,
            said: now,
        }
    }

    /// Whether it may be offered now.
    pub const fn is_offered(&self) -> bool {
        self.upload && !self.resting
    }

    /// Where in the content it is by now, in seconds, if it plays on.
    pub fn playhead_at(&self, now: Timestamp) -> Option<f32> {
        self.playhead.map(|then| then + now.since(self.said).as_secs_f32())
    }

    /// Keeps what a join that is repeated does not know: when it joined first, and whether it was tried.
    pub fn keep_of(&mut self, before: &Self) {
        self.joined = before.joined;
        self.tried |= before.tried;
        if self.nat == before.nat {
            self.reach = before.reach;
        }
    }

    /// Where it is.
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts { place: self.place, prefix: self.prefix() }
    }

    /// As an end of attempts.
    pub const fn end(&self) -> End {
        End { nat: self.nat, asn: self.place.asn, reach: self.reach }
    }

    /// The prefix of its address, where known. Not of loopback: there everybody has the same.
    pub fn prefix(&self) -> Option<Prefix> {
        self.address.and_then(Prefix::telling)
    }
}

/// A member as a list needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// What it says of itself.
    pub member: Member,
    /// How good it is; [`Score::ZERO`] where it is not in the ranking.
    pub score: Score,
    /// Its last sign of life.
    pub seen: Timestamp,
}
