//! What a program wrote before a limit ended it: kept aside, outside the workspace, until its owner takes
//! or drops it.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_executor::workspace::{Attempt, ChangeKind, Dir, FileKind, Level, Persistence, path_to_text};

use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;

/// Where the unfinished writes lie.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The folder that holds them, laid out as the workspace is.
    pub(crate) folder: PathBuf,
    /// The workspace.
    root: PathBuf,
    /// How many paths.
    count: usize,
    /// How many of them the program deleted: listed in `folder.deleted`.
    deleted: usize,
    /// What of them would run later outside.
    later: Vec<String>,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        let changes = if self.count == 1 { "1 change" } else { &format!("{} changes", self.count) };
        write!(
            f,
            "{changes} kept aside for a week; take: cp -a {folder}/. {}; drop: rm -r {folder}",
            self.root.display()
        )?;
        if self.deleted > 0 {
            write!(f, "; {} deletions are listed in {folder}.deleted", self.deleted)?;
        }
        if !self.later.is_empty() {
            write!(f, "; once taken, these run later outside: {}", self.later.join("; "))?;
        }
        Ok(())
    }
}

/// Copies what an attempt wrote into the state folder and drops its layer. `None` when it wrote nothing.
pub(crate) fn aside(state: &Path, attempt: Attempt) -> Result<Option<Kept>> {
    let refuse = |why: String| {
        Failure::new(ExitCode::Refused, format!("failed to keep aside what the program wrote (it was dropped): {why}"))
    };
    let set = attempt.change_set().map_err(|error| refuse(error.to_string()))?;
    let Some(root) = attempt.roots().first().map(|root| root.to_path_buf()).filter(|_| !set.changes.is_empty()) else {
        return Ok(None);
    };
    let folder = place(state).map_err(|error| refuse(error.to_string()))?;
    let mut deleted = Vec::new();
    for change in &set.changes {
        let Ok(beneath) = change.path.strip_prefix(&root) else { continue };
        let keep = || -> std::io::Result<()> {
            let Some((dir, inner)) = attempt.locate(&change.path).map_err(std::io::Error::other)? else {
                return Ok(());
            };
            copy_out(dir, &inner, &folder.join(beneath))
        };
        if change.kind == ChangeKind::Deleted {
            deleted.push(change.path.clone());
        } else {
            keep().map_err(|error| refuse(format!("{}: {error}", change.path.display())))?;
        }
    }
    if !deleted.is_empty() {
        let list = folder.with_extension("deleted");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&list)
            .map_err(|error| refuse(error.to_string()))?;
        for path in &deleted {
            writeln!(file, "{}", path_to_text(path)).map_err(|error| refuse(error.to_string()))?;
        }
    }
    attempt.discard();
    let protected = set.persistence.iter().filter(|one| one.level == Level::Protected);
    let later = protected.map(ToString::to_string).collect();
    Ok(Some(Kept { folder, root, count: set.changes.len(), deleted: deleted.len(), later }))
}

/// A new private folder to keep something in.
fn place(state: &Path) -> std::io::Result<PathBuf> {
    sweep(&state.join("kept"));
    let folder = state.join("kept").join(agentic_executor::CallId::new().as_str());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

/// Copies what is held back of an attempt's writes into the state folder; `None` when the attempt wrote none of it.
pub(crate) fn held(state: &Path, attempt: &Attempt, found: &[Persistence]) -> Result<Option<Kept>> {
    let refuse =
        |why: String| Failure::new(ExitCode::Refused, format!("failed to keep aside what was held back: {why}"));
    let Some(root) = attempt.roots().first().cloned() else { return Ok(None) };
    let folder = place(state).map_err(|error| refuse(error.to_string()))?;
    let mut later = Vec::new();
    for one in found {
        let Ok(beneath) = one.path.strip_prefix(&root) else { continue };
        let written = attempt.written(&one.path).map_err(|error| refuse(error.to_string()))?;
        let Some((dir, inner)) = written else { continue };
        // A repository can be held back for what lay there before: then there is nothing to keep.
        if dir.metadata(&inner).is_ok() {
            let kept = copy_out(&dir, &inner, &folder.join(beneath));
            kept.map_err(|error| refuse(format!("{}: {error}", one.path.display())))?;
            later.push(one.to_string());
        }
    }
    if later.is_empty() {
        // An empty folder is swept later where it cannot be removed.
        let _later = std::fs::remove_dir(&folder);
        return Ok(None);
    }
    Ok(Some(Kept { folder, root, count: later.len(), deleted: 0, later }))
}

/// What is kept is kept for this long.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Drops what was kept aside more than a week ago. What cannot be dropped now is met again next time.
fn sweep(kept: &Path) {
    for entry in std::fs::read_dir(kept).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > WEEK)) {
            let path = entry.path();
            let _later = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
}

/// Copies one entry of the merged workspace; a program's devices, pipes and sockets are left out.
fn copy_out(dir: &Dir, from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let metadata = dir.metadata(from)?;
    match metadata.kind {
        FileKind::Dir => std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to),
        FileKind::Symlink => std::os::unix::fs::symlink(dir.read_link(from)?, to),
        FileKind::File => {
            let mode = metadata.mode & 0o700 | 0o600;
            let target = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
            // Its blocks are bounded by the layer's limit; its holes, which are not, are not written out.
            dir.copy_file(from, &target)
        }
        _ => Ok(()),
    }
}
