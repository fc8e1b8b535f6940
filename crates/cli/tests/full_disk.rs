//! A disk that is full after so many kilobytes, for each of many sizes: writes come back short and then fail (`ENOSPC`), whoever
//! makes them. The run says so, leaves no step half done, and goes on when there is room.
//!
//! The disks are tmpfs mounts of that size, in a mount namespace of the test's own. `AGENTIC_FAULTS_ALL` tries every page.

mod scene;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use agentic_testkit::{is_root, skip};
use scene::{Scene, tree};

const PLAN: &str = "\
task: a few steps
steps:
  - {id: write, tool: file_write, params: {path: new/file, content: written}}
  - {id: shell, tool: shell, depends_on: [write], params: {command: 'set -e; echo ran >> mark; mv new moved; rm old; chmod 600 kept; seq 1 9000 > numbers; seq 1 9000'}}
  - {id: edit, tool: edit, depends_on: [shell], params: {path: kept, old: before, new: after}}
  - {id: last, tool: shell, depends_on: [edit], params: {command: 'set -e; seq 9000 12000 >> big; ln big twice'}}
";

/// Mounts the disk, runs, makes room and goes on; what is there between the two and in the end is copied out.
const SCRIPT: &str = r#"
set -eu
mount --make-rprivate /
if [ "$WHICH" = work ]; then cp -a "$WORK" "$OUT/first"; fi
mount -t tmpfs -o size=64m,mode=700 tmpfs "$DISK"
if [ "$WHICH" = work ]; then cp -a "$OUT/first/." "$WORK/"; fi
used=$(df -k --output=used "$DISK" | tail -1)
mount -o remount,size=$((used + ROOM))k "$DISK"
cd "$WORK"
set +e
"$AGENTIC" run plan.yaml >"$OUT/stdout" 2>"$OUT/stderr"; echo $? >"$OUT/code"
mount -o remount,size=64m "$DISK"
cp -a "$WORK" "$OUT/between"
"$AGENTIC" runs --json >"$OUT/runs" 2>/dev/null
run=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' "$OUT/runs" | head -1)
if [ "$(cat "$OUT/code")" != 0 ]; then
    if [ -n "$run" ]; then "$AGENTIC" resume "$run" >"$OUT/again" 2>&1; else "$AGENTIC" run plan.yaml >"$OUT/again" 2>&1; fi
    echo $? >"$OUT/code-again"
fi
cp -a "$WORK" "$OUT/end"
"#;

fn lay_out() -> Scene {
    let scene = Scene::new();
    let big: String = (0..9000).map(|n| format!("{n}\n")).collect();
    scene.file("plan.yaml", PLAN).file("old", "old").file("kept", "before\n").file("big", big);
    std::fs::create_dir_all(scene.path("out")).unwrap();
    scene
}

/// The states between two steps of a run that nothing disturbs.
fn boundaries() -> Vec<BTreeMap<PathBuf, String>> {
    let scene = lay_out();
    let mut states = vec![tree(&scene.work(""))];
    for last in ["write", "shell", "edit", "last"] {
        let scene = lay_out();
        scene.run(["run", "plan.yaml"]).ends(0);
        if last != "last" {
            let run = scene.run(["runs", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
            scene.run(["rollback", &run, "--to", last]).ends(0);
        }
        states.push(tree(&scene.work("")));
    }
    states
}

fn fills(which: &str, stride: usize) -> Option<(usize, usize)> {
    let states = boundaries();
    let (mut tried, mut failed, mut in_a_row) = (0, 0, 0);
    for room in (0..).step_by(stride) {
        let scene = lay_out();
        let (work, out) = (scene.work(""), scene.path("out"));
        let disk = if which == "work" { work.clone() } else { scene.path("state") };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]);
        scene.surround(&mut command);
        let (room_text, agentic) = (room.to_string(), agentic_testkit::agentic_binary());
        command.env("ROOM", &room_text).env("WHICH", which).env("AGENTIC", agentic);
        command.env("DISK", &disk).env("WORK", &work).env("OUT", &out);
        let ended = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        if !out.join("code").exists() {
            agentic_testkit::report_skip(&format!("no disk can be mounted here: {said}"));
            return None;
        }
        let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap_or_default();
        let at = format!("{which} with {room} kB of room");
        let code: i32 = read("code").trim().parse().unwrap();
        let told = format!("{}{}{said}", read("stdout"), read("stderr"));
        assert!(!told.contains("panicked"), "{at}: {told}");
        let between = tree(&out.join("between"));
        let state = states.iter().position(|state| *state == between);
        assert!(
            state.is_some(),
            "{at}: no state between two steps, exit status {code}: {told}\n{:#?}",
            names(&between)
        );
        let end = tree(&out.join("end"));
        assert_eq!(names(&end), names(&states[4]), "{at}, exit status {code}: {told}\nthen: {}", read("again"));
        assert_eq!(end, states[4], "{at}, exit status {code}: {told}\nthen: {}", read("again"));
        tried += 1;
        if code == 0 {
            in_a_row += 1;
            // Large enough, and not by luck.
            if in_a_row == 3 {
                break;
            }
        } else {
            (in_a_row, failed) = (0, failed + 1);
            assert!(!told.trim().is_empty(), "{at}: it ended with {code} unsaid");
            assert_eq!(read("code-again").trim(), "0", "{at}: {told}\nthen: {}", read("again"));
        }
        assert!(room < 16_384, "{at}: it never fits");
    }
    println!("{which}: {tried} sizes of the disk, of which {failed} were too small; all came to the same");
    Some((tried, failed))
}

fn names(tree: &BTreeMap<PathBuf, String>) -> Vec<&PathBuf> {
    tree.keys().collect()
}

fn try_disk(which: &str) {
    if !is_root() {
        skip!("only root may mount a disk of its own");
    }
    let stride = if std::env::var_os("AGENTIC_FAULTS_ALL").is_some() { 4 } else { 48 };
    if let Some((tried, failed)) = fills(which, stride) {
        assert!(tried > 4 && failed > 2, "{tried} sizes, {failed} too small");
    }
}

#[test]
fn a_full_state_disk_leaves_the_workspace_between_two_steps() {
    try_disk("state");
}

#[test]
fn a_full_workspace_disk_leaves_the_workspace_between_two_steps() {
    try_disk("work");
}
