//! While a step runs, and while its layer is applied, other programs work on the same files. Every byte of both
//! survives, or the step ends as a conflict, by name, and then nothing of it was applied.

mod workspace_support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentic_executor::workspace::{Backend, Moment, Watcher, WorkspaceError};
use workspace_support::{Entry, World, conflicts, step, tree, upper, watched, world};

const FOREIGN: &str = "FOREIGN bytes of somebody else";
const STEP: &str = "STEP bytes";
const ORIGINAL: &str = "ORIGINAL bytes";

type Action = fn(&Path) -> std::io::Result<()>;

/// What another program does, and whether it leaves bytes of its own.
const ACTIONS: [(&str, Action, bool); 9] = [
    ("edit", |root| fs::write(root.join("d/target"), FOREIGN), true),
    (
        "append",
        |root| fs::File::options().append(true).open(root.join("d/target"))?.write_all(FOREIGN.as_bytes()),
        true,
    ),
    (
        "replace",
        |root| {
            fs::write(root.join("d/~tmp"), FOREIGN)?;
            fs::rename(root.join("d/~tmp"), root.join("d/target"))
        },
        true,
    ),
    ("delete", |root| fs::remove_file(root.join("d/target")), false),
    ("create the same", |root| fs::write(root.join("d/fresh"), FOREIGN), true),
    ("create beside", |root| fs::write(root.join("d/other"), FOREIGN), true),
    ("rename the folder", |root| fs::rename(root.join("d"), root.join("moved")), false),
    (
        "swap the folder",
        |root| {
            fs::rename(root.join("d"), root.join("moved"))?;
            fs::create_dir(root.join("d"))?;
            fs::write(root.join("d/target"), FOREIGN)
        },
        true,
    ),
    (
        "swap in an old folder",
        |root| {
            fs::rename(root.join("d"), root.join("moved"))?;
            fs::rename(root.join("spare"), root.join("d"))?;
            fs::write(root.join("d/newest"), FOREIGN)
        },
        true,
    ),
];

type Work = fn(&workspace_support::Step<'_>);

/// What the step did, in an upper's words.
const STEPS: [(&str, Work); 5] = [
    ("edits a file", |step| step.write("d/target", STEP)),
    ("edits and creates", |step| {
        step.write("d/fresh", STEP);
        step.write("d/target", STEP);
        step.write("top", STEP);
    }),
    ("creates in a new folder", |step| step.write("d/new/fresh", STEP)),
    ("removes a file", |step| {
        step.whiteout("d/target");
        step.write("top", STEP);
    }),
    ("removes the folder", |step| {
        step.whiteout("d");
        step.write("top", STEP);
    }),
];

fn project(world: &World) {
    world.put("d/target", ORIGINAL);
    world.put("d/keep", "keep");
    world.put("spare/target", "SPARE bytes");
    world.put("top", "top");
}

fn holds(root: &Path, bytes: &str) -> bool {
    let found =
        |entry: &Entry| matches!(entry, Entry::File(found, _) if String::from_utf8_lossy(found).contains(bytes));
    tree(root).values().any(found)
}

fn judge(case: &str, world: &World, acted: bool, leaves_bytes: bool, early: bool, outcome: Result<(), WorkspaceError>) {
    let left = tree(&world.root).into_keys().any(|path| path.to_string_lossy().contains(".agentic-"));
    if acted && leaves_bytes {
        assert!(holds(&world.root, FOREIGN), "{case}: the other program's bytes are lost ({outcome:?})");
    }
    match outcome {
        Ok(()) => {
            assert!(!left, "{case}: temporary names left");
            assert!(!early || holds(&world.root, STEP), "{case}: the step's bytes are lost");
        }
        Err(WorkspaceError::Conflict(found)) => {
            assert!(acted && !found.is_empty(), "{case}: a conflict with nobody");
            assert!(found.iter().all(|conflict| conflict.path.starts_with(&world.root)), "{case}: {found:?}");
            assert!(!holds(&world.root, STEP), "{case}: half applied, {found:?}");
            assert!(!left, "{case}: temporary names left");
            assert_eq!(world.read("top"), "top", "{case}");
        }
        Err(WorkspaceError::HalfUndone { left, .. }) => assert!(!left.is_empty(), "{case}"),
        Err(other) => panic!("{case}: {other}"),
    }
}

#[test]
fn another_program_acts_while_the_step_runs() {
    for backend in [Backend::Overlay, Backend::Copy] {
        for (action, act, leaves_bytes) in ACTIONS {
            for (name, work) in STEPS {
                if backend == Backend::Copy && name.starts_with("removes") {
                    continue; // A copy has no whiteouts; see the test below.
                }
                let world = world();
                project(&world);
                let attempt = world.open_as(backend);
                work(&step(&attempt, &world.root));
                act(&world.root).unwrap();
                let case = format!("{backend}: a step that {name}, another program's {action}");
                let outcome = attempt.commit().map(drop);
                let untouched = matches!(
                    (name, action),
                    (
                        "creates in a new folder",
                        "edit" | "append" | "replace" | "delete" | "create the same" | "create beside"
                    ) | ("edits a file" | "removes a file", "create the same" | "create beside")
                        | ("edits and creates", "create beside")
                );
                assert!(!untouched || outcome.is_ok(), "{case}: needless conflict {outcome:?}");
                judge(&case, &world, true, leaves_bytes, true, outcome);
            }
        }
    }
}

#[test]
fn another_program_acts_at_every_moment_of_applying() {
    // The moments as they pass for one step, so that each can be met in turn.
    for (action, act, leaves_bytes) in ACTIONS {
        for (name, work) in STEPS {
            let mut moment = 0;
            loop {
                let (passed, acted, early) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(true));
                let state = Arc::new((passed, acted, early, Mutex::new(PathBuf::new())));
                let shared = state.clone();
                let watcher: Watcher = Arc::new(move |now| {
                    if shared.0.fetch_add(1, Ordering::SeqCst) == moment {
                        shared.1.store(act(&shared.3.lock().unwrap()).is_ok(), Ordering::SeqCst);
                        let early = matches!(now, Moment::Checked | Moment::Staged | Moment::Before(_));
                        shared.2.store(early, Ordering::SeqCst);
                    }
                    Ok(())
                });
                let world = watched(Some(watcher));
                state.3.lock().unwrap().clone_from(&world.root);
                project(&world);
                let attempt = world.open();
                work(&step(&attempt, &world.root));
                let outcome = attempt.commit().map(drop);
                let case = format!("a step that {name}, {action} at moment {moment}");
                let (acted, early) = (state.1.load(Ordering::SeqCst), state.2.load(Ordering::SeqCst));
                judge(&case, &world, acted, leaves_bytes, early && moment < 2, outcome);
                moment += 1;
                if moment > state.0.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_failing_disk_at_any_moment_undoes_everything() {
    for (name, work) in STEPS {
        let mut moment = 0;
        loop {
            let passed = Arc::new(AtomicUsize::new(0));
            let seen = passed.clone();
            let watcher: Watcher = Arc::new(move |_| {
                if seen.fetch_add(1, Ordering::SeqCst) == moment {
                    Err(rustix::io::Errno::NOSPC.into())
                } else {
                    Ok(())
                }
            });
            let world = watched(Some(watcher));
            project(&world);
            fs::hard_link(world.root.join("top"), world.root.join("top2")).unwrap();
            let before = tree(&world.root);
            let attempt = world.open();
            work(&step(&attempt, &world.root));
            match attempt.commit() {
                Ok(_) => break,
                Err(WorkspaceError::Io { source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::StorageFull),
                Err(other) => panic!("{name}, moment {moment}: {other}"),
            }
            assert_eq!(tree(&world.root), before, "{name}, moment {moment}");
            world.assert_clean();
            moment += 1;
        }
        assert!(moment >= 4, "{name}: only {moment} moments failed");
    }
}

#[test]
fn a_step_on_a_copy_removes_only_what_it_saw() {
    for (action, act, leaves_bytes) in ACTIONS {
        let world = world();
        project(&world);
        let attempt = world.open_as(Backend::Copy);
        fs::remove_dir_all(upper(&attempt, 0).join("d")).unwrap();
        fs::write(upper(&attempt, 0).join("top"), STEP).unwrap();
        act(&world.root).unwrap();
        judge(action, &world, true, leaves_bytes, true, attempt.commit().map(drop));
    }
}

#[test]
fn a_program_that_keeps_a_file_open_for_writing_is_a_conflict() {
    let world = world();
    project(&world);
    let mut writer = fs::File::options().append(true).open(world.root.join("d/target")).unwrap();
    for change in [
        |step: &workspace_support::Step<'_>| step.write("d/target", STEP),
        |step: &workspace_support::Step<'_>| step.whiteout("d/target"),
        |step: &workspace_support::Step<'_>| step.whiteout("d"),
    ] {
        let attempt = world.open();
        change(&step(&attempt, &world.root));
        let found = conflicts(attempt.commit().unwrap_err());
        assert_eq!(found, [world.root.join("d/target")]);
    }
    writer.write_all(b" and more").unwrap();
    assert_eq!(world.read("d/target"), format!("{ORIGINAL} and more"));
    drop(writer);
    // Control: with nobody writing, the same change lands.
    let attempt = world.open();
    step(&attempt, &world.root).write("d/target", STEP);
    attempt.commit().unwrap();
    assert_eq!(world.read("d/target"), STEP);
}

#[test]
fn all_names_of_a_file_see_a_change() {
    for backend in [Backend::Overlay, Backend::Copy] {
        let world = world();
        project(&world);
        fs::hard_link(world.root.join("d/target"), world.root.join("second")).unwrap();
        let attempt = world.open_as(backend);
        if backend == Backend::Copy {
            fs::remove_file(upper(&attempt, 0).join("d/target")).unwrap();
        }
        step(&attempt, &world.root).write("d/target", STEP);
        attempt.commit().unwrap();
        for path in [world.root.join("d/target"), world.root.join("second")] {
            assert_eq!(fs::read_to_string(&path).unwrap(), STEP, "{backend}");
            assert_eq!(fs::metadata(&path).unwrap().nlink(), 2);
        }
    }
}

#[test]
fn two_names_with_different_new_bytes_become_two_files() {
    let world = world();
    world.put("one", ORIGINAL);
    fs::hard_link(world.root.join("one"), world.root.join("two")).unwrap();
    let attempt = world.open();
    step(&attempt, &world.root).write("one", "first");
    step(&attempt, &world.root).write("two", "second");
    attempt.commit().unwrap();
    assert_eq!((world.read("one"), world.read("two")), ("first".into(), "second".into()));
}

#[test]
fn one_of_two_names_is_changed_while_the_other_is_edited_by_somebody() {
    let world = world();
    world.put("one", ORIGINAL);
    fs::hard_link(world.root.join("one"), world.root.join("two")).unwrap();
    let attempt = world.open();
    step(&attempt, &world.root).write("one", STEP);
    fs::write(world.root.join("two"), FOREIGN).unwrap();
    assert_eq!(conflicts(attempt.commit().unwrap_err()), [world.root.join("one")]);
    assert_eq!((world.read("one"), world.read("two")), (FOREIGN.into(), FOREIGN.into()));
}

#[test]
fn two_parallel_steps_on_the_same_path_conflict_by_name() {
    for (first, second) in
        [(Backend::Overlay, Backend::Overlay), (Backend::Copy, Backend::Copy), (Backend::Overlay, Backend::Copy)]
    {
        let world = world();
        project(&world);
        let (one, two) = (world.open_as(first), world.open_as(second));
        step(&one, &world.root).write("d/target", "one");
        step(&two, &world.root).write("d/target", "two");
        step(&two, &world.root).write("d/other", "two");
        one.commit().unwrap();
        assert_eq!(conflicts(two.commit().unwrap_err()), [world.root.join("d/target")]);
        world.workspaces.settle().unwrap();
        assert_eq!(world.read("d/target"), "one");
        assert!(!world.root.join("d/other").exists());
        world.assert_clean();
    }
}

#[test]
fn two_parallel_steps_on_different_paths_both_land() {
    for backend in [Backend::Overlay, Backend::Copy] {
        let world = world();
        project(&world);
        let (one, two) = (world.open_as(backend), world.open_as(backend));
        let (first, second) = (step(&one, &world.root), step(&two, &world.root));
        first.write("d/target", "one");
        first.write("top", "one");
        first.write("made/one", "one");
        second.write("d/keep", "two");
        second.write("made/two", "two");
        second.write("new", "two");
        second.write("d/sub/new", "two");
        one.commit().unwrap();
        if backend == Backend::Overlay {
            assert_eq!(world.read("d/target"), ORIGINAL, "not written below a mounted layer");
        }
        two.commit().unwrap();
        world.workspaces.settle().unwrap();
        for (path, bytes) in [
            ("d/target", "one"),
            ("top", "one"),
            ("d/keep", "two"),
            ("made/one", "one"),
            ("made/two", "two"),
            ("d/sub/new", "two"),
        ] {
            assert_eq!(world.read(path), bytes, "{backend}: {path}");
        }
        world.assert_clean();
    }
}

#[test]
fn a_step_under_a_folder_that_a_parallel_step_removed_conflicts() {
    let world = world();
    project(&world);
    let (one, two) = (world.open(), world.open());
    step(&one, &world.root).whiteout("d");
    step(&two, &world.root).write("d/new", "two");
    one.commit().unwrap();
    assert!(conflicts(two.commit().unwrap_err()).contains(&world.root.join("d/new")));
    world.workspaces.settle().unwrap();
    assert!(!world.root.join("d").exists());
}

#[test]
fn a_later_layer_sees_the_finished_ones_that_wait() {
    let world = world();
    project(&world);
    let holder = world.open();
    let first = world.open();
    let step_one = step(&first, &world.root);
    step_one.write("d/target", "one");
    step_one.write("fresh", "one");
    step_one.whiteout("d/keep");
    let first_upper = step_one.upper.clone();
    first.commit().unwrap();
    assert_eq!(world.read("d/target"), ORIGINAL);

    let second = world.open();
    let agentic_executor::sandbox::Source::Overlay { lowers, .. } = second.mounts()[0].source.clone() else { panic!() };
    assert_eq!(lowers, [first_upper, world.root.clone()]);
    let step_two = step(&second, &world.root);
    step_two.write("d/target", "two");
    step_two.whiteout("fresh");
    step_two.write("d/keep", "again");
    let told: Vec<_> = second.change_set().unwrap().changes.into_iter().map(|c| (c.path, c.kind)).collect();
    use agentic_executor::workspace::ChangeKind::{Added, Deleted, Modified};
    let expected = [("d/keep", Added), ("d/target", Modified), ("fresh", Deleted)];
    assert_eq!(told, expected.map(|(path, kind)| (world.root.join(path), kind)));
    second.commit().unwrap();

    // A reader gets the merged view too, so it cannot be the bare folder.
    let copy = world.open_as(Backend::Copy);
    assert_eq!(fs::read_to_string(upper(&copy, 0).join("d/target")).unwrap(), "two");
    assert!(!upper(&copy, 0).join("fresh").exists());
    drop(copy);

    holder.discard();
    world.workspaces.settle().unwrap();
    assert_eq!((world.read("d/target"), world.read("d/keep")), ("two".into(), "again".into()));
    assert!(!world.root.join("fresh").exists());
    world.assert_clean();
}

#[test]
fn a_conflict_that_shows_late_keeps_the_layer_and_fails_what_stands_on_it() {
    let world = world();
    project(&world);
    let holder = world.open();
    let first = world.open();
    step(&first, &world.root).write("d/target", "one");
    first.commit().unwrap();
    let second = world.open();
    step(&second, &world.root).write("top", "two");
    second.commit().unwrap();
    fs::write(world.root.join("d/target"), FOREIGN).unwrap();
    holder.discard();
    let Err(WorkspaceError::NotApplied(asides)) = world.workspaces.settle() else { panic!("late conflict not told") };
    assert_eq!(asides.len(), 2);
    assert_eq!(asides[0].conflicts[0].path, world.root.join("d/target"));
    assert_eq!(fs::read_to_string(asides[0].folder.join("0/upper/d/target")).unwrap(), "one");
    assert_eq!(fs::read_to_string(asides[1].folder.join("0/upper/top")).unwrap(), "two");
    assert_eq!((world.read("d/target"), world.read("top")), (FOREIGN.into(), "top".into()));
    world.workspaces.settle().unwrap();
    world.assert_clean();
}

#[test]
fn one_step_after_another_never_conflicts_with_itself() {
    let world = world();
    project(&world);
    for round in 0..50 {
        let attempt = world.open_as(if round % 5 == 4 { Backend::Copy } else { Backend::Overlay });
        let step = step(&attempt, &world.root);
        step.write("d/target", &format!("round {round} {}", "x".repeat(round)));
        step.write(&format!("d/r{}/f", round % 3), &round.to_string());
        attempt.commit().unwrap();
    }
    assert!(world.read("d/target").starts_with("round 49"));
    world.assert_clean();
}

#[test]
fn no_save_of_another_program_is_ever_replaced_unseen() {
    let world = world();
    project(&world);
    world.put("log", "save 0");
    let stop = AtomicBool::new(false);
    let (mut landed, mut conflicted, mut failed) = (0, 0, None);
    let saves = std::thread::scope(|scope| {
        let saver = scope.spawn(|| {
            // As an editor saves: a new file, renamed over. What it finds is its own last save, or a step's
            // version of exactly that save.
            let mut last = 0;
            while !stop.load(Ordering::SeqCst) {
                // A step's version of an older save can be there for a moment: it is looked at after the exchange,
                // and taken back. What was lost would stay lost.
                let patience = Instant::now() + Duration::from_secs(5);
                let seen = || world.read("log").rsplit(" over ").next().unwrap().to_owned();
                let mut base = seen();
                while base != format!("save {last}") && Instant::now() < patience {
                    std::thread::yield_now();
                    base = seen();
                }
                assert_eq!(base, format!("save {last}"), "a save was replaced by a step that had not seen it");
                last += 1;
                fs::write(world.root.join("log~"), format!("save {last}")).unwrap();
                fs::rename(world.root.join("log~"), world.root.join("log")).unwrap();
                std::thread::sleep(Duration::from_micros(1_500 * (last % 7)));
            }
            last
        });
        for round in 0..150 {
            let attempt = world.open();
            let base = world.read("log");
            let step = step(&attempt, &world.root);
            step.write("log", &format!("step {round} over {}", base.rsplit(" over ").next().unwrap()));
            step.write("top", &format!("step {round}."));
            match attempt.commit() {
                Ok(_) => landed += 1,
                Err(WorkspaceError::Conflict(_) | WorkspaceError::HalfUndone { .. }) => conflicted += 1,
                // Told after the saver has ended: a panic here would leave it running.
                Err(other) => failed = Some(other.to_string()),
            }
            if saver.is_finished() || failed.is_some() {
                break;
            }
        }
        stop.store(true, Ordering::SeqCst);
        saver.join().unwrap()
    });
    assert_eq!(failed, None);
    println!("{saves} saves, {landed} steps landed, {conflicted} conflicted");
}
