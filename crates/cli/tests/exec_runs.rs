//! `agentic exec` where `python3` stood. These tests need the sandbox, the workspace and a Python.

mod scene;

use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use agentic_testkit::{find_program, processes_with_marker, skip, wait_until_gone};
use scene::{Scene, is_empty};

#[test]
fn a_line_of_python_prints_its_result() {
    let seen = Scene::new().run(["exec", "-e", "print(sum(range(10)))"]);
    seen.ends(0);
    assert_eq!(seen.stdout, "45\n");
    assert_eq!(seen.stderr, "");
}

#[test]
fn streams_arguments_and_status_pass_through() {
    let scene = Scene::new();
    scene.file(
        "echo.py",
        "import sys\nprint(sys.argv[1:], sys.stdin.read())\nprint('aside', file=sys.stderr)\nsys.exit(7)\n",
    );
    let seen = scene.run_with(["exec", "echo.py", "--", "-x", "two words"], b"from stdin");
    seen.ends(7).says("aside");
    assert_eq!(seen.stdout, "['-x', 'two words'] from stdin\n");
    scene.run(["exec", "--lang", "bash", "-e", "kill -TERM $$"]).ends(128 + 15);
    scene.run_with(["exec"], b"print('read')").ends(0).prints("read");
    scene.run_with(["exec", "--lang", "bash", "-"], b"echo hello").ends(0).prints("hello");
}

#[test]
fn the_language_follows_the_file() {
    let scene = Scene::new();
    scene.file("a.sh", "echo $BASH_VERSION\n").file("b", "#!/usr/bin/env bash\necho by-first-line\n");
    assert!(scene.run(["exec", "a.sh"]).ends(0).stdout.len() > 1);
    scene.run(["exec", "b"]).ends(0).prints("by-first-line");
    if find_program("node").is_none() {
        skip!("node is not installed");
    }
    scene.file("c.js", "console.log(6 * 7)\n");
    scene.run(["exec", "c.js"]).ends(0).prints("42");
}

#[test]
fn a_script_beside_the_workspace_runs_too() {
    let scene = Scene::new();
    let script = scene.path("beside.py");
    std::fs::write(&script, "print('beside')\n").unwrap();
    scene.run(["exec", script.to_str().unwrap()]).ends(0).prints("beside");
}

#[test]
fn what_a_program_writes_is_kept_when_it_ends_by_itself() {
    let scene = Scene::new();
    scene.run(["exec", "-e", "open('green.txt', 'w').write('1')"]).ends(0);
    scene.run(["exec", "-e", "open('red.txt', 'w').write('2'); raise SystemExit(3)"]).ends(3);
    assert_eq!((scene.read("green.txt"), scene.read("red.txt")), ("1".into(), "2".into()));
    scene.run(["exec", "--discard", "-e", "open('gone.txt', 'w').write('3'); print('wrote')"]).ends(0).prints("wrote");
    assert!(!scene.work("gone.txt").exists());
}

#[test]
fn a_time_limit_ends_the_tree_and_says_so_in_one_line() {
    let scene = Scene::new();
    let marker = format!("agentic-cli-timeout-{}", std::process::id());
    let code = format!(
        "import subprocess, time\nprint('so far', flush=True)\nopen('half.txt', 'w').write('half')\n\
         subprocess.Popen(['sleep', '600'], env={{'MARK': '{marker}'}})\ntime.sleep(600)"
    );
    let start = Instant::now();
    let seen = scene.run(["exec", "--timeout", "1", "-e", &code]);
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    seen.ends(124).prints("so far").says("agentic: timed out after 1.0 s; the process tree was ended\n");
    assert!(wait_until_gone(&marker, Duration::from_secs(5)).is_empty(), "{:?}", processes_with_marker(&marker));
    // The layer is kept aside, and what the message says takes it.
    assert!(!scene.work("half.txt").exists());
    let line = seen.stderr.lines().find(|line| line.contains("kept aside")).expect("a line that says where");
    let take = line.split("take: ").nth(1).unwrap().split("; drop:").next().unwrap();
    let status = std::process::Command::new("sh").args(["-c", take]).status().unwrap();
    assert!(status.success(), "{take}");
    assert_eq!(scene.read("half.txt"), "half");
}

#[test]
fn a_memory_limit_ends_it_as_137() {
    let seen = Scene::new().run([
        "exec",
        "--memory",
        "64",
        "-e",
        "x = bytearray(1 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1",
    ]);
    // Without a cgroup the allocation itself is refused, and the program ends with a MemoryError of its own.
    assert!(seen.code == 137 || seen.stderr.contains("MemoryError"), "{seen:?}");
}

#[test]
fn json_holds_everything() {
    let seen =
        Scene::new().run(["exec", "--json", "-e", "open('n', 'w').write('x'); print('out'); raise SystemExit(4)"]);
    seen.ends(4);
    let object = seen.json();
    assert_eq!(object["exit_code"], 4);
    assert_eq!(object["stdout"], "out\n");
    assert_eq!(object["reason"]["kind"], "exited");
    assert_eq!(object["changes"]["changes"].as_array().unwrap().len(), 1);
    assert!(object["enforced"].as_object().is_some_and(|map| !map.is_empty()), "{object}");
}

#[test]
fn the_environment_is_what_was_named() {
    let scene = Scene::new().variable("CALLERS_SECRET", "s3cret").variable("PASSED", "by name");
    scene.file("more.env", "# note\nexport FROM_FILE='a value'\n");
    let code = "import os; print(os.environ.get('CALLERS_SECRET'), os.environ['GIVEN'], os.environ['PASSED'], os.environ['FROM_FILE'])";
    scene
        .run(["exec", "-e", code, "--env", "GIVEN=1", "--env", "PASSED", "--env-file", "more.env"])
        .ends(0)
        .prints("None 1 by name a value\n");
    // The control: the caller does have it.
    let there = scene.command(["--version"]).get_envs().any(|(name, _)| name == "CALLERS_SECRET");
    assert!(there);
}

#[test]
fn an_output_cap_drains_the_rest() {
    let seen = Scene::new().run([
        "exec",
        "--max-output",
        "1",
        "-e",
        "import sys; sys.stdout.write('x' * (5 << 20)); sys.exit(6)",
    ]);
    seen.ends(6);
    assert_eq!(seen.stdout.len(), 1 << 20);
}

#[test]
fn a_missing_runtime_is_not_found() {
    let scene = Scene::new();
    scene.run(["exec", "-e", "1", "--runtime", "/nowhere/python3"]).ends(127).says("/nowhere/python3");
    scene.file("plain", "text");
    scene.run(["exec", "-e", "1", "--runtime", "plain"]).ends(126).says("plain");
}

#[test]
fn ctrl_c_ends_it_cleanly_with_130() {
    let scene = Scene::new();
    let mut child = scene
        .command(["exec", "-e", "import time; print('ready', flush=True); time.sleep(600)"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_reader_that_goes_away_ends_nothing_loudly() {
    let scene = Scene::new();
    let mut child = scene
        .command(["exec", "-e", "for i in range(100000): print(i)"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked") && !said.contains("agentic:"), "{said}");
}

#[test]
fn exec_opens_no_journal() {
    let scene = Scene::new();
    scene.run(["exec", "-e", "1"]).ends(0);
    assert!(!scene.path("state/agentic/journal.sqlite3").exists());
    assert!(is_empty(&scene.path("home")), "something was left in the home folder");
}

#[test]
fn a_home_folder_that_is_not_there_is_not_made() {
    let scene = Scene::new();
    let home = scene.path("home/none");
    let run = |state: Option<&Path>| {
        let mut command = scene.command(["exec", "-e", "print('ran')"]);
        command.env("HOME", &home).env_remove("XDG_STATE_HOME");
        if let Some(state) = state {
            command.env("AGENTIC_STATE", state);
        }
        command.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap()
    };
    let refused = run(None);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(125), "{said}");
    assert!(said.contains("home/none does not exist") && said.contains("AGENTIC_STATE"), "{said}");
    let told = run(Some(&scene.path("state/told")));
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(!home.exists());
}

#[test]
fn a_program_in_the_home_folder_works() {
    let scene = Scene::new();
    // Its default state folder lies beneath it, where no layer can lie.
    let mut child = scene
        .command(["exec", "-e", "open('here', 'w').write('x'); print('ran')"])
        .env_remove("XDG_STATE_HOME")
        .current_dir(scene.path("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scene.path("home/here").exists());
}

#[test]
fn output_that_cannot_be_passed_on_is_no_success() {
    let scene = Scene::new();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = |code: &str| {
        let mut command = scene.command(["exec", "-e", code]);
        let output = command.stdout(full()).stderr(Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run("print('lost')");
    assert_eq!(code, Some(125), "{said}");
    assert!(said.contains("standard output: No space left on device"), "{said}");
    assert_eq!(run("print('lost'); raise SystemExit(3)").0, Some(3), "the program's own status tells more");
    assert_eq!(run("pass"), (Some(0), String::new()));
}

#[test]
fn a_path_or_module_that_cannot_be_is_refused() {
    let scene = Scene::new();
    for flag in ["--ro", "--rw"] {
        let seen = scene.run(["exec", flag, "/no/such/path", "-e", "print('ran')"]);
        seen.ends(125).says("/no/such/path").says(flag);
        assert_eq!(seen.stdout, "");
    }
    scene.run(["exec", "--block-import", "so cket", "-e", "pass"]).ends(125).says("`so cket` is no name of a module");
    scene.run(["exec", "--block-import", "os.path", "-e", "pass"]).ends(0);
}

#[test]
fn the_home_folder_as_the_workspace_is_warned_of() {
    let scene = Scene::new();
    let home = scene.work("").display().to_string();
    let open = Scene::new().variable("HOME", &home);
    open.run(["exec", "-C", &home, "-e", "print(1)"]).ends(0).says("holds your home folder").prints("1");
    assert_eq!(scene.run(["exec", "-C", &home, "-e", "print(1)"]).ends(0).stderr, "", "another's folder is a folder");
}

#[test]
fn an_import_policy_says_that_it_is_of_python() {
    let scene = Scene::new();
    let seen = scene.run(["exec", "--block-import", "json", "--lang", "bash", "-e", "echo ran"]);
    seen.ends(0).prints("ran").says("name modules of Python");
}
