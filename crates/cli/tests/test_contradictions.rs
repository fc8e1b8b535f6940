//! `agentic test` where a test that is flaky could hide something else that went wrong. Each case stands beside its control:
//! the same project without the other fault is passed, with one flaky test.

mod scene;

use scene::Scene;
use serde_json::Value;

const FLAKY: &str = "import os\ndef test_flaky(): assert os.environ['AGENTIC_TEST_ATTEMPT'] != '1'\n";

fn scene(files: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new();
    for name in ["HOME", "VIRTUAL_ENV", "CARGO_HOME", "RUSTUP_HOME"] {
        if let Ok(value) = std::env::var(name) {
            scene = scene.variable(name, &value);
        }
    }
    for (name, text) in files {
        scene.file(name, text);
    }
    scene
}

#[track_caller]
fn report(scene: &Scene, code: i32, args: &[&str]) -> Value {
    scene.run(["test", "--json", "--timeout", "4"].iter().chain(args).copied()).ends(code).json()
}

#[track_caller]
fn says(report: &Value, text: &str) {
    let problems = report["suites"][0]["problems"].to_string();
    assert!(report["status"] == "error" && problems.contains(text), "{report:#}");
}

#[track_caller]
fn is_flaky_alone(report: &Value) {
    assert!(report["status"] == "passed" && report["counts"]["flaky"] == 1, "{report:#}");
}

macro_rules! needs {
    ($($program:literal),+) => {
        $(if agentic_testkit::find_program($program).is_none() {
            agentic_testkit::skip!("{} is not installed", $program);
        })+
    };
}

#[test]
fn a_later_command_that_fails_is_seen_when_the_first_one_passes() {
    needs!("pytest", "make");
    let makefile = |second: &str| format!("test:\n\tpytest -q\n\t{second}\n");
    let red = scene(&[("Makefile", &makefile("false")), ("test_a.py", FLAKY)]);
    says(&report(&red, 1, &["--", "make", "test"]), "and no test failed");
    let control = scene(&[("Makefile", &makefile("true")), ("test_a.py", FLAKY)]);
    is_flaky_alone(&report(&control, 0, &["--", "make", "test"]));
}

#[test]
fn a_session_that_fails_is_seen_beside_a_flaky_test() {
    needs!("pytest");
    let red =
        scene(&[("test_a.py", FLAKY), ("conftest.py", "def pytest_sessionfinish(session): session.exitstatus = 1\n")]);
    says(&report(&red, 1, &["--", "pytest"]), "and no test failed");
    is_flaky_alone(&report(&scene(&[("test_a.py", FLAKY)]), 0, &["--", "pytest"]));
}

#[test]
fn a_stop_at_a_failure_that_was_none_leaves_nothing_out() {
    needs!("pytest");
    let module = |second: &str| format!("{FLAKY}def test_second(): assert {second}\n");
    let red = scene(&[("test_a.py", &module("0"))]);
    says(&report(&red, 1, &["--", "pytest", "-x"]), "without a verdict: test_a.py::test_second");
    // Where the first one fails for good, to stop is what was asked for.
    let failing = module("0").replace("!= '1'", "== 'never'");
    let report = report(&scene(&[("test_a.py", &failing)]), 1, &["--", "pytest", "-x"]);
    assert!(
        report["status"] == "failed" && report["suites"][0]["problems"].as_array().unwrap().is_empty(),
        "{report:#}"
    );
}

#[test]
fn what_a_runner_inside_a_command_reports_is_not_dropped() {
    needs!("pytest");
    let red = scene(&[("test_a.py", "import nowhere_to_be_found\n")]);
    says(&report(&red, 1, &["--", "pytest -q; true"]), "could not be collected");
    let none = report(&scene(&[("test_a.py", "")]), 7, &["--", "pytest -q; true"]);
    assert_eq!(none["status"], "no_tests", "{none:#}");
}

#[test]
fn runners_of_one_command_and_runners_inside_tests() {
    needs!("pytest");
    let two = scene(&[("test_a.py", "def test_a(): pass\n"), ("test_b.py", "def test_b(): pass\n")]);
    let report = report(&two, 0, &["--", "pytest -q test_a.py && pytest -q test_b.py"]);
    assert_eq!(
        (&report["status"], report["counts"]["passed"].as_u64()),
        (&Value::from("passed"), Some(2)),
        "{report:#}"
    );
    let inner = "import os, subprocess, sys\n\
                 def test_nested(tmp_path):\n    \
                     (tmp_path / 'test_n.py').write_text('def test_fails(): assert 0')\n    \
                     run = subprocess.run([sys.executable, '-m', 'pytest', '-q', str(tmp_path)], capture_output=True)\n    \
                     assert run.returncode == 1\n    \
                     assert os.environ['AGENTIC_TEST_ATTEMPT'] != '1'\n";
    let nested = self::report(&scene(&[("test_a.py", inner)]), 0, &["--", "pytest", "-q"]);
    is_flaky_alone(&nested);
    assert_eq!(nested["counts"]["total"], 1, "{nested:#}");
}

#[test]
fn fixtures_that_skip_and_folders_in_the_way() {
    let skips = "import unittest\nclass A(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): raise unittest.SkipTest('no database')\n    def test_x(self): pass\nclass B(unittest.TestCase):\n    def test_y(self): pass\n";
    let skipped = report(&scene(&[("test_a.py", skips)]), 0, &[]);
    assert!(skipped["counts"]["skipped"] == 1 && skipped["counts"]["passed"] == 1, "{skipped:#}");
    let module = "import glob, os, unittest\nclass A(unittest.TestCase):\n    def test_x(self):\n        if os.environ['AGENTIC_TEST_ATTEMPT'] == '1': os.makedirs(glob.glob('.agentic-*')[0] + '/select-2.json/deep')\n        self.assertNotEqual(os.environ['AGENTIC_TEST_ATTEMPT'], '1')\n";
    is_flaky_alone(&report(&scene(&[("test_a.py", module)]), 0, &[]));
}

#[test]
fn a_test_that_prints_for_ever_ends_at_its_time() {
    needs!("cargo");
    let manifest = "[package]\nname = 'loud'\nversion = '0.1.0'\nedition = '2021'\n[[test]]\nname = 'loud'\nharness = false\n[workspace]\n";
    let main = "use std::io::Write;\nfn main() { let out = std::io::stdout(); loop { if out.lock().write_all(&[b'\\n'; 65536]).is_err() { return } } }\n";
    let scene = scene(&[("Cargo.toml", manifest), ("src/lib.rs", ""), ("tests/loud.rs", main)]);
    let report = report(&scene, 1, &["--retries", "0"]);
    assert_eq!(report["counts"]["timed_out"], 1, "{report:#}");
}

#[test]
fn a_test_binary_that_cannot_start_is_no_empty_one() {
    needs!("cargo");
    let manifest = "[package]\nname = 'cm'\nversion = '0.1.0'\nedition = '2021'\n[lib]\ndoctest = false\n[workspace]\n";
    let flaky = "#[test] fn flaky() { assert!(std::env::var(\"AGENTIC_TEST_ATTEMPT\").unwrap() != \"1\"); }\n";
    // It ends before `main`, as one does whose shared library is missing.
    let broken = "extern \"C\" fn boom() { std::process::exit(127) }\n#[used] #[link_section = \".init_array\"] static BOOM: extern \"C\" fn() = boom;\n#[test] fn never_runs() { panic!() }\n";
    let red = scene(&[("Cargo.toml", manifest), ("src/lib.rs", ""), ("tests/a.rs", flaky), ("tests/b.rs", broken)]);
    says(&report(&red, 1, &[]), "the tests of cm::b ended with status 127");
    let control = scene(&[("Cargo.toml", manifest), ("src/lib.rs", ""), ("tests/a.rs", flaky)]);
    is_flaky_alone(&report(&control, 0, &[]));
}

#[test]
fn go_stops_at_nothing_and_waits_for_nobody() {
    needs!("go");
    let module = "module m\n\ngo 1.19\n";
    let first = "package m\nimport (\"os\"; \"testing\")\nfunc TestA(t *testing.T) { if os.Getenv(\"AGENTIC_TEST_ATTEMPT\") == \"1\" { t.Fatal(\"unlucky\") } }\n";
    let files = |second: &str| {
        scene(&[("go.mod", module), ("m_test.go", &format!("{first}func TestB(t *testing.T) {{ {second} }}\n"))])
    };
    let red = report(&files("t.Fatal(\"always\")"), 1, &["--", "go", "test", "-failfast", "./..."]);
    assert!(red["counts"]["failed"] == 1 && red["counts"]["flaky"] == 1, "{red:#}");
    is_flaky_alone(&report(&files(""), 0, &["--", "go", "test", "-failfast", "./..."]));
    // Tests that wait for each other's end are not at work: their time does not run.
    let mut parallel = String::from("package m\nimport (\"testing\"; \"time\")\n");
    for name in ["A", "B", "C", "D"] {
        parallel.push_str(&format!(
            "func Test{name}(t *testing.T) {{ t.Parallel(); time.Sleep(1500 * time.Millisecond) }}\n"
        ));
    }
    let waiting = report(&scene(&[("go.mod", module), ("m_test.go", &parallel)]), 0, &["-j", "1"]);
    assert_eq!(waiting["counts"]["passed"], 4, "{waiting:#}");
}

#[test]
fn ctest_loses_nothing_after_a_hang_and_reads_a_reason_of_several_lines() {
    needs!("cmake", "ctest");
    let lists = |tests: &str| {
        let text = format!("cmake_minimum_required(VERSION 3.13)\nproject(ct NONE)\nenable_testing()\n{tests}");
        scene(&[("CMakeLists.txt", &text)])
    };
    let hang = "add_test(NAME a COMMAND sh -c \"test $AGENTIC_TEST_ATTEMPT != 1 || sleep 300\")\nset_tests_properties(a PROPERTIES TIMEOUT 600)\n";
    let red = report(&lists(&format!("{hang}add_test(NAME b COMMAND false)\n")), 1, &["--retries", "1"]);
    assert!(red["counts"]["flaky"] == 1 && red["counts"]["failed"] == 1, "{red:#}");
    let expression = "add_test(NAME a COMMAND echo hello)\nset_tests_properties(a PROPERTIES PASS_REGULAR_EXPRESSION bye)\nadd_test(NAME b COMMAND true)\n";
    let red = report(&lists(expression), 1, &["--retries", "0"]);
    assert!(red["counts"]["failed"] == 1 && red["counts"]["passed"] == 1 && red["status"] == "failed", "{red:#}");
}
