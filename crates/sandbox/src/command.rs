//! A program to run under a policy and limits, shaped like [`std::process::Command`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::child::Child;
use crate::gateway::Gateway;
use crate::launch::Sandbox;
use crate::{Limits, Output, Policy, Result};

/// Where standard input comes from. The program always sees a pipe, never the caller's descriptor.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    /// Empty.
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Relayed from this descriptor until it ends or the program does.
    Relay(Arc<OwnedFd>),
}

/// Called with each piece of output as it arrives.
pub type Observer = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Where an output stream goes. The program always sees a pipe, never the caller's descriptor.
#[derive(Clone, Default)]
pub enum Stream {
    /// Kept, up to [`Limits::output`].
    #[default]
    Capture,
    /// Kept, and shown to an observer as it arrives.
    Observe(Observer),
    /// Written to this descriptor as it arrives, not kept. `most` bytes at most, when given.
    Relay {
        /// Where to.
        to: Arc<OwnedFd>,
        /// How many bytes are passed on; the rest is drained and counted.
        most: Option<u64>,
    },
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture => "Capture",
            Self::Observe(_) => "Observe",
            Self::Relay { .. } => "Relay",
        })
    }
}

/// Tells the rows and columns of the caller's terminal.
pub(crate) type WindowSize = Arc<dyn Fn() -> (u16, u16) + Send + Sync>;

/// A program to run in an enclosure of its own. The environment starts empty.
#[derive(Clone)]
pub struct Command {
    pub(crate) program: PathBuf,
    pub(crate) arg0: Option<OsString>,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
    pub(crate) terminal: Option<WindowSize>,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) gateway: Option<Arc<dyn Gateway>>,
    pub(crate) left_after: Option<Duration>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and environment may hold secrets.
        f.debug_struct("Command").field("program", &self.program).field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Command {
    /// A program by absolute path, or by a name that is looked up in the `PATH` given to [`Self::env`], inside the view.
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arg0: None,
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: Stdin::default(),
            stdout: Stream::default(),
            stderr: Stream::default(),
            terminal: None,
            policy: Policy::default(),
            limits: Limits::default(),
            gateway: None,
            left_after: None,
        }
    }
    /// `argv[0]`, when it should differ from the program (a venv is found by it).
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.arg0 = Some(arg.as_ref().to_owned());
        self
    }
    /// One more argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }
    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }
    /// One environment variable; a later one of the same name wins.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let key = key.as_ref().to_owned();
        self.env.retain(|(name, _)| *name != key);
        self.env.push((key, value.as_ref().to_owned()));
        self
    }
    /// The working directory inside. Default: the first workspace, else `/`.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }
    /// Where standard input comes from. Default: empty.
    pub fn stdin(&mut self, stdin: Stdin) -> &mut Self {
        self.stdin = stdin;
        self
    }
    /// Where standard output goes. Default: captured.
    pub fn stdout(&mut self, stream: Stream) -> &mut Self {
        self.stdout = stream;
        self
    }
    /// Where standard error goes. Default: captured.
    pub fn stderr(&mut self, stream: Stream) -> &mut Self {
        self.stderr = stream;
        self
    }
    /// Gives the program a terminal of its own instead of three pipes; it follows the size that `size` tells.
    /// What it prints comes through [`Self::stdout`], the way a terminal shows it; standard error is part of it.
    pub fn terminal(&mut self, size: impl Fn() -> (u16, u16) + Send + Sync + 'static) -> &mut Self {
        self.terminal = Some(Arc::new(size));
        self
    }
    /// What it may read, write, reach and execute.
    pub fn policy(&mut self, policy: Policy) -> &mut Self {
        self.policy = policy;
        self
    }
    /// What it may spend.
    pub fn limits(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }
    /// What answers inside when the policy's network is [`crate::Network::Proxied`], and required then.
    pub fn gateway(&mut self, gateway: Arc<dyn Gateway>) -> &mut Self {
        self.gateway = Some(gateway);
        self
    }
    /// Has [`Output::left`] tell the processes that the program leaves behind: those that still run this long after it has
    /// ended by itself. The run ends as soon as none is left. Default: nobody looks, and what is left ends at once.
    pub fn left_after(&mut self, grace: Duration) -> &mut Self {
        self.left_after = Some(grace);
        self
    }
    /// The program, as it was named.
    pub fn get_program(&self) -> &Path {
        &self.program
    }
    /// The arguments, without `argv[0]`.
    pub fn get_args(&self) -> &[OsString] {
        &self.args
    }
    /// The environment.
    pub fn get_envs(&self) -> &[(OsString, OsString)] {
        &self.env
    }
    /// The working directory inside, when one was named.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }
    /// The policy.
    pub fn get_policy(&self) -> &Policy {
        &self.policy
    }
    /// The limits.
    pub fn get_limits(&self) -> &Limits {
        &self.limits
    }
    /// Starts it.
    ///
    /// # Errors
    /// Whatever keeps the program from starting; see [`crate::Error`].
    pub fn spawn(&self, sandbox: &Sandbox) -> Result<Child> {
        sandbox.spawn(self)
    }
    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn output(&self, sandbox: &Sandbox) -> Result<Output> {
        self.spawn(sandbox)?.wait()
    }
}
