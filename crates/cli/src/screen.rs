//! The way of a program's output to a terminal, when it has none of its own (`exec` without `--tty`).
//!
//! Main types: [`Screen`], a pipe that is drained to the terminal, and [`Filter`], what passes. Colours, movements of the
//! cursor and erasing pass: progress bars work as they did under `python3`. What sets the clipboard or the title, asks the
//! terminal for an answer (which it would type at the next prompt), or reorders what is read is shown instead of obeyed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

use crate::terminal::{obeyed, visible};

/// Output on its way to a terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    thread: JoinHandle<Option<i32>>,
}

impl Screen {
    /// A pipe that ends at the terminal `to`.
    pub(crate) fn open(to: OwnedFd) -> std::io::Result<(OwnedFd, Self)> {
        let (from, into) = std::io::pipe()?;
        let thread = std::thread::Builder::new().name("screen".into()).spawn(move || {
            let (mut from, mut to) = (from, File::from(to));
            let (mut filter, mut buffer, mut clean) = (Filter::default(), vec![0; 1 << 16], Vec::new());
            loop {
                clean.clear();
                let count = match from.read(&mut buffer) {
                    Ok(count) => count,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return error.raw_os_error(),
                };
                if count == 0 {
                    filter.end(&mut clean);
                } else {
                    filter.pass(&buffer[..count], &mut clean);
                }
                // A terminal that is gone ends the pipe, and the relay says so.
                if let Err(error) = to.write_all(&clean) {
                    return error.raw_os_error();
                }
                if count == 0 {
                    return None;
                }
            }
        })?;
        Ok((into.into(), Self { thread }))
    }
    /// Waits until everything is shown, once nobody holds the pipe any more. The number of the error that kept it from
    /// being shown.
    pub(crate) fn end(self) -> Option<i32> {
        self.thread.join().unwrap_or(None)
    }
}

/// Bytes that an escape sequence may have and still be waited for.
const LONGEST: usize = 64;

/// Lets pass what a line-oriented program needs of a terminal.
#[derive(Debug, Default)]
struct Filter {
    /// The beginning of a sequence or character that has not come to its end.
    held: Vec<u8>,
    /// A colour or style was set.
    styled: bool,
}

/// What stands at the front of some bytes.
enum Piece {
    /// So many bytes that pass.
    Pass(usize),
    /// So many bytes that are shown as this character's escape.
    Show(usize, char),
    /// Not decided yet.
    Wait,
}

impl Filter {
    fn pass(&mut self, bytes: &[u8], clean: &mut Vec<u8>) {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let rest = self.go(&all, clean, false);
        self.held = all[rest..].to_vec();
    }
    fn end(&mut self, clean: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.go(&held, clean, true);
        if self.styled {
            // What we say next is not to be concealed by a style that was left on.
            clean.extend_from_slice(b"\x1b[0m");
        }
    }
    /// Takes pieces until one has to wait, and says where.
    fn go(&mut self, all: &[u8], clean: &mut Vec<u8>, last: bool) -> usize {
        let mut at = 0;
        while at < all.len() {
            match piece(&all[at..]) {
                Piece::Pass(count) => {
                    self.styled |= all[at] == 0x1b && all[at..at + count].ends_with(b"m");
                    clean.extend_from_slice(&all[at..at + count]);
                    at += count;
                }
                Piece::Show(count, character) => {
                    clean.extend_from_slice(visible(character).as_bytes());
                    at += count;
                }
                Piece::Wait if last => {
                    clean.extend_from_slice(visible(char::from(all[at])).as_bytes());
                    at += 1;
                }
                Piece::Wait => break,
            }
        }
        at
    }
}

fn piece(bytes: &[u8]) -> Piece {
    match bytes[0] {
        0x1b => escape(bytes),
        // Bell, backspace and carriage return: nothing that a line could not say.
        0x07..=0x0a | b'\r' => Piece::Pass(1),
        byte if byte < 0x20 || byte == 0x7f => Piece::Show(1, char::from(byte)),
        byte if byte < 0x80 => Piece::Pass(1),
        _ => character(bytes),
    }
}

fn character(bytes: &[u8]) -> Piece {
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
        Err(error) if error.error_len().is_none() && bytes.len() < 4 => return Piece::Wait,
        // A lone byte of C1 is a control where the terminal is not UTF-8; any other is a broken character.
        Err(_) if matches!(bytes[0], 0x80..=0x9f) => return Piece::Show(1, char::from(bytes[0])),
        Err(_) => return Piece::Pass(1),
    };
    match valid.chars().next() {
        Some(character) if obeyed(character) => Piece::Show(character.len_utf8(), character),
        Some(character) => Piece::Pass(character.len_utf8()),
        None => Piece::Pass(1),
    }
}

/// A sequence of ECMA-48: `ESC [` parameters, intermediates, a final byte.
fn escape(bytes: &[u8]) -> Piece {
    match bytes.get(1) {
        None => return Piece::Wait,
        Some(b'[') => {}
        // The plain character set, which `tput sgr0` asks for.
        Some(b'(') => {
            return match bytes.get(2) {
                None => Piece::Wait,
                Some(b'B') => Piece::Pass(3),
                Some(_) => Piece::Show(1, '\x1b'),
            };
        }
        Some(_) => return Piece::Show(1, '\x1b'),
    }
    let end = bytes.iter().skip(2).position(|byte| !(0x20..=0x3f).contains(byte)).map(|at| at + 2);
    let Some(end) = end.filter(|end| *end < LONGEST) else {
        return if end.is_none() && bytes.len() < LONGEST { Piece::Wait } else { Piece::Show(1, '\x1b') };
    };
    let (parameters, last) = (&bytes[2..end], bytes[end]);
    let plain = parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
    // Style; cursor; erase, insert and delete; scroll; keep and restore the cursor. Not: reports (n, c, x), windows
    // (t), modes (h, l), the repetition of a character (b), keyboards and anything private.
    let harmless = plain
        && matches!(last, b'm' | b'A'..=b'H' | b'f' | b'd' | b'J'..=b'M' | b'P' | b'@' | b'X' | b'S' | b'T' | b's' | b'u');
    let cursor = parameters == b"?25" && matches!(last, b'h' | b'l');
    if harmless || cursor { Piece::Pass(end + 1) } else { Piece::Show(1, '\x1b') }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[&[u8]]) -> String {
        let (mut filter, mut clean) = (Filter::default(), Vec::new());
        parts.iter().for_each(|part| filter.pass(part, &mut clean));
        filter.end(&mut clean);
        String::from_utf8_lossy(&clean).into_owned()
    }

    #[test]
    fn what_a_line_oriented_program_needs_passes() {
        for text in ["plain\r\n\ttext ✓ é\x08\x07", "\x1b[2K\x1b[1A50%\r", "\x1b[?25l\x1b[?25h", "\x1b(B", "👩‍🚀"]
        {
            assert_eq!(shown(&[text.as_bytes()]), text);
        }
        assert_eq!(shown(&[b"\x1b[1;38:5:9mred\x1b[m"]), "\x1b[1;38:5:9mred\x1b[m\x1b[0m");
    }

    #[test]
    fn what_a_terminal_would_obey_or_answer_is_shown() {
        for (text, seen) in [
            ("\x1b]0;title\x07", "\\x1b]0;title\x07"),
            ("\x1b]52;c;ZXZpbA==\x1b\\", "\\x1b]52;c;ZXZpbA==\\x1b\\"),
            ("\x1b]8;;file:///etc\x07x", "\\x1b]8;;file:///etc\x07x"),
            ("\x1b[6n\x1b[c\x1b[>c\x1b[21t", "\\x1b[6n\\x1b[c\\x1b[>c\\x1b[21t"),
            ("\x1bP$qm\x1b\\", "\\x1bP$qm\\x1b\\"),
            ("\x1bc\x1b[!p", "\\x1bc\\x1b[!p"),
            ("\x1b[?1049h\x1b[?2004h", "\\x1b[?1049h\\x1b[?2004h"),
            ("\x1b[999999999b", "\\x1b[999999999b"),
            ("\u{9b}6n\u{9d}0;x\u{9c}", "\\x9b6n\\x9d0;x\\x9c"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("\0\x05\x0e\x7f", "\\x00\\x05\\x0e\\x7f"),
        ] {
            assert_eq!(shown(&[text.as_bytes()]), seen);
        }
        assert_eq!(shown(&[b"\x9b6n\xff"]), "\\x9b6n\u{fffd}");
        assert_eq!(
            shown(&[&[b"\x1b[".as_slice(), &[b'1'; 100], b"m"].concat()]),
            format!("\\x1b[{}m", "1".repeat(100))
        );
    }

    #[test]
    fn sequences_may_come_in_pieces() {
        assert_eq!(shown(&[b"\x1b", b"[3", b"1mx"]), "\x1b[31mx\x1b[0m");
        assert_eq!(shown(&[b"\x1b", b"]0;x"]), "\\x1b]0;x");
        assert_eq!(shown(&["é".as_bytes().split_at(1).0, "é".as_bytes().split_at(1).1]), "é");
        assert_eq!(shown(&[b"\xc2", b"\x9b6n"]), "\\x9b6n");
        assert_eq!(shown(&[b"end\x1b["]), "end\\x1b[");
    }
}
