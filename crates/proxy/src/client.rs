//! The engine's side: starts a proxy for each run, lays out what the run finds inside, and collects the decisions.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use agentic_sandbox::{Gateway, Inside, NetworkDecision, Passage, Spawner, Traffic, channel};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::host::{Host, Target};
use crate::process::NAME;
use crate::rules::{Access, HostPattern, RuleError};
use crate::serve::MOST_TOLD;
use crate::tls::system_bundle;
use crate::wire::{Entry, Order, Word};

/// Where HTTP requests are answered inside.
const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128);
/// Where the authorities that are trusted inside lie.
const BUNDLE: &str = "/etc/agentic/ca-bundle.pem";
/// How long a proxy may take to be ready, and to tell the rest at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Targets that get a loopback address of their own.
const MOST_FORWARDS: usize = 200;

/// The gateway of an allow-list; one serves any number of runs.
#[derive(Debug)]
pub struct ProxyGateway {
    access: Access,
    program: Spawner,
}

impl ProxyGateway {
    /// Checks the rules. `program` is an executable that calls [`crate::proxy_hook`] first in its `main`.
    ///
    /// # Errors
    /// Rules that contradict each other ([`Access::validate`]).
    pub fn new(access: Access, program: Spawner) -> Result<Arc<Self>, RuleError> {
        access.validate()?;
        Ok(Arc::new(Self { access, program }))
    }
}

impl Gateway for ProxyGateway {
    fn open(&self) -> io::Result<Box<dyn Passage>> {
        let (ours, theirs) = channel::pair()?;
        let process = self.program.start(NAME, theirs).map_err(io::Error::other)?;
        let mut running =
            Running { socket: Arc::new(ours), process, reader: None, entries: Vec::new(), inside: Inside::default() };
        channel::send(&running.socket, &Order::Begin(Box::new(self.access.clone())), &[])?;
        if !readable(&running.socket, PATIENCE) {
            return Err(io::Error::other("it did not answer in time"));
        }
        let (confined, authority) = match channel::receive::<Word>(&running.socket)? {
            Some((Word::Ready { confined, authority }, _)) => (confined, authority),
            Some((Word::Failed(why), _)) => return Err(io::Error::other(why)),
            Some(_) => return Err(io::Error::other("it answered something else")),
            None => return Err(io::Error::other("it ended without a word")),
        };
        let (entries, mut inside) = lay_out(&self.access, authority.as_deref())?;
        inside.confined = Some(confined.into());
        running.entries = entries;
        running.inside = inside;
        Ok(Box::new(running))
    }
}

/// What a run finds inside, and what each listening socket is for.
fn lay_out(access: &Access, authority: Option<&str>) -> io::Result<(Vec<Entry>, Inside)> {
    let mut inside = Inside { listen: vec![PROXY], ..Inside::default() };
    let mut entries = vec![Entry::Proxy];
    // One loopback address a name, so that two names may have the same port.
    let mut addresses: BTreeMap<Host, Ipv4Addr> = BTreeMap::new();
    for rule in &access.allow {
        let HostPattern::Exact(host) = &rule.host else { continue };
        if addresses.len() >= MOST_FORWARDS {
            break;
        }
        for port in rule.ports() {
            let address = match host {
                _ if host.is_local() => Ipv4Addr::LOCALHOST,
                // There is no name to map: an address is reached through the proxy.
                Host::Address(_) => continue,
                Host::Name(name) => {
                    let next = addresses.len() as u8;
                    *addresses.entry(host.clone()).or_insert_with(|| {
                        let address = Ipv4Addr::new(127, 91, 0, next + 1);
                        inside.hosts.push((name.as_str().to_owned(), address));
                        address
                    })
                }
            };
            let at = SocketAddrV4::new(address, port);
            if !inside.listen.contains(&at) {
                inside.listen.push(at);
                entries.push(Entry::Forward(Target { host: host.clone(), port }));
            }
        }
    }
    let url = format!("http://{PROXY}");
    let mut set = |name: &str, value: &str| inside.env.push((name.into(), value.into()));
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "npm_config_proxy",
        "npm_config_https_proxy",
    ] {
        set(name, &url);
    }
    for name in ["NO_PROXY", "no_proxy", "npm_config_noproxy"] {
        set(name, "localhost,127.0.0.1,::1");
    }
    // Node's own `fetch` looks at these variables only when it is told to (24 and later).
    set("NODE_USE_ENV_PROXY", "1");
    if authority.is_some() || access.extra_roots.is_some() {
        let mut bundle = system_bundle();
        for more in [access.extra_roots.as_deref().map(read).transpose()?, authority.map(|pem| pem.as_bytes().to_vec())]
        {
            bundle.push(b'\n');
            bundle.extend(more.unwrap_or_default());
        }
        inside.files.push((PathBuf::from(BUNDLE), bundle));
        for name in [
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "GIT_SSL_CAINFO",
            "PIP_CERT",
            "npm_config_cafile",
            "CARGO_HTTP_CAINFO",
            "AWS_CA_BUNDLE",
            "DENO_CERT",
        ] {
            inside.env.push((name.into(), BUNDLE.into()));
        }
    }
    Ok((entries, inside))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| io::Error::other(format!("failed to read {}: {error}", path.display())))
}

/// The proxy of one run.
struct Running {
    socket: Arc<OwnedFd>,
    process: Child,
    reader: Option<JoinHandle<Traffic>>,
    entries: Vec<Entry>,
    inside: Inside,
}

impl Passage for Running {
    fn inside(&self) -> &Inside {
        &self.inside
    }
    fn serve(&mut self, listeners: Vec<OwnedFd>) -> io::Result<()> {
        if listeners.len() != self.entries.len() {
            return Err(io::Error::other("another number of sockets came along"));
        }
        let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        channel::send(&self.socket, &Order::Listen(self.entries.clone()), &sockets)?;
        let socket = self.socket.clone();
        let collect = move || collect(&socket);
        self.reader = Some(std::thread::Builder::new().name("network-decisions".into()).spawn(collect)?);
        Ok(())
    }
    fn close(mut self: Box<Self>) -> Traffic {
        // A proxy that has ended already tells nothing more, and the reader sees that.
        let _ = channel::send(&self.socket, &Order::End, &[]);
        let told = self.reader.take().and_then(|reader| reader.join().ok());
        told.unwrap_or_default()
    }
}

/// Decisions until the proxy says that there are no more. They come as they end. A proxy that tells more than it should
/// is not given room for it.
fn collect(socket: &OwnedFd) -> Traffic {
    let mut decided: BTreeMap<u64, NetworkDecision> = BTreeMap::new();
    let dropped = loop {
        match channel::receive::<Word>(socket) {
            Ok(Some((Word::Decided(number, decision), _))) if (decided.len() as u64) < MOST_TOLD => {
                decided.insert(number, *decision);
            }
            Ok(Some((Word::Ended { dropped }, _))) => break dropped,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break 0,
        }
    };
    Traffic { decisions: decided.into_values().collect(), dropped }
}

fn readable(socket: &OwnedFd, most: Duration) -> bool {
    let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: 0 };
    let mut ready = [PollFd::new(socket, PollFlags::IN)];
    matches!(rustix::io::retry_on_intr(|| poll(&mut ready, Some(&most))), Ok(1..))
}

impl Drop for Running {
    fn drop(&mut self) {
        // It holds nothing that must be saved.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
