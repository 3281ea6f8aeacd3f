//! The whole service against a real Centrifugo: one binary, started once.

mod admin;
mod client;
mod command_line;
mod connect;
mod crowd;
#[path = "../../src/geo/testing.rs"]
mod databases;
mod explain;
mod faults;
mod gateway_config;
mod gateways;
mod geo;
mod inbox;
mod lists;
mod nodes;
mod policy;
mod publish;
mod raw;
mod report;
mod served;
mod signal;
mod world;

/// Runs each test over gRPC and over HTTP.
macro_rules! over_both_transports {
    ($($test:ident),* $(,)?) => {
        mod over_grpc { $( #[tokio::test] async fn $test() { super::$test(crate::world::Transport::Grpc).await; } )* }
        mod over_http { $( #[tokio::test] async fn $test() { super::$test(crate::world::Transport::Http).await; } )* }
    };
}
pub(crate) use over_both_transports;
