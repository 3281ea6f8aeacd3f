//! `[offload]`.

use serde::{Deserialize, Serialize};

/// `[offload]`: what the network is worth.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Offload {
    /// What 10^9 bytes from a server cost, in a currency of your own: for `starling_offload_saved` and `saved` of
    /// `GET /swarms/{id}`. 0 or more; with 0 nothing is saved.
    pub price_per_gb: f64,
}

impl Offload {
    /// What is wrong with it.
    pub(super) fn validate(&self, wrong: &mut Vec<String>) {
        if !(self.price_per_gb.is_finite() && self.price_per_gb >= 0.0) {
            wrong.push("offload.price_per_gb is not a number of 0 or more, such as 0.02".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const SAMPLE: &str = include_str!("../../config/sample.toml");

    #[test]
    fn a_price_is_a_number_of_zero_or_more() {
        let with = |price: &str| Config::from_text(&format!("{SAMPLE}\n[offload]\nprice_per_gb = {price}"));
        for (price, expected) in [("0", 0.0), ("0.02", 0.02), ("7", 7.0)] {
            assert!((with(price).unwrap().offload.price_per_gb - expected).abs() < f64::EPSILON, "{price}");
        }
        for price in ["-0.01", "nan", "inf", "\"much\""] {
            let complaint = format!("{:#}", with(price).unwrap_err());
            assert!(complaint.contains("offload.price_per_gb"), "{price}: {complaint}");
        }
    }
}
