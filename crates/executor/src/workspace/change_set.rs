//! What a layer did to its folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What happened to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its bytes, link target or type differ.
    Modified,
    /// It is gone.
    Deleted,
    /// Only its permission bits differ.
    Mode,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Absolute path. Bytes that are not UTF-8 are escaped in JSON.
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
    /// Bytes of its new content, 0 for folders and deletions.
    pub size: u64,
}

/// What a layer did, and what it wrote that is never applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// The changes, sorted by path.
    pub changes: Vec<Change>,
    /// Paths that are never applied (devices, FIFOs, sockets), each with the reason.
    pub left_out: Vec<(PathBuf, String)>,
}
