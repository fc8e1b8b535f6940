//! What a program or a step leaves behind that runs later outside, as the command line treats it.

mod scene;

use scene::Scene;
use serde_json::Value;

const LEAVE: &str = "import os
os.makedirs('.git/hooks', exist_ok=True)
open('.git/hooks/pre-commit', 'w').write('#!/bin/sh\\n')
os.makedirs('.github/workflows', exist_ok=True)
open('.github/workflows/ci.yml', 'w').write('on: push\\n')
open('result.txt', 'w').write('done')
";

/// A plan whose one step runs this in a shell.
fn plan(scene: &Scene, command: &str) -> String {
    let step = serde_json::json!({ "id": "leave", "tool": "shell", "params": { "command": command } });
    let plan = serde_json::json!({ "task": "leave something", "steps": [step] });
    let path = scene.path("plan.json");
    std::fs::write(&path, plan.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn exec_holds_back_what_is_protected_and_keeps_the_rest() {
    let scene = Scene::new();
    let seen = scene.run(["exec", "-e", LEAVE]);
    seen.ends(0)
        .says("held back: ")
        .says(".git/hooks/pre-commit is a git hook (git_hook)")
        .says("--allow-persist PATH");
    assert_eq!(scene.read("result.txt"), "done");
    assert_eq!(scene.read(".github/workflows/ci.yml"), "on: push\n");
    assert!(!scene.work(".git/hooks/pre-commit").exists());
    // What was held back can be taken from where the message says.
    let folder = seen.stderr.split("cp -a ").nth(1).and_then(|rest| rest.split("/. ").next()).unwrap();
    assert_eq!(std::fs::read(format!("{folder}/.git/hooks/pre-commit")).unwrap(), b"#!/bin/sh\n");

    let scene = Scene::new();
    let json = scene.run(["exec", "--json", "-e", LEAVE]).ends(0).json();
    assert_eq!(json["held_back"][0]["kind"], "git_hook");
    assert_eq!(json["changes"]["persistence"][0]["kind"], "ci");

    // The control: allowed, it is there.
    let scene = Scene::new();
    let seen = scene.run(["exec", "--allow-persist", ".git", "-e", LEAVE]);
    assert!(!seen.ends(0).stderr.contains("held back"), "{}", seen.stderr);
    assert!(scene.work(".git/hooks/pre-commit").exists());
}

#[test]
fn a_step_that_leaves_something_protected_fails_by_name_and_nothing_of_it_is_kept() {
    let scene = Scene::new();
    let file = plan(&scene, "echo x > .envrc; echo y > kept.txt");
    let seen = scene.run(["run", &file]);
    seen.ends(4).prints("persistence").prints(".envrc").prints("--allow-persist");
    assert!(!scene.work(".envrc").exists() && !scene.work("kept.txt").exists());
    let json = scene.run(["run", &file, "--json"]).ends(4).json();
    let metadata = &json["steps"][0]["result"]["metadata"];
    assert_eq!(
        (&metadata["cause"], &metadata["persistence"][0]["kind"]),
        (&"persistence".into(), &"folder_entry".into())
    );
    assert_eq!(json["stop_reason"], "denied");
    // `--yes` agrees to calls and not to what they leave behind.
    scene.run(["run", &file, "--yes"]).ends(4);

    scene.run(["run", &file, "--allow-persist", ".envrc"]).ends(0).prints("Runs later outside (folder_entry): .envrc");
    assert!(scene.work(".envrc").exists() && scene.work("kept.txt").exists());
}

#[test]
fn what_is_flagged_is_applied_and_told_everywhere() {
    let scene = Scene::new();
    let file = plan(&scene, "mkdir -p .github/workflows && echo 'on: push' > .github/workflows/ci.yml");
    scene.run(["run", &file]).ends(0).prints("Runs later outside (ci): .github/workflows/ci.yml is run by a CI server");
    assert!(scene.work(".github/workflows/ci.yml").exists());
    let runs = scene.run(["runs", "--json"]).json();
    let id = runs[0]["id"].as_str().unwrap();
    scene.run(["show", id]).ends(0).prints("Runs later outside (ci)");
    let events = scene.run(["show", id, "--json"]).json().to_string();
    assert!(events.contains(r#""persistence":[{"#), "{events}");
}

#[test]
fn the_workspaces_own_settings_cannot_allow_and_the_users_can() {
    let scene = Scene::new();
    scene.file("agentic.toml", "[sandbox]\nallow_persist = [\"all\"]\n");
    let file = plan(&scene, "echo x > .envrc");
    scene.run(["run", &file]).ends(4).says("`sandbox.allow_persist` ignored");
    scene.user_settings("[sandbox]\nallow_persist = [\"all\"]\n");
    scene.run(["run", &file]).ends(0);
}

#[test]
fn a_file_that_is_edited_by_name_was_asked_for() {
    let scene = Scene::new();
    scene.file(".vscode/settings.json", "{\"a\": 1}\n");
    scene.run(["edit", ".vscode/settings.json", "--old", "1", "--new", "2"]).ends(0);
    assert_eq!(scene.read(".vscode/settings.json"), "{\"a\": 2}\n");
    let call = r#"{"path": ".vscode/settings.json", "content": "{}"}"#;
    let refused = scene.run(["tool", "call", "file_write", "--params", call, "--json"]).ends(4).json();
    assert_eq!(refused["metadata"]["cause"], Value::from("persistence"));
    assert_eq!(scene.read(".vscode/settings.json"), "{\"a\": 2}\n");
    scene.run(["tool", "call", "file_write", "--params", call, "--allow-persist", ".vscode"]).ends(0);
}

#[test]
fn what_a_patch_names_was_not_asked_for() {
    let scene = Scene::new();
    scene.file("hook.patch", "--- /dev/null\n+++ b/.git/hooks/pre-commit\n@@ -0,0 +1 @@\n+x\n");
    scene.run(["edit", "--patch", "hook.patch"]).ends(4).says("is a git hook");
    assert!(!scene.work(".git").exists());
    scene.run(["edit", "--patch", "hook.patch", "--allow-persist", ".git/hooks"]).ends(0);
    assert_eq!(scene.read(".git/hooks/pre-commit"), "x\n");
}

#[test]
fn git_works_in_steps() {
    if agentic_testkit::find_program("git").is_none() {
        agentic_testkit::skip!("git is not installed");
    }
    let scene = Scene::new();
    let commands =
        "git init -q . && git config user.email a@b && git config user.name A && git commit -q --allow-empty -m 1";
    let file = plan(&scene, commands);
    scene.run(["run", &file]).ends(0);
    assert!(scene.work(".git/HEAD").exists());
    let file =
        plan(&scene, "echo x > a && git add a && git commit -q -m 2 && git checkout -q -b other && git status --short");
    scene.run(["run", &file]).ends(0);
    let file = plan(&scene, "git config core.fsmonitor ./x");
    scene.run(["run", &file]).ends(4).prints(".git/config makes git run a program (core.fsmonitor)");
}
