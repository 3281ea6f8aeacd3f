//! How we speak to clients: through Centrifugo, which holds their connections.

mod api;
mod centrifugo;
mod metrics;
#[cfg(test)]
pub mod recording;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::PeerId;

pub use centrifugo::Centrifugo;

/// One publication to one inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose inbox.
    pub to: PeerId,
    /// The signals as JSON texts, in order; at least one.
    pub signals: Vec<String>,
    /// Whether a client that is away for a moment should find it when it comes back.
    pub history: bool,
}

/// What became of each delivery of a batch, in order.
pub type Published = Vec<Result<(), GatewayError>>;

/// Why the gateway did not do what it was asked. Nothing here says that it did not happen after all: a time-out can
/// come after the deed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Not even tried: no node has answered for a while.
    #[error("gateway down")]
    Down,
    /// No connection, or it broke.
    #[error("gateway unreachable: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("gateway unreachable: no answer in time")]
    Late {
        /// Whether another node may be faster.
        elsewhere: bool,
    },
    /// An answer that we cannot use.
    #[error("gateway answered {0}")]
    Answer(String),
    /// It understood and refused.
    #[error("gateway refused: {message} ({code})")]
    Refused {
        /// Centrifugo's error code.
        code: u32,
        /// And its text.
        message: String,
    },
}

impl GatewayError {
    /// Whether it is Centrifugo's own trouble, such as an engine that is away.
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::Refused { code: 100, .. })
    }

    /// Whether the same can succeed a moment later.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Down | Self::Unreachable(_) => true,
            // One that is slow must not get the same twice.
            Self::Late { elsewhere } => *elsewhere,
            Self::Answer(_) => false,
            // Internal error, such as an engine that is away; too many requests.
            Self::Refused { code, .. } => matches!(code, 100 | 111),
        }
    }
}

/// The gateway.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Publishes `deliveries`, at most one per receiver, in one call that takes no longer than `within`. The outer error
    /// concerns all of them, the inner ones each its own.
    async fn publish(&self, deliveries: &[Delivery], within: Duration) -> Result<Published, GatewayError>;

    /// Ends every connection of `peer` but the one that is called `keep`: its session was resumed there.
    async fn disconnect_others(&self, peer: PeerId, keep: &str) -> Result<(), GatewayError>;

    /// Whether calls have a chance. Costs nothing.
    fn is_up(&self) -> bool;

    /// What is down, and why, in words for operators.
    fn missing(&self) -> Option<String>;
}
