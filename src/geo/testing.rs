//! Small databases for tests, those of `tests/it` as well.

use std::{collections::BTreeMap, io::Cursor};

use maxminddb_writer::{Database, metadata::IpVersion, paths::IpAddrWithMask};
use serde::Serialize;

/// A database of these networks, as bytes of a file. IPv4 is `::192.0.2.0/120` in it, as in all databases with both.
pub fn database(kind: &str, networks: &[(&str, impl Serialize)]) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    kind.clone_into(&mut database.metadata.database_type);
    database.metadata.binary_format_major_version = 2;
    database.metadata.description = [("en".to_owned(), "of a test".to_owned())].into();
    for (network, value) in networks {
        let data = database.insert_value(value).unwrap();
        database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), data);
    }
    database.write_to(Cursor::new(Vec::new())).unwrap().into_inner()
}

/// Networks and their autonomous systems, as `MaxMind` writes them.
pub fn asns(networks: &[(&str, u32)]) -> Vec<u8> {
    let record = |asn| BTreeMap::from([("autonomous_system_number", asn)]);
    let networks: Vec<_> = networks.iter().map(|(network, asn)| (*network, record(*asn))).collect();
    database("Test-ASN", &networks)
}

/// Networks and their countries, likewise.
pub fn countries(networks: &[(&str, &str)]) -> Vec<u8> {
    let record = |code| BTreeMap::from([("country", BTreeMap::from([("iso_code", code)]))]);
    let networks: Vec<_> = networks.iter().map(|(network, code)| (*network, record(*code))).collect();
    database("Test-Country", &networks)
}
