//! Any tree, any series of a step's operations: the folder ends as if the operations had been done on it directly.
//! The overlay's upper is made by hand, by overlayfs's rules; the copy is simply written to.

mod workspace_support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use agentic_executor::workspace::Backend;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use workspace_support::{tree, upper, world};

#[derive(Debug, Clone)]
enum Op {
    Write(PathBuf, Vec<u8>),
    MakeDir(PathBuf),
    Link(PathBuf, String),
    Chmod(PathBuf, u32),
    Remove(PathBuf),
    Fifo(PathBuf),
}

/// Few names, so that operations meet.
fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c\n", "ä"]), 1..4)
        .prop_map(|names| names.iter().collect())
}

fn op() -> impl Strategy<Value = Op> {
    let mode = prop::sample::select(vec![0o644_u32, 0o755, 0o700, 0o600, 0o444]);
    prop_oneof![
        4 => (path(), prop::collection::vec(any::<u8>(), 0..6)).prop_map(|(path, bytes)| Op::Write(path, bytes)),
        3 => path().prop_map(Op::MakeDir),
        1 => (path(), "[a-c]{1,3}").prop_map(|(path, to)| Op::Link(path, to)),
        1 => (path(), mode).prop_map(|(path, mode)| Op::Chmod(path, mode)),
        3 => path().prop_map(Op::Remove),
        1 => path().prop_map(Op::Fifo),
    ]
}

/// Does an operation on an ordinary tree, where it makes sense.
fn plain(root: &Path, op: &Op) {
    match op {
        Op::Write(path, bytes) => {
            let path = root.join(path);
            if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
                return;
            }
            if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                let mode = path.metadata().ok().map(|found| found.permissions());
                let _ = fs::remove_file(&path);
                let _ = fs::write(&path, bytes);
                if let Some(mode) = mode {
                    let _ = fs::set_permissions(&path, mode);
                }
            }
        }
        Op::MakeDir(path) => drop(fs::create_dir_all(root.join(path))),
        Op::Link(path, to) => drop(symlink(to, root.join(path))),
        Op::Chmod(path, mode) => {
            let path = root.join(path);
            if let Ok(found) = path.symlink_metadata() {
                let mode = if found.is_dir() { mode | 0o700 } else { *mode };
                if !found.is_symlink() {
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
        }
        Op::Remove(path) => {
            let path = root.join(path);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        Op::Fifo(path) => {
            let _ = rustix::fs::mkfifoat(CWD, root.join(path), Mode::from(0o600));
        }
    }
}

/// Writes into `upper` what makes `lower` look like `wanted`, as overlayfs would leave it. `again` also copies up
/// what did not change.
fn fabricate(upper: &Path, lower: &Path, wanted: &Path, nothing: &Path, again: bool) {
    let below: Vec<_> = names(lower);
    let above: Vec<_> = names(wanted);
    for name in below.iter().filter(|name| !above.contains(name)) {
        rustix::fs::mknodat(CWD, upper.join(name), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }
    for name in above {
        let (up, low, want) = (upper.join(&name), lower.join(&name), wanted.join(&name));
        let data = want.symlink_metadata().unwrap();
        let found = low.symlink_metadata().ok();
        if data.is_dir() {
            let over_dir = found.as_ref().is_some_and(fs::Metadata::is_dir);
            let same = over_dir && tree(&low) == tree(&want);
            if same && !again && low.metadata().unwrap().permissions() == data.permissions() {
                continue;
            }
            fs::create_dir(&up).unwrap();
            // Sometimes a folder was removed and made anew: opaque, with everything in it.
            let anew = over_dir && again;
            let marked = anew && rustix::fs::setxattr(&up, "user.overlay.opaque", b"y", XattrFlags::empty()).is_ok();
            fabricate(&up, if over_dir && !marked { &low } else { nothing }, &want, nothing, again);
            fs::set_permissions(&up, data.permissions()).unwrap();
        } else if data.is_symlink() {
            symlink(fs::read_link(&want).unwrap(), &up).unwrap();
        } else if !data.is_file() {
            rustix::fs::mkfifoat(CWD, &up, Mode::from(0o600)).unwrap();
        } else {
            let same = found.is_some_and(|found| found.is_file() && found.permissions() == data.permissions())
                && fs::read(&low).unwrap() == fs::read(&want).unwrap();
            if !same || again {
                fs::copy(&want, &up).unwrap();
                fs::set_permissions(&up, data.permissions()).unwrap();
            }
        }
    }
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// What the folder must be: the wanted tree without what is never applied.
fn without_fifos(root: &Path) {
    for path in tree(root).into_keys() {
        let path = root.join(path);
        let kind = path.symlink_metadata().unwrap().file_type();
        if !kind.is_dir() && !kind.is_file() && !kind.is_symlink() {
            fs::remove_file(path).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_folder_ends_as_if_written_to_directly(
        before in prop::collection::vec(op(), 0..25),
        during in prop::collection::vec(op(), 0..25),
        further in prop::collection::vec(op(), 0..12),
        again in any::<bool>(),
    ) {
        for backend in [Backend::Overlay, Backend::Copy] {
            let world = world();
            let wanted = world.temp.path().join("wanted");
            let nothing = world.temp.path().join("nothing");
            fs::create_dir(&wanted).unwrap();
            fs::create_dir(&nothing).unwrap();
            for op in before.iter().filter(|op| !matches!(op, Op::Fifo(_))) {
                plain(&world.root, op);
                plain(&wanted, op);
            }
            prop_assert_eq!(tree(&world.root), tree(&wanted));
            for ops in [&during, &further] {
                ops.iter().for_each(|op| plain(&wanted, op));
                let attempt = world.open_as(backend);
                let layer = upper(&attempt, 0);
                if backend == Backend::Overlay {
                    fabricate(&layer, &world.root, &wanted, &nothing, again);
                } else {
                    ops.iter().for_each(|op| plain(&layer, op));
                }
                let told = attempt.change_set().unwrap();
                let before = tree(&world.root);
                without_fifos(&wanted);
                let set = attempt.commit().unwrap();
                prop_assert_eq!(&tree(&world.root), &tree(&wanted), "{}", backend);
                prop_assert_eq!(&set, &told);
                // What is told is what differs, no more and no less.
                let after = tree(&world.root);
                let differs: Vec<_> = before.keys().chain(after.keys())
                    .filter(|path| before.get(*path) != after.get(*path))
                    .map(|path| world.root.join(path))
                    .collect::<std::collections::BTreeSet<_>>().into_iter().collect();
                let named: Vec<_> = set.changes.into_iter().map(|change| change.path).collect();
                prop_assert_eq!(named, differs, "{}", backend);
            }
            world.assert_clean();
        }
    }
}
