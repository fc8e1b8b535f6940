//! Parent side: relays the standard streams, keeps the clock, ends the tree, and says what came of it.
//!
//! One thread and one `poll` loop a run. The program's standard streams are always pipes of ours, never the
//! caller's descriptors: a program could reopen those for writing through `/proc/self/fd`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::capture::Capture;
use crate::channel;
use crate::child::Killer;
use crate::command::{Stdin, Stream, WindowSize};
use crate::denial::{self, MOST_DENIALS};
use crate::error::{Error, Result};
use crate::filters::Openings;
use crate::gateway::Passage;
use crate::guarded::explained;
use crate::identity::Slot;
use crate::launch::failure;
use crate::limits::Limits;
use crate::linux::cgroup::Group;
use crate::output::{Enforced, ExitReason, LimitKind, Output, Usage};
use crate::policy::{Closed, Profile};
use crate::spawner::Client;
use crate::spec::{Refused, Report, Status};

/// Time between looks at a cgroup's counters.
const TICK: Duration = Duration::from_millis(20);
/// Time between looks at the size of the caller's terminal.
const RESIZE_TICK: Duration = Duration::from_millis(100);
/// How long the nest init may take to end once it was killed. The kernel tears the tree down; this only
/// keeps a kernel fault from hanging the caller.
const REAP_GRACE: Duration = Duration::from_secs(30);

/// Reads of one stream after the tree has ended, 64 KiB each: more than any pipe holds.
const DRAIN_MOST: usize = 64;

/// Both ends of the three standard streams.
pub(crate) struct Pipes {
    pub(crate) ours: [OwnedFd; 3],
    pub(crate) theirs: [OwnedFd; 3],
}

impl Pipes {
    pub(crate) fn new() -> io::Result<Self> {
        let (stdin_read, stdin_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout_read, stdout_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr_read, stderr_write) = pipe_with(PipeFlags::CLOEXEC)?;
        for ours in [&stdin_write, &stdout_read, &stderr_read] {
            rustix::fs::fcntl_setfl(ours, OFlags::NONBLOCK)?;
        }
        Ok(Self { ours: [stdin_write, stdout_read, stderr_read], theirs: [stdin_read, stdout_write, stderr_write] })
    }
}

/// Everything a run needs to be seen to its end.
pub(crate) struct Supervised {
    pub(crate) began: Instant,
    pub(crate) report: OwnedFd,
    pub(crate) control: OwnedFd,
    /// The write end of the program's standard input.
    pub(crate) input: Option<OwnedFd>,
    /// The read ends of its output and error.
    pub(crate) output: [OwnedFd; 2],
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
    pub(crate) terminal: Option<WindowSize>,
    pub(crate) limits: Limits,
    pub(crate) profile: Profile,
    pub(crate) closed: Closed,
    pub(crate) group: Option<Group>,
    pub(crate) enforced: Enforced,
    pub(crate) killer: Killer,
    pub(crate) _slot: Slot,
    /// Whether the run has no namespaces of its own.
    pub(crate) without_namespaces: bool,
    /// The user that the program has without namespaces, where it is not the caller's.
    pub(crate) own_user: Option<u32>,
    /// What answers inside, until the end.
    pub(crate) passage: Option<Box<dyn Passage>>,
    /// Held until the end.
    pub(crate) client: Arc<Client>,
}

/// What the nest init said at the end.
struct Ended {
    status: i32,
    verdict: Option<LimitKind>,
    user: Duration,
    system: Duration,
    peak: u64,
    hits: Vec<LimitKind>,
    left: Vec<String>,
}

struct Loop {
    control: Option<OwnedFd>,
    ended: Option<Ended>,
    enforced: Enforced,
    /// The system calls that were refused, each kind once.
    refused: Vec<Refused>,
    /// The limit for which the tree was ended from here.
    verdict: Option<LimitKind>,
    killed: bool,
    /// Whether the program runs, or has run.
    started: bool,
}

/// Sees a run to its end.
pub(crate) fn supervise(mut run: Supervised) -> Result<Output> {
    // With a terminal, input waits until its end has come up.
    let mut passage = run.passage.take();
    let pipe = run.input.take().filter(|_| run.terminal.is_none());
    let mut input = Input::new(pipe, if run.terminal.is_none() { &run.stdin } else { &Stdin::Null });
    let Supervised { began, report, control, output, stdout, stderr, limits, group, enforced, killer, .. } = &run;
    let mut terminal: Option<Terminal> = None;
    let mut captures = [Capture::new(stdout.clone(), limits.output), Capture::new(stderr.clone(), limits.output)];
    let mut open = [true, true];
    let mut state = Loop {
        control: Some(duplicate(control).map_err(|error| Error::stage("hold the control socket", error))?),
        ended: None,
        enforced: enforced.clone(),
        refused: Vec::new(),
        verdict: None,
        killed: false,
        started: false,
    };
    let deadline = *began + limits.wall;
    let mut counters_due = Instant::now();
    // Set once the nest init has closed its end: how long the rest of the tree may take to end after it.
    let mut patience: Option<Instant> = None;
    let mut reaped = None;

    while state.control.is_some() || open[0] || open[1] {
        let now = Instant::now();
        if patience.is_some_and(|end| now >= end) {
            break;
        }
        if state.control.is_some() && state.ended.is_none() && !state.killed {
            if killer.cancelled() {
                state.killed = true;
                killer.end_tree();
            } else if now >= deadline {
                state.end(killer, LimitKind::Wall);
            } else if now >= counters_due {
                counters_due = now + TICK;
                if let Some(limit) = group.as_ref().and_then(|group| passed(group, limits)) {
                    state.end(killer, limit);
                }
            }
        }
        let wake = if group.is_some() { counters_due.min(deadline) } else { deadline };
        let mut pause = if state.killed { Duration::from_millis(100) } else { wake.saturating_duration_since(now) };
        if let (Some(terminal), Some(size)) = (&mut terminal, &run.terminal) {
            terminal.follow(size);
            pause = pause.min(RESIZE_TICK);
        }
        let streams = [terminal.as_ref().map_or(&output[0], |terminal| &terminal.end), &output[1]];
        let mut waiting: Vec<(Source, PollFd<'_>)> = Vec::with_capacity(6);
        if let Some(control) = &state.control {
            waiting.push((Source::Control, PollFd::new(control, PollFlags::IN)));
        } else {
            waiting.push((Source::Report, PollFd::new(report, PollFlags::IN)));
        }
        for (place, stream) in streams.into_iter().enumerate() {
            if !open[place] {
                continue;
            }
            match captures[place].blocked_on() {
                Some(sink) => waiting.push((Source::Sink(place), PollFd::from_borrowed_fd(sink, PollFlags::OUT))),
                None => waiting.push((Source::Output(place), PollFd::new(stream, PollFlags::IN))),
            }
        }
        // What is not known to run is given nothing: another may have to take its place.
        if state.started {
            input.wait_for(&mut waiting);
        }
        let mut fds: Vec<PollFd<'_>> = waiting.iter().map(|(_, fd)| fd.clone()).collect();
        let timeout = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: i64::from(pause.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::stage("wait for the program", error)),
        }
        let ready: Vec<Source> = waiting
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|((source, _), _)| *source)
            .collect();
        drop(fds);
        drop(waiting);
        for source in ready {
            match source {
                Source::Control => {
                    if let Some(end) = state.hear(&mut passage).map_err(|error| explained(error, run.own_user))? {
                        let copy = duplicate(&end).map_err(|error| Error::stage("duplicate a terminal", error))?;
                        input = Input::new(Some(copy), &run.stdin);
                        terminal = Some(Terminal { end, size: (0, 0) });
                        break;
                    }
                }
                Source::Report => {
                    reaped = Some(take_report(report, killer));
                    break;
                }
                Source::Output(place) => open[place] = captures[place].read_from(streams[place].as_fd()),
                Source::Sink(place) => captures[place].flush(),
                Source::InputReady => input.read(),
                Source::InputWanted => input.write(),
            }
        }
        if reaped.is_some() {
            // Everything inside has ended. A stream that is open still was handed to somebody outside, for whom
            // nobody waits: what lies in it now is all.
            let streams = [terminal.as_ref().map_or(&output[0], |terminal| &terminal.end), &output[1]];
            for (place, stream) in streams.into_iter().enumerate().filter(|(place, _)| open[*place]) {
                drain(&mut captures[place], stream.as_fd());
            }
            break;
        }
        if state.control.is_none() {
            patience.get_or_insert_with(|| Instant::now() + REAP_GRACE);
            // Nobody reads any more, and nobody is left to write.
            input.close();
        }
    }
    for capture in &mut captures {
        capture.finish();
    }
    let reaped = reaped.unwrap_or_else(|| wait_for_reap(report, killer));
    let mut output = finish(&run, reaped, state, captures)?;
    output.network = passage.map(Passage::close);
    if let Some(traffic) = &output.network {
        output.denials.extend(denial::of_network(traffic));
        output.denials.truncate(MOST_DENIALS);
    }
    Ok(output)
}

/// What a descriptor in the poll set stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Control,
    Report,
    Output(usize),
    Sink(usize),
    InputReady,
    InputWanted,
}

impl Loop {
    fn end(&mut self, killer: &Killer, limit: LimitKind) {
        self.verdict = Some(limit);
        self.killed = true;
        killer.end_tree();
    }

    /// The count that comes later is of the whole run.
    fn refused(&mut self, refused: Refused) {
        let same = |known: &&mut Refused| {
            (known.number, known.args, &known.path) == (refused.number, refused.args, &refused.path)
        };
        match self.refused.iter_mut().find(same) {
            Some(known) => known.count = refused.count,
            None => self.refused.push(refused),
        }
    }

    /// Takes one message; the end of a terminal, when it brought one.
    fn hear(&mut self, passage: &mut Option<Box<dyn Passage>>) -> Result<Option<OwnedFd>> {
        let Some(control) = &self.control else { return Ok(None) };
        match channel::receive::<Status>(control).map_err(|error| Error::stage("hear from the nest init", error))? {
            None => self.control = None,
            Some((Status::Failed { kind, stage, errno }, _)) => return Err(failure(kind, stage, errno)),
            Some((Status::Started { enforced }, _)) => {
                self.started = true;
                self.enforced.extend(enforced.into_iter().map(|(control, state)| (control, state.into())));
            }
            Some((Status::Exited { status, verdict, user, system, peak, hits, left }, _)) => {
                self.ended = Some(Ended { status, verdict, user, system, peak, hits, left });
            }
            Some((Status::Terminal, descriptors)) => {
                let end = descriptors.into_iter().next();
                if let Some(end) = &end {
                    rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK | OFlags::RDWR)
                        .map_err(|error| Error::stage("set up the terminal", error))?;
                }
                return Ok(end);
            }
            Some((Status::Refused(refused), _)) => self.refused(refused),
            Some((Status::Listening, listeners)) => {
                if let Some(passage) = passage {
                    passage
                        .serve(listeners)
                        .map_err(|error| Error::stage("hand the network proxy its sockets", error))?;
                }
            }
            Some((Status::Mounted, _)) => {}
        }
        Ok(None)
    }
}

/// Our end of the program's terminal.
struct Terminal {
    end: OwnedFd,
    size: (u16, u16),
}

impl Terminal {
    /// Takes over the size of the caller's terminal where it has changed.
    fn follow(&mut self, size: &WindowSize) {
        let now = size();
        if now != self.size {
            self.size = now;
            let (ws_row, ws_col) = now;
            let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal whose program has ended has no size that matters.
            let _ = rustix::termios::tcsetwinsize(&self.end, size);
        }
    }
}

fn duplicate(fd: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    // Closed by exec: a program that the engine's own program starts meanwhile must not hold a run's ends open.
    rustix::io::fcntl_dupfd_cloexec(fd, 0)
}

/// The limit that a cgroup says was passed.
fn passed(group: &Group, limits: &Limits) -> Option<LimitKind> {
    if group.oom_kills() > 0 {
        return Some(LimitKind::Memory);
    }
    let most = limits.cpu?;
    let (user, system) = group.cpu()?;
    (user + system > most).then_some(LimitKind::Cpu)
}

fn finish(run: &Supervised, reaped: Option<Report>, state: Loop, captures: [Capture; 2]) -> Result<Output> {
    let mut usage = Usage { wall: run.began.elapsed(), ..Usage::default() };
    let mut limits_hit = Vec::new();
    let mut verdict = state.verdict;
    let mut nest_status = None;
    if let Some(Report::Reaped { status, user, system, peak }) = reaped {
        (usage.user, usage.system, usage.peak_memory) = (user, system, peak);
        nest_status = Some(status);
    }
    if let Some(ended) = &state.ended {
        (usage.user, usage.system) = (ended.user, ended.system);
        usage.peak_memory = usage.peak_memory.max(ended.peak);
        limits_hit.extend(ended.hits.iter().copied());
        verdict = verdict.or(ended.verdict);
    }
    if let Some(group) = &run.group {
        if let Some((user, system)) = group.cpu() {
            (usage.user, usage.system) = (user, system);
        }
        if let Some(peak) = group.peak_memory() {
            usage.peak_memory = peak;
            usage.exact = true;
        }
        // A process may have been killed for memory after the last look.
        if group.oom_kills() > 0 && verdict.is_none() {
            verdict = Some(LimitKind::Memory);
        }
        if group.pids_max_hits() > 0 {
            limits_hit.push(LimitKind::Processes);
        }
    }
    let [stdout, stderr] = captures.map(Capture::into_captured);
    if stdout.1 || stderr.1 {
        limits_hit.push(LimitKind::Output);
    }
    limits_hit.extend(verdict);
    limits_hit.sort_unstable();
    limits_hit.dedup();
    let reason = match (run.killer.cancelled(), verdict, &state.ended) {
        (_, Some(LimitKind::Wall | LimitKind::Cpu), _) => ExitReason::TimedOut,
        (_, Some(LimitKind::Disk), _) => ExitReason::DiskExceeded,
        (_, Some(_), _) => ExitReason::MemoryExceeded,
        (true, None, _) => ExitReason::Cancelled,
        (false, None, Some(ended)) if libc::WIFSIGNALED(ended.status) => {
            let signal = libc::WTERMSIG(ended.status);
            // The kernel's word for a CPU limit, which the program can also send itself.
            let spent = run.limits.cpu.is_some_and(|most| usage.user + usage.system >= most);
            if signal == libc::SIGXCPU && spent { ExitReason::TimedOut } else { ExitReason::Signalled(signal) }
        }
        (false, None, Some(ended)) => ExitReason::Exited(libc::WEXITSTATUS(ended.status)),
        (false, None, None) => {
            let how = match nest_status {
                Some(status) if libc::WIFSIGNALED(status) => format!("by signal {}", libc::WTERMSIG(status)),
                Some(status) => format!("with exit status {}", libc::WEXITSTATUS(status)),
                None => "with its spawner".to_owned(),
            };
            let text = format!("the nest init was ended from outside before it could say why ({how})");
            return Err(Error::Spawner(text));
        }
    };
    if reason == ExitReason::TimedOut && verdict.is_none() {
        limits_hit.push(LimitKind::Cpu);
    }
    let mut denials = denial::of_limits(&limits_hit, &run.limits);
    denials.extend(denial::of_calls(&state.refused, Openings::of(run.profile, run.closed), run.without_namespaces));
    denials.truncate(MOST_DENIALS);
    Ok(Output {
        reason,
        stdout: stdout.0,
        stderr: stderr.0,
        usage,
        limits_hit,
        enforced: state.enforced,
        denials,
        network: None,
        left: state.ended.map(|ended| ended.left).unwrap_or_default(),
    })
}

/// Takes what lies in a pipe, without waiting for more. Bounded, since somebody outside may go on writing.
fn drain(capture: &mut Capture, stream: BorrowedFd<'_>) {
    for _ in 0..DRAIN_MOST {
        capture.finish();
        let mut ready = [PollFd::from_borrowed_fd(stream, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let there = matches!(poll(&mut ready, Some(&now)), Ok(1..)) && ready[0].revents().contains(PollFlags::IN);
        if !there || !capture.read_from(stream) {
            return;
        }
    }
}

/// What the spawner said at the end. Its word means that the kernel has torn the whole tree down.
fn take_report(report: &OwnedFd, killer: &Killer) -> Option<Report> {
    let said = channel::receive::<Report>(report).ok().flatten().map(|(report, _)| report);
    if said.is_none() {
        // The spawner is gone. The nest init follows it, and its descriptor tells when everything inside has.
        killer.end_tree();
        killer.wait(REAP_GRACE);
    }
    said
}

fn wait_for_reap(report: &OwnedFd, killer: &Killer) -> Option<Report> {
    let mut ready = [PollFd::new(report, PollFlags::IN)];
    let timeout = Timespec { tv_sec: REAP_GRACE.as_secs() as i64, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| poll(&mut ready, Some(&timeout))).ok()?;
    if ready[0].revents().is_empty() { None } else { take_report(report, killer) }
}

/// The program's standard input, fed from bytes or from a descriptor.
struct Input {
    pipe: Option<OwnedFd>,
    from: Option<Arc<OwnedFd>>,
    pending: Vec<u8>,
    at: usize,
}

impl Input {
    fn new(pipe: Option<OwnedFd>, stdin: &Stdin) -> Self {
        let (from, pending) = match stdin {
            Stdin::Null => (None, Vec::new()),
            Stdin::Bytes(bytes) => (None, bytes.clone()),
            Stdin::Relay(from) => (Some(from.clone()), Vec::new()),
        };
        let mut input = Self { pipe, from, pending, at: 0 };
        input.close_when_done();
        input
    }

    fn wait_for<'a>(&'a self, waiting: &mut Vec<(Source, PollFd<'a>)>) {
        let Some(pipe) = &self.pipe else { return };
        if self.at < self.pending.len() {
            waiting.push((Source::InputWanted, PollFd::new(pipe, PollFlags::OUT)));
        } else if let Some(from) = &self.from {
            waiting.push((Source::InputReady, PollFd::new(from, PollFlags::IN)));
        }
    }

    fn read(&mut self) {
        let Some(from) = &self.from else { return };
        let mut buffer = vec![0; 64 * 1024];
        match rustix::io::read(&**from, &mut buffer) {
            Ok(0) => self.from = None,
            Ok(n) => {
                buffer.truncate(n);
                (self.pending, self.at) = (buffer, 0);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The caller's stdin is closed or broken: for the program it ends here.
            Err(_) => self.from = None,
        }
        self.close_when_done();
    }

    fn write(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        match rustix::io::write(pipe, &self.pending[self.at..]) {
            Ok(n) => self.at += n,
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The program closed its end: it wants no more.
            Err(_) => self.close(),
        }
        self.close_when_done();
    }

    fn close_when_done(&mut self) {
        if self.at >= self.pending.len() && self.from.is_none() {
            self.close();
        }
    }

    fn close(&mut self) {
        self.pipe = None;
        self.from = None;
        self.pending = Vec::new();
        self.at = 0;
    }
}
