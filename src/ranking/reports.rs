//! What peers say of themselves and of each other, merged until the ranker takes it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;

use crate::domain::{
    Counters, Member, PeerId, Receipt, Timestamp, Totals,
    evidence::{MAX_REPORTERS, Source, is_later},
    member::PLAYHEADS,
};

/// Most peers of which something waits, over all swarms of a node: 150 bytes each, and 100 for each receipt.
const MOST_PEERS: usize = 500_000;

/// What a peer says of itself in a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnWord {
    /// Links it has.
    pub degree: u16,
    /// Seconds into the content.
    pub playhead: Option<f32>,
    /// Its tab is hidden, or its battery low.
    pub resting: bool,
    /// What it has received and sent.
    pub counters: Counters,
}

/// When a peer said something: its epoch and number, and our time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// A larger one begins anew, as in a receipt.
    pub epoch: u16,
    /// Grows with each report of an epoch.
    pub seq: u32,
    /// When it came.
    pub at: Timestamp,
}

/// What waits to be judged of one peer.
#[derive(Clone, Debug, Default)]
pub struct About {
    word: Option<(Said, OwnWord)>,
    /// Who said what of it: the last receipt of each.
    pub receipts: Vec<(Source, Receipt)>,
}

/// What waits, of one swarm. `total` counts over all swarms.
#[derive(Default)]
pub struct Reports {
    about: Mutex<HashMap<PeerId, About, ahash::RandomState>>,
    // Was judged, and is not in the store's totals yet.
    totals: Mutex<Totals>,
}

impl Reports {
    /// Notes a receipt about `about`. Says whether there was room; if not, the next one tells the same and more.
    pub fn receipt(&self, about: PeerId, source: Source, receipt: Receipt, total: &AtomicUsize) -> bool {
        self.note(about, total, |entry| entry.receipt(source, receipt)).unwrap_or(false)
    }

    /// Notes what is to be added to the swarm's totals.
    pub fn account(&self, new: Totals) {
        let mut totals = self.totals.lock();
        *totals = totals.plus(new);
    }

    /// Takes what is to be added to the swarm's totals, if anything is.
    pub fn take_totals(&self) -> Option<Totals> {
        Some(std::mem::take(&mut *self.totals.lock())).filter(|totals| *totals != Totals::default())
    }

    /// Notes a peer's word on itself; the newest counts, but of its counters the largest.
    pub fn word(&self, peer: PeerId, said: Said, word: OwnWord, total: &AtomicUsize) {
        self.note(peer, total, |entry| entry.word(said, word));
    }

    fn note<T>(&self, about: PeerId, total: &AtomicUsize, note: impl FnOnce(&mut About) -> T) -> Option<T> {
        let mut reports = self.about.lock();
        if !reports.contains_key(&about) {
            if total.load(Relaxed) >= MOST_PEERS {
                return None;
            }
            total.fetch_add(1, Relaxed);
        }
        Some(note(reports.entry(about).or_default()))
    }

    /// Takes what waits, of up to `most` peers.
    pub fn take(&self, most: usize, total: &AtomicUsize) -> Vec<(PeerId, About)> {
        let mut reports = self.about.lock();
        let taken: Vec<_> = if reports.len() <= most {
            std::mem::take(&mut *reports).into_iter().collect()
        } else {
            let peers: Vec<_> = reports.keys().take(most).copied().collect();
            peers.into_iter().filter_map(|peer| reports.remove_entry(&peer)).collect()
        };
        total.fetch_sub(taken.len(), Relaxed);
        taken
    }

    /// Puts back what could not be stored. What came meanwhile is kept.
    pub fn put_back(&self, taken: impl IntoIterator<Item = (PeerId, About)>, total: &AtomicUsize) {
        for (peer, about) in taken {
            self.note(peer, total, |entry| {
                if let Some((said, word)) = about.word {
                    entry.word(said, word);
                }
                for (source, receipt) in about.receipts {
                    entry.receipt(source, receipt);
                }
            });
        }
    }
}

impl About {
    fn receipt(&mut self, source: Source, receipt: Receipt) -> bool {
        if let Some((last, before)) = self.receipts.iter_mut().find(|(other, _)| other.peer == source.peer) {
            *before = before.merge(receipt);
            *last = source;
            return true;
        }
        // Twice as many as are remembered of a peer.
        let is_room = self.receipts.len() < 2 * MAX_REPORTERS;
        if is_room {
            self.receipts.push((source, receipt));
        }
        is_room
    }

    fn word(&mut self, said: Said, word: OwnWord) {
        let is_newer = |before: &Said| {
            if said.epoch == before.epoch { said.seq > before.seq } else { is_later(said.epoch, before.epoch) }
        };
        let Some((before, last)) = &mut self.word else {
            self.word = Some((said, word));
            return;
        };
        let counters = last.counters.merge(word.counters);
        if is_newer(before) {
            (*before, *last) = (said, word);
        }
        last.counters = counters;
    }

    /// What it says that it has received and sent, if anything.
    pub fn counters(&self) -> Option<Counters> {
        self.word.map(|(_, word)| word.counters)
    }

    /// The member as it is after its own word. Also when that is what it said before: what was reserved of it until now is in
    /// it.
    pub fn apply(&self, member: &Member) -> Member {
        let mut member = member.clone();
        let Some((said, word)) = self.word.filter(|(said, _)| said.at > member.said) else { return member };
        let elapsed = said.at.since(member.said).as_secs_f32();
        member.playhead = word.playhead.or(member.playhead.map(|before| (before + elapsed) % PLAYHEADS));
        member.degree = word.degree;
        member.resting = word.resting;
        member.said = said.at;
        member
    }
}
