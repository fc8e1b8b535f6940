//! Where the state folder lies when the one that was chosen is part of a workspace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::WorkspaceError;
use super::tree;

/// The state folder itself where it lies in none of the workspace roots: layers cannot lie beneath the folder they are
/// layers of. Else a private folder of the caller's, `/var/tmp/agentic-UID`, which this makes where it is missing.
///
/// # Errors
/// [`WorkspaceError::Root`] when that folder cannot be used: it is somebody else's, open to others, a link, or lies in
/// one of the roots too.
pub fn state_outside(state: &Path, roots: &[PathBuf]) -> Result<PathBuf, WorkspaceError> {
    let uid = rustix::process::geteuid().as_raw();
    outside(state, roots, Path::new(&format!("/var/tmp/agentic-{uid}")))
}

fn outside(state: &Path, roots: &[PathBuf], other: &Path) -> Result<PathBuf, WorkspaceError> {
    let Some(root) = holder(state, roots) else { return Ok(state.to_owned()) };
    let refuse = |why: String| {
        let (state, other) = (state.display(), other.display());
        WorkspaceError::root(
            root,
            format!("the state folder {state} lies inside it, and {other} cannot be used: {why}"),
        )
    };
    if holder(other, roots).is_some() {
        return Err(refuse("it lies in the workspace, too".into()));
    }
    // The name can be guessed: nobody else may have made it first.
    tree::private_folder(other).map_err(|error| refuse(error.to_string()))?;
    Ok(other.to_owned())
}

/// The root that a path lies in, links followed on both sides.
fn holder<'a>(path: &Path, roots: &'a [PathBuf]) -> Option<&'a PathBuf> {
    let path = resolved(path);
    roots.iter().find(|root| path.starts_with(resolved(root)))
}

/// A path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let mut rest: Vec<OsString> = Vec::new();
    for existing in path.ancestors() {
        if let Ok(found) = existing.canonicalize() {
            return rest.iter().rev().fold(found, |found, name| found.join(name));
        }
        rest.extend(existing.file_name().map(ToOwned::to_owned));
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_state_folder_inside_a_root_is_replaced_by_a_private_one() {
        let place = tempfile::tempdir().unwrap();
        let here = place.path().canonicalize().unwrap();
        let (root, other) = (here.join("root"), here.join("other"));
        std::fs::create_dir(&root).unwrap();
        symlink(&root, here.join("link")).unwrap();
        let roots = [here.join("unrelated"), root.clone()];
        let apart = here.join("not/yet/made");
        assert_eq!(outside(&apart, &roots, &other).unwrap(), apart);
        assert!(!apart.exists() && !other.exists(), "nothing was needed, nothing was made");
        for inside in [root.clone(), root.join("a/state"), here.join("link/state")] {
            assert_eq!(outside(&inside, &roots, &other).unwrap(), other, "{}", inside.display());
        }
        assert_eq!(other.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_others_can_reach_or_have_placed_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let here = place.path().canonicalize().unwrap();
        let (root, other) = (here.join("root"), here.join("other"));
        std::fs::create_dir(&root).unwrap();
        let roots = [root.clone()];
        let refusal = |other: &Path| outside(&root.join("state"), &roots, other).unwrap_err().to_string();
        assert!(refusal(&root.join("other")).contains("lies in the workspace, too"));
        symlink(&root, &other).unwrap();
        assert!(refusal(&other).contains("lies in the workspace, too"));
        std::fs::remove_file(&other).unwrap();
        symlink(&here, &other).unwrap();
        assert!(refusal(&other).contains("is not a folder"), "{}", refusal(&other));
        std::fs::remove_file(&other).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::set_permissions(&other, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(refusal(&other).contains("others can reach"), "{}", refusal(&other));
    }
}
