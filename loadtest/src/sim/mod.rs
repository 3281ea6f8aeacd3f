//! The simulator: who watches ([`population`]), what the network lets through ([`network`]), how clients behave
//! ([`viewers`], [`receipts`]) and exchange segments ([`exchange`]), what the server knows and answers ([`backend`], with the
//! selection and scores of the server itself), and what came of it ([`outcome`]). One run is a function of its
//! [`Scenario`]: the same in, the same out.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts of a simulation, far from the ends of their types"
)]

pub mod assumptions;
pub mod backend;
pub mod command;
pub mod exchange;
pub mod lists;
pub mod network;
pub mod outcome;
pub mod page;
pub mod patience;
pub mod pictures;
pub mod plots;
pub mod population;
pub mod receipts;
pub mod report;
pub mod runs;
pub mod strategies;
pub mod viewers;
pub mod world;

#[cfg(test)]
mod tests;

use strategies::{Strategy, Without};

/// Whom to simulate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// At the peak.
    pub viewers: usize,
    /// How long.
    pub minutes: u32,
    /// Where random choices begin.
    pub seed: u64,
    /// The share that lies.
    pub liars: f64,
    /// The share that does not upload.
    pub free_riders: f64,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    /// Whom.
    pub shape: Shape,
    /// How lists are made.
    pub strategy: Strategy,
    /// What is kept from them.
    pub without: Without,
}
