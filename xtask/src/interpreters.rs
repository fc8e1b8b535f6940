//! The CPython interpreters of this machine: on the PATH, and where pyenv and uv keep theirs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::run::quiet;

/// The oldest that the package is for: `requires-python` in pyproject.toml.
const OLDEST: (u32, u32) = (3, 9);
/// Says version, patch level and path of an interpreter that can make environments and load an abi3 module.
const QUESTION: &str = "\
import ensurepip, os, sys, sysconfig, venv
assert sys.implementation.name == 'cpython' and sys.version_info.releaselevel == 'final'
assert not sysconfig.get_config_var('Py_GIL_DISABLED')
print(*sys.version_info[:3], os.path.realpath(sys.executable))";

/// An interpreter; ordered by version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interpreter {
    version: (u32, u32),
    patch: u32,
    pub(crate) path: PathBuf,
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version.0, self.version.1)
    }
}

/// The oldest and the newest that the package supports; one where the machine has but one version.
pub(crate) fn oldest_and_newest() -> Result<Vec<Interpreter>, Failure> {
    let mut found: Vec<_> = candidates().iter().filter_map(|path| ask(path)).collect();
    found.retain(|interpreter| interpreter.version >= OLDEST);
    found.sort();
    let (Some(oldest), Some(newest)) = (found.first(), found.last()) else {
        let (major, minor) = OLDEST;
        return Err(format!(
            "no CPython {major}.{minor} or later with `venv` was found on the PATH, in pyenv's or uv's folder"
        ));
    };
    let mut both = vec![oldest.clone(), newest.clone()];
    both.dedup_by_key(|interpreter| interpreter.version);
    Ok(both)
}

/// What that interpreter is; `None` for one that does not start or does not serve.
pub(crate) fn ask(path: &Path) -> Option<Interpreter> {
    let output = quiet(Command::new(path).args(["-I", "-c", QUESTION])).ok()?;
    read(String::from_utf8_lossy(&output.stdout).trim())
}

fn read(answer: &str) -> Option<Interpreter> {
    let mut words = answer.splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let (version, patch) = ((number()?, number()?), number()?);
    Some(Interpreter { version, patch, path: words.next().filter(|path| !path.is_empty())?.into() })
}

/// Paths that may be interpreters, each file once.
fn candidates() -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        paths.extend(children(&folder).into_iter().filter(|path| names_python(path)));
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = variable("HOME").unwrap_or_default();
    let data = variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    let pyenv = variable("PYENV_ROOT").unwrap_or_else(|| home.join(".pyenv")).join("versions");
    let uv = variable("UV_PYTHON_INSTALL_DIR").unwrap_or_else(|| data.join("uv/python"));
    for versions in [pyenv, uv] {
        paths.extend(children(&versions).into_iter().map(|version| version.join("bin/python3")));
    }
    // A shim of pyenv is a program of its own and stays; links to one file are one interpreter.
    let mut files: Vec<_> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    files.sort();
    files.dedup();
    files
}

/// `python3` or `python3.12`, and no `python3-config`.
fn names_python(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let minor = name.strip_prefix("python3").and_then(|rest| rest.strip_prefix('.').or(rest.is_empty().then_some("0")));
    minor.is_some_and(|minor| minor.parse::<u32>().is_ok())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_known_by_their_names() {
        for (name, is) in [("python3", true), ("python3.9", true), ("python3.13", true), ("python3-config", false)] {
            assert_eq!(names_python(&Path::new("/usr/bin").join(name)), is, "{name}");
        }
        assert!(!names_python(Path::new("/usr/bin/python3.13t")));
    }

    #[test]
    fn versions_are_numbers_and_not_words() {
        let old = read("3 9 18 /opt/a folder/bin/python3.9").expect("an interpreter");
        let new = read("3 13 0 /opt/b/bin/python3.13").expect("an interpreter");
        assert!(old < new);
        assert_eq!((old.to_string().as_str(), old.path.as_path()), ("3.9", Path::new("/opt/a folder/bin/python3.9")));
        assert!(read("").is_none() && read("3 9 18").is_none());
    }
}
