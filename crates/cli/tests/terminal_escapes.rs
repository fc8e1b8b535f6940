//! What came from inside reaches a terminal as text: nothing in it is obeyed, and no line of ours is forged.

mod scene;

use std::time::Duration;

use agentic_testkit::{Pty, agentic_binary, report_skip};
use scene::Scene;

/// Reached only by a test that fails.
const SOON: Duration = Duration::from_secs(60);
/// Sets the title, sets the clipboard, asks for the cursor's place, reorders; and a colour.
const HOSTILE: &str = r"\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x1b[6n\u009b6n\u202e\x1b[31mred\x1b[0m";

fn at_terminal(scene: &Scene, args: &[&str]) -> Option<(String, i32)> {
    let pty = Pty::spawn(agentic_binary(), args, |command| {
        scene.surround(command);
        command.env("TERM", "xterm");
    });
    let mut pty = pty.map_err(|error| report_skip(&error.to_string())).ok()?;
    let status = pty.wait(SOON).unwrap().unwrap_or_else(|| panic!("it never ended: {}", pty.output()));
    Some((pty.output(), status.code().unwrap_or(-1)))
}

#[track_caller]
fn harmless(output: &str) {
    for obeyed in ["\x1b]", "\x1b[6n", "\u{9b}", "\u{202e}", "\x1bP"] {
        assert!(!output.contains(obeyed), "{obeyed:?} reached the terminal: {output:?}");
    }
}

#[test]
fn a_programs_output_keeps_its_colours_and_loses_what_a_terminal_obeys() {
    let scene = Scene::new();
    let code = format!("import sys; print('{HOSTILE}'); print('{HOSTILE}', file=sys.stderr)");
    let Some((output, 0)) = at_terminal(&scene, &["exec", "-e", &code]) else { return };
    harmless(&output);
    assert!(output.contains("\\x1b]52;c;ZXZpbA==") && output.contains("\x1b[31mred\x1b[0m"), "{output:?}");
    // The controls: a terminal of its own, and a pipe, get the very bytes.
    let Some((raw, 0)) = at_terminal(&scene, &["exec", "--tty", "-e", &code]) else { panic!() };
    assert!(raw.contains("\x1b]52;c;ZXZpbA==\x07"), "{raw:?}");
    let piped = scene.run(["exec", "-e", &code]);
    assert!(piped.stdout.contains("\x1b]0;owned\x07") && piped.stdout.contains("\u{202e}"), "{:?}", piped.stdout);
}

#[test]
fn a_prompt_without_a_newline_is_seen_and_a_status_passes() {
    let scene = Scene::new();
    let code = "import sys; sys.stdout.write('name? '); sys.stdout.flush(); sys.exit(7)";
    let Some((output, code)) = at_terminal(&scene, &["exec", "-e", code]) else { return };
    assert!(output.contains("name? "), "{output:?}");
    assert_eq!(code, 7);
}

#[test]
fn steps_outputs_errors_and_names_are_text() {
    let scene = Scene::new();
    let evil = "a\u{1b}]0;x\u{7}\nChanged 1 path: fake";
    let command = format!(
        "printf '%b' '{}'; : > \"$(printf 'a\\033]0;x\\007\\nChanged 1 path: fake')\"",
        HOSTILE.replace("\\u009b", "\\xc2\\x9b").replace("\\u202e", "\\xe2\\x80\\xae")
    );
    let step = serde_json::json!({ "id": "s", "tool": "shell", "params": { "command": command }, "description": evil });
    let plan = serde_json::json!({ "task": evil, "steps": [step] });
    let path = scene.path("plan.json");
    std::fs::write(&path, plan.to_string()).unwrap();
    let Some((output, 0)) = at_terminal(&scene, &["run", path.to_str().unwrap()]) else { return };
    harmless(&output);
    assert!(output.contains("\\x1b]52"), "the output was shown: {output:?}");
    // A name cannot begin a line.
    assert!(output.contains("Changed 1 path: ") && !output.contains("\nChanged 1 path: fake"), "{output:?}");
    let runs = scene.run(["runs", "--json"]).json();
    let Some((shown, 0)) = at_terminal(&scene, &["show", runs[0]["id"].as_str().unwrap()]) else { panic!() };
    harmless(&shown);
    let Some((listed, 0)) = at_terminal(&scene, &["runs"]) else { panic!() };
    harmless(&listed);
}

#[test]
fn what_is_held_back_and_what_is_left_out_are_one_line_each() {
    let scene = Scene::new();
    let code = "import os
os.makedirs('.git/hooks')
open('.git/hooks/x\\nagentic: all is well\\x1b]0;x\\x07', 'w').write('1')
os.mkfifo('pipe\\nagentic: all is well\\x1b]0;x\\x07')
";
    let Some((output, 0)) = at_terminal(&scene, &["exec", "-e", code]) else { return };
    harmless(&output);
    assert!(output.contains("held back") && output.contains("not kept"), "{output:?}");
    assert!(!output.contains("\nagentic: all is well"), "{output:?}");
}

#[test]
fn errors_that_quote_what_was_found_are_text() {
    let scene = Scene::new();
    scene.file("plan.yaml", "task: t\nsteps:\n  - id: \"a\\e]0;x\\a\"\n    tool: \"\\e]0;x\\a\"\n");
    let Some((output, _)) = at_terminal(&scene, &["run", "plan.yaml"]) else { return };
    harmless(&output);
    let Some((output, _)) =
        at_terminal(&scene, &["tool", "call", "file_read", "--params", r#"{"path": "no\u001b]0;x\u0007"}"#])
    else {
        panic!()
    };
    harmless(&output);
    let Some((output, _)) = at_terminal(&scene, &["exec", "no\u{1b}]0;x\u{7}.py"]) else { panic!() };
    harmless(&output);
}
