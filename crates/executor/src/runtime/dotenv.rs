//! The dotenv files of a workspace, to be hidden in the system view.
//!
//! One decision: the walk is bounded, and when the bound is hit the run says so instead of seeming to hide
//! what it never looked at.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use agentic_sandbox::{Source, Workspace};

/// How deep below a root, and how many entries in all, the walk looks.
pub(super) const MOST_DEPTH: usize = 4;
pub(super) const MOST_ENTRIES: usize = 20_000;

/// Folders that are not looked into: they are large, and what lies in them was not written by the user.
const SKIPPED: [&str; 8] = [".git", "node_modules", "target", ".venv", "venv", "__pycache__", ".tox", "site-packages"];
/// Files of these endings are templates, made to be shown.
const TEMPLATES: [&str; 5] = [".example", ".sample", ".template", ".dist", ".defaults"];

/// The dotenv files of a workspace, and why some may be missing.
#[derive(Debug, Default)]
pub(super) struct Dotenv {
    pub(super) files: Vec<PathBuf>,
    pub(super) incomplete: Option<String>,
}

/// Whether a file of this name holds settings that may be secret.
pub(super) fn is_dotenv(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == ".env"
        || name == ".envrc"
        || (name.starts_with(".env.") && !TEMPLATES.iter().any(|end| name.ends_with(end)))
}

/// Looks through every layer of the mounted workspaces.
pub(super) fn find(mounts: &[Workspace]) -> Dotenv {
    let mut found = Dotenv::default();
    let mut left = MOST_ENTRIES;
    for mount in mounts {
        let folders = match &mount.source {
            Source::Overlay { lowers, upper, .. } => lowers.iter().chain([upper]).map(PathBuf::as_path).collect(),
            Source::Copy { dir } => vec![dir.as_path()],
            Source::ReadOnly => vec![mount.path.as_path()],
        };
        for folder in folders {
            walk(folder, &mount.path, &mut left, &mut found);
        }
    }
    found.files.sort();
    found.files.dedup();
    found
}

fn walk(folder: &Path, shown_as: &Path, left: &mut usize, found: &mut Dotenv) {
    // Level by level, so that the bound costs the deepest folders and not the last ones.
    let mut waiting = VecDeque::from([(PathBuf::new(), 0)]);
    while let Some((below, depth)) = waiting.pop_front() {
        let entries = match fs::read_dir(folder.join(&below)) {
            Ok(entries) => entries,
            // What we cannot list, the program (who has no more rights) cannot either.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            if *left == 0 {
                found.incomplete = Some(format!(
                    "dotenv files are hidden only among the first {MOST_ENTRIES} entries of the workspace; name others (--hide, hide)"
                ));
                return;
            }
            *left -= 1;
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            if is_dotenv(&name) {
                found.files.push(shown_as.join(&below).join(&name));
            } else if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                if depth < MOST_DEPTH {
                    waiting.push_back((below.join(&name), depth + 1));
                } else {
                    found.incomplete.get_or_insert_with(|| {
                        format!("dotenv files are hidden only {MOST_DEPTH} folders deep; name others (--hide, hide)")
                    });
                }
            }
        }
    }
}
