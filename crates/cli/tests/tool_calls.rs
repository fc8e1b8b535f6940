//! `agentic tool`: the list, the schemas, a bare call and its refusals. These tests need the tools.

mod scene;

use scene::Scene;

#[test]
fn the_built_in_tools_are_listed_with_schemas_in_every_shape() {
    let scene = Scene::new();
    let list = scene.run(["tool", "list", "--json"]).ends(0).json();
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for name in
        ["file_read", "file_write", "shell", "search", "edit", "apply_patch", "list_files", "run_code", "rollback"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    scene.run(["tool", "list"]).ends(0).prints("file_read");
    for (format, pointer) in [
        ("openai", "/0/function/parameters"),
        ("anthropic", "/0/input_schema"),
        ("mcp", "/0/inputSchema"),
        ("plain", "/0/parameters"),
    ] {
        let schemas = scene.run(["tool", "schema", "--format", format]).ends(0).json();
        assert_eq!(schemas.as_array().unwrap().len(), names.len());
        assert_eq!(schemas.pointer(pointer).unwrap()["type"], "object", "{format}");
    }
    let one = scene.run(["tool", "schema", "search", "--format", "mcp"]).ends(0).json();
    assert_eq!(one[0]["name"], "search");
    scene.run(["tool", "schema", "no_such_tool"]).ends(2).says("no_such_tool").says("file_read");
}

#[test]
fn a_call_passes_the_same_door_and_commits() {
    let scene = Scene::new();
    scene.run(["tool", "call", "file_write", "--params", r#"{"path": "a.txt", "content": "hi"}"#]).ends(0);
    assert_eq!(scene.read("a.txt"), "hi");
    let seen = scene.run_with(["tool", "call", "file_read", "--params", "-"], br#"{"path": "a.txt"}"#);
    seen.ends(0).prints("hi");
    let object = scene.run(["tool", "call", "file_read", "--params", r#"{"path": "a.txt"}"#, "--json"]).ends(0).json();
    assert_eq!(object["status"], "success");
}

#[test]
fn every_argument_error_is_bad_input_with_its_pointer() {
    let scene = Scene::new();
    for (tool, params, words) in [
        ("no_such_tool", "{}", vec!["Unknown tool: no_such_tool"]),
        ("file_read", "{}", vec!["path"]),
        ("file_read", r#"{"path": 3}"#, vec!["/path"]),
        ("file_read", r#"{"path": "a", "surprise": 1}"#, vec!["surprise"]),
    ] {
        let seen = scene.run(["tool", "call", tool, "--params", params]);
        seen.ends(2);
        for word in words {
            seen.says(word);
        }
    }
    scene.run(["tool", "call", "file_read", "--params", r#"{"path": "absent.txt"}"#]).ends(1).says("File not found");
    scene.run(["tool", "call", "file_read", "--params", r#"{"path": "/etc/hostname"}"#]).ends(4);
    scene
        .run(["tool", "call", "shell", "--params", r#"{"command": "sleep 60", "timeout": 1}"#])
        .ends(5)
        .says("timed out");
}

#[test]
fn an_unknown_tool_is_answered_with_those_that_there_are() {
    let scene = Scene::new();
    scene
        .run(["tool", "call", "no_such_tool"])
        .ends(2)
        .says("Unknown tool: no_such_tool")
        .says("the tools are file_read");
    let told = scene.run(["tool", "call", "no_such_tool", "--json"]).ends(2).json();
    assert_eq!(told["error"], "Unknown tool: no_such_tool");
}
