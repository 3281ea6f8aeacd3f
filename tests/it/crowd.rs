//! A crowd that comes at once: whom it is handed. Calls are made as the gateway would make them, since a thousand sockets
//! would show nothing else.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde_json::{Value, json};
use starling::{app::App, clock::Clock, domain::PeerId};

use crate::world::{configuration, loopback};

const SECRET: &str = "the secret of the crowd's tests";
const CROWD: usize = 1000;

struct Crowded {
    app: App,
    clock: Clock,
    http: reqwest::Client,
}

impl Crowded {
    async fn start() -> Self {
        let mut config = configuration(loopback(0), 9, "a key that opens nothing", SECRET);
        config.ranking.interval = Duration::from_secs(1);
        let clock = Clock::manual(Clock::System.now());
        let app = App::start(&config, clock.clone()).await.unwrap();
        Self { app, clock, http: reqwest::Client::new() }
    }

    /// A peer joins from this address; who is listed to it.
    async fn join(&self, peer: PeerId, address: &str, about: Value) -> Vec<String> {
        let exp = self.clock.now().seconds() + 3600;
        let meta = json!({ "swarms": ["s"], "exp": exp, "upload": true, "address": address });
        let mut data = json!({ "swarm": "s", "net": { "nat": "eim" } });
        data.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        let call = json!({ "client": "c", "user": peer, "method": "join", "data": data, "meta": meta });
        let url = format!("http://{}/rpc", self.app.proxy_address());
        let request = self.http.post(url).header("X-Starling-Secret", SECRET).body(call.to_string());
        let reply: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        let listed = reply["result"]["data"]["peers"].as_array().unwrap_or_else(|| panic!("{reply}"));
        listed.iter().map(|entry| entry["peer"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the copy holds so many.
    async fn copied(&self, members: usize) {
        let url = format!("http://{}/swarms/s", self.app.admin_address());
        let waiting = async {
            loop {
                let shown: Value =
                    serde_json::from_str(&reqwest::get(&url).await.unwrap().text().await.unwrap()).unwrap();
                if shown["size"] == members && shown["copy_age_s"].is_number() {
                    return;
                }
                // Somebody has to want it.
                self.join(PeerId::from_bytes([255; 16]), "192.0.2.1", json!({ "want": 0, "upload": false })).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the swarm is copied");
    }
}

fn peer(kind: u8, n: usize) -> PeerId {
    let mut bytes = [kind; 16];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    PeerId::from_bytes(bytes)
}

/// A thousand are there, twenty of them where the crowd comes from; a thousand more join within a second.
#[tokio::test]
async fn a_thousand_that_join_within_a_second_spread_over_all_who_are_there() {
    let swarm = Crowded::start().await;
    for n in 0..CROWD {
        // Each in a network of its own, but for those that are near to the crowd.
        let address = if n < 20 { format!("203.0.113.{n}") } else { format!("10.{}.{}.1", n / 250, n % 250) };
        swarm.join(peer(1, n), &address, json!({ "want": 0 })).await;
    }
    swarm.copied(CROWD + 1).await;
    let mut introduced: HashMap<String, usize> = (0..CROWD).map(|n| (peer(1, n).to_string(), 0)).collect();
    for n in 0..CROWD {
        let address = format!("203.0.113.{}", n % 200 + 30);
        let listed = swarm.join(peer(2, n), &address, json!({ "want": 8 })).await;
        assert!((4..=8).contains(&listed.len()), "the {n}th of the crowd gets {} peers", listed.len());
        for target in listed {
            *introduced.entry(target).or_default() += 1;
        }
        swarm.clock.advance(Duration::from_millis(1));
    }
    let mut there: Vec<_> = (0..CROWD).map(|n| introduced[&peer(1, n).to_string()]).collect();
    there.sort_unstable();
    let (median, most) = (there[CROWD / 2], introduced.values().max().copied().unwrap());
    assert!(
        median > 0 && most <= 3 * median,
        "a target was introduced {most} times, half of them up to {median} times"
    );
    swarm.app.stop().await.unwrap();
}

/// Few can meet a peer whose NAT maps by address and port; most of those who are there are behind such a NAT themselves.
#[tokio::test]
async fn whom_hardly_anybody_can_meet_is_given_those_who_can() {
    let swarm = Crowded::start().await;
    for n in 0..CROWD {
        let nat = if n % 100 == 50 { "open" } else { "apdm" };
        let address = format!("10.{}.{}.1", n / 250, n % 250);
        swarm.join(peer(1, n), &address, json!({ "want": 0, "net": { "nat": nat } })).await;
    }
    swarm.copied(CROWD + 1).await;
    let listed = swarm.join(peer(2, 0), "203.0.113.1", json!({ "want": 10, "net": { "nat": "apdm" } })).await;
    let those: HashSet<_> = (0..10).map(|n| peer(1, n * 100 + 50).to_string()).collect();
    assert_eq!(listed.into_iter().collect::<HashSet<_>>(), those);
    swarm.app.stop().await.unwrap();
}
