//! The guard: what the nest init is to an enclosure, for a run without namespaces (tier B). It is the subreaper of all
//! that the program starts, watches it, ends it, and tells the parent what happened. Trusted, it never runs user bytes.
//!
//! The story, in order:
//! 1. Become the subreaper and undumpable; ask the spawner's death to be told as SIGTERM, since somebody must be left
//!    to end the tree: no kernel does it here.
//! 2. Make the private folder that stands for home and `/tmp`.
//! 3. Wait for the start message: the parent has put this process into its cgroup by then.
//! 4. Start the program: as a user of its own where root can give it one, confined before its first instruction.
//! 5. Watch; end every descendant; remove the folder.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Signal};

use super::extent::Extent;
use super::root::Root;
use super::scratch::Scratch;
use super::{Enforced, Failure, Handed, Stage, payload, terminal, watch};
use crate::channel;
use crate::filters::{Openings, Program, SharedHost, Ticket};
use crate::linux::{landlock, mounts, sys};
use crate::output::Control;
use crate::spec::{FailureKind, Guard, Spec, State, Status};

/// The lowest Landlock ABI that a run can live under: before it, no file can be renamed to another folder.
const LEAST_ABI: u32 = 2;

/// Files of `/proc` that say something about the machine and nothing about other processes.
const PROC_FILES: &[&str] = &[
    "cpuinfo",
    "filesystems",
    "loadavg",
    "meminfo",
    "stat",
    "uptime",
    "version",
    "sys/fs/pipe-max-size",
    "sys/kernel/cap_last_cap",
    "sys/kernel/ngroups_max",
    "sys/kernel/osrelease",
    "sys/kernel/pid_max",
    "sys/kernel/random/uuid",
    "sys/vm/max_map_count",
    "sys/vm/overcommit_memory",
];

/// Becomes the guard of the run that `spec` describes.
pub(super) fn story(
    mut spec: Spec,
    guard: Guard,
    scratch: String,
    handed: Handed,
    control: &OwnedFd,
) -> Result<Status, Failure> {
    let signals = sys::guard_signals().stage("watch for ended children")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).stage("follow the spawner's death")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).stage("become undumpable")?;
    sys::become_subreaper().stage("become the subreaper of the run")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let scratch = Scratch::make(scratch, guard.user).stage("make a private folder for home and temporary files")?;
    let (home, temporary) = (scratch.path.join("home"), scratch.path.join("tmp"));
    for (name, value) in [("HOME", &home), ("TMPDIR", &temporary)] {
        let mut entry = OsString::from(format!("{name}="));
        spec.env.retain(|set| !set.as_bytes().starts_with(entry.as_bytes()));
        entry.push(value);
        spec.env.push(entry);
    }
    spec.writable.push(scratch.path.clone().into());
    let mut layers = vec![scratch.open().stage("open the private folder")?];
    for layer in &guard.layers {
        layers.push(mounts::open_path(&PathBuf::from(layer)).stage("open the workspace's copy")?);
    }
    if channel::receive::<u8>(control).stage("wait for the start")?.is_none() {
        return Err(ended());
    }
    let mut enforced = Enforced::new();
    let stdio = match spec.terminal {
        Some(size) => terminal(control, size)?,
        None => handed.stdio,
    };
    let started = payload::start(&spec, stdio, &mut enforced, || Ok(()));
    let started = started.inspect_err(|_| {
        Extent::Descendants.end(0);
    })?;
    let root = Root { layers, scratch: None };
    let status = watch::until_the_end(&spec, control, &signals, &started, &root, Extent::Descendants, enforced);
    if status.is_err() {
        Extent::Descendants.end(0);
    }
    status
}

fn ended() -> Failure {
    Failure {
        kind: FailureKind::Stage,
        stage: "wait for the start".into(),
        error: std::io::ErrorKind::UnexpectedEof.into(),
    }
}

/// In the process that becomes the program: its user, and the guard's death as its own.
pub(super) fn become_user(guard: &Guard) -> Result<(), Failure> {
    if let Some(user) = guard.user {
        // Without a capability in effect until they go for good: paths are looked up as this user.
        rustix::thread::set_keep_capabilities(true).stage("keep capabilities over the change of user")?;
        sys::become_user(user, user, true).stage(format!("become user {user}"))?;
        rustix::thread::set_keep_capabilities(false).stage("end keeping capabilities")?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).stage("follow the guard's death")?;
    if rustix::process::getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != guard_pid(guard)) {
        sys::exit_now(127);
    }
    Ok(())
}

fn guard_pid(guard: &Guard) -> i32 {
    guard.pid
}

/// Other processes of the caller's user, threads counted: they count against the same limit. None where the run has
/// a user of its own.
pub(super) fn others(guard: &Guard) -> u64 {
    if guard.user.is_some() {
        return 0;
    }
    let own = rustix::process::getuid().as_raw().to_string();
    let count = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        (field("Uid:")? == own).then(|| field("Threads:")?.parse::<u64>().ok())?
    };
    super::tree::numbers("/proc").filter_map(count).sum()
}

/// Enters the Landlock domain: what the allow-list names, and of `/proc` this process's own folder.
pub(super) fn enter_domain(spec: &Spec, guard: &Guard) -> Result<(State, State), Failure> {
    let given_up = spec.allow_degraded.contains(&Control::Landlock);
    let refuse = |why: String| match given_up {
        true => Ok((State::Off(why.clone()), State::Off(why))),
        false => Err(Failure {
            kind: FailureKind::Unenforceable(Control::Landlock),
            stage: why,
            error: std::io::Error::from_raw_os_error(libc::EPERM),
        }),
    };
    let abi = landlock::abi();
    if abi < LEAST_ABI {
        let found = if abi == 0 { "this kernel has no Landlock".into() } else { format!("Landlock has ABI {abi}") };
        return refuse(format!("keep files apart without a mount namespace: {found}, and ABI {LEAST_ABI} is needed"));
    }
    let mut unreachable = Vec::new();
    let mut there = |path: &PathBuf| match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => true,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => false,
        Err(_) => {
            unreachable.push(path.display().to_string());
            false
        }
    };
    let proc_files = PROC_FILES.iter().map(|name| PathBuf::from("/proc").join(name));
    let read: Vec<PathBuf> = guard.readable.iter().map(PathBuf::from).chain(proc_files).filter(&mut there).collect();
    let write: Vec<PathBuf> = spec.writable.iter().map(PathBuf::from).filter(&mut there).collect();
    let own = ["/proc/self".into()];
    let status = match landlock::restrict(&[&read[..], &own].concat(), &write) {
        Ok(status) => status,
        Err(error) => return refuse(error.to_string()),
    };
    if let (true, Some(parent)) = (status.scoped, rustix::process::getppid())
        && rustix::process::test_kill_process(parent) != Err(rustix::io::Errno::PERM)
    {
        return refuse("the scope of the Landlock domain does not hold".into());
    }
    let domain = match status {
        landlock::LandlockStatus { abi: ..6, .. } if guard.user.is_none() => State::Degraded(format!(
            "ABI {abi} has no scope for signals (6 and later have): the filter lets the program signal its own process group only"
        )),
        landlock::LandlockStatus { abi: ..6, .. } => State::Degraded(format!(
            "ABI {abi} has no scope for signals (6 and later have): the program can signal processes of its own user only"
        )),
        _ => State::Active,
    };
    let mut view = guard.view.clone();
    if !unreachable.is_empty() {
        view.push_str(&format!("; out of reach of the program's user: {}", unreachable.join(", ")));
    }
    Ok((domain, State::Degraded(view)))
}

/// The system-call filter.
pub(super) fn filter(open: Openings, spec: &Spec, guard: &Guard, ticket: Option<&Ticket>) -> Option<Program> {
    let abi = landlock::abi();
    let shared = SharedHost { user: guard.user.is_none(), signals_scoped: abi >= 6, truncation_ruled: abi >= 3 };
    Program::sharing(open, shared, !spec.own_network, ticket)
}
