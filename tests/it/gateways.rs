//! Several gateways that are one: their engine is a Redis of their own.

use serde_json::json;
use starling::{
    app::App,
    clock::Clock,
    demo::gateway::{GatewayProcess, GatewaySetup},
};
use starling_load::stack::{start_redis, token};
use tokio::process::Child;

use crate::{
    client::{Client, Connected},
    world::{Transport, centrifugo, configuration, free_port, loopback},
};

const SECRET: &str = "the secret of the gateways' tests";

/// Two gateways with one engine, and a backend that both call and that publishes through both.
struct Two {
    app: App,
    gateways: [Option<GatewayProcess>; 2],
    urls: [String; 2],
    token: String,
    _redis: Child,
}

impl Two {
    async fn start() -> Self {
        let (port, backend) = (free_port(), loopback(free_port()));
        let redis = start_redis(port).await.unwrap();
        let setups = [(); 2].map(|()| GatewaySetup {
            binary: centrifugo(),
            clients: free_port(),
            api: free_port(),
            backend,
            transport: Transport::Grpc,
            api_key: SECRET.to_owned(),
            secret: SECRET.to_owned(),
            origins: "http://localhost".to_owned(),
            redis: Some(loopback(port)),
        });
        let gateways = [
            Some(GatewayProcess::start(&setups[0]).await.unwrap()),
            Some(GatewayProcess::start(&setups[1]).await.unwrap()),
        ];
        let mut config = configuration(backend, setups[0].api, SECRET, SECRET);
        config.gateway.api_url = setups.each_ref().map(|setup| format!("http://127.0.0.1:{}/api", setup.api)).to_vec();
        let app = App::start(&config, Clock::System).await.unwrap();
        let token = token(&config, "s").unwrap();
        let urls = setups.map(|setup| format!("ws://127.0.0.1:{}/connection/websocket", setup.clients));
        Self { app, gateways, urls, token, _redis: redis }
    }

    async fn joined(&self, gateway: usize) -> Connected {
        let peer = Client::connect(&self.urls[gateway], json!({ "v": 1, "token": self.token })).await.unwrap();
        peer.rpc("join", json!({ "swarm": "s" })).await.unwrap();
        peer
    }
}

/// Sends byes one after the other, each of which must be acknowledged and delivered.
async fn byes(from: &Connected, to: &Connected, ticket: &str, seqs: std::ops::Range<u32>) {
    for seq in seqs {
        let bye = json!({ "to": to.peer, "ticket": ticket, "session": "one", "seq": seq, "bye": { "reason": "x" } });
        assert_eq!(from.signal("s", json!([bye])).await, ["ok"], "{seq}");
        assert_eq!(to.delivery().await[0]["seq"], seq);
    }
}

#[tokio::test]
async fn a_signal_finds_a_peer_at_another_gateway() {
    let two = Two::start().await;
    let (ann, bob) = (two.joined(0).await, two.joined(1).await);
    let ticket = ann.ticket_for("s", &bob.peer).await;
    byes(&ann, &bob, &ticket, 0..10).await;
    two.app.stop().await.unwrap();
}

#[tokio::test]
async fn losing_a_gateway_does_not_stop_publishing() {
    let mut two = Two::start().await;
    let (ann, bob) = (two.joined(1).await, two.joined(1).await);
    let ticket = ann.ticket_for("s", &bob.peer).await;
    byes(&ann, &bob, &ticket, 0..10).await;
    two.gateways[0] = None;
    byes(&ann, &bob, &ticket, 10..100).await;
    two.app.stop().await.unwrap();
}
