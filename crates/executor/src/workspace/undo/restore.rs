//! The way back: joins records, compares the folders with what they left there, and finds what is to be done.
//! `stage.rs` writes what goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use serde::Serialize;

use super::record::{Record, State};
use crate::workspace::change_set::{ChangeSet, LeftOut};
use crate::workspace::error::{Conflict, WorkspaceError};
use crate::workspace::layer::Root;
use crate::workspace::path::Dir;
use crate::workspace::persistence::AllowPersist;
use crate::workspace::reading::{Act, Item, Reading, beneath};
use crate::workspace::view::{View, kind, lookup};

/// How to roll back.
#[derive(Debug, Clone, Default)]
pub struct RollBack {
    /// Only these paths (absolute) and what lies beneath them; all when empty.
    pub only: Vec<PathBuf>,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Overwrite what was changed since by somebody else. It is kept first, so that undoing the rollback brings it back.
    pub force: bool,
    /// Refuse to leave behind what runs later outside, but for these. `None`: nobody looks, for a person has asked for it.
    pub guard: Option<AllowPersist>,
}

/// What a rollback did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RolledBack {
    /// What is different in the folders.
    pub changes: ChangeSet,
    /// What stays as it is, with the reason: folders that hold what others made, what cannot be put back.
    pub kept: Vec<LeftOut>,
    /// What somebody else changed since: what a dry run would refuse, or what was overwritten because it was told to.
    pub changed_since: Vec<LeftOut>,
    /// The layer whose record undoes the rollback; `None` when nothing was done.
    pub layer: Option<String>,
}

/// Where one path is to go back to, and what the layers knew it as.
#[derive(Debug)]
pub(super) struct Target {
    /// Every state that it had before and after each layer, in order: the first is where it goes back to, and a path that
    /// is none of them was changed by somebody else. What it is now is kept in any case.
    pub(super) states: Vec<Option<State>>,
    in_place: bool,
    /// Which file it was a name of, where that had several.
    inode: Option<(u64, u64)>,
    /// It is not to go back: it is a folder that something which does needs.
    above: bool,
}

impl Target {
    fn wanted(&self) -> Option<&State> {
        self.states.first().and_then(Option::as_ref)
    }
    /// Whether the path is what one of the layers left or found.
    fn is_known(&self, root: &Dir, path: &Path, cut_off: bool) -> io::Result<bool> {
        let now = lookup(root, path)?;
        let is_kind = |wanted| now.as_ref().is_some_and(|now| kind(now) == wanted);
        // Between what was taken away and what takes its place, and half written.
        if cut_off && (now.is_none() || self.in_place && is_kind(FileType::RegularFile)) {
            return Ok(true);
        }
        for state in &self.states {
            let is = match state {
                None => now.is_none(),
                // It gets its permission bits last.
                Some(State::Folder { .. }) if cut_off => is_kind(FileType::Directory),
                Some(state) => now.is_some() && state.holds(root, path)?,
            };
            if is {
                return Ok(true);
            }
        }
        Ok(false)
    }
    /// A record of permission bits alone takes the bytes of the state beside it: nothing changed them in between.
    fn complete(&mut self) {
        for index in 1..self.states.len() {
            self.take_bytes(index - 1, index);
        }
        for index in (1..self.states.len()).rev() {
            self.take_bytes(index, index - 1);
        }
    }
    fn take_bytes(&mut self, from: usize, to: usize) {
        let Some(known @ State::File { hash: Some(_), .. }) = self.states[from].clone() else { return };
        if let Some(bits @ State::File { hash: None, .. }) = &self.states[to] {
            self.states[to] = Some(known.with_mode_of(bits));
        }
    }
}

/// The way back in all folders, before anything is done.
#[derive(Debug, Default)]
pub(in crate::workspace) struct Way {
    pub(in crate::workspace) readings: Vec<(PathBuf, Reading)>,
    pub(in crate::workspace) kept: Vec<Conflict>,
    pub(in crate::workspace) changed_since: Vec<Conflict>,
    /// Files to be written, by folder, in the order of the paths.
    pub(super) wanted: Vec<Wanted>,
}

/// A path that is to be staged.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) root: PathBuf,
    pub(super) path: PathBuf,
    pub(super) state: State,
    pub(super) inode: Option<(u64, u64)>,
}

/// Joins records, the earliest first: each path goes back to what it was before the first of them.
pub(super) fn targets(records: &[Record], only: &[PathBuf]) -> BTreeMap<PathBuf, Target> {
    let mut targets: BTreeMap<PathBuf, Target> = BTreeMap::new();
    let all = || records.iter().flat_map(|record| &record.paths);
    // What is put back needs the folders that it lay in, whatever became of them after they were removed.
    let removed = all().filter(|kept| matches!((&kept.before, &kept.after), (Some(State::Folder { .. }), None)));
    let above: BTreeSet<&Path> =
        removed.map(|kept| kept.path.as_path()).filter(|path| only.iter().any(|one| beneath(one, path))).collect();
    for kept in all() {
        let asked = only.is_empty() || only.iter().any(|path| beneath(&kept.path, path));
        if !asked && !above.contains(kept.path.as_path()) {
            continue;
        }
        let target = targets.entry(kept.path.clone()).or_insert(Target {
            states: Vec::new(),
            in_place: false,
            inode: kept.inode,
            above: !asked,
        });
        target.in_place |= kept.in_place;
        target.states.extend([kept.before.clone(), kept.after.clone()]);
    }
    targets.values_mut().for_each(Target::complete);
    targets
}

impl Way {
    /// Compares the folders with the records.
    pub(in crate::workspace) fn find(
        records: &[Record],
        roots: &[Root],
        how: &RollBack,
        cut_off: bool,
    ) -> Result<Self, WorkspaceError> {
        let targets = targets(records, &how.only);
        let mut way = Self::default();
        for root in roots {
            let force = how.force;
            let mut within = Within {
                root,
                targets: &targets,
                force,
                cut_off,
                way: &mut way,
                items: Vec::new(),
                in_place: BTreeSet::new(),
                made: BTreeSet::new(),
            };
            within.find()?;
            let mut reading = Reading::of(within.items, within.in_place);
            reading.items.sort_by(|a, b| (&a.path, a.act.rank()).cmp(&(&b.path, b.act.rank())));
            way.readings.push((root.path.clone(), reading));
        }
        Ok(way)
    }
    /// Whether there is nothing to do.
    pub(in crate::workspace) fn is_empty(&self) -> bool {
        self.readings.iter().all(|(_, reading)| reading.items.is_empty())
    }
}

struct Within<'a> {
    root: &'a Root,
    targets: &'a BTreeMap<PathBuf, Target>,
    force: bool,
    /// The layer was being applied when its process ended: some of its paths are half-way.
    cut_off: bool,
    way: &'a mut Way,
    items: Vec<Item>,
    /// Paths that are still the file that they were.
    in_place: BTreeSet<PathBuf>,
    /// Folders that are made.
    made: BTreeSet<PathBuf>,
}

impl Within<'_> {
    fn find(&mut self) -> Result<(), WorkspaceError> {
        // Removed as a whole, with what lies in it.
        let mut gone: Option<PathBuf> = None;
        for (path, target) in self.targets {
            let Ok(rest) = path.strip_prefix(&self.root.path) else { continue };
            if gone.as_ref().is_some_and(|gone| path.starts_with(gone)) {
                continue;
            }
            let failed = WorkspaceError::io("compare with what was kept", path);
            if self.path(path, rest, target).map_err(failed)? {
                gone = Some(path.clone());
            }
        }
        Ok(())
    }
    /// One path; whether it is a folder that is removed with all that lies in it.
    fn path(&mut self, path: &Path, rest: &Path, target: &Target) -> io::Result<bool> {
        let root = &self.root.dir;
        let now = lookup(root, rest)?;
        // Asked for is what lay in it: a folder that is there stays as it is, and what took its place is told there.
        if target.above && (now.is_some() || !matches!(target.wanted(), Some(State::Folder { .. }))) {
            return Ok(false);
        }
        let touched = matches!((target.wanted(), &now), (Some(State::File { hash: Some(_), mtime, .. }), Some(now))
            if *mtime != (now.st_mtime, now.st_mtime_nsec));
        let is_back = match target.wanted() {
            None => now.is_none(),
            Some(wanted) => !touched && wanted.holds(root, rest)?,
        };
        if is_back {
            return Ok(false);
        }
        if let Some(State::Lost { why }) = target.wanted() {
            self.way.kept.push(Conflict { path: path.to_owned(), reason: why.clone() });
            return Ok(false);
        }
        if !target.is_known(root, rest, self.cut_off)? {
            let reason = match (&now, target.states.last()) {
                (None, _) => "was removed since",
                (Some(_), Some(None)) => "was created since",
                _ if path.ends_with(".git/index") => "was changed since, which `git status` is enough for",
                _ => "was changed since",
            };
            self.way.changed_since.push(Conflict { path: path.to_owned(), reason: reason.to_owned() });
            if !self.force {
                return Ok(false);
            }
        }
        let is_folder = now.as_ref().is_some_and(|now| kind(now) == FileType::Directory);
        // What is another file now, and has other names, is theirs too.
        let same_file = now.is_some_and(|now| target.inode == Some((now.st_dev, now.st_ino)));
        let shared = now.is_some_and(|now| now.st_nlink > 1) && !same_file;
        let Some(wanted) = target.wanted() else {
            let Some(now) = now else { return Ok(false) };
            if is_folder {
                return self.remove_folder(path, rest, now);
            }
            self.push(rest, Act::Delete { under: Vec::new() }, Some(now));
            return Ok(false);
        };
        if !self.parents(path, rest)? {
            return Ok(false);
        }
        match (wanted, now) {
            (State::Folder { mode }, Some(now)) if is_folder => {
                self.push(rest, Act::Mode { mode: *mode & 0o1777 }, Some(now));
            }
            (wanted @ State::File { hash, mode, mtime, .. }, Some(now))
                if kind(&now) == FileType::RegularFile
                    && !(shared && hash.is_some())
                    && (hash.is_none()
                        || *mtime == (now.st_mtime, now.st_mtime_nsec) && wanted.has_bytes(root, rest)?) =>
            {
                self.push(rest, Act::Mode { mode: *mode & 0o1777 }, Some(now));
            }
            (State::File { hash: None, .. }, _) => {
                let reason = "only its permission bits are kept, and its bytes are others now".to_owned();
                self.way.kept.push(Conflict { path: path.to_owned(), reason });
            }
            (wanted, now) => {
                let mut over = now;
                if let (Some(now), true) = (now, is_folder || matches!(wanted, State::Folder { .. })) {
                    if is_folder {
                        let foreign = self.foreign(path, rest)?;
                        if let (Some(foreign), false) = (foreign.first(), self.force) {
                            let reason = format!("is a folder now that holds {}", foreign.display());
                            self.way.changed_since.push(Conflict { path: path.to_owned(), reason });
                            return Ok(false);
                        }
                    }
                    let under = if is_folder { self.walk(rest)? } else { Vec::new() };
                    self.push(rest, Act::Delete { under }, Some(now));
                    over = None;
                }
                let act = match wanted {
                    State::Folder { mode } => Act::MakeDir { mode: *mode & 0o1777, copied_up: false },
                    // The rest of it is known once it is staged.
                    State::File { mode, size, .. } => Act::Put { upper: promised(*mode, *size), copied_up: false },
                    State::Symlink { target } => {
                        Act::Put { upper: promised(0o777, target.as_os_str().len() as u64), copied_up: false }
                    }
                    State::Lost { .. } => return Ok(false),
                };
                if same_file {
                    self.in_place.insert(rest.to_owned());
                }
                self.push(rest, act, over);
                self.way.wanted.push(Wanted {
                    root: self.root.path.clone(),
                    path: rest.to_owned(),
                    state: wanted.clone(),
                    inode: target.inode,
                });
                // A folder that made way took all with it that lay in it.
                return Ok(is_folder);
            }
        }
        Ok(false)
    }
    /// The folders above a path that is to be put back, where they are not there and no record makes them. Whether they can
    /// be had: what somebody put in the place of one makes way only by force.
    fn parents(&mut self, path: &Path, rest: &Path) -> io::Result<bool> {
        let above: Vec<&Path> = rest.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        for above in above.into_iter().rev() {
            let now = lookup(&self.root.dir, above)?;
            if self.made.contains(above) || now.is_some_and(|now| kind(&now) == FileType::Directory) {
                continue;
            }
            let what = if now.is_some() { "is no folder any more" } else { "was removed since" };
            let reason = format!("its folder {} {what}", self.root.path.join(above).display());
            if !self.way.changed_since.iter().any(|one| one.path == path) {
                self.way.changed_since.push(Conflict { path: path.to_owned(), reason });
            }
            if now.is_some() && !self.force {
                return Ok(false);
            }
            if now.is_some() && !self.items.iter().any(|item| item.path == above) {
                self.push(above, Act::Delete { under: Vec::new() }, now);
            }
            self.push(above, Act::MakeDir { mode: 0o755, copied_up: false }, None);
            let (root, path) = (self.root.path.clone(), above.to_owned());
            self.way.wanted.push(Wanted { root, path, state: State::Folder { mode: 0o755 }, inode: None });
        }
        Ok(true)
    }
    fn remove_folder(&mut self, path: &Path, rest: &Path, now: Stat) -> io::Result<bool> {
        if let Some(foreign) = self.foreign(path, rest)?.first() {
            let reason = format!("it holds {}, which is to stay", foreign.display());
            self.way.kept.push(Conflict { path: path.to_owned(), reason });
            return Ok(false);
        }
        let under = self.walk(rest)?;
        for (inner, _) in &under {
            let path = self.root.path.join(inner);
            let known = self.targets.get(&path).map(|target| target.is_known(&self.root.dir, inner, self.cut_off));
            // Only with `force`: it would have kept the folder.
            if !known.transpose()?.unwrap_or(true) {
                self.way.changed_since.push(Conflict { path, reason: "was changed since".to_owned() });
            }
        }
        self.push(rest, Act::Delete { under }, Some(now));
        Ok(true)
    }
    /// What lies in a folder and is not what the records made there.
    fn foreign(&self, folder: &Path, rest: &Path) -> io::Result<Vec<PathBuf>> {
        let mut foreign = Vec::new();
        for (inner, _) in self.walk(rest)? {
            let ours = match self.targets.get(&self.root.path.join(&inner)) {
                Some(target) if target.wanted().is_none() => {
                    self.force || target.is_known(&self.root.dir, &inner, self.cut_off)?
                }
                _ => false,
            };
            if !ours {
                foreign.push(inner.strip_prefix(rest).map_or_else(|_| folder.join(&inner), Path::to_owned));
            }
        }
        Ok(foreign)
    }
    fn walk(&self, rest: &Path) -> io::Result<Vec<(PathBuf, Stat)>> {
        let view = View { layers: Vec::new(), folder: self.root.dir.clone() };
        Ok(view.walk(rest)?.into_iter().map(|(path, found)| (path, found.stat)).collect())
    }
    fn push(&mut self, rest: &Path, act: Act, lower: Option<Stat>) {
        if matches!(act, Act::MakeDir { .. }) {
            self.made.insert(rest.to_owned());
        }
        self.items.push(Item { path: rest.to_owned(), act, lower });
    }
}

/// What is known of a file before it is staged: the rest is that of any file, and replaced then.
#[allow(clippy::useless_conversion, reason = "the fields are narrower on other systems")]
fn promised(mode: u32, size: u64) -> Stat {
    let mut any = rustix::fs::stat(OsStr::new("/")).unwrap_or_else(|_| unreachable!("there is a root"));
    (any.st_mode, any.st_size) = (mode.into(), i64::try_from(size).unwrap_or(i64::MAX));
    any
}
