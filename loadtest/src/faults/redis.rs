//! The Redis Cluster breaks: what is done to it, and what a prober has to say of it.

use std::{fmt::Write, time::Duration};

use anyhow::Context;
use rand::{RngExt, rngs::SmallRng};
use tokio::time::sleep;

use super::Scenario;
use crate::{
    cluster::Cluster,
    prober::{Calls, Findings, MOVED, Prober},
};

/// How long a master stands still.
const STALL: Duration = Duration::from_secs(10);
/// How long there is no Redis at all.
const AWAY: Duration = Duration::from_mins(1);
/// How long lists and scores may take to be as before: a score rises by 0.1 in 10 s.
const RECOVERY: Duration = Duration::from_secs(90);

/// Does it once, and waits until everything is as before.
pub(super) async fn once(
    scenario: Scenario,
    cluster: &Cluster,
    prober: &Prober,
    rng: &mut SmallRng,
) -> anyhow::Result<()> {
    let masters = cluster.masters().await?;
    let place = rng.random_range(0..masters.len());
    let victim = masters[place];
    let slot = cluster.first_slot(victim).await?;
    prober.breaks();
    match scenario {
        Scenario::KillRedisMaster => {
            cluster.kill(victim).await?;
            cluster.replaced(slot, victim).await?;
        }
        Scenario::StallRedisMaster => {
            cluster.stall(victim)?;
            sleep(STALL).await;
            cluster.release(victim)?;
        }
        Scenario::FailoverRedis => drop(cluster.fail_over(victim).await?),
        Scenario::LoseRedis => {
            cluster.kill_all().await?;
            sleep(AWAY).await;
            cluster.restart().await?;
        }
        Scenario::ReshardRedis => {
            let to = masters[(place + 1) % masters.len()];
            cluster.reshard(victim, to, MOVED).await.context("while slots are moved")?;
        }
        _ => anyhow::bail!("this is nothing that happens to Redis"),
    }
    prober.repaired();
    prober.well(RECOVERY).await;
    // Who was killed is a replica now, before the next one is.
    cluster.restart().await
}

/// What is not as it was promised; empty when all is.
pub(super) fn complaints(findings: &Findings) -> Vec<String> {
    let mut complaints = Vec::new();
    for method in ["peers", "join"] {
        let Some(calls) = findings.calls.get(method) else {
            complaints.push(format!("{method} was never called"));
            continue;
        };
        for (error, n) in &calls.errors {
            complaints.push(format!("{n} of {} {method} were answered with: {error}", calls.made));
        }
    }
    if findings.never_fresh > 0 {
        let Findings { never_fresh, pairs, .. } = findings;
        complaints.push(format!("no list was ever fresh for {never_fresh} of {pairs} pairs of swarm and backend"));
    }
    let broken = findings.effects.iter().filter(|effect| !effect.is_whole).count();
    if broken > 0 {
        complaints.push(format!("lists or scores were not as before {RECOVERY:?} after {broken} faults"));
    }
    complaints
}

/// For a person.
pub(super) fn table(findings: &Findings) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<22} {text}");
    };
    line("before the faults", format!("longest without a fresh list {} ms", findings.calm_ms));
    for (n, effect) in findings.effects.iter().enumerate() {
        let within = effect.repaired_ms.map_or("never".to_owned(), |after| format!("after {after} ms"));
        line(
            &format!("fault {}", n + 1),
            format!(
                "repaired {within}; longest without a fresh list {} ms, scores whole after {} ms; {} stale lists, \
                 {} times a member was none; peers up to {} ms, join up to {} ms",
                effect.without_fresh_lists_ms,
                effect.scores_whole_ms,
                effect.stale,
                effect.forgotten,
                effect.longest_ms.get("peers").unwrap_or(&0),
                effect.longest_ms.get("join").unwrap_or(&0),
            ),
        );
    }
    for (method, Calls { made, longest_ms, errors }) in &findings.calls {
        let errors: Vec<String> = errors.iter().map(|(error, n)| format!("{n} with {error}")).collect();
        let failed = if errors.is_empty() { "none failed".to_owned() } else { errors.join(", ") };
        line(method, format!("{made} calls, up to {longest_ms} ms, {failed}"));
    }
    out
}
