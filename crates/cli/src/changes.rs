//! Which paths of the workspace a run changed, in one line at its end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agentic_executor::workspace::ChangeSet;

/// Paths that are named.
const NAMED: usize = 10;
/// Paths that are remembered; past it the number is a lower bound.
const MOST: usize = 10_000;

/// The paths so far.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    workspace: PathBuf,
    paths: BTreeSet<PathBuf>,
    more: bool,
}

impl Changes {
    /// Nothing yet, in this folder.
    pub(crate) fn within(workspace: &Path) -> Self {
        Self { workspace: workspace.to_owned(), ..Self::default() }
    }
    /// What one call changed.
    pub(crate) fn add(&mut self, changes: &ChangeSet) {
        for change in &changes.changes {
            if self.paths.len() < MOST {
                self.paths.insert(change.path.clone());
            } else {
                self.more |= !self.paths.contains(&change.path);
            }
        }
    }
    /// The line; nothing when nothing was changed.
    pub(crate) fn line(&self) -> Option<String> {
        let count = self.paths.len();
        let shown = |path: &PathBuf| path.strip_prefix(&self.workspace).unwrap_or(path).display().to_string();
        let mut names: Vec<String> = self.paths.iter().map(shown).collect();
        if count > NAMED {
            names = folded(&names);
        }
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
        let change = |at: usize| Change { path: format!("/w/f{at:02}").into(), kind: ChangeKind::Modified, size: 1 };
        let mut changes = Changes::within(Path::new("/w"));
        assert_eq!(changes.line(), None);
        changes.add(&ChangeSet { changes: vec![change(1)], left_out: Vec::new() });
        changes.add(&ChangeSet { changes: vec![change(1)], left_out: Vec::new() });
        assert_eq!(changes.line().unwrap(), "Changed 1 path: f01");
        changes.add(&ChangeSet { changes: (0..12).map(change).collect(), left_out: Vec::new() });
        assert!(changes.line().unwrap().starts_with("Changed 12 paths: f00, f01, "), "{changes:?}");
        assert!(changes.line().unwrap().ends_with("f09, and 2 more"), "{changes:?}");
        let built = |at: usize| Change { path: format!("/w/target/{at}").into(), ..change(at) };
        let mut changes = Changes::within(Path::new("/w"));
        changes.add(&ChangeSet { changes: (0..30).map(built).chain([change(1)]).collect(), left_out: Vec::new() });
        assert_eq!(changes.line().unwrap(), "Changed 31 paths: f01, target/ (30)");
    }
}
