//! Puts what one layer did into the upper that holds what all steps of a staged run did.
//!
//! The upper speaks overlayfs's language: a file hides the one below, a character device 0:0 hides a name, a folder is one
//! with the folder below. A removed folder that is made again hides each of the names that it had, so no mark is needed.
//! Files are linked rather than copied; the layer they come from is dropped right after.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use crate::workspace::attributes;
use crate::workspace::commit::{Op, Own};
use crate::workspace::copy::{copy_bytes, set_times, stat_now};
use crate::workspace::path::{Dir, entries, new_file};
use crate::workspace::reading::BITS;
use crate::workspace::resolve::open_beneath;
use crate::workspace::stamp::Identity;
use crate::workspace::tree;
use crate::workspace::view::{View, is_whiteout, kind, lookup, open_dir};

/// One layer's plan, on its way into the upper.
pub(super) struct Merge<'a> {
    pub(super) upper: &'a Dir,
    /// The workspace root, which is only looked at.
    pub(super) folder: &'a Dir,
    /// Where the bytes are.
    pub(super) layer: &'a Dir,
    /// Paths of the upper that lay over something in the folder when they came.
    pub(super) over: &'a mut HashSet<PathBuf>,
}

/// What is done when all names stand.
#[derive(Default)]
struct Late {
    made: Vec<(PathBuf, u32, Stat)>,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Merge<'_> {
    /// Does all of it, and tells `own` what is ours. After an error the upper is of no use.
    pub(super) fn run(mut self, ops: &[Op], own: &mut Own) -> io::Result<()> {
        let mut late = Late::default();
        for op in ops {
            self.op(op, &mut late)?;
        }
        for (path, mode, times) in late.made.iter().rev() {
            let made = open_dir(self.upper, path)?;
            set_times(&made, times)?;
            rustix::fs::fchmod(&made, Mode::from(*mode))?;
        }
        // As they are now: a further link changes a file's ctime, a new name its folder's.
        for path in &late.files {
            if let Some(stat) = lookup(self.upper, path)? {
                own.file(self.folder.path().join(path), Identity::of(&stat));
            }
        }
        for path in &late.folders {
            if let Some(stat) = lookup(self.upper, path)? {
                own.folder(absolute(self.folder, path), &stat);
            }
        }
        Ok(())
    }
    fn op(&mut self, op: &Op, late: &mut Late) -> io::Result<()> {
        match op {
            Op::MakeDir { path, mode, times } => self.make_dir(path, *mode, times, late),
            Op::Put { path, .. } => self.put(path, late),
            Op::Rewrite { path, over, names, .. } => {
                let others = self.others(path, over, names)?;
                self.put(path, late)?;
                others.iter().try_for_each(|name| self.link(path, name, late))
            }
            Op::Mode { path, mode, over, .. } if kind(over) == FileType::Directory => {
                self.ensure_dir(path, late)?;
                rustix::fs::fchmod(open_dir(self.upper, path)?, Mode::from(*mode))?;
                late.folders.insert(path.clone());
                Ok(())
            }
            Op::Mode { path, mode, over, names } => {
                let others = self.others(path, over, names)?;
                let here = lookup(self.upper, path)?;
                if here.is_none_or(|stat| kind(&stat) != FileType::RegularFile) {
                    // The layer has it with its bytes, which are those below.
                    self.put(path, late)?;
                    others.iter().try_for_each(|name| self.link(path, name, late))?;
                }
                let (folder, name) = self.parent(path)?;
                rustix::fs::chmodat(&folder.fd, name, Mode::from(*mode), AtFlags::empty())?;
                late.files.insert(path.clone());
                late.files.extend(others);
                Ok(())
            }
            Op::Delete { path, .. } => self.delete(path, late),
        }
    }
    /// The other names that show this very file now.
    fn others(&self, path: &Path, over: &Stat, names: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
        let view = View { layers: vec![self.upper.clone()], folder: self.folder.clone() };
        let mut others = Vec::new();
        for name in names.iter().filter(|name| *name != path) {
            let found = view.find(name)?.map(|found| (found.stat.st_dev, found.stat.st_ino));
            if found == Some((over.st_dev, over.st_ino)) {
                others.push(name.clone());
            }
        }
        Ok(others)
    }
    fn make_dir(&mut self, path: &Path, mode: u32, times: &Stat, late: &mut Late) -> io::Result<()> {
        self.ensure_dir(above(path), late)?;
        self.note(path)?;
        let (folder, name) = self.parent(path)?;
        clear(&folder.fd, name)?;
        match rustix::fs::mkdirat(&folder.fd, name, Mode::from(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.give(&folder.fd, name)?;
        let made = open_dir(self.upper, path)?;
        // What the folder below holds was removed with it.
        if lookup(self.folder, path)?.is_some_and(|stat| kind(&stat) == FileType::Directory) {
            for entry in entries(&open_dir(self.folder, path)?)? {
                if stat_now(&made, &entry.name)?.is_none() {
                    self.hide(&made, &entry.name)?;
                }
            }
        }
        late.made.push((path.to_owned(), mode, *times));
        late.folders.extend([path.to_owned(), above(path).to_owned()]);
        Ok(())
    }
    fn put(&mut self, path: &Path, late: &mut Late) -> io::Result<()> {
        self.ensure_dir(above(path), late)?;
        self.note(path)?;
        let (to, name) = self.parent(path)?;
        clear(&to.fd, name)?;
        let from = open_dir(self.layer, above(path))?;
        match rustix::fs::linkat(&from, name, &to.fd, name, AtFlags::empty()) {
            Ok(()) => {}
            // Another file system, too many names, or none but the owner may link.
            Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {
                self.copy(path, &to.fd, name)?;
            }
            Err(errno) => return Err(errno.into()),
        }
        late.files.insert(path.to_owned());
        late.folders.insert(above(path).to_owned());
        Ok(())
    }
    /// Gives a file of the upper a further name.
    fn link(&mut self, path: &Path, name: &Path, late: &mut Late) -> io::Result<()> {
        self.ensure_dir(above(name), late)?;
        self.note(name)?;
        let (from, old) = self.parent(path)?;
        // Both may lie in one folder, whose permission bits are given back only once.
        let to = open_dir(self.upper, above(name))?;
        let new = name.file_name().unwrap_or_default();
        clear(&to, new)?;
        rustix::fs::linkat(&from.fd, old, &to, new, AtFlags::empty())?;
        late.files.insert(name.to_owned());
        late.folders.insert(above(name).to_owned());
        Ok(())
    }
    fn delete(&mut self, path: &Path, late: &mut Late) -> io::Result<()> {
        tree::remove_beneath(self.upper, path)?;
        if lookup(self.folder, path)?.is_some() {
            self.ensure_dir(above(path), late)?;
            let (folder, name) = self.parent(path)?;
            self.hide(&folder.fd, name)?;
        }
        late.folders.insert(above(path).to_owned());
        Ok(())
    }
    fn copy(&self, path: &Path, to: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let stat = lookup(self.layer, path)?.ok_or(Errno::NOENT)?;
        if kind(&stat) == FileType::Symlink {
            rustix::fs::symlinkat(self.layer.read_link(path)?, to, name)?;
        } else {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
            let from = File::from(open_beneath(self.layer.fd(), path, flags, Mode::empty())?);
            let file = new_file(to, name, 0o600)?;
            copy_bytes(&from, &file)?;
            attributes::copy(&from, &file)?;
            rustix::fs::fchmod(&file, Mode::from(stat.st_mode & BITS))?;
            set_times(&file, &stat)?;
        }
        if agentic_sandbox::reserves_users() {
            owned(to, name, &stat)?;
        }
        Ok(())
    }
    /// Makes the folders that lead to `path`, and `path` itself, as they are below, where the upper has not got them.
    fn ensure_dir(&mut self, path: &Path, late: &mut Late) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|one| !one.as_os_str().is_empty()).collect();
        for folder in missing.into_iter().rev() {
            if lookup(self.upper, folder)?.is_some() {
                continue;
            }
            let below = lookup(self.folder, folder)?.ok_or(Errno::NOENT)?;
            let (parent, name) = self.parent(folder)?;
            rustix::fs::mkdirat(&parent.fd, name, Mode::from(0o700))?;
            if agentic_sandbox::reserves_users() {
                owned(&parent.fd, name, &below)?;
            }
            rustix::fs::fchmod(open_dir(self.upper, folder)?, Mode::from(below.st_mode & BITS))?;
            self.over.insert(folder.to_owned());
            late.folders.extend([folder.to_owned(), above(folder).to_owned()]);
        }
        Ok(())
    }
    fn note(&mut self, path: &Path) -> io::Result<()> {
        if lookup(self.folder, path)?.is_some() {
            self.over.insert(path.to_owned());
        }
        Ok(())
    }
    /// Hides a name of the folder below.
    fn hide(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => {}
            // Overlayfs takes no such device as a file of its own, and nothing is mounted over it either: only we read the mark.
            Err(Errno::PERM) => {
                let file = new_file(folder, name, 0o600)?;
                rustix::fs::fsetxattr(&file, "user.overlay.whiteout", b"y", XattrFlags::empty())?;
            }
            Err(errno) => return Err(errno.into()),
        }
        self.give(folder, name)
    }
    /// What root makes belongs to whom the folder belongs to: the layers above are mounted for them.
    fn give(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if !agentic_sandbox::reserves_users() {
            return Ok(());
        }
        owned(folder, name, &rustix::fs::fstat(self.folder.fd())?)
    }
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(Writable, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((Writable::open(self.upper, above(path))?, name))
    }
}

/// A folder that can be written to while it is open, whatever its owner said.
struct Writable {
    fd: OwnedFd,
    mode: Option<u32>,
}

impl Writable {
    fn open(dir: &Dir, path: &Path) -> io::Result<Self> {
        let fd = open_dir(dir, path)?;
        let mode = rustix::fs::fstat(&fd)?.st_mode & 0o7777;
        let closed = mode & 0o300 != 0o300 && !rustix::process::geteuid().is_root();
        if closed {
            rustix::fs::fchmod(&fd, Mode::from(mode | 0o700))?;
        }
        Ok(Self { fd, mode: closed.then_some(mode) })
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        if let Some(mode) = self.mode {
            // It had these bits a moment ago, and is ours.
            let _ = rustix::fs::fchmod(&self.fd, Mode::from(mode));
        }
    }
}

fn above(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Joining an empty path would add a slash.
fn absolute(folder: &Dir, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { folder.path().to_owned() } else { folder.path().join(path) }
}

/// Takes a file or a hidden name away; a folder stays.
fn clear(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match stat_now(folder, name)? {
        Some(stat) if kind(&stat) != FileType::Directory || is_whiteout(folder, name, &stat)? => {
            Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
        }
        _ => Ok(()),
    }
}

fn owned(folder: &OwnedFd, name: &OsStr, like: &Stat) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
    Ok(rustix::fs::chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}
