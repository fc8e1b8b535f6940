//! Folders between processes: who has a layer mounted over one shares it, and who writes to it has it alone.
//!
//! Within a process the board knows which folders are mounted. Another process (or another [`Workspaces`] of this one) is
//! met through a lock on a file for each folder (flock(2)), which the kernel gives back however its owner ends. Nobody
//! waits while having a folder alone, so nobody waits for ever. A folder and one inside it are two here.
//!
//! [`Workspaces`]: super::Workspaces

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::error::WorkspaceError;

/// How often a folder that another process has is asked for again: locks tell nobody when they are free.
pub(super) const AGAIN: Duration = Duration::from_millis(10);

/// The locks of a state folder.
#[derive(Debug, Clone)]
pub(super) struct FolderLocks(PathBuf);

/// Folders that are held, shared or alone, until this is dropped.
#[derive(Debug)]
pub(super) struct Held(Vec<File>);

impl Drop for Held {
    fn drop(&mut self) {
        for file in &self.0 {
            // By name: a child that was forked meanwhile has the same open file, and closing ours would leave it locked.
            let _ = rustix::fs::flock(file, FlockOperation::Unlock);
        }
    }
}

impl FolderLocks {
    pub(super) fn of(state: &Path) -> Self {
        Self(state.join("locks"))
    }
    /// Shares folders, to mount layers over them; waits while somebody writes to one.
    pub(super) fn share(&self, roots: &[&Path], most: Duration) -> Result<Held, WorkspaceError> {
        let began = Instant::now();
        let mut held = Held(Vec::with_capacity(roots.len()));
        for root in roots {
            let file = self.open(root)?;
            while !take(&file, FlockOperation::NonBlockingLockShared, root)? {
                if began.elapsed() >= most {
                    let reason = format!("{} has been writing to it for too long", owner(&file));
                    return Err(WorkspaceError::Busy { path: (*root).to_owned(), reason });
                }
                std::thread::sleep(AGAIN);
            }
            held.0.push(file);
        }
        Ok(held)
    }
    /// Takes folders alone, to write to them; `None` while anybody else has one mounted or writes to it.
    pub(super) fn alone(&self, roots: &[PathBuf]) -> Result<Option<Held>, WorkspaceError> {
        let mut held = Held(Vec::with_capacity(roots.len()));
        for root in roots {
            let file = self.open(root)?;
            if !take(&file, FlockOperation::NonBlockingLockExclusive, root)? {
                return Ok(None);
            }
            held.0.push(file);
        }
        Ok(Some(held))
    }
    /// Who has one of the folders, in words.
    pub(super) fn owner(&self, roots: &[PathBuf]) -> Option<String> {
        roots.iter().find_map(|root| {
            let file = self.open(root).ok()?;
            let taken = take(&file, FlockOperation::NonBlockingLockExclusive, root).ok()?;
            let _ = if taken { rustix::fs::flock(&file, FlockOperation::Unlock) } else { Ok(()) };
            (!taken).then(|| owner(&file))
        })
    }
    fn open(&self, root: &Path) -> Result<File, WorkspaceError> {
        let name = blake3::hash(root.as_os_str().as_bytes()).to_hex();
        let path = self.0.join(&name.as_str()[..32]);
        let open = || File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let opened = open().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
                open()
            }
            _ => Err(error),
        });
        opened.map_err(WorkspaceError::io("open the lock of", root))
    }
}

fn take(file: &File, how: FlockOperation, root: &Path) -> Result<bool, WorkspaceError> {
    loop {
        match rustix::fs::flock(file, how) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(WorkspaceError::io("lock", root)(error)),
        }
    }
}

/// The process that has a file locked, by `/proc/locks` (proc_locks(5)): `agentic (process 4711)`.
fn owner(file: &File) -> String {
    let inode = file.metadata().map_or(0, |found| found.ino()).to_string();
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = locks.lines().find_map(|line| {
        // 3: FLOCK  ADVISORY  READ 4711 fe:00:131 0 EOF
        let fields: Vec<&str> = line.split_whitespace().collect();
        let at = fields.iter().position(|field| *field == "FLOCK")?;
        let here = fields.get(at + 4)?.rsplit(':').next()? == inode;
        fields.get(at + 3).filter(|pid| here && **pid != "0").map(|pid| (*pid).to_owned())
    });
    pid.map_or_else(|| "another process".to_owned(), |pid| process_name(&pid))
}

/// A process in words, by its number: `agentic (process 4711)`.
pub(crate) fn process_name(pid: &str) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (process {pid})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_shared_or_had_alone_and_its_owner_is_named() {
        let place = tempfile::tempdir().unwrap();
        let (locks, other) = (FolderLocks::of(place.path()), FolderLocks::of(place.path()));
        let (a, b) = (PathBuf::from("/srv/a"), PathBuf::from("/srv/b"));
        let first = locks.share(&[&a, &b], Duration::ZERO).unwrap();
        let second = other.share(&[&a], Duration::ZERO).unwrap();
        assert!(other.alone(std::slice::from_ref(&a)).unwrap().is_none(), "mounted twice");
        assert!(other.owner(std::slice::from_ref(&a)).unwrap().contains(&std::process::id().to_string()));
        drop(first);
        assert!(locks.alone(&[b.clone(), a.clone()]).unwrap().is_none(), "mounted once, and b is let go again");
        drop(second);
        let alone = locks.alone(&[a.clone(), b]).unwrap().unwrap();
        let refused = other.share(&[&a], Duration::ZERO).unwrap_err();
        assert!(matches!(refused, WorkspaceError::Busy { .. }), "{refused}");
        drop(alone);
        assert!(other.owner(std::slice::from_ref(&a)).is_none());
        assert!(other.share(&[&a], Duration::ZERO).is_ok());
    }
}
