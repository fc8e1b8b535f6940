//! What the operator allows, parsed once: hosts with ports ([`AllowRule`]), hosts whose TLS is opened
//! ([`HostPattern`]), headers that are set on the way ([`SecretSpec`], [`Secret`]), and how much there may be of it
//! all ([`Budget`]). [`Access`] holds them together and refuses what contradicts itself.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::address::Network;
use crate::host::{Host, HostError, HostName, Target, plain, split_port};
use crate::written::Field;

/// Why a rule cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its host is none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Something else about it.
    #[error("`{rule}`: {why}")]
    Rule {
        /// The rule.
        rule: String,
        /// What is wrong.
        why: String,
    },
}

fn wrong(rule: &str, why: impl Into<String>) -> RuleError {
    RuleError::Rule { rule: rule.to_owned(), why: why.into() }
}

/// A host, or every name below one (`*.example.org`, which leaves `example.org` itself out).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPattern {
    /// This host.
    Exact(Host),
    /// Every name below this one.
    Below(HostName),
}

impl HostPattern {
    /// Whether it names the host.
    pub fn names(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(exact), host) => exact == host,
            (Self::Below(above), Host::Name(name)) => name.is_below(above),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Below(name) => write!(f, "*.{}", name.as_str()),
        }
    }
}

impl FromStr for HostPattern {
    type Err = RuleError;
    fn from_str(text: &str) -> Result<Self, RuleError> {
        let Some(above) = text.strip_prefix("*.") else {
            if text.contains('*') {
                return Err(wrong(
                    text,
                    "a wildcard is `*.` in front of a name, and nothing else (all hosts: `--network host`)",
                ));
            }
            return Ok(Self::Exact(Host::parse(text)?));
        };
        match Host::parse(above)? {
            Host::Name(name) if name.as_str().contains('.') => Ok(Self::Below(name)),
            _ => Err(wrong(text, "a wildcard stands before a name of two labels at the least")),
        }
    }
}

/// Where the connections of a rule go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    /// To the public addresses that the name resolves to.
    Resolved,
    /// To this address, whatever the name resolves to.
    Pinned(IpAddr),
    /// To the addresses that the name resolves to and that are public or lie in this network.
    Within(Network),
}

/// `HOST[:PORT][=ADDRESS|=NETWORK/BITS]`: connections to these are allowed. Without a port, to 80 and 443.
///
/// ```
/// use agentic_proxy::{AllowRule, Target};
/// let rule: AllowRule = "*.example.org:8443".parse().unwrap();
/// assert!(rule.allows(&Target::parse("a.example.org:8443", None).unwrap()));
/// assert!(!rule.allows(&Target::parse("example.org:8443", None).unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRule {
    /// Which hosts.
    pub host: HostPattern,
    /// Which port; `None` stands for 80 and 443.
    pub port: Option<u16>,
    /// To which addresses.
    pub via: Via,
}

impl AllowRule {
    /// Whether it allows the target, as far as the name says.
    pub fn allows(&self, target: &Target) -> bool {
        self.host.names(&target.host) && self.ports().contains(&target.port)
    }
    /// The ports it opens.
    pub fn ports(&self) -> Vec<u16> {
        self.port.map_or_else(|| vec![80, 443], |port| vec![port])
    }
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.via {
            Via::Resolved => Ok(()),
            Via::Pinned(address) => write!(f, "={address}"),
            Via::Within(network) => write!(f, "={network}"),
        }
    }
}

impl FromStr for AllowRule {
    type Err = RuleError;
    fn from_str(text: &str) -> Result<Self, RuleError> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(wrong(text, format!("a rule is HOST[:PORT], without `{scheme}://` and without a path")));
        }
        let (place, via) = match text.split_once('=') {
            None => (text, Via::Resolved),
            Some((place, network)) if network.contains('/') => {
                (place, Via::Within(network.parse().map_err(|why: &str| wrong(text, why))?))
            }
            Some((place, address)) => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                let address = address.parse().map_err(|_| wrong(text, "after `=` stands an address or a network"))?;
                (place, Via::Pinned(plain(address)))
            }
        };
        let (host, port) = split_port(place)?;
        let host: HostPattern = host.parse()?;
        if matches!(host, HostPattern::Exact(Host::Address(_))) && via != Via::Resolved {
            return Err(wrong(text, "an address is not resolved, so there is nothing to pin"));
        }
        Ok(Self { host, port, via })
    }
}

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In this environment variable of the operator's.
    Variable(String),
    /// In this file; an end of line at its end is left out.
    File(PathBuf),
}

/// `HEADER=[PREFIX ]env:VARIABLE@[http://]HOST[:PORT][/PATH]` or the same with `file:PATH`: a header that the proxy
/// sets. The value itself is never typed, since command lines can be seen by others.
///
/// ```
/// use agentic_proxy::SecretSpec;
/// let spec: SecretSpec = "Authorization=Bearer env:TOKEN@api.example.org/v1".parse().unwrap();
/// assert_eq!((spec.header.as_str(), spec.prefix.as_str()), ("authorization", "Bearer "));
/// assert_eq!(spec.scope.to_string(), "https://api.example.org:443/v1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// The header, in lower case.
    pub header: String,
    /// What stands before the value, with its space.
    pub prefix: String,
    /// Where the value is.
    pub source: SecretSource,
    /// Which requests get it.
    pub scope: Scope,
}

/// The requests that a secret is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Whether over TLS; without, the header travels in the clear.
    pub tls: bool,
    /// To which host and port.
    pub target: Target,
    /// Beneath which path; `/` for every one.
    pub path: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.target, self.path)
    }
}

impl Scope {
    /// Whether a request is one of them. A path that a server could read as another is none.
    pub fn covers(&self, tls: bool, target: &Target, path: &str) -> bool {
        self.tls == tls && self.target == *target && (self.path == "/" || is_beneath(path, &self.path))
    }
    /// Whether some request is one of both.
    fn meets(&self, other: &Self) -> bool {
        self.covers(other.tls, &other.target, &other.path) || other.covers(self.tls, &self.target, &self.path)
    }
}

fn is_beneath(path: &str, scope: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let lower = path.to_ascii_lowercase();
    let ambiguous =
        ["..", "//", "/./", "\\", "%2e", "%2f", "%5c", "%25", "%00", ";"].iter().any(|part| lower.contains(part));
    let scope = scope.trim_end_matches('/');
    !ambiguous && path.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl FromStr for SecretSpec {
    type Err = RuleError;
    fn from_str(text: &str) -> Result<Self, RuleError> {
        const FORM: &str =
            "a secret is `HEADER=[PREFIX ]env:VARIABLE@HOST[/PATH]` or `HEADER=[PREFIX ]file:PATH@HOST[/PATH]`";
        // What is shown of a secret that was typed wrongly must not be the secret.
        let name: String = text.split('=').next().unwrap_or_default().chars().take(40).collect();
        let shown = format!("{name}=…");
        let (header, rest) = text.split_once('=').ok_or_else(|| wrong("--secret", FORM))?;
        let (value, scope) = rest.rsplit_once('@').ok_or_else(|| wrong(&shown, FORM))?;
        let header = header.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if header.is_empty() || !header.bytes().all(token) {
            return Err(wrong(&shown, "this is no name of a header"));
        }
        if HOP_BY_HOP.contains(&header.as_str()) || ["host", "content-length", "expect"].contains(&header.as_str()) {
            return Err(wrong(&shown, "this header belongs to the connection and cannot be set"));
        }
        let (prefix, source) = match value.rfind(' ') {
            Some(space) => value.split_at(space + 1),
            None => ("", value),
        };
        let source = match source.split_once(':') {
            Some(("env", name)) if !name.is_empty() => SecretSource::Variable(name.to_owned()),
            Some(("file", path)) if path.starts_with('/') => SecretSource::File(path.into()),
            Some(("file", _)) => return Err(wrong(&shown, "the file of a secret is named by an absolute path")),
            _ => {
                return Err(wrong(
                    &shown,
                    format!("{FORM}; the value itself is not typed, since others can see command lines"),
                ));
            }
        };
        if !prefix.bytes().all(|byte| (b' '..0x7F).contains(&byte)) {
            return Err(wrong(&shown, "its prefix holds a control character"));
        }
        let (tls, place) = match scope.split_once("://") {
            None => (true, scope),
            Some(("https", place)) => (true, place),
            Some(("http", place)) => (false, place),
            Some(_) => return Err(wrong(&shown, "a secret goes by https:// or http://")),
        };
        let (place, path) = match place.find('/') {
            Some(slash) => place.split_at(slash),
            None => (place, "/"),
        };
        if path != "/" && !is_beneath(path, "") {
            return Err(wrong(&shown, "its path holds what servers read differently (.., //, %2f …)"));
        }
        if place.starts_with("*.") {
            return Err(wrong(&shown, "a secret is for one host: write its name, without `*.`"));
        }
        let target = Target::parse(place, Some(if tls { 443 } else { 80 }))?;
        Ok(Self { header, prefix: prefix.to_owned(), source, scope: Scope { tls, target, path: path.to_owned() } })
    }
}

impl SecretSpec {
    /// The secret, with the value that its source holds.
    ///
    /// # Errors
    /// A value that is empty or cannot stand in a header.
    pub fn with_value(&self, value: &str) -> Result<Secret, RuleError> {
        let value = value.strip_suffix('\n').unwrap_or(value);
        let value = value.strip_suffix('\r').unwrap_or(value);
        let shown = format!("{}=…@{}", self.header, self.scope);
        if value.is_empty() {
            return Err(wrong(&shown, "its value is empty"));
        }
        if value.len() > 8192 || !value.bytes().all(|byte| (b' '..0x7F).contains(&byte)) {
            return Err(wrong(
                &shown,
                "its value holds a line break or a character that a header cannot, or is too long",
            ));
        }
        Ok(Secret {
            header: self.header.clone(),
            prefix: self.prefix.clone(),
            value: value.to_owned(),
            scope: self.scope.clone(),
        })
    }
}

/// A header with its value and the requests it is for. It is shown without the value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub(crate) header: String,
    pub(crate) prefix: String,
    pub(crate) value: String,
    pub(crate) scope: Scope,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}=…@{})", self.header, self.scope)
    }
}

/// Headers that belong to one connection (RFC 9110, 7.6.1) or to the proxy.
pub(crate) const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// How much one run may send and receive. What passes it is ended or refused, and the decision says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Bytes in both directions. Default 1 GiB.
    pub bytes: u64,
    /// Connections in all. Default 10,000.
    pub connections: u64,
    /// Connections at once. Default 128.
    pub at_once: u32,
    /// Connections in any one second; further ones are refused. Default 200.
    pub per_second: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: 1 << 30, connections: 10_000, at_once: 128, per_second: 200 }
    }
}

/// Everything that the proxy of a run goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What is allowed; everything else is refused.
    pub allow: Vec<AllowRule>,
    /// Hosts whose TLS is opened by the proxy, under an authority of the run's own.
    pub terminate: Vec<HostPattern>,
    /// Headers that are set on the way.
    pub secrets: Vec<Secret>,
    /// Certificates (PEM) that are trusted besides the system's, outside and inside.
    pub extra_roots: Option<PathBuf>,
    /// How much there may be.
    pub budget: Budget,
}

impl Access {
    /// The rule that allows a target.
    pub fn rule(&self, target: &Target) -> Option<&AllowRule> {
        self.allow.iter().find(|rule| rule.allows(target))
    }
    /// Whether TLS to this host is opened by the proxy.
    pub fn terminates(&self, host: &Host) -> bool {
        self.terminate.iter().any(|pattern| pattern.names(host))
    }
    /// Refuses rules that could never do what they say.
    ///
    /// # Errors
    /// A secret for a host that is not allowed, or over TLS that is not opened; two values for one header of one request;
    /// TLS that is to be opened where nothing is allowed.
    pub fn validate(&self) -> Result<(), RuleError> {
        self.check().map_err(|(_, error)| error)
    }
    /// The same, with the field that is to blame.
    pub(crate) fn check(&self) -> Result<(), (Field, RuleError)> {
        for (number, Secret { header, scope, .. }) in self.secrets.iter().enumerate() {
            let refuse = |why: String| Err((Field::Secrets, wrong(&format!("{header}=…@{scope}"), why)));
            let Target { host, .. } = &scope.target;
            if self.rule(&scope.target).is_none() {
                return refuse(format!("{} is not allowed: name it (--allow-net, allow_net)", scope.target));
            }
            if scope.tls && !self.terminates(host) {
                return refuse(format!(
                    "a header cannot be set inside TLS that is not opened: name the host (--tls-terminate {host}, tls_terminate), which lets the proxy read and write what is said to {host}"
                ));
            }
            let twice = self.secrets[..number].iter().find(|other| other.header == *header && other.scope.meets(scope));
            if let Some(other) = twice {
                return refuse(format!(
                    "the same header is set for {}: leave one out, or part their paths",
                    other.scope
                ));
            }
        }
        for pattern in &self.terminate {
            let used = self.allow.iter().any(|rule| match (&rule.host, pattern) {
                (one, other) if one == other => true,
                (HostPattern::Below(_), HostPattern::Exact(host)) => rule.host.names(host),
                (HostPattern::Exact(host), HostPattern::Below(_)) => pattern.names(host),
                _ => false,
            });
            if !used {
                let why = format!(
                    "TLS is to be opened where nothing is allowed: name {pattern} as a host (--allow-net, allow_net)"
                );
                return Err((Field::TlsTerminate, wrong(&pattern.to_string(), why)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, target: &str) -> bool {
        rule.parse::<AllowRule>().unwrap().allows(&Target::parse(target, None).unwrap())
    }

    #[test]
    fn a_rule_allows_what_it_names_and_nothing_near_it() {
        assert!(allows("example.org", "EXAMPLE.org.:443") && allows("example.org", "example.org:80"));
        for near in [
            "example.org:8080",
            "a.example.org:443",
            "example.org.evil.test:443",
            "evil-example.org:443",
            "xn--exmple-4nf.org:443",
        ] {
            assert!(!allows("example.org", near), "{near}");
        }
        assert!(allows("*.example.org", "a.example.org:443") && allows("*.example.org", "a.b.example.org:443"));
        for near in ["example.org:443", "aexample.org:443", "example.org.a:443"] {
            assert!(!allows("*.example.org", near), "{near}");
        }
        assert!(allows("[::1]:80", "[::1]:80") && allows("[::ffff:10.0.0.1]:1", "10.0.0.1:1"));
    }

    #[test]
    fn rules_are_written_back_as_they_were_read() {
        for text in [
            "example.org",
            "*.example.org:8443",
            "a.test:1=127.0.0.1",
            "git.corp.test=10.0.0.0/8",
            "[::1]:22",
            "1.2.3.4",
        ] {
            assert_eq!(text.parse::<AllowRule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "*",
            "*.org",
            "a*.org",
            "https://example.org",
            "example.org/path",
            "a:b@c",
            "1.2.3.4=5.6.7.8",
            "a.org=b",
            "a.org=10.0.0.0/99",
            "a.org:0",
        ] {
            assert!(text.parse::<AllowRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_scoped_to_host_and_path() {
        let spec: SecretSpec = "X-Key=env:KEY@api.test/v1/".parse().unwrap();
        let scope = &spec.scope;
        let target = Target::parse("api.test:443", None).unwrap();
        for path in ["/v1", "/v1/", "/v1/a?b=../c"] {
            assert!(scope.covers(true, &target, path), "{path}");
        }
        for path in [
            "/",
            "/v10",
            "/v1/../admin",
            "/v1/%2e%2e/admin",
            "/v1//admin",
            "/v1/..;/x",
            "/v1/%252e",
            "/V1/a",
            "/v1\\..\\x",
        ] {
            assert!(!scope.covers(true, &target, path), "{path}");
        }
        assert!(!scope.covers(false, &target, "/v1/a"));
        assert!(!scope.covers(true, &Target::parse("api.test:8443", None).unwrap(), "/v1/a"));
    }

    #[test]
    fn a_secret_that_is_typed_out_is_refused_and_not_repeated() {
        for text in [
            "Authorization=hunter2@api.test",
            "Authorization=Bearer hunter2@api.test",
            "hunter2",
            "Host=env:hunter2@a.test",
            "X=file:hunter2@a.test",
        ] {
            let error = text.parse::<SecretSpec>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let spec: SecretSpec = "Authorization=Bearer env:T@api.test".parse().unwrap();
        for value in ["", "\n", "a\r\nX-Evil: 1", "a\0b"] {
            assert!(spec.with_value(value).is_err(), "{value:?}");
        }
        let secret = spec.with_value("hunter2\n").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_needs_its_host_allowed_and_its_tls_opened() {
        let secret = "X=env:T@api.test".parse::<SecretSpec>().unwrap().with_value("v").unwrap();
        let mut access = Access { secrets: vec![secret], ..Access::default() };
        assert!(
            access
                .validate()
                .unwrap_err()
                .to_string()
                .contains("api.test:443 is not allowed: name it (--allow-net, allow_net)")
        );
        access.allow.push("api.test".parse().unwrap());
        assert!(
            access
                .validate()
                .unwrap_err()
                .to_string()
                .contains("name the host (--tls-terminate api.test, tls_terminate)")
        );
        access.terminate.push("api.test".parse().unwrap());
        access.validate().unwrap();
        access.terminate.push("other.test".parse().unwrap());
        assert!(access.validate().is_err());
    }

    #[test]
    fn one_request_gets_one_value_for_a_header() {
        let check = |specs: &[&str]| {
            let secrets =
                specs.iter().map(|text| text.parse::<SecretSpec>().unwrap().with_value("v").unwrap()).collect();
            let allow = vec!["a.test".parse().unwrap(), "b.test".parse().unwrap()];
            Access { allow, secrets, ..Access::default() }.validate()
        };
        for specs in [
            ["X=env:T@http://a.test", "X=env:U@http://a.test"],
            ["X=env:T@http://a.test/v1", "x=env:U@http://a.test/v1/b"],
            ["X=env:T@http://a.test/v1/b", "X=env:U@http://a.test"],
        ] {
            assert!(check(&specs).unwrap_err().to_string().contains("the same header is set for http://a.test:80"));
        }
        for specs in [
            ["X=env:T@http://a.test", "Y=env:U@http://a.test"],
            ["X=env:T@http://a.test", "X=env:U@http://b.test"],
            ["X=env:T@http://a.test/v1", "X=env:U@http://a.test/v2"],
        ] {
            check(&specs).unwrap();
        }
        let wild = "X=env:T@*.a.test".parse::<SecretSpec>().unwrap_err().to_string();
        assert!(wild.contains("a secret is for one host"), "{wild}");
    }
}
