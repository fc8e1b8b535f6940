//! The fuzz targets of `fuzz/`, each for so many seconds, with cargo-fuzz.
//!
//! No sanitizer is asked for: it would take a nightly compiler, and what it finds is misuse of memory, while the targets are
//! `forbid(unsafe_code)` or reach none. Assertions and overflow checks are on.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{cargo, quiet, show_and_run};
use crate::{Failure, root, say, target};

/// Seconds for each target when nothing else is said.
const SECONDS: u32 = 60;

/// Runs every target. True when none found anything.
pub(crate) fn run(seconds: Option<&str>) -> Result<bool, Failure> {
    let seconds = match seconds.map(str::parse) {
        None => SECONDS,
        Some(Ok(seconds)) if seconds > 0 => seconds,
        Some(_) => return Err("--seconds takes a whole number above 0".to_owned()),
    };
    if !quiet(Command::new("cargo-fuzz").arg("--version")).is_ok_and(|run| run.status.success()) {
        return Err("cargo-fuzz is not installed: cargo install cargo-fuzz --locked".to_owned());
    }
    let mut passed = true;
    for name in targets()? {
        say(format!("{name}, {seconds} seconds"));
        let corpus = root().join("fuzz/corpus").join(&name);
        std::fs::create_dir_all(&corpus).map_err(|error| format!("cannot make {}: {error}", corpus.display()))?;
        let mut command = cargo(&["fuzz", "run", "--sanitizer", "none", "--target-dir"]);
        command.arg(target().join("fuzz")).arg(&name).arg(corpus).arg(root().join("fuzz/seeds").join(&name));
        command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=20", "-print_final_stats=1"]);
        passed &= show_and_run(&mut command)?;
    }
    Ok(passed)
}

/// Each file in `fuzz_targets` is one.
fn targets() -> Result<Vec<String>, Failure> {
    let folder = root().join("fuzz/fuzz_targets");
    let files = std::fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let mut names: Vec<String> =
        paths.filter_map(|path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort_unstable();
    Ok(names)
}
