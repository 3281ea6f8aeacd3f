//! How viewers get their segments: from a linked peer that has it and is not busy, the better ones first; from the CDN when
//! that comes to nothing in time, or when somebody has to be the first. After p2p-media-loader, with upload slots as
//! clients of torrents have them. In steps of a second.

use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use rand_distr::{Distribution, LogNormal};

use super::{
    assumptions::{BITRATE_KBPS, DOWNLOADS, HTTP_KBPS, MOST_SERVED, SAFETY_S, SEGMENT_S, SILENT_S, SLOW_S},
    outcome::Outcome,
    population::{Conduct, EARLIER, Population, Viewer},
    viewers::{Client, Session},
};

/// A segment, in kbit.
const SEGMENT: f32 = BITRATE_KBPS * SEGMENT_S as f32;
/// Fetches from the CDN at a time, those of the start and the urgent ones apart.
const FETCHES: usize = 2;
/// Whoever was slower than this is hardly asked any more, ...
const USELESS: f32 = BITRATE_KBPS / 10.0;
/// ... but with this chance each time.
const SECOND_CHANCE: f64 = 0.02;
/// How much a transfer changes what is thought of a link; and what is left after one that came to nothing, or was wrong.
const NEW_WEIGHS: f32 = 0.3;
const AFTER_TIMEOUT: f32 = 0.3;
const AFTER_BAD: f32 = 0.05;

#[derive(Clone, Debug)]
struct Download {
    segment: u32,
    from: u32,
    left: f32,
    began: u32,
}

#[derive(Clone, Debug, Default)]
struct Player {
    downloads: Vec<Download>,
    // Segments that come from the CDN, and when they are there, in milliseconds.
    fetches: Vec<(u32, u32)>,
    has_begun: bool,
    first_byte: Option<u32>,
    sent: f64,
}

/// Everybody's players.
#[derive(Debug)]
pub struct Exchange {
    // The last 64 segments, each at its number modulo 64.
    have: Vec<u64>,
    serving: Vec<u16>,
    players: Vec<Player>,
    http: LogNormal<f64>,
}

/// What a step works with.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Everybody.
    pub viewers: &'a [Viewer],
    /// Their clients.
    pub clients: &'a mut [Client],
    /// What came of it.
    pub outcome: &'a mut Outcome,
    /// Chance.
    pub rng: &'a mut StdRng,
    /// Seconds from the start.
    pub now: u32,
}

fn bit(segment: u32) -> u64 {
    1 << (segment % 64)
}

/// When somebody plays a segment, in seconds from the start. May be a little below 0.
fn played_at(viewer: &Viewer, segment: u32) -> i64 {
    i64::from(segment * SEGMENT_S + viewer.delay) - i64::from(EARLIER)
}

/// How many an uploader serves at a time.
fn slots(viewer: &Viewer) -> u16 {
    (viewer.uplink_kbps / BITRATE_KBPS).clamp(1.0, MOST_SERVED) as u16
}

impl Exchange {
    /// Nobody has anything.
    pub fn new(population: &Population) -> Self {
        let all = population.viewers.len();
        let http = LogNormal::new(HTTP_KBPS.0.ln(), HTTP_KBPS.1).expect("a sigma above 0");
        Self { have: vec![0; all], serving: vec![0; all], players: vec![Player::default(); all], http }
    }

    /// Seconds from arrival to the first byte from a peer.
    pub fn first_byte(&self, viewer: usize) -> Option<u32> {
        self.players[viewer].first_byte
    }

    /// What it sent, in kbit.
    pub fn sent(&self, viewer: usize) -> f64 {
        self.players[viewer].sent
    }

    /// Spare uplink, as a share of what one more would want.
    pub fn spare(&self, viewer: &Viewer, number: u32) -> f64 {
        f64::from(viewer.uplink_kbps / (BITRATE_KBPS * (f32::from(self.serving[number as usize]) + 1.0))).min(1.0)
    }

    /// It is gone.
    pub fn leave(&mut self, viewer: u32) {
        self.players[viewer as usize].downloads = Vec::new();
        self.players[viewer as usize].fetches = Vec::new();
        self.have[viewer as usize] = 0;
    }

    /// A second.
    pub fn step(&mut self, here: &mut [u32], scene: &mut Scene<'_>) {
        let time = scene.now + EARLIER;
        if time.is_multiple_of(SEGMENT_S) {
            for have in &mut self.have {
                *have &= !bit(time / SEGMENT_S);
            }
        }
        self.serving.fill(0);
        for viewer in here.iter() {
            for download in &self.players[*viewer as usize].downloads {
                self.serving[download.from as usize] += 1;
            }
        }
        // Nobody is always the first to ask.
        here.shuffle(scene.rng);
        for viewer in here.iter() {
            self.play(*viewer, scene);
        }
        for viewer in here.iter() {
            self.receive(*viewer, scene);
        }
    }

    /// Takes what came from the CDN, and asks for what is missing.
    fn play(&mut self, number: u32, scene: &mut Scene<'_>) {
        let at = number as usize;
        let viewer = &scene.viewers[at];
        let now_ms = scene.now * 1000;
        self.take_fetched(at, viewer, now_ms, scene.outcome);
        let (first, at_ease) = viewer.begins();
        if !std::mem::replace(&mut self.players[at].has_begun, true) {
            for segment in first..at_ease {
                self.fetch(at, segment, now_ms, scene);
            }
        }
        let time = scene.now + EARLIER;
        let newest = time / SEGMENT_S;
        let next = (time.saturating_sub(viewer.delay) / SEGMENT_S + 1).max(at_ease);
        let links: Vec<(u32, f32, u64)> =
            scene.clients[at].links().map(|link| self.offer(link, scene.viewers)).collect();
        for segment in next..=newest {
            let Player { downloads, fetches, .. } = &mut self.players[at];
            if self.have[at] & bit(segment) != 0 || fetches.iter().any(|(fetched, _)| *fetched == segment) {
                continue;
            }
            let left = played_at(viewer, segment) - i64::from(scene.now);
            let under_way = downloads.iter().position(|download| download.segment == segment);
            if left <= i64::from(SAFETY_S) {
                if let Some(place) = under_way {
                    let Download { from, began, .. } = downloads.swap_remove(place);
                    self.serving[from as usize] -= 1;
                    if scene.now - began >= SEGMENT_S {
                        timed_out(&mut scene.clients[at], from);
                    }
                }
                self.fetch(at, segment, now_ms, scene);
                continue;
            }
            if under_way.is_some() {
                continue;
            }
            let is_trusted =
                |(_, quality, offered): &(u32, f32, u64)| *quality >= USELESS && offered & bit(segment) != 0;
            if !links.iter().any(is_trusted) {
                // Somebody has to be the first: one of the neighbours in a second or two, as p2p-media-loader does.
                let room = self.players[at].fetches.len() < FETCHES && !links.is_empty();
                if room && scene.rng.random_bool(1.0 / (links.len() as f64 + 1.0)) {
                    self.fetch(at, segment, now_ms, scene);
                    continue;
                }
            }
            if self.players[at].downloads.len() < DOWNLOADS {
                self.request(at, segment, &links, scene);
            }
        }
    }

    /// What is on offer at the other end of a link.
    fn offer(&self, link: &Session, viewers: &[Viewer]) -> (u32, f32, u64) {
        let other = &viewers[link.with as usize];
        let offered = match other.conduct {
            Conduct::Liar => u64::MAX,
            _ if other.may_upload() => self.have[link.with as usize],
            _ => 0,
        };
        (link.with, link.quality, offered)
    }

    /// Asks one of those who have it and are not busy, by how well they did.
    fn request(&mut self, at: usize, segment: u32, links: &[(u32, f32, u64)], scene: &mut Scene<'_>) {
        let mut chosen = None;
        let mut sum = 0.0;
        for (with, quality, offered) in links {
            let other = &scene.viewers[*with as usize];
            let is_asked = self.players[at].downloads.iter().any(|download| download.from == *with);
            let is_busy = other.uploads() && self.serving[*with as usize] >= slots(other);
            if offered & bit(segment) == 0 || is_asked || is_busy {
                continue;
            }
            if *quality < USELESS && !scene.rng.random_bool(SECOND_CHANCE) {
                continue;
            }
            // One of all so far, each by its weight.
            sum += quality;
            if scene.rng.random_range(0.0..sum) < *quality {
                chosen = Some(*with);
            }
        }
        if let Some(from) = chosen {
            self.serving[from as usize] += 1;
            self.players[at].downloads.push(Download { segment, from, left: SEGMENT, began: scene.now });
        }
    }

    fn fetch(&mut self, at: usize, segment: u32, now_ms: u32, scene: &mut Scene<'_>) {
        let kbps = self.http.sample(scene.rng);
        let takes = (f64::from(SEGMENT) / kbps * 1000.0) as u32;
        self.players[at].fetches.push((segment, now_ms + takes));
        scene.outcome.http += f64::from(SEGMENT);
        if let Some(second) = scene.outcome.http_by_second.get_mut(scene.now as usize) {
            *second += f64::from(SEGMENT);
        }
    }

    fn take_fetched(&mut self, at: usize, viewer: &Viewer, now_ms: u32, outcome: &mut Outcome) {
        let at_ease = viewer.begins().1;
        let have = &mut self.have[at];
        self.players[at].fetches.retain(|(segment, done)| {
            let is_done = *done <= now_ms;
            if is_done {
                *have |= bit(*segment);
                if *segment >= at_ease {
                    outcome.segments += 1;
                    outcome.late += u64::from(i64::from(*done) > played_at(viewer, *segment) * 1000);
                }
            }
            !is_done
        });
    }

    /// Bytes come from peers.
    fn receive(&mut self, number: u32, scene: &mut Scene<'_>) {
        let at = number as usize;
        let mut downloads = std::mem::take(&mut self.players[at].downloads);
        downloads.retain_mut(|download| self.go_on(at, download, scene));
        self.players[at].downloads = downloads;
    }

    /// One second of a download. Says whether it goes on.
    fn go_on(&mut self, at: usize, download: &mut Download, scene: &mut Scene<'_>) -> bool {
        let from = download.from as usize;
        let elapsed = scene.now + 1 - download.began;
        let other = &scene.viewers[from];
        let client = &mut scene.clients[at];
        if client.session(download.from).is_none() {
            return false; // the link is closed
        }
        if other.conduct == Conduct::Liar && !download.segment.is_multiple_of(2) {
            client.receipts.note(download.from, |receipt| receipt.bad += 1);
            spoil(client, download.from, AFTER_BAD);
            return false;
        }
        // Whoever vanished sends nothing, and has no entry to tell by.
        let sends = other.uploads() && other.leaves > scene.now;
        if !sends {
            if elapsed >= SILENT_S {
                timed_out(client, download.from);
            }
            return elapsed < SILENT_S;
        }
        let kbps = other.uplink_kbps / f32::from(self.serving[from].max(1));
        let got = kbps.min(download.left);
        let player = &mut self.players[at];
        player.first_byte.get_or_insert(scene.now - scene.viewers[at].arrives / 1000);
        self.players[from].sent += f64::from(got);
        download.left -= got;
        if download.left > 0.0 {
            if elapsed >= SLOW_S {
                timed_out(client, download.from);
            }
            return elapsed < SLOW_S;
        }
        let ms = ((elapsed - 1) as f32 + got / kbps) * 1000.0;
        self.have[at] |= bit(download.segment);
        scene.outcome.segments += 1;
        scene.outcome.p2p += f64::from(SEGMENT);
        if other.network != scene.viewers[at].network {
            scene.outcome.cross_as += f64::from(SEGMENT);
        }
        client.receipts.note(download.from, |receipt| {
            receipt.ok += 1;
            receipt.bytes += (SEGMENT * 1000.0 / 8.0) as u64;
            receipt.busy_ms += ms as u64;
        });
        if let Some(link) = client.session(download.from) {
            link.quality += (SEGMENT / ms * 1000.0 - link.quality) * NEW_WEIGHS;
        }
        false
    }
}

fn timed_out(client: &mut Client, from: u32) {
    client.receipts.note(from, |receipt| receipt.timeout += 1);
    spoil(client, from, AFTER_TIMEOUT);
}

fn spoil(client: &mut Client, from: u32, left: f32) {
    if let Some(link) = client.session(from) {
        link.quality *= left;
    }
}
