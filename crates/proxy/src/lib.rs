//! The network allow-list: a proxy, confined and in a process of its own, through which one sandboxed run reaches the
//! hosts that its operator allowed, and nothing else.
//!
//! The operator's rules are an [`Access`]; [`ProxyGateway`] is what a sandbox command is given. For each run it starts
//! a proxy ([`proxy_hook`]), which is handed listening sockets of the run's own network. A connection is checked by
//! name, then resolved here, outside; addresses that are not public are refused unless a rule names them, and the
//! connection goes to the very address that was checked. Each request is checked anew, so a redirect, a second
//! resolution or a reused connection changes nothing. Every decision is told.
//!
//! Only the proxy holds secrets: headers that it sets after the check, for one host and path. One decision: a proxy
//! a run, rather than one for all, so that one run's secrets and budget are never in another's reach.
#![forbid(unsafe_code)]

pub mod address;
mod client;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod host;
pub mod http;
mod mask;
mod process;
mod rules;
mod serve;
mod stream;
mod tls;
mod wire;
mod written;

pub use client::ProxyGateway;
pub use host::{Host, HostError, HostName, Target};
pub use process::proxy_hook;
pub use rules::{Access, AllowRule, Budget, HostPattern, RuleError, Scope, Secret, SecretSource, SecretSpec, Via};
pub use serve::{Resolver, System};
pub use tls::{Hello, server_name};
pub use written::{Field, Written, WrittenError};
