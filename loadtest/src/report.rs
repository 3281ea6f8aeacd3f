//! What a person reads while it runs and at the end, and what a program reads.

use std::{fmt::Write, sync::atomic::Ordering::Relaxed, time::Duration};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{checker::Verdict, load::Outcome, tally::Live};

/// A line that shows how far a run is; on a terminal only.
pub struct Progress(ProgressBar);

impl Progress {
    /// A line, or none.
    pub fn new(shown: bool) -> Self {
        if !shown {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    /// Shows a state.
    pub fn show(&self, what: &str, live: &Live) {
        if self.0.is_hidden() {
            return;
        }
        let Live { applied, wrong, refused, unseen, connected } = live;
        self.0.set_message(format!(
            "{what}: {} connected, {} signals arrived, {} on their way, {} refused, {} wrong",
            connected.load(Relaxed),
            applied.load(Relaxed),
            unseen.load(Relaxed),
            refused.load(Relaxed),
            wrong.load(Relaxed)
        ));
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Outcome {
    /// Why this run is no success; empty when it is one. `calm`: nothing was broken on purpose, so that every session
    /// should have found its answer.
    pub fn complaints(&self, calm: bool) -> Vec<String> {
        let mut complaints = self.verdict.complaints();
        let mut demand = |good: bool, complaint: String| {
            if !good {
                complaints.push(complaint);
            }
        };
        let counts = &self.counts;
        demand(counts.acknowledged > 0 && counts.applied > 0, "nothing was relayed".to_owned());
        let failed = self.failed.first().map_or("", String::as_str);
        demand(self.failed.is_empty(), format!("{} clients gave up, such as: {failed}", self.failed.len()));
        if calm {
            for how in ["unanswered", "void", "refused"] {
                let sessions = counts.sessions.get(how).copied().unwrap_or(0);
                demand(sessions == 0, format!("{sessions} sessions ended {how}"));
            }
            demand(counts.reconnects == 0, format!("{} connections were lost", counts.reconnects));
            let Verdict { candidates_lost, unknown, .. } = self.verdict;
            demand(candidates_lost == 0, format!("{candidates_lost} candidates were lost"));
            demand(unknown == 0, format!("{unknown} signals got no verdict"));
            let unasked = counts.duplicates > counts.repeated;
            demand(!unasked, format!("{} duplicates of {} repeats", counts.duplicates, counts.repeated));
            demand(self.skipped == 0, format!("{} planned calls could not be sent", self.skipped));
        }
        complaints
    }

    /// For a program.
    pub fn json(&self, complaints: &[String]) -> Value {
        let usage = self.measured.usage(self.counts.measured);
        json!({
            "complaints": complaints,
            "verdict": self.verdict,
            "counts": self.counts,
            "signals_per_second": self.per_second(),
            "seconds": self.measured.seconds,
            "clients": self.clients,
            "bytes_per_client": self.bytes_per_client,
            "latency_us": {
                "delivery": quantiles(&self.latencies.delivery),
                "answer": quantiles(&self.latencies.answer),
                "acknowledged": quantiles(&self.latencies.acknowledged),
            },
            "processes": usage,
            "late_calls": self.late,
            "latest_call_us": self.latest,
            "skipped_calls": self.skipped,
            "deliveries": self.deliveries,
            "delivered_bytes": self.delivered_bytes,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "as precise as anybody reads")]
    fn per_second(&self) -> f64 {
        self.counts.measured as f64 / self.measured.seconds
    }

    /// For a person.
    pub fn table(&self, complaints: &[String]) -> String {
        let mut out = String::new();
        let counts = &self.counts;
        let mut line = |name: &str, text: String| {
            let _ = writeln!(out, "{name:<22} {text}");
        };
        line(
            "signals",
            format!("{:.0}/s, {} in {:.1} s measured", self.per_second(), counts.measured, self.measured.seconds),
        );
        line("clients", format!("{}, {:.1} KB each", self.clients, kilobytes(self.bytes_per_client)));
        for (name, histogram) in [
            ("sending to delivery", &self.latencies.delivery),
            ("offer to answer", &self.latencies.answer),
            ("sending to ok", &self.latencies.acknowledged),
        ] {
            let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
            let (p50, p90, p99, worst) = (at(0.5), at(0.9), at(0.99), milliseconds(histogram.max()));
            line(name, format!("p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  worst {worst:.2} ms"));
        }
        let mut servers = 0.0;
        for usage in self.measured.usage(counts.measured) {
            let cpu = usage.cpu_us_per_signal.map_or("ended".to_owned(), |cpu| format!("{cpu:.1} us/signal"));
            let share = usage.cpu_share.map_or(String::new(), |share| format!(" ({:.0} %)", share * 100.0));
            if usage.name != "generator" {
                servers += usage.cpu_us_per_signal.unwrap_or(0.0);
            }
            line(&usage.name, format!("{cpu}{share}, {:.0} MB", kilobytes(usage.memory) / 1024.0));
        }
        if servers > 0.0 {
            line("servers together", format!("{servers:.1} us/signal"));
        }
        counted(&mut line, self);
        if self.late > 0 {
            let worst = milliseconds(self.latest);
            line("GENERATOR LATE", format!("{} calls, up to {worst:.0} ms: latencies include it", self.late));
        }
        judged(&mut out, &self.verdict, complaints);
        out
    }
}

fn counted(line: &mut impl FnMut(&str, String), outcome: &Outcome) {
    let counts = &outcome.counts;
    let refused: Vec<String> = counts.refused.iter().map(|(code, n)| format!("{n} with {code}")).collect();
    let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
    let sessions: Vec<String> = counts.sessions.iter().map(|(how, n)| format!("{n} {how}")).collect();
    line("sent", format!("{}, and {} repeats", counts.sent, counts.repeated));
    line("acknowledged", counts.acknowledged.to_string());
    line("refused", refused);
    line("no answer to the call", counts.unanswered_calls.to_string());
    let Verdict { void, absent, stale, candidates_lost, unknown, .. } = outcome.verdict;
    let (applied, duplicates, held) = (counts.applied, counts.duplicates, counts.held);
    line("arrived", format!("{applied}; {duplicates} duplicates removed, {held} candidates held"));
    line("recovered by history", counts.recovered.to_string());
    line("void, absent, stale", format!("{void}, {absent}, {stale}; {candidates_lost} candidates never came"));
    line("outcome unknown", unknown.to_string());
    line("sessions", sessions.join(", "));
    if let Some(links) = counts.sessions.get("linked") {
        #[expect(clippy::cast_precision_loss, reason = "as precise as anybody reads")]
        let each = |sum: u64| sum as f64 / *links as f64;
        let (deliveries, bytes) = (each(outcome.deliveries), each(outcome.delivered_bytes));
        line("deliveries", format!("{}, {deliveries:.2} and {bytes:.0} bytes per link", outcome.deliveries));
    }
    line("reconnects", format!("{}, {} with everything recovered", counts.reconnects, counts.reconnects_recovered));
    if outcome.skipped > 0 {
        line("not sent", format!("{} planned calls, since their clients were not connected", outcome.skipped));
    }
}

impl Verdict {
    /// What is wrong, in a line each.
    pub fn complaints(&self) -> Vec<String> {
        self.wrong.iter().map(|(wrong, n)| format!("{n} {}", format!("{wrong:?}").to_lowercase())).collect()
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let Self { void, absent, stale, candidates_lost, unknown, .. } = self;
        let _ = writeln!(out, "void {void}, absent {absent}, stale {stale}, unknown {unknown}");
        let _ = writeln!(out, "candidates that never came {candidates_lost}");
        judged(&mut out, self, &self.complaints());
        out
    }
}

fn judged(out: &mut String, verdict: &Verdict, complaints: &[String]) {
    if complaints.is_empty() {
        let _ = writeln!(out, "{:<22} every promise was kept", "VERDICT");
        return;
    }
    let _ = writeln!(out, "{:<22} {}", "VERDICT", complaints.join("; "));
    for example in &verdict.examples {
        let _ = writeln!(out, "  {example}");
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    let at = |quantile| histogram.value_at_quantile(quantile);
    json!({ "count": histogram.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
            "max": histogram.max() })
}

#[expect(clippy::cast_precision_loss, reason = "as precise as anybody reads")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "as precise as anybody reads")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
