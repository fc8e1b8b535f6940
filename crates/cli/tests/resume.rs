//! `agentic resume`: a run that was killed, interrupted or failed goes on.

mod scene;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use agentic_testkit::wait_until_gone;
use scene::Scene;
use serde_json::Value;

const PLAN: &str = "\
task: four steps
steps:
  - {id: one, tool: shell, params: {command: 'echo ran >> one'}}
  - {id: two, tool: shell, depends_on: [one], params: {command: 'echo ran >> two'}}
  - {id: three, tool: shell, depends_on: [two], params: {command: 'echo ran >> three; while [ -e wait ]; do sleep 0.05; done # MARK'}}
  - {id: four, tool: shell, depends_on: [three], params: {command: 'echo ran >> four; cat one two three'}}
";

/// A run that is at its third step, and its id.
fn waiting(scene: &Scene) -> (Child, String) {
    // The step is found among the processes by it.
    let plan = PLAN.replace("MARK", &scene.path("").display().to_string());
    scene.file("plan.yaml", plan).file("wait", "");
    let mut child = scene
        .command(["run", "plan.yaml", "--jsonl"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let run = lines.find_map(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let there = event["event"] == "call_intended" && event["step"] == "three";
        there.then(|| event["run"].as_str().unwrap().to_owned())
    });
    let Some(run) = run else { panic!("the third step never began: {:?}", child.wait()) };
    (child, run)
}

fn marks(scene: &Scene) -> Vec<String> {
    let read = |name| std::fs::read_to_string(scene.work(name)).unwrap_or_else(|_| "none".into());
    ["one", "two", "three", "four"].map(read).to_vec()
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let scene = Scene::new();
    let (mut child, run) = waiting(&scene);
    // While it lives it is nobody else's.
    scene.run(["resume", &run]).ends(1).says("goes on in another process: agentic (process ").says("hint:");
    scene.run(["runs"]).ends(0).prints(" running ");
    scene.run(["show", &run]).ends(0).prints("It still runs: agentic (process ");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(marks(&scene), ["ran\n", "ran\n", "none", "none"]);
    scene.run(["runs"]).ends(0).prints(" cut off ");
    scene.run(["show", &run]).ends(0).prints("It was cut off; `agentic resume` goes on with it.");
    std::fs::remove_file(scene.work("wait")).unwrap();
    // By the end of its id, as everywhere, and from another folder.
    let mut command = scene.command(["resume", &run[run.len() - 8..]]);
    let output = command.current_dir("/").output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{errors}");
    assert!(said.contains("resumed; steps that completed are not done again"), "{said}");
    assert!(!said.contains("start    one") && said.contains("start    three"), "{said}");
    assert_eq!(marks(&scene), ["ran\n"; 4]);
    scene.run(["resume", &run]).ends(1).says("has succeeded: nothing is left to do");
    let shown = scene.run(["show", &run]);
    shown.ends(0).prints("Resumed ").prints("succeeded");
    assert!(!shown.stdout.contains("cut off"), "{}", shown.stdout);
    assert_eq!(scene.run(["runs", "--json"]).json()[0]["stop_reason"], "succeeded");
    // One run, and taken back as one.
    scene.run(["rollback", &run]).ends(0);
    assert_eq!(marks(&scene), ["none"; 4]);
}

#[test]
fn an_interrupted_run_goes_on() {
    let scene = Scene::new();
    let (mut child, run) = waiting(&scene);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    std::fs::remove_file(scene.work("wait")).unwrap();
    let result = scene.run(["resume", &run, "--json"]).ends(0).json();
    assert_eq!((&result["success"], result["steps"].as_array().unwrap().len()), (&Value::Bool(true), 4), "{result}");
    assert_eq!(result["run_id"], run.as_str());
    assert_eq!(marks(&scene), ["ran\n"; 4]);
}

#[test]
fn what_was_changed_meanwhile_is_named() {
    let scene = Scene::new();
    let (mut child, run) = waiting(&scene);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(scene.work("wait")).unwrap();
    scene.file("one", "mine");
    scene.run(["resume", &run]).ends(1).says("one was changed since").says("--force");
    assert_eq!(marks(&scene), ["mine", "ran\n", "none", "none"]);
    scene.run(["resume", &run, "--force"]).ends(0);
    assert_eq!(marks(&scene), ["mine", "ran\n", "ran\n", "ran\n"]);
    scene.run(["show", &run]).ends(0).prints("forced: ");
}

/// The run goes on with the plan that it began with, and says so where the file has another by now.
#[test]
fn a_plan_file_that_was_changed_is_named() {
    let scene = Scene::new();
    let plan = "task: two steps\nsteps:\n  - {id: one, tool: shell, params: {command: 'echo ran >> one'}}\n  \
                - {id: two, tool: shell, depends_on: [one], params: {command: 'test -e wanted && echo ran >> two'}}\n";
    scene.file("plan.yaml", plan);
    scene.run(["run", "plan.yaml"]).ends(3);
    let run = scene.run(["runs", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    scene.file("plan.yaml", plan.replace("test -e wanted && ", ""));
    scene.run(["resume", &run]).ends(1).says("plan.yaml is another plan by now").says("--force").says("agentic run");
    assert_eq!(marks(&scene)[..2], ["ran\n", "none"], "nothing was done");
    scene.run(["resume", &run, "--force"]).ends(3);
    scene.run(["show", &run]).ends(0).prints("forced: ");
    // The same text again, written anew, is the plan.
    scene.file("plan.yaml", plan).file("wanted", "");
    scene.run(["resume", &run]).ends(0).prints("Changed 1 path: two\n");
    assert_eq!(marks(&scene)[..2], ["ran\n", "ran\n"]);

    // Wherever it is read from, and whatever folder it works in.
    let elsewhere = plan.replacen("steps:", "workspace: ../sub\nsteps:", 1);
    scene.file("plans/other.yaml", &elsewhere).file("sub/plans/other.yaml", "another").file("sub/keep", "");
    for arguments in [&["run", "plans/other.yaml"][..], &["run", "-C", "plans", "other.yaml"]] {
        scene.run(arguments).ends(3);
        let run = scene.run(["runs", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
        scene.file("plans/other.yaml", elsewhere.replace("test -e wanted", "test -e wanted "));
        scene.run(["resume", &run]).ends(1).says("plans/other.yaml is another plan by now");
        scene.file("plans/other.yaml", &elsewhere);
        assert_eq!(scene.run(["resume", &run]).code, 3, "it is the plan again, and fails as before");
    }

    // What is gone, or no file any more, says nothing else.
    for gone in [true, false] {
        std::fs::remove_file(scene.work("wanted")).unwrap();
        scene.run(["run", "plan.yaml"]).ends(3);
        let run = scene.run(["runs", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
        std::fs::remove_file(scene.work("plan.yaml")).unwrap();
        if !gone {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                scene.work("plan.yaml"),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from(0o600),
                0,
            )
            .unwrap();
        }
        scene.file("wanted", "");
        scene.run(["resume", &run]).ends(0);
        if !gone {
            std::fs::remove_file(scene.work("plan.yaml")).unwrap();
        }
        scene.file("plan.yaml", plan);
    }
}

#[test]
fn the_spawner_that_is_killed_ends_the_step_and_the_run_goes_on() {
    let scene = Scene::new();
    let (mut child, run) = waiting(&scene);
    let spawner = children(child.id());
    assert!(!spawner.is_empty(), "a step runs");
    for pid in spawner {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    std::fs::remove_file(scene.work("wait")).unwrap();
    let code = child.wait().unwrap().code();
    let left = wait_until_gone(&format!("done # {}", scene.path("").display()), std::time::Duration::from_secs(20));
    assert!(left.is_empty(), "processes of the step live on: {left:?}");
    if code != Some(0) {
        scene.run(["resume", &run]).ends(0);
    }
    assert_eq!(marks(&scene), ["ran\n"; 4], "the run ended with {code:?}");
}

#[test]
fn what_another_process_writes_meanwhile_waits_for_the_step_and_says_for_whom() {
    let scene = Scene::new();
    let (mut child, _) = waiting(&scene);
    let other = scene
        .command(["exec", "--lang", "bash", "-e", "echo mine > mine; ls"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Told after a second; the step lets go only then.
    let pid = child.id();
    let mut other = other;
    let mut said = BufReader::new(other.stderr.take().unwrap()).lines();
    let told = said.next().and_then(Result::ok);
    // Without an overlay layers are applied at once.
    if let Some(told) = told {
        assert!(told.contains(&format!("finished layers wait for agentic (process {pid})")), "{told}");
        assert!(!scene.work("mine").exists(), "nothing is written beneath a mounted layer");
    }
    std::fs::remove_file(scene.work("wait")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(other.wait().unwrap().code(), Some(0));
    assert_eq!(scene.read("mine"), "mine\n");
    assert_eq!(marks(&scene), ["ran\n"; 4]);
}

#[test]
fn layers_of_killed_processes_are_swept_and_no_others() {
    let scene = Scene::new();
    let (mut child, _) = waiting(&scene);
    let folder = scene.path("state/agentic/layers");
    let age = || {
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let folder = std::fs::File::open(entry.unwrap().path()).unwrap();
            folder.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(120)).unwrap();
            count += 1;
        }
        count
    };
    // A copy lies elsewhere when root works for programs of another user.
    if age() == 0 {
        child.kill().unwrap();
        child.wait().unwrap();
        agentic_testkit::skip!("the layers of this host do not lie in the state folder");
    }
    assert_eq!(scene.run(["gc", "--json"]).ends(0).json()["layers"], 0, "it is somebody's");
    child.kill().unwrap();
    child.wait().unwrap();
    let left = wait_until_gone(&format!("done # {}", scene.path("").display()), std::time::Duration::from_secs(20));
    assert!(left.is_empty(), "processes of the step live on: {left:?}");
    let found = age();
    assert!(found > 0);
    scene.run(["gc", "--dry-run"]).ends(0).prints("that killed processes left would be freed");
    assert_eq!(scene.run(["gc", "--json"]).ends(0).json()["layers"], found);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

fn children(pid: u32) -> Vec<rustix::process::Pid> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)).collect()
}

#[test]
fn a_run_that_is_not_there_is_named() {
    let scene = Scene::new();
    scene.run(["resume", "no-such-run"]).ends(2).says("no run matches `no-such-run`");
    scene.run(["resume", ""]).ends(2).says("the run's id is empty");
    scene.run(["resume"]).ends(2);
    scene.file("plan.yaml", "task: fails\nsteps:\n  - {tool: shell, params: {command: 'exit 1'}}\n");
    scene.run(["run", "plan.yaml"]).ends(1);
    let run = scene.run(["runs", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    std::fs::rename(scene.work(""), scene.path("moved")).unwrap();
    let mut command = scene.command(["resume", &run]);
    let output = command.current_dir("/").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no folder any more"));
}
