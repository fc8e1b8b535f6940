//! The compiled filter against the list, number by number and argument by argument.

use std::collections::BTreeSet;

use super::evaluate::{Call, evaluate};
use super::rules::{Test, Ticket};
use super::table::TABLE;
use super::{Answer, Arch, Decision, LAST_REVIEWED, Openings, Program, SharedHost, shared_host};
use crate::policy::{Closed, Profile};

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
pub(super) const PROFILES: [Profile; 3] = [Profile::Strict, Profile::Default, Profile::Networked];
const TICKET: Ticket = Ticket { fd: 1023, path: 0x2a5f_1234_5678, argv: 0x1b00_8765_4320, envp: 0x0fff_0000_1008 };

/// Every filter that a run can get.
pub(super) fn every_opening() -> Vec<Openings> {
    let mut all = vec![Profile::Strict.into()];
    for profile in [Profile::Default, Profile::Networked] {
        for (exec, inet) in [(false, false), (true, false), (false, true), (true, true)] {
            let open = Openings::of(profile, Closed { exec, inet });
            all.extend([open, Openings { unix: false, ..open }]);
        }
    }
    all.extend(SHARED.map(|shared| Openings {
        inet: false,
        unix: false,
        shared: Some(shared),
        ..Profile::Default.into()
    }));
    all.push(Openings { shared: Some(SHARED[0]), ..Profile::Strict.into() });
    all
}

/// What a run of tier B may share, the most and the least.
const SHARED: [SharedHost; 2] = [
    SharedHost { user: true, signals_scoped: false, truncation_ruled: false },
    SharedHost { user: false, signals_scoped: true, truncation_ruled: true },
];

fn answer_to(program: &Program, arch: Arch, number: u32, args: [u64; 6]) -> u32 {
    evaluate(program.instructions(), &Call { number, arch: arch.audit(), args }).unwrap().0
}

/// What the list says of a call, and what is closed beyond it.
fn decision(name: &str, open: Openings) -> Decision {
    let closed = open.shared.and_then(|shared| shared_host::decision(name, shared));
    closed.unwrap_or_else(|| TABLE.iter().find(|entry| entry.name == name).unwrap().under(open.profile))
}

/// What the list itself says.
pub(super) fn listed(arch: Arch, number: u32, open: Openings, ticket: Option<&Ticket>, args: &[u64; 6]) -> Answer {
    let Some((name, _)) = arch.numbers().find(|(_, listed)| *listed == number) else { return Answer::ENOSYS };
    match decision(name, open) {
        Decision::Allow => Answer::Allow,
        Decision::Errno(errno) => Answer::Errno(errno),
        Decision::ByArgument(rule) => rule.clauses(open, ticket).decide(args),
    }
}

#[test]
fn every_number_up_to_the_last_reviewed_is_decided_once() {
    let mut names = BTreeSet::new();
    for entry in TABLE {
        assert!(names.insert(entry.name), "{} is listed twice", entry.name);
        assert!(entry.reason.len() > 4, "{} has no reason", entry.name);
        if let Some((decision, reason)) = entry.strict {
            assert!(reason.len() > 4, "{} has no reason under strict", entry.name);
            assert!(decision != Decision::Allow && !matches!(entry.decision, Decision::Errno(_)), "{}", entry.name);
        }
        assert!(ARCHES.iter().any(|arch| arch.number(entry.name).is_some()), "{} has no number", entry.name);
    }
    for arch in ARCHES {
        let mut numbers = BTreeSet::new();
        for (name, number) in arch.numbers() {
            assert!(names.contains(name), "{arch:?}: {name} ({number}) has no decision");
            assert!(numbers.insert(number), "{arch:?}: {number} is given twice");
        }
        assert_eq!(numbers.last(), Some(&LAST_REVIEWED), "{arch:?}");
        let undecided: Vec<u32> = (0..=LAST_REVIEWED).filter(|number| !numbers.contains(number)).collect();
        assert_eq!(undecided, arch.unassigned(), "{arch:?}: numbers that nobody decided");
    }
}

#[test]
fn numbers_agree_with_the_installed_kernel_headers() {
    let header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
    let Ok(text) = std::fs::read_to_string(header) else {
        println!("SKIP: no {header}");
        return;
    };
    let mut seen = 0;
    for line in text.lines() {
        let Some((name, number)) = line.strip_prefix("#define __NR_").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let number: u32 = number.trim().parse().unwrap();
        if number <= LAST_REVIEWED {
            assert_eq!(Arch::X86_64.number(name), Some(number), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 300, "only {seen} lines understood");
}

#[test]
fn the_filter_says_of_every_number_what_the_list_says() {
    for arch in ARCHES {
        for open in every_opening() {
            let program = Program::build(arch, open, None);
            let numbers = (0..=1100).chain([0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x4000_0208, 0x7fff_ffff, u32::MAX]);
            for number in numbers {
                for args in [[0; 6], [u64::MAX; 6], [0x1_0000_0000; 6], [1; 6]] {
                    let expected = listed(arch, number, open, None, &args);
                    assert_eq!(
                        answer_to(&program, arch, number, args),
                        expected.code(),
                        "{arch:?} {open:?} {number} {args:x?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_foreign_architecture_is_killed_whatever_it_asks() {
    const FOREIGN: [u32; 4] = [0x4000_0003, 0x4000_0028, 0xC000_00F3, 0];
    for arch in ARCHES {
        let program = Program::build(arch, Profile::Networked.into(), None);
        for audit in FOREIGN {
            for number in [0, 1, 102, 11, u32::MAX] {
                let call = Call { number, arch: audit, args: [0; 6] };
                assert_eq!(evaluate(program.instructions(), &call).unwrap().0, Answer::Kill.code());
            }
        }
    }
}

#[test]
fn x32_numbers_do_not_exist() {
    let program = Program::build(Arch::X86_64, Profile::Networked.into(), None);
    for number in (0..1100).map(|number| number | 0x4000_0000).chain(512..548) {
        assert_eq!(answer_to(&program, Arch::X86_64, number, [0; 6]), Answer::ENOSYS.code(), "{number:#x}");
    }
}

/// Values around everything a rule mentions, each also with rubbish in the upper half.
fn probes(tests: &[&Test], arg: u8) -> Vec<u64> {
    let mut low: BTreeSet<u32> = [0, 1, 2, u32::MAX].into();
    let mut full = BTreeSet::new();
    for test in tests {
        match test {
            Test::Low { arg: its, mask, one_of } if *its == arg => {
                for value in *one_of {
                    low.extend([*value, value.wrapping_add(1), value.wrapping_sub(1), value | !mask]);
                    low.extend((0..32).map(|bit| value ^ (1 << bit)));
                }
            }
            Test::Below { arg: its, end } if *its == arg => low.extend([*end, end - 1, end + 1]),
            Test::LowIs { arg: its, value } if *its == arg => low.extend([*value, value ^ 1]),
            Test::Key(words) => full.extend(words.iter().filter(|(its, _)| *its == arg).flat_map(|(_, value)| {
                [*value, value ^ 1, value ^ (1 << 40), *value & 0xffff_ffff, *value & !0xffff_ffff]
            })),
            _ => {}
        }
    }
    full.extend(low.iter().flat_map(|value| [u64::from(*value), u64::from(*value) | 0xdead_beef_0000_0000]));
    full.into_iter().collect()
}

/// The three profiles are an order: asked of every number, with arguments around everything that a rule mentions.
#[test]
fn whatever_a_stricter_profile_allows_the_next_one_allows_too() {
    let mut asked = 0_u64;
    for arch in ARCHES {
        let programs = PROFILES.map(|profile| Program::build(arch, profile.into(), None));
        assert!(PROFILES.is_sorted());
        let mut check = |number: u32, args: [u64; 6]| {
            asked += 1;
            let allowed =
                programs.each_ref().map(|program| answer_to(program, arch, number, args) == Answer::Allow.code());
            assert!(allowed.is_sorted(), "{arch:?} {number} {args:x?}: {allowed:?}");
        };
        for number in (0..=1100).chain([0x4000_0000, 0x4000_0029, 0x8000_0001, u32::MAX]) {
            for args in [[0; 6], [u64::MAX; 6], [1; 6], [1 << 32; 6]] {
                check(number, args);
            }
        }
        for (name, number) in arch.numbers() {
            let entry = TABLE.iter().find(|entry| entry.name == name).unwrap();
            let Decision::ByArgument(rule) = entry.decision else { continue };
            let clauses = PROFILES.map(|profile| rule.clauses(profile.into(), None));
            let tests: Vec<&Test> = clauses.iter().flat_map(|it| &it.list).flat_map(|clause| &clause.tests).collect();
            // Pairs, because socket and setsockopt decide by two arguments together.
            let values: Vec<Vec<u64>> = (0..3).map(|arg| probes(&tests, arg)).collect();
            for (one, other) in [(0, 1), (1, 2), (0, 2)] {
                for first in values[one].iter().step_by(3) {
                    for second in values[other].iter().step_by(3) {
                        let mut args = [0; 6];
                        (args[one], args[other]) = (*first, *second);
                        check(number, args);
                    }
                }
            }
            for arg in 3..6 {
                for value in probes(&tests, arg) {
                    let mut args = [0; 6];
                    args[usize::from(arg)] = value;
                    check(number, args);
                }
            }
        }
    }
    assert!(asked > 100_000, "{asked}");
}

#[test]
fn argument_rules_compile_to_what_they_say() {
    let mut probed = 0_u64;
    for arch in ARCHES {
        for open in every_opening() {
            let program = Program::build(arch, open, Some(&TICKET));
            for (name, number) in arch.numbers() {
                let Decision::ByArgument(rule) = decision(name, open) else { continue };
                let clauses = rule.clauses(open, Some(&TICKET));
                let tests: Vec<&Test> = clauses.list.iter().flat_map(|clause| &clause.tests).collect();
                let mut check = |args: [u64; 6]| {
                    probed += 1;
                    let expected = clauses.decide(&args).code();
                    assert_eq!(answer_to(&program, arch, number, args), expected, "{arch:?} {open:?} {name} {args:x?}");
                };
                let neutral = [1, TICKET.path, TICKET.argv, TICKET.envp, 0x1000, 0];
                for arg in 0..6 {
                    for value in probes(&tests, arg) {
                        for mut args in [[0; 6], neutral] {
                            args[usize::from(arg)] = value;
                            check(args);
                        }
                    }
                }
                if matches!(name, "socket" | "socketpair") {
                    for family in 0..48 {
                        for kind in 0..12 {
                            for protocol in [0, 1, 6, 15, 16, 17, 58, 132, 136, 255, 262] {
                                check([family, kind, protocol, 0, 0, 0]);
                                check([family | 1 << 32, kind | 0x80800 | 1 << 63, protocol | 7 << 40, 0, 0, 0]);
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(probed > 100_000, "{probed}");
}

/// The rules once more, in plain words and by hand, so that a mistake in a rule's data is not its own witness.
#[test]
fn rules_mean_what_the_design_says() {
    const DEFAULT: Openings = Openings { profile: Profile::Default, exec: true, inet: true, unix: true, shared: None };
    const NO_EXEC: Openings = Openings { exec: false, ..DEFAULT };
    const NO_INET: Openings = Openings { inet: false, ..DEFAULT };
    const NO_UNIX: Openings = Openings { unix: false, ..NETWORKED };
    const NETWORKED: Openings = Openings { profile: Profile::Networked, ..DEFAULT };
    const STRICT: Openings = Openings { profile: Profile::Strict, exec: false, inet: false, unix: false, shared: None };
    let answer = |open: Openings, name: &str, args: [u64; 6]| {
        let program = Program::build(Arch::X86_64, open, Some(&TICKET));
        let code = answer_to(&program, Arch::X86_64, Arch::X86_64.number(name).unwrap(), args);
        match code & 0xffff_0000 {
            libc::SECCOMP_RET_ALLOW => "allowed".to_owned(),
            libc::SECCOMP_RET_ERRNO => Answer::Errno((code & 0xffff) as u16).name(),
            _ => "killed".to_owned(),
        }
    };
    let high = 1_u64 << 32;
    let expected: &[(Openings, &str, [u64; 6], &str)] = &[
        // Threads as glibc makes them; every namespace; a sibling of the nest init.
        (STRICT, "clone", [0x3d_0f00, 0, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "clone", [0x1000_0011, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "clone", [0x4000_0011, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "clone", [0x8011, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "clone3", [0; 6], "ENOSYS"),
        (DEFAULT, "unshare", [0x1000_0000, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "io_uring_setup", [0; 6], "ENOSYS"),
        (DEFAULT, "ioctl", [0, 0x5401, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "ioctl", [0, 0x5412, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "ioctl", [0, 0x5412 | high, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "ioctl", [0, 0x541c, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "ioctl", [0, 0x5423, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "ioctl", [0, 0xae01, 0, 0, 0, 0], "ENOTTY"),
        (DEFAULT, "socket", [38, 5, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (DEFAULT, "socket", [17, 3, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (DEFAULT, "socket", [40, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (DEFAULT, "socket", [2, 0x8_0001, 6, 0, 0, 0], "allowed"),
        (DEFAULT, "socket", [2, 1, 262, 0, 0, 0], "EPROTONOSUPPORT"),
        (DEFAULT, "socket", [2, 5, 132, 0, 0, 0], "EPROTONOSUPPORT"),
        (DEFAULT, "socket", [2, 3, 255, 0, 0, 0], "EPERM"),
        (DEFAULT, "socket", [16, 3, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "socket", [16, 3, 6, 0, 0, 0], "EAFNOSUPPORT"),
        (NO_INET, "socket", [2, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (NO_INET, "socket", [10 | high, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (STRICT, "socket", [16, 3, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (NO_INET, "socket", [1, 1, 0, 0, 0, 0], "allowed"),
        (STRICT, "socketpair", [1, 1, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "socketpair", [1, 3, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "socketpair", [30, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (DEFAULT, "kill", [u64::MAX, 9, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "kill", [0xffff_ffff, 9, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "kill", [0, 9, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "fcntl", [0, 1024, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "fcntl", [0, 1026 | high, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "fcntl", [0, 6, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "personality", [0x4_0000, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "personality", [0xffff_ffff, 0, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "seccomp", [1, 8, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "seccomp", [1, 1, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "prctl", [35, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "prctl", [9999, 0, 0, 0, 0, 0], "EINVAL"),
        (DEFAULT, "prlimit64", [1, 7, 4096, 0, 0, 0], "EPERM"),
        (DEFAULT, "prlimit64", [1, 7, high, 0, 0, 0], "EPERM"),
        (DEFAULT, "prlimit64", [1, 7, 0, 4096, 0, 0], "allowed"),
        (DEFAULT, "prlimit64", [0, 7, 4096, 0, 0, 0], "allowed"),
        (DEFAULT, "mmap", [0, 4096, 3, 0x22, u64::MAX, 0], "allowed"),
        (DEFAULT, "mmap", [0, 4096, 3, 0x4_0022, u64::MAX, 0], "ENOMEM"),
        (DEFAULT, "mknod", [0, 0o10644, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "mknod", [0, 0o20644, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "sendto", [3, 0, 1, 1, 0, 0], "EPERM"),
        (DEFAULT, "sendto", [3, 0, 1, 0x4000, 0, 0], "allowed"),
        (DEFAULT, "execve", [0; 6], "allowed"),
        (DEFAULT, "execveat", [3, 4096, 0, 0, 0x1000, 0], "EPERM"),
        (DEFAULT, "execveat", [3, 4096, 0, 0, 0, 0], "allowed"),
        (NO_EXEC, "execve", [0; 6], "EPERM"),
        (NO_EXEC, "execveat", [3, 4096, 0, 0, 0, 0], "EPERM"),
        (STRICT, "execveat", [1023, TICKET.path, TICKET.argv, TICKET.envp, 0x1000, 0], "allowed"),
        (STRICT, "execveat", [1022, TICKET.path, TICKET.argv, TICKET.envp, 0x1000, 0], "EPERM"),
        (STRICT, "execveat", [1023, TICKET.path + 1, TICKET.argv, TICKET.envp, 0x1000, 0], "EPERM"),
        (STRICT, "execveat", [1023, TICKET.path, TICKET.argv, TICKET.envp ^ high, 0x1000, 0], "EPERM"),
        (STRICT, "execveat", [1023, TICKET.path, TICKET.argv, TICKET.envp, 0, 0], "EPERM"),
        // Leases on folders, shadow stacks by their numbers, core scheduling, dispatch by the program, a tracer by name.
        (DEFAULT, "fcntl", [0, 1040, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "prctl", [74, 0, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "prctl", [72, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "prctl", [62, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "prctl", [59, 0, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "prctl", [0x5961_6d61, 1, 0, 0, 0, 0], "EINVAL"),
        (DEFAULT, "prctl", [22, 2, 0, 0, 0, 0], "allowed"),
        (STRICT, "prctl", [22, 2, 0, 0, 0, 0], "EPERM"),
        (STRICT, "prctl", [15, 0, 0, 0, 0, 0], "allowed"),
        // Files in memory: huge pages nowhere, executable ones where files of the view are executable.
        (DEFAULT, "memfd_create", [0, 0x13, 0, 0, 0, 0], "allowed"),
        (DEFAULT, "memfd_create", [0, 4, 0, 0, 0, 0], "ENOMEM"),
        (NO_EXEC, "memfd_create", [0, 0x13, 0, 0, 0, 0], "EACCES"),
        (STRICT, "memfd_create", [0, 0x10 | high, 0, 0, 0, 0], "EACCES"),
        (STRICT, "memfd_create", [0, 0x14, 0, 0, 0, 0], "ENOMEM"),
        (STRICT, "memfd_create", [0, 0xb, 0, 0, 0, 0], "allowed"),
        // One process: threads as glibc makes them, no child in any spelling.
        (STRICT, "clone", [0x11, 0, 0, 0, 0, 0], "EPERM"),
        (STRICT, "clone", [0x4111, 0, 0, 0, 0, 0], "EPERM"),
        (STRICT, "clone", [0x0120_0011, 0, 0, 0, 0, 0], "EPERM"),
        (STRICT, "clone", [0x3d_0b00, 0, 0, 0, 0, 0], "EPERM"),
        (STRICT, "clone", [0x103d_0f00, 0, 0, 0, 0, 0], "EPERM"),
        (STRICT, "fork", [0; 6], "EPERM"),
        (STRICT, "vfork", [0; 6], "EPERM"),
        (DEFAULT, "fork", [0; 6], "allowed"),
        // Sockets: ICMP echo with a network alone, no UNIX name where it is not scoped, only pairs under strict.
        (NETWORKED, "socket", [2, 2, 1, 0, 0, 0], "allowed"),
        (NETWORKED, "socket", [10, 0x8_0002, 58, 0, 0, 0], "allowed"),
        (NETWORKED, "socket", [2, 2, 58, 0, 0, 0], "EPROTONOSUPPORT"),
        (NETWORKED, "socket", [2, 3, 1, 0, 0, 0], "EPERM"),
        (DEFAULT, "socket", [2, 2, 1, 0, 0, 0], "EPROTONOSUPPORT"),
        (NO_UNIX, "socket", [1, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (NO_UNIX, "socketpair", [1, 2, 0, 0, 0, 0], "EPERM"),
        (NO_UNIX, "socketpair", [1, 1, 0, 0, 0, 0], "allowed"),
        (STRICT, "socket", [1, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (STRICT, "socketpair", [1, 2, 0, 0, 0, 0], "EPERM"),
        (STRICT, "connect", [0; 6], "EPERM"),
        (STRICT, "recvmsg", [0; 6], "EPERM"),
        (STRICT, "sendto", [3, 0, 1, 0x4000, 0, 0], "allowed"),
        // Socket options: what servers and clients set; no BPF, no ULP, no encapsulation, no zero-copy, no tables.
        (DEFAULT, "setsockopt", [3, 1, 2, 0, 4, 0], "allowed"),
        (DEFAULT, "setsockopt", [3, 6, 1, 0, 4, 0], "allowed"),
        (DEFAULT, "setsockopt", [3, 41, 26, 0, 4, 0], "allowed"),
        (DEFAULT, "setsockopt", [3, 0, 32, 0, 4, 0], "allowed"),
        (DEFAULT, "setsockopt", [3, 1, 26, 0, 16, 0], "ENOPROTOOPT"),
        (DEFAULT, "setsockopt", [3, 1 | high, 26 | high, 0, 16, 0], "ENOPROTOOPT"),
        (DEFAULT, "setsockopt", [3, 1, 50, 0, 4, 0], "ENOPROTOOPT"),
        (DEFAULT, "setsockopt", [3, 1, 51, 0, 4, 0], "ENOPROTOOPT"),
        (DEFAULT, "setsockopt", [3, 1, 60, 0, 4, 0], "ENOPROTOOPT"),
        (DEFAULT, "setsockopt", [3, 6, 31, 0, 4, 0], "ENOPROTOOPT"),
        (NETWORKED, "setsockopt", [3, 17, 100, 0, 4, 0], "ENOPROTOOPT"),
        (NETWORKED, "setsockopt", [3, 0, 17, 0, 4, 0], "ENOPROTOOPT"),
        (NETWORKED, "setsockopt", [3, 0, 64, 0, 4, 0], "ENOPROTOOPT"),
        (NETWORKED, "setsockopt", [3, 41, 1, 0, 4, 0], "ENOPROTOOPT"),
        (NETWORKED, "setsockopt", [3, 132, 1, 0, 4, 0], "ENOPROTOOPT"),
        (STRICT, "setsockopt", [3, 1, 7, 0, 4, 0], "allowed"),
        (STRICT, "setsockopt", [3, 1, 2, 0, 4, 0], "ENOPROTOOPT"),
        (STRICT, "setsockopt", [3, 6, 1, 0, 4, 0], "ENOPROTOOPT"),
        // And what strict lacks by number.
        (STRICT, "splice", [0; 6], "ENOSYS"),
        (STRICT, "tee", [0; 6], "ENOSYS"),
        (STRICT, "sendfile", [0; 6], "ENOSYS"),
        (DEFAULT, "splice", [0; 6], "allowed"),
        (DEFAULT, "vmsplice", [0; 6], "ENOSYS"),
        (STRICT, "shmget", [0; 6], "ENOSYS"),
        (STRICT, "mq_open", [0; 6], "ENOSYS"),
        (STRICT, "seccomp", [1, 1, 0, 0, 0, 0], "EPERM"),
        (STRICT, "ioctl", [0, 0x5401, 0, 0, 0, 0], "allowed"),
        (STRICT, "ioctl", [0, 0x8912, 0, 0, 0, 0], "ENOTTY"),
        (STRICT, "ioctl", [0, 0x5412, 0, 0, 0, 0], "EPERM"),
        (DEFAULT, "listns", [0; 6], "EPERM"),
        (DEFAULT, "rseq_slice_yield", [0; 6], "ENOSYS"),
        (DEFAULT, "fchroot", [0; 6], "EPERM"),
    ];
    for (open, name, args, what) in expected {
        assert_eq!(answer(*open, name, *args), *what, "{open:?} {name} {args:x?}");
    }
}

#[test]
fn the_filter_stays_small_and_shallow() {
    for arch in ARCHES {
        for profile in every_opening() {
            let program = Program::build(arch, profile, Some(&TICKET));
            assert!(program.instructions().len() < 900, "{} instructions", program.instructions().len());
            let steps = |number| {
                let call = Call { number, arch: arch.audit(), args: [0; 6] };
                evaluate(program.instructions(), &call).unwrap().1
            };
            let simple = arch.numbers().filter(|(name, _)| !matches!(decision(name, profile), Decision::ByArgument(_)));
            let deepest = simple.map(|(_, number)| steps(number)).max().unwrap();
            assert!(deepest <= 16, "{arch:?} {profile:?}: {deepest} steps");
        }
    }
}

#[test]
fn far_jumps_are_bridged() {
    // A rule whose tests alone are longer than a conditional jump can span.
    const MANY: &[u32] = &{
        let mut values = [0; 700];
        let mut i = 0;
        while i < 700 {
            values[i] = 3 * i as u32;
            i += 1;
        }
        values
    };
    let mut long = super::rules::Rule::Personality.clauses(Profile::Default.into(), None);
    long.list[0].tests = vec![Test::Low { arg: 0, mask: u32::MAX, one_of: MANY }, Test::Null { arg: 1 }];
    let program = Program::of_clauses(&long);
    for first in 0..2200_u64 {
        for second in [0, 1, 1 << 40] {
            let args = [first, second, 0, 0, 0, 0];
            assert_eq!(answer_to(&program, Arch::X86_64, 0, args), long.decide(&args).code(), "{first} {second}");
        }
    }
}
