//! The file tools called through the executor: over a private layer, committed when they succeed.

use agentic_executor::config::{Budgets, Host, SandboxSettings};
use agentic_executor::sandbox::Spawner;
use agentic_executor::tools::{FileReadTool, ToolRegistry, ToolResult};
use agentic_executor::{AgenticExecutor, Config, ToolStatus};
use agentic_testkit::TestWorkspace;
use serde_json::{Value, json};
use std::sync::Arc;

fn executor(workspace: &TestWorkspace, registry: ToolRegistry) -> AgenticExecutor {
    let config = Config {
        workspace: workspace.path().to_owned(),
        state: workspace.state().to_owned(),
        spawner: Spawner::Path(agentic_testkit::spawner_binary()),
        host: Host { memory: 4 << 30, ..Host::default() },
        sandbox: SandboxSettings::default(),
        budgets: Budgets::default(),
    };
    AgenticExecutor::builder(config).registry(registry).build().unwrap()
}

fn call(executor: &AgenticExecutor, tool: &str, params: Value) -> ToolResult {
    executor.call(tool, params.as_object().unwrap().clone())
}

#[test]
fn what_tools_write_is_committed_and_seen_by_the_next() {
    let workspace = TestWorkspace::new();
    workspace.file("a.py", "def getUserData():\n    return 1\n").file("b/c.py", "getUserData()\ngetUserDataX()\n");
    let executor = executor(&workspace, ToolRegistry::full_registry());
    let written = call(&executor, "file_write", json!({"path": "new/x.txt", "content": "hello\n"}));
    assert!(written.is_success(), "{written:?}");
    assert_eq!(std::fs::read(workspace.join("new/x.txt")).unwrap(), b"hello\n");
    assert_eq!(call(&executor, "file_read", json!({"path": "new/x.txt"})).output, "hello\n");
    let found =
        call(&executor, "search", json!({"pattern": r"\bgetUserData\b", "output_mode": "files", "max_results": 0}));
    assert_eq!(found.metadata["files"], json!(["a.py", "b/c.py"]));
    for path in ["a.py", "b/c.py"] {
        let transform = json!({"rename_identifier": {"from": "getUserData", "to": "fetchUserProfile"}});
        let renamed = call(&executor, "file_write", json!({"path": path, "transform": transform}));
        assert_eq!(renamed.metadata["replacements"], 1, "{renamed:?}");
    }
    assert_eq!(std::fs::read(workspace.join("b/c.py")).unwrap(), b"fetchUserProfile()\ngetUserDataX()\n");
    let edited = call(&executor, "edit", json!({"path": "a.py", "old": "return 1", "new": "return 2"}));
    assert!(edited.is_success(), "{edited:?}");
    assert_eq!(std::fs::read(workspace.join("a.py")).unwrap(), b"def fetchUserProfile():\n    return 2\n");
    let listed = call(&executor, "list_files", json!({}));
    assert_eq!(listed.output, "a.py\nb/c.py\nnew/x.txt");
}

#[test]
fn a_failed_edit_of_many_leaves_every_file() {
    let workspace = TestWorkspace::new();
    workspace.file("a", "one\n").file("b", "two\n");
    let executor = executor(&workspace, ToolRegistry::full_registry());
    let edits = json!([{"path": "a", "old": "one", "new": "1"}, {"path": "b", "old": "three", "new": "3"}]);
    let failure = call(&executor, "edit", json!({"edits": edits}));
    assert_eq!(failure.status, ToolStatus::Error);
    assert_eq!(failure.metadata["pointer"], "/edits/1/old");
    assert_eq!(std::fs::read(workspace.join("a")).unwrap(), b"one\n");
}

#[test]
fn bad_arguments_are_refused_with_their_pointer() {
    let workspace = TestWorkspace::new();
    let executor = executor(&workspace, ToolRegistry::full_registry());
    let cases = [
        ("file_read", json!({}), "/path"),
        ("file_read", json!({"path": "a", "start_line": 0}), "/start_line"),
        ("file_read", json!({"path": "a\0b"}), "/path"),
        ("search", json!({"pattern": "a", "max_results": "ten"}), "/max_results"),
        ("search", json!({"pattern": "a", "colour": 1}), "/colour"),
        ("file_write", json!({"path": "a"}), "/content"),
        ("shell", json!({}), "/command"),
        ("run_code", json!({"code": 1}), "/code"),
    ];
    for (tool, params, pointer) in cases {
        let failure = call(&executor, tool, params.clone());
        assert_eq!(failure.metadata.get("pointer"), Some(&json!(pointer)), "{tool} {params}: {failure:?}");
    }
}

#[test]
fn allowed_paths_are_roots_of_their_own_and_change_while_in_use() {
    let workspace = TestWorkspace::new();
    let other = TestWorkspace::new();
    workspace.file("in", "in");
    other.file("out", "out");
    let reader = Arc::new(FileReadTool::new());
    let registry = ToolRegistry::new();
    registry.register(reader.clone()).unwrap();
    let executor = executor(&workspace, registry);
    let out = other.join("out").display().to_string();
    let refused = call(&executor, "file_read", json!({"path": out}));
    assert_eq!(refused.status, ToolStatus::PermissionDenied, "{refused:?}");
    reader.set_allowed_paths(Some(vec![other.path().to_owned()]));
    assert_eq!(call(&executor, "file_read", json!({"path": out})).output, "out");
    let inside = call(&executor, "file_read", json!({"path": "in"}));
    assert_eq!(inside.status, ToolStatus::PermissionDenied, "the workspace is no longer among them: {inside:?}");
}

#[test]
fn edit_file_keeps_a_byte_order_mark_and_adds_no_tool() {
    let workspace = TestWorkspace::new();
    workspace.file("a.txt", b"\xEF\xBB\xBFone\r\n");
    let executor = executor(&workspace, ToolRegistry::default_registry());
    let result = executor.edit_file("a.txt", "one", "two");
    assert!(result.success, "{result:?}");
    assert_eq!(std::fs::read(workspace.join("a.txt")).unwrap(), b"\xEF\xBB\xBFtwo\r\n");
    assert_eq!(executor.registry().list_tools(), ["file_read", "file_write", "shell", "search"]);
}

#[test]
fn the_tools_wait_for_no_pipe_and_follow_no_way_out() {
    use std::os::unix::fs::symlink;
    let workspace = TestWorkspace::new();
    workspace.file("a.txt", "needle\n").dir("d");
    let secret = workspace.state().parent().unwrap().join("secret");
    std::fs::write(&secret, "needle of the host\n").unwrap();
    symlink(&secret, workspace.join("out")).unwrap();
    symlink("..", workspace.join("d/up")).unwrap();
    symlink("self", workspace.join("self")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, workspace.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let executor = executor(&workspace, ToolRegistry::full_registry());
    for path in ["pipe", "out", "self", "d/up/../secret"] {
        let read = call(&executor, "file_read", json!({ "path": path }));
        assert!(!read.is_success() && !read.output_text().contains("of the host"), "{path}: {read:?}");
        let edited = call(&executor, "edit", json!({ "path": path, "old": "needle", "new": "x" }));
        assert!(!edited.is_success(), "{path}: {edited:?}");
        let written = call(&executor, "file_write", json!({ "path": path, "content": "x" }));
        assert!(!written.is_success(), "{path}: {written:?}");
    }
    let found = call(&executor, "search", json!({ "pattern": "needle", "output_mode": "files" }));
    assert_eq!(found.metadata["files"], json!(["a.txt"]));
    assert!(call(&executor, "list_files", json!({})).is_success());
    // The control: the file outside is there, and as it was.
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "needle of the host\n");
}
