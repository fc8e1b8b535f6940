//! What a layer did to its folder, as it is told: in results, the journal and on the terminal.
//!
//! Main type: [`ChangeSet`]. Paths are any bytes on Linux and text in JSON: a path that is UTF-8 is written as it
//! is; any other is written as `bytes:` and the path with every byte outside printable ASCII, and `%`, as `%XX`.
//! A path here is absolute, so the two cannot be confused.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::persistence::Persistence;

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
    #[serde(with = "as_text")]
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
    /// Bytes of its new content, 0 for folders and deletions.
    pub size: u64,
    /// The path that the file had before: one that is listed as deleted, and whose file it is by its bytes, its time of
    /// modification and what the file system says of it. None where no path or more than one fits.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_optional_text")]
    pub renamed_from: Option<PathBuf>,
}

/// What a layer did, and what it wrote that is never applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// The changes, sorted by path.
    pub changes: Vec<Change>,
    /// Paths that were not applied (devices, FIFOs, sockets; protected paths that were held back), each with the reason.
    pub left_out: Vec<LeftOut>,
    /// What runs later, outside, without anybody asking for it, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub persistence: Vec<Persistence>,
}

/// A path that a layer holds and that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Absolute path. Bytes that are not UTF-8 are escaped in JSON.
    #[serde(with = "as_text")]
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

impl ChangeSet {
    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
    pub(super) fn sort(&mut self) {
        self.changes.sort_by(|a, b| a.path.cmp(&b.path));
        self.left_out.sort_by(|a, b| a.path.cmp(&b.path));
        self.persistence.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

/// A path for a message: control characters escaped, so that a name cannot begin a line of its own.
pub fn path_on_a_line(path: &Path) -> String {
    let mut shown = String::new();
    for character in path.to_string_lossy().chars() {
        if character.is_control() { shown.extend(character.escape_debug()) } else { shown.push(character) }
    }
    shown
}

/// A path without `.` and `..`, taken out by name: links are not looked at, and nothing has to be there.
pub fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

const ESCAPED: &str = "bytes:";

/// A path as text that gives the same path back.
pub fn path_to_text(path: &Path) -> String {
    if let Some(text) = path.to_str()
        && !text.starts_with(ESCAPED)
    {
        return text.to_owned();
    }
    let escape = |byte: &u8| match byte {
        b'%' | 0..=0x1f | 0x7f.. => format!("%{byte:02X}"),
        plain => char::from(*plain).to_string(),
    };
    path.as_os_str().as_bytes().iter().map(escape).fold(ESCAPED.to_owned(), |text, piece| text + &piece)
}

/// The path that [`path_to_text`] wrote; `None` when the escapes are broken.
pub fn path_from_text(text: &str) -> Option<PathBuf> {
    let Some(escaped) = text.strip_prefix(ESCAPED) else { return Some(text.into()) };
    let (mut bytes, mut rest) = (Vec::new(), escaped.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    Some(OsString::from_vec(bytes).into())
}

mod as_optional_text {
    use super::{Deserializer, PathBuf, Serialize, Serializer, as_text, path_to_text};

    pub(super) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(path_to_text).serialize(serializer)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        as_text::deserialize(deserializer).map(Some)
    }
}

pub(super) mod as_text {
    use super::{Deserialize, Deserializer, Path, PathBuf, Serializer, path_from_text, path_to_text};

    pub(in super::super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&path_to_text(path))
    }
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(deserializer)?;
        path_from_text(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no escaped path")))
    }
}
