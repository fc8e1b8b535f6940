//! The one door to host paths: everything resolves beneath a folder held by descriptor (`openat2`).
//!
//! [`Dir`] is that folder. A path in it may pass through links that stay inside; a way out (`..`, an absolute
//! link, a magic link, another mount for a write) is `PermissionDenied`. Files are replaced as a whole, by a
//! temporary file and a rename, so a reader never sees half of one. FIFOs and devices are never opened: they
//! could block or act. Longer than most, so that the whole door is seen at once.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Access, AtFlags, FileType, Gid, Mode, OFlags, RawDir, SeekFrom, Stat, Uid};
use rustix::io::Errno;

use super::error::WorkspaceError;
use super::resolve::{Resolved, denied, open_beneath, open_for_write, resolve, stat_in};

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// Something that this kernel knows and we do not.
    Other,
}

impl FileKind {
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            FileType::Unknown => Self::Other,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Dir => "a folder",
            Self::Symlink => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Other => "something of an unknown kind",
        })
    }
}

/// What the kernel knows of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Permission bits, set-id and sticky bits included; no type.
    pub mode: u32,
    /// Inode number.
    pub ino: u64,
    /// Device number of the file system.
    pub dev: u64,
    /// Time of the last change to the bytes.
    pub mtime: SystemTime,
    /// Time of the last change to anything; cannot be set by programs.
    pub ctime: SystemTime,
    /// Names that the file has.
    pub links: u64,
}

impl Metadata {
    #[allow(clippy::useless_conversion, reason = "the link count is narrower on other architectures")]
    fn of(stat: &Stat) -> Self {
        Self {
            kind: FileKind::of(FileType::from_raw_mode(stat.st_mode)),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode & 0o7777,
            ino: stat.st_ino,
            dev: stat.st_dev,
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            links: stat.st_nlink.into(),
        }
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    start.and_then(|start| start.checked_add(Duration::from_nanos(nanoseconds))).unwrap_or(UNIX_EPOCH)
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, any bytes.
    pub name: OsString,
    /// What it names.
    pub kind: FileKind,
}

/// A folder held by descriptor; paths resolve beneath it and nowhere else. Clones share the descriptor.
#[derive(Debug, Clone)]
pub struct Dir {
    root: Arc<OwnedFd>,
    path: PathBuf,
    user: Option<(u32, u32)>,
    read_only: bool,
}

impl Dir {
    /// Opens the folder at `path`; links on the way to it are followed.
    ///
    /// # Errors
    /// When there is no such folder, or it is not a folder, or may not be searched.
    pub fn open_root(path: &Path) -> Result<Self, WorkspaceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| WorkspaceError::Io {
            action: "open the folder",
            path: path.to_owned(),
            source: errno.into(),
        })?;
        Ok(Self::from_fd(root, path))
    }
    /// The folder behind a descriptor (a mount made for us). `path` is what messages call it.
    pub fn from_fd(root: OwnedFd, path: &Path) -> Self {
        Self { root: Arc::new(root), path: path.to_owned(), user: None, read_only: false }
    }
    /// The same folder, touched as this user and group: what is written belongs to them.
    #[must_use]
    pub fn as_user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }
    /// The same folder, refusing every write.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
    /// The same folder under another name in messages.
    pub(super) fn called(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }
    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The descriptor (`O_PATH`).
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// What `rel` is, without following a last link.
    ///
    /// # Errors
    /// What the kernel said; `PermissionDenied` for a way out.
    pub fn metadata(&self, rel: &Path) -> io::Result<Metadata> {
        self.as_identity(|| {
            let found = self.existing(rel, false)?;
            let fd = open_beneath(self.fd(), &found.path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
            Ok(Metadata::of(&rustix::fs::fstat(fd)?))
        })
    }
    /// `rel` with every link followed, relative to the root; empty for the root itself.
    ///
    /// # Errors
    /// `NotFound` when it is not there, `PermissionDenied` for a way out.
    pub fn resolve(&self, rel: &Path) -> io::Result<PathBuf> {
        self.as_identity(|| Ok(self.existing(rel, true)?.path))
    }
    /// Whether `rel`, followed to its end, is there and may be looked at.
    pub fn exists(&self, rel: &Path) -> bool {
        self.resolve(rel).is_ok()
    }
    /// The text of the link at `rel`.
    ///
    /// # Errors
    /// `InvalidInput` when it is no link; `PermissionDenied` for a way out (of the path, not of the text).
    pub fn read_link(&self, rel: &Path) -> io::Result<PathBuf> {
        self.as_identity(|| {
            let found = self.existing(rel, false)?;
            let fd = open_beneath(self.fd(), &found.path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
            if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::Symlink {
                return Err(Errno::INVAL.into());
            }
            Ok(OsString::from_vec(rustix::fs::readlinkat(fd, "", Vec::new())?.into_bytes()).into())
        })
    }
    /// Opens a regular file for reading; links inside the root are followed.
    ///
    /// # Errors
    /// `IsADirectory` for a folder, `InvalidInput` for FIFOs, sockets and devices, `PermissionDenied` for a way out.
    pub fn open_read(&self, rel: &Path) -> io::Result<File> {
        self.as_identity(|| {
            let found = self.existing(rel, true)?;
            let seen = open_beneath(self.fd(), &found.path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
            regular(&rustix::fs::fstat(seen)?)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
            let fd = open_beneath(self.fd(), &found.path, flags, Mode::empty())?;
            regular(&rustix::fs::fstat(&fd)?)?;
            Ok(fd.into())
        })
    }
    /// The whole of a regular file.
    ///
    /// # Errors
    /// As [`Self::open_read`]; `FileTooLarge` when it has more than `most` bytes.
    pub fn read(&self, rel: &Path, most: u64) -> io::Result<Vec<u8>> {
        let file = self.open_read(rel)?;
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {most} bytes")));
        }
        Ok(bytes)
    }
    /// Copies a regular file into `to`, which is empty; holes stay holes.
    ///
    /// # Errors
    /// As [`Self::open_read`], or what writing said.
    pub fn copy_file(&self, rel: &Path, to: &File) -> io::Result<()> {
        super::copy::copy_bytes(&self.open_read(rel)?, to)
    }
    /// The names in a folder, sorted, without `.` and `..`.
    ///
    /// # Errors
    /// `NotADirectory` for anything else, `PermissionDenied` for a way out.
    pub fn read_dir(&self, rel: &Path) -> io::Result<Vec<DirEntry>> {
        self.as_identity(|| {
            let found = self.existing(rel, true)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            entries(&open_beneath(self.fd(), &found.path, flags, Mode::empty())?)
        })
    }

    /// Replaces the bytes of `rel`, or creates it; a link inside the root is followed to its target. An existing
    /// file keeps its permission bits (without set-id), owner where allowed, and extended attributes; `mode` sets the bits.
    /// A new one gets `mode`, or 0666 less the umask. A file with several names is written in place, so that all see it.
    ///
    /// # Errors
    /// `NotFound` when the folder is missing, `IsADirectory`, `InvalidInput` for FIFOs, sockets and devices,
    /// `PermissionDenied` for a way out or another mount.
    pub fn write(&self, rel: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
        self.writable()?;
        self.as_identity(|| {
            let found = resolve(self.fd(), rel, true)?;
            let (folder, name) = self.parent(&found)?;
            let old = match stat_in(&folder, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                other => Some(other?),
            };
            if let Some(old) = &old {
                regular(old)?;
                // A rename would get past a file's own permission bits; a program that opens it would not.
                rustix::fs::accessat(&folder, name, Access::WRITE_OK, AtFlags::EACCESS)?;
                if old.st_nlink > 1 {
                    let mut file = open_to_write(&folder, name, OFlags::TRUNC)?;
                    return finish(&mut file, bytes, mode);
                }
            }
            replace(&folder, name, old.as_ref(), bytes, mode)
        })
    }
    /// Adds `bytes` at the end of `rel`, or creates it with 0666 less the umask.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn append(&self, rel: &Path, bytes: &[u8]) -> io::Result<()> {
        self.writable()?;
        self.as_identity(|| {
            let found = resolve(self.fd(), rel, true)?;
            let (folder, name) = self.parent(&found)?;
            if found.exists {
                return finish(&mut open_to_write(&folder, name, OFlags::APPEND)?, bytes, None);
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let mut file = File::from(open_for_write(folder.as_fd(), Path::new(name), flags, Mode::from(0o666))?);
            finish(&mut file, bytes, None)?;
            sync_folder(&folder)
        })
    }
    /// Makes `rel` and the folders above it, with 0777 less the umask, where they are missing.
    ///
    /// # Errors
    /// `NotADirectory` when something else is in the way, `PermissionDenied` for a way out.
    pub fn create_dir_all(&self, rel: &Path) -> io::Result<()> {
        self.writable()?;
        self.as_identity(|| {
            let mut upto = PathBuf::new();
            for component in rel.components() {
                upto.push(component);
                let found = resolve(self.fd(), &upto, true)?;
                if !found.exists {
                    let (folder, name) = self.parent(&found)?;
                    match rustix::fs::mkdirat(&folder, name, Mode::from(0o777)) {
                        // Somebody else made it: just as good, if it is a folder.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                    sync_folder(&folder)?;
                }
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                open_beneath(self.fd(), &found.path, flags, Mode::empty())?;
            }
            Ok(())
        })
    }
    /// The folder at `rel`, held by a descriptor of its own; a last link is not followed.
    pub(super) fn folder(&self, rel: &Path) -> io::Result<Self> {
        self.as_identity(|| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let fd = open_beneath(self.fd(), rel, flags, Mode::empty())?;
            Ok(Self { root: Arc::new(fd), path: self.path.join(rel), ..self.clone() })
        })
    }
    /// Sets the permission bits of the folder at `rel`, whatever the umask.
    pub(super) fn set_mode(&self, rel: &Path, mode: u32) -> io::Result<()> {
        self.writable()?;
        self.as_identity(|| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let folder = open_for_write(self.fd(), rel, flags, Mode::empty())?;
            Ok(rustix::fs::fchmod(folder, Mode::from(mode & 0o777))?)
        })
    }
    /// Removes the file or link at `rel` (the link itself, not its target).
    ///
    /// # Errors
    /// `IsADirectory` for a folder, `NotFound`, `PermissionDenied` for a way out.
    pub fn remove_file(&self, rel: &Path) -> io::Result<()> {
        self.writable()?;
        self.as_identity(|| {
            let found = self.existing(rel, false)?;
            let (folder, name) = self.parent(&found)?;
            rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
            sync_folder(&folder)
        })
    }

    fn writable(&self) -> io::Result<()> {
        if self.read_only { Err(denied("the workspace was opened for reading only")) } else { Ok(()) }
    }
    fn existing(&self, rel: &Path, follow_last: bool) -> io::Result<Resolved> {
        let found = resolve(self.fd(), rel, follow_last)?;
        if found.exists { Ok(found) } else { Err(Errno::NOENT.into()) }
    }
    /// The folder that holds what was found, open and on the root's own mount, and the name in it.
    fn parent<'a>(&self, found: &'a Resolved) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (folder, name) = found.split().ok_or(Errno::ISDIR)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        Ok((open_for_write(self.fd(), folder, flags, Mode::empty())?, name))
    }
    /// Runs `f` with the file-system identity of the folder's user, when one is set.
    fn as_identity<T>(&self, f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.user {
            None => f(),
            Some((uid, gid))
                if rustix::process::geteuid() == Uid::from_raw(uid)
                    && rustix::process::getegid() == Gid::from_raw(gid) =>
            {
                f()
            }
            // Fails closed: files written under another owner would be worse than none.
            Some((uid, _)) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, format!("cannot act as uid {uid} in this process")))
            }
        }
    }
}

/// Refuses everything but a regular file.
fn regular(stat: &Stat) -> io::Result<()> {
    match FileKind::of(FileType::from_raw_mode(stat.st_mode)) {
        FileKind::File => Ok(()),
        FileKind::Dir => Err(Errno::ISDIR.into()),
        // A last link was resolved already, so one that is here now was swapped in.
        FileKind::Symlink => Err(denied("became a symbolic link meanwhile")),
        kind => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("is {kind}, not a regular file"))),
    }
}

/// Opens an existing regular file in `folder` for writing in place.
fn open_to_write(folder: &OwnedFd, name: &OsStr, how: OFlags) -> io::Result<File> {
    let seen = stat_in(folder, name)?;
    regular(&seen)?;
    // Truncation comes last, when it is sure which file this is.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | (how - OFlags::TRUNC);
    let file = File::from(open_for_write(folder.as_fd(), Path::new(name), flags, Mode::empty())?);
    let opened = rustix::fs::fstat(&file)?;
    regular(&opened)?;
    if (opened.st_dev, opened.st_ino) != (seen.st_dev, seen.st_ino) {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "was replaced while it was being opened"));
    }
    if how.contains(OFlags::TRUNC) {
        file.set_len(0)?;
    }
    Ok(file)
}

fn finish(file: &mut File, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(mode) = mode {
        rustix::fs::fchmod(&*file, Mode::from(mode & 0o777))?;
    }
    file.sync_all()
}

/// Writes a temporary file beside `name` and renames it over.
fn replace(folder: &OwnedFd, name: &OsStr, old: Option<&Stat>, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let (temporary, file) = temporary(folder, if old.is_some() { 0o600 } else { 0o666 })?;
    let mut file = file;
    let outcome = (|| {
        let keep = old.map(|old| old.st_mode & 0o777);
        if let Some(old) = old {
            inherit(folder, name, old, &file)?;
        }
        finish(&mut file, bytes, mode.or(keep))?;
        rustix::fs::renameat(folder, &temporary, folder, name)?;
        sync_folder(folder)
    })();
    if outcome.is_err() {
        // The first error is the one to tell; after a rename there is nothing left to remove.
        let _ = rustix::fs::unlinkat(folder, &temporary, AtFlags::empty());
    }
    outcome
}

/// A new file in `folder` under a name that nobody uses, and the name.
pub(super) fn temporary(folder: &OwnedFd, mode: u32) -> io::Result<(OsString, File)> {
    let name = OsString::from(format!(".agentic-{}.tmp", uuid::Uuid::now_v7().simple()));
    let file = new_file(folder, &name, mode)?;
    Ok((name, file))
}

/// A new file in `folder`.
pub(super) fn new_file(folder: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    Ok(open_for_write(folder.as_fd(), Path::new(name), flags, Mode::from(mode))?.into())
}

/// Gives a new file what the old one had: owner and group where that is allowed, extended attributes.
fn inherit(folder: &OwnedFd, name: &OsStr, old: &Stat, new: &File) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
    if rustix::fs::fchown(new, Some(uid), Some(gid)).is_err() {
        // An ordinary user may keep a group of their own and nothing more.
        let _ = rustix::fs::fchown(new, None, Some(gid));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    // A file that may be replaced and not read keeps no attributes: nothing of it can be listed.
    let Ok(old) = open_beneath(folder.as_fd(), Path::new(name), flags, Mode::empty()) else { return Ok(()) };
    super::attributes::copy(&old, new)
}

/// The names in an open folder, sorted.
pub(super) fn entries(folder: &OwnedFd) -> io::Result<Vec<DirEntry>> {
    entries_of(folder, |_| true)
}

/// Those of some kinds: a folder may have thousands of others.
pub(super) fn entries_of(folder: &OwnedFd, wanted: impl Fn(FileKind) -> bool) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    // Not opened once more, which would lose how it was opened; so it may stand at its end.
    rustix::fs::seek(folder, SeekFrom::Start(0))?;
    let mut room = [MaybeUninit::uninit(); 16 << 10];
    let mut listed = RawDir::new(folder, &mut room);
    while let Some(entry) = listed.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            // The folder was removed meanwhile: nothing is in it.
            Err(Errno::NOENT) => break,
            other => other?,
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match stat_in(folder, name) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            },
            known => known,
        };
        let kind = FileKind::of(kind);
        if wanted(kind) {
            entries.push(DirEntry { name: name.to_owned(), kind });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &OwnedFd) -> io::Result<()> {
    match rustix::fs::fsync(folder) {
        // Some file systems do not sync folders and say so; there is nothing to wait for.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
