//! What runs a program and says how it ended. Attempts know nothing else of a sandbox, so that a run of another kind
//! (warm, parked, a session's call, one after a rollback) is put through the corpus by implementing [`Enclosure`].

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentic_sandbox::{
    Child, Command, Control, ExitReason, Gateway, LimitKind, Limits, MB, Network, Policy, Profile, Sandbox, Source,
    Stdin, Stream, Tier, Workspace,
};
use tempfile::TempDir;

use crate::attempt::{Act, Attempt, Expectation, Limit, Setup};
use crate::bait::Bait;
use crate::{imports, program, tier_b};

/// The system's Python, which lies in every view.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
    /// Why it ended.
    pub reason: ExitReason,
    /// Which limits it touched.
    pub hits: Vec<LimitKind>,
    /// CPU time of its whole tree; zero where nobody counts.
    pub cpu: Duration,
}

/// A program that runs.
pub trait Running: Send {
    /// Waits until it has printed this line, or until it has ended or ten seconds have passed: then what it printed.
    ///
    /// # Errors
    /// What it printed instead.
    fn wait_for(&mut self, line: &str) -> Result<(), String>;
    /// Ends it, once it has had this long to end by itself.
    fn end(self: Box<Self>, patience: Duration);
}

/// Something that runs programs.
pub trait Enclosure: Sync {
    /// Its name, for the report.
    fn name(&self) -> String;
    /// What an attempt comes to here, where it differs.
    fn expectation(&self, _: &Attempt) -> Expectation {
        Expectation::Same
    }
    /// The same in a sandbox without these barriers, for a control; `None` where there is no such barrier.
    fn without(&self, sandbox: Sandbox, barriers: &str) -> Option<Box<dyn Enclosure>> {
        Some(Box::new(Cold::weakened(sandbox, barriers)))
    }
    /// Runs one program to its end. `pair` is a word that two programs share.
    ///
    /// # Errors
    /// What kept it from starting.
    fn run_paired(&self, act: Act, setup: &Setup, bait: &Bait, pair: Option<&str>) -> Result<Ran, String>;
    /// Starts a program that stays.
    ///
    /// # Errors
    /// What kept it from starting.
    fn start(&self, act: Act, setup: &Setup, bait: &Bait, pair: &str) -> Result<Box<dyn Running>, String>;
    /// Runs one program to its end.
    ///
    /// # Errors
    /// What kept it from starting.
    fn run(&self, act: Act, setup: &Setup, bait: &Bait) -> Result<Ran, String> {
        self.run_paired(act, setup, bait, None)
    }
}

/// A workspace folder with a layer over it.
struct Folder {
    place: TempDir,
}

impl Folder {
    fn new(bait: &Bait) -> Result<Self, String> {
        let make = || {
            let place = tempfile::tempdir_in(bait.place())?;
            for name in ["workspace", "upper", "work"] {
                fs::create_dir(place.path().join(name))?;
            }
            fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755))?;
            Ok(Self { place })
        };
        make().map_err(|error: std::io::Error| format!("no workspace: {error}"))
    }
    fn path(&self) -> PathBuf {
        self.place.path().join("workspace")
    }
    fn workspace(&self, tier: Tier) -> Workspace {
        if tier == Tier::B {
            // Without a mount namespace a program works in the copy, where that lies.
            return Workspace { path: self.path(), source: Source::Copy { dir: self.path() } };
        }
        let at = |name: &str| self.place.path().join(name);
        let source = Source::Overlay { lowers: vec![self.path()], upper: at("upper"), work: at("work") };
        Workspace { path: self.path(), source }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Overlayfs leaves a folder behind that its owner cannot list, and so not remove.
        let _ = fs::set_permissions(self.place.path().join("work/work"), fs::Permissions::from_mode(0o700));
    }
}

/// A run as `agentic exec` starts it: everything is made for it and ends with it.
#[derive(Debug, Clone)]
pub struct Cold {
    sandbox: Sandbox,
    /// Controls whose absence is accepted, because they were taken away.
    allow_degraded: BTreeSet<Control>,
    tier: Tier,
    /// What lets every run that has sockets reach some host.
    gateway: Option<Arc<dyn Gateway>>,
    /// How many times the usual an emulated processor may take.
    slowness: u32,
    name: String,
}

impl Cold {
    /// Under every control, in tier A: never silently the one below.
    pub fn new(sandbox: Sandbox) -> Self {
        Self {
            sandbox,
            allow_degraded: BTreeSet::new(),
            tier: Tier::A,
            gateway: None,
            slowness: 1,
            name: "cold".into(),
        }
    }
    /// In tier B, without a namespace.
    pub fn without_namespaces(sandbox: Sandbox) -> Self {
        Self { tier: Tier::B, name: "cold, tier B".into(), ..Self::new(sandbox) }
    }
    /// Where every run but those with the host's network, or without sockets, may also reach what this lets it.
    #[must_use]
    pub fn reaching(self, gateway: Arc<dyn Gateway>) -> Self {
        Self { gateway: Some(gateway), name: format!("{}, with an allowed host", self.name), ..self }
    }
    /// On a processor that many times as slow as the one the corpus was written on: limits of ten seconds and more, which
    /// are to end a program that hangs and not to be met, are that much longer.
    #[must_use]
    pub fn slowed(self, slowness: u32) -> Self {
        Self { slowness: slowness.max(1), ..self }
    }
    /// In tier A without barriers, for a control.
    pub(crate) fn weakened(sandbox: Sandbox, barriers: &str) -> Self {
        let allow_degraded = [Control::Seccomp, Control::Capabilities, Control::NoNewPrivs, Control::Landlock];
        let (allow_degraded, name) = (allow_degraded.into(), format!("cold without {barriers}"));
        Self { allow_degraded, name, ..Self::new(sandbox) }
    }

    fn command(
        &self,
        act: Act,
        setup: &Setup,
        bait: &Bait,
        pair: Option<&str>,
    ) -> Result<(Command, Option<Folder>), String> {
        let folder = setup.workspace.then(|| Folder::new(bait)).transpose()?;
        let path = folder.as_ref().map(Folder::path);
        let mut command = match act {
            Act::Shell(script) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script]).env("PATH", "/usr/local/bin:/usr/bin:/bin");
                command
            }
            _ => {
                let text = program::text(act).ok_or("this act is more than a program")?;
                let mut command = Command::new(PYTHON);
                command.args(["-I", "-S", "-c", &program::source(&text, bait, path.as_deref(), pair)]);
                command
            }
        };
        let mut policy = Policy {
            profile: setup.profile,
            closed: setup.closed,
            workspaces: folder.iter().map(|folder| folder.workspace(self.tier)).collect(),
            network: match &self.gateway {
                _ if setup.host_network => Network::Host,
                Some(gateway) if setup.profile != Profile::Strict && !setup.closed.inet => {
                    command.gateway(gateway.clone());
                    Network::Proxied
                }
                _ => Network::None,
            },
            allow_degraded: self.allow_degraded.clone(),
            tier: self.tier,
            ..Policy::default()
        };
        if setup.shared {
            policy.read_only = vec![bait.shared()];
        }
        if setup.hidden {
            policy.hide = vec![bait.shared().join("hidden")];
        }
        command.policy(policy).limits(self.limits(setup)).stdin(match setup.stdin {
            0 => Stdin::Null,
            bytes => Stdin::Bytes(vec![b'x'; bytes]),
        });
        Ok((command, folder))
    }

    fn limits(&self, setup: &Setup) -> Limits {
        let limits = limits(setup);
        let longer = |limit: Duration| if limit < LONG { limit } else { limit * self.slowness };
        Limits { wall: longer(limits.wall), cpu: limits.cpu.map(longer), ..limits }
    }
}

/// From here on a time limit is there in case that a program hangs.
const LONG: Duration = Duration::from_secs(10);

fn limits(setup: &Setup) -> Limits {
    let mut limits = Limits::default();
    for limit in setup.limits {
        match *limit {
            Limit::Wall(milliseconds) => limits.wall = Duration::from_millis(milliseconds),
            Limit::Cpu(milliseconds) => limits.cpu = Some(Duration::from_millis(milliseconds)),
            Limit::Memory(megabytes) => limits.memory = megabytes * MB,
            Limit::Processes(number) => limits.processes = number,
            Limit::OpenFiles(number) => limits.open_files = number,
            Limit::Output(bytes) => limits.output = bytes,
            Limit::Disk(megabytes) => limits.disk = megabytes * MB,
            Limit::Inodes(number) => limits.inodes = number,
            Limit::FileSize(bytes) => limits.file_size = bytes,
        }
    }
    limits
}

impl Enclosure for Cold {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn expectation(&self, attempt: &Attempt) -> Expectation {
        match self.tier {
            Tier::B => tier_b::expectation(attempt.id),
            Tier::Best | Tier::A => Expectation::Same,
        }
    }
    fn without(&self, sandbox: Sandbox, barriers: &str) -> Option<Box<dyn Enclosure>> {
        let there = self.tier != Tier::B || tier_b::has_barriers(barriers);
        there.then(|| -> Box<dyn Enclosure> {
            Box::new(Self { tier: self.tier, slowness: self.slowness, ..Self::weakened(sandbox, barriers) })
        })
    }
    fn run_paired(&self, act: Act, setup: &Setup, bait: &Bait, pair: Option<&str>) -> Result<Ran, String> {
        let output = if setup.imports() {
            let folder = Folder::new(bait)?;
            let text = program::text(act).ok_or("this act is more than a program")?;
            let source = program::source(&text, bait, Some(&folder.path()), pair);
            let state = folder.place.path().join("state");
            imports::run((&self.sandbox, self.tier), setup, self.limits(setup), source, (&folder.path(), &state))?
        } else {
            let (command, _folder) = self.command(act, setup, bait, pair)?;
            command.output(&self.sandbox).map_err(|error| error.to_string())?
        };
        Ok(Ran {
            cpu: output.usage.user + output.usage.system,
            stdout: output.stdout.text(),
            stderr: output.stderr.text(),
            reason: output.reason,
            hits: output.limits_hit,
        })
    }
    fn start(&self, act: Act, setup: &Setup, bait: &Bait, pair: &str) -> Result<Box<dyn Running>, String> {
        let (mut command, folder) = self.command(act, setup, bait, Some(pair))?;
        let (sender, printed) = channel();
        let sender = Mutex::new(sender);
        command.stdout(Stream::Observe(Arc::new(move |bytes: &[u8]| {
            if let Ok(sender) = sender.lock() {
                // Nobody listens any more once the line was seen.
                let _ = sender.send(bytes.to_vec());
            }
        })));
        let child = command.spawn(&self.sandbox).map_err(|error| error.to_string())?;
        let killer = child.killer();
        // Output is relayed while somebody waits.
        let waiting = std::thread::spawn(move || Child::wait(child).map(drop));
        Ok(Box::new(Sandboxed { killer, waiting: Some(waiting), printed, _folder: folder }))
    }
}

struct Sandboxed {
    killer: agentic_sandbox::Killer,
    waiting: Option<std::thread::JoinHandle<agentic_sandbox::Result<()>>>,
    printed: Receiver<Vec<u8>>,
    _folder: Option<Folder>,
}

/// How long a program that prepares something may take to say so.
const PATIENCE: Duration = Duration::from_secs(20);

fn wait_until(mut ended: impl FnMut() -> bool, patience: Duration) {
    let began = Instant::now();
    while !ended() && began.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for(printed: &Receiver<Vec<u8>>, line: &str) -> Result<(), String> {
    let (mut text, began) = (Vec::new(), Instant::now());
    loop {
        if String::from_utf8_lossy(&text).lines().any(|found| found == line) {
            return Ok(());
        }
        match printed.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
            Ok(bytes) => text.extend(bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(format!("it printed `{}` and not `{line}`", String::from_utf8_lossy(&text).trim()));
            }
        }
    }
}

impl Running for Sandboxed {
    fn wait_for(&mut self, line: &str) -> Result<(), String> {
        wait_for(&self.printed, line)
    }
    fn end(self: Box<Self>, patience: Duration) {
        let ended = || self.waiting.as_ref().is_none_or(std::thread::JoinHandle::is_finished);
        wait_until(ended, patience);
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        self.killer.kill();
        if let Some(waiting) = self.waiting.take() {
            // Its end is not what is asked for.
            let _ = waiting.join();
        }
    }
}

/// No enclosure: a program on this host, as this user, in a scratch folder. For acts that harm nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unconfined;

impl Unconfined {
    fn command(act: Act, bait: &Bait, pair: Option<&str>) -> Result<(std::process::Command, Folder), String> {
        let folder = Folder::new(bait)?;
        let mut command = match act {
            Act::Shell(script) => {
                let mut command = std::process::Command::new("/bin/sh");
                command.args(["-c", script]);
                command
            }
            _ => {
                let text = program::text(act).ok_or("this act is more than a program")?;
                let mut command = std::process::Command::new(PYTHON);
                command.args(["-I", "-S", "-c", &program::source(&text, bait, Some(&folder.path()), pair)]);
                command
            }
        };
        command.current_dir(folder.path()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok((command, folder))
    }
}

impl Enclosure for Unconfined {
    fn name(&self) -> String {
        "unconfined".into()
    }
    fn run_paired(&self, act: Act, _: &Setup, bait: &Bait, pair: Option<&str>) -> Result<Ran, String> {
        let (mut command, _folder) = Self::command(act, bait, pair)?;
        let output = command.output().map_err(|error| format!("{PYTHON}: {error}"))?;
        use std::os::unix::process::ExitStatusExt;
        let reason = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => ExitReason::Exited(code),
            (None, signal) => ExitReason::Signalled(signal.unwrap_or_default()),
        };
        Ok(Ran {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            reason,
            hits: Vec::new(),
            cpu: Duration::ZERO,
        })
    }
    fn start(&self, act: Act, _: &Setup, bait: &Bait, pair: &str) -> Result<Box<dyn Running>, String> {
        let (mut command, folder) = Self::command(act, bait, Some(pair))?;
        let mut child = command.stderr(Stdio::null()).spawn().map_err(|error| format!("{PYTHON}: {error}"))?;
        let (sender, printed) = channel();
        if let Some(mut stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut bytes = [0; 256];
                while let Ok(read @ 1..) = stdout.read(&mut bytes) {
                    let _ = sender.send(bytes[..read].to_vec());
                }
            });
        }
        Ok(Box::new(Free { child, printed, _folder: folder }))
    }
}

struct Free {
    child: std::process::Child,
    printed: Receiver<Vec<u8>>,
    _folder: Folder,
}

impl Running for Free {
    fn wait_for(&mut self, line: &str) -> Result<(), String> {
        wait_for(&self.printed, line)
    }
    fn end(mut self: Box<Self>, patience: Duration) {
        wait_until(|| !matches!(self.child.try_wait(), Ok(None)), patience);
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this host can run the corpus at all.
pub(crate) fn python_is_there() -> bool {
    Path::new(PYTHON).exists()
}
