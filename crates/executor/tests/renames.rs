//! Which paths a change set tells as renamed: those that overlayfs, or the inode of a copy, says are the same file.

mod real_support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use agentic_executor::EventBody;
use agentic_executor::workspace::{Change, ChangeKind, RollBack};
use real_support::{Real, shell};

/// What a step that runs this changes, by path.
fn changes(real: &Real, command: &str) -> BTreeMap<String, Change> {
    let seen: Arc<Mutex<Vec<Change>>> = Arc::default();
    let all = seen.clone();
    let builder = real.builder().on_event(move |event| {
        if let EventBody::CallFinished { changes: Some(set), .. } = &event.body {
            all.lock().unwrap().extend(set.changes.iter().cloned());
        }
    });
    let before = real.workspace.tree();
    let ran = real.run_with(builder, [shell("a", command)]);
    assert!(ran.result.success, "{}", ran.result.summary());
    // It is told, and changes nothing of how it is taken back.
    ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!(real.workspace.tree(), before);
    let changes = seen.lock().unwrap();
    let name = |change: &Change| change.path.strip_prefix(real.workspace.path()).unwrap().display().to_string();
    changes.iter().map(|change| (name(change), change.clone())).collect()
}

fn renamed(real: &Real, command: &str) -> Vec<(String, String)> {
    let from = |change: &Change| {
        let from = change.renamed_from.as_ref()?;
        Some(from.strip_prefix(real.workspace.path()).unwrap().display().to_string())
    };
    changes(real, command).into_iter().filter_map(|(path, change)| Some((path, from(&change)?))).collect()
}

fn pair(to: &str, from: &str) -> (String, String) {
    (to.to_owned(), from.to_owned())
}

#[test]
fn a_file_that_was_moved_is_told_with_the_path_that_it_had() {
    let real = Real::new();
    for name in ["a", "sub/c", "over", "target", "written"] {
        real.workspace.file(name, format!("{name} of its own\n"));
    }
    let command =
        "mv sub/c 'd\n'; mv over target; mkdir new; mv a new/a; mv new/a b; echo more >> written; mv written w";
    let changes = changes(&real, command);
    let kinds: Vec<_> = changes.iter().map(|(path, change)| (path.as_str(), change.kind)).collect();
    use ChangeKind::{Added, Deleted, Modified};
    let expected = [
        ("a", Deleted),
        ("b", Added),
        ("d\n", Added),
        ("new", Added),
        ("over", Deleted),
        ("sub/c", Deleted),
        ("target", Modified),
        ("w", Added),
        ("written", Deleted),
    ];
    assert_eq!(kinds, expected, "the old path is told, too");
    // Whether `w` is `written` nothing says: it may as well be another file.
    assert_eq!(renamed(&real, command), [pair("b", "a"), pair("d\n", "sub/c"), pair("target", "over")]);
}

#[test]
fn what_a_copy_moved_is_told_too() {
    let mut real = Real::new();
    real.config.sandbox.tier = agentic_executor::sandbox::Tier::B;
    real.workspace.file("a", "a\n").file("folder/x", "x\n").file("gone", "g\n");
    let told = renamed(&real, "mv a b; mv folder moved; rm gone; echo g > again");
    assert_eq!(told, [pair("b", "a"), pair("moved/x", "folder/x")]);
}

/// Never for its bytes alone, and never where two could be meant.
#[test]
fn what_only_looks_like_a_rename_is_none() {
    let real = Real::new();
    for name in ["a", "b", "c", "d"] {
        real.workspace.file(name, "all the same\n");
    }
    std::fs::hard_link(real.workspace.join("d"), real.workspace.join("e")).unwrap();
    for command in [
        "cp a copy && rm a",
        "cp -p a copy && rm a",
        "rm a && echo all the same > again",
        "rm a && touch empty",
        "mv a one && ln one two",
        "cp a new && mv new b && rm c",
        "ln -s b link && rm a",
        // What it was is something else now, and not gone.
        "mv a t && mkdir a && mv t a/x",
    ] {
        assert_eq!(renamed(&real, command), [], "{command}");
    }
    real.workspace.file("b", "other\n");
    assert_eq!(renamed(&real, "mv a z && mv z y && mv b a"), [pair("a", "b")], "what was there is listed as changed");
    assert_eq!(renamed(&real, "rm d && mv e f"), [], "which of its names it was cannot be told");
    assert_eq!(renamed(&real, "mv e f"), [], "overlayfs does not mark what has several names");
}
