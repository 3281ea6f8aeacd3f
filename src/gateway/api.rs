//! Centrifugo's HTTP API, the same in v5 and v6.

use std::{error::Error, fmt::Write, time::Duration};

use reqwest::{
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};
use serde::Deserialize;
use serde_json::json;

use super::{Delivery, GatewayError, Published};
use crate::{
    domain::PeerId,
    protocol::{Refusal, inbox, push_delivery},
};

/// The API of one Centrifugo node.
pub struct Api {
    http: reqwest::Client,
    url: String,
    parallel: bool,
}

/// What every node's API is called with: connections are pooled, and every call shows `key`. Fails when the key has
/// characters that no header can hold.
pub fn client(key: &str, connect_timeout: Duration) -> anyhow::Result<reqwest::Client> {
    let mut key = HeaderValue::from_str(key)?;
    key.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        ("X-API-Key".parse()?, key),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]);
    let http = reqwest::Client::builder().default_headers(headers).connect_timeout(connect_timeout).tcp_nodelay(true);
    // The key goes nowhere else, whatever the environment or an answer says.
    Ok(http.no_proxy().redirect(Policy::none()).build()?)
}

impl Api {
    /// `url` up to and with `/api`. With `parallel` the node publishes the deliveries of a call at the same time: faster
    /// where each waits for the node's engine, dearer where none does.
    pub fn new(http: reqwest::Client, url: &str, parallel: bool) -> Self {
        Self { http, url: url.trim_end_matches('/').to_owned(), parallel }
    }

    /// Publishes in one call; see [`super::Gateway::publish`].
    pub async fn publish(&self, deliveries: &[Delivery], within: Duration) -> Result<Published, GatewayError> {
        let reply: BatchReply = self.call("batch", batch(deliveries, self.parallel), within).await?;
        if reply.replies.len() != deliveries.len() {
            let (replies, asked) = (reply.replies.len(), deliveries.len());
            return Err(GatewayError::Answer(format!("{replies} replies to {asked} commands")));
        }
        Ok(reply.replies.into_iter().map(Reply::settle).collect())
    }

    /// Ends every connection of `peer` but the one that is called `keep`.
    pub async fn disconnect_others(&self, peer: PeerId, keep: &str, within: Duration) -> Result<(), GatewayError> {
        let disconnect = json!({ "code": Refusal::Resumed.number(), "reason": "resumed elsewhere" });
        let command = json!({ "user": peer, "whitelist": [keep], "disconnect": disconnect });
        self.call::<Reply>("disconnect", command.to_string(), within).await?.settle()
    }

    async fn call<T>(&self, method: &str, body: String, within: Duration) -> Result<T, GatewayError>
    where
        T: for<'de> Deserialize<'de>,
    {
        let unreachable = |error: reqwest::Error| match error {
            late if late.is_timeout() => GatewayError::Late { elsewhere: false },
            error => GatewayError::Unreachable(in_words(&error.without_url())),
        };
        let request = self.http.post(format!("{}/{method}", self.url)).timeout(within).body(body);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.as_u16() == 401 || status.as_u16() == 403 {
            return Err(GatewayError::Answer(format!("HTTP {status}: is gateway.api_key its API key?")));
        }
        if status.is_server_error() {
            return Err(GatewayError::Unreachable(format!("HTTP {status}"))); // as a balancer in between says it
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
fn batch(deliveries: &[Delivery], parallel: bool) -> String {
    let signals = deliveries.iter().flat_map(|delivery| &delivery.signals);
    let mut body =
        String::with_capacity(64 + deliveries.len() * 96 + signals.map(|signal| signal.len() + 1).sum::<usize>());
    body.push_str(if parallel { r#"{"parallel":true,"commands":["# } else { r#"{"commands":["# });
    for (n, delivery) in deliveries.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let skip = if delivery.history { "" } else { r#""skip_history":true,"# };
        let channel = inbox(delivery.to);
        let _ = write!(body, r#"{comma}{{"publish":{{"channel":"{channel}",{skip}"data":"#);
        push_delivery(&mut body, delivery.signals.iter().map(String::as_str));
        body.push_str("}}");
    }
    body.push_str("]}");
    body
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
        let body = batch(&[delivery(0, &[r#"{"a":1}"#, r#"{"b":2}"#], true), delivery(255, &["{}"], false)], true);
        let expected = json!({ "parallel": true, "commands": [
            { "publish": { "channel": "inbox:AAAAAAAAAAAAAAAAAAAAAA", "data": { "signals": [{ "a": 1 }, { "b": 2 }] } } },
            { "publish": { "channel": "inbox:_____________________w", "skip_history": true, "data": { "signals": [{}] } } },
        ] });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    }

    const WITHIN: Duration = Duration::from_millis(600);

    /// A fake API: one that answers what no real one would, or nothing.
    async fn fake(answer: Option<&'static str>) -> Api {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let answer = async move || match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        };
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(crate::listener::serve(listener, router, tokio_util::sync::CancellationToken::new()));
        Api::new(client("key", WITHIN).unwrap(), &url, true)
    }

    fn delivery() -> Delivery {
        Delivery { to: PeerId::from_bytes([0; 16]), signals: vec!["{}".into()], history: true }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_is_an_error() {
        for answer in ["", "null", "{}", r#"{"replies":[]}"#, r#"{"replies":[{},{}]}"#] {
            let verdict = fake(Some(answer)).await.publish(&[delivery()], WITHIN).await;
            assert!(matches!(verdict, Err(GatewayError::Answer(_))), "{answer}: {verdict:?}");
        }
        let refused = fake(Some(r#"{"replies":[{"error":{"code":102}}]}"#)).await.publish(&[delivery()], WITHIN).await;
        assert_eq!(refused, Ok(vec![Err(GatewayError::Refused { code: 102, message: String::new() })]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_hangs_is_given_up() {
        let gateway = fake(None).await;
        let started = tokio::time::Instant::now();
        assert_eq!(gateway.publish(&[delivery()], WITHIN).await, Err(GatewayError::Late { elsewhere: false }));
        assert!(started.elapsed() <= WITHIN * 2, "{:?}", started.elapsed());
    }
}
