//! The server, as one node: who is a member, what was said of whom, scores every ten seconds, and a copy of the swarm every
//! ten seconds from which lists are made. What is plain in the server is called here (evidence, scores, pairs, the copy and its
//! samples, introductions, selection); what is a loop or a store there is a few lines here.

use std::collections::{BTreeMap, HashSet};

use starling::{
    domain::{
        Evidence, Member, PeerId, Ranked, Reach, Receipt, Score, Timestamp,
        evidence::{Attempt, MAX_REPORTERS, Source},
        introductions::Introduced,
        member::TRIED_BY,
        nat::{End, LEAST_CHANCE, Outcomes, Pair, Pairs},
        score::{full_kbps, score},
    },
    ranking::Snapshot,
    store::{LISTED_FOR, Pulled, Shard},
};

use super::{
    assumptions::BITRATE_KBPS,
    population::{Conduct, Population, Viewer},
    strategies::{Strategy, Without},
};

/// Seconds between two rounds of the ranker, and between two copies.
pub const INTERVAL_S: u32 = 10;
/// The copy is renewed in the middle between two rounds of the ranker.
pub const PULL_AT: u32 = 5;
/// What came of attempts loses half its weight in this time, in seconds: networks change slowly.
const PAIRS_HALF_LIFE_S: f32 = 3600.0;
/// Who is silent for so long is forgotten, in milliseconds.
const REMEMBERED_MS: u32 = 600_000;
/// As the ranker: so many counterparts that cannot reach a peer, while it has been silent for so long, unlist it early.
const SUSPECTED_BY: usize = 2;
const SUSPECT_AFTER_MS: u32 = 20_000;

/// A time of the simulation, in milliseconds, as the server's clock shows it.
pub fn clock(now: u32) -> Timestamp {
    Timestamp(1_800_000_000_000 + u64::from(now))
}

#[derive(Debug)]
struct Entry {
    member: Member,
    evidence: Option<Evidence>,
    // Until its next sign of life.
    is_suspected: bool,
}

/// What a peer says of itself in a report.
#[derive(Clone, Copy, Debug)]
struct Word {
    peer: u32,
    degree: u16,
    at: u32,
}

/// The server.
#[derive(Debug)]
pub struct Backend<'a> {
    pub(super) population: &'a Population,
    pub(super) strategy: Strategy,
    pub(super) without: Without,
    entries: Vec<Option<Entry>>,
    // The last sign of life of each.
    heard: Vec<u32>,
    // Members in the order in which they joined, the silent ones included.
    known: Vec<u32>,
    // What a tracker has: everybody who may be alive. Silent ones are dropped as they are come across.
    pub(super) listed: Vec<u32>,
    // Those who joined since the copy was made, and whether each did.
    pub(super) own: Vec<u32>,
    pub(super) is_own: Vec<bool>,
    pub(super) snapshot: Snapshot,
    // The copy's members who may be offered, the best first.
    pub(super) best: Vec<u32>,
    pub(super) introduced: Vec<Introduced>,
    pub(super) pairs: Pairs,
    counted: BTreeMap<Pair, Outcomes>,
    seen_attempts: HashSet<(u32, u32)>,
    words: Vec<Word>,
    receipts: Vec<(u32, Source, Receipt)>,
}

impl<'a> Backend<'a> {
    /// Nobody is there yet.
    pub fn new(population: &'a Population, strategy: Strategy, without: Without) -> Self {
        let all = population.viewers.len();
        Self {
            population,
            strategy,
            without,
            entries: (0..all).map(|_| None).collect(),
            heard: vec![0; all],
            known: Vec::new(),
            listed: Vec::new(),
            own: Vec::new(),
            is_own: vec![false; all],
            snapshot: Snapshot::default(),
            best: Vec::new(),
            introduced: vec![Introduced::default(); all],
            pairs: Pairs::default(),
            counted: BTreeMap::new(),
            seen_attempts: HashSet::new(),
            words: Vec::new(),
            receipts: Vec::new(),
        }
    }

    /// Somebody joins.
    pub fn join(&mut self, peer: u32, now: u32) {
        let viewer = &self.population.viewers[peer as usize];
        let member = Member {
            upload: viewer.may_upload(),
            nat: viewer.said_nat,
            slots: (viewer.conduct == Conduct::Liar).then_some(u16::MAX),
            playhead: Some(viewer.playhead(now)),
            bitrate_kbps: Some(BITRATE_KBPS as u32),
            address: Some(viewer.address),
            place: viewer.place,
            ..Member::new(viewer.id, clock(now))
        };
        self.entries[peer as usize] = Some(Entry { member, evidence: None, is_suspected: false });
        self.heard[peer as usize] = now;
        self.known.push(peer);
        self.listed.push(peer);
        self.own.push(peer);
        self.is_own[peer as usize] = true;
    }

    /// It says goodbye.
    pub fn leave(&mut self, peer: u32) {
        self.entries[peer as usize] = None;
        if std::mem::take(&mut self.is_own[peer as usize]) {
            self.own.retain(|other| *other != peer);
        }
    }

    /// A sign of life.
    pub fn hear(&mut self, peer: u32, now: u32) {
        self.heard[peer as usize] = now;
        if let Some(entry) = &mut self.entries[peer as usize] {
            entry.is_suspected = false;
        }
    }

    /// Whether it may be listed.
    pub fn is_alive(&self, peer: u32, now: u32) -> bool {
        self.entries[peer as usize].as_ref().is_some_and(|entry| !entry.is_suspected)
            && u128::from(now.saturating_sub(self.heard[peer as usize])) <= LISTED_FOR.as_millis()
    }

    /// A report.
    pub fn report(&mut self, peer: u32, degree: usize, receipts: Vec<(u32, Receipt)>, now: u32) {
        self.hear(peer, now);
        let viewer = &self.population.viewers[peer as usize];
        let degree = if viewer.conduct == Conduct::Liar { 0 } else { degree as u16 };
        self.words.push(Word { peer, degree, at: now });
        if self.strategy == Strategy::Random || self.strategy == Strategy::Oracle {
            return; // neither looks at what is said
        }
        for (about, receipt) in receipts {
            let [here, there] = [peer, about].map(|peer| self.end(peer));
            let can_meet = self.pairs.chance(here, there) >= LEAST_CHANCE;
            let prefix = self.row_of(viewer, now).member.prefix();
            self.receipts.push((about, Source { peer: viewer.id, prefix, end: here, can_meet }, receipt));
            self.count(peer, about, receipt.connected);
        }
    }

    /// Counts what came of an attempt, once for each two peers.
    fn count(&mut self, one: u32, other: u32, opened: bool) {
        if !self.without.learns() || !self.seen_attempts.insert((one.min(other), one.max(other))) {
            return;
        }
        let came = Outcomes { opened: f32::from(u8::from(opened)), failed: f32::from(u8::from(!opened)) };
        let [a, b] = [one, other].map(|peer| self.end(peer));
        for pair in Pair::of(a, b) {
            let counted = self.counted.entry(pair).or_default();
            *counted = counted.plus(came);
        }
    }

    fn end(&self, peer: u32) -> End {
        let viewer = &self.population.viewers[peer as usize];
        let known = self.entries[peer as usize].as_ref();
        let gone = End { nat: viewer.said_nat, asn: viewer.place.asn, reach: Reach::default() };
        known.map_or(gone, |entry| entry.member.end())
    }

    /// What has to be done every second.
    pub fn tick(&mut self, now: u32) {
        match now / 1000 % INTERVAL_S {
            0 => self.judge(now),
            PULL_AT => self.pull(now),
            _ => {}
        }
    }

    /// A round of the ranker.
    fn judge(&mut self, now: u32) {
        for Word { peer, degree, at } in std::mem::take(&mut self.words) {
            let viewer = &self.population.viewers[peer as usize];
            let Some(entry) = &mut self.entries[peer as usize] else { continue };
            let playhead = Some(viewer.playhead(at));
            entry.member = Member { degree, playhead, said: clock(at), ..entry.member.clone() };
        }
        let mut receipts = std::mem::take(&mut self.receipts);
        receipts.sort_by_key(|(about, ..)| *about);
        for of_one in receipts.chunk_by(|(one, ..), (other, ..)| one == other) {
            let peer = of_one[0].0 as usize;
            if let Some(entry) = &mut self.entries[peer] {
                entry.judge(of_one, self.without.learns(), now.saturating_sub(self.heard[peer]), now);
            }
        }
        for counted in self.counted.values_mut() {
            *counted = counted.times((-(INTERVAL_S as f32) / PAIRS_HALF_LIFE_S).exp2());
        }
        self.pairs = Pairs::new(self.counted.iter().map(|(pair, outcomes)| (*pair, *outcomes)));
    }

    /// A new copy.
    fn pull(&mut self, now: u32) {
        let Self { entries, heard, .. } = self;
        self.known.retain(|peer| {
            let is_known = now.saturating_sub(heard[*peer as usize]) <= REMEMBERED_MS;
            if !is_known {
                entries[*peer as usize] = None;
            }
            is_known && entries[*peer as usize].is_some()
        });
        let members: Vec<Ranked> = self.known.iter().map(|peer| self.row(*peer, now)).collect();
        let scores = members.iter().map(|row| row.score).zip(self.known.iter().copied());
        let mut best: Vec<_> = scores.filter(|(score, _)| *score > Score::ZERO).collect();
        best.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        self.best = best.into_iter().map(|(_, peer)| peer).collect();
        let shard = Shard { version: u64::from(now), members, left: Vec::new() };
        self.snapshot = self.snapshot.next(vec![Pulled::Changed(shard)], clock(now));
        for peer in self.own.drain(..) {
            self.is_own[peer as usize] = false;
        }
    }

    /// A member as lists see it: without what is kept from them.
    pub(super) fn row(&self, peer: u32, now: u32) -> Ranked {
        let entry = self.entries[peer as usize].as_ref().expect("only members are asked for");
        let said = entry.evidence.as_ref().map_or(Score::NEW, |evidence| evidence.score);
        let is_offered = entry.member.is_offered() && self.is_alive(peer, now);
        let mut member = entry.member.clone();
        let mut score = if is_offered { said } else { Score::ZERO };
        self.without.hide(&mut member, &mut score);
        Ranked { member, score, seen: clock(self.heard[peer as usize]) }
    }

    /// A caller as the server sees it.
    pub(super) fn row_of(&self, viewer: &Viewer, now: u32) -> Ranked {
        let mut member = Member {
            nat: viewer.said_nat,
            address: Some(viewer.address),
            place: viewer.place,
            playhead: Some(viewer.playhead(now)),
            ..Member::new(viewer.id, clock(now))
        };
        let mut score = Score::NEW;
        self.without.hide(&mut member, &mut score);
        Ranked { member, score, seen: clock(now) }
    }

    /// Links that a peer has, as it said last.
    pub(super) fn degree(&self, peer: u32) -> usize {
        self.entries[peer as usize].as_ref().map_or(0, |entry| entry.member.degree.into())
    }

    /// What came of its attempts.
    pub(super) fn reach(&self, peer: u32) -> Reach {
        let known = self.entries[peer as usize].as_ref();
        known.filter(|_| self.without.learns()).map_or_else(Reach::default, |entry| entry.member.reach)
    }

    /// When it said so.
    pub(super) fn said(&self, peer: u32) -> Timestamp {
        self.entries[peer as usize].as_ref().map_or(Timestamp(0), |entry| entry.member.said)
    }

    /// The id of a peer.
    pub fn id(&self, peer: u32) -> PeerId {
        self.population.viewers[peer as usize].id
    }

    /// A score, where there is one.
    pub fn score(&self, peer: u32, now: u32) -> Option<Score> {
        self.entries[peer as usize].is_some().then(|| self.row(peer, now).score)
    }
}

impl Entry {
    /// As the ranker's function of this name.
    fn judge(&mut self, receipts: &[(u32, Source, Receipt)], learns: bool, silent_ms: u32, now: u32) {
        let time = clock(now);
        let evidence = self.evidence.get_or_insert_with(|| Evidence::new(self.member.joined));
        let touched = evidence.touched;
        evidence.decay(time);
        let mut suspected_by = 0;
        for (_, source, receipt) in receipts.iter().take(2 * MAX_REPORTERS) {
            let timeouts = evidence.timeouts;
            let news = evidence.add(source, receipt, full_kbps(&self.member), time);
            if let Some(opened) = news.and_then(|news| news.opened).filter(|_| learns) {
                self.member.reach.note(self.member.nat, source.end.nat, opened);
            }
            let is_news = news.is_some();
            let failed = evidence.reporters.last().is_some_and(|last| last.attempt == Attempt::Failed);
            suspected_by += usize::from(is_news && (failed || evidence.timeouts > timeouts));
        }
        evidence.score = score(evidence, touched, &self.member, time);
        self.member.tried = evidence.reporters.len() >= TRIED_BY;
        self.is_suspected |= suspected_by >= SUSPECTED_BY && silent_ms > SUSPECT_AFTER_MS;
    }
}
