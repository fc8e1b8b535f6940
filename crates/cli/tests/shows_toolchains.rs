//! The user's own toolchains work in the `host` view, out of a home that nobody else may enter and that is full
//! of secrets, none of which a step can reach.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use agentic_testkit::{PlantedHome, agentic_binary, find_program, skip};
use serde_json::{Value, json};

/// A home with 30 secrets and the toolchains of its owner; the workspace is a project in it.
struct Station {
    home: PlantedHome,
}

impl Station {
    fn new() -> Self {
        let home = PlantedHome::new();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { home }
    }
    fn project(&self) -> PathBuf {
        self.home.project()
    }
    fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }
    /// A command of the home's owner, with the settings of a login and none of this test's.
    fn owner(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let at = |name: &str| self.home.path().join(name).display().to_string();
        let path = format!("{}:{}:/usr/local/bin:/usr/bin:/bin", at(".cargo/bin"), at(".pyenv/shims"));
        command.env_clear().env("HOME", self.home.path()).env("PATH", path).env("LANG", "C.UTF-8");
        command.current_dir(self.project());
        command
    }
    /// One call of `shell`: its whole result.
    fn shell(&self, command: &str) -> Value {
        let params = json!({"command": command, "timeout": 240}).to_string();
        let output = self
            .owner(agentic_binary())
            .args(["tool", "call", "shell", "--json", "--params", &params])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
    }
    #[track_caller]
    fn succeeds(&self, command: &str) -> String {
        let result = self.shell(command);
        assert_eq!(result["status"], "success", "{command}: {result:#}");
        result["output"].as_str().unwrap_or_default().to_owned()
    }
    /// No secret is to be had from where the toolchains are, and each one is from here.
    #[track_caller]
    fn keeps_its_secrets(&self) {
        assert_eq!(self.home.unreachable(), [], "the control: not reachable from outside");
        self.file("probe.py", &self.home.probe());
        let said = self.succeeds("python3 probe.py");
        let seen = self.home.seen_in(&said);
        assert!(seen.is_empty(), "reached inside: {seen:?}\n{said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("denied")).count(), 30, "{said}");
        // Nor by looking for them: every byte of every file that can be read, and every way into a socket.
        let all = self.succeeds(&format!(
            "cat {0}/.[a-zA-Z]* {0}/.*/* {0}/projects/*/.env 2>/dev/null; env; true",
            self.home.path().display()
        ));
        assert!(self.home.seen_in(&all).is_empty(), "found inside: {:?}", self.home.seen_in(&all));
    }

    /// Puts cargo and rustc where rustup keeps them.
    fn rust(&self) -> Result<(), String> {
        let rustc = find_program("rustc").ok_or("rustc is not installed")?;
        let output =
            Command::new(rustc).args(["--print", "sysroot"]).current_dir("/").output().map_err(|e| e.to_string())?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        if !sysroot.join("bin/cargo").is_file() {
            return Err(format!("there is no cargo in {}", sysroot.display()));
        }
        let toolchain = self.home.path().join(".rustup/toolchains/stable");
        std::fs::create_dir_all(&toolchain).unwrap();
        copy(&sysroot.join("bin"), &toolchain);
        copy(&sysroot.join("lib"), &toolchain);
        let bin = self.home.path().join(".cargo/bin");
        std::fs::create_dir_all(&bin).unwrap();
        for name in ["cargo", "rustc", "rustdoc"] {
            std::os::unix::fs::symlink(toolchain.join("bin").join(name), bin.join(name)).unwrap();
        }
        Ok(())
    }

    /// Puts an interpreter with pytest where pyenv keeps them, shims beside it.
    fn pyenv(&self) -> Result<PathBuf, String> {
        let packages = pytest_packages().ok_or("pytest is neither installed nor to be had from the package index")?;
        let ask = "import os, sys\nprint(os.path.realpath(sys._base_executable))\nprint(sys.base_prefix)\nprint('%d.%d' % sys.version_info[:2])";
        let answer = said(&["-c", ask]).ok_or("python3 is not installed")?;
        let [program, prefix, version] = answer.lines().collect::<Vec<_>>()[..] else { return Err(answer) };
        let root = self.home.path().join(".pyenv");
        let place = root.join(format!("versions/{version}.0"));
        std::fs::create_dir_all(place.join("bin")).unwrap();
        std::fs::create_dir_all(place.join("lib")).unwrap();
        std::fs::create_dir_all(root.join("shims")).unwrap();
        let python = place.join(format!("bin/python{version}"));
        std::fs::copy(program, &python).map_err(|error| format!("{program}: {error}"))?;
        for name in ["python3", "python"] {
            std::os::unix::fs::symlink(python.file_name().unwrap(), place.join("bin").join(name)).unwrap();
        }
        let library = format!("python{version}");
        // All but the packages of whoever uses it here.
        let source = Path::new(prefix).join("lib").join(&library);
        std::fs::create_dir(place.join("lib").join(&library)).unwrap();
        for entry in std::fs::read_dir(&source).map_err(|error| format!("{}: {error}", source.display()))?.flatten() {
            let name = entry.file_name();
            if !["site-packages", "test", "idlelib"].iter().any(|skip| name == **skip) {
                copy(&entry.path(), &place.join("lib").join(&library));
            }
        }
        for shared in std::fs::read_dir(Path::new(prefix).join("lib")).into_iter().flatten().flatten() {
            if shared.file_name().to_string_lossy().starts_with("libpython") && prefix != "/usr" {
                copy(&shared.path(), &place.join("lib"));
            }
        }
        let site = place.join("lib").join(&library).join("site-packages");
        copy_as(&packages, &site);
        // Debian's own Python looks for packages elsewhere.
        std::fs::create_dir_all(place.join("lib/python3")).unwrap();
        std::os::unix::fs::symlink(&site, place.join("lib/python3/dist-packages")).unwrap();
        script(
            &place.join("bin/pytest"),
            &format!("#!{}\nimport sys, pytest\nsys.exit(pytest.main())\n", python.display()),
        );
        for name in ["python", "python3", "pytest"] {
            let text = format!(
                "#!/usr/bin/env bash\nset -e\nexport PYENV_ROOT=\"{0}\"\nexec \"{0}/versions/{version}.0/bin/${{0##*/}}\" \"$@\"\n",
                root.display()
            );
            script(&root.join("shims").join(name), &text);
        }
        Ok(python)
    }
}

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Copies into a folder, by hard links where they can be had.
fn copy(from: &Path, folder: &Path) {
    let cp = |how: &str| {
        let output = Command::new("cp").arg(how).arg(from).arg(folder).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    if !cp("-al").0 {
        let (done, why) = cp("-af");
        assert!(done, "cp {}: {why}", from.display());
    }
}

fn copy_as(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    copy(&from.join("."), to);
}

/// What the Python of this test says; nothing when it fails.
fn said(args: &[&str]) -> Option<String> {
    let output = Command::new(find_program("python3")?).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A folder of packages with pytest in it: of the active environment, else fetched once.
fn pytest_packages() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<(PathBuf, Option<tempfile::TempDir>)>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let ask = "import os, pytest; print(os.path.dirname(os.path.dirname(pytest.__file__)))";
        if let Some(path) = said(&["-c", ask]) {
            return Some((path.into(), None));
        }
        let folder = tempfile::tempdir().ok()?;
        let path = folder.path().to_str()?;
        said(&["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", path, "pytest>=8,<10"])?;
        Some((folder.path().to_owned(), Some(folder)))
    });
    found.as_ref().map(|(path, _)| path.clone())
}

/// The value, or a counted skip.
macro_rules! or_skip {
    ($given:expr) => {
        match $given {
            Ok(value) => value,
            Err(why) => skip!("{why}"),
        }
    };
}

const TESTS: &str = "def test_sum():\n    assert sum(range(10)) == 45\n";

#[test]
fn cargo_builds_and_tests_out_of_a_private_home() {
    let station = Station::new();
    or_skip!(station.rust());
    station
        .file("Cargo.toml", "[package]\nname = \"sums\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n")
        .file("src/main.rs", "fn main() {\n    println!(\"{}\", sums::add(40, 2));\n}\n")
        .file("src/lib.rs", "pub fn add(a: u32, b: u32) -> u32 {\n    a + b\n}\n\n#[test]\nfn two() {\n    assert_eq!(add(1, 1), 2);\n}\n");
    station.succeeds("cargo build --offline");
    // What was built is kept, and runs.
    assert_eq!(station.succeeds("target/debug/sums").trim(), "42");
    let said = station.succeeds("command -v cargo && cargo test --offline --lib");
    assert!(said.contains("1 passed") && said.contains(".cargo/bin/cargo"), "{said}");
    station.file(
        "src/lib.rs",
        "#[test]\nfn red() {\n    assert_eq!(1 + 1, 3);\n}\npub fn add(a: u32, b: u32) -> u32 { a + b }\n",
    );
    assert_eq!(station.shell("cargo test --offline --lib")["status"], "error");
    if find_program("python3").is_some() {
        station.keeps_its_secrets();
    }
}

#[test]
fn npm_runs_its_tests() {
    if find_program("npm").is_none() || find_program("node").is_none() {
        skip!("npm and node are not installed");
    }
    let station = Station::new();
    station
        .file("package.json", "{\"name\": \"sums\", \"version\": \"0.1.0\", \"private\": true, \"scripts\": {\"test\": \"node test.js\"}}\n")
        .file("test.js", "require('assert').strictEqual(1 + 1, 2);\nconsole.log('1 passed');\n");
    let outside = station.owner("npm").arg("test").output();
    if !outside.is_ok_and(|output| output.status.success()) {
        skip!("npm does not work outside either");
    }
    assert!(station.succeeds("npm test").contains("1 passed"));
    station.keeps_its_secrets();
}

#[test]
fn pytest_runs_from_pyenv_in_a_private_home() {
    let station = Station::new();
    or_skip!(station.pyenv());
    station.file("test_sum.py", TESTS);
    for command in ["pytest -q", "python -m pytest -q", "python3 -m pytest -q -p no:cacheprovider"] {
        let said = station.succeeds(command);
        assert!(said.contains("1 passed"), "{command}: {said}");
    }
    assert!(station.succeeds("command -v pytest").contains(".pyenv/shims/pytest"));
    station.file("test_red.py", "def test_red():\n    assert 1 == 2\n");
    let red = station.shell("pytest -q");
    assert_eq!((&red["status"], red["metadata"]["cause"].as_str()), (&"error".into(), Some("test_failure")), "{red:#}");
    station.keeps_its_secrets();
}

#[test]
fn pytest_runs_from_a_venv_of_the_project() {
    let station = Station::new();
    let python = or_skip!(station.pyenv());
    let venv = station.project().join(".venv");
    let made = station.owner(&python).args(["-m", "venv", "--without-pip"]).arg(&venv).output().unwrap();
    if !made.status.success() {
        skip!("Python's venv module is incomplete");
    }
    let site = std::fs::read_dir(venv.join("lib")).unwrap().flatten().next().unwrap().path().join("site-packages");
    copy_as(&pytest_packages().unwrap(), &site);
    // The interpreter behind the venv has none of its own now: what runs is the venv's.
    let version = python.ancestors().nth(2).unwrap();
    std::fs::remove_dir_all(version.join("lib").join(python.file_name().unwrap()).join("site-packages")).unwrap();
    station.file("test_sum.py", TESTS);
    for command in [".venv/bin/python -m pytest -q", ". .venv/bin/activate && python -m pytest -q"] {
        let said = station.succeeds(command);
        assert!(said.contains("1 passed"), "{command}: {said}");
    }
    assert_eq!(station.shell("python3 -m pytest -q")["status"], "error", "the control: there is no other pytest");
    station.keeps_its_secrets();
}

#[test]
fn a_suite_with_a_server_on_loopback_passes() {
    if find_program("python3").is_none() {
        skip!("python3 is not installed");
    }
    let station = Station::new();
    station.file(
        "test_server.py",
        "import http.server, threading, unittest, urllib.request\n\
         class Ok(http.server.BaseHTTPRequestHandler):\n    \
             def do_GET(self):\n        \
                 self.send_response(200); self.end_headers(); self.wfile.write(b'served')\n    \
             def log_message(self, *args): pass\n\
         class Case(unittest.TestCase):\n    \
             def test_it(self):\n        \
                 server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Ok)\n        \
                 threading.Thread(target=server.serve_forever, daemon=True).start()\n        \
                 for host in ('127.0.0.1', 'localhost'):\n            \
                     text = urllib.request.urlopen(f'http://{host}:{server.server_port}/', timeout=10).read()\n            \
                     self.assertEqual(text, b'served')\n        \
                 server.shutdown()\n",
    );
    let result = station.shell("python3 -m unittest -v test_server 2>&1");
    assert_eq!(result["status"], "success", "{result:#}");
    assert!(result["output"].as_str().unwrap().contains("OK"), "{result:#}");
}

#[test]
fn git_commits_with_the_owners_name() {
    if find_program("git").is_none() {
        skip!("git is not installed");
    }
    let station = Station::new();
    std::fs::write(
        station.home.path().join(".gitconfig"),
        "[user]\n\tname = Ada Example\n\temail = ada@example.org\n[credential]\n\thelper = store\n",
    )
    .unwrap();
    let outside = station.owner("git").args(["init", "-q"]).output();
    if !outside.is_ok_and(|output| output.status.success()) {
        skip!("git does not work outside either");
    }
    station.file("a.txt", "one\n");
    station.succeeds("git add a.txt && git commit -q -m 'First'");
    // Seen from outside: the commit is in the folder, by its owner.
    let log = station.owner("git").args(["log", "--format=%an %ae %s"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&log.stdout), "Ada Example ada@example.org First\n");
    let status = station.owner("git").args(["status", "--porcelain"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&status.stdout), "");
    station.keeps_its_secrets();
}

#[test]
fn a_plan_builds_tests_and_commits() {
    let station = Station::new();
    or_skip!(station.pyenv());
    station.file("test_sum.py", TESTS).file(
        "plan.yaml",
        "task: test and probe\nsteps:\n  - {id: test, tool: shell, params: {command: 'pytest -q'}, description: Test}\n  - {id: probe, tool: shell, params: {command: 'python probe.py'}, depends_on: [test], description: Probe}\n",
    );
    station.file("probe.py", &station.home.probe());
    let output = station.owner(agentic_binary()).args(["run", "plan.yaml", "--json"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    assert!(station.home.seen_in(&text).is_empty(), "{text}");
    assert_eq!(text.matches("denied /").count() % 30, 0, "{text}");
    assert!(text.contains("denied /"), "{text}");
}
