//! The cold figure: a whole process that runs `print(1)` in a sandbox, beside what a user would take instead.
//!
//! `cargo bench -p agentic-cli --bench cold [-- ROUNDS]`. Every contender runs once in each round, in turn, so
//! that a machine which slows down slows all of them; quoted are medians and the median of the ratios to the
//! bare interpreter within each round. Nothing is asserted: a figure is no test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CODE: &str = "print(1)";

/// Runs `print(1)` for each line it reads and answers with the seconds that took.
const RESIDENT: &str = "import sys, time, sandlock\nfor line in sys.stdin:\n s = sandlock.Sandbox(fs_readable=['/usr', '/lib', '/lib64', '/etc', '/bin'])\n t = time.perf_counter()\n r = s.run([sys.argv[1], '-I', '-S', '-c', 'print(1)'])\n t = time.perf_counter() - t\n print(t if r.stdout.strip() in (b'1', '1') else 'failed: %r' % r, flush=True)";

struct Contender {
    name: &'static str,
    once: Box<dyn FnMut() -> Duration>,
    times: Vec<Duration>,
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse::<usize>().ok()).unwrap_or(40);
    let Some(python) = python() else {
        println!("no python3 on this machine: nothing was measured");
        return;
    };
    let place = std::env::temp_dir().join(format!("agentic-bench-{}", std::process::id()));
    std::fs::create_dir_all(&place).expect("a folder to work in");
    machine(&python);
    let mut contenders = contenders(&python, &place);
    for round in 0..rounds + 3 {
        for contender in &mut contenders {
            let took = (contender.once)();
            // The first rounds fill caches.
            if round >= 3 {
                contender.times.push(took);
            }
        }
    }
    println!("\n{:<48} {:>10} {:>10} {:>11} {:>8}", "print(1)", "p50", "p95", "÷ -I -S -c", "÷ -c");
    let (isolated, plain) = (contenders[0].times.clone(), contenders[1].times.clone());
    for contender in &contenders {
        let ratio = |base: &[Duration]| {
            let mut ratios: Vec<f64> =
                contender.times.iter().zip(base).map(|(time, base)| time.as_secs_f64() / base.as_secs_f64()).collect();
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        let mut times = contender.times.clone();
        times.sort();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
        println!(
            "{:<48} {:>7.2} ms {:>7.2} ms {:>11.2} {:>8.2}",
            contender.name,
            at(0.5),
            at(0.95),
            ratio(&isolated),
            ratio(&plain)
        );
    }
    let _ = std::fs::remove_dir_all(place.with_extension("state"));
    let _ = std::fs::remove_dir_all(place);
}

/// A whole process, from its start to its end.
fn process(name: &'static str, build: impl Fn() -> Command + 'static) -> Contender {
    let once = move || {
        let mut command = build();
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("a contender");
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "1", "{name}: {}", String::from_utf8_lossy(&output.stderr));
        took
    };
    Contender { name, once: Box::new(once), times: Vec::new() }
}

fn contenders(python: &Path, place: &Path) -> Vec<Contender> {
    let bare = |flags: &'static [&'static str]| {
        let (interpreter, folder) = (python.to_owned(), place.to_owned());
        move || {
            let mut command = Command::new(&interpreter);
            command.args(flags).args(["-c", CODE]).current_dir(&folder);
            command
        }
    };
    let mut list = vec![
        process("python3 -I -S -c, no sandbox", bare(&["-I", "-S"])),
        process("python3 -c, no sandbox", bare(&[])),
    ];
    let (interpreter, folder) = (python.to_owned(), place.to_owned());
    // Beside the workspace, as the state folder of a user lies beside his projects.
    let state = place.with_extension("state");
    list.push(process("agentic exec (runs python3 -c)", move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentic"));
        command.arg("exec").arg("--runtime").arg(&interpreter).args(["-e", CODE]).current_dir(&folder);
        command.env("AGENTIC_STATE", &state);
        command
    }));
    if let Some(bubblewrap) = find("bwrap") {
        let interpreter = python.to_owned();
        list.push(process("bubblewrap --unshare-all (runs python3 -I -S -c)", move || {
            let mut command = Command::new(&bubblewrap);
            command.args(["--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"]);
            command.args(["--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin"]);
            command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/w", "--dir", "/w", "--die-with-parent"]);
            command.args(["--new-session", "--clearenv", "--cap-drop", "ALL", "--chdir", "/w"]);
            command.arg(&interpreter).args(["-I", "-S", "-c", CODE]);
            command
        }));
    }
    list.extend(sandlock(python));
    list
}

/// Sandlock's Python package, from a process that runs already: its import is not counted.
fn sandlock(python: &Path) -> Option<Contender> {
    let resident = std::env::var_os("SANDLOCK_PYTHON").map(PathBuf::from).or_else(|| find("python3"))?;
    let has = Command::new(&resident).args(["-c", "import sandlock"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        println!("sandlock: not installed (SANDLOCK_PYTHON names a Python that has it), not measured");
        return None;
    }
    let mut child = Command::new(resident)
        .args(["-c", RESIDENT])
        .arg(python)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sandlock's Python");
    let (mut to, from) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
    let mut from = BufReader::new(from);
    let resident = Resident(child);
    let once = move || {
        let _lives_as_long = &resident;
        writeln!(to, "go").expect("sandlock's Python");
        let mut line = String::new();
        from.read_line(&mut line).expect("its answer");
        Duration::from_secs_f64(line.trim().parse().unwrap_or_else(|_| panic!("sandlock: {line}")))
    };
    Some(Contender { name: "sandlock, from a running process (-I -S -c)", once: Box::new(once), times: Vec::new() })
}

/// Ended when nobody asks it any more.
struct Resident(std::process::Child);

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The machine, so that nobody quotes a figure without it.
fn machine(python: &Path) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    println!(
        "{} processors, {cpu}; Linux {}; load {}; {}",
        std::thread::available_parallelism().map_or(0, usize::from),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
        python.display()
    );
    if find("bwrap").is_none() {
        println!("bwrap: not installed, not measured");
    }
}

fn python() -> Option<PathBuf> {
    ["/usr/bin/python3", "/usr/local/bin/python3"].map(PathBuf::from).into_iter().find(|path| path.is_file())
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}
