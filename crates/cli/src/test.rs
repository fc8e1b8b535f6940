//! `agentic test`: the project's tests, by its own runner, in the sandbox, with a verdict for each test.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use agentic_executor::planner::CommitPolicy;
use agentic_executor::testing::{TestCase, TestRunStatus, TestStatus};
use agentic_executor::tools::run_tests::{RunTestsParams, Verdict};
use agentic_executor::{Cancel, Event, EventBody, ExecutionResult, TestReport};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::args::{FailOrPass, TestArgs};
use crate::conduct::writable;
use crate::engine::{Engine, Parts, Prompt, test_history};
use crate::error::{Failure, Result, unless_gone};
use crate::exit_code::ExitCode;
use crate::prompt::AlwaysYes;
use crate::settings::{Settings, Surroundings, Typed};
use crate::signals::Watch;
use crate::terminal::{Appearance, Colour, one_line};
use crate::warn;

/// Lines of a failed test's output that are shown.
const MOST_LINES: usize = 25;
/// Tests of the history that are shown without being asked for by name.
const MOST_REMEMBERED: usize = 20;

pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let found = Surroundings::find(args.place.directory.as_deref())?;
    let mut typed = Typed::default();
    typed.permissions(&args.permissions)?;
    let settings = Settings::decide(found, typed)?;
    warn(&settings.warnings);
    if args.history {
        return remember(args, &settings);
    }
    writable(&settings)?;
    // Before anything runs: a report that cannot be written in the end would be lost.
    let junit = args.junit.as_deref().map(open).transpose()?;
    let params = params(args)?;
    let cancel = Cancel::new();
    let look = Appearance::of_stdout();
    let live = Arc::new(Live::new(look, args.json, args.verbose));
    let noted = live.clone();
    let _watch = Watch::start(&cancel, move || noted.note("ending the tests (again to end them at once)"))?;
    let prompt: Option<Arc<dyn Prompt>> = if args.permissions.yes { Some(Arc::new(AlwaysYes)) } else { None };
    let shown = live.clone();
    let on_event = Box::new(move |event: &Event| shown.event(event));
    let engine = Engine::new(&settings, Parts { on_event, prompt, cancel, journal: true, review: None })?;
    let commit = if args.discard { CommitPolicy::Never } else { CommitPolicy::Always };
    let result = engine.run_tests(&params, commit);
    live.end();
    let report = result.tests();
    if let (Some((mut file, path)), Some(report)) = (junit, &report) {
        let failed = |error| Failure::failed(format!("failed to write {}: {error}", path.display()));
        file.write_all(report.to_junit().as_bytes()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
    }
    show(&result, report.as_ref(), args, look)
}

/// The file of a report, beside the place that it takes in the end: made before anything is run.
fn open(path: &Path) -> Result<(NamedTempFile, PathBuf)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let refused = |why: String| Failure::bad_input(format!("failed to write {}: {why}", path.display()));
    if path.is_dir() {
        return Err(refused("it is a folder".into()));
    }
    let file = tempfile::Builder::new()
        .prefix(".agentic-junit-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| refused(error.to_string()))?;
    Ok((file, path.to_owned()))
}

fn params(args: &TestArgs) -> Result<RunTestsParams> {
    let verdict = |given: Option<FailOrPass>| match given {
        Some(FailOrPass::Fail) => Verdict::Fail,
        _ => Verdict::Pass,
    };
    let command = match args.command.as_slice() {
        [] => None,
        // One word with a blank in it is a command line, as `sh -c` takes it.
        [line] => Some(line.clone()),
        words => Some(
            shlex::try_join(words.iter().map(String::as_str))
                .map_err(|_| Failure::bad_input("the test command has a NUL byte"))?,
        ),
    };
    Ok(RunTestsParams {
        command,
        workers: args.workers,
        retries: args.retries,
        timeout: args.timeout,
        global_timeout: args.global_timeout,
        fail_fast: args.fail_fast,
        flaky: verdict(args.flaky),
        leaky: verdict(args.leaky),
    })
}

/// What is shown while tests run.
struct Live {
    look: Appearance,
    quiet: bool,
    verbose: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    /// What is no whole line yet.
    cut: String,
    done: usize,
    bad: usize,
}

impl Live {
    fn new(look: Appearance, quiet: bool, verbose: bool) -> Self {
        let bar = (look.live && !quiet).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_message("starting");
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        });
        Self { look, quiet, verbose, state: Mutex::new(State { bar, ..State::default() }) }
    }
    fn event(&self, event: &Event) {
        let EventBody::CallOutput { text, .. } = &event.body else { return };
        if self.quiet {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cut.push_str(text);
        while let Some(at) = state.cut.find('\n') {
            let line: String = state.cut.drain(..=at).collect();
            self.line(&mut state, line.trim_end());
        }
    }
    /// `failed tests/test_a.py::test_x (0.12 s)`
    fn line(&self, state: &mut State, line: &str) {
        state.done += 1;
        let bad = !line.starts_with("passed ") && !line.starts_with("skipped ");
        state.bad += usize::from(bad);
        if bad || self.verbose {
            let colour = if bad { Colour::Red } else { Colour::Dim };
            let shown = one_line(line, 200);
            let text = self.look.paint(colour, &self.look.foreign(&shown));
            match &state.bar {
                Some(bar) => bar.println(text),
                None => {
                    let _gone = writeln!(std::io::stdout(), "{text}");
                }
            }
        }
        if let Some(bar) = &state.bar {
            let bad = if state.bad == 0 { String::new() } else { format!(", {} not passed", state.bad) };
            bar.set_message(format!("{} run{bad}  {}", state.done, self.look.foreign(&one_line(line, 100))));
        }
    }
    fn note(&self, text: &str) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.bar {
            Some(bar) => bar.println(text),
            None => {
                let _gone = writeln!(std::io::stderr(), "agentic: {text}");
            }
        }
    }
    fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn show(result: &ExecutionResult, report: Option<&TestReport>, args: &TestArgs, look: Appearance) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    let Some(report) = report else {
        let answer = result.steps.first().and_then(|step| step.result.as_ref());
        let code = match ExitCode::of_run(result) {
            // What was wrong with the call itself says more than that the run failed.
            ExitCode::Failed => answer.map_or(ExitCode::Failed, ExitCode::of_call),
            code => code,
        };
        if args.json {
            unless_gone(writeln!(out, "{}", result.to_dict()))?;
        } else {
            let why = result.error.as_deref().unwrap_or("no reason given");
            return Err(Failure::new(
                code,
                format!("failed to run the tests: {}", Appearance::of_stderr().foreign(why)),
            ));
        }
        return Ok(code);
    };
    let code = match (report.status, ExitCode::of_run(result)) {
        // The layer could not be applied, the run was ended: whatever the tests said.
        (TestRunStatus::Passed, code) => code,
        (_, code @ (ExitCode::Cancelled | ExitCode::Denied | ExitCode::Unenforceable)) => code,
        (TestRunStatus::NoTests, _) => ExitCode::NoTests,
        _ => ExitCode::Failed,
    };
    if args.json {
        let mut value = serde_json::to_value(report).unwrap_or(Value::Null);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("run_id".into(), json!(result.run_id));
            fields.insert("error".into(), json!(result.error));
        }
        unless_gone(writeln!(out, "{value}"))?;
        return Ok(code);
    }
    for line in lines(result, report, look) {
        unless_gone(writeln!(out, "{line}"))?;
    }
    if code == ExitCode::NoTests && report.suites.is_empty() {
        return Err(Failure::new(code, "no tests were found: nothing here says how tests are run")
            .hint("name the command that runs them: agentic test -- COMMAND"));
    }
    Ok(code)
}

fn word(status: TestStatus) -> (&'static str, Colour) {
    match status {
        TestStatus::Passed => ("passed", Colour::Green),
        TestStatus::Failed => ("FAILED", Colour::Red),
        TestStatus::Skipped => ("skipped", Colour::Dim),
        TestStatus::Flaky => ("FLAKY", Colour::Yellow),
        TestStatus::TimedOut => ("TIMED OUT", Colour::Red),
        TestStatus::Crashed => ("CRASHED", Colour::Red),
        TestStatus::Leaky => ("LEAKY", Colour::Yellow),
    }
}

/// The report as people read it: failures with what they printed, then the rest by number.
fn lines(result: &ExecutionResult, report: &TestReport, look: Appearance) -> Vec<String> {
    let mut lines = Vec::new();
    let order = [TestStatus::Leaky, TestStatus::Flaky, TestStatus::Crashed, TestStatus::TimedOut, TestStatus::Failed];
    for status in order {
        for test in report.with_status(&[status]) {
            lines.extend(told(test, report, look));
        }
    }
    for group in &report.groups {
        let cause = one_line(&group.cause, 160);
        lines.push(format!("{} tests fail for what looks like one cause: {}", group.tests.len(), look.foreign(&cause)));
    }
    for suite in &report.suites {
        let place = if suite.folder.is_empty() { String::new() } else { format!(" in {}", suite.folder) };
        let head = format!("{}{place}: {}", suite.runner, suite.command);
        lines.push(look.paint(Colour::Bold, &look.foreign(&one_line(&head, 200))));
        for problem in &suite.problems {
            let label = look.paint(Colour::Red, "problem:");
            lines.push(format!("  {label} {}", look.foreign(problem)));
        }
        lines.extend(suite.notes.iter().map(|note| format!("  note: {}", look.foreign(note))));
        if !suite.problems.is_empty() && !suite.output.is_empty() {
            lines.extend(last_lines(&suite.output, look));
        }
    }
    if let Some(error) = result.error.as_deref().filter(|_| report.is_success()) {
        lines.push(format!("{} {}", look.paint(Colour::Red, "error:"), look.foreign(error)));
    }
    let colour = match report.status {
        TestRunStatus::Passed => Colour::Green,
        TestRunStatus::NoTests => Colour::Yellow,
        _ => Colour::Red,
    };
    let status = look.paint(colour, &report.status.as_str().replace('_', " "));
    lines.push(format!("{status}: {} in {:.2} s", report.counts.in_words(), report.duration));
    lines
}

fn told(test: &TestCase, report: &TestReport, look: Appearance) -> Vec<String> {
    let (word, colour) = word(test.status);
    let place = match (&test.file, test.line) {
        (Some(file), Some(line)) => format!("  ({file}:{line})"),
        (Some(file), None) => format!("  ({file})"),
        _ => String::new(),
    };
    let folder = report.suites.get(test.suite_index).filter(|suite| !suite.folder.is_empty());
    let folder = folder.map(|suite| format!("{}: ", suite.folder)).unwrap_or_default();
    let name = one_line(&format!("{folder}{}", test.id), 300);
    let mut lines = vec![format!("{} {}{}", look.paint(colour, word), look.foreign(&name), look.foreign(&place))];
    if let Some(message) = &test.message {
        let first = message.lines().next().unwrap_or_default();
        lines.push(format!("    {}", look.foreign(&one_line(first, 400))));
    }
    if test.status == TestStatus::Flaky {
        let passed = test.attempts.len();
        lines.push(format!("    passed at attempt {passed}"));
    }
    if !test.left_processes.is_empty() {
        lines.push(format!("    left running: {}", look.foreign(&test.left_processes.join(", "))));
    }
    if test.status.is_failure() {
        lines.extend(last_lines(&test.output, look));
    }
    lines
}

fn last_lines(text: &str, look: Appearance) -> Vec<String> {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let cut = all.len().saturating_sub(MOST_LINES);
    let mut lines = Vec::new();
    if cut > 0 {
        lines.push(look.paint(Colour::Dim, &format!("    | … {cut} lines; --json has them")));
    }
    lines.extend(all[cut..].iter().map(|line| look.paint(Colour::Dim, &format!("    | {}", look.foreign(line)))));
    lines
}

/// What the journal knows of the tests of this workspace.
fn remember(args: &TestArgs, settings: &Settings) -> Result<ExitCode> {
    let wanted = |id: &str| args.command.iter().all(|part| id.contains(part.as_str()));
    let all = test_history(&settings.config.state, &settings.config.workspace, args.runs)?;
    let tests: Vec<_> = all.into_iter().filter(|test| wanted(&test.id)).collect();
    let mut out = std::io::stdout().lock();
    if args.json {
        unless_gone(writeln!(out, "{}", json!(tests)))?;
        return Ok(ExitCode::Succeeded);
    }
    if tests.is_empty() {
        let _gone = writeln!(std::io::stderr(), "agentic: no such test is in the journal; `agentic test` runs them");
        return Ok(ExitCode::Succeeded);
    }
    let look = Appearance::of_stdout();
    let most = if args.command.is_empty() { MOST_REMEMBERED } else { usize::MAX };
    unless_gone(writeln!(out, " runs  failed  flaky  rate    mean  test"))?;
    for test in tests.iter().take(most) {
        let mean = test.mean_duration.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s"));
        let folder = if test.folder.is_empty() { String::new() } else { format!("{}: ", test.folder) };
        let name = one_line(&format!("{folder}{}", test.id), 160);
        unless_gone(writeln!(
            out,
            "{:>5}  {:>6}  {:>5}  {:>3.0}%  {mean:>7}  {}",
            test.runs,
            test.failed,
            test.flaky,
            test.flake_rate * 100.0,
            look.foreign(&name)
        ))?;
    }
    if tests.len() > most {
        unless_gone(writeln!(out, "… and {} more: --json has all, a part of a name chooses", tests.len() - most))?;
    }
    Ok(ExitCode::Succeeded)
}
