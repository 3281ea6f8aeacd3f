use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::domain::{Prefix, evidence::Source};

const START: u64 = 1_800_000_000;

prop_compose! {
    fn members()(
        flags in any::<(bool, bool, bool)>(),
        nat in 0_usize..5,
        numbers in (option::of(any::<u16>()), any::<u16>(), option::of(0_f32..1e6), option::of(any::<u32>())),
        address in option::of(any::<IpAddr>()),
        place in (option::of(any::<u32>()), option::of(any::<[u8; 2]>()), option::of(any::<u32>())),
        times in (0_u64..1 << 48, 0_u64..1 << 48),
        reach in any::<[u8; 2]>(),
    ) -> Member {
        Member {
            peer: PeerId::from_bytes([7; 16]),
            upload: flags.0,
            resting: flags.1,
            nat: NATS[nat],
            slots: numbers.0,
            degree: numbers.1,
            playhead: numbers.2,
            bitrate_kbps: numbers.3,
            address,
            tried: flags.2,
            reach: Reach { easy: Tally::of_byte(reach[0]), hard: Tally::of_byte(reach[1]) },
            place: Place { asn: place.0, country: place.1, pid: place.2.and_then(Pid::of_number) },
            joined: Timestamp(times.0),
            said: Timestamp(times.1),
        }
    }
}

prop_compose! {
    fn receipts()(
        reporter in 0_u8..30,
        wait in 0_u64..2000,
        epoch in 0_u16..3,
        connected in any::<bool>(),
        bytes in prop_oneof![any::<u64>(), 0_u64..1 << 30],
        busy_ms in prop_oneof![any::<u64>(), 0_u64..100_000],
        counts in prop_oneof![any::<(u32, u32, u32)>(), (0_u32..1000, 0_u32..10, 0_u32..3)],
    ) -> (u8, u64, Receipt) {
        let (ok, timeout, bad) = counts;
        let (ok, timeout, bad) = (ok >> 1, timeout >> 1, bad >> 1);
        (reporter, wait, Receipt { epoch, connected, bytes, busy_ms, ok, timeout, bad, connect_ms: None })
    }
}

prop_compose! {
    fn own()(
        own in option::of((0_u16..3, any::<[u64; 3]>(), any::<u32>())),
        less in 0_u32..64,
    ) -> Option<Counters> {
        own.map(|(epoch, bytes, rebuffers)| {
            let [down_bytes, http_bytes, up_bytes] = bytes.map(|bytes| bytes >> less);
            Counters { epoch, down_bytes, http_bytes, up_bytes, rebuffers: rebuffers >> (less % 32) }
        })
    }
}

fn source(n: u8) -> Source {
    let prefix = (n > 3).then(|| Prefix::of(IpAddr::from([198, 51, n, 1])));
    Source {
        peer: PeerId::from_bytes([n; 16]),
        prefix,
        can_meet: !n.is_multiple_of(5),
        end: crate::domain::End::default(),
    }
}

proptest! {
    #[test]
    fn members_come_back_as_they_were(known in members()) {
        let record = member(&known);
        prop_assert!(record.len() <= 55);
        prop_assert_eq!(read_member(known.peer, &record), Some(Stored::Member(known)));
    }

    #[test]
    fn evidence_comes_back_as_it_was(receipts in vec((receipts(), own()), 0..60), revision in any::<u16>(), fixed in 0_u16..=10_000) {
        let mut now = Timestamp::from_seconds(START);
        let joined = now - std::time::Duration::from_secs(9);
        let mut known = Evidence { revision, score: Score::from_fixed(fixed), ..Evidence::new(now) };
        for ((reporter, wait, receipt), own) in receipts {
            now = now + std::time::Duration::from_secs(wait);
            known.add(&source(reporter), &receipt, 6000, now);
            if let Some(own) = own {
                known.account(own, joined, now);
            }
        }
        let kept = read_evidence(&evidence(&known)).expect("a record");
        let totals = |e: &Evidence| [e.connects, e.failures, e.ok, e.timeouts, e.bad, e.speed];
        for (kept, known) in totals(&kept).into_iter().zip(totals(&known)) {
            prop_assert!((kept - known).abs() <= known / 100_000.0, "{} instead of {}", kept, known);
        }
        prop_assert_eq!(read_evidence(&evidence(&kept)), Some(kept.clone()), "what was rounded once stays");
        let [connects, failures, ok, timeouts, bad, speed] = totals(&known);
        prop_assert_eq!(Evidence { connects, failures, ok, timeouts, bad, speed, ..kept }, known);
    }

    #[test]
    fn no_bytes_panic(mut bytes in vec(any::<u8>(), 0..300), is_known in any::<bool>()) {
        if let Some(version) = bytes.first_mut().filter(|_| is_known) {
            *version = VERSION + *version % 2;
        }
        let peer = PeerId::from_bytes([0; 16]);
        let stored = read_member(peer, &bytes);
        let said = read_evidence(&bytes);
        prop_assert!(bytes.first() == Some(&VERSION) || stored.is_none());
        prop_assert!(bytes.first() == Some(&EVIDENCE_VERSION) || said.is_none());
    }
}

#[test]
fn who_left_is_known_by_its_time() {
    let at = Timestamp::from_seconds(START);
    assert_eq!(read_member(PeerId::from_bytes([1; 16]), &left(at)), Some(Stored::Left(at)));
}

#[test]
fn a_layout_of_another_version_counts_as_absent() {
    let mut record = evidence(&Evidence::new(Timestamp::from_seconds(START)));
    record[0] = 1;
    assert_eq!(read_evidence(&record), None);
    let mut record = left(Timestamp(0));
    record[0] = 0;
    assert_eq!(read_member(PeerId::from_bytes([1; 16]), &record), None);
}

#[test]
fn sixteen_busy_reporters_fit_into_what_redis_allots_in_one_piece() {
    let mut known = Evidence::new(Timestamp::from_seconds(START));
    for n in 0..16 {
        let receipt = Receipt {
            epoch: 40_000 + u16::from(n),
            connected: true,
            bytes: 100_000_000,
            busy_ms: 60_000,
            ok: 400,
            timeout: 3,
            bad: 0,
            connect_ms: None,
        };
        known.add(&source(100 + n), &receipt, 6000, Timestamp::from_seconds(START + u64::from(n) * 4));
    }
    // Who has watched 3.6 GB.
    let (down_bytes, http_bytes, up_bytes) = (2_400_000_000, 1_200_000_000, 3_600_000_000);
    let own = Counters { epoch: 40_000, down_bytes, http_bytes, up_bytes, rebuffers: 9 };
    let now = Timestamp::from_seconds(START + 60);
    known.account(own, Timestamp::from_seconds(START - 3600), now);
    known.decay(now + std::time::Duration::from_secs(10));
    assert_eq!((known.reporters.len(), known.own.map(|own| own.at)), (16, Some(now)));
    // 256 bytes, less the header and the end of Redis' strings.
    assert!(evidence(&known).len() <= 252, "{}", evidence(&known).len());
}
