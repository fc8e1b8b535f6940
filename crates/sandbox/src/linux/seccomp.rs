//! Installs a system-call filter on the calling thread, and makes the one exec that a no-exec filter admits.
//!
//! [`install`] takes a [`Program`]; [`Departure`] is the program to start, laid out so that its [`Ticket`] can be
//! put into the filter. No flag is given to the kernel: no SPEC_ALLOW, so that kernels which still tie the
//! speculation mitigations to seccomp keep them on; no TSYNC, since the caller is a forked child of one thread.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

use crate::filters::{Program, Ticket};

/// Installs the filter for good. Needs `no_new_privs` (or CAP_SYS_ADMIN). Every call made afterwards goes by it,
/// and so does every child and everything they execute.
///
/// # Errors
/// What the kernel says: EACCES without `no_new_privs`, EINVAL where seccomp filters are not built in.
pub(crate) fn install(program: &Program) -> io::Result<()> {
    let instructions = program.instructions();
    let length = u16::try_from(instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let filter = libc::sock_fprog { len: length, filter: instructions.as_ptr().cast_mut() };
    // SAFETY: SECCOMP_SET_MODE_FILTER reads `filter` and the `len` instructions behind it during the call and keeps
    // a copy; both outlive the call, and the kernel never writes through the pointer (hence the cast from const).
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
