//! The workspace of an open attempt, by paths relative to it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentic_executor::workspace::{Dir, FileKind, Metadata, WorkspaceError, path_on_a_line};
use agentic_executor::{Cause, ToolContext, ToolResult};

/// Bytes of a file that are looked at to tell text from what is none.
const LOOK: u64 = 8 << 10;

/// The workspace of an open attempt.
///
/// It is a mount of its own that ends with it: between two commands a new one is opened.
#[derive(Debug)]
pub(super) struct Tree {
    dir: Dir,
    base: PathBuf,
}

/// A file as rules see it.
#[derive(Debug)]
pub(super) enum Content {
    Text(String),
    /// It is not UTF-8, or has a NUL byte.
    NotText,
    /// It has more bytes than a rule may see.
    TooLarge,
    /// Why it cannot be read.
    Unreadable(io::Error),
}

impl Tree {
    /// The workspace as it lies in its folder, to be read only.
    pub(super) fn original(workspace: &Path) -> Result<Self, WorkspaceError> {
        Ok(Self { dir: Dir::open_root(workspace)?.read_only(), base: PathBuf::new() })
    }
    pub(super) fn open(context: &ToolContext<'_>) -> Result<Self, ToolResult> {
        let (dir, base) = context.look()?;
        Ok(Self { dir, base })
    }
    /// The text of a file of at most `most` bytes.
    pub(super) fn text(&self, path: &Path, most: u64) -> Content {
        match self.read(path, most) {
            Ok(Some(bytes)) => text_of(bytes),
            Ok(None) => Content::Unreadable(io::ErrorKind::NotFound.into()),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => match self.begins_as_text(path) {
                Ok(true) => Content::TooLarge,
                Ok(false) => Content::NotText,
                Err(error) => Content::Unreadable(error),
            },
            Err(error) => Content::Unreadable(error),
        }
    }
    fn begins_as_text(&self, path: &Path) -> io::Result<bool> {
        let mut head = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(self.dir.open_read(&self.base.join(path))?, LOOK), &mut head)?;
        let text = match str::from_utf8(&head) {
            Ok(_) => true,
            // A character may be cut at the end.
            Err(error) => error.error_len().is_none(),
        };
        Ok(text && !head.contains(&0))
    }
    /// The path in the tree, where no link stands at it or on the way to it: what is read and written is the file that has
    /// this name, and rules of approval are judged by it.
    fn plain(&self, path: &Path) -> io::Result<PathBuf> {
        let full = self.base.join(path);
        let link = || io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link, or lies behind one");
        let mut above = full.as_path();
        loop {
            match self.dir.resolve(above) {
                Ok(real) => return if real == above { Ok(full.clone()) } else { Err(link()) },
                // Not there; or a link that leads to nothing, which is.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.dir.metadata(above).is_ok() {
                        return Err(link());
                    }
                    match above.parent() {
                        Some(parent) if !parent.as_os_str().is_empty() => above = parent,
                        _ => return Ok(full.clone()),
                    }
                }
                // A file where a folder was: nothing can be there.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(full.clone()),
                Err(error) => return Err(error),
            }
        }
    }
    /// Whether a file is this: these bytes, or not there. Whatever cannot be read as a file of that size is not.
    pub(super) fn is(&self, path: &Path, wanted: Option<&[u8]>) -> bool {
        let most = wanted.map_or(0, |bytes| bytes.len() as u64);
        self.read(path, most).is_ok_and(|there| there.as_deref() == wanted)
    }
    /// The bytes of a file; `None` when there is none.
    pub(super) fn read(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
        match self.plain(path).and_then(|full| self.dir.read(&full, most)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.dir.metadata(&self.base.join(path))
    }
    /// The names in a folder, of what can be read.
    pub(super) fn folder(&self, path: &Path) -> Vec<(PathBuf, FileKind)> {
        let entries = self.dir.read_dir(&self.base.join(path)).unwrap_or_default();
        entries.into_iter().map(|entry| (path.join(&entry.name), entry.kind)).collect()
    }
    /// Makes a file what it is to be: these bytes, or not there.
    pub(super) fn put(&self, path: &Path, bytes: Option<&[u8]>, mode: Option<u32>) -> Result<(), ToolResult> {
        let full = self.plain(path).map_err(|error| failed("write", path, &error))?;
        let written = match bytes {
            Some(bytes) => {
                let above = full.parent().filter(|above| !above.as_os_str().is_empty());
                above
                    .map_or(Ok(()), |above| self.dir.create_dir_all(above))
                    .and_then(|()| self.dir.write(&full, bytes, mode))
            }
            None => match self.dir.remove_file(&full) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            },
        };
        written.map_err(|error| failed("write", path, &error))
    }
    /// Waits until the second is over in which a file was written, or the last command ended: caches (of Python, of `make`)
    /// know a file by its size and its time in seconds, and would take one text for the other.
    pub(super) fn settle(&self, path: &Path, ended: Option<SystemTime>) {
        let second = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let written = self.metadata(path).ok().map(|metadata| metadata.mtime);
        let Some(last) = [written, ended].into_iter().flatten().map(second).max() else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if now.as_secs() == last {
            // The file system's clock is a tick behind.
            std::thread::sleep(Duration::from_secs(last + 1) - now + Duration::from_millis(20));
        }
    }
}

/// What bytes are to rules.
pub(super) fn text_of(bytes: Vec<u8>) -> Content {
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Content::Text(text),
        _ => Content::NotText,
    }
}

/// What a failed operation on a file is for the caller.
pub(super) fn failed(action: &str, path: &Path, error: &io::Error) -> ToolResult {
    let cause = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Cause::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::DiskFull,
        _ => Cause::Failed,
    };
    ToolResult::failure(cause, format!("failed to {action} {}: {error}", path_on_a_line(path)))
}
