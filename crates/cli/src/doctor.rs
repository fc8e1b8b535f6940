//! `agentic doctor`: each control attempted on this host, the runtimes, and every setting with where it
//! came from.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use agentic_sandbox::{Control, Enforcement, HostReport, Sandbox, probe};
use serde_json::{Value, json};

use crate::args::{DoctorArgs, Language};
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, Surroundings, Typed};
use crate::terminal::{Appearance, Colour};
use crate::warn;
use crate::{fix, program};

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    if args.fix {
        return fix::run(args);
    }
    let settings = Settings::decide(Surroundings::find(args.place.directory.as_deref())?, Typed::default())?;
    let report = Sandbox::new(settings.config.spawner.clone())
        .map(|sandbox| probe(&sandbox))
        .map_err(|error| Failure::new(ExitCode::Unenforceable, format!("failed to try the sandbox: {error}")))?;
    let runtimes: Vec<(&str, std::result::Result<Value, String>)> =
        [Language::Python, Language::Bash, Language::Javascript]
            .into_iter()
            .map(|language| (language.as_str(), program::describe_runtime(&settings.config, language)))
            .collect();
    let host = host(&settings);
    // Tier B has no namespaces by its nature, and says so.
    let off = report.enforced.values().any(|state| matches!(state, Enforcement::Off(_)));
    let sound = report.refused.is_none() && (report.tier == "B" || !off);
    if args.json {
        let settings_json: Vec<Value> = settings
            .decided
            .iter()
            .map(|decided| {
                json!({
                    "name": decided.key.name,
                    "value": decided.value.as_ref().map(ToString::to_string),
                    "default": decided.key.default,
                    "from": decided.origin.to_string(),
                    "what": decided.key.what,
                })
            })
            .collect();
        let object = json!({
            "tier": report.tier,
            "controls": report.enforced,
            "refused": report.refused,
            "advice": report.advice.iter().map(|(control, advice)| (name(*control), advice)).collect::<BTreeMap<_, _>>(),
            "runtimes": runtimes
                .iter()
                .map(|(name, found)| {
                    let value = found.clone().unwrap_or_else(|why| json!({ "error": why }));
                    ((*name).to_owned(), value)
                })
                .collect::<BTreeMap<String, Value>>(),
            "host": host.iter().cloned().collect::<BTreeMap<_, _>>(),
            "state": settings.config.state,
            "settings": settings_json,
            "warnings": settings.warnings,
        });
        writeln!(std::io::stdout(), "{object}")?;
    } else {
        warn(&settings.warnings);
        print(&settings, &report, &runtimes, &host)?;
    }
    Ok(if sound { ExitCode::Succeeded } else { ExitCode::Unenforceable })
}

fn print(
    settings: &Settings,
    report: &HostReport,
    runtimes: &[(&str, std::result::Result<Value, String>)],
    host: &[(String, String)],
) -> Result<()> {
    let look = Appearance::of_stdout();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", look.paint(Colour::Bold, "Controls"))?;
    writeln!(out, "  {:<18} {}", "isolation tier", report.tier)?;
    if let Some(why) = &report.refused {
        writeln!(out, "  {} {}", look.paint(Colour::Red, "a run is refused:"), look.foreign(why))?;
    }
    for (control, state) in &report.enforced {
        let (word, colour, reason) = match state {
            Enforcement::Active => ("active", Colour::Green, ""),
            Enforcement::Degraded(reason) => ("degraded", Colour::Yellow, reason.as_str()),
            Enforcement::Off(reason) => ("off", Colour::Red, reason.as_str()),
        };
        let word = look.paint(colour, &format!("{word:<8}"));
        let line = format!("  {:<18} {word} {}", name(*control), look.foreign(reason));
        writeln!(out, "{}", line.trim_end())?;
    }
    for (control, advice) in &report.advice {
        writeln!(out, "  {} {}: {}", look.paint(Colour::Cyan, "to do for"), name(*control), look.foreign(advice))?;
    }
    writeln!(out, "{}", look.paint(Colour::Bold, "Runtimes"))?;
    for (language, found) in runtimes {
        match found {
            Ok(runtime) => {
                let text = |key: &str| runtime.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                writeln!(
                    out,
                    "  {language:<18} {} {}",
                    look.foreign(&text("executable")),
                    look.foreign(&text("version"))
                )?;
            }
            Err(why) => {
                writeln!(out, "  {language:<18} {} {}", look.paint(Colour::Yellow, "absent:"), look.foreign(why))?
            }
        }
    }
    writeln!(out, "{}", look.paint(Colour::Bold, "Host"))?;
    for (fact, value) in host {
        writeln!(out, "  {fact:<18} {}", look.foreign(value))?;
    }
    writeln!(out, "  {:<18} {}", "state", look.foreign(&settings.config.state.display().to_string()))?;
    writeln!(out, "{}", look.paint(Colour::Bold, "Settings"))?;
    for decided in &settings.decided {
        let value = decided.value.as_ref().map_or_else(|| decided.key.default.to_owned(), ToString::to_string);
        writeln!(
            out,
            "  {:<32} {:<24} {}",
            decided.key.name,
            look.foreign(&value),
            look.paint(Colour::Dim, &decided.origin.to_string())
        )?;
    }
    for rule in &settings.rules {
        writeln!(out, "  {:<32} {}", "approval", look.foreign(&rule.to_string()))?;
    }
    Ok(())
}

/// A control by the name that settings and flags use.
fn name(control: Control) -> String {
    serde_json::to_value(control).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What the kernel and its configuration say about themselves.
fn host(settings: &Settings) -> Vec<(String, String)> {
    let uname = rustix::system::uname();
    let text = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let mut facts = vec![
        ("kernel".to_owned(), format!("{} {}", uname.release().to_string_lossy(), uname.machine().to_string_lossy())),
        ("user".to_owned(), format!("uid {}", rustix::process::geteuid().as_raw())),
        ("memory".to_owned(), format!("{} MB", settings.config.host.memory / agentic_sandbox::MB)),
        ("processors".to_owned(), std::thread::available_parallelism().map_or(1, usize::from).to_string()),
    ];
    let cgroup = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        format!("v2 ({})", text("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default())
    } else if Path::new("/sys/fs/cgroup").is_dir() {
        "v1".to_owned()
    } else {
        "none".to_owned()
    };
    facts.push(("cgroup".to_owned(), cgroup));
    for (fact, path) in [
        ("security modules", "/sys/kernel/security/lsm"),
        ("user namespaces", "/proc/sys/user/max_user_namespaces"),
        ("userns restricted", "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        ("userns clone", "/proc/sys/kernel/unprivileged_userns_clone"),
    ] {
        facts.extend(text(path).map(|value| (fact.to_owned(), value)));
    }
    let overlay = text("/proc/filesystems").is_some_and(|list| list.lines().any(|line| line.ends_with("overlay")));
    facts.push(("overlayfs".to_owned(), if overlay { "yes" } else { "not loaded" }.to_owned()));
    facts
}
