//! Socket families, types and protocols. Each family is a part of the kernel, most of them modules that a `socket` call
//! loads: AF_ALG (CVE-2026-31431), RXRPC and XFRM (CVE-2026-43284), PACKET and the netlink protocols behind
//! capabilities, VSOCK past every network namespace.

use libc as c;

use crate::attempt::{Attempt, Proof, Proof::*, call, python};

const NO_FAMILY: &[&str] = &["EAFNOSUPPORT"];
/// What a kernel says that was built without a family, or cannot load it.
const MISSING: &[&str] = &["EAFNOSUPPORT", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT", "EPERM", "EINVAL"];
const MADE: &[&str] = &["ok"];

/// A family as `socket(family, type, protocol)`.
const fn family(id: &'static str, what: &'static str, args: &'static str) -> Attempt {
    const PROOFS: &[Proof] = &[Host];
    call(id, what, (c::SYS_socket, args), NO_FAMILY, MADE, PROOFS).or_missing(MISSING)
}

/// A family that takes a capability: in a network namespace of the run's own that shows it without harm.
const fn privileged(id: &'static str, what: &'static str, args: &'static str) -> Attempt {
    const PROOFS: &[Proof] = &[Without("call:socket+capabilities")];
    call(id, what, (c::SYS_socket, args), NO_FAMILY, MADE, PROOFS).or_missing(&["ESOCKTNOSUPPORT", "EPROTONOSUPPORT"])
}

#[rustfmt::skip]
pub(in crate::groups) const SOCKETS: &[Attempt] = &[
    family("kernel/socket-alg", "the crypto interface: page-cache writes", "38, 5, 0"),
    family("kernel/socket-rxrpc", "RxRPC: in-place decryption of spliced pages", "33, 2, 2"),
    family("kernel/socket-vsock", "hypervisor and sibling runs, past every network namespace", "40, 1, 0"),
    family("kernel/socket-tipc", "TIPC", "30, 5, 0"),
    family("kernel/socket-rds", "RDS", "21, 5, 0"),
    family("kernel/socket-bluetooth", "Bluetooth, which knows no network namespace", "31, 3, 1"),
    family("kernel/socket-can", "CAN", "29, 3, 1"),
    family("kernel/socket-ax25", "AX.25", "3, 2, 0"),
    family("kernel/socket-netrom", "NET/ROM", "6, 5, 0"),
    family("kernel/socket-x25", "X.25", "9, 5, 0"),
    family("kernel/socket-rose", "ROSE", "11, 5, 0"),
    family("kernel/socket-appletalk", "AppleTalk", "5, 2, 0"),
    family("kernel/socket-ipx", "IPX", "4, 2, 0"),
    family("kernel/socket-atm", "ATM", "8, 2, 0"),
    family("kernel/socket-pppox", "PPP over anything", "24, 1, 0"),
    family("kernel/socket-llc", "LLC", "26, 1, 0"),
    family("kernel/socket-ieee802154", "IEEE 802.15.4", "36, 2, 0"),
    family("kernel/socket-phonet", "Phonet", "35, 2, 0"),
    family("kernel/socket-caif", "CAIF", "37, 1, 0"),
    family("kernel/socket-nfc", "NFC", "39, 5, 0"),
    family("kernel/socket-kcm", "KCM", "41, 2, 0"),
    family("kernel/socket-qrtr", "Qualcomm's router", "42, 2, 0"),
    family("kernel/socket-smc", "SMC", "43, 1, 0"),
    family("kernel/socket-mctp", "MCTP", "45, 2, 0"),
    family("kernel/netlink-xfrm", "IPsec's configuration", "16, 3, 6"),
    family("kernel/netlink-netfilter", "nf_tables", "16, 3, 12"),
    family("kernel/netlink-sock-diag", "sockets of others", "16, 3, 4"),
    family("kernel/netlink-uevent", "events of devices", "16, 3, 15"),
    family("kernel/netlink-generic", "generic netlink: hundreds of handlers", "16, 3, 16"),
    family("kernel/netlink-audit", "the audit log", "16, 3, 9"),
    family("kernel/netlink-connector", "every fork and exec of the host", "16, 2, 11"),
    family("kernel/netlink-crypto", "the crypto configuration", "16, 3, 21"),
    privileged("kernel/socket-packet", "raw frames", "17, 3, 0x300"),
    privileged("kernel/socket-packet-by-type", "raw frames, by the obsolete type of AF_INET", "17, 10, 0x300"),
    privileged("kernel/socket-xdp", "rings shared with the kernel", "44, 3, 0"),
    call("kernel/socket-key", "IPsec keys",
        (c::SYS_socket, "15, 3, 2"), NO_FAMILY, MADE, &[HostAsRoot]).or_missing(NO_FAMILY),
    call("kernel/socket-raw", "packets of its own making",
        (c::SYS_socket, "2, 3, 1"), &["EPERM"], MADE, &[Without("call:socket+capabilities")]),
    call("kernel/socket-raw-six", "packets of its own making",
        (c::SYS_socket, "10, 3, 58"), &["EPERM"], MADE, &[Without("call:socket+capabilities")]),
    call("kernel/socket-sctp", "SCTP, and its module",
        (c::SYS_socket, "2, 1, 132"), &["EPROTONOSUPPORT"], MADE, &[Host]).or_missing(&["EPROTONOSUPPORT"]),
    call("kernel/socket-mptcp", "MPTCP",
        (c::SYS_socket, "2, 1, 262"), &["EPROTONOSUPPORT"], MADE, &[Host]).or_missing(&["EPROTONOSUPPORT", "ENOPROTOOPT"]),
    call("kernel/socket-dccp", "DCCP, and its module",
        (c::SYS_socket, "2, 6, 33"), &["EPROTONOSUPPORT"], MADE, &[Host]).or_missing(&["EPROTONOSUPPORT", "ESOCKTNOSUPPORT"]),
    call("kernel/socket-udplite", "UDP-Lite",
        (c::SYS_socket, "2, 2, 136"), &["EPROTONOSUPPORT"], MADE, &[Host]).or_missing(&["EPROTONOSUPPORT"]),
    call("kernel/socket-l2tp", "L2TP, and its module",
        (c::SYS_socket, "2, 2, 115"), &["EPROTONOSUPPORT"], MADE, &[Host]).or_missing(&["EPROTONOSUPPORT"]),
    call("kernel/socket-ping", "ICMP without a capability",
        (c::SYS_socket, "2, 2, 1"), &["EPROTONOSUPPORT"], MADE, &[Host]).or_missing(&["EACCES", "EPROTONOSUPPORT"]),
    call("kernel/socketpair-of-another-family", "a family by the other door",
        (c::SYS_socketpair, "30, 5, 0, buffer(bytes(8))"), NO_FAMILY, MADE, &[Host]).or_missing(MISSING),
    // Out-of-band data on UNIX sockets: CVE-2025-38236.
    python("kernel/out-of-band-send", "a use after free in the socket queue, reachable from a browser's sandbox",
        "import socket\na, b = socket.socketpair()\nattempt(a.send, b'x', socket.MSG_OOB)",
        &["refused EPERM"], &[Host, Without("call:sendto")]).or_missing(&["refused EOPNOTSUPP"]),
    python("kernel/out-of-band-receive", "the same, on the other side",
        "import socket\na, b = socket.socketpair()\ntry: a.send(b'x', socket.MSG_OOB)\nexcept OSError: pass\nattempt(b.recv, 1, socket.MSG_OOB)",
        &["refused EPERM"], &[Host, Without("call:sendto+call:recvfrom")]).or_missing(&["refused EOPNOTSUPP"]),
    python("kernel/out-of-band-message", "the same by sendmsg",
        "import socket\na, b = socket.socketpair()\nattempt(a.sendmsg, [b'x'], [], socket.MSG_OOB)",
        &["refused EPERM"], &[Host, Without("call:sendmsg")]).or_missing(&["refused EOPNOTSUPP"]),
    python("kernel/foreign-entry", "the 32-bit entry: other numbers, past every rule of the native ones", FOREIGN,
        &["refused SIGSYS", "refused SIGSEGV"], &[Host]).or_missing(&["refused SIGSEGV"]).on("x86_64"),
    python("kernel/foreign-entry-socketcall", "every socket family by the 32-bit multiplexer", SOCKETCALL,
        &["refused SIGSYS", "refused SIGSEGV"], &[Host]).or_missing(&["refused SIGSEGV"]).on("x86_64"),
];

/// `mov eax, 20 (getpid); int 0x80; ret`, in a child.
const FOREIGN: &str = r"
import ctypes, mmap, signal
def machine_code(code):
    page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
child = os.fork()
if child == 0: os._exit(0 if machine_code(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))() > 0 else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if code == 0: reached()
refused(signal.Signals(-code).name if code < 0 else str(code))
";

/// `socketcall(SYS_SOCKET, {AF_UNIX, SOCK_STREAM, 0})`: number 102, the arguments in memory below 4 GiB.
const SOCKETCALL: &str = r"
import ctypes, mmap, signal
library = libc()
library.mmap.restype = ctypes.c_void_p
library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
# MAP_32BIT: whatever lies where, an address that fits.
at = library.mmap(None, 4096, 7, 0x22 | 0x40, -1, 0)
words = bytes([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
address = (at + 64).to_bytes(4, 'little')
code = bytes([0x53, 0xb8, 102, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9]) + address + bytes([0xcd, 0x80, 0x5b, 0xc3])
ctypes.memmove(at, code, len(code))
ctypes.memmove(at + 64, words, len(words))
child = os.fork()
if child == 0: os._exit(0 if ctypes.CFUNCTYPE(ctypes.c_int)(at)() >= 0 else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if status == 0: reached()
refused(signal.Signals(-status).name if status < 0 else str(status))
";
