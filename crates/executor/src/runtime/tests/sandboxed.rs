//! Prepared programs in the real sandbox: what the policy promises, held by the kernel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentic_sandbox::{Output, Sandbox, Source, Spawner, Stdin, View, Workspace};
use agentic_testkit::{TestWorkspace, spawner_binary};

use crate::config::{Budgets, Config, Host, SandboxSettings};
use crate::runtime::exec::prepare_over;
use crate::runtime::find::Runtime;
use crate::runtime::{Language, Program, Request, Runtimes, compiled, host_policy};

struct Place {
    workspace: TestWorkspace,
    config: Config,
    sandbox: Sandbox,
}

impl Place {
    fn new() -> Self {
        let workspace = TestWorkspace::new();
        let env: BTreeMap<_, _> = std::env::vars_os().collect();
        let home = env.get(std::ffi::OsStr::new("HOME")).map(PathBuf::from);
        let spawner = Spawner::Path(spawner_binary());
        let config = Config {
            workspace: workspace.path().to_owned(),
            state: workspace.state().to_owned(),
            spawner: spawner.clone(),
            host: Host { home, env, memory: 4 << 30 },
            sandbox: SandboxSettings::default(),
            budgets: Budgets::default(),
        };
        Self { workspace, config, sandbox: Sandbox::new(spawner).unwrap() }
    }
    /// The workspace over a layer of its own.
    fn mounts(&self) -> Vec<Workspace> {
        let made = |name: &str| {
            let path = self.workspace.state().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let lowers = vec![self.workspace.path().to_owned()];
        let source = Source::Overlay { lowers, upper: made("upper"), work: made("work") };
        vec![Workspace { path: self.workspace.path().to_owned(), source }]
    }
    fn run(&self, request: &Request) -> Output {
        let invocation = prepare_over(
            &Runtimes::new(),
            Some(&self.sandbox),
            &self.config,
            request,
            self.mounts(),
            &self.config.state.join("code"),
        )
        .unwrap();
        invocation.command.output(&self.sandbox).unwrap()
    }
    fn python(&self, code: &str) -> Output {
        self.run(&Request::new(Language::Python, Program::Code(code.into())))
    }
    fn shell(&self, line: &str) -> Output {
        let mut command = agentic_sandbox::Command::new("/bin/bash");
        command.arg("-c").arg(line).current_dir(self.workspace.path());
        command.limits(agentic_sandbox::Limits::for_host_view(self.config.host.memory));
        host_policy(&self.config, self.mounts()).apply(&mut command);
        command.output(&self.sandbox).unwrap()
    }
}

#[track_caller]
fn prints(output: &Output, expected: &str) {
    assert_eq!(output.stdout.text(), expected, "{:?}: {}", output.reason, output.stderr.text());
    assert!(output.reason.success(), "{:?}: {}", output.reason, output.stderr.text());
}

#[test]
fn every_language_runs_code_files_and_input() {
    let place = Place::new();
    place
        .workspace
        .file("a.py", "import sys; print(sys.argv, __file__)")
        .file("a.sh", "echo $1")
        .file("a.js", "console.log(process.argv[2])");
    prints(&place.python("print(sum(range(10)))"), "45\n");
    prints(&place.run(&Request::new(Language::Bash, Program::Code("echo $((6 * 7)) $0".into()))), "42 bash\n");
    let mut file = Request::new(Language::Python, Program::File("a.py".into()));
    file.args = vec!["x".into()];
    prints(&place.run(&file), &format!("['a.py', 'x'] {}\n", place.workspace.join("a.py").display()));
    file = Request::new(Language::Bash, Program::File("a.sh".into()));
    file.args = vec!["x y".into()];
    prints(&place.run(&file), "x y\n");
    let mut stdin = Request::new(Language::Python, Program::Stdin);
    stdin.stdin = Stdin::Bytes(b"print('typed')".to_vec());
    prints(&place.run(&stdin), "typed\n");
    let node = Request::new(Language::JavaScript, Program::Code("console.log(1 + 1)".into()));
    match Runtimes::new().find(&place.config, Language::JavaScript) {
        Ok(_) => {
            let mut node = node;
            node.limits.memory = 1 << 30;
            prints(&place.run(&node), "2\n");
        }
        Err(error) => agentic_testkit::report_skip(&error.to_string()),
    }
}

#[test]
fn code_too_large_for_an_argument_runs_as_well_and_input_stays_the_programs() {
    let place = Place::new();
    let mut code = "#".repeat(3 << 20);
    code.push_str("\nimport sys; print(sys.stdin.read(), sys.argv, len(__import__('os').listdir('.')))\n");
    let mut request = Request::new(Language::Python, Program::Code(code.into_bytes()));
    request.stdin = Stdin::Bytes(b"typed".to_vec());
    request.args = vec!["x".into()];
    prints(&place.run(&request), "typed ['-c', 'x'] 0\n");
}

#[test]
fn the_bootstrap_is_compiled_once_and_a_spoilt_copy_is_not_believed() {
    let mut place = Place::new();
    place.config.sandbox.blocked_imports = vec!["socket".into()];
    let folder = place.workspace.state().join("bootstrap");
    let kept = || {
        let mut files: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().map(|f| f.unwrap().path()).collect();
        assert!(files.len() < 2, "{files:?}");
        files.pop().map(|path| (path.clone(), std::fs::read(path).unwrap()))
    };
    let refused = |place: &Place| {
        let output = place.python("import socket");
        assert!(output.stderr.text().contains("Blocked import: 'socket'"), "{}", output.stderr.text());
        assert!(!output.stderr.text().contains("import policy"), "no frame of ours: {}", output.stderr.text());
    };
    assert_eq!(kept(), None);
    refused(&place);
    let (path, code) = kept().expect("what the interpreter compiled");
    refused(&place);
    assert_eq!(kept(), Some((path.clone(), code.clone())));
    let replace = |with: &[u8]| {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, with).unwrap();
    };
    // Cut short or spoilt: made anew.
    for spoilt in [&b"cafe"[..], &code[..code.len() - 1], &[&[code[0] ^ 1], &code[1..]].concat()] {
        replace(spoilt);
        refused(&place);
        assert_eq!(kept(), Some((path.clone(), code.clone())));
    }
    // That the interpreter cannot compile it is remembered, and the source serves.
    replace(b"");
    refused(&place);
    assert_eq!(kept(), Some((path.clone(), Vec::new())));
    // A state folder within the workspace.
    place.config.state = place.workspace.path().join("state");
    refused(&place);
    assert!(!place.config.state.exists());
}

#[test]
fn the_bootstrap_of_a_prepared_run_stays_though_more_interpreters_come_than_are_remembered() {
    let mut place = Place::new();
    place.config.sandbox.blocked_imports = vec!["socket".into()];
    let folder = place.workspace.state().join("bootstrap");
    let request = Request::new(Language::Python, Program::Code(b"print(1)\nimport socket".into()));
    let (runtimes, code) = (Runtimes::new(), place.config.state.join("code"));
    let prepared =
        prepare_over(&runtimes, Some(&place.sandbox), &place.config, &request, place.mounts(), &code).unwrap();
    let its_own = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    // Others that are newer, more than are remembered; then an interpreter is met for the first time and makes room.
    for number in 0..64 {
        std::fs::write(folder.join(number.to_string()), b"").unwrap();
    }
    let other = Runtime { executable: "/usr/../usr/bin/python3".into(), ..prepared.runtime.clone() };
    assert!(compiled::bootstrap(&place.sandbox, &place.config, &other).is_some());
    let left = std::fs::read_dir(&folder).unwrap().count();
    assert!(left <= 33, "room was made: {left}");
    assert!(its_own.exists(), "it is the oldest of all, and held");
    let output = prepared.command.output(&place.sandbox).unwrap();
    assert_eq!(output.stdout.text(), "1\n", "{}", output.stderr.text());
    assert!(output.stderr.text().contains("Blocked import: 'socket'"), "{}", output.stderr.text());
}

#[test]
fn what_a_blocked_name_stands_for_is_closed_below_python() {
    let mut place = Place::new();
    let attempts = [
        "import ctypes; print(ctypes.CDLL(None).system(b'echo started'))",
        "import ctypes, os\npid = os.fork()\nif pid == 0:\n ctypes.CDLL(None).execl(b'/bin/echo', b'echo', b'started', None); os._exit(3)\nos.waitpid(pid, 0)",
        "import sys, tempfile, _posixsubprocess as p, os\nr, w = os.pipe()\ntry:\n p.fork_exec([b'/bin/echo', b'started'], [b'/bin/echo'], True, (), None, None, -1, -1, -1, -1, -1, -1, r, w, False, False, -1, None, None, None, -1, None, False)\nexcept (OSError, TypeError) as e: print(type(e).__name__)",
    ];
    // The control: without a policy the first two start it.
    for attempt in &attempts[..2] {
        let output = place.python(attempt);
        assert!(output.stdout.text().contains("started"), "{attempt}: {}", output.stderr.text());
    }
    place.config.sandbox.blocked_imports = vec!["subprocess".into()];
    for attempt in attempts {
        let output = place.python(attempt);
        assert!(!output.stdout.text().contains("started"), "{attempt}: {}", output.stdout.text());
    }
    prints(&place.python("import asyncio, tempfile; asyncio.run(asyncio.sleep(0)); print('ok')"), "ok\n");
    let output = place.python("import subprocess");
    assert!(output.stderr.text().contains("Blocked import: 'subprocess'"), "{}", output.stderr.text());
}

#[test]
fn sockets_are_closed_below_python_too() {
    let mut place = Place::new();
    let attempt = "import _socket, errno\ntry:\n _socket.socket(2, 1); print('open')\nexcept OSError as e: print(errno.errorcode[e.errno])";
    prints(&place.python(attempt), "open\n");
    place.config.sandbox.blocked_imports = vec!["socket".into()];
    prints(&place.python(attempt), "EAFNOSUPPORT\n");
}

#[test]
fn dotenv_files_are_absent_from_code_and_there_for_commands() {
    let place = Place::new();
    place.workspace.file(".env", "KEY=1").file(".env.example", "KEY=").file("app/.env.local", "KEY=2");
    let look = "import os\nfor p in ['.env', '.env.example', 'app/.env.local']: print(os.path.exists(p))";
    prints(&place.python(look), "False\nTrue\nFalse\n");
    prints(&place.shell("cat .env app/.env.local"), "KEY=1KEY=2");
}

#[test]
fn the_callers_environment_and_home_stay_outside() {
    let mut place = Place::new();
    place.config.host.env.insert("PLANTED_TOKEN".into(), "x".into());
    let home = place.config.host.home.clone().unwrap();
    let look = format!(
        "import os; print('PLANTED_TOKEN' in os.environ, os.path.expanduser('~'), os.path.exists({home:?}) and os.listdir({home:?}))"
    );
    let output = place.python(&look);
    let text = output.stdout.text();
    assert!(text.starts_with("False /home/user "), "{text}{}", output.stderr.text());
    assert!(!text.contains("bashrc") && !text.contains(".ssh") && !text.contains(".config"), "{text}");
}

/// The toolchains of this host, each where it is installed.
#[test]
fn the_users_toolchains_work_in_the_host_view() {
    let place = Place::new();
    place.workspace.file("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    place.workspace.file("src/main.rs", "fn main() { println!(\"built\"); }");
    for (tool, line, expected) in [
        ("cargo", "cargo build -q 2>&1 && target/debug/x", "built\n"),
        (
            "git",
            "git init -q . && git add src && git -c user.name=A -c user.email=a@b commit -qm x && git log --format=%s",
            "x\n",
        ),
        ("python3", "python3 -c 'import sys; print(1)'", "1\n"),
        ("npm", "npm --version >/dev/null && echo npm", "npm\n"),
    ] {
        if agentic_testkit::find_program(tool).is_none() {
            agentic_testkit::report_skip(&format!("no {tool} on this host"));
            continue;
        }
        prints(&place.shell(line), expected);
    }
    let venv =
        "python3 -m venv --without-pip .venv && .venv/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)'";
    prints(&place.shell(venv), "True\n");
    assert!(!Path::new(place.workspace.path()).join(".venv").exists(), "it was written through");
}

#[test]
fn a_venv_of_the_workspace_is_the_one_that_runs() {
    let place = Place::new();
    let made = std::process::Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(place.workspace.join(".venv"))
        .status();
    assert!(made.unwrap().success());
    let prefix = place.workspace.join(".venv");
    prints(&place.python("import sys; print(sys.prefix)"), &format!("{}\n", prefix.display()));
    let mut host = Request::new(Language::Python, Program::Code("import sys; print(sys.prefix)".into()));
    host.view = View::Host;
    prints(&place.run(&host), &format!("{}\n", prefix.display()));
}
