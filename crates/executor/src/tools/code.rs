//! `run_code`: code or a file, run by an interpreter in the system view over the workspace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_sandbox::{
    Child, Control, Enforcement, Error, ExitReason, Limits, MB, Network, Output, Stdin, Stream, View,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cause::Cause;
use crate::runtime::diagnose::{Circumstances, diagnose, last_line, tail};
use crate::runtime::exec::{self, language_of};
use crate::runtime::{Invocation, Language, Program, Request, Runtimes};
use crate::tools::{Idempotency, Resources, Tool, ToolCall, ToolContext, ToolResult, ToolStatus};

/// Bytes of code that one call takes at most: it travels, and is recorded, whole.
pub const MOST_CODE: usize = 16 << 20;

/// Code that no interpreter could be given.
///
/// # Errors
/// Why not, and what to do instead. It calls the argument `code`.
pub fn check_code(code: &str) -> Result<(), String> {
    let length = code.len();
    if length > MOST_CODE {
        let most = format!("{MOST_CODE} ({} MiB) at most", MOST_CODE >> 20);
        return Err(format!("`code` has {length} bytes, {most}: write it to a file of the workspace and run that"));
    }
    match code.find('\0') {
        Some(at) => Err(format!("`code` contains a NUL byte at offset {at}")),
        None => Ok(()),
    }
}

/// The arguments of `run_code`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCodeParams {
    /// The code to run. Give either this or `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A file of the workspace to run. Give either this or `code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The language. Default: what the file's name says, else python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// Arguments of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Text on its standard input. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Seconds it may take. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// Mebibytes of memory its whole process tree may use. Default 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
}

/// Runs code in the system view: the workspace is writable, the rest of the host is the runtime and the system folders.
///
/// The output is what the program printed. Metadata of a run that started:
///
/// - `stdout`, `stderr`: what it wrote, with a line `[N bytes cut]` where more than the output limit was left out.
///   Then `truncated` is true, and `stdout_head` and `stdout_tail` (`stderr_head`, `stderr_tail`) are what is before
///   and after that line.
/// - `returncode`: its exit status; 124 after a timeout, 128 and the number after a signal.
/// - `language`, `runtime` (the interpreter's path), `view`.
/// - `denials`, when there were any: what it was refused, by which control, how to allow it, and how that is known.
/// - `execution_time` in seconds, `memory_used_mb`, `limits_hit` (the names of limits).
/// - `network`, where an allow-list was: `decisions`, each with host, port, rule, address, bytes and reason, and `dropped`.
/// - `message`: the line that decided, of a failure; `module`, `command`, `path` and the like where the cause names one.
/// - `dotenv`: why dotenv files could not be hidden, where they could not.
#[derive(Debug, Default)]
pub struct RunCodeTool {
    runtimes: Runtimes,
}

impl RunCodeTool {
    /// The tool, knowing no runtime yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Tool for RunCodeTool {
    fn name(&self) -> &'static str {
        "run_code"
    }
    fn description(&self) -> &'static str {
        "Run Python, bash or JavaScript code (or a file of the workspace) in the sandbox. The output is what it \
         printed; files it writes in the workspace are kept when it succeeds."
    }
    fn schema(&self) -> Value {
        super::schema::of::<RunCodeParams>()
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Independent
    }
    fn idempotency(&self) -> Idempotency {
        Idempotency::Layered
    }
    fn default_timeout(&self) -> Option<Duration> {
        Some(Limits::default().wall)
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let params: RunCodeParams = match super::validate::arguments(call, || self.schema()) {
            Ok(params) => params,
            Err(refused) => return refused,
        };
        let request = match request(&params, context) {
            Ok(request) => request,
            Err(refused) => return *refused,
        };
        let invocation = match exec::prepare(&self.runtimes, context.sandbox, context.config, &request, context.attempt)
        {
            Ok(invocation) => invocation,
            Err(error) => return ToolResult::failure(error.cause(), error.to_string()),
        };
        let output = match run(&invocation, context) {
            Ok(output) => output,
            Err(error) => return not_started(&error),
        };
        answer(&output, &invocation, request.language, context.config.sandbox.network)
    }
}

/// What the arguments ask for.
fn request(params: &RunCodeParams, context: &ToolContext<'_>) -> Result<Request, Box<ToolResult>> {
    let refuse = |pointer: &str, message: &str| {
        let result = ToolResult::failure(Cause::InvalidArguments, message);
        Box::new(if pointer.is_empty() { result } else { result.with("pointer", pointer) })
    };
    let program = match (&params.code, &params.file) {
        (Some(code), None) => {
            check_code(code).map_err(|why| refuse("/code", &why))?;
            Program::Code(code.clone().into_bytes())
        }
        (None, Some(file)) if file.as_os_str().is_empty() => return Err(refuse("/file", "`file` is empty")),
        (None, Some(file)) => Program::File(file.clone()),
        (None, None) => return Err(refuse("", "give `code` or `file`")),
        (Some(_), Some(_)) => return Err(refuse("/file", "give `code` or `file`, not both")),
    };
    let by_name = || params.file.as_deref().and_then(language_of);
    let language = params.language.or_else(by_name).unwrap_or(Language::Python);
    let mut request = Request::new(language, program);
    request.view = View::System;
    request.args = params.args.iter().map(Into::into).collect();
    request.stdin = params.stdin.as_ref().map_or(Stdin::Null, |text| Stdin::Bytes(text.clone().into_bytes()));
    if let Some(observer) = &context.on_output {
        request.stdout = Stream::Observe(observer.clone());
        request.stderr = Stream::Observe(observer.clone());
    }
    let mut limits = context.config.sandbox.limits.clone().unwrap_or_default();
    match params.timeout.map(seconds) {
        Some(Some(wall)) => limits.wall = wall,
        Some(None) => return Err(refuse("/timeout", "`timeout` must be a number of seconds above 0")),
        None => limits.wall = context.timeout.unwrap_or(limits.wall),
    }
    if let Some(memory) = params.memory_mb {
        limits.memory = memory.checked_mul(MB).ok_or_else(|| refuse("/memory_mb", "`memory_mb` is too large"))?;
    }
    // A recovery that raises the limit answers a run that the argument's own did not suffice for.
    limits.memory = limits.memory.max(context.memory.unwrap_or(0));
    request.limits = limits;
    Ok(request)
}

/// A positive, finite number of seconds.
pub(super) fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok().filter(|duration| !duration.is_zero())
}

/// Starts a command and waits for it, ending it when the caller asks.
pub(super) fn wait(child: Child, context: &ToolContext<'_>) -> Result<Output, Error> {
    let killer = child.killer();
    let _guard = context.cancel.on_cancel(move || killer.kill());
    child.wait()
}

fn run(invocation: &Invocation, context: &ToolContext<'_>) -> Result<Output, Error> {
    let mut output = wait(invocation.command.spawn(context.sandbox)?, context)?;
    output.enforced.extend(invocation.notes.clone());
    let denials = invocation.denials(&output, &context.config.sandbox);
    output.denials.extend(denials);
    Ok(output)
}

/// A run that did not start.
pub(crate) fn not_started(error: &Error) -> ToolResult {
    let cause = match error {
        Error::Limit(_) | Error::Nul { .. } | Error::Policy(_) => Cause::InvalidArguments,
        Error::ProgramNotFound(_) => Cause::MissingCommand,
        Error::NotExecutable { .. } => Cause::PermissionDenied,
        Error::Unenforceable { .. } | Error::Unsupported(_) => Cause::Unenforceable,
        _ => Cause::Internal,
    };
    ToolResult::failure(cause, format!("failed to start: {error}"))
}

/// What every run's result says of it.
pub(super) fn describe(mut result: ToolResult, output: Output) -> ToolResult {
    let limits = serde_json::to_value(&output.limits_hit).unwrap_or_default();
    let truncated = output.stdout.truncated() || output.stderr.truncated();
    result = result
        .with("returncode", output.reason.code())
        .with("truncated", truncated)
        .with("limits_hit", limits)
        .with("execution_time", output.usage.wall.as_secs_f64())
        .with("memory_used_mb", output.usage.peak_memory as f64 / MB as f64);
    if !output.left.is_empty() {
        result = result.with("left_processes", output.left);
    }
    if !output.denials.is_empty() {
        result = result.with("denials", serde_json::to_value(&output.denials).unwrap_or_default());
    }
    if let Some(traffic) = &output.network {
        result = result.with("network", serde_json::to_value(traffic).unwrap_or_default());
    }
    result.usage = Some(output.usage);
    result.enforced = Some(output.enforced);
    result
}

/// A failure by its diagnosis. Only a timeout has a status of its own: what the program itself was refused, or
/// ran into, is its error.
pub(super) fn failed(output: &Output, under: Circumstances, message: String) -> ToolResult {
    let Some(diagnosis) = diagnose(output, under) else { return ToolResult::success("") };
    let mut result = ToolResult::failure(diagnosis.cause, message);
    if diagnosis.cause != Cause::Timeout {
        result.status = ToolStatus::Error;
    }
    result.metadata.extend(diagnosis.facts);
    if let Some(line) = diagnosis.line {
        result.metadata.insert("message".into(), line.into());
    }
    result
}

fn answer(output: &Output, invocation: &Invocation, language: Language, network: Network) -> ToolResult {
    let (stdout, stderr) = (output.stdout.text(), output.stderr.text());
    let under = Circumstances {
        language: Some(language),
        offline: network == Network::None,
        closes_inet: invocation.prepared.policy.closes_inet(),
    };
    let mut result = match output.reason {
        ExitReason::Exited(0) => ToolResult::success(""),
        reason => failed(output, under, message(reason, output, &stderr, &stdout)),
    };
    result.output = stdout.clone().into();
    let view = match invocation.prepared.policy.view {
        View::System => "system",
        View::Host => "host",
    };
    result = result
        .with("stdout", stdout)
        .with("stderr", stderr)
        .with("language", language.as_str())
        .with("runtime", invocation.runtime.executable.to_string_lossy())
        .with("view", view);
    for (stream, head, tail) in
        [(&output.stdout, "stdout_head", "stdout_tail"), (&output.stderr, "stderr_head", "stderr_tail")]
    {
        if stream.truncated() {
            result = result.with(head, stream.head_text()).with(tail, stream.tail_text());
        }
    }
    if let Some(Enforcement::Degraded(reason)) = output.enforced.get(&Control::Dotenv) {
        result = result.with("dotenv", reason.as_str());
    }
    describe(result, output.clone())
}

/// What went wrong, in words: what the sandbox says, else the end of what the program said.
pub(super) fn message(reason: ExitReason, output: &Output, stderr: &str, stdout: &str) -> String {
    match reason {
        ExitReason::TimedOut => format!("timed out after {:.1}s", output.usage.wall.as_secs_f64()),
        ExitReason::MemoryExceeded => {
            format!("memory limit exceeded (peak {} MB)", output.usage.peak_memory / MB)
        }
        ExitReason::DiskExceeded => "scratch space limit exceeded".into(),
        ExitReason::Cancelled => "cancelled".into(),
        ExitReason::Signalled(signal) => format!("died of signal {signal}"),
        ExitReason::Exited(code) => {
            let said = [stderr, stdout].into_iter().map(last_lines).find(|text| !text.is_empty());
            said.unwrap_or_else(|| format!("exited with status {code}"))
        }
    }
}

/// The end of a text: its last line, after as many before it as 4 KiB hold.
fn last_lines(text: &str) -> String {
    const MOST: usize = 4 << 10;
    let text = tail(text.trim_end());
    if last_line(&text).is_none() {
        return String::new();
    }
    let mut start = text.len().saturating_sub(MOST);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let start = if start == 0 { 0 } else { text[start..].find('\n').map_or(start, |at| start + at + 1) };
    text[start..].to_owned()
}

/// Whether a path can be a working directory inside: absolute, and in one of the attempt's roots.
pub(super) fn within_roots(path: &Path, roots: &[PathBuf]) -> bool {
    path.is_absolute() && roots.iter().any(|root| path.starts_with(root))
}
