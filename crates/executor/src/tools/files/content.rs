//! What a file holds, told by its bytes and never by its name.

use super::TextEncoding;

/// How many bytes are looked at.
const HEAD: usize = 8 << 10;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Text, or what may be decoded as such.
    Text,
    /// A picture of this MIME type.
    Image(&'static str),
    /// Anything else, with its MIME type when that is known.
    Binary(Option<&'static str>),
}

/// The UTF-16 that a byte order mark announces.
pub(crate) fn utf16_mark(bytes: &[u8]) -> Option<TextEncoding> {
    match bytes {
        [0xFF, 0xFE, ..] => Some(TextEncoding::Utf16Le),
        [0xFE, 0xFF, ..] => Some(TextEncoding::Utf16Be),
        _ => None,
    }
}

/// Git's rule: a NUL in the first 8 KiB, UTF-16 with its mark excepted.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    utf16_mark(bytes).is_none() && head(bytes).contains(&0)
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(HEAD)]
}

/// Valid UTF-8 without NUL is text whatever it starts with: "BM" begins many a sentence besides bitmaps.
pub(crate) fn classify(bytes: &[u8]) -> Content {
    let head = head(bytes);
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character may be cut by the end of what is looked at.
        Err(error) => error.error_len().is_none() && head.len() == HEAD,
    };
    if utf16_mark(bytes).is_some() || (valid && !head.contains(&0)) {
        return Content::Text;
    }
    match infer::get(head) {
        Some(kind) if kind.matcher_type() == infer::MatcherType::Image => Content::Image(kind.mime_type()),
        Some(kind) if kind.matcher_type() != infer::MatcherType::Text => Content::Binary(Some(kind.mime_type())),
        _ if head.contains(&0) => Content::Binary(None),
        _ => Content::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_not_names() {
        assert_eq!(classify(b"BM is how this sentence begins"), Content::Text);
        assert_eq!(classify(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Content::Image("image/png"));
        assert_eq!(classify(b"PK\x03\x04\x14\0\0\0\x08\0"), Content::Binary(Some("application/zip")));
        assert_eq!(classify(b"a\0b"), Content::Binary(None));
        assert_eq!(classify(b"caf\xe9 in latin-1"), Content::Text);
        assert_eq!(classify(b"\xff\xfea\0"), Content::Text);
        assert_eq!(classify(b""), Content::Text);
        let cut = format!("{}é", "x".repeat(HEAD - 1));
        assert_eq!(classify(cut.as_bytes()), Content::Text);
    }
}
