//! What operators see of Redis.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::scripts::Request;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Join,
    Find,
    Touch,
    Leave,
    Restore,
    Known,
    Judge,
    Pull,
    Sweep,
    Account,
    Totals,
    Learn,
    Learned,
    Steer,
    Steered,
    Tell,
    Announce,
}

const COMMANDS: [&str; 17] = [
    "join", "find", "touch", "leave", "restore", "known", "judge", "pull", "sweep", "account", "totals", "learn",
    "learned", "steer", "steered", "tell", "announce",
];

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No answer in time.
    Late,
    /// No connection, or nobody serves the slot.
    Away,
    /// An answer, but not one that we can use.
    Answer,
}

const REASONS: [&str; 3] = ["late", "away", "answer"];

struct Of {
    seconds: Histogram,
    commands: Counter,
    bytes: Counter,
    errors: [Counter; 3],
}

/// Made once at start, so that series exist at zero.
pub struct RedisMetrics {
    of: [Of; COMMANDS.len()],
    /// Connections that were made anew because the last one was of no use.
    pub rebuilds: Counter,
}

impl RedisMetrics {
    /// All series.
    pub fn new() -> Self {
        Self {
            of: COMMANDS.map(|command| Of {
                seconds: histogram!("starling_store_redis_seconds", "command" => command),
                commands: counter!("starling_store_redis_commands_total", "command" => command),
                bytes: counter!("starling_store_redis_sent_bytes_total", "command" => command),
                errors: REASONS.map(
                    |reason| counter!("starling_store_redis_errors_total", "command" => command, "reason" => reason),
                ),
            }),
            rebuilds: counter!("starling_store_redis_rebuilds_total"),
        }
    }

    /// A request has come to its end.
    pub fn done(&self, command: Command, request: &Request, took: Duration, failure: Option<Reason>) {
        let of = &self.of[command as usize];
        of.seconds.record(took);
        of.commands.increment(request.len() as u64);
        of.bytes.increment(request.bytes() as u64);
        if let Some(reason) = failure {
            of.errors[reason as usize].increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let recorder = crate::telemetry::recorder();
        let metrics = metrics::with_local_recorder(&recorder, RedisMetrics::new);
        let request = Request::to(0).command("GET", "key", &[]);
        metrics.done(Command::Announce, &request, Duration::from_millis(1), Some(Reason::Answer));
        let shown = recorder.handle().render();
        for command in COMMANDS {
            for series in [
                format!("starling_store_redis_commands_total{{command=\"{command}\"}}"),
                format!("starling_store_redis_sent_bytes_total{{command=\"{command}\"}}"),
                format!("starling_store_redis_errors_total{{command=\"{command}\",reason=\"late\"}}"),
            ] {
                assert!(shown.contains(&series), "{series} not in: {shown}");
            }
        }
        assert!(shown.contains("starling_store_redis_rebuilds_total 0"));
        assert!(shown.contains("starling_store_redis_errors_total{command=\"announce\",reason=\"answer\"} 1"));
        assert!(shown.contains("starling_store_redis_seconds_count{command=\"announce\"} 1"), "{shown}");
    }
}
