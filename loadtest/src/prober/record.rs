//! What a prober saw, judged: how long calls took, whether lists were fresh and scores whole. A plain value: callers
//! pass the time, since the beginning of the record.

#[cfg(test)]
mod tests;

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

    /// Whether what had broken works again, lists are fresh everywhere since then and scores whole, and have been for a
    /// while.
    pub fn is_well(&self, at: Duration) -> bool {
        let repaired = match self.effects.last() {
            None => Some(Duration::ZERO),
            Some(effect) => effect.repaired_ms.map(|after| Duration::from_millis(effect.began_ms + after)),
        };
        let Some(repaired) = repaired else { return false };
        let is_fresh = |fresh: &Option<Duration>| fresh.is_some_and(|fresh| fresh >= repaired && fresh + QUIET > at);
        self.swarms.iter().flat_map(|swarm| &swarm.fresh).all(is_fresh) && at >= self.impaired.max(repaired) + QUIET
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
