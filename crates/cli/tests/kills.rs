//! Runs whose processes are killed at random moments, and resumed: what comes of them is what an undisturbed run leaves.
//!
//! `AGENTIC_KILLS` says how often (default 9), over a plan of fifty steps when it is a hundred or more and of fifteen
//! otherwise; `AGENTIC_SEED` repeats what a failure names.

mod scene;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use agentic_testkit::Pty;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use scene::Scene;

/// Reached only by a test that fails.
const SOON: Duration = Duration::from_secs(120);

/// SplitMix64 (Steele, Lea, Flood 2014): enough for moments.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

/// Steps that write, edit, move, remove and append, in three chains; each leaves a mark that would be there twice.
fn plan(steps: usize) -> String {
    let mut text = "task: many steps\nsteps:\n".to_owned();
    for n in 0..steps {
        let after = if n < 3 { String::new() } else { format!("depends_on: [s{}], ", n - 3) };
        let step = match n % 5 {
            0 => format!("tool: file_write, params: {{path: w{n}/file, content: 'written {n}'}}"),
            1 => format!("tool: shell, params: {{command: 'echo ran >> m{n}; mkdir -p d{n}/e; echo {n} > d{n}/e/f'}}"),
            2 => format!("tool: edit, params: {{path: e{n}, old: before, new: after {n}}}"),
            3 => {
                format!("tool: shell, params: {{command: 'echo ran >> m{n}; rm o{n}; mv t{n} u{n}; chmod 600 u{n}/x'}}")
            }
            _ => format!(
                "tool: shell, params: {{command: 'echo ran >> m{n}; seq 1 400 > l{n}; ln l{n} k{n}; echo >> k{n}'}}"
            ),
        };
        text.push_str(&format!("  - {{id: s{n}, {after}{step}}}\n"));
    }
    text
}

fn lay_out(steps: usize) -> Scene {
    let scene = Scene::new();
    for n in 0..steps {
        match n % 5 {
            2 => scene.file(&format!("e{n}"), format!("before {n}\n")),
            3 => scene.file(&format!("o{n}"), "old").file(&format!("t{n}/x"), "x").file(&format!("t{n}/y/z"), "z"),
            _ => &scene,
        };
    }
    scene.file("plan.yaml", plan(steps));
    scene
}

/// Everything in the workspace: kind, permission bits, number of names, bytes.
fn tree(scene: &Scene) -> BTreeMap<PathBuf, String> {
    let root = scene.work("");
    let (mut all, mut next) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let what = if found.is_dir() {
                next.push(path.clone());
                format!("folder {:o}", found.mode())
            } else {
                format!("{:o} {} {:?}", found.mode(), found.nlink(), String::from_utf8(std::fs::read(&path).unwrap()))
            };
            all.insert(path.strip_prefix(&root).unwrap().to_owned(), what);
        }
    }
    all
}

/// A run that goes on, by whatever it is shown.
enum Going {
    Piped(Child),
    AtTerminal(Pty),
}

impl Going {
    fn start(scene: &Scene, mode: &str) -> Option<Self> {
        let args = ["run", "plan.yaml", "--max-steps", "100", "--mode", mode];
        if mode != "interactive" {
            let mut command = scene.command(args);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            return Some(Self::Piped(command.spawn().unwrap()));
        }
        let pty = Pty::spawn(agentic_testkit::agentic_binary(), args, |command| {
            scene.surround(command);
            command.env("TERM", "xterm");
        });
        let mut pty = pty.map_err(|error| agentic_testkit::report_skip(&error.to_string())).ok()?;
        pty.expect("[a]ll [q]uit ", SOON).unwrap_or_else(|error| panic!("{error}"));
        pty.send("a\n").unwrap();
        Some(Self::AtTerminal(pty))
    }
    fn pid(&self) -> u32 {
        match self {
            Self::Piped(child) => child.id(),
            Self::AtTerminal(pty) => pty.id(),
        }
    }
    fn end(self) -> Option<i32> {
        match self {
            Self::Piped(mut child) => child.wait().unwrap().code(),
            Self::AtTerminal(mut pty) => pty.wait(SOON).unwrap().expect("it ends").code(),
        }
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The processes that an engine has started: its spawner.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

const MODES: [&str; 3] = ["sequential", "parallel", "interactive"];
const TARGETS: [&str; 3] = ["engine", "spawner", "both"];

#[test]
fn what_was_killed_and_resumed_is_what_was_not_disturbed() {
    let kills = number("AGENTIC_KILLS", 9);
    let steps = if kills >= 100 { 50 } else { 15 };
    let first = number("AGENTIC_SEED", u64::from(std::process::id()));
    let mut undisturbed = Vec::new();
    for mode in MODES {
        let scene = lay_out(steps);
        let began = Instant::now();
        let Some(going) = Going::start(&scene, mode) else { return };
        assert_eq!(going.end(), Some(0), "{mode}, undisturbed");
        undisturbed.push((tree(&scene), began.elapsed()));
    }
    assert!(undisturbed.iter().all(|(tree, _)| *tree == undisturbed[0].0), "the modes come to the same");
    let (mut cut_off, mut resumed) = (0, 0);
    for round in 0..kills {
        let seed = first.wrapping_add(round);
        let mut random = Random(seed);
        let (mode, target) = (usize::try_from(round % 3).unwrap(), TARGETS[usize::try_from(round / 3 % 3).unwrap()]);
        let (wanted, took) = &undisturbed[mode];
        let at = format!("AGENTIC_SEED={seed}, round {round}, {}, {target}", MODES[mode]);
        let scene = lay_out(steps);
        let going = Going::start(&scene, MODES[mode]).unwrap();
        std::thread::sleep(Duration::from_micros(random.below(u64::try_from(took.as_micros()).unwrap())));
        let spawners = children(going.pid());
        if target != "engine" {
            spawners.into_iter().for_each(kill);
        }
        if target != "spawner" {
            kill(going.pid());
        }
        let mut code = going.end();
        cut_off += usize::from(code != Some(0));
        let run = scene.run(["runs", "--json"]).json()[0]["id"].as_str().map(str::to_owned);
        match run {
            // Nothing was on the disk yet, so nothing had happened.
            None => code = Going::start(&scene, "sequential").unwrap().end(),
            Some(run) => {
                for _ in 0..3 {
                    if code == Some(0) {
                        break;
                    }
                    resumed += 1;
                    let mode = if mode == 2 { "sequential" } else { MODES[mode] };
                    let seen = scene.run(["resume", &run, "--max-steps", "100", "--mode", mode]);
                    assert!(seen.code == 0 || !seen.stderr.contains("panicked"), "{at}: {}", seen.stderr);
                    // Killed between its last event and its end.
                    let done = seen.code == 0 || seen.stderr.contains("has succeeded");
                    if !done {
                        println!("{at}: {} {}", seen.stdout, seen.stderr);
                    }
                    code = Some(if done { 0 } else { seen.code });
                }
            }
        }
        assert_eq!(code, Some(0), "{at}");
        let found = tree(&scene);
        for (path, what) in &found {
            assert_eq!(Some(what), wanted.get(path), "{at}: {}", path.display());
        }
        assert_eq!(found.len(), wanted.len(), "{at}");
        let journal = Connection::open(scene.path("state/agentic/journal.sqlite3")).unwrap();
        let check: String = journal.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "{at}");
        let pending = std::fs::read_dir(scene.path("state/agentic/undo/pending")).map_or(0, Iterator::count);
        assert_eq!(pending, 0, "{at}");
        if kills >= 100 && round % 50 == 49 {
            println!("{} of {kills}: {cut_off} were cut off, {resumed} resumed", round + 1);
        }
    }
    println!(
        "{kills} kills over {steps} steps: {cut_off} runs were cut off, {resumed} times resumed; all came to the same"
    );
}
