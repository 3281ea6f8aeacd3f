//! Who was connected when, under which name: whether a signal had to reach its receiver.

use fnv::FnvHashMap;
use starling::domain::PeerId;

use crate::history::Client;

/// A receiver that stays connected for so long after an `ok` has to see the signal before it goes, in microseconds.
const GRACE: u64 = 1_000_000;
/// What is missed for longer than this need not be recovered, in microseconds.
const RECOVERABLE: u64 = 60_000_000;

/// Whether a signal had to reach its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Yes.
    There,
    /// Its sessions were void by then.
    Void,
    /// It was away to the end, or is none of ours.
    Absent,
}

enum Change {
    Lost,
    Back { peer: PeerId, recovered: bool },
}

/// The connections of all clients.
#[derive(Default)]
pub struct Receivers {
    by_name: FnvHashMap<PeerId, Client>,
    names: FnvHashMap<Client, PeerId>,
    changes: FnvHashMap<Client, Vec<(u64, Change)>>,
}

impl Receivers {
    /// A client is connected.
    pub fn connected(&mut self, at: u64, client: Client, peer: PeerId, recovered: bool) {
        self.by_name.insert(peer, client);
        self.names.insert(client, peer);
        self.changes.entry(client).or_default().push((at, Change::Back { peer, recovered }));
    }

    /// A client is connected no more.
    pub fn lost(&mut self, at: u64, client: Client) {
        self.changes.entry(client).or_default().push((at, Change::Lost));
    }

    /// Who has, or had, this name.
    pub fn client(&self, peer: PeerId) -> Option<Client> {
        self.by_name.get(&peer).copied()
    }

    /// The name of a client now.
    pub fn name(&self, client: Client) -> Option<PeerId> {
        self.names.get(&client).copied()
    }

    /// Whether a signal to `to`, sent and acknowledged at these times, had to be seen.
    pub fn reach(&self, to: PeerId, (sent, acknowledged): (u64, u64)) -> Reach {
        let Some(changes) = self.client(to).and_then(|client| self.changes.get(&client)) else { return Reach::Absent };
        let mut away = None;
        for (at, change) in changes {
            match change {
                Change::Lost if *at > acknowledged + GRACE => return Reach::There,
                Change::Lost => away = Some(*at),
                Change::Back { peer, recovered } => {
                    let is_late = away.is_some_and(|since| *at > since + RECOVERABLE);
                    if *at > sent && (*peer != to || !recovered || is_late) {
                        return Reach::Void;
                    }
                    away = None;
                }
            }
        }
        if away.is_some() { Reach::Absent } else { Reach::There }
    }
}
