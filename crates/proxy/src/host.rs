//! Host names and targets, parsed once into types that have one spelling each: what a rule names, what a request asks
//! for and what is resolved are then compared as values, never as text.
//!
//! What has several readings is refused rather than guessed: another program on the way might read it otherwise.
//! An IPv4 address is four decimal numbers and nothing else (WHATWG URL, "ends in a number" says what else would be
//! taken for one); an IPv6 address has brackets and no zone; a name is letters, digits, hyphens and underscores in
//! labels of DNS lengths (RFC 1035), with an internationalised one in its ASCII form (UTS 46).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Why a text is no host, port or target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is {why}", .text.escape_default())]
pub struct HostError {
    /// What was read, at most 300 characters of it.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

fn wrong(text: &str, why: &'static str) -> HostError {
    HostError { text: text.chars().take(300).collect(), why }
}

/// A DNS name in its one spelling: lower case, ASCII, no dot at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether it is `other` with one or more labels in front.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_suffix(&other.0).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
    }
}

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Host {
    /// A DNS name.
    Name(HostName),
    /// An address literal; an IPv4 one mapped into IPv6 is the IPv4 one.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl Host {
    /// Reads a host as it stands in a rule, a request line or a `Host` header.
    ///
    /// # Errors
    /// Whatever has no reading, or more than one.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(wrong(text, "no host: it is empty"));
        }
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
            return Err(wrong(text, "no host: it holds a space or control character"));
        }
        if text.len() > 1024 {
            return Err(wrong(text, "no host: it is too long"));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or_else(|| wrong(text, "no host: a bracket is not closed"))?;
            let address: Ipv6Addr =
                inner.parse().map_err(|_| wrong(text, "no IPv6 address (zones are not taken either)"))?;
            return Ok(Self::Address(plain(IpAddr::V6(address))));
        }
        if text.contains([
            '@', '/', '\\', '?', '#', '%', ':', '[', ']', '*', ',', ';', '"', '\'', '<', '>', '|', '^', '`', '{', '}',
        ]) {
            return Err(wrong(text, "no host: it holds a character that separates or encodes"));
        }
        let mut name = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| wrong(text, "no internationalised host name"))?
        };
        if name.ends_with('.') {
            name.pop();
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        let number = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
                || part.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        if number(last) {
            // The standard library reads four decimal numbers without leading zeroes and nothing else.
            return match name.parse::<Ipv4Addr>() {
                Ok(address) if text.is_ascii() && !text.ends_with('.') => Ok(Self::Address(IpAddr::V4(address))),
                _ => Err(wrong(text, "an address in a spelling that programs read differently: write a.b.c.d")),
            };
        }
        if name.len() > 253 {
            return Err(wrong(text, "no host name: it is longer than 253 characters"));
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(wrong(text, "no host name: a label is empty or longer than 63 characters"));
            }
            if !label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
            {
                return Err(wrong(text, "no host name: it holds a character that names do not have"));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(wrong(text, "no host name: a label begins or ends with a hyphen"));
            }
        }
        if name.split('.').any(|label| label.starts_with("xn--")) && idna::domain_to_unicode(&name).1.is_err() {
            return Err(wrong(text, "no host name: its internationalised form is not valid"));
        }
        Ok(Self::Name(HostName(name)))
    }

    /// Whether it is `localhost` or a name below it (RFC 6761), or a loopback address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Name(name) => name.as_str() == "localhost" || name.as_str().ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

/// An IPv4 address for one that is mapped into IPv6, which reaches the same host.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        four => four,
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Target {
    /// Reads `HOST[:PORT]`; without a port `default` stands, and where there is none a port is required.
    ///
    /// # Errors
    /// As [`Host::parse`]; a port that is not a decimal number between 1 and 65535.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, HostError> {
        let (host, port) = split_port(text)?;
        let port = port.or(default).ok_or_else(|| wrong(text, "no target: the port is missing"))?;
        Ok(Self { host: Host::parse(host)?, port })
    }
    /// As [`Self::parse`], from bytes that somebody sent.
    ///
    /// # Errors
    /// As [`Self::parse`], and bytes that are not ASCII: on the wire a name has its ASCII form.
    pub fn from_wire(bytes: &[u8], default: Option<u16>) -> Result<Self, HostError> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => Self::parse(text, default),
            _ => Err(wrong(&String::from_utf8_lossy(bytes), "no host: on the wire a name is ASCII")),
        }
    }
}

/// The host's text and the port of `HOST[:PORT]`.
pub(crate) fn split_port(text: &str) -> Result<(&str, Option<u16>), HostError> {
    let from = text.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = text[from..].find(':').map(|at| at + from) else { return Ok((text, None)) };
    let digits = &text[colon + 1..];
    let port = match digits.parse::<u16>() {
        Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0') => port,
        _ => {
            return Err(wrong(
                text,
                "no target: a port is a number between 1 and 65535 (an IPv6 address has brackets)",
            ));
        }
    };
    Ok((&text[..colon], Some(port)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(text: &str) -> String {
        Host::parse(text).map_or_else(|error| format!("! {}", error.why), |host| host.to_string())
    }

    #[test]
    fn a_name_has_one_spelling() {
        for text in ["example.org", "EXAMPLE.org", "example.org.", "eXample.ORG.", "ｅｘａｍｐｌｅ.org", "example。org"]
        {
            assert_eq!(spelled(text), "example.org", "{text}");
        }
        assert_eq!(spelled("bücher.example"), "xn--bcher-kva.example");
        // A homograph is another name, and looks it.
        assert_ne!(spelled("exаmple.org"), "example.org");
        assert_eq!(spelled("_dmarc.example.org"), "_dmarc.example.org");
        assert_eq!(spelled("[::ffff:127.0.0.1]"), "127.0.0.1");
        assert_eq!(spelled("[2001:DB8::1]"), "[2001:db8::1]");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a\0.org",
            "a\r\nb",
            "a\t",
            "user@host",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2eb",
            "[::1",
            "::1",
            "[::1%lo]",
            "[fe80::1%25eth0]",
            "[1.2.3.4]",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.01",
            "1.2.3.4.",
            "1.2.3.256",
            "1.2.3.4.5",
            "１２７.0.0.1",
            "a.0x1",
            "-a.org",
            "a-.org",
            "*.org",
            "a,b",
            "xn--zzzzzzzzzzzzzz.org",
            "ex\u{ad}\u{200b}ample.org\u{7f}",
        ] {
            assert!(spelled(text).starts_with('!'), "{text:?} was read as {}", spelled(text));
        }
        assert!(Host::parse(&format!("{}.org", "a".repeat(64))).is_err());
        assert!(Host::parse(&vec!["a"; 130].join(".")).is_err());
    }

    #[test]
    fn a_port_is_a_plain_number() {
        let target = |text: &str| Target::parse(text, Some(80)).map(|target| target.to_string()).unwrap_or_default();
        assert_eq!(target("a.org"), "a.org:80");
        assert_eq!(target("a.org:443"), "a.org:443");
        assert_eq!(target("[::1]:443"), "[::1]:443");
        for text in ["a.org:", "a.org:0", "a.org:65536", "a.org:+80", "a.org:080", "a.org: 80", "a.org:80:80", "::1:80"]
        {
            assert_eq!(target(text), "", "{text}");
        }
        assert!(Target::from_wire("bücher.example".as_bytes(), Some(80)).is_err());
        assert!(Target::parse("a.org", None).is_err());
    }

    proptest! {
        #[test]
        fn what_was_read_reads_the_same_again(text in ".{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()).unwrap(), host);
            }
        }

        #[test]
        fn names_and_ports_survive(name in "[a-z][a-z0-9]{0,10}(\\.[a-z][a-z0-9]{0,10}){0,3}", port in 1..=u16::MAX) {
            let target = Target::parse(&format!("{}:{port}", name.to_uppercase()), None).unwrap();
            prop_assert_eq!(target.to_string(), format!("{name}:{port}"));
        }
    }
}
