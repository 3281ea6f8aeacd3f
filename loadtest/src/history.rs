//! What happened, event by event: what each client sent, what was acknowledged, what it received. One clock for all
//! clients, so that "before" and "after" mean something, and one order: what caused an event stands before it.

use std::{
    io::{BufRead, BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Instant,
};

use anyhow::Context;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling::domain::PeerId;

pub use starling::domain::Kind;

/// Events handed over at once.
const BLOCK: usize = 1024;
/// Blocks that may wait for their reader; then clients wait too.
const BLOCKS: usize = 256;

/// A client's number.
pub type Client = u32;

/// One event. Those of one client are in its order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the clock of this history began.
    pub at: u64,
    /// Whose.
    pub client: Client,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a client. `session` and `seq` name a signal, together with who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The first event of a history; its client means nothing.
    Begin {
        /// How many backends serve.
        backends: u32,
    },
    /// Figures are taken from now on, or no more.
    Measure {
        /// Which of the two.
        on: bool,
    },
    /// Its inbox is live.
    Connected {
        /// The name that it has now.
        peer: PeerId,
        /// Whether it got all that it had missed. Never at the first time.
        recovered: bool,
    },
    /// Its connection ended.
    Lost,
    /// It handed a signal to its connection.
    Sent {
        /// For whom.
        to: PeerId,
        /// The attempt to link.
        session: u64,
        /// Place among its sender's signals in the session.
        seq: u32,
        /// What it says.
        kind: Kind,
        /// The name woven into it.
        name: u64,
        /// When it should have been sent; differs from `at` where the sender was late.
        planned: u64,
        /// The call that it went with, counted by its client.
        call: u32,
        /// How often it was sent before.
        repeat: u32,
    },
    /// A signal was answered.
    Answered {
        /// As in `Sent`.
        session: u64,
        /// As in `Sent`.
        seq: u32,
        /// As in `Sent`.
        call: u32,
        /// 0 is `ok`, otherwise why not.
        code: u32,
    },
    /// A call ended without an answer: what became of its signal nobody knows.
    Unknown {
        /// As in `Sent`.
        session: u64,
        /// As in `Sent`.
        seq: u32,
        /// As in `Sent`.
        call: u32,
    },
    /// A signal came.
    Received {
        /// Who sent it, as the server says.
        from: PeerId,
        /// As in `Sent`.
        session: u64,
        /// As in `Sent`.
        seq: u32,
        /// What it says.
        kind: Kind,
        /// The name found in it; 0 when it is damaged.
        name: u64,
        /// What the client made of it.
        fate: Fate,
        /// Whether it came with a reconnect.
        recovered: bool,
    },
    /// A signal that was held went to the application.
    Released {
        /// As in `Received`.
        from: PeerId,
        /// As in `Received`.
        session: u64,
        /// As in `Received`.
        seq: u32,
    },
    /// A client is done with a session that it began.
    Ended {
        /// Which.
        session: u64,
        /// How.
        how: End,
    },
    /// The last event: all were given time to receive what was on its way.
    Finish,
}

/// What a client makes of a signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The application gets it.
    Applied,
    /// Seen before, and dropped.
    Repeat,
    /// A candidate that came before its description.
    Held,
    /// For a session that its client has ended, and dropped.
    Stale,
}

/// How a session ends for the one who began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The answer came.
    Linked,
    /// No answer came, however often it was asked.
    Unanswered,
    /// What was missed could not be recovered, or its client has another name now.
    Void,
    /// It was refused for good.
    Refused,
}

/// Takes events from every client and hands them on in blocks.
pub struct Log {
    began: Instant,
    waiting: Mutex<Vec<Event>>,
    blocks: SyncSender<Vec<Event>>,
}

impl Log {
    /// A log and where its blocks come out.
    pub fn new() -> (Self, Receiver<Vec<Event>>) {
        let (blocks, out) = sync_channel(BLOCKS);
        (Self { began: Instant::now(), waiting: Mutex::new(Vec::with_capacity(BLOCK)), blocks }, out)
    }

    /// Microseconds since this history began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The moment that [`Log::now`] calls this.
    pub fn instant(&self, micros: u64) -> Instant {
        self.began + std::time::Duration::from_micros(micros)
    }

    /// Keeps an event of now.
    pub fn add(&self, client: Client, what: What) {
        let mut waiting = self.waiting.lock();
        waiting.push(Event { at: self.now(), client, what });
        if waiting.len() >= BLOCK {
            self.hand_on(&mut waiting);
        }
    }

    /// Hands on what has gathered.
    pub fn flush(&self) {
        self.hand_on(&mut self.waiting.lock());
    }

    // Under the lock, so that blocks keep their order.
    fn hand_on(&self, waiting: &mut Vec<Event>) {
        if !waiting.is_empty() {
            // A reader that is gone has failed, which is noticed where it is waited for.
            let _ = self.blocks.send(std::mem::replace(waiting, Vec::with_capacity(BLOCK)));
        }
    }
}

/// Reads blocks in a thread of its own until the last event, showing each event to `each` and writing it to `file`.
pub fn follow<T: Send + 'static>(
    blocks: Receiver<Vec<Event>>,
    file: Option<&Path>,
    mut state: T,
    each: impl Fn(&mut T, &Event) + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<T>>> {
    let file = file.map(|path| {
        let file = std::fs::File::create(path);
        file.with_context(|| format!("the history {} cannot be written: choose another --history", path.display()))
    });
    let mut file = file.transpose()?.map(BufWriter::new);
    let thread = std::thread::Builder::new().name("history".to_owned());
    let reader = thread.spawn(move || {
        for event in blocks.iter().flatten() {
            if let Some(file) = &mut file {
                serde_json::to_writer(&mut *file, &event)?;
                file.write_all(b"\n").context("the history cannot be written: is the disk full?")?;
            }
            each(&mut state, &event);
            if event.what == What::Finish {
                break;
            }
        }
        if let Some(mut file) = file {
            file.flush().context("the history cannot be written: is the disk full?")?;
        }
        Ok(state)
    });
    reader.context("no thread for the history")
}

/// The events of a history that was written.
pub fn read(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Event>>> {
    let file = std::fs::File::open(path)
        .with_context(|| format!("{} cannot be read: name a file that --history wrote", path.display()))?;
    let lines = std::io::BufReader::new(file).lines().enumerate();
    Ok(lines.map(|(n, line)| {
        serde_json::from_str(&line?).with_context(|| format!("line {} of the history is no event", n + 1))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let (log, blocks) = Log::new();
        let reader = follow(blocks, Some(&path), Vec::new(), |all, event| all.push(*event)).unwrap();
        let peer = PeerId::from_bytes([7; 16]);
        for n in 0..2500 {
            log.add(n, What::Connected { peer, recovered: n % 2 == 0 });
            let (session, seq, kind, name) = (u64::MAX, n, Kind::Answer, u64::MAX - 1);
            log.add(n, What::Sent { to: peer, session, seq, kind, name, planned: 5, call: 6, repeat: 0 });
        }
        log.add(0, What::Finish);
        log.flush();
        let seen = reader.join().unwrap().unwrap();
        assert_eq!(seen.len(), 5001);
        assert_eq!(read(&path).unwrap().collect::<anyhow::Result<Vec<_>>>().unwrap(), seen);
    }
}
