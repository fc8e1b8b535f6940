//! The way back: what was done, undone in reverse; every byte that is met on the way is kept.

use std::ffi::OsStr;
use std::io::{self, Seek};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{Done, Original, Temp, Transaction, set_mode, split};
use crate::workspace::attributes;
use crate::workspace::copy::{set_times, stat_now};
use crate::workspace::error::WorkspaceError;
use crate::workspace::path::sync_folder;
use crate::workspace::resolve::open_for_write;

impl Transaction<'_> {
    /// Puts everything back, last first. Whatever somebody else did in between stays; it is named.
    pub(super) fn undo(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for done in std::mem::take(&mut self.done).into_iter().rev() {
            left.extend(self.undo_one(done).err());
        }
        for ((part, _), temp) in std::mem::take(&mut self.staged) {
            let outcome = self.unlink_temp(part, &temp);
            left.extend(outcome.err());
        }
        for (part, path) in self.touched.keys().cloned().collect::<Vec<_>>() {
            if let Ok(open) = self.folder(part, &path) {
                // What is not durable now is what was there before, or a temporary name.
                let _ = sync_folder(&open);
            }
        }
        left
    }
    fn undo_one(&mut self, done: Done) -> Result<(), String> {
        match done {
            Done::Made { part, path, .. } => {
                let (folder, name) = split(&path);
                self.folders.remove(&(part, path.clone()));
                let said = |error: io::Error| format!("{} stays: {error}", self.absolute(part, &path).display());
                let open = self.parts[part].root;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let open = open_for_write(open.fd(), folder, flags, Mode::empty()).map_err(said)?;
                match rustix::fs::unlinkat(open, name, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(errno) => Err(said(errno.into())),
                }
            }
            Done::Placed { part, path, temp } => {
                let outcome = self.rename(part, &path, &temp, RenameFlags::NOREPLACE);
                outcome.map_err(|error| format!("{} stays: {error}", self.absolute(part, &path).display()))?;
                self.dispose(part, &path, &temp)
            }
            Done::Exchanged { part, path, temp, .. } => {
                let aside = self.absolute(part, &temp.folder.join(&temp.name));
                let whole = self.absolute(part, &path);
                match self.rename(part, &path, &temp, RenameFlags::EXCHANGE) {
                    Ok(()) => self.dispose(part, &path, &temp),
                    // Somebody removed the new file: the original goes where it was.
                    Err(Errno::NOENT) => self.rename_from(part, &temp.folder, &temp.name, &path).map_err(|error| {
                        format!("the original of {} is {}: {error}", whole.display(), aside.display())
                    }),
                    Err(error) => Err(format!("the original of {} is {}: {error}", whole.display(), aside.display())),
                }
            }
            Done::MovedAside { part, path, name, .. } => {
                let folder = split(&path).0;
                let aside = self.absolute(part, &folder.join(&name));
                let whole = self.absolute(part, &path);
                self.rename_from(part, folder, &name, &path)
                    .map_err(|error| format!("the original of {} is {}: {error}", whole.display(), aside.display()))
            }
            Done::Mode { file, mode, path } => set_mode(&file, mode)
                .map_err(|error| format!("the mode of {} is not {mode:o} again: {error}", path.display())),
            Done::Rewrote { mut file, original: Original { bytes, attributes, stat }, path, written } => {
                let now = rustix::fs::fstat(&file);
                if let (Some(written), Ok(now)) = (written, now)
                    && !written.is_same_content(&now)
                {
                    return Err(format!(
                        "{} was written to by somebody else and stays; what was there before is store entry {bytes}",
                        path.display()
                    ));
                }
                let outcome = (|| {
                    file.set_len(0).map_err(WorkspaceError::io("empty", &path))?;
                    file.rewind().map_err(WorkspaceError::io("rewind", &path))?;
                    self.store.copy(&bytes, &mut file)?;
                    attributes::set(&attributes, &file).map_err(WorkspaceError::io("set the attributes of", &path))?;
                    rustix::fs::fchmod(&file, Mode::from(stat.st_mode & 0o7777))
                        .map_err(WorkspaceError::io("set the mode of", &path))?;
                    set_times(&file, &stat).map_err(WorkspaceError::io("set the times of", &path))?;
                    file.sync_all().map_err(WorkspaceError::io("sync", &path))
                })();
                outcome.map_err(|error| format!("the original of {} is store entry {bytes}: {error}", path.display()))
            }
        }
    }
    fn rename(&mut self, part: usize, path: &Path, temp: &Temp, flags: RenameFlags) -> Result<(), Errno> {
        let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let (folder, name) = split(path);
        let (open, aside) =
            (self.folder(part, folder).map_err(errno)?, self.folder(part, &temp.folder).map_err(errno)?);
        rustix::fs::renameat_with(&*open, name, &*aside, &temp.name, flags)
    }
    fn rename_from(&mut self, part: usize, from: &Path, aside: &OsStr, path: &Path) -> Result<(), Errno> {
        let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let (folder, name) = split(path);
        let (open, from) = (self.folder(part, folder).map_err(errno)?, self.folder(part, from).map_err(errno)?);
        rustix::fs::renameat_with(&*from, aside, &*open, name, RenameFlags::NOREPLACE)
    }
    /// Removes what undoing brought back under the temporary name, if it is ours and untouched; else it goes
    /// where its owner put it, and what was there keeps the temporary name.
    fn dispose(&mut self, part: usize, path: &Path, temp: &Temp) -> Result<(), String> {
        let place = self.absolute(part, &temp.folder.join(&temp.name));
        let whole = self.absolute(part, path);
        let said = |error: io::Error| format!("{} stays: {error}", place.display());
        let open = self.folder(part, &temp.folder).map_err(said)?;
        let Some(now) = stat_now(&open, &temp.name).map_err(said)? else { return Ok(()) };
        if temp.identity.is_same_content(&now) {
            return rustix::fs::unlinkat(&*open, &temp.name, AtFlags::empty()).map_err(|errno| said(errno.into()));
        }
        let back = match self.rename(part, path, temp, RenameFlags::EXCHANGE) {
            Err(Errno::NOENT) => self.rename_from(part, &temp.folder, &temp.name, path),
            other => other,
        };
        Err(match back {
            Ok(()) => format!(
                "{} was changed once more and stays; what was there before, if anything, is {}",
                whole.display(),
                place.display()
            ),
            Err(errno) => format!("{} holds what somebody wrote to {}: {errno}", place.display(), whole.display()),
        })
    }
    fn unlink_temp(&mut self, part: usize, temp: &Temp) -> Result<(), String> {
        let place = self.absolute(part, &temp.folder.join(&temp.name));
        let outcome = self.folder(part, &temp.folder).and_then(|open| {
            match rustix::fs::unlinkat(&*open, &temp.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        });
        outcome.map_err(|error| format!("{} stays: {error}", place.display()))
    }
}
