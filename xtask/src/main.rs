//! The project's chores, each one command that does its own set-up and says what it does.
//!
//! It uses the standard library alone, so that the first command on a fresh machine starts at once.
#![forbid(unsafe_code)]

mod attack;
mod compat;
mod crashes;
mod example;
mod filesystems;
mod flakes;
mod fuzz;
mod interpreters;
mod kernels;
mod lint;
mod long;
mod run;
mod runners;
mod summary;
mod test;
mod undo;
mod venv;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <chore>

  example   build `agentic`, run the example plan on a fresh copy of its project, show what changed
  test      run all tests, the example and the Python package's tests and type checks;
            as root, the tests also as an ordinary user
  python    of these the Python package's alone
  compat    the compatibility matrix: installs packages of Python below the target folder, runs everyday
            programs outside and inside, writes docs/reference/compatibility.md (--page: from the last report)
  fuzz      the fuzz targets, 60 seconds each, or so many: cargo xtask fuzz --seconds N
  lint      formatting and lints of Rust and Python, and the rules of deny.toml
  attack    the attack corpus in both tiers, with every control and every barrier removed in turn; as root, as an ordinary
            user too; writes docs/reference/attack-results.md
  soak      20,000 hostile runs of the corpus, eight at once, and what is left of them (--runs N)
  undo      random trees and tool calls, others at work in the folder meanwhile, and disk use of many steps: 2,500 cases of each
            test, back to where they were (--cases N); as root, as an ordinary user too
  filesystems  layers and undo on ext4, xfs, btrfs, tmpfs and overlayfs, the state folder on the same or another one (as root;
            --only NAME: those whose workspace is on it)
  crashes   runs that are killed at 1,000 random moments (--kills N) and at every event, and a disk that fails at every call;
            as root, as an ordinary user too
  flakes    a suite of tests with seeded flakes, 200 times (--runs N), beside pytest's rerun plugin where that is installed
  mutate    removes each barrier of the sandbox in turn and says which attempts of the corpus notice
  kernels   the sandbox's tests on other kernels, in virtual machines made of Debian's packages (as root; installs qemu
            and debootstrap where missing; takes minutes a kernel with KVM, an hour without)
              --kernel SERIES   only that kernel (6.12); may be repeated
              --variant NAME    only that way to start it (default, no-landlock, cgroup-v1, no-userns); may be repeated
              --only PART       only test programs with PART in their name, `none` for `agentic doctor` alone
              --table           write docs/reference/kernels.md from the logs that are there, and start nothing
";

/// What went wrong, in words for the person at the terminal.
type Failure = String;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["example"] => example::run(),
        ["test"] => test::run(),
        ["python"] => test::run_python(),
        ["compat"] => compat::run(),
        ["compat", "--page"] => compat::write_page(),
        ["lint"] => lint::run(),
        ["fuzz"] => fuzz::run(None),
        ["fuzz", "--seconds", seconds] => fuzz::run(Some(seconds)),
        ["soak", ..] => attack::soak(&arguments[1..]),
        ["undo", ..] => undo::run(&arguments[1..]),
        ["flakes", ..] => flakes::run(&arguments[1..]),
        ["filesystems", ..] => filesystems::run(&arguments[1..]),
        ["crashes", ..] => crashes::run(&arguments[1..]),
        ["attack"] => attack::write_results(),
        ["mutate"] => attack::mutate(),
        ["kernels", ..] => kernels::run(&arguments[1..]),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("no chore `{}`\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The project's root folder.
fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// Where everything that is built goes.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |target| root().join(target))
}

/// Says what is done next.
fn say(what: impl AsRef<str>) {
    println!("==> {}", what.as_ref());
}
