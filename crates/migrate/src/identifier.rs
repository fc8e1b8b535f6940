//! The rule `identifier`: whole names, found as words in the text and then looked up in the syntax tree.

use memchr::memmem::Finder;

use crate::edit::{Edit, Edits};
use crate::error::Problem;
use crate::language::Language;
use crate::limits::Allowance;
use crate::places::{Place, places};
use crate::report::Reason;
use crate::roles::Part;
use crate::syntax::Draft;

/// A rename, ready to run.
#[derive(Debug)]
pub(crate) struct Identifier {
    from: Finder<'static>,
    length: usize,
    to: String,
    code: bool,
    strings: bool,
    comments: bool,
}

impl Identifier {
    pub(crate) fn compile(from: &str, to: &str, parts: &[Part]) -> Result<Self, Problem> {
        for (field, name) in [("identifier.from", from), ("identifier.to", to)] {
            if !is_identifier(name) {
                let help = "an identifier is letters, digits, `_` and `$`, and begins with no digit; \
                            for anything else use `regex` or `pattern`";
                return Err(Problem::of(field, format!("{name:?} is no identifier"), help));
            }
        }
        if from == to {
            return Err(Problem::of("identifier.to", format!("`{to}` is the old name"), "give another one"));
        }
        if parts.is_empty() {
            let help = "leave it out for code, or name some of `code`, `strings`, `comments`";
            return Err(Problem::of("identifier.in", "the list is empty, so nothing would be renamed", help));
        }
        Ok(Self {
            from: Finder::new(from).into_owned(),
            length: from.len(),
            to: to.to_owned(),
            code: parts.contains(&Part::Code),
            strings: parts.contains(&Part::Strings),
            comments: parts.contains(&Part::Comments),
        })
    }

    /// Whether it applies to text of no known language: there all is code.
    pub(crate) fn takes_text(&self) -> bool {
        self.code
    }

    pub(crate) fn may_match(&self, text: &str) -> bool {
        self.from.find(text.as_bytes()).is_some()
    }

    pub(crate) fn find(
        &self,
        draft: &mut Draft<'_>,
        language: Option<Language>,
        allowance: &Allowance,
    ) -> Result<Edits, Reason> {
        let text = draft.text();
        let mut starts: Vec<usize> =
            self.from.find_iter(text.as_bytes()).filter(|start| is_word(text, *start, self.length)).collect();
        if starts.is_empty() {
            return Ok(Edits::default());
        }
        if let Some(language) = language {
            let places = places(draft.parsed(language, allowance)?, language, &starts, self.length);
            let mut places = places.into_iter();
            starts.retain(|_| match places.next() {
                Some(Place::Name) => self.code,
                Some(Place::String) => self.strings,
                Some(Place::Comment) => self.comments,
                Some(Place::Other) | None => false,
            });
        }
        let made = starts.into_iter().map(|start| Edit { range: start..start + self.length, new: self.to.clone() });
        Ok(Edits { made: made.collect(), overlapping: Vec::new() })
    }
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_alphabetic() || matches!(first, '_' | '$'))
        && letters.all(|letter| is_part(letter) || letter == '$')
}

fn is_part(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether no letter, digit or underscore stands before or after.
fn is_word(text: &str, start: usize, length: usize) -> bool {
    !text[..start].chars().next_back().is_some_and(is_part)
        && !text[start + length..].chars().next().is_some_and(is_part)
}
