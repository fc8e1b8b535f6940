//! Everyday programs under the `default` profile, each with its expected output: what a sandbox must not break, or
//! people turn it off. The tables beside this file are the matrix; `driver.rs` puts each program through
//! `agentic exec`, after the same program outside has said the same (the control).
//!
//! Here runs what the machine has. `cargo xtask compat` prepares the packages of Python, runs everything with release
//! builds, compares times, and writes `docs/reference/compatibility.md`.

mod driver;
mod program;
#[path = "../scene/mod.rs"]
mod scene;

use driver::run_table;

#[test]
fn python_standard_library() {
    run_table("Python's standard library", "python_standard_library", include_str!("python_standard_library.toml"));
}

#[test]
fn python_packages() {
    run_table("Packages of Python", "python_packages", include_str!("python_packages.toml"));
}

#[test]
fn shell() {
    run_table("Shells and text tools", "shell", include_str!("shell.toml"));
}

#[test]
fn toolchains() {
    run_table("Toolchains", "toolchains", include_str!("toolchains.toml"));
}

#[test]
fn broken_by_design() {
    run_table("Broken by design", "by_design", include_str!("by_design.toml"));
}
