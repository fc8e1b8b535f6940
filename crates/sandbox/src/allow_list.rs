//! What a run without a mount namespace may open: from the same view as tier A to a list for Landlock.
//!
//! Landlock only allows. So what the view makes fresh (`/proc`, `/tmp`, home) is left out here and made by the guard, what
//! it writes itself (`/etc/passwd`) is the host's, and a hidden path narrows the folder around it to its neighbours. A
//! workspace is worked on in its private copy, where the copy lies: [`AllowList::inside`] says what its paths become.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::Command;
use crate::error::{Error, Result};
use crate::output::Control;
use crate::policy::{Network, Policy};
use crate::spec::{Layer, What};
use crate::surroundings::Processors;
use crate::view::View;

/// The list as data.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowList {
    /// Files and folders to read and execute beneath.
    pub(crate) readable: Vec<OsString>,
    /// Files and folders to write beneath.
    pub(crate) writable: Vec<OsString>,
    /// Workspaces and where their copies lie.
    pub(crate) copies: Vec<(PathBuf, PathBuf)>,
    /// What is weaker than in a view of mounts, in words.
    pub(crate) weaker: Vec<String>,
}

impl AllowList {
    /// What the policy of a command allows.
    pub(crate) fn of(command: &Command, processors: &Processors) -> Result<Self> {
        Self::from_view(&command.policy, View::of(&command.policy, &command.limits, processors)?)
    }

    fn from_view(policy: &Policy, view: View) -> Result<Self> {
        let mut list = Self::default();
        for entry in view.entries {
            let at = Path::new(&entry.at);
            match entry.what {
                What::Symlink(_) | What::Folder | What::Scratch { .. } | What::Proc { .. } | What::Pts => {}
                What::File(_) if at == Path::new("/etc/resolv.conf") && policy.network == Network::None => {}
                What::File(_) => list.readable.extend(at.is_file().then_some(entry.at)),
                What::Copy(from) => list.readable.push(from),
                What::Device(from) => list.writable.push(from),
                What::ReadOnly { from, hide } => list.read(&path_of(from), &hide),
                What::Cache { from, hide } => {
                    let from = path_of(from);
                    list.weaker.push(format!("the tool cache {} is read-only", from.display()));
                    list.read(&from, &hide);
                }
                What::ReadWrite { from, hide } => {
                    let from = path_of(from);
                    list.refuse_hidden(policy, &from, &hide)?;
                    list.writable.push(from.into());
                }
                What::Private { from, hide } => {
                    let from = path_of(from);
                    list.refuse_hidden(policy, &from, &hide)?;
                    list.weaker.push(format!("the workspace {} lies at {}", at.display(), from.display()));
                    list.writable.push(from.clone().into());
                    list.copies.push((at.to_owned(), from));
                }
                What::Overlay { .. } => {
                    return Err(Error::Unenforceable {
                        control: Control::MountNamespace,
                        reason: format!(
                            "the workspace {} is an overlay, which takes a mount; without namespaces it has to be a copy",
                            at.display()
                        ),
                    });
                }
            }
        }
        Ok(list)
    }

    /// A folder without its hidden paths: where there are any, what lies beside them.
    fn read(&mut self, from: &Path, hide: &[OsString]) {
        let hidden: Vec<PathBuf> = hide.iter().map(|path| from.join(path)).filter(|path| path.exists()).collect();
        self.read_beside(from, &hidden);
    }

    fn read_beside(&mut self, from: &Path, hidden: &[PathBuf]) {
        if hidden.iter().any(|path| path == from) {
            return;
        }
        if !hidden.iter().any(|path| path.starts_with(from)) {
            self.readable.push(from.into());
            return;
        }
        self.weaker.push(format!("{} cannot be listed, for something in it is hidden", from.display()));
        for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
            self.read_beside(&entry.path(), hidden);
        }
    }

    /// Beneath a folder that takes new files nothing can be left out.
    fn refuse_hidden(&mut self, policy: &Policy, from: &Path, hide: &[OsString]) -> Result<()> {
        let Some(found) = hide.iter().map(|path| from.join(path)).find(|path| path.symlink_metadata().is_ok()) else {
            return Ok(());
        };
        let reason = format!("{} cannot be hidden in a folder that is written, without a mount", found.display());
        if !policy.allow_degraded.contains(&Control::View) {
            return Err(Error::Unenforceable { control: Control::View, reason });
        }
        self.weaker.push(reason);
        Ok(())
    }

    /// What a path of the policy is for the program: beneath a workspace, its place in the copy.
    pub(crate) fn inside(&self, path: &Path) -> Option<PathBuf> {
        let (rest, copy) = self.copies.iter().find_map(|(at, copy)| Some((path.strip_prefix(at).ok()?, copy)))?;
        Some(if rest.as_os_str().is_empty() { copy.clone() } else { copy.join(rest) })
    }

    /// An argument, which is mapped when it is nothing but a path beneath a workspace.
    pub(crate) fn argument(&self, text: OsString) -> OsString {
        self.inside(Path::new(&text)).map_or(text, Into::into)
    }

    /// `NAME=value`, with each path beneath a workspace in the value (separated by colons) mapped.
    pub(crate) fn variable(&self, entry: OsString) -> OsString {
        let bytes = entry.as_bytes();
        let Some(equals) = bytes.iter().position(|byte| *byte == b'=') else { return entry };
        let (name, value) = bytes.split_at(equals + 1);
        let mapped: Vec<Vec<u8>> = value
            .split(|byte| *byte == b':')
            .map(|part| {
                let inside = self.inside(Path::new(OsStr::from_bytes(part)));
                inside.map_or(part.to_vec(), |path| path.into_os_string().into_vec())
            })
            .collect();
        OsString::from_vec([name, &mapped.join(&b':')].concat())
    }
}

fn path_of(layer: Layer) -> PathBuf {
    match layer {
        Layer::Path(path) | Layer::Within(_, path) => path.into(),
        // Only a nest of root's is handed mounts.
        Layer::Mount(_) => PathBuf::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Source, Workspace};

    fn list_of(policy: &Policy) -> Result<AllowList> {
        let mut command = Command::new("/bin/true");
        command.policy(policy.clone());
        AllowList::of(&command, &Processors::of(&command.limits, 0))
    }

    fn with_copy(at: &Path, dir: &Path) -> Policy {
        let source = Source::Copy { dir: dir.to_owned() };
        Policy { workspaces: vec![Workspace { path: at.to_owned(), source }], ..Policy::default() }
    }

    #[test]
    fn home_and_the_running_host_are_not_on_the_list() {
        let list = list_of(&Policy::default()).unwrap();
        let all = || list.readable.iter().chain(&list.writable).map(Path::new);
        for absent in ["/", "/home", "/root", "/run", "/var", "/proc", "/tmp", "/var/tmp", "/dev", "/etc", "/sys"] {
            assert!(all().all(|path| path != Path::new(absent)), "{absent}");
        }
        assert!(all().any(|path| path == Path::new("/usr")));
        assert!(list.readable.iter().all(|path| path != "/etc/shadow" && path != "/etc/resolv.conf"));
    }

    #[test]
    fn paths_beneath_a_workspace_become_those_of_its_copy() {
        let list = list_of(&with_copy(Path::new("/srv/app"), Path::new("/state/copy"))).unwrap();
        assert_eq!(list.inside(Path::new("/srv/app/src/a.py")).unwrap(), Path::new("/state/copy/src/a.py"));
        assert_eq!(list.inside(Path::new("/srv/app")).unwrap(), Path::new("/state/copy"));
        assert_eq!(list.inside(Path::new("/srv/application")), None, "a name that begins alike");
        assert_eq!(list.argument("print('/srv/app')".into()), "print('/srv/app')");
        assert_eq!(list.argument("/srv/app/x".into()), "/state/copy/x");
        assert_eq!(list.variable("PATH=/srv/app/.venv/bin:/usr/bin".into()), "PATH=/state/copy/.venv/bin:/usr/bin");
        assert_eq!(list.variable("TEXT=see /srv/app".into()), "TEXT=see /srv/app");
    }

    #[test]
    fn an_overlay_is_refused_by_name() {
        let source = Source::Overlay { lowers: vec!["/srv/app".into()], upper: "/u".into(), work: "/w".into() };
        let workspaces = vec![Workspace { path: "/srv/app".into(), source }];
        let error = list_of(&Policy { workspaces, ..Policy::default() }).unwrap_err();
        assert!(matches!(error, Error::Unenforceable { control: Control::MountNamespace, .. }), "{error}");
    }

    #[test]
    fn a_hidden_path_narrows_its_folder_to_what_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        for name in ["a/b/secret", "a/b/open", "a/other"] {
            std::fs::write(at(name), "x").unwrap();
        }
        let policy = Policy { read_only: vec![at("")], hide: vec![at("a/b/secret")], ..Policy::default() };
        let list = list_of(&policy).unwrap();
        let mut below: Vec<_> = list.readable.iter().filter(|path| Path::new(path).starts_with(at(""))).collect();
        below.sort();
        assert_eq!(below, [at("a/b/open").as_os_str(), at("a/other").as_os_str()]);

        let policy = Policy { hide: vec!["/srv/app/a/b/secret".into()], ..with_copy(Path::new("/srv/app"), &at("")) };
        let error = list_of(&policy).unwrap_err();
        assert!(matches!(error, Error::Unenforceable { control: Control::View, .. }), "{error}");
        std::fs::remove_file(at("a/b/secret")).unwrap();
        assert!(list_of(&policy).is_ok(), "absent, it is hidden");
    }
}
