//! What leaves us: lanes of signals waiting to be published.

mod batch;
mod lanes;
mod metrics;

pub use batch::Outgoing;
pub use lanes::{NotPublished, Outbox, OutboxSettings, Receipt};
