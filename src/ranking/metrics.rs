//! What operators see of what is known.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Made once at start, so that series exist at zero.
pub struct RankingMetrics {
    /// Lists that the store answered.
    pub lists_from_store: Counter,
    /// Lists from a copy.
    pub lists_from_copy: Counter,
    /// Of those, lists from a copy that was too old.
    pub lists_stale: Counter,
    /// A round of the ranker.
    pub round_seconds: Histogram,
    /// Of it, the computing of one batch.
    pub scoring_seconds: Histogram,
    /// Peers judged.
    pub judged: Counter,
    /// Judgements that another node was faster with.
    pub lost: Counter,
    /// Attempts that opened, as counted between NATs.
    pub attempts_opened: Counter,
    /// Attempts that failed.
    pub attempts_failed: Counter,
    /// Peers of whom something waits to be judged.
    pub dirty: Gauge,
    /// Targets of whom a slot is reserved.
    pub introduced: Gauge,
    /// Joins that the store does not know of yet.
    pub kept_joins: Gauge,
    /// Pulling a swarm.
    pub pull_seconds: Histogram,
    /// Age of the oldest copy that is asked for.
    pub snapshot_age: Gauge,
    /// Swarms known here.
    pub swarms: Gauge,
    /// Their members alive.
    pub live: Gauge,
    /// Their members, the silent ones included.
    pub members: Gauge,
    /// Backend nodes.
    pub nodes: Gauge,
    /// Members that fell silent.
    pub unlisted: Counter,
    /// Members forgotten.
    pub forgotten: Counter,
    /// Members given back to a store that had lost them.
    pub restored: Counter,
    /// Hints that came from other nodes.
    pub hints_heard: Counter,
    /// Hints that could not be told.
    pub hints_lost: Counter,
}

impl RankingMetrics {
    /// Registers the series.
    pub fn new() -> Self {
        let nodes = gauge!("starling_ranking_nodes");
        // This one, until others have been heard of.
        nodes.set(1.0);
        let lists = |from: &'static str| counter!("starling_ranking_lists_total", "from" => from);
        let attempts = |outcome: &'static str| counter!("starling_ranking_attempts_total", "outcome" => outcome);
        Self {
            lists_from_store: lists("store"),
            lists_from_copy: lists("copy"),
            lists_stale: counter!("starling_ranking_lists_stale_total"),
            round_seconds: histogram!("starling_ranking_round_seconds"),
            scoring_seconds: histogram!("starling_ranking_scoring_seconds"),
            judged: counter!("starling_ranking_judged_total"),
            lost: counter!("starling_ranking_judged_again_total"),
            attempts_opened: attempts("opened"),
            attempts_failed: attempts("failed"),
            dirty: gauge!("starling_ranking_dirty_peers"),
            introduced: gauge!("starling_ranking_introduced_peers"),
            kept_joins: gauge!("starling_ranking_kept_joins"),
            pull_seconds: histogram!("starling_ranking_pull_seconds"),
            snapshot_age: gauge!("starling_ranking_snapshot_age_seconds"),
            swarms: gauge!("starling_ranking_swarms"),
            live: gauge!("starling_ranking_live_peers"),
            members: gauge!("starling_ranking_members"),
            nodes,
            unlisted: counter!("starling_ranking_unlisted_total"),
            forgotten: counter!("starling_ranking_forgotten_total"),
            restored: counter!("starling_ranking_restored_total"),
            hints_heard: counter!("starling_ranking_hints_heard_total"),
            hints_lost: counter!("starling_ranking_hints_lost_total"),
        }
    }
}
