//! Renaming an identifier in a file's bytes.
//!
//! Word characters are `[A-Za-z0-9_]`, `$`, and every byte from 0x80 on, so that a name is never cut out of a
//! longer one in any of the common languages (JavaScript and PHP names hold `$`; Python, Rust and others take
//! letters beyond ASCII). A sigil that is part of the reference and not of the name stays possible: where the name
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
    let before = start.checked_sub(1).map(|at| bytes[at]);
    let opens = match before {
        Some(b'$') if from.first() != Some(&b'$') => !start.checked_sub(2).is_some_and(|at| is_word(bytes[at])),
        Some(byte) => !is_word(byte),
        None => true,
    };
    opens && !bytes.get(end).copied().is_some_and(is_word)
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
