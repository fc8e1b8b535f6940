//! Bad input, each with its exit code and a message that says what, why and what to do. Nothing here needs
//! the engine: all of it is refused before anything starts.

mod scene;

use std::os::unix::ffi::OsStrExt;

use agentic_testkit::{is_root, skip};
use scene::{Scene, is_empty};

#[test]
fn a_mistake_on_the_command_line_is_bad_input() {
    let scene = Scene::new();
    scene.run(["frobnicate"]).ends(2).says("frobnicate");
    scene.run(["run"]).ends(2);
    scene.run(["run", "x", "--mode", "sideways"]).ends(2).says("sideways");
    scene.run(["run", "x", "-c", "no-equals-sign"]).ends(2).says("KEY=VALUE");
    scene.run(["run", "x", "--json", "--jsonl"]).ends(2);
    scene.run(["exec", "--no-such-flag"]).ends(125);
    scene.run(["exec", "a.py", "-e", "1"]).ends(125);
}

#[test]
fn an_empty_task_is_refused() {
    for task in ["", "   ", "\n"] {
        for command in ["run", "plan"] {
            Scene::new().run([command, task]).ends(2).says("the task is empty").says("hint:");
        }
    }
}

#[test]
fn a_workspace_must_be_a_folder_that_exists() {
    let scene = Scene::new();
    scene.file("plain.txt", "text");
    let file = scene.work("plain.txt");
    let file = file.to_str().unwrap();
    for command in [vec!["run", "run tests"], vec!["plan", "run tests"], vec!["edit", "a", "--old", "x", "--new", "y"]]
    {
        let with = |dir| command.iter().copied().chain(["-C", dir]).collect::<Vec<_>>();
        scene.run(with("absent")).ends(2).says("absent").says("does not exist").says("hint:");
        scene.run(with(file)).ends(2).says("it is not a folder");
    }
    scene.run(["exec", "-e", "1", "-C", "absent"]).ends(125).says("does not exist");
    scene.run(["exec", "-e", "1", "-C", file]).ends(125).says("it is not a folder");
}

#[test]
fn a_workspace_must_be_writable() {
    use std::os::unix::fs::PermissionsExt;
    if is_root() {
        skip!("root may write everywhere");
    }
    let scene = Scene::new();
    std::fs::set_permissions(scene.path("work"), std::fs::Permissions::from_mode(0o555)).unwrap();
    scene.run(["run", "run tests"]).ends(2).says("not writable");
    scene.run(["exec", "-e", "1"]).ends(125).says("not writable").says("--discard");
}

#[test]
fn a_plan_file_must_be_readable_text() {
    let scene = Scene::new();
    scene.file("bytes.yaml", [b't', 0xff, 0xfe]);
    std::fs::create_dir(scene.work("folder.yaml")).unwrap();
    scene.run(["run", "absent.yaml"]).ends(2).says("absent.yaml").says("No such file");
    scene.run(["run", "folder.yaml"]).ends(2).says("not a file");
    scene.run(["run", "bytes.yaml"]).ends(2).says("not UTF-8");
    scene.run_with(["plan", "-"], &[0xff]).ends(2).says("standard input").says("not UTF-8");
}

#[test]
fn limits_that_cannot_be_meant_are_refused_by_name() {
    let scene = Scene::new();
    for (flag, values) in [
        ("--timeout", ["0", "-1", "1e300", "soon"]),
        ("--memory", ["0", "-5", "99999999999999", "lots"]),
        ("--max-output", ["0", "-1", "1e300", "x"]),
    ] {
        for value in values {
            scene
                .run(["exec", "-e", "1", flag, value])
                .ends(125)
                .says(&format!("{flag} is `{value}`"))
                .says("it must be a number");
        }
    }
    for value in ["0", "-3", "1.5", "x"] {
        scene.run(["run", "run tests", "--max-steps", value]).ends(2).says(&format!("--max-steps is `{value}`"));
    }
}

#[test]
fn code_that_cannot_be_run_is_refused_with_the_code_of_a_shell() {
    let scene = Scene::new();
    scene.file("unknown", "text").file("nul.xyz", "a\0b");
    scene.run(["exec", "absent.py"]).ends(127).says("absent.py").says("no such file");
    scene.run(["exec", "."]).ends(126).says("it is a folder");
    scene.run(["exec", "unknown"]).ends(125).says("--lang");
    scene.run(["exec", "-e", "1", "--lang", "cobol"]).ends(125).says("cobol");
    scene.run(["exec", "-e", "1", "--tty"]).ends(125).says("--tty");
    scene.run(["exec", "-e", "1", "--allow-degraded", "gravity"]).ends(125).says("gravity").says("doctor");
    scene.run(["exec", "-e", "1", "--env", "=x"]).ends(125).says("environment variable");
    scene.run(["exec", "-e", "1", "--env", "NOT_SET_HERE"]).ends(125).says("not set here");
    scene.run(["exec", "-e", "1", "--env-file", "absent.env"]).ends(125).says("absent.env");
}

#[test]
fn a_path_that_is_not_utf_8_is_refused_by_name() {
    let scene = Scene::new();
    let path = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let args: [&std::ffi::OsStr; 5] = ["exec".as_ref(), "-e".as_ref(), "1".as_ref(), "--ro".as_ref(), path];
    scene.run(args).ends(125).says("not UTF-8");
}

#[test]
fn parameters_of_a_call_are_one_json_object() {
    let scene = Scene::new();
    for params in ["[]", "3", "{", "null", ""] {
        scene.run(["tool", "call", "search", "--params", params]).ends(2).says("parameters").says("hint:");
    }
}

#[test]
fn interactive_mode_needs_a_terminal() {
    let scene = Scene::new();
    scene.run(["run", "run tests", "--mode", "interactive"]).ends(2).says("not a terminal");
    scene.run(["run", "run tests", "--mode", "interactive", "--yes"]).ends(2).says("--yes");
}

#[test]
fn what_cannot_be_an_approval_rule_is_refused() {
    let scene = Scene::new();
    for rule in ["", "perhaps shell", "deny shell extra words"] {
        scene.run(["run", "run tests", "--approve", rule]).ends(2).says("--approve").says("hint:");
    }
}

#[test]
fn nothing_is_left_of_what_was_refused() {
    let scene = Scene::new();
    scene.run(["run", ""]).ends(2);
    scene.run(["exec", "-e", "1", "--timeout", "0"]).ends(125);
    assert!(is_empty(&scene.path("state")), "a refusal left something in the state folder");
    assert!(is_empty(&scene.path("work")), "a refusal left something in the workspace");
}

#[test]
fn a_closed_stdin_is_an_empty_one() {
    // A shell closes the descriptor before the program starts.
    let scene = Scene::new();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(agentic_testkit::agentic_binary()).args(["run", ""]);
    scene.surround(&mut command);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}
