//! What a transaction costs: a step that changes 1, 100 and 10,000 of many small files, its rollback, and a plan of 2,000
//! steps that do nothing, beside what a user would take instead.
//!
//! `cargo bench -p agentic-executor --bench undo [-- FILES ROUNDS]` (10,000 files and 5 rounds). Every contender runs once in
//! each round, in turn, on the same tree of the temporary folder's file system; quoted are medians and the median of the
//! ratios to `git status` within each round. Nothing is asserted: a figure is no test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agentic_executor::config::{Budgets, Host, SandboxSettings};
use agentic_executor::sandbox::{Sandbox, Source, Spawner};
use agentic_executor::tools::{Access, FunctionTool};
use agentic_executor::workspace::{Backend, RollBack};
use agentic_executor::{AgenticExecutor, Config, ExecutionPlan, PlanStep, ToolContext, ToolRegistry, Workspaces};

/// Files that a step changes, and the folders that they lie in, the fewest first.
const CHANGED: [(usize, usize); 4] = [(1, 1), (100, 10), (100, 100), (10_000, 100)];
/// Files in each folder.
const EACH: usize = 100;
const STEPS: usize = 2_000;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let files = numbers.first().copied().unwrap_or(10_000);
    let rounds = numbers.get(1).copied().unwrap_or(5);
    let place = tempfile::Builder::new().prefix("agentic-bench-").tempdir().expect("a folder to work in");
    let place = place.path().canonicalize().expect("its path");
    machine();
    tree(&place, files);
    let mut times: BTreeMap<((usize, usize), &'static str), Vec<Duration>> = BTreeMap::new();
    let sandbox = Sandbox::new(spawner()).expect("the sandbox");
    let workspaces = Workspaces::new(&place.join("state"), sandbox).expect("the state folder");
    for round in 0..=rounds {
        let mut note = |changed: (usize, usize), what: &'static str, took: Duration| {
            // The first round fills caches.
            if round > 0 {
                times.entry((changed, what)).or_default().push(took);
            }
        };
        for changed in CHANGED.into_iter().filter(|(count, folders)| *count <= files && folders * EACH <= files) {
            step(&place, &workspaces, files, changed, round, &mut note);
        }
        for how in ["never", "always"] {
            let copy = place.join("copy");
            let began = Instant::now();
            let done =
                run(Command::new("cp").args(["-r", &format!("--reflink={how}")]).arg(place.join("tree")).arg(&copy));
            if done {
                note((0, 0), if how == "never" { "cp -r" } else { "cp -r --reflink=always" }, began.elapsed());
            }
            fs::remove_dir_all(&copy).ok();
        }
    }
    println!(
        "\na tree of {files} files, {rounds} rounds\n{:<64} {:>11} {:>11} {:>13}",
        "", "p50", "worst", "÷ git status"
    );
    for ((changed, what), took) in &times {
        // A copy is that of the whole tree, whatever was changed.
        let base = &times[&(if changed.0 == 0 { CHANGED[0] } else { *changed }, "git status")];
        let mut ratios: Vec<f64> =
            took.iter().zip(base).map(|(one, base)| one.as_secs_f64() / base.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let name = match changed {
            (0, _) => (*what).to_owned(),
            (count, folders) => format!("{what}, {count} changed in {folders}"),
        };
        let (p50, worst) = (median(took), took.iter().max().copied().unwrap_or_default());
        println!("{name:<64} {:>8.2} ms {:>8.2} ms {:>13.2}", ms(p50), ms(worst), ratios[ratios.len() / 2]);
    }
    plan(&place);
    fs::remove_dir_all(&place).ok();
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// A hundred files of some hundred bytes in each folder, in git, whose own folder lies beside it.
fn tree(place: &Path, files: usize) {
    let tree = place.join("tree");
    for nth in 0..files {
        let path = file(&tree, nth);
        if nth % EACH == 0 {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        }
        fs::write(path, format!("file {nth}\n").repeat(10)).expect("a file");
    }
    assert!(git(place, &["init", "-q"]) && git(place, &["add", "-A"]));
    assert!(git(place, &["-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-qm", "base"]));
    // Otherwise whatever is measured first pays for writing the tree.
    assert!(run(&mut Command::new("sync")));
}

fn file(tree: &Path, nth: usize) -> PathBuf {
    tree.join(format!("d{}/f{nth}", nth / EACH))
}

fn git(place: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.args(["-c", "gc.auto=0"]).args(arguments).current_dir(place.join("tree"));
    command.env("GIT_DIR", place.join("git")).env("GIT_WORK_TREE", place.join("tree"));
    run(&mut command)
}

fn run(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// One step with its rollback, and git on the same change.
fn step(
    place: &Path,
    workspaces: &Workspaces,
    files: usize,
    changed: (usize, usize),
    round: usize,
    note: &mut impl FnMut((usize, usize), &'static str, Duration),
) {
    let tree = place.join("tree");
    // What the contender before left to be written is not this one's.
    assert!(run(&mut Command::new("sync")));
    let began = Instant::now();
    let attempt = workspaces.open_with(std::slice::from_ref(&tree), Access::Write, Backend::Overlay).expect("a layer");
    let opened = began.elapsed();
    attempt.make_undoable();
    let upper = match &attempt.mounts()[0].source {
        Source::Overlay { upper, .. } => upper.clone(),
        _ => unreachable!("an overlay was asked for"),
    };
    // What a program's writes leave in the upper folder; its own time is not the transaction's.
    let (count, folders) = changed;
    let apart = files / EACH / folders;
    for nth in (0..count).map(|nth| nth % folders * apart * EACH + nth / folders) {
        let path = file(&upper, nth);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, format!("round {round}, file {nth}\n").repeat(10)).expect("a file");
    }
    let began = Instant::now();
    let set = attempt.change_set().expect("what was changed");
    let collected = began.elapsed();
    assert_eq!(set.changes.len(), count);
    let name = attempt.name().expect("a name");
    let began = Instant::now();
    attempt.commit().expect("a commit");
    let committed = began.elapsed();
    note(changed, "step: open a layer, collect the changes", opened + collected);
    note(changed, "step: keep the originals and apply", committed);
    assert!(run(&mut Command::new("sync")));
    let began = Instant::now();
    assert!(git(place, &["status", "--porcelain"]));
    note(changed, "git status", began.elapsed());
    let began = Instant::now();
    assert!(git(place, &["-c", "user.name=b", "-c", "user.email=b@localhost", "stash"]));
    note(changed, "git stash", began.elapsed());
    assert!(git(place, &["stash", "pop", "-q"]));
    let began = Instant::now();
    workspaces.roll_back(&[name], &RollBack::default()).expect("a rollback");
    note(changed, "rollback", began.elapsed());
    assert!(git(place, &["diff", "--quiet"]), "the tree is as it was");
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// Steps that do nothing, one after the other, with the journal on the disk.
fn plan(place: &Path) {
    let project = place.join("empty");
    fs::create_dir(&project).expect("a folder");
    let config = Config {
        workspace: project,
        state: place.join("state-of-plan"),
        spawner: spawner(),
        host: Host::default(),
        sandbox: SandboxSettings::default(),
        budgets: Budgets { steps: STEPS, identical_calls: STEPS as u32 + 1, ..Budgets::default() },
    };
    let registry = ToolRegistry::new();
    let nothing = FunctionTool::new("nothing", "Does nothing", |_: Nothing, _: &ToolContext<'_>| Ok(""));
    registry.register(std::sync::Arc::new(nothing.access(Access::None))).expect("a tool");
    let executor = AgenticExecutor::builder(config).registry(registry).build().expect("an executor");
    let mut plan = ExecutionPlan::new("nothing");
    plan.steps
        .extend((0..STEPS).map(|nth| PlanStep::new(format!("s{nth}"), "nothing", serde_json::Map::new(), "nothing")));
    let began = Instant::now();
    let result = executor.execute_plan(plan);
    let took = began.elapsed();
    assert!(result.success, "{}", result.summary());
    // What the disk takes for a page that is appended and synced, of which a step needs two.
    let log = fs::File::create(place.join("log")).expect("a file");
    let syncs: Vec<Duration> = (0..200)
        .map(|_| {
            std::io::Write::write_all(&mut &log, &[0; 4096]).expect("a write");
            let began = Instant::now();
            log.sync_data().expect("a sync");
            began.elapsed()
        })
        .collect();
    let each = took / STEPS as u32;
    println!(
        "\na plan of {STEPS} steps that do nothing: {:.3} ms a step, of which two syncs of this disk are {:.3} ms",
        ms(each),
        ms(median(&syncs) * 2)
    );
}

/// Built beside this program.
fn spawner() -> Spawner {
    let this = std::env::current_exe().expect("the path of this program");
    let mut places = this.ancestors().skip(1).map(|folder| folder.join("agentic-spawner"));
    Spawner::Path(places.find(|path| path.is_file()).expect("run `cargo build --release -p agentic-sandbox` first"))
}

/// The machine, so that nobody quotes a figure without it.
fn machine() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    println!(
        "{} processors, {cpu}; Linux {}; load {}",
        std::thread::available_parallelism().map_or(0, usize::from),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
    );
}
