//! The gateway's two configuration files say the same, and say what Starling needs.
//!
//! The tables below know every setting of both files, so nothing can be added to one of them alone. The sample of a
//! balancer is checked by the program that reads it.
//! That the settings do what they say is for the tests against a booted gateway: `checkconfig` accepts unknown keys.

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

const V5: &str = include_str!("../../centrifugo/v5.4.json");
const V6: &str = include_str!("../../centrifugo/v6.json");
const HAPROXY: &str = include_str!("../../centrifugo/haproxy.cfg");
const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Settings with equal values. One v5.4 setting can stand for several of v6, which repeats itself per proxy.
const SAME: &[(&str, &str)] = &[
    ("/port", "/http_server/port"),
    ("/internal_address", "/http_server/internal_address"),
    ("/internal_port", "/http_server/internal_port"),
    ("/prometheus", "/prometheus/enabled"),
    ("/health", "/health/enabled"),
    ("/usage_stats_disable", "/usage_stats/disabled"),
    ("/log_level", "/log/level"),
    ("/allowed_origins", "/client/allowed_origins"),
    ("/client_connection_limit", "/client/connection_limit"),
    ("/websocket_message_size_limit", "/websocket/message_size_limit"),
    ("/proxy_connect_endpoint", "/client/proxy/connect/endpoint"),
    ("/proxy_connect_timeout", "/client/proxy/connect/timeout"),
    ("/proxy_refresh_endpoint", "/client/proxy/refresh/endpoint"),
    ("/proxy_refresh_timeout", "/client/proxy/refresh/timeout"),
    ("/proxy_rpc_endpoint", "/rpc/proxy/endpoint"),
    ("/proxy_rpc_timeout", "/rpc/proxy/timeout"),
    ("/proxy_publish_endpoint", "/channel/proxy/publish/endpoint"),
    ("/proxy_publish_timeout", "/channel/proxy/publish/timeout"),
    ("/proxy_include_connection_meta", "/client/proxy/refresh/include_connection_meta"),
    ("/proxy_include_connection_meta", "/rpc/proxy/include_connection_meta"),
    ("/proxy_include_connection_meta", "/channel/proxy/publish/include_connection_meta"),
    ("/proxy_http_headers", "/client/proxy/connect/http_headers"),
    ("/proxy_http_headers", "/client/proxy/refresh/http_headers"),
    ("/proxy_http_headers", "/rpc/proxy/http_headers"),
    ("/proxy_http_headers", "/channel/proxy/publish/http_headers"),
    ("/proxy_grpc_credentials_key", "/client/proxy/connect/grpc/static_metadata/0/key"),
    ("/proxy_grpc_credentials_key", "/client/proxy/refresh/grpc/static_metadata/0/key"),
    ("/proxy_grpc_credentials_key", "/rpc/proxy/grpc/static_metadata/0/key"),
    ("/proxy_grpc_credentials_key", "/channel/proxy/publish/grpc/static_metadata/0/key"),
    ("/namespaces/0/name", "/channel/namespaces/0/name"),
    ("/namespaces/0/proxy_publish", "/channel/namespaces/0/publish_proxy_enabled"),
    ("/namespaces/0/history_size", "/channel/namespaces/0/history_size"),
    ("/namespaces/0/history_ttl", "/channel/namespaces/0/history_ttl"),
    ("/namespaces/0/history_meta_ttl", "/channel/namespaces/0/history_meta_ttl"),
    ("/namespaces/0/force_recovery", "/channel/namespaces/0/force_recovery"),
];

/// In v5.4 an endpoint enables its proxy; v6 has a switch beside it. (The publish proxy has its switch in the namespace, in
/// both.)
const SWITCHES: &[(&str, &str)] = &[
    ("/proxy_connect_endpoint", "/client/proxy/connect/enabled"),
    ("/proxy_refresh_endpoint", "/client/proxy/refresh/enabled"),
    ("/proxy_rpc_endpoint", "/rpc/without_namespace/proxy_enabled"),
];

/// The shared secret: v5.4 takes it from its variable without a word in the file, v6 names the variable.
const SECRETS: &[&str] = &[
    "/client/proxy/connect/grpc/static_metadata/0/value",
    "/client/proxy/refresh/grpc/static_metadata/0/value",
    "/rpc/proxy/grpc/static_metadata/0/value",
    "/channel/proxy/publish/grpc/static_metadata/0/value",
];

/// Parts of names that must not appear as a setting of either file, not even switched off: defaults are right.
const UNWANTED: &[&str] = &[
    // Clients receive, and ask us. Nothing else, also where a proxy of ours is switched off.
    "allow_",
    "subscribe",
    "sub_refresh",
    "stream",
    // Nobody reads them.
    "presence",
    "join_leave",
    // Raised, a client's calls overtake each other.
    "concurrency",
    // Closed by default.
    "insecure",
    "admin",
    "debug",
    "external",
    // Secrets come from the environment.
    "api_key",
    "http_api",
    "credentials_value",
    // Not so many a second, but a bucket refilled by one a second: see centrifugo/README.md.
    "rate_limit",
];

/// All that either file may say about clients that publish: whom to ask, and that inboxes ask. Never that they may.
const PUBLISHING: &[&str] = &[
    "/proxy_publish_endpoint",
    "/proxy_publish_timeout",
    "/namespaces/0/proxy_publish",
    "/channel/proxy/publish/endpoint",
    "/channel/proxy/publish/timeout",
    "/channel/proxy/publish/include_connection_meta",
    "/channel/proxy/publish/http_headers",
    "/channel/proxy/publish/grpc/static_metadata/0/key",
    "/channel/proxy/publish/grpc/static_metadata/0/value",
    "/channel/namespaces/0/publish_proxy_enabled",
];

fn parse(file: &str) -> Value {
    serde_json::from_str(file).expect("the gateway's configuration is JSON")
}

/// Pointers to every value that is not made of further settings. Empty objects and lists of plain values count as values.
fn settings(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, at: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, field) in fields {
                    walk(field, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
                }
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{at}/{index}"), found);
                }
            }
            _ => {
                found.insert(at.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

fn set_of<'a>(pointers: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    pointers.map(str::to_owned).collect()
}

#[test]
fn both_gateway_configurations_say_the_same() {
    let (v5, v6) = (parse(V5), parse(V6));
    for (old, new) in SAME {
        let value = v5.pointer(old).unwrap_or_else(|| panic!("v5.4.json does not set {old}"));
        assert_eq!(Some(value), v6.pointer(new), "v5.4.json {old} and v6.json {new}");
    }
    for (old, new) in SWITCHES {
        assert!(v5.pointer(old).is_some_and(Value::is_string), "v5.4.json does not set {old}");
        assert_eq!(v6.pointer(new), Some(&json!(true)), "v6.json {new}");
    }
}

#[test]
fn no_gateway_setting_stands_in_one_file_only() {
    let pairs = || SAME.iter().chain(SWITCHES);
    assert_eq!(settings(&parse(V5)), set_of(pairs().map(|(old, _)| *old)), "v5.4.json and the tables of this test");
    assert_eq!(
        settings(&parse(V6)),
        set_of(pairs().map(|(_, new)| *new).chain(SECRETS.iter().copied())),
        "v6.json and the tables of this test"
    );
}

#[test]
fn the_gateway_has_every_setting_that_starling_relies_on() {
    let v5 = parse(V5);
    for (setting, wanted) in [
        ("/proxy_connect_timeout", json!("2s")),
        ("/proxy_refresh_timeout", json!("2s")),
        ("/proxy_rpc_timeout", json!("2s")),
        ("/proxy_publish_timeout", json!("2s")),
        ("/proxy_include_connection_meta", json!(true)),
        ("/proxy_http_headers", json!(["X-Real-Ip"])),
        ("/proxy_grpc_credentials_key", json!("x-starling-secret")),
        ("/websocket_message_size_limit", json!(128 * 1024)),
        ("/internal_address", json!("127.0.0.1")),
        (
            "/namespaces",
            json!([{
                "name": "inbox",
                "proxy_publish": true,
                "history_size": 16,
                "history_ttl": "60s",
                "history_meta_ttl": "5m",
                "force_recovery": true,
            }]),
        ),
    ] {
        assert_eq!(v5.pointer(setting), Some(&wanted), "v5.4.json {setting}");
    }
    assert!(v5["client_connection_limit"].as_u64().is_some_and(|limit| limit > 0), "0 is no limit");
    assert_ne!(
        v5["port"].to_string(),
        v5["internal_port"].as_str().unwrap_or_default(),
        "the API has a port of its own"
    );
    assert_ne!(v5["allowed_origins"], json!(["*"]), "any page could connect");
}

#[test]
fn the_gateway_has_no_setting_that_would_open_it() {
    for (file, text) in [("v5.4.json", V5), ("v6.json", V6)] {
        for setting in settings(&parse(text)) {
            for unwanted in UNWANTED {
                assert!(!setting.to_lowercase().contains(unwanted), "{file} sets {setting}");
            }
            let publishing = setting.to_lowercase().contains("publish");
            assert!(!publishing || PUBLISHING.contains(&setting.as_str()), "{file} sets {setting}");
        }
    }
}

#[test]
fn the_shared_secret_comes_from_the_environment() {
    let v6 = parse(V6);
    for setting in SECRETS {
        assert_eq!(v6.pointer(setting), Some(&json!("${CENTRIFUGO_VAR_STARLING_SECRET}")), "v6.json {setting}");
    }
}

#[test]
fn haproxy_takes_the_sample_without_a_warning() {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin";
    let check = Command::new("haproxy").args(["-c", "-f", "centrifugo/haproxy.cfg"]).env("PATH", path).output();
    let check = check.expect("haproxy is here: `scripts/need haproxy`");
    let said = String::from_utf8_lossy(&check.stderr) + String::from_utf8_lossy(&check.stdout);
    assert!(check.status.success(), "{said}");
    assert!(!said.contains("WARNING") && !said.contains("NOTICE"), "{said}");
}

#[test]
fn the_balancer_looks_for_the_first_backend_where_backends_are_by_default() {
    let address = |name: &str| {
        let line = HAPROXY.lines().find_map(|line| line.trim().strip_prefix(&format!("presetenv {name} ")));
        line.unwrap_or_else(|| panic!("haproxy.cfg does not preset {name}"))
    };
    let defaults: toml::Table = toml::from_str(DEFAULTS).unwrap();
    assert_eq!(Some(address("STARLING_1")), defaults["proxy"]["listen"].as_str());
    assert_eq!(Some(address("STARLING_1_HEALTH")), defaults["admin"]["listen"].as_str());
    let names =
        ["STARLING_1", "STARLING_1_HEALTH", "STARLING_2", "STARLING_2_HEALTH", "STARLING_LISTEN", "STARLING_OPERATORS"];
    let addresses: BTreeSet<&str> = names.into_iter().map(address).collect();
    assert_eq!(addresses.len(), names.len(), "each has an address of its own");
}

#[test]
fn the_balancer_logs_no_call() {
    for logs in ["httplog", "log-format", "capture", "tcplog"] {
        assert!(!HAPROXY.contains(logs), "haproxy.cfg says {logs}, and the shared secret is a header");
    }
    assert!(HAPROXY.contains("local0 notice"), "calls are logged as info");
}
