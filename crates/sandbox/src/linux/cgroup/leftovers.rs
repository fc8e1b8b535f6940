//! Names of groups, and the end of groups whose process died before it could remove them.
//!
//! A name says whose the group is. One decision: only a group of our own pid namespace whose process is gone is
//! touched; a process of another namespace cannot be seen, so its groups are left alone.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use super::kill_members;

/// Every group's name starts with it; what follows says whose it is, so that a leftover can be told.
pub(super) const PREFIX: &str = "agentic-";

/// `agentic-PIDNS-PID-STARTED-NAME`: a group whose process is gone can be told from one whose process is in
/// another pid namespace and cannot be seen.
pub(super) fn own_name(name: &str) -> io::Result<String> {
    let namespace = fs::metadata("/proc/self/ns/pid")?.ino();
    let pid = std::process::id();
    let started = started(pid)?.ok_or_else(|| io::Error::other("/proc/self/stat cannot be read"))?;
    Ok(format!("{PREFIX}{namespace}-{pid}-{started}-{name}"))
}

/// When a process started, in clock ticks since boot: with the pid, its identity. `None`: there is no such process.
///
/// # Errors
/// When that cannot be told, for want of descriptors or memory say: whose process cannot be seen is not gone.
pub(super) fn started(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
            return Ok(None);
        }
        other => other?,
    };
    // The second field is the command in parentheses and may hold anything; `started` is the 22nd.
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    field.map(Some).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not as proc_pid_stat(5) has it")))
}

/// Whether a folder of this name belongs to a process of our pid namespace that is gone.
pub(super) fn is_stale(name: &OsStr, namespace: u64) -> bool {
    let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { return false };
    let mut numbers = rest.splitn(4, '-').map(str::parse::<u64>);
    let (Some(Ok(of)), Some(Ok(pid)), Some(Ok(at))) = (numbers.next(), numbers.next(), numbers.next()) else {
        return false;
    };
    of == namespace && u32::try_from(pid).is_ok_and(|pid| started(pid).is_ok_and(|started| started != Some(at)))
}

/// Ends and removes groups that processes left behind by dying.
pub(super) fn sweep(parent: &Path) {
    let (Ok(entries), Ok(own)) = (fs::read_dir(parent), fs::metadata("/proc/self/ns/pid")) else { return };
    for entry in entries.flatten().filter(|entry| is_stale(&entry.file_name(), own.ino())) {
        let folder = entry.path();
        for _ in 0..20 {
            kill_members(&folder);
            if fs::remove_dir(&folder).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
