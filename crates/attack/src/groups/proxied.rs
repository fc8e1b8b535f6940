//! Through the proxy of a run that was allowed one host: the host's loopback, in every spelling that reaches it outside.
//!
//! The same program, where no proxy is, connects itself: that is the control, and it shows that the spelling is one.

use crate::attempt::{Attempt, Proof::*, python};

/// A tunnel to the listener of the host's loopback. The name that is allowed stands in `/etc/hosts` where the proxy is.
macro_rules! tunnel {
    ($host:literal) => {
        concat!(
            "import socket\nhost, port = '",
            $host,
            "', HOST['tcp']\n",
            "if 'harmless.test' not in open('/etc/hosts').read(): attempt(socket.create_connection, (host, port), 20)\n",
            "target = f'[{host}]:{port}' if ':' in host else f'{host}:{port}'\n",
            "s = socket.create_connection(('127.0.0.1', 3128), 20)\n",
            "s.sendall(f'CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n'.encode())\n",
            "status = s.makefile('rb').readline().split()[1].decode()\n",
            "reached() if status == '200' else refused(status)",
        )
    };
}

/// A spelling of the address that the proxy reads as one, and that no rule allows.
const fn address(id: &'static str, source: &'static str) -> Attempt {
    python(id, "the host's loopback through the proxy", source, &["refused 403"], &[Host])
}

/// A spelling that the proxy takes for no host at all.
const fn nonsense(id: &'static str, source: &'static str) -> Attempt {
    python(id, "the host's loopback through the proxy, oddly spelt", source, &["refused 400"], &[Host])
}

#[rustfmt::skip]
pub(in crate::groups) const PROXIED: &[Attempt] = &[
    address("network/proxied-address", tunnel!("127.0.0.1")),
    address("network/proxied-name", tunnel!("localhost")),
    address("network/proxied-name-in-capitals", tunnel!("LOCALHOST")),
    address("network/proxied-zero", tunnel!("0.0.0.0")),
    address("network/proxied-mapped", tunnel!("::ffff:127.0.0.1")),
    address("network/proxied-mapped-in-hexadecimal", tunnel!("::ffff:7f00:1")),
    nonsense("network/proxied-short", tunnel!("127.1")),
    nonsense("network/proxied-number", tunnel!("2130706433")),
    nonsense("network/proxied-hexadecimal", tunnel!("0x7f000001")),
    nonsense("network/proxied-octal", tunnel!("0177.0.0.1")),
];
