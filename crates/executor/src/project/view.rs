//! The whole of what may be seen of a project: small files and the names in folders, beneath one root.

use std::path::Path;

use crate::workspace::{Dir, FileKind};

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectEntry {
    /// The name.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// A project's files as the planner sees them. Paths are relative to the root, with `/`; `""` is the root.
pub trait ProjectView {
    /// The text of a file of at most `most` bytes; `None` when it is missing, larger or no text.
    fn read(&self, path: &str, most: u64) -> Option<String>;
    /// The names in a folder, sorted; empty when it is none.
    fn list(&self, folder: &str) -> Vec<ProjectEntry>;
    /// Whether there is such a file or folder.
    fn exists(&self, path: &str) -> bool;
}

/// No project at all: nothing exists.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProject;

impl ProjectView for NoProject {
    fn read(&self, _path: &str, _most: u64) -> Option<String> {
        None
    }
    fn list(&self, _folder: &str) -> Vec<ProjectEntry> {
        Vec::new()
    }
    fn exists(&self, _path: &str) -> bool {
        false
    }
}

/// A folder on disk. Links that lead out of it, devices and pipes are as if they were not there.
impl ProjectView for Dir {
    fn read(&self, path: &str, most: u64) -> Option<String> {
        String::from_utf8(Self::read(self, beneath(path), most).ok()?).ok()
    }
    fn list(&self, folder: &str) -> Vec<ProjectEntry> {
        let Ok(entries) = self.read_dir(beneath(folder)) else { return Vec::new() };
        // A name that is no text cannot stand in a plan.
        let named = entries.into_iter().filter_map(|entry| Some((entry.name.into_string().ok()?, entry.kind)));
        let mut list: Vec<_> =
            named.map(|(name, kind)| ProjectEntry { name, is_folder: kind == FileKind::Dir }).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
    fn exists(&self, path: &str) -> bool {
        Self::exists(self, beneath(path))
    }
}

fn beneath(path: &str) -> &Path {
    let path = path.trim_end_matches('/');
    Path::new(if path.is_empty() { "." } else { path })
}

/// A project held in memory, for tests and demonstrations.
#[derive(Debug, Clone, Default)]
pub struct MemoryProject {
    files: std::collections::BTreeMap<String, String>,
}

impl MemoryProject {
    /// These files, by relative path; folders follow from the paths.
    pub fn new<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        Self { files: files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect() }
    }
}

impl ProjectView for MemoryProject {
    fn read(&self, path: &str, most: u64) -> Option<String> {
        self.files.get(path).filter(|text| text.len() as u64 <= most).cloned()
    }
    fn list(&self, folder: &str) -> Vec<ProjectEntry> {
        let mut entries: Vec<ProjectEntry> = Vec::new();
        for path in self.files.keys() {
            let inside = if folder.is_empty() {
                Some(path.as_str())
            } else {
                path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'))
            };
            let Some(inside) = inside else { continue };
            let (name, is_folder) = inside.split_once('/').map_or((inside, false), |(name, _)| (name, true));
            if !entries.iter().any(|entry| entry.name == name) {
                entries.push(ProjectEntry { name: name.to_owned(), is_folder });
            }
        }
        entries
    }
    fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains_key(path) || !self.list(path).is_empty()
    }
}
