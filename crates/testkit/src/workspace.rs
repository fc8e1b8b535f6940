//! A temporary folder to act on, with builders for the projects that tests need, and a private state folder beside it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A temporary workspace and state folder, both removed at the end. Builders panic with what failed.
#[derive(Debug)]
pub struct TestWorkspace {
    _temporary: TempDir,
    _state: Option<TempDir>,
    path: PathBuf,
    state: PathBuf,
}

impl Default for TestWorkspace {
    fn default() -> Self {
        Self::new()
    }
}

impl TestWorkspace {
    /// An empty workspace in the temporary folder of the system. The state folder lies beside it, or in
    /// `AGENTIC_TEST_STATES`, which may be on another file system.
    pub fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("agentic-test-").tempdir().expect("make a temporary folder");
        Self::within(temporary)
    }
    /// The same where the state folders are: for what is shown to programs as it is, which not every file system can be.
    pub fn beside_states() -> Self {
        let mut builder = tempfile::Builder::new();
        builder.prefix("agentic-test-");
        let made = match std::env::var_os("AGENTIC_TEST_STATES") {
            Some(folder) => builder.tempdir_in(folder),
            None => builder.tempdir(),
        };
        Self::within(made.expect("make a temporary folder"))
    }
    fn within(temporary: TempDir) -> Self {
        let root = temporary.path().canonicalize().expect("resolve the temporary folder");
        let apart = std::env::var_os("AGENTIC_TEST_STATES").map(|folder| {
            tempfile::Builder::new().prefix("agentic-test-").tempdir_in(folder).expect("make a state folder")
        });
        let beside = apart.as_ref().map_or(root.as_path(), TempDir::path);
        let (path, state) = (root.join("workspace"), beside.join("state"));
        for folder in [&path, &state] {
            fs::create_dir(folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
        }
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("make the state folder private");
        Self { _temporary: temporary, _state: apart, path, state }
    }
    /// The workspace, absolute and without symlinks.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// A private folder beside the workspace for layers, store and journal.
    pub fn state(&self) -> &Path {
        &self.state
    }
    /// The absolute path of something in the workspace.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }
    /// Writes a file, its folders included.
    pub fn file(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.join(relative);
        let folder = path.parent().expect("a file has a folder");
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        self
    }
    /// Writes a file that can be executed.
    pub fn executable(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        self.file(relative.as_ref(), content).mode(relative, 0o755)
    }
    /// Sets permission bits.
    pub fn mode(&self, relative: impl AsRef<Path>, mode: u32) -> &Self {
        let path = self.join(relative);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .unwrap_or_else(|error| panic!("chmod {}: {error}", path.display()));
        self
    }
    /// Makes a folder, those above it included.
    pub fn dir(&self, relative: impl AsRef<Path>) -> &Self {
        let path = self.join(relative);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        self
    }
    /// Makes a symlink at `relative` that says `target`.
    pub fn symlink(&self, relative: impl AsRef<Path>, target: impl AsRef<Path>) -> &Self {
        let path = self.join(relative);
        std::os::unix::fs::symlink(target, &path).unwrap_or_else(|error| panic!("link {}: {error}", path.display()));
        self
    }
    /// A file's text.
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.join(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
    }
    /// Whether something is there; a broken symlink counts.
    pub fn exists(&self, relative: impl AsRef<Path>) -> bool {
        self.join(relative).symlink_metadata().is_ok()
    }
    /// Everything in it: path, then kind, permission bits and bytes or link target. Two equal trees are equal maps.
    pub fn tree(&self) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("list {}: {error}", folder.display()));
            for entry in entries.flatten() {
                let path = entry.path();
                let metadata = path.symlink_metadata().unwrap_or_else(|e| panic!("stat {}: {e}", path.display()));
                let mode = metadata.permissions().mode() & 0o7777;
                let value = if metadata.is_dir() {
                    folders.push(path.clone());
                    (format!("folder {mode:o}"), Vec::new())
                } else if metadata.is_symlink() {
                    let target = fs::read_link(&path).expect("read a link");
                    ("link".to_owned(), target.into_os_string().into_encoded_bytes())
                } else if metadata.is_file() {
                    (
                        format!("file {mode:o}"),
                        fs::read(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display())),
                    )
                } else {
                    (format!("special {mode:o}"), Vec::new())
                };
                tree.insert(path.strip_prefix(&self.path).expect("beneath the workspace").to_owned(), value);
            }
        }
        tree
    }
    /// Makes it a git repository with everything in one commit. False when git is not installed.
    pub fn git(&self) -> bool {
        if crate::find_program("git").is_none() {
            return false;
        }
        self.git_command(&["init", "--quiet", "--initial-branch=main"]);
        self.git_command(&["add", "--all"]);
        self.git_command(&["commit", "--quiet", "--allow-empty", "--message=start"]);
        true
    }
    /// Runs git in the workspace with an identity of its own and no configuration of the user, and returns its output.
    ///
    /// # Panics
    /// When git fails.
    pub fn git_command(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(&self.path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .expect("start git");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
    /// A Python package with a pytest configuration and two tests: both pass, or one fails.
    pub fn pytest_project(&self, green: bool) -> &Self {
        let sign = if green { "+" } else { "-" };
        self.file("pyproject.toml", "[project]\nname = \"sums\"\nversion = \"0.1\"\n\n[tool.pytest.ini_options]\ntestpaths = [\"tests\"]\npythonpath = [\".\"]\n")
            .file("sums.py", format!("def add(a, b):\n    return a {sign} b\n"))
            .file("tests/test_sums.py", "from sums import add\n\n\ndef test_two():\n    assert add(1, 1) == 2\n\n\ndef test_zero():\n    assert add(0, 0) == 0\n")
    }
    /// A cargo library without dependencies and with one passing test.
    pub fn cargo_project(&self) -> &Self {
        self.file("Cargo.toml", "[package]\nname = \"sums\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n")
            .file("src/lib.rs", "pub fn add(a: u32, b: u32) -> u32 {\n    a + b\n}\n\n#[test]\nfn two() {\n    assert_eq!(add(1, 1), 2);\n}\n")
    }
    /// An npm package without dependencies whose `npm test` runs node's own asserts.
    pub fn npm_project(&self) -> &Self {
        self.file("package.json", "{\n  \"name\": \"sums\",\n  \"version\": \"0.1.0\",\n  \"private\": true,\n  \"scripts\": { \"test\": \"node test.js\" }\n}\n")
            .file("sums.js", "exports.add = (a, b) => a + b;\n")
            .file("test.js", "const assert = require('assert');\nconst { add } = require('./sums');\nassert.strictEqual(add(1, 1), 2);\nconsole.log('1 passed');\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_trees_compare_equal_and_a_mode_is_a_difference() {
        let (one, two) = (TestWorkspace::new(), TestWorkspace::new());
        for workspace in [&one, &two] {
            workspace.file("a/b.txt", "b").executable("run", "#!/bin/sh\n").symlink("link", "a/b.txt").dir("empty");
        }
        assert_eq!(one.tree(), two.tree());
        two.mode("run", 0o644);
        assert_ne!(one.tree(), two.tree());
    }

    #[test]
    fn a_repository_has_one_clean_commit() {
        let workspace = TestWorkspace::new();
        workspace.cargo_project();
        if !workspace.git() {
            crate::skip!("git is not installed");
        }
        assert_eq!(workspace.git_command(&["rev-list", "--count", "HEAD"]).trim(), "1");
        assert_eq!(workspace.git_command(&["status", "--porcelain"]), "");
    }
}
