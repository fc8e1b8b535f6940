//! `agentic tool`: the built-in tools, their schemas, and a bare call through the same door that plans use.

use std::io::{Read, Write};

use agentic_executor::{Cancel, ToolResult};
use serde_json::{Map, Value};

use crate::args::{SchemaFormat, ToolArgs, ToolCommand};
use crate::engine::{self, Engine, Parts};
use crate::error::{Failure, Result, unless_gone};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, Surroundings, Typed, home_is_open};
use crate::signals::Watch;
use crate::terminal::Appearance;
use crate::warn;

pub(crate) fn run(args: ToolArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    match args.command {
        ToolCommand::List { json } => {
            let tools = engine::tools();
            if json {
                writeln!(out, "{}", serde_json::json!(tools))?;
            } else {
                let width = tools.iter().map(|tool| tool.name.len()).max().unwrap_or(0);
                for tool in tools {
                    writeln!(out, "{:width$}  {}", tool.name, tool.description.lines().next().unwrap_or_default())?;
                }
            }
            Ok(ExitCode::Succeeded)
        }
        ToolCommand::Schema { name, format } => {
            let schemas = engine::schemas(name.as_deref(), format)?;
            writeln!(out, "{}", serde_json::to_string_pretty(&schemas).unwrap_or_default())?;
            Ok(ExitCode::Succeeded)
        }
        ToolCommand::Call { name, params, allow_persist, json, place } => {
            let params = parameters(&params)?;
            if !json {
                // Before anything is opened, and with the names that there are.
                engine::schemas(Some(&name), SchemaFormat::Plain)?;
            }
            let found = Surroundings::find(place.directory.as_deref())?;
            let mut typed = Typed::default();
            typed.allow_persist(&allow_persist)?;
            let settings = Settings::decide(found, typed)?;
            warn(&settings.warnings);
            warn(home_is_open(&settings.config).as_slice());
            let cancel = Cancel::new();
            let _watch = Watch::start(&cancel, || ())?;
            let engine = Engine::new(&settings, Parts { cancel, ..Parts::default() })?;
            let result = engine.call(&name, params);
            show(&name, &result, json)?;
            Ok(ExitCode::of_call(&result))
        }
    }
}

fn parameters(text: &str) -> Result<Map<String, Value>> {
    let hint = "--params takes one JSON object, for example '{\"path\": \"README.md\"}'";
    let mut stdin = String::new();
    let text =
        if text == "-" {
            std::io::stdin().lock().take(64 << 20).read_to_string(&mut stdin).map_err(|error| {
                Failure::bad_input(format!("failed to read the parameters on standard input: {error}"))
            })?;
            stdin.as_str()
        } else {
            text
        };
    match serde_json::from_str(text) {
        Ok(Value::Object(params)) => Ok(params),
        Ok(_) => Err(Failure::bad_input("failed to read the parameters: they are not an object").hint(hint)),
        Err(error) => Err(Failure::bad_input(format!("failed to read the parameters: not JSON: {error}")).hint(hint)),
    }
}

fn show(name: &str, result: &ToolResult, json: bool) -> Result<()> {
    let mut out = std::io::stdout();
    if json {
        return unless_gone(writeln!(out, "{}", serde_json::json!(result)));
    }
    let text = result.output_text();
    if !text.is_empty() {
        let text = Appearance::of_stdout().foreign(&text).into_owned();
        unless_gone(write!(out, "{text}{}", if text.ends_with('\n') { "" } else { "\n" }))?;
    }
    if let Some(error) = result.error.as_deref().filter(|_| !result.is_success()) {
        let pointer = result.metadata.get("pointer").and_then(Value::as_str).filter(|pointer| !error.contains(pointer));
        let at = pointer.map(|pointer| format!(" (at {pointer})")).unwrap_or_default();
        // What has just been shown is not shown again.
        let brief = result.brief().filter(|_| text.contains(error.trim_end()));
        let error = Appearance::of_stderr().foreign(brief.as_deref().unwrap_or(error.trim_end())).into_owned();
        let _gone = writeln!(std::io::stderr(), "agentic: {name} failed: {error}{at}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_one_json_object() {
        assert_eq!(parameters("{\"a\": 1}").unwrap().len(), 1);
        assert!(parameters("[]").unwrap_err().message.contains("not an object"));
        let failure = parameters("{").unwrap_err();
        assert_eq!(failure.code, ExitCode::BadInput);
        assert!(failure.message.contains("not JSON"), "{failure}");
    }
}
