//! An operator's cost map as text: TOML of our own, or the JSON of ALTO (RFC 7285).

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use anyhow::{Context, ensure};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::domain::{
    CostMap,
    costs::{Group, Peering, Plan, Rule},
};

/// A map in TOML.
pub fn from_toml(text: &str) -> anyhow::Result<CostMap> {
    let read: Toml = toml::from_str(text).map_err(|error| {
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        anyhow::anyhow!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    let group = |(name, TomlGroup { prefixes, asns }): (String, TomlGroup)| {
        ensure!(!prefixes.is_empty() || !asns.is_empty(), "the group {name} has neither prefixes nor asns: add some");
        Ok((name, Group { prefixes, asns }))
    };
    let plan = Plan {
        groups: read.groups.into_iter().map(group).collect::<Result<_, _>>()?,
        costs: read.costs.into_iter().map(|TomlCost { from, to, cost }| (from, to, cost)).collect(),
        other: read.default,
        peering: read.peering.into_iter().map(TomlPeering::rule).collect(),
    };
    Ok(CostMap::new(&plan)?)
}

/// A network map and a cost map of ALTO, in one object.
pub fn from_alto(text: &str) -> anyhow::Result<CostMap> {
    let read: Alto = serde_json::from_str(text)?;
    let costs = read.cost_map.0.into_iter().flat_map(|(from, row)| {
        let cost = move |(to, cost)| (from.clone(), to, cost);
        row.0.into_iter().map(cost)
    });
    if let Some(mode) = read.meta.and_then(|meta| meta.cost_type).and_then(|kind| kind.cost_mode) {
        ensure!(mode == "numerical", "meta.cost-type.cost-mode is {mode:?}: take the map with numerical costs");
    }
    let group = |(name, addresses): (String, Addresses)| {
        let prefixes = [addresses.ipv4, addresses.ipv6].concat();
        (name, Group { prefixes, asns: Vec::new() })
    };
    let plan =
        Plan { groups: read.network_map.0.into_iter().map(group).collect(), costs: costs.collect(), ..Plan::default() };
    CostMap::new(&plan).context("network-map and cost-map")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Toml {
    #[serde(default)]
    groups: BTreeMap<String, TomlGroup>,
    #[serde(default)]
    default: Option<f64>,
    #[serde(default)]
    costs: Vec<TomlCost>,
    #[serde(default)]
    peering: Vec<TomlPeering>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlGroup {
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    asns: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlCost {
    from: String,
    to: String,
    cost: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlPeering {
    groups: Vec<String>,
    rule: Word,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Only,
    Never,
}

impl TomlPeering {
    fn rule(self) -> Peering {
        let rule = match self.rule {
            Word::Only => Rule::Only,
            Word::Never => Rule::Never,
        };
        Peering { groups: self.groups, rule }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Alto {
    #[serde(default)]
    meta: Option<Meta>,
    network_map: Entries<Addresses>,
    cost_map: Entries<Entries<f64>>,
}

/// Of what ALTO says about a map we look at one thing.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    #[serde(default)]
    cost_type: Option<CostType>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CostType {
    #[serde(default)]
    cost_mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addresses {
    #[serde(default)]
    ipv4: Vec<String>,
    #[serde(default)]
    ipv6: Vec<String>,
}

/// The fields of a JSON object, those that are there twice too: they are refused with what they say.
struct Entries<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Vec<(String, T)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect()
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Pid, Place, Whereabouts};

    const TOML: &str = include_str!("../../config/costs.toml");
    const ALTO: &str = include_str!("../../config/costs-alto.json");

    fn at(map: &CostMap, address: &str, asn: Option<u32>) -> Whereabouts {
        let pid = map.pid_of(address.parse().unwrap(), asn);
        Whereabouts { place: Place { pid, ..Place::default() }, prefix: None }
    }

    #[test]
    fn the_sample_keeps_the_offices_apart_and_prefers_the_own_network() {
        let map = from_toml(TOML).unwrap();
        let [office, other] = ["10.1.2.3", "10.2.2.3"].map(|address| at(&map, address, None));
        let [ours, peer] = [64500, 64510].map(|asn| at(&map, "192.0.2.1", Some(asn)));
        assert_eq!(office.place.pid, Some(Pid::named("office-berlin")));
        assert!(map.may_meet(&office, &office) && !map.may_meet(&office, &other) && !map.may_meet(&office, &ours));
        assert!((map.cost(&ours, &peer) - 2.0).abs() < 1e-6 && (map.cost(&peer, &ours) - 1.0).abs() < 1e-6);
        assert!(map.asks_for_asns());
    }

    #[test]
    fn the_sample_of_alto_has_costs_in_both_directions() {
        let map = from_alto(ALTO).unwrap();
        let [one, two] = ["192.0.2.7", "198.51.100.200"].map(|address| at(&map, address, None));
        assert!((map.cost(&one, &one) - 1.0).abs() < 1e-6);
        assert!((map.cost(&one, &two) - 5.0).abs() < 1e-6 && (map.cost(&two, &one) - 5.0).abs() < 1e-6);
        assert_eq!(at(&map, "2001:db8:1::1", None).place.pid, one.place.pid);
        assert!(!map.asks_for_asns());
    }

    #[test]
    fn an_empty_map_is_a_map() {
        let map = from_toml("").unwrap();
        assert!(map.may_meet(&at(&map, "10.1.2.3", None), &at(&map, "10.2.2.3", None)));
        from_alto(r#"{ "network-map": {}, "cost-map": {} }"#).unwrap();
    }

    #[test]
    fn what_is_wrong_in_a_text_is_said_with_its_place() {
        for (text, expected) in [
            ("\n[groups", "line 2: "),
            ("[groups.a]\nprefixs = []", "line 2: unknown field `prefixs`"),
            ("[groups.a]\nprefixes = \"10.0.0.0/8\"", "line 2: invalid type"),
            ("[groups.a]\nasns = [-1]", "line 2: "),
            ("[groups.a]", "the group a has neither prefixes nor asns"),
            ("defalut = 1", "unknown field `defalut`"),
            ("default = nan", "the default cost is NaN"),
            ("[[peering]]\ngroups = []\nrule = \"sometimes\"", "expected `only` or `never`"),
            ("[[costs]]\nfrom = \"a\"\nto = \"b\"", "missing field `cost`"),
            ("[[costs]]\nfrom = \"a\"\nto = \"b\"\ncost = 1", "a cost names the group \"a\""),
        ] {
            let complaint = format!("{:#}", from_toml(text).expect_err(text));
            assert!(complaint.contains(expected), "{expected} not in: {complaint}");
        }
        let alto = |groups: &str, costs: &str| format!(r#"{{ "network-map": {groups}, "cost-map": {costs} }}"#);
        for (text, expected) in [
            ("5".to_owned(), "invalid type"),
            (r#"{ "cost-map": {} }"#.to_owned(), "missing field `network-map`"),
            (r#"{ "network-map": {}, "cost-map": {}, "x": 1 }"#.to_owned(), "unknown field `x`"),
            (alto("{}", "[]"), "expected an object"),
            (alto(r#"{ "p": { "ipv5": [] } }"#, "{}"), "unknown field `ipv5`"),
            (alto(r#"{ "p": {}, "p": {} }"#, "{}"), "the group p is there twice"),
            (alto(r#"{ "p": {} }"#, r#"{ "p": { "p": 1, "p": 2 } }"#), "the cost from p to p is there twice"),
            (alto(r#"{ "p": {} }"#, r#"{ "p": { "q": 1 } }"#), "\"q\""),
            (alto(r#"{ "p": {} }"#, r#"{ "p": { "p": "1" } }"#), "line 1"),
            (alto(r#"{ "p": {} }"#, r#"{ "p": { "p": 1e999 } }"#), "number out of range"),
            (
                r#"{ "meta": { "cost-type": { "cost-mode": "ordinal" } }, "network-map": {}, "cost-map": {} }"#
                    .to_owned(),
                "take the map with numerical costs",
            ),
        ] {
            let complaint = format!("{:#}", from_alto(&text).expect_err(&text));
            assert!(complaint.contains(expected), "{expected} not in: {complaint}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", toml in r#"(\[groups\.[a-c]\]\n(prefixes = \["(1?0\.0\.0\.0|::)/[0-9]{1,3}"\]\n)?|default = -?[0-9.e]{1,5}\n|\[\[peering\]\]\ngroups = \["[a-c]"\]\nrule = "(only|never)"\n){0,5}"#) {
            for text in [&text, &toml] {
                let _ = from_toml(text);
                let _ = from_alto(text);
            }
        }
    }
}
