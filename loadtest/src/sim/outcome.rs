//! What came of a run.

use std::collections::BTreeMap;

use starling::domain::Nat;

/// What became of an attempt at a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A link.
    Opened,
    /// The network let nothing through.
    Unreachable,
    /// The other had all the links it takes, and refused.
    Full,
    /// The other had vanished, or left meanwhile.
    Gone,
    /// Its signals got lost.
    Lost,
}

/// Counts of one run. Amounts are in kbit.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Attempts by what became of them, in the order of [`End`].
    pub ends: [u64; 5],
    /// Attempts that both sides lived to see the end of, and links, by how the NATs of who offered and who was offered to
    /// really behave.
    pub by_nat: BTreeMap<(Nat, Nat), (u64, u64)>,
    /// From peers, in whole and right segments.
    pub p2p: f64,
    /// Of that, from another network.
    pub cross_as: f64,
    /// From the CDN.
    pub http: f64,
    /// From the CDN, in each second.
    pub http_by_second: Vec<f64>,
    /// Viewers that are there, in each second.
    pub viewers_by_second: Vec<u32>,
    /// Introductions of whoever had most of them, in each second.
    pub most_introduced: Vec<u32>,
    /// Segments that were played, but those of the start.
    pub segments: u64,
    /// Of those, what came too late.
    pub late: u64,
    /// Of those who can be reached, stayed a minute: seconds from arrival to the first byte from a peer, where there was one.
    pub first_byte: Vec<Option<f32>>,
    /// What those who can upload did, in kbit/s while they were there (a minute at least).
    pub uploads: Vec<f64>,
    /// What the busiest uploader sent, in kbit, and all together.
    pub most_uploaded: f64,
    /// See [`Outcome::most_uploaded`].
    pub uploaded: f64,
    /// Samples of viewers that were there for half a minute, ...
    pub samples: u64,
    /// ... of those without a link, ...
    pub without_link: u64,
    /// ... and their links.
    pub links: u64,
    /// Introductions in the flash crowd's first second of each who had any, ...
    pub first_second: Vec<u32>,
    /// ... and in its first minute.
    pub first_minute: Vec<u32>,
    /// How many links free riders and liars have, to how many links there are (two ends each).
    pub useless_links: u64,
}

impl Outcome {
    /// An attempt has ended.
    pub fn ended(&mut self, end: End) {
        self.ends[end as usize] += 1;
    }

    /// Attempts that ended.
    pub fn attempts(&self) -> u64 {
        self.ends.iter().sum()
    }

    /// The share of attempts that ended so.
    pub fn share(&self, end: End) -> f64 {
        ratio(self.ends[end as usize] as f64, self.attempts() as f64)
    }

    /// The measures, by name.
    pub fn measures(&self) -> Measures {
        let got: Vec<f64> = self.first_byte.iter().flatten().map(|seconds| f64::from(*seconds)).collect();
        Measures {
            offload: ratio(self.p2p, self.p2p + self.http),
            connect: self.share(End::Opened),
            attempts_per_link: ratio(self.attempts() as f64, self.ends[End::Opened as usize] as f64),
            cross_as: ratio(self.cross_as, self.p2p),
            first_byte_p50: quantile(&got, 0.5),
            first_byte_p95: quantile(&got, 0.95),
            never: 1.0 - ratio(got.len() as f64, self.first_byte.len() as f64),
            gini: gini(&self.uploads),
            most_loaded: ratio(self.most_uploaded, self.uploaded),
            no_link: ratio(self.without_link as f64, self.samples as f64),
            degree: ratio(self.links as f64, self.samples as f64),
            useless: ratio(self.useless_links as f64, self.links as f64),
            late: ratio(self.late as f64, self.segments as f64),
            unreachable: self.share(End::Unreachable),
            full: self.share(End::Full),
            gone: self.share(End::Gone) + self.share(End::Lost),
            second_max: self.first_second.iter().copied().max().unwrap_or(0).into(),
            second_median: median(&self.first_second),
            minute_max: self.first_minute.iter().copied().max().unwrap_or(0).into(),
            minute_median: median(&self.first_minute),
        }
    }
}

macro_rules! measures {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a run is judged by. Shares are from 0 to 1.
        #[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
        pub struct Measures {
            $($(#[$doc])* pub $name: f64,)*
        }

        impl Measures {
            /// The same of several runs: what `of` makes of each measure.
            pub fn over(runs: &[Self], of: impl Fn(&[f64]) -> f64) -> Self {
                Self { $($name: of(&runs.iter().map(|run| run.$name).collect::<Vec<_>>()),)* }
            }
        }
    };
}

measures! {
    /// Bytes from peers to all bytes.
    offload,
    /// Attempts that became links.
    connect,
    /// How many it took for one.
    attempts_per_link,
    /// Bytes from peers of another network to all from peers.
    cross_as,
    /// Seconds from arrival to the first byte from a peer: the median of those who got one, ...
    first_byte_p50,
    /// ... what 95 % of them did not exceed, ...
    first_byte_p95,
    /// ... and the share that never did, of those who could have and stayed a minute.
    never,
    /// Of the upload rates of those who can upload: 0 when all give alike, 1 when one gives everything.
    gini,
    /// What the busiest uploader sent, to everything that was sent.
    most_loaded,
    /// Viewers without any link, half a minute after they came and later.
    no_link,
    /// Links of a viewer.
    degree,
    /// Links whose other end never uploads: cellular, free rider, liar.
    useless,
    /// Segments that came too late.
    late,
    /// Attempts that failed in the network, ...
    unreachable,
    /// ... that were refused, ...
    full,
    /// ... whose target was gone, or whose signals got lost.
    gone,
    /// The most introductions of one target in the flash crowd's first second, ...
    second_max,
    /// ... and the median of all who had any;
    second_median,
    /// the same in its first minute.
    minute_max,
    /// See above.
    minute_median,
}

/// 0 where there is nothing to divide by.
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The mean.
pub fn mean(values: &[f64]) -> f64 {
    ratio(values.iter().sum(), values.len() as f64)
}

/// The value below which this share lies; 0 of nothing.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0.0)
}

fn median(counts: &[u32]) -> f64 {
    quantile(&counts.iter().map(|count| f64::from(*count)).collect::<Vec<_>>(), 0.5)
}

/// How unevenly something is shared out (Gini 1912): 0 when all have the same, towards 1 when one has everything.
pub fn gini(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, sum) = (sorted.len() as f64, sorted.iter().sum::<f64>());
    let ranked: f64 = sorted.iter().zip(1..).map(|(value, rank)| value * f64::from(rank)).sum();
    if sum > 0.0 { 2.0 * ranked / (count * sum) - (count + 1.0) / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inequality_is_measured_as_in_textbooks() {
        assert!(gini(&[5.0; 10]).abs() < 1e-12);
        assert!((gini(&[0.0, 0.0, 0.0, 8.0]) - 0.75).abs() < 1e-12);
        assert!((gini(&[3.0, 1.0, 2.0]) - 2.0 / 9.0).abs() < 1e-12);
        assert!(gini(&[]).abs() < 1e-12);
    }

    #[test]
    fn measures_are_ratios_of_what_was_counted() {
        let mut outcome = Outcome { p2p: 30.0, http: 10.0, cross_as: 6.0, ..Outcome::default() };
        for end in [End::Opened, End::Opened, End::Opened, End::Full, End::Unreachable] {
            outcome.ended(end);
        }
        outcome.first_byte = vec![Some(1.0), Some(2.0), Some(9.0), None];
        let is = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value}, not {expected}");
        let measures = outcome.measures();
        is(measures.offload, 0.75);
        is(measures.connect, 0.6);
        is(measures.attempts_per_link, 5.0 / 3.0);
        is(measures.cross_as, 0.2);
        is(measures.full, 0.2);
        is(measures.first_byte_p50, 2.0);
        is(measures.never, 0.25);
        let both = Measures::over(&[measures, Outcome::default().measures()], mean);
        is(both.offload, 0.375);
    }
}
