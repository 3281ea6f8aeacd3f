//! Descriptions as browsers write them, each with a name of its own woven in: the fingerprint, the password and the
//! user fragment follow from one number, so that a description which was cut, mixed or swapped gives itself away. These
//! three survive a server that rebuilds descriptions from what it allows.

use std::fmt::Write;

use anyhow::{Context, ensure};

const SHAPES: [[&str; 2]; 2] = [
    [include_str!("../sdp/chromium-offer.sdp"), include_str!("../sdp/chromium-answer.sdp")],
    [include_str!("../sdp/firefox-offer.sdp"), include_str!("../sdp/firefox-answer.sdp")],
];
/// When candidates are found, in milliseconds after gathering began: host, reflexive, relayed, and what comes late.
const FOUND_MS: [u64; 8] = [5, 20, 60, 110, 180, 300, 450, 600];
/// What JSON makes of the end of a line.
const CRLF: &str = "\\r\\n";
const PADDING: &str = "a=x-load:";
const FINGERPRINT: &str = "sha-256 ";
const PASSWORD: &str = "a=ice-pwd:";

/// Sizes that a description can be brought to, in bytes.
pub const SIZES: std::ops::RangeInclusive<usize> = 700..=8192;

enum Part {
    /// Escaped for JSON.
    Text(String),
    Ufrag(usize),
    Password(usize),
    Fingerprint,
    Candidates,
}

/// Writes descriptions of one shape.
struct Template(Vec<Part>);

/// Writes offers and answers, as JSON strings without their quotes.
pub struct Descriptions {
    shapes: Vec<[Template; 2]>,
    early: usize,
}

impl Descriptions {
    /// With `early` more candidates inside than the shapes have; brought to `bytes` where given.
    pub fn new(bytes: Option<usize>, early: usize) -> anyhow::Result<Self> {
        let shape = |texts: &[&str; 2]| {
            let [offer, answer] = texts;
            anyhow::Ok([Template::new(offer, bytes)?, Template::new(answer, bytes)?])
        };
        Ok(Self { shapes: SHAPES.iter().map(shape).collect::<Result<_, _>>()?, early })
    }

    /// Appends the description that this number names; one number, one text.
    pub fn write(&self, out: &mut String, name: u64, is_answer: bool) {
        let shape = &self.shapes[usize::from(name & 1 == 1)][usize::from(is_answer)];
        for part in &shape.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Ufrag(length) => push_hex(out, mix(name ^ 1), *length),
                Part::Password(length) => push_password(out, name, *length),
                Part::Fingerprint => push_fingerprint(out, name),
                Part::Candidates => {
                    for n in 0..self.early {
                        out.push_str("a=");
                        push_candidate(out, name, n);
                        out.push_str(CRLF);
                    }
                }
            }
        }
    }
}

impl Template {
    fn new(shape: &str, bytes: Option<usize>) -> anyhow::Result<Self> {
        let mut lines: Vec<String> = shape.lines().map(str::to_owned).collect();
        if let Some(bytes) = bytes {
            let size = |lines: &[String]| lines.iter().map(|line| line.len() + 2).sum::<usize>();
            while size(&lines) > bytes {
                let last = lines.iter().rposition(|line| line.starts_with("a=candidate:"));
                lines.remove(last.context("a description cannot be that short")?);
            }
            let missing = bytes - size(&lines);
            if let Some(padding) = missing.checked_sub(PADDING.len() + 2) {
                lines.push(format!("{PADDING}{}", "x".repeat(padding)));
            }
        }
        let mut parts = Vec::new();
        for line in lines {
            let (head, part) = if let Some(ufrag) = line.strip_prefix("a=ice-ufrag:") {
                ("a=ice-ufrag:", Some(Part::Ufrag(ufrag.len())))
            } else if let Some(password) = line.strip_prefix(PASSWORD) {
                (PASSWORD, Some(Part::Password(password.len())))
            } else if line.starts_with("a=fingerprint:sha-256 ") {
                ("a=fingerprint:sha-256 ", Some(Part::Fingerprint))
            } else {
                (line.as_str(), None)
            };
            let varies = part.is_some();
            parts.push(Part::Text(head.to_owned()));
            parts.extend(part);
            parts.push(Part::Text(CRLF.to_owned()));
            if !varies && line.starts_with("c=") {
                parts.push(Part::Candidates);
            }
        }
        let fingerprints = parts.iter().filter(|part| matches!(part, Part::Fingerprint)).count();
        ensure!(fingerprints == 1, "a shape has {fingerprints} fingerprints instead of one");
        Ok(Self(parts.into_iter().fold(Vec::new(), joined)))
    }
}

/// Adds a part; neighbouring texts become one.
fn joined(mut parts: Vec<Part>, next: Part) -> Vec<Part> {
    match (parts.last_mut(), next) {
        (Some(Part::Text(text)), Part::Text(more)) => text.push_str(&more),
        (_, next) => parts.push(next),
    }
    parts
}

/// The name of a description that is whole; `raw` is its JSON string.
pub fn name_of(raw: &str) -> Option<u64> {
    let at = raw.find(FINGERPRINT)? + FINGERPRINT.len();
    let fingerprint = raw.get(at..at + 95)?;
    let name = fingerprint
        .split(':')
        .take(8)
        .try_fold(0, |name, byte| Some(name << 8 | u64::from(u8::from_str_radix(byte, 16).ok()?)))?;
    let mut expected = String::with_capacity(128);
    push_fingerprint(&mut expected, name);
    let whole = expected == fingerprint;
    let at = raw.find(PASSWORD)? + PASSWORD.len();
    let length = raw[at..].find('\\')?;
    expected.clear();
    push_password(&mut expected, name, length);
    (whole && raw[at..].starts_with(&expected)).then_some(name)
}

/// Appends a candidate, without `a=`.
pub fn push_candidate(out: &mut String, name: u64, n: usize) {
    let foundation = name & 0xffff_ffff;
    let _ = write!(out, "candidate:{foundation} 1 udp {} 203.0.113.{} ", 1_677_729_535 - n, 1 + n);
    let _ = write!(out, "{} typ srflx raddr 0.0.0.0 rport 0 ufrag ", 30_000 + n);
    push_hex(out, mix(name ^ 1), 4);
}

/// The name in a list of candidates, as far as its first one tells: its lower 32 bits.
pub fn candidate_name(raw: &str) -> Option<u64> {
    let rest = raw.split_once("candidate:")?.1;
    rest.split(' ').next()?.parse().ok()
}

/// When each of the `count` candidates that were not found by the time of the description is sent, in microseconds after
/// it.
pub fn late_candidates(count: usize, gather_ms: u64) -> impl Iterator<Item = u64> {
    FOUND_MS.iter().cycle().enumerate().take(count).filter_map(move |(n, found)| {
        let found = found + 600 * u64::try_from(n / FOUND_MS.len()).unwrap_or(0);
        (found > gather_ms).then(|| (found - gather_ms) * 1000)
    })
}

/// A number that looks like any other (`splitmix64`).
pub const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

fn digit(n: u64, place: usize) -> char {
    HEX[usize::try_from((n >> (60 - 4 * place)) & 15).unwrap_or(0)]
}

fn push_hex(out: &mut String, n: u64, digits: usize) {
    out.extend((0..digits.min(16)).map(|place| digit(n, place)));
}

fn push_password(out: &mut String, name: u64, length: usize) {
    push_hex(out, mix(name ^ 2), length);
    push_hex(out, mix(name ^ 3), length.saturating_sub(16));
}

/// The name itself in the first 8 bytes, what follows from it in the others.
fn push_fingerprint(out: &mut String, name: u64) {
    for (n, word) in [name, mix(name ^ 4), mix(name ^ 5), mix(name ^ 6)].into_iter().enumerate() {
        for byte in 0..8 {
            if n + byte > 0 {
                out.push(':');
            }
            out.push(digit(word, 2 * byte));
            out.push(digit(word, 2 * byte + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use starling::domain::{
        Body, Signal,
        signal::{BadSignal, SessionId},
    };

    use super::*;

    fn written(descriptions: &Descriptions, name: u64, is_answer: bool) -> String {
        let mut out = String::new();
        descriptions.write(&mut out, name, is_answer);
        out
    }

    fn accepted(raw: &str) -> Result<Signal, BadSignal> {
        let sdp: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
        Signal::new(SessionId::parse("s").unwrap(), 0, Body::Offer(sdp))
    }

    #[test]
    fn every_shape_is_a_description_of_one_to_two_kilobytes_that_tells_its_name() {
        let descriptions = Descriptions::new(None, 2).unwrap();
        for name in [2, 3, u64::MAX, u64::MAX - 1] {
            for is_answer in [false, true] {
                let raw = written(&descriptions, name, is_answer);
                assert!((1000..2000).contains(&raw.len()), "{} bytes", raw.len());
                accepted(&raw).unwrap();
                assert_eq!(name_of(&raw), Some(name));
            }
        }
    }

    #[test]
    fn a_size_is_kept_to_the_byte_or_nearly() {
        for bytes in [700, 1200, 1201, 8192] {
            let raw = written(&Descriptions::new(Some(bytes), 0).unwrap(), 7, false);
            let sdp: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            assert!(bytes - sdp.len() < PADDING.len() + 2, "{} of {bytes}", sdp.len());
            accepted(&raw).unwrap();
        }
    }

    #[test]
    fn a_changed_description_tells_no_name() {
        let raw = written(&Descriptions::new(None, 0).unwrap(), 77, false);
        let at = raw.find(FINGERPRINT).unwrap() + 30;
        let mut changed = raw.clone();
        changed.replace_range(at..=at, if &raw[at..=at] == "0" { "1" } else { "0" });
        let other = written(&Descriptions::new(None, 0).unwrap(), 79, false);
        let mixed = format!("{}{}", &raw[..raw.len() / 2], &other[other.len() / 2..]);
        for bad in [changed, raw[..raw.len() - 300].to_owned(), mixed] {
            assert_eq!(name_of(&bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_gathered_in_time_is_not_sent_late() {
        assert_eq!(late_candidates(4, 0).collect::<Vec<_>>(), [5_000, 20_000, 60_000, 110_000]);
        assert_eq!(late_candidates(5, 150).collect::<Vec<_>>(), [30_000]);
    }
}
