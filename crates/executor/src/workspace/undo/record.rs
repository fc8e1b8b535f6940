//! The form of a record: what each path of a layer was, and what it became.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};

use crate::workspace::attributes;
use crate::workspace::change_set::{as_text, path_from_text, path_to_text};
use crate::workspace::path::{Dir, FileKind};
use crate::workspace::resolve::open_beneath;
use crate::workspace::store::ContentHash;
use crate::workspace::view::{kind, lookup};

/// The version of the form that this build writes.
pub(super) const VERSION: u16 = 1;

/// What one layer did to its folders, with what is needed to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the form.
    pub version: u16,
    /// The layer's name, as `call_intended` of the journal has it.
    pub layer: String,
    /// Its place among all records: later ones compare greater.
    pub order: String,
    /// The folders that the layer lay over, absolute.
    #[serde(with = "paths_as_text")]
    pub roots: Vec<PathBuf>,
    /// The paths, sorted.
    pub paths: Vec<Kept>,
}

/// What one path was, and what it became. `None`: nothing was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Absolute. Bytes that are not UTF-8 are escaped in JSON.
    #[serde(with = "as_text")]
    pub path: PathBuf,
    /// What it was.
    pub before: Option<State>,
    /// What it became.
    pub after: Option<State>,
    /// Device and inode number of what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<(u64, u64)>,
    /// Whether its bytes were written in place, because it has several names: a crash can leave them half written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
}

/// A time of the file system: seconds and nanoseconds since 1970.
pub type Time = (i64, u64);

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum State {
    /// A regular file.
    File {
        /// BLAKE3 of its bytes. `None`: the layer set its permission bits alone.
        hash: Option<ContentHash>,
        /// Bytes.
        size: u64,
        /// Permission bits.
        mode: u32,
        /// When its bytes were last written.
        mtime: Time,
        /// Extended attributes that travel with it, escaped as paths are.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<String, String>,
    },
    /// A symbolic link.
    Symlink {
        /// Its text.
        #[serde(with = "as_text")]
        target: PathBuf,
    },
    /// A folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
    /// What cannot be put back, once it is gone.
    Lost {
        /// What it is, and why not.
        why: String,
    },
}

impl State {
    pub(super) fn mode_of(stat: &Stat) -> u32 {
        stat.st_mode & 0o7777
    }
    /// A file by what the kernel says of it, with its bytes under `hash`.
    pub(super) fn file(stat: &Stat, hash: Option<ContentHash>, attributes: &[(std::ffi::OsString, Vec<u8>)]) -> Self {
        let text = |bytes: &[u8]| path_to_text(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        Self::File {
            hash,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: Self::mode_of(stat),
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            attributes: attributes.iter().map(|(name, value)| (text(name.as_bytes()), text(value))).collect(),
        }
    }
    /// Anything but a regular file whose bytes matter.
    pub(super) fn other(stat: &Stat, link: impl FnOnce() -> io::Result<PathBuf>) -> io::Result<Self> {
        Ok(match kind(stat) {
            FileType::Directory => Self::Folder { mode: Self::mode_of(stat) },
            FileType::Symlink => Self::Symlink { target: link()? },
            FileType::RegularFile => Self::file(stat, None, &[]),
            other => Self::Lost { why: format!("{} cannot be put back", FileKind::of(other)) },
        })
    }
    /// The same with the permission bits of another.
    pub(super) fn with_mode_of(&self, other: &Self) -> Self {
        let mut with = self.clone();
        if let (Self::File { mode, .. }, Self::File { mode: bits, .. }) = (&mut with, other) {
            *mode = *bits;
        }
        with
    }
    /// The attributes, to be set.
    pub(super) fn attributes(&self) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        let Self::File { attributes, .. } = self else { return Vec::new() };
        let bytes = |text: &String| path_from_text(text).map(PathBuf::into_os_string);
        let one = |(name, value): (&String, &String)| Some((bytes(name)?, bytes(value)?.into_vec()));
        attributes.iter().filter_map(one).collect()
    }
    /// Whether the path beneath `root` is a file with these bytes and attributes now.
    pub(super) fn has_bytes(&self, root: &Dir, path: &Path) -> io::Result<bool> {
        let Self::File { hash: Some(hash), .. } = self else { return Ok(false) };
        let Some(file) = open_file(root, path)? else { return Ok(false) };
        Ok(hash_file(&file)?.as_ref() == Some(hash) && attributes::are(&self.attributes(), &file)?)
    }
    /// Whether the path beneath `root` is this now: kind, permission bits, and bytes with attributes or link text. Times do
    /// not count.
    pub(super) fn holds(&self, root: &Dir, path: &Path) -> io::Result<bool> {
        let Some(stat) = lookup(root, path)? else { return Ok(false) };
        Ok(match self {
            // A folder takes its set-group-id bit from the one it lies in.
            Self::Folder { mode } => {
                kind(&stat) == FileType::Directory && *mode & !0o2000 == Self::mode_of(&stat) & !0o2000
            }
            Self::Symlink { target } => kind(&stat) == FileType::Symlink && root.read_link(path)? == *target,
            Self::File { hash, size, mode, .. } => {
                kind(&stat) == FileType::RegularFile
                    && *mode == Self::mode_of(&stat)
                    && match hash {
                        None => true,
                        Some(_) if u64::try_from(stat.st_size).ok() != Some(*size) => false,
                        Some(_) => self.has_bytes(root, path)?,
                    }
            }
            Self::Lost { .. } => false,
        })
    }
}

/// A regular file, open for reading; `None` for one that may not be read, or is none any more.
pub(super) fn open_file(root: &Dir, path: &Path) -> io::Result<Option<std::fs::File>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = match open_beneath(root.fd(), path, flags, Mode::empty()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => {
            return Ok(None);
        }
        other => std::fs::File::from(other?),
    };
    Ok(Some(file).filter(|file| file.metadata().is_ok_and(|found| found.is_file())))
}

/// The hash of an open file's bytes.
pub(in crate::workspace) fn hash_file(file: &std::fs::File) -> io::Result<Option<ContentHash>> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(ContentHash::try_from(hasher.finalize().to_hex().to_string()).ok())
}

/// The attributes of an open file, for [`State::file`].
pub(super) fn attributes_of(file: &std::fs::File) -> io::Result<Vec<(std::ffi::OsString, Vec<u8>)>> {
    attributes::travelling(file)
}

mod paths_as_text {
    use super::{PathBuf, path_from_text, path_to_text};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        paths.iter().map(|path| path_to_text(path)).collect::<Vec<_>>().serialize(serializer)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let path = |text: &String| {
            path_from_text(text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no escaped path")))
        };
        texts.iter().map(path).collect()
    }
}
