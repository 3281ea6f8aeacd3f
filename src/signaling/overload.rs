//! Whether there is more to do than we can: then clients are told to ask less often. What is measured is how late a task
//! of our own runs that wants to run ten times a second: that is how long every call waits for a thread.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use metrics::{Gauge, gauge};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How often it is measured.
const TICK: Duration = Duration::from_millis(100);
/// One measurement counts no more than this: a process that stood still for a minute is not overloaded for that.
const LATE_AT_MOST: Duration = Duration::from_millis(500);
/// What a new measurement weighs in the average: 50 ticks, or 5 s, until two thirds of it are new.
const WEIGHT: f64 = 0.02;
/// Above this average the intervals are stretched to twice or three times what they were: offers should take 15 ms at
/// most, so at 50 ms much is wrong, and at 150 ms ...
const UP: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(150)];
/// ... and below half of it they are shortened again.
const DOWN: f64 = 0.5;
/// So many ticks in a row it must be so before a step is made: 5 s to stretch, so that no hiccup does, ...
const HOLD_UP: u32 = 50;
/// ... and 30 s to shorten, since clients that ask more often bring back what they left.
const HOLD_DOWN: u32 = 300;

/// How much intervals are stretched. Made at start, so that its series exists.
pub struct Overload {
    factor: AtomicU32,
    gauge: Gauge,
}

impl Overload {
    /// Nothing is stretched.
    pub fn new() -> Self {
        let gauge = gauge!("starling_signaling_stretch");
        gauge.set(1.0);
        Self { factor: AtomicU32::new(1), gauge }
    }

    /// By how much: 1 to 3.
    pub fn factor(&self) -> u32 {
        self.factor.load(Relaxed)
    }

    /// Measures until told to stop.
    pub async fn run(self: std::sync::Arc<Self>, stop: CancellationToken) {
        let mut strain = Strain::default();
        let mut due = Instant::now() + TICK;
        while stop.run_until_cancelled(sleep_until(due)).await.is_some() {
            let now = Instant::now();
            let factor = strain.measured(now - due);
            self.factor.store(factor, Relaxed);
            self.gauge.set(f64::from(factor));
            due = now + TICK;
        }
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self::new()
    }
}

/// What was measured so far. A plain value.
#[derive(Clone, Copy, Debug, Default)]
struct Strain {
    late: f64,
    // Steps above 1.
    steps: usize,
    // Ticks for which the average has been too high, and low enough, for this step.
    high: u32,
    low: u32,
}

impl Strain {
    /// One more measurement; the factor from now on.
    fn measured(&mut self, late: Duration) -> u32 {
        self.late += WEIGHT * (late.min(LATE_AT_MOST).as_secs_f64() - self.late);
        let is_high = self.late > UP.get(self.steps).map_or(f64::INFINITY, Duration::as_secs_f64);
        let is_low = self.steps > 0 && self.late < UP[self.steps - 1].as_secs_f64() * DOWN;
        self.high = if is_high { self.high + 1 } else { 0 };
        self.low = if is_low { self.low + 1 } else { 0 };
        if self.high >= HOLD_UP {
            *self = Self { late: self.late, steps: self.steps + 1, high: 0, low: 0 };
        } else if self.low >= HOLD_DOWN {
            *self = Self { late: self.late, steps: self.steps - 1, high: 0, low: 0 };
        }
        u32::try_from(self.steps).expect("two at most") + 1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::*, *};
    use crate::{
        domain::{PolicyOverrides, SwarmPattern, Timestamp},
        gateway::recording::RecordingGateway,
        geo::GeoSettings,
        outbox::OutboxSettings,
        ranking::RankingSettings,
        store::MemoryStore,
    };

    /// The factors after each of these spells: so many ticks, each so many milliseconds late.
    fn factors(spells: &[(u32, u64)]) -> Vec<u32> {
        let mut strain = Strain::default();
        let mut spell = |(ticks, late): &(u32, u64)| {
            (0..*ticks).map(|_| strain.measured(Duration::from_millis(*late))).last().unwrap()
        };
        spells.iter().map(&mut spell).collect()
    }

    #[test]
    fn a_hiccup_stretches_nothing_however_long() {
        assert_eq!(factors(&[(600, 1), (1, 60_000), (600, 1)]), [1, 1, 1]);
        assert_eq!(factors(&[(600, 1), (10, 400), (600, 1)]), [1, 1, 1], "5 s of standing still in ten pieces");
        assert_eq!(factors(&[(10_000, 49)]), [1]);
    }

    #[test]
    fn what_lasts_stretches_step_by_step_and_shortens_late() {
        assert_eq!(factors(&[(90, 80), (20, 80), (10_000, 80)]), [1, 2, 2]);
        assert_eq!(factors(&[(300, 400), (1000, 400), (330, 0), (100, 0), (1000, 0)]), [3, 3, 3, 2, 1]);
    }

    #[test]
    fn between_the_bounds_it_stays_as_it_is() {
        assert_eq!(factors(&[(1000, 80), (10_000, 40), (10_000, 26), (1000, 24)]), [2, 2, 2, 1]);
        assert_eq!(factors(&[(10_000, 40)]), [1]);
    }

    /// The use cases over an empty store.
    fn signaling() -> Signaling {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let settings = RankingSettings { interval: TICK, remember: Duration::from_mins(10), price_per_gb: 0.0 };
        let store = Arc::new(MemoryStore::new(100, settings.remember));
        let (ranking, _) = Ranking::new(store, clock.clone(), settings);
        let gateway: Arc<dyn Gateway> = Arc::new(RecordingGateway::default());
        let settings = OutboxSettings { window: TICK, lanes: 1, capacity: 1 };
        let (outbox, _) = Outbox::new(settings, &gateway);
        Signaling {
            ranking,
            geo: Arc::new(Geo::open(GeoSettings::default()).unwrap()),
            outbox,
            gateway,
            tokens: TokenKeys::new(Vec::new(), "starling"),
            tickets: MacKeys::new([(1, &[7; 32][..])]).unwrap(),
            ticket_ttl: TICK,
            ice_servers: Vec::new(),
            clock,
            overload: Arc::new(Overload::new()),
            metrics: SignalingMetrics::new(),
        }
    }

    #[tokio::test]
    async fn clients_are_told_to_report_and_to_ask_less_often() {
        let signaling = signaling();
        let session = Session {
            swarms: vec![SwarmPattern::parse("s").unwrap()],
            exp: u64::MAX,
            upload: true,
            resumed: false,
            explain: false,
            policy: PolicyOverrides::default(),
            address: None,
        };
        let caller = Caller { peer: PeerId::from_bytes([1; 16]), client: "c".to_owned(), session };
        for (factor, report_s, idle_s, next_ms) in [(1, 10, 30, 5000), (2, 20, 40, 10_000), (3, 30, 40, 15_000)] {
            signaling.overload.factor.store(factor, Relaxed);
            let report = serde_json::json!({
                "swarm": "s", "epoch": 0, "seq": factor, "up_bytes": 0, "down_bytes": 0, "http_bytes": 0, "rebuffers": 0,
                "degree": 0, "policy": "another", "receipts": [],
            });
            let reply = signaling.report(&caller, serde_json::from_value(report).unwrap()).unwrap();
            let policy = serde_json::to_value(reply.policy.unwrap()).unwrap();
            assert_eq!((&policy["report_interval_s"], &policy["idle_interval_s"]), (&report_s.into(), &idle_s.into()));
            let ask = serde_json::json!({ "swarm": "s" });
            let list = signaling.peers(&caller, serde_json::from_value(ask).unwrap()).await.unwrap();
            assert_eq!(list.next_ms, next_ms);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_ends_when_told_and_an_idle_process_stretches_nothing() {
        let overload = std::sync::Arc::new(Overload::new());
        let stop = CancellationToken::new();
        let running = tokio::spawn(overload.clone().run(stop.clone()));
        tokio::time::sleep(TICK * 1000).await;
        assert_eq!(overload.factor(), 1);
        stop.cancel();
        running.await.unwrap();
    }
}
