//! A program in a language, turned into a sandbox command: what `run_code` and `agentic exec` start.
//!
//! [`prepare`] answers with an [`Invocation`]. One decision: code travels as an argument while it fits in one
//! (the kernel takes 128 KiB), and as a read-only file outside every workspace when it does not. So standard
//! input stays the program's, nothing appears in the tree, and 100 MB of code work.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentic_sandbox::{Command, Control, Denial, Enforced, Enforcement, Limits, Output, Sandbox, Stdin, Stream, View};

use super::compiled;
use super::denials::{self, Under};
use super::error::RuntimeError;
use super::find::{Language, Runtime, Runtimes};
use super::imports::{self, ImportPolicy};
use super::policy::{Prepared, host_policy, system_policy};
use crate::config::{Config, SandboxSettings};
use crate::workspace::Attempt;

/// Code up to this many bytes is passed as an argument. The kernel's limit for one argument is 131,072.
const MOST_IN_ARGUMENT: usize = 100 << 10;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Code.
    Code(Vec<u8>),
    /// A file: absolute, or relative to the working directory.
    File(PathBuf),
    /// Code from standard input.
    Stdin,
}

/// A program with everything it is given.
#[derive(Debug, Clone)]
pub struct Request {
    /// The language.
    pub language: Language,
    /// What to run.
    pub program: Program,
    /// The program's own arguments.
    pub args: Vec<OsString>,
    /// Its standard input.
    pub stdin: Stdin,
    /// Where its standard output goes.
    pub stdout: Stream,
    /// Where its standard error goes.
    pub stderr: Stream,
    /// Which part of the host it sees.
    pub view: View,
    /// What it may spend.
    pub limits: Limits,
    /// The working directory. `None`: the first workspace root.
    pub dir: Option<PathBuf>,
    /// Whether a file outside the workspace may be run: it is then shown, read-only. For a person, not for a model.
    pub shows_file: bool,
}

impl Request {
    /// A program in the system view: no arguments, empty input, captured output, default limits.
    pub fn new(language: Language, program: Program) -> Self {
        Self {
            language,
            program,
            args: Vec::new(),
            stdin: Stdin::Null,
            stdout: Stream::Capture,
            stderr: Stream::Capture,
            view: View::System,
            limits: Limits::default(),
            dir: None,
            shows_file: false,
        }
    }
}

/// A program ready to start. Keep it until the run has ended: dropping it removes the files its code lies in, and lets go
/// of what it shows.
#[derive(Debug)]
pub struct Invocation {
    /// The command, policy, limits and streams set.
    pub command: Command,
    /// The interpreter that was chosen.
    pub runtime: Runtime,
    /// Controls decided outside the sandbox; add them to the output's map.
    pub notes: Enforced,
    /// What the run is under, for reading its messages.
    pub prepared: Prepared,
    /// The working directory.
    dir: PathBuf,
    _files: Vec<CodeFile>,
    _held: Option<compiled::Kept>,
}

impl Invocation {
    /// What the messages of a failed run tell of refusals; to be added to what its result tells.
    pub fn denials(&self, output: &Output, settings: &SandboxSettings) -> Vec<Denial> {
        let (policy, imports) = (&self.prepared.policy, &ImportPolicy::new(settings));
        denials::inferred(output, Under { policy, imports, dir: &self.dir })
    }
}

/// Turns a request into a command over an attempt's mounts. With an import policy, and the first time that this
/// interpreter is met, it compiles the policy's bootstrap in the sandbox.
///
/// # Errors
/// [`RuntimeError`]: no interpreter, a NUL byte, a folder or an outside file for a program, limits that cannot be meant.
pub fn prepare(
    runtimes: &Runtimes,
    sandbox: &Sandbox,
    config: &Config,
    request: &Request,
    attempt: &Attempt,
) -> Result<Invocation, RuntimeError> {
    let place = attempt.passable().map_or_else(|| config.state.join("code"), |folder| folder.join("code"));
    let invocation = prepare_over(runtimes, Some(sandbox), config, request, attempt.mounts(), &place)?;
    // What the program cannot see it must not replace.
    let hidden = attempt.hide(invocation.prepared.policy.hide.iter().cloned());
    hidden.map_err(|error| RuntimeError::Request(error.to_string()))?;
    Ok(invocation)
}

/// As [`prepare`], over these mounts. Without a sandbox nothing is compiled ahead.
pub(super) fn prepare_over(
    runtimes: &Runtimes,
    sandbox: Option<&Sandbox>,
    config: &Config,
    request: &Request,
    mounts: Vec<agentic_sandbox::Workspace>,
    place: &Path,
) -> Result<Invocation, RuntimeError> {
    request.limits.validate().map_err(|error| RuntimeError::Request(error.to_string()))?;
    check_bytes(request)?;
    let runtime = runtimes.find(config, request.language)?;
    let roots: Vec<PathBuf> = mounts.iter().map(|mount| mount.path.clone()).collect();
    // Without mounts the program works in the copy where it lies: what is imported from there is the user's code, too.
    let own_code: Vec<PathBuf> = roots.iter().cloned().chain(mounts.iter().filter_map(copy_of)).collect();
    let first = roots.first().cloned().unwrap_or_else(|| config.workspace.clone());
    let dir = request.dir.clone().unwrap_or(first);
    let mut prepared = match request.view {
        View::System => system_policy(config, Some(&runtime), mounts),
        View::Host => host_policy(config, mounts),
    };
    if request.view == View::Host {
        let missing = runtime.prefixes.iter().filter(|p| !prepared.policy.read_only.contains(p)).cloned();
        let missing: Vec<PathBuf> = missing.collect();
        prepared.policy.read_only.extend(missing);
        prepared.policy.profile = config.sandbox.profile;
        prepared.policy.closed = ImportPolicy::new(&config.sandbox).closed();
    }
    let mut files = Vec::new();
    let mut code_path = None;
    if let Program::File(path) = &request.program {
        check_file(path, &dir, &roots, request.shows_file, &mut prepared)?;
    }
    if let Program::Code(code) = &request.program
        && code.len() > MOST_IN_ARGUMENT
    {
        let file = CodeFile::write(place, code)?;
        prepared.policy.read_only.push(file.folder.clone());
        code_path = Some(file.path.clone());
        files.push(file);
    }
    let imports = ImportPolicy::new(&config.sandbox);
    if !imports.is_empty() {
        let note = match request.language {
            Language::Python => Enforcement::Active,
            _ => Enforcement::Degraded(format!(
                "import names are Python's; in {} only what they stand for is closed",
                request.language.as_str()
            )),
        };
        prepared.notes.insert(Control::Imports, note);
    }
    let mut command = Command::new(&runtime.executable);
    command.arg0(&runtime.arg0);
    let under_policy = request.language == Language::Python && !imports.is_empty();
    // What lies in a workspace is for the workspace's rules to show or hide.
    let shows_state = under_policy && !own_code.iter().any(|root| config.state.starts_with(root));
    let kept = sandbox.filter(|_| shows_state).and_then(|sandbox| compiled::bootstrap(sandbox, config, &runtime));
    let mut held = None;
    let compiled = match kept {
        // Without mounts the program's user does not pass the state folder: a copy lies where its layer lies.
        Some(kept) if !place.starts_with(&config.state) => {
            let copy = CodeFile::write(place, &kept.bytes)?;
            prepared.policy.read_only.push(copy.folder.clone());
            let path = copy.path.clone();
            files.push(copy);
            Some(path)
        }
        Some(kept) => {
            prepared.policy.read_only.push(kept.path.clone());
            let path = kept.path.clone();
            held = Some(kept);
            Some(path)
        }
        None => None,
    };
    command.args(arguments(request, code_path.as_deref(), &imports, &own_code, compiled.as_deref()));
    command.args(&request.args);
    command.current_dir(&dir).limits(request.limits.clone());
    command.stdin(request.stdin.clone()).stdout(request.stdout.clone()).stderr(request.stderr.clone());
    prepared.apply(&mut command);
    Ok(Invocation { command, runtime, notes: prepared.notes.clone(), prepared, dir, _files: files, _held: held })
}

/// Where a workspace's copy lies.
fn copy_of(workspace: &agentic_sandbox::Workspace) -> Option<PathBuf> {
    match &workspace.source {
        agentic_sandbox::Source::Copy { dir } => Some(dir.clone()),
        _ => None,
    }
}

/// The interpreter's arguments up to the program's own.
fn arguments(
    request: &Request,
    code_path: Option<&Path>,
    imports: &ImportPolicy,
    roots: &[PathBuf],
    compiled: Option<&Path>,
) -> Vec<OsString> {
    let code = match &request.program {
        Program::Code(code) => OsString::from_vec(code.clone()),
        _ => OsString::new(),
    };
    match (request.language, &request.program, code_path) {
        (Language::Python, program, code_path) if !imports.is_empty() || code_path.is_some() => {
            let source = match (program, code_path) {
                (Program::Code(_), Some(path)) => imports::Source::CodeFile(path),
                (Program::Code(_), None) => imports::Source::Argument,
                (Program::File(path), _) => imports::Source::File(path),
                (Program::Stdin, _) => imports::Source::Stdin,
            };
            let mut args = imports.arguments(source, roots, compiled);
            args.extend((source == imports::Source::Argument).then_some(code));
            args
        }
        (Language::Python, Program::Code(_), _) => vec!["-c".into(), code],
        (Language::Python, Program::Stdin, _) => vec!["-".into()],
        (Language::Bash, Program::Code(_), Some(path)) => vec!["--".into(), path.into()],
        (Language::Bash, Program::Code(_), None) => vec!["-c".into(), code, "bash".into()],
        (Language::Bash, Program::Stdin, _) => vec!["-s".into(), "--".into()],
        (Language::JavaScript, Program::Code(_), Some(path)) => {
            // Evaluated as `-e` would, where `require` resolves from the working directory.
            let path = serde_json::Value::from(path.to_string_lossy()).to_string();
            let loader = format!("(0, eval)(require('node:fs').readFileSync({path}, 'utf8'))");
            vec!["-e".into(), loader.into(), "--".into()]
        }
        (Language::JavaScript, Program::Code(_), None) => vec!["-e".into(), code, "--".into()],
        (Language::JavaScript, Program::Stdin, _) => vec!["-".into()],
        // A name that begins with a dash would be an option.
        (_, Program::File(path), _) if path.as_os_str().as_bytes().starts_with(b"-") => {
            vec![Path::new(".").join(path).into()]
        }
        (_, Program::File(path), _) => vec![path.into()],
    }
}

fn check_bytes(request: &Request) -> Result<(), RuntimeError> {
    let nul = |what: &str, bytes: &[u8]| match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => Err(RuntimeError::Request(format!("{what} contains a NUL byte at offset {at}"))),
        None => Ok(()),
    };
    match &request.program {
        Program::Code(code) => nul("the code", code)?,
        Program::File(path) => nul("the file's path", path.as_os_str().as_bytes())?,
        Program::Stdin => {}
    }
    for (index, arg) in request.args.iter().enumerate() {
        nul(&format!("argument {}", index + 1), arg.as_bytes())?;
    }
    Ok(())
}

/// Refuses a folder, and a file that is not visible or must not become so. Whether it is there at all is the
/// interpreter's to say: an earlier step may have written it into a layer.
fn check_file(
    path: &Path,
    dir: &Path,
    roots: &[PathBuf],
    shows_file: bool,
    prepared: &mut Prepared,
) -> Result<(), RuntimeError> {
    let absolute = plain(&dir.join(path));
    if roots.contains(&absolute) || absolute.is_dir() {
        return Err(RuntimeError::Request(format!("{} is a folder, not a program", path.display())));
    }
    let visible = roots.iter().chain(&prepared.policy.read_only).chain(&prepared.policy.read_write);
    if visible.into_iter().any(|folder| absolute.starts_with(folder)) {
        return Ok(());
    }
    if !shows_file {
        return Err(RuntimeError::Outside(absolute));
    }
    if absolute.exists() {
        prepared.policy.read_only.push(absolute);
    }
    Ok(())
}

/// The path with `.` and `..` taken out by name.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Code in a file of its own folder beneath the state folder, removed with this value.
#[derive(Debug)]
struct CodeFile {
    folder: PathBuf,
    path: PathBuf,
}

impl CodeFile {
    fn write(all: &Path, code: &[u8]) -> Result<Self, RuntimeError> {
        let fail = |action, path: &Path, source| RuntimeError::Io { action, path: path.to_owned(), source };
        // Nobody passes the state folder but the sandbox, which mounts the inner one; that is readable for whatever
        // user the program runs as.
        fs::DirBuilder::new().recursive(true).mode(0o711).create(all).map_err(|e| fail("create", all, e))?;
        let folder = all.join(uuid::Uuid::now_v7().to_string());
        fs::create_dir(&folder).map_err(|e| fail("create", &folder, e))?;
        let file = Self { path: folder.join("code"), folder };
        let open = |mode| fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&file.path);
        let write = |mut out: fs::File| {
            std::io::Write::write_all(&mut out, code)?;
            // Whatever the umask took away.
            out.set_permissions(fs::Permissions::from_mode(0o444))
        };
        open(0o600).and_then(write).map_err(|e| fail("write", &file.path, e))?;
        fs::set_permissions(&file.folder, fs::Permissions::from_mode(0o755))
            .map_err(|e| fail("open to reading", &file.folder, e))?;
        Ok(file)
    }
}

impl Drop for CodeFile {
    fn drop(&mut self) {
        // A folder that stays behind is collected with the state folder; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The language that a file's name says, when it says one.
pub fn language_of(path: &Path) -> Option<Language> {
    match path.extension().and_then(OsStr::to_str)? {
        "py" | "pyw" => Some(Language::Python),
        "sh" | "bash" => Some(Language::Bash),
        "js" | "mjs" | "cjs" => Some(Language::JavaScript),
        _ => None,
    }
}
