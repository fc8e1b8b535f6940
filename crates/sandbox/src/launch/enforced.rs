//! What a result says of the limits and the namespaces of a run before its nest reports.

use crate::linux::cgroup::Support;
use crate::output::{Control, Enforced, Enforcement};

/// What the cgroup holds; what it does not is kept by other means, and named.
pub(super) fn limits(support: &Support, failure: Option<&std::io::Error>) -> Enforced {
    let mut enforced = Enforced::new();
    for control in [Control::Memory, Control::Processes, Control::Cpu] {
        let missing = match (support.control(control), failure) {
            (Err(why), _) => Some(why.to_owned()),
            (Ok(()), Some(error)) => Some(format!("no cgroup could be made ({error})")),
            (Ok(()), None) => None,
        };
        let state = match (missing, control) {
            (None, _) => Enforcement::Active,
            (Some(why), Control::Memory) => {
                Enforcement::Degraded(format!("watched by sampling the tree's memory ({why})"))
            }
            (Some(why), Control::Processes) => {
                Enforcement::Degraded(format!("RLIMIT_NPROC in a user namespace of its own ({why})"))
            }
            (Some(why), _) => Enforcement::Degraded(format!("added up by sampling ({why})")),
        };
        enforced.insert(control, state);
    }
    enforced.insert(
        Control::Disk,
        Enforcement::Degraded("scratch space is a bounded tmpfs; layers on disk are watched by walking them".into()),
    );
    enforced
}

/// A namespace is in force when `clone3` made it: it makes all that were asked for or none. The nest init ends the run
/// where it cannot make the cgroup namespace.
pub(super) fn namespaces(enforced: &mut Enforced, own_network: bool) {
    for control in [
        Control::UserNamespace,
        Control::MountNamespace,
        Control::PidNamespace,
        Control::IpcNamespace,
        Control::UtsNamespace,
        Control::CgroupNamespace,
    ] {
        enforced.insert(control, Enforcement::Active);
    }
    let network =
        if own_network { Enforcement::Active } else { Enforcement::Off("the host's network was asked for".into()) };
    enforced.insert(Control::NetworkNamespace, network);
}
