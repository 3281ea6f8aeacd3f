//! Which files say where peers are.

use serde::{Deserialize, Serialize};

/// `[geo]`: where peers are, by the address that the gateway saw. Each file is read again when it has changed; put a new
/// one in place by renaming it. Empty: none.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Geo {
    /// A database in `MaxMind`'s format that tells networks (autonomous systems) by address, up to 1 GiB. It is kept in
    /// memory. Without one, peers of one network are those of one /24 or /48.
    pub asn_database: String,
    /// Likewise one that tells countries. Without one, peers elsewhere are all equally far.
    pub country_database: String,
    /// A map of costs, and of who may meet: TOML as in `config/costs.toml`, or ALTO where the name ends in `.json`. Up to
    /// 16 MiB. Without one the built-in tiers hold, and everybody may meet.
    pub cost_map: String,
}
