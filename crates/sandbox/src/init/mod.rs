//! The nest init: pid 1 of every enclosure. It builds the view, starts the program, watches it, and tells
//! the parent what happened. It is trusted, never runs user bytes, and ends when the parent's end closes.
//!
//! The story, in order; each stage comes where it does for the reason given:
//! 1. Close everything but the control socket: nothing of the spawner may leak into an enclosure.
//! 2. Receive the spec, which does not pass through the spawner.
//! 3. Become the inside user, then ask to die with the spawner (a credential change resets that), then
//!    become undumpable, so that the program can neither read nor trace this process.
//! 4. Cut mount propagation, bring the loopback up.
//! 5. Build the root detached from the host's, pivot into it, make it read-only. The parent joins the cgroup meanwhile.
//! 6. Wait for the start message, then make a cgroup namespace (its root is the group that it is made in) and forbid
//!    further namespaces (not earlier: a detached mount counts as one).
//! 7. Fork pid 2, which becomes the program: as pid 1 it would survive its own fatal signals. It waits.
//! 8. Install this process's own system-call filter: from here on it looks, ends and reports. Then let the program start,
//!    so that none ever runs below an unfiltered nest init, and read its confinement from the kernel.
//! 9. Watch: reap, sample what no cgroup counts, end the tree when a limit is passed.

mod disk;
pub(crate) mod extent;
mod guard;
mod payload;
mod refusals;
mod root;
pub(crate) mod scratch;
pub(crate) mod tree;
mod watch;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::process::{DumpableBehavior, Signal};

use self::extent::Extent;
use crate::channel;
use crate::filters::Program;
use crate::linux::{mounts, network, seccomp, sys};
use crate::output::Control;
use crate::spec::{Enclosure, FailureKind, Guard, Purpose, Spec, State, Status};
use crate::view::INSIDE_ID;
use crate::weaken::{Barrier, stands};

/// A stage that failed, on its way to the parent.
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) stage: String,
    pub(crate) error: io::Error,
}

/// Names the stage of an error.
pub(crate) trait Stage<T> {
    fn stage(self, stage: impl Into<String>) -> Result<T, Failure>;
}

/// Names the stage of an error that is the host's refusal of a control.
pub(crate) trait Refusal<T> {
    fn refusal(self, control: Control, stage: &str) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Refusal<T> for Result<T, E> {
    fn refusal(self, control: Control, stage: &str) -> Result<T, Failure> {
        self.stage(stage).map_err(|failure| match failure.error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EINVAL | libc::ENODEV) => {
                Failure { kind: FailureKind::Unenforceable(control), ..failure }
            }
            _ => failure,
        })
    }
}

impl<T, E: Into<io::Error>> Stage<T> for Result<T, E> {
    fn stage(self, stage: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure { kind: FailureKind::Stage, stage: stage.into(), error: error.into() })
    }
}

/// What holds, control by control, while the enclosure is being built.
pub(crate) type Enforced = Vec<(Control, State)>;

/// What came with the spec.
pub(crate) struct Handed {
    pub(crate) stdio: [OwnedFd; 3],
    pub(crate) mounts: Vec<OwnedFd>,
}

/// Becomes the nest init, or the guard whose private folder has the name `scratch`. Called in a freshly cloned copy of the spawner.
pub(crate) fn run(control: OwnedFd, scratch: Option<String>) -> ! {
    let status = match story(&control, scratch) {
        Ok(status) => status,
        Err(failure) => Status::Failed {
            kind: failure.kind,
            stage: failure.stage,
            errno: failure.error.raw_os_error().unwrap_or(libc::EIO),
        },
    };
    let _ = channel::send(&control, &status, &[]);
    sys::exit_now(0)
}

fn story(control: &OwnedFd, scratch: Option<String>) -> Result<Status, Failure> {
    if stands(Barrier::ClosedDescriptors) {
        sys::close_all_but(&[control.as_raw_fd(), 2]).stage("close inherited descriptors")?;
    }
    let Some((_, descriptors)) = channel::receive::<u8>(control).stage("receive the spec")? else {
        sys::exit_now(0);
    };
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
    let packed = next().stage("receive the spec")?;
    let stdio = [next().stage("receive stdin")?, next().stage("receive stdout")?, next().stage("receive stderr")?];
    let spec: Spec = channel::unpack(packed.as_fd()).stage("read the spec")?;
    drop(packed);
    let handed = Handed { stdio, mounts: descriptors.collect() };
    if let Enclosure::Guard(guard) = &spec.enclosure {
        let guard = Guard { pid: rustix::process::getpid().as_raw_nonzero().get(), ..guard.clone() };
        let spec = Spec { enclosure: Enclosure::Guard(guard.clone()), ..spec };
        return guard::story(spec, guard, scratch.unwrap_or_default(), handed, control);
    }

    if spec.as_root {
        sys::become_capable_user(INSIDE_ID, INSIDE_ID).stage("become the inside user")?;
    }
    if stands(Barrier::ParentDeath) {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).stage("follow the spawner's death")?;
    }
    if stands(Barrier::Undumpable) {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).stage("become undumpable")?;
    } else {
        // As root the change of ids has made it so already.
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).stage("become dumpable")?;
    }
    mounts::make_private().refusal(Control::MountNamespace, "cut mount propagation")?;
    if spec.purpose == Purpose::Mount {
        let mount = root::lone_overlay(&spec, &handed)?;
        channel::send(control, &Status::Mounted, &[mount.as_fd()]).stage("send the mount up")?;
        sys::exit_now(0);
    }

    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut enforced = Enforced::new();
    if stands(Barrier::UtsNamespace) {
        rustix::system::sethostname(b"sandbox").stage("name the host")?;
    }
    if spec.own_network && stands(Barrier::NetworkNamespace) {
        network::loopback_up().stage("bring the loopback up")?;
        listen(&spec, control)?;
    }
    let root = root::build(&spec, &handed, &mut enforced)?;
    // The parent has put this process into its cgroup: what is started from here on is in it, too.
    if channel::receive::<u8>(control).stage("wait for the start")?.is_none() {
        sys::exit_now(0);
    }
    // Not with `clone3`: in v1 this process was moved into its group afterwards, and a cgroup namespace's root is the
    // group that it is made in.
    if stands(Barrier::CgroupNamespace) {
        sys::own_cgroup_namespace().refusal(Control::CgroupNamespace, "make a cgroup namespace")?;
    }
    // Not before: a detached mount counts as a mount namespace of its own (fs/namespace.c, `alloc_mnt_ns`).
    if stands(Barrier::Nesting) {
        forbid_nesting();
    }
    let child_ended = sys::child_signal().stage("watch for ended children")?;
    let stdio = match spec.terminal {
        Some(size) => terminal(control, size)?,
        None => handed.stdio,
    };
    let started = payload::start(&spec, stdio, &mut enforced, narrow)?;
    watch::until_the_end(&spec, control, &child_ended, &started, &root, Extent::Namespace, enforced)
}

/// Opens the gateway's sockets in this network namespace and sends them up: nobody inside ever holds them.
fn listen(spec: &Spec, control: &OwnedFd) -> Result<(), Failure> {
    if spec.listen.is_empty() {
        return Ok(());
    }
    let mut sockets = Vec::new();
    for address in &spec.listen {
        sockets.push(network::listen(*address).stage(format!("listen on {address} inside"))?);
    }
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    channel::send(control, &Status::Listening, &sockets).stage("send the listening sockets up")
}

/// A terminal of the enclosure's own devpts: the parent gets one end, the program the other, three times.
fn terminal(control: &OwnedFd, (rows, columns): (u16, u16)) -> Result<[OwnedFd; 3], Failure> {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let parent = openpt(flags).stage("open a terminal")?;
    unlockpt(&parent).stage("unlock the terminal")?;
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&parent, size).stage("size the terminal")?;
    let program = ioctl_tiocgptpeer(&parent, flags).stage("open the terminal's other end")?;
    channel::send(control, &Status::Terminal, &[parent.as_fd()]).stage("send the terminal up")?;
    let copy = || rustix::io::dup(&program).stage("duplicate the terminal");
    Ok([copy()?, copy()?, program])
}

/// No further user namespace below this one, and so no other either: belt to the system-call filter's braces.
fn forbid_nesting() {
    // A kernel that bounds them otherwise has no such file; the filter refuses the call in any case.
    let _ = std::fs::write("/proc/sys/user/max_user_namespaces", "0");
}

/// From here on this process hears how the program starts, looks, ends and reports. Its capabilities stay, and with them
/// it can do no more than that.
fn narrow() -> Result<(), Failure> {
    tree::prepare();
    if !stands(Barrier::NestInitFilter) {
        return Ok(());
    }
    let program = Program::nest_init().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS));
    program.and_then(|program| seccomp::install(&program)).map_err(|error| Failure {
        kind: FailureKind::Unenforceable(Control::Seccomp),
        stage: "install the nest init's own system-call filter".into(),
        error,
    })
}
