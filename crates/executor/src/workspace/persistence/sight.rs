//! The folder as it was for the step and as it would be after it, read without following a link.
//!
//! Main type: [`Sight`]. Everything it reads was made by the program or lies beside it: regular files only, never
//! more than [`MOST`] bytes of one.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::super::layer::Backend;
use super::super::path::{Dir, FileKind, entries_of};
use super::super::view::{Found, View, kind, lookup, open_dir, unless_gone};

/// Bytes of one file that are read. A configuration file larger than this is not judged by its content.
const MOST: u64 = 1 << 20;

/// What a path holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing is there, or nothing that we may read.
    Missing,
    /// A regular file's bytes.
    Bytes(Vec<u8>),
    /// A link's text.
    Link(PathBuf),
    /// A regular file with more bytes than are read, and those that were.
    TooLarge(Vec<u8>),
    /// A folder or something that is never opened.
    Other,
}

/// The folder before and after one layer. Paths are relative to the root.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    /// The root, absolute.
    pub(super) root: &'a Path,
    before: &'a View,
    after: View,
    known: RefCell<HashMap<PathBuf, bool>>,
}

impl<'a> Sight<'a> {
    /// Over the layer's own writes in `layer`.
    pub(super) fn new(root: &'a Path, layer: &Dir, backend: Backend, before: &'a View) -> Self {
        let after = if backend == Backend::Overlay {
            let layers = std::iter::once(layer.clone()).chain(before.layers.iter().cloned()).collect();
            View { layers, folder: before.folder.clone() }
        } else {
            View { layers: Vec::new(), folder: layer.clone() }
        };
        Self { root, before, after, known: RefCell::default() }
    }
    pub(super) fn before(&self, rel: &Path) -> io::Result<Option<Stat>> {
        Ok(self.before.find(rel)?.map(|found| found.stat))
    }
    pub(super) fn after(&self, rel: &Path) -> io::Result<Option<Stat>> {
        // Most names that are asked for are nowhere: one look at each layer says so.
        let dirs = || self.after.layers.iter().chain([&self.after.folder]);
        for dir in dirs() {
            if lookup(dir, rel)?.is_some() {
                return Ok(self.after.find(rel)?.map(|found| found.stat));
            }
        }
        Ok(None)
    }
    pub(super) fn read_before(&self, rel: &Path) -> io::Result<Content> {
        read(self.before, rel, MOST)
    }
    pub(super) fn read_after(&self, rel: &Path) -> io::Result<Content> {
        read(&self.after, rel, MOST)
    }
    /// The first bytes of a regular file, however large it is.
    pub(super) fn head_after(&self, rel: &Path, bytes: u64) -> io::Result<Content> {
        Ok(match read(&self.after, rel, bytes)? {
            Content::TooLarge(head) => Content::Bytes(head),
            other => other,
        })
    }
    /// The names in a folder after the step, each with what it is; none where there is no such folder.
    pub(super) fn list_after(&self, rel: &Path) -> io::Result<Vec<(PathBuf, FileType)>> {
        let listed = self.after.list(rel)?;
        Ok(listed.into_iter().map(|(name, found)| (rel.join(name), kind(&found.stat))).collect())
    }
    /// The names at the top of the root, after the step, that may be links. What a name is in the end, its reading says.
    pub(super) fn links_at_top(&self) -> io::Result<BTreeSet<PathBuf>> {
        let mut links = BTreeSet::new();
        for dir in self.after.layers.iter().chain([&self.after.folder]) {
            // By what the names themselves say: a root may have thousands.
            let found = entries_of(&open_dir(dir, Path::new(""))?, |kind| kind == FileKind::Symlink)?;
            links.extend(found.into_iter().map(|link| PathBuf::from(link.name)));
        }
        Ok(links)
    }
    /// Whether a folder is laid out as a git repository after the step, wherever it lies and whatever it is called.
    pub(super) fn is_repository(&self, rel: &Path) -> io::Result<bool> {
        if let Some(known) = self.known.borrow().get(rel) {
            return Ok(*known);
        }
        let is = laid_out(rel, |path| Ok(self.after(path)?.is_some()))?;
        self.known.borrow_mut().insert(rel.to_owned(), is);
        Ok(is)
    }
    /// Whether it was one before.
    pub(super) fn was_repository(&self, rel: &Path) -> io::Result<bool> {
        laid_out(rel, |path| Ok(self.before(path)?.is_some()))
    }
    /// What the text of a link names from the folder `from`, beneath the root; `None` when it leads out of it. Other
    /// links on the way are not looked at: each is judged by itself.
    pub(super) fn names(&self, from: &Path, text: &Path) -> Option<PathBuf> {
        lexical(self.root, from, text)
    }
    /// As [`Self::names`], but a way through another link counts as out: what that leads to can be changed later.
    pub(super) fn leads(&self, from: &Path, text: &Path) -> io::Result<Option<PathBuf>> {
        let Some(target) = lexical(self.root, from, text) else { return Ok(None) };
        let mut upto = PathBuf::new();
        for name in target.parent().unwrap_or(Path::new("")) {
            upto.push(name);
            if self.after(&upto)?.is_some_and(|stat| kind(&stat) == FileType::Symlink) {
                return Ok(None);
            }
        }
        Ok(Some(target))
    }
}

/// `HEAD` beside `objects` and `refs`, or beside `commondir`, which names the folder that has them: what git itself
/// goes by (setup.c, `is_git_directory`), without a look at what `HEAD` says.
fn laid_out(rel: &Path, is: impl Fn(&Path) -> io::Result<bool>) -> io::Result<bool> {
    Ok(is(&rel.join("HEAD"))? && (is(&rel.join("commondir"))? || (is(&rel.join("objects"))? && is(&rel.join("refs"))?)))
}

/// The path that `text` names from the folder `from` (relative to the root), if it lies beneath the root.
fn lexical(root: &Path, from: &Path, text: &Path) -> Option<PathBuf> {
    let mut whole = if text.is_absolute() { PathBuf::new() } else { root.join(from) };
    for part in text.components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::Normal(name) => whole.push(name),
            Component::RootDir => whole.push("/"),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    whole.strip_prefix(root).ok().map(Path::to_owned)
}

fn read(view: &View, rel: &Path, most: u64) -> io::Result<Content> {
    let Some(found) = view.find(rel)? else { return Ok(Content::Missing) };
    match kind(&found.stat) {
        FileType::Symlink => Ok(unless_gone(view.read_link(rel, &found))?.map_or(Content::Missing, Content::Link)),
        FileType::RegularFile => bytes(view, rel, &found, most),
        _ => Ok(Content::Other),
    }
}

fn bytes(view: &View, rel: &Path, found: &Found, most: u64) -> io::Result<Content> {
    let file = match view.open(rel, found) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Content::Missing),
        opened => match unless_gone(opened)? {
            Some(file) => file,
            None => return Ok(Content::Missing),
        },
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(Content::Other);
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > most { Content::TooLarge(bytes) } else { Content::Bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_by_its_text() {
        let leads = |from: &str, text: &str| {
            lexical(Path::new("/w/p"), Path::new(from), Path::new(text)).map(|path| path.to_string_lossy().into_owned())
        };
        assert_eq!(leads("a/b", "../c").as_deref(), Some("a/c"));
        assert_eq!(leads("", "x/./y").as_deref(), Some("x/y"));
        assert_eq!(leads("a", "/w/p/z").as_deref(), Some("z"));
        assert_eq!(leads("a", "../../p/z").as_deref(), Some("z"));
        assert_eq!(leads("a", "../../other"), None);
        assert_eq!(leads("", "/etc/passwd"), None);
        assert_eq!(leads("", "/w/p2"), None);
    }
}
