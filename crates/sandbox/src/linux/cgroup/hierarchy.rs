//! Where this process stands in each cgroup hierarchy: `/proc/self/cgroup` joined with the mounts that show it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The own folder of this process in every hierarchy that is mounted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Folders {
    pub(super) unified: Option<Unified>,
    /// By controller name.
    pub(super) v1: BTreeMap<String, PathBuf>,
}

/// The own folder in the unified hierarchy, and where that hierarchy is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unified {
    pub(super) mount: PathBuf,
    pub(super) folder: PathBuf,
}

/// Reads both files of procfs. A line that is not understood is passed over.
pub(super) fn own_folders(own: &str, mounts: &str) -> Folders {
    let mut folders = Folders::default();
    for mount in mounts.lines().filter_map(parse_mount) {
        match mount.kind {
            "cgroup2" if folders.unified.is_none() => {
                let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::")) else { continue };
                let folder = mount.folder_of(path);
                folders.unified = Some(Unified { mount: mount.point, folder });
            }
            "cgroup" => {
                for controller in mount.options.split(',') {
                    let path = own.lines().find_map(|line| {
                        let (_, rest) = line.split_once(':')?;
                        let (controllers, path) = rest.split_once(':')?;
                        controllers.split(',').any(|name| name == controller).then_some(path)
                    });
                    if let Some(path) = path {
                        folders.v1.entry(controller.to_owned()).or_insert_with(|| mount.folder_of(path));
                    }
                }
            }
            _ => {}
        }
    }
    folders
}

struct Mount<'a> {
    root: PathBuf,
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    /// Where a path of `/proc/self/cgroup` is seen in this mount. One outside the mount's root (a container that
    /// shows only part of the hierarchy) is taken to be the mount point itself.
    fn folder_of(&self, path: &str) -> PathBuf {
        match Path::new(path).strip_prefix(&self.root) {
            Ok(inside) if inside.as_os_str().is_empty() => self.point.clone(),
            Ok(inside) => self.point.join(inside),
            Err(_) => self.point.clone(),
        }
    }
}

/// `ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS...] - KIND SOURCE SUPER`, see proc_pid_mountinfo(5).
fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (unescape(before.next()?), unescape(before.next()?));
    let mut after = after.split(' ');
    let kind = after.next()?;
    Some(Mount { root, point, kind, options: after.nth(1)? })
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}
