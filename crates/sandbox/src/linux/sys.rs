//! Thin safe wrappers over system calls that no crate we use wraps safely.
//!
//! Everything here is called from the single-threaded spawner or from processes it cloned, unless a
//! function says otherwise.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// From the kernel's `linux/sched.h`. The libc crate is about to change its constant's type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a clone or fork this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old one: the child's pid, and its pidfd where one was asked for.
    Parent(Pid, Option<OwnedFd>),
}

/// `clone3` without sharing: a fork into the namespaces of `flags`, with a pidfd, in `cgroup` when given.
///
/// The caller must be single-threaded: the child goes on with a copy of the whole process, and a lock
/// held by another thread would never be released in it.
pub(crate) fn clone_into(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain old data for which all zeroes is the documented "unset".
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: neither CLONE_VM nor a stack is given, so the child runs on its own copy of this stack
    // like after fork(2); the kernel writes only to `pidfd`, which outlives the call; the size is that
    // of the struct passed.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD) and nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent(pid_of(pid), Some(pidfd)))
}

/// A cgroup namespace rooted at the groups that this process is in.
pub(crate) fn own_cgroup_namespace() -> io::Result<()> {
    // SAFETY: takes no pointers; CLONE_NEWCGROUP shares and unshares no memory or descriptors.
    check(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })).map(drop)
}

/// `fork` of a single-threaded process.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: this process has one thread, so the child's copy of every lock is free and it may go on
    // with ordinary code.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent(pid_of(pid), None) })
}

/// As [`fork`], with a pidfd.
pub(crate) fn fork_with_pidfd() -> io::Result<Forked> {
    match fork()? {
        // Not reaped before this, so the number is still the child's.
        Forked::Parent(pid, _) => {
            Ok(Forked::Parent(pid, Some(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)))
        }
        child => Ok(child),
    }
}

fn pid_of(raw: libc::c_long) -> Pid {
    Pid::from_raw(raw as i32).unwrap_or(Pid::INIT)
}

/// Takes ownership of an inherited descriptor, or says that it is not open.
pub(crate) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only asks whether the number is open; it changes nothing.
    check(libc::c_long::from(unsafe { libc::fcntl(fd, libc::F_GETFD) }))?;
    // SAFETY: the number is open (just asked), and the spawner's start is the only place that claims
    // it: it was handed over by whoever started this process, before any of our code opened anything.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor but those in `keep`.
pub(crate) fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut from = 0u32;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if fd > from {
            let last = if fd == u32::MAX { u32::MAX } else { fd - 1 };
            // SAFETY: closing descriptors cannot break memory safety here: this runs in a freshly cloned
            // process whose remaining `OwnedFd` values are those in `keep` or are never dropped (it ends
            // by exec or `_exit`).
            check(unsafe { libc::syscall(libc::SYS_close_range, from, last, 0) })?;
        }
        from = fd.saturating_add(1);
    }
    Ok(())
}

/// Lets every descriptor but one survive an exec: reached only in a weakened spawner.
pub(crate) fn leave_open(but: RawFd) -> io::Result<()> {
    for fd in (3..256).filter(|fd| *fd != but) {
        // SAFETY: F_SETFD with an integer changes one flag of a descriptor, or answers EBADF where there is none.
        unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    }
    Ok(())
}

/// Ends this process at once: no destructors, no exit handlers, which belong to the process it was copied from.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

/// Default action for every signal, none blocked: what a new program expects.
pub(crate) fn default_signals() {
    for signal in 1..=64 {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: SIG_DFL installs no handler; numbers that cannot be set answer EINVAL and are left.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    // SAFETY: `sigset_t` is plain data that sigemptyset initialises; the old mask is not asked for.
    unsafe {
        let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Lets a signal pass without effect; exec keeps that.
pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// A descriptor that becomes readable when a child changes state; SIGCHLD stays blocked from now on.
pub(crate) fn child_signal() -> io::Result<OwnedFd> {
    signal_descriptor(&[libc::SIGCHLD])
}

fn signal_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use, lives through both calls, and the
    // descriptor that signalfd returns is new and ours alone.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = check(libc::c_long::from(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// As [`child_signal`], readable also when this process is asked to end (SIGTERM).
pub(crate) fn guard_signals() -> io::Result<OwnedFd> {
    signal_descriptor(&[libc::SIGCHLD, libc::SIGTERM])
}

/// The signals that lie in such a descriptor.
pub(crate) fn take_signals(signals: &OwnedFd) -> Vec<i32> {
    // signalfd(2): records of 128 bytes, each of which begins with the signal's number.
    let mut buffer = [0u8; 128 * 8];
    let read = rustix::io::read(signals, &mut buffer).unwrap_or(0);
    let number = |record: &[u8]| i32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
    buffer[..read].chunks_exact(128).map(number).collect()
}

/// Makes this process the parent of every descendant that loses its own (prctl(2), PR_SET_CHILD_SUBREAPER).
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes integers and touches no memory.
    check(libc::c_long::from(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_u64, 0_u64, 0_u64, 0_u64) }))
        .map(drop)
}

/// Whether this process has a child, ended or not.
pub(crate) fn has_children() -> bool {
    // SAFETY: with a null pointer waitid writes nothing but `info`, which is plain data and outlives the call.
    unsafe {
        let mut info: libc::siginfo_t = zeroed();
        libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) == 0
    }
}

/// Waits for one child.
pub(crate) fn reap_one(pid: Pid) {
    // A child that somebody else of this process has reaped is gone, which is all that is wanted.
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
}

/// A child that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reaped {
    /// Which.
    pub(crate) pid: i32,
    /// The wait status, as in wait(2).
    pub(crate) status: i32,
    /// What it and the children it waited for spent.
    pub(crate) usage: ProcessUsage,
}

/// CPU time and peak resident set, as getrusage(2) counts them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessUsage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// Bytes; of the largest single process.
    pub(crate) peak: u64,
}

fn process_usage(usage: &libc::rusage) -> ProcessUsage {
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    ProcessUsage { user: time(usage.ru_utime), system: time(usage.ru_stime), peak: usage.ru_maxrss as u64 * 1024 }
}

/// Reaps one child that has ended, if there is one.
pub(crate) fn reap() -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: `rusage` is plain data; the kernel fills it and `status`, both of which outlive the call.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = zeroed();
        (libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    (pid > 0).then(|| Reaped { pid, status, usage: process_usage(&usage) })
}

/// Waits until there is a child to reap or none is left.
pub(crate) fn reap_blocking() -> Option<Reaped> {
    loop {
        let mut status = 0;
        // SAFETY: as in `reap`.
        let (pid, usage) = unsafe {
            let mut usage: libc::rusage = zeroed();
            (libc::wait4(-1, &raw mut status, 0, &raw mut usage), usage)
        };
        if pid > 0 {
            return Some(Reaped { pid, status, usage: process_usage(&usage) });
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// What all children that were waited for have spent.
pub(crate) fn children_usage() -> ProcessUsage {
    // SAFETY: `rusage` is plain data that the kernel fills; it outlives the call.
    unsafe {
        let mut usage: libc::rusage = zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        process_usage(&usage)
    }
}

/// Sends SIGKILL to every process this one may signal except itself and, in a pid namespace, its own pid 1.
pub(crate) fn kill_everything() {
    // SAFETY: takes no pointers. Called by a pid 1 of its own pid namespace only, where -1 means "this enclosure".
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Becomes `uid` and `gid` in this user namespace, real, effective and saved.
pub(crate) fn become_user(uid: u32, gid: u32, drop_groups: bool) -> io::Result<()> {
    // SAFETY: none of these takes a pointer that is read (the group list has length 0).
    unsafe {
        if drop_groups {
            check(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()))?;
        }
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// As [`become_user`], from an id outside this user namespace, with every permitted capability in effect afterwards.
pub(crate) fn become_capable_user(uid: u32, gid: u32) -> io::Result<()> {
    rustix::thread::set_keep_capabilities(true)?;
    become_user(uid, gid, true)?;
    rustix::thread::set_keep_capabilities(false)?;
    let mut sets = rustix::thread::capabilities(None)?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}

/// `mount_setattr(2)`: sets attributes on a mount held by descriptor, recursively when asked; `idmap` is a user namespace.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    idmap: Option<BorrowedFd<'_>>,
    recursive: bool,
) -> io::Result<()> {
    // SAFETY: `mount_attr` is plain data for which zero means "unchanged".
    let mut attr: libc::mount_attr = unsafe { zeroed() };
    attr.attr_set = set;
    attr.attr_clr = clear;
    if let Some(namespace) = idmap {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = namespace.as_raw_fd() as u64;
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the empty path is NUL-terminated, `attr` outlives the call and its size is passed with it.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Replaces this process by the program at a path: what a script with a `#!` line needs, whose interpreter
/// must be able to open it. Returns only on failure.
pub(crate) fn exec(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: the path is NUL-terminated by type; both arrays end with a null pointer, and they and the strings
    // they point to live until the call returns or never returns.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Puts a copy of `fd` at the number `at`, closed on exec when asked.
pub(crate) fn duplicate_to(fd: BorrowedFd<'_>, at: RawFd, close_on_exec: bool) -> io::Result<()> {
    if fd.as_raw_fd() == at {
        let flag = if close_on_exec { libc::FD_CLOEXEC } else { 0 };
        // SAFETY: F_SETFD takes an integer; the descriptor is borrowed and stays open.
        check(libc::c_long::from(unsafe { libc::fcntl(at, libc::F_SETFD, flag) }))?;
        return Ok(());
    }
    let flag = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: whatever was open at `at` is replaced; the caller (the payload before exec) owns the whole table.
    check(libc::c_long::from(unsafe { libc::dup3(fd.as_raw_fd(), at, flag) }))?;
    Ok(())
}

/// Gives a folder and all beneath it to a user and his group of the same number. Links are not followed. Only for root.
pub(crate) fn give_tree(folder: &Path, user: u32) -> io::Result<()> {
    use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
    let (uid, gid) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(user)));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(folder, flags, Mode::empty())?;
    rustix::fs::fchown(&top, uid, gid)?;
    let mut next = vec![(std::rc::Rc::new(top), std::path::PathBuf::from("."))];
    while let Some((within, name)) = next.pop() {
        let here = std::rc::Rc::new(rustix::fs::openat(&*within, &name, flags, Mode::empty())?);
        for entry in Dir::read_from(&*here)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            rustix::fs::chownat(&*here, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            let stat = rustix::fs::statat(&*here, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode).is_dir() {
                next.push((here.clone(), std::ffi::OsStr::from_bytes(name.to_bytes()).into()));
            }
        }
    }
    Ok(())
}

/// Runs `work` with this thread's file-system identity (fsuid, fsgid) set to that of the sandbox's user.
///
/// May be called from any thread: setfsuid(2) is per thread, and the C library does not spread it. Only
/// root can switch; for anybody else `work` runs as it is.
pub fn with_fs_identity<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> T {
    struct Restore(u32, u32);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: integer arguments only; uid first, so that the capability to set the gid is back.
            unsafe {
                libc::syscall(libc::SYS_setfsuid, self.0);
                libc::syscall(libc::SYS_setfsgid, self.1);
            }
        }
    }
    // SAFETY: integer arguments only, effective for this thread alone; gid first, while still privileged.
    let _restore = unsafe {
        let old_gid = libc::syscall(libc::SYS_setfsgid, gid) as u32;
        let old_uid = libc::syscall(libc::SYS_setfsuid, uid) as u32;
        Restore(old_uid, old_gid)
    };
    work()
}
