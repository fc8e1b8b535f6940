//! Git repositories by their layout: what in one runs later, wherever it lies and whatever its folder is called.
//!
//! Main type: [`Repositories`]. A repository is any folder that git would take for one after the step
//! ([`Sight::is_repository`]), and any folder called `.git`: submodules' and worktrees' folders and bare ones are found
//! alike. A folder that a step *makes* into a repository is judged as a whole, what lay there before included: it was
//! harmless until now. Ordinary work (`init`, `commit`, `clone`, `submodule add`, `config user.name`) passes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::reading::{Act, Item, Reading};
use super::super::view::kind;
use super::Found;
use super::Level::{Flagged, Protected};
use super::content;
use super::git_config;
use super::sight::{Content, Sight};

const HOOK: &str = "is a git hook";

/// What the layer's changes mean for git.
#[derive(Debug)]
pub(super) struct Repositories<'a> {
    sight: &'a Sight<'a>,
    /// Repositories that lie at or above a change.
    folders: BTreeSet<PathBuf>,
    /// Folders that a repository's configuration names as its hooks, beneath the root.
    hooks: BTreeSet<PathBuf>,
    /// Files that a repository's configuration includes, beneath the root.
    included: BTreeSet<PathBuf>,
    /// Working trees whose repository has hooks installed, or lies where that cannot be seen.
    hooked: BTreeSet<PathBuf>,
}

impl<'a> Repositories<'a> {
    /// Finds the repositories around `changed` (relative paths), which the reading found.
    pub(super) fn around<'p>(
        sight: &'a Sight<'a>,
        reading: &Reading,
        changed: impl Iterator<Item = &'p Path>,
    ) -> io::Result<Self> {
        let mut above = BTreeSet::from([PathBuf::new()]);
        for path in changed {
            for folder in path.ancestors().skip(1) {
                if !above.insert(folder.to_owned()) {
                    break;
                }
            }
        }
        let mut found = Self {
            sight,
            folders: BTreeSet::new(),
            hooks: BTreeSet::new(),
            included: BTreeSet::new(),
            hooked: BTreeSet::new(),
        };
        for folder in above.iter().filter(|folder| is_git(folder) || reading.may_be_near_git(folder)) {
            if is_git(folder) || sight.is_repository(folder)? {
                found.folders.insert(folder.clone());
                found.configured(folder, folder.parent().filter(|_| is_git(folder)).unwrap_or(folder))?;
            }
            let inner = folder.join(".git");
            if is_git(folder) || sight.after(&inner)?.is_none() {
                continue;
            }
            if found.has_hooks(&inner)? {
                found.hooked.insert(folder.clone());
            }
            if !above.contains(&inner) && sight.is_repository(&inner)? {
                found.configured(&inner, folder)?;
            }
        }
        Ok(found)
    }
    /// Notes what a repository's configuration names: `core.hooksPath` counts from the working tree, `include.path`
    /// from the file that says it (git-config(1)).
    fn configured(&mut self, folder: &Path, tree: &Path) -> io::Result<()> {
        for name in ["config", "config.worktree"] {
            let Content::Bytes(bytes) = self.sight.read_after(&folder.join(name))? else { continue };
            for entry in git_config::parse(&bytes).unwrap_or_default() {
                let Some(value) = entry.value else { continue };
                match (entry.section.as_str(), entry.key.as_str()) {
                    ("core", "hookspath") => self.hooks.extend(self.sight.leads(tree, Path::new(&value))?),
                    ("include" | "includeif", "path") => {
                        self.included.extend(self.sight.leads(folder, Path::new(&value))?);
                    }
                    _ => {}
                }
            }
        }
        // A link in place of the folder leads to hooks as well.
        let hooks = folder.join("hooks");
        if let Content::Link(text) = self.sight.read_after(&hooks)? {
            self.hooks.extend(self.sight.leads(folder, &text)?);
        }
        Ok(())
    }
    /// Whether hooks are installed in the repository that `.git` at this path is, or leads to.
    fn has_hooks(&self, git: &Path) -> io::Result<bool> {
        let Some(stat) = self.sight.after(git)? else { return Ok(false) };
        let mut folder = match kind(&stat) {
            FileType::Directory => git.to_owned(),
            _ => match self.redirected(git)? {
                Some(Some(target)) => target,
                Some(None) => return Ok(true),
                None => return Ok(false),
            },
        };
        // A worktree has its hooks and its configuration where the repository is.
        if let Content::Bytes(text) = self.sight.read_after(&folder.join("commondir"))? {
            let text = PathBuf::from(String::from_utf8_lossy(&text).trim());
            let Some(common) = self.sight.leads(&folder, &text)? else { return Ok(true) };
            folder = common;
        }
        for name in ["config", "config.worktree"] {
            if let Content::Bytes(bytes) = self.sight.read_after(&folder.join(name))? {
                let entries = git_config::parse(&bytes).unwrap_or_default();
                if entries.iter().any(|entry| (&*entry.section, &*entry.key) == ("core", "hookspath")) {
                    return Ok(true);
                }
            }
        }
        let hooks = folder.join("hooks");
        Ok(match self.sight.after(&hooks)?.map(|stat| kind(&stat)) {
            None => false,
            Some(FileType::Directory) => self.sight.list_after(&hooks)?.iter().any(|(path, _)| !is_sample(path)),
            Some(_) => true,
        })
    }
    /// Whether a working tree around the path has a repository with hooks installed.
    pub(super) fn hooked(&self, path: &Path) -> bool {
        path.ancestors().skip(1).any(|folder| self.hooked.contains(folder))
    }
    /// Whether a path lies in a repository's own folder, whose files no other rule concerns.
    pub(super) fn holds(&self, path: &Path) -> bool {
        path.ancestors().skip(1).any(|folder| is_git(folder) && self.folders.contains(folder))
    }
    /// What one change means. Every repository above it counts: a folder in a repository can be laid out as another.
    pub(super) fn judge(&self, item: &Item, found: &mut Vec<Found>) -> io::Result<()> {
        let path = &item.path;
        for folder in path.ancestors().skip(1).filter(|folder| self.folders.contains(*folder)) {
            if let Ok(inner) = path.strip_prefix(folder) {
                self.inside(item, folder, inner, found)?;
            }
        }
        // The workspace itself may lie in a repository's folder.
        let absolute = self.sight.root.join(path);
        let above = self.sight.root.ancestors().find(|folder| is_git(folder));
        if let Some(inner) = above.and_then(|folder| absolute.strip_prefix(folder).ok()) {
            self.inside(item, Path::new(""), inner, found)?;
        }
        let put = matches!(item.act, Act::Put { .. });
        if self.hooks.iter().any(|hooks| path.starts_with(hooks)) && runs(item, path) {
            found.push(Found::new(
                path,
                "git_hook",
                Protected,
                "lies where a repository looks for its hooks (core.hooksPath)",
            ));
        }
        if put && self.included.contains(path) {
            self.config(path, found)?;
        }
        if put && is_git(path) {
            self.redirect(path, found)?;
        }
        Ok(())
    }
    /// A change at `inner` of a repository's folder.
    fn inside(&self, item: &Item, folder: &Path, inner: &Path, found: &mut Vec<Found>) -> io::Result<()> {
        let path = &item.path;
        let put = matches!(item.act, Act::Put { .. });
        let names: Vec<String> = inner.iter().map(|name| name.to_string_lossy().to_ascii_lowercase()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["hooks"] if put => found.push(Found::new(path, "git_hook", Protected, "stands for a folder of git hooks")),
            ["hooks", ..] if runs(item, path) => found.push(Found::new(path, "git_hook", Protected, HOOK)),
            ["config" | "config.worktree"] if put => self.config(path, found)?,
            ["commondir"] if put => {
                // git worktree makes exactly this, and nothing else of git's makes any.
                let usual = folder.parent().is_some_and(|above| above.ends_with("worktrees"))
                    && matches!(self.sight.read_after(path)?, Content::Bytes(bytes) if bytes.trim_ascii() == b"../..");
                if !usual {
                    let reason = "lets a repository take its configuration and hooks from another folder";
                    found.push(Found::new(path, "git_link", Protected, reason));
                }
            }
            ["worktrees", _, "gitdir"] if put => {
                let leads = match self.sight.read_after(path)? {
                    Content::Bytes(text) => {
                        self.sight.names(Path::new(""), Path::new(String::from_utf8_lossy(&text).trim())).is_some()
                    }
                    Content::Missing => true,
                    _ => false,
                };
                if !leads {
                    let reason = "names a working tree out of the workspace, which git repairs and removes";
                    found.push(Found::new(path, "git_link", Flagged, reason));
                }
            }
            ["rebase-merge" | "rebase-apply", "git-rebase-todo"] if put => {
                let runs = match self.sight.read_after(path)? {
                    Content::Bytes(bytes) => String::from_utf8_lossy(&bytes)
                        .lines()
                        .any(|line| matches!(line.split_whitespace().next(), Some("exec" | "x"))),
                    Content::Missing => false,
                    _ => true,
                };
                if runs {
                    let reason = "lists commands that `git rebase --continue` runs";
                    found.push(Found::new(path, "git_hook", Protected, reason));
                }
            }
            _ => {}
        }
        Ok(())
    }
    fn config(&self, path: &Path, found: &mut Vec<Found>) -> io::Result<()> {
        let before = match self.sight.read_before(path)? {
            Content::Bytes(bytes) => bytes,
            _ => Vec::new(),
        };
        let why = match self.sight.read_after(path)? {
            Content::Bytes(now) => content::config(&now, &before),
            Content::Missing | Content::Other => None,
            Content::Link(_) => Some("is a git configuration behind a link".to_owned()),
            Content::TooLarge(_) => Some("is a git configuration too large to be read".to_owned()),
        };
        found.extend(why.map(|why| Found::new(path, "git_config", Protected, why)));
        Ok(())
    }
    /// A file or link called `.git`: where the repository of the folder around it really is.
    fn redirect(&self, path: &Path, found: &mut Vec<Found>) -> io::Result<()> {
        let Some(target) = self.redirected(path)? else { return Ok(()) };
        match target {
            None => found.push(Found::new(
                path,
                "git_link",
                Protected,
                "leads git to a repository out of the workspace's sight",
            )),
            // What it leads to was perhaps no repository of anybody's until now.
            Some(target) => self.whole(&target, path, found)?,
        }
        Ok(())
    }
    /// Where a file or link called `.git` leads, beneath the root; `Some(None)`: elsewhere; `None`: it is neither.
    fn redirected(&self, path: &Path) -> io::Result<Option<Option<PathBuf>>> {
        let text = match self.sight.read_after(path)? {
            Content::Link(text) => Some(text),
            Content::Bytes(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                text.strip_prefix("gitdir:").map(|target| PathBuf::from(target.trim()))
            }
            Content::Missing | Content::Other => return Ok(None),
            Content::TooLarge(_) => None,
        };
        let from = path.parent().unwrap_or(Path::new(""));
        Ok(Some(match text {
            Some(text) => self.sight.leads(from, &text)?,
            None => None,
        }))
    }
    /// The folders that this step made into repositories, each judged as a whole.
    pub(super) fn made(&self, found: &mut Vec<Found>) -> io::Result<()> {
        for folder in &self.folders {
            if self.sight.is_repository(folder)? && !self.sight.was_repository(folder)? {
                let hold = if folder.as_os_str().is_empty() { Path::new("HEAD") } else { folder };
                self.whole(folder, hold, found)?;
            }
        }
        Ok(())
    }
    /// Everything in a repository that runs, as if all of it were new. `hold` is the change that made it count.
    fn whole(&self, folder: &Path, hold: &Path, found: &mut Vec<Found>) -> io::Result<()> {
        let mut one = Vec::new();
        for name in ["config", "config.worktree"] {
            let path = folder.join(name);
            let why = match self.sight.read_after(&path)? {
                Content::Bytes(now) => content::config(&now, &[]),
                Content::Missing | Content::Other => None,
                Content::Link(_) | Content::TooLarge(_) => {
                    Some("is a git configuration that cannot be judged".to_owned())
                }
            };
            one.extend(why.map(|why| Found::new(&path, "git_config", Protected, why)));
        }
        let hooks = folder.join("hooks");
        match self.sight.after(&hooks)?.map(|stat| kind(&stat)) {
            None => {}
            Some(FileType::Directory) => {
                for (path, _) in self.sight.list_after(&hooks)?.iter().filter(|(path, _)| !is_sample(path)) {
                    one.push(Found::new(path, "git_hook", Protected, HOOK));
                }
            }
            Some(_) => one.push(Found::new(&hooks, "git_hook", Protected, "stands for a folder of git hooks")),
        }
        found.extend(one.into_iter().map(|found| found.held_with(hold)));
        Ok(())
    }
}

/// Whether a change to a file where hooks lie can make one run.
fn runs(item: &Item, path: &Path) -> bool {
    match &item.act {
        Act::Put { upper, .. } => kind(upper) != FileType::RegularFile || !is_sample(path),
        Act::Mode { mode } => mode & 0o111 != 0 && !is_sample(path),
        Act::MakeDir { .. } | Act::Delete { .. } => false,
    }
}

/// Git never runs a hook of such a name; its templates are full of them.
fn is_sample(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sample")
}

/// A folder of this name is a repository's, complete or not.
fn is_git(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(".git"))
}
