//! Tickets: "peer A may signal peer B in swarm S until T". A MAC, verified without a look-up.
//!
//! On the wire: kind (1 byte), key id (1), expiry in seconds since the epoch (4, big endian), code (16), as 30 characters
//! of base64url.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    ids::{PeerId, SwarmId},
    mac::{MAC_LEN, MacKeys},
    signal::Kind,
    time::Timestamp,
};

const LABEL: &[u8; 8] = b"ticket-1";
const LEN: usize = 6 + MAC_LEN;
const SAME_ADDRESS: u8 = 0x80;

/// How much longer an answer may take than the offer it answers: an offer sent in the last second of its ticket still
/// finds an answer.
pub const ANSWER_GRACE: Duration = Duration::from_secs(30);

/// How much longer a ticket serves for receipts than for signals: a link outlives the ticket under which it was tried.
pub const RECEIPT_GRACE: Duration = Duration::from_hours(6);

/// What a ticket permits beside candidates and bye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketKind {
    /// To offer: comes with a listed peer.
    Offer,
    /// To answer: comes with what was sent under the other kind, so only someone who was addressed can answer.
    Answer,
}

/// Why a ticket does not permit what its bearer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not a ticket, not by us, or for another pair, direction or swarm.
    #[error("the ticket is not for this pair in this swarm")]
    Wrong,
    /// It was right once.
    #[error("the ticket has expired")]
    Expired,
    /// Right, but for the other kind of signal.
    #[error("the ticket is not for this kind of signal")]
    Kind,
}

/// What a verified ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// What it permits.
    pub kind: TicketKind,
    /// Both peers came from one public address when they were listed.
    pub same_address: bool,
    /// When it ends.
    pub expires: Timestamp,
}

impl Permit {
    /// Makes the ticket with which `from` may signal `to` in `swarm`.
    pub fn issue(self, keys: &MacKeys, swarm: &SwarmId, from: PeerId, to: PeerId) -> String {
        let mut ticket = [0; LEN];
        ticket[0] = match self.kind {
            TicketKind::Offer => 1,
            TicketKind::Answer => 2,
        } | if self.same_address { SAME_ADDRESS } else { 0 };
        ticket[1] = keys.current();
        let expiry = u32::try_from(self.expires.seconds()).unwrap_or(u32::MAX);
        ticket[2..6].copy_from_slice(&expiry.to_be_bytes());
        let code = code_parts(&ticket[..6], swarm, from, to, |parts| keys.sign(keys.current(), LABEL, parts));
        ticket[6..].copy_from_slice(&code.expect("the current key is one of the keys"));
        URL_SAFE_NO_PAD.encode(ticket)
    }

    /// Reads the ticket with which `from` wants to send a `signal` to `to`.
    pub fn verify(
        keys: &MacKeys,
        ticket: &str,
        now: Timestamp,
        swarm: &SwarmId,
        (from, to): (PeerId, PeerId),
        signal: Kind,
    ) -> Result<Self, TicketError> {
        let permit = Self::read(keys, ticket, swarm, (from, to))?;
        if now >= permit.expires {
            return Err(TicketError::Expired);
        }
        match (signal, permit.kind) {
            (Kind::Offer, TicketKind::Answer) | (Kind::Answer, TicketKind::Offer) => Err(TicketError::Kind),
            _ => Ok(permit),
        }
    }

    /// Reads the ticket, of either kind, with which `from` wants to say what came of a link with `to`.
    pub fn verify_for_receipt(
        keys: &MacKeys,
        ticket: &str,
        now: Timestamp,
        swarm: &SwarmId,
        (from, to): (PeerId, PeerId),
    ) -> Result<Self, TicketError> {
        let permit = Self::read(keys, ticket, swarm, (from, to))?;
        if now >= permit.expires + RECEIPT_GRACE { Err(TicketError::Expired) } else { Ok(permit) }
    }

    /// Reads a ticket of ours for this pair in this swarm, also one that has expired.
    fn read(keys: &MacKeys, ticket: &str, swarm: &SwarmId, (from, to): (PeerId, PeerId)) -> Result<Self, TicketError> {
        let mut bytes = [0; LEN + 2];
        // 30 characters are 22 bytes; anything longer is refused before it is decoded.
        if ticket.len() != LEN.div_ceil(3) * 4 - 2 {
            return Err(TicketError::Wrong);
        }
        let read = URL_SAFE_NO_PAD.decode_slice(ticket, &mut bytes).map_err(|_| TicketError::Wrong)?;
        let (head, code) = bytes[..read].split_at(6);
        if !code_parts(head, swarm, from, to, |parts| keys.verify(head[1], LABEL, parts, code)) {
            return Err(TicketError::Wrong);
        }
        let kind = match head[0] & !SAME_ADDRESS {
            1 => TicketKind::Offer,
            2 => TicketKind::Answer,
            _ => return Err(TicketError::Wrong),
        };
        let expiry = u32::from_be_bytes(head[2..6].try_into().expect("four of six bytes"));
        Ok(Self { kind, same_address: head[0] & SAME_ADDRESS != 0, expires: Timestamp::from_seconds(expiry.into()) })
    }

    /// The way back, for the one who is signalled. An offer begets the right to answer, a little longer; an answer gives
    /// back what its offer had, so that two peers cannot prolong a ticket by passing it to and fro.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self.kind {
            TicketKind::Offer => Self { kind: TicketKind::Answer, expires: self.expires + ANSWER_GRACE, ..self },
            TicketKind::Answer => Self { kind: TicketKind::Offer, expires: self.expires - ANSWER_GRACE, ..self },
        }
    }
}

fn code_parts<T>(head: &[u8], swarm: &SwarmId, from: PeerId, to: PeerId, then: impl Fn(&[&[u8]]) -> T) -> T {
    then(&[head, from.as_bytes(), to.as_bytes(), swarm.as_str().as_bytes()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const ALL: [Kind; 4] = [Kind::Offer, Kind::Answer, Kind::Candidates, Kind::Bye];

    fn keys() -> MacKeys {
        MacKeys::new([(7, b"first secret".as_slice()), (3, b"second secret")]).unwrap()
    }

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    fn swarm() -> SwarmId {
        SwarmId::parse("movie/42").unwrap()
    }

    fn permit(kind: TicketKind) -> Permit {
        Permit { kind, same_address: false, expires: NOW + Duration::from_mins(10) }
    }

    fn check(ticket: &str, signal: Kind) -> Result<Permit, TicketError> {
        Permit::verify(&keys(), ticket, NOW, &swarm(), (peer(1), peer(2)), signal)
    }

    #[test]
    fn a_ticket_permits_its_kind_and_candidates_and_bye() {
        for (kind, refused) in [(TicketKind::Offer, Kind::Answer), (TicketKind::Answer, Kind::Offer)] {
            let ticket = permit(kind).issue(&keys(), &swarm(), peer(1), peer(2));
            assert_eq!(ticket.len(), 30);
            for signal in ALL {
                let expected = if signal == refused { Err(TicketError::Kind) } else { Ok(permit(kind)) };
                assert_eq!(check(&ticket, signal), expected, "{kind:?} {signal:?}");
            }
        }
    }

    #[test]
    fn it_is_for_one_pair_in_one_direction_in_one_swarm() {
        let ticket = permit(TicketKind::Offer).issue(&keys(), &swarm(), peer(1), peer(2));
        let other = SwarmId::parse("movie/43").unwrap();
        for (swarm, pair) in [
            (&swarm(), (peer(2), peer(1))),
            (&swarm(), (peer(1), peer(3))),
            (&swarm(), (peer(3), peer(2))),
            (&other, (peer(1), peer(2))),
        ] {
            assert_eq!(Permit::verify(&keys(), &ticket, NOW, swarm, pair, Kind::Offer), Err(TicketError::Wrong));
        }
    }

    #[test]
    fn it_ends_on_the_second() {
        let ticket = permit(TicketKind::Offer).issue(&keys(), &swarm(), peer(1), peer(2));
        let at = |ms: u64| {
            Permit::verify(&keys(), &ticket, Timestamp(NOW.0 + ms), &swarm(), (peer(1), peer(2)), Kind::Offer)
        };
        assert!(at(599_999).is_ok());
        assert_eq!(at(600_000), Err(TicketError::Expired));
    }

    #[test]
    fn it_serves_for_receipts_six_hours_longer_whatever_its_kind() {
        for kind in [TicketKind::Offer, TicketKind::Answer] {
            let ticket = permit(kind).issue(&keys(), &swarm(), peer(1), peer(2));
            let check =
                |ms: u64, pair| Permit::verify_for_receipt(&keys(), &ticket, Timestamp(NOW.0 + ms), &swarm(), pair);
            let end = 600_000 + 6 * 3_600_000;
            assert_eq!(check(0, (peer(1), peer(2))), Ok(permit(kind)));
            assert!(check(end - 1, (peer(1), peer(2))).is_ok());
            assert_eq!(check(end, (peer(1), peer(2))), Err(TicketError::Expired));
            assert_eq!(check(0, (peer(2), peer(1))), Err(TicketError::Wrong));
        }
    }

    #[test]
    fn an_older_key_still_verifies_and_a_removed_one_does_not() {
        let old = MacKeys::new([(3, b"second secret".as_slice())]).unwrap();
        let ticket = permit(TicketKind::Offer).issue(&old, &swarm(), peer(1), peer(2));
        assert!(check(&ticket, Kind::Offer).is_ok());
        let new = MacKeys::new([(7, b"first secret".as_slice())]).unwrap();
        let verdict = Permit::verify(&new, &ticket, NOW, &swarm(), (peer(1), peer(2)), Kind::Offer);
        assert_eq!(verdict, Err(TicketError::Wrong));
    }

    #[test]
    fn there_and_back_is_no_longer_than_there() {
        let there = Permit { same_address: true, ..permit(TicketKind::Offer) };
        let back = there.reverse();
        assert_eq!(back, Permit { kind: TicketKind::Answer, expires: there.expires + ANSWER_GRACE, ..there });
        assert_eq!(back.reverse(), there);
    }

    proptest! {
        #[test]
        fn no_changed_ticket_passes(at in 0..30_usize, to in "[A-Za-z0-9_-]") {
            let ticket = permit(TicketKind::Offer).issue(&keys(), &swarm(), peer(1), peer(2));
            let mut changed = ticket.clone();
            changed.replace_range(at..=at, &to);
            for signal in ALL {
                prop_assert!(changed == ticket || check(&changed, signal).is_err());
            }
        }

        #[test]
        fn no_text_panics(ticket in ".{0,64}") {
            prop_assert_eq!(check(&ticket, Kind::Bye), Err(TicketError::Wrong));
        }
    }
}
