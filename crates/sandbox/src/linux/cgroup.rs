//! Control groups: limits and accounting that hold for a run's whole tree, however it forks. [`Support::probe`]
//! finds out, by doing, what this process may use; [`Group`] is one run's group.
//!
//! Both versions, also side by side: a control is taken from the unified hierarchy (v2) where its controller is there, else
//! from a v1 hierarchy, and [`Support::control`] says for each whether it holds and why not. A unified hierarchy
//! without controllers still counts CPU time and kills a tree at once.
//! What counts as memory: everything the tree touches, its tmpfs files, shared memory and memfds included. Plain page cache
//! counts too, but is reclaimed before anything is killed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::limits::Limits;
use crate::linux::rlimit::NEST_INIT;
use crate::output::Control;

mod hierarchy;
mod leftovers;
#[cfg(test)]
mod tests;

use leftovers::{own_name, sweep};

/// Where this process can make groups, hierarchy by hierarchy: the folders that groups are made in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Support {
    unified: Option<PathBuf>,
    unified_memory: bool,
    unified_pids: bool,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    missing: BTreeMap<Control, String>,
}

impl Support {
    /// Tries every hierarchy that is mounted: makes a group, sets its limits, removes it. Sweeps, on the way, groups
    /// left behind by processes that are gone. Never fails; what cannot be had is in [`Self::control`].
    pub(crate) fn probe() -> Self {
        let read = |path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        match (read("/proc/self/cgroup"), read("/proc/self/mountinfo")) {
            (Ok(own), Ok(mounts)) => Self::of(&hierarchy::own_folders(&own, &mounts)),
            (Err(reason), _) | (_, Err(reason)) => Self::none(&reason),
        }
    }

    /// No cgroup at all, for this reason.
    pub(crate) fn none(reason: &str) -> Self {
        let controls = [Control::Memory, Control::Processes, Control::Cpu];
        Self { missing: controls.map(|control| (control, reason.to_owned())).into(), ..Self::default() }
    }

    fn of(own: &hierarchy::Folders) -> Self {
        let mut support = Self::default();
        let mut reasons: BTreeMap<&str, String> = BTreeMap::new();
        match own.unified.as_ref().map(unified_parent) {
            Some(Ok((parent, controllers))) => {
                support.unified_memory = controllers.iter().any(|name| name == "memory");
                support.unified_pids = controllers.iter().any(|name| name == "pids");
                support.unified = Some(parent);
                let given = if controllers.is_empty() { "none".to_owned() } else { controllers.join(" ") };
                reasons.insert("unified", format!("controllers there: {given}"));
            }
            Some(Err(reason)) => {
                reasons.insert("unified", reason);
            }
            None => {
                reasons.insert("unified", "not mounted".into());
            }
        }
        for (name, slot, limit) in [
            ("memory", &mut support.memory, Some(("memory.limit_in_bytes", "1073741824"))),
            ("pids", &mut support.pids, Some(("pids.max", "64"))),
            ("cpuacct", &mut support.cpuacct, None),
        ] {
            match own.v1.get(name).map(|folder| usable(folder, limit).map(|()| folder.clone())) {
                Some(Ok(folder)) => *slot = Some(folder),
                Some(Err(reason)) => drop(reasons.insert(name, reason)),
                None => drop(reasons.insert(name, "not mounted".into())),
            }
        }
        let mut missing = |control, holds: bool, v1: &str| {
            if !holds {
                let reason = |name| reasons.get(name).map_or("not tried", String::as_str);
                let text = format!("cgroup v2: {}; v1 {v1}: {}", reason("unified"), reason(v1));
                support.missing.insert(control, text);
            }
        };
        missing(Control::Memory, support.unified_memory || support.memory.is_some(), "memory");
        missing(Control::Processes, support.unified_pids || support.pids.is_some(), "pids");
        missing(Control::Cpu, support.unified.is_some() || support.cpuacct.is_some(), "cpuacct");
        // Everywhere, since an earlier process may have been given other hierarchies than this one.
        support.unified.iter().chain(own.v1.values()).for_each(|parent| sweep(parent));
        support
    }

    /// Makes the next [`Group::join`] quick, for a few milliseconds.
    ///
    /// Moving a process between v1 groups takes a lock of all of them for writing, and the first writer waits for an
    /// RCU grace period (measured: 5 to 8 ms; then 0.1 ms). This process moves itself to where it is, so that the wait
    /// is over when a run needs the lock. v2 needs none of it: there a process is made in its group.
    pub(crate) fn expect_join(&self) {
        if let Some(own) = self.memory.iter().chain(&self.pids).next() {
            // What cannot be written costs the wait, at the run.
            let _ = fs::write(own.join("cgroup.procs"), std::process::id().to_string());
        }
    }

    /// Whether groups hold this control: `Memory` and `Processes` are limited, `Cpu` is counted.
    ///
    /// # Errors
    /// The reason, hierarchy by hierarchy, fit for `agentic doctor`.
    pub(crate) fn control(&self, control: Control) -> Result<(), &str> {
        self.missing.get(&control).map_or(Ok(()), |reason| Err(reason))
    }

    /// The folders that groups are made in, each once.
    #[cfg(test)]
    fn parents(&self) -> Vec<PathBuf> {
        let memory = self.memory.iter().filter(|_| !self.unified_memory);
        let pids = self.pids.iter().filter(|_| !self.unified_pids);
        let cpuacct = self.cpuacct.iter().filter(|_| self.unified.is_none());
        let mut parents: Vec<PathBuf> = self.unified.iter().chain(memory).chain(pids).chain(cpuacct).cloned().collect();
        parents.sort();
        parents.dedup();
        parents
    }
}

/// One run's group, in as many hierarchies as it takes. Dropping it kills what is left in it and removes it.
#[derive(Debug)]
pub(crate) struct Group {
    unified: Option<PathBuf>,
    unified_fd: Option<OwnedFd>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    memory_is_unified: bool,
    /// A forked copy of this value must not remove the group.
    owner: u32,
}

impl Group {
    /// Makes a group, without limits yet. `name` must be unique within this process.
    ///
    /// # Errors
    /// The file that could not be made or written. Nothing is left behind.
    pub(crate) fn create(support: &Support, name: &str) -> io::Result<Self> {
        let name = own_name(name)?;
        let make = |parent: &Path| -> io::Result<PathBuf> {
            let folder = parent.join(&name);
            match fs::create_dir(&folder) {
                // v1 may mount several controllers as one hierarchy.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(naming(&folder, error)),
                _ => Ok(folder),
            }
        };
        let mut group = Self {
            unified: None,
            unified_fd: None,
            memory: None,
            pids: None,
            cpuacct: None,
            memory_is_unified: support.unified_memory,
            owner: std::process::id(),
        };
        // Filled one by one, so that dropping the value after an error removes what was made.
        if let Some(parent) = &support.unified {
            let folder = make(parent)?;
            group.unified = Some(folder.clone());
            group.unified_fd = Some(open_folder(&folder)?);
        }
        group.memory = match (&support.memory, support.unified_memory) {
            (_, true) => group.unified.clone(),
            (parent, false) => parent.as_deref().map(make).transpose()?,
        };
        group.pids = match (&support.pids, support.unified_pids) {
            (_, true) => group.unified.clone(),
            (parent, false) => parent.as_deref().map(make).transpose()?,
        };
        if support.unified.is_none() {
            group.cpuacct = support.cpuacct.as_deref().map(make).transpose()?;
        }
        Ok(group)
    }

    /// Sets its limits: before anything joins.
    ///
    /// # Errors
    /// The file that could not be written.
    pub(crate) fn limit(&self, limits: &Limits) -> io::Result<()> {
        let bytes = limits.memory.to_string();
        if let Some(folder) = &self.memory {
            if self.memory_is_unified {
                put(folder, "memory.max", &bytes)?;
                // One that ran out of memory takes its tree along: half a tree is no result.
                put(folder, "memory.oom.group", "1")?;
                put_if_there(folder, "memory.swap.max", "0")?;
            } else {
                put(folder, "memory.limit_in_bytes", &bytes)?;
                // Memory and swap together, where swap is accounted; else keep the group from being swapped.
                if !put_if_there(folder, "memory.memsw.limit_in_bytes", &bytes)? {
                    put_if_there(folder, "memory.swappiness", "0")?;
                }
            }
        }
        if let Some(folder) = &self.pids {
            put(folder, "pids.max", &(u64::from(limits.processes) + u64::from(NEST_INIT)).to_string())?;
        }
        Ok(())
    }

    /// For `clone3` with CLONE_INTO_CGROUP, where the unified hierarchy is all there is; it needs no [`Self::join`]
    /// then. Beside v1 it would only be one more wait, for the lock that the join needs.
    pub(crate) fn clone_fd(&self) -> Option<BorrowedFd<'_>> {
        let only_unified = self.folders().len() == 1;
        self.unified_fd.as_ref().filter(|_| only_unified).map(AsFd::as_fd)
    }

    /// Moves a process, as numbered in the caller's pid namespace, and its later children into the group. To be
    /// done while it still waits: what it allocated before stays with its old group.
    ///
    /// # Errors
    /// The hierarchy that refused.
    pub(crate) fn join(&self, pid: u32) -> io::Result<()> {
        self.folders().into_iter().try_for_each(|folder| put(folder, "cgroup.procs", &pid.to_string()))
    }

    /// How many times the kernel killed for lack of memory in the group.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = if self.memory_is_unified { "memory.events" } else { "memory.oom_control" };
        self.memory.as_deref().and_then(|folder| field(folder, file, "oom_kill")).unwrap_or(0)
    }

    /// How many forks the process limit refused.
    pub(crate) fn pids_max_hits(&self) -> u64 {
        self.pids.as_deref().and_then(|folder| field(folder, "pids.events", "max")).unwrap_or(0)
    }

    /// User and system CPU time of everything that was ever in the group; `None` where nothing counts it.
    pub(crate) fn cpu(&self) -> Option<(Duration, Duration)> {
        if let Some(folder) = &self.unified {
            let time = |name| field(folder, "cpu.stat", name).map(Duration::from_micros);
            return Some((time("user_usec")?, time("system_usec")?));
        }
        let folder = self.cpuacct.as_deref()?;
        let nanoseconds = |name| number(folder, name).map(Duration::from_nanos);
        match (nanoseconds("cpuacct.usage_user"), nanoseconds("cpuacct.usage_sys")) {
            (Some(user), Some(system)) => Some((user, system)),
            _ => {
                // Hundredths of a second, on kernels before 4.7.
                let ticks = |name| field(folder, "cpuacct.stat", name).map(|ticks| Duration::from_millis(ticks * 10));
                Some((ticks("user")?, ticks("system")?))
            }
        }
    }

    /// Bytes of memory now; `None` where nothing counts them.
    #[cfg(test)]
    pub(crate) fn current_memory(&self) -> Option<u64> {
        let file = if self.memory_is_unified { "memory.current" } else { "memory.usage_in_bytes" };
        number(self.memory.as_deref()?, file)
    }

    /// Most bytes of memory at any time; `None` where nothing counts them (v2 before Linux 5.19 among them).
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let file = if self.memory_is_unified { "memory.peak" } else { "memory.max_usage_in_bytes" };
        number(self.memory.as_deref()?, file)
    }

    /// Whether a process is left in any hierarchy; one that has ended and is not reaped yet counts.
    #[cfg(test)]
    pub(crate) fn populated(&self) -> bool {
        self.folders().into_iter().any(|folder| !members(folder).is_empty())
    }

    /// Kills everything in the group, forks in flight included. Returns when all have been signalled, not reaped.
    ///
    /// # Errors
    /// When members are still alive after two seconds, which means that they fork faster than they can be killed
    /// (without a process limit) or that the kernel holds them.
    pub(crate) fn kill(&self) -> io::Result<()> {
        if let Some(folder) = &self.unified
            && put(folder, "cgroup.kill", "1").is_ok()
        {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let alive: usize = self.folders().into_iter().map(kill_members).sum();
            if alive == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{alive} processes outlive SIGKILL")));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes the group, waiting up to a second for the kernel to let the last member go.
    ///
    /// # Errors
    /// The folder that could not be removed.
    #[cfg(test)]
    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.remove_folders(Duration::from_secs(1))
    }

    fn remove_folders(&mut self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        let mut result = Ok(());
        for folder in self.folders() {
            result = result.and(remove_folder(folder, deadline));
        }
        self.unified_fd = None;
        (self.unified, self.memory, self.pids, self.cpuacct) = (None, None, None, None);
        result
    }

    /// The group's folders, each once.
    fn folders(&self) -> Vec<&Path> {
        let all = [&self.unified, &self.memory, &self.pids, &self.cpuacct];
        let mut folders: Vec<&Path> = all.into_iter().filter_map(Option::as_deref).collect();
        folders.sort_unstable();
        folders.dedup();
        folders
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.owner != std::process::id() || self.folders().is_empty() {
            return;
        }
        // Nobody is left to be told. What cannot be removed now is swept by the next probe.
        let _ = self.kill();
        let _ = self.remove_folders(Duration::from_millis(200));
    }
}

/// The nearest folder, from this process's own upwards, in which a v2 group can be made and entered, and the controllers
/// that such a group has. A folder further up with a memory controller is better than a nearer one without.
fn unified_parent(own: &hierarchy::Unified) -> Result<(PathBuf, Vec<String>), String> {
    let mut best: Option<(PathBuf, Vec<String>)> = None;
    let mut refused = String::new();
    for parent in own.folder.ancestors().take_while(|folder| folder.starts_with(&own.mount)) {
        // Entering takes write access to the procs file of the common ancestor, which is this folder.
        if let Err(error) = OpenOptions::new().write(true).open(parent.join("cgroup.procs")) {
            refused = format!("{}: {error}", parent.join("cgroup.procs").display());
            break;
        }
        match try_unified(parent) {
            Ok(controllers) if controllers.iter().any(|name| name == "memory") => {
                return Ok((parent.to_owned(), controllers));
            }
            Ok(controllers) => drop(best.get_or_insert_with(|| (parent.to_owned(), controllers))),
            Err(error) => refused = error.to_string(),
        }
    }
    best.ok_or(refused)
}

fn try_unified(parent: &Path) -> io::Result<Vec<String>> {
    let available = words(parent, "cgroup.controllers");
    for controller in ["memory", "pids"].into_iter().filter(|name| available.iter().any(|word| word == name)) {
        // Refused (EBUSY) where processes live in the folder itself and it is not the root. The probe shows it.
        let _ = put(parent, "cgroup.subtree_control", &format!("+{controller}"));
    }
    let folder = parent.join(own_name(&probe_name())?);
    fs::create_dir(&folder).map_err(|error| naming(&folder, error))?;
    let mut controllers = words(&folder, "cgroup.controllers");
    controllers.retain(|name| match name.as_str() {
        "memory" => put(&folder, "memory.max", "1073741824").is_ok(),
        "pids" => put(&folder, "pids.max", "64").is_ok(),
        _ => true,
    });
    fs::remove_dir(&folder).map_err(|error| naming(&folder, error))?;
    Ok(controllers)
}

/// Whether a v1 group can be made in this folder, entered, and given its limit.
fn usable(parent: &Path, limit: Option<(&str, &str)>) -> Result<(), String> {
    let attempt = || -> io::Result<()> {
        let folder = parent.join(own_name(&probe_name())?);
        fs::create_dir(&folder).map_err(|error| naming(&folder, error))?;
        let limited = limit.map_or(Ok(()), |(file, value)| put(&folder, file, value));
        let entered = OpenOptions::new().write(true).open(folder.join("cgroup.procs")).map(drop);
        fs::remove_dir(&folder).map_err(|error| naming(&folder, error))?;
        limited.and(entered)
    };
    attempt().map_err(|error| error.to_string())
}

/// Threads may probe at the same time.
fn probe_name() -> String {
    static PROBES: AtomicU32 = AtomicU32::new(0);
    format!("probe{}", PROBES.fetch_add(1, Ordering::Relaxed))
}

/// Signals every member and returns how many there were. A pid is signalled only when it is still a member after a
/// descriptor of its process was taken, so a number that was given to another process in between is left alone.
fn kill_members(folder: &Path) -> usize {
    let open = |pid: u32| {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?))
    };
    let listed: Vec<(Pid, OwnedFd)> = members(folder).into_iter().filter_map(open).collect();
    let still = members(folder);
    for (pid, fd) in &listed {
        if still.contains(&pid.as_raw_nonzero().get().cast_unsigned()) {
            // Already gone is what we want.
            let _ = pidfd_send_signal(fd, Signal::KILL);
        }
    }
    still.len()
}

/// The processes in a folder, as this process sees them. Zero stands for one outside its pid namespace.
fn members(folder: &Path) -> Vec<u32> {
    words(folder, "cgroup.procs").iter().filter_map(|word| word.parse().ok()).collect()
}

fn remove_folder(folder: &Path, deadline: Instant) -> io::Result<()> {
    let mut pause = Duration::from_micros(100);
    loop {
        match fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(naming(folder, error)),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn open_folder(folder: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_DIRECTORY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let file: File =
        OpenOptions::new().read(true).custom_flags(flags).open(folder).map_err(|error| naming(folder, error))?;
    Ok(file.into())
}

/// Writes one value to an existing control file, in one `write`.
fn put(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = folder.join(file);
    let write = || OpenOptions::new().write(true).open(&path)?.write_all(value.as_bytes());
    write().map_err(|error| naming(&path, error))
}

/// As [`put`], but a file that does not exist is no error. Says whether it did.
fn put_if_there(folder: &Path, file: &str, value: &str) -> io::Result<bool> {
    match put(folder, file, value) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn words(folder: &Path, file: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// A file that holds one number.
fn number(folder: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

/// One field of a file of `name value` lines.
fn field(folder: &Path, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(folder.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
