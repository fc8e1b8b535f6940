//! From a reading to a plan: is every path still what the step saw, and if so, what is to be done?
//!
//! Main type: [`Plan`], plain data that one function ([`super::apply::apply`]) executes. Every path is checked
//! before the first is touched; what is decided here is verified again at the moment of the change.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::copy::Manifest;
use super::error::{Conflict, WorkspaceError};
use super::path::{Dir, FileKind};
use super::reading::{Act, Item, Reading, beneath};
use super::resolve::open_beneath;
use super::stamp::{Identity, Stamp};
use super::view::{View, kind};

/// One operation on the folder. Paths are relative to the root.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Make a folder where nothing is.
    MakeDir { path: PathBuf, mode: u32, times: Stat },
    /// Put the layer's file or link where `over` is, or where nothing is.
    Put { path: PathBuf, upper: Stat, over: Option<Stat> },
    /// Write the layer's bytes into a file that has several names: all of these.
    Rewrite { path: PathBuf, upper: Stat, over: Stat, names: Vec<PathBuf> },
    /// Set permission bits, for every name of the file where it has several.
    Mode { path: PathBuf, mode: u32, over: Stat, names: Vec<PathBuf> },
    /// Remove a file, link or whole folder.
    Delete { path: PathBuf, over: Stat, under: Vec<(PathBuf, Stat)> },
}

/// What applying a layer will do, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) ops: Vec<Op>,
}

/// By what a change since the opening shows.
#[derive(Debug)]
pub(super) enum Base {
    /// By time: an overlay's lower is not looked at when the layer opens.
    Stamp(Stamp),
    /// By comparing with what was copied.
    Manifest(Manifest),
    /// The layer takes no writes.
    ReadOnly,
}

/// What our own applied layers left behind: not somebody else's change.
#[derive(Debug, Default)]
pub(super) struct Own {
    files: HashMap<PathBuf, Identity>,
    folders: HashMap<PathBuf, Identity>,
}

impl Own {
    pub(super) fn clear(&mut self) {
        self.files.clear();
        self.folders.clear();
    }
    pub(super) fn file(&mut self, path: PathBuf, identity: Identity) {
        self.files.insert(path, identity);
    }
    pub(super) fn folder(&mut self, path: PathBuf, stat: &Stat) {
        self.folders.insert(path, Identity::of(stat));
    }
    pub(super) fn is(&self, path: &Path, stat: &Stat) -> bool {
        if kind(stat) == FileType::Directory {
            self.folders.get(path).is_some_and(|own| *own == Identity::of(stat))
        } else {
            self.files.get(path).is_some_and(|own| own.is_same_content(stat))
        }
    }
}

/// What a reading is judged by.
#[derive(Debug)]
pub(super) struct Check<'a> {
    /// The root, absolute.
    pub(super) root: &'a Path,
    /// What is below now.
    pub(super) view: &'a View,
    pub(super) base: &'a Base,
    pub(super) own: &'a Own,
    /// Absolute paths that the step could not see.
    pub(super) hidden: &'a [PathBuf],
}

impl Check<'_> {
    /// Every path that somebody else changed since the layer opened.
    pub(super) fn conflicts(&self, reading: &Reading) -> Result<Vec<Conflict>, WorkspaceError> {
        let mut found = BTreeMap::new();
        let mut above = HashMap::new();
        let failed = WorkspaceError::io("read the clock of", self.root);
        if let Base::Stamp(stamp) = self.base
            && !reading.items.is_empty()
            && stamp.is_ahead(&self.view.folder).map_err(failed)?
        {
            let reason = "the clock was set back while the step ran: what others changed meanwhile cannot be told";
            return Ok(vec![Conflict { path: self.root.to_owned(), reason: reason.to_owned() }]);
        }
        for item in &reading.items {
            let failed = WorkspaceError::io("look at", &self.root.join(&item.path));
            self.item(item, &mut above, &mut found).map_err(failed)?;
        }
        Ok(found.into_iter().map(|(path, reason)| Conflict { path: self.root.join(path), reason }).collect())
    }
    fn item(
        &self,
        item: &Item,
        above: &mut HashMap<PathBuf, Option<String>>,
        found: &mut BTreeMap<PathBuf, String>,
    ) -> io::Result<()> {
        let path = &item.path;
        let mut conflict = |path: &Path, reason: &str| {
            found.entry(path.to_owned()).or_insert_with(|| reason.to_owned());
        };
        let absolute = self.root.join(path);
        if self.hidden.iter().any(|hidden| beneath(&absolute, hidden)) {
            conflict(path, "is hidden from the step, which made something there");
        }
        if let Some(reason) = self.ancestors(path, above)? {
            conflict(path, &reason);
        }
        match (&item.act, &item.lower) {
            (Act::Delete { under }, Some(lower)) => {
                if self.changed(path, lower) {
                    conflict(path, "was changed meanwhile, and the step removed it");
                }
                for (path, lower) in under {
                    if self.changed(path, lower) {
                        conflict(path, "was changed meanwhile, and the step removed it");
                    }
                }
            }
            (Act::Mode { .. }, Some(lower)) => {
                let same_folder = kind(lower) == FileType::Directory
                    && matches!(self.base, Base::Manifest(manifest)
                        if manifest.original(path).is_some_and(|original| original.is_same_folder(lower)));
                if !same_folder && self.changed(path, lower) {
                    conflict(path, "was changed meanwhile");
                }
            }
            (_, Some(lower)) => {
                if self.changed(path, lower) {
                    conflict(path, "was changed meanwhile");
                }
            }
            (Act::Put { copied_up, .. } | Act::MakeDir { copied_up, .. }, None) => {
                // A type change removes what was there first; nothing else is expected then.
                let gone = match self.base {
                    Base::Manifest(manifest) => {
                        manifest.contains(path) && self.view.find(path)?.is_none() && !self.was_ours(&absolute)
                    }
                    Base::Stamp(stamp) if *copied_up => {
                        let folder = matches!(item.act, Act::MakeDir { .. });
                        // A file may have been renamed here inside the layer; a folder that lies over another
                        // cannot be renamed (EXDEV), so it was copied up here and what it lay over is gone.
                        self.view.find(path)?.is_none() && (folder || self.names_changed(path, *stamp)?)
                    }
                    Base::Stamp(_) | Base::ReadOnly => false,
                };
                if gone {
                    conflict(path, "was removed or moved meanwhile");
                }
            }
            (Act::Delete { .. } | Act::Mode { .. }, None) => {}
        }
        Ok(())
    }
    fn was_ours(&self, absolute: &Path) -> bool {
        self.own.files.contains_key(absolute) || self.own.folders.contains_key(absolute)
    }
    /// Whether a path below changed since the opening, by anybody but us.
    fn changed(&self, path: &Path, now: &Stat) -> bool {
        let changed = match self.base {
            Base::Stamp(stamp) => Stamp::changed(now) >= *stamp,
            Base::Manifest(manifest) => !manifest.is_original(path, now),
            Base::ReadOnly => true,
        };
        changed && !self.own.is(&self.root.join(path), now)
    }
    /// Whether somebody else added or removed names beside `path`.
    fn names_changed(&self, path: &Path, stamp: Stamp) -> io::Result<bool> {
        let parent = path.parent().unwrap_or(Path::new(""));
        // A folder that the layer made, and moved a file into: nobody else has names there. One that was there and is
        // gone is itself an item that was copied up, and a conflict.
        let Some(found) = self.view.find(parent)? else { return Ok(false) };
        Ok(Stamp::written(&found.stat) >= stamp && !self.own.is(&self.root.join(parent), &found.stat))
    }
    /// What happened to the folders above `path`, if anything: a folder that was swapped for another holds files
    /// whose own times tell nothing.
    fn ancestors(&self, path: &Path, known: &mut HashMap<PathBuf, Option<String>>) -> io::Result<Option<String>> {
        for ancestor in path.ancestors().skip(1).filter(|ancestor| !ancestor.as_os_str().is_empty()) {
            if !known.contains_key(ancestor) {
                let verdict = self.ancestor(ancestor)?;
                known.insert(ancestor.to_owned(), verdict);
            }
            if let Some(Some(reason)) = known.get(ancestor) {
                return Ok(Some(reason.clone()));
            }
        }
        Ok(None)
    }
    fn ancestor(&self, folder: &Path) -> io::Result<Option<String>> {
        let name = self.root.join(folder);
        let Some(found) = self.view.find(folder)? else {
            let expected = matches!(self.base, Base::Manifest(manifest) if manifest.contains(folder));
            return Ok(expected.then(|| format!("its folder {} was removed or moved meanwhile", name.display())));
        };
        let swapped = match self.base {
            Base::Manifest(manifest) => {
                manifest.original(folder).is_some_and(|original| !original.is_same_inode(&found.stat))
                    && !self.was_ours(&name)
            }
            // Renaming a folder over changes its ctime and the names in its parent. Files made in both have
            // the same effect: a conflict too many then, never a lost byte.
            Base::Stamp(stamp) => {
                Stamp::changed(&found.stat) >= *stamp
                    && !self.own.is(&name, &found.stat)
                    && self.names_changed(folder, *stamp)?
            }
            Base::ReadOnly => false,
        };
        Ok(swapped.then(|| format!("its folder {} may have been replaced meanwhile", name.display())))
    }
}

impl Plan {
    /// What applying a checked reading to the folder will do. `layer` is where the bytes are, `below` the folder and, where
    /// changes to it are held back, what lies over it.
    pub(super) fn of(reading: &Reading, layer: &Dir, below: &[&Dir]) -> Result<Self, WorkspaceError> {
        let inside = linked_inside(reading, below).map_err(WorkspaceError::io("look for links in", layer.path()))?;
        let rewrites = rewrites(reading, layer, &inside)?;
        let names = |over: &Stat| inside.get(&identity(over)).cloned().unwrap_or_default();
        let mut ops = Vec::new();
        let (mut last, mut bits) = (Vec::new(), Vec::new());
        for (index, item) in reading.items.iter().enumerate() {
            let path = item.path.clone();
            match (&item.act, item.lower) {
                (Act::MakeDir { mode, .. }, _) => {
                    let times = super::view::lookup(layer, &path).ok().flatten();
                    let Some(times) = times else { continue };
                    ops.push(Op::MakeDir { path, mode: *mode, times });
                }
                (Act::Put { upper, .. }, Some(over)) if rewrites.contains_key(&index) => {
                    if rewrites[&index] {
                        last.push(Op::Rewrite { path, upper: *upper, over, names: names(&over) });
                    }
                }
                (Act::Put { upper, .. }, over) => ops.push(Op::Put { path, upper: *upper, over }),
                (Act::Mode { mode, .. }, Some(over)) if !is_linked(&over) || inside.contains_key(&identity(&over)) => {
                    bits.push(Op::Mode { path, mode: *mode, over, names: names(&over) });
                }
                (Act::Mode { .. }, Some(over)) => {
                    // The permission bits are those of every name: this one gets a file of its own.
                    let upper = super::view::lookup(layer, &path).ok().flatten();
                    let Some(upper) = upper else { continue };
                    ops.push(Op::Put { path, upper, over: Some(over) });
                }
                (Act::Delete { under }, Some(over)) => ops.push(Op::Delete { path, over, under: under.clone() }),
                (Act::Mode { .. } | Act::Delete { .. }, None) => {}
            }
        }
        // Rewriting in place is the hardest to undo, so it comes when everything else stands. It sets permission bits too:
        // those that were set by way of another name count, so they come after it.
        ops.append(&mut last);
        ops.append(&mut bits);
        Ok(Self { ops })
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn is_linked(stat: &Stat) -> bool {
    stat.st_nlink > 1 && kind(stat) == FileType::RegularFile
}

/// Entries that are looked at for further names of a file. Beyond it they count as lying elsewhere.
const MOST_LOOKED_AT: usize = 500_000;

/// The changed files with several names, all of which lie in the root, and these names. A name outside (package managers
/// link what they install into a cache that every project shares) is not a step's to change.
fn linked_inside(reading: &Reading, below: &[&Dir]) -> io::Result<HashMap<(u64, u64), Vec<PathBuf>>> {
    let mut names: HashMap<(u64, u64), (u64, Vec<PathBuf>)> = HashMap::new();
    for item in &reading.items {
        if let (Act::Put { .. } | Act::Mode { .. }, Some(lower)) = (&item.act, &item.lower)
            && is_linked(lower)
        {
            #[allow(clippy::useless_conversion, reason = "the link count is narrower on other architectures")]
            names.insert(identity(lower), (lower.st_nlink.into(), Vec::new()));
        }
    }
    let mut open_ones = names.len();
    let mut next: Vec<(&Dir, PathBuf)> = below.iter().map(|dir| (*dir, PathBuf::new())).collect();
    let mut left = MOST_LOOKED_AT;
    while let Some((dir, folder)) = next.pop().filter(|_| open_ones > 0) {
        // What cannot be listed, or is gone, holds no name that we know of.
        let Ok(open) = super::view::open_dir(dir, &folder) else { continue };
        for entry in super::path::entries(&open)? {
            left = left.saturating_sub(1);
            if left == 0 {
                next.clear();
                break;
            }
            match entry.kind {
                FileKind::Dir => next.push((dir, folder.join(&entry.name))),
                FileKind::File => {
                    let Ok(stat) = super::resolve::stat_in(&open, &entry.name) else { continue };
                    if let Some((more, found)) = names.get_mut(&identity(&stat)) {
                        found.push(folder.join(&entry.name));
                        *more = more.saturating_sub(1);
                        open_ones -= usize::from(*more == 0);
                    }
                }
                _ => {}
            }
        }
    }
    let whole = names.into_iter().filter(|(_, (more, _))| *more == 0);
    Ok(whole.map(|(inode, (_, found))| (inode, found)).collect())
}

/// Which items are written in place because their file has several names: true for the one that is written, false
/// for further names of the same file. Two names with different new bytes are two files from now on; of a layer that is
/// filled by us it is known which were one.
fn rewrites(
    reading: &Reading,
    layer: &Dir,
    inside: &HashMap<(u64, u64), Vec<PathBuf>>,
) -> Result<HashMap<usize, bool>, WorkspaceError> {
    let mut groups: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for (index, item) in reading.items.iter().enumerate() {
        if let (Act::Put { upper, .. }, Some(lower)) = (&item.act, &item.lower)
            && inside.contains_key(&identity(lower))
            && kind(upper) == FileType::RegularFile
            && reading.in_place.as_ref().is_none_or(|known| known.contains(&item.path))
        {
            groups.entry((lower.st_dev, lower.st_ino)).or_default().push(index);
        }
    }
    let mut rewrites = HashMap::new();
    for group in groups.into_values() {
        let mut hashes = Vec::new();
        for index in group.iter().filter(|_| group.len() > 1 && reading.in_place.is_none()) {
            let path = &reading.items[*index].path;
            hashes.push(hash(layer, path).map_err(WorkspaceError::io("read the layer's", &layer.path().join(path)))?);
        }
        if hashes.windows(2).all(|pair| pair[0] == pair[1]) {
            rewrites.extend(group.into_iter().enumerate().map(|(nth, index)| (index, nth == 0)));
        }
    }
    Ok(rewrites)
}

fn hash(layer: &Dir, path: &Path) -> io::Result<blake3::Hash> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = std::fs::File::from(open_beneath(layer.fd(), path, flags, Mode::empty())?);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize())
}
