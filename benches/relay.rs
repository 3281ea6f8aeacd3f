//! Offer to delivery through the gateway, one pair at a time: the program as it is, a real Centrifugo, two clients. The
//! same round trip as the driver of a null backend measures, so that the two can be set side by side.

#![expect(dead_code, reason = "parts of the test harness that this does not need")]

#[path = "../tests/it/client.rs"]
mod client;
#[path = "../tests/it/served.rs"]
mod served;
#[path = "../tests/it/world.rs"]
mod world;

use std::time::{Duration, Instant};

use clap::Parser;
use client::{Client, Connected};
use serde_json::{Value, json};
use starling::{
    clock::Clock,
    domain::{
        SwarmPattern,
        token::{Claims, TokenKey, TokenKeys},
    },
};

#[derive(Parser)]
struct Options {
    /// How long to measure
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Bytes of each description
    #[arg(long, default_value_t = 1200)]
    sdp: usize,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options::parse();
    let served = served::serve(&["--log", "warn"], &[]).await;
    let (ann, bob) = (peer(&served.url).await, peer(&served.url).await);
    let ticket = ann.ticket_for("s", &bob.peer).await;
    let sdp = format!(
        "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na={}\r\n",
        "x".repeat(options.sdp.saturating_sub(68))
    );

    let (mut one_way, mut round_trip) = (Vec::new(), Vec::new());
    let end = Instant::now() + options.time;
    let mut seq = 0;
    while Instant::now() < end {
        let sent = Instant::now();
        let offer = signal(&bob.peer, &ticket, seq, json!({ "offer": { "sdp": sdp } }));
        let delivery = async {
            let delivered = bob.delivery().await;
            let arrived = sent.elapsed();
            let back = delivered[0]["ticket"].as_str().unwrap().to_owned();
            let answer = signal(&ann.peer, &back, seq, json!({ "answer": { "sdp": sdp } }));
            let (result, ()) = tokio::join!(bob.signal("s", answer), async {
                ann.delivery().await;
                round_trip.push(sent.elapsed());
            });
            assert_eq!(result, ["ok"]);
            arrived
        };
        let (result, arrived) = tokio::join!(ann.signal("s", offer), delivery);
        assert_eq!(result, ["ok"]);
        one_way.push(arrived);
        seq += 1;
    }
    report("offer to delivery", &mut one_way);
    report("offer to answer delivered", &mut round_trip);
}

async fn peer(url: &str) -> Connected {
    let claims = Claims::until(Clock::System.now() + Duration::from_hours(1), vec![SwarmPattern::parse("s").unwrap()]);
    let token = TokenKeys::new(vec![TokenKey::hs256("1", served::SECRET)], "starling").sign(&claims).unwrap();
    let client = Client::connect(url, json!({ "v": 1, "token": token })).await.unwrap();
    client.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    client
}

fn signal(to: &str, ticket: &str, seq: u32, body: Value) -> Value {
    let mut signal = json!({ "to": to, "ticket": ticket, "session": "bench", "seq": seq });
    signal.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    json!([signal])
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |quantile: usize| times[(times.len() - 1) * quantile / 100].as_secs_f64() * 1e3;
    println!("{what}: {} times, p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms", times.len(), at(50), at(99), at(100));
}
