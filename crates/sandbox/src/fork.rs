//! A child that the engine's program forks (without exec): it holds copies of the engine's descriptors and of its
//! memory, and none of its threads.
//!
//! It may not speak on the engine's connection to the spawner, nor end what is the engine's. What would is bound to the
//! process that made it: [`Sandbox`] and the handles of runs compare its id. Names of groups hold the id, too, and a
//! range of ids is reserved as long as any copy of its descriptor is open, so a sandbox that the child makes itself
//! meets nothing of the engine's.

use std::sync::TryLockError;

use crate::error::{Error, Result};
use crate::launch::Sandbox;

impl Sandbox {
    /// To be called in a forked child, for a sandbox of the process it was forked from: closes the child's copy of the
    /// connection to the spawner, and leaks the rest. The other process and its runs are not disturbed. Nothing is
    /// waited for: a lock may be held by a thread that does not exist here, and a connection behind such a lock stays
    /// open.
    ///
    /// In the process that made the sandbox it does nothing, but leak this handle.
    pub fn after_fork(self) {
        if self.check_owner().is_err() {
            let client = match self.inner.client.try_lock() {
                Ok(client) => client.clone(),
                Err(TryLockError::Poisoned(client)) => client.into_inner().clone(),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(client) = client {
                // A copy that stays open does no harm: the spawner also ends with the process that started it.
                let _ = client.disconnect();
                std::mem::forget(client);
            }
        }
        std::mem::forget(self);
    }

    /// Refuses in a forked child.
    pub(crate) fn check_owner(&self) -> Result<()> {
        let owner = self.inner.owner;
        if owner == std::process::id() { Ok(()) } else { Err(Error::Forked { owner }) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::{Path, PathBuf};
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use agentic_testkit::{processes_with_marker, wait_until_gone};

    use crate::linux::child::{in_child, say};
    use crate::{Child, Command, Error, ExitReason, Limits, Sandbox, Spawner};

    /// Where the child says who it is, in a process that [`engine`] turns into an engine.
    const ENGINE: &str = "AGENTIC_TEST_FORKING_ENGINE";
    const PATIENCE: Duration = Duration::from_secs(20);

    fn sandbox() -> Sandbox {
        Sandbox::new(Spawner::Path(agentic_testkit::spawner_binary())).unwrap()
    }

    fn echo(sandbox: &Sandbox, text: &str) -> String {
        let output = Command::new("/bin/echo").arg(text).output(sandbox).unwrap();
        assert!(output.reason.success(), "{output:?}");
        output.stdout.text()
    }

    /// Ends with 7 when its input does.
    fn lasting(sandbox: &Sandbox, marker: &str) -> (Child, std::io::PipeWriter) {
        let (read, write) = std::io::pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "while read line; do :; done; exit 7", marker]).env("PATH", "/usr/bin:/bin");
        command.limits(Limits { wall: Duration::from_secs(600), ..Limits::default() });
        command.stdin(crate::Stdin::Relay(std::sync::Arc::new(read.into())));
        let child = command.spawn(sandbox).unwrap();
        wait_for("the run begins", || !processes_with_marker(marker).is_empty());
        (child, write)
    }

    fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn marker(name: &str) -> String {
        format!("agentic-fork-{name}-{}", std::process::id())
    }

    #[test]
    fn parent_and_child_each_run_in_a_sandbox_of_their_own() {
        let parents = sandbox();
        let (run, input) = lasting(&parents, &marker("apart"));
        // Taken by the child alone: what the parent has stays with it.
        let (mut clones, mut runs) = (vec![parents.clone(), parents.clone()], Some(run));
        let ended = in_child(|| {
            let refused = Command::new("/bin/true").output(&parents).unwrap_err();
            assert!(matches!(refused, Error::Forked { .. }), "{refused}");
            drop(parents.warm_up());
            clones.pop().unwrap().after_fork();
            // Nor is anything of the parent's ended by what is dropped here.
            drop((clones.pop(), runs.take()));
            let own = sandbox();
            assert_eq!(echo(&own, "child"), "child\n");
            assert_eq!(echo(&own, "again"), "again\n");
            drop(own);
            say("done");
            0
        });
        assert_eq!((ended.code, ended.said.as_str()), (Some(0), "done"), "{ended:?}");
        assert_eq!(echo(&parents, "parent"), "parent\n");
        drop(input);
        let output = runs.unwrap().wait().unwrap();
        assert_eq!(output.reason, ExitReason::Exited(7), "the run that was there before the fork");
    }

    #[test]
    fn both_run_at_once() {
        let parents = sandbox();
        assert_eq!(echo(&parents, "before"), "before\n");
        let child = std::thread::scope(|scope| {
            let forked = scope.spawn(|| {
                in_child(|| {
                    parents.clone().after_fork();
                    let own = sandbox();
                    for n in 0..20 {
                        assert_eq!(echo(&own, &n.to_string()), format!("{n}\n"));
                    }
                    0
                })
            });
            for n in 0..20 {
                assert_eq!(echo(&parents, &n.to_string()), format!("{n}\n"));
            }
            forked.join().unwrap()
        });
        assert_eq!(child.code, Some(0), "{child:?}");
    }

    /// Not a test by itself: what [`the_spawner_of_a_killed_engine_ends_beside_a_forked_child`] starts and kills.
    #[test]
    fn engine() {
        let Some(place) = std::env::var_os(ENGINE) else { return };
        let sandbox = sandbox();
        let (_run, _input) = lasting(&sandbox, &place.to_string_lossy());
        in_child(|| {
            std::fs::write(Path::new(&place), std::process::id().to_string()).unwrap();
            // Until whoever started the engine closes it.
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            0
        });
    }

    #[test]
    fn the_spawner_of_a_killed_engine_ends_beside_a_forked_child() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("child");
        let marker = place.to_string_lossy();
        let mut engine = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fork::tests::engine", "--nocapture"])
            .env(ENGINE, &place)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let hold = engine.stdin.take();
        let child = || std::fs::read_to_string(&place).ok().filter(|pid| !pid.is_empty());
        wait_for("the child begins", || child().is_some());
        let child = PathBuf::from("/proc").join(child().unwrap());
        // The copy of the spawner's socket is what would keep it alive.
        let connection = || std::fs::read_dir(child.join("fd")).unwrap().flatten().any(|fd| is_socket(&fd.path()));
        assert!(connection(), "the child holds copies of the engine's descriptors");
        engine.kill().unwrap();
        engine.wait().unwrap();
        // The environment of the child holds the marker, too.
        let own: u32 = child.file_name().unwrap().to_str().unwrap().parse().unwrap();
        wait_for("the run ends", || processes_with_marker(&marker).iter().all(|pid| *pid == own));
        assert!(connection(), "the child lives and holds them still");
        drop(hold);
        assert_eq!(wait_until_gone(&marker, PATIENCE), Vec::<u32>::new());
    }

    fn is_socket(fd: &Path) -> bool {
        std::fs::read_link(fd).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    }
}
