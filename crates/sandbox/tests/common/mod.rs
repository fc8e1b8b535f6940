//! What the boundary tests share: one sandbox, short ways to run a shell or Python line in it.

#![allow(dead_code, reason = "each boundary's test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use agentic_sandbox::{Command, Limits, Output, Policy, Sandbox, Source, Spawner, Workspace};
use tempfile::TempDir;

/// The sandbox of this test program.
pub(crate) fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(Spawner::Path(agentic_testkit::spawner_binary())).expect("a sandbox"))
}

/// The host's Python that lies outside every home, with its prefix.
pub(crate) fn python() -> PathBuf {
    let path = PathBuf::from("/usr/bin/python3");
    assert!(path.exists(), "these tests need the system's Python at {}", path.display());
    path
}

/// A folder under a private state, and the overlay source over it.
pub(crate) struct Folder {
    place: TempDir,
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir_in(disk()).expect("a temporary folder");
        let path = place.path().join("workspace");
        std::fs::create_dir(&path).expect("a workspace");
        for name in ["upper", "work"] {
            std::fs::create_dir(place.path().join(name)).expect("a layer");
        }
        Self { place, path }
    }
    pub(crate) fn upper(&self) -> PathBuf {
        self.place.path().join("upper")
    }
    pub(crate) fn beside(&self) -> &Path {
        self.place.path()
    }
    pub(crate) fn source(&self) -> Source {
        Source::Overlay { lowers: vec![self.path.clone()], upper: self.upper(), work: self.place.path().join("work") }
    }
    pub(crate) fn policy(&self) -> Policy {
        Policy { workspaces: vec![Workspace { path: self.path.clone(), source: self.source() }], ..Policy::default() }
    }
}

/// A place on a disk: a layer cannot lie on every kernel's tmpfs.
fn disk() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// `sh -c SCRIPT` under a policy.
pub(crate) fn shell(policy: Policy, limits: Limits, script: &str) -> Output {
    Command::new("/bin/sh")
        .args(["-c", script])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .policy(policy)
        .limits(limits)
        .output(sandbox())
        .expect("a run")
}

/// `python3 -I -S -c CODE` under a policy.
pub(crate) fn code(policy: Policy, limits: Limits, code: &str) -> Output {
    Command::new(python())
        .args(["-I", "-S", "-c", code])
        .policy(policy)
        .limits(limits)
        .output(sandbox())
        .expect("a run")
}

/// Limits with this much time.
pub(crate) fn seconds(wall: u64) -> Limits {
    Limits { wall: Duration::from_secs(wall), ..Limits::default() }
}

/// What a run printed, when it ended well.
pub(crate) fn printed(output: &Output) -> String {
    assert!(output.reason.success(), "{:?}: {}{}", output.reason, output.stdout.text(), output.stderr.text());
    output.stdout.text()
}

/// The same Python code without any sandbox: the control.
pub(crate) fn unconfined(code: &str) -> String {
    let output = std::process::Command::new(python()).args(["-I", "-S", "-c", code]).output().expect("python");
    assert!(output.status.success(), "the control failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The kernel's Landlock ABI version; 0 where there is none.
pub(crate) fn landlock_abi() -> u32 {
    let asked = unconfined("import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))");
    asked.trim().parse().unwrap_or(0)
}
