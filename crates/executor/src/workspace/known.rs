//! What an earlier process found out: that a pair of file systems takes an overlay.
//!
//! Trying costs a mount; a one-shot command should not pay it each time. Only success is remembered, for as
//! long as the machine runs (device numbers start anew at boot) and for one mount and user namespace: a container that
//! shares the state folder may refuse what its host allows.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The mark of one pair of file systems.
pub(super) struct Known {
    folder: PathBuf,
    boot: String,
    name: String,
}

impl Known {
    /// The mark for an upper on the first device and a root on the second; `None` where the boot or a namespace
    /// has no name.
    pub(super) fn of(state: &Path, (upper, root): (u64, u64)) -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = |name| Some(std::fs::metadata(Path::new("/proc/self/ns").join(name)).ok()?.ino());
        let (mounts, users) = (namespace("mnt")?, namespace("user")?);
        let name = format!("{boot}-overlay-{mounts:x}-{users:x}-{upper:x}-{root:x}");
        Some(Self { folder: state.join("probes"), boot, name })
    }
    /// Whether the mark is there.
    pub(super) fn holds(&self) -> bool {
        self.folder.join(&self.name).is_file()
    }
    /// Leaves the mark and clears those of earlier boots. A mark that cannot be left costs the next process a try.
    pub(super) fn keep(&self) {
        let _ = super::tree::make_private(&self.folder);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with(&self.boot) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let _ = std::fs::write(self.folder.join(&self.name), b"");
    }
}
