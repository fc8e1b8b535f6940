//! A tool that looks at files between the programs that it runs, as one of another crate may.

mod tools_common;

use std::path::Path;
use std::time::Duration;

use agentic_executor::runtime::Runtimes;
use agentic_executor::{Tool, ToolCall, ToolContext, ToolResult};
use serde_json::{Value, json};
use tools_common::Place;

/// Writes, runs, looks and writes again, in one layer.
struct Between;

impl Tool for Between {
    fn name(&self) -> &str {
        "between"
    }
    fn description(&self) -> &str {
        "looks at files between programs"
    }
    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": {} })
    }
    fn execute(&self, _: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let runtimes = Runtimes::new();
        let workspace = &context.config.workspace;
        let shell = |line: &str| context.shell(line, workspace, Duration::from_secs(60), &runtimes).unwrap();
        let put = |name: &str, text: &str| {
            let (dir, rel) = context.look().unwrap();
            let before = dir.read(&rel.join(name), 1 << 20).unwrap_or_default();
            dir.write(&rel.join(name), text.as_bytes(), None).unwrap();
            String::from_utf8(before).unwrap()
        };
        let mut seen = vec![put("a.txt", "first\n")];
        // Another file takes its place, as an editor does it, and one is new.
        let output = shell("cat a.txt; sed -i s/first/second/ a.txt; mkdir -p new; echo made > new/b.txt; touch .h");
        assert!(output.reason.success(), "{output:?}");
        seen.extend([output.stdout.text(), put("a.txt", "third\n"), put("new/b.txt", "ours\n")]);
        seen.push(shell("cat a.txt new/b.txt; exit 3").stdout.text());
        let files =
            |hidden| context.files(hidden).unwrap().paths.iter().map(|path| path.display().to_string()).collect();
        let (shown, all): (Vec<String>, Vec<String>) = (files(false), files(true));
        ToolResult::success("").with("seen", seen).with("shown", shown).with("all", all)
    }
}

#[test]
fn a_tool_sees_what_its_programs_wrote_and_they_see_what_it_wrote() {
    let place = Place::new();
    place.workspace.file("a.txt", "before\n").file(".gitignore", "out/\n").file("out/x", "").file("src/c.txt", "");
    let result = place.call(&Between, json!({}));
    assert_eq!(result.metadata["seen"], json!(["before\n", "first\n", "second\n", "made\n", "third\nours\n"]));
    assert_eq!(result.metadata["shown"], json!(["a.txt", "new/b.txt", "src/c.txt"]));
    assert_eq!(result.metadata["all"], json!([".gitignore", ".h", "a.txt", "new/b.txt", "src/c.txt"]));
    assert_eq!(place.workspace.read(Path::new("a.txt")), "third\n");
}
