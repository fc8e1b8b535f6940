//! Who the program is outside: the caller, or, started as root, a reserved user that owns nothing.
//!
//! Root is never mapped in: outer uid 0 without capabilities still opens `core_pattern` and cgroup limits
//! for writing, and RLIMIT_NPROC does not bind it. So a run started as root gets a range of ids of its own,
//! reserved for as long as it lives, and host folders enter as id-mapped mounts in which the inside user
//! stands for their owner (mount_setattr(2), `MOUNT_ATTR_IDMAP`).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::AtFlags;
use rustix::mount::MountAttrFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

use crate::error::{Error, Result};
use crate::linux::{mounts, sys};
use crate::output::Control;
use crate::spec::Layer;
use crate::view::INSIDE_ID;

/// The first reserved id: past what distributions hand out and what systemd takes for containers
/// (systemd: Users, Groups, UIDs and GIDs: up to 0x6FFEFFFF), below 2^31.
const FIRST: u32 = 0x7000_0000;
/// Ids of one run.
const RANGE: u32 = 0x1_0000;
/// Runs at once.
const SLOTS: u32 = 0xFFF;

/// Owned by root of the host, whoever looks.
const OF_ROOT: &str = "/proc/sys/kernel/core_pattern";

/// Whether a run gets a user of its own: this process is root of the host.
///
/// Root of a user namespace, as in a rootless container, is some other user outside and can give no ids away: what he
/// starts is his, as an ordinary user's is. He is known by seeing root's files as somebody else's (user_namespaces(7)).
/// Where that cannot be looked at, root is taken for what it may be.
pub fn reserves_users() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    let of_somebody = || std::fs::metadata(OF_ROOT).is_ok_and(|found| found.uid() != 0);
    rustix::process::geteuid().is_root() && *ROOT.get_or_init(|| !of_somebody())
}

/// The inside user's place among the ids of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The caller, mapped alone.
    Caller { uid: u32, gid: u32 },
    /// A reserved range, whose first id this is.
    Reserved { base: u32 },
}

impl Identity {
    pub(crate) fn caller() -> Self {
        Self::Caller { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }
    /// The user that a run without a user namespace has to itself; `None` where that is the caller.
    pub(crate) fn own_user(&self) -> Option<u32> {
        match self {
            Self::Caller { .. } => None,
            Self::Reserved { base } => Some(base + INSIDE_ID),
        }
    }
    pub(crate) fn as_root(&self) -> bool {
        matches!(self, Self::Reserved { .. })
    }
    /// The text of `/proc/PID/uid_map` (user_namespaces(7)).
    pub(crate) fn uid_map(&self) -> String {
        match self {
            Self::Caller { uid, .. } => format!("{INSIDE_ID} {uid} 1"),
            Self::Reserved { base } => format!("0 {base} {RANGE}"),
        }
    }
    /// The text of `/proc/PID/gid_map`.
    pub(crate) fn gid_map(&self) -> String {
        match self {
            Self::Caller { gid, .. } => format!("{INSIDE_ID} {gid} 1"),
            Self::Reserved { base } => format!("0 {base} {RANGE}"),
        }
    }
}

/// An identity, reserved for as long as this lives.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) identity: Identity,
    /// An abstract socket name stands for the reservation: it is freed with the descriptor, however we end.
    _lock: Option<OwnedFd>,
}

impl Slot {
    pub(crate) fn reserve() -> Result<Self> {
        if !reserves_users() {
            return Ok(Self { identity: Identity::caller(), _lock: None });
        }
        let start = std::process::id().wrapping_mul(2_654_435_761) % SLOTS;
        for step in 0..SLOTS {
            let slot = (start + step) % SLOTS;
            match lock(slot) {
                Ok(lock) => {
                    let base = FIRST + slot * RANGE;
                    return Ok(Self { identity: Identity::Reserved { base }, _lock: Some(lock) });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(Error::stage("reserve a range of ids", error)),
            }
        }
        Err(Error::stage("reserve a range of ids: every one is in use", io::Error::from(io::ErrorKind::ResourceBusy)))
    }
}

impl Slot {
    /// As [`Self::reserve`], for what belongs to `owner`: when that is the user of a range that somebody has reserved for
    /// it, that range.
    pub(crate) fn reserve_as(owner: Option<u32>) -> Result<Self> {
        let base = owner.and_then(|owner| owner.checked_sub(INSIDE_ID));
        let ours =
            |base: &u32| *base >= FIRST && (base - FIRST).is_multiple_of(RANGE) && (base - FIRST) / RANGE < SLOTS;
        match base.filter(ours) {
            Some(base) if reserves_users() => Ok(Self { identity: Identity::Reserved { base }, _lock: None }),
            _ => Self::reserve(),
        }
    }
}

fn lock(slot: u32) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let name = SocketAddrUnix::new_abstract_name(format!("agentic-sandbox-ids-{slot}").as_bytes())?;
    bind(&socket, &name)?;
    Ok(socket)
}

/// Detached mounts of host paths for a run started as root.
pub(crate) struct Preparation<'a, F> {
    slot: &'a Slot,
    make_namespace: F,
    /// By owner and group of what is mapped.
    namespaces: HashMap<(u32, u32), OwnedFd>,
    pub(crate) mounts: Vec<OwnedFd>,
}

impl<'a, F: FnMut(String, String) -> Result<OwnedFd>> Preparation<'a, F> {
    pub(crate) fn new(slot: &'a Slot, make_namespace: F) -> Self {
        Self { slot, make_namespace, namespaces: HashMap::new(), mounts: Vec::new() }
    }

    /// The path enters so that the inside user stands for its owner. Refused where that cannot be had.
    pub(crate) fn own(&mut self, layer: &mut Layer) -> Result<()> {
        let Layer::Path(path) = layer else { return Ok(()) };
        let path = Path::new(path).to_owned();
        self.own_as(layer, &path, OsStr::new(""))
    }

    /// The path enters so that the inside user stands for the owner of `whose`, a name in it or empty for itself.
    fn own_as(&mut self, layer: &mut Layer, path: &Path, whose: &OsStr) -> Result<()> {
        let mount = self.detached(path)?;
        self.map(&mount, path, whose).map_err(|error| Error::Unenforceable {
            control: Control::View,
            reason: format!(
                "{} lies on a file system that cannot be id-mapped ({error}), so root's files cannot be shown to a sandboxed user; run as the owner of the folder, move it, or choose tier B (`--tier b`), which copies it",
                path.display()
            ),
        })?;
        self.keep(layer, mount);
        Ok(())
    }

    /// As [`Self::own`], for an overlay's upper and work folders, which must lie on one mount.
    pub(crate) fn own_pair(&mut self, upper: &mut Layer, work: &mut Layer) -> Result<()> {
        let (Layer::Path(one), Layer::Path(other)) = (&*upper, &*work) else { return Ok(()) };
        let (one, other) = (Path::new(one), Path::new(other));
        let (Some(parent), Some(one_name), Some(other_name)) = (one.parent(), one.file_name(), other.file_name())
        else {
            return Err(Error::Policy("an overlay's upper is the root folder".into()));
        };
        if other.parent() != Some(parent) {
            return Err(Error::Policy(format!("{} and {} do not lie side by side", one.display(), other.display())));
        }
        let (one_name, other_name) = (one_name.to_owned(), other_name.to_owned());
        let mut layer = Layer::Path(parent.into());
        // What is between is ours and may be root's; the layer itself has the owner of the workspace.
        self.own_as(&mut layer, parent, &one_name)?;
        if let Layer::Mount(place) = layer {
            *upper = Layer::Within(place, one_name);
            *work = Layer::Within(place, other_name);
        }
        Ok(())
    }

    /// The path enters read-only: mapped where it can be, else with what any user may read.
    pub(crate) fn show(&mut self, layer: &mut Layer) -> Result<()> {
        let Layer::Path(path) = layer else { return Ok(()) };
        let path = Path::new(path).to_owned();
        // System folders are open to everybody and need no help.
        if ["/usr", "/lib", "/bin", "/sbin", "/etc", "/opt", "/lib64", "/nix", "/gnu"]
            .iter()
            .any(|root| path.starts_with(root))
        {
            return Ok(());
        }
        let mount = self.detached(&path)?;
        mounts::restrict(mount.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, true)
            .map_err(|error| Error::stage(format!("make {} read-only", path.display()), error))?;
        // Without a mapping, the modes for others decide.
        let _ = self.map(&mount, &path, OsStr::new(""));
        self.keep(layer, mount);
        Ok(())
    }

    fn keep(&mut self, layer: &mut Layer, mount: OwnedFd) {
        *layer = Layer::Mount(self.mounts.len());
        self.mounts.push(mount);
    }

    fn detached(&self, path: &Path) -> Result<OwnedFd> {
        mounts::open_path(path).and_then(|fd| mounts::bind(fd.as_fd(), false)).map_err(|error| {
            match error.raw_os_error() {
                // A container's filter, or its missing capability: the host refuses mounts, whatever the path.
                Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Error::Unenforceable {
                    control: Control::MountNamespace,
                    reason: format!("failed to take {} into the sandbox: {error}", path.display()),
                },
                _ => Error::stage(format!("take {} into the sandbox", path.display()), error),
            }
        })
    }

    /// Maps the owner of `whose` in the mount to the inside user.
    fn map(&mut self, mount: &OwnedFd, path: &Path, whose: &OsStr) -> io::Result<()> {
        let Identity::Reserved { base } = self.slot.identity else { return Ok(()) };
        let stat = rustix::fs::statat(mount, whose, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
        let owner = (stat.st_uid, stat.st_gid);
        if !self.namespaces.contains_key(&owner) {
            let namespace = (self.make_namespace)(map_of(owner.0, base), map_of(owner.1, base))
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
            self.namespaces.insert(owner, namespace);
        }
        sys::mount_setattr(mount.as_fd(), 0, 0, self.namespaces.get(&owner).map(AsFd::as_fd), false)
    }
}

/// On disk → outside: `owner` becomes the inside user, the id that would have been it takes the owner's
/// place, everybody else keeps his number within the range.
fn map_of(owner: u32, base: u32) -> String {
    let mut map = String::new();
    let mut extent = |from: u32, to: u32, count: u32| {
        if count > 0 {
            let _ = writeln!(map, "{from} {to} {count}");
        }
    };
    extent(owner, base + INSIDE_ID, 1);
    if owner != INSIDE_ID && owner < RANGE {
        extent(INSIDE_ID, base + owner, 1);
    }
    let (low, high) = (owner.min(INSIDE_ID), owner.max(INSIDE_ID));
    extent(0, base, low);
    if high < RANGE {
        extent(low + 1, base + low + 1, (high - low).saturating_sub(1));
        extent(high + 1, base + high + 1, RANGE - high - 1);
    } else {
        extent(low + 1, base + low + 1, RANGE - low - 1);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies a map as the kernel does.
    fn apply(map: &str, id: u32) -> Option<u32> {
        map.lines().find_map(|line| {
            let numbers: Vec<u32> = line.split(' ').map(|text| text.parse().unwrap()).collect();
            (numbers[0]..numbers[0] + numbers[2]).contains(&id).then(|| numbers[1] + id - numbers[0])
        })
    }

    #[test]
    fn the_owner_becomes_the_inside_user_and_everybody_else_stays_apart() {
        for owner in [0, 1, 999, 1000, 1001, 33, 65_534, 65_535, 65_536, 500_000] {
            let map = map_of(owner, FIRST);
            assert_eq!(apply(&map, owner), Some(FIRST + INSIDE_ID), "owner {owner}");
            let mut seen = std::collections::HashSet::new();
            for id in (0..RANGE).chain([owner]).collect::<std::collections::BTreeSet<_>>() {
                if let Some(outside) = apply(&map, id) {
                    assert!((FIRST..FIRST + RANGE).contains(&outside), "{id} leaves the range");
                    assert!(seen.insert(outside), "{id} shares {outside}");
                } else {
                    assert!(owner >= RANGE && id == INSIDE_ID, "{id} is lost under owner {owner}");
                }
            }
        }
    }

    #[test]
    fn two_reservations_never_share_ids() {
        if !reserves_users() {
            println!("SKIP: two_reservations_never_share_ids: only root reserves ids");
            return;
        }
        let (one, two) = (Slot::reserve().unwrap(), Slot::reserve().unwrap());
        assert_ne!(one.identity, two.identity);
    }
}
