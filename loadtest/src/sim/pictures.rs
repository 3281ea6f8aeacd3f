//! Which plots are made of a comparison. A strategy has one colour in all of them.

use super::{
    assumptions::{FLASH_AT, SEGMENT_S},
    outcome::{Measures, Outcome, mean},
    plots::{Axis, Bar, Line, Panel, Written, bars, changes, lines},
    runs::{Part, Result},
    strategies::Strategy,
};

/// A plot.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Of its file, without `.svg`.
    pub name: &'static str,
    /// What it shows, for those who cannot see it and below it.
    pub says: &'static str,
    /// The plot.
    pub svg: String,
}

/// Seconds before and after the beginning of the flash crowd that are shown.
const AROUND_FLASH: (i64, i64) = (50, 150);
/// Seconds over which the load of the CDN is averaged: a segment, since that is the beat of a live stream.
const LOAD_OVER: usize = SEGMENT_S as usize;
/// As far as first bytes are shown, in seconds.
const FIRST_BYTE_S: u32 = 60;

/// Colours that people with any colour vision can tell apart (Okabe and Ito 2008), on white and on black.
const fn colour(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Random => "#e69f00",
        Strategy::TopK => "#cc79a7",
        Strategy::Starling => "#2b83c6",
        Strategy::Oracle => "#009e73",
    }
}

fn shares(value: f64) -> String {
    format!("{value:.2}")
}

fn percent(value: f64) -> String {
    format!("{:.0} %", value * 100.0)
}

fn number(value: f64) -> String {
    if value < 10.0 && value.fract().abs() > 0.01 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn points(value: f64) -> String {
    if value.abs() < 1e-9 { "0".to_owned() } else { format!("{:+.0}", value * 100.0) }
}

/// All plots for which there are results.
pub fn all(results: &[Result]) -> Vec<Picture> {
    let of = |part| results.iter().filter(|result| result.case.part == part).collect::<Vec<_>>();
    let strategies = of(Part::Strategies);
    let mut pictures = vec![
        Picture {
            name: "strategies",
            says: "Means of all seeds; the thin lines reach from the least to the most, the dashed ones are what was to be reached.",
            svg: side_by_side(&strategies),
        },
        Picture {
            name: "first-byte",
            says: "Of viewers who could link to somebody and stayed a minute: how many had got something from a peer by then.",
            svg: first_byte(&strategies),
        },
        Picture {
            name: "upload",
            says: "Of those who can upload, the least busy first: the share of everything that they sent. All alike would be the diagonal.",
            svg: upload(&strategies),
        },
        Picture {
            name: "cdn-load",
            says: "What the CDN sends while half of the audience arrives within a minute, a fifth of that in the first second.",
            svg: load(&strategies),
        },
        Picture {
            name: "introductions",
            says: "How often whoever was named most often was named, in each second.",
            svg: introductions(&strategies),
        },
    ];
    if let Some(ours) = strategies.iter().find(|result| result.case.strategy == Strategy::Starling) {
        for (part, name, says, title) in [
            (
                Part::Conduct,
                "conduct",
                "Against the same run with people who play fair, in points of a hundred.",
                "Starling with people who do not play fair",
            ),
            (
                Part::Ablations,
                "ablations",
                "Against the same run with everything, in points of a hundred.",
                "Starling without one of its parts",
            ),
        ] {
            let others: Vec<&Result> =
                of(part).into_iter().filter(|other| other.case.strategy == Strategy::Starling).collect();
            if !others.is_empty() {
                pictures.push(Picture { name, says, svg: against(ours, &others, title) });
            }
        }
    }
    pictures
}

fn bar(result: &Result, of: fn(&Measures) -> f64) -> Bar {
    Bar {
        name: result.case.name.clone(),
        colour: colour(result.case.strategy),
        value: of(&result.mean()),
        spread: (of(&result.least()), of(&result.most())),
    }
}

fn side_by_side(results: &[&Result]) -> String {
    let panel = |title, axis, of: fn(&Measures) -> f64, target| Panel {
        title,
        axis,
        bars: results.iter().map(|result| bar(result, of)).collect(),
        target,
    };
    let share = |written: Written| Axis::linear("", 0.0, 1.0, 5.0, written);
    let most = results.iter().map(|result| result.most().attempts_per_link).fold(10.0, f64::max);
    bars(
        "Strategies side by side",
        &[
            panel("offload: bytes from peers to all", share(shares), |of| of.offload, Some(0.6)),
            panel("attempts that became links", share(percent), |of| of.connect, Some(0.9)),
            panel("attempts per link", Axis::log("", 1.0, most, number), |of| of.attempts_per_link, None),
            panel("peers' bytes across networks", share(shares), |of| of.cross_as, Some(0.6)),
        ],
    )
}

fn curves(results: &[&Result], points: impl Fn(&[Outcome]) -> Vec<(f64, f64)>) -> Vec<Line> {
    let line = |result: &&Result| Line {
        name: result.case.name.clone(),
        colour: colour(result.case.strategy),
        points: points(&result.outcomes),
    };
    results.iter().map(line).collect()
}

fn first_byte(results: &[&Result]) -> String {
    let curves = curves(results, |outcomes| {
        let all: Vec<Option<f32>> = outcomes.iter().flat_map(|outcome| outcome.first_byte.iter().copied()).collect();
        let by = |second: u32| all.iter().flatten().filter(|at| **at <= second as f32).count() as f64;
        // A byte of the step that begins with a second came within it.
        let at =
            |second: u32| (f64::from(second), if second == 0 { 0.0 } else { by(second - 1) / all.len().max(1) as f64 });
        (0..=FIRST_BYTE_S).map(at).collect()
    });
    let x = Axis::linear("seconds from arrival", 0.0, f64::from(FIRST_BYTE_S), 6.0, number);
    let y = Axis::linear("viewers with bytes from a peer", 0.0, 1.0, 5.0, percent);
    lines("Time to the first byte from a peer", &x, &y, &curves, None)
}

fn upload(results: &[&Result]) -> String {
    const STEPS: usize = 100;
    let curves = curves(results, |outcomes| {
        let mut rates: Vec<f64> = outcomes.iter().flat_map(|outcome| outcome.uploads.iter().copied()).collect();
        rates.sort_by(f64::total_cmp);
        let sum: f64 = rates.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let below = |step: usize| rates[..rates.len() * step / STEPS].iter().sum::<f64>() / sum;
        (0..=STEPS).map(|step| (step as f64 / STEPS as f64, below(step))).collect()
    });
    let x = Axis::linear("viewers who can upload, the least busy first", 0.0, 1.0, 5.0, percent);
    let y = Axis::linear("share of the upload", 0.0, 1.0, 5.0, percent);
    lines("Who uploads how much (Lorenz curve)", &x, &y, &curves, None)
}

/// A value for each second around the beginning of the flash crowd, as the mean of all seeds.
fn around_flash(outcomes: &[Outcome], value: impl Fn(&Outcome, usize) -> f64) -> Vec<(f64, f64)> {
    let seconds = outcomes.first().map_or(0, |outcome| i64::try_from(outcome.viewers_by_second.len()).unwrap_or(0));
    let flash = (seconds as f64 * FLASH_AT) as i64;
    (-AROUND_FLASH.0..=AROUND_FLASH.1)
        .filter(|after| (0..seconds).contains(&(flash + after)))
        .map(|after| {
            let values: Vec<f64> = outcomes.iter().map(|outcome| value(outcome, (flash + after) as usize)).collect();
            (after as f64, mean(&values))
        })
        .collect()
}

fn seconds_axis() -> Axis {
    Axis::linear("seconds after the flash crowd began", -AROUND_FLASH.0 as f64, AROUND_FLASH.1 as f64, 4.0, number)
}

fn highest(lines: &[Line]) -> f64 {
    lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value).fold(0.0, f64::max)
}

fn load(results: &[&Result]) -> String {
    let curves = curves(results, |outcomes| {
        around_flash(outcomes, |outcome, second| {
            let seconds = &outcome.http_by_second[second.saturating_sub(LOAD_OVER - 1)..=second];
            mean(seconds) / 1e6
        })
    });
    let y = Axis::linear("Gbit/s from the CDN", 0.0, highest(&curves).max(0.1), 5.0, number);
    lines("Load of the CDN in the flash crowd", &seconds_axis(), &y, &curves, Some((0.0, "half of the audience comes")))
}

fn introductions(results: &[&Result]) -> String {
    let curves = curves(results, |outcomes| {
        around_flash(outcomes, |outcome, second| f64::from(outcome.most_introduced[second].max(1)))
    });
    let y = Axis::log("most introductions of one peer", 1.0, highest(&curves).max(10.0), number);
    lines(
        "Introductions of the peer that is named most, per second",
        &seconds_axis(),
        &y,
        &curves,
        Some((0.0, "half of the audience comes")),
    )
}

fn against(ours: &Result, others: &[&Result], title: &str) -> String {
    let panel = |title, of: fn(&Measures) -> f64| {
        let change = |other: &&Result| {
            // Seed by seed: the same people came.
            let changes: Vec<f64> =
                ours.measures().iter().zip(other.measures()).map(|(ours, other)| of(&other) - of(ours)).collect();
            Bar {
                name: other.case.name.clone(),
                colour: colour(Strategy::Starling),
                value: mean(&changes),
                spread: (
                    changes.iter().copied().fold(f64::INFINITY, f64::min),
                    changes.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                ),
            }
        };
        let bars: Vec<Bar> = others.iter().map(change).collect();
        let ends = bars.iter().map(|bar| bar.spread);
        let (least, most) =
            ends.fold((-0.01_f64, 0.01_f64), |(least, most), (low, high)| (least.min(low), most.max(high)));
        Panel { title, axis: Axis::linear("points", least, most, 4.0, points), bars, target: None }
    };
    changes(
        title,
        &[
            panel("offload", |of| of.offload),
            panel("attempts that became links", |of| of.connect),
            panel("bytes across networks", |of| of.cross_as),
        ],
    )
}
