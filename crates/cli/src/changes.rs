//! Which paths of the workspace a run changed, in one line at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use agentic_executor::workspace::{ChangeKind, ChangeSet, Level, Persistence, path_on_a_line};

/// Paths that are named.
const NAMED: usize = 10;
/// Paths that are named for each reason to look at them.
const FEW: usize = 3;
/// Paths that are remembered; past it the number is a lower bound.
const MOST: usize = 10_000;

/// The paths so far.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    workspace: PathBuf,
    paths: BTreeSet<PathBuf>,
    /// Renamed files: the new path, and the first one.
    renamed: BTreeMap<PathBuf, PathBuf>,
    more: bool,
    /// What runs later outside, by its kind and reason.
    later: BTreeMap<(String, String), BTreeSet<PathBuf>>,
}

impl Changes {
    /// Nothing yet, in this folder.
    pub(crate) fn within(workspace: &Path) -> Self {
        Self { workspace: workspace.to_owned(), ..Self::default() }
    }
    /// What one call changed.
    pub(crate) fn add(&mut self, changes: &ChangeSet) {
        let old = changes.changes.iter().filter_map(|change| change.renamed_from.as_ref());
        // What each was called at first.
        let firsts: BTreeMap<&PathBuf, PathBuf> =
            old.map(|from| (from, self.renamed.remove(from).unwrap_or_else(|| from.clone()))).collect();
        for change in &changes.changes {
            // Named with what it became.
            if change.kind == ChangeKind::Deleted && firsts.contains_key(&change.path) {
                self.paths.remove(&change.path);
                continue;
            }
            // It is not what it was renamed to any more.
            if change.kind == ChangeKind::Deleted
                && let Some(first) = self.renamed.remove(&change.path)
            {
                self.paths.insert(first);
            }
            if let Some(first) = change.renamed_from.as_ref().and_then(|from| firsts.get(from))
                && *first != change.path
                && self.renamed.len() < MOST
            {
                self.renamed.insert(change.path.clone(), first.clone());
            }
            if self.paths.len() < MOST {
                self.paths.insert(change.path.clone());
            } else {
                self.more |= !self.paths.contains(&change.path);
            }
        }
        for one in changes.persistence.iter().filter(|one| is_news(one)) {
            let paths = self.later.entry((one.kind.clone().into_owned(), one.reason.clone())).or_default();
            if paths.len() < MOST {
                paths.insert(one.path.clone());
            }
        }
    }
    /// What runs later outside, a line for each reason.
    pub(crate) fn later(&self) -> Vec<String> {
        let line = |((kind, reason), paths): (&(String, String), &BTreeSet<PathBuf>)| {
            let shown = |path: &PathBuf| path_on_a_line(path.strip_prefix(&self.workspace).unwrap_or(path));
            let mut names: Vec<String> = paths.iter().take(FEW).map(shown).collect();
            if paths.len() > FEW {
                names.push(format!("and {} more", paths.len() - FEW));
            }
            format!("Runs later outside ({kind}): {} {reason}", names.join(", "))
        };
        self.later.iter().map(line).collect()
    }
    /// The line; nothing when nothing was changed.
    pub(crate) fn line(&self) -> Option<String> {
        let count = self.paths.len();
        let shown = |path: &PathBuf| path_on_a_line(path.strip_prefix(&self.workspace).unwrap_or(path));
        let named = |path: &PathBuf| match self.renamed.get(path) {
            Some(from) => format!("{} → {}", shown(from), shown(path)),
            None => shown(path),
        };
        let mut names: Vec<String> = if count > NAMED {
            folded(&self.paths.iter().map(shown).collect::<Vec<_>>())
        } else {
            self.paths.iter().map(named).collect()
        };
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        let paths = if count == 1 { "path" } else { "paths" };
        let least = if self.more { "more than " } else { "" };
        (count > 0).then(|| format!("Changed {least}{count} {paths}: {}", names.join(", ")))
    }
}

/// Whether it is told on a terminal. The compiled files that every run of Python leaves are in results and in the
/// journal: told each time they would hide the rest.
fn is_news(one: &Persistence) -> bool {
    one.level == Level::Protected || one.kind != "bytecode"
}

/// The same with the folders at the top in place of what lies in them: a build writes hundreds of paths.
fn folded(names: &[String]) -> Vec<String> {
    let mut tops: Vec<(&str, usize)> = Vec::new();
    for name in names {
        let top = name.trim_start_matches('/').split('/').next().unwrap_or_default();
        match tops.last_mut() {
            Some((last, count)) if *last == top => *count += 1,
            _ => tops.push((top, 1)),
        }
    }
    let line = |(top, count): (&str, usize)| if count == 1 { top.to_owned() } else { format!("{top}/ ({count})") };
    if tops.len() == 1 { names.to_vec() } else { tops.into_iter().map(line).collect() }
}

#[cfg(test)]
mod tests {
    use agentic_executor::workspace::{Change, ChangeKind};

    use super::*;

    #[test]
    fn a_few_are_named_and_the_rest_counted_once() {
        let change = |at: usize| Change {
            path: format!("/w/f{at:02}").into(),
            kind: ChangeKind::Modified,
            size: 1,
            renamed_from: None,
        };
        let mut changes = Changes::within(Path::new("/w"));
        assert_eq!(changes.line(), None);
        changes.add(&ChangeSet { changes: vec![change(1)], ..ChangeSet::default() });
        changes.add(&ChangeSet { changes: vec![change(1)], ..ChangeSet::default() });
        assert_eq!(changes.line().unwrap(), "Changed 1 path: f01");
        changes.add(&ChangeSet { changes: (0..12).map(change).collect(), ..ChangeSet::default() });
        assert!(changes.line().unwrap().starts_with("Changed 12 paths: f00, f01, "), "{changes:?}");
        assert!(changes.line().unwrap().ends_with("f09, and 2 more"), "{changes:?}");
        let built = |at: usize| Change { path: format!("/w/target/{at}").into(), ..change(at) };
        let mut changes = Changes::within(Path::new("/w"));
        changes.add(&ChangeSet { changes: (0..30).map(built).chain([change(1)]).collect(), ..ChangeSet::default() });
        assert_eq!(changes.line().unwrap(), "Changed 31 paths: f01, target/ (30)");
    }

    #[test]
    fn a_renamed_file_is_one_path_with_the_name_that_it_had() {
        let change = |path: &str, kind, from: Option<&str>| {
            let renamed_from = from.map(|from| Path::new("/w").join(from));
            Change { path: Path::new("/w").join(path), kind, size: 0, renamed_from }
        };
        let mut changes = Changes::within(Path::new("/w"));
        let mut rename = |from: &str, to: &str| {
            let set = vec![change(from, ChangeKind::Deleted, None), change(to, ChangeKind::Added, Some(from))];
            changes.add(&ChangeSet { changes: set, ..ChangeSet::default() });
            changes.line().unwrap()
        };
        assert_eq!(rename("a", "b"), "Changed 1 path: a → b");
        assert_eq!(rename("b", "sub/c"), "Changed 1 path: a → sub/c");
        changes.add(&ChangeSet { changes: vec![change("b", ChangeKind::Added, None)], ..ChangeSet::default() });
        assert_eq!(changes.line().unwrap(), "Changed 2 paths: b, a → sub/c");
        let mut changes = Changes::within(Path::new("/w"));
        for set in [
            vec![change("a", ChangeKind::Deleted, None), change("b", ChangeKind::Added, Some("a"))],
            vec![change("b", ChangeKind::Deleted, None), change("a", ChangeKind::Added, Some("b"))],
        ] {
            changes.add(&ChangeSet { changes: set, ..ChangeSet::default() });
        }
        assert_eq!(changes.line().unwrap(), "Changed 1 path: a", "there and back");
        let mut changes = Changes::within(Path::new("/w"));
        for set in [
            vec![change("a", ChangeKind::Deleted, None), change("b", ChangeKind::Added, Some("a"))],
            vec![change("b", ChangeKind::Deleted, None)],
        ] {
            changes.add(&ChangeSet { changes: set, ..ChangeSet::default() });
        }
        assert_eq!(changes.line().unwrap(), "Changed 2 paths: a, b", "what it became is gone, too");
    }

    #[test]
    fn what_runs_later_is_told_by_its_reason() {
        let one = |path: &str, kind: &'static str| Persistence {
            path: Path::new("/w").join(path),
            level: Level::Flagged,
            kind: kind.into(),
            reason: "is run by a CI server".into(),
        };
        let found = ["1", "2", "3", "4"].map(|name| one(name, "ci")).into_iter().chain([one("x.pyc", "bytecode")]);
        let mut changes = Changes::within(Path::new("/w"));
        changes.add(&ChangeSet { persistence: found.collect(), ..ChangeSet::default() });
        assert_eq!(changes.later(), ["Runs later outside (ci): 1, 2, 3, and 1 more is run by a CI server"]);
    }
}
