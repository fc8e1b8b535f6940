//! Before a plan is executed: what each of its paths is and becomes, with the bytes that would be lost in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::record::{Kept, Record, State, VERSION, attributes_of, hash_file, open_file};
use crate::workspace::apply::Part;
use crate::workspace::commit::Op;
use crate::workspace::error::{Conflict, WorkspaceError};
use crate::workspace::path::Dir;
use crate::workspace::reading::BITS;
use crate::workspace::resolve::open_beneath;
use crate::workspace::stamp::Identity;
use crate::workspace::store::{Batch, Store};
use crate::workspace::view::{kind, lookup};

/// What is about to be done, on record; the originals are on the disk when this returns.
pub(in crate::workspace) fn capture(layer: &str, parts: &[Part<'_>], store: &Store) -> Result<Record, WorkspaceError> {
    let mut batch = store.batch()?;
    let mut paths: BTreeMap<PathBuf, Kept> = BTreeMap::new();
    for part in parts {
        let mut capture = Capture { part, batch: &mut batch, paths: &mut paths, stay: BTreeSet::new() };
        for op in &part.plan.ops {
            capture.op(op)?;
        }
    }
    batch.finish()?;
    Ok(Record {
        version: VERSION,
        layer: layer.to_owned(),
        order: uuid::Uuid::now_v7().simple().to_string(),
        roots: parts.iter().map(|part| part.root.path().to_owned()).collect(),
        paths: paths.into_values().collect(),
    })
}

struct Capture<'a, 'b> {
    part: &'a Part<'b>,
    batch: &'a mut Batch,
    paths: &'a mut BTreeMap<PathBuf, Kept>,
    /// Names of files that are written or given other bits where they are.
    stay: BTreeSet<PathBuf>,
}

impl Capture<'_, '_> {
    fn op(&mut self, op: &Op) -> Result<(), WorkspaceError> {
        match op {
            Op::MakeDir { path, mode, .. } => {
                self.note(path, None, Some(State::Folder { mode: *mode }));
            }
            Op::Put { path, upper, over } => {
                let before = over.as_ref().map(|over| self.original(path, over)).transpose()?;
                let after = self.placed(path, upper)?;
                self.note(path, before.zip(over.as_ref()), Some(after));
            }
            Op::Rewrite { path, upper, over, names } => {
                let before = self.original(path, over)?;
                let after = self.placed(path, upper)?;
                self.names(path, names, &before, over, &after, true);
            }
            Op::Mode { path, mode, over, names } => {
                // As it will be set: set-id bits that are there stay.
                let mut after = *over;
                after.st_mode = over.st_mode & !0o1777 | mode;
                let state = |stat: &Stat| State::other(stat, || self.part.root.read_link(path));
                let (before, after) = (self.looked_at(path, state(over))?, self.looked_at(path, state(&after))?);
                self.names(path, names, &before, over, &after, false);
            }
            Op::Delete { path, over, under } => {
                for (path, over) in std::iter::once((path, over)).chain(under.iter().map(|(path, over)| (path, over))) {
                    let before = self.original(path, over)?;
                    self.note(path, Some((before, over)), None);
                }
            }
        }
        Ok(())
    }
    /// One path; a removal and what takes its place are one entry.
    fn note(&mut self, path: &Path, before: Option<(State, &Stat)>, after: Option<State>) -> &mut Kept {
        let path = self.part.root.path().join(path);
        let new = Kept { path: path.clone(), before: None, after: None, inode: None, in_place: false };
        let kept = self.paths.entry(path).or_insert(new);
        if let Some((before, stat)) = before {
            (kept.before, kept.inode) = (Some(before), Some((stat.st_dev, stat.st_ino)));
        }
        kept.after = after;
        kept
    }
    /// A file that stays and becomes another: under every name that it has. A name that is removed or becomes a file of
    /// its own was noted before, for that comes first.
    fn names(&mut self, path: &Path, names: &[PathBuf], before: &State, over: &Stat, after: &State, in_place: bool) {
        let inode = (over.st_dev, over.st_ino);
        let others = names.iter().filter(|name| *name != path).map(PathBuf::as_path);
        for name in std::iter::once(path).chain(others) {
            let whole = self.part.root.path().join(name);
            match self.paths.get_mut(&whole) {
                // Written and then given other bits, or the other way round, by way of two of its names.
                Some(known) if known.inode == Some(inode) && self.stay.contains(&whole) => {
                    known.in_place |= in_place;
                    known.after = Some(match &known.after {
                        Some(was) if !in_place => was.with_mode_of(after),
                        _ => after.clone(),
                    });
                    if in_place {
                        known.before = Some(before.clone());
                    }
                }
                Some(_) => {}
                None => {
                    self.note(name, Some((before.clone(), over)), Some(after.clone())).in_place = in_place;
                    self.stay.insert(whole);
                }
            }
        }
    }
    /// What is there now, its bytes put into the store.
    fn original(&mut self, path: &Path, over: &Stat) -> Result<State, WorkspaceError> {
        if kind(over) != FileType::RegularFile {
            return self.looked_at(path, State::other(over, || self.part.root.read_link(path)));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = match open_beneath(self.part.root.fd(), path, flags, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(State::Lost { why: "a file that may not be read cannot be put back".into() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.changed(path)),
            other => File::from(self.looked_at(path, other)?),
        };
        let hash = self.batch.put(&file)?;
        let now = self.looked_at(path, rustix::fs::fstat(&file).map_err(io::Error::from))?;
        if !Identity::of(over).is_same_content(&now) {
            return Err(self.changed(path));
        }
        let attributes = self.looked_at(path, attributes_of(&file))?;
        Ok(State::file(over, Some(hash), &attributes))
    }
    /// What the layer puts there.
    fn placed(&self, path: &Path, upper: &Stat) -> Result<State, WorkspaceError> {
        let layer: &Dir = self.part.layer;
        let failed = || WorkspaceError::io::<io::Error>("read the layer's", &layer.path().join(path));
        // As it will be set.
        let mut stat = *upper;
        stat.st_mode = upper.st_mode & !0o7777 | upper.st_mode & BITS;
        if kind(&stat) != FileType::RegularFile {
            return State::other(&stat, || layer.read_link(path)).map_err(failed());
        }
        let read = || -> io::Result<_> {
            let Some(file) = open_file(layer, path)? else { return Ok((None, Vec::new())) };
            Ok((hash_file(&file)?, attributes_of(&file)?))
        };
        let (hash, attributes) = read().map_err(failed())?;
        Ok(State::file(&stat, hash, &attributes))
    }
    fn looked_at<T>(&self, path: &Path, result: io::Result<T>) -> Result<T, WorkspaceError> {
        result.map_err(WorkspaceError::io("keep the original of", &self.part.root.path().join(path)))
    }
    fn changed(&self, path: &Path) -> WorkspaceError {
        let reason = match lookup(self.part.root, path) {
            Ok(None) => "was removed meanwhile",
            _ => "was changed meanwhile",
        };
        WorkspaceError::Conflict(vec![Conflict { path: self.part.root.path().join(path), reason: reason.to_owned() }])
    }
}
