//! Records as a diff: what paths were before the first of them and after the last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::record::{Record, State, Time, hash_file, open_file};
use super::records::Records;
use crate::workspace::change_set::{ChangeKind, as_text};
use crate::workspace::error::WorkspaceError;
use crate::workspace::path::Dir;
use crate::workspace::store::ContentHash;

/// One path's difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Absolute. Bytes that are not UTF-8 are escaped in JSON.
    #[serde(serialize_with = "as_text::serialize")]
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What it was; `None`: nothing was there.
    pub before: Option<State>,
    /// What it became.
    pub after: Option<State>,
    /// How its bytes differ.
    pub bytes: Bytes,
}

/// How the bytes of a file differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "form")]
pub enum Bytes {
    /// They do not: a folder, a link, permission bits.
    Same,
    /// As text.
    Text {
        /// Lines that are new.
        added: usize,
        /// Lines that are gone.
        removed: usize,
        /// The hunks of a unified diff, without its two head lines.
        hunks: String,
    },
    /// They are no text, or too long to be shown as text.
    Binary,
    /// What the path became was changed since, and its bytes are nowhere any more.
    Unknown,
}

/// Bytes of a file beyond which it is not compared line by line.
const LONGEST_TEXT: u64 = 4 << 20;
/// How long a comparison may look for the shortest diff.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the records did together, by path.
///
/// # Errors
/// When bytes cannot be read, or are not those that were kept.
pub fn differences(records: &Records, list: &[Record]) -> Result<Vec<Difference>, WorkspaceError> {
    differences_in(records, list, &[])
}

/// The same; what the paths became is looked for in `new` first: folders that stand for roots.
pub(in crate::workspace) fn differences_in(
    records: &Records,
    list: &[Record],
    new: &[(&Path, Dir)],
) -> Result<Vec<Difference>, WorkspaceError> {
    let mut ordered: Vec<&Record> = list.iter().collect();
    ordered.sort_by(|a, b| a.order.cmp(&b.order));
    let mut joined: BTreeMap<&Path, (Option<State>, Option<State>, &Record)> = BTreeMap::new();
    for record in ordered {
        for kept in &record.paths {
            let entry = joined.entry(&kept.path).or_insert_with(|| (kept.before.clone(), kept.after.clone(), record));
            (entry.1, entry.2) = (kept.after.clone(), record);
        }
    }
    let mut all = Vec::new();
    for (path, (before, after, record)) in joined {
        if before == after {
            continue;
        }
        let kind = match (&before, &after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Deleted,
            (Some(State::File { hash: None, .. }), _) | (Some(State::Folder { .. }), Some(State::Folder { .. })) => {
                ChangeKind::Mode
            }
            (Some(State::File { hash: one, .. }), Some(State::File { hash: other, .. })) if one == other => {
                ChangeKind::Mode
            }
            _ => ChangeKind::Modified,
        };
        let bytes = bytes(records, path, (&before, &after), record, new)?;
        all.push(Difference { path: path.to_owned(), kind, before, after, bytes });
    }
    Ok(all)
}

fn bytes(
    records: &Records,
    path: &Path,
    (before, after): (&Option<State>, &Option<State>),
    record: &Record,
    new_in: &[(&Path, Dir)],
) -> Result<Bytes, WorkspaceError> {
    let file = |state: &Option<State>| match state {
        Some(State::File { hash: Some(hash), size, .. }) => Some((hash.clone(), *size)),
        _ => None,
    };
    let (old, new) = (file(before), file(after));
    if old.is_none() && new.is_none() || old == new {
        return Ok(Bytes::Same);
    }
    if [&old, &new].into_iter().flatten().any(|(_, size)| *size > LONGEST_TEXT) {
        return Ok(Bytes::Binary);
    }
    let old = match old {
        Some((hash, _)) => records.store().get(&hash)?,
        None => Vec::new(),
    };
    let new = match new {
        Some((hash, _)) => match found(records, path, &hash, record, new_in)? {
            Some(bytes) => bytes,
            None => return Ok(Bytes::Unknown),
        },
        None => Vec::new(),
    };
    Ok(compared(&old, &new))
}

/// Two contents, line by line where they are text.
fn compared(old: &[u8], new: &[u8]) -> Bytes {
    let (Ok(old), Ok(new)) = (str::from_utf8(old), str::from_utf8(new)) else { return Bytes::Binary };
    if old.contains('\0') || new.contains('\0') {
        return Bytes::Binary;
    }
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    Bytes::Text {
        added: count(ChangeTag::Insert),
        removed: count(ChangeTag::Delete),
        hunks: diff.unified_diff().context_radius(3).to_string(),
    }
}

impl Difference {
    /// The difference of two contents of a file, `None` where there is no file, as it will be when it is made: with
    /// the permission bits `mode` before and after.
    pub fn between(path: impl Into<PathBuf>, before: Option<&[u8]>, after: Option<&[u8]>, mode: u32) -> Self {
        let state = |bytes: &[u8]| State::File {
            hash: Some(ContentHash::of(bytes)),
            size: bytes.len() as u64,
            mode,
            mtime: Time::default(),
            attributes: BTreeMap::new(),
        };
        let kind = match (before, after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Deleted,
            _ => ChangeKind::Modified,
        };
        let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
        let bytes = match old.len().max(new.len()) as u64 {
            size if size > LONGEST_TEXT => Bytes::Binary,
            _ if old == new => Bytes::Same,
            _ => compared(old, new),
        };
        Self { path: path.into(), kind, before: before.map(state), after: after.map(state), bytes }
    }
}

/// The bytes that a layer left at a path: kept because a later layer replaced them, or there still.
fn found(
    records: &Records,
    path: &Path,
    hash: &ContentHash,
    record: &Record,
    new: &[(&Path, Dir)],
) -> Result<Option<Vec<u8>>, WorkspaceError> {
    if records.store().contains(hash) {
        return records.store().get(hash).map(Some);
    }
    let staged = new.iter().find_map(|(root, dir)| Some((dir.clone(), path.strip_prefix(root).ok()?)));
    let there = || {
        let (root, rest) = record.roots.iter().find_map(|root| Some((root, path.strip_prefix(root).ok()?)))?;
        Some((Dir::open_root(root).ok()?, rest))
    };
    let Some((root, rest)) = staged.or_else(there) else { return Ok(None) };
    let failed = WorkspaceError::io("read", path);
    let found = open_file(&root, rest).and_then(|file| file.map_or(Ok(None), |file| hash_file(&file)));
    if found.map_err(failed)?.as_ref() != Some(hash) {
        return Ok(None);
    }
    let bytes = root.read(rest, LONGEST_TEXT).map_err(WorkspaceError::io("read", path))?;
    Ok((ContentHash::of(&bytes) == *hash).then_some(bytes))
}
