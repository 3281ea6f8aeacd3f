//! A viewer's client as `client/src` has it: its links and attempts (`mesh.ts`), when it asks for more (`asking.ts`), and
//! whom it leaves alone. Every strategy is asked by the same clients.

use rand::{RngExt, rngs::StdRng};

use super::{assumptions::BITRATE_KBPS, patience::Patience, receipts::Receipts};

/// Links that a client tries to have, and those beyond which it refuses offers: the server's policy.
pub const DEGREE_TARGET: usize = 8;
/// See [`DEGREE_TARGET`].
pub const DEGREE_MAX: usize = 12;
/// Most peers in one list.
pub const MOST_WANTED: usize = 16;
/// Most that a list leaves out.
const MOST_EXCLUDED: usize = 64;
/// Somebody with whom it did not work is left alone for so long; ...
const AVOID_MS: u32 = 30_000;
/// ... and for so long where the network lets nothing through.
const UNREACHABLE_MS: u32 = 600_000;
/// As `mesh.ts`.
const MOST_AVOIDED: usize = 256;
/// When a place became free: the budget for lists.
const FREED_MS: u32 = 5000;
const BREATH_MS: u32 = 250;
const IDLE_MS: u32 = 30_000;

/// A link, or an attempt at one.
#[derive(Clone, Debug)]
pub struct Session {
    /// With whom.
    pub with: u32,
    /// It was this side that offered.
    pub is_ours: bool,
    /// It is open.
    pub is_open: bool,
    /// How fast transfers were, in kbit/s; little after they failed.
    pub quality: f32,
}

/// One client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// It is there.
    pub is_here: bool,
    /// Links and attempts.
    pub sessions: Vec<Session>,
    /// What it says of others.
    pub receipts: Receipts,
    /// Those of the last list that wait until a first attempt has worked.
    pub spares: Vec<u32>,
    /// What its attempts have taught it.
    pub patience: Patience,
    /// When it asks for a list, in milliseconds.
    pub asks: u32,
    avoided: Vec<(u32, u32)>,
    next_ms: u32,
    answered: u32,
    freed: bool,
}

impl Client {
    /// Links missing to the aim; fewer for those of whose attempts many fail.
    pub fn missing(&self, now: u32) -> usize {
        self.patience.missing(DEGREE_TARGET.saturating_sub(self.sessions.len()), self.attempts(), now)
    }

    /// How many offers it makes at once: few, until it has seen one work.
    pub fn at_once(&self, now: u32) -> usize {
        self.missing(now).min(self.patience.at_once(self.attempts()))
    }

    fn attempts(&self) -> usize {
        self.sessions.len() - self.links().count()
    }

    /// A link opened.
    pub fn opened(&mut self, with: u32) {
        self.patience.opened();
        if let Some(session) = self.session(with) {
            session.is_open = true;
        }
    }

    /// The network let an attempt come to nothing.
    pub fn unreachable(&mut self, with: u32, now: u32, rng: &mut StdRng) {
        self.patience.unreachable(now);
        self.end(with, now, rng);
        self.avoid_for(with, UNREACHABLE_MS, now, rng);
    }

    /// Open links.
    pub fn links(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|session| session.is_open)
    }

    /// The link or attempt with somebody.
    pub fn session(&mut self, with: u32) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.with == with)
    }

    /// Whether there is one.
    pub fn has(&self, with: u32) -> bool {
        self.sessions.iter().any(|session| session.with == with)
    }

    /// Whether it takes another offer.
    pub fn has_room(&self) -> bool {
        self.sessions.len() < DEGREE_MAX
    }

    /// Whether it leaves somebody alone.
    pub fn avoids(&self, peer: u32, now: u32) -> bool {
        self.avoided.iter().any(|(avoided, until)| *avoided == peer && *until > now)
    }

    /// Whom the next list need not name: those it has, and the most recent failures.
    pub fn excluded(&self, now: u32) -> impl Iterator<Item = u32> {
        let avoided = self.avoided.iter().rev().filter(move |(_, until)| *until > now).map(|(peer, _)| *peer);
        self.sessions.iter().map(|session| session.with).chain(avoided).take(MOST_EXCLUDED)
    }

    /// An attempt begins, ours or theirs.
    pub fn begin(&mut self, with: u32, is_ours: bool) {
        self.sessions.push(Session { with, is_ours, is_open: false, quality: BITRATE_KBPS });
    }

    /// An attempt, or a link, has ended. Says whether there was one.
    pub fn end(&mut self, with: u32, now: u32, rng: &mut StdRng) -> Option<Session> {
        let at = self.sessions.iter().position(|session| session.with == with)?;
        let session = self.sessions.remove(at);
        self.avoid(with, now, rng);
        Some(session)
    }

    /// It did not work with this one: somebody else may take the place.
    pub fn avoid(&mut self, peer: u32, now: u32, rng: &mut StdRng) {
        self.avoid_for(peer, AVOID_MS, now, rng);
    }

    fn avoid_for(&mut self, peer: u32, ms: u32, now: u32, rng: &mut StdRng) {
        self.avoided.retain(|(other, until)| *until > now && *other != peer);
        if self.avoided.len() >= MOST_AVOIDED {
            self.avoided.remove(0);
        }
        self.avoided.push((peer, now + jittered(ms, 0.2, rng)));
        if !self.freed {
            self.freed = true;
            self.schedule(now, rng);
        }
    }

    /// A list came, and was used; the server says when to come back.
    pub fn answered(&mut self, next_ms: u32, now: u32, rng: &mut StdRng) {
        (self.next_ms, self.answered, self.freed) = (next_ms, now, false);
        self.schedule(now, rng);
    }

    /// As `askInMs`.
    fn schedule(&mut self, now: u32, rng: &mut StdRng) {
        let since = now - self.answered;
        let idle = times(IDLE_MS, rng.random_range(0.75..0.95));
        let wait = if self.missing(now) == 0 {
            idle.saturating_sub(since)
        } else {
            let pace = if self.freed { self.next_ms.min(FREED_MS) } else { self.next_ms };
            let pace = times(pace, rng.random_range(1.0..1.3) / self.patience.luck());
            times(BREATH_MS, rng.random_range(1.0..2.0)).max(idle.min(pace).saturating_sub(since))
        };
        self.asks = now + wait;
    }
}

/// Give or take a share.
pub fn jittered(ms: u32, share: f64, rng: &mut StdRng) -> u32 {
    times(ms, rng.random_range(1.0 - share..1.0 + share))
}

fn times(ms: u32, factor: f64) -> u32 {
    (f64::from(ms) * factor) as u32
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn it_asks_soon_after_a_loss_and_seldom_when_nothing_is_missing() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut client = Client::default();
        client.patience.knows_nat = true;
        for peer in 0..8 {
            client.begin(peer, true);
        }
        client.answered(15_000, 1000, &mut rng);
        assert!((23_500..29_500).contains(&client.asks), "{}", client.asks);
        assert!(client.end(3, 10_000, &mut rng).is_some());
        assert!((10_250..10_500).contains(&client.asks), "{}", client.asks);
        let asks = client.asks;
        assert!(client.end(4, 10_100, &mut rng).is_some() && client.end(4, 10_100, &mut rng).is_none());
        assert_eq!((client.asks, client.missing(10_100)), (asks, 2), "one call for both");
        client.answered(5000, 10_400, &mut rng);
        assert!((15_400..16_900).contains(&client.asks), "{}", client.asks);
    }

    #[test]
    fn whom_it_did_not_work_with_is_left_alone_for_half_a_minute() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut client = Client::default();
        client.begin(1, false);
        client.avoid(2, 1000, &mut rng);
        client.avoid(3, 2000, &mut rng);
        assert_eq!(client.excluded(3000).collect::<Vec<_>>(), [1, 3, 2]);
        assert!(client.avoids(2, 24_000) && !client.avoids(2, 37_001) && !client.avoids(1, 3000));
        for peer in 0..1000 {
            client.avoid(peer, 3000, &mut rng);
        }
        assert_eq!(client.excluded(3001).count(), 64);
    }
}
