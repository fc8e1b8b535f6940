//! A text on its way through the rules, parsed at most once for each of its states.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use ast_grep_core::AstGrep;
use ast_grep_core::tree_sitter::{LanguageExt, StrDoc};
use ast_grep_language::SupportLang;
use tree_sitter::{InputEdit, ParseOptions, ParseState, Parser, Point, Tree};

use crate::edit::Edit;
use crate::language::Language;
use crate::limits::Allowance;
use crate::report::Reason;

/// The most edits that a tree is told of. Beyond, a new parse is quicker.
const MOST_EDITS: usize = 1000;

/// A text with its syntax tree.
pub(crate) type Parsed = AstGrep<StrDoc<SupportLang>>;

/// A text, and its tree from the moment that one is asked for.
pub(crate) struct Draft<'t> {
    state: State<'t>,
    /// The language as which it could not be parsed in time, so that no second rule waits for it.
    slow: Option<Language>,
}

enum State<'t> {
    Text(Cow<'t, str>),
    /// With the tree of the text before, told of what changed since: the new parse takes over what it can.
    Edited(Cow<'t, str>, Language, Tree),
    Parsed(Language, Parsed),
}

impl<'t> Draft<'t> {
    pub(crate) fn new(text: impl Into<Cow<'t, str>>) -> Self {
        Self { state: State::Text(text.into()), slow: None }
    }

    pub(crate) fn text(&self) -> &str {
        match &self.state {
            State::Text(text) | State::Edited(text, ..) => text,
            State::Parsed(_, parsed) => parsed.get_text(),
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.state.into_text()
    }

    /// The draft of `text`, which these edits make of this one's.
    pub(crate) fn edited<'n>(&self, edits: &[Edit], text: String) -> Draft<'n> {
        let state = match &self.state {
            // Each edit is a walk through the tree.
            State::Parsed(language, parsed) if edits.len() <= MOST_EDITS => {
                let mut tree = parsed.root().get_doc().tree.clone();
                tell(&mut tree, parsed.get_text(), edits);
                State::Edited(text.into(), *language, tree)
            }
            _ => State::Text(text.into()),
        };
        Draft { state, slow: None }
    }

    /// Parses anew without the tree of the text before, in case that one is to blame for an error.
    pub(crate) fn reparsed(&mut self, language: Language, allowance: &Allowance) -> Result<&Parsed, Reason> {
        self.state = State::Text(std::mem::take(&mut self.state).into_text().into());
        self.parsed(language, allowance)
    }

    pub(crate) fn parsed(&mut self, language: Language, allowance: &Allowance) -> Result<&Parsed, Reason> {
        if self.slow == Some(language) {
            return Err(Reason::TooSlow);
        }
        if !matches!(&self.state, State::Parsed(known, _) if *known == language) {
            let old = match &self.state {
                State::Edited(_, known, tree) if *known == language => Some(tree),
                _ => None,
            };
            let Some(tree) = parse(self.text(), language, old, allowance) else {
                self.slow = Some(language);
                return Err(Reason::TooSlow);
            };
            let src = std::mem::take(&mut self.state).into_text();
            self.state = State::Parsed(language, AstGrep::doc(StrDoc { src, lang: language.grammar(), tree }));
        }
        match &self.state {
            State::Parsed(_, parsed) => Ok(parsed),
            _ => unreachable!("it was parsed just now"),
        }
    }
}

impl Default for State<'_> {
    fn default() -> Self {
        Self::Text(Cow::Borrowed(""))
    }
}

impl State<'_> {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Edited(text, ..) => text.into_owned(),
            Self::Parsed(_, parsed) => parsed.generate(),
        }
    }
}

/// Moves the nodes of a tree to where these edits of its text leave them.
fn tell(tree: &mut Tree, text: &str, edits: &[Edit]) {
    let mut places = Points { text, at: 0, point: Point::new(0, 0) };
    let changes: Vec<InputEdit> = edits
        .iter()
        .map(|Edit { range, new }| {
            let start_position = places.of(range.start);
            let mut inserted = Points { text: new, at: 0, point: start_position };
            InputEdit {
                start_byte: range.start,
                old_end_byte: range.end,
                new_end_byte: range.start + new.len(),
                start_position,
                old_end_position: places.of(range.end),
                new_end_position: inserted.of(new.len()),
            }
        })
        .collect();
    // From the last to the first, so that what was counted in the old text stays true.
    for change in changes.iter().rev() {
        tree.edit(change);
    }
}

/// Rows and byte columns, from 0, of ascending places.
struct Points<'t> {
    text: &'t str,
    at: usize,
    point: Point,
}

impl Points<'_> {
    fn of(&mut self, offset: usize) -> Point {
        let passed = &self.text.as_bytes()[self.at..offset];
        match memchr::memrchr(b'\n', passed) {
            Some(last) => {
                self.point.row += memchr::memchr_iter(b'\n', passed).count();
                self.point.column = passed.len() - last - 1;
            }
            None => self.point.column += passed.len(),
        }
        self.at = offset;
        self.point
    }
}

thread_local! {
    /// A parser sets up tables for its language: one for each language and thread.
    static PARSERS: RefCell<HashMap<Language, Parser>> = RefCell::default();
}

/// The tree of a text, unless it takes too long.
pub(crate) fn parse(text: &str, language: Language, old: Option<&Tree>, allowance: &Allowance) -> Option<Tree> {
    PARSERS.with_borrow_mut(|parsers| {
        let parser = parsers.entry(language).or_insert_with(|| {
            let mut parser = Parser::new();
            let grammar = language.grammar().get_ts_language();
            parser.set_language(&grammar).expect("the grammars that are compiled in fit the parser");
            parser
        });
        let bytes = text.as_bytes();
        let mut read = |offset: usize, _| bytes.get(offset..).unwrap_or_default();
        let mut progress = |_: &ParseState| match allowance.is_over() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let tree = parser.parse_with_options(&mut read, old, Some(options));
        // A parse that was broken off would be resumed by the next.
        parser.reset();
        tree
    })
}

/// The first stretch of the text that the grammar does not know, if there is one.
pub(crate) fn first_error(parsed: &Parsed) -> Option<Range<usize>> {
    let root = parsed.root().get_inner_node();
    if !root.has_error() {
        return None;
    }
    let mut cursor = root.walk();
    loop {
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            return Some(node.byte_range());
        }
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(root.byte_range());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::Limits;

    fn error(text: &str, language: Language) -> Option<Range<usize>> {
        first_error(Draft::new(text).parsed(language, &Allowance::begin(Limits::default())).unwrap())
    }

    #[test]
    fn the_first_error_is_found() {
        assert_eq!(error("a = 1\n", Language::Python), None);
        assert_eq!(error("a = 1\nb = (\n", Language::Python), Some(6..11));
        assert!(error("fn f() { g( }", Language::Rust).is_some());
    }

    #[test]
    fn a_parse_that_takes_too_long_is_given_up() {
        let limits = Limits { time: Duration::ZERO, ..Limits::default() };
        let text = "x = [1, 2, 3]\n".repeat(2000);
        let mut draft = Draft::new(text.as_str());
        assert_eq!(draft.parsed(Language::Python, &Allowance::begin(limits)).err(), Some(Reason::TooSlow));
        let enough = Allowance::begin(Limits::default());
        assert!(draft.parsed(Language::Python, &enough).is_err(), "not tried again");
        assert!(Draft::new(text.as_str()).parsed(Language::Python, &enough).is_ok(), "the parser starts anew");
    }

    #[test]
    fn a_text_may_be_parsed_as_another_language() {
        let mut draft = Draft::new("int a;\n");
        let allowance = Allowance::begin(Limits::default());
        assert!(first_error(draft.parsed(Language::C, &allowance).unwrap()).is_none());
        assert!(first_error(draft.parsed(Language::Cpp, &allowance).unwrap()).is_none());
        assert_eq!(draft.text(), "int a;\n");
        assert_eq!(draft.into_text(), "int a;\n");
    }

    /// Kinds and places of all nodes.
    fn nodes(parsed: &Parsed) -> Vec<(u16, Range<usize>, bool)> {
        let nodes = parsed.root();
        let nodes = nodes.dfs().map(|node| (node.kind_id(), node.range(), node.is_missing()));
        nodes.collect()
    }

    const FILE: [(Language, &str); 4] = [
        (
            Language::Python,
            "class A:\n    def f(self, x=1):\n        return f'{x} a' + \"\"\"b\n\"\"\"  # c\n\nif a:\n  b()\n",
        ),
        (Language::Rust, "fn f<'a>(x: &'a str) -> u8 { /* c */ match x { r#\"a\"# => 1, _ => g!(x + 1) } }\n"),
        (Language::Tsx, "const a = `b ${c}`;\nfunction f(x: T) { return <A b={x}>c {d}</A>; } // e\n"),
        (Language::Bash, "f() { echo \"$a ${b}\"; }\ncat <<E | g\na $b\nE\nif [ -n x ]; then h; fi\n"),
    ];

    proptest::proptest! {
        /// A tree that was told of edits and parsed again is the tree of the new text, unless the old or the new text
        /// has errors: how far these reach depends on the way there.
        #[test]
        fn an_edited_text_is_parsed_as_a_new_one(
            file in 0..FILE.len(),
            places in proptest::collection::btree_set(0..90usize, 1..5),
            new in proptest::sample::select(vec!["", "a", "xyz", " ", "\n", "(a)", "'s'", "1", "\r\n    a"]),
        ) {
            let (language, text) = FILE[file];
            let allowance = Allowance::begin(Limits::default());
            let mut draft = Draft::new(text);
            draft.parsed(language, &allowance).unwrap();
            let made: Vec<Edit> = places
                .into_iter()
                .filter(|place| place + 1 < text.len())
                .map(|place| Edit { range: place..place + 1, new: new.to_owned() })
                .collect();
            let edits = crate::edit::Edits { made, overlapping: Vec::new() };
            let after = edits.apply(text, 10_000).unwrap();
            let mut edited = draft.edited(&edits.made, after.clone());
            let mut anew = Draft::new(after.as_str());
            let (edited, anew) = (edited.parsed(language, &allowance).unwrap(), anew.parsed(language, &allowance).unwrap());
            proptest::prop_assert_eq!(edited.get_text(), anew.get_text());
            if first_error(anew).is_none() {
                proptest::prop_assert_eq!(nodes(edited), nodes(anew), "{}", after);
            }
        }
    }
}
