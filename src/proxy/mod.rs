//! How clients reach us: Centrifugo's proxy calls, over gRPC and HTTP/JSON on one listener. Handlers translate, nothing
//! more.

mod connect;
mod error;
mod grpc;
mod http;
mod metrics;
mod publish;
mod refresh;
mod rpc;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;
use tower_http::validate_request::ValidateRequestHeaderLayer;
use tower_layer::Layer;
use tracing::warn;

use crate::{
    domain::PeerId,
    listener::{Call, Serves},
    protocol::Session,
    signaling::{Caller, Signaling},
};

pub use error::ProxyError;
pub use grpc::pb;
pub use metrics::ProxyMetrics;

/// Largest proxy call in bytes: the gateway's own limit for a client's message, with room for the session around it.
const MAX_CALL: usize = 256 * 1024;
/// Carries the shared secret, as an HTTP header or gRPC metadata.
const SECRET_HEADER: HeaderName = HeaderName::from_static("x-starling-secret");

/// What the handlers share.
pub struct Proxy {
    /// The use cases.
    pub signaling: Arc<Signaling>,
    /// What Centrifugo shows with every call.
    pub secret: String,
    /// The header in which the gateway passes on the client's address.
    pub client_ip_header: HeaderName,
    /// What operators see.
    pub metrics: ProxyMetrics,
}

impl Proxy {
    /// The client's address, as the balancer in front of the gateway wrote it.
    fn client_address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let address: IpAddr = headers.get(&self.client_ip_header)?.to_str().ok()?.trim().parse().ok()?;
        // ::ffff:192.0.2.1 is 192.0.2.1
        Some(address.to_canonical())
    }

    /// Notes a call that the gateway, configured as ours, would not make.
    fn bad_envelope(&self, error: &impl std::fmt::Display) {
        self.metrics.bad_envelopes.increment(1);
        warn!("A proxy call was not understood: {error}");
    }
}

/// All proxy calls: gRPC and HTTP/JSON tell themselves apart by their paths.
pub fn service(proxy: Arc<Proxy>) -> impl Serves {
    let routes = Router::new().merge(grpc::routes(proxy.clone())).merge(http::routes(proxy.clone()));
    // In front of the router, not on each of its routes, where it would cost every call a box.
    ValidateRequestHeaderLayer::custom(move |call: &mut Call| proxy.require_secret(call.headers())).layer(routes)
}

impl Proxy {
    /// Nothing is read from a caller that does not show the secret.
    fn require_secret(&self, headers: &HeaderMap) -> Result<(), Response> {
        let header = |name: &HeaderName| headers.get(name).map_or(&[][..], |value| value.as_bytes());
        if header(&SECRET_HEADER).ct_eq(self.secret.as_bytes()).into() {
            return Ok(());
        }
        self.metrics.unauthenticated.increment(1);
        warn!(
            "A proxy call without the right secret was refused: is proxy.secret what the gateway sends as \
             {SECRET_HEADER}?"
        );
        let words = "x-starling-secret is missing or wrong";
        Err(if header(&CONTENT_TYPE).starts_with(b"application/grpc") {
            tonic::Status::unauthenticated(words).into_http()
        } else {
            (StatusCode::UNAUTHORIZED, words).into_response()
        })
    }
}

/// A call that Centrifugo cannot have made as we configured it. Not the client's fault, so not an answer to the client.
#[derive(Debug, thiserror::Error)]
enum BadEnvelope {
    /// Not a name that we gave.
    #[error("user is not a peer id: is the connect proxy ours?")]
    User,
    /// No session.
    #[error("connection meta is missing: is it included in proxy calls?")]
    Meta,
}

/// Who calls, from the envelope.
fn caller(user: &str, client: String, meta: &[u8]) -> Result<Caller, BadEnvelope> {
    let peer = PeerId::parse(user).map_err(|_| BadEnvelope::User)?;
    let session = session(meta).ok_or(BadEnvelope::Meta)?;
    Ok(Caller { peer, client, session })
}

fn session(meta: &[u8]) -> Option<Session> {
    serde_json::from_slice(meta).ok()
}
