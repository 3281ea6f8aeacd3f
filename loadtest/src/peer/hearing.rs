//! What a peer hears: replies to its calls, and its inbox.

use std::sync::atomic::Ordering::Relaxed;

use starling::domain::PeerId;

use super::{Call, Peer, Timer};
use crate::{
    history::{End, Fate, Kind, What},
    session::Session,
    wire::{Incoming, Line, List, Publication, Refusal, Results},
};

/// Codes after which the same may be tried again: the backend could not be reached, or cannot do it now.
const TEMPORARY: [u32; 3] = [100, 429, 503];
/// How often a signal is sent at most.
const ATTEMPTS: u32 = 20;

impl Peer {
    /// A line from the gateway.
    pub fn hear(&mut self, text: &str) {
        self.heard = self.shared.log.now();
        let Ok(line) = serde_json::from_str::<Line>(text) else {
            // Not what a gateway says: as good as nothing, and what is missing will be missed.
            return;
        };
        if let Some(publication) = line.push.and_then(|push| push.publication) {
            self.shared.deliveries.fetch_add(1, Relaxed);
            self.shared.delivered_bytes.fetch_add(text.len() as u64, Relaxed);
            self.delivery(&publication, false);
        } else if let Some((_, call)) = self.calls.remove(&line.id) {
            let data = line.rpc.map(|reply| reply.data.get());
            match call {
                Call::Signals(signals) => self.settled(line.id, &signals, line.error, data),
                Call::List => match data.and_then(|data| serde_json::from_str::<List>(data).ok()) {
                    Some(list) => self.listed(&list),
                    None => self.after(500_000, Timer::Lists),
                },
            }
        }
        self.flush();
    }

    /// A delivery in the inbox.
    pub(super) fn delivery(&mut self, publication: &Publication<'_>, recovered: bool) {
        self.offset = self.offset.max(publication.offset);
        for signal in &publication.data.signals {
            self.signal(signal, recovered);
        }
    }

    fn signal(&mut self, signal: &Incoming<'_>, recovered: bool) {
        let (kind, name) = signal.read();
        // What comes from another swarm is not what was sent.
        let name = if signal.swarm == &*self.swarm { name } else { !name };
        let from = PeerId::parse(signal.from).unwrap_or(PeerId::from_bytes([0; 16]));
        let id = u64::from_str_radix(signal.session, 16).unwrap_or(0);
        let now = self.shared.log.now();
        let is_known = self.sessions.contains_key(&id);
        let is_answer = kind == Kind::Answer;
        // An answer to nothing: the session was ours and is forgotten, or nobody ever began it. The checker knows.
        let fate = if is_answer && !is_known {
            Fate::Stale
        } else {
            let session = self.sessions.entry(id).or_insert_with(|| Session::new(from, signal.ticket, false, now));
            session.receive(signal.seq, kind)
        };
        let (session, seq) = (id, signal.seq);
        self.shared.log.add(self.number, What::Received { from, session, seq, kind, name, fate, recovered });
        match (fate, kind) {
            (Fate::Applied, Kind::Offer) => {
                self.release(from, id);
                let wait = self.shared.behaviour.gather_ms * 1000;
                if wait == 0 { self.describe(id) } else { self.after(wait, Timer::Describe(id)) }
            }
            (Fate::Applied, Kind::Answer) => {
                self.release(from, id);
                self.end(id, End::Linked);
            }
            // Our answer may be lost: the same again.
            (Fate::Repeat, Kind::Offer) => {
                let answered = self.sessions.get_mut(&id).and_then(|session| session.mine(0));
                if answered.is_some_and(|answer| answer.sent > 0) {
                    self.pending.push((id, 0));
                }
            }
            _ => {}
        }
    }

    fn release(&mut self, from: PeerId, id: u64) {
        let held = self.sessions.get_mut(&id).map(Session::release).unwrap_or_default();
        for seq in held {
            self.shared.log.add(self.number, What::Released { from, session: id, seq });
        }
    }

    /// The call with these signals was answered.
    fn settled(&mut self, call: u32, signals: &[(u64, u32)], error: Option<Refusal>, data: Option<&str>) {
        self.shared.open.fetch_sub(1, Relaxed);
        let results = data.and_then(|data| serde_json::from_str::<Results>(data).ok());
        let results = results.map(|reply| reply.results).unwrap_or_default();
        for (n, (session, seq)) in signals.iter().copied().enumerate() {
            // A reply to a publication is `ok` when it is no error; a result that is missing is one.
            let missing =
                (data.is_some() && results.len() != signals.len()).then_some(Refusal { code: 100, retry_ms: 500 });
            let refusal = error.or(missing).or_else(|| results.get(n).and_then(|result| result.error));
            let code = refusal.map_or(0, |refusal| refusal.code);
            self.shared.log.add(self.number, What::Answered { session, seq, call, code });
            match refusal {
                None => {
                    if let Some(mine) = self.sessions.get_mut(&session).and_then(|session| session.mine(seq)) {
                        mine.acknowledged = true;
                    }
                }
                Some(refusal) => self.refused(session, seq, refusal),
            }
        }
    }

    fn refused(&mut self, id: u64, seq: u32, refusal: Refusal) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (is_ours, with, ended) = (session.is_ours, session.with, session.ended);
        let Some(mine) = session.mine(seq) else { return };
        let (kind, sent) = (mine.kind, mine.sent);
        if TEMPORARY.contains(&refusal.code) {
            // An offer of a session that has ended is not worth it; what else is on its way is.
            if sent < ATTEMPTS && (kind != Kind::Offer || ended.is_none()) {
                let wait = refusal.retry_ms.max(300) * 1000;
                let wait = wait + wait / 100 * u64::from(self.jitter());
                self.after(wait, Timer::Send(id, seq));
            }
        } else if is_ours && kind == Kind::Offer {
            self.end(id, End::Refused);
            self.forget(with);
        }
    }

    /// Somebody who is not there: others are asked for, while there are too few.
    pub(super) fn forget(&mut self, with: PeerId) {
        self.partners.retain(|partner| partner.peer != with);
        if self.partners.len() < self.shared.behaviour.fan {
            self.after(100_000, Timer::Lists);
        }
    }
}
