//! Installs a system-call filter on the calling thread, and makes the one exec that a no-exec filter admits.
//!
//! [`install`] takes a [`Program`]; [`Departure`] is the program to start, laid out so that its [`Ticket`] can be
//! put into the filter. No flag is given to the kernel: no SPEC_ALLOW, so that kernels which still tie the
//! speculation mitigations to seccomp keep them on; no TSYNC, since the caller is a forked child of one thread.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::filters::{Program, Ticket};

/// Installs the filter for good. Needs `no_new_privs` (or CAP_SYS_ADMIN). Every call made afterwards goes by it,
/// and so does every child and everything they execute.
///
/// # Errors
/// What the kernel says: EACCES without `no_new_privs`, EINVAL where seccomp filters are not built in.
pub(crate) fn install(program: &Program) -> io::Result<()> {
    install_with(program, 0).map(drop)
}

/// As [`install`], for a filter that asks ([`Program::asking`]); answers with the descriptor by which it does.
///
/// # Errors
/// EBUSY where a filter of this process asks somebody already, EINVAL before Linux 5.0; nothing is installed then.
pub(crate) fn install_asking(program: &Program) -> io::Result<OwnedFd> {
    let number = install_with(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with NEW_LISTENER the call answers with a descriptor that the kernel has just made for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn install_with(program: &Program, flags: libc::c_ulong) -> io::Result<RawFd> {
    let instructions = program.instructions();
    let length = u16::try_from(instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let filter = libc::sock_fprog { len: length, filter: instructions.as_ptr().cast_mut() };
    // SAFETY: SECCOMP_SET_MODE_FILTER reads `filter` and the `len` instructions behind it during the call and keeps
    // a copy; both outlive the call, and the kernel never writes through the pointer (hence the cast from const).
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    RawFd::try_from(answer).ok().filter(|answer| *answer >= 0).ok_or_else(io::Error::last_os_error)
}

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    id: u64,
    /// The thread that made it, as numbered here.
    pub(crate) pid: u32,
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) args: [u64; 6],
}

/// Takes the next call that a filter asks about. Only to be called when the descriptor is readable: it waits otherwise.
///
/// # Errors
/// ENOENT when the asking process has ended meanwhile.
pub(crate) fn asked(listener: BorrowedFd<'_>) -> io::Result<Asked> {
    // SAFETY: plain data, for which the kernel wants zeroes.
    let mut notice: libc::seccomp_notif = unsafe { zeroed() };
    // SAFETY: the request writes one `seccomp_notif` through a pointer to a live one.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let libc::seccomp_notif { id, pid, data, .. } = notice;
    Ok(Asked { id, pid, number: data.nr as u32, arch: data.arch, args: data.args })
}

/// Lets the call fail with this error. One whose process has ended meanwhile needs no answer.
pub(crate) fn refuse(listener: BorrowedFd<'_>, asked: &Asked, errno: i32) {
    let mut answer = libc::seccomp_notif_resp { id: asked.id, val: 0, error: -errno, flags: 0 };
    // SAFETY: the request reads one `seccomp_notif_resp` through a pointer to a live one.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
}

/// A program laid out for the one `execveat` that a no-exec filter admits.
///
/// Made before the filter, in the very process that will leave by it: the three arguments lie at random addresses
/// that the filter compares, and that no one else learns. Parents do not have them, since they are drawn after the fork.
#[derive(Debug)]
pub(crate) struct Departure {
    ticket: Ticket,
    /// The strings that the arrays point to; they must stay where they are.
    _strings: Vec<CString>,
}

impl Departure {
    /// Lays out the program behind `fd` with its arguments and environment. The descriptor should be `O_PATH`
    /// and must be close-on-exec; what it names must be an ELF file, since a script would be reopened by a path.
    ///
    /// # Errors
    /// No random bytes, no memory, or a negative descriptor.
    pub(crate) fn new(fd: RawFd, argv: Vec<CString>, envp: Vec<CString>) -> io::Result<Self> {
        let fd = u32::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        let path = place(&[0])?;
        let argv_at = place(&pointers(&argv))?;
        let envp_at = place(&pointers(&envp))?;
        let ticket = Ticket { fd, path, argv: argv_at, envp: envp_at };
        Ok(Self { ticket, _strings: argv.into_iter().chain(envp).collect() })
    }
    /// What the filter is to be built with.
    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }
    /// Becomes the program. Returns only if that failed, with what the kernel said.
    pub(crate) fn exec(&self) -> io::Error {
        let Ticket { fd, path, argv, envp } = self.ticket;
        // SAFETY: the three addresses are private mappings made by `place` and never unmapped while `self` lives; the
        // path is one NUL byte, the arrays end in null and point into `_strings`, which `self` owns.
        // The call returns only on failure, having changed nothing.
        unsafe { libc::syscall(libc::SYS_execveat, fd, path, argv, envp, libc::AT_EMPTY_PATH) };
        io::Error::last_os_error()
    }
}

/// A null-ended array of the strings' addresses, as bytes.
fn pointers(strings: &[CString]) -> Vec<u8> {
    let addresses = strings.iter().map(|string| CStr::as_ptr(string) as usize);
    addresses.chain([0]).flat_map(usize::to_ne_bytes).collect()
}

/// Copies bytes to a random address and returns it.
fn place(bytes: &[u8]) -> io::Result<u64> {
    const PAGE: u64 = 1 << 16; // The largest page size of either architecture.
    let span = (bytes.len() as u64).next_multiple_of(PAGE) + PAGE;
    // 47 bits of user addresses on x86_64 and usually 48 on aarch64, but 39 on small aarch64 systems.
    for bits in [46, 46, 46, 46, 38, 38, 38, 38] {
        let random = random()?;
        // Above 4 GiB: below lie position-dependent programs.
        let page = (random & ((1 << bits) - 1) & !(PAGE - 1)) | 1 << 32;
        let offset = (random >> 46) % ((span - bytes.len() as u64) / 8) * 8;
        // SAFETY: an anonymous mapping at a hint with MAP_FIXED_NOREPLACE, which fails rather than replace anything.
        let mapped = unsafe {
            libc::mmap(
                page as *mut libc::c_void,
                span as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            continue;
        }
        let to = mapped.cast::<u8>().wrapping_add(offset as usize);
        // SAFETY: `offset + bytes.len()` is at most `span`, so the copy stays within the mapping just made, which is
        // writable and cannot overlap a live Rust object.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        return Ok(to as u64);
    }
    Err(io::Error::from_raw_os_error(libc::ENOMEM))
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: getrandom writes at most `bytes.len()` bytes into `bytes`.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match got {
        8 => Ok(u64::from_ne_bytes(bytes)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests;
