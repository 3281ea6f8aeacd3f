//! `report`: what a peer says of itself, and of those it has links with.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::lists::playhead;
use crate::domain::{Counters, PeerId, Receipt, SwarmId, TaggedPolicy};

/// Most links that a peer can have, in a report.
const MAX_DEGREE: u16 = 1024;
/// Longest round trip, and longest attempt, in milliseconds: nobody waits longer.
const MAX_WAIT_MS: u32 = 600_000;
/// Longest tag of a policy, in bytes. Ours have 8.
const MAX_TAG: usize = 32;
/// Counters beyond this count as this: 32 TiB received over one link, or in all, ...
const MAX_BYTES: u64 = 1 << 45;
/// ... and a year of receiving.
const MAX_BUSY_MS: u64 = 1 << 35;

/// `report`: all counters grow for as long as `epoch` stays the same, and begin anew when it grows.
#[derive(Debug, Deserialize)]
pub struct ReportRequest {
    /// Where.
    pub swarm: SwarmId,
    /// Grows each time the client forgets its counters. Its low 16 bits count, as a serial number.
    pub epoch: u32,
    /// Grows with each report of an epoch.
    pub seq: u32,
    /// Bytes sent to peers. This and the next three are the client's own account of what the network is worth to it;
    /// nothing is judged by them.
    pub up_bytes: u64,
    /// Bytes received from peers.
    pub down_bytes: u64,
    /// Bytes received from servers.
    pub http_bytes: u64,
    /// How often playing stopped for want of data.
    pub rebuffers: u32,
    /// Open links.
    #[serde(deserialize_with = "degree")]
    pub degree: u16,
    /// Seconds into the content.
    #[serde(default, deserialize_with = "playhead")]
    pub playhead: Option<f32>,
    /// Its tab has been hidden for a minute.
    #[serde(default)]
    pub hidden: bool,
    /// Its battery is low.
    #[serde(default)]
    pub battery_low: bool,
    /// The tag of the policy that it has.
    #[serde(default, deserialize_with = "tag")]
    pub policy: Option<String>,
    /// What it says of its counterparts. The use case sees to the number.
    pub receipts: Vec<ReportedReceipt>,
}

/// What the counterpart of a link says about it, and what permits it to.
#[derive(Debug, Deserialize)]
pub struct ReportedReceipt {
    /// About whom.
    pub peer: PeerId,
    /// The ticket under which the link was tried.
    pub ticket: String,
    /// Whether it was ever open.
    pub connected: bool,
    /// By which way. For operators; not judged.
    #[serde(default)]
    pub candidate_type: Option<CandidateType>,
    /// The last known round trip, in milliseconds. Not judged either: it is no merit to be near.
    #[serde(default, deserialize_with = "wait")]
    pub rtt_ms: Option<u32>,
    /// Milliseconds from the attempt's beginning to the open channel. For operators; not judged.
    #[serde(default, deserialize_with = "wait")]
    pub connect_ms: Option<u32>,
    /// Bytes received.
    pub bytes: u64,
    /// Milliseconds during which something was being received.
    pub busy_ms: u64,
    /// Transfers that succeeded.
    pub ok: u32,
    /// Transfers that took too long.
    pub timeout: u32,
    /// Transfers whose content was wrong.
    pub bad: u32,
}

/// The own end of a link, in the words of RFC 8445.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidateType {
    /// An address of the device itself.
    Host,
    /// One that a STUN server saw.
    Srflx,
    /// One that the counterpart saw.
    Prflx,
    /// A TURN server's.
    Relay,
}

impl ReportRequest {
    /// The peer's own account, in this epoch.
    pub fn counters(&self, epoch: u16) -> Counters {
        let [down_bytes, http_bytes, up_bytes] =
            [self.down_bytes, self.http_bytes, self.up_bytes].map(|bytes| bytes.min(MAX_BYTES));
        Counters { epoch, down_bytes, http_bytes, up_bytes, rebuffers: self.rebuffers }
    }
}

impl ReportedReceipt {
    /// As evidence counts it.
    pub fn receipt(&self, epoch: u16) -> Receipt {
        Receipt {
            epoch,
            connected: self.connected,
            bytes: self.bytes.min(MAX_BYTES),
            busy_ms: self.busy_ms.min(MAX_BUSY_MS),
            ok: self.ok,
            timeout: self.timeout,
            bad: self.bad,
            connect_ms: self.connect_ms,
        }
    }
}

/// What a report is answered with.
#[derive(Debug, Default, Serialize)]
pub struct ReportReply {
    /// About whom a receipt did not count; said only when there is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<PeerId>,
    /// The policy from now on; said only when it is another than the client has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<TaggedPolicy>,
}

fn tag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(tag) if tag.len() > MAX_TAG => {
            Err(D::Error::custom(format_args!("policy is a tag of up to {MAX_TAG} bytes")))
        }
        tag => Ok(tag),
    }
}

fn degree<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        degree if degree > MAX_DEGREE => Err(D::Error::custom(format_args!("degree is 0 to {MAX_DEGREE}"))),
        degree => Ok(degree),
    }
}

fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(deserializer)? {
        Some(ms) if ms > MAX_WAIT_MS => {
            Err(D::Error::custom(format_args!("rtt_ms and connect_ms are 0 to {MAX_WAIT_MS}")))
        }
        ms => Ok(ms),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn report() -> Value {
        json!({
            "swarm": "s", "epoch": 70_000, "seq": 1, "up_bytes": 1, "down_bytes": 2, "http_bytes": 3, "rebuffers": 4,
            "degree": 5, "receipts": [{
                "peer": "AAAAAAAAAAAAAAAAAAAAAA", "ticket": "t", "connected": true, "bytes": 1, "busy_ms": 2, "ok": 3,
                "timeout": 4, "bad": 5,
            }],
        })
    }

    fn parse(report: &Value) -> serde_json::Result<ReportRequest> {
        serde_json::from_str(&report.to_string())
    }

    #[test]
    fn a_report_is_read_and_its_receipts_are_bounded() {
        let plain = parse(&report()).unwrap();
        assert_eq!((plain.epoch, plain.hidden, plain.playhead), (70_000, false, None));
        let full = json!({ "playhead": 1.5, "hidden": true, "battery_low": true, "up_bytes": u64::MAX, "x": 1 });
        let mut changed = report();
        changed.as_object_mut().unwrap().extend(full.as_object().unwrap().clone());
        let receipt = json!({ "candidate_type": "srflx", "rtt_ms": 7, "connect_ms": 600_000, "bytes": u64::MAX, "busy_ms": u64::MAX });
        changed["receipts"][0].as_object_mut().unwrap().extend(receipt.as_object().unwrap().clone());
        let full = parse(&changed).unwrap();
        assert_eq!((full.playhead, full.hidden, full.battery_low), (Some(1.5), true, true));
        assert_eq!(full.receipts[0].candidate_type, Some(CandidateType::Srflx));
        let expected = Receipt {
            epoch: 7,
            connected: true,
            bytes: 1 << 45,
            busy_ms: 1 << 35,
            ok: 3,
            timeout: 4,
            bad: 5,
            connect_ms: Some(600_000),
        };
        assert_eq!(full.receipts[0].receipt(7), expected);
        assert_eq!(plain.receipts[0].receipt(7).connect_ms, None);
        let own = Counters { epoch: 9, down_bytes: 2, http_bytes: 3, up_bytes: 1 << 45, rebuffers: 4 };
        assert_eq!(full.counters(9), own);
    }

    #[test]
    fn what_is_missing_or_absurd_is_refused() {
        for field in
            ["swarm", "epoch", "seq", "up_bytes", "down_bytes", "http_bytes", "rebuffers", "degree", "receipts"]
        {
            let mut missing = report();
            missing.as_object_mut().unwrap().remove(field);
            assert!(parse(&missing).is_err(), "{field}");
        }
        for field in ["peer", "ticket", "connected", "bytes", "busy_ms", "ok", "timeout", "bad"] {
            let mut missing = report();
            missing["receipts"][0].as_object_mut().unwrap().remove(field);
            assert!(parse(&missing).is_err(), "{field}");
        }
        for (field, value) in [
            ("swarm", json!("{s}*")),
            ("swarm", json!("s\n")),
            ("epoch", json!(-1)),
            ("epoch", json!(1_u64 << 32)),
            ("seq", json!(0.5)),
            ("up_bytes", json!(1e30)),
            ("degree", json!(1025)),
            ("playhead", json!(-1)),
            ("hidden", json!(1)),
            ("policy", json!("x".repeat(33))),
            ("policy", json!({})),
            ("receipts", json!({})),
            ("receipts", json!([null])),
        ] {
            let mut wrong = report();
            wrong[field] = value;
            assert!(parse(&wrong).is_err(), "{field}");
        }
        for (field, value) in [
            ("peer", json!("me")),
            ("connected", json!("yes")),
            ("candidate_type", json!("teapot")),
            ("rtt_ms", json!(600_001)),
            ("connect_ms", json!(600_001)),
            ("connect_ms", json!(0.5)),
            ("bytes", json!(-5)),
            ("busy_ms", json!("1")),
            ("ok", json!(1_u64 << 32)),
        ] {
            let mut wrong = report();
            wrong["receipts"][0][field] = value;
            assert!(parse(&wrong).is_err(), "{field}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", bytes: Vec<u8>) {
            let _ = serde_json::from_str::<ReportRequest>(&text);
            let _ = serde_json::from_slice::<ReportRequest>(&bytes);
        }
    }
}
