//! The `agentic` program: parse, run one subcommand, exit with its code.
//!
//! Each subcommand has a file of its own; [`args`] is what was typed, [`settings`] what was decided, and
//! [`engine`] where they meet the library. Nothing is opened or started before the command line is parsed,
//! and `exec` opens neither the journal nor a schema.

#![forbid(unsafe_code)]

mod args;
mod attack;
mod changes;
mod completions;
mod conduct;
mod diff;
mod doctor;
mod edit;
mod engine;
mod error;
mod exec;
mod exit_code;
mod findings;
mod fix;
mod gc;
mod history;
mod keep;
mod migrate;
mod network;
mod plan;
mod program;
mod progress;
mod prompt;
#[cfg(test)]
mod reference;
mod render;
mod resume;
mod rollback;
mod run;
mod screen;
mod settings;
mod signals;
mod staged;
mod terminal;
mod test;
mod tool;
mod tty;

use std::io::Write;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Arguments, Subcommands};
use error::Failure;
use exit_code::ExitCode;

fn main() {
    agentic_sandbox::spawner_hook();
    agentic_proxy::proxy_hook();
    let arguments = Arguments::try_parse().unwrap_or_else(|error| refuse(&error));
    let result = match arguments.command {
        Subcommands::Run(args) => run::run(args).map(i32::from),
        Subcommands::Plan(args) => plan::run(args).map(i32::from),
        Subcommands::Exec(args) => exec::run(&args).map_err(Failure::of_exec),
        Subcommands::Tool(args) => tool::run(args).map(i32::from),
        Subcommands::Test(args) => test::run(&args).map(i32::from),
        Subcommands::Migrate(args) => migrate::run(&args).map(i32::from),
        Subcommands::Edit(args) => edit::run(args).map(i32::from),
        Subcommands::Runs(args) => history::list(&args).map(i32::from),
        Subcommands::Show(args) => history::show(&args).map(i32::from),
        Subcommands::Diff(args) => diff::run(&args).map(i32::from),
        Subcommands::Gc(args) => gc::run(&args).map(i32::from),
        Subcommands::Rollback(args) => rollback::run(&args).map(i32::from),
        Subcommands::Resume(args) => resume::run(&args).map(i32::from),
        Subcommands::Doctor(args) if args.attack => attack::run(&args).map(i32::from),
        Subcommands::Doctor(args) => doctor::run(&args).map(i32::from),
        Subcommands::Completions(args) => completions::run(&args).map(i32::from),
    };
    let code = result.unwrap_or_else(|failure| {
        if !failure.quiet {
            let look = terminal::Appearance::of_stderr();
            let _gone = writeln!(std::io::stderr(), "{}", look.foreign(&failure.to_string()));
        }
        failure.code.into()
    });
    std::process::exit(code);
}

/// Help and version end with 0; a mistake on the command line is bad input, for `exec` a refusal of ours.
fn refuse(error: &clap::Error) -> ! {
    let _gone = error.print();
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let exec = std::env::args_os().nth(1).is_some_and(|name| name == "exec");
    let code = match (asked, exec) {
        (true, _) => ExitCode::Succeeded,
        (false, true) => ExitCode::Refused,
        (false, false) => ExitCode::BadInput,
    };
    std::process::exit(code.into());
}

/// What was ignored, said once on standard error.
fn warn(warnings: &[String]) {
    let look = terminal::Appearance::of_stderr();
    for warning in warnings {
        let label = look.paint(terminal::Colour::Yellow, "warning:");
        let _gone = writeln!(std::io::stderr(), "agentic: {label} {}", look.foreign(warning));
    }
}
