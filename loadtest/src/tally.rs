//! Counts and latencies of a run, taken from its history: what is shown is what was checked.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
        mpsc::Receiver,
    },
    thread::JoinHandle,
};

use fnv::FnvHashMap;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    checker::{Checker, Verdict},
    history::{Client, End, Event, Fate, Kind, What, follow},
};

/// Longest latency that is told apart, in microseconds.
const LONGEST: u64 = 120_000_000;

/// How often what happened. Sums over the whole run, but for what is measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Signals that were sent, each once.
    pub sent: u64,
    /// Signals sent again, with the same `seq`.
    pub repeated: u64,
    /// Signals with an `ok`; one that was repeated counts each time.
    pub acknowledged: u64,
    /// Signals refused, by code.
    pub refused: BTreeMap<u32, u64>,
    /// Signals whose call got no answer.
    pub unanswered_calls: u64,
    /// Signals that reached their application.
    pub applied: u64,
    /// Signals that receivers dropped as seen before.
    pub duplicates: u64,
    /// Candidates that came before their description and were held.
    pub held: u64,
    /// Signals that came with a reconnect.
    pub recovered: u64,
    /// Connections after a client's first.
    pub reconnects: u64,
    /// Reconnects with which everything missed was recovered.
    pub reconnects_recovered: u64,
    /// Sessions by how they ended for the one who began them.
    pub sessions: BTreeMap<String, u64>,
    /// Signals that reached their application while it was measured.
    pub measured: u64,
}

/// Latencies in microseconds.
pub struct Latencies {
    /// From the planned time of an express signal to its application.
    pub delivery: Histogram<u64>,
    /// From the planned time of an offer to its answer.
    pub answer: Histogram<u64>,
    /// From sending to `ok`, of each express signal.
    pub acknowledged: Histogram<u64>,
}

/// What is seen of a run while it runs.
#[derive(Debug, Default)]
pub struct Live {
    /// Signals that reached their application.
    pub applied: AtomicU64,
    /// Findings.
    pub wrong: AtomicU64,
    /// Signals refused.
    pub refused: AtomicU64,
    /// Acknowledged and not seen yet.
    pub unseen: AtomicI64,
    /// Clients that are connected.
    pub connected: AtomicI64,
}

/// Everything that a history says.
pub struct Tally {
    /// How often what happened.
    pub counts: Counts,
    /// How long it took.
    pub latencies: Latencies,
    checker: Checker,
    live: Arc<Live>,
    clients: FnvHashMap<Client, bool>,
    calls: FnvHashMap<(Client, u32), u64>,
    since: Option<u64>,
}

impl Tally {
    /// Nothing so far.
    pub fn new(live: Arc<Live>) -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3);
        let latencies = Latencies { delivery: histogram()?, answer: histogram()?, acknowledged: histogram()? };
        let (clients, calls) = (FnvHashMap::default(), FnvHashMap::default());
        Ok(Self {
            counts: Counts::default(),
            latencies,
            checker: Checker::default(),
            live,
            clients,
            calls,
            since: None,
        })
    }

    /// Takes what a log hands on, in a thread of its own.
    pub fn follow(self, blocks: Receiver<Vec<Event>>, file: Option<&Path>) -> anyhow::Result<Following> {
        follow(blocks, file, self, Self::observe)
    }

    /// The verdict, and everything that was counted.
    pub fn finish(self) -> (Verdict, Counts, Latencies) {
        (self.checker.finish(), self.counts, self.latencies)
    }

    /// Takes the next event.
    pub fn observe(&mut self, event: &Event) {
        let Event { at, client, what } = *event;
        let counts = &mut self.counts;
        match what {
            What::Measure { on } => self.since = on.then_some(at),
            What::Sent { kind, repeat, call, .. } => {
                *(if repeat == 0 { &mut counts.sent } else { &mut counts.repeated }) += 1;
                if kind.is_express() && self.since.is_some() {
                    self.calls.insert((client, call), at);
                }
            }
            What::Answered { call, code, .. } => {
                let sent = self.calls.remove(&(client, call));
                if code == 0 {
                    counts.acknowledged += 1;
                    if let Some(sent) = sent {
                        self.latencies.acknowledged.saturating_record(at - sent);
                    }
                } else {
                    *counts.refused.entry(code).or_default() += 1;
                    self.live.refused.fetch_add(1, Relaxed);
                }
            }
            What::Unknown { call, .. } => {
                self.calls.remove(&(client, call));
                counts.unanswered_calls += 1;
            }
            What::Received { fate, recovered, .. } => {
                counts.duplicates += u64::from(fate == Fate::Repeat);
                counts.held += u64::from(fate == Fate::Held);
                counts.recovered += u64::from(recovered);
            }
            What::Connected { recovered, .. } => {
                if self.clients.insert(client, true).is_some() {
                    counts.reconnects += 1;
                    counts.reconnects_recovered += u64::from(recovered);
                }
                self.live.connected.fetch_add(1, Relaxed);
            }
            What::Lost => {
                self.live.connected.fetch_sub(1, Relaxed);
            }
            What::Ended { how, .. } => {
                let how = match how {
                    End::Linked => "linked",
                    End::Unanswered => "unanswered",
                    End::Void => "void",
                    End::Refused => "refused",
                };
                *counts.sessions.entry(how.to_owned()).or_default() += 1;
            }
            What::Begin { .. } | What::Released { .. } | What::Finish => {}
        }
        if let Some(seen) = self.checker.observe(event) {
            self.counts.applied += 1;
            self.live.applied.fetch_add(1, Relaxed);
            if let Some(since) = self.since {
                self.counts.measured += 1;
                if seen.kind.is_express() && seen.planned >= since {
                    self.latencies.delivery.saturating_record(at.saturating_sub(seen.planned));
                }
                if let (Kind::Answer, Some(offered)) = (seen.kind, seen.offered.filter(|offered| *offered >= since)) {
                    self.latencies.answer.saturating_record(at.saturating_sub(offered));
                }
            }
        }
        self.live.unseen.store(self.checker.unseen(), Relaxed);
        self.live.wrong.store(self.checker.wrong_so_far(), Relaxed);
    }
}

/// A tally being taken.
pub type Following = JoinHandle<anyhow::Result<Tally>>;
