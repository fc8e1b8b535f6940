//! The test runners that the tests of `agentic test` drive: go, bats, ctest from the system's packages, jest and vitest from
//! npm. What cannot be had is said, and its tests are skipped.

use std::path::Path;
use std::process::Command;

use crate::run::{quiet, show_and_run};
use crate::{say, target};

/// A program, and the package of Debian and Ubuntu that has it.
const PACKAGES: [(&str, &str); 4] =
    [("bats", "bats"), ("parallel", "parallel"), ("ctest", "cmake"), ("go", "golang-go")];
const NODE_PACKAGES: [&str; 2] = ["jest@30", "vitest@4"];

/// Installs what is missing, where this user may.
pub(crate) fn ensure() {
    system_packages();
    node_packages();
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn system_packages() {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return;
    }
    let names = missing.join(", ");
    let root = quiet(Command::new("id").arg("-u")).is_ok_and(|run| run.stdout == b"0\n");
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        say(format!("test runners that are not installed, whose tests are skipped: {names}"));
        return;
    }
    say(format!("installing the test runners {names} (once)"));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("-qq").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        show_and_run(&mut command).unwrap_or(false)
    };
    let install = [&["install", "--yes", "--no-install-recommends"][..], &missing].concat();
    let installed = apt(&install) || (apt(&["update"]) && apt(&install));
    if !installed {
        say(format!("could not install {names}: their tests are skipped"));
    }
}

fn node_packages() {
    let folder = target().join("javascript");
    let there = |name: &str| {
        let name = name.split('@').next().unwrap_or(name);
        folder.join("node_modules/.bin").join(name).exists()
    };
    if NODE_PACKAGES.iter().all(|name| there(name)) {
        return;
    }
    if !is_there("npm") {
        say("npm is not installed: the tests of jest and vitest are skipped");
        return;
    }
    say(format!("installing {} from npm (once)", NODE_PACKAGES.join(", ")));
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).args(NODE_PACKAGES);
    let made = std::fs::create_dir_all(&folder).is_ok();
    if !made || !show_and_run(&mut install).unwrap_or(false) {
        say("could not install them: their tests are skipped");
    }
}
