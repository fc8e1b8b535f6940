//! The bootstrap under the host's own Python, outside any sandbox: what is refused by name here is closed in
//! the kernel besides, which `tests/code_runs.rs` shows.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use agentic_sandbox::Closed;

use crate::config::SandboxSettings;
use crate::runtime::compiled::{self, OPTIONS};
use crate::runtime::imports::{BOOTSTRAP, Capability, FILE_NAME, ImportPolicy, STANDS_FOR, Source};

fn policy(allowed: Option<&[&str]>, blocked: &[&str]) -> ImportPolicy {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    ImportPolicy { allowed: allowed.map(owned), blocked: owned(blocked) }
}

fn defaults() -> ImportPolicy {
    policy(None, &["os.system", "subprocess", "socket", "requests", "urllib", "ftplib", "telnetlib", "smtplib"])
}

#[derive(Debug, PartialEq, Eq)]
struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a program under a policy in `dir`, which is also the workspace root: with the bootstrap compiled ahead, and
/// from its source, which must not differ. `None`: no python3 here.
fn run(policy: &ImportPolicy, source: Source<'_>, dir: &Path, args: &[&str], stdin: &str) -> Option<Ran> {
    let from_source = run_from(None, policy, source, dir, args, stdin)?;
    let compiled = run_from(Some(compiled()), policy, source, dir, args, stdin)?;
    assert_eq!(compiled, from_source, "compiled ahead, and from the source");
    Some(compiled)
}

/// The bootstrap as the host's Python compiles it, in a file.
fn compiled() -> &'static Path {
    static COMPILED: OnceLock<tempfile::NamedTempFile> = OnceLock::new();
    let file = COMPILED.get_or_init(|| {
        let output = Command::new("python3").args(OPTIONS).args([BOOTSTRAP, FILE_NAME]).output().unwrap();
        holding(&compiled::contents(&String::from_utf8(output.stdout).unwrap()).expect("code"))
    });
    file.path()
}

fn holding(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn run_from(
    compiled: Option<&Path>,
    policy: &ImportPolicy,
    source: Source<'_>,
    dir: &Path,
    args: &[&str],
    stdin: &str,
) -> Option<Ran> {
    let child = Command::new("python3")
        .args(policy.arguments(source, &[dir.to_owned()], compiled))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            agentic_testkit::report_skip(&format!("no python3 on PATH ({error})"));
            return None;
        }
    };
    // The program may end without reading it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Some(Ran {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[test]
fn code_for_another_interpreter_gives_way_to_the_source() {
    let dir = folder();
    let other = holding(&compiled::contents("00000000 00").unwrap());
    let Some(ran) = run_from(Some(other.path()), &defaults(), Source::Argument, dir.path(), &["import socket"], "")
    else {
        return;
    };
    assert!(ran.stderr.contains("Blocked import: 'socket'"), "{}", ran.stderr);
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn code(policy: &ImportPolicy, code: &str) -> Option<Ran> {
    let dir = folder();
    run(policy, Source::Argument, dir.path(), &[code], "")
}

#[track_caller]
fn refused(policy: &ImportPolicy, program: &str, name: &str) {
    let Some(ran) = code(policy, program) else { return };
    assert_ne!(ran.status, Some(0), "{program}: {}", ran.stdout);
    let last = ran.stderr.trim().lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with(&format!("ImportError: Blocked import: '{name}'")), "{program}: {}", ran.stderr);
    assert!(!ran.stderr.contains("import policy"), "{program}: a frame of ours shows: {}", ran.stderr);
}

#[track_caller]
fn runs(policy: &ImportPolicy, program: &str) {
    let Some(ran) = code(policy, &format!("{program}\nprint('ran')")) else { return };
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "ran\n"), "{program}: {}", ran.stderr);
}

#[test]
fn blocked_names_are_refused_however_they_are_spelt() {
    let policy = defaults();
    for program in [
        "import subprocess",
        "import subprocess as s",
        "from subprocess import run",
        "import json, subprocess",
        "def f():\n import subprocess\nf()",
        "__import__('sub' + 'process')",
        "import importlib; importlib.import_module('subprocess')",
        "from importlib import import_module; import_module('sub' + 'process')",
        "import importlib; importlib.__import__('subprocess')",
        "exec('import subprocess')",
        "exec('import subprocess', {})",
        "exec('import subprocess', {'__name__': 'json'})",
        "eval('__import__(\"subprocess\")')",
    ] {
        refused(&policy, program, "subprocess");
    }
    refused(&policy, "import urllib.request", "urllib.request");
    refused(&policy, "from urllib import parse", "urllib");
    refused(&policy, "import os; os.system('echo out')", "os.system");
    refused(&policy, "from os import system", "os.system");
    refused(&policy, "from os import *; system('echo out')", "os.system");
}

#[test]
fn words_and_the_library_itself_are_no_imports_of_the_user() {
    let policy = defaults();
    for program in [
        "import asyncio",
        "import tempfile",
        "import os, sys, json, math",
        "# import socket",
        "x = 'import subprocess; the socket wrench'",
        "import multiprocessing.pool, concurrent.futures, http.client, logging.handlers",
        "import os.path; os.getcwd()",
        "from os import path, getcwd",
        "import asyncio; asyncio.run(asyncio.sleep(0))",
        "class subprocess: pass",
    ] {
        runs(&policy, program);
    }
}

#[test]
fn third_party_modules_import_what_they_need_and_local_ones_do_not() {
    let dir = folder();
    // A package installed in a venv of the workspace, as its interpreter's own site-packages would be.
    let Some(made) =
        run(&ImportPolicy::default(), Source::Argument, dir.path(), &["import venv; venv.create('.venv')"], "")
    else {
        return;
    };
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let lib = fs::read_dir(dir.path().join(".venv/lib")).unwrap().next().unwrap().unwrap().path();
    fs::write(lib.join("site-packages/frame.py"), "import subprocess, urllib.request\ndata = subprocess.__name__\n")
        .unwrap();
    fs::write(dir.path().join("local.py"), "import subprocess\n").unwrap();
    fs::create_dir(dir.path().join("package")).unwrap();
    fs::write(dir.path().join("package/__init__.py"), "from . import inner\n").unwrap();
    fs::write(dir.path().join("package/inner.py"), "value = 1\n").unwrap();

    let python = dir.path().join(".venv/bin/python3");
    let run = |program: &str| {
        let arguments = defaults().arguments(Source::Argument, &[dir.path().to_owned()], None);
        let output = Command::new(&python).args(arguments).arg(program).current_dir(dir.path()).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (ok, said) = run("import frame; print(frame.data)");
    assert!(ok && said == "subprocess\n", "{said}");
    let (ok, said) = run("import local");
    assert!(!ok && said.contains("Blocked import: 'subprocess'") && said.contains("local.py"), "{said}");
    let (ok, said) = run("import package; print(package.inner.value)");
    assert!(ok, "{said}");
    let (ok, said) = run("import frame\nimport subprocess");
    assert!(!ok && said.contains("Blocked import: 'subprocess'"), "already loaded by another: {said}");
}

#[test]
fn an_allow_list_is_the_only_way_in_and_blocked_beats_it() {
    let allowed = policy(Some(&["math", "os.path", "json", "subprocess"]), &["subprocess"]);
    runs(&allowed, "import math, json; from os import path; import os.path; import json.decoder");
    refused(&allowed, "import random", "random");
    refused(&allowed, "from os import getcwd", "os");
    refused(&allowed, "import subprocess", "subprocess");
    let dotted = policy(None, &["json.decoder"]);
    runs(&dotted, "import json");
    refused(&dotted, "import json.decoder", "json.decoder");
    refused(&dotted, "from json import decoder", "json.decoder");
    refused(&policy(Some(&[]), &[]), "import math", "math");
}

#[test]
fn what_the_kernel_closes_is_explained_to_whoever_meets_it() {
    let Some(ran) = code(&defaults(), "import multiprocessing.util, _posixsubprocess\n_posixsubprocess.fork_exec()")
    else {
        return;
    };
    assert!(
        ran.stderr.contains("PermissionError")
            && ran.stderr.contains("blocked_imports has \"os.system\", \"subprocess\""),
        "{}",
        ran.stderr
    );
    let Some(ran) = code(&policy(None, &["subprocess"]), "import os; os.system('echo started')") else { return };
    assert!(ran.stderr.contains("PermissionError") && !ran.stdout.contains("started"), "{}{}", ran.stdout, ran.stderr);
    // The control: with nothing that stands for exec blocked, it starts.
    let Some(ran) = code(&policy(None, &["random"]), "import os; os.system('echo started')") else { return };
    assert_eq!(ran.stdout, "started\n", "{}", ran.stderr);
}

/// The same program with and without a policy: the only difference may be the policy.
fn same_as_plain(source: Source<'_>, dir: &Path, plain: &[&str], args: &[&str], stdin: &str) {
    let Some(ours) = run(&policy(None, &["no_such_module"]), source, dir, args, stdin) else { return };
    let mut child = Command::new("python3")
        .args(plain)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let theirs = child.wait_with_output().unwrap();
    assert_eq!(ours.stdout, String::from_utf8_lossy(&theirs.stdout), "{plain:?}");
    assert_eq!(ours.stderr, String::from_utf8_lossy(&theirs.stderr), "{plain:?}");
    assert_eq!(ours.status, theirs.status.code(), "{plain:?}");
}

#[test]
fn a_program_runs_as_python_itself_would_run_it() {
    let dir = folder();
    let programs = [
        "import sys; print(__name__, sys.argv, repr(sys.path[0]), sorted(globals()))",
        "import sys; print(sys.stdin.read())",
        "print(input())",
        "1/0",
        "def f():\n    return {}['x']\nf()",
        "try:\n    import no_such_thing\nexcept ImportError as e:\n    raise ValueError('x') from e",
        "import no_such_thing",
        "x = )",
        "import sys; sys.exit(7)",
        "import sys; sys.exit('last words')",
        "raise SystemExit",
        "import sys; sys.excepthook = lambda *a: print('mine', a[1]); 1/0",
        "import atexit; atexit.register(print, 'bye'); 1/0",
        "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))), __import__('__main__').A is A)",
        "raise KeyboardInterrupt",
        "print('caf\u{e9} \u{1f600}')",
        "from __future__ import annotations\nx: undefined = 1\nprint(__annotations__)",
    ];
    for program in programs {
        same_as_plain(Source::Argument, dir.path(), &["-c", program, "a", "-b"], &[program, "a", "-b"], "typed\n");
        let file = dir.path().join("program.py");
        fs::write(&file, program).unwrap();
        let name = Path::new("program.py");
        same_as_plain(Source::File(name), dir.path(), &["program.py", "a"], &["a"], "typed\n");
        same_as_plain(Source::CodeFile(&file), dir.path(), &["-c", program, "a"], &["a"], "typed\n");
        if !program.contains("stdin") && !program.contains("input()") {
            same_as_plain(Source::Stdin, dir.path(), &["-", "a"], &["a"], program);
        }
    }
    same_as_plain(Source::File(Path::new("absent.py")), dir.path(), &["absent.py"], &[], "");
    let show = "import sys; print(__file__, sys.argv, sys.path[0] == sys.path[0], __spec__)";
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/shown.py"), show).unwrap();
    same_as_plain(Source::File(Path::new("sub/shown.py")), dir.path(), &["sub/shown.py"], &[], "");
}

#[test]
fn a_module_of_the_workspace_does_not_take_the_place_of_ours() {
    let dir = folder();
    fs::write(dir.path().join("posix.py"), "print('hijacked')").unwrap();
    fs::write(dir.path().join("os.py"), "print('hijacked')").unwrap();
    let Some(ran) = run(&defaults(), Source::Argument, dir.path(), &["print(1)"], "") else { return };
    assert_eq!(ran.stdout, "1\n", "{}", ran.stderr);
}

#[test]
fn names_close_what_they_stand_for() {
    const OPEN: Closed = Closed { exec: false, inet: false };
    const NO_EXEC: Closed = Closed { exec: true, inet: false };
    const NO_INET: Closed = Closed { exec: false, inet: true };
    const NEITHER: Closed = Closed { exec: true, inet: true };
    assert_eq!(ImportPolicy::default().closed(), OPEN);
    assert_eq!(policy(None, &["subprocess"]).closed(), NO_EXEC);
    assert_eq!(policy(None, &["os.system"]).closed(), NO_EXEC);
    assert_eq!(policy(None, &["subprocess.Popen"]).closed(), NO_EXEC);
    assert_eq!(policy(None, &["urllib.request"]).closed(), NO_INET);
    assert_eq!(policy(None, &["urllib.parse"]).closed(), OPEN);
    assert_eq!(policy(None, &["numpy", "os", "asyncio"]).closed(), OPEN);
    assert_eq!(defaults().closed(), NEITHER);
    assert_eq!(policy(Some(&["math"]), &[]).closed(), NEITHER);
    assert_eq!(policy(Some(&["math", "ctypes", "os"]), &[]).closed(), NEITHER);
    assert_eq!(policy(Some(&["subprocess"]), &[]).closed(), NO_INET);
    assert_eq!(policy(Some(&["requests"]), &[]).closed(), NO_EXEC);
    assert_eq!(policy(Some(&["requests", "subprocess"]), &[]).closed(), OPEN);
    assert_eq!(policy(Some(&["requests", "subprocess"]), &["subprocess"]).closed(), NO_EXEC);
    let settings =
        SandboxSettings { blocked_imports: vec![" socket ".into(), String::new()], ..SandboxSettings::default() };
    assert!(ImportPolicy::new(&settings).closes(Capability::Inet));
}

#[test]
fn the_page_holds_the_table() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/imports.md");
    let page = fs::read_to_string(page).unwrap();
    for (module, capability, why) in STANDS_FOR {
        let capability = if *capability == Capability::Exec { "exec" } else { "INET sockets" };
        let row = format!("| `{module}` | {capability} | {why} |");
        assert!(page.contains(&row), "docs/reference/imports.md lacks: {row}");
    }
    assert_eq!(page.matches("\n| `").count(), STANDS_FOR.len(), "a row of the page is not in the table");
}
