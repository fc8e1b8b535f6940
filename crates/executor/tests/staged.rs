//! Staged runs: what steps write is held back, seen by later steps and by nobody else, and applied as a whole or not at all.

mod real_support;
mod undo_support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use agentic_executor::executor::{ExecutionMode, Resume, ResumeError, RollBackError, StopReason};
use agentic_executor::planner::{OnFailure, RetryPolicy};
use agentic_executor::workspace::{Bytes, RollBack, StagedChanges};
use agentic_executor::{ExecutionPlan, PlanStep};
use real_support::{Real, shell};
use undo_support::Snapshot;

/// What a review is told, in lines.
fn told(staged: &StagedChanges, root: &Path) -> Vec<String> {
    let one = |one: &agentic_executor::workspace::Difference| {
        let path = one.path.strip_prefix(root).unwrap().display().to_string();
        match &one.bytes {
            Bytes::Text { added, removed, .. } => format!("{path} +{added} -{removed}"),
            other => format!("{path} {:?} {other:?}", one.kind),
        }
    };
    staged.differences().unwrap().iter().map(one).collect()
}

#[test]
fn later_steps_see_it_and_the_folder_does_not_before_the_answer() {
    let real = Real::new();
    real.workspace.file("kept.txt", "kept\n");
    real.workspace.file("old/gone.txt", "gone\n");
    let before = Snapshot::of(real.workspace.path());
    let root = real.workspace.path().to_owned();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (noted, folder, first) = (Arc::clone(&seen), root.clone(), before.clone());
    let builder = real.builder().staged(move |staged| {
        let now = Snapshot::of(&folder);
        assert_eq!(first.differs(&now), Vec::<String>::new(), "the folder is as it was");
        noted.lock().unwrap().extend(told(staged, &folder));
        true
    });
    let ran = real.run_with(
        builder,
        [
            shell("one", "echo 1 > made.txt; rm -r old; mkdir sub; echo deep > sub/deep.txt"),
            shell("two", "cat made.txt sub/deep.txt > both.txt; echo 2 >> made.txt; test ! -e old"),
            shell("three", "mkdir old; echo new > old/new.txt; ls old > listed.txt; echo more >> kept.txt"),
        ],
    );
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!(real.read("both.txt"), "1\ndeep\n");
    assert_eq!(real.read("made.txt"), "1\n2\n");
    assert_eq!(real.read("listed.txt"), "new.txt\n", "what a removed folder held does not come back with it");
    assert_eq!(real.read("kept.txt"), "kept\nmore\n");
    let expected = [
        "both.txt +2 -0",
        "kept.txt +1 -0",
        "listed.txt +1 -0",
        "made.txt +2 -0",
        "old/gone.txt +0 -1",
        "old/new.txt +1 -0",
        "sub Added Same",
        "sub/deep.txt +1 -0",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(ran.result.metadata["staged"]["applied"], true, "{:?}", ran.result.metadata);

    // As one change it is shown, and goes back.
    let run = &ran.result.run_id;
    assert_eq!(ran.executor.differences(run, None).unwrap().len(), expected.len());
    let error = ran.executor.differences(run, Some("one")).unwrap_err();
    assert!(matches!(error, RollBackError::Staged { .. }), "{error}");
    let error = ran.executor.roll_back(run, Some("one"), &RollBack::default()).unwrap_err();
    assert!(error.to_string().contains("no step stands for itself"), "{error}");
    let done = ran.executor.roll_back(run, None, &RollBack::default()).unwrap();
    assert_eq!(before.differs(&Snapshot::of(&root)), Vec::<String>::new());
    // The rollback is a run of its own, not a staged one.
    ran.executor.roll_back(&done.run.unwrap(), None, &RollBack::default()).unwrap();
    assert_eq!(real.read("both.txt"), "1\ndeep\n");
}

#[test]
fn what_is_declined_leaves_nothing() {
    let real = Real::new();
    real.workspace.file("a.txt", "a\n");
    let before = Snapshot::of(real.workspace.path());
    let ran = real.run_with(real.builder().staged(|_| false), [shell("one", "echo b > a.txt; echo c > c.txt")]);
    assert_eq!(ran.result.stop_reason, StopReason::Denied, "{}", ran.result.summary());
    assert!(ran.result.error.as_ref().unwrap().contains("not agreed to"), "{:?}", ran.result.error);
    assert_eq!(before.differs(&Snapshot::of(real.workspace.path())), Vec::<String>::new());
    let left: Vec<_> = std::fs::read_dir(real.workspace.state().join("layers")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // It changed nothing, which is what rolling it back comes to.
    let done = ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!((done.run, done.done.changes.changes.len()), (None, 0));
}

#[test]
fn a_run_that_fails_is_not_even_shown() {
    let real = Real::new();
    real.workspace.file("a.txt", "a\n");
    let before = Snapshot::of(real.workspace.path());
    let builder = real.builder().staged(|_| panic!("a failed run is not looked at"));
    let mut fails = shell("two", "echo half > half.txt; exit 3");
    fails.retry = RetryPolicy { max: 0, ..RetryPolicy::default() };
    let ran = real.run_with(builder, [shell("one", "echo b > a.txt"), fails]);
    assert_eq!(ran.result.stop_reason, StopReason::Partial, "{}", ran.result.summary());
    assert_eq!(ran.result.metadata["staged"]["applied"], false);
    assert_eq!(before.differs(&Snapshot::of(real.workspace.path())), Vec::<String>::new());
    let error = ran.executor.resume(&ran.result.run_id, &Resume::default()).unwrap_err();
    assert!(matches!(error, ResumeError::Staged(_)), "{error}");
}

#[test]
fn a_run_that_changes_nothing_asks_nothing() {
    let real = Real::new();
    real.workspace.file("a.txt", "a\n");
    let builder = real.builder().staged(|_| panic!("there is nothing to look at"));
    let ran = real.run_with(builder, [shell("one", "cat a.txt"), shell("two", "echo x > b; rm b")]);
    assert!(ran.result.success, "{}", ran.result.summary());
}

#[test]
fn what_somebody_else_wrote_meanwhile_stays_and_the_runs_work_is_kept() {
    let real = Real::new();
    real.workspace.file("shared.txt", "first\n");
    let file = real.workspace.path().join("shared.txt");
    let builder = real.builder().staged(move |_| {
        std::fs::write(&file, "theirs\n").unwrap();
        true
    });
    let ran = real.run_with(builder, [shell("one", "echo ours > shared.txt; echo other > other.txt")]);
    assert_eq!(ran.result.stop_reason, StopReason::Failed, "{}", ran.result.summary());
    let error = ran.result.error.clone().unwrap();
    assert!(error.contains("shared.txt") && error.contains("changed meanwhile"), "{error}");
    assert_eq!(real.read("shared.txt"), "theirs\n");
    assert!(!real.workspace.path().join("other.txt").exists(), "all or nothing");
    let kept = ran.result.metadata["staged"]["kept_in"].as_str().expect("where it is kept").to_owned();
    assert_eq!(std::fs::read_to_string(Path::new(&kept).join("0/upper/shared.txt")).unwrap(), "ours\n");
    assert!(error.contains(&kept), "{error}");
}

#[test]
fn what_others_do_beside_it_is_no_conflict() {
    let real = Real::new();
    real.workspace.file("ours.txt", "first\n");
    let folder = real.workspace.path().to_owned();
    let builder = real.builder().staged(move |_| {
        std::fs::write(folder.join("theirs.txt"), "theirs\n").unwrap();
        true
    });
    let ran = real.run_with(builder, [shell("one", "echo ours > ours.txt"), shell("two", "echo more >> ours.txt")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!((real.read("ours.txt").as_str(), real.read("theirs.txt").as_str()), ("ours\nmore\n", "theirs\n"));
}

/// What a step wrote was harmless when it was staged, and is a hook by the time that it is applied.
#[test]
fn what_became_a_repository_while_it_was_looked_at_is_judged_as_one() {
    let hook = [shell(
        "one",
        "mkdir -p lib/hooks; echo 'exit 0' > lib/hooks/post-checkout; chmod 755 lib/hooks/post-checkout",
    )];
    for becomes in [false, true] {
        let real = Real::new();
        real.workspace.file("lib/objects/keep", "").file("lib/refs/keep", "");
        let head = real.workspace.join("lib/HEAD");
        let builder = real.builder().staged(move |_| {
            if becomes {
                std::fs::write(&head, "ref: refs/heads/main\n").unwrap();
            }
            true
        });
        let ran = real.run_with(builder, hook.clone());
        assert_eq!(ran.result.success, !becomes, "{}", ran.result.summary());
        assert_eq!(real.workspace.exists("lib/hooks/post-checkout"), !becomes);
        assert_eq!(ran.result.summary().contains("git hook"), becomes, "{}", ran.result.summary());
    }
}

/// Names of one file: a later step sees by each of them what an earlier one wrote by one.
#[test]
fn a_file_with_several_names_stays_one() {
    let real = Real::new();
    real.workspace.file("a", "first\n");
    let (a, b) = (real.workspace.path().join("a"), real.workspace.path().join("b"));
    std::fs::hard_link(&a, &b).unwrap();
    let ran = real.run_with(
        real.builder().staged(|_| true),
        [
            shell("one", "echo second >> a"),
            shell("two", "cat b > seen; echo third >> b"),
            shell("three", "cat a >> seen"),
        ],
    );
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!(real.read("seen"), "first\nsecond\nfirst\nsecond\nthird\n");
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&a), inode(&b));
    assert_eq!(real.read("a"), "first\nsecond\nthird\n");
}

fn parallel(steps: impl IntoIterator<Item = PlanStep>) -> ExecutionPlan {
    let mut plan = ExecutionPlan::new("parallel");
    plan.steps.extend(steps.into_iter().map(|step| PlanStep { depends_on: Vec::new(), ..step }));
    plan
}

#[test]
fn parallel_steps_are_all_there_and_those_that_meet_are_named() {
    let real = Real::new();
    let executor = real.builder().mode(ExecutionMode::Parallel).staged(|_| true).build().unwrap();
    let many = (0..12).map(|nth| shell(&format!("s{nth}"), format!("mkdir -p d; echo {nth} > d/{nth}; sleep 0.1")));
    let result = executor.execute_plan(parallel(many));
    assert!(result.success, "{}", result.summary());
    for nth in 0..12 {
        assert_eq!(real.read(format!("d/{nth}")), format!("{nth}\n"));
    }
    // Both write one path: the later one is made again over the first, or fails by name; the words of both are never mixed.
    let meet = ["x", "y"].map(|word| {
        let mut step = shell(word, format!("echo {word} >> met.txt; sleep 0.2"));
        step.on_failure = OnFailure::Continue;
        step
    });
    let result = executor.execute_plan(parallel(meet));
    if result.success {
        let met = real.read("met.txt");
        assert!(["x\ny\n", "y\nx\n"].contains(&met.as_str()), "{met:?}");
    } else {
        let error = result.error.clone().unwrap_or_default();
        assert!(error.contains("met.txt") && !real.workspace.exists("met.txt"), "{error}");
    }
}

/// Two runs of one process, one of them staged: what is held back is nobody else's to see.
#[test]
fn another_run_does_not_see_what_is_held_back() {
    let real = Real::new();
    real.workspace.file("a.txt", "a\n");
    let staging = real.builder().staged(|_| true).build().unwrap();
    let plain = Arc::new(real.builder().workspaces(staging.workspaces().clone()).build().unwrap());
    let saw: Arc<Mutex<String>> = Arc::default();
    let (other, noted) = (Arc::clone(&plain), Arc::clone(&saw));
    let builder = real.builder().workspaces(staging.workspaces().clone()).staged(move |_| {
        let mut plan = ExecutionPlan::new("look");
        plan.steps.push(shell("look", "ls; echo by-hand > by-hand.txt"));
        let result = other.execute_plan(plan);
        let step = result.steps.first().and_then(|step| step.result.as_ref());
        *noted.lock().unwrap() = step.map(|result| result.output_text().into_owned()).unwrap_or_default();
        true
    });
    let ran = real.run_with(builder, [shell("one", "echo held > held.txt")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!(*saw.lock().unwrap(), "a.txt\n");
    assert_eq!((real.read("held.txt").as_str(), real.read("by-hand.txt").as_str()), ("held\n", "by-hand\n"));
}
