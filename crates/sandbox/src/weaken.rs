//! Which barriers a build can take away, and that no ordinary build takes any.
//!
//! A refusal proves something only beside its control: the same act, with one barrier removed, succeeds. The corpus in
//! `crates/attack` therefore runs its attempts a second time under a *weakened spawner*, a program that is built with the
//! feature `weaken` and for tests only. Without the feature [`stands`] is a constant, so that nothing of this is in
//! `agentic`, in the wheel, or in the ordinary spawner.

/// Something that can be taken away. The names are those of the weakened spawner's file (see [`parse`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Barrier {
    /// The program's system-call filter, whole.
    Seccomp,
    /// What the filter's list says of one call.
    Call(&'static str),
    /// The nest init's own filter.
    NestInitFilter,
    /// Dropping capabilities: the program gets all that the nest init has.
    Capabilities,
    NoNewPrivs,
    Landlock,
    UserNamespace,
    MountNamespace,
    PidNamespace,
    NetworkNamespace,
    IpcNamespace,
    UtsNamespace,
    CgroupNamespace,
    /// That no namespace can be made below.
    Nesting,
    /// Host folders as overlays: they are bound instead.
    OverlayView,
    /// The mount attribute of what is shown read-only, and of the root.
    ReadOnly,
    Nosuid,
    /// Whiteouts and covers of hidden paths.
    HiddenPaths,
    /// The covers of what `/proc` tells of the host.
    CoveredProc,
    /// Closing what the spawner and the nest init have open.
    ClosedDescriptors,
    /// That the nest init can be neither read nor traced.
    Undumpable,
    /// That the nest init ends with the spawner.
    ParentDeath,
    /// One resource limit, by its name.
    Rlimit(&'static str),
}

/// Whether a barrier is to be put up. Always true in a build without the feature `weaken`.
#[cfg(not(feature = "weaken"))]
#[inline(always)]
pub(crate) const fn stands(_: Barrier) -> bool {
    true
}

#[cfg(feature = "weaken")]
pub(crate) use weakened::stands;
#[cfg(feature = "weaken")]
pub use weakened::weakened_spawner;

#[cfg(feature = "weaken")]
mod weakened {
    use std::path::Path;
    use std::sync::OnceLock;

    use super::Barrier;

    static REMOVED: OnceLock<Vec<Barrier>> = OnceLock::new();

    /// Whether a barrier is to be put up: unless this spawner's name says that it is taken away.
    pub(crate) fn stands(barrier: Barrier) -> bool {
        REMOVED.get().is_none_or(|removed| !removed.contains(&barrier))
    }

    /// The barriers that the file name of this program lists, with `+` between them: `seccomp+capabilities`. A spawner has
    /// neither arguments nor environment, so that its name is what can tell it.
    fn parse(name: &str) -> Option<Vec<Barrier>> {
        let one = |name: &str| {
            if let Some(call) = name.strip_prefix("call:") {
                return Some(Barrier::Call(call.to_owned().leak()));
            }
            if let Some(limit) = name.strip_prefix("rlimit:") {
                return Some(Barrier::Rlimit(limit.to_owned().leak()));
            }
            Some(match name {
                "seccomp" => Barrier::Seccomp,
                "nest-init-filter" => Barrier::NestInitFilter,
                "capabilities" => Barrier::Capabilities,
                "no-new-privs" => Barrier::NoNewPrivs,
                "landlock" => Barrier::Landlock,
                "user-namespace" => Barrier::UserNamespace,
                "mount-namespace" => Barrier::MountNamespace,
                "pid-namespace" => Barrier::PidNamespace,
                "network-namespace" => Barrier::NetworkNamespace,
                "ipc-namespace" => Barrier::IpcNamespace,
                "uts-namespace" => Barrier::UtsNamespace,
                "cgroup-namespace" => Barrier::CgroupNamespace,
                "nesting" => Barrier::Nesting,
                "overlay-view" => Barrier::OverlayView,
                "read-only" => Barrier::ReadOnly,
                "nosuid" => Barrier::Nosuid,
                "hidden-paths" => Barrier::HiddenPaths,
                "covered-proc" => Barrier::CoveredProc,
                "closed-descriptors" => Barrier::ClosedDescriptors,
                "undumpable" => Barrier::Undumpable,
                "parent-death" => Barrier::ParentDeath,
                _ => return None,
            })
        };
        name.split('+').map(one).collect()
    }

    /// The weakened spawner: as [`crate::spawner_hook`], without what its file name lists.
    pub fn weakened_spawner() {
        let exe = std::fs::read_link("/proc/self/exe").unwrap_or_default();
        let name = exe.file_name().unwrap_or_else(|| Path::new("").as_os_str()).to_string_lossy();
        match parse(&name) {
            Some(removed) => {
                let _ = REMOVED.set(removed);
                crate::spawner_hook();
            }
            None => {
                eprintln!("weakened spawner: `{name}` names no barriers that can be taken away");
                std::process::exit(2);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_file_name_lists_barriers_and_nothing_else() {
            let two = [Barrier::Seccomp, Barrier::Call("mount")];
            assert_eq!(parse("seccomp+call:mount").as_deref(), Some(&two[..]));
            for name in ["", "weakened-spawner", "seccomp+", "Seccomp"] {
                assert_eq!(parse(name), None, "{name}");
            }
        }
    }
}
