//! What serde cannot know of a configuration.

use std::time::Duration;

use anyhow::bail;
use axum::http::{HeaderName, HeaderValue, Uri};

use super::{Config, Store, StoreKind};

impl Config {
    /// Everything that serde cannot know. Each line names the field and the fix.
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        let make = "what `openssl rand -hex 32` prints";
        for (field, variable, secret) in [
            ("proxy.secret", "STARLING_PROXY__SECRET", &self.proxy.secret),
            ("gateway.api_key", "STARLING_GATEWAY__API_KEY", &self.gateway.api_key),
        ] {
            if secret.0.is_empty() {
                wrong.push(format!("{field} is missing: set it, or {variable}, to {make}"));
            } else if secret.0.len() < 16 || HeaderValue::from_str(&secret.0).is_err() {
                wrong.push(format!("{field} is not 16 characters or more that a header can hold: take {make}"));
            }
        }
        let token_keys = self.token.keys.iter().map(|key| (format!("token.keys ({})", key.id), &key.secret));
        let ticket_keys = self.ticket.keys.iter().map(|key| (format!("ticket.keys ({})", key.id), &key.secret));
        for (field, secret) in token_keys.chain(ticket_keys) {
            if secret.0.len() < 32 {
                let what = if secret.0.is_empty() { "missing" } else { "shorter than 32 characters" };
                wrong.push(format!("{field}: the secret is {what}, take {make}"));
            }
        }
        let mut demand = |good: bool, problem: &str| {
            if !good {
                wrong.push(problem.to_owned());
            }
        };
        let distinct = |ids: Vec<String>| ids.iter().collect::<std::collections::HashSet<_>>().len() == ids.len();
        let is_http = |url: &String| {
            url.parse::<Uri>().is_ok_and(|url| url.scheme_str() == Some("http") && url.host().is_some())
                && !url.contains('@')
        };
        demand(
            self.gateway.api_url.len() <= 64 && self.gateway.api_url.iter().all(is_http),
            "gateway.api_url is not an http:// URL without a password, such as http://127.0.0.1:8001/api, or up to 64 of \
             them with commas between",
        );
        demand(
            self.proxy.client_ip_header.parse::<HeaderName>().is_ok(),
            "proxy.client_ip_header is not the name of a header, such as X-Real-Ip",
        );
        demand(
            !self.token.keys.is_empty(),
            "token.keys is empty: no client could connect. Add { id = \"1\", alg = \"HS256\", secret = \"...\" }",
        );
        demand(
            distinct(self.token.keys.iter().map(|key| key.id.clone()).collect()),
            "token.keys: two have the same id",
        );
        demand(!self.token.audience.is_empty(), "token.audience is empty: tokens for any service would do");
        demand(!self.ticket.keys.is_empty(), "ticket.keys is empty: add { id = 1, secret = \"...\" }");
        demand(
            distinct(self.ticket.keys.iter().map(|key| key.id.to_string()).collect()),
            "ticket.keys: two have the same id",
        );
        demand(
            (Duration::from_secs(10)..=Duration::from_hours(6)).contains(&self.ticket.ttl),
            "ticket.ttl is not from 10s to 6h",
        );
        demand(
            (Duration::from_secs(1)..=Duration::from_secs(10)).contains(&self.ranking.interval),
            "ranking.interval is not from 1s to 10s",
        );
        demand(self.proxy.drain <= Duration::from_secs(1), "proxy.drain is longer than 1s");
        demand(self.batch.window <= Duration::from_secs(1), "batch.window is longer than 1s");
        demand((1..=64).contains(&self.batch.lanes), "batch.lanes is not from 1 to 64");
        demand((16..=1_000_000).contains(&self.batch.capacity), "batch.capacity is not from 16 to 1000000");
        demand(
            self.ice.servers.iter().all(|server| {
                let schemes = ["stun:", "stuns:", "turn:", "turns:"];
                !server.urls.is_empty()
                    && server.urls.iter().all(|url| schemes.iter().any(|scheme| url.starts_with(scheme)))
            }),
            "ice.servers: every server needs urls that begin with stun:, stuns:, turn: or turns:",
        );
        self.store.validate(&mut wrong);
        self.offload.validate(&mut wrong);
        if !wrong.is_empty() {
            bail!("the configuration is not complete or not right:\n  {}", wrong.join("\n  "));
        }
        Ok(())
    }
}

impl Store {
    fn validate(&self, wrong: &mut Vec<String>) {
        let mut demand = |good: bool, problem: &str| {
            if !good {
                wrong.push(problem.to_owned());
            }
        };
        demand(
            (Duration::from_mins(1)..=Duration::from_hours(1)).contains(&self.remember),
            "store.remember is not from 1min to 1h",
        );
        let is_prefix = |prefix: &str| {
            let is_free = |character: char| !"{}*".contains(character) && !character.is_whitespace();
            (1..=64).contains(&prefix.len()) && prefix.chars().all(is_free)
        };
        demand(
            is_prefix(&self.key_prefix),
            "store.key_prefix is not 1 to 64 characters without {, }, * or white space, such as starling",
        );
        if self.kind == StoreKind::Redis {
            demand(
                self.redis_nodes.iter().all(|node| is_node(node)),
                "store.redis_nodes is not host:port, such as 127.0.0.1:7101, or several of them with commas between",
            );
            demand(
                self.redis_user.is_empty() || !self.redis_password.0.is_empty(),
                "store.redis_user has no store.redis_password: set it, or STARLING_STORE__REDIS_PASSWORD",
            );
            demand(
                self.redis_ca_file.is_empty() || self.redis_tls,
                "store.redis_ca_file is of no use without store.redis_tls = true",
            );
        }
    }
}

/// `host:port`, and no more.
fn is_node(node: &str) -> bool {
    let is_host =
        |host: &str| !host.is_empty() && !host.contains(['@', '/', '?', '#']) && !host.contains(char::is_whitespace);
    node.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}
