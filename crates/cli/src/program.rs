//! The program that `agentic exec` runs: its text, its language, its environment, and the sandbox command
//! that starts it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentic_executor::Config;
use agentic_executor::workspace::Attempt;
use agentic_sandbox::{Command, Error, View};

use crate::args::Language;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, Surroundings};

/// Most bytes of program text that are taken from elsewhere than a file of the workspace.
pub(crate) const MOST: u64 = 16 << 20;

/// Where the program text is.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file of the workspace, absolute.
    File(PathBuf),
    /// The text itself, and the name of the file it was read from.
    Text(Vec<u8>, Option<PathBuf>),
}

/// A program to run.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) language: Language,
    pub(crate) source: Source,
    pub(crate) args: &'a [OsString],
    pub(crate) view: View,
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
    /// Program text from the command line or a stream.
    pub(crate) fn text(text: Vec<u8>, name: &str) -> Result<Self> {
        if text.len() as u64 > MOST {
            return Err(Failure::new(ExitCode::Refused, format!("failed to take {name}: it is larger than 16 MB"))
                .hint("put it in a file of the folder"));
        }
        if let Some(at) = text.iter().position(|byte| *byte == 0) {
            return Err(Failure::new(ExitCode::Refused, format!("failed to take {name}: byte {at} is NUL")));
        }
        Ok(Self::Text(text, None))
    }

    /// A file: run in its place when it lies in the workspace, else read and run as text.
    pub(crate) fn file(path: &Path, workspace: &Path) -> Result<Self> {
        let refuse = |code, why: String| Failure::new(code, format!("failed to run {}: {why}", path.display()));
        let whole = path.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => refuse(ExitCode::NotFound, "no such file".into()),
            _ => refuse(ExitCode::NotExecutable, error.to_string()),
        })?;
        let metadata = std::fs::metadata(&whole).map_err(|error| refuse(ExitCode::NotExecutable, error.to_string()))?;
        if metadata.is_dir() {
            return Err(refuse(ExitCode::NotExecutable, "it is a folder".into()));
        }
        let inside = whole.starts_with(workspace);
        if inside && metadata.is_file() {
            return Ok(Self::File(whole));
        }
        let mut text = Vec::new();
        std::fs::File::open(&whole)
            .and_then(|file| file.take(MOST + 1).read_to_end(&mut text))
            .map_err(|error| refuse(ExitCode::NotExecutable, error.to_string()))?;
        match Self::text(text, &path.display().to_string())? {
            Self::Text(text, _) => Ok(Self::Text(text, Some(whole))),
            other => Ok(other),
        }
    }

    /// The language by extension, else by `#!` line; a bare text without either is Python.
    pub(crate) fn language(&self) -> Result<Language> {
        let mut first = Vec::new();
        let (path, head) = match self {
            Self::File(path) => {
                let _unreadable = std::fs::File::open(path).and_then(|file| file.take(256).read_to_end(&mut first));
                (Some(path.as_path()), first.as_slice())
            }
            Self::Text(text, path) => (path.as_deref(), text.as_slice()),
        };
        let known = path.and_then(Language::by_extension).or_else(|| Language::by_first_line(head));
        match (known, path) {
            (Some(language), _) => Ok(language),
            (None, None) => Ok(Language::Python),
            (None, Some(path)) => Err(Failure::new(
                ExitCode::Refused,
                format!("failed to run {}: neither its name nor a #! line says which language it is", path.display()),
            )
            .hint("say it with --lang python, bash or javascript")),
        }
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
    if !config.state.starts_with(&config.workspace) {
        return Ok(());
    }
    let uid = rustix::process::geteuid();
    let other = PathBuf::from(format!("/var/tmp/agentic-{}", uid.as_raw()));
    let refuse = |why: String| {
        Failure::new(
            ExitCode::Refused,
            format!(
                "failed to place layers: {} lies in the workspace {}, and {} cannot be used: {why}",
                config.state.display(),
                config.workspace.display(),
                other.display()
            ),
        )
        .hint("choose another folder with -C, or set AGENTIC_STATE to a private folder outside it")
    };
    match std::fs::DirBuilder::new().mode(0o700).create(&other) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refuse(error.to_string())),
    }
    // The name can be guessed: nobody else may have made it first.
    let metadata = std::fs::symlink_metadata(&other).map_err(|error| refuse(error.to_string()))?;
    let ours = metadata.is_dir() && metadata.uid() == uid.as_raw() && metadata.permissions().mode() & 0o077 == 0;
    if !ours || other.starts_with(&config.workspace) {
        return Err(refuse("it is not a private folder of yours outside the workspace".into()));
    }
    config.state = other;
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

/// The sandbox command that starts the program over the attempt's layers.
pub(crate) fn command(_config: &Config, program: Program<'_>, _attempt: &Attempt) -> Result<Command> {
    Err(Failure::new(
        ExitCode::Refused,
        format!("failed to start {}: this build holds no runtimes", program.language.as_str()),
    ))
}

/// The runtime that would be used, for `agentic doctor`.
pub(crate) fn describe_runtime(_config: &Config, language: Language) -> Result<serde_json::Value, String> {
    Err(format!("this build holds no runtimes for {}", language.as_str()))
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
        let code = |path: &Path| Source::file(path, &root).unwrap_err().code;
        assert_eq!(code(&root.join("absent.py")), ExitCode::NotFound);
        assert_eq!(code(&root), ExitCode::NotExecutable);
        std::fs::write(root.join("plain"), "text").unwrap();
        let source = Source::file(&root.join("plain"), &root).unwrap();
        assert_eq!(source.language().unwrap_err().code, ExitCode::Refused);
        assert!(Source::text(b"a\0b".to_vec(), "the code").unwrap_err().message.contains("byte 1 is NUL"));
    }
}
