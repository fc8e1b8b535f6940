//! What engine and proxy say to each other, over `SOCK_SEQPACKET` ([`agentic_sandbox::channel`]).

use agentic_sandbox::{Enforcement, NetworkDecision};
use serde::{Deserialize, Serialize};

use crate::host::Target;
use crate::rules::Access;

/// What a listening socket is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// HTTP requests as they are said to a proxy, `CONNECT` included.
    Proxy,
    /// Connections to one target, by programs that know no proxy.
    Forward(Target),
}

/// From the engine. It is sent before anything of the run is read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The rules and secrets.
    Begin(Box<Access>),
    /// The listening sockets come along, one an entry.
    Listen(Vec<Entry>),
    /// The run has ended.
    End,
}

/// From the proxy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// It is confined and waits for sockets.
    Ready { confined: Said, authority: Option<String> },
    /// It cannot serve.
    Failed(String),
    /// One decision that has ended, and which it was of those that were asked for.
    Decided(u64, Box<NetworkDecision>),
    /// All has been told, but for this many decisions.
    Ended { dropped: u64 },
}

/// [`Enforcement`] in a shape that the encoding can carry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Active,
    Degraded(String),
}

impl From<Said> for Enforcement {
    fn from(said: Said) -> Self {
        match said {
            Said::Active => Self::Active,
            Said::Degraded(why) => Self::Degraded(why),
        }
    }
}
