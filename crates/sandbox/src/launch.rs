//! Parent side: prepare a run, hand it to the spawner, and give out the handle to it ([`Child`]).

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::Signal;

use crate::channel;
use crate::child::{Child, Killer};
use crate::error::{Error, Result};
use crate::gateway::Passage;
use crate::guarded::Guarded;
use crate::identity::{Identity, Slot};
use crate::linux::cgroup::{Group, Support};
use crate::output::{Control, Enforcement};
use crate::policy::{Network, Tier};
use crate::spawner::Client;
use crate::spec::{Enclosure, Entry, FailureKind, Purpose, Report, Request, Spec, Status, What};
use crate::supervise::{Pipes, Supervised};
use crate::surroundings::Processors;
use crate::view::View;
use crate::{Command, guarded};

mod enforced;
mod mount;

/// How the spawner process is found. Never from PATH.
#[derive(Debug, Clone)]
pub enum Spawner {
    /// This very executable, whose `main` calls [`crate::spawner_hook`] first.
    CurrentExe,
    /// An executable that calls [`crate::spawner_hook`] first, by absolute path.
    Path(PathBuf),
    /// The bytes of such an executable, started from a sealed memfd.
    Embedded(&'static [u8]),
}

/// The door to every enclosure: one per process is enough, and clones share it. A forked child of the process cannot
/// use it ([`Error::Forked`]) and makes one of its own; see [`Sandbox::after_fork`].
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    spawner: Spawner,
    /// The process that made it.
    pub(crate) owner: u32,
    pub(crate) client: Mutex<Option<Arc<Client>>>,
    cgroups: Mutex<Option<Arc<Support>>>,
    spare: Mutex<Option<Group>>,
    namespaces: Mutex<Namespaces>,
}

/// Whether this host lets us have namespaces: found by trying, for the life of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Namespaces {
    Untried,
    Held,
    /// For this reason.
    Refused(String),
}

/// A name for the next cgroup of this process.
fn next_name() -> String {
    RUNS.fetch_add(1, Ordering::Relaxed).to_string()
}

/// Runs of this process so far, over all its sandboxes: each cgroup has a name of its own.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Runs that were started: each one's processors, where it has few, come after those of the one before.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Preparations under way ([`Sandbox::warm_up`]). Dropping it waits for their end, so that a process which ends early
/// leaves no group behind.
#[derive(Debug)]
#[must_use = "the preparations are waited for when it is dropped"]
pub struct WarmUp {
    threads: [Option<JoinHandle<()>>; 2],
}

impl Drop for WarmUp {
    fn drop(&mut self) {
        for thread in self.threads.iter_mut().filter_map(Option::take) {
            // A thread that panicked has said so, and there is nothing to take back.
            let _ = thread.join();
        }
    }
}

/// The message that the spec's descriptors ride on, and that starts the program; an empty one would read as the end.
const GO: u8 = 1;

/// Namespaces of every run. `CLONE_NEWNET` is added unless the host's network was asked for; the nest init makes the
/// cgroup namespace, once it is in its group.
const NAMESPACES: libc::c_int =
    libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

impl Sandbox {
    /// Nothing is started before the first run.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on systems other than Linux.
    pub fn new(spawner: Spawner) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                spawner,
                owner: std::process::id(),
                client: Mutex::new(None),
                cgroups: Mutex::new(None),
                spare: Mutex::new(None),
                namespaces: Mutex::new(Namespaces::Untried),
            }),
        })
    }

    /// Starts the spawner and looks for cgroups in the background, for a caller who knows that a run will come.
    /// What fails here fails again, and is told, at the run.
    pub fn warm_up(&self) -> WarmUp {
        let in_background = |name: &str, work: fn(&Self)| {
            let sandbox = self.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || work(&sandbox)).ok()
        };
        if self.check_owner().is_err() {
            return WarmUp { threads: [None, None] };
        }
        let spawner = in_background("warm-spawner", |sandbox| drop(sandbox.client()));
        let cgroups = in_background("warm-cgroups", |sandbox| {
            let support = sandbox.cgroups();
            // Made first: while the lock of `expect_join` is waited for, no group can be made.
            *sandbox.spare() = Group::create(&support, &next_name()).ok();
            support.expect_join();
        });
        WarmUp { threads: [spawner, cgroups] }
    }

    fn client(&self) -> Result<Arc<Client>> {
        let mut client = self.inner.client.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was killed is replaced; the runs that it held have ended with it.
        if let Some(client) = client.as_ref().filter(|client| client.alive()) {
            return Ok(client.clone());
        }
        let started = Arc::new(Client::start(&self.inner.spawner)?);
        *client = Some(started.clone());
        Ok(started)
    }

    /// A group made ahead, until a run takes it.
    fn spare(&self) -> std::sync::MutexGuard<'_, Option<Group>> {
        self.inner.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cgroups(&self) -> Arc<Support> {
        let mut cgroups = self.inner.cgroups.lock().unwrap_or_else(PoisonError::into_inner);
        cgroups.get_or_insert_with(|| Arc::new(Support::probe())).clone()
    }

    /// One request that makes a nest, and its answer. A spawner that dies under it is replaced once: nothing was
    /// started that could be started twice.
    fn nest(&self, flags: libc::c_int, identity: Option<&Identity>, cgroup: Option<BorrowedFd<'_>>) -> Result<Nest> {
        let request = Request::Nest {
            flags: flags as u64,
            uid_map: identity.map(Identity::uid_map).unwrap_or_default(),
            gid_map: identity.map(Identity::gid_map).unwrap_or_default(),
            deny_setgroups: identity.is_some_and(|identity| !identity.as_root()),
            into_cgroup: cgroup.is_some(),
        };
        let client = self.client()?;
        match nest_from(&client, &request, cgroup) {
            Err(Error::Spawner(_)) if !client.alive() => nest_from(&self.client()?, &request, cgroup),
            other => other,
        }
    }

    fn namespaces(&self) -> std::sync::MutexGuard<'_, Namespaces> {
        self.inner.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why runs have no namespaces: this tier was asked for, or the host refuses them; `None` where they have. Tried by a
    /// run of a trivial program, once in the life of this value and not at all where a run has told it already.
    ///
    /// # Errors
    /// In a forked child of the process.
    pub fn without_namespaces(&self, tier: Tier) -> Result<Option<String>> {
        self.check_owner()?;
        match tier {
            Tier::A => return Ok(None),
            Tier::B => return Ok(Some("tier B was asked for".into())),
            Tier::Best => {}
        }
        if *self.namespaces() == Namespaces::Untried {
            let policy = crate::Policy { tier: Tier::A, ..crate::Policy::default() };
            match Command::new("/bin/true").policy(policy).output(self) {
                Err(error) if error.refuses_namespaces() => {
                    *self.namespaces() = Namespaces::Refused(error.to_string());
                }
                // What else may fail, the run itself will say.
                _ => self.namespaces_hold(),
            }
        }
        Ok(match &*self.namespaces() {
            Namespaces::Refused(why) => Some(why.clone()),
            Namespaces::Untried | Namespaces::Held => None,
        })
    }

    /// A run in namespaces has succeeded.
    pub(crate) fn namespaces_hold(&self) {
        *self.namespaces() = Namespaces::Held;
    }

    /// The run that takes the place of one that this host refused, under the same handle.
    pub(crate) fn instead(&self, command: &Command, refusal: &Error, killer: &Killer) -> Result<Supervised> {
        *self.namespaces() = Namespaces::Refused(refusal.to_string());
        self.start(command, Some(&refusal.to_string()), Some(killer))
    }

    pub(crate) fn spawn(&self, command: &Command) -> Result<Child> {
        let known = self.namespaces().clone();
        match (command.policy.tier, known) {
            (Tier::A, _) | (Tier::Best, Namespaces::Held) => Ok(Child::new(self.start(command, None, None)?, None)),
            (Tier::B, _) => Ok(Child::new(self.start(command, Some("tier B was asked for"), None)?, None)),
            (Tier::Best, Namespaces::Refused(why)) => Ok(Child::new(self.start(command, Some(&why), None)?, None)),
            (Tier::Best, Namespaces::Untried) => match self.start(command, None, None) {
                Ok(run) => Ok(Child::new(run, Some((self.clone(), command.clone())))),
                Err(error) if error.refuses_namespaces() => {
                    *self.namespaces() = Namespaces::Refused(error.to_string());
                    Ok(Child::new(self.start(command, Some(&error.to_string()), None)?, None))
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Starts a run: in namespaces, or for the reason given without.
    fn start(&self, command: &Command, without: Option<&str>, killer: Option<&Killer>) -> Result<Supervised> {
        let began = Instant::now();
        self.check_owner()?;
        command.limits.validate()?;
        command.policy.validate()?;
        let mut argv = arguments(command)?;
        let mut env = environment(command)?;
        let mut program = command.program.clone();
        let mut dir = match (&command.dir, command.policy.workspaces.first()) {
            (Some(dir), _) => dir.clone(),
            (None, Some(workspace)) => workspace.path.clone(),
            (None, None) => PathBuf::from("/"),
        };
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let processors = Processors::of(&command.limits, u64::from(std::process::id()).wrapping_add(number));
        let (slot, entries, writable, mounts, enclosure);
        let (mut passage, mut listen) = (None, Vec::new());
        match without {
            None => {
                let mut view = View::of(&command.policy, &command.limits, &processors)?;
                passage = open_gateway(command)?;
                if let Some(passage) = &passage {
                    let inside = passage.inside();
                    listen.clone_from(&inside.listen);
                    view.admit(inside);
                    set(&mut env, &inside.env);
                }
                slot = Slot::reserve()?;
                let mut shown = view.entries;
                mounts = self.prepare_mounts(&slot, &mut shown)?;
                (entries, writable, enclosure) = (shown, view.writable, Enclosure::Namespaces);
            }
            Some(why) => {
                if command.policy.network == Network::Proxied {
                    return Err(Error::Policy(format!(
                        "an allow-list of hosts needs a network namespace, and this run has none: {why}"
                    )));
                }
                let run = Guarded::prepare(command, &processors)?;
                argv = argv.into_iter().map(|text| run.list.argument(text)).collect();
                env = env.into_iter().map(|entry| run.list.variable(entry)).collect();
                program = run.list.inside(&program).unwrap_or(program);
                dir = run.list.inside(&dir).unwrap_or(dir);
                slot = run.slot;
                mounts = Vec::new();
                (entries, writable, enclosure) = (Vec::new(), run.list.writable, Enclosure::Guard(run.guard));
            }
        }

        let support = self.cgroups();
        let spare = self.spare().take();
        // Where no group can be made the limits are kept otherwise, and the result says so.
        let group = match spare {
            Some(group) => Ok(group),
            None => Group::create(&support, &next_name()),
        };
        let group = group.and_then(|group| group.limit(&command.limits).map(|()| group));
        let mut enforced = enforced::limits(&support, group.as_ref().err());
        let group = group.ok();
        let held = |control| matches!(enforced.get(&control), Some(Enforcement::Active));
        let (watch_memory, watch_cpu) = (!held(Control::Memory), !held(Control::Cpu));
        let count_processes = held(Control::Processes);
        let own_network = command.policy.network != Network::Host;
        let into_cgroup = group.as_ref().and_then(Group::clone_fd);
        let (nest, ends_with) = match without {
            None => {
                enforced::namespaces(&mut enforced, own_network);
                let flags = NAMESPACES | if own_network { libc::CLONE_NEWNET } else { 0 };
                (self.nest(flags, Some(&slot.identity), into_cgroup)?, Signal::KILL)
            }
            Some(why) => {
                guarded::enforced(&mut enforced, why, &slot.identity, command.policy.network);
                (self.nest(0, None, None)?, Signal::TERM)
            }
        };
        if let Some(confined) = passage.as_ref().and_then(|passage| passage.inside().confined.clone()) {
            enforced.insert(Control::NetworkProxy, confined);
        }
        let killer = match killer {
            None => Killer::new(nest.pidfd, ends_with),
            Some(killer) => {
                killer.take_over(nest.pidfd, ends_with);
                killer.clone()
            }
        };
        let spec = Spec {
            purpose: Purpose::Run,
            enclosure,
            as_root: slot.identity.as_root(),
            own_network,
            listen,
            terminal: command.terminal.as_ref().map(|size| size()),
            entries,
            limits: command.limits.clone(),
            count_processes,
            watch_memory,
            watch_cpu,
            left_after: command.left_after,
            processors: processors.fewer.then_some(processors.numbers),
            program: program.into(),
            argv,
            env,
            dir: dir.into(),
            profile: command.policy.effective_profile(),
            closed: command.policy.closed,
            writable,
            allow_degraded: command.policy.allow_degraded.iter().copied().collect(),
        };
        let pipes = Pipes::new().map_err(|error| Error::stage("make the standard streams", error))?;
        let packed = channel::pack(&spec).map_err(|error| Error::stage("pack the spec", error))?;
        let mut descriptors = vec![packed.as_fd()];
        descriptors.extend(pipes.theirs.iter().chain(&mounts).map(AsFd::as_fd));
        channel::send(&nest.control, &GO, &descriptors).map_err(|error| Error::stage("send the spec", error))?;
        // Joining a cgroup waits for the kernel (a few milliseconds on v1), so it happens while the view is
        // being built; the program is only started by the message after it.
        if let Some(group) = &group
            && (group.clone_fd().is_none() || without.is_some())
            && let Err(error) = group.join(nest.pid as u32)
        {
            // A nest that has failed says more than that it cannot be moved. It ends when nothing more can come.
            let _ = rustix::net::shutdown(&nest.control, rustix::net::Shutdown::Write);
            return Err(match channel::receive::<Status>(&nest.control) {
                Ok(Some((Status::Failed { kind, stage, errno }, _))) => failure(kind, stage, errno),
                _ => Error::stage("put the sandbox into its cgroup", error),
            });
        }
        // A nest that has failed meanwhile does not hear this; what it said is heard at the wait.
        let _ = channel::send(&nest.control, &GO, &[]);
        let [input, stdout, stderr] = pipes.ours;
        let supervised = Supervised {
            began,
            report: nest.report,
            control: nest.control,
            input: Some(input),
            output: [stdout, stderr],
            stdin: command.stdin.clone(),
            stdout: command.stdout.clone(),
            stderr: command.stderr.clone(),
            terminal: command.terminal.clone(),
            limits: command.limits.clone(),
            profile: command.policy.effective_profile(),
            closed: command.policy.closed,
            group,
            enforced,
            killer,
            without_namespaces: without.is_some(),
            own_user: without.and_then(|_| slot.identity.own_user()),
            _slot: slot,
            client: nest.client,
            passage,
        };
        Ok(supervised)
    }

    /// As root, host paths that only root can traverse or own enter as detached mounts, id-mapped so that
    /// the inside user stands for their owner.
    fn prepare_mounts(&self, slot: &Slot, entries: &mut [Entry]) -> Result<Vec<OwnedFd>> {
        if !slot.identity.as_root() {
            return Ok(Vec::new());
        }
        let mut preparation = crate::identity::Preparation::new(slot, |uid_map, gid_map| {
            let (report, theirs) = channel::pair().map_err(|error| Error::stage("make a socket", error))?;
            self.client()?.request(&Request::UserNamespace { uid_map, gid_map }, &[theirs.as_fd()])?;
            drop(theirs);
            match answer(&report)? {
                (Report::Namespace, Some(namespace)) => Ok(namespace),
                _ => Err(Error::Spawner("it answered something else".into())),
            }
        });
        for entry in entries {
            match &mut entry.what {
                What::Overlay { lowers, upper, work, .. } => {
                    for lower in lowers {
                        preparation.own(lower)?;
                    }
                    preparation.own_pair(upper, work)?;
                }
                What::Private { from, .. } | What::ReadWrite { from, .. } | What::Cache { from, .. } => {
                    preparation.own(from)?
                }
                What::ReadOnly { from, .. } => preparation.show(from)?,
                _ => {}
            }
        }
        Ok(preparation.mounts)
    }
}

/// The gateway of a run whose policy has one. What is asked for by halves is refused.
fn open_gateway(command: &Command) -> Result<Option<Box<dyn Passage>>> {
    match (command.policy.network, &command.gateway) {
        (Network::Proxied, Some(gateway)) => {
            gateway.open().map(Some).map_err(|error| Error::stage("start the network proxy", error))
        }
        (Network::Proxied, None) => Err(Error::Policy("the network is proxied, and there is no gateway".into())),
        _ => Ok(None),
    }
}

/// Sets variables over those that are there.
fn set(env: &mut Vec<OsString>, variables: &[(OsString, OsString)]) {
    for (key, value) in variables {
        let mut entry = key.clone();
        entry.push("=");
        env.retain(|set| !set.as_bytes().starts_with(entry.as_bytes()));
        entry.push(value);
        env.push(entry);
    }
}

struct Nest {
    report: OwnedFd,
    control: OwnedFd,
    pid: i32,
    pidfd: OwnedFd,
    client: Arc<Client>,
}

fn nest_from(client: &Arc<Client>, request: &Request, cgroup: Option<BorrowedFd<'_>>) -> Result<Nest> {
    let socket = |error| Error::stage("make a socket", error);
    let (report, their_report) = channel::pair().map_err(socket)?;
    let (control, their_control) = channel::pair().map_err(socket)?;
    let mut descriptors = vec![their_report.as_fd(), their_control.as_fd()];
    descriptors.extend(cgroup);
    client.request(request, &descriptors)?;
    drop((their_report, their_control));
    match answer(&report)? {
        (Report::Spawned { pid }, Some(pidfd)) => Ok(Nest { report, control, pid, pidfd, client: client.clone() }),
        _ => Err(Error::Spawner("it answered something else".into())),
    }
}

fn answer(report: &OwnedFd) -> Result<(Report, Option<OwnedFd>)> {
    match channel::receive::<Report>(report).map_err(|error| Error::stage("hear from the spawner", error))? {
        Some((Report::Failed { stage, errno }, _)) => Err(refused(&stage, errno)),
        Some((report, descriptors)) => Ok((report, descriptors.into_iter().next())),
        None => Err(Error::Spawner("it ended without a word".into())),
    }
}

/// A failure to make namespaces is the host's, and has a remedy.
fn refused(stage: &str, errno: i32) -> Error {
    let source = std::io::Error::from_raw_os_error(errno);
    match errno {
        libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EINVAL | libc::ENOSYS => Error::Unenforceable {
            control: Control::UserNamespace,
            reason: format!(
                "failed to {stage}: {source}; user namespaces are refused here (a container's default filter, AppArmor's restriction of unprivileged user namespaces, or user.max_user_namespaces=0)"
            ),
        },
        _ => Error::stage(stage, source),
    }
}

/// A failure that the nest init told of.
pub(crate) fn failure(kind: FailureKind, stage: String, errno: i32) -> Error {
    let source = std::io::Error::from_raw_os_error(errno);
    match kind {
        FailureKind::ProgramNotFound => Error::ProgramNotFound(stage.into()),
        FailureKind::NotExecutable => Error::NotExecutable { path: stage.into(), source },
        FailureKind::Unenforceable(control) => {
            Error::Unenforceable { control, reason: format!("failed to {stage}: {source}") }
        }
        FailureKind::Stage => Error::Stage { stage, source },
    }
}

fn arguments(command: &Command) -> Result<Vec<OsString>> {
    let program = command.program.as_os_str();
    if program.is_empty() {
        return Err(Error::Policy("no program was named".into()));
    }
    let arg0 = command.arg0.as_deref().unwrap_or(program);
    let argv: Vec<OsString> = [arg0.to_owned()].into_iter().chain(command.args.iter().cloned()).collect();
    let named = [(program, "the program's name".to_owned())]
        .into_iter()
        .chain(argv.iter().enumerate().map(|(place, argument)| (argument.as_os_str(), format!("argument {place}"))));
    for (text, what) in named {
        if text.as_bytes().contains(&0) {
            return Err(Error::Nul { what });
        }
    }
    Ok(argv)
}

fn environment(command: &Command) -> Result<Vec<OsString>> {
    command
        .env
        .iter()
        .map(|(key, value)| {
            let shown = key.to_string_lossy();
            if key.as_bytes().contains(&0) || value.as_bytes().contains(&0) {
                return Err(Error::Nul { what: format!("environment variable {shown}") });
            }
            if key.is_empty() || key.as_bytes().contains(&b'=') {
                return Err(Error::Policy(format!("`{shown}` is no name of an environment variable")));
            }
            let mut entry = key.clone();
            entry.push("=");
            entry.push(value);
            Ok(entry)
        })
        .collect()
}
