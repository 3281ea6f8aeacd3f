//! The program itself beside a real Centrifugo, each a process of its own.

use std::process::Stdio;

use serde_json::json;
use starling::demo::gateway::{GatewayProcess, GatewaySetup};
use tokio::process::{Child, Command};

use crate::world::{Transport, centrifugo, free_port, loopback};

/// All its secrets.
pub const SECRET: &str = "a secret of 32 characters, or more";

/// The program with these arguments and an empty environment.
pub fn starling(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.args(arguments).env_clear().kill_on_drop(true).stdin(Stdio::null());
    command
}

/// `starling serve` beside a gateway; its standard error can be read.
pub struct Served {
    pub child: Child,
    /// Ends with this.
    pub gateway: GatewayProcess,
    pub url: String,
    /// The program's environment.
    pub settings: Vec<(&'static str, String)>,
}

/// Starts both; the backend with these arguments behind `serve`.
pub async fn serve(arguments: &[&str], more: &[(&'static str, &str)]) -> Served {
    let (clients, api, proxy, admin) = (free_port(), free_port(), free_port(), free_port());
    let mut settings = vec![
        ("STARLING_PROXY__LISTEN", loopback(proxy).to_string()),
        ("STARLING_PROXY__SECRET", SECRET.to_owned()),
        ("STARLING_ADMIN__LISTEN", loopback(admin).to_string()),
        ("STARLING_GATEWAY__API_URL", format!("http://127.0.0.1:{api}/api")),
        ("STARLING_GATEWAY__API_KEY", SECRET.to_owned()),
        ("STARLING_TOKEN__KEYS", json!([{ "id": "1", "alg": "HS256", "secret": SECRET }]).to_string()),
        ("STARLING_TICKET__KEYS", json!([{ "id": 1, "secret": SECRET }]).to_string()),
    ];
    settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let gateway = GatewayProcess::start(&GatewaySetup {
        binary: centrifugo(),
        clients,
        api,
        backend: loopback(proxy),
        transport: Transport::Grpc,
        api_key: SECRET.to_owned(),
        secret: SECRET.to_owned(),
        origins: "http://localhost".to_owned(),
        redis: None,
    })
    .await
    .unwrap();
    let mut command = starling(&["serve"]);
    let child = command.args(arguments).envs(settings.clone()).stderr(Stdio::piped()).spawn().unwrap();
    Served { child, gateway, url: format!("ws://127.0.0.1:{clients}/connection/websocket"), settings }
}
