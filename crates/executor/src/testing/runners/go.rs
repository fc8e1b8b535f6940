//! `go test -json`: events of each test as they come, on standard output.
//!
//! A package's tests share a process: one that panics or is killed ends those after it, which are listed and run again.

use std::borrow::Cow;
use std::collections::HashMap;

use agentic_sandbox::Output;
use serde_json::Value;

use super::{Launch, Reader, Round, Runner, Select, inside};
use crate::testing::command::TestCommand;
use crate::testing::tally::{Ended, Known, Outcome, Seen, Tally, beginning};

const SCRIPT: (&str, &str) = ("agentic-go-rest", include_str!("agentic-go-rest"));
/// Flags of `go test` whose value may be the next word.
const VALUED: [&str; 26] = [
    "-asmflags",
    "-bench",
    "-benchtime",
    "-blockprofile",
    "-count",
    "-covermode",
    "-coverpkg",
    "-coverprofile",
    "-cpu",
    "-cpuprofile",
    "-exec",
    "-fuzz",
    "-gcflags",
    "-ldflags",
    "-list",
    "-memprofile",
    "-mod",
    "-modfile",
    "-o",
    "-p",
    "-parallel",
    "-run",
    "-skip",
    "-tags",
    "-timeout",
    "-vet",
];
/// Tests and packages whose output is kept while they run.
const MOST_TEXTS: usize = 10_000;
/// Bytes of a test's output that are kept while it runs.
const MOST_OUTPUT: usize = 32 << 10;

#[derive(Debug)]
pub(super) struct Go {
    command: TestCommand,
    flags: Vec<String>,
    packages: Vec<String>,
    /// What `-run` says.
    run: Option<String>,
}

impl Go {
    pub(super) fn new(command: TestCommand) -> Self {
        let (mut flags, mut packages, mut run) = (Vec::new(), Vec::new(), None);
        let mut words = command.args.iter().cloned();
        while let Some(word) = words.next() {
            let plain = word.replacen("--", "-", usize::from(word.starts_with("--")));
            if !plain.starts_with('-') {
                packages.push(word);
                continue;
            }
            let (name, value) = match plain.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None if VALUED.contains(&plain.as_str()) => (plain.clone(), words.next()),
                None => (plain.clone(), None),
            };
            match name.as_str() {
                // Ours; `-v` is part of `-json`.
                "-json" | "-v" | "-count" | "-failfast" => {}
                "-run" => run = value,
                _ => flags.push(value.map_or(name.clone(), |value| format!("{name}={value}"))),
            }
        }
        Self { command, flags, packages, run }
    }
    fn line(&self, round: &Round, run: Option<&str>, packages: &[String]) -> String {
        let mut words: Vec<String> = vec!["-json".into(), "-count=1".into()];
        // The time of a test is ours to keep: go's own limit ends the whole package.
        if !self.flags.iter().any(|flag| flag.starts_with("-timeout")) {
            words.push("-timeout=0".into());
        }
        if let Some(workers) = round.workers {
            words.extend([format!("-p={workers}"), format!("-parallel={workers}")]);
        }
        words.extend(self.flags.iter().cloned());
        words.extend(run.map(|run| format!("-run={run}")));
        words.extend(packages.iter().cloned());
        self.command.instead(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// `TestA/b c` as `-run` takes it: a pattern for each part.
fn pattern(name: &str) -> String {
    name.split('/').map(|part| format!("^{}$", regex::escape(part))).collect::<Vec<_>>().join("/")
}

impl Runner for Go {
    fn name(&self) -> &'static str {
        "go test"
    }
    fn files(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        vec![(SCRIPT.0, Cow::Borrowed(SCRIPT.1))]
    }
    fn launch(&self, round: &Round) -> Launch {
        match &round.select {
            Select::All => Launch::new(self.line(round, self.run.as_deref(), &self.packages)),
            Select::Only(tests) => {
                let mut packages: Vec<(String, Vec<&str>)> = Vec::new();
                for test in tests {
                    let package = test.suite.clone().unwrap_or_default();
                    match packages.iter_mut().find(|(name, _)| *name == package) {
                        Some((_, names)) => names.push(&test.name),
                        None => packages.push((package, vec![&test.name])),
                    }
                }
                let lines = packages.into_iter().map(|(package, names)| {
                    let run = match names.as_slice() {
                        [one] => pattern(one),
                        all => {
                            // Parts cannot be chosen apart for several tests: the whole tests run.
                            let mut top: Vec<&str> = all.iter().filter_map(|name| name.split('/').next()).collect();
                            top.dedup();
                            let top: Vec<String> = top.iter().map(|name| regex::escape(name)).collect();
                            format!("^({})$", top.join("|"))
                        }
                    };
                    self.line(round, Some(&run), &[package])
                });
                Launch::new(lines.collect::<Vec<_>>().join("; "))
            }
            Select::Except { done, .. } => {
                let list = self.run.as_deref().and_then(|run| run.split('/').next()).unwrap_or(".");
                let mut words = self.flags.clone();
                words.push(format!("-list={list}"));
                words.extend(self.packages.iter().cloned());
                let listing = self.command.instead(&words.iter().map(String::as_str).collect::<Vec<_>>());
                let one = self.line(round, None, &[]);
                let list = inside("listed.txt");
                let script = format!("sh {} {} {one} <{list}", inside(SCRIPT.0), inside("done.tsv"));
                let mut launch = Launch::new(format!("{listing} >{list}; status=$?; {script}; exit $status"));
                let done: Vec<String> = done
                    .iter()
                    .map(|test| format!("{}\t{}\n", test.suite.as_deref().unwrap_or_default(), test.name))
                    .collect();
                launch.files.push(("done.tsv", done.concat()));
                launch
            }
        }
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Events::default())
    }
    fn reads_stdout(&self) -> bool {
        true
    }
    fn says_finished(&self) -> bool {
        false
    }
    fn rest(&self, _tally: &Tally, done: &[Known]) -> Vec<Select> {
        vec![Select::Except { files: Vec::new(), done: done.to_vec() }]
    }
}

#[derive(Debug, Default)]
struct Events {
    /// What running tests printed, by package and name.
    output: HashMap<(String, String), String>,
    /// What packages printed outside any test.
    loose: HashMap<String, String>,
    running: Vec<Known>,
    failed: Vec<String>,
    failed_tests: Vec<String>,
    /// What is no event: a compiler's words.
    foreign: String,
}

/// Adds to what one of several said; of too many of them nothing is kept.
fn add_to<K: std::hash::Hash + Eq>(texts: &mut HashMap<K, String>, of: K, more: &str) {
    if texts.len() < MOST_TEXTS || texts.contains_key(&of) {
        add(texts.entry(of).or_default(), more);
    }
}

fn add(text: &mut String, more: &str) {
    if text.len() < MOST_OUTPUT {
        text.push_str(beginning(more, MOST_OUTPUT));
    }
}

impl Events {
    fn known(&self, package: &str, name: &str, output: &str) -> Known {
        let (file, line, _) = place(output).unwrap_or_default();
        Known {
            id: format!("{package}.{name}"),
            name: name.to_owned(),
            suite: Some(package.to_owned()),
            // Only the name of the file is told; without the folder it is no path.
            file: Some(file).filter(|file| file.contains('/')),
            line: Some(line).filter(|line| *line > 0),
        }
    }
    fn of_test(&mut self, package: &str, name: &str, action: &str, elapsed: Option<f64>, seen: &mut Vec<Seen>) {
        let key = (package.to_owned(), name.to_owned());
        match action {
            "run" => {
                let test = self.known(package, name, "");
                self.running.push(test.clone());
                return seen.push(Seen::Started { test });
            }
            // One that waits for others to end is not at work.
            "pause" => return seen.push(Seen::Paused { id: format!("{package}.{name}") }),
            "cont" => return seen.push(Seen::Started { test: self.known(package, name, "") }),
            _ => {}
        }
        let status = match action {
            "pass" => Outcome::Passed,
            "skip" => Outcome::Skipped,
            "fail" => Outcome::Failed,
            _ => return,
        };
        let output = self.output.remove(&key).unwrap_or_default();
        let test = self.known(package, name, &output);
        self.running.retain(|running| running.id != test.id);
        let panicked = output.lines().any(|line| line.starts_with("panic: ") || line.starts_with("fatal error: "));
        let status = if status == Outcome::Failed && panicked { Outcome::Crashed } else { status };
        let told = place(&output).map(|(_, _, said)| said).filter(|said| !said.is_empty());
        let message = match status {
            Outcome::Crashed => {
                output.lines().find(|line| line.starts_with("panic: ") || line.starts_with("fatal")).map(str::to_owned)
            }
            Outcome::Failed => {
                self.failed.push(package.to_owned());
                let part = format!("{package}.{name}/");
                let inner = self.failed_tests.iter().any(|id| id.starts_with(&part));
                let silent = if inner { "a part of it failed" } else { "it failed and said nothing of its own" };
                self.failed_tests.push(test.id.clone());
                Some(told.clone().unwrap_or_else(|| silent.into()))
            }
            _ => None,
        };
        if status == Outcome::Crashed {
            seen.push(Seen::CutOff);
            self.failed.push(package.to_owned());
        }
        let reason = told.filter(|_| status == Outcome::Skipped);
        seen.push(Seen::Ended {
            test,
            end: Ended { status, duration: elapsed, message, output, reason, revised: false, attempts: 0 },
        });
    }
    /// A package is through: what still runs in it died with it.
    fn end_of_package(&mut self, package: &str, action: &str, seen: &mut Vec<Seen>) {
        let dead: Vec<Known> =
            self.running.iter().filter(|test| test.suite.as_deref() == Some(package)).cloned().collect();
        self.running.retain(|test| test.suite.as_deref() != Some(package));
        let loose = self.loose.remove(package).unwrap_or_default();
        // A test and its parts run at once; the innermost is the one that was at work.
        let tops = dead.iter().filter(|test| !test.name.contains('/')).count();
        if !dead.is_empty() {
            seen.push(Seen::CutOff);
        }
        if tops > 1 {
            seen.push(Seen::Died { ids: dead.iter().map(|test| test.id.clone()).collect() });
        }
        if tops == 1 {
            for test in dead {
                let output = self.output.remove(&(package.to_owned(), test.name.clone())).unwrap_or_default();
                let signal = loose.lines().chain(output.lines()).find(|line| line.starts_with("signal: "));
                let how = signal.map_or_else(
                    || "its process died in the middle of it".to_owned(),
                    |signal| format!("its process died in the middle of it ({signal})"),
                );
                let output = format!("{output}{loose}");
                let end = Ended {
                    status: Outcome::Crashed,
                    duration: None,
                    message: Some(how),
                    output,
                    reason: None,
                    revised: false,
                    attempts: 0,
                };
                seen.push(Seen::Ended { test, end });
            }
        } else if action == "fail" && dead.is_empty() && !self.failed.iter().any(|failed| failed == package) {
            let said: Vec<&str> = loose
                .lines()
                .chain(self.foreign.lines())
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("FAIL") && !line.starts_with("# "))
                .take(3)
                .collect();
            let said = if said.is_empty() { "and no test of it failed".to_owned() } else { said.join(" / ") };
            seen.push(Seen::Error { message: format!("the package {package} failed: {said}"), file: None, id: None });
        }
    }
}

/// The first `    shop_test.go:12: expected 4` in what a test printed.
fn place(output: &str) -> Option<(String, u64, String)> {
    output.lines().find_map(|line| {
        let line = line.trim_start();
        let (file, rest) = line.split_once(".go:")?;
        let (number, said) = rest.split_once(':')?;
        let number = number.parse().ok()?;
        (!file.contains(' ')).then(|| (format!("{file}.go"), number, said.trim().to_owned()))
    })
}

impl Reader for Events {
    fn line(&mut self, line: &str, seen: &mut Vec<Seen>) {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return add(&mut self.foreign, &format!("{line}\n"));
        };
        let (Some(action), package) = (event["Action"].as_str(), event["Package"].as_str().unwrap_or_default()) else {
            return;
        };
        let name = event["Test"].as_str();
        match (action, name) {
            ("output", Some(name)) => {
                let text = event["Output"].as_str().unwrap_or_default();
                if !text.starts_with("=== ") && !text.trim_start().starts_with("--- ") {
                    add_to(&mut self.output, (package.to_owned(), name.to_owned()), text);
                }
            }
            ("output" | "build-output", None) => {
                let text = event["Output"].as_str().unwrap_or_default();
                // A compiler's words come under the name of what it compiled.
                match event["ImportPath"].as_str() {
                    Some(_) => add(&mut self.foreign, text),
                    None => add_to(&mut self.loose, package.to_owned(), text),
                }
            }
            (action, Some(name)) => self.of_test(package, name, action, event["Elapsed"].as_f64(), seen),
            ("pass" | "fail" | "skip", None) => self.end_of_package(package, action, seen),
            _ => {}
        }
    }
    fn end(&mut self, output: &Output, seen: &mut Vec<Seen>) {
        // A package that did not compile has no event of its own before Go 1.24.
        let text = format!("{}{}", self.foreign, output.stderr.text());
        let failed = text.lines().filter(|line| line.starts_with("FAIL\t") && line.contains("failed]"));
        for line in failed {
            let said: Vec<&str> =
                text.lines().filter(|line| line.contains(".go:") && line.contains(": ")).take(2).collect();
            let message = format!("{}: {}", line.replacen("FAIL\t", "", 1), said.join(" / "));
            seen.push(Seen::Error { message, file: None, id: None });
        }
    }
}
