//! A private layer over one root, and the three ways to have one.
//!
//! Main type: [`Layer`]. An overlay is the rule; where the host or the file system refuses it a copy stands in,
//! with the same meaning and a higher price; a call that only reads gets the folder itself, read-only.

use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use agentic_sandbox::{Sandbox, Source};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::commit::Base;
use super::copy::{CopyLimits, copy_tree};
use super::error::WorkspaceError;
use super::path::Dir;
use super::reading::{Kind, Reading};
use super::stamp::Stamp;
use super::view::View;

/// How a layer is kept apart from its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// The folder itself, read-only.
    Direct,
    /// An overlay: the folder below, writes in a private upper.
    Overlay,
    /// A private copy.
    Copy,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Overlay => "overlay",
            Self::Copy => "copy",
        })
    }
}

/// A folder that steps act on.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) dir: Dir,
}

/// One root's private layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) root: Root,
    pub(super) backend: Backend,
    pub(super) base: Base,
    folder: PathBuf,
    /// Uppers of finished layers below this one, topmost first.
    lowers: Vec<PathBuf>,
    merged: OnceLock<Dir>,
    /// Locked for as long as the layer is somebody's.
    _mine: OwnedFd,
}

impl Layer {
    /// Opens one in the new folder `folder`, over `lowers` (topmost first) and the root.
    pub(super) fn open(
        root: Root,
        folder: PathBuf,
        backend: Backend,
        lowers: Vec<PathBuf>,
        state: &Path,
        limits: CopyLimits,
        why: &str,
    ) -> Result<Self, WorkspaceError> {
        super::tree::make_private(&folder).map_err(WorkspaceError::io("make the layer", &folder))?;
        let mine = claim(&folder)?;
        let stamp = || Stamp::now(&root.dir, state).map_err(WorkspaceError::io("read the clock of", &root.path));
        let base = match backend {
            Backend::Direct => Base::ReadOnly,
            Backend::Overlay => {
                like(&root.path, &folder.join("upper"))?;
                let work = folder.join("work");
                super::tree::make_private(&work).map_err(WorkspaceError::io("make the layer", &work))?;
                Base::Stamp(stamp()?)
            }
            Backend::Copy => {
                let copy = folder.join("copy");
                like(&root.path, &copy)?;
                let since = stamp()?;
                let view = View { layers: dirs(&lowers)?, folder: root.dir.clone() };
                Base::Manifest(copy_tree(&view, &Dir::open_root(&copy)?, since, limits, why)?)
            }
        };
        Ok(Self { root, backend, base, folder, lowers, merged: OnceLock::new(), _mine: mine })
    }
    /// One that is filled by us and never mounted, in the new folder `folder`: what differs from now on was changed by
    /// somebody else.
    pub(super) fn staged(root: Root, folder: PathBuf, state: &Path) -> Result<Self, WorkspaceError> {
        for place in [&folder, &folder.join("upper")] {
            super::tree::make_private(place).map_err(WorkspaceError::io("make the layer", place))?;
        }
        let mine = claim(&folder)?;
        let stamp = Stamp::now(&root.dir, state).map_err(WorkspaceError::io("read the clock of", &root.path))?;
        let (backend, base) = (Backend::Overlay, Base::Stamp(stamp));
        Ok(Self { root, backend, base, folder, lowers: Vec::new(), merged: OnceLock::new(), _mine: mine })
    }
    /// Where its bytes come from and where its writes go.
    pub(super) fn source(&self) -> Source {
        match self.backend {
            Backend::Direct => Source::ReadOnly,
            Backend::Copy => Source::Copy { dir: self.written() },
            Backend::Overlay => {
                let mut lowers = self.lowers.clone();
                lowers.push(self.root.path.clone());
                Source::Overlay { lowers, upper: self.written(), work: self.folder.join("work") }
            }
        }
    }
    /// The folder that holds what was written.
    pub(super) fn written(&self) -> PathBuf {
        match self.backend {
            Backend::Direct => self.root.path.clone(),
            Backend::Overlay => self.folder.join("upper"),
            Backend::Copy => self.folder.join("copy"),
        }
    }
    /// The merged folder, for the host's own tools. Mounted at the first use, for as long as the layer is open.
    pub(super) fn merged(&self, sandbox: &Sandbox) -> Result<&Dir, WorkspaceError> {
        if let Some(dir) = self.merged.get() {
            return Ok(dir);
        }
        let dir = self.mount(sandbox)?;
        Ok(self.merged.get_or_init(|| dir))
    }
    /// The merged folder by a mount of its own, which ends with it.
    pub(super) fn mount(&self, sandbox: &Sandbox) -> Result<Dir, WorkspaceError> {
        Ok(match self.backend {
            Backend::Direct => self.root.dir.clone().read_only(),
            Backend::Copy => Dir::open_root(&self.written())?.called(&self.root.path),
            Backend::Overlay => {
                let failed = |source| WorkspaceError::Mount { path: self.root.path.clone(), source };
                Dir::from_fd(sandbox.mount(&self.source()).map_err(failed)?, &self.root.path)
            }
        })
    }
    /// Gives the host's mount back. Nothing must be mounted when the layer is read.
    pub(super) fn unmount(&mut self) {
        self.merged = OnceLock::new();
    }
    /// What it did, against what is below now.
    pub(super) fn read(&self, view: &View) -> Result<Reading, WorkspaceError> {
        let kind = match &self.base {
            Base::ReadOnly => return Ok(Reading::default()),
            Base::Stamp(_) => Kind::Upper,
            Base::Manifest(manifest) => Kind::Copy(manifest),
        };
        Reading::read(&self.dir()?, view, kind)
    }
    /// The written folder by descriptor.
    pub(super) fn dir(&self) -> Result<Dir, WorkspaceError> {
        Dir::open_root(&self.written())
    }
    /// Takes a path (absolute, beneath the root) out of a copy, as if it had not been copied.
    pub(super) fn leave_out(&self, path: &Path) -> Result<(), WorkspaceError> {
        let (Base::Manifest(manifest), Ok(rest)) = (&self.base, path.strip_prefix(&self.root.path)) else {
            return Ok(());
        };
        manifest.leave_out(rest);
        super::tree::remove_beneath(&self.dir()?, rest).map_err(WorkspaceError::io("hide", path))
    }
    /// When it was opened, where that is what counts.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        match &self.base {
            Base::Stamp(stamp) => Some(*stamp),
            Base::Manifest(_) | Base::ReadOnly => None,
        }
    }
}

/// Locks a layer's folder, so that nobody takes it for one that a process left (`sweep.rs`).
fn claim(folder: &Path) -> Result<OwnedFd, WorkspaceError> {
    let claimed = super::sweep::open(folder).and_then(|fd| {
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        Ok(fd)
    });
    claimed.map_err(WorkspaceError::io("lock the layer", folder))
}

/// Folders by descriptor.
pub(super) fn dirs(paths: &[PathBuf]) -> Result<Vec<Dir>, WorkspaceError> {
    paths.iter().map(|path| Dir::open_root(path)).collect()
}

/// Makes a folder with the permission bits of another: a merged root shows those of its upper.
fn like(root: &Path, folder: &Path) -> Result<(), WorkspaceError> {
    let outcome = (|| {
        let root = std::fs::metadata(root)?;
        std::fs::DirBuilder::new().mode(0o700).create(folder)?;
        if agentic_sandbox::reserves_users() {
            std::os::unix::fs::chown(folder, Some(root.uid()), Some(root.gid()))?;
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(root.mode() & 0o1777 | 0o700))
    })();
    outcome.map_err(WorkspaceError::io("make the layer", folder))
}

/// Whether a root lies on overlayfs itself, as everything does in many containers.
pub(super) fn is_on_overlayfs(root: &Root) -> bool {
    /// `OVERLAYFS_SUPER_MAGIC` (statfs(2)).
    const OVERLAYFS: i128 = 0x794c_7630;
    #[allow(clippy::useless_conversion, reason = "the field is of another width on other architectures")]
    rustix::fs::fstatfs(root.dir.fd()).is_ok_and(|found| i128::from(found.f_type) == OVERLAYFS)
}

/// Why an overlay over `root` cannot be had with its upper in `folder`, tried for real; `None` when it can.
pub(super) fn probe(root: &Root, folder: &Path, sandbox: &Sandbox) -> Option<String> {
    let attempt = || -> Result<(), String> {
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        for folder in [&upper, &work] {
            super::tree::make_private(folder).map_err(|error| error.to_string())?;
        }
        let source = Source::Overlay { lowers: vec![root.path.clone()], upper, work };
        sandbox.mount(&source).map(drop).map_err(|error| error.to_string())
    };
    let outcome = attempt().err();
    // A probe folder that stays behind is swept with the layers.
    let _ = super::tree::remove(folder);
    outcome
}
