//! The report as JUnit XML, in the dialect of Maven Surefire that CI servers read (`flakyFailure`, `rerunFailure`), within
//! what the schema of Jenkins' xUnit plugin (`junit-10.xsd`) allows.

use std::time::Duration;

use quick_junit::{
    FlakyOrRerun, NonSuccessKind, Report, TestCase as Case, TestCaseStatus, TestRerun, TestSuite as Suite,
};

use super::report::{TestAttempt, TestCase, TestReport, TestStatus};

impl TestReport {
    /// The report as JUnit XML: one `testsuite` for each group of tests that its runner knows (a class, a package, a
    /// file). A test that was flaky is a success with `flakyFailure`; one that failed again has `rerunFailure`. What was
    /// wrong with a runner is a test of its own that is in error, since JUnit has no other place for it.
    pub fn to_junit(&self) -> String {
        let mut report = Report::new("agentic test");
        report.set_time(seconds(Some(self.duration)));
        for (index, told) in self.suites.iter().enumerate() {
            let mut suites: Vec<(String, Suite)> = Vec::new();
            for test in self.tests.iter().filter(|test| test.suite_index == index) {
                let name = test.suite.clone().or_else(|| test.file.clone()).unwrap_or_else(|| told.runner.clone());
                let name = if told.folder.is_empty() { name } else { format!("{}: {name}", told.folder) };
                let at = suites.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                    suites.push((name.clone(), Suite::new(name.as_str())));
                    suites.len() - 1
                });
                suites[at].1.add_test_case(case(test, &name));
            }
            if !told.problems.is_empty() {
                let mut suite = Suite::new(told.runner.as_str());
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                status.set_message(told.problems[0].as_str()).set_type("error");
                status.set_description(told.problems.join("\n"));
                let mut case = Case::new("(the runner)", status);
                case.set_classname(told.runner.as_str()).set_time(Duration::ZERO);
                suite.add_test_case(case);
                suites.push((told.runner.clone(), suite));
            }
            for (_, mut suite) in suites {
                let time = suite.test_cases.iter().filter_map(|case| case.time).sum();
                suite.set_time(time);
                report.add_test_suite(suite);
            }
        }
        // Writing to memory fails for nothing that is in a report.
        let text = report.to_string().unwrap_or_default();
        // What JUnit's readers call skipped. In names and texts a quotation mark is written as a reference, so that this
        // is an attribute wherever it stands.
        text.replace("\" disabled=\"", "\" skipped=\"")
    }
}

fn seconds(value: Option<f64>) -> Duration {
    Duration::try_from_secs_f64(value.unwrap_or_default()).unwrap_or_default()
}

fn kind(status: TestStatus) -> NonSuccessKind {
    if status == TestStatus::Failed { NonSuccessKind::Failure } else { NonSuccessKind::Error }
}

fn rerun(attempt: &TestAttempt) -> TestRerun {
    let mut rerun = TestRerun::new(kind(attempt.status));
    rerun.set_type(attempt.status.as_str());
    if let Some(message) = &attempt.message {
        rerun.set_message(message.as_str());
    }
    rerun.set_description(attempt.output.as_str());
    rerun
}

/// What a test printed, after where it is.
fn placed(test: &TestCase) -> String {
    match (&test.file, test.line) {
        (Some(file), Some(line)) => format!("{file}:{line}\n{}", test.output),
        (Some(file), None) => format!("{file}\n{}", test.output),
        _ => test.output.clone(),
    }
}

fn case(test: &TestCase, suite: &str) -> Case {
    let bad = |attempt: &&TestAttempt| attempt.status != TestStatus::Passed;
    let status = match test.status {
        TestStatus::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(test.message.as_deref().unwrap_or_default());
            status
        }
        TestStatus::Passed | TestStatus::Leaky | TestStatus::Flaky => {
            let mut status = TestCaseStatus::success();
            status.add_reruns(test.attempts.iter().filter(bad).map(rerun));
            status
        }
        failed => {
            let mut status = TestCaseStatus::non_success(kind(failed));
            status.set_type(failed.as_str()).set_description(placed(test));
            status.set_message(test.message.as_deref().unwrap_or_default());
            status.set_rerun_kind(FlakyOrRerun::Rerun);
            status.add_reruns(test.attempts.iter().skip(1).filter(bad).map(rerun));
            status
        }
    };
    let mut case = Case::new(test.name.as_str(), status);
    case.set_classname(suite).set_time(seconds(test.duration));
    // The schema has no place for where a test is; a failure's text says it first.
    if !test.left_processes.is_empty() {
        case.set_system_out(format!("left running: {}", test.left_processes.join(", ")));
    }
    case
}
