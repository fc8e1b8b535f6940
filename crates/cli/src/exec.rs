//! `agentic exec`: one program in the sandbox, where `python3` stood. Standard streams and the exit status
//! pass through; what it writes in the folder is kept when it ends by itself. Neither the journal nor a
//! schema is opened on this path: its start is what people wait for.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_executor::Cancel;
use agentic_executor::tools::Access;
use agentic_executor::workspace::{Attempt, WorkspaceError, Workspaces, path_on_a_line};
use agentic_sandbox::{
    Certainty, Denial, ExitReason, LimitKind, Limits, MB, Output, Refuser, Sandbox, Stdin, Stream, View,
};
use serde_json::json;

use crate::args::{ExecArgs, Language, NetworkReach, ProfileName, TierName, ViewName};
use crate::changes::Changes;
use crate::engine;
use crate::error::{Failure, Result, unless_gone};
use crate::exit_code::ExitCode;
use crate::program::{self, Program, Source};
use crate::render::seconds;
use crate::screen::Screen;
use crate::settings::table::Value;
use crate::settings::{Settings, Surroundings, Typed, home_is_open};
use crate::signals::Watch;
use crate::terminal::Appearance;
use crate::{keep, tty, warn};

/// Denials on standard error; all of them are in the JSON form.
const MOST_TOLD: usize = 3;

pub(crate) fn run(args: &ExecArgs) -> Result<i32> {
    if args.tty {
        tty::check()?;
    }
    let found = Surroundings::find(args.place.directory.as_deref())?;
    let source = source(args)?;
    let language = match args.language {
        Some(language) => language,
        None => source.language()?,
    };
    let typed = typed(args, &found, language)?;
    let cap = cap(args.max_output.as_deref())?;
    let mut settings = Settings::decide(found, typed)?;
    warn(&settings.warnings);
    warn(home_is_open(&settings.config).as_slice());
    if language != Language::Python && !(args.block_import.is_empty() && args.allow_import.is_empty()) {
        warn(&[format!(
            "--block-import and --allow-import name modules of Python; {} is only refused what the kernel closes for them",
            language.as_str()
        )]);
    }
    program::place_state(&mut settings)?;

    let config = &settings.config;
    let sandbox = Sandbox::new(config.spawner.clone()).map_err(|error| program::refusal(&error))?;
    let _preparations = sandbox.warm_up();
    let workspaces = Workspaces::new(&config.state, sandbox.clone()).map_err(workspace)?;
    let workspaces = workspaces.with_tier(config.sandbox.tier).on_wait(Arc::new(engine::waits));
    if !args.discard {
        program::writable(&config.workspace)?;
    }
    let attempt = workspaces.open(std::slice::from_ref(&config.workspace), Access::Write).map_err(workspace)?;
    let limits = limits(&settings);
    let mut screens = Screens::default();
    let (stdout, stderr) = if args.json {
        (Stream::Capture, Stream::Capture)
    } else {
        let relay = |to| Stream::Relay { to, most: cap };
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        (relay(lead(&stdout, args.tty, &mut screens.stdout)?), relay(lead(&stderr, args.tty, &mut screens.stderr)?))
    };
    let program = Program {
        language,
        source,
        args: &args.args,
        view: settings.view,
        limits: limits.clone(),
        stdin: Stdin::Relay(duplicate(&std::io::stdin())?),
        stdout,
        stderr,
    };
    let mut prepared = program::prepare(&sandbox, config, program, &attempt)?;
    let cancel = Cancel::new();
    let _watch = Watch::start(&cancel, || ())?;
    let raw = if args.tty {
        prepared.command.terminal(tty::size);
        Some(tty::Raw::enter()?)
    } else {
        None
    };
    let child = prepared.command.spawn(&sandbox).map_err(|error| program::refusal(&error))?;
    let killer = child.killer();
    let _guard = cancel.on_cancel(move || killer.kill());
    let mut output = child.wait().map_err(|error| program::refusal(&error))?;
    drop(raw);
    output.enforced.extend(prepared.notes.clone());
    let denials = prepared.denials(&output, &config.sandbox);
    output.denials.extend(denials);
    // The command holds the last ends of what leads to the terminal; what we say comes after what the program said.
    drop(prepared);
    screens.end(&mut output);
    let code = end(args, &settings, &limits, &output, attempt)?;
    // Another attempt may have held the folder: what was finished is applied before we go.
    workspaces.settle().map_err(lost)?;
    Ok(code)
}

fn lost(error: WorkspaceError) -> Failure {
    Failure::new(ExitCode::Refused, format!("failed to keep what the program wrote: {error}"))
}

/// Settles the layer, says what a limit did, and answers with the exit code.
fn end(args: &ExecArgs, settings: &Settings, limits: &Limits, output: &Output, mut attempt: Attempt) -> Result<i32> {
    let by_itself = matches!(output.reason, ExitReason::Exited(_) | ExitReason::Signalled(_));
    let mut changes = None;
    let mut kept = None;
    let mut held = None;
    if args.discard {
        attempt.discard();
    } else if by_itself {
        attempt.allow_persist(settings.config.sandbox.allow_persist.clone());
        changes = Some(match attempt.try_commit() {
            // As with python3 the rest stands: a program that also left a hook is not undone for it.
            Err(WorkspaceError::Persistence(found)) => {
                held = Some(found);
                kept = keep::held(&settings.config.state, &attempt, held.as_deref().unwrap_or_default())?;
                attempt.hold_back_protected();
                attempt.try_commit().map_err(lost)?
            }
            other => other.map_err(lost)?,
        });
    } else {
        kept = keep::aside(&settings.config.state, attempt).unwrap_or_else(|failure| {
            say(&failure.to_string());
            None
        });
    }
    if args.json {
        let object = json!({
            "exit_code": output.reason.code(),
            "reason": output.reason,
            "stdout": output.stdout.text(),
            "stderr": output.stderr.text(),
            "truncated": output.stdout.truncated() || output.stderr.truncated(),
            "usage": {
                "wall": output.usage.wall.as_secs_f64(),
                "user": output.usage.user.as_secs_f64(),
                "system": output.usage.system.as_secs_f64(),
                "peak_memory": output.usage.peak_memory,
                "exact": output.usage.exact,
            },
            "limits_hit": output.limits_hit,
            "enforced": output.enforced,
            "denials": output.denials,
            "network": output.network,
            "changes": changes,
            "held_back": held,
            "kept": kept.as_ref().map(|kept| kept.folder.display().to_string()),
        });
        unless_gone(writeln!(std::io::stdout(), "{object}"))?;
    }
    if let Some(line) = ending(output, limits) {
        say(&format!("agentic: {line}"));
    }
    for denial in told(output) {
        say(&format!("agentic: {denial}"));
    }
    if let Some(kept) = kept {
        say(&format!("agentic: {kept}"));
    }
    if let Some(found) = held.as_deref() {
        for one in found {
            say(&format!("agentic: held back: {one}"));
        }
        say("agentic: --allow-persist PATH (or `all`) lets it pass");
    }
    if let Some(changes) = changes {
        if std::io::stderr().is_terminal() {
            let mut told = Changes::within(&settings.config.workspace);
            told.add(&changes);
            told.later().iter().for_each(|line| say(&format!("agentic: {line}")));
        }
        let held: BTreeSet<PathBuf> = held.into_iter().flatten().map(|one| one.path).collect();
        for agentic_executor::workspace::LeftOut { path, reason: why } in changes.left_out {
            if held.contains(&path) {
                continue;
            }
            say(&format!("agentic: not kept: {}: {why}", path_on_a_line(&path)));
        }
    }
    for (name, stream) in [("output", &output.stdout), ("error", &output.stderr)] {
        if let Some(number) = stream.refused {
            let why = std::io::Error::from_raw_os_error(number);
            say(&format!("agentic: failed to pass on all of the program's standard {name}: {why}"));
        }
    }
    let lost = output.stdout.refused.or(output.stderr.refused).is_some();
    match output.reason.code() {
        0 if lost => Ok(ExitCode::Refused as i32),
        code => Ok(code),
    }
}

fn say(line: &str) {
    let _gone = writeln!(std::io::stderr(), "{}", Appearance::of_stderr().foreign(line));
}

/// Denials that a person is told of: only of a run that failed, the first few, and no limit twice.
fn told(output: &Output) -> impl Iterator<Item = &Denial> {
    let failed = output.reason != ExitReason::Exited(0);
    let of_others = |denial: &&Denial| denial.control != Refuser::Limits || denial.certainty == Certainty::Inferred;
    output.denials.iter().filter(move |_| failed).filter(of_others).take(MOST_TOLD)
}

/// What a limit did, in one line; nothing when none did anything that the program's status does not say.
fn ending(output: &Output, limits: &Limits) -> Option<String> {
    let megabytes = |bytes: u64| format!("{} MB", bytes.div_ceil(MB));
    let line = match output.reason {
        ExitReason::TimedOut if output.limits_hit.contains(&LimitKind::Cpu) => {
            format!("spent its {} of CPU time; the process tree was ended", seconds(limits.cpu.unwrap_or_default()))
        }
        ExitReason::TimedOut => format!("timed out after {}; the process tree was ended", seconds(limits.wall)),
        ExitReason::MemoryExceeded => {
            format!("used more than its {} of memory; the process tree was ended", megabytes(limits.memory))
        }
        ExitReason::DiskExceeded => {
            format!("wrote more than its {} of scratch space; the process tree was ended", megabytes(limits.disk))
        }
        ExitReason::Cancelled => "cancelled; the process tree was ended".to_owned(),
        ExitReason::Exited(_) | ExitReason::Signalled(_) => {
            let words: Vec<String> = output
                .limits_hit
                .iter()
                .map(|limit| match limit {
                    LimitKind::Output => "output (the rest was dropped)".to_owned(),
                    LimitKind::Processes => format!("{} processes", limits.processes),
                    LimitKind::Disk => format!("{} of scratch space", megabytes(limits.disk)),
                    LimitKind::FileSize => format!("{} for a file", megabytes(limits.file_size)),
                    LimitKind::Memory => format!("{} of memory", megabytes(limits.memory)),
                    LimitKind::Wall => seconds(limits.wall),
                    LimitKind::Cpu => format!("{} of CPU time", seconds(limits.cpu.unwrap_or_default())),
                })
                .collect();
            if words.is_empty() {
                return None;
            }
            format!("the program met a limit: {}", words.join(", "))
        }
    };
    Some(line)
}

/// The program text, before it is known in which language.
fn source(args: &ExecArgs) -> Result<Source> {
    match (&args.code, &args.file) {
        (Some(code), _) => Source::code(code.as_bytes().to_vec()),
        (None, Some(file)) if file != Path::new("-") => Source::file(file),
        // With a terminal of its own, an interpreter asks for its lines itself.
        (None, None) if std::io::stdin().is_terminal() && !args.tty => {
            Err(Failure::new(ExitCode::Refused, "there is nothing to run")
                .hint("give a FILE, the code with -e, or - to read it from standard input"))
        }
        _ => Ok(Source::Stdin),
    }
}

fn typed(args: &ExecArgs, found: &Surroundings, language: Language) -> Result<Typed> {
    let mut typed = Typed::default();
    // Both views have limits of their own; a flag means the one that is used.
    for table in ["sandbox.limits", "sandbox.host_limits"] {
        typed.text(&format!("{table}.wall"), "--timeout", args.timeout.as_deref())?;
        typed.text(&format!("{table}.memory"), "--memory", args.memory.as_deref())?;
        typed.text(&format!("{table}.cpus"), "--cpus", args.cpus.as_deref())?;
    }
    let network = args.network.map(|network| match network {
        NetworkReach::None => "none",
        NetworkReach::Host => "host",
    });
    let view = args.view.map(|view| match view {
        ViewName::System => "system",
        ViewName::Host => "host",
    });
    let profile = args.profile.map(|profile| match profile {
        ProfileName::Strict => "strict",
        ProfileName::Default => "default",
    });
    if (args.profile, args.network) == (Some(ProfileName::Strict), Some(NetworkReach::Host)) {
        return Err(Failure::bad_input("--profile strict has no sockets, so --network host would reach nothing")
            .hint("leave one of the two out"));
    }
    typed.text("sandbox.network", "--network", network)?.text("view", "--view", view)?;
    typed.text("sandbox.tier", "--tier", args.tier.map(TierName::as_str))?;
    typed.text("sandbox.profile", "--profile", profile)?;
    for name in args.block_import.iter().chain(&args.allow_import) {
        let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !name.trim().split('.').all(part) {
            return Err(Failure::bad_input(format!("`{name}` is no name of a module"))
                .hint("--block-import and --allow-import take one module each, for example `socket` or `os.path`"));
        }
    }
    for name in &args.allow_degraded {
        crate::settings::control(name)?;
    }
    typed
        .value("sandbox.blocked_imports", "--block-import", Value::List(args.block_import.clone()))
        .value("sandbox.allowed_imports", "--allow-import", Value::List(args.allow_import.clone()))
        .value("sandbox.allow_degraded", "--allow-degraded", Value::List(args.allow_degraded.clone()))
        .value("sandbox.allow_net", "--allow-net", Value::List(args.allow_net.clone()))
        .value("sandbox.tls_terminate", "--tls-terminate", Value::List(args.tls_terminate.clone()))
        .value("sandbox.secrets", "--secret", Value::List(args.secret.clone()))
        .value("sandbox.env", "--env", Value::Pairs(program::environment(&args.env, args.env_file.as_deref(), found)?))
        .paths("sandbox.read_only", "--ro", &args.ro)?
        .paths("sandbox.read_write", "--rw", &args.rw)?
        .paths("sandbox.hide", "--hide", &args.hide)?
        .allow_persist(&args.allow_persist)?;
    for (flag, paths) in [("--ro", &args.ro), ("--rw", &args.rw)] {
        for path in paths {
            std::fs::symlink_metadata(path).map_err(|error| {
                Failure::bad_input(format!("failed to show {} to the program ({flag}): {error}", path.display()))
            })?;
        }
    }
    if let Some(path) = &args.trust_ca {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        typed.text("sandbox.trust_ca", "--trust-ca", path.to_str().or(Some("")))?;
    }
    typed.text("sandbox.network_bytes", "--max-net", args.max_net.as_deref())?;
    if let Some(runtime) = &args.runtime {
        let name = format!("sandbox.runtimes.{}", language.as_str());
        let path = std::path::absolute(runtime).unwrap_or_else(|_| runtime.clone());
        typed.text(&name, "--runtime", path.to_str().or(Some("")))?;
    }
    Ok(typed)
}

fn limits(settings: &Settings) -> Limits {
    let sandbox = &settings.config.sandbox;
    match settings.view {
        View::System => sandbox.limits.clone().unwrap_or_default(),
        View::Host => sandbox.host_limits.clone().unwrap_or_else(|| Limits::for_host_view(settings.config.host.memory)),
    }
}

/// Bytes passed on of each stream.
fn cap(megabytes: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = megabytes else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= (1_u64 << 30) as f64 => Ok(Some((number * MB as f64).ceil() as u64)),
        _ => Err(Failure::bad_input(format!(
            "--max-output is `{text}`; it must be a number of MB above 0 and up to 2^30"
        ))),
    }
}

/// The terminals among our output streams, each behind what it may be told.
#[derive(Default)]
struct Screens {
    stdout: Option<Screen>,
    stderr: Option<Screen>,
}

impl Screens {
    /// Waits until all is shown.
    fn end(self, output: &mut Output) {
        for (screen, stream) in [(self.stdout, &mut output.stdout), (self.stderr, &mut output.stderr)] {
            stream.refused = stream.refused.or(screen.and_then(Screen::end));
        }
    }
}

/// Where a stream is relayed to. A program with a terminal of its own (`--tty`) speaks to ours without a filter.
fn lead(stream: &(impl AsFd + IsTerminal), tty: bool, screen: &mut Option<Screen>) -> Result<Arc<OwnedFd>> {
    if tty || !stream.is_terminal() {
        return duplicate(stream);
    }
    let opened = stream.as_fd().try_clone_to_owned().and_then(Screen::open).map_err(|error| {
        Failure::new(ExitCode::Refused, format!("failed to pass a standard stream on to the terminal: {error}"))
    });
    let (into, opened) = opened?;
    *screen = Some(opened);
    Ok(Arc::new(into))
}

fn duplicate(stream: &impl AsFd) -> Result<Arc<OwnedFd>> {
    stream
        .as_fd()
        .try_clone_to_owned()
        .map(Arc::new)
        .map_err(|error| Failure::new(ExitCode::Refused, format!("failed to pass a standard stream on: {error}")))
}

fn workspace(error: WorkspaceError) -> Failure {
    Failure::new(ExitCode::Refused, format!("failed to open the workspace: {error}"))
        .hint("choose another folder with -C, or another state folder with AGENTIC_STATE")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn output(reason: ExitReason, limits_hit: Vec<LimitKind>) -> Output {
        Output {
            reason,
            stdout: Default::default(),
            stderr: Default::default(),
            usage: Default::default(),
            limits_hit,
            enforced: Default::default(),
            denials: Vec::new(),
            network: None,
            left: Vec::new(),
        }
    }

    #[test]
    fn what_a_limit_did_is_said_in_one_line() {
        let limits = Limits { wall: Duration::from_secs(1), ..Limits::default() };
        let line = |reason, hit| ending(&output(reason, hit), &limits);
        assert_eq!(
            line(ExitReason::TimedOut, vec![LimitKind::Wall]).unwrap(),
            "timed out after 1.0 s; the process tree was ended"
        );
        assert!(line(ExitReason::MemoryExceeded, vec![LimitKind::Memory]).unwrap().contains("256 MB of memory"));
        assert_eq!(line(ExitReason::Exited(3), vec![]), None);
        assert!(line(ExitReason::Exited(0), vec![LimitKind::Output]).unwrap().contains("output"));
    }

    #[test]
    fn an_output_cap_is_a_positive_number() {
        assert_eq!(cap(Some("1")).unwrap(), Some(MB));
        assert_eq!(cap(None).unwrap(), None);
        for text in ["0", "-1", "x", "NaN", "1e40"] {
            assert!(cap(Some(text)).is_err(), "{text}");
        }
    }
}
