//! A line for the shell in the host view, ready to start: what `shell` and `run_tests` have in common.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_sandbox::{Command, Enforced, Limits};

use super::code::within_roots;
use crate::cause::Cause;
use crate::runtime::{Language, Runtimes, host_policy};
use crate::tools::{ToolContext, ToolResult};

/// How long what a command started may take to end with it before it counts as left behind: `nextest`'s default for the
/// same question (`leak-timeout`).
const LEFT_AFTER: Duration = Duration::from_millis(100);

/// The command that runs `line` in `dir`, a folder of an open root, for at most `wall`; and what is to be noted of the
/// controls.
///
/// # Errors
/// The result to answer with.
pub(crate) fn command(
    line: &str,
    dir: &Path,
    wall: Duration,
    runtimes: &Runtimes,
    context: &ToolContext<'_>,
) -> Result<(Command, Enforced), Box<ToolResult>> {
    let config = context.config;
    let mounts = context.attempt.mounts();
    let roots: Vec<PathBuf> = mounts.iter().map(|mount| mount.path.clone()).collect();
    // Roots are without links; the folder may have been named through one.
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    if !within_roots(&dir, &roots) {
        let message = format!("{} is not a folder of the open workspace", dir.display());
        return Err(Box::new(ToolResult::failure(Cause::PermissionDenied, message)));
    }
    let mut limits = config.sandbox.host_limits.clone().unwrap_or_else(|| Limits::for_host_view(config.host.memory));
    limits.wall = wall;
    limits.memory = limits.memory.max(context.memory.unwrap_or(0));
    if let Err(error) = limits.validate() {
        return Err(Box::new(ToolResult::failure(Cause::InvalidArguments, error.to_string())));
    }
    let mut prepared = host_policy(config, mounts);
    if let Err(error) = context.attempt.hide(prepared.policy.hide.iter().cloned()) {
        return Err(Box::new(ToolResult::failure(Cause::Failed, error.to_string())));
    }
    let mut command = match runtimes.find(config, Language::Bash) {
        Ok(bash) => {
            let missing = bash.prefixes.iter().filter(|path| !prepared.policy.read_only.contains(path));
            let missing: Vec<PathBuf> = missing.cloned().collect();
            prepared.policy.read_only.extend(missing);
            let mut command = Command::new(&bash.executable);
            command.arg0(&bash.arg0);
            command
        }
        Err(error) => {
            let sh = Path::new("/bin/sh");
            if !sh.exists() {
                return Err(Box::new(ToolResult::failure(error.cause(), error.to_string())));
            }
            Command::new(sh)
        }
    };
    command.arg("-c").arg(line).current_dir(&dir).limits(limits).left_after(LEFT_AFTER);
    prepared.apply(&mut command);
    // What the shell says of itself (`$PWD`) is where it stands.
    command.env("PWD", &dir);
    Ok((command, prepared.notes))
}
