//! The import policy of `agentic exec`: what is named is refused by name, what only sounds like it runs, and
//! no way around the names executes anything.

mod scene;

use scene::Scene;

const BLOCKED: [&str; 4] = ["--block-import", "subprocess", "--block-import", "socket"];

fn exec<'a>(code: &'a str, policy: &[&'a str]) -> Vec<&'a str> {
    [&["exec", "-e", code], policy].concat()
}

#[test]
fn a_blocked_import_is_refused_by_name() {
    let scene = Scene::new();
    for code in
        ["import subprocess", "from subprocess import run", "import subprocess as harmless", "import os, subprocess"]
    {
        let seen = scene.run(exec(code, &BLOCKED));
        seen.ends(1).says("Blocked import: 'subprocess'");
        scene.run(exec(code, &[])).ends(0); // the control
    }
    scene.run(exec("import socket", &BLOCKED)).ends(1).says("Blocked import: 'socket'");
    // A module of the workspace is the user's code too.
    scene.file("mine.py", "import subprocess\n");
    scene.run(exec("import mine", &BLOCKED)).ends(1).says("'subprocess'");
    scene.file("main.py", "import subprocess\n");
    scene.run(["exec", "main.py", "--block-import", "subprocess"]).ends(1).says("'subprocess'");
    scene.run_with(["exec", "--block-import", "subprocess"], b"import subprocess\n").ends(1).says("'subprocess'");
}

#[test]
fn what_only_sounds_like_it_runs() {
    let scene = Scene::new();
    for code in [
        "import asyncio; print(asyncio.run(asyncio.sleep(0, 'ok')))",
        "import tempfile; print(tempfile.TemporaryFile() and 'ok')",
        "# import subprocess, socket\nprint('ok')",
        "text = 'import socket; import subprocess'; print('ok')",
        "'''import socket'''\nprint('ok')",
        "import json, re, math, os; print('ok')",
        "subprocess = socket = 'ok'; print(subprocess)",
    ] {
        let seen = scene.run(exec(code, &BLOCKED));
        seen.ends(0);
        assert_eq!(seen.stdout, "ok\n", "{code}");
    }
}

#[test]
fn no_way_around_the_names_executes_anything() {
    let touch = "['touch', 'pwned']";
    for code in [
        format!("__import__('sub' + 'process').run({touch})"),
        format!("import importlib; importlib.import_module('sub' + 'process').run({touch})"),
        format!("import sys, asyncio; sys.modules['subprocess'].run({touch})"),
        "import ctypes; ctypes.CDLL(None).system(b'touch pwned')".to_owned(),
        "import ctypes; ctypes.CDLL(None).execlp(b'touch', b'touch', b'pwned', None)".to_owned(),
        "import ctypes, os\np = ctypes.CDLL(None)\na = (ctypes.c_char_p * 3)(b'touch', b'pwned', None)\nif p.fork() == 0:\n    p.execvp(b'touch', a)\n    os._exit(1)\nos.wait()".to_owned(),
        "import os; os.system('touch pwned')".to_owned(),
        "import posix; posix.system('touch pwned')".to_owned(),
        "import os; os.popen('touch pwned').read()".to_owned(),
        "import os; os.execlp('touch', 'touch', 'pwned')".to_owned(),
        format!("import os; os.waitpid(os.posix_spawnp('touch', {touch}, {{}}), 0)"),
        format!("import os; os.spawnlp(os.P_WAIT, 'touch', *{touch})"),
        "import pty; pty.spawn(['touch', 'pwned'])".to_owned(),
    ] {
        let scene = Scene::new();
        let seen = scene.run(exec(&code, &BLOCKED));
        assert!(!scene.work("pwned").exists(), "executed by {code}: {seen:?}");
    }
}

#[test]
fn without_a_policy_those_ways_do_execute() {
    // The control: what is refused above is refused by the policy.
    for code in [
        "__import__('sub' + 'process').run(['touch', 'pwned'])",
        "import ctypes; ctypes.CDLL(None).system(b'touch pwned')",
        "import ctypes, os\np = ctypes.CDLL(None)\na = (ctypes.c_char_p * 3)(b'touch', b'pwned', None)\nif p.fork() == 0:\n    p.execvp(b'touch', a)\n    os._exit(1)\nos.wait()",
        "import os; os.system('touch pwned')",
        "import os; os.waitpid(os.posix_spawnp('touch', ['touch', 'pwned'], os.environ), 0)",
    ] {
        let scene = Scene::new();
        scene.run(exec(code, &[])).ends(0);
        assert!(scene.work("pwned").exists(), "not even the control executed: {code}");
    }
}

#[test]
fn the_raw_fork_and_exec_of_the_standard_library_executes_nothing() {
    // Called by the library's own class, which the library itself may import: its parameters differ between Pythons.
    let code = "import _posixsubprocess, asyncio, sys
library = sys.modules['subprocess']
library._fork_exec = _posixsubprocess.fork_exec
library._USE_POSIX_SPAWN = False
try:
    library.Popen(['touch', 'pwned']).wait()
except OSError as error:
    print('refused', error.errno)
";
    let scene = Scene::new();
    let seen = scene.run(exec(code, &BLOCKED));
    assert!(!scene.work("pwned").exists(), "{seen:?}");
    assert!(seen.stdout.contains("refused 1"), "{seen:?}");
    scene.run(exec(&code.replace("import _posix", "import subprocess, _posix"), &[])).ends(0);
    assert!(scene.work("pwned").exists(), "not even the control executed");
}

#[test]
fn a_list_of_allowed_imports_refuses_the_rest() {
    let scene = Scene::new();
    let only = ["--allow-import", "json", "--allow-import", "math"];
    scene.run(exec("import json, math; print(math.floor(1.5))", &only)).ends(0).prints("1");
    scene.run(exec("import os", &only)).ends(1).says("'os'");
    let both = ["--allow-import", "json", "--block-import", "json"];
    scene.run(exec("import json", &both)).ends(1).says("'json'");
    // What no listed module stands for is closed in the kernel too.
    let seen =
        scene.run(exec("import ctypes; ctypes.CDLL(None).system(b'touch pwned')", &["--allow-import", "ctypes"]));
    assert!(!scene.work("pwned").exists(), "{seen:?}");
}
