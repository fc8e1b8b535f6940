//! Layers whose process was killed: nobody applies them and nobody drops them any more.
//!
//! Each open layer has its folder locked (flock(2)), so one that can be locked is nobody's.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::error::WorkspaceError;
use super::{PASSABLE, Workspaces, tree};

/// How old a folder is before it is looked at: one that is being made is not locked yet.
const YOUNG: Duration = Duration::from_secs(60);

impl Workspaces {
    /// Removes the layers that killed processes left, and counts them. What such a process had finished and not applied is
    /// among them: its steps are to do again (`AgenticExecutor::resume`). `dry_run` counts only.
    ///
    /// # Errors
    /// When the state folder cannot be read. A layer that cannot be removed is left for the next time.
    pub fn sweep(&self, dry_run: bool) -> Result<u64, WorkspaceError> {
        let mut places = vec![self.state().join("layers")];
        if rustix::process::geteuid().is_root() {
            places.push(PASSABLE.into());
        }
        let mut count = 0;
        for place in places {
            for folder in folders(&place).map_err(WorkspaceError::io("look for layers in", &place))? {
                if is_abandoned(&folder) && (dry_run || tree::remove(&folder).is_ok()) {
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}

/// A folder by descriptor, to be locked.
pub(super) fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

fn folders(place: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn is_abandoned(folder: &Path) -> bool {
    let made = std::fs::symlink_metadata(folder).and_then(|found| found.modified());
    // A clock that was set back makes everything young.
    let old = made.is_ok_and(|made| SystemTime::now().duration_since(made).is_ok_and(|age| age > YOUNG));
    // What cannot be told is somebody's.
    old && folders(folder).is_ok_and(|layers| layers.iter().all(|layer| is_free(layer)))
}

fn is_free(layer: &Path) -> bool {
    open(layer).is_ok_and(|fd| rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok())
}
