//! Searching one file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use grep_regex::RegexMatcher;
use grep_searcher::{
    BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkContextKind, SinkFinish, SinkMatch,
};

use super::{OutputMode, Query};
use crate::tools::files::{is_binary, utf16_mark};

/// Bytes that are read before anything else: most files are no longer, and a NUL among them makes a file binary.
const HEAD: usize = 64 << 10;
/// Bytes of a line that are shown.
const MOST_LINE: usize = 2_000;

/// What a file had.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Each match as it is printed, context included. In the modes without lines only the number counts.
    pub(super) lines: Vec<String>,
    /// Matching lines.
    pub(super) matches: u64,
    /// There were more than were asked for.
    pub(super) more: bool,
    pub(super) binary: bool,
}

/// One worker's searcher with its buffers.
pub(super) struct FileSearcher<'q> {
    query: &'q Query,
    searcher: Searcher,
    head: Vec<u8>,
}

impl<'q> FileSearcher<'q> {
    pub(super) fn new(query: &'q Query) -> Self {
        let searcher = SearcherBuilder::new()
            .line_number(query.mode == OutputMode::Lines)
            .multi_line(query.multiline)
            .before_context(query.context)
            .after_context(query.context)
            .binary_detection(BinaryDetection::quit(0))
            .build();
        Self { query, searcher, head: Vec::with_capacity(HEAD) }
    }

    /// Searches an open file, which messages call `shown`.
    pub(super) fn search(&mut self, mut file: File, shown: &Path) -> io::Result<Outcome> {
        self.head.clear();
        (&mut file).take(HEAD as u64).read_to_end(&mut self.head)?;
        let Some(matcher) = &self.query.matcher else { return Ok(self.first_line(shown)) };
        if utf16_mark(&self.head).is_none() && self.head.contains(&0) {
            return Ok(Outcome { binary: true, ..Outcome::default() });
        }
        let mut sink = Lines {
            matcher_mode: self.query.mode,
            most: self.query.most,
            shown,
            outcome: Outcome::default(),
            open: None,
        };
        if self.head.len() < HEAD {
            self.searcher.search_slice(matcher, &self.head, &mut sink)?;
        } else {
            let reader = self.head.as_slice().chain(file);
            search_reader(&mut self.searcher, matcher, reader, &mut sink)?;
        }
        sink.close();
        let mut outcome = sink.outcome;
        if outcome.binary {
            // A NUL further on: what stood before it was no text either.
            outcome = Outcome { binary: true, ..Outcome::default() };
        }
        Ok(outcome)
    }

    /// The answer to `^`: the file itself, with its first line where it is text.
    fn first_line(&self, shown: &Path) -> Outcome {
        let line =
            if is_binary(&self.head) { b"" } else { self.head.split(|byte| *byte == b'\n').next().unwrap_or_default() };
        let mut text = String::new();
        push_line(&mut text, shown, 1, ':', line);
        Outcome { lines: vec![text], matches: 1, ..Outcome::default() }
    }
}

fn search_reader(
    searcher: &mut Searcher,
    matcher: &RegexMatcher,
    reader: impl Read,
    sink: &mut Lines<'_>,
) -> io::Result<()> {
    searcher.search_reader(matcher, reader, sink)
}

struct Lines<'a> {
    matcher_mode: OutputMode,
    most: u64,
    shown: &'a Path,
    outcome: Outcome,
    /// The match (with its context) that is being put together.
    open: Option<String>,
}

impl Lines<'_> {
    fn text(&mut self) -> &mut String {
        self.open.get_or_insert_default()
    }
    fn close(&mut self) {
        if let Some(text) = self.open.take() {
            self.outcome.lines.push(text);
        }
    }
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        if self.matcher_mode != OutputMode::Lines {
            self.outcome.matches += found.lines().count() as u64;
            return Ok(self.matcher_mode == OutputMode::Count);
        }
        // One more than asked for tells that there are more.
        if self.outcome.matches >= self.most {
            self.outcome.more = true;
            return Ok(false);
        }
        self.outcome.matches += 1;
        let (shown, first) = (self.shown, found.line_number().unwrap_or(1));
        for (line, number) in found.lines().zip(first..) {
            push_line(self.text(), shown, number, ':', line);
        }
        // Context after a match belongs to it; context before the next one is put to it as well, which reads the same.
        self.close();
        Ok(true)
    }
    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        let (shown, number) = (self.shown, context.line_number().unwrap_or(1));
        match context.kind() {
            SinkContextKind::After if self.open.is_none() => {
                if let Some(last) = self.outcome.lines.last_mut() {
                    push_line(last, shown, number, '-', context.bytes());
                }
            }
            _ => push_line(self.text(), shown, number, '-', context.bytes()),
        }
        Ok(true)
    }
    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        self.text().push_str("--\n");
        Ok(true)
    }
    fn binary_data(&mut self, _: &Searcher, _: u64) -> io::Result<bool> {
        self.outcome.binary = true;
        Ok(false)
    }
    fn finish(&mut self, _: &Searcher, _: &SinkFinish) -> io::Result<()> {
        Ok(())
    }
}

fn push_line(text: &mut String, shown: &Path, number: u64, sign: char, line: &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let cut = String::from_utf8_lossy(&line[..line.len().min(MOST_LINE)]);
    let _ = write!(text, "{}{sign}{number}{sign} {cut}", shown.display());
    if line.len() > MOST_LINE {
        let _ = write!(text, "… [{} bytes cut]", line.len() - MOST_LINE);
    }
    text.push('\n');
}
