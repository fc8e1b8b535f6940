//! What the kernel answers to a program inside, asked live: system calls by number, sockets by family, identities,
//! descriptors, and everything under `/proc` and the mounts that could be written.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use agentic_sandbox::{Command, Limits, Network, Policy, Profile, Stream};
use agentic_testkit::{is_root, report_skip};
use common::{Folder, code, printed, sandbox, seconds, unconfined};

/// Prints `name answer` for each `(name, number, arguments)` of `CALLS`.
const ASK: &str = r#"
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
for name, number, *args in CALLS:
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    print(name, 'ok' if done != -1 else errno.errorcode[ctypes.get_errno()])
"#;

/// Name, number (x86_64), arguments, the answer inside, and whether asking outside is harmless and answered otherwise
/// to any user. Where it is not, the unit tests of the filter hold the control.
const CLOSED: &[(&str, u32, &str, &str, bool)] = &[
    ("io_uring_setup", 425, "1, 0", "ENOSYS", true),
    ("io_uring_enter", 426, "-1, 0, 0, 0, 0, 0", "ENOSYS", true),
    ("io_uring_register", 427, "-1, 0, 0, 0", "ENOSYS", true),
    ("io_setup", 206, "1, 0", "ENOSYS", true),
    ("clone3", 435, "0, 0", "ENOSYS", true),
    ("vmsplice", 278, "-1, 0, 0, 0", "ENOSYS", true),
    ("a number beyond the list", 600, "0", "ENOSYS", false),
    ("an x32 number", 0x4000_0000 + 39, "0", "ENOSYS", false),
    ("unshare nothing", 272, "0", "EPERM", true),
    ("unshare user", 272, "0x10000000", "EPERM", false),
    ("unshare mount", 272, "0x20000", "EPERM", false),
    ("clone user", 56, "0x10000000 | 17, 0, 0, 0, 0", "EPERM", false),
    ("clone parent", 56, "0x8000 | 17, 0, 0, 0, 0", "EPERM", false),
    ("clone thread with descriptors of its own", 56, "0x10000 | 0x800 | 0x100, 0, 0, 0, 0", "EPERM", false),
    ("setns", 308, "-1, 0", "EPERM", true),
    ("ptrace traceme", 101, "0, 0, 0, 0", "EPERM", true),
    ("process_vm_readv", 310, "0, 0, 0, 0, 0, 0", "EPERM", true),
    ("process_vm_writev", 311, "0, 0, 0, 0, 0, 0", "EPERM", true),
    ("pidfd_getfd", 438, "-1, 0, 0", "EPERM", true),
    ("kcmp", 312, "0, 0, 9, 0, 0", "EPERM", true),
    ("userfaultfd", 323, "0xffff", "EPERM", false),
    ("bpf", 321, "-1, 0, 0", "EPERM", false),
    ("perf_event_open", 298, "0, 0, 0, 0, 0", "EPERM", true),
    ("keyctl", 250, "-1, 0, 0, 0, 0", "EPERM", true),
    ("add_key", 248, "0, 0, 0, 0, 0", "EPERM", true),
    ("request_key", 249, "0, 0, 0, 0", "EPERM", true),
    ("mount", 165, "0, 0, 0, 0, 0", "EPERM", false),
    ("umount2", 166, "0, 0", "EPERM", false),
    ("open_tree", 428, "-1, 0, 0", "EPERM", true),
    ("open_tree_attr", 467, "-1, 0, 0, 0, 0", "EPERM", false),
    ("move_mount", 429, "-1, 0, -1, 0, 0", "EPERM", false),
    ("fsopen", 430, "0, 0", "EPERM", false),
    ("fsconfig", 431, "-1, 0, 0, 0, 0", "EPERM", true),
    ("fsmount", 432, "-1, 0, 0", "EPERM", false),
    ("fspick", 433, "-1, 0, 0", "EPERM", false),
    ("mount_setattr", 442, "-1, 0, 0, 0, 0", "EPERM", true),
    ("statmount", 457, "0, 0, 0, 0", "EPERM", false),
    ("listmount", 458, "0, 0, 0, 0", "EPERM", false),
    ("pivot_root", 155, "0, 0", "EPERM", false),
    ("chroot", 161, "0", "EPERM", false),
    ("name_to_handle_at", 303, "-1, 0, 0, 0, 0", "EPERM", true),
    ("open_by_handle_at", 304, "-1, 0, 0", "EPERM", false),
    ("fanotify_init", 300, "-1, 0", "EPERM", false),
    ("memfd_secret", 447, "-1", "EPERM", false),
    ("set_mempolicy", 238, "0, 0, 0", "EPERM", true),
    ("process_madvise", 440, "-1, 0, 0, 0, 0", "EPERM", true),
    ("init_module", 175, "0, 0, 0", "EPERM", false),
    ("finit_module", 313, "-1, 0, 0", "EPERM", false),
    ("kexec_load", 246, "0, 0, 0, 0", "EPERM", false),
    ("reboot", 169, "0, 0, 0, 0", "EPERM", false),
    ("swapon", 167, "0, 0", "EPERM", false),
    ("acct", 163, "0", "EPERM", false),
    ("syslog", 103, "-1, 0, 0", "EPERM", false),
    ("sethostname", 170, "0, 0", "EPERM", false),
    ("clock_settime", 227, "0, 0", "EPERM", true),
    ("modify_ldt", 154, "0, 0, 0", "EPERM", true),
    ("personality without address randomisation", 135, "0x0040000", "EPERM", true),
    ("prlimit of pid 1", 302, "1, 7, 1, 0", "EPERM", false),
    ("kill everything", 62, "-1, 0", "EPERM", true),
    ("kill everything, high bits set", 62, "0xffffffff, 0", "EPERM", true),
    ("prctl set_mm", 157, "35, 0, 0, 0, 0", "EPERM", false),
    ("seccomp with a listener", 317, "1, 8, 0", "EPERM", true),
    ("ioctl TIOCSTI", 16, "0, 0x5412, 0", "EPERM", true),
    ("ioctl TIOCSTI, high bits set", 16, "0, 0x5412 | 1 << 32, 0", "EPERM", true),
    ("ioctl TIOCLINUX", 16, "0, 0x541c, 0", "EPERM", true),
    ("fcntl F_SETLEASE", 72, "0, 1024, 0", "EPERM", true),
    ("fcntl F_NOTIFY", 72, "0, 1026, 0", "EPERM", true),
    ("close_range with a table of its own", 436, "100, 100, 2", "EINVAL", true),
    ("mknod of a device", 133, "0, 0o20666, 0", "EPERM", false),
    ("huge pages", 9, "0, 1 << 21, 3, 0x40022, -1, 0", "ENOMEM", false),
    ("sendto out of band", 44, "-1, 0, 0, 1, 0, 0", "EPERM", true),
    ("recvfrom out of band", 45, "-1, 0, 0, 1, 0, 0", "EPERM", true),
    ("socket AF_ALG", 41, "38, 5, 0", "EAFNOSUPPORT", false),
    ("socket AF_VSOCK", 41, "40, 1, 0", "EAFNOSUPPORT", false),
    ("socket AF_PACKET", 41, "17, 3, 0", "EAFNOSUPPORT", false),
    ("socket AF_XDP", 41, "44, 3, 0", "EAFNOSUPPORT", false),
    ("socket AF_KEY", 41, "15, 3, 2", "EAFNOSUPPORT", false),
    ("socket AF_BLUETOOTH", 41, "31, 3, 0", "EAFNOSUPPORT", false),
    ("netlink XFRM", 41, "16, 3, 6", "EAFNOSUPPORT", false),
    ("netlink NETFILTER", 41, "16, 3, 12", "EAFNOSUPPORT", false),
    ("socket raw", 41, "2, 3, 1", "EPERM", false),
    ("socket SCTP", 41, "2, 1, 132", "EPROTONOSUPPORT", false),
    ("socket MPTCP", 41, "2, 1, 262", "EPROTONOSUPPORT", false),
];

/// Calls that must still be answered, so that the test above cannot pass by refusing everything.
const OPEN: &[(&str, u32, &str)] = &[
    ("getpid", 39, "0"),
    ("socket AF_INET", 41, "2, 1, 0"),
    ("socket AF_UNIX", 41, "1, 1, 0"),
    ("netlink ROUTE", 41, "16, 3, 0"),
    ("personality asked", 135, "0xffffffff"),
    ("sync, which does nothing", 162, "0"),
    ("memfd_create", 319, "SELF, 0"),
    ("eventfd2", 290, "0, 0"),
    ("pidfd_open", 434, "PID, 0"),
];

fn ask(calls: impl Iterator<Item = (&'static str, u32, &'static str)>) -> String {
    let calls: String = calls.map(|(name, number, args)| format!("    ({name:?}, {number}, {args}),\n")).collect();
    format!(
        "import ctypes, os\nPID = os.getpid()\nNAME = ctypes.create_string_buffer(b'x')\nSELF = ctypes.addressof(NAME)\nCALLS = [\n{calls}]\n{ASK}"
    )
}

#[test]
fn closed_system_calls_answer_exactly_and_open_ones_work() {
    if !cfg!(target_arch = "x86_64") {
        report_skip("the numbers in this test are those of x86_64");
        return;
    }
    let inside = code(
        Policy::default(),
        seconds(60),
        &ask(CLOSED.iter().map(|(name, number, args, ..)| (*name, *number, *args))),
    );
    let expected: Vec<String> = CLOSED.iter().map(|(name, _, _, answer, _)| format!("{name} {answer}")).collect();
    assert_eq!(printed(&inside).lines().collect::<Vec<_>>(), expected);
    // The control: outside, each that can be asked without harm answers otherwise.
    let asked = CLOSED.iter().filter(|(.., harmless)| *harmless);
    let outside = unconfined(&ask(asked.clone().map(|(name, number, args, ..)| (*name, *number, *args))));
    for ((name, _, _, answer, _), line) in asked.zip(outside.lines()) {
        assert_ne!(line, format!("{name} {answer}"));
    }
    let open = printed(&code(Policy::default(), seconds(60), &ask(OPEN.iter().copied())));
    let expected: Vec<String> = OPEN.iter().map(|(name, ..)| format!("{name} ok")).collect();
    assert_eq!(open.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn only_the_standard_streams_are_open() {
    let text = "import os\nfound = {n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.islink(f'/proc/self/fd/{n}')}\nprint(sorted(n for n, to in found.items() if not to.endswith('/fd')), sorted({to.split(':')[0] for to in found.values() if not to.endswith('/fd')}))";
    for profile in [Profile::Default, Profile::Strict, Profile::Networked] {
        let policy = Policy { profile, ..Policy::default() };
        assert_eq!(printed(&code(policy, Limits::default(), text)), "['0', '1', '2'] ['pipe']\n", "{profile:?}");
    }
}

#[test]
fn the_nest_init_runs_under_a_filter_and_shows_nothing() {
    let text = "import os, errno\nprint([l.split()[1] for l in open('/proc/1/status') if l.startswith('Seccomp:')])\n\
        for n in ('root', 'cwd', 'exe', 'ns/user', 'ns/mnt'):\n try: print(n, os.readlink('/proc/1/' + n))\n except OSError as e: print(n, errno.errorcode[e.errno])\n\
        for n in ('environ', 'mem', 'maps', 'auxv', 'fdinfo', 'map_files', 'root/etc', 'task/1/mem'):\n try: os.listdir('/proc/1/' + n) if n in ('fdinfo', 'map_files', 'root/etc') else open('/proc/1/' + n, 'rb').read(1); print(n, 'read')\n except OSError as e: print(n, errno.errorcode[e.errno])\n\
        print(open('/proc/1/cmdline').read().strip(chr(0)))";
    let answer = printed(&code(Policy::default(), Limits::default(), text));
    let mut lines = answer.lines();
    assert_eq!(lines.next(), Some("['2']"));
    let last = lines.next_back();
    assert_eq!(last, Some("agentic-spawner"));
    for line in lines {
        assert!(line.ends_with(" EACCES"), "{answer}");
    }
}

#[test]
fn nothing_under_proc_can_be_written_but_what_is_the_programs_own() {
    // Opens first, and writes only where that was allowed. The control is in the list itself: what is its own does open.
    let text = "import os\nopened = []\ndef attempt(path):\n try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)); opened.append(path)\n except OSError: pass\n\
        for top, folders, files in os.walk('/proc'):\n\
        \x20folders[:] = [f for f in folders if not (top == '/proc' and (f.isdigit() or f in ('self', 'thread-self')))]\n\
        \x20for f in files: attempt(os.path.join(top, f))\n\
        for f in os.listdir('/proc/1'): attempt('/proc/1/' + f)\n\
        attempt('/proc/self/comm')\n\
        for path in opened:\n\
        \x20 try: fd = os.open(path, os.O_WRONLY); os.write(fd, b'1'); print(path)\n\
        \x20 except OSError: pass";
    let written = printed(&code(Policy::default(), seconds(60), text));
    // Pressure files take a question (a trigger of the writer's own), and this one is refused as malformed.
    // What covers the list of keys is /dev/null, which takes anything.
    assert_eq!(written.replace("/proc/keys\n", ""), "/proc/self/comm\n");
}

#[test]
fn no_mount_takes_writes_but_the_listed_ones() {
    let (folder, shared) = (Folder::new(), Folder::new());
    let text = "import os, re\n\
        mounts = [re.sub(r'\\\\([0-7]{3})', lambda m: chr(int(m[1], 8)), l.split()[4]) for l in open('/proc/self/mountinfo')]\n\
        took = set()\n\
        def attempt(path):\n\
        \x20try:\n\
        \x20 if os.path.isdir(path): name = path + '/.attempt'; os.close(os.open(name, os.O_CREAT | os.O_WRONLY)); os.unlink(name); took.add(path)\n\
        \x20 else: os.utime(path); took.add(os.path.realpath(path))\n\
        \x20except OSError: pass\n\
        for mount in mounts: attempt(mount)\n\
        for top in ('/', '/etc', '/dev', '/sys', '/proc', '/proc/sys', '/proc/1', '/proc/self', '/usr/lib', '/home', '/var'):\n\
        \x20attempt(top)\n\
        \x20for name in os.listdir(top) if os.path.isdir(top) else []: attempt(os.path.join(top, name))\n\
        print(sorted(path for path in took if not path.startswith(('/proc/', '/dev/pts/'))))";
    let policy = Policy { read_only: vec![shared.path.clone()], ..folder.policy() };
    let mut expected: Vec<String> =
        ["/dev/shm", "/home/user", "/run", "/tmp", "/var/tmp"].map(|path| format!("'{path}'")).into();
    expected.push(format!("'{}'", folder.path.display()));
    expected.sort();
    assert_eq!(printed(&code(policy, seconds(60), text)), format!("[{}]\n", expected.join(", ")));
}

#[test]
fn mounts_tell_no_host_path_and_control_groups_no_name() {
    let folder = Folder::new();
    let show =
        |path: &str| printed(&code(folder.policy(), Limits::default(), &format!("print(open({path:?}).read())")));
    let told = show("/proc/self/mountinfo");
    assert!(!told.contains(folder.upper().to_str().unwrap()), "{told}");
    // The groups that this test itself is in: the host's names for them.
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().filter_map(|line| line.rsplit_once(':')).map(|(_, path)| path).filter(|path| *path != "/");
    for file in ["/proc/self/cgroup", "/proc/1/cgroup"] {
        let groups = show(file);
        for part in own.clone().chain(["agentic-", "/.."]) {
            assert!(!groups.contains(part), "{part}: {groups}");
        }
    }
    assert!(told.contains(folder.path.to_str().unwrap()), "the workspace is there: {told}");
}

#[test]
fn the_callers_keys_are_not_listed() {
    let name = format!("agentic-key-{}", std::process::id());
    // add_key(2) into the keyring of the user, which every process of the uid shares.
    let add = format!(
        "import ctypes, platform\nn = 248 if platform.machine() == 'x86_64' else 217\nprint(ctypes.CDLL(None).syscall(n, b'user', {name:?}.encode(), b'secret', 6, -4) > 0, {name:?} in open('/proc/keys').read())"
    );
    if unconfined(&add) != "True True\n" {
        report_skip("no key can be made here");
        return;
    }
    let list = format!("print({name:?} in open('/proc/keys').read())");
    assert_eq!(unconfined(&list), "True\n");
    assert_eq!(printed(&code(Policy::default(), Limits::default(), &list)), "False\n");
}

#[test]
fn nested_user_namespaces_are_forbidden_by_number_as_well() {
    let text = "print(open('/proc/sys/user/max_user_namespaces').read())";
    assert_eq!(printed(&code(Policy::default(), Limits::default(), text)).trim(), "0");
    assert_ne!(unconfined(text).trim(), "0");
}

/// Looks at a program and its nest init from outside while they run: their `/proc/PID/status`.
fn while_running<T>(look: impl FnOnce(&str, &str) -> T) -> T {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let marker = format!("agentic-kernel-{}-{}-", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let (tell, told) = std::sync::mpsc::channel();
    let child = Command::new("/bin/sh")
        .args(["-c", "echo begun; sleep 600; :", &marker])
        .env("PATH", "/usr/bin:/bin")
        .stdout(Stream::Observe(std::sync::Arc::new(move |_: &[u8]| {
            let _ = tell.send(());
        })))
        .limits(seconds(60))
        .spawn(sandbox())
        .unwrap();
    let killer = child.killer();
    let waiting = std::thread::spawn(move || child.wait());
    told.recv().unwrap();
    // One that is about to become `sleep` may end its copy of the shell's arguments meanwhile.
    let status = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let statuses = agentic_testkit::processes_with_marker(&marker).into_iter().map(status);
    let program = statuses.into_iter().find(|text| values(text, "NSpid").last().is_some_and(|pid| pid == "2")).unwrap();
    let init = status(values(&program, "PPid")[0].parse().unwrap());
    let result = look(&program, &init);
    killer.kill();
    waiting.join().unwrap().unwrap();
    result
}

fn values(status: &str, field: &str) -> Vec<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn no_process_of_a_run_is_the_hosts_root_and_runs_of_root_do_not_share_ids() {
    let own = rustix::process::geteuid().as_raw().to_string();
    while_running(|program, init| {
        for field in ["Uid", "Gid"] {
            let ids = values(program, field);
            assert_eq!(ids, values(init, field), "program and nest init have one {field}");
            assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
            if is_root() {
                assert_ne!(ids[0], "0");
            } else if field == "Uid" {
                assert_eq!(ids[0], own);
            }
        }
        if is_root() {
            assert_eq!((values(program, "Groups"), values(init, "Groups")), (vec![], vec![]));
            let other = while_running(|program, _| values(program, "Uid"));
            assert_ne!(values(program, "Uid"), other, "two runs at once");
        }
    });
}

#[test]
fn with_the_hosts_network_the_rest_of_the_wall_stands() {
    let text =
        "import os\nprint(os.getpid(), [l.split()[1] for l in open('/proc/self/status') if l.startswith('Seccomp:')])";
    let host = Policy { network: Network::Host, ..Policy::default() };
    assert_eq!(printed(&code(host, Limits::default(), text)), "2 ['2']\n");
}
