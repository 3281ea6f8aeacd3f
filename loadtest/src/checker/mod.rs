//! Judges a history, in the style of Jepsen: of all that clients say they sent, heard acknowledged and received, does any
//! break a promise? It takes events in their order and forgets sessions in which all is settled, so that a history can
//! be longer than memory.
//!
//! What it demands:
//!
//! 1. **Nothing is lost.** An offer, answer or bye with an `ok` is seen by its receiver's application, if the receiver
//!    stayed connected or came back within 60 s and recovered what it had missed. A receiver that came back without (or
//!    under another name, or later) knows that its sessions are void: what was on its way is counted as void. This holds
//!    for each time that a signal was sent and got an `ok`: a repeat that arrives does not make up for one that did not.
//! 2. **Nothing goes to somebody else** than the one it was addressed to.
//! 3. **Nothing is made up**: what is received was sent, by the one it says, and says what was sent.
//! 4. **Once**: the application sees each signal at most once.
//! 5. **In order**: of two signals of one sender in a session, when the first had its `ok` before the second was sent, or
//!    both had theirs from one call, the application does not see the second before the first. A signal that was refused
//!    or unanswered, and repeated, may come later than its successors. `ok` for candidates does not mean published, so
//!    with several backends a successor may overtake them. Candidates never come before their description.
//! 6. **Nothing is open silently**: what has no answer, was refused, void, or for somebody who never came back is counted.

use fnv::FnvHashMap;
use starling::domain::PeerId;

use crate::history::{Client, Event, Fate, Kind, What};

mod receivers;
#[cfg(test)]
mod tests;
mod verdict;

use receivers::{Reach, Receivers};
pub use verdict::{Verdict, Wrong};

/// How long a session is remembered after its last event once all in it is settled, in microseconds: repeats come within
/// seconds, and what an inbox keeps within 60 s.
const REMEMBERED: u64 = 90_000_000;
/// Between two searches for what can be forgotten, in microseconds.
const SEARCH: u64 = 10_000_000;

/// A signal that went to the application just now.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What it says.
    pub kind: Kind,
    /// When it was to be sent first.
    pub planned: u64,
    /// For an answer: when its offer was to be sent.
    pub offered: Option<u64>,
}

struct Signal {
    from: Client,
    to: PeerId,
    seq: u32,
    kind: Kind,
    name: u64,
    planned: u64,
    first_sent: u64,
    last_sent: u64,
    last_call: u32,
    /// When the first `ok` came, and for which call.
    acknowledged: Option<(u64, u32)>,
    /// When the signal with the last `ok` was sent, and when that came.
    last_acknowledged: (u64, u64),
    answered: bool,
    /// How often it had an `ok`, and how often it came.
    oks: u32,
    arrivals: u32,
    seen: Option<u64>,
    stale: bool,
    held: bool,
}

#[derive(Default)]
struct Session {
    signals: Vec<Signal>,
    last: u64,
    ended: Option<Client>,
}

/// Takes a history event by event.
#[derive(Default)]
pub struct Checker {
    backends: u32,
    began: bool,
    finished: bool,
    receivers: Receivers,
    sessions: FnvHashMap<u64, Session>,
    searched: u64,
    seen: u64,
    unseen: i64,
    verdict: Verdict,
}

impl Checker {
    /// Acknowledged offers, answers and byes that nobody has seen so far.
    pub fn unseen(&self) -> i64 {
        self.unseen
    }

    /// Findings so far.
    pub fn wrong_so_far(&self) -> u64 {
        self.verdict.wrong.values().sum()
    }

    /// Takes the next event; says when a signal reached an application.
    pub fn observe(&mut self, event: &Event) -> Option<Seen> {
        let Event { at, client, what } = *event;
        if at > self.searched + SEARCH {
            self.searched = at;
            self.forget(at);
        }
        match what {
            What::Begin { backends } => (self.backends, self.began) = (backends, true),
            What::Finish => self.finished = true,
            What::Connected { peer, recovered } => self.receivers.connected(at, client, peer, recovered),
            What::Lost => self.receivers.lost(at, client),
            What::Sent { to, session, seq, kind, name, planned, call, .. } => {
                self.sent((at, client), to, (session, seq), (kind, name), planned, call);
            }
            What::Answered { session, seq, call, code } => self.answered(at, client, (session, seq), call, code),
            What::Measure { .. } | What::Unknown { .. } => {}
            What::Received { from, session, seq, kind, name, fate, .. } => {
                return self.received((at, client), from, (session, seq), (kind, name), fate);
            }
            What::Released { from, session, seq } => {
                let from = self.receivers.client(from);
                let index = from.and_then(|from| self.find(session, from, seq));
                return index.and_then(|index| self.apply((session, index)));
            }
            What::Ended { session, .. } => {
                let session = self.sessions.entry(session).or_default();
                (session.ended, session.last) = (Some(client), at);
            }
        }
        None
    }

    /// The verdict on everything so far.
    pub fn finish(mut self) -> Verdict {
        if !(self.began && self.finished) {
            self.verdict.add(Wrong::Incomplete, || "the history has no beginning or no end: it was cut".to_owned());
        }
        let sessions = std::mem::take(&mut self.sessions);
        for (id, session) in &sessions {
            self.judge(*id, session);
        }
        self.verdict
    }

    fn find(&self, session: u64, from: Client, seq: u32) -> Option<usize> {
        let signals = &self.sessions.get(&session)?.signals;
        signals.iter().position(|signal| signal.from == from && signal.seq == seq)
    }

    fn sent(
        &mut self,
        (at, from): (u64, Client),
        to: PeerId,
        (id, seq): (u64, u32),
        (kind, name): (Kind, u64),
        planned: u64,
        call: u32,
    ) {
        let known = self.find(id, from, seq);
        let session = self.sessions.entry(id).or_default();
        session.last = at;
        if let Some(index) = known {
            let signal = &mut session.signals[index];
            (signal.last_sent, signal.last_call) = (at, call);
            if (signal.to, signal.kind, signal.name) != (to, kind, name) {
                self.verdict.add(Wrong::Incomplete, || format!("{id:016x}: signal {seq} was repeated with changes"));
            }
            return;
        }
        session.signals.push(Signal {
            from,
            to,
            seq,
            kind,
            name,
            planned,
            first_sent: at,
            last_sent: at,
            last_call: call,
            acknowledged: None,
            last_acknowledged: (0, 0),
            answered: false,
            oks: 0,
            arrivals: 0,
            seen: None,
            stale: false,
            held: false,
        });
    }

    fn answered(&mut self, at: u64, from: Client, (id, seq): (u64, u32), call: u32, code: u32) {
        let Some(index) = self.find(id, from, seq) else {
            self.verdict.add(Wrong::Incomplete, || format!("{id:016x}: an answer for signal {seq}, never sent"));
            return;
        };
        let session = self.sessions.entry(id).or_default();
        session.last = at;
        let signal = &mut session.signals[index];
        signal.answered = true;
        if code == 0 {
            let is_awaited = signal.seen.is_none() && !signal.stale && signal.kind.is_express();
            if signal.acknowledged.is_none() && is_awaited {
                self.unseen += 1;
            }
            signal.oks += 1;
            signal.acknowledged.get_or_insert((at, call));
            let sent = if call == signal.last_call { signal.last_sent } else { signal.first_sent };
            signal.last_acknowledged = (sent, at);
        }
    }

    fn received(
        &mut self,
        (at, client): (u64, Client),
        from: PeerId,
        (id, seq): (u64, u32),
        (kind, name): (Kind, u64),
        fate: Fate,
    ) -> Option<Seen> {
        let me = self.receivers.name(client);
        let found = self.receivers.client(from).and_then(|from| self.find(id, from, seq));
        let Some(index) = found else {
            let example =
                || format!("client {client} received signal {seq} of session {id:016x} from {from}, never sent");
            self.verdict.add(Wrong::Forged, example);
            return None;
        };
        let session = self.sessions.get_mut(&id)?;
        session.last = at;
        let is_ended_here = session.ended == Some(client);
        let signal = &mut session.signals[index];
        if me != Some(signal.to) {
            let to = signal.to;
            let example = || format!("client {client} received signal {seq} of session {id:016x}, which is for {to}");
            self.verdict.add(Wrong::Misrouted, example);
            return None;
        }
        signal.arrivals += 1;
        if (signal.kind, signal.name) != (kind, name) {
            let example = || format!("client {client} received signal {seq} of session {id:016x} changed");
            self.verdict.add(Wrong::Corrupted, example);
        }
        match fate {
            Fate::Applied => return self.apply((id, index)),
            Fate::Held => signal.held = true,
            Fate::Repeat if signal.seen.is_some() || signal.stale || signal.held => {}
            Fate::Stale if is_ended_here => {
                if !std::mem::replace(&mut signal.stale, true) && signal.acknowledged.is_some() {
                    self.unseen -= i64::from(kind.is_express());
                }
            }
            Fate::Repeat | Fate::Stale => {
                let example = || format!("client {client} dropped signal {seq} of session {id:016x}, which it needed");
                self.verdict.add(Wrong::Dropped, example);
            }
        }
        None
    }

    /// The application sees a signal.
    fn apply(&mut self, (id, index): (u64, usize)) -> Option<Seen> {
        self.seen += 1;
        let session = self.sessions.get_mut(&id)?;
        let signal = &mut session.signals[index];
        let Signal { from, seq, kind, planned, .. } = *signal;
        if signal.seen.is_some() {
            self.verdict.add(Wrong::Twice, || format!("signal {seq} of client {from} in session {id:016x}"));
            return None;
        }
        signal.seen = Some(self.seen);
        if signal.acknowledged.is_some() && kind.is_express() {
            self.unseen -= 1;
        }
        let offers = session.signals.iter().find(|signal| signal.kind == Kind::Offer);
        let offered = offers.filter(|_| kind == Kind::Answer).map(|offer| offer.planned);
        Some(Seen { kind, planned, offered })
    }

    fn forget(&mut self, now: u64) {
        let is_done = |session: &Session| {
            session.last + REMEMBERED < now
                && session.signals.iter().all(|signal| signal.seen.is_some() || !signal.kind.is_express())
        };
        let done: Vec<(u64, Session)> = self.sessions.extract_if(|_, session| is_done(session)).collect();
        for (id, session) in &done {
            self.judge(*id, session);
        }
    }

    /// What can only be said at the end of a session.
    fn judge(&mut self, id: u64, session: &Session) {
        for signal in &session.signals {
            self.verdict.unknown += u64::from(!signal.answered);
            self.judge_arrival(id, signal);
        }
        for first in &session.signals {
            for second in session.signals.iter().filter(|second| second.from == first.from && second.seq > first.seq) {
                if self.is_swapped(first, second) {
                    let (a, b, from) = (first.seq, second.seq, first.from);
                    let example = || format!("signal {b} of client {from} before {a} in session {id:016x}");
                    self.verdict.add(Wrong::Order, example);
                }
            }
        }
    }

    /// Whether a signal came that had to come.
    fn judge_arrival(&mut self, id: u64, signal: &Signal) {
        let Signal { kind, seq, from, to, oks, arrivals, .. } = signal;
        if signal.acknowledged.is_none() || arrivals >= oks {
            self.verdict.stale += u64::from(signal.stale && *oks > 0);
        } else if !kind.is_express() {
            self.verdict.candidates_lost += u64::from(*arrivals == 0);
        } else {
            // What came at all may have come before its receiver's sessions were void, or after.
            let sent = if *arrivals == 0 { signal.last_acknowledged.0 } else { signal.first_sent };
            match self.receivers.reach(*to, (sent, signal.last_acknowledged.1)) {
                Reach::Void => self.verdict.void += u64::from(*arrivals == 0),
                Reach::Absent => self.verdict.absent += u64::from(*arrivals == 0),
                Reach::There => {
                    let example = || {
                        format!(
                            "{kind:?} {seq} of client {from} to {to} in session {id:016x}: {oks} oks, {arrivals} came"
                        )
                    };
                    self.verdict.add(Wrong::Lost, example);
                }
            }
        }
    }

    fn is_swapped(&self, first: &Signal, second: &Signal) -> bool {
        let (Some(first_seen), Some(second_seen)) = (first.seen, second.seen) else { return false };
        if first_seen < second_seen {
            return false;
        }
        let describes = matches!(first.kind, Kind::Offer | Kind::Answer);
        if describes && second.kind == Kind::Candidates {
            return true;
        }
        let Some((at, call)) = first.acknowledged else { return false };
        let is_published = first.kind.is_express() || self.backends == 1;
        let together = second.acknowledged.is_some_and(|(_, other)| other == call);
        is_published && (at < second.first_sent || together)
    }
}
