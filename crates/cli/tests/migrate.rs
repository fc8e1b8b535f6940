//! `agentic migrate`: what is applied, what is not, and what is said. The projects are Python's, tested by unittest, which
//! every machine with Python has.

mod scene;

use scene::{Scene, Seen, tree};
use serde_json::{Value, json};

const UNITTEST: &str = "python3 -m unittest";
const RENAME: &str = "rules: [{id: fetch, identifier: {from: fetch, to: load}}]\n";

/// A scene with a module of its own and tests that use it.
fn scene() -> Scene {
    let mut scene = Scene::new();
    if let Ok(home) = std::env::var("HOME") {
        scene = scene.variable("HOME", &home);
    }
    scene.file("lib.py", "def fetch(x):\n    return x + 1\n").file("m.yaml", RENAME);
    for name in ["a", "b"] {
        scene.file(&format!("test_{name}.py"), test(name, "self.assertEqual(fetch(1), 2)"));
    }
    scene
}

fn test(name: &str, line: &str) -> String {
    format!(
        "import unittest\nfrom lib import *\n\nclass T(unittest.TestCase):\n    def test_{name}(self):\n        {line}\n"
    )
}

/// The same with a test that the rename breaks.
fn breaking() -> Scene {
    let scene = scene();
    scene.file("test_c.py", test("c", "fetch = 3; self.assertEqual(locals()['fetch'], 3)"));
    scene
}

fn migrate(scene: &Scene, args: &[&str]) -> Seen {
    scene.run(["migrate", "m.yaml"].iter().chain(args))
}

fn kept(report: &Value) -> Vec<&str> {
    let files = report["files"].as_array().unwrap().iter().filter(|file| file["kept"] == true);
    files.map(|file| file["path"].as_str().unwrap()).collect()
}

#[test]
fn a_rename_is_applied_and_a_second_run_changes_nothing() {
    let scene = scene();
    let seen = migrate(&scene, &["--verify", UNITTEST]);
    seen.ends(0).prints("rule fetch: 3 matches in 3 files\n").prints("M lib.py\nM test_a.py\nM test_b.py\n");
    seen.prints("applied: 3 files changed, 2 verifications, in ").says("green  before the change");
    assert_eq!(scene.read("lib.py"), "def load(x):\n    return x + 1\n");
    assert!(scene.read("test_b.py").contains("load(1)"));
    assert_eq!(scene.read("m.yaml"), RENAME, "the rules are no part of what they rewrite");
    let before = tree(&scene.work(""));
    let again = migrate(&scene, &["--verify", UNITTEST]);
    again.ends(0).prints("rule fetch: matches nothing\n").prints("no file was changed\n");
    assert_eq!(tree(&scene.work("")), before);
    assert!(again.stderr.is_empty(), "nothing is verified: {}", again.stderr);
}

#[test]
fn a_migration_is_one_run_that_can_be_taken_back() {
    let scene = scene();
    let before = tree(&scene.work(""));
    let report = migrate(&scene, &["--json"]).ends(0).json();
    assert_eq!((&report["status"], kept(&report).len(), &report["verification"]), (&json!("applied"), 3, &Value::Null));
    assert_eq!(report["files"][0]["matches"], json!({"fetch": 1}));
    let run = report["run_id"].as_str().unwrap();
    scene.run(["diff", run]).ends(0).prints("+def load(x):");
    scene.run(["rollback", run]).ends(0);
    assert_eq!(tree(&scene.work("")), before);
}

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
fn bad_input_is_told() {
    let scene = scene();
    scene.file("bad.yaml", "rules:\n  - {id: a, identifier: {from: old, to: new-name}}\n");
    let bad = scene.run(["migrate", "bad.yaml"]);
    bad.ends(2).says("bad.yaml:2: rule 1 (`a`): `identifier.to`: \"new-name\" is no identifier");
    scene.run(["migrate", "none.yaml"]).ends(2).says("failed to read the rules none.yaml: No such file");
    scene.file("latin.yaml", b"rules: [{id: \xe9}]");
    scene.run(["migrate", "latin.yaml"]).ends(2).says("it is not UTF-8 (byte 13)");
    migrate(&scene, &["--bisect"]).ends(2).says("--verify");
    migrate(&scene, &["--verify", " "]).ends(2).says("--verify is empty");
    migrate(&scene, &["--verify", "true", "--timeout", "0"])
        .ends(2)
        .prints("`timeout` must be a number of seconds above 0");
    migrate(&scene, &["--dry-run", "--batch", "1"]).ends(2);
    migrate(&scene, &["-C", "nowhere"]).ends(2).says("nowhere");
    assert!(scene.read("lib.py").contains("fetch"));
}

#[test]
fn rules_that_match_nothing_are_named() {
    let scene = scene();
    std::fs::remove_file(scene.work("m.yaml")).unwrap();
    let rules = "rules:\n  - {id: fetch, identifier: {from: fetch, to: load}}\n  - {id: gone, identifier: {from: gone, to: went}}\n";
    let seen = scene.run_with(["migrate", "-"], rules.as_bytes());
    seen.ends(0).prints("rule fetch: 3 matches in 3 files").prints("rule gone: matches nothing");
    let rules = "rules: [{id: gone, identifier: {from: gone, to: went}}]";
    scene.run_with(["migrate", "-", "--verify", "false"], rules.as_bytes()).ends(0).prints("no file was changed");
}

#[test]
fn a_dry_run_shows_the_diff_and_writes_nothing() {
    let scene = breaking();
    let before = tree(&scene.work(""));
    let seen = migrate(&scene, &["--dry-run"]);
    seen.ends(0).prints("--- a/lib.py\n+++ b/lib.py\n@@ -1,2 +1,2 @@\n-def fetch(x):\n+def load(x):\n");
    seen.says("4 files would be changed").says("nothing was applied");
    std::fs::write(scene.path("diff"), &seen.stdout).unwrap();
    let kept = migrate(&scene, &["--dry-run", "--verify", UNITTEST, "--bisect"]);
    kept.ends(3).prints("+++ b/lib.py").says("does not verify: test_c.py");
    assert!(!kept.stdout.contains("b/test_c.py"), "{}", kept.stdout);
    assert_eq!(tree(&scene.work("")), before);
    // What is shown is a diff that applies.
    scene.run(["edit", "--patch", scene.path("diff").to_str().unwrap()]).ends(0);
    assert!(scene.read("lib.py").contains("load"));
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
fn other_bytes_stay() {
    let scene = scene();
    scene
        .file("crlf.py", "\u{feff}fetch = 1\r\nx = fetch")
        .file("latin.py", b"fetch = '\xe9'\n")
        .file("zero.py", b"fetch\0");
    scene.file(".hidden.py", "fetch").file(".gitignore", "out/\n").file("out/made.py", "fetch");
    let seen = migrate(&scene, &[]);
    seen.ends(0).prints("passed over: 2 files that are no UTF-8 text").prints("4 files changed");
    assert_eq!(scene.read("crlf.py"), "\u{feff}load = 1\r\nx = load");
    assert_eq!(std::fs::read(scene.work("latin.py")).unwrap(), b"fetch = '\xe9'\n");
    assert_eq!((scene.read(".hidden.py"), scene.read("out/made.py")), ("fetch".into(), "fetch".into()));
}

#[test]
fn a_file_keeps_its_permission_bits() {
    use std::os::unix::fs::PermissionsExt;
    let scene = scene();
    scene.file("run.py", "#!/usr/bin/env python3\nfetch()\n");
    std::fs::set_permissions(scene.work("run.py"), PermissionsExt::from_mode(0o755)).unwrap();
    migrate(&scene, &[]).ends(0);
    assert_eq!(scene.work("run.py").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert!(scene.read("run.py").ends_with("load()\n"));
}

#[test]
fn commands_run_between_the_rules() {
    let scene = scene();
    scene.file("old.txt", "old\n").file("bytes.bin", b"\0").file("gone/x.txt", "x\n");
    // Its own rules before it are seen, and the rules after it see what it did.
    let command = "sed -i s/load/read/ lib.py test_*.py && echo fetch > new.txt && chmod 755 new.txt && rm -r old.txt gone && printf 'z\\0' > bytes.bin && touch .h";
    let rules = json!({"rules": [
        {"id": "fetch", "identifier": {"from": "fetch", "to": "load"}},
        {"id": "sed", "command": command},
        {"id": "read", "files": "*.txt", "regex": {"pattern": "fetch", "replacement": "take"}},
    ]});
    scene.file("m.yaml", rules.to_string());
    let before = tree(&scene.work(""));
    let report = migrate(&scene, &["--json", "--dry-run"]).ends(0).json();
    assert_eq!(tree(&scene.work("")), before);
    assert_eq!(report["rules"][1]["matches"], 6, "{report:#}");
    let seen = migrate(&scene, &["--verify", UNITTEST]);
    seen.ends(0).prints("rule sed: changed 6 files").prints("D gone/x.txt").prints("A new.txt").prints("D old.txt");
    seen.prints("left: bytes.bin: ").prints("and it is no text").prints("left: .h: ").prints("hidden or ignored");
    assert_eq!(
        (scene.read("lib.py"), scene.read("new.txt")),
        ("def read(x):\n    return x + 1\n".into(), "take\n".into())
    );
    assert!(!scene.work("old.txt").exists() && !scene.work(".h").exists());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(scene.work("new.txt").metadata().unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_command_that_fails_changes_nothing() {
    let scene = scene();
    scene.file(
        "m.yaml",
        "rules: [{identifier: {from: fetch, to: load}}, {id: broken, command: 'echo why >&2; exit 3'}]",
    );
    let before = tree(&scene.work(""));
    let seen = migrate(&scene, &[]);
    seen.ends(1).prints("the command of rule `broken` failed").prints("exited with status 3").prints("why");
    assert_eq!(tree(&scene.work("")), before);
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
fn rules_of_approval_and_protected_paths_hold() {
    let scene = scene();
    migrate(&scene, &["--approve", "deny migrate"]).ends(4).prints("denied");
    migrate(&scene, &["--approve", "deny shell command=rm *", "--verify", "true && rm x"]).ends(4).prints("denied");
    migrate(&scene, &["--approve", "deny migrate path=test_*"]).ends(4).prints("denied");
    migrate(&scene, &["--verify", "mkfs /dev/sda"]).ends(4).prints("blocked");
    assert!(scene.read("lib.py").contains("fetch"));
    scene.file("conftest/Makefile", "fetch:\n");
    migrate(&scene, &["--approve", "ask migrate"]).ends(4);
    migrate(&scene, &["--approve", "ask migrate", "--yes"]).ends(0);
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
fn a_report_fits_its_schema() {
    let path = agentic_testkit::project_root().join("docs/reference/migration.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut report = migrate(&breaking(), &["--json", "--verify", UNITTEST, "--bisect"]).ends(3).json();
    let wrong: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new(), "{report:#}");
    // The control: what is no report does not fit.
    report["status"] = json!("bored");
    assert!(!validator.is_valid(&report));
}
