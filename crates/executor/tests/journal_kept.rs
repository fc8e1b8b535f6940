//! What is on the disk: intent before effect through a `kill -9`, large outputs by content, later versions untouched.

mod run_support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use agentic_executor::journal::{EVENT_VERSION, Event, EventBody, Journal, OutputRef};
use agentic_executor::{ExecutionMode, RunId, StopReason, ToolResult};
use run_support::{Place, fake, kinds, obedient, plan, step};
use serde_json::json;

const VICTIM: &str = "JOURNAL_TEST_VICTIM";

/// Not a test of its own: the process that the next one kills.
#[test]
fn victim() {
    let Some(state) = std::env::var_os(VICTIM) else { return };
    let place = Place::new();
    let mut config = place.config();
    config.state = state.into();
    let effect = config.state.join("effect");
    let deadly = fake("deadly", move |_, _| {
        std::fs::write(&effect, "done").unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        unreachable!("killed")
    });
    let executor = agentic_executor::AgenticExecutor::builder(config)
        .registry(run_support::registry([obedient("say"), deadly]))
        .build()
        .unwrap();
    let done = executor.execute_plan(plan([
        step("a", "say", json!({}), &[]),
        step("b", "deadly", json!({ "x": 1 }), &["a"]),
        step("c", "say", json!({}), &["b"]),
    ]));
    panic!("the process should be dead: {}", done.summary());
}

#[test]
fn a_killed_process_leaves_the_intent_of_its_effect() {
    let place = Place::new();
    let state = place.folder.path().join("state");
    let killed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, &state)
        .output()
        .unwrap();
    assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
    assert!(state.join("effect").exists(), "the effect happened");

    let journal = Journal::open(&state.join("journal.sqlite3")).unwrap();
    let runs = journal.runs(10).unwrap();
    assert_eq!((runs.len(), runs[0].stop_reason, runs[0].completed), (1, None, 1));
    let events = journal.events(&runs[0].id).unwrap();
    let expected = [
        "run_started",
        "step_started:a",
        "call_intended:a",
        "call_finished:a",
        "step_finished:a",
        "step_started:b",
        "call_intended:b",
    ];
    assert_eq!(kinds(&events), expected);
    assert!(events.iter().enumerate().all(|(at, event)| event.sequence == at as u64), "numbered without gaps");
    let EventBody::CallIntended { params, attempt, .. } = &events[6].body else { panic!("{:?}", events[6]) };
    assert_eq!((params["x"].as_u64(), *attempt), (Some(1), 1));
}

#[test]
fn an_intent_is_on_the_disk_before_the_tool_runs() {
    let place = Place::new();
    let file = place.folder.path().join("state/journal.sqlite3");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (look, path) = (Arc::clone(&seen), file.clone());
    let looks = fake("looks", move |_, _| {
        let other = Journal::open_read_only(&path).unwrap();
        let run = other.runs(1).unwrap().remove(0).id;
        *look.lock().unwrap() = kinds(&other.events(&run).unwrap());
        ToolResult::success("")
    });
    let executor = place.builder([looks]).build().unwrap();
    assert!(executor.execute_plan(plan([step("a", "looks", json!({}), &[])])).success);
    assert_eq!(*seen.lock().unwrap(), ["run_started", "step_started:a", "call_intended:a"]);
    // The end is written while the executor that wrote it lives on: it outlives a process that is killed now.
    let other = Journal::open_read_only(&file).unwrap();
    assert_eq!(other.runs(1).unwrap()[0].stop_reason, Some(StopReason::Succeeded));
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn subscribers_see_the_journal_in_its_order() {
    for mode in [ExecutionMode::Sequential, ExecutionMode::Parallel] {
        let place = Place::new();
        let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
        let hear = Arc::clone(&heard);
        let executor = place
            .builder([obedient("say")])
            .mode(mode)
            .on_event(move |event| hear.lock().unwrap().push(event.clone()))
            .build()
            .unwrap();
        let steps = (0..50).map(|n| step(&format!("s{n}"), "say", json!({ "say": n.to_string() }), &[]));
        let mut plan = plan(steps);
        plan.steps[49].depends_on = vec!["s0".into()];
        let result = executor.execute_plan(plan);
        assert!(result.success, "{}", result.summary());
        let kept = executor.journal().events(&result.run_id).unwrap();
        assert_eq!(kinds(&heard.lock().unwrap()), kinds(&kept));
        assert_eq!(kept.len(), 2 + 50 * 4);
    }
}

#[test]
fn large_outputs_are_kept_by_content() {
    let place = Place::new();
    let long = "line\n".repeat(100_000);
    let text = long.clone();
    let prints =
        fake("prints", move |_, _| ToolResult::success(text.as_str()).with("list", vec!["x".repeat(100); 1000]));
    let executor = place.builder([prints]).build().unwrap();
    let result = executor.execute_plan(plan([step("a", "prints", json!({}), &[])]));
    let journal = executor.journal();
    let events = journal.events(&result.run_id).unwrap();
    let (output, metadata) = events
        .iter()
        .find_map(|event| match &event.body {
            EventBody::CallFinished { output, metadata, .. } => Some((output.clone(), metadata.clone())),
            _ => None,
        })
        .unwrap();
    let OutputRef::Stored { size, head, .. } = &output else { panic!("{output:?}") };
    assert_eq!((*size, head.len()), (long.len() as u64, 1024));
    assert_eq!(journal.output(&output).unwrap(), json!(long));
    assert!(metadata["list"]["$stored"]["hash"].is_string(), "{metadata:?}");
    let database = std::fs::metadata(place.folder.path().join("state/journal.sqlite3-wal")).unwrap().len();
    assert!(database < 300_000, "{database} bytes for an output of {}", long.len());
    let inline = journal.keep(&json!("x".repeat(1000))).unwrap();
    assert!(matches!(inline, OutputRef::Inline(_)));
}

#[test]
fn runs_are_listed_newest_first_and_found_by_a_part_of_their_id() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let run = |fail: bool| {
        let arguments = if fail { json!({ "fail": "syntax_error" }) } else { json!({}) };
        executor.execute_plan(plan([step("a", "say", arguments, &[])])).run_id
    };
    let (first, second) = (run(false), run(true));
    let journal = executor.journal();
    let runs = journal.runs(10).unwrap();
    assert_eq!(runs.iter().map(|run| &run.id).collect::<Vec<_>>(), [&second, &first]);
    assert_eq!((runs[0].stop_reason, runs[0].failed), (Some(StopReason::Failed), 1));
    assert_eq!((runs[1].stop_reason, runs[1].completed), (Some(StopReason::Succeeded), 1));
    assert_eq!(journal.runs(1).unwrap().len(), 1);
    assert_eq!(journal.find(&first.0).unwrap(), first);
    assert_eq!(journal.find(&second.0[24..]).unwrap(), second);
    assert!(journal.find(&first.0[..4]).unwrap_err().to_string().contains("matches 2 runs"));
    assert!(journal.find("%").unwrap_err().to_string().contains("no run matches"));
    assert!(journal.find("").is_err());
}

fn raw(file: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(file).unwrap()
}

#[test]
fn events_cannot_be_changed_and_those_of_later_versions_stay_readable() {
    let place = Place::new();
    let file = place.folder.path().join("state/journal.sqlite3");
    let executor = place.builder([obedient("say")]).build().unwrap();
    let run: RunId = executor.execute_plan(plan([step("a", "say", json!({}), &[])])).run_id;
    drop(executor);
    let other = raw(&file);
    for sql in ["UPDATE events SET body = '{}'", "DELETE FROM events"] {
        assert!(other.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
    }
    let body = json!({ "event": "step_dreamt", "of": "sheep" }).to_string();
    other
        .execute(
            "INSERT INTO events (run, sequence, time, version, kind, body) VALUES (?, 99, ?, 7, 'step_dreamt', ?)",
            rusqlite::params![run.0, jiff::Timestamp::now().to_string(), body],
        )
        .unwrap();
    let journal = Journal::open(&file).unwrap();
    let last = journal.events(&run).unwrap().pop().unwrap();
    assert!(last.version == 7 && last.version > EVENT_VERSION);
    let EventBody::Unrecognized { kind, body } = last.body else { panic!("{last:?}") };
    assert_eq!((kind.as_str(), &body["of"]), ("step_dreamt", &json!("sheep")));
    assert_eq!(journal.newest_version().unwrap(), Some(7));
    drop(journal);

    other.pragma_update(None, "user_version", 99).unwrap();
    let refused = Journal::open(&file).unwrap_err().to_string();
    assert!(refused.contains("later version"), "{refused}");
    let read = Journal::open_read_only(&file).unwrap();
    assert_eq!(read.events(&run).unwrap().len(), 7);
    let event = Event { version: 1, run, sequence: 100, time: jiff::Timestamp::now(), body: finished() };
    assert!(read.append(&event).unwrap_err().to_string().contains("reading only"));
}

fn finished() -> EventBody {
    EventBody::RunFinished { stop_reason: StopReason::Failed, error: None, duration: std::time::Duration::ZERO }
}

#[test]
fn a_place_that_cannot_be_written_is_said_clearly() {
    let place = Place::new();
    let file = place.folder.path().join("plain file");
    std::fs::write(&file, "").unwrap();
    let error = Journal::open(&file.join("journal.sqlite3")).unwrap_err().to_string();
    assert!(error.contains("failed to create the journal") && error.contains("plain file"), "{error}");
    std::fs::write(&file, "this is no database, whatever it is called; it is long enough to be looked at".repeat(20))
        .unwrap();
    let error = Journal::open(&file).unwrap_err().to_string();
    assert!(error.contains("not a database"), "{error}");
    // A file system that is mounted read-only wherever Linux runs.
    let error = Journal::open(Path::new("/proc/self/journal.sqlite3")).unwrap_err().to_string();
    assert!(error.contains("failed to create the journal /proc/self/journal.sqlite3"), "{error}");
}

#[test]
fn a_run_that_can_no_longer_be_recorded_stops_before_the_next_effect() {
    let place = Place::new();
    let file = place.folder.path().join("state/journal.sqlite3");
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let breaks = fake("breaks", move |_, _| {
        *count.lock().unwrap() += 1;
        // As a full disk would: every further insert fails.
        raw(&file)
            .execute_batch("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END")
            .unwrap();
        ToolResult::success("")
    });
    let executor = place.builder([breaks]).build().unwrap();
    let result = executor
        .execute_plan(plan([step("a", "breaks", json!({ "n": 1 }), &[]), step("b", "breaks", json!({ "n": 2 }), &[])]));
    assert!(!result.success && result.error.as_ref().unwrap().contains("disk full"), "{}", result.summary());
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[test]
fn in_memory_is_the_same_without_a_file() {
    let journal = Journal::in_memory().unwrap();
    let run = RunId::new();
    for sequence in 0..1000 {
        let body = EventBody::StepFinished {
            step: "a".into(),
            status: agentic_executor::StepStatus::Completed,
            attempts: 1,
            error: None,
            duration: std::time::Duration::ZERO,
        };
        journal.append(&Event { version: 1, run: run.clone(), sequence, time: jiff::Timestamp::now(), body }).unwrap();
    }
    assert_eq!(journal.events(&run).unwrap().len(), 1000);
    assert_eq!(journal.events_from(&run, 990).unwrap().len(), 10);
    let second = Event { version: 1, run: run.clone(), sequence: 0, time: jiff::Timestamp::now(), body: finished() };
    journal.append(&second).unwrap();
    assert!(journal.events(&run).is_err(), "a number is given once");
}

#[test]
fn many_may_open_a_journal_that_is_not_there_yet() {
    for _ in 0..20 {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("journal.sqlite3");
        let together = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    Journal::open(&path).unwrap();
                });
            }
        });
    }
}

#[test]
fn a_journal_whose_making_was_cut_off_has_no_runs_and_is_made_by_the_next_process() {
    let place = Place::new();
    let path = place.folder.path().join("journal.sqlite3");
    std::fs::write(&path, "").unwrap();
    let read = Journal::open_read_only(&path).unwrap();
    assert!(read.runs(10).unwrap().is_empty());
    assert!(read.newest_version().unwrap().is_none());
    drop(read);
    drop(Journal::open(&path).unwrap());
    assert!(Journal::open_read_only(&path).unwrap().runs(10).unwrap().is_empty());
    // The control: a table that is missing among others is a fault that is told.
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("DROP TABLE runs").unwrap();
    let refused = Journal::open_read_only(&path).unwrap_err().to_string();
    assert!(refused.contains("no such table"), "{refused}");
}
