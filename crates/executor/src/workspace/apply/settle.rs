//! Phase 3: is everything that was displaced still what was checked, and is nobody writing into it?

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};

use super::{Done, Stop, Transaction, split};
use crate::workspace::commit::Op;
use crate::workspace::copy::{set_times, stat_now};
use crate::workspace::path::{FileKind, entries, sync_folder};
use crate::workspace::resolve::{open_beneath, open_for_write};
use crate::workspace::stamp::Identity;
use crate::workspace::store::MANY;
use crate::workspace::view::{kind, lookup};

/// How often a file that looks open for writing is looked at again, and how long is waited first; each wait is twice the
/// one before. Some 30 ms in all.
const LOOKS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(1);

/// Whether another program has the file open for writing; where nobody can say, it counts as closed. A program that is
/// being started holds a copy of every descriptor of its parent between fork and exec: that passes by itself.
pub(super) fn has_writer(file: &File) -> io::Result<bool> {
    for look in 0..LOOKS {
        if agentic_sandbox::has_writer(file)? != Some(true) {
            return Ok(false);
        }
        std::thread::sleep(FIRST_WAIT * 2_u32.pow(look));
    }
    Ok(agentic_sandbox::has_writer(file)? == Some(true))
}

impl Transaction<'_> {
    /// Whether everything that was displaced is still what was checked, with nobody writing into it.
    pub(super) fn verify(&mut self) -> Result<(), Stop> {
        let displaced: Vec<_> = (0..self.done.len()).collect();
        for index in displaced {
            match &self.done[index] {
                Done::Exchanged { part, path, temp, over } => {
                    let (part, path, temp, over) = (*part, path.clone(), temp.clone(), *over);
                    self.same_place(part, &path)?;
                    let open =
                        self.folder(part, &temp.folder).map_err(self.failed("open the folder of", part, &path))?;
                    self.unwritten(part, &path, &open, &temp.name, &over)?;
                }
                Done::Placed { part, path, .. } => {
                    let (part, path) = (*part, path.clone());
                    self.same_place(part, &path)?;
                }
                Done::MovedAside { part, path, name, under } => {
                    let (part, path, name, under) = (*part, path.clone(), name.clone(), under.clone());
                    let open =
                        self.folder(part, split(&path).0).map_err(self.failed("open the folder of", part, &path))?;
                    let over = self.parts[part].plan.ops.iter().find_map(|op| match op {
                        Op::Delete { path: deleted, over, .. } if *deleted == path => Some(*over),
                        _ => None,
                    });
                    match over {
                        Some(over) if kind(&over) == FileType::Directory => {
                            self.unwritten_tree(part, &path, &open, &name, &under)?;
                        }
                        Some(over) => self.unwritten(part, &path, &open, &name, &Identity::of(&over))?,
                        None => {}
                    }
                }
                Done::Made { .. } | Done::Mode { .. } | Done::Rewrote { .. } => {}
            }
        }
        Ok(())
    }
    /// Whether the folder we worked in is still found under its path.
    fn same_place(&mut self, part: usize, path: &Path) -> Result<(), Stop> {
        let (folder, _) = split(path);
        let open = self.folder(part, folder).map_err(self.failed("open the folder of", part, path))?;
        let ours = rustix::fs::fstat(&*open).map_err(self.failed("look at the folder of", part, path))?;
        let now = lookup(self.parts[part].root, folder);
        let now = now.map_err(self.failed("look at the folder of", part, path))?;
        if now.is_none_or(|now| !Identity::of(&ours).is_same_inode(&now)) {
            return Err(self.conflict(part, path, "its folder was moved meanwhile"));
        }
        Ok(())
    }
    fn unwritten(&self, part: usize, path: &Path, folder: &OwnedFd, name: &OsStr, over: &Identity) -> Result<(), Stop> {
        let changed = || self.conflict(part, path, "was written to while the step's change was applied");
        let now = stat_now(folder, name).map_err(self.failed("look at the original of", part, path))?;
        let Some(now) = now else { return Err(changed()) };
        // One name of a file that was written in place under another: it lives on there, with whatever is written to it.
        if self.stay.contains_key(&(now.st_dev, now.st_ino)) {
            return Ok(());
        }
        if kind(&now) == FileType::RegularFile {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
            match open_for_write(folder.as_fd(), Path::new(name), flags, Mode::empty()) {
                Ok(file) => {
                    if has_writer(&File::from(file)).map_err(self.failed("lease", part, path))? {
                        return Err(self.conflict(part, path, "is open for writing in another program"));
                    }
                }
                // Not ours to read, so not ours to lease; it is compared like any other.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(self.failed("open the original of", part, path)(error)),
            }
        }
        // After the lease: a writer that closed before it was asked for has left its mark.
        let now = stat_now(folder, name).map_err(self.failed("look at the original of", part, path))?;
        if now.is_none_or(|now| !over.is_same_content(&now)) { Err(changed()) } else { Ok(()) }
    }
    fn unwritten_tree(
        &self,
        part: usize,
        path: &Path,
        folder: &OwnedFd,
        name: &OsStr,
        under: &[(PathBuf, Identity, bool)],
    ) -> Result<(), Stop> {
        let expected: BTreeMap<&Path, &Identity> =
            under.iter().map(|(path, identity, _)| (&**path, identity)).collect();
        let mut next = vec![PathBuf::new()];
        while let Some(inner) = next.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let open = open_beneath(folder.as_fd(), &Path::new(name).join(&inner), flags, Mode::empty());
            let open = open.map_err(self.failed("open the removed", part, &path.join(&inner)))?;
            for entry in entries(&open).map_err(self.failed("list the removed", part, &path.join(&inner)))? {
                let rest = inner.join(&entry.name);
                let whole = path.join(&rest);
                let Some(identity) = expected.get(&*rest) else {
                    return Err(self.conflict(part, &whole, "was created meanwhile in a folder that the step removed"));
                };
                if entry.kind == FileKind::Dir {
                    next.push(rest);
                } else {
                    self.unwritten(part, &whole, &open, &entry.name, identity)?;
                }
            }
        }
        Ok(())
    }
    pub(super) fn finish_folders(&mut self) -> Result<(), Stop> {
        let mut made = Vec::new();
        for done in &self.done {
            if let Done::Made { part, path, mode, times } = done {
                made.push((*part, path.clone(), *mode, *times));
            }
        }
        let together = made.len() + self.touched.len() >= MANY;
        let mut systems: BTreeMap<u64, Rc<OwnedFd>> = BTreeMap::new();
        // Deepest first: a folder may end without the right to enter it.
        for (part, path, mode, times) in made.into_iter().rev() {
            let open = self.folder(part, &path).map_err(self.failed("open the new folder", part, &path))?;
            let outcome = (|| {
                let now = rustix::fs::fstat(&*open)?;
                if agentic_sandbox::reserves_users() {
                    let above = self.folder(part, split(&path).0)?;
                    let above = rustix::fs::fstat(&*above)?;
                    rustix::fs::fchown(&*open, Some(Uid::from_raw(above.st_uid)), Some(Gid::from_raw(above.st_gid)))?;
                }
                rustix::fs::fchmod(&*open, Mode::from(mode | now.st_mode & 0o2000))?;
                set_times(&*open, &times)?;
                if together {
                    systems.entry(now.st_dev).or_insert_with(|| open.clone());
                    return Ok(());
                }
                sync_folder(&open)
            })();
            outcome.map_err(self.failed("finish the new folder", part, &path))?;
        }
        for (part, path) in self.touched.keys().cloned().collect::<Vec<_>>() {
            let open = self.folder(part, &path).map_err(self.failed("open the folder", part, &path))?;
            let synced = match rustix::fs::fstat(&*open) {
                Ok(now) if together => {
                    systems.entry(now.st_dev).or_insert(open);
                    Ok(())
                }
                _ => sync_folder(&open),
            };
            synced.map_err(self.failed("sync the folder", part, &path))?;
            let absolute = self.absolute(part, &path);
            self.applied.folders.insert(absolute);
        }
        for open in systems.values() {
            rustix::fs::syncfs(&**open).map_err(self.failed("sync the folders in", 0, Path::new("")))?;
        }
        Ok(())
    }
}
