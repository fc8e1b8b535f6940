//! `agentic doctor --fix`: an AppArmor profile that lets this program, and nobody else, make user namespaces.
//!
//! A profile belongs to a path. On a path that the user can write it would hand user namespaces to whatever is put
//! there, so it is bound to a copy that root owns; and what that copy executes gets a profile of its own without them.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::DoctorArgs;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;

/// Where the copy that the profile names lies.
const PROGRAM: &str = "usr/local/libexec/agentic/agentic";
/// Where its profile lies.
const PROFILE: &str = "etc/apparmor.d/usr.local.libexec.agentic.agentic";
/// Where the parser may be. Never from PATH: this runs as root.
const PARSERS: &[&str] = &["usr/sbin/apparmor_parser", "sbin/apparmor_parser"];

/// The profile. The program itself is not confined by it but for what it executes: what a sandboxed program may do is
/// decided by the sandbox. `userns` is what Ubuntu 23.10 and later withhold from everybody else.
const TEXT: &str = "\
# Lets the sandbox of the Agentic Code Executor make user namespaces, and what it runs none.
# Written by `agentic doctor --fix`. To undo: apparmor_parser -R this file, then remove it and /usr/local/libexec/agentic.
abi <abi/4.0>,

profile agentic /usr/local/libexec/agentic/agentic {
  userns,
  capability,
  network,
  mount,
  umount,
  pivot_root,
  signal,
  ptrace,
  unix,
  file rwmlk /{,**},
  /usr/local/libexec/agentic/agentic ix,
  /** cx -> program,

  profile program {
    audit deny userns,
    network,
    signal,
    ptrace,
    unix,
    file rwmlk /{,**},
    /** ix,
  }
}
";

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let root = args.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    let this = std::env::current_exe()
        .map_err(|error| Failure::new(ExitCode::Refused, format!("failed to find this program's file: {error}")))?;
    if !args.dry_run && !rustix::process::geteuid().is_root() {
        let failure = Failure::new(ExitCode::Unenforceable, "failed to install an AppArmor profile: only root can");
        return Err(failure.hint(format!("sudo {} doctor --fix", this.display())));
    }
    let mut out = std::io::stdout().lock();
    let bytes = std::fs::read(&this).map_err(|error| failed("read", &this, &error))?;
    for (place, content, mode) in [(PROGRAM, &bytes[..], 0o755), (PROFILE, TEXT.as_bytes(), 0o644)] {
        let path = root.join(place);
        let there = std::fs::read(&path).is_ok_and(|found| found == content) && is_roots(&path, args.root.is_some());
        let said = match (there, args.dry_run) {
            (true, _) => "unchanged",
            (false, true) => "would write",
            (false, false) => {
                put(&path, content, mode)?;
                "wrote"
            }
        };
        writeln!(out, "{said} {} ({} bytes, mode {mode:04o})", path.display(), content.len())?;
    }
    let profile = root.join(PROFILE);
    match PARSERS.iter().map(|parser| root.join(parser)).find(|parser| parser.is_file()) {
        None => writeln!(out, "not loaded: this system has no apparmor_parser, so its AppArmor withholds nothing")?,
        Some(parser) if args.dry_run => writeln!(out, "would run {} -r {}", parser.display(), profile.display())?,
        Some(parser) => {
            let ended = Command::new(&parser).env_clear().arg("-r").arg(&profile).output();
            let ended = ended.map_err(|error| failed("run", &parser, &error))?;
            if !ended.status.success() {
                let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
                let why = format!("failed to load {}: {}: {said}", profile.display(), ended.status);
                return Err(Failure::new(ExitCode::Unenforceable, why));
            }
            writeln!(out, "loaded {}", profile.display())?;
        }
    }
    writeln!(out, "run it as /{PROGRAM}")?;
    writeln!(out, "to undo: apparmor_parser -R /{PROFILE}; rm /{PROFILE}; rm -r /usr/local/libexec/agentic")?;
    writeln!(out, "for limits that the kernel counts: systemd-run --user --scope -p Delegate=yes /{PROGRAM} …")?;
    Ok(ExitCode::Succeeded)
}

/// Whether nobody but root can change a file. Under another root folder, which is a trial, it is anybody's.
fn is_roots(path: &Path, trial: bool) -> bool {
    use std::os::unix::fs::MetadataExt;
    trial || path.symlink_metadata().is_ok_and(|found| found.is_file() && found.uid() == 0 && found.mode() & 0o022 == 0)
}

/// Puts a file in its place as a whole.
fn put(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let mut make = std::fs::DirBuilder::new();
    make.recursive(true).mode(0o755).create(folder).map_err(|error| failed("make", folder, &error))?;
    let fresh = folder.join(format!(".agentic-{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&fresh)?;
        file.write_all(content)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|error| {
        // What is left of it, if anything, has nobody else to remove it.
        let _ = std::fs::remove_file(&fresh);
        failed("write", path, &error)
    })
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ExitCode::Refused, format!("failed to {what} {}: {error}", path.display()))
}
