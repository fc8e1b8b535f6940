//! Parsing against written-down files; the mechanism against whatever hierarchies this host lets us write.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;

use super::leftovers::{PREFIX, is_stale, started};
use super::*;
use crate::limits::MB;
use crate::linux::child::{Ended, in_child, say};

fn text(folder: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
}

/// A group over a folder of ordinary files.
fn fake(folder: &Path, unified: bool) -> Group {
    let here = || Some(folder.to_owned());
    Group {
        unified: if unified { here() } else { None },
        unified_fd: None,
        memory: here(),
        pids: here(),
        cpuacct: if unified { None } else { here() },
        memory_is_unified: unified,
        // Nobody's: dropping it must not touch the folder.
        owner: 0,
    }
}

/// A group with its limits set.
fn limited(support: &Support, name: &str, limits: &Limits) -> io::Result<Group> {
    let group = Group::create(support, name)?;
    group.limit(limits).map(|()| group)
}

#[test]
fn procfs_is_read_for_v1_v2_and_containers() {
    let own = "9:name=systemd:/\n8:pids:/job\n4:memory:/job/one\n2:cpu,cpuacct:/\n0::/user.slice/app\n";
    let mounts = "\
30 20 0:25 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
31 20 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
32 20 0:27 /job /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory
33 20 0:28 /other /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct
34 20 0:29 / / rw - ext4 /dev/vda rw
broken line
";
    let found = hierarchy::own_folders(own, mounts);
    let unified = found.unified.unwrap();
    assert_eq!(unified.folder, Path::new("/sys/fs/cgroup/unified/user.slice/app"));
    assert_eq!(unified.mount, Path::new("/sys/fs/cgroup/unified"));
    assert_eq!(found.v1["pids"], Path::new("/sys/fs/cgroup/pids/job"));
    assert_eq!(found.v1["memory"], Path::new("/sys/fs/cgroup/my memory/one"));
    // Outside the mount's root.
    assert_eq!(found.v1["cpuacct"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    assert!(!found.v1.contains_key("rw"));
    assert_eq!(hierarchy::own_folders("", ""), hierarchy::Folders::default());
}

#[test]
fn v2_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    text(
        folder.path(),
        &[
            ("memory.events", "low 0\nhigh 0\nmax 41\noom 3\noom_kill 2\noom_group_kill 1\n"),
            ("pids.events", "max 7\n"),
            ("cpu.stat", "usage_usec 3500\nuser_usec 2000\nsystem_usec 1500\n"),
            ("memory.current", "4096\n"),
            ("cgroup.procs", "12\n13\n"),
        ],
    );
    let group = fake(folder.path(), true);
    assert_eq!((group.oom_kills(), group.pids_max_hits()), (2, 7));
    assert_eq!(group.cpu(), Some((Duration::from_micros(2000), Duration::from_micros(1500))));
    assert_eq!((group.current_memory(), group.peak_memory()), (Some(4096), None));
    assert!(group.populated());
}

#[test]
fn v1_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    text(
        folder.path(),
        &[
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"),
            ("pids.events", "max 1\n"),
            ("cpuacct.stat", "user 12\nsystem 3\n"),
            ("memory.usage_in_bytes", "8192\n"),
            ("memory.max_usage_in_bytes", "16384\n"),
            ("cgroup.procs", ""),
        ],
    );
    let group = fake(folder.path(), false);
    assert_eq!((group.oom_kills(), group.pids_max_hits()), (5, 1));
    assert_eq!(group.cpu(), Some((Duration::from_millis(120), Duration::from_millis(30))));
    text(folder.path(), &[("cpuacct.usage_user", "77\n"), ("cpuacct.usage_sys", "5\n")]);
    assert_eq!(group.cpu(), Some((Duration::from_nanos(77), Duration::from_nanos(5))));
    assert_eq!((group.current_memory(), group.peak_memory()), (Some(8192), Some(16384)));
    assert!(!group.populated());
}

#[test]
fn limits_are_written_in_both_dialects() {
    let limits = Limits { memory: 64 * MB, processes: 9, ..Limits::default() };
    let read = |folder: &Path, file| fs::read_to_string(folder.join(file)).unwrap();

    let v2 = tempfile::tempdir().unwrap();
    text(v2.path(), &[("memory.max", ""), ("memory.oom.group", ""), ("memory.swap.max", ""), ("pids.max", "")]);
    fake(v2.path(), true).limit(&limits).unwrap();
    assert_eq!(read(v2.path(), "memory.max"), "67108864");
    assert_eq!(read(v2.path(), "memory.oom.group"), "1");
    assert_eq!(read(v2.path(), "memory.swap.max"), "0");
    assert_eq!(read(v2.path(), "pids.max"), "10");

    let v1 = tempfile::tempdir().unwrap();
    text(v1.path(), &[("memory.limit_in_bytes", ""), ("memory.swappiness", ""), ("pids.max", "")]);
    fake(v1.path(), false).limit(&limits).unwrap();
    assert_eq!(read(v1.path(), "memory.limit_in_bytes"), "67108864");
    assert_eq!(read(v1.path(), "memory.swappiness"), "0");
    text(v1.path(), &[("memory.memsw.limit_in_bytes", "")]);
    fake(v1.path(), false).limit(&limits).unwrap();
    assert_eq!(read(v1.path(), "memory.memsw.limit_in_bytes"), "67108864");
}

#[test]
fn a_limit_that_cannot_be_written_fails_by_name_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let support = Support {
        unified: Some(folder.path().to_owned()),
        unified_memory: true,
        unified_pids: true,
        ..Support::default()
    };
    let error = limited(&support, "x", &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("memory.max"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn only_groups_of_dead_processes_of_our_namespace_are_stale() {
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let own = own_name("x").unwrap();
    let (pid, at) = (std::process::id(), started(std::process::id()).unwrap().unwrap());
    let stale = |name: &str| is_stale(OsStr::new(name), namespace);
    assert!(!stale(&own), "{own}");
    assert!(stale(&format!("{PREFIX}{namespace}-{pid}-{}-x", at + 1)), "the pid was given to another process");
    assert!(!stale(&format!("{PREFIX}{}-{pid}-{}-x", namespace + 1, at + 1)), "another pid namespace");
    let dead = in_child(|| {
        say(&own_name("x").unwrap());
        0
    });
    assert!(stale(&dead.said), "{}", dead.said);
    for name in ["system.slice", "agentic-", "agentic-a-b-c-d", "agentic-1", ""] {
        assert!(!stale(name), "{name}");
    }
}

#[test]
fn whose_process_cannot_be_looked_at_is_not_stale() {
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let (own, parent) = (own_name("x").unwrap(), std::process::id());
    let gone = format!("{PREFIX}{namespace}-{parent}-1-x");
    let told = in_child(|| {
        let stale = |name: &str| is_stale(OsStr::new(name), namespace);
        let before = (stale(&own), stale(&gone));
        // No descriptor is left to read /proc with.
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, none).unwrap();
        let after = (stale(&own), stale(&gone));
        say(&format!("{before:?} {after:?}"));
        0
    });
    // The control: with descriptors the living one is not stale, and one whose number was given away is.
    assert_eq!(told.said, "(false, true) (false, false)");
}

#[test]
fn without_any_hierarchy_every_control_has_its_reason() {
    let support = Support::of(&hierarchy::Folders::default());
    for control in [Control::Memory, Control::Processes, Control::Cpu] {
        assert!(support.control(control).unwrap_err().contains("not mounted"));
    }
    let group = limited(&support, "none", &Limits::default()).unwrap();
    assert!(group.clone_fd().is_none() && group.cpu().is_none() && group.peak_memory().is_none());
    group.join(1).unwrap();
    group.kill().unwrap();
    group.remove().unwrap();
}

/// What this host lets us do, or a printed reason.
fn supported(control: Control) -> Option<Support> {
    let support = Support::probe();
    if let Err(reason) = support.control(control) {
        println!("SKIP: no cgroup for {control:?}: {reason}");
        return None;
    }
    Some(support)
}

/// Runs in a child that is in the group before it starts.
fn in_group(group: &Group, run: impl FnOnce() -> i32) -> Ended {
    in_child(|| {
        group.join(std::process::id()).unwrap();
        run()
    })
}

#[test]
fn memory_is_limited_counted_and_killed() {
    let Some(support) = supported(Control::Memory) else { return };
    let limits = Limits { memory: 32 * MB, ..Limits::default() };
    let touch = |megabytes: usize| {
        move || {
            let mut memory = vec![0_u8; megabytes << 20];
            memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            i32::from(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>() == 0)
        }
    };
    let within = limited(&support, "within", &limits).unwrap();
    assert_eq!(in_group(&within, touch(8)).code, Some(0));
    assert_eq!(within.oom_kills(), 0);
    if let Some(peak) = within.peak_memory() {
        assert!((8 * MB..32 * MB).contains(&peak), "{peak}");
    }
    within.remove().unwrap();
    let beyond = limited(&support, "beyond", &limits).unwrap();
    let ended = in_group(&beyond, touch(256));
    assert_eq!(ended.signal, Some(libc::SIGKILL), "{ended:?}");
    assert!(beyond.oom_kills() >= 1);
    assert!(beyond.peak_memory().is_none_or(|peak| peak <= 32 * MB));
    beyond.remove().unwrap();
    // The control: the same without a group.
    assert_eq!(in_child(touch(256)).code, Some(0));
}

#[test]
fn processes_are_limited_and_refusals_counted() {
    let Some(support) = supported(Control::Processes) else { return };
    let group = limited(&support, "pids", &Limits { processes: 4, ..Limits::default() }).unwrap();
    let ended = in_group(&group, || {
        let mut made = 0;
        for _ in 0..20 {
            // SAFETY: the new child pauses until its group is killed and does nothing else.
            match unsafe { libc::fork() } {
                // SAFETY: as above; pause and _exit touch no memory.
                0 => unsafe {
                    libc::close(1);
                    libc::close(2);
                    libc::pause();
                    libc::_exit(0)
                },
                -1 => break,
                _ => made += 1,
            }
        }
        made
    });
    // Limit 4, one more for the nest init, and this child itself is one of them.
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(group.pids_max_hits() >= 1);
    assert!(group.populated());
    group.kill().unwrap();
    group.remove().unwrap();
}

#[test]
fn cpu_time_of_the_whole_tree_is_counted() {
    let Some(support) = supported(Control::Cpu) else { return };
    let group = limited(&support, "cpu", &Limits::default()).unwrap();
    let ended = in_group(&group, || {
        // SAFETY: the grandchild counts for a while and leaves by `_exit`.
        let burn = unsafe { libc::fork() };
        if burn == 0 {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(300) {
                std::hint::spin_loop();
            }
            // SAFETY: `_exit` touches no memory.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: waits for our own child without asking for its status.
        unsafe { libc::waitpid(burn, std::ptr::null_mut(), 0) };
        0
    });
    assert_eq!(ended.code, Some(0));
    let (user, system) = group.cpu().unwrap();
    let spent = user + system;
    // A loaded machine gives the loop less than its 300 ms.
    assert!(spent > Duration::from_millis(20) && spent < Duration::from_secs(5), "{spent:?}");
    group.remove().unwrap();
}

#[test]
fn kill_ends_a_tree_that_left_its_session_and_dropping_removes_the_group() {
    let support = Support::probe();
    if support.parents().is_empty() {
        println!("SKIP: no cgroup at all: {:?}", support.missing);
        return;
    }
    let group = limited(&support, "kill", &Limits::default()).unwrap();
    let folders: Vec<PathBuf> = group.folders().into_iter().map(Path::to_owned).collect();
    let ended = in_group(&group, || {
        for _ in 0..3 {
            // SAFETY: each child leaves the session and pauses until it is killed.
            if unsafe { libc::fork() } == 0 {
                // SAFETY: these calls take integers only.
                unsafe {
                    libc::setsid();
                    libc::close(1);
                    libc::close(2);
                    libc::pause();
                }
            }
        }
        0
    });
    assert_eq!(ended.code, Some(0));
    assert!(group.populated(), "the control: they outlive their parent");
    group.kill().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while group.populated() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(!group.populated());
    drop(group);
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}

#[test]
fn the_slow_way_of_killing_works_too() {
    let support = Support::probe();
    let Some(parent) = support.parents().into_iter().next() else {
        println!("SKIP: no cgroup at all: {:?}", support.missing);
        return;
    };
    let group = limited(&support, "slow", &Limits::default()).unwrap();
    let ended = in_group(&group, || {
        // SAFETY: the child pauses until it is killed.
        if unsafe { libc::fork() } == 0 {
            // SAFETY: these calls take integers only.
            unsafe {
                libc::close(1);
                libc::close(2);
                libc::pause();
            }
        }
        0
    });
    assert_eq!(ended.code, Some(0));
    let folder = group.folders().into_iter().find(|folder| folder.starts_with(&parent)).unwrap().to_owned();
    assert_eq!(kill_members(&folder), 1);
    let deadline = Instant::now() + Duration::from_secs(5);
    while kill_members(&folder) > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    group.remove().unwrap();
}

#[test]
fn a_group_of_a_dead_process_is_swept_with_what_lives_in_it() {
    let support = Support::probe();
    let Some(parent) = support.parents().into_iter().next() else {
        println!("SKIP: no cgroup at all: {:?}", support.missing);
        return;
    };
    // The maker dies without dropping the group, and a child of it lives on inside.
    let ended = in_child(|| {
        let group = limited(&support, "left", &Limits::default()).unwrap();
        group.join(std::process::id()).unwrap();
        say(group.folders()[0].to_str().unwrap());
        // SAFETY: the child pauses until it is killed.
        if unsafe { libc::fork() } == 0 {
            // SAFETY: these calls take integers only.
            unsafe {
                libc::close(1);
                libc::close(2);
                libc::pause();
            }
        }
        std::mem::forget(group);
        0
    });
    let left = PathBuf::from(&ended.said);
    assert!(left.starts_with(&parent) && left.exists(), "{ended:?}");
    let deadline = Instant::now() + Duration::from_secs(5);
    while left.exists() && Instant::now() < deadline {
        Support::probe();
    }
    assert!(!left.exists());
}

#[test]
fn a_forked_copy_does_not_remove_the_group() {
    let support = Support::probe();
    if support.parents().is_empty() {
        println!("SKIP: no cgroup at all: {:?}", support.missing);
        return;
    }
    let group = limited(&support, "copy", &Limits::default()).unwrap();
    let folder = group.folders()[0].to_owned();
    in_child(|| {
        // SAFETY: reads a bitwise copy of a value that this forked child alone then owns and drops.
        drop(unsafe { std::ptr::read(&raw const group) });
        0
    });
    assert!(folder.exists());
    group.remove().unwrap();
    assert!(!folder.exists());
}

/// What a group costs; printed, since a bound would depend on the machine. `--ignored --nocapture` shows it.
#[test]
#[ignore = "a measurement"]
fn group_cost() {
    let start = Instant::now();
    let support = Support::probe();
    println!("probe {:?}", start.elapsed());
    for round in 0..3 {
        let start = Instant::now();
        let group = limited(&support, &format!("cost{round}"), &Limits::default()).unwrap();
        let made = start.elapsed();
        in_group(&group, || 0);
        let start = Instant::now();
        group.remove().unwrap();
        println!("create {made:?}, remove {:?}", start.elapsed());
    }
}
