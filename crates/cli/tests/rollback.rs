//! `agentic diff` and `agentic rollback`: undo that covers what a shell did.

mod scene;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use agentic_testkit::{find_program, skip};
use scene::{Scene, Seen};

const PLAN: &str = "\
task: change everything
steps:
  - id: edit
    tool: edit
    params: {path: app.py, old: 'VERSION = 1', new: 'VERSION = 2'}
  - id: shell
    tool: shell
    params: {command: \"rm -r old && mkdir -p new/deep && echo made > new/deep/file && mv data.bin moved.bin && chmod +x run.sh && ln -s app.py link && printf 'third\\\\n' >> notes\"}
    depends_on: [edit]
  - id: last
    tool: file_write
    params: {path: app.py, content: 'VERSION = 3'}
    depends_on: [shell]
";

/// A project, with the plan run over it. What it was before, and the run's id.
fn changed() -> (Scene, Vec<String>, String) {
    let scene = Scene::new();
    scene
        .file("app.py", "# app\nVERSION = 1\n")
        .file("old/a/b", "b")
        .file("old/c", "c")
        .file("notes", "first\nsecond\n");
    scene.file("data.bin", [0, 159, 146, 150]).file("run.sh", "#!/bin/sh\n").file("plan.yaml", PLAN);
    std::fs::set_permissions(scene.work("run.sh"), PermissionsExt::from_mode(0o644)).unwrap();
    let before = listing(&scene);
    scene.run(["run", "plan.yaml"]).ends(0);
    assert_ne!(listing(&scene), before);
    let runs = scene.run(["runs", "--json"]).json();
    let id = runs[0]["id"].as_str().unwrap().to_owned();
    (scene, before, id)
}

/// Every path with its mode and content.
fn listing(scene: &Scene) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), vec![scene.work("")]);
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let what = if found.is_symlink() {
                format!("{:?}", std::fs::read_link(&path).unwrap())
            } else if found.is_dir() {
                next.push(path.clone());
                String::new()
            } else {
                format!("{:?} {:?}", found.modified().unwrap(), std::fs::read(&path).unwrap())
            };
            all.push(format!("{} {:o} {what}", path.display(), found.permissions().mode()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_run_is_taken_back_and_the_rollback_too() {
    let (scene, before, id) = changed();
    let after = listing(&scene);
    scene
        .run(["rollback", &id, "--dry-run"])
        .ends(0)
        .prints("M app.py\n")
        .prints("A old/a/b\n")
        .prints("D link\n")
        .prints("m run.sh\n")
        .prints("Nothing was done.");
    assert_eq!(listing(&scene), after);
    let done = scene.run(["rollback", &id, "--json"]).ends(0).json();
    assert_eq!(listing(&scene), before);
    assert_eq!(
        (&done["run"], &done["dry_run"], done["kept"].as_array().unwrap().len()),
        (&id.as_str().into(), &false.into(), 0)
    );
    scene.run(["rollback", &id]).ends(0).prints("nothing to roll back");
    let back = done["rollback"].as_str().unwrap();
    scene.run(["runs"]).ends(0).prints(&format!("Roll back run {id}"));
    scene.run(["show", back]).ends(0).prints("succeeded");
    scene.run(["rollback", back]).ends(0).prints("Rolled back").prints("takes it back");
    assert_eq!(listing(&scene), after);
}

#[test]
fn a_run_goes_back_to_where_a_step_ended() {
    let (scene, before, id) = changed();
    scene.run(["rollback", &id, "--to", "shell"]).ends(0).prints("M app.py\nRolled back 1 path.");
    assert_eq!(scene.read("app.py"), "# app\nVERSION = 2\n");
    assert!(scene.work("new/deep/file").exists());
    scene.run(["rollback", &id, "--to", "edit"]).ends(0);
    assert_eq!(scene.read("app.py"), "# app\nVERSION = 2\n");
    assert!(scene.work("old/a/b").exists() && !scene.work("new").exists());
    scene.run(["rollback", &id]).ends(0);
    assert_eq!(listing(&scene), before);
}

#[test]
fn work_of_others_is_not_lost() {
    let (scene, before, id) = changed();
    scene.file("app.py", "hours of work");
    let refused = scene.run(["rollback", &id]);
    refused
        .ends(1)
        .says("1 path was changed since by somebody else")
        .says("app.py (was changed since)")
        .says("--force");
    assert!(scene.work("link").is_symlink(), "nothing was done");
    scene
        .run(["rollback", &id, "-n"])
        .ends(1)
        .prints("in the way app.py: was changed since")
        .prints("Refused as it is");
    // The others alone.
    scene.run(["rollback", &id, "old", "./new/../new", "link", "run.sh", "notes", "data.bin", "moved.bin"]).ends(0);
    assert_eq!(scene.read("app.py"), "hours of work");
    assert!(scene.work("old/a/b").exists() && !scene.work("new").exists() && scene.work("data.bin").exists());
    let forced = scene.run(["rollback", &id, "--force", "--json"]).ends(0).json();
    assert_eq!(listing(&scene), before);
    scene.run(["rollback", forced["rollback"].as_str().unwrap()]).ends(0);
    assert_eq!(scene.read("app.py"), "hours of work");
}

#[test]
fn what_changed_is_shown_as_a_diff_that_git_takes() {
    let (scene, _, id) = changed();
    scene.run(["diff", &id, "edit"]).ends(0).prints(
        "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n # app\n-VERSION = 1\n+VERSION = 2\n",
    );
    let whole: Seen = scene.run(["diff", &id]);
    whole.ends(0).prints("old mode 100644\nnew mode 100755\n").prints("new file mode 120000\n").prints("+third\n");
    whole.prints("Binary files a/data.bin and /dev/null differ\n").prints("-VERSION = 1\n+VERSION = 3\n");
    let stat = scene.run(["diff", &id, "--stat"]);
    stat.ends(0)
        .prints("notes")
        .prints("|    1 +\n")
        .prints("link -> app.py")
        .prints("binary, 4 -> 0 bytes")
        .prints("paths changed");
    let json = scene.run(["diff", &id, "shell", "--json"]).ends(0).json();
    assert!(json.as_array().unwrap().iter().any(|one| one["path"].as_str().unwrap().ends_with("/link")), "{json}");
    let Some(git) = find_program("git") else { skip!("no git") };
    let diff = scene.run(["diff", &id, "edit"]).stdout + &scene.run(["diff", &id, "last"]).stdout;
    let last = scene.run(["diff", &id, "last"]).stdout;
    assert!(diff.len() > last.len());
    let mut apply = Command::new(git);
    apply.args(["apply", "--reverse", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    scene.surround(&mut apply);
    let mut apply = apply.spawn().unwrap();
    std::io::Write::write_all(&mut apply.stdin.take().unwrap(), last.as_bytes()).unwrap();
    let output = apply.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scene.read("app.py"), "# app\nVERSION = 2\n");
}

#[test]
fn wrong_input_is_named() {
    let (scene, _, id) = changed();
    scene.run(["rollback", "no-such-run"]).ends(2).says("no-such-run");
    scene.run(["rollback", " "]).ends(2).says("the run's id is empty");
    scene.run(["rollback", &id, "--to", "stepp"]).ends(2).says("has no step `stepp`").says("edit, shell, last");
    scene.run(["diff", &id, "stepp"]).ends(2).says("edit, shell, last");
    scene.run(["rollback", &id, "nowhere"]).ends(2).says("nothing was changed at or beneath").says("nowhere");
    scene.run(["rollback"]).ends(2);
    // What was kept is gone.
    std::fs::remove_dir_all(scene.path("state/agentic/undo")).unwrap();
    let before = listing(&scene);
    scene.run(["rollback", &id]).ends(1).says("what it replaced is not there any more");
    scene.run(["diff", &id]).ends(1).says("what it replaced is not there any more");
    assert_eq!(listing(&scene), before);
}

#[test]
fn what_undo_keeps_is_bounded_and_the_oldest_goes_first() {
    let scene = Scene::new();
    let write = |n: u32| {
        // Bytes that no compression makes small.
        let mut state = u64::from(n) + 1;
        let bytes: Vec<u8> = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        scene.file("data", bytes).file(
            "plan.yaml",
            format!(
                "task: t{n}\nsteps:\n  - id: a\n    tool: file_write\n    params: {{path: data, content: '{n}'}}\n"
            ),
        );
        scene.run(["run", "plan.yaml"]).ends(0);
    };
    (0..8).for_each(write);
    let ids: Vec<String> = scene
        .run(["runs", "--json"])
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();
    scene.run(["gc"]).ends(0).prints("0.0 MB freed");
    let planned = scene.run(["gc", "--max-size", "1", "--dry-run", "--json"]).ends(0).json();
    let done = scene.run(["gc", "--max-size", "1", "--json"]).ends(0).json();
    assert_eq!(planned, done);
    assert!(done["after"].as_u64().unwrap() <= 1 << 20 && done["records"].as_u64().unwrap() >= 3, "{done}");
    scene.run(["diff", &ids[7]]).ends(1).says("what it replaced is not there any more");
    scene.run(["rollback", &ids[0]]).ends(0);
    assert_eq!(std::fs::read(scene.work("data")).unwrap().len(), 200_000);
    scene.run(["show", &ids[7]]).ends(0).prints("succeeded");
    scene.run(["gc", "--max-size", "many"]).ends(2).says("--max-size");
}

#[test]
fn a_run_that_is_killed_while_it_changes_files_is_taken_back_by_the_next() {
    let (scene, before, _) = changed();
    let after = listing(&scene);
    // As the process would leave it: the record of the last call is pending again.
    let undo = scene.path("state/agentic/undo");
    let records: Vec<_> = std::fs::read_dir(&undo)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    let last = records.iter().max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap();
    std::fs::rename(last, undo.join("pending").join(last.file_name().unwrap())).unwrap();
    scene.file("plan.yaml", "task: read\nsteps:\n  - id: a\n    tool: file_read\n    params: {path: app.py}\n");
    scene.run(["run", "plan.yaml"]).ends(0).says("a run was killed while it changed the workspace; put back: 1 path");
    assert_eq!(scene.read("app.py"), "# app\nVERSION = 2\n");
    assert!(after != before && std::fs::read_dir(undo.join("pending")).unwrap().next().is_none());
}
