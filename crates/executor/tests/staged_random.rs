//! Random calls of real tools, staged and not: the folder is untouched until the answer, and then what it would have been.
//!
//! A few cases each time; `cargo xtask undo` runs many. A case that fails says its seed.

mod real_support;
mod undo_calls;
mod undo_support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use agentic_executor::executor::ExecutionMode;
use agentic_executor::workspace::{AllowPersist, RollBack};
use agentic_executor::{AgenticExecutor, ExecutionPlan, ExecutionResult};
use real_support::{Real, has_python};
use undo_calls::{Within, by_hand, step};
use undo_support::{Entry, Random, Snapshot, each_case};

const CASES: u64 = 8;

struct Scene {
    real: Real,
    plan: ExecutionPlan,
    first: Snapshot,
}

impl Scene {
    /// The same for the same numbers.
    fn set(random: &mut Random, apart: bool) -> Self {
        let mut real = Real::new();
        real.config.sandbox.allow_persist = AllowPersist::Everything;
        let steps = 1 + random.below(5);
        let within = |nth: usize| Within(apart.then(|| format!("p{nth}")));
        for nth in 0..if apart { steps } else { 1 } {
            let acts = random.below(25);
            by_hand(random, real.workspace.path(), &within(nth), acts);
        }
        let python = has_python();
        let mut plan = ExecutionPlan::new("random");
        plan.steps.extend((0..steps).map(|nth| {
            // What may fail would leave nothing to compare.
            loop {
                let step = step(random, &within(nth), &format!("s{nth}"), python);
                if !["edit", "apply_patch", "file_write"].contains(&step.tool.as_str()) {
                    return step;
                }
            }
        }));
        let first = Snapshot::of(real.workspace.path());
        Self { real, plan, first }
    }
    fn now(&self) -> Snapshot {
        Snapshot::of(self.real.workspace.path())
    }
    fn run(&self, executor: &AgenticExecutor) -> ExecutionResult {
        executor.execute_plan(self.plan.clone())
    }
    fn told(&self) -> String {
        let mut text = String::new();
        for step in &self.plan.steps {
            text += &format!("--- {} {}\n", step.id, step.tool);
            for (name, value) in &step.params {
                text += &format!("{name}: {}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        text
    }
}

/// Two folders that were written at different times.
fn timeless(snapshot: &Snapshot) -> Snapshot {
    let entry = |(path, entry): (&PathBuf, &Entry)| (path.clone(), Entry { written: None, ..entry.clone() });
    Snapshot(snapshot.0.iter().map(entry).collect())
}

/// Whether the scripts come to the same each time. Some do not: a folder that is copied into itself has what was listed first.
fn is_settled(seed: u64, apart: bool, expected: &Snapshot) -> bool {
    (0..8).all(|_| {
        let again = Scene::set(&mut Random::of(seed), apart);
        let result = again.run(&again.real.builder().build().unwrap());
        result.success && expected.differs(&timeless(&again.now())).is_empty()
    })
}

static APPLIED: AtomicU64 = AtomicU64::new(0);
/// Cases that say nothing.
static UNSETTLED: AtomicU64 = AtomicU64::new(0);

fn compare(seed: u64, mode: ExecutionMode, apart: bool) {
    let (plain, staged) = (Scene::set(&mut Random::of(seed), apart), Scene::set(&mut Random::of(seed), apart));
    let result = plain.run(&plain.real.builder().build().unwrap());
    let told = || staged.told();
    assert!(result.success, "{}\n{}", result.summary(), told());
    let root = staged.real.workspace.path().to_owned();
    let seen: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
    let (noted, folder, first) = (Arc::clone(&seen), root.clone(), staged.first.clone());
    let builder = staged.real.builder().mode(mode).staged(move |changes| {
        assert_eq!(first.differs(&Snapshot::of(&folder)), Vec::<String>::new(), "nothing is applied yet");
        let all = changes.differences().unwrap();
        noted.lock().unwrap().extend(all.iter().map(|one| one.path.strip_prefix(&folder).unwrap().to_owned()));
        true
    });
    let executor = builder.build().unwrap();
    let result = staged.run(&executor);
    assert!(result.success, "{}\n{}", result.summary(), told());
    let (expected, found) = (timeless(&plain.now()), timeless(&staged.now()));
    if !expected.differs(&found).is_empty() && !is_settled(seed, apart, &expected) {
        UNSETTLED.fetch_add(1, Ordering::Relaxed);
        eprintln!("case {seed} says nothing: its scripts come to something else each time");
        return;
    }
    assert_eq!(expected.differs(&found), Vec::<String>::new(), "as without staging\n{}", told());
    let linked = |snapshot: &Snapshot| -> BTreeSet<BTreeSet<PathBuf>> {
        snapshot.linked().into_iter().map(|names| names.into_iter().map(Path::to_owned).collect()).collect()
    };
    assert_eq!(linked(&expected), linked(&found), "names of one file\n{}", told());
    // All that was to change was shown, and nothing else.
    let first = timeless(&staged.first);
    let paths: BTreeSet<&Path> = first.0.keys().chain(found.0.keys()).map(PathBuf::as_path).collect();
    let only = |snapshot: &Snapshot, path: &Path| snapshot.only(|one| one == path);
    let differs = |path: &&Path| !only(&first, path).differs(&only(&found, path)).is_empty();
    let changed: BTreeSet<PathBuf> = paths.into_iter().filter(differs).map(Path::to_owned).collect();
    let unshown: Vec<_> = changed.difference(&seen.lock().unwrap()).cloned().collect();
    assert_eq!(unshown, Vec::<PathBuf>::new(), "changed and not shown\n{}", told());
    if changed.is_empty() {
        return;
    }
    APPLIED.fetch_add(1, Ordering::Relaxed);
    let done = executor.roll_back(&result.run_id, None, &RollBack::default()).unwrap();
    if done.done.kept.is_empty() {
        assert_eq!(staged.first.differs(&staged.now()), Vec::<String>::new(), "rolled back\n{}", told());
    }
}

#[test]
fn staged_steps_come_to_what_steps_come_to() {
    each_case(CASES, |seed| compare(seed, ExecutionMode::Sequential, false));
    let (applied, unsettled) = (APPLIED.load(Ordering::Relaxed), UNSETTLED.load(Ordering::Relaxed));
    println!("{applied} cases changed something, {unsettled} said nothing");
    assert!(applied > unsettled, "{applied} cases changed something, {unsettled} said nothing");
}

#[test]
fn parallel_staged_steps_come_to_what_steps_come_to() {
    each_case(CASES, |seed| compare(seed, ExecutionMode::Parallel, true));
}
