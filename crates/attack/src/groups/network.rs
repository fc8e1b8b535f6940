//! Out of the run's network, and into it. A run has a network namespace of its own with nothing but a loopback; every
//! spelling of the host's addresses, every other door to them, and the doors of the namespace itself.
//!
//! Where an act names an address beyond this host it only connects a datagram socket, which asks for a route and sends
//! nothing.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::attempt::{Act, Attempt, Proof, Proof::*, Scene, Setup, python};

const NOBODY: &[&str] = &["refused ECONNREFUSED"];
const NO_ROUTE: &[&str] = &["refused ENETUNREACH"];
const NO_SIX: &[&str] = &["refused EADDRNOTAVAIL", "refused EAFNOSUPPORT"];
const HOST_NETWORK: Setup = Setup { host_network: true, ..Setup::PLAIN };
const SHARED: &[Proof] = &[Without("network-namespace"), With(HOST_NETWORK)];

/// The listener of the host's loopback, spelt otherwise or reached by another call.
const fn listener(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, NOBODY, SHARED)
}

/// A route to an address; a control on a host that has none itself shows nothing.
const fn route(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, NO_ROUTE, &[Host]).or_missing(&["refused ENETUNREACH", "refused EAFNOSUPPORT"])
}

/// What takes a capability over the network namespace.
const fn capable(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &["refused EPERM"], &[Without("capabilities")])
}

/// The same by a request of `ioctl` that the list leaves out besides.
const fn request(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &["refused ENOTTY"], &[Without("capabilities+call:ioctl")])
}

/// What tells of the host's network; a host without any shows nothing.
const fn told(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &["refused none"], SHARED).or_missing(&["refused none"])
}

/// A socket option that the list leaves out, though it takes no capability.
const fn unlisted(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &["refused ENOPROTOOPT"], &[Host, Without("call:setsockopt")])
        .or_missing(&["refused ENOENT"])
}

/// The same by a socket option that the list leaves out besides.
const fn option(id: &'static str, what: &'static str, source: &'static str) -> Attempt {
    python(id, what, source, &["refused ENOPROTOOPT"], &[Without("capabilities+call:setsockopt")])
}

#[rustfmt::skip]
pub(in crate::groups) const NETWORK: &[Attempt] = &[
    listener("network/mapped-address", "the host's loopback as an IPv4 address inside an IPv6 one",
        "import socket\nattempt(socket.socket(socket.AF_INET6).connect, ('::ffff:127.0.0.1', HOST['tcp']))"),
    listener("network/zero-address", "the host's loopback as 0.0.0.0",
        "import socket\nattempt(socket.socket().connect, ('0.0.0.0', HOST['tcp']))"),
    listener("network/by-name", "the host's loopback by its name",
        "import socket\nattempt(socket.socket().connect, ('localhost', HOST['tcp']))"),
    listener("network/fast-open", "a connection that no `connect` makes",
        "import socket\nattempt(socket.socket().sendto, b'x', 0x20000000, ('127.0.0.1', HOST['tcp']))"),
    listener("network/non-blocking", "a connection whose outcome comes later",
        "import select, socket\ns = socket.socket(); s.setblocking(False)\nerror = s.connect_ex(('127.0.0.1', HOST['tcp']))\nif error == errno.EINPROGRESS:\n    select.select([], [s], [], 5)\n    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)\nrefused(named(error)) if error else reached()"),
    listener("network/bound-to-a-device", "a socket that names the interface",
        "import socket\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, 25, b'lo')\nattempt(s.connect, ('127.0.0.1', HOST['tcp']))"),
    listener("network/from-a-child", "a connection by a process that was forked and is orphaned",
        "import socket, time\nr, w = os.pipe()\nif os.fork() == 0:\n    if os.fork() == 0:\n        os.setsid()\n        os.write(w, str(socket.socket().connect_ex(('127.0.0.1', HOST['tcp']))).encode())\n    os._exit(0)\nos.close(w); error = int(os.read(r, 9))\nrefused(named(error)) if error else reached()"),
    listener("network/from-a-thread", "a connection by a thread",
        "import socket, threading\nsaid = []\nt = threading.Thread(target=lambda: said.append(socket.socket().connect_ex(('127.0.0.1', HOST['tcp']))))\nt.start(); t.join()\nrefused(named(said[0])) if said[0] else reached()"),
    listener("network/datagram-answered", "a datagram socket that hears whether anybody is there",
        "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', HOST['udp']))\ns.send(b'x')\nattempt(s.send, b'x')"),
    listener("network/decimal-address", "the host's loopback as one number",
        "import socket\nattempt(socket.socket().connect, ('2130706433', HOST['tcp']))"),
    listener("network/octal-address", "the host's loopback in octal",
        "import socket\nattempt(socket.socket().connect, ('0177.0.0.01', HOST['tcp']))"),
    listener("network/hexadecimal-address", "the host's loopback in hexadecimal",
        "import socket\nattempt(socket.socket().connect, ('0x7f.0x1', HOST['tcp']))"),
    listener("network/short-address", "the host's loopback without its zeros",
        "import socket\nattempt(socket.socket().connect, ('127.1', HOST['tcp']))"),
    listener("network/loopback-six", "a service on the host's IPv6 loopback",
        "import socket\nattempt(socket.socket(socket.AF_INET6).connect, ('::1', HOST['tcp_six']))").or_missing(NO_SIX),
    listener("network/zero-address-six", "the host's IPv6 loopback as ::",
        "import socket\nattempt(socket.socket(socket.AF_INET6).connect, ('::', HOST['tcp_six']))").or_missing(NO_SIX),
    listener("network/disconnected-and-again", "another peer for a socket that had one", DISCONNECTED),
    listener("network/datagram-by-message", "a datagram that no `connect` precedes",
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_IP, 11, 1)\ns.sendmsg([b'x'], [], 0, ('127.0.0.1', HOST['udp']))\nerror = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)\nrefused(named(error)) if error else reached()"),
    python("network/by-the-shell", "a connection by bash's own device",
        "import subprocess\nended = subprocess.run(['/bin/bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/%d' % HOST['tcp']], stderr=subprocess.DEVNULL)\nreached() if ended.returncode == 0 else refused('status %d' % ended.returncode)",
        &["refused status 1"], SHARED),
    route("network/beyond", "any address of the world",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ('192.0.2.1', 9))"),
    route("network/metadata", "the credentials of a cloud machine",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ('169.254.169.254', 80))"),
    route("network/private", "the neighbours of the host",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ('10.0.0.1', 53))"),
    route("network/resolver", "names as a way out: a public resolver",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ('8.8.8.8', 53))"),
    route("network/broadcast", "everybody on the host's network",
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\nattempt(s.connect, ('255.255.255.255', 9))"),
    route("network/multicast", "services that announce themselves on the host's network",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ('224.0.0.251', 5353))"),
    route("network/metadata-six", "the credentials of a cloud machine, by IPv6",
        "import socket\nattempt(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect, ('fd00:ec2::254', 80))"),
    route("network/containers-of-the-host", "the host, as its containers know it",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ('172.17.0.1', 2375))"),
    route("network/translated-six", "the metadata address behind a translator's prefix",
        "import socket\nattempt(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect, ('64:ff9b::a9fe:a9fe', 80))"),
    route("network/beyond-six", "any address of the world, by IPv6",
        "import socket\nattempt(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect, ('2001:db8::1', 9))"),
    python("network/names-of-resolvers", "who the host asks for names",
        "said = [line for line in open('/etc/resolv.conf') if line.startswith('nameserver')]\nreached() if said else refused('none')",
        &["refused none"], &[Host, With(HOST_NETWORK)]).or_missing(&["refused none"]),
    python("network/interfaces", "which networks the host is on",
        "import socket\nnames = [name for _, name in socket.if_nameindex() if name.startswith(('e', 'w', 'docker', 'veth'))]\nreached() if names else refused('none')",
        &["refused none"], SHARED).or_missing(&["refused none"]),
    python("network/listeners-of-the-host", "which services the host runs",
        "port = ':%04X ' % HOST['tcp']\nreached() if port in open('/proc/net/tcp').read() else refused('none')",
        &["refused none"], SHARED),
    told("network/datagram-listeners-of-the-host", "which datagram services the host runs",
        "port = ':%04X ' % HOST['udp']\nreached() if port in open('/proc/net/udp').read() else refused('none')"),
    told("network/sockets-of-the-host", "the names of the host's sockets",
        "reached() if HOST['abstract'] in open('/proc/net/unix').read() else refused('none')"),
    told("network/routes-of-the-host", "which networks the host routes to",
        "reached() if len(open('/proc/net/route').readlines()) > 1 else refused('none')"),
    told("network/neighbours-of-the-host", "which machines the host has talked to",
        "reached() if len(open('/proc/net/arp').readlines()) > 1 else refused('none')"),
    told("network/traffic-of-the-host", "how much the host sends and receives",
        "names = [line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]\nreached() if [name for name in names if name.startswith(('e', 'w', 'docker', 'veth'))] else refused('none')"),
    told("network/addresses-of-the-host", "the host's addresses, by netlink", ADDRESSES),
    Attempt { act: Act::Host(listen), ..python("network/listen-for-the-host", "to be taken for a service of the host",
        "", NOBODY, SHARED) },
    capable("network/add-an-address", "another address for its own interface", ADD_ADDRESS),
    request("network/address-by-ioctl", "the same, by the older call",
        "import fcntl, socket, struct\nattempt(fcntl.ioctl, socket.socket(), 0x8916, struct.pack('16sHH4s8x', b'lo:1', 2, 0, bytes([127, 1, 2, 4])))"),
    request("network/add-a-route", "a way out for packets",
        "import fcntl, socket, struct\nname = buffer(b'lo\\0')\nto = lambda *a: struct.pack('HH4s8x', 2, 0, bytes(a))\nattempt(fcntl.ioctl, socket.socket(), 0x890b, struct.pack('@L16s16s16sHhLLhxxxxxxPLLH', 0, to(10, 0, 0, 0), to(0, 0, 0, 0), to(255, 0, 0, 0), 1, 0, 0, 0, 0, name, 0, 0, 0))"),
    capable("network/make-an-interface", "an interface, and its module", INTERFACE)
        .or_missing(&["refused ENOTSUP"]),
    capable("network/queueing", "the kernel's packet schedulers, with a history of their own", QUEUEING),
    request("network/namespace-by-a-socket", "a descriptor of the namespace that a socket is in",
        "import fcntl, socket\nattempt(fcntl.ioctl, socket.socket(), 0x894c)"),
    unlisted("network/tls-in-the-kernel", "the kernel's TLS over a plain socket: CVE-2023-0461", KERNEL_TLS),
    unlisted("network/encapsulation", "IPsec over a datagram socket: CVE-2022-27666",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt, socket.IPPROTO_UDP, 100, 2)"),
    unlisted("network/filter", "a program for the kernel's BPF",
        "import socket, struct\nprogram = buffer(struct.pack('HBBI', 6, 0, 0, 0xffffffff))\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt, socket.SOL_SOCKET, 26, struct.pack('@HP', 1, program))"),
    unlisted("network/zero-copy", "its pages inside the network stack",
        "import socket\nattempt(socket.socket().setsockopt, socket.SOL_SOCKET, 60, 1)"),
    unlisted("network/header-options", "a list that the kernel parses in each packet",
        "import socket\nattempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt, socket.SOL_IP, 4, bytes([1, 1, 1, 1]))"),
    unlisted("network/another-family", "an IPv6 socket that becomes one of IPv4",
        "import socket\nown = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()\ns = socket.socket(socket.AF_INET6); s.connect(('::ffff:127.0.0.1', own.getsockname()[1]))\nattempt(s.setsockopt, socket.IPPROTO_IPV6, 1, socket.AF_INET)"),
    option("network/transparent", "packets from addresses that it does not have",
        "import socket\nattempt(socket.socket().setsockopt, socket.SOL_IP, 19, 1)"),
    option("network/mark", "packets that the host's firewall takes for others",
        "import socket\nattempt(socket.socket().setsockopt, socket.SOL_SOCKET, 36, 1)"),
    option("network/repair", "connections that were never made",
        "import socket\nattempt(socket.socket().setsockopt, socket.IPPROTO_TCP, 19, 1)"),
    capable("network/priority", "packets before everybody's",
        "import socket\nattempt(socket.socket().setsockopt, socket.SOL_SOCKET, socket.SO_PRIORITY, 7)"),
];

/// `RTM_NEWADDR` of 127.1.2.3/32 on the loopback, and the kernel's acknowledgement (rtnetlink(7)).
const ADD_ADDRESS: &str = r"
import socket, struct
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
address = struct.pack('=HH4s', 8, 2, bytes([127, 1, 2, 3]))
body = struct.pack('=BBBBI', socket.AF_INET, 32, 0, 0, 1) + address
link.sendto(struct.pack('=IHHII', 16 + len(body), 20, 0x405, 1, 0) + body, (0, 0))
length, kind, flags, sequence, port, error = struct.unpack_from('=IHHIIi', link.recv(4096))
reached() if (kind, error) == (2, 0) else refused(named(-error))
";

/// `RTM_GETADDR`, all of them: any but those of the loopback.
const ADDRESSES: &str = r"
import socket, struct
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
link.sendto(struct.pack('=IHHIIBxxxI', 24, 22, 0x301, 1, 0, socket.AF_INET, 0), (0, 0))
found, done = [], False
while not done:
    data = link.recv(65536)
    while data:
        length, kind = struct.unpack_from('=IH', data)
        done = done or kind in (2, 3)
        if kind == 20: found.append(struct.unpack_from('=I', data, 20)[0])
        data = data[(length + 3) & ~3:]
reached() if [index for index in found if index != 1] else refused('none')
";

/// `RTM_NEWLINK` of a dummy interface.
const INTERFACE: &str = r"
import socket, struct
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
kind = struct.pack('=HH8s', 9, 1, b'dummy')
body = struct.pack('=BxHiII', 0, 0, 0, 0, 0) + struct.pack('=HH', 4 + len(kind), 18) + kind
link.sendto(struct.pack('=IHHII', 16 + len(body), 16, 0x605, 1, 0) + body, (0, 0))
length, kind, flags, sequence, port, error = struct.unpack_from('=IHHIIi', link.recv(4096))
reached() if (kind, error) == (2, 0) else refused(named(-error))
";

/// `RTM_NEWQDISC` of `pfifo` on the loopback.
const QUEUEING: &str = r"
import socket, struct
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
body = struct.pack('=BxxxiIII', 0, 1, 0x10000, 0xffffffff, 0) + struct.pack('=HH8s', 10, 1, b'pfifo')
link.sendto(struct.pack('=IHHII', 16 + len(body), 36, 0x605, 1, 0) + body, (0, 0))
length, kind, flags, sequence, port, error = struct.unpack_from('=IHHIIi', link.recv(4096))
reached() if (kind, error) == (2, 0) else refused(named(-error))
";

/// `TCP_ULP` on an established connection, as it must be.
const KERNEL_TLS: &str = r"
import socket
own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()
s = socket.socket(); s.connect(own.getsockname())
attempt(s.setsockopt, socket.IPPROTO_TCP, 31, b'tls')
";

/// `connect` to AF_UNSPEC takes the peer away (connect(2)), past whoever looks at the first peer alone.
const DISCONNECTED: &str = r"
import socket
own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()
s = socket.socket(); s.connect(own.getsockname())
if libc().connect(s.fileno(), bytes(16), 16): refused('to let go')
attempt(s.connect, ('127.0.0.1', HOST['tcp']))
";

/// A program listens on every address it has; the host knocks.
fn listen(scene: &Scene<'_>) -> Result<String, String> {
    const LISTEN: &str = "import socket, time\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\ns.bind(('0.0.0.0', int(HOST['pair']))); s.listen()\nprint('ready', flush=True)\ntime.sleep(60)";
    // Free a moment ago; a neighbour that takes it meanwhile makes the program fail, and so the attempt inconclusive.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.map_err(|error| format!("no free port: {error}"))?.port();
    let act = Act::Python(LISTEN);
    let mut running = scene.enclosure.start(act, &scene.attempt.setup, scene.bait, &port.to_string())?;
    running.wait_for("ready")?;
    let answer = match TcpStream::connect(("127.0.0.1", port)) {
        Ok(_) => Ok("reached".to_owned()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok("refused ECONNREFUSED".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    running.end(Duration::ZERO);
    answer
}
