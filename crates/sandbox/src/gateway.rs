//! What stands between a run's own network and the hosts it was allowed: a program outside that is handed listening
//! sockets of the inside. The sandbox opens them and passes them on; what is behind them is not its business.
//!
//! The nest init listens inside the run's network namespace and sends the sockets up. So there is no forwarder inside
//! that a program could attack, no route out of the namespace, and no connection whose origin is in doubt.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::output::Enforcement;

/// Opens a [`Passage`] for each run.
pub trait Gateway: fmt::Debug + Send + Sync {
    /// Starts what will answer for one run.
    ///
    /// # Errors
    /// Whatever keeps it from starting; the run is then refused.
    fn open(&self) -> io::Result<Box<dyn Passage>>;
}

/// The gateway of one run.
pub trait Passage: Send {
    /// What the run must find inside.
    fn inside(&self) -> &Inside;
    /// Takes the listening sockets, in the order of [`Inside::listen`].
    ///
    /// # Errors
    /// When they cannot be served; the run is then ended.
    fn serve(&mut self, listeners: Vec<OwnedFd>) -> io::Result<()>;
    /// Ends it, when the run has ended, and tells what it decided.
    fn close(self: Box<Self>) -> Traffic;
}

/// What a gateway needs inside.
#[derive(Debug, Clone, Default)]
pub struct Inside {
    /// Loopback addresses to listen on.
    pub listen: Vec<SocketAddrV4>,
    /// Names for `/etc/hosts`.
    pub hosts: Vec<(String, Ipv4Addr)>,
    /// Files, by absolute path.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Environment variables, over those of the command.
    pub env: Vec<(OsString, OsString)>,
    /// How far the gateway itself is confined.
    pub confined: Option<Enforcement>,
}

/// What went through a gateway, and what did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Each connection or request that was decided, in the order in which they were asked for.
    pub decisions: Vec<NetworkDecision>,
    /// How many further decisions are not listed.
    pub dropped: u64,
}

/// One connection or request, and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDecision {
    /// Whether it was let through.
    pub allowed: bool,
    /// What it was: `http`, `connect`, `tls` or `tcp`.
    pub kind: String,
    /// The method of an HTTP request that was read.
    pub method: Option<String>,
    /// The host as it was asked for, in its one spelling; empty when none could be read.
    pub host: String,
    /// The port; 0 when none could be read.
    pub port: u16,
    /// The address that was connected to.
    pub address: Option<IpAddr>,
    /// The rule that allowed it.
    pub rule: Option<String>,
    /// Why it was refused, or cut off.
    pub reason: Option<String>,
    /// What would allow it, where something would.
    pub how_to_allow: Option<String>,
    /// Bytes from the program to the host.
    pub sent: u64,
    /// Bytes from the host to the program.
    pub received: u64,
    /// Headers that were set on the way, by name.
    pub secrets: Vec<String>,
}
