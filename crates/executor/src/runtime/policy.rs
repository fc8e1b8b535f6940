//! From what the operator decided to the sandbox's policy and environment, for each view.
//!
//! [`system_policy`] and [`host_policy`] answer with a [`Prepared`]. One decision: this is the only place
//! that builds a policy for a tool, so what a view shows has one address.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_sandbox::{Command, Control, Enforced, Enforcement, Gateway, Policy, View, Workspace};

use super::find::{Runtime, is_system};
use super::imports::ImportPolicy;
use super::toolchains::Toolchains;
use super::{dotenv, environment};
use crate::config::Config;

/// A policy with its environment, and what could not be promised about it.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// What the run may read, write, reach and execute.
    pub policy: Policy,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// What answers inside, when the policy has its network proxied.
    pub gateway: Option<Arc<dyn Gateway>>,
    /// Controls that are decided here rather than by the sandbox: to be added to the result's map.
    pub notes: Enforced,
}

impl Prepared {
    /// Hands policy and environment to a command.
    pub fn apply(&self, command: &mut Command) {
        command.policy(self.policy.clone());
        if let Some(gateway) = &self.gateway {
            command.gateway(gateway.clone());
        }
        for (key, value) in &self.env {
            command.env(key, value);
        }
    }
}

/// The system view: a runtime (when there is one), the workspace, nothing of home; the import policy's
/// capabilities are closed, in every language.
pub fn system_policy(config: &Config, runtime: Option<&Runtime>, mounts: Vec<Workspace>) -> Prepared {
    let env = environment::of_system_view(config, runtime);
    let mut read_only = config.sandbox.read_only.clone();
    read_only.extend(runtime.into_iter().flat_map(|runtime| runtime.prefixes.clone()));
    let policy = Policy {
        view: View::System,
        profile: config.sandbox.profile,
        closed: ImportPolicy::new(&config.sandbox).closed(),
        home: Some(environment::HOME_INSIDE.into()),
        ..common(config, mounts, read_only, Vec::new())
    };
    finish(config, policy, env.into_iter().collect())
}

/// The host view: the user's toolchains at their places in an otherwise empty home.
pub fn host_policy(config: &Config, mounts: Vec<Workspace>) -> Prepared {
    let toolchains = Toolchains::probe(&config.host);
    let mut read_only = config.sandbox.read_only.clone();
    read_only.extend(toolchains.read_only().map(Path::to_owned));
    let caches = toolchains.caches().map(Path::to_owned).collect();
    let policy = Policy {
        view: View::Host,
        home: Some(config.host.home.clone().unwrap_or_else(|| environment::HOME_INSIDE.into())),
        ..common(config, mounts, read_only, caches)
    };
    let visible = |path: &Path| {
        let shown = policy.read_only.iter().chain(&policy.read_write).chain(&policy.caches);
        let in_workspace = policy.workspaces.iter().any(|workspace| path.starts_with(&workspace.path));
        is_system(path) || in_workspace || shown.into_iter().any(|shown| path.starts_with(shown))
    };
    let env = environment::of_host_view(config, visible);
    finish(config, policy, env.into_iter().collect())
}

fn common(config: &Config, mounts: Vec<Workspace>, read_only: Vec<PathBuf>, caches: Vec<PathBuf>) -> Policy {
    let settings = &config.sandbox;
    // A read-only mount inside a workspace would hide the layer's own writes; the workspace shows it anyway.
    // One that `--rw` names is the operator's word, and the later one.
    let outside = |path: &PathBuf| {
        !mounts.iter().any(|mount| path.starts_with(&mount.path))
            && !settings.read_write.iter().any(|shown| path.starts_with(shown))
    };
    let unique = |paths: Vec<PathBuf>| {
        let mut kept: Vec<PathBuf> = Vec::new();
        for path in paths.into_iter().filter(outside) {
            if !kept.contains(&path) {
                kept.push(path);
            }
        }
        kept
    };
    Policy {
        read_only: unique(read_only),
        caches: unique(caches),
        read_write: settings.read_write.clone(),
        hide: settings.hide.clone(),
        network: settings.network,
        tier: settings.tier,
        allow_degraded: settings.allow_degraded.clone(),
        workspaces: mounts,
        ..Policy::default()
    }
}

fn finish(config: &Config, mut policy: Policy, env: Vec<(OsString, OsString)>) -> Prepared {
    let mut notes = Enforced::new();
    let shown = config.sandbox.dotenv.unwrap_or(policy.view == View::Host);
    if shown {
        notes.insert(Control::Dotenv, Enforcement::Off("dotenv files of the workspace are shown".into()));
    } else {
        let found = dotenv::find(&policy.workspaces);
        policy.hide.extend(found.files);
        notes.insert(Control::Dotenv, found.incomplete.map_or(Enforcement::Active, Enforcement::Degraded));
    }
    Prepared { policy, env, gateway: config.sandbox.gateway.clone(), notes }
}
