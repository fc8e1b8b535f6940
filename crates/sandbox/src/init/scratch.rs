//! The private folder of a run without a mount namespace: its home and its temporary files, removed at its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

/// Where such a folder may lie: a disk first, since what lies on a tmpfs is memory that nobody counts.
const PLACES: &[&str] = &["/var/tmp", "/tmp"];
/// How its name begins.
const PREFIX: &str = "agentic-run-";
/// A folder nobody holds is taken for abandoned after this long: a younger one may not be held yet.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// Folders held open at once while removing; deeper ones are moved up first.
const DEEPEST: usize = 64;

/// The folder. Removed with this value.
#[derive(Debug)]
pub(crate) struct Scratch {
    place: OwnedFd,
    name: String,
    pub(super) path: PathBuf,
    /// A lock on the folder, which says that somebody lives who will remove it.
    _held: OwnedFd,
}

impl Scratch {
    /// A name that nobody else has. The spawner draws it, so that it can remove the folder after a guard that was killed.
    pub(crate) fn name() -> io::Result<String> {
        let mut random = [0; 16];
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        Ok(format!("{PREFIX}{:032x}", u128::from_ne_bytes(random)))
    }

    /// Removes the folder of that name, wherever it lies.
    pub(crate) fn sweep(name: &str) {
        for place in PLACES.iter().map(Path::new).filter(|place| place.join(name).exists()) {
            let _ = open_folder(rustix::fs::CWD, place).and_then(|fd| remove(&fd, name));
        }
    }

    /// Makes it, with `home` and `tmp` in it, for `user` where that is another one.
    pub(super) fn make(name: String, user: Option<u32>) -> io::Result<Self> {
        sweep_abandoned(PLACES, ABANDONED_AFTER);
        let mut refusal = io::Error::from(io::ErrorKind::NotFound);
        for place in PLACES.iter().map(Path::new) {
            let made = open_folder(rustix::fs::CWD, place).and_then(|fd| {
                rustix::fs::mkdirat(&fd, &name, Mode::from_raw_mode(0o700))?;
                let held = open_folder(&fd, Path::new(&name))?;
                rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive)?;
                Ok((fd, held))
            });
            match made {
                Ok((fd, held)) => {
                    let scratch = Self { place: fd, path: place.join(&name), name, _held: held };
                    scratch.fill(user)?;
                    return Ok(scratch);
                }
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn fill(&self, user: Option<u32>) -> io::Result<()> {
        let folder = self.open()?;
        for name in ["home", "tmp"] {
            rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o700))?;
            self.give(folder.as_fd(), name, user)?;
        }
        self.give(self.place.as_fd(), &self.name, user)
    }

    fn give(&self, folder: impl AsFd, name: &str, user: Option<u32>) -> io::Result<()> {
        let Some(user) = user else { return Ok(()) };
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        Ok(rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The folder by descriptor.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        open_folder(&self.place, Path::new(&self.name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Called when no process of the run is left; what cannot be removed has nobody to tell.
        let _ = remove(&self.place, &self.name);
    }
}

/// Removes what runs left whose guard and spawner were both killed: folders of that name, ours to remove, unheld.
fn sweep_abandoned(places: &[impl AsRef<Path>], after: Duration) {
    let user = rustix::process::geteuid();
    for place in places {
        let Ok(fd) = open_folder(rustix::fs::CWD, place.as_ref()) else { continue };
        for entry in Dir::read_from(&fd).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            let Some(random) = name.strip_prefix(PREFIX) else { continue };
            if random.len() != 32 || !random.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_ctime).unwrap_or(0));
            let old = changed.elapsed().is_ok_and(|age| age >= after);
            if !old || !(user.is_root() || stat.st_uid == user.as_raw()) {
                continue;
            }
            let held = open_folder(&fd, Path::new(name));
            let unheld = |held: &OwnedFd| rustix::fs::flock(held, FlockOperation::NonBlockingLockExclusive).is_ok();
            if held.as_ref().is_ok_and(unheld) {
                // Another sweep may be at it, too; what cannot be removed has nobody to tell.
                let _ = remove(&fd, name);
            }
        }
    }
}

fn open_folder(within: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(within, path, flags, Mode::empty())?)
}

/// Removes a folder with all in it, also folders without any permission and deeper than any path.
fn remove(place: &OwnedFd, name: &str) -> io::Result<()> {
    let mut whole = vec![name.to_owned()];
    let mut moved = 0;
    while let Some(name) = whole.pop() {
        let mut open = vec![(enter(place, name.as_ref())?, name.into_bytes())];
        while let Some((here, _)) = open.last() {
            let mut deeper = None;
            for entry in Dir::read_from(here)? {
                let entry = entry?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                let stat = rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if !FileType::from_raw_mode(stat.st_mode).is_dir() {
                    rustix::fs::unlinkat(here, name, AtFlags::empty())?;
                } else if open.len() >= DEEPEST {
                    moved += 1;
                    let target = format!("{}-{moved}", String::from_utf8_lossy(&open[0].1));
                    // Moving a folder needs the right to write in it (its `..` changes).
                    drop(enter(here, bytes(name.to_bytes()))?);
                    rustix::fs::renameat(here, name, place, &target)?;
                    whole.push(target);
                } else {
                    deeper = Some(name.to_bytes().to_vec());
                    break;
                }
            }
            match deeper {
                Some(name) => {
                    let next = enter(here, bytes(&name))?;
                    open.push((next, name));
                }
                None => {
                    let Some((_, name)) = open.pop() else { return Err(Errno::INVAL.into()) };
                    let above = open.last().map_or(place, |(above, _)| above);
                    rustix::fs::unlinkat(above, bytes(&name), AtFlags::REMOVEDIR)?;
                }
            }
        }
    }
    Ok(())
}

fn bytes(name: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(name))
}

/// Opens a folder, giving ourselves the right to.
fn enter(within: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    open_folder(within, name).or_else(|_| {
        // No link can be here: it was a folder a moment ago, and nobody else is left.
        rustix::fs::chmodat(within, name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
        open_folder(within, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_swept_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let name = |n: u8| format!("{PREFIX}{n:032x}");
        let make = |name: &str| std::fs::create_dir_all(place.path().join(name).join("tmp/deep")).unwrap();
        for name in [&name(1), &name(2), "agentic-run-short", "agentic-other"] {
            make(name);
        }
        let held = open_folder(rustix::fs::CWD, &place.path().join(name(2))).unwrap();
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let left = || {
            let entries = std::fs::read_dir(place.path()).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        sweep_abandoned(&[place.path()], ABANDONED_AFTER);
        assert_eq!(left().len(), 4, "all are young");
        sweep_abandoned(&[place.path()], Duration::ZERO);
        assert_eq!(left(), ["agentic-other".into(), name(2), "agentic-run-short".into()]);
        drop(held);
        sweep_abandoned(&[place.path()], Duration::ZERO);
        assert_eq!(left(), ["agentic-other", "agentic-run-short"]);
    }

    #[test]
    fn it_is_private_and_goes_with_all_that_was_made_in_it() {
        let scratch = Scratch::make(Scratch::name().unwrap(), None).unwrap();
        let path = scratch.path.clone();
        let mode =
            |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o7777;
        assert_eq!((mode(&path), mode(&path.join("home")), mode(&path.join("tmp"))), (0o700, 0o700, 0o700));
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), path.join("tmp/link")).unwrap();
        let mut at = scratch.open().unwrap();
        for _ in 0..300 {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o700)).unwrap();
            at = open_folder(&at, Path::new("d")).unwrap();
        }
        rustix::fs::mkdirat(&at, "closed", Mode::from_raw_mode(0o700)).unwrap();
        rustix::fs::chmodat(&at, "closed", Mode::empty(), AtFlags::empty()).unwrap();
        drop(scratch);
        assert!(!path.exists());
        assert!(outside.path().join("kept").exists(), "links are not followed");
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&name)).count(), 0);
    }
}
