//! Read leases (`fcntl(2)`, F_SETLEASE): the kernel's answer to "does anybody have this file open for writing?".

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// From the kernel's `asm-generic/fcntl.h`; the libc crate lacks it.
const F_SETSIG: libc::c_int = 10;

/// Whether any process has the file open, or mapped, for writing. `None` when this host or file system cannot
/// say: leases need a local file system, and the file's owner or CAP_LEASE.
///
/// # Errors
/// Whatever else the kernel said. `file` itself must be open for reading only.
pub fn has_writer(file: &File) -> io::Result<Option<bool>> {
    let fd = file.as_raw_fd();
    // Another process that opens the file while the lease stands makes the kernel signal us: SIGIO, which kills,
    // unless another signal is named first. SIGURG is ignored by default.
    // SAFETY: F_SETSIG takes an integer and touches no memory of ours; `fd` is open, borrowed from `file`.
    if unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) } == -1 {
        return cannot_say(io::Error::last_os_error());
    }
    // SAFETY: F_SETLEASE takes an integer and touches no memory of ours; `fd` is open, borrowed from `file`.
    if unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) } == -1 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::EAGAIN) { Ok(Some(true)) } else { cannot_say(error) };
    }
    // SAFETY: as above. Failing to give up a lease that was just taken is harmless: closing the file does it.
    unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
    Ok(Some(false))
}

fn cannot_say(error: io::Error) -> io::Result<Option<bool>> {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM | libc::EINVAL | libc::ENOSYS | libc::ENOLCK | libc::EOPNOTSUPP) => Ok(None),
        _ => Err(error),
    }
}
