//! Two whole tasks as a person would type them: read the config and run the tests, and rename a function.

mod scene;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentic_testkit::{find_program, is_root, skip};
use scene::{Scene, Seen};
use serde_json::Value;

/// Everything in a folder: kind and mode, then bytes or the link's target.
fn tree(root: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let metadata = path.symlink_metadata().unwrap();
            let kind = format!("{:o}", metadata.mode());
            let bytes = if metadata.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap()
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), (kind, bytes));
        }
    }
    all
}

/// A Python project in the workspace whose one test has this body. Nothing when there is no pytest.
fn python_project(body: &str) -> Option<Scene> {
    let python = find_program("python")?;
    let pytest = std::process::Command::new(python).args(["-c", "import pytest"]).output().ok()?;
    let scene = Scene::new();
    // The environment of this test lies wherever that is; its user would have it in his home.
    let ask = "import sys; print(*{p for p in (sys.prefix, sys.base_prefix) if p != '/usr'}, sep='\\n')";
    let prefixes = std::process::Command::new(find_program("python")?).args(["-c", ask]).output().ok()?;
    let list: Vec<String> = String::from_utf8_lossy(&prefixes.stdout).lines().map(|path| format!("{path:?}")).collect();
    scene.user_settings(&format!("[sandbox]\nread_only = [{}]\n", list.join(", ")));
    scene
        .file("config.yaml", "debug: true\n")
        .file("pyproject.toml", "[project]\nname = \"sums\"\nversion = \"1\"\n")
        .file("test_sums.py", format!("def test_sums():\n    assert {body}\n"));
    pytest.status.success().then_some(scene)
}

fn read_and_test(scene: &Scene, more: &[&str]) -> Seen {
    let task = ["run", "Read config and run tests", "-c", "command=python -m pytest -q"];
    scene.run([&task, more].concat())
}

#[test]
fn read_config_and_run_tests_is_two_steps_and_green() {
    let Some(scene) = python_project("sum(range(10)) == 45") else { skip!("python with pytest is not on PATH") };
    let seen = read_and_test(&scene, &["--json"]);
    let result = seen.ends(0).json();
    let steps = result["steps"].as_array().unwrap();
    let tools: Vec<&Value> = steps.iter().map(|step| &step["tool"]).collect();
    assert_eq!(tools, ["file_read", "shell"], "{result:#}");
    assert_eq!(result["stop_reason"], "succeeded");
    assert!(steps[0]["result"].to_string().contains("debug: true"), "{result:#}");
    assert!(steps[1]["result"].to_string().contains("1 passed"), "{result:#}");
    read_and_test(&scene, &[]).ends(0).prints("Succeeded: 2 of 2 steps");
}

#[test]
fn read_config_and_run_tests_is_red_when_they_are() {
    let Some(scene) = python_project("sum(range(10)) == 46") else { skip!("python with pytest is not on PATH") };
    let seen = read_and_test(&scene, &["--json"]);
    // The config was read, so it is partly done.
    let result = seen.ends(3).json();
    assert_eq!(result["stop_reason"], "partial", "{result:#}");
    assert!(result.to_string().contains("1 failed"), "{result:#}");
    read_and_test(&scene, &[]).ends(3).prints("1 failed");
}

const TASK: [&str; 6] =
    ["run", "refactor rename function", "-c", "old_name=getUserData", "-c", "new_name=fetchUserProfile"];

/// What a whole-word rename leaves of these bytes.
fn renamed(bytes: &[u8]) -> Vec<u8> {
    // No byte beyond ASCII touches the name in these files, so that they can be told as Latin-1.
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("getUserData") {
        let after = &rest[at + 11..];
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let whole = !word(rest[..at].chars().next_back()) && !word(after.chars().next());
        out.push_str(&rest[..at]);
        out.push_str(if whole { "fetchUserProfile" } else { "getUserData" });
        rest = after;
    }
    out.push_str(rest);
    out.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn assert_renamed(
    before: &BTreeMap<PathBuf, (String, Vec<u8>)>,
    after: &BTreeMap<PathBuf, (String, Vec<u8>)>,
    untouched: &[&str],
) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "files came or went");
    for (path, (kind, bytes)) in before {
        let (kind_after, bytes_after) = &after[path];
        assert_eq!(kind, kind_after, "mode of {}", path.display());
        let left = kind.starts_with("120") || untouched.iter().any(|name| path == Path::new(name));
        let expected = if left { bytes.clone() } else { renamed(bytes) };
        assert!(expected == *bytes_after, "{}:\n{}", path.display(), String::from_utf8_lossy(bytes_after));
    }
}

#[test]
fn a_function_is_renamed_everywhere_and_nothing_else_changes() {
    let scene = Scene::new();
    scene
        .file(
            "src/api.ts",
            "export function getUserData(id) {\n  return getUserDataX(id) + getUserData_2 + xgetUserData;\n}\n",
        )
        .file("src/deep/er/use.ts", "import { getUserData } from '../../api';\ngetUserData(1);getUserData(2)\n")
        .file("lib/util.py", "def f():\n    return obj.getUserData()\n")
        .file("docs/README.md", "Call `getUserData`. No newline at the end: getUserData")
        .file("tests/windows.cs", "// getUserData\r\nvar x = getUserData();\r\n\r\n")
        .file("tests/latin.txt", b"caf\xe9 getUserData \xff\n")
        .file("tests/marked.txt", b"\xef\xbb\xbfgetUserData\n")
        .file("only_longer.js", "getUserDataX(); GETUSERDATA; getuserdata\n")
        .file("unrelated.txt", "nothing here\n")
        .file("binary.bin", b"\0\x01getUserData\0\xff")
        .file("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR getUserData \xff")
        .file("paper.pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n getUserData \n")
        .file("run.sh", "#!/bin/sh\ngetUserData\n")
        .file("empty.txt", "");
    set_mode(&scene, "run.sh", 0o755);
    std::os::unix::fs::symlink("src/api.ts", scene.work("link.ts")).unwrap();
    std::os::unix::fs::symlink("nowhere/getUserData", scene.work("broken")).unwrap();
    std::fs::write(scene.path("beside.py"), "getUserData()\n").unwrap();
    std::os::unix::fs::symlink(scene.path("beside.py"), scene.work("outside.py")).unwrap();
    let before = tree(&scene.path("work"));

    let seen = scene.run([&TASK[..], &["--json"]].concat());
    let result = seen.ends(0).json();
    assert_renamed(&before, &tree(&scene.path("work")), &["binary.bin", "picture.png", "paper.pdf"]);
    assert_eq!(std::fs::read_to_string(scene.path("beside.py")).unwrap(), "getUserData()\n", "outside was changed");
    assert_eq!(result["stop_reason"], "succeeded");
    // It says what it did, file by file.
    let said = result.to_string();
    for name in
        ["src/api.ts", "src/deep/er/use.ts", "lib/util.py", "docs/README.md", "tests/windows.cs", "tests/latin.txt"]
    {
        assert!(said.contains(&format!("Renamed getUserData to fetchUserProfile in {name}")), "{name}: {said}");
    }
    // Once more there is nothing to do.
    let once = tree(&scene.path("work"));
    scene.run(TASK).ends(0);
    assert!(once == tree(&scene.path("work")), "the second run changed something");
}

fn set_mode(scene: &Scene, name: &str, mode: u32) {
    std::fs::set_permissions(scene.work(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_may_not_be_written_is_named_and_the_others_are_renamed() {
    let scene = Scene::new();
    scene.file("a.py", "getUserData()\n").file("b.py", "getUserData()\n").file("c.py", "getUserData()\n");
    set_mode(&scene, "b.py", 0o444);
    let before = tree(&scene.path("work"));
    let seen = scene.run(TASK);
    if is_root() {
        // Root may write it, and does; it stays read-only.
        seen.ends(0);
        assert_renamed(&before, &tree(&scene.path("work")), &[]);
    } else {
        seen.ends(3).prints("failed to rename in b.py: Permission denied").prints("Changed 2 paths: a.py, c.py");
        assert_renamed(&before, &tree(&scene.path("work")), &["b.py"]);
    }
}

#[test]
fn what_was_renamed_is_told_to_a_person() {
    let scene = Scene::new();
    scene.file("a.py", "getUserData()\n").file("b/c.py", "getUserData(getUserData)\n");
    let seen = scene.run(TASK);
    seen.ends(0).prints("Find occurrences").prints("Update files").prints("Changed 2 paths: a.py, b/c.py\n");
}

#[test]
fn three_hundred_files_are_renamed_in_one_run() {
    let scene = Scene::new();
    for at in 0..300 {
        scene.file(&format!("pkg{}/mod_{at}.py", at % 7), format!("# {at}\nx = getUserData({at})\ny = getUserDataX\n"));
    }
    let before = tree(&scene.path("work"));
    let seen = scene.run(TASK);
    seen.ends(0);
    assert_renamed(&before, &tree(&scene.path("work")), &[]);
}

#[test]
fn a_large_file_is_renamed_too() {
    let scene = Scene::new();
    let mut text = "x = 1  # padding of an ordinary length\n".repeat(320_000);
    text.push_str("getUserData()\n");
    scene.file("large.py", &text).file("small.py", "getUserData()\n");
    assert!(text.len() > 11 << 20);
    let before = tree(&scene.path("work"));
    scene.run(TASK).ends(0);
    assert_renamed(&before, &tree(&scene.path("work")), &[]);
}

#[test]
fn names_that_are_none_are_refused_and_nothing_happens() {
    let scene = Scene::new();
    scene.file("a.py", "getUserData()\n");
    scene.run(["run", "refactor rename function", "-c", "old_name=getUserData"]).ends(2).says("new");
    scene
        .run(["run", "refactor rename function", "-c", "old_name=getUserData", "-c", "new_name=not a name"])
        .ends(2)
        .says("not a name");
    assert_eq!(scene.read("a.py"), "getUserData()\n");
}
