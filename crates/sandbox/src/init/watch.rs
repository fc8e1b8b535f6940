//! Watches the enclosure: reaps orphans, samples what no cgroup counts, ends the tree when a limit is passed.
//!
//! Only this process can do it well: it has the enclosure's own `/proc`, so a scan costs as many reads as the
//! tree has processes, and it holds the capability to read them although the program may hide from others.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::disk::Walk;
use super::extent::Extent;
use super::payload::Started;
use super::refusals::Refusals;
use super::root::Root;
use super::tree::{Look, SharedMemory, Tree, running};
use super::{Enforced, Failure, Stage};
use crate::channel;
use crate::filters::Openings;
use crate::linux::sys;
use crate::output::LimitKind;
use crate::spec::{Spec, Status};

/// Time between samples, at the least; a scan that takes long is repeated less often.
const TICK: Duration = Duration::from_millis(10);
/// How much longer than the parent this process waits before it ends the run itself.
const WALL_GRACE: Duration = Duration::from_secs(2);
/// Ended processes reaped between two looks at everything else: a program that makes orphans faster than they can
/// be reaped must not keep this process from looking.
const REAP_MOST: usize = 256;

/// Runs until the program has ended, then ends everything else.
pub(super) fn until_the_end(
    spec: &Spec,
    control: &OwnedFd,
    child_ended: &OwnedFd,
    started: &Started,
    root: &Root,
    extent: Extent,
    enforced: Enforced,
) -> Result<Status, Failure> {
    channel::send(control, &Status::Started { enforced }, &[]).stage("tell the parent")?;
    let program = started.pid.as_raw_nonzero().get();
    let mut watch = Watch::new(spec, root, extent).stage("watch the program")?;
    let mut refusals = Refusals::new(started.listener.as_ref(), !Openings::of(spec.profile, spec.closed).exec);
    let mut by_itself = false;
    let status = loop {
        let mut ready = vec![PollFd::new(child_ended, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        ready.extend(refusals.urgent().map(|listener| PollFd::new(listener, PollFlags::IN)));
        let pause = if refusals.pending() { TICK } else { watch.pause() };
        let pause = Timespec { tv_sec: 0, tv_nsec: pause.as_nanos() as i64 };
        rustix::io::retry_on_intr(|| poll(&mut ready, Some(&pause))).stage("wait")?;
        let (child, parent) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if parent && extent == Extent::Namespace {
            // The parent says nothing more: readable means it is gone, and the enclosure goes with it.
            sys::exit_now(0);
        }
        let told_to_end = child && sys::take_signals(child_ended).contains(&libc::SIGTERM);
        if parent || told_to_end {
            break extent.end(program).unwrap_or(libc::SIGKILL);
        }
        refusals.answer(control);
        if child {
            let mut reaped = std::iter::from_fn(sys::reap).take(REAP_MOST);
            if let Some(ended) = reaped.find(|reaped| reaped.pid == program) {
                by_itself = true;
                break ended.status;
            }
        }
        if let Some(limit) = watch.sample() {
            watch.verdict = Some(limit);
            break extent.end(program).unwrap_or(libc::SIGKILL);
        }
    };
    // Never past the wall limit, or the parent would take an end in time for one that was too late.
    let rest = (spec.limits.wall / 2).saturating_sub(watch.started.elapsed() / 2);
    let grace = spec.left_after.filter(|_| by_itself).map(|grace| grace.min(rest));
    let left = grace.map(|grace| left_behind(extent, grace, child_ended));
    refusals.tell_counts(control);
    // A fork bomb can be over between two samples: what it left tells, itself no longer among them.
    let tree = Tree::scan(extent, Look { memory: false, nameless: false, shared: watch.shared });
    if tree.processes + 1 >= u64::from(spec.limits.processes) {
        watch.hit(LimitKind::Processes);
    }
    // Whatever the program left behind ends now.
    extent.end(program);
    let usage = sys::children_usage();
    // What was written since the last walk would be kept otherwise.
    if watch.verdict.is_none() && watch.walk.whole() > spec.limits.disk {
        watch.hit(LimitKind::Disk);
        watch.verdict = Some(LimitKind::Disk);
    }
    if root.scratch_is_full() {
        watch.hit(LimitKind::Disk);
    }
    if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGXFSZ {
        watch.hit(LimitKind::FileSize);
    }
    Ok(Status::Exited {
        status,
        verdict: watch.verdict,
        user: usage.user,
        system: usage.system,
        peak: watch.peak.max(usage.peak),
        hits: watch.hits,
        left: left.unwrap_or_default(),
    })
}

/// The names of the processes that outlive the program by `grace`; what they ask of the filter meanwhile waits.
fn left_behind(extent: Extent, grace: Duration, child_ended: &OwnedFd) -> Vec<String> {
    let end = Instant::now() + grace;
    loop {
        while sys::reap().is_some() {}
        let names = running(extent);
        let rest = end.saturating_duration_since(Instant::now());
        if names.is_empty() || rest.is_zero() {
            return names;
        }
        // Whose parent lives is no child of this process, so their ends are looked for as well as told.
        let pause = Timespec { tv_sec: 0, tv_nsec: rest.min(TICK).as_nanos() as i64 };
        let mut ready = [PollFd::new(child_ended, PollFlags::IN)];
        if poll(&mut ready, Some(&pause)).is_ok_and(|ready| ready > 0) {
            sys::take_signals(child_ended);
        }
    }
}

struct Watch<'a> {
    spec: &'a Spec,
    root: &'a Root,
    extent: Extent,
    started: Instant,
    /// What the last sample took.
    cost: Duration,
    shared: SharedMemory,
    walk: Walk<'a>,
    /// Bytes of nameless files at the last look at them.
    nameless: u64,
    peak: u64,
    verdict: Option<LimitKind>,
    hits: Vec<LimitKind>,
}

impl<'a> Watch<'a> {
    fn new(spec: &'a Spec, root: &'a Root, extent: Extent) -> std::io::Result<Self> {
        Ok(Self {
            spec,
            root,
            extent,
            started: Instant::now(),
            cost: Duration::ZERO,
            shared: SharedMemory::find()?,
            walk: Walk::new(&root.layers),
            nameless: 0,
            peak: 0,
            verdict: None,
            hits: Vec::new(),
        })
    }

    fn hit(&mut self, limit: LimitKind) {
        if !self.hits.contains(&limit) {
            self.hits.push(limit);
        }
    }

    fn sampling(&self) -> bool {
        self.spec.watch_memory || self.spec.watch_cpu && self.spec.limits.cpu.is_some() || !self.root.layers.is_empty()
    }

    /// Sampling takes at most about a tenth of a processor.
    fn pause(&self) -> Duration {
        if self.sampling() { TICK.max(self.cost * 9) } else { Duration::from_millis(500) }
            .min(Duration::from_millis(900))
    }

    /// The limit that was passed, if one was.
    fn sample(&mut self) -> Option<LimitKind> {
        let began = Instant::now();
        if began - self.started > self.spec.limits.wall + WALL_GRACE {
            return Some(LimitKind::Wall);
        }
        if !self.sampling() {
            return None;
        }
        let limits = &self.spec.limits;
        // Nameless files are looked for once a walk of the layers.
        let nameless = self.walk.due() && !self.walk.underway();
        let tree = Tree::scan(self.extent, Look { memory: self.spec.watch_memory, nameless, shared: self.shared });
        if nameless {
            self.nameless = tree.nameless();
        }
        let memory = if self.spec.watch_memory { tree.memory() + self.root.scratch_used() } else { 0 };
        self.peak = self.peak.max(memory);
        if tree.processes >= u64::from(limits.processes) {
            self.hit(LimitKind::Processes);
        }
        let passed = if self.spec.watch_memory && memory > limits.memory {
            Some(LimitKind::Memory)
        } else if self.spec.watch_cpu && limits.cpu.is_some_and(|most| tree.cpu + children_cpu() > most) {
            Some(LimitKind::Cpu)
        } else if self.walk.due() {
            (self.walk.step().saturating_add(self.nameless) > limits.disk).then_some(LimitKind::Disk)
        } else {
            None
        };
        self.cost = began.elapsed();
        if let Some(limit) = passed {
            self.hit(limit);
        }
        passed
    }
}

fn children_cpu() -> Duration {
    let usage = sys::children_usage();
    usage.user + usage.system
}
