//! Boundary: a run without namespaces. What Landlock, the filter, the limits and the guard keep, each with its control.

mod common;

use std::path::Path;
use std::time::Duration;

use agentic_sandbox::{
    Command, Control, Enforcement, Error, ExitReason, LimitKind, Limits, MB, Network, Output, Policy, Source, Tier,
    Workspace,
};
use agentic_testkit::{processes_with_marker, skip, wait_until_gone};
use common::{Folder, code, printed, python, sandbox, seconds, shell, unconfined};

fn tier_b() -> Policy {
    Policy { tier: Tier::B, ..Policy::default() }
}

/// A private copy with this file in it, as the workspace `/srv/project`.
fn copied(folder: &Folder) -> Policy {
    std::fs::write(folder.path.join("data.txt"), "data").unwrap();
    let source = Source::Copy { dir: folder.path.clone() };
    let workspaces = vec![Workspace { path: "/srv/project".into(), source }];
    Policy { workspaces, ..tier_b() }
}

fn landlock() -> bool {
    common::landlock_abi() >= 2
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn state(output: &Output, control: Control) -> &Enforcement {
    output.enforced.get(&control).unwrap_or_else(|| panic!("{control:?} is not named: {:?}", output.enforced))
}

#[test]
fn a_program_runs_and_the_result_names_every_control() {
    if !landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let output = shell(tier_b(), seconds(20), "echo hello; echo there >&2; exit 3");
    assert_eq!(output.reason, ExitReason::Exited(3), "{output:?}");
    assert_eq!((output.stdout.text().as_str(), output.stderr.text().as_str()), ("hello\n", "there\n"));
    for control in [
        Control::UserNamespace,
        Control::MountNamespace,
        Control::PidNamespace,
        Control::IpcNamespace,
        Control::UtsNamespace,
        Control::CgroupNamespace,
    ] {
        assert!(matches!(state(&output, control), Enforcement::Off(why) if !why.is_empty()), "{control:?}");
    }
    for control in [Control::NetworkNamespace, Control::View, Control::Disk] {
        assert!(matches!(state(&output, control), Enforcement::Degraded(why) if !why.is_empty()), "{control:?}");
    }
    for control in [Control::NoNewPrivs, Control::Seccomp] {
        assert_eq!(state(&output, control), &Enforcement::Active, "{control:?}");
    }
    if common::landlock_abi() >= 6 {
        assert_eq!(state(&output, Control::Landlock), &Enforcement::Active);
    }
}

#[test]
fn a_program_that_is_closed_to_the_runs_own_user_is_refused_with_what_closes_it() {
    use std::os::unix::fs::PermissionsExt;
    if !landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let folder = Folder::new();
    let (outer, closed) = (folder.beside().to_owned(), folder.beside().join("closed"));
    let program = closed.join("bin/true");
    std::fs::create_dir_all(closed.join("bin")).unwrap();
    std::fs::copy("/bin/true", &program).unwrap();
    let mode = |path: &Path, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let run = || {
        let policy = Policy { read_only: vec![closed.clone()], ..tier_b() };
        Command::new(&program).policy(policy).output(sandbox())
    };
    mode(&outer, 0o755);
    mode(&closed, 0o700);
    if agentic_sandbox::reserves_users() {
        let refused = run().unwrap_err();
        let why = refused.to_string();
        assert!(matches!(refused, Error::NotExecutable { .. }), "{why}");
        let says = format!("Permission denied (os error 13): {} is closed to user ", closed.display());
        assert!(why.contains(&says) && why.contains("(--runtime, python)"), "{why}");
    } else {
        // Who runs as the caller's user is closed out of nothing of his.
        assert!(run().unwrap().reason.success());
    }
    mode(&closed, 0o755);
    assert!(run().unwrap().reason.success(), "the control");
    // A file that nobody may execute is named itself.
    mode(&program, 0o644);
    let why = run().unwrap_err().to_string();
    match agentic_sandbox::reserves_users() {
        true => assert!(why.contains(&format!("{} is closed to user ", program.display())), "{why}"),
        false => assert!(why.ends_with("Permission denied (os error 13)"), "{why}"),
    }
}

#[test]
fn a_refused_socket_is_told_as_the_tiers_and_the_look_up_of_a_name_is_not() {
    if !landlock() {
        skip!("no Landlock of ABI 2 here");
    }
    let text = "import pwd, socket\ntry: pwd.getpwnam('nobody-of-this-name')\nexcept KeyError: pass\nfor family in (socket.AF_UNIX, socket.AF_INET):\n try: socket.socket(family)\n except OSError as e: print(e.errno)";
    let output = code(tier_b(), seconds(20), text);
    assert_eq!(printed(&output), "97\n97\n");
    if output.denials.is_empty() {
        skip!("nothing can be told here: the host's own filter has the listener");
    }
    let told: Vec<(&str, &str)> = output.denials.iter().map(|one| (&*one.object, &*one.rule)).collect();
    let rule = "no socket but a pair, without namespaces";
    assert_eq!(told, [("socket(AF_UNIX, 1, 0)", rule), ("socket(AF_INET, 1, 0)", rule)]);
    assert!(output.denials.iter().all(|one| one.how_to_allow.as_ref().unwrap().contains("--tier a")));
}

#[test]
fn an_allow_list_of_hosts_is_refused_with_the_reason() {
    let policy = Policy { network: Network::Proxied, ..tier_b() };
    let mut command = Command::new("/bin/true");
    let refused = command.policy(policy).output(sandbox()).unwrap_err().to_string();
    assert!(refused.contains("needs a network namespace") && refused.contains("tier B was asked for"), "{refused}");
}

#[test]
fn it_is_the_callers_user_or_as_root_one_that_owns_nothing() {
    let uid = printed(&shell(tier_b(), seconds(20), "id -u"));
    let caller = rustix::process::geteuid().as_raw();
    if is_root() {
        assert!(uid.trim().parse::<u32>().unwrap() > 0x7000_0000, "{uid}");
    } else {
        assert_eq!(uid.trim(), caller.to_string());
    }
    let text = printed(&code(tier_b(), seconds(20), "print(open('/proc/self/status').read())"));
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}

#[test]
fn what_the_list_does_not_name_cannot_be_opened() {
    let folder = Folder::new();
    let secret = folder.beside().join("secret");
    std::fs::write(&secret, "token").unwrap();
    open_to_all(folder.beside());
    let script = format!(
        "import os\n\
         def tried(act):\n    \
             try:\n        act(); return 0\n    \
             except OSError as error: return error.errno\n\
         out = [tried(lambda: open({secret:?}).read()), tried(lambda: open({secret:?}, 'a').close()),\n    \
             tried(lambda: os.listdir({beside:?})), tried(lambda: open({beside:?} + '/new', 'w').close()),\n    \
             tried(lambda: os.rename({secret:?}, {secret:?} + '2')), tried(lambda: os.unlink({secret:?})),\n    \
             tried(lambda: os.mkdir({beside:?} + '/folder')), tried(lambda: os.symlink('x', {beside:?} + '/link'))]\n\
         print(out)",
        beside = folder.beside(),
    );
    let refused = printed(&code(tier_b(), seconds(20), &script));
    assert_eq!(refused.trim(), "[13, 13, 13, 13, 13, 13, 13, 13]");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "token");
    // The control; its last acts undo what an attempt would have needed.
    assert_eq!(unconfined(&script).trim(), "[0, 0, 0, 0, 0, 2, 0, 0]");
}

/// So that modes are not what refuses a user of root's making.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let mode = if entry.path().is_dir() { 0o777 } else { 0o666 };
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn home_and_temporary_files_are_private_and_gone_afterwards() {
    let script = "echo x > \"$HOME/a\" && echo y > \"$TMPDIR/b\" && stat -c %a \"$HOME\" && echo \"$HOME\" \
                  && ls -a \"$HOME\" | tr '\\n' ' '";
    let text = printed(&shell(tier_b(), seconds(20), script));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[2].trim()), ("700", ". .. a"));
    assert!(!Path::new(lines[1]).parent().unwrap().exists(), "{} is left", lines[1]);
    let own_home = "cat /root/.bashrc /home/*/.bashrc 2>&1; ls /root /home /run /var /tmp /var/tmp 2>&1; true";
    let text = printed(&shell(tier_b(), seconds(20), own_home));
    assert!(text.lines().all(|line| line.contains("denied") || line.contains("No such file")), "{text}");
}

#[test]
fn a_workspace_is_worked_on_in_its_copy() {
    let folder = Folder::new();
    let policy = copied(&folder);
    let output = Command::new("/bin/sh")
        .args(["-c", "pwd; echo \"$PWD\"; cat data.txt \"$1\"; echo new > made.txt; mkdir d; mv made.txt d/", "sh"])
        .arg("/srv/project/data.txt")
        .env("PATH", "/usr/bin:/bin")
        .env("PWD", "/srv/project")
        .policy(policy)
        .output(sandbox())
        .unwrap();
    let here = folder.path.display();
    assert_eq!(printed(&output), format!("{here}\n{here}\ndatadata"));
    assert_eq!(std::fs::read_to_string(folder.path.join("d/made.txt")).unwrap(), "new\n");
    assert!(matches!(state(&output, Control::View), Enforcement::Degraded(why) if why.contains(&here.to_string())));
}

#[test]
fn an_overlay_is_refused_by_name() {
    let folder = Folder::new();
    let error = Command::new("/bin/true").policy(Policy { tier: Tier::B, ..folder.policy() }).output(sandbox());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("MountNamespace") && error.contains("has to be a copy"), "{error}");
}

#[test]
fn files_of_the_same_user_elsewhere_keep_mode_owner_time_and_attributes() {
    let folder = Folder::new();
    let victim = folder.beside().join("victim");
    std::fs::write(&victim, "x").unwrap();
    let script = format!(
        "import os, ctypes\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         path = {victim:?}\n\
         def tried(act):\n    \
             try:\n        act(); return 0\n    \
             except OSError as error: return error.errno\n\
         def raw(*args):\n    \
             return ctypes.get_errno() if libc.syscall(*args) else 0\n\
         fd = os.open(path, os.O_PATH)\n\
         print([tried(lambda: os.chmod(path, 0o640)), tried(lambda: os.chown(path, -1, os.getgid())),\n    \
             tried(lambda: os.utime(path, (1, 1))), tried(lambda: os.setxattr(path, 'user.x', b'1')),\n    \
             tried(lambda: os.truncate(path, 1)), raw(452, fd, b'', 0o600, 0x1000),\n    \
             raw(280, fd, b'', None, 0x1000), raw(260, fd, b'', -1, os.getgid(), 0x1000)])",
    );
    let control = unconfined(&script);
    assert_eq!(control.trim(), "[0, 0, 0, 0, 0, 0, 0, 0]", "{control}");
    std::fs::write(&victim, "longer").unwrap();
    let before = std::fs::metadata(&victim).unwrap();
    let refused = printed(&code(tier_b(), seconds(20), &script));
    // The kernel's word to a user who owns nothing, the filter's to the same user. `truncate` is Landlock's.
    let expected = if is_root() { "[1, 1, 1, 13, 13, 1, 13, 1]" } else { "[1, 1, 1, 1, 13, 1, 1, 1]" };
    assert_eq!(refused.trim(), expected);
    let after = std::fs::metadata(&victim).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((before.mode(), before.mtime(), before.size()), (after.mode(), after.mtime(), after.size()));
}

#[test]
fn other_processes_cannot_be_signalled_read_or_traced() {
    let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let script = format!(
        "import os\n\
         pid = {}\n\
         def tried(act):\n    \
             try:\n        act(); return 0\n    \
             except OSError as error: return error.errno\n\
         print([tried(lambda: os.kill(pid, 0)), tried(lambda: open(f'/proc/{{pid}}/environ').read()),\n    \
             tried(lambda: open(f'/proc/{{pid}}/cmdline').read()), tried(lambda: os.readlink(f'/proc/{{pid}}/cwd')),\n    \
             tried(lambda: os.listdir(f'/proc/{{pid}}/fd')), tried(lambda: os.listdir('/proc')),\n    \
             tried(lambda: open('/proc/1/cmdline').read()), tried(lambda: open(f'/proc/{{os.getppid()}}/stat').read())])",
        sleeper.id()
    );
    let control = unconfined(&script);
    let refused = printed(&code(tier_b(), seconds(20), &script));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(control.trim(), "[0, 0, 0, 0, 0, 0, 0, 0]");
    assert_eq!(refused.trim(), "[1, 13, 13, 13, 13, 13, 13, 13]");
    let own = "import os; print(len(open('/proc/self/cmdline').read()) > 0, os.path.realpath('/proc/self/exe') != '')";
    assert_eq!(printed(&code(tier_b(), seconds(20), own)).trim(), "True True");
}

#[test]
fn its_own_children_can_be_signalled() {
    let script = "sleep 60 & kill $! && wait $!; echo $?";
    let expected = if common::landlock_abi() >= 6 || is_root() { "143\n" } else { "0\n" };
    assert_eq!(printed(&shell(tier_b(), seconds(20), script)), expected);
    let timeout = shell(tier_b(), seconds(20), "timeout 0.2 sleep 60; echo $?");
    assert_eq!(printed(&timeout), "124\n");
}

#[test]
fn no_socket_leaves_and_a_pair_stays() {
    let script = "import socket\n\
        def tried(*args):\n    \
            try:\n        socket.socket(*args).close(); return 0\n    \
            except OSError as error: return error.errno\n\
        print([tried(socket.AF_INET, socket.SOCK_STREAM), tried(socket.AF_INET6, socket.SOCK_DGRAM),\n    \
            tried(socket.AF_UNIX, socket.SOCK_STREAM), tried(socket.AF_NETLINK, socket.SOCK_RAW)])\n\
        a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))";
    assert_eq!(unconfined(script).trim(), "[0, 0, 0, 0]\nb'x'");
    assert_eq!(printed(&code(tier_b(), seconds(20), script)).trim(), "[97, 97, 97, 97]\nb'x'");
    let host = Policy { network: Network::Host, ..tier_b() };
    assert_eq!(printed(&code(host, seconds(20), script)).trim(), "[0, 0, 97, 0]\nb'x'");
}

#[test]
fn ipc_of_the_host_cannot_be_reached() {
    let script = "import ctypes\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        def raw(*args):\n    ctypes.set_errno(0); libc.syscall(*args); return ctypes.get_errno()\n\
        print([raw(29, 0, 4096, 0o600), raw(68, 0, 0o600), raw(64, 0, 1, 0o600), raw(319, b'x', 0), raw(253)])";
    assert_eq!(unconfined(script).trim(), "[0, 0, 0, 0, 0]");
    assert_eq!(printed(&code(tier_b(), seconds(20), script)).trim(), "[38, 38, 38, 38, 1]");
}

#[test]
fn the_profile_without_exec_holds() {
    let policy = Policy { closed: agentic_sandbox::Closed { exec: true, inet: false }, ..tier_b() };
    let script =
        "import os\ntry:\n    os.execv('/bin/true', ['true'])\nexcept OSError as error:\n    print(error.errno)";
    assert_eq!(printed(&code(policy, seconds(20), script)).trim(), "1");
    let output = code(tier_b(), seconds(20), script);
    assert_eq!((output.reason, output.stdout.text().as_str()), (ExitReason::Exited(0), ""), "the control");
}

fn marker(name: &str) -> String {
    format!("agentic-tier-b-{name}-{}", std::process::id())
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn daemons_that_left_the_session_end_with_the_run() {
    let marker = marker("daemons");
    let script = format!(
        "for i in 1 2 3 4; do (setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 60; done' {marker} &) ; done; \
         sleep 0.3; echo done"
    );
    let output = shell(tier_b(), seconds(20), &script);
    assert_eq!(printed(&output), "done\n");
    assert_eq!(wait_until_gone(&marker, Duration::ZERO), Vec::<u32>::new());
}

#[test]
fn the_clock_ends_the_whole_tree() {
    let marker = marker("clock");
    let script = format!("trap '' TERM; (setsid sleep 600 {marker} &) ; setsid sh -c 'sleep 600' {marker} & sleep 600");
    let limits = Limits { wall: Duration::from_millis(700), ..Limits::default() };
    let output = shell(tier_b(), limits, &script);
    assert_eq!(output.reason, ExitReason::TimedOut);
    assert!(output.limits_hit.contains(&LimitKind::Wall));
    assert_eq!(wait_until_gone(&marker, Duration::ZERO), Vec::<u32>::new());
}

#[test]
fn a_run_is_ended_from_another_thread() {
    let marker = marker("cancel");
    let script = format!("(setsid sh -c 'while :; do sleep 60; done' {marker} &) ; sleep 600");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, &marker]).env("PATH", "/usr/bin:/bin").policy(tier_b()).limits(seconds(60));
    let child = command.spawn(sandbox()).unwrap();
    let killer = child.killer();
    let waiting = std::thread::spawn(move || child.wait().unwrap());
    let end = std::time::Instant::now() + PATIENCE;
    while processes_with_marker(&marker).len() < 2 {
        assert!(std::time::Instant::now() < end, "the daemon begins");
        std::thread::sleep(Duration::from_millis(5));
    }
    killer.kill();
    assert_eq!(waiting.join().unwrap().reason, ExitReason::Cancelled);
    assert_eq!(wait_until_gone(&marker, Duration::ZERO), Vec::<u32>::new());
}

#[test]
fn a_dropped_run_leaves_nothing() {
    let marker = marker("dropped");
    let script = format!("(setsid sh -c 'while :; do sleep 60; done' {marker} &) ; sleep 600");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, &marker]).env("PATH", "/usr/bin:/bin").policy(tier_b()).limits(seconds(60));
    let child = command.spawn(sandbox()).unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    while processes_with_marker(&marker).len() < 2 {
        assert!(std::time::Instant::now() < end, "the daemon begins");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(child);
    assert_eq!(wait_until_gone(&marker, PATIENCE), Vec::<u32>::new());
}

#[test]
fn a_fork_bomb_is_bounded_and_ended() {
    let marker = marker("bomb");
    let bomb = "import os, sys, time\n\
        while True:\n    \
            try:\n        os.fork()\n    \
            except OSError: time.sleep(0.001)";
    let limits = Limits { processes: 32, wall: Duration::from_secs(2), ..Limits::default() };
    let output = Command::new(python())
        .args(["-I", "-S", "-c", bomb, &marker])
        .policy(tier_b())
        .limits(limits)
        .output(sandbox())
        .unwrap();
    assert_eq!(output.reason, ExitReason::TimedOut, "{output:?}");
    assert!(output.limits_hit.contains(&LimitKind::Processes), "{:?}", output.limits_hit);
    assert_eq!(wait_until_gone(&marker, Duration::ZERO), Vec::<u32>::new());
}

#[test]
fn memory_past_the_limit_ends_the_tree() {
    let eat = "data = []\nwhile True:\n    data.append(bytearray(b'x') * (8 << 20))";
    let limits = Limits { memory: 96 * MB, wall: Duration::from_secs(20), ..Limits::default() };
    assert_eq!(code(tier_b(), limits.clone(), eat).reason, ExitReason::MemoryExceeded);
    let shared = "import mmap\nheld = []\nwhile True:\n    \
        m = mmap.mmap(-1, 8 << 20); m.write(b'x' * (8 << 20)); held.append(m)";
    assert_eq!(code(tier_b(), limits, shared).reason, ExitReason::MemoryExceeded);
}

#[test]
fn a_program_whose_file_cannot_be_read_does_not_hide_its_memory() {
    let folder = Folder::new();
    let policy = copied(&folder);
    let eat = "import os, shutil, sys\n\
        if len(sys.argv) == 1:\n    \
            shutil.copyfile(sys.executable, 'hidden')\n    \
            fd = os.open('hidden', os.O_RDONLY); os.fchmod(fd, 0o111); os.close(fd)\n    \
            os.execv('./hidden', ['hidden', '-I', '-S', '-c', 'data = []\\nwhile True:\\n    data.append(bytearray(b\"x\") * (8 << 20))'])\n";
    let limits = Limits { memory: 96 * MB, wall: Duration::from_secs(20), ..Limits::default() };
    let output = code(policy, limits, eat);
    assert_eq!(output.reason, ExitReason::MemoryExceeded, "{output:?}");
}

#[test]
fn scratch_space_past_the_limit_ends_the_tree() {
    let fill = "import os\nf = open(os.environ['TMPDIR'] + '/big', 'wb')\nwhile True:\n    f.write(b'x' * (1 << 20)); f.flush()";
    let limits = Limits { disk: 16 * MB, wall: Duration::from_secs(20), ..Limits::default() };
    let output = code(tier_b(), limits, fill);
    assert_eq!(output.reason, ExitReason::DiskExceeded, "{output:?}");
    let folder = Folder::new();
    let fill = "f = open('big', 'wb')\nwhile True:\n    f.write(b'x' * (1 << 20)); f.flush()";
    let limits = Limits { disk: 16 * MB, wall: Duration::from_secs(20), ..Limits::default() };
    assert_eq!(code(copied(&folder), limits, fill).reason, ExitReason::DiskExceeded);
}

#[test]
fn a_terminal_is_given_here_too() {
    let output = Command::new("/bin/sh")
        .args(["-c", "test -t 0 && test -t 1 && echo terminal; stty size"])
        .env("PATH", "/usr/bin:/bin")
        .policy(tier_b())
        .terminal(|| (33, 77))
        .output(sandbox())
        .unwrap();
    assert_eq!(printed(&output).replace('\r', ""), "terminal\n33 77\n");
}

#[test]
fn a_killed_guard_leaves_no_descendant() {
    let marker = marker("guard");
    let script = format!("(setsid sh -c 'while :; do sleep 60; done' {marker} &) ; sleep 600");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, &marker]).env("PATH", "/usr/bin:/bin").policy(tier_b()).limits(seconds(60));
    let child = command.spawn(sandbox()).unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    while processes_with_marker(&marker).len() < 2 {
        assert!(std::time::Instant::now() < end, "the daemon begins");
        std::thread::sleep(Duration::from_millis(5));
    }
    let parent = |pid: u32| -> u32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        text.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let program = processes_with_marker(&marker).into_iter().min().unwrap();
    let guard = rustix::process::Pid::from_raw(parent(program) as i32).unwrap();
    rustix::process::kill_process(guard, rustix::process::Signal::KILL).unwrap();
    assert!(child.wait().is_err(), "nobody can say how it ended");
    assert_eq!(wait_until_gone(&marker, PATIENCE), Vec::<u32>::new());
}

#[test]
fn the_system_folders_cannot_be_written() {
    let text = printed(&shell(tier_b(), seconds(20), "touch /usr/x /etc/x /dev/x 2>&1; echo > /etc/passwd 2>&1; true"));
    assert!(text.lines().all(|line| line.contains("denied") || line.contains("Permission")), "{text}");
}
