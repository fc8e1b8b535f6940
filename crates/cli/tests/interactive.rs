//! Interactive mode at a terminal: yes, no, edit, all, quit, Ctrl-C. These tests need the whole engine.

mod scene;

use std::time::Duration;

use agentic_testkit::{Pty, skip};
use scene::Scene;

/// Reached only by a test that fails: a debug build on a busy machine is slow.
const SOON: Duration = Duration::from_secs(60);

const THREE_FILES: &str = "\
task: write three files
steps:
  - {id: one, tool: file_write, params: {path: one.txt, content: '1'}, description: First, on_failure: continue}
  - {id: two, tool: file_write, params: {path: two.txt, content: '2'}, description: Second, on_failure: continue}
  - {id: three, tool: file_write, params: {path: three.txt, content: '3'}, description: Third, on_failure: continue}
";

/// The program at a terminal over the plan above.
fn start(scene: &Scene, variables: &[(&str, &str)]) -> Option<Pty> {
    scene.file("plan.yaml", THREE_FILES);
    let args = ["run", "plan.yaml", "--mode", "interactive"];
    let pty = Pty::spawn(agentic_testkit::agentic_binary(), args, |command| {
        scene.surround(command);
        command.env("TERM", "xterm").envs(variables.iter().copied());
    });
    pty.map_err(|error| agentic_testkit::report_skip(&error.to_string())).ok()
}

#[track_caller]
fn answer(pty: &mut Pty, question: &str, keys: &str) {
    pty.expect(question, SOON).unwrap_or_else(|error| panic!("{error}"));
    pty.expect("[y]es [n]o [e]dit [a]ll [q]uit ", SOON).unwrap_or_else(|error| panic!("{error}"));
    pty.send(keys).unwrap();
}

#[track_caller]
fn end(pty: &mut Pty) -> i32 {
    let status = pty.wait(SOON).unwrap().unwrap_or_else(|| panic!("it never ended: {}", pty.output()));
    status.code().unwrap_or(-1)
}

#[test]
fn yes_and_no_are_obeyed_step_by_step() {
    let scene = Scene::new();
    let Some(mut pty) = start(&scene, &[]) else { return };
    answer(&mut pty, "Run one file_write \"one.txt\"?", "y\n");
    answer(&mut pty, "Run two file_write \"two.txt\"?", "n\n");
    answer(&mut pty, "Run three", "perhaps\n");
    pty.expect("`perhaps` is not one of y, n, e, a, q", SOON).unwrap();
    answer(&mut pty, "Run three", "y\n");
    end(&mut pty);
    assert!(scene.work("one.txt").exists() && scene.work("three.txt").exists());
    assert!(!scene.work("two.txt").exists(), "a step ran against a no");
}

#[test]
fn all_asks_no_more() {
    let scene = Scene::new();
    let Some(mut pty) = start(&scene, &[]) else { return };
    answer(&mut pty, "Run one", "a\n");
    assert_eq!(end(&mut pty), 0, "{}", pty.output());
    assert!(scene.work("three.txt").exists());
    assert!(!pty.output().contains("Run two"), "it asked again");
}

#[test]
fn an_edit_without_an_editor_is_a_line_of_json() {
    let scene = Scene::new();
    let Some(mut pty) = start(&scene, &[]) else { return };
    answer(&mut pty, "Run one", "e\n");
    pty.expect("new (JSON, empty to keep): ", SOON).unwrap();
    pty.send("not json\n").unwrap();
    pty.expect("not JSON", SOON).unwrap();
    pty.expect("new (JSON, empty to keep): ", SOON).unwrap();
    pty.send("{\"path\": \"edited.txt\", \"content\": \"e\"}\n").unwrap();
    answer(&mut pty, "Run two", "a\n");
    assert_eq!(end(&mut pty), 0, "{}", pty.output());
    assert_eq!(scene.read("edited.txt"), "e");
    assert!(!scene.work("one.txt").exists());
}

#[test]
fn an_edit_goes_through_the_users_editor() {
    let scene = Scene::new();
    let editor = scene.path("editor.sh");
    std::fs::write(&editor, "#!/bin/sh\nsed -i s/one.txt/by-editor.txt/ \"$1\"\n").unwrap();
    let Some(mut pty) = start(&scene, &[("EDITOR", &format!("sh {}", editor.display()))]) else { return };
    answer(&mut pty, "Run one", "e\n");
    answer(&mut pty, "Run two", "a\n");
    assert_eq!(end(&mut pty), 0, "{}", pty.output());
    assert_eq!(scene.read("by-editor.txt"), "1");
}

#[test]
fn ctrl_c_at_the_question_ends_the_run_with_130() {
    let scene = Scene::new();
    let Some(mut pty) = start(&scene, &[]) else { return };
    answer(&mut pty, "Run one", "y\n");
    pty.expect("Run two", SOON).unwrap();
    pty.interrupt().unwrap();
    assert_eq!(end(&mut pty), 130, "{}", pty.output());
    assert!(scene.work("one.txt").exists(), "what was done before is kept");
    assert!(!scene.work("two.txt").exists());
    let runs = scene.run(["runs", "--json"]).json();
    assert_eq!(runs[0]["stop_reason"], "cancelled");
}

const LEAVES: &str = "\
task: leave something that runs later
steps:
  - {id: leave, tool: shell, params: {command: \"echo a > .envrc; echo b > .bashrc; echo c > kept.txt\"}}
  - {id: next, tool: file_write, params: {path: next.txt, content: '1'}}
";

/// The program at a terminal over the plan above, up to its question about what the step leaves behind: both paths have
/// been shown by then.
fn leave(scene: &Scene, first: &str) -> Option<Pty> {
    scene.file("plan.yaml", LEAVES);
    let pty = Pty::spawn(agentic_testkit::agentic_binary(), ["run", "plan.yaml", "--mode", "interactive"], |command| {
        scene.surround(command);
        command.env("TERM", "xterm");
    });
    let mut pty = pty.map_err(|error| agentic_testkit::report_skip(&error.to_string())).ok()?;
    answer(&mut pty, "Run leave shell", first);
    pty.expect("leave shell would leave behind what runs later outside:", SOON).unwrap_or_else(|e| panic!("{e}"));
    pty.expect(".bashrc is read by a shell that starts (shell_startup)", SOON).unwrap_or_else(|e| panic!("{e}"));
    pty.expect(".envrc is run by a shell that enters the folder (folder_entry)", SOON).unwrap();
    pty.expect("Keep it? [y]es [n]o ", SOON).unwrap();
    assert!(!scene.work(".envrc").exists() && !scene.work("kept.txt").exists(), "it was kept before the answer");
    Some(pty)
}

#[test]
fn what_would_run_later_is_kept_when_the_person_says_so() {
    let scene = Scene::new();
    let Some(mut pty) = leave(&scene, "y\n") else { return };
    pty.send("perhaps\n").unwrap();
    pty.expect("`perhaps` is not one of y, n", SOON).unwrap();
    pty.expect("Keep it? [y]es [n]o ", SOON).unwrap();
    pty.send("y\n").unwrap();
    answer(&mut pty, "Run next", "y\n");
    assert_eq!(end(&mut pty), 0, "{}", pty.output());
    assert_eq!(
        (scene.read(".envrc"), scene.read(".bashrc"), scene.read("kept.txt")),
        ("a\n".into(), "b\n".into(), "c\n".into())
    );
}

#[test]
fn nothing_but_a_yes_keeps_what_would_run_later() {
    // No, an empty line and the end of the input; an earlier "all" is asked all the same.
    for (first, keys) in [("y\n", "n\n"), ("y\n", "\n"), ("y\n", "\x04"), ("a\n", "n\n")] {
        let scene = Scene::new();
        let Some(mut pty) = leave(&scene, first) else { return };
        pty.send(keys).unwrap();
        assert_eq!(end(&mut pty), 4, "{keys:?}: {}", pty.output());
        for absent in [".envrc", ".bashrc", "kept.txt", "next.txt"] {
            assert!(!scene.work(absent).exists(), "{keys:?}: {absent}");
        }
    }
}

#[test]
fn ctrl_c_at_the_question_about_what_runs_later_keeps_nothing() {
    let scene = Scene::new();
    let Some(mut pty) = leave(&scene, "y\n") else { return };
    pty.interrupt().unwrap();
    assert_eq!(end(&mut pty), 130, "{}", pty.output());
    assert!(!scene.work(".envrc").exists() && !scene.work("kept.txt").exists());
}

#[test]
fn quit_and_end_of_input_end_the_run() {
    for keys in ["q\n", "\x04"] {
        let scene = Scene::new();
        let Some(mut pty) = start(&scene, &[]) else { skip!("no terminal") };
        answer(&mut pty, "Run one", keys);
        assert_ne!(end(&mut pty), 0, "{}", pty.output());
        assert!(!scene.work("one.txt").exists());
    }
}

#[test]
fn a_spinner_is_drawn_on_a_terminal_and_none_where_it_is_dumb() {
    let scene = Scene::new();
    scene.file("plan.yaml", THREE_FILES);
    let run = |term: &str| {
        let pty = Pty::spawn(agentic_testkit::agentic_binary(), ["run", "plan.yaml"], |command| {
            scene.surround(command);
            command.env("TERM", term);
        });
        let mut pty = pty.ok()?;
        end(&mut pty);
        Some(pty.output())
    };
    let Some(live) = run("xterm") else { skip!("no terminal") };
    assert!(live.contains('\x1b') && live.contains('✓'), "{live}");
    let dumb = run("dumb").unwrap();
    assert!(!dumb.contains('\x1b') && dumb.contains("ok "), "{dumb}");
}
