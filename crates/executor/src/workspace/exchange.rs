//! A folder of ours inside a layer, through which a program of the step and the host hand each other files: scripts in,
//! reports out. What the program does to it is its own: everything is read by descriptor, and nothing in it is believed
//! to be a file before it was looked at.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::WorkspaceError;
use super::path::Dir;
use super::{Attempt, tree};

/// Such a folder, at the top of a root. It is gone when this is dropped, which must be before the attempt is committed.
#[derive(Debug)]
pub struct Exchange {
    /// The layer's own folder, not the merged one: it serves while the program runs.
    written: Dir,
    name: PathBuf,
}

impl Attempt {
    /// Makes one in the root that holds `folder` (absolute), and says how the folder reaches it: `../../.agentic-…`.
    ///
    /// # Errors
    /// When no root holds the folder, or the layer cannot be written to.
    pub fn exchange(&self, folder: &Path) -> Result<(Exchange, PathBuf), WorkspaceError> {
        let within = |path: &Path| WorkspaceError::root(path, "it is not a folder of the open workspace");
        let (written, rest) = self.written(folder)?.ok_or_else(|| within(folder))?;
        let name = PathBuf::from(format!(".agentic-{}", uuid::Uuid::now_v7().simple()));
        let exchange = Exchange { written, name };
        let made = exchange.make("");
        made.map_err(WorkspaceError::io("make the folder of reports", &exchange.name))?;
        let up: PathBuf = rest.components().map(|_| "..").collect();
        let way = up.join(&exchange.name);
        Ok((exchange, way))
    }
}

impl Exchange {
    /// Its name in the root.
    pub fn name(&self) -> &Path {
        &self.name
    }
    /// Makes a folder in it that everybody may write to: the program may be another user inside.
    fn make(&self, rel: &str) -> io::Result<()> {
        let path = self.name.join(rel);
        self.written.create_dir_all(&path)?;
        self.written.set_mode(&path, 0o777)
    }
    /// Writes a file into it, for the program to read.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put(&self, rel: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.name.join(rel);
        self.written.write(&path, bytes, Some(0o755))
    }
    /// Opens a file that the program wrote.
    ///
    /// # Errors
    /// `NotFound` when it has not; as [`Dir::open_read`] for what is no regular file, or a way out.
    pub fn open(&self, rel: &str) -> io::Result<File> {
        self.written.open_read(&self.name.join(rel))
    }
    /// The whole of a file that the program wrote.
    ///
    /// # Errors
    /// As [`Self::open`]; `FileTooLarge` when it has more than `most` bytes.
    pub fn read(&self, rel: &str, most: u64) -> io::Result<Vec<u8>> {
        self.written.read(&self.name.join(rel), most)
    }
    /// The names in it, or in a folder of it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn list(&self, rel: &str) -> io::Result<Vec<String>> {
        let entries = self.written.read_dir(&self.name.join(rel))?;
        Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // What cannot be removed is named in the change set, like anything else that a step leaves.
        let _ = tree::remove_beneath(&self.written, &self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_bits_are_those_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let exchange = Exchange { written: Dir::open_root(root.path()).unwrap(), name: ".agentic-x".into() };
        exchange.make("").unwrap();
        exchange.put("a.py", b"pass").unwrap();
        let mode = |rel: &str| std::fs::metadata(root.path().join(rel)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(".agentic-x"), mode(".agentic-x/a.py")), (0o777, 0o755));
        drop(exchange);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_the_program_made_of_it_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("secret"), "x").unwrap();
        let exchange = Exchange { written: Dir::open_root(root.path()).unwrap(), name: ".agentic-x".into() };
        exchange.make("").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join(".agentic-x/events")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join(".agentic-x/fifo"), 0o600.into()).unwrap();
        assert_eq!(exchange.read("events", 100).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(exchange.read("fifo", 100).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(exchange.read("none", 100).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
