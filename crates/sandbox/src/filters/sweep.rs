//! The live sweep: every number of the kernel's table, and some beyond it, asked from inside a sandbox under each profile and
//! compared with what the list says of those very arguments.
//!
//! A call that the filter closes must answer its exact errno. One that it leaves open must fare as it does outside, with
//! the same arguments, on the same kernel: so an open call cannot pass by being refused, and no call by being unknown.
//! The arguments are harmless: all -1 and all 0, null pointers and descriptors that are not open. Calls that end or stop
//! whoever makes them have runs of their own. Also asked are the x32 numbers, numbers from 2^31, numbers with high bits
//! set in the register, and the 32-bit entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use agentic_testkit::{skip, spawner_binary};

use super::tests::{PROFILES, listed};
use super::{Answer, Arch, LAST_REVIEWED};
use crate::{Command, ExitReason, Limits, Output, Policy, Profile, Sandbox, Spawner, Stdin};

/// Numbers that are asked beyond the last reviewed.
const BEYOND: u32 = 64;
/// Where all -1 or all 0 would stop or end the caller, or change something that outlives it.
const NOT_WITH_ZEROS: &[&str] = &[
    // Wait for ever.
    "select",
    "pselect6",
    "ppoll",
    // The first descriptor, its mode and times; the calling process's own key, uid and filter mode.
    "close",
    "close_range",
    "fchmod",
    "fchown",
    "futimesat",
    "utimensat",
    "pkey_free",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "seccomp",
    // IPC_RMID of object 0, IPC_PRIVATE: the control runs on the host.
    "msgget",
    "msgrcv",
    "msgsnd",
    "msgctl",
    "shmctl",
    "semctl",
    "shmat",
    "semop",
    // A child that would go on as a second caller.
    "clone",
];
/// Calls that end or stop whoever makes them, or return twice: each has a run of its own.
const ALONE: &[&str] = &["exit", "exit_group", "pause", "rt_sigreturn", "fork", "vfork", "uprobe", "uretprobe"];

const ONES: [u64; 6] = [u64::MAX; 6];
/// All zero; no niceness below the one the tests were started with, which needs a capability.
fn zeros(name: &str) -> [u64; 6] {
    let niceness = || rustix::process::getpriority_process(None).expect("our own niceness");
    if name == "setpriority" { [0, 0, niceness().max(0) as u64, 0, 0, 0] } else { [0; 6] }
}
/// All -1, but for the one call that would make something with it: a message queue, which on the host would stay.
fn ones(name: &str) -> [u64; 6] {
    if name == "msgget" { [u64::MAX, 0, 0, 0, 0, 0] } else { ONES }
}

/// Reads `NUMBER ARGUMENT…` lines, makes the calls, prints what each answered. A session and no_new_privs (38) of its own make
/// the control like a run.
const CALLER: &str = r#"
import ctypes, errno, os, sys
calls = [[int(word) for word in line.split()] for line in sys.stdin.read().splitlines()]
try: os.setsid()
except OSError: pass
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.prctl(38, 1, 0, 0, 0)
answers = []
for number, *args in calls:
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_ulong(number), *[ctypes.c_ulong(arg) for arg in args])
    answers.append(0 if done != -1 else ctypes.get_errno())
os.write(1, ' '.join(map(str, answers)).encode())
"#;

/// Makes one call from machine code: its first argument in place, the others zero; a child that returns from it ends at once.
const ONE_CALL: &str = r#"
import ctypes, mmap, signal
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex(CODE))
call = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
signal.setitimer(signal.ITIMER_REAL, 0.2)
done = call(NUMBER, ARGUMENT)
print('answered', -done if done < 0 else 0, flush=True)
"#;
/// mov rax, rdi; mov rdi, rsi; zero rsi, rdx, r10, r8; syscall; test rax, rax; jne +9; xor edi, edi; mov eax, 231; syscall; ret
const NATIVE: &str = "4889f84889f731f631d24d31d24d31c00f054885c0750931ffb8e70000000f05c3";
/// push rbx; mov eax, edi; xor ebx, ebx; xor ecx, ecx; int 0x80; movsxd rax, eax; pop rbx; ret
const INT_80: &str = "5389f831db31c9cd804863c05bc3";

/// 32-bit calls by their own numbers: `socketcall` is the one that would pass a rule on families.
const IA32: &[(&str, u32)] = &[
    ("getpid", 20),
    ("read", 3),
    ("open", 5),
    ("execve", 11),
    ("mount", 21),
    ("ptrace", 26),
    ("socketcall", 102),
    ("clone", 120),
    ("bpf", 357),
    ("a number beyond", 600),
];

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(Spawner::Path(spawner_binary())).expect("a sandbox"))
}

fn inside(profile: Profile, code: &str, stdin: String) -> Output {
    let limits = Limits { wall: Duration::from_secs(60), ..Limits::default() };
    Command::new("/usr/bin/python3")
        .args(["-I", "-S", "-c", code])
        .policy(Policy { profile, ..Policy::default() })
        .limits(limits)
        .stdin(Stdin::Bytes(stdin.into_bytes()))
        .output(sandbox())
        .expect("a run")
}

fn outside(code: &str, stdin: &str) -> std::process::Output {
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(["-I", "-S", "-c", code]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// One call of the sweep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    /// What goes into the register.
    register: u64,
    args: [u64; 6],
}

impl Asked {
    /// The kernel and the filter read the low 32 bits.
    fn number(&self) -> u32 {
        self.register as u32
    }
    fn answer(&self, profile: Profile) -> Answer {
        listed(Arch::X86_64, self.number(), profile.into(), None, &self.args)
    }
}

fn lines(calls: &[Asked]) -> String {
    let mut text = String::new();
    for call in calls {
        let args: Vec<String> = call.args.iter().map(u64::to_string).collect();
        writeln!(text, "{} {}", call.register, args.join(" ")).unwrap();
    }
    text
}

/// Every number with both sets of arguments, then once more in its disguises.
fn calls(names: &BTreeMap<u32, &str>) -> Vec<Asked> {
    let mut calls = Vec::new();
    for number in 0..=LAST_REVIEWED + BEYOND {
        let name = names.get(&number).copied().unwrap_or("");
        let register = u64::from(number);
        // Disguises that the kernel takes for the same number, and some that it must not.
        for register in [register | 0x4000_0000, register | 0x8000_0000, register | 0xC000_0000] {
            calls.push(Asked { register, args: ONES });
        }
        let args = ones(name);
        if ALONE.contains(&name) {
            continue;
        }
        calls.extend(
            [register, register | 1 << 32, register | 0xFFFF_FFFF << 32].map(|register| Asked { register, args }),
        );
        if !NOT_WITH_ZEROS.contains(&name) {
            calls.push(Asked { register, args: zeros(name) });
        }
    }
    calls
}

fn numbers(text: &str) -> Vec<i32> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[test]
fn every_number_answers_inside_as_the_list_says() {
    if Arch::native() != Some(Arch::X86_64) {
        skip!("the disguises and the machine code are those of x86_64");
    }
    let names: BTreeMap<u32, &str> = Arch::X86_64.numbers().map(|(name, number)| (number, name)).collect();
    let calls = calls(&names);
    // The control: what any profile leaves open, outside.
    let open: Vec<Asked> =
        calls.iter().filter(|call| call.answer(Profile::Networked) == Answer::Allow).cloned().collect();
    let control = outside(CALLER, &lines(&open));
    assert!(control.status.success(), "{control:?}");
    let control: BTreeMap<&Asked, i32> = open.iter().zip(numbers(&String::from_utf8_lossy(&control.stdout))).collect();
    assert_eq!(control.len(), open.len());

    let mut surprises = Vec::new();
    let mut counts = BTreeMap::new();
    for profile in PROFILES {
        let output = inside(profile, CALLER, lines(&calls));
        assert!(output.reason.success(), "{profile:?}: {:?}: {}", output.reason, output.stderr.text());
        let answers = numbers(&output.stdout.text());
        assert_eq!(answers.len(), calls.len(), "{profile:?}");
        for (call, answered) in calls.iter().zip(answers) {
            let (expected, what) = match call.answer(profile) {
                Answer::Errno(errno) => (i32::from(errno), "closed"),
                Answer::Allow => (control[call], "open"),
                Answer::Kill => unreachable!("no native call is killed"),
            };
            *counts.entry((profile, what)).or_insert(0) += 1;
            if answered != expected {
                let name = names.get(&call.number()).copied().unwrap_or("unknown");
                surprises.push(format!(
                    "{profile:?} {name} {:#x} {:x?}: {what}, expected {expected}, answered {answered}",
                    call.register, call.args
                ));
            }
        }
    }
    println!("{}", super::reference::table());
    println!("calls made: {counts:?}");
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
}

/// What became of a run that makes one call.
fn alone(profile: Option<Profile>, code: &str, number: u32, argument: u64) -> String {
    let code = ONE_CALL
        .replace("CODE", &format!("{code:?}"))
        .replace("NUMBER", &number.to_string())
        .replace("ARGUMENT", &argument.to_string());
    let (reason, said) = match profile {
        Some(profile) => {
            let output = inside(profile, &code, String::new());
            (output.reason, output.stdout.text())
        }
        None => {
            use std::os::unix::process::ExitStatusExt;
            let output = outside(&code, "");
            let signal = output.status.signal().map(ExitReason::Signalled);
            let reason = signal.unwrap_or(ExitReason::Exited(output.status.code().unwrap_or(-1)));
            (reason, String::from_utf8_lossy(&output.stdout).into_owned())
        }
    };
    match reason {
        ExitReason::Exited(0) if said.starts_with("answered") => said.trim().to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn calls_that_end_the_caller_are_asked_one_by_one() {
    if Arch::native() != Some(Arch::X86_64) {
        skip!("the machine code is that of x86_64");
    }
    for name in ALONE {
        let number = Arch::X86_64.number(name).unwrap();
        let control = alone(None, NATIVE, number, 7);
        for profile in PROFILES {
            let expected = match listed(Arch::X86_64, number, profile.into(), None, &[7, 0, 0, 0, 0, 0]) {
                Answer::Allow => control.clone(),
                Answer::Errno(errno) => format!("answered {errno}"),
                Answer::Kill => unreachable!("no native call is killed"),
            };
            assert_eq!(alone(Some(profile), NATIVE, number, 7), expected, "{profile:?} {name}");
        }
    }
    // `clone` as fork: SIGCHLD and nothing else.
    let clone = Arch::X86_64.number("clone").unwrap();
    let answers = PROFILES.map(|profile| alone(Some(profile), NATIVE, clone, 17));
    assert_eq!(answers, [&format!("answered {}", libc::EPERM), "answered 0", "answered 0"]);
}

#[test]
fn the_32_bit_entry_ends_the_caller_whatever_it_asks() {
    if Arch::native() != Some(Arch::X86_64) {
        skip!("only x86_64 has that entry");
    }
    let control = alone(None, INT_80, 20, 0);
    if control != "answered 0" {
        skip!("this kernel has no ia32 interface: {control}");
    }
    for (name, number) in IA32 {
        for profile in PROFILES {
            let ended = alone(Some(profile), INT_80, *number, 0);
            assert_eq!(ended, format!("{:?}", ExitReason::Signalled(libc::SIGSYS)), "{profile:?} {name}");
        }
    }
}

/// A kernel that has calls which nobody read answers ENOSYS for them inside; whoever runs the tests there is told to read them.
#[test]
fn this_kernel_has_no_call_that_was_not_reviewed() {
    let beyond = LAST_REVIEWED + 1..=LAST_REVIEWED + BEYOND;
    let calls: Vec<Asked> = beyond.map(|number| Asked { register: number.into(), args: ONES }).collect();
    let output = outside(CALLER, &lines(&calls));
    assert!(output.status.success(), "{output:?}");
    let answers = numbers(&String::from_utf8_lossy(&output.stdout));
    let new: BTreeSet<u64> = calls
        .iter()
        .zip(answers)
        .filter(|(_, answered)| *answered != libc::ENOSYS)
        .map(|(call, _)| call.register)
        .collect();
    assert!(new.is_empty(), "calls beyond the list: {new:?}; see \"Recipe: change a filter\" in CONTRIBUTING.md");
}
