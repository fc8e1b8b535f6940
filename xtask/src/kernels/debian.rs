//! Debian's packages: the mirror of this machine, its suites, the kernels in them. apt is asked with lists and a cache of
//! our own, so that the machine's configuration stays as it is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder;
use crate::run::{must, quiet};
use crate::{Failure, say};

/// Programs that are needed, and the package of each.
const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("debootstrap", "debootstrap"),
    ("mke2fs", "e2fsprogs"),
    ("cpio", "cpio"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("dpkg-deb", "dpkg"),
];

/// Suites that may have a kernel. A mirror that lacks one is no failure.
const SUITES: &[&str] =
    &["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "forky", "sid", "experimental"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A mirror with its lists read.
pub(super) struct Debian {
    pub(super) mirror: String,
    /// The suite that this machine runs, so that programs built here run in the guest.
    pub(super) suite: String,
    options: Vec<String>,
}

/// The newest kernel of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kernel {
    /// `6.12`
    pub(super) series: String,
    /// What `uname -r` will say: `6.12.117+deb13-cloud-amd64`
    pub(super) release: String,
}

impl Debian {
    /// Installs the tools that are missing, and reads the lists of every suite when they are older than a day.
    pub(super) fn ready() -> Result<Self, Failure> {
        if std::env::consts::ARCH != "x86_64" {
            return Err("the kernel matrix is made for x86_64 machines".into());
        }
        install()?;
        let (mirror, suite) = mirror()?;
        let apt = folder().join("apt");
        for part in ["lists/partial", "cache/archives/partial", "parts"] {
            make(&apt.join(part))?;
        }
        let lines: String =
            SUITES.iter().map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n")).collect();
        write(&apt.join("sources.list"), &lines)?;
        write(&apt.join("status"), "")?;
        let path = |name: &str| apt.join(name).display().to_string();
        let options = vec![
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            format!("Dir::Etc::sourceparts={}", path("parts")),
            format!("Dir::State::lists={}", path("lists")),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", path("cache")),
            "APT::Sandbox::User=root".into(),
            "APT::Architecture=amd64".into(),
            "APT::Get::List-Cleanup=false".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        ];
        let debian = Self { mirror, suite, options };
        let stamp = apt.join("read");
        let fresh = stamp
            .metadata()
            .and_then(|data| data.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() < 24 * 3600));
        if !fresh {
            say("reading the package lists of Debian's suites");
            // A suite that the mirror does not have makes this fail; the others are read all the same.
            let said = quiet(debian.apt("apt-get").arg("update"))?;
            for line in String::from_utf8_lossy(&said.stderr).lines() {
                say(format!("apt: {line}"));
            }
            write(&stamp, "")?;
        }
        Ok(debian)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// The newest kernel of every series, oldest series first. Those built for virtual machines: they have everything that
    /// is tested, and a tenth of the drivers.
    pub(super) fn kernels(&self) -> Result<Vec<Kernel>, Failure> {
        let said = quiet(self.apt("apt-cache").args(["pkgnames", "linux-image-"]))?;
        let mut newest: BTreeMap<Version, Kernel> = BTreeMap::new();
        let mut kernels: Vec<Kernel> = String::from_utf8_lossy(&said.stdout).lines().filter_map(kernel).collect();
        kernels.sort_by(|one, other| versions(&one.release, &other.release));
        for kernel in kernels {
            newest.insert(Version::of(&kernel.series), kernel);
        }
        if newest.is_empty() {
            return Err(format!("{} offers no kernel: remove {}/apt and try again", self.mirror, folder().display()));
        }
        Ok(newest.into_values().collect())
    }

    /// Unpacks a package, and those of the packages it depends on whose name holds `also`.
    pub(super) fn unpack(&self, package: &str, also: Option<&str>, to: &Path) -> Result<(), Failure> {
        let said = quiet(self.apt("apt-cache").args(["depends", "--no-recommends", "--no-suggests", package]))?;
        let said = String::from_utf8_lossy(&said.stdout);
        let mut packages = vec![package];
        let depends = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        packages.extend(depends.filter(|name| also.is_some_and(|part| name.contains(part))));
        let archives = folder().join("apt/archives");
        for package in packages {
            let place = archives.join(package);
            make(&place)?;
            if archive(&place).is_none() {
                let mut download = self.apt("apt-get");
                download.args(["-qq", "download", package]).current_dir(&place);
                say(format!("downloading {package}"));
                if !quiet(&mut download)?.status.success() {
                    return Err(format!("cannot download {package}"));
                }
            }
            let archive = archive(&place).ok_or(format!("no archive of {package} came"))?;
            must(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(to), "unpacking a package")?;
        }
        Ok(())
    }
}

fn archive(place: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(place).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.extension().is_some_and(|end| end == "deb"))
}

/// Installs what is missing, and says so.
fn install() -> Result<(), Failure> {
    let there = |name: &str| {
        ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|folder| Path::new(folder).join(name).exists())
    };
    let mut missing: Vec<&str> =
        TOOLS.iter().filter(|(program, _)| !there(program)).map(|(_, package)| *package).collect();
    if !Path::new(KEYRING).exists() {
        missing.push("debian-archive-keyring");
    }
    if missing.is_empty() {
        return Ok(());
    }
    say(format!("installing {}", missing.join(", ")));
    must(Command::new("apt-get").args(["-qq", "update"]), "reading the package lists")?;
    let mut install = Command::new("apt-get");
    install.args(["-qq", "-y", "--no-install-recommends", "install"]).args(&missing);
    must(install.env("DEBIAN_FRONTEND", "noninteractive"), "installing")
}

/// The mirror and the suite that this machine's own packages come from.
fn mirror() -> Result<(String, String), Failure> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    let (Some(id), Some(suite)) = (field("ID"), field("VERSION_CODENAME")) else {
        return Err("/etc/os-release names no system".into());
    };
    if id != "debian" {
        return Err(format!("kernels come from Debian's packages, and this machine is {id}"));
    }
    let format = "--format=$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let said = quiet(Command::new("apt-get").args(["indextargets", format, "Created-By: Packages"]))?;
    let said = String::from_utf8_lossy(&said.stdout);
    let mirror = said.lines().find_map(|line| {
        let [mirror, release, component] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        (release == suite && component == "main").then(|| mirror.to_owned())
    });
    Ok((mirror.ok_or(format!("apt knows no mirror of {suite}"))?, suite))
}

/// Reads a package's name: `linux-image-6.12.117+deb13-cloud-amd64`.
fn kernel(package: &str) -> Option<Kernel> {
    let release = package.strip_prefix("linux-image-")?;
    let version = release.strip_suffix("-cloud-amd64")?;
    let numbers: Vec<&str> = version.split(['.', '+', '-']).collect();
    let (major, minor) = (numbers.first()?.parse::<u32>().ok()?, numbers.get(1)?.parse::<u32>().ok()?);
    // Release candidates have no third number; they are no kernels that somebody runs.
    numbers.get(2)?.parse::<u32>().ok()?;
    Some(Kernel { series: format!("{major}.{minor}"), release: release.to_owned() })
}

/// The numbers of a version, compared as numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(Vec<u32>);

impl Version {
    pub(super) fn of(text: &str) -> Self {
        let numbers = text.split(|character: char| !character.is_ascii_digit());
        Self(numbers.filter_map(|number| number.parse().ok()).collect())
    }
}

fn versions(one: &str, other: &str) -> Ordering {
    Version::of(one).cmp(&Version::of(other))
}

pub(super) fn make(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| format!("cannot make {}: {error}", path.display()))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_read_from_its_packages_name() {
        let read = kernel("linux-image-6.12.117+deb13-cloud-amd64").expect("a kernel");
        assert_eq!((read.series.as_str(), read.release.as_str()), ("6.12", "6.12.117+deb13-cloud-amd64"));
        assert_eq!(kernel("linux-image-5.10.0-32-cloud-amd64").expect("a kernel").series, "5.10");
        for name in [
            "linux-image-cloud-amd64",
            "linux-image-6.1.0-50-amd64",
            "linux-image-7.3-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64-unsigned",
        ] {
            assert_eq!(kernel(name), None, "{name}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(versions("6.12.95+deb12.1", "6.12.117+deb13"), Ordering::Less);
        assert_eq!(versions("5.10.0-32", "5.10.0-9"), Ordering::Greater);
    }
}
