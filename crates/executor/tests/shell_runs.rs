//! `shell` over a real workspace and sandbox: output, statuses, causes, lists, cancellation.

mod tools_common;

use std::time::{Duration, Instant};

use agentic_executor::tools::ShellTool;
use agentic_executor::{Cause, ToolStatus};
use serde_json::json;
use tools_common::Place;

#[test]
fn output_is_stdout_then_marked_stderr() {
    let place = Place::new();
    let result = place.call(&ShellTool::new(), json!({"command": "echo out; echo err >&2; touch made"}));
    assert!(result.is_success(), "{result:?}");
    assert_eq!(result.output_text(), "out\n[stderr]: err\n");
    assert_eq!(
        (result.metadata["returncode"].as_i64(), result.metadata["command"].as_str().is_some()),
        (Some(0), true)
    );
    assert!(place.workspace.join("made").exists());
}

#[test]
fn a_failure_is_an_error_with_stderr() {
    let place = Place::new();
    let result = place.call(&ShellTool::new(), json!({"command": "echo out; echo why >&2; exit 3"}));
    assert_eq!((result.status, result.cause), (ToolStatus::Error, Some(Cause::Failed)));
    assert_eq!((result.error.as_deref(), result.metadata["returncode"].as_i64()), (Some("why\n"), Some(3)));
    let result = place.call(&ShellTool::new(), json!({"command": "no_such_command_here"}));
    assert_eq!(result.cause, Some(Cause::MissingCommand));
    assert_eq!(result.metadata["command"], "no_such_command_here");
}

#[test]
fn what_a_command_leaves_running_is_named() {
    let place = Place::new();
    let result = place.call(&ShellTool::new(), json!({"command": "sleep 1000 >/dev/null 2>&1 & echo served"}));
    assert_eq!((result.is_success(), result.output_text().as_ref()), (true, "served\n"));
    assert_eq!(result.metadata["left_processes"], json!(["sleep"]));
    let result = place.call(&ShellTool::new(), json!({"command": "sleep 0.01 & wait"}));
    assert_eq!((result.is_success(), result.metadata.get("left_processes")), (true, None));
}

#[test]
fn a_timeout_keeps_what_was_said() {
    let place = Place::new();
    let result = place.call(&ShellTool::new(), json!({"command": "echo so far; sleep 60", "timeout": 1}));
    assert_eq!((result.status, result.error.as_deref()), (ToolStatus::Timeout, Some("Command timed out after 1s")));
    assert_eq!(result.output_text(), "so far\n");
}

#[test]
fn the_lists_refuse_before_anything_starts() {
    let place = Place::new();
    let tool = ShellTool::new();
    let result = place.call(&tool, json!({"command": "touch made; rm -rf /"}));
    assert_eq!(result.status, ToolStatus::PermissionDenied);
    assert!(!place.workspace.join("made").exists());
    tool.set_allowed_commands(Some(vec!["echo".into()]));
    assert_eq!(place.call(&tool, json!({"command": "touch made"})).status, ToolStatus::PermissionDenied);
    assert!(place.call(&tool, json!({"command": "echo ok"})).is_success());
}

#[test]
fn cancelling_ends_the_tree_at_once() {
    let place = Place::new();
    let cancel = place.cancel.clone();
    let start = Instant::now();
    let seen = place.on_first_output(move || cancel.cancel());
    let result = seen.call(&ShellTool::new(), json!({"command": "echo started; sleep 60"}));
    assert_eq!(result.cause, Some(Cause::Cancelled), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let place = Place::new();
    for (params, said) in [
        (json!({"command": " "}), "is empty"),
        (json!({"command": "a\u{0}b"}), "NUL byte at offset 1"),
        (json!({"command": "echo", "timeout": 0}), "`timeout`"),
        (json!({"command": format!("echo {}", "x".repeat(1 << 18))}), "write it to a script"),
        (json!({"command": 1}), "/command: expected a string"),
        (json!({"command": "ls", "extra": 1}), "extra"),
    ] {
        let result = place.call(&ShellTool::new(), params);
        assert_eq!(result.cause, Some(Cause::InvalidArguments));
        assert!(result.error.as_deref().unwrap().contains(said), "{:?}", result.error);
    }
}
