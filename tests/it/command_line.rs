//! The program as operators start and stop it.

use std::{path::Path, process::Output, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    client::Client,
    served::{SECRET, serve, starling},
    world::loopback,
};

async fn output(mut command: Command) -> Output {
    timeout(Duration::from_secs(10), command.output()).await.expect("it ends").unwrap()
}

fn terminate(child: &Child) {
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

#[tokio::test]
async fn check_prints_the_configuration_without_secrets_or_says_what_is_wrong() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sample.toml");
    let good = output(starling(&["check", "--config", sample.to_str().unwrap()])).await;
    let printed = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success() && printed.contains("***") && !printed.contains("replace-me"), "{printed}");
    let bad = output(starling(&["check"])).await;
    let complaint = String::from_utf8(bad.stderr).unwrap();
    assert!(!bad.status.success() && complaint.contains("STARLING_PROXY__SECRET"), "{complaint}");
    let missing = output(starling(&["serve", "--config", "nowhere.toml"])).await;
    assert!(!missing.status.success() && String::from_utf8(missing.stderr).unwrap().contains("nowhere.toml"));
}

#[tokio::test]
async fn help_names_every_command() {
    let help = String::from_utf8(output(starling(&["--help"])).await.stdout).unwrap();
    for command in ["serve", "check", "token", "demo"] {
        assert!(help.contains(command), "{help}");
    }
}

#[tokio::test]
async fn demo_says_which_ports_are_taken() {
    let taken = std::net::TcpListener::bind(loopback(0)).unwrap();
    let port = taken.local_addr().unwrap().port().clamp(1024, 65531);
    let refused = output(starling(&["demo", "--port", &port.to_string()])).await;
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && complaint.contains(&format!("port {port} for the page")), "{complaint}");
    assert!(complaint.contains("--port"));
}

#[tokio::test]
async fn a_terminated_backend_publishes_what_it_accepted_and_exits_0_and_its_log_holds_no_secrets() {
    let arguments = ["--log-format", "json", "--log", "trace"];
    let mut served = serve(&arguments, &[("STARLING_BATCH__WINDOW", "1s")]).await;
    let mut log = BufReader::new(served.child.stderr.take().unwrap());
    let mut lines = String::new();
    while !lines.contains("Serving") {
        timeout(Duration::from_secs(10), log.read_line(&mut lines)).await.expect("it starts").unwrap();
    }
    let reading = tokio::spawn(async move {
        log.read_to_string(&mut lines).await.unwrap();
        lines
    });

    let mut command = starling(&["token", "--swarm", "s", "--ttl", "10m", "--sub", "ann"]);
    command.envs(served.settings.clone());
    let token = String::from_utf8(output(command).await.stdout).unwrap().trim().to_owned();
    let data = json!({ "v": 1, "token": token });
    let (ann, bob) =
        (Client::connect(&served.url, data.clone()).await.unwrap(), Client::connect(&served.url, data).await.unwrap());
    for peer in [&ann, &bob] {
        peer.rpc("join", json!({ "swarm": "s" })).await.unwrap();
    }
    let ticket = ann.ticket_for("s", &bob.peer).await;
    let candidate = "candidate:1 1 udp 1 192.0.2.77 9 typ host ufrag sekrit";
    let sdp = "v=0\r\na=ice-pwd:sekrit\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let signal = |body: Value| {
        let mut signal = json!({ "to": bob.peer, "ticket": ticket, "session": "one", "seq": 0 });
        signal.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        json!([signal])
    };
    assert_eq!(ann.signal("s", signal(json!({ "offer": { "sdp": sdp } }))).await, ["ok"]);
    bob.delivery().await;
    // The window is a second, so this is still waiting when the backend is told to stop.
    assert_eq!(ann.signal("s", signal(json!({ "candidates": [candidate] }))).await, ["ok"]);
    terminate(&served.child);
    assert_eq!(bob.delivery().await[0]["candidates"], json!([candidate]));
    let status = timeout(Duration::from_secs(5), served.child.wait()).await.expect("it stops within 5 s").unwrap();
    assert_eq!(status.code(), Some(0));

    let log = reading.await.unwrap();
    assert!(
        log.lines().filter(|line| !line.is_empty()).all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{log}"
    );
    assert!(log.contains("Stopped") && log.contains("joined s"), "{log}");
    for secret in ["sekrit", "192.0.2.77", "candidate:", "m=application", &token, &ticket, SECRET] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    drop(served.gateway);
}
