//! `agentic doctor --attack`: the attack corpus against the sandbox of this host, beside the controls that this host can
//! run. Controls that need a spawner without a barrier are the test suite's alone; what they prove is said.

use std::io::Write;

use agentic_attack::{Cold, Control, Group, Outcome, Report, Runner, groups};
use agentic_sandbox::Sandbox;
use serde_json::json;

use crate::args::DoctorArgs;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, Surroundings, Typed};
use crate::terminal::{Appearance, Colour};

/// How many attempts at once: most of one is waiting.
const AT_ONCE: usize = 4;

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let settings = Settings::decide(Surroundings::find(args.place.directory.as_deref())?, Typed::default())?;
    let sandbox = Sandbox::new(settings.config.spawner)
        .map_err(|error| Failure::new(ExitCode::Unenforceable, format!("failed to try the sandbox: {error}")))?;
    let attempts = match &args.group {
        None => groups::corpus(),
        Some(name) => groups::of(group(name)?),
    };
    let enclosure = Cold::new(sandbox);
    let report = Runner { enclosure: &enclosure, weakened: None, width: AT_ONCE }.run(&attempts);
    if args.json {
        let groups: Vec<_> =
            report.by_group().into_iter().map(|(group, counts)| json!({ "group": group, "counts": counts })).collect();
        let object = json!({
            "enclosure": report.enclosure,
            "sound": report.sound(),
            "counts": report.counts(),
            "groups": groups,
            "attempts": report.rows,
        });
        writeln!(std::io::stdout(), "{object}")?;
    } else {
        print(&report)?;
    }
    Ok(if report.sound() { ExitCode::Succeeded } else { ExitCode::Unenforceable })
}

fn group(name: &str) -> Result<Group> {
    Group::ALL.iter().copied().find(|group| group.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Group::ALL.iter().map(|group| group.name()).collect();
        Failure::new(ExitCode::BadInput, format!("there is no group `{name}`; the groups are {}", names.join(", ")))
    })
}

fn print(report: &Report) -> Result<()> {
    let look = Appearance::of_stdout();
    let mut out = std::io::stdout().lock();
    write!(out, "{report}")?;
    for line in report.findings() {
        writeln!(out, "{} {}", look.paint(Colour::Red, "finding:"), look.foreign(&line))?;
    }
    for row in &report.rows {
        if let Outcome::Skipped(why) = &row.outcome {
            writeln!(out, "skipped {}: {}", row.id, look.foreign(why))?;
        }
    }
    let elsewhere = report
        .rows
        .iter()
        .filter(|row| !row.shown() && !row.controls.iter().any(|c| matches!(c, Control::NotShown(_))));
    let elsewhere = elsewhere.count();
    if elsewhere > 0 {
        writeln!(
            out,
            "{elsewhere} attempts have no control that this host could run now: it is in the test suite, or the kernel lacks what is attempted (--json says which)"
        )?;
    }
    Ok(())
}
