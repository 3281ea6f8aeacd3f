//! The one place where errors become what the client sees.

use crate::{
    domain::{signal::BadSignal, token::TokenError},
    outbox::NotPublished,
    protocol::{Code, Refusal, SignalError},
    signaling::{CallError, ConnectError, RelayError},
    store::StoreError,
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
    #[error("unknown event: this backend handles connect, refresh and rpc")]
    UnknownEvent,
}

impl ProxyError {
    /// The code in the caller's answer.
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::Call(CallError::Store(StoreError::TooManySwarms)) => Code::Malformed,
            Self::Call(CallError::SessionExpired) => Code::Unauthorized,
            Self::Call(CallError::SwarmNotAllowed) => Code::Forbidden,
            Self::UnknownMethod | Self::UnknownEvent => Code::UnknownMethod,
            Self::TooLarge(_) | Self::Call(CallError::TooManySignals) => Code::TooLarge,
            Self::Call(CallError::GatewayAway | CallError::Store(StoreError::Full)) => Code::Unavailable,
        }
    }

    /// The message in the caller's answer.
    pub fn message(&self) -> String {
        bounded(self.to_string())
    }
}

/// What one signal of a call is answered with.
pub fn signal_error(error: &RelayError) -> SignalError {
    let (code, retry_ms) = match error {
        RelayError::Malformed(_) => (Code::Malformed, None),
        RelayError::Bad(bad) => match bad {
            BadSignal::Session | BadSignal::Reason | BadSignal::Empty => (Code::Malformed, None),
            BadSignal::TooLarge { .. } => (Code::TooLarge, None),
            BadSignal::Grammar(_) => (Code::Unprocessable, None),
        },
        RelayError::Ticket(_) => (Code::Forbidden, None),
        RelayError::Gone => (Code::Gone, None),
        RelayError::NotPublished(why) => match why {
            NotPublished::Full | NotPublished::Stopping | NotPublished::Gateway | NotPublished::Late => {
                (Code::Unavailable, Some(RETRY_MS))
            }
        },
    };
    SignalError { code: code.number(), message: bounded(error.to_string()), retry_ms }
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
