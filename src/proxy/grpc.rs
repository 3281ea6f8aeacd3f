//! Proxy calls over gRPC.

use std::sync::Arc;

use axum::Router;
use tonic::{Request, Response, Status};

use super::{BadEnvelope, MAX_CALL, Proxy, ProxyError, caller};
use crate::signaling::{Publication, Refreshed};
use pb::centrifugo_proxy_server::{CentrifugoProxy, CentrifugoProxyServer};

/// Messages and service of `proto/proxy.proto`.
#[expect(missing_docs, clippy::pedantic, reason = "generated from proto/proxy.proto")]
pub mod pb {
    tonic::include_proto!("centrifugal.centrifugo.proxy");
}

/// The gRPC service as a route; methods that it does not have get UNIMPLEMENTED.
pub fn routes(proxy: Arc<Proxy>) -> Router {
    let service = CentrifugoProxyServer::new(Service(proxy)).max_decoding_message_size(MAX_CALL);
    Router::new().route_service(&format!("/{}/{{method}}", pb::centrifugo_proxy_server::SERVICE_NAME), service)
}

struct Service(Arc<Proxy>);

#[tonic::async_trait]
impl CentrifugoProxy for Service {
    async fn connect(&self, request: Request<pb::ConnectRequest>) -> Result<Response<pb::ConnectResponse>, Status> {
        let address = self.0.client_address(request.metadata().as_ref());
        let pb::ConnectRequest { client, data } = request.into_inner();
        let response = match self.0.connect(&client, address, &data).await {
            Ok(connected) => pb::ConnectResponse {
                result: Some(pb::ConnectResult {
                    user: connected.user,
                    expire_at: connected.expire_at,
                    data: connected.data.into(),
                    channels: vec![connected.channel],
                    meta: connected.meta.into(),
                }),
                ..Default::default()
            },
            Err(refused) => pb::ConnectResponse {
                disconnect: Some(pb::Disconnect { code: refused.code, reason: refused.reason }),
                ..Default::default()
            },
        };
        Ok(Response::new(response))
    }

    async fn refresh(&self, request: Request<pb::RefreshRequest>) -> Result<Response<pb::RefreshResponse>, Status> {
        let result = match self.0.refresh(&request.into_inner().meta) {
            Refreshed::Expired => pb::RefreshResult { expired: true, expire_at: 0 },
            Refreshed::Until(second) => {
                pb::RefreshResult { expired: false, expire_at: second.try_into().unwrap_or(i64::MAX) }
            }
        };
        Ok(Response::new(pb::RefreshResponse { result: Some(result) }))
    }

    async fn rpc(&self, request: Request<pb::RpcRequest>) -> Result<Response<pb::RpcResponse>, Status> {
        let pb::RpcRequest { client, user, method, data, meta } = request.into_inner();
        let caller = caller(&user, client, &meta).map_err(|error| self.bad_envelope(&error))?;
        let response = match self.0.rpc(&caller, &method, &data).await {
            Ok(data) => pb::RpcResponse { result: Some(pb::RpcResult { data: data.into() }), ..Default::default() },
            Err(error) => pb::RpcResponse { error: Some(in_words(&error)), ..Default::default() },
        };
        Ok(Response::new(response))
    }

    async fn publish(&self, request: Request<pb::PublishRequest>) -> Result<Response<pb::PublishResponse>, Status> {
        let pb::PublishRequest { client, user, channel, data, meta } = request.into_inner();
        let caller = caller(&user, client, &meta).map_err(|error| self.bad_envelope(&error))?;
        let response = match self.0.publish(&caller, &channel, &data) {
            Ok(Publication { data, history }) => pb::PublishResponse {
                result: Some(pb::PublishResult { data: data.into(), skip_history: !history }),
                ..Default::default()
            },
            Err(error) => pb::PublishResponse { error: Some(in_words(&error)), ..Default::default() },
        };
        Ok(Response::new(response))
    }

    async fn subscribe(&self, _: Request<pb::OtherRequest>) -> Result<Response<pb::OtherResponse>, Status> {
        unknown_event()
    }

    async fn sub_refresh(&self, _: Request<pb::OtherRequest>) -> Result<Response<pb::OtherResponse>, Status> {
        unknown_event()
    }
}

impl Service {
    fn bad_envelope(&self, error: &BadEnvelope) -> Status {
        self.0.bad_envelope(error);
        Status::invalid_argument(error.to_string())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what the service's methods return")]
fn unknown_event() -> Result<Response<pb::OtherResponse>, Status> {
    Ok(Response::new(pb::OtherResponse { error: Some(in_words(&ProxyError::UnknownEvent)) }))
}

fn in_words(error: &ProxyError) -> pb::Error {
    let code = error.code();
    pb::Error { code: code.number(), message: error.message(), temporary: code.temporary() }
}
