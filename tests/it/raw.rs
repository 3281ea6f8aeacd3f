//! Proxy calls as somebody else than Centrifugo might make them.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use starling::{app::App, clock::Clock, proxy::pb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::world::{configuration, loopback};

const SECRET: &str = "the secret of the raw tests";

/// A backend without a gateway.
async fn backend() -> App {
    App::start(&configuration(loopback(0), 9, "a key that opens nothing", SECRET), Clock::System).await.unwrap()
}

async fn post(proxy: SocketAddr, path: &str, secret: Option<&str>, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let mut request = reqwest::Client::new().post(format!("http://{proxy}{path}")).body(body);
    if let Some(secret) = secret {
        request = request.header("X-Starling-Secret", secret);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn grpc<Q, A>(app: &App, method: &str, secret: Option<&str>, message: Q) -> Result<A, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let endpoint = Endpoint::from_shared(format!("http://{}", app.proxy_address())).unwrap();
    let channel: Channel = endpoint.timeout(Duration::from_secs(5)).connect().await.unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = Request::new(message);
    if let Some(secret) = secret {
        request.metadata_mut().insert("x-starling-secret", secret.parse().unwrap());
    }
    let path: PathAndQuery = format!("/centrifugal.centrifugo.proxy.CentrifugoProxy/{method}").parse().unwrap();
    grpc.unary(request, path, ProstCodec::<Q, A>::default()).await.map(tonic::Response::into_inner)
}

fn session() -> String {
    let exp = Clock::System.now().seconds() + 60;
    json!({ "swarms": ["s"], "exp": exp, "upload": true }).to_string()
}

fn rpc(method: &str, data: &[u8]) -> pb::RpcRequest {
    pb::RpcRequest {
        client: "c".into(),
        user: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        method: method.into(),
        data: data.to_vec().into(),
        meta: session().into(),
    }
}

#[tokio::test]
async fn without_the_secret_nothing_is_answered_over_http() {
    let app = backend().await;
    for secret in [None, Some(""), Some("the secret of the raw test"), Some("the secret of the raw testS")] {
        for path in ["/connect", "/refresh", "/rpc", "/publish", "/"] {
            assert_eq!(post(app.proxy_address(), path, secret, "{}").await.0, 401, "{path} {secret:?}");
        }
    }
}

#[tokio::test]
async fn without_the_secret_nothing_is_answered_over_grpc() {
    let app = backend().await;
    for secret in [None, Some(""), Some("the secret of the raw test"), Some("the secret of the raw testS")] {
        let refused = |result: Result<(), Status>| result.unwrap_err().code() == Code::Unauthenticated;
        let connect = pb::ConnectRequest { client: "c".into(), data: "{}".into() };
        assert!(refused(grpc::<_, pb::ConnectResponse>(&app, "Connect", secret, connect).await.map(|_| ())));
        let refresh = pb::RefreshRequest::default();
        assert!(refused(grpc::<_, pb::RefreshResponse>(&app, "Refresh", secret, refresh).await.map(|_| ())));
        let call = rpc("peers", br#"{"swarm":"s"}"#);
        assert!(refused(grpc::<_, pb::RpcResponse>(&app, "RPC", secret, call).await.map(|_| ())));
    }
    let call = rpc("peers", br#"{"swarm":"s"}"#);
    let answer: pb::RpcResponse = grpc(&app, "RPC", Some(SECRET), call).await.unwrap();
    assert!(answer.error.is_none());
}

#[tokio::test]
async fn garbage_is_an_error_and_not_an_end() {
    let app = backend().await;
    for garbage in [&b""[..], b"null", b"{", b"\xff\xfe", b"[[[[[[", br#"{"swarm":"s""#, &[b'['; 10_000]] {
        let answer: pb::RpcResponse = grpc(&app, "RPC", Some(SECRET), rpc("join", garbage)).await.unwrap();
        assert_eq!(answer.error.unwrap().code, 400, "{garbage:?}");
        let connect = pb::ConnectRequest { client: "c".into(), data: garbage.to_vec().into() };
        let answer: pb::ConnectResponse = grpc(&app, "Connect", Some(SECRET), connect).await.unwrap();
        assert_eq!(answer.disconnect.unwrap().code, 4500, "{garbage:?}");
        for path in ["/rpc", "/connect"] {
            assert_eq!(
                post(app.proxy_address(), path, Some(SECRET), garbage.to_vec()).await.0,
                400,
                "{path} {garbage:?}"
            );
        }
    }
    let too_large = vec![b' '; 257 * 1024];
    assert_eq!(post(app.proxy_address(), "/rpc", Some(SECRET), too_large.clone()).await.0, 413);
    let refused: Result<pb::RpcResponse, _> = grpc(&app, "RPC", Some(SECRET), rpc("join", &too_large)).await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    let call = rpc("join", br#"{"swarm":"s"}"#);
    let answer: pb::RpcResponse = grpc(&app, "RPC", Some(SECRET), call).await.unwrap();
    assert!(answer.error.is_none(), "alive");
}

#[tokio::test]
async fn a_call_without_a_session_says_what_is_not_configured() {
    let app = backend().await;
    let call = pb::RpcRequest { meta: "".into(), ..rpc("join", br#"{"swarm":"s"}"#) };
    let refused: Result<pb::RpcResponse, _> = grpc(&app, "RPC", Some(SECRET), call).await;
    assert!(refused.unwrap_err().message().contains("meta"));
    let call = pb::RpcRequest { user: "42".into(), ..rpc("join", br#"{"swarm":"s"}"#) };
    let refused: Result<pb::RpcResponse, _> = grpc(&app, "RPC", Some(SECRET), call).await;
    assert!(refused.unwrap_err().message().contains("peer id"));
    let call = json!({ "client": "c", "user": "AAAAAAAAAAAAAAAAAAAAAA", "method": "join", "data": { "swarm": "s" } });
    let (status, words) = post(app.proxy_address(), "/rpc", Some(SECRET), call.to_string()).await;
    assert!(status == 400 && words.as_str().unwrap().contains("meta"));
}

#[tokio::test]
async fn refresh_is_answered_with_expired_or_a_future_end_and_nothing_else() {
    let app = backend().await;
    let future = Clock::System.now().seconds() + 60;
    let session = |exp: u64| json!({ "swarms": ["s"], "exp": exp, "upload": true });
    for (meta, expected) in [
        (session(future), json!({ "result": { "expire_at": future } })),
        (session(future - 61), json!({ "result": { "expired": true } })),
        (json!(null), json!({ "result": { "expired": true } })),
        (json!({ "exp": "soon" }), json!({ "result": { "expired": true } })),
    ] {
        let answer = post(
            app.proxy_address(),
            "/refresh",
            Some(SECRET),
            json!({ "client": "c", "user": "u", "meta": meta }).to_string(),
        )
        .await;
        assert_eq!(answer, (200, expected.clone()), "{meta}");
        let request = pb::RefreshRequest { meta: meta.to_string().into(), ..Default::default() };
        let answer: pb::RefreshResponse = grpc(&app, "Refresh", Some(SECRET), request).await.unwrap();
        let result = answer.result.unwrap();
        let over_http = &expected["result"];
        assert_eq!(
            (result.expired, result.expire_at),
            (over_http["expired"] == true, over_http["expire_at"].as_i64().unwrap_or(0))
        );
    }
    assert_eq!(
        post(app.proxy_address(), "/refresh", Some(SECRET), "garbage").await,
        (200, json!({ "result": { "expired": true } }))
    );
}

#[tokio::test]
async fn events_that_we_do_not_handle_get_a_clean_error() {
    let app = backend().await;
    for path in ["/subscribe", "/sub_refresh", "/"] {
        let (status, answer) = post(app.proxy_address(), path, Some(SECRET), "{}").await;
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(404)), "{path}");
    }
    for method in ["Subscribe", "SubRefresh"] {
        let answer: pb::OtherResponse = grpc(&app, method, Some(SECRET), pb::OtherRequest::default()).await.unwrap();
        assert_eq!(answer.error.unwrap().code, 404, "{method}");
    }
    let refused: Result<pb::OtherResponse, _> =
        grpc(&app, "NotifyCacheEmpty", Some(SECRET), pb::OtherRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

/// An RPC over HTTP, as Centrifugo makes it.
async fn call(proxy: SocketAddr, user: &str, method: &str, data: Value) -> Value {
    let session: Value = serde_json::from_str(&session()).unwrap();
    let body = json!({ "client": "c", "user": user, "method": method, "data": data, "meta": session });
    post(proxy, "/rpc", Some(SECRET), body.to_string()).await.1
}

/// Waits until readiness says that the backend is stopping.
async fn stopping(admin: SocketAddr) {
    while reqwest::get(format!("http://{admin}/health/ready")).await.unwrap().status().as_u16() != 503 {}
}

#[tokio::test]
async fn a_call_in_hand_is_answered_before_the_backend_stops() {
    // An API that takes calls and never answers.
    let api = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let config = configuration(loopback(0), api.local_addr().unwrap().port(), "a key that opens nothing", SECRET);
    let app = App::start(&config, Clock::System).await.unwrap();
    let (proxy, admin) = (app.proxy_address(), app.admin_address());
    let (ann, bob) = ("AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA");
    call(proxy, bob, "join", json!({ "swarm": "s" })).await;
    let list = call(proxy, ann, "join", json!({ "swarm": "s" })).await;
    let ticket = &list["result"]["data"]["peers"][0]["ticket"];
    let bye = json!({ "to": bob, "ticket": ticket, "session": "one", "seq": 0, "bye": { "reason": "x" } });
    let in_hand = call(proxy, ann, "signal", json!({ "swarm": "s", "signals": [bye] }));
    let stop = async {
        // The gateway has the call, so the backend has it too.
        let mut held = Vec::new();
        loop {
            let (mut connection, _) = api.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = connection.read(&mut request).await.unwrap();
            held.push(connection);
            if String::from_utf8_lossy(&request[..read]).contains(bob) {
                break;
            }
        }
        let stopped = tokio::spawn(app.stop());
        stopping(admin).await;
        stopped.await.unwrap()
    };
    let (answer, stopped) = tokio::join!(in_hand, stop);
    assert_eq!(answer["result"]["data"]["results"][0]["error"]["code"], 503, "{answer}");
    stopped.unwrap();
}

#[tokio::test]
async fn a_call_that_is_still_coming_in_when_the_backend_stops_is_published() {
    // An API that takes everything.
    let api = tokio::net::TcpListener::bind(loopback(0)).await.unwrap();
    let config = configuration(loopback(0), api.local_addr().unwrap().port(), "a key that opens nothing", SECRET);
    let router = axum::Router::new().fallback(async || r#"{"replies":[{}]}"#);
    tokio::spawn(starling::listener::serve(api, router, tokio_util::sync::CancellationToken::new()));
    let app = App::start(&config, Clock::System).await.unwrap();
    let proxy = app.proxy_address();
    let (ann, bob) = ("AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA");
    call(proxy, bob, "join", json!({ "swarm": "s" })).await;
    let list = call(proxy, ann, "join", json!({ "swarm": "s" })).await;
    let ticket = &list["result"]["data"]["peers"][0]["ticket"];
    let bye = json!({ "to": bob, "ticket": ticket, "session": "one", "seq": 0, "bye": { "reason": "x" } });
    let session: Value = serde_json::from_str(&session()).unwrap();
    let data = json!({ "swarm": "s", "signals": [bye] });
    let body = json!({ "client": "c", "user": ann, "method": "signal", "data": data, "meta": session }).to_string();

    let mut connection = tokio::net::TcpStream::connect(proxy).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST /rpc HTTP/1.1\r\nx-starling-secret: {SECRET}\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\
         connection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    connection.read_exact(&mut go_on).await.unwrap();
    let stopped = tokio::spawn(app.stop());
    while tokio::net::TcpStream::connect(proxy).await.is_ok() {}
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(r#"{"ok":true}"#), "{answer}");
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopping_backend_takes_calls_until_balancers_know() {
    let mut config = configuration(loopback(0), 9, "a key that opens nothing", SECRET);
    config.proxy.drain = Duration::from_secs(2);
    let app = App::start(&config, Clock::System).await.unwrap();
    let (proxy, admin) = (app.proxy_address(), app.admin_address());
    let stopped = tokio::spawn(app.stop());
    stopping(admin).await;
    let list = call(proxy, "AAAAAAAAAAAAAAAAAAAAAA", "join", json!({ "swarm": "s" })).await;
    assert_eq!(list["result"]["data"]["swarm_size"], 1, "{list}");
    stopped.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(proxy).await.is_err(), "nobody listens any more");
}
