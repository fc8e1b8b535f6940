//! `agentic test` with each runner that it knows, on small projects of ours: every verdict, twice, at one worker and at
//! eight. A runner that is not installed is a skip that says so.

mod junit;
mod scene;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use scene::Scene;
use serde_json::Value;

/// Seconds that a test of a sample may take: its hanging one costs them three times.
const TIMEOUT: &str = "5";
const STATUSES: [&str; 7] = ["passed", "failed", "skipped", "flaky", "timed_out", "crashed", "leaky"];

fn samples() -> PathBuf {
    agentic_testkit::project_root().join("crates/cli/tests/runners")
}

/// Node packages that `cargo xtask test` installs.
fn node_modules() -> Option<PathBuf> {
    Some(agentic_testkit::project_root().join("target/javascript/node_modules")).filter(|path| path.is_dir())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The ids of a report by status, sorted.
fn verdicts(report: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = STATUSES.iter().map(|status| (*status, Vec::new())).collect();
    for test in report["tests"].as_array().unwrap() {
        found.get_mut(test["status"].as_str().unwrap()).unwrap().push(test["id"].as_str().unwrap());
    }
    found.values_mut().for_each(|ids| ids.sort_unstable());
    found
}

fn expected(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap()
}

fn expected_verdicts(expected: &Value) -> BTreeMap<&str, Vec<&str>> {
    let ids = |status: &str| {
        let mut ids: Vec<&str> = expected[status].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        ids.sort_unstable();
        ids
    };
    STATUSES.iter().map(|status| (*status, ids(status))).collect()
}

/// A scene with a sample as its workspace.
fn scene_of(sample: &str) -> Scene {
    let mut scene = Scene::new();
    // Toolchains are found in the home of whoever runs this test.
    for name in ["HOME", "VIRTUAL_ENV", "CARGO_HOME", "RUSTUP_HOME"] {
        if let Ok(value) = std::env::var(name) {
            scene = scene.variable(name, &value);
        }
    }
    copy(&samples().join(sample), &scene.work(""));
    scene
}

/// Every verdict of a sample is right, twice in a row, at one worker and at eight; the JUnit report says the same.
fn every_verdict(sample: &str, runner: &str, prepare: impl Fn(&Scene)) {
    let wanted = expected(&samples().join(sample));
    let mut wanted = expected_verdicts(&wanted);
    if runner == "cargo nextest" {
        wanted.values_mut().for_each(|ids| ids.retain(|id| !id.starts_with("doc ")));
    }
    // All four combinations when asked for: `AGENTIC_LONG=1`; else the second pass is the one with more workers.
    let passes: &[&[&str]] =
        if std::env::var_os("AGENTIC_LONG").is_some() { &[&["1", "1"], &["8", "8"]] } else { &[&["1", "8"]] };
    for passes in passes {
        let scene = scene_of(sample);
        prepare(&scene);
        for (pass, workers) in passes.iter().enumerate() {
            let junit = scene.path("report.xml");
            let args = ["test", "--json", "--timeout", TIMEOUT, "--workers", *workers, "--junit"];
            let seen = scene.run(args.iter().copied().chain([junit.to_str().unwrap()]));
            let report = seen.ends(1).json();
            let told = format!("{runner}, {workers} workers, pass {pass}: {report:#}");
            assert_eq!(verdicts(&report), wanted, "{told}");
            assert_eq!(report["status"], "failed", "{told}");
            let suites = report["suites"].as_array().unwrap();
            assert_eq!((suites.len(), suites[0]["runner"].as_str()), (1, Some(runner)), "{told}");
            assert_eq!(suites[0]["problems"], serde_json::json!([]), "{told}");
            for status in STATUSES {
                assert_eq!(report["counts"][status], wanted[status].len(), "{told}");
            }
            attempts_are_told(&report, &told);
            junit::check(&std::fs::read_to_string(junit).unwrap(), &report);
            assert!(leftovers(&scene.work("")).is_empty(), "{:?}", leftovers(&scene.work("")));
        }
    }
}

/// What each kind of test says of its attempts.
fn attempts_are_told(report: &Value, told: &str) {
    for test in report["tests"].as_array().unwrap() {
        let statuses: Vec<&str> =
            test["attempts"].as_array().unwrap().iter().map(|attempt| attempt["status"].as_str().unwrap()).collect();
        let fits = match test["status"].as_str().unwrap() {
            "passed" | "leaky" => statuses == ["passed"],
            "skipped" => statuses.is_empty(),
            "flaky" => statuses == ["failed", "passed"],
            "failed" => statuses == ["failed"; 3] && test["message"].as_str().is_some_and(|said| !said.is_empty()),
            "timed_out" => statuses == ["timed_out"; 2],
            "crashed" => statuses == ["crashed"; 3] && test["message"].as_str().is_some_and(|said| !said.is_empty()),
            _ => false,
        };
        assert!(fits, "{statuses:?} of {test:#} in {told}");
        let left = test["left_processes"].as_array().unwrap();
        assert_eq!(!left.is_empty(), test["status"] == "leaky", "{test:#}");
    }
}

/// Folders of ours that should be gone.
fn leftovers(workspace: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".agentic")).collect()
}

/// Shows a scene's tests the packages that are installed elsewhere.
fn link_modules(scene: &Scene, modules: &Path) {
    std::os::unix::fs::symlink(modules, scene.work("node_modules")).unwrap();
    scene.user_settings(&format!("[sandbox]\nread_only = [{:?}]\n", modules.parent().unwrap()));
}

macro_rules! needs {
    ($($program:literal),+) => {
        $(if agentic_testkit::find_program($program).is_none() {
            agentic_testkit::skip!("{} is not installed", $program);
        })+
    };
}

#[test]
fn pytest() {
    needs!("pytest");
    every_verdict("pytest", "pytest", |_| ());
}

#[test]
fn unittest() {
    needs!("python3");
    every_verdict("unittest", "unittest", |_| ());
}

#[test]
fn cargo_test() {
    needs!("cargo");
    every_verdict("cargo", "cargo test", |_| ());
}

#[test]
fn cargo_nextest() {
    needs!("cargo", "cargo-nextest");
    // The same project; an empty file of its settings says that it is nextest's, which runs no doctests.
    every_verdict("cargo", "cargo nextest", |scene| {
        scene.file(".config/nextest.toml", "");
    });
}

#[test]
fn go_test() {
    needs!("go");
    every_verdict("go", "go test", |_| ());
}

#[test]
fn bats() {
    needs!("bats", "parallel");
    every_verdict("bats", "bats", |_| ());
}

#[test]
fn ctest() {
    needs!("ctest", "cc");
    every_verdict("ctest", "ctest", |_| ());
}

#[test]
fn node_test() {
    needs!("node");
    every_verdict("node", "node --test", |_| ());
}

#[test]
fn jest() {
    let Some(modules) = node_modules() else { agentic_testkit::skip!("jest is not installed in target/javascript") };
    every_verdict("jest", "jest", |scene| link_modules(scene, &modules));
}

#[test]
fn vitest() {
    let Some(modules) = node_modules() else { agentic_testkit::skip!("vitest is not installed in target/javascript") };
    every_verdict("vitest", "vitest", |scene| link_modules(scene, &modules));
}

#[test]
fn a_monorepo_has_several_runners() {
    needs!("pytest", "python3", "node");
    let scene = scene_of("monorepo");
    let report = scene.run(["test", "--json", "--timeout", TIMEOUT]).ends(1).json();
    let runners: Vec<(&str, &str)> = report["suites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|suite| (suite["folder"].as_str().unwrap(), suite["runner"].as_str().unwrap()))
        .collect();
    assert_eq!(runners, [("api", "pytest"), ("tools", "unittest"), ("web", "node --test")], "{report:#}");
    // The samples name each test after its folder.
    let expected = expected(&samples().join("monorepo"));
    for status in STATUSES {
        let mut found: Vec<String> = report["tests"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|test| test["status"] == status)
            .map(|test| {
                let folder = runners[test["suite_index"].as_u64().unwrap() as usize].0;
                format!("{folder}/{}", test["id"].as_str().unwrap())
            })
            .collect();
        found.sort();
        assert_eq!(found, expected_verdicts(&expected)[status], "{status}: {report:#}");
    }
    assert_eq!(report["tests"][0]["file"], "api/tests/test_api.py", "relative to the workspace");
}

#[test]
fn make_is_one_test() {
    needs!("make");
    // That a recipe was killed is not in the status of make, which is 2 for every failure.
    for (target, verdict) in expected_of_make() {
        // Its hanging target is a matter of `--timeout`, which counts for the whole command then.
        let scene = scene_of("make");
        let args = ["test", "--json", "--retries", "1", "--timeout", "3", "--"];
        let words: Vec<&str> = target.split(' ').collect();
        let report = scene.run(args.iter().copied().chain(words)).json();
        assert_eq!(report["tests"][0]["status"], verdict, "{target}: {report:#}");
        assert_eq!(report["counts"]["total"], 1);
    }
}

fn expected_of_make() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(samples().join("make/targets.json")).unwrap();
    let targets: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    targets.into_iter().collect()
}
