//! A disk that fails, at each write, sync and rename of a run in turn: the run ends well or says that it did not, what it left can
//! be gone on with, and what comes of it in the end is what an undisturbed run leaves.
//!
//! The failures are made by strace(1), `--inject`, in the engine's own thread; the step's program is not touched.
//! With `AGENTIC_FAULTS_ALL` every call is tried (every `fsync`, if it is `fsync`), otherwise every seventh.

mod scene;

use std::path::Path;
use std::process::{Command, Stdio};

use agentic_testkit::{find_program, skip};
use scene::{Scene, Seen, tree};

const PLAN: &str = "\
task: a few steps
steps:
  - {id: write, tool: file_write, params: {path: new/file, content: written}}
  - {id: shell, tool: shell, depends_on: [write], params: {command: 'echo ran >> mark; mv new moved; rm old; chmod 600 kept; seq 1 9000; for i in $(seq 20); do echo $i > new$i; rm old$i; done'}}
  - {id: edit, tool: edit, depends_on: [shell], params: {path: kept, old: before, new: after}}
";

fn lay_out() -> Scene {
    let scene = Scene::new();
    scene.file("plan.yaml", PLAN).file("old", "old").file("kept", "before\n");
    // Enough for the file system to be synced as a whole.
    for n in 1..=20 {
        scene.file(&format!("old{n}"), format!("old {n}"));
    }
    scene
}

/// The run with the `when`-th of these calls failing; whether that call was made at all.
fn run_with_fault(scene: &Scene, strace: &Path, call: &str, error: &str, when: usize) -> (Seen, bool) {
    let log = scene.path("strace");
    let mut command = Command::new(strace);
    command
        .arg("--output")
        .arg(&log)
        .args(["--trace", call, "--inject"])
        .arg(format!("{call}:error={error}:when={when}"));
    command.arg(agentic_testkit::agentic_binary()).args(["run", "plan.yaml"]);
    scene.surround(&mut command);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seen =
        Seen { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) };
    let log = std::fs::read(&log).unwrap_or_default();
    (seen, text(&log).contains("(INJECTED)"))
}

#[test]
fn a_disk_that_fails_anywhere_loses_nothing() {
    let Some(strace) = find_program("strace") else { skip!("there is no strace, which makes system calls fail") };
    let probe = Command::new(&strace).args(["--trace", "none", "true"]).output().unwrap();
    if !probe.status.success() {
        skip!("strace may not trace here: {}", String::from_utf8_lossy(&probe.stderr));
    }
    let undisturbed = lay_out();
    undisturbed.run(["run", "plan.yaml"]).ends(0);
    let wanted = tree(&undisturbed.work(""));
    let all = std::env::var("AGENTIC_FAULTS_ALL").ok();
    let stride = if all.is_some() { 1 } else { 7 };
    let (mut injected, mut failed) = (0, 0);
    for (call, error) in [
        ("fsync", "EIO"),
        ("fsync", "ENOSPC"),
        ("syncfs", "EIO"),
        ("rename", "EIO"),
        ("renameat2", "ENOSPC"),
        ("write", "ENOSPC"),
        ("pwrite64", "EIO"),
        ("pwrite64", "ENOSPC"),
        ("mkdir", "ENOSPC"),
        ("openat", "EIO"),
    ] {
        if all.as_ref().is_some_and(|only| only != "1" && only != call) {
            continue;
        }
        for when in (1..).step_by(stride) {
            let scene = lay_out();
            let at = format!("{call} number {when} ends with {error}");
            let (seen, made) = run_with_fault(&scene, &strace, call, error, when);
            if !made {
                break;
            }
            injected += 1;
            assert!(!seen.stderr.contains("panicked"), "{at}: {}", seen.stderr);
            let run = scene.run(["runs", "--json"]).json()[0]["id"].as_str().map(str::to_owned);
            if seen.code != 0 {
                failed += 1;
                assert!(!seen.stderr.is_empty() || !seen.stdout.is_empty(), "{at}: it ended with {} unsaid", seen.code);
                let again = match &run {
                    Some(run) => scene.run(["resume", run]),
                    None => scene.run(["run", "plan.yaml"]),
                };
                let done = again.code == 0 || again.stderr.contains("has succeeded");
                assert!(done, "{at}: {}{}\nthen: {}{}", seen.stdout, seen.stderr, again.stdout, again.stderr);
            }
            let found = tree(&scene.work(""));
            assert_eq!(found, wanted, "{at}, exit status {}: {}{}", seen.code, seen.stdout, seen.stderr);
        }
    }
    println!("{injected} failures of the disk, {failed} of which ended the run; all came to the same");
    let one = all.is_some_and(|only| only != "1");
    assert!(one || (injected > 20 && failed > 10), "{injected} failures, {failed} ended the run");
}
