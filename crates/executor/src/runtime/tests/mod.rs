//! The pure parts, tested without a sandbox.

mod diagnose;
mod find;
mod imports;
mod policy;
mod sandboxed;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agentic_sandbox::Spawner;

use crate::config::{Budgets, Config, Host, SandboxSettings};

/// A home folder, a workspace and a `PATH` of our own making.
struct World {
    _dir: tempfile::TempDir,
    home: PathBuf,
    workspace: PathBuf,
    config: Config,
}

impl World {
    fn new() -> Self {
        // Not under /tmp: the toolchain probe shows nothing of it.
        let base = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let dir = tempfile::Builder::new().prefix("world").tempdir_in(base).unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let (home, workspace) = (base.join("home"), base.join("home/project"));
        fs::create_dir_all(&workspace).unwrap();
        let config = Config {
            workspace: workspace.clone(),
            state: base.join("state"),
            spawner: Spawner::Path(agentic_testkit::spawner_binary()),
            host: Host { home: Some(home.clone()), memory: 1 << 30, ..Host::default() },
            sandbox: SandboxSettings::default(),
            budgets: Budgets::default(),
        };
        let mut world = Self { _dir: dir, home, workspace, config };
        world.set("PATH", "");
        world
    }
    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.config.host.env.insert(name.into(), value.into());
    }
    /// A file with its folders.
    fn file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
    fn executable(&self, path: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.file(path, bytes);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
    /// What looks like a native program.
    fn program(&self, path: impl AsRef<Path>) -> PathBuf {
        self.executable(path, b"\x7fELF and nothing more")
    }
    fn link(&self, path: impl AsRef<Path>, to: impl AsRef<Path>) -> PathBuf {
        let path = self.home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, &path).unwrap();
        path
    }
}
