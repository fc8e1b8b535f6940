//! Where a test runs and as whom: the program under test, the project's files, root or an ordinary user.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's root: `AGENTIC_TEST_ROOT` (a copy that an ordinary user can read), else the source tree.
pub fn project_root() -> PathBuf {
    match std::env::var_os("AGENTIC_TEST_ROOT") {
        Some(root) => PathBuf::from(root),
        None => {
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
            manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
        }
    }
}

/// The `agentic` program: `AGENTIC_BIN`, else the one built beside this test.
///
/// # Panics
/// When there is none, with how to build it.
pub fn agentic_binary() -> PathBuf {
    built("AGENTIC_BIN", "agentic", "agentic-cli")
}

/// The sandbox's spawner: `AGENTIC_SPAWNER`, else the one built beside this test.
///
/// # Panics
/// When there is none, with how to build it.
pub fn spawner_binary() -> PathBuf {
    built("AGENTIC_SPAWNER", "agentic-spawner", "agentic-sandbox")
}

fn built(variable: &str, name: &str, package: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable} names {}, which is no file", path.display());
        return path;
    }
    // A test binary lies in target/<profile>/deps, a doctest's elsewhere; the programs in target/<profile>.
    let this = std::env::current_exe().expect("the path of this test");
    let path = this.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file());
    path.unwrap_or_else(|| panic!("no {name} beside {}: run `cargo build -p {package}` first", this.display()))
}

/// The first executable of that name on `PATH`.
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name.as_ref())).find(|file| {
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An ordinary user as whom root can start programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrdinaryUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl OrdinaryUser {
    /// A command that starts `program` as this user, without supplementary groups.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // The standard library drops the supplementary groups when root sets a uid.
        command.uid(self.uid).gid(self.gid);
        command
    }
    /// Gives `path` to this user.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn give(self, path: &Path) -> std::io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }
}

/// `nobody` when this process is root; `None` when it is ordinary already.
pub fn ordinary_user() -> Option<OrdinaryUser> {
    is_root().then_some(OrdinaryUser { uid: 65534, gid: 65534 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        assert!(project_root().join("Cargo.toml").is_file());
    }

    #[test]
    fn programs_are_found_by_name_only_when_executable() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }

    #[test]
    fn an_ordinary_user_is_one() {
        let Some(user) = ordinary_user() else { crate::skip!("not root") };
        let output = user.command("id").arg("-u").current_dir("/").output().expect("id");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), user.uid.to_string());
    }
}
