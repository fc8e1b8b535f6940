//! Watches the enclosure: reaps orphans, samples what no cgroup counts, ends the tree when a limit is passed.
//!
//! Only this process can do it well: it has the enclosure's own `/proc`, so a scan costs as many reads as the
//! tree has processes, and it holds the capability to read them although the program may hide from others.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::payload::Started;
use super::{Enforced, Failure, Stage};
use crate::channel;
use crate::linux::{mounts, sys};
use crate::output::LimitKind;
use crate::spec::{Spec, Status};

/// Time between samples, at the least; a scan that takes long is repeated less often.
const TICK: Duration = Duration::from_millis(10);
/// How much longer than the parent this process waits before it ends the run itself.
const WALL_GRACE: Duration = Duration::from_secs(2);
/// Time between walks of a layer on disk, at the least.
const DISK_TICK: Duration = Duration::from_millis(200);

/// Runs until the program has ended, then ends everything else.
pub(super) fn until_the_end(
    spec: &Spec,
    control: &OwnedFd,
    child_ended: &OwnedFd,
    started: &Started,
    layers: &[OwnedFd],
    enforced: Enforced,
) -> Result<Status, Failure> {
    channel::send(control, &Status::Started { enforced }, &[]).stage("tell the parent")?;
    let program = started.pid.as_raw_nonzero().get();
    let mut watch = Watch::new(spec, layers);
    let status = loop {
        let mut ready = [PollFd::new(child_ended, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        let pause = Timespec { tv_sec: 0, tv_nsec: watch.pause().as_nanos() as i64 };
        rustix::io::retry_on_intr(|| poll(&mut ready, Some(&pause))).stage("wait")?;
        let (child, parent) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if parent {
            // The parent says nothing more: readable means it is gone, and the enclosure goes with it.
            sys::exit_now(0);
        }
        if child {
            let mut buffer = [0u8; 128];
            let _ = rustix::io::read(child_ended, &mut buffer);
            let mut ended = None;
            while let Some(reaped) = sys::reap() {
                if reaped.pid == program {
                    ended = Some(reaped.status);
                }
            }
            if let Some(status) = ended {
                break status;
            }
        }
        if let Some(limit) = watch.sample() {
            watch.verdict = Some(limit);
            sys::kill_everything();
            let status = loop {
                match sys::reap_blocking() {
                    Some(reaped) if reaped.pid == program => break reaped.status,
                    Some(_) => {}
                    None => break libc::SIGKILL,
                }
            };
            break status;
        }
    };
    if watch.spec.watch_memory {
        // A fork bomb can be over between two samples: what it left tells, itself no longer among them.
        let mut tree = Tree::default();
        tree.scan(false);
        if tree.processes + 1 >= u64::from(spec.limits.processes) {
            watch.hit(LimitKind::Processes);
        }
    }
    // Whatever the program left behind ends now; the kernel finds it all, whatever it ignores or calls itself.
    sys::kill_everything();
    while sys::reap_blocking().is_some() {}
    let usage = sys::children_usage();
    if scratch_is_full() {
        watch.hit(LimitKind::Disk);
    }
    if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGXFSZ {
        watch.hit(LimitKind::FileSize);
    }
    Ok(Status::Exited {
        status,
        verdict: watch.verdict,
        user: usage.user,
        system: usage.system,
        peak: watch.peak.max(usage.peak),
        hits: watch.hits,
    })
}

struct Watch<'a> {
    spec: &'a Spec,
    layers: &'a [OwnedFd],
    started: Instant,
    cost: Duration,
    disk_due: Instant,
    peak: u64,
    verdict: Option<LimitKind>,
    hits: Vec<LimitKind>,
}

impl<'a> Watch<'a> {
    fn new(spec: &'a Spec, layers: &'a [OwnedFd]) -> Self {
        let started = Instant::now();
        Self {
            spec,
            layers,
            started,
            cost: Duration::ZERO,
            disk_due: started,
            peak: 0,
            verdict: None,
            hits: Vec::new(),
        }
    }

    fn hit(&mut self, limit: LimitKind) {
        if !self.hits.contains(&limit) {
            self.hits.push(limit);
        }
    }

    fn sampling(&self) -> bool {
        self.spec.watch_memory || self.spec.watch_cpu && self.spec.limits.cpu.is_some() || !self.layers.is_empty()
    }

    /// Sampling takes at most about a tenth of a processor.
    fn pause(&self) -> Duration {
        if self.sampling() { TICK.max(self.cost * 9) } else { Duration::from_millis(500) }
            .min(Duration::from_millis(900))
    }

    /// The limit that was passed, if one was.
    fn sample(&mut self) -> Option<LimitKind> {
        let began = Instant::now();
        if began - self.started > self.spec.limits.wall + WALL_GRACE {
            return Some(LimitKind::Wall);
        }
        if !self.sampling() {
            return None;
        }
        let limits = &self.spec.limits;
        let mut tree = Tree::default();
        tree.scan(self.spec.watch_memory);
        let memory = tree.memory + if self.spec.watch_memory { used_memory_files() } else { 0 };
        self.peak = self.peak.max(memory);
        if tree.processes >= u64::from(limits.processes) {
            self.hit(LimitKind::Processes);
        }
        let passed = if self.spec.watch_memory && memory > limits.memory {
            Some(LimitKind::Memory)
        } else if self.spec.watch_cpu && limits.cpu.is_some_and(|most| tree.cpu + children_cpu() > most) {
            Some(LimitKind::Cpu)
        } else if began >= self.disk_due {
            let used = self.layers.iter().map(used_on_disk).sum::<u64>();
            self.disk_due = Instant::now() + DISK_TICK.max(began.elapsed() * 10);
            (used > limits.disk).then_some(LimitKind::Disk)
        } else {
            None
        };
        self.cost = began.elapsed();
        if let Some(limit) = passed {
            self.hit(limit);
        }
        passed
    }
}

fn children_cpu() -> Duration {
    let usage = sys::children_usage();
    usage.user + usage.system
}

/// What the live processes of the enclosure hold.
#[derive(Default)]
struct Tree {
    processes: u64,
    memory: u64,
    cpu: Duration,
    shared_files: HashSet<(u64, u64)>,
}

impl Tree {
    fn scan(&mut self, memory: bool) {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()).filter(|pid| *pid > 1) else {
                continue;
            };
            // A process may end between the listing and any of these reads: then it holds nothing.
            self.stat(pid);
            if memory {
                self.memory += proportional_set(pid).unwrap_or(0);
                self.memory_files(pid);
            }
        }
        if memory {
            self.memory += shared_segments();
        }
    }

    /// CPU time and threads (proc_pid_stat(5), fields 14, 15 and 20).
    fn stat(&mut self, pid: i32) {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return };
        let Some((_, rest)) = text.rsplit_once(") ") else { return };
        let field =
            |number: usize| rest.split(' ').nth(number - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        self.cpu += Duration::from_millis((field(14) + field(15)) * 1000 / ticks);
        self.processes += field(20).max(1);
    }

    /// memfds count by their blocks, each once: unmapped pages of one are in no process's set.
    fn memory_files(&mut self, pid: i32) {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return };
        for descriptor in descriptors.flatten() {
            let path = descriptor.path();
            let Ok(target) = std::fs::read_link(&path) else { continue };
            if !target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:") {
                continue;
            }
            if let Ok(metadata) = std::fs::metadata(&path)
                && self.shared_files.insert((metadata.dev(), metadata.ino()))
            {
                self.memory += metadata.blocks() * 512;
            }
        }
    }
}

fn proportional_set(pid: i32) -> Option<u64> {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/{pid}/smaps_rollup")).ok()?.read_to_string(&mut text).ok()?;
    let kilobytes = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))
            .and_then(|number| number.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    // Shared memory pages of memfds and tmpfs files are counted where they lie, so not here as well.
    Some((kilobytes("Pss:").saturating_sub(kilobytes("Pss_Shmem:")) + kilobytes("SwapPss:")) * 1024)
}

/// System V shared memory of this IPC namespace (proc_sysvipc_shm: the field `rss`).
fn shared_segments() -> u64 {
    let text = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let mut lines = text.lines();
    let Some(place) = lines.next().and_then(|head| head.split_whitespace().position(|name| name == "rss")) else {
        return 0;
    };
    lines.filter_map(|line| line.split_whitespace().nth(place)?.parse::<u64>().ok()).sum()
}

/// Files in the scratch tmpfs: they are memory.
fn used_memory_files() -> u64 {
    rustix::fs::statvfs("/tmp").map_or(0, |fs| (fs.f_blocks - fs.f_bfree) * fs.f_frsize)
}

fn scratch_is_full() -> bool {
    rustix::fs::statvfs("/tmp").is_ok_and(|fs| fs.f_bfree == 0 || fs.f_ffree == 0)
}

/// Bytes below a layer's folder, which the program cannot see under that name; symlinks are not followed.
fn used_on_disk(layer: &OwnedFd) -> u64 {
    let mut used = 0;
    let mut folders = vec![PathBuf::from(mounts::by_descriptor(layer.as_fd()))];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            used += metadata.blocks() * 512;
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    used
}
