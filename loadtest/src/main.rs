//! The program: reads the command line and says how it went.

use std::process::ExitCode;

use clap::Parser;
use starling_load::cli::{Cli, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One thread for all clients, so that a small machine is left to the servers.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
#[expect(clippy::print_stderr, reason = "the last word of a program that cannot go on")]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("starling-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}
