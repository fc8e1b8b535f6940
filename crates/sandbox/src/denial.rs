//! What a run was refused, said so that a reader can act on it: [`Denial`].
//!
//! Where the kernel tells (a refused system call, a limit) the denial is exact. What a program only hears as an
//! error of its own (a file that is not in the view, a name that does not resolve) is inferred from what it printed,
//! by whoever reads that, and says so. A list is short by construction: a program decides what it is refused.

use serde::{Deserialize, Serialize};

use crate::filters::Arch;
use crate::filters::Openings;
use crate::gateway::Traffic;
use crate::limits::{Limits, MB};
use crate::output::LimitKind;
use crate::policy::Profile;
use crate::spec::Refused;

/// Denials of one run, at most.
pub const MOST_DENIALS: usize = 32;
/// Bytes of a denial's object, at most: it may be the program's own words.
const LONGEST_OBJECT: usize = 256;

/// Which wall a program met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refuser {
    /// The system-call filter.
    Seccomp,
    /// A limit.
    Limits,
    /// The import policy of the runtime.
    Imports,
    /// The network namespace, in which there is nobody.
    Network,
    /// The proxy that lets named hosts through.
    NetworkAllowList,
    /// The view: what is not in it is absent, what is not writable in it takes no writes.
    View,
}

/// How a denial is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The control that refused said so.
    Exact,
    /// Read from what the program printed, which may be wrong or a lie.
    Inferred,
}

/// One thing that a run was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Which control refused.
    pub control: Refuser,
    /// Its rule, in words.
    pub rule: String,
    /// What was asked for: a call, a path, a module, a limit's name.
    pub object: String,
    /// What to change to have it allowed; none where nothing does.
    pub how_to_allow: Option<String>,
    /// How it is known.
    pub certainty: Certainty,
    /// How often. Of what is inferred: 1.
    pub count: u64,
}

impl Denial {
    /// A denial read from what a program printed. The object is cut to 256 bytes, control characters escaped.
    pub fn inferred(control: Refuser, rule: impl Into<String>, object: &str, how: Option<String>) -> Self {
        Self {
            control,
            rule: rule.into(),
            object: shown(object),
            how_to_allow: how,
            certainty: Certainty::Inferred,
            count: 1,
        }
    }
    /// The same, known from the control itself.
    pub fn exact(control: Refuser, rule: impl Into<String>, object: &str, how: Option<String>) -> Self {
        Self { certainty: Certainty::Exact, ..Self::inferred(control, rule, object, how) }
    }
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sure = if self.certainty == Certainty::Inferred { "probably " } else { "" };
        write!(f, "{sure}refused: {} ({})", self.object, self.rule)?;
        if self.count > 1 {
            write!(f, ", {} times", self.count)?;
        }
        match &self.how_to_allow {
            Some(how) => write!(f, "; to allow it: {how}"),
            None => f.write_str("; no setting allows it"),
        }
    }
}

/// Text of the program's, bounded and on one line.
fn shown(text: &str) -> String {
    let mut object = String::new();
    for character in text.chars() {
        if object.len() + character.len_utf8() > LONGEST_OBJECT {
            object.push('…');
            break;
        }
        if character.is_control() {
            object.extend(character.escape_default());
        } else {
            object.push(character);
        }
    }
    object
}

/// The limits that a run met.
pub(crate) fn of_limits(hit: &[LimitKind], limits: &Limits) -> Vec<Denial> {
    let megabytes = |bytes: u64| format!("{} MB", bytes.div_ceil(MB));
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs_f64());
    let denial = |kind: &LimitKind| {
        let (object, value, how) = match kind {
            LimitKind::Wall => ("time on the clock", seconds(limits.wall), "--timeout, timeout_seconds"),
            LimitKind::Cpu => ("CPU time", seconds(limits.cpu.unwrap_or_default()), "sandbox.limits.cpu, cpu_seconds"),
            LimitKind::Memory => ("memory", megabytes(limits.memory), "--memory, max_memory_mb"),
            LimitKind::Processes => (
                "processes and threads at once",
                limits.processes.to_string(),
                "sandbox.limits.processes, max_processes",
            ),
            LimitKind::Output => ("output that is kept", megabytes(limits.output), "--max-output, max_output_bytes"),
            LimitKind::Disk => ("scratch space and layers", megabytes(limits.disk), "sandbox.limits.disk, max_disk_mb"),
            LimitKind::FileSize => {
                ("the size of a file", megabytes(limits.file_size), "sandbox.limits.file_size, max_file_size_mb")
            }
        };
        Denial::exact(Refuser::Limits, format!("limited to {value}"), object, Some(format!("a higher limit ({how})")))
    };
    hit.iter().map(denial).collect()
}

/// What the gateway did not let through.
pub(crate) fn of_network(traffic: &Traffic) -> Vec<Denial> {
    let mut found: Vec<Denial> = Vec::new();
    for decision in traffic.decisions.iter().filter(|decision| !decision.allowed) {
        let object = match decision.host.as_str() {
            "" => "a connection without a host".to_owned(),
            host => format!("{host}:{}", decision.port),
        };
        let rule = decision.reason.clone().unwrap_or_default();
        let denial = Denial::exact(Refuser::NetworkAllowList, shown(&rule), &object, decision.how_to_allow.clone());
        let same = |known: &Denial| (&known.object, &known.rule) == (&denial.object, &denial.rule);
        match found.iter().position(same) {
            Some(place) => found[place].count += 1,
            None if found.len() < MOST_DENIALS => found.push(denial),
            None => {}
        }
    }
    found
}

/// The system calls that the filter refused, as the nest init counted them.
pub(crate) fn of_calls(refused: &[Refused], open: Openings, without_namespaces: bool) -> Vec<Denial> {
    let told = refused.iter().filter_map(|refused| of_call(refused, open, without_namespaces));
    told.take(MOST_DENIALS).collect()
}

/// The type of the UNIX socket by which glibc asks for its cache of names (nscd(8)) before every look-up of a user, a
/// group or a host. Hardly any machine has that cache, no view shows it, and the look-up goes on without it: the
/// refusal is true of every program, and explains nothing. libuv makes its UNIX sockets so, too; Node's own message
/// tells of those.
pub(crate) const CACHE_OF_NAMES: u32 = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u32;

/// What opens again what the strict profile closes.
const DEFAULT_PROFILE: &str = "the default profile (--profile default, profile=\"default\")";

fn of_call(refused: &Refused, open: Openings, without_namespaces: bool) -> Option<Denial> {
    let arch = Arch::native()?;
    let (name, reason) = arch.describe(refused.number, open.profile)?;
    let argument = |place: usize| refused.args[place];
    let (object, rule, how) = match name {
        "execve" | "execveat" if !open.exec => (
            match &refused.path {
                Some(path) => format!("exec of {}", String::from_utf8_lossy(path)),
                None => "exec".to_owned(),
            },
            "no program is started after the first".to_owned(),
            Some(match open.profile {
                Profile::Strict => DEFAULT_PROFILE,
                _ => "an import policy that leaves `subprocess` and `os.system` open (--block-import, blocked_imports)",
            }),
        ),
        "socket" if argument(0) as i32 == libc::AF_UNIX && argument(1) as u32 == CACHE_OF_NAMES => return None,
        "socket" | "socketpair" => {
            let family = argument(0) as i32;
            let family_name = FAMILIES.iter().find(|(number, _)| *number == family).map(|(_, name)| *name);
            let object = match family_name {
                Some(known) => format!("{name}({known}, {}, {})", argument(1) as u32 & 0xF, argument(2) as u32),
                None => format!("{name}({family}, {}, {})", argument(1) as u32 & 0xF, argument(2) as u32),
            };
            let inet = matches!(family, libc::AF_INET | libc::AF_INET6 | libc::AF_NETLINK);
            let (rule, how) = match open.profile {
                Profile::Strict if inet || family == libc::AF_UNIX => ("no socket but a pair", Some(DEFAULT_PROFILE)),
                _ if inet && !open.inet => (
                    "INET sockets are closed",
                    Some("an import policy that leaves `socket` open (--block-import, blocked_imports)"),
                ),
                _ if without_namespaces && name == "socket" && (inet || family == libc::AF_UNIX) => {
                    ("no socket but a pair, without namespaces", Some("a run that has namespaces (--tier a)"))
                }
                _ => (reason, None),
            };
            (object, rule.to_owned(), how)
        }
        "clone" => (format!("clone({:#x})", argument(0) as u32), reason.to_owned(), None),
        "ioctl" => (format!("ioctl({:#x})", argument(1) as u32), reason.to_owned(), None),
        "prctl" | "personality" | "kill" => (format!("{name}({})", argument(0) as i32), reason.to_owned(), None),
        "fcntl" => (format!("fcntl({})", argument(1) as u32), reason.to_owned(), None),
        other => (other.to_owned(), reason.to_owned(), None),
    };
    let denial = Denial::exact(Refuser::Seccomp, rule, &object, how.map(str::to_owned));
    Some(Denial { count: refused.count, ..denial })
}

/// Families that programs ask for, by their names.
const FAMILIES: &[(i32, &str)] = &[
    (libc::AF_UNIX, "AF_UNIX"),
    (libc::AF_INET, "AF_INET"),
    (libc::AF_INET6, "AF_INET6"),
    (libc::AF_NETLINK, "AF_NETLINK"),
    (libc::AF_PACKET, "AF_PACKET"),
    (libc::AF_VSOCK, "AF_VSOCK"),
    (libc::AF_ALG, "AF_ALG"),
    (libc::AF_BLUETOOTH, "AF_BLUETOOTH"),
    (libc::AF_CAN, "AF_CAN"),
    (libc::AF_KEY, "AF_KEY"),
    (libc::AF_TIPC, "AF_TIPC"),
    (libc::AF_RDS, "AF_RDS"),
    (libc::AF_XDP, "AF_XDP"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_own_words_are_bounded_and_on_one_line() {
        let denial =
            Denial::inferred(Refuser::View, "not in the view", &format!("/a\n\x1b[2J{}", "é".repeat(500)), None);
        assert!(denial.object.starts_with("/a\\n\\u{1b}[2J"), "{denial}");
        assert!(denial.object.len() <= LONGEST_OBJECT + '…'.len_utf8(), "{}", denial.object.len());
        assert!(denial.to_string().ends_with("; no setting allows it"), "{denial}");
    }

    #[test]
    fn a_limit_is_told_with_its_value_and_what_raises_it() {
        let limits = Limits { memory: 64 * MB, ..Limits::default() };
        let told = of_limits(&[LimitKind::Memory], &limits);
        assert_eq!(
            told[0].to_string(),
            "refused: memory (limited to 64 MB); to allow it: a higher limit (--memory, max_memory_mb)"
        );
        assert_eq!(of_limits(&[], &limits), []);
    }
}
