//! Where a peer is, as far as selection cares: its network, its country, the prefix of its address.

use std::{hash::Hasher, net::IpAddr, num::NonZeroU32};

use fnv::FnvHasher;

/// The network that an address is in: the /24 of an IPv4 address, the /48 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(u64);

impl Prefix {
    /// The prefix of `address`; an IPv4 address in IPv6 clothes counts as what it is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits() >> 8)),
            IpAddr::V6(v6) => Self(1 << 63 | u64::try_from(v6.to_bits() >> 80).expect("48 bits fit into 64")),
        }
    }

    /// The prefix of `address` where it tells anything: not of loopback, where everybody has the same.
    pub fn telling(address: IpAddr) -> Option<Self> {
        (!address.to_canonical().is_loopback()).then(|| Self::of(address))
    }

    /// The same number on every node.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A group of addresses in the operator's cost map: what RFC 7285, section 5.1, calls a PID. Made of the group's name, so
/// that it means the same on every node and after the map was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(NonZeroU32);

impl Pid {
    /// The group of this name. Two names of one map must not be the same group; who reads the map sees to it.
    pub fn named(name: &str) -> Self {
        let mut hash = FnvHasher::default();
        hash.write(name.as_bytes());
        let hash = hash.finish();
        let hash = u32::try_from((hash >> 32 ^ hash) & 0xffff_ffff).expect("32 bits");
        Self(NonZeroU32::new(hash).unwrap_or(NonZeroU32::MIN))
    }

    /// The group of this number; no group has 0.
    pub const fn of_number(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number, the same on every node.
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

/// What databases and the operator's map say of an address; unknown where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The autonomous system (RFC 1930).
    pub asn: Option<u32>,
    /// The country: two letters of ISO 3166-1.
    pub country: Option<[u8; 2]>,
    /// The group in the operator's map.
    pub pid: Option<Pid>,
}

/// Where somebody is, as far as costs between two peers depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its network and country, where known.
    pub place: Place,
    /// The prefix of its address, where known.
    pub prefix: Option<Prefix>,
}

impl Whereabouts {
    /// Whether two are in one network: one autonomous system, or one prefix.
    pub fn shares_network(&self, other: &Self) -> bool {
        is_same(self.prefix, other.prefix) || is_same(self.place.asn, other.place.asn)
    }

    /// Whether two are in one country.
    pub fn shares_country(&self, other: &Self) -> bool {
        is_same(self.place.country, other.place.country)
    }
}

fn is_same<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_prefix() {
        let prefix = |text: &str| Prefix::of(text.parse().unwrap());
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.255"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.9"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
        assert_eq!(prefix("2001:db8:1:2::3"), prefix("2001:db8:1:ffff::"));
        assert_ne!(prefix("2001:db8:1::"), prefix("2001:db8:2::"));
        assert_ne!(prefix("0.0.0.0"), prefix("::"));
    }

    #[test]
    fn loopback_tells_nothing() {
        for (address, tells) in [("127.0.0.1", false), ("::1", false), ("::ffff:127.1.1.1", false), ("10.0.0.1", true)]
        {
            assert_eq!(Prefix::telling(address.parse().unwrap()).is_some(), tells, "{address}");
        }
    }
}
