//! A layer made of bytes: what a program may leave behind, read as a change set.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::path::Dir;
use super::reading::{Act, BITS, Kind, Reading};
use super::view::View;
use super::{path_from_text, path_to_text, tree};

const NAMES: [&[u8]; 12] =
    [b"a", b"b", b"c", b".git", b"\xff\xfe", b"line\nbreak", b"\x1b[31m", b".wh.a", b"...", b" ", b"a.b", &[b'n'; 255]];
const TARGETS: [&str; 6] = ["a", "..", "/etc/passwd", "../../../../etc/shadow", "", "/proc/self/root"];

/// Makes a folder and a layer over it as the bytes say, and reads the layer.
///
/// # Panics
/// When the reading names a path that does not lie in the folder, keeps a set-id bit, or touched what lies beside.
pub fn layer(bytes: &[u8]) {
    let place =
        tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).expect("a folder");
    let (folder, upper) = (place.path().join("folder"), place.path().join("upper"));
    let beside = place.path().join("beside");
    for path in [&folder, &upper] {
        fs::create_dir(path).expect("a folder");
    }
    fs::write(&beside, "untouched").expect("a file");
    for step in bytes.chunks_exact(4).take(48) {
        make(if step[0] & 1 == 0 { &folder } else { &upper }, step, &beside);
    }
    let open = |path: &Path| Dir::open_root(path).expect("the folder");
    let view = View { layers: Vec::new(), folder: open(&folder) };
    // What cannot be read is an error that names the place, never a part.
    if let Ok(reading) = Reading::read(&open(&upper), &view, Kind::Upper) {
        for item in &reading.items {
            inside(&item.path);
            match &item.act {
                Act::MakeDir { mode, .. } | Act::Mode { mode } => assert_eq!(mode & !BITS, 0, "{item:?}"),
                Act::Delete { under } => under.iter().for_each(|(path, _)| inside(path)),
                Act::Put { .. } => {}
            }
        }
        reading.left_out.iter().for_each(|(path, _)| inside(path));
        reading.change_set(&folder);
    }
    assert_eq!(fs::read(&beside).expect("the file beside"), b"untouched");
    tree::remove(place.path()).expect("whatever a layer holds can be removed");
}

fn inside(path: &Path) {
    let within = path.components().all(|part| matches!(part, Component::Normal(_)));
    assert!(within && path.components().next().is_some(), "{path:?}");
    assert_eq!(path_from_text(&path_to_text(path)).as_deref(), Some(path));
}

/// One thing in the tree. What the kernel or the user's rights refuse is not made.
fn make(root: &Path, step: &[u8], beside: &Path) {
    let name = |byte: u8| OsStr::from_bytes(NAMES[usize::from(byte) % NAMES.len()]);
    let mut path = PathBuf::from(root);
    if step[1] & 0x40 != 0 {
        path.push(name(step[1] >> 3));
    }
    if step[1] & 0x80 != 0 {
        path.push(name(step[3]));
    }
    path.push(name(step[1]));
    let node = |kind| mknodat(CWD, &path, kind, Mode::from_bits_truncate(0o644), 0);
    let mark = |name: &str| setxattr(&path, name, b"y", XattrFlags::empty());
    let _ = match (step[0] >> 1) % 12 {
        0 | 1 => fs::create_dir_all(&path),
        2 | 3 => fs::write(&path, &step[2..]),
        4 => symlink(TARGETS[usize::from(step[2]) % TARGETS.len()], &path),
        5 => node(FileType::Fifo).map_err(Into::into),
        6 => node(FileType::CharacterDevice).map_err(Into::into),
        7 => node(FileType::Socket).map_err(Into::into),
        8 if !path.is_symlink() => {
            let mode = u32::from(step[2]) << 4 | u32::from(step[3] & 0o17);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        }
        9 => mark(
            ["user.overlay.opaque", "user.overlay.whiteout", "user.overlay.redirect", "user.overlay.origin"]
                [usize::from(step[2]) % 4],
        )
        .map_err(Into::into),
        10 => fs::hard_link(root.join(name(step[2])), &path),
        11 if step[2] & 1 == 0 => symlink(beside, &path),
        _ => fs::rename(&path, root.join(name(step[2]))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_lies_in_a_layer_it_is_read_beneath_the_folder_or_refused() {
        let seeds: &[&[u8]] = &[
            &[2, 0, 1, 2, 5, 0, 9, 9, 5, 1, 7, 7, 9, 2, 1, 0, 19, 1, 0, 0, 17, 1, 255, 7],
            &[0, 0x41, 0, 0, 4, 0x41, 5, 5, 1, 0x41, 0, 0, 13, 0x42, 0, 0, 11, 0x43, 0, 0, 15, 0x44, 0, 0],
            &[1, 0xc1, 0, 3, 5, 0xc2, 1, 1, 23, 0x82, 0, 1, 23, 3, 0, 0, 21, 4, 3, 0, 17, 0x41, 0, 0],
            &[0, 0, 0, 0, 4, 0x40, 1, 1, 1, 0, 0, 0, 19, 0, 0, 0, 19, 0, 1, 0, 19, 0, 2, 0],
        ];
        seeds.iter().for_each(|seed| layer(seed));
        agentic_testkit::mutations(seeds, 400).for_each(|bytes| layer(&bytes));
    }
}
