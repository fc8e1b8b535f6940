//! Phase 1: new content is written beside its target under a hidden name, and synced. No name is changed yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};

use super::{Stop, Temp, Transaction, split};
use crate::workspace::attributes;
use crate::workspace::commit::Op;
use crate::workspace::copy::{copy_bytes, set_times};
use crate::workspace::path::new_file;
use crate::workspace::reading::BITS;
use crate::workspace::resolve::{open_beneath, stat_in};
use crate::workspace::stamp::Identity;
use crate::workspace::store::MANY;
use crate::workspace::view::kind;

impl Transaction<'_> {
    pub(super) fn stage(&mut self, part: usize) -> Result<(), Stop> {
        let plan = self.parts[part].plan;
        let new: BTreeSet<&Path> = plan
            .ops
            .iter()
            .filter_map(|op| if let Op::MakeDir { path, .. } = op { Some(&**path) } else { None })
            .collect();
        let mut firsts: HashMap<(u64, u64), Temp> = HashMap::new();
        let is_file = |op: &&Op| matches!(op, Op::Put { upper, .. } if kind(upper) == FileType::RegularFile);
        // A sync for each of thousands of files would take seconds.
        let together = plan.ops.iter().filter(is_file).count() >= MANY;
        let mut systems: BTreeMap<u64, Rc<OwnedFd>> = BTreeMap::new();
        for op in &plan.ops {
            let Op::Put { path, upper, over } = op else { continue };
            // A new folder does not exist yet: its content waits in the nearest one that does.
            let (mut folder, _) = split(path);
            while new.contains(folder) {
                folder = split(folder).0;
            }
            self.open_folder(part, folder, path)?;
            let first = firsts.get(&(upper.st_dev, upper.st_ino)).cloned();
            let temp = self
                .stage_one(part, path, (upper, over.as_ref()), folder, first.as_ref(), !together)
                .map_err(self.failed("write the new content of", part, path))?;
            if upper.st_nlink > 1 && kind(upper) == FileType::RegularFile {
                firsts.entry((upper.st_dev, upper.st_ino)).or_insert_with(|| temp.clone());
            }
            if together && !systems.contains_key(&temp.identity.device()) {
                systems.insert(temp.identity.device(), self.open_folder(part, folder, path)?);
            }
            self.staged.insert((part, path.clone()), temp);
        }
        for open in systems.values() {
            rustix::fs::syncfs(&**open).map_err(self.failed("sync the new content in", part, Path::new("")))?;
        }
        Ok(())
    }
    fn stage_one(
        &mut self,
        part: usize,
        path: &Path,
        (upper, over): (&Stat, Option<&Stat>),
        folder: &Path,
        first: Option<&Temp>,
        sync: bool,
    ) -> io::Result<Temp> {
        let open = self.folder(part, folder)?;
        let layer = self.parts[part].layer;
        if let Some(first) = first {
            let name = self.names.draw();
            let from = self.folder(part, &first.folder)?;
            rustix::fs::linkat(&*from, &first.name, &*open, &name, AtFlags::empty())?;
            return Ok(Temp { folder: folder.to_owned(), name, identity: first.identity });
        }
        if kind(upper) == FileType::Symlink {
            let name = self.names.draw();
            rustix::fs::symlinkat(layer.read_link(path)?, &*open, &name)?;
            let stat = stat_in(&*open, &name)?;
            return Ok(Temp { folder: folder.to_owned(), name, identity: Identity::of(&stat) });
        }
        let name = self.names.draw();
        let file = new_file(&open, &name, 0o600)?;
        let filled = self.fill(part, path, upper, over, &open, &file);
        let outcome = filled.and_then(|stat| if sync { file.sync_all().map(|()| stat) } else { Ok(stat) });
        match outcome {
            Ok(stat) => Ok(Temp { folder: folder.to_owned(), name, identity: Identity::of(&stat) }),
            Err(error) => {
                let _ = rustix::fs::unlinkat(&*open, &name, AtFlags::empty());
                Err(error)
            }
        }
    }
    fn fill(
        &self,
        part: usize,
        path: &Path,
        upper: &Stat,
        over: Option<&Stat>,
        folder: &OwnedFd,
        file: &File,
    ) -> io::Result<Stat> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let from = File::from(open_beneath(self.parts[part].layer.fd(), path, flags, Mode::empty())?);
        // It was a regular file when it was read; a pipe in its place would be an empty file, and one that grows no
        // longer the change that was told. No process of the run is there to do it: this is for one that got away.
        let as_read = || -> io::Result<()> {
            let now = rustix::fs::fstat(&from)?;
            if kind(&now) != FileType::RegularFile || !Identity::of(upper).is_same_content(&now) {
                return Err(io::Error::other("the layer changed while it was being applied"));
            }
            Ok(())
        };
        as_read()?;
        copy_bytes(&from, file)?;
        as_read()?;
        attributes::copy(&from, file)?;
        if agentic_sandbox::reserves_users() {
            // Root writes for somebody: what was theirs stays theirs, what is new belongs to the folder's owner.
            let owner = match over {
                Some(over) => *over,
                None => rustix::fs::fstat(folder)?,
            };
            rustix::fs::fchown(file, Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid)))?;
        } else if let Some(over) = over {
            // An ordinary user may keep a group of their own and nothing more.
            let _ = rustix::fs::fchown(file, None, Some(Gid::from_raw(over.st_gid)));
        }
        rustix::fs::fchmod(file, Mode::from(upper.st_mode & BITS))?;
        set_times(file, upper)?;
        Ok(rustix::fs::fstat(file)?)
    }
}
