//! bats: its internal stream (`--formatter cat`) says what begins and what ends, in which file.
//!
//! `bats-format-cat` has been there since bats 1.3; each test is a process of its own.

use std::time::Duration;

use agentic_sandbox::Output;

use super::{Launch, Reader, Round, Runner, Select};
use crate::testing::command::TestCommand;
use crate::testing::tally::{Ended, Known, Outcome, Seen};

/// Bytes of what one test printed that are kept.
const MOST_OUTPUT: usize = 32 << 10;
/// Failures outside any test.
const MOST_LOOSE: usize = 100;

#[derive(Debug)]
pub(super) struct Bats(pub(super) TestCommand);

impl Runner for Bats {
    fn name(&self) -> &'static str {
        "bats"
    }
    fn launch(&self, round: &Round) -> Launch {
        let mut ours = vec!["--formatter".to_owned(), "cat".into(), "--timing".into()];
        if let Some(workers) = round.workers.filter(|workers| *workers > 1) {
            ours.extend(["--jobs".to_owned(), workers.to_string()]);
        }
        // Paths are told absolute: where they begin is said first.
        let line = match &round.select {
            Select::Only(tests) => {
                let mut files: Vec<(String, Vec<&str>)> = Vec::new();
                for test in tests {
                    let file = test.file.clone().unwrap_or_default();
                    match files.iter_mut().find(|(name, _)| *name == file) {
                        Some((_, names)) => names.push(&test.name),
                        None => files.push((file, vec![&test.name])),
                    }
                }
                let lines = files.iter().map(|(file, names)| {
                    let names: Vec<String> = names.iter().map(|name| extended(name)).collect();
                    let filter = format!("^({})$", names.join("|"));
                    let mut words: Vec<&str> = ours.iter().map(String::as_str).collect();
                    words.extend(["--filter", &filter, file]);
                    self.0.instead(&words)
                });
                lines.collect::<Vec<_>>().join("; ")
            }
            _ => self.0.with(&ours.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        let mut launch = Launch::new(format!("printf 'agentic-folder %s\\n' \"$PWD\"; {line}"));
        launch.env.push(("BATS_TEST_TIMEOUT", format!("{}", round.timeout.as_secs_f64().ceil().max(1.0))));
        launch
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Stream::default())
    }
    fn reads_stdout(&self) -> bool {
        true
    }
    fn says_finished(&self) -> bool {
        false
    }
    fn slack(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// A name as a POSIX extended regular expression.
fn extended(name: &str) -> String {
    let mut pattern = String::new();
    for letter in name.chars() {
        if "\\.^$*+?()[]{}|".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[derive(Debug, Default)]
struct Stream {
    folder: String,
    file: String,
    running: Option<Known>,
    ended: Option<(Known, Ended)>,
    loose: Vec<String>,
    /// How many tests it said it would run, and how many have ended.
    planned: usize,
    done: usize,
}

impl Stream {
    fn flush(&mut self, seen: &mut Vec<Seen>) {
        let Some((mut test, mut end)) = self.ended.take() else { return };
        if !matches!(end.status, Outcome::Passed | Outcome::Skipped) {
            let lines: Vec<&str> = end.output.lines().collect();
            test.line = lines
                .first()
                .and_then(|line| line.rsplit_once("line ")?.1.trim_end_matches(')').parse().ok())
                .or(test.line);
            let failed = lines.iter().find(|line| line.trim_end().ends_with("' failed")).map(|line| line.trim());
            let said = lines.iter().skip_while(|line| !line.trim_end().ends_with("' failed")).nth(1);
            end.message = end.message.or_else(|| match (failed, said) {
                (Some(failed), Some(said)) => Some(format!("{failed}: {}", said.trim())),
                (Some(failed), None) => Some(failed.to_owned()),
                _ => lines.get(1).or(lines.first()).map(|line| (*line).trim().to_owned()),
            });
        }
        self.done += 1;
        seen.push(Seen::Ended { test, end });
    }
    /// Whatever began and did not end has died.
    fn bury(&mut self, seen: &mut Vec<Seen>) {
        if let Some(test) = self.running.take() {
            self.done += 1;
            let message = Some("its process died in the middle of it".to_owned());
            let end = Ended {
                status: Outcome::Crashed,
                duration: None,
                message,
                output: String::new(),
                reason: None,
                revised: false,
                attempts: 0,
            };
            seen.push(Seen::Ended { test, end });
        }
    }
    fn verdict(&mut self, passed: bool, rest: &str) {
        let Some(test) = self.running.take() else { return };
        // `7 name in 12ms # skip why`: the name is known.
        let tail = rest.split_once(' ').map_or("", |(_, rest)| rest);
        let tail = tail.strip_prefix(test.name.as_str()).unwrap_or(tail);
        let (time, remark) = tail.split_once(" # ").map_or((tail, None), |(time, remark)| (time, Some(remark)));
        let milliseconds = time.trim().strip_prefix("in ").and_then(|time| time.trim_end().strip_suffix("ms"));
        let duration = milliseconds.and_then(|ms| ms.parse::<f64>().ok()).map(|ms| ms / 1000.0);
        let skip = remark.filter(|remark| remark.starts_with("skip"));
        let timeout = remark.filter(|remark| remark.starts_with("timeout"));
        let (status, message) = match (passed, skip, timeout) {
            (_, Some(_), _) => (Outcome::Skipped, None),
            (_, _, Some(_)) => {
                let after = duration.map(|seconds| format!(" after {} s", seconds.round())).unwrap_or_default();
                (Outcome::TimedOut, Some(format!("timed out{after}")))
            }
            (true, ..) => (Outcome::Passed, None),
            (false, ..) => (Outcome::Failed, None),
        };
        let reason = skip.map(|remark| remark.trim_start_matches("skip").trim().to_owned());
        let reason = reason.filter(|reason| !reason.is_empty());
        self.ended = Some((
            test,
            Ended { status, duration, message, output: String::new(), reason, revised: false, attempts: 0 },
        ));
    }
}

impl Reader for Stream {
    fn line(&mut self, line: &str, seen: &mut Vec<Seen>) {
        if let Some(folder) = line.strip_prefix("agentic-folder ") {
            folder.clone_into(&mut self.folder);
        } else if let Some(count) = line.strip_prefix("1..") {
            self.planned += count.trim().parse::<usize>().unwrap_or_default();
        } else if let Some(file) = line.strip_prefix("suite ") {
            self.flush(seen);
            self.bury(seen);
            let inside = file.strip_prefix(self.folder.as_str()).map(|file| file.trim_start_matches('/'));
            // `bats .` has it as `./a.bats`.
            self.file = inside.unwrap_or(file).replace("/./", "/").trim_start_matches("./").to_owned();
        } else if let Some(rest) = line.strip_prefix("begin ") {
            self.flush(seen);
            self.bury(seen);
            let name = rest.split_once(' ').map_or(rest, |(_, name)| name);
            let test = Known {
                id: format!("{}::{name}", self.file),
                name: name.to_owned(),
                suite: Some(self.file.clone()),
                file: Some(self.file.clone()),
                line: None,
            };
            seen.push(Seen::Started { test: test.clone() });
            self.running = Some(test);
        } else if let Some(rest) = line.strip_prefix("ok ") {
            self.verdict(true, rest);
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            // A file that cannot be loaded, or its setup, has no test that began.
            if self.running.is_none() {
                self.flush(seen);
            }
            if self.running.is_none() && self.loose.len() < MOST_LOOSE {
                self.loose.push(rest.split_once(' ').map_or(rest, |(_, what)| what).to_owned());
            }
            self.verdict(false, rest);
        } else if let Some(text) = line.strip_prefix("# ").or_else(|| line.strip_prefix('#')) {
            match (&mut self.ended, self.loose.last_mut()) {
                (Some((_, end)), _) if end.output.len() < MOST_OUTPUT => {
                    end.output.push_str(text);
                    end.output.push('\n');
                }
                (None, Some(loose)) if !text.starts_with("bats warning:") && loose.len() < MOST_OUTPUT => {
                    loose.push_str(" / ");
                    loose.push_str(text.trim());
                }
                _ => {}
            }
        }
    }
    fn end(&mut self, output: &Output, seen: &mut Vec<Seen>) {
        self.flush(seen);
        if output.reason.success() || matches!(output.reason, agentic_sandbox::ExitReason::Exited(_)) {
            self.bury(seen);
        }
        let lost = self.planned.saturating_sub(self.done + usize::from(self.running.is_some()));
        if lost > 0 && self.loose.is_empty() {
            self.loose.push(format!("{lost} of {} tests were not run", self.planned));
        }
        for message in self.loose.drain(..) {
            seen.push(Seen::Error { message, file: None, id: None });
        }
    }
}
