//! A peer as a page is one: joins, asks for lists, offers, answers, repeats, and drops what it has seen. It has no socket
//! and no clock of its own: lines go in, lines come out.

mod hearing;
mod sending;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use fnv::FnvHashMap;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use starling::domain::PeerId;

use crate::{
    history::{Client, End, Log, What},
    sdp::Descriptions,
    session::Session,
    wire::{List, Welcome},
};

/// Between two looks at what has been forgotten, in microseconds.
const SWEEP: u64 = 5_000_000;
/// How many sweeps make a sign of life.
const SWEEPS_PER_SIGN: u32 = 4;
/// How many sweeps tickets are used for: below half of their 10 min.
const SWEEPS_PER_TICKET: u32 = 48;
/// Sessions are remembered for longer than an inbox's history, in microseconds.
const REMEMBERED: u64 = 75_000_000;

/// How all peers of a run behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Offers in a call, each to another receiver.
    pub fan: usize,
    /// Whether answers are published instead of being sent in a call.
    pub publishes: bool,
    /// Candidates per side that are found one by one.
    pub trickle: usize,
    /// How long candidates are gathered into a description, in milliseconds.
    pub gather_ms: u64,
    /// Whether a session ends with a bye.
    pub byes: bool,
    /// Microseconds between two planned calls of a peer that offers; `None`: the next follows the last answer.
    pub interval: Option<u64>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Clients connect and find each other.
    Meeting,
    /// They offer.
    Running,
    /// What is open is brought to an end.
    Draining,
}

/// What all peers of a run share.
pub struct Shared {
    /// What happens is kept here.
    pub log: Log,
    /// Writes descriptions.
    pub descriptions: Descriptions,
    /// How peers behave.
    pub behaviour: Behaviour,
    /// Peers that have found everybody they need.
    pub ready: AtomicUsize,
    /// Sessions without an end, and calls without an answer.
    pub open: AtomicI64,
    /// Calls that were sent more than 20 ms after they were planned.
    pub late: AtomicU64,
    /// The most that a call was late, in microseconds.
    pub latest: AtomicU64,
    /// Calls that were planned for a time when their peer was not connected or knew nobody.
    pub skipped: AtomicU64,
    /// Publications that came, apart from those that were recovered, ...
    pub deliveries: AtomicU64,
    /// ... and the bytes of their lines.
    pub delivered_bytes: AtomicU64,
}

/// What a peer is there for.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// It offers.
    pub offers: bool,
    /// It is listed, and answers.
    pub answers: bool,
}

struct Partner {
    peer: PeerId,
    ticket: Box<str>,
    fresh: bool,
}

enum Call {
    List,
    Signals(Vec<(u64, u32)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Plan,
    Describe(u64),
    Candidate(u64),
    Bye(u64),
    Send(u64, u32),
    Repeat(u64, u8),
    Lists,
    Sweep,
}

/// A peer.
pub struct Peer {
    shared: Arc<Shared>,
    number: Client,
    role: Role,
    swarm: Arc<str>,
    phase: Phase,
    connected: bool,
    /// Since when it is connected, or was.
    since: u64,
    me: Option<PeerId>,
    resume: Box<str>,
    epoch: Box<str>,
    offset: u64,
    heard: u64,
    silence: u64,
    is_ready: bool,
    partners: Vec<Partner>,
    turn: usize,
    sessions: FnvHashMap<u64, Session>,
    open: usize,
    calls: FnvHashMap<u32, (u64, Call)>,
    next_call: u32,
    sweeps: u32,
    timers: BinaryHeap<Reverse<(u64, Timer)>>,
    pending: Vec<(u64, u32)>,
    out: Vec<String>,
    rng: SmallRng,
}

impl Peer {
    /// A peer that is not connected yet.
    pub fn new(shared: Arc<Shared>, number: Client, role: Role, swarm: Arc<str>, seed: u64) -> Self {
        Self {
            shared,
            number,
            role,
            swarm,
            phase: Phase::Meeting,
            connected: false,
            since: 0,
            me: None,
            resume: "".into(),
            epoch: "".into(),
            offset: 0,
            heard: 0,
            silence: 35_000_000,
            is_ready: false,
            partners: Vec::new(),
            turn: usize::try_from(number).unwrap_or(0),
            sessions: FnvHashMap::default(),
            open: 0,
            calls: FnvHashMap::default(),
            next_call: 1,
            sweeps: 0,
            timers: BinaryHeap::new(),
            pending: Vec::new(),
            out: Vec::new(),
            rng: SmallRng::seed_from_u64(crate::sdp::mix(seed) ^ u64::from(number)),
        }
    }

    /// What all peers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The connect command; with what is needed to go on where the last connection ended.
    pub fn hello(&self, token: &str) -> String {
        let mut line = format!("{{\"id\":1,\"connect\":{{\"data\":{{\"v\":1,\"token\":\"{token}\"");
        if let Some(me) = self.me {
            let Self { resume, epoch, offset, .. } = self;
            let _ = write!(
                line,
                ",\"resume\":\"{resume}\"}},\"subs\":{{\"inbox:{me}\":{{\"recover\":true,\"epoch\":\"{epoch}\",\
                 \"offset\":{offset}}}}}}}}}"
            );
        } else {
            line.push_str("}}}");
        }
        line
    }

    /// The gateway let it in.
    pub fn welcome(&mut self, welcome: &Welcome<'_>) -> anyhow::Result<()> {
        let me = PeerId::parse(welcome.data.peer)?;
        let Some((_, inbox)) = welcome.subs.iter().next() else {
            anyhow::bail!("the gateway did not subscribe the client to its inbox");
        };
        let is_same = self.me == Some(me);
        let recovered = is_same && inbox.recovered;
        self.shared.log.add(self.number, What::Connected { peer: me, recovered });
        self.heard = self.shared.log.now();
        self.silence = (welcome.ping + 10) * 1_000_000;
        if self.me.is_some() && !recovered {
            self.void(is_same);
        }
        self.connected = true;
        self.since = self.heard;
        self.me = Some(me);
        self.resume = welcome.data.resume.into();
        self.epoch = inbox.epoch.into();
        if !recovered {
            self.offset = inbox.offset;
        }
        for publication in &inbox.publications {
            self.delivery(publication, true);
        }
        self.offset = self.offset.max(inbox.offset);
        for (id, session) in &self.sessions {
            if !(session.is_ours && session.ended.is_some_and(|how| how != End::Linked)) {
                self.pending.extend(session.unacknowledged().map(|seq| (*id, seq)));
            }
        }
        self.pending.sort_unstable();
        self.pending.dedup();
        self.join();
        self.flush();
        if self.timers.is_empty() {
            let first = self.rng.random_range(0..SWEEP);
            self.after(SWEEP + first, Timer::Sweep);
        }
        Ok(())
    }

    /// The connection ended.
    pub fn lost(&mut self) {
        if !std::mem::take(&mut self.connected) {
            return;
        }
        self.out.clear();
        self.shared.log.add(self.number, What::Lost);
        for (call, (_, kind)) in std::mem::take(&mut self.calls) {
            self.unknown(call, kind);
        }
    }

    /// The run goes on.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        if phase == Phase::Running && self.role.offers {
            match self.shared.behaviour.interval {
                None => self.next_round(),
                Some(interval) => {
                    let first = self.rng.random_range(0..interval.max(1));
                    self.after(first, Timer::Plan);
                }
            }
        }
        self.flush();
    }

    /// Lines to be sent now.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out)
    }

    /// When [`Peer::wake`] is to be called.
    pub fn due(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// The gateway gave a sign of life.
    pub fn pinged(&mut self) {
        self.heard = self.shared.log.now();
    }

    /// Whether the gateway has been silent for too long.
    pub fn is_deaf(&self) -> bool {
        self.connected && self.shared.log.now() > self.heard + self.silence
    }

    /// Everything that was missed is missed for good: sessions that are no links begin anew. Under another name tickets
    /// are void too.
    fn void(&mut self, is_same: bool) {
        let ours = self.sessions.iter().filter(|(_, session)| session.is_ours && session.ended.is_none());
        for session in ours.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(session, End::Void);
        }
        if !is_same {
            self.sessions.clear();
            self.pending.clear();
            self.partners.clear();
        }
        let sessions = &self.sessions;
        self.pending.retain(|(id, _)| sessions.get(id).is_some_and(|session| !session.is_ours));
    }

    fn join(&mut self) {
        let listed = self.role.answers;
        let want = if self.role.offers { 16 } else { 0 };
        self.list("join", format!("\"want\":{want},\"upload\":{listed}"));
    }

    fn ask(&mut self, want: u8) {
        let mut rest = format!("\"want\":{want},\"exclude\":[");
        for (n, partner) in self.partners.iter().filter(|partner| partner.fresh).take(64).enumerate() {
            let _ = write!(rest, "{}\"{}\"", if n == 0 { "" } else { "," }, partner.peer);
        }
        rest.push(']');
        self.list("peers", rest);
    }

    fn list(&mut self, method: &str, rest: String) {
        let id = self.call(Call::List);
        let swarm = &self.swarm;
        let line =
            format!("{{\"id\":{id},\"rpc\":{{\"method\":\"{method}\",\"data\":{{\"swarm\":\"{swarm}\",{rest}}}}}}}");
        self.out.push(line);
    }

    /// A list came.
    fn listed(&mut self, list: &List<'_>) {
        for entry in &list.peers {
            let Ok(peer) = PeerId::parse(entry.peer) else { continue };
            let ticket: Box<str> = entry.ticket.into();
            match self.partners.iter_mut().find(|partner| partner.peer == peer) {
                Some(partner) => (partner.ticket, partner.fresh) = (ticket, true),
                None => self.partners.push(Partner { peer, ticket, fresh: true }),
            }
        }
        if list.joined == Some(false) {
            self.join();
        }
        let fresh = self.partners.iter().filter(|partner| partner.fresh).count();
        if self.role.offers && fresh < self.shared.behaviour.fan {
            let pause = self.rng.random_range(50_000..400_000);
            self.after(pause, Timer::Lists);
        } else {
            if !std::mem::replace(&mut self.is_ready, true) {
                self.shared.ready.fetch_add(1, Relaxed);
            }
            self.next_round();
        }
    }

    /// Now and then: gives up on calls, forgets old sessions, gives a sign of life, renews tickets.
    fn sweep(&mut self) {
        self.after(SWEEP, Timer::Sweep);
        self.sweeps += 1;
        let now = self.shared.log.now();
        let is_open = |session: &Session| session.is_ours && session.ended.is_none();
        self.sessions.retain(|_, session| session.began + REMEMBERED > now || is_open(session));
        let silent = self.calls.iter().filter(|(_, (sent, _))| sent + SWEEP < now).map(|(id, _)| *id);
        for id in silent.collect::<Vec<_>>() {
            if let Some((_, call)) = self.calls.remove(&id) {
                self.unknown(id, call);
            }
        }
        if self.connected && self.role.offers && self.sweeps.is_multiple_of(SWEEPS_PER_TICKET) {
            self.partners.iter_mut().for_each(|partner| partner.fresh = false);
            self.ask(16);
        } else if self.connected && self.sweeps.is_multiple_of(SWEEPS_PER_SIGN) {
            self.ask(0);
        }
    }

    fn after(&mut self, micros: u64, timer: Timer) {
        self.timers.push(Reverse((self.shared.log.now() + micros, timer)));
    }

    fn call(&mut self, call: Call) -> u32 {
        self.next_call += 1;
        self.calls.insert(self.next_call, (self.shared.log.now(), call));
        self.next_call
    }
}
