//! The Python package: one wheel of the debug build, its tests on the oldest and the newest CPython of this machine,
//! and what the type checkers say.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::junit::{self, Verdict};
use super::{MOST, TOOK_LONGER};
use crate::interpreters::{Interpreter, oldest_and_newest};
use crate::run::{quiet, show_and_run};
use crate::summary::Summary;
use crate::venv::{PYTEST, Venv};
use crate::{Failure, root, say, target};

const MATURIN: &str = "maturin>=1.16,<2";
const MYPY: &str = "mypy>=1.15";
const PYRIGHT: &str = "pyright>=1.1.400";
const PACKAGE: &str = "python/agentic_executor";
/// A program that uses every public name, checked as a user's would be.
const SAMPLE: &str = "python/tests/sample_program.py";

/// Builds the wheel and runs everything on it. The wheel, when there is one, for the ordinary user.
pub(super) fn run(summary: &mut Summary) -> Result<Option<PathBuf>, Failure> {
    let interpreters = match oldest_and_newest() {
        Ok(interpreters) => interpreters,
        Err(why) => {
            say(format!("NOT RUN: the Python package, because {why}"));
            summary.skip("the Python package", &why);
            return Ok(None);
        }
    };
    for interpreter in &interpreters {
        say(format!("the Python package is tested on CPython {interpreter}: {}", interpreter.path.display()));
    }
    let Some(wheel) = build_wheel()? else {
        summary.add("the wheel of the Python package", false);
        return Ok(None);
    };
    let mut newest = None;
    for interpreter in &interpreters {
        let last = Some(interpreter) == interpreters.last();
        let packages: &[&str] = if last { &[PYTEST, MYPY, PYRIGHT] } else { &[PYTEST] };
        let venv = Venv::with(&format!("python/{interpreter}"), &interpreter.path, packages)?;
        venv.install(&wheel)?;
        let report = target().join(format!("python/{interpreter}.xml"));
        let mut command = pytest(&venv, &report);
        venv.activate(command.current_dir(root()), std::env::var_os("PATH"));
        run_pytest(summary, &format!("python {interpreter}"), &mut command, &report)?;
        newest = Some((venv, interpreter));
    }
    if let Some((venv, interpreter)) = newest {
        check_types(summary, &venv, interpreter)?;
    }
    Ok(Some(wheel))
}

/// A wheel for every CPython. The debug build: it is there already but for the module itself.
fn build_wheel() -> Result<Option<PathBuf>, Failure> {
    let tools = Venv::with("python/tools", Path::new("python3"), &[MATURIN])?;
    let folder = target().join("python/wheels");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("cannot remove the old {}: {error}", folder.display()));
        }
        _ => {}
    }
    let mut maturin = Command::new(tools.program("maturin"));
    maturin.args(["build", "--quiet", "--profile", "dev", "--strip=false", "--compatibility", "linux"]);
    // Stored: packing tens of megabytes takes longer than copying them.
    maturin.args(["--compression-method", "stored", "--out"]);
    if !show_and_run(maturin.arg(&folder).current_dir(root()))? {
        return Ok(None);
    }
    let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let wheel = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(wheel.into_iter().find(|path| path.extension() == Some(OsStr::new("whl"))))
}

/// The package's tests in that environment, ended when they hang.
pub(super) fn pytest(venv: &Venv, report: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", MOST]).arg(venv.program("python"));
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "python/tests"]);
    let mut option = std::ffi::OsString::from("--junitxml=");
    option.push(report);
    command.arg(option).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// Runs the tests and counts what the report says. Without a report that can be believed they failed.
pub(super) fn run_pytest(
    summary: &mut Summary,
    label: &str,
    command: &mut Command,
    report: &Path,
) -> Result<(), Failure> {
    say(format!("testing {label}"));
    if report.exists() {
        fs::remove_file(report).map_err(|error| format!("cannot remove the old {}: {error}", report.display()))?;
    }
    let failed = summary.failures();
    let status = command.status().map_err(|error| format!("cannot start pytest: {error}"))?;
    if status.code() == Some(TOOK_LONGER) {
        summary.add(&format!("{label} took longer than {MOST} s and was ended"), false);
    }
    let cases = fs::read_to_string(report).map_err(|error| error.to_string());
    match cases.and_then(|text| junit::read(&text)) {
        Err(why) => summary.add(&format!("{label}: pytest's report cannot be read: {why}"), false),
        Ok(cases) => {
            for case in cases {
                let name = format!("{label} {}", case.name);
                match case.verdict {
                    Verdict::Passed => summary.add(&name, true),
                    Verdict::Failed => summary.add(&name, false),
                    Verdict::Skipped(why) => summary.skip(&name, &why),
                }
            }
        }
    }
    if !status.success() && summary.failures() == failed {
        summary.add(&format!("{label}: pytest ended with {status} and named no failed test"), false);
    }
    Ok(())
}

/// mypy and pyright on the sources and the sample, stubtest on the module as it is installed.
fn check_types(summary: &mut Summary, venv: &Venv, interpreter: &Interpreter) -> Result<(), Failure> {
    let sources: Vec<&str> = [PACKAGE, SAMPLE].into_iter().filter(|path| root().join(path).exists()).collect();
    let mut check = |name: &str, command: &mut Command| -> Result<(), Failure> {
        let passed = show_and_run(command.current_dir(root()))?;
        summary.add(&format!("{name} (Python {interpreter})"), passed);
        Ok(())
    };
    let mut mypy = venv.python();
    mypy.args(["-m", "mypy", "--strict", "--cache-dir"]).arg(target().join("python/mypy")).args(&sources);
    check("mypy --strict", &mut mypy)?;
    let mut stubtest = venv.python();
    stubtest.args(["-m", "mypy.stubtest", "agentic_executor"]);
    check("stubtest", &mut stubtest)?;
    // The package of this name is a door to a program for Node.js, which it fetches when it is first used.
    let program = venv.program("pyright");
    let fetched = quiet(Command::new(&program).arg("--version"))?;
    if fetched.status.success() {
        let mut pyright = Command::new(&program);
        check("pyright", pyright.arg("--pythonpath").arg(venv.program("python")).args(&sources))?;
    } else {
        let said = String::from_utf8_lossy(&fetched.stderr);
        let why =
            format!("it cannot be fetched or started: {}", said.trim().lines().last().unwrap_or("no reason given"));
        say(format!("NOT RUN: pyright, because {why}"));
        summary.skip("pyright", &why);
    }
    Ok(())
}
