//! Where a peer is, as far as selection cares: its network, its country, the prefix of its address.

use std::net::IpAddr;

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

/// What databases say of an address. All unknown until there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The autonomous system (RFC 1930).
    pub asn: Option<u32>,
    /// The country: two letters of ISO 3166-1.
    pub country: Option<[u8; 2]>,
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
