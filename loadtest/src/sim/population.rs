//! Who watches: where they are, what their network is like, when they come and go, and whether they play fair. Drawn from
//! a seed, so that every strategy meets the same people.

use std::net::{IpAddr, Ipv4Addr};

use rand::{RngExt, SeedableRng, distr::weighted::WeightedIndex, rngs::StdRng};
use rand_distr::{Distribution, Exp, LogNormal};
use starling::domain::{Nat, PeerId, Place};

use super::{
    Shape,
    assumptions::{
        AT_ONCE, CELLULAR, COUNTRIES, DELAY_S, FIXED_NATS, FLASH, FLASH_AT, FLASH_FIRST_SECOND, Filter, LEAST_NETWORKS,
        MOBILE_EVERY, MOBILE_NATS, NETWORKS, PREFIXES, SEGMENT_S, STAY_S, STAY_SIGMA, STRICT, UNKNOWN, UPLINK_KBPS,
        UPLINK_RANGE, UPLINK_SIGMA, VANISH, WALLED, ZAP_S, ZAPPERS, ZIPF_COUNTRIES, ZIPF_NETWORKS,
    },
};

/// Whether a viewer plays fair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It does.
    Fair,
    /// It takes and never gives.
    FreeRider,
    /// It praises its like and slanders the rest, claims to be the best, and sends garbage or nothing.
    Liar,
}

/// One viewer, from its arrival to its end.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Its number is in the first four bytes.
    pub id: PeerId,
    /// In milliseconds from the start.
    pub arrives: u32,
    /// In whole seconds from the start.
    pub leaves: u32,
    /// It leaves without a word.
    pub vanishes: bool,
    /// Its network, 0 to the number of networks, is also its AS number.
    pub network: u32,
    /// As a database would say.
    pub place: Place,
    /// As the gateway sees it.
    pub address: IpAddr,
    /// How its NAT behaves.
    pub nat: Nat,
    /// What lets others in.
    pub filter: Filter,
    /// What its client found out, or claims.
    pub said_nat: Nat,
    /// In a mobile network: it does not upload.
    pub is_cellular: bool,
    /// What it can upload.
    pub uplink_kbps: f32,
    /// Seconds behind the live edge.
    pub delay: u32,
    /// Whether it plays fair.
    pub conduct: Conduct,
}

impl Viewer {
    /// Whether anybody ever gets a byte from it.
    pub fn uploads(&self) -> bool {
        self.may_upload() && self.conduct == Conduct::Fair
    }

    /// Whether it says that it uploads.
    pub fn may_upload(&self) -> bool {
        !self.is_cellular
    }

    /// Seconds into the content, at a time in milliseconds. A stream that has run for an hour.
    pub fn playhead(&self, now: u32) -> f32 {
        now as f32 / 1000.0 + 3600.0 - self.delay as f32
    }

    /// The first segment that it plays, and the first that it need not have at once.
    pub fn begins(&self) -> (u32, u32) {
        let first = (self.arrives / 1000 + EARLIER).saturating_sub(self.delay) / SEGMENT_S;
        (first, first + AT_ONCE)
    }
}

/// Segments are counted from so many seconds before the start, so that those who come first are behind somebody too.
pub const EARLIER: u32 = 40;

/// The number of a viewer.
pub fn number(peer: PeerId) -> usize {
    let [a, b, c, d, ..] = *peer.as_bytes();
    u32::from_be_bytes([a, b, c, d]) as usize
}

/// Everybody.
#[derive(Debug)]
pub struct Population {
    /// In the order of arrival.
    pub viewers: Vec<Viewer>,
    /// Whether each network is a mobile one.
    pub is_mobile: Vec<bool>,
    /// Whether each network is the largest of its country.
    pub is_largest: Vec<bool>,
    /// When the flash crowd begins, in seconds.
    pub flash_at: u32,
}

impl Population {
    /// Draws everybody.
    pub fn new(shape: &Shape) -> Self {
        let mut rng = StdRng::seed_from_u64(shape.seed);
        let map = Map::new();
        let seconds = shape.minutes * 60;
        let flash_at = (f64::from(seconds) * FLASH_AT) as u32;
        let arrivals = arrivals(shape.viewers as f64, seconds, flash_at, &mut rng);
        let viewers = arrivals.iter().zip(0..).map(|(at, n)| map.viewer(n, *at, shape, &mut rng)).collect();
        let is_largest = (0..map.countries.len()).map(|n| n == 0 || map.countries[n] != map.countries[n - 1]).collect();
        Self { viewers, is_mobile: map.is_mobile, is_largest, flash_at }
    }
}

/// Countries and networks, with their weights.
struct Map {
    countries: Vec<[u8; 2]>,
    is_mobile: Vec<bool>,
    fixed: WeightedIndex<f64>,
    mobile: WeightedIndex<f64>,
}

impl Map {
    fn new() -> Self {
        let zipf = |rank: usize, uneven: f64| (rank as f64 + 1.0).powf(-uneven);
        let all: f64 = (0..COUNTRIES).map(|rank| zipf(rank, ZIPF_COUNTRIES)).sum();
        let (mut countries, mut is_mobile, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for country in 0..COUNTRIES {
            let share = zipf(country, ZIPF_COUNTRIES) / all;
            let beyond = NETWORKS - COUNTRIES * LEAST_NETWORKS;
            let networks = LEAST_NETWORKS + (beyond as f64 * share).round() as usize;
            let code = [b'A' + (country / 26) as u8, b'A' + (country % 26) as u8];
            for mobile in [false, true] {
                // The two kinds are markets of their own.
                let of_kind = (0..networks).filter(|n| (n % MOBILE_EVERY == 1) == mobile).count();
                let sum: f64 = (0..of_kind).map(|rank| zipf(rank, ZIPF_NETWORKS)).sum();
                for rank in 0..of_kind {
                    countries.push(code);
                    is_mobile.push(mobile);
                    weights.push(share * zipf(rank, ZIPF_NETWORKS) / sum);
                }
            }
        }
        let of = |mobile: bool| {
            let weights = weights.iter().zip(&is_mobile).map(|(weight, is)| if *is == mobile { *weight } else { 0.0 });
            WeightedIndex::new(weights).expect("there are networks of both kinds")
        };
        Self { fixed: of(false), mobile: of(true), countries, is_mobile }
    }

    fn viewer(&self, n: u32, arrives: u32, shape: &Shape, rng: &mut StdRng) -> Viewer {
        let mut id: [u8; 16] = rng.random();
        id[..4].copy_from_slice(&n.to_be_bytes());
        let is_cellular = rng.random_bool(CELLULAR);
        let network = if is_cellular { &self.mobile } else { &self.fixed }.sample(rng);
        let prefixes = if is_cellular { PREFIXES.1 } else { PREFIXES.0 };
        // 32.0.0.0 and what follows: a stretch of 256 prefixes for each network.
        let address = 32 << 24 | (network as u32) << 16 | rng.random_range(0..prefixes) << 8 | rng.random_range(1..255);
        let nat = pick(if is_cellular { &MOBILE_NATS } else { &FIXED_NATS }, rng);
        let filter = match rng.random::<f64>() {
            draw if draw < WALLED.0 => Filter::Walled,
            draw if draw < WALLED.0 + (1.0 - WALLED.0) * STRICT => Filter::Strict,
            _ => Filter::Loose,
        };
        let knows = !rng.random_bool(UNKNOWN);
        let uplink = LogNormal::new(UPLINK_KBPS.ln(), UPLINK_SIGMA).expect("a sigma above 0").sample(rng);
        let stays = stay(rng);
        let vanishes = rng.random_bool(VANISH);
        let delay = rng.random_range(DELAY_S);
        // Always drawn, so that the same people come whatever the shares are.
        let conduct = match rng.random::<f64>() {
            draw if draw < shape.liars => Conduct::Liar,
            draw if draw >= 1.0 - shape.free_riders => Conduct::FreeRider,
            _ => Conduct::Fair,
        };
        let said_nat = match conduct {
            Conduct::Liar => Nat::Open,
            _ if knows && nat != Nat::Blocked => nat,
            _ => Nat::Unknown,
        };
        Viewer {
            id: PeerId::from_bytes(id),
            arrives,
            leaves: (f64::from(arrives) / 1000.0 + stays).ceil() as u32,
            vanishes,
            network: network as u32,
            place: Place { asn: Some(network as u32 + 1), country: Some(self.countries[network]), pid: None },
            address: Ipv4Addr::from_bits(address).into(),
            nat,
            filter,
            said_nat,
            is_cellular: is_cellular && conduct != Conduct::Liar,
            uplink_kbps: uplink.clamp(*UPLINK_RANGE.start(), *UPLINK_RANGE.end()) as f32,
            delay,
            conduct,
        }
    }
}

fn pick(shares: &[(Nat, f64)], rng: &mut StdRng) -> Nat {
    let mut draw: f64 = rng.random();
    for (nat, share) in shares {
        if draw < *share {
            return *nat;
        }
        draw -= share;
    }
    shares[0].0
}

fn stay(rng: &mut StdRng) -> f64 {
    if rng.random_bool(ZAPPERS) {
        rng.random_range(ZAP_S)
    } else {
        LogNormal::new(STAY_S.ln(), STAY_SIGMA).expect("a sigma above 0").sample(rng)
    }
}

/// Times of arrival in milliseconds, in order: a Poisson process that fills half of the peak until the flash crowd comes, the
/// flash crowd, and a Poisson process that makes up for those who leave.
fn arrivals(peak: f64, seconds: u32, flash_at: u32, rng: &mut StdRng) -> Vec<u32> {
    // Those still there after a time are the rate times the mean of how long they have been there by then.
    const DRAWS: u32 = 20_000;
    let stays: Vec<f64> = (0..DRAWS).map(|_| stay(rng)).collect();
    let mean = |most: f64| stays.iter().map(|stay| stay.min(most)).sum::<f64>() / f64::from(DRAWS);
    let flash = f64::from(flash_at);
    let mut times = Vec::new();
    for (rate, from, to) in
        [(peak * (1.0 - FLASH) / mean(flash), 0.0, flash), (peak / mean(f64::INFINITY), flash, f64::from(seconds))]
    {
        let gaps = Exp::new(rate).expect("a rate above 0");
        let mut at = from + gaps.sample(rng);
        while at < to {
            times.push((at * 1000.0) as u32);
            at += gaps.sample(rng);
        }
    }
    let crowd = (peak * FLASH) as u32;
    let first = (f64::from(crowd) * FLASH_FIRST_SECOND) as u32;
    for n in 0..crowd {
        let within = if n < first { 0..1000 } else { 1000..60_000 };
        times.push(flash_at * 1000 + rng.random_range(within));
    }
    times.sort_unstable();
    times
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn population(seed: u64) -> Population {
        Population::new(&Shape { viewers: 4000, minutes: 9, seed, liars: 0.05, free_riders: 0.3 })
    }

    fn share(all: &Population, is: impl Fn(&Viewer) -> bool) -> f64 {
        all.viewers.iter().filter(|viewer| is(viewer)).count() as f64 / all.viewers.len() as f64
    }

    #[test]
    fn the_same_seed_brings_the_same_people_whoever_plays_fair() {
        let print = |all: &Population| format!("{:?}", all.viewers);
        assert_eq!(print(&population(1)), print(&population(1)));
        assert_ne!(print(&population(1)), print(&population(2)));
        let fair = Population::new(&Shape { viewers: 4000, minutes: 9, seed: 1, liars: 0.0, free_riders: 0.0 });
        assert!(fair.viewers.iter().zip(&population(1).viewers).all(|(one, other)| {
            (one.id, one.arrives, one.leaves, one.place, one.nat)
                == (other.id, other.arrives, other.leaves, other.place, other.nat)
        }));
        assert!(share(&fair, |viewer| viewer.conduct == Conduct::Fair) > 0.999);
    }

    #[test]
    fn people_are_as_the_assumptions_say() {
        let all = population(1);
        for (expected, found) in [
            (0.05, share(&all, |viewer| viewer.conduct == Conduct::Liar)),
            (0.3, share(&all, |viewer| viewer.conduct == Conduct::FreeRider)),
            (0.1 * 0.95, share(&all, |viewer| viewer.is_cellular)),
            (0.9 * 0.71 + 0.1 * 0.46, share(&all, |viewer| viewer.nat == Nat::Eim)),
            (0.02, share(&all, |viewer| viewer.filter == Filter::Walled)),
            (0.98 * 0.6, share(&all, |viewer| viewer.filter == Filter::Strict)),
            ((0.05 + 0.95 * 0.047) * 0.95, share(&all, |viewer| viewer.said_nat == Nat::Unknown)),
            (0.2 + 0.8 * 0.018, share(&all, |viewer| viewer.leaves - viewer.arrives / 1000 <= 61)),
        ] {
            assert!((expected - found).abs() < 0.03, "{expected} expected, {found} found");
        }
    }

    #[test]
    fn half_of_the_peak_comes_in_one_minute() {
        let all = population(1);
        let at = |second: u32| {
            all.viewers.iter().filter(|viewer| viewer.arrives < second * 1000 && viewer.leaves > second).count() as f64
        };
        assert!((at(all.flash_at) / 2000.0 - 1.0).abs() < 0.05, "{}", at(all.flash_at));
        for later in [60, 120, 300] {
            let there = at(all.flash_at + later);
            assert!((3300.0..4200.0).contains(&there), "{there} after {later} s");
        }
        assert!(at(all.flash_at + 1) - at(all.flash_at) > 370.0, "a fifth of the crowd in the first second");
    }

    #[test]
    fn a_few_networks_have_most_people() {
        let all = population(1);
        let mut sizes: BTreeMap<u32, f64> = BTreeMap::new();
        for viewer in &all.viewers {
            *sizes.entry(viewer.network).or_default() += 1.0 / all.viewers.len() as f64;
        }
        let same: f64 = sizes.values().map(|share| share * share).sum();
        assert!(all.is_mobile.len().abs_diff(NETWORKS) < 10, "{}", all.is_mobile.len());
        assert!((0.01..0.04).contains(&same), "two share a network with a chance of {same}");
    }
}
