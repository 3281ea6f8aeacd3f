//! Broken histories: each thing that can be wrong, once in 100,000 signals, has to be found, and nothing else.

use std::collections::BTreeMap;

use super::*;
use crate::history::End;

/// Sessions in a history; each has an offer and an answer.
const SESSIONS: u32 = 50_000;
/// Pairs of clients: the even one offers, the odd one answers.
const PAIRS: u32 = 20;

fn name(client: Client) -> PeerId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&client.to_be_bytes());
    bytes[15] = 1;
    PeerId::from_bytes(bytes)
}

/// Writes histories; the clock moves by a millisecond per event.
#[derive(Default)]
struct Writer {
    events: Vec<Event>,
    calls: u32,
}

impl Writer {
    fn new() -> Self {
        let mut writer = Self::default();
        writer.add(0, What::Begin { backends: 1 });
        for client in 0..2 * PAIRS {
            writer.add(client, What::Connected { peer: name(client), recovered: false });
        }
        writer
    }

    fn add(&mut self, client: Client, what: What) {
        let at = u64::try_from(self.events.len()).unwrap() * 1000;
        self.events.push(Event { at, client, what });
    }

    fn sent(&mut self, from: Client, to: Client, session: u64, seq: u32, kind: Kind) {
        self.calls += 1;
        let (call, name_of_it) = (self.calls, 1000 * session + u64::from(seq));
        let planned = u64::try_from(self.events.len()).unwrap() * 1000;
        let what = What::Sent { to: name(to), session, seq, kind, name: name_of_it, planned, call, repeat: 0 };
        self.add(from, what);
    }

    fn answered(&mut self, from: Client, session: u64, seq: u32, code: u32) {
        self.add(from, What::Answered { session, seq, call: self.calls, code });
    }

    fn received(&mut self, from: Client, to: Client, session: u64, seq: u32, kind: Kind) {
        self.received_as(from, to, session, seq, kind, Fate::Applied);
    }

    fn received_as(&mut self, from: Client, to: Client, session: u64, seq: u32, kind: Kind, fate: Fate) {
        let (from, name) = (name(from), 1000 * session + u64::from(seq));
        self.add(to, What::Received { from, session, seq, kind, name, fate, recovered: false });
    }

    /// A signal from beginning to end.
    fn relayed(&mut self, from: Client, to: Client, session: u64, seq: u32, kind: Kind) {
        self.sent(from, to, session, seq, kind);
        self.received(from, to, session, seq, kind);
        self.answered(from, session, seq, 0);
    }

    fn verdict(mut self) -> Verdict {
        self.add(0, What::Finish);
        judge(&self.events)
    }
}

fn judge(events: &[Event]) -> Verdict {
    let mut checker = Checker::default();
    for event in events {
        checker.observe(event);
    }
    checker.finish()
}

/// 100,000 signals as they should be.
fn good() -> Vec<Event> {
    let mut writer = Writer::new();
    for session in 1..=SESSIONS {
        let offerer = session % PAIRS * 2;
        let (answerer, id) = (offerer + 1, u64::from(session));
        writer.relayed(offerer, answerer, id, 0, Kind::Offer);
        writer.relayed(answerer, offerer, id, 0, Kind::Answer);
        writer.add(offerer, What::Ended { session: id, how: End::Linked });
    }
    writer.add(0, What::Finish);
    writer.events
}

/// Where the answer in the middle of a history is received.
fn in_the_middle(events: &[Event]) -> usize {
    let is_received = |event: &Event| matches!(event.what, What::Received { kind: Kind::Answer, .. });
    let half = events.len() / 2;
    half + events[half..].iter().position(is_received).unwrap()
}

/// The verdict after this change in the middle.
fn after(change: impl FnOnce(&mut Vec<Event>, usize)) -> BTreeMap<Wrong, u64> {
    let mut events = good();
    let middle = in_the_middle(&events);
    change(&mut events, middle);
    judge(&events).wrong
}

fn only(wrong: Wrong) -> BTreeMap<Wrong, u64> {
    BTreeMap::from([(wrong, 1)])
}

#[test]
fn a_good_history_is_good() {
    let verdict = judge(&good());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.void, verdict.absent, verdict.unknown), (0, 0, 0));
}

#[test]
fn one_lost_in_100_000_is_found() {
    let lost = after(|events, middle| {
        events.remove(middle);
    });
    assert_eq!(lost, only(Wrong::Lost));
}

#[test]
fn one_doubled_in_100_000_is_found() {
    assert_eq!(after(|events, middle| events.insert(middle, events[middle])), only(Wrong::Twice));
}

#[test]
fn one_misrouted_in_100_000_is_found() {
    let misrouted = after(|events, middle| {
        let there = Event { client: (events[middle].client + 1) % (2 * PAIRS), ..events[middle] };
        events.insert(middle, there);
    });
    assert_eq!(misrouted, only(Wrong::Misrouted));
}

#[test]
fn one_that_was_never_sent_is_found() {
    let forged = after(|events, middle| {
        let mut copy = events[middle];
        if let What::Received { seq, .. } = &mut copy.what {
            *seq = 7;
        }
        events.insert(middle, copy);
    });
    assert_eq!(forged, only(Wrong::Forged));
}

#[test]
fn one_in_anothers_name_is_found() {
    let forged = after(|events, middle| {
        let mut copy = events[middle];
        if let What::Received { from, .. } = &mut copy.what {
            *from = name((events[middle].client + 2) % (2 * PAIRS));
        }
        events.insert(middle, copy);
    });
    assert_eq!(forged, only(Wrong::Forged));
}

#[test]
fn one_that_was_changed_is_found() {
    let corrupted = after(|events, middle| {
        if let What::Received { name, .. } = &mut events[middle].what {
            *name = 0;
        }
    });
    assert_eq!(corrupted, only(Wrong::Corrupted));
}

#[test]
fn two_that_changed_places_are_found() {
    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 0, 0);
    writer.sent(0, 1, 1, 1, Kind::Bye);
    writer.received(0, 1, 1, 1, Kind::Bye);
    writer.received(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 1, 0);
    assert_eq!(writer.verdict().wrong, only(Wrong::Order));
}

#[test]
fn a_signal_that_was_refused_first_may_come_later() {
    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 0, 503);
    writer.relayed(0, 1, 1, 1, Kind::Bye);
    writer.relayed(0, 1, 1, 0, Kind::Offer);
    assert!(writer.verdict().is_clean());
}

#[test]
fn candidates_come_after_their_description() {
    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.relayed(0, 1, 1, 1, Kind::Candidates);
    writer.received(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 0, 0);
    assert_eq!(writer.verdict().wrong, only(Wrong::Order));

    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.sent(0, 1, 1, 1, Kind::Candidates);
    writer.received_as(0, 1, 1, 1, Kind::Candidates, Fate::Held);
    writer.received(0, 1, 1, 0, Kind::Offer);
    writer.add(1, What::Released { from: name(0), session: 1, seq: 1 });
    assert!(writer.verdict().is_clean());
}

#[test]
fn a_client_that_drops_what_it_needs_is_found() {
    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.received_as(0, 1, 1, 0, Kind::Offer, Fate::Repeat);
    assert_eq!(writer.verdict().wrong, only(Wrong::Dropped));
}

#[test]
fn a_repeat_does_not_make_up_for_one_that_was_lost() {
    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 0, 0);
    writer.relayed(0, 1, 1, 0, Kind::Offer);
    assert_eq!(writer.verdict().wrong, only(Wrong::Lost));

    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 0, 503);
    writer.relayed(0, 1, 1, 0, Kind::Offer);
    assert!(writer.verdict().is_clean());
}

#[test]
fn what_was_never_acknowledged_may_be_missing_and_is_counted() {
    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.add(0, What::Unknown { session: 1, seq: 0, call: 1 });
    let verdict = writer.verdict();
    assert!(verdict.is_clean());
    assert_eq!(verdict.unknown, 1);
}

/// A signal is acknowledged while its receiver is away; then the receiver comes back, or does not.
fn missed(back: Option<(PeerId, bool)>, events_later: usize) -> Verdict {
    let mut writer = Writer::new();
    writer.add(1, What::Lost);
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 0, 0);
    for _ in 0..events_later {
        writer.add(0, What::Measure { on: true });
    }
    if let Some((peer, recovered)) = back {
        writer.add(1, What::Connected { peer, recovered });
    }
    writer.verdict()
}

#[test]
fn what_a_receiver_missed_is_lost_only_if_it_says_that_it_recovered_everything() {
    assert_eq!(missed(Some((name(1), true)), 0).wrong, only(Wrong::Lost));
    for (back, later) in [(Some((name(1), false)), 0), (Some((name(99), false)), 0), (Some((name(1), true)), 60_001)] {
        let verdict = missed(back, later);
        assert!(verdict.is_clean() && verdict.void == 1, "{back:?}: {verdict:?}");
    }
    let verdict = missed(None, 0);
    assert!(verdict.is_clean() && verdict.absent == 1, "{verdict:?}");
}

#[test]
fn a_connection_that_is_lost_long_after_an_ok_is_no_excuse() {
    let mut writer = Writer::new();
    writer.sent(0, 1, 1, 0, Kind::Offer);
    writer.answered(0, 1, 0, 0);
    for _ in 0..6000 {
        writer.add(0, What::Measure { on: true });
    }
    writer.add(1, What::Lost);
    writer.add(1, What::Connected { peer: name(1), recovered: false });
    assert_eq!(writer.verdict().wrong, only(Wrong::Lost));
}

#[test]
fn a_history_that_was_cut_is_no_proof() {
    let mut events = good();
    events.pop();
    assert_eq!(judge(&events).wrong, only(Wrong::Incomplete));
}

#[test]
fn what_is_settled_is_forgotten() {
    let mut checker = Checker::default();
    for event in good() {
        checker.observe(&event);
    }
    assert!(checker.sessions.len() < 20_000, "{} of {SESSIONS} are kept", checker.sessions.len());
}
