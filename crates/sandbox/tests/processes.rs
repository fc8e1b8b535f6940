//! Processes: what a program sees, what it may start, and that none of it outlives the run.

mod common;

use std::time::{Duration, Instant};

use agentic_sandbox::{Closed, Command, ExitReason, Limits, Policy, Profile, Tier};
use agentic_testkit::wait_until_gone;
use common::{Folder, code, printed, sandbox, seconds, shell, unconfined};

#[test]
fn it_is_pid_two_and_sees_nobody_else() {
    let output = code(
        Policy::default(),
        Limits::default(),
        "import os\nprint(os.getpid(), sorted(int(p) for p in os.listdir('/proc') if p.isdigit()), os.getuid())",
    );
    assert_eq!(printed(&output), "2 [1, 2] 1000\n");
}

#[test]
fn the_nest_init_can_be_neither_read_nor_killed() {
    let attempt = "import os, errno\ndef t(f):\n try: f(); print('done')\n except OSError as e: print(errno.errorcode[e.errno])\n\
        for n in ('environ', 'mem', 'maps'): t(lambda: open('/proc/1/' + n, 'rb').read(1))\nt(lambda: os.listdir('/proc/1/fd'))\nt(lambda: os.readlink('/proc/1/exe'))\nt(lambda: os.kill(1, 9))";
    // The control: the same reads of the program's own process succeed.
    let own = "open('/proc/self/environ', 'rb').read(1); import os; os.listdir('/proc/self/fd'); print('read')";
    assert_eq!(printed(&code(Policy::default(), Limits::default(), own)), "read\n");
    // The signal is refused by the Landlock scope, or passes without effect where the kernel has none.
    let output = printed(&code(Policy::default(), Limits::default(), attempt));
    assert!(output.starts_with("EACCES\nEACCES\nEACCES\nEACCES\nEACCES\n"), "{output}");
    assert!(output.ends_with("EPERM\n") || output.ends_with("done\n"), "{output}");
}

#[test]
fn it_has_no_capability_no_new_privileges_and_a_filter() {
    let output = shell(Policy::default(), Limits::default(), "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    let text = printed(&output);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(text.contains(&format!("{set}:\t0000000000000000")), "{text}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"), "{text}");
}

#[test]
fn the_callers_environment_is_not_there() {
    // The control: this test's own environment holds more than what was given.
    assert!(std::env::vars_os().count() > 2);
    let output = Command::new("/usr/bin/env").env("ONLY", "this").output(sandbox()).unwrap();
    assert_eq!(printed(&output), "ONLY=this\n");
}

#[test]
fn exit_statuses_and_signals_are_its_own() {
    for (script, reason) in [
        ("exit 7", ExitReason::Exited(7)),
        ("kill -TERM $$", ExitReason::Signalled(15)),
        ("kill -KILL $$", ExitReason::Signalled(9)),
        ("kill -ABRT $$", ExitReason::Signalled(6)),
        ("true", ExitReason::Exited(0)),
    ] {
        assert_eq!(shell(Policy::default(), Limits::default(), script).reason, reason, "{script}");
    }
}

/// What a program that says `script` left behind, by a look after `grace`.
fn left(policy: Policy, script: &str, grace: Duration) -> Vec<String> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("PATH", "/usr/bin:/bin").policy(policy).limits(seconds(60)).left_after(grace);
    let output = command.output(sandbox()).unwrap();
    assert_eq!(output.reason, ExitReason::Exited(0), "{output:?}");
    output.left
}

#[test]
fn what_a_program_leaves_behind_is_told_and_ends() {
    let brief = Duration::from_millis(200);
    let daemon = "setsid sleep 1000 >/dev/null 2>&1 & sleep 1001 & true";
    for tier in [Tier::A, Tier::B] {
        if tier == Tier::B && common::landlock_abi() < 2 {
            agentic_testkit::report_skip("what is left behind in tier B: no Landlock of ABI 2 here");
            continue;
        }
        let policy = || Policy { tier, ..Policy::default() };
        assert_eq!(left(policy(), daemon, brief), ["sleep", "sleep"], "{tier:?}");
        // The control: what ends in time, and what has ended and nobody waited for, is nothing left.
        let start = Instant::now();
        assert_eq!(left(policy(), "sleep 0.2 & true", seconds(40).wall), [""; 0], "{tier:?}");
        assert!(start.elapsed() < Duration::from_secs(40), "it waits no longer than there is something to wait for");
        assert_eq!(left(policy(), "true & exec true", brief), [""; 0], "{tier:?}");
    }
    // Not asked, not looked for.
    assert_eq!(shell(Policy::default(), Limits::default(), daemon).left, [""; 0]);
    assert!(wait_until_gone("sleep\u{0}1001", Duration::from_secs(5)).is_empty());
}

#[test]
fn looking_for_what_is_left_does_not_pass_the_wall_limit() {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "sleep 1000 & true"])
        .env("PATH", "/usr/bin:/bin")
        .limits(seconds(4))
        .left_after(seconds(60).wall);
    let output = command.output(sandbox()).unwrap();
    assert_eq!((output.reason, output.left.as_slice()), (ExitReason::Exited(0), ["sleep".to_owned()].as_slice()));
}

#[test]
fn whatever_ignores_the_end_ends_by_the_limit() {
    // Long enough for an emulated processor to begin, and side by side because of that.
    let limit = seconds(4);
    let cases = [
        ("loop", "print('begun', flush=True)\nwhile True: pass"),
        ("sleeper", "import time\nprint('begun', flush=True)\ntime.sleep(600)"),
        (
            "ignorer",
            "import signal, time\nfor s in range(1, 32):\n try: signal.signal(s, signal.SIG_IGN)\n except OSError: pass\nprint('begun', flush=True)\nwhile True: time.sleep(1)",
        ),
        (
            "daemon",
            "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  while True: time.sleep(1)\n os._exit(0)\nprint('begun', flush=True)\ntime.sleep(600)",
        ),
    ];
    let ends = |(name, code_text): (&str, &str)| {
        let marker = format!("agentic-marker-{name}-{}", std::process::id());
        let began = Instant::now();
        let output = Command::new(common::python())
            .args(["-I", "-S", "-c", code_text, &marker])
            .limits(limit.clone())
            .output(sandbox())
            .unwrap();
        assert_eq!(output.reason, ExitReason::TimedOut, "{name}");
        assert_eq!(output.stdout.text(), "begun\n", "{name}");
        assert!(began.elapsed() < Duration::from_secs(20), "{name} took {:?}", began.elapsed());
        assert_eq!(wait_until_gone(&marker, Duration::from_secs(5)), Vec::<u32>::new(), "{name}");
    };
    std::thread::scope(|threads| {
        cases.map(|case| threads.spawn(move || ends(case))).map(|thread| thread.join().unwrap())
    });
}

#[test]
fn the_call_returns_when_the_program_ends_not_when_a_grandchild_closes_the_pipe() {
    let marker = format!("agentic-marker-left-{}", std::process::id());
    let script = format!("(trap '' TERM HUP; while :; do sleep 1; done; : {marker}) & echo started");
    let began = Instant::now();
    let output = shell(Policy::default(), seconds(60), &script);
    assert_eq!(printed(&output), "started\n");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(wait_until_gone(&marker, Duration::from_secs(5)), Vec::<u32>::new());
}

#[test]
fn a_run_can_be_ended_from_another_thread() {
    let child = Command::new("/bin/sleep").arg("600").limits(seconds(600)).spawn(sandbox()).unwrap();
    let killer = child.killer();
    let waiting = std::thread::spawn(move || child.wait());
    killer.kill();
    assert_eq!(waiting.join().unwrap().unwrap().reason, ExitReason::Cancelled);
}

#[test]
fn a_dropped_run_ends() {
    let marker = format!("agentic-marker-dropped-{}", std::process::id());
    let child =
        Command::new("/bin/sh").args(["-c", "sleep 600", &marker]).limits(seconds(600)).spawn(sandbox()).unwrap();
    drop(child);
    assert_eq!(wait_until_gone(&marker, Duration::from_secs(10)), Vec::<u32>::new());
}

#[test]
fn without_exec_the_program_starts_and_nothing_after_it() {
    let attempt = "import os, errno, ctypes\n\
        def t(f):\n try: print('ran', f())\n except OSError as e: print(errno.errorcode[e.errno])\n\
        t(lambda: os.execv('/bin/true', ['true']))\n\
        t(lambda: os.execve(os.open('/bin/true', os.O_RDONLY), ['true'], {}))\n\
        print(ctypes.CDLL(None).system(b'echo ran'))\n\
        pid = os.fork()\nif pid == 0: os._exit(3)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let closed = Policy { closed: Closed { exec: true, ..Closed::default() }, ..Policy::default() };
    let output = printed(&code(closed, Limits::default(), attempt));
    // system(3): the child that cannot exec the shell ends with 127, so the status is 127 << 8.
    assert_eq!(output, "EPERM\nEPERM\n32512\n3\n");
    // The control: with exec open the first attempt replaces the program.
    assert_eq!(printed(&code(Policy::default(), Limits::default(), attempt)), "");
    assert_eq!(unconfined(attempt), "");
}

#[test]
fn a_strict_run_is_one_process_with_threads_and_files_and_nothing_to_talk_to() {
    let attempt = "import os, errno, socket, threading, asyncio, shutil, signal, tempfile\n\
        def t(name, f):\n try: f(); print(name, 'ok')\n except OSError as e: print(name, errno.errorcode[e.errno])\n\
        PAIR = socket.socketpair()\n\
        def fork():\n pid = os.fork()\n if pid == 0: os._exit(0)\n os.waitpid(pid, 0)\n\
        def spawn():\n os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)\n\
        def thread():\n done = []\n it = threading.Thread(target=lambda: done.append(1)); it.start(); it.join()\n if not done: raise OSError(errno.EIO, '')\n\
        def bound():\n s = socket.socketpair()[0]; s.bind('/tmp/name')\n\
        def passed():\n a, b = socket.socketpair(); a.send(b'x'); b.recvmsg(1, 64)\n\
        def copied():\n path = tempfile.mkstemp()[1]; open(path, 'w').write('x' * 99999); shutil.copyfile(path, path + '2'); os.rename(path + '2', path)\n\
        t('thread', thread)\n\
        t('asyncio', lambda: asyncio.run(asyncio.sleep(0)))\n\
        t('copy', copied)\n\
        t('pair', lambda: PAIR[0].send(b'x'))\n\
        t('raise', lambda: signal.raise_signal(signal.SIGURG))\n\
        t('fork', fork)\n\
        t('spawn', spawn)\n\
        t('unix', lambda: socket.socket(socket.AF_UNIX))\n\
        t('inet', lambda: socket.socket(socket.AF_INET))\n\
        t('datagrams', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))\n\
        t('bind', bound)\n\
        t('descriptors', passed)\n\
        t('splice', lambda: os.sendfile(os.memfd_create('b'), os.memfd_create('a'), 0, 1))\n\
        t('watch', lambda: os.pidfd_open(os.getpid()))\n\
        t('exec', lambda: os.execv('/bin/true', ['true']))";
    let strict = Policy { profile: Profile::Strict, ..Policy::default() };
    let answer = printed(&code(strict, Limits::default(), attempt));
    let expected = "thread ok\nasyncio ok\ncopy ok\npair ok\nraise ok\nfork EPERM\nspawn EPERM\nunix EAFNOSUPPORT\ninet EAFNOSUPPORT\ndatagrams EPERM\nbind EPERM\ndescriptors EPERM\nsplice ENOSYS\nwatch ENOSYS\nexec EPERM\n";
    assert_eq!(answer, expected);
    // The control: under the default profile all of it works, and the last one replaces the program. What was printed until
    // then lies in a buffer of the program's.
    let shown = format!(
        "{}; print('seen', flush=True)",
        attempt.replace("t('exec'", "import sys; sys.stdout.flush()\nt('exec'")
    );
    let open = printed(&code(Policy::default(), Limits::default(), &shown));
    assert_eq!(
        open,
        expected.lines().take(14).map(|line| format!("{} ok\n", line.split(' ').next().unwrap())).collect::<String>()
    );
}

/// The nest init has the program's uid; what protects it is that it kept capabilities which the program lacks.
#[test]
fn the_nest_init_cannot_be_slowed_down() {
    let attempt = "import os, errno, ctypes, platform\n\
        def t(f):\n try: f(); print('ok')\n except OSError as e: print(errno.errorcode[e.errno])\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        n = 251 if platform.machine() == 'x86_64' else 30\n\
        def disk():\n if libc.syscall(n, 1, PID, 3 << 13) != 0: raise OSError(ctypes.get_errno(), '')\n\
        t(lambda: os.setpriority(os.PRIO_PROCESS, PID, 19))\n\
        t(lambda: os.sched_setscheduler(PID, os.SCHED_IDLE, os.sched_param(0)))\n\
        t(lambda: os.sched_setaffinity(PID, [min(os.sched_getaffinity(0))]))\n\
        t(disk)";
    let on = |pid: &str| printed(&code(Policy::default(), Limits::default(), &attempt.replace("PID", pid)));
    assert_eq!(on("1"), "EPERM\nEPERM\nEPERM\nEPERM\n");
    assert_eq!(on("os.getpid()"), "ok\nok\nok\nok\n");
}

#[test]
fn a_missing_program_and_one_that_cannot_be_executed_are_told_apart() {
    let run = |program: &str| Command::new(program).env("PATH", "/usr/bin").output(sandbox()).unwrap_err();
    assert!(matches!(run("no-such-program"), agentic_sandbox::Error::ProgramNotFound(_)));
    assert!(matches!(run("/usr/bin/no-such-program"), agentic_sandbox::Error::ProgramNotFound(_)));
    assert!(matches!(run("/etc/hostname"), agentic_sandbox::Error::NotExecutable { .. }));
    assert!(matches!(run("/usr"), agentic_sandbox::Error::NotExecutable { .. }));
    assert!(matches!(run("/bin/tr\0ue"), agentic_sandbox::Error::Nul { .. }));
}

#[test]
fn a_script_in_the_workspace_runs_by_its_first_line() {
    let folder = Folder::new();
    let script = folder.path.join("script");
    std::fs::write(&script, "#!/bin/sh\necho ran \"$1\"\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(&script).arg("it").policy(folder.policy()).output(sandbox()).unwrap();
    assert_eq!(printed(&output), "ran it\n");
}

#[test]
fn many_runs_at_once_do_not_meet() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for turn in 0..5 {
                    let output = shell(
                        Policy::default(),
                        seconds(60),
                        &format!("echo {thread}-{turn} > /tmp/f; cat /tmp/f; ls /tmp | wc -l"),
                    );
                    assert_eq!(printed(&output), format!("{thread}-{turn}\n1\n"));
                }
            });
        }
    });
}

#[test]
fn a_terminal_of_its_own_is_a_terminal_and_nobody_elses() {
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all three; stty size; read line; echo \"got $line\"; ls /dev/pts";
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .env("PATH", "/usr/bin:/bin")
        .terminal(|| (31, 97))
        .stdin(agentic_sandbox::Stdin::Bytes(b"typed\n".to_vec()))
        .limits(seconds(20))
        .output(sandbox())
        .unwrap();
    let text = printed(&output).replace("\r\n", "\n");
    for line in ["/dev/pts/0\n", "all three\n", "31 97\n", "got typed\n", "0  ptmx\n"] {
        assert!(text.contains(line), "{line:?} is missing in {text:?}");
    }
}
