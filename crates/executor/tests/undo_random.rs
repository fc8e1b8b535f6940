//! Random trees, random calls of real tools, back to a random step: bytes, kinds, permission bits, links, attributes and
//! times of files are those of a snapshot that the test took itself, and the rollback is taken back as well.
//!
//! A few cases each time; `cargo xtask undo` runs many. A case that fails says its seed.

mod real_support;
mod undo_calls;
mod undo_support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use agentic_executor::executor::{ExecutionMode, RollBackError, RunRolledBack};
use agentic_executor::workspace::{AllowPersist, RollBack, WorkspaceError};
use agentic_executor::{AgenticExecutor, Cause, EventBody, ExecutionPlan, RunId};
use real_support::{Real, has_python};
use undo_calls::{Within, by_hand, step};
use undo_support::{Random, Snapshot, What, each_case};

/// Cases of each test where nobody says otherwise.
const CASES: u64 = 8;

/// A run that is over, with the state after each of its steps as the test saw it.
struct Story {
    real: Real,
    executor: AgenticExecutor,
    run: RunId,
    plan: ExecutionPlan,
    /// Before the first step.
    at_first: Snapshot,
    /// After each step that ended, in the order in which they did.
    after: Vec<(String, Snapshot)>,
}

impl Story {
    fn tell(random: &mut Random, mode: ExecutionMode, apart: bool) -> Self {
        let mut real = Real::new();
        // Links that lead out of the workspace are among what is taken back.
        real.config.sandbox.allow_persist = AllowPersist::Everything;
        let root = real.workspace.path().to_owned();
        let steps = 1 + random.below(6);
        let within = |nth: usize| Within(apart.then(|| format!("p{nth}")));
        for nth in 0..if apart { steps } else { 1 } {
            let acts = random.below(25);
            by_hand(random, &root, &within(nth), acts);
        }
        let mut plan = ExecutionPlan::new("random");
        let python = has_python();
        plan.steps.extend((0..steps).map(|nth| step(random, &within(nth), &format!("s{nth}"), python)));
        let at_first = Snapshot::of(&root);
        let after: Arc<Mutex<Vec<(String, Snapshot)>>> = Arc::default();
        let (seen, folder) = (Arc::clone(&after), root.clone());
        let sequential = mode == ExecutionMode::Sequential;
        let builder = real.builder().mode(mode).on_event(move |event| {
            if let EventBody::StepFinished { step, .. } = &event.body {
                // Beside others a step's layer may wait: what the folder is after it cannot be seen.
                let snapshot = if sequential { Snapshot::of(&folder) } else { Snapshot::default() };
                seen.lock().unwrap().push((step.to_string(), snapshot));
            }
        });
        let executor = builder.build().unwrap();
        let result = executor.execute_plan(plan.clone());
        let after = std::mem::take(&mut *after.lock().unwrap());
        // Beside others one may end a second time, when its layer meets a conflict as it is applied.
        let ended = if sequential { after.len() == steps } else { after.len() >= steps };
        assert!(ended, "every step ends: {}", result.summary());
        // Alone, a step meets nobody.
        let met = result
            .steps
            .iter()
            .filter_map(|step| step.result.as_ref())
            .find(|result| result.cause == Some(Cause::Conflict));
        assert!(!sequential || met.is_none(), "{met:?}\n{plan:#?}");
        Self { run: result.run_id, real, executor, plan, at_first, after }
    }
    fn now(&self) -> Snapshot {
        Snapshot::of(self.real.workspace.path())
    }
    fn back(&self, to: Option<&str>, how: &RollBack) -> Result<RunRolledBack, RollBackError> {
        self.executor.roll_back(&self.run, to, how)
    }
    /// What a failure is read with.
    fn told(&self) -> String {
        let mut text = format!("{:#?}\n", self.at_first.0.keys());
        for step in &self.plan.steps {
            text += &format!("--- {} {}\n", step.id, step.tool);
            for (name, value) in &step.params {
                text += &format!("{name}: {}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        text
    }
    /// Whether the folder is `expected`, but for what was said to stay as it is because nothing else can be done.
    #[track_caller]
    fn assert_is(&self, expected: &Snapshot, before: &Snapshot, done: &RunRolledBack, what: &str) {
        let found = self.now();
        let kept = self.cannot(expected, done);
        let stays = |path: &Path| !kept.contains(path);
        let (expected, found) = (expected.only(stays), found.only(stays));
        let mut differs = expected.differs(&found);
        differs.extend(expected.links_differ(before, &found));
        assert!(
            differs.is_empty(),
            "{what}:\n{}\nbefore it: {:#?}\nkept {:?}\n{}",
            differs.join("\n"),
            expected.differs(before),
            done.done.kept,
            self.told()
        );
    }
    /// Files that could not be read when they were removed: what is documented not to come back, and nothing else.
    fn cannot(&self, expected: &Snapshot, done: &RunRolledBack) -> BTreeSet<PathBuf> {
        let root = self.real.workspace.path();
        let kept = done.done.kept.iter().map(|one| one.path.strip_prefix(root).unwrap().to_owned());
        let unreadable = |path: &PathBuf| {
            expected.0.get(path).is_some_and(|entry| entry.what == What::File(None) || entry.what == What::Special)
        };
        kept.filter(unreadable).collect()
    }
}

/// Steps that changed something, so that a test of nothing is seen.
static CHANGED: AtomicU64 = AtomicU64::new(0);
static STEPS: AtomicU64 = AtomicU64::new(0);

#[test]
fn any_tools_are_taken_back_to_any_step() {
    each_case(CASES, |seed| {
        let mut random = Random::of(seed);
        let story = Story::tell(&mut random, ExecutionMode::Sequential, false);
        let mut states = vec![(None, &story.at_first)];
        states.extend(story.after.iter().map(|(id, state)| (Some(id.as_str()), state)));
        let last = states.last().unwrap().1;
        STEPS.fetch_add(story.after.len() as u64, Ordering::Relaxed);
        let changed = states.windows(2).filter(|pair| !pair[0].1.differs(pair[1].1).is_empty()).count();
        CHANGED.fetch_add(changed as u64, Ordering::Relaxed);
        let to = random.below(states.len());
        let planned = story.back(states[to].0, &RollBack { dry_run: true, ..RollBack::default() }).unwrap();
        assert_eq!(last.differs(&story.now()), Vec::<String>::new(), "a dry run does nothing\n{}", story.told());
        let done = story
            .back(states[to].0, &RollBack::default())
            .unwrap_or_else(|error| panic!("to {:?}: {error}\n{}", states[to].0, story.told()));
        assert_eq!(planned.done.changes, done.done.changes, "{}", story.told());
        story.assert_is(states[to].1, last, &done, &format!("back to {:?}", states[to].0));
        // Further back, over what was taken back already.
        let here = story.now();
        if to > 0 && random.percent(50) {
            let further = random.below(to);
            let done = story.back(states[further].0, &RollBack::default()).unwrap();
            story.assert_is(states[further].1, &here, &done, &format!("further back to {:?}", states[further].0));
            if let Some(run) = &done.run {
                let before = story.now();
                let again = story.executor.roll_back(run, None, &RollBack::default()).unwrap();
                story.assert_is(&here, &before, &again, "the second rollback taken back");
            }
        }
        if let Some(run) = &done.run {
            let before = story.now();
            let again = story.executor.roll_back(run, None, &RollBack::default()).unwrap();
            story.assert_is(last, &before, &again, "the rollback taken back");
        }
    });
    let (changed, steps) = (CHANGED.load(Ordering::Relaxed), STEPS.load(Ordering::Relaxed));
    println!("{changed} of {steps} steps changed something");
    assert!(changed * 3 > steps, "{changed} of {steps} steps changed something");
}

#[test]
fn one_path_goes_back_and_the_others_stay() {
    each_case(CASES, |seed| {
        let mut random = Random::of(seed);
        let story = Story::tell(&mut random, ExecutionMode::Sequential, false);
        let last = story.now();
        let whole = story.back(None, &RollBack { dry_run: true, ..RollBack::default() }).unwrap();
        let root = story.real.workspace.path();
        let paths: Vec<&Path> =
            whole.done.changes.changes.iter().map(|one| one.path.strip_prefix(root).unwrap()).collect();
        if paths.is_empty() {
            return;
        }
        let changed = random.one_of(&paths);
        let levels: Vec<&Path> = changed.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        let only = random.one_of(&levels);
        let how = RollBack { only: vec![root.join(only)], ..RollBack::default() };
        let inside = |path: &Path| path.starts_with(only);
        // What lies above it may be a file by now, which is not what was asked to go.
        let is_folder = |snapshot: &Snapshot, path: &Path| {
            path.as_os_str().is_empty() || snapshot.0.get(path).is_some_and(|entry| entry.what == What::Folder)
        };
        let stands = only.ancestors().skip(1).all(|above| is_folder(&last, above));
        let done = match story.back(None, &how) {
            Ok(done) => done,
            Err(RollBackError::Workspace(WorkspaceError::ChangedSince(_) | WorkspaceError::Conflict(_))) if !stands => {
                assert_eq!(last.differs(&story.now()), Vec::<String>::new(), "nothing is changed then");
                return;
            }
            Err(error) => panic!("only {only:?}: {error}\n{}", story.told()),
        };
        let found = story.now();
        // Other names of a file that goes back are names of it still, and folders above it are needed.
        let shared: BTreeSet<_> =
            last.0.iter().filter(|(path, _)| inside(path)).map(|(_, entry)| entry.inode).collect();
        let others = |path: &Path| {
            !inside(path)
                && !only.starts_with(path)
                && !last
                    .0
                    .get(path)
                    .is_some_and(|entry| matches!(entry.what, What::File(_)) && shared.contains(&entry.inode))
        };
        assert_eq!(
            last.only(others).differs(&found.only(others)),
            Vec::<String>::new(),
            "only {only:?}, the others stay\n{}",
            story.told()
        );
        let cannot = story.cannot(&story.at_first, &done);
        let wanted = |path: &Path| inside(path) && !cannot.contains(path);
        assert_eq!(
            story.at_first.only(wanted).differs(&found.only(wanted)),
            Vec::<String>::new(),
            "only {only:?} goes back\n{}",
            story.told()
        );
        if let Some(run) = &done.run {
            let again = story.executor.roll_back(run, None, &RollBack::default()).unwrap();
            story.assert_is(&last, &found, &again, &format!("the rollback of {only:?} taken back"));
        }
    });
}

/// Every step keeps to a folder of its own: what each left there is there whichever way they met.
#[test]
fn parallel_steps_are_taken_back_to_any_of_them() {
    each_case(CASES, |seed| {
        let mut random = Random::of(seed);
        let story = Story::tell(&mut random, ExecutionMode::Parallel, true);
        let last = story.now();
        let to = random.below(story.after.len() + 1).checked_sub(1).map(|nth| story.after[nth].0.clone());
        // A step is before another when its call had finished when the other ended.
        let events = story.executor.journal().events(&story.run).unwrap();
        let mut before = BTreeSet::new();
        for event in &events {
            match &event.body {
                EventBody::CallFinished { step: Some(step), .. } if to.is_some() => {
                    before.insert(PathBuf::from(step.to_string().replace('s', "p")));
                }
                EventBody::StepFinished { step, .. } if to.as_deref() == Some(step.as_str()) => break,
                _ => {}
            }
        }
        let stays = |path: &Path| before.contains(&path.components().take(1).collect::<PathBuf>());
        let expected = last.only(stays).joined(story.at_first.only(|path| !stays(path)));
        let done = story
            .back(to.as_deref(), &RollBack::default())
            .unwrap_or_else(|error| panic!("to {to:?}: {error}\n{}", story.told()));
        story.assert_is(&expected, &last, &done, &format!("back to {to:?}"));
        if let Some(run) = &done.run {
            let before = story.now();
            let again = story.executor.roll_back(run, None, &RollBack::default()).unwrap();
            story.assert_is(&last, &before, &again, "the rollback taken back");
        }
    });
}

/// Steps that meet: some are made again, some fail; whatever came of it is taken back as a whole.
#[test]
fn parallel_steps_that_meet_are_taken_back() {
    each_case(CASES, |seed| {
        let mut random = Random::of(seed);
        let story = Story::tell(&mut random, ExecutionMode::Parallel, false);
        let last = story.now();
        let done = story.back(None, &RollBack::default()).unwrap_or_else(|error| panic!("{error}\n{}", story.told()));
        story.assert_is(&story.at_first, &last, &done, "back to the beginning");
        if let Some(run) = &done.run {
            let before = story.now();
            let again = story.executor.roll_back(run, None, &RollBack::default()).unwrap();
            story.assert_is(&last, &before, &again, "the rollback taken back");
        }
    });
}
