//! From a path as it was given to a path without `.`, `..` or links, beneath a folder held by descriptor.
//!
//! The kernel would follow in-root links by itself (`RESOLVE_BENEATH`), but a write must know the very folder
//! and name it ends at, so links are read here one by one and the result is opened with `RESOLVE_NO_SYMLINKS`:
//! a link that is swapped in between is refused, not followed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// As many links as the kernel follows in one lookup.
const MOST_LINKS: usize = 40;

/// Opens `path` beneath `root` without following any link. An empty path is the root itself.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    open_with(root, path, flags, mode, ResolveFlags::NO_SYMLINKS)
}

/// As [`open_beneath`], and refuses to cross into another mount: the last step before a write.
pub(super) fn open_for_write(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    open_with(root, path, flags, mode, ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV)
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    further: ResolveFlags,
) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | further;
    // openat2 takes hardly any flag beside O_PATH, which opens nothing anyway.
    let flags = if flags.contains(OFlags::PATH) { flags } else { flags | OFlags::NOCTTY } | OFlags::CLOEXEC;
    // EAGAIN: a rename somewhere raced with the lookup. The kernel asks to try again; a bound keeps it finite.
    for _ in 0..64 {
        match rustix::fs::openat2(root, path, flags, mode, resolve) {
            Err(Errno::AGAIN) if !flags.contains(OFlags::CREATE) => {}
            Err(errno) => return Err(outside(errno)),
            Ok(fd) => return Ok(fd),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "the folder is being renamed all the time, or the file is leased"))
}

/// What the kernel says about a way out, in the word that callers test for.
fn outside(errno: Errno) -> io::Error {
    match errno {
        Errno::XDEV => denied("leads out of the workspace root or into another mount"),
        Errno::LOOP => denied("is or passes through a symbolic link that may not be followed here"),
        other => other.into(),
    }
}

pub(super) fn denied(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// What [`resolve`] found.
#[derive(Debug)]
pub(super) struct Resolved {
    /// Relative to the root; only ordinary names. Empty for the root itself.
    pub(super) path: PathBuf,
    /// Whether something is there.
    pub(super) exists: bool,
}

impl Resolved {
    /// The folder and the name in it; `None` for the root itself.
    pub(super) fn split(&self) -> Option<(&Path, &OsStr)> {
        Some((self.path.parent()?, self.path.file_name()?))
    }
}

/// Follows every link of `path` beneath `root`, the last one too when `follow_last`. Only the last name may be
/// missing; the answer then is where it would be created.
pub(super) fn resolve(root: BorrowedFd<'_>, path: &Path, follow_last: bool) -> io::Result<Resolved> {
    let mut ahead = names(path)?;
    if let Some(quick) = without_links(root, &ahead, follow_last)? {
        return Ok(quick);
    }
    ahead.reverse();
    let (mut done, mut links) = (PathBuf::new(), 0);
    let mut exists = true;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            if !done.pop() {
                return Err(denied("leads out of the workspace root"));
            }
            continue;
        }
        done.push(&name);
        let last = ahead.is_empty();
        let here = match open_beneath(root, &done, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Err(error) if last && error.kind() == io::ErrorKind::NotFound => {
                exists = false;
                break;
            }
            other => other?,
        };
        match FileType::from_raw_mode(rustix::fs::fstat(&here)?.st_mode) {
            FileType::Symlink if !last || follow_last => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(denied("passes through too many symbolic links"));
                }
                let target = rustix::fs::readlinkat(here.as_fd(), "", Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    return Err(denied("is or passes through an absolute symbolic link"));
                }
                done.pop();
                ahead.extend(names(&target)?.into_iter().rev());
            }
            FileType::Directory => {}
            _ if last => {}
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Ok(Resolved { path: done, exists })
}

/// The common case in one system call: no `..` and no link on the way.
fn without_links(root: BorrowedFd<'_>, names: &[OsString], follow_last: bool) -> io::Result<Option<Resolved>> {
    if names.iter().any(|name| name == "..") {
        return Ok(None);
    }
    let path: PathBuf = names.iter().collect();
    match open_beneath(root, &path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(fd) => {
            let link = || -> io::Result<bool> {
                Ok(FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Symlink)
            };
            Ok((!follow_last || !link()?).then_some(Resolved { path, exists: true }))
        }
        // A link on the way or a missing name: the long way says which.
        Err(_) => Ok(None),
    }
}

fn names(path: &Path) -> io::Result<Vec<OsString>> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path contains a NUL byte"));
    }
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => names.push("..".into()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => {
                return Err(denied("is absolute, and a path beneath a workspace root was expected"));
            }
        }
    }
    Ok(names)
}

/// `fstatat` without following, in `folder`.
pub(super) fn stat_in(folder: impl AsFd, name: &OsStr) -> io::Result<rustix::fs::Stat> {
    Ok(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
}
