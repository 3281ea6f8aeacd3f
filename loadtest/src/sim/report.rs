//! The table that a person reads at the end, and the same for a program.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    outcome::Measures,
    runs::{Comparison, Part, Result},
    strategies::Strategy,
};

/// What the research prototype of this design found, as far as it is known: offload, connect success, cross-AS share.
pub const PROTOTYPE: [(&str, [Option<f64>; 3]); 3] = [
    ("random", [Some(0.55), Some(0.37), Some(0.89)]),
    ("top-k", [Some(0.20), Some(0.04), None]),
    ("starling", [Some(0.62), Some(0.92), Some(0.58)]),
];

/// What ours is meant to reach, and whether it does: in words, and with numbers.
pub fn verdicts(results: &[Result]) -> Vec<(String, bool)> {
    let Some(ours) = results.iter().find(|result| is_ours(result)) else { return Vec::new() };
    let (least, most) = (ours.least(), ours.most());
    let mut verdicts = vec![
        (format!("offload at least 0.60: {:.3} with the worst seed", least.offload), least.offload >= 0.6),
        (format!("connect success at least 90 %: {:.1} %", least.connect * 100.0), least.connect >= 0.9),
        (format!("cross-AS share at most 0.60: {:.3}", most.cross_as), most.cross_as <= 0.6),
        (
            format!(
                "in the flash crowd's first second nobody is introduced more than 3 times as often as the median of those who are: {:.0} and {:.0}",
                most.second_max, least.second_median
            ),
            most.second_max <= 3.0 * least.second_median,
        ),
    ];
    let is_conduct = |result: &&Result| (result.case.part, result.case.strategy) == (Part::Conduct, Strategy::Starling);
    for other in results.iter().filter(is_conduct) {
        let change = (other.mean().offload - ours.mean().offload) * 100.0;
        let said = format!("{} change offload by less than 3 points: {change:+.1}", other.case.name);
        verdicts.push((said, change.abs() < 3.0));
    }
    verdicts
}

fn is_ours(result: &Result) -> bool {
    result.case.part == Part::Strategies && result.case.strategy == Strategy::Starling
}

/// A measure in a table: its heading, and how it is written.
pub type Column = (&'static str, fn(&Measures) -> String);

/// The measures that are told in tables.
pub const COLUMNS: [Column; 14] = [
    ("offload", |of| format!("{:.3}", of.offload)),
    ("connect", |of| format!("{:.1} %", of.connect * 100.0)),
    ("per link", |of| format!("{:.2}", of.attempts_per_link)),
    ("cross-AS", |of| format!("{:.3}", of.cross_as)),
    ("1st byte", |of| format!("{:.0} s", of.first_byte_p50)),
    ("95 %", |of| format!("{:.0} s", of.first_byte_p95)),
    ("never", |of| format!("{:.1} %", of.never * 100.0)),
    ("Gini", |of| format!("{:.2}", of.gini)),
    ("busiest", |of| format!("{:.2} %", of.most_loaded * 100.0)),
    ("no link", |of| format!("{:.1} %", of.no_link * 100.0)),
    ("links", |of| format!("{:.1}", of.degree)),
    ("late", |of| format!("{:.2} %", of.late * 100.0)),
    ("1 s", |of| format!("{:.0}/{:.0}", of.second_max, of.second_median)),
    ("60 s", |of| format!("{:.0}/{:.0}", of.minute_max, of.minute_median)),
];

/// For a person.
pub fn table(comparison: &Comparison, results: &[Result]) -> String {
    let mut out = String::new();
    let Comparison { viewers, minutes, seeds, .. } = comparison;
    let _ = writeln!(out, "{viewers} viewers at the peak, {minutes} minutes, means of seeds {seeds:?}\n");
    for (part, title) in [
        (Part::Strategies, "strategies"),
        (Part::Conduct, "people who do not play fair"),
        (Part::Ablations, "starling with"),
    ] {
        let rows: Vec<_> = results.iter().filter(|result| result.case.part == part).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(out, "{title:<30}");
        for (heading, _) in COLUMNS {
            let _ = write!(out, "{heading:>9}");
        }
        out.push('\n');
        for row in rows {
            let _ = write!(out, "{:<30}", row.case.name);
            for (_, written) in COLUMNS {
                let _ = write!(out, "{:>9}", written(&row.mean()));
            }
            out.push('\n');
        }
        out.push('\n');
    }
    let _ = writeln!(out, "failed attempts                  in the network     full     gone");
    for row in results {
        let Measures { unreachable, full, gone, .. } = row.mean();
        let [unreachable, full, gone] = [unreachable, full, gone].map(|share| format!("{:.1} %", share * 100.0));
        let _ = writeln!(out, "{:<30}{unreachable:>17}{full:>9}{gone:>9}", row.case.name);
    }
    out.push('\n');
    for (said, reached) in verdicts(results) {
        let _ = writeln!(out, "{} {said}", if reached { "reached    " } else { "NOT REACHED" });
    }
    out
}

/// For a program.
pub fn json(comparison: &Comparison, results: &[Result]) -> Value {
    let Comparison { viewers, minutes, seeds, .. } = comparison;
    let case = |result: &Result| {
        let seeds: Vec<_> = seeds
            .iter()
            .zip(result.measures())
            .map(|(seed, measures)| json!({ "seed": seed, "measures": measures }))
            .collect();
        let by_nat: Vec<_> = result
            .by_nat()
            .into_iter()
            .map(|((offers, answers), (attempts, links))| {
                json!({ "offers": offers, "answers": answers, "attempts": attempts, "links": links })
            })
            .collect();
        json!({
            "by_nat": by_nat,
            "part": format!("{:?}", result.case.part).to_lowercase(),
            "name": result.case.name,
            "strategy": result.case.strategy.name(),
            "without": result.case.without.name(),
            "liars": result.case.liars,
            "free_riders": result.case.free_riders,
            "mean": result.mean(),
            "least": result.least(),
            "most": result.most(),
            "seeds": seeds,
        })
    };
    let verdict = |(said, reached): (String, bool)| json!({ "target": said, "reached": reached });
    json!({
        "viewers": viewers,
        "minutes": minutes,
        "seeds": seeds,
        "cases": results.iter().map(case).collect::<Vec<_>>(),
        "verdicts": verdicts(results).into_iter().map(verdict).collect::<Vec<_>>(),
    })
}
