//! The one place where errors become what the client sees.

use crate::{
    domain::{signal::BadSignal, token::TokenError},
    outbox::NotPublished,
    protocol::{Code, Refusal, SignalError},
    ranking::RankingError,
    signaling::{CallError, ConnectError, PublishError, RelayError},
};

/// When a signal that found a lane full, or the gateway away, is worth another try, in milliseconds.
const RETRY_MS: u64 = 500;
/// Longest message of an error, in bytes: enough for a reason, too little to echo what a client sent.
const MAX_MESSAGE: usize = 200;

/// Why a call is answered with an error.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Refused by the use case.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A single signal that is not good.
    #[error(transparent)]
    Relay(RelayError),
    /// Published to something else than an inbox.
    #[error("signals are published to inbox:<peer id>")]
    NoInbox,
    /// The payload cannot be read.
    #[error("malformed request: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The payload is larger than this method's limit, in bytes.
    #[error("request is larger than its limit of {0} bytes")]
    TooLarge(usize),
    /// No such RPC.
    #[error("unknown method")]
    UnknownMethod,
    /// A proxy event that we do not handle.
    #[error("unknown event: this backend handles connect, refresh, rpc and publish")]
    UnknownEvent,
}

impl From<PublishError> for ProxyError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Call(error) => Self::Call(error),
            PublishError::Relay(error) => Self::Relay(error),
        }
    }
}

impl ProxyError {
    /// The code in the caller's answer.
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::NoInbox | Self::Call(CallError::Ranking(RankingError::TooManySwarms)) => {
                Code::Malformed
            }
            Self::Relay(error) => relay_code(error),
            Self::Call(CallError::SessionExpired) => Code::Unauthorized,
            Self::Call(CallError::SwarmNotAllowed | CallError::ExplainNotAllowed) => Code::Forbidden,
            Self::UnknownMethod | Self::UnknownEvent => Code::UnknownMethod,
            Self::TooLarge(_) | Self::Call(CallError::TooManySignals | CallError::TooManyReceipts) => Code::TooLarge,
            Self::Call(CallError::GatewayAway | CallError::Ranking(RankingError::Full)) => Code::Unavailable,
        }
    }

    /// The message in the caller's answer.
    pub fn message(&self) -> String {
        bounded(self.to_string())
    }
}

/// What one signal of a call is answered with.
pub fn signal_error(error: &RelayError) -> SignalError {
    let code = relay_code(error);
    let retry_ms = code.temporary().then_some(RETRY_MS);
    SignalError { code: code.number(), message: bounded(error.to_string()), retry_ms }
}

const fn relay_code(error: &RelayError) -> Code {
    match error {
        RelayError::Malformed(_) => Code::Malformed,
        RelayError::Bad(bad) => match bad {
            BadSignal::Session | BadSignal::Reason | BadSignal::Empty => Code::Malformed,
            BadSignal::TooLarge { .. } => Code::TooLarge,
            BadSignal::Grammar(_) => Code::Unprocessable,
        },
        RelayError::Ticket(_) => Code::Forbidden,
        RelayError::Gone => Code::Gone,
        RelayError::NotPublished(
            NotPublished::Full | NotPublished::Stopping | NotPublished::Gateway | NotPublished::Late,
        ) => Code::Unavailable,
    }
}

/// How a connection is refused: with a code and a reason of less than 32 bytes.
pub fn refusal(error: &ConnectError) -> (Refusal, String) {
    let refusal = match error {
        ConnectError::Token(
            TokenError::Malformed
            | TokenError::Signature
            | TokenError::Audience
            | TokenError::Expired
            | TokenError::Early,
        ) => Refusal::Token,
        ConnectError::SwarmNotAllowed => Refusal::Swarm,
        ConnectError::Overloaded => Refusal::Overloaded,
    };
    (refusal, error.to_string())
}

fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}
