//! Builds the root that the program sees: a small tmpfs, and in it only what the spec names.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::MountAttrFlags;

use super::{Enforced, Failure, Handed, Refusal, Stage};
use crate::linux::mounts;
use crate::output::Control;
use crate::spec::{Entry, FailureKind, Layer, Spec, State, What};
use crate::surroundings;
use crate::weaken::{Barrier, stands};

/// The root's own tmpfs holds names, links and small files only.
const ROOT_SIZE: u64 = 16 << 20;
/// No more of a host file is ever copied.
const COPY_MOST: u64 = 1 << 20;
/// Where mounts are prepared before they go to their place; gone before the program starts.
const STAGING: &str = ".staging";

/// What is left of the building: the places that take writes.
pub(super) struct Root {
    /// Folders on disk that take writes: no tmpfs bounds them.
    pub(super) layers: Vec<OwnedFd>,
    /// The scratch space, a tmpfs of its own. Held by descriptor, since the view may put anything at `/tmp`. `None` where
    /// it is a layer.
    pub(super) scratch: Option<OwnedFd>,
}

impl Root {
    /// Bytes of the files in the scratch space: they are memory.
    pub(super) fn scratch_used(&self) -> u64 {
        let Some(scratch) = &self.scratch else { return 0 };
        rustix::fs::fstatvfs(scratch).map_or(0, |fs| (fs.f_blocks - fs.f_bfree) * fs.f_frsize)
    }
    /// Whether a write there has met its end, or is about to.
    pub(super) fn scratch_is_full(&self) -> bool {
        let full = |scratch| rustix::fs::fstatvfs(scratch).is_ok_and(|fs| fs.f_bfree == 0 || fs.f_ffree == 0);
        self.scratch.as_ref().is_some_and(full)
    }
}

struct Builder<'a> {
    root: OwnedFd,
    scratch: OwnedFd,
    empty: OwnedFd,
    handed: &'a Handed,
    /// Host paths that could not be shown as overlays.
    bound: Vec<String>,
    counter: usize,
    /// Folders that are there.
    folders: HashSet<PathBuf>,
    /// Mounts that came along and are attached.
    staged: HashSet<usize>,
    /// Folders on disk that take writes.
    layers: Vec<OwnedFd>,
}

/// Builds the root and pivots into it.
pub(super) fn build(spec: &Spec, handed: &Handed, enforced: &mut Enforced) -> Result<Root, Failure> {
    let mut builder = Builder::new(spec, handed)?;
    for entry in &spec.entries {
        let at = Path::new(&entry.at);
        let beneath = at.strip_prefix("/").unwrap_or(at);
        builder.put(beneath, entry).map_err(|mut failure| {
            failure.stage = format!("show {} in the sandbox ({})", at.display(), failure.stage);
            failure
        })?;
    }
    mounts::detach(builder.root.as_fd(), Path::new(STAGING)).stage("clear the staging folder")?;
    let _ = rustix::fs::unlinkat(&builder.root, STAGING, rustix::fs::AtFlags::REMOVEDIR);
    mounts::pivot(builder.root.as_fd()).stage("pivot into the new root")?;
    if stands(Barrier::ReadOnly) {
        mounts::restrict(builder.root.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)
            .stage("make the root read-only")?;
    }
    let state = if builder.bound.is_empty() {
        State::Active
    } else {
        State::Degraded(format!(
            "shown by bind mount, so path sockets below are reachable: {}",
            builder.bound.join(", ")
        ))
    };
    enforced.push((Control::View, state));
    Ok(Root { layers: builder.layers, scratch: Some(builder.scratch) })
}

/// The first entry's overlay, detached, for the tools outside.
pub(super) fn lone_overlay(spec: &Spec, handed: &Handed) -> Result<OwnedFd, Failure> {
    let mut builder = Builder::new(spec, handed)?;
    match spec.entries.first().map(|entry| &entry.what) {
        Some(What::Overlay { lowers, upper, work, hide }) => builder.workspace(lowers, upper, work, hide),
        _ => Err(Failure {
            kind: FailureKind::Stage,
            stage: "find the overlay to mount".into(),
            error: std::io::ErrorKind::InvalidInput.into(),
        }),
    }
}

impl<'a> Builder<'a> {
    fn new(spec: &Spec, handed: &'a Handed) -> Result<Self, Failure> {
        let root = mounts::tmpfs(ROOT_SIZE, 16_384, 0o755, mounts::plain())
            .refusal(Control::MountNamespace, "make the root")?;
        // Attached over the old root, which stays reachable by every path until the pivot.
        let old = mounts::open_path(Path::new("/")).stage("open the old root")?;
        mounts::attach(root.as_fd(), old.as_fd(), Path::new(""))
            .refusal(Control::MountNamespace, "attach the new root")?;
        let scratch = mounts::tmpfs(spec.limits.disk, spec.limits.inodes, 0o755, mounts::plain())
            .stage("make the scratch space")?;
        mounts::create_dirs(root.as_fd(), Path::new(STAGING), 0o700).stage("make the staging folder")?;
        mounts::attach(scratch.as_fd(), root.as_fd(), Path::new(STAGING)).stage("attach the scratch space")?;
        let empty = folder(scratch.as_fd(), Path::new("empty"), 0o755)?;
        Ok(Self {
            root,
            scratch,
            empty,
            handed,
            bound: Vec::new(),
            counter: 0,
            folders: HashSet::new(),
            staged: HashSet::new(),
            layers: Vec::new(),
        })
    }

    fn put(&mut self, at: &Path, entry: &Entry) -> Result<(), Failure> {
        match &entry.what {
            What::Symlink(target) => {
                self.parents(at)?;
                match rustix::fs::symlinkat(target, &self.root, at) {
                    // What an outer folder shows there already is shown.
                    Err(rustix::io::Errno::EXIST | rustix::io::Errno::ROFS) => Ok(()),
                    other => other.stage("link"),
                }
            }
            What::File(bytes) => {
                self.parents(at)?;
                self.write(at, bytes)
            }
            What::Folder => self.folder(at),
            What::Copy(from) => match read_small(Path::new(from)) {
                Some(bytes) => {
                    self.parents(at)?;
                    self.write(at, &bytes)
                }
                None => Ok(()),
            },
            What::Device(from) => {
                let Ok(node) = mounts::open_path(Path::new(from)) else { return Ok(()) };
                let mount = mounts::bind(node.as_fd(), false).stage("bind a device node")?;
                self.parents(at)?;
                self.write(at, b"")?;
                // Read-only concerns the node's times and modes, not what the device takes.
                let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
                    | MountAttrFlags::MOUNT_ATTR_NOEXEC
                    | MountAttrFlags::MOUNT_ATTR_RDONLY;
                mounts::restrict(mount.as_fd(), attributes, false).stage("restrict a device node")?;
                self.attach(mount.as_fd(), at)
            }
            What::Scratch { mode } => {
                let name = self.name();
                let folder = folder(self.scratch.as_fd(), &name, *mode)?;
                let mount = mounts::bind(folder.as_fd(), false).stage("bind a scratch folder")?;
                self.place(mount.as_fd(), at, true)
            }
            What::ReadOnly { from, hide } => {
                let source = self.open(from)?;
                let directory = mounts::is_dir(source.as_fd()).stage("look at the source")?;
                let mount = self.read_only(source.as_fd(), directory, hide, from)?;
                self.place(mount.as_fd(), at, directory)
            }
            What::Private { from, hide } => {
                let source = self.open(from)?;
                let mount = match from {
                    Layer::Path(_) => mounts::bind(source.as_fd(), true).stage("bind")?,
                    _ => mounts::bind(source.as_fd(), false).stage("bind a prepared mount")?,
                };
                mounts::restrict(mount.as_fd(), mounts::plain(), true).stage("restrict")?;
                self.place(mount.as_fd(), at, true)?;
                self.layers.push(source);
                hide.iter().try_for_each(|path| self.cover(&at.join(path)))
            }
            What::ReadWrite { from, hide } => {
                let source = self.open(from)?;
                let directory = mounts::is_dir(source.as_fd()).stage("look at the source")?;
                let mount = match from {
                    Layer::Path(_) => mounts::bind(source.as_fd(), directory).stage("bind")?,
                    _ => mounts::bind(source.as_fd(), false).stage("bind a prepared mount")?,
                };
                mounts::restrict(mount.as_fd(), mounts::plain(), directory).stage("restrict")?;
                self.place(mount.as_fd(), at, directory)?;
                hide.iter().try_for_each(|path| self.cover(&at.join(path)))
            }
            What::Cache { from, hide } => {
                let source = self.open(from)?;
                let mask = if hide.is_empty() { None } else { Some(self.mask(source.as_fd(), hide)?) };
                let lowers: Vec<_> = mask.iter().chain([&source]).map(AsFd::as_fd).collect();
                let (upper, work) = (self.name(), self.name());
                let upper = folder(self.scratch.as_fd(), &upper, 0o755)?;
                let work = folder(self.scratch.as_fd(), &work, 0o755)?;
                let mount =
                    mounts::overlay(&lowers, Some((upper.as_fd(), work.as_fd()))).stage("mount a cache overlay")?;
                self.place(mount.as_fd(), at, true)
            }
            What::Overlay { lowers, upper, work, hide } => {
                let mount = self.workspace(lowers, upper, work, hide)?;
                self.place(mount.as_fd(), at, true)
            }
            What::Proc { files } => {
                let mount = mounts::proc().refusal(Control::MountNamespace, "mount proc")?;
                self.place(mount.as_fd(), at, true)?;
                self.surroundings(at, files)
            }
            What::Pts => {
                let mount = mounts::devpts().stage("mount devpts")?;
                self.place(mount.as_fd(), at, true)
            }
        }
    }

    fn workspace(
        &mut self,
        lowers: &[Layer],
        upper: &Layer,
        work: &Layer,
        hide: &[OsString],
    ) -> Result<OwnedFd, Failure> {
        let mut opened = Vec::new();
        for lower in lowers {
            opened.push(self.open(lower)?);
        }
        if let (false, Some(folder)) = (hide.is_empty(), opened.last()) {
            let mask = self.mask(folder.as_fd(), hide)?;
            opened.insert(0, mask);
        }
        let (upper, work) = (self.open(upper)?, self.open(work)?);
        let lowers: Vec<BorrowedFd<'_>> = opened.iter().map(AsFd::as_fd).collect();
        let mount =
            mounts::overlay(&lowers, Some((upper.as_fd(), work.as_fd()))).stage("mount the workspace overlay")?;
        self.layers.push(upper);
        Ok(mount)
    }

    /// A host folder as a read-only overlay; a file, or a folder that refuses, as a read-only bind.
    fn read_only(
        &mut self,
        source: BorrowedFd<'_>,
        directory: bool,
        hide: &[OsString],
        from: &Layer,
    ) -> Result<OwnedFd, Failure> {
        let as_overlay = stands(Barrier::OverlayView) || !hide.is_empty();
        if directory && as_overlay {
            let mask = if hide.is_empty() { None } else { Some(self.mask(source, hide)?) };
            let top = mask.as_ref().map(AsFd::as_fd);
            let lowers = match top {
                Some(mask) => vec![mask, source],
                None => vec![source, self.empty.as_fd()],
            };
            match mounts::overlay(&lowers, None) {
                Ok(mount) => return Ok(mount),
                // A bind cannot hide what lies below it.
                Err(error) if top.is_some() => return Err(error).stage("mount a read-only overlay with hidden paths"),
                Err(_) => {}
            }
            if let Layer::Path(path) = from {
                self.bound.push(path.to_string_lossy().into_owned());
            }
        }
        let mount = match from {
            Layer::Path(_) => mounts::bind(source, directory).stage("bind")?,
            _ => mounts::bind(source, false).stage("bind a prepared mount")?,
        };
        let read_only =
            if stands(Barrier::ReadOnly) { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
        mounts::restrict(mount.as_fd(), mounts::plain() | read_only, directory)
            .refusal(Control::View, "make a bind read-only")?;
        Ok(mount)
    }

    /// A folder whose whiteouts make the paths in `hide` absent from the folder below it.
    fn mask(&mut self, below: BorrowedFd<'_>, hide: &[OsString]) -> Result<OwnedFd, Failure> {
        let name = self.name();
        let mask = folder(self.scratch.as_fd(), &name, 0o755)?;
        // A merged folder shows the attributes of its topmost layer, so the mask takes over the modes.
        let copy_mode = |path: &Path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            if let Ok(stat) = rustix::fs::statat(below, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                let _ = rustix::fs::chmodat(&mask, path, mode, rustix::fs::AtFlags::empty());
            }
        };
        copy_mode(Path::new(""));
        for path in hide.iter().filter(|_| stands(Barrier::HiddenPaths)).map(Path::new) {
            if rustix::fs::statat(below, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_err() {
                continue;
            }
            if let Some(parent) = path.parent() {
                mounts::create_dirs(mask.as_fd(), parent, 0o755).stage("make a masked folder")?;
                parent.ancestors().for_each(copy_mode);
            }
            // A character device 0:0 is overlayfs' whiteout (kernel: Documentation/filesystems/overlayfs.rst).
            match rustix::fs::mknodat(&mask, path, FileType::CharacterDevice, Mode::empty(), 0) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error).stage(format!("hide {}", path.display())),
            }
        }
        Ok(mask)
    }

    fn open(&mut self, layer: &Layer) -> Result<OwnedFd, Failure> {
        match layer {
            Layer::Path(path) => {
                mounts::open_path(Path::new(path)).stage(format!("open {}", Path::new(path).display()))
            }
            Layer::Mount(place) => self.staged(*place),
            Layer::Within(place, name) => {
                let mount = self.staged(*place)?;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&mount, name, flags, Mode::empty()).stage("open a folder of a prepared mount")
            }
        }
    }

    /// A mount that came along, attached to this namespace: older kernels take no detached mount as a layer.
    fn staged(&mut self, place: usize) -> Result<OwnedFd, Failure> {
        let mount = self.handed.mounts.get(place).ok_or(std::io::ErrorKind::NotFound).stage("find a mount")?;
        if self.staged.insert(place) {
            let name = self.name();
            let at = Path::new(STAGING).join(&name);
            if mounts::is_dir(mount.as_fd()).stage("look at a mount")? {
                mounts::create_dirs(self.scratch.as_fd(), &name, 0o700).stage("make a staging folder")?;
            } else {
                self.write(&at, b"")?;
            }
            mounts::attach(mount.as_fd(), self.root.as_fd(), &at).stage("stage a mount")?;
        }
        rustix::io::dup(mount).stage("duplicate a mount")
    }

    fn name(&mut self) -> PathBuf {
        self.counter += 1;
        PathBuf::from(self.counter.to_string())
    }

    fn parents(&mut self, at: &Path) -> Result<(), Failure> {
        match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.folder(parent),
            _ => Ok(()),
        }
    }

    fn folder(&mut self, at: &Path) -> Result<(), Failure> {
        if !self.folders.insert(at.to_owned()) {
            return Ok(());
        }
        let made = mounts::create_dirs(self.root.as_fd(), at, 0o755);
        match made {
            // Below a read-only folder of the host the place must be there already.
            Err(error) if rustix::fs::statat(&self.root, at, rustix::fs::AtFlags::empty()).is_err() => {
                Err(error).stage("make its folder")
            }
            _ => Ok(()),
        }
    }

    fn write(&self, at: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.root, at, flags, Mode::from_raw_mode(0o644)) {
            Ok(file) => file,
            Err(rustix::io::Errno::ROFS | rustix::io::Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error).stage("create a file"),
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest).stage("write a file")?;
            rest = &rest[written..];
        }
        Ok(())
    }

    fn place(&mut self, mount: BorrowedFd<'_>, at: &Path, directory: bool) -> Result<(), Failure> {
        if directory {
            self.folder(at)?;
        } else {
            self.parents(at)?;
            self.write(at, b"")?;
        }
        self.attach(mount, at)
    }

    /// Covers a file or folder, if it is there, with one that reads as empty and takes no writes. For what is shown as
    /// it is; in an overlay a whiteout makes it absent.
    fn cover(&self, at: &Path) -> Result<(), Failure> {
        use rustix::fs::ResolveFlags;
        // A link on the way is the workspace's doing and must not lead the cover elsewhere.
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(target) = rustix::fs::openat2(&self.root, at, flags, Mode::empty(), resolve) else { return Ok(()) };
        let stage = || format!("hide {}", at.display());
        let mount = if mounts::is_dir(target.as_fd()).stage(stage())? {
            let mount = mounts::bind(self.empty.as_fd(), false).stage(stage())?;
            mounts::restrict(mount.as_fd(), mounts::plain() | MountAttrFlags::MOUNT_ATTR_RDONLY, false)
                .stage(stage())?;
            mount
        } else {
            let null = mounts::open_path(Path::new("/dev/null")).stage(stage())?;
            let mount = mounts::bind(null.as_fd(), false).stage(stage())?;
            mounts::restrict(mount.as_fd(), device(), false).stage(stage())?;
            mount
        };
        mounts::attach(mount.as_fd(), target.as_fd(), Path::new("")).stage(stage())
    }

    /// Puts our files in the place of what proc tells of the host, and empty ones over the rest of it.
    fn surroundings(&mut self, proc: &Path, files: &[(OsString, Vec<u8>)]) -> Result<(), Failure> {
        let name = self.name();
        let sources = folder(self.scratch.as_fd(), &name, 0o755)?;
        folder(sources.as_fd(), Path::new("folder"), 0o555)?;
        small_file(sources.as_fd(), "file", b"")?;
        for (place, (_, text)) in files.iter().enumerate() {
            small_file(sources.as_fd(), &place.to_string(), text)?;
        }
        // Mounted read-only once: what is bound from a mount inherits its attributes.
        let mount = mounts::bind(sources.as_fd(), false).stage("prepare proc's files")?;
        mounts::restrict(mount.as_fd(), mounts::hardened() | MountAttrFlags::MOUNT_ATTR_RDONLY, false)
            .stage("make proc's files read-only")?;
        mounts::attach(mount.as_fd(), self.scratch.as_fd(), &name).stage("attach proc's files")?;
        rustix::process::fchdir(&self.root).stage("enter the new root")?;
        let sources = Path::new(STAGING).join(name);
        for (place, (name, _)) in files.iter().enumerate() {
            let name = Path::new(name);
            mounts::bind_at(&sources.join(place.to_string()), &proc.join(name))
                .stage(format!("replace {}", name.display()))?;
        }
        let (file, folder) = (sources.join("file"), sources.join("folder"));
        let files = surroundings::COVERED_FILES.iter().map(|name| (name, &file));
        let folders = surroundings::COVERED_FOLDERS.iter().map(|name| (name, &folder));
        for (name, source) in files.chain(folders).filter(|_| stands(Barrier::CoveredProc)) {
            match mounts::bind_at(source, &proc.join(name)) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                other => other.stage(format!("cover {name}"))?,
            }
        }
        Ok(())
    }

    fn attach(&self, mount: BorrowedFd<'_>, at: &Path) -> Result<(), Failure> {
        mounts::attach(mount, self.root.as_fd(), at).stage("attach")
    }
}

/// What a device node is mounted with. Read-only concerns the node's times and modes, not what the device takes.
fn device() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_RDONLY
}

fn folder(root: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<OwnedFd, Failure> {
    rustix::fs::mkdirat(root, name, Mode::from_raw_mode(0o700)).stage("make a scratch folder")?;
    // Past the process's umask.
    rustix::fs::chmodat(root, name, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())
        .stage("set a scratch folder's mode")?;
    rustix::fs::openat(root, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .stage("open a scratch folder")
}

/// A file that its owner may only read.
fn small_file(folder: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o444)).stage("make a file")?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest).stage("write a file")?;
        rest = &rest[written..];
    }
    Ok(())
}

/// A regular file of at most [`COPY_MOST`] bytes that this user can read.
fn read_small(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(path).ok()?;
    (metadata.is_file() && metadata.len() <= COPY_MOST).then(|| std::fs::read(path).ok()).flatten()
}
