//! What a layer holds becomes what the folder holds: every kind of change, on both backends, and nothing else.

mod workspace_support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use agentic_executor::tools::Access;
use agentic_executor::workspace::{
    AllowPersist, Backend, ChangeKind, ChangeSet, CopyLimits, WorkspaceError, path_from_text,
};
use workspace_support::{raw, step, tree, upper, world};

fn told(set: &ChangeSet, root: &Path) -> Vec<(String, ChangeKind)> {
    let rest = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    set.changes.iter().map(|change| (rest(&change.path), change.kind)).collect()
}

#[test]
fn an_upper_is_applied_as_a_whole_and_told() {
    let world = world();
    for (path, bytes) in [("keep", "k"), ("edit", "old"), ("gone", "g"), ("same", "s"), ("mode", "m"), ("d/in", "1")] {
        world.put(path, bytes);
    }
    world.put("tree/a", "1");
    world.put("tree/b/c", "2");
    world.put("becomes_dir", "file");
    world.put("becomes_file/x", "1");
    let attempt = world.open();
    let step = step(&attempt, &world.root);
    step.write("edit", "new bytes");
    step.write("same", "s");
    step.write("mode", "m");
    fs::set_permissions(step.upper.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    step.write("d/new", "n");
    step.write("fresh/deep/file", "f");
    fs::create_dir(step.upper.join("empty")).unwrap();
    symlink("nowhere", step.upper.join("link")).unwrap();
    step.whiteout("gone");
    step.whiteout("tree");
    step.whiteout("never_was");
    fs::create_dir(step.upper.join("becomes_dir")).unwrap();
    fs::write(step.upper.join("becomes_dir/inner"), "i").unwrap();
    fs::write(step.upper.join("becomes_file"), "now a file").unwrap();
    let before = attempt.change_set().unwrap();
    let set = attempt.commit().unwrap();
    assert_eq!(before, set);
    use ChangeKind::{Added, Deleted, Mode, Modified};
    let expected = [
        ("becomes_dir", Modified),
        ("becomes_dir/inner", Added),
        ("becomes_file", Modified),
        ("becomes_file/x", Deleted),
        ("d/new", Added),
        ("edit", Modified),
        ("empty", Added),
        ("fresh", Added),
        ("fresh/deep", Added),
        ("fresh/deep/file", Added),
        ("gone", Deleted),
        ("link", Added),
        ("mode", Mode),
        ("tree", Deleted),
        ("tree/a", Deleted),
        ("tree/b", Deleted),
        ("tree/b/c", Deleted),
    ];
    assert_eq!(told(&set, &world.root), expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(set.changes.iter().find(|change| change.path.ends_with("edit")).unwrap().size, 9);
    assert_eq!(world.read("edit"), "new bytes");
    assert_eq!(world.read("becomes_dir/inner"), "i");
    assert_eq!(world.read("becomes_file"), "now a file");
    assert_eq!(world.read("fresh/deep/file"), "f");
    assert!(!world.root.join("gone").exists() && !world.root.join("tree").exists());
    assert_eq!(fs::metadata(world.root.join("mode")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(world.root.join("link")).unwrap(), Path::new("nowhere"));
    world.assert_clean();
}

#[test]
fn a_copy_is_applied_the_same_way() {
    let world = world();
    for (path, bytes) in
        [("keep", "k"), ("edit", "old"), ("gone", "g"), ("mode", "m"), ("d/in", "1"), ("tree/b/c", "2")]
    {
        world.put(path, bytes);
    }
    fs::hard_link(world.root.join("keep"), world.root.join("second")).unwrap();
    let attempt = world.open_as(Backend::Copy);
    assert_eq!(attempt.backend(), Backend::Copy);
    let copy = upper(&attempt, 0);
    assert_eq!(tree(&copy), tree(&world.root), "the copy is faithful");
    assert_eq!(fs::metadata(copy.join("keep")).unwrap().nlink(), 2, "hard links are kept");
    fs::write(copy.join("edit"), "new").unwrap();
    fs::remove_file(copy.join("gone")).unwrap();
    fs::remove_dir_all(copy.join("tree")).unwrap();
    fs::set_permissions(copy.join("mode"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(copy.join("d"), copy.join("renamed")).unwrap();
    let expected = tree(&copy);
    let set = attempt.commit().unwrap();
    assert_eq!(tree(&world.root), expected);
    let names: Vec<_> = told(&set, &world.root).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["d", "d/in", "edit", "gone", "mode", "renamed", "renamed/in", "tree", "tree/b", "tree/b/c"]);
    world.assert_clean();
}

#[test]
fn dropping_an_attempt_changes_nothing_and_leaves_nothing() {
    let world = world();
    world.put("a", "1");
    for backend in [Backend::Overlay, Backend::Copy] {
        let attempt = world.open_as(backend);
        fs::write(upper(&attempt, 0).join("a"), "2").unwrap();
        attempt.discard();
        let attempt = world.open_as(backend);
        // What overlayfs leaves in `work`, and a program that closed its folders, and depth beyond any path.
        let layer = upper(&attempt, 0);
        let work = layer.with_file_name("work");
        fs::create_dir_all(work.join("work/inner")).unwrap();
        fs::set_permissions(work.join("work"), fs::Permissions::from_mode(0o0)).unwrap();
        fs::create_dir_all(layer.join("closed/inner")).unwrap();
        fs::set_permissions(layer.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        let name = "d".repeat(200);
        let mut here = rustix::fs::open(&layer, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        for _ in 0..300 {
            rustix::fs::mkdirat(&here, &name, rustix::fs::Mode::from(0o700)).unwrap();
            here = rustix::fs::openat(&here, &name, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        }
        drop(attempt);
    }
    assert_eq!(world.read("a"), "1");
    world.assert_clean();
}

#[test]
fn opaque_folders_hide_what_was_below() {
    let world = world();
    world.put("d/old", "1");
    world.put("d/both", "1");
    world.put("d/sub/x", "1");
    let attempt = world.open();
    let step = step(&attempt, &world.root);
    step.write("d/both", "2");
    fs::create_dir(step.upper.join("d/sub")).unwrap();
    fs::write(step.upper.join("d/sub/y"), "3").unwrap();
    if !step.mark("d", "opaque", "y") {
        agentic_testkit::skip!("this file system has no user attributes");
    }
    attempt.commit().unwrap();
    let names: Vec<_> = tree(&world.root).into_keys().collect();
    assert_eq!(names, ["d", "d/both", "d/sub", "d/sub/y"].map(PathBuf::from));
    assert_eq!(world.read("d/both"), "2");
}

#[test]
fn whiteouts_by_attribute_count() {
    let world = world();
    world.put("d/gone", "1");
    world.put("d/emptied", "1");
    let attempt = world.open();
    let step = step(&attempt, &world.root);
    step.write("d/gone", "");
    step.write("d/emptied", "");
    if !step.mark("d/gone", "whiteout", "") || !step.mark("d", "opaque", "x") {
        agentic_testkit::skip!("this file system has no user attributes");
    }
    attempt.commit().unwrap();
    assert!(!world.root.join("d/gone").exists());
    assert_eq!(world.read("d/emptied"), "", "an empty file is no whiteout");
}

#[test]
fn what_could_harm_is_left_out_by_name() {
    let world = world();
    world.put("plain", "1");
    let attempt = world.open();
    let step = step(&attempt, &world.root);
    rustix::fs::mkfifoat(rustix::fs::CWD, step.upper.join("fifo"), rustix::fs::Mode::from(0o644)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(step.upper.join("s")).unwrap();
    step.write("suid", "x");
    fs::set_permissions(step.upper.join("suid"), fs::Permissions::from_mode(0o6755)).unwrap();
    let marks = step.mark("suid", "overlay.fake", "1");
    step.write("closed", "secret of its own");
    fs::set_permissions(step.upper.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::write(step.upper.join(raw(b"caf\xe9")), "raw").unwrap();
    let set = attempt.commit().unwrap();
    let left: Vec<_> = set.left_out.iter().map(|one| (one.path.clone(), one.reason.clone())).collect();
    let expected = [("fifo", "a FIFO is never applied"), ("s", "a socket is never applied")];
    assert_eq!(left, expected.map(|(path, why)| (world.root.join(path), why.to_owned())));
    assert!(!world.root.join("fifo").exists());
    let suid = world.root.join("suid");
    assert_eq!(fs::metadata(&suid).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(world.root.join("closed")).unwrap().mode() & 0o7777, 0);
    if marks {
        let mut list = [0_u8; 256];
        let length = rustix::fs::listxattr(&suid, &mut list[..]).unwrap();
        assert!(!String::from_utf8_lossy(&list[..length]).contains("overlay"), "bookkeeping stays in the layer");
    }
    assert_eq!(fs::read(world.root.join(raw(b"caf\xe9"))).unwrap(), b"raw");
    // Lossless in JSON.
    let json = serde_json::to_string(&set).unwrap();
    assert!(json.contains("bytes:") && json.contains("caf%E9"), "{json}");
    assert_eq!(serde_json::from_str::<ChangeSet>(&json).unwrap(), set);
    assert_eq!(path_from_text("bytes:/a%2"), None);
}

#[test]
fn times_holes_attributes_and_new_hard_links_survive() {
    let world = world();
    world.put("edit", "1");
    let attempt = world.open();
    let step = step(&attempt, &world.root);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    step.write("edit", "22");
    fs::File::options().write(true).open(step.upper.join("edit")).unwrap().set_modified(old).unwrap();
    let sparse = fs::File::create(step.upper.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (64 << 20) - 3).unwrap();
    step.write("one", "shared");
    fs::hard_link(step.upper.join("one"), step.upper.join("two")).unwrap();
    let name = "user.colour";
    let attributes =
        rustix::fs::setxattr(step.upper.join("edit"), name, b"red", rustix::fs::XattrFlags::empty()).is_ok();
    attempt.commit().unwrap();
    assert_eq!(fs::metadata(world.root.join("edit")).unwrap().modified().unwrap(), old, "make(1) goes by times");
    let applied = fs::metadata(world.root.join("sparse")).unwrap();
    assert_eq!(applied.len(), 64 << 20);
    assert!(applied.blocks() * 512 < 1 << 20, "holes stay holes: {} blocks", applied.blocks());
    assert!(fs::read(world.root.join("sparse")).unwrap().ends_with(b"end"));
    assert_eq!(fs::metadata(world.root.join("two")).unwrap().nlink(), 2);
    if attributes {
        let mut value = [0_u8; 8];
        let length = rustix::fs::getxattr(world.root.join("edit"), name, &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"red");
    }
}

#[test]
fn several_roots_are_one_attempt_and_one_commit() {
    let world = world();
    let other = world.temp.path().canonicalize().unwrap().join("other");
    fs::create_dir_all(other.join("sub")).unwrap();
    fs::create_dir_all(world.root.join("inner")).unwrap();
    symlink(&world.root, world.temp.path().join("alias")).unwrap();
    let given = [
        world.root.join("inner"),
        world.root.clone(),
        other.clone(),
        world.root.clone(),
        world.temp.path().canonicalize().unwrap().join("alias"),
    ];
    let attempt = world.workspaces.open_with(&given, Access::Write, Backend::Copy).unwrap();
    assert_eq!(attempt.roots(), [other.clone(), world.root.clone()]);
    let (dir, rest) = attempt.locate(&given[4].join("inner/f")).unwrap().unwrap();
    assert_eq!(rest, Path::new("inner/f"));
    dir.write(&rest, b"1", None).unwrap();
    let (dir, rest) = attempt.locate(&other.join("sub/g")).unwrap().unwrap();
    dir.write(&rest, b"2", None).unwrap();
    assert!(attempt.locate(&world.temp.path().join("projectile")).unwrap().is_none());
    fs::write(other.join("sub/g"), "somebody else's").unwrap();
    let error = attempt.commit().unwrap_err();
    assert_eq!(workspace_support::conflicts(error), [other.join("sub/g")]);
    assert!(!world.root.join("inner/f").exists(), "all roots or none");
    assert_eq!(fs::read_to_string(other.join("sub/g")).unwrap(), "somebody else's");
}

#[test]
fn roots_that_cannot_be_layered_are_refused_by_name() {
    let world = world();
    world.put("file", "1");
    let cases = [
        (world.root.join("missing"), "no such folder"),
        (world.root.join("file"), "not a folder"),
        (PathBuf::from("/"), "whole file system"),
        (PathBuf::from("relative"), "not an absolute path"),
        (world.temp.path().to_owned(), "state folder"),
        (world.state().join("store"), "inside the state folder"),
    ];
    for (path, word) in cases {
        let error = world.workspaces.open(std::slice::from_ref(&path), Access::Write).unwrap_err();
        assert!(matches!(error, WorkspaceError::Root { .. }) && error.to_string().contains(word), "{error}");
    }
    assert!(world.workspaces.open(&[], Access::Write).unwrap().commit().unwrap().is_empty());
}

#[test]
fn reading_takes_the_folder_itself_and_writes_nothing() {
    let world = world();
    world.put("a", "1");
    let attempt = world.workspaces.open(std::slice::from_ref(&world.root), Access::Read).unwrap();
    assert_eq!(attempt.backend(), Backend::Direct);
    let (dir, rest) = attempt.locate(&world.root.join("a")).unwrap().unwrap();
    assert_eq!(dir.read(&rest, 10).unwrap(), b"1");
    assert!(dir.write(&rest, b"2", None).is_err());
    assert!(attempt.commit().unwrap().is_empty());
    assert_eq!(world.read("a"), "1");
}

#[test]
fn a_state_folder_that_others_can_reach_is_refused() {
    let world = world();
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o755)).unwrap();
    let sandbox = agentic_executor::sandbox::Sandbox::new(agentic_executor::sandbox::Spawner::Path(
        agentic_testkit::spawner_binary(),
    ))
    .unwrap();
    let error = agentic_executor::Workspaces::new(&world.state(), sandbox.clone()).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o700)).unwrap();
    agentic_executor::Workspaces::new(&world.state(), sandbox).unwrap();
}

#[test]
fn copying_has_a_ceiling() {
    let world = world();
    world.put("a", "12345");
    world.put("b", "12345");
    let open = |bytes, entries| {
        let limited = world.workspaces.clone().with_copy_limits(CopyLimits { bytes, entries });
        limited.open_with(std::slice::from_ref(&world.root), Access::Write, Backend::Copy).map(drop)
    };
    open(10, 2).unwrap();
    for error in [open(9, 2).unwrap_err(), open(10, 1).unwrap_err()] {
        assert!(matches!(error, WorkspaceError::TooLarge { .. }), "{error}");
    }
    world.assert_clean();
}

#[test]
fn a_layer_can_be_kept_aside() {
    let world = world();
    world.put("a", "1");
    let attempt = world.open();
    step(&attempt, &world.root).write("a", "2");
    let aside = attempt.keep_aside().unwrap();
    assert_eq!(fs::read_to_string(aside.join("0/upper/a")).unwrap(), "2");
    assert_eq!(world.read("a"), "1");
    world.assert_clean();
}

#[test]
fn what_the_policy_hides_is_a_conflict_when_made() {
    let world = world();
    let attempt = world.open();
    // Allowed, or it would be refused for what it is before anybody looks whether it was hidden.
    attempt.allow_persist(AllowPersist::Everything);
    attempt.hide([world.root.join(".env")]).unwrap();
    step(&attempt, &world.root).write(".env", "planted");
    step(&attempt, &world.root).write(".envrc", "fine");
    assert_eq!(workspace_support::conflicts(attempt.commit().unwrap_err()), [world.root.join(".env")]);
    assert!(!world.root.join(".envrc").exists());
}
