//! Runs over real layers: parallel steps that meet, conflicts that show late, what is hidden, budgets, and our own
//! commands on any registry.

mod real_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentic_executor::executor::{ExecutionMode, StopReason};
use agentic_executor::planner::OnFailure;
use agentic_executor::tools::{FileReadTool, FileWriteTool, SearchTool};
use agentic_executor::workspace::{Backend, RollBack};
use agentic_executor::{Cause, EventBody, PlanStep, StepStatus, ToolRegistry};
use agentic_testkit::skip;
use real_support::{Real, bash, has_python, shell};
use serde_json::json;

#[test]
fn forty_parallel_steps_land_each_in_its_own_file() {
    let real = Real::new();
    for n in 0..40 {
        real.workspace.file(format!("f{n}"), format!("base {n}\n"));
    }
    let steps = (0..40).map(|n| shell(&format!("s{n}"), format!("echo mine {n} >> f{n}; echo new > new{n}")));
    let ran = real.run_with(real.builder().mode(ExecutionMode::Parallel), steps);
    assert!(ran.result.success, "{}", ran.result.summary());
    for n in 0..40 {
        assert_eq!(real.read(format!("f{n}")), format!("base {n}\nmine {n}\n"));
        assert_eq!(real.read(format!("new{n}")), "new\n");
    }
}

/// Waits until so many steps wait, so that they overlap for sure, and then appends to `f`.
fn together(real: &Real, me: &str, count: usize) -> String {
    let outside = real.outside.path().display();
    format!(": > {outside}/{me}; while [ $(ls {outside} | wc -l) -lt {count} ]; do sleep 0.02; done; echo {me} >> f")
}

#[test]
fn parallel_steps_that_make_one_folder_are_taken_back() {
    let real = Real::new();
    let outside = real.outside.path().display().to_string();
    // One of them has nothing else to do: when its layer is applied the folder is there.
    let meet = format!("while [ $(ls {outside} | wc -l) -lt 2 ]; do sleep 0.02; done");
    let steps = [("a", "echo a > a"), ("b", "true")]
        .map(|(me, also)| shell(me, format!("mkdir made; {also}; : > {outside}/{me}; {meet}")));
    let ran = real.run_with(real.builder().mode(ExecutionMode::Parallel), steps);
    assert!(ran.result.success && ran.taken().is_empty(), "{}", ran.result.summary());
    assert!(real.workspace.exists("made") && real.read("a") == "a\n");
    ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert!(real.workspace.tree().is_empty(), "{:?}", real.workspace.tree());
}

#[test]
fn parallel_steps_that_write_one_path_are_run_again_one_after_the_other() {
    let real = Real::new();
    real.workspace.file("f", "base\n");
    let names = ["a", "b", "c", "d"];
    let steps = names.map(|name| shell(name, together(&real, name, 4)));
    let ran = real.run_with(real.builder().mode(ExecutionMode::Parallel), steps);
    assert!(ran.result.success, "{}", ran.result.summary());
    let conflicts = ran.taken().iter().filter(|(cause, _)| *cause == Cause::Conflict).count();
    assert_eq!(conflicts, 3, "all but the first met it once: {:?}", ran.taken());
    let text = real.read("f");
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "base");
    lines.sort_unstable();
    assert_eq!(lines, names, "every step's line, once");
}

#[test]
fn a_parallel_step_that_may_not_try_again_ends_as_a_conflict_by_name() {
    let mut real = Real::new();
    real.workspace.file("f", "base\n");
    real.config.budgets.retries = 0;
    let go_on = |step: PlanStep| PlanStep { on_failure: OnFailure::Continue, ..step };
    let steps = ["a", "b"].map(|name| go_on(shell(name, together(&real, name, 2))));
    let ran = real.run_with(real.builder().mode(ExecutionMode::Parallel), steps);
    let lost: Vec<_> = ran.result.steps.iter().filter(|step| !step.result.as_ref().unwrap().is_success()).collect();
    assert_eq!(lost.len(), 1, "{}", ran.result.summary());
    let failed = lost[0].result.as_ref().unwrap();
    assert_eq!(failed.cause, Some(Cause::Conflict));
    assert_eq!(failed.metadata["paths"], json!([real.workspace.join("f")]));
    let won = if lost[0].step_id.as_str() == "a" { "b" } else { "a" };
    assert_eq!(real.read("f"), format!("base\n{won}\n"));
}

#[test]
fn a_conflict_that_shows_when_a_layer_is_applied_fails_its_step() {
    let real = Real::new();
    if real.backend() != Backend::Overlay {
        skip!("without an overlay layers are applied at once");
    }
    real.workspace.file("f", "base\n").file("g", "base\n");
    let (file, flag) = (real.workspace.join("f"), real.outside.join("flag"));
    let builder = real.builder().mode(ExecutionMode::Parallel).on_event(move |event| {
        if let EventBody::StepFinished { step, status: StepStatus::Completed, .. } = &event.body
            && step.as_str() == "quick"
        {
            // The layer of `quick` waits: `slow` has the folder mounted.
            std::fs::write(&file, "theirs\n").unwrap();
            std::fs::write(&flag, "").unwrap();
        }
    });
    let ready = real.outside.join("ready").display().to_string();
    let flag = real.outside.join("flag").display().to_string();
    let steps = [
        shell("slow", format!(": > {ready}; while [ ! -e {flag} ]; do sleep 0.02; done; echo mine >> g")),
        shell("quick", format!("while [ ! -e {ready} ]; do sleep 0.02; done; echo mine >> f")),
    ];
    let ran = real.run_with(builder, steps);
    assert_eq!(ran.result.stop_reason, StopReason::Partial, "{}", ran.result.summary());
    assert_eq!((real.read("f").as_str(), real.read("g").as_str()), ("theirs\n", "base\nmine\n"));
    let error = ran.result.error.as_deref().unwrap();
    assert!(error.starts_with("quick (shell): ") && error.contains(&real.workspace.join("f").display().to_string()));
    let told = &ran.result.metadata["not_applied"][0];
    assert_eq!((&told["step"], &told["paths"]), (&json!("quick"), &json!([real.workspace.join("f")])));
    let kept = std::path::Path::new(told["folder"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(kept.join("0/upper/f")).unwrap(), "base\nmine\n", "its bytes are kept");
    assert!(error.contains(&kept.display().to_string()), "{error}");
    let quick = ran.result.steps.iter().find(|step| step.step_id.as_str() == "quick").unwrap();
    assert_eq!(quick.result.as_ref().unwrap().cause, Some(Cause::Conflict));
    let events = ran.executor.journal().events(&ran.result.run_id).unwrap();
    assert!(events.iter().any(|event| matches!(&event.body, EventBody::LayerNotApplied { .. })));
    let summary = &ran.executor.journal().runs(1).unwrap()[0];
    assert_eq!((summary.completed, summary.failed), (1, 1), "the journal counts the step once");
}

#[test]
fn a_step_that_makes_a_hidden_path_conflicts_and_overwrites_nothing() {
    let real = Real::new();
    real.workspace.file(".env", "KEY=secret\n").file("sub/.env.local", "KEY=secret\n");
    let looks = real.run([bash("a", "cat .env sub/.env.local || ls -a . sub")]);
    assert!(!looks.output("a").contains("secret"), "{}", looks.output("a"));
    let ran = real.run([bash("a", "echo mine > .env; echo mine > other")]);
    let error = ran.given_up(Cause::Conflict, &["retry_conflict", "retry_conflict"]);
    assert!(error.contains("is hidden from the step"), "{error}");
    assert_eq!(real.read(".env"), "KEY=secret\n");
    assert!(!real.workspace.join("other").exists(), "nothing is half-applied");
    let mut real = Real::new();
    real.workspace.file("secret", "bytes\n");
    real.config.sandbox.hide = vec![real.workspace.join("secret")];
    let ran = real.run([shell("a", "test ! -e secret && echo mine > secret")]);
    ran.given_up(Cause::Conflict, &["retry_conflict", "retry_conflict"]);
    assert_eq!(real.read("secret"), "bytes\n");
}

#[test]
fn what_is_moved_into_new_folders_is_applied_unless_somebody_took_the_folder_away() {
    let real = Real::new();
    real.workspace.file("data", "bytes\n").file("tree/deep/file", "x\n").file("kept/file", "1\n");
    let moved = "mkdir -p new/a && mv data new/a/data && chmod 600 new/a/data && mv tree new/tree";
    let ran = real.run([shell("a", moved)]);
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!((real.read("new/a/data"), real.read("new/tree/deep/file")), ("bytes\n".into(), "x\n".into()));
    assert!(!real.workspace.join("data").exists() && !real.workspace.join("tree").exists());
    // The control: a folder that was there, and is gone when the step that wrote into it has ended.
    let gone = real.outside.join("gone");
    let wait = format!("echo 2 > kept/file; : > {0}; while [ -e {0} ]; do sleep 0.05; done", gone.display());
    let kept = real.workspace.join("kept");
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !gone.exists() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            std::fs::remove_dir_all(&kept).unwrap();
            std::fs::remove_file(&gone).unwrap();
        });
        real.run([shell("a", real.first_then(&wait, "true"))])
    });
    let events = ran.executor.journal().events(&ran.result.run_id).unwrap();
    let said: Vec<String> = events
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::CallFinished { error, .. } => error,
            _ => None,
        })
        .collect();
    assert!(said.len() == 1 && said[0].contains("removed or moved meanwhile"), "{said:?}");
    assert!(!kept.exists(), "nothing is half-applied");
}

#[test]
fn our_own_commands_work_on_any_registry() {
    let real = Real::new();
    real.workspace.file("a.txt", "one one\n").file("sub/b.txt", "");
    for registry in [ToolRegistry::new(), ToolRegistry::default_registry()] {
        let executor = real.builder().registry(registry).build().unwrap();
        if has_python() {
            let result = executor.execute_code("print(6 * 7)", "Multiply");
            assert!(result.success, "{}", result.summary());
            assert_eq!(result.steps[0].tool, "sandbox");
            assert_eq!(result.steps[0].result.as_ref().unwrap().output, "42\n");
            let events = executor.journal().events(&result.run_id).unwrap();
            let called = events.iter().find_map(|event| match &event.body {
                EventBody::CallIntended { tool, .. } => Some(tool.clone()),
                _ => None,
            });
            assert_eq!(called.as_deref(), Some("run_code"));
        }
        let result = executor.run_tests(Some("ls"), Some("sub".as_ref()));
        assert!(result.success, "{}", result.summary());
        assert_eq!(result.steps[0].result.as_ref().unwrap().output, "b.txt\n");
        let result = executor.edit_file("a.txt", "one", "two");
        assert!(result.success, "{}", result.summary());
        assert_eq!(real.read("a.txt"), "two two\n");
        real.workspace.file("a.txt", "one one\n");
    }
}

#[test]
fn relative_folders_of_tools_are_those_of_the_workspace() {
    let real = Real::new();
    real.workspace.file("in/a.txt", "needle\n").file("out/b.txt", "needle\n");
    let only = || Some(vec!["in".into()]);
    let (reader, writer, search) = (FileReadTool::new(), FileWriteTool::new(), SearchTool::new());
    reader.set_allowed_paths(only());
    writer.set_allowed_paths(only());
    search.set_search_paths(only());
    let registry = ToolRegistry::new();
    registry.register(Arc::new(reader)).unwrap();
    registry.register(Arc::new(writer)).unwrap();
    registry.register(Arc::new(search)).unwrap();
    let executor = real.builder().registry(registry).build().unwrap();
    let call = |tool: &str, params: serde_json::Value| executor.call(tool, params.as_object().unwrap().clone());
    assert_eq!(call("file_read", json!({ "path": "in/a.txt" })).output, "needle\n");
    assert_eq!(call("file_read", json!({ "path": "out/b.txt" })).cause, Some(Cause::PermissionDenied));
    assert!(call("file_write", json!({ "path": "in/c.txt", "content": "x" })).is_success());
    assert_eq!(call("file_write", json!({ "path": "out/c.txt", "content": "x" })).cause, Some(Cause::PermissionDenied));
    assert_eq!((real.read("in/c.txt").as_str(), real.workspace.join("out/c.txt").exists()), ("x", false));
    let found = call("search", json!({ "pattern": "needle" }));
    assert!(found.output_text().contains("a.txt") && !found.output_text().contains("b.txt"), "{found:?}");
    assert!(executor.edit_file("in/a.txt", "needle", "pin").success);
    assert_eq!(real.read("in/a.txt"), "pin\n");
}

#[test]
fn a_time_budget_ends_what_runs() {
    let mut real = Real::new();
    real.config.budgets.time = Some(Duration::from_millis(500));
    let began = Instant::now();
    let ran = real.run([shell("a", "touch made; sleep 600"), shell("b", "touch made")]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(ran.result.stop_reason, StopReason::Limit, "{}", ran.result.summary());
    assert!(ran.result.error.as_deref().unwrap().contains("max_time is 0.5 s"), "{}", ran.result.summary());
    assert!(!real.workspace.join("made").exists());
}

#[test]
fn a_bare_call_is_applied_or_names_its_conflict() {
    let real = Real::new();
    let executor = real.builder().build().unwrap();
    let params = json!({ "command": "echo mine > f" });
    let result = executor.call("shell", params.as_object().unwrap().clone());
    assert!(result.is_success(), "{result:?}");
    assert_eq!(real.read("f"), "mine\n");
}
