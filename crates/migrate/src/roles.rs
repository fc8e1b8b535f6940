//! Which parts of a file are code, strings and comments. Grammars call these, and identifiers, by many names; [`Role`]
//! is what the rules need of them.

use std::ops::Range;
use std::sync::OnceLock;

use ast_grep_core::tree_sitter::LanguageExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::syntax::Parsed;

/// A part of a file that a rule may be confined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// What is neither string nor comment; also the code within a string, as in Python's `f"{name}"`.
    Code,
    /// Strings with their quotes, characters, the texts of JSX.
    Strings,
    /// Comments with their marks.
    Comments,
}

/// What a kind of node is to the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Other,
    /// An identifier.
    Name,
    /// A word of bash: a name only where it names a command or a function.
    Word,
    /// The parent of such a word.
    Naming,
    /// Holds an identifier that is none: a lifetime, a label of Rust.
    Lifetime,
    /// The body of a macro of C, which is text to the grammar.
    Body,
    /// A use of a macro of Rust.
    Macro,
    String,
    Comment,
    /// Code within a string.
    Interpolation,
}

impl Role {
    fn of(kind: &str) -> Self {
        match kind {
            "identifier"
            | "type_identifier"
            | "field_identifier"
            | "shorthand_field_identifier"
            | "property_identifier"
            | "shorthand_property_identifier"
            | "shorthand_property_identifier_pattern"
            | "statement_identifier"
            | "package_identifier"
            | "namespace_identifier"
            | "label_name"
            | "variable_name" => Self::Name,
            "word" => Self::Word,
            "command_name" | "function_definition" => Self::Naming,
            "lifetime" | "label" => Self::Lifetime,
            "preproc_arg" => Self::Body,
            "macro_invocation" => Self::Macro,
            "string"
            | "string_literal"
            | "raw_string_literal"
            | "char_literal"
            | "character_literal"
            | "template_string"
            | "jsx_text"
            | "interpreted_string_literal"
            | "rune_literal"
            | "raw_string"
            | "ansi_c_string"
            | "heredoc_body" => Self::String,
            "comment" | "line_comment" | "block_comment" | "html_comment" | "hash_bang_line" => Self::Comment,
            "interpolation"
            | "template_substitution"
            | "string_interpolation"
            | "simple_expansion"
            | "expansion"
            | "command_substitution"
            | "process_substitution"
            | "arithmetic_expansion" => Self::Interpolation,
            _ => Self::Other,
        }
    }
    /// Which part a node of this role is, within a node of `part`.
    pub(crate) fn part(self, part: Part) -> Part {
        match self {
            Self::String => Part::Strings,
            Self::Comment => Part::Comments,
            Self::Interpolation => Part::Code,
            _ => part,
        }
    }
}

/// The roles of a language's kinds of nodes, by number.
pub(crate) fn roles(language: Language) -> &'static [Role] {
    static ROLES: [OnceLock<Vec<Role>>; Language::ALL.len()] = [const { OnceLock::new() }; Language::ALL.len()];
    ROLES[language as usize].get_or_init(|| {
        let grammar = language.grammar().get_ts_language();
        let role = |id: u16| match grammar.node_kind_is_named(id) {
            true => grammar.node_kind_for_id(id).map_or(Role::Other, Role::of),
            false => Role::Other,
        };
        (0..u16::try_from(grammar.node_kind_count()).unwrap_or(u16::MAX)).map(role).collect()
    })
}

pub(crate) fn role(roles: &[Role], kind: u16) -> Role {
    // The kind of an error node is beyond the table.
    roles.get(usize::from(kind)).copied().unwrap_or(Role::Other)
}

/// The file as runs of code, strings and comments, in order and without a gap.
pub(crate) fn parts(parsed: &Parsed, language: Language) -> Vec<(Range<usize>, Part)> {
    let roles = roles(language);
    // Where another part begins.
    let mut marks = vec![(0, Part::Code)];
    let mut cursor = parsed.root().get_inner_node().walk();
    let mut above = vec![Part::Code];
    'nodes: loop {
        let node = cursor.node();
        let outer = *above.last().expect("the root has an entry of its own");
        let part = role(roles, node.kind_id()).part(outer);
        if part != outer {
            marks.push((node.start_byte(), part));
        }
        if part != Part::Comments && cursor.goto_first_child() {
            above.push(part);
            continue;
        }
        if part != outer {
            marks.push((node.end_byte(), outer));
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                break 'nodes;
            }
            let part = above.pop().expect("a parent has an entry");
            let outer = *above.last().expect("the root has an entry of its own");
            if part != outer {
                marks.push((cursor.node().end_byte(), outer));
            }
        }
    }
    let ends = marks[1..].iter().map(|(start, _)| *start).chain([parsed.get_text().len()]);
    marks.iter().zip(ends).map(|((start, part), end)| (*start..end, *part)).filter(|(run, _)| !run.is_empty()).collect()
}
