//! Writes, moves and removals of a whole call: all of them or none.

use std::io;

use super::draft::Draft;
use crate::tools::ToolResult;
use crate::tools::place::Place;

/// One change on the disk and what takes it back.
struct Step<'a, 'd> {
    place: &'d Place<'a>,
    /// What is there now, with its permission bits.
    before: Option<(&'d [u8], Option<u32>)>,
    /// What is to be there.
    after: Option<&'d [u8]>,
    mode: Option<u32>,
    executable: Option<bool>,
}

/// Writes every draft, or puts back what was done when one fails.
pub(crate) fn write_all(drafts: &[Draft<'_>]) -> Result<(), ToolResult> {
    let mut steps: Vec<Step<'_, '_>> = Vec::new();
    for draft in drafts {
        let before = draft.before.as_deref().map(|bytes| (bytes, draft.mode));
        let after = (!draft.removed).then_some(draft.after.as_slice());
        let step = Step { place: &draft.place, before, after, mode: None, executable: draft.executable };
        match &draft.from {
            None => steps.push(step),
            // A moved file keeps its permission bits.
            Some(from) => {
                steps.push(Step { before: None, mode: draft.mode, ..step });
                steps.push(Step { place: from, before, after: None, mode: None, executable: None });
            }
        }
    }
    for (index, step) in steps.iter().enumerate() {
        if let Err(error) = step.take() {
            let mut failure = step.place.failed("edit", &error);
            // The failing step may have got halfway: written, and its permission bits refused.
            for done in steps[..=index].iter().rev() {
                // Both are told: the failure, and the failure of the cleanup.
                if let (Err(error), Some(message)) = (done.take_back(), failure.error.as_mut()) {
                    message.push_str(&format!("; and failed to put {} back: {error}", done.place.text()));
                }
            }
            return Err(failure);
        }
    }
    Ok(())
}

impl Step<'_, '_> {
    fn take(&self) -> io::Result<()> {
        let Place { dir, rel, .. } = self.place;
        let Some(after) = self.after else { return dir.remove_file(rel) };
        if let (None, Some(parent)) = (&self.before, rel.parent().filter(|parent| !parent.as_os_str().is_empty())) {
            dir.create_dir_all(parent)?;
        }
        dir.write(rel, after, self.mode)?;
        let Some(executable) = self.executable else { return Ok(()) };
        let mode = self.place.metadata()?.mode;
        // As chmod +x under a umask: who may read may run.
        let wanted = if executable { mode | ((mode & 0o444) >> 2) } else { mode & !0o111 };
        if wanted == mode { Ok(()) } else { dir.write(rel, after, Some(wanted)) }
    }
    fn take_back(&self) -> io::Result<()> {
        let Place { dir, rel, .. } = self.place;
        let undone = match self.before {
            Some((bytes, mode)) if dir.read(rel, bytes.len() as u64).is_ok_and(|now| now == bytes) => {
                if self.place.metadata()?.mode == mode.unwrap_or_default() {
                    Ok(())
                } else {
                    dir.write(rel, bytes, mode)
                }
            }
            Some((bytes, mode)) => dir.write(rel, bytes, mode),
            None => dir.remove_file(rel),
        };
        // It had not been made.
        match undone {
            Err(error) if self.before.is_none() && !matches!(error.kind(), io::ErrorKind::PermissionDenied) => Ok(()),
            other => other,
        }
    }
}
