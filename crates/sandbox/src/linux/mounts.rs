//! Mounts by descriptor (the mount API of Linux 5.2 and later): made detached, then attached beneath a root we own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use super::sys::mount_setattr;
use crate::weaken::{Barrier, stands};

/// A directory (or any file) held by `O_PATH` descriptor, symlinks followed: of the host, before the pivot only.
pub(crate) fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The kernel's name of a descriptor, for mount options that take a path: no escaping, no second resolution.
pub(crate) fn by_descriptor(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A new tmpfs. `size` in bytes.
pub(crate) fn tmpfs(size: u64, inodes: u64, mode: u32, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(fs.as_fd(), "size", size.to_string())?;
    fsconfig_set_string(fs.as_fd(), "nr_inodes", inodes.to_string())?;
    fsconfig_set_string(fs.as_fd(), "mode", format!("{mode:o}"))?;
    mount(fs, attributes)
}

/// A new proc for this process's pid namespace.
pub(crate) fn proc() -> io::Result<OwnedFd> {
    mount(fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?, hardened())
}

/// A new, private devpts.
pub(crate) fn devpts() -> io::Result<OwnedFd> {
    let fs = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(fs.as_fd(), "newinstance")?;
    fsconfig_set_string(fs.as_fd(), "ptmxmode", "0666")?;
    fsconfig_set_string(fs.as_fd(), "mode", "0620")?;
    mount(fs, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

/// `nosuid`, `nodev`, `noexec`.
pub(crate) fn hardened() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

/// `nosuid`, `nodev`.
pub(crate) fn plain() -> MountAttrFlags {
    let nosuid = if stands(Barrier::Nosuid) { MountAttrFlags::MOUNT_ATTR_NOSUID } else { MountAttrFlags::empty() };
    nosuid | MountAttrFlags::MOUNT_ATTR_NODEV
}

/// An overlay over `lowers` (topmost first), writable when `upper` is given.
///
/// All options are given explicitly, because their defaults are module parameters that distributions
/// change: no redirects, no index, no metadata-only copies, attributes in `user.*` (the only ones a user
/// namespace may set).
pub(crate) fn overlay(
    lowers: &[BorrowedFd<'_>],
    upper: Option<(BorrowedFd<'_>, BorrowedFd<'_>)>,
) -> io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(fs.as_fd(), "source", "overlay")?;
    let chain = lowers.iter().map(|fd| by_descriptor(*fd)).collect::<Vec<_>>().join(":");
    fsconfig_set_string(fs.as_fd(), "lowerdir", chain)?;
    if let Some((upper, work)) = upper {
        fsconfig_set_string(fs.as_fd(), "upperdir", by_descriptor(upper))?;
        fsconfig_set_string(fs.as_fd(), "workdir", by_descriptor(work))?;
        fsconfig_set_string(fs.as_fd(), "index", "off")?;
        // An uncommitted layer is lost with the machine anyway; without this, unmounting it would sync the whole disk.
        let _ = fsconfig_set_flag(fs.as_fd(), "volatile");
    }
    fsconfig_set_flag(fs.as_fd(), "userxattr")?;
    fsconfig_set_string(fs.as_fd(), "metacopy", "off")?;
    fsconfig_set_string(fs.as_fd(), "xino", "off")?;
    let attributes =
        plain() | if upper.is_none() { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    let mount = mount(fs, attributes)?;
    if let Some((_, work)) = upper {
        // The mark of a volatile mount keeps the same layer from being mounted again; ours may be, and by nobody else.
        let _ = rustix::fs::unlinkat(work, "work/incompat/volatile/dirty", AtFlags::empty());
        for name in ["work/incompat/volatile", "work/incompat"] {
            let _ = rustix::fs::unlinkat(work, name, AtFlags::REMOVEDIR);
        }
    }
    Ok(mount)
}

fn mount(fs: OwnedFd, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    fsconfig_create(fs.as_fd())?;
    Ok(fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A detached copy of the mount that `fd` lies in, rooted at `fd`; with what is mounted below when `recursive`.
pub(crate) fn bind(fd: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(fd, "", flags)?)
}

/// Binds `source` over `target`, with the attributes of the mount that it lies in. Both are paths from the working
/// directory. One call where [`bind`], [`restrict`] and [`attach`] are four: for many small mounts.
pub(crate) fn bind_at(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind(source, target)?)
}

/// Adds attributes to a mount and, when asked, to all below it.
pub(crate) fn restrict(mount: BorrowedFd<'_>, set: MountAttrFlags, recursive: bool) -> io::Result<()> {
    mount_setattr(mount, u64::from(set.bits()), 0, None, recursive)
}

/// Attaches a detached mount at `target`, beneath the directory `root`.
pub(crate) fn attach(mount: BorrowedFd<'_>, root: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if target.as_os_str().is_empty() {
        move_mount(mount, "", root, "", flags | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH)?;
    } else {
        move_mount(mount, "", root, target, flags)?;
    }
    Ok(())
}

/// Detaches what is mounted at `target` beneath `root`.
pub(crate) fn detach(root: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    Ok(unmount(Path::new(&by_descriptor(root)).join(target), UnmountFlags::DETACH)?)
}

/// Makes the mount `root` the root of this mount namespace and lets go of everything else.
pub(crate) fn pivot(root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// Creates `path` beneath `root` with all its parents; what is there already stays.
pub(crate) fn create_dirs(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<()> {
    let mut sofar = std::path::PathBuf::new();
    for part in path.components() {
        sofar.push(part);
        match rustix::fs::mkdirat(root, &sofar, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a descriptor is of a folder.
pub(crate) fn is_dir(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// Every mount of this namespace stops passing events to and from the host.
pub(crate) fn make_private() -> io::Result<()> {
    use rustix::mount::{MountPropagationFlags, mount_change};
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}
