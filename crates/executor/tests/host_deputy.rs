//! What a program leaves behind is read outside by name, by kind and by size as if it wanted us to act for it: through
//! links, pipes, devices, forged marks, and swaps at the worst moment. Each case has its control: the file outside that
//! must not be touched is there and can be read by us.

mod workspace_support;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use agentic_executor::workspace::{
    Backend, ChangeSet, Conflict, Dir, FileKind, Level, Moment, WorkspaceError, path_from_text, path_on_a_line,
    path_to_text,
};
use agentic_testkit::{is_root, skip};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use workspace_support::{BOTH, SECRET, World, commit, fifo, in_time, secret, step, tree, upper, watched, world};

fn left_out(set: &ChangeSet) -> Vec<&OsStr> {
    set.left_out.iter().filter_map(|one| one.path.file_name()).collect()
}

// Links.

#[test]
fn a_link_to_a_secret_arrives_as_a_link_and_its_target_stays() {
    for backend in BOTH {
        let world = world();
        let secret = secret(&world);
        let attempt = world.open_as(backend);
        symlink(&secret, upper(&attempt, 0).join("copy")).unwrap();
        let set = commit(attempt).unwrap();
        assert_eq!(set.changes[0].size, secret.as_os_str().len() as u64, "the size of its text, {backend}");
        assert_eq!(fs::read_link(world.root.join("copy")).unwrap(), secret);
        assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
    }
}

#[test]
fn a_folder_that_became_a_link_is_not_gone_through() {
    for backend in BOTH {
        let world = world();
        let outside = world.temp.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("x"), SECRET).unwrap();
        world.put("d/x", "1");
        let mut attempt = world.open_as(backend);
        let at = upper(&attempt, 0).join("d");
        let _absent = fs::remove_dir_all(&at);
        symlink(&outside, &at).unwrap();
        assert!(matches!(attempt.try_commit(), Err(WorkspaceError::Persistence(_))), "{backend}");
        attempt.hold_back_protected();
        attempt.try_commit().unwrap();
        drop(attempt);
        assert_eq!(
            (world.read("d/x").as_str(), fs::read_to_string(outside.join("x")).unwrap().as_str()),
            ("1", SECRET)
        );
    }
}

#[test]
fn the_door_follows_no_way_out() {
    let world = world();
    let secret = secret(&world);
    let dir = Dir::open_root(&world.root).unwrap();
    fs::create_dir(world.root.join("d")).unwrap();
    symlink(&secret, world.root.join("absolute")).unwrap();
    symlink("../secret", world.root.join("above")).unwrap();
    symlink("..", world.root.join("d/up")).unwrap();
    symlink("/proc/self/root", world.root.join("magic")).unwrap();
    symlink("loop", world.root.join("loop")).unwrap();
    for path in ["absolute", "above", "d/up/../secret", "../secret", "magic/etc/passwd", "loop", "d/../../secret"] {
        let path = Path::new(path);
        for error in [
            dir.open_read(path).map(drop).unwrap_err(),
            dir.write(path, b"x", None).unwrap_err(),
            dir.append(path, b"x").unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{}", path.display());
        }
    }
    for path in ["above", "absolute"] {
        assert_eq!(dir.metadata(Path::new(path)).unwrap().kind, FileKind::Symlink);
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
    // The control: a link that stays inside is followed.
    fs::write(world.root.join("in"), "1").unwrap();
    symlink("../in", world.root.join("d/in")).unwrap();
    assert_eq!(dir.read(Path::new("d/in"), 10).unwrap(), b"1");
}

// Kinds that block or act.

#[test]
fn pipes_sockets_and_devices_are_left_out_and_never_opened() {
    for backend in BOTH {
        let world = world();
        world.put("was_a_file", "1");
        let attempt = world.open_as(backend);
        let at = upper(&attempt, 0);
        fifo(&at.join("pipe"));
        let _absent = fs::remove_file(at.join("was_a_file"));
        fifo(&at.join("was_a_file"));
        let _socket = UnixListener::bind(at.join("socket")).unwrap();
        let mut expected = vec!["pipe", "socket", "was_a_file"];
        if is_root() {
            rustix::fs::mknodat(CWD, at.join("null"), FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 3))
                .unwrap();
            rustix::fs::mknodat(CWD, at.join("disk"), FileType::BlockDevice, Mode::RWXU, rustix::fs::makedev(7, 0))
                .unwrap();
            expected.extend(["null", "disk"]);
        }
        expected.sort_unstable();
        let set = commit(attempt).unwrap();
        assert_eq!(left_out(&set), expected, "{backend}");
        assert!(tree(&world.root).is_empty(), "{backend}");
    }
}

#[test]
fn the_door_opens_no_pipe_socket_or_device() {
    let world = world();
    fifo(&world.root.join("pipe"));
    let _socket = UnixListener::bind(world.root.join("socket")).unwrap();
    symlink("pipe", world.root.join("link")).unwrap();
    let root = world.root.clone();
    in_time(move || {
        let dir = Dir::open_root(&root).unwrap();
        for name in ["pipe", "socket", "link"] {
            let path = Path::new(name);
            assert_eq!(dir.open_read(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
            assert_eq!(dir.write(path, b"x", None).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
            assert_eq!(dir.append(path, b"x").unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        let dev = Dir::open_root(Path::new("/dev")).unwrap();
        assert_eq!(dev.open_read(Path::new("null")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    });
    assert!(fs::symlink_metadata(world.root.join("pipe")).unwrap().file_type().is_fifo());
}

// Forged marks of overlayfs.

#[test]
fn a_forged_whiteout_takes_away_what_the_step_could_have_removed_and_no_more() {
    let world = world();
    world.put("gone", "1");
    let secret = secret(&world);
    let attempt = world.open();
    let made = step(&attempt, &world.root);
    made.whiteout("gone");
    made.whiteout("never_was");
    commit(attempt).unwrap();
    assert!(tree(&world.root).is_empty());
    assert_eq!(fs::read_to_string(secret).unwrap(), SECRET);
}

#[test]
fn forged_marks_that_our_mounts_never_make_refuse_the_whole() {
    for mark in ["redirect", "metacopy"] {
        let world = world();
        world.put("d/x", "1");
        let attempt = world.open();
        let made = step(&attempt, &world.root);
        made.write("d/y", "2");
        let (path, value) = if mark == "redirect" { ("d", "/etc") } else { ("d/y", "") };
        if !made.mark(path, mark, value) {
            skip!("the file system of the temporary folder keeps no user attributes");
        }
        assert!(matches!(commit(attempt), Err(WorkspaceError::Io { .. })), "{mark}");
        assert_eq!(tree(&world.root).len(), 2, "{mark}");
    }
}

#[test]
fn attributes_of_overlayfs_in_any_disguise_stay_behind() {
    let world = world();
    let attempt = world.open_as(Backend::Copy);
    let at = upper(&attempt, 0).join("x");
    fs::write(&at, "1").unwrap();
    let set = |name: &str| rustix::fs::setxattr(&at, name, b"y", XattrFlags::empty()).is_ok();
    if !set("user.plain") {
        skip!("the file system of the temporary folder keeps no user attributes");
    }
    assert!(set("user.overlay.opaque") && set("user.overlay.overlay.opaque"));
    commit(attempt).unwrap();
    let mut names = vec![0; 256];
    let length = rustix::fs::listxattr(world.root.join("x"), &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(names.contains("user.plain") && !names.contains("overlay"), "{names:?}");
}

// Rights.

#[test]
fn set_id_bits_access_lists_and_capabilities_stay_behind() {
    for backend in BOTH {
        let world = world();
        let attempt = world.open_as(backend);
        let at = upper(&attempt, 0);
        fs::write(at.join("tool"), "1").unwrap();
        fs::create_dir(at.join("d")).unwrap();
        fs::set_permissions(at.join("tool"), fs::Permissions::from_mode(0o6755)).unwrap();
        fs::set_permissions(at.join("d"), fs::Permissions::from_mode(0o3777)).unwrap();
        // user::rwx, group::---, mask::rwx, other::---, and uid 1 with all rights (acl(5), its form in attributes).
        let entry =
            |tag: u16, bits: u16, id: u32| [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat();
        let none = u32::MAX;
        let list = [
            2_u32.to_le_bytes().to_vec(),
            entry(1, 7, none),
            entry(2, 7, 1),
            entry(4, 0, none),
            entry(16, 7, none),
            entry(32, 0, none),
        ];
        let listed =
            rustix::fs::setxattr(at.join("tool"), "system.posix_acl_access", &list.concat(), XattrFlags::empty())
                .is_ok();
        let capable = is_root()
            && rustix::fs::setxattr(
                at.join("tool"),
                "security.capability",
                &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                XattrFlags::empty(),
            )
            .is_ok();
        fs::set_permissions(at.join("tool"), fs::Permissions::from_mode(0o6755)).unwrap();
        commit(attempt).unwrap();
        let mode = |name: &str| fs::metadata(world.root.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("tool"), mode("d")), (0o755, 0o1777), "{backend}");
        let mut names = vec![0; 256];
        let length = rustix::fs::listxattr(world.root.join("tool"), &mut names[..]).unwrap_or(0);
        let names = String::from_utf8_lossy(&names[..length]).into_owned();
        assert!(!names.contains("posix_acl") && !names.contains("capability"), "{names:?} {listed} {capable}");
    }
}

#[test]
fn a_file_that_is_linked_from_outside_is_not_changed_there() {
    for backend in BOTH {
        let world = world();
        let secret = secret(&world);
        world.put("other", "2");
        fs::hard_link(&secret, world.root.join("installed")).unwrap();
        let before = fs::metadata(&secret).unwrap();
        let attempt = world.open_as(backend);
        let at = upper(&attempt, 0);
        let _absent = fs::remove_file(at.join("installed"));
        fs::write(at.join("installed"), "changed by the step").unwrap();
        commit(attempt).unwrap();
        assert_eq!(world.read("installed"), "changed by the step", "{backend}");
        assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET, "{backend}");
        assert_eq!(fs::metadata(&secret).unwrap().ino(), before.ino());
    }
}

#[test]
fn the_bits_of_a_file_that_is_linked_from_outside_stay_there() {
    let world = world();
    let secret = secret(&world);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&secret, world.root.join("installed")).unwrap();
    let attempt = world.open();
    step(&attempt, &world.root).write("installed", SECRET);
    fs::set_permissions(upper(&attempt, 0).join("installed"), fs::Permissions::from_mode(0o755)).unwrap();
    commit(attempt).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&world.root.join("installed")), mode(&secret)), (0o755, 0o600));
}

// Names, depth, size.

#[test]
fn names_of_any_bytes_arrive_and_are_told_on_one_line() {
    let world = world();
    let attempt = world.open();
    let long = vec![b'n'; 255];
    let names: [&[u8]; 6] = [b"bad\xff\xfe", b"two\nlines", b"\x1b]0;x\x07", b"-rf", b"bytes:%41", &long];
    for name in names {
        fs::write(upper(&attempt, 0).join(OsStr::from_bytes(name)), "1").unwrap();
    }
    let set = commit(attempt).unwrap();
    assert_eq!(set.changes.len(), names.len());
    for name in names {
        assert_eq!(fs::read(world.root.join(OsStr::from_bytes(name))).unwrap(), b"1");
    }
    for change in &set.changes {
        assert_eq!(path_from_text(&path_to_text(&change.path)).as_ref(), Some(&change.path));
        assert!(!path_on_a_line(&change.path).chars().any(char::is_control));
    }
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<ChangeSet>(&json).unwrap(), set);
    let conflict =
        WorkspaceError::Conflict(vec![Conflict { path: "/w/a\nagentic: ok\u{1b}[2J".into(), reason: "r".into() }]);
    assert_eq!(conflict.to_string(), "conflict on /w/a\\nagentic: ok\\u{1b}[2J (r)");
}

#[test]
fn a_tree_deeper_than_any_path_is_left_out_and_removed() {
    let world = world();
    let attempt = world.open();
    let mut folder = std::fs::File::open(upper(&attempt, 0)).unwrap();
    let name = "d".repeat(200);
    for _ in 0..400 {
        rustix::fs::mkdirat(&folder, &*name, Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, &*name, flags, Mode::empty()).unwrap().into();
    }
    let set = commit(attempt).unwrap();
    assert_eq!(set.left_out.len(), 1, "{:?}", set.left_out.first());
    assert!(!set.changes.is_empty());
    assert!(fs::read_dir(world.state().join("layers")).unwrap().next().is_none(), "its layer is gone");
}

#[test]
fn a_terabyte_of_nothing_is_copied_as_nothing() {
    for backend in BOTH {
        let world = world();
        let attempt = world.open_as(backend);
        let file = fs::File::create(upper(&attempt, 0).join("huge")).unwrap();
        if file.set_len(1 << 40).is_err() {
            skip!("the file system of the temporary folder takes no file of a terabyte");
        }
        let began = Instant::now();
        commit(attempt).unwrap();
        let found = fs::metadata(world.root.join("huge")).unwrap();
        assert_eq!(found.len(), 1 << 40);
        assert!(found.blocks() < 1 << 11, "{} blocks after {:?}", found.blocks(), began.elapsed());
    }
}

#[test]
fn reading_is_bounded_however_large_a_file_says_it_is() {
    let world = world();
    fs::File::create(world.root.join("huge")).unwrap().set_len(1 << 36).unwrap();
    let dir = Dir::open_root(&world.root).unwrap();
    assert_eq!(dir.read(Path::new("huge"), 1 << 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn folders_and_files_that_the_program_closed_are_read_all_the_same() {
    let world = world();
    let attempt = world.open();
    let at = upper(&attempt, 0);
    fs::create_dir_all(at.join("shut/in")).unwrap();
    fs::write(at.join("shut/in/x"), "1").unwrap();
    for (path, mode) in [("shut/in/x", 0), ("shut/in", 0), ("shut", 0)] {
        fs::set_permissions(at.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let set = commit(attempt).unwrap();
    assert_eq!(set.changes.len(), 3);
    assert!(world.root.join("shut").symlink_metadata().is_ok());
    if !is_root() {
        fs::set_permissions(world.root.join("shut"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(world.root.join("shut/in"), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn ten_thousand_names_in_one_folder_are_only_many() {
    let world = world();
    let attempt = world.open();
    for number in 0..10_000 {
        fs::write(upper(&attempt, 0).join(format!("f{number}")), "").unwrap();
    }
    assert_eq!(attempt.change_set().unwrap().changes.len(), 10_000);
}

// Swaps at the worst moment.

type Trick = Box<dyn FnOnce() + Send>;

/// A world in which something is done once, when the moment comes.
fn tricked(when: fn(&Moment<'_>) -> bool) -> (World, Arc<Mutex<Option<Trick>>>) {
    let trick: Arc<Mutex<Option<Trick>>> = Arc::default();
    let held = trick.clone();
    let world = watched(Some(Arc::new(move |moment| {
        if when(&moment)
            && let Some(trick) = held.lock().unwrap().take()
        {
            trick();
        }
        Ok(())
    })));
    (world, trick)
}

fn set(trick: &Arc<Mutex<Option<Trick>>>, what: impl FnOnce() + Send + 'static) {
    *trick.lock().unwrap() = Some(Box::new(what));
}

#[test]
fn a_folder_that_becomes_a_link_while_we_apply_is_not_followed() {
    for when in [
        (|moment: &Moment<'_>| *moment == Moment::Checked) as fn(&Moment<'_>) -> bool,
        |moment| *moment == Moment::Staged,
        |moment| matches!(moment, Moment::Before(_)),
    ] {
        let (world, trick) = tricked(when);
        world.put("d/x", "1");
        let outside = world.temp.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("x"), SECRET).unwrap();
        let attempt = world.open();
        step(&attempt, &world.root).write("d/x", "by the step");
        let (d, to) = (world.root.join("d"), outside.clone());
        set(&trick, move || {
            fs::rename(&d, d.with_file_name("moved")).unwrap();
            symlink(&to, &d).unwrap();
        });
        let _outcome = commit(attempt);
        assert!(trick.lock().unwrap().is_none(), "the trick was played");
        assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), SECRET);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing was put there");
    }
}

#[test]
fn a_file_that_becomes_a_link_while_we_apply_is_a_conflict_and_its_target_stays() {
    let (world, trick) = tricked(|moment| matches!(moment, Moment::Before(_)));
    world.put("x", "1");
    let secret = secret(&world);
    let attempt = world.open();
    step(&attempt, &world.root).write("x", "by the step");
    let (x, to) = (world.root.join("x"), secret.clone());
    set(&trick, move || {
        fs::remove_file(&x).unwrap();
        symlink(&to, &x).unwrap();
    });
    assert!(matches!(commit(attempt), Err(WorkspaceError::Conflict(_))));
    assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET);
    assert_eq!(fs::read_link(world.root.join("x")).unwrap(), secret, "what somebody put there stays");
}

#[test]
fn the_root_is_the_folder_that_was_opened_whatever_its_name_leads_to_now() {
    let (world, trick) = tricked(|moment| *moment == Moment::Staged);
    let outside = world.temp.path().canonicalize().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    let attempt = world.open();
    step(&attempt, &world.root).write("x", "by the step");
    let (root, moved, to) = (world.root.clone(), world.root.with_file_name("moved"), outside.clone());
    let away = moved.clone();
    set(&trick, move || {
        fs::rename(&root, &away).unwrap();
        symlink(&to, &root).unwrap();
    });
    let _outcome = commit(attempt);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(moved.is_dir());
}

#[test]
fn a_layers_file_that_is_swapped_after_it_was_read_is_not_opened_as_what_it_became() {
    let swaps: [fn(&Path, &Path); 3] =
        [|at, secret| symlink(secret, at).unwrap(), |at, _| fifo(at), |at, _| fs::create_dir(at).unwrap()];
    for swap in swaps {
        let (world, trick) = tricked(|moment| *moment == Moment::Checked);
        let secret = secret(&world);
        let attempt = world.open();
        step(&attempt, &world.root).write("x", "by the step");
        let at = upper(&attempt, 0).join("x");
        set(&trick, move || {
            fs::remove_file(&at).unwrap();
            swap(&at, &secret);
        });
        let outcome = commit(attempt);
        let arrived = fs::read_to_string(world.root.join("x")).unwrap_or_default();
        assert!(arrived != SECRET, "{outcome:?}");
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

#[test]
fn a_layers_folder_that_is_swapped_for_a_link_is_not_gone_through() {
    let (world, trick) = tricked(|moment| *moment == Moment::Checked);
    let outside = world.temp.path().canonicalize().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), SECRET).unwrap();
    let attempt = world.open();
    step(&attempt, &world.root).write("d/x", "by the step");
    let at = upper(&attempt, 0).join("d");
    set(&trick, move || {
        fs::remove_dir_all(&at).unwrap();
        symlink(&outside, &at).unwrap();
    });
    assert!(commit(attempt).is_err());
    assert!(!world.root.join("d/x").exists());
}

#[test]
fn a_file_that_is_replaced_while_the_door_opens_it_is_one_of_the_two_and_never_a_way_out() {
    let world = world();
    let secret = secret(&world);
    let (x, spare) = (world.root.join("x"), world.root.join("spare"));
    fs::write(&x, "1").unwrap();
    symlink(&secret, &spare).unwrap();
    let dir = Dir::open_root(&world.root).unwrap();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (a, b, stop) = (x.clone(), spare.clone(), over.clone());
    let swapper = std::thread::spawn(move || {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            rustix::fs::renameat_with(CWD, &a, CWD, &b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
        }
    });
    let mut seen = [0_u32; 2];
    for _ in 0..5_000 {
        match dir.read(Path::new("x"), 100) {
            Ok(bytes) => {
                assert_eq!(bytes, b"1");
                seen[0] += 1;
            }
            Err(error) => {
                assert!(matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::WouldBlock), "{error}");
                seen[1] += 1;
            }
        }
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(fs::read_to_string(secret).unwrap(), SECRET);
    assert_eq!(seen[0] + seen[1], 5_000);
}

// What the guard reads.

#[test]
fn what_is_judged_by_its_content_is_read_without_waiting_and_without_following() {
    let world = world();
    let secret = secret(&world);
    let attempt = world.open();
    let at = upper(&attempt, 0);
    fs::create_dir_all(at.join(".git/objects")).unwrap();
    fs::create_dir_all(at.join(".git/refs")).unwrap();
    fs::write(at.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    symlink(&secret, at.join(".git/config")).unwrap();
    fifo(&at.join(".git/config.worktree"));
    fifo(&at.join("package.json"));
    let root = world.root.clone();
    let set = in_time(move || attempt.change_set().unwrap());
    let judged: Vec<_> = set.persistence.iter().map(|one| (one.path.strip_prefix(&root).unwrap(), one.level)).collect();
    assert_eq!(judged, [(Path::new(".git/config"), Level::Protected)]);
    assert!(!format!("{set:?}").contains(SECRET));
}
