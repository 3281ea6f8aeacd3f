//! `signal`, and what its receiver gets.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{Body, PeerId, SessionId, Signal, SwarmId, signal::BadSignal};

/// `signal`: one call carries up to [`super::MAX_SIGNALS`] of them, each judged by itself.
#[derive(Debug)]
pub struct SignalRequest {
    /// Where.
    pub swarm: SwarmId,
    /// What, in order.
    pub signals: Vec<Result<Addressed, MalformedSignal>>,
}

#[derive(Deserialize)]
struct Call<T> {
    swarm: SwarmId,
    signals: Vec<T>,
}

impl SignalRequest {
    /// Reads a call. A signal that cannot be read must not cost the others: where there is one, each is read by itself.
    pub fn parse(data: &[u8]) -> serde_json::Result<Self> {
        if let Ok(Call { swarm, signals }) = serde_json::from_slice::<Call<Raw>>(data) {
            return Ok(Self { swarm, signals: signals.into_iter().map(Raw::addressed).collect() });
        }
        let Call { swarm, signals } = serde_json::from_slice::<Call<&RawValue>>(data)?;
        let parse = |raw: &RawValue| serde_json::from_str::<Raw>(raw.get())?.addressed();
        Ok(Self { swarm, signals: signals.into_iter().map(parse).collect() })
    }
}

/// A signal on its way in.
#[derive(Debug)]
pub struct Addressed {
    /// For whom.
    pub to: PeerId,
    /// Permits it.
    pub ticket: String,
    /// What.
    pub signal: Signal,
}

/// Why one signal of a call cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MalformedSignal {
    /// Not an object with the fields of a signal.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Neither the call nor the channel says for whom.
    #[error("missing field `to`")]
    To,
    /// Nothing says where.
    #[error("missing field `swarm`")]
    Swarm,
    /// None of offer, answer, candidates and bye, or several.
    #[error("a signal has exactly one of offer, answer, candidates and bye")]
    Body,
    /// Read, but not good.
    #[error(transparent)]
    Bad(#[from] BadSignal),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    to: Option<PeerId>,
    #[serde(default)]
    swarm: Option<SwarmId>,
    ticket: String,
    session: String,
    seq: u32,
    #[serde(default)]
    offer: Option<Description>,
    #[serde(default)]
    answer: Option<Description>,
    #[serde(default)]
    candidates: Option<Vec<String>>,
    #[serde(default)]
    end: bool,
    #[serde(default)]
    bye: Option<Reason>,
}

#[derive(Deserialize)]
struct Description {
    sdp: String,
}

#[derive(Deserialize)]
struct Reason {
    reason: String,
}

impl Addressed {
    /// Reads what somebody publishes to the inbox of `to`: a signal that says itself in which swarm.
    pub fn parse_published(data: &[u8], to: PeerId) -> Result<(SwarmId, Self), MalformedSignal> {
        let mut raw: Raw = serde_json::from_slice(data)?;
        let swarm = raw.swarm.take().ok_or(MalformedSignal::Swarm)?;
        raw.to = Some(to);
        Ok((swarm, raw.addressed()?))
    }
}

impl Raw {
    fn addressed(self) -> Result<Addressed, MalformedSignal> {
        let to = self.to.ok_or(MalformedSignal::To)?;
        let body = match (self.offer, self.answer, self.candidates, self.bye) {
            (Some(offer), None, None, None) => Body::Offer(offer.sdp),
            (None, Some(answer), None, None) => Body::Answer(answer.sdp),
            (None, None, Some(candidates), None) => Body::Candidates(candidates, self.end),
            (None, None, None, Some(bye)) => Body::Bye(bye.reason),
            _ => return Err(MalformedSignal::Body),
        };
        let signal = Signal::new(SessionId::parse(&self.session)?, self.seq, body)?;
        Ok(Addressed { to, ticket: self.ticket, signal })
    }
}

/// `{"results": [...]}`: one per signal, in order.
#[derive(Debug, Serialize)]
pub struct SignalReply {
    /// What became of each.
    pub results: Vec<SignalResult>,
}

/// `{"ok":true}` or `{"error":{...}}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalResult {
    /// Always true.
    Ok(bool),
    /// Why not.
    Error(SignalError),
}

/// Why one signal was refused.
#[derive(Debug, Serialize)]
pub struct SignalError {
    /// See [`super::Code`].
    pub code: u32,
    /// In words.
    pub message: String,
    /// When it is worth trying again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

/// Appends what an inbox publication holds: signals that are JSON texts already, one or more.
pub fn push_delivery<'a>(text: &mut String, signals: impl IntoIterator<Item = &'a str>) {
    text.push_str(r#"{"signals":["#);
    for (n, signal) in signals.into_iter().enumerate() {
        text.push_str(if n == 0 { "" } else { "," });
        text.push_str(signal);
    }
    text.push_str("]}");
}

/// A signal on its way out: one element of a delivery's `signals`.
#[derive(Serialize)]
pub struct Delivered<'a> {
    /// Who sent it: from the connection, never from a payload.
    pub from: PeerId,
    /// Where.
    pub swarm: &'a SwarmId,
    /// The way back.
    pub ticket: String,
    session: &'a str,
    seq: u32,
    #[serde(flatten)]
    body: DeliveredBody<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DeliveredBody<'a> {
    Offer {
        offer: Sdp<'a>,
    },
    Answer {
        answer: Sdp<'a>,
    },
    Candidates {
        candidates: &'a [String],
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        end: bool,
    },
    Bye {
        bye: Why<'a>,
    },
}

#[derive(Serialize)]
struct Sdp<'a> {
    sdp: &'a str,
}

#[derive(Serialize)]
struct Why<'a> {
    reason: &'a str,
}

impl<'a> Delivered<'a> {
    /// `signal` as its receiver gets it.
    pub fn new(from: PeerId, swarm: &'a SwarmId, ticket: String, signal: &'a Signal) -> Self {
        let body = match signal.body() {
            Body::Offer(sdp) => DeliveredBody::Offer { offer: Sdp { sdp } },
            Body::Answer(sdp) => DeliveredBody::Answer { answer: Sdp { sdp } },
            Body::Candidates(candidates, end) => DeliveredBody::Candidates { candidates, end: *end },
            Body::Bye(reason) => DeliveredBody::Bye { bye: Why { reason } },
        };
        Self { from, swarm, ticket, session: signal.session.as_str(), seq: signal.seq, body }
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        // Room for the whole of it, the escapes of each line's end included.
        let body = match &self.body {
            DeliveredBody::Offer { offer: Sdp { sdp } } | DeliveredBody::Answer { answer: Sdp { sdp } } => sdp.len(),
            DeliveredBody::Candidates { candidates, .. } => candidates.iter().map(|text| text.len() + 3).sum(),
            DeliveredBody::Bye { bye: Why { reason } } => reason.len(),
        };
        let mut json = Vec::with_capacity(body + body / 8 + 256);
        serde_json::to_writer(&mut json, self).expect("texts and numbers are JSON");
        String::from_utf8(json).expect("JSON is UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: &Value) -> Result<Addressed, MalformedSignal> {
        let call = json!({ "swarm": "s", "signals": [value] }).to_string();
        SignalRequest::parse(call.as_bytes()).unwrap().signals.remove(0)
    }

    fn with(change: Value) -> Value {
        let mut signal = json!({ "to": "AAAAAAAAAAAAAAAAAAAAAA", "ticket": "t", "session": "s", "seq": 0 });
        signal.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        signal
    }

    #[test]
    fn a_signal_comes_out_as_it_went_in() {
        let sdp = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
        for body in [
            json!({ "offer": { "sdp": sdp } }),
            json!({ "answer": { "sdp": sdp } }),
            json!({ "candidates": ["candidate:1 1 udp 1 192.0.2.1 9 typ host"] }),
            json!({ "candidates": [], "end": true }),
            json!({ "bye": { "reason": "tab \"closed\" \\ ü" } }),
        ] {
            let signal = parse(&with(body.clone())).unwrap().signal;
            let swarm = SwarmId::parse("movie/42").unwrap();
            let from = PeerId::from_bytes([1; 16]);
            let out: Value =
                serde_json::from_str(&Delivered::new(from, &swarm, "back".into(), &signal).to_json()).unwrap();
            let mut expected = json!({ "from": from, "swarm": "movie/42", "ticket": "back", "session": "s", "seq": 0 });
            expected.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            with(json!({})),
            with(json!({ "offer": { "sdp": "v=0" }, "bye": { "reason": "" } })),
            with(json!({ "offer": "v=0" })),
            with(json!({ "offer": {} })),
            with(json!({ "candidates": [1] })),
            with(json!({ "bye": { "reason": 1 } })),
            with(json!({ "bye": { "reason": "" }, "seq": -1 })),
            with(json!({ "bye": { "reason": "" }, "seq": 1.5 })),
            with(json!({ "bye": { "reason": "" }, "to": "me" })),
            with(json!({ "bye": { "reason": "" }, "ticket": null })),
            with(json!({ "bye": { "reason": "" }, "session": "" })),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signal_that_cannot_be_read_does_not_cost_the_others() {
        let bye = with(json!({ "bye": { "reason": "" } }));
        let call = json!({ "swarm": "s", "signals": [bye, with(json!({ "seq": -1 })), bye] }).to_string();
        let read: Vec<_> = SignalRequest::parse(call.as_bytes()).unwrap().signals.iter().map(Result::is_ok).collect();
        assert_eq!(read, [true, false, true]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", reason in "\\PC{0,70}") {
            let _ = SignalRequest::parse(text.as_bytes());
            let _ = parse(&with(json!({ "bye": { "reason": reason } })));
            let _ = parse(&with(json!({ "offer": { "sdp": text } })));
        }
    }
}
