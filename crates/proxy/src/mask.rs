//! Masks secrets in what comes back: the value as it is and in the forms that programs give it without meaning to hide
//! it (percent- and JSON-escaped, hexadecimal, inside base64), wherever the pieces that arrive begin and end.
//!
//! It keeps a value out of logs and transcripts. It is no wall: a server that has the value can hand it out in any form
//! that the two agree on. As many asterisks stand in place of what was there, so no length changes.

/// Shorter values would be found where they are not.
const SHORTEST: usize = 6;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One form of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Its bytes, each as it is, as `%41`, `\u0041`, or with a backslash before it.
    Text(Vec<u8>),
    /// Its bytes in hexadecimal digits of either case.
    Hex(Vec<u8>),
    /// These very characters: what the value alone decides of the base64 of something that holds it.
    Exact(Vec<u8>),
}

/// Whether a text begins with a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    No,
    /// It ends before that is known.
    Open,
    /// So many bytes of it.
    Yes(usize),
}

impl Form {
    fn at_start(&self, text: &[u8]) -> Found {
        match self {
            Self::Exact(wanted) => match text.get(..wanted.len()) {
                Some(found) if found == wanted => Found::Yes(wanted.len()),
                None if wanted.starts_with(text) => Found::Open,
                _ => Found::No,
            },
            Self::Hex(value) => pieces(value, text, |byte| vec![Piece::Digits(b"", byte)]),
            Self::Text(value) => pieces(value, text, |byte| {
                let mut ways = vec![Piece::Same(byte), Piece::Digits(b"%", byte), Piece::Digits(b"\\u00", byte)];
                match byte {
                    b' ' => ways.push(Piece::Same(b'+')),
                    b'"' | b'\\' | b'/' => ways.push(Piece::Escaped(byte)),
                    _ => {}
                }
                ways
            }),
        }
    }
}

/// One way in which a byte may stand.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Same(u8),
    Escaped(u8),
    /// Two hexadecimal digits after this.
    Digits(&'static [u8], u8),
}

impl Piece {
    fn at_start(self, text: &[u8]) -> Found {
        let (before, after): (&[u8], [u8; 2]) = match self {
            Self::Same(byte) => return first(text, byte),
            Self::Escaped(byte) => match first(text, b'\\') {
                Found::Yes(_) => return shifted(first(&text[1..], byte), 1),
                other => return other,
            },
            Self::Digits(before, byte) => (before, [byte >> 4, byte & 15]),
        };
        let have = text.len().min(before.len());
        if text[..have] != before[..have] {
            return Found::No;
        }
        for (number, digit) in after.iter().enumerate() {
            match text.get(before.len() + number) {
                None => return Found::Open,
                Some(found) if (*found as char).to_digit(16) == Some(u32::from(*digit)) => {}
                Some(_) => return Found::No,
            }
        }
        Found::Yes(before.len() + 2)
    }
}

fn first(text: &[u8], byte: u8) -> Found {
    match text.first() {
        None => Found::Open,
        Some(found) if *found == byte => Found::Yes(1),
        Some(_) => Found::No,
    }
}

fn shifted(found: Found, by: usize) -> Found {
    if let Found::Yes(length) = found { Found::Yes(length + by) } else { found }
}

/// Whether a text begins with these bytes, each in one of its ways. All readings are followed: `%25` may be one byte or three.
fn pieces(bytes: &[u8], text: &[u8], ways: impl Fn(u8) -> Vec<Piece>) -> Found {
    let (mut ends, mut open) = (vec![0], false);
    for byte in bytes {
        let mut next = Vec::new();
        for end in ends {
            for way in ways(*byte) {
                match way.at_start(&text[end..]) {
                    Found::Yes(length) if !next.contains(&(end + length)) => next.push(end + length),
                    Found::Open => open = true,
                    _ => {}
                }
            }
        }
        ends = next;
        if ends.is_empty() {
            break;
        }
    }
    match ends.into_iter().max() {
        _ if open => Found::Open,
        Some(length) => Found::Yes(length),
        None => Found::No,
    }
}

/// The characters that a value decides in the base64 of something that holds it, by where in a group of three it begins.
fn base64(value: &[u8], at: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits = 8 * at..8 * (at + value.len());
    let sextets = bits.start.div_ceil(6)..bits.end / 6;
    let bit = |number: usize| {
        let byte = value[number / 8 - at];
        usize::from(byte >> (7 - number % 8) & 1)
    };
    sextets.map(|sextet| alphabet[(0..6).fold(0, |sum, n| sum << 1 | bit(6 * sextet + n))]).collect()
}

/// Replaces values by as many asterisks, also where they lie over two pieces.
#[derive(Debug)]
pub(crate) struct Mask {
    /// Each with the bytes that it may begin with.
    forms: Vec<(Form, [bool; 256])>,
    /// Bytes with which some form begins.
    begins: [bool; 256],
    held: Vec<u8>,
}

impl Mask {
    pub(crate) fn new(values: impl Iterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for value in values.map(String::into_bytes).filter(|value| value.len() >= SHORTEST) {
            all.extend([Form::Text(value.clone()), Form::Hex(value.clone())]);
            for alphabet in [BASE64, URL_SAFE] {
                all.extend((0..3).map(|at| Form::Exact(base64(&value, at, alphabet))));
            }
        }
        let (mut forms, mut begins) = (Vec::<(Form, [bool; 256])>::new(), [false; 256]);
        for form in all {
            if forms.iter().any(|(other, _)| *other == form) {
                continue;
            }
            let mut first = [false; 256];
            for byte in 0..=u8::MAX {
                first[usize::from(byte)] = form.at_start(&[byte]) != Found::No;
                begins[usize::from(byte)] |= first[usize::from(byte)];
            }
            forms.push((form, first));
        }
        Self { forms, begins, held: Vec::new() }
    }
    /// Whether it masks nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }
    /// What can be passed on now; the rest might be the beginning of a value.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.take(false)
    }
    /// What is left when nothing more comes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.take(true)
    }
    fn take(&mut self, all: bool) -> Vec<u8> {
        let text = &mut self.held;
        let mut at = 0;
        while at < text.len() {
            if !self.begins[usize::from(text[at])] {
                at += 1;
                continue;
            }
            let (mut longest, mut open) = (0, false);
            for (form, _) in self.forms.iter().filter(|(_, first)| first[usize::from(text[at])]) {
                match form.at_start(&text[at..]) {
                    Found::No => {}
                    Found::Yes(length) => longest = longest.max(length),
                    Found::Open => open = true,
                }
            }
            if open && !all {
                break;
            }
            text[at..at + longest].fill(b'*');
            at += longest.max(1);
        }
        let rest = text.split_off(at);
        std::mem::replace(text, rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(value: &str, pieces: &[&[u8]]) -> String {
        let mut mask = Mask::new([value.to_owned()].into_iter());
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| mask.pass(piece)).collect();
        out.extend(mask.rest());
        assert_eq!(out.len(), pieces.iter().map(|piece| piece.len()).sum::<usize>());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn values_are_masked_wherever_the_pieces_end() {
        let text = b"a hunter22 b hunter2 c hunter22";
        for cut in 0..text.len() {
            let found = masked("hunter22", &[&text[..cut], &text[cut..]]);
            assert_eq!(found, "a ******** b hunter2 c ********", "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(masked("hunter22", &bytes), "a ******** b hunter2 c ********");
        assert_eq!(masked("aabaab!", &[b"aabaabaab!aab"]), "aab*******aab", "a beginning inside a beginning");
        assert_eq!(masked("short", &[b"short"]), "short");
    }

    #[test]
    fn escaped_and_hexadecimal_forms_are_masked() {
        let value = "p@ss w/\"rd%2\\";
        for form in [
            "p@ss w/\"rd%2\\",
            "p%40ss%20w%2F%22rd%252%5C",
            "p%40ss+w%2f%22rd%252%5c",
            "%70%40%73%73%20%77%2F%22%72%64%25%32%5C",
            "p@ss w/\\\"rd%2\\\\",
            "p@ss w\\/\\\"rd%2\\\\",
            "p\\u0040ss w/\\u0022rd%2\\u005C",
            "7040737320772f22726425325c",
            "70407373 20772F22726425325C".replace(' ', "").as_str(),
        ] {
            assert_eq!(masked(value, &[format!("<{form}>").as_bytes()]), format!("<{}>", "*".repeat(form.len())));
        }
        for other in ["p@ss w/\"rd%2", "P@SS W/\"RD%2\\", "70407373 20772f22726425325c"] {
            assert_eq!(masked(value, &[other.as_bytes()]), other);
        }
    }

    /// Base64 by the book, to compare with.
    fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
        bytes
            .chunks(3)
            .flat_map(|three| {
                let group = three.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
                (0..=three.len()).map(move |n| alphabet[(group >> (18 - 6 * n) & 63) as usize] as char)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn no_alignment_of_base64_shows_a_value(
            before in "[ -~]{0,7}", value in "[ -~]{6,20}", after in "[ -~]{0,7}", cut in 0..40_usize, safe: bool,
        ) {
            let text = encode(format!("{before}{value}{after}").as_bytes(), if safe { URL_SAFE } else { BASE64 });
            let cut = cut.min(text.len());
            let found = masked(&value, &[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
            let (from, to) = ((8 * before.len()).div_ceil(6), 8 * (before.len() + value.len()) / 6);
            prop_assert_eq!(&found[from..to], "*".repeat(to - from));
            // Only what holds bits of the value is masked, unless the surroundings happen to hold it as well.
            prop_assert!(found.matches('*').count() >= to - from);
        }

        #[test]
        fn what_holds_no_value_stays(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
            let mut mask = Mask::new(["hunter22-hunter22".to_owned()].into_iter());
            let cut = cut.min(bytes.len());
            let mut out = mask.pass(&bytes[..cut]);
            out.extend(mask.pass(&bytes[cut..]));
            out.extend(mask.rest());
            prop_assert_eq!(out, bytes);
        }
    }
}
