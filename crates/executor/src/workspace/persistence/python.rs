//! Python's environments and its compiled files.
//!
//! Main function: [`judge`]. A virtual environment that was there before the step is one that its owner activates: its
//! interpreter and its `activate` are not a step's to replace. Compiled files are judged by their header alone
//! (PEP 552): whether the code in one is that of its source could only Python say.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::super::view::kind;
use super::Found;
use super::Level::{Flagged, Protected};
use super::rules::COMMANDS;
use super::sight::{Content, Sight};

/// What a file or link that was put at `path` means; `changed` says whether the step put something at a path.
pub(super) fn judge(
    path: &Path,
    upper: &Stat,
    replaces: bool,
    sight: &Sight<'_>,
    changed: &dyn Fn(&Path) -> bool,
    found: &mut Vec<Found>,
) -> io::Result<()> {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { return Ok(()) };
    if name.ends_with(".pyc") {
        return compiled(path, upper, sight, changed, found);
    }
    if name == "pyvenv.cfg" && replaces {
        found.push(Found::new(path, "environment", Protected, "says which interpreter a virtual environment uses"));
        return Ok(());
    }
    let Some(environment) = environment_of(path) else { return Ok(()) };
    let marker = environment.join("pyvenv.cfg");
    let stem = name.strip_suffix(".exe").unwrap_or(&name);
    let first = |prefix: &str| name.starts_with(prefix);
    if sight.before(&marker)?.is_some() {
        if (first("python") || first("activate")) && (replaces || kind(upper) == FileType::Symlink) {
            let reason = "replaces the interpreter or the activation of a virtual environment";
            found.push(Found::new(path, "environment", Protected, reason));
            return Ok(());
        }
        if replaces {
            found.push(Found::new(path, "environment", Flagged, "replaces a program of a virtual environment"));
        }
    }
    if COMMANDS.contains(&stem) && sight.after(&marker)?.is_some() {
        let reason = "comes before the system's command of that name once the environment is activated";
        found.push(Found::new(path, "environment", Protected, reason));
    }
    Ok(())
}

/// Whether a link is the interpreter of a virtual environment, which leads out of it by nature.
pub(super) fn is_interpreter(path: &Path, text: &Path, sight: &Sight<'_>) -> io::Result<bool> {
    let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"));
    let Some(environment) = environment_of(path).filter(|_| named) else { return Ok(false) };
    // Where everybody may write, anybody's program can be put later.
    let open = ["/tmp", "/var/tmp", "/dev", "/run", "/proc"].iter().any(|folder| text.starts_with(folder));
    Ok(!open && text.is_absolute() && sight.after(&environment.join("pyvenv.cfg"))?.is_some())
}

/// The folder that `path` would be a program of: the one that holds its `bin`.
fn environment_of(path: &Path) -> Option<PathBuf> {
    let bin = path.parent()?;
    let named = bin.file_name().is_some_and(|name| name == "bin" || name.eq_ignore_ascii_case("scripts"));
    named.then(|| bin.parent().unwrap_or(Path::new("")).to_owned())
}

fn compiled(
    path: &Path,
    upper: &Stat,
    sight: &Sight<'_>,
    changed: &dyn Fn(&Path) -> bool,
    found: &mut Vec<Found>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    if folder.file_name().is_none_or(|name| name != "__pycache__") {
        found.push(Found::new(path, "bytecode", Flagged, "is compiled Python that is imported without a source"));
        return Ok(());
    }
    // `name.cpython-312.pyc`, `name.cpython-312.opt-1.pyc`: the source is `name.py` in the folder above.
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.split('.').next().unwrap_or_default();
    let source = folder.parent().unwrap_or(Path::new("")).join(format!("{stem}.py"));
    if unchecked(path, upper, sight)? {
        let reason = "is compiled Python that is never compared with its source";
        found.push(Found::new(path, "bytecode", Protected, reason));
    } else if !changed(&source) && sight.after(&source)?.is_some() {
        let reason = "is run in place of a source that the step did not change";
        found.push(Found::new(path, "bytecode", Flagged, reason));
    }
    Ok(())
}

/// Bit 0 of the flags: valid by hash; bit 1: the hash is compared with the source (PEP 552).
fn unchecked(path: &Path, upper: &Stat, sight: &Sight<'_>) -> io::Result<bool> {
    if kind(upper) != FileType::RegularFile {
        return Ok(true);
    }
    Ok(match sight.head_after(path, 16)? {
        Content::Bytes(head) => head.get(4..8).is_some_and(|flags| flags[0] & 0b11 == 0b01),
        _ => true,
    })
}
