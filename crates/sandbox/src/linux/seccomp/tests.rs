//! The filter in a real kernel: exact errors, each with the control that the same call fares differently without.

use std::ffi::CString;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Departure, install};
use crate::Profile;
use crate::filters::{Arch, Openings, Program};
use crate::linux::child::{Ended, become_program, errno_of, in_child};
use crate::linux::landlock::no_new_privs;

const DEFAULT: Openings = Openings { profile: Profile::Default, exec: true, inet: true, unix: true, shared: None };
const NO_EXEC: Openings = Openings { exec: false, ..DEFAULT };

fn confined(program: &Program, run: impl FnOnce() -> i32) -> Ended {
    in_child(|| {
        no_new_privs().unwrap();
        install(program).unwrap();
        run()
    })
}

fn native() -> Option<Arch> {
    let arch = Arch::native();
    if arch.is_none() {
        println!("SKIP: no filter for this architecture");
    }
    arch
}

#[test]
fn closed_calls_answer_exactly_and_only_because_of_the_filter() {
    let Some(arch) = native() else { return };
    let program = Program::build(arch, DEFAULT, None);
    const NOWHERE: &[u8] = b"/proc/none/agentic\0";
    let nowhere = NOWHERE.as_ptr() as u64;
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    let limit = &raw const limit as u64;
    let bad = u64::MAX;
    let high = 1 << 32;
    // Every call is made so that, unfiltered, it fails in another way or does nothing lasting, for any user.
    let closed: &[(&str, i64, [u64; 6], i32)] = &[
        ("unshare", libc::SYS_unshare, [1, 0, 0, 0, 0, 0], libc::EPERM),
        ("setns", libc::SYS_setns, [bad, 0, 0, 0, 0, 0], libc::EPERM),
        ("ptrace", libc::SYS_ptrace, [1, 0x7fff_fff0, 0, 0, 0, 0], libc::EPERM),
        ("open_tree", libc::SYS_open_tree, [bad, 0, 0xffff_ffff, 0, 0, 0], libc::EPERM),
        ("fsconfig", libc::SYS_fsconfig, [bad, 0, 0, 0, 0, 0], libc::EPERM),
        ("chroot", libc::SYS_chroot, [nowhere, 0, 0, 0, 0, 0], libc::EPERM),
        ("add_key", libc::SYS_add_key, [0; 6], libc::EPERM),
        ("process_vm_readv", libc::SYS_process_vm_readv, [u64::from(std::process::id()), 0, 0, 0, 0, 0], libc::EPERM),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [bad, 0, 0, 0, 0, 0], libc::EPERM),
        ("userfaultfd", libc::SYS_userfaultfd, [0x4000_0001, 0, 0, 0, 0, 0], libc::EPERM),
        ("clone3", libc::SYS_clone3, [0; 6], libc::ENOSYS),
        ("ioctl TIOCSTI", libc::SYS_ioctl, [bad, libc::TIOCSTI, 0, 0, 0, 0], libc::EPERM),
        ("ioctl TIOCSTI, dirty", libc::SYS_ioctl, [bad, libc::TIOCSTI | high, 0, 0, 0, 0], libc::EPERM),
        ("ioctl unlisted", libc::SYS_ioctl, [bad, 0xae01, 0, 0, 0, 0], libc::ENOTTY),
        ("fcntl F_SETLEASE", libc::SYS_fcntl, [bad, 1024, 0, 0, 0, 0], libc::EPERM),
        ("socket AF_PACKET", libc::SYS_socket, [17, 3, 0, 0, 0, 0], libc::EAFNOSUPPORT),
        ("socketpair UNIX raw", libc::SYS_socketpair, [1, 3, 0, 0, 0, 0], libc::EPERM),
        ("kill -1", libc::SYS_kill, [bad, 0, 0, 0, 0, 0], libc::EPERM),
        ("personality", libc::SYS_personality, [0x4_0000, 0, 0, 0, 0, 0], libc::EPERM),
        ("prlimit64 of another", libc::SYS_prlimit64, [0x7fff_fff0, 7, limit, 0, 0, 0], libc::EPERM),
        ("mknodat device", libc::SYS_mknodat, [bad, nowhere, 0o20_600, 0, 0, 0], libc::EPERM),
        ("sendto out of band", libc::SYS_sendto, [bad, 0, 0, 1, 0, 0], libc::EPERM),
        ("seccomp listener", libc::SYS_seccomp, [1, 8, 0, 0, 0, 0], libc::EPERM),
        ("prctl PR_SET_MM", libc::SYS_prctl, [35, 0, 0, 0, 1, 0], libc::EPERM),
        ("execveat AT_EMPTY_PATH", libc::SYS_execveat, [bad, NOWHERE.len() as u64, 0, 0, 0x1000, 0], libc::EPERM),
    ];
    for (name, number, args, expected) in closed {
        let control = in_child(|| errno_of(*number, *args));
        assert_ne!(control.code, Some(*expected), "{name}: the control already fails this way");
        let filtered = confined(&program, || errno_of(*number, *args));
        assert_eq!(filtered.code, Some(*expected), "{name}: {filtered:?}, control {control:?}");
    }
    // And open calls fare the same on both sides.
    let open: &[(&str, i64, [u64; 6])] = &[
        ("ioctl TCGETS", libc::SYS_ioctl, [bad, 0x5401, 0, 0, 0, 0]),
        ("socket AF_UNIX", libc::SYS_socket, [1, 1, 0, 0, 0, 0]),
        ("socket AF_INET", libc::SYS_socket, [2, 1, 0, 0, 0, 0]),
        ("openat", libc::SYS_openat, [bad, nowhere, 0, 0, 0, 0]),
        ("prlimit64 of oneself", libc::SYS_prlimit64, [0, 7, limit, 0, 0, 0]),
        ("setuid to oneself", libc::SYS_setuid, [u64::from(rustix::process::getuid().as_raw()), 0, 0, 0, 0, 0]),
        ("prctl unknown", libc::SYS_prctl, [9999, 0, 0, 0, 0, 0]),
        ("a number that no kernel has", 1099, [0; 6]),
    ];
    for (name, number, args) in open {
        let control = in_child(|| errno_of(*number, *args));
        assert_eq!(confined(&program, || errno_of(*number, *args)), control, "{name}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_numbers_answer_enosys_and_ia32_calls_kill() {
    let program = Program::build(Arch::X86_64, DEFAULT, None);
    let x32 = libc::SYS_getpid | 0x4000_0000;
    assert_eq!(confined(&program, || errno_of(libc::SYS_getpid, [0; 6])).code, Some(0));
    assert_eq!(confined(&program, || errno_of(x32, [0; 6])).code, Some(libc::ENOSYS));
    let ia32_getpid = || {
        let mut answer: i64 = 20;
        // SAFETY: `int 0x80` with eax = 20 is getpid of the ia32 interface; it reads no memory and clobbers the
        // registers declared below.
        unsafe {
            std::arch::asm!("int 0x80", inout("rax") answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        i32::from(answer <= 0)
    };
    let control = in_child(ia32_getpid);
    if control.code != Some(0) {
        println!("SKIP: this kernel has no ia32 interface ({control:?})");
        return;
    }
    assert_eq!(confined(&program, ia32_getpid).signal, Some(libc::SIGSYS));
}

#[test]
fn without_no_new_privs_an_ordinary_user_is_refused() {
    let Some(arch) = native() else { return };
    if rustix::process::geteuid().is_root() {
        println!("SKIP: root may install filters without no_new_privs");
        return;
    }
    let program = Program::build(arch, DEFAULT, None);
    let ended = in_child(|| install(&program).map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0));
    assert_eq!(ended.code, Some(libc::EACCES));
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Starts a program under a no-exec filter, as the engine does.
fn depart(profile: Openings, program: &str, argv: &[&str]) -> Ended {
    let arch = Arch::native().unwrap();
    in_child(|| {
        no_new_privs().unwrap();
        // SAFETY: open reads the NUL-terminated path and returns a descriptor that this child keeps to its end.
        let fd = unsafe { libc::open(c(program).as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        let argv = argv.iter().map(|arg| c(arg)).collect();
        let departure = Departure::new(fd, argv, vec![c("MARK=seen")]).unwrap();
        install(&Program::build(arch, profile, Some(departure.ticket()))).unwrap();
        departure.exec().raw_os_error().unwrap_or(-1)
    })
}

#[test]
fn a_no_exec_run_starts_its_program_and_then_nothing() {
    if native().is_none() {
        return;
    }
    let script = "echo \"$0 $MARK\"; /bin/true; echo $?; (exec /bin/echo reached); exit 7";
    let open = confined(&Program::build(Arch::native().unwrap(), DEFAULT, None), || {
        become_program(&["/bin/sh", "-c", script, "zero"])
    });
    assert!(open.said.contains("reached") && open.said.contains("\n0\n"), "the control: {open:?}");
    let ended = depart(NO_EXEC, "/bin/sh", &["sh", "-c", script, "zero"]);
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(ended.said.starts_with("zero seen\n"), "{ended:?}");
    assert!(ended.said.contains("\n126\n") && ended.said.contains("not permitted"), "{ended:?}");
    assert!(!ended.said.contains("reached"), "{ended:?}");
    // Under strict the shell cannot even fork, and its own exec is refused as well.
    let strict = |script| depart(Profile::Strict.into(), "/bin/sh", &["sh", "-c", script, "zero"]);
    let ended = strict(script);
    assert!(ended.said.starts_with("zero seen\n") && ended.said.contains("Cannot fork"), "{ended:?}");
    let ended = strict("exec /bin/echo reached");
    assert_eq!(ended.code, Some(126), "{ended:?}");
    assert!(!ended.said.contains("reached"), "{ended:?}");
}

/// The way round a rule on the descriptor alone: with an absolute path the kernel never looks at the descriptor.
#[test]
fn an_absolute_path_does_not_pass_the_ticket() {
    let Some(arch) = native() else { return };
    let attack = |fd: u64| {
        let (path, argument) = (c("/bin/true"), c("true"));
        let argv = [argument.as_ptr(), std::ptr::null()];
        let envp = [std::ptr::null::<libc::c_char>()];
        errno_of(
            libc::SYS_execveat,
            [fd, path.as_ptr() as u64, argv.as_ptr() as u64, envp.as_ptr() as u64, libc::AT_EMPTY_PATH as u64, 0],
        )
    };
    // Descriptor 700 is not open; unfiltered the call succeeds all the same and the child ends as /bin/true does.
    assert_eq!(in_child(|| attack(700) | 64).code, Some(0));
    let departure = Departure::new(700, vec![c("sh")], vec![]).unwrap();
    let program = Program::build(arch, NO_EXEC, Some(departure.ticket()));
    assert_eq!(confined(&program, || attack(700)).code, Some(libc::EPERM));
}

#[test]
fn tickets_differ() {
    let departure = || Departure::new(9, vec![c("a")], vec![c("b=c")]).unwrap();
    let (one, other) = (departure(), departure());
    assert_ne!(one.ticket().path, other.ticket().path);
    assert_ne!(one.ticket().argv, other.ticket().argv);
    assert_ne!(one.ticket().envp, other.ticket().envp);
}

/// Real toolchains under the default filter: what they print without it they print with it.
#[test]
fn toolchains_run_as_without_the_filter() {
    let Some(arch) = native() else { return };
    let program = Program::build(arch, DEFAULT, None);
    let python = "
import asyncio, multiprocessing as m, os, socket, subprocess, sys, tempfile, threading, concurrent.futures as f
def two(x): return 2 * x
async def main():
    p = await asyncio.create_subprocess_exec('/bin/echo', 'sub', stdout=-1)
    out, _ = await p.communicate()
    s = await asyncio.start_server(lambda r, w: w.close(), '127.0.0.1', 0)
    port = s.sockets[0].getsockname()[1]
    r, w = await asyncio.open_connection('127.0.0.1', port)
    assert await r.read() == b''
    s.close()
    return out
if __name__ == '__main__':
    print(asyncio.run(main()))
    t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()
    for how in ('fork', 'forkserver', 'spawn'):
        with m.get_context(how).Pool(2) as pool: print(how, pool.map(two, [1, 2]))
    with f.ProcessPoolExecutor(2) as pool: print(list(pool.map(two, [3])))
    with tempfile.NamedTemporaryFile() as file: print(file.write(b'x'))
    print(subprocess.run(['/bin/echo', 'run'], capture_output=True).stdout, socket.getaddrinfo('127.0.0.1', 80)[0][4])
    import pty; print(pty.spawn(['/bin/echo', 'pty']))
";
    let node = "
const { execSync } = require('child_process'), { Worker, isMainThread } = require('worker_threads'), os = require('os');
console.log(execSync('echo sub').toString(), Object.keys(os.networkInterfaces()).length >= 0);
require('net').createServer(s => s.end('x')).listen(0, '127.0.0.1', function () {
  require('net').connect(this.address().port, '127.0.0.1').on('data', d => { console.log(String(d)); this.close(); });
});
new Worker('require(\"worker_threads\").parentPort.postMessage(1)', { eval: true }).on('message', m => console.log(m));
";
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let script = folder.path().join("all.py");
    std::fs::write(&script, python).unwrap();
    let build = format!(
        "cd {at} && printf 'int main(void){{return 0;}}' > a.c && gcc -fsanitize=undefined -pthread a.c -o a && ./a && \
         rm -rf g && git init -q g && cd g && echo x > f && git add f && \
         git -c user.name=a -c user.email=a@b commit -qm m && git gc -q && git log --oneline | wc -l"
    );
    let java = "cd /tmp && java -version 2>&1 | grep -c -i version";
    let programs: &[(&str, &[&str])] = &[
        ("python3", &["python3", script.to_str().unwrap()]),
        ("node", &["node", "-e", node]),
        ("bash", &["bash", "-c", "cat <(echo fifo); mkfifo $0/p; (sleep 0 & wait); ulimit -n | wc -l; rm $0/p", at]),
        ("gcc", &["sh", "-c", &build]),
        ("java", &["sh", "-c", java]),
        ("rustc", &["rustc", "--version"]),
        ("npm", &["npm", "--version"]),
    ];
    for (name, argv) in programs {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).exists()));
        if !found {
            println!("SKIP: no {name} here");
            continue;
        }
        let control = in_child(|| become_program(argv));
        assert_eq!(control.code, Some(0), "{name} fails without the filter: {control:?}");
        let start = Instant::now();
        let filtered = confined(&program, || become_program(argv));
        assert_eq!(filtered, control, "{name}");
        assert!(start.elapsed() < Duration::from_secs(120));
    }
    assert!(Path::new(at).exists());
}

/// What installation costs; printed, since a bound would depend on the machine. `--ignored --nocapture` shows it.
#[test]
#[ignore = "a measurement"]
fn installation_cost() {
    let Some(arch) = native() else { return };
    let programs =
        [("whole", Program::build(arch, Profile::Strict.into(), None)), ("again", Program::build(arch, DEFAULT, None))];
    let start = Instant::now();
    let length = Program::build(arch, Profile::Strict.into(), None).instructions().len();
    println!("build {:?}, {length} instructions", start.elapsed());
    for (name, program) in &programs {
        let mut times: Vec<u64> = (0..40)
            .map(|_| {
                let ended = in_child(|| {
                    no_new_privs().unwrap();
                    let start = Instant::now();
                    install(program).unwrap();
                    crate::linux::child::say(&start.elapsed().as_nanos().to_string());
                    0
                });
                ended.said.parse().unwrap()
            })
            .collect();
        times.sort_unstable();
        println!("install {name}: median {} ns, least {} ns", times[20], times[0]);
    }
}
