//! The Centrifuge protocol, as much of it as a client of ours meets: lines of JSON over a WebSocket. What comes in is
//! read in place; what goes out is put together as text.

use std::fmt::Write;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

use crate::{history::Kind, sdp::Descriptions};

/// Small, since there are thousands; a delivery of several offers takes several reads.
const READ_BUFFER: usize = 4096;

/// One line from the gateway. A ping has nothing in it.
#[derive(Deserialize)]
pub struct Line<'a> {
    /// Of the command that it answers.
    #[serde(default)]
    pub id: u32,
    /// Why that command failed.
    pub error: Option<Refusal>,
    /// Reply to the connect command.
    #[serde(borrow)]
    pub connect: Option<Welcome<'a>>,
    /// Reply to a call.
    #[serde(borrow)]
    pub rpc: Option<Data<'a>>,
    /// Something that nobody asked for.
    #[serde(borrow)]
    pub push: Option<Push<'a>>,
}

/// Why a command or a signal failed.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Refusal {
    /// Starling's or, from 100 to 399, Centrifugo's.
    pub code: u32,
    /// When to try again.
    #[serde(default)]
    pub retry_ms: u64,
}

/// A reply that holds more.
#[derive(Deserialize)]
pub struct Data<'a> {
    /// What it holds.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

/// Reply to the connect command.
#[derive(Deserialize)]
pub struct Welcome<'a> {
    /// Seconds between pings.
    #[serde(default)]
    pub ping: u64,
    /// The inboxes, of which there is one; as pairs of name and [`Inbox`].
    #[serde(borrow)]
    pub subs: std::collections::BTreeMap<&'a str, Inbox<'a>>,
    /// What Starling says.
    #[serde(borrow)]
    pub data: Admitted<'a>,
}

/// State of the inbox at connect.
#[derive(Deserialize)]
pub struct Inbox<'a> {
    /// Whether everything that was missed is among the publications.
    #[serde(default)]
    pub recovered: bool,
    /// Of which the offsets count.
    #[serde(default)]
    pub epoch: &'a str,
    /// The last one, where nothing is recovered.
    #[serde(default)]
    pub offset: u64,
    /// What was missed.
    #[serde(default, borrow)]
    pub publications: Vec<Publication<'a>>,
}

/// What Starling says at connect.
#[derive(Deserialize)]
pub struct Admitted<'a> {
    /// The client's name.
    pub peer: &'a str,
    /// With which it keeps it.
    pub resume: &'a str,
}

/// Something that nobody asked for.
#[derive(Deserialize)]
pub struct Push<'a> {
    /// Where.
    #[serde(default)]
    pub channel: &'a str,
    /// A publication there.
    #[serde(borrow, rename = "pub")]
    pub publication: Option<Publication<'a>>,
}

/// A publication.
#[derive(Deserialize)]
pub struct Publication<'a> {
    /// Its place in the history; 0 where it has none.
    #[serde(default)]
    pub offset: u64,
    /// What Starling published.
    #[serde(borrow)]
    pub data: Delivery<'a>,
}

/// Signals that came.
#[derive(Deserialize)]
pub struct Delivery<'a> {
    /// One or more.
    #[serde(borrow)]
    pub signals: Vec<Incoming<'a>>,
}

/// A signal that came.
#[derive(Deserialize)]
pub struct Incoming<'a> {
    /// Who sent it.
    pub from: &'a str,
    /// Where.
    pub swarm: &'a str,
    /// The attempt to link.
    pub session: &'a str,
    /// Its place.
    pub seq: u32,
    /// For the way back.
    pub ticket: &'a str,
    /// A body.
    #[serde(borrow)]
    pub offer: Option<Sdp<'a>>,
    /// A body.
    #[serde(borrow)]
    pub answer: Option<Sdp<'a>>,
    /// A body.
    #[serde(borrow)]
    pub candidates: Option<&'a RawValue>,
    /// A body.
    #[serde(borrow)]
    pub bye: Option<&'a RawValue>,
}

/// A description.
#[derive(Deserialize)]
pub struct Sdp<'a> {
    /// A JSON string, not unescaped.
    #[serde(borrow)]
    pub sdp: &'a RawValue,
}

/// Reply to `signal`.
#[derive(Deserialize)]
pub struct Results {
    /// One per signal.
    pub results: Vec<Outcome>,
}

/// What became of a signal.
#[derive(Deserialize)]
pub struct Outcome {
    /// `None` is `ok`.
    pub error: Option<Refusal>,
}

/// Reply to `join` and `peers`.
#[derive(Deserialize)]
pub struct List<'a> {
    /// Who is listed.
    #[serde(borrow)]
    pub peers: Vec<Entry<'a>>,
    /// False: join again.
    pub joined: Option<bool>,
}

/// One of a list.
#[derive(Deserialize)]
pub struct Entry<'a> {
    /// Its name.
    pub peer: &'a str,
    /// With which to signal it.
    pub ticket: &'a str,
}

/// A connection to the gateway.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens one.
    pub async fn open(address: std::net::SocketAddr, url: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("the gateway cannot be reached")?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
        let (socket, _) = client_async_with_config(url, stream, Some(config)).await.context("no WebSocket")?;
        Ok(Self(socket))
    }

    /// The next frame of lines; `None` at the end of the connection.
    pub async fn next(&mut self) -> Result<Utf8Bytes, u16> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// Sends a line. An error is left to [`Socket::next`], which meets it too.
    pub async fn send(&mut self, line: String) {
        let _ = self.0.send(Message::text(line)).await;
    }
}

/// A signal to be sent, apart from its receiver and ticket.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// The attempt to link.
    pub session: u64,
    /// Its place.
    pub seq: u32,
    /// What it says.
    pub kind: Kind,
    /// The name woven into it.
    pub name: u64,
}

/// Appends what follows a signal's receiver: ticket, session, seq and body, without the closing brace.
pub fn push_signal(out: &mut String, descriptions: &Descriptions, ticket: &str, signal: &Outgoing) {
    let Outgoing { session, seq, kind, name } = *signal;
    let _ = write!(out, "\"ticket\":\"{ticket}\",\"session\":\"{session:016x}\",\"seq\":{seq},");
    match kind {
        Kind::Offer | Kind::Answer => {
            let is_answer = kind == Kind::Answer;
            out.push_str(if is_answer { "\"answer\":{\"sdp\":\"" } else { "\"offer\":{\"sdp\":\"" });
            descriptions.write(out, name, is_answer);
            out.push_str("\"}");
        }
        Kind::Candidates => {
            out.push_str("\"candidates\":[\"");
            crate::sdp::push_candidate(out, name, usize::try_from(seq).unwrap_or(0));
            out.push_str("\"]");
        }
        Kind::Bye => {
            let _ = write!(out, "\"bye\":{{\"reason\":\"done {name:016x}\"}}");
        }
    }
}

impl Incoming<'_> {
    /// What it says, and the name found in it; 0 when it is damaged.
    pub fn read(&self) -> (Kind, u64) {
        let description = |sdp: &Sdp| crate::sdp::name_of(sdp.sdp.get()).unwrap_or(0);
        match self {
            Self { offer: Some(sdp), .. } => (Kind::Offer, description(sdp)),
            Self { answer: Some(sdp), .. } => (Kind::Answer, description(sdp)),
            Self { candidates: Some(list), .. } => {
                (Kind::Candidates, crate::sdp::candidate_name(list.get()).unwrap_or(0))
            }
            Self { bye, .. } => {
                let reason = bye.and_then(|bye| bye.get().split_once("done ")?.1.get(..16));
                (Kind::Bye, reason.and_then(|name| u64::from_str_radix(name, 16).ok()).unwrap_or(0))
            }
        }
    }
}
