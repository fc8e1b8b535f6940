//! Layers and undo on other file systems: each is made in a file, mounted by a loop device, and the tests of the workspace run with
//! their folders there, as root and as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{must, quiet};
use crate::{Failure, long, say, target};

/// File systems for the workspace and for the state folder. Not both on overlayfs: what root lends to a program must be
/// id-mapped somewhere.
const PAIRS: &[(&str, &str)] = &[
    ("ext4", "ext4"),
    ("xfs", "xfs"),
    ("btrfs", "btrfs"),
    ("tmpfs", "tmpfs"),
    ("xfs", "ext4"),
    ("btrfs", "tmpfs"),
    ("overlay", "ext4"),
    ("tmpfs", "btrfs"),
];

/// Of these some make the uppers of layers by hand beside the workspace, where overlayfs cannot hold one.
const BY_HAND: &[&str] = &["workspace_layers", "workspace_conflicts", "roll_back"];

const PROGRAMS: &[&str] =
    &["workspace_store", "layers_for_real", "cut_off", "undo_random", "undo_outsiders", "staged", "staged_random"];

/// Runs the tests on every pair, or on those whose workspace is on `--only NAME`. True when none failed.
pub(crate) fn run(arguments: &[String]) -> Result<bool, Failure> {
    let only = match arguments {
        [] => None,
        [flag, name] if flag == "--only" && PAIRS.iter().any(|(workspace, _)| workspace == name) => Some(name),
        _ => return Err(format!("filesystems takes `--only NAME`, and no `{}`", arguments.join(" "))),
    };
    if quiet(Command::new("id").arg("-u"))?.stdout != b"0\n" {
        return Err("file systems are mounted, which takes root: start the command as root".into());
    }
    let mut told = Vec::new();
    for (workspace, state) in PAIRS.iter().filter(|(workspace, _)| only.is_none_or(|only| only == workspace)) {
        let pair = format!("workspace on {workspace}, state on {state}");
        say(&pair);
        let (of_workspace, of_state) = (Mounted::make(workspace)?, Mounted::make(state)?);
        let (tests, states) = (of_workspace.shared("tests")?, of_state.shared("states")?);
        let folders = [("TMPDIR", tests.as_str()), ("AGENTIC_TEST_STATES", states.as_str())];
        let by_hand = if *workspace == "overlay" { &[] } else { BY_HAND };
        let green = long::run(&["agentic-executor"], &[PROGRAMS, by_hand].concat(), &folders)?;
        told.push((pair, green));
    }
    for (pair, green) in &told {
        say(format!("{}: {pair}", if *green { "passed" } else { "FAILED" }));
    }
    Ok(told.iter().all(|(_, green)| *green))
}

/// A file system that is unmounted in the end.
struct Mounted {
    at: PathBuf,
    /// A file that holds it, or the mount below it.
    image: Option<PathBuf>,
    below: Option<Box<Mounted>>,
}

impl Mounted {
    fn make(name: &str) -> Result<Self, Failure> {
        let folder = target().join("filesystems");
        let nth = (0..).find(|nth| !folder.join(format!("{name}-{nth}")).exists()).unwrap_or(0);
        let at = folder.join(format!("{name}-{nth}"));
        fs::create_dir_all(&at).map_err(|error| format!("cannot make {}: {error}", at.display()))?;
        let mut made = Self { at, image: None, below: None };
        let mut mount = Command::new("mount");
        match name {
            "tmpfs" => mount.args(["-t", "tmpfs", "-o", "size=4g", "tmpfs"]),
            "overlay" => {
                let below = Self::make("tmpfs")?;
                let inside = |name: &str| -> Result<String, Failure> {
                    let path = below.at.join(name);
                    fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
                    Ok(format!("{name}dir={}", path.display()))
                };
                let options = [inside("lower")?, inside("upper")?, inside("work")?].join(",");
                made.below = Some(Box::new(below));
                mount.args(["-t", "overlay", "-o", &options, "overlay"])
            }
            _ => {
                let image = made.at.with_extension("img");
                let file = fs::File::create(&image).and_then(|file| file.set_len(8 << 30));
                file.map_err(|error| format!("cannot make {}: {error}", image.display()))?;
                made.image = Some(image.clone());
                let mkfs = format!("mkfs.{name}");
                let quietly = if name == "ext4" { ["-q", "-F"] } else { ["-q", "-f"] };
                must(
                    Command::new(mkfs).args(quietly).arg(&image),
                    "making a file system (xfsprogs, btrfs-progs, e2fsprogs)",
                )?;
                mount.args(["-o", "loop"]).arg(image)
            }
        };
        must(mount.arg(&made.at), "mounting a file system")?;
        Ok(made)
    }
    /// A folder in it that every user may use.
    fn shared(&self, name: &str) -> Result<String, Failure> {
        let path = self.at.join(name);
        let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        let made = fs::create_dir(&path).and_then(|()| mode(&path, 0o1777)).and_then(|()| mode(&self.at, 0o755));
        made.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(path.display().to_string())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.at).status().is_ok_and(|status| status.success());
        if !unmounted {
            say(format!("{} is still mounted", self.at.display()));
            return;
        }
        drop(self.below.take());
        for left in self.image.iter().map(PathBuf::as_path).chain([self.at.as_path()]) {
            let _ = if left.is_dir() { fs::remove_dir(left) } else { fs::remove_file(left) };
        }
    }
}
