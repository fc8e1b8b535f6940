//! `agentic run` and `agentic plan` from end to end, and what `runs` and `show` remember. These tests need
//! the whole engine.

mod scene;

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use scene::Scene;
use serde_json::Value;

const WRITE_AND_READ: &str = "\
task: write a file and read it
steps:
  - id: write
    tool: file_write
    params: {path: note.txt, content: 'hello'}
    description: Write the note
  - id: read
    tool: file_read
    params: {path: note.txt}
    description: Read the note
    depends_on: [write]
";

#[test]
fn a_plan_file_runs_and_is_remembered() {
    let scene = Scene::new();
    scene.file("plan.yaml", WRITE_AND_READ);
    let seen = scene.run(["run", "plan.yaml"]);
    seen.ends(0).prints("Task: write a file and read it").prints("ok").prints("Succeeded: 2 of 2 steps");
    assert!(!seen.stdout.contains('\x1b'), "escape sequences in a pipe: {}", seen.stdout);
    assert_eq!(scene.read("note.txt"), "hello");

    let runs = scene.run(["runs", "--json"]).ends(0).json();
    let id = runs[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(runs[0]["stop_reason"], "succeeded");
    scene.run(["runs"]).ends(0).prints(&id).prints("write a file and read it");
    for name in [&id[..], &id[id.len() - 8..]] {
        scene.run(["show", name]).ends(0).prints("attempt 1: file_write").prints("succeeded in");
    }
    let events = scene.run(["show", &id, "--json"]).ends(0).json();
    assert_eq!(events["events"][0]["event"], "run_started");
    scene.run(["show", "no-such-run"]).ends(2).says("no-such-run");
}

#[test]
fn json_and_json_lines_fit_the_published_schemas() {
    let scene = Scene::new();
    scene.file("plan.yaml", WRITE_AND_READ);
    let schema = |file: &str| {
        let path = agentic_testkit::project_root().join("docs/reference").join(file);
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    };
    let result = scene.run(["run", "plan.yaml", "--json"]).ends(0).json();
    assert!(schema("result.schema.json").is_valid(&result), "{result}");
    assert_eq!(result["stop_reason"], "succeeded");
    let lines = scene.run(["run", "plan.yaml", "--jsonl"]).ends(0).stdout.clone();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let validator = schema("event.schema.json");
    for line in &lines {
        let wrong: Vec<String> = validator.iter_errors(line).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}: {line}");
    }
    assert_eq!(lines[0]["event"], "run_started");
    assert_eq!(lines[lines.len() - 1]["event"], "result");
}

#[test]
fn a_task_in_words_is_green_and_red_truthfully() {
    let scene = Scene::new();
    scene.file("config.json", "{}\n");
    let run = |command: &str| {
        let context = format!("command={command}");
        scene.run(["run", "Read config and run tests", "-c", &context, "--json"])
    };
    let green = run("test 1 = 1");
    green.ends(0);
    let steps = green.json()["steps"].as_array().unwrap().iter().map(|step| step["tool"].clone()).collect::<Vec<_>>();
    assert_eq!(steps, ["file_read", "shell"]);
    let red = run("test 1 = 2");
    assert_eq!(red.json()["stop_reason"], "partial");
    red.ends(3);
}

#[test]
fn a_failed_step_shows_the_end_of_its_output() {
    let scene = Scene::new();
    scene.file(
        "plan.yaml",
        "task: fail\nsteps:\n  - {id: bad, tool: shell, params: {command: 'echo the reason >&2; exit 9'}, description: Fail}\n",
    );
    let seen = scene.run(["run", "plan.yaml"]);
    seen.ends(1).prints("FAILED").prints("the reason").prints("Failed: 0 of 1");
}

#[test]
fn a_step_that_leaves_a_process_running_says_so() {
    let scene = Scene::new();
    scene.file(
        "plan.yaml",
        "task: serve\nsteps:\n  - {id: up, tool: shell, params: {command: 'sleep 1000 >/dev/null 2>&1 & true'}, description: Serve}\n",
    );
    scene.run(["run", "plan.yaml"]).ends(0).prints("left running, and ended with the step: sleep");
}

#[test]
fn dry_run_and_plan_run_nothing() {
    let scene = Scene::new();
    scene.file("plan.yaml", WRITE_AND_READ);
    scene.run(["run", "plan.yaml", "--dry-run"]).ends(0).prints("[pending] file_write - Write the note");
    assert!(!scene.work("note.txt").exists());
    for (format, word) in
        [("text", "Task:"), ("json", "\"steps\""), ("mermaid", "flowchart"), ("dot", "digraph"), ("yaml", "steps:")]
    {
        scene.run(["plan", "plan.yaml", "--format", format]).ends(0).prints(word);
    }
    // What `plan` prints as YAML is what `run` takes.
    let yaml = scene.run(["plan", "plan.yaml", "--format", "yaml"]).stdout;
    scene.run_with(["run", "-"], yaml.as_bytes()).ends(0);
    assert_eq!(scene.read("note.txt"), "hello");
}

#[test]
fn a_plan_that_cannot_be_meant_is_bad_input() {
    let scene = Scene::new();
    for (text, word) in [
        ("steps: [", "plan.yaml:1:8"),
        ("task: x\nsteps:\n  - {id: a, tool: shell, params: {command: x}, depends_on: [a2]}\n", "a2"),
        ("task: x\nsteps:\n  - {id: a, tool: no_such_tool}\n", "no_such_tool"),
        (
            "task: x\nsteps:\n  - {id: a, tool: shell, params: {command: x}, depends_on: [b]}\n  - {id: b, tool: shell, params: {command: x}, depends_on: [a]}\n",
            "a",
        ),
    ] {
        scene.file("plan.yaml", text);
        for command in ["run", "plan"] {
            let seen = scene.run([command, "plan.yaml"]);
            seen.ends(2).says(word);
        }
    }
    assert!(scene.run(["runs", "--json"]).json().as_array().unwrap().is_empty(), "a refused plan was recorded");
}

#[test]
fn a_task_that_no_rule_understands_is_refused_with_what_is_understood() {
    let scene = Scene::new();
    let seen = scene.run(["run", "touch pwned; frobnicate the gizmo"]);
    seen.ends(2).says("is not understood").says("read a file");
    assert!(!scene.work("pwned").exists(), "the task's text was run");
}

#[test]
fn rules_deny_and_budgets_stop_with_their_own_codes() {
    let scene = Scene::new();
    scene.file("plan.yaml", WRITE_AND_READ);
    scene.run(["run", "plan.yaml", "--approve", "deny file_write"]).ends(4);
    assert!(!scene.work("note.txt").exists());
    // Nobody to ask is a no; --yes is a yes.
    scene.run(["run", "plan.yaml", "--approve", "ask file_write"]).ends(4);
    scene.run(["run", "plan.yaml", "--approve", "ask file_write", "--yes"]).ends(0);
    scene.run(["run", "plan.yaml", "--max-steps", "1"]).ends(5);
}

#[test]
fn a_journal_that_cannot_be_written_is_said_before_anything_is_done() {
    let scene = Scene::new();
    scene.file("plan.yaml", WRITE_AND_READ);
    let scene = scene.variable("AGENTIC_STATE", "/proc/agentic-state");
    let seen = scene.run(["run", "plan.yaml"]);
    seen.ends(2).says("/proc/agentic-state").says("hint:");
    assert!(!scene.work("note.txt").exists());
}

#[test]
fn an_edit_is_exact_or_says_why_not() {
    let scene = Scene::new();
    scene.file("config.py", "DEBUG = False\n");
    scene.run(["edit", "config.py", "--old", "DEBUG = False", "--new", "DEBUG = True"]).ends(0);
    assert_eq!(scene.read("config.py"), "DEBUG = True\n");
    scene
        .run(["edit", "config.py", "--old", "absent", "--new", "x"])
        .ends(1)
        .says("config.py")
        .says("Old content not found");
    assert_eq!(scene.read("config.py"), "DEBUG = True\n");
}

#[test]
fn a_patch_is_applied_whole_or_says_why_not() {
    let scene = Scene::new();
    scene.file("a.py", "def f():\n    return 1\n");
    scene.file("b.py", "x = 1\n");
    let patch = |value: &str| {
        format!(
            "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2\n\
             --- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x = {value}\n+x = 3\n"
        )
    };
    scene.file("bad.patch", patch("7"));
    scene.run(["edit", "--patch", "bad.patch"]).ends(1).says("hunk 1 of 1 in b.py (line 9 of the patch)").says("x = 1");
    assert_eq!(scene.read("a.py"), "def f():\n    return 1\n");
    scene.file("good.patch", patch("1"));
    scene.run(["edit", "--patch", "good.patch"]).ends(0).prints("Updated b.py: 1 hunk");
    assert_eq!((scene.read("a.py").as_str(), scene.read("b.py").as_str()), ("def f():\n    return 2\n", "x = 3\n"));
    scene.run(["edit", "--patch", "no-such"]).ends(2).says("failed to read the patch no-such");
    scene.run(["edit", "a.py", "--patch", "good.patch"]).ends(2).says("cannot be used with");
    scene.run(["edit", "--patch", "a.py"]).ends(1).says("there is no patch");
}

/// A run whose step has started, and its process.
fn sleeping(scene: &Scene) -> (std::process::Child, BufReader<ChildStdout>) {
    scene.file(
        "sleep.yaml",
        "task: sleep\nsteps:\n  - {id: nap, tool: shell, params: {command: 'echo begun; sleep 600', timeout: 600}}\n",
    );
    let mut command = scene.command(["run", "sleep.yaml", "--jsonl"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("begun") || !line.contains("call_output") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the run ended before its step began");
    }
    (child, lines)
}

#[test]
fn one_signal_ends_a_run_cleanly_and_it_is_remembered() {
    for signal in [Signal::INT, Signal::TERM] {
        let scene = Scene::new();
        let (mut child, mut lines) = sleeping(&scene);
        let start = Instant::now();
        rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
        assert!(start.elapsed() < Duration::from_secs(30), "took {:?}", start.elapsed());
        assert!(rest.contains("\"stop_reason\":\"cancelled\""), "{rest}");
        let runs = scene.run(["runs", "--json"]).ends(0).json();
        assert_eq!(runs[0]["stop_reason"], "cancelled");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let scene = Scene::new();
    let (mut child, lines) = sleeping(&scene);
    drop(lines);
    let pid = Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    // It may have ended by the first one already.
    let _ended = rustix::process::kill_process(pid, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_a_task_finds_is_shown() {
    let scene = Scene::new();
    scene.file("notes.txt", "first\nTODO: mend\n").file("README.md", "# A title\n");
    scene.run(["run", "search for TODO"]).ends(0).prints("| notes.txt:2: TODO: mend");
    scene.run(["run", "search for nowhere-at-all"]).ends(0).prints("| No matches found");
    scene.run(["run", "read README"]).ends(0).prints("| # A title");
    let renamed = scene.run(["run", "rename TODO to DONE"]);
    renamed.ends(0).prints("Update files: notes.txt").prints("| Renamed TODO to DONE in notes.txt, once");
    assert!(!renamed.stdout.contains("| first"), "food for a later step: {}", renamed.stdout);
    scene.run(["run", "rename nowhereAtAll to somewhere"]).ends(0).prints("| No matches found");
}

#[test]
fn a_fact_that_the_planner_does_not_know_is_named() {
    let scene = Scene::new();
    scene.file("README.md", "# A title\n");
    scene.run(["plan", "read README", "-c", "comand=x"]).ends(0).says("-c comand=… means nothing to the planner");
    let quiet = scene.run(["plan", "read README", "-c", "path=README.md"]);
    assert_eq!(quiet.ends(0).stderr, "");
}

#[test]
fn a_closed_network_says_how_it_is_opened() {
    let scene = Scene::new();
    let plan = "task: ask\nsteps:\n- {id: ask, tool: shell, params: {command: \"echo 'getaddrinfo EAI_AGAIN nowhere.invalid' >&2; exit 1\"}}\n";
    scene.file("plan.yaml", plan);
    scene.run(["run", "plan.yaml"]).ends(1).prints("the network is closed to steps").prints("AGENTIC_NETWORK=host");
}

#[test]
fn an_empty_journal_says_so_beside_the_list() {
    let scene = Scene::new();
    let seen = scene.run(["runs"]);
    assert_eq!(seen.ends(0).says("no runs yet").stdout, "");
    assert_eq!(scene.run(["runs", "--json"]).ends(0).stderr, "");
}

#[test]
fn of_a_long_output_the_end_is_shown() {
    let scene = Scene::new();
    let run = |command: &str| scene.run(["run", "run tests", "-c", command]);
    run("command=seq 100000").ends(0).prints("| 99991\n").prints("| 100000\n");
    run("command=seq 100000; exit 3").ends(1).prints("| 100000\n");
    let loud = run("command=seq 100000 >&2; exit 3");
    assert!(loud.ends(1).prints("| 100000\n").stdout.lines().count() < 40, "{}", loud.stdout);
}
