//! What a run will see: from a [`Policy`] to the list of entries that the nest init puts into an empty root.
//!
//! The view is an allow-list. It starts from nothing; what is not named here is absent. Host folders enter
//! as read-only overlays rather than binds, because a path socket, a FIFO or a lock reaches the host
//! through a read-only bind and does not through an overlay.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::gateway::Inside;
use crate::limits::Limits;
use crate::policy::{self, Network, Policy, Source};
use crate::spec::{Entry, Layer, What};
use crate::surroundings::{self, Processors};

/// The user and group inside.
pub(crate) const INSIDE_ID: u32 = 1000;

/// Where home lies inside when the policy names none.
const HOME: &str = "/home/user";

/// System folders of the host, each where it exists. A symlink (usrmerge) is shown as one.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"];

/// Further ones in the host view.
const SYSTEM_HOST: &[&str] = &["/opt"];

/// Folders of `/etc` that programs need and that hold no secret. Each costs a mount, so they are few.
const ETC_FOLDERS: &[&str] = &["alternatives", "ssl/certs"];

/// Further ones in the host view, for builds and toolchains.
const ETC_FOLDERS_HOST: &[&str] = &[
    "ca-certificates",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
    "ld.so.conf.d",
    "fonts",
    "java",
    "terminfo",
    "profile.d",
];

/// How the folders of `/etc` begin and end in which Debian keeps what belongs to a Java: it does not start without.
const ETC_JAVA: (&str, &str) = ("java-", "-openjdk");

/// Small files of `/etc` that programs need and that hold no secret.
const ETC_FILES: &[&str] =
    &["ld.so.cache", "ssl/openssl.cnf", "localtime", "timezone", "mime.types", "protocols", "services", "os-release"];

/// Further ones in the host view.
const ETC_FILES_HOST: &[&str] = &[
    "ld.so.conf",
    "magic",
    "host.conf",
    "debian_version",
    "lsb-release",
    "inputrc",
    "profile",
    "bash.bashrc",
    "locale.alias",
    // Where Maven's own program lies. Not settings.xml beside it: servers' passwords are kept there.
    "maven/m2.conf",
];

/// Device nodes: the ones that neither store nor reveal.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Places that can never be a workspace or be written through: they are the system, or ours to make.
const RESERVED: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/run", "/boot"];

/// What is the host itself rather than files.
const LIVE: &[&str] = &["/proc", "/sys", "/dev"];

/// The view as data.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// In the order of mounting: parents before children.
    pub(crate) entries: Vec<Entry>,
    /// Folders that may be written beneath.
    pub(crate) writable: Vec<OsString>,
}

impl View {
    /// What `policy` shows, and of the machine what `limits` and the processors leave.
    pub(crate) fn of(policy: &Policy, limits: &Limits, processors: &Processors) -> Result<Self> {
        check(policy)?;
        let mut view = Self::default();
        view.system(policy);
        view.etc(policy);
        view.surroundings(policy);
        view.machine(limits, processors);
        for path in &policy.read_only {
            // A link stays a link, and what it leads to is shown where it lies.
            let shown = match (std::fs::read_link(path), std::fs::canonicalize(path)) {
                (_, Err(_)) => continue,
                (Err(_), Ok(_)) => path.clone(),
                (Ok(target), Ok(real)) => {
                    view.put(path, What::Symlink(target.into()));
                    real
                }
            };
            let hide = beneath(&policy.hide, &shown);
            view.put(&shown, What::ReadOnly { from: Layer::Path((&shown).into()), hide });
        }
        for path in &policy.caches {
            if path.is_dir() {
                let hide = beneath(&policy.hide, path);
                view.put(path, What::Cache { from: Layer::Path(path.into()), hide });
                view.writable.push(path.into());
            }
        }
        for path in &policy.read_write {
            if !path.exists() {
                return Err(Error::Policy(format!("{} is to be written through, and is not there", path.display())));
            }
            view.put(path, What::ReadWrite { from: Layer::Path(path.into()), hide: beneath(&policy.hide, path) });
            view.writable.push(path.into());
        }
        for workspace in &policy.workspaces {
            let hide = beneath(&policy.hide, &workspace.path);
            let what = match &workspace.source {
                Source::Overlay { lowers, upper, work } => What::Overlay {
                    lowers: lowers.iter().map(|lower| Layer::Path(lower.into())).collect(),
                    upper: Layer::Path(upper.into()),
                    work: Layer::Path(work.into()),
                    hide,
                },
                Source::Copy { dir } => What::Private { from: Layer::Path(dir.into()), hide },
                Source::ReadOnly => What::ReadOnly { from: Layer::Path(workspace.path.as_path().into()), hide },
            };
            if !matches!(workspace.source, Source::ReadOnly) {
                view.writable.push(workspace.path.as_path().into());
            }
            view.put(&workspace.path, what);
        }
        // Parents before children; entries of equal depth keep their order, so that a workspace comes
        // after a read-only folder at the same path and wins.
        view.entries.sort_by_key(|entry| Path::new(&entry.at).components().count());
        Ok(view)
    }

    /// Adds what a gateway needs inside: names and files.
    pub(crate) fn admit(&mut self, inside: &Inside) {
        for entry in &mut self.entries {
            if let (true, What::File(text)) = (entry.at == "/etc/hosts", &mut entry.what) {
                for (name, address) in &inside.hosts {
                    text.extend_from_slice(format!("{address} {name}\n").as_bytes());
                }
            }
        }
        for (at, bytes) in &inside.files {
            self.put(at, What::File(bytes.clone()));
        }
    }

    fn put(&mut self, at: impl AsRef<Path>, what: What) {
        self.entries.push(Entry { at: at.as_ref().into(), what });
    }

    fn system(&mut self, policy: &Policy) {
        let more = if policy.view == policy::View::Host { SYSTEM_HOST } else { &[] };
        for path in SYSTEM.iter().chain(more).map(Path::new) {
            match std::fs::read_link(path) {
                Ok(target) => self.put(path, What::Symlink(target.into())),
                Err(_) if path.is_dir() => {
                    let hide = beneath(&policy.hide, path);
                    self.put(path, What::ReadOnly { from: Layer::Path(path.into()), hide });
                }
                Err(_) => {}
            }
        }
    }

    fn etc(&mut self, policy: &Policy) {
        let etc = Path::new("/etc");
        let more = if policy.view == policy::View::Host { ETC_FOLDERS_HOST } else { &[] };
        let mut folders: Vec<PathBuf> = ETC_FOLDERS.iter().chain(more).map(|name| etc.join(name)).collect();
        if policy.view == policy::View::Host {
            folders.extend(java_folders(etc));
        }
        for path in folders.into_iter().filter(|path| path.is_dir()) {
            // The one file of a Java that holds passwords, where an administrator made it.
            let password = "management/jmxremote.password";
            let hide = path.join(password).exists().then(|| password.into()).into_iter().collect();
            self.put(&path, What::ReadOnly { from: Layer::Path((&path).into()), hide });
        }
        let more = if policy.view == policy::View::Host { ETC_FILES_HOST } else { &[] };
        for name in ETC_FILES.iter().chain(more) {
            let path = etc.join(name);
            match std::fs::read_link(&path) {
                // A link into /usr (localtime, os-release) stays a link: what it names is visible.
                Ok(target) if target.starts_with("/usr") || target.starts_with("../usr") => {
                    self.put(&path, What::Symlink(target.into()));
                }
                _ => self.put(&path, What::Copy((&path).into())),
            }
        }
        let home = home(policy);
        let passwd = format!(
            "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nuser:x:{INSIDE_ID}:{INSIDE_ID}:user:{}:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
            home.display()
        );
        let group = format!("root:x:0:\nuser:x:{INSIDE_ID}:\nnogroup:x:65534:\n");
        let hosts = "127.0.0.1 localhost sandbox\n::1 localhost\n";
        for (name, text) in [
            ("/etc/passwd", passwd.as_str()),
            ("/etc/group", &group),
            ("/etc/hosts", hosts),
            ("/etc/hostname", "sandbox\n"),
            ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ] {
            self.put(name, What::File(text.as_bytes().to_vec()));
        }
        match policy.network {
            Network::None | Network::Proxied => self.put("/etc/resolv.conf", What::File(Vec::new())),
            Network::Host => self.put("/etc/resolv.conf", What::Copy("/etc/resolv.conf".into())),
        }
    }

    /// What is always fresh and never the host's.
    fn surroundings(&mut self, policy: &Policy) {
        for name in DEVICES {
            let path = Path::new("/dev").join(name);
            self.put(&path, What::Device((&path).into()));
        }
        self.put("/dev/pts", What::Pts);
        for (name, to) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            self.put(Path::new("/dev").join(name), What::Symlink(to.into()));
        }
        let home = home(policy);
        for (at, mode) in [
            (Path::new("/tmp"), 0o1777),
            (Path::new("/var/tmp"), 0o1777),
            (Path::new("/run"), 0o755),
            (Path::new("/dev/shm"), 0o1777),
            (home, 0o700),
        ] {
            self.put(at, What::Scratch { mode });
            self.writable.push(at.into());
        }
    }

    /// The machine as far as it is the run's.
    fn machine(&mut self, limits: &Limits, processors: &Processors) {
        let files = surroundings::files(limits, processors).into_iter().map(|(name, text)| (name.into(), text));
        self.put("/proc", What::Proc { files: files.collect() });
        let folder = Path::new("/sys/devices/system/cpu");
        let list = format!("{}\n", processors.list()).into_bytes();
        for name in ["online", "possible", "present"] {
            self.put(folder.join(name), What::File(list.clone()));
        }
        // Older C libraries count these folders.
        for number in &processors.numbers {
            self.put(folder.join(format!("cpu{number}")), What::Folder);
        }
    }
}

/// The folders of each Java that Debian's packages installed.
fn java_folders(etc: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(etc).into_iter().flatten().flatten();
    let (start, end) = ETC_JAVA;
    let is_java = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(end));
    entries.filter(|entry| is_java(&entry.file_name())).map(|entry| entry.path()).collect()
}

/// Where home lies inside.
pub(crate) fn home(policy: &Policy) -> &Path {
    policy.home.as_deref().unwrap_or(Path::new(HOME))
}

/// The hidden paths below `root`, relative to it.
fn beneath(hide: &[PathBuf], root: &Path) -> Vec<OsString> {
    hide.iter()
        .filter_map(|path| path.strip_prefix(root).ok())
        .filter(|rest| !rest.as_os_str().is_empty())
        .map(Into::into)
        .collect()
}

fn check(policy: &Policy) -> Result<()> {
    let named = |what: &str, path: &Path| -> Result<()> {
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(Error::Nul { what: format!("{what} {}", path.display()) });
        }
        if !path.is_absolute() || path.components().any(|part| matches!(part, Component::ParentDir)) {
            return Err(Error::Policy(format!("{what} {} is not an absolute path without `..`", path.display())));
        }
        Ok(())
    };
    let taken = |what: &str, path: &Path| -> Result<()> {
        named(what, path)?;
        let reserved = RESERVED.iter().map(Path::new).find(|reserved| path.starts_with(reserved));
        if path == Path::new("/") || reserved.is_some() {
            return Err(Error::Policy(format!(
                "{what} {} belongs to the system; name a project folder instead",
                path.display()
            )));
        }
        Ok(())
    };
    for workspace in &policy.workspaces {
        taken("workspace", &workspace.path)?;
    }
    for path in &policy.read_write {
        taken("writable path", path)?;
    }
    for path in &policy.hide {
        named("hidden path", path)?;
    }
    for (what, list) in [("read-only path", &policy.read_only), ("cache", &policy.caches)] {
        for path in list {
            named(what, path)?;
            // Refused by overlayfs, these would be shown as they are: every process of the host, every device.
            let live = LIVE.iter().find(|live| path.starts_with(live));
            if path == Path::new("/") || live.is_some() {
                return Err(Error::Policy(format!("{what} {} would show the running host", path.display())));
            }
        }
    }
    if let Some(home) = &policy.home {
        taken("home", home)?;
    }
    for (place, outer) in policy.workspaces.iter().enumerate() {
        for inner in &policy.workspaces[place + 1..] {
            if inner.path.starts_with(&outer.path) || outer.path.starts_with(&inner.path) {
                return Err(Error::Policy(format!(
                    "workspaces {} and {} contain one another",
                    outer.path.display(),
                    inner.path.display()
                )));
            }
        }
    }
    Ok(())
}
