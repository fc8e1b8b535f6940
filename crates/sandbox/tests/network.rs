//! What a program can reach: its own loopback, and nothing of the host's unless the host's network was asked for.

mod common;

use std::io;
use std::os::fd::OwnedFd;

use agentic_sandbox::{
    Closed, Command, Error, Gateway, Inside, Limits, Network, Passage, Policy, Profile, Tier, Traffic,
};
use agentic_testkit::SecretServer;
use common::{code, printed, sandbox, unconfined};

fn connect(port: u16) -> String {
    format!(
        "import socket, errno\ns = socket.socket()\ntry:\n s.connect(('127.0.0.1', {port})); print('connected')\nexcept OSError as e: print(errno.errorcode[e.errno])"
    )
}

#[test]
fn a_loopback_server_of_the_host_is_out_of_reach() {
    let server = SecretServer::start();
    let attempt = connect(server.address().port());
    assert_eq!(unconfined(&attempt), "connected\n");
    assert_eq!(printed(&code(Policy::default(), Limits::default(), &attempt)), "ECONNREFUSED\n");
    let host = Policy { network: Network::Host, ..Policy::default() };
    assert_eq!(printed(&code(host, Limits::default(), &attempt)), "connected\n");
}

#[test]
fn its_own_loopback_works() {
    let own = "import socket\nl = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()\nc = socket.create_connection(l.getsockname()); print('connected')";
    assert_eq!(printed(&code(Policy::default(), Limits::default(), own)), "connected\n");
}

#[test]
fn nothing_beyond_loopback_is_routed() {
    let attempt = "import socket, errno\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ntry:\n s.connect(('192.0.2.1', 9)); print('routed')\nexcept OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(printed(&code(Policy::default(), Limits::default(), attempt)), "ENETUNREACH\n");
}

#[test]
fn an_abstract_socket_of_the_host_is_out_of_reach() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = format!("agentic-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let attempt = format!(
        "import socket, errno\ns = socket.socket(socket.AF_UNIX)\ntry:\n s.connect(chr(0) + {name:?}); print('connected')\nexcept OSError as e: print(errno.errorcode[e.errno])"
    );
    assert_eq!(unconfined(&attempt), "connected\n");
    assert_eq!(printed(&code(Policy::default(), Limits::default(), &attempt)), "ECONNREFUSED\n");
    // The host's network brings the host's abstract names; the Landlock scope still closes them.
    let host = Policy { network: Network::Host, ..Policy::default() };
    assert_eq!(printed(&code(host, Limits::default(), &attempt)), "EPERM\n");
}

#[test]
fn without_inet_no_socket_is_made_and_a_socket_pair_still_is() {
    let attempt = "import socket, errno\na, b = socket.socketpair()\nfor f in (socket.AF_INET, socket.AF_INET6):\n try:\n  socket.socket(f); print('made')\n except OSError as e: print(errno.errorcode[e.errno])";
    assert_eq!(printed(&code(Policy::default(), Limits::default(), attempt)), "made\nmade\n");
    let closed = Policy { closed: Closed { inet: true, ..Closed::default() }, ..Policy::default() };
    assert_eq!(printed(&code(closed, Limits::default(), attempt)), "EAFNOSUPPORT\nEAFNOSUPPORT\n");
}

/// A gateway with nothing behind it.
#[derive(Debug)]
struct Nowhere(Inside);

impl Gateway for Nowhere {
    fn open(&self) -> io::Result<Box<dyn Passage>> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

impl Passage for Nowhere {
    fn inside(&self) -> &Inside {
        &self.0
    }
    fn serve(&mut self, _: Vec<OwnedFd>) -> io::Result<()> {
        Ok(())
    }
    fn close(self: Box<Self>) -> Traffic {
        Traffic::default()
    }
}

#[test]
fn allowed_hosts_and_closed_sockets_are_refused_as_a_contradiction() {
    let run = |policy: Policy| {
        let mut command = Command::new("/bin/true");
        command.gateway(std::sync::Arc::new(Nowhere(Inside::default()))).policy(policy).output(sandbox())
    };
    let proxied = Policy { network: Network::Proxied, tier: Tier::A, ..Policy::default() };
    let closed = Closed { inet: true, ..Closed::default() };
    for (policy, closes) in [
        (Policy { profile: Profile::Strict, ..proxied.clone() }, "profile strict"),
        (Policy { closed, ..proxied.clone() }, "closed.inet"),
        (Policy { profile: Profile::Strict, closed, tier: Tier::B, ..proxied.clone() }, "profile strict"),
    ] {
        match run(policy) {
            Err(Error::Policy(why)) => assert!(why.contains("the network is proxied") && why.contains(closes), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    // The controls: each side alone.
    for policy in [proxied.clone(), Policy { network: Network::None, profile: Profile::Strict, ..proxied }] {
        assert!(run(policy.clone()).is_ok(), "{policy:?}");
    }
}
