use std::{
    fs,
    time::{Duration, SystemTime},
};

use metrics_exporter_prometheus::PrometheusRecorder;
use serde_json::json;
use tempfile::TempDir;

use super::{
    testing::{asns, countries, database},
    *,
};
use crate::{
    domain::{Pid, Whereabouts},
    telemetry,
};

const ASNS: &[(&str, u32)] =
    &[("::192.0.2.0/120", 64500), ("::198.51.100.0/120", 64501), ("2001:db8::/32", 64500), ("::127.0.0.0/104", 9)];
const COUNTRIES: &[(&str, &str)] = &[("::192.0.2.0/120", "DE"), ("2001:db8::/32", "FR")];
const MAP: &str = "[groups.home]\nasns = [64500]\n[groups.office]\nprefixes = [\"127.0.0.0/8\", \"198.51.100.7/32\"]";

/// Files in a folder of their own.
struct Files {
    folder: TempDir,
    recorder: PrometheusRecorder,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), recorder: telemetry::recorder() };
        files.put("asns.mmdb", &asns(ASNS));
        files.put("countries.mmdb", &countries(COUNTRIES));
        files.put("costs.toml", MAP.as_bytes());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes over a file, as a copy in place does, at a time of its own: those of a file system are coarse.
    fn put(&self, name: &str, bytes: &[u8]) {
        let modified =
            fs::metadata(self.path(name)).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        fs::write(self.path(name), bytes).unwrap();
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(modified + Duration::from_secs(1)).unwrap();
    }

    fn settings(&self) -> GeoSettings {
        GeoSettings {
            asn_database: Some(self.path("asns.mmdb")),
            country_database: Some(self.path("countries.mmdb")),
            cost_map: Some(self.path("costs.toml")),
        }
    }

    fn open(&self, settings: GeoSettings) -> anyhow::Result<Geo> {
        metrics::with_local_recorder(&self.recorder, || Geo::open(settings))
    }

    fn complaint(&self, settings: GeoSettings) -> String {
        format!("{:#}", self.open(settings).err().expect("this cannot be used"))
    }

    fn count(&self, series: &str) -> String {
        let rendered = self.recorder.handle().render();
        let line = rendered.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{rendered}"));
        line.trim().to_owned()
    }
}

fn place(geo: &Geo, address: &str) -> (Option<u32>, Option<String>, Option<String>) {
    let Place { asn, country, pid } = geo.place(Some(address.parse().unwrap()));
    let group = pid.map(|pid| geo.costs().name(pid).unwrap().to_owned());
    (asn, country.map(|letters| letters.map(char::from).iter().collect()), group)
}

fn placed(asn: u32, country: &str, group: &str) -> (Option<u32>, Option<String>, Option<String>) {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ((asn > 0).then_some(asn), text(country), text(group))
}

#[test]
fn an_address_has_a_network_a_country_and_a_group() {
    let files = Files::new();
    let geo = files.open(files.settings()).unwrap();
    for (address, expected) in [
        ("192.0.2.9", placed(64500, "DE", "home")),
        ("::ffff:192.0.2.9", placed(64500, "DE", "home")),
        ("198.51.100.9", placed(64501, "", "")),
        ("198.51.100.7", placed(64501, "", "office")),
        ("2001:db8::1", placed(64500, "FR", "home")),
        ("203.0.113.1", placed(0, "", "")),
        ("127.0.0.1", placed(0, "", "office")),
        ("::1", placed(0, "", "")),
    ] {
        assert_eq!(place(&geo, address), expected, "{address}");
    }
    assert_eq!(geo.place(None), Place::default());
    assert_eq!(geo.missing(), None);
}

#[test]
fn without_files_nothing_is_known_and_the_tiers_hold() {
    let files = Files::new();
    let geo = files.open(GeoSettings::default()).unwrap();
    geo.run_once();
    assert_eq!(geo.place(Some("192.0.2.9".parse().unwrap())), Place::default());
    let [one, other] = ["192.0.2.9", "192.0.3.9"].map(|address| Whereabouts {
        prefix: crate::domain::Prefix::telling(address.parse().unwrap()),
        ..Whereabouts::default()
    });
    let cost = |to| geo.costs().cost(&one, to).to_bits();
    assert_eq!((cost(&one), cost(&other)), (0_f32.to_bits(), 4_f32.to_bits()));
    assert_eq!(files.count(r#"starling_geo_reloads_total{file="cost_map"}"#), "0");
}

#[test]
fn other_vendors_spell_it_differently() {
    let files = Files::new();
    let ours = [("::192.0.2.0/120", json!({ "asn": "AS64500", "country": "Germany", "country_code": "DE" }))];
    files.put("ours.mmdb", &database("ipinfo", &ours));
    let theirs = [("::192.0.2.0/120", json!({ "registered_country": { "iso_code": "AT" } }))];
    files.put("theirs.mmdb", &database("Other-City", &theirs));
    let settings = |asns: &str, countries: &str| GeoSettings {
        asn_database: Some(files.path(asns)),
        country_database: Some(files.path(countries)),
        cost_map: None,
    };
    let geo = files.open(settings("ours.mmdb", "ours.mmdb")).unwrap();
    assert_eq!(place(&geo, "192.0.2.1"), placed(64500, "DE", ""));
    let geo = files.open(settings("ours.mmdb", "theirs.mmdb")).unwrap();
    assert_eq!(place(&geo, "192.0.2.1"), placed(64500, "AT", ""));
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_setting_and_the_reason() {
    let files = Files::new();
    let whole = asns(ASNS);
    files.put("half.mmdb", &whole[..whole.len() / 2]);
    files.put("empty", b"");
    files.put("bits.toml", b"[groups.x]\nprefixes = [\"10.0.0.1/8\"]");
    files.put("binary.toml", &[0xff, 0xfe]);
    fs::File::create(files.path("large.toml")).unwrap().set_len(MAX_MAP + 1).unwrap();
    let mut scrambled = whole.clone();
    scrambled[..40].fill(0x7f);
    files.put("scrambled.mmdb", &scrambled);
    let with = |change: fn(&mut GeoSettings, PathBuf), name: &str| {
        let mut settings = files.settings();
        change(&mut settings, files.path(name));
        files.complaint(settings)
    };
    let as_asns = |settings: &mut GeoSettings, path| settings.asn_database = Some(path);
    let as_countries = |settings: &mut GeoSettings, path| settings.country_database = Some(path);
    let as_map = |settings: &mut GeoSettings, path| settings.cost_map = Some(path);
    for (complaint, setting, reason) in [
        (with(as_asns, "nowhere"), "geo.asn_database: ", "cannot be opened"),
        (with(as_asns, "half.mmdb"), "geo.asn_database: ", "nvalid database"),
        (with(as_asns, "scrambled.mmdb"), "geo.asn_database: ", "nvalid database"),
        (with(as_asns, "empty"), "geo.asn_database: ", "cannot be used"),
        (with(as_asns, "countries.mmdb"), "geo.asn_database: ", "(Test-Country) has no autonomous systems"),
        (with(as_countries, "asns.mmdb"), "geo.country_database: ", "(Test-ASN) has no countries"),
        (with(as_countries, ""), "geo.country_database: ", "cannot be read"),
        (with(as_map, "bits.toml"), "geo.cost_map: ", "write 10.0.0.0/8"),
        (with(as_map, "binary.toml"), "geo.cost_map: ", "UTF-8"),
        (with(as_map, "large.toml"), "geo.cost_map: ", "larger than 16 MiB"),
        (with(as_map, "nowhere.json"), "geo.cost_map: ", "nowhere.json"),
    ] {
        assert!(complaint.starts_with(setting) && complaint.contains(reason), "{setting} {reason} not in: {complaint}");
    }
    let complaint = files.complaint(GeoSettings { asn_database: None, ..files.settings() });
    assert!(complaint.contains("without geo.asn_database"), "{complaint}");
}

#[test]
fn files_that_change_are_read_again_once_they_stand_still_and_broken_ones_are_not_used() {
    let files = Files::new();
    let geo = files.open(files.settings()).unwrap();
    let series = |name: &str, file: &str| files.count(&format!(r#"starling_geo_{name}{{file="{file}"}}"#));
    let network = |asn| asns(&[("::192.0.2.0/120", asn)]);
    geo.run_once();
    assert_eq!(series("reloads_total", "asn_database"), "0");

    files.put("asns.mmdb", &network(7));
    geo.run_once();
    assert_eq!(geo.place(Some("192.0.2.9".parse().unwrap())).asn, Some(64500), "it may be half written");
    geo.run_once();
    geo.run_once();
    assert_eq!(geo.place(Some("192.0.2.9".parse().unwrap())).asn, Some(7));
    assert_eq!((series("reloads_total", "asn_database"), geo.missing()), ("1".to_owned(), None));

    let whole = network(8);
    files.put("asns.mmdb", &whole[..whole.len() / 2]);
    files.put("costs.toml", b"[groups.x]\nprefixes = [\"10.0.0.1/8\"]");
    fs::remove_file(files.path("countries.mmdb")).unwrap();
    for _ in 0..4 {
        geo.run_once();
    }
    assert_eq!(place(&geo, "192.0.2.9"), placed(7, "DE", ""), "what was read before counts");
    assert_eq!(geo.place(Some("127.0.0.1".parse().unwrap())).pid, Some(Pid::named("office")));
    for file in ["asn_database", "country_database", "cost_map"] {
        assert_eq!(series("reload_failures_total", file), "1", "each said once");
        assert!(geo.missing().unwrap().contains(&format!("{file}: ")), "{:?}", geo.missing());
    }

    // Renamed into place, with the rest of it and times of long ago.
    files.put("next.mmdb", &whole);
    fs::rename(files.path("next.mmdb"), files.path("asns.mmdb")).unwrap();
    files.put("countries.mmdb", &countries(&[("::192.0.2.0/120", "IT")]));
    files.put("costs.toml", b"[groups.x]\nasns = [8]");
    geo.run_once();
    geo.run_once();
    assert_eq!((place(&geo, "192.0.2.9"), geo.missing()), (placed(8, "IT", "x"), None));
    assert_eq!(series("reloads_total", "asn_database"), "2");
    assert_ne!(series("file_age_seconds", "asn_database"), "0");
}

#[tokio::test(start_paused = true)]
async fn the_loop_reads_what_changed_and_stops_when_told() {
    let files = Files::new();
    let geo = Arc::new(files.open(files.settings()).unwrap());
    let stop = CancellationToken::new();
    let running = tokio::spawn(geo.clone().run(stop.clone()));
    files.put("costs.toml", b"[groups.new]\nprefixes = [\"192.0.2.0/24\"]");
    let new = Some(Pid::named("new"));
    while geo.place(Some("192.0.2.9".parse().unwrap())).pid != new {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    stop.cancel();
    running.await.unwrap();
}
