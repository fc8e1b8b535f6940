//! Each row of the recovery table provoked once through the real sandbox and the real tools: it ends recovered, or
//! given up with its cause. Rows that no program can provoke (`unenforceable`, installing from a network) are in
//! `recovery_table.rs`.

mod real_support;

use std::time::Duration;

use agentic_executor::executor::{Approval, StopReason};
use agentic_executor::planner::{Expect, RetryPolicy};
use agentic_executor::sandbox::{Limits, MB};
use agentic_executor::tools::ToolContext;
use agentic_executor::workspace::Backend;
use agentic_executor::{Cancel, Cause, EventBody, PlanStep};
use agentic_testkit::{find_program, skip};
use real_support::{Real, bash, has_python, python, shell, step};
use serde_json::json;

#[test]
fn a_file_that_is_not_there_is_found_by_its_name() {
    let real = Real::new();
    real.workspace.file("config/shop.json", "{}\n").file("a/twice", "").file("b/twice", "");
    let ran = real.run([step("a", "file_read", json!({ "path": "settings/shop.json" }))]);
    ran.recovered(Cause::NotFound, &["search_file_and_retry"]);
    assert_eq!(ran.output("a"), "{}\n");
    let ran = real.run([step("a", "edit", json!({ "path": "shop.json", "old": "{}", "new": "[]" }))]);
    ran.recovered(Cause::NotFound, &["search_file_and_retry"]);
    assert_eq!(real.read("config/shop.json"), "[]\n");
    let ran = real.run([step("a", "file_read", json!({ "path": "twice" }))]);
    assert!(ran.given_up(Cause::NotFound, &[]).contains("File not found: twice"));
    let ran = real.run([shell("a", "cat nothing")]);
    assert!(ran.given_up(Cause::NotFound, &[]).contains("nothing"));
}

#[test]
fn a_timeout_is_raised() {
    let real = Real::new();
    let slow = |seconds| PlanStep { timeout: Some(Duration::from_secs(1)), ..shell("a", format!("sleep {seconds}")) };
    real.run([slow("1.5")]).recovered(Cause::Timeout, &["raise_timeout"]);
    let code = PlanStep { timeout: Some(Duration::from_secs(1)), ..bash("a", "sleep 1.5; echo done") };
    real.run([code]).recovered(Cause::Timeout, &["raise_timeout"]);
    let never = PlanStep { timeout: Some(Duration::from_millis(200)), ..shell("a", "echo so far; sleep 600") };
    let ran = real.run([never]);
    let error = ran.given_up(Cause::Timeout, &["raise_timeout", "raise_timeout"]);
    assert_eq!(error, "Command timed out after 0.8s");
    assert_eq!(ran.output("a"), "so far\n");
}

#[test]
fn memory_is_raised_up_to_half_of_the_machine() {
    let mut real = Real::new();
    // `tail` holds what it is asked for.
    let holds = |megabytes: u64| format!("head -c {0}M /dev/zero | tail -c {0}M | wc -c", megabytes);
    real.config.sandbox.host_limits = Some(Limits { memory: 48 * MB, ..Limits::for_host_view(4 << 30) });
    let ran = real.run([shell("a", holds(64))]);
    ran.recovered(Cause::OutOfMemory, &["raise_memory"]);
    real.config.host.memory = 128 * MB;
    let ran = real.run([shell("a", holds(400))]);
    ran.given_up(Cause::OutOfMemory, &["raise_memory"]);
}

#[test]
fn a_full_disk_is_waited_for_once() {
    let mut real = Real::new();
    real.config.sandbox.limits = Some(Limits { disk: 4 * MB, ..Limits::default() });
    let fill = "head -c 32M /dev/zero > \"$TMPDIR/fill\" || exit 1";
    real.run([bash("a", real.first_then(fill, "echo room"))]).recovered(Cause::DiskFull, &["wait_and_retry"]);
    real.run([bash("a", fill)]).given_up(Cause::DiskFull, &["wait_and_retry"]);
}

#[test]
fn a_module_that_is_missing_is_given_up_where_the_network_is_closed() {
    if !has_python() {
        skip!("no python3");
    }
    let real = Real::new();
    let ran = real.run([python("a", "import no_such_module_of_ours")]);
    assert!(ran.given_up(Cause::MissingModule, &[]).contains("no_such_module_of_ours"));
    let why = &ran.result.metadata["recoveries"][0]["detail"];
    assert!(why.as_str().unwrap().contains("the network is closed"), "{why}");
}

#[test]
fn a_missing_command_is_replaced_by_one_that_does_the_same() {
    let mut real = Real::new();
    real.workspace.executable("bin/python3", "#!/bin/sh\necho \"real python3 $*\"\n");
    let path = format!("{}:/usr/bin:/bin", real.workspace.join("bin").display());
    real.config.host.env.insert("PATH".into(), path.into());
    for (missing, instead) in [("pytest", "python3 -m pytest"), ("python", "python3")] {
        if ["/usr/bin", "/bin", "/usr/local/bin"]
            .iter()
            .any(|folder| std::path::Path::new(folder).join(missing).exists())
        {
            agentic_testkit::report_skip(&format!("this host has a {missing} among the system's programs"));
            continue;
        }
        let ran = real.run([shell("a", format!("{missing} -q"))]);
        ran.recovered(Cause::MissingCommand, &["use_alternative_command"]);
        assert_eq!(ran.result.steps[0].params["command"], format!("{instead} -q"));
        assert!(ran.output("a").starts_with("real python3"), "{}", ran.output("a"));
    }
    let ran = real.run([shell("a", "no_such_command_here")]);
    assert!(ran.given_up(Cause::MissingCommand, &[]).contains("no_such_command_here"));
    let ran = real.run([bash("a", "no_such_command_here")]);
    ran.given_up(Cause::MissingCommand, &[]);
}

const RED: &str = "echo 'FAILED (failures=1)'; exit 1";

#[test]
fn red_tests_run_once_more_and_flaky_ones_are_said_to_be() {
    let real = Real::new();
    let ran = real.run([shell("a", real.first_then(RED, "echo OK"))]);
    assert!(ran.result.success, "{}", ran.result.summary());
    let expected = [(Cause::TestFailure, "wait_and_retry".to_owned()), (Cause::Flaky, "flaky".to_owned())];
    assert_eq!(ran.taken(), expected);
    assert_eq!(ran.result.steps[0].result.as_ref().unwrap().metadata["flaky"], true);
    let ran = real.run([shell("a", RED)]);
    ran.given_up(Cause::TestFailure, &["wait_and_retry"]);
    assert_eq!(ran.result.steps[0].retries, 1);
}

#[test]
fn red_tests_that_are_expected_complete_the_step_at_once() {
    let real = Real::new();
    let red = PlanStep { expect: Expect::Failure, ..shell("a", format!("touch report; {RED}")) };
    let ran = real.run([red]);
    assert!(ran.result.success && ran.taken().is_empty(), "{}", ran.result.summary());
    assert_eq!((ran.result.stop_reason, ran.result.steps[0].retries), (StopReason::Succeeded, 0));
    assert!(real.workspace.join("report").exists(), "what a step as expected wrote is kept");
    let expecting = |command: &str| PlanStep { expect: Expect::Failure, ..shell("a", command) };
    let ran = real.run([expecting("touch green; echo OK")]);
    assert_eq!(ran.result.stop_reason, StopReason::Failed);
    assert!(ran.result.error.as_deref().unwrap().contains("the call succeeded"), "{}", ran.result.summary());
    assert_eq!((ran.result.steps[0].retries, ran.taken().len()), (0, 0));
    assert!(!real.workspace.join("green").exists());
    let ran = real.run([expecting("no_such_command_here")]);
    let error = ran.given_up(Cause::MissingCommand, &[]);
    assert!(error.contains("another reason (missing_command)"), "{error}");
}

/// A step that says `go`, waits until one more file lies outside, and then appends to `f`.
fn meets(real: &Real) -> String {
    let outside = real.outside.path().display();
    format!(
        "n=$(ls {outside} | wc -l); echo go; while [ $(ls {outside} | wc -l) -le $n ]; do sleep 0.02; done; echo mine >> f"
    )
}

#[test]
fn a_conflict_runs_again_over_what_somebody_else_wrote() {
    for (most, recovers) in [(1, true), (9, false)] {
        let real = Real::new();
        real.workspace.file("f", "base\n");
        let (file, outside) = (real.workspace.join("f"), real.outside.path().to_owned());
        let gone = std::sync::atomic::AtomicU32::new(0);
        let builder = real.builder().on_event(move |event| {
            if let EventBody::CallOutput { text, .. } = &event.body
                && text.contains("go")
            {
                let nth = gone.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                if nth < most {
                    std::fs::write(&file, format!("theirs {nth}\n")).unwrap();
                }
                std::fs::write(outside.join(format!("flag{nth}")), "").unwrap();
            }
        });
        let ran = real.run_with(builder, [shell("a", meets(&real))]);
        if recovers {
            ran.recovered(Cause::Conflict, &["retry_conflict"]);
            assert_eq!(real.read("f"), "theirs 0\nmine\n");
        } else {
            let error = ran.given_up(Cause::Conflict, &["retry_conflict", "retry_conflict"]);
            assert!(error.contains(&real.workspace.join("f").display().to_string()), "{error}");
            assert_eq!(real.read("f"), "theirs 2\n", "no byte of theirs is lost");
        }
    }
}

#[test]
fn a_folder_that_overlayfs_cannot_rename_is_renamed_on_a_copy() {
    let real = Real::new();
    if real.backend() != Backend::Overlay {
        skip!("this host has no overlay here, every layer is a copy");
    }
    real.workspace.file("old/deep/file", "bytes");
    if has_python() {
        let ran = real.run([python("a", "import os; os.rename('old', 'new'); print(os.listdir('new'))")]);
        ran.recovered(Cause::CrossDevice, &["retry_on_copy"]);
        let said = ran.result.metadata["recoveries"][0]["detail"].as_str().unwrap();
        assert!(said.contains("copy of the workspace"), "{said}");
        assert_eq!(real.read("new/deep/file"), "bytes");
        assert!(!real.workspace.join("old").exists());
    } else {
        real.workspace.file("new/deep/file", "bytes");
        std::fs::remove_dir_all(real.workspace.join("old")).unwrap();
    }
    // `mv` copies by itself where it cannot rename.
    let ran = real.run([shell("a", "mv new newer")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!(real.read("newer/deep/file"), "bytes");
    assert!(!real.workspace.join("new").exists());
}

#[test]
fn crashes_and_plain_failures_are_tried_again() {
    for (breaks, cause) in [("kill -SEGV $$", Cause::Crash), ("exit 3", Cause::Failed)] {
        let real = Real::new();
        let ran = real.run([shell("a", real.first_then(breaks, "echo fine"))]);
        ran.recovered(cause, &["wait_and_retry"]);
        real.run([shell("a", breaks)]).given_up(cause, &["wait_and_retry", "wait_and_retry"]);
        let once = PlanStep { retry: RetryPolicy { max: 0, ..RetryPolicy::default() }, ..shell("a", breaks) };
        real.run([once]).given_up(cause, &[]);
    }
}

#[test]
fn what_cannot_change_is_given_up_at_once_with_its_cause() {
    let mut real = Real::new();
    real.workspace.file("a.txt", "fn total() {\n    1\n}\n");
    let denied = real.run([shell("a", "touch /usr/of_ours")]);
    denied.given_up(Cause::PermissionDenied, &[]);
    let denied = real.run([step("a", "file_read", json!({ "path": "/etc/hostname" }))]);
    assert!(denied.given_up(Cause::PermissionDenied, &[]).contains("outside the allowed paths"));
    let broken = real.run([bash("a", "if then")]);
    assert!(broken.given_up(Cause::SyntaxError, &[]).contains("syntax error"));
    let broken = real.run([shell("a", "echo 'unclosed")]);
    broken.given_up(Cause::SyntaxError, &[]);
    let edit = json!({ "path": "a.txt", "old": "fn totals() {\n    1", "new": "" });
    let error = real.run([step("a", "edit", edit)]).given_up(Cause::EditMismatch, &[]);
    assert!(error.contains("-fn totals() {") && error.contains("+fn total() {"), "the closest region: {error}");
    let error = real.run([step("a", "file_read", json!({ "path": 1 }))]).given_up(Cause::InvalidArguments, &[]);
    assert!(error.contains("path"), "{error}");
    let error = real.run([step("a", "nothing", json!({}))]).given_up(Cause::UnknownTool, &[]);
    assert_eq!(error, "Unknown tool: nothing");
    if find_program("bash").is_some() {
        let closed = real.run([bash("a", "exec 3<>/dev/tcp/192.0.2.1/80")]);
        closed.given_up(Cause::NetworkDenied, &[]);
    }
    if has_python() {
        let broken = real.run([python("a", "def (:\n")]);
        assert!(broken.given_up(Cause::SyntaxError, &[]).contains("SyntaxError"));
        real.config.sandbox.blocked_imports = vec!["socket".into()];
        let blocked = real.run([python("a", "import socket")]);
        assert!(blocked.given_up(Cause::BlockedImport, &[]).contains("socket"));
    }
}

#[test]
fn a_refusal_and_a_request_to_end_are_final_and_a_fault_of_a_tool_is_its_failure() {
    let real = Real::new();
    let rules = real
        .builder()
        .approval(serde_json::from_str::<Approval>(r#"{"rules": [{"action": "deny", "tool": "shell"}]}"#).unwrap());
    let ran = real.run_with(rules, [shell("a", "touch made")]);
    assert_eq!((ran.result.stop_reason, ran.taken().len()), (StopReason::Denied, 0), "{}", ran.result.summary());
    assert!(!real.workspace.join("made").exists());
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let builder = real.builder().cancel(cancel).on_event(move |event| {
        if matches!(event.body, EventBody::CallOutput { .. }) {
            asked.cancel();
        }
    });
    let ran = real.run_with(builder, [shell("a", "touch made; echo go; sleep 600"), shell("b", "touch made")]);
    assert_eq!((ran.result.stop_reason, ran.taken().len()), (StopReason::Cancelled, 0), "{}", ran.result.summary());
    assert!(!real.workspace.join("made").exists());
    let registry = agentic_executor::ToolRegistry::new();
    let breaks = |_: Nothing, _: &ToolContext<'_>| -> Result<String, String> { panic!("a fault of the tool") };
    registry.register_fn("breaks", "Panics", breaks).unwrap();
    let ran = real.run_with(real.builder().registry(registry), [step("a", "breaks", json!({}))]);
    let error = ran.given_up(Cause::Failed, &["wait_and_retry", "wait_and_retry"]);
    assert!(error.contains("a fault of the tool"), "{error}");
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}
