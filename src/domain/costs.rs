//! What it costs when bytes go from one place to another: tiers that are built in, or the operator's cost map (as in
//! ALTO, RFC 7285).

use super::place::Whereabouts;

/// Costs between places, and who may meet whom. The default has the built-in tiers, and everybody may meet.
#[derive(Clone, Debug, Default)]
pub struct CostMap {}

/// Built in: within one autonomous system or prefix, ...
const NETWORK: f32 = 0.0;
/// ... within one country, ...
const COUNTRY: f32 = 1.0;
/// ... and otherwise.
const FAR: f32 = 4.0;

impl CostMap {
    /// The cost of bytes from one place to another, from 0: 1 halves the weight of a candidate, see [`locality`].
    pub fn cost(&self, from: &Whereabouts, to: &Whereabouts) -> f32 {
        if from.shares_network(to) {
            NETWORK
        } else if from.shares_country(to) {
            COUNTRY
        } else {
            FAR
        }
    }

    /// Whether the operator lets these two meet at all.
    pub fn may_meet(&self, _one: &Whereabouts, _other: &Whereabouts) -> bool {
        true
    }
}

/// The weight of a candidate at this cost: 1 for nothing, 0.5 within the country, 0.2 for far.
pub fn locality(cost: f32) -> f32 {
    1.0 / (1.0 + cost.max(0.0))
}
