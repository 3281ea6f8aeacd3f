//! The command line.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use starling::{
    app::{App, geo_settings, token_keys},
    clock::Clock,
    config::Config,
    demo,
    domain::{SwarmPattern, token::Claims},
    geo::Geo,
    lifecycle::asked_to_stop,
    telemetry::{self, LogFormat},
};
use tracing::{error, info};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Signaling and peer selection for browser P2P video networks, behind Centrifugo.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Run the backend (also what a bare `starling` does)
    Serve(Serve),
    /// Read the configuration and the files of `[geo]`; say what is wrong, or print it with secrets as ***
    Check(File),
    /// Print an access token signed with the first configured key, for trying things out
    Token(Token),
    /// Run gateway, backend, a page and a token endpoint on loopback, with secrets made up
    Demo(demo::Options),
}

#[derive(Args)]
struct File {
    /// Configuration file (TOML). Environment variables such as `STARLING_GATEWAY__API_URL` win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    file: File,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: a level, or levels by target. `info,starling::events=debug` adds a line per join and offer
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

#[derive(Args)]
struct Token {
    #[command(flatten)]
    file: File,
    /// A swarm that its bearer may join, or the beginning of several followed by *; can be repeated
    #[arg(long, required = true, value_name = "SWARM", value_parser = SwarmPattern::parse)]
    swarm: Vec<SwarmPattern>,
    /// How long it is valid, such as 30m or 1h
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Who its bearer is
    #[arg(long)]
    sub: Option<String>,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "the last word of a program that cannot go on")]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        // In one piece and without a backtrace: these are for operators.
        Err(error) => {
            eprintln!("starling: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(options) => serve(options).await,
        Command::Check(File { config }) => check(&Config::load(config.as_deref())?),
        Command::Token(options) => token(options),
        Command::Demo(options) => demo::run(options).await,
    }
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    telemetry::log(options.log_format, &options.log)?;
    let config = Config::load(options.file.config.as_deref())?;
    let asked_to_stop = asked_to_stop().context("signals cannot be heard")?;
    let app = App::start(&config, Clock::System).await?;
    let failed = tokio::select! {
        () = asked_to_stop => false,
        () = app.failed() => true,
    };
    info!("Stopping: no new calls; what was accepted is published first");
    app.stop().await?;
    if failed {
        error!("Stopped, since a task that should not end had ended");
        bail!("a task that should not end had ended");
    }
    info!("Stopped");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what it was asked for")]
fn check(config: &Config) -> anyhow::Result<()> {
    Geo::open(geo_settings(config))?;
    print!("{}", toml::to_string_pretty(config)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what it was asked for")]
fn token(options: Token) -> anyhow::Result<()> {
    let config = Config::load(options.file.config.as_deref())?;
    let claims = Claims { sub: options.sub, ..Claims::until(Clock::System.now() + options.ttl, options.swarm) };
    let token = token_keys(&config).sign(&claims).context("none of token.keys can sign: it needs one with a secret")?;
    println!("{token}");
    Ok(())
}
