//! Signals: what one peer tells another to set up a link.

use serde::{Deserialize, Serialize};

use super::sdp::{self, SdpError};

/// Longest description, in bytes.
pub const MAX_SDP: usize = 8 * 1024;
/// Most candidates in one signal.
pub const MAX_CANDIDATES: usize = 20;
/// Longest reason of a bye, in characters.
pub const MAX_REASON: usize = 64;

/// Names one attempt to link: 1 to 32 of `[A-Za-z0-9_-]`, the offerer's choice, used by both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(String);

impl SessionId {
    /// Reads a session name.
    pub fn parse(text: &str) -> Result<Self, BadSignal> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadSignal::Session)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A description that opens a session.
    Offer,
    /// The description that answers it.
    Answer,
    /// ICE candidates found later (trickle ICE, RFC 8838).
    Candidates,
    /// The end of a session, or a refusal.
    Bye,
}

impl Kind {
    /// Whether it goes out at once, so that `ok` means that it was published; candidates may wait for company.
    pub const fn is_express(self) -> bool {
        !matches!(self, Self::Candidates)
    }

    /// The lower-case word for logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Candidates => "candidates",
            Self::Bye => "bye",
        }
    }
}

/// What a signal carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A session description (RFC 8866).
    Offer(String),
    /// Likewise.
    Answer(String),
    /// Candidates for the only section, and whether these were the last.
    Candidates(Vec<String>, bool),
    /// Why, in a few words.
    Bye(String),
}

/// Why a signal cannot be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignal {
    /// Not 1 to 32 of the allowed characters.
    #[error("session is 1 to 32 characters of A-Z a-z 0-9 _ -")]
    Session,
    /// Longer than [`MAX_REASON`], or with control characters.
    #[error("a reason is at most {MAX_REASON} characters of text")]
    Reason,
    /// No candidate, and not the end of them.
    #[error("candidates are empty, and this is not their end")]
    Empty,
    /// More than [`MAX_SDP`] bytes or [`MAX_CANDIDATES`] candidates.
    #[error("{what} is larger than its limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its limit, with the unit.
        limit: String,
    },
    /// The text breaks the grammar.
    #[error(transparent)]
    Grammar(#[from] SdpError),
}

/// A signal that may be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The attempt that it belongs to.
    pub session: SessionId,
    /// Counts each side's signals in a session from 0.
    pub seq: u32,
    // Checked by `new`.
    body: Body,
}

impl Signal {
    /// Checks sizes and grammar.
    pub fn new(session: SessionId, seq: u32, body: Body) -> Result<Self, BadSignal> {
        match &body {
            Body::Offer(sdp) | Body::Answer(sdp) => {
                if sdp.len() > MAX_SDP {
                    return Err(BadSignal::TooLarge { what: "sdp", limit: format!("{MAX_SDP} bytes") });
                }
                sdp::check_description(sdp)?;
            }
            Body::Candidates(candidates, end) => {
                if candidates.len() > MAX_CANDIDATES {
                    return Err(BadSignal::TooLarge { what: "candidates", limit: MAX_CANDIDATES.to_string() });
                }
                if candidates.is_empty() && !end {
                    return Err(BadSignal::Empty);
                }
                candidates.iter().try_for_each(|candidate| sdp::check_candidate(candidate))?;
            }
            Body::Bye(reason) => {
                if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
                    return Err(BadSignal::Reason);
                }
            }
        }
        Ok(Self { session, seq, body })
    }

    /// What it carries.
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self.body {
            Body::Offer(_) => Kind::Offer,
            Body::Answer(_) => Kind::Answer,
            Body::Candidates(..) => Kind::Candidates,
            Body::Bye(_) => Kind::Bye,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sdp::tests::DESCRIPTION, *};

    fn signal(body: Body) -> Result<Signal, BadSignal> {
        Signal::new(SessionId::parse("s").unwrap(), 0, body)
    }

    #[test]
    fn sessions_keep_to_their_alphabet() {
        assert!(SessionId::parse("aZ09_-").is_ok() && SessionId::parse(&"x".repeat(32)).is_ok());
        for bad in ["", "a b", "ä", &"x".repeat(33)] {
            assert_eq!(SessionId::parse(bad), Err(BadSignal::Session));
        }
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let sdp = |len: usize| {
            let fill = len - DESCRIPTION.len() - "a=\r\n".len();
            format!("{DESCRIPTION}a={}\r\n", "x".repeat(fill))
        };
        assert!(signal(Body::Offer(sdp(MAX_SDP))).is_ok());
        assert!(matches!(signal(Body::Offer(sdp(MAX_SDP + 1))), Err(BadSignal::TooLarge { what: "sdp", .. })));
        let candidates = |n: usize| vec!["candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag x".to_owned(); n];
        assert!(signal(Body::Candidates(candidates(20), false)).is_ok());
        assert!(matches!(signal(Body::Candidates(candidates(21), false)), Err(BadSignal::TooLarge { .. })));
        assert_eq!(signal(Body::Candidates(vec![], false)), Err(BadSignal::Empty));
        assert!(signal(Body::Candidates(vec![], true)).is_ok());
        assert!(signal(Body::Bye("ü".repeat(64))).is_ok());
        assert_eq!(signal(Body::Bye("x".repeat(65))), Err(BadSignal::Reason));
        assert_eq!(signal(Body::Bye("a\nb".into())), Err(BadSignal::Reason));
    }
}
