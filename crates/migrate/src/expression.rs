//! The rule `regex`: a regular expression and what it is replaced by, over the text or over its code, strings or
//! comments alone.
//!
//! A part of a file is searched with a view of what stands around it, so that `^` and `\b` mean there what they mean in
//! the file.

use std::ops::Range;

use regex_automata::meta::{self, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::{Input, Span};
use regex_syntax::ParserBuilder;

use crate::edit::{Edit, Edits, LineEnds, short};
use crate::error::{Problem, names};
use crate::form::RegexForm;
use crate::language::Language;
use crate::limits::Allowance;
use crate::report::Reason;
use crate::roles::{Part, parts};
use crate::syntax::Draft;

/// The largest compiled expression, as in the crate `regex`. A search takes time in proportion to it, at worst.
const MOST_BYTES: usize = 10 << 20;

/// A regular expression with its replacement, ready to run.
#[derive(Debug)]
pub(crate) struct Expression {
    regex: Regex,
    replacement: Vec<Piece>,
    part: Option<Part>,
}

/// A piece of a replacement.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Expression {
    pub(crate) fn compile(form: &RegexForm) -> Result<Self, Problem> {
        let field = "regex.pattern";
        let shown = short(&form.pattern);
        let syntax = ParserBuilder::new()
            .multi_line(form.multi_line)
            .dot_matches_new_line(form.dot_all)
            .case_insensitive(form.ignore_case)
            // CR LF ends a line as LF does, whatever the file has.
            .crlf(true)
            .nest_limit(100)
            .build()
            .parse(&form.pattern)
            .map_err(|error| {
                let help =
                    "the syntax is that of Rust's crate `regex`, which has no look-around and no back-references";
                Problem::of(field, format!("bad regular expression {shown:?}: {}", reason(&error)), help)
            })?;
        let Some(least) = syntax.properties().minimum_len() else {
            return Err(Problem::of(field, format!("{shown:?} matches nothing"), "mend it, or leave the rule out"));
        };
        if least == 0 {
            let help = "make it match at least one character: `+` in place of `*`, or the text beside the place";
            return Err(Problem::of(field, format!("{shown:?} can match the empty text"), help));
        }
        let regex = meta::Builder::new()
            .configure(Regex::config().nfa_size_limit(Some(MOST_BYTES)))
            .build_from_hir(&syntax)
            .map_err(|error| {
                let problem = format!("the expression cannot be compiled: {}", crate::error::chain(&error));
                Problem::of(field, problem, "use smaller counts in `{m,n}`, or several rules")
            })?;
        let groups: Vec<Option<&str>> = regex.group_info().pattern_names(regex_automata::PatternID::ZERO).collect();
        let replacement = pieces(&form.replacement, &groups)?;
        Ok(Self { regex, replacement, part: form.scope.part() })
    }

    /// Whether it has to know the language of a file.
    pub(crate) fn needs_language(&self) -> bool {
        self.part.is_some()
    }

    pub(crate) fn may_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    pub(crate) fn find(
        &self,
        draft: &mut Draft<'_>,
        language: Option<Language>,
        allowance: &Allowance,
    ) -> Result<Edits, Reason> {
        let spans: Vec<_> = match (self.part, language) {
            (Some(part), Some(language)) => {
                let parts = parts(draft.parsed(language, allowance)?, language).into_iter();
                parts.filter(|(_, found)| *found == part).map(|(span, _)| span).collect()
            }
            _ => std::iter::once(0..draft.text().len()).collect(),
        };
        let text = draft.text();
        let ends = LineEnds::of(text);
        let mut made = Vec::new();
        let mut size = text.len();
        let mut captures = self.regex.create_captures();
        for span in spans {
            let mut rest = span;
            while self.next(text, &mut rest, &mut captures) {
                let Some(found) = captures.get_match() else { break };
                let new = ends.adapt(self.replace(text, &captures));
                // Every match may be replaced by the whole text: look before it is too much.
                size += new.len();
                if size > 2 * allowance.limits.bytes.max(text.len()) {
                    return Err(Reason::ResultTooLarge);
                }
                if text[found.range()] != new {
                    made.push(Edit { range: found.range(), new });
                }
                if allowance.is_over() {
                    return Err(Reason::TooSlow);
                }
            }
        }
        Ok(Edits { made, overlapping: Vec::new() })
    }

    fn next(&self, text: &str, rest: &mut Range<usize>, captures: &mut Captures) -> bool {
        let input = Input::new(text).span(Span { start: rest.start, end: rest.end });
        self.regex.search_captures(&input, captures);
        captures.get_match().is_some_and(|found| {
            rest.start = found.end();
            // An empty match, which only look-around in odd places could bring about, would never end.
            !found.is_empty()
        })
    }

    fn replace(&self, text: &str, captures: &Captures) -> String {
        let mut new = String::new();
        for piece in &self.replacement {
            match piece {
                Piece::Text(piece) => new.push_str(piece),
                Piece::Group(group) => {
                    new.push_str(captures.get_group(*group).map_or("", |span| &text[span.range()]));
                }
            }
        }
        new
    }
}

/// What is wrong with an expression, and where.
fn reason(error: &regex_syntax::Error) -> String {
    let (kind, column) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.column),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span().start.column),
        other => return other.to_string(),
    };
    format!("{kind}, at column {column}")
}

/// Reads `$1`, `${name}` and `$$`.
fn pieces(replacement: &str, groups: &[Option<&str>]) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = replacement;
    while let Some(dollar) = rest.find('$') {
        text.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
            continue;
        }
        let (name, after, braced) = match rest.strip_prefix('{') {
            Some(inner) => match inner.split_once('}') {
                Some((name, after)) => (name, after, true),
                None => return Err(no_name("`${` without `}`")),
            },
            None => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                (&rest[..end], &rest[end..], false)
            }
        };
        if name.is_empty() {
            return Err(no_name("`$` without the name of a group"));
        }
        let group = match name.parse::<usize>() {
            Ok(number) => (number < groups.len()).then_some(number),
            Err(_) => groups.iter().position(|group| *group == Some(name)),
        };
        let Some(group) = group else { return Err(no_group(name, braced, groups)) };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Group(group));
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn no_name(problem: &str) -> Problem {
    Problem::of("regex.replacement", problem, "write `$1`, `${name}`, or `$$` for a dollar sign")
}

fn no_group(name: &str, braced: bool, groups: &[Option<&str>]) -> Problem {
    let digits = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    if !braced && digits > 0 && digits < name.len() {
        let (number, rest) = name.split_at(digits);
        let help = format!("write `${{{number}}}{rest}` for group {number} and the text `{rest}`");
        return Problem::of("regex.replacement", format!("the pattern has no group `{name}`"), help);
    }
    let mut known: Vec<String> = (0..groups.len()).map(|number| number.to_string()).collect();
    known.extend(groups.iter().flatten().map(ToString::to_string));
    let help = format!("its groups are {}; `$$` is a dollar sign", names(known.iter().map(String::as_str)));
    Problem::of("regex.replacement", format!("the pattern has no group `{name}`"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_is_text_and_groups() {
        let groups = [None, Some("name"), None];
        let read = |text| pieces(text, &groups).unwrap();
        assert_eq!(read("a $1 ${name}b$$ $0"), {
            use Piece::{Group, Text};
            [Text("a ".into()), Group(1), Text(" ".into()), Group(1), Text("b$ ".into()), Group(0)]
        });
        assert_eq!(read(""), []);
        assert_eq!(read("${2}x"), [Piece::Group(2), Piece::Text("x".into())]);
    }

    #[test]
    fn a_replacement_names_only_groups_that_are_there() {
        let groups = [None, Some("name")];
        let problem = |text| {
            let problem = pieces(text, &groups).unwrap_err();
            format!("{}; {}", problem.problem, problem.help)
        };
        assert_eq!(
            problem("$2"),
            "the pattern has no group `2`; its groups are `0`, `1`, `name`; `$$` is a dollar sign"
        );
        assert_eq!(problem("$1a"), "the pattern has no group `1a`; write `${1}a` for group 1 and the text `a`");
        assert!(problem("${nam}").starts_with("the pattern has no group `nam`; "));
        assert!(problem("US$ 5").starts_with("`$` without the name of a group; "));
        assert!(problem("${name").starts_with("`${` without `}`; "));
    }
}
