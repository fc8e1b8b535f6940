//! Executes plans on the folders: all of them, or none.
//!
//! One function, [`apply`], in four phases. 1. *Stage* (`apply/stage.rs`): new content is written beside its target
//! under a hidden name and synced; no name is changed yet. 2. *Swap*: names are exchanged; after each exchange what
//! came out is compared with what was checked. 3. *Settle* (`apply/settle.rs`): nobody may have a displaced original
//! open for writing (read lease), and the folders are synced. 4. *Clear*: displaced originals are removed. Anything
//! unexpected before phase 4 undoes everything in reverse (`apply/undo.rs`) and keeps every byte it meets.
//!
//! What remains: a writer that opened a file before its exchange and is still between the kernel's lookup and its
//! open while the lease is asked; and hosts where leases cannot be had, where a program that keeps writing into
//! a file it holds open writes into the removed original, as it would after any editor's save.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

mod settle;
mod stage;
mod undo;

use super::attributes;
use super::commit::{Op, Plan};
use super::copy::{copy_bytes, set_times, stat_now};
use super::error::{Conflict, WorkspaceError};
use super::path::Dir;
use super::reading::BITS;
use super::resolve::{open_beneath, open_for_write};
use super::stamp::Identity;
use super::store::{ContentHash, Store};
use super::view::kind;

/// A moment of applying, for tests that do something to the folder just then.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment<'a> {
    /// Every path was found unchanged; nothing was written yet.
    Checked,
    /// New content is staged; no name was changed yet.
    Staged,
    /// The path (relative) is about to be changed.
    Before(&'a Path),
    /// The path (relative) was changed.
    After(&'a Path),
    /// Every name was changed.
    Swapped,
    /// It was checked, and originals are about to be removed. An error counts for nothing any more.
    Clearing,
}

/// Called at each [`Moment`]; an error counts as a failure of the disk.
#[doc(hidden)]
pub type Watcher = Arc<dyn Fn(Moment<'_>) -> io::Result<()> + Send + Sync>;

/// A plan and the folders it concerns.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) root: &'a Dir,
    pub(super) layer: &'a Dir,
    pub(super) plan: &'a Plan,
}

/// What was applied.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// New files by absolute path, as they were put there.
    pub(super) files: Vec<(PathBuf, Identity)>,
    /// Folders whose names we changed, absolute.
    pub(super) folders: BTreeSet<PathBuf>,
    /// What could not be removed afterwards, with the reason.
    pub(super) left: Vec<(PathBuf, String)>,
}

/// The hidden names of one transaction, by which what a crash leaves is found again.
#[derive(Debug)]
pub(super) struct Names {
    layer: String,
    next: u64,
}

impl Names {
    /// Those of a layer.
    pub(super) fn of(layer: &str) -> Self {
        Self { layer: layer.to_owned(), next: 0 }
    }
    fn draw(&mut self) -> OsString {
        self.next += 1;
        format!("{}{}.tmp", Self::prefix(&self.layer), self.next).into()
    }
    /// What all of them begin with.
    pub(super) fn prefix(layer: &str) -> String {
        format!(".agentic-{layer}-")
    }
}

/// Descriptors of folders kept open at once; more are opened when needed.
const MOST_FOLDERS: usize = 256;

/// Executes the plans, all or nothing.
pub(super) fn apply(
    parts: &[Part<'_>],
    names: Names,
    store: &Store,
    watcher: Option<&Watcher>,
) -> Result<Applied, WorkspaceError> {
    let mut transaction = Transaction {
        parts,
        names,
        store,
        watcher,
        folders: HashMap::new(),
        staged: HashMap::new(),
        done: Vec::new(),
        touched: BTreeMap::new(),
        stay: HashMap::new(),
        applied: Applied::default(),
    };
    match transaction.run() {
        Ok(()) => Ok(transaction.clear()),
        Err(stop) => {
            let left = transaction.undo();
            let failure = match stop {
                Stop::Conflict(conflict) => WorkspaceError::Conflict(vec![conflict]),
                Stop::Failed(failure) => failure,
            };
            if left.is_empty() {
                Err(failure)
            } else {
                Err(WorkspaceError::HalfUndone { failure: Box::new(failure), left })
            }
        }
    }
}

/// Why a transaction is undone.
enum Stop {
    Conflict(Conflict),
    Failed(WorkspaceError),
}

impl From<WorkspaceError> for Stop {
    fn from(failure: WorkspaceError) -> Self {
        Self::Failed(failure)
    }
}

/// New content under a hidden name.
#[derive(Clone)]
struct Temp {
    folder: PathBuf,
    name: OsString,
    identity: Identity,
}

/// What was done, so that it can be undone and cleared.
enum Done {
    Made {
        part: usize,
        path: PathBuf,
        mode: u32,
        times: Stat,
    },
    Placed {
        part: usize,
        path: PathBuf,
        temp: Temp,
    },
    Exchanged {
        part: usize,
        path: PathBuf,
        temp: Temp,
        over: Identity,
    },
    MovedAside {
        part: usize,
        path: PathBuf,
        name: OsString,
        under: Vec<(PathBuf, Identity, bool)>,
    },
    Mode {
        file: OwnedFd,
        mode: u32,
        path: PathBuf,
    },
    /// `written`: as it was left; `None` when it could not be written to the end.
    Rewrote {
        file: File,
        original: Original,
        path: PathBuf,
        written: Option<Identity>,
    },
}

/// What a file was that is written in place.
struct Original {
    bytes: ContentHash,
    attributes: Vec<(OsString, Vec<u8>)>,
    stat: Stat,
}

struct Transaction<'a> {
    parts: &'a [Part<'a>],
    names: Names,
    store: &'a Store,
    watcher: Option<&'a Watcher>,
    folders: HashMap<(usize, PathBuf), Rc<OwnedFd>>,
    staged: HashMap<(usize, PathBuf), Temp>,
    done: Vec<Done>,
    touched: BTreeMap<(usize, PathBuf), ()>,
    /// Files of several names that were changed where they are, as they were left: what their other names lead to now.
    stay: HashMap<(u64, u64), Stat>,
    applied: Applied,
}

/// `fchmod` through an `O_PATH` descriptor, which the kernel offers by way of `/proc` (fchmodat2 is Linux 6.6).
fn set_mode(file: &OwnedFd, mode: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), Mode::from(mode))?)
}

fn split(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or(OsStr::new(".")))
}

impl Transaction<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        self.at(Moment::Checked, Path::new(""))?;
        for part in 0..self.parts.len() {
            self.stage(part)?;
        }
        self.at(Moment::Staged, Path::new(""))?;
        for part in 0..self.parts.len() {
            for op in &self.parts[part].plan.ops {
                self.swap(part, op)?;
            }
        }
        self.at(Moment::Swapped, Path::new(""))?;
        self.verify()?;
        self.finish_folders()
    }
    fn absolute(&self, part: usize, path: &Path) -> PathBuf {
        self.parts[part].root.path().join(path)
    }
    fn at(&self, moment: Moment<'_>, path: &Path) -> Result<(), Stop> {
        let Some(watcher) = self.watcher else { return Ok(()) };
        watcher(moment).map_err(WorkspaceError::io("apply", path)).map_err(Stop::Failed)
    }
    fn conflict(&self, part: usize, path: &Path, reason: &str) -> Stop {
        Stop::Conflict(Conflict { path: self.absolute(part, path), reason: reason.to_owned() })
    }
    fn failed<E: Into<io::Error>>(&self, action: &'static str, part: usize, path: &Path) -> impl FnOnce(E) -> Stop {
        let path = self.absolute(part, path);
        move |error| Stop::Failed(WorkspaceError::Io { action, path, source: error.into() })
    }
    /// A folder of the root by descriptor: opened once where that is affordable, so that a folder which somebody
    /// renames meanwhile is still the one that was checked.
    fn folder(&mut self, part: usize, path: &Path) -> io::Result<Rc<OwnedFd>> {
        if let Some(open) = self.folders.get(&(part, path.to_owned())) {
            return Ok(open.clone());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let open = Rc::new(open_for_write(self.parts[part].root.fd(), path, flags, Mode::empty())?);
        if self.folders.len() < MOST_FOLDERS {
            self.folders.insert((part, path.to_owned()), open.clone());
        }
        Ok(open)
    }

    /// As [`Self::folder`], for the folder that `path` lies in: that it is gone is somebody else's doing.
    fn open_folder(&mut self, part: usize, folder: &Path, path: &Path) -> Result<Rc<OwnedFd>, Stop> {
        match self.folder(part, folder) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(self.conflict(part, path, "its folder was removed or moved meanwhile"))
            }
            other => other.map_err(self.failed("open the folder of", part, path)),
        }
    }

    // Phase 2.

    fn swap(&mut self, part: usize, op: &Op) -> Result<(), Stop> {
        let path = match op {
            Op::MakeDir { path, .. }
            | Op::Put { path, .. }
            | Op::Rewrite { path, .. }
            | Op::Mode { path, .. }
            | Op::Delete { path, .. } => path,
        };
        self.at(Moment::Before(path), path)?;
        let (folder, name) = split(path);
        let open = self.open_folder(part, folder, path)?;
        let action = "apply";
        if let Op::Put { over: Some(over), .. } | Op::Delete { over, .. } | Op::Mode { over, .. } = op {
            let now = stat_now(&open, name).map_err(self.failed(action, part, path))?;
            if now.is_none_or(|now| !self.is_as_checked(part, path, over, &now)) {
                return Err(self.conflict(part, path, "was changed meanwhile"));
            }
        }
        self.touched.insert((part, folder.to_owned()), ());
        match op {
            Op::MakeDir { mode, times, .. } => {
                match rustix::fs::mkdirat(&*open, name, Mode::from(0o700)) {
                    Err(Errno::EXIST) => return Err(self.conflict(part, path, "was created meanwhile")),
                    other => other.map_err(self.failed("make the folder", part, path))?,
                }
                self.done.push(Done::Made { part, path: path.clone(), mode: *mode, times: *times });
                self.touched.insert((part, path.clone()), ());
            }
            Op::Put { over, .. } => self.put(part, path, &open, name, over.as_ref())?,
            Op::Delete { over, under, .. } => self.delete(part, path, &open, name, over, under)?,
            Op::Mode { mode, over, .. } => {
                // O_PATH: a file that may not be read may still get other permission bits.
                let flags = OFlags::PATH | OFlags::NOFOLLOW;
                let file = open_for_write(open.as_fd(), Path::new(name), flags, Mode::empty());
                let file = file.map_err(self.failed("open", part, path))?;
                let now = rustix::fs::fstat(&file).map_err(self.failed("look at", part, path))?;
                if !self.is_as_checked(part, path, over, &now) {
                    return Err(self.conflict(part, path, "was changed meanwhile"));
                }
                let mode = mode | now.st_mode & 0o6000;
                set_mode(&file, mode).map_err(self.failed("set the mode of", part, path))?;
                if kind(&now) == FileType::RegularFile {
                    self.applied.files.push((self.absolute(part, path), Identity::of(&now)));
                    let left = rustix::fs::fstat(&file).map_err(self.failed("look at", part, path))?;
                    self.stay.insert((now.st_dev, now.st_ino), left);
                }
                self.done.push(Done::Mode { file, mode: now.st_mode & 0o7777, path: self.absolute(part, path) });
            }
            Op::Rewrite { upper, over, .. } => self.rewrite(part, path, &open, name, upper, over)?,
        }
        self.at(Moment::After(path), path)
    }
    /// Full identity, except where our own earlier operations of this transaction moved the ctime: other names of
    /// the same file, and folders we put names into.
    fn is_as_checked(&self, part: usize, path: &Path, checked: &Stat, now: &Stat) -> bool {
        let checked = self.stay.get(&(checked.st_dev, checked.st_ino)).unwrap_or(checked);
        let identity = Identity::of(checked);
        if kind(checked) == FileType::Directory && self.touched.contains_key(&(part, path.to_owned())) {
            return identity.is_same_folder(now);
        }
        if checked.st_nlink > 1 && kind(checked) != FileType::Directory {
            return identity.is_same_content(now) && checked.st_mode == now.st_mode;
        }
        identity == Identity::of(now)
    }
    fn put(&mut self, part: usize, path: &Path, open: &OwnedFd, name: &OsStr, over: Option<&Stat>) -> Result<(), Stop> {
        let Some(temp) = self.staged.remove(&(part, path.to_owned())) else { return Ok(()) };
        let from = self.folder(part, &temp.folder).map_err(self.failed("open the folder of", part, path))?;
        self.touched.insert((part, temp.folder.clone()), ());
        let flags = if over.is_some() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        if let Err(errno) = rustix::fs::renameat_with(&*from, &temp.name, open, name, flags) {
            self.staged.insert((part, path.to_owned()), temp);
            return Err(match errno {
                Errno::EXIST => self.conflict(part, path, "was created meanwhile"),
                Errno::NOENT => self.conflict(part, path, "was removed meanwhile"),
                errno => self.failed("put in place (renameat2)", part, path)(errno),
            });
        }
        self.applied.files.push((self.absolute(part, path), temp.identity));
        let Some(over) = over.map(Identity::of) else {
            self.done.push(Done::Placed { part, path: path.to_owned(), temp });
            return Ok(());
        };
        let out = stat_now(&from, &temp.name).map_err(self.failed("look at the original of", part, path))?;
        self.done.push(Done::Exchanged { part, path: path.to_owned(), temp, over });
        if out.is_none_or(|out| !over.is_same_content(&out)) {
            return Err(self.conflict(part, path, "was changed at the moment of applying"));
        }
        Ok(())
    }
    fn delete(
        &mut self,
        part: usize,
        path: &Path,
        open: &OwnedFd,
        name: &OsStr,
        over: &Stat,
        under: &[(PathBuf, Stat)],
    ) -> Result<(), Stop> {
        let aside = self.names.draw();
        match rustix::fs::renameat_with(open, name, open, &aside, RenameFlags::NOREPLACE) {
            Err(Errno::NOENT) => return Err(self.conflict(part, path, "was removed meanwhile")),
            other => other.map_err(self.failed("move aside (renameat2)", part, path))?,
        }
        let inner = |(inner, stat): &(PathBuf, Stat)| {
            let rest = inner.strip_prefix(path).unwrap_or(inner).to_owned();
            (rest, Identity::of(stat), kind(stat) == FileType::Directory)
        };
        let under: Vec<_> = under.iter().map(inner).collect();
        self.done.push(Done::MovedAside { part, path: path.to_owned(), name: aside.clone(), under });
        let out = stat_now(open, &aside).map_err(self.failed("look at", part, path))?;
        let over = Identity::of(over);
        if out.is_none_or(|out| !over.is_same_content(&out)) {
            return Err(self.conflict(part, path, "was changed at the moment of applying"));
        }
        Ok(())
    }
    fn rewrite(
        &mut self,
        part: usize,
        path: &Path,
        open: &OwnedFd,
        name: &OsStr,
        upper: &Stat,
        over: &Stat,
    ) -> Result<(), Stop> {
        let failed = |action| self.failed::<io::Error>(action, part, path);
        let read = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let original = match open_for_write(open.as_fd(), Path::new(name), read, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.conflict(part, path, "was removed meanwhile"));
            }
            other => File::from(other.map_err(failed("open"))?),
        };
        let seen = rustix::fs::fstat(&original).map_err(|errno| failed("look at")(errno.into()))?;
        let checked = Identity::of(over);
        if !checked.is_same_content(&seen) {
            return Err(self.conflict(part, path, "was changed meanwhile"));
        }
        if settle::has_writer(&original).map_err(failed("lease"))? {
            return Err(self.conflict(part, path, "is open for writing in another program"));
        }
        let bytes = self.store.put_file(&original)?;
        let attributes = attributes::travelling(&original).map_err(failed("read the attributes of"))?;
        let write = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file =
            open_for_write(open.as_fd(), Path::new(name), write, Mode::empty()).map_err(failed("open for writing"))?;
        let mut file = File::from(file);
        let layer =
            open_beneath(self.parts[part].layer.fd(), path, read, Mode::empty()).map_err(failed("read the layer's"))?;
        let layer = File::from(layer);
        let now = rustix::fs::fstat(&file).map_err(|errno| failed("look at")(errno.into()))?;
        if !checked.is_same_content(&now) {
            return Err(self.conflict(part, path, "was changed at the moment of applying"));
        }
        let outcome = (|| {
            file.set_len(0)?;
            file.rewind()?;
            copy_bytes(&layer, &file)?;
            attributes::copy(&layer, &file)?;
            rustix::fs::fchmod(&file, Mode::from(upper.st_mode & BITS))?;
            set_times(&file, upper)?;
            file.sync_all()?;
            Ok::<_, io::Error>(rustix::fs::fstat(&file)?)
        })();
        let outcome = outcome.map_err(failed("write in place"));
        let written = outcome.as_ref().ok().map(Identity::of);
        self.done.push(Done::Rewrote {
            file,
            original: Original { bytes, attributes, stat: now },
            path: self.absolute(part, path),
            written,
        });
        let left = outcome?;
        self.stay.insert((left.st_dev, left.st_ino), left);
        self.applied.files.push((self.absolute(part, path), Identity::of(&left)));
        Ok(())
    }

    // Phase 4.

    /// Removes what was displaced. Nothing here can fail the step: it stands.
    fn clear(mut self) -> Applied {
        if let Some(watcher) = self.watcher {
            let _ = watcher(Moment::Clearing);
        }
        for done in std::mem::take(&mut self.done) {
            let outcome = match &done {
                Done::Exchanged { part, temp, .. } => self
                    .folder(*part, &temp.folder)
                    .and_then(|open| Ok(rustix::fs::unlinkat(&*open, &temp.name, AtFlags::empty())?))
                    .map_err(|error| (self.absolute(*part, &temp.folder.join(&temp.name)), error.to_string())),
                Done::MovedAside { part, path, name, under } => self.clear_aside(*part, path, name, under),
                _ => Ok(()),
            };
            self.applied.left.extend(outcome.err());
        }
        self.applied
    }
    fn clear_aside(
        &mut self,
        part: usize,
        path: &Path,
        name: &OsStr,
        under: &[(PathBuf, Identity, bool)],
    ) -> Result<(), (PathBuf, String)> {
        let (folder, original) = split(path);
        let place = self.absolute(part, &folder.join(name));
        let outcome = (|| {
            let open = self.folder(part, folder)?;
            let Some(now) = stat_now(&open, name)? else { return Ok(None) };
            if kind(&now) != FileType::Directory {
                rustix::fs::unlinkat(&*open, name, AtFlags::empty())?;
                return Ok(None);
            }
            // What its owner closed, its owner may still remove: parents first, so that the next one can be reached.
            for inner in std::iter::once(Path::new("")).chain(under.iter().filter(|one| one.2).map(|one| &*one.0)) {
                let whole = Path::new(name).join(inner);
                let (above, last) = split(&whole);
                let above = open_beneath(open.as_fd(), above, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                let Some(stat) = stat_now(&above, last)? else { continue };
                if kind(&stat) == FileType::Directory && stat.st_mode & 0o700 != 0o700 {
                    let mode = Mode::from(stat.st_mode & 0o7777 | 0o700);
                    rustix::fs::chmodat(&above, last, mode, AtFlags::empty())?;
                }
            }
            // Only what was checked is removed: a file that somebody puts in at the last moment stays.
            for (inner, _, is_folder) in under.iter().rev() {
                let whole = Path::new(name).join(inner);
                let (above, last) = split(&whole);
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let above = open_beneath(open.as_fd(), above, flags, Mode::empty())?;
                let how = if *is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                match rustix::fs::unlinkat(above, last, how) {
                    Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            match rustix::fs::unlinkat(&*open, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    let back = rustix::fs::renameat_with(&*open, name, &*open, original, RenameFlags::NOREPLACE);
                    let place = if back.is_ok() { self.absolute(part, path) } else { place.clone() };
                    Ok(Some((place, "somebody put files into it while it was being removed: they are kept".to_owned())))
                }
                other => Ok(other.map(|()| None)?),
            }
        })();
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(left)) => Err(left),
            Err(error) => Err((place, io::Error::to_string(&error))),
        }
    }
}
