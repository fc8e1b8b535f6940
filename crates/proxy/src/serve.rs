//! Serves connections from inside: decides by name, resolves, decides by address, connects, passes on. One thread a
//! connection, and a second one where both directions flow at once.
//!
//! Every request comes through [`Server::reach`], the one door to the network: nothing else in this crate connects.
//! After an answer the connection ends, on both sides. So no request can hide behind another.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agentic_sandbox::NetworkDecision;
use rustls::StreamOwned;

use crate::address;
use crate::host::{Host, Target, plain};
use crate::http::{self, Form, HttpError, Request};
use crate::mask::Mask;
use crate::rules::{Access, AllowRule, Secret, Via};
use crate::stream::{Replay, Stream};
use crate::tls::{Authority, Upstream};
use crate::wire::{Entry, Word};

mod relay;

/// How long a client may take for a head, and a host to accept a connection.
const HEAD_WAIT: Duration = Duration::from_secs(60);
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a host may be silent in an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(600);
/// Decisions that are told; further ones are counted.
pub(crate) const MOST_TOLD: u64 = 1000;
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 6;
const STACK: usize = 512 << 10;

/// Turns names into addresses, outside every sandbox.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The addresses of a name.
    ///
    /// # Errors
    /// When there are none.
    fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Resolver for System {
    fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        Ok((name, port).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// A refusal, in the words that the program and the operator get.
#[derive(Debug)]
struct Denied {
    status: u16,
    reason: String,
    /// What would allow it.
    remedy: Option<String>,
}

impl Denied {
    fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), remedy: None }
    }
}

impl From<HttpError> for Denied {
    fn from(error: HttpError) -> Self {
        Self::new(error.status, error.why)
    }
}

impl From<io::Error> for Denied {
    fn from(error: io::Error) -> Self {
        Self::new(502, error.to_string())
    }
}

/// One decision while its connection lasts.
struct Open {
    /// Counted as they were asked for.
    number: u64,
    decision: Mutex<NetworkDecision>,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Open {
    fn edit(&self) -> MutexGuard<'_, NetworkDecision> {
        self.decision.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn allow(&self, rule: &AllowRule) {
        let mut decision = self.edit();
        decision.allowed = true;
        decision.rule = Some(rule.to_string());
    }
    /// The first reason stays: what follows is its consequence.
    fn cut(&self, reason: String) {
        self.edit().reason.get_or_insert(reason);
    }
}

type Tell = Box<dyn Fn(Word) + Send + Sync>;

struct Inner {
    access: Access,
    resolver: Arc<dyn Resolver>,
    upstream: Upstream,
    authority: Option<Authority>,
    tell: Tell,
    asked: AtomicU64,
    told: AtomicU64,
    bytes: AtomicU64,
    connections: AtomicU64,
    at_once: AtomicU32,
    second: Mutex<(Instant, u32)>,
    open: Mutex<HashMap<u64, Arc<Open>>>,
}

/// A proxy's whole state, shared by its threads.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

/// Counts a connection for as long as it lasts.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    pub(crate) fn new(
        access: Access,
        resolver: Arc<dyn Resolver>,
        upstream: Upstream,
        authority: Option<Authority>,
        tell: impl Fn(Word) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            access,
            resolver,
            upstream,
            authority,
            tell: Box::new(tell),
            asked: AtomicU64::new(0),
            told: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            at_once: AtomicU32::new(0),
            second: Mutex::new((Instant::now(), 0)),
            open: Mutex::default(),
        }))
    }

    /// Takes connections until the socket fails.
    pub(crate) fn accept(&self, listener: &TcpListener, entry: &Entry) {
        for stream in listener.incoming() {
            // A connection that is gone before it was taken is nobody's; out of descriptors, others must end first.
            let Ok(stream) = stream else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            let (server, entry) = (self.clone(), entry.clone());
            // Without a thread the connection closes, which refuses it.
            let _ = std::thread::Builder::new().stack_size(STACK).spawn(move || server.connection(stream, &entry));
        }
    }

    /// Tells what is under way, as far as it came, and that it was all.
    pub(crate) fn end(&self) {
        let open: Vec<_> = self.lock_open().drain().map(|(_, open)| open).collect();
        for open in open {
            self.told(&open);
        }
        let dropped = self.0.told.load(Ordering::Relaxed).saturating_sub(MOST_TOLD);
        (self.0.tell)(Word::Ended { dropped });
    }

    fn lock_open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self, open: &Open) {
        let mut decision = open.edit().clone();
        decision.sent = open.sent.load(Ordering::Relaxed);
        decision.received = open.received.load(Ordering::Relaxed);
        if self.0.told.fetch_add(1, Ordering::Relaxed) < MOST_TOLD {
            (self.0.tell)(Word::Decided(open.number, Box::new(decision)));
        }
    }

    /// Runs `work` under a decision that is told when it ends, or when the run does.
    fn decided(
        &self,
        kind: &str,
        target: Option<&Target>,
        work: impl FnOnce(&Arc<Open>) -> Result<(), Denied>,
    ) -> Result<(), Denied> {
        let number = self.0.asked.fetch_add(1, Ordering::Relaxed);
        let open = Arc::new(Open {
            number,
            decision: Mutex::new(NetworkDecision {
                allowed: false,
                kind: kind.to_owned(),
                method: None,
                host: target.map(|target| target.host.to_string()).unwrap_or_default(),
                port: target.map_or(0, |target| target.port),
                address: None,
                rule: None,
                reason: None,
                how_to_allow: None,
                sent: 0,
                received: 0,
                secrets: Vec::new(),
            }),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        });
        self.lock_open().insert(number, open.clone());
        let result = work(&open);
        if let Err(denied) = &result {
            open.cut(denied.reason.clone());
            open.edit().how_to_allow.clone_from(&denied.remedy);
        }
        // Told at the end of the run, it is no longer there.
        if self.lock_open().remove(&number).is_some() {
            self.told(&open);
        }
        result
    }

    /// Counts a connection, or says which budget is spent.
    fn take_place(&self) -> Result<Place, Denied> {
        let budget = &self.0.access.budget;
        let spent = |what: String| Denied::new(429, format!("the run's network budget is spent: {what}"));
        if self.0.connections.fetch_add(1, Ordering::Relaxed) >= budget.connections {
            return Err(spent(format!("{} connections", budget.connections)));
        }
        if self.0.bytes.load(Ordering::Relaxed) >= budget.bytes {
            return Err(spent(format!("{} bytes", budget.bytes)));
        }
        {
            let mut second = self.0.second.lock().unwrap_or_else(PoisonError::into_inner);
            if second.0.elapsed() >= Duration::from_secs(1) {
                *second = (Instant::now(), 0);
            }
            second.1 += 1;
            if second.1 > budget.per_second {
                return Err(spent(format!("{} connections a second", budget.per_second)));
            }
        }
        let place = Place(self.0.clone());
        if self.0.at_once.fetch_add(1, Ordering::Relaxed) >= budget.at_once {
            return Err(spent(format!("{} connections at once", budget.at_once)));
        }
        Ok(place)
    }

    fn spend(&self, counter: &AtomicU64, count: usize) -> io::Result<()> {
        counter.fetch_add(count as u64, Ordering::Relaxed);
        let most = self.0.access.budget.bytes;
        if self.0.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64 > most {
            return Err(io::Error::other(format!("the run's network budget is spent: {most} bytes")));
        }
        Ok(())
    }

    fn connection(&self, stream: TcpStream, entry: &Entry) {
        let place = self.take_place();
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(HEAD_WAIT));
        let mut client = BufReader::new(Stream::Plain(stream));
        let refused = |client: &mut BufReader<Stream>, denied: Denied, answers: bool| {
            if answers {
                answer(client.get_mut(), &denied);
            }
            client.get_mut().finish();
        };
        let place = match place {
            Ok(place) => place,
            Err(denied) => {
                let target = match entry {
                    Entry::Forward(target) => Some(target),
                    Entry::Proxy => None,
                };
                let mut reason = None;
                let _ = self.decided("tcp", target, |_| {
                    reason = Some(Denied::new(denied.status, denied.reason.clone()));
                    Err(denied)
                });
                return reason.into_iter().for_each(|denied| refused(&mut client, denied, *entry == Entry::Proxy));
            }
        };
        match entry {
            Entry::Proxy => self.exchange(&mut client, None),
            Entry::Forward(target) if target.port == 80 => self.exchange(&mut client, Some((target, false))),
            Entry::Forward(target) => drop(self.tunnel(client, target, "tcp")),
        }
        drop(place);
    }

    /// One request and its answer. `fixed` is where the connection leads, when it leads to one host, and over TLS or not.
    fn exchange(&self, client: &mut BufReader<Stream>, fixed: Option<(&Target, bool)>) {
        let head = match http::read_head(client) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                let denied = Denied::new(400, error.to_string());
                answer(client.get_mut(), &denied);
                let _ = self.decided("http", None, |_| Err(denied));
                return client.get_mut().finish();
            }
        };
        let request = http::parse_request(&head, fixed.map_or(80, |(target, _)| target.port)).map_err(Denied::from);
        let result = request.and_then(|request| {
            let (target, path) = match (&request.form, fixed) {
                (Form::Connect(target), None) => return Ok((target.clone(), None, request)),
                (Form::Absolute(target, path), None) => (target.clone(), path.clone()),
                (Form::Absolute(target, path), Some((fixed, false))) if target == fixed => {
                    (target.clone(), path.clone())
                }
                (Form::Origin(host, path), Some((fixed, _))) if host.as_ref().is_none_or(|host| host == fixed) => {
                    (fixed.clone(), path.clone())
                }
                (Form::Origin(Some(host), _), Some((fixed, _))) => {
                    return Err(Denied::new(
                        403,
                        format!("this connection leads to {fixed}, and the request is for {host}"),
                    ));
                }
                _ => return Err(Denied::new(400, "the request names another place than its connection, or none")),
            };
            Ok((target, Some(path), request))
        });
        match result {
            Err(denied) => {
                answer(client.get_mut(), &denied);
                let _ = self.decided("http", fixed.map(|(target, _)| target), |_| Err(denied));
            }
            Ok((target, None, _)) => {
                let rest = client.buffer().to_vec();
                let Stream::Plain(stream) = client.get_mut() else { return };
                let Ok(stream) = stream.try_clone() else { return };
                let first = Replay { first: Cursor::new(rest), stream };
                return drop(self.connect(first, &target));
            }
            Ok((target, Some(path), request)) => {
                let tls = fixed.is_some_and(|(_, tls)| tls);
                let kind = if tls { "tls" } else { "http" };
                let mut answered = false;
                let result = self.decided(kind, Some(&target), |open| {
                    open.edit().method = Some(request.method.clone());
                    self.request(client, &request, &target, tls, &path, open, &mut answered)
                });
                if let Err(denied) = result
                    && !answered
                {
                    answer(client.get_mut(), &denied);
                }
            }
        }
        client.get_mut().finish();
    }

    #[expect(clippy::too_many_arguments, reason = "what one request is")]
    fn request(
        &self,
        client: &mut BufReader<Stream>,
        request: &Request,
        target: &Target,
        tls: bool,
        path: &str,
        open: &Arc<Open>,
        answered: &mut bool,
    ) -> Result<(), Denied> {
        let reached = self.reach(target, open)?;
        reached.set_read_timeout(Some(ANSWER_WAIT))?;
        let mut server = if tls {
            let session = self.0.upstream.connect(&target.host)?;
            Stream::Client(Box::new(StreamOwned::new(session, reached)))
        } else {
            Stream::Plain(reached)
        };
        let covering: Vec<&Secret> =
            self.0.access.secrets.iter().filter(|secret| secret.scope.covers(tls, target, path)).collect();
        let mut set: Vec<(String, String)> = covering
            .iter()
            .map(|secret| (secret.header.clone(), format!("{}{}", secret.prefix, secret.value)))
            .collect();
        let names: Vec<String> = set.iter().map(|(name, _)| name.clone()).collect();
        let values = self.0.access.secrets.iter().filter(|secret| secret.scope.target == *target);
        let mut mask = Mask::new(values.map(|secret| secret.value.clone()));
        if !mask.is_empty() && !set.iter().any(|(name, _)| name == "accept-encoding") {
            // In a compressed answer an echoed secret could not be found.
            set.push(("accept-encoding".into(), "identity".into()));
        }
        let head = request.for_server(target, tls, path, &set);
        self.spend(&open.sent, head.len())?;
        server.write_all(&head)?;
        open.edit().secrets = names;
        if request.expects {
            client.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let sent = http::copy_body(request.body, client, &mut server, |count| self.spend(&open.sent, count));
        // A server may answer before it has read all, and close.
        if let Err(error) = &sent
            && !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
        {
            return Err(Denied::new(400, error.to_string()));
        }
        server.flush()?;
        let mut server = BufReader::new(server);
        let response = loop {
            let head = http::read_head(&mut server)?
                .ok_or_else(|| Denied::new(502, "the host ended the connection without an answer"))?;
            self.spend(&open.received, head.len())?;
            let response = http::rewrite_response(&head, !mask.is_empty())?;
            if response.status == 101 {
                return Err(Denied::new(502, "the host changes to another protocol, which was not asked for"));
            }
            if response.status >= 200 {
                break response;
            }
        };
        *answered = true;
        let client = client.get_mut();
        let head = mask.pass(&response.head);
        client.write_all(&head)?;
        client.write_all(&mask.rest())?;
        let none = request.method == "HEAD" || response.status == 204 || response.status == 304;
        let most = if none { 0 } else { response.length.unwrap_or(u64::MAX) };
        let chunked = response.chunked && !none;
        // A value may lie over two chunks: the body is unpacked for the mask, and framed anew.
        let mut body: Box<dyn Read> = match chunked && !mask.is_empty() {
            true => Box::new(http::Chunks::new(&mut server)),
            false => Box::new((&mut server).take(most)),
        };
        let framed = chunked && !mask.is_empty();
        let mut buffer = [0; 16 << 10];
        loop {
            let count = body.read(&mut buffer)?;
            self.spend(&open.received, count)?;
            let passed = if count == 0 { mask.rest() } else { mask.pass(&buffer[..count]) };
            if framed {
                http::write_chunk(client, &passed)?;
            } else {
                client.write_all(&passed)?;
            }
            if count == 0 {
                break;
            }
            client.flush()?;
        }
        if framed {
            client.write_all(http::LAST_CHUNK)?;
        }
        client.flush()?;
        Ok(())
    }

    /// The one door to the network: the rule, then the addresses, then the connection to one of them.
    fn reach(&self, target: &Target, open: &Open) -> Result<TcpStream, Denied> {
        let Some(rule) = self.0.access.rule(target) else {
            return Err(Denied {
                status: 403,
                reason: format!("no rule allows {target}"),
                remedy: Some(remedy(&suggestion(target))),
            });
        };
        let addresses: Vec<IpAddr> = match (&target.host, rule.via) {
            (_, Via::Pinned(address)) => vec![address],
            // The rule names the address itself.
            (Host::Address(address), _) => vec![*address],
            (Host::Name(name), via) => {
                let found = self.0.resolver.resolve(name.as_str(), target.port).map_err(|error| {
                    // The rule lets it through; nobody is there.
                    open.allow(rule);
                    Denied::new(502, format!("the name {name} was not resolved: {error}", name = name.as_str()))
                })?;
                let found: Vec<IpAddr> = found.into_iter().map(plain).collect();
                let why = |address: &IpAddr| match via {
                    _ if target.host.is_local() => (!address.is_loopback()).then_some("not loopback"),
                    Via::Within(network) if network.holds(*address) => None,
                    _ => address::refusal(*address),
                };
                let fitting: Vec<IpAddr> = found.iter().copied().filter(|address| why(address).is_none()).collect();
                if fitting.is_empty() {
                    let told = found.first().map(|address| {
                        format!("{target} resolves to {address} ({})", why(address).unwrap_or_default())
                    });
                    return Err(Denied {
                        status: 403,
                        reason: told.clone().unwrap_or_else(|| format!("{target} has no address")),
                        remedy: found.first().map(|address| {
                            let pinned = remedy(&format!("{}={address}", suggestion(target)));
                            format!("if that address is meant, {pinned}")
                        }),
                    });
                }
                fitting
            }
        };
        open.allow(rule);
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            match TcpStream::connect_timeout(&SocketAddr::new(address, target.port), CONNECT_WAIT) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    open.edit().address = Some(address);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(Denied::new(502, format!("failed to connect to {target}: {last}")))
    }
}

/// The name inside a TLS stream must be the one that the tunnel was allowed for.
fn check_name(target: &Target, name: Option<&str>) -> Result<(), Denied> {
    let Host::Name(wanted) = &target.host else { return Ok(()) };
    match name {
        Some(name) if Host::parse(name).as_ref() == Ok(&target.host) => Ok(()),
        Some(name) => {
            let shown: String = name.chars().take(300).collect();
            Err(Denied::new(403, format!("the tunnel is for {}, and the TLS inside asks for {shown}", wanted.as_str())))
        }
        None => {
            Err(Denied::new(403, format!("the tunnel is for {}, and the TLS inside names no host", wanted.as_str())))
        }
    }
}

/// The rule that would allow a target.
fn suggestion(target: &Target) -> String {
    if matches!(target.port, 80 | 443) { target.host.to_string() } else { target.to_string() }
}

/// What to change, for whoever started the run: a person at a terminal, or a Python program.
fn remedy(rule: &str) -> String {
    format!("name the host (--allow-net {rule}, allow_net=[\"{rule}\"])")
}

/// Says no, as far as the client listens.
fn answer(client: &mut impl Write, denied: &Denied) {
    let status = match denied.status {
        400 => "400 Bad Request",
        403 => "403 Forbidden",
        429 => "429 Too Many Requests",
        _ => "502 Bad Gateway",
    };
    let mut body = match denied.status {
        403 => format!("agentic: network access denied: {}\n", denied.reason),
        _ => format!("agentic: the network proxy refused this: {}\n", denied.reason),
    };
    if let Some(remedy) = &denied.remedy {
        body.push_str(&format!("To allow it: {remedy}\n"));
    }
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Agentic-Denied: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = client
        .write_all(head.as_bytes())
        .and_then(|()| client.write_all(body.as_bytes()))
        .and_then(|()| client.flush());
}

#[cfg(test)]
mod tests;
