//! The program that `agentic exec` runs: its text, its language, its environment, and the sandbox command
//! that starts it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use agentic_executor::Config;
use agentic_executor::runtime::{self, Invocation, Request, Runtimes};
use agentic_executor::tools::code::MOST_CODE;
use agentic_executor::workspace::{Attempt, state_outside};
use agentic_sandbox::{Control, Error, Limits, Sandbox, Stdin, Stream, View};

use crate::args::Language;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, Surroundings};

/// Where the program text is.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file, as it was typed: what the program sees as its own name.
    File(PathBuf),
    /// The code of `-e`.
    Code(Vec<u8>),
    /// Standard input, as interpreters read it.
    Stdin,
}

impl Language {
    /// The name used in settings and JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
            Self::Javascript => "javascript",
        }
    }
    fn by_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "py" | "pyw" => Some(Self::Python),
            "sh" | "bash" => Some(Self::Bash),
            "js" | "mjs" | "cjs" => Some(Self::Javascript),
            _ => None,
        }
    }
    /// The interpreter that a `#!` line names, also by way of `env`.
    fn by_first_line(text: &[u8]) -> Option<Self> {
        let line = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_whitespace().filter(|word| !word.starts_with('-') && !word.contains('='));
        let mut name = Path::new(words.next()?).file_name()?.to_str()?.to_owned();
        if name == "env" {
            name = Path::new(words.next()?).file_name()?.to_str()?.to_owned();
        }
        match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
            "python" | "pypy" => Some(Self::Python),
            "bash" | "sh" => Some(Self::Bash),
            "node" | "nodejs" => Some(Self::Javascript),
            _ => None,
        }
    }
}

impl Source {
    /// Code from the command line.
    pub(crate) fn code(code: Vec<u8>) -> Result<Self> {
        if code.len() > MOST_CODE {
            let why = format!("failed to take the code of -e: it is larger than {} MB", MOST_CODE >> 20);
            return Err(Failure::new(ExitCode::Refused, why).hint("put it in a file of the folder"));
        }
        Ok(Self::Code(code))
    }

    /// A file that can be one.
    pub(crate) fn file(path: &Path) -> Result<Self> {
        let refuse = |code, why: String| Failure::new(code, format!("failed to run {}: {why}", path.display()));
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(refuse(ExitCode::NotExecutable, "it is a folder".into())),
            Ok(_) => Ok(Self::File(path.to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(refuse(ExitCode::NotFound, "no such file".into()))
            }
            Err(error) => Err(refuse(ExitCode::NotExecutable, error.to_string())),
        }
    }

    /// The language by extension, else by `#!` line; code without either is Python.
    pub(crate) fn language(&self) -> Result<Language> {
        let path = match self {
            Self::Stdin => return Ok(Language::Python),
            Self::Code(code) => return Ok(Language::by_first_line(code).unwrap_or(Language::Python)),
            Self::File(path) => path,
        };
        let mut first = Vec::new();
        let _unreadable = std::fs::File::open(path).and_then(|file| file.take(256).read_to_end(&mut first));
        Language::by_extension(path).or_else(|| Language::by_first_line(&first)).ok_or_else(|| {
            Failure::new(
                ExitCode::Refused,
                format!("failed to run {}: neither its name nor a #! line says which language it is", path.display()),
            )
            .hint("say it with --lang python, bash or javascript")
        })
    }
}

/// `--env` and `--env-file`: what is set inside. A name alone passes the caller's value on.
pub(crate) fn environment(
    given: &[String],
    file: Option<&Path>,
    found: &Surroundings,
) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    if let Some(path) = file {
        let refuse = |why: String| Failure::bad_input(format!("failed to read --env-file {}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) =
                line.split_once('=').ok_or_else(|| refuse(format!("line {}: expected K=V", index + 1)))?;
            let value = value.trim();
            let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            pairs.insert(variable(name.trim())?, bare.unwrap_or(value).to_owned());
        }
    }
    for text in given {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = found.host.env.get(OsStr::new(text)).and_then(|value| value.to_str());
                let value = value.ok_or_else(|| {
                    Failure::bad_input(format!("--env is `{text}`; that variable is not set here, or is not UTF-8"))
                        .hint("write K=V to set it")
                })?;
                (text.as_str(), value.to_owned())
            }
        };
        pairs.insert(variable(name)?, value);
    }
    Ok(pairs)
}

fn variable(name: &str) -> Result<String> {
    if name.is_empty() || name.chars().any(|c| c == '\0' || c.is_whitespace()) {
        return Err(Failure::bad_input(format!("`{name}` is no name of an environment variable")));
    }
    Ok(name.to_owned())
}

/// Refuses a folder where what the program writes could not be kept.
pub(crate) fn writable(workspace: &Path) -> Result<()> {
    match rustix::fs::access(workspace, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Ok(()),
        Err(error) => Err(Failure::new(
            ExitCode::Refused,
            format!("failed to work in {}: it is not writable: {error}", workspace.display()),
        )
        .hint("choose another folder with -C, or drop what the program writes with --discard")),
    }
}

/// Layers cannot lie beneath the folder they are layers of. `exec` keeps no journal, so it can take another
/// private folder there; everything else says what to do.
pub(crate) fn place_state(settings: &mut Settings) -> Result<()> {
    let config = &mut settings.config;
    let roots = std::slice::from_ref(&config.workspace);
    config.state = state_outside(&config.state, roots).map_err(|error| {
        Failure::new(ExitCode::Refused, format!("failed to place layers: {error}"))
            .hint("choose another folder with -C, or set AGENTIC_STATE to a private folder outside it")
    })?;
    Ok(())
}

/// What kept a program from starting, with the exit code that a shell would give.
pub(crate) fn refusal(error: &Error) -> Failure {
    let code = match error {
        Error::ProgramNotFound(_) => ExitCode::NotFound,
        Error::NotExecutable { .. } => ExitCode::NotExecutable,
        _ => ExitCode::Refused,
    };
    let failure = Failure::new(code, format!("failed to start the program: {error}"));
    match error {
        // Without the others nothing is left that could be called an enclosure: giving them up changes nothing.
        Error::Unenforceable { control, .. }
            if !matches!(control, Control::Landlock | Control::Capabilities | Control::NoNewPrivs) =>
        {
            failure.hint("`agentic doctor` says what to do")
        }
        Error::Unenforceable { control, .. } => {
            let name = serde_json::to_value(control).ok().and_then(|name| name.as_str().map(str::to_owned));
            failure.hint(format!(
                "`agentic doctor` says what to do; --allow-degraded {} gives the control up",
                name.unwrap_or_default()
            ))
        }
        Error::ProgramNotFound(_) => failure.hint("name the interpreter with --runtime PATH"),
        _ => failure,
    }
}

/// What to run, and how it is connected.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) language: Language,
    pub(crate) source: Source,
    pub(crate) args: &'a [OsString],
    pub(crate) view: View,
    pub(crate) limits: Limits,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

/// The sandbox command that starts the program over the attempt's layers. Keep it until the run has ended.
pub(crate) fn prepare(
    sandbox: &Sandbox,
    config: &Config,
    program: Program<'_>,
    attempt: &Attempt,
) -> Result<Invocation> {
    let language = program.language.into();
    let source = match program.source {
        Source::File(path) => runtime::Program::File(path),
        Source::Code(code) => runtime::Program::Code(code),
        Source::Stdin => runtime::Program::Stdin,
    };
    let request = Request {
        args: program.args.to_vec(),
        stdin: program.stdin,
        stdout: program.stdout,
        stderr: program.stderr,
        view: program.view,
        limits: program.limits,
        // A person named the file: it is shown wherever it lies.
        shows_file: true,
        ..Request::new(language, source)
    };
    runtime::exec::prepare(&Runtimes::new(), sandbox, config, &request, attempt).map_err(|error| {
        let code = match error.code() {
            126 => ExitCode::NotExecutable,
            127 => ExitCode::NotFound,
            _ => ExitCode::Refused,
        };
        Failure::new(code, format!("failed to start the program: {error}"))
    })
}

/// The runtime that would be used, for `agentic doctor`.
pub(crate) fn describe_runtime(config: &Config, language: Language) -> Result<serde_json::Value, String> {
    let found = Runtimes::new().find(config, language.into()).map_err(|error| error.to_string())?;
    Ok(serde_json::json!({
        "executable": found.executable.display().to_string(),
        "version": found.version,
        "prefixes": found.prefixes.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
    }))
}

impl From<Language> for runtime::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::Python => Self::Python,
            Language::Bash => Self::Bash,
            Language::Javascript => Self::JavaScript,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_told_by_name_or_first_line() {
        let by = |text: &[u8]| Language::by_first_line(text);
        assert_eq!(by(b"#!/usr/bin/env python3\nx"), Some(Language::Python));
        assert_eq!(by(b"#!/usr/bin/env -S python3.11 -u"), Some(Language::Python));
        assert_eq!(by(b"#!/bin/sh"), Some(Language::Bash));
        assert_eq!(by(b"#!/usr/bin/node\n"), Some(Language::Javascript));
        assert_eq!(by(b"#!/usr/bin/perl\n"), None);
        assert_eq!(by(b"print(1)"), None);
        assert_eq!(by(b"#!\n"), None);
        assert_eq!(Language::by_extension(Path::new("a/b.mjs")), Some(Language::Javascript));
        assert_eq!(Language::by_extension(Path::new("Makefile")), None);
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_code_of_a_shell() {
        let here = tempfile::tempdir().unwrap();
        let root = here.path().canonicalize().unwrap();
        let code = |path: &Path| Source::file(path).unwrap_err().code;
        assert_eq!(code(&root.join("absent.py")), ExitCode::NotFound);
        assert_eq!(code(&root), ExitCode::NotExecutable);
        std::fs::write(root.join("plain"), "text").unwrap();
        let source = Source::file(&root.join("plain")).unwrap();
        assert_eq!(source.language().unwrap_err().code, ExitCode::Refused);
        assert_eq!(Source::Stdin.language().unwrap(), Language::Python);
        assert_eq!(Source::code(b"#!/bin/sh\nls".to_vec()).unwrap().language().unwrap(), Language::Bash);
    }
}
