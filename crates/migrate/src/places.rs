//! What stands where a word was found in a text: a name, or a word in a string or a comment.
//!
//! Two texts hold names that their grammar does not show: the body of a macro of C, and a format of Rust, which takes up
//! variables by `{name}`. A rename that spared them would leave code that does not compile.

use crate::language::Language;
use crate::roles::{Part, Role, role, roles};
use crate::syntax::Parsed;

/// What stands at a place where a word was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The whole of an identifier.
    Name,
    /// A word in a string.
    String,
    /// A word in a comment.
    Comment,
    /// Anything else.
    Other,
}

/// A node on the way to the one that is looked at.
#[derive(Clone, Copy)]
struct Above {
    part: Part,
    role: Role,
    /// Within a macro whose strings are formats.
    format: bool,
}

/// Says for each of `starts`, ascending, what the word of `length` bytes there is. Branches of the tree without one are
/// not entered.
pub(crate) fn places(parsed: &Parsed, language: Language, starts: &[usize], length: usize) -> Vec<Place> {
    let roles = roles(language);
    let text = parsed.get_text();
    let mut places = Vec::with_capacity(starts.len());
    let mut cursor = parsed.root().get_inner_node().walk();
    let mut path = vec![Above { part: Part::Code, role: Role::Other, format: false }];
    loop {
        let node = cursor.node();
        let above = *path.last().expect("the root has an entry of its own");
        fill(&mut places, starts, node.start_byte(), above.part);
        let Some(&start) = starts.get(places.len()) else { return places };
        if start < node.end_byte() {
            let role = role(roles, node.kind_id());
            let part = role.part(above.part);
            let format = match role {
                Role::Macro => {
                    let name = node.child_by_field_name("macro");
                    name.is_some_and(|name| takes_format(&text[name.byte_range()]))
                }
                _ => above.format,
            };
            if cursor.goto_first_child() {
                path.push(Above { part, role, format });
                continue;
            }
            let end = node.end_byte();
            let name = match role {
                Role::Name => above.role != Role::Lifetime,
                Role::Word => above.role == Role::Naming,
                _ => false,
            };
            if name && node.byte_range() == (start..start + length) {
                places.push(Place::Name);
            } else if role == Role::Body || format && part == Part::Strings {
                while let Some(&start) = starts.get(places.len()).filter(|start| **start < end) {
                    let (before, after) = (&text[node.start_byte()..start], &text[start + length..end]);
                    let name = if role == Role::Body { !is_quoted(before) } else { is_taken_up(before, after) };
                    places.push(if name { Place::Name } else { Place::String });
                }
            }
            fill(&mut places, starts, end, part);
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                fill(&mut places, starts, usize::MAX, Part::Code);
                return places;
            }
            let left = path.pop().expect("a parent has an entry");
            fill(&mut places, starts, cursor.node().end_byte(), left.part);
        }
    }
}

/// What is before `end` and in no child is in the node itself, of this part.
fn fill(places: &mut Vec<Place>, starts: &[usize], end: usize, part: Part) {
    while starts.get(places.len()).is_some_and(|start| *start < end) {
        places.push(match part {
            Part::Code => Place::Other,
            Part::Strings => Place::String,
            Part::Comments => Place::Comment,
        });
    }
}

/// Whether what follows this beginning of a macro's body is within quotes.
fn is_quoted(before: &str) -> bool {
    let mut open = None;
    let mut bytes = before.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' | b'\'' if open.is_none() => open = Some(byte),
            _ if open == Some(byte) => open = None,
            _ => {}
        }
    }
    open.is_some()
}

/// Whether the strings of a macro of this path are formats, by its name: those of the standard library, and those of the
/// same names in the usual crates for logs and errors.
fn takes_format(path: &str) -> bool {
    let name = path.rsplit("::").next().unwrap_or(path).trim();
    matches!(
        name,
        "format"
            | "format_args"
            | "print"
            | "println"
            | "eprint"
            | "eprintln"
            | "write"
            | "writeln"
            | "panic"
            | "todo"
            | "unreachable"
            | "unimplemented"
            | "assert"
            | "assert_eq"
            | "assert_ne"
            | "debug_assert"
            | "debug_assert_eq"
            | "debug_assert_ne"
            | "trace"
            | "debug"
            | "info"
            | "warn"
            | "error"
            | "log"
            | "anyhow"
            | "bail"
            | "ensure"
    )
}

/// Whether a word between these is the name in `{name}`, `{name:…}` or `{:name$}` of a format; `{{` is a brace.
fn is_taken_up(before: &str, after: &str) -> bool {
    let braces = before.len() - before.trim_end_matches('{').len();
    if after.starts_with('$') {
        let open = before.rfind('{').is_some_and(|open| !before[open..].contains('}'));
        return open && before.contains(':');
    }
    braces % 2 == 1 && after.starts_with(['}', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_takes_up_names_in_braces() {
        for (before, after) in [("a {", "}"), ("{", ":>8}"), ("{{{", "}}}"), ("{:>", "$}"), ("{x:.", "$}")] {
            assert!(is_taken_up(before, after), "{before}name{after}");
        }
        for (before, after) in [("a ", " b"), ("{{", "}}"), ("{x.", "}"), ("{", ""), ("} ", "$")] {
            assert!(!is_taken_up(before, after), "{before}name{after}");
        }
        assert!(takes_format("log::info") && takes_format("println") && !takes_format("json"));
    }

    #[test]
    fn quotes_end_where_they_began() {
        assert!(is_quoted("f(\"a") && is_quoted("'\"") && is_quoted("\"\\\""));
        assert!(!is_quoted("f(\"a\"") && !is_quoted("") && !is_quoted("\"'\""));
    }
}
