//! `agentic migrate`: what is applied, what is left alone, and what is said. The projects are Python's, tested by unittest,
//! which every machine with Python has.

mod migrating;
mod scene;

use migrating::{RENAME, UNITTEST, breaking, kept, migrate, scene};
use scene::tree;
use serde_json::{Value, json};

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

#[test]
fn what_is_left_is_told_with_its_reason() {
    let scene = scene();
    let rules = json!({"rules": [
        {"id": "break", "language": "python", "files": "lib.py", "regex": {"pattern": "return", "replacement": "return return"}},
        {"id": "again", "files": "test_a.py", "regex": {"pattern": "fetch", "replacement": "fetched"}},
    ]});
    scene.file("m.yaml", rules.to_string());
    let seen = migrate(&scene, &[]);
    seen.ends(0).prints("left: lib.py:2: rule break was not applied: the file would no longer parse");
    seen.prints("changes its own result again: rule again in test_a.py:6: fetch → fetched").prints("M test_a.py");
    assert!(scene.read("lib.py").contains("    return x"), "as it was");
}

#[test]
fn what_somebody_saves_while_a_command_of_the_rules_runs_is_not_overwritten() {
    let scene = scene();
    scene.file("a.txt", "fetch\n").file("go.txt", "wait\n");
    // The control: undisturbed it is applied.
    let marker = format!("agentic-marker-{}", std::process::id());
    let rules =
        |wait: &str| format!("rules: [{{id: c, command: \"sed -i s/fetch/load/ a.txt; {wait} : {marker}\"}}]\n");
    scene.file("m.yaml", rules(""));
    migrate(&scene, &["--dry-run"]).ends(0).prints("+load");
    scene.file("m.yaml", rules("until grep -q go go.txt; do sleep 0.05; done;"));
    let child = std::thread::scope(|threads| {
        let running = threads.spawn(|| migrate(&scene, &[]));
        let shell = |id: &u32| {
            std::fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| line.starts_with(b"/") && line.windows(3).any(|part| part == b"-c\0"))
        };
        while !agentic_testkit::processes_with_marker(&marker).iter().any(shell) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        scene.file("a.txt", "fetch\nan hour of my work\n");
        scene.file("go.txt", "go\n");
        running.join().unwrap()
    });
    // A conflict is answered by doing it again, over what is there now.
    child.ends(0).prints("M a.txt");
    assert_eq!(scene.read("a.txt"), "load\nan hour of my work\n");
}

#[test]
fn links_are_left_alone() {
    let scene = scene();
    scene.file("kept.txt", "keep me\n").file(".env", "SECRET=1\n").file("plain.txt", "fetch\n");
    for (link, target) in [("link.txt", "kept.txt"), ("env.txt", ".env"), ("none.txt", "sub/none.txt")] {
        std::os::unix::fs::symlink(target, scene.work(link)).unwrap();
    }
    let line = "for f in link env none; do rm $f.txt; echo other > $f.txt; done; sed -i s/fetch/load/ plain.txt";
    scene.file("m.yaml", format!("rules: [{{id: c, command: \"{line}\"}}]\n"));
    let seen = migrate(&scene, &["--approve", "deny migrate path=.env"]);
    seen.ends(0).prints("link.txt").prints("symbolic link").prints("M plain.txt");
    assert_eq!((scene.read("kept.txt"), scene.read(".env")), ("keep me\n".into(), "SECRET=1\n".into()));
    assert!(scene.work("link.txt").is_symlink() && !scene.work("sub").exists());
    assert_eq!(scene.read("plain.txt"), "load\n", "the control: what is no link is taken up");
}

#[test]
fn the_rules_file_is_never_rewritten() {
    let scene = scene();
    let rules = scene.read("m.yaml");
    let mut command = scene.command(["migrate", "work/m.yaml", "-C", "work"]);
    let output = command.current_dir(scene.path("")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(scene.read("m.yaml"), rules);
    assert!(scene.read("lib.py").contains("load"), "the control");
}

#[test]
fn seconds_are_numbers() {
    for bad in ["inf", "nan", "soon"] {
        migrate(&scene(), &["--timeout", bad]).ends(2).says("it is no number of seconds");
    }
}
