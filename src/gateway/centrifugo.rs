//! Centrifugo's HTTP API, the same in v5 and v6.

use std::{error::Error, fmt::Write, time::Duration};

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::{Delivery, Gateway, GatewayError};
use crate::{
    domain::PeerId,
    protocol::{Refusal, inbox},
};

/// Longest time for one API call, so that two of them fit into Centrifugo's proxy timeout of 2 s: a signal waits for the
/// batch before its own at most, unless its lane is crowded.
const TIMEOUT: Duration = Duration::from_millis(600);

/// A Centrifugo node's API.
pub struct Centrifugo {
    http: reqwest::Client,
    url: String,
}

impl Centrifugo {
    /// `url` up to and with `/api`, and its key. Fails when the key has characters that no header can hold.
    pub fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        let mut key = HeaderValue::from_str(key)?;
        key.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            ("X-API-Key".parse()?, key),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT / 2)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned() })
    }

    async fn call<T: for<'de> Deserialize<'de>>(&self, method: &str, body: String) -> Result<T, GatewayError> {
        let unreachable = |error: reqwest::Error| GatewayError::Unreachable(in_words(&error.without_url()));
        let response = self.http.post(format!("{}/{method}", self.url)).body(body).send().await.map_err(unreachable)?;
        let status = response.status();
        if status.as_u16() == 401 || status.as_u16() == 403 {
            return Err(GatewayError::Answer(format!("HTTP {status}: is gateway.api_key its API key?")));
        }
        if !status.is_success() {
            return Err(GatewayError::Answer(format!("HTTP {status}")));
        }
        let body = response.bytes().await.map_err(unreachable)?;
        serde_json::from_slice(&body)
            .map_err(|error| GatewayError::Answer(format!("something else than JSON: {error}")))
    }
}

/// An error with its causes: reqwest's own text names none of them.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(words, ": {error}");
        cause = error.source();
    }
    words
}

#[derive(Deserialize)]
struct BatchReply {
    replies: Vec<Reply>,
}

/// What every command is answered with: a result of some kind, or an error.
#[derive(Deserialize)]
struct Reply {
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    code: u32,
    #[serde(default)]
    message: String,
}

impl Reply {
    fn settle(self) -> Result<(), GatewayError> {
        self.error.map_or(Ok(()), |ApiError { code, message }| Err(GatewayError::Refused { code, message }))
    }
}

/// The batch command. Signals are JSON already and inboxes need no escaping, so the text is put together as it is.
fn batch(deliveries: &[Delivery]) -> String {
    let signals = deliveries.iter().flat_map(|delivery| &delivery.signals);
    let mut body =
        String::with_capacity(64 + deliveries.len() * 96 + signals.map(|signal| signal.len() + 1).sum::<usize>());
    body.push_str(r#"{"parallel":true,"commands":["#);
    for (n, delivery) in deliveries.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let skip = if delivery.history { "" } else { r#""skip_history":true,"# };
        let channel = inbox(delivery.to);
        let _ = write!(body, r#"{comma}{{"publish":{{"channel":"{channel}",{skip}"data":{{"signals":["#);
        for (n, signal) in delivery.signals.iter().enumerate() {
            body.push_str(if n == 0 { "" } else { "," });
            body.push_str(signal);
        }
        body.push_str("]}}}");
    }
    body.push_str("]}");
    body
}

#[async_trait]
impl Gateway for Centrifugo {
    async fn publish(&self, deliveries: &[Delivery]) -> Result<Vec<Result<(), GatewayError>>, GatewayError> {
        let reply: BatchReply = self.call("batch", batch(deliveries)).await?;
        if reply.replies.len() != deliveries.len() {
            let (replies, asked) = (reply.replies.len(), deliveries.len());
            return Err(GatewayError::Answer(format!("{replies} replies to {asked} commands")));
        }
        Ok(reply.replies.into_iter().map(Reply::settle).collect())
    }

    async fn disconnect_others(&self, peer: PeerId, keep: &str) -> Result<(), GatewayError> {
        let disconnect = json!({ "code": Refusal::Resumed.number(), "reason": "resumed elsewhere" });
        let command = json!({ "user": peer, "whitelist": [keep], "disconnect": disconnect });
        self.call::<Reply>("disconnect", command.to_string()).await?.settle()
    }

    async fn check(&self) -> Result<(), GatewayError> {
        self.call::<Reply>("info", "{}".to_owned()).await?.settle()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_batch_is_json_with_one_publication_per_delivery() {
        let delivery = |n, signals: &[&str], history| Delivery {
            to: PeerId::from_bytes([n; 16]),
            signals: signals.iter().map(ToString::to_string).collect(),
            history,
        };
        let body = batch(&[delivery(0, &[r#"{"a":1}"#, r#"{"b":2}"#], true), delivery(255, &["{}"], false)]);
        let expected = json!({ "parallel": true, "commands": [
            { "publish": { "channel": "inbox:AAAAAAAAAAAAAAAAAAAAAA", "data": { "signals": [{ "a": 1 }, { "b": 2 }] } } },
            { "publish": { "channel": "inbox:_____________________w", "skip_history": true, "data": { "signals": [{}] } } },
        ] });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    }

    /// A fake API: one that answers what no real one would, or nothing.
    async fn fake(answer: Option<&'static str>) -> Centrifugo {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let answer = async move || match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        };
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(crate::listener::serve(listener, router, tokio_util::sync::CancellationToken::new()));
        Centrifugo::new(&url, "key").unwrap()
    }

    fn delivery() -> Delivery {
        Delivery { to: PeerId::from_bytes([0; 16]), signals: vec!["{}".into()], history: true }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_is_an_error() {
        for answer in ["", "null", "{}", r#"{"replies":[]}"#, r#"{"replies":[{},{}]}"#] {
            let verdict = fake(Some(answer)).await.publish(&[delivery()]).await;
            assert!(matches!(verdict, Err(GatewayError::Answer(_))), "{answer}: {verdict:?}");
        }
        let refused = fake(Some(r#"{"replies":[{"error":{"code":102}}]}"#)).await.publish(&[delivery()]).await;
        assert_eq!(refused, Ok(vec![Err(GatewayError::Refused { code: 102, message: String::new() })]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_hangs_is_given_up() {
        let gateway = fake(None).await;
        let started = tokio::time::Instant::now();
        assert!(matches!(gateway.publish(&[delivery()]).await, Err(GatewayError::Unreachable(_))));
        assert!(started.elapsed() <= TIMEOUT * 2, "{:?}", started.elapsed());
    }
}
