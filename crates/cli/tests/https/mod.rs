//! HTTPS servers on the loopback, under an authority that the test makes: what answers is a closure.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::scene::Scene;

/// One request, as the server got it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The host that the TLS asked for.
    pub(crate) name: String,
    /// The head, its last line included.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }
    /// The path and what stands behind `?`.
    pub(crate) fn path(&self) -> (&str, &str) {
        let target = self.head.split(' ').nth(1).unwrap_or_default();
        target.split_once('?').unwrap_or((target, ""))
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| line.split_once(':').is_some_and(|(other, _)| other.eq_ignore_ascii_case(name));
        Some(self.head.lines().find(|line| of(line))?.split_once(':')?.1.trim())
    }
}

/// What a server answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Header lines beside the length.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn ok(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: vec![format!("Content-Type: {kind}")], body: body.into() }
    }
    pub(crate) fn not_found() -> Self {
        Self { status: 404, headers: Vec::new(), body: b"not found\n".to_vec() }
    }
    pub(crate) fn redirect(to: &str) -> Self {
        Self { status: 302, headers: vec![format!("Location: {to}")], body: Vec::new() }
    }
}

/// A server for some names.
pub(crate) struct Https {
    pub(crate) port: u16,
    authority: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Https {
    /// `names` are those of its certificate.
    pub(crate) fn start(names: &[&str], serve: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let Certified { authority, certificate, key } =
            certify(names, &format!("authority of the test server at {port}"));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let config = Arc::new(config);
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (keep, serve) = (seen.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (keep, config, serve) = (keep.clone(), config.clone(), serve.clone());
                std::thread::spawn(move || drop(answer(stream, config, &keep, &*serve)));
            }
        });
        Self { port, authority, seen }
    }
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
    /// The rule that allows it by this name.
    pub(crate) fn rule(&self, name: &str) -> String {
        format!("{name}:{}=127.0.0.1", self.port)
    }
    /// Its authority, as a file beside the workspace.
    pub(crate) fn authority(&self, scene: &Scene) -> PathBuf {
        let path = scene.path("state").join(format!("authority-{}.pem", self.port));
        std::fs::write(&path, &self.authority).unwrap();
        path
    }
}

/// What a server shows, and who vouches for it.
pub(crate) struct Certified {
    /// The authority, as PEM.
    pub(crate) authority: String,
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

/// A certificate for these names, by an authority of its own.
pub(crate) fn certify(names: &[&str], title: &str) -> Certified {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, title);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Certified { authority, certificate, key }
}

fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    keep: &Mutex<Vec<Request>>,
    serve: &dyn Fn(&Request) -> Answer,
) -> std::io::Result<()> {
    let session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(session, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        // Whoever does not take the certificate goes without a request.
        if stream.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let name = stream.get_ref().conn.server_name().unwrap_or_default().to_owned();
    let mut request = Request { name, head, body: Vec::new() };
    if request.header("expect").is_some() {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request.header("transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            stream.by_ref().take(size).read_to_end(&mut request.body)?;
            stream.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = request.header("content-length").and_then(|text| text.parse().ok()) {
        stream.by_ref().take(length).read_to_end(&mut request.body)?;
    }
    keep.lock().unwrap().push(request.clone());
    let answer = serve(&request);
    let stream = stream.get_mut();
    write!(stream, "HTTP/1.1 {} Answer\r\nContent-Length: {}\r\n", answer.status, answer.body.len())?;
    for line in &answer.headers {
        write!(stream, "{line}\r\n")?;
    }
    stream.write_all(b"Connection: close\r\n\r\n")?;
    stream.write_all(&answer.body)?;
    stream.conn.send_close_notify();
    stream.flush()
}
