//! Resource limits of one process, inherited by its children: the second wall behind the cgroup, and the first
//! where there is none. [`apply`] is the door.
//!
//! They are per process or per user, so none of them is the tree's verdict: memory, CPU time and disk are watched
//! by the engine, and the values here lie a little beyond so that the watcher, which can say what happened, comes first.
//! RLIMIT_AS is never set: V8 and Go reserve far more address space than they use.

use std::io;
use std::time::Duration;

use crate::limits::{Limits, MB};
use crate::weaken::{Barrier, stands};

/// How many processes of a run are ours: the nest init, which counts wherever the payload does.
pub(crate) const NEST_INIT: u32 = 1;

/// A limit that the kernel did not take.
#[derive(Debug, thiserror::Error)]
#[error("set {name} to {value}: {source}")]
pub(crate) struct RlimitError {
    name: &'static str,
    value: u64,
    source: io::Error,
}

/// One resource: soft and hard value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    name: &'static str,
    resource: libc::__rlimit_resource_t,
    soft: u64,
    hard: u64,
}

const fn both(name: &'static str, resource: libc::__rlimit_resource_t, value: u64) -> Setting {
    Setting { name, resource, soft: value, hard: value }
}

/// Sets every limit on this process, soft and hard; none can be raised again without a capability.
/// A hard limit that is already lower is kept. To be called after the user namespace was entered, since only then
/// does RLIMIT_NPROC count this run alone.
///
/// `others`: processes that count against RLIMIT_NPROC and are not the run's.
/// `without_cgroup`: whether RLIMIT_DATA has to stand in for a memory limit of the tree.
///
/// # Errors
/// The first limit that the kernel refused, by name.
pub(crate) fn apply(limits: &Limits, without_cgroup: bool, others: u64) -> Result<(), RlimitError> {
    let settings = settings(limits, without_cgroup, others).into_iter();
    settings.filter(|setting| stands(Barrier::Rlimit(setting.name))).try_for_each(|setting| {
        set(&setting).map_err(|source| RlimitError { name: setting.name, value: setting.hard, source })
    })
}

fn settings(limits: &Limits, without_cgroup: bool, others: u64) -> Vec<Setting> {
    let mut settings = vec![
        both("RLIMIT_NPROC", libc::RLIMIT_NPROC, u64::from(limits.processes) + others),
        both("RLIMIT_NOFILE", libc::RLIMIT_NOFILE, limits.open_files.into()),
        // The payload starts with SIGXFSZ ignored, so that `write` answers EFBIG instead of ending it.
        both("RLIMIT_FSIZE", libc::RLIMIT_FSIZE, limits.file_size),
        // 1, not 0: a piped core_pattern runs its helper, as root, even for 0; core(5) makes 1 the exception.
        both("RLIMIT_CORE", libc::RLIMIT_CORE, 1),
        // Crypto libraries lock a few pages.
        both("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK, 8 * MB),
        // The kernel's own default; the queues are kernel memory.
        both("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE, 800 << 10),
        // Bounds queued signals and POSIX timers, which are kernel memory.
        both("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING, 1024),
        both("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO, 0),
        both("RLIMIT_NICE", libc::RLIMIT_NICE, 0),
        // Also the default size of thread stacks, and four times the room for arguments. Some programs raise it.
        Setting { name: "RLIMIT_STACK", resource: libc::RLIMIT_STACK, soft: 8 * MB, hard: 64 * MB },
    ];
    if let Some(cpu) = limits.cpu {
        // Per process and in whole seconds: behind the watcher, which sums the tree.
        let seconds = cpu.saturating_add(Duration::from_millis(999)).as_secs() + 1;
        settings.push(both("RLIMIT_CPU", libc::RLIMIT_CPU, seconds));
    }
    if without_cgroup {
        // Far behind the watchdog: it is what ends the tree with a verdict, this only stops one process from
        // outrunning it between two looks.
        let far = limits.memory.saturating_mul(4).max(limits.memory.saturating_add(4096 * MB));
        settings.push(both("RLIMIT_DATA", libc::RLIMIT_DATA, far));
    }
    settings
}

fn set(setting: &Setting) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one `rlimit` through a pointer to a live one.
    if unsafe { libc::getrlimit(setting.resource, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let hard = setting.hard.min(now.rlim_max);
    let wanted = libc::rlimit { rlim_cur: setting.soft.min(hard), rlim_max: hard };
    // SAFETY: setrlimit reads one `rlimit` through a pointer to a live one.
    if unsafe { libc::setrlimit(setting.resource, &raw const wanted) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::linux::child::in_child;

    fn in_force() -> String {
        fs::read_to_string("/proc/self/limits").unwrap()
    }
    fn row<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().take(2).collect()
    }

    #[test]
    fn the_kernel_holds_what_was_asked() {
        let limits = Limits { cpu: Some(Duration::from_millis(1500)), ..Limits::default() };
        let ended = in_child(|| {
            let before = in_force();
            apply(&limits, true, NEST_INIT.into()).unwrap();
            let after = in_force();
            assert_eq!(row(&after, "Max processes"), ["65", "65"]);
            assert_eq!(row(&after, "Max open files"), ["1024", "1024"]);
            assert_eq!(row(&after, "Max file size"), ["4294967296", "4294967296"]);
            assert_eq!(row(&after, "Max core file size"), ["1", "1"]);
            assert_eq!(row(&after, "Max cpu time"), ["3", "3"]);
            assert_eq!(row(&after, "Max realtime priority"), ["0", "0"]);
            assert_eq!(row(&after, "Max stack size")[0], "8388608");
            assert_eq!(row(&after, "Max data size"), ["4563402752", "4563402752"]);
            assert_eq!(row(&after, "Max address space"), row(&before, "Max address space"));
            0
        });
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn data_and_cpu_are_left_alone_when_not_asked_for() {
        let ended = in_child(|| {
            let before = in_force();
            apply(&Limits::default(), false, 1).unwrap();
            let after = in_force();
            assert_eq!(row(&after, "Max data size"), row(&before, "Max data size"));
            assert_eq!(row(&after, "Max cpu time"), row(&before, "Max cpu time"));
            0
        });
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn a_lower_hard_limit_is_kept() {
        let ended = in_child(|| {
            set(&both("RLIMIT_NOFILE", libc::RLIMIT_NOFILE, 100)).unwrap();
            apply(&Limits::default(), false, 1).unwrap();
            assert_eq!(row(&in_force(), "Max open files"), ["100", "100"]);
            0
        });
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn absurd_memory_does_not_overflow() {
        let limits = Limits { memory: u64::MAX, ..Limits::default() };
        let data = settings(&limits, true, 1).into_iter().find(|setting| setting.name == "RLIMIT_DATA").unwrap();
        assert_eq!(data.hard, u64::MAX);
    }
}
