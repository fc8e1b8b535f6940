//! ctest: its progress lines say what begins, what crashed and what timed out; its JUnit report has what was printed.

use std::time::Duration;

use agentic_sandbox::Output;

use super::{Exit, Launch, Reader, Round, Runner, Select, inside, junit};
use crate::testing::command::TestCommand;
use crate::testing::tally::{Ended, Known, Outcome, Seen};
use crate::workspace::Exchange;

const REPORT: &str = "ctest.xml";

#[derive(Debug)]
pub(super) struct Ctest(pub(super) TestCommand);

impl Runner for Ctest {
    fn name(&self) -> &'static str {
        "ctest"
    }
    fn launch(&self, round: &Round) -> Launch {
        let mark = "AGENTIC_CTEST_REPORT";
        let seconds = format!("{}", round.timeout.as_secs_f64().ceil().max(1.0));
        let mut ours: Vec<String> = ["--output-junit", mark, "--timeout", &seconds].map(str::to_owned).into();
        if let Some(workers) = round.workers {
            ours.extend(["--parallel".to_owned(), workers.to_string()]);
        }
        if let Select::Only(tests) = &round.select {
            let names: Vec<String> = tests.iter().map(|test| cmake_regex(&test.name)).collect();
            ours.extend(["--tests-regex".to_owned(), format!("^({})$", names.join("|"))]);
        }
        let mut command = self.0.clone();
        command.args.retain(|arg| arg != "--stop-on-failure");
        let line = command.with(&ours.iter().map(String::as_str).collect::<Vec<_>>());
        // Two words that a shell must not quote together: the report is removed first, so that an old one is not read.
        let line = line.replacen(mark, &inside(REPORT), 1);
        // Listed first: what comes after a test that hangs is to be known.
        let listing = command.with(&["--show-only"]);
        Launch::new(format!("rm -f {}; {listing}; {line}", inside(REPORT)))
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Progress::default())
    }
    fn reads_stdout(&self) -> bool {
        true
    }
    fn reports(&self, exchange: &Exchange) -> Result<Vec<Seen>, String> {
        let Some(cases) = junit::read(exchange, REPORT)? else { return Ok(Vec::new()) };
        let mut seen: Vec<Seen> = cases.into_iter().map(detail).collect();
        seen.push(Seen::Finished { tests: None });
        Ok(seen)
    }
    fn lists(&self) -> bool {
        true
    }
    /// 8: tests failed; ctest ends with 0 when it finds none.
    fn exit(&self, code: i32) -> Exit {
        if code == 0 { Exit::Fine } else { Exit::Failed }
    }
    fn slack(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// A name as CMake's regular expressions take it.
fn cmake_regex(name: &str) -> String {
    let mut pattern = String::new();
    for letter in name.chars() {
        match letter {
            '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '|' | '\\' => {
                pattern.push('\\');
                pattern.push(letter);
            }
            '[' | ']' => pattern.push('.'),
            _ => pattern.push(letter),
        }
    }
    pattern
}

fn known(name: &str) -> Known {
    Known { id: name.to_owned(), name: name.to_owned(), ..Known::default() }
}

/// What was printed, and why a test was skipped: the verdict is that of the progress line.
fn detail(case: junit::Case) -> Seen {
    let reason = case.skipped.map(|message| {
        let said = case.output.lines().last().unwrap_or_default().trim();
        if said.is_empty() { message } else { said.to_owned() }
    });
    let message = case.output.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
    Seen::Detail { id: case.name, message, output: case.output, reason, duration: case.seconds }
}

#[derive(Debug, Default)]
struct Progress {
    /// How many tests it said it would run, and how many have ended.
    planned: usize,
    done: usize,
}

impl Reader for Progress {
    fn line(&mut self, line: &str, seen: &mut Vec<Seen>) {
        let text = line.trim_start();
        if let Some(rest) = text.strip_prefix("Start ") {
            if let Some((_, name)) = rest.trim_start().split_once(": ") {
                seen.push(Seen::Started { test: known(name.trim_end()) });
            }
            return;
        }
        // `  Test #3: crashes`, of the list; `(Disabled)` may follow.
        if let Some((_, name)) =
            text.strip_prefix("Test ").and_then(|rest| rest.trim_start().strip_prefix('#')?.split_once(": "))
        {
            let name = name.trim_end().trim_end_matches("(Disabled)").trim_end();
            seen.push(Seen::Listed { tests: vec![known(name)] });
            return;
        }
        // `3/8 Test #3: crashes ....................***Exception: SegFault  0.00 sec`
        let Some((count, rest)) = text.split_once(" Test ").filter(|(count, _)| count.contains('/')) else { return };
        self.planned = count.split('/').nth(1).and_then(|all| all.trim().parse().ok()).unwrap_or(self.planned);
        let Some((_, rest)) = rest.trim_start().strip_prefix('#').and_then(|rest| rest.split_once(": ")) else {
            return;
        };
        let (rest, seconds) = match rest.trim_end().strip_suffix(" sec").and_then(|rest| rest.rsplit_once(' ')) {
            Some(parts) => parts,
            // The reason of a failure may go on for lines; the time is at the end of the last.
            None if rest.contains("***") => (rest, ""),
            None => return,
        };
        let rest = rest.trim_end();
        let (name, word) = match rest.split_once("***") {
            Some((name, word)) => (name, word),
            None => rest.rsplit_once(' ').unwrap_or((rest, "")),
        };
        // Dots fill the line between the two; before them is a space.
        let name = name.trim_end().trim_end_matches('.').trim_end();
        // What died is said between the dots and the stars: `Subprocess aborted***Exception`, `Child killed***Exception`.
        let (name, how) = match name.rsplit_once("  ").or_else(|| name.rsplit_once("..")) {
            Some((name, how)) if word.starts_with("Exception") => (name.trim_end_matches('.').trim_end(), how),
            _ => (name, ""),
        };
        let (status, message) = match word.trim() {
            "Passed" => (Outcome::Passed, None),
            "Skipped" | "Not Run (Disabled)" => (Outcome::Skipped, None),
            "Timeout" => (Outcome::TimedOut, Some(format!("timed out after {} s", seconds.trim()))),
            word if word.starts_with("Exception") => {
                let what = word.trim_start_matches("Exception").trim_start_matches(':').trim();
                let what = if what.is_empty() { how.trim() } else { what };
                (Outcome::Crashed, Some(format!("its process died: {what}")))
            }
            word if word.starts_with("Not Run") => (Outcome::Failed, Some("ctest could not run it".to_owned())),
            _ => (Outcome::Failed, None),
        };
        let end = Ended {
            status,
            duration: seconds.parse().ok(),
            message,
            output: String::new(),
            reason: None,
            revised: false,
            attempts: 0,
        };
        self.done += 1;
        seen.push(Seen::Ended { test: known(name), end });
    }
    fn end(&mut self, _output: &Output, seen: &mut Vec<Seen>) {
        let lost = self.planned.saturating_sub(self.done);
        if lost > 0 {
            let message = format!("{lost} of {} tests have no verdict", self.planned);
            seen.push(Seen::Error { message, file: None, id: None });
        }
    }
}
