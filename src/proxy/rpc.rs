//! `rpc`: a client calls one of our methods.

use std::time::Instant;

use serde::Serialize;

use super::{Proxy, ProxyError, error::signal_error};
use crate::{
    protocol::{MAX_REPORT_REQUEST, MAX_REQUEST, MAX_SIGNAL_REQUEST, SignalReply, SignalRequest, SignalResult},
    signaling::Caller,
};

impl Proxy {
    /// Answers an RPC with JSON, or an error.
    pub async fn rpc(&self, caller: &Caller, method: &str, data: &[u8]) -> Result<String, ProxyError> {
        let started = Instant::now();
        let answer = self.try_rpc(caller, method, data).await;
        self.metrics.called(method, started.elapsed(), answer.as_ref().err().map(ProxyError::code));
        answer
    }

    async fn try_rpc(&self, caller: &Caller, method: &str, data: &[u8]) -> Result<String, ProxyError> {
        let limit = match method {
            "signal" => MAX_SIGNAL_REQUEST,
            "report" => MAX_REPORT_REQUEST,
            _ => MAX_REQUEST,
        };
        if data.len() > limit {
            return Err(ProxyError::TooLarge(limit));
        }
        Ok(match method {
            "join" => json(&self.signaling.join(caller, serde_json::from_slice(data)?).await?),
            "peers" => json(&self.signaling.peers(caller, serde_json::from_slice(data)?).await?),
            "signal" => {
                let results = self.signaling.signal(caller, SignalRequest::parse(data)?).await?;
                let result = |result: Result<(), _>| match result {
                    Ok(()) => SignalResult::Ok(true),
                    Err(error) => SignalResult::Error(signal_error(&error)),
                };
                json(&SignalReply { results: results.into_iter().map(result).collect() })
            }
            "report" => json(&self.signaling.report(caller, serde_json::from_slice(data)?)?),
            "leave" => {
                self.signaling.leave(caller, serde_json::from_slice(data)?).await?;
                "{}".to_owned()
            }
            _ => return Err(ProxyError::UnknownMethod),
        })
    }
}

fn json(reply: &impl Serialize) -> String {
    serde_json::to_string(reply).expect("replies are JSON")
}
