//! What a prober saw, judged: how long calls took, whether lists were fresh and scores whole. A plain value: callers
//! pass the time, since the beginning of the record.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;

/// Scores that are lower than this part of what they were are not whole: what decays by itself is above.
const WHOLE: f64 = 0.9;
/// Lists are fresh and scores are whole when they have been for so long.
const QUIET: Duration = Duration::from_secs(3);

/// A list, as a member of a swarm got it.
pub struct Seen<'a> {
    /// The swarm's number.
    pub swarm: usize,
    /// The backend that answered.
    pub backend: usize,
    /// Who asked.
    pub by: &'a str,
    /// When it asked, ...
    pub asked: Duration,
    /// ... and got it.
    pub got: Duration,
    /// Whether the backend says that it is old.
    pub stale: bool,
    /// Who is listed, with what score.
    pub peers: &'a [(&'a str, f64)],
}

/// Somebody joins or leaves.
struct Change {
    backend: usize,
    peer: String,
    joins: bool,
    asked: Duration,
    /// When the backend said that it is done; `None` as long as it has not.
    done: Option<Duration>,
}

#[derive(Default)]
struct Swarm {
    residents: Vec<String>,
    changes: Vec<Change>,
    /// Who was ever listed, by each backend.
    listed: Vec<HashSet<String>>,
    /// When the last fresh list was asked for, of each backend.
    fresh: Vec<Option<Duration>>,
    scores: HashMap<String, f64>,
}

/// All calls of one method.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calls {
    /// How many.
    pub made: u64,
    /// The longest, in milliseconds.
    pub longest_ms: u64,
    /// Why they failed, with how many.
    pub errors: BTreeMap<String, u64>,
}

/// What one fault did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Effect {
    /// When it began, since the beginning of the record, in milliseconds like everything here.
    pub began_ms: u64,
    /// From then until what had broken worked again.
    pub repaired_ms: Option<u64>,
    /// The longest time during which some swarm got no fresh list from some backend.
    pub without_fresh_lists_ms: u64,
    /// Until every list of every backend had every resident with the score that it had before, for good.
    pub scores_whole_ms: u64,
    /// Whether it came to that.
    pub is_whole: bool,
    /// The longest call of each method.
    pub longest_ms: BTreeMap<&'static str, u64>,
    /// How many times a member was told that it is none.
    pub forgotten: u64,
    /// Lists that said they were stale.
    pub stale: u64,
}

/// Everything that was seen.
pub struct Record {
    backends: usize,
    swarms: Vec<Swarm>,
    calls: BTreeMap<&'static str, Calls>,
    calm_ms: u64,
    effects: Vec<Effect>,
    before: Vec<HashMap<String, f64>>,
    impaired: Duration,
}

impl Record {
    /// Nothing so far.
    pub fn new(swarms: usize, backends: usize) -> Self {
        let swarm =
            || Swarm { fresh: vec![None; backends], listed: vec![HashSet::new(); backends], ..Swarm::default() };
        Self {
            backends,
            swarms: std::iter::repeat_with(swarm).take(swarms).collect(),
            calls: BTreeMap::new(),
            calm_ms: 0,
            effects: Vec::new(),
            before: Vec::new(),
            impaired: Duration::ZERO,
        }
    }

    /// Somebody who stays, and whose score counts.
    pub fn resident(&mut self, swarm: usize, peer: &str) {
        self.swarms[swarm].residents.push(peer.to_owned());
    }

    /// Everybody who stays.
    pub fn residents(&self, swarm: usize) -> Vec<String> {
        self.swarms[swarm].residents.clone()
    }

    /// A call was answered, or not.
    pub fn called(&mut self, method: &'static str, took: Duration, error: Option<String>) {
        let calls = self.calls.entry(method).or_default();
        calls.made += 1;
        calls.longest_ms = calls.longest_ms.max(ms(took));
        if let Some(error) = error {
            *calls.errors.entry(error).or_default() += 1;
        }
        if let Some(effect) = self.effects.last_mut() {
            let longest = effect.longest_ms.entry(method).or_default();
            *longest = ms(took).max(*longest);
        }
    }

    /// A member was told that it is none.
    pub fn forgotten(&mut self) {
        if let Some(effect) = self.effects.last_mut() {
            effect.forgotten += 1;
        }
    }

    /// Somebody asks a backend to join or leave.
    pub fn changing(&mut self, swarm: usize, backend: usize, peer: &str, joins: bool, asked: Duration) {
        self.swarms[swarm].changes.push(Change { backend, peer: peer.to_owned(), joins, asked, done: None });
    }

    /// The last change of this peer is done.
    pub fn changed(&mut self, swarm: usize, peer: &str, at: Duration) {
        let change = self.swarms[swarm].changes.iter_mut().rev().find(|change| change.peer == peer);
        if let Some(change) = change {
            change.done = Some(at);
        }
    }

    /// A list came.
    pub fn list(&mut self, seen: &Seen<'_>) {
        let swarm = &mut self.swarms[seen.swarm];
        for (peer, score) in seen.peers {
            if swarm.residents.iter().any(|resident| resident == peer) {
                swarm.scores.insert((*peer).to_owned(), *score);
            }
        }
        let whole = |before: &HashMap<String, f64>| {
            let others = before.iter().filter(|(peer, _)| *peer != seen.by);
            let now =
                |peer: &str| seen.peers.iter().find(|(listed, _)| *listed == peer).map_or(0.0, |(_, score)| *score);
            others.into_iter().all(|(peer, score)| now(peer) >= score * WHOLE)
        };
        if let Some(effect) = self.effects.last_mut() {
            effect.stale += u64::from(seen.stale);
            if self.before.get(seen.swarm).is_some_and(|before| !whole(before)) {
                self.impaired = self.impaired.max(seen.got);
            }
        }
        let is_fresh = !seen.stale && swarm.knows_the_last_change(seen);
        swarm.listed[seen.backend].extend(seen.peers.iter().map(|(peer, _)| (*peer).to_owned()));
        if !is_fresh {
            return;
        }
        if let Some(last) = swarm.fresh[seen.backend] {
            self.gap(seen.got.saturating_sub(last));
        }
        self.swarms[seen.swarm].fresh[seen.backend] = Some(seen.asked);
    }

    fn gap(&mut self, gap: Duration) {
        let longest = self.effects.last_mut().map_or(&mut self.calm_ms, |effect| &mut effect.without_fresh_lists_ms);
        *longest = ms(gap).max(*longest);
    }

    /// The lowest score of a resident, when all have been seen.
    pub fn lowest_score(&self) -> Option<f64> {
        let all = self.swarms.iter().all(|swarm| swarm.scores.len() == swarm.residents.len());
        let lowest = self.swarms.iter().flat_map(|swarm| swarm.scores.values()).copied().reduce(f64::min);
        lowest.filter(|_| all)
    }

    /// Something breaks now.
    pub fn breaks(&mut self, at: Duration) {
        self.end_effect(at);
        self.before = self.swarms.iter().map(|swarm| swarm.scores.clone()).collect();
        self.impaired = at;
        self.effects.push(Effect { began_ms: ms(at), ..Effect::default() });
    }

    /// What had broken works again.
    pub fn repaired(&mut self, at: Duration) {
        if let Some(effect) = self.effects.last_mut() {
            effect.repaired_ms = Some(ms(at) - effect.began_ms);
        }
    }

    /// Whether lists are fresh everywhere and scores whole, and have been for a while.
    pub fn is_well(&self, at: Duration) -> bool {
        let is_fresh = |fresh: &Option<Duration>| fresh.is_some_and(|fresh| fresh + QUIET > at);
        let since = self.effects.last().map_or(0, |effect| effect.began_ms);
        self.swarms.iter().flat_map(|swarm| &swarm.fresh).all(is_fresh)
            && at >= self.impaired + QUIET
            && ms(at) >= since + ms(QUIET)
    }

    fn end_effect(&mut self, at: Duration) {
        let oldest = self.swarms.iter().flat_map(|swarm| &swarm.fresh).flatten().min().copied();
        self.gap(at.saturating_sub(oldest.unwrap_or(at)));
        let is_whole = self.is_well(at);
        if let Some(effect) = self.effects.last_mut() {
            effect.is_whole = is_whole;
            effect.scores_whole_ms = ms(self.impaired) - effect.began_ms;
        }
    }

    /// What it comes to.
    pub fn finish(mut self, at: Duration) -> Findings {
        self.end_effect(at);
        let deaf = self.swarms.iter().flat_map(|swarm| &swarm.fresh).filter(|fresh| fresh.is_none()).count();
        Findings {
            swarms: self.swarms.len(),
            never_fresh: deaf,
            pairs: self.swarms.len() * self.backends,
            calm_ms: self.calm_ms,
            calls: self.calls,
            effects: self.effects,
        }
    }
}

impl Swarm {
    /// Whether a list shows the last change that was made through another backend before it was asked for. One that is
    /// under way shows nothing, nor does the absence of somebody whom this backend never listed.
    fn knows_the_last_change(&self, seen: &Seen<'_>) -> bool {
        let elsewhere = |change: &&Change| change.backend != seen.backend && change.asked <= seen.got;
        let Some(last) = self.changes.iter().rev().find(elsewhere) else { return false };
        let is_listed = seen.peers.iter().any(|(peer, _)| *peer == last.peer);
        let was_listed = self.listed[seen.backend].contains(&last.peer);
        last.done.is_some_and(|done| done <= seen.asked) && is_listed == last.joins && (is_listed || was_listed)
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a prober found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// How many swarms were watched.
    pub swarms: usize,
    /// In how many pairs of swarm and backend no list was ever fresh, ...
    pub never_fresh: usize,
    /// ... of how many.
    pub pairs: usize,
    /// The longest time without a fresh list before anything broke, in milliseconds.
    pub calm_ms: u64,
    /// By method.
    pub calls: BTreeMap<&'static str, Calls>,
    /// What each fault did.
    pub effects: Vec<Effect>,
}

#[cfg(test)]
mod tests {
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
                assert!(!record.is_well(at(4300)), "too early to say");
            }
        }
        assert!(record.is_well(at(8200)));
        let effect = record.finish(at(8200)).effects.remove(0);
        assert_eq!((effect.scores_whole_ms, effect.without_fresh_lists_ms, effect.is_whole), (0, 1010, true));
    }
}
