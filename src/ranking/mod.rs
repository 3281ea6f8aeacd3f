//! What we know of peers, kept in loops of their own.

mod sweeper;

pub use sweeper::Sweeper;
