//! What a failing run says on the terminal: what, on what, why, without saying it twice; and budgets end runs.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use agentic_testkit::{TestWorkspace, agentic_binary, processes_with_marker, wait_until_gone};

fn agentic(workspace: &TestWorkspace, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(agentic_binary());
    command.args(arguments).arg("-C").arg(workspace.path()).stdin(Stdio::null());
    // What the tests are told by is no setting of the program.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AGENTIC_")) {
        command.env_remove(name);
    }
    command.env("XDG_STATE_HOME", workspace.state()).envs(environment.iter().copied());
    command.output().expect("start agentic")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NOISY: &str = "for i in 1 2 3 4 5 6; do echo noise $i >&2; done; no_such_command_here";

#[test]
fn a_failing_step_names_its_call_and_the_line_that_decided_once() {
    let workspace = TestWorkspace::new();
    workspace.file("plan.yaml", format!("steps:\n  - tool: shell\n    params: {{command: \"{NOISY}\"}}\n"));
    let output = agentic(&workspace, &["run", "plan.yaml"], &[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.contains("        shell: for i in 1 2 3"), "the call is named: {said}");
    assert_eq!(said.matches("noise 3").count(), 1, "{said}");
    let closing = said.lines().find(|line| line.starts_with("  step_1 (shell): ")).expect("the closing error");
    assert!(closing.ends_with("no_such_command_here: command not found …"), "{closing}");
}

#[test]
fn a_failing_call_says_briefly_what_its_output_has_said() {
    let workspace = TestWorkspace::new();
    let params = format!("{{\"command\": \"{NOISY}\"}}");
    let output = agentic(&workspace, &["tool", "call", "shell", "--params", &params], &[]);
    assert!(text(&output.stdout).contains("noise 6\n"));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("agentic: shell failed: ") && said.contains("command not found …"), "{said}");
}

#[test]
fn a_time_budget_ends_a_run_as_a_limit_and_leaves_no_process() {
    let workspace = TestWorkspace::new();
    let marker = format!("budget-{}", std::process::id());
    workspace.file(
        "plan.yaml",
        format!("steps:\n  - {{tool: shell, params: {{command: 'sleep 600 # {marker}; sleep 601'}}}}\n  - {{tool: shell, params: {{command: touch made}}}}\n"),
    );
    let began = Instant::now();
    let output = agentic(&workspace, &["run", "plan.yaml"], &[("AGENTIC_MAX_TIME", "1")]);
    assert_eq!(output.status.code(), Some(5), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("time budget reached: max_time is 1 s"), "{}", text(&output.stdout));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(!workspace.join("made").exists());
    let left = wait_until_gone(&marker, Duration::from_secs(5));
    assert!(left.is_empty(), "{left:?} of {:?}", processes_with_marker(&marker));
}
