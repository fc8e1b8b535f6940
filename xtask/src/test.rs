//! All tests: every test program of the workspace, the doctests, the example, the Python package, and, when started
//! as root, the test programs and the package's tests once more as an ordinary user.
//!
//! Each program is run by itself, so that the second pass is the same as the first but for the user; the
//! skips of both are listed at the end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::example;
use crate::run::{cannot_start, cargo, in_ci, quiet};
use crate::summary::Summary;
use crate::venv::Venv;
use crate::{Failure, say};

mod junit;
pub(crate) mod ordinary;
mod python;

/// Seconds that one test program may take.
const MOST: &str = "900";
/// What `timeout` of coreutils answers when that was not enough.
const TOOK_LONGER: i32 = 124;

/// A built test program.
#[derive(Debug)]
pub(crate) struct Program {
    /// Package folder and target: `sandbox kernel`.
    pub(crate) label: String,
    /// The executable.
    pub(crate) path: PathBuf,
    /// Its package's folder.
    pub(crate) package: PathBuf,
}

/// Builds and runs everything. True when nothing failed.
pub(crate) fn run() -> Result<bool, Failure> {
    let agentic = example::build()?;
    let weakened = example::build_weakened()?;
    let programs = build(&["--workspace"])?;
    let venv = Venv::ensure()?;
    crate::runners::ensure();
    let mut summary = Summary::default();

    for program in &programs {
        let mut command = program.command(&program.path, &program.package);
        command.env("AGENTIC_BIN", &agentic).env("AGENTIC_WEAKENED_SPAWNER", &weakened);
        venv.activate(&mut command, std::env::var_os("PATH"));
        run_one(&mut summary, &program.label, &mut command)?;
    }
    for package in ["agentic-sandbox", "agentic-executor", "agentic-migrate", "agentic-testkit"] {
        let mut command = cargo(&["test", "--quiet", "--doc", "--package", package]);
        // The plain format has a line for each test.
        command.args(["--", "--show-output", "--format=pretty"]);
        run_one(&mut summary, &format!("{package} doc"), &mut command)?;
    }
    summary.add("the example", example::run_plan(&agentic, &venv)?);
    let wheel = python::run(&mut summary)?;

    let root = quiet(Command::new("id").arg("-u"))?.stdout == b"0\n";
    if root {
        ordinary::run(&mut summary, &programs, [&agentic, &weakened], wheel.as_deref())?;
    } else {
        summary.skip("the test programs as root", "this is an ordinary user; start the command as root to run both");
    }
    print!("{}", summary.report());
    Ok(summary.green())
}

/// The tests and type checks of the Python package alone. True when nothing failed.
pub(crate) fn run_python() -> Result<bool, Failure> {
    let mut summary = Summary::default();
    python::run(&mut summary)?;
    print!("{}", summary.report());
    Ok(summary.green())
}

impl Program {
    /// Starts the program as cargo would, but ends it, its children included, when it hangs.
    fn command(&self, path: &Path, package: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", MOST]).arg(path).arg("--show-output");
        command.current_dir(package).env("CARGO_MANIFEST_DIR", package).stdin(Stdio::null());
        if in_ci() {
            command.env("INSTA_UPDATE", "no");
        }
        command
    }
}

/// Builds the test programs of a part of the workspace and returns them by label.
pub(crate) fn build(part: &[&str]) -> Result<Vec<Program>, Failure> {
    let mut command = cargo(&["test", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(part);
    say(format!("cargo test --no-run {}", part.join(" ")));
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| cannot_start(&command, &error))?;
    if !output.status.success() {
        return Err("the tests do not build".to_owned());
    }
    let mut programs: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().filter_map(program).collect();
    programs.sort_by(|one, other| one.label.cmp(&other.label));
    if programs.is_empty() {
        return Err("cargo named no test program".to_owned());
    }
    Ok(programs)
}

/// Reads one of cargo's artifact messages; `None` for anything that is no test program.
fn program(message: &str) -> Option<Program> {
    let (before, profile) = message.split_once("\"profile\":")?;
    let is_test = profile.split('}').next()?.contains("\"test\":true");
    let path = PathBuf::from(text(profile, "executable")?);
    let manifest = PathBuf::from(text(before, "manifest_path")?);
    let package = manifest.parent()?.to_owned();
    let name = text(before.split_once("\"target\":")?.1, "name")?;
    let label = format!("{} {name}", package.file_name()?.to_string_lossy());
    is_test.then_some(Program { label, path, package })
}

/// The string value of a key in a line of JSON; the first one wins.
fn text(json: &str, key: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{key}\":\""))?;
    let mut value = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            // Of JSON's escapes only these occur in paths and names.
            '\\' => value.push(characters.next().filter(|c| matches!(c, '"' | '\\' | '/'))?),
            other => value.push(other),
        }
    }
}

/// Runs one test program, shows its lines and counts them.
fn run_one(summary: &mut Summary, label: &str, command: &mut Command) -> Result<(), Failure> {
    say(format!("testing {label}"));
    summary.begin();
    let failed = summary.failures();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| cannot_start(command, &error))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("cannot read the output of {label}: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            if summary.line(label, &line) {
                println!("{line}");
            }
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {label}: {error}"))?;
    if status.code() == Some(TOOK_LONGER) {
        summary.add(&format!("{label} took longer than {MOST} s and was ended"), false);
    } else if !status.success() && summary.failures() == failed {
        summary.add(&format!("{label} ended with {status} and named no failed test"), false);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = r#"{"reason":"compiler-artifact","package_id":"p","manifest_path":"/w/crates/sandbox/Cargo.toml","target":{"kind":["test"],"name":"kernel","test":true},"profile":{"opt_level":"0","test":true},"features":[],"executable":"/w/t \"x\"/kernel-1","fresh":true}"#;

    #[test]
    fn a_test_program_is_read_from_cargos_message() {
        let program = program(MESSAGE).expect("a program");
        assert_eq!(program.label, "sandbox kernel");
        assert_eq!(program.path, Path::new("/w/t \"x\"/kernel-1"));
        assert_eq!(program.package, Path::new("/w/crates/sandbox"));
    }

    #[test]
    fn other_messages_are_none() {
        let plain = MESSAGE.replace(r#""opt_level":"0","test":true"#, r#""opt_level":"0","test":false"#);
        assert!(program(&plain).is_none());
        assert!(program(&MESSAGE.replace(r#""/w/t \"x\"/kernel-1""#, "null")).is_none());
        assert!(program(r#"{"reason":"build-finished","success":true}"#).is_none());
    }
}
