//! What undo meets in the wild: two rollbacks at once, repositories within, sockets and pipes, names of any bytes, links that lead
//! in circles, files with holes of gigabytes.

mod real_support;
mod undo_support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Barrier;

use agentic_executor::workspace::RollBack;
use agentic_testkit::skip;
use real_support::{Real, shell};
use undo_support::Snapshot;

#[test]
fn of_two_rollbacks_at_once_one_is_made_and_nothing_is_mixed() {
    for _ in 0..6 {
        let real = Real::new();
        for n in 0..30 {
            real.workspace.file(format!("f{n}"), format!("before {n}\n"));
        }
        let before = Snapshot::of(real.workspace.path());
        let ran = real.run([shell("one", "for n in $(seq 0 29); do echo after >> f$n; done; mkdir d; touch d/new")]);
        assert!(ran.result.success, "{}", ran.result.summary());
        let run = &ran.result.run_id;
        // Each with a board of its own, as two processes have.
        let barrier = Barrier::new(2);
        let outcomes = std::thread::scope(|scope| {
            let one = || {
                let executor = real.builder().build().unwrap();
                barrier.wait();
                executor.roll_back(run, None, &RollBack::default())
            };
            [scope.spawn(one), scope.spawn(one)].map(|thread| thread.join().unwrap())
        });
        let made = outcomes.iter().filter(|outcome| matches!(outcome, Ok(done) if done.run.is_some())).count();
        assert_eq!(made, 1, "{outcomes:?}");
        assert_eq!(before.differs(&Snapshot::of(real.workspace.path())), Vec::<String>::new(), "{outcomes:?}");
    }
}

#[test]
fn a_repository_within_goes_back_with_its_own_folder() {
    let real = Real::new();
    if !real.workspace.git() {
        skip!("there is no git");
    }
    real.workspace.file("src/a.txt", "a\n").git_command(&["add", "-A"]);
    real.workspace.git_command(&["commit", "-qm", "first"]);
    let before = Snapshot::of(real.workspace.path());
    let commit = "git -c user.name=a -c user.email=a@localhost commit -qm";
    let ran = real.run([
        shell("one", format!("echo b >> src/a.txt; git add -A; {commit} second; git checkout -q -b side")),
        shell("two", format!("git init -q inner; cd inner; echo x > x; git add x; {commit} inner")),
        shell("three", "git gc -q; echo untracked > new.txt; git stash -q -u"),
    ]);
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_ne!(before.differs(&Snapshot::of(real.workspace.path())), Vec::<String>::new());
    ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!(before.differs(&Snapshot::of(real.workspace.path())), Vec::<String>::new());
    assert_eq!(real.workspace.git_command(&["status", "--porcelain"]), "");
    real.workspace.git_command(&["fsck", "--strict"]);
}

#[test]
fn sockets_pipes_circles_and_names_of_any_bytes_stay_where_they_are() {
    let real = Real::new();
    let root = real.workspace.path().to_owned();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
    assert!(fifo.success());
    for (text, link) in [("b", "a"), ("a", "b"), (".", "self"), ("/", "top")] {
        std::os::unix::fs::symlink(text, root.join(link)).unwrap();
    }
    let strange = root.join(OsStr::from_bytes(b"new\nline \xff\x1b[2J"));
    std::fs::create_dir(&strange).unwrap();
    std::fs::write(strange.join("x"), "before").unwrap();
    let before = Snapshot::of(&root);
    let ran = real.run([shell("one", "for d in new*; do echo after > \"$d/x\"; mv \"$d/x\" \"$d/y\"; done; rm a; ln -s self/self/b a; echo hi > plain")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    assert_eq!(std::fs::read_to_string(strange.join("y")).unwrap(), "after\n");
    ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!(before.differs(&Snapshot::of(&root)), Vec::<String>::new());
}

/// As large as a file can be made without a disk for it: what is kept of it costs what it holds.
#[test]
fn a_file_with_a_hole_of_a_gigabyte_goes_back_and_stays_one() {
    use std::os::unix::fs::MetadataExt;
    let real = Real::new();
    let path = real.workspace.path().join("huge");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", (1 << 30) - 3).unwrap();
    drop(file);
    let ran = real.run([shell("one", "printf START | dd of=huge conv=notrunc status=none")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    let read = |at: u64| {
        let mut bytes = [0; 5];
        let file = std::fs::File::open(&path).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, at).unwrap();
        bytes
    };
    assert_eq!((&read(0), &read((1 << 30) - 5)), (b"START", b"\0\0end"));
    ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!((&read(0), &read((1 << 30) - 5)), (b"\0\0\0\0\0", b"\0\0end"));
    let found = std::fs::metadata(&path).unwrap();
    assert!(found.len() == 1 << 30 && found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
}
