//! TLS on both sides: what a tunnel says it is for ([`server_name`]), and the run's own authority, under which the
//! proxy answers for hosts whose TLS the operator opened ([`Authority`]). The authority's key never leaves the proxy's
//! memory; its certificate is good for those hosts alone (name constraints) and is trusted inside this run alone.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use crate::host::Host;
use crate::rules::HostPattern;

/// Where systems keep the authorities they trust, as one file.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's authorities as PEM; empty where there are none.
pub(crate) fn system_bundle() -> Vec<u8> {
    BUNDLES.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default()
}

/// The longest ClientHello that is waited for.
const LONGEST_HELLO: usize = 64 << 10;

/// What the beginning of a stream says about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed.
    Incomplete,
    /// A ClientHello, with the name that it asks for, where it asks for one.
    Complete(Option<String>),
    /// No ClientHello.
    Other(String),
}

/// Reads the beginning of a TLS stream.
pub fn server_name(bytes: &[u8]) -> Hello {
    let mut acceptor = rustls::server::Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        match acceptor.read_tls(&mut rest) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Hello::Other(error.to_string()),
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Hello::Complete(accepted.client_hello().server_name().map(str::to_owned)),
            Err((error, _)) => return Hello::Other(error.to_string()),
        }
    }
    if bytes.len() > LONGEST_HELLO { Hello::Other("the ClientHello is too long".into()) } else { Hello::Incomplete }
}

/// Reads a stream up to the end of its ClientHello: the bytes that were read, and the name.
pub(crate) fn read_hello(stream: &mut impl Read) -> io::Result<(Vec<u8>, Option<String>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(io::Error::new(io::ErrorKind::InvalidData, "the tunnel ended before a TLS ClientHello")),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
        match server_name(&bytes) {
            Hello::Incomplete => {}
            Hello::Complete(name) => return Ok((bytes, name)),
            Hello::Other(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("not TLS: {why}"))),
        }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The client's side, towards servers.
#[derive(Debug, Clone)]
pub(crate) struct Upstream(Arc<ClientConfig>);

impl Upstream {
    /// Trusts the system's authorities and those of a file.
    pub(crate) fn new(extra: Option<&Path>) -> io::Result<Self> {
        let mut pem = system_bundle();
        if let Some(path) = extra {
            pem.push(b'\n');
            pem.extend(std::fs::read(path)?);
        }
        let mut roots = RootCertStore::empty();
        // Systems list some that no verifier of today takes.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
    pub(crate) fn connect(&self, host: &Host) -> io::Result<ClientConnection> {
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).map_err(io::Error::other)?,
            Host::Address(address) => ServerName::IpAddress((*address).into()),
        };
        ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)
    }
}

/// The run's own authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    leaves: Mutex<HashMap<Host, Arc<ServerConfig>>>,
}

impl Authority {
    pub(crate) fn new(hosts: &[HostPattern]) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "agentic: authority of one run");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let permitted_subtrees = hosts
            .iter()
            .map(|pattern| match pattern {
                HostPattern::Exact(Host::Name(name)) | HostPattern::Below(name) => {
                    GeneralSubtree::DnsName(name.as_str().to_owned())
                }
                HostPattern::Exact(Host::Address(address)) => GeneralSubtree::IpAddress(match address {
                    std::net::IpAddr::V4(four) => rcgen::CidrSubnet::from_v4_prefix(four.octets(), 32),
                    std::net::IpAddr::V6(six) => rcgen::CidrSubnet::from_v6_prefix(six.octets(), 128),
                }),
            })
            .collect();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let pem = params.self_signed(&key).map_err(io::Error::other)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, leaves: Mutex::default() })
    }
    /// Its certificate, for the trust store inside.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
    /// What the proxy answers with for a host.
    pub(crate) fn server(&self, host: &Host) -> io::Result<Arc<ServerConfig>> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = leaves.get(host) {
            return Ok(config.clone());
        }
        let name = match host {
            Host::Name(name) => name.as_str().to_owned(),
            Host::Address(address) => address.to_string(),
        };
        let mut params = CertificateParams::new(vec![name]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, "agentic proxy");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        leaves.insert(host.clone(), config.clone());
        Ok(config)
    }
}
