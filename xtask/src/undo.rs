//! The long form of the proofs of undo: many random cases, as root and as an ordinary user.

use std::process::Command;

use crate::run::{cannot_start, cargo, must, quiet};
use crate::test::ordinary::Stage;
use crate::test::{self, Program};
use crate::{Failure, example, say};

/// Cases of each test, where nobody says otherwise.
const CASES: &str = "2500";
/// `undo_random` has four tests.
const PROGRAMS: &[&str] = &["undo_random", "undo_outsiders", "undo_bounded"];

/// Runs `--cases N` of each test. True when none failed.
pub(crate) fn run(arguments: &[String]) -> Result<bool, Failure> {
    let cases = match arguments {
        [] => CASES,
        [flag, cases] if flag == "--cases" && cases.parse::<u64>().is_ok() => cases,
        _ => return Err(format!("undo takes `--cases N`, and no `{}`", arguments.join(" "))),
    };
    must(&mut cargo(&["build", "--package", "agentic-sandbox"]), "building the spawner")?;
    let mut part = vec!["--package", "agentic-executor"];
    part.extend(PROGRAMS.iter().flat_map(|name| ["--test", name]));
    let programs = test::build(&part)?;
    let root = quiet(Command::new("id").arg("-u"))?.stdout == b"0\n";
    let mut green = true;
    for program in &programs {
        green &= one(program, None, cases)?;
    }
    if root {
        let spawner = crate::target().join("debug/agentic-spawner");
        let stage = Stage::with(&spawner, &example::build_weakened()?)?;
        for program in &programs {
            green &= one(program, Some(&stage), cases)?;
        }
    } else {
        say("not root: the cases are an ordinary user's alone");
    }
    Ok(green)
}

fn one(program: &Program, stage: Option<&Stage>, cases: &str) -> Result<bool, Failure> {
    let mut command = match stage {
        None => Command::new(&program.path),
        Some(stage) => stage.command(&stage.copy_program(&program.path, &program.label.replace(' ', "-"))?),
    };
    let user = if stage.is_some() { "as an ordinary user" } else { "as this user" };
    say(format!("{}, {cases} cases of each test, {user}", program.label));
    command.current_dir(stage.map_or(program.package.as_path(), Stage::path)).arg("--nocapture");
    let status = command.env("AGENTIC_UNDO_CASES", cases).status();
    status.map(|status| status.success()).map_err(|error| cannot_start(&command, &error))
}
