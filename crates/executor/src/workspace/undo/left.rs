//! Whether what layers left in the folders is still there: asked before a run goes on where it had ended.

use std::path::Path;

use super::record::{Record, State};
use super::restore::targets;
use crate::workspace::Workspaces;
use crate::workspace::change_set::LeftOut;
use crate::workspace::error::WorkspaceError;
use crate::workspace::path::Dir;
use crate::workspace::view::lookup;

impl Workspaces {
    /// The paths that are not as the last of these layers left them, each with how it differs: in kind, permission bits,
    /// bytes or link text. Layers without a record are passed over, and so is `.git/index`, which git rewrites whenever
    /// somebody looks at its status.
    ///
    /// # Errors
    /// When a record or a folder cannot be read.
    pub fn changed_since(&self, layers: &[String]) -> Result<Vec<LeftOut>, WorkspaceError> {
        let mut records: Vec<Record> = Vec::new();
        for layer in layers {
            records.extend(self.records().find(layer)?);
        }
        records.sort_by(|a, b| a.order.cmp(&b.order));
        let mut roots: Vec<_> = records.iter().flat_map(|record| record.roots.clone()).collect();
        roots.sort();
        roots.dedup_by(|inner, outer| inner.starts_with(&*outer));
        let targets = targets(&records, &[]);
        let mut changed = Vec::new();
        for root in roots {
            if !root.is_dir() {
                changed.push(LeftOut { path: root, reason: "is no folder any more".into() });
                continue;
            }
            let dir = Dir::open_root(&root)?;
            for (path, target) in &targets {
                let Ok(rest) = path.strip_prefix(&root) else { continue };
                let failed = WorkspaceError::io("compare with what was kept", path);
                let reason = differs(&dir, rest, target.states.last().and_then(Option::as_ref)).map_err(failed)?;
                let refreshed = path.ends_with(".git/index");
                changed.extend(reason.filter(|_| !refreshed).map(|reason| LeftOut { path: path.clone(), reason }));
            }
        }
        Ok(changed)
    }
}

fn differs(dir: &Dir, path: &Path, left: Option<&State>) -> std::io::Result<Option<String>> {
    let now = lookup(dir, path)?;
    Ok(match (left, now) {
        (None, Some(_)) => Some("was created since".into()),
        (None, None) => None,
        (Some(_), None) => Some("was removed since".into()),
        (Some(State::Lost { .. }), Some(_)) => None,
        (Some(state), Some(_)) => (!state.holds(dir, path)?).then(|| "was changed since".into()),
    })
}
