//! The filter as the kernel takes it: [`Program`], assembled from the list.
//!
//! Shape: the architecture is compared first, then a balanced binary tree over the call numbers with neighbours
//! of equal answer merged into ranges, then leaf blocks that test arguments. The kernel evaluates every number
//! once at installation to cache constant answers, so depth is paid some 470 times there: a tree of about
//! eight comparisons instead of a list of hundreds. Classic BPF jumps forward by at most 255 instructions, so the
//! program is emitted from its end, where every target's distance is known, with far jumps bridged.

use std::sync::OnceLock;

use libc::sock_filter;

use super::evaluate::{Call, evaluate};
use super::rules::{Clauses, Rule, Test, Ticket};
use super::{Answer, Arch, Decision, Entry, Openings, SharedHost, shared_host, table};
use crate::policy::{Closed, Profile};
use crate::weaken::{Barrier, stands};

/// The filters that most runs get, and the nest init's own. The spawner fills it once, and every process that it clones
/// starts with a copy.
static PREPARED: OnceLock<Prepared> = OnceLock::new();

#[derive(Debug)]
struct Prepared {
    usual: [(Openings, Program); 4],
    nest_init: Program,
}

/// Stands for the ticket in a prepared filter. No other operand has these values; a test counts them.
const PLACEHOLDER: Ticket =
    Ticket { fd: 0xF1F1_0000, path: 0xF1F1_0001_F1F1_0002, argv: 0xF1F1_0003_F1F1_0004, envp: 0xF1F1_0005_F1F1_0006 };

/// A system-call filter for one architecture.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    instructions: Vec<sock_filter>,
}

impl Program {
    /// Builds the usual filters ahead of the first run; see [`Self::of`].
    pub(crate) fn prepare() {
        if let Some(arch) = Arch::native() {
            PREPARED.get_or_init(|| Prepared::new(arch));
        }
    }
    /// As [`Self::build`] for this architecture, from what [`Self::prepare`] built where it is there. `None` where there
    /// are no filters for this architecture.
    pub(crate) fn of(open: Openings, ticket: Option<&Ticket>) -> Option<Self> {
        let arch = Arch::native()?;
        let prepared = PREPARED.get_or_init(|| Prepared::new(arch));
        let usual = prepared.usual.iter().find(|(known, _)| *known == open).map(|(_, program)| program);
        Some(match (usual, ticket) {
            (Some(program), _) if open.exec => program.clone(),
            (Some(program), Some(ticket)) => program.with_ticket(ticket),
            _ => Self::build(arch, open, ticket),
        })
    }
    /// The filter of a run that shares the host: no UNIX socket, and no INET socket without the host's network.
    pub(crate) fn sharing(open: Openings, shared: SharedHost, network: bool, ticket: Option<&Ticket>) -> Option<Self> {
        let open = Openings { inet: open.inet && network, unix: false, shared: Some(shared), ..open };
        Some(Self::build(Arch::native()?, open, ticket))
    }
    /// The same with nobody's ticket: for looking its answers up, not for installing.
    pub(crate) fn for_answers(open: Openings) -> Option<Self> {
        Self::of(open, Some(&PLACEHOLDER))
    }
    /// What the nest init itself may still call once the program runs.
    pub(crate) fn nest_init() -> Option<Self> {
        let arch = Arch::native()?;
        Some(PREPARED.get_or_init(|| Prepared::new(arch)).nest_init.clone())
    }
    /// Beside a profile's filter: the processors that the program was given stay the ones it runs on.
    pub(crate) fn fixed_processors() -> Option<Self> {
        let arch = Arch::native()?;
        let refuse = Decision::Errno(libc::EPERM as u16);
        let calls = arch.numbers().filter(|(name, _)| *name == "sched_setaffinity").map(|(_, number)| (number, refuse));
        Some(Self::assemble(arch, calls.collect(), Answer::Allow, Profile::Default.into(), None))
    }
    /// A prepared filter with this ticket in the placeholder's place.
    fn with_ticket(&self, ticket: &Ticket) -> Self {
        let mut program = self.clone();
        let words = |ticket: &Ticket| {
            let halves = [ticket.path, ticket.argv, ticket.envp].map(|word| [word as u32, (word >> 32) as u32]);
            [ticket.fd].into_iter().chain(halves.into_iter().flatten())
        };
        for instruction in &mut program.instructions {
            if matches!(instruction.code, EQUAL | SUBTRACT)
                && let Some((_, to)) = words(&PLACEHOLDER).zip(words(ticket)).find(|(from, _)| *from == instruction.k)
            {
                instruction.k = to;
            }
        }
        program
    }
    /// The filter of these openings. Where exec is closed, `ticket` admits the one `execveat` that starts the program;
    /// without it nothing can be executed. Elsewhere the ticket is not needed and ignored.
    pub(crate) fn build(arch: Arch, open: Openings, ticket: Option<&Ticket>) -> Self {
        let mut by_name: Vec<&Entry> = table::TABLE.iter().collect();
        by_name.sort_unstable_by_key(|entry| entry.name);
        let listed = |name: &str| {
            Some(by_name[by_name.binary_search_by_key(&name, |entry| entry.name).ok()?].under(open.profile))
        };
        let decision = |name: &'static str| {
            if !stands(Barrier::Call(name)) {
                return Some(Decision::Allow);
            }
            let closed = open.shared.and_then(|shared| shared_host::decision(name, shared));
            closed.or_else(|| listed(name))
        };
        let mut entries: Vec<(u32, Decision)> =
            arch.numbers().filter_map(|(name, number)| Some((number, decision(name)?))).collect();
        entries.sort_unstable_by_key(|(number, _)| *number);
        Self::assemble(arch, entries, Answer::ENOSYS, open, ticket)
    }
    /// A filter of these entries, in the order of their numbers, and one answer for all that they leave out.
    fn assemble(
        arch: Arch,
        entries: Vec<(u32, Decision)>,
        otherwise: Answer,
        open: Openings,
        ticket: Option<&Ticket>,
    ) -> Self {
        let mut emit = Emitter::default();
        let mut ranges: Vec<(u32, Label)> = Vec::new();
        let mut from = |first: u32, leaf: Label| match ranges.last_mut() {
            Some((_, last)) if *last == leaf => {}
            Some((start, last)) if *start == first => *last = leaf,
            _ => ranges.push((first, leaf)),
        };
        // One block a rule: `sendto` and `recvfrom` share theirs.
        let mut rules: Vec<(Rule, Label)> = Vec::new();
        let unknown = emit.answer(otherwise);
        from(0, unknown);
        for (number, decision) in entries {
            let leaf = match decision {
                Decision::Allow => emit.answer(Answer::Allow),
                Decision::Errno(errno) => emit.answer(Answer::Errno(errno)),
                Decision::ByArgument(rule) => match rules.iter().find(|(known, _)| *known == rule) {
                    Some((_, block)) => *block,
                    None => {
                        let block = emit.clauses(&rule.clauses(open, ticket));
                        rules.push((rule, block));
                        block
                    }
                },
            };
            from(number, leaf);
            from(number + 1, unknown);
        }
        let tree = emit.tree(&ranges);
        emit.goto(tree);
        let tree = emit.push(LOAD, NUMBER);
        let kill = emit.answer(Answer::Kill);
        emit.branch(EQUAL, arch.audit(), tree, kill);
        emit.push(LOAD, ARCHITECTURE);
        Self { instructions: emit.finish() }
    }
    /// A program of nothing but one rule, for the assembler's own test.
    #[cfg(test)]
    pub(super) fn of_clauses(clauses: &Clauses) -> Self {
        let mut emit = Emitter::default();
        let start = emit.clauses(clauses);
        emit.goto(start);
        Self { instructions: emit.finish() }
    }
    /// This filter for a listener: where it refuses (EPERM, EAFNOSUPPORT), somebody is asked for the answer. What it
    /// merely does not have (ENOSYS, EINVAL, ...) is still answered by itself: programs try such calls at their start.
    pub(crate) fn asking(&self) -> Self {
        let mut program = self.clone();
        for instruction in &mut program.instructions {
            if instruction.code == RETURN && is_refusal(instruction.k) {
                instruction.k = libc::SECCOMP_RET_USER_NOTIF;
            }
        }
        program
    }
    /// The error with which this filter refuses a call.
    pub(crate) fn refusal(&self, number: u32, arch: u32, args: [u64; 6]) -> Option<i32> {
        let (answer, _) = evaluate(&self.instructions, &Call { number, arch, args }).ok()?;
        is_refusal(answer).then_some((answer & libc::SECCOMP_RET_DATA) as i32)
    }
    /// The instructions, in the order the kernel takes.
    pub(crate) fn instructions(&self) -> &[sock_filter] {
        &self.instructions
    }
}

fn is_refusal(answer: u32) -> bool {
    let refusals = [libc::EPERM, libc::EAFNOSUPPORT];
    refusals.iter().any(|errno| answer == libc::SECCOMP_RET_ERRNO | *errno as u32)
}

impl Prepared {
    fn new(arch: Arch) -> Self {
        let default = |exec, inet| Openings::of(Profile::Default, Closed { exec, inet });
        let usual = [Profile::Strict.into(), default(false, false), default(true, false), default(true, true)];
        let mut calls: Vec<(u32, Decision)> = arch
            .numbers()
            .filter(|(name, _)| table::NEST_INIT.contains(name))
            .map(|(_, number)| (number, Decision::Allow))
            .collect();
        calls.extend(arch.number("ioctl").map(|number| (number, Decision::ByArgument(Rule::Listener))));
        calls.sort_unstable_by_key(|(number, _)| *number);
        Self {
            usual: usual.map(|open| (open, Program::build(arch, open, Some(&PLACEHOLDER)))),
            nest_init: Program::assemble(arch, calls, Answer::EPERM, Profile::Default.into(), None),
        }
    }
}

// Offsets into the kernel's `struct seccomp_data`; arguments are 64 bits each, low half first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn low(arg: u8) -> u32 {
    16 + 8 * arg as u32
}
const fn high(arg: u8) -> u32 {
    low(arg) + 4
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const MASK: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const SUBTRACT: u16 = (libc::BPF_ALU | libc::BPF_SUB | libc::BPF_K) as u16;
const OR_X: u16 = (libc::BPF_ALU | libc::BPF_OR | libc::BPF_X) as u16;
const STORE: u16 = libc::BPF_ST as u16;
const RECALL_X: u16 = (libc::BPF_LDX | libc::BPF_MEM) as u16;
const GOTO: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// An emitted instruction, counted from the end of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// Emits a program from its last instruction to its first.
#[derive(Debug, Default)]
struct Emitter {
    backwards: Vec<sock_filter>,
    answers: Vec<(Answer, Label)>,
    /// Far targets and the jumps that lead there, newest last.
    bridges: Vec<(Label, Label)>,
}

impl Emitter {
    /// An instruction that goes on to the one emitted before it.
    fn push(&mut self, code: u16, k: u32) -> Label {
        self.backwards.push(sock_filter { code, jt: 0, jf: 0, k });
        Label(self.backwards.len() - 1)
    }
    /// How many instructions the next one would jump over to reach the target.
    fn distance(&self, target: Label) -> usize {
        self.backwards.len() - 1 - target.0
    }
    /// Makes what is emitted next go on at the target.
    fn goto(&mut self, target: Label) -> Label {
        match self.distance(target) {
            0 => target,
            far => self.push(GOTO, far as u32),
        }
    }
    fn branch(&mut self, code: u16, k: u32, mut yes: Label, mut no: Label) -> Label {
        for target in [&mut yes, &mut no] {
            *target = self.within_reach(*target);
        }
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.backwards.push(sock_filter { code, jt, jf, k });
        Label(self.backwards.len() - 1)
    }
    /// The target, or a jump to it that a conditional jump can reach, shared among neighbours.
    fn within_reach(&mut self, target: Label) -> Label {
        // 254, because bridging one of a branch's two targets moves the other one further away by one.
        if self.distance(target) <= 254 {
            return target;
        }
        let known = self.bridges.iter().rfind(|(end, _)| *end == target).map(|(_, bridge)| *bridge);
        if let Some(bridge) = known.filter(|bridge| self.distance(*bridge) <= 254) {
            return bridge;
        }
        let bridge = self.goto(target);
        self.bridges.push((target, bridge));
        bridge
    }
    /// The end of the program with this answer, one for each answer.
    fn answer(&mut self, answer: Answer) -> Label {
        if let Some((_, label)) = self.answers.iter().find(|(known, _)| *known == answer) {
            return *label;
        }
        let label = self.push(RETURN, answer.code());
        self.answers.push((answer, label));
        label
    }
    /// A block that answers by argument.
    fn clauses(&mut self, clauses: &Clauses) -> Label {
        let mut next = self.answer(clauses.otherwise);
        for clause in clauses.list.iter().rev() {
            let mut here = self.answer(clause.then);
            for test in clause.tests.iter().rev() {
                here = self.test(test, here, next);
            }
            next = here;
        }
        next
    }
    fn test(&mut self, test: &Test, yes: Label, no: Label) -> Label {
        match test {
            Test::Low { arg, mask, one_of } => {
                let here = self.one_of(one_of, yes, no);
                self.goto(here);
                if *mask != u32::MAX {
                    self.push(MASK, *mask);
                }
                self.push(LOAD, low(*arg))
            }
            Test::Below { arg, end } => {
                self.branch(AT_LEAST, *end, no, yes);
                self.push(LOAD, low(*arg))
            }
            Test::LowIs { arg, value } => {
                self.branch(EQUAL, *value, yes, no);
                self.push(LOAD, low(*arg))
            }
            Test::Null { arg } => {
                let rest = self.branch(EQUAL, 0, yes, no);
                let rest_loaded = self.push(LOAD, high(*arg));
                debug_assert_eq!(rest.0 + 1, rest_loaded.0);
                self.branch(EQUAL, 0, rest_loaded, no);
                self.push(LOAD, low(*arg))
            }
            Test::Key(words) => {
                // All differences are or-ed together, and only the sum of them is tested.
                let halves: Vec<(u32, u32)> = words
                    .iter()
                    .flat_map(|(arg, value)| [(low(*arg), *value as u32), (high(*arg), (*value >> 32) as u32)])
                    .collect();
                self.branch(EQUAL, 0, yes, no);
                for (offset, value) in halves.iter().skip(1) {
                    self.push(OR_X, 0);
                    self.push(RECALL_X, 0);
                    self.push(SUBTRACT, *value);
                    self.push(LOAD, *offset);
                    self.push(STORE, 0);
                }
                let (offset, value) = halves.first().copied().unwrap_or((NUMBER, 0));
                self.push(SUBTRACT, value);
                self.push(LOAD, offset)
            }
        }
    }
    /// Compares with each value of a set, runs of neighbours as two comparisons.
    fn one_of(&mut self, values: &[u32], yes: Label, no: Label) -> Label {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let mut here = no;
        for run in sorted.chunk_by(|one, next| one.checked_add(1) == Some(*next)).rev() {
            here = match *run {
                [first, .., last] if run.len() > 2 && last < u32::MAX => {
                    let within = self.branch(AT_LEAST, last + 1, here, yes);
                    self.branch(AT_LEAST, first, within, here)
                }
                _ => run.iter().rev().fold(here, |here, value| self.branch(EQUAL, *value, yes, here)),
            };
        }
        here
    }
    /// A balanced tree over ranges given by their first number, in order; never empty.
    fn tree(&mut self, ranges: &[(u32, Label)]) -> Label {
        match ranges {
            [(_, leaf)] => *leaf,
            _ => {
                let (below, from) = ranges.split_at(ranges.len() / 2);
                let upper = self.tree(from);
                let lower = self.tree(below);
                self.branch(AT_LEAST, from[0].0, upper, lower)
            }
        }
    }
    fn finish(mut self) -> Vec<sock_filter> {
        self.backwards.reverse();
        self.backwards
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::tests::every_opening;

    #[test]
    fn a_prepared_filter_is_the_one_that_would_be_built() {
        let ticket = Ticket { fd: 9, path: 0x7123_4567_89ab, argv: 0x1_0000_0000, envp: u64::MAX };
        let plain = |program: &Program| -> Vec<_> {
            program.instructions.iter().map(|at| (at.code, at.jt, at.jf, at.k)).collect()
        };
        let Some(arch) = Arch::native() else { return };
        for open in every_opening() {
            for ticket in [None, Some(&ticket)] {
                let prepared = Program::of(open, ticket).unwrap();
                assert_eq!(plain(&prepared), plain(&Program::build(arch, open, ticket)), "{open:?}");
            }
            let placed = Program::build(arch, open, Some(&PLACEHOLDER));
            let places = placed.instructions.iter().filter(|at| at.k & 0xFFFF_FFF8 == 0xF1F1_0000).count();
            assert_eq!(places, if open.exec { 0 } else { 7 }, "{open:?}");
        }
    }

    #[test]
    fn the_nest_inits_own_calls_exist_and_leave_out_what_it_is_done_with() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            for name in table::NEST_INIT {
                let either = Arch::X86_64.number(name).or(Arch::Aarch64.number(name));
                assert!(either.is_some(), "{name} is no call");
            }
            for name in ["execve", "mount", "clone", "socket", "ptrace", "unshare", "setns", "bpf"] {
                assert!(arch.number(name).is_some() && !table::NEST_INIT.contains(&name), "{name}");
            }
        }
    }
}
