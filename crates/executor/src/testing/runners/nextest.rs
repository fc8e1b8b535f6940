//! cargo-nextest: each test is a process, so that nextest itself tells crashes and timeouts apart. Its JUnit report is
//! asked for by a profile of ours, which inherits what the project's default profile says of tests.

use std::time::Duration;

use agentic_sandbox::Output;

use super::{Exit, Launch, Reader, Round, Runner, Select, cargo, inside, junit};
use crate::testing::command::TestCommand;
use crate::testing::tally::{Ended, Known, Outcome, Seen};
use crate::workspace::Exchange;

const REPORT: &str = "nextest.xml";

#[derive(Debug)]
pub(super) struct Nextest(pub(super) TestCommand);

impl Runner for Nextest {
    fn name(&self) -> &'static str {
        "cargo nextest"
    }
    fn launch(&self, round: &Round) -> Launch {
        let mark = "AGENTIC_NEXTEST_CONFIG";
        let config = format!("agentic:{mark}");
        let mut ours: Vec<String> = ["--tool-config-file", &config, "--profile", "agentic"].map(str::to_owned).into();
        if !self.0.args.iter().any(|arg| arg == "--status-level" || arg.starts_with("--status-level=")) {
            ours.extend(["--status-level", "all"].map(str::to_owned));
        }
        if let Some(workers) = round.workers {
            ours.push(format!("--test-threads={workers}"));
        }
        if let Select::Only(tests) = &round.select {
            let one = |test: &Known| {
                format!("(binary_id(={}) & test(={}))", test.suite.as_deref().unwrap_or_default(), test.name)
            };
            ours.extend(["-E".to_owned(), tests.iter().map(one).collect::<Vec<_>>().join(" | ")]);
        }
        let mut command = self.0.clone();
        command
            .args
            .retain(|arg| !matches!(arg.as_str(), "--fail-fast" | "--ff" | "-x") && !arg.starts_with("--max-fail"));
        let line = command.with(&ours.iter().map(String::as_str).collect::<Vec<_>>());
        let line = line.replacen(mark, &inside("nextest.toml"), 1);
        let seconds = round.timeout.as_secs_f64().ceil().max(1.0);
        // A path of TOML's between single quotes is taken as it is.
        let config = format!(
            "rm -f {report}; cat >{file} <<AGENTIC\n[profile.agentic]\nretries = 0\nfail-fast = false\nslow-timeout = {{ \
             period = \"{seconds}s\", terminate-after = 1, grace-period = \"1s\" }}\n[profile.agentic.junit]\npath = \
             '$AGENTIC_TEST_DIR/{REPORT}'\nAGENTIC\n",
            report = inside(REPORT),
            file = inside("nextest.toml"),
        );
        Launch::new(format!("{config}{line}"))
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Skips)
    }
    fn reports(&self, exchange: &Exchange) -> Result<Vec<Seen>, String> {
        let Some(cases) = junit::read(exchange, REPORT)? else { return Ok(Vec::new()) };
        let mut seen: Vec<Seen> = cases.into_iter().map(ended).collect();
        seen.push(Seen::Finished { tests: None });
        Ok(seen)
    }
    /// Exit codes of nextest: 4 no tests, 100 tests failed, 104 a setup script failed, 96 and others its own errors.
    fn exit(&self, code: i32) -> Exit {
        match code {
            0 => Exit::Fine,
            4 => Exit::NoTests,
            94 | 96 | 104 => Exit::Broken(format!("nextest could not do its work (status {code})")),
            _ => Exit::Failed,
        }
    }
    fn slack(&self) -> Duration {
        Duration::from_secs(10)
    }
}

fn known(suite: &str, name: &str) -> Known {
    Known { id: format!("{suite} {name}"), name: name.to_owned(), suite: Some(suite.to_owned()), ..Known::default() }
}

fn ended(case: junit::Case) -> Seen {
    let mut test = known(&case.class, &case.name);
    let (status, message) = match &case.failure {
        None if case.skipped.is_some() => (Outcome::Skipped, None),
        None => (Outcome::Passed, None),
        Some((kind, message, text)) => {
            let status = match kind.as_str() {
                "test timeout" => Outcome::TimedOut,
                kind if kind.starts_with("test abort") => Outcome::Crashed,
                _ => Outcome::Failed,
            };
            let place = text.lines().next().and_then(|line| line.rsplit_once("panicked at ")).map(|(_, place)| place);
            let mut parts = place.unwrap_or_default().split(':');
            test.file = parts.next().filter(|file| !file.is_empty()).map(str::to_owned);
            test.line = parts.next().and_then(|line| line.parse().ok());
            let said = match status {
                Outcome::TimedOut => {
                    format!("timed out after {} s", case.seconds.unwrap_or_default().round())
                }
                _ => cargo::panic_message(text)
                    .unwrap_or_else(|| if message.is_empty() { kind.clone() } else { message.clone() }),
            };
            (status, Some(said))
        }
    };
    let output = if status == Outcome::Passed { String::new() } else { case.output };
    Seen::Ended {
        test,
        end: Ended {
            status,
            duration: case.seconds,
            message,
            output,
            reason: case.skipped,
            revised: false,
            attempts: 0,
        },
    }
}

/// Tests that are skipped are in no report of nextest, and on its screen.
struct Skips;

impl Reader for Skips {
    fn end(&mut self, output: &Output, seen: &mut Vec<Seen>) {
        for line in output.stderr.text().lines() {
            // `        SKIP [         ] (───) shop tests::pays_by_card`
            let Some(rest) = line.trim_start().strip_prefix("SKIP [") else { continue };
            let words: Vec<&str> = rest.split_whitespace().rev().take(2).collect();
            if let [name, suite] = words[..] {
                let end = Ended {
                    status: Outcome::Skipped,
                    duration: None,
                    message: None,
                    output: String::new(),
                    reason: None,
                    revised: false,
                    attempts: 0,
                };
                seen.push(Seen::Ended { test: known(suite, name), end });
            }
        }
    }
}
