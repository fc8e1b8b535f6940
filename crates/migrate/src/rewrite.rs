//! The rules over one text: each over the result of the last, its result checked before it is taken.

use std::path::Path;
use std::time::Instant;

use crate::edit::{Edits, Places, short};
use crate::language::Language;
use crate::limits::{Allowance, Limits};
use crate::report::{Applied, Left, Match, NotIdempotent, Reason, Rewrite};
use crate::rule::Rule;
use crate::syntax::{Draft, first_error};
use crate::target::Target;

/// How often a rule that left overlapping matches is tried again before it counts as one that never settles.
const PROBES: usize = 10;

pub(crate) fn rewrite(rules: &[Rule], path: &Path, text: &str, limits: Limits) -> Rewrite {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let mut report = Rewrite::default();
    let mut draft = Draft::new(body);
    let mut changed = false;
    let target = Target::new(path);
    for rule in rules {
        let Some(language) = rule.reads(&target) else { continue };
        if !rule.may_match(draft.text(), language) {
            continue;
        }
        let began = Instant::now();
        let mut turn = Turn { rule, language, allowance: Allowance::begin(limits), told: Told::default() };
        match turn.run(&mut draft) {
            Ok(Some(result)) => {
                draft = result;
                changed = true;
            }
            Ok(None) => {}
            Err(left) => {
                turn.told = Told { left: vec![left], ..Told::default() };
            }
        }
        let Told { matches, count, left, again, parses } = turn.told;
        report.matches.extend(matches);
        report.left.extend(left);
        report.not_idempotent.extend(again);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        report.applied.push(Applied { rule: rule.id.clone(), matches: count, parses, micros });
    }
    if changed && draft.text() != body {
        report.text = Some(match mark {
            "" => draft.into_text(),
            mark => format!("{mark}{}", draft.text()),
        });
    }
    report
}

/// One rule's turn at one text.
struct Turn<'r> {
    rule: &'r Rule,
    language: Option<Language>,
    allowance: Allowance,
    told: Told,
}

/// What is known of a rule's result.
#[derive(PartialEq, Eq)]
enum Check {
    Parses,
    /// Nobody asked, or can tell.
    Unknown,
    /// It parses no longer, because of a change in this line of the text before.
    Breaks(usize),
}

/// What is told of a turn.
#[derive(Default)]
struct Told {
    matches: Vec<Match>,
    count: usize,
    left: Vec<Left>,
    again: Option<NotIdempotent>,
    parses: bool,
}

impl Turn<'_> {
    /// The result of the rule, if it changes something.
    fn run<'t>(&mut self, before: &mut Draft<'t>) -> Result<Option<Draft<'t>>, Left> {
        if before.text().len() > self.allowance.limits.bytes {
            return Err(self.left(1, Reason::FileTooLarge));
        }
        let mut result: Option<Draft<'t>> = None;
        let mut overlapping = 0;
        let mut settled = false;
        for _ in 0..self.rule.repeat {
            let source = result.as_mut().unwrap_or(before);
            let edits = self.find(source)?;
            overlapping = edits.overlapping.len();
            self.told.left = self.overlaps(source.text(), &edits);
            if edits.made.is_empty() {
                settled = true;
                break;
            }
            let mut next = self.apply(&edits, source)?;
            self.note(source.text(), &edits);
            match self.check(source, &mut next, &edits)? {
                Check::Breaks(line) => return Err(self.left(line, Reason::WouldNotParse)),
                check => self.told.parses = check == Check::Parses,
            }
            result = Some(next);
        }
        if let Some(result) = &mut result
            && self.rule.idempotent
            && !settled
        {
            self.told.again = self.again(result, overlapping);
        }
        Ok(result)
    }

    fn left(&self, line: usize, reason: Reason) -> Left {
        Left { rule: self.rule.id.clone(), line, reason }
    }

    fn find(&self, draft: &mut Draft<'_>) -> Result<Edits, Left> {
        self.rule.find(draft, self.language, &self.allowance).map_err(|reason| self.left(1, reason))
    }

    fn apply<'t>(&self, edits: &Edits, draft: &Draft<'_>) -> Result<Draft<'t>, Left> {
        let result = edits.apply(draft.text(), self.allowance.limits.bytes);
        let text = result.ok_or_else(|| self.left(1, Reason::ResultTooLarge))?;
        Ok(draft.edited(&edits.made, text))
    }

    /// Whether the next state of `source` parses.
    fn check(&self, source: &mut Draft<'_>, next: &mut Draft<'_>, edits: &Edits) -> Result<Check, Left> {
        let Some(language) = self.language.filter(|_| self.rule.syntax_check) else { return Ok(Check::Unknown) };
        let slow = |reason| self.left(1, reason);
        if first_error(next.parsed(language, &self.allowance).map_err(slow)?).is_none() {
            return Ok(Check::Parses);
        }
        let anew = next.reparsed(language, &self.allowance).map_err(slow)?;
        let Some(error) = first_error(anew) else { return Ok(Check::Parses) };
        if first_error(source.parsed(language, &self.allowance).map_err(slow)?).is_some() {
            return Ok(Check::Unknown);
        }
        let start = edits.nearest(&error).map_or(0, |edit| edit.range.start);
        Ok(Check::Breaks(Places::new(source.text()).of(start).0))
    }

    fn note(&mut self, text: &str, edits: &Edits) {
        self.told.count += edits.made.len();
        let mut places = Places::new(text);
        let room = Rewrite::KEPT.saturating_sub(self.told.matches.len());
        for edit in edits.made.iter().take(room) {
            let (line, column) = places.of(edit.range.start);
            self.told.matches.push(Match {
                rule: self.rule.id.clone(),
                line,
                column,
                before: short(&text[edit.range.clone()]),
                after: short(&edit.new),
            });
        }
    }

    fn overlaps(&self, text: &str, edits: &Edits) -> Vec<Left> {
        let mut places = Places::new(text);
        let starts = edits.overlapping.iter().take(Rewrite::KEPT);
        starts.map(|start| self.left(places.of(*start).0, Reason::Overlaps)).collect()
    }

    /// What the rule would change in its own result. Matches that it left because they overlap are no such thing: they
    /// are replaced first, as often as that takes.
    fn again(&self, result: &mut Draft<'_>, mut overlapping: usize) -> Option<NotIdempotent> {
        let mut probe: Option<Draft<'_>> = None;
        for turn in 0..PROBES {
            let draft = probe.as_mut().unwrap_or(result);
            if !self.rule.may_match(draft.text(), self.language) {
                return None;
            }
            // What takes too long to check is not known to be wrong.
            let edits = self.find(draft).ok()?;
            let edit = edits.made.first()?;
            if overlapping == 0 || turn + 1 == PROBES {
                let text = draft.text();
                return Some(NotIdempotent {
                    rule: self.rule.id.clone(),
                    line: Places::new(text).of(edit.range.start).0,
                    before: short(&text[edit.range.clone()]),
                    after: short(&edit.new),
                });
            }
            overlapping = edits.overlapping.len();
            probe = Some(self.apply(&edits, draft).ok()?);
        }
        None
    }
}
