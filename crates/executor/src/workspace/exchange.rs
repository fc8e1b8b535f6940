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
    /// The folder itself, held since it was made: whatever the program puts in its place is not it.
    held: Dir,
}

impl Attempt {
    /// Makes one in the root that holds `folder` (absolute), and says how the folder reaches it: `../../.agentic-…`.
    ///
    /// # Errors
    /// When no root holds the folder, or the layer cannot be written to.
    pub fn exchange(&self, folder: &Path) -> Result<(Exchange, PathBuf), WorkspaceError> {
        let within = |path: &Path| WorkspaceError::root(path, "it is not a folder of the open workspace");
        let (written, rest) = self.written(folder)?.ok_or_else(|| within(folder))?;
        let exchange = Exchange::make(written)?;
        let up: PathBuf = rest.components().map(|_| "..").collect();
        let way = up.join(&exchange.name);
        Ok((exchange, way))
    }
}

impl Exchange {
    fn make(written: Dir) -> Result<Self, WorkspaceError> {
        let name = PathBuf::from(format!(".agentic-{}", uuid::Uuid::now_v7().simple()));
        let made = written.create_dir_all(&name).and_then(|()| {
            // The program may be another user inside.
            written.set_mode(&name, 0o777)?;
            written.folder(&name)
        });
        let held = made.map_err(WorkspaceError::io("make the folder of reports", &name))?;
        Ok(Self { written, name, held })
    }
    /// Writes a file into it, for the program to read, in place of whatever has that name: a link there is replaced, not
    /// followed.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let name = Path::new(name);
        tree::remove_beneath(&self.held, name)?;
        self.held.write(name, bytes, Some(0o755))
    }
    /// Opens a file that the program wrote.
    ///
    /// # Errors
    /// `NotFound` when it has not; as [`Dir::open_read`] for what is no regular file, or a way out of the folder.
    pub fn open(&self, name: &str) -> io::Result<File> {
        self.held.open_read(Path::new(name))
    }
    /// The whole of a file that the program wrote.
    ///
    /// # Errors
    /// As [`Self::open`]; `FileTooLarge` when it has more than `most` bytes.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        self.held.read(Path::new(name), most)
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
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn made(root: &Path) -> (Exchange, PathBuf) {
        let exchange = Exchange::make(Dir::open_root(root).unwrap()).unwrap();
        let folder = root.join(&exchange.name);
        (exchange, folder)
    }

    #[test]
    fn the_bits_are_those_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let (exchange, folder) = made(root.path());
        exchange.put("a.py", b"pass").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&folder.join("a.py"))), (0o777, 0o755));
        drop(exchange);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_the_program_made_of_it_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("secret"), "x").unwrap();
        let (exchange, folder) = made(root.path());
        symlink("/etc/passwd", folder.join("events")).unwrap();
        symlink("../secret", folder.join("beside")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("fifo"), 0o600.into()).unwrap();
        for link in ["events", "beside"] {
            assert_eq!(exchange.read(link, 100).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{link}");
        }
        assert_eq!(exchange.read("fifo", 100).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(exchange.read("none", 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::create_dir_all(folder.join("taken/deep")).unwrap();
        exchange.put("taken", b"ours").unwrap();
        // Written to, a link is replaced: what it leads to stays.
        exchange.put("beside", b"ours").unwrap();
        assert_eq!(exchange.read("beside", 100).unwrap(), b"ours");
        assert_eq!(std::fs::read(root.path().join("secret")).unwrap(), b"x");
    }

    #[test]
    fn another_folder_in_its_place_is_not_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("src")).unwrap();
        let (exchange, folder) = made(root.path());
        std::fs::rename(&folder, root.path().join("moved")).unwrap();
        symlink("src", &folder).unwrap();
        exchange.put("select.json", b"{}").unwrap();
        assert_eq!(std::fs::read_dir(root.path().join("src")).unwrap().count(), 0);
        assert!(root.path().join("moved/select.json").exists());
        drop(exchange);
        assert!(!folder.exists() && root.path().join("src").exists(), "the link is removed, not what it leads to");
    }
}
