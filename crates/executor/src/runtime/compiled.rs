//! The import policy's bootstrap, compiled once by each interpreter and kept in the state folder.
//!
//! Compiling the bootstrap is most of what an import policy costs at each start; loading compiled code is a fiftieth
//! of that. [`bootstrap`] answers with the code, as text that goes into an argument, or with nothing, and then the
//! interpreter compiles the source as before. One decision: who compiles is the interpreter that will run it, as
//! itself (`-I -S`, by its real path, without workspace or venv) in a sandbox of its own. So what is kept can only
//! deceive runs of the very executable that made it, which could ignore the policy anyway; a venv or library that a
//! workspace brings has no part in it. The code travels with the bytecode's magic number (PEP 3147), and the
//! interpreter compares it before use: a changed libpython behind an unchanged executable falls back to the source.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_sandbox::{Command, ExitReason, Limits, Profile, Sandbox};

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

/// No answer is longer; one argument of a program can hold it.
const MOST: usize = 96 << 10;
/// As many interpreters are remembered, the latest ones.
const MOST_KEPT: usize = 32;

/// The compiled bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compiled {
    /// The magic number of the bytecode, hexadecimal.
    magic: String,
    /// The marshalled code: a character a byte, [`ZERO`] for the byte that no argument can hold.
    code: String,
}

/// Stands for a zero byte, and before the code: an interpreter whose locale reads arguments otherwise does not find it.
const ZERO: char = '\u{100}';

impl Compiled {
    /// Reads what the interpreter, or the file that was kept, says; it is hexadecimal or nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (magic, code) = text.trim_end().split_once(' ')?;
        if text.len() > MOST || magic.len() != 8 || !magic.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut characters = String::from(ZERO);
        for pair in code.as_bytes().chunks(2) {
            let byte = u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()?;
            characters.push(if byte == 0 { ZERO } else { char::from(byte) });
        }
        Some(Self { magic: magic.to_owned(), code: characters })
    }
    /// The argument that holds the code.
    pub(super) fn argument(&self) -> &str {
        &self.code
    }
    /// The Python expression for the code object, where `s` is the module `sys` and `c` the argument; `otherwise` is the
    /// one for any interpreter but the one that compiled it.
    pub(super) fn expression(&self, otherwise: &str) -> String {
        let ours = format!("s.modules[\"_frozen_importlib_external\"].MAGIC_NUMBER.hex() == {:?}", self.magic);
        let load = "__import__(\"marshal\").loads(c[1:].replace(\"\\u0100\", \"\\0\").encode(\"latin-1\"))";
        format!("{load} if c[0] == \"\\u0100\" and {ours} else {otherwise}")
    }
}

/// The bootstrap as this interpreter compiles it: kept from an earlier time, or compiled now. `None` where the
/// interpreter cannot, which is remembered, or where the sandbox did not start, which the run itself will tell.
pub(super) fn bootstrap(sandbox: &Sandbox, config: &Config, runtime: &Runtime) -> Option<Compiled> {
    let folder = config.state.join("bootstrap");
    let path = folder.join(name_for(&runtime.executable)?);
    if let Some(kept) = read(&path) {
        return Compiled::parse(&kept);
    }
    let answer = compile(sandbox, config, runtime)?;
    // What cannot be kept is compiled again the next time.
    let _ = keep(&folder, &path, &answer);
    Compiled::parse(&answer)
}

/// A name that changes with the bootstrap and with the executable file.
fn name_for(executable: &Path) -> Option<String> {
    let file = fs::metadata(executable).ok()?;
    let mut hash = blake3::Hasher::new();
    hash.update(BOOTSTRAP.as_bytes()).update(COMPILE.as_bytes()).update(executable.as_os_str().as_bytes());
    for number in [file.dev(), file.ino(), file.size()] {
        hash.update(&number.to_le_bytes());
    }
    for time in [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()] {
        hash.update(&time.to_le_bytes());
    }
    Some(hash.finalize().to_hex().to_string())
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MOST as u64 + 1).read_to_string(&mut text).ok()?;
    Some(text)
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
        ExitReason::Exited(0) => Some(output.stdout.text()).filter(|text| text.len() <= MOST).or(Some(String::new())),
        ExitReason::Exited(_) | ExitReason::Signalled(_) => Some(String::new()),
        _ => None,
    }
}

/// Keeps an answer, whole or not at all, and forgets the oldest ones.
fn keep(folder: &Path, path: &Path, answer: &str) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut kept: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(folder)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    kept.sort();
    for (_, old) in kept.iter().take((kept.len() + 1).saturating_sub(MOST_KEPT)) {
        fs::remove_file(old)?;
    }
    let unfinished = folder.join(uuid::Uuid::now_v7().to_string());
    let written = fs::File::create_new(&unfinished).and_then(|mut file| file.write_all(answer.as_bytes()));
    written.and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}
