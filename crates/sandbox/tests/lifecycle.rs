//! Deaths: of the engine, the spawner, the nest init, in the middle of runs. Nothing inside outlives any of them, and
//! whoever is left hears a typed error.

mod common;

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use agentic_sandbox::{Command, Error, ExitReason, Limits, Policy, Sandbox, Spawner, Stdin};
use agentic_testkit::{is_root, processes_with_marker, wait_until_gone};
use common::{Folder, code, printed, sandbox, seconds};

/// Names the marker of the runs, in a process that [`engine`] turns into an engine.
const ENGINE: &str = "AGENTIC_TEST_ENGINE";
/// The same for [`engine_that_ignores_interrupts`].
const INTERRUPTED: &str = "AGENTIC_TEST_INTERRUPTED_ENGINE";
const PATIENCE: Duration = Duration::from_secs(20);

fn own_sandbox() -> Sandbox {
    Sandbox::new(Spawner::Path(agentic_testkit::spawner_binary())).unwrap()
}

/// A run that lasts, told by its marker.
fn sleeper(marker: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "sleep 600; :", marker]).env("PATH", "/usr/bin:/bin").limits(seconds(600));
    command
}

fn marker(name: &str) -> String {
    format!("agentic-lifecycle-{name}-{}", std::process::id())
}

/// A process, told from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    started: u64,
}

fn process(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    // Ended and not reaped yet is ended.
    (fields[0] != "Z").then_some(())?;
    Some(Process { pid, parent: fields[1].parse().ok()?, started: fields[19].parse().ok()? })
}

fn descendants(of: u32) -> Vec<Process> {
    let all: HashMap<u32, Process> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
        .map(|process| (process.pid, process))
        .collect();
    let below = |process: &Process| {
        std::iter::successors(Some(*process), |process| all.get(&process.parent).copied()).any(|one| one.parent == of)
    };
    all.values().copied().filter(below).collect()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// The shell of a sleeper and the two of ours above it: program, nest init, spawner.
fn chain(marker: &str) -> [u32; 3] {
    let mut found = None;
    wait_for("the run begins", || {
        let inside: Vec<Process> = processes_with_marker(marker).into_iter().filter_map(process).collect();
        // The nest init and the spawner have other arguments. The shell's child has the same until it becomes `sleep`.
        let program = inside.iter().find(|one| inside.iter().all(|other| other.pid != one.parent));
        found = program.and_then(|program| Some([program.pid, program.parent, process(program.parent)?.parent]));
        found.is_some()
    });
    found.unwrap()
}

/// Not a test by itself: what [`an_engine_that_is_killed_takes_everything_with_it`] starts and kills.
#[test]
fn engine() {
    let Ok(marker) = std::env::var(ENGINE) else { return };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| sleeper(&format!("run-{marker}")).output(sandbox()));
        }
    });
}

#[test]
fn an_engine_that_is_killed_takes_everything_with_it() {
    let marker = marker("engine");
    let mut engine = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine", "--nocapture"])
        .env(ENGINE, &marker)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let run = format!("run-{marker}");
    wait_for("three runs begin", || processes_with_marker(&run).len() >= 3);
    let all = descendants(engine.id());
    // One spawner, three nest inits, three programs, and what those started.
    assert!(all.len() >= 7, "{all:?}");
    engine.kill().unwrap();
    engine.wait().unwrap();
    wait_for("every process of the engine ends", || all.iter().all(|one| process(one.pid) != Some(*one)));
    assert_eq!(wait_until_gone(&run, PATIENCE), Vec::<u32>::new());
    // What it left in the control groups, the next one clears away.
    let groups = || groups_of(Path::new("/sys/fs/cgroup"), &format!("-{}-", engine.id()));
    if groups().is_empty() {
        println!("SKIP: the killed engine had no control groups here (root: {})", is_root());
    }
    Command::new("/bin/true").output(&own_sandbox()).unwrap();
    assert_eq!(groups(), Vec::<String>::new());
}

/// Not a test by itself: what [`a_signal_to_the_group_of_the_engine_ends_no_run`] starts.
#[test]
fn engine_that_ignores_interrupts() {
    let Ok(marker) = std::env::var(INTERRUPTED) else { return };
    // A handler, as interpreters have one: unlike an ignored signal it is not passed on to what is started.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::<AtomicBool>::default()).unwrap();
    let mut neighbour = std::process::Command::new("/bin/sleep").arg("600").env("MARKER", &marker).spawn().unwrap();
    let input = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "read line; echo $line", &format!("run-{marker}")]);
    command.stdin(Stdin::Relay(input.into())).limits(seconds(600));
    let run = command.spawn(&own_sandbox()).unwrap();
    println!("neighbour: {}", neighbour.wait().unwrap());
    println!("run: {}", run.wait().map_or_else(|error| error.to_string(), |output| output.stdout.text()));
}

#[test]
fn a_signal_to_the_group_of_the_engine_ends_no_run() {
    let marker = marker("interrupted");
    let mut engine = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine_that_ignores_interrupts", "--nocapture"])
        .env(INTERRUPTED, &marker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    wait_for("the run begins", || !processes_with_marker(&format!("run-{marker}")).is_empty());
    let group = rustix::process::Pid::from_raw(engine.id().cast_signed()).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
    engine.stdin.take().unwrap().write_all(b"unharmed\n").unwrap();
    let said = String::from_utf8(engine.wait_with_output().unwrap().stdout).unwrap();
    // The control: whoever is in the group and does not handle the signal is ended by it.
    assert!(said.contains("neighbour: signal: 2 (SIGINT)"), "{said}");
    assert!(said.contains("run: unharmed\n"), "{said}");
}

fn groups_of(folder: &Path, part: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .flat_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let own = (name.starts_with("agentic-") && name.contains(part)).then_some(name);
            own.into_iter().chain(groups_of(&entry.path(), part))
        })
        .collect()
}

#[test]
fn a_spawner_that_is_killed_ends_its_runs_and_is_replaced() {
    let (sandbox, marker) = (own_sandbox(), marker("spawner"));
    let child = sleeper(&marker).spawn(&sandbox).unwrap();
    let [_, _, spawner] = chain(&marker);
    kill(spawner);
    let error = child.wait().unwrap_err();
    assert!(matches!(error, Error::Spawner(_)), "{error}");
    assert_eq!(wait_until_gone(&marker, PATIENCE), Vec::<u32>::new());
    let output = Command::new("/bin/echo").arg("again").output(&sandbox).unwrap();
    assert_eq!(printed(&output), "again\n");
    // Also when nothing was running, and at once.
    let idle = descendants(std::process::id());
    let spawner = sleeper(&marker).spawn(&sandbox).map(|child| (chain(&marker)[2], child.killer().kill())).unwrap().0;
    assert!(!idle.is_empty());
    kill(spawner);
    assert!(Command::new("/bin/true").output(&sandbox).unwrap().reason.success());
}

#[test]
fn a_nest_init_that_is_killed_from_outside_is_a_typed_error_and_ends_its_run_alone() {
    let (one, other) = (marker("nest-one"), marker("nest-other"));
    let sandbox = own_sandbox();
    let (child, neighbour) = (sleeper(&one).spawn(&sandbox).unwrap(), sleeper(&other).spawn(&sandbox).unwrap());
    let ([_, nest, _], [kept, _, _]) = (chain(&one), chain(&other));
    kill(nest);
    let error = child.wait().unwrap_err();
    assert!(matches!(error, Error::Spawner(_)), "{error}");
    assert_eq!(wait_until_gone(&one, PATIENCE), Vec::<u32>::new());
    assert!(process(kept).is_some(), "the neighbour goes on");
    neighbour.killer().kill();
    assert_eq!(neighbour.wait().unwrap().reason, ExitReason::Cancelled);
}

#[test]
fn sandboxes_of_one_process_do_not_end_each_others_runs() {
    // The first run of each: whatever names are given, they are given again.
    let (one, other) = (own_sandbox(), own_sandbox());
    let mut lasting = Command::new("/bin/sh");
    lasting.args(["-c", "sleep 1; exit 7"]).env("PATH", "/usr/bin:/bin");
    let lasting = lasting.spawn(&one).unwrap();
    assert!(Command::new("/bin/true").output(&other).unwrap().reason.success());
    assert_eq!(lasting.wait().unwrap().reason, ExitReason::Exited(7));
}

#[test]
fn a_stream_handed_to_somebody_outside_does_not_hold_the_call() {
    use std::os::unix::fs::PermissionsExt;
    let shared = Folder::new();
    let socket = shared.path.join("s");
    // Never accepted: the descriptor stays on its way for as long as the listener lives.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    let text = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX); s.connect({:?})\nsocket.send_fds(s, [b'x'], [1])\nprint('handed')",
        socket.to_str().unwrap()
    );
    let policy = Policy { read_write: vec![shared.path.clone()], ..Policy::default() };
    let began = Instant::now();
    assert_eq!(printed(&code(policy, seconds(60), &text)), "handed\n");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn orphans_made_without_end_do_not_keep_the_limits_from_holding() {
    let text = "import os\nwhile True:\n try:\n  p = os.fork()\n except OSError: continue\n if p == 0:\n  try: os.fork()\n  finally: os._exit(0)\n os.waitpid(p, 0)";
    let began = Instant::now();
    let output = code(Policy::default(), Limits { cpu: Some(Duration::from_secs(1)), ..seconds(5) }, text);
    assert_eq!(output.reason, ExitReason::TimedOut);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_run_that_ends_itself_by_sigxcpu_was_not_timed_out() {
    let text = "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)";
    assert_eq!(code(Policy::default(), seconds(30), text).reason, ExitReason::Signalled(24));
}
