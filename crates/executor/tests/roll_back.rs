//! Rolling back layers: what was replaced comes back, what others changed since stays, and a rollback is undone like a step.

mod workspace_support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use agentic_executor::workspace::{Backend, Bytes, ChangeKind, RollBack, RolledBack, WorkspaceError, differences};
use workspace_support::{World, upper, world};

/// Commits what `act` does to a copy of the folder and returns the layer's name.
fn step(world: &World, act: impl FnOnce(&Path)) -> String {
    let attempt = world.open_as(Backend::Copy);
    attempt.make_undoable();
    act(&upper(&attempt, 0));
    let name = attempt.name().unwrap();
    attempt.commit().unwrap();
    name
}

fn back(world: &World, layers: &[&String]) -> RolledBack {
    with(world, layers, &RollBack::default()).unwrap()
}

fn with(world: &World, layers: &[&String], how: &RollBack) -> Result<RolledBack, WorkspaceError> {
    let layers: Vec<String> = layers.iter().map(|&layer| layer.clone()).collect();
    world.workspaces.roll_back(&layers, how)
}

/// Everything that can be told of a tree, but for the times of folders and what is another inode.
fn seen(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut next = vec![root.to_owned()];
    while let Some(folder) = next.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let what = if found.is_symlink() {
                format!("link {:?}", fs::read_link(&path).unwrap())
            } else if found.is_dir() {
                next.push(path.clone());
                format!("folder {:o}", found.mode() & 0o7777)
            } else {
                let bytes = fs::read(&path).unwrap();
                format!("file {:o} {}.{} {bytes:?}", found.mode() & 0o7777, found.mtime(), found.mtime_nsec())
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    all
}

fn clear(path: &Path) {
    let Ok(found) = path.symlink_metadata() else { return };
    if found.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

#[test]
fn a_step_is_taken_back_whatever_it_did() {
    let world = world();
    for (path, bytes) in [("kept", "kept"), ("changed", "old"), ("gone", "gone"), ("tree/a/b", "b"), ("tree/c", "c")] {
        world.put(path, bytes);
    }
    world.put("script", "#!/bin/sh\n");
    world.put("type", "a file");
    symlink("kept", world.root.join("link")).unwrap();
    fs::create_dir(world.root.join("empty")).unwrap();
    fs::set_permissions(world.root.join("changed"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = seen(&world.root);
    let layer = step(&world, |root| {
        fs::write(root.join("changed"), "new").unwrap();
        fs::remove_file(root.join("gone")).unwrap();
        fs::remove_dir_all(root.join("tree")).unwrap();
        fs::remove_dir(root.join("empty")).unwrap();
        fs::set_permissions(root.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(root.join("link")).unwrap();
        symlink("elsewhere", root.join("link")).unwrap();
        fs::remove_file(root.join("type")).unwrap();
        fs::create_dir_all(root.join("type/now/a folder")).unwrap();
        fs::write(root.join("type/now/file"), "x").unwrap();
        fs::write(root.join("added\nwith a newline"), [0xff, 0]).unwrap();
    });
    let after = seen(&world.root);
    assert_ne!(before, after);
    let planned = with(&world, &[&layer], &RollBack { dry_run: true, ..RollBack::default() }).unwrap();
    assert_eq!(seen(&world.root), after, "a dry run does nothing");
    let done = back(&world, &[&layer]);
    assert_eq!(seen(&world.root), before);
    assert_eq!((&planned.changes, planned.layer), (&done.changes, None));
    assert_eq!((&done.kept, &done.changed_since), (&vec![], &vec![]));
    let kinds: BTreeMap<_, _> =
        done.changes.changes.iter().map(|one| (one.path.strip_prefix(&world.root).unwrap(), one.kind)).collect();
    assert_eq!(kinds[Path::new("gone")], ChangeKind::Added);
    assert_eq!(kinds[Path::new("added\nwith a newline")], ChangeKind::Deleted);
    assert_eq!(kinds[Path::new("script")], ChangeKind::Mode);
    // And the rollback is taken back.
    back(&world, &[&done.layer.unwrap()]);
    assert_eq!(seen(&world.root).keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert_eq!(world.read("changed"), "new");
    world.assert_clean();
}

#[test]
fn several_steps_go_back_as_one() {
    let world = world();
    world.put("a", "0");
    let states: Vec<_> = (0..4)
        .map(|n| {
            (
                n,
                step(&world, |root| {
                    fs::write(root.join("a"), format!("{}", n + 1)).unwrap();
                    fs::write(root.join(format!("new{n}")), "x").unwrap();
                    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o600 + n)).unwrap();
                }),
            )
        })
        .collect();
    let layers: Vec<&String> = states.iter().map(|(_, layer)| layer).collect();
    back(&world, &layers[2..]);
    assert_eq!(
        (world.read("a").as_str(), world.root.join("new2").exists(), world.root.join("new1").exists()),
        ("2", false, true)
    );
    // What is in the middle alone cannot go: later steps built on it.
    let error = with(&world, &layers[..1], &RollBack::default()).unwrap_err();
    assert!(matches!(&error, WorkspaceError::ChangedSince(paths) if paths[0].path.ends_with("a")), "{error}");
    // All of them, of which two are taken back already.
    back(&world, &layers);
    assert_eq!((world.read("a").as_str(), world.root.join("new0").exists()), ("0", false));
}

#[test]
fn what_others_changed_since_stays_unless_it_is_told_to_go_and_then_it_is_kept() {
    let world = world();
    world.put("mine", "old");
    world.put("theirs", "old");
    let layer = step(&world, |root| {
        fs::write(root.join("mine"), "new").unwrap();
        fs::write(root.join("theirs"), "new").unwrap();
        fs::create_dir(root.join("made")).unwrap();
        fs::write(root.join("made/file"), "x").unwrap();
    });
    world.put("theirs", "work of hours");
    world.put("made/notes", "and more of it");
    let before = seen(&world.root);
    let error = with(&world, &[&layer], &RollBack::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("1 path was changed since by somebody else: {}/theirs (was changed since)", world.root.display())
    );
    assert_eq!(seen(&world.root), before, "nothing was done");
    // A touch is no change.
    fs::File::open(world.root.join("mine")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    let planned = with(&world, &[&layer], &RollBack { dry_run: true, ..RollBack::default() }).unwrap();
    assert_eq!(planned.changed_since.len(), 1, "{planned:?}");
    let only = RollBack { only: vec![world.root.join("mine")], ..RollBack::default() };
    with(&world, &[&layer], &only).unwrap();
    assert_eq!((world.read("mine").as_str(), world.read("theirs").as_str()), ("old", "work of hours"));
    let forced = with(&world, &[&layer], &RollBack { force: true, ..RollBack::default() }).unwrap();
    assert_eq!((world.read("theirs").as_str(), world.read("made/notes").as_str()), ("old", "and more of it"));
    assert!(!world.root.join("made/file").exists());
    assert!(forced.kept[0].reason.contains("holds notes, which is to stay"), "{forced:?}");
    // What it overwrote is kept.
    back(&world, &[&forced.layer.unwrap()]);
    assert_eq!(world.read("theirs"), "work of hours");
}

#[test]
fn one_path_comes_back_with_the_folders_above_it() {
    let world = world();
    world.put("tree/a/b", "b");
    world.put("tree/c", "c");
    fs::set_permissions(world.root.join("tree/a"), fs::Permissions::from_mode(0o750)).unwrap();
    let layer = step(&world, |root| clear(&root.join("tree")));
    let other = RollBack { only: vec![world.root.join("tre")], ..RollBack::default() };
    assert!(matches!(with(&world, &[&layer], &other), Err(WorkspaceError::NotTouched(_))));
    with(&world, &[&layer], &RollBack { only: vec![world.root.join("tree/a/b")], ..RollBack::default() }).unwrap();
    assert_eq!((world.read("tree/a/b").as_str(), world.root.join("tree/c").exists()), ("b", false));
    assert_eq!(world.root.join("tree/a").metadata().unwrap().mode() & 0o777, 0o750);
}

/// Another step made the folder anew: it is the run's doing, not somebody else's, and stays as it is.
#[test]
fn one_path_comes_back_into_a_folder_that_a_later_step_made_again() {
    let world = world();
    world.put("tree/a", "a");
    fs::set_permissions(world.root.join("tree"), fs::Permissions::from_mode(0o750)).unwrap();
    let removed = step(&world, |root| clear(&root.join("tree")));
    let made = step(&world, |root| {
        fs::create_dir(root.join("tree")).unwrap();
        fs::write(root.join("tree/new"), "new").unwrap();
        fs::set_permissions(root.join("tree"), fs::Permissions::from_mode(0o711)).unwrap();
    });
    with(&world, &[&removed, &made], &RollBack { only: vec![world.root.join("tree/a")], ..RollBack::default() })
        .unwrap();
    assert_eq!((world.read("tree/a").as_str(), world.read("tree/new").as_str()), ("a", "new"));
    assert_eq!(world.root.join("tree").metadata().unwrap().mode() & 0o777, 0o711);
}

#[test]
fn names_of_one_file_are_names_of_one_file_again() {
    let world = world();
    world.put("tree/one", "bytes");
    fs::hard_link(world.root.join("tree/one"), world.root.join("two")).unwrap();
    world.put("alike", "bytes");
    let layer = step(&world, |root| {
        clear(&root.join("tree"));
        clear(&root.join("two"));
        clear(&root.join("alike"));
    });
    back(&world, &[&layer]);
    let inode = |path: &str| world.root.join(path).metadata().unwrap().ino();
    assert_eq!(inode("tree/one"), inode("two"));
    assert_ne!(inode("alike"), inode("two"));
    fs::write(world.root.join("two"), "new").unwrap();
    assert_eq!(world.read("tree/one"), "new");
}

#[test]
fn what_was_not_kept_is_said_and_a_record_that_was_changed_is_not_believed() {
    let world = world();
    world.put("a", "old");
    let attempt = world.open_as(Backend::Copy);
    fs::write(upper(&attempt, 0).join("a"), "new").unwrap();
    let forgotten = attempt.name().unwrap();
    attempt.commit().unwrap();
    assert!(matches!(with(&world, &[&forgotten], &RollBack::default()), Err(WorkspaceError::NotKept { .. })));
    assert!(matches!(
        with(&world, &[&"../../etc/passwd".to_owned()], &RollBack::default()),
        Err(WorkspaceError::NotKept { .. })
    ));
    let layer = step(&world, |root| fs::write(root.join("a"), "newer").unwrap());
    let record = world.state().join("undo").join(format!("{layer}.json"));
    let whole = fs::read(&record).unwrap();
    let mut changed = whole.clone();
    *changed.iter_mut().rfind(|byte| **byte == b'a').unwrap() = b'b';
    for bytes in [&changed[..], &whole[..whole.len() - 1], b"", b"{}"] {
        fs::write(&record, bytes).unwrap();
        let error = with(&world, &[&layer], &RollBack::default()).unwrap_err();
        assert!(matches!(error, WorkspaceError::Record { .. }), "{error}");
    }
    fs::write(&record, &whole).unwrap();
    // The bytes themselves are checked too.
    let hash = blake3::hash(b"new").to_hex().to_string();
    let entry = world.state().join("store").join(&hash[..2]).join(&hash[2..]);
    let kept = fs::read(&entry).unwrap();
    fs::write(&entry, zstd::encode_all(&b"bad"[..], 1).unwrap()).unwrap();
    assert!(matches!(with(&world, &[&layer], &RollBack::default()), Err(WorkspaceError::Corrupted { .. })));
    assert_eq!(world.read("a"), "newer");
    fs::write(&entry, kept).unwrap();
    back(&world, &[&layer]);
    assert_eq!(world.read("a"), "new");
    world.assert_clean();
}

#[test]
fn a_layer_that_is_not_applied_leaves_no_record() {
    let world = world();
    world.put("a", "old");
    let attempt = world.open_as(Backend::Copy);
    attempt.make_undoable();
    fs::write(upper(&attempt, 0).join("a"), "new").unwrap();
    world.put("a", "somebody else's");
    attempt.commit().unwrap_err();
    let left: Vec<_> = fs::read_dir(world.state().join("undo")).into_iter().flatten().flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() == "pending"), "{left:?}");
}

#[test]
fn differences_are_told_as_text_where_they_are_text() {
    let world = world();
    world.put("text", "one\ntwo\nthree\n");
    world.put("binary", "a\0b");
    let layer = step(&world, |root| {
        fs::write(root.join("text"), "one\n2\nthree\nfour\n").unwrap();
        fs::write(root.join("binary"), "a\0c").unwrap();
        fs::write(root.join("new"), "no end").unwrap();
    });
    let records = world.workspaces.records();
    let told = |layer: &String| differences(records, &[records.find(layer).unwrap().unwrap()]).unwrap();
    let all = told(&layer);
    let one = |name: &str| all.iter().find(|one| one.path.ends_with(name)).unwrap();
    assert_eq!(one("binary").bytes, Bytes::Binary);
    let Bytes::Text { added, removed, hunks } = &one("text").bytes else { panic!("{all:?}") };
    assert_eq!((added, removed), (&2, &1));
    assert_eq!(hunks, "@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n");
    assert!(matches!(&one("new").bytes, Bytes::Text { hunks, .. } if hunks.contains("No newline at end of file")));
    // Later bytes are the original of a later layer, or nowhere.
    step(&world, |root| fs::write(root.join("text"), "later\n").unwrap());
    assert_eq!(told(&layer).iter().find(|one| one.path.ends_with("text")).unwrap().bytes, one("text").bytes);
    world.put("new", "by somebody else");
    assert_eq!(told(&layer).iter().find(|one| one.path.ends_with("new")).unwrap().bytes, Bytes::Unknown);
}

fn inode(world: &World, path: &str) -> u64 {
    world.root.join(path).metadata().unwrap().ino()
}

#[test]
fn a_file_that_was_written_in_place_goes_back_under_all_of_its_names() {
    let world = world();
    world.put("one", "old");
    fs::hard_link(world.root.join("one"), world.root.join("two")).unwrap();
    let before = seen(&world.root);
    let written = step(&world, |root| fs::write(root.join("one"), "new").unwrap());
    assert_eq!(world.read("two"), "new", "the control: it is one file");
    let removed = step(&world, |root| clear(&root.join("two")));
    // What the second name was before it was removed is not what it was before the first step.
    back(&world, &[&written, &removed]);
    assert_eq!(seen(&world.root), before);
    // The same with permission bits, which are those of all names.
    let world = self::world();
    world.put("one", "old");
    fs::hard_link(world.root.join("one"), world.root.join("two")).unwrap();
    let before = seen(&world.root);
    let set = step(&world, |root| fs::set_permissions(root.join("one"), fs::Permissions::from_mode(0o600)).unwrap());
    let removed = step(&world, |root| clear(&root.join("two")));
    back(&world, &[&set, &removed]);
    assert_eq!(seen(&world.root), before);
}

#[test]
fn one_name_is_written_and_another_is_given_bits_or_removed_in_one_step() {
    type Do = fn(&Path);
    let bits: Do = |root| fs::set_permissions(root.join("two"), fs::Permissions::from_mode(0o600)).unwrap();
    let both: Do = |root| {
        for name in ["one", "two"] {
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
    };
    let gone: Do = |root| clear(&root.join("two"));
    let other: Do = |root| {
        clear(&root.join("two"));
        fs::create_dir(root.join("two")).unwrap();
    };
    for act in [bits, both, gone, other] {
        for write in ["one", "three"] {
            let world = world();
            world.put("one", "old");
            for name in ["two", "three"] {
                fs::hard_link(world.root.join("one"), world.root.join(name)).unwrap();
            }
            let before = seen(&world.root);
            let layer = step(&world, |root| {
                fs::write(root.join(write), "new").unwrap();
                act(root);
            });
            assert_eq!((world.read("one").as_str(), inode(&world, "one")), ("new", inode(&world, "three")));
            let after = seen(&world.root);
            let done = back(&world, &[&layer]);
            assert_eq!(seen(&world.root), before);
            assert_eq!(inode(&world, "one"), inode(&world, "three"), "what stayed is one file still");
            back(&world, &[&done.layer.unwrap()]);
            assert_eq!(seen(&world.root), after);
            world.assert_clean();
        }
    }
}

#[test]
fn attributes_go_back_whether_bytes_changed_or_not() {
    use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};
    let set = |path: PathBuf, value: &str| setxattr(&path, "user.note", value.as_bytes(), XattrFlags::empty());
    let world = world();
    for name in ["set", "removed", "written", "linked"] {
        world.put(name, "old");
    }
    fs::hard_link(world.root.join("linked"), world.root.join("second")).unwrap();
    for name in ["removed", "written", "linked"] {
        if set(world.root.join(name), "old").is_err() {
            agentic_testkit::skip!("this file system keeps no attributes");
        }
    }
    let note = |name: &str| {
        let mut value = [0; 16];
        getxattr(world.root.join(name), "user.note", &mut value).ok().map(|length| value[..length].to_vec())
    };
    let notes = || ["set", "removed", "written", "linked", "second"].map(note);
    let before = notes();
    let layer = step(&world, |root| {
        set(root.join("set"), "new").unwrap();
        removexattr(root.join("removed"), "user.note").unwrap();
        fs::write(root.join("written"), "new").unwrap();
        set(root.join("written"), "new").unwrap();
        fs::write(root.join("linked"), "new").unwrap();
        removexattr(root.join("linked"), "user.note").unwrap();
    });
    let new = Some(b"new".to_vec());
    assert_eq!(notes(), [new.clone(), None, new, None, None], "the control");
    let after = notes();
    let done = back(&world, &[&layer]);
    assert_eq!(notes(), before);
    back(&world, &[&done.layer.unwrap()]);
    assert_eq!(notes(), after);
}

#[test]
fn two_files_that_a_step_made_one_are_two_again() {
    let world = world();
    world.put("one", "alike");
    world.put("two", "alike");
    let at = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    for (name, seconds) in [("one", 1_000_000_000), ("two", 1_000_000_001)] {
        fs::File::open(world.root.join(name)).unwrap().set_modified(at(seconds)).unwrap();
    }
    let before = seen(&world.root);
    let layer = step(&world, |root| {
        for name in ["one", "two"] {
            clear(&root.join(name));
        }
        fs::write(root.join("one"), "of both").unwrap();
        fs::hard_link(root.join("one"), root.join("two")).unwrap();
    });
    assert_eq!(inode(&world, "one"), inode(&world, "two"), "the control");
    back(&world, &[&layer]);
    assert_eq!(seen(&world.root), before);
    assert_ne!(inode(&world, "one"), inode(&world, "two"));
}

#[test]
fn a_file_in_the_place_of_a_folder_makes_way_only_by_force() {
    let world = world();
    world.put("tree/a/b", "old");
    let layer = step(&world, |root| fs::write(root.join("tree/a/b"), "new").unwrap());
    clear(&world.root.join("tree"));
    world.put("tree", "somebody else's");
    let error = with(&world, &[&layer], &RollBack::default()).unwrap_err();
    assert!(matches!(error, WorkspaceError::ChangedSince(_)), "{error}");
    assert_eq!(world.read("tree"), "somebody else's");
    let done = with(&world, &[&layer], &RollBack { force: true, ..RollBack::default() }).unwrap();
    assert_eq!(world.read("tree/a/b"), "old");
    back(&world, &[&done.layer.unwrap()]);
    assert_eq!(world.read("tree"), "somebody else's");
}

/// Numbers that look random; the same ones again with `AGENTIC_ROLL_BACK_SEED`.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("AGENTIC_ROLL_BACK_SEED").ok().and_then(|text| text.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Self(seed.unwrap_or(now.as_nanos() as u64 | 1))
    }
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

/// Random trees, random steps, back to a random one of them.
#[test]
fn any_steps_go_back_to_any_of_them() {
    let mut random = Random::new();
    let cases = std::env::var("AGENTIC_ROLL_BACK_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    for _ in 0..cases {
        let seed = format!("AGENTIC_ROLL_BACK_SEED={}", random.0);
        let world = world();
        for _ in 0..random.below(12) {
            change(&world.root, &mut random);
        }
        let mut states = vec![seen(&world.root)];
        let mut layers = Vec::new();
        for _ in 0..=random.below(6) {
            let changes = 1 + random.below(5);
            layers.push(step(&world, |root| (0..changes).for_each(|_| change(root, &mut random))));
            states.push(seen(&world.root));
        }
        let to = random.below(layers.len());
        // A layer that changed nothing has no record.
        let kept = |layer: &&String| world.workspaces.records().find(layer).unwrap().is_some();
        let undone: Vec<&String> = layers[to..].iter().filter(kept).collect();
        back(&world, &undone);
        assert_eq!(seen(&world.root), states[to], "{seed}");
        world.assert_clean();
    }
}

/// One thing that a shell may do.
fn change(root: &Path, random: &mut Random) {
    let names = ["a", "b", "a/x", "a/y", "b/x", "b/y/z", "c"];
    let path = root.join(names[random.below(names.len())]);
    let other = root.join(names[random.below(names.len())]);
    let parent = path.parent().unwrap();
    match random.below(8) {
        0 | 1 => {
            if parent.is_dir() && !parent.is_symlink() && !path.is_dir() {
                clear(&path);
                fs::write(&path, format!("{}", random.below(1000))).unwrap();
            }
        }
        2 => {
            if !parent.exists() || parent.is_dir() && !parent.is_symlink() {
                fs::create_dir_all(&path).ok();
            }
        }
        3 => {
            if parent.is_dir() && !parent.is_symlink() {
                clear(&path);
            }
        }
        4 => {
            if path.symlink_metadata().is_ok_and(|found| found.is_file()) && !parent.is_symlink() {
                let modes = [0o644, 0o600, 0o755];
                fs::set_permissions(&path, fs::Permissions::from_mode(modes[random.below(3)])).unwrap();
            }
        }
        5 => {
            if parent.is_dir() && !parent.is_symlink() {
                clear(&path);
                symlink("elsewhere", &path).unwrap();
            }
        }
        6 => {
            if !other.starts_with(&path)
                && !path.starts_with(&other)
                && other.parent().is_some_and(|parent| !parent.is_symlink())
                && !parent.is_symlink()
            {
                fs::rename(&path, &other).ok();
            }
        }
        _ => {
            if path.symlink_metadata().is_ok_and(|found| found.is_file()) && !parent.is_symlink() {
                let mut bytes = fs::read(&path).unwrap();
                bytes.extend(b"more");
                fs::write(&path, bytes).unwrap();
            }
        }
    }
}
