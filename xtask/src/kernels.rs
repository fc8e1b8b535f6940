//! The kernel matrix: the sandbox's test programs on kernels that this machine does not run, each in a virtual machine.
//!
//! Everything comes from Debian's packages, by the mirror that this machine is set up for: kernels from every suite that
//! the mirror has, the guest's system from the suite that this machine runs. A machine's log stays in
//! `target/kernels/logs`, and the table is made from the logs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use crate::run::quiet;
use crate::test::{self, Program};
use crate::{Failure, example, root, say, target};

mod debian;
mod image;
mod log;
mod machine;
mod table;

/// What is built here, and stays.
fn folder() -> PathBuf {
    target().join("kernels")
}

/// Ways to start a kernel that a host may have chosen.
struct Variant {
    name: &'static str,
    /// What is added to the kernel's command line.
    options: &'static str,
    what: &'static str,
}

const VARIANTS: &[Variant] = &[
    Variant {
        name: "default",
        options: "",
        what: "cgroup v2, controllers delegated to the user; Debian's own list of security modules",
    },
    Variant {
        name: "no-landlock",
        options: "lsm=lockdown,yama,integrity,apparmor,bpf",
        what: "the same, Landlock left out of `lsm=`",
    },
    Variant { name: "cgroup-v1", options: "agentic.cgroup=v1", what: "cgroup v1, nothing delegated to the user" },
    Variant { name: "no-userns", options: "agentic.userns=0", what: "the default with `user.max_user_namespaces=0`" },
];

/// Megabytes of memory of each machine. The tests of memory limits ask for two thousand and must be given them.
const MEMORY: u32 = 3072;

/// Seconds that one test program may take, and one machine for all of them. Software emulation takes ten to thirty
/// times as long as the processor.
const MOST: &str = "2400";
const MOST_ALL: &str = "14400";

/// What was asked for; empty means all.
#[derive(Debug, Default, PartialEq)]
struct Options {
    kernels: Vec<String>,
    variants: Vec<String>,
    only: Vec<String>,
    table: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let list = match argument.as_str() {
                "--kernel" => &mut options.kernels,
                "--variant" => &mut options.variants,
                "--only" => &mut options.only,
                "--table" => {
                    options.table = true;
                    continue;
                }
                other => return Err(format!("kernels has no option `{other}`: see cargo xtask help")),
            };
            list.push(arguments.next().ok_or(format!("{argument} needs a value"))?.clone());
        }
        if let Some(name) = options.variants.iter().find(|name| VARIANTS.iter().all(|variant| variant.name != **name)) {
            let all: Vec<_> = VARIANTS.iter().map(|variant| variant.name).collect();
            return Err(format!("no variant `{name}`: there are {}", all.join(", ")));
        }
        Ok(options)
    }
}

/// Boots each kernel in each variant. True when no test failed.
pub(crate) fn run(arguments: &[String]) -> Result<bool, Failure> {
    let options = Options::parse(arguments)?;
    if options.table {
        return table::write_page().map(|()| true);
    }
    if quiet(Command::new("id").arg("-u"))?.stdout != b"0\n" {
        return Err("the guest's system is made with debootstrap, which takes root: start the command as root".into());
    }
    let debian = debian::Debian::ready()?;
    let kernels = wanted(&debian.kernels()?, &options.kernels)?;
    // Before anything is built: a working tree may move on while the machines run.
    let commit = commit()?;
    let (agentic, weakened) = (example::build()?, example::build_weakened()?);
    let nothing = options.only == ["none"];
    let mut programs = if nothing { Vec::new() } else { programs()? };
    programs.retain(|program| options.only.is_empty() || options.only.iter().any(|part| program.label.contains(part)));
    if programs.is_empty() && !nothing {
        return Err(format!("no test program has {} in its name", options.only.join(" or ")));
    }
    let system = image::system(&debian)?;
    let tests = image::tests(&programs, [&agentic, &weakened], MOST)?;
    let mut failed = BTreeSet::new();
    for kernel in &kernels {
        let booted = image::kernel(&debian, kernel)?;
        for variant in VARIANTS {
            if options.variants.is_empty() || options.variants.iter().any(|name| name == variant.name) {
                let log = machine::run(&booted, variant, [&system, &tests], &commit)?;
                failed.extend(log.failed().map(|name| format!("{} {}: {name}", kernel.series, variant.name)));
            }
        }
    }
    for name in &failed {
        say(format!("failed: {name}"));
    }
    print!("{}", table::page(&table::logs()?));
    Ok(failed.is_empty())
}

/// The kernels asked for by series (`6.12`), all when none was.
fn wanted(all: &[debian::Kernel], asked: &[String]) -> Result<Vec<debian::Kernel>, Failure> {
    let has: Vec<_> = all.iter().map(|kernel| kernel.series.as_str()).collect();
    say(format!("the mirror has kernels of the series {}", has.join(", ")));
    if asked.is_empty() {
        return Ok(all.to_vec());
    }
    let find = |series: &String| {
        let found = all.iter().find(|kernel| kernel.series == *series);
        found.cloned().ok_or_else(|| format!("the mirror has no kernel {series}; it has {}", has.join(", ")))
    };
    asked.iter().map(find).collect()
}

/// The test programs that ask the kernel.
fn programs() -> Result<Vec<Program>, Failure> {
    let mut programs = test::build(&["--package", "agentic-sandbox"])?;
    let layers = ["--package", "agentic-executor", "--test", "layers_for_real", "--test", "workspace_layers"];
    programs.extend(test::build(&layers)?);
    programs.extend(test::build(&["--package", "agentic-attack"])?);
    Ok(programs)
}

/// The commit that is tested, with a mark when files differ from it.
fn commit() -> Result<String, Failure> {
    let said = quiet(Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).current_dir(root()))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Failure> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_a_wrong_one_is_named() {
        let options = parse("--kernel 6.1 --only kernel --kernel 6.12 --variant no-landlock").expect("options");
        assert_eq!(options.kernels, ["6.1", "6.12"]);
        assert_eq!((options.only, options.variants), (vec!["kernel".to_owned()], vec!["no-landlock".to_owned()]));
        for (line, part) in [("--kernel", "needs a value"), ("--fast", "`--fast`"), ("--variant x", "no-landlock")] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
