//! What undo keeps is the user's alone: records, store entries and the journal, whatever the umask of the process and whatever
//! the modes of the files that were replaced; and it is gone when it is cleared up.

mod real_support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentic_executor::sandbox::{Sandbox, Spawner};
use agentic_executor::workspace::{Moment, RollBack, WorkspaceError};
use agentic_executor::{AgenticExecutor, Workspaces};
use agentic_testkit::{TestWorkspace, spawner_binary};
use real_support::{Real, shell};

/// The umask that the child is to have.
const UMASK: &str = "AGENTIC_KEPT_PRIVATE_UMASK";
const SECRET: &str = "hunter2 hunter2 hunter2";

/// A state folder and what is kept in it, each path with its kind, owner and permission bits. What lies beside that (layers
/// with the modes that steps gave them, marks without content) is closed by the folder alone.
fn below(state: &Path) -> Vec<(PathBuf, bool, u32, u32)> {
    let (mut all, mut next) = (Vec::new(), vec![state.to_owned()]);
    while let Some(path) = next.pop() {
        let found = path.symlink_metadata().unwrap();
        let inner = found.is_dir().then(|| fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        let is_kept = |path: &PathBuf| {
            let name = path.strip_prefix(state).ok().and_then(|rest| rest.components().next()).unwrap().as_os_str();
            ["undo", "store", "journal"].iter().any(|kept| name.to_string_lossy().starts_with(kept))
        };
        next.extend(inner.into_iter().flatten().filter(is_kept));
        all.push((path, found.is_dir(), found.uid(), found.mode() & 0o7777));
    }
    all
}

#[track_caller]
fn assert_private(state: &Path) {
    let me = rustix::process::geteuid().as_raw();
    for (path, folder, owner, mode) in below(state) {
        assert_eq!(owner, me, "{}", path.display());
        let most = if folder { 0o700 } else { 0o600 };
        assert_eq!(mode & !most, 0, "{} has mode {mode:04o}", path.display());
    }
}

/// Files of undo below a state folder: records, pending ones, store entries.
fn kept(state: &Path) -> [usize; 3] {
    let mut counts = [0; 3];
    for (path, folder, ..) in below(state) {
        let rest = path.strip_prefix(state).unwrap();
        match rest.components().next().and_then(|first| first.as_os_str().to_str()) {
            _ if folder => {}
            Some("undo") if rest.starts_with("undo/pending") => counts[1] += 1,
            Some("undo") if rest.extension().is_some_and(|end| end == "json") => counts[0] += 1,
            Some("store") => counts[2] += 1,
            _ => {}
        }
    }
    counts
}

/// Replaces a file that everybody may read and one that nobody else may, in a run, and takes that back.
fn replace_and_roll_back(real: &Real, look: impl Fn(&Path) + Send + Sync + 'static) {
    for (name, mode) in [("open", 0o666), ("closed", 0o600)] {
        let path = real.config.workspace.join(name);
        fs::write(&path, format!("{SECRET} {name}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let state = real.config.state.clone();
    let watcher = move |_: Moment<'_>| {
        look(&state);
        Ok(())
    };
    let sandbox = Sandbox::new(Spawner::Path(spawner_binary())).unwrap();
    let workspaces = Workspaces::new(&real.config.state, sandbox).unwrap().with_watcher(Arc::new(watcher));
    let ran =
        real.run_with(real.builder().workspaces(workspaces), [shell("one", "seq 1 9000; echo new > open; rm closed")]);
    assert!(ran.result.success, "{}", ran.result.summary());
    ran.executor.roll_back(&ran.result.run_id, None, &RollBack::default()).unwrap();
    assert_eq!(real.read("closed"), format!("{SECRET} closed"));
}

/// Run by the test below as a process of its own: a umask is the whole process's.
#[test]
fn child() {
    let Ok(umask) = std::env::var(UMASK) else { return };
    let umask = u32::from_str_radix(&umask, 8).unwrap();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    let real = Real::new();
    // That it holds: the very same call, of a file that nobody guards.
    fs::write(real.outside.join("control"), "").unwrap();
    assert_eq!(real.outside.join("control").metadata().unwrap().mode() & 0o777, 0o666 & !umask);
    let pending = Arc::new(std::sync::Mutex::new(0));
    let most = Arc::clone(&pending);
    replace_and_roll_back(&real, move |state| {
        assert_private(state);
        let mut most = most.lock().unwrap();
        *most = kept(state)[1].max(*most);
    });
    assert_private(&real.config.state);
    let [records, _, entries] = kept(&real.config.state);
    assert_eq!((records, *pending.lock().unwrap()), (2, 1), "the run's and the rollback's, each pending for a while");
    assert!(entries >= 3, "{entries}: two originals and a large output");
    println!("looked at everything");
}

#[test]
fn records_entries_and_journal_are_private_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child", "--nocapture"]).env(UMASK, umask).stdin(Stdio::null());
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let looked = output.status.success() && said.contains("looked at everything");
        assert!(looked, "umask {umask}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_state_folder_that_others_can_reach_is_refused() {
    let place = TestWorkspace::new();
    let state = place.join("state");
    fs::create_dir(&state).unwrap();
    let open = || Workspaces::new(&state, Sandbox::new(Spawner::Path(spawner_binary())).unwrap());
    for mode in [0o755, 0o710, 0o701] {
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        let refused = open().unwrap_err();
        assert!(matches!(&refused, WorkspaceError::Root { reason, .. } if reason.contains("chmod 700")), "{refused}");
    }
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    open().unwrap();
}

/// A secret that stood in a file that a step replaced is in the store until it is cleared up, and then nowhere.
#[test]
fn what_was_kept_is_gone_when_it_is_cleared_up() {
    let real = Real::new();
    replace_and_roll_back(&real, |_| {});
    let executor: AgenticExecutor = real.builder().build().unwrap();
    let state = &real.config.state;
    // Large outputs belong to the journal, which is not cleared up; one more file is the store's lock.
    let of_the_journal = executor.journal().stored().unwrap().len() + 1;
    let [records, _, entries] = kept(state);
    assert_eq!((records, entries), (2, of_the_journal + 3), "two originals, and what the rollback replaced");
    executor.collect(0, false).unwrap();
    assert_eq!(kept(state)[0], 0, "records");
    // Entries that nothing speaks of are left for a while, for a process that is about to write the record.
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    for (path, ..) in
        below(state).into_iter().filter(|(path, folder, ..)| !folder && path.starts_with(state.join("store")))
    {
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    }
    executor.collect(0, false).unwrap();
    assert_eq!(kept(state), [0, 0, of_the_journal]);
}

#[test]
fn a_step_sees_nothing_of_what_is_kept() {
    let real = Real::new();
    replace_and_roll_back(&real, |_| {});
    let (path, ..) =
        below(&real.config.state).into_iter().find(|(path, ..)| path.ends_with("journal.sqlite3")).unwrap();
    let listing = format!("head -c 15 {}", path.display());
    let outside = Command::new("sh").args(["-c", &listing]).output().unwrap();
    assert_eq!(outside.stdout, b"SQLite format 3", "the control");
    let ran = real.run([shell("one", format!("{listing} 2>&1; ls {} 2>&1; true", real.config.state.display()))]);
    assert!(ran.result.success, "{}", ran.result.summary());
    let said = ran.output("one");
    assert_eq!(said.matches("No such file or directory").count(), 2, "{said}");
}
