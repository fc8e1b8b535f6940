//! Which system calls a run is answered, as data: a reviewed list (`table.rs`), argument rules (`rules.rs`),
//! numbers per architecture, and the filter built from them ([`Program`]).
//!
//! It is an allow-list that answers with an error: a program that meets a closed call sees EPERM or ENOSYS and
//! goes on, as it would on an older or stricter system. Killing is kept for a foreign architecture, whose calls
//! these tables do not describe and no program of the view makes.
//!
//! A profile is a column of the list: what `strict` closes is said beside each entry, and `networked` differs from `default`
//! only in argument rules. Whatever a stricter profile allows, the next one allows too (a test asks them all).

mod aarch64;
mod evaluate;
mod options;
mod program;
#[cfg(test)]
mod reference;
mod rules;
mod shared_host;
#[cfg(test)]
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod x86_64;

pub(crate) use program::Program;
pub(crate) use rules::Ticket;
pub(crate) use shared_host::SharedHost;

use crate::policy::{Closed, Profile};

/// The highest number that the list was reviewed for. Above it everything answers ENOSYS.
#[cfg(test)]
const LAST_REVIEWED: u32 = 472;

/// An architecture that filters can be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    /// 64-bit x86. The x32 numbers are not listed, so they answer ENOSYS.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Arch {
    /// The architecture of this build, if filters exist for it.
    pub(crate) const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Self::Aarch64)
        } else {
            None
        }
    }
    /// The kernel's `AUDIT_ARCH_*`, which every filter compares first.
    pub(crate) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xC000_003E,
            Self::Aarch64 => 0xC000_00B7,
        }
    }
    /// Name without the `SYS_` prefix, and number, in the order of the numbers within each group.
    fn numbers(self) -> impl Iterator<Item = (&'static str, u32)> {
        let numbers = match self {
            Self::X86_64 => x86_64::NUMBERS,
            Self::Aarch64 => aarch64::NUMBERS,
        };
        numbers.iter().map(|(name, number)| (name.trim_start_matches("SYS_"), *number))
    }
    /// A call's name and the reason for how it is answered under a profile.
    pub(crate) fn describe(self, number: u32, profile: Profile) -> Option<(&'static str, &'static str)> {
        let (name, _) = self.numbers().find(|(_, listed)| *listed == number)?;
        let entry = table::TABLE.iter().find(|entry| entry.name == name)?;
        let strict = entry.strict.filter(|_| profile == Profile::Strict).map(|(_, reason)| reason);
        Some((name, strict.unwrap_or(entry.reason)))
    }
    /// Numbers up to the last reviewed that stand for no call on this architecture.
    #[cfg(test)]
    fn unassigned(self) -> Vec<u32> {
        match self {
            Self::X86_64 => (337..=423).collect(),
            // 244 to 259 are left to architectures, and this one has none.
            Self::Aarch64 => (244..=259).chain(295..=423).collect(),
        }
    }
    /// The number of a call, where this architecture has it.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        self.numbers().find(|(listed, _)| *listed == name).map(|(_, number)| number)
    }
}

/// One line of the list.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name: &'static str,
    decision: Decision,
    /// Why; for the reviewer, and for whoever is refused.
    reason: &'static str,
    /// What the strict profile answers instead, and why.
    strict: Option<(Decision, &'static str)>,
}

impl Entry {
    fn under(&self, profile: Profile) -> Decision {
        match self.strict {
            Some((decision, _)) if profile == Profile::Strict => decision,
            _ => self.decision,
        }
    }
}

/// What the list says about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allow,
    Errno(u16),
    ByArgument(rules::Rule),
}

/// What one call with given arguments is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allow,
    Errno(u16),
    /// Ends the process with SIGSYS.
    Kill,
}

impl Answer {
    const EPERM: Self = Self::Errno(libc::EPERM as u16);
    const ENOSYS: Self = Self::Errno(libc::ENOSYS as u16);

    /// The value that a filter returns for it.
    fn code(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
    /// The word for it in tables.
    #[cfg(test)]
    fn name(self) -> String {
        match self {
            Self::Allow => "allow".into(),
            Self::Kill => "SIGSYS".into(),
            Self::Errno(0) => "nothing, with success".into(),
            Self::Errno(errno) => {
                let name = ERRNOS.iter().find(|(number, _)| *number == i32::from(errno)).map(|(_, name)| *name);
                name.map_or_else(|| format!("errno {errno}"), str::to_owned)
            }
        }
    }
}

#[cfg(test)]
const ERRNOS: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::EACCES, "EACCES"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENOTTY, "ENOTTY"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ENOPROTOOPT, "ENOPROTOOPT"),
    (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
    (libc::ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
];

/// What a filter leaves open: a profile, and what is closed beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Openings {
    /// Which column of the list holds.
    pub(crate) profile: Profile,
    /// `execve` and `execveat` of files in the view.
    pub(crate) exec: bool,
    /// INET and INET6 sockets, and NETLINK_ROUTE, which only describes them.
    pub(crate) inet: bool,
    /// UNIX sockets made by `socket`. Closed with the host's network where Landlock cannot scope abstract names (X11,
    /// D-Bus); `socketpair` stays.
    pub(crate) unix: bool,
    /// What else is closed where the run has no namespaces of its own; `None` where it has.
    pub(crate) shared: Option<SharedHost>,
}

impl Openings {
    /// Those of a profile, less what is closed.
    pub(crate) fn of(profile: Profile, closed: Closed) -> Self {
        let strict = profile == Profile::Strict;
        Self { profile, exec: !strict && !closed.exec, inet: !strict && !closed.inet, unix: !strict, shared: None }
    }
}

impl From<Profile> for Openings {
    fn from(profile: Profile) -> Self {
        Self::of(profile, Closed::default())
    }
}

/// The number tables: `SYS_name number` pairs, the first group compared with the `libc` crate by a test.
macro_rules! numbers {
    (arch: $arch:tt; in_libc: $($known:ident $number:literal),*; newer: $($new:ident $new_number:literal),*;) => {
        pub(super) const NUMBERS: &[(&str, u32)] =
            &[$((stringify!($known), $number),)* $((stringify!($new), $new_number),)*];

        #[cfg(all(test, target_os = "linux", target_arch = $arch))]
        #[test]
        fn numbers_agree_with_libc() {
            $(assert_eq!(libc::$known, $number, stringify!($known));)*
        }
    };
}
use numbers;
