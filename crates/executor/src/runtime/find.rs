//! Finding interpreters without running anything: by name on the caller's `PATH`, in a venv, behind a shim, or by path.
//!
//! [`Runtimes::find`] answers with a [`Runtime`]. One decision: nothing is executed to learn about an
//! interpreter (the workspace may have put it there); paths, links, `pyvenv.cfg` and the first bytes of the
//! file have to do. A script is never taken for an interpreter, so a pyenv or asdf shim is looked through.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::RuntimeError;
use super::{regular, shims, toolchains};
use crate::config::{Config, Host};

/// A language that code can be run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// CPython, or another interpreter that is called `python`.
    Python,
    /// GNU bash.
    Bash,
    /// Node.js.
    #[serde(rename = "javascript")]
    JavaScript,
}

impl Language {
    /// The name used in settings, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
            Self::JavaScript => "javascript",
        }
    }
    /// The language of that name.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownLanguage`].
    pub fn parse(name: &str) -> Result<Self, RuntimeError> {
        [Self::Python, Self::Bash, Self::JavaScript]
            .into_iter()
            .find(|language| language.as_str() == name)
            .ok_or_else(|| RuntimeError::UnknownLanguage(name.to_owned()))
    }
    /// The file names looked for, in order of preference.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["python3", "python"],
            Self::Bash => &["bash"],
            Self::JavaScript => &["node", "nodejs"],
        }
    }
    /// Whether an executable of this name can be the interpreter itself rather than a dispatcher (mise, volta, snap).
    fn is_called(self, name: &str) -> bool {
        match self {
            Self::Python => name.starts_with("python") || name.starts_with("pypy"),
            Self::Bash => name.starts_with("bash"),
            Self::JavaScript => name.starts_with("node"),
        }
    }
}

/// An interpreter of this host, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// What it runs.
    pub language: Language,
    /// The executable itself, links resolved.
    pub executable: PathBuf,
    /// `argv[0]`: a venv is found by it.
    pub arg0: OsString,
    /// Folders that must be visible, read-only, for it to work; none where the system folders do.
    pub prefixes: Vec<PathBuf>,
    /// The version as paths and `pyvenv.cfg` tell it; nothing was asked.
    pub version: Option<String>,
}

/// Finds interpreters, and remembers what it learned of each executable by path and modification time.
#[derive(Debug, Default)]
pub struct Runtimes {
    seen: Mutex<HashMap<PathBuf, Seen>>,
}

/// Modification time, size, and whether the file can be an interpreter.
type Seen = (SystemTime, u64, Result<(), String>);

/// Who named a path: what the workspace chose must lie where interpreters lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Operator,
    Workspace,
}

/// The folders that every view shows.
const SYSTEM: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/opt", "/nix/store", "/gnu/store"];
/// Stores in which an interpreter and its libraries lie side by side; world-readable by design.
const STORES: [&str; 1] = ["/home/linuxbrew/.linuxbrew"];

/// Whether every view shows this path.
pub(super) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

/// Whether a path lies in a store whose parts belong together.
pub(super) fn in_store(path: &Path) -> bool {
    STORES.iter().any(|store| path.starts_with(store))
}

impl Runtimes {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The interpreter for a language: the one the operator named, else a venv of the workspace, else what
    /// `PATH` leads to.
    ///
    /// # Errors
    /// [`RuntimeError::Missing`] with what was looked for and where; [`RuntimeError::NotAnInterpreter`] for a
    /// named path that cannot be one.
    pub fn find(&self, config: &Config, language: Language) -> Result<Runtime, RuntimeError> {
        let search = Search { runtimes: self, host: &config.host, workspace: &config.workspace, language };
        match config.sandbox.runtimes.get(language.as_str()) {
            Some(named) => search.named(named),
            None => search.search(),
        }
    }

    /// Whether the file can be an interpreter: regular, executable, and a native program.
    fn inspect(&self, path: &Path) -> Result<(), String> {
        let metadata = fs::metadata(path).map_err(|source| source.to_string())?;
        if metadata.is_dir() {
            return Err("it is a folder".into());
        }
        if !metadata.is_file() {
            return Err("it is no regular file".into());
        }
        if metadata.mode() & 0o111 == 0 {
            return Err("it is not executable".into());
        }
        let stamp = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((time, size, verdict)) = seen.get(path)
            && (*time, *size) == (stamp, metadata.len())
        {
            return verdict.clone();
        }
        let verdict = is_native(path);
        seen.insert(path.to_owned(), (stamp, metadata.len(), verdict.clone()));
        verdict
    }
}

fn is_native(path: &Path) -> Result<(), String> {
    let mut magic = [0; 4];
    match regular::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) if magic == *b"\x7fELF" => Ok(()),
        Ok(()) if magic.starts_with(b"#!") => Err("it is a script, not an interpreter".into()),
        Ok(()) => Err("it is no native program".into()),
        Err(source) => Err(source.to_string()),
    }
}

struct Search<'a> {
    runtimes: &'a Runtimes,
    host: &'a Host,
    workspace: &'a Path,
    language: Language,
}

impl Search<'_> {
    fn named(&self, named: &Path) -> Result<Runtime, RuntimeError> {
        let language = self.language.as_str();
        let refuse = |reason: String, absent| RuntimeError::NotAnInterpreter {
            path: named.to_owned(),
            language,
            reason,
            absent,
        };
        let path = if named.is_absolute() {
            named.to_owned()
        } else if named.components().count() == 1 {
            let found = self.path_folders().into_iter().map(|folder| folder.join(named)).find(|path| path.exists());
            found.ok_or_else(|| refuse("no such name on PATH".into(), true))?
        } else {
            return Err(refuse("name it by an absolute path, or by a name on PATH".into(), false));
        };
        if let Some(real) = shims::look_through(&path, self.language, self.host, self.workspace) {
            return self.accept(&real, Origin::Operator).map_err(|reason| refuse(reason, false));
        }
        let absent = !path.exists();
        self.accept(&path, Origin::Operator).map_err(|reason| refuse(reason, absent))
    }

    fn search(&self) -> Result<Runtime, RuntimeError> {
        let mut passed_over = Vec::new();
        for (path, origin) in self.candidates() {
            if fs::symlink_metadata(&path).is_err() {
                continue;
            }
            let (path, shim) = match shims::look_through(&path, self.language, self.host, self.workspace) {
                Some(real) => (real, true),
                None => (path, false),
            };
            match self.accept(&path, origin) {
                Ok(runtime) => return Ok(runtime),
                // A shim without a version behind it, and a script of the same name, are what a shell would
                // run; here they are only passed over, and named if nothing better follows.
                Err(reason) => {
                    let shim = if shim { "behind a shim: " } else { "" };
                    passed_over.push(format!("{} ({shim}{reason})", path.display()));
                }
            }
        }
        let mut places = Vec::new();
        if self.language == Language::Python {
            places.push(format!("{}/.venv and venv, VIRTUAL_ENV", self.workspace.display()));
        }
        let path = self.host.env.get(std::ffi::OsStr::new("PATH"));
        places.push(path.map_or("the system folders (PATH is not set)".into(), |path| {
            format!("PATH ({})", path.to_string_lossy())
        }));
        if !passed_over.is_empty() {
            places.push(format!("passed over: {}", passed_over.join(", ")));
        }
        Err(RuntimeError::Missing {
            language: self.language.as_str(),
            names: self.language.names().join(", "),
            places: places.join("; "),
        })
    }

    /// Where an interpreter may be, best first.
    fn candidates(&self) -> Vec<(PathBuf, Origin)> {
        let mut found = Vec::new();
        let names = self.language.names();
        if self.language == Language::Python {
            for venv in [".venv", "venv"] {
                let venv = self.workspace.join(venv);
                if venv.join("pyvenv.cfg").is_file() {
                    found.extend(names.iter().map(|name| (venv.join("bin").join(name), Origin::Workspace)));
                }
            }
            if let Some(venv) = self.host.env.get(std::ffi::OsStr::new("VIRTUAL_ENV")) {
                found.extend(names.iter().map(|name| (Path::new(venv).join("bin").join(name), Origin::Operator)));
            }
        }
        let folders = self.path_folders();
        for name in names {
            found.extend(folders.iter().map(|folder| (folder.join(name), Origin::Operator)));
        }
        found.extend(shims::beside_path(self.language, self.host, self.workspace).map(|path| (path, Origin::Operator)));
        for name in names {
            for folder in ["/usr/local/bin", "/usr/bin", "/bin"] {
                found.push((Path::new(folder).join(name), Origin::Operator));
            }
        }
        // A PATH that leads into the workspace is the operator's, but what lies there is not.
        for (path, origin) in &mut found {
            if path.starts_with(self.workspace) {
                *origin = Origin::Workspace;
            }
        }
        found
    }

    fn path_folders(&self) -> Vec<PathBuf> {
        let path = self.host.env.get(std::ffi::OsStr::new("PATH"));
        let folders = path.into_iter().flat_map(std::env::split_paths);
        // A relative entry means whatever the current folder holds, which is the workspace.
        folders.filter(|folder| folder.is_absolute()).collect()
    }

    /// The runtime at a path, or why there is none.
    fn accept(&self, path: &Path, origin: Origin) -> Result<Runtime, String> {
        let executable = fs::canonicalize(path).map_err(|source| source.to_string())?;
        self.runtimes.inspect(&executable)?;
        let name = executable.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if origin == Origin::Workspace || path.file_name() != executable.file_name() {
            let expected = self.language.is_called(&name);
            if !expected {
                return Err(format!("it leads to {}, which is something else", executable.display()));
            }
        }
        let mut runtime = Runtime {
            language: self.language,
            arg0: executable.clone().into_os_string(),
            prefixes: Vec::new(),
            version: version_in(&name),
            executable,
        };
        let mut prefixes = vec![self.prefix_of(&runtime.executable)];
        if self.language == Language::Python
            && let Some(venv) = Venv::around(path)
        {
            runtime.arg0 = path.as_os_str().to_owned();
            runtime.version = venv.version.clone().or(runtime.version);
            prefixes.extend(venv.shown().into_iter().map(Some));
            prefixes.extend(venv.home.iter().map(|home| self.prefix_of(&home.join("python"))));
            // Where the base's folder is itself a link (uv's minor versions), the link must be there too.
            let linked = venv.home.as_ref().and_then(|home| home.parent()).filter(|base| base.is_symlink());
            prefixes.extend(linked.and_then(Path::parent).filter(|p| p.ends_with("uv/python")).map(|p| Some(p.into())));
        }
        for prefix in prefixes.into_iter().flatten() {
            let real = fs::canonicalize(&prefix).map_err(|e| format!("{}: {e}", prefix.display()))?;
            if is_system(&real) || real.starts_with(self.workspace) || runtime.prefixes.contains(&prefix) {
                continue;
            }
            let named_by_workspace = origin == Origin::Workspace;
            if named_by_workspace && !toolchains::holds_interpreters(&real, self.host) {
                return Err(format!(
                    "the workspace points at {}, which is no known place of interpreters; name it (--runtime PATH, python)",
                    real.display()
                ));
            }
            runtime.prefixes.push(prefix);
        }
        if runtime.version.is_none() {
            let last = runtime.prefixes.first().and_then(|prefix| prefix.file_name());
            runtime.version = last.and_then(|name| version_in(&name.to_string_lossy()));
        }
        Ok(runtime)
    }

    /// The folder that an executable needs beside it; none where the system folders hold everything. Never
    /// the home folder itself or anything above it: then the executable's own folder.
    fn prefix_of(&self, executable: &Path) -> Option<PathBuf> {
        if is_system(executable) {
            return None;
        }
        if let Some(store) = STORES.iter().find(|store| executable.starts_with(store)) {
            return Some(store.into());
        }
        let folder = executable.parent()?;
        let prefix = if folder.ends_with("bin") { folder.parent()? } else { folder };
        let above_home = self.host.home.as_ref().is_some_and(|home| home.starts_with(prefix));
        let root = prefix.components().all(|part| part == Component::RootDir);
        let above_workspace = self.workspace.starts_with(prefix);
        Some(if above_home || root || above_workspace { executable.to_owned() } else { prefix.to_owned() })
    }
}

/// What a virtual environment is made of.
const VENV_PARTS: [&str; 7] = ["pyvenv.cfg", "bin", "lib", "lib64", "include", "share", "etc"];
/// What is found beside it and tells nothing.
const VENV_MARKS: [&str; 4] = [".gitignore", "CACHEDIR.TAG", ".lock", "man"];

/// A virtual environment, as its `pyvenv.cfg` tells it.
struct Venv {
    folder: PathBuf,
    home: Option<PathBuf>,
    version: Option<String>,
}

impl Venv {
    fn around(python: &Path) -> Option<Self> {
        let folder = python.parent()?.parent()?;
        let file = regular::open(&folder.join("pyvenv.cfg")).ok()?;
        let mut text = String::new();
        file.take(64 << 10).read_to_string(&mut text).ok()?;
        let value = |wanted: &[&str]| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                wanted.contains(&key.trim()).then(|| value.trim().to_owned())
            })
        };
        Some(Self {
            folder: folder.to_owned(),
            home: value(&["home"]).map(PathBuf::from).filter(|home| home.is_absolute()),
            version: value(&["version", "version_info"]),
        })
    }
}

impl Venv {
    /// Its folder where that holds nothing else; its parts where it was made in a project's folder, or in the home
    /// folder, which is not to be shown for that.
    fn shown(&self) -> Vec<PathBuf> {
        let part = |name: &OsStr| VENV_PARTS.iter().chain(&VENV_MARKS).any(|known| name == *known);
        let alone = fs::read_dir(&self.folder)
            .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| part(&entry.file_name()))));
        if alone {
            return vec![self.folder.clone()];
        }
        VENV_PARTS.iter().map(|part| self.folder.join(part)).filter(|path| path.exists()).collect()
    }
}

/// The version in a name: `python3.11`, `v20.11.1`, `cpython-3.12.5-linux-x86_64-gnu`.
fn version_in(name: &str) -> Option<String> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let version: String = name[start..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = version.trim_end_matches('.');
    version.contains('.').then(|| version.to_owned())
}
