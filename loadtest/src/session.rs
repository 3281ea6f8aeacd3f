//! One attempt to link, as one of its two sides sees it. A plain value: no clock, no socket.

use starling::domain::PeerId;

use crate::{
    history::{End, Fate, Kind},
    wire::Outgoing,
};

/// A signal of ours and how far it is.
#[derive(Clone, Copy, Debug)]
pub struct Mine {
    /// What it says.
    pub kind: Kind,
    /// The name woven into it.
    pub name: u64,
    /// When it was to be sent first.
    pub planned: u64,
    /// How often it was sent.
    pub sent: u32,
    /// Whether an `ok` came.
    pub acknowledged: bool,
}

/// One attempt to link.
#[derive(Debug)]
pub struct Session {
    /// The other side.
    pub with: PeerId,
    /// With which it is signalled.
    pub ticket: Box<str>,
    /// Whether this side began it.
    pub is_ours: bool,
    /// How it ended, for the side that began it.
    pub ended: Option<End>,
    /// When it began, in microseconds.
    pub began: u64,
    mine: Vec<Mine>,
    seen: u128,
    described: bool,
    held: Vec<u32>,
}

impl Session {
    /// A session that begins now.
    pub fn new(with: PeerId, ticket: &str, is_ours: bool, began: u64) -> Self {
        let (mine, held) = (Vec::new(), Vec::new());
        Self { with, ticket: ticket.into(), is_ours, ended: None, began, mine, seen: 0, described: false, held }
    }

    /// Adds a signal of ours; the place it gets.
    pub fn add(&mut self, kind: Kind, name: u64, planned: u64) -> u32 {
        self.mine.push(Mine { kind, name, planned, sent: 0, acknowledged: false });
        u32::try_from(self.mine.len() - 1).unwrap_or(u32::MAX)
    }

    /// A signal of ours.
    pub fn mine(&mut self, seq: u32) -> Option<&mut Mine> {
        self.mine.get_mut(usize::try_from(seq).ok()?)
    }

    /// A signal of ours as it goes out.
    pub fn outgoing(&self, session: u64, seq: u32) -> Option<Outgoing> {
        let Mine { kind, name, .. } = *self.mine.get(usize::try_from(seq).ok()?)?;
        Some(Outgoing { session, seq, kind, name })
    }

    /// Signals of ours that went out and that nobody has acknowledged.
    pub fn unacknowledged(&self) -> impl Iterator<Item = u32> {
        let open = self.mine.iter().enumerate().filter(|(_, mine)| mine.sent > 0 && !mine.acknowledged);
        open.map(|(seq, _)| u32::try_from(seq).unwrap_or(u32::MAX))
    }

    /// What to make of a signal of the other side. A repeat is dropped; candidates wait for their description; for the
    /// side that began and has ended the session nothing counts any more but a bye.
    pub fn receive(&mut self, seq: u32, kind: Kind) -> Fate {
        let bit = 1_u128.checked_shl(seq).unwrap_or(0);
        if self.seen & bit != 0 {
            return Fate::Repeat;
        }
        self.seen |= bit;
        match kind {
            Kind::Bye => Fate::Applied,
            _ if self.ended.is_some_and(|how| how != End::Linked) => Fate::Stale,
            Kind::Candidates if !self.described => {
                self.held.push(seq);
                Fate::Held
            }
            Kind::Candidates => Fate::Applied,
            Kind::Offer | Kind::Answer => {
                self.described = true;
                Fate::Applied
            }
        }
    }

    /// What was held until the description that came just now.
    pub fn release(&mut self) -> Vec<u32> {
        if self.described { std::mem::take(&mut self.held) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(is_ours: bool) -> Session {
        Session::new(PeerId::from_bytes([1; 16]), "ticket", is_ours, 0)
    }

    #[test]
    fn what_was_seen_is_dropped() {
        let mut session = session(false);
        assert_eq!(session.receive(0, Kind::Offer), Fate::Applied);
        assert_eq!(session.receive(0, Kind::Offer), Fate::Repeat);
        assert_eq!(session.receive(1, Kind::Bye), Fate::Applied);
    }

    #[test]
    fn candidates_wait_for_their_description() {
        let mut session = session(false);
        assert_eq!(session.receive(2, Kind::Candidates), Fate::Held);
        assert!(session.release().is_empty());
        assert_eq!(session.receive(0, Kind::Offer), Fate::Applied);
        assert_eq!(session.release(), [2]);
        assert_eq!(session.receive(1, Kind::Candidates), Fate::Applied);
        assert_eq!(session.receive(2, Kind::Candidates), Fate::Repeat);
    }

    #[test]
    fn an_answer_after_the_end_is_stale() {
        let mut session = session(true);
        session.ended = Some(End::Unanswered);
        assert_eq!(session.receive(0, Kind::Answer), Fate::Stale);
    }
}
