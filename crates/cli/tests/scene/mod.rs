//! The world around one run of the program: a home, a workspace and a state folder of its own, and nothing
//! of the caller's environment but `PATH`.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A home, a workspace, a state folder.
pub(crate) struct Scene {
    root: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What came of a run whose output may be large, and what our own process took for it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) code: i32,
    /// The first 64 KiB of standard output.
    pub(crate) head: Vec<u8>,
    /// How many bytes there were.
    pub(crate) total: u64,
    pub(crate) stderr: String,
    /// The most memory that the program (not what it started) had at once, in kB.
    pub(crate) peak: u64,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("agentic-cli-").tempdir().unwrap();
        for name in ["home", "work", "state", "config/agentic"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        Self { root, variables: Vec::new() }
    }
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }
    /// The workspace, or something in it.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }
    /// Writes a file of the workspace.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.work(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.work(name)).unwrap()
    }
    /// The user's own settings.
    pub(crate) fn user_settings(&self, text: &str) -> &Self {
        std::fs::write(self.path("config/agentic/config.toml"), text).unwrap();
        self
    }
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }
    /// The program, ready to start in the workspace.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(agentic_testkit::agentic_binary());
        command.args(args);
        self.surround(&mut command);
        command
    }
    pub(crate) fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path("work"));
    }
    /// A run whose output is thrown away as it comes.
    pub(crate) fn measure<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Measured {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let output = std::thread::spawn(move || {
            let (mut head, mut total, mut buffer) = (Vec::new(), 0_u64, vec![0; 1 << 16]);
            loop {
                let count = stdout.read(&mut buffer).unwrap();
                if count == 0 {
                    return (head, total);
                }
                let room = (1_usize << 16).saturating_sub(head.len());
                head.extend_from_slice(&buffer[..count.min(room)]);
                total += count as u64;
            }
        });
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let mut peak = 0;
        let status = loop {
            // The high-water mark only grows, so the last look before the end has all but the last moments.
            peak = high_water(child.id()).unwrap_or(0).max(peak);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let (head, total) = output.join().unwrap();
        Measured { code: status.code().unwrap_or(-1), head, total, stderr: errors.join().unwrap(), peak }
    }
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Seen {
        self.run_with(args, b"")
    }
    /// A run with this on standard input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, stdin: &[u8]) -> Seen {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that does not read what it is given may close the pipe first.
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_owned();
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Seen {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Seen {
    /// The exit code, with everything that was said when it is another.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "`{text}` is not in stderr: {}\nstdout: {}", self.stderr, self.stdout);
        self
    }
    #[track_caller]
    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "`{text}` is not in stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

/// `VmHWM` of a process.
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// Whether nothing is beneath a folder.
pub(crate) fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none())
}

/// Everything in a folder: permission bits and bytes by path.
pub(crate) fn tree(root: &Path) -> std::collections::BTreeMap<PathBuf, String> {
    let (mut all, mut next) = (std::collections::BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let bytes = if found.is_dir() { Ok(String::new()) } else { std::fs::read_to_string(&path) };
            let what = format!("{:o} {bytes:?}", std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
            next.extend(found.is_dir().then(|| path.clone()));
            all.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    all
}
