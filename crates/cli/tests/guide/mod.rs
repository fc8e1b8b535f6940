//! The commands of a guide's `console` blocks, run as a reader would.

use std::process::Command;

use agentic_testkit::{agentic_binary, project_root};

use crate::scene::Scene;

/// The text of a guide.
pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(project_root().join("docs/guides").join(name)).unwrap()
}

/// The commands of the `console` blocks, each with what is shown below it.
fn commands(guide: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for block in guide.split("```console\n").skip(1) {
        for line in block.split("```\n").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => found.push((command.to_owned(), String::new())),
                None => found.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            }
        }
    }
    found
}

/// Whether a text is as shown, where three dots stand for anything.
fn is(text: &str, shown: &str) -> bool {
    let mut parts = shown.split("...");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// A scene with the caller's home, where its toolchains are.
pub(crate) fn scene() -> Scene {
    let mut scene = Scene::new();
    for name in ["HOME", "VIRTUAL_ENV"] {
        if let Ok(value) = std::env::var(name) {
            scene = scene.variable(name, &value);
        }
    }
    scene
}

/// Runs the commands, at least so many, one after the other: each prints what the guide shows.
pub(crate) fn follow(scene: &Scene, guide: &str, least: usize) {
    let commands = commands(guide);
    assert!(commands.len() >= least, "{commands:?}");
    let folder = agentic_binary().parent().unwrap().to_owned();
    for (command, shown) in commands {
        let line = format!("PATH={}:$PATH; {command}", folder.display());
        let mut shell = Command::new("sh");
        scene.surround(&mut shell);
        let output = shell.args(["-c", &line]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            is(&said, &shown),
            "{command}\nshown:\n{shown}\nsaid:\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
