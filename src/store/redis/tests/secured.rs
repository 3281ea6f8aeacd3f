//! A cluster that asks for a password and speaks TLS only, with the user of `config/redis.acl`.

use std::{path::Path, process::Command as Process};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// Six nodes with certificates and users; ends with the test.
struct Secured {
    folder: tempfile::TempDir,
    nodes: Vec<String>,
}

const ACL: &str = include_str!("../../../../config/redis.acl");
const PASSWORD: &str = "replace-me-replace-me-replace-me";

/// Writes a CA, and a node's certificate that it signed.
fn certificates(folder: &Path) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "somebody who signs");
    let ca_key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("ca.crt"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let node = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let node = node.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(folder.join("node.crt"), node.pem()).unwrap();
    std::fs::write(folder.join("node.key"), key.serialize_pem()).unwrap();
}

fn script(folder: &Path, arguments: &[&str]) -> String {
    let mut script = Process::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/redis-cluster"));
    script.arg(arguments[0]).arg("--dir").arg(folder.join("cluster")).args(&arguments[1..]);
    let said = script.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

impl Secured {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let acl = folder.path().join("users.acl");
        // Redis knows no comments.
        let users: Vec<_> = ACL.lines().filter(|line| line.starts_with("user ")).collect();
        assert_eq!(users.len(), 1);
        std::fs::write(&acl, users[0].to_owned() + "\n").unwrap();
        let (tls, acl) = (folder.path().to_str().unwrap(), acl.to_str().unwrap());
        let me = std::process::id().to_string();
        let said =
            script(folder.path(), &["start", "--port", "0", "--tls", tls, "--while", &me, "--", "--aclfile", acl]);
        let nodes = said.trim().split(',').map(str::to_owned).collect();
        Self { folder, nodes }
    }

    fn settings(&self) -> Settings {
        Settings {
            user: "starling".to_owned(),
            password: PASSWORD.to_owned(),
            tls: true,
            ca: Some(std::fs::read(self.folder.path().join("ca.crt")).unwrap()),
            key_prefix: format!("starling:{}", prefix()),
            ..settings_of(self.nodes.clone())
        }
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        script(self.folder.path(), &["stop"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_of_the_sample_may_do_what_we_do_and_no_more() {
    let cluster = Secured::start();
    let nodes = parking_lot::Mutex::new(Vec::new());
    let new = async || {
        let settings = cluster.settings();
        let (one, other) = (Node::new(&settings).await, Node::new(&settings).await);
        let stores = (one.store.clone(), other.store.clone());
        nodes.lock().extend([one, other]);
        stores
    };
    conformance::all(&new).await;
    // What the suite does not come to: hints, and shards that are read in pages, grow and are moved.
    let settings = cluster.settings();
    let (one, other) = (Node::new(&settings).await, Node::new(&settings).await);
    hears(&one, &other).await;
    conformance::hints((one.store.clone(), other.store.clone())).await;
    let small = Node::of(RedisStore { full: 1, ..RedisStore::new(&settings).unwrap() });
    small.eventually("connected", async || small.store.missing().is_none()).await;
    let s = SwarmId::parse("s").unwrap();
    for n in 0..20 {
        one.store.join(&s, conformance::member(n), 0, conformance::START).await.unwrap();
    }
    for _ in 0..8 {
        small.store.pull(&s, &[], conformance::START).await.unwrap();
    }
    assert!(small.store.counts.of(&s) >= 8);

    // A key and a channel of somebody else, and a command that we have no use for.
    for (name, key) in [("GET", "other:key"), ("PUBLISH", "other:gone"), ("DEL", "starling:{x}:key"), ("FLUSHALL", "")]
    {
        let arguments: &[&[u8]] = if name == "PUBLISH" { &[b"x"] } else { &[] };
        let request = Request::to(0).command(name, key, arguments);
        let refused = one.store.connection.send(Command::Find, &request, BEHIND).await.unwrap_err();
        assert!(refused.to_string().contains("NoPerm"), "{name}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_or_a_foreign_certificate_is_no_connection_and_no_secret_is_shown() {
    let cluster = Secured::start();
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let (right, s) = (cluster.settings(), SwarmId::parse("s").unwrap());
    let foreign = std::fs::read(other.path().join("ca.crt")).unwrap();
    for (settings, why) in [
        (Settings { password: "sekrit".to_owned(), ..right.clone() }, "WRONGPASS"),
        (Settings { ca: Some(foreign), ..right.clone() }, "ertificate"),
        (Settings { tls: false, ca: None, ..right.clone() }, "connection"),
    ] {
        let node = Node::unconnected(&settings);
        let said = async || node.store.missing().is_some_and(|what| what.contains(why));
        node.eventually(why, said).await;
        assert!(!node.store.missing().unwrap().contains("sekrit"));
        let found = node.store.find(&s, conformance::member(1).peer, 8, conformance::START).await;
        assert!(matches!(found, Err(StoreError::Away(_))));
    }
    assert!(Node::new(&right).await.store.missing().is_none());
}
