//! `cargo test`: every test binary is run by a script of ours, which has libtest report in JSON.
//!
//! The script is cargo's *runner* of the host's target (`CARGO_TARGET_<TRIPLE>_RUNNER`), which wins over a project's own
//! and rebuilds nothing. Doctests are rustdoc's: what it prints is read.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use agentic_sandbox::Output;
use serde_json::Value;

use super::{Launch, Reader, Round, Runner, Select};
use crate::testing::command::TestCommand;
use crate::testing::died_of;
use crate::testing::tally::{Ended, Known, Outcome, Seen, Tally};

const SCRIPT: (&str, &str) = ("agentic-cargo-runner", include_str!("agentic-cargo-runner"));
/// The suite of doctests.
const DOC: &str = "doc";
/// What selects targets.
const TARGETS: [&str; 9] =
    ["--lib", "--bins", "--bin", "--tests", "--test", "--examples", "--example", "--all-targets", "--benches"];

#[derive(Debug)]
pub(super) struct Cargo(pub(super) TestCommand);

/// What makes cargo run test binaries by the script.
pub(super) fn environment(round: &Round) -> Vec<(&'static str, String)> {
    let mut env = vec![("PATH", "\"$AGENTIC_TEST_DIR:$PATH\"".to_owned()), (runner_variable(), SCRIPT.0.to_owned())];
    if let Some(workers) = round.workers {
        env.push(("RUST_TEST_THREADS", workers.to_string()));
    }
    env
}

fn runner_variable() -> &'static str {
    match (cfg!(target_arch = "aarch64"), cfg!(target_env = "musl")) {
        (false, false) => "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
        (false, true) => "CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUNNER",
        (true, false) => "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
        (true, true) => "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER",
    }
}

impl Runner for Cargo {
    fn name(&self) -> &'static str {
        "cargo test"
    }
    fn files(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        vec![(SCRIPT.0, Cow::Borrowed(SCRIPT.1))]
    }
    fn launch(&self, round: &Round) -> Launch {
        let mut command = self.0.clone();
        let split = command.args.iter().position(|arg| arg == "--").unwrap_or(command.args.len());
        let harness = command.args.split_off(split);
        let add = |command: &mut TestCommand, flags: &[&str]| {
            command.args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        };
        if !command.args.iter().any(|arg| arg == "--no-fail-fast") {
            add(&mut command, &["--no-fail-fast"]);
        }
        let mut launch = Launch { line: String::new(), env: environment(round), files: Vec::new() };
        let tests = match &round.select {
            Select::Only(tests) => tests,
            Select::Except { done, .. } => {
                if done.iter().any(is_doctest) && !names_targets(&command.args) {
                    add(&mut command, &["--tests"]);
                }
                command.args.extend(harness);
                launch.line = command.with(&[]);
                launch.env.push(("AGENTIC_CARGO_DONE", super::inside("done.tsv")));
                launch.files.push(("done.tsv", table(done.iter().filter(|test| !is_doctest(test)))));
                return launch;
            }
            Select::All => {
                command.args.extend(harness);
                launch.line = command.with(&[]);
                return launch;
            }
        };
        let (doc, code): (Vec<&Known>, Vec<&Known>) = tests.iter().partition(|test| is_doctest(test));
        let mut lines = Vec::new();
        if !code.is_empty() {
            let mut command = command.clone();
            if !names_targets(&command.args) {
                add(&mut command, &["--tests"]);
            }
            command.args.extend(harness.iter().cloned());
            lines.push(command.with(&[]));
            launch.env.push(("AGENTIC_CARGO_ONLY", super::inside("only.tsv")));
            launch.files.push(("only.tsv", table(code)));
        }
        if !doc.is_empty() {
            // rustdoc splits what it is given at white space, and every name has some: all of them run, of which the
            // others' verdicts are not looked at.
            add(&mut command, &["--doc"]);
            lines.push(command.with(&[]));
        }
        launch.line = match lines.as_slice() {
            [one] => one.clone(),
            all => format!("{}; status=$?; {} && exit $status", all[0], all[1]),
        };
        launch
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Binaries::default())
    }
    fn reads_stdout(&self) -> bool {
        true
    }
    fn says_finished(&self) -> bool {
        false
    }
    /// A round that was ended did not come to the binaries after the one that hung, nor to the doctests.
    fn rest(&self, _tally: &Tally, done: &[Known]) -> Vec<Select> {
        vec![Select::Except { files: Vec::new(), done: done.to_vec() }]
    }
}

/// Whether a command says which targets it tests; where it does not, doctests run too.
fn names_targets(args: &[String]) -> bool {
    args.iter().any(|arg| TARGETS.contains(&arg.split('=').next().unwrap_or(arg)))
}

fn is_doctest(test: &Known) -> bool {
    test.suite.as_deref() == Some(DOC)
}

/// Tests as the script reads them.
fn table<'k>(tests: impl IntoIterator<Item = &'k Known>) -> String {
    let line = |test: &Known| format!("{}\t{}\n", test.suite.as_deref().unwrap_or_default(), test.name);
    tests.into_iter().map(line).collect()
}

/// Reads the JSON of libtest between the marks of the script, and the text of rustdoc.
#[derive(Debug, Default)]
pub(super) struct Binaries {
    suite: String,
    running: Vec<String>,
    /// Whether a test of this binary failed.
    failed: bool,
    doctests: Doctests,
}

impl Binaries {
    fn known(&self, name: &str) -> Known {
        Known {
            id: format!("{} {name}", self.suite),
            name: name.to_owned(),
            suite: Some(self.suite.clone()),
            ..Known::default()
        }
    }
    /// A line that the script wrote.
    fn mark(&mut self, mark: &Value, seen: &mut Vec<Seen>) {
        match mark["agentic"].as_str().unwrap_or_default() {
            "binary" => {
                self.suite = mark["suite"].as_str().unwrap_or_default().to_owned();
                self.running.clear();
                self.failed = false;
            }
            "whole" => {
                let whole = Known { id: self.suite.clone(), ..self.known(&self.suite) };
                seen.push(Seen::Started { test: whole });
                self.running.push(String::new());
            }
            "end" => self.end_of_binary(mark["status"].as_i64().unwrap_or_default(), seen),
            _ => {}
        }
    }
    fn end_of_binary(&mut self, status: i64, seen: &mut Vec<Seen>) {
        let running = std::mem::take(&mut self.running);
        match running.as_slice() {
            [whole] if whole.is_empty() => {
                let test = Known { id: self.suite.clone(), ..self.known(&self.suite) };
                let outcome = if status == 0 { Outcome::Passed } else { Outcome::Failed };
                let message = (status != 0).then(|| format!("ended with status {status}"));
                seen.push(Seen::Ended { test, end: end(outcome, None, message, "") });
            }
            // More than one: which of them it was shows when each is run alone.
            [one] => {
                let how = if status > 128 { died_of(status - 128) } else { format!("ended with status {status}") };
                let message = format!("its process {how} in the middle of it");
                seen.push(Seen::Ended { test: self.known(one), end: end(Outcome::Crashed, None, Some(message), "") });
            }
            [] if status != 0 && !self.failed => {
                let message =
                    format!("the tests of {} ended with status {status}, and none of them failed", self.suite);
                seen.push(Seen::Error { message, file: None, id: None });
            }
            [] => {}
            several => {
                let ids = several.iter().map(|name| self.known(name).id).collect();
                seen.push(Seen::Died { ids });
            }
        }
    }
    /// A line of libtest.
    fn libtest(&mut self, said: &Value, seen: &mut Vec<Seen>) {
        let name = said["name"].as_str().unwrap_or_default();
        if said["type"] != "test" || name.is_empty() {
            return;
        }
        let test = self.known(name);
        let seconds = said["exec_time"].as_f64();
        let stdout = said["stdout"].as_str().unwrap_or_default();
        let outcome = match said["event"].as_str().unwrap_or_default() {
            "discovered" => {
                let test = Known {
                    file: said["source_path"].as_str().map(str::to_owned),
                    line: said["start_line"].as_u64(),
                    ..test
                };
                return seen.push(Seen::Listed { tests: vec![test] });
            }
            "started" => {
                self.running.push(name.to_owned());
                return seen.push(Seen::Started { test });
            }
            "ok" => Outcome::Passed,
            "failed" => Outcome::Failed,
            "ignored" => Outcome::Skipped,
            _ => return,
        };
        self.running.retain(|running| running != name);
        self.failed |= outcome == Outcome::Failed;
        let message = match outcome {
            Outcome::Failed => {
                // What libtest says of a panic that was not the expected one comes before the panic's own words.
                let own = said["message"].as_str().or(said["reason"].as_str()).map(str::to_owned);
                let last = || stdout.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
                let message = own.or_else(|| panic_message(stdout)).or_else(last);
                Some(message.unwrap_or_else(|| "it failed and said nothing".into()))
            }
            _ => None,
        };
        let mut end = end(outcome, seconds, message, stdout);
        end.reason = said["message"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        seen.push(Seen::Ended { test, end });
    }
}

fn end(status: Outcome, duration: Option<f64>, message: Option<String>, output: &str) -> Ended {
    Ended { status, duration, message, output: output.to_owned(), reason: None, revised: false, attempts: 0 }
}

/// `assertion failed: …` out of what a panicking test printed.
pub(super) fn panic_message(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at "));
    let first = lines.next()?;
    // Since Rust 1.73 the message has lines of its own; before, it stood between quotes.
    let old = first.split_once("panicked at '").and_then(|(_, rest)| rest.rsplit_once("',")).map(|(said, _)| said);
    match old {
        Some(said) => Some(said.to_owned()),
        None => {
            let said: Vec<&str> = lines
                .take_while(|line| !line.starts_with("stack backtrace:") && !line.starts_with("note: "))
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .take(4)
                .collect();
            Some(said.join(", ")).filter(|said| !said.is_empty())
        }
    }
}

impl Reader for Binaries {
    fn event(&mut self, line: &[u8], seen: &mut Vec<Seen>) -> Result<(), ()> {
        let line = String::from_utf8_lossy(line);
        // What a test's child processes print comes in between, and need not end its line.
        let at = line.find("{ \"type\":").or_else(|| line.find("{\"agentic\":"));
        let Some(at) = at else { return Ok(()) };
        let said: Value = serde_json::from_str(line[at..].trim_end()).map_err(|_| ())?;
        if said.get("agentic").is_some() {
            self.mark(&said, seen)
        } else {
            self.libtest(&said, seen)
        }
        Ok(())
    }
    fn line(&mut self, line: &str, seen: &mut Vec<Seen>) {
        self.doctests.line(line, seen);
    }
    fn end(&mut self, output: &Output, seen: &mut Vec<Seen>) {
        self.doctests.end(&output.stdout.text(), seen);
    }
}

/// Doctests, from rustdoc's text: `test src/lib.rs - add (line 3) ... ok`.
#[derive(Debug, Default)]
struct Doctests {
    failed: HashSet<String>,
    /// How often a name came: packages of one workspace may have the same.
    count: HashMap<String, usize>,
}

impl Doctests {
    fn known(name: &str) -> Known {
        let file = name.split(" - ").next().map(str::to_owned);
        let line = name.rsplit_once("(line ").and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
        Known { id: format!("{DOC} {name}"), name: name.to_owned(), suite: Some(DOC.into()), file, line }
    }
    fn line(&mut self, line: &str, seen: &mut Vec<Seen>) {
        let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) else {
            return;
        };
        // Of a test that panics as it should, `- should panic` is no part of the name.
        let bare = name.split(" - compile").next().unwrap_or(name);
        if !name.contains(" (line ") || !bare.trim_end().contains(" (line ") {
            return;
        }
        let name = name.rsplit_once(')').map_or(name.to_owned(), |(name, _)| format!("{name})"));
        let count = self.count.entry(name.clone()).or_default();
        *count += 1;
        let name = if *count > 1 { format!("{name} #{count}") } else { name };
        let status = match verdict.split([' ', '<']).next().unwrap_or_default() {
            "ok" => Outcome::Passed,
            "ignored" => Outcome::Skipped,
            "FAILED" => {
                // Told with its message, which comes later.
                self.failed.insert(name.clone());
                return seen.push(Seen::Started { test: Self::known(&name) });
            }
            _ => return,
        };
        seen.push(Seen::Ended { test: Self::known(&name), end: end(status, None, None, "") });
    }
    fn end(&mut self, stdout: &str, seen: &mut Vec<Seen>) {
        for name in std::mem::take(&mut self.failed) {
            let mark = format!("---- {name} stdout ----");
            let text = stdout.split_once(&mark).map_or("", |(_, rest)| rest.split("\n---- ").next().unwrap_or(rest));
            let text = text.split("\nfailures:\n").next().unwrap_or(text).trim();
            let message = panic_message(text).or_else(|| text.lines().next().map(str::to_owned));
            seen.push(Seen::Ended { test: Self::known(&name), end: end(Outcome::Failed, None, message, text) });
        }
    }
}
