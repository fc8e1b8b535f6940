//! What attempts come to in tier B, a run without namespaces, where that is not what they come to in tier A.
//!
//! Tier B closes more (every socket but a pair, `/tmp`, most of `/proc`), so that most of these attempts are refused one step
//! earlier; and it shows what only a namespace could hide. That is not promised, and each such attempt names the words
//! of SECURITY.md that say so.

use crate::attempt::Expectation::{self, NotPromised, Pointless, Refused, Same, Stopped};

const SOCKET: Expectation = Stopped("OSError: [Errno 97] Address family not supported by protocol");
const NO_FUNCTION: Expectation = Stopped("OSError: [Errno 38] Function not implemented");
const NOT_ALLOWED: Expectation = Stopped("PermissionError: [Errno 13] Permission denied: '");
const OTHERS: Expectation = Refused(&["refused EPERM"]);
const ACCESS: Expectation = Refused(&["refused EACCES"]);
const FAMILY: Expectation = Refused(&["refused EAFNOSUPPORT", "EAFNOSUPPORT"]);
/// Two programs, of which the first cannot make its half: that the half is refused, another attempt shows.
const HALF: Expectation = Pointless("the first program cannot make its socket or file: network/…, kernel/… show that");

#[rustfmt::skip]
const OTHERWISE: &[(Expectation, &[&str])] = &[
    (FAMILY, &[
        "kernel/socket-raw", "kernel/socket-raw-six", "kernel/socket-sctp", "kernel/socket-mptcp", "kernel/socket-dccp",
        "kernel/socket-udplite", "kernel/socket-l2tp", "kernel/socket-ping", "kernel/inet-closed", "kernel/netlink-closed",
    ]),
    (SOCKET, &[
        "kernel/path-socket-stream", "kernel/path-socket-datagram", "kernel/loopback-tcp", "kernel/loopback-udp",
        "kernel/abstract-socket", "kernel/low-port", "kernel/interface-down", "network/mapped-address",
        "network/zero-address", "network/by-name", "network/fast-open", "network/non-blocking",
        "network/bound-to-a-device", "network/datagram-answered", "network/beyond", "network/metadata", "network/private",
        "network/resolver", "network/broadcast", "network/multicast", "network/beyond-six", "network/interfaces",
        "network/add-an-address", "network/transparent", "network/mark", "network/repair", "network/priority",
        "network/decimal-address", "network/octal-address", "network/hexadecimal-address", "network/short-address",
        "network/loopback-six", "network/zero-address-six", "network/disconnected-and-again",
        "network/datagram-by-message", "network/metadata-six", "network/containers-of-the-host",
        "network/translated-six", "network/addresses-of-the-host", "network/address-by-ioctl", "network/add-a-route",
        "network/make-an-interface", "network/queueing", "network/namespace-by-a-socket", "network/tls-in-the-kernel",
        "network/encapsulation", "network/filter", "network/zero-copy", "network/header-options",
        "network/another-family",
    ]),
    (Stopped("PermissionError: [Errno 1] Operation not permitted"), &["kernel/path-socket-by-a-pair"]),
    (Pointless("the socket is refused in a child or a thread, whose complaint nobody reads"),
        &["network/from-a-child", "network/from-a-thread"]),
    (OTHERS, &[
        "kernel/host-process-signal", "kernel/host-process-priority", "kernel/host-process-affinity",
    ]),
    (ACCESS, &[
        "kernel/cgroup-files", "kernel/sysfs", "kernel/securityfs", "kernel/file-beside", "kernel/file-hidden",
        "kernel/dev-kmsg", "resources/scratch",
        "resources/scratch-by-allocation", "resources/scratch-by-many-files", "resources/scratch-across-folders",
        "resources/inodes", "python/own-memory",
    ]),
    // The host's folder is in sight, with the devices that the host has.
    (Refused(&["refused EACCES", "refused ENOENT"]), &[
        "kernel/dev-mem", "kernel/dev-kvm", "kernel/dev-fuse", "kernel/dev-tun",
    ]),
    (NOT_ALLOWED, &[
        "kernel/init-unfiltered", "kernel/host-process-environ", "kernel/keys", "kernel/dev-disks", "kernel/bypass-modes",
        "network/names-of-resolvers", "cross-run/process-list", "cross-run/locks-listed", "cross-run/segments-listed",
        "resources/memory-in-dev-shm", "resources/memory-in-tmp", "resources/memory-of-removed-files",
        "resources/memory-by-a-better-victim",
    ]),
    (NO_FUNCTION, &[
        "kernel/no-exec-memfd", "resources/memory-memfd", "resources/memory-of-a-closed-memfd",
        "resources/memory-of-an-undumpable-process",
    ]),
    (Refused(&["refused ENOSYS"]), &["resources/file-size", "resources/message-queues", "python/memfd-exec"]),
    (HALF, &[
        "network/listen-for-the-host", "cross-run/abstract-socket", "cross-run/abstract-datagram-socket",
        "cross-run/loopback-tcp", "cross-run/loopback-tcp-six", "cross-run/loopback-udp", "cross-run/port-taken",
        "cross-run/dev-shm", "cross-run/tmp", "cross-run/var-tmp", "cross-run/temporary-names", "cross-run/path-socket",
    ]),
    // Closed to every program there, so that a policy that allows it shows nothing.
    (FAMILY, &[
        "python/socket-by-the-library", "python/socket-by-ctypes", "python/socket-by-number", "python/socket-six",
        "python/socket-netlink", "python/asyncio-connection", "python/not-allowed-socket",
    ]),
    (Pointless("the root folder cannot be listed, so that the program finds no loader"),
        &["kernel/no-exec-loader", "python/loader"]),
    (Pointless("no terminal is there to be opened"), &["python/pty"]),
    (Pointless("there is no mount of its own that could be nosuid; set-id bits give nothing under no_new_privs"),
        &["kernel/set-id-mounts", "kernel/set-id"]),
    (Pointless("inotify and System V memory are no calls there, and the program does not look"),
        &["cross-run/inotify", "resources/memory-system-v"]),
    (NotPromised("the host's name"), &["kernel/host-name"]),
    (NotPromised("which process ids are taken"), &["kernel/host-process-list", "cross-run/process-numbers"]),
    (NotPromised("held by a pidfd, and not signalled"), &["kernel/host-process-pidfd"]),
    (NotPromised("the path of its cgroup"), &["kernel/cgroup-path"]),
    (NotPromised("the ports that the host listens on"),
        &["network/listeners-of-the-host", "network/datagram-listeners-of-the-host"]),
    (NotPromised("the names of its sockets, its routes, neighbours and traffic"), &[
        "network/sockets-of-the-host", "network/routes-of-the-host", "network/neighbours-of-the-host",
        "network/traffic-of-the-host",
    ]),
    (NotPromised("locks on files that it may read"),
        &["kernel/lock-in-a-read-only-folder", "cross-run/flock", "cross-run/posix-lock"]),
];

/// What depends on who started it: root's programs have a user of their own, whose calls by path are not closed.
const TIMES: &str = "kernel/times-in-a-read-only-folder";
const LIMITS: &str = "kernel/host-process-limits";
/// It makes its program executable by path, which an ordinary user's program may not.
const OWN_PROGRAM: &str = "python/workspace-exec";

/// What an attempt comes to in tier B.
pub(crate) fn expectation(id: &str) -> Expectation {
    match id {
        TIMES if rustix::process::geteuid().is_root() => {
            return NotPromised("started by root, set the times of a file that everybody may write");
        }
        TIMES => return OTHERS,
        LIMITS if !rustix::process::geteuid().is_root() => {
            return NotPromised("the limits of the user's other processes");
        }
        LIMITS => return OTHERS,
        OWN_PROGRAM if !rustix::process::geteuid().is_root() => return OTHERS,
        _ => {}
    }
    OTHERWISE.iter().find(|(_, ids)| ids.contains(&id)).map_or(Same, |(expectation, _)| *expectation)
}

/// Whether a run of tier B stands behind each of these barriers: there is no namespace, no view and no nest init, and
/// what a program has no capability for is not given by keeping those of a user who has none.
pub(crate) fn has_barriers(barriers: &str) -> bool {
    const ELSEWHERE: &[&str] = &[
        "capabilities",
        "undumpable",
        "nest-init-filter",
        "overlay-view",
        "read-only",
        "nosuid",
        "hidden-paths",
        "covered-proc",
        "nesting",
    ];
    barriers.split('+').all(|name| !name.ends_with("-namespace") && !ELSEWHERE.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::groups;

    #[test]
    fn every_id_is_an_attempts_and_is_listed_once() {
        let mut seen = BTreeSet::new();
        for id in OTHERWISE.iter().flat_map(|(_, ids)| ids.iter()) {
            assert!(groups::corpus().iter().any(|attempt| attempt.id == *id), "no attempt is called {id}");
            assert!(seen.insert(id), "{id} is listed twice");
        }
    }

    #[test]
    fn what_is_not_promised_is_said() {
        let said = std::fs::read_to_string(agentic_testkit::project_root().join("SECURITY.md")).expect("SECURITY.md");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for (expectation, ids) in OTHERWISE {
            if let NotPromised(words) = expectation {
                assert!(said.contains(words), "SECURITY.md does not say `{words}`, which {ids:?} count on");
            }
        }
    }
}
