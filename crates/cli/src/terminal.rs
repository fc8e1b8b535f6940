//! What the terminal can show and what may be shown on it. Text from programs, models and files is
//! neutralised by [`printable`] before it reaches a terminal: it may not move the cursor, set the
//! title, answer queries or reorder what is read.

use std::borrow::Cow;
use std::env;
use std::io::IsTerminal;

/// How an output stream is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appearance {
    /// The stream is a terminal: foreign text is neutralised.
    pub(crate) terminal: bool,
    /// Colours.
    pub(crate) colour: bool,
    /// Lines that are drawn over: spinner and elapsed time.
    pub(crate) live: bool,
}

impl Appearance {
    /// As standard output wants it.
    pub(crate) fn of_stdout() -> Self {
        Self::decide(std::io::stdout().is_terminal(), |name| env::var(name).ok())
    }
    /// As standard error wants it.
    pub(crate) fn of_stderr() -> Self {
        Self::decide(std::io::stderr().is_terminal(), |name| env::var(name).ok())
    }
    /// `NO_COLOR` (any value but the empty one) beats `CLICOLOR_FORCE`, which beats `CLICOLOR=0` and `TERM=dumb`.
    fn decide(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        let colour = if set("NO_COLOR").is_some() {
            false
        } else if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            true
        } else {
            terminal && !dumb && set("CLICOLOR").is_none_or(|value| value != "0")
        };
        Self { terminal, colour, live: terminal && !dumb }
    }
    /// `text` in a colour, when there are any.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }
    /// Foreign text as this stream may show it.
    pub(crate) fn foreign(self, text: &str) -> Cow<'_, str> {
        if self.terminal { printable(text) } else { Cow::Borrowed(text) }
    }
}

/// The colours in use, by SGR number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

/// `text` without anything that a terminal would obey or not show: C0 but newline and tab, DEL, C1, the bidirectional
/// controls and characters without width are shown as `\xNN` or `\u{NNNN}`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|character| obeyed(character) || is_joiner(character)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        let after = characters.peek().copied();
        if character == '\r' && after == Some('\n') {
            continue;
        }
        // Emoji and some scripts are joined by them; beside ASCII they can only hide a difference.
        let plain = |beside: Option<char>| beside.is_none_or(|beside| beside.is_ascii());
        let hides = is_joiner(character) && (plain(before) || plain(after));
        if obeyed(character) || hides {
            clean.push_str(&visible(character))
        } else {
            clean.push(character)
        }
        before = Some(character);
    }
    Cow::Owned(clean)
}

/// A character as its escape.
pub(crate) fn visible(character: char) -> String {
    let number = character as u32;
    if number < 0x100 { format!("\\x{number:02x}") } else { format!("\\u{{{number:04x}}}") }
}

fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// Whether a terminal would obey a character, reorder by it, or show nothing for it.
pub(crate) fn obeyed(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f'..='\u{9f}'
            | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}'
            // Without width: what they hide is the difference between two names.
            | '\u{00ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// `text` as one line of at most `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let mut cut: String = line.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(terminal: bool, variables: &[(&str, &str)]) -> Appearance {
        Appearance::decide(terminal, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        assert!(decide(true, &[]).colour);
        assert!(!decide(false, &[]).colour);
        assert!(!decide(true, &[("NO_COLOR", "1")]).colour);
        assert!(decide(true, &[("NO_COLOR", "")]).colour);
        assert!(!decide(true, &[("CLICOLOR", "0")]).colour);
        assert!(decide(false, &[("CLICOLOR_FORCE", "1")]).colour);
        assert!(!decide(false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).colour);
        let dumb = decide(true, &[("TERM", "dumb")]);
        assert!(!dumb.colour && !dumb.live && dumb.terminal);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(printable("plain\n\ttext ✓ é"), "plain\n\ttext ✓ é");
        assert_eq!(printable("\x1b]0;owned\x07"), "\\x1b]0;owned\\x07");
        assert_eq!(printable("\x1b[2J"), "\\x1b[2J");
        assert_eq!(printable("over\rwritten"), "over\\x0dwritten");
        assert_eq!(printable("line\r\nline"), "line\nline");
        assert_eq!(printable("\u{9b}31m"), "\\x9b31m");
        assert_eq!(printable("a\u{202e}b\u{2066}c"), "a\\u{202e}b\\u{2066}c");
        assert_eq!(printable("\0\x08\x7f"), "\\x00\\x08\\x7f");
        assert_eq!(printable("pay\u{200b}pal a\u{200d}b \u{feff}"), "pay\\u{200b}pal a\\u{200d}b \\u{feff}");
        assert_eq!(printable("👩\u{200d}🚀"), "👩\u{200d}🚀");
        assert_eq!(printable("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn long_text_becomes_one_short_line() {
        assert_eq!(one_line("a\n  b\n\nc", 20), "a b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }
}
