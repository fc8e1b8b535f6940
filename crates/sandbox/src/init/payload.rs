//! Starts the program: pid 2 of the enclosure, stripped of everything before its first instruction.
//!
//! The order matters. Descriptors and the working directory come first, because Landlock would have to
//! allow them; resource limits before capabilities go, because raising one needs CAP_SYS_RESOURCE;
//! Landlock and the system-call filter last, the filter at the very end, because it refuses most of the
//! calls above it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::{Enforced, Failure, Stage, guard};
use crate::channel;
use crate::filters::{Openings, Program};
use crate::linux::seccomp::Departure;
use crate::linux::sys::{self, Forked};
use crate::linux::{capabilities, landlock, rlimit, seccomp};
use crate::output::Control;
use crate::spec::{Enclosure, FailureKind, Spec, State};
use crate::weaken::{Barrier, stands};

/// The processors of a run that has fewer than its caller.
mod processors {
    use rustix::thread::{CpuSet, sched_setaffinity};

    /// This process, and what comes of it, runs on these from here on.
    pub(super) fn keep_to(numbers: &[u32]) -> rustix::io::Result<()> {
        let mut set = CpuSet::new();
        numbers
            .iter()
            .map(|number| *number as usize)
            .filter(|number| *number < CpuSet::MAX_CPU)
            .for_each(|number| set.set(number));
        sched_setaffinity(None, &set)
    }

    /// Whether the kernel's list (`0-2,5`) names exactly these.
    pub(super) fn are(numbers: &[u32], list: &str) -> bool {
        let mut listed = Vec::new();
        for part in list.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.parse::<u32>(), last.parse::<u32>()) {
                (Ok(first), Ok(last)) => listed.extend(first..=last),
                _ => return false,
            }
        }
        listed == numbers
    }
}

/// A program that runs.
pub(super) struct Started {
    pub(super) pid: Pid,
    /// Where its filter asks about calls that it refuses, and the same filter without questions, which has the answers;
    /// none where the kernel gives no such thing.
    pub(super) listener: Option<(OwnedFd, Program)>,
}

/// What the process says before it becomes the program, while it still runs nothing but our code.
#[derive(Serialize, Deserialize)]
enum Said {
    /// What the kernel answered when the domain was entered: no file of `/proc` shows it from outside.
    Landlock(State),
    /// What the view is without mounts.
    View(State),
    /// The filter is in force; the descriptor by which it asks comes along, if it does. Whether UNIX sockets were left open.
    Filtered { unix: bool },
    /// It could not become the program.
    Failed { kind: FailureKind, stage: String, errno: i32 },
}

fn say(report: &OwnedFd, said: &Said, descriptors: &[BorrowedFd<'_>]) {
    // The reader takes an incomplete report for a failure.
    let _ = channel::send(report, said, descriptors);
}

/// Starts the program and returns once it has replaced its copy of this process.
///
/// `narrow` takes from this process what it needs no more; the other one does nothing before that is done, so that no
/// program ever runs below an unfiltered nest init.
pub(super) fn start(
    spec: &Spec,
    stdio: [OwnedFd; 3],
    enforced: &mut Enforced,
    narrow: impl FnOnce() -> Result<(), Failure>,
) -> Result<Started, Failure> {
    // The other end closes at a successful exec; a failure arrives before.
    let (ours, theirs) = channel::pair().stage("make a socket")?;
    let pid = match sys::fork().stage("fork the program")? {
        Forked::Child => {
            drop(ours);
            if !matches!(channel::receive::<u8>(&theirs), Ok(Some(_))) {
                sys::exit_now(127);
            }
            let Err(failure) = enter(spec, &stdio, &theirs) else { sys::exit_now(127) };
            let errno = failure.error.raw_os_error().unwrap_or(libc::EIO);
            say(&theirs, &Said::Failed { kind: failure.kind, stage: failure.stage, errno }, &[]);
            sys::exit_now(127)
        }
        Forked::Parent(pid, _) => pid,
    };
    drop(theirs);
    drop(stdio);
    narrow()?;
    channel::send(&ours, &0_u8, &[]).stage("let the program start")?;
    let (mut landlock, mut listener, mut unix) = (None, None, false);
    while let Some((said, descriptors)) = channel::receive(&ours).stage("wait for the program")? {
        match said {
            Said::Landlock(state) => landlock = Some(state),
            Said::View(state) => enforced.push((Control::View, state)),
            Said::Filtered { unix: open } => {
                listener = descriptors.into_iter().next();
                unix = open;
            }
            Said::Failed { kind, stage, errno } => {
                return Err(Failure { kind, stage, error: io::Error::from_raw_os_error(errno) });
            }
        }
    }
    let landlock = landlock.ok_or_else(|| Failure {
        kind: FailureKind::Stage,
        stage: "hear from the process that became the program".into(),
        error: io::ErrorKind::UnexpectedEof.into(),
    })?;
    enforced.push((Control::Landlock, landlock));
    verify(pid, spec, enforced)?;
    // Nobody's ticket, or none: the program's own is used up. Its own openings, so that both filters answer alike.
    let open = Openings { unix, ..Openings::of(spec.profile, spec.closed) };
    let answers = match &spec.enclosure {
        Enclosure::Namespaces => Program::for_answers(open),
        Enclosure::Guard(guard) => guard::filter(open, spec, guard, None),
    };
    Ok(Started { pid, listener: listener.zip(answers) })
}

/// From here on this is the process that becomes the program.
fn enter(spec: &Spec, stdio: &[OwnedFd; 3], report: &OwnedFd) -> Result<(), Failure> {
    sys::default_signals();
    // Past the file-size limit `write` then answers EFBIG, which a program can report, instead of ending it.
    sys::ignore_signal(libc::SIGXFSZ);
    rustix::process::setsid().stage("start a session")?;
    if spec.terminal.is_some() {
        rustix::process::ioctl_tiocsctty(&stdio[0]).stage("take the terminal")?;
    }
    for (number, stream) in stdio.iter().enumerate() {
        sys::duplicate_to(stream.as_fd(), number as i32, false).stage("set up standard streams")?;
    }
    // Under memory pressure of the whole machine the sandbox goes first.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let guarded = match &spec.enclosure {
        Enclosure::Namespaces => None,
        Enclosure::Guard(guard) => Some(guard),
    };
    // Processes that count against the limit and are not the program's: the nest init, or the user's others. Where the
    // cgroup is to answer first, one more.
    let others = guarded.map_or(rlimit::NEST_INIT.into(), guard::others) + u64::from(spec.count_processes);
    if let Some(guard) = guarded {
        guard::become_user(guard)?;
    }
    rustix::process::chdir(Path::new(&spec.dir))
        .stage(format!("enter the folder {}", Path::new(&spec.dir).display()))?;

    let (path, program) = find(spec)?;
    let argv = strings(&spec.argv)?;
    let env = strings(&spec.env)?;
    // Without exec the program itself starts by descriptor: the filter admits one `execveat`, by the random
    // addresses of its arguments, which end with this process image.
    let mut open = Openings::of(spec.profile, spec.closed);
    let departure = if !open.exec {
        let departure = Departure::new(program.as_raw_fd(), argv.clone(), env.clone());
        Some(departure.stage("lay out the program")?)
    } else {
        None
    };
    if stands(Barrier::ClosedDescriptors) {
        sys::close_all_but(&[0, 1, 2, report.as_raw_fd(), program.as_raw_fd()]).stage("close descriptors")?;
    } else {
        sys::leave_open(report.as_raw_fd()).stage("leave descriptors open")?;
    }
    told(rlimit::apply(&spec.limits, spec.watch_memory, others))?;
    if let Some(processors) = &spec.processors {
        processors::keep_to(processors).stage("choose the processors")?;
    }
    if stands(Barrier::Capabilities) {
        told(if guarded.is_some() { capabilities::drop_permitted() } else { capabilities::drop_all() })?;
    } else {
        capabilities::keep_all().stage("keep capabilities")?;
    }
    if stands(Barrier::NoNewPrivs) {
        landlock::no_new_privs().stage("set no_new_privs")?;
    }
    let ticket = departure.as_ref().map(Departure::ticket);
    let filter = match guarded {
        None => {
            let (domain, scoped) = enter_domain(spec)?;
            say(report, &Said::Landlock(domain), &[]);
            // In the host's network namespace abstract names lead to X11, D-Bus and whoever else listens.
            open.unix &= spec.own_network || scoped || !stands(Barrier::Landlock);
            Program::of(open, ticket)
        }
        Some(guard) => {
            let (domain, view) = guard::enter_domain(spec, guard)?;
            say(report, &Said::Landlock(domain), &[]);
            say(report, &Said::View(view), &[]);
            guard::filter(open, spec, guard, ticket)
        }
    };
    // Affinity is a program's own to change; where it is a limit, a filter of its own keeps it. First, because the program's
    // may close the call that installs filters.
    let installed = match (&spec.processors, Program::fixed_processors()) {
        (None, _) => Ok(()),
        (Some(_), Some(program)) => seccomp::install(&program),
        (Some(_), None) => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
    };
    let installed = installed.and_then(|()| {
        if !stands(Barrier::Seccomp) {
            return Ok(());
        }
        let program = filter.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS))?;
        // A container whose own filter asks somebody leaves no place for another: then nobody is asked.
        let listener = match seccomp::install_asking(&program.asking()) {
            Ok(listener) => Some(listener),
            Err(_) => seccomp::install(&program).map(|()| None)?,
        };
        let listener: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
        say(report, &Said::Filtered { unix: open.unix }, &listener);
        Ok(())
    });
    if let Err(error) = installed {
        return Err(Failure {
            kind: FailureKind::Unenforceable(Control::Seccomp),
            stage: "install the system-call filter".into(),
            error,
        });
    }
    let error = match departure {
        Some(departure) => departure.exec(),
        None => sys::exec(&path, &argv, &env),
    };
    let kind = match error.raw_os_error() {
        Some(libc::ENOENT) => FailureKind::ProgramNotFound,
        _ => FailureKind::NotExecutable,
    };
    Err(Failure { kind, stage: path.to_string_lossy().into_owned(), error })
}

fn strings(list: &[std::ffi::OsString]) -> Result<Vec<CString>, Failure> {
    list.iter()
        .map(|text| CString::new(text.as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput)))
        .collect::<Result<_, _>>()
        .stage("pass arguments on")
}

/// The program by path, or by name along `PATH`, as it is inside.
fn find(spec: &Spec) -> Result<(CString, OwnedFd), Failure> {
    let name = Path::new(&spec.program);
    let candidates: Vec<PathBuf> = if name.components().count() > 1 || name.is_absolute() {
        vec![name.to_owned()]
    } else {
        let path = spec.env.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
        let path = OsStr::from_bytes(path.unwrap_or(b"/usr/local/bin:/usr/bin:/bin"));
        std::env::split_paths(path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).collect()
    };
    let mut refusal = io::Error::from_raw_os_error(libc::ENOENT);
    for path in &candidates {
        match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => {
                let stat = rustix::fs::fstat(&file).stage("look at the program")?;
                if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
                    let path = CString::new(path.as_os_str().as_bytes())
                        .map_err(io::Error::other)
                        .stage("name the program")?;
                    return Ok((path, file));
                }
                refusal = io::Error::from_raw_os_error(libc::EACCES);
            }
            Err(error) if error == rustix::io::Errno::NOENT || error == rustix::io::Errno::NOTDIR => {}
            Err(error) => refusal = error.into(),
        }
    }
    let kind = match refusal.raw_os_error() {
        Some(libc::ENOENT) => FailureKind::ProgramNotFound,
        _ => FailureKind::NotExecutable,
    };
    Err(Failure { kind, stage: name.to_string_lossy().into_owned(), error: refusal })
}

/// What the kernel says of the program, never what was asked for. Anything less than asked ends the run.
fn verify(pid: Pid, spec: &Spec, enforced: &mut Enforced) -> Result<(), Failure> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
        .stage("read the program's status from the kernel")?;
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":")).map(str::trim).unwrap_or("missing")
    };
    let empty = |set: &&str| u64::from_str_radix(field(set), 16).is_ok_and(|bits| bits == 0);
    let held = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
    // Without a user namespace only who has CAP_SETPCAP can empty the bounding set, and `no_new_privs` stands before it.
    let bounded = empty(&"CapBnd") || matches!(spec.enclosure, Enclosure::Guard(_));
    let no_capabilities = held.iter().all(empty) && bounded;
    if let Some(processors) = &spec.processors
        && !processors::are(processors, field("Cpus_allowed_list"))
    {
        return Err(Failure {
            kind: FailureKind::Stage,
            stage: format!("keep the program to its processors: it has {}", field("Cpus_allowed_list")),
            error: io::Error::from_raw_os_error(libc::EPERM),
        });
    }
    for (control, holds, found) in [
        (Control::Capabilities, no_capabilities, "a capability set is not empty"),
        (Control::NoNewPrivs, field("NoNewPrivs") == "1", "NoNewPrivs is not 1"),
        (Control::Seccomp, field("Seccomp") == "2", "Seccomp is not 2"),
    ] {
        if holds && control == Control::Capabilities && !empty(&"CapBnd") {
            let why = "the bounding set is not empty, which takes CAP_SETPCAP; no_new_privs keeps it out of reach";
            enforced.push((control, State::Degraded(why.into())));
        } else if holds {
            enforced.push((control, State::Active));
        } else if spec.allow_degraded.contains(&control) {
            enforced.push((control, State::Off(found.into())));
        } else {
            return Err(Failure {
                kind: FailureKind::Unenforceable(control),
                stage: format!("verify the program's confinement: {found}"),
                error: io::Error::from_raw_os_error(libc::EPERM),
            });
        }
    }
    Ok(())
}

/// Enters the Landlock domain, and asks the kernel whether its scope holds: without it this process could signal the
/// nest init, which has the same uid. Says what is in force, and whether abstract UNIX sockets are scoped.
fn enter_domain(spec: &Spec) -> Result<(State, bool), Failure> {
    let writable: Vec<PathBuf> =
        spec.writable.iter().map(PathBuf::from).chain(["/dev".into(), "/proc".into()]).collect();
    let refused = |why: String| match spec.allow_degraded.contains(&Control::Landlock) {
        true => Ok((State::Off(why), false)),
        false => Err(Failure {
            kind: FailureKind::Unenforceable(Control::Landlock),
            stage: why,
            error: io::Error::from_raw_os_error(libc::EPERM),
        }),
    };
    if !stands(Barrier::Landlock) {
        return refused("it was taken away".into());
    }
    let status = match landlock::restrict(&["/".into()], &writable) {
        Ok(status) => status,
        Err(error) => return refused(error.to_string()),
    };
    if status.scoped && rustix::process::test_kill_process(Pid::INIT) != Err(rustix::io::Errno::PERM) {
        return refused("the scope of the Landlock domain does not hold".into());
    }
    let state = match status {
        landlock::LandlockStatus { abi: 0, .. } => State::Off("this kernel has no Landlock".into()),
        landlock::LandlockStatus { fs: false, abi, .. } => {
            State::Degraded(format!("ABI {abi} has no usable file rules (2 and later have)"))
        }
        landlock::LandlockStatus { scoped: false, abi, .. } => {
            State::Degraded(format!("ABI {abi} has no scopes for abstract sockets and signals (6 and later have)"))
        }
        _ => State::Active,
    };
    Ok((state, status.scoped))
}

/// A refusal that says by itself what was attempted.
fn told<T>(result: Result<T, impl std::error::Error>) -> Result<T, Failure> {
    result.map_err(|error| {
        let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()?.raw_os_error());
        Failure {
            kind: FailureKind::Stage,
            stage: error.to_string(),
            error: io::Error::from_raw_os_error(cause.unwrap_or(libc::EPERM)),
        }
    })
}
