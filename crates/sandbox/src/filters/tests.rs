//! The compiled filter against the list, number by number and argument by argument.

use std::collections::BTreeSet;

use super::evaluate::{Call, evaluate};
use super::rules::{Test, Ticket};
use super::table::TABLE;
use super::{Answer, Arch, Decision, LAST_REVIEWED, Openings, Program};
use crate::Profile;

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
const PROFILES: [Profile; 4] = [Profile::Default, Profile::NoExec, Profile::NoInet, Profile::Pure];
const TICKET: Ticket = Ticket { fd: 1023, path: 0x2a5f_1234_5678, argv: 0x1b00_8765_4320, envp: 0x0fff_0000_1008 };

fn every_opening() -> Vec<Openings> {
    let mut all: Vec<Openings> = PROFILES.into_iter().map(Openings::from).collect();
    all.extend(PROFILES.into_iter().map(|profile| Openings { unix: false, ..profile.into() }));
    all
}

fn answer_to(program: &Program, arch: Arch, number: u32, args: [u64; 6]) -> u32 {
    evaluate(program.instructions(), &Call { number, arch: arch.audit(), args }).unwrap().0
}

/// What the list itself says.
fn listed(arch: Arch, number: u32, open: Openings, ticket: Option<&Ticket>, args: &[u64; 6]) -> Answer {
    let Some((name, _)) = arch.numbers().find(|(_, listed)| *listed == number) else { return Answer::ENOSYS };
    match TABLE.iter().find(|entry| entry.name == name).unwrap().decision {
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
        assert!(ARCHES.iter().any(|arch| arch.number(entry.name).is_some()), "{} has no number", entry.name);
    }
    for arch in ARCHES {
        let mut numbers = BTreeSet::new();
        for (name, number) in arch.numbers() {
            assert!(names.contains(name), "{arch:?}: {name} ({number}) has no decision");
            assert!(numbers.insert(number), "{arch:?}: {number} is given twice");
        }
        assert_eq!(numbers.last(), Some(&LAST_REVIEWED), "{arch:?}");
        // The table of new calls is shared by all architectures and has no hole, so a hole here is an omission.
        assert!((424..=LAST_REVIEWED).all(|number| numbers.contains(&number)), "{arch:?}");
    }
    assert!((0..=334).all(|number| Arch::X86_64.numbers().any(|(_, listed)| listed == number)));
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
            let program = Program::with_openings(arch, open, None);
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
        let program = Program::build(arch, Profile::Default, None);
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
    let program = Program::build(Arch::X86_64, Profile::Default, None);
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

#[test]
fn argument_rules_compile_to_what_they_say() {
    let mut probed = 0_u64;
    for arch in ARCHES {
        for open in every_opening() {
            let program = Program::with_openings(arch, open, Some(&TICKET));
            for (name, number) in arch.numbers() {
                let entry = TABLE.iter().find(|entry| entry.name == name).unwrap();
                let Decision::ByArgument(rule) = entry.decision else { continue };
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
    let answer = |profile: Profile, name: &str, args: [u64; 6]| {
        let program = Program::build(Arch::X86_64, profile, Some(&TICKET));
        let code = answer_to(&program, Arch::X86_64, Arch::X86_64.number(name).unwrap(), args);
        match code & 0xffff_0000 {
            libc::SECCOMP_RET_ALLOW => "allowed",
            libc::SECCOMP_RET_ERRNO => match (code & 0xffff) as i32 {
                libc::EPERM => "EPERM",
                libc::ENOSYS => "ENOSYS",
                libc::EINVAL => "EINVAL",
                libc::ENOTTY => "ENOTTY",
                libc::ENOMEM => "ENOMEM",
                libc::EAFNOSUPPORT => "EAFNOSUPPORT",
                libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
                libc::ESOCKTNOSUPPORT => "ESOCKTNOSUPPORT",
                _ => "another errno",
            },
            _ => "killed",
        }
    };
    let high = 1_u64 << 32;
    let expected: &[(Profile, &str, [u64; 6], &str)] = &[
        // Threads as glibc makes them; every namespace; a sibling of the nest init.
        (Profile::Pure, "clone", [0x3d_0f00, 0, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "clone", [0x1000_0011, 0, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "clone", [0x4000_0011, 0, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "clone", [0x8011, 0, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "clone3", [0; 6], "ENOSYS"),
        (Profile::Default, "unshare", [0x1000_0000, 0, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "io_uring_setup", [0; 6], "ENOSYS"),
        (Profile::Default, "ioctl", [0, 0x5401, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "ioctl", [0, 0x5412, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "ioctl", [0, 0x5412 | high, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "ioctl", [0, 0x541c, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "ioctl", [0, 0x5423, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "ioctl", [0, 0xae01, 0, 0, 0, 0], "ENOTTY"),
        (Profile::Default, "socket", [38, 5, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::Default, "socket", [17, 3, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::Default, "socket", [40, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::Default, "socket", [2, 0x8_0001, 6, 0, 0, 0], "allowed"),
        (Profile::Default, "socket", [2, 1, 262, 0, 0, 0], "EPROTONOSUPPORT"),
        (Profile::Default, "socket", [2, 5, 132, 0, 0, 0], "EPROTONOSUPPORT"),
        (Profile::Default, "socket", [2, 3, 255, 0, 0, 0], "EPERM"),
        (Profile::Default, "socket", [16, 3, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "socket", [16, 3, 6, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::NoInet, "socket", [2, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::NoInet, "socket", [10 | high, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::Pure, "socket", [16, 3, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::Pure, "socket", [1, 1, 0, 0, 0, 0], "allowed"),
        (Profile::Pure, "socketpair", [1, 1, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "socketpair", [1, 3, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "socketpair", [30, 1, 0, 0, 0, 0], "EAFNOSUPPORT"),
        (Profile::Default, "kill", [u64::MAX, 9, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "kill", [0xffff_ffff, 9, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "kill", [0, 9, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "fcntl", [0, 1024, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "fcntl", [0, 1026 | high, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "fcntl", [0, 6, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "personality", [0x4_0000, 0, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "personality", [0xffff_ffff, 0, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "seccomp", [1, 8, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "seccomp", [1, 1, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "prctl", [35, 0, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "prctl", [9999, 0, 0, 0, 0, 0], "EINVAL"),
        (Profile::Default, "prlimit64", [1, 7, 4096, 0, 0, 0], "EPERM"),
        (Profile::Default, "prlimit64", [1, 7, high, 0, 0, 0], "EPERM"),
        (Profile::Default, "prlimit64", [1, 7, 0, 4096, 0, 0], "allowed"),
        (Profile::Default, "prlimit64", [0, 7, 4096, 0, 0, 0], "allowed"),
        (Profile::Default, "mmap", [0, 4096, 3, 0x22, u64::MAX, 0], "allowed"),
        (Profile::Default, "mmap", [0, 4096, 3, 0x4_0022, u64::MAX, 0], "ENOMEM"),
        (Profile::Default, "mknod", [0, 0o10644, 0, 0, 0, 0], "allowed"),
        (Profile::Default, "mknod", [0, 0o20644, 0, 0, 0, 0], "EPERM"),
        (Profile::Default, "sendto", [3, 0, 1, 1, 0, 0], "EPERM"),
        (Profile::Default, "sendto", [3, 0, 1, 0x4000, 0, 0], "allowed"),
        (Profile::Default, "execve", [0; 6], "allowed"),
        (Profile::Default, "execveat", [3, 4096, 0, 0, 0x1000, 0], "EPERM"),
        (Profile::Default, "execveat", [3, 4096, 0, 0, 0, 0], "allowed"),
        (Profile::NoExec, "execve", [0; 6], "EPERM"),
        (Profile::NoExec, "execveat", [3, 4096, 0, 0, 0, 0], "EPERM"),
        (Profile::Pure, "execveat", [1023, TICKET.path, TICKET.argv, TICKET.envp, 0x1000, 0], "allowed"),
        (Profile::Pure, "execveat", [1022, TICKET.path, TICKET.argv, TICKET.envp, 0x1000, 0], "EPERM"),
        (Profile::Pure, "execveat", [1023, TICKET.path + 1, TICKET.argv, TICKET.envp, 0x1000, 0], "EPERM"),
        (Profile::Pure, "execveat", [1023, TICKET.path, TICKET.argv, TICKET.envp ^ high, 0x1000, 0], "EPERM"),
        (Profile::Pure, "execveat", [1023, TICKET.path, TICKET.argv, TICKET.envp, 0, 0], "EPERM"),
    ];
    for (profile, name, args, what) in expected {
        assert_eq!(answer(*profile, name, *args), *what, "{profile:?} {name} {args:x?}");
    }
    let unix_closed = Openings { exec: true, inet: true, unix: false, shared: None };
    let program = Program::with_openings(Arch::X86_64, unix_closed, None);
    assert_ne!(answer_to(&program, Arch::X86_64, 41, [1, 1, 0, 0, 0, 0]), Answer::Allow.code());
    assert_eq!(answer_to(&program, Arch::X86_64, 53, [1, 2, 0, 0, 0, 0]), Answer::EPERM.code());
    assert_eq!(answer_to(&program, Arch::X86_64, 53, [1, 1, 0, 0, 0, 0]), Answer::Allow.code());
}

#[test]
fn the_filter_stays_small_and_shallow() {
    for arch in ARCHES {
        for profile in PROFILES {
            let program = Program::build(arch, profile, Some(&TICKET));
            assert!(program.instructions().len() < 700, "{} instructions", program.instructions().len());
            let steps = |number| {
                let call = Call { number, arch: arch.audit(), args: [0; 6] };
                evaluate(program.instructions(), &call).unwrap().1
            };
            let simple = arch.numbers().filter(|(name, _)| {
                let decision = TABLE.iter().find(|entry| entry.name == *name).unwrap().decision;
                !matches!(decision, Decision::ByArgument(_))
            });
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
