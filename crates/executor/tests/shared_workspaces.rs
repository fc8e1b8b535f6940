//! Two executors of one process side by side on one folder, sharing the board of open layers.

mod real_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentic_executor::executor::{ExecutionMode, StopReason};
use agentic_executor::sandbox::Sandbox;
use agentic_executor::tools::Access;
use agentic_executor::workspace::{Attempt, Backend};
use agentic_executor::{AgenticExecutor, Cancel, ExecutionPlan, ExecutionResult, PlanStep, Workspaces};
use agentic_testkit::skip;
use real_support::{Real, shell};

fn run(executor: &AgenticExecutor, steps: impl IntoIterator<Item = PlanStep>) -> ExecutionResult {
    let mut plan = ExecutionPlan::new("test");
    plan.steps.extend(steps);
    executor.execute_plan(plan)
}

fn shared(real: &Real) -> Workspaces {
    Workspaces::new(&real.config.state, Sandbox::new(real.config.spawner.clone()).unwrap()).unwrap()
}

#[test]
fn many_steps_of_both_land_without_a_conflict() {
    let real = Real::new();
    let workspaces = shared(&real);
    for n in 0..20 {
        real.workspace.file(format!("f{n}"), format!("base {n}\n"));
    }
    let results: Vec<ExecutionResult> = std::thread::scope(|scope| {
        let half = |part: usize| {
            let (real, workspaces) = (&real, workspaces.clone());
            scope.spawn(move || {
                let executor = real.builder().mode(ExecutionMode::Parallel).workspaces(workspaces).build().unwrap();
                let own = (0..20).filter(|n| n % 2 == part);
                run(
                    &executor,
                    own.map(|n| shell(&format!("s{n}"), format!("echo mine {n} >> f{n}; echo new > new{n}"))),
                )
            })
        };
        [half(0), half(1)].map(|half| half.join().unwrap()).into()
    });
    for result in &results {
        assert!(result.success, "{}", result.summary());
        assert_eq!(result.metadata.get("recoveries"), None, "no conflict by mistake");
    }
    for n in 0..20 {
        assert_eq!(real.read(format!("f{n}")), format!("base {n}\nmine {n}\n"));
        assert_eq!(real.read(format!("new{n}")), "new\n");
    }
}

/// Whether a step of one executor is applied while a step of the other has the folder mounted.
fn applied_beneath_the_other(real: &Real, own: Option<Workspaces>, others: Option<Workspaces>) -> bool {
    let (ready, flag, made) = (real.outside.join("ready"), real.outside.join("flag"), real.workspace.join("made"));
    let _ = std::fs::remove_file(&flag);
    let builder = |workspaces: Option<Workspaces>| match workspaces {
        Some(workspaces) => real.builder().workspaces(workspaces),
        None => real.builder(),
    };
    let one = builder(own).build().unwrap();
    let there = Arc::new(AtomicBool::new(false));
    let (seen, go_on, look) = (there.clone(), flag.clone(), made.clone());
    let other = builder(others)
        .on_step_complete(move |_| {
            seen.store(look.exists(), Ordering::SeqCst);
            std::fs::write(&go_on, "").unwrap();
        })
        .build()
        .unwrap();
    let (ready, flag) = (ready.display(), flag.display());
    let slow = shell("slow", format!(": > {ready}; while [ ! -e {flag} ]; do sleep 0.02; done; echo mine > slow"));
    let quick = shell("quick", format!("while [ ! -e {ready} ]; do sleep 0.02; done; echo mine > made"));
    std::thread::scope(|scope| {
        let (slow, quick) = (scope.spawn(|| run(&one, [slow])), scope.spawn(|| run(&other, [quick])));
        for result in [slow.join().unwrap(), quick.join().unwrap()] {
            assert!(result.success, "{}", result.summary());
        }
    });
    assert_eq!((real.read("slow").as_str(), real.read("made").as_str()), ("mine\n", "mine\n"));
    there.load(Ordering::SeqCst)
}

#[test]
fn a_folder_that_the_other_has_mounted_is_not_written() {
    let real = Real::new();
    if real.backend() != Backend::Overlay {
        skip!("without an overlay layers are applied at once");
    }
    let state = tempfile::tempdir().unwrap();
    let stranger = Workspaces::new(&state.path().join("state"), Sandbox::new(real.config.spawner.clone()).unwrap());
    assert!(applied_beneath_the_other(&real, None, Some(stranger.unwrap())), "the control: a state folder of its own");
    std::fs::remove_file(real.workspace.join("made")).unwrap();
    let workspaces = shared(&real);
    assert!(!applied_beneath_the_other(&real, Some(workspaces.clone()), Some(workspaces)));
    std::fs::remove_file(real.workspace.join("made")).unwrap();
    // Nor by one that knows of the other only through the state folder, as another process does.
    assert!(!applied_beneath_the_other(&real, None, None));
}

/// The folder, mounted as another process would have it.
fn mounted_by_another(real: &Real) -> Attempt {
    let roots = [real.workspace.path().to_owned()];
    let open = shared(real).open(&roots, Access::Write).unwrap();
    open.locate(&roots[0].join("x")).unwrap();
    open
}

#[test]
fn who_has_the_folder_for_too_long_is_named_and_nothing_is_lost() {
    let real = Real::new();
    if real.backend() != Backend::Overlay {
        skip!("without an overlay layers are applied at once");
    }
    let open = mounted_by_another(&real);
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = told.clone();
    let other = shared(&real).with_patience(std::time::Duration::from_millis(1500)).on_wait(Arc::new(move |text| {
        heard.lock().unwrap().push(text.to_owned());
    }));
    let result = run(&real.builder().workspaces(other).build().unwrap(), [shell("late", "echo mine > made")]);
    let me = format!("(process {})", std::process::id());
    assert!(!result.success, "{}", result.summary());
    let error = result.error.unwrap();
    assert!(error.contains(&me) && error.contains("kept in"), "{error}");
    assert!(told.lock().unwrap().len() == 1 && told.lock().unwrap()[0].contains(&me), "{told:?}");
    assert!(!real.workspace.join("made").exists());
    let kept = result.metadata["not_applied"][0]["folder"].as_str().unwrap().to_owned();
    let made = std::process::Command::new("find").args([kept.as_str(), "-name", "made"]).output().unwrap();
    assert!(!made.stdout.is_empty(), "what it wrote is in {kept}");
    // The control: once the folder is let go it is applied.
    drop(open);
    let again = run(&real.builder().build().unwrap(), [shell("now", "echo mine > made")]);
    assert!(again.success, "{}", again.summary());
    assert_eq!(real.read("made"), "mine\n");
}

#[test]
fn a_run_that_waits_for_another_process_ends_when_it_is_asked_to() {
    let real = Real::new();
    if real.backend() != Backend::Overlay {
        skip!("without an overlay layers are applied at once");
    }
    let open = mounted_by_another(&real);
    let cancel = Cancel::new();
    let ends = cancel.clone();
    // Ten minutes would pass otherwise.
    let other = shared(&real).on_wait(Arc::new(move |_| ends.cancel()));
    let began = std::time::Instant::now();
    let executor = real.builder().workspaces(other).cancel(cancel).build().unwrap();
    let result = run(&executor, [shell("late", "echo mine > made")]);
    assert!(began.elapsed() < std::time::Duration::from_secs(300), "it waited");
    assert_eq!(result.stop_reason, StopReason::Cancelled, "{}", result.summary());
    assert!(!real.workspace.join("made").exists());
    let kept = result.metadata["not_applied"][0]["folder"].as_str().unwrap().to_owned();
    let made = std::process::Command::new("find").args([kept.as_str(), "-name", "made"]).output().unwrap();
    assert!(!made.stdout.is_empty(), "what it wrote is in {kept}");
    drop(open);
}

#[test]
fn the_state_folder_is_that_of_the_workspaces() {
    let real = Real::new();
    let first = real.builder().build().unwrap();
    let mut elsewhere = real.config.clone();
    elsewhere.state = real.outside.join("never-made");
    let second = AgenticExecutor::builder(elsewhere).workspaces(first.workspaces().clone()).build().unwrap();
    assert_eq!(second.config().state, first.workspaces().state());
    assert!(!real.outside.join("never-made").exists());
}
