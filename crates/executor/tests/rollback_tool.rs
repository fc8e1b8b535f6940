//! The tool `rollback` in plans: what it takes back, that it can be taken back, and what it refuses, each refusal beside
//! the same call where it is allowed.

mod real_support;

use std::fs;

use agentic_executor::executor::{Approval, Resume, ResumeError};
use agentic_executor::planner::CommitPolicy;
use agentic_executor::workspace::{AllowPersist, RollBack};
use agentic_executor::{AgenticExecutor, Cause, Event, EventBody, ExecutionMode, PlanStep, RunId, ToolResult};
use agentic_testkit::TestWorkspace;
use real_support::{Ran, Real, shell, step};
use serde_json::{Value, json};

fn rollback(params: Value) -> PlanStep {
    step("undo", "rollback", params)
}

/// The result of the step `undo`.
fn undone(ran: &Ran) -> &ToolResult {
    ran.result.steps.iter().find(|step| step.step_id.as_str() == "undo").unwrap().result.as_ref().unwrap()
}

/// One plan of the rollback alone.
fn undo(real: &Real, params: Value) -> Ran {
    real.run([rollback(params)])
}

#[track_caller]
fn refuses(ran: &Ran, cause: Cause, said: &str) {
    let result = undone(ran);
    assert_eq!(result.cause, Some(cause), "{result:?}");
    assert!(result.error.as_ref().unwrap().contains(said), "{result:?}");
    assert_eq!(ran.result.steps.last().unwrap().retries, 0, "it is not tried again");
}

/// A finished run that changed `a` from `0` to `1` and made `b`.
fn changed(real: &Real) -> RunId {
    fs::write(real.config.workspace.join("a"), "0").unwrap();
    let ran = real.run([shell("one", "printf 1 > a; printf 1 > b")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    ran.result.run_id
}

#[test]
fn a_plan_takes_back_its_own_steps_and_goes_on() {
    let real = Real::new();
    fs::write(real.config.workspace.join("a"), "0").unwrap();
    let ran = real.run([
        shell("one", "printf 1 > a"),
        shell("two", "printf 2 > a; mkdir d; printf x > d/f; rm -f nothing"),
        step("three", "file_write", json!({ "path": "late", "content": "x" })),
        rollback(json!({ "to": "one" })),
        shell("last", "cat a; ls"),
    ]);
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!(ran.output("last"), "1a\n");
    let result = undone(&ran);
    assert_eq!(result.output, "4 paths are as before.\nmodified a\ndeleted d\ndeleted d/f\ndeleted late", "{result:?}");
    assert_eq!(result.metadata["run"], ran.result.run_id.as_str());
    assert_eq!(result.metadata["rollback"]["changes"].as_array().unwrap().len(), 4);
    // The run is rolled back as a whole, and that rollback gives what the run left: the tool's call is one of its steps.
    let back = ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!(real.read("a"), "0");
    ran.executor.roll_back(&back.run.unwrap(), None, &RollBack::default()).unwrap();
    assert_eq!(real.read("a"), "1");
    // So is what came after the step that the tool went back to: nothing is left of that.
    let back = ran.executor.roll_back(&ran.result.run_id, Some("one"), &RollBack::default()).unwrap();
    assert_eq!(back.done.changes.changes, []);
    let back = ran.executor.roll_back(&ran.result.run_id, Some("three"), &RollBack::default()).unwrap();
    assert_eq!((back.done.changes.changes.len(), real.read("d/f").as_str()), (4, "x"), "the rollback alone");
}

#[test]
fn an_earlier_run_is_taken_back_by_a_part_of_its_id() {
    let real = Real::new();
    let run = changed(&real);
    let part = &run.as_str()[..24];
    let planned = undo(&real, json!({ "run": part, "dry_run": true }));
    assert_eq!(undone(&planned).output, "2 paths would change; nothing was done.\nmodified a\ndeleted b");
    assert_eq!(real.read("b"), "1");
    let done = undo(&real, json!({ "run": part, "paths": ["b"] }));
    assert_eq!(undone(&done).output, "1 path is as before.\ndeleted b");
    assert_eq!(real.read("a"), "1");
    undo(&real, json!({ "run": run.as_str() }));
    assert_eq!(real.read("a"), "0");
    let again = undo(&real, json!({ "run": run.as_str() }));
    assert_eq!(undone(&again).output, "Everything is as it was; nothing to take back.");
}

#[test]
fn what_others_changed_since_is_named_and_only_force_overwrites_it() {
    let real = Real::new();
    let run = changed(&real);
    fs::write(real.config.workspace.join("a"), "hours of work").unwrap();
    let refused = undo(&real, json!({ "run": run.as_str() }));
    refuses(&refused, Cause::Conflict, "1 path was changed since by somebody else");
    assert_eq!(undone(&refused).metadata["paths"], json!([real.config.workspace.join("a")]));
    assert_eq!((real.read("a").as_str(), real.read("b").as_str()), ("hours of work", "1"), "nothing was done");
    let planned = undo(&real, json!({ "run": run.as_str(), "dry_run": true }));
    assert!(undone(&planned).output_text().starts_with("It would be refused"), "{:?}", undone(&planned));
    let forced = undo(&real, json!({ "run": run.as_str(), "force": true }));
    assert_eq!(real.read("a"), "0");
    forced.executor.roll_back(&forced.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!(real.read("a"), "hours of work");
}

#[test]
fn arguments_that_cannot_be_meant_are_named() {
    let real = Real::new();
    let run = changed(&real);
    let run = run.as_str();
    for (params, said) in [
        (json!({}), "this run has changed nothing; `run` names another one"),
        (json!({ "run": "" }), "run: no run matches"),
        (json!({ "run": "nothing" }), "run: no run matches `nothing`"),
        (json!({ "run": run, "to": "two" }), "to: run"),
        (json!({ "run": run, "paths": [] }), "an empty list names nothing"),
        (json!({ "run": run, "paths": ["c"] }), "paths: nothing was changed at or beneath"),
        (json!({ "run": run, "step": "one" }), "step"),
        (json!({ "run": 3 }), "/run"),
    ] {
        refuses(&undo(&real, params), Cause::InvalidArguments, said);
    }
    let never = |params| {
        let mut step = rollback(params);
        step.commit = CommitPolicy::Never;
        real.run([step])
    };
    refuses(&never(json!({ "run": run })), Cause::InvalidArguments, "`commit: never` excludes");
    assert!(never(json!({ "run": run, "dry_run": true })).result.success);
    assert_eq!(real.read("b"), "1");
    assert!(undo(&real, json!({ "run": run })).result.success);
}

#[test]
fn a_call_that_nobody_records_takes_nothing_back() {
    let real = Real::new();
    let run = changed(&real);
    let executor = real.builder().build().unwrap();
    let params = json!({ "run": run.as_str() });
    let result = executor.call("rollback", params.as_object().unwrap().clone());
    assert_eq!(result.cause, Some(Cause::PermissionDenied), "{result:?}");
    assert!(result.error.unwrap().contains("part of no run that is recorded"));
    assert_eq!(real.read("a"), "1");
    assert!(undo(&real, params).result.success);
    assert_eq!(real.read("a"), "0");
}

#[test]
fn files_of_another_workspace_are_not_touched() {
    let real = Real::new();
    let run = changed(&real);
    let elsewhere = TestWorkspace::new();
    let mut config = real.config.clone();
    config.workspace = elsewhere.path().to_owned();
    let builder = AgenticExecutor::builder(config).registry(real.builder().build().unwrap().registry().clone());
    let params = json!({ "run": run.as_str(), "force": true });
    let ran = real.run_with(builder, [rollback(params.clone())]);
    refuses(&ran, Cause::PermissionDenied, "outside the workspace");
    assert_eq!(real.read("a"), "1");
    assert!(undo(&real, params).result.success);
    assert_eq!(real.read("a"), "0");
}

#[test]
fn a_run_that_has_not_ended_is_left_alone() {
    let real = Real::new();
    let run = changed(&real);
    let executor = real.builder().build().unwrap();
    let cut_off = RunId::new();
    let events: Vec<Event> = executor.journal().events(&run).unwrap();
    assert!(matches!(events.last().unwrap().body, EventBody::RunFinished { .. }));
    for event in &events[..events.len() - 1] {
        executor.journal().append(&Event { run: cut_off.clone(), ..event.clone() }).unwrap();
    }
    executor.journal().flush().unwrap();
    refuses(&undo(&real, json!({ "run": cut_off.as_str() })), Cause::PermissionDenied, "has not ended");
    assert_eq!(real.read("a"), "1");
    executor.journal().append(&Event { run: cut_off.clone(), ..events.last().unwrap().clone() }).unwrap();
    executor.journal().flush().unwrap();
    assert!(undo(&real, json!({ "run": cut_off.as_str() })).result.success);
    assert_eq!(real.read("a"), "0");
}

#[test]
fn rules_judge_the_paths_that_it_would_change() {
    let real = Real::new();
    fs::create_dir(real.config.workspace.join("secret")).unwrap();
    let ran = real.run([shell("one", "printf 1 > secret/key; printf 1 > open")]);
    let params = json!({ "run": ran.result.run_id.as_str() });
    let ruled = |rules: Value, params: Value| {
        let approval: Approval = serde_json::from_value(json!({ "rules": rules })).unwrap();
        real.run_with(real.builder().approval(approval), [rollback(params)])
    };
    let denied = ruled(json!([{ "action": "deny", "path": "secret/**" }]), params.clone());
    refuses(&denied, Cause::Denied, "what the rollback would change is denied (rule: deny path=secret/**)");
    let asked = ruled(json!([{ "action": "ask", "path": "secret/**" }]), params.clone());
    refuses(&asked, Cause::Denied, "needs approval and there is nobody to ask");
    assert_eq!((real.read("secret/key").as_str(), real.read("open").as_str()), ("1", "1"));
    let beside = json!({ "run": ran.result.run_id.as_str(), "paths": ["open"] });
    assert!(ruled(json!([{ "action": "deny", "path": "secret/**" }]), beside).result.success);
    assert!(!real.config.workspace.join("open").exists());
    assert!(undo(&real, params).result.success);
    assert!(!real.config.workspace.join("secret/key").exists());
}

/// In two steps that are harmless each, and a rollback of a part, a plan would have what the guard refuses in one.
#[test]
fn what_runs_later_outside_is_not_put_back_for_a_plan() {
    let mut real = Real::new();
    let steps = || {
        [
            shell("config", "mkdir d; printf '[core]\\n\\tfsmonitor = ./x\\n' > d/config"),
            shell("repository", "rm d/config; mkdir d/objects d/refs; echo 'ref: refs/heads/main' > d/HEAD"),
            rollback(json!({ "to": "config", "paths": ["d/config"] })),
        ]
    };
    let ran = real.run(steps());
    refuses(&ran, Cause::Persistence, "d/config");
    assert!(real.config.workspace.join("d/HEAD").exists() && !real.config.workspace.join("d/config").exists());
    fs::remove_dir_all(real.config.workspace.join("d")).unwrap();
    real.config.sandbox.allow_persist = AllowPersist::Everything;
    let ran = real.run(steps());
    assert!(ran.result.success, "{}", ran.result.summary());
    assert!(real.config.workspace.join("d/config").exists());
}

#[test]
fn beside_parallel_steps_it_runs_alone_and_takes_back_what_was_applied() {
    let real = Real::new();
    let after = |mut step: PlanStep, id: &str| {
        step.depends_on = vec![id.into()];
        step
    };
    let ran = real.run_with(
        real.builder().mode(ExecutionMode::Parallel),
        [
            shell("first", "printf 1 > first"),
            shell("slow", "sleep 0.5; printf 1 > slow"),
            after(rollback(json!({ "paths": ["first"] })), "first"),
            after(shell("then", "ls"), "undo"),
        ],
    );
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!(undone(&ran).output, "1 path is as before.\ndeleted first");
    assert_eq!(ran.output("then"), "slow\n");
    let events = ran.executor.journal().events(&ran.result.run_id).unwrap();
    let position = |wanted: &dyn Fn(&EventBody) -> bool| events.iter().position(|event| wanted(&event.body)).unwrap();
    let slow_ended =
        position(&|body| matches!(body, EventBody::CallFinished { step: Some(step), .. } if step.as_str() == "slow"));
    let undo_began = position(&|body| matches!(body, EventBody::CallIntended { tool, .. } if tool == "rollback"));
    assert!(slow_ended < undo_began, "it waits until nothing else runs");
}

#[test]
fn a_run_with_a_rollback_in_it_goes_on() {
    let real = Real::new();
    fs::write(real.config.workspace.join("a"), "0").unwrap();
    let ran = real.run([shell("one", "printf 1 > a"), rollback(json!({})), shell("last", "test -e ready && cat a")]);
    assert!(!ran.result.success);
    let run = &ran.result.run_id;
    fs::write(real.config.workspace.join("a"), "2").unwrap();
    let refused = ran.executor.resume(run, &Resume::default()).unwrap_err();
    assert!(matches!(&refused, ResumeError::Changed { changed, .. } if changed.len() == 1), "{refused}");
    fs::write(real.config.workspace.join("a"), "0").unwrap();
    fs::write(real.config.workspace.join("ready"), "").unwrap();
    let result = ran.executor.resume(run, &Resume::default()).unwrap();
    assert!(result.success, "{}", result.summary());
    assert_eq!(result.steps.last().unwrap().result.as_ref().unwrap().output, "0");
}

/// Killed after the files went back and before the journal had the outcome.
#[test]
fn a_rollback_without_an_outcome_is_taken_back_and_made_again_when_the_run_goes_on() {
    let real = Real::new();
    fs::write(real.config.workspace.join("a"), "0").unwrap();
    let ran = real.run([shell("one", "printf 1 > a"), rollback(json!({})), shell("last", "cat a")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    let journal = ran.executor.journal();
    let events = journal.events(&ran.result.run_id).unwrap();
    let intended = |event: &Event| matches!(&event.body, EventBody::CallIntended { tool, .. } if tool == "rollback");
    let intent = events.iter().position(intended).unwrap();
    let EventBody::CallIntended { layer: Some(layer), .. } = &events[intent].body else { panic!("it names its layer") };
    let order = |layer: &String| ran.executor.workspaces().records().find(layer).unwrap().map(|record| record.order);
    assert!(order(layer).is_some(), "and that is the layer's name");
    let cut_off = RunId::new();
    for event in &events[..=intent] {
        journal.append(&Event { run: cut_off.clone(), ..event.clone() }).unwrap();
    }
    journal.flush().unwrap();
    let result = ran.executor.resume(&cut_off, &Resume::default()).unwrap();
    assert!(result.success, "{}", result.summary());
    assert_eq!(result.steps.last().unwrap().result.as_ref().unwrap().output, "0");
    let again = journal.events(&cut_off).unwrap();
    let taken_back = again.iter().find_map(|event| match &event.body {
        EventBody::RunResumed { taken_back, .. } => Some(taken_back.clone()),
        _ => None,
    });
    assert_eq!(taken_back.unwrap(), std::slice::from_ref(layer));
}
