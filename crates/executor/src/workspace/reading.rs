//! From what a layer holds to what it changed: walks an upper, or a copy, against what lies below it.
//!
//! Main type: [`Reading`]. Runs after every process of the step has ended, by descriptor, following nothing. What
//! a program can leave behind is hostile: FIFOs, devices, folders without permissions, names of any bytes,
//! set-id bits, forged attributes, depth. What was copied up and is the same as below is no change.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes;
use super::change_set::{Change, ChangeKind, ChangeSet, LeftOut};
use super::copy::Manifest;
use super::error::WorkspaceError;
use super::path::{Dir, FileKind, entries};
use super::renames;
use super::resolve::{open_beneath, stat_in};
use super::view::{Below, Found, Marks, View, is_whiteout, kind, unless_gone};

/// The kernel takes no path longer than this, so nothing longer could be applied.
const LONGEST: usize = 3_900;

/// What is to be done to one path of the folder.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Relative to the root.
    pub(super) path: PathBuf,
    pub(super) act: Act,
    /// What is below now, if anything.
    pub(super) lower: Option<Stat>,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Make a folder.
    MakeDir { mode: u32, copied_up: bool },
    /// Put the layer's file or link in place.
    Put { upper: Stat, copied_up: bool },
    /// Set permission bits.
    Mode { mode: u32 },
    /// Remove a file, a link, or a folder with all beneath it (each with what it was, parents first).
    Delete { under: Vec<(PathBuf, Stat)> },
}

/// What a layer did.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Parents before children; a removal before what takes its place.
    pub(super) items: Vec<Item>,
    /// Relative paths that are never applied, with the reason.
    pub(super) left_out: Vec<(PathBuf, String)>,
    /// In a layer that is filled by us: the paths whose files are the ones that get other bytes, in place where they have
    /// several names. `None` for a step's layer, which does not tell.
    pub(super) in_place: Option<BTreeSet<PathBuf>>,
    /// The folders of the layer in which a name of [`GIT`] may be after it, here or below: the others belong to no repository.
    /// `None` where nobody looked.
    near_git: Option<BTreeSet<PathBuf>>,
    /// Files that were renamed: the new path, and the old one.
    renamed: BTreeMap<PathBuf, PathBuf>,
}

/// Names without one of which a folder is neither a git repository nor the working tree of one.
const GIT: [&str; 2] = ["HEAD", ".git"];

/// What kind of layer is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    /// An overlay's upper: it holds what differs.
    Upper,
    /// A copy of everything, with what was copied.
    Copy(&'a Manifest),
}

/// Permission bits that a layer may set: never set-id.
pub(super) const BITS: u32 = 0o1777;

impl Reading {
    /// Reads the layer in `upper` against `view`.
    pub(super) fn read(upper: &Dir, view: &View, layer: Kind<'_>) -> Result<Self, WorkspaceError> {
        let mut reading = Self { near_git: Some(BTreeSet::new()), ..Self::default() };
        let mut next = vec![Folder { path: PathBuf::new(), merged: true, opaque: false }];
        while let Some(folder) = next.pop() {
            let place = upper.path().join(&folder.path);
            reading
                .folder(upper, view, layer, folder, &mut next)
                .map_err(WorkspaceError::io("read the layer", &place))?;
        }
        // Depth first above; here parents come first, and the removal of a path before what replaces it.
        reading.items.sort_by(|a, b| (&a.path, a.act.rank()).cmp(&(&b.path, b.act.rank())));
        // It is only told: what cannot be read for it is told as removed and added.
        reading.renamed = renames::renamed(&reading, upper, view, layer).unwrap_or_default();
        Ok(reading)
    }
    fn folder(
        &mut self,
        upper: &Dir,
        view: &View,
        layer: Kind<'_>,
        folder: Folder,
        next: &mut Vec<Folder>,
    ) -> io::Result<()> {
        let here = open_listed(upper, &folder.path)?;
        let is_upper = matches!(layer, Kind::Upper);
        let mut opaque = false;
        if is_upper {
            let marks = Marks::on(here.as_fd())?;
            if marks.has("redirect")? {
                return Err(io::Error::other("the layer holds a redirected folder, which our mounts never make"));
            }
            opaque = folder.opaque || marks.is_opaque()?;
        }
        let below = match (folder.merged, is_upper && !opaque) {
            (false, _) => Below::Nothing,
            (true, true) => Below::named(view, &folder.path)?,
            (true, false) => Below::Listed(view.list(&folder.path)?),
        };
        let mut names = BTreeSet::new();
        let mut near_git = false;
        for entry in entries(&here)? {
            near_git |= GIT.iter().any(|name| entry.name.eq_ignore_ascii_case(name));
            let path = folder.path.join(&entry.name);
            names.insert(entry.name.clone());
            let stat = stat_in(&here, &entry.name)?;
            let lower = below.get(&entry.name)?;
            let lower = lower.as_ref();
            if let Kind::Copy(manifest) = layer
                && manifest.is_untouched(&path, &stat)
            {
                if kind(&stat) == FileType::Directory {
                    next.push(Folder { path, merged: lower.is_some(), opaque: false });
                }
                continue;
            }
            if is_upper && is_whiteout(&here, &entry.name, &stat)? {
                if let Some(lower) = lower {
                    self.delete(view, path, lower)?;
                }
                continue;
            }
            if path.as_os_str().len() > LONGEST {
                self.left_out.push((path, "its path is longer than the kernel takes".into()));
                continue;
            }
            readable(&here, &entry.name, &stat)?;
            match kind(&stat) {
                FileType::Directory => {
                    let copied_up = || {
                        let folder = open_beneath(here.as_fd(), Path::new(&entry.name), FOLDER, Mode::empty())?;
                        Ok(is_upper && Marks::on(folder.as_fd())?.has("origin")?)
                    };
                    let merged = self.directory(view, &path, &stat, lower, copied_up)?;
                    next.push(Folder { path, merged, opaque });
                }
                FileType::RegularFile | FileType::Symlink => {
                    self.file(Entry { here: &here, name: &entry.name, stat, is_upper }, view, path, lower)?;
                }
                other => {
                    let reason = format!("{} is never applied", FileKind::of(other));
                    // It took the place of what was there, and that is gone in the layer.
                    if let Some(lower) = lower {
                        self.delete(view, path.clone(), lower)?;
                    }
                    self.left_out.push((path, reason));
                }
            }
        }
        for name in GIT {
            // A folder whose names do not differ by their case is asked for each; one that may not be asked may have it.
            let name = name.as_ref();
            let found = if is_upper {
                below.get(name).map(|found| found.map(|found| found.stat))
            } else {
                unless_gone(stat_in(&here, name))
            };
            near_git |= match found {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => true,
                found => found?.is_some(),
            };
        }
        if near_git && let Some(known) = &mut self.near_git {
            known.insert(folder.path.clone());
        }
        for (name, lower) in below.listed().filter(|(name, _)| !names.contains(*name)) {
            let path = folder.path.join(name);
            let gone = match layer {
                Kind::Upper => opaque,
                Kind::Copy(manifest) => manifest.contains(&path),
            };
            if gone {
                self.delete(view, path, lower)?;
            }
        }
        Ok(())
    }
    /// Whether the folder lies over one below.
    fn directory(
        &mut self,
        view: &View,
        path: &Path,
        stat: &Stat,
        lower: Option<&Found>,
        copied_up: impl FnOnce() -> io::Result<bool>,
    ) -> io::Result<bool> {
        let mode = stat.st_mode & BITS;
        match lower {
            Some(found) if kind(&found.stat) == FileType::Directory => {
                if found.stat.st_mode & BITS != mode {
                    self.push(path.to_owned(), Act::Mode { mode }, Some(found.stat));
                }
                return Ok(true);
            }
            Some(found) => self.delete(view, path.to_owned(), found)?,
            None => {}
        }
        self.push(path.to_owned(), Act::MakeDir { mode, copied_up: copied_up()? }, None);
        Ok(false)
    }
    fn file(&mut self, entry: Entry<'_>, view: &View, path: PathBuf, lower: Option<&Found>) -> io::Result<()> {
        let stat = entry.stat;
        let regular = kind(&stat) == FileType::RegularFile;
        let mut copied_up = false;
        let file = if regular {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
            let fd = open_beneath(entry.here.as_fd(), Path::new(entry.name), flags, Mode::empty())?;
            if entry.is_upper {
                let marks = Marks::on(fd.as_fd())?;
                if marks.has("metacopy")? {
                    return Err(io::Error::other(
                        "the layer holds a file without its bytes, which our mounts never make",
                    ));
                }
                copied_up = marks.has("origin")?;
            }
            Some(File::from(fd))
        } else {
            None
        };
        match lower {
            None => self.push(path, Act::Put { upper: stat, copied_up }, None),
            Some(found) if kind(&found.stat) == FileType::Directory => {
                self.delete(view, path.clone(), found)?;
                self.push(path, Act::Put { upper: stat, copied_up }, None);
            }
            Some(found) => {
                let same = kind(&found.stat) == kind(&stat)
                    && match file {
                        Some(file) => same_bytes(&file, &stat, view, &path, found)?,
                        None => unless_gone(view.read_link(&path, found))?.is_some_and(|text| entry.links_to(&text)),
                    };
                if !same {
                    self.push(path, Act::Put { upper: stat, copied_up }, Some(found.stat));
                } else if regular && stat.st_mode & BITS != found.stat.st_mode & BITS {
                    self.push(path, Act::Mode { mode: stat.st_mode & BITS }, Some(found.stat));
                }
            }
        }
        Ok(())
    }
    fn delete(&mut self, view: &View, path: PathBuf, lower: &Found) -> io::Result<()> {
        let mut under = Vec::new();
        if kind(&lower.stat) == FileType::Directory {
            under = view.walk(&path)?.into_iter().map(|(path, found)| (path, found.stat)).collect();
        }
        self.push(path, Act::Delete { under }, Some(lower.stat));
        Ok(())
    }
    fn push(&mut self, path: PathBuf, act: Act, lower: Option<Stat>) {
        self.items.push(Item { path, act, lower });
    }
    /// One that was put together from elsewhere.
    pub(super) fn of(items: Vec<Item>, in_place: BTreeSet<PathBuf>) -> Self {
        Self { items, in_place: Some(in_place), ..Self::default() }
    }
    /// Without what holds only for a step's own layer, and at once: what was staged is looked at when it has been shown to a
    /// person, and its files carry marks of the layers that they came from.
    pub(super) fn without_hints(&mut self) {
        self.near_git = None;
        self.renamed.clear();
    }
    /// Whether a folder at or above a change can have to do with a git repository.
    pub(super) fn may_be_near_git(&self, folder: &Path) -> bool {
        self.near_git.as_ref().is_none_or(|known| known.contains(folder))
    }
    /// As it is told, with absolute paths.
    pub(super) fn change_set(&self, root: &Path) -> ChangeSet {
        let mut set = ChangeSet::default();
        let change = |path: &Path, kind, size| {
            let renamed_from = self.renamed.get(path).map(|from| root.join(from));
            Change { path: root.join(path), kind, size, renamed_from }
        };
        let deleted: BTreeSet<&Path> =
            self.items.iter().filter(|item| matches!(item.act, Act::Delete { .. })).map(|item| &*item.path).collect();
        let placed: BTreeSet<&Path> =
            self.items.iter().filter(|item| !matches!(item.act, Act::Delete { .. })).map(|item| &*item.path).collect();
        for item in &self.items {
            let replaces = item.lower.is_some() || deleted.contains(&*item.path);
            let kind = if replaces { ChangeKind::Modified } else { ChangeKind::Added };
            let (kind, size) = match &item.act {
                Act::MakeDir { .. } => (kind, 0),
                Act::Put { upper, .. } => (kind, u64::try_from(upper.st_size).unwrap_or(0)),
                Act::Mode { .. } => (ChangeKind::Mode, 0),
                Act::Delete { under } => {
                    for (path, _) in under {
                        if !placed.contains(&**path) {
                            set.changes.push(change(path, ChangeKind::Deleted, 0));
                        }
                    }
                    if placed.contains(&*item.path) {
                        continue;
                    }
                    (ChangeKind::Deleted, 0)
                }
            };
            set.changes.push(change(&item.path, kind, size));
        }
        let gone: BTreeSet<PathBuf> = set
            .changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Deleted)
            .map(|change| change.path.clone())
            .collect();
        for change in &mut set.changes {
            change.renamed_from = change.renamed_from.take().filter(|from| gone.contains(from));
        }
        let left_out = self.left_out.iter();
        set.left_out = left_out.map(|(path, why)| LeftOut { path: root.join(path), reason: why.clone() }).collect();
        set
    }
}

impl Act {
    pub(super) fn rank(&self) -> u8 {
        u8::from(!matches!(self, Self::Delete { .. }))
    }
}

/// A file or link of the layer, by the open folder that holds it.
struct Entry<'a> {
    here: &'a OwnedFd,
    name: &'a OsStr,
    stat: Stat,
    is_upper: bool,
}

impl Entry<'_> {
    fn links_to(&self, text: &Path) -> bool {
        rustix::fs::readlinkat(self.here, self.name, Vec::new())
            .is_ok_and(|own| own.as_bytes() == text.as_os_str().as_bytes())
    }
}

struct Folder {
    path: PathBuf,
    merged: bool,
    opaque: bool,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);

/// Opens a folder of the layer to be listed. Its time of reading would be written to the disk for each (relatime).
fn open_listed(upper: &Dir, path: &Path) -> io::Result<OwnedFd> {
    match open_beneath(upper.fd(), path, FOLDER | OFlags::NOATIME, Mode::empty()) {
        // Only its owner may ask for that.
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            open_beneath(upper.fd(), path, FOLDER, Mode::empty())
        }
        other => other,
    }
}

/// A program may have closed its own files; in a private layer that changes nothing but the way to read them.
fn readable(folder: &OwnedFd, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let wanted = match kind(stat) {
        FileType::Directory => 0o700,
        FileType::RegularFile => 0o400,
        _ => return Ok(()),
    };
    if stat.st_mode & wanted != wanted && !agentic_sandbox::reserves_users() {
        rustix::fs::chmodat(folder, name, Mode::from(stat.st_mode & 0o7777 | wanted), AtFlags::empty())?;
    }
    Ok(())
}

fn same_bytes(file: &File, stat: &Stat, view: &View, path: &Path, found: &Found) -> io::Result<bool> {
    if stat.st_size != found.stat.st_size {
        return Ok(false);
    }
    let below = match view.open(path, found) {
        // What may not be read cannot have been copied up, so this is another file; what vanished just now is
        // different too, and the check before the change will say so.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(false);
        }
        other => other?,
    };
    if attributes::travelling(file)? != attributes::travelling(&below)? {
        return Ok(false);
    }
    let (mut one, mut other) =
        (io::BufReader::with_capacity(1 << 16, file), io::BufReader::with_capacity(1 << 16, below));
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let (read_a, read_b) = (fill(&mut one, &mut a)?, fill(&mut other, &mut b)?);
        if a[..read_a] != b[..read_b] {
            return Ok(false);
        }
        if read_a == 0 {
            return Ok(true);
        }
    }
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether `path` is `folder` or lies beneath it, by whole names.
pub(super) fn beneath(path: &Path, folder: &Path) -> bool {
    path.as_os_str().as_bytes() == folder.as_os_str().as_bytes() || path.starts_with(folder)
}
