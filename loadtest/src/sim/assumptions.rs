//! What the simulator takes for granted, in one place, with where it comes from. Numbers of measurements are rounded;
//! where nobody has measured, the comment says "assumed". None was fitted to a result.

use std::ops::RangeInclusive;

use starling::domain::Nat;

/// Countries in the audience (assumed).
pub const COUNTRIES: usize = 30;
/// Autonomous systems in all, shared out by the size of the country, each country having [`LEAST_NETWORKS`] (assumed: of
/// 100,000 in the world, most are no access networks).
pub const NETWORKS: usize = 400;
/// Fewest in a country.
pub const LEAST_NETWORKS: usize = 4;
/// How uneven countries are: Zipf's law (assumed; the largest has a third of the audience). What is watched at home only has
/// more of it there, which makes locality easier.
pub const ZIPF_COUNTRIES: f64 = 1.2;
/// And the networks of one country: with 1.5 the largest has some 40 % of it, the first five three quarters, and two of its
/// viewers share one with a chance of 0.2, as the market shares of fixed broadband have it (about 0.17 in the US, 0.25 in
/// Germany and France, by the figures of regulators).
pub const ZIPF_NETWORKS: f64 = 1.5;
/// Every so many-th network of a country is one of mobile phones.
pub const MOBILE_EVERY: usize = 3;

/// Viewers in a mobile network, who do not upload: the client's `cellular` policy. A fifth to a third of the viewing time of
/// streamed video is on phones (Conviva, State of Streaming 2020-2022), and most of that on Wi-Fi: a tenth.
pub const CELLULAR: f64 = 0.1;

/// Kinds of NAT at home. That 64 % of peers are behind a NAT that hole punching works for, and some 10 to 15 % have none
/// that hinders, is what Halkes and Pouwelse found (UDP NAT and Firewall Puncturing in the Wild, 2011); that mapping is
/// endpoint-independent in 8 of 10 devices, Ford, Srisuresh and Kegel (2005, cited in RFC 5128).
pub const FIXED_NATS: [(Nat, f64); 4] = [(Nat::Open, 0.09), (Nat::Eim, 0.71), (Nat::Apdm, 0.15), (Nat::Blocked, 0.05)];
/// And of mobile carriers, where NATs that map by destination are usual (Richter et al.: A Multi-perspective Analysis of
/// Carrier-Grade NAT Deployment, IMC 2016, section 6).
pub const MOBILE_NATS: [(Nat, f64); 4] = [(Nat::Open, 0.04), (Nat::Eim, 0.46), (Nat::Apdm, 0.48), (Nat::Blocked, 0.02)];
/// Clients that do not find out before they join (assumed). Those whose UDP is blocked never do: all they see is that nobody
/// answers.
pub const UNKNOWN: f64 = 0.05;

/// What lets others in at a viewer's end. A device has one behaviour, so it is the same for all who try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// It lets in from any port of an address to which something was sent, or from anywhere (RFC 4787, section 5).
    Loose,
    /// It drops what comes from a port to which nothing was sent: who maps by destination does not get in.
    Strict,
    /// A firewall lets hardly any peer through.
    Walled,
}

/// The share of those who are strict, set with [`truth`].
pub const STRICT: f64 = 0.6;
/// Homes behind a firewall, and what is left of a chance at each such end (assumed).
pub const WALLED: (f64, f64) = (0.02, 0.1);

/// The true chance that two that are there, not full, and not behind firewalls get a link. It is not the server's table, and the
/// server does not know it. Together with what stands above and below it was set so that two random viewers behind NATs that let
/// UDP through meet in 7 of 10 attempts: 70 % (give or take 7.1) is what Trautwein et al. measured in 4.4 million attempts at
/// 85,000 networks (Challenging Tribal Knowledge: Large Scale Measurement Campaign on Decentralized NAT Traversal, 2025). Two
/// that map endpoint-independently meet by design (RFC 5128, section 3.3); against mapping by destination it depends on the
/// other side's filtering. What came of a pair once comes of it again: 97.6 % of the links there opened with the first attempt.
pub const fn truth(one: (Nat, Filter), other: (Nat, Filter)) -> f64 {
    use Filter::Strict;
    use Nat::{Apdm, Blocked, Eim, Open, Unknown};
    match (one, other) {
        ((Blocked | Unknown, _), _) | (_, (Blocked | Unknown, _)) => 0.0,
        ((Open, _), (Open, _)) => 0.99,
        ((Open | Eim, _), (Open | Eim, _)) => 0.98,
        ((Eim, Strict) | (Apdm, _), (Apdm, _)) | ((Apdm, _), (Eim, Strict)) => 0.03,
        ((Open | Eim, _), (Apdm, _)) | ((Apdm, _), (Open | Eim, _)) => 0.93,
    }
}
/// Networks, apart from the largest of each country, that filter UDP from strangers, and what is left of a chance at each
/// such end (assumed).
pub const FILTERED: (f64, f64) = (0.05, 0.3);
/// Pairs of networks between which it hardly ever works, whatever the reason (assumed).
pub const ODD_PAIRS: (f64, f64) = (0.02, 0.15);
/// Mobile networks whose NAT has no hairpin (RFC 4787, section 6), so that two of their own do not meet (assumed).
pub const NO_HAIRPIN: (f64, f64) = (0.4, 0.2);

/// The part of an uplink that a viewer's client uses, as a log-normal distribution: half of 26.6 Mbit/s, the median of fixed
/// lines in the US in 2023 (Ookla; in 2020 it was 11.86, and offload is 4 points less with that); DSL below 1 Mbit/s and fibre
/// of hundreds make the tails (FCC, Measuring Broadband America).
pub const UPLINK_KBPS: f64 = 13_000.0;
/// Of its logarithm.
pub const UPLINK_SIGMA: f64 = 1.0;
/// The client's own limits.
pub const UPLINK_RANGE: RangeInclusive<f64> = 200.0..=50_000.0;

/// What is watched, in kbit/s.
pub const BITRATE_KBPS: f32 = 3000.0;
/// Seconds of a segment: Apple's HLS authoring specification says 6, most players' live streams have 2 to 6.
pub const SEGMENT_S: u32 = 4;
/// How far behind the live edge viewers are, in seconds: three segments (RFC 8216, section 6.3.3) to what pauses and slow
/// starts add up to (assumed).
pub const DELAY_S: RangeInclusive<u32> = 12..=30;
/// Segments that a player takes from the CDN at once, to begin.
pub const AT_ONCE: u32 = 2;
/// So many seconds before it is played, a segment that is missing is taken from the CDN.
pub const SAFETY_S: u32 = 4;
/// Downloads from peers at a time, as in p2p-media-loader (`simultaneousP2PDownloads`).
pub const DOWNLOADS: usize = 3;
/// A transfer that brings nothing for so long is given up (there: `p2pNotReceivingBytesTimeoutMs`, 1 to 2 s).
pub const SILENT_S: u32 = 2;
/// One that is not done after so long too, and counts as one that took too long.
pub const SLOW_S: u32 = 10;
/// Most that an uploader serves at a time, and it says so; at least the bitrate for each, where it has that.
pub const MOST_SERVED: f32 = 8.0;
/// What one fetch from the CDN gets, in kbit/s: log-normal (assumed: 25 Mbit/s, with a slow one now and then).
pub const HTTP_KBPS: (f64, f64) = (25_000.0, 0.8);

/// A fifth are gone within a minute; the rest stay for times that are log-normal, as in live streams (Veloso et al.: A
/// Hierarchical Characterization of a Live Streaming Media Workload, 2002), with zapping as in IPTV (Cha et al.: Watching
/// Television over an IP Network, 2008).
pub const ZAPPERS: f64 = 0.2;
/// How long zappers stay.
pub const ZAP_S: RangeInclusive<f64> = 5.0..=60.0;
/// The median of the others, in seconds (assumed).
pub const STAY_S: f64 = 600.0;
/// Of its logarithm: between the 0.9 and 1.4 of those measurements.
pub const STAY_SIGMA: f64 = 1.1;
/// Those who are gone without a word: the laptop is closed, the network is away (assumed).
pub const VANISH: f64 = 0.3;

/// The share of the peak that comes in the flash crowd's minute, ...
pub const FLASH: f64 = 0.5;
/// ... and of these in its first second: a goal, or a push message.
pub const FLASH_FIRST_SECOND: f64 = 0.2;
/// The flash crowd begins after this share of the run.
pub const FLASH_AT: f64 = 1.0 / 3.0;

/// Offers or answers that get lost between browsers that stall, after all repeats (assumed).
pub const LOST: f64 = 0.005;
/// How long it takes until a link is open, in milliseconds.
pub const OPENS_MS: RangeInclusive<u32> = 400..=1600;
/// Until those who had a link to somebody who vanished notice: ICE's consent, and the client's grace (`session.ts`).
pub const NOTICED_MS: u32 = 12_000;

/// Addresses of a network at home, in /24s; and of a mobile one, where thousands share an address.
pub const PREFIXES: (u32, u32) = (200, 4);
