//! The example: a plan that runs on a fresh copy of a small broken project and mends it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cannot_start, cargo, must, quiet, show_and_run};
use crate::venv::Venv;
use crate::{Failure, root, say, target};

/// Builds, runs the plan, shows what it changed. True when the run succeeded.
pub(crate) fn run() -> Result<bool, Failure> {
    let agentic = build()?;
    run_plan(&agentic, &Venv::ensure()?)
}

/// Builds the `agentic` program. A debug build: it is ready in half the time and takes the same path through the kernel.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    must(&mut cargo(&["build", "--package", "agentic-cli"]), "building agentic")?;
    Ok(target().join("debug/agentic"))
}

/// Builds the spawner that leaves barriers out, into a folder of its own: the controls of the attack corpus need it.
pub(crate) fn build_weakened() -> Result<PathBuf, Failure> {
    let folder = target().join("weakened");
    let mut command = cargo(&["build", "--package", "agentic-sandbox", "--bin", "weakened-spawner"]);
    command.args(["--features", "weaken", "--target-dir"]).arg(&folder);
    must(&mut command, "building the weakened spawner")?;
    Ok(folder.join("debug/weakened-spawner"))
}

/// Runs the plan on a fresh copy of the project.
pub(crate) fn run_plan(agentic: &Path, venv: &Venv) -> Result<bool, Failure> {
    let original = root().join("examples/broken_shop");
    let copy = target().join("example/broken_shop");
    say(format!("copying {} to {}", original.display(), copy.display()));
    if copy.exists() {
        fs::remove_dir_all(&copy).map_err(|error| format!("cannot remove the old copy {}: {error}", copy.display()))?;
    }
    copy_tree(&original, &copy)?;

    let plan = copy.join("plan.yaml");
    say(format!("agentic run {} -C {}", plan.display(), copy.display()));
    let mut command = Command::new(agentic);
    command.arg("run").arg(&plan).arg("-C").arg(&copy).current_dir(root());
    venv.activate(&mut command, std::env::var_os("PATH"));
    let status = command.status().map_err(|error| cannot_start(&command, &error))?;

    say("what the run changed in the copy");
    let mut diff = Command::new("diff");
    diff.args(["-ru", "--exclude=__pycache__", "--exclude=.pytest_cache"]).arg(&original).arg(&copy);
    print!("{}", String::from_utf8_lossy(&quiet(&mut diff)?.stdout));
    if !status.success() {
        say(format!("the run ended with {status}"));
        return Ok(false);
    }
    // The run's word is not taken for it: the tests of the original are red, those of the copy must be green.
    let mut pytest = venv.python();
    pytest.args(["-m", "pytest", "-q"]).current_dir(&copy).env("PYTHONDONTWRITEBYTECODE", "1");
    let green = show_and_run(&mut pytest)?;
    say(if green {
        "the example succeeded"
    } else {
        "the run says that it succeeded, and the project's tests are red"
    });
    Ok(green)
}

/// Copies a folder with its files, folders and symlinks, but nothing that Python left behind.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    let fail = |error: std::io::Error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(fail)?;
    for entry in fs::read_dir(from).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let (source, goal) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() {
            if entry.file_name() != "__pycache__" && entry.file_name() != ".pytest_cache" {
                copy_tree(&source, &goal)?;
            }
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).map_err(fail)?;
            std::os::unix::fs::symlink(link, goal).map_err(fail)?;
        } else {
            fs::copy(&source, goal).map_err(fail)?;
        }
    }
    Ok(())
}
