//! Records in Redis, as bytes. The first byte says which layout follows; one that we do not know counts as absent, so that
//! two versions can run side by side. Numbers have their highest byte first. Scripts read what stands at fixed places.
//!
//! **Member**, 19 to 55 bytes:
//!
//! | byte | holds |
//! |---|---|
//! | 0 | version, 2 |
//! | 1 | flags: 1 left, 2 upload, 4 resting, 8 unlisted until its next sign of life, 128 tried; NAT in the three bits before that |
//! | 2-7 | `said` in ms; of one that left the time of its leaving, and nothing follows |
//! | 8-13 | `joined` in ms |
//! | 14 | what there is at the end: 1 slots, 2 playhead, 4 bitrate, 8 ASN, 16 country, 32 IPv4 address, 64 IPv6 address, 128 group |
//! | 15-16 | degree |
//! | 17-18 | attempts with those whom anybody meets, and with those who show how it filters: opened, failed (4 bits each) |
//! | 19- | slots (2), playhead (4, IEEE 754), bitrate (4), ASN (4), country (2), group in the operator's map (4), address (4 or 16): those there are |
//!
//! **Evidence**, 28 to about 250 bytes, which is what Redis allots in one piece:
//!
//! | byte | holds |
//! |---|---|
//! | 0 | version, 2 |
//! | 1-2 | revision |
//! | 3-4 | score, in ten-thousandths |
//! | 5-8 | `touched`, in seconds |
//! | 9-26 | connects, failures, ok, timeouts, bad, speed (3 each: IEEE 754 in 24 bits, without the sign and the last 7) |
//! | 27- | bits: 5 for how many reporters, then for each: id (24), prefix (8), epoch (16), attempt (2), weight in steps (6), and as numbers: age in units at `touched` (5), ok (9), timeout (3), bad (1), bytes in units (13), busy time in units (12); then 1 for whether the peer's own counters follow: epoch (16), and as numbers: seconds from then to `touched` (2), bytes from peers, from servers and to peers in units (13 each), rebufferings (2) |
//!
//! A number begins with its lowest bits, as many as said above; a bit says whether four more, and another such bit, follow.

use std::net::IpAddr;

use super::bits::{Reader, Writer};
use crate::domain::{
    Account, Counters, Evidence, Member, Nat, PeerId, Pid, Place, Reach, Receipt, Score, Tally, Timestamp,
    evidence::{AT_UNIT, Attempt, BUSY_UNIT, BYTES_UNIT, MAX_REPORTERS, MOST_TRANSFERS, Reporter, WEIGHT_STEPS},
};

const VERSION: u8 = 2;
const EVIDENCE_VERSION: u8 = 2;
const LEFT: u8 = 1;
const UPLOAD: u8 = 2;
const RESTING: u8 = 4;
const TRIED: u8 = 128;
const SLOTS: u8 = 1;
const PLAYHEAD: u8 = 2;
const BITRATE: u8 = 4;
const ASN: u8 = 8;
const COUNTRY: u8 = 16;
const IPV4: u8 = 32;
const IPV6: u8 = 64;
const PID: u8 = 128;
const NATS: [Nat; 5] = [Nat::Unknown, Nat::Open, Nat::Eim, Nat::Apdm, Nat::Blocked];
/// In bits: enough for most, so that few need more.
const AGE: u32 = 5;
const OK: u32 = 9;
const TIMEOUT: u32 = 3;
const BAD: u32 = 1;
const BYTES: u32 = 13;
const BUSY: u32 = 12;
const OWN_AGE: u32 = 2;
const REBUFFERS: u32 = 2;

/// What a record of a member says.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// It is one.
    Member(Member),
    /// It left then.
    Left(Timestamp),
}

/// A time in ms, as six bytes.
pub fn time(at: Timestamp) -> [u8; 6] {
    let [_, _, bytes @ ..] = at.0.min((1 << 48) - 1).to_be_bytes();
    bytes
}

/// The time in six bytes.
pub fn read_time(bytes: [u8; 6]) -> Timestamp {
    Timestamp(bytes.into_iter().fold(0, |ms, byte| ms << 8 | u64::from(byte)))
}

/// The record of a member.
pub fn member(member: &Member) -> Vec<u8> {
    let Member {
        peer: _,
        upload,
        resting,
        nat,
        slots,
        degree,
        playhead,
        bitrate_kbps,
        address,
        place,
        tried,
        reach,
        joined,
        said,
    } = member;
    let sum = |flags: &[(bool, u8)]| flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum::<u8>();
    let optional = sum(&[
        (slots.is_some(), SLOTS),
        (playhead.is_some(), PLAYHEAD),
        (bitrate_kbps.is_some(), BITRATE),
        (place.asn.is_some(), ASN),
        (place.country.is_some(), COUNTRY),
        (address.is_some_and(|address| address.is_ipv4()), IPV4),
        (address.is_some_and(|address| address.is_ipv6()), IPV6),
        (place.pid.is_some(), PID),
    ]);
    let nat = NATS.iter().position(|known| known == nat).expect("all are in the list");
    let mut record = Vec::with_capacity(55);
    let nat = u8::try_from(nat).expect("one of five");
    record.extend([VERSION, sum(&[(*upload, UPLOAD), (*resting, RESTING), (*tried, TRIED)]) | nat << 4]);
    record.extend(time(*said));
    record.extend(time(*joined));
    record.push(optional);
    record.extend(degree.to_be_bytes());
    record.extend([reach.easy, reach.hard].map(Tally::byte));
    record.extend(slots.iter().flat_map(|slots| slots.to_be_bytes()));
    record.extend(playhead.iter().flat_map(|playhead| playhead.to_be_bytes()));
    record.extend(bitrate_kbps.iter().flat_map(|bitrate| bitrate.to_be_bytes()));
    record.extend(place.asn.iter().flat_map(|asn| asn.to_be_bytes()));
    record.extend(place.country.iter().flatten());
    record.extend(place.pid.iter().flat_map(|pid| pid.number().to_be_bytes()));
    match address {
        Some(IpAddr::V4(address)) => record.extend(address.octets()),
        Some(IpAddr::V6(address)) => record.extend(address.octets()),
        None => {}
    }
    record
}

/// The record of a leaving.
pub fn left(at: Timestamp) -> Vec<u8> {
    [&[VERSION, LEFT][..], &time(at)].concat()
}

/// What a record in `members` says; `None` for one that we do not know.
pub fn read_member(peer: PeerId, record: &[u8]) -> Option<Stored> {
    let mut bytes = Bytes(record);
    let [version, flags] = bytes.take()?;
    if version != VERSION {
        return None;
    }
    let said = bytes.time()?;
    if flags & LEFT != 0 {
        return bytes.0.is_empty().then_some(Stored::Left(said));
    }
    let joined = bytes.time()?;
    let [there] = bytes.take()?;
    let degree = u16::from_be_bytes(bytes.take()?);
    let [easy, hard] = bytes.take()?.map(Tally::of_byte);
    let optional = |flag, bytes: &mut Bytes, size| {
        if there & flag == 0 { Some(None) } else { bytes.some(size).map(Some) }
    };
    let slots = optional(SLOTS, &mut bytes, 2)?;
    let playhead = optional(PLAYHEAD, &mut bytes, 4)?;
    let bitrate = optional(BITRATE, &mut bytes, 4)?;
    let asn = optional(ASN, &mut bytes, 4)?;
    let country = optional(COUNTRY, &mut bytes, 2)?;
    let pid = optional(PID, &mut bytes, 4)?;
    let address = match there & (IPV4 | IPV6) {
        0 => None,
        IPV4 => Some(IpAddr::from(bytes.take::<4>()?)),
        IPV6 => Some(IpAddr::from(bytes.take::<16>()?)),
        _ => return None,
    };
    let two = |bits: u32| u16::try_from(bits).expect("two bytes");
    let member = Member {
        peer,
        upload: flags & UPLOAD != 0,
        resting: flags & RESTING != 0,
        nat: *NATS.get(usize::from((flags & !TRIED) >> 4))?,
        slots: slots.map(two),
        degree,
        playhead: playhead.map(f32::from_bits),
        bitrate_kbps: bitrate,
        address,
        place: Place { asn, country: country.map(|bits| two(bits).to_be_bytes()), pid: pid.and_then(Pid::of_number) },
        tried: flags & TRIED != 0,
        reach: Reach { easy, hard },
        joined,
        said,
    };
    bytes.0.is_empty().then_some(Stored::Member(member))
}

/// The record of what was said of a peer.
pub fn evidence(evidence: &Evidence) -> Vec<u8> {
    let Evidence { revision, touched, score, connects, failures, ok, timeouts, bad, speed, reporters, own } = evidence;
    let mut record = Vec::with_capacity(252);
    record.push(EVIDENCE_VERSION);
    record.extend(revision.to_be_bytes());
    record.extend(score.fixed().to_be_bytes());
    record.extend(u32::try_from(touched.seconds()).unwrap_or(u32::MAX).to_be_bytes());
    for total in [connects, failures, ok, timeouts, bad, speed] {
        record.extend(in_24_bits(*total));
    }
    let reporters = &reporters[reporters.len().saturating_sub(MAX_REPORTERS)..];
    let mut bits = Writer::after(record);
    bits.put(5, reporters.len() as u64);
    for Reporter { id, prefix, at, attempt, weight, receipt } in reporters {
        let Receipt { epoch, connected: _, bytes, busy_ms, ok, timeout, bad, connect_ms: _ } = receipt;
        bits.put(24, u64::from(*id));
        bits.put(8, u64::from(*prefix));
        bits.put(16, u64::from(*epoch));
        bits.put(
            2,
            match attempt {
                Attempt::Void => 0,
                Attempt::Failed => 1,
                Attempt::Connected => 2,
            },
        );
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 63")]
        let steps = (weight / STEP).round().clamp(0.0, WEIGHT_STEPS) as u64;
        bits.put(6, steps);
        bits.number(AGE, (touched.seconds() / AT_UNIT).saturating_sub(at.seconds() / AT_UNIT));
        bits.number(OK, u64::from(*ok));
        bits.number(TIMEOUT, u64::from(*timeout));
        bits.number(BAD, u64::from(*bad));
        bits.number(BYTES, bytes / BYTES_UNIT);
        bits.number(BUSY, busy_ms / BUSY_UNIT);
    }
    bits.put(1, u64::from(own.is_some()));
    if let Some(Account { counters, at }) = own {
        let Counters { epoch, down_bytes, http_bytes, up_bytes, rebuffers } = counters;
        bits.put(16, u64::from(*epoch));
        bits.number(OWN_AGE, touched.since(*at).as_secs());
        for bytes in [down_bytes, http_bytes, up_bytes] {
            bits.number(BYTES, bytes / BYTES_UNIT);
        }
        bits.number(REBUFFERS, u64::from(*rebuffers));
    }
    bits.done()
}

/// A number of 0 or more, with 16 bits behind its first.
fn in_24_bits(number: f32) -> [u8; 3] {
    let [_, bytes @ ..] = ((number.to_bits() + (1 << 6)) >> 7).to_be_bytes();
    bytes
}

const STEP: f32 = MOST_TRANSFERS / WEIGHT_STEPS;

/// What a record in `evidence` says; `None` for one that we do not know.
pub fn read_evidence(record: &[u8]) -> Option<Evidence> {
    let mut bytes = Bytes(record);
    let [version] = bytes.take()?;
    if version != EVIDENCE_VERSION {
        return None;
    }
    let revision = u16::from_be_bytes(bytes.take()?);
    let score = Score::from_fixed(u16::from_be_bytes(bytes.take()?));
    let touched = Timestamp::from_seconds(u64::from(u32::from_be_bytes(bytes.take()?)));
    let mut totals = [0.0; 6];
    for total in &mut totals {
        *total = f32::from_bits(bytes.some(3)? << 7);
        if !total.is_finite() || *total < 0.0 {
            return None;
        }
    }
    let [connects, failures, ok, timeouts, bad, speed] = totals;
    let mut bits = Reader::new(bytes.0);
    let count = usize::try_from(bits.take(5)?).ok().filter(|count| *count <= MAX_REPORTERS)?;
    let reporters = (0..count).map(|_| reporter(&mut bits, touched)).collect::<Option<Vec<_>>>()?;
    let own = if bits.take(1)? == 1 { Some(own(&mut bits, touched)?) } else { None };
    Some(Evidence { revision, touched, score, connects, failures, ok, timeouts, bad, speed, reporters, own })
}

fn own(bits: &mut Reader<'_>, touched: Timestamp) -> Option<Account> {
    let epoch = u16::try_from(bits.take(16)?).ok()?;
    let at = Timestamp::from_seconds(touched.seconds().checked_sub(bits.number(OWN_AGE)?)?);
    let mut bytes = || bits.number(BYTES)?.checked_mul(BYTES_UNIT);
    let (down_bytes, http_bytes, up_bytes) = (bytes()?, bytes()?, bytes()?);
    let rebuffers = u32::try_from(bits.number(REBUFFERS)?).ok()?;
    Some(Account { counters: Counters { epoch, down_bytes, http_bytes, up_bytes, rebuffers }, at })
}

fn reporter(bits: &mut Reader<'_>, touched: Timestamp) -> Option<Reporter> {
    let id = u32::try_from(bits.take(24)?).ok()?;
    let prefix = u8::try_from(bits.take(8)?).ok()?;
    let epoch = u16::try_from(bits.take(16)?).ok()?;
    let attempt = match bits.take(2)? {
        0 => Attempt::Void,
        1 => Attempt::Failed,
        2 => Attempt::Connected,
        _ => return None,
    };
    let steps = u8::try_from(bits.take(6)?).ok()?;
    let at = (touched.seconds() / AT_UNIT).checked_sub(bits.number(AGE)?)? * AT_UNIT;
    let receipt = Receipt {
        epoch,
        connected: attempt == Attempt::Connected,
        ok: u32::try_from(bits.number(OK)?).ok()?,
        timeout: u32::try_from(bits.number(TIMEOUT)?).ok()?,
        bad: u32::try_from(bits.number(BAD)?).ok()?,
        bytes: bits.number(BYTES)?.checked_mul(BYTES_UNIT)?,
        busy_ms: bits.number(BUSY)?.checked_mul(BUSY_UNIT)?,
        connect_ms: None,
    };
    let weight = (f32::from(steps) * STEP).min(MOST_TRANSFERS);
    Some(Reporter { id, prefix, at: Timestamp::from_seconds(at), attempt, weight, receipt })
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    /// Up to four bytes as a number.
    fn some(&mut self, size: usize) -> Option<u32> {
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.take().map(read_time)
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
