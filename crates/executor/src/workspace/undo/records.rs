//! Where records lie: one file a layer below `undo/` of the state folder, those that are being applied below
//! `undo/pending/`.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::record::{Record, VERSION};
use crate::workspace::error::WorkspaceError;
use crate::workspace::store::Store;
use crate::workspace::tree;

/// The records of a state folder, and the bytes that they speak of.
#[derive(Debug, Clone)]
pub struct Records {
    folder: PathBuf,
    store: Store,
}

impl Records {
    /// Those of a state folder. Nothing is made before the first record.
    pub fn of(state: &Path, store: Store) -> Self {
        Self { folder: state.join("undo"), store }
    }
    /// Where the bytes are.
    pub fn store(&self) -> &Store {
        &self.store
    }
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
    /// The files of all records that are not pending.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        Self::files_in(&self.folder)
    }
    /// And of those that are.
    pub(super) fn pending_files(&self) -> io::Result<Vec<PathBuf>> {
        Self::files_in(&self.folder.join("pending"))
    }
    fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect())
    }
    pub(super) fn read_file(&self, path: &Path) -> Result<Record, WorkspaceError> {
        read(path)
    }
    /// The record of a layer; `None` when it changed nothing, was not applied, or its record is gone.
    ///
    /// # Errors
    /// When it cannot be read, is not whole, or a later version wrote it.
    pub fn find(&self, layer: &str) -> Result<Option<Record>, WorkspaceError> {
        let Some(path) = self.file(layer) else { return Ok(None) };
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }
    /// Writes a record as pending; on the disk when this returns.
    pub(in crate::workspace) fn prepare(&self, record: &Record) -> Result<Pending, WorkspaceError> {
        let pending = self.folder.join("pending");
        for folder in [&self.folder, &pending] {
            tree::private_folder(folder)?;
        }
        let name = name(&record.layer);
        let (from, to) = (pending.join(&name), self.folder.join(&name));
        let write = || -> io::Result<File> {
            let text = serde_json::to_vec(record)?;
            let new = pending.join(format!("{}.new", record.layer));
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            // Held while the layer is applied: whoever can have it knows that our process has ended.
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(blake3::hash(&text).to_hex().as_bytes())?;
            file.write_all(b"\n")?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, &from)?;
            File::open(&pending)?.sync_all()?;
            Ok(file)
        };
        let written = write().map_err(WorkspaceError::io("write the record", &from));
        let mut prepared = Pending { from, to, settled: false, held: None };
        prepared.held = Some(written?);
        Ok(prepared)
    }
    /// The records of layers that were being applied when their processes ended, each held as its process held it.
    pub(super) fn cut_off(&self) -> Vec<(Pending, Result<Record, WorkspaceError>)> {
        let entries = std::fs::read_dir(self.folder.join("pending")).into_iter().flatten().flatten();
        let mut found = Vec::new();
        for from in entries.map(|entry| entry.path()) {
            // Also one that was not given its name: nothing had been changed then.
            let Ok(file) = File::open(&from) else { continue };
            let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            // Settled, or taken back by somebody else, before we had it.
            if !free || !from.exists() {
                continue;
            }
            let to = self.folder.join(from.file_name().unwrap_or_default());
            let record = read(&from);
            found.push((Pending { from, to, settled: true, held: Some(file) }, record));
        }
        found
    }
    fn file(&self, layer: &str) -> Option<PathBuf> {
        // A name from a journal, which somebody may have written to.
        let plain = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain.then(|| self.folder.join(name(layer)))
    }
}

/// Reads a record and checks that it is whole.
fn read(path: &Path) -> Result<Record, WorkspaceError> {
    let text = std::fs::read(path).map_err(WorkspaceError::io("read the record", path))?;
    let broken = |why: String| WorkspaceError::Record { path: path.to_owned(), why };
    let (sum, text) = text
        .split_at_checked(65)
        .filter(|(sum, _)| sum.ends_with(b"\n"))
        .ok_or_else(|| broken("it is not whole".into()))?;
    if blake3::hash(text).to_hex().as_bytes() != &sum[..64] {
        return Err(broken("its bytes are not those that were written".into()));
    }
    let record: Record = serde_json::from_slice(text).map_err(|error| broken(error.to_string()))?;
    if record.version > VERSION {
        return Err(broken(format!("a later version of agentic wrote it (form {})", record.version)));
    }
    Ok(record)
}

fn name(layer: &str) -> String {
    format!("{layer}.json")
}

/// A record whose layer is being applied. Dropped, it is gone: nothing was applied.
#[derive(Debug)]
pub(in crate::workspace) struct Pending {
    from: PathBuf,
    to: PathBuf,
    settled: bool,
    /// Locked for as long as it is pending.
    held: Option<File>,
}

impl Pending {
    /// The layer is applied.
    pub(in crate::workspace) fn settle(mut self) -> Result<(), WorkspaceError> {
        let settle = || -> io::Result<()> {
            std::fs::rename(&self.from, &self.to)?;
            self.to.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        let outcome = settle().map_err(WorkspaceError::io("keep the record", &self.to));
        self.settled = true;
        outcome
    }
    /// The layer is taken back, or nothing of it was applied.
    pub(super) fn forget(mut self) {
        self.settled = false;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.settled {
            // What cannot be removed speaks of a layer that was not applied: nobody asks for it.
            let _ = std::fs::remove_file(&self.from);
        }
    }
}
