//! Proxy calls over HTTP/JSON. The status is 200 whatever the client is told: anything else says that we are broken.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{MAX_CALL, Proxy, ProxyError, caller};
use crate::signaling::{Caller, Publication, Refreshed};

/// The events, each at the path that its name says.
pub fn routes(proxy: Arc<Proxy>) -> Router {
    Router::new()
        .route("/connect", post(connect))
        .route("/refresh", post(refresh))
        .route("/rpc", post(rpc))
        .route("/publish", post(publish))
        .fallback(unknown_event)
        .layer(DefaultBodyLimit::max(MAX_CALL))
        .with_state(proxy)
}

#[derive(Deserialize)]
struct ConnectCall<'a> {
    client: &'a str,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RefreshCall<'a> {
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

/// What a client that is connected wants: `method` of an RPC, `channel` of a publish.
#[derive(Deserialize)]
struct ClientCall<'a> {
    client: String,
    user: &'a str,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

/// The JSON text of a part that may be absent.
fn bytes(part: Option<&RawValue>) -> &[u8] {
    part.map_or("", RawValue::get).as_bytes()
}

async fn connect(State(proxy): State<Arc<Proxy>>, headers: HeaderMap, body: Bytes) -> Response {
    let call: ConnectCall = match serde_json::from_slice(&body) {
        Ok(call) => call,
        Err(error) => return bad_envelope(&proxy, &error),
    };
    match proxy.connect(call.client, proxy.client_address(&headers), bytes(call.data)).await {
        Ok(connected) => json(format!(
            r#"{{"result":{{"user":"{}","expire_at":{},"data":{},"channels":["{}"],"meta":{}}}}}"#,
            connected.user, connected.expire_at, connected.data, connected.channel, connected.meta
        )),
        Err(refused) => json(json!({ "disconnect": { "code": refused.code, "reason": refused.reason } }).to_string()),
    }
}

async fn refresh(State(proxy): State<Arc<Proxy>>, body: Bytes) -> Response {
    let meta = serde_json::from_slice::<RefreshCall>(&body).ok().and_then(|call| call.meta);
    json(match proxy.refresh(bytes(meta)) {
        Refreshed::Expired => r#"{"result":{"expired":true}}"#.to_owned(),
        Refreshed::Until(second) => {
            format!(r#"{{"result":{{"expire_at":{}}}}}"#, i64::try_from(second).unwrap_or(i64::MAX))
        }
    })
}

async fn rpc(State(proxy): State<Arc<Proxy>>, body: Bytes) -> Response {
    let (caller, call) = match client_call(&proxy, &body) {
        Ok(call) => call,
        Err(answer) => return answer,
    };
    match proxy.rpc(&caller, &call.method, bytes(call.data)).await {
        Ok(data) => json(format!(r#"{{"result":{{"data":{data}}}}}"#)),
        Err(error) => json(in_words(&error)),
    }
}

async fn publish(State(proxy): State<Arc<Proxy>>, body: Bytes) -> Response {
    let (caller, call) = match client_call(&proxy, &body) {
        Ok(call) => call,
        Err(answer) => return answer,
    };
    match proxy.publish(&caller, &call.channel, bytes(call.data)) {
        Ok(Publication { data, history }) => {
            json(format!(r#"{{"result":{{"data":{data},"skip_history":{}}}}}"#, !history))
        }
        Err(error) => json(in_words(&error)),
    }
}

fn client_call<'a>(proxy: &Proxy, body: &'a [u8]) -> Result<(Caller, ClientCall<'a>), Response> {
    let mut call: ClientCall = serde_json::from_slice(body).map_err(|error| bad_envelope(proxy, &error))?;
    let client = std::mem::take(&mut call.client);
    let caller = caller(call.user, client, bytes(call.meta)).map_err(|error| bad_envelope(proxy, &error))?;
    Ok((caller, call))
}

async fn unknown_event() -> Response {
    json(in_words(&ProxyError::UnknownEvent))
}

fn in_words(error: &ProxyError) -> String {
    let code = error.code();
    json!({ "error": { "code": code.number(), "message": error.message(), "temporary": code.temporary() } }).to_string()
}

fn json(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn bad_envelope(proxy: &Proxy, error: &impl std::fmt::Display) -> Response {
    proxy.bad_envelope(error);
    (StatusCode::BAD_REQUEST, error.to_string()).into_response()
}
