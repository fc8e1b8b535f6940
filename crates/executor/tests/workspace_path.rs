//! The path door: what is inside is reachable, every way out is refused, and nothing blocks or is half-written.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use agentic_executor::workspace::{Dir, FileKind};

struct World {
    _temp: tempfile::TempDir,
    root: std::path::PathBuf,
    dir: Dir,
}

/// `root/` is the workspace; `beside.txt` and `beside/` lie next to it.
fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    fs::create_dir_all(root.join("src/deep")).unwrap();
    fs::create_dir(temp.path().join("beside")).unwrap();
    fs::write(root.join("src/a.txt"), "inside").unwrap();
    fs::write(temp.path().join("beside.txt"), "secret").unwrap();
    fs::write(temp.path().join("beside/b.txt"), "secret").unwrap();
    let dir = Dir::open_root(&root).unwrap();
    World { _temp: temp, root, dir }
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn reads_inside_through_links_and_dots() {
    let World { root, dir, _temp } = world();
    symlink("src", root.join("dirlink")).unwrap();
    symlink("../src/a.txt", root.join("src/chain")).unwrap();
    for path in ["src/a.txt", "./src/./a.txt", "src/deep/../a.txt", "dirlink/a.txt", "src/chain", "dirlink/chain"] {
        assert_eq!(dir.read(Path::new(path), 100).unwrap(), b"inside", "{path}");
        assert_eq!(dir.resolve(Path::new(path)).unwrap(), Path::new("src/a.txt"), "{path}");
    }
    assert_eq!(dir.resolve(Path::new("")).unwrap(), Path::new(""));
    assert_eq!(dir.metadata(Path::new("src/chain")).unwrap().kind, FileKind::Symlink);
    assert_eq!(dir.metadata(Path::new("dirlink/a.txt")).unwrap().size, 6);
    assert_eq!(dir.read_link(Path::new("src/chain")).unwrap(), Path::new("../src/a.txt"));
    assert!(dir.exists(Path::new("dirlink/deep")));
    assert!(!dir.exists(Path::new("src/missing")));
}

#[test]
fn every_way_out_is_refused_for_reads_and_writes() {
    let World { root, dir, _temp } = world();
    symlink("../beside.txt", root.join("up")).unwrap();
    symlink("../beside", root.join("updir")).unwrap();
    symlink(root.parent().unwrap().join("beside.txt"), root.join("abs")).unwrap();
    symlink("abs", root.join("toabs")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let absolute = root.join("src/a.txt");
    // Control: each target is readable without the door.
    assert_eq!(fs::read(root.join("up")).unwrap(), b"secret");
    assert_eq!(fs::read(root.join("updir/b.txt")).unwrap(), b"secret");
    for path in [
        "../beside.txt",
        "src/../../beside.txt",
        "up",
        "updir/b.txt",
        "abs",
        "toabs",
        "loop",
        "..",
        absolute.to_str().unwrap(),
    ] {
        let path = Path::new(path);
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(kind(dir.read(path, 100)), denied, "read {path:?}");
        assert_eq!(kind(dir.open_read(path)), denied, "open {path:?}");
        assert_eq!(kind(dir.resolve(path)), denied, "resolve {path:?}");
        assert_eq!(kind(dir.write(path, b"x", None)), denied, "write {path:?}");
        assert_eq!(kind(dir.append(path, b"x")), denied, "append {path:?}");
    }
    assert_eq!(kind(dir.read_dir(Path::new("updir"))), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(dir.create_dir_all(Path::new("updir/new"))), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(dir.create_dir_all(Path::new("../new"))), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(dir.remove_file(Path::new("updir/b.txt"))), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(dir.metadata(Path::new("../beside.txt"))), io::ErrorKind::PermissionDenied);
    assert_eq!(fs::read(root.join("../beside.txt")).unwrap(), b"secret");
    assert!(!root.join("../new").exists());
}

#[test]
fn magic_links_are_refused() {
    let dir = Dir::open_root(Path::new("/proc")).unwrap();
    // Control: the link itself works outside the door.
    assert!(fs::read_dir("/proc/self/root/").is_ok());
    assert_eq!(kind(dir.read_dir(Path::new("self/root"))), io::ErrorKind::PermissionDenied);
    assert!(dir.read(Path::new("self/stat"), 1 << 16).is_ok());
}

#[test]
fn neither_fifos_nor_devices_nor_folders_are_opened() {
    let World { root, dir, _temp } = world();
    let fifo = root.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from(0o644)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap();
    for name in ["fifo", "sock"] {
        let name = Path::new(name);
        assert_eq!(kind(dir.open_read(name)), io::ErrorKind::InvalidInput);
        assert_eq!(kind(dir.write(name, b"x", None)), io::ErrorKind::InvalidInput);
        assert_eq!(kind(dir.append(name, b"x")), io::ErrorKind::InvalidInput);
    }
    assert_eq!(dir.metadata(Path::new("fifo")).unwrap().kind, FileKind::Fifo);
    assert_eq!(
        kind(Dir::open_root(Path::new("/dev")).unwrap().open_read(Path::new("null"))),
        io::ErrorKind::InvalidInput
    );
    for name in ["src", ""] {
        assert_eq!(kind(dir.read(Path::new(name), 10)), io::ErrorKind::IsADirectory);
        assert_eq!(kind(dir.write(Path::new(name), b"x", None)), io::ErrorKind::IsADirectory);
    }
    assert_eq!(kind(dir.read(Path::new("src/a.txt/x"), 10)), io::ErrorKind::NotADirectory);
    assert_eq!(kind(dir.read(Path::new("src/a.txt/../a.txt"), 10)), io::ErrorKind::NotADirectory);
}

#[test]
fn a_write_replaces_the_whole_file_and_keeps_its_mode() {
    let World { root, dir, _temp } = world();
    let file = root.join("src/a.txt");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
    let mut open_before = fs::File::open(&file).unwrap();
    dir.write(Path::new("src/a.txt"), b"other", None).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"other");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o751);
    let mut before = String::new();
    open_before.read_to_string(&mut before).unwrap();
    assert_eq!(before, "inside", "who had it open still reads the old file as a whole");

    dir.write(Path::new("src/a.txt"), b"", Some(0o600)).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    dir.write(Path::new("new"), b"n", Some(0o640)).unwrap();
    assert_eq!(fs::metadata(root.join("new")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(kind(dir.write(Path::new("no/such/folder"), b"x", None)), io::ErrorKind::NotFound);
    let left: Vec<_> = dir.read_dir(Path::new("")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, ["new", "src"], "no temporary file is left");
}

#[test]
fn a_write_through_a_link_changes_its_target_and_keeps_the_link() {
    let World { root, dir, _temp } = world();
    symlink("src/a.txt", root.join("link")).unwrap();
    symlink("src/fresh", root.join("dangling")).unwrap();
    dir.write(Path::new("link"), b"via", None).unwrap();
    dir.write(Path::new("dangling"), b"made", None).unwrap();
    assert_eq!(fs::read(root.join("src/a.txt")).unwrap(), b"via");
    assert_eq!(fs::read(root.join("src/fresh")).unwrap(), b"made");
    assert!(fs::symlink_metadata(root.join("link")).unwrap().is_symlink());
    dir.remove_file(Path::new("link")).unwrap();
    assert!(root.join("src/a.txt").exists());
}

#[test]
fn all_names_of_a_hard_linked_file_see_a_write() {
    let World { root, dir, _temp } = world();
    fs::hard_link(root.join("src/a.txt"), root.join("second")).unwrap();
    dir.write(Path::new("second"), b"ab", None).unwrap();
    dir.append(Path::new("src/a.txt"), b"c").unwrap();
    assert_eq!(fs::read(root.join("src/a.txt")).unwrap(), b"abc");
    assert_eq!(fs::read(root.join("second")).unwrap(), b"abc");
}

#[test]
fn names_are_any_bytes_but_nul() {
    let World { dir, _temp, .. } = world();
    let raw = Path::new(OsStr::from_bytes(b"caf\xe9 \n\xff"));
    dir.write(raw, b"1", None).unwrap();
    dir.append(raw, b"2").unwrap();
    assert_eq!(dir.read(raw, 2).unwrap(), b"12");
    assert!(dir.read_dir(Path::new("")).unwrap().iter().any(|entry| entry.name == raw.as_os_str()));
    assert_eq!(kind(dir.write(Path::new("a\0b"), b"", None)), io::ErrorKind::InvalidInput);
}

#[test]
fn reading_is_bounded() {
    let World { dir, _temp, .. } = world();
    assert_eq!(dir.read(Path::new("src/a.txt"), 6).unwrap(), b"inside");
    assert_eq!(kind(dir.read(Path::new("src/a.txt"), 5)), io::ErrorKind::FileTooLarge);
}

#[test]
fn folders_are_made_through_links_and_listed_sorted() {
    let World { root, dir, _temp } = world();
    symlink("src", root.join("dirlink")).unwrap();
    dir.create_dir_all(Path::new("dirlink/x/../x/y")).unwrap();
    dir.create_dir_all(Path::new("src/x/y")).unwrap();
    assert!(root.join("src/x/y").is_dir());
    assert_eq!(kind(dir.create_dir_all(Path::new("src/a.txt/z"))), io::ErrorKind::NotADirectory);
    let listed: Vec<_> = dir.read_dir(Path::new("dirlink")).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
    let expected = [("a.txt", FileKind::File), ("deep", FileKind::Dir), ("x", FileKind::Dir)];
    assert_eq!(listed, expected.map(|(name, kind)| (name.into(), kind)));
}

#[test]
fn the_folder_is_held_by_descriptor() {
    let World { root, dir, _temp } = world();
    fs::rename(&root, root.with_file_name("moved")).unwrap();
    fs::create_dir(&root).unwrap();
    assert_eq!(dir.read(Path::new("src/a.txt"), 10).unwrap(), b"inside");
}

#[test]
fn a_link_swapped_in_while_writing_never_leads_out() {
    let World { root, dir, _temp } = world();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(root.join("src"), root.join("aside"));
                let _ = symlink("../beside", root.join("src"));
                let _ = fs::remove_file(root.join("src"));
                let _ = fs::rename(root.join("aside"), root.join("src"));
            }
        });
        for _ in 0..2_000 {
            let _ = dir.write(Path::new("src/b.txt"), b"mine", None);
            if let Ok(bytes) = dir.read(Path::new("src/b.txt"), 100) {
                assert_eq!(bytes, b"mine");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(fs::read(root.join("../beside/b.txt")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(root.join("../beside")).unwrap().count(), 1);
}

#[test]
fn read_only_refuses_every_write() {
    let World { root, dir, _temp } = world();
    let dir = dir.read_only();
    assert_eq!(dir.read(Path::new("src/a.txt"), 10).unwrap(), b"inside");
    assert_eq!(kind(dir.write(Path::new("src/a.txt"), b"x", None)), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(dir.append(Path::new("new"), b"x")), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(dir.create_dir_all(Path::new("d"))), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(dir.remove_file(Path::new("src/a.txt"))), io::ErrorKind::PermissionDenied);
    assert_eq!(fs::read(root.join("src/a.txt")).unwrap(), b"inside");
}

#[test]
fn a_root_that_is_no_folder_is_refused_by_name() {
    let World { root, _temp, .. } = world();
    for (path, word) in [(root.join("missing"), "No such file"), (root.join("src/a.txt"), "Not a directory")] {
        let message = Dir::open_root(&path).unwrap_err().to_string();
        assert!(message.contains(word) && message.contains(path.to_str().unwrap()), "{message}");
    }
}

#[test]
fn a_file_that_may_not_be_written_is_not_replaced_either() {
    let World { root, dir, _temp } = world();
    if rustix::process::geteuid().is_root() {
        agentic_testkit::skip!("permission bits do not bind root");
    }
    fs::set_permissions(root.join("src/a.txt"), fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(kind(dir.write(Path::new("src/a.txt"), b"x", None)), io::ErrorKind::PermissionDenied);
    assert_eq!(fs::read(root.join("src/a.txt")).unwrap(), b"inside");
}
