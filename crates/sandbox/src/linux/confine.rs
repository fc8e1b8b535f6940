//! Confines a process of ours that talks to hosts on behalf of a run: the network proxy.
//!
//! It parses what a hostile program and foreign servers send, so it is treated as if it could be taken over: it keeps
//! the sockets it needs and can read what resolving names takes, and nothing else of the user's.

use std::io;
use std::path::PathBuf;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::filters::{Arch, Openings, Program};
use crate::linux::{landlock, seccomp, sys};
use crate::output::Enforcement;
use crate::policy::Profile;

/// Nobody: owns nothing and may do nothing.
const NOBODY: u32 = 65534;

/// Confines the calling process for good: files of these folders can be read and nothing written, nothing executed, no
/// namespace, no trace, no UNIX socket; started as root it becomes nobody. Call it before any thread is started.
///
/// # Errors
/// A step that the kernel refused. A kernel without Landlock is told in the answer.
pub fn confine_proxy(readable: &[PathBuf]) -> io::Result<Enforcement> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if crate::identity::reserves_users() {
        sys::become_user(NOBODY, NOBODY, true)?;
    }
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    // After the change of user, which sets it anew.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    landlock::no_new_privs()?;
    let readable: Vec<PathBuf> = readable.iter().filter(|path| path.exists()).cloned().collect();
    let status = landlock::restrict(&readable, &[]).map_err(io::Error::other)?;
    let arch = Arch::native().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS))?;
    let open = Openings { exec: false, unix: false, ..Openings::from(Profile::Default) };
    seccomp::install(&Program::build(arch, open, None))?;
    Ok(match status {
        landlock::LandlockStatus { fs: false, abi, .. } => Enforcement::Degraded(format!(
            "Landlock ABI {abi} has no usable file rules: the proxy can read what its user can"
        )),
        _ => Enforcement::Active,
    })
}
