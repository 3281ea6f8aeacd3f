//! What a client says of those it tried, as `receipts.ts` keeps and sends it; and what liars say.

use rand::{RngExt, rngs::StdRng, seq::IteratorRandom};
use starling::{domain::Receipt, protocol::MAX_RECEIPTS};

/// Peers remembered.
const MOST: usize = 64;

#[derive(Clone, Debug)]
struct Tally {
    peer: u32,
    receipt: Receipt,
    is_open: bool,
    has_news: bool,
    told_in: u32,
}

/// The receipts of one client.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    // In the order in which they were tried last.
    tallies: Vec<Tally>,
    reports: u32,
}

impl Receipts {
    /// A link opened.
    pub fn opened(&mut self, peer: u32) {
        let tally = self.tried(peer);
        (tally.is_open, tally.has_news, tally.receipt.connected) = (true, true, true);
    }

    /// It is no more.
    pub fn closed(&mut self, peer: u32) {
        if let Some(tally) = self.tallies.iter_mut().find(|tally| tally.peer == peer) {
            tally.is_open = false;
        }
    }

    /// An attempt came to nothing.
    pub fn failed(&mut self, peer: u32) {
        self.tried(peer).has_news = true;
    }

    /// What a transfer came to.
    pub fn note(&mut self, peer: u32, change: impl FnOnce(&mut Receipt)) {
        if let Some(tally) = self.tallies.iter_mut().find(|tally| tally.peer == peer) {
            change(&mut tally.receipt);
            tally.has_news = true;
        }
    }

    /// What goes into the next report: those with news first, then those that it is longest since.
    pub fn report(&mut self) -> Vec<(u32, Receipt)> {
        self.reports += 1;
        let mut order: Vec<usize> = (0..self.tallies.len()).collect();
        order.sort_by_key(|at| (!self.tallies[*at].has_news, self.tallies[*at].told_in));
        order.truncate(MAX_RECEIPTS);
        let told = |at: usize| {
            let tally = &mut self.tallies[at];
            (tally.has_news, tally.told_in) = (false, self.reports);
            (tally.peer, tally.receipt)
        };
        order.into_iter().map(told).collect()
    }

    fn tried(&mut self, peer: u32) -> &mut Tally {
        let known = self.tallies.iter().position(|tally| tally.peer == peer).map(|at| self.tallies.remove(at));
        let fresh = Tally { peer, receipt: Receipt::default(), is_open: false, has_news: true, told_in: 0 };
        self.tallies.push(known.unwrap_or(fresh));
        if self.tallies.len() > MOST
            && let Some(oldest) = self.tallies.iter().position(|tally| !tally.is_open && tally.peer != peer)
        {
            self.tallies.remove(oldest);
        }
        self.tallies.last_mut().expect("one was pushed")
    }
}

/// What a liar knows: it can speak of everybody that it was ever listed, since it has their tickets.
#[derive(Clone, Debug, Default)]
pub struct Lies {
    friends: Vec<u32>,
    others: Vec<u32>,
    reports: u32,
}

impl Lies {
    /// It was listed this one.
    pub fn meet(&mut self, peer: u32, is_friend: bool) {
        let met = if is_friend { &mut self.friends } else { &mut self.others };
        if !met.contains(&peer) {
            met.push(peer);
        }
    }

    /// A report: half praise, half slander, each with counters that grow as fast as anybody could believe.
    pub fn report(&mut self, rng: &mut StdRng) -> Vec<(u32, Receipt)> {
        self.reports += 1;
        let count = self.reports * 1000;
        let praise = Receipt {
            connected: true,
            bytes: u64::from(count) << 21,
            busy_ms: u64::from(count),
            ok: count,
            ..Receipt::default()
        };
        let slander = Receipt { connected: rng.random_bool(0.5), bad: count, ..Receipt::default() };
        let friends = self.friends.iter().copied().sample(rng, MAX_RECEIPTS / 2);
        let others = self.others.iter().copied().sample(rng, MAX_RECEIPTS - friends.len());
        friends.into_iter().map(|peer| (peer, praise)).chain(others.into_iter().map(|peer| (peer, slander))).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn news_is_told_first_and_open_links_are_never_forgotten() {
        let mut receipts = Receipts::default();
        for peer in 0..20 {
            receipts.opened(peer);
        }
        assert_eq!(receipts.report().len(), 16);
        receipts.note(2, |receipt| receipt.ok += 1);
        let second = receipts.report();
        assert_eq!(second[..5].iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [16, 17, 18, 19, 2]);
        assert_eq!(second[4].1, Receipt { connected: true, ok: 1, ..Receipt::default() });
        for peer in 100..200 {
            receipts.failed(peer);
        }
        let known: Vec<u32> = receipts.tallies.iter().map(|tally| tally.peer).collect();
        assert_eq!(known, (0..20).chain(156..200).collect::<Vec<_>>());
    }

    #[test]
    fn a_liar_praises_its_like_and_slanders_the_rest() {
        let mut lies = Lies::default();
        for peer in 0..100 {
            lies.meet(peer, peer % 10 == 0);
            lies.meet(peer, peer % 10 == 0);
        }
        let said = lies.report(&mut StdRng::seed_from_u64(1));
        assert_eq!(said.len(), 16);
        for (peer, receipt) in said {
            assert_eq!((receipt.ok > 0, receipt.bad > 0), (peer % 10 == 0, peer % 10 != 0), "{peer}");
        }
    }
}
