//! Arguments against their schema: each mistake at its JSON pointer, and paths as tools resolve them.

use serde_json::json;

use super::*;
use crate::tools::ToolRegistry;

fn refused(tool: &str, params: Value) -> ToolResult {
    let registry = ToolRegistry::full_registry();
    let result = registry.validate(tool, params.as_object().unwrap());
    result.expect_err(&format!("{tool} {params} is refused"))
}

#[test]
fn each_kind_of_bad_argument_has_its_pointer() {
    let cases = [
        ("file_read", json!({}), "/path", "Missing required parameter: path"),
        ("file_read", json!({"path": 1}), "/path", "Invalid parameter /path: expected a string, found 1"),
        ("file_read", json!({"path": null}), "/path", "Invalid parameter /path: expected a string, found null"),
        (
            "file_read",
            json!({"path": "a", "start_line": 0}),
            "/start_line",
            "Invalid parameter /start_line: expected at least 1, found 0",
        ),
        (
            "file_read",
            json!({"path": "a", "start_line": 1.5}),
            "/start_line",
            "Invalid parameter /start_line: expected an integer, found 1.5",
        ),
        (
            "file_read",
            json!({"path": "a", "max_bytes": 1e300}),
            "/max_bytes",
            "Invalid parameter /max_bytes: expected at most 268435456, found 1e+300",
        ),
        (
            "file_read",
            json!({"path": "a", "x/y": 1}),
            "/x~1y",
            "Unknown parameter: x/y (expected one of path, encoding, start_line, end_line, max_bytes, lossy)",
        ),
        ("file_write", json!({"path": "a"}), "/content", "Missing required parameter: content"),
        ("file_write", json!({"content": "a"}), "/path", "Missing required parameter: path"),
        (
            "file_write",
            json!({"path": "a", "content": "", "mode": "truncate"}),
            "/mode",
            "Invalid parameter /mode: expected one of \"overwrite\", \"append\", found \"truncate\"",
        ),
        (
            "file_write",
            json!({"path": "a", "transform": {"rename_identifier": {"from": "a"}}}),
            "/transform/rename_identifier/to",
            "Missing required parameter: transform/rename_identifier/to",
        ),
        ("edit", json!({}), "/path", "Missing required parameter: path"),
        ("edit", json!({"path": "a", "old": "b"}), "/new", "Missing required parameter: new"),
        (
            "edit",
            json!({"edits": []}),
            "/edits",
            "Invalid parameter /edits: expected at least 1 items, found an array of 0",
        ),
        (
            "edit",
            json!({"edits": [{"path": "a", "old": "b", "new": "c"}, {"path": "a", "new": "c"}]}),
            "/edits/1/old",
            "Missing required parameter: edits/1/old",
        ),
        (
            "search",
            json!({"pattern": "a", "max_results": "ten"}),
            "/max_results",
            "Invalid parameter /max_results: expected an integer, found \"ten\"",
        ),
        (
            "search",
            json!({"pattern": "a", "max_results": -1}),
            "/max_results",
            "Invalid parameter /max_results: expected at least 0, found -1",
        ),
        (
            "search",
            json!({"pattern": "a", "output_mode": 3}),
            "/output_mode",
            "Invalid parameter /output_mode: expected a string, found 3",
        ),
        (
            "search",
            json!({"pattern": ["a"]}),
            "/pattern",
            "Invalid parameter /pattern: expected a string, found an array of 1",
        ),
        (
            "list_files",
            json!({"hidden": "yes"}),
            "/hidden",
            "Invalid parameter /hidden: expected a boolean, found \"yes\"",
        ),
    ];
    for (tool, params, pointer, message) in cases {
        let failure = refused(tool, params.clone());
        assert_eq!(failure.error.as_deref(), Some(message), "{tool} {params}");
        assert_eq!(failure.metadata["pointer"], pointer, "{tool} {params}");
        assert_eq!(failure.cause, Some(Cause::InvalidArguments));
        assert_eq!(failure.metadata["errors"][0]["pointer"], pointer);
    }
}

#[test]
fn every_error_is_listed_what_is_missing_first() {
    let failure = refused("search", json!({"max_results": "x", "colour": 1}));
    let pointers: Vec<&Value> = failure.metadata["errors"].as_array().unwrap().iter().map(|e| &e["pointer"]).collect();
    assert_eq!(pointers, ["/pattern", "/colour", "/max_results"]);
    assert_eq!(failure.metadata["errors"][2]["expected"], "an integer");
    assert_eq!(failure.metadata["errors"][2]["found"], "\"x\"");
}

#[test]
fn good_arguments_come_back_in_the_form_the_schema_means() {
    let registry = ToolRegistry::full_registry();
    let given = json!({"pattern": "a", "max_results": 5.0, "path": null, "multiline": null});
    let params = registry.validate("search", given.as_object().unwrap()).unwrap();
    assert_eq!(Value::Object(params), json!({"pattern": "a", "max_results": 5}));
    let given = json!({"edits": [{"path": "a", "old": "b", "new": "c", "expected_count": null}]});
    let params = registry.validate("edit", given.as_object().unwrap()).unwrap();
    assert_eq!(Value::Object(params), json!({"edits": [{"path": "a", "old": "b", "new": "c"}]}));
    let given = json!({"path": "a", "transform": {"rename_identifier": {"from": "a", "to": "b"}}});
    assert!(registry.validate("file_write", given.as_object().unwrap()).is_ok());
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let failure = refused("search", json!({"pattern": "a", "max_results": "é".repeat(500)}));
    assert!(failure.error.unwrap().len() < 250);
}

#[test]
fn paths_resolve_against_the_root_and_no_further() {
    let root = Path::new("/w/root");
    let resolved = |path: &str| resolve_path(root, Path::new(path)).display().to_string();
    assert_eq!(resolved("a/./b"), "/w/root/a/b");
    assert_eq!(resolved("."), "/w/root");
    assert_eq!(resolved("a/../b"), "/w/root/a/../b", "the kernel takes links into account");
    assert_eq!(resolved("../other/b"), "/w/other/b");
    assert_eq!(resolved("a/../../root/b"), "/w/root/b");
    assert_eq!(resolved("/etc/passwd"), "/etc/passwd");
    let params = json!({"path": "a/../b", "edits": [{"path": "/x"}]});
    let paths = resolve_paths(root, params.as_object().unwrap());
    assert_eq!(paths, [PathBuf::from("/w/root/b"), PathBuf::from("/x")]);
}

#[test]
fn a_schema_that_is_no_object_schema_is_refused() {
    for bad in [
        json!([]),
        json!({"type": "string"}),
        json!({}),
        json!({"type": "object", "properties": []}),
        json!({"type": "object", "properties": {"a": {"type": "text"}}}),
    ] {
        assert!(Validator::new(&bad, true).is_err(), "{bad}");
    }
    assert!(Validator::new(&json!({"type": "object"}), true).is_ok());
}

#[test]
fn unknown_arguments_pass_only_where_the_tool_takes_them() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let params = json!({"b": 1});
    let params = params.as_object().unwrap();
    assert!(Validator::new(&schema, true).unwrap().check(params).is_err());
    assert!(Validator::new(&schema, false).unwrap().check(params).is_ok());
}
