//! What a peer list costs in a swarm of 100,000 (candidates from this node's copy, the choice, the tickets), and what it
//! costs to judge one of them.

use std::{
    hint::black_box,
    net::Ipv4Addr,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use futures_util::FutureExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use starling::{
    clock::Clock,
    domain::{
        CostMap, Evidence, Member, Nat, Pairs, PeerId, Place, Ranked, Receipt, SwarmId, Timestamp, Whereabouts,
        evidence::{MAX_REPORTERS, Source},
        introductions::Held,
        mac::MacKeys,
        score::{full_kbps, score},
        selection::{self, CANDIDATES, Reservations, Terrain, Wish},
        ticket::{Permit, TicketKind},
    },
    ranking::{Ranking, RankingSettings},
    store::{MemoryStore, Store},
};

const PEERS: u32 = 100_000;
const THREADS: usize = 64;

/// The service's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn member(rng: &mut StdRng, clock: &Clock) -> Member {
    let place =
        Place { asn: Some(rng.random_range(0..400)), country: Some([b'A', rng.random_range(b'A'..=b'Z')]), pid: None };
    Member {
        upload: rng.random_range(0..5) > 0,
        nat: Nat::Eim,
        slots: Some(12),
        degree: rng.random_range(0..12),
        playhead: Some(12.5),
        bitrate_kbps: Some(3000),
        address: Some(Ipv4Addr::from_bits(rng.random()).into()),
        place,
        ..Member::new(PeerId::random(rng), clock.now())
    }
}

fn list(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock = Clock::manual(Clock::System.now());
    let swarm = SwarmId::parse("movie/42/1080p").unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let settings =
        RankingSettings { interval: Duration::from_secs(10), remember: Duration::from_mins(10), price_per_gb: 0.0 };
    let store = Arc::new(MemoryStore::new(1_000_000, settings.remember));
    let (ranking, loops) = Ranking::new(store.clone(), clock.clone(), settings);
    let callers: Vec<_> = (0..PEERS).map(|_| member(&mut rng, &clock)).collect();
    runtime.block_on(async {
        for member in &callers {
            store.join(&swarm, member.clone(), 0, clock.now()).await.unwrap();
        }
        ranking.find(&swarm, callers[0].peer, Whereabouts::default(), 1, |_| true).await.unwrap();
        loops.refresher.run_once().await;
    });
    assert_eq!(ranking.snapshot(&swarm).unwrap().rows().len(), callers.len());
    let lists = Lists {
        ranking,
        clock,
        swarm,
        callers,
        keys: MacKeys::new([(1, b"a secret for tickets of the bench".as_slice())]).unwrap(),
        costs: CostMap::default(),
        pairs: Pairs::default(),
    };
    let next = AtomicUsize::new(0);
    let list = || black_box(lists.list(next.fetch_add(1, Relaxed)));
    criterion.bench_function("a list of 8 of 64 candidates among 100,000", |bencher| bencher.iter(list));
    side_by_side(criterion, list);
}

/// As long as nothing keeps threads from working side by side, a list takes a share of the time that it takes alone. Threads
/// are there before and after, and a sample is long, so that only lists are measured.
fn side_by_side<T>(criterion: &mut Criterion, list: impl Fn() -> T + Sync) {
    let (barrier, left, is_over) = (Barrier::new(THREADS + 1), AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        loop {
            barrier.wait();
            if is_over.load(Relaxed) {
                return;
            }
            while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                list();
            }
            barrier.wait();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
        let mut group = criterion.benchmark_group("the same");
        group.sampling_mode(SamplingMode::Flat).sample_size(20).measurement_time(Duration::from_secs(10));
        group.bench_function("from 64 threads at once, time by list", |bencher| {
            bencher.iter_custom(|times| {
                left.store(times, Relaxed);
                let began = Instant::now();
                barrier.wait();
                barrier.wait();
                began.elapsed()
            });
        });
        group.finish();
        is_over.store(true, Relaxed);
        barrier.wait();
    });
}

/// What lists are made from.
struct Lists {
    ranking: Arc<Ranking>,
    clock: Clock,
    swarm: SwarmId,
    callers: Vec<Member>,
    keys: MacKeys,
    costs: CostMap,
    pairs: Pairs,
}

impl Lists {
    /// The list of the n-th caller, as its tickets. Time goes on, so that what is reserved comes free again.
    fn list(&self, n: usize) -> Vec<String> {
        self.clock.advance(Duration::from_millis(1));
        // A prime: all of them, in no order that a cache could like.
        let caller = &self.callers[n * 7919 % self.callers.len()];
        let at = caller.whereabouts();
        let wish = Wish {
            caller: caller.peer,
            at,
            nat: caller.nat,
            reach: caller.reach,
            playhead: Some(12.5),
            urgent: false,
            is_lonely: false,
            said: self.clock.now(),
            want: 8,
            exclude: &[],
        };
        let terrain = Terrain { costs: &self.costs, pairs: &self.pairs, slots: 12, now: self.clock.now() };
        let fits = |ranked: &Ranked| terrain.fits(&wish, ranked);
        let found = self.ranking.find(&self.swarm, caller.peer, at, CANDIDATES, fits).now_or_never().unwrap().unwrap();
        let mut introducing = Introducing { ranking: &self.ranking, caller: caller.peer };
        let drawn = selection::choose(found.candidates, &wish, &terrain, &mut rand::rng(), &mut introducing);
        let permit = Permit { kind: TicketKind::Offer, same_address: false, expires: self.clock.now() };
        let ticket = |to: PeerId| permit.issue(&self.keys, &self.swarm, caller.peer, to);
        let tickets: Vec<_> = drawn.listed().map(|(ranked, _)| ticket(ranked.member.peer)).collect();
        assert!(tickets.len() >= 4);
        tickets
    }
}

struct Introducing<'a> {
    ranking: &'a Ranking,
    caller: PeerId,
}

impl Reservations for Introducing<'_> {
    fn held(&self, target: PeerId, said: Timestamp) -> Held {
        self.ranking.held(target, self.caller, said)
    }

    fn reserve(&mut self, target: PeerId, insist: bool) -> bool {
        self.ranking.introduce(target, self.caller, insist)
    }
}

fn judge(criterion: &mut Criterion) {
    let clock = Clock::manual(Clock::System.now());
    let mut rng = StdRng::seed_from_u64(1);
    let about = member(&mut rng, &clock);
    let reporters: Vec<_> = (0..MAX_REPORTERS).map(|_| member(&mut rng, &clock)).collect();
    let add = |evidence: &mut Evidence, round: u32, now| {
        for reporter in &reporters {
            let source = Source {
                peer: reporter.peer,
                prefix: reporter.prefix(),
                can_meet: true,
                end: starling::domain::End::default(),
            };
            let (bytes, busy_ms) = (u64::from(round) * 35_000_000, u64::from(round) * 20_000);
            let receipt = Receipt {
                epoch: 1,
                connected: true,
                bytes,
                busy_ms,
                ok: round * 130,
                timeout: round,
                ..Receipt::default()
            };
            evidence.add(&source, &receipt, full_kbps(&about), now);
        }
    };
    let mut before = Evidence::new(clock.now());
    add(&mut before, 1, clock.now());
    let now = clock.now() + Duration::from_secs(10);
    criterion.bench_function("a peer judged, with 16 receipts", |bencher| {
        bencher.iter(|| {
            let mut evidence = before.clone();
            add(&mut evidence, 2, now);
            black_box(score(&evidence, before.touched, &about, now))
        });
    });
}

criterion_group!(benches, list, judge);
criterion_main!(benches);
