//! `connect`: a client comes in.

use std::{net::IpAddr, time::Instant};

use serde::Deserialize;

use super::{Proxy, error};
use crate::{
    protocol::{ConnectData, MAX_REQUEST, Refusal, VERSION, inbox},
    signaling::Connecting,
};

/// A client that is let in, in Centrifugo's words.
pub struct Connected {
    pub user: String,
    pub expire_at: i64,
    pub data: String,
    pub meta: String,
    pub channel: String,
}

/// One that is not.
pub struct Refused {
    pub code: u32,
    pub reason: String,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl Proxy {
    /// Answers a connect call.
    pub async fn connect(&self, client: &str, address: Option<IpAddr>, data: &[u8]) -> Result<Connected, Refused> {
        let started = Instant::now();
        let answer = self.try_connect(client, address, data).await;
        self.metrics.connect(started.elapsed(), answer.as_ref().err().map(|refused| refused.code));
        answer
    }

    async fn try_connect(&self, client: &str, address: Option<IpAddr>, data: &[u8]) -> Result<Connected, Refused> {
        let data = parse(data).map_err(|refusal| {
            let reason = match refusal {
                Refusal::Version => "protocol version unknown",
                _ => "connect data malformed",
            };
            Refused { code: refusal.number(), reason: reason.to_owned() }
        })?;
        let connecting = Connecting { client, address, data };
        let admitted = self.signaling.connect(connecting).await.map_err(|error| {
            let (refusal, reason) = error::refusal(&error);
            Refused { code: refusal.number(), reason }
        })?;
        let text = |json: serde_json::Result<String>| json.expect("plain values are JSON");
        let caller = admitted.caller;
        Ok(Connected {
            user: caller.peer.to_string(),
            // A token that ends after the end of time does not end.
            expire_at: caller.session.exp.try_into().unwrap_or(i64::MAX),
            data: text(serde_json::to_string(&admitted.reply)),
            meta: text(serde_json::to_string(&caller.session)),
            channel: inbox(caller.peer),
        })
    }
}

/// The version comes first: data of another one may look different altogether.
fn parse(data: &[u8]) -> Result<ConnectData, Refusal> {
    if data.len() > MAX_REQUEST {
        return Err(Refusal::Malformed);
    }
    let Version { v } = serde_json::from_slice(data).map_err(|_| Refusal::Malformed)?;
    if v != VERSION {
        return Err(Refusal::Version);
    }
    serde_json::from_slice(data).map_err(|_| Refusal::Malformed)
}
