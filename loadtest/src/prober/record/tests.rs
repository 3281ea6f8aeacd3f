use super::*;

const fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A swarm of two residents; `new` joined through backend 0 at 1 s.
fn record() -> Record {
    let mut record = Record::new(1, 2);
    record.resident(0, "a");
    record.resident(0, "b");
    record.changing(0, 0, "new", true, at(990));
    record.changed(0, "new", at(1000));
    record
}

fn list(record: &mut Record, asked: u64, peers: &[(&str, f64)]) {
    let got = at(asked + 10);
    record.list(&Seen { swarm: 0, backend: 1, by: "a", asked: at(asked), got, stale: false, peers });
}

fn gap(record: Record, until: u64) -> u64 {
    record.finish(at(until)).effects[0].without_fresh_lists_ms
}

const BOTH: [(&str, f64); 2] = [("b", 0.4), ("new", 0.15)];
const OLD: [(&str, f64); 1] = [("b", 0.4)];

#[test]
fn a_list_without_whoever_joined_elsewhere_is_not_fresh() {
    let mut record = record();
    list(&mut record, 1000, &BOTH);
    record.breaks(at(1100));
    record.changing(0, 0, "new", false, at(1200));
    record.changed(0, "new", at(1300));
    list(&mut record, 1500, &BOTH); // still listed
    list(&mut record, 2000, &OLD);
    record.changing(0, 0, "newer", true, at(2100));
    record.changed(0, "newer", at(2200));
    list(&mut record, 2300, &OLD); // not listed yet
    list(&mut record, 2500, &[("newer", 0.15)]);
    assert_eq!(gap(record, 2600), 1010);
}

#[test]
fn what_is_under_way_and_what_the_same_backend_did_shows_nothing() {
    let mut record = record();
    list(&mut record, 1000, &BOTH);
    record.breaks(at(1100));
    record.changing(0, 0, "new", false, at(1200));
    list(&mut record, 1300, &OLD);
    record.changed(0, "new", at(1900));
    list(&mut record, 1800, &OLD);
    record.changing(0, 1, "mine", true, at(1950));
    record.changed(0, "mine", at(1960));
    list(&mut record, 2000, &OLD);
    assert_eq!(gap(record, 2010), 1010);
}

#[test]
fn the_absence_of_somebody_who_was_never_listed_shows_nothing() {
    let mut record = record();
    list(&mut record, 1000, &BOTH);
    record.breaks(at(1100));
    for (asked, joins) in [(1200, true), (1300, false)] {
        record.changing(0, 0, "newer", joins, at(asked));
        record.changed(0, "newer", at(asked));
    }
    list(&mut record, 1500, &OLD);
    assert_eq!(gap(record, 3000), 2000);
}

#[test]
fn a_list_that_says_it_is_stale_is_not_fresh_and_no_list_is_none_either() {
    let mut record = record();
    list(&mut record, 1000, &BOTH);
    record.breaks(at(1100));
    record.list(&Seen { swarm: 0, backend: 1, by: "a", asked: at(2000), got: at(2010), stale: true, peers: &BOTH });
    assert_eq!(gap(record, 5000), 4000);
}

#[test]
fn before_anything_breaks_gaps_count_apart() {
    let mut record = record();
    list(&mut record, 1000, &BOTH);
    list(&mut record, 4000, &BOTH);
    record.breaks(at(4100));
    list(&mut record, 4200, &BOTH);
    let findings = record.finish(at(4210));
    assert_eq!((findings.calm_ms, findings.effects[0].without_fresh_lists_ms), (3010, 210));
    assert_eq!((findings.never_fresh, findings.pairs), (1, 2));
}

#[test]
fn scores_are_whole_when_the_last_list_without_them_is_past() {
    let mut record = record();
    list(&mut record, 1000, &BOTH);
    assert_eq!(record.lowest_score(), None, "a was not seen");
    record.breaks(at(1100));
    list(&mut record, 1500, &[("b", 0.15), ("new", 0.15)]);
    list(&mut record, 2000, &BOTH);
    list(&mut record, 2500, &[("new", 0.15)]); // b is not even listed
    list(&mut record, 3000, &[("b", 0.37), ("new", 0.15)]);
    assert!(!record.is_well(at(5000)));
    let effect = record.finish(at(9000)).effects.remove(0);
    assert_eq!((effect.scores_whole_ms, effect.is_whole), (1410, false), "backend 0 was never fresh");
}

#[test]
fn a_fault_that_nobody_notices_is_over_at_once() {
    let mut record = Record::new(1, 1);
    record.resident(0, "b");
    for second in 1..9 {
        record.changing(0, 9, "new", second % 2 == 1, at(second * 1000));
        record.changed(0, "new", at(second * 1000 + 1));
        let peers = if second % 2 == 1 { &BOTH[..] } else { &OLD };
        let (asked, got) = (at(second * 1000 + 100), at(second * 1000 + 110));
        record.list(&Seen { swarm: 0, backend: 0, by: "a", asked, got, stale: false, peers });
        if second == 4 {
            record.breaks(at(4200));
            record.repaired(at(4250));
            assert!(!record.is_well(at(4300)), "too early to say");
        }
    }
    assert!(record.is_well(at(8200)));
    let effect = record.finish(at(8200)).effects.remove(0);
    assert_eq!((effect.scores_whole_ms, effect.without_fresh_lists_ms, effect.is_whole), (0, 1010, true));
}

#[test]
fn lists_from_before_the_repair_say_nothing_of_now() {
    let mut record = Record::new(1, 1);
    record.resident(0, "a");
    let fresh = |record: &mut Record, asked| record.swarms[0].fresh[0] = Some(at(asked));
    fresh(&mut record, 1400);
    record.breaks(at(1000));
    assert!(!record.is_well(at(4100)), "it does not work yet");
    record.repaired(at(4000));
    assert!(!record.is_well(at(4300)), "the last fresh list is of before");
    fresh(&mut record, 6900);
    assert!(!record.is_well(at(6950)), "not for long enough");
    assert!(record.is_well(at(7100)));
}
