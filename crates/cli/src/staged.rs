//! `agentic run --staged`: shows what the steps did, and asks whether it is to be applied.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_executor::workspace::{Difference, StagedChanges};

use crate::diff::{write_stat, write_unified};
use crate::engine::Review;
use crate::error::Result;
use crate::prompt::TerminalPrompt;
use crate::rollback::counted;
use crate::terminal::{Appearance, printable};

/// Lines of a diff that are shown without being asked for.
const MOST_LINES: usize = 100;

/// Who decides: the person at the terminal, after having seen it, or `--yes`.
pub(crate) fn review(terminal: Option<Arc<TerminalPrompt>>, workspace: PathBuf) -> Review {
    Arc::new(move |staged| terminal.as_ref().is_none_or(|terminal| asked(staged, terminal, &workspace)))
}

fn asked(staged: &StagedChanges, terminal: &TerminalPrompt, workspace: &Path) -> bool {
    let look = Appearance::of_stderr();
    let all = match staged.differences() {
        Ok(all) => all,
        Err(error) => {
            // What cannot be shown is not agreed to.
            crate::warn(&[format!("what the steps did cannot be shown, and is not applied: {error}")]);
            return false;
        }
    };
    let lines = all.iter().map(|one| one.unified(workspace).len()).sum::<usize>();
    let short = lines <= MOST_LINES;
    let mut failed = show(&all, workspace, look, short);
    let question = format!("Apply these changes to {} ({})? ", workspace.display(), counted(all.len()));
    let (choices, letters): (&[&str], _) =
        if short { (&["yes", "no"], "[y]es [n]o ") } else { (&["yes", "no", "diff"], "[y]es [n]o [d]iff ") };
    while failed.is_ok() {
        match terminal.choose(&printable(&format!("{question}{letters}")), choices) {
            Some("yes") => return true,
            Some("diff") => failed = show(&all, workspace, look, true),
            _ => return false,
        }
    }
    false
}

fn show(all: &[Difference], workspace: &Path, look: Appearance, whole: bool) -> Result<()> {
    let mut out = std::io::stderr().lock();
    if whole {
        write_unified(&mut out, all, workspace, look)?;
    }
    write_stat(&mut out, all, workspace, look)?;
    out.flush()?;
    Ok(())
}
