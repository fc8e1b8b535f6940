//! Renaming an identifier in a file's bytes.
//!
//! Word characters are letters and digits of any script, `_`, `$`, and bytes from 0x80 on that are no UTF-8, so that
//! a name is never cut out of a longer one in any of the common languages (JavaScript and PHP names hold `$`; Python,
//! Rust and others take letters beyond ASCII). A sigil that is part of the reference and not of the name stays possible: where the name
//! to replace does not itself begin with `$`, one leading `$` (`$name` in PHP, shell, Perl) counts as a boundary.

/// How many bytes decide whether a file is binary.
const BINARY_HEAD: usize = 8 << 10;

/// Whether a file is to be left alone.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_HEAD)].contains(&0)
}

/// `bytes` with every whole occurrence of `from` replaced, and how many there were.
pub(super) fn rename(bytes: &[u8], from: &[u8], to: &[u8]) -> (Vec<u8>, usize) {
    let mut result = Vec::with_capacity(bytes.len());
    let mut count = 0;
    let mut done = 0;
    let finder = regex::bytes::Regex::new(&regex::escape(&String::from_utf8_lossy(from)));
    let Ok(finder) = finder else { return (bytes.to_vec(), 0) };
    let mut at = 0;
    while let Some(found) = finder.find_at(bytes, at) {
        if bounded(bytes, found.start(), found.end(), from) {
            result.extend_from_slice(&bytes[done..found.start()]);
            result.extend_from_slice(to);
            done = found.end();
            at = found.end();
            count += 1;
        } else {
            at = found.start() + 1;
        }
    }
    result.extend_from_slice(&bytes[done..]);
    (result, count)
}

fn bounded(bytes: &[u8], start: usize, end: usize, from: &[u8]) -> bool {
    let (before, after) = (&bytes[..start], &bytes[end..]);
    let opens = match before.split_last() {
        Some((b'$', sigil)) if from.first() != Some(&b'$') => !ends_in_word(sigil),
        _ => !ends_in_word(before),
    };
    opens && !begins_with_word(after)
}

fn ends_in_word(bytes: &[u8]) -> bool {
    let Some(&last) = bytes.last() else { return false };
    // Of a character beyond ASCII the last byte says nothing: it has 2 to 4.
    let whole = (2..=4).filter_map(|length| bytes.get(bytes.len().checked_sub(length)?..)).find_map(one_character);
    match whole.filter(|_| !last.is_ascii()) {
        Some(character) => is_part(character),
        None => is_word(last),
    }
}

fn begins_with_word(bytes: &[u8]) -> bool {
    let Some(&first) = bytes.first() else { return false };
    let whole = (2..=4).filter_map(|length| bytes.get(..length)).find_map(one_character);
    match whole.filter(|_| !first.is_ascii()) {
        Some(character) => is_part(character),
        None => is_word(first),
    }
}

/// The character, when these bytes are exactly one.
fn one_character(bytes: &[u8]) -> Option<char> {
    let mut characters = std::str::from_utf8(bytes).ok()?.chars();
    characters.next().filter(|_| characters.next().is_none())
}

/// Whether a character beyond ASCII can belong to a name: typographic quotes, dashes, spaces, the byte order mark
/// and pictures cannot. A combining accent, which is no letter by itself, is one with the letter before it.
fn is_part(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '\u{300}'..='\u{36F}' | '\u{200C}' | '\u{200D}' | '\u{FE0F}')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// What keeps `name` from being an identifier.
pub(super) fn refuse(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("an identifier, which is not empty");
    }
    if !name.bytes().all(is_word) || name.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return Some("an identifier: letters, digits, `_` or `$`, not beginning with a digit");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(text: &str) -> (String, usize) {
        let (bytes, count) = rename(text.as_bytes(), b"get", b"fetch");
        (String::from_utf8(bytes).unwrap(), count)
    }

    #[test]
    fn whole_names_only() {
        assert_eq!(
            renamed("get(get.get) getX Xget _get get_ get2 GET"),
            ("fetch(fetch.fetch) getX Xget _get get_ get2 GET".into(), 3)
        );
        assert_eq!(renamed("éget geté"), ("éget geté".into(), 0));
        assert_eq!(renamed("$get + a$get + get$ + $$get"), ("$fetch + a$get + get$ + $$get".into(), 1));
        assert_eq!(renamed(""), (String::new(), 0));
        assert_eq!(renamed("get"), ("fetch".into(), 1));
    }

    #[test]
    fn marks_that_are_no_letters_end_a_name() {
        assert_eq!(
            renamed("\u{FEFF}get “get” —get… get\u{A0}get 日get get\u{301}"),
            ("\u{FEFF}fetch “fetch” —fetch… fetch\u{A0}fetch 日get get\u{301}".into(), 5,)
        );
    }

    #[test]
    fn other_bytes_stay_as_they_are() {
        let (bytes, count) = rename(b"\xff get \xfe\r\n\x80get", b"get", b"g");
        assert_eq!((bytes.as_slice(), count), (b"\xff g \xfe\r\n\x80get".as_slice(), 1));
    }

    #[test]
    fn names_are_names() {
        assert_eq!(refuse("getUserData"), None);
        assert_eq!(refuse("$el"), None);
        assert_eq!(refuse("naïve"), None);
        for bad in ["", "a b", "a.b", "1a", "a\n"] {
            assert!(refuse(bad).is_some(), "{bad:?}");
        }
    }
}
