//! Argument rules: for a call that is neither wholly open nor wholly closed, which arguments are which.
//!
//! A rule is an ordered list of clauses; the first whose tests all hold answers, else the rule's last word does.
//! Where the kernel takes an `int`, only the low 32 bits are tested: it ignores the rest, so a filter that
//! compared 64 bits would let `TIOCSTI | 1 << 32` pass.

use super::{Answer, Openings, options};
use crate::Profile;

/// An argument rule, named after what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Pretend,
    Ioctl,
    Fcntl,
    NodeType { mode: u8 },
    MmapNoHugetlb,
    ShmNoHugetlb,
    Memfd,
    Clone,
    CloseRange,
    Execve,
    Execveat,
    Kill,
    ArchPrctl,
    Prctl,
    Personality,
    Seccomp,
    Prlimit,
    Socket,
    Socketpair,
    Setsockopt,
    NoOutOfBand { flags: u8 },
    OwnGroup,
    OnlyItself { pid: u8 },
    NoSignalOwner,
    NoHiding,
    OpenTruncating { flags: u8 },
    TimesOfOpenFile,
    Listener,
}

/// A one-time admission for `execveat`, by which a no-exec run starts its program.
///
/// A descriptor number alone is no lock: `execveat` ignores the descriptor when the path is absolute, and a filter
/// cannot read the path. So the three pointer arguments are the key: random addresses (well over 100 bits in
/// all) in the memory of the process that makes the call. A successful exec destroys that memory, and
/// nothing tells the program what they were.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The descriptor of the program, close-on-exec.
    pub(crate) fd: u32,
    /// Address of the empty path.
    pub(crate) path: u64,
    /// Address of the argument array.
    pub(crate) argv: u64,
    /// Address of the environment array.
    pub(crate) envp: u64,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("fd", &self.fd).finish_non_exhaustive()
    }
}

/// A condition on arguments (counted from 0).
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// The low 32 bits of an argument, masked, are one of these.
    Low { arg: u8, mask: u32, one_of: &'static [u32] },
    /// The low 32 bits are less than this.
    Below { arg: u8, end: u32 },
    /// The low 32 bits are this number, which is known only when the filter is built.
    LowIs { arg: u8, value: u32 },
    /// All 64 bits are zero: a null pointer.
    Null { arg: u8 },
    /// All 64 bits of all of these are equal, compared without an early way out that could be timed.
    Key(Vec<(u8, u64)>),
}

impl Test {
    #[cfg(test)]
    fn holds(&self, args: &[u64; 6]) -> bool {
        match self {
            Self::Low { arg, mask, one_of } => one_of.contains(&(args[usize::from(*arg)] as u32 & mask)),
            Self::Below { arg, end } => (args[usize::from(*arg)] as u32) < *end,
            Self::LowIs { arg, value } => args[usize::from(*arg)] as u32 == *value,
            Self::Null { arg } => args[usize::from(*arg)] == 0,
            Self::Key(words) => words.iter().all(|(arg, value)| args[usize::from(*arg)] == *value),
        }
    }
}

/// Tests that must all hold, and the answer when they do.
#[derive(Debug, Clone)]
pub(super) struct Clause {
    pub(super) tests: Vec<Test>,
    pub(super) then: Answer,
}

/// A rule under a profile, ready to be compiled or asked.
#[derive(Debug, Clone)]
pub(super) struct Clauses {
    pub(super) list: Vec<Clause>,
    pub(super) otherwise: Answer,
}

impl Clauses {
    fn new(otherwise: Answer) -> Self {
        Self { list: Vec::new(), otherwise }
    }
    fn when(mut self, tests: impl Into<Vec<Test>>, then: Answer) -> Self {
        self.list.push(Clause { tests: tests.into(), then });
        self
    }
    /// A clause before all others.
    fn first(mut self, tests: impl Into<Vec<Test>>, then: Answer) -> Self {
        self.list.insert(0, Clause { tests: tests.into(), then });
        self
    }
    /// The answer, straight from the data: what the compiled filter is compared with.
    #[cfg(test)]
    pub(super) fn decide(&self, args: &[u64; 6]) -> Answer {
        let hit = self.list.iter().find(|clause| clause.tests.iter().all(|test| test.holds(args)));
        hit.map_or(self.otherwise, |clause| clause.then)
    }
}

const fn errno(errno: i32) -> Answer {
    Answer::Errno(errno as u16)
}
const fn is(arg: u8, one_of: &'static [u32]) -> Test {
    Test::Low { arg, mask: u32::MAX, one_of }
}
const fn none_of_bits(arg: u8, mask: u32) -> Test {
    Test::Low { arg, mask, one_of: &[0] }
}

impl Rule {
    /// The clauses of this rule under a profile.
    pub(super) fn clauses(self, open: Openings, ticket: Option<&Ticket>) -> Clauses {
        use Answer::Allow;
        match self {
            Self::Pretend => Clauses::new(Answer::Errno(0)),
            Self::Ioctl => Clauses::new(errno(libc::ENOTTY))
                .when([is(1, if open.profile == Profile::Strict { STRICT_IOCTLS } else { IOCTLS })], Allow)
                .when([is(1, INJECTING_IOCTLS)], Answer::EPERM)
                .when([is(1, &[SIOCETHTOOL])], errno(libc::EOPNOTSUPP)),
            Self::Fcntl => Clauses::new(errno(libc::EINVAL))
                .when([is(1, FCNTLS)], Allow)
                .when([is(1, &[libc::F_SETLEASE as u32, libc::F_NOTIFY as u32, F_SETDELEG])], Answer::EPERM),
            Self::NodeType { mode } => Clauses::new(Answer::EPERM)
                .when([Test::Low { arg: mode, mask: libc::S_IFMT, one_of: NODE_TYPES }], Allow),
            Self::MmapNoHugetlb => {
                Clauses::new(errno(libc::ENOMEM)).when([none_of_bits(3, libc::MAP_HUGETLB as u32)], Allow)
            }
            // Where files of the view can be executed, one in memory is nothing more. Elsewhere the answer is that of
            // vm.memfd_noexec=2; the file may still be mapped with PROT_EXEC, as libffi does.
            Self::Memfd if !open.exec => Clauses::new(errno(libc::ENOMEM))
                .when([none_of_bits(1, libc::MFD_HUGETLB | libc::MFD_EXEC)], Allow)
                .when([none_of_bits(1, libc::MFD_HUGETLB)], errno(libc::EACCES)),
            Self::Memfd => Clauses::new(errno(libc::ENOMEM)).when([none_of_bits(1, libc::MFD_HUGETLB)], Allow),
            Self::ShmNoHugetlb => {
                Clauses::new(errno(libc::ENOMEM)).when([none_of_bits(2, libc::SHM_HUGETLB as u32)], Allow)
            }
            Self::Clone if open.profile == Profile::Strict => Clauses::new(Answer::EPERM).when(
                [
                    Test::Low { arg: 0, mask: CLONE_THREAD_TABLE, one_of: &[CLONE_THREAD_TABLE] },
                    none_of_bits(0, CLONE_CLOSED),
                ],
                Allow,
            ),
            Self::Clone => Clauses::new(Answer::EPERM)
                // A thread with descriptors of its own would hide them from the nest init, which looks at processes.
                .when(
                    [Test::Low { arg: 0, mask: CLONE_THREAD_TABLE, one_of: &[libc::CLONE_THREAD as u32] }],
                    Answer::EPERM,
                )
                .when([none_of_bits(0, CLONE_CLOSED)], Allow),
            Self::CloseRange => {
                Clauses::new(errno(libc::EINVAL)).when([none_of_bits(2, libc::CLOSE_RANGE_UNSHARE)], Allow)
            }
            Self::Execve if open.exec => Clauses::new(Allow),
            Self::Execve => Clauses::new(Answer::EPERM),
            Self::Execveat => {
                let closed = Clauses::new(Answer::EPERM);
                match ticket {
                    _ if open.exec => closed.when([none_of_bits(4, libc::AT_EMPTY_PATH as u32)], Allow),
                    None => closed,
                    Some(ticket) => closed.when(
                        [
                            is(4, &[libc::AT_EMPTY_PATH as u32]),
                            Test::LowIs { arg: 0, value: ticket.fd },
                            Test::Key(vec![(1, ticket.path), (2, ticket.argv), (3, ticket.envp)]),
                        ],
                        Allow,
                    ),
                }
            }
            Self::Kill => Clauses::new(Allow).when([is(0, &[u32::MAX])], Answer::EPERM),
            Self::ArchPrctl => Clauses::new(errno(libc::EINVAL)).when([is(0, ARCH_PRCTLS)], Allow),
            Self::Prctl if open.profile == Profile::Strict => Clauses::new(errno(libc::EINVAL))
                // As `seccomp`: no programs of its own for the kernel's BPF.
                .when([is(0, &[libc::PR_SET_SECCOMP as u32])], Answer::EPERM)
                .when([is(0, PRCTLS)], Allow)
                .when([Test::Below { arg: 0, end: PRCTLS_KNOWN }], Answer::EPERM),
            Self::Prctl => Clauses::new(errno(libc::EINVAL))
                .when([is(0, PRCTLS)], Allow)
                .when([Test::Below { arg: 0, end: PRCTLS_KNOWN }], Answer::EPERM),
            Self::Personality => Clauses::new(Answer::EPERM).when([is(0, &[0, u32::MAX])], Allow),
            Self::Seccomp => Clauses::new(Answer::EPERM).when(
                // The flag has one meaning and only SET_MODE_FILTER takes flags, so one test serves all operations.
                [none_of_bits(1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32)],
                Allow,
            ),
            Self::Prlimit => {
                Clauses::new(Answer::EPERM).when([is(0, &[0])], Allow).when([Test::Null { arg: 2 }], Allow)
            }
            Self::Socket => socket(open),
            Self::Socketpair => {
                // Without UNIX sockets a datagram pair must go too: disconnected, it sends to any path socket.
                let types = if open.unix { UNIX_TYPES } else { CONNECTED_TYPES };
                Clauses::new(errno(libc::EAFNOSUPPORT))
                    .when([is(0, &[libc::AF_UNIX as u32]), kind(types)], Allow)
                    .when([is(0, &[libc::AF_UNIX as u32])], Answer::EPERM)
            }
            Self::OwnGroup => Clauses::new(Answer::EPERM).when([is(0, &[0])], Allow),
            Self::OnlyItself { pid } => Clauses::new(Answer::EPERM).when([is(pid, &[0])], Allow),
            Self::NoSignalOwner => Self::Fcntl.clauses(open, ticket).first([is(1, SIGNAL_OWNERS)], Answer::EPERM),
            Self::NoHiding => {
                Self::Prctl.clauses(open, ticket).first([is(0, &[libc::PR_SET_DUMPABLE as u32])], Answer::EPERM)
            }
            Self::OpenTruncating { flags } => {
                let mask = (libc::O_ACCMODE | libc::O_TRUNC) as u32;
                Clauses::new(Allow).when([Test::Low { arg: flags, mask, one_of: TRUNCATING }], Answer::EPERM)
            }
            // A null path means the descriptor, which O_PATH does not satisfy; with a flag it would.
            Self::TimesOfOpenFile => Clauses::new(Answer::EPERM).when([Test::Null { arg: 1 }, is(3, &[0])], Allow),
            // The nest init's own: hear of refused calls, and answer them.
            Self::Listener => Clauses::new(Answer::EPERM)
                .when([is(1, &[libc::SECCOMP_IOCTL_NOTIF_RECV as u32, libc::SECCOMP_IOCTL_NOTIF_SEND as u32])], Allow),
            Self::Setsockopt if open.profile == Profile::Strict => Clauses::new(errno(libc::ENOPROTOOPT))
                .when([is(1, &[libc::SOL_SOCKET as u32]), is(2, options::OF_A_PAIR)], Allow),
            Self::Setsockopt => {
                options::SETTABLE.iter().fold(Clauses::new(errno(libc::ENOPROTOOPT)), |clauses, (level, list)| {
                    clauses.when([Test::LowIs { arg: 1, value: *level }, is(2, list)], Allow)
                })
            }
            Self::NoOutOfBand { flags } => {
                Clauses::new(Answer::EPERM).when([none_of_bits(flags, libc::MSG_OOB as u32)], Allow)
            }
        }
    }
}

/// `socket(family, type, protocol)`: families by allow-list. Protocols too, because an unusual one loads a module.
fn socket(open: Openings) -> Clauses {
    use Answer::Allow;
    const INET: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];
    const STREAM: &[u32] = &[libc::SOCK_STREAM as u32];
    const DATAGRAM: &[u32] = &[libc::SOCK_DGRAM as u32];
    let mut clauses = Clauses::new(errno(libc::EAFNOSUPPORT));
    if open.unix {
        clauses = clauses
            .when([is(0, &[libc::AF_UNIX as u32]), kind(UNIX_TYPES)], Allow)
            .when([is(0, &[libc::AF_UNIX as u32])], errno(libc::ESOCKTNOSUPPORT));
    }
    if open.inet {
        clauses = clauses
            .when([is(0, INET), kind(STREAM), is(2, &[0, libc::IPPROTO_TCP as u32])], Allow)
            .when([is(0, INET), kind(DATAGRAM), is(2, &[0, libc::IPPROTO_UDP as u32])], Allow);
        if open.profile == Profile::Networked {
            // ping(8) without a capability, for the groups of net.ipv4.ping_group_range.
            clauses = clauses
                .when([is(0, &INET[..1]), kind(DATAGRAM), is(2, &[libc::IPPROTO_ICMP as u32])], Allow)
                .when([is(0, &INET[1..]), kind(DATAGRAM), is(2, &[libc::IPPROTO_ICMPV6 as u32])], Allow);
        }
        clauses = clauses
            // Raw and packet sockets: as without the capability.
            .when([is(0, INET), kind(&[libc::SOCK_RAW as u32, SOCK_PACKET])], Answer::EPERM)
            // Go asks for MPTCP and takes this answer, and no other, for "not here".
            .when([is(0, INET)], errno(libc::EPROTONOSUPPORT))
            .when([is(0, &[libc::AF_NETLINK as u32]), is(2, &[libc::NETLINK_ROUTE as u32])], Allow);
    }
    clauses
}

/// The socket type without the CLOEXEC and NONBLOCK flags that share its argument.
const fn kind(one_of: &'static [u32]) -> Test {
    Test::Low { arg: 1, mask: !((libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u32), one_of }
}

/// Obsolete, and turned into an AF_PACKET socket by the kernel.
const SOCK_PACKET: u32 = 10;

/// SOCK_RAW is left out: for UNIX sockets the kernel reads it as SOCK_DGRAM.
const UNIX_TYPES: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_SEQPACKET as u32, libc::SOCK_DGRAM as u32];
const CONNECTED_TYPES: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_SEQPACKET as u32];

/// A character device 0:0 needs no capability and is an overlay whiteout, so device types are named closed.
const NODE_TYPES: &[u32] = &[0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK];

/// Every namespace (time lies in the signal bits, which `clone` does not read as flags); CLONE_PARENT, which
/// makes a child of the nest init; CLONE_UNTRACED and CLONE_PTRACE, which only matter to a tracer.
const CLONE_CLOSED: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_PARENT
    | libc::CLONE_UNTRACED
    | libc::CLONE_PTRACE) as u32;

const CLONE_THREAD_TABLE: u32 = (libc::CLONE_THREAD | libc::CLONE_FILES) as u32;

/// Requests that put input into a terminal, or make a line discipline load a module.
const INJECTING_IOCTLS: &[u32] = &[libc::TIOCSTI as u32, TIOCLINUX, TIOCSETD, libc::TIOCCONS as u32];
const TIOCLINUX: u32 = 0x541C;
const TIOCSETD: u32 = 0x5423;
/// Link settings: psutil asks, and takes "not supported" for an answer.
const SIOCETHTOOL: u32 = 0x8946;

/// Requests that programs need: terminals, descriptor flags, interface questions, reflinks. The values are the
/// same on both architectures; a request not listed answers ENOTTY, as a descriptor without it would.
const IOCTLS: &[u32] = &[
    0x5401,      // TCGETS: isatty
    0x5402,      // TCSETS
    0x5403,      // TCSETSW
    0x5404,      // TCSETSF
    0x5405,      // TCGETA
    0x5409,      // TCSBRK: tcdrain
    0x540A,      // TCXONC: tcflow
    0x540B,      // TCFLSH: tcflush
    0x540E,      // TIOCSCTTY: a session's own pty, as pty.fork and script make it
    0x540F,      // TIOCGPGRP: job control
    0x5410,      // TIOCSPGRP: job control
    0x5411,      // TIOCOUTQ, SIOCOUTQ
    0x5413,      // TIOCGWINSZ: terminal size
    0x5414,      // TIOCSWINSZ
    0x541B,      // FIONREAD, SIOCINQ
    0x5420,      // TIOCPKT
    0x5421,      // FIONBIO: Rust std, libuv
    0x5422,      // TIOCNOTTY
    0x5425,      // TCSBRKP: tcsendbreak
    0x5429,      // TIOCGSID
    0x802C_542A, // TCGETS2: newer glibc
    0x402C_542B, // TCSETS2
    0x402C_542C, // TCSETSW2
    0x402C_542D, // TCSETSF2
    0x8004_5430, // TIOCGPTN: ptsname
    0x4004_5431, // TIOCSPTLCK: unlockpt
    0x8004_5439, // TIOCGPTLCK
    0x5441,      // TIOCGPTPEER: openpty in newer glibc
    0x5450,      // FIONCLEX
    0x5451,      // FIOCLEX: Rust std, libuv, CPython
    0x5452,      // FIOASYNC
    0x8910,      // SIOCGIFNAME: if_indextoname
    0x8912,      // SIOCGIFCONF: Java, uuid
    0x8913,      // SIOCGIFFLAGS
    0x8915,      // SIOCGIFADDR
    0x8919,      // SIOCGIFBRDADDR
    0x891B,      // SIOCGIFNETMASK
    0x8921,      // SIOCGIFMTU
    0x8927,      // SIOCGIFHWADDR: uuid.getnode
    0x8933,      // SIOCGIFINDEX: if_nametoindex
    0x8942,      // SIOCGIFTXQLEN: ifconfig
    0x4004_9409, // FICLONE: cp --reflink, cargo, bun
    0x4020_940D, // FICLONERANGE
    0x8008_6601, // FS_IOC_GETFLAGS: tar, lsattr
    0x8004_5200, // RNDGETENTCNT: gpg
];

/// Of these, what a strict run has use for: its streams, which may be a terminal, and files. No terminal of its own making,
/// no interface, no job control.
const STRICT_IOCTLS: &[u32] = &[
    0x5401,      // TCGETS: isatty
    0x5402,      // TCSETS: getpass, readline
    0x5403,      // TCSETSW
    0x5404,      // TCSETSF
    0x540F,      // TIOCGPGRP: readline asks whether it is in the foreground
    0x5413,      // TIOCGWINSZ: terminal size
    0x541B,      // FIONREAD
    0x5421,      // FIONBIO
    0x5429,      // TIOCGSID
    0x802C_542A, // TCGETS2
    0x402C_542B, // TCSETS2
    0x402C_542C, // TCSETSW2
    0x402C_542D, // TCSETSF2
    0x5450,      // FIONCLEX
    0x5451,      // FIOCLEX
    0x4004_9409, // FICLONE
    0x4020_940D, // FICLONERANGE
    0x8008_6601, // FS_IOC_GETFLAGS
];

/// Delegations (6.19) are leases on folders, and reach other openers as leases do.
const F_SETDELEG: u32 = 1040;

/// What `fcntl` may do: descriptors, status flags, record locks, pipe sizes, seals.
const FCNTLS: &[u32] = &[
    2,    // F_SETFD
    3,    // F_GETFL
    4,    // F_SETFL
    1030, // F_DUPFD_CLOEXEC
    1,    // F_GETFD
    0,    // F_DUPFD
    5,    // F_GETLK: sqlite
    6,    // F_SETLK
    7,    // F_SETLKW
    36,   // F_OFD_GETLK
    37,   // F_OFD_SETLK
    38,   // F_OFD_SETLKW
    8,    // F_SETOWN: SIGIO, within the pid namespace
    9,    // F_GETOWN
    10,   // F_SETSIG
    11,   // F_GETSIG
    15,   // F_SETOWN_EX
    16,   // F_GETOWN_EX
    1027, // F_DUPFD_QUERY
    1028, // F_CREATED_QUERY
    1031, // F_SETPIPE_SZ: subprocess(pipesize=)
    1032, // F_GETPIPE_SZ
    1033, // F_ADD_SEALS
    1034, // F_GET_SEALS
    1035, // F_GET_RW_HINT
    1036, // F_SET_RW_HINT: rocksdb
    1037, // F_GET_FILE_RW_HINT
    1038, // F_SET_FILE_RW_HINT
];

/// Who is signalled when a descriptor becomes ready: any process of the same user.
const SIGNAL_OWNERS: &[u32] = &[
    8,  // F_SETOWN
    10, // F_SETSIG
    15, // F_SETOWN_EX
];

/// Opened for reading, and emptied all the same.
const TRUNCATING: &[u32] = &[(libc::O_RDONLY | libc::O_TRUNC) as u32];

/// `arch_prctl` (x86_64): the calling thread's registers and its own features.
const ARCH_PRCTLS: &[u32] = &[
    0x1001, // ARCH_SET_GS
    0x1002, // ARCH_SET_FS: thread-local storage
    0x1003, // ARCH_GET_FS
    0x1004, // ARCH_GET_GS
    0x1011, // ARCH_GET_CPUID
    0x1021, // ARCH_GET_XCOMP_SUPP
    0x1022, // ARCH_GET_XCOMP_PERM
    0x1023, // ARCH_REQ_XCOMP_PERM: AMX in numeric libraries
    0x5001, // ARCH_SHSTK_ENABLE
    0x5002, // ARCH_SHSTK_DISABLE
    0x5003, // ARCH_SHSTK_LOCK
    0x5005, // ARCH_SHSTK_STATUS
];

/// `prctl` options on the caller itself that programs use. Unknown ones answer EINVAL, as an older kernel would.
const PRCTLS: &[u32] = &[
    15,          // PR_SET_NAME: every thread library
    16,          // PR_GET_NAME
    0x5356_4D41, // PR_SET_VMA: names memory; glibc, Go, Android
    1,           // PR_SET_PDEATHSIG
    2,           // PR_GET_PDEATHSIG
    3,           // PR_GET_DUMPABLE
    4,           // PR_SET_DUMPABLE: gpg, ssh-agent; hides nothing from the nest init, which has ptrace rights over it
    7,           // PR_GET_KEEPCAPS
    21,          // PR_GET_SECCOMP
    22,          // PR_SET_SECCOMP: further filters only tighten; takes no flags, so no listener
    23,          // PR_CAPBSET_READ: libcap
    25,          // PR_GET_TSC
    27,          // PR_GET_SECUREBITS
    29,          // PR_SET_TIMERSLACK
    30,          // PR_GET_TIMERSLACK
    36,          // PR_SET_CHILD_SUBREAPER: test runners
    37,          // PR_GET_CHILD_SUBREAPER
    38,          // PR_SET_NO_NEW_PRIVS
    39,          // PR_GET_NO_NEW_PRIVS
    40,          // PR_GET_TID_ADDRESS
    41,          // PR_SET_THP_DISABLE
    42,          // PR_GET_THP_DISABLE
    50,          // PR_SVE_SET_VL
    51,          // PR_SVE_GET_VL
    52,          // PR_GET_SPECULATION_CTRL
    54,          // PR_PAC_RESET_KEYS
    55,          // PR_SET_TAGGED_ADDR_CTRL: glibc with MTE
    56,          // PR_GET_TAGGED_ADDR_CTRL
    60,          // PR_PAC_SET_ENABLED_KEYS
    61,          // PR_PAC_GET_ENABLED_KEYS
    63,          // PR_SME_SET_VL
    64,          // PR_SME_GET_VL
    65,          // PR_SET_MDWE: only tightens
    66,          // PR_GET_MDWE
    68,          // PR_GET_MEMORY_MERGE
    74,          // PR_GET_SHADOW_STACK_STATUS: guarded control stacks of Arm
    75,          // PR_SET_SHADOW_STACK_STATUS
    76,          // PR_LOCK_SHADOW_STACK_STATUS
    0x4155_5856, // PR_GET_AUXV
];

/// Options below this are known (Linux 7.3) and, where not listed, not for the program: it hears EPERM instead
/// of "unknown". Among them PR_SET_MM, the capability sets, speculation control, memory merging, core scheduling and
/// syscall user dispatch. PR_SET_PTRACER (Yama's, by another number) is unknown: there is nobody to trace it.
const PRCTLS_KNOWN: u32 = 82;
