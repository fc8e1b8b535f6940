//! For tests: runs a closure in a forked child, since what is being tested cannot be undone.

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a child ended, and what it wrote to its standard output and error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) said: String,
}

/// The code of a child whose closure panicked.
pub(crate) const PANICKED: i32 = 99;

/// Forks, runs the closure in the child and waits. The closure's value is the exit code (0 to 255).
///
/// glibc makes its allocator usable in a child forked from many threads; the closure must take no other lock that
/// a sibling test could hold, so it prints with [`say`].
pub(crate) fn in_child(run: impl FnOnce() -> i32) -> Ended {
    let mut ends = [0; 2];
    // SAFETY: pipe2 fills exactly the two integers of `ends`.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: both descriptors were just made by pipe2 and are owned by nothing else.
    let (reader, writer) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: the child runs only the closure below and leaves by `_exit`, so no destructor or atexit handler of
    // the parent's state runs twice.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: dup2 onto the standard descriptors of this child, which has no other user of them.
        unsafe {
            libc::dup2(ends[1], 1);
            libc::dup2(ends[1], 2);
        }
        let code = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            say(text.unwrap_or("panicked"));
            PANICKED
        });
        // SAFETY: `_exit` ends this process at once and touches no memory.
        unsafe { libc::_exit(code) }
    }
    drop(writer);
    let mut said = Vec::new();
    std::fs::File::from(reader).read_to_end(&mut said).unwrap();
    let mut status = 0;
    // SAFETY: waitpid writes one integer; `pid` is our own child and is reaped only here.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid, "{}", io::Error::last_os_error());
    Ended {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        said: String::from_utf8_lossy(&said).into_owned(),
    }
}

/// Writes to the child's standard output without any lock.
pub(crate) fn say(text: &str) {
    // SAFETY: write reads `text.len()` bytes from `text`. A short write loses test output and nothing else.
    unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
}

/// The errno of a raw system call, or 0.
pub(crate) fn errno_of(number: i64, args: [u64; 6]) -> i32 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the tests pass no pointer but null and addresses of live values, and calls that, if they succeed,
    // only change this child.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(-1),
        _ => 0,
    }
}

/// Becomes another program with the environment as it is; returns the errno if that failed.
pub(crate) fn become_program(argv: &[&str]) -> i32 {
    let strings: Vec<CString> = argv.iter().map(|arg| CString::new(OsStr::new(arg).as_bytes()).unwrap()).collect();
    let mut pointers: Vec<*const libc::c_char> = strings.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: `pointers` ends in null and its strings live until execvp returns, which it does only on failure.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}
