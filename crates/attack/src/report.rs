//! What came of it: a row an attempt, a line a group, and whether all is well.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::attempt::Group;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "why")]
pub enum Outcome {
    /// It heard exactly the refusal that was expected; the line.
    Refused(String),
    /// It got through; the line.
    Escaped(String),
    /// Neither: a failure of the corpus, and counted as one.
    Inconclusive(String),
    /// It cannot be made here, for this reason.
    Skipped(String),
    /// It got through, and this kind of enclosure says that it may; the sentence.
    NotPromised(String),
}

/// What its control came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "why")]
pub enum Control {
    /// It got through without the barrier.
    Shown,
    /// It did not, so that the refusal proves nothing.
    NotShown(String),
    /// It cannot be run here, for this reason.
    Skipped(String),
    /// Outside, this kernel answers that it has none of what is attempted, by this line.
    Lacking(String),
}

/// One attempt's result.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The attempt.
    pub id: &'static str,
    /// What somebody would gain.
    pub what: &'static str,
    /// Its group.
    pub group: Group,
    /// What it came to.
    pub outcome: Outcome,
    /// What its controls came to.
    pub controls: Vec<Control>,
}

impl Row {
    /// Whether a control failed.
    pub fn unproven(&self) -> Option<&str> {
        self.controls.iter().find_map(|control| match control {
            Control::NotShown(why) => Some(why.as_str()),
            _ => None,
        })
    }
    /// Whether some control was seen to work.
    pub fn shown(&self) -> bool {
        self.controls.contains(&Control::Shown)
    }
    /// Whether this row is as it must be.
    pub fn sound(&self) -> bool {
        let as_it_must = matches!(self.outcome, Outcome::Refused(_) | Outcome::Skipped(_) | Outcome::NotPromised(_));
        as_it_must && self.unproven().is_none()
    }
}

/// The results of attempts in one enclosure.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Where they ran.
    pub enclosure: String,
    /// In the order of the corpus.
    pub rows: Vec<Row>,
}

/// The numbers of some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Attempts.
    pub attempts: usize,
    /// Refused as expected, and no control failed.
    pub refused: usize,
    /// Got through.
    pub escapes: usize,
    /// Neither, or with a control that failed.
    pub inconclusive: usize,
    /// Not made.
    pub skipped: usize,
    /// Got through, where the documents say that this kind of enclosure does not promise otherwise.
    pub not_promised: usize,
    /// Of those refused: with a control that was seen to work here.
    pub proven: usize,
}

impl Counts {
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut counts = Self::default();
        for row in rows {
            counts.attempts += 1;
            match &row.outcome {
                Outcome::Escaped(_) => counts.escapes += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
                Outcome::NotPromised(_) => counts.not_promised += 1,
                Outcome::Refused(_) if row.unproven().is_none() => {
                    counts.refused += 1;
                    counts.proven += usize::from(row.shown());
                }
                Outcome::Refused(_) | Outcome::Inconclusive(_) => counts.inconclusive += 1,
            }
        }
        counts
    }
}

impl Report {
    /// The numbers of all rows.
    pub fn counts(&self) -> Counts {
        Counts::of(self.rows.iter())
    }
    /// The numbers group by group, in the order of the groups; groups without rows are left out.
    pub fn by_group(&self) -> Vec<(Group, Counts)> {
        let of = |group: Group| (group, Counts::of(self.rows.iter().filter(|row| row.group == group)));
        Group::ALL.iter().map(|group| of(*group)).filter(|(_, counts)| counts.attempts > 0).collect()
    }
    /// Nothing escaped and nothing was inconclusive.
    pub fn sound(&self) -> bool {
        let counts = self.counts();
        counts.escapes == 0 && counts.inconclusive == 0
    }
    /// What is not as it must be, a line each.
    pub fn findings(&self) -> Vec<String> {
        let line = |row: &Row| match &row.outcome {
            Outcome::Escaped(line) => Some(format!("ESCAPED {}: {} ({line})", row.id, row.what)),
            Outcome::Inconclusive(why) => Some(format!("INCONCLUSIVE {}: {why}", row.id)),
            _ => row.unproven().map(|why| format!("INCONCLUSIVE {}: its control did not work: {why}", row.id)),
        };
        self.rows.iter().filter_map(line).collect()
    }
    /// What no control showed here: attempts by reason, the most frequent first. A reason is cut where it names what is
    /// of one attempt alone.
    pub fn without_a_control(&self) -> Vec<(String, Vec<&'static str>)> {
        let mut by_reason: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for row in
            self.rows.iter().filter(|row| matches!(row.outcome, Outcome::Refused(_)) && !row.shown() && row.sound())
        {
            let first = row.controls.iter().find_map(|control| match control {
                Control::Skipped(why) => Some(why.as_str()),
                Control::Lacking(_) => Some("this kernel has none"),
                Control::Shown | Control::NotShown(_) => None,
            });
            let reason = first.unwrap_or("it has none").split([':', '(']).next().unwrap_or_default().trim();
            by_reason.entry(reason.to_owned()).or_default().push(row.id);
        }
        let mut reasons: Vec<_> = by_reason.into_iter().collect();
        reasons.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
        reasons
    }
    /// What was not made, and what no control showed here, each with its reasons.
    pub fn remarks(&self) -> Vec<String> {
        let line = |row: &Row| match &row.outcome {
            Outcome::Skipped(why) => Some(format!("skipped {}: {why}", row.id)),
            Outcome::NotPromised(sentence) => Some(format!("not promised {}: {sentence}", row.id)),
            _ if !row.shown() && row.sound() => {
                let why: Vec<String> = row
                    .controls
                    .iter()
                    .map(|control| match control {
                        Control::Skipped(why) | Control::NotShown(why) => why.clone(),
                        Control::Lacking(line) => format!("this kernel has none ({line})"),
                        Control::Shown => String::new(),
                    })
                    .collect();
                Some(format!("no control here for {}: {}", row.id, why.join("; ")))
            }
            _ => None,
        };
        self.rows.iter().filter_map(line).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["attempts", "refused", "escapes", "inconclusive", "skipped", "not promised", "proven here"];
        writeln!(f, "{:<16}{}", self.enclosure, head.map(|name| format!("{name:>13}")).concat())?;
        let mut line = |name: &str, counts: Counts| {
            let Counts { attempts, refused, escapes, inconclusive, skipped, not_promised, proven } = counts;
            let numbers = [attempts, refused, escapes, inconclusive, skipped, not_promised, proven];
            writeln!(f, "{name:<16}{}", numbers.map(|number| format!("{number:>13}")).concat())
        };
        for (group, counts) in self.by_group() {
            line(group.name(), counts)?;
        }
        line("all", self.counts())
    }
}
