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
