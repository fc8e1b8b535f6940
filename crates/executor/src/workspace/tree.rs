//! Whole folders of ours: made private, and removed however a program left them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::WorkspaceError;
use super::path::{FileKind, entries};
use super::resolve::stat_in;

/// Folders held open at once while removing; deeper ones are moved up first.
const DEEPEST: usize = 64;

/// Makes a folder with mode 0700 where it is missing, and refuses one that others can reach or own.
pub(super) fn private_folder(path: &Path) -> Result<(), WorkspaceError> {
    make_private(path).map_err(WorkspaceError::io("make the private folder", path))?;
    let found = std::fs::symlink_metadata(path).map_err(WorkspaceError::io("look at the private folder", path))?;
    if !found.is_dir() {
        return Err(WorkspaceError::root(path, "the private folder is not a folder"));
    }
    if found.mode() & 0o077 != 0 {
        let reason = format!("others can reach the private folder (mode {:04o}): chmod 700 it", found.mode() & 0o7777);
        return Err(WorkspaceError::root(path, reason));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(WorkspaceError::root(path, format!("the private folder belongs to uid {}", found.uid())));
    }
    Ok(())
}

/// A folder of root's that others may pass and not list, where it is missing; refused when it is anybody else's.
pub(super) fn passable_folder(path: &Path) -> Result<std::path::PathBuf, WorkspaceError> {
    let make = || match make_passable(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    make().map_err(WorkspaceError::io("make the folder of copies", path))?;
    let found = std::fs::symlink_metadata(path).map_err(WorkspaceError::io("look at the folder of copies", path))?;
    let owner = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != owner || found.mode() & 0o7066 != 0 {
        let reason = format!("it must be a folder of uid {owner} that others may only pass (mode 0711): remove it");
        return Err(WorkspaceError::root(path, reason));
    }
    Ok(path.to_owned())
}

pub(super) fn make_passable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    // Past the process's umask.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))
}

/// Where a layer's folder is kept aside: among the others, or, on another file system, beside itself.
pub(super) fn aside(folder: &Path, asides: &Path) -> std::path::PathBuf {
    let name = folder.file_name().unwrap_or_default();
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    if device(folder) == device(asides) { asides.join(name) } else { folder.with_extension("aside") }
}

/// A folder of ours that is removed in the end.
#[derive(Debug)]
pub(super) struct Place(pub(super) std::path::PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is swept with the layers.
        let _ = remove(&self.0);
    }
}

pub(super) fn make_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes the folder at `path` with all in it, also folders without any permission and deeper than any path.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL.into()) };
    let folder = rustix::fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    remove_in(&folder, name)
}

/// Removes what lies at `path` beneath a folder, if something does; no link is followed on the way.
pub(super) fn remove_beneath(folder: &super::path::Dir, path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Err(Errno::INVAL.into()) };
    let parent = match super::view::open_dir(folder, path.parent().unwrap_or(Path::new(""))) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        other => other?,
    };
    remove_in(&parent, name)
}

/// As [`remove`], by the name in an open folder.
pub(super) fn remove_in(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let mut whole = vec![name.to_owned()];
    while let Some(name) = whole.pop() {
        let Some(top) = open_or_unlink(folder, &name)? else { continue };
        let mut open: Vec<(OwnedFd, OsString)> = vec![(top, name)];
        while let Some((here, _)) = open.last() {
            let mut deeper = None;
            for entry in entries(here)? {
                if entry.kind != FileKind::Dir {
                    rustix::fs::unlinkat(here, &entry.name, AtFlags::empty())?;
                } else if open.len() >= DEEPEST {
                    let moved = OsString::from(format!(".agentic-{}.tmp", uuid::Uuid::now_v7().simple()));
                    // Moving a folder needs the right to write in it (its `..` changes).
                    drop(open_or_unlink(here, &entry.name)?);
                    rustix::fs::renameat(here, &entry.name, folder, &moved)?;
                    whole.push(moved);
                } else {
                    deeper = Some(entry.name);
                    break;
                }
            }
            match deeper {
                Some(name) => {
                    if let Some(next) = open_or_unlink(here, &name)? {
                        open.push((next, name));
                    }
                }
                None => {
                    let (_, name) = open.pop().unwrap_or_else(|| unreachable!("the loop holds one"));
                    let above = open.last().map_or(folder, |(above, _)| above);
                    rustix::fs::unlinkat(above, &name, AtFlags::REMOVEDIR)?;
                }
            }
        }
    }
    Ok(())
}

/// Opens a folder, giving ourselves the right to; anything else is unlinked at once.
fn open_or_unlink(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let stat = match stat_in(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
        return Ok(None);
    }
    if stat.st_mode & 0o700 != 0o700 {
        rustix::fs::chmodat(folder.as_fd(), name, Mode::from(0o700), AtFlags::empty())?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Some(rustix::fs::openat(folder, name, flags, Mode::empty())?))
}
