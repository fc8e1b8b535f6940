//! The environment inside: a named list passes, nothing else.
//!
//! One decision: variables are named one by one. A prefix (`CARGO_*`) would let through what holds a token
//! today (`CARGO_REGISTRY_TOKEN`) and what will hold one tomorrow.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use agentic_sandbox::Network;

use super::find::{Runtime, is_system};
use super::regular;
use crate::config::{Config, Host};

/// The home folder inside the system view.
pub const HOME_INSIDE: &str = "/home/user";

/// Variables that pass into every view.
pub const PASSED_ALWAYS: &[&str] = &[
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_ADDRESS",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_IDENTIFICATION",
    "LC_MEASUREMENT",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NAME",
    "LC_NUMERIC",
    "LC_PAPER",
    "LC_TELEPHONE",
    "LC_TIME",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "TZ",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
];

/// Variables that pass into the host view besides: where toolchains lie, and who commits.
pub const PASSED_TO_HOST_VIEW: &[&str] = &[
    "USER",
    "LOGNAME",
    "SHELL",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUST_BACKTRACE",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "PIPX_HOME",
    "WORKON_HOME",
    "UV_CACHE_DIR",
    "PRE_COMMIT_HOME",
    "UV_PYTHON_INSTALL_DIR",
    "NVM_DIR",
    "VOLTA_HOME",
    "FNM_DIR",
    "PNPM_HOME",
    "BUN_INSTALL",
    "DENO_DIR",
    "NODE_ENV",
    "GOROOT",
    "GOPATH",
    "GOMODCACHE",
    "GOCACHE",
    "GOTOOLCHAIN",
    "CGO_ENABLED",
    "JAVA_HOME",
    "SDKMAN_DIR",
    "GRADLE_USER_HOME",
    "DOTNET_ROOT",
    "RBENV_ROOT",
    "ASDF_DATA_DIR",
    "ASDF_DIR",
    "ASDF_PYTHON_VERSION",
    "ASDF_NODEJS_VERSION",
    "MISE_DATA_DIR",
    "CCACHE_DIR",
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
    "MAKEFLAGS",
    "CI",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
];

const SYSTEM_PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

type Environment = BTreeMap<OsString, OsString>;

/// The environment of the system view.
pub(super) fn of_system_view(config: &Config, runtime: Option<&Runtime>) -> Environment {
    let mut env = passed(&config.host, PASSED_ALWAYS);
    let beside = runtime.and_then(|runtime| {
        let named = Path::new(&runtime.arg0).parent();
        named.filter(|folder| folder.is_absolute()).map(Path::to_owned)
    });
    let folders = beside.into_iter().filter(|folder| !is_system(folder));
    set_path(&mut env, folders.chain(SYSTEM_PATH.map(PathBuf::from)));
    env.insert("HOME".into(), HOME_INSIDE.into());
    finish(&mut env, config)
}

/// The environment of the host view; `visible` says whether a path is there inside.
pub(super) fn of_host_view(config: &Config, visible: impl Fn(&Path) -> bool) -> Environment {
    let mut env = passed(&config.host, PASSED_ALWAYS);
    env.extend(passed(&config.host, PASSED_TO_HOST_VIEW));
    let path = config.host.env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let named = std::env::split_paths(&path).filter(|folder| folder.is_absolute() && visible(folder));
    set_path(&mut env, named.chain(SYSTEM_PATH.map(PathBuf::from)));
    let home = config.host.home.clone().unwrap_or_else(|| HOME_INSIDE.into());
    env.insert("HOME".into(), home.into_os_string());
    for (key, value) in git_identity(config) {
        env.entry(key.into()).or_insert(value.into());
    }
    // Inside, files may seem to be somebody else's (a mapped uid), and git would refuse to touch them. What
    // this check guards against, hooks and settings of strangers, is inside the enclosure anyway.
    for (key, value) in [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")]
    {
        env.insert(key.into(), value.into());
    }
    if config.sandbox.network == Network::None {
        // Cargo then resolves with what the cache holds instead of failing on the index.
        env.insert("CARGO_NET_OFFLINE".into(), "true".into());
        // npm and pip would ask again for minutes what cannot be answered.
        for (key, value) in [("npm_config_fetch_retries", "0"), ("PIP_RETRIES", "0")] {
            env.insert(key.into(), value.into());
        }
    }
    finish(&mut env, config)
}

fn passed(host: &Host, names: &[&str]) -> Environment {
    let of = |name: &&str| host.env.get(OsStr::new(name)).map(|value| ((*name).into(), value.clone()));
    names.iter().filter_map(of).collect()
}

fn set_path(env: &mut Environment, folders: impl Iterator<Item = PathBuf>) {
    let mut path: Vec<PathBuf> = Vec::new();
    for folder in folders {
        // A folder with a colon in its name cannot be on PATH.
        if !path.contains(&folder) && !folder.as_os_str().as_encoded_bytes().contains(&b':') {
            path.push(folder);
        }
    }
    env.insert("PATH".into(), std::env::join_paths(path).unwrap_or_default());
}

fn finish(env: &mut Environment, config: &Config) -> Environment {
    let mut env = std::mem::take(env);
    env.insert("TMPDIR".into(), "/tmp".into());
    if !["LANG", "LC_ALL", "LC_CTYPE"].iter().any(|name| env.contains_key(OsStr::new(name))) {
        env.insert("LANG".into(), "C.UTF-8".into());
    }
    env.extend(config.sandbox.env.iter().map(|(key, value)| (key.clone(), value.clone())));
    env
}

/// Who commits, as the user's git settings say: only the name and the address leave them.
fn git_identity(config: &Config) -> Vec<(&'static str, String)> {
    // Variables beat settings in git, so a project that sets its own identity must not be overruled.
    let own = read_user(&config.workspace.join(".git/config"));
    let Some(home) = &config.host.home else { return Vec::new() };
    let xdg = config.host.env.get(OsStr::new("XDG_CONFIG_HOME")).map_or(home.join(".config"), PathBuf::from);
    let user = [xdg.join("git/config"), home.join(".gitconfig")].map(|path| read_user(&path));
    let [mut named, last] = user;
    named.name = last.name.or(named.name);
    named.email = last.email.or(named.email);
    let mut identity = Vec::new();
    for (own, value, keys) in [
        (own.name, named.name, ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"]),
        (own.email, named.email, ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"]),
    ] {
        if let (None, Some(value)) = (own, value) {
            identity.extend(keys.map(|key| (key, value.clone())));
        }
    }
    identity
}

#[derive(Default)]
struct GitUser {
    name: Option<String>,
    email: Option<String>,
}

/// The `[user]` section of a git settings file. git itself is never asked: its settings can run programs.
fn read_user(path: &Path) -> GitUser {
    let mut user = GitUser::default();
    let Ok(file) = regular::open(path) else { return user };
    let mut bytes = Vec::new();
    if file.take(1 << 20).read_to_end(&mut bytes).is_err() {
        return user;
    }
    let mut inside = false;
    for line in String::from_utf8_lossy(&bytes).lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.split(']').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("user"));
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let value = git_value(value.trim());
        if value.is_empty() || value.contains('\0') {
            continue;
        }
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => user.name = Some(value),
            "email" => user.email = Some(value),
            _ => {}
        }
    }
    user
}

/// A value with its quotes and comment taken off.
fn git_value(raw: &str) -> String {
    let mut value = String::new();
    let mut quoted = false;
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => value.extend(chars.next()),
            '#' | ';' if !quoted => break,
            c => value.push(c),
        }
    }
    value.trim().to_owned()
}
