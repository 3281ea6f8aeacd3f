//! What a peer says: rounds of offers, descriptions, candidates and byes, and what is said again.

use std::{cmp::Reverse, sync::atomic::Ordering::Relaxed};

use rand::RngExt;
use starling::protocol::{MAX_SIGNAL_REQUEST, MAX_SIGNALS};

use super::{Call, Peer, Phase, Timer};
use crate::{
    history::{End, Kind, What},
    sdp::late_candidates,
    session::Session,
    wire::push_signal,
};

/// When an offer without an answer is sent again, and when it is given up, in microseconds after the time before.
const REPEATS: [u64; 3] = [1_500_000, 2_500_000, 4_000_000];
/// A call that is later than this is counted, in microseconds.
const LATE: u64 = 20_000;
/// What a signal takes, about: its text is put together without growing.
const ROOM: usize = 2048;
/// How much of a call is left to what is around its signals.
const CALL_ROOM: usize = MAX_SIGNAL_REQUEST - 1024;

impl Peer {
    /// Does what is due.
    pub fn wake(&mut self) {
        let now = self.shared.log.now();
        while let Some(Reverse((at, timer))) = self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.timers.pop();
            match timer {
                Timer::Plan => self.planned(at, now),
                Timer::Describe(session) => self.describe(session),
                Timer::Candidate(session) => self.say(session, Kind::Candidates, at),
                Timer::Bye(session) => self.say(session, Kind::Bye, at),
                Timer::Send(session, seq) => self.pending.push((session, seq)),
                Timer::Repeat(session, step) => self.repeat(session, step),
                Timer::Lists if self.connected => self.ask(16),
                Timer::Lists => {}
                Timer::Sweep => self.sweep(),
            }
        }
        self.flush();
    }

    /// Up to 10 % more, so that not everybody comes back at the same moment.
    pub(super) fn jitter(&mut self) -> u8 {
        self.rng.random_range(0..10)
    }

    /// Closed loop: offers again when everything of the last round has ended.
    pub(super) fn next_round(&mut self) {
        let is_closed = self.shared.behaviour.interval.is_none();
        if is_closed && self.open == 0 && self.can_offer() {
            self.round(self.shared.log.now());
        }
    }

    fn can_offer(&self) -> bool {
        self.phase == Phase::Running
            && self.role.offers
            && self.connected
            && self.partners.len() >= self.shared.behaviour.fan
    }

    /// Open loop: a call was planned for `at`.
    fn planned(&mut self, at: u64, now: u64) {
        let Some(interval) = self.shared.behaviour.interval.filter(|_| self.phase == Phase::Running) else { return };
        self.timers.push(Reverse((at + interval, Timer::Plan)));
        // What was planned for a time without a connection is not made up for: it would be a burst.
        if !self.can_offer() || at < self.since {
            self.shared.skipped.fetch_add(1, Relaxed);
            return;
        }
        if now - at > LATE {
            self.shared.late.fetch_add(1, Relaxed);
        }
        self.shared.latest.fetch_max(now - at, Relaxed);
        self.round(at);
    }

    /// Offers to the next few partners. Latencies count from `planned`.
    fn round(&mut self, planned: u64) {
        let wait = self.shared.behaviour.gather_ms * 1000;
        for _ in 0..self.shared.behaviour.fan {
            self.turn = (self.turn + 1) % self.partners.len();
            let partner = &self.partners[self.turn];
            let id = self.rng.random::<u64>().max(1);
            self.sessions.insert(id, Session::new(partner.peer, &partner.ticket, true, planned));
            self.open += 1;
            self.shared.open.fetch_add(1, Relaxed);
            if wait == 0 { self.describe_at(id, planned) } else { self.after(wait, Timer::Describe(id)) }
        }
    }

    pub(super) fn describe(&mut self, id: u64) {
        self.describe_at(id, self.shared.log.now());
    }

    /// Sends the description of this side, and plans what follows it.
    fn describe_at(&mut self, id: u64, planned: u64) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.ended.is_none()) else { return };
        let kind = if session.is_ours { Kind::Offer } else { Kind::Answer };
        self.say(id, kind, planned);
        let (trickle, gather) = (self.shared.behaviour.trickle, self.shared.behaviour.gather_ms);
        for wait in late_candidates(trickle, gather) {
            self.timers.push(Reverse((planned + wait, Timer::Candidate(id))));
        }
        if kind == Kind::Offer {
            let jitter = REPEATS[0] / 100 * u64::from(self.jitter());
            self.after(REPEATS[0] + jitter, Timer::Repeat(id, 0));
        }
    }

    /// Adds a signal to a session; it goes out with the next flush.
    fn say(&mut self, id: u64, kind: Kind, planned: u64) {
        let name = self.rng.random::<u64>().max(1);
        let name = if kind == Kind::Candidates { name & 0xffff_ffff | 1 } else { name };
        if let Some(session) = self.sessions.get_mut(&id) {
            let seq = session.add(kind, name, planned);
            self.pending.push((id, seq));
        }
    }

    fn repeat(&mut self, id: u64, step: u8) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.ended.is_none()) else { return };
        if !self.connected {
            // Nothing can be answered now, so nothing expires.
            self.after(500_000, Timer::Repeat(id, step));
            return;
        }
        if let Some(wait) = REPEATS.get(usize::from(step) + 1) {
            let jitter = wait / 100 * u64::from(self.jitter());
            self.pending.push((id, 0));
            self.after(wait + jitter, Timer::Repeat(id, step + 1));
        } else {
            let with = session.with;
            self.end(id, End::Unanswered);
            self.forget(with);
        }
    }

    /// A session that this peer began has come to its end.
    pub(super) fn end(&mut self, id: u64, how: End) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.is_ours) else { return };
        if session.ended.replace(how).is_some() {
            return;
        }
        self.open -= 1;
        self.shared.open.fetch_sub(1, Relaxed);
        self.shared.log.add(self.number, What::Ended { session: id, how });
        if how == End::Linked && self.shared.behaviour.byes {
            let behaviour = &self.shared.behaviour;
            match late_candidates(behaviour.trickle, behaviour.gather_ms).last() {
                // Behind the last candidate of either side.
                Some(wait) => self.after(wait + 1, Timer::Bye(id)),
                None => self.say(id, Kind::Bye, self.shared.log.now()),
            }
        }
        self.next_round();
    }

    /// A call that nobody answered: its signals are sent again when that can be.
    pub(super) fn unknown(&mut self, call: u32, kind: Call) {
        let Call::Signals(signals) = kind else {
            self.after(300_000, Timer::Lists);
            return;
        };
        self.shared.open.fetch_sub(1, Relaxed);
        for (session, seq) in signals {
            self.shared.log.add(self.number, What::Unknown { session, seq, call });
            if self.connected {
                self.pending.push((session, seq));
            }
        }
    }

    /// Puts what waits into calls. Answers go alone, one call or publication each; the rest goes together.
    pub(super) fn flush(&mut self) {
        if !self.connected || self.pending.is_empty() {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut together: Vec<(u64, u32)> = Vec::new();
        let mut body = String::with_capacity(ROOM * pending.len().min(MAX_SIGNALS));
        let mut text = String::with_capacity(ROOM);
        for (id, seq) in pending.drain(..) {
            let Some(session) = self.sessions.get(&id) else { continue };
            let Some(signal) = session.outgoing(id, seq) else { continue };
            let to = session.with;
            text.clear();
            let publishes = self.shared.behaviour.publishes && signal.kind == Kind::Answer;
            if !publishes {
                text.push_str("{\"to\":\"");
                text.push_str(&to.to_string());
                text.push_str("\",");
            }
            push_signal(&mut text, &self.shared.descriptions, &session.ticket, &signal);
            if publishes {
                let call = self.call(Call::Signals(vec![(id, seq)]));
                let swarm = &self.swarm;
                let line = format!(
                    "{{\"id\":{call},\"publish\":{{\"channel\":\"inbox:{to}\",\"data\":{{\"swarm\":\"{swarm}\",{text}}}}}}}"
                );
                self.sent(call, id, seq);
                self.out.push(line);
                self.shared.open.fetch_add(1, Relaxed);
                continue;
            }
            text.push('}');
            if signal.kind == Kind::Answer {
                self.send(vec![(id, seq)], &text);
                continue;
            }
            if together.len() == MAX_SIGNALS || body.len() + text.len() > CALL_ROOM {
                self.send(std::mem::take(&mut together), &body);
                body.clear();
            }
            if !body.is_empty() {
                body.push(',');
            }
            body.push_str(&text);
            together.push((id, seq));
        }
        if !together.is_empty() {
            self.send(together, &body);
        }
        self.pending = pending;
    }

    fn send(&mut self, signals: Vec<(u64, u32)>, body: &str) {
        let call = self.call(Call::Signals(Vec::new()));
        for (session, seq) in &signals {
            self.sent(call, *session, *seq);
        }
        if let Some((_, kind)) = self.calls.get_mut(&call) {
            *kind = Call::Signals(signals);
        }
        let swarm = &self.swarm;
        self.out.push(format!(
            "{{\"id\":{call},\"rpc\":{{\"method\":\"signal\",\"data\":{{\"swarm\":\"{swarm}\",\"signals\":[{body}]}}}}}}"
        ));
        self.shared.open.fetch_add(1, Relaxed);
    }

    fn sent(&mut self, call: u32, session: u64, seq: u32) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let to = known.with;
        let Some(mine) = known.mine(seq) else { return };
        let (kind, name, planned, repeat) = (mine.kind, mine.name, mine.planned, mine.sent);
        mine.sent += 1;
        self.shared.log.add(self.number, What::Sent { to, session, seq, kind, name, planned, call, repeat });
    }
}
