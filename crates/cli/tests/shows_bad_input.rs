//! Bad input that only shows once the engine runs: bytes that no text has, more output than memory, folders and
//! files in each other's place, a journal that cannot be written. Each a clear end, nothing half-done.

mod scene;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use agentic_testkit::{agentic_binary, is_root, skip};
use scene::{Scene, is_empty};

#[test]
fn bytes_in_code_pass_or_are_refused_by_name() {
    let scene = Scene::new();
    // An argument of a process cannot hold a NUL; a file can.
    scene.file("nul.py", b"print(1)\n\0print(2)\n").file("nul.sh", b"echo one\n\0echo two\n");
    // What they make of it differs from version to version; it is theirs to say.
    for seen in
        [scene.run(["exec", "nul.py"]), scene.run(["exec", "nul.sh"]), scene.run_with(["exec"], b"print(1)\n\0")]
    {
        assert!(!seen.stderr.contains("panicked") && !seen.stderr.contains("agentic:"), "{seen:?}");
        assert!(!seen.stdout.contains("2\n"), "{seen:?}");
    }
    // What is no UTF-8 is the interpreter's to judge.
    scene
        .file("latin.py", b"# -*- coding: latin-1 -*-\nprint(len('caf\xe9'))\n")
        .file("wrong.py", b"print('caf\xe9')\n");
    scene.run(["exec", "latin.py"]).ends(0).prints("4\n");
    scene.run(["exec", "wrong.py"]).ends(1).says("SyntaxError");
    let code = OsStr::from_bytes(b"printf 'caf\xe9'");
    let seen = scene.command([OsStr::new("exec"), "--lang".as_ref(), "bash".as_ref(), "-e".as_ref(), code]).output();
    assert_eq!(seen.unwrap().stdout, b"caf\xe9");
    // A call's arguments are JSON, which has a NUL.
    for (tool, params, pointer) in [
        ("run_code", r#"{"code": "print(1)\u0000", "language": "python"}"#, "NUL"),
        ("shell", r#"{"command": "echo a\u0000b"}"#, "NUL"),
        ("file_read", r#"{"path": "a\u0000b"}"#, "NUL"),
        ("file_write", r#"{"path": "a\u0000b", "content": "x"}"#, "NUL"),
        ("edit", r#"{"path": "a\u0000b", "old": "x", "new": "y"}"#, "NUL"),
        ("list_files", r#"{"path": "a\u0000b"}"#, "NUL"),
        ("search", r#"{"pattern": "x", "path": "a\u0000b"}"#, "NUL"),
    ] {
        let seen = scene.run(["tool", "call", tool, "--params", params]);
        assert_eq!(seen.code, 2, "{tool}: {seen:?}");
        assert!(seen.stderr.contains(pointer), "{tool}: {seen:?}");
    }
}

#[test]
fn a_path_of_any_bytes_is_a_program_and_a_workspace() {
    let scene = Scene::new();
    let name = OsStr::from_bytes(b"caf\xe9.py");
    std::fs::write(scene.path("work").join(name), "print('ran')\n").unwrap();
    let seen = scene.command([OsStr::new("exec"), name]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((seen.status.code(), seen.stdout.as_slice()), (Some(0), b"ran\n".as_slice()), "{seen:?}");
    let folder = scene.path("work").join(OsStr::from_bytes(b"fold\xe9r"));
    std::fs::create_dir(&folder).unwrap();
    let code = "open('made', 'w').write('x'); print('ran')";
    let seen = scene.command(["exec", "-e", code]).current_dir(&folder).stdin(Stdio::null()).output().unwrap();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    assert!(folder.join("made").exists());
    // The engine's own commands say so where they cannot.
    scene.file("plan.yaml", "task: x\nsteps:\n  - {id: a, tool: shell, params: {command: 'echo hi > made-too'}}\n");
    let plan = scene.work("plan.yaml");
    let seen = scene.command([OsStr::new("run"), plan.as_os_str()]).current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&seen.stderr);
    assert!(matches!(seen.status.code(), Some(0 | 2)) && !said.contains("panicked"), "{seen:?}");
}

#[test]
fn output_of_any_bytes_passes_through_and_is_text_in_json() {
    let scene = Scene::new();
    let code = "import sys; sys.stdout.buffer.write(b'a\\0b\\xff\\n')";
    let seen = scene.command(["exec", "-e", code]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(seen.stdout, b"a\0b\xff\n");
    let object = scene.run(["exec", "--json", "-e", code]).ends(0).json();
    assert_eq!(object["stdout"], "a\0b\u{FFFD}\n");
    let params = r#"{"command": "printf 'a\\0b\\377\\n'"}"#;
    let object = scene.run(["tool", "call", "shell", "--params", params, "--json"]).ends(0).json();
    assert_eq!(object["output"], "a\0b\u{FFFD}\n");
    // Nothing that a terminal would obey reaches the journal's reader raw in JSON.
    scene.file(
        "plan.yaml",
        "task: x\nsteps:\n  - {id: a, tool: shell, params: {command: \"printf 'a\\\\0b\\\\377\\\\033[2J\\\\n'\"}}\n",
    );
    scene.run(["run", "plan.yaml", "--json"]).ends(0).json();
    let id = scene.run(["runs", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    scene.run(["show", &id]).ends(0);
    scene.run(["show", &id, "--json"]).ends(0).json();
}

/// Kilobytes that the program itself may take (measured: a third of it, in a debug build).
const FLAT: u64 = 96 << 10;

#[test]
fn a_gigabyte_of_output_in_a_run_is_cut_kept_and_costs_no_memory() {
    let scene = Scene::new();
    let plan = "task: be loud\nsteps:\n  - {id: loud, tool: shell, params: {command: 'yes 0123456789abcdef | head -c 1073741824', timeout: 300}}\n  - {id: after, tool: shell, params: {command: 'echo after'}, depends_on: [loud]}\n";
    scene.file("plan.yaml", plan);
    for form in [&["--json"][..], &[]] {
        let seen = scene.measure([&["run", "plan.yaml"], form].concat());
        assert_eq!(seen.code, 0, "{}\n{}", seen.stderr, String::from_utf8_lossy(&seen.head));
        assert!(seen.total < 4 << 20, "{} bytes were said ({form:?})", seen.total);
        assert!(seen.peak > 0 && seen.peak < FLAT, "our own memory went up to {} kB ({form:?})", seen.peak);
    }
    // As events every byte passes, so a part of it is enough.
    scene.file("part.yaml", plan.replace("1073741824", "67108864"));
    let seen = scene.measure(["run", "part.yaml", "--jsonl"]);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    assert!(seen.total > 64 << 20, "{} bytes of events", seen.total);
    assert!(seen.peak > 0 && seen.peak < FLAT, "our own memory went up to {} kB of events", seen.peak);
    let result = scene.run(["run", "plan.yaml", "--json"]).ends(0).json();
    let step = &result["steps"][0];
    assert_eq!(step["result"]["metadata"]["truncated"], true, "{:.2000}", step.to_string());
    // What was kept is in the store and is shown again.
    let id = result["run_id"].as_str().unwrap();
    let shown = scene.run(["show", id]);
    shown.ends(0).prints("more lines");
    assert!(!is_empty(&scene.path("state/agentic/store")), "nothing in the store");
}

#[test]
fn a_folder_is_no_program_and_no_file() {
    let scene = Scene::new();
    std::fs::create_dir(scene.work("folder.py")).unwrap();
    scene.run(["exec", "folder.py"]).ends(126).says("it is a folder");
    scene.run(["edit", "folder.py", "--old", "a", "--new", "b"]).says("folder.py");
    let seen = scene.run(["tool", "call", "file_read", "--params", r#"{"path": "folder.py"}"#]);
    assert!(matches!(seen.code, 1 | 2), "{seen:?}");
    seen.says("folder.py");
    scene.run(["exec", "-e", "1", "--runtime", "folder.py"]).ends(126).says("folder.py");
}

#[test]
fn a_missing_runtime_says_what_to_do() {
    let scene = Scene::new().variable("PATH", "/nowhere");
    std::os::unix::fs::symlink("/nowhere/python3", scene.work("broken")).unwrap();
    scene.run(["exec", "-e", "1", "--runtime", "broken"]).ends(127).says("broken");
    let seen = scene.run(["exec", "--lang", "javascript", "-e", "1"]);
    // The system's own folders are looked through whatever PATH says.
    assert!(seen.code == 0 || (seen.code == 127 && seen.stderr.contains("node")), "{seen:?}");
}

#[test]
fn limits_of_a_call_and_a_plan_are_checked() {
    let scene = Scene::new();
    for timeout in ["0", "-1", "1e300", "\"soon\""] {
        let params = format!(r#"{{"command": "touch ran", "timeout": {timeout}}}"#);
        let seen = scene.run(["tool", "call", "shell", "--params", &params]);
        assert_eq!(seen.code, 2, "{timeout}: {seen:?}");
        seen.says("/timeout");
        assert!(!scene.work("ran").exists(), "it ran with a timeout of {timeout}");
    }
    for (setting, value) in [
        ("memory", "0"),
        ("memory", "-1"),
        ("wall", "0"),
        ("processes", "0"),
        ("processes", "-3"),
        ("memory", "1e30"),
        ("wall", "inf"),
    ] {
        scene.user_settings(&format!("[sandbox.limits]\n{setting} = {value}\n"));
        let seen = scene.run(["exec", "-e", "1"]);
        assert_eq!(seen.code, 125, "{setting} = {value}: {seen:?}");
        seen.says(setting);
    }
    scene.user_settings("");
    for timeout in ["0", "-1", ".inf"] {
        scene.file(
            "plan.yaml",
            format!(
                "task: x\nsteps:\n  - {{id: a, tool: shell, params: {{command: touch ran}}, timeout: {timeout}}}\n"
            ),
        );
        scene.run(["run", "plan.yaml"]).ends(2).says("plan.yaml:3");
    }
}

#[test]
fn a_journal_on_a_disk_that_cannot_be_written_stops_before_anything_is_done() {
    let plan = "task: x\nsteps:\n  - {id: a, tool: file_write, params: {path: made, content: x}}\n";
    // A file where the folder would be; true for root as well.
    let scene = Scene::new();
    scene.file("plan.yaml", plan);
    std::fs::remove_dir(scene.path("state")).unwrap();
    std::fs::write(scene.path("state"), "").unwrap();
    scene.run(["run", "plan.yaml"]).ends(2).says("state").says("hint:");
    assert!(!scene.work("made").exists());
    let seen = scene.run(["exec", "-e", "open('made', 'w')"]);
    assert_eq!(seen.code, 125, "{seen:?}");
    assert!(!scene.work("made").exists());

    // A folder where the file would be.
    let scene = Scene::new();
    scene.file("plan.yaml", plan);
    std::fs::create_dir_all(scene.path("state/agentic/journal.sqlite3")).unwrap();
    let seen = scene.run(["run", "plan.yaml"]);
    assert!(matches!(seen.code, 1 | 2) && seen.stderr.contains("journal.sqlite3"), "{seen:?}");
    assert!(!scene.work("made").exists());

    // A journal that is none.
    let scene = Scene::new();
    scene.file("plan.yaml", plan);
    std::fs::create_dir_all(scene.path("state/agentic")).unwrap();
    std::fs::set_permissions(scene.path("state/agentic"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(
        scene.path("state/agentic/journal.sqlite3"),
        "this is no database, whatever its name says\n".repeat(40),
    )
    .unwrap();
    let seen = scene.run(["run", "plan.yaml"]);
    assert!(matches!(seen.code, 1 | 2) && seen.stderr.contains("journal.sqlite3"), "{seen:?}");
    assert!(!scene.work("made").exists());

    if is_root() {
        skip!("root may write everywhere (the other three cases passed)");
    }
    let scene = Scene::new();
    scene.file("plan.yaml", plan);
    std::fs::set_permissions(scene.path("state"), std::fs::Permissions::from_mode(0o555)).unwrap();
    scene.run(["run", "plan.yaml"]).ends(2).says("state").says("hint:");
    assert!(!scene.work("made").exists());
    std::fs::set_permissions(scene.path("state"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_closed_stdin_is_an_empty_one() {
    let scene = Scene::new();
    scene.file("plan.yaml", "task: x\nsteps:\n  - {id: a, tool: shell, params: {command: 'cat; echo read'}}\n");
    for (args, code, out) in [
        (&["exec", "-e", "import sys; print(repr(sys.stdin.read()))"][..], 0, "''"),
        (&["exec", "--lang", "bash", "-e", "cat; echo read"], 0, "read"),
        (&["exec"], 0, ""),
        (&["run", "plan.yaml"], 0, "Succeeded"),
        (&["run", "-"], 2, ""),
        (&["tool", "call", "file_read", "--params", "-"], 2, ""),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(agentic_binary()).args(args);
        scene.surround(&mut command);
        let seen = command.output().unwrap();
        let text = String::from_utf8_lossy(&seen.stdout);
        assert_eq!(seen.status.code(), Some(code), "{args:?}: {text}\n{}", String::from_utf8_lossy(&seen.stderr));
        assert!(text.contains(out), "{args:?}: {text}");
    }
}

#[test]
fn closed_outputs_are_nobody_to_tell() {
    let scene = Scene::new();
    for redirect in [">&-", "2>&-", ">&- 2>&- <&-"] {
        let mut command = Command::new("sh");
        let script = format!("exec \"$0\" exec -e 'import sys; sys.exit(3)' {redirect}");
        command.args(["-c", &script]).arg(agentic_binary()).stdin(Stdio::null());
        scene.surround(&mut command);
        assert_eq!(command.output().unwrap().status.code(), Some(3), "{redirect}");
    }
}

#[test]
fn a_workspace_that_goes_away_is_said() {
    let scene = Scene::new();
    let folder = scene.work("gone");
    std::fs::create_dir(&folder).unwrap();
    let script = format!("cd '{0}' && rmdir '{0}' && exec \"$0\" exec -e 1", folder.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(agentic_binary()).stdin(Stdio::null());
    scene.surround(&mut command);
    let seen = command.output().unwrap();
    let said = String::from_utf8_lossy(&seen.stderr);
    assert_eq!(seen.status.code(), Some(125), "{said}");
    assert!(said.contains("agentic:") && !said.contains("panicked"), "{said}");
}
