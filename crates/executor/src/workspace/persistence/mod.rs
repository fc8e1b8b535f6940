//! What a step may leave behind in the workspace that runs later, outside, without anybody asking for it.
//!
//! [`examine`] goes over a change set before it is applied. A change is *protected* (a git hook, an editor's tasks: the
//! change set is refused, or the path held back) or *flagged* (a CI file: applied, and told), as the table in `rules.rs` says;
//! git repositories are found by their layout, not by name (`git.rs`). [`AllowPersist`] is what the operator lets pass.
//! What a person runs on purpose (a Makefile, a test, a package that was installed) is not persistence: no list could
//! tell a good one from a bad one. docs/design/persistence.md has the reasons.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

mod content;
mod git;
mod git_config;
mod place;
mod python;
mod rules;
mod sight;

use super::change_set::path_on_a_line;
use super::layer::Backend;
use super::path::Dir;
use super::reading::{Act, Item, Reading};
use super::view::{View, kind};
use git::Repositories;
use place::Places;
use sight::{Content, Sight};

/// How a change that runs later is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is applied, and told.
    Flagged,
    /// It is not applied unless the operator allows it.
    Protected,
}

impl Level {
    /// The word in JSON and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flagged => "flagged",
            Self::Protected => "protected",
        }
    }
}

/// A changed path that runs later, outside, without anybody asking for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// Absolute path. Bytes that are not UTF-8 are escaped in JSON.
    #[serde(with = "super::change_set::as_text")]
    pub path: PathBuf,
    /// How it is treated. In a change set that was applied, `protected` means that the operator allowed it.
    pub level: Level,
    /// What it is, in a word: `git_hook`, `editor`, `ci`, …
    pub kind: Cow<'static, str>,
    /// Why it counts; reads well after the path.
    pub reason: String,
}

impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", path_on_a_line(&self.path), self.reason, self.kind)
    }
}

/// Protected paths that the operator lets a step change. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowPersist {
    /// None.
    #[default]
    Nothing,
    /// These, relative to the workspace root or absolute; a folder stands for all that lies in it.
    Paths(Vec<PathBuf>),
    /// All of them.
    Everything,
}

impl AllowPersist {
    /// From words as they are typed: paths, or `all`. (A file called `all` is `./all`.)
    ///
    /// ```
    /// use agentic_executor::workspace::AllowPersist;
    /// assert_eq!(AllowPersist::from_words(["all"]), AllowPersist::Everything);
    /// assert_eq!(AllowPersist::from_words([".vscode"]), AllowPersist::Paths(vec![".vscode".into()]));
    /// ```
    pub fn from_words<W: AsRef<Path>>(words: impl IntoIterator<Item = W>) -> Self {
        let paths: Vec<PathBuf> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        if paths.is_empty() {
            Self::Nothing
        } else if paths.iter().any(|path| path == Path::new("all")) {
            Self::Everything
        } else {
            Self::Paths(paths)
        }
    }
    /// The same with further paths.
    #[must_use]
    pub fn with(self, further: impl IntoIterator<Item = PathBuf>) -> Self {
        match self {
            Self::Everything => Self::Everything,
            Self::Nothing => Self::Nothing.paths(Vec::new(), further),
            Self::Paths(paths) => Self::Nothing.paths(paths, further),
        }
    }
    /// What either of them lets pass.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        match other {
            Self::Nothing => self,
            Self::Everything => Self::Everything,
            Self::Paths(paths) => {
                let known = if let Self::Paths(known) = &self { known.clone() } else { Vec::new() };
                self.with(paths.into_iter().filter(|path| !known.contains(path)))
            }
        }
    }
    fn paths(self, mut paths: Vec<PathBuf>, further: impl IntoIterator<Item = PathBuf>) -> Self {
        paths.extend(further);
        if paths.is_empty() { self } else { Self::Paths(paths) }
    }
    /// Whether a path of the root may be changed.
    fn covers(&self, root: &Path, path: &Path) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            // Joining keeps an absolute path, and drops the dots of `./x`.
            Self::Paths(paths) => paths.iter().any(|allowed| {
                let allowed: PathBuf = root.join(allowed).components().collect();
                root.join(path).starts_with(allowed)
            }),
        }
    }
}

/// What was found about one path, and which change is left out to prevent it. Paths are relative to the root.
#[derive(Debug, Clone)]
pub(super) struct Found {
    path: PathBuf,
    hold: PathBuf,
    level: Level,
    kind: &'static str,
    reason: String,
}

impl Found {
    fn new(path: &Path, kind: &'static str, level: Level, reason: impl Into<String>) -> Self {
        // It may quote names from inside, and is printed on a line.
        let reason = path_on_a_line(Path::new(&reason.into()));
        Self { path: path.to_owned(), hold: path.to_owned(), level, kind, reason }
    }
    fn held_with(self, hold: &Path) -> Self {
        Self { hold: hold.to_owned(), ..self }
    }
    fn told(&self, root: &Path) -> Persistence {
        Persistence {
            path: root.join(&self.path),
            level: self.level,
            kind: self.kind.into(),
            reason: self.reason.clone(),
        }
    }
}

/// What a layer's changes would leave behind, by path.
#[derive(Debug, Default)]
pub(super) struct Examined {
    root: PathBuf,
    found: BTreeMap<PathBuf, Found>,
}

impl Examined {
    /// As it is told, sorted by path.
    pub(super) fn told(&self) -> impl Iterator<Item = Persistence> + '_ {
        self.found.values().map(|found| found.told(&self.root))
    }
    /// What is protected and not allowed.
    pub(super) fn refused<'a>(&'a self, allowed: &'a AllowPersist) -> impl Iterator<Item = Persistence> + 'a {
        self.denied(allowed).map(|found| found.told(&self.root))
    }
    /// Takes what is protected and not allowed out of a reading, and lists it there as left out.
    pub(super) fn hold_back(&mut self, reading: &mut Reading, allowed: &AllowPersist) {
        let denied: Vec<Found> = self.denied(allowed).cloned().collect();
        let holds: BTreeSet<&Path> = denied.iter().map(|found| &*found.hold).collect();
        reading.items.retain(|item| !item.path.ancestors().any(|path| holds.contains(path)));
        for found in &denied {
            let reason = format!("{}: it would run later outside ({})", found.reason, found.kind);
            reading.left_out.push((found.hold.clone(), reason));
            self.found.remove(&found.path);
        }
        reading.left_out.dedup_by(|a, b| a.0 == b.0);
    }
    fn denied<'a>(&'a self, allowed: &'a AllowPersist) -> impl Iterator<Item = &'a Found> + 'a {
        let protected = self.found.values().filter(|found| found.level == Level::Protected);
        protected.filter(|found| !allowed.covers(&self.root, &found.path))
    }
}

/// Goes over what a layer did to `root`. `layer` holds its writes, `before` is what it lay over.
pub(super) fn examine(
    root: &Path,
    reading: &Reading,
    layer: &Dir,
    backend: Backend,
    before: &View,
) -> io::Result<Examined> {
    let mut examined = Examined { root: root.to_owned(), found: BTreeMap::new() };
    let left: Vec<&Item> = reading.items.iter().filter(|item| !matches!(item.act, Act::Delete { .. })).collect();
    if left.is_empty() {
        return Ok(examined);
    }
    let sight = Sight::new(root, layer, backend, before);
    let repositories = Repositories::around(&sight, reading, left.iter().map(|item| &*item.path))?;
    let aliases = aliases(&sight)?;
    let put: BTreeSet<&Path> =
        left.iter().filter(|item| matches!(item.act, Act::Put { .. })).map(|item| &*item.path).collect();
    // A file that became a folder, or the other way round, has its removal as an item of its own.
    let removed: BTreeSet<&Path> =
        reading.items.iter().filter(|item| matches!(item.act, Act::Delete { .. })).map(|item| &*item.path).collect();
    let mut found = Vec::new();
    for item in left {
        repositories.judge(item, &mut found)?;
        let Act::Put { upper, .. } = &item.act else { continue };
        if upper.st_mode & 0o6000 != 0 && kind(upper) == FileType::RegularFile {
            let reason = "had a set-id bit, which is not carried over";
            found.push(Found::new(&item.path, "set_id", Level::Flagged, reason));
        }
        if repositories.holds(&item.path) {
            continue;
        }
        let replaces = item.lower.is_some() || removed.contains(&*item.path);
        by_place(&item.path, upper, &sight, &repositories, &aliases, &mut found)?;
        python::judge(&item.path, upper, replaces, &sight, &|path| put.contains(path), &mut found)?;
        if kind(upper) == FileType::Symlink {
            link(&item.path, replaces, &sight, &mut found)?;
        }
    }
    repositories.made(&mut found)?;
    for found in found {
        let stricter = examined.found.get(&found.path).is_none_or(|known| known.level < found.level);
        if stricter {
            examined.found.insert(found.path.clone(), found);
        }
    }
    Ok(examined)
}

/// By the table, under the path's own name and under those that links at the top of the root give it.
fn by_place(
    path: &Path,
    upper: &Stat,
    sight: &Sight<'_>,
    repositories: &Repositories<'_>,
    aliases: &[(PathBuf, PathBuf)],
    found: &mut Vec<Found>,
) -> io::Result<()> {
    let link = kind(upper) == FileType::Symlink;
    let hooked = repositories.hooked(path);
    let other = aliases.iter().filter_map(|(target, name)| {
        let rest = path.strip_prefix(target).ok()?;
        Some(if rest.as_os_str().is_empty() { name.clone() } else { name.join(rest) })
    });
    for name in std::iter::once(path.to_owned()).chain(other) {
        for (group, packaged) in Places::get().groups(sight.root, &name, link) {
            let Some((level, reason)) = content::judge(group, path, sight, hooked)? else { continue };
            let level = match (packaged && !group.in_packages, level) {
                (false, level) => level,
                (true, Level::Protected) => Level::Flagged,
                (true, Level::Flagged) => continue,
            };
            found.push(Found::new(path, group.kind, level, reason));
        }
    }
    Ok(())
}

/// A link that leads out of the root: whoever writes through it later writes there.
fn link(path: &Path, replaces: bool, sight: &Sight<'_>, found: &mut Vec<Found>) -> io::Result<()> {
    let Content::Link(text) = sight.read_after(path)? else { return Ok(()) };
    let from = path.parent().unwrap_or(Path::new(""));
    if sight.names(from, &text).is_some() || python::is_interpreter(path, &text, sight)? {
        return Ok(());
    }
    let (level, reason) = if replaces {
        (Level::Protected, "takes the place of what was there and leads out of the workspace")
    } else {
        (Level::Flagged, "leads out of the workspace")
    };
    found.push(Found::new(path, "link_out", level, reason));
    Ok(())
}

/// Links at the top of the root that stand for a place of the table (`.claude` → `tools/claude`): what lies behind one
/// counts as if it lay there. The target first, then the name.
fn aliases(sight: &Sight<'_>) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let names = Places::get().first_names();
    let mut aliases = Vec::new();
    for name in sight.links_at_top()? {
        if !names.contains(&*name.to_string_lossy().to_ascii_lowercase()) {
            continue;
        }
        if let Content::Link(text) = sight.read_after(&name)?
            && let Some(target) = sight.leads(Path::new(""), &text)?
            && !target.as_os_str().is_empty()
        {
            aliases.push((target, name));
        }
    }
    Ok(aliases)
}
