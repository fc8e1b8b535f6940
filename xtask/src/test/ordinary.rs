//! The second pass: the same tests as an ordinary user, who may read nothing of root's home.
//!
//! Programs, the project's files and a Rust toolchain are copied (the toolchain by hard links) to a folder
//! that everybody can read; the user gets a home, a temporary folder and an environment of his own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Program, python, run_one};
use crate::example::copy_tree;
use crate::run::quiet;
use crate::summary::Summary;
use crate::venv::{PIP, Venv, WHEEL};
use crate::{Failure, root, say};

/// `nobody`, on every Linux.
const USER: u32 = 65534;
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs every program, and the tests of the Python package, as the ordinary user and counts what they say.
pub(super) fn run(
    summary: &mut Summary,
    programs: &[Program],
    [agentic, weakened]: [&Path; 2],
    wheel: Option<&Path>,
) -> Result<(), Failure> {
    let stage = Stage::with(&agentic.with_file_name("agentic-spawner"), weakened)?;
    say(format!("the same tests as uid {USER}, from {}", stage.path.display()));
    stage.copy_program(agentic, "agentic")?;
    let mut path = OsString::from(SYSTEM_PATH);
    match stage.copy_toolchain() {
        Ok(folder) => path = format!("{}:{SYSTEM_PATH}", folder.display()).into(),
        Err(why) => say(format!("no Rust toolchain for the ordinary user: {why}")),
    }
    let venv = Venv::ensure_as(&stage.path.join("home/venv"), |program| {
        let mut command = stage.command(Path::new(program));
        command.current_dir(stage.path.join("home"));
        command
    });
    if venv.is_none() {
        say("no pytest for the ordinary user: his Python cannot make an environment");
    }

    for (number, program) in programs.iter().enumerate() {
        let name = format!("{number}-{}", program.label.replace(' ', "-"));
        let copy = stage.copy_program(&program.path, &name)?;
        let package = program.package.strip_prefix(root()).unwrap_or(&program.package);
        let package = stage.path.join("project").join(package);
        let mut command = stage.dress(program.command(&copy, &package));
        command.env("CARGO_MANIFEST_DIR", &package).env("PATH", &path).env("INSTA_UPDATE", "no");
        if let Some(venv) = &venv {
            venv.activate(&mut command, Some(path.clone()));
        }
        run_one(summary, &format!("{} (ordinary user)", program.label), &mut command)?;
    }
    match (wheel, &venv) {
        (Some(wheel), Some(venv)) => test_package(summary, &stage, venv, wheel, path),
        // Why there is no wheel has been said where it was built.
        (None, _) => Ok(()),
        (_, None) => {
            summary.skip("python (ordinary user)", "his Python cannot make an environment");
            Ok(())
        }
    }
}

/// The tests of the Python package, on the Python that this user has.
fn test_package(
    summary: &mut Summary,
    stage: &Stage,
    venv: &Venv,
    wheel: &Path,
    path: OsString,
) -> Result<(), Failure> {
    let label = "python (ordinary user)";
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    let wheel = stage.copy_program(wheel, &name)?;
    let mut pip = stage.command(&venv.program("python"));
    pip.current_dir(stage.path.join("home")).args(PIP).args(WHEEL).arg(wheel);
    let installed = quiet(&mut pip)?;
    if !installed.status.success() {
        let said = String::from_utf8_lossy(&installed.stderr);
        let why = said.trim().lines().last().unwrap_or("no reason given");
        summary.add(&format!("{label}: the wheel cannot be installed: {why}"), false);
        return Ok(());
    }
    let report = stage.path.join("tmp/pytest.xml");
    let mut command = stage.dress(python::pytest(venv, &report));
    command.current_dir(stage.path.join("project")).env("PYTHONDONTWRITEBYTECODE", "1");
    venv.activate(&mut command, Some(path));
    python::run_pytest(summary, label, &mut command, &report)
}

/// A folder that everybody can read, removed at the end.
pub(crate) struct Stage {
    path: PathBuf,
}

impl Stage {
    /// With the project's files and both spawners.
    pub(crate) fn with(spawner: &Path, weakened: &Path) -> Result<Self, Failure> {
        let stage = Self::make()?;
        stage.copy_program(spawner, "agentic-spawner")?;
        stage.copy_program(weakened, "weakened-spawner")?;
        Ok(stage)
    }
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
    fn make() -> Result<Self, Failure> {
        // Not /tmp: a tmpfs cannot hold the layers of every kernel, a disk can.
        let path = PathBuf::from(format!("/var/tmp/agentic-tests-{}", std::process::id()));
        let fail = |error: std::io::Error| format!("cannot make {}: {error}", path.display());
        fs::create_dir(&path).map_err(fail)?;
        let stage = Self { path: path.clone() };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(fail)?;
        for (name, mode) in [("bin", 0o755), ("project", 0o755), ("home", 0o700), ("tmp", 0o700)] {
            let folder = path.join(name);
            fs::create_dir(&folder).map_err(fail)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).map_err(fail)?;
            if mode == 0o700 {
                chown(&folder, Some(USER), Some(USER)).map_err(fail)?;
            }
        }
        for name in ["crates", "examples", "docs", "python"] {
            if root().join(name).is_dir() {
                copy_tree(&root().join(name), &path.join("project").join(name))?;
            }
        }
        copy_tree(&root().join("xtask"), &path.join("project/xtask"))?;
        for name in ["Cargo.toml", "Cargo.lock", "README.md", "SECURITY.md", "pyproject.toml"] {
            fs::copy(root().join(name), path.join("project").join(name)).map_err(fail)?;
        }
        let readable = quiet(Command::new("chmod").args(["-R", "a+rX"]).arg(path.join("project")))?;
        if readable.status.success() { Ok(stage) } else { Err(format!("cannot open {} to everybody", path.display())) }
    }
    pub(crate) fn copy_program(&self, from: &Path, name: &str) -> Result<PathBuf, Failure> {
        let to = self.path.join("bin").join(name);
        let copied = fs::copy(from, &to).and_then(|_| fs::set_permissions(&to, fs::Permissions::from_mode(0o755)));
        copied.map(|()| to).map_err(|error| format!("cannot copy {}: {error}", from.display()))
    }
    /// Puts cargo and rustc where rustup would, and returns the folder of the programs.
    fn copy_toolchain(&self) -> Result<PathBuf, Failure> {
        let mut rustc = Command::new("rustc");
        let sysroot = quiet(rustc.args(["--print", "sysroot"]).current_dir(root()))?.stdout;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim());
        let toolchain = self.path.join("home/.rustup/toolchains/copy");
        fs::create_dir_all(&toolchain).map_err(|error| format!("cannot make {}: {error}", toolchain.display()))?;
        for part in ["bin", "lib", "libexec"] {
            if !sysroot.join(part).is_dir() {
                continue;
            }
            let copy = |how: &str| quiet(Command::new("cp").arg(how).arg(sysroot.join(part)).arg(&toolchain));
            // Hard links are at once; they need the same file system.
            if !copy("-al")?.status.success() && !copy("-a")?.status.success() {
                return Err(format!("cannot copy {}", sysroot.join(part).display()));
            }
        }
        let folder = toolchain.join("bin");
        let works = quiet(self.command(&folder.join("cargo")).arg("--version"))?.status.success();
        if works { Ok(folder) } else { Err("the copy does not start".to_owned()) }
    }
    /// A command as the ordinary user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = self.dress(Command::new(program));
        command.env("PATH", SYSTEM_PATH);
        command
    }
    /// Gives a command the user, and an environment that holds nothing of root's.
    fn dress(&self, mut command: Command) -> Command {
        // The standard library drops the supplementary groups when root sets a uid.
        command.uid(USER).gid(USER).env_clear();
        command
            .env("HOME", self.path.join("home"))
            .env("TMPDIR", self.path.join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("AGENTIC_BIN", self.path.join("bin/agentic"))
            .env("AGENTIC_SPAWNER", self.path.join("bin/agentic-spawner"))
            .env("AGENTIC_WEAKENED_SPAWNER", self.path.join("bin/weakened-spawner"))
            .env("AGENTIC_TEST_ROOT", self.path.join("project"))
            .env("INSTA_WORKSPACE_ROOT", self.path.join("project"));
        // Where the machine keeps its packages and certificates is no secret, and pip needs it.
        let keep = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("PIP_")
                || name.ends_with("_proxy")
                || name.ends_with("_PROXY")
                || name.starts_with("SSL_CERT_")
        });
        command.envs(keep);
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            say(format!("cannot remove {}: {error}", self.path.display()));
        }
    }
}
