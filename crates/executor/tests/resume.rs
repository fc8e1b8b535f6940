//! A run that is cut off goes on: whenever its process is killed, what comes of it in the end is what an undisturbed run
//! would have come to, and no step's effects are there twice.

mod run_support;
mod workspace_support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentic_executor::config::{Budgets, Host, SandboxSettings};
use agentic_executor::executor::{Resume, ResumeError};
use agentic_executor::planner::PlanFile;
use agentic_executor::sandbox::{Sandbox, Spawner};
use agentic_executor::tools::Idempotency;
use agentic_executor::workspace::{Moment, RollBack};
use agentic_executor::{
    AgenticExecutor, Cause, Config, Event, EventBody, ExecutionMode, ExecutionResult, Journal, RunId, StopReason,
    ToolRegistry, ToolResult, Workspaces,
};
use run_support::{Place, fake, step};
use serde_json::json;
use workspace_support::tree;

/// Where the child works, how, and when it is killed.
const PLACE: &str = "AGENTIC_RESUME_PLACE";
const MODE: &str = "AGENTIC_RESUME_MODE";
const MOMENT: &str = "AGENTIC_RESUME_MOMENT";

/// Everything that a plan can be made of; each step leaves a mark that would be there twice if it were done twice.
const PLAN: &str = "\
task: everything
steps:
  - {id: write, tool: file_write, params: {path: first, content: '1'}}
  - {id: shell, tool: shell, depends_on: [write], params: {command: 'echo ran >> marks/shell && rm -r old && mkdir new && mv data new/data && chmod 600 new/data && ln -s first link && echo said'}}
  - {id: each, tool: shell, for_each: {items: [a, b, c]}, params: {command: 'echo ran >> marks/${{ item }}'}}
  - {id: refused, tool: shell, on_failure: continue, params: {command: 'echo ran >> marks/refused; exit 3'}}
  - {id: after_refused, tool: file_write, depends_on: [refused], params: {path: never, content: ''}}
  - {id: unwanted, tool: file_write, when: '${{ steps.write.status == \"failed\" }}', depends_on: [write], params: {path: never, content: ''}}
  - {id: breaks, tool: shell, on_failure: {fallback: [instead]}, params: {command: 'exit 1'}}
  - {id: instead, tool: shell, params: {command: 'echo ran >> marks/instead'}}
  - {id: quotes, tool: file_write, depends_on: [shell], params: {path: quoted, content: '<${{ steps.shell.output }}>'}}
  - {id: edit, tool: edit, depends_on: [quotes], params: {path: first, old: '1', new: '2'}}
  - {id: large, tool: shell, params: {command: 'seq 1 9000; echo ran >> marks/large'}}
  - {id: last, tool: shell, depends_on: [edit, large], params: {command: 'echo ran >> marks/last; cat first'}}
";

fn lay_out(root: &Path) {
    for folder in ["marks", "old/deep"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("old/deep/file"), "old").unwrap();
    fs::write(root.join("data"), [0, 159, 146, 150]).unwrap();
}

fn config(place: &Path) -> Config {
    Config {
        workspace: place.join("project"),
        state: place.join("state"),
        spawner: Spawner::Path(agentic_testkit::spawner_binary()),
        host: Host { memory: 4 << 30, ..Host::default() },
        sandbox: SandboxSettings::default(),
        budgets: Budgets { parallel: 3, ..Budgets::default() },
    }
}

fn mode(word: &str) -> ExecutionMode {
    serde_json::from_value(word.into()).unwrap()
}

/// Run by the tests below as a process of its own: runs the plan, and is killed at the event or the moment of applying that
/// it was told.
#[test]
fn child() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let place = PathBuf::from(place);
    let (word, at) = (std::env::var(MODE).unwrap(), std::env::var(MOMENT).unwrap());
    let (kind, at) = at.split_once(' ').unwrap();
    let at: usize = at.parse().unwrap();
    let due = |this: &str| if kind == this { Some(at) } else { None };
    let (event, moment) = (due("event"), due("moment"));
    let die = || rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    let count = AtomicUsize::new(0);
    let watcher = move |_: Moment<'_>| {
        if Some(count.fetch_add(1, Ordering::Relaxed)) == moment {
            die();
        }
        Ok(())
    };
    let config = config(&place);
    let sandbox = Sandbox::new(config.spawner.clone()).unwrap();
    let workspaces = Workspaces::new(&config.state, sandbox).unwrap().with_watcher(Arc::new(watcher));
    let executor = AgenticExecutor::builder(config)
        .registry(ToolRegistry::full_registry())
        .mode(mode(&word))
        .workspaces(workspaces)
        .wait_with(|_, _| {})
        .on_event(move |of| {
            let journaled = !matches!(of.body, EventBody::CallOutput { .. });
            if journaled && Some(usize::try_from(of.sequence).unwrap()) == event {
                die();
            }
        })
        .build()
        .unwrap();
    let result = executor.execute_plan(PlanFile::parse(PLAN, "plan.yaml").unwrap().plan);
    assert_eq!(result.stop_reason, StopReason::Partial, "{:?}", result.error);
}

/// Whether the child was killed then, rather than done before.
fn kill_at(place: &Path, word: &str, moment: &str) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child"]).env(PLACE, place).env(MODE, word).env(MOMENT, moment);
    let output = child.stdin(Stdio::null()).output().unwrap();
    match (output.status.signal(), output.status.code()) {
        (Some(9), _) => true,
        (None, Some(0)) => false,
        _ => panic!("the child ended with {}: {}", output.status, String::from_utf8_lossy(&output.stdout)),
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let place = temp.path().canonicalize().unwrap();
    fs::create_dir(place.join("project")).unwrap();
    lay_out(&place.join("project"));
    (temp, place)
}

fn executor(place: &Path, word: &str) -> AgenticExecutor {
    let builder = AgenticExecutor::builder(config(place)).registry(ToolRegistry::full_registry());
    builder.mode(mode(word)).wait_with(|_, _| {}).build().unwrap()
}

fn only_run(journal: &Journal) -> Option<RunId> {
    let runs = journal.runs(10).unwrap();
    assert!(runs.len() <= 1, "{runs:?}");
    runs.first().map(|run| run.id.clone())
}

/// What is to be the same however often a run was cut off.
fn told(result: &ExecutionResult) -> Vec<String> {
    let mut steps: Vec<String> = result
        .steps
        .iter()
        .map(|step| {
            let result = step.result.as_ref().unwrap();
            format!("{} {} {:?} {:?} {}", step.step_id, step.tool, result.status, result.error, result.output)
        })
        .collect();
    steps.sort();
    steps.push(format!("{:?} {:?} {}", result.stop_reason, result.error, result.metadata["steps"]));
    let mut skipped: Vec<String> =
        result.metadata["skipped"].as_array().unwrap().iter().map(ToString::to_string).collect();
    skipped.sort();
    steps.extend(skipped);
    steps
}

/// The summary of a run but for its times.
fn summed(journal: &Journal) -> String {
    let run = &journal.runs(1).unwrap()[0];
    format!("{} {} {} {} {:?} {:?}", run.steps, run.completed, run.failed, run.skipped, run.stop_reason, run.error)
}

/// Kills the child at every `stride`-th moment of its kind; gives how often it was killed, and how often steps had an
/// intent without an outcome, or files were half-way.
fn cut_off_everywhere(word: &str, kind: &str, stride: usize) -> (usize, usize) {
    let (_temp, undisturbed) = place();
    assert!(!kill_at(&undisturbed, word, "event 1000000"));
    let wanted = tree(&undisturbed.join("project"));
    let sum = summed(executor(&undisturbed, word).journal());
    let (mut killed, mut half) = (0, 0);
    let mut all: Option<Vec<String>> = None;
    for moment in (0..).step_by(stride) {
        let (_temp, place) = place();
        if !kill_at(&place, word, &format!("{kind} {moment}")) {
            break;
        }
        killed += 1;
        let executor = executor(&place, word);
        let Some(run) = only_run(executor.journal()) else {
            // The first event was not on the disk yet, and nothing had happened.
            let (_temp, fresh) = self::place();
            assert_eq!(tree(&place.join("project")), tree(&fresh.join("project")));
            continue;
        };
        let at = format!("{word}, {kind} {moment}");
        let result = executor.resume(&run, &Resume::default()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(tree(&place.join("project")), wanted, "{at}");
        assert_eq!(summed(executor.journal()), sum, "{at}");
        let told = told(&result);
        assert_eq!(all.get_or_insert_with(|| told.clone()), &told, "{at}");
        let events = executor.journal().events(&run).unwrap();
        assert!(events.iter().enumerate().all(|(at, event)| event.sequence == at as u64), "{at}: a gap");
        for event in &events {
            if let EventBody::RunResumed { taken_back, .. } = &event.body {
                half += taken_back.len();
            }
        }
        half += executor.workspaces().recovered().len();
        assert_eq!(result.run_id, run);
        assert_eq!(fs::read_dir(place.join("state/running")).unwrap().count(), 0, "{at}");
        // What both processes did is one run, and taken back as one.
        executor.roll_back(&run, None, &RollBack::default()).unwrap_or_else(|error| panic!("{at}: {error}"));
        let (_temp, fresh) = self::place();
        assert_eq!(tree(&place.join("project")), tree(&fresh.join("project")), "{at}");
    }
    (killed, half)
}

/// Every moment with `AGENTIC_RESUME_ALL`, else every `few`-th.
fn stride(few: usize) -> usize {
    if std::env::var_os("AGENTIC_RESUME_ALL").is_some() { 1 } else { few }
}

#[test]
fn a_run_that_is_killed_at_any_event_goes_on() {
    let stride = stride(3);
    let (killed, _) = cut_off_everywhere("sequential", "event", stride);
    assert!(killed > 50 / stride, "killed {killed} times");
}

#[test]
fn a_run_that_is_killed_while_it_applies_goes_on() {
    let stride = stride(4);
    let (killed, half) = cut_off_everywhere("sequential", "moment", stride);
    assert!(killed > 40 / stride && half > 20 / stride, "killed {killed} times, {half} half-done");
}

#[test]
fn a_parallel_run_that_is_killed_goes_on() {
    let (killed, _) = cut_off_everywhere("parallel", "event", stride(7));
    let (again, _) = cut_off_everywhere("parallel", "moment", stride(9));
    assert!(killed > 5 && again > 3, "killed {killed} and {again} times");
}

/// A run over tools made of closures, with a journal on the disk.
fn counted(place: &Place, calls: &Arc<AtomicUsize>, idempotency: Idempotency, dies: bool) -> AgenticExecutor {
    let (seen, first) = (Arc::clone(calls), Arc::clone(calls));
    let mut send = fake("send", move |_, _| {
        seen.fetch_add(1, Ordering::Relaxed);
        assert!(!dies, "killed");
        ToolResult::success("sent")
    });
    send.idempotency = idempotency;
    let prepare = fake("prepare", move |_, _| {
        first.fetch_add(100, Ordering::Relaxed);
        ToolResult::success("prepared")
    });
    place.builder([prepare, send]).build().unwrap()
}

/// The journal of a run whose process ended between the intent of its second call and its outcome.
fn without_outcome(place: &Place, idempotency: Idempotency) -> RunId {
    let calls = Arc::new(AtomicUsize::new(0));
    let full = counted(place, &calls, idempotency, false);
    let mut plan = agentic_executor::ExecutionPlan::new("send");
    plan.steps = vec![step("prepare", "prepare", json!({}), &[]), step("send", "send", json!({}), &["prepare"])];
    let done = full.execute_plan(plan);
    // The same events under another id, as far as the intent.
    let run = RunId::new();
    let mut intents = 0;
    for mut event in full.journal().events(&done.run_id).unwrap() {
        event.run = run.clone();
        full.journal().append(&event).unwrap();
        intents += usize::from(matches!(event.body, EventBody::CallIntended { .. }));
        if intents == 2 {
            break;
        }
    }
    run
}

#[test]
fn what_no_layer_covers_is_called_again_only_when_somebody_says_so() {
    let place = Place::new();
    let run = without_outcome(&place, Idempotency::External);
    let calls = Arc::new(AtomicUsize::new(0));
    let executor = counted(&place, &calls, Idempotency::External, false);
    match executor.resume(&run, &Resume::default()) {
        Err(ResumeError::Unknown { step, tool, .. }) => assert_eq!((step.as_str(), tool.as_str()), ("send", "send")),
        other => panic!("{other:?}"),
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0, "nothing was called");
    let how = Resume { retry: vec!["send".into()], ..Resume::default() };
    let result = executor.resume(&run, &how).unwrap();
    assert!(result.success, "{:?}", result.error);
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the step that had completed is not done again");
    assert!(matches!(executor.resume(&run, &how), Err(ResumeError::Succeeded(_))));
    // The control: what a layer covers needs nobody's word.
    let run = without_outcome(&place, Idempotency::Layered);
    assert!(executor.resume(&run, &Resume::default()).unwrap().success);
}

#[test]
fn a_run_that_failed_goes_on_with_what_failed() {
    let (_temp, place) = place();
    let root = place.join("project");
    let executor = executor(&place, "sequential");
    let plan = "\
task: needs a file
steps:
  - {id: one, tool: shell, params: {command: 'echo ran >> marks/one'}}
  - {id: two, tool: shell, depends_on: [one], params: {command: 'test -e given && echo ran >> marks/two'}}
  - {id: three, tool: shell, depends_on: [two], params: {command: 'echo ran >> marks/three'}}
";
    let first = executor.execute_plan(PlanFile::parse(plan, "plan.yaml").unwrap().plan);
    assert_eq!(first.stop_reason, StopReason::Partial, "{:?}", first.error);
    fs::write(root.join("given"), "").unwrap();
    let result = executor.resume(&first.run_id, &Resume::default()).unwrap();
    assert!(result.success, "{:?}", result.error);
    for mark in ["one", "two", "three"] {
        assert_eq!(fs::read_to_string(root.join("marks").join(mark)).unwrap(), "ran\n", "{mark}");
    }
    let summary = &executor.journal().runs(1).unwrap()[0];
    assert_eq!((summary.completed, summary.failed, summary.skipped), (3, 0, 0));
    assert_eq!(summary.stop_reason, Some(StopReason::Succeeded));
}

/// Appends an event to a run, in its place.
fn append(journal: &Journal, run: &RunId, body: EventBody) {
    let last = journal.events(run).unwrap().pop().unwrap();
    journal.append(&Event { sequence: last.sequence + 1, body, ..last }).unwrap();
    journal.flush().unwrap();
}

#[test]
fn a_step_of_a_run_that_had_an_end_is_not_done_again_because_its_record_is_gone() {
    let (_temp, place) = place();
    let root = place.join("project");
    let executor = executor(&place, "sequential");
    let plan = "\
task: needs a file
steps:
  - {id: one, tool: shell, params: {command: 'echo ran >> marks/one'}}
  - {id: two, tool: shell, depends_on: [one], params: {command: 'test -e given && echo ran >> marks/two'}}
";
    let first = executor.execute_plan(PlanFile::parse(plan, "plan.yaml").unwrap().plan);
    assert_eq!(first.stop_reason, StopReason::Partial, "{:?}", first.error);
    assert_eq!(executor.collect(0, false).unwrap().records, 1);
    // It goes on, and is cut off before anything is done.
    let events = executor.journal().events(&first.run_id).unwrap();
    let Some(EventBody::RunStarted { mode, plan, tools, .. }) = events.into_iter().next().map(|event| event.body)
    else {
        panic!("no beginning")
    };
    let (again, none) = (vec!["two".into()], Vec::new());
    let (taken_back, lost, changed) = (none.clone(), none.clone(), none);
    let resumed = EventBody::RunResumed { mode, plan, tools, again, taken_back, lost, changed };
    append(executor.journal(), &first.run_id, resumed);
    fs::write(root.join("given"), "").unwrap();
    let result = executor.resume(&first.run_id, &Resume::default()).unwrap();
    assert!(result.success, "{:?}", result.error);
    for mark in ["one", "two"] {
        assert_eq!(fs::read_to_string(root.join("marks").join(mark)).unwrap(), "ran\n", "{mark}");
    }
}

#[test]
fn a_plan_that_is_not_the_one_that_was_begun_is_refused() {
    let place = Place::new();
    let run = without_outcome(&place, Idempotency::Layered);
    let executor = counted(&place, &Arc::default(), Idempotency::Layered, false);
    let (strange, journal) = (RunId::new(), executor.journal());
    for mut event in journal.events(&run).unwrap() {
        if let EventBody::RunStarted { plan, .. } = &mut event.body {
            plan.steps[1].params.insert("to".into(), "somebody else".into());
        }
        event.run = strange.clone();
        journal.append(&event).unwrap();
    }
    let refused = executor.resume(&strange, &Resume::default()).unwrap_err();
    assert!(refused.to_string().contains("the plan in the journal is not the one that was begun"), "{refused}");
    // The control: the run that it was copied from.
    assert!(executor.resume(&run, &Resume::default()).unwrap().success);
}

#[test]
fn what_is_not_as_it_was_is_named_and_nothing_is_done() {
    let (_temp, place) = place();
    let root = place.join("project");
    assert!(kill_at(&place, "sequential", "event 14"));
    let run = only_run(executor(&place, "sequential").journal()).unwrap();
    assert_eq!(fs::read_to_string(root.join("marks/shell")).unwrap(), "ran\n");
    fs::write(root.join("marks/shell"), "somebody else's").unwrap();
    let before = tree(&root);
    let refused = executor(&place, "sequential").resume(&run, &Resume::default()).unwrap_err();
    assert!(matches!(refused, ResumeError::Changed { .. }), "{refused}");
    assert!(refused.to_string().contains("marks/shell was changed since"), "{refused}");
    assert_eq!(tree(&root), before);

    // A tool that is not what it was.
    fs::write(root.join("marks/shell"), "ran\n").unwrap();
    let full = ToolRegistry::full_registry();
    let other = fake("shell", |_, _| ToolResult::failure(Cause::Failed, "another"));
    let registry = run_support::registry([other]);
    for name in full.list_tools().iter().filter(|name| *name != "shell") {
        registry.register(full.get(name).unwrap()).unwrap();
    }
    let strange = AgenticExecutor::builder(config(&place)).registry(registry).build().unwrap();
    let refused = strange.resume(&run, &Resume::default()).unwrap_err().to_string();
    assert!(refused.contains("the schema of the tool `shell` is another"), "{refused}");

    // Forced, it goes on over what is there.
    fs::write(root.join("marks/shell"), "somebody else's").unwrap();
    let executor = executor(&place, "sequential");
    let result = executor.resume(&run, &Resume { force: true, ..Resume::default() }).unwrap();
    assert_eq!(result.stop_reason, StopReason::Partial);
    assert_eq!(fs::read_to_string(root.join("marks/shell")).unwrap(), "somebody else's");
    assert_eq!(fs::read_to_string(root.join("marks/last")).unwrap(), "ran\n");
}

#[test]
fn another_folder_is_not_worked_in() {
    let (_temp, place) = place();
    assert!(kill_at(&place, "sequential", "event 5"));
    let run = only_run(executor(&place, "sequential").journal()).unwrap();
    let other = Config { workspace: place.join("project/marks"), ..config(&place) };
    let elsewhere = AgenticExecutor::builder(other).registry(ToolRegistry::full_registry()).build().unwrap();
    let refused = elsewhere.resume(&run, &Resume::default()).unwrap_err();
    assert!(matches!(refused, ResumeError::OtherWorkspace { .. }), "{refused}");
    assert!(matches!(elsewhere.resume(&RunId::new(), &Resume::default()), Err(ResumeError::NoBeginning(_))));
}
