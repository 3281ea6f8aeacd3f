//! Where an address is: by databases of networks and countries in `MaxMind`'s format, and by the operator's cost map. What
//! a peer says of itself never counts. Files that change are read again while we run.

mod database;
mod file;
mod map;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{bail, ensure};
use tokio_util::sync::CancellationToken;

use self::{
    database::Database,
    file::{File, Kind},
};
use crate::domain::{CostMap, Place};

/// How often files are looked at. A file that changed is read when it was the same at two looks, so that one which is
/// being written is left alone.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Largest database: those of cities have 130 MB.
const MAX_DATABASE: u64 = 1 << 30;
/// Largest cost map.
const MAX_MAP: u64 = 16 << 20;

/// Which files there are.
#[derive(Clone, Debug, Default)]
pub struct GeoSettings {
    /// Networks by address.
    pub asn_database: Option<PathBuf>,
    /// Countries by address.
    pub country_database: Option<PathBuf>,
    /// The operator's map: TOML, or ALTO where its name ends in `.json`.
    pub cost_map: Option<PathBuf>,
}

/// What is known of addresses.
pub struct Geo {
    asns: Option<File<Database>>,
    countries: Option<File<Database>>,
    map: Option<File<CostMap>>,
    none: Arc<CostMap>,
}

impl Geo {
    /// Reads all files; says which setting's file cannot be used, and why.
    pub fn open(settings: GeoSettings) -> anyhow::Result<Self> {
        let GeoSettings { asn_database, country_database, cost_map } = settings;
        let has_asns = asn_database.is_some();
        let read_map = move |path: &Path, bytes: Vec<u8>| read_map(path, &bytes, has_asns);
        Ok(Self {
            asns: File::open(Kind::Asn, asn_database, MAX_DATABASE, |_, bytes| Database::of_asns(bytes))?,
            countries: File::open(Kind::Country, country_database, MAX_DATABASE, |_, bytes| {
                Database::of_countries(bytes)
            })?,
            map: File::open(Kind::CostMap, cost_map, MAX_MAP, read_map)?,
            none: Arc::default(),
        })
    }

    /// Where an address is, as far as is known. Of loopback only the map tells anything.
    pub fn place(&self, address: Option<IpAddr>) -> Place {
        let Some(address) = address.map(|address| address.to_canonical()) else { return Place::default() };
        let tells = !address.is_loopback();
        let asn = self.asns.as_ref().filter(|_| tells).and_then(|file| file.get().asn(address));
        let country = self.countries.as_ref().filter(|_| tells).and_then(|file| file.get().country(address));
        Place { asn, country, pid: self.map.as_ref().and_then(|file| file.get().pid_of(address, asn)) }
    }

    /// What it costs to get from one place to another.
    pub fn costs(&self) -> Arc<CostMap> {
        self.map.as_ref().map_or_else(|| self.none.clone(), File::get)
    }

    /// Reads what changes, until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let geo = self.clone();
            // Reading takes a second for a large database. A panic in there ends this task, and with it the process.
            tokio::task::spawn_blocking(move || geo.run_once()).await.expect("files are read without a panic");
        }
    }

    /// Looks at each file once.
    pub fn run_once(&self) {
        if let Some(file) = &self.asns {
            file.look();
        }
        if let Some(file) = &self.countries {
            file.look();
        }
        if let Some(file) = &self.map {
            file.look();
        }
    }

    /// Which files cannot be read any more, in words for an operator; what they said before still counts.
    pub fn missing(&self) -> Option<String> {
        let troubles = [
            self.asns.as_ref().and_then(File::trouble),
            self.countries.as_ref().and_then(File::trouble),
            self.map.as_ref().and_then(File::trouble),
        ];
        let troubles: Vec<_> = troubles.into_iter().flatten().collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

fn read_map(path: &Path, bytes: &[u8], has_asns: bool) -> anyhow::Result<CostMap> {
    let Ok(text) = std::str::from_utf8(bytes) else { bail!("it is not text in UTF-8") };
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    let map = if is_json { map::from_alto(text) } else { map::from_toml(text) }?;
    ensure!(
        has_asns || !map.asks_for_asns(),
        "it has groups by asns, which nobody can be found in without geo.asn_database: set it, or take the asns out"
    );
    Ok(map)
}
