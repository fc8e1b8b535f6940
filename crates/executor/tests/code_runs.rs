//! `run_code` over a real workspace and sandbox: statuses, causes, output, limits.

mod tools_common;

use agentic_executor::sandbox::Limits;
use agentic_executor::tools::RunCodeTool;
use agentic_executor::tools::code::MOST_CODE;
use agentic_executor::{Cause, ToolStatus};
use serde_json::json;
use tools_common::Place;

#[test]
fn output_is_what_was_printed_and_files_are_kept() {
    let place = Place::new();
    let result =
        place.call(&RunCodeTool::new(), json!({"code": "open('made', 'w').write('x'); print(sum(range(10)))"}));
    assert!(result.is_success(), "{result:?}");
    assert_eq!(result.output_text(), "45\n");
    assert_eq!(result.metadata["returncode"], 0);
    assert_eq!(result.metadata["view"], "system");
    assert!(result.usage.is_some() && result.enforced.is_some());
    assert_eq!(place.workspace.read("made"), "x");
}

#[test]
fn a_failure_says_why_and_leaves_nothing() {
    let place = Place::new();
    let result =
        place.call(&RunCodeTool::new(), json!({"code": "open('made', 'w'); print('so far'); import no_such_thing"}));
    assert_eq!((result.status, result.cause), (ToolStatus::Error, Some(Cause::MissingModule)));
    assert_eq!(result.metadata["module"], "no_such_thing");
    assert_eq!(result.output_text(), "so far\n");
    assert!(result.error.unwrap().ends_with("No module named 'no_such_thing'"));
    assert!(!place.workspace.join("made").exists());
}

#[test]
fn limits_end_a_run_with_what_it_had_said() {
    let place = Place::new();
    let result = place
        .call(&RunCodeTool::new(), json!({"code": "print('so far', flush=True)\nwhile True: pass", "timeout": 0.5}));
    assert_eq!((result.status, result.cause), (ToolStatus::Timeout, Some(Cause::Timeout)));
    assert_eq!(result.output_text(), "so far\n");
    let result = place.call(&RunCodeTool::new(), json!({"code": "x = [0] * (1 << 28)", "memory_mb": 64}));
    assert_eq!(result.cause, Some(Cause::OutOfMemory), "{result:?}");
}

#[test]
fn the_import_policy_reaches_the_result() {
    let mut place = Place::new();
    place.config.sandbox.blocked_imports = vec!["subprocess".into()];
    let result = place.call(&RunCodeTool::new(), json!({"code": "import subprocess"}));
    assert_eq!(result.cause, Some(Cause::BlockedImport), "{result:?}");
    assert_eq!(result.metadata["module"], "subprocess");
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let place = Place::new();
    place.workspace.dir("folder");
    for (params, said) in [
        (json!({}), "give `code` or `file`"),
        (json!({"code": "1", "file": "a.py"}), "not both"),
        (json!({"code": "a\u{0}b"}), "`code` contains a NUL byte at offset 1"),
        (json!({"code": "#".repeat(MOST_CODE + 1)}), "`code` has 16777217 bytes, 16777216 (16 MiB) at most: write it"),
        (json!({"file": "folder"}), "is a folder"),
        (json!({"code": "1", "timeout": 0}), "`timeout`"),
        (json!({"code": "1", "timeout": -1}), "`timeout`"),
        (json!({"code": "1", "memory_mb": 0}), "`memory`"),
        (json!({"code": "1", "memory_mb": u64::MAX}), "/memory_mb"),
        (json!({"code": "1", "language": "cobol"}), "cobol"),
    ] {
        let result = place.call(&RunCodeTool::new(), params.clone());
        assert_eq!(result.cause, Some(Cause::InvalidArguments), "{said}");
        assert!(result.error.as_deref().unwrap().contains(said), "{said}: {:?}", result.error);
    }
}

#[test]
fn of_a_long_output_head_and_tail_are_given_apart() {
    let mut place = Place::new();
    place.config.sandbox.limits = Some(Limits { output: 64, ..Limits::default() });
    let code = "import sys\nfor n in range(100): print(f'line {n}')\nprint('short', file=sys.stderr)";
    let result = place.call(&RunCodeTool::new(), json!({ "code": code }));
    let text = |name: &str| result.metadata[name].as_str().unwrap();
    assert!(text("stdout_head").starts_with("line 0\nline 1\n") && text("stdout_head").len() == 32, "{result:?}");
    assert!(text("stdout_tail").ends_with("line 98\nline 99\n") && text("stdout_tail").len() == 32, "{result:?}");
    let cut = result.output_text().strip_prefix(text("stdout_head")).unwrap().to_owned();
    let cut = cut.strip_suffix(text("stdout_tail")).unwrap();
    assert_eq!(cut, "\n[726 bytes cut]\n");
    assert!(!result.metadata.contains_key("stderr_head"), "of what is whole there are no parts");
}
