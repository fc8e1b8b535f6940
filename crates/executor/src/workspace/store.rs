//! The content-addressed store: bytes under the name of their blake3 hash, compressed with zstd.
//!
//! Main type: [`Store`]. An entry is written under a temporary name, synced and renamed, so a name that is there
//! holds all of its bytes; and they are hashed again on every read, so a disk that lies is found out by name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use serde::{Deserialize, Serialize};

use super::error::WorkspaceError;
use super::path::{sync_folder, temporary};

/// zstd level: originals are written on the way of a step and read back rarely.
const LEVEL: i32 = 1;

/// The name of an entry: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(String);

impl ContentHash {
    /// The hash of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContentHash {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let good = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(Self(text)) } else { Err(format!("`{text}` is no content hash (64 hexadecimal digits)")) }
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.0
    }
}

/// A folder of entries, private to this user. Clones share it; several processes may too.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the store in `folder`, making it (0700) where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or others may read it.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, WorkspaceError> {
        let folder = folder.into();
        super::tree::private_folder(&folder)?;
        Ok(Self { folder })
    }
    /// Keeps bytes; durable on return. The same bytes twice are kept once.
    ///
    /// # Errors
    /// What the disk said.
    pub fn put(&self, bytes: &[u8]) -> Result<ContentHash, WorkspaceError> {
        self.put_reader(bytes)
    }
    /// Keeps the rest of an open file, from its position on; memory stays flat.
    ///
    /// # Errors
    /// What the disk said.
    pub fn put_file(&self, file: &File) -> Result<ContentHash, WorkspaceError> {
        self.put_reader(file)
    }
    fn put_reader(&self, from: impl Read) -> Result<ContentHash, WorkspaceError> {
        let failed = || WorkspaceError::io::<io::Error>("store bytes in", &self.folder);
        let top = open_folder(&self.folder).map_err(failed())?;
        let _stays = self.lock_shared()?;
        let (name, file) = temporary(&top, 0o600).map_err(failed())?;
        let kept = self.folder.join(&name);
        let outcome = (|| {
            let hash = compress(from, &file)?;
            let target = self.entry(&hash);
            if self.renew(&hash) {
                std::fs::remove_file(&kept)?;
                return Ok(hash);
            }
            file.sync_all()?;
            let folder = self.folder.join(&hash.0[..2]);
            super::tree::make_private(&folder)?;
            std::fs::rename(&kept, target)?;
            sync_folder(&open_folder(&folder)?)?;
            sync_folder(&top)?;
            Ok(hash)
        })();
        if outcome.is_err() {
            let _ = std::fs::remove_file(&kept);
        }
        outcome.map_err(failed())
    }
    /// The bytes of an entry, hashed again.
    ///
    /// # Errors
    /// When there is none; [`WorkspaceError::Corrupted`] when its bytes are not those of its name.
    pub fn get(&self, hash: &ContentHash) -> Result<Vec<u8>, WorkspaceError> {
        let mut bytes = Vec::new();
        self.copy(hash, &mut bytes)?;
        Ok(bytes)
    }
    /// Writes the bytes of an entry to `to`, hashed on the way; memory stays flat.
    ///
    /// # Errors
    /// As [`Self::get`]. What was written before a corruption showed is not taken back.
    pub fn copy(&self, hash: &ContentHash, to: &mut impl Write) -> Result<u64, WorkspaceError> {
        let path = self.entry(hash);
        let corrupted =
            |reason: String| WorkspaceError::Corrupted { hash: hash.to_string(), path: path.clone(), reason };
        let file = File::open(&path).map_err(WorkspaceError::io("open the store entry", &path))?;
        let mut decoder = zstd::Decoder::new(file).map_err(|error| corrupted(error.to_string()))?;
        let (mut hasher, mut buffer, mut total) = (blake3::Hasher::new(), vec![0; 128 << 10], 0);
        loop {
            let length = decoder.read(&mut buffer).map_err(|error| corrupted(error.to_string()))?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
            to.write_all(&buffer[..length]).map_err(WorkspaceError::io("copy out the store entry", &path))?;
            total += length as u64;
        }
        let found = hasher.finalize().to_hex();
        if found.as_str() != hash.0 {
            return Err(corrupted(format!("its bytes hash to {found}")));
        }
        Ok(total)
    }
    /// Opens the bytes of an entry for reading. They are verified before this returns, then read a second time.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn open_entry(&self, hash: &ContentHash) -> Result<impl Read + use<>, WorkspaceError> {
        self.copy(hash, &mut io::sink())?;
        let path = self.entry(hash);
        let file = File::open(&path).map_err(WorkspaceError::io("open the store entry", &path))?;
        zstd::Decoder::new(file).map_err(WorkspaceError::io("read the store entry", &path))
    }
    /// Whether an entry is there (not whether it is sound).
    pub fn contains(&self, hash: &ContentHash) -> bool {
        self.entry(hash).exists()
    }
    /// Every entry with its file, bytes on the disk, and when it was put there last.
    pub(super) fn entries(&self) -> Result<Vec<(ContentHash, PathBuf, u64, SystemTime)>, WorkspaceError> {
        let list = || -> io::Result<_> {
            let mut all = Vec::new();
            for folder in std::fs::read_dir(&self.folder)? {
                let folder = folder?;
                if folder.file_name().len() != 2 || !folder.file_type()?.is_dir() {
                    continue;
                }
                for entry in std::fs::read_dir(folder.path())? {
                    let entry = entry?;
                    let name = folder.file_name().to_string_lossy().into_owned() + &entry.file_name().to_string_lossy();
                    let (Ok(hash), Ok(found)) = (ContentHash::try_from(name), entry.metadata()) else { continue };
                    all.push((hash, entry.path(), found.len(), found.modified()?));
                }
            }
            Ok(all)
        };
        list().map_err(WorkspaceError::io("list the store", &self.folder))
    }
    /// Nobody puts anything in while this is held.
    pub(super) fn lock_alone(&self) -> Result<File, WorkspaceError> {
        self.lock(FlockOperation::LockExclusive)
    }
    /// What is there stays there while this is held.
    fn lock_shared(&self) -> Result<File, WorkspaceError> {
        self.lock(FlockOperation::LockShared)
    }
    fn lock(&self, how: FlockOperation) -> Result<File, WorkspaceError> {
        let path = self.folder.join("lock");
        let open = || -> io::Result<File> {
            let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            rustix::io::retry_on_intr(|| rustix::fs::flock(&file, how))?;
            Ok(file)
        };
        open().map_err(WorkspaceError::io("lock the store", &path))
    }
    /// Whether an entry is there; then it counts as put there just now.
    fn renew(&self, hash: &ContentHash) -> bool {
        let now = Timestamps { last_access: NOW, last_modification: NOW };
        rustix::fs::utimensat(rustix::fs::CWD, self.entry(hash), &now, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
    fn entry(&self, hash: &ContentHash) -> PathBuf {
        self.folder.join(&hash.0[..2]).join(&hash.0[2..])
    }
}

/// Bytes that are put into a store together: durable once [`Self::finish`] returns, and none of them is there before.
#[derive(Debug)]
pub(super) struct Batch {
    store: Store,
    top: OwnedFd,
    /// Temporary names with the entries that they become.
    waiting: BTreeMap<ContentHash, OsString>,
    /// What is there already stays.
    _stays: File,
}

/// For `utimensat`: the kernel's own clock.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };

/// From so many files on the file system is synced as a whole (syncfs(2), which tells write errors since Linux 5.8).
pub(super) const MANY: usize = 16;

impl Store {
    /// Begins a batch: a step may replace thousands of files, and a sync for each would take seconds.
    pub(super) fn batch(&self) -> Result<Batch, WorkspaceError> {
        let top = open_folder(&self.folder).map_err(WorkspaceError::io("store bytes in", &self.folder))?;
        Ok(Batch { store: self.clone(), top, waiting: BTreeMap::new(), _stays: self.lock_shared()? })
    }
}

impl Batch {
    /// Takes the rest of an open file.
    pub(super) fn put(&mut self, file: &File) -> Result<ContentHash, WorkspaceError> {
        let mut put = || -> io::Result<ContentHash> {
            let (name, to) = temporary(&self.top, 0o600)?;
            let outcome = compress(file, &to);
            if !outcome.as_ref().is_ok_and(|hash| !self.waiting.contains_key(hash) && !self.store.renew(hash)) {
                rustix::fs::unlinkat(&self.top, &name, AtFlags::empty())?;
                return outcome;
            }
            let hash = outcome?;
            self.waiting.insert(hash.clone(), name);
            Ok(hash)
        };
        put().map_err(WorkspaceError::io("store bytes in", &self.store.folder))
    }
    /// Makes all of it durable, then gives it its names.
    pub(super) fn finish(mut self) -> Result<(), WorkspaceError> {
        let failed = WorkspaceError::io::<io::Error>("store bytes in", &self.store.folder);
        let mut finish = || -> io::Result<()> {
            if self.waiting.len() >= MANY {
                rustix::fs::syncfs(&self.top)?;
            } else {
                for name in self.waiting.values() {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    rustix::fs::fsync(rustix::fs::openat(&self.top, name, flags, Mode::empty())?)?;
                }
            }
            let mut folders = BTreeSet::new();
            while let Some((hash, name)) = self.waiting.pop_first() {
                let folder = self.store.folder.join(&hash.0[..2]);
                if folders.insert(folder.clone()) {
                    super::tree::make_private(&folder)?;
                }
                let moved = std::fs::rename(self.store.folder.join(&name), self.store.entry(&hash));
                if let Err(error) = moved {
                    self.waiting.insert(hash, name);
                    return Err(error);
                }
            }
            for folder in &folders {
                sync_folder(&open_folder(folder)?)?;
            }
            if folders.is_empty() { Ok(()) } else { sync_folder(&self.top) }
        };
        finish().map_err(failed)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for name in self.waiting.values() {
            let _ = rustix::fs::unlinkat(&self.top, name, AtFlags::empty());
        }
    }
}

/// Writes bytes compressed and returns their hash.
fn compress(mut from: impl Read, to: &File) -> io::Result<ContentHash> {
    let mut hasher = blake3::Hasher::new();
    let mut encoder = zstd::Encoder::new(to, LEVEL)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        hasher.update(&buffer[..length]);
        encoder.write_all(&buffer[..length])?;
    }
    encoder.finish()?;
    Ok(ContentHash(hasher.finalize().to_hex().to_string()))
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
