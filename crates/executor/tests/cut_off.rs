//! A process that is killed while it applies a layer: the next one that opens the state folder finds the step's files all
//! as before it, or all as after it.

mod workspace_support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentic_executor::sandbox::{Sandbox, Spawner};
use agentic_executor::tools::Access;
use agentic_executor::workspace::{Backend, Moment, RollBack, Workspaces};
use workspace_support::{Entry, tree, upper};

/// Where the child works, and at which moment it is killed.
const PLACE: &str = "AGENTIC_CUT_OFF_PLACE";
const MOMENT: &str = "AGENTIC_CUT_OFF_MOMENT";

fn workspaces(place: &Path) -> Workspaces {
    let sandbox = Sandbox::new(Spawner::Path(agentic_testkit::spawner_binary())).unwrap();
    Workspaces::new(&place.join("state"), sandbox).unwrap()
}

/// The project before the step.
fn lay_out(root: &Path) {
    for folder in ["tree/a", "empty"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (path, bytes) in [("changed", "old"), ("gone", "gone"), ("tree/a/b", "b"), ("tree/c", "c"), ("type", "file")] {
        fs::write(root.join(path), bytes).unwrap();
    }
    fs::write(root.join("linked"), "old bytes of both").unwrap();
    fs::hard_link(root.join("linked"), root.join("tree/linked")).unwrap();
    fs::write(root.join("script"), "#!").unwrap();
    fs::set_permissions(root.join("script"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("gone", root.join("link")).unwrap();
}

/// What the step does, in a copy of the project.
fn act(root: &Path) {
    fs::write(root.join("changed"), "new").unwrap();
    fs::write(root.join("linked"), "new bytes").unwrap();
    fs::remove_file(root.join("gone")).unwrap();
    fs::remove_dir_all(root.join("tree/a")).unwrap();
    fs::remove_dir(root.join("empty")).unwrap();
    fs::set_permissions(root.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(root.join("link")).unwrap();
    symlink("changed", root.join("link")).unwrap();
    fs::remove_file(root.join("type")).unwrap();
    fs::create_dir_all(root.join("type/deep")).unwrap();
    fs::write(root.join("type/deep/file"), "x").unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    fs::write(root.join("closed/file"), "x").unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
}

/// Run by the tests below as a process of its own.
#[test]
fn child() {
    let (Some(place), Some(at)) = (std::env::var_os(PLACE), std::env::var_os(MOMENT)) else { return };
    let (place, at) = (PathBuf::from(place), at.to_str().unwrap().parse::<usize>().unwrap());
    let count = AtomicUsize::new(0);
    let watcher = move |_: Moment<'_>| {
        if count.fetch_add(1, Ordering::Relaxed) == at {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        Ok(())
    };
    let workspaces = workspaces(&place).with_watcher(Arc::new(watcher));
    let attempt = workspaces.open_with(&[place.join("project")], Access::Write, Backend::Copy).unwrap();
    attempt.make_undoable();
    fs::write(place.join("name"), attempt.name().unwrap()).unwrap();
    act(&upper(&attempt, 0));
    attempt.commit().unwrap();
}

/// Whether the child was killed at that moment, rather than done before it.
fn kill_at(place: &Path, moment: usize) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child"]).env(PLACE, place).env(MOMENT, moment.to_string());
    let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    match (status.signal(), status.code()) {
        (Some(9), _) => true,
        (None, Some(0)) => false,
        _ => panic!("the child ended with {status}"),
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let place = temp.path().canonicalize().unwrap();
    fs::create_dir(place.join("project")).unwrap();
    lay_out(&place.join("project"));
    (temp, place)
}

fn pending(place: &Path) -> usize {
    fs::read_dir(place.join("state/undo/pending")).map_or(0, Iterator::count)
}

#[test]
fn whenever_the_process_is_killed_the_files_are_all_before_or_all_after_the_step() {
    let (mut killed, mut torn) = (0, 0);
    for moment in 0.. {
        let (_temp, place) = place();
        let root = place.join("project");
        let before = tree(&root);
        let written = ["changed", "gone", "tree/a/b", "linked"].map(|path| {
            let found = root.join(path).metadata().unwrap();
            (found.mtime(), found.mtime_nsec())
        });
        if !kill_at(&place, moment) {
            break;
        }
        killed += 1;
        torn += usize::from(tree(&root) != before);
        assert_eq!(pending(&place), 1, "moment {moment}");
        let opened = workspaces(&place);
        let [recovered] = opened.recovered() else { panic!("moment {moment}: {:?}", opened.recovered()) };
        assert!(recovered.outcome.is_ok() && recovered.left.is_empty(), "moment {moment}: {recovered:?}");
        assert_eq!(tree(&root), before, "moment {moment}");
        assert_eq!(pending(&place), 0, "moment {moment}");
        let times = |path: &str| root.join(path).metadata().map(|found| (found.mtime(), found.mtime_nsec())).unwrap();
        assert_eq!(["changed", "gone", "tree/a/b", "linked"].map(times), written, "moment {moment}");
        assert!(workspaces(&place).recovered().is_empty(), "once");
    }
    // The control: without the recovery the files were neither.
    assert!(killed > 20 && torn > 10, "killed {killed} times, {torn} times the files were torn");
}

#[test]
fn a_step_that_was_applied_stays_and_can_be_taken_back() {
    let (_temp, place) = place();
    let root = place.join("project");
    let before = tree(&root);
    assert!(!kill_at(&place, 10_000));
    assert_ne!(tree(&root), before);
    let opened = workspaces(&place);
    assert!(opened.recovered().is_empty());
    let layer = fs::read_to_string(place.join("name")).unwrap();
    opened.roll_back(&[layer], &RollBack::default()).unwrap();
    assert_eq!(tree(&root), before);
}

#[test]
fn what_others_wrote_after_the_crash_is_left_alone() {
    let mut met = 0;
    for moment in (0..).step_by(3) {
        let (_temp, place) = place();
        let root = place.join("project");
        if !kill_at(&place, moment) {
            break;
        }
        fs::write(root.join("changed"), "by somebody else").unwrap();
        fs::write(root.join("tree/notes"), "new").unwrap();
        let opened = workspaces(&place);
        let [recovered] = opened.recovered() else { panic!("{:?}", opened.recovered()) };
        let done = recovered.outcome.as_ref().unwrap();
        let now = tree(&root);
        assert_eq!(now[Path::new("changed")], Entry::File(b"by somebody else".to_vec(), 0o644), "moment {moment}");
        assert!(now.contains_key(Path::new("tree/notes")) && now.contains_key(Path::new("gone")), "moment {moment}");
        met += usize::from(done.changed_since.iter().any(|one| one.path.ends_with("changed")));
    }
    assert!(met > 5, "told {met} times");
}

#[test]
fn a_layer_that_is_being_applied_is_not_taken_for_one_that_was_cut_off() {
    let (_temp, place) = place();
    let at = place.clone();
    let seen = Arc::new(AtomicUsize::new(0));
    let looked = seen.clone();
    let watcher = move |moment: Moment<'_>| {
        if moment == Moment::Swapped {
            looked.store(1 + workspaces(&at).recovered().len(), Ordering::Relaxed);
        }
        Ok(())
    };
    let working = workspaces(&place).with_watcher(Arc::new(watcher));
    let attempt = working.open_with(&[place.join("project")], Access::Write, Backend::Copy).unwrap();
    attempt.make_undoable();
    act(&upper(&attempt, 0));
    attempt.commit().unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 1, "another one looked, and left it alone");
    assert_eq!(fs::read_to_string(place.join("project/changed")).unwrap(), "new");
}
