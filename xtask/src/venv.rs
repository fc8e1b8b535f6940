//! Python environments below the target folder, each made once: with pytest, with tools, with the package.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{must, quiet, show_and_run};
use crate::{Failure, say, target};

/// What every environment that runs tests has.
pub(crate) const PYTEST: &str = "pytest>=8,<10";
/// What the environment for tests that run Python projects has besides: the part of the compatibility matrix
/// (`compat.rs` has the whole) that is quickly installed.
const EVERYDAY: [&str; 4] = [PYTEST, "numpy", "requests", "pytest-xdist"];
pub(crate) const PIP: [&str; 5] = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
/// How pip takes a wheel that was built here: itself alone, even where its version is there already.
pub(crate) const WHEEL: [&str; 3] = ["--no-index", "--no-deps", "--force-reinstall"];

/// A Python environment.
#[derive(Debug, Clone)]
pub(crate) struct Venv {
    path: PathBuf,
}

impl Venv {
    /// The one with pytest, for the example and for tests that run Python projects.
    pub(crate) fn ensure() -> Result<Self, Failure> {
        if !has_ensurepip()? {
            install_venv_package()?;
        }
        Self::with("venv", Path::new("python3"), &EVERYDAY)
    }
    /// The one at `name` below the target folder, of that interpreter and with those packages. It is made when it is
    /// missing, broken, or of something else.
    pub(crate) fn with(name: &str, python: &Path, packages: &[&str]) -> Result<Self, Failure> {
        let venv = Self { path: target().join(name) };
        let made_of = venv.path.join("made-of.txt");
        let recipe = format!("{}\n{}\n", python.display(), packages.join("\n"));
        let as_it_was = std::fs::read_to_string(&made_of).is_ok_and(|known| known == recipe);
        if as_it_was && quiet(venv.python().args(["-c", "import pip"])).is_ok_and(|run| run.status.success()) {
            return Ok(venv);
        }
        say(format!("making a Python environment with {} (once)", packages.join(", ")));
        let mut make = Command::new(python);
        must(make.args(["-m", "venv", "--clear"]).arg(&venv.path), "making the Python environment")?;
        let mut pip = venv.python();
        pip.args(PIP).args(packages);
        must(&mut pip, "installing the packages (is the Python package index reachable?)")?;
        std::fs::write(&made_of, recipe).map_err(|error| format!("cannot write {}: {error}", made_of.display()))?;
        Ok(venv)
    }
    /// The environment at `path`, made by `start`, which adds the user to run as; `None` when that user cannot.
    pub(crate) fn ensure_as(path: &Path, start: impl Fn(&str) -> Command) -> Option<Self> {
        let venv = Self { path: path.to_owned() };
        let python = path.join("bin/python").display().to_string();
        let made = quiet(start("python3").args(["-m", "venv"]).arg(path));
        let filled = made.is_ok_and(|made| made.status.success())
            && quiet(start(&python).args(PIP).args(EVERYDAY)).is_ok_and(|pip| pip.status.success());
        filled.then_some(venv)
    }
    /// Puts a wheel of ours into it, in place of the one that is there.
    pub(crate) fn install(&self, wheel: &Path) -> Result<(), Failure> {
        let mut pip = self.python();
        must(pip.args(PIP).args(WHEEL).arg(wheel), "installing the wheel")
    }
    /// Makes `command` see this environment as activated, before `path`.
    pub(crate) fn activate(&self, command: &mut Command, path: Option<OsString>) {
        let path = path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let folders = std::iter::once(self.path.join("bin")).chain(std::env::split_paths(&path));
        // A folder with a colon in its name cannot be on a PATH; such a folder was none of ours.
        let joined = std::env::join_paths(folders.filter(|folder| !folder.to_string_lossy().contains(':')));
        command.env("VIRTUAL_ENV", &self.path).env("PATH", joined.unwrap_or(path)).env_remove("PYTHONHOME");
    }
    /// A program of it.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.path.join("bin").join(name)
    }
    /// Its Python.
    pub(crate) fn python(&self) -> Command {
        Command::new(self.program("python"))
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
