//! `agentic completions`: the completion script of a shell, made from the command line itself.

use std::io::Write;

use clap::CommandFactory;

use crate::args::{Arguments, CompletionsArgs};
use crate::error::Result;
use crate::exit_code::ExitCode;

pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "agentic", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::Succeeded)
}
