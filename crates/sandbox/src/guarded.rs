//! Parent side of a run without namespaces (tier B): its user, what its guard is told, and what its result says.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Command;
use crate::allow_list::AllowList;
use crate::error::{Error, Result};
use crate::identity::{Identity, Slot};
use crate::linux::sys;
use crate::output::{Control, Enforced, Enforcement};
use crate::policy::Network;
use crate::spec::Guard;
use crate::surroundings::Processors;

/// A run without namespaces, prepared.
pub(crate) struct Guarded {
    pub(crate) list: AllowList,
    pub(crate) slot: Slot,
    pub(crate) guard: Guard,
}

impl Guarded {
    /// Finds the run's user and hands the copies of its workspaces to it.
    pub(crate) fn prepare(command: &Command, processors: &Processors) -> Result<Self> {
        let list = AllowList::of(command, processors)?;
        let owner = list.copies.first().map(|(_, copy)| copy.metadata()).transpose();
        let owner =
            owner.map_err(|error| Error::stage("look at the workspace's copy", error))?.map(|found| found.uid());
        let slot = Slot::reserve_as(owner)?;
        let user = slot.identity.own_user();
        if let Some(user) = user {
            for (_, copy) in &list.copies {
                give(copy, user)?;
            }
        }
        let layers = list.copies.iter().map(|(_, copy)| copy.into()).collect();
        let mut view =
            "kept by Landlock alone: names, sizes and times of files elsewhere can be asked for, and so can \
                        the host's mounts; of /proc the program sees its own folder, its children see none"
                .to_owned();
        if user.is_none() {
            view.push_str(
                "; files are changed by descriptor only (no chmod, chown, utime or setxattr by path), and what this user \
                 owns and the program may read can be changed in mode, time and attributes",
            );
        }
        for weaker in &list.weaker {
            view.push_str("; ");
            view.push_str(weaker);
        }
        let guard = Guard { user, readable: list.readable.clone(), layers, view, pid: 0 };
        Ok(Self { list, slot, guard })
    }
}

/// Adds to a program that was refused what is closed to the user it runs as: the kernel names no folder.
pub(crate) fn explained(error: Error, own_user: Option<u32>) -> Error {
    let (path, source, user) = match (error, own_user) {
        (Error::NotExecutable { path, source }, Some(user)) if source.raw_os_error() == Some(libc::EACCES) => {
            (path, source, user)
        }
        (error, _) => return error,
    };
    let Some(closed) = closed_to(&path, user) else { return Error::NotExecutable { path, source } };
    let why = format!(
        "{source}: {} is closed to user {user}, as whom it runs without namespaces; name one that everybody may reach \
         (--runtime, python)",
        closed.display()
    );
    Error::NotExecutable { path, source: std::io::Error::new(source.kind(), why) }
}

/// The first folder on the way to a program, or the program itself, that another user than its owner may not pass. What
/// groups and access control lists open is not looked at: it only words an error.
fn closed_to(program: &Path, user: u32) -> Option<PathBuf> {
    let real = std::fs::canonicalize(program).ok();
    let ways = [Some(program), real.as_deref()].into_iter().flatten();
    ways.flat_map(|way| way.ancestors().collect::<Vec<_>>().into_iter().rev())
        .find(|path| path.metadata().is_ok_and(|found| found.uid() != user && found.mode() & 0o001 == 0))
        .map(Path::to_owned)
}

/// Hands a folder with all in it to the run's user, where it is not his.
fn give(folder: &Path, user: u32) -> Result<()> {
    if folder.metadata().is_ok_and(|found| found.uid() == user) {
        return Ok(());
    }
    sys::give_tree(folder, user)
        .map_err(|error| Error::stage(format!("hand {} to user {user}", folder.display()), error))
}

/// What stands for the namespaces, and where nothing does.
pub(crate) fn enforced(enforced: &mut Enforced, why: &str, identity: &Identity, network: Network) {
    let own_user = identity.own_user();
    let user = match own_user {
        Some(user) => format!("{why}; the program runs as user {user}, who owns nothing else"),
        None => format!("{why}; the program runs as the caller's user"),
    };
    for (control, reason) in [
        (Control::UserNamespace, user.as_str()),
        (Control::MountNamespace, "Landlock allows the view's files instead; see view"),
        (
            Control::PidNamespace,
            "the guard ends the tree instead; ids and names of other processes can be seen, and none of them signalled, traced or read",
        ),
        (Control::IpcNamespace, "System V IPC, POSIX message queues and memfds are refused instead"),
        (Control::UtsNamespace, "the host's name can be seen"),
        (Control::CgroupNamespace, "the names of the host's cgroups can be seen"),
    ] {
        enforced.insert(control, Enforcement::Off(reason.into()));
    }
    let network = match network {
        // Refused before it comes here: the proxy's sockets are in a namespace.
        Network::None | Network::Proxied => Enforcement::Degraded(
            "INET, UNIX and netlink sockets are refused instead, so the program cannot serve itself on the loopback either".into(),
        ),
        Network::Host => Enforcement::Off("the host's network was asked for; UNIX sockets are refused".into()),
    };
    enforced.insert(Control::NetworkNamespace, network);
    if let (None, Some(Enforcement::Degraded(_))) = (own_user, enforced.get(&Control::Processes)) {
        let reason = "RLIMIT_NPROC counts every process of the caller's user: those at the start are added";
        enforced.insert(Control::Processes, Enforcement::Degraded(reason.into()));
    }
    enforced
        .insert(Control::Disk, Enforcement::Degraded("the run's folders on disk are watched by walking them".into()));
}
