//! An overlay for the host-side tools: mounted in a nest of its own, or by root itself, and had by descriptor.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use super::{GO, Sandbox, failure};
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::policy::Source;
use crate::spec::{Enclosure, Entry, Layer, Purpose, Spec, Status, What};
use crate::{Limits, channel};

impl Sandbox {
    /// Mounts an overlay for the host-side tools and returns a descriptor of its root. The mount lives as
    /// long as the descriptor; it is `nosuid` and `nodev`.
    ///
    /// # Errors
    /// [`Error::Stage`] where the host refuses the overlay.
    pub fn mount(&self, source: &Source) -> Result<OwnedFd> {
        let Source::Overlay { lowers, upper, work } = source else {
            return Err(Error::Policy("only an overlay can be mounted".into()));
        };
        self.check_owner()?;
        if crate::identity::reserves_users() {
            return mount_as_root(lowers, upper, work);
        }
        let identity = Identity::caller();
        let nest = self.nest(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, Some(&identity), None)?;
        let layer = |path: &PathBuf| Layer::Path(path.into());
        let what = What::Overlay {
            lowers: lowers.iter().map(layer).collect(),
            upper: layer(upper),
            work: layer(work),
            hide: Vec::new(),
        };
        let spec = Spec {
            purpose: Purpose::Mount,
            enclosure: Enclosure::Namespaces,
            as_root: false,
            own_network: false,
            listen: Vec::new(),
            terminal: None,
            entries: vec![Entry { at: "/".into(), what }],
            limits: Limits::default(),
            count_processes: false,
            watch_memory: false,
            watch_cpu: false,
            left_after: None,
            processors: None,
            program: OsString::new(),
            argv: Vec::new(),
            env: Vec::new(),
            dir: "/".into(),
            profile: crate::Profile::Default,
            closed: crate::Closed::default(),
            writable: Vec::new(),
            allow_degraded: Vec::new(),
        };
        let packed = channel::pack(&spec).map_err(|error| Error::stage("pack the spec", error))?;
        let null = rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(|error| Error::stage("open /dev/null", error))?;
        let null = null.as_fd();
        channel::send(&nest.control, &GO, &[packed.as_fd(), null, null, null])
            .map_err(|error| Error::stage("send the spec", error))?;
        match channel::receive::<Status>(&nest.control).map_err(|error| Error::stage("hear of the mount", error))? {
            Some((Status::Mounted, descriptors)) => {
                descriptors.into_iter().next().ok_or_else(|| Error::Spawner("no mount came along".into()))
            }
            Some((Status::Failed { kind, stage, errno }, _)) => Err(failure(kind, stage, errno)),
            _ => Err(Error::Spawner("the nest init ended without a word".into())),
        }
    }
}

/// Root needs no namespace to mount, and its files keep their owners.
fn mount_as_root(lowers: &[PathBuf], upper: &PathBuf, work: &PathBuf) -> Result<OwnedFd> {
    use crate::linux::mounts;
    let open = |path: &PathBuf| {
        mounts::open_path(path).map_err(|error| Error::stage(format!("open {}", path.display()), error))
    };
    let opened = lowers.iter().map(open).collect::<Result<Vec<_>>>()?;
    let lowers: Vec<_> = opened.iter().map(AsFd::as_fd).collect();
    let (upper, work) = (open(upper)?, open(work)?);
    mounts::overlay(&lowers, Some((upper.as_fd(), work.as_fd())))
        .map_err(|error| Error::stage("mount the workspace overlay", error))
}
