//! How much lies in the layers on disk, found by walking them: no quota bounds a folder of an ordinary user.
//!
//! The program that fills the layers knows this source. So the walk goes in small steps, during which nothing
//! else is kept waiting; by descriptors, since a path ends at 4,096 bytes and a nest of folders does not; and a tree
//! that is too deep to be walked counts as too large.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags};

/// Time between walks, at the least.
const TICK: Duration = Duration::from_millis(200);
/// How long one step may take.
const STEP: Duration = Duration::from_millis(4);
/// Entries between two looks at the clock.
const ENTRIES: usize = 64;
/// Folders within one another, each an open descriptor here. Beyond it the tree counts as endless.
const DEEPEST: usize = 256;

/// A walk of all layers, again and again.
pub(super) struct Walk<'a> {
    layers: &'a [OwnedFd],
    /// Layers that this walk has begun.
    begun: usize,
    /// The folders being read, outermost first.
    open: Vec<Dir>,
    used: u64,
    spent: Duration,
    due: Instant,
}

impl<'a> Walk<'a> {
    pub(super) fn new(layers: &'a [OwnedFd]) -> Self {
        Self { layers, begun: 0, open: Vec::new(), used: 0, spent: Duration::ZERO, due: Instant::now() }
    }

    /// Whether a step would do anything now.
    pub(super) fn due(&self) -> bool {
        !self.layers.is_empty() && Instant::now() >= self.due
    }

    /// Whether a walk has begun and not ended.
    pub(super) fn underway(&self) -> bool {
        self.begun > 0
    }

    /// Goes on for a few milliseconds. Bytes found so far, at the end of a walk and before: the sum only grows
    /// within one.
    pub(super) fn step(&mut self) -> u64 {
        let began = Instant::now();
        while began.elapsed() < STEP {
            if !(0..ENTRIES).all(|_| self.entry()) {
                let used = self.used;
                self.spent += began.elapsed();
                // At most about a tenth of the time is spent walking.
                let pause = TICK.max(self.spent * 9);
                (self.begun, self.used, self.spent, self.due) = (0, 0, Duration::ZERO, Instant::now() + pause);
                return used;
            }
        }
        self.spent += began.elapsed();
        self.used
    }

    /// Bytes found by a whole walk, when nothing is written any more.
    pub(super) fn whole(&mut self) -> u64 {
        self.open.clear();
        (self.begun, self.used) = (0, 0);
        loop {
            let used = self.step();
            if !self.underway() {
                return used;
            }
        }
    }

    /// Takes one entry. False at the end of the walk.
    fn entry(&mut self) -> bool {
        let deep = self.open.len() >= DEEPEST;
        let Some(folder) = self.open.last_mut() else {
            let Some(layer) = self.layers.get(self.begun) else { return false };
            self.begun += 1;
            if let Some(folder) = open(layer, c".") {
                self.open.push(folder);
            }
            return true;
        };
        let Some(Ok(entry)) = folder.read() else {
            self.open.pop();
            return true;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            return true;
        }
        // What vanishes meanwhile holds nothing. Links are not followed.
        let asked = StatxFlags::TYPE | StatxFlags::NLINK | StatxFlags::BLOCKS;
        let stat = folder.fd().and_then(|fd| rustix::fs::statx(fd, name, AtFlags::SYMLINK_NOFOLLOW, asked));
        let Ok(stat) = stat else { return true };
        let bytes = stat.stx_blocks * 512;
        if !FileType::from_raw_mode(stat.stx_mode.into()).is_dir() {
            // Every name of a file lies in the layer, so each stands for its share.
            self.used = self.used.saturating_add(bytes / u64::from(stat.stx_nlink).max(1));
            return true;
        }
        self.used = self.used.saturating_add(bytes);
        if deep {
            self.used = u64::MAX;
            return true;
        }
        let inner = folder.fd().ok().and_then(|fd| open(fd, name));
        self.open.extend(inner);
        true
    }
}

fn open(within: impl AsFd, name: &std::ffi::CStr) -> Option<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Dir::new(rustix::fs::openat(within, name, flags, Mode::empty()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(folder: &std::path::Path) -> u64 {
        let layers = [crate::linux::mounts::open_path(folder).unwrap()];
        Walk::new(&layers).whole()
    }

    #[test]
    fn every_byte_counts_once_however_many_names_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = vec![b'x'; 1 << 20];
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/one"), &bytes).unwrap();
        std::fs::hard_link(folder.path().join("a/b/one"), folder.path().join("two")).unwrap();
        std::os::unix::fs::symlink("two", folder.path().join("link")).unwrap();
        let used = walked(folder.path());
        assert!((1 << 20..1 << 20 | 1 << 17).contains(&used), "{used}");
    }

    #[test]
    fn a_tree_too_deep_to_walk_is_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let mut at = rustix::fs::open(folder.path(), OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..DEEPEST + 2 {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o700)).unwrap();
            at = rustix::fs::openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        assert_eq!(walked(folder.path()), u64::MAX);
    }
}
