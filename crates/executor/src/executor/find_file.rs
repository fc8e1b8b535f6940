//! Finds files of a name in the workspace, for the recovery of a path that is not there.
//!
//! The walk is bounded, skips what tools make, and goes by [`Dir`], as every path of the host does.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::workspace::{Dir, FileKind, WorkspaceError};

/// Folders that hold no source of anybody's.
const SKIPPED: [&str; 8] = [".git", "node_modules", "target", "__pycache__", ".venv", "venv", ".tox", ".mypy_cache"];
const MOST_ENTRIES: usize = 100_000;

/// Files of that name beneath a folder, relative to it. Symlinks are not followed; `most` are returned at most.
pub(super) fn files_named(root: &Path, name: &OsStr, most: usize) -> Result<Vec<PathBuf>, WorkspaceError> {
    let dir = Dir::open_root(root)?;
    let mut found = Vec::new();
    let mut folders = VecDeque::from([PathBuf::new()]);
    let mut seen = 0;
    while let Some(folder) = folders.pop_front() {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder.as_path() };
        // What cannot be read holds nothing that the step could read.
        let Ok(mut entries) = dir.read_dir(here) else { continue };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            seen += 1;
            if found.len() >= most || seen > MOST_ENTRIES {
                return Ok(found);
            }
            let path = folder.join(&entry.name);
            if entry.kind == FileKind::Dir {
                if !SKIPPED.iter().any(|skipped| entry.name.as_os_str() == *skipped) {
                    folders.push_back(path);
                }
            } else if entry.name.as_os_str() == name {
                found.push(path);
            }
        }
    }
    Ok(found)
}
