//! `agentic migrate --verify`: what does not verify is not applied, the part that does is found, and whatever happens in the
//! middle leaves the tree as it was.

mod migrating;
mod scene;

use migrating::{UNITTEST, breaking, kept, migrate, scene};
use scene::{Scene, Seen, tree};
use serde_json::json;

#[test]
fn what_does_not_verify_is_not_applied() {
    let scene = breaking();
    let before = tree(&scene.work(""));
    let seen = migrate(&scene, &["--verify", "true", "--verify", UNITTEST]);
    seen.ends(1).prints("it does not verify with the change: `python3 -m unittest` exited with status 1");
    seen.prints("test_c.py").prints("no file was changed");
    assert_eq!(tree(&scene.work("")), before);
    let report = migrate(&scene, &["--json", "--verify", UNITTEST]).ends(1).json();
    assert_eq!((&report["status"], &report["verification"]["runs"]), (&json!("red"), &json!(2)), "{report:#}");
    assert_eq!(kept(&report), Vec::<&str>::new());
}

#[test]
fn with_bisect_the_rest_is_kept_and_the_file_named() {
    let scene = breaking();
    let red = scene.read("test_c.py");
    let seen = migrate(&scene, &["--verify", UNITTEST, "--bisect"]);
    seen.ends(3)
        .prints("does not verify: test_c.py: `python3 -m unittest` exited with status 1")
        .prints("KeyError: 'fetch'");
    seen.prints("partly applied: 3 files changed, 1 file left, 3 verifications, in ");
    assert_eq!(scene.read("test_c.py"), red);
    assert!(scene.read("lib.py").contains("load"));
    // Nothing but the file that breaks is left, and it breaks again.
    let before = tree(&scene.work(""));
    let report = migrate(&scene, &["--json", "--verify", UNITTEST, "--bisect"]).ends(1).json();
    assert_eq!(report["rejected"][0]["path"], "test_c.py", "{report:#}");
    assert_eq!(tree(&scene.work("")), before);
}

#[test]
fn a_command_that_changes_the_files_is_told() {
    let files = scene();
    files.file("only.txt", "fetch");
    let mends = "echo more >> only.txt && grep -q more only.txt";
    migrate(&files, &["--verify", mends]).ends(0).prints("note: the commands themselves wrote to only.txt");
    assert_eq!(files.read("only.txt"), "load", "what is applied is the text of the rules");
    // The control: one that writes beside them is not told of.
    let report = migrate(&scene(), &["--json", "--verify", "echo more > other.log"]).ends(0).json();
    assert_eq!(report["verification"]["rewritten"], json!([]), "{report:#}");
}

#[test]
fn verifications_are_bounded() {
    let scene = scene();
    for at in 0..6 {
        scene.file(&format!("part_{at}.txt"), "fetch");
    }
    // Silent, so that nothing points at the two files.
    let seen = migrate(
        &scene,
        &["--verify", "grep -q fetch part_1.txt && grep -q fetch part_4.txt", "--bisect", "--max-verifications", "4"],
    );
    seen.prints("the search ended after 4 verifications, as --max-verifications says");
    assert!(scene.read("part_1.txt") == "fetch" && scene.read("part_4.txt") == "fetch", "what is kept was verified");
    let seen = migrate(&scene, &["--verify", "grep -q fetch part_1.txt && grep -q fetch part_4.txt", "--bisect"]);
    seen.ends(3).prints("does not verify: part_1.txt").prints("does not verify: part_4.txt").prints("2 files left");
    assert_eq!(scene.read("part_0.txt"), "load");
}

#[test]
fn a_tree_that_is_red_before_the_change_is_said_first() {
    let scene = scene();
    scene.file("test_red.py", "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.fail('red')\n");
    let before = tree(&scene.work(""));
    let seen = migrate(&scene, &["--verify", UNITTEST, "--bisect"]);
    seen.ends(1).prints("it does not verify as it is, before any change: `python3 -m unittest` exited with status 1");
    seen.prints("AssertionError: red").prints("no file was changed");
    let report = migrate(&scene, &["--json", "--verify", UNITTEST]).ends(1).json();
    assert_eq!((&report["status"], &report["verification"]["runs"]), (&json!("red_before"), &json!(1)), "{report:#}");
    assert_eq!(tree(&scene.work("")), before);
}

#[test]
fn a_command_that_hangs_or_is_missing_is_red() {
    let scene = scene();
    let seen = migrate(&scene, &["--verify", "grep -q 'def fetch' lib.py || sleep 600", "--timeout", "1"]);
    seen.ends(1).prints("timed out after 1 s");
    migrate(&scene, &["--verify", "no-such-program"])
        .ends(1)
        .prints("before any change: `no-such-program` exited with status 127");
    assert!(scene.read("lib.py").contains("fetch"));
}

#[test]
fn what_verifying_writes_is_not_kept() {
    let scene = scene();
    let line = "mkdir -p build && echo out > build/out && echo '# checked' >> lib.py && python3 -m unittest";
    migrate(&scene, &["--verify", line]).ends(0);
    let mut names: Vec<_> = tree(&scene.work("")).into_keys().map(|path| path.display().to_string()).collect();
    names.sort();
    assert_eq!(names, ["lib.py", "m.yaml", "test_a.py", "test_b.py"]);
    assert_eq!(scene.read("lib.py"), "def load(x):\n    return x + 1\n");
}

#[test]
fn batches_go_on_where_they_were() {
    let scene = scene();
    for at in 0..5 {
        scene.file(&format!("part_{at}.txt"), "fetch\n");
    }
    scene.file(
        "m.yaml",
        "rules: [{id: fetch, files: '*.txt', regex: {pattern: fetch, replacement: fetch2}, idempotent: false}]",
    );
    let report = migrate(&scene, &["--json", "--batch", "2", "--verify", "true"]).ends(0).json();
    assert_eq!((kept(&report).len(), &report["verification"]["runs"]), (5, &json!(4)), "{report:#}");
    assert_eq!(scene.read("part_4.txt"), "fetch2\n", "once each, also where the rule matches its own result");
    // A batch that does not verify ends it, and those before it are applied.
    scene.file("m.yaml", "rules: [{id: fetch, files: '*.txt', regex: {pattern: fetch2, replacement: load}}]");
    let seen = migrate(&scene, &["--batch", "2", "--verify", "grep -q fetch part_3.txt"]);
    seen.ends(3).prints("does not verify with the change").prints("2 files of batches before changed");
    let seen = migrate(&scene, &["--batch", "2", "--verify", "grep -q fetch part_3.txt", "--bisect"]);
    seen.ends(3).prints("does not verify: part_3.txt").prints("partly applied: 2 files changed, 1 file left");
    assert_eq!((scene.read("part_2.txt"), scene.read("part_3.txt")), ("load\n".into(), "fetch2\n".into()));
}

#[test]
fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
    let scene = scene();
    let child = verifying(&scene, "sleep 1 && python3 -m unittest");
    scene.file("test_b.py", format!("{}# mine\n", scene.read("test_b.py")));
    let seen = child.wait();
    seen.ends(1).prints("somebody else changed what was to be migrated: test_b.py; nothing was applied");
    assert!(scene.read("test_b.py").ends_with("# mine\n") && scene.read("lib.py").contains("fetch"));
    migrate(&scene, &["--verify", UNITTEST]).ends(0).prints("3 files changed");
}

#[test]
fn a_program_that_is_killed_leaves_the_tree_as_it_was() {
    let scene = scene();
    let before = tree(&scene.work(""));
    let child = verifying(&scene, "grep -q 'def fetch' lib.py || sleep 600");
    std::thread::sleep(std::time::Duration::from_millis(500));
    child.kill("KILL");
    assert_eq!(tree(&scene.work("")), before);
    let child = verifying(&scene, "grep -q 'def fetch' lib.py || sleep 600");
    std::thread::sleep(std::time::Duration::from_millis(500));
    // Asked to end, it ends in order.
    child.kill("INT").ends(130).prints("cancelled");
    assert_eq!(tree(&scene.work("")), before);
    migrate(&scene, &["--verify", UNITTEST]).ends(0).prints("3 files changed");
}

/// A migration that has verified the tree as it is, and is at verifying the change.
struct Verifying {
    child: std::process::Child,
    errors: std::io::BufReader<std::process::ChildStderr>,
}

fn verifying(scene: &Scene, command: &str) -> Verifying {
    use std::io::BufRead;
    use std::process::Stdio;
    let mut command = scene.command(["migrate", "m.yaml", "--verify", command]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.starts_with("green  before the change"), "{line}");
    Verifying { child, errors }
}

impl Verifying {
    fn wait(mut self) -> Seen {
        use std::io::Read;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.errors.read_to_string(&mut stderr).unwrap();
        Seen { code: self.child.wait().unwrap().code().unwrap_or(-1), stdout, stderr }
    }
    fn kill(self, signal: &str) -> Seen {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
        self.wait()
    }
}

#[test]
fn what_is_compiled_of_the_old_text_is_not_taken_for_the_new() {
    // Of one length, and within one second: Python would take the compiled file for current.
    let scene = breaking();
    scene.file("m.yaml", "rules: [{id: fetch, identifier: {from: fetch, to: latch}}]\n");
    let seen = migrate(&scene, &["--verify", UNITTEST, "--bisect"]);
    seen.ends(3)
        .prints("does not verify: test_c.py")
        .prints("partly applied: 3 files changed, 1 file left, 3 verifications");
    assert!(scene.read("lib.py").contains("latch"));
}

#[test]
fn batches_say_what_was_left() {
    let scene = scene();
    for at in 0..3 {
        scene.file(&format!("part_{at}.txt"), "fetch");
    }
    let none = ["--batch", "1", "--bisect", "--verify", "! grep -rq load --include=*.txt --include=*.py ."];
    migrate(&scene, &none).ends(1).prints("failed: nothing of it verifies, 6 files left").prints("no file was changed");
    let report = migrate(&scene, &[&none[..], &["--json"]].concat()).ends(1).json();
    assert_eq!((&report["status"], kept(&report)), (&json!("red"), vec![]), "{report:#}");
    let one = ["--batch", "1", "--bisect", "--verify", "grep -q fetch part_1.txt"];
    migrate(&scene, &one).ends(3).prints("partly applied: 5 files changed, 1 file left");
}

#[test]
fn seconds_in_which_nothing_seems_to_change_are_waited_for() {
    let scene = scene();
    scene.file("a.txt", "fetch\n");
    // As a tool that compares times in seconds: it looks at the text only where that is newer than what it made of it.
    let check = "import os\nif not os.path.exists('out') or int(os.stat('a.txt').st_mtime) > int(os.stat('out').st_mtime):\n    open('out', 'w').write(open('a.txt').read())\nassert 'fetch' in open('out').read()\n";
    scene.file("check.py", check.replace("'fetch'", "chr(102) + 'etch'"));
    for _ in 0..3 {
        migrate(&scene, &["--verify", "python3 check.py"]).ends(1).prints("does not verify with the change");
    }
}

#[test]
fn a_removed_program_comes_back_as_one() {
    let scene = scene();
    scene.file("run.sh", "#!/bin/sh\nexit 0\n").file("b.txt", "fetch\n");
    std::fs::set_permissions(scene.work("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    scene.file("m.yaml", "rules: [{id: c, command: 'rm run.sh; sed -i s/fetch/load/ b.txt'}]\n");
    migrate(&scene, &["--verify", "./run.sh", "--bisect"]).ends(3).prints("does not verify: run.sh");
    assert_eq!(scene.read("b.txt"), "load\n");
}
