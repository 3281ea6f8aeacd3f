//! Signals waiting to go out, grouped by receiver. No clock, no IO: callers pass `now`.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use fnv::FnvHashMap;

use crate::{domain::PeerId, gateway::Delivery};

/// Most bytes of signals in one delivery, so that one receiver's flood cannot pass the size that clients accept.
const MAX_DELIVERY: usize = 64 * 1024;
/// Most bytes of signals in one batch: what the gateway reads in a few milliseconds.
const MAX_BATCH: usize = 2 * 1024 * 1024;
/// Most deliveries in one batch, likewise.
const MAX_DELIVERIES: usize = 512;

/// A signal on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The signal as its receiver gets it.
    pub json: String,
    /// Whether it goes out at once, with whatever waits for the same receiver, or may wait for the window.
    pub express: bool,
}

/// A delivery, and what `push` was given beside each of its signals.
pub struct Parcel<T> {
    /// What to publish.
    pub delivery: Delivery,
    /// One per signal, in order.
    pub tags: Vec<T>,
}

/// Signals waiting to go out, each with a tag that comes back with it.
pub struct Batch<T> {
    window: Duration,
    // Peer ids are random and ours, so nobody can make them collide.
    waiting: FnvHashMap<PeerId, Waiting<T>>,
    // When each receiver's signals are due; one entry for each of `waiting`.
    due: BTreeSet<(Instant, PeerId)>,
    len: usize,
}

struct Waiting<T> {
    due: Instant,
    signals: VecDeque<(Outgoing, T)>,
}

impl<T> Batch<T> {
    /// An empty batch; a signal that is not express waits for `window` at most.
    pub fn new(window: Duration) -> Self {
        Self { window, waiting: FnvHashMap::default(), due: BTreeSet::new(), len: 0 }
    }

    /// Adds a signal behind those that wait for the same receiver.
    pub fn push(&mut self, now: Instant, to: PeerId, signal: Outgoing, tag: T) {
        let due = if signal.express { now } else { now + self.window };
        let waiting = self.waiting.entry(to).or_insert_with(|| {
            self.due.insert((due, to));
            Waiting { due, signals: VecDeque::new() }
        });
        if due < waiting.due {
            self.due.remove(&(waiting.due, to));
            self.due.insert((due, to));
            waiting.due = due;
        }
        waiting.signals.push_back((signal, tag));
        self.len += 1;
    }

    /// How many signals wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// When this batch has to go out; `None` while it is empty.
    pub fn due_at(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Makes everything due.
    pub fn hurry(&mut self, now: Instant) {
        for (&peer, waiting) in &mut self.waiting {
            waiting.due = waiting.due.min(now);
            self.due.insert((waiting.due, peer));
        }
        self.due.retain(|(due, _)| *due <= now);
    }

    /// Takes what is due, up to the limits of a batch: one delivery per receiver, the longest due first. What a
    /// delivery cannot hold stays, and is due.
    pub fn take(&mut self, now: Instant) -> Vec<Parcel<T>> {
        let mut parcels = Vec::new();
        let mut bytes = 0;
        let mut left = Vec::new();
        while parcels.len() < MAX_DELIVERIES && bytes < MAX_BATCH {
            let Some(&(due, to)) = self.due.first().filter(|(due, _)| *due <= now) else { break };
            self.due.pop_first();
            let waiting = self.waiting.get_mut(&to).expect("due and waiting name the same receivers");
            let parcel = waiting.take(to);
            bytes += parcel.delivery.signals.iter().map(String::len).sum::<usize>();
            self.len -= parcel.tags.len();
            parcels.push(parcel);
            if waiting.signals.is_empty() {
                self.waiting.remove(&to);
            } else {
                left.push((due, to));
            }
        }
        self.due.extend(left);
        parcels
    }
}

impl<T> Waiting<T> {
    fn take(&mut self, to: PeerId) -> Parcel<T> {
        let mut delivery = Delivery { to, signals: Vec::new(), history: false };
        let mut tags = Vec::new();
        let mut bytes = 0;
        while let Some((signal, _)) = self.signals.front() {
            bytes += signal.json.len();
            if bytes > MAX_DELIVERY && !tags.is_empty() {
                break;
            }
            let (signal, tag) = self.signals.pop_front().expect("there is a front");
            delivery.history |= signal.express;
            delivery.signals.push(signal.json);
            tags.push(tag);
        }
        Parcel { delivery, tags }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    fn signal(json: &str, express: bool) -> Outgoing {
        Outgoing { json: json.into(), express }
    }

    fn taken(batch: &mut Batch<()>, now: Instant) -> Vec<(PeerId, String, bool)> {
        let parcels = batch.take(now).into_iter();
        parcels.map(|p| (p.delivery.to, p.delivery.signals.join(" "), p.delivery.history)).collect()
    }

    #[test]
    fn candidates_wait_for_the_window_and_travel_together() {
        let (start, mut batch) = (Instant::now(), Batch::new(WINDOW));
        assert_eq!(batch.due_at(), None);
        batch.push(start, peer(1), signal("a", false), ());
        batch.push(start + WINDOW / 2, peer(1), signal("b", false), ());
        assert_eq!(batch.due_at(), Some(start + WINDOW));
        assert_eq!(taken(&mut batch, start + WINDOW / 2), []);
        assert_eq!(taken(&mut batch, start + WINDOW), [(peer(1), "a b".into(), false)]);
        assert_eq!((batch.due_at(), batch.len()), (None, 0));
    }

    #[test]
    fn an_express_signal_takes_along_what_waits_for_its_receiver_and_nothing_else() {
        let (start, mut batch) = (Instant::now(), Batch::new(WINDOW));
        batch.push(start, peer(1), signal("early", false), ());
        batch.push(start, peer(2), signal("other", false), ());
        batch.push(start + WINDOW / 2, peer(1), signal("offer", true), ());
        batch.push(start + WINDOW / 2, peer(1), signal("late", false), ());
        assert_eq!(taken(&mut batch, start + WINDOW / 2), [(peer(1), "early offer late".into(), true)]);
        assert_eq!(batch.due_at(), Some(start + WINDOW));
    }

    #[test]
    fn a_new_window_begins_after_a_receiver_was_served() {
        let (start, mut batch) = (Instant::now(), Batch::new(WINDOW));
        batch.push(start, peer(1), signal("early", false), ());
        batch.push(start, peer(1), signal("offer", true), ());
        batch.take(start);
        batch.push(start + WINDOW / 2, peer(1), signal("late", false), ());
        assert_eq!(batch.due_at(), Some(start + WINDOW / 2 + WINDOW));
    }

    #[test]
    fn what_a_delivery_cannot_hold_comes_with_the_next() {
        let (start, mut batch) = (Instant::now(), Batch::new(WINDOW));
        let large = "x".repeat(MAX_DELIVERY / 2 + 1);
        for _ in 0..3 {
            batch.push(start, peer(1), signal(&large, true), ());
        }
        for left in [2, 1, 0] {
            assert_eq!(batch.take(start).len(), 1);
            assert_eq!(batch.len(), left);
        }
    }

    #[test]
    fn a_batch_has_its_limits_and_the_rest_stays_due() {
        let (start, mut batch) = (Instant::now(), Batch::new(WINDOW));
        let many = |n: usize| PeerId::from_bytes(u128::try_from(n).unwrap().to_be_bytes());
        for n in 0..=MAX_DELIVERIES {
            batch.push(start, many(n), signal("x", true), ());
        }
        assert_eq!([batch.take(start).len(), batch.take(start).len(), batch.len()], [MAX_DELIVERIES, 1, 0]);
        let large = "x".repeat(MAX_DELIVERY);
        for n in 0..100 {
            batch.push(start, many(n), signal(&large, true), ());
        }
        assert_eq!(batch.take(start).len(), MAX_BATCH / MAX_DELIVERY);
        assert_eq!(batch.due_at(), Some(start));
    }

    #[test]
    fn hurry_makes_everything_due() {
        let (start, mut batch) = (Instant::now(), Batch::new(WINDOW));
        batch.push(start, peer(1), signal("a", false), ());
        batch.push(start, peer(2), signal("b", true), ());
        batch.hurry(start);
        assert_eq!(batch.take(start).len(), 2);
        assert_eq!(batch.due_at(), None);
    }

    proptest! {
        #[test]
        fn everything_comes_out_once_in_order_and_in_time(pushes in prop::collection::vec((0..4_u8, any::<bool>(), 0..60_u64), 0..80)) {
            let mut now = Instant::now();
            let mut batch = Batch::new(WINDOW);
            let mut seen: HashMap<PeerId, Vec<usize>> = HashMap::new();
            let mut pushed: HashMap<PeerId, Vec<usize>> = HashMap::new();
            let mut due = HashMap::new();
            for (n, (to, express, wait)) in pushes.into_iter().enumerate() {
                now += Duration::from_millis(wait);
                batch.push(now, peer(to), signal("x", express), n);
                pushed.entry(peer(to)).or_default().push(n);
                due.insert(n, if express { now } else { now + WINDOW });
                for parcel in batch.take(now) {
                    seen.entry(parcel.delivery.to).or_default().extend(parcel.tags);
                }
                let taken: Vec<_> = seen.values().flatten().collect();
                prop_assert!(due.iter().all(|(n, due)| *due > now || taken.contains(&n)));
            }
            for parcel in batch.take(now + WINDOW) {
                seen.entry(parcel.delivery.to).or_default().extend(parcel.tags);
            }
            prop_assert_eq!(seen, pushed);
        }
    }
}
