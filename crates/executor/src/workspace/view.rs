//! What lies below a layer: finished layers that wait to be applied, topmost first, and the folder itself.
//!
//! [`View`] answers as overlayfs would, without a mount: a whiteout hides, an opaque folder hides what is below
//! it. It is read when no mount is open on the folder, or to report before that.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes;
use super::path::{Dir, entries};
use super::resolve::{open_beneath, stat_in};

/// Folders below a layer, topmost first; the last one is the workspace root.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) layers: Vec<Dir>,
    pub(super) folder: Dir,
}

/// An entry of a view and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) stat: Stat,
    from: usize,
}

impl View {
    fn dir(&self, index: usize) -> &Dir {
        self.layers.get(index).unwrap_or(&self.folder)
    }
    /// What `rel` is, links not followed; `None` when nothing is there.
    pub(super) fn find(&self, rel: &Path) -> io::Result<Option<Found>> {
        for (from, layer) in self.layers.iter().enumerate() {
            match in_layer(layer, rel)? {
                InLayer::Here(stat) => return Ok(Some(Found { stat, from })),
                InLayer::Hidden => return Ok(None),
                InLayer::Below => {}
            }
        }
        Ok(lookup(&self.folder, rel)?.map(|stat| Found { stat, from: self.layers.len() }))
    }
    /// The entries of the merged folder `rel`.
    pub(super) fn list(&self, rel: &Path) -> io::Result<BTreeMap<OsString, Found>> {
        let mut merged: BTreeMap<OsString, Option<Found>> = BTreeMap::new();
        for from in 0..=self.layers.len() {
            let dir = self.dir(from);
            let is_layer = from < self.layers.len();
            let found = if is_layer {
                match in_layer(dir, rel)? {
                    InLayer::Here(stat) => Some(stat),
                    InLayer::Hidden => break,
                    InLayer::Below => None,
                }
            } else {
                lookup(dir, rel)?
            };
            let Some(stat) = found else { continue };
            if kind(&stat) != FileType::Directory {
                break;
            }
            // Other programs go on working in the folder: what vanishes between two looks is not there.
            let Some(open) = unless_gone(open_dir(dir, rel))? else { continue };
            for entry in entries(&open)? {
                if merged.contains_key(&entry.name) {
                    continue;
                }
                let Some(stat) = unless_gone(stat_in(&open, &entry.name))? else { continue };
                let whiteout = is_layer && is_whiteout(&open, &entry.name, &stat)?;
                merged.insert(entry.name, (!whiteout).then_some(Found { stat, from }));
            }
            if is_layer && (is_opaque(&open)? || ancestor_is_opaque(dir, rel)?) {
                break;
            }
        }
        Ok(merged.into_iter().filter_map(|(name, found)| Some((name, found?))).collect())
    }
    /// Everything beneath the merged folder `rel`, parents first, `rel` itself not included.
    pub(super) fn walk(&self, rel: &Path) -> io::Result<Vec<(PathBuf, Found)>> {
        let (mut all, mut next) = (Vec::new(), vec![rel.to_owned()]);
        while let Some(folder) = next.pop() {
            for (name, found) in self.list(&folder)? {
                let path = folder.join(name);
                if kind(&found.stat) == FileType::Directory {
                    next.push(path.clone());
                }
                all.push((path, found));
            }
        }
        Ok(all)
    }
    /// Opens a file of the view for reading, never blocking.
    pub(super) fn open(&self, rel: &Path, found: &Found) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        Ok(open_beneath(self.dir(found.from).fd(), rel, flags, Mode::empty())?.into())
    }
    /// The text of a link of the view.
    pub(super) fn read_link(&self, rel: &Path, found: &Found) -> io::Result<PathBuf> {
        self.dir(found.from).read_link(rel)
    }
}

/// What lies below one folder of a layer: asked name by name, or listed where the names that the layer has not got count too.
#[derive(Debug)]
pub(super) enum Below<'a> {
    /// Nothing: the layer's folder is its own.
    Nothing,
    /// All of it.
    Listed(BTreeMap<OsString, Found>),
    /// Whatever is asked for: a folder may have many more names than the layer touched.
    Named(&'a View, PathBuf, Option<OwnedFd>),
}

impl<'a> Below<'a> {
    /// Below the merged folder `rel`, to be asked name by name.
    pub(super) fn named(view: &'a View, rel: &Path) -> io::Result<Self> {
        let (there, only) = if view.layers.is_empty() {
            let only = found(view.folder.fd(), rel, OFlags::DIRECTORY)?;
            (only.is_some(), only)
        } else {
            (view.find(rel)?.is_some_and(|found| kind(&found.stat) == FileType::Directory), None)
        };
        // Somebody may have put something else in its place.
        Ok(if there { Self::Named(view, rel.to_owned(), only) } else { Self::Nothing })
    }
    pub(super) fn get(&self, name: &OsStr) -> io::Result<Option<Found>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Listed(all) => Ok(all.get(name).cloned()),
            Self::Named(_, _, Some(open)) => Ok(unless_gone(stat_in(open, name))?.map(|stat| Found { stat, from: 0 })),
            Self::Named(view, rel, None) => view.find(&rel.join(name)),
        }
    }
    /// What was listed.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&OsString, &Found)> {
        let listed = if let Self::Listed(all) = self { Some(all) } else { None };
        listed.into_iter().flatten()
    }
}

/// `None` for what is not there any more, or has become something else.
pub(super) fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

enum InLayer {
    Here(Stat),
    Hidden,
    Below,
}

fn in_layer(layer: &Dir, rel: &Path) -> io::Result<InLayer> {
    let (mut upto, mut opaque) = (PathBuf::new(), false);
    let count = rel.components().count();
    for (index, name) in rel.components().enumerate() {
        let folder = open_dir(layer, &upto)?;
        opaque |= is_opaque(&folder)?;
        let name = name.as_os_str();
        let stat = match stat_in(&folder, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if opaque { InLayer::Hidden } else { InLayer::Below });
            }
            other => other?,
        };
        if is_whiteout(&folder, name, &stat)? {
            return Ok(InLayer::Hidden);
        }
        if index + 1 == count {
            return Ok(InLayer::Here(stat));
        }
        if kind(&stat) != FileType::Directory {
            return Ok(InLayer::Hidden);
        }
        upto.push(name);
    }
    Ok(InLayer::Here(rustix::fs::fstat(layer.fd())?))
}

fn ancestor_is_opaque(layer: &Dir, rel: &Path) -> io::Result<bool> {
    for ancestor in rel.ancestors().skip(1) {
        if is_opaque(&open_dir(layer, ancestor)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `lstat` beneath a folder; `None` when nothing is there, or something else than a folder is on the way.
pub(super) fn lookup(dir: &Dir, rel: &Path) -> io::Result<Option<Stat>> {
    Ok(match found(dir.fd(), rel, OFlags::empty())? {
        Some(fd) => Some(rustix::fs::fstat(fd)?),
        None => None,
    })
}

/// What [`lookup`] looks at, by descriptor (`O_PATH`).
fn found(dir: BorrowedFd<'_>, rel: &Path, further: OFlags) -> io::Result<Option<OwnedFd>> {
    match open_beneath(dir, rel, OFlags::PATH | OFlags::NOFOLLOW | further, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            // A link on the way: what was a folder is none any more.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Ok(None),
            _ => Err(error),
        },
    }
}

pub(super) fn open_dir(dir: &Dir, rel: &Path) -> io::Result<OwnedFd> {
    open_beneath(dir.fd(), rel, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
}

/// A name that hides: a character device 0:0, or an empty file marked by an attribute (Linux 6.7).
pub(super) fn is_whiteout(folder: &OwnedFd, name: &OsStr, stat: &Stat) -> io::Result<bool> {
    match kind(stat) {
        FileType::CharacterDevice => Ok(stat.st_rdev == 0),
        FileType::RegularFile if stat.st_size == 0 => {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
            let file = match open_beneath(folder.as_fd(), Path::new(name), flags, Mode::empty()) {
                // The kernel makes its marks readable; a file that its owner closed is the program's own.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
                other => other?,
            };
            Marks::on(file.as_fd())?.has("whiteout")
        }
        _ => Ok(false),
    }
}

pub(super) fn is_opaque(folder: &OwnedFd) -> io::Result<bool> {
    Marks::on(folder.as_fd())?.is_opaque()
}

/// Overlayfs's own marks on a file of an upper, in either of its namespaces. Most files have none, and one call says so.
#[derive(Debug)]
pub(super) struct Marks<'f> {
    file: BorrowedFd<'f>,
    /// `None` for a file with more names of attributes than the kernel lists: then each is asked for.
    names: Option<Vec<OsString>>,
}

impl<'f> Marks<'f> {
    pub(super) fn on(file: BorrowedFd<'f>) -> io::Result<Self> {
        match attributes::names(file) {
            Err(error) if error.raw_os_error() == Some(Errno::TOOBIG.raw_os_error()) => Ok(Self { file, names: None }),
            names => Ok(Self { file, names: Some(names?) }),
        }
    }
    fn value(&self, mark: &str) -> io::Result<Option<Vec<u8>>> {
        for space in attributes::OVERLAY {
            let name = [space, mark.as_bytes()].concat();
            let may_be = self.names.as_ref().is_none_or(|names| names.iter().any(|known| known.as_bytes() == name));
            if may_be && let Some(value) = attributes::value(self.file, &name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
    pub(super) fn has(&self, mark: &str) -> io::Result<bool> {
        Ok(self.value(mark)?.is_some())
    }
    /// Whether a folder hides what lies below it.
    pub(super) fn is_opaque(&self) -> io::Result<bool> {
        Ok(self.value("opaque")?.is_some_and(|value| value == b"y"))
    }
}
