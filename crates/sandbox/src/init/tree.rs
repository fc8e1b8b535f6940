//! What the live processes of the enclosure hold: CPU time, memory, and files that have no name any more.
//!
//! Read from the enclosure's own `/proc`, by a process that holds the capabilities to look even at those that hide.
//! A program that knows this source tries to be missed, so what cannot be read one way is read another:
//! a process whose first thread has ended is read through another thread, one that is undumpable through
//! `pidfd_getfd`. The filter refuses threads with descriptor tables of their own.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::extent::Extent;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Below this much shared memory in a process its mappings are not looked at one by one: it is simply added.
const SHARED_WORTH_READING: u64 = 1 << 20;

/// Device and inode.
type Inode = (u64, u64);

/// The file system on which the kernel keeps memfds, shared anonymous mappings and System V segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedMemory {
    device: u64,
}

impl SharedMemory {
    /// Asks the kernel, by making a file there.
    pub(super) fn find() -> std::io::Result<Self> {
        let file = rustix::fs::memfd_create("probe", rustix::fs::MemfdFlags::CLOEXEC)?;
        Ok(Self { device: rustix::fs::fstat(&file)?.st_dev })
    }
}

/// What a scan looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Memory.
    pub(super) memory: bool,
    /// Files on disk that are open and have no name.
    pub(super) nameless: bool,
    /// Where memory files lie, which are no files on disk.
    pub(super) shared: SharedMemory,
}

/// Asks the C library's questions ahead (rustix keeps the answers): the nest init's filter would refuse them later.
/// Called by the spawner, so that every nest init starts with the answers.
pub(crate) fn prepare() {
    rustix::param::clock_ticks_per_second();
}

/// One scan.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Threads of all processes but the nest init.
    pub(super) processes: u64,
    /// CPU time of those that live.
    pub(super) cpu: Duration,
    /// Memory of their own, in bytes.
    private: u64,
    /// Memory files, each once: bytes by its blocks, and bytes by what is mapped. The greater one counts: a file may
    /// be open and not mapped, or mapped and no longer open.
    shared: HashMap<Inode, (u64, u64)>,
    /// Files without a name, each once: bytes on disk.
    nameless: HashMap<Inode, u64>,
}

impl Tree {
    /// Looks at every process of a run.
    pub(super) fn scan(extent: Extent, look: Look) -> Self {
        let mut tree = Self::default();
        for pid in extent.processes() {
            // A process may end between the listing and any of these reads: then it holds nothing.
            tree.stat(pid);
            if look.memory {
                tree.process_memory(pid, look.shared);
            }
            if look.memory || look.nameless {
                tree.open_files(pid, look);
            }
        }
        if look.memory && extent == Extent::Namespace {
            tree.private += shared_segments();
        }
        tree
    }

    /// Bytes of memory, but for the files of the scratch space.
    pub(super) fn memory(&self) -> u64 {
        self.private + self.shared.values().map(|(blocks, mapped)| blocks.max(mapped)).sum::<u64>()
    }

    /// Bytes on disk that no folder shows.
    pub(super) fn nameless(&self) -> u64 {
        self.nameless.values().sum()
    }

    /// CPU time and threads (proc_pid_stat(5), fields 14 to 17 and 20). The time of children that were waited for counts:
    /// they are gone, and a program could otherwise spend all it likes in short ones.
    fn stat(&mut self, pid: u32) {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return };
        let Some((_, rest)) = text.rsplit_once(") ") else { return };
        let field =
            |number: usize| rest.split(' ').nth(number - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        self.cpu += Duration::from_millis((field(14) + field(15) + field(16) + field(17)) * 1000 / ticks);
        self.processes += field(20).max(1);
    }

    fn process_memory(&mut self, pid: u32, shared: SharedMemory) {
        // Empty where the first thread has ended and others go on.
        let rollup = through_any_thread(pid, |base| {
            fs::read_to_string(format!("{base}/smaps_rollup")).ok().filter(|text| !text.is_empty())
        });
        let Some(text) = rollup else {
            self.private += resident(pid);
            return;
        };
        let kilobytes = |name| text.lines().find_map(|line| kilobytes(line, name)).unwrap_or(0);
        let in_files = kilobytes("Pss_Shmem:");
        self.private += (kilobytes("Pss:").saturating_sub(in_files) + kilobytes("SwapPss:")) * 1024;
        if in_files * 1024 < SHARED_WORTH_READING {
            self.private += in_files * 1024;
            return;
        }
        let maps = through_any_thread(pid, |base| {
            fs::read_to_string(format!("{base}/smaps")).ok().filter(|text| !text.is_empty())
        });
        for (inode, bytes) in mapped_files(&maps.unwrap_or_default(), shared) {
            self.shared.entry(inode).or_default().1 += bytes;
        }
    }

    fn open_files(&mut self, pid: u32, look: Look) {
        let listed = through_any_thread(pid, |base| {
            let folder = format!("{base}/fd");
            let listed: Vec<_> = fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.path()).collect();
            (!listed.is_empty()).then_some(listed)
        });
        for path in listed.iter().flatten() {
            let Ok(target) = fs::read_link(path) else { continue };
            let target = target.as_os_str().as_bytes();
            // A name ends like this when it is gone; a memfd never had one.
            if target.ends_with(b" (deleted)")
                && let Ok(found) = fs::metadata(path)
            {
                self.file(found.dev(), found.ino(), found.nlink(), found.blocks() * 512, look);
            }
        }
        if listed.is_none() {
            self.hidden_files(pid, look);
        }
    }

    /// An undumpable process's list of descriptors belongs to a uid that is not mapped here. Tracing it is allowed
    /// all the same, so the descriptors are taken one by one.
    fn hidden_files(&mut self, pid: u32, look: Look) {
        let Some(pidfd) = Pid::from_raw(pid.cast_signed()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            return;
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")?.trim().parse::<i32>().ok());
        for number in 0..size.unwrap_or(0) {
            let Ok(file) = pidfd_getfd(pidfd.as_fd(), number, PidfdGetfdFlags::empty()) else { continue };
            if let Ok(found) = fs::File::from(file).metadata()
                && found.is_file()
            {
                self.file(found.dev(), found.ino(), found.nlink(), found.blocks() * 512, look);
            }
        }
    }

    fn file(&mut self, device: u64, inode: u64, links: u64, bytes: u64, look: Look) {
        if look.shared.device == device {
            self.shared.entry((device, inode)).or_default().0 = bytes;
        } else if look.nameless && links == 0 {
            self.nameless.insert((device, inode), bytes);
        }
    }
}

/// Names told of what a program left behind.
const MOST_NAMES: usize = 32;

/// The names of the processes that run, those that have ended and wait to be reaped left out (proc_pid_stat(5), fields 2
/// and 3). A program chooses its own name.
pub(super) fn running(extent: Extent) -> Vec<String> {
    let name = |pid: u32| {
        let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let (before, after) = text.rsplit_once(") ")?;
        let name = before.split_once('(')?.1;
        (!after.starts_with(['Z', 'X'])).then(|| name.to_owned())
    };
    let mut names: Vec<String> = extent.processes().into_iter().filter_map(name).take(MOST_NAMES).collect();
    names.sort_unstable();
    names
}

/// What a process that hides its mappings holds: a program whose file its user may not read is undumpable, and a guard
/// without capabilities may not look closer. Shared pages count whole.
fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bytes = |name| text.lines().find_map(|line| kilobytes(line, name)).unwrap_or(0) * 1024;
    bytes("RssAnon:") + bytes("RssShmem:") + bytes("VmSwap:")
}

/// What the first thread that has it says: the process's own folder, else those of its threads.
fn through_any_thread<T>(pid: u32, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let own = format!("/proc/{pid}");
    read(&own).or_else(|| {
        let tasks = format!("{own}/task");
        numbers(&tasks).filter(|task| *task != pid).find_map(|task| read(&format!("{tasks}/{task}")))
    })
}

/// The entries of a folder that are numbers.
pub(super) fn numbers(folder: &str) -> impl Iterator<Item = u32> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn kilobytes(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Bytes mapped of each memory file (proc_pid_smaps(5)). System V segments are counted by their own list, and files
/// of the scratch space by its file system.
fn mapped_files(smaps: &str, shared: SharedMemory) -> Vec<(Inode, u64)> {
    let mut found: Vec<(Inode, u64)> = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if !first.ends_with(':') {
            // address perms offset device inode path
            let (device, inode, path) = (words.nth(2), words.next(), words.next().unwrap_or_default());
            let device = device.and_then(|text| text.split_once(':')).and_then(|(major, minor)| {
                let hex = |text| u32::from_str_radix(text, 16).ok();
                Some(rustix::fs::makedev(hex(major)?, hex(minor)?))
            });
            current = match (device, inode.and_then(|text| text.parse().ok())) {
                (Some(device), Some(inode)) if device == shared.device && !path.starts_with("/SYSV") => {
                    Some((device, inode))
                }
                _ => None,
            };
        } else if let (Some(inode), Some(size)) = (current, kilobytes(line, "Pss:")) {
            found.push((inode, size * 1024));
        }
    }
    found
}

/// System V shared memory of this IPC namespace (proc_sysvipc_shm: the field `rss`).
fn shared_segments() -> u64 {
    let text = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let mut lines = text.lines();
    let Some(place) = lines.next().and_then(|head| head.split_whitespace().position(|name| name == "rss")) else {
        return 0;
    };
    lines.filter_map(|line| line.split_whitespace().nth(place)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_memory_files_are_told_from_others() {
        let smaps = "7f0000000000-7f0000100000 rw-s 00000000 00:01 1234                       /dev/zero (deleted)\n\
            Size:               1024 kB\nPss:                1000 kB\nPss_Dirty:             7 kB\nVmFlags: rd wr\n\
            7f0000200000-7f0000300000 rw-s 00000000 00:01 77                         /SYSV00000000 (deleted)\n\
            Pss:                 500 kB\n\
            7f0000400000-7f0000500000 r--p 00000000 00:2a 1234                       /usr/lib/libc.so.6\n\
            Pss:                 300 kB\n\
            7f0000600000-7f0000700000 rw-s 00000000 00:01 99                         [anon_shmem:a name: x]\n\
            Pss:                   4 kB\n\
            7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]\n\
            Pss:                  12 kB\n";
        let shared = SharedMemory { device: rustix::fs::makedev(0, 1) };
        assert_eq!(
            mapped_files(smaps, shared),
            [((shared.device, 1234), 1000 * 1024), ((shared.device, 99), 4 * 1024)]
        );
    }
}
