//! What a round of the ranker costs with 100,000 dirty peers in one swarm, each with 16 reporters, over a real cluster of
//! six nodes: CPU here, commands, bytes and the longest command there, memory per peer on both sides. Prints a table.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusRecorder;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use starling::{
    clock::Clock,
    domain::{Member, Nat, PeerId, Place, Prefix, Receipt, SwarmId, Whereabouts, evidence::Source},
    ranking::{Ranking, RankingSettings},
    store::{RedisSettings as Settings, RedisStore, Restored, Store},
    telemetry,
};
use starling_load::{cluster::Cluster, measure::Process};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PEERS: usize = 100_000;
const REPORTERS: usize = 16;
const ROUNDS: u32 = 3;

fn member(rng: &mut StdRng, clock: &Clock) -> Member {
    Member {
        nat: Nat::Eim,
        slots: Some(12),
        degree: 8,
        playhead: Some(12.5),
        bitrate_kbps: Some(3000),
        address: Some(std::net::Ipv4Addr::from_bits(rng.random()).into()),
        place: Place { asn: Some(rng.random_range(1..400_000)), country: Some(*b"DE"), pid: None },
        ..Member::new(PeerId::random(rng), clock.now())
    }
}

/// Sums over the masters of a line of `INFO`, and what a question of our own says.
struct Redis<'a>(&'a Cluster);

impl Redis<'_> {
    async fn info(&self, section: &str, field: &str) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for node in 0..3 {
            let said = self.0.ask(node, &["INFO", section]).await?;
            let line = said.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            sum += line.with_context(|| format!("{field} in INFO {section}"))?.trim().parse::<f64>()?;
        }
        Ok(sum)
    }

    async fn everywhere(&self, question: &[&str]) -> anyhow::Result<()> {
        for node in 0..6 {
            self.0.ask(node, question).await?;
        }
        Ok(())
    }

    /// The longest command since the log was reset, in milliseconds.
    async fn longest(&self) -> anyhow::Result<f64> {
        let mut longest = 0.0_f64;
        for node in 0..3 {
            let said = self.0.ask(node, &["EVAL", "local most = 0 for _, entry in ipairs(redis.call('SLOWLOG', 'GET', -1)) do most = math.max(most, entry[3]) end return most", "0"]).await?;
            longest = longest.max(said.trim_start_matches("(integer) ").parse::<f64>()? / 1000.0);
        }
        Ok(longest)
    }
}

async fn connect(
    cluster: &Cluster,
    recorder: &PrometheusRecorder,
    settings: RankingSettings,
    clock: &Clock,
    stop: CancellationToken,
) -> anyhow::Result<Arc<RedisStore>> {
    let store = metrics::with_local_recorder(recorder, || {
        RedisStore::new(&Settings {
            nodes: cluster.nodes().split(',').map(str::to_owned).collect(),
            user: String::new(),
            password: String::new(),
            tls: false,
            ca: None,
            key_prefix: "starling".to_owned(),
            remember: settings.remember,
        })
    })?;
    tokio::spawn(store.watch(stop));
    while store.announce(clock.now()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Arc::new(store))
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "figures for people")]
async fn main() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let redis = Redis(&cluster);
    redis.everywhere(&["CONFIG", "SET", "slowlog-log-slower-than", "200", "slowlog-max-len", "100000"]).await?;
    let empty = redis.info("memory", "used_memory").await?;

    let clock = Clock::manual(Clock::System.now());
    let settings =
        RankingSettings { interval: Duration::from_secs(10), remember: Duration::from_mins(10), price_per_gb: 0.0 };
    let recorder = telemetry::recorder();
    let stop = CancellationToken::new();
    let store = connect(&cluster, &recorder, settings, &clock, stop.clone()).await?;
    let (ranking, loops) =
        metrics::with_local_recorder(&recorder, || Ranking::new(store.clone(), clock.clone(), settings));

    let swarm = SwarmId::parse("movie/42/1080p")?;
    let mut rng = StdRng::seed_from_u64(1);
    let members: Vec<_> = (0..PEERS).map(|_| member(&mut rng, &clock)).collect();
    println!("{PEERS} peers join");
    for some in members.chunks(1000) {
        let some: Vec<_> =
            some.iter().map(|member| Restored { member: member.clone(), evidence: None, seen: clock.now() }).collect();
        store.restore(&swarm, &some, clock.now()).await?;
    }
    ranking.find(&swarm, members[0].peer, Whereabouts::default(), 16, |_| true).await.ok();
    for _ in 0..10 {
        loops.refresher.run_once().await; // shards grow by doubling
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let own = Process::own();
    let memory = own.memory();
    loops.refresher.run_once().await;
    let copy = ranking.snapshot(&swarm).context("no copy")?;
    println!("{} shards, {} members in the copy", copy.versions().len(), copy.rows().len());

    for round in 1..=ROUNDS {
        for (n, about) in members.iter().enumerate() {
            for by in 1..=REPORTERS {
                let reporter = &members[(n + by * 7919) % PEERS];
                let source = Source {
                    peer: reporter.peer,
                    prefix: reporter.address.map(Prefix::of),
                    can_meet: true,
                    end: starling::domain::End::default(),
                };
                let (busy_ms, ok) = (u64::from(round) * 20_000, round * 130);
                let bytes = u64::from(round) * 35_000_000;
                let receipt =
                    Receipt { epoch: 7, connected: true, bytes, busy_ms, ok, timeout: round, ..Receipt::default() };
                ranking.receipt(&swarm, about.peer, source, receipt);
            }
        }
        clock.advance(Duration::from_secs(10));
        redis.everywhere(&["SLOWLOG", "RESET"]).await?;
        redis.everywhere(&["CONFIG", "RESETSTAT"]).await?;
        let (began, cpu) = (Instant::now(), own.cpu().unwrap_or(0.0));
        loops.ranker.run_once().await;
        let (took, cpu) = (began.elapsed(), own.cpu().unwrap_or(0.0) - cpu);
        let commands = redis.info("stats", "total_commands_processed").await?;
        let bytes = [
            redis.info("stats", "total_net_input_bytes").await? / 1e6,
            redis.info("stats", "total_net_output_bytes").await? / 1e6,
        ];
        let series = recorder.handle().render();
        let scoring = series.lines().find_map(|line| line.strip_prefix("starling_ranking_scoring_seconds_sum "));
        println!(
            "round {round}: {:.2} s, CPU of this process {cpu:.2} s, scoring so far {} s, longest command {:.2} ms, \
             {commands} commands, {:.1} MB to Redis, {:.1} MB from it (replication included)",
            took.as_secs_f64(),
            scoring.unwrap_or("?"),
            redis.longest().await?,
            bytes[0],
            bytes[1],
        );
    }
    // With six servers and ourselves on two cores a command can wait for its core. So: a few at a time, as well.
    redis.everywhere(&["SLOWLOG", "RESET"]).await?;
    for some in members.chunks(250).take(100) {
        for about in some {
            let source =
                Source { peer: members[0].peer, prefix: None, can_meet: true, end: starling::domain::End::default() };
            let receipt = Receipt { epoch: 8, connected: true, ok: 1, ..Receipt::default() };
            ranking.receipt(&swarm, about.peer, source, receipt);
        }
        loops.ranker.run_once().await;
    }
    println!("100 rounds of 250 peers: longest command {:.2} ms", redis.longest().await?);
    redis.everywhere(&["SLOWLOG", "RESET"]).await?;
    let (began, cpu) = (Instant::now(), own.cpu().unwrap_or(0.0));
    loops.refresher.run_once().await;
    println!(
        "pull of everything: {:.2} s, CPU {:.2} s, longest command {:.2} ms",
        began.elapsed().as_secs_f64(),
        own.cpu().unwrap_or(0.0) - cpu,
        redis.longest().await?
    );
    let full = redis.info("memory", "used_memory").await?;
    println!("Redis: {:.0} bytes per peer", (full - empty) / PEERS as f64);
    println!(
        "copy: {} bytes a row; process grew by {} MB",
        size_of_val(&copy.rows()[0]),
        own.memory().saturating_sub(memory) / 1_000_000
    );
    stop.cancel();
    Ok(())
}
