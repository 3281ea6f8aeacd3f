//! Computes scores anew: reads what is remembered of the peers that were heard of, adds what came in, and stores it
//! unless another node was faster; then it reads again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{LAST, Ranking, done_in_time, jittered, reports::About, view::View};
use crate::{
    domain::{
        End, Evidence, PeerId, Timestamp, Totals,
        evidence::Attempt,
        member::TRIED_BY,
        score::{full_kbps, score},
    },
    store::{Judged, Known, StoreError},
};

/// Most peers judged in one round. What is left waits for the next.
const MOST: usize = 200_000;
/// Peers read, judged and stored together.
const BATCH: usize = 10_000;
/// Batches under way at once.
const AT_ONCE: usize = 32;
/// How often a peer that another node judged meanwhile is read again in one round.
const TRIES: usize = 3;
/// So many counterparts that cannot reach a peer any more, while it has been silent for so long, unlist it early.
const SUSPECTED_BY: usize = 2;
const SUSPECT_AFTER: Duration = Duration::from_secs(20);

/// The loop.
pub struct Ranker(Arc<Ranking>);

impl Ranker {
    /// A ranker of what `ranking` hears.
    pub fn new(ranking: Arc<Ranking>) -> Self {
        Self(ranking)
    }

    /// Judges every interval, and once more when told to stop, so that what was heard is not lost.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(jittered(self.0.settings.interval))).await.is_some() {
            // With a store that hangs a round is long, and another one would be no better.
            if !done_in_time(&stop, self.run_once()).await {
                return;
            }
        }
        let _ = timeout(LAST, self.run_once()).await;
    }

    /// One round.
    pub async fn run_once(&self) {
        let began = Instant::now();
        self.0.learning.begin();
        let mut room = MOST;
        let mut batches = Vec::new();
        let views: Vec<_> = self.0.views().into_iter().filter(|view| view.may_ask()).collect();
        for view in &views {
            while room > 0 {
                let batch = view.reports.take(room.min(BATCH), &self.0.waiting);
                room -= batch.len();
                let more = batch.len() == BATCH;
                if !batch.is_empty() {
                    batches.push((view.clone(), batch));
                }
                if !more {
                    break;
                }
            }
        }
        if !batches.is_empty() {
            stream::iter(batches).for_each_concurrent(AT_ONCE, |(view, batch)| self.settle(view, batch)).await;
            self.0.metrics.round_seconds.record(began.elapsed());
        }
        stream::iter(views).for_each_concurrent(AT_ONCE, |view| self.account(view)).await;
        self.0.learn().await;
    }

    /// Adds to the swarm's totals; what cannot be added waits for the next round.
    async fn account(&self, view: Arc<View>) {
        let Some(new) = view.reports.take_totals() else { return };
        if let Err(error) = self.0.store.account(&view.swarm, new, self.0.clock.now()).await {
            debug!("What viewers of {} have reported waits: {error}", view.swarm);
            view.reports.account(new);
            view.state().failed();
        }
    }

    /// Judges a batch; what cannot be stored waits for the next round.
    async fn settle(&self, view: Arc<View>, mut batch: Vec<(PeerId, About)>) {
        for _ in 0..TRIES {
            match self.judge(&view, &batch).await {
                Ok(lost) => {
                    view.state().answered();
                    self.0.metrics.judged.increment((batch.len() - lost.len()) as u64);
                    self.0.metrics.lost.increment(lost.len() as u64);
                    batch.retain(|(peer, _)| lost.contains(peer));
                }
                Err(error) => {
                    debug!("Scores of {} peers of {} wait: {error}", batch.len(), view.swarm);
                    view.state().failed();
                    break;
                }
            }
            if batch.is_empty() {
                return;
            }
        }
        view.reports.put_back(batch, &self.0.waiting);
    }

    async fn judge(&self, view: &View, batch: &[(PeerId, About)]) -> Result<Vec<PeerId>, StoreError> {
        let peers: Vec<_> = batch.iter().map(|(peer, _)| *peer).collect();
        let known = self.0.store.known(&view.swarm, &peers).await?;
        let now = self.0.clock.now();
        let began = Instant::now();
        let (judged, told): (Vec<_>, Vec<_>) =
            batch.iter().zip(known).filter_map(|((_, about), known)| Some(judge(known?, about, now))).unzip();
        self.0.metrics.scoring_seconds.record(began.elapsed());
        let lost = self.0.store.judge(&view.swarm, &judged, now).await?;
        // Of what was stored, and only of that: so it counts once, on whichever nodes it was heard.
        let stored = judged.iter().zip(told).filter(|(judged, _)| !lost.contains(&judged.member.peer));
        let mut new = Totals::default();
        for (_, Told { totals, connect_ms, attempts }) in stored {
            new = new.plus(totals);
            for ms in connect_ms {
                self.0.offload.connected(ms);
            }
            for Attempted { by, here, there, opened } in attempts {
                if self.0.learning.note(by, here, there, opened) {
                    let metrics = &self.0.metrics;
                    if opened { &metrics.attempts_opened } else { &metrics.attempts_failed }.increment(1);
                }
            }
        }
        self.0.offload.count(new);
        view.reports.account(new);
        Ok(lost)
    }
}

/// What a judgement tells of more than the peer itself.
#[derive(Default)]
struct Told {
    /// What is new in its own counters, and links that opened.
    totals: Totals,
    /// How long each of these took.
    connect_ms: Vec<u32>,
    /// What came of attempts, where that was not known.
    attempts: Vec<Attempted>,
}

/// What came of an attempt.
struct Attempted {
    by: PeerId,
    here: End,
    there: End,
    opened: bool,
}

/// What becomes of a peer of which so much is known, with what came in about it.
fn judge(known: Known, about: &About, now: Timestamp) -> (Judged, Told) {
    let Known { ranked, evidence } = known;
    let mut evidence = evidence.unwrap_or_else(|| Evidence::new(ranked.member.joined));
    let touched = evidence.touched;
    let mut member = about.apply(&ranked.member);
    evidence.decay(now);
    let mut told = Told::default();
    if let Some(counters) = about.counters() {
        told.totals = evidence.account(counters, member.joined, now);
    }
    let mut suspected_by = 0;
    for (source, receipt) in &about.receipts {
        let timeouts = evidence.timeouts;
        let news = evidence.add(source, receipt, full_kbps(&member), now);
        let failed = evidence.reporters.last().is_some_and(|last| last.attempt == Attempt::Failed);
        suspected_by += usize::from(news.is_some() && (failed || evidence.timeouts > timeouts));
        let Some(opened) = news.and_then(|news| news.opened) else { continue };
        told.attempts.push(Attempted { by: source.peer, here: source.end, there: member.end(), opened });
        member.reach.note(member.nat, source.end.nat, opened);
        if let (true, Some(ms)) = (opened, receipt.connect_ms) {
            told.totals.connects += 1;
            told.totals.connect_ms += u64::from(ms);
            told.connect_ms.push(ms);
        }
    }
    member.tried = evidence.reporters.len() >= TRIED_BY;
    evidence.score = score(&evidence, touched, &member, now);
    let unlist = suspected_by >= SUSPECTED_BY && now.since(ranked.seen) > SUSPECT_AFTER;
    (Judged { said: ranked.member.said, member, evidence, unlist }, told)
}
