//! Writes what goes back into the folders of a layer, from the store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::fs::{Timespec, Timestamps};

use super::record::{State, Time};
use super::restore::{Wanted, Way};
use crate::workspace::attributes;
use crate::workspace::error::WorkspaceError;
use crate::workspace::path::Dir;
use crate::workspace::reading::Act;
use crate::workspace::store::Store;
use crate::workspace::tree::make_private;
use crate::workspace::view::lookup;

impl Way {
    /// Writes what is wanted into the folders of a layer, one a root, and completes the readings with what they hold.
    pub(in crate::workspace) fn stage(&mut self, folders: &[PathBuf], store: &Store) -> Result<(), WorkspaceError> {
        for ((root, reading), folder) in self.readings.iter_mut().zip(folders) {
            let mut modes = Vec::new();
            let mut names: BTreeMap<(u64, u64), (PathBuf, &State)> = BTreeMap::new();
            for Wanted { path, state, inode, .. } in self.wanted.iter().filter(|wanted| wanted.root == *root) {
                let place = folder.join(path);
                let failed = || WorkspaceError::io::<io::Error>("write what was kept to", &place);
                make_private(place.parent().unwrap_or(folder)).map_err(failed())?;
                match state {
                    State::Folder { mode } => {
                        make_private(&place).map_err(failed())?;
                        modes.push((place.clone(), *mode));
                    }
                    State::Symlink { target } => std::os::unix::fs::symlink(target, &place).map_err(failed())?,
                    State::File { hash: Some(hash), mode, mtime, .. } => {
                        // Names of one file are names of one file again.
                        if let Some((first, same)) = inode.and_then(|inode| names.get(&inode))
                            && *same == state
                        {
                            fs::hard_link(first, &place).map_err(failed())?;
                            continue;
                        }
                        names.extend(inode.map(|inode| (inode, (place.clone(), state))));
                        let file = File::options().write(true).read(true).create_new(true).open(&place);
                        let mut file = Sparse::over(file.map_err(failed())?);
                        store.copy(hash, &mut file)?;
                        let file = file.end().map_err(failed())?;
                        let finish = || -> io::Result<()> {
                            attributes::set(&state.attributes(), &file)?;
                            file.set_permissions(fs::Permissions::from_mode(*mode & 0o1777 | 0o600))?;
                            Ok(rustix::fs::futimens(&file, &times(*mtime))?)
                        };
                        finish().map_err(failed())?;
                    }
                    State::File { .. } | State::Lost { .. } => {}
                }
            }
            for (place, mode) in modes.into_iter().rev() {
                let set = fs::set_permissions(&place, fs::Permissions::from_mode(mode & 0o1777 | 0o700));
                set.map_err(WorkspaceError::io("set the mode of", &place))?;
            }
            let layer = Dir::open_root(folder)?;
            for item in &mut reading.items {
                if let Act::Put { upper, .. } = &mut item.act {
                    let failed = WorkspaceError::io("look at", &folder.join(&item.path));
                    let staged = lookup(&layer, &item.path).map_err(failed)?;
                    if let Some(mut staged) = staged {
                        staged.st_mode = staged.st_mode & !0o7777 | upper.st_mode & 0o7777;
                        *upper = staged;
                    }
                }
            }
        }
        Ok(())
    }
}

fn times((seconds, nanoseconds): Time) -> Timestamps {
    let at = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    Timestamps { last_access: at, last_modification: at }
}

/// Writes bytes to a file and leaves holes where they are zero.
struct Sparse {
    file: File,
    size: u64,
}

/// A hole is at least this long.
const HOLE: usize = 64 << 10;

impl Sparse {
    fn over(file: File) -> Self {
        Self { file, size: 0 }
    }
    fn end(self) -> io::Result<File> {
        self.file.set_len(self.size)?;
        Ok(self.file)
    }
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.chunks(HOLE) {
            if piece.len() == HOLE && piece.iter().all(|byte| *byte == 0) {
                self.file.seek_relative(HOLE as i64)?;
            } else {
                self.file.write_all(piece)?;
            }
            self.size += piece.len() as u64;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
