//! One database in `MaxMind`'s format, read into memory.

use std::net::IpAddr;

use anyhow::ensure;
use maxminddb::{LookupResult, PathElement::Key, Reader};

/// Networks that are looked at to see whether a database tells what it is for.
const LOOKED_AT: usize = 10_000;

/// A database that was found whole.
pub struct Database(Reader<Vec<u8>>);

impl Database {
    /// A database that tells autonomous systems.
    pub fn of_asns(bytes: Vec<u8>) -> anyhow::Result<Self> {
        Self::new(bytes, "autonomous systems: geo.asn_database wants one such as GeoLite2-ASN.mmdb", |found| {
            asn(found).is_some()
        })
    }

    /// A database that tells countries.
    pub fn of_countries(bytes: Vec<u8>) -> anyhow::Result<Self> {
        Self::new(bytes, "countries: geo.country_database wants one such as GeoLite2-Country.mmdb", |found| {
            country(found).is_some()
        })
    }

    fn new(bytes: Vec<u8>, what: &str, tells: impl Fn(&LookupResult<'_, Vec<u8>>) -> bool) -> anyhow::Result<Self> {
        let reader = Reader::from_source(bytes)?;
        // What is broken is found now, and not by a call.
        reader.verify()?;
        let tells =
            reader.networks(maxminddb::WithinOptions::default())?.take(LOOKED_AT).flatten().any(|it| tells(&it));
        ensure!(tells, "this database ({}) has no {what}", reader.metadata().database_type);
        Ok(Self(reader))
    }

    /// The autonomous system of an address.
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        asn(&self.0.lookup(address).ok()?)
    }

    /// The country of an address.
    pub fn country(&self, address: IpAddr) -> Option<[u8; 2]> {
        country(&self.0.lookup(address).ok()?)
    }
}

/// As `MaxMind` and DB-IP write it, or as `IPinfo` does.
fn asn(found: &LookupResult<'_, Vec<u8>>) -> Option<u32> {
    if let Ok(Some(number)) = found.decode_path::<u32>(&[Key("autonomous_system_number")]) {
        return Some(number);
    }
    found.decode_path::<&str>(&[Key("asn")]).ok()??.strip_prefix("AS")?.parse().ok()
}

/// Where the address is used; or else where it is registered; or else as `IPinfo` writes it.
fn country(found: &LookupResult<'_, Vec<u8>>) -> Option<[u8; 2]> {
    let ways =
        [&[Key("country"), Key("iso_code")][..], &[Key("registered_country"), Key("iso_code")], &[Key("country_code")]];
    let code = ways.into_iter().find_map(|way| found.decode_path::<&str>(way).ok()?)?;
    let code: [u8; 2] = code.as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_uppercase).then_some(code)
}
