//! Landlock: what a run may do beneath which folders, checked by path however the mounts lie, and scopes for
//! abstract UNIX sockets and signals. A second wall behind the view; [`restrict`] is the door.
//!
//! Below ABI 2 (Linux 5.13 to 5.18) a domain refuses every rename and link between folders, which breaks git and pip,
//! so there the file-system rules are left out and [`LandlockStatus::fs`] says so.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope,
};

/// Why a domain could not be entered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LandlockError {
    /// A folder of the policy could not be opened.
    #[error("landlock rule: {0}")]
    Path(#[from] PathFdError),
    /// The kernel refused a rule or the domain.
    #[error("landlock: {0}")]
    Ruleset(#[from] RulesetError),
    /// The domain was entered and is weaker than this kernel's ABI allows.
    #[error("landlock enforced less than was asked for on ABI {0}")]
    Partial(u32),
}

/// What of Landlock holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LandlockStatus {
    /// The kernel's ABI version; 0 where Landlock is not built in or not enabled at boot.
    pub(crate) abi: u32,
    /// Whether the file-system rules are in force (ABI 2 and later).
    pub(crate) fs: bool,
    /// Whether abstract UNIX sockets and signals are kept within the run (ABI 6 and later).
    pub(crate) scoped: bool,
}

/// The kernel's Landlock ABI version; 0 where there is none.
pub(crate) fn abi() -> u32 {
    const VERSION: u32 = 1;
    // SAFETY: with the VERSION flag and size 0 the kernel requires a null pointer and only returns a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// What a domain of this ABI version will hold.
pub(crate) fn status_for(abi: u32) -> LandlockStatus {
    LandlockStatus { abi, fs: abi >= 2, scoped: abi >= 6 }
}

/// Gives up gaining privileges by exec, for good: what Landlock and seccomp need, and set-id files lose their point.
///
/// # Errors
/// What the kernel says; none is documented.
pub(crate) fn no_new_privs() -> io::Result<()> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes four integers and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Confines the calling thread for good: reading and executing beneath the first set, everything beneath the second
/// (links and renames between its folders, truncation and device requests included), nothing elsewhere.
/// A path may be a file. A rule belongs to the inode, so give the *parent* of a place that is mounted over later.
/// Needs [`no_new_privs`] first. A kernel without Landlock is reported, not an error.
///
/// # Errors
/// A path that cannot be opened, or what the kernel refused. Nothing is in force then.
pub(crate) fn restrict(read_exec: &[PathBuf], read_write: &[PathBuf]) -> Result<LandlockStatus, LandlockError> {
    let status = status_for(abi());
    if !status.fs && !status.scoped {
        return Ok(status);
    }
    let abi = ABI::from(i32::try_from(status.abi).unwrap_or(i32::MAX));
    let mut ruleset = Ruleset::default();
    if status.fs {
        ruleset = ruleset.handle_access(AccessFs::from_all(abi))?;
    }
    if status.scoped {
        ruleset = ruleset.scope(Scope::from_all(abi))?;
    }
    let mut ruleset = ruleset.create()?.no_new_privs(false);
    if status.fs {
        let read = read_exec.iter().map(|path| (path, AccessFs::from_read(abi)));
        let write = read_write.iter().map(|path| (path, AccessFs::from_all(abi)));
        for (path, access) in read.chain(write) {
            let folder = is_folder(path);
            let fd = PathFd::new(path)?;
            // The kernel refuses rights on a file that only mean something in a folder.
            let access = if folder { access } else { access & AccessFs::from_file(abi) };
            ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Ok(status),
        _ => Err(LandlockError::Partial(status.abi)),
    }
}

fn is_folder(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::process::Command;

    use super::*;
    use crate::linux::child::{become_program, errno_of, in_child};

    fn errno<T>(result: io::Result<T>) -> i32 {
        result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0)
    }

    #[test]
    fn old_abis_are_reported_as_what_they_hold() {
        let held = |abi| (status_for(abi).fs, status_for(abi).scoped);
        assert_eq!(
            [held(0), held(1), held(2), held(5), held(6), held(99)].map(|(fs, scoped)| fs as u8 + scoped as u8),
            [0, 0, 1, 1, 2, 2]
        );
    }

    #[test]
    fn reading_writing_and_the_rest_are_told_apart() {
        if abi() < 3 {
            println!("SKIP: Landlock ABI {}", abi());
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["read", "write", "write/a", "write/b", "secret"] {
            fs::create_dir(at(name)).unwrap();
        }
        for name in ["read/file", "write/a/file", "secret/file", "single"] {
            fs::write(at(name), "text").unwrap();
        }
        let steps = || {
            [
                errno(fs::read(at("read/file"))),
                errno(fs::read(at("single"))),
                errno(fs::write(at("write/new"), "x")),
                errno(fs::rename(at("write/a/file"), at("write/b/file"))),
                errno(fs::read(at("secret/file"))),
                errno(fs::write(at("read/file"), "x")),
                errno(fs::read_dir(at("secret"))),
                errno(fs::hard_link(at("read/file"), at("write/link"))),
            ]
        };
        let control = in_child(|| {
            let clean = steps() == [0; 8];
            fs::rename(at("write/b/file"), at("write/a/file")).unwrap();
            fs::remove_file(at("write/link")).unwrap();
            i32::from(!clean)
        });
        assert_eq!(control.code, Some(0), "{control:?}");
        let ended = in_child(|| {
            no_new_privs().unwrap();
            let status = restrict(&[at("read"), at("single")], &[at("write")]).unwrap();
            assert!(status.fs);
            let answers = steps();
            assert_eq!(answers[..4], [0; 4]);
            assert_eq!(answers[4..7], [libc::EACCES; 3]);
            assert!(matches!(answers[7], libc::EXDEV | libc::EACCES), "{answers:?}");
            0
        });
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn only_what_lies_beneath_can_be_executed() {
        if abi() < 2 {
            println!("SKIP: Landlock ABI {}", abi());
            return;
        }
        let run = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
            in_child(|| {
                no_new_privs().unwrap();
                restrict(&paths, &[]).unwrap();
                become_program(&["/bin/true"])
            })
        };
        assert_eq!(run(&["/usr", "/lib", "/lib64", "/bin", "/etc"]).code, Some(0));
        assert_eq!(run(&["/etc"]).code, Some(libc::EACCES));
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_by_name() {
        if abi() < 2 {
            println!("SKIP: Landlock ABI {}", abi());
            return;
        }
        let ended = in_child(|| {
            no_new_privs().unwrap();
            let error = restrict(&["/proc/none/agentic".into()], &[]).unwrap_err();
            assert!(error.to_string().contains("/proc/none/agentic"), "{error}");
            // And nothing is in force.
            assert!(fs::read_dir("/").is_ok());
            0
        });
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn abstract_sockets_and_signals_stay_inside() {
        if abi() < 6 {
            println!("SKIP: Landlock ABI {}", abi());
            return;
        }
        let name = format!("agentic-landlock-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = u64::from(sleeper.id());
        let steps = || (errno(UnixStream::connect_addr(&address)), errno_of(libc::SYS_kill, [pid, 0, 0, 0, 0, 0]));
        let control = in_child(|| i32::from(steps() != (0, 0)));
        let ended = in_child(|| {
            no_new_privs().unwrap();
            assert!(restrict(&["/".into()], &[]).unwrap().scoped);
            assert_eq!(steps(), (libc::EPERM, libc::EPERM));
            assert_eq!(errno_of(libc::SYS_kill, [u64::from(std::process::id()), 0, 0, 0, 0, 0]), 0);
            0
        });
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!(control.code, Some(0), "{control:?}");
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn without_no_new_privs_an_ordinary_user_is_refused() {
        if abi() < 2 || rustix::process::geteuid().is_root() {
            println!("SKIP: Landlock ABI {}, uid {}", abi(), rustix::process::geteuid().as_raw());
            return;
        }
        let ended = in_child(|| i32::from(restrict(&["/".into()], &[]).is_ok()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}
