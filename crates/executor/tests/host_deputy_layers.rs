//! What a program leaves behind is moved, told and removed by us: links that lead out while a layer is removed, names and
//! settings that would write lines of ours, dates and sizes that overflow, attributes that only root may set. Each case
//! has its control: what must not be touched is there, and what is ordinary beside it arrives.

mod workspace_support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentic_executor::workspace::{Backend, Dir, Moment, WorkspaceError};
use agentic_testkit::{is_root, skip};
use rustix::fs::{AtFlags, CWD, RenameFlags, Timespec, Timestamps, XattrFlags};
use workspace_support::{BOTH, SECRET, World, commit, fifo, in_time, secret, step, upper, watched, world};

/// A folder beside the workspace with a file that must stay.
fn outside(world: &World) -> std::path::PathBuf {
    let path = world.temp.path().canonicalize().unwrap().join("outside");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("x"), SECRET).unwrap();
    path
}

// Links, once more: by name and by inode.

#[test]
fn a_secret_that_is_linked_into_a_layer_keeps_its_bits_and_gets_no_name_in_the_workspace() {
    for backend in BOTH {
        let world = world();
        let secret = secret(&world);
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o4600)).unwrap();
        let before = fs::metadata(&secret).unwrap();
        let attempt = world.open_as(backend);
        fs::hard_link(&secret, upper(&attempt, 0).join("mine")).unwrap();
        commit(attempt).unwrap();
        let (after, arrived) = (fs::metadata(&secret).unwrap(), fs::metadata(world.root.join("mine")).unwrap());
        assert_ne!(arrived.ino(), after.ino(), "a file of its own, {backend}");
        assert_eq!((after.mode(), after.ino(), after.nlink()), (before.mode(), before.ino(), 1), "{backend}");
        assert_eq!(arrived.mode() & 0o7000, 0, "the set-id bit is dropped from the copy, {backend}");
    }
}

#[test]
fn names_that_share_a_file_in_a_layer_share_it_with_nothing_else_outside() {
    for backend in BOTH {
        let world = world();
        let secret = secret(&world);
        let attempt = world.open_as(backend);
        let at = upper(&attempt, 0);
        for name in ["a", "b"] {
            fs::hard_link(&secret, at.join(name)).unwrap();
        }
        commit(attempt).unwrap();
        let (a, secret) = (fs::metadata(world.root.join("a")).unwrap(), fs::metadata(&secret).unwrap());
        assert_eq!(a.ino(), fs::metadata(world.root.join("b")).unwrap().ino(), "as the step left them, {backend}");
        assert_eq!((a.nlink(), secret.nlink()), (2, 1), "{backend}");
        assert_ne!(a.ino(), secret.ino(), "{backend}");
    }
}

#[test]
fn magic_links_arrive_as_text_and_are_never_opened() {
    // Each leads somewhere when *we* follow it: to our descriptors, our root, our streams.
    let targets = ["/proc/self/fd/0", "/proc/self/root/etc/passwd", "/proc/self/cwd", "/dev/stdin", "/dev/fd/0"];
    for backend in BOTH {
        let world = world();
        let attempt = world.open_as(backend);
        for (number, target) in targets.iter().enumerate() {
            symlink(target, upper(&attempt, 0).join(format!("l{number}"))).unwrap();
        }
        commit(attempt).unwrap();
        let dir = Dir::open_root(&world.root).unwrap();
        for (number, target) in targets.iter().enumerate() {
            let name = format!("l{number}");
            assert_eq!(dir.read_link(Path::new(&name)).unwrap(), Path::new(target), "{backend}");
            let error = dir.read(Path::new(&name), 1 << 10).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{target}, {backend}");
        }
    }
}

// Removal.

#[test]
fn a_layer_is_dropped_without_following_its_links() {
    for backend in BOTH {
        let world = world();
        let outside = outside(&world);
        let attempt = world.open_as(backend);
        let at = upper(&attempt, 0);
        fs::create_dir_all(at.join("d/e")).unwrap();
        symlink(&outside, at.join("d/e/out")).unwrap();
        symlink("../../../../outside", at.join("d/up")).unwrap();
        fifo(&at.join("d/pipe"));
        fs::set_permissions(at.join("d/e"), fs::Permissions::from_mode(0o0)).unwrap();
        in_time(move || attempt.discard());
        world.assert_clean();
        assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), SECRET, "{backend}");
    }
}

#[test]
fn a_folder_that_is_swapped_for_a_link_while_its_layer_is_removed_is_not_gone_through() {
    // What removes a tree by path looks at a folder and then opens it; between the two it can become a link.
    let world = world();
    let outside = outside(&world);
    let mut swaps = 0;
    for _ in 0..30 {
        let attempt = world.open();
        let at = upper(&attempt, 0);
        fs::create_dir(at.join("d")).unwrap();
        for number in 0..50 {
            fs::write(at.join(format!("d/f{number}")), "").unwrap();
        }
        symlink(&outside, at.join("l")).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (stop, begun) = (over.clone(), Arc::new(AtomicBool::new(false)));
        let begins = begun.clone();
        let swapper = std::thread::spawn(move || {
            let (d, l) = (at.join("d"), at.join("l"));
            let mut swaps = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                match rustix::fs::renameat_with(CWD, &d, CWD, &l, RenameFlags::EXCHANGE) {
                    Ok(()) => {
                        swaps += 1;
                        begins.store(true, Ordering::Relaxed);
                    }
                    Err(_) => break,
                }
            }
            swaps
        });
        while !begun.load(Ordering::Relaxed) && !swapper.is_finished() {
            std::thread::yield_now();
        }
        in_time(move || attempt.discard());
        over.store(true, Ordering::Relaxed);
        swaps += swapper.join().unwrap();
        assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), SECRET);
    }
    assert!(swaps > 0, "the trick was played");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

// Growth.

#[test]
fn a_file_that_grows_while_it_is_taken_is_not_applied_as_something_else() {
    let trick: Arc<std::sync::Mutex<Option<std::path::PathBuf>>> = Arc::default();
    let held = trick.clone();
    let world = watched(Some(Arc::new(move |moment| {
        if moment == Moment::Checked
            && let Some(path) = held.lock().unwrap().take()
        {
            fs::OpenOptions::new().append(true).open(path).unwrap().set_len(1 << 34).unwrap();
        }
        Ok(())
    })));
    world.put("x", "before");
    let attempt = world.open();
    step(&attempt, &world.root).write("x", "by the step");
    *trick.lock().unwrap() = Some(upper(&attempt, 0).join("x"));
    let outcome = commit(attempt);
    assert!(trick.lock().unwrap().is_none(), "the trick was played");
    // All of the change that was told, or nothing of it.
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(world.read("x"), "before");
}

// What is told.

#[test]
fn dates_before_and_after_all_clocks_are_only_dates() {
    for backend in BOTH {
        let world = world();
        world.put("old", "1");
        let attempt = world.open_as(backend);
        let at = upper(&attempt, 0);
        for (name, seconds) in [("a", i64::MIN), ("b", -1), ("c", i64::from(i32::MIN)), ("d", i64::MAX), ("e", 1 << 40)]
        {
            fs::write(at.join(name), "1").unwrap();
            let time = Timespec { tv_sec: seconds, tv_nsec: 999_999_999 };
            let times = Timestamps { last_access: time, last_modification: time };
            // The file system keeps what it can of it.
            rustix::fs::utimensat(CWD, at.join(name), &times, AtFlags::empty()).unwrap();
        }
        let set = commit(attempt).unwrap();
        assert_eq!(set.changes.len(), 5, "{backend}");
        // The next step sees them as they are, and nothing changed.
        let attempt = world.open_as(backend);
        assert!(commit(attempt).unwrap().is_empty(), "{backend}");
    }
}

#[test]
fn a_setting_with_control_characters_in_its_name_is_told_on_one_line() {
    let world = world();
    let mut attempt = world.open();
    let at = upper(&attempt, 0);
    fs::create_dir_all(at.join(".git/objects")).unwrap();
    fs::create_dir_all(at.join(".git/refs")).unwrap();
    fs::write(at.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let name = "\u{1b}]0;owned\u{7}\u{202e}";
    fs::write(at.join(".git/config"), format!("[filter \"{name}\"]\n\tclean = touch x\n")).unwrap();
    symlink(format!("/etc/{name}\nagentic: all is well"), at.join("link\nagentic: fine")).unwrap();
    let set = attempt.change_set().unwrap();
    assert!(set.persistence.iter().any(|one| one.path.ends_with(".git/config")), "the control: {set:?}");
    for one in &set.persistence {
        assert!(!one.reason.chars().any(char::is_control), "{:?}", one.reason);
    }
    let Err(error @ WorkspaceError::Persistence(_)) = attempt.try_commit() else { panic!("it is protected") };
    assert!(!error.to_string().chars().any(|one| one.is_control() && one != '\n'), "{error}");
    assert!(!error.to_string().lines().any(|line| line.starts_with("agentic: ")), "{error}");
}

#[test]
fn attributes_that_only_root_may_set_stay_behind() {
    if !is_root() {
        skip!("only root can put them there");
    }
    let world = world();
    let attempt = world.open_as(Backend::Copy);
    let at = upper(&attempt, 0).join("x");
    fs::write(&at, "1").unwrap();
    let set = |name: &str| rustix::fs::setxattr(&at, name, b"y", XattrFlags::empty()).is_ok();
    if !set("trusted.mine") || !set("user.mine") {
        skip!("the file system of the temporary folder keeps no such attributes");
    }
    assert!(set("trusted.overlay.opaque"));
    let _where_a_module_allows_it = set("security.mine");
    commit(attempt).unwrap();
    let mut names = vec![0; 256];
    let length = rustix::fs::listxattr(world.root.join("x"), &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(names.contains("user.mine"), "the control: {names:?}");
    assert!(!names.contains("trusted") && !names.contains("security.mine"), "{names:?}");
}

#[test]
fn a_mark_that_calls_a_file_removed_removes_no_more_than_that_name() {
    let world = world();
    world.put("d/x", "1");
    world.put("d/y", "2");
    let attempt = world.open();
    let made = step(&attempt, &world.root);
    made.write("d/x", "");
    if !made.mark("d/x", "whiteout", "") || !made.mark("d", "opaque", "x") {
        skip!("the file system of the temporary folder keeps no user attributes");
    }
    commit(attempt).unwrap();
    assert!(!world.root.join("d/x").exists());
    assert_eq!(world.read("d/y"), "2", "the control: what bears no mark stays");
}
