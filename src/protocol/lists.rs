//! `join`, `peers`, `leave`, and the list of peers that answers them.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::domain::{
    Nat, PeerId, SwarmId,
    member::PLAYHEADS,
    selection::{Fate, MAX_EXCLUDE, MAX_WANT, Step, Unfit, Verdict},
};

/// Furthest into a content that anybody can be, in seconds: 300 years, for streams that count from the Unix epoch.
const MAX_PLAYHEAD: f64 = 1e10;

/// `join`: from now on the caller is listed to others.
#[derive(Debug, Deserialize)]
pub struct JoinRequest {
    /// Where.
    pub swarm: SwarmId,
    /// How many peers it wants; the policy's number when absent.
    #[serde(default, deserialize_with = "want")]
    pub want: Option<u8>,
    /// But not these: those of the first list, when it asked for one as it connected.
    #[serde(default, deserialize_with = "exclude")]
    pub exclude: Vec<PeerId>,
    /// Its network.
    #[serde(default)]
    pub net: Option<NetInfo>,
    /// Whether it is willing to upload; yes when absent.
    #[serde(default)]
    pub upload: Option<bool>,
    /// Seconds into the content.
    #[serde(default, deserialize_with = "playhead")]
    pub playhead: Option<f32>,
    /// Links it will take.
    #[serde(default)]
    pub slots: Option<u16>,
    /// What it watches, in kbit/s.
    #[serde(default)]
    pub bitrate_kbps: Option<u32>,
}

/// What a client knows of its network. It can only lower what others get from it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NetInfo {
    /// NAT class.
    pub nat: Nat,
    /// `navigator.connection.type`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `navigator.connection.saveData`.
    pub save_data: bool,
}

/// `peers`: other peers of a swarm.
#[derive(Debug, Deserialize)]
pub struct PeersRequest {
    /// Where.
    pub swarm: SwarmId,
    /// How many; the policy's number when absent.
    #[serde(default, deserialize_with = "want")]
    pub want: Option<u8>,
    /// But not these.
    #[serde(default, deserialize_with = "exclude")]
    pub exclude: Vec<PeerId>,
    /// Seconds into the content.
    #[serde(default, deserialize_with = "playhead")]
    pub playhead: Option<f32>,
    /// It is about to run out of data: only peers that have proved themselves and have what comes next will do.
    #[serde(default)]
    pub urgent: bool,
    /// It wants to know why the list is as it is. Its token must allow that.
    #[serde(default)]
    pub explain: bool,
}

/// `leave`: the caller is listed no longer.
#[derive(Debug, Deserialize)]
pub struct LeaveRequest {
    /// Where.
    pub swarm: SwarmId,
}

/// What `join`, `peers` and `first` are answered with.
#[derive(Debug, Serialize)]
pub struct PeerList {
    /// Whom the caller may offer to.
    pub peers: Vec<Peer>,
    /// Live members of the swarm.
    pub swarm_size: usize,
    /// Milliseconds after which to ask again.
    pub next_ms: u64,
    /// Said only when false, and only to `peers`: the caller is not a member of the swarm (any more), so it is
    /// offered to nobody, and its calls are no sign of life. It should join again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<bool>,
    /// Candidates that are not in the list; only when asked for reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<Vec<Explained>>,
    /// The store has been away for a while: the list is what was known before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// One entry of a list. Never an address.
#[derive(Debug, Serialize)]
pub struct Peer {
    /// Who.
    pub peer: PeerId,
    /// Permits to offer to it.
    pub ticket: String,
    /// How good an uploader it is: 0.05 to 1.
    pub score: f64,
    /// How near.
    pub near: Near,
    /// Why it is here; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Reasons>,
}

/// A candidate, and why it is in the list or not.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Who.
    pub peer: PeerId,
    /// Why.
    pub reasons: Reasons,
}

/// What became of a candidate, and what spoke for it. Factors are from 0 to 1, their product is the weight in the draw; none
/// where nothing could speak for it.
#[derive(Debug, Serialize)]
pub struct Reasons {
    /// In the list: `drawn`, or `explored` (a place for those that are yet to be tried). Not there: `not_drawn`, or what
    /// rules it out: `not_admitted`, `apart`, `nat`, `full`.
    pub fate: &'static str,
    /// What was overlooked, or would have had to be: `playhead`, `tried`, `prefix`, `busy`, `unlikely`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlooked: Option<&'static str>,
    /// How good an uploader it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// How near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<f32>,
    /// The chance that a link opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<f32>,
    /// The share of its slots that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<f32>,
    /// How much it has of what the caller needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<f32>,
    /// Slots that are reserved for others to whom it was introduced a moment ago; where it came up in the draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<usize>,
    /// All of the factors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
}

impl From<&Verdict> for Reasons {
    fn from(Verdict { factors, fate, held }: &Verdict) -> Self {
        let step = |step| match step {
            Step::Fits => None,
            Step::Playhead => Some("playhead"),
            Step::Tried => Some("tried"),
            Step::Prefix => Some("prefix"),
            Step::Busy => Some("busy"),
            Step::Unlikely => Some("unlikely"),
        };
        let (fate, overlooked) = match *fate {
            Fate::Explored => ("explored", None),
            Fate::Drawn(overlooked) => ("drawn", step(overlooked)),
            Fate::Passed(needed) => ("not_drawn", step(needed)),
            Fate::Unfit(Unfit::NotAdmitted) => ("not_admitted", None),
            Fate::Unfit(Unfit::Apart) => ("apart", None),
            Fate::Unfit(Unfit::Nat) => ("nat", None),
            Fate::Unfit(Unfit::Full) => ("full", None),
        };
        Self {
            fate,
            overlooked,
            score: factors.map(|factors| factors.score),
            locality: factors.map(|factors| factors.locality),
            nat: factors.map(|factors| factors.nat),
            free: factors.map(|factors| factors.free),
            content: factors.map(|factors| factors.content),
            held: held.map(|held| held.slots),
            weight: factors.map(|factors| factors.weight()),
        }
    }
}

/// How near another peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Near {
    /// Behind the same public address.
    Lan,
    /// In the same network: one autonomous system, or one address prefix.
    Asn,
    /// In the same country.
    Country,
    /// Anywhere else, or not known.
    Far,
}

fn want<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    match Option::<u8>::deserialize(deserializer)? {
        Some(want) if want > MAX_WANT => Err(D::Error::custom(format_args!("want is 0 to {MAX_WANT}"))),
        want => Ok(want),
    }
}

fn exclude<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PeerId>, D::Error> {
    let exclude = Vec::deserialize(deserializer)?;
    if exclude.len() > MAX_EXCLUDE {
        return Err(D::Error::custom(format_args!("exclude names at most {MAX_EXCLUDE} peers")));
    }
    Ok(exclude)
}

pub(super) fn playhead<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(seconds) if !(0.0..=MAX_PLAYHEAD).contains(&seconds) => {
            Err(D::Error::custom("playhead is seconds from 0"))
        }
        #[expect(clippy::cast_possible_truncation, reason = "a sixteenth of a second is exact enough")]
        playhead => Ok(playhead.map(|seconds| (seconds % f64::from(PLAYHEADS)) as f32)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn join(text: &str) -> Result<JoinRequest, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn fields_are_optional_and_unknown_ones_ignored() {
        let all = join(r#"{"swarm":"s","want":16,"net":{"nat":"eim","type":"wifi","save_data":true,"x":1},"upload":false,"playhead":1.5,"slots":4,"bitrate_kbps":3000,"x":{}}"#).unwrap();
        assert_eq!((all.want, all.net.unwrap().nat, all.playhead), (Some(16), Nat::Eim, Some(1.5)));
        assert_eq!(join(r#"{"swarm":"s"}"#).unwrap().want, None);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for bad in [
            "{}",
            "null",
            "[]",
            r#"{"swarm":1}"#,
            r#"{"swarm":"a b"}"#,
            r#"{"swarm":"s","swarm":"t"}"#,
            r#"{"swarm":"s","want":17}"#,
            r#"{"swarm":"s","want":-1}"#,
            r#"{"swarm":"s","want":"8"}"#,
            r#"{"swarm":"s","upload":1}"#,
            r#"{"swarm":"s","playhead":-1}"#,
            r#"{"swarm":"s","slots":70000}"#,
            r#"{"swarm":"s","net":{"nat":"full cone"}}"#,
        ] {
            assert!(join(bad).is_err(), "{bad}");
        }
        let exclude =
            |n: usize| serde_json::json!({ "swarm": "s", "exclude": vec!["AAAAAAAAAAAAAAAAAAAAAA"; n] }).to_string();
        assert!(serde_json::from_str::<PeersRequest>(&exclude(64)).is_ok());
        assert!(serde_json::from_str::<PeersRequest>(&exclude(65)).is_err());
    }

    #[test]
    fn a_stream_may_count_from_the_epoch_and_seconds_still_tell() {
        let playhead = |text: &str| join(&format!(r#"{{"swarm":"s","playhead":{text}}}"#)).map(|join| join.playhead);
        assert_eq!(playhead("5400.5").unwrap(), Some(5400.5));
        let [now, later] = ["1795286400.25", "1795286403.5"].map(|text| playhead(text).unwrap().unwrap());
        assert!((later - now - 3.25).abs() < 0.2, "{now} {later}");
        assert!(playhead("1e11").is_err() && playhead("-0.1").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in r#"\{("(swarm|want|exclude|net|playhead)":(1|"s"|\[\]|\{\}|1e999|-0.5|null),?){0,4}\}"#) {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let _ = serde_json::from_slice::<JoinRequest>(bytes);
                let _ = serde_json::from_slice::<PeersRequest>(bytes);
                let _ = serde_json::from_slice::<LeaveRequest>(bytes);
                let _ = serde_json::from_slice::<super::super::ConnectData>(bytes);
                let _ = serde_json::from_slice::<super::super::Session>(bytes);
            }
        }
    }
}
