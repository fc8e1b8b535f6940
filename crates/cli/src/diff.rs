//! `agentic diff`: what a run or a step changed, as a unified diff that `git apply` takes.

use std::io::Write;
use std::path::{Path, PathBuf};

use agentic_executor::EventBody;
use agentic_executor::workspace::{Bytes, Difference, State, path_on_a_line};
use serde_json::json;

use crate::args::DiffArgs;
use crate::engine;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::history::settings;
use crate::terminal::{Appearance, Colour};

pub(crate) fn run(args: &DiffArgs) -> Result<ExitCode> {
    if args.run.trim().is_empty() {
        return Err(Failure::bad_input("the run's id is empty").hint("`agentic runs` lists the ids"));
    }
    let state = settings()?.config.state;
    let events = engine::events(&state, &args.run)?;
    let workspace = events.iter().find_map(|event| match &event.body {
        EventBody::RunStarted { workspace, .. } => Some(workspace.clone()),
        _ => None,
    });
    let shown = Shown { workspace: workspace.unwrap_or_default(), look: Appearance::of_stdout() };
    let differences = engine::differences(&state, &events, args.step.as_deref())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!(differences))?;
    } else if args.stat {
        write!(out, "{}", shown.stat(&differences))?;
    } else {
        for one in &differences {
            write!(out, "{}", shown.diff(one))?;
        }
    }
    Ok(ExitCode::Succeeded)
}

struct Shown {
    workspace: PathBuf,
    look: Appearance,
}

/// Widest bar of `--stat`.
const WIDEST: usize = 40;

impl Shown {
    fn name(&self, path: &Path) -> String {
        path_on_a_line(path.strip_prefix(&self.workspace).unwrap_or(path))
    }
    /// One path, with the head lines that git writes.
    fn diff(&self, one: &Difference) -> String {
        let name = self.name(&one.path);
        let bare = name.trim_start_matches('/');
        let (mut old, mut new) = (git_mode(&one.before), git_mode(&one.after));
        if old == new {
            (old, new) = (mode(&one.before), mode(&one.after));
        }
        let mut lines: Vec<String> = Vec::new();
        match (&one.before, &one.after) {
            (Some(State::Folder { .. }), None) => return format!("folder {} removed\n", self.look.foreign(&name)),
            (None, Some(State::Folder { .. })) => return format!("folder {} made\n", self.look.foreign(&name)),
            _ => {}
        }
        let mut head = vec![format!("diff --git a/{bare} b/{bare}")];
        match (&old, &new) {
            (None, Some(new)) => head.push(format!("new file mode {new}")),
            (Some(old), None) => head.push(format!("deleted file mode {old}")),
            (Some(old), Some(new)) if old != new => {
                head.push(format!("old mode {old}"));
                head.push(format!("new mode {new}"));
            }
            _ => {}
        }
        let ends = || {
            let end = |side: &str, there: bool| if there { format!("{side}/{bare}") } else { "/dev/null".to_owned() };
            (end("a", old.is_some()), end("b", new.is_some()))
        };
        let link = |state: &Option<State>| match state {
            Some(State::Symlink { target }) => Some(path_on_a_line(target)),
            _ => None,
        };
        let hunks = match &one.bytes {
            Bytes::Text { hunks, .. } => hunks.clone(),
            Bytes::Same => match (link(&one.before), link(&one.after)) {
                (None, None) => String::new(),
                (None, Some(new)) => format!("@@ -0,0 +1 @@\n+{new}\n\\ No newline at end of file\n"),
                (Some(old), None) => format!("@@ -1 +0,0 @@\n-{old}\n\\ No newline at end of file\n"),
                (Some(old), Some(new)) => {
                    format!("@@ -1 +1 @@\n-{old}\n\\ No newline at end of file\n+{new}\n\\ No newline at end of file\n")
                }
            },
            Bytes::Binary => {
                let (a, b) = ends();
                lines.push(format!("Binary files {a} and {b} differ"));
                String::new()
            }
            Bytes::Unknown => {
                lines.push("Its bytes were changed since, and were not kept.".into());
                String::new()
            }
        };
        if !hunks.is_empty() {
            let (a, b) = ends();
            head.extend([format!("--- {a}"), format!("+++ {b}")]);
        }
        let mut text = String::new();
        for line in head.iter().chain(&lines) {
            text.push_str(&self.look.paint(Colour::Bold, &self.look.foreign(line)));
            text.push('\n');
        }
        for line in hunks.split_inclusive('\n') {
            let plain = line.strip_suffix('\n').unwrap_or(line);
            let shown = self.look.foreign(plain);
            text.push_str(&match plain.as_bytes().first() {
                Some(b'+') => self.look.paint(Colour::Green, &shown),
                Some(b'-') => self.look.paint(Colour::Red, &shown),
                Some(b'@') => self.look.paint(Colour::Dim, &shown),
                _ => shown.into_owned(),
            });
            text.push('\n');
        }
        text
    }
    /// A line for each path, and their sum.
    fn stat(&self, all: &[Difference]) -> String {
        let names: Vec<String> = all.iter().map(|one| self.name(&one.path)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(60);
        let most = all.iter().map(|one| lines(one).map_or(0, |(added, removed)| added + removed)).max().unwrap_or(0);
        let (mut text, mut sum) = (String::new(), (0, 0));
        for (one, name) in all.iter().zip(&names) {
            let what = match lines(one) {
                Some((added, removed)) => {
                    sum = (sum.0 + added, sum.1 + removed);
                    let bar = |count: usize, sign: &str| {
                        let scaled = if most > WIDEST { (count * WIDEST).div_ceil(most) } else { count };
                        sign.repeat(scaled)
                    };
                    let (plus, minus) = (bar(added, "+"), bar(removed, "-"));
                    let (plus, minus) = (self.look.paint(Colour::Green, &plus), self.look.paint(Colour::Red, &minus));
                    format!("{:>5} {plus}{minus}", added + removed)
                }
                None => format!("  {}", other(one)),
            };
            text.push_str(&format!(" {:<width$} |{what}\n", self.look.foreign(name)));
        }
        let files = if all.len() == 1 { "path" } else { "paths" };
        text.push_str(&format!(" {} {files} changed, {} lines added, {} removed\n", all.len(), sum.0, sum.1));
        text
    }
}

fn lines(one: &Difference) -> Option<(usize, usize)> {
    match &one.bytes {
        Bytes::Text { added, removed, .. } => Some((*added, *removed)),
        _ => None,
    }
}

fn other(one: &Difference) -> String {
    let size = |state: &Option<State>| match state {
        Some(State::File { size, .. }) => *size,
        _ => 0,
    };
    match (&one.bytes, &one.before, &one.after) {
        (Bytes::Binary, ..) => format!("binary, {} -> {} bytes", size(&one.before), size(&one.after)),
        (Bytes::Unknown, ..) => "bytes that were changed since".into(),
        (_, _, Some(State::Symlink { target })) => format!("link -> {}", path_on_a_line(target)),
        (_, Some(State::Symlink { .. }), None) => "link removed".into(),
        (_, None, Some(State::Folder { .. })) => "folder made".into(),
        (_, Some(State::Folder { .. }), None) => "folder removed".into(),
        (_, before, after) => match (mode(before), mode(after)) {
            (Some(old), Some(new)) => format!("mode {old} -> {new}"),
            _ => "empty".into(),
        },
    }
}

/// The mode as git knows it: of permission bits, whether a file can be executed.
fn git_mode(state: &Option<State>) -> Option<String> {
    match state {
        Some(State::File { mode, .. }) => Some(if mode & 0o111 == 0 { "100644" } else { "100755" }.to_owned()),
        other => mode(other),
    }
}

/// Kind and permission bits, in octal.
fn mode(state: &Option<State>) -> Option<String> {
    Some(match state.as_ref()? {
        State::File { mode, .. } => format!("{:06o}", 0o100_000 | mode & 0o7777),
        State::Symlink { .. } => "120000".into(),
        State::Folder { mode } => format!("{:06o}", 0o040_000 | mode & 0o7777),
        State::Lost { .. } => return None,
    })
}
