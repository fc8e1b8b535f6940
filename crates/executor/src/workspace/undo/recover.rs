//! After a crash: layers that were being applied when their process ended are taken back, so that a step's files are all
//! as before it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::record::{Record, State};
use super::restore::{RollBack, RolledBack};
use super::roll_back::PlannedRollBack;
use crate::workspace::apply::Names;
use crate::workspace::change_set::LeftOut;
use crate::workspace::error::WorkspaceError;
use crate::workspace::path::{Dir, FileKind, entries};
use crate::workspace::resolve::{open_beneath, stat_in};
use crate::workspace::view::{kind, open_dir, unless_gone};
use crate::workspace::{Workspaces, tree};

/// A layer that was being applied when its process ended.
#[derive(Debug)]
pub struct Recovered {
    /// Its name.
    pub layer: String,
    /// What was put back; an error when it could not be, and is tried again the next time.
    pub outcome: Result<RolledBack, WorkspaceError>,
    /// Files that stay under a hidden name, because somebody wrote to them at that moment.
    pub left: Vec<LeftOut>,
}

/// Takes back every layer that a process which has ended was applying.
pub(in crate::workspace) fn recover(workspaces: &Workspaces) -> Vec<Recovered> {
    let mut all = Vec::new();
    for (pending, record) in workspaces.records().cut_off() {
        // It is on the disk before anything is changed: one that is not whole changed nothing.
        let Ok(record) = record else {
            pending.forget();
            continue;
        };
        let mut left = Vec::new();
        let layer = record.layer.clone();
        let outcome = workspaces.plan_back(vec![record.clone()], &RollBack::default(), true);
        let outcome = outcome.and_then(PlannedRollBack::apply).and_then(|done| {
            left = sweep(&record)?;
            Ok(done)
        });
        if outcome.is_ok() {
            pending.forget();
        }
        all.push(Recovered { layer, outcome, left });
    }
    all
}

/// Removes the transaction's hidden names. What was staged is ours; an original is removed when its bytes are the ones
/// that were kept.
fn sweep(record: &Record) -> Result<Vec<LeftOut>, WorkspaceError> {
    let mut originals: BTreeMap<(u64, u64), &State> = BTreeMap::new();
    let mut folders: BTreeSet<(&Path, PathBuf)> = BTreeSet::new();
    for kept in &record.paths {
        if let (Some(inode), Some(before)) = (kept.inode, &kept.before) {
            originals.insert(inode, before);
        }
        for root in &record.roots {
            if let Ok(rest) = kept.path.strip_prefix(root) {
                folders.extend(rest.ancestors().skip(1).map(|above| (&**root, above.to_owned())));
            }
        }
    }
    let prefix = Names::prefix(&record.layer);
    let mut left = Vec::new();
    for (root, folder) in folders {
        let whole = root.join(&folder);
        let failed = || WorkspaceError::io::<io::Error>("clear up", &whole);
        let Ok(root) = Dir::open_root(root) else { continue };
        let Some(open) = unless_gone(open_dir(&root, &folder)).map_err(failed())? else { continue };
        for entry in entries(&open).map_err(failed())? {
            if !entry.name.to_string_lossy().starts_with(&prefix) {
                continue;
            }
            if is_as_kept(&open, Path::new(&entry.name), &originals).map_err(failed())? {
                tree::remove_in(&open, &entry.name).map_err(failed())?;
            } else {
                let reason = "somebody wrote to it while it was being replaced".to_owned();
                left.push(LeftOut { path: whole.join(&entry.name), reason });
            }
        }
    }
    Ok(left)
}

fn is_as_kept(folder: &OwnedFd, path: &Path, originals: &BTreeMap<(u64, u64), &State>) -> io::Result<bool> {
    use std::os::fd::AsFd;
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    let Some(file) = unless_gone(open_beneath(folder.as_fd(), path, flags, Mode::empty()))? else { return Ok(true) };
    let stat = rustix::fs::fstat(&file)?;
    let original = originals.get(&(stat.st_dev, stat.st_ino));
    match kind(&stat) {
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let open = open_beneath(folder.as_fd(), path, flags, Mode::empty())?;
            for entry in entries(&open)? {
                let inner = stat_in(&open, &entry.name)?;
                let known = originals.contains_key(&(inner.st_dev, inner.st_ino));
                // A file that somebody put into a folder which was being removed.
                if original.is_some() && !known && entry.kind != FileKind::Dir {
                    return Ok(false);
                }
                if !is_as_kept(folder, &path.join(&entry.name), originals)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        FileType::RegularFile => match original {
            Some(State::File { hash: Some(hash), .. }) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
                let file = std::fs::File::from(open_beneath(folder.as_fd(), path, flags, Mode::empty())?);
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(file)?;
                Ok(hasher.finalize().to_hex().as_str() == hash.as_str())
            }
            Some(_) => Ok(false),
            None => Ok(true),
        },
        _ => Ok(true),
    }
}
