//! The spawner: a small single-threaded process that clones nest inits, and the engine's handle to it.
//!
//! It exists because forking from a process with many threads is slow and unsafe, and because every
//! enclosure is a copy of its parent's memory: this one never holds code, environment or output. It is
//! started with an empty environment and fixed arguments, talks over one `SOCK_SEQPACKET` socket, and ends
//! when that socket closes or the engine ends, taking every nest with it. A closed socket alone would not do: a child
//! that the engine's program forks holds a copy of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::channel;
use crate::error::{Error, Result};
use crate::filters::Program;
use crate::init::{self, scratch::Scratch};
use crate::launch::Spawner;
use crate::linux::sys::{self, Forked};
use crate::spec::{Report, Request};
use crate::weaken::{Barrier, stands};

/// `argv[0]` of a spawner, and its only argument.
const NAME: &str = "agentic-spawner";

/// To be called first thing in `main` of every executable that serves as a spawner
/// ([`Spawner::CurrentExe`], [`Spawner::Path`]): returns at once in the ordinary case, and never when this
/// process was started as a spawner.
pub fn spawner_hook() {
    let mut args = std::env::args_os();
    if args.next().is_some_and(|name| name == NAME) && args.next().is_none() {
        let code = match sys::inherited(0).and_then(serve) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("agentic spawner: {error}");
                1
            }
        };
        std::process::exit(code);
    }
}

/// The engine's end of a running spawner. Dropping it ends the spawner and every nest.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    process: std::process::Child,
    /// The process that started it. A forked copy of this value must not end the spawner.
    owner: u32,
}

impl Client {
    pub(crate) fn start(spawner: &Spawner) -> Result<Self> {
        let (ours, theirs) = channel::pair().map_err(|error| Error::stage("make the spawner's socket", error))?;
        Ok(Self { socket: ours, process: spawner.start(NAME, theirs)?, owner: std::process::id() })
    }

    /// Asks for something; the answer comes on the report socket that travels along.
    pub(crate) fn request(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        channel::send(&self.socket, request, descriptors).map_err(|error| Error::Spawner(error.to_string()))
    }
}

impl Spawner {
    /// Starts the executable as a process of ours: `name` is its whole command line, `control` its standard input, and
    /// its environment is empty.
    ///
    /// # Errors
    /// A path that is not absolute; what the kernel said.
    pub fn start(&self, name: &str, control: OwnedFd) -> Result<std::process::Child> {
        let image;
        let program = match self {
            Self::CurrentExe => "/proc/self/exe".into(),
            Self::Path(path) if path.is_absolute() => path.clone(),
            Self::Path(path) => {
                return Err(Error::Spawner(format!("{} is not an absolute path", path.display())));
            }
            Self::Embedded(bytes) => {
                image = sealed(bytes).map_err(|error| Error::stage("hold an executable in memory", error))?;
                format!("/proc/self/fd/{}", image.as_raw_fd()).into()
            }
        };
        Command::new(&program)
            .arg0(name)
            // A Ctrl-C goes to the whole foreground group of a terminal; what it is to end is the engine's to decide.
            .process_group(0)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(control))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| Error::stage(format!("start {name} ({})", program.display()), error))
    }
}

impl Client {
    /// Whether the spawner can still be asked: it closes its end when it ends, however it ends.
    pub(crate) fn alive(&self) -> bool {
        let mut end = [PollFd::new(&self.socket, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut end, Some(&now)), Ok(0) | Err(rustix::io::Errno::INTR))
    }
}

impl Client {
    /// Whether this process started it.
    pub(crate) fn is_ours(&self) -> bool {
        self.owner == std::process::id()
    }
    /// Closes a forked copy of the connection, whoever else of this process holds this value. The number stays taken, by
    /// `/dev/null`, so that what still has it cannot reach another file by it.
    pub(crate) fn disconnect(&self) -> io::Result<()> {
        let null = File::open("/dev/null")?;
        sys::duplicate_to(null.as_fd(), self.socket.as_raw_fd(), true)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // The socket closes after this returns, so the spawner is told first by the shutdown.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// A memfd with `bytes`, sealed against change. Kept inheritable: the new process resolves it by number.
fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let file = memfd_create("agentic", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file.into())
}

struct Nest {
    report: OwnedFd,
    pidfd: OwnedFd,
    /// The name of a guard's private folder. A guard ends its tree itself, where no namespace does.
    guard: Option<String>,
}

impl Nest {
    fn end(&self) {
        let _ = pidfd_send_signal(&self.pidfd, if self.guard.is_some() { Signal::TERM } else { Signal::KILL });
    }
}

/// Until the engine's socket closes or the engine ends; then, or when it cannot go on, every nest ends with it.
fn serve(socket: OwnedFd) -> io::Result<()> {
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    let engine = rustix::net::sockopt::socket_peercred(&socket)?.pid;
    let engine_ended = pidfd_open(engine, PidfdFlags::empty())?;
    // It may have ended before, and its number may be somebody else's.
    if rustix::process::getppid() != Some(engine) {
        return Ok(());
    }
    let child_ended = sys::child_signal()?;
    Program::prepare();
    init::tree::prepare();
    let mut nests: HashMap<i32, Nest> = HashMap::new();
    let result = take_requests(&socket, &engine_ended, &child_ended, &mut nests);
    nests.values().for_each(Nest::end);
    while let Some(ended) = sys::reap_blocking() {
        if let Some(scratch) = nests.remove(&ended.pid).and_then(|nest| nest.guard) {
            after_guard(&scratch, nests.keys().copied().collect());
        }
    }
    result
}

/// The loop: take requests, clone, report, reap.
fn take_requests(
    socket: &OwnedFd,
    engine_ended: &OwnedFd,
    child_ended: &OwnedFd,
    nests: &mut HashMap<i32, Nest>,
) -> io::Result<()> {
    loop {
        let mut ready = [socket, child_ended, engine_ended].map(|fd| PollFd::new(fd, PollFlags::IN));
        rustix::io::retry_on_intr(|| poll(&mut ready, None))?;
        let [request, child, over] = ready.map(|fd| !fd.revents().is_empty());
        if over {
            return Ok(());
        }
        if child {
            let mut buffer = [0u8; 128];
            let _ = rustix::io::read(child_ended, &mut buffer);
            while let Some(ended) = sys::reap() {
                if let Some(nest) = nests.remove(&ended.pid) {
                    if let Some(scratch) = &nest.guard {
                        after_guard(scratch, nests.keys().copied().collect());
                    }
                    let usage = ended.usage;
                    let (user, system, peak) = (usage.user, usage.system, usage.peak);
                    // The engine may have lost interest: then nobody is left to tell.
                    let _ =
                        channel::send(&nest.report, &Report::Reaped { status: ended.status, user, system, peak }, &[]);
                }
            }
        }
        if request {
            let Some((request, descriptors)) = channel::receive::<Request>(socket)? else { return Ok(()) };
            answer(&request, descriptors, nests);
        }
    }
}

fn answer(request: &Request, descriptors: Vec<OwnedFd>, nests: &mut HashMap<i32, Nest>) {
    let mut descriptors = descriptors.into_iter();
    let Some(report) = descriptors.next() else { return };
    let failed = |stage: &str, error: &io::Error| {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let _ = channel::send(&report, &Report::Failed { stage: stage.to_owned(), errno }, &[]);
    };
    match request {
        Request::Nest { flags, uid_map, gid_map, deny_setgroups, into_cgroup } => {
            let Some(control) = descriptors.next() else { return };
            let cgroup = into_cgroup.then(|| descriptors.next()).flatten();
            let cgroup = cgroup.as_ref().map(AsFd::as_fd);
            let guard = match uid_map.is_empty().then(Scratch::name).transpose() {
                Ok(guard) => guard,
                Err(error) => return failed("draw a name", &error),
            };
            let cloned = match &guard {
                // Not with `clone3`: a container's filter may refuse it, and there is nothing here that it is needed for.
                Some(_) => sys::become_subreaper().and_then(|()| sys::fork_with_pidfd()),
                None => sys::clone_into(standing(*flags), cgroup),
            };
            match cloned {
                Ok(Forked::Child) => init::run(control, guard),
                Ok(Forked::Parent(pid, Some(pidfd))) => {
                    let id = pid.as_raw_nonzero().get();
                    let mapped =
                        if guard.is_some() { Ok(()) } else { write_maps(pid, uid_map, gid_map, *deny_setgroups) };
                    if let Err(error) = mapped {
                        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                        return failed("write the id maps of a user namespace", &error);
                    }
                    if channel::send(&report, &Report::Spawned { pid: id }, &[pidfd.as_fd()]).is_err() {
                        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                        return;
                    }
                    nests.insert(id, Nest { report, pidfd, guard });
                }
                Ok(Forked::Parent(_, None)) => {}
                Err(error) => failed("clone into new namespaces", &error),
            }
        }
        Request::UserNamespace { uid_map, gid_map } => match user_namespace(uid_map, gid_map) {
            Ok(namespace) => {
                let _ = channel::send(&report, &Report::Namespace, &[namespace.as_fd()]);
            }
            Err(error) => failed("make a user namespace for id-mapped mounts", &error),
        },
    }
}

/// The namespaces that are made: all that were asked for, but in a weakened spawner.
fn standing(flags: u64) -> u64 {
    [
        (Barrier::UserNamespace, libc::CLONE_NEWUSER),
        (Barrier::MountNamespace, libc::CLONE_NEWNS),
        (Barrier::PidNamespace, libc::CLONE_NEWPID),
        (Barrier::NetworkNamespace, libc::CLONE_NEWNET),
        (Barrier::IpcNamespace, libc::CLONE_NEWIPC),
        (Barrier::UtsNamespace, libc::CLONE_NEWUTS),
    ]
    .into_iter()
    .filter(|(barrier, _)| !stands(*barrier))
    .fold(flags, |flags, (_, flag)| flags & !(flag as u64))
}

/// None of its descendants is left, nor its folder, unless it was killed: then the ones have become ours.
fn after_guard(scratch: &str, nests: Vec<i32>) {
    init::extent::end_strays(|pid| nests.contains(&pid));
    Scratch::sweep(scratch);
}

fn write_maps(pid: Pid, uid_map: &str, gid_map: &str, deny_setgroups: bool) -> io::Result<()> {
    let write = |name: &str, text: &str| {
        let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
        File::options().write(true).custom_flags(libc::O_NOFOLLOW).open(path)?.write_all(text.as_bytes())
    };
    if deny_setgroups {
        write("setgroups", "deny")?;
    }
    write("uid_map", uid_map)?;
    write("gid_map", gid_map)
}

/// A user namespace that no process lives in: only its descriptor keeps it.
fn user_namespace(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let spawner = rustix::process::getpid();
    match sys::clone_into(libc::CLONE_NEWUSER as u64, None)? {
        Forked::Child => {
            // Lives until it is killed below, or until the spawner dies, which may have happened already.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            if rustix::process::getppid() == Some(spawner) {
                std::thread::sleep(std::time::Duration::from_secs(60));
            }
            sys::exit_now(0)
        }
        Forked::Parent(pid, pidfd) => {
            let namespace = write_maps(pid, uid_map, gid_map, false)
                .and_then(|()| Ok(File::open(format!("/proc/{}/ns/user", pid.as_raw_nonzero()))?.into()));
            if let Some(pidfd) = pidfd {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            }
            namespace
        }
    }
}
