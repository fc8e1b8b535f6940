//! `file_write`: a whole file, more at its end, or (for plans) an identifier renamed in it.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::content::{Content, classify};
use super::{MOST_IN_MEMORY, TextEncoding, read, rename};
use crate::tools::place::{Folders, Place, Places, write_key};
use crate::tools::schema::PLAN_ONLY;
use crate::tools::validate::{self, ArgumentError};
use crate::tools::{Resources, Tool, ToolCall, ToolContext, ToolResult, schema};

/// The arguments of `file_write`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteArgs {
    /// The file to write, relative to the workspace or absolute. Missing parent folders are made.
    path: String,
    /// The text to write.
    content: Option<String>,
    /// Whether the text replaces what is in the file or is added at its end.
    #[serde(default)]
    mode: Mode,
    /// How the text is encoded in the file.
    #[serde(default = "utf8")]
    encoding: String,
    /// A change to what the file holds, instead of content.
    transform: Option<Transform>,
}

fn utf8() -> String {
    "utf-8".into()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Overwrite,
    Append,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Transform {
    /// Renames an identifier wherever it stands as a whole word, byte by byte and case-sensitively.
    rename_identifier: Rename,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// The name as it is.
    from: String,
    /// The name as it is to be.
    to: String,
}

/// Writes a file. Metadata: `path`, `size` (bytes of the file afterwards), `written` (bytes of the content), `mode`; for a
/// transform `replacements`, and `skipped: "binary"` when the file was left alone.
#[derive(Debug, Default)]
pub struct FileWriteTool {
    allowed_paths: Folders,
}

impl FileWriteTool {
    /// Writes in the workspace.
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
        let args: WriteArgs = validate::arguments(call, || self.schema())?;
        match (&args.content, &args.transform) {
            (Some(content), None) => {
                let encoding =
                    TextEncoding::named(&args.encoding).ok_or_else(|| read::unknown_encoding(&args.encoding))?;
                put(&args, &places.find(&args.path, "/path")?, content, encoding)
            }
            (None, Some(transform)) => {
                let Rename { from, to } = &transform.rename_identifier;
                for (name, key) in [(from, "from"), (to, "to")] {
                    if let Some(expected) = rename::refuse(name) {
                        let pointer = format!("/transform/rename_identifier/{key}");
                        return Err(ArgumentError::invalid(pointer, expected, &Value::from(name.as_str())).into());
                    }
                }
                rename_in(&places.find(&args.path, "/path")?, from, to).map(|result| result.with("path", args.path))
            }
            (None, None) => Err(ArgumentError::missing("/content").into()),
            (Some(_), Some(_)) => Err(ArgumentError::refused(
                "/transform",
                "content or transform",
                "Invalid parameter /transform: expected content or transform, found both",
            )
            .into()),
        }
    }
}

fn put(args: &WriteArgs, place: &Place<'_>, content: &str, encoding: TextEncoding) -> Result<ToolResult, ToolResult> {
    let fail = |error: std::io::Error| place.failed("write", &error);
    let old_size = if place.dir.exists(&place.rel) { Some(place.file()?.size) } else { None };
    let appends = args.mode == Mode::Append && old_size.is_some_and(|size| size > 0);
    let bytes = encoding.encode(content, !appends).map_err(|character| {
        let message = format!("failed to write {}: {} has no {character:?}", place.text(), encoding.name());
        ToolResult::from(ArgumentError::refused(
            "/encoding",
            "an encoding that has every character of content",
            message,
        ))
    })?;
    if let Some(parent) = place.rel.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        place.dir.create_dir_all(parent).map_err(fail)?;
    }
    if appends {
        place.dir.append(&place.rel, &bytes).map_err(fail)?;
    } else {
        place.dir.write(&place.rel, &bytes, None).map_err(fail)?;
    }
    let size = bytes.len() as u64 + if appends { old_size.unwrap_or(0) } else { 0 };
    let verb = if args.mode == Mode::Append { "Appended" } else { "Wrote" };
    let to = place.text();
    Ok(ToolResult::success(format!("{verb} {} bytes to {to}", bytes.len()))
        .with("path", args.path.as_str())
        .with("size", size)
        .with("written", bytes.len())
        .with("mode", json!(args.mode))
        .with("encoding", encoding.name().into_owned())
        .with("created", old_size.is_none()))
}

fn rename_in(place: &Place<'_>, from: &str, to: &str) -> Result<ToolResult, ToolResult> {
    place.file()?;
    let fail = |error: std::io::Error| place.failed("rename in", &error);
    let bytes = place.dir.read(&place.rel, MOST_IN_MEMORY).map_err(fail)?;
    let shown = place.text();
    if rename::is_binary(&bytes) || classify(&bytes) != Content::Text {
        return Ok(ToolResult::success(format!("Left {shown} alone: it is a binary file"))
            .with("skipped", "binary")
            .with("replacements", 0)
            .with("size", bytes.len())
            .with("mode", "transform"));
    }
    let (renamed, count) = rename::rename(&bytes, from.as_bytes(), to.as_bytes());
    if count > 0 && renamed != bytes {
        place.dir.write(&place.rel, &renamed, None).map_err(fail)?;
    }
    let times = if count == 1 { "once".into() } else { format!("{count} times") };
    Ok(ToolResult::success(format!("Renamed {from} to {to} in {shown}, {times}"))
        .with("replacements", count)
        .with("size", renamed.len())
        .with("mode", "transform"))
}

impl Tool for FileWriteTool {
    fn name(&self) -> &str {
        "file_write"
    }
    fn description(&self) -> &str {
        "Write text to a file, replacing what it held or adding to its end. Missing folders are made. To change part of a file, use edit."
    }
    fn schema(&self) -> Value {
        let mut schema = schema::of::<WriteArgs>();
        // `content` is what everybody gives; a plan's rename gives `transform` in its place.
        schema["anyOf"] = json!([{"required": ["content"]}, {"required": ["transform"]}]);
        schema["properties"]["transform"][PLAN_ONLY] = true.into();
        schema
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        self.run(call, &Places::new(context, &self.allowed_paths)).unwrap_or_else(|failure| failure)
    }
    fn roots(&self, _params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        self.allowed_paths.get()
    }
    fn resources(&self, params: &Map<String, Value>) -> Resources {
        match params.get("path").and_then(Value::as_str) {
            Some(path) => Resources::Keys(vec![write_key(Path::new(path))]),
            None => Resources::Undeclared,
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
