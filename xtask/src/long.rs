//! The long form of tests that do a few cases in the ordinary run: many, as root and as an ordinary user.

use std::process::Command;

use crate::run::{cannot_start, cargo, must, quiet};
use crate::test::ordinary::Stage;
use crate::test::{self, Program};
use crate::{Failure, example, say, target};

/// Runs test programs of packages with these variables, and shows what they say. True when none failed.
pub(crate) fn run(packages: &[&str], programs: &[&str], variables: &[(&str, &str)]) -> Result<bool, Failure> {
    let mut part: Vec<&str> = packages.iter().flat_map(|name| ["--package", name]).collect();
    let tools = ["build", "--package", "agentic-sandbox", "--package", "agentic-cli"];
    must(&mut cargo(&tools), "building agentic and its spawner")?;
    part.extend(programs.iter().flat_map(|name| ["--test", name]));
    let programs = test::build(&part)?;
    let root = quiet(Command::new("id").arg("-u"))?.stdout == b"0\n";
    let mut green = true;
    for program in &programs {
        green &= one(program, None, variables)?;
    }
    if root {
        let built = |name: &str| target().join("debug").join(name);
        let stage = Stage::with(&built("agentic-spawner"), &example::build_weakened()?)?;
        stage.copy_program(&built("agentic"), "agentic")?;
        for program in &programs {
            green &= one(program, Some(&stage), variables)?;
        }
    } else {
        say("not root: the tests are an ordinary user's alone");
    }
    Ok(green)
}

fn one(program: &Program, stage: Option<&Stage>, variables: &[(&str, &str)]) -> Result<bool, Failure> {
    let mut command = match stage {
        None => Command::new(&program.path),
        Some(stage) => stage.command(&stage.copy_program(&program.path, &program.label.replace(' ', "-"))?),
    };
    let user = if stage.is_some() { "as an ordinary user" } else { "as this user" };
    say(format!("{}, {user}", program.label));
    command.current_dir(stage.map_or(program.package.as_path(), Stage::path)).arg("--nocapture");
    let status = command.envs(variables.iter().copied()).status();
    status.map(|status| status.success()).map_err(|error| cannot_start(&command, &error))
}
