//! Starting programs: what is run is shown, what cannot be started is said.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use crate::{Failure, root, say};

/// A cargo command at the project's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    // What cargo sets for xtask itself would reach the tests of other packages.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    command
}

/// Whether this is continuous integration: what cannot be checked then is a failure.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Shows a command and runs it to its end; true when it succeeded.
pub(crate) fn show_and_run(command: &mut Command) -> Result<bool, Failure> {
    say(line(command));
    command.status().map(|status| status.success()).map_err(|error| cannot_start(command, &error))
}

/// Shows a command, runs it, and fails with `what` when it does not succeed.
pub(crate) fn must(command: &mut Command, what: &str) -> Result<(), Failure> {
    if show_and_run(command)? { Ok(()) } else { Err(format!("{what} failed: {}", line(command))) }
}

/// Runs a command quietly and returns what it said.
pub(crate) fn quiet(command: &mut Command) -> Result<Output, Failure> {
    command.output().map_err(|error| cannot_start(command, &error))
}

pub(crate) fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    format!("cannot start `{}`: {error}", command.get_program().to_string_lossy())
}

/// A command as one would type it: programs by name, whatever folder they were found in.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let parts: Vec<_> = std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    parts.join(" ")
}
