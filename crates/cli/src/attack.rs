//! `agentic doctor --attack`: the attack corpus against the sandbox of this host, in the tier that it has, beside the
//! controls that this host can run. Controls that need a spawner without a barrier are the test suite's alone, which is
//! said.

use std::fmt;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::PoisonError;

use agentic_attack::{Cold, Counts, Group, Outcome, Report, Row, Runner, groups};
use agentic_executor::Cancel;
use agentic_sandbox::{Sandbox, probe};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::args::DoctorArgs;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, Surroundings, Typed};
use crate::signals::Watch;
use crate::terminal::{Appearance, Colour};

/// How many attempts at once: most of one is waiting.
const AT_ONCE: usize = 4;

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let settings = Settings::decide(Surroundings::find(args.place.directory.as_deref())?, Typed::default())?;
    let attempts = match &args.group {
        None => groups::corpus(),
        Some(name) => groups::of(group(name)?),
    };
    let (cancel, progress) = (Cancel::default(), Progress::start(attempts.len()));
    let _watch = Watch::start(&cancel, progress.on_first_signal())?;
    let refuse = |why: String| {
        progress.end();
        Failure::new(ExitCode::Unenforceable, why)
    };
    let sandbox =
        Sandbox::new(settings.config.spawner).map_err(|error| refuse(format!("failed to try the sandbox: {error}")))?;
    let host = probe(&sandbox);
    if let Some(why) = host.refused {
        return Err(refuse(format!(
            "there is nothing to attack: this host refuses every run ({why}); see agentic doctor"
        )));
    }
    let enclosure = if host.tier == "B" { Cold::without_namespaces(sandbox) } else { Cold::new(sandbox) };
    let runner = Runner { enclosure: &enclosure, weakened: None, width: AT_ONCE };
    let report = runner.run_watched(&attempts, &|row| {
        if cancel.is_cancelled() {
            return ControlFlow::Break(());
        }
        row.inspect(|row| progress.row(row));
        ControlFlow::Continue(())
    });
    progress.end();
    let stopped = report.rows.len() < attempts.len();
    if args.json {
        let groups: Vec<_> =
            report.by_group().into_iter().map(|(group, counts)| json!({ "group": group, "counts": counts })).collect();
        let object = json!({
            "enclosure": report.enclosure,
            "tier": host.tier,
            "root": rustix::process::geteuid().is_root(),
            "kernel": rustix::system::uname().release().to_string_lossy(),
            "stopped": stopped,
            "sound": report.sound(),
            "counts": report.counts(),
            "groups": groups,
            "attempts": report.rows,
        });
        writeln!(std::io::stdout(), "{object}")?;
    } else {
        print(&report, &host.tier, attempts.len())?;
    }
    let counts = report.counts();
    Ok(match () {
        () if !report.sound() => ExitCode::Unenforceable,
        () if stopped => ExitCode::Cancelled,
        // What was only skipped shows nothing.
        () if counts.refused == 0 => ExitCode::Unenforceable,
        () => ExitCode::Succeeded,
    })
}

fn group(name: &str) -> Result<Group> {
    Group::ALL.iter().copied().find(|group| group.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Group::ALL.iter().map(|group| group.name()).collect();
        Failure::new(ExitCode::BadInput, format!("there is no group `{name}`; the groups are {}", names.join(", ")))
    })
}

/// How far it is, on standard error where that is a terminal.
struct Progress {
    bar: Option<ProgressBar>,
    counts: Mutex<[usize; 2]>,
}

impl Progress {
    fn start(attempts: usize) -> Self {
        let live = Appearance::of_stderr().live;
        let bar = live.then(|| ProgressBar::new(attempts as u64));
        if let Some(bar) = &bar {
            if let Ok(style) = ProgressStyle::with_template("{pos} of {len} attempts  {elapsed}  {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_message("a minute or more");
            bar.enable_steady_tick(std::time::Duration::from_millis(500));
        }
        Self { bar, counts: Mutex::new([0; 2]) }
    }
    fn row(&self, row: &Row) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts[0] += usize::from(matches!(row.outcome, Outcome::Escaped(_)));
        counts[1] += usize::from(!row.sound() && !matches!(row.outcome, Outcome::Escaped(_)));
        if let Some(bar) = &self.bar {
            bar.inc(1);
            let [escapes, inconclusive] = *counts;
            bar.set_message(match (escapes, inconclusive) {
                (0, 0) => row.id.to_owned(),
                _ => format!("{escapes} escaped, {inconclusive} inconclusive"),
            });
        }
    }
    fn on_first_signal(&self) -> impl Fn() + Send + 'static + use<> {
        let bar = self.bar.clone();
        move || {
            const SAID: &str = "agentic: ending; what is on its way is waited for, a second Ctrl-C ends at once";
            match &bar {
                Some(bar) => bar.println(SAID),
                None => {
                    let _gone = writeln!(std::io::stderr(), "{SAID}");
                }
            }
        }
    }
    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Some counts as a line that fits everywhere: what is zero is left out, but for what was refused.
struct Line(Counts);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { attempts, refused, escapes, inconclusive, skipped, not_promised, proven } = self.0;
        write!(f, "{refused:>3} of {attempts:>3} refused, {proven:>3} with a control")?;
        let rest = [
            (escapes, "ESCAPED"),
            (inconclusive, "INCONCLUSIVE"),
            (not_promised, "not promised here"),
            (skipped, "skipped"),
        ];
        rest.iter().filter(|(number, _)| *number > 0).try_for_each(|(number, what)| write!(f, ", {number} {what}"))
    }
}

fn print(report: &Report, tier: &str, wanted: usize) -> Result<()> {
    let look = Appearance::of_stdout();
    let mut out = std::io::stdout().lock();
    let user = if rustix::process::geteuid().is_root() { "root" } else { "an ordinary user" };
    writeln!(out, "{} in tier {tier}, as {user}", look.paint(Colour::Bold, "Attack corpus"))?;
    for (group, counts) in report.by_group() {
        writeln!(out, "  {:<15} {}", group.name(), Line(counts))?;
    }
    writeln!(out, "  {:<15} {}", "all", Line(report.counts()))?;
    for line in report.findings() {
        writeln!(out, "{} {}", look.paint(Colour::Red, "finding:"), look.foreign(&line))?;
    }
    for row in &report.rows {
        match &row.outcome {
            Outcome::Skipped(why) => writeln!(out, "skipped: {}: {}", row.id, look.foreign(why))?,
            Outcome::NotPromised(why) => {
                writeln!(out, "not promised: {}: {} (SECURITY.md)", row.id, look.foreign(why))?
            }
            Outcome::Refused(_) | Outcome::Escaped(_) | Outcome::Inconclusive(_) => {}
        }
    }
    let without = report.without_a_control();
    if !without.is_empty() {
        writeln!(out, "Refused, without a control that this host could run now (--json names each):")?;
        for (reason, ids) in without {
            writeln!(out, "  {:>3}  {}", ids.len(), look.foreign(&reason))?;
        }
    }
    let made = report.rows.len();
    if made < wanted {
        writeln!(out, "{} after {made} of {wanted} attempts", look.paint(Colour::Yellow, "stopped"))?;
    } else if report.sound() && report.counts().refused > 0 {
        writeln!(out, "{}: nothing got through, and nothing was inconclusive", look.paint(Colour::Green, "sound"))?;
    } else if report.sound() {
        writeln!(out, "{}: no attempt could be made", look.paint(Colour::Red, "nothing is shown"))?;
    }
    Ok(())
}
