//! Seeded flakes: a suite whose tests fail at random at their first attempt, run many times. Which of them will fail is
//! known from the seed, so that every verdict can be checked. `cargo xtask flakes` runs it 200 times, and says what it took
//! beside pytest's own rerun plugin, where that is installed.

mod scene;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use scene::Scene;
use serde_json::Value;

const TESTS: u32 = 40;

/// A test fails at the first attempt when a number of its seed and name says so; each attempt says in which process it is.
const MODULE: &str = r#"
import hashlib, os, pytest

SEED = open("seed.txt").read().strip()
# What the rerun plugin is given to pass by: it stays in the process.
SEEN = set() if os.environ.get("FLAKE_PLUGIN") else None

@pytest.mark.parametrize("number", range(40))
def test_it(number):
    unlucky = hashlib.sha256(f"{SEED} {number}".encode()).digest()[0] < 20
    first = os.environ.get("AGENTIC_TEST_ATTEMPT", "1") == "1"
    if SEEN is not None:
        first = number not in SEEN
        SEEN.add(number)
    assert not (unlucky and first), "unlucky"
"#;

/// The tests that fail at their first attempt under this seed.
fn unlucky(scene: &Scene, seed: u32) -> BTreeSet<String> {
    let script = format!(
        "import hashlib\nfor n in range({TESTS}):\n    if hashlib.sha256(f'{seed} {{n}}'.encode()).digest()[0] < 20: print(n)"
    );
    let output = Command::new("python3").args(["-c", &script]).current_dir(scene.work("")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(|number| format!("test_flakes.py::test_it[{number}]")).collect()
}

#[test]
fn seeded_flakes_are_found_and_nothing_else() {
    let Some(pytest) = agentic_testkit::find_program("pytest") else {
        agentic_testkit::skip!("pytest is not installed");
    };
    let runs: u32 = std::env::var("AGENTIC_FLAKE_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(3);
    let mut scene = Scene::new();
    for name in ["HOME", "VIRTUAL_ENV"] {
        if let Ok(value) = std::env::var(name) {
            scene = scene.variable(name, &value);
        }
    }
    scene.file("test_flakes.py", MODULE).file("pytest.ini", "[pytest]\n");
    let plugin = std::fs::canonicalize(pytest.parent().unwrap()).is_ok_and(|folder| {
        let look = Command::new(folder.join("python3")).args(["-c", "import pytest_rerunfailures"]).output();
        look.is_ok_and(|output| output.status.success())
    });
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut flakes = 0;
    for seed in 0..runs {
        scene.file("seed.txt", seed.to_string());
        let wanted = unlucky(&scene, seed);
        let began = Instant::now();
        let report = scene.run(["test", "--json"]).ends(0).json();
        ours.push(began.elapsed());
        let flaky: BTreeSet<String> = report["tests"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|test| test["status"] == "flaky")
            .map(|test| test["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(flaky, wanted, "seed {seed}");
        flakes += wanted.len();
        assert_eq!(report["counts"]["passed"], u64::from(TESTS) - wanted.len() as u64);
        second_attempts(&report);
        if plugin && runs > 3 {
            let began = Instant::now();
            let mut rerun = Command::new(&pytest);
            rerun.args(["-q", "--reruns", "2"]).env("FLAKE_PLUGIN", "1").current_dir(scene.work(""));
            assert!(rerun.output().unwrap().status.success(), "the plugin's run of seed {seed}");
            theirs.push(began.elapsed());
        }
    }
    if runs > 3 {
        println!("{runs} runs of {TESTS} tests, {flakes} flakes, all found and no other");
        println!("agentic test: median {:?} a run", median(&mut ours));
        if theirs.is_empty() {
            println!("pytest-rerunfailures is not installed: nothing to compare with");
        } else {
            println!("pytest --reruns 2 (in one process, without a sandbox): median {:?} a run", median(&mut theirs));
        }
    }
}

/// A flaky test has one attempt that failed and one that passed. Its second was in another process: in the first one the
/// variable that lets it pass does not change.
fn second_attempts(report: &Value) {
    for test in report["tests"].as_array().unwrap().iter().filter(|test| test["status"] == "flaky") {
        let attempts = test["attempts"].as_array().unwrap().iter().map(|attempt| attempt["status"].as_str().unwrap());
        assert_eq!(attempts.collect::<Vec<_>>(), ["failed", "passed"], "{test:#}");
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
