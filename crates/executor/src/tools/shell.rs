//! `shell`: a shell command in the host view, so that the user's own toolchains work over the workspace.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use agentic_sandbox::{ExitReason, Network, Stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::code::{describe, failed, message, not_started, seconds, wait};
use super::commands::{self, BLOCKED_BY_DEFAULT};
use super::host;
use crate::cause::Cause;
use crate::runtime::denials;
use crate::runtime::diagnose::Circumstances;
use crate::runtime::{ImportPolicy, Runtimes};
use crate::tools::{Resources, Tool, ToolCall, ToolContext, ToolResult};

/// The kernel takes 131,072 bytes for one argument, the final NUL included.
const MOST_COMMAND: usize = (128 << 10) - 1;

/// The arguments of `shell`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellParams {
    /// The command, as it would be typed.
    pub command: String,
    /// Seconds it may take. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
}

/// What the operator set; read at each call, so that a later setting takes effect.
#[derive(Debug, Clone)]
struct Settings {
    allowed_commands: Option<Vec<String>>,
    blocked_commands: Vec<String>,
    timeout: Duration,
    working_dir: Option<PathBuf>,
}

/// Runs shell commands. The lists are a convenience, not a boundary: the sandbox is the boundary. Processes that a command
/// leaves running end with it, and `metadata["left_processes"]` has their names (32 at most).
#[derive(Debug)]
pub struct ShellTool {
    settings: RwLock<Settings>,
    runtimes: Runtimes,
}

impl Default for ShellTool {
    fn default() -> Self {
        Self::new()
    }
}

impl ShellTool {
    /// Every command but the ones blocked by default, 30 s, in the configured workspace.
    pub fn new() -> Self {
        Self {
            settings: RwLock::new(Settings {
                allowed_commands: None,
                blocked_commands: BLOCKED_BY_DEFAULT.iter().map(|rule| (*rule).to_owned()).collect(),
                timeout: Duration::from_secs(30),
                working_dir: None,
            }),
            runtimes: Runtimes::new(),
        }
    }
    fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.write().unwrap_or_else(PoisonError::into_inner));
    }
    /// The only commands that run, each by its first words; `None` allows every one.
    pub fn allowed_commands(&self) -> Option<Vec<String>> {
        self.settings().allowed_commands
    }
    /// Sets [`Self::allowed_commands`].
    pub fn set_allowed_commands(&self, commands: Option<Vec<String>>) {
        self.set(|settings| settings.allowed_commands = commands);
    }
    /// Commands that do not run. They beat the allowed ones.
    pub fn blocked_commands(&self) -> Vec<String> {
        self.settings().blocked_commands
    }
    /// Sets [`Self::blocked_commands`].
    pub fn set_blocked_commands(&self, commands: Vec<String>) {
        self.set(|settings| settings.blocked_commands = commands);
    }
    /// The time a command has when nothing else says.
    pub fn timeout(&self) -> Duration {
        self.settings().timeout
    }
    /// Sets [`Self::timeout`].
    pub fn set_timeout(&self, timeout: Duration) {
        self.set(|settings| settings.timeout = timeout);
    }
    /// The folder commands run in, a workspace root of its own; `None`: the configured workspace.
    pub fn working_dir(&self) -> Option<PathBuf> {
        self.settings().working_dir
    }
    /// Sets [`Self::working_dir`].
    pub fn set_working_dir(&self, folder: Option<PathBuf>) {
        self.set(|settings| settings.working_dir = folder);
    }
}

impl Tool for ShellTool {
    fn name(&self) -> &'static str {
        "shell"
    }
    fn description(&self) -> &'static str {
        "Run a shell command in the workspace, in the sandbox, with the user's toolchains. The output is what it \
         printed; files it writes in the workspace are kept when it succeeds. Processes that it leaves running are ended \
         with it, and named."
    }
    fn schema(&self) -> Value {
        super::schema::of::<ShellParams>()
    }
    fn roots(&self, _params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        self.settings().working_dir.map(|folder| vec![folder])
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        // Each command has its own layer; two that wrote the same path are told apart at commit.
        Resources::Independent
    }
    fn admits(&self, command: &str) -> Result<(), String> {
        let settings = self.settings();
        commands::judge(command, settings.allowed_commands.as_deref(), &settings.blocked_commands)
    }
    fn default_timeout(&self) -> Option<Duration> {
        Some(self.settings().timeout)
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let params: ShellParams = match super::validate::arguments(call, || self.schema()) {
            Ok(params) => params,
            Err(refused) => return refused,
        };
        let settings = self.settings();
        if let Err(refused) = check(&params, &settings) {
            return *refused;
        }
        let wall = params.timeout.and_then(seconds).or(context.timeout).unwrap_or(settings.timeout);
        let workspace = &context.config.workspace;
        let dir = settings.working_dir.as_ref().map_or_else(|| workspace.clone(), |dir| workspace.join(dir));
        let (mut command, notes) = match host::command(&params.command, &dir, wall, &self.runtimes, context) {
            Ok(command) => command,
            Err(refused) => return *refused,
        };
        let dir = command.get_current_dir().map(Path::to_owned).unwrap_or_default();
        if let Some(observer) = &context.on_output {
            command.stdout(Stream::Observe(observer.clone())).stderr(Stream::Observe(observer.clone()));
        }
        let output = command.spawn(context.sandbox).and_then(|child| wait(child, context));
        let mut output = match output {
            Ok(output) => output,
            Err(error) => return not_started(&error).with("command", params.command),
        };
        output.enforced.extend(notes);
        let imports = ImportPolicy::default();
        let denials =
            denials::inferred(&output, denials::Under { policy: command.get_policy(), imports: &imports, dir: &dir });
        output.denials.extend(denials);
        let (stdout, stderr) = (output.stdout.text(), output.stderr.text());
        let under = Circumstances {
            language: None,
            offline: context.config.sandbox.network == Network::None,
            closes_inet: false,
        };
        let mut result = match output.reason {
            ExitReason::Exited(0) => ToolResult::success(""),
            ExitReason::TimedOut => failed(&output, under, format!("Command timed out after {}s", plain(wall))),
            // The whole of stderr: programs read it from here.
            ExitReason::Exited(_) if !stderr.trim().is_empty() => failed(&output, under, stderr.clone()),
            reason => failed(&output, under, message(reason, &output, &stderr, &stdout)),
        };
        result.output = joined(&stdout, &stderr).into();
        result = result
            .with("command", params.command)
            .with("duration", output.usage.wall.as_secs_f64())
            .with("view", "host");
        describe(result, output)
    }
}

fn check(params: &ShellParams, settings: &Settings) -> Result<(), Box<ToolResult>> {
    let refuse = |cause, pointer: &str, message: String| {
        Box::new(ToolResult::failure(cause, message).with("pointer", pointer).with("command", params.command.clone()))
    };
    if params.command.trim().is_empty() {
        return Err(refuse(Cause::InvalidArguments, "/command", "`command` is empty".into()));
    }
    if let Some(at) = params.command.find('\0') {
        let message = format!("`command` contains a NUL byte at offset {at}");
        return Err(refuse(Cause::InvalidArguments, "/command", message));
    }
    if params.command.len() > MOST_COMMAND {
        let message = format!(
            "`command` is {} bytes long and the kernel takes {MOST_COMMAND}; write it to a script and run that",
            params.command.len()
        );
        return Err(refuse(Cause::InvalidArguments, "/command", message));
    }
    if params.timeout.is_some_and(|timeout| seconds(timeout).is_none()) {
        let message = "`timeout` must be a number of seconds above 0".into();
        return Err(refuse(Cause::InvalidArguments, "/timeout", message));
    }
    let allowed = settings.allowed_commands.as_deref();
    commands::judge(&params.command, allowed, &settings.blocked_commands)
        .map_err(|reason| refuse(Cause::PermissionDenied, "/command", reason))
}

/// Standard output, then standard error when there is any, marked.
fn joined(stdout: &str, stderr: &str) -> String {
    if stderr.is_empty() {
        return stdout.to_owned();
    }
    let gap = if stdout.is_empty() || stdout.ends_with('\n') { "" } else { "\n" };
    format!("{stdout}{gap}[stderr]: {stderr}")
}

/// `1` for a whole number of seconds, `0.5` otherwise.
fn plain(wall: Duration) -> String {
    format!("{}", wall.as_secs_f64())
}
