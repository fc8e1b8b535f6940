//! A workspace in a temporary folder, and what overlayfs would leave in an upper, made by hand: no mount needed.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_executor::sandbox::{Sandbox, Source, Spawner};
use agentic_executor::tools::Access;
use agentic_executor::workspace::{Attempt, Backend, ChangeSet, Watcher, WorkspaceError, Workspaces};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

pub struct World {
    pub root: PathBuf,
    pub workspaces: Workspaces,
    pub temp: tempfile::TempDir,
}

pub fn world() -> World {
    watched(None)
}

pub fn watched(watcher: Option<Watcher>) -> World {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap().join("project");
    fs::create_dir(&root).unwrap();
    let sandbox = Sandbox::new(Spawner::Path(agentic_testkit::spawner_binary())).unwrap();
    let mut workspaces = Workspaces::new(&temp.path().join("state"), sandbox).unwrap();
    if let Some(watcher) = watcher {
        workspaces = workspaces.with_watcher(watcher);
    }
    World { root, workspaces, temp }
}

impl World {
    pub fn put(&self, path: &str, bytes: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| format!("<{error}>"))
    }
    pub fn open(&self) -> Attempt {
        self.open_as(Backend::Overlay)
    }
    pub fn open_as(&self, backend: Backend) -> Attempt {
        self.workspaces.open_with(std::slice::from_ref(&self.root), Access::Write, backend).unwrap()
    }
    pub fn state(&self) -> PathBuf {
        self.temp.path().join("state")
    }
    /// Nothing of ours is left: no layer, no temporary name in the project.
    pub fn assert_clean(&self) {
        let layers: Vec<_> = fs::read_dir(self.state().join("layers")).unwrap().collect();
        assert!(layers.is_empty(), "layers left: {layers:?}");
        for path in tree(&self.root).keys() {
            assert!(!path.to_string_lossy().contains(".agentic-"), "left behind: {path:?}");
        }
    }
}

/// The folder that takes the writes of an attempt's `n`th root.
pub fn upper(attempt: &Attempt, n: usize) -> PathBuf {
    match &attempt.mounts()[n].source {
        Source::Overlay { upper, .. } => upper.clone(),
        Source::Copy { dir } => dir.clone(),
        Source::ReadOnly => panic!("a read-only attempt takes no writes"),
    }
}

/// A step's writes, as its overlay's upper would hold them.
pub struct Step<'a> {
    pub upper: PathBuf,
    pub lower: &'a Path,
}

pub fn step<'a>(attempt: &Attempt, lower: &'a Path) -> Step<'a> {
    Step { upper: upper(attempt, 0), lower }
}

impl Step<'_> {
    /// Folders above `path`, copied up with their permission bits.
    pub fn parents(&self, path: &str) {
        let mut upto = PathBuf::new();
        for name in Path::new(path).parent().unwrap() {
            upto.push(name);
            let made = self.upper.join(&upto);
            if made.symlink_metadata().is_err() {
                fs::create_dir(&made).unwrap();
                if let Ok(below) = self.lower.join(&upto).metadata() {
                    fs::set_permissions(&made, fs::Permissions::from_mode(below.mode() & 0o7777)).unwrap();
                }
            }
        }
    }
    pub fn write(&self, path: &str, bytes: &str) {
        self.parents(path);
        let made = self.upper.join(path);
        fs::write(&made, bytes).unwrap();
        if let Ok(below) = self.lower.join(path).symlink_metadata()
            && below.is_file()
        {
            fs::set_permissions(&made, fs::Permissions::from_mode(below.mode() & 0o7777)).unwrap();
        }
    }
    pub fn whiteout(&self, path: &str) {
        self.parents(path);
        rustix::fs::mknodat(CWD, self.upper.join(path), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }
    /// A mark that overlayfs would set; false where the file system has no user attributes.
    pub fn mark(&self, path: &str, mark: &str, value: &str) -> bool {
        let name = format!("user.overlay.{mark}");
        rustix::fs::setxattr(self.upper.join(path), name, value.as_bytes(), XattrFlags::empty()).is_ok()
    }
}

pub fn conflicts(error: WorkspaceError) -> Vec<PathBuf> {
    match error {
        WorkspaceError::Conflict(found) => found.into_iter().map(|conflict| conflict.path).collect(),
        other => panic!("not a conflict: {other}"),
    }
}

/// One entry of a tree: what it is, its bytes or link text, its permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    File(Vec<u8>, u32),
    Dir(u32),
    Link(PathBuf),
    /// A FIFO, socket or device; never opened.
    Special,
}

pub fn tree(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let (mut found, mut next) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = next.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let data = path.symlink_metadata().unwrap();
            let mode = data.mode() & 0o7777;
            let entry = if data.is_dir() {
                next.push(path.clone());
                Entry::Dir(mode)
            } else if data.is_symlink() {
                Entry::Link(fs::read_link(&path).unwrap())
            } else if !data.is_file() {
                Entry::Special
            } else {
                Entry::File(fs::read(&path).unwrap_or_default(), mode)
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
        }
    }
    found
}

pub fn raw(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

pub const SECRET: &str = "a secret of the host";
/// Far beyond what any of this takes; only a wait without end passes it.
const SOON: Duration = Duration::from_secs(30);

/// A file beside the workspace that nobody may read or write for the program.
pub fn secret(world: &World) -> PathBuf {
    let path = world.temp.path().canonicalize().unwrap().join("secret");
    fs::write(&path, SECRET).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), SECRET, "the control: we can read it");
    path
}

pub fn fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// Does something in another thread, and fails when it never comes back.
pub fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(done.send(what())));
    wait.recv_timeout(SOON).expect("it waits for something that never comes")
}

pub fn commit(attempt: Attempt) -> Result<ChangeSet, WorkspaceError> {
    in_time(move || attempt.commit())
}

pub const BOTH: [Backend; 2] = [Backend::Overlay, Backend::Copy];
