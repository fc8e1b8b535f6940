//! Looking through version managers' shims (pyenv, asdf, mise, nvm, volta, fnm) to the interpreter they would start.
//!
//! [`look_through`] maps a shim to an executable by the manager's own rules, read from files. One decision:
//! names of versions come from the workspace too, so a name that is not a single path component is no name.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::find::Language;
use super::regular;
use crate::config::Host;

/// The executable behind a shim; `None` when `path` is no shim of a manager we know.
pub(super) fn look_through(path: &Path, language: Language, host: &Host, workspace: &Path) -> Option<PathBuf> {
    let managers = Managers { host, workspace, language };
    let folder = path.parent()?;
    if folder.ends_with("shims") && folder.parent() == managers.pyenv_root().as_deref() {
        return managers.pyenv(path.file_name()?);
    }
    for root in managers.asdf_roots() {
        if folder == root.join("shims") {
            return managers.installed(&root, path.file_name()?);
        }
    }
    if language == Language::JavaScript && managers.volta_root().is_some_and(|root| folder == root.join("bin")) {
        return managers.volta();
    }
    None
}

/// Executables that a manager would put on `PATH` in an interactive shell, for when it has not.
pub(super) fn beside_path(language: Language, host: &Host, workspace: &Path) -> impl Iterator<Item = PathBuf> {
    let managers = Managers { host, workspace, language };
    let found = match language {
        Language::JavaScript => vec![managers.nvm(), managers.volta(), managers.fnm()],
        Language::Python => vec![managers.pyenv(OsStr::new("python3"))],
        Language::Bash => Vec::new(),
    };
    found.into_iter().flatten()
}

struct Managers<'a> {
    host: &'a Host,
    workspace: &'a Path,
    language: Language,
}

impl Managers<'_> {
    fn root(&self, variable: &str, under_home: &str) -> Option<PathBuf> {
        let named = self.host.env.get(OsStr::new(variable)).map(PathBuf::from).filter(|root| root.is_absolute());
        named.or_else(|| Some(self.host.home.as_ref()?.join(under_home)))
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.host.env.get(OsStr::new(name)).and_then(|value| value.to_str()).map(str::to_owned)
    }
    fn pyenv_root(&self) -> Option<PathBuf> {
        self.root("PYENV_ROOT", ".pyenv")
    }
    fn volta_root(&self) -> Option<PathBuf> {
        self.root("VOLTA_HOME", ".volta")
    }
    fn asdf_roots(&self) -> Vec<PathBuf> {
        let roots = [self.root("ASDF_DATA_DIR", ".asdf"), self.root("MISE_DATA_DIR", ".local/share/mise")];
        roots.into_iter().flatten().collect()
    }

    /// pyenv: `PYENV_VERSION`, else `.python-version` of the workspace, else `PYENV_ROOT/version`; the first
    /// named version that has the program.
    fn pyenv(&self, program: &OsStr) -> Option<PathBuf> {
        let root = self.pyenv_root()?;
        let named = self
            .variable("PYENV_VERSION")
            .map(|names| names.replace(':', " "))
            .or_else(|| read(&self.workspace.join(".python-version")))
            .or_else(|| read(&root.join("version")))?;
        let versions = root.join("versions");
        // Lines may be comments; a line may name several versions, as `pyenv local 3.12 3.11` writes them.
        let names = named.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
        names.filter_map(|name| newest(&versions, name)).map(|v| v.join("bin").join(program)).find(|p| p.exists())
    }

    /// asdf and mise: `ASDF_PYTHON_VERSION`, `.tool-versions` of the workspace, then of the home folder; mise's
    /// `latest` link where nothing is said.
    fn installed(&self, root: &Path, program: &OsStr) -> Option<PathBuf> {
        let (plugins, variables): (&[&str], _) = match self.language {
            Language::Python => (&["python"], ["ASDF_PYTHON_VERSION", "MISE_PYTHON_VERSION"]),
            Language::JavaScript => (&["nodejs", "node"], ["ASDF_NODEJS_VERSION", "MISE_NODE_VERSION"]),
            Language::Bash => return None,
        };
        let folders = [Some(self.workspace), self.host.home.as_deref()];
        let files = folders.into_iter().flatten().filter_map(|folder| read(&folder.join(".tool-versions")));
        let chosen = files.flat_map(|text| {
            let line = text.lines().find_map(|line| {
                let mut words = line.split('#').next()?.split_whitespace();
                plugins.contains(&words.next()?).then(|| words.map(str::to_owned).collect::<Vec<_>>())
            });
            line.unwrap_or_default()
        });
        let named = variables.iter().filter_map(|name| self.variable(name));
        let names: Vec<String> = named.chain(chosen).chain(["latest".to_owned()]).collect();
        let versions = |plugin: &&str| root.join("installs").join(plugin);
        let folders = plugins
            .iter()
            .map(versions)
            .flat_map(|folder| names.iter().filter_map(move |name| newest(&folder, name)).collect::<Vec<_>>());
        folders.map(|version| version.join("bin").join(program)).find(|path| path.exists())
    }

    /// nvm: `.nvmrc` of the workspace, else `alias/default`, followed through aliases.
    fn nvm(&self) -> Option<PathBuf> {
        let root = self.root("NVM_DIR", ".nvm")?;
        let mut name = read(&self.workspace.join(".nvmrc")).or_else(|| read(&root.join("alias/default")))?;
        // Aliases may point at each other: default -> lts/* -> lts/iron -> v20.11.1. Eight is plenty.
        for _ in 0..8 {
            let alias = name.trim();
            let plain = alias.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
            let next = plain.then(|| read(&root.join("alias").join(alias))).flatten();
            match next {
                Some(next) => name = next,
                None => break,
            }
        }
        let versions = root.join("versions/node");
        let name = name.trim();
        let version = match name {
            "node" | "stable" => newest(&versions, "v")?,
            _ => newest(&versions, &format!("v{}", name.trim_start_matches('v')))?,
        };
        Some(version.join("bin/node"))
    }

    /// volta: the user's platform. A `volta` pin in `package.json` names a version the same way.
    fn volta(&self) -> Option<PathBuf> {
        let tools = self.volta_root()?.join("tools");
        let json = |path: PathBuf| serde_json::from_str::<serde_json::Value>(&read(&path)?).ok();
        let pinned = json(self.workspace.join("package.json"));
        let pinned = pinned.as_ref().and_then(|json| json.pointer("/volta/node")?.as_str());
        let platform = json(tools.join("user/platform.json"));
        let chosen = pinned.or_else(|| platform.as_ref()?.pointer("/node/runtime")?.as_str())?;
        Some(newest(&tools.join("image/node"), chosen)?.join("bin/node"))
    }

    /// fnm: the `default` alias.
    fn fnm(&self) -> Option<PathBuf> {
        let root = self.root("FNM_DIR", ".local/share/fnm")?;
        let node = root.join("aliases/default/bin/node");
        node.exists().then_some(node)
    }
}

/// A small text file, when it is one.
fn read(path: &Path) -> Option<String> {
    let file = regular::open(path).ok()?;
    if file.metadata().ok()?.len() > 1 << 20 {
        return None;
    }
    let mut text = String::new();
    file.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(text).filter(|text| !text.trim().is_empty())
}

/// The folder of that name, else the newest version that it is a prefix of (`3.11` → `3.11.7`).
fn newest(versions: &Path, name: &str) -> Option<PathBuf> {
    let name = name.trim();
    if name.is_empty() || name.contains('/') || name.starts_with('.') || name == "system" {
        return None;
    }
    let exact = versions.join(name);
    if exact.is_dir() {
        return Some(exact);
    }
    let numbers = |text: &str| -> Vec<u64> { text.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse).collect() };
    let entries = fs::read_dir(versions).ok()?.take(10_000).flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let matching =
        names.filter(|entry| entry.strip_prefix(name).is_some_and(|rest| name == "v" || rest.starts_with(['.', '-'])));
    let best = matching.max_by_key(|entry| numbers(entry))?;
    Some(versions.join(best))
}
