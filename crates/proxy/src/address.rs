//! Which addresses a name may lead to: public ones. The rest is somebody's own network, this machine, or a service
//! that trusts whoever can reach it, and a name that resolves there says nothing about who meant it to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::host::plain;

/// IPv4 networks that are not public (IANA special-purpose registry), with what they are.
const CLOSED_4: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "a private network"),
    ("100.64.0.0/10", "a provider's shared network"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local, where clouds keep credentials"),
    ("172.16.0.0/12", "a private network"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "a private network"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
    // The wire server of Azure, public by number and not by nature.
    ("168.63.129.16/32", "a cloud's host service"),
];

/// The same for IPv6. Everything outside 2000::/3 is closed in any case.
const CLOSED_6: &[(&str, &str)] = &[
    ("::/128", "this host"),
    ("::1/128", "loopback"),
    ("fc00::/7", "a private network, where clouds keep credentials"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "a private network"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "protocol assignments and Teredo"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
];

/// Why an address is not to be connected to on the word of a name; `None` for a public one.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    let listed = |table: &[(&str, &'static str)], address| {
        table
            .iter()
            .find(|(network, _)| network.parse::<Network>().is_ok_and(|n| n.holds(address)))
            .map(|(_, why)| *why)
    };
    match plain(address) {
        four @ IpAddr::V4(_) => listed(CLOSED_4, four),
        six @ IpAddr::V6(address) => match embedded(address) {
            Some(four) => refusal(IpAddr::V4(four)).map(|_| "an IPv4 address that is not public, in IPv6"),
            None if address.segments()[0] & 0xE000 != 0x2000 => Some(listed(CLOSED_6, six).unwrap_or("not public")),
            None => listed(CLOSED_6, six),
        },
    }
}

/// The IPv4 address that a gateway would send to: NAT64 (RFC 6052), 6to4 (RFC 3056), IPv4-compatible and -translated.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let four = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match s {
        [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => four(high, low),
        // The local-use prefix has no fixed place for the address: nothing in it is public.
        [0x64, 0xFF9B, 1, ..] => Some(Ipv4Addr::UNSPECIFIED),
        [0x2002, high, low, ..] => four(high, low),
        [0, 0, 0, 0, 0xFFFF, 0, high, low] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        _ => None,
    }
}

/// A network, as `ADDRESS/BITS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address lies in it.
    pub fn holds(self, address: IpAddr) -> bool {
        match (self.base, plain(address)) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(base).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(base).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl FromStr for Network {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "no network: write ADDRESS/BITS, for example 10.0.0.0/8";
        let (base, bits) = text.split_once('/').ok_or(WHY)?;
        let base: IpAddr = base.parse().map_err(|_| WHY)?;
        let bits: u8 = bits.parse().map_err(|_| WHY)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        if bits > most { Err(WHY) } else { Ok(Self { base, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_public_is_refused_in_every_clothing() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "192.0.2.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "fd00:ec2::254",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "::ffff:0:127.0.0.1",
            "2001::1",
            "2001:db8::1",
            "fec0::1",
            "4000::1",
        ] {
            assert!(refusal(text.parse().unwrap()).is_some(), "{text} passes");
        }
        for text in
            ["1.1.1.1", "100.63.0.1", "172.32.0.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert_eq!(refusal(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_network_holds_its_own() {
        let network: Network = "10.2.0.0/16".parse().unwrap();
        assert!(network.holds("10.2.255.1".parse().unwrap()) && !network.holds("10.3.0.0".parse().unwrap()));
        assert!(network.holds("::ffff:10.2.0.1".parse().unwrap()) && !network.holds("::1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().holds("9.9.9.9".parse().unwrap()));
        for text in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/", "::/129"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn mapping_into_ipv6_changes_nothing(number: u32) {
            let four = Ipv4Addr::from(number);
            prop_assert_eq!(refusal(four.into()), refusal(four.to_ipv6_mapped().into()));
        }
    }
}
