//! Builds the spawner and the network proxy and hands their paths to `include_bytes!`: a Python process cannot be started
//! again as one of them, and a program beside the module would be one more thing to find.
//!
//! They are programs of `crates/sandbox` and `crates/proxy`, and cargo cannot depend on programs. A second cargo builds
//! them, in a target folder of its own: the outer one holds the lock of the usual one while this script runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// Each with its folder in `crates`, its package, and the variable that tells where it is.
const PROGRAMS: [(&str, &str, &str, &str); 2] = [
    ("agentic-spawner", "sandbox", "agentic-sandbox", "AGENTIC_SPAWNER_IMAGE"),
    ("agentic-proxy", "proxy", "agentic-proxy", "AGENTIC_PROXY_IMAGE"),
];
/// In the workspace's Cargo.toml.
const PROFILE: &str = "spawner";

/// What the outer cargo says to this script, or a user for the module, and would mislead the inner cargo: clippy in the
/// compiler's place, flags, a folder that is locked. A name that ends in `_` stands for all that begin with it.
const NOT_FOR_THE_INNER: [&str; 13] = [
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_CFG_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_FEATURE_",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_",
    "CARGO_TARGET_DIR",
    "DEP_",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

fn main() {
    let here = PathBuf::from(given("CARGO_MANIFEST_DIR"));
    let workspace = here.join("../..");
    let lock = workspace.join("Cargo.lock");
    let crates = PROGRAMS.map(|(_, folder, ..)| here.join("..").join(folder));
    let sources = crates.iter().flat_map(|folder| [folder.join("src"), folder.join("Cargo.toml")]);
    for path in sources.chain([workspace.join("Cargo.toml"), lock.clone()]) {
        // A path that is not there would run this script at every build.
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    println!("cargo:rerun-if-changed=build.rs");

    for ((program, _, package, variable), folder) in PROGRAMS.into_iter().zip(crates) {
        let image = build(program, package, &folder.join("Cargo.toml"), lock.exists());
        println!("cargo:rustc-env={variable}={}", image.display());
    }
}

/// Builds the program and returns its path.
fn build(program: &str, package: &str, manifest: &Path, locked: bool) -> PathBuf {
    let folder = PathBuf::from(given("OUT_DIR")).join("spawner");
    let mut cargo = Command::new(given("CARGO"));
    cargo.args(["build", "--package", package, "--bin", program, "--profile", PROFILE]);
    cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&folder);
    if locked {
        cargo.arg("--locked");
    }
    let mut built = folder.clone();
    let target = given("TARGET");
    if target != given("HOST") {
        cargo.arg("--target").arg(&target);
        built.push(&target);
    }
    built.push(PROFILE);
    built.push(program);

    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if NOT_FOR_THE_INNER.iter().any(|not| text == *not || not.ends_with('_') && text.starts_with(not)) {
            cargo.env_remove(name);
        }
    }
    // Stronger than a configuration file, which may put both builds into one place.
    cargo.env("CARGO_BUILD_BUILD_DIR", &folder);

    // Standard output belongs to the outer cargo.
    let output = match cargo.output() {
        Ok(output) => output,
        Err(error) => fail(program, &cargo, &format!("cannot start it: {error}")),
    };
    if !output.status.success() {
        fail(program, &cargo, &format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    if !built.is_file() {
        fail(program, &cargo, &format!("it left nothing at {}", built.display()));
    }
    built
}

/// A variable that cargo sets for every build script.
fn given(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| {
        eprintln!("{name} is not set: this program is a build script, started by cargo");
        exit(1)
    })
}

fn fail(program: &str, cargo: &Command, why: &str) -> ! {
    eprintln!("building `{program}`, which the extension module embeds, failed.\n{cargo:?}\n{why}");
    exit(1)
}
