//! What a patch makes of one file, in memory.

use serde_json::{Map, Value, json};

use super::parse::{Action, FilePatch, Form, Hunk, Op};
use super::placing::{Misplaced, Target, new_text, old_text};
use crate::cause::Cause;
use crate::tools::ToolResult;
use crate::tools::edit::{Draft, Lines, Positions, Tier, failure, listed, nearest, omits, placeholder};
use crate::tools::place::{Place, Places};
use crate::tools::validate::ArgumentError;
use crate::workspace::FileKind;

/// A file as it is to be, and what to tell about it.
pub(super) struct Changed<'a> {
    pub(super) draft: Draft<'a>,
    pub(super) facts: Facts,
}

/// What the patch said and how it agreed.
pub(super) struct Facts {
    action: Action,
    /// Lines of the patch and tiers.
    hunks: Vec<(usize, Tier)>,
}

const POINTER: &str = "/patch";

impl<'a> Changed<'a> {
    /// The file that `file` speaks of, changed as it says.
    pub(super) fn by(file: &FilePatch, form: Form, places: &Places<'a>) -> Result<Self, ToolResult> {
        let told = |failure: ToolResult| failure.with("patch_line", file.line);
        Self::change(file, form, places)
            .map_err(|failure| if failure.metadata.contains_key("patch_line") { failure } else { told(failure) })
    }

    fn change(file: &FilePatch, form: Form, places: &Places<'a>) -> Result<Self, ToolResult> {
        let place = places.find(&file.path, POINTER)?;
        let path = place.text();
        let gone = file.action == Action::Delete || file.to.is_some();
        if gone && place.dir.metadata(&place.rel).is_ok_and(|metadata| metadata.kind == FileKind::Symlink) {
            return Err(refused(
                format!("{path} is a symbolic link; a patch deletes and moves regular files only"),
                "a file",
            ));
        }
        let mut draft = if file.hunks.is_empty() { Draft::open_bytes(place, None)? } else { Draft::open(place, None)? };
        match (file.action, draft.before.is_some()) {
            (Action::Add, true) => {
                let message =
                    format!("{path} is there already; a patch adds only what is not (update it, or delete it first)");
                return Err(refused(message, "a file that is not there"));
            }
            (Action::Update | Action::Delete, false) => {
                return Err(ToolResult::failure(Cause::NotFound, format!("File not found: {path}")).with("path", path));
            }
            _ => {}
        }
        let mut facts = Facts { action: file.action, hunks: Vec::new() };
        for hunk in &file.hunks {
            let new: String = hunk.renewed().flat_map(|line| [line.text.as_str(), "\n"]).collect();
            if let Some(line) = placeholder(&old_text(hunk), &new) {
                return Err(omits(&path, "the patch", line, POINTER).with("patch_line", hunk.line));
            }
        }
        if file.action == Action::Add {
            draft.create(new_text(&file.hunks));
        } else {
            facts.hunks = place_all(&mut draft, file, form)?;
        }
        if file.action == Action::Delete {
            let left = Lines::of(&draft.after, draft.units(), draft.body()).lines.len();
            if form == Form::Unified && left > 0 {
                let message = format!(
                    "the patch deletes {path} but not all that is in it: {left} of its lines are not in the patch"
                );
                return Err(failure(message, &path, &[], POINTER, 0));
            }
            draft.removed = true;
        }
        draft.executable = file.executable;
        if let Some(to) = &file.to {
            let target = places.find(to, POINTER)?;
            if target.dir.metadata(&target.rel).is_ok() {
                let message = format!("failed to move {path}: {} is there already", target.text());
                return Err(refused(message, "a path where nothing is"));
            }
            draft.from = Some(std::mem::replace(&mut draft.place, target));
        }
        Ok(Self { draft, facts })
    }

    /// The same, unless another spelling of one of its paths has come before.
    pub(super) fn apart_from(self, others: &[Self]) -> Result<Self, ToolResult> {
        let known: Vec<_> = others.iter().flat_map(|other| real(&other.draft)).collect();
        match real(&self.draft).into_iter().find(|path| known.contains(path)) {
            None => Ok(self),
            Some(_) => Err(refused(
                format!("{} is in the patch twice, under two names", self.draft.place.text()),
                "each file once",
            )),
        }
    }
}

/// Where a file is, links followed.
fn real(draft: &Draft<'_>) -> Vec<(std::path::PathBuf, std::path::PathBuf)> {
    let of = |place: &Place<'_>| {
        (place.dir.path().to_owned(), place.dir.resolve(&place.rel).unwrap_or_else(|_| place.rel.clone()))
    };
    [Some(&draft.place), draft.from.as_ref()].into_iter().flatten().map(of).collect()
}

fn refused(message: String, expected: &str) -> ToolResult {
    ArgumentError::refused(POINTER, expected, message).into()
}

/// Puts every hunk into its place.
fn place_all(draft: &mut Draft<'_>, file: &FilePatch, form: Form) -> Result<Vec<(usize, Tier)>, ToolResult> {
    let beyond =
        |op: Op| file.hunks.iter().flat_map(|hunk| &hunk.lines).any(|line| line.op == op && !line.text.is_ascii());
    if beyond(Op::Add) && !beyond(Op::Keep) && !beyond(Op::Remove) {
        draft.speaks_utf8(POINTER)?;
    }
    let (units, encoding) = (draft.units(), draft.encoding());
    let text = draft.after.clone();
    let target = Target {
        whole: Lines::of(&text, units, draft.body()),
        form,
        encode: |text: &str| encoding.encode(text, false).map(std::borrow::Cow::into_owned),
    };
    let placed = target.place(&file.hunks).map_err(|(index, why)| misplaced(draft, file, index, &why))?;
    let positions = Positions::of(&text, units);
    let loosest = placed.tiers.iter().copied().max().unwrap_or(Tier::Exact);
    draft.put(&placed.changes, loosest, &positions);
    Ok(file.hunks.iter().zip(placed.tiers).map(|(hunk, tier)| (hunk.line, tier)).collect())
}

/// The words for a hunk without a place.
fn misplaced(draft: &Draft<'_>, file: &FilePatch, index: usize, why: &Misplaced) -> ToolResult {
    let path = draft.place.text();
    let hunk: &Hunk = &file.hunks[index];
    let which = format!("hunk {} of {} in {path} (line {} of the patch)", index + 1, file.hunks.len(), hunk.line);
    let of = |message: String, lines: &[usize], count| failure(message, &path, lines, POINTER, count);
    let unified = hunk.stated.is_some();
    let result = match why {
        Misplaced::Nowhere => {
            let (words, facts) = nearest(&path, &draft.text(), &old_text(hunk));
            let mut failure = of(format!("{which} fits nowhere: its lines are not in{words}"), &[], 0);
            failure.metadata.extend(facts);
            failure
        }
        Misplaced::Ambiguous(lines) => {
            let help = if unified {
                "and not at the line that it names; make the diff with more context, or its line number right"
            } else {
                "give it more context lines, or an `@@` line that stands above the right one"
            };
            of(format!("{which} fits at {} places ({}); {help}", lines.len(), listed(lines)), lines, lines.len())
        }
        Misplaced::NoSuchBlock(head) => {
            of(format!("{which} is to be below the line {head:?}, and no line of {path} reads like that there"), &[], 0)
        }
        Misplaced::NoContext if unified => of(
            format!("{which} has no line of the file to find its place by; make the diff with context (-U1 or more)"),
            &[],
            0,
        ),
        Misplaced::NoContext => of(
            format!(
                "{which} adds lines and does not say where: give it context lines, an `@@` line that stands above, or `*** End of File`"
            ),
            &[],
            0,
        ),
        Misplaced::OutOfOrder(line) => of(
            format!("{which} fits at line {line}, before the end of the hunk before it; hunks go from top to bottom"),
            &[*line],
            1,
        ),
        Misplaced::Indentation(line) => of(
            format!(
                "{which} fits with another indentation, and line {line} of its new lines cannot be indented that way; give it as it is to stand in the file"
            ),
            &[],
            1,
        ),
        Misplaced::Unspeakable(character) => refused(
            format!("{which}: {} has no {character:?}", draft.encoding().name()),
            "characters that the file's encoding has",
        ),
    };
    result.with("hunk", index + 1).with("patch_line", hunk.line)
}

impl Facts {
    fn action(&self, draft: &Draft<'_>) -> &'static str {
        match self.action {
            _ if draft.from.is_some() => "move",
            Action::Add => "add",
            Action::Delete => "delete",
            Action::Update => "update",
        }
    }
    /// What was done, in a line.
    pub(super) fn line(&self, draft: &Draft<'_>) -> String {
        let path = draft.place.text();
        let hunks = match self.hunks.len() {
            0 => String::new(),
            1 => format!(": 1 hunk ({})", draft.ranges.join(", ")),
            count => format!(": {count} hunks ({})", draft.ranges.join(", ")),
        };
        let tolerated = crate::tools::edit::tolerated(draft.tier);
        match (&draft.from, self.action) {
            (Some(from), _) => format!("Moved {} to {path}{hunks}{tolerated}", from.text()),
            (None, Action::Add) => format!("Added {path}"),
            (None, Action::Delete) => format!("Deleted {path}"),
            (None, Action::Update) => format!("Updated {path}{hunks}{tolerated}"),
        }
    }
    pub(super) fn describe(&self, draft: &Draft<'_>) -> Map<String, Value> {
        let mut facts = draft.describe();
        facts.remove("occurrences");
        facts.insert("action".into(), self.action(draft).into());
        if let Some(from) = &draft.from {
            facts.insert("from".into(), from.text().into());
        }
        let hunks: Vec<Value> = self.hunks.iter().map(|(line, tier)| json!({"line": line, "tier": tier})).collect();
        facts.insert("hunks".into(), hunks.into());
        facts
    }
}
