//! Why a program failed: from the sandbox's typed result first, from its exit status next, from its messages last.
//!
//! [`diagnose`] answers with a [`Diagnosis`]. One decision: a message is believed only when the typed result
//! leaves the question open, and only in the form that the program which prints it uses.

use std::sync::LazyLock;

use agentic_sandbox::{ExitReason, LimitKind, Output};
use regex::Regex;
use serde_json::{Map, Value};

use super::find::Language;
use crate::cause::Cause;

/// Why a program failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// The word that recovery goes by.
    pub cause: Cause,
    /// The line that says it, when a message did.
    pub line: Option<String>,
    /// Further facts: `module`, `command`, `path`, `signal`, `hint`.
    pub facts: Map<String, Value>,
}

/// What a run was under, as far as it explains messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The language, when one runtime was started; none for a shell command.
    pub language: Option<Language>,
    /// Whether the network was closed.
    pub offline: bool,
    /// Whether the import policy closed INET sockets.
    pub closes_inet: bool,
}

/// How much of each stream's end is read for messages.
const READ: usize = 64 << 10;

/// Why a run failed; `None` when it ended with status 0.
pub fn diagnose(output: &Output, under: Circumstances) -> Option<Diagnosis> {
    let typed = match output.reason {
        ExitReason::Exited(0) => return None,
        ExitReason::TimedOut => Some(Cause::Timeout),
        ExitReason::MemoryExceeded => Some(Cause::OutOfMemory),
        ExitReason::DiskExceeded => Some(Cause::DiskFull),
        ExitReason::Cancelled => Some(Cause::Cancelled),
        ExitReason::Signalled(_) => Some(Cause::Crash),
        ExitReason::Exited(_) => None,
    };
    if let Some(cause) = typed {
        let mut diagnosis = Diagnosis { cause, line: None, facts: Map::new() };
        if let ExitReason::Signalled(signal) = output.reason {
            diagnosis.facts.insert("signal".into(), signal.into());
        }
        return Some(diagnosis);
    }
    let stdout = tail(&output.stdout.text());
    let stderr = tail(&output.stderr.text());
    let mut diagnosis = from_messages(output, &stdout, &stderr, under);
    if under.closes_inet && diagnosis.cause == Cause::NetworkDenied {
        diagnosis.facts.insert("hint".into(), "INET sockets are closed by the import policy".into());
    }
    Some(diagnosis)
}

/// A message's form, and what it means.
struct Row {
    cause: Cause,
    /// What the first group names.
    fact: Option<&'static str>,
    /// One line of output, whole or in part.
    form: &'static str,
}

const fn row(cause: Cause, fact: Option<&'static str>, form: &'static str) -> Row {
    Row { cause, fact, form }
}

/// Messages that beat a report of failed tests: another attempt, elsewhere, can change them.
const BEFORE_TESTS: &[Row] = &[
    row(Cause::CrossDevice, None, r"(?:Invalid|invalid) cross-device link|\bEXDEV\b"),
    row(
        Cause::DiskFull,
        None,
        r"No space left on device|no space left on device|\bENOSPC\b|[Dd]isk quota exceeded|\bEDQUOT\b",
    ),
];

/// Reports of tests that ran and failed, each in its runner's own form.
const TESTS: &[&str] = &[
    r"^=+ .*\b\d+ failed\b.* in [\d.]+",                            // pytest
    r"^\d+ failed\b.* in [\d.]+",                                   // pytest -q
    r"^FAILED \((?:failures|errors)=\d+",                           // unittest
    r"^FAILED \(.*(?:failures|errors)=\d+",                         // unittest, with skipped ones named first
    r"^test result: FAILED\.",                                      // cargo
    r"^\s*Summary .*\b\d+ failed",                                  // cargo nextest
    r"^Tests:\s+.*\b\d+ failed",                                    // jest
    r"^\s*Tests\s+.*\b\d+ failed",                                  // vitest
    r"^\s+[1-9]\d* failing\b",                                      // mocha
    r"^(?:#|\x{2139}) fail [1-9]",                                  // node --test
    r"^--- FAIL: |^FAIL\t",                                         // go test
    r"^\d+% tests passed, [1-9]\d* tests? failed",                  // ctest
    r"^not ok \d+",                                                 // TAP
    r"^\d+ examples?, [1-9]\d* failures?",                          // rspec
    r"Tests run: \d+, Failures: (?:[1-9]\d*, |\d+, Errors: [1-9])", // JUnit, Maven
];

/// Everything else, most telling first.
const MESSAGES: &[Row] = &[
    row(Cause::BlockedImport, Some("module"), r"Blocked import: ['\x22]([^'\x22]+)['\x22].*"),
    // pip, where the distribution keeps the interpreter's packages to itself (PEP 668).
    row(Cause::PermissionDenied, None, r"^error: externally-managed-environment"),
    row(Cause::MissingModule, Some("module"), r"ModuleNotFoundError: No module named ['\x22]([^'\x22]+)['\x22]"),
    row(Cause::MissingModule, Some("module"), r"^\S*python[\d.]*: No module named ([\w.]+)"),
    row(Cause::MissingModule, Some("module"), r"Error: Cannot find module '([^'./][^']*)'"),
    row(Cause::MissingModule, Some("module"), r"Error \[ERR_MODULE_NOT_FOUND\]: Cannot find package '([^']+)'"),
    row(
        Cause::OutOfMemory,
        None,
        r"^MemoryError\b|JavaScript heap out of memory|Cannot allocate memory|\bENOMEM\b|memory allocation of \d+ bytes failed",
    ),
    row(Cause::SyntaxError, None, r"^(?:\w+\.)*(?:SyntaxError|IndentationError|TabError)(?:: |$)"),
    row(
        Cause::SyntaxError,
        None,
        r"syntax error near unexpected token|syntax error: unexpected end of file|unexpected EOF while looking for matching",
    ),
    row(Cause::SyntaxError, None, r"^\S*sh: \d+: Syntax error: "),
    row(Cause::MissingCommand, Some("command"), r"(?:^|: )(?:line \d+: )?([^\s:]+): command not found"),
    row(Cause::MissingCommand, Some("command"), r"^\S*sh: \d+: ([^\s:]+): not found"),
    row(
        Cause::MissingCommand,
        Some("command"),
        r"^(?:/usr/bin/)?env: ['\x22\u{2018}]?([^\s'\x22\u{2019}:]+)['\x22\u{2019}]?: No such file or directory",
    ),
    row(Cause::MissingCommand, Some("command"), r"^make(?:\[\d+\])?: ([^\s:]+): No such file or directory"),
    row(Cause::MissingCommand, Some("command"), r"^error: no such command: `([^`]+)`"),
    row(Cause::NotFound, Some("path"), r"FileNotFoundError: \[Errno 2\] [^:]*: ['\x22]([^'\x22]+)['\x22]"),
    row(Cause::NotFound, Some("path"), r"can't open file ['\x22]([^'\x22]+)['\x22]: \[Errno 2\]"),
    row(Cause::NotFound, Some("path"), r"ENOENT: no such file or directory, \w+ '([^']+)'"),
    row(Cause::NotFound, Some("path"), r"Error: Cannot find module '([./][^']*)'"),
    row(
        Cause::NotFound,
        Some("path"),
        r"(?:^|: )(?:cannot \w+ )?['\x22\u{2018}]?([^\s'\x22\u{2018}\u{2019}:]+)['\x22\u{2019}]?: No such file or directory",
    ),
    row(Cause::PermissionDenied, Some("path"), r"PermissionError: \[Errno \d+\] [^:]*: ['\x22]([^'\x22]+)['\x22]"),
    row(
        Cause::PermissionDenied,
        None,
        r"^PermissionError: |\bE(?:ACCES|PERM|ROFS): |: Permission denied\b|: Read-only file system\b|: Operation not permitted\b|OSError: \[Errno 30\]",
    ),
];

/// Believed only where the network is closed.
pub(super) const NETWORK: &str = r"Temporary failure in name resolution|Name or service not known|Could not resolve host|nodename nor servname|Network is unreachable|No route to host|\bENETUNREACH\b|\bEAI_AGAIN\b|\bENOTFOUND\b|Address family not supported by protocol|\bEAFNOSUPPORT\b|Failed to establish a new connection|failed to lookup address information|dial tcp: lookup|download of config\.json failed|Could not fetch URL|network is unreachable|^As a reminder, you're using offline mode|--offline was specified";

/// Tools that would have fetched something, and say that they were told not to.
const OFFLINE: &str = r"attempting to make an HTTP request, but --offline was specified|you may have forgotten the flag --offline|offline was specified|No matching distribution found for";

type Compiled = (Regex, Cause, Option<&'static str>);

fn compile(rows: &[Row]) -> Vec<Compiled> {
    // A form that does not compile would silently match nothing; a test holds that all do.
    let compile = |row: &Row| Some((Regex::new(&format!("(?m){}", row.form)).ok()?, row.cause, row.fact));
    rows.iter().filter_map(compile).collect()
}

/// Every form, for the test that they compile.
#[cfg(test)]
pub(super) fn forms() -> Vec<&'static str> {
    let rows = BEFORE_TESTS.iter().chain(MESSAGES).map(|row| row.form);
    rows.chain(TESTS.iter().copied()).chain([NETWORK, OFFLINE]).collect()
}

struct Forms {
    before_tests: Vec<Compiled>,
    tests: Vec<Compiled>,
    network: Vec<Compiled>,
    messages: Vec<Compiled>,
}

static FORMS: LazyLock<Forms> = LazyLock::new(|| Forms {
    before_tests: compile(BEFORE_TESTS),
    tests: compile(&TESTS.iter().map(|form| row(Cause::TestFailure, None, form)).collect::<Vec<_>>()),
    network: compile(&[row(Cause::NetworkDenied, None, NETWORK), row(Cause::NetworkDenied, None, OFFLINE)]),
    messages: compile(MESSAGES),
});

fn from_messages(output: &Output, stdout: &str, stderr: &str, under: Circumstances) -> Diagnosis {
    let status = match output.reason {
        ExitReason::Exited(status) => status,
        _ => 0,
    };
    let both = [stderr, stdout];
    let found = |forms: &[Compiled], streams: &[&str]| {
        forms.iter().find_map(|form| streams.iter().find_map(|text| last_match(form, text)))
    };
    if let Some(diagnosis) = found(&FORMS.before_tests, &both) {
        return diagnosis;
    }
    // A blocked or missing module ends a test run before its tests, so only a report of failed ones beats it.
    if let Some(diagnosis) = found(&FORMS.tests, &both) {
        return diagnosis;
    }
    if (under.offline || under.closes_inet)
        && let Some(diagnosis) = found(&FORMS.network, &both)
    {
        return diagnosis;
    }
    // Programs complain on stderr; test runners report on stdout what the code under test complained about.
    if let Some(diagnosis) = found(&FORMS.messages, &both) {
        return diagnosis;
    }
    let plain = |cause| Diagnosis { cause, line: last_line(stderr), facts: Map::new() };
    match status {
        127 => plain(Cause::MissingCommand),
        126 => plain(Cause::PermissionDenied),
        // A shell's way to say that its child died of a signal. 128+1..=31 are the classic ones.
        129..=159 if under.language.is_none_or(|language| language == Language::Bash) => {
            let mut diagnosis =
                plain(if status == 137 && hit(output, LimitKind::Memory) { Cause::OutOfMemory } else { Cause::Crash });
            diagnosis.facts.insert("signal".into(), (status - 128).into());
            diagnosis
        }
        _ if hit(output, LimitKind::Disk) || hit(output, LimitKind::FileSize) => plain(Cause::DiskFull),
        _ => plain(Cause::Failed),
    }
}

fn hit(output: &Output, limit: LimitKind) -> bool {
    output.limits_hit.contains(&limit)
}

/// The last place a form matches: programs end with what killed them.
fn last_match((form, cause, fact): &Compiled, text: &str) -> Option<Diagnosis> {
    let captures = form.captures_iter(text).last()?;
    let whole = captures.get(0)?;
    let mut facts = Map::new();
    if let (Some(fact), Some(value)) = (fact, captures.get(1)) {
        facts.insert((*fact).to_owned(), value.as_str().into());
    }
    let start = text[..whole.start()].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().map(|line| line.trim().to_owned());
    Some(Diagnosis { cause: *cause, line, facts })
}

/// The last line that says something.
pub fn last_line(text: &str) -> Option<String> {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// The end of a text, cut at a character.
pub fn tail(text: &str) -> String {
    let mut start = text.len().saturating_sub(READ);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}
