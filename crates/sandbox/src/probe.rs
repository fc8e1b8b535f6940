//! What this host can enforce: found by running a real program under everything, never by reading flags.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::launch::Sandbox;
use crate::output::{Control, Enforced, Enforcement, Output};
use crate::{Command, Limits};

/// What a sandboxed run on this host is under, and what to do about what it is not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostReport {
    /// The isolation tier: `A` as an ordinary user, `A'` as root, `B` without namespaces, `none` where a run is refused.
    pub tier: String,
    /// The kernel's release.
    pub kernel: String,
    /// Control by control, what held in the trial run. Empty where it was refused.
    pub enforced: Enforced,
    /// Why a run is refused, when it is.
    pub refused: Option<String>,
    /// For each control that does not fully hold: what to do about it.
    pub advice: Vec<(Control, String)>,
}

/// Programs that end at once with status 0; one of them is on every system.
const TRIAL: &[&str] = &["/usr/bin/true", "/bin/true", "/usr/bin/env"];

/// What follows from having no user namespace.
const FOLLOWING: &[Control] = &[
    Control::MountNamespace,
    Control::PidNamespace,
    Control::NetworkNamespace,
    Control::IpcNamespace,
    Control::UtsNamespace,
    Control::CgroupNamespace,
    Control::View,
    Control::Capabilities,
];

/// Runs a trivial program under every control and says what held.
pub fn probe(sandbox: &Sandbox) -> HostReport {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let trial = TRIAL.iter().map(Path::new).find(|path| path.exists()).unwrap_or(Path::new("/bin/true"));
    report(Command::new(trial).limits(Limits::default()).output(sandbox), kernel)
}

fn report(outcome: Result<Output>, kernel: String) -> HostReport {
    match outcome {
        // What was asked for of a run that did not take place holds for nothing.
        Ok(output) if !output.reason.success() => HostReport {
            tier: "none".into(),
            kernel,
            enforced: Enforced::new(),
            refused: Some(format!("a program that only ends did not end well in the sandbox: {:?}", output.reason)),
            advice: Vec::new(),
        },
        Ok(output) => {
            let guarded = output.enforced.get(&Control::UserNamespace) != Some(&Enforcement::Active);
            let advice = output
                .enforced
                .iter()
                .filter(|(_, state)| **state != Enforcement::Active)
                // Without user namespaces there are no others, and what they would hold is weaker.
                .filter(|(control, _)| !guarded || !FOLLOWING.contains(control))
                .map(|(control, _)| (*control, advice(*control).to_owned()))
                .collect();
            let tier = match (guarded, crate::identity::reserves_users()) {
                (true, _) => "B",
                (false, true) => "A'",
                (false, false) => "A",
            };
            HostReport { tier: tier.into(), kernel, enforced: output.enforced, refused: None, advice }
        }
        Err(error) => {
            let advice = match &error {
                Error::Unenforceable { control, .. } => vec![(*control, advice(*control).to_owned())],
                _ => Vec::new(),
            };
            HostReport {
                tier: "none".into(),
                kernel,
                enforced: Enforced::new(),
                refused: Some(error.to_string()),
                advice,
            }
        }
    }
}

fn advice(control: Control) -> &'static str {
    match control {
        Control::UserNamespace => {
            "allow unprivileged user namespaces: on Ubuntu 24.04 and later an AppArmor profile for this program that contains `userns,`; in a container `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`, or run it on the host; elsewhere `sysctl user.max_user_namespaces=10000`"
        }
        Control::Memory | Control::Processes | Control::Cpu => {
            "give this process a cgroup it may write: `systemd-run --user --scope -p Delegate=yes agentic …`, or start it as root"
        }
        Control::View => {
            "host folders that are overlays themselves, or have mounts below them, are shown by bind mount; move what must not be reachable out of them. Kernels before 5.12 can show none"
        }
        Control::Landlock => "boot a kernel of 5.19 or later with `landlock` in the `lsm=` list",
        Control::Disk => {
            "layers on disk are watched, not bounded; a project quota on the state folder's file system bounds them"
        }
        Control::NetworkNamespace => "leave the network at `none` (--network, network)",
        _ => "use a kernel of 5.19 or later with its usual namespaces and seccomp compiled in",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitReason;

    #[test]
    fn a_trial_that_did_not_end_well_shows_nothing() {
        let ended = |reason| {
            let enforced = Enforced::from([(Control::Memory, Enforcement::Active)]);
            let (stdout, stderr) = Default::default();
            report(
                Ok(Output {
                    reason,
                    stdout,
                    stderr,
                    usage: Default::default(),
                    limits_hit: vec![],
                    denials: Vec::new(),
                    network: None,
                    left: Vec::new(),
                    enforced,
                }),
                "6".into(),
            )
        };
        let well = ended(ExitReason::Exited(0));
        assert!(well.refused.is_none() && well.tier != "none" && !well.enforced.is_empty(), "{well:?}");
        for reason in [ExitReason::TimedOut, ExitReason::Exited(1), ExitReason::Signalled(9)] {
            let badly = ended(reason);
            assert!(badly.refused.is_some() && badly.tier == "none" && badly.enforced.is_empty(), "{badly:?}");
        }
    }
}
