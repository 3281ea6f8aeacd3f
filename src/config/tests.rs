//! The samples are whole configurations, and what is wrong is named.

use super::*;

const SAMPLE: &str = include_str!("../../config/sample.toml");
const REDIS: &str = include_str!("../../config/redis.toml");

fn parse(file: &str, environment: &[(&str, &str)]) -> anyhow::Result<Config> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::parse(file, environment)?;
    config.validate()?;
    Ok(config)
}

fn complaint(file: &str, environment: &[(&str, &str)]) -> String {
    format!("{:#}", parse(file, environment).expect_err("this configuration is wrong"))
}

#[test]
fn the_sample_is_a_whole_configuration() {
    let config = parse(SAMPLE, &[]).unwrap();
    assert_eq!(config.batch.window, Duration::from_millis(100));
    assert_eq!(config.ice.servers[0].urls, ["stun:stun.example.com:3478"]);
}

#[test]
fn so_is_the_one_with_redis() {
    let config = parse(REDIS, &[("STARLING_STORE__REDIS_NODES", "one:7101, two:7101")]).unwrap();
    assert_eq!(config.store.kind, StoreKind::Redis);
    assert_eq!(config.store.redis_nodes, ["one:7101", "two:7101"]);
    let shown = format!("{config:?}") + &toml::to_string(&config).unwrap();
    assert!(!shown.contains("replace-me"), "{shown}");
}

#[test]
fn the_defaults_say_what_is_missing() {
    let complaint = complaint("", &[]);
    for field in ["proxy.secret", "STARLING_PROXY__SECRET", "gateway.api_key", "token.keys", "ticket.keys"] {
        assert!(complaint.contains(field), "{field} not in: {complaint}");
    }
}

#[test]
fn the_environment_wins() {
    let config = parse(
        SAMPLE,
        &[
            ("STARLING_PROXY__LISTEN", "127.0.0.1:1"),
            ("STARLING_BATCH__LANES", "7"),
            ("STARLING_BATCH__WINDOW", "50ms"),
            ("STARLING_PROXY__SECRET", "1234567890123456"),
            ("STARLING_TICKET__KEYS", r#"[{"id": 9, "secret": "replace-me-replace-me-replace-me"}]"#),
            ("STARLING_ICE__SERVERS", ""),
            ("STARLING_SERVICE_HOST", "of an orchestrator"),
        ],
    )
    .unwrap();
    assert_eq!((config.proxy.listen.port(), config.batch.lanes, config.ticket.keys[0].id), (1, 7, 9));
    assert_eq!((config.batch.window, config.ice.servers.len()), (Duration::from_millis(50), 0));
    assert_eq!(config.proxy.secret.0, "1234567890123456");
}

#[test]
fn what_is_wrong_is_named() {
    for (file, environment, expected) in [
        ("[proxy]\nlisten = 5", &[][..], "proxy.listen"),
        ("[proxy]\nlistne = 5", &[], "listne"),
        ("[batch]\nwindow = \"soon\"", &[], "batch.window"),
        ("[batch]\nlanes = 0", &[], "batch.lanes"),
        ("[batch]\nwindow = \"2s\"", &[], "batch.window"),
        ("[ticket]\nttl = \"1s\"", &[], "ticket.ttl"),
        ("[gateway]\napi_url = \"centrifugo\"", &[], "gateway.api_url"),
        ("[gateway]\napi_url = \"http://a/api,\"", &[], "gateway.api_url"),
        ("[proxy]\ndrain = \"2s\"", &[], "proxy.drain"),
        ("[gateway]\napi_url = \"http://me:sekrit@a/api\"", &[], "gateway.api_url"),
        ("[store]\nkind = \"postgres\"", &[], "store.kind"),
        ("[store]\nkey_prefix = \"a*\"", &[], "store.key_prefix"),
        ("[store]\nkey_prefix = \"a b\"", &[], "store.key_prefix"),
        ("[store]\nkey_prefix = \"\"", &[], "store.key_prefix"),
        ("[store]\nkind = \"redis\"\nredis_nodes = \"\"", &[], "store.redis_nodes"),
        ("[store]\nkind = \"redis\"\nredis_nodes = \"a:1,b\"", &[], "store.redis_nodes"),
        ("[store]\nkind = \"redis\"\nredis_nodes = \"me:sekrit@a:1\"", &[], "store.redis_nodes"),
        ("[store]\nkind = \"redis\"\nredis_user = \"me\"", &[], "store.redis_password"),
        ("[store]\nkind = \"redis\"\nredis_ca_file = \"ca.crt\"", &[], "store.redis_ca_file"),
        ("[ice]\nservers = [{ urls = [\"http://x\"] }]", &[], "ice.servers"),
        ("[token]\nkeys = [{ id = \"1\", alg = \"HS256\", secret = \"short\" }]", &[], "token.keys (1)"),
        ("", &[("STARLING_PROXY__LISTNE", "x")], "STARLING_PROXY__LISTNE"),
        ("", &[("STARLING_TOKEN__KEYS", "[{]")], "STARLING_TOKEN__KEYS"),
        ("", &[("STARLING_TOKEN__KEYS", "sekrit")], "STARLING_TOKEN__KEYS"),
        ("", &[("STARLING_TOKEN__KEYS", "[\"sekrit\"]")], "STARLING_TOKEN__KEYS"),
        ("[proxy]\nsecret = \"sekrit", &[], "line 2"),
        ("[gateway]\napi_key = \"sekrit sekrit sekrit\\n\"", &[], "gateway.api_key"),
        (
            "[token]\nkeys = [{ id = \"1\", alg = \"HS256\", secret = \"\" }]",
            &[],
            "token.keys (1): the secret is missing",
        ),
    ] {
        let complaint = complaint(file, environment);
        assert!(complaint.contains(expected), "{expected} not in: {complaint}");
        assert!(!complaint.contains("sekrit"), "{complaint}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = parse(SAMPLE, &[]).unwrap();
    for shown in [toml::to_string(&config).unwrap(), format!("{config:?}")] {
        assert!(shown.contains("***") && !shown.contains("replace-me"), "{shown}");
    }
}
