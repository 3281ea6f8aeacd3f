//! What a call of eight offers costs the backend between the transport and the gateway, every check on: parsing, tickets,
//! grammar, reverse tickets, lanes, and the text of the batch left out. Beside it, one published answer.

use std::{hint::black_box, sync::Arc, time::Duration};

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use starling::{
    clock::Clock,
    domain::{
        PeerId, PolicyOverrides, SwarmId, SwarmPattern,
        mac::MacKeys,
        ticket::{Permit, TicketKind},
        token::TokenKeys,
    },
    gateway::{Delivery, Gateway, GatewayError, Published},
    geo::{Geo, GeoSettings},
    lifecycle::Lifecycle,
    outbox::{Outbox, OutboxSettings},
    protocol::Session,
    proxy::{Proxy, ProxyMetrics},
    ranking::{Ranking, RankingSettings},
    signaling::{Caller, Signaling, SignalingMetrics},
    store::MemoryStore,
};

/// A gateway that accepts everything at once.
struct NullGateway;

#[async_trait]
impl Gateway for NullGateway {
    async fn publish(&self, deliveries: &[Delivery], _: Duration) -> Result<Published, GatewayError> {
        black_box(deliveries);
        Ok(vec![Ok(()); deliveries.len()])
    }

    async fn disconnect_others(&self, _: PeerId, _: &str) -> Result<(), GatewayError> {
        Ok(())
    }

    fn is_up(&self) -> bool {
        true
    }

    fn missing(&self) -> Option<String> {
        None
    }
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 16])
}

fn keys() -> MacKeys {
    MacKeys::new([(1, b"a secret of 32 characters, or more".as_slice())]).unwrap()
}

fn signal(kind: TicketKind, to: u8) -> Value {
    let swarm = SwarmId::parse("movie/42/1080p").unwrap();
    let permit = Permit { kind, same_address: false, expires: Clock::System.now() + Duration::from_hours(1) };
    let sdp = format!(
        "v=0\r\no=- 46117 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{}",
        "a=candidate:842163049 1 udp 1677729535 198.51.100.7 46154 typ srflx raddr 0.0.0.0 rport 0\r\n".repeat(12)
    );
    let word = if kind == TicketKind::Offer { "offer" } else { "answer" };
    json!({
        "to": peer(to), "ticket": permit.issue(&keys(), &swarm, peer(0), peer(to)),
        "session": "Zk3x-0sVq2mYb7Ld", "seq": 0, word: { "sdp": sdp },
    })
}

fn calls(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = OutboxSettings { window: Duration::from_millis(100), lanes: 4, capacity: 8192 };
    let gateway: Arc<dyn Gateway> = Arc::new(NullGateway);
    let (outbox, lanes) = Outbox::new(settings, &gateway);
    let tasks = Lifecycle::default();
    let _inside = runtime.enter();
    for lane in lanes {
        tasks.start(|stop| lane.run(stop));
    }
    let remember = Duration::from_mins(10);
    let settings = RankingSettings { interval: Duration::from_secs(10), remember, price_per_gb: 0.0 };
    let store = Arc::new(MemoryStore::new(1000, remember));
    let (ranking, _loops) = Ranking::new(store, Clock::System, settings);
    let signaling = Signaling {
        ranking,
        geo: Arc::new(Geo::open(GeoSettings::default()).expect("no file is needed")),
        outbox,
        gateway,
        tokens: TokenKeys::new(Vec::new(), "starling"),
        tickets: keys(),
        ticket_ttl: Duration::from_mins(10),
        ice_servers: Vec::new(),
        clock: Clock::System,
        overload: Arc::default(),
        metrics: SignalingMetrics::new(),
    };
    let proxy = Proxy {
        signaling: Arc::new(signaling),
        secret: String::new(),
        client_ip_header: "x-real-ip".parse().unwrap(),
        metrics: ProxyMetrics::new(),
    };
    let session = Session {
        swarms: vec![SwarmPattern::parse("movie/*").unwrap()],
        exp: u64::MAX / 2000,
        upload: true,
        resumed: false,
        explain: false,
        policy: PolicyOverrides::default(),
        address: None,
    };
    let caller = Caller { peer: peer(0), client: "c".into(), session };
    let offers: Vec<_> = (1..=8).map(|to| signal(TicketKind::Offer, to)).collect();
    let call = json!({ "swarm": "movie/42/1080p", "signals": offers }).to_string();
    let mut answer = signal(TicketKind::Answer, 1);
    answer["swarm"] = "movie/42/1080p".into();
    let (answer, channel) = (answer.to_string(), format!("inbox:{}", peer(1)));

    let mut group = c.benchmark_group("signal");
    group.throughput(Throughput::Elements(8));
    group.bench_function("a call of eight offers", |b| {
        b.to_async(&runtime).iter(async || proxy.rpc(&caller, "signal", call.as_bytes()).await.unwrap());
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one published answer", |b| {
        b.to_async(&runtime).iter(async || proxy.publish(&caller, &channel, answer.as_bytes()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
