//! What a program reads about the machine it runs on: its own share of it, and nothing of what others do there.
//!
//! The kernel's `/proc` tells of the whole host, whatever namespaces and limits a reader has. So files that programs
//! size themselves by are written anew, from the limits, and files that count what the host does (each of them also a
//! way for two runs to talk to each other) are covered. What is written is written once, at the start of a run: it
//! stays true of the limits and does not follow what the program uses. See `docs/design/surroundings.md`.

use std::fmt::Write;

use rustix::thread::{CpuSet, sched_getaffinity};

use crate::limits::Limits;

/// Files of `/proc` that read as empty: they tell of the host or of its other users, and programs in a sandbox do
/// without them. What a host does not have is passed over, and what only its root may read needs no cover. Each is
/// a mount, so the list is no longer than it has to be.
pub(crate) const COVERED_FILES: &[&str] = &[
    // What the host is made of, and how it was started.
    "cmdline",
    "config.gz",
    "kallsyms",
    "modules",
    "partitions",
    // What is going on there: each number moves with what other runs do.
    "buddyinfo",
    "cgroups",
    "diskstats",
    "interrupts",
    "key-users",
    "keys",
    "latency_stats",
    "locks",
    "sched_debug",
    "schedstat",
    "softirqs",
    "sys/fs/aio-nr",
    "sys/fs/dentry-state",
    "sys/fs/file-nr",
    "sys/fs/inode-nr",
    "sys/fs/inode-state",
    "sys/kernel/pty/nr",
    "vmstat",
    "zoneinfo",
];

/// Folders of the same kind: devices, drivers, disks, interrupts, pressure.
pub(crate) const COVERED_FOLDERS: &[&str] = &["asound", "bus", "driver", "fs", "irq", "pressure", "scsi"];

/// The processors of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Processors {
    /// Their numbers, ascending.
    pub(crate) numbers: Vec<u32>,
    /// Whether they are fewer than what the caller has, so that the run has to be put on them.
    pub(crate) fewer: bool,
}

impl Processors {
    /// Those that `limits` gives: as many as it names, else as many as its process limit can keep busy, with room for the
    /// threads that only wait: a pool of a thread for each processor has to fit in the limit. `run` tells runs
    /// apart, so that several with few processors each do not all share the first ones.
    pub(crate) fn of(limits: &Limits, run: u64) -> Self {
        Self::choose(&allowed(), limits, run)
    }

    fn choose(allowed: &[u32], limits: &Limits, run: u64) -> Self {
        let most = limits.cpus.unwrap_or((limits.processes / 2).max(1)) as usize;
        if allowed.is_empty() || most >= allowed.len() {
            return Self { numbers: allowed.to_vec(), fewer: false };
        }
        let first = (run.wrapping_mul(most as u64) % allowed.len() as u64) as usize;
        let mut numbers: Vec<u32> = allowed.iter().cycle().skip(first).take(most).copied().collect();
        numbers.sort_unstable();
        Self { numbers, fewer: true }
    }

    /// As the kernel lists them: `0-2,5`.
    pub(crate) fn list(&self) -> String {
        let mut text = String::new();
        for run in self.numbers.chunk_by(|one, next| one + 1 == *next) {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = match run {
                [one] => write!(text, "{comma}{one}"),
                [first, .., last] => write!(text, "{comma}{first}-{last}"),
                [] => Ok(()),
            };
        }
        text
    }
}

/// The processors that this thread may run on. Past the 1,024 that a set holds the kernel refuses to answer: then
/// as many as the C library counts.
fn allowed() -> Vec<u32> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).map(|cpu| cpu as u32).collect(),
        Err(_) => (0..std::thread::available_parallelism().map_or(1, usize::from) as u32).collect(),
    }
}

/// The files of `/proc` that are written anew, relative to it.
pub(crate) fn files(limits: &Limits, processors: &Processors) -> Vec<(&'static str, Vec<u8>)> {
    let mut files = vec![
        ("meminfo", meminfo(limits.memory).into_bytes()),
        ("stat", stat(processors).into_bytes()),
        // Nothing was waiting when the run began.
        ("loadavg", b"0.00 0.00 0.00 1/2 2\n".to_vec()),
        ("swaps", b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec()),
    ];
    files.extend(boot_id().map(|id| ("sys/kernel/random/boot_id", id.into_bytes())));
    // The kernel's own is the truth where the run has every processor, and asking for it is not free.
    if processors.fewer
        && let Ok(text) = std::fs::read_to_string("/proc/cpuinfo")
    {
        files.push(("cpuinfo", cpuinfo(&text, processors).into_bytes()));
    }
    files
}

/// Of the host's list only what concerns these processors.
fn cpuinfo(host: &str, processors: &Processors) -> String {
    let number = |block: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix("processor")?.trim_start().strip_prefix(':'))?;
        line.trim().parse::<u32>().ok()
    };
    host.split_inclusive("\n\n")
        .filter(|block| number(block).is_none_or(|number| processors.numbers.contains(&number)))
        .collect()
}

/// The limit as the machine's memory, all of it free: what the run itself holds comes out of it.
fn meminfo(limit: u64) -> String {
    let host = rustix::system::sysinfo();
    let unit = u64::from(host.mem_unit.max(1));
    let total = (host.totalram as u64 * unit).min(limit);
    // Caches count as used there, and give way: the kernel's own estimate, where it could be less than the limit.
    let available =
        if host.freeram as u64 * unit >= total { total } else { available_on_host().unwrap_or(total).min(total) };
    let fields = [
        ("MemTotal", total),
        ("MemFree", available),
        ("MemAvailable", available),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", 0),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", 0),
        ("Mapped", 0),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("PageTables", 0),
        ("CommitLimit", total),
        ("Committed_AS", 0),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
    ];
    fields.iter().fold(String::new(), |mut text, (name, bytes)| {
        // As the kernel aligns them: programs that read columns exist.
        let _ = writeln!(text, "{:<16}{:>8} kB", format!("{name}:"), bytes >> 10);
        text
    })
}

fn available_on_host() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// No time spent by any processor, and the time of the boot, from which programs compute when a process began.
fn stat(processors: &Processors) -> String {
    let since = |clock| rustix::time::clock_gettime(clock).tv_sec;
    let boot = since(rustix::time::ClockId::Realtime) - since(rustix::time::ClockId::Boottime);
    let mut text = String::from("cpu  0 0 0 0 0 0 0 0 0 0\n");
    for number in &processors.numbers {
        let _ = writeln!(text, "cpu{number} 0 0 0 0 0 0 0 0 0 0");
    }
    let _ = write!(
        text,
        "intr 0\nctxt 0\nbtime {boot}\nprocesses 2\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
    );
    text
}

/// Another one for each run: the host's tells runs on one machine that they are.
fn boot_id() -> Option<String> {
    let mut bytes = [0u8; 16];
    if rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()).ok()? != bytes.len() {
        return None;
    }
    // RFC 9562, version 4.
    let number = u128::from_be_bytes(bytes) & !(0xF << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let hex = format!("{number:032x}");
    Some(format!("{}-{}-{}-{}-{}\n", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(cpus: Option<u32>, processes: u32) -> Limits {
        Limits { cpus, processes, ..Limits::default() }
    }

    #[test]
    fn processors_are_as_many_as_asked_for_and_spread() {
        let allowed: Vec<u32> = (0..8).collect();
        let of = |cpus, processes, run| Processors::choose(&allowed, &limits(cpus, processes), run);
        assert_eq!(of(None, 64, 3), Processors { numbers: allowed.clone(), fewer: false });
        assert_eq!(of(Some(8), 1, 0), Processors { numbers: allowed.clone(), fewer: false });
        assert_eq!(of(Some(100), 1, 0).numbers.len(), 8);
        assert_eq!(of(Some(2), 64, 0).list(), "0-1");
        assert_eq!(of(Some(2), 64, 1).list(), "2-3");
        assert_eq!(of(Some(3), 64, 2).list(), "0,6-7", "past the last comes the first");
        assert_eq!(of(None, 4, 0).list(), "0-1", "no more than the process limit can keep busy");
        assert_eq!(of(None, 1, 0).numbers.len(), 1);
        assert_eq!(Processors::choose(&[5, 9], &limits(Some(1), 64), 1).list(), "9");
        assert_eq!(Processors { numbers: vec![0, 1, 2, 5, 7, 8], fewer: true }.list(), "0-2,5,7-8");
    }

    #[test]
    fn the_list_of_processors_keeps_the_named_ones_and_what_names_none() {
        let host = "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\nmodel name\t: x\n\nprocessor\t: 10\n\nHardware\t: board\n";
        let processors = Processors { numbers: vec![1], fewer: true };
        assert_eq!(cpuinfo(host, &processors), "processor\t: 1\nmodel name\t: x\n\nHardware\t: board\n");
    }

    #[test]
    fn memory_is_the_limit_or_what_there_is() {
        let field = |text: &str, name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
        };
        let small = meminfo(64 << 20);
        assert_eq!((field(&small, "MemTotal"), field(&small, "SwapTotal")), (64 << 10, 0));
        let host = std::fs::read_to_string("/proc/meminfo").unwrap();
        let all = meminfo(1 << 50);
        assert!(field(&all, "MemTotal").abs_diff(field(&host, "MemTotal")) < 1 << 10, "{all}");
        assert!(field(&all, "MemAvailable") < field(&all, "MemTotal"));
    }

    #[test]
    fn each_run_was_booted_by_itself() {
        let (one, two) = (boot_id().unwrap(), boot_id().unwrap());
        assert_ne!(one, two);
        let shape: String = one.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
        assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n");
        assert_eq!((&one[14..15], "89ab".contains(&one[19..20])), ("4", true), "{one}");
    }
}
