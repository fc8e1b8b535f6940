//! Many hostile runs in a row, eight at once, and nothing of them left: no process, mount, cgroup, descriptor, memory or
//! temporary file. `AGENTIC_SOAK_RUNS` says how many (default 200); `cargo xtask soak` runs the long form.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agentic_attack::{Act, Attempt, Bait, Cold, Enclosure as _, Outcome, Runner, Setup, groups};
use agentic_sandbox::{Sandbox, Spawner};
use agentic_testkit::{report_skip, spawner_binary};

const AT_ONCE: usize = 8;
/// What the allocator may keep of what passed through it.
const MEMORY_KEPT: u64 = 48 << 20;

#[test]
fn many_hostile_runs_leave_nothing() {
    let runs = std::env::var("AGENTIC_SOAK_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let sandbox = Sandbox::new(Spawner::Path(spawner_binary())).expect("a sandbox");
    let enclosure = Cold::new(sandbox);
    let runner = Runner { enclosure: &enclosure, weakened: None, width: 1 };
    let attempts = drawn();
    let began = Instant::now();
    // What is made once and stays (the spawner, a group ahead) is made by the first runs.
    soak(&runner, &attempts, AT_ONCE * 4);
    let before = Held::now();
    shows_what_is_held(&enclosure, &before);
    assert_eq!(settled(&before).cgroups, before.cgroups, "the run of the control is over");
    let wrong = soak(&runner, &attempts, runs);
    let after = settled(&before);
    println!("{runs} runs, {AT_ONCE} at once, {} s; before {before:?}, after {after:?}", began.elapsed().as_secs());
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((after.descriptors, &after.processes), (before.descriptors, &before.processes));
    assert_eq!((after.mounts, &after.cgroups), (before.mounts, &before.cgroups));
    assert_eq!(after.files, before.files);
    assert!(after.memory < before.memory + MEMORY_KEPT, "memory grew");
}

/// The control of what is compared at the end: while a run lives, each of it differs.
fn shows_what_is_held(enclosure: &Cold, before: &Held) {
    let bait = Bait::new().expect("bait");
    let sleeper = Act::Python("import time\nos.write(1, b'ready\\n')\ntime.sleep(60)");
    let mut running = enclosure.start(sleeper, &Setup::PLAIN, &bait, "").expect("a run");
    running.wait_for("ready").expect("it runs");
    let during = Held::now();
    running.end(Duration::ZERO);
    assert!(during.descriptors > before.descriptors, "{before:?} {during:?}");
    assert_ne!(during.processes, before.processes);
    assert!(during.files > before.files, "{before:?} {during:?}");
    if during.cgroups == 0 {
        report_skip("no cgroup can be made here: that none is left is not shown");
    } else {
        assert!(during.cgroups > before.cgroups, "{before:?} {during:?}");
    }
}

/// The attempts that are one program and are over in well under a second.
fn drawn() -> Vec<&'static Attempt> {
    let one = |attempt: &&Attempt| matches!(attempt.act, Act::Python(_) | Act::Call(..) | Act::Shell(_));
    let here = |attempt: &&Attempt| attempt.arch.is_none_or(|arch| arch == std::env::consts::ARCH);
    groups::corpus().into_iter().filter(one).filter(here).collect()
}

/// Makes `runs` attempts and returns what was not as it must be.
fn soak(runner: &Runner<'_>, attempts: &[&'static Attempt], runs: usize) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let bait = Bait::new().expect("bait");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        return;
                    }
                    // A step that shares no factor with the length visits all, in an order that mixes the groups.
                    let attempt = attempts[number * 7919 % attempts.len()];
                    match runner.attempt(attempt, &bait) {
                        Outcome::Refused(_) => {}
                        other => wrong.lock().expect("the list").push(format!("{}: {other:?}", attempt.id)),
                    }
                }
            });
        }
    });
    wrong.into_inner().expect("the list")
}

/// What this process and its children hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    processes: BTreeMap<String, usize>,
    mounts: usize,
    cgroups: usize,
    files: usize,
    memory: u64,
}

impl Held {
    fn now() -> Self {
        let count = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
        let mut processes = BTreeMap::new();
        let mut memory = resident("self");
        for child in descendants(std::process::id()) {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            memory += resident(&child.to_string());
            *processes.entry(name.trim().to_owned()).or_default() += 1;
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count());
        let place = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let own = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("agentic-attack-");
        let files = fs::read_dir(place).into_iter().flatten().flatten().filter(own).count();
        Self { descriptors: count("/proc/self/fd"), processes, mounts, cgroups: groups_of_runs(), files, memory }
    }
}

/// Looks until it is as before, or ten seconds are over: what ends is reaped by others in their own time.
fn settled(before: &Held) -> Held {
    let began = Instant::now();
    loop {
        let now = Held::now();
        let same = Held { memory: before.memory, ..now.clone() } == *before;
        if same || began.elapsed() > Duration::from_secs(10) {
            return now;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn resident(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn descendants(of: u32) -> Vec<u32> {
    let path = format!("/proc/{of}/task");
    let tasks = fs::read_dir(path).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|text| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    children.iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}

/// Cgroups of runs of this process: `agentic-PIDNS-PID-…`.
fn groups_of_runs() -> usize {
    fn walk(folder: &Path, pid: &str, depth: usize) -> usize {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let mut parts = name.split('-');
                let found = usize::from(parts.next() == Some("agentic") && parts.nth(1) == Some(pid));
                found + if depth == 0 { 0 } else { walk(&entry.path(), pid, depth - 1) }
            })
            .sum()
    }
    walk(Path::new("/sys/fs/cgroup"), &std::process::id().to_string(), 5)
}
