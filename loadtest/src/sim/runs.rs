//! The runs of a comparison: each case once per seed, on as many threads as asked for.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use indicatif::{ProgressBar, ProgressStyle};
use starling::domain::Nat;

use super::{
    Scenario, Shape,
    outcome::{Measures, Outcome, mean},
    strategies::{Strategy, Without},
    world,
};

/// What a case is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Strategies side by side, with people who play fair.
    Strategies,
    /// Ours, with people who do not.
    Conduct,
    /// Ours, without one of its parts.
    Ablations,
}

/// One case of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is part of.
    pub part: Part,
    /// As it is called.
    pub name: String,
    /// How lists are made.
    pub strategy: Strategy,
    /// What is kept from them.
    pub without: Without,
    /// The share that lies.
    pub liars: f64,
    /// The share that does not upload.
    pub free_riders: f64,
}

/// A case, and what came of it with each seed.
#[derive(Debug)]
pub struct Result {
    /// Which.
    pub case: Case,
    /// In the order of the seeds.
    pub outcomes: Vec<Outcome>,
}

impl Result {
    /// The measures of each seed.
    pub fn measures(&self) -> Vec<Measures> {
        self.outcomes.iter().map(Outcome::measures).collect()
    }

    /// Their means.
    pub fn mean(&self) -> Measures {
        Measures::over(&self.measures(), mean)
    }

    /// Attempts and links of all seeds by how the NATs of both sides really behave.
    pub fn by_nat(&self) -> BTreeMap<(Nat, Nat), (u64, u64)> {
        let mut sums: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for (pair, (attempts, links)) in self.outcomes.iter().flat_map(|outcome| &outcome.by_nat) {
            let sum = sums.entry(*pair).or_default();
            *sum = (sum.0 + attempts, sum.1 + links);
        }
        sums
    }

    /// The least of each.
    pub fn least(&self) -> Measures {
        Measures::over(&self.measures(), |values| values.iter().copied().fold(f64::INFINITY, f64::min))
    }

    /// The most of each.
    pub fn most(&self) -> Measures {
        Measures::over(&self.measures(), |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// What to compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Viewers at the peak.
    pub viewers: usize,
    /// Simulated minutes.
    pub minutes: u32,
    /// Each case is run with each of them.
    pub seeds: Vec<u64>,
    /// What is compared.
    pub cases: Vec<Case>,
    /// Runs at a time.
    pub jobs: usize,
}

impl Comparison {
    /// The strategies; ours with those who do not play fair, as far as any are wanted; and without each part.
    pub fn cases(strategies: &[Strategy], liars: f64, free_riders: f64, ablations: bool) -> Vec<Case> {
        let case = |part, name: String, strategy, without, liars, free_riders| Case {
            part,
            name,
            strategy,
            without,
            liars,
            free_riders,
        };
        let mut cases: Vec<Case> = strategies
            .iter()
            .map(|strategy| case(Part::Strategies, strategy.name().to_owned(), *strategy, Without::Nothing, 0.0, 0.0))
            .collect();
        if !strategies.contains(&Strategy::Starling) {
            return cases;
        }
        let (some, riders) =
            (format!("{:.0} % liars", liars * 100.0), format!("{:.0} % free riders", free_riders * 100.0));
        for (name, liars, free_riders, wanted) in [
            (some.clone(), liars, 0.0, liars > 0.0),
            (riders.clone(), 0.0, free_riders, free_riders > 0.0),
            (format!("{some}, {riders}"), liars, free_riders, liars > 0.0 && free_riders > 0.0),
        ] {
            if wanted {
                cases.push(case(Part::Conduct, name, Strategy::Starling, Without::Nothing, liars, free_riders));
            }
        }
        // How much of that anybody could do something about: who knows all does not name those who give nothing.
        if liars + free_riders > 0.0 && strategies.contains(&Strategy::Oracle) {
            let name = "the same, oracle".to_owned();
            cases.push(case(Part::Conduct, name, Strategy::Oracle, Without::Nothing, liars, free_riders));
        }
        for without in Without::PARTS.into_iter().filter(|_| ablations) {
            cases.push(case(Part::Ablations, format!("no {}", without.name()), Strategy::Starling, without, 0.0, 0.0));
        }
        cases
    }

    /// Runs everything.
    pub fn run(&self, progress: bool) -> Vec<Result> {
        let plan: Vec<(usize, u64)> =
            (0..self.cases.len()).flat_map(|case| self.seeds.iter().map(move |seed| (case, *seed))).collect();
        let bar = if progress { bar(plan.len() as u64 * u64::from(self.minutes)) } else { ProgressBar::hidden() };
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(plan.len()) {
                scope.spawn(|| {
                    while let Some((case, seed)) = plan.get(next.fetch_add(1, Relaxed)) {
                        let outcome = self.run_one(&self.cases[*case], *seed, &bar);
                        done.lock().expect("nobody panics with it").push(((*case, *seed), outcome));
                    }
                });
            }
        });
        bar.finish_and_clear();
        let mut done = done.into_inner().expect("nobody panicked");
        done.sort_by_key(|(key, _)| *key);
        let of = |number: usize| done.iter().filter(move |((case, _), _)| *case == number);
        (0..)
            .zip(&self.cases)
            .map(|(number, case)| Result {
                case: case.clone(),
                outcomes: of(number).map(|(_, outcome)| outcome.clone()).collect(),
            })
            .collect()
    }

    fn run_one(&self, case: &Case, seed: u64, bar: &ProgressBar) -> Outcome {
        let Case { strategy, without, liars, free_riders, .. } = *case;
        let shape = Shape { viewers: self.viewers, minutes: self.minutes, seed, liars, free_riders };
        bar.set_message(case.name.clone());
        let mut seconds = 0;
        world::run(Scenario { shape, strategy, without }, || {
            seconds += 1;
            if seconds % 60 == 0 {
                bar.inc(1);
            }
        })
    }
}

fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) =
        ProgressStyle::with_template("{elapsed_precise} {bar:40} {pos} of {len} simulated minutes, {eta} left: {msg}")
    {
        bar.set_style(style);
    }
    bar
}
