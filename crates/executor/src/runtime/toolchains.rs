//! Which folders of the user's home the host view shows: toolchains and their caches, found by probing named places.
//!
//! [`Toolchains::probe`] answers with the list that the policy mounts and `agentic doctor` prints. One
//! decision: an allow-list of sub-folders (`~/.cargo/bin`, never `~/.cargo`), because credentials lie beside
//! the tools, and a list of what to leave out is never complete.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::find::is_system;
use super::regular;
use crate::config::Host;

/// How a place is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Read-only.
    Read,
    /// Readable; writes go to memory and are dropped.
    Cache,
    /// A settings file, shown read-only only while it holds nothing that looks like a credential.
    Settings,
}
use How::{Cache, Read as ReadOnly, Settings};

/// A toolchain: its name, the variable that may move its root, the root under home, and what of it is shown.
type Toolchain = (&'static str, Option<&'static str>, &'static str, &'static [(&'static str, How)]);

/// The table. What is not in it stays absent; `--ro` adds.
const TOOLCHAINS: &[Toolchain] = &[
    // Not credentials.toml, nor config.toml when it names a token.
    (
        "cargo",
        Some("CARGO_HOME"),
        ".cargo",
        &[
            ("bin", ReadOnly),
            ("env", ReadOnly),
            ("config.toml", Settings),
            ("config", Settings),
            ("registry", Cache),
            ("git", Cache),
        ],
    ),
    (
        "rustup",
        Some("RUSTUP_HOME"),
        ".rustup",
        &[("toolchains", ReadOnly), ("settings.toml", ReadOnly), ("update-hashes", ReadOnly)],
    ),
    (
        "pyenv",
        Some("PYENV_ROOT"),
        ".pyenv",
        &[
            ("bin", ReadOnly),
            ("libexec", ReadOnly),
            ("shims", ReadOnly),
            ("versions", ReadOnly),
            ("plugins", ReadOnly),
            ("pyenv.d", ReadOnly),
            ("version", ReadOnly),
        ],
    ),
    ("conda", None, "miniconda3", CONDA),
    ("conda", None, "anaconda3", CONDA),
    ("conda", None, "miniforge3", CONDA),
    ("conda", None, "mambaforge", CONDA),
    ("conda", None, ".conda", &[("envs", ReadOnly)]),
    ("uv", None, ".local/share/uv", &[("python", ReadOnly), ("tools", ReadOnly)]),
    ("uv", Some("UV_CACHE_DIR"), ".cache/uv", &[("", Cache)]),
    ("pip", None, ".local", &[("bin", ReadOnly)]),
    ("pip", Some("PIP_CACHE_DIR"), ".cache/pip", &[("http", Cache), ("http-v2", Cache), ("wheels", Cache)]),
    ("pipx", Some("PIPX_HOME"), ".local/share/pipx", &[("venvs", ReadOnly), ("shared", ReadOnly)]),
    ("pipx", None, ".local/pipx", &[("venvs", ReadOnly), ("shared", ReadOnly)]),
    ("poetry", None, ".local/share/pypoetry", &[("venv", ReadOnly)]),
    ("poetry", None, ".cache/pypoetry", &[("virtualenvs", ReadOnly)]),
    ("pipenv", Some("WORKON_HOME"), ".local/share/virtualenvs", &[("", ReadOnly)]),
    ("hatch", None, ".local/share/hatch", &[("env", ReadOnly)]),
    ("pre-commit", Some("PRE_COMMIT_HOME"), ".cache/pre-commit", &[("", Cache)]),
    (
        "nvm",
        Some("NVM_DIR"),
        ".nvm",
        &[("nvm.sh", ReadOnly), ("nvm-exec", ReadOnly), ("alias", ReadOnly), ("versions", ReadOnly)],
    ),
    ("volta", Some("VOLTA_HOME"), ".volta", &[("bin", ReadOnly), ("tools", ReadOnly)]),
    ("fnm", Some("FNM_DIR"), ".local/share/fnm", &[("aliases", ReadOnly), ("node-versions", ReadOnly)]),
    // Not .npmrc; not _logs, which name what was installed with which flags.
    ("npm", Some("NPM_CONFIG_CACHE"), ".npm", &[("_cacache", Cache)]),
    ("npm", None, ".npm-global", &[("bin", ReadOnly), ("lib", ReadOnly)]),
    ("yarn", Some("YARN_CACHE_FOLDER"), ".cache/yarn", &[("", Cache)]),
    ("yarn", None, ".yarn", &[("bin", ReadOnly), ("berry/cache", Cache)]),
    (
        "pnpm",
        Some("PNPM_HOME"),
        ".local/share/pnpm",
        &[("pnpm", ReadOnly), ("global", ReadOnly), ("nodejs", ReadOnly), ("store", Cache)],
    ),
    ("corepack", None, ".cache/node", &[("corepack", ReadOnly)]),
    ("bun", Some("BUN_INSTALL"), ".bun", &[("bin", ReadOnly), ("install/cache", Cache)]),
    ("deno", None, ".deno", &[("bin", ReadOnly)]),
    ("deno", Some("DENO_DIR"), ".cache/deno", &[("", Cache)]),
    ("playwright", None, ".cache/ms-playwright", &[("", ReadOnly)]),
    ("go", Some("GOROOT"), "sdk", &[("", ReadOnly)]),
    ("go", Some("GOPATH"), "go", &[("bin", ReadOnly), ("pkg/mod", Cache), ("pkg/sumdb", Cache)]),
    ("go", Some("GOMODCACHE"), "go/pkg/mod", &[("", Cache)]),
    ("go", Some("GOCACHE"), ".cache/go-build", &[("", Cache)]),
    ("asdf", Some("ASDF_DATA_DIR"), ".asdf", ASDF),
    ("mise", Some("MISE_DATA_DIR"), ".local/share/mise", ASDF),
    ("java", Some("JAVA_HOME"), ".jdks", &[("", ReadOnly)]),
    ("sdkman", Some("SDKMAN_DIR"), ".sdkman", &[("bin", ReadOnly), ("candidates", ReadOnly)]),
    // Not settings.xml and gradle.properties, where passwords are kept.
    ("maven", None, ".m2", &[("repository", Cache), ("wrapper", ReadOnly)]),
    ("gradle", Some("GRADLE_USER_HOME"), ".gradle", &[("caches", Cache), ("wrapper", ReadOnly), ("jdks", ReadOnly)]),
    (
        "ghcup",
        None,
        ".ghcup",
        &[
            ("bin", ReadOnly),
            ("ghc", ReadOnly),
            ("cabal", ReadOnly),
            ("hls", ReadOnly),
            ("stack", ReadOnly),
            ("env", ReadOnly),
        ],
    ),
    ("cabal", None, ".cabal", &[("bin", ReadOnly), ("packages", Cache), ("store", Cache)]),
    ("stack", None, ".stack", &[("programs", ReadOnly), ("snapshots", Cache), ("pantry", Cache)]),
    (
        "rbenv",
        Some("RBENV_ROOT"),
        ".rbenv",
        &[
            ("bin", ReadOnly),
            ("libexec", ReadOnly),
            ("shims", ReadOnly),
            ("versions", ReadOnly),
            ("plugins", ReadOnly),
            ("version", ReadOnly),
        ],
    ),
    // Not .gem/credentials.
    ("gem", None, ".gem", &[("ruby", ReadOnly)]),
    ("gem", None, ".local/share/gem", &[("ruby", ReadOnly)]),
    (
        "dotnet",
        Some("DOTNET_ROOT"),
        ".dotnet",
        &[
            ("dotnet", ReadOnly),
            ("host", ReadOnly),
            ("sdk", ReadOnly),
            ("shared", ReadOnly),
            ("packs", ReadOnly),
            ("tools", ReadOnly),
            ("templates", ReadOnly),
        ],
    ),
    ("nuget", None, ".nuget", &[("packages", Cache)]),
    ("elixir", None, ".mix", &[("archives", ReadOnly), ("elixir", ReadOnly)]),
    ("ccache", Some("CCACHE_DIR"), ".cache/ccache", &[("", Cache)]),
];

const CONDA: &[(&str, How)] = &[
    ("bin", ReadOnly),
    ("condabin", ReadOnly),
    ("conda-meta", ReadOnly),
    ("envs", ReadOnly),
    ("etc/profile.d", ReadOnly),
    ("include", ReadOnly),
    ("lib", ReadOnly),
    ("libexec", ReadOnly),
    ("share", ReadOnly),
    ("ssl", ReadOnly),
];
const ASDF: &[(&str, How)] = &[
    ("bin", ReadOnly),
    ("lib", ReadOnly),
    ("libexec", ReadOnly),
    ("installs", ReadOnly),
    ("plugins", ReadOnly),
    ("shims", ReadOnly),
    ("asdf.sh", ReadOnly),
];

/// Names under home that no variable can have shown: they hold keys, sessions and history.
const NEVER: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".config",
    ".password-store",
    ".mozilla",
    ".thunderbird",
    ".claude",
    ".netrc",
    ".local/share/keyrings",
    "Library",
];

/// One place that the host view shows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// The path, the same inside and outside.
    pub path: PathBuf,
    /// The toolchain it belongs to.
    pub tool: String,
    /// Whether writes are taken (in memory, dropped afterwards) rather than refused.
    pub cache: bool,
    /// Why it is shown.
    pub why: String,
}

/// What the host view shows of this host besides the system folders, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toolchains {
    /// The places, outermost first; none lies within another of the same kind.
    pub shown: Vec<Shown>,
    /// Places that are there and stay hidden, each with the reason.
    pub left_out: Vec<(PathBuf, String)>,
}

impl Toolchains {
    /// Looks at the named places, and at nothing else of the home folder.
    pub fn probe(host: &Host) -> Self {
        let mut probe = Self::default();
        for (tool, variable, under_home, parts) in TOOLCHAINS {
            let moved = variable.and_then(|name| host.env.get(OsStr::new(name))).filter(|value| !value.is_empty());
            let roots: Vec<(PathBuf, String)> = match moved {
                // GOPATH may be a list.
                Some(value) => std::env::split_paths(value)
                    .map(|root| (root, format!("{}={}", variable.unwrap_or_default(), value.to_string_lossy())))
                    .collect(),
                None => {
                    let home = host.home.iter().map(|home| home.join(under_home));
                    home.map(|root| (root, format!("~/{under_home}"))).collect()
                }
            };
            for (root, why) in roots {
                for (part, how) in *parts {
                    let path = if part.is_empty() { root.clone() } else { root.join(part) };
                    probe.consider(host, path, tool, *how, &why);
                }
            }
        }
        probe.user_site(host);
        probe.virtual_environments(host);
        probe.path_folders(host);
        probe.tidy();
        probe
    }
    /// The read-only ones.
    pub fn read_only(&self) -> impl Iterator<Item = &Path> {
        self.shown.iter().filter(|shown| !shown.cache).map(|shown| shown.path.as_path())
    }
    /// The caches.
    pub fn caches(&self) -> impl Iterator<Item = &Path> {
        self.shown.iter().filter(|shown| shown.cache).map(|shown| shown.path.as_path())
    }
    /// Whether a path is visible because of a toolchain.
    pub fn shows(&self, path: &Path) -> bool {
        self.shown.iter().any(|shown| path.starts_with(&shown.path))
    }

    fn consider(&mut self, host: &Host, path: PathBuf, tool: &str, how: How, why: &str) {
        let Ok(metadata) = fs::metadata(&path) else { return };
        if let Err(reason) = may_show(&path, host) {
            self.left_out.push((path, reason));
            return;
        }
        if how == How::Settings {
            if let Err(reason) = without_credentials(&path) {
                self.left_out.push((path, reason));
                return;
            }
        } else if !metadata.is_dir() && !metadata.is_file() {
            return;
        }
        if is_system(&path) {
            return;
        }
        self.shown.push(Shown { path, tool: tool.to_owned(), cache: how == How::Cache, why: why.to_owned() });
    }

    /// `pip install --user`: one folder for each Python version.
    fn user_site(&mut self, host: &Host) {
        let Some(lib) = host.home.as_ref().map(|home| home.join(".local/lib")) else { return };
        let entries = fs::read_dir(&lib).into_iter().flatten().take(1_000).flatten();
        for name in entries.map(|entry| entry.file_name()) {
            if name.to_string_lossy().starts_with("python") {
                self.consider(host, lib.join(name), "pip", ReadOnly, "~/.local/lib/python*");
            }
        }
    }
    /// The activated Python environments: `bin` alone would start an interpreter that knows none of its packages.
    /// Part by part, for an environment can have been made in a folder that holds other things.
    fn virtual_environments(&mut self, host: &Host) {
        let named = host.env.get(OsStr::new("VIRTUAL_ENV")).map(PathBuf::from);
        let path = host.env.get(OsStr::new("PATH")).map(|path| std::env::split_paths(path).collect::<Vec<_>>());
        let on_path = path.iter().flatten().filter(|folder| folder.ends_with("bin")).filter_map(|bin| bin.parent());
        let found: Vec<PathBuf> = named.into_iter().chain(on_path.map(Path::to_owned)).collect();
        for root in found.iter().filter(|root| root.is_absolute() && root.join("pyvenv.cfg").is_file()) {
            for part in ["pyvenv.cfg", "bin", "lib", "lib64", "include", "share"] {
                let path = root.join(part);
                if !self.shows(&path) {
                    self.consider(host, path, "venv", ReadOnly, "an activated Python environment");
                }
            }
        }
    }
    /// What the caller can run by name can be run inside.
    fn path_folders(&mut self, host: &Host) {
        let Some(path) = host.env.get(OsStr::new("PATH")) else { return };
        for folder in std::env::split_paths(path).filter(|folder| folder.is_absolute()) {
            if !self.shows(&folder) {
                self.consider(host, folder, "PATH", ReadOnly, "on PATH");
            }
        }
    }
    fn tidy(&mut self) {
        self.shown.sort_by(|a, b| a.path.cmp(&b.path));
        self.shown.dedup_by(|a, b| a.path == b.path);
        let all = self.shown.clone();
        // A cache inside a read-only folder keeps its own mount; anything else inside a shown folder is covered.
        self.shown.retain(|shown| {
            let covered = |other: &&Shown| {
                other.path != shown.path && shown.path.starts_with(&other.path) && (other.cache || !shown.cache)
            };
            !all.iter().any(|other| covered(&other))
        });
    }
}

/// Whether a path may be shown at all: not the root, the home folder or anything above it, no place of the
/// kernel's or of other programs' sockets, and none of the names that hold secrets.
fn may_show(path: &Path, host: &Host) -> Result<(), String> {
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err("not an absolute path".into());
    }
    let real = fs::canonicalize(path).map_err(|source| source.to_string())?;
    let home = host.home.as_deref().map(|home| (home.to_owned(), fs::canonicalize(home).unwrap_or(home.to_owned())));
    let homes = || home.iter().flat_map(|(home, real)| [home.as_path(), real]);
    for seen in [path, &real] {
        if seen.parent().is_none() {
            return Err("it is the root folder".into());
        }
        let kernels = ["/proc", "/sys", "/dev", "/run", "/var/run", "/tmp", "/var/tmp", "/etc", "/boot"];
        // In a container the home folder may lie in /tmp: what is the user's own is told by the names below. A Python
        // environment of the user's may lie there, too: it is shown by its parts.
        let own = |folder: &str| {
            folder.ends_with("/tmp") && (homes().any(|home| seen.starts_with(home)) || in_own_environment(seen))
        };
        if let Some(folder) = kernels.iter().find(|folder| seen.starts_with(folder) && !own(folder)) {
            return Err(format!("it lies in {folder}"));
        }
    }
    if let Some((home, real_home)) = &home {
        if home.starts_with(path) || real_home.starts_with(&real) {
            return Err("the home folder lies in it".into());
        }
        for never in NEVER {
            let (never, real_never) = (home.join(never), real_home.join(never));
            if path.starts_with(&never) || real.starts_with(&real_never) {
                return Err(format!("{} is never shown", never.display()));
            }
        }
    }
    Ok(())
}

/// Whether a path lies in a Python environment that is the caller's own and that nobody else can write.
fn in_own_environment(path: &Path) -> bool {
    let caller = rustix::process::geteuid().as_raw();
    path.ancestors().filter(|folder| folder.join("pyvenv.cfg").is_file()).any(|folder| {
        fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == caller && metadata.mode() & 0o022 == 0)
    })
}

/// Whether the workspace may lead to an interpreter in this folder: a place where interpreters are installed.
pub(super) fn holds_interpreters(folder: &Path, host: &Host) -> bool {
    let Some(home) = &host.home else { return folder.starts_with("/opt") };
    let below = |variable: &str, under_home: &str, part: &str| {
        let moved = host.env.get(OsStr::new(variable)).map(PathBuf::from);
        let root = moved.unwrap_or_else(|| home.join(under_home)).join(part);
        let root = fs::canonicalize(&root).unwrap_or(root);
        folder.starts_with(&root) && folder != root
    };
    let places = [
        ("PYENV_ROOT", ".pyenv", "versions"),
        ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", ""),
        ("ASDF_DATA_DIR", ".asdf", "installs"),
        ("MISE_DATA_DIR", ".local/share/mise", "installs"),
        ("NVM_DIR", ".nvm", "versions"),
    ];
    if folder.starts_with("/opt") || places.iter().any(|(variable, home, part)| below(variable, home, part)) {
        return true;
    }
    if super::find::in_store(folder) {
        return true;
    }
    let named = |name: &str| folder.starts_with(home.join(name));
    if ["miniconda3", "anaconda3", "miniforge3", "mambaforge", ".conda/envs"].iter().any(|name| named(name)) {
        return true;
    }
    // What the operator runs by name is no news to the view.
    let path = host.env.get(OsStr::new("PATH"));
    path.into_iter().flat_map(std::env::split_paths).any(|entry| {
        let entry = fs::canonicalize(&entry).unwrap_or(entry);
        entry == folder.join("bin")
    })
}

fn without_credentials(path: &Path) -> Result<(), String> {
    static CREDENTIAL: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)token|passw|secret|_auth|credential|://[^/\s]*@").ok());
    let mut bytes = Vec::new();
    let file = regular::open(path).map_err(|source| source.to_string())?;
    if file.metadata().is_ok_and(|metadata| metadata.len() > 1 << 20) {
        return Err("it is no small regular file".into());
    }
    file.take(1 << 20).read_to_end(&mut bytes).map_err(|source| source.to_string())?;
    match &*CREDENTIAL {
        Some(credential) if !credential.is_match(&bytes) => Ok(()),
        _ => Err("it may hold a credential; named by path (--ro, read_only) it is shown all the same".into()),
    }
}
