//! Where peers are, by the address that the gateway saw.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Client, Connected},
    databases,
    served::{SECRET, starling},
    world::{Transport, World},
};

const MAP: &str = r#"
[groups.ours]
asns = [64500]

[groups.office]
prefixes = ["203.0.113.0/24"]

[[peering]]
groups = ["office"]
rule = "only"
"#;

/// The files of a configuration's `[geo]`.
fn files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let asns = databases::asns(&[("::192.0.2.0/120", 64500), ("::198.51.100.0/120", 64501)]);
    fs::write(folder.path().join("asns.mmdb"), asns).unwrap();
    let countries = databases::countries(&[("::192.0.2.0/120", "DE"), ("::203.0.113.0/120", "FR")]);
    fs::write(folder.path().join("countries.mmdb"), countries).unwrap();
    fs::write(folder.path().join("costs.toml"), MAP).unwrap();
    folder
}

async fn world(folder: &TempDir) -> World {
    World::start_with(Transport::Grpc, |config| {
        let path = |name| folder.path().join(name).to_str().unwrap().to_owned();
        config.geo.asn_database = path("asns.mmdb");
        config.geo.country_database = path("countries.mmdb");
        config.geo.cost_map = path("costs.toml");
    })
    .await
}

/// A peer that has joined `s` from this address, whatever it says of itself.
async fn joined(world: &World, address: &str) -> Connected {
    let data = json!({ "v": 1, "token": world.token(&["s"]), "asn": 1, "country": "XX", "address": "192.0.2.1" });
    let peer = Client::connect_with(&world.url(), Some(address), json!({ "data": data })).await.unwrap();
    let join = json!({ "swarm": "s", "asn": 1, "country": "XX", "group": "ours", "net": { "asn": 1 } });
    peer.rpc("join", join).await.unwrap();
    peer
}

async fn listed(peer: &Connected) -> Vec<String> {
    let list = peer.rpc("peers", json!({ "swarm": "s", "want": 16 })).await.unwrap();
    let mut peers: Vec<_> =
        list["peers"].as_array().unwrap().iter().map(|entry| entry["peer"].as_str().unwrap().to_owned()).collect();
    peers.sort_unstable();
    peers
}

fn sorted(peers: &[&Connected]) -> Vec<String> {
    let mut peers: Vec<_> = peers.iter().map(|peer| peer.peer.clone()).collect();
    peers.sort_unstable();
    peers
}

#[tokio::test]
async fn each_peer_has_the_place_of_the_address_that_the_gateway_saw() {
    let folder = files();
    let world = world(&folder).await;
    let (ann, bob) = (joined(&world, "192.0.2.7").await, joined(&world, "192.0.2.8").await);
    let (cem, dan) = (joined(&world, "198.51.100.7").await, joined(&world, "203.0.113.1").await);
    let (_, swarm) = world.admin("/swarms/s").await;
    for (peer, asn, country, group) in [
        (&ann, json!(64500), json!("DE"), json!("ours")),
        (&bob, json!(64500), json!("DE"), json!("ours")),
        (&cem, json!(64501), Value::Null, Value::Null),
        (&dan, Value::Null, json!("FR"), json!("office")),
    ] {
        let members = swarm["members"].as_array().unwrap();
        let shown = members.iter().find(|member| member["peer"] == peer.peer).unwrap();
        assert_eq!((&shown["asn"], &shown["country"], &shown["group"]), (&asn, &country, &group));
    }
    let shown = swarm.to_string();
    assert!(!shown.contains("192.0.2") && !shown.contains("203.0.113"), "{shown}");
}

#[tokio::test]
async fn a_list_begins_with_the_nearest() {
    let folder = files();
    let world = world(&folder).await;
    let mut others = Vec::new();
    for address in ["198.51.100.7", "192.0.2.8", "192.0.2.7", "198.51.100.8"] {
        others.push(joined(&world, address).await);
    }
    let ann = joined(&world, "192.0.2.7").await;
    for _ in 0..4 {
        world.clock.advance(std::time::Duration::from_secs(15));
        let list = ann.rpc("peers", json!({ "swarm": "s", "want": 16 })).await.unwrap();
        let near: Vec<_> = list["peers"].as_array().unwrap().iter().map(|entry| &entry["near"]).collect();
        assert_eq!(near, ["lan", "asn", "far", "far"]);
        for other in &others {
            other.rpc("peers", json!({ "swarm": "s", "want": 0 })).await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_may_only_meet_each_other_is_listed_to_nobody_else() {
    let folder = files();
    let world = world(&folder).await;
    let (ann, bob) = (joined(&world, "192.0.2.7").await, joined(&world, "198.51.100.7").await);
    let (cem, dan) = (joined(&world, "203.0.113.1").await, joined(&world, "203.0.113.2").await);
    assert_eq!(listed(&cem).await, sorted(&[&dan]));
    assert_eq!(listed(&dan).await, sorted(&[&cem]));
    assert_eq!(listed(&ann).await, sorted(&[&bob]));
    assert_eq!(listed(&bob).await, sorted(&[&ann]));
}

#[tokio::test]
async fn a_map_that_breaks_while_we_run_degrades_readiness_and_heals() {
    let folder = files();
    let world = world(&folder).await;
    fs::write(folder.path().join("costs.toml"), "[groups.x]\nprefixs = []").unwrap();
    let missing = world.missing("geo").await;
    assert!(missing.contains("cost_map") && missing.contains("prefixs"), "{missing}");
    assert_eq!(world.admin("/health/ready").await.0, 200);
    fs::write(folder.path().join("costs.toml"), MAP.to_owned() + "\n").unwrap();
    world.nothing_is_missing().await;
}

#[tokio::test]
async fn check_and_serve_name_the_file_that_cannot_be_used() {
    let folder = files();
    let map = folder.path().join("costs.toml");
    for command in ["check", "serve"] {
        let mut starling = starling(&[command]);
        for (name, value) in [
            ("STARLING_PROXY__LISTEN", "127.0.0.1:0"),
            ("STARLING_ADMIN__LISTEN", "127.0.0.1:0"),
            ("STARLING_PROXY__SECRET", SECRET),
            ("STARLING_GATEWAY__API_KEY", SECRET),
            ("STARLING_TOKEN__KEYS", &json!([{ "id": "1", "alg": "HS256", "secret": SECRET }]).to_string()),
            ("STARLING_TICKET__KEYS", &json!([{ "id": 1, "secret": SECRET }]).to_string()),
            ("STARLING_GEO__COST_MAP", map.to_str().unwrap()),
        ] {
            starling.env(name, value);
        }
        let output = starling.output().await.unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{command}");
        for part in ["geo.cost_map: ", "costs.toml", "set it, or take the asns out"] {
            assert!(complaint.contains(part), "{part} not in: {complaint}");
        }
    }
}
