//! `file_read`: the text of a file or of some of its lines; pictures as base64; other binary files refused by name.

use std::path::PathBuf;

use base64::Engine;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::content::{Content, classify, utf16_mark};
use super::{MOST_IN_MEMORY, TextEncoding};
use crate::tools::place::{Folders, Place, Places};
use crate::tools::schema::PLAN_ONLY;
use crate::tools::validate::{self, ArgumentError};
use crate::tools::{Access, Idempotency, Resources, Tool, ToolCall, ToolContext, ToolResult, schema};

/// Bytes of text that are returned unless `max_bytes` says otherwise.
const DEFAULT_MOST: u64 = 10 << 20;
/// Bytes of a picture that are returned.
const MOST_IMAGE: u64 = 5 << 20;

/// The arguments of `file_read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadArgs {
    /// The file to read, relative to the workspace or absolute.
    path: String,
    /// How its text is encoded, such as utf-8, utf-16, latin-1 or shift_jis. A byte order mark is honoured and not
    /// part of the output.
    #[serde(default = "utf8")]
    encoding: String,
    /// The first line to return, counted from 1.
    #[schemars(range(min = 1))]
    start_line: Option<u64>,
    /// The last line to return, included. Past the end of the file it means the last line.
    #[schemars(range(min = 1))]
    end_line: Option<u64>,
    /// How many bytes of text to return at most; what is longer is cut there, and metadata.truncated is true. When
    /// not given, a file (or range) above 10 MiB is refused.
    #[schemars(range(min = 1, max = 268_435_456))]
    max_bytes: Option<u64>,
    /// What does not fit the encoding is shown as U+FFFD, and a binary file as a note, instead of being refused.
    #[serde(default)]
    lossy: bool,
}

fn utf8() -> String {
    "utf-8".into()
}

/// Reads a file. Output: its text. Metadata: `path`, `size` (bytes of the file), `hash` (BLAKE3, hex: `expected_hash` of `edit`), `encoding` (with which
/// `file_write` writes the same bytes again), `lines` (in the whole
/// file), `start_line` and `end_line` when a range was asked for, `truncated`, `kind` (`text` or `image`), `bom`, and for an
/// image `mime` and `data` (base64).
#[derive(Debug, Default)]
pub struct FileReadTool {
    allowed_paths: Folders,
}

impl FileReadTool {
    /// Reads in the workspace.
    pub fn new() -> Self {
        Self::default()
    }
    /// The folders it keeps to; `None`: the workspace.
    pub fn allowed_paths(&self) -> Option<Vec<PathBuf>> {
        self.allowed_paths.get()
    }
    /// Keeps it to these folders (relative ones resolve against the workspace), each a workspace root. Holds from the next call on.
    pub fn set_allowed_paths(&self, folders: Option<Vec<PathBuf>>) {
        self.allowed_paths.set(folders);
    }

    fn run(&self, call: &ToolCall, places: &Places<'_>) -> Result<ToolResult, ToolResult> {
        let args: ReadArgs = validate::arguments(call, || self.schema())?;
        let encoding = TextEncoding::named(&args.encoding).ok_or_else(|| unknown_encoding(&args.encoding))?;
        if let (Some(start), Some(end)) = (args.start_line, args.end_line)
            && end < start
        {
            let expected = format!("at least {start} (start_line)");
            return Err(ArgumentError::invalid("/end_line", expected, &end.into()).into());
        }
        let place = places.find(&args.path, "/path")?;
        let size = place.file()?.size;
        if size > MOST_IN_MEMORY {
            return Err(too_large(
                &place,
                size,
                MOST_IN_MEMORY,
                "look at parts of it with the shell (head, tail, sed -n)",
            ));
        }
        let bytes = place.dir.read(&place.rel, MOST_IN_MEMORY).map_err(|error| place.failed("read", &error))?;
        let result = match classify(&bytes) {
            Content::Image(mime) => image(&place, mime, &bytes, args.lossy),
            Content::Binary(mime) if !encoding.is_wide() && args.lossy => Ok(noted(mime, bytes.len())),
            Content::Binary(mime) if !encoding.is_wide() => Err(binary(&place, mime, bytes.len())),
            _ => text(&args, &place, encoding, &bytes),
        }?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        Ok(result.with("path", args.path).with("size", bytes.len()).with("hash", hash))
    }
}

pub(crate) fn unknown_encoding(name: &str) -> ToolResult {
    let expected = "an encoding such as utf-8, utf-16, latin-1 or windows-1252";
    ArgumentError::invalid("/encoding", expected, &Value::from(name)).into()
}

fn too_large(place: &Place<'_>, size: u64, most: u64, instead: &str) -> ToolResult {
    let message =
        format!("{} has {size} bytes, more than the {most} that are returned at once; {instead}", place.text());
    ToolResult::from(ArgumentError::refused("/path", format!("at most {most} bytes"), message)).with("size", size)
}

fn binary(place: &Place<'_>, mime: Option<&str>, size: usize) -> ToolResult {
    let what = mime.map(|mime| format!(" ({mime})")).unwrap_or_default();
    let message = format!(
        "{} is a binary file{what} of {size} bytes, not text; use a program that understands it (shell, run_code), or name its encoding if it is UTF-16 text",
        place.text()
    );
    ToolResult::from(ArgumentError::refused("/path", "a text file or an image", message))
        .with("kind", "binary")
        .with("mime", mime.unwrap_or("application/octet-stream"))
        .with("path", place.text())
        .with("size", size)
}

/// A binary file where one is no mistake.
fn noted(mime: Option<&str>, size: usize) -> ToolResult {
    let mime = mime.unwrap_or("application/octet-stream");
    ToolResult::success(format!("[{mime}, {size} bytes]"))
        .with("kind", "binary")
        .with("mime", mime)
        .with("truncated", false)
}

fn image(place: &Place<'_>, mime: &str, bytes: &[u8], lossy: bool) -> Result<ToolResult, ToolResult> {
    if bytes.len() as u64 > MOST_IMAGE && lossy {
        return Ok(noted(Some(mime), bytes.len()));
    }
    if bytes.len() as u64 > MOST_IMAGE {
        return Err(too_large(place, bytes.len() as u64, MOST_IMAGE, "scale the picture down first")
            .with("kind", "image")
            .with("mime", mime));
    }
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    Ok(ToolResult::success(format!("[{mime}, {} bytes, base64 in metadata.data]", bytes.len()))
        .with("kind", "image")
        .with("mime", mime)
        .with("data", data)
        .with("truncated", false))
}

fn text(args: &ReadArgs, place: &Place<'_>, encoding: TextEncoding, bytes: &[u8]) -> Result<ToolResult, ToolResult> {
    // A mark outweighs the default, not a different encoding that was asked for.
    let encoding = match utf16_mark(bytes) {
        Some(marked) if encoding == TextEncoding::Utf8 => marked,
        _ => encoding,
    };
    let decoded =
        encoding.decode(bytes).or_else(|at| if args.lossy { Ok(encoding.decode_lossy(bytes)) } else { Err(at) });
    let decoded = decoded.map_err(|at: Option<usize>| {
        let at = at.map(|at| format!(" at byte {at}")).unwrap_or_default();
        let message = format!(
            "{} is not valid {}{at}; name its encoding (latin-1 takes any bytes)",
            place.text(),
            encoding.name()
        );
        ToolResult::from(ArgumentError::refused("/encoding", "the encoding of the file", message))
    })?;
    let text = decoded.text.as_ref();
    let lines = count_lines(text);
    let mut result = ToolResult::success("");
    let mut selected = text;
    if args.start_line.is_some() || args.end_line.is_some() {
        let start = args.start_line.unwrap_or(1);
        if start > lines.max(1) {
            let expected = format!("at most {lines}, the lines of {}", place.text());
            return Err(ArgumentError::invalid("/start_line", expected, &start.into()).into());
        }
        let end = args.end_line.unwrap_or(lines).min(lines.max(1));
        selected = line_range(text, start, end);
        result = result.with("start_line", start).with("end_line", end);
    }
    let truncated = match args.max_bytes {
        Some(most) => {
            let cut = floor_char(selected, usize::try_from(most).unwrap_or(usize::MAX));
            let truncated = cut < selected.len();
            selected = &selected[..cut];
            truncated
        }
        None if selected.len() as u64 > DEFAULT_MOST => {
            let instead = "give start_line and end_line, or max_bytes";
            return Err(too_large(place, selected.len() as u64, DEFAULT_MOST, instead).with("lines", lines));
        }
        None => false,
    };
    result.output = selected.into();
    Ok(result
        .with("encoding", decoded.encoding.name().into_owned())
        .with("bom", decoded.mark)
        .with("lines", lines)
        .with("truncated", truncated)
        .with("kind", "text"))
}

/// Lines as an editor counts them: a last one without its newline counts.
fn count_lines(text: &str) -> u64 {
    let ends = text.bytes().filter(|byte| *byte == b'\n').count() as u64;
    ends + u64::from(!text.is_empty() && !text.ends_with('\n'))
}

fn line_range(text: &str, start: u64, end: u64) -> &str {
    let mut lines = text.split_inclusive('\n');
    let skip = |count: u64, lines: &mut std::str::SplitInclusive<'_, char>| -> usize {
        (0..count).map_while(|_| lines.next()).map(str::len).sum()
    };
    let from = skip(start - 1, &mut lines);
    let length = skip(end + 1 - start, &mut lines);
    &text[from..from + length]
}

fn floor_char(text: &str, most: usize) -> usize {
    let most = most.min(text.len());
    (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl Tool for FileReadTool {
    fn name(&self) -> &str {
        "file_read"
    }
    fn description(&self) -> &str {
        "Read a text file, or some of its lines; images come back as base64. Binary files are refused with what they are."
    }
    fn schema(&self) -> Value {
        let mut schema = schema::of::<ReadArgs>();
        // For chains over whatever a search found; a model is better told what it asked for wrongly.
        schema["properties"]["lossy"][PLAN_ONLY] = true.into();
        schema
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        self.run(call, &Places::new(context, &self.allowed_paths)).unwrap_or_else(|failure| failure)
    }
    fn access(&self, _params: &Map<String, Value>) -> Access {
        Access::Read
    }
    fn roots(&self, _params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        self.allowed_paths.get()
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Independent
    }
    fn idempotency(&self) -> Idempotency {
        Idempotency::ReadOnly
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
