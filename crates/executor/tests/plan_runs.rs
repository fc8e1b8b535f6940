//! Plans run to a truthful end: policies, references, `for_each`, budgets, interaction, cancellation.

mod run_support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentic_executor::executor::Answer;
use agentic_executor::planner::{ForEach, OnFailure, RetryPolicy};
use agentic_executor::runtime::Language;
use agentic_executor::tools::code::{MOST_CODE, check_code};
use agentic_executor::{
    AgenticExecutor, Cancel, Cause, EventBody, ExecutionMode, ExecutionResult, PlanStep, StepStatus, StopReason,
    ToolResult, ToolStatus,
};
use run_support::{Place, Script, failing_first, fake, kinds, obedient, on_failure, params, plan, step};
use serde_json::{Map, Value, json};

fn ids(result: &ExecutionResult) -> Vec<&str> {
    result.steps.iter().map(|step| step.step_id.as_str()).collect()
}

#[test]
fn a_plan_runs_in_order_and_passes_results_on() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let result = executor.execute_plan(plan([
        step("b", "say", json!({ "say": "${{ steps.a.output }} and more" }), &["a"]),
        step("a", "say", json!({ "say": "first" }), &[]),
    ]));
    assert!(result.success, "{}", result.summary());
    assert_eq!((ids(&result), result.stop_reason), (vec!["a", "b"], StopReason::Succeeded));
    assert_eq!(result.steps[1].result.as_ref().unwrap().output, "first and more");
    assert!(result.summary().starts_with("Status: SUCCESS\nTask: test\nSteps: 2/2 completed\nTime: "));
}

#[test]
fn plans_that_cannot_be_meant_start_nothing() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let refused = |steps: Vec<PlanStep>, says: &[&str]| {
        let result = executor.execute_plan(plan(steps));
        let error = result.error.clone().unwrap();
        assert!(says.iter().all(|part| error.contains(part)), "{error}");
        assert_eq!((result.success, result.steps.len()), (false, 0));
        assert_eq!(result.metadata["kind"], "bad_input");
    };
    let say = |id, after: &[&str]| step(id, "say", json!({}), after);
    refused(vec![say("a", &["c"]), say("b", &["a"]), say("c", &["b"]), say("d", &[])], &["cycle", "a -> c -> b -> a"]);
    refused(vec![say("a", &["nowhere"])], &["`nowhere`"]);
    refused(vec![say("a", &[]), say("a", &[])], &["`a`"]);
    refused(vec![], &["no steps"]);
    assert!(executor.journal().runs(10).unwrap().is_empty(), "nothing was started, nothing is journaled");
}

#[test]
fn what_depends_on_a_failure_is_skipped_with_the_reason() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let failing = on_failure(OnFailure::Continue, step("a", "say", json!({ "fail": "syntax_error" }), &[]));
    let result = executor.execute_plan(plan([
        failing,
        step("b", "say", json!({}), &["a"]),
        step("c", "say", json!({}), &["b"]),
        step("d", "say", json!({}), &[]),
    ]));
    assert_eq!((ids(&result), result.stop_reason), (vec!["a", "d"], StopReason::Partial));
    let skipped = result.metadata["skipped"].to_string();
    assert!(skipped.contains("step `a` failed") && !skipped.contains("\"d\""), "{skipped}");
    assert_eq!(result.metadata["steps"], json!({ "total": 4, "completed": 1, "failed": 1, "skipped": 2 }));
    assert_eq!(result.error.as_deref(), Some("a (say): as it was told"));
}

#[test]
fn stop_and_rollback_end_the_run() {
    for policy in [OnFailure::Stop, OnFailure::Rollback] {
        let place = Place::new();
        let executor = place.builder([obedient("say")]).build().unwrap();
        let result = executor.execute_plan(plan([
            on_failure(policy, step("a", "say", json!({ "fail": "syntax_error" }), &[])),
            step("b", "say", json!({}), &[]),
        ]));
        assert_eq!((ids(&result), result.stop_reason), (vec!["a"], StopReason::Failed));
        assert!(result.metadata["skipped"].to_string().contains("the run stopped after step `a` failed"));
    }
}

#[test]
fn a_fallback_runs_instead_and_only_then() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let fallback = || OnFailure::Fallback(vec!["x".into(), "y".into()]);
    let steps = |cause: Option<&str>, second: Value| {
        let arguments = cause.map_or(json!({ "say": "plan A" }), |cause| json!({ "fail": cause }));
        plan([
            on_failure(fallback(), step("a", "say", arguments, &[])),
            step("x", "say", json!({ "say": "x" }), &[]),
            step("y", "say", second, &["x"]),
            step("b", "say", json!({ "say": "${{ steps.a.output }}!" }), &["a"]),
        ])
    };
    let mended = executor.execute_plan(steps(Some("syntax_error"), json!({ "say": "plan B" })));
    assert!(mended.success, "{}", mended.summary());
    assert_eq!(ids(&mended), ["x", "y", "a", "b"]);
    assert_eq!(mended.steps[3].result.as_ref().unwrap().output, "plan B!");
    assert!(mended.metadata["recoveries"].to_string().contains("running x, y instead"));

    let unneeded = executor.execute_plan(steps(None, json!({})));
    assert!(unneeded.success, "{}", unneeded.summary());
    assert_eq!(ids(&unneeded), ["a", "b"]);

    let both = executor.execute_plan(steps(Some("syntax_error"), json!({ "fail": "syntax_error" })));
    assert_eq!((ids(&both), both.stop_reason), (vec!["x", "y", "a"], StopReason::Partial));
    assert_eq!(both.error.as_deref(), Some("a (say): as it was told"));
}

#[test]
fn replanning_without_a_remedy_ends_as_a_failure() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let failing = on_failure(OnFailure::Replan, step("a", "say", json!({ "fail": "permission_denied" }), &[]));
    let result = executor.execute_plan(plan([failing, step("b", "say", json!({}), &["a"])]));
    assert_eq!((ids(&result), result.stop_reason), (vec!["a"], StopReason::Failed));
}

fn each(items: Value, arguments: Value) -> PlanStep {
    let mut step = step("each", "say", arguments, &["list"]);
    step.for_each = Some(ForEach { items, name: "item".into() });
    step
}

#[test]
fn for_each_expands_over_what_a_step_found() {
    let place = Place::new();
    let list = fake("list", |_, _| ToolResult::success("").with("files", json!(["a.py", "b.py", "c.py"])));
    for mode in [ExecutionMode::Sequential, ExecutionMode::Parallel] {
        let list = fake("list", |_, _| ToolResult::success("").with("files", json!(["a.py", "b.py", "c.py"])));
        let executor = place.builder([list, obedient("say")]).mode(mode).build().unwrap();
        let arguments = json!({ "say": "read ${{ item }}", "path": "${{ item }}" });
        let result = executor.execute_plan(plan([
            step("list", "list", json!({}), &[]),
            each(json!("${{ steps.list.metadata.files }}"), arguments),
            step("after", "say", json!({ "say": "${{ steps.each.metadata.items }}" }), &["each"]),
        ]));
        assert!(result.success, "{}", result.summary());
        assert_eq!(ids(&result), ["list", "each", "after"]);
        let all = result.steps[1].result.as_ref().unwrap();
        assert_eq!(all.output, "read a.py\nread b.py\nread c.py");
        assert_eq!(all.metadata["results"][1]["path"], "b.py");
        assert_eq!(all.metadata["results"][1]["status"], "completed");
        let events = kinds(&executor.journal().events(&result.run_id).unwrap());
        assert!(events.contains(&"plan_changed".into()), "{events:?}");
        assert!(events.contains(&"step_finished:each[2]".into()), "{events:?}");
    }
    drop(list);
}

#[test]
fn for_each_over_nothing_and_over_no_list() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let run = |items: Value| {
        executor.execute_plan(plan([step("list", "say", json!({ "say": "text" }), &[]), each(items, json!({}))]))
    };
    let none = run(json!([]));
    assert!(none.success, "{}", none.summary());
    assert_eq!(none.steps[1].result.as_ref().unwrap().metadata["items"], 0);
    let text = run(json!("${{ steps.list.output }}"));
    assert!(text.error.as_ref().unwrap().contains("needs a list"), "{}", text.summary());
}

#[test]
fn for_each_fails_if_one_item_fails_and_counts_as_one_step() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).max_steps(3).build().unwrap();
    let picky = json!([{}, { "fail": "syntax_error" }, {}, {}, {}]);
    let mut steps = vec![step("list", "say", json!({}), &[]), each(picky, json!({ "x": "${{ item }}" }))];
    let fails = fake("say", |call, _| match call.params.get("x").and_then(|item| item.get("fail")) {
        Some(_) => ToolResult::failure(Cause::SyntaxError, "no"),
        None => ToolResult::success("yes"),
    });
    let other = place.builder([fails]).max_steps(3).build().unwrap();
    steps[1].on_failure = OnFailure::Continue;
    let result = other.execute_plan(plan(steps.clone()));
    let all = result.steps[1].result.as_ref().unwrap();
    assert_eq!((result.stop_reason, all.cause), (StopReason::Partial, Some(Cause::SyntaxError)));
    assert_eq!(all.metadata["completed"], 4, "the others went on: {}", result.summary());
    assert!(all.error.as_ref().unwrap().contains("each[1]: no"));

    steps[1].on_failure = OnFailure::Stop;
    let result = other.execute_plan(plan(steps));
    assert_eq!(result.steps[1].result.as_ref().unwrap().metadata["completed"], 1, "the others did not start");
    drop(executor);
}

#[test]
fn when_decides_at_its_time() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let run = |when: &str| {
        let mut second = step("b", "say", json!({}), &["a"]);
        second.when = Some(when.into());
        executor.execute_plan(plan([
            step("a", "say", json!({ "say": "red" }), &[]),
            second,
            step("c", "say", json!({}), &["b"]),
        ]))
    };
    assert_eq!(ids(&run("${{ steps.a.output == 'red' }}")), ["a", "b", "c"]);
    let unwanted = run("${{ steps.a.output == 'green' }}");
    assert_eq!((ids(&unwanted), unwanted.stop_reason), (vec!["a"], StopReason::Succeeded));
    assert!(unwanted.metadata["skipped"].to_string().contains("its `when` is false"));
    assert!(run("${{ steps.zzz.output }}").error.unwrap().contains("zzz"));
}

#[test]
fn retries_wait_longer_each_time_and_are_counted() {
    let place = Place::new();
    let waits = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&waits);
    let executor = place
        .builder([failing_first("flaky", &[Cause::Failed, Cause::Crash])])
        .wait_with(move |time, _| seen.lock().unwrap().push(time))
        .build()
        .unwrap();
    let mut patient = step("a", "flaky", json!({}), &[]);
    patient.retry = RetryPolicy { max: 3, delay: 1.0, factor: 4.0, max_delay: 30.0, jitter: false };
    let result = executor.execute_plan(plan([patient]));
    assert!(result.success, "{}", result.summary());
    assert_eq!((result.steps[0].retries, result.steps[0].to_dict()["retries"].clone()), (2, json!(2)));
    assert_eq!(*waits.lock().unwrap(), [Duration::from_secs(1), Duration::from_secs(4)]);
}

#[test]
fn a_step_is_not_tried_again_when_nothing_can_change_or_nothing_is_allowed() {
    let place = Place::new();
    for (cause, max, tries) in [
        (Cause::PermissionDenied, 5, 0),
        (Cause::SyntaxError, 5, 0),
        (Cause::BlockedImport, 5, 0),
        (Cause::Failed, 0, 0),
        (Cause::Failed, 2, 2),
    ] {
        let executor = place.builder([failing_first("bad", &[cause; 9])]).build().unwrap();
        let mut bad = step("a", "bad", json!({}), &[]);
        bad.retry.max = max;
        let result = executor.execute_plan(plan([bad]));
        assert_eq!((result.steps[0].retries, result.success), (tries, false), "{cause:?}");
        assert!(result.metadata["recoveries"].to_string().contains("give_up"), "{}", result.summary());
    }
}

fn executor_with(place: &Place, change: impl FnOnce(&mut agentic_executor::Config)) -> AgenticExecutor {
    let mut config = place.config();
    change(&mut config);
    let forever = fake("forever", |_, context| {
        let (end, ended) = std::sync::mpsc::channel();
        let end = Mutex::new(end);
        let _guard = context.cancel.on_cancel(move || end.lock().unwrap().send(()).unwrap_or_default());
        ended.recv().unwrap();
        ToolResult::failure(Cause::Cancelled, "ended")
    });
    let tools = [obedient("say"), failing_first("bad", &[Cause::Failed; 99]), forever];
    AgenticExecutor::builder(config).registry(run_support::registry(tools)).wait_with(|_, _| {}).build().unwrap()
}

#[test]
fn every_budget_stops_the_run_by_name() {
    let place = Place::new();
    let check = |executor: AgenticExecutor, steps: Vec<PlanStep>, says: &str, done: usize| {
        let result = executor.execute_plan(plan(steps));
        assert_eq!(result.stop_reason, StopReason::Limit, "{}", result.summary());
        assert!(result.error.as_ref().unwrap().contains(says), "{}", result.summary());
        let completed = result.metadata["steps"]["completed"].as_u64().unwrap();
        assert_eq!(completed, done as u64, "{}", result.summary());
    };
    let say = |id: &str| step(id, "say", json!({ "say": id }), &[]);
    let same = |id: &str| step(id, "say", json!({ "say": "same" }), &[]);
    check(executor_with(&place, |c| c.budgets.steps = 2), vec![say("a"), say("b"), say("c")], "max_steps is 2", 2);
    check(
        executor_with(&place, |c| c.budgets.identical_calls = 2),
        vec![same("a"), same("b"), say("x"), same("c")],
        "max_identical_calls is 2",
        3,
    );
    let mut bad = step("b", "bad", json!({}), &[]);
    bad.retry.max = 50;
    check(executor_with(&place, |c| c.budgets.retries = 3), vec![say("a"), bad], "max_retries of the run is 3", 1);
    check(
        executor_with(&place, |c| c.budgets.time = Some(Duration::from_millis(200))),
        vec![say("a"), step("b", "forever", json!({}), &[]), say("c")],
        "max_time is 0.2 s",
        1,
    );
    let exact = executor_with(&place, |c| c.budgets.steps = 3).execute_plan(plan([say("a"), say("b"), say("c")]));
    assert!(exact.success, "a budget that is just enough: {}", exact.summary());
    let mut config = place.config();
    config.budgets.steps = 0;
    assert!(AgenticExecutor::builder(config).build().unwrap_err().to_string().contains("max_steps"));
}

#[test]
fn interactive_mode_asks_and_obeys() {
    let place = Place::new();
    let run = |answers: Vec<Answer>| {
        let script = Script::new(answers);
        let executor = place
            .builder([obedient("say")])
            .mode(ExecutionMode::Interactive)
            .prompt(Arc::clone(&script) as Arc<dyn agentic_executor::executor::Prompt>)
            .build()
            .unwrap();
        let result = executor.execute_plan(plan([
            step("a", "say", json!({ "say": "one" }), &[]),
            step("b", "say", json!({ "say": "${{ steps.a.output }} two" }), &["a"]),
            step("c", "say", json!({ "say": "three" }), &[]),
        ]));
        (result, script)
    };
    let (result, script) = run(vec![Answer::Yes, Answer::Yes, Answer::Yes]);
    assert!(result.success, "{}", result.summary());
    assert_eq!(script.shown.lock().unwrap()[1].1, params(json!({ "say": "one two" })), "shown as it will be called");

    let (result, script) = run(vec![Answer::No, Answer::Yes]);
    assert_eq!((ids(&result), result.stop_reason), (vec!["c"], StopReason::Denied));
    assert_eq!(script.shown_steps(), ["a", "c"], "what depends on a declined step is not asked about");

    let (result, _) = run(vec![Answer::Edit(params(json!({ "say": "1" })))]);
    assert_eq!(result.steps[1].result.as_ref().unwrap().output, "1 two");

    let (result, script) = run(vec![Answer::All]);
    assert!(result.success && script.shown_steps() == ["a"], "{}", result.summary());

    let (result, _) = run(vec![Answer::Yes, Answer::Abort]);
    assert_eq!((ids(&result), result.stop_reason), (vec!["a"], StopReason::Cancelled));

    let unasked = place.builder([obedient("say")]).mode(ExecutionMode::Interactive).build();
    assert!(unasked.unwrap_err().to_string().contains("prompt"));
}

#[test]
fn cancelling_ends_what_runs_and_starts_nothing_more() {
    for mode in [ExecutionMode::Sequential, ExecutionMode::Parallel] {
        let place = Place::new();
        let cancel = Cancel::new();
        let starting = cancel.clone();
        let waits = fake("waits", move |_, context| {
            let (end, ended) = std::sync::mpsc::channel();
            let end = Mutex::new(end);
            let _guard = context.cancel.on_cancel(move || end.lock().unwrap().send(()).unwrap_or_default());
            starting.cancel();
            ended.recv().unwrap();
            ToolResult::failure(Cause::Cancelled, "ended")
        });
        let executor = place.builder([waits, obedient("say")]).mode(mode).cancel(cancel).build().unwrap();
        let result = executor.execute_plan(plan([
            step("a", "say", json!({}), &[]),
            step("b", "waits", json!({}), &["a"]),
            step("c", "say", json!({ "say": "late" }), &["b"]),
        ]));
        assert_eq!((ids(&result), result.stop_reason), (vec!["a", "b"], StopReason::Cancelled));
        let events = kinds(&executor.journal().events(&result.run_id).unwrap());
        assert!(events.contains(&"step_finished:c".into()) && !events.contains(&"step_started:c".into()), "{events:?}");
        assert_eq!(events.last().unwrap(), "run_finished");
        assert_eq!(executor.execute_plan(plan([step("a", "say", json!({}), &[])])).stop_reason, StopReason::Cancelled);
    }
}

#[test]
fn panics_of_tools_and_subscribers_end_neither_run_nor_process() {
    let place = Place::new();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let executor = place
        .builder([obedient("say"), fake("bad", |_, _| panic!("on purpose"))])
        .on_step_complete(|_| panic!("on purpose, too"))
        .on_event(|_| panic!("on purpose, again"))
        .on_step_complete(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let failing = on_failure(OnFailure::Continue, step("a", "bad", json!({}), &[]));
    let result = executor.execute_plan(plan([failing, step("b", "say", json!({}), &[])]));
    assert_eq!((ids(&result), told.load(Ordering::SeqCst)), (vec!["a", "b"], 2));
    let failed = result.steps[0].result.as_ref().unwrap();
    assert_eq!((failed.cause, result.steps[0].retries), (Some(Cause::Internal), 0));
    assert!(failed.error.as_ref().unwrap().contains("`bad` panicked: on purpose"));
}

#[test]
fn bare_calls_pass_the_same_door() {
    let place = Place::new();
    let kinds_seen = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds_seen);
    let talks = fake("talks", |_, context| {
        let show = context.on_output.clone().unwrap();
        let text = "né\n".as_bytes();
        show(&text[..2]);
        show(&text[2..]);
        ToolResult::success("said")
    });
    let executor = place
        .builder([talks])
        .on_event(move |event| {
            let text = match &event.body {
                EventBody::CallOutput { text, .. } => text.clone(),
                other => other.kind().to_owned(),
            };
            seen.lock().unwrap().push((event.sequence, text));
        })
        .build()
        .unwrap();
    assert_eq!(executor.call("talks", Map::new()).output, "said");
    let unknown = executor.call("nothing", Map::new());
    assert_eq!((unknown.status, unknown.error.as_deref()), (ToolStatus::Error, Some("Unknown tool: nothing")));
    assert_eq!(unknown.cause, Some(Cause::UnknownTool));
    let seen = kinds_seen.lock().unwrap();
    let texts: Vec<&str> = seen.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["call_intended", "n", "é\n", "call_finished", "call_refused"]);
    assert_eq!(seen[3].0, 1, "output takes no number");
    assert!(executor.journal().runs(10).unwrap().is_empty());
}

#[test]
fn code_edits_and_tests_are_plans_of_one_step() {
    let place = Place::new();
    let file = Arc::new(Mutex::new("a = 1\na = 1\n".to_owned()));
    let (read, write) = (Arc::clone(&file), Arc::clone(&file));
    let executor = place
        .builder([
            fake("run_code", |call, _| match call.params["code"].as_str() {
                Some("bad") => ToolResult::failure(Cause::Failed, "Traceback"),
                _ => ToolResult::success("45\n"),
            }),
            fake("file_read", move |_, _| ToolResult::success(read.lock().unwrap().as_str())),
            fake("file_write", move |call, _| {
                *write.lock().unwrap() = call.params["content"].as_str().unwrap().to_owned();
                ToolResult::success("written")
            }),
            fake("run_tests", |call, context| {
                assert_eq!(call.params["global_timeout"], 600.0);
                let folder = context.config.workspace.file_name().unwrap().to_str().unwrap();
                ToolResult::success(format!("{} in {folder}", call.params["command"].as_str().unwrap()))
            }),
        ])
        .build()
        .unwrap();
    let code = executor.execute_code("print(sum(range(10)))", "Sum");
    assert_eq!((code.steps[0].tool.as_str(), code.success), ("sandbox", true));
    assert_eq!(executor.journal().steps(&code.run_id).unwrap()[0].tool, "run_code");
    assert_eq!(executor.execute_code("bad", "Bad").steps[0].retries, 0, "code that fails is not run again");

    let bash = executor.execute_code_in(Language::Bash, "ls", "List");
    assert_eq!(Value::from(bash.steps[0].params.clone()), json!({ "code": "ls", "language": "bash" }));
    let runs = executor.journal().runs(10).unwrap().len();
    let long = executor.execute_code(&"#".repeat(MOST_CODE + 1), "Long");
    assert_eq!((long.steps.len(), &long.metadata["kind"]), (0, &json!("bad_input")));
    let error = long.error.unwrap();
    assert!(error.contains("16777217 bytes") && error.ends_with("a file of the workspace and run that"), "{error}");
    assert_eq!(executor.journal().runs(10).unwrap().len(), runs, "nothing was started, nothing is journaled");
    assert_eq!(check_code(&"#".repeat(MOST_CODE)), Ok(()), "the control: as long as may be");

    let verbatim = executor.execute_code("print('${{ steps.x.output }} $${{')", "Not a reference");
    assert_eq!(verbatim.steps[0].params["code"], "print('${{ steps.x.output }} $${{')");

    let edited = executor.edit_file("a.py", "a = 1", "b = 2");
    assert!(edited.success, "{}", edited.summary());
    assert_eq!(*file.lock().unwrap(), "b = 2\nb = 2\n");
    assert_eq!(edited.steps[0].result.as_ref().unwrap().metadata["replacements"], 2);
    let missing = executor.edit_file("a.py", "a = 1", "b = 2");
    assert_eq!(missing.error.as_deref(), Some("Old content not found in file"));

    let output = |result: ExecutionResult| result.steps[0].result.as_ref().unwrap().output.clone();
    assert_eq!(output(executor.run_tests(None, None)), "pytest in work");
    assert_eq!(output(executor.run_tests(Some("make test"), Some("sub".as_ref()))), "make test in sub");
}

#[test]
fn a_task_that_no_rule_understands_is_bad_input() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let result = executor.execute("", &Map::new());
    assert_eq!((result.success, result.steps.len(), &result.metadata["kind"]), (false, 0, &json!("bad_input")));
}

#[test]
fn the_plan_says_where_every_step_stands() {
    let place = Place::new();
    let executor = place.builder([obedient("say")]).build().unwrap();
    let failing = on_failure(OnFailure::Continue, step("a", "say", json!({ "fail": "crash" }), &[]));
    let result =
        executor.execute_plan(plan([failing, step("b", "say", json!({}), &["a"]), step("c", "say", json!({}), &[])]));
    let steps = executor.journal().steps(&result.run_id).unwrap();
    let stands: Vec<_> = steps.iter().map(|step| (step.id.as_str(), step.status.as_str(), step.attempts)).collect();
    assert!(stands.contains(&("a", StepStatus::Failed.as_str(), 3)), "{stands:?}");
    assert!(stands.contains(&("b", StepStatus::Skipped.as_str(), 0)), "{stands:?}");
    assert!(stands.contains(&("c", StepStatus::Completed.as_str(), 1)), "{stands:?}");
}
