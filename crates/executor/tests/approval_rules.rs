//! Rules decide which calls are made: the last match wins, `ask` asks, nobody to ask means no.

mod run_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentic_executor::executor::{Action, Answer, Approval, Prompt};
use agentic_executor::{AgenticExecutor, Cause, StopReason, ToolStatus};
use run_support::{Place, Script, fake, obedient, on_failure, params, plan, step};
use serde_json::{Value, json};

fn rules(toml: &str) -> Approval {
    toml::from_str(toml).unwrap()
}

fn judged(approval: &Approval, tool: &str, arguments: Value) -> Action {
    approval.judge(tool, &params(arguments), "/srv".as_ref()).action
}

#[test]
fn the_last_rule_that_matches_decides() {
    let approval = rules(
        r#"
        rules = [
            { action = "ask", tool = "shell" },
            { action = "allow", tool = "shell", command = "git *" },
            { action = "deny", command = "git push*" },
            { action = "deny", path = "secrets/**" },
            { action = "deny", path = "/etc/**" },
        ]"#,
    );
    for (tool, arguments, action) in [
        ("file_read", json!({ "path": "src/a.py" }), Action::Allow),
        ("file_read", json!({ "path": "secrets/key" }), Action::Deny),
        ("file_read", json!({ "path": "/srv/secrets/key" }), Action::Deny),
        ("file_read", json!({ "path": "src/../secrets/key" }), Action::Deny),
        ("file_read", json!({ "path": "src/../../etc/passwd" }), Action::Deny),
        ("edit", json!({ "edits": [{ "path": "a" }, { "path": "secrets/key" }] }), Action::Deny),
        ("apply_patch", json!({ "patch": "--- a/src/a\n+++ b/src/a\n@@ -1 +1 @@\n-a\n+b\n" }), Action::Allow),
        (
            "apply_patch",
            json!({ "patch": "--- a/secrets/key\n+++ b/secrets/key\n@@ -1 +1 @@\n-a\n+b\n" }),
            Action::Deny,
        ),
        (
            "apply_patch",
            json!({ "patch": "*** Begin Patch\n*** Update File: a\n*** Move to: x/../secrets/key\n*** End Patch" }),
            Action::Deny,
        ),
        ("shell", json!({ "command": "ls" }), Action::Ask),
        ("shell", json!({ "command": "git status" }), Action::Allow),
        ("shell", json!({ "command": "git status && rm -rf ." }), Action::Ask),
        ("shell", json!({ "command": "git log $(rm -rf .)" }), Action::Ask),
        ("shell", json!({ "command": "git push origin" }), Action::Deny),
        ("shell", json!({ "command": "cd x; git push" }), Action::Deny),
        ("shell", json!({ "command": "echo `git push`" }), Action::Deny),
        // Several lines: the strictest of them, and an allowance has to fit each.
        ("migrate", json!({ "command": ["true", "git push"] }), Action::Deny),
        ("migrate", json!({ "command": ["true"] }), Action::Ask),
        ("migrate", json!({ "command": [] }), Action::Ask),
        ("migrate", json!({ "phase": "apply", "files": ["a", "secrets/key"] }), Action::Deny),
        ("other", json!({ "command": ["true"] }), Action::Allow),
    ] {
        assert_eq!(judged(&approval, tool, arguments.clone()), action, "{tool} {arguments}");
    }
    assert_eq!(judged(&Approval::default(), "shell", json!({ "command": "ls" })), Action::Allow);
}

#[test]
fn rules_are_typed_and_come_back_as_they_were() {
    let approval = rules(r#"rules = [{ action = "deny", tool = "sh*", path = "**/.env" }]"#);
    let json = serde_json::to_value(&approval).unwrap();
    assert_eq!(json, json!({ "rules": [{ "action": "deny", "tool": "sh*", "path": "**/.env" }] }));
    assert_eq!(serde_json::from_value::<Approval>(json).unwrap(), approval);
    for bad in [
        r#"rules = [{ action = "maybe" }]"#,
        r#"rules = [{ action = "deny", tool = "[" }]"#,
        r#"rules = [{ action = "deny", tools = "x" }]"#,
    ] {
        assert!(toml::from_str::<Approval>(bad).is_err(), "{bad}");
    }
}

fn asking(place: &Place, prompt: Option<Arc<Script>>) -> (AgenticExecutor, Arc<AtomicUsize>) {
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    let shell = fake("shell", move |call, _| {
        count.fetch_add(1, Ordering::SeqCst);
        agentic_executor::ToolResult::success(call.params["command"].clone())
    });
    let approval = rules(r#"rules = [{ action = "ask", tool = "shell" }, { action = "deny", command = "rm *" }]"#);
    let mut builder = place.builder([shell, obedient("say")]).approval(approval);
    if let Some(prompt) = prompt {
        builder = builder.prompt(prompt as Arc<dyn Prompt>);
    }
    (builder.build().unwrap(), called)
}

#[test]
fn denied_and_unanswerable_calls_are_not_made() {
    let place = Place::new();
    let (executor, called) = asking(&place, None);
    for (command, says) in [("rm -rf x", "is denied (rule: deny command=rm *)"), ("ls", "nobody to ask")] {
        let result = executor.execute_plan(plan([
            step("a", "say", json!({}), &[]),
            step("b", "shell", json!({ "command": command }), &["a"]),
        ]));
        assert_eq!(result.stop_reason, StopReason::Denied, "{}", result.summary());
        let denied = result.steps[1].result.as_ref().unwrap();
        assert_eq!((denied.status, denied.cause), (ToolStatus::PermissionDenied, Some(Cause::Denied)));
        assert!(denied.error.as_ref().unwrap().contains(says), "{denied:?}");
        let events = run_support::kinds(&executor.journal().events(&result.run_id).unwrap());
        assert!(events.contains(&"call_refused:b".into()) && !events.contains(&"call_intended:b".into()), "{events:?}");
    }
    assert_eq!(called.load(Ordering::SeqCst), 0);
    assert_eq!(
        executor.call("shell", params(json!({ "command": "ls" }))).cause,
        Some(Cause::Denied),
        "bare calls, too"
    );
}

#[test]
fn an_answer_counts() {
    let place = Place::new();
    let run = |answers: Vec<Answer>| {
        let script = Script::new(answers);
        let (executor, called) = asking(&place, Some(Arc::clone(&script)));
        let result = executor.execute_plan(plan([
            step("a", "shell", json!({ "command": "ls" }), &[]),
            step("b", "shell", json!({ "command": "pwd" }), &["a"]),
        ]));
        (result, called.load(Ordering::SeqCst), script.shown_steps().len())
    };
    let (yes, called, shown) = run(vec![Answer::Yes, Answer::Yes]);
    assert!(yes.success && called == 2 && shown == 2, "{}", yes.summary());
    let (all, called, shown) = run(vec![Answer::All]);
    assert!(all.success && called == 2 && shown == 1, "{}", all.summary());
    let (no, called, _) = run(vec![Answer::No]);
    assert_eq!((no.stop_reason, called), (StopReason::Denied, 0));
    let (abort, called, shown) = run(vec![Answer::Abort]);
    assert_eq!((abort.stop_reason, called, shown), (StopReason::Cancelled, 0, 1));
    let (edited, called, _) = run(vec![Answer::Edit(params(json!({ "command": "ls -l" })))]);
    assert_eq!((edited.steps[0].result.as_ref().unwrap().output.as_str(), called), (Some("ls -l"), 2));
    assert_eq!(edited.steps[0].params["command"], "ls -l");
    let (forbidden, called, _) = run(vec![Answer::Edit(params(json!({ "command": "rm -rf x" })))]);
    assert_eq!((forbidden.stop_reason, called), (StopReason::Denied, 0), "a rule still denies what a person wrote");
}

#[test]
fn a_denied_step_may_be_gone_around() {
    let place = Place::new();
    let (executor, _) = asking(&place, None);
    let denied =
        on_failure(agentic_executor::planner::OnFailure::Continue, step("a", "shell", json!({ "command": "ls" }), &[]));
    let result = executor.execute_plan(plan([denied, step("b", "say", json!({}), &[])]));
    assert_eq!((result.stop_reason, result.steps.len()), (StopReason::Denied, 2));
}
