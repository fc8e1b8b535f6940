//! The copy backend: a private copy of the folder, for hosts and file systems without an overlay.
//!
//! Main type: [`Manifest`]: what every path was when it was copied, so that changes are found by comparing and
//! nothing is read twice. Bytes are shared with the original where the file system can (FICLONE).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::attributes;
use super::error::WorkspaceError;
use super::path::Dir;
use super::resolve::{open_for_write, stat_in};
use super::stamp::{Identity, Stamp};
use super::view::{View, kind, lookup, open_dir, unless_gone};

/// How much the copy backend copies at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyLimits {
    /// Bytes of all files together. Default 2 GiB.
    pub bytes: u64,
    /// Files, folders and links together. Default 200,000.
    pub entries: u64,
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self { bytes: 2 << 30, entries: 200_000 }
    }
}

/// What was copied: the original of every path, and the copy as it was made.
#[derive(Debug)]
pub(super) struct Manifest {
    since: Stamp,
    /// What was taken out of the copy again: hidden from the step, so neither copied nor deleted.
    left_out: Mutex<Vec<PathBuf>>,
    entries: HashMap<PathBuf, (Identity, Identity)>,
}

impl Manifest {
    /// As if `path` had not been copied.
    pub(super) fn leave_out(&self, path: &Path) {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
    }
    fn is_left_out(&self, path: &Path) -> bool {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.iter().any(|hidden| super::reading::beneath(path, hidden))
    }
    /// The original of `path` as it was copied.
    pub(super) fn original(&self, path: &Path) -> Option<&Identity> {
        if self.is_left_out(path) {
            return None;
        }
        self.entries.get(path).map(|(original, _)| original)
    }
    /// Whether `now` is the original as it was copied, and was not being changed just then.
    pub(super) fn is_original(&self, path: &Path, now: &Stat) -> bool {
        self.original(path) == Some(&Identity::of(now)) && Stamp::changed(now) < self.since
    }
    /// The copy of `path` as it was made.
    pub(super) fn copy(&self, path: &Path) -> Option<&Identity> {
        self.entries.get(path).map(|(_, copy)| copy)
    }
    pub(super) fn contains(&self, path: &Path) -> bool {
        self.entries.contains_key(path) && !self.is_left_out(path)
    }
    /// Whether the copy at `path` is still as it was made. A folder's entries are looked at in any case, so its
    /// permission bits are all that counts here.
    pub(super) fn is_untouched(&self, path: &Path, copy: &Stat) -> bool {
        self.entries.get(path).is_some_and(|(_, made)| match kind(copy) {
            FileType::Directory => made.is_same_folder(copy),
            _ => *made == Identity::of(copy),
        })
    }
}

/// Copies `view` into the empty folder `to`. Devices, FIFOs and sockets stay behind.
pub(super) fn copy_tree(
    view: &View,
    to: &Dir,
    since: Stamp,
    limits: CopyLimits,
    why: &str,
) -> Result<Manifest, WorkspaceError> {
    let root = view.folder.path();
    let mut manifest = Manifest { since, left_out: Mutex::default(), entries: HashMap::new() };
    let (mut bytes, mut entries) = (0_u64, 0_u64);
    let mut firsts: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut folders: Vec<(PathBuf, Stat)> = Vec::new();
    let too_large = |found: String, limit: String| WorkspaceError::TooLarge {
        path: root.to_owned(),
        found,
        limit,
        why: why.to_owned(),
    };
    let mut next = vec![PathBuf::new()];
    while let Some(folder) = next.pop() {
        let listed = view.list(&folder).map_err(WorkspaceError::io("list", &root.join(&folder)))?;
        let target = open_dir(to, &folder).map_err(WorkspaceError::io("open the copy of", &root.join(&folder)))?;
        for (name, found) in listed {
            let path = folder.join(&name);
            let failed = || WorkspaceError::io::<io::Error>("copy", &view.folder.path().join(&path));
            entries += 1;
            if entries > limits.entries {
                return Err(too_large(format!("{entries} entries"), format!("{} entries", limits.entries)));
            }
            match kind(&found.stat) {
                FileType::Directory => {
                    rustix::fs::mkdirat(&target, &name, Mode::from(0o700)).map_err(|e| failed()(e.into()))?;
                    folders.push((path.clone(), found.stat));
                    next.push(path);
                    continue;
                }
                FileType::Symlink => {
                    let Some(text) = unless_gone(view.read_link(&path, &found)).map_err(failed())? else { continue };
                    rustix::fs::symlinkat(&text, &target, &name).map_err(|e| failed()(e.into()))?;
                }
                FileType::RegularFile => {
                    let inode = (found.stat.st_dev, found.stat.st_ino);
                    if let Some(first) = firsts.get(&inode) {
                        rustix::fs::linkat(to.fd(), first, &target, &name, AtFlags::empty())
                            .map_err(|e| failed()(e.into()))?;
                    } else {
                        bytes += u64::try_from(found.stat.st_size).unwrap_or(0);
                        if bytes > limits.bytes {
                            let mib = |bytes: u64| format!("{} MB", bytes >> 20);
                            return Err(too_large(mib(bytes), mib(limits.bytes)));
                        }
                        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                        let copy = open_for_write(target.as_fd(), Path::new(&name), flags, Mode::from(0o600));
                        let copy = File::from(copy.map_err(failed())?);
                        // A file that we may not read, the step may not read either: it is there, empty and closed.
                        // One that vanished since it was listed is not there.
                        let from = match view.open(&path, &found) {
                            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
                            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                                rustix::fs::unlinkat(&target, &name, AtFlags::empty())
                                    .map_err(|e| failed()(e.into()))?;
                                continue;
                            }
                            other => Some(other.map_err(failed())?),
                        };
                        if let Some(from) = from {
                            copy_bytes(&from, &copy).map_err(failed())?;
                            attributes::copy(&from, &copy).map_err(failed())?;
                        }
                        rustix::fs::fchmod(&copy, Mode::from(found.stat.st_mode & 0o1777))
                            .map_err(|e| failed()(e.into()))?;
                        set_times(&copy, &found.stat).map_err(failed())?;
                        if found.stat.st_nlink > 1 {
                            firsts.insert(inode, path.clone());
                        }
                    }
                }
                _ => continue,
            }
            manifest.entries.insert(path.clone(), (Identity::of(&found.stat), Identity::of(&found.stat)));
        }
    }
    for (path, stat) in folders.iter().rev() {
        let failed = || WorkspaceError::io::<io::Error>("set the mode of the copy of", &root.join(path));
        let folder = open_dir(to, path).map_err(failed())?;
        rustix::fs::fchmod(&folder, Mode::from(stat.st_mode & 0o1777)).map_err(|e| failed()(e.into()))?;
        manifest.entries.insert(path.clone(), (Identity::of(stat), Identity::of(stat)));
    }
    // Links made to a file change its ctime, so the copies are looked at when all is done.
    for (path, (_, made)) in &mut manifest.entries {
        let found = lookup(to, path).map_err(WorkspaceError::io("look at the copy of", &root.join(path)))?;
        if let Some(found) = found {
            *made = Identity::of(&found);
        }
    }
    Ok(manifest)
}

/// Gives `to` the times of a file.
pub(super) fn set_times(to: impl AsFd, stat: &Stat) -> io::Result<()> {
    let at = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    let times = Timestamps {
        last_access: at(stat.st_atime, stat.st_atime_nsec),
        last_modification: at(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(to, &times)?)
}

/// Copies all bytes; holes stay holes, and the blocks are shared where the file system can.
pub(super) fn copy_bytes(from: &File, to: &File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let size = from.metadata()?.len();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            // A file system without holes.
            Err(Errno::INVAL) => at,
            Err(errno) => return Err(errno.into()),
        };
        let end = match rustix::fs::seek(from, SeekFrom::Hole(start)) {
            Ok(end) => end,
            Err(Errno::INVAL | Errno::NXIO) => size,
            Err(errno) => return Err(errno.into()),
        };
        copy_range(from, to, start, end.min(size))?;
        at = end;
    }
    to.set_len(size)
}

fn copy_range(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let (mut at, mut buffer) = (start, vec![0; usize::try_from((end - start).min(1 << 18)).unwrap_or(1 << 18)]);
    while at < end {
        let most = usize::try_from((end - at).min(buffer.len() as u64)).unwrap_or(buffer.len());
        match from.read_at(&mut buffer[..most], at) {
            Ok(0) => break,
            Ok(length) => {
                to.write_all_at(&buffer[..length], at)?;
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is at `name` in an open folder now; `None` when nothing is.
pub(super) fn stat_now(folder: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<Option<Stat>> {
    match stat_in(folder, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
