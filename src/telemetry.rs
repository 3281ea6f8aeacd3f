//! What operators see: log lines and metrics.

use std::{
    fmt,
    io::IsTerminal,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::ValueEnum;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        format::{Writer, debug_fn},
        time::FormatTime,
    },
};

/// Log target of one line per event in a peer's life (at debug level): who joined, whose offer was delivered, who left.
pub const EVENTS: &str = "starling::events";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error. `filter` is a level, or levels by target: `info,starling::events=debug`.
pub fn log(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    // The client of the Redis Cluster would log each of its attempts to connect, dozens a second; the store says once
    // that Redis is away. A level for `redis` in the filter comes later and wins.
    let filter = EnvFilter::builder()
        .parse(format!("redis=off,{filter}"))
        .context("--log is a level, or levels by target: info,hyper=warn")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
    }
    Ok(())
}

/// Prints one line per event in a peer's life, and whatever goes wrong, to standard output.
pub fn log_events() {
    // The fields say again what the words say.
    let words =
        debug_fn(|writer, field, value| if field.name() == "message" { write!(writer, "{value:?}") } else { Ok(()) });
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("warn,{EVENTS}=debug")))
        .with_timer(SinceStart(Instant::now()))
        .with_target(false)
        .with_level(false)
        .with_ansi(false)
        .fmt_fields(words)
        .with_writer(std::io::stdout)
        .init();
}

/// Seconds since the start, to the millisecond.
struct SinceStart(Instant);

impl FormatTime for SinceStart {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        write!(line, "{:8.3} s ", self.0.elapsed().as_secs_f64())
    }
}

/// Folds what histograms have gathered, until told to stop: otherwise they grow while nobody asks for metrics.
pub async fn upkeep(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

/// A recorder for one backend. Series are made inside `metrics::with_local_recorder`, so that several backends can live
/// in one process.
pub fn recorder() -> PrometheusRecorder {
    // From a tenth of a millisecond, which a lane takes, to the gateway's time-out.
    let seconds = [0.000_1, 0.000_3, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
    let bytes = [1e2, 3e2, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6];
    let counts = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &bytes))
        .and_then(|builder| builder.set_buckets(&counts))
        .expect("there are buckets")
        .build_recorder()
}
