//! Which runs a living process runs: a lock on a file for each, which the kernel gives back however the process ends
//! (flock(2)). So a run without an end in the journal is told apart from one that still goes on.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::id::RunId;
use crate::journal::Journal;
use crate::workspace::process_name;

/// A run that this process runs, until it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    path: PathBuf,
    _locked: File,
}

/// The process that runs a run, as far as it can be told: `agentic (process 4711)`.
#[derive(Debug)]
pub(super) struct Owner(pub(super) String);

impl Running {
    /// Takes the run for this process; `Err` within names the process that has it. `None` for a journal in memory, whose
    /// runs end with their process.
    pub(super) fn take(journal: &Journal, run: &RunId) -> io::Result<Option<Result<Self, Owner>>> {
        let Some(folder) = journal.path().and_then(Path::parent).map(|state| state.join("running")) else {
            return Ok(None);
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(run.as_str());
        loop {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(Some(Err(owner(&mut file))));
            }
            // Its last owner may have removed the name between our opening and our locking.
            if same(&file, &path)? {
                file.set_len(0)?;
                file.write_all(std::process::id().to_string().as_bytes())?;
                return Ok(Some(Ok(Self { path, _locked: file })));
            }
        }
    }
}

/// The process that runs a run, when one does: `agentic (process 4711)`. `state`: the folder that the journal lies in.
pub fn running(state: &Path, run: &RunId) -> Option<String> {
    let mut file = File::open(state.join("running").join(run.as_str())).ok()?;
    // Shared, so that two who ask do not take each other for an owner.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err().then(|| owner(&mut file).0)
}

impl Drop for Running {
    fn drop(&mut self) {
        // Before the lock goes: a name that stays says nothing without its lock.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn same(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn owner(file: &mut File) -> Owner {
    let mut pid = String::new();
    let known = file.read_to_string(&mut pid).is_ok() && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    Owner(if known { process_name(&pid) } else { "another process".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_owner_who_is_named_until_it_ends() {
        let place = tempfile::tempdir().unwrap();
        let journal = Journal::open(&place.path().join("journal.sqlite3")).unwrap();
        let (one, other) = (RunId::new(), RunId::new());
        let first = Running::take(&journal, &one).unwrap().unwrap().unwrap();
        let refused = Running::take(&journal, &one).unwrap().unwrap().unwrap_err();
        assert!(refused.0.contains(&format!("process {}", std::process::id())), "{refused:?}");
        assert!(Running::take(&journal, &other).unwrap().unwrap().is_ok(), "another run is another's");
        assert!(running(place.path(), &one).is_some_and(|owner| owner.contains("process")));
        assert!(running(place.path(), &other).is_none());
        drop(first);
        assert!(!place.path().join("running").join(one.as_str()).exists());
        assert!(Running::take(&journal, &one).unwrap().unwrap().is_ok());
        // A name that a killed process left.
        std::fs::write(place.path().join("running").join(other.as_str()), "1").unwrap();
        assert!(Running::take(&journal, &other).unwrap().unwrap().is_ok());
        assert!(Running::take(&Journal::in_memory().unwrap(), &one).unwrap().is_none());
    }
}
