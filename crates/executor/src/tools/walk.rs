//! Walking a folder as a developer sees it: in order, without what git ignores, never out of its root.
//!
//! [`walk`] enumerates through [`Dir`](crate::workspace::Dir) and reads ignore files through it too, so a link or a
//! FIFO named `.gitignore` in a hostile folder is no way out and nothing to hang on. Ignore rules are those of the
//! folders from the workspace root downwards; the user's global ones and those above the root do not count, so
//! that a search says the same for everybody.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use globset::{GlobBuilder, GlobMatcher};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde_json::Value;

use super::place::Place;
use super::validate::ArgumentError;
use super::{ToolContext, ToolResult};
use crate::cancel::Cancel;
use crate::cause::Cause;
use crate::workspace::{DirEntry, FileKind};

/// Bytes of an ignore file that are read.
const MOST_RULES: u64 = 1 << 20;

/// What is passed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    /// Names that begin with a dot are seen too.
    pub(crate) hidden: bool,
    /// `.gitignore`, `.ignore` and `.git/info/exclude` are obeyed, and `.git` is left out.
    pub(crate) gitignore: bool,
}

/// When to end early.
#[derive(Debug, Clone)]
pub(crate) struct Stop<'a> {
    cancel: &'a Cancel,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
}

impl<'a> Stop<'a> {
    pub(crate) fn new(context: &ToolContext<'a>) -> Self {
        Self::of(context.cancel, context.timeout)
    }
    pub(crate) fn of(cancel: &'a Cancel, timeout: Option<Duration>) -> Self {
        Self { cancel, timeout, deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }
    /// The failure to end with, once there is a reason.
    pub(crate) fn reason(&self, what: &str) -> Option<ToolResult> {
        if self.cancel.is_cancelled() {
            return Some(ToolResult::failure(Cause::Cancelled, format!("{what} was cancelled")));
        }
        let timeout = self.timeout.filter(|_| self.deadline.is_some_and(|deadline| Instant::now() >= deadline))?;
        Some(ToolResult::failure(Cause::Timeout, format!("{what} timed out after {}s", timeout.as_secs_f64())))
    }
}

/// The ignore rules of one folder and, behind it, of those above it.
struct Rules {
    /// Strongest first.
    own: Vec<Gitignore>,
    folder: PathBuf,
    above: Option<Arc<Rules>>,
}

struct Level {
    folder: PathBuf,
    entries: VecDeque<DirEntry>,
    rules: Option<Arc<Rules>>,
}

/// Calls `visit` with each file and link under `place`, by path relative to it, in order of name, folder by folder.
/// Returns how many folders could not be read.
///
/// # Errors
/// When `place` itself cannot be read.
pub(crate) fn walk(
    place: &Place<'_>,
    filter: Filter,
    visit: &mut dyn FnMut(&Path, FileKind) -> ControlFlow<()>,
) -> Result<u64, ToolResult> {
    let mut unreadable = 0;
    let mut above = None;
    // Rules go by the folder's real place, also when it was named through a link or `..`.
    let base = place.dir.resolve(&place.rel).map_err(|error| place.failed("list", &error))?;
    if filter.gitignore {
        for folder in base.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if let Ok(entries) = place.dir.read_dir(folder) {
                above = rules(place, folder, &entries, above);
            }
        }
    }
    let open = |folder: PathBuf, above: Option<Arc<Rules>>| -> std::io::Result<Level> {
        let mut entries = place.dir.read_dir(&folder)?;
        let rules = if filter.gitignore { rules(place, &folder, &entries, above) } else { None };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Level { folder, entries: entries.into(), rules })
    };
    let start = open(base.clone(), above).map_err(|error| place.failed("list", &error))?;
    let mut levels = vec![start];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.pop_front() else {
            levels.pop();
            continue;
        };
        let bytes = entry.name.as_encoded_bytes();
        if (!filter.hidden && bytes.starts_with(b".")) || (filter.gitignore && bytes == b".git") {
            continue;
        }
        let rel = level.folder.join(&entry.name);
        let kind = match entry.kind {
            FileKind::Other => place.dir.metadata(&rel).map_or(FileKind::Other, |metadata| metadata.kind),
            kind => kind,
        };
        if ignored(level.rules.as_deref(), &rel, kind == FileKind::Dir) {
            continue;
        }
        match kind {
            FileKind::Dir => match open(rel, level.rules.clone()) {
                Ok(next) => levels.push(next),
                Err(_) => unreadable += 1,
            },
            FileKind::File | FileKind::Symlink => {
                let below = rel.strip_prefix(&base).unwrap_or(&rel);
                if visit(below, kind).is_break() {
                    break;
                }
            }
            // FIFOs, sockets and devices are nobody's text.
            _ => {}
        }
    }
    Ok(unreadable)
}

fn rules(place: &Place<'_>, folder: &Path, entries: &[DirEntry], above: Option<Arc<Rules>>) -> Option<Arc<Rules>> {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    let mut own = Vec::new();
    for (present, file) in [(".ignore", ".ignore"), (".gitignore", ".gitignore"), (".git", ".git/info/exclude")] {
        if !has(present) {
            continue;
        }
        let Ok(bytes) = place.dir.read(&folder.join(file), MOST_RULES) else { continue };
        let mut builder = GitignoreBuilder::new("");
        for line in String::from_utf8_lossy(&bytes).lines() {
            // A line that is no glob is passed over, as git does.
            let _ = builder.add_line(None, line);
        }
        if let Ok(rules) = builder.build()
            && !rules.is_empty()
        {
            own.push(rules);
        }
    }
    if own.is_empty() { above } else { Some(Arc::new(Rules { own, folder: folder.to_owned(), above })) }
}

/// The nearest rule that says anything decides.
fn ignored(rules: Option<&Rules>, rel: &Path, is_dir: bool) -> bool {
    let mut next = rules;
    while let Some(rules) = next {
        let below = rel.strip_prefix(&rules.folder).unwrap_or(rel);
        for own in &rules.own {
            let found = own.matched(below, is_dir);
            if !found.is_none() {
                return found.is_ignore();
            }
        }
        next = rules.above.as_deref();
    }
    false
}

/// A glob over file names or, when it has a `/`, over paths.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    matcher: GlobMatcher,
    over_paths: bool,
}

impl Glob {
    /// `pointer` is the argument it came in.
    pub(crate) fn new(pattern: &str, pointer: &str) -> Result<Self, ToolResult> {
        let over_paths = pattern.contains('/');
        let plain = pattern.strip_prefix("./").unwrap_or(pattern).trim_start_matches('/');
        let glob = GlobBuilder::new(plain).literal_separator(true).backslash_escape(true).build();
        match glob {
            Ok(glob) if !pattern.is_empty() => Ok(Self { matcher: glob.compile_matcher(), over_paths }),
            Ok(_) => Err(ArgumentError::invalid(pointer, "a glob such as *.py", &Value::from(pattern)).into()),
            Err(error) => {
                Err(ArgumentError::refused(pointer, "a glob such as *.py", format!("Invalid glob: {error}")).into())
            }
        }
    }
    pub(crate) fn matches(&self, path: &Path) -> bool {
        if self.over_paths {
            self.matcher.is_match(path)
        } else {
            path.file_name().is_some_and(|name| self.matcher.is_match(name))
        }
    }
}
