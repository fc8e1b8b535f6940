//! A Python environment with pytest, made once, for the example and for tests that run Python projects.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{must, quiet, show_and_run};
use crate::{Failure, say, target};

const PYTEST: &str = "pytest>=8,<10";

/// A Python environment.
#[derive(Debug, Clone)]
pub(crate) struct Venv {
    path: PathBuf,
}

impl Venv {
    /// The one below the target folder, made when it is missing or broken.
    pub(crate) fn ensure() -> Result<Self, Failure> {
        let venv = Self { path: target().join("venv") };
        if venv.works() {
            return Ok(venv);
        }
        say("making a Python environment with pytest (once)");
        let make = || {
            let mut command = Command::new("python3");
            command.args(["-m", "venv", "--clear"]).arg(&venv.path);
            command
        };
        if !has_ensurepip()? {
            install_venv_package()?;
        }
        must(&mut make(), "making the Python environment")?;
        let mut pip = venv.python();
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTEST]);
        must(&mut pip, "installing pytest (is the Python package index reachable?)")?;
        Ok(venv)
    }
    /// The environment at `path`, made by `start`, which adds the user to run as; `None` when that user cannot.
    pub(crate) fn ensure_as(path: &Path, start: impl Fn(&str) -> Command) -> Option<Self> {
        let venv = Self { path: path.to_owned() };
        let python = path.join("bin/python").display().to_string();
        let made = quiet(start("python3").args(["-m", "venv"]).arg(path));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTEST];
        let filled = made.is_ok_and(|made| made.status.success())
            && quiet(start(&python).args(pip)).is_ok_and(|pip| pip.status.success());
        filled.then_some(venv)
    }
    /// Makes `command` see this environment as activated, before `path`.
    pub(crate) fn activate(&self, command: &mut Command, path: Option<OsString>) {
        let path = path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let folders = std::iter::once(self.path.join("bin")).chain(std::env::split_paths(&path));
        // A folder with a colon in its name cannot be on a PATH; such a folder was none of ours.
        let joined = std::env::join_paths(folders.filter(|folder| !folder.to_string_lossy().contains(':')));
        command.env("VIRTUAL_ENV", &self.path).env("PATH", joined.unwrap_or(path)).env_remove("PYTHONHOME");
    }
    /// Its Python.
    pub(crate) fn python(&self) -> Command {
        Command::new(self.path.join("bin/python"))
    }
    fn works(&self) -> bool {
        quiet(self.python().args(["-c", "import pytest"])).is_ok_and(|run| run.status.success())
    }
}

/// Debian and Ubuntu keep the part of Python that fills an environment in a package of its own.
fn has_ensurepip() -> Result<bool, Failure> {
    let run = quiet(Command::new("python3").args(["-c", "import ensurepip, venv"]))
        .map_err(|error| format!("{error}; install Python 3"))?;
    Ok(run.status.success())
}

fn install_venv_package() -> Result<(), Failure> {
    let advice = "Python's venv module is incomplete; on Debian and Ubuntu: apt-get install python3-venv";
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let root = quiet(Command::new("id").arg("-u")).is_ok_and(|run| run.stdout == b"0\n");
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        return Err(advice.to_owned());
    }
    say("Python's venv module is incomplete: installing the package python3-venv");
    let install = ["install", "--yes", "--no-install-recommends", "python3-venv"];
    if show_and_run(&mut apt(&install))? {
        return Ok(());
    }
    must(&mut apt(&["update"]), "updating the package lists")?;
    must(&mut apt(&install), advice)
}
