//! When a layer was opened, by the clock of the file system under it, and whether a file changed since.
//!
//! Main type: [`Stamp`]. A file's ctime cannot be set by programs, so "not older than the stamp" means changed.
//! Kernel time stands still between ticks (1-10 ms; since Linux 6.13 a stamp that somebody looked at is followed
//! by a finer one). The stamp is therefore touched until it moves: whatever was changed before the opening is
//! strictly older, and a change in the same tick as the opening counts as later, so it is never lost.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, Stat};

use super::path::Dir;
use super::resolve::open_beneath;

/// A moment in the time of one file system: seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stamp(i64, u64);

/// The longest that opening waits for the clock to move: more than a tick of the slowest common kernel.
const LONGEST_TICK: Duration = Duration::from_millis(25);

impl Stamp {
    /// Now, on the file system of `root`; `state` is a folder of ours that stands in where `root` takes no
    /// nameless file and both lie on local file systems (they share the kernel's clock).
    pub(super) fn now(root: &Dir, state: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::TMPFILE;
        let file = match open_beneath(root.fd(), Path::new(""), flags, Mode::from(0o600)) {
            Ok(file) => file,
            Err(_) => rustix::fs::open(state, flags | OFlags::CLOEXEC, Mode::from(0o600)).or_else(|_| {
                let name = state.join(format!("stamp-{}", uuid::Uuid::now_v7().simple()));
                let create = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = rustix::fs::open(&name, create, Mode::from(0o600))?;
                rustix::fs::unlink(&name)?;
                Ok::<_, rustix::io::Errno>(file)
            })?,
        };
        let first = Self::changed(&rustix::fs::fstat(&file)?);
        let started = Instant::now();
        loop {
            rustix::fs::fchmod(&file, Mode::from(0o600))?;
            let now = Self::changed(&rustix::fs::fstat(&file)?);
            if now > first || started.elapsed() > LONGEST_TICK {
                return Ok(now);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    /// Whether the clock of a folder's file system stands before this moment by now: then what others changed since cannot be
    /// told by times. `false` where the file system makes no nameless file to ask it with.
    pub(super) fn is_ahead(self, folder: &Dir) -> io::Result<bool> {
        let flags = OFlags::RDWR | OFlags::TMPFILE;
        match open_beneath(folder.fd(), Path::new(""), flags, Mode::from(0o600)) {
            Ok(file) => Ok(Self::changed(&rustix::fs::fstat(&file)?) < self),
            Err(_) => Ok(false),
        }
    }
    /// When anything about a file changed last.
    pub(super) fn changed(stat: &Stat) -> Self {
        Self(stat.st_ctime, stat.st_ctime_nsec)
    }
    /// When the bytes of a file, or the names in a folder, changed last.
    pub(super) fn written(stat: &Stat) -> Self {
        Self(stat.st_mtime, stat.st_mtime_nsec)
    }
}

/// What tells one state of one file from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    dev: u64,
    ino: u64,
    kind_and_mode: u32,
    size: i64,
    written: Stamp,
    changed: Stamp,
}

impl Identity {
    /// The file system that it lies on.
    pub(super) fn device(&self) -> u64 {
        self.dev
    }
    /// The file and its bytes, whatever its name: what [`Self::is_same_content`] goes by.
    pub(super) fn content(&self) -> (u64, u64, i64, Stamp) {
        (self.dev, self.ino, self.size, self.written)
    }
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            kind_and_mode: stat.st_mode,
            size: stat.st_size,
            written: Stamp::written(stat),
            changed: Stamp::changed(stat),
        }
    }
    /// Whether it is the same file with the same bytes; its name or number of names may have changed (a rename
    /// and a link change the ctime).
    pub(super) fn is_same_content(&self, stat: &Stat) -> bool {
        self.content() == Self::of(stat).content()
    }
    /// Whether it is the same folder with the same permission bits, whatever is in it.
    pub(super) fn is_same_folder(&self, stat: &Stat) -> bool {
        (self.dev, self.ino, self.kind_and_mode) == (stat.st_dev, stat.st_ino, stat.st_mode)
    }
    pub(super) fn is_same_inode(&self, stat: &Stat) -> bool {
        (self.dev, self.ino) == (stat.st_dev, stat.st_ino)
    }
}

#[cfg(test)]
mod tests {
    use super::super::commit::{Base, Check, Own};
    use super::super::reading::{Kind, Reading};
    use super::super::view::View;
    use super::*;

    /// A stamp from before the clock was set back lies in the future.
    #[test]
    fn what_was_written_before_the_clock_was_set_back_is_not_compared_by_times() {
        let place = tempfile::tempdir().unwrap();
        let (folder, upper) = (place.path().join("folder"), place.path().join("upper"));
        for (path, text) in [(&folder, "old"), (&upper, "newer")] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("file"), text).unwrap();
        }
        let (folder, upper) = (Dir::open_root(&folder).unwrap(), Dir::open_root(&upper).unwrap());
        let view = View { layers: Vec::new(), folder: folder.clone() };
        let reading = Reading::read(&upper, &view, Kind::Upper).unwrap();
        let own = Own::default();
        let conflicts = |stamp: Stamp, reading: &Reading| {
            let base = Base::Stamp(stamp);
            let check = Check { root: folder.path(), view: &view, base: &base, own: &own, hidden: &[] };
            let found = check.conflicts(reading).unwrap();
            found.into_iter().map(|one| one.reason).collect::<Vec<_>>()
        };
        let now = Stamp::now(&folder, place.path()).unwrap();
        assert_eq!(conflicts(now, &reading), Vec::<String>::new(), "the control: the clock went on");
        let future = Stamp(now.0 + 3600, 0);
        let told = conflicts(future, &reading);
        assert!(told.len() == 1 && told[0].contains("clock was set back"), "{told:?}");
        assert_eq!(conflicts(future, &Reading::default()), Vec::<String>::new(), "who changed nothing meets nobody");
    }
}
