//! The balancer in front of several backends, as `centrifugo/haproxy.cfg` has it.

use std::{net::SocketAddr, process::Stdio};

use anyhow::Context;
use tokio::process::{Child, Command};

use super::Backend;
use crate::ports::loopback;

/// How calls are spread, and what happens to those whose backend is gone.
const BALANCER: &str = include_str!("../../../centrifugo/haproxy.cfg");

/// Starts it. Dropped, it is killed.
pub(super) fn start(
    listen: SocketAddr,
    operators: SocketAddr,
    backends: &[Backend],
) -> anyhow::Result<(Child, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, BALANCER)?;
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(&file).arg("-db").env("STARLING_LISTEN", listen.to_string());
    command.env("STARLING_OPERATORS", operators.to_string());
    for (n, backend) in backends.iter().enumerate() {
        command.env(format!("STARLING_{}", n + 1), loopback(backend.proxy).to_string());
        command.env(format!("STARLING_{}_HEALTH", n + 1), loopback(backend.admin).to_string());
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("haproxy cannot be run: install it (2.6 or later)")?;
    Ok((child, folder))
}

/// How many servers are up on the balancer's page: their last check succeeded, and none before it failed just now.
pub(super) fn servers_up(page: &str) -> usize {
    let mut lines = page.lines().map(|line| line.trim_start_matches("# ").split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap_or_default();
    let column = |name: &str| names.iter().position(|other| *other == name);
    let (Some(server), Some(status), Some(check)) = (column("svname"), column("status"), column("check_status")) else {
        return 0;
    };
    let is_up = |line: &Vec<&str>| {
        let field = |at: usize| line.get(at).copied().unwrap_or_default();
        // "* L7OK" while the next check is under way.
        field(server).starts_with("starling_") && field(status) == "UP" && field(check).ends_with("L7OK")
    };
    lines.filter(is_up).count()
}
