//! What a run says it was refused: exact for what the kernel tells, complete enough to act on, and never in the way.

mod common;

use std::time::{Duration, Instant};

use agentic_sandbox::{Certainty, Closed, Denial, ExitReason, Limits, MB, MOST_DENIALS, Policy, Profile, Refuser};
use common::{code, printed, seconds, shell};

fn of(denials: &[Denial], control: Refuser) -> Vec<&Denial> {
    denials.iter().filter(|denial| denial.control == control).collect()
}

#[test]
fn a_run_that_was_refused_nothing_says_nothing() {
    let output = code(Policy::default(), Limits::default(), "import os, socket\nsocket.socket()\nos.system('true')");
    assert_eq!(output.denials, []);
}

#[test]
fn a_refused_system_call_is_named_with_its_reason_and_counted() {
    let text = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nfor _ in range(3):\n libc.mount(0, 0, 0, 0, 0)\n print(errno.errorcode[ctypes.get_errno()])";
    let output = code(Policy::default(), Limits::default(), text);
    assert_eq!(printed(&output), "EPERM\nEPERM\nEPERM\n");
    let told = of(&output.denials, Refuser::Seccomp);
    assert_eq!(told.len(), 1, "{:?}", output.denials);
    assert_eq!((told[0].object.as_str(), told[0].rule.as_str()), ("mount", "mounts are finished"));
    assert_eq!((told[0].certainty, told[0].count, &told[0].how_to_allow), (Certainty::Exact, 3, &None));
}

#[test]
fn a_program_that_may_not_be_started_is_named_and_what_opens_it() {
    let text = "import os\nfor path in ('/usr/bin/env', '/bin/true'):\n try: os.execv(path, [path])\n except PermissionError as e: print(e.errno)";
    let no_exec = Closed { exec: true, inet: false };
    for (profile, closed) in [(Profile::Default, no_exec), (Profile::Strict, Closed::default())] {
        let output = code(Policy { profile, closed, ..Policy::default() }, Limits::default(), text);
        assert_eq!(printed(&output), "1\n1\n");
        let told: Vec<&str> = of(&output.denials, Refuser::Seccomp).iter().map(|d| d.object.as_str()).collect();
        assert_eq!(told, ["exec of /usr/bin/env", "exec of /bin/true"], "{profile:?}");
        assert!(
            output.denials[0].how_to_allow.as_ref().unwrap().contains(if closed.exec {
                "subprocess"
            } else {
                "--profile default"
            }),
            "{:?}",
            output.denials
        );
    }
}

#[test]
fn a_refused_socket_is_named_by_its_family() {
    let text = "import socket\nfor family in (socket.AF_INET, socket.AF_PACKET):\n try: socket.socket(family, socket.SOCK_STREAM)\n except OSError as e: print(e.errno)";
    let output =
        code(Policy { closed: Closed { exec: false, inet: true }, ..Policy::default() }, Limits::default(), text);
    assert_eq!(printed(&output), "97\n97\n");
    let told = of(&output.denials, Refuser::Seccomp);
    assert_eq!((told[0].object.as_str(), told[0].rule.as_str()), ("socket(AF_INET, 1, 0)", "INET sockets are closed"));
    assert!(told[0].how_to_allow.is_some() && told[1].how_to_allow.is_none(), "{told:?}");
    // The control: where they are open, only the other family is told of.
    let open = code(Policy::default(), Limits::default(), text);
    let told: Vec<&str> = open.denials.iter().map(|denial| denial.object.as_str()).collect();
    assert_eq!(told, ["socket(AF_PACKET, 1, 0)"]);
}

#[test]
fn calls_that_merely_do_not_exist_are_not_told() {
    // io_uring_setup, clone3, a number beyond the list, an unknown ioctl: programs try them at their start.
    let text = "import ctypes\nlibc = ctypes.CDLL(None)\nfor number in (425, 435, 600): libc.syscall(number, 0, 0)\nlibc.ioctl(0, 0x12345678, 0)";
    assert_eq!(code(Policy::default(), Limits::default(), text).denials, []);
}

#[test]
fn each_limit_is_told_with_what_raises_it() {
    let told = |limits: Limits, text: &str| {
        let output = code(Policy::default(), limits, text);
        let told = of(&output.denials, Refuser::Limits);
        assert_eq!(told.len(), output.limits_hit.len(), "{:?}", output.denials);
        told[0].clone()
    };
    let wall = told(Limits { wall: Duration::from_millis(300), ..Limits::default() }, "while True: pass");
    assert_eq!((wall.object.as_str(), wall.rule.as_str()), ("time on the clock", "limited to 0.3 s"));
    let memory = told(Limits { memory: 40 * MB, ..seconds(20) }, "x = bytearray(200 << 20)");
    assert_eq!((memory.object.as_str(), memory.rule.as_str()), ("memory", "limited to 40 MB"));
    assert!(memory.how_to_allow.unwrap().contains("--memory"));
    assert_eq!(memory.certainty, Certainty::Exact);
    let quiet = code(Policy::default(), seconds(20), "x = bytearray(10 << 20)");
    assert_eq!(quiet.denials, [], "the control: within its limits nothing is told");
}

#[test]
fn what_was_refused_is_told_of_a_run_that_is_ended_too() {
    let text = "import ctypes, time\nctypes.CDLL(None).mount(0, 0, 0, 0, 0)\ntime.sleep(600)";
    let output = code(Policy::default(), Limits { wall: Duration::from_secs(2), ..Limits::default() }, text);
    assert_eq!(output.reason, ExitReason::TimedOut);
    assert_eq!(of(&output.denials, Refuser::Seccomp)[0].object, "mount");
}

#[test]
fn the_look_up_of_a_name_is_no_denial_and_a_unix_socket_of_the_programs_own_is() {
    let strict = || Policy { profile: Profile::Strict, ..Policy::default() };
    let look_up = "import ctypes, errno, pwd, socket\nlibc = ctypes.CDLL(None, use_errno=True)\ntry: pwd.getpwnam('nobody-of-this-name')\nexcept KeyError: pass\nprint(libc.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0), errno.errorcode.get(ctypes.get_errno()))\n";
    let output = code(strict(), Limits::default(), look_up);
    assert_eq!((printed(&output).as_str(), &*output.denials), ("-1 EAFNOSUPPORT\n", &[][..]), "refused, and not told");
    let own =
        format!("{look_up}try: socket.socket(socket.AF_UNIX)\nexcept OSError as e: print(errno.errorcode[e.errno])");
    let output = code(strict(), Limits::default(), &own);
    assert_eq!(printed(&output), "-1 EAFNOSUPPORT\nEAFNOSUPPORT\n");
    let told = of(&output.denials, Refuser::Seccomp);
    assert_eq!((told.len(), told[0].object.as_str(), told[0].count), (1, "socket(AF_UNIX, 1, 0)", 1), "{told:?}");
    assert_eq!(told[0].rule, "no socket but a pair");
    assert!(told[0].how_to_allow.as_ref().unwrap().contains("--profile default"), "{told:?}");
    // The control: where such sockets are open the call is made.
    assert!(!printed(&code(Policy::default(), Limits::default(), look_up)).starts_with("-1"));
}

#[test]
fn a_program_that_does_nothing_but_be_refused_neither_outruns_its_limits_nor_grows_the_list() {
    // Many processes, each with refusals of many kinds, for ever.
    let text = "import ctypes, os\nlibc = ctypes.CDLL(None)\nfor _ in range(5):\n if os.fork() == 0: break\nn = 0\nwhile True:\n libc.prctl(n % 79, 0, 0, 0, 0); libc.mount(0, 0, 0, 0, 0); libc.socket(n % 200, 1, n % 7); n += 1";
    let began = Instant::now();
    let output = code(Policy::default(), Limits { wall: Duration::from_secs(2), ..Limits::default() }, text);
    assert_eq!(output.reason, ExitReason::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(output.denials.len() <= MOST_DENIALS && output.denials.len() > 10, "{}", output.denials.len());
    // Memory is still watched meanwhile.
    let greedy = text.replace("while True:\n", "held = []\nwhile True:\n held.append(bytearray(1 << 20));");
    let output = code(Policy::default(), Limits { memory: 100 * MB, ..seconds(60) }, &greedy);
    assert_eq!(output.reason, ExitReason::MemoryExceeded, "{:?}", output.denials);
}

#[test]
fn a_refused_call_that_a_signal_interrupts_is_refused_all_the_same() {
    let text = "import ctypes, errno, signal\nlibc = ctypes.CDLL(None, use_errno=True)\nsignal.signal(signal.SIGALRM, lambda *_: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\nanswers = set()\nfor _ in range(3000):\n ctypes.set_errno(0); libc.mount(0, 0, 0, 0, 0); answers.add(errno.errorcode.get(ctypes.get_errno()))\nsignal.setitimer(signal.ITIMER_REAL, 0)\nprint(sorted(answers))";
    let output = code(Policy::default(), seconds(60), text);
    let answers = printed(&output);
    // A handler without SA_RESTART may find the call before it was answered, as it would any call that waits.
    assert!(answers == "['EPERM']\n" || answers == "['EINTR', 'EPERM']\n", "{answers}");
}

#[test]
fn a_process_that_is_killed_while_it_asks_holds_nobody_up() {
    let text = "import ctypes, os, signal\nlibc = ctypes.CDLL(None)\nfor _ in range(50):\n child = os.fork()\n if child == 0:\n  while True: libc.mount(0, 0, 0, 0, 0)\n os.kill(child, signal.SIGKILL); os.wait()\nprint('ended')";
    assert_eq!(printed(&code(Policy::default(), seconds(60), text)), "ended\n");
}

#[test]
fn a_shell_that_cannot_start_anything_says_so_once_for_each_program() {
    let output = shell(
        Policy { closed: Closed { exec: true, inet: false }, ..Policy::default() },
        seconds(20),
        "ls; ls; env; exit 3",
    );
    assert_eq!(output.reason, ExitReason::Exited(3));
    let told: Vec<(String, u64)> = output.denials.iter().map(|denial| (denial.object.clone(), denial.count)).collect();
    let of = |name: &str| told.iter().filter(|(object, _)| object.ends_with(name)).map(|(_, count)| count).sum::<u64>();
    assert!(of("/ls") >= 2 && of("/env") >= 1, "{told:?}");
}
