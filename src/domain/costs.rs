//! What it costs when bytes go from one place to another, and who may meet: tiers that are built in, or the operator's
//! map of groups (as in ALTO, RFC 7285).

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::place::{Pid, Place, Whereabouts};

#[cfg(test)]
mod tests;

/// Most groups in a map.
pub const MAX_GROUPS: usize = 1_000;
/// Most prefixes in a map.
pub const MAX_PREFIXES: usize = 100_000;
/// Most autonomous systems in a map.
pub const MAX_ASNS: usize = 100_000;
/// Most costs in a map: one for each pair of groups in each direction.
pub const MAX_COSTS: usize = MAX_GROUPS * MAX_GROUPS;
/// Most rules of who may meet.
pub const MAX_PEERING: usize = 1_000;
/// Largest cost: the weight of a candidate is then a millionth.
const MAX_COST: f32 = 1e6;

/// Built in: within one autonomous system or prefix, ...
const NETWORK: f32 = 0.0;
/// ... within one country, ...
const COUNTRY: f32 = 1.0;
/// ... and otherwise.
const FAR: f32 = 4.0;

/// Costs between places, and who may meet whom. The default has the built-in tiers, and everybody may meet; asking it
/// looks nothing up. All groups in it are groups of the map.
#[derive(Clone, Debug, Default)]
pub struct CostMap {
    names: Map<Pid, String>,
    prefixes: Map<IpNet, Pid>,
    // Lengths of prefixes that occur, the longest first: of IPv4, and of IPv6.
    lengths: [Vec<u8>; 2],
    asns: Map<u32, Pid>,
    costs: Map<(Pid, Pid), f32>,
    other: Option<f32>,
    // Who meets only within one circle. Nobody else is in one.
    circles: Map<Pid, usize>,
    // Who never meets, in both orders.
    apart: Set<(Pid, Pid)>,
}

type Map<K, V> = std::collections::HashMap<K, V, ahash::RandomState>;
type Set<T> = std::collections::HashSet<T, ahash::RandomState>;

/// What an operator says, as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Groups by name.
    pub groups: Vec<(String, Group)>,
    /// Costs from one group to another.
    pub costs: Vec<(String, String, f64)>,
    /// What two different groups cost for which nothing is said in either direction.
    pub other: Option<f64>,
    /// Who may meet.
    pub peering: Vec<Peering>,
}

/// Who is in a group: by the longest prefix of any group first, then by autonomous system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Addresses.
    pub prefixes: Vec<String>,
    /// Autonomous systems.
    pub asns: Vec<u32>,
}

/// A rule of who may meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peering {
    /// Whom it concerns.
    pub groups: Vec<String>,
    /// What holds for them.
    pub rule: Rule,
}

/// What holds for the groups of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Their members meet members of these groups, and nobody else.
    Only,
    /// No member of one meets a member of another; of a single group, none meets another.
    Never,
}

/// What is wrong with a map, and what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each says it")]
pub enum BadMap {
    #[error("more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("{0:?} is no name for a group: take 1 to 64 characters of A-Z a-z 0-9 - : @ _ .")]
    Name(String),
    #[error("the group {0} is there twice: put both into one")]
    Twice(String),
    #[error("the groups {0} and {1} get the same number from their names: rename one of them")]
    SameNumber(String, String),
    #[error("group {group}: {prefix:?} is no prefix such as 192.0.2.0/24 or 2001:db8::/32")]
    Prefix { group: String, prefix: String },
    #[error("group {group}: {prefix} has bits behind its length: write {fixed}, or make it longer")]
    Bits { group: String, prefix: String, fixed: IpNet },
    #[error("group {group}: {prefix} is IPv4 in IPv6 clothes: write it as IPv4")]
    Mapped { group: String, prefix: String },
    #[error("{what} is in {one} and in {other}: take it out of one of them")]
    InTwo { what: String, one: String, other: String },
    #[error("{what} names the group {name:?}, which is not there: add it, or correct the name")]
    Unknown { what: &'static str, name: String },
    #[error("the cost from {from} to {to} is {cost}: take a number from 0 to {MAX_COST}")]
    Cost { from: String, to: String, cost: f64 },
    #[error("the cost from {0} to {1} is there twice: take one away")]
    CostTwice(String, String),
    #[error("the default cost is {0}: take a number from 0 to {MAX_COST}")]
    Default(f64),
    #[error("a rule of peering names no group: add one, or take it away")]
    NoGroups,
}

impl CostMap {
    /// The map of this plan, or what is wrong with it.
    pub fn new(plan: &Plan) -> Result<Self, BadMap> {
        let Plan { groups, costs, other, peering } = plan;
        for (what, count, most) in [
            ("groups", groups.len(), MAX_GROUPS),
            ("prefixes", groups.iter().map(|(_, group)| group.prefixes.len()).sum(), MAX_PREFIXES),
            ("autonomous systems", groups.iter().map(|(_, group)| group.asns.len()).sum(), MAX_ASNS),
            ("costs", costs.len(), MAX_COSTS),
            ("rules of peering", peering.len(), MAX_PEERING),
            (
                "pairs of groups in rules of peering",
                peering.iter().map(|rule| rule.groups.len().pow(2)).sum(),
                MAX_COSTS,
            ),
        ] {
            if count > most {
                return Err(BadMap::TooMany { what, most });
            }
        }
        let other = other.map(|cost| checked(cost).ok_or(BadMap::Default(cost))).transpose()?;
        let mut map = Self { other, ..Self::default() };
        for (name, group) in groups {
            map.add_group(name, group)?;
        }
        for net in map.prefixes.keys() {
            map.lengths[usize::from(net.addr().is_ipv6())].push(net.prefix_len());
        }
        for lengths in &mut map.lengths {
            lengths.sort_unstable_by(|one, other| other.cmp(one));
            lengths.dedup();
        }
        map.add_costs(costs)?;
        map.add_peering(peering)?;
        Ok(map)
    }

    fn add_group(&mut self, name: &str, group: &Group) -> Result<(), BadMap> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-:@_.".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_allowed) {
            return Err(BadMap::Name(name.chars().take(64).collect()));
        }
        let pid = Pid::named(name);
        match self.names.insert(pid, name.to_owned()) {
            Some(other) if other == name => return Err(BadMap::Twice(other)),
            Some(other) => return Err(BadMap::SameNumber(other, name.to_owned())),
            None => {}
        }
        for prefix in &group.prefixes {
            let net = parse_prefix(name, prefix)?;
            if let Some(one) = self.prefixes.insert(net, pid) {
                return Err(self.in_two(format!("the prefix {net}"), one, pid));
            }
        }
        for asn in &group.asns {
            if let Some(one) = self.asns.insert(*asn, pid) {
                return Err(self.in_two(format!("the autonomous system {asn}"), one, pid));
            }
        }
        Ok(())
    }

    fn in_two(&self, what: String, one: Pid, other: Pid) -> BadMap {
        BadMap::InTwo { what, one: self.names[&one].clone(), other: self.names[&other].clone() }
    }

    fn group(&self, what: &'static str, name: &str) -> Result<Pid, BadMap> {
        let pid = Pid::named(name);
        let is_there = self.names.get(&pid).is_some_and(|there| there == name);
        is_there.then_some(pid).ok_or_else(|| BadMap::Unknown { what, name: name.chars().take(64).collect() })
    }

    fn add_costs(&mut self, costs: &[(String, String, f64)]) -> Result<(), BadMap> {
        for (from, to, cost) in costs {
            let pair = (self.group("a cost", from)?, self.group("a cost", to)?);
            let bad = || BadMap::Cost { from: from.clone(), to: to.clone(), cost: *cost };
            if self.costs.insert(pair, checked(*cost).ok_or_else(bad)?).is_some() {
                return Err(BadMap::CostTwice(from.clone(), to.clone()));
            }
        }
        let said: Vec<_> = self.costs.iter().map(|((from, to), cost)| ((*to, *from), *cost)).collect();
        for (back, cost) in said {
            self.costs.entry(back).or_insert(cost);
        }
        Ok(())
    }

    fn add_peering(&mut self, peering: &[Peering]) -> Result<(), BadMap> {
        // Who is named by the same "only" rules is in the same circle.
        let mut rules = BTreeMap::<Pid, Vec<usize>>::new();
        for (n, Peering { groups, rule }) in peering.iter().enumerate() {
            let mut pids = Vec::new();
            for name in groups {
                pids.push(self.group("a rule of peering", name)?);
            }
            pids.sort_unstable();
            pids.dedup();
            match (rule, pids.as_slice()) {
                (_, []) => return Err(BadMap::NoGroups),
                (Rule::Only, _) => pids.into_iter().for_each(|pid| rules.entry(pid).or_default().push(n)),
                (Rule::Never, [alone]) => drop(self.apart.insert((*alone, *alone))),
                (Rule::Never, _) => {
                    let pairs = pids.iter().flat_map(|one| pids.iter().map(move |other| (*one, *other)));
                    self.apart.extend(pairs.filter(|(one, other)| one != other));
                }
            }
        }
        let mut circles = BTreeMap::new();
        for (pid, named_by) in rules {
            let next = circles.len();
            self.circles.insert(pid, *circles.entry(named_by).or_insert(next));
        }
        Ok(())
    }

    /// The group of an address in an autonomous system: that of the longest prefix, or else that of the system.
    pub fn pid_of(&self, address: IpAddr, asn: Option<u32>) -> Option<Pid> {
        let address = address.to_canonical();
        let by_prefix = self.lengths[usize::from(address.is_ipv6())].iter().find_map(|length| {
            let net = IpNet::new(address, *length).expect("the length of a prefix of this kind").trunc();
            self.prefixes.get(&net).copied()
        });
        by_prefix.or_else(|| self.asns.get(&asn?).copied())
    }

    /// The name of a group.
    pub fn name(&self, pid: Pid) -> Option<&str> {
        self.names.get(&pid).map(String::as_str)
    }

    /// Whether some are in a group by their autonomous system.
    pub fn asks_for_asns(&self) -> bool {
        !self.asns.is_empty()
    }

    /// The cost of bytes from one place to another, from 0, which makes the weight of a candidate, see [`locality`].
    pub fn cost(&self, from: &Whereabouts, to: &Whereabouts) -> f32 {
        self.said_cost(&from.place, &to.place).unwrap_or_else(|| {
            if from.shares_network(to) {
                NETWORK
            } else if from.shares_country(to) {
                COUNTRY
            } else {
                FAR
            }
        })
    }

    /// What the operator says that it costs.
    fn said_cost(&self, from: &Place, to: &Place) -> Option<f32> {
        if self.costs.is_empty() && self.other.is_none() {
            return None;
        }
        let (from, to) = (from.pid?, to.pid?);
        let are_groups = |_: &f32| from != to && self.names.contains_key(&from) && self.names.contains_key(&to);
        self.costs.get(&(from, to)).copied().or_else(|| self.other.filter(are_groups))
    }

    /// Whether the operator lets these two meet at all.
    pub fn may_meet(&self, one: &Whereabouts, other: &Whereabouts) -> bool {
        let (one, other) = (one.place.pid, other.place.pid);
        let circle = |pid: Option<Pid>| self.circles.get(&pid?);
        (self.circles.is_empty() || circle(one) == circle(other))
            && (self.apart.is_empty() || !one.zip(other).is_some_and(|(one, other)| self.apart.contains(&(one, other))))
    }
}

fn parse_prefix(group: &str, prefix: &str) -> Result<IpNet, BadMap> {
    let group = || group.to_owned();
    let prefix = || prefix.chars().take(64).collect::<String>();
    let net: IpNet = prefix().parse().map_err(|_| BadMap::Prefix { group: group(), prefix: prefix() })?;
    if net.addr().to_canonical() != net.addr() {
        return Err(BadMap::Mapped { group: group(), prefix: prefix() });
    }
    if net.trunc() != net {
        return Err(BadMap::Bits { group: group(), prefix: prefix(), fixed: net.trunc() });
    }
    Ok(net)
}

fn checked(cost: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "a weight needs no more")]
    let cost = cost as f32;
    (0.0..=MAX_COST).contains(&cost).then_some(cost)
}

/// The weight of a candidate at this cost: 1 for nothing, 0.125 within the country, 0.008 for far. Steep, since free slots are
/// scarce near by: with 1 / (1 + cost) most links of the simulator went far.
pub fn locality(cost: f32) -> f32 {
    (1.0 + cost.max(0.0)).powi(-3)
}
