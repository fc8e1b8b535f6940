//! Text encodings by the names that people and Python use for them.
//!
//! Decoding never guesses and never replaces: bytes that do not fit are an error that says where, so that what is
//! read can be written back. Names are those of the WHATWG (encoding_rs), with three differences for which Python
//! programs ask: `latin-1` is the true one and not windows-1252, `ascii` is seven bits, `utf-8-sig` has a mark.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// How text lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextEncoding {
    Utf8,
    /// UTF-8 with a byte order mark.
    Utf8Sig,
    /// UTF-16 whose byte order the mark says; written little-endian with a mark.
    Utf16,
    Utf16Le,
    Utf16Be,
    /// Big-endian UTF-16 with a byte order mark.
    Utf16BeSig,
    Ascii,
    Latin1,
    Other(&'static Encoding),
}

const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decoded text and what its bytes told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    /// The encoding that writes these bytes again, mark included.
    pub(crate) encoding: TextEncoding,
    /// Whether a byte order mark was there. It is not in `text`.
    pub(crate) mark: bool,
}

impl TextEncoding {
    /// The encoding of that name, in any case, with `-`, `_` and spaces alike.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let plain = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        Some(match plain.as_str() {
            "utf-8" | "utf8" | "u8" => Self::Utf8,
            "utf-8-sig" | "utf8-sig" => Self::Utf8Sig,
            "utf-16" | "utf16" => Self::Utf16,
            "utf-16-le" | "utf-16le" | "utf16le" => Self::Utf16Le,
            "utf-16-be" | "utf-16be" | "utf16be" => Self::Utf16Be,
            "utf-16-be-sig" | "utf-16be-sig" => Self::Utf16BeSig,
            "ascii" | "us-ascii" => Self::Ascii,
            "latin-1" | "latin1" | "latin" | "l1" | "iso-8859-1" | "iso8859-1" => Self::Latin1,
            other => match Encoding::for_label(other.as_bytes())? {
                // Decodes nothing, by design of the standard.
                found if found == encoding_rs::REPLACEMENT => return None,
                found => Self::Other(found),
            },
        })
    }
    /// Its name, as [`Self::named`] takes it.
    pub(crate) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Utf8 => "utf-8".into(),
            Self::Utf8Sig => "utf-8-sig".into(),
            Self::Utf16 => "utf-16".into(),
            Self::Utf16Le => "utf-16-le".into(),
            Self::Utf16Be => "utf-16-be".into(),
            Self::Utf16BeSig => "utf-16-be-sig".into(),
            Self::Ascii => "ascii".into(),
            Self::Latin1 => "latin-1".into(),
            Self::Other(encoding) => encoding.name().to_ascii_lowercase().into(),
        }
    }
    /// Whether a NUL byte is ordinary in it.
    pub(crate) fn is_wide(self) -> bool {
        matches!(self, Self::Utf16 | Self::Utf16Le | Self::Utf16Be | Self::Utf16BeSig)
    }

    /// The text of `bytes`.
    ///
    /// # Errors
    /// The offset of the first byte that does not fit, or `None` where only the whole can be judged.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Decoded<'_>, Option<usize>> {
        let done = |text, encoding, mark| Ok(Decoded { text, encoding, mark });
        match self {
            Self::Utf8 | Self::Utf8Sig => {
                let (body, mark) = match bytes.strip_prefix(UTF8_MARK) {
                    Some(body) => (body, true),
                    None => (bytes, false),
                };
                let text = std::str::from_utf8(body).map_err(|e| Some(bytes.len() - body.len() + e.valid_up_to()))?;
                done(text.into(), if mark { Self::Utf8Sig } else { Self::Utf8 }, mark)
            }
            Self::Utf16 => match bytes {
                [0xFE, 0xFF, ..] => Self::Utf16Be.decode(bytes),
                _ => Self::Utf16Le.decode(bytes),
            },
            Self::Utf16BeSig => Self::Utf16Be.decode(bytes),
            Self::Utf16Le | Self::Utf16Be => {
                let big = self == Self::Utf16Be;
                let body = bytes.strip_prefix(if big { b"\xFE\xFF" } else { b"\xFF\xFE" });
                let encoding = if big { encoding_rs::UTF_16BE } else { encoding_rs::UTF_16LE };
                let text = encoding.decode_without_bom_handling_and_without_replacement(body.unwrap_or(bytes));
                let marked = if big { Self::Utf16BeSig } else { Self::Utf16 };
                done(text.ok_or(None)?, if body.is_some() { marked } else { self }, body.is_some())
            }
            Self::Ascii => match bytes.iter().position(|byte| !byte.is_ascii()) {
                Some(at) => Err(Some(at)),
                None => done(encoding_rs::mem::decode_latin1(bytes), self, false),
            },
            Self::Latin1 => done(encoding_rs::mem::decode_latin1(bytes), self, false),
            Self::Other(encoding) => {
                let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
                done(text.ok_or(None)?, self, false)
            }
        }
    }

    /// The text of `bytes`, with U+FFFD for what does not fit. It does not write the same bytes again.
    pub(crate) fn decode_lossy(self, bytes: &[u8]) -> Decoded<'_> {
        let encoding = match self {
            Self::Utf8 | Self::Utf8Sig | Self::Ascii => encoding_rs::UTF_8,
            Self::Utf16 | Self::Utf16Le => encoding_rs::UTF_16LE,
            Self::Utf16Be | Self::Utf16BeSig => encoding_rs::UTF_16BE,
            Self::Latin1 => encoding_rs::WINDOWS_1252,
            Self::Other(encoding) => encoding,
        };
        let (text, _) = encoding.decode_with_bom_removal(bytes);
        Decoded { text, encoding: self, mark: false }
    }

    /// The bytes of `text`; with `start` those that begin a file, mark included where the encoding has one.
    ///
    /// # Errors
    /// A character that the encoding does not have.
    pub(crate) fn encode(self, text: &str, start: bool) -> Result<Cow<'_, [u8]>, char> {
        let wide = |big: bool, mark: bool| {
            let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
            let bytes: Vec<u8> =
                units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
            Ok(Cow::Owned(bytes))
        };
        match self {
            Self::Utf8 => Ok(text.as_bytes().into()),
            Self::Utf8Sig if start => Ok([UTF8_MARK, text.as_bytes()].concat().into()),
            Self::Utf8Sig => Ok(text.as_bytes().into()),
            Self::Utf16 => wide(false, start),
            Self::Utf16Le => wide(false, false),
            Self::Utf16Be => wide(true, false),
            Self::Utf16BeSig => wide(true, start),
            Self::Ascii => match text.chars().find(|c| !c.is_ascii()) {
                Some(other) => Err(other),
                None => Ok(text.as_bytes().into()),
            },
            Self::Latin1 => text
                .chars()
                .map(|c| u8::try_from(u32::from(c)).map_err(|_| c))
                .collect::<Result<Vec<u8>, _>>()
                .map(Cow::Owned),
            Self::Other(encoding) => {
                let (bytes, _, unmappable) = encoding.encode(text);
                if !unmappable {
                    return Ok(bytes.into_owned().into());
                }
                let lost = |c: &char| encoding.encode(c.encode_utf8(&mut [0; 4])).2;
                Err(text.chars().find(lost).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for name in
            ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "windows-1252", "shift_jis"]
        {
            let encoding = TextEncoding::named(name).unwrap_or_else(|| panic!("{name} is known"));
            let text = if name == "shift_jis" { "日本" } else { "café" };
            let bytes = encoding.encode(text, true).unwrap();
            assert_eq!(encoding.decode(&bytes).unwrap().text, text, "{name}");
        }
    }

    #[test]
    fn the_encoding_that_is_told_writes_the_same_bytes_again() {
        for bytes in [b"hi".as_slice(), b"\xEF\xBB\xBFhi", b"\xFF\xFEh\0", b"\xFE\xFF\0h"] {
            let asked = if bytes.len() == 4 { TextEncoding::Utf16 } else { TextEncoding::Utf8 };
            let decoded = asked.decode(bytes).unwrap();
            let named = TextEncoding::named(&decoded.encoding.name()).unwrap();
            assert_eq!(named.encode(&decoded.text, true).unwrap().as_ref(), bytes);
        }
    }

    #[test]
    fn latin_1_is_the_true_one() {
        let latin = TextEncoding::named("Latin_1").unwrap();
        assert_eq!(latin.decode(b"\x80").unwrap().text, "\u{80}");
        assert_eq!(TextEncoding::named("cp1252").unwrap().decode(b"\x80").unwrap().text, "€");
        assert_eq!(latin.encode("€", true), Err('€'));
    }

    #[test]
    fn bytes_that_do_not_fit_are_an_error_with_their_place() {
        assert_eq!(TextEncoding::Utf8.decode(b"ab\xFFc"), Err(Some(2)));
        assert_eq!(TextEncoding::Utf8.decode(b"\xEF\xBB\xBFa\xFF"), Err(Some(4)));
        assert_eq!(TextEncoding::Ascii.decode(b"a\x80"), Err(Some(1)));
        assert_eq!(TextEncoding::Utf16Le.decode(b"\x00\xD8"), Err(None));
        assert_eq!(TextEncoding::named("shift_jis").unwrap().encode("aé", true), Err('é'));
        assert_eq!(TextEncoding::named("no-such"), None);
    }

    #[test]
    fn a_lossy_reading_takes_everything() {
        assert_eq!(TextEncoding::Utf8.decode_lossy(b"a\xFFb").text, "a\u{FFFD}b");
        assert_eq!(TextEncoding::Utf16Le.decode_lossy(b"\x00\xD8").text, "\u{FFFD}");
    }

    #[test]
    fn marks_are_told_and_not_in_the_text() {
        let decoded = TextEncoding::Utf8.decode(b"\xEF\xBB\xBFhi").unwrap();
        assert_eq!((decoded.text.as_ref(), decoded.encoding, decoded.mark), ("hi", TextEncoding::Utf8Sig, true));
        let decoded = TextEncoding::Utf16.decode(b"\xFE\xFF\0h\0i").unwrap();
        assert_eq!((decoded.text.as_ref(), decoded.encoding, decoded.mark), ("hi", TextEncoding::Utf16BeSig, true));
    }
}
