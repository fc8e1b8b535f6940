//! What test programs print, read line by line: how many passed and failed, which were skipped and why.

use std::collections::BTreeMap;

/// Counts over any number of test programs.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    passed: usize,
    failed: Vec<String>,
    /// Skipped tests and why, by pass and name.
    skipped: BTreeMap<String, Vec<String>>,
    /// Where in the output of the program we are.
    place: Place,
}

/// The parts of a test program's output, in their order.
#[derive(Debug, Default, PartialEq)]
enum Place {
    /// One line a test with its verdict.
    #[default]
    Verdicts,
    /// What passed tests printed; the test, when its heading was seen.
    Successes(Option<String>),
    /// What failed tests printed; the test, when its heading was seen.
    Failures(Option<String>),
}

impl Summary {
    /// The lines that follow come from another program.
    pub(crate) fn begin(&mut self) {
        self.place = Place::Verdicts;
    }
    /// Reads one line that the test program `program` printed; true when a person should see it.
    pub(crate) fn line(&mut self, program: &str, line: &str) -> bool {
        // A test may print anything, so verdicts are believed only before the first captured output.
        match line {
            "successes:" => self.place = Place::Successes(None),
            "failures:" => self.place = Place::Failures(None),
            _ => {}
        }
        match &mut self.place {
            Place::Verdicts => {
                self.verdict(program, line);
                true
            }
            Place::Successes(test) | Place::Failures(test) => {
                if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
                    *test = Some(name.to_owned());
                } else if let (Some(test), Some(reason)) = (test, line.strip_prefix("SKIP:")) {
                    let reason = reason.trim();
                    // The line may name the test as well, with or without its module.
                    let short = test.rsplit("::").next().unwrap_or(test);
                    let named = [test.as_str(), short]
                        .into_iter()
                        .find_map(|name| reason.strip_prefix(name)?.strip_prefix(": "));
                    let why = named.unwrap_or(reason);
                    self.skipped.entry(format!("{program} {test}")).or_default().push(why.to_owned());
                }
                !matches!(self.place, Place::Successes(_)) || line.starts_with("test result: ")
            }
        }
    }
    /// A verdict reads `test NAME ... ok`, `FAILED`, or `ignored, REASON`.
    fn verdict(&mut self, program: &str, line: &str) {
        let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) else {
            return;
        };
        match verdict.split(',').next() {
            Some("ok") => self.passed += 1,
            Some("FAILED") => self.failed.push(format!("{program} {name}")),
            Some("ignored") => {
                self.skip(&format!("{program} {name}"), verdict.strip_prefix("ignored, ").unwrap_or(verdict))
            }
            _ => {}
        }
    }
    /// Counts something that is no line of a test program.
    pub(crate) fn add(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }
    /// Counts something that was not run.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        self.skipped.entry(name.to_owned()).or_default().push(why.to_owned());
        self.passed += 1; // taken back with the other skips
    }
    /// The names of what failed so far.
    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }
    /// How many failed so far.
    pub(crate) fn failures(&self) -> usize {
        self.failed.len()
    }
    /// Whether nothing failed.
    pub(crate) fn green(&self) -> bool {
        self.failed.is_empty()
    }
    /// How many passed, failed and were skipped.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        // A test that skips returns early, so its program counts it as passed.
        (self.passed.saturating_sub(self.skipped.len()), self.failed.len(), self.skipped.len())
    }
    /// The list of skipped and failed tests, and the counts as the last line.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        if !self.skipped.is_empty() {
            text.push_str("\nskipped:\n");
        }
        for (name, reasons) in &self.skipped {
            text.push_str(&format!("  {name}: {}\n", reasons.join("; ")));
        }
        if !self.failed.is_empty() {
            text.push_str("\nfailed:\n");
        }
        for name in &self.failed {
            text.push_str(&format!("  {name}\n"));
        }
        let (passed, failed, skipped) = self.counts();
        text.push_str(&format!("\n{passed} passed, {failed} failed, {skipped} skipped\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 4 tests
test a::runs ... ok
test a::needs_cgroups ... ok
test a::breaks ... FAILED
test a::slow ... ignored, takes an hour

successes:

---- a::needs_cgroups stdout ----
SKIP: a::needs_cgroups: no cgroup can be written
SKIP: needs_cgroups: another reason

---- a::runs stdout ----
test inner ... FAILED
a SKIP: in the middle

failures:

---- a::breaks stdout ----
test inner ... ok

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn skipped_tests_are_no_passed_ones_and_what_tests_print_is_no_verdict() {
        let mut summary = Summary::default();
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| summary.line("lib", line)).collect();
        let report = summary.report();
        assert!(report.contains("  lib a::needs_cgroups: no cgroup can be written; another reason\n"), "{report}");
        assert!(report.contains("  lib a::slow: takes an hour\n"), "{report}");
        assert!(report.ends_with("\n1 passed, 1 failed, 2 skipped\n"), "{report}");
        assert!(!summary.green());
        assert!(shown.contains(&"test inner ... ok") && !shown.contains(&"test inner ... FAILED"), "{shown:?}");
    }

    #[test]
    fn the_next_program_has_verdicts_again() {
        let mut summary = Summary::default();
        for line in OUTPUT.lines() {
            summary.line("lib", line);
        }
        summary.begin();
        summary.line("other", "test b ... ok");
        assert!(summary.report().ends_with("\n2 passed, 1 failed, 2 skipped\n"));
    }
}
