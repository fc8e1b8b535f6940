//! The import policy's bootstrap, compiled once by each interpreter and kept in the state folder.
//!
//! Compiling the bootstrap is most of what an import policy costs at each start; loading compiled code is a fiftieth
//! of that. [`bootstrap`] answers with a file for the interpreter to read, or with nothing, and then the interpreter
//! gets the source as an argument and compiles it. One decision: who compiles is the interpreter that will run it, as
//! itself (`-I -S`, by its real path, without workspace or venv) in a sandbox of its own. So what is kept can only
//! deceive runs of the very executable that made it, which could ignore the policy anyway; a venv or library that a
//! workspace brings has no part in it. The code lies beside the bytecode's magic number (PEP 3147), which the
//! interpreter compares before use, and beside the source: a changed libpython behind an unchanged executable takes
//! that. A file, because every argument is decoded twice as the interpreter starts, character by character.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_sandbox::{Command, ExitReason, Limits, Profile, Sandbox};

use rustix::fs::{CWD, FlockOperation, RenameFlags};

use super::find::Runtime;
use super::imports::{BOOTSTRAP, FILE_NAME};
use super::policy::system_policy;
use crate::config::{Config, SandboxSettings};

/// What the interpreter is asked: the magic number and the marshalled code, both in hexadecimal.
pub(super) const COMPILE: &str = "import marshal, sys\n\
     magic = sys.modules['_frozen_importlib_external'].MAGIC_NUMBER\n\
     print(magic.hex(), marshal.dumps(compile(sys.argv[1], sys.argv[2], 'exec')).hex())";
/// How it is asked. No frame of this code is ever shown, so the columns of its tracebacks are left out.
pub(super) const OPTIONS: [&str; 6] = ["-I", "-S", "-X", "no_debug_ranges", "-c", COMPILE];

/// No answer, and no file, is longer.
const MOST: usize = 96 << 10;
/// As many interpreters are remembered, the latest ones.
const MOST_KEPT: usize = 32;
/// Before the rest of a file stands its hash.
const HASH: usize = blake3::OUT_LEN;

/// What a file holds, from what the interpreter said: a hash, the magic number, how long the code is (four bytes, the
/// lowest first), the code, the source. `None`: it said something else.
pub(super) fn contents(answer: &str) -> Option<Vec<u8>> {
    let (magic, code) = answer.trim_end().split_once(' ')?;
    let (magic, code) = (from_hexadecimal(magic)?, from_hexadecimal(code)?);
    if magic.len() != 4 || code.is_empty() {
        return None;
    }
    let length = u32::try_from(code.len()).ok()?.to_le_bytes();
    let rest = [&magic[..], &length, &code, BOOTSTRAP.as_bytes()].concat();
    Some([blake3::hash(&rest).as_bytes(), &rest[..]].concat())
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let pair =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok();
    text.as_bytes().chunks(2).map(pair).collect()
}

/// The Python expression for the bootstrap's code object from such a file.
pub(super) fn expression(path: &str) -> String {
    format!(
        "(lambda p, f: (lambda b: (lambda n: \
         __import__(\"marshal\").loads(b[{code}:n]) \
         if b[{HASH}:{length}] == __import__(\"sys\").modules[\"_frozen_importlib_external\"].MAGIC_NUMBER \
         else compile(b[n:], {FILE_NAME:?}, \"exec\")\
         )({code} + int.from_bytes(b[{length}:{code}], \"little\")))((p.read(f, {MOST}), p.close(f))[0])\
         )(*(lambda p: (p, p.open({path}, p.O_RDONLY | p.O_CLOEXEC)))(__import__(\"posix\")))",
        length = HASH + 4,
        code = HASH + 8,
    )
}

/// A file that was kept, held: as long as this value lives nobody removes or replaces it, so that it can be mounted.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// With a shared lock on it (flock(2)), which ends with the descriptor, however this process ends.
    _held: fs::File,
}

/// The file with the bootstrap as this interpreter compiles it: kept from an earlier time, or made now. `None` where
/// the interpreter cannot, which is remembered, or where the sandbox did not start, which the run itself will tell.
pub(super) fn bootstrap(sandbox: &Sandbox, config: &Config, runtime: &Runtime) -> Option<Kept> {
    let folder = config.state.join("bootstrap");
    let path = folder.join(name_for(&runtime.executable)?);
    match hold(&path) {
        Some(kept) if kept.bytes.is_empty() => return None,
        Some(kept) if whole(&kept.bytes) => return Some(kept),
        _ => {}
    }
    let made = contents(&compile(sandbox, config, runtime)?).unwrap_or_default();
    // What cannot be kept is compiled again the next time, and the source serves until then.
    keep(&folder, &path, &made).ok()?;
    hold(&path).filter(|kept| whole(&kept.bytes))
}

/// Takes hold of a file, unless it is being taken away.
fn hold(path: &Path) -> Option<Kept> {
    let mut bytes = Vec::new();
    let file = lock(path, FlockOperation::NonBlockingLockShared).ok()?;
    (&file).take(MOST as u64).read_to_end(&mut bytes).ok()?;
    Some(Kept { path: path.to_owned(), bytes, _held: file })
}

/// Opens and locks the file that lies there, and still lies there with the lock on it.
fn lock(path: &Path, how: FlockOperation) -> std::io::Result<fs::File> {
    let file = fs::File::open(path)?;
    rustix::fs::flock(&file, how)?;
    let (ours, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    match (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
        true => Ok(file),
        false => Err(std::io::ErrorKind::NotFound.into()),
    }
}

/// Whether a file is as it was written: neither cut short nor spoilt.
fn whole(kept: &[u8]) -> bool {
    kept.split_at_checked(HASH).is_some_and(|(hash, rest)| blake3::hash(rest).as_bytes() == hash)
}
/// A name that changes with the bootstrap and with the executable file.
fn name_for(executable: &Path) -> Option<String> {
    let file = fs::metadata(executable).ok()?;
    let mut hash = blake3::Hasher::new();
    // The number is the layout's.
    hash.update(&[2]).update(BOOTSTRAP.as_bytes()).update(COMPILE.as_bytes()).update(executable.as_os_str().as_bytes());
    for number in [file.dev(), file.ino(), file.size()] {
        hash.update(&number.to_le_bytes());
    }
    for time in [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()] {
        hash.update(&time.to_le_bytes());
    }
    Some(hash.finalize().to_hex().to_string())
}

/// Asks the interpreter. An empty answer is one, too: it did not do what it was asked.
fn compile(sandbox: &Sandbox, config: &Config, runtime: &Runtime) -> Option<String> {
    let as_itself = Runtime { arg0: runtime.executable.clone().into(), ..runtime.clone() };
    let settings = SandboxSettings { allow_degraded: config.sandbox.allow_degraded.clone(), ..Default::default() };
    let config = Config { sandbox: settings, ..config.clone() };
    let mut prepared = system_policy(&config, Some(&as_itself), Vec::new());
    prepared.policy.profile = Profile::Strict;
    let mut command = Command::new(&as_itself.executable);
    command.args(OPTIONS).args([BOOTSTRAP, FILE_NAME]).current_dir("/");
    command.limits(Limits { wall: Duration::from_secs(20), ..Limits::default() });
    prepared.apply(&mut command);
    let output = command.output(sandbox).ok()?;
    match output.reason {
        ExitReason::Exited(0) => Some(output.stdout.text())
            .filter(|text| text.len() / 2 + BOOTSTRAP.len() + HASH + 8 <= MOST)
            .or(Some(String::new())),
        ExitReason::Exited(_) | ExitReason::Signalled(_) => Some(String::new()),
        _ => None,
    }
}

/// Keeps a file, whole or not at all, readable for whatever user the program runs as, and forgets the oldest ones that
/// nobody holds.
fn keep(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut kept: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(folder)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    kept.sort();
    let too_many = (kept.len() + 1).saturating_sub(MOST_KEPT);
    for (_, old) in kept.iter().take(too_many) {
        // A run may be about to show it. It goes another time, as does what others are removing or cannot be locked.
        if let Ok(_ours) = lock(old, FlockOperation::NonBlockingLockExclusive) {
            fs::remove_file(old)?;
        }
    }
    let unfinished = folder.join(uuid::Uuid::now_v7().to_string());
    let written = fs::File::create_new(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(0o444))
    });
    let placed = written.and_then(|()| match fs::hard_link(&unfinished, path) {
        Ok(()) => Ok(()),
        // Who was first stays: another run may be about to show that very file, and one that was replaced meanwhile has
        // no place any more to be mounted from.
        Err(_) if hold(path).is_some_and(|kept| kept.bytes.is_empty() || whole(&kept.bytes)) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            // What is broken nobody shows, and the lock is against others who replace it, too.
            let _ours = lock(path, FlockOperation::NonBlockingLockExclusive)?;
            fs::rename(&unfinished, path)
        }
        // Where there are no hard links.
        Err(_) => rustix::fs::renameat_with(CWD, &unfinished, CWD, path, RenameFlags::NOREPLACE).map_err(Into::into),
    });
    let _ = fs::remove_file(&unfinished);
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_first_stays_unless_it_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let number = || fs::metadata(&path).unwrap().ino();
        let bytes = contents("00112233 00").unwrap();
        keep(folder.path(), &path, &bytes).unwrap();
        let first = number();
        keep(folder.path(), &path, &bytes).unwrap();
        assert_eq!(number(), first, "a run may be showing it");
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"broken").unwrap();
        keep(folder.path(), &path, &bytes).unwrap();
        assert_eq!(hold(&path).unwrap().bytes, bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn what_is_held_is_not_dropped_however_many_others_come() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, oldest) = (contents("00112233 00").unwrap(), folder.path().join("oldest"));
        let old = |path: &Path| {
            let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
            fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
        };
        let others = || {
            for number in 0..MOST_KEPT + 8 {
                keep(folder.path(), &folder.path().join(number.to_string()), &bytes).unwrap();
            }
        };
        keep(folder.path(), &oldest, &bytes).unwrap();
        old(&oldest);
        let held = hold(&oldest).unwrap();
        others();
        assert!(oldest.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_KEPT + 1, "the others were dropped as ever");
        // The control: without the hold it is the first to go.
        drop(held);
        others();
        assert!(!oldest.exists());
        assert!(hold(&oldest).is_none());
    }

    #[test]
    fn a_file_that_is_being_dropped_cannot_be_taken_hold_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        keep(folder.path(), &path, &contents("00112233 00").unwrap()).unwrap();
        let dropping = lock(&path, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(hold(&path).is_none());
        drop(dropping);
        assert!(hold(&path).is_some());
    }
}
