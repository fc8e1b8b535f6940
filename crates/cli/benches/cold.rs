//! The cold figure: a whole process that runs `print(1)` in a sandbox, beside what a user would take instead.
//!
//! `cargo bench -p agentic-cli --bench cold [-- ROUNDS]`. Every contender runs once in each round, in turn, so
//! that a machine which slows down slows all of them; quoted are medians and the median of the ratios to the
//! bare interpreter within each round. Nothing is asserted: a figure is no test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CODE: &str = "print(1)";

struct Contender {
    name: String,
    command: Box<dyn Fn() -> Command>,
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
    let mut contenders = contenders(&python, &place);
    machine(&python);
    for round in 0..rounds + 3 {
        for contender in &mut contenders {
            let mut command = (contender.command)();
            let began = Instant::now();
            let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("a contender");
            let took = began.elapsed();
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said.trim(), "1", "{}: {}", contender.name, String::from_utf8_lossy(&output.stderr));
            // The first rounds fill caches.
            if round >= 3 {
                contender.times.push(took);
            }
        }
    }
    println!("\n{:<44} {:>10} {:>10} {:>8}", "whole process, print(1)", "p50", "p95", "÷ bare");
    let bare = contenders[0].times.clone();
    for contender in &contenders {
        let mut ratios: Vec<f64> =
            contender.times.iter().zip(&bare).map(|(time, bare)| time.as_secs_f64() / bare.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let mut times = contender.times.clone();
        times.sort();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
        println!("{:<44} {:>7.2} ms {:>7.2} ms {:>8.2}", contender.name, at(0.5), at(0.95), ratios[ratios.len() / 2]);
    }
    let _ = std::fs::remove_dir_all(place);
}

fn contenders(python: &Path, place: &Path) -> Vec<Contender> {
    let mut list = Vec::new();
    let mut add = |name: &str, command: Box<dyn Fn() -> Command>| {
        list.push(Contender { name: name.to_owned(), command, times: Vec::new() });
    };
    let (interpreter, folder) = (python.to_owned(), place.to_owned());
    add(
        "python3 -I -S -c, no sandbox",
        Box::new(move || {
            let mut command = Command::new(&interpreter);
            command.args(["-I", "-S", "-c", CODE]).current_dir(&folder);
            command
        }),
    );
    let (interpreter, folder) = (python.to_owned(), place.to_owned());
    // Beside the workspace, as the state folder of a user lies beside his projects.
    let state = place.with_extension("state");
    add(
        "agentic exec, every layer, workspace included",
        Box::new(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_agentic"));
            command.arg("exec").arg("--runtime").arg(&interpreter).args(["-e", CODE]).current_dir(&folder);
            command.env("AGENTIC_STATE", &state);
            command
        }),
    );
    if let Some(bubblewrap) = find("bwrap") {
        let prefix = python.ancestors().nth(2).unwrap_or(Path::new("/usr")).to_owned();
        let interpreter = python.to_owned();
        add(
            "bubblewrap --unshare-all",
            Box::new(move || {
                let mut command = Command::new(&bubblewrap);
                command.args(["--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"]);
                command.args(["--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin"]);
                command.arg("--ro-bind").arg(&prefix).arg(&prefix).args(["--proc", "/proc", "--dev", "/dev"]);
                command.args(["--tmpfs", "/w", "--dir", "/w", "--die-with-parent", "--new-session", "--clearenv"]);
                command.args(["--cap-drop", "ALL", "--chdir", "/w"]).arg(&interpreter).args(["-I", "-S", "-c", CODE]);
                command
            }),
        );
    }
    if let Some(sandlock) = find("sandlock") {
        let interpreter = python.to_owned();
        add(
            "sandlock run",
            Box::new(move || {
                let mut command = Command::new(&sandlock);
                command.args(["run", "-r", "/usr", "-r", "/lib", "-r", "/lib64", "-r", "/etc", "--"]);
                command.arg(&interpreter).args(["-I", "-S", "-c", CODE]);
                command
            }),
        );
    }
    list
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
    for missing in ["bwrap", "sandlock"].into_iter().filter(|name| find(name).is_none()) {
        println!("{missing}: not installed, not measured");
    }
}

fn python() -> Option<PathBuf> {
    ["/usr/bin/python3", "/usr/local/bin/python3"].map(PathBuf::from).into_iter().find(|path| path.is_file())
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}
