//! Load and faults for Starling, and the check that nothing acknowledged was lost.
//!
//! `client` speaks to the gateway, `peer` behaves as a page does, `load` plans who offers when, `history` keeps what
//! happened, `checker` judges it, `stack` starts everything on loopback (`cluster` a Redis Cluster), `faults` breaks it.
//! `sim` simulates who meets whom, without any of that.

pub mod checker;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod faults;
pub mod history;
pub mod load;
pub mod measure;
pub mod peer;
pub mod ports;
pub mod prober;
pub mod report;
pub mod sdp;
pub mod session;
pub mod sim;
pub mod stack;
pub mod tally;
pub mod wire;
