//! Runs a table: each program outside, then through `agentic exec` in a world of its own.
//!
//! Variables that `cargo xtask compat` sets: `AGENTIC_COMPAT_REPORT` (a folder for the results, one file a table;
//! a control that fails is then a failure and not a skip), `AGENTIC_COMPAT_ROUNDS` (how often times are compared) and
//! `AGENTIC_COMPAT_ONLY` (programs whose names contain it).

use std::fmt::Write;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use agentic_testkit::{find_program, report_skip};

use crate::program::{Program, Table};
use crate::scene::{Scene, Seen};

/// Seconds that one program may take, in either world. A shared machine under load is slow.
const MOST: &str = "240";

/// What came of one program.
enum Verdict {
    /// It does what it should.
    Passes,
    /// It cannot be compared here.
    Skipped(String),
    Failed(String),
}

/// Runs a table and fails with everything that is not as the table has it.
#[track_caller]
pub(crate) fn run_table(title: &str, file: &str, text: &str) {
    let table: Table = toml::from_str(text).unwrap_or_else(|error| panic!("{file}.toml: {error}"));
    let only = std::env::var("AGENTIC_COMPAT_ONLY").unwrap_or_default();
    let importable = importable(&table);
    let (mut failures, mut rows) = (String::new(), String::new());
    for program in table.program.iter().filter(|program| program.name.contains(&only)) {
        let (verdict, strict, ratio) = judge(program, &importable);
        let default = match verdict {
            Verdict::Passes if program.by_design.is_some() => "refused".to_owned(),
            Verdict::Passes => "passes".to_owned(),
            Verdict::Skipped(why) => {
                report_skip(&format!("{}: {why}", program.name));
                format!("not run: {why}")
            }
            Verdict::Failed(why) => {
                let _ = write!(failures, "\n--- {}\n{why}", program.name);
                "FAILS".to_owned()
            }
        };
        let reason = program.by_design.as_deref().or(program.broken_by_strict()).unwrap_or_default();
        let _ = writeln!(
            rows,
            "{title}\t{}{}\t{default}\t{strict}\t{ratio}\t{reason}",
            program.name,
            program.with_memory()
        );
    }
    if let Some(folder) = report() {
        std::fs::write(folder.join(file).with_extension("tsv"), rows).unwrap();
    }
    assert!(failures.is_empty(), "{failures}");
}

fn report() -> Option<PathBuf> {
    std::env::var_os("AGENTIC_COMPAT_REPORT").map(PathBuf::from)
}

fn judge(program: &Program, importable: &[String]) -> (Verdict, &'static str, String) {
    let long = || (program.long && report().is_none()).then(|| "it is long: `cargo xtask compat` runs it".to_owned());
    let lacks = program.lacks().or_else(long).or_else(|| {
        let missing: Vec<_> = program.packages.iter().filter(|name| !importable.contains(name)).cloned().collect();
        let list = missing.join(", ");
        (!missing.is_empty()).then(|| format!("Python has no {list} here (`cargo xtask compat` installs it)"))
    });
    if let Some(why) = lacks {
        return (Verdict::Skipped(why), "", String::new());
    }
    let host = HostServers::start();
    let (control, _) = outside(program, &host);
    if let Some(why) = differs(program, program.said_outside(), &control) {
        let verdict = match report() {
            Some(_) => Verdict::Failed(format!("the control, outside, is not as expected: {why}")),
            None => Verdict::Skipped("outside it says something else than its table has".to_owned()),
        };
        return (verdict, "", String::new());
    }
    let (seen, _) = inside(program, &host, None);
    if let Some(why) = differs(program, &program.expect, &seen) {
        return (Verdict::Failed(why), "", String::new());
    }
    if report().is_none() || program.by_design.is_some() {
        return (Verdict::Passes, "", String::new());
    }
    let (strictly, _) = inside(program, &host, Some("strict"));
    let strict = match (differs(program, &program.expect, &strictly), program.broken_by_strict()) {
        (None, None) => "passes",
        (Some(_), Some(_)) => "breaks",
        (Some(why), None) => return (Verdict::Failed(format!("under strict: {why}")), "", String::new()),
        (None, Some(why)) => {
            let why = format!("the table says that strict breaks it ({why}), and it passes");
            return (Verdict::Failed(why), "", String::new());
        }
    };
    let rounds = std::env::var("AGENTIC_COMPAT_ROUNDS").map_or(0, |rounds| rounds.parse().unwrap());
    let mut ratios: Vec<f64> = (0..rounds)
        .map(|_| {
            let (without, within) = (outside(program, &host).1, inside(program, &host, None).1);
            within.as_secs_f64() / without.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2);
    (Verdict::Passes, strict, ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")))
}

/// Why what was seen is not what was expected.
fn differs(program: &Program, expected: &str, seen: &Seen) -> Option<String> {
    let same = seen.stdout.trim_end() == expected.trim_end() && seen.code == program.status;
    (!same).then(|| {
        format!(
            "expected status {} and:\n{expected}\ngot status {} and:\n{}\nstandard error:\n{}",
            program.status, seen.code, seen.stdout, seen.stderr
        )
    })
}

/// The same program without a sandbox.
fn outside(program: &Program, host: &HostServers) -> (Seen, Duration) {
    let scene = scene(program, host);
    let mut command = Command::new("timeout");
    command.args([MOST, program.interpreter(), program.file()]);
    scene.surround(&mut command);
    timed(command, program)
}

fn inside(program: &Program, host: &HostServers, profile: Option<&str>) -> (Seen, Duration) {
    let scene = scene(program, host);
    let mut args = vec!["exec", "--timeout", MOST, "--view", program.view()];
    if let Some(memory) = &program.memory {
        args.extend(["--memory", memory]);
    }
    args.extend(profile.into_iter().flat_map(|profile| ["--profile", profile]));
    args.push(program.file());
    timed(scene.command(args), program)
}

fn timed(mut command: Command, program: &Program) -> (Seen, Duration) {
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    // A program that does not read what it is given may close the pipe first.
    let _ = child.stdin.take().unwrap().write_all(program.stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let took = began.elapsed();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // The status as a shell tells it, as `agentic exec` does.
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    let code = output.status.code().or_else(|| Some(signal? + 128)).unwrap_or(-1);
    (Seen { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }, took)
}

/// A world for one run, with what a login sets.
fn scene(program: &Program, host: &HostServers) -> Scene {
    let mut scene = Scene::new().variable("LANG", "C.UTF-8").variable("TZ", "UTC");
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("PYENV_ROOT", ".pyenv")] {
        let set = std::env::var_os(name).map_or_else(|| home.join(folder), PathBuf::from);
        if set.is_dir() {
            scene = scene.variable(name, &set.display().to_string());
        }
    }
    if let Ok(environment) = std::env::var("VIRTUAL_ENV") {
        scene = scene.variable("VIRTUAL_ENV", &environment);
    }
    let code = program.code.replace("@PORT@", &host.port.to_string());
    scene.file(program.file(), code.replace("@SOCKET@", &host.socket.display().to_string()));
    scene
}

/// The packages of Python that this table names and Python finds.
fn importable(table: &Table) -> Vec<String> {
    let names: Vec<_> = table.program.iter().flat_map(|program| program.packages.clone()).collect();
    let Some(python) = find_program("python3").filter(|_| !names.is_empty()) else { return Vec::new() };
    let ask = "import importlib.util, sys\nprint(*(n for n in sys.argv[1:] if importlib.util.find_spec(n)))";
    let output = Command::new(python).args(["-c", ask]).args(&names).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

/// A server of the host that greets whoever connects, by TCP and by a socket in a folder.
struct HostServers {
    port: u16,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl HostServers {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let (tcp, unix) = (TcpListener::bind(("127.0.0.1", 0)).unwrap(), UnixListener::bind(&socket).unwrap());
        let port = tcp.local_addr().unwrap().port();
        // They end with the test program.
        std::thread::spawn(move || tcp.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"reached"))));
        std::thread::spawn(move || unix.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"reached"))));
        Self { port, socket, _folder: folder }
    }
}
