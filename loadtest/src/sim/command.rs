//! `starling-load sim`: what can be asked for, and what is refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use super::{
    page, pictures, report,
    runs::{Comparison, Result},
    strategies::Strategy,
};

/// Fewest viewers: with fewer, most networks have one.
const FEWEST_VIEWERS: usize = 100;
/// Most: a run of so many takes a quarter of an hour and 2 GiB.
const MOST_VIEWERS: usize = 100_000;
/// Longest run.
const MOST_MINUTES: u32 = 120;
/// Most seeds.
const MOST_SEEDS: u64 = 50;
/// Most runs at a time.
const MOST_JOBS: usize = 256;

/// Options of `sim`.
#[derive(Args, Clone, Debug)]
pub struct Sim {
    /// Viewers at the peak, half of whom come within a minute
    #[arg(long, default_value_t = 10_000)]
    viewers: usize,
    /// Runs of each case, with the seeds 1, 2, 3 and so on
    #[arg(long, default_value_t = 3, conflicts_with = "seed")]
    seeds: u64,
    /// One run of each case, with this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Simulated minutes
    #[arg(long, default_value_t = 15)]
    minutes: u32,
    /// Strategies to compare, side by side; can be repeated. All where none is named
    #[arg(long, value_enum)]
    strategy: Vec<Strategy>,
    /// Ours once more without each of its parts
    #[arg(long)]
    ablations: bool,
    /// The share of liars in the runs with people who do not play fair; 0 for none
    #[arg(long, default_value_t = 0.05)]
    liars: f64,
    /// And of free riders
    #[arg(long, default_value_t = 0.3)]
    free_riders: f64,
    /// Runs at a time, each on a thread of its own
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Write the results as JSON to a file, or to standard output with -
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Write a report with plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write each plot as SVG into this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

impl Sim {
    /// What to run, or why that cannot be.
    pub fn comparison(&self) -> anyhow::Result<Comparison> {
        let Self { viewers, minutes, seeds, liars, free_riders, jobs, .. } = *self;
        ensure!(
            (FEWEST_VIEWERS..=MOST_VIEWERS).contains(&viewers),
            "--viewers {viewers} is not from {FEWEST_VIEWERS} to {MOST_VIEWERS}"
        );
        ensure!((3..=MOST_MINUTES).contains(&minutes), "--minutes {minutes} is not from 3 to {MOST_MINUTES}");
        ensure!((1..=MOST_SEEDS).contains(&seeds), "--seeds {seeds} is not from 1 to {MOST_SEEDS}");
        for (name, share) in [("--liars", liars), ("--free-riders", free_riders)] {
            ensure!((0.0..=0.9).contains(&share), "{name} {share} is not a share from 0 to 0.9");
        }
        ensure!(
            liars + free_riders <= 0.95,
            "--liars and --free-riders leave nobody who plays fair: take less than 0.95"
        );
        ensure!((1..=MOST_JOBS).contains(&jobs), "--jobs {jobs} is not from 1 to {MOST_JOBS}");
        let mut strategies = self.strategy.clone();
        if strategies.is_empty() {
            strategies = vec![Strategy::Random, Strategy::TopK, Strategy::Starling, Strategy::Oracle];
        }
        strategies.dedup();
        ensure!(
            !self.ablations || strategies.contains(&Strategy::Starling),
            "--ablations are of starling: take --strategy starling too"
        );
        Ok(Comparison {
            viewers,
            minutes,
            seeds: self.seed.map_or_else(|| (1..=seeds).collect(), |seed| vec![seed]),
            cases: Comparison::cases(&strategies, liars, free_riders, self.ablations),
            jobs,
        })
    }

    /// Looks whether there is a place for what is to be written, before hours of work.
    pub fn prepare(&self) -> anyhow::Result<()> {
        if let Some(folder) = &self.plots {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{} cannot be made: choose another --plots", folder.display()))?;
        }
        if let Some(file) = &self.html {
            write(file, "", "--html")?;
        }
        Ok(())
    }

    /// Writes the report and the plots, where asked for.
    pub fn write(&self, comparison: &Comparison, results: &[Result]) -> anyhow::Result<()> {
        let pictures = pictures::all(results);
        if let Some(folder) = &self.plots {
            for picture in &pictures {
                write(&folder.join(format!("{}.svg", picture.name)), &picture.svg, "--plots")?;
            }
        }
        if let Some(file) = &self.html {
            write(file, &page::html(comparison, results, &pictures), "--html")?;
        }
        Ok(())
    }

    /// Runs everything; the table for a person, and the same for a program.
    pub fn run(&self) -> anyhow::Result<(String, serde_json::Value)> {
        let comparison = self.comparison()?;
        self.prepare()?;
        let results = comparison.run(true);
        self.write(&comparison, &results)?;
        Ok((report::table(&comparison, &results), report::json(&comparison, &results)))
    }
}

fn write(file: &Path, text: &str, option: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("{} cannot be written: choose another {option}", file.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::sim::runs::Part;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        sim: Sim,
    }

    fn sim(arguments: &[&str]) -> Sim {
        Line::parse_from([&["sim"], arguments].concat()).sim
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (arguments, expected) in [
            (&["--viewers", "99"][..], "--viewers 99 is not from 100 to 100000"),
            (&["--viewers", "100001"], "--viewers"),
            (&["--minutes", "2"], "--minutes 2 is not from 3 to 120"),
            (&["--minutes", "121"], "--minutes"),
            (&["--seeds", "0"], "--seeds 0 is not from 1 to 50"),
            (&["--seeds", "51"], "--seeds"),
            (&["--liars", "1.5"], "--liars 1.5 is not a share"),
            (&["--liars", "NaN"], "--liars NaN is not a share"),
            (&["--free-riders=-0.1"], "--free-riders"),
            (&["--liars", "0.5", "--free-riders", "0.5"], "nobody who plays fair"),
            (&["--jobs", "0"], "--jobs 0 is not from 1 to 256"),
            (&["--strategy", "random", "--ablations"], "take --strategy starling"),
        ] {
            let complaint = sim(arguments).comparison().expect_err("this cannot be").to_string();
            assert!(complaint.contains(expected), "{expected} not in: {complaint}");
        }
        for arguments in [&["--seed", "1", "--seeds", "2"][..], &["--strategy", "best"], &["--viewers", "many"]] {
            assert!(Line::try_parse_from([&["sim"], arguments].concat()).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_anything_is_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = file.join("below");
        for option in ["--html", "--plots"] {
            let complaint = sim(&[option, below.to_str().unwrap()]).prepare().unwrap_err().to_string();
            assert!(complaint.contains(option), "{complaint}");
        }
    }

    #[test]
    fn all_strategies_are_compared_where_none_is_named() {
        let all = sim(&["--ablations"]).comparison().unwrap();
        let count = |part| all.cases.iter().filter(|case| case.part == part).count();
        assert_eq!((count(Part::Strategies), count(Part::Conduct), count(Part::Ablations)), (4, 4, 9));
        assert_eq!(all.seeds, [1, 2, 3]);
        let one = sim(&["--strategy", "starling", "--seed", "7", "--liars", "0", "--free-riders", "0"]);
        let one = one.comparison().unwrap();
        assert_eq!((one.cases.len(), one.seeds), (1, vec![7]));
    }
}
