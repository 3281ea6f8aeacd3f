//! Signs of life of the peers of one swarm, and which of them the store has been told: no lock over all peers, since every
//! call is one.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use crate::domain::{PeerId, Timestamp};

/// A sign of life is written when the last one that was is older than this: a third of what unlists a peer. So with
/// calls at least every 30 s, and a copy renewed every 10 s, nobody alive seems silent.
const WRITE_EVERY: Duration = Duration::from_secs(15);
/// Peers are locked with one in so many others, for less than a microsecond. More would cost memory in each swarm.
const PARTS: usize = 8;

/// What was heard.
#[derive(Default)]
pub struct Signs([Mutex<Part>; PARTS]);

#[derive(Default)]
struct Part {
    heard: HashMap<PeerId, Heard, ahash::RandomState>,
    // When signs of life are to be written, by the second; each peer in one place at most.
    due: BTreeMap<u64, Vec<PeerId>>,
}

struct Heard {
    at: Timestamp,
    written: Option<Timestamp>,
    is_due: bool,
    // The store says that it is no member.
    stranger: bool,
}

impl Signs {
    /// A sign of life.
    pub fn hear(&self, peer: PeerId, now: Timestamp) {
        self.part(peer).hear(peer, now);
    }

    /// The same of one that has just joined.
    pub fn hear_joining(&self, peer: PeerId, now: Timestamp) {
        self.part(peer).hear(peer, now).stranger = false;
    }

    /// When this peer was heard last.
    pub fn last(&self, peer: PeerId) -> Option<Timestamp> {
        self.part(peer).heard.get(&peer).map(|heard| heard.at)
    }

    /// Whether the store has said that this peer is no member.
    pub fn is_stranger(&self, peer: PeerId) -> bool {
        self.part(peer).heard.get(&peer).is_some_and(|heard| heard.stranger)
    }

    /// Whether nobody was heard but those of whom the store has said that they are no members.
    pub fn are_of_strangers(&self) -> bool {
        self.0.iter().all(|part| part.lock().heard.values().all(|heard| heard.stranger))
    }

    /// Who was heard since then, with when.
    pub fn since(&self, then: Timestamp) -> Vec<(PeerId, Timestamp)> {
        let mut found = Vec::new();
        for part in &self.0 {
            let part = part.lock();
            let lately = part.heard.iter().filter(|(_, heard)| heard.at >= then);
            found.extend(lately.map(|(peer, heard)| (*peer, heard.at)));
        }
        found
    }

    /// The store knows of a sign of life.
    pub fn wrote(&self, peer: PeerId, at: Timestamp, is_member: bool) {
        if let Some(heard) = self.part(peer).heard.get_mut(&peer) {
            heard.written = Some(heard.written.map_or(at, |written| written.max(at)));
            heard.stranger = !is_member;
        }
    }

    /// Takes those that are to be written now.
    pub fn take_due(&self, now: Timestamp) -> Vec<(PeerId, Timestamp)> {
        let mut taken = Vec::new();
        for part in &self.0 {
            let Part { heard, due } = &mut *part.lock();
            let later = due.split_off(&(now.seconds() + 1));
            for peer in std::mem::replace(due, later).into_values().flatten() {
                let Some(heard) = heard.get_mut(&peer) else { continue };
                heard.is_due = false;
                // Written with a list in the meantime, perhaps.
                if heard.written.is_none_or(|written| heard.at > written) {
                    taken.push((peer, heard.at));
                }
            }
        }
        taken
    }

    /// They could not be written: again in a second.
    pub fn put_back_due(&self, due: &[(PeerId, Timestamp)], now: Timestamp) {
        for (peer, _) in due {
            let Part { heard, due } = &mut *self.part(*peer);
            if let Some(heard) = heard.get_mut(peer).filter(|heard| !heard.is_due) {
                heard.is_due = true;
                due.entry(now.seconds() + 1).or_default().push(*peer);
            }
        }
    }

    /// Forgets who was not heard for a while, and returns them.
    pub fn forget(&self, now: Timestamp, remember: Duration) -> Vec<PeerId> {
        let mut silent = Vec::new();
        for part in &self.0 {
            part.lock().heard.retain(|peer, heard| {
                let stays = now.since(heard.at) <= remember;
                if !stays {
                    silent.push(*peer);
                }
                stays
            });
        }
        silent
    }

    fn part(&self, peer: PeerId) -> MutexGuard<'_, Part> {
        // Names are random.
        let byte = peer.as_bytes().iter().fold(0, |all, byte| all ^ byte);
        self.0[usize::from(byte) % PARTS].lock()
    }
}

impl Part {
    fn hear(&mut self, peer: PeerId, now: Timestamp) -> &mut Heard {
        let heard = self.heard.entry(peer).or_insert(Heard { at: now, written: None, is_due: false, stranger: false });
        heard.at = heard.at.max(now);
        if !heard.is_due {
            heard.is_due = true;
            let due = heard.written.map_or(now, |written| now.max(written + WRITE_EVERY));
            self.due.entry(due.seconds()).or_default().push(peer);
        }
        heard
    }
}
