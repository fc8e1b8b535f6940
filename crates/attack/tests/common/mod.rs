//! What the tests of the corpus share: where the weakened spawner is.

use std::path::PathBuf;
use std::process::Command;

use agentic_testkit::project_root;

/// `AGENTIC_WEAKENED_SPAWNER`, else the program is built now, into a folder of its own.
pub(crate) fn weakened_spawner() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("AGENTIC_WEAKENED_SPAWNER") {
        return Some(path.into());
    }
    let target = project_root().join("target/weakened");
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "agentic-sandbox", "--features", "weaken", "--bin", "weakened-spawner"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(project_root())
        .status()
        .is_ok_and(|status| status.success());
    built.then(|| target.join("debug/weakened-spawner"))
}
