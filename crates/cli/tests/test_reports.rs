//! `agentic test` with what a project may do to it: no tests, lies, hangs, noise; and what its flags decide. The projects
//! are unittest's, which every machine with Python has.

mod scene;

use scene::Scene;
use serde_json::{Value, json};

const PASSES: &str = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n";

/// A scene with one module of tests.
fn scene(module: &str) -> Scene {
    let mut scene = Scene::new();
    for name in ["HOME", "VIRTUAL_ENV"] {
        if let Ok(value) = std::env::var(name) {
            scene = scene.variable(name, &value);
        }
    }
    scene.file("test_it.py", module);
    scene
}

/// A module with these lines in the body of a test `test_it`, after one that passes.
fn body(lines: &str) -> String {
    format!(
        "import glob, os, sys, time, json, unittest\nEVENTS = glob.glob('.agentic-*')[0] + '/events-1.jsonl'\n{PASSES}    def test_it(self):\n        {lines}\n"
    )
}

fn report(scene: &Scene, code: i32, args: &[&str]) -> Value {
    let seen = scene.run(["test", "--json"].iter().chain(args).copied());
    seen.ends(code).json()
}

fn status_of(report: &Value, name: &str) -> String {
    let test = report["tests"].as_array().unwrap().iter().find(|test| test["name"] == name);
    test.map_or_else(|| panic!("no {name} in {report:#}"), |test| test["status"].as_str().unwrap().to_owned())
}

fn problems(report: &Value) -> Vec<String> {
    let suites = report["suites"].as_array().unwrap().iter();
    suites.flat_map(|suite| suite["problems"].as_array().unwrap()).map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[test]
fn green_is_green() {
    let scene = scene(PASSES);
    let report = report(&scene, 0, &[]);
    assert_eq!((&report["status"], &report["counts"]["passed"]), (&json!("passed"), &json!(1)), "{report:#}");
    assert_eq!(report["suites"][0]["reason"], "the tests use unittest only");
    assert_eq!((&report["tests"][0]["file"], &report["tests"][0]["line"]), (&json!("test_it.py"), &json!(3)));
    scene.run(["test"]).ends(0).prints("passed: 1 passed in");
}

#[test]
fn no_tests_are_no_success() {
    let empty = Scene::new();
    empty.run(["test"]).ends(7).says("no tests were found").says("agentic test -- COMMAND");
    assert_eq!(report(&empty, 7, &[])["status"], "no_tests");
    let none = scene("import unittest\n");
    let report = report(&none, 7, &[]);
    assert_eq!((&report["status"], problems(&report)), (&json!("no_tests"), vec![]), "{report:#}");
    let skipped =
        scene("import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('why')\n    def test_a(self): pass\n");
    let report = self::report(&skipped, 7, &[]);
    assert_eq!((&report["counts"]["skipped"], &report["tests"][0]["message"]), (&json!(1), &json!("why")));
}

#[test]
fn a_report_that_is_tampered_with_is_not_believed() {
    // The control: the same test without the lie fails as it should.
    let honest = report(&scene(&body("self.fail('no')")), 1, &["--retries", "0"]);
    assert_eq!((&honest["status"], problems(&honest)), (&json!("failed"), vec![]));

    let tell = "open(EVENTS, 'a').write(json.dumps({'event': 'ended', 'id': self.id(), 'status': 'passed'}) + '\\n')";
    let lies = report(&scene(&body(&format!("{tell}; self.fail('no')"))), 1, &["--retries", "0"]);
    assert_eq!(status_of(&lies, "test_it"), "failed", "the worse of two counts");

    for (lines, said) in [
        ("open(EVENTS, 'a').write('not json\\n')", "a line that its runner does not write"),
        ("open(EVENTS, 'a').write('{\"event\": \"ended\"}\\n')", "a line that its runner does not write"),
        ("os.truncate(EVENTS, 0)", "cut off"),
        ("open(EVENTS, 'a').write('x' * (2 << 20) + '\\n')", "a line of more than 1 MiB"),
        ("f = open(EVENTS, 'a'); [f.write((' ' * 99 + '\\n') * 10000) for _ in range(300)]", "larger than 256 MB"),
        ("os.kill(os.getpid(), 0); sys.stdout.flush(); os._exit(0)", ""),
    ] {
        let report = report(&scene(&body(lines)), 1, &["--retries", "0"]);
        assert_ne!(report["status"], "passed", "{lines}: {report:#}");
        if said.is_empty() {
            assert_eq!(status_of(&report, "test_it"), "crashed", "{report:#}");
        } else {
            assert!(problems(&report).iter().any(|problem| problem.contains(said)), "{lines}: {report:#}");
            assert_eq!(report["status"], "error");
        }
    }
}

#[test]
fn what_stands_in_the_reports_place_is_not_opened() {
    for lines in [
        "os.rename(EVENTS, EVENTS + '.old'); os.symlink('/etc/passwd', EVENTS); time.sleep(0.2)",
        "os.rename(EVENTS, EVENTS + '.old'); os.mkfifo(EVENTS); os._exit(0)",
    ] {
        let scene = scene(&format!(
            "import glob, os, time, unittest\nEVENTS = glob.glob('.agentic-*')[0] + '/events-1.jsonl'\nopen(EVENTS, 'a').close()\n{lines}\n{PASSES}"
        ));
        let report = report(&scene, 1, &["--retries", "0"]);
        assert_eq!(report["status"], "error", "{report:#}");
        assert!(!report.to_string().contains("root:"), "{report:#}");
    }
}

#[test]
fn a_status_that_contradicts_the_report_is_told() {
    let red = scene(&format!("import atexit, os\natexit.register(os._exit, 1)\n{PASSES}"));
    let report = report(&red, 1, &[]);
    assert_eq!((&report["status"], &report["counts"]["passed"]), (&json!("error"), &json!(1)), "{report:#}");
    assert!(problems(&report)[0].contains("ended with status 1, and no test failed"), "{report:#}");
    let green = scene(&format!("import atexit, os\natexit.register(os._exit, 0)\n{}", body("self.fail('no')")));
    let report = self::report(&green, 1, &["--retries", "0"]);
    assert_eq!(report["status"], "failed", "{report:#}");
    assert!(report["suites"][0]["notes"][0].as_str().unwrap().contains("status 0 although tests failed"), "{report:#}");
}

#[test]
fn what_hangs_is_ended_and_named() {
    let module = scene(&format!("{PASSES}def tearDownModule():\n    import time; time.sleep(600)\n"));
    let report = report(&module, 1, &["--timeout", "2"]);
    assert_eq!(status_of(&report, "test_a"), "passed");
    assert!(problems(&report)[0].contains("something outside any test hangs"), "{report:#}");
    let whole = scene(PASSES);
    let report = self::report(&whole, 1, &["--timeout", "2", "--", "sleep", "600"]);
    assert_eq!(report["counts"]["timed_out"], 1, "{report:#}");
    let all = scene(&body("time.sleep(600)"));
    let report = self::report(&all, 1, &["--global-timeout", "3"]);
    assert!(problems(&report)[0].contains("the time for the whole run was over"), "{report:#}");
}

#[test]
fn a_command_that_reports_nothing_is_one_test() {
    let scene = scene(PASSES);
    let red = report(&scene, 1, &["--", "echo some; echo words >&2; exit 3"]);
    assert_eq!((&red["counts"]["failed"], &red["suites"][0]["returncode"]), (&json!(1), &json!(3)), "{red:#}");
    assert_eq!(red["tests"][0]["attempts"].as_array().unwrap().len(), 1, "a whole command is not run again unasked");
    let again = "test \"$AGENTIC_TEST_ATTEMPT\" = 2";
    assert_eq!(report(&scene, 0, &["--retries", "1", "--", again])["counts"]["flaky"], 1);
    assert_eq!(report(&scene, 1, &["--retries", "1", "--flaky", "fail", "--", again])["status"], "failed");
    let missing = report(&scene, 1, &["--", "no-such-runner", "-q"]);
    assert!(problems(&missing)[0].contains("is not installed"), "{missing:#}");
    let missing = report(&scene, 1, &["--", "no/such/pytest"]);
    assert!(problems(&missing)[0].contains("is not installed"), "{missing:#}");
}

#[test]
fn flaky_and_leaky_tests_fail_where_they_are_to() {
    let flaky = scene(&body("self.assertNotEqual(os.environ['AGENTIC_TEST_ATTEMPT'], '1')"));
    let report = report(&flaky, 0, &[]);
    assert_eq!((&report["status"], status_of(&report, "test_it").as_str()), (&json!("passed"), "flaky"), "{report:#}");
    assert_eq!(self::report(&flaky, 1, &["--flaky", "fail"])["status"], "failed");
    assert_eq!(self::report(&flaky, 1, &["--retries", "0"])["counts"]["failed"], 1);
    let leaky = scene(&body("import subprocess; subprocess.Popen(['sleep', '300'])"));
    let report = self::report(&leaky, 0, &[]);
    assert_eq!((&report["counts"]["leaky"], &report["counts"]["passed"]), (&json!(1), &json!(1)), "{report:#}");
    assert_eq!(self::report(&leaky, 1, &["--leaky", "fail"])["status"], "failed");
}

#[test]
fn a_retry_is_another_process() {
    // Field 22 of proc_pid_stat(5): when the process was started.
    let module = body("self.fail(open('/proc/self/stat').read().split()[21])");
    let report = report(&scene(&module), 1, &[]);
    let test = report["tests"].as_array().unwrap().iter().find(|test| test["name"] == "test_it").unwrap();
    let mut started: Vec<&str> =
        test["attempts"].as_array().unwrap().iter().map(|attempt| attempt["message"].as_str().unwrap()).collect();
    assert_eq!(started.len(), 3, "{test:#}");
    started.dedup();
    assert_eq!(started.len(), 3, "three processes: {started:?}");
}

#[test]
fn failures_of_one_cause_are_put_together() {
    let module = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.fail('at 0x7f1: 12 left')\n    def test_b(self): self.fail('at 0x9a2: 7 left')\n    def test_c(self): import nowhere_to_be_found\n";
    let report = report(&scene(module), 1, &["--retries", "0"]);
    assert_eq!(report["groups"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(report["groups"][0]["tests"], json!(["test_it.T.test_a", "test_it.T.test_b"]));
}

#[test]
fn a_test_without_a_verdict_is_told() {
    // Tests of a class whose fixture fails are listed and never begin.
    let fixture = "import unittest\nclass T(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): raise OSError('no database')\n    def test_a(self): pass\n";
    let report = report(&scene(fixture), 1, &[]);
    assert_eq!(report["status"], "error", "{report:#}");
    assert!(
        problems(&report).iter().any(|one| one.contains("1 test listed and without a verdict: test_it.T.test_a")),
        "{report:#}"
    );
    // A runner that ends by itself, green, before all were run: the control is the same module without that line.
    let stops = "import os, unittest\nclass T(unittest.TestCase):\n    def test_a(self): self._outcome.result.stop()\n    def test_b(self): self.fail('never seen')\n";
    let report = self::report(&scene(stops), 1, &[]);
    assert_eq!((&report["status"], &report["counts"]["passed"]), (&json!("error"), &json!(1)), "{report:#}");
    assert!(problems(&report)[0].contains("listed and without a verdict: test_it.T.test_b"), "{report:#}");
    let control = self::report(&scene(&stops.replace("self._outcome.result.stop()", "pass")), 1, &["--retries", "0"]);
    assert_eq!((&control["status"], problems(&control)), (&json!("failed"), vec![]));
}

#[test]
fn the_first_failure_ends_it_when_asked() {
    let module = "import time, unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.fail('no')\n    def test_b(self): time.sleep(600)\n";
    let report = report(&scene(module), 1, &["--fail-fast", "--retries", "0"]);
    assert_eq!((&report["counts"]["failed"], &report["counts"]["total"]), (&json!(1), &json!(1)), "{report:#}");
    assert!(
        report["suites"][0]["notes"][0].as_str().unwrap().contains("not run: 1 test (test_it.T.test_b)"),
        "{report:#}"
    );
}

#[test]
fn what_tests_write_is_kept_or_not() {
    let scene = scene(&body("open('written.txt', 'w').write('x'); self.fail('no')"));
    let args = ["--retries", "0"];
    report(&scene, 1, &[&args[..], &["--discard"]].concat());
    assert!(!scene.work("written.txt").exists());
    report(&scene, 1, &args);
    assert!(scene.work("written.txt").exists(), "as without a sandbox, also when tests fail");
    let names: Vec<_> = std::fs::read_dir(scene.work("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".agentic")), "{names:?}");
}

#[test]
fn rules_and_bad_input() {
    let scene = scene(PASSES);
    let denied = scene.run(["test", "--approve", "deny shell command=rm *", "--", "rm", "test_it.py"]);
    denied.ends(4).says("denied");
    assert!(scene.work("test_it.py").exists());
    scene.run(["test", "--approve", "deny run_tests"]).ends(4);
    scene.run(["test", "--", "mkfs", "/dev/sda"]).ends(4).says("blocked");
    scene.run(["test", "--timeout", "0"]).ends(2).says("`timeout` must be a number of seconds above 0");
    scene.run(["test", "--timeout", "soon"]).ends(2);
    scene.run(["test", "-j", "0"]).ends(2);
    scene.run(["test", "--junit", "no/such/folder/x.xml"]).ends(2).says("no/such/folder/x.xml");
    scene.run(["test", "--history", "--discard"]).ends(2);
    scene.run(["test", "-C", "nowhere"]).ends(2).says("nowhere");
}

#[test]
fn the_journal_remembers() {
    let scene = scene(&body("self.assertNotEqual(os.environ['AGENTIC_TEST_ATTEMPT'], '1')"));
    scene.run(["test", "--history"]).ends(0).says("no such test is in the journal");
    for _ in 0..3 {
        report(&scene, 0, &[]);
    }
    let history = scene.run(["test", "--history", "--json"]).ends(0).json();
    let first = &history[0];
    assert_eq!((&first["id"], &first["runs"], &first["flaky"]), (&json!("test_it.T.test_it"), &json!(3), &json!(3)));
    assert_eq!((&first["flake_rate"], &first["last"]), (&json!(1.0), &json!("flaky")));
    assert_eq!((&history[1]["passed"], &history[1]["flake_rate"]), (&json!(3), &json!(0.0)));
    scene.run(["test", "--history", "test_a"]).ends(0).prints("test_it.T.test_a");
    let two = scene.run(["test", "--history", "--runs", "2", "--json"]).ends(0).json();
    assert_eq!(two[0]["runs"], 2);
}

#[test]
fn a_report_fits_its_schema() {
    let path = agentic_testkit::project_root().join("docs/reference/tests.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut report = report(&scene(&body("self.fail('no')")), 1, &["--retries", "0"]);
    let wrong: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new(), "{report:#}");
    // The control: what is no report does not fit.
    report["status"] = json!("bored");
    assert!(!validator.is_valid(&report));
}
