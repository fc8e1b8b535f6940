//! The virtual machine's disks: the guest's system, a kernel's modules, the programs to test. Each is made once and read by
//! every machine, which writes to a copy that goes with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::debian::{Debian, Kernel, make, write};
use super::folder;
use crate::example::copy_tree;
use crate::run::{must, quiet};
use crate::test::Program;
use crate::{Failure, root, say};

/// What the guest's system has over Debian's smallest one: what the tests start, and the file systems' tools.
const PACKAGES: &str = "python3,git,iproute2,util-linux,procps,kmod,e2fsprogs,xfsprogs,btrfs-progs,gcc,libc6-dev";

/// Modules that the first program loads: those that the disks need. All others the kernel asks for itself.
const MODULES: &[&str] = &["virtio_pci", "virtio_blk", "crc32c_generic", "crc32c_intel", "ext4"];

/// A kernel that can be started.
pub(super) struct Bootable {
    pub(super) kernel: Kernel,
    pub(super) image: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) modules: PathBuf,
}

/// The guest's system, made by debootstrap.
pub(super) fn system(debian: &Debian) -> Result<PathBuf, Failure> {
    let disk = folder().join(format!("{}.ext4", debian.suite));
    if disk.exists() {
        return Ok(disk);
    }
    let tree = folder().join("system");
    remove(&tree)?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), &debian.suite]);
    must(debootstrap.arg(&tree).arg(&debian.mirror), "making the guest's system")?;
    for mountpoint in ["tests", "modules"] {
        make(&tree.join(mountpoint))?;
    }
    // Not mounted in place: a folder with a mount below it cannot be shown as an overlay.
    let modules = tree.join("usr/lib/modules");
    remove(&modules)?;
    std::os::unix::fs::symlink("/modules", &modules)
        .map_err(|error| format!("cannot link {}: {error}", modules.display()))?;
    pack(&tree, &disk, 4096)?;
    remove(&tree)?;
    Ok(disk)
}

/// A kernel with its modules and a first program, from its package.
pub(super) fn kernel(debian: &Debian, kernel: &Kernel) -> Result<Bootable, Failure> {
    let place = folder().join(&kernel.release);
    let bootable = Bootable {
        kernel: kernel.clone(),
        image: place.join("vmlinuz"),
        initrd: place.join("initrd"),
        modules: place.join("modules.ext4"),
    };
    let tree = place.join("unpacked");
    if !bootable.modules.exists() {
        remove(&place)?;
        make(&tree)?;
        debian.unpack(&format!("linux-image-{}", kernel.release), Some(&kernel.release), &tree)?;
        // Newer packages keep it beside the modules.
        let places =
            [format!("boot/vmlinuz-{0}", kernel.release), format!("usr/lib/modules/{}/vmlinuz", kernel.release)];
        let image = places.iter().map(|place| tree.join(place)).find(|path| path.exists());
        copy(&image.ok_or(format!("the package of {} has no kernel", kernel.release))?, &bootable.image)?;
        // Of systems before and after the merge of /lib into /usr.
        let lib = ["usr/lib", "lib"].map(|lib| tree.join(lib)).into_iter().find(|lib| lib.join("modules").is_dir());
        let lib = lib.ok_or(format!("the package of {} has no modules", kernel.release))?;
        let base = place.join("base");
        make(&base.join("lib"))?;
        fs::rename(lib.join("modules"), base.join("lib/modules"))
            .map_err(|error| format!("cannot move the modules: {error}"))?;
        must(Command::new("depmod").arg("-b").arg(&base).arg(&kernel.release), "listing the modules")?;
        first_program(debian, kernel, &base, &bootable.initrd)?;
        pack(&base.join("lib/modules"), &bootable.modules, 512)?;
        remove(&tree)?;
        remove(&base)?;
    }
    Ok(bootable)
}

/// The initial RAM file system: busybox, the modules for the disks, and a script. One of our own instead of the
/// distribution's, because unpacking tens of megabytes takes an emulated processor a minute.
fn first_program(debian: &Debian, kernel: &Kernel, base: &Path, initrd: &Path) -> Result<(), Failure> {
    let tree = initrd.with_extension("tree");
    remove(&tree)?;
    for name in ["bin", "dev", "proc", "root", "modules"] {
        make(&tree.join(name))?;
    }
    let busybox = folder().join("busybox");
    if !busybox.exists() {
        let unpacked = folder().join("busybox.tree");
        debian.unpack("busybox-static", None, &unpacked)?;
        let program =
            ["usr/bin/busybox", "bin/busybox"].map(|name| unpacked.join(name)).into_iter().find(|path| path.exists());
        copy(&program.ok_or("the package of busybox has no program")?, &busybox)?;
        remove(&unpacked)?;
    }
    copy(&busybox, &tree.join("bin/busybox"))?;
    write(&tree.join("init"), include_str!("initrd.sh"))?;
    executable(&tree.join("init"))?;
    let mut order: Vec<String> = Vec::new();
    for module in MODULES {
        let mut modprobe = Command::new("modprobe");
        modprobe.args(["--show-depends", "--set-version", &kernel.release, "--dirname"]).arg(base).arg(module);
        // One that does not exist is built in, or not needed by this kernel. The machine says so when it is.
        let said = quiet(&mut modprobe)?;
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            let Some(path) = line.strip_prefix("insmod ").and_then(|rest| rest.split_whitespace().next()) else {
                continue;
            };
            let name = plain_module(Path::new(path), &tree.join("modules"))?;
            if !order.contains(&name) {
                order.push(name);
            }
        }
    }
    order.push(String::new());
    write(&tree.join("modules/order"), &order.join("\n"))?;
    let pack = format!("find . | cpio --quiet -o -H newc > '{}'", initrd.display());
    must(Command::new("sh").args(["-c", &pack]).current_dir(&tree), "packing the initial file system")?;
    remove(&tree)
}

/// Copies a module, unpacked, and returns its name.
fn plain_module(path: &Path, to: &Path) -> Result<String, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(plain) = name.strip_suffix(".xz") else {
        copy(path, &to.join(&*name))?;
        return Ok(name.into_owned());
    };
    let said = quiet(Command::new("xz").args(["--decompress", "--stdout"]).arg(path))?;
    let goal = to.join(plain);
    fs::write(&goal, said.stdout).map_err(|error| format!("cannot write {}: {error}", goal.display()))?;
    Ok(plain.to_owned())
}

/// The programs to test with the project's files that they read, and the guest's script.
pub(super) fn tests(programs: &[Program], [agentic, weakened]: [&Path; 2], most: &str) -> Result<PathBuf, Failure> {
    let tree = folder().join("tests");
    remove(&tree)?;
    make(&tree.join("bin"))?;
    say("copying the test programs");
    for program in [agentic, &agentic.with_file_name("agentic-spawner"), weakened] {
        strip(program, &tree.join("bin").join(program.file_name().unwrap_or_default()))?;
    }
    let mut list = String::new();
    for user in ["root", "user"] {
        for (number, program) in programs.iter().enumerate() {
            let name = format!("{number}-{}", program.label.replace(' ', "-"));
            let goal = tree.join("bin").join(&name);
            if !goal.exists() {
                strip(&program.path, &goal)?;
            }
            let package = program.package.strip_prefix(root()).unwrap_or(&program.package).display();
            list.push_str(&format!("{user} {name} {package} {most} {}\n", program.label));
        }
    }
    write(&tree.join("list"), &list)?;
    write(&tree.join("guest.sh"), include_str!("guest.sh"))?;
    for name in ["crates", "examples", "docs"] {
        copy_tree(&root().join(name), &tree.join("project").join(name))?;
    }
    for name in ["Cargo.toml", "Cargo.lock", "README.md"] {
        copy(&root().join(name), &tree.join("project").join(name))?;
    }
    must(Command::new("chmod").args(["-R", "a+rX"]).arg(&tree), "opening the files to everybody")?;
    let disk = folder().join("tests.ext4");
    pack(&tree, &disk, 1024)?;
    remove(&tree)?;
    Ok(disk)
}

/// Copies a program without its debugging information, most of its size.
fn strip(from: &Path, to: &Path) -> Result<(), Failure> {
    let stripped =
        Command::new("strip").arg("--strip-debug").arg("-o").arg(to).arg(from).stderr(Stdio::null()).status();
    if stripped.is_ok_and(|status| status.success()) { Ok(()) } else { copy(from, to) }
}

/// A file system of at most that many megabytes, of a folder's files, owned as they are.
fn pack(tree: &Path, disk: &Path, megabytes: u32) -> Result<(), Failure> {
    let partial = disk.with_extension("partial");
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-m", "0", "-d"]).arg(tree).arg(&partial).arg(format!("{megabytes}m"));
    must(&mut mke2fs, "packing a disk")?;
    fs::rename(&partial, disk).map_err(|error| format!("cannot make {}: {error}", disk.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let copied = fs::copy(from, to).map(drop);
    copied.map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}

fn executable(path: &Path) -> Result<(), Failure> {
    let set = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    set.map_err(|error| format!("cannot make {} executable: {error}", path.display()))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
