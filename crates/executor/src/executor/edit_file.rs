//! The tool behind `AgenticExecutor::edit_file`: reads with `file_read`, writes with `file_write`, both in one layer.
//!
//! It asks those two tools rather than the disk, so that the paths they allow are the paths it allows.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::cause::Cause;
use crate::tools::{
    Access, FileReadTool, FileWriteTool, Resources, Tool, ToolCall, ToolContext, ToolRegistry, ToolResult,
};

pub(super) const NAME: &str = "edit_file";

#[derive(Debug)]
pub(super) struct EditFile {
    read: Arc<dyn Tool>,
    write: Arc<dyn Tool>,
}

impl EditFile {
    /// Over the registered tools; the built-in ones where there are none.
    pub(super) fn over(registry: &ToolRegistry) -> Self {
        Self {
            read: registry.get("file_read").unwrap_or_else(|| Arc::new(FileReadTool::new())),
            write: registry.get("file_write").unwrap_or_else(|| Arc::new(FileWriteTool::new())),
        }
    }
}

fn path_only(params: &Map<String, Value>) -> Map<String, Value> {
    params.iter().filter(|(name, _)| *name == "path").map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Tool for EditFile {
    fn name(&self) -> &str {
        NAME
    }
    fn description(&self) -> &str {
        "Replaces every occurrence of a text in a file"
    }
    fn schema(&self) -> Value {
        let text = |description: &str| json!({ "type": "string", "description": description });
        json!({
            "type": "object",
            "properties": {
                "path": text("The file"),
                "old_content": text("The text to replace, exactly"),
                "new_content": text("What to put in its place"),
            },
            "required": ["path", "old_content", "new_content"],
            "additionalProperties": false,
        })
    }
    fn roots(&self, params: &Map<String, Value>) -> Option<Vec<PathBuf>> {
        let path = path_only(params);
        match (self.read.roots(&path), self.write.roots(&path)) {
            (None, None) => None,
            (Some(mut roots), Some(more)) => {
                let more: Vec<_> = more.into_iter().filter(|root| !roots.contains(root)).collect();
                roots.extend(more);
                Some(roots)
            }
            (roots, None) | (None, roots) => roots,
        }
    }
    fn access(&self, params: &Map<String, Value>) -> Access {
        let path = path_only(params);
        let both = [self.read.access(&path), self.write.access(&path)];
        [Access::Write, Access::Read].into_iter().find(|access| both.contains(access)).unwrap_or(Access::None)
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Independent
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let text = |name: &str| call.params.get(name).and_then(Value::as_str).unwrap_or_default();
        let (old, new) = (text("old_content"), text("new_content"));
        if old.is_empty() {
            return ToolResult::failure(Cause::InvalidArguments, "the text to replace is empty")
                .with("pointer", "/old_content");
        }
        let path = path_only(&call.params);
        let found =
            self.read.execute(&ToolCall { tool: "file_read".into(), params: path.clone(), ..call.clone() }, context);
        if !found.is_success() {
            return found;
        }
        let whole = !found.metadata.get("truncated").and_then(Value::as_bool).unwrap_or(false);
        let Value::String(content) = &found.output else {
            return ToolResult::failure(Cause::Failed, format!("cannot edit {}: it is not text", text("path")));
        };
        if !whole {
            return ToolResult::failure(
                Cause::Failed,
                format!("cannot edit {}: it is too large to read whole", text("path")),
            );
        }
        let count = content.matches(old).count();
        if count == 0 {
            return ToolResult::failure(Cause::EditMismatch, "Old content not found in file")
                .with("path", text("path"));
        }
        let mut params = path;
        params.insert("content".into(), content.replace(old, new).into());
        // What it was read with writes it again: byte order marks and UTF-16 survive.
        if let Some(encoding) = found.metadata.get("encoding").filter(|encoding| *encoding != "utf-8") {
            params.insert("encoding".into(), encoding.clone());
        }
        let written = self.write.execute(&ToolCall { tool: "file_write".into(), params, ..call.clone() }, context);
        if !written.is_success() {
            return written;
        }
        let output = format!("Replaced {count} occurrence{} in {}", if count == 1 { "" } else { "s" }, text("path"));
        ToolResult { output: output.into(), attachment: None, ..written }.with("replacements", count)
    }
}
