//! Garbage collection: records go, the oldest first, until the store is no larger than it may be.
//!
//! An entry of the store lives as long as a record or an event of the journal speaks of it. What was put there a short
//! while ago stays in any case: its record or event may be on its way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::record::{Record, State};
use super::records::Records;
use crate::workspace::error::WorkspaceError;
use crate::workspace::store::ContentHash;

/// How long an entry stays that nothing speaks of.
const GRACE: Duration = Duration::from_secs(3600);

/// What is collected.
#[derive(Debug, Clone, Default)]
pub struct Collect {
    /// Bytes that the store and the records may take together.
    pub most: u64,
    /// Layers whose records stay: those of runs that have no end.
    pub needed: BTreeSet<String>,
    /// Entries of the store that something else speaks of.
    pub referenced: BTreeSet<ContentHash>,
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
}

/// What was collected, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Bytes on the disk before.
    pub before: u64,
    /// Bytes on the disk after.
    pub after: u64,
    /// Records that are gone: their layers cannot be rolled back any more.
    pub records: u64,
    /// Entries of the store that are gone.
    pub entries: u64,
    /// Layers of killed processes that are gone.
    pub layers: u64,
}

impl Records {
    /// Removes what nothing speaks of, and then the oldest records until the rest takes no more than it may.
    ///
    /// # Errors
    /// When the folders cannot be read or changed. A record that is not whole is left alone, and so is what it spoke of.
    pub fn collect(&self, how: &Collect) -> Result<Collected, WorkspaceError> {
        let failed = || WorkspaceError::io::<io::Error>("clear up", self.folder());
        let _alone = self.store().lock_alone()?;
        let mut entries: HashMap<ContentHash, (PathBuf, u64, SystemTime)> =
            self.store().entries()?.into_iter().map(|(hash, path, size, at)| (hash, (path, size, at))).collect();
        let mut records: BTreeMap<String, (PathBuf, u64, Record)> = BTreeMap::new();
        let (mut broken, mut total) = (false, entries.values().map(|(_, size, _)| size).sum::<u64>());
        for path in self.files().map_err(failed())? {
            let size = path.metadata().map_or(0, |found| found.len());
            total += size;
            match self.read_file(&path) {
                Ok(record) => drop(records.insert(record.order.clone(), (path, size, record))),
                Err(_) => broken = true,
            }
        }
        let mut done = Collected { before: total, ..Collected::default() };
        let mut spoken: HashMap<ContentHash, u64> = HashMap::new();
        let pending = self.pending_files().map_err(failed())?;
        // One that is not whole changed nothing.
        let pending: Vec<Record> = pending.iter().filter_map(|path| self.read_file(path).ok()).collect();
        for hash in pending.iter().flat_map(hashes) {
            *spoken.entry(hash.clone()).or_default() += 1;
        }
        for hash in how.referenced.iter().chain(records.values().flat_map(|(.., record)| hashes(record))) {
            *spoken.entry(hash.clone()).or_default() += 1;
        }
        let remove = |path: &Path| if how.dry_run { Ok(()) } else { std::fs::remove_file(path).map_err(failed()) };
        let now = SystemTime::now();
        // A clock that was set back makes everything young.
        let old = |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age > GRACE);
        let idle: Vec<ContentHash> = entries
            .iter()
            .filter(|(hash, (.., at))| !broken && !spoken.contains_key(hash) && old(at))
            .map(|(hash, _)| hash.clone())
            .collect();
        for hash in idle {
            if let Some((path, size, _)) = entries.remove(&hash) {
                remove(&path)?;
                total -= size;
                done.entries += 1;
            }
        }
        for (path, size, record) in records.values() {
            if total <= how.most {
                break;
            }
            if how.needed.contains(&record.layer) {
                continue;
            }
            remove(path)?;
            total -= size;
            done.records += 1;
            for hash in hashes(record) {
                let Some(count) = spoken.get_mut(hash) else { continue };
                *count -= 1;
                if *count == 0
                    && !broken
                    && let Some((path, size, _)) = entries.remove(hash)
                {
                    remove(&path)?;
                    total -= size;
                    done.entries += 1;
                }
            }
        }
        done.after = total;
        Ok(done)
    }
}

/// The entries that a record needs.
fn hashes(record: &Record) -> impl Iterator<Item = &ContentHash> {
    record.paths.iter().filter_map(|kept| match &kept.before {
        Some(State::File { hash, .. }) => hash.as_ref(),
        _ => None,
    })
}
