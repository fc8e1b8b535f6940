//! Every row of the recovery table, provoked once: it ends recovered, or given up with the reason.

mod run_support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentic_executor::sandbox::{MB, Network};
use agentic_executor::tools::Idempotency;
use agentic_executor::{
    AgenticExecutor, Cause, EventBody, ExecutionResult, PlanStep, ToolResult, planner::RetryPolicy,
};
use run_support::{Fake, Place, failing_first, fake, plan, registry, step};
use serde_json::{Value, json};

fn run(
    place: &Place,
    tools: impl IntoIterator<Item = Fake>,
    steps: Vec<PlanStep>,
) -> (AgenticExecutor, ExecutionResult) {
    let executor = place.builder(tools).build().unwrap();
    let result = executor.execute_plan(plan(steps));
    (executor, result)
}

/// The strategies taken, as the journal has them.
fn taken(executor: &AgenticExecutor, result: &ExecutionResult) -> Vec<(Cause, String, String)> {
    let events = executor.journal().events(&result.run_id).unwrap();
    events
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::RecoveryTaken { cause, strategy, detail, .. } => Some((cause, strategy, detail)),
            _ => None,
        })
        .collect()
}

fn strategies(executor: &AgenticExecutor, result: &ExecutionResult) -> Vec<String> {
    taken(executor, result).into_iter().map(|(_, strategy, _)| strategy).collect()
}

/// Reads what a step's `path` says, from a list of files.
fn reader(files: &[&str]) -> Fake {
    let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
    fake("file_read", move |call, _| {
        let path = call.params["path"].as_str().unwrap();
        match files.iter().any(|file| file == path) {
            true => ToolResult::success(format!("content of {path}")),
            false => ToolResult::failure(Cause::NotFound, format!("File not found: {path}")),
        }
    })
}

#[test]
fn a_missing_file_is_found_by_name_and_the_plan_says_so() {
    let place = Place::new();
    std::fs::create_dir_all(place.workspace().join("src/deep")).unwrap();
    std::fs::write(place.workspace().join("src/deep/config.yaml"), "").unwrap();
    let (executor, result) = run(
        &place,
        [reader(&["src/deep/config.yaml"])],
        vec![step("a", "file_read", json!({ "path": "config.yaml" }), &[])],
    );
    assert!(result.success, "{}", result.summary());
    assert_eq!(result.steps[0].params["path"], "src/deep/config.yaml");
    assert_eq!(strategies(&executor, &result), ["search_file_and_retry"]);
    let events = executor.journal().events(&result.run_id).unwrap();
    let changed = events.iter().find_map(|event| match &event.body {
        EventBody::PlanChanged { plan, .. } => Some(plan.steps[0].params["path"].clone()),
        _ => None,
    });
    assert_eq!(changed, Some(json!("src/deep/config.yaml")));
    assert!(
        result.summary().contains("Recovery: a (not_found): `config.yaml` is not there; using `src/deep/config.yaml`")
    );
}

#[test]
fn a_missing_file_without_one_match_is_given_up_with_the_choices() {
    let place = Place::new();
    for folder in ["one", "two", "node_modules", ".git"] {
        std::fs::create_dir_all(place.workspace().join(folder)).unwrap();
        std::fs::write(place.workspace().join(folder).join("setup.py"), "").unwrap();
    }
    for (path, says) in [
        ("setup.py", "several files are called `setup.py`: one/setup.py, two/setup.py; name one"),
        ("nothing.py", "no file in the workspace is called `nothing.py`"),
        ("/etc/nothing.conf", "outside the workspace"),
        ("..", "no file name"),
    ] {
        let (executor, result) = run(&place, [reader(&[])], vec![step("a", "file_read", json!({ "path": path }), &[])]);
        assert_eq!((result.success, result.steps[0].retries), (false, 0));
        let taken = taken(&executor, &result);
        assert!(taken[0].1 == "give_up" && taken[0].2.contains(says), "{taken:?}");
    }
}

#[test]
fn a_timeout_is_raised_where_it_was_set_up_to_four_times() {
    let place = Place::new();
    // Each needs the seconds in `needs`; what it has comes from its argument, the step, or the tool.
    let slow = || {
        let mut tool = fake("shell", |call, context| {
            let had = call.params.get("timeout").and_then(Value::as_f64);
            let had = had.or(context.timeout.map(|time| time.as_secs_f64())).unwrap_or(10.0);
            if had >= call.params["needs"].as_f64().unwrap() {
                return ToolResult::success(had);
            }
            ToolResult::failure(Cause::Timeout, format!("timed out after {had}s"))
        });
        tool.timeout = Some(Duration::from_secs(10));
        tool
    };
    let timed = |seconds: u64, arguments: Value| {
        let mut step = step("a", "shell", arguments, &[]);
        step.timeout = Some(Duration::from_secs(seconds));
        step
    };
    for (step, expected) in [
        (step("a", "shell", json!({ "needs": 40 }), &[]), Some(40.0)),
        (step("a", "shell", json!({ "needs": 41 }), &[]), None),
        (timed(3, json!({ "needs": 5 })), Some(6.0)),
        (timed(3, json!({ "needs": 5, "timeout": 2 })), Some(8.0)),
    ] {
        let (executor, result) = run(&place, [slow()], vec![step]);
        let output = result.steps[0].result.as_ref().unwrap().output.as_f64();
        assert_eq!((result.success, output), (expected.is_some(), expected), "{}", result.summary());
        let taken = strategies(&executor, &result);
        assert!(taken.iter().filter(|strategy| *strategy == "raise_timeout").count() <= 2, "{taken:?}");
        assert_eq!(taken.contains(&"give_up".into()), expected.is_none(), "{taken:?}");
    }
}

#[test]
fn memory_is_raised_within_the_ceiling_and_the_machine() {
    let place = Place::new();
    let hungry = |needs: u64| {
        fake("run_code", move |_, context| {
            let had = context.memory.unwrap_or(256 * MB);
            if had >= needs {
                return ToolResult::success(had / MB);
            }
            ToolResult::failure(Cause::OutOfMemory, format!("killed at {} MB", had / MB))
        })
    };
    for (needs, ends) in [(512, true), (1024, true), (1025, false)] {
        let (executor, result) = run(&place, [hungry(needs * MB)], vec![step("a", "run_code", json!({}), &[])]);
        assert_eq!(result.success, ends, "{}", result.summary());
        assert_eq!(strategies(&executor, &result)[0], "raise_memory");
    }
    let mut config = place.config();
    config.host.memory = 600 * MB;
    let small = AgenticExecutor::builder(config).registry(registry([hungry(4096 * MB)])).build().unwrap();
    let result = small.execute_plan(plan([step("a", "run_code", json!({}), &[])]));
    let said = taken(&small, &result);
    assert!(said[0].2.contains("from 256 MB to 300 MB"), "{said:?}");
    assert!(said[1].2.contains("300 MB is half the machine's memory"), "{said:?}");
}

#[test]
fn a_missing_command_is_replaced_by_one_that_is_there() {
    let place = Place::new();
    let shell = || {
        fake("shell", |call, _| {
            let command = call.params["command"].as_str().unwrap();
            let first = command.split(' ').next().unwrap();
            if first == "python3" {
                return ToolResult::success(command);
            }
            ToolResult::failure(Cause::MissingCommand, format!("bash: line 1: {first}: command not found"))
        })
    };
    for (command, ran) in [
        ("python -V", Some("python3 -V")),
        ("pytest -q tests", Some("python3 -m pytest -q tests")),
        ("pip install x", Some("python3 -m pip install x")),
        ("frobnicate", None),
    ] {
        let (executor, result) = run(&place, [shell()], vec![step("a", "shell", json!({ "command": command }), &[])]);
        let output = result.steps[0].result.as_ref().unwrap().output.as_str().filter(|text| !text.is_empty());
        assert_eq!(output, ran, "{}", result.summary());
        let expected = if ran.is_some() { "use_alternative_command" } else { "give_up" };
        assert_eq!(strategies(&executor, &result), [expected]);
    }
}

#[test]
fn a_missing_module_is_installed_only_where_the_network_is_open() {
    let place = Place::new();
    let tools = || {
        let installed = Arc::new(Mutex::new(false));
        let (has, install) = (Arc::clone(&installed), installed);
        let code = fake("run_code", move |_, _| match *has.lock().unwrap() {
            true => ToolResult::success("ran"),
            false => {
                ToolResult::failure(Cause::MissingModule, "No module named 'yaml.nodes'").with("module", "yaml.nodes")
            }
        });
        let shell = fake("shell", move |call, _| {
            assert_eq!(call.params["command"], "python3 -m pip install yaml");
            *install.lock().unwrap() = true;
            ToolResult::success("Successfully installed")
        });
        registry([code, shell])
    };
    let run = |network| {
        let mut config = place.config();
        config.sandbox.network = network;
        let executor = AgenticExecutor::builder(config).registry(tools()).build().unwrap();
        let result = executor.execute_plan(plan([step("a", "run_code", json!({}), &[])]));
        let taken = taken(&executor, &result);
        (result.success, taken)
    };
    let (open, how) = run(Network::Host);
    assert!(open && how[0].1 == "install_missing_module", "{how:?}");
    let (closed, how) = run(Network::None);
    assert!(!closed && how[0].1 == "give_up" && how[0].2.contains("network is closed"), "{how:?}");
}

#[test]
fn conflicts_are_tried_again_over_the_workspace_as_it_is() {
    let place = Place::new();
    for (conflicts, mended) in [(1, true), (2, true), (3, false)] {
        let tool = failing_first("write", &vec![Cause::Conflict; conflicts]);
        let (executor, result) = run(&place, [tool], vec![step("a", "write", json!({}), &[])]);
        assert_eq!(result.success, mended, "{}", result.summary());
        assert_eq!(strategies(&executor, &result)[0], "retry_conflict");
    }
}

#[test]
fn a_directory_rename_is_tried_again_on_a_copy_once() {
    let place = Place::new();
    for (times, mended) in [(1, true), (2, false)] {
        let tool = failing_first("mv", &vec![Cause::CrossDevice; times]);
        let (executor, result) = run(&place, [tool], vec![step("a", "mv", json!({}), &[])]);
        assert_eq!(result.success, mended, "{}", result.summary());
        assert_eq!(strategies(&executor, &result)[0], "retry_on_copy");
    }
}

#[test]
fn a_red_test_runs_once_more_and_flaky_is_said() {
    let place = Place::new();
    let (executor, result) = run(
        &place,
        [failing_first("shell", &[Cause::TestFailure])],
        vec![step("a", "shell", json!({ "command": "pytest" }), &[])],
    );
    assert!(result.success, "{}", result.summary());
    assert_eq!(result.steps[0].result.as_ref().unwrap().metadata["flaky"], true);
    assert_eq!(taken(&executor, &result)[1].0, Cause::Flaky);

    let (executor, red) = run(
        &place,
        [failing_first("shell", &[Cause::TestFailure; 9])],
        vec![step("a", "shell", json!({ "command": "pytest" }), &[])],
    );
    assert_eq!((red.success, red.steps[0].retries), (false, 1), "{}", red.summary());
    assert_eq!(strategies(&executor, &red), ["wait_and_retry", "give_up"]);
}

#[test]
fn crashes_failures_and_full_disks_wait_and_try_again() {
    let place = Place::new();
    for cause in [Cause::Crash, Cause::Failed, Cause::DiskFull] {
        let (executor, result) = run(&place, [failing_first("bad", &[cause])], vec![step("a", "bad", json!({}), &[])]);
        assert!(result.success, "{}", result.summary());
        assert_eq!(strategies(&executor, &result), ["wait_and_retry"]);
    }
}

#[test]
fn causes_in_a_row_are_answered_each_in_its_way() {
    let place = Place::new();
    let mut tool = failing_first("shell", &[Cause::Timeout, Cause::Conflict, Cause::Failed]);
    tool.timeout = Some(Duration::from_secs(1));
    let (executor, result) = run(&place, [tool], vec![step("a", "shell", json!({}), &[])]);
    assert!(result.success, "{}", result.summary());
    assert_eq!(strategies(&executor, &result), ["raise_timeout", "retry_conflict", "wait_and_retry"]);
}

#[test]
fn effects_outside_the_layers_are_not_repeated_unless_the_step_says_so() {
    let place = Place::new();
    let sends = || Fake { idempotency: Idempotency::External, ..failing_first("send", &[Cause::Failed]) };
    let (executor, result) = run(&place, [sends()], vec![step("a", "send", json!({}), &[])]);
    assert_eq!((result.success, strategies(&executor, &result)), (false, vec!["give_up".to_owned()]));
    let mut repeated = step("a", "send", json!({}), &[]);
    repeated.retry = RetryPolicy { max: 1, ..RetryPolicy::default() };
    let (_, result) = run(&place, [sends()], vec![repeated]);
    assert!(result.success, "{}", result.summary());
}

#[test]
fn causes_that_cannot_change_are_given_up_at_once() {
    let place = Place::new();
    for cause in [
        Cause::PermissionDenied,
        Cause::BlockedImport,
        Cause::NetworkDenied,
        Cause::SyntaxError,
        Cause::EditMismatch,
        Cause::InvalidArguments,
        Cause::Unenforceable,
        Cause::Internal,
    ] {
        let (executor, result) =
            run(&place, [failing_first("bad", &[cause; 3])], vec![step("a", "bad", json!({}), &[])]);
        assert_eq!((result.success, result.steps[0].retries), (false, 0), "{cause:?}");
        let taken = taken(&executor, &result);
        let why = if cause == Cause::NetworkDenied { "the network is closed" } else { "trying again cannot change" };
        assert!(taken.len() == 1 && taken[0].2.contains(why), "{taken:?}");
    }
}
