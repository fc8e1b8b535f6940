//! `agentic doctor --attack`: a group of the corpus by name, a wrong name, and an end before the end. The corpus itself
//! is tested in `crates/attack`.

mod scene;

use std::process::Stdio;
use std::time::{Duration, Instant};

use scene::Scene;
use serde_json::Value;

#[test]
fn a_group_is_put_through_and_counted() {
    let seen = Scene::new().run(["doctor", "--attack", "--group", "cross-run", "--json"]);
    seen.ends(0);
    let found = seen.json();
    assert_eq!((&found["sound"], &found["stopped"]), (&Value::Bool(true), &Value::Bool(false)));
    let number = |key: &str| found["counts"][key].as_u64().unwrap();
    assert!(number("refused") >= 20, "{}", found["counts"]);
    assert_eq!(number("refused") + number("skipped") + number("not_promised"), number("attempts"));
    assert_eq!(found["attempts"].as_array().unwrap().len() as u64, number("attempts"));
}

#[test]
fn a_group_that_is_not_there_is_named_with_those_that_are() {
    let seen = Scene::new().run(["doctor", "--attack", "--group", "crossrun"]);
    seen.ends(2).says("there is no group `crossrun`; the groups are kernel, network, cross-run,");
}

#[test]
fn the_first_interrupt_ends_it_with_what_was_made() {
    let scene = Scene::new();
    let mut command = scene.command(["doctor", "--attack", "--json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its spawner is started once it listens for signals.
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let began = Instant::now();
    while std::fs::read_to_string(&children).is_ok_and(|text| text.trim().is_empty()) {
        assert!(began.elapsed() < Duration::from_secs(20), "it started nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["sound"], &found["stopped"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(found["attempts"].as_array().unwrap().len() < 300, "it made most of them");
    assert!(String::from_utf8_lossy(&output.stderr).contains("a second Ctrl-C ends at once"), "{output:?}");
}
