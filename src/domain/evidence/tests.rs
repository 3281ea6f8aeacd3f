use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_001);
const FULL: u32 = 6000;

fn source(n: u8) -> Source {
    Source {
        peer: PeerId::from_bytes([n; 16]),
        prefix: Some(Prefix::of([10, n, 0, 1].into())),
        can_meet: true,
        end: crate::domain::End::default(),
    }
}

fn connected(ok: u32) -> Receipt {
    Receipt { connected: true, bytes: u64::from(ok) << 20, busy_ms: u64::from(ok) * 1000, ok, ..Receipt::default() }
}

fn after(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn close(one: f32, other: f32) -> bool {
    (one - other).abs() < 0.001
}

fn transfers(evidence: &Evidence) -> f32 {
    evidence.ok + evidence.timeouts + evidence.bad
}

#[test]
fn what_was_said_loses_half_its_weight_in_its_half_life() {
    let mut evidence = Evidence::new(NOW);
    assert!(evidence.add(&source(1), &Receipt { timeout: 1, bad: 1, ..connected(8) }, FULL, NOW).is_some());
    let before = evidence.clone();
    evidence.decay(NOW + HALF_LIFE / 3);
    evidence.decay(NOW + HALF_LIFE);
    let totals = |e: &Evidence| [e.connects, e.ok, e.timeouts, e.bad, e.speed];
    for (now, before) in totals(&evidence).into_iter().zip(totals(&before)) {
        assert!(before > 0.5 && close(now, before / 2.0), "{now} of {before}");
    }
    let later = evidence.clone();
    evidence.decay(NOW);
    assert_eq!(evidence, later, "time went back");
}

#[test]
fn an_attempt_counts_as_what_became_of_it_in_the_end() {
    let mut evidence = Evidence::new(NOW);
    evidence.add(&source(1), &Receipt::default(), FULL, NOW);
    assert!(evidence.failures > 0.98 && close(evidence.connects, 0.0));
    evidence.add(&source(1), &connected(0), FULL, after(7));
    assert!(close(evidence.failures, 0.0) && evidence.connects > 0.98);
    assert!(evidence.add(&source(1), &Receipt::default(), FULL, after(8)).is_none(), "an older word is no news");
    let mut cannot = Evidence::new(NOW);
    cannot.add(&Source { can_meet: false, ..source(1) }, &Receipt::default(), FULL, NOW);
    assert!(close(cannot.failures, 0.0), "nobody is to blame for two NATs that cannot meet");
    cannot.add(&Source { can_meet: false, ..source(1) }, &connected(0), FULL, NOW);
    assert!(cannot.connects > 0.98, "but who met all the same, met");
}

#[test]
fn counters_that_go_back_count_as_unchanged_and_a_new_epoch_begins_anew() {
    let mut evidence = Evidence::new(NOW);
    let at = |epoch, ok| Receipt { epoch, ..connected(ok) };
    evidence.add(&source(1), &at(65_535, 5), FULL, NOW);
    let before = evidence.clone();
    assert!(evidence.add(&source(1), &at(65_535, 3), FULL, NOW).is_none());
    assert!(evidence.add(&source(1), &at(65_534, 9), FULL, NOW).is_none(), "an epoch that is over");
    assert_eq!(evidence, before);
    assert!(evidence.add(&source(1), &at(0, 2), FULL, NOW).is_some(), "after the last number comes the first");
    assert!(close(evidence.ok, before.ok * 7.0 / 5.0), "{}", evidence.ok);
}

#[test]
fn speed_is_that_of_what_was_received() {
    let of = |bytes, busy_ms| {
        let mut evidence = Evidence::new(NOW);
        evidence.add(&source(1), &Receipt { bytes, busy_ms, ..connected(4) }, FULL, NOW);
        evidence.speed / evidence.ok
    };
    assert!(close(of(16 << 20, 32_000), 0.699), "4.2 of 6 Mbit/s: {}", of(16 << 20, 32_000));
    assert!(close(of(1 << 40, 1000), 1.0), "a terabyte in a second is no better than fast");
    assert!(close(of(u64::MAX, 0), 1.0));
    assert!(close(of(0, u64::MAX), 0.05));
}

#[test]
fn the_reporter_heard_of_longest_ago_makes_room() {
    let mut evidence = Evidence::new(NOW);
    for n in 0..16 {
        evidence.add(&source(n), &connected(1), FULL, after(n.into()));
    }
    evidence.add(&source(0), &connected(2), FULL, after(20));
    let before = evidence.clone();
    assert!(evidence.add(&source(16), &connected(1), FULL, after(20)).is_none(), "all have been heard of lately");
    assert_eq!(evidence, before);
    assert!(evidence.add(&source(16), &connected(1), FULL, after(301)).is_some());
    assert_eq!(evidence.reporters.len(), MAX_REPORTERS);
    let known = |n: u8| evidence.reporters.iter().any(|reporter| reporter.id == short_id(source(n).peer));
    assert!(known(0) && known(16) && known(2) && !known(1));
    assert_eq!(evidence.witnesses(), (16, Some(16)));
}

#[test]
fn what_was_said_counts_once_however_many_say_it() {
    for reporters in [16, 17, 40] {
        let (mut evidence, mut now) = (Evidence::new(NOW), NOW);
        let mut all = |now, ok| {
            for n in 0..reporters {
                evidence.add(&source(n), &connected(ok), FULL, now);
            }
            evidence.decay(now);
            evidence.ok
        };
        let first = all(now, 5);
        assert!(first > 79.0 && first <= 80.0, "{first}");
        for _ in 0..180 {
            now = now + Duration::from_secs(10);
            let (ok, most) = (all(now, 5), first * left_of(now.since(NOW)));
            assert!(ok <= most * 1.01, "{reporters} reporters: {ok} instead of {most}");
        }
        now = now + Duration::from_secs(10);
        let ok = all(now, 7);
        assert!(ok > 30.0, "{reporters} reporters: what is new counts: {ok}");
    }
}

fn any_receipt() -> impl Strategy<Value = Receipt> {
    let counter = || prop_oneof![0..50_u32, Just(u32::MAX), any::<u32>()];
    let large = || prop_oneof![0..50_000_000_u64, Just(u64::MAX), any::<u64>()];
    let epoch = prop_oneof![0..3_u16, any::<u16>()];
    (epoch, any::<bool>(), large(), large(), [counter(), counter(), counter()]).prop_map(
        |(epoch, connected, bytes, busy_ms, [ok, timeout, bad])| Receipt {
            epoch,
            connected,
            bytes,
            busy_ms,
            ok,
            timeout,
            bad,
            connect_ms: None,
        },
    )
}

#[test]
fn what_came_of_an_attempt_is_news_once() {
    let mut evidence = Evidence::new(NOW);
    let of = |epoch, connected, ok| Receipt { epoch, connected, ok, connect_ms: Some(7), ..Receipt::default() };
    for (receipt, expected) in [
        (of(1, false, 0), Some(Some(false))),
        (of(1, false, 0), None),
        (of(1, false, 1), Some(None)),
        (of(1, true, 1), Some(Some(true))),
        (of(1, true, 1), None),
        (of(1, true, 2), Some(None)),
        (of(2, true, 0), Some(Some(true))),
        (of(3, false, 0), Some(Some(false))),
        (of(2, true, 9), None),
    ] {
        let news = evidence.add(&source(1), &receipt, FULL, NOW);
        assert_eq!(news.map(|news| news.opened), expected, "{receipt:?}");
    }
    let cannot = Source { can_meet: false, ..source(2) };
    let failed = evidence.add(&cannot, &of(1, false, 0), FULL, NOW);
    assert_eq!(failed, Some(News { opened: Some(false) }), "nobody's fault, but worth knowing");
    assert_eq!(evidence.add(&cannot, &of(1, true, 0), FULL, NOW), Some(News { opened: Some(true) }));
}

proptest! {
    #[test]
    fn receipts_merge_in_any_order(base: u16, mut receipts: [(u16, u32, u32, bool); 3]) {
        let [one, two, three] = receipts.each_mut().map(|(epoch, ok, bad, connected)| Receipt {
            epoch: base.wrapping_add(*epoch % 5 * 0x1800),
            ok: *ok,
            bad: *bad,
            connected: *connected,
            bytes: u64::from(*bad) << 9,
            ..Receipt::default()
        });
        prop_assert_eq!(one.merge(two), two.merge(one));
        prop_assert_eq!(one.merge(two).merge(three), one.merge(two.merge(three)));
        prop_assert_eq!(one.merge(one), one);
    }

    #[test]
    fn of_two_epochs_one_is_later(one: u16, other: u16) {
        prop_assert_eq!(is_later(one, other), one != other && !is_later(other, one));
        let opposite = one.wrapping_add(0x8000);
        prop_assert!(is_later(one, opposite) != is_later(opposite, one));
        prop_assert!(is_later(one.wrapping_add(1), one));
    }

    /// However one reporter reports, what it adds to what others said stays within its limits.
    #[test]
    fn one_reporter_alone_moves_little(
        said in prop::collection::vec((any_receipt(), 0..40_u64, any::<bool>()), 1..60),
        others in 0..10_u8,
    ) {
        let mut evidence = Evidence::new(NOW);
        for n in 0..others {
            evidence.add(&source(100 + n), &Receipt { connected: n % 2 == 0, ..connected(n.into()) }, FULL, NOW);
        }
        let (mut without, mut now) = (evidence.clone(), NOW);
        for (receipt, gap, can_meet) in said {
            now = now + Duration::from_secs(gap);
            evidence.add(&Source { can_meet, ..source(1) }, &receipt, FULL, now);
            without.decay(now);
            evidence.decay(now);
            for (with, without, most) in [
                (evidence.connects, without.connects, 1.0),
                (evidence.failures, without.failures, 1.0),
                (evidence.connects + evidence.failures, without.connects + without.failures, 1.0),
                (transfers(&evidence), transfers(&without), MOST_TRANSFERS),
                (evidence.speed, without.speed, MOST_TRANSFERS),
            ] {
                prop_assert!(with >= 0.0 && with - without > -0.001 && with - without < most + 0.001,
                    "{with} instead of {without}");
            }
        }
    }

    #[test]
    fn cumulative_receipts_count_once_in_any_order(
        counts in prop::collection::vec((0..3_u32, 0..2_u32, 0..2_u32), 1..5),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut sum = connected(0);
        let cumulative: Vec<_> = counts.into_iter().map(|(ok, timeout, bad)| {
            sum = Receipt { ok: sum.ok + ok, timeout: sum.timeout + timeout, bad: sum.bad + bad, ..sum };
            sum
        }).collect();
        let mut evidence = Evidence::new(NOW);
        for index in order {
            evidence.add(&source(1), index.get(&cumulative), FULL, NOW);
        }
        evidence.add(&source(1), &sum, FULL, NOW);
        let mut once = Evidence::new(NOW);
        once.add(&source(1), &sum, FULL, NOW);
        prop_assert!(close(evidence.connects, once.connects) && close(evidence.ok, once.ok));
        prop_assert!(close(evidence.timeouts, once.timeouts) && close(evidence.bad, once.bad));
        prop_assert_eq!(evidence.reporters[0].receipt, once.reporters[0].receipt);
    }
}
