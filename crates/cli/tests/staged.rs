//! `agentic run --staged`: nothing is applied before somebody has seen it, and nothing at all by a run that is killed.

mod scene;

use std::process::Stdio;
use std::time::{Duration, Instant};

use agentic_testkit::Pty;
use scene::Scene;

/// Reached only by a test that fails: a debug build on a busy machine is slow.
const SOON: Duration = Duration::from_secs(60);

const PLAN: &str = "\
task: two files
steps:
  - {id: one, tool: file_write, params: {path: one.txt, content: \"1\\n\"}, description: First}
  - {id: two, tool: shell, params: {command: \"cat one.txt > two.txt; echo more >> old.txt\"}, depends_on: [one], description: Second}
";

fn laid_out() -> Scene {
    let scene = Scene::new();
    scene.file("plan.yaml", PLAN).file("old.txt", "old\n");
    scene
}

fn at_terminal(scene: &Scene) -> Option<Pty> {
    let pty = Pty::spawn(agentic_testkit::agentic_binary(), ["run", "plan.yaml", "--staged"], |command| {
        scene.surround(command);
        command.env("TERM", "xterm");
    });
    pty.map_err(|error| agentic_testkit::report_skip(&error.to_string())).ok()
}

#[track_caller]
fn answered(pty: &mut Pty, keys: &str) -> i32 {
    pty.expect("(3 paths)? [y]es [n]o ", SOON).unwrap_or_else(|error| panic!("{error}"));
    pty.send(keys).unwrap();
    let status = pty.wait(SOON).unwrap().unwrap_or_else(|| panic!("it never ended: {}", pty.output()));
    status.code().unwrap_or(-1)
}

#[test]
fn the_diff_is_shown_and_yes_applies_it() {
    let scene = laid_out();
    let Some(mut pty) = at_terminal(&scene) else { return };
    pty.expect("+more", SOON).unwrap_or_else(|error| panic!("{error}"));
    assert!(!scene.work("one.txt").exists() && scene.read("old.txt") == "old\n", "nothing is there before the answer");
    assert_eq!(answered(&mut pty, "y\n"), 0, "{}", pty.output());
    assert!(pty.output().contains("3 paths changed"), "{}", pty.output());
    assert_eq!((scene.read("two.txt").as_str(), scene.read("old.txt").as_str()), ("1\n", "old\nmore\n"));
}

#[test]
fn no_and_ctrl_c_leave_the_folder_as_it_was() {
    for (keys, status) in [("n\n", 4), ("\x03", 130)] {
        let scene = laid_out();
        let Some(mut pty) = at_terminal(&scene) else { return };
        let ended = answered(&mut pty, keys);
        assert!(ended == status, "{ended} after {keys:?}: {}", pty.output());
        assert!(pty.output().contains("nothing was applied"), "{}", pty.output());
        assert!(!scene.work("one.txt").exists() && scene.read("old.txt") == "old\n");
    }
}

#[test]
fn yes_applies_without_asking_and_json_says_so() {
    let scene = laid_out();
    let seen = scene.run(["run", "plan.yaml", "--staged", "--yes", "--json"]);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    let result: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
    assert_eq!(result["metadata"]["staged"]["applied"], true, "{result}");
    assert_eq!(result["metadata"]["staged"]["changes"], 3, "{result}");
    assert_eq!(scene.read("old.txt"), "old\nmore\n");
    let run = result["run_id"].as_str().unwrap();
    let shown = scene.run(["show", run]);
    assert!(shown.stdout.contains("staged"), "{}", shown.stdout);
    let step = scene.run(["rollback", run, "--to", "one"]);
    assert_eq!(step.code, 2, "{}", step.stderr);
    assert!(step.stderr.contains("was staged") && step.stderr.contains("leave the step out"), "{}", step.stderr);
    let back = scene.run(["rollback", run]);
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert!(!scene.work("one.txt").exists() && scene.read("old.txt") == "old\n");
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let scene = laid_out();
    let seen = scene.run(["run", "plan.yaml", "--staged"]);
    assert_eq!(seen.code, 2, "{}", seen.stderr);
    assert!(seen.stderr.contains("not a terminal") && seen.stderr.contains("--yes"), "{}", seen.stderr);
    assert!(!scene.work("one.txt").exists());
}

#[test]
fn a_long_diff_is_shown_when_it_is_asked_for() {
    let scene = Scene::new();
    scene.file(
        "plan.yaml",
        "task: many lines\nsteps:\n  - {id: one, tool: shell, params: {command: \"seq 500 > many.txt\"}}\n",
    );
    let Some(mut pty) = at_terminal(&scene) else { return };
    pty.expect("(1 path)? [y]es [n]o [d]iff ", SOON).unwrap_or_else(|error| panic!("{error}"));
    assert!(!pty.output().contains("+499"), "{}", pty.output());
    pty.send("d\n").unwrap();
    pty.expect("+499", SOON).unwrap_or_else(|error| panic!("{error}"));
    pty.expect("[d]iff ", SOON).unwrap_or_else(|error| panic!("{error}"));
    pty.send("yes\n").unwrap();
    assert_eq!(pty.wait(SOON).unwrap().and_then(|status| status.code()), Some(0), "{}", pty.output());
    assert!(scene.read("many.txt").ends_with("\n500\n"));
}

#[test]
fn a_run_that_is_killed_leaves_the_folder_as_it_was() {
    let scene = Scene::new();
    scene.file("old.txt", "old\n").file(
        "plan.yaml",
        "task: slow\nsteps:\n  - {id: one, tool: shell, params: {command: \"echo changed > old.txt; echo new > new.txt\"}}\n  \
         - {id: two, tool: shell, params: {command: \"sleep 60\"}, depends_on: [one]}\n",
    );
    let mut command = scene.command(["run", "plan.yaml", "--staged", "--yes", "--jsonl"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let began = Instant::now();
    let seen = lines.any(|line| {
        assert!(began.elapsed() < SOON, "the second step never began");
        line.unwrap().contains("\"step\":\"two\"")
    });
    assert!(seen, "the second step began");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scene.read("old.txt"), "old\n");
    assert!(!scene.work("new.txt").exists());
    let runs: serde_json::Value = serde_json::from_str(&scene.run(["runs", "--json"]).stdout).unwrap();
    let run = runs["runs"].as_array().or(runs.as_array()).unwrap()[0]["id"].as_str().unwrap().to_owned();
    let resumed = scene.run(["resume", &run]);
    assert_eq!(resumed.code, 1, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("run the plan again"), "{}", resumed.stderr);
    let shown = scene.run(["show", &run]).stdout;
    assert!(shown.contains("run the plan again") && !shown.contains("agentic resume"), "{shown}");
}
