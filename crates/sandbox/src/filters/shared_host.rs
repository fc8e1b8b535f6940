//! What a run without namespaces of its own is refused on top of the list: the calls that reach past it.
//!
//! In tier B the run shares the host's process ids, IPC objects, sockets and, started by an ordinary user, that user's
//! id. Landlock keeps files from being opened; what changes or signals without opening is closed here. A call that is
//! not named keeps the answer of the list.

use super::Decision;
use super::rules::Rule;

/// What a run shares with others, and what Landlock rules for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedHost {
    /// Its user id is that of other processes and files: the caller's. Not so where root gave it one of its own.
    pub(crate) user: bool,
    /// Landlock keeps its signals inside (ABI 6 and later).
    pub(crate) signals_scoped: bool,
    /// Landlock rules over truncation (ABI 3 and later).
    pub(crate) truncation_ruled: bool,
}

/// When a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// The user is shared.
    User,
    /// The user is shared, and Landlock does not scope signals.
    Signals,
    /// The user is shared, and Landlock does not rule over truncation.
    Truncation,
}

impl When {
    fn holds(self, shared: SharedHost) -> bool {
        match self {
            Self::Always => true,
            Self::User => shared.user,
            Self::Signals => shared.user && !shared.signals_scoped,
            Self::Truncation => shared.user && !shared.truncation_ruled,
        }
    }
}

/// One line.
struct Closed {
    name: &'static str,
    when: When,
    decision: Decision,
    /// Why; for the reader.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by reviewers and tests"))]
    reason: &'static str,
}

const fn absent(name: &'static str, reason: &'static str) -> Closed {
    Closed { name, when: When::Always, decision: Decision::Errno(libc::ENOSYS as u16), reason }
}
const fn refuse(name: &'static str, when: When, reason: &'static str) -> Closed {
    Closed { name, when, decision: Decision::Errno(libc::EPERM as u16), reason }
}
const fn by_argument(name: &'static str, when: When, rule: Rule, reason: &'static str) -> Closed {
    Closed { name, when, decision: Decision::ByArgument(rule), reason }
}

const CLOSED: &[Closed] = &[
    // The host's IPC namespace. What lies there is also in no process's memory.
    absent("shmget", "the host's segments, which outlive the run and which no watchdog counts"),
    absent("shmat", "the host's segments"),
    absent("shmctl", "the host's segments"),
    absent("shmdt", "the host's segments"),
    absent("semget", "the host's semaphores"),
    absent("semop", "the host's semaphores"),
    absent("semtimedop", "the host's semaphores"),
    absent("semctl", "the host's semaphores"),
    absent("msgget", "the host's message queues"),
    absent("msgsnd", "the host's message queues"),
    absent("msgrcv", "the host's message queues"),
    absent("msgctl", "the host's message queues"),
    absent("mq_open", "the host's message queues"),
    absent("mq_unlink", "the host's message queues"),
    absent("mq_timedsend", "the host's message queues"),
    absent("mq_timedreceive", "the host's message queues"),
    absent("mq_notify", "the host's message queues"),
    absent("mq_getsetattr", "the host's message queues"),
    absent("memfd_create", "memory that the watchdog cannot count while it is in flight"),
    // Landlock rules over neither.
    refuse("inotify_init", When::Always, "watches folders that may not be read: names and times of other files"),
    refuse("inotify_init1", When::Always, "watches folders that may not be read"),
    refuse("inotify_add_watch", When::Always, "watches folders that may not be read"),
    by_argument("prctl", When::Always, Rule::NoHiding, "undumpable, it would hide from the guard's watchdog"),
    // Changes by path, which open nothing: of files of the same user anywhere. By descriptor they stay open.
    refuse("chmod", When::User, "modes of the user's other files"),
    refuse("fchmodat", When::User, "modes of the user's other files"),
    refuse("fchmodat2", When::User, "modes of the user's other files, by O_PATH descriptors too"),
    refuse("chown", When::User, "groups of the user's other files"),
    refuse("lchown", When::User, "groups of the user's other files"),
    refuse("fchownat", When::User, "groups of the user's other files, by O_PATH descriptors too"),
    refuse("utime", When::User, "times of the user's other files"),
    refuse("utimes", When::User, "times of the user's other files"),
    refuse("futimesat", When::User, "times of the user's other files"),
    by_argument("utimensat", When::User, Rule::TimesOfOpenFile, "times of the user's other files; futimens stays open"),
    refuse("setxattr", When::User, "attributes of the user's other files"),
    refuse("lsetxattr", When::User, "attributes of the user's other files"),
    refuse("setxattrat", When::User, "attributes of the user's other files"),
    refuse("removexattr", When::User, "attributes of the user's other files"),
    refuse("lremovexattr", When::User, "attributes of the user's other files"),
    refuse("removexattrat", When::User, "attributes of the user's other files"),
    refuse("truncate", When::Truncation, "bytes of the user's other files"),
    by_argument("open", When::Truncation, Rule::OpenTruncating { flags: 1 }, "opened for reading, and emptied"),
    by_argument("openat", When::Truncation, Rule::OpenTruncating { flags: 2 }, "opened for reading, and emptied"),
    Closed { when: When::Truncation, ..absent("openat2", "its flags lie in memory, where no filter can read them") },
    // Other processes of the same user.
    by_argument("kill", When::Signals, Rule::OwnGroup, "its own group; other processes cannot be told from the user's"),
    refuse("tkill", When::Signals, "threads of the user's other processes"),
    refuse("tgkill", When::Signals, "threads of the user's other processes"),
    refuse("rt_sigqueueinfo", When::Signals, "the user's other processes"),
    refuse("rt_tgsigqueueinfo", When::Signals, "the user's other processes"),
    refuse("pidfd_send_signal", When::Signals, "the user's other processes"),
    by_argument("fcntl", When::Signals, Rule::NoSignalOwner, "as in the list, and no SIGIO to another process"),
    by_argument("setpriority", When::User, Rule::OnlyItself { pid: 1 }, "slows the user's other processes down"),
    by_argument("ioprio_set", When::User, Rule::OnlyItself { pid: 1 }, "slows the user's other processes down"),
    by_argument("sched_setparam", When::User, Rule::OnlyItself { pid: 0 }, "slows the user's other processes down"),
    by_argument("sched_setscheduler", When::User, Rule::OnlyItself { pid: 0 }, "slows the user's other processes down"),
    by_argument("sched_setattr", When::User, Rule::OnlyItself { pid: 0 }, "slows the user's other processes down"),
    by_argument("sched_setaffinity", When::User, Rule::OnlyItself { pid: 0 }, "slows the user's other processes down"),
];

/// What `name` is answered where the host is shared; `None` where the list decides.
pub(super) fn decision(name: &str, shared: SharedHost) -> Option<Decision> {
    CLOSED.iter().find(|closed| closed.name == name && closed.when.holds(shared)).map(|closed| closed.decision)
}

#[cfg(test)]
mod tests {
    use super::super::evaluate::{Call, evaluate};
    use super::super::{Arch, Openings, Program};
    use super::*;
    use crate::Profile;

    const ORDINARY: SharedHost = SharedHost { user: true, signals_scoped: true, truncation_ruled: true };
    const EPERM: u32 = libc::EPERM as u32;
    const ENOSYS: u32 = libc::ENOSYS as u32;

    /// The errno that the compiled filter answers; 0 where it allows.
    fn answer(shared: Option<SharedHost>, name: &str, args: [u64; 6]) -> u32 {
        let arch = Arch::X86_64;
        let open = Openings { unix: false, inet: false, shared, ..Profile::Default.into() };
        let program = Program::build(arch, open, None);
        let call = Call { number: arch.number(name).unwrap(), arch: arch.audit(), args };
        match evaluate(program.instructions(), &call).unwrap().0 {
            libc::SECCOMP_RET_ALLOW => 0,
            code => code & libc::SECCOMP_RET_DATA,
        }
    }

    #[test]
    fn every_line_names_a_call_that_exists_and_says_why() {
        for closed in CLOSED {
            let known = [Arch::X86_64, Arch::Aarch64].iter().any(|arch| arch.number(closed.name).is_some());
            assert!(known && !closed.reason.is_empty(), "{}", closed.name);
        }
    }

    #[test]
    fn paths_of_the_same_user_are_closed_and_descriptors_are_open() {
        let path = 0x7000_0000_1000;
        for name in
            ["chmod", "fchmodat", "fchmodat2", "chown", "utimes", "setxattr", "removexattr", "mq_open", "shmget"]
        {
            assert_eq!(answer(None, name, [0; 6]), 0, "{name}: the control");
            assert_ne!(answer(Some(ORDINARY), name, [0; 6]), 0, "{name}");
        }
        assert_eq!(answer(Some(ORDINARY), "fchmod", [3, 0o600, 0, 0, 0, 0]), 0);
        assert_eq!(answer(Some(ORDINARY), "utimensat", [3, 0, path, 0, 0, 0]), 0, "futimens");
        assert_eq!(answer(Some(ORDINARY), "utimensat", [3, path, 0, 0, 0, 0]), EPERM);
        assert_eq!(answer(Some(ORDINARY), "utimensat", [3, 0, 0, libc::AT_EMPTY_PATH as u64, 0, 0]), EPERM);
        let own = SharedHost { user: false, ..ORDINARY };
        assert_eq!(answer(Some(own), "chmod", [0; 6]), 0, "a user of its own owns nothing else");
        assert_eq!(answer(Some(own), "memfd_create", [0; 6]), ENOSYS);
    }

    #[test]
    fn signals_leave_by_no_call_where_landlock_does_not_scope_them() {
        let unscoped = SharedHost { signals_scoped: false, ..ORDINARY };
        for (name, args) in [
            ("kill", [1234, 9, 0, 0, 0, 0]),
            ("tkill", [1234, 9, 0, 0, 0, 0]),
            ("tgkill", [1234, 1234, 9, 0, 0, 0]),
            ("rt_sigqueueinfo", [1234, 9, 0, 0, 0, 0]),
            ("rt_tgsigqueueinfo", [1234, 1234, 9, 0, 0, 0]),
            ("pidfd_send_signal", [3, 9, 0, 0, 0, 0]),
            ("fcntl", [3, libc::F_SETOWN as u64, 1234, 0, 0, 0]),
        ] {
            assert_eq!(answer(Some(ORDINARY), name, args), 0, "{name}: Landlock scopes it");
            assert_eq!(answer(Some(unscoped), name, args), EPERM, "{name}");
        }
        assert_eq!(answer(Some(unscoped), "kill", [0, 15, 0, 0, 0, 0]), 0, "its own group");
        assert_eq!(answer(Some(unscoped), "fcntl", [3, libc::F_GETFL as u64, 0, 0, 0, 0]), 0);
    }

    #[test]
    fn truncation_is_closed_where_landlock_does_not_rule_over_it() {
        let old = SharedHost { truncation_ruled: false, ..ORDINARY };
        let open = |flags: i32| [libc::AT_FDCWD as u64, 0x1000, flags as u64, 0, 0, 0];
        assert_eq!(answer(Some(ORDINARY), "truncate", [0; 6]), 0);
        assert_eq!(answer(Some(old), "truncate", [0; 6]), EPERM);
        assert_eq!(answer(Some(old), "openat", open(libc::O_RDONLY | libc::O_TRUNC)), EPERM);
        assert_eq!(answer(Some(old), "openat", open(libc::O_WRONLY | libc::O_TRUNC)), 0, "writing is ruled over");
        assert_eq!(answer(Some(old), "openat", open(libc::O_RDONLY)), 0);
        assert_eq!(answer(Some(old), "openat2", [0; 6]), ENOSYS);
    }

    #[test]
    fn hiding_from_the_watchdog_is_closed() {
        let dumpable = [libc::PR_SET_DUMPABLE as u64, 0, 0, 0, 0, 0];
        assert_eq!(answer(None, "prctl", dumpable), 0, "the control");
        assert_eq!(answer(Some(ORDINARY), "prctl", dumpable), EPERM);
        assert_eq!(answer(Some(ORDINARY), "prctl", [libc::PR_SET_NAME as u64, 0, 0, 0, 0, 0]), 0);
    }

    #[test]
    fn no_socket_reaches_the_host() {
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
            let args = [family as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0];
            assert_eq!(answer(Some(ORDINARY), "socket", args), libc::EAFNOSUPPORT as u32, "{family}");
        }
        let pair = |kind: i32| [libc::AF_UNIX as u64, kind as u64, 0, 0, 0, 0];
        assert_eq!(answer(Some(ORDINARY), "socketpair", pair(libc::SOCK_STREAM)), 0);
        assert_eq!(answer(Some(ORDINARY), "socketpair", pair(libc::SOCK_DGRAM)), EPERM);
    }
}
