//! `search`: what is found, in which files, and how much is shown.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::cause::Cause;
use crate::tools::place::testing::{Folder, call, refusal};

fn search(folder: &Folder, params: Value) -> Result<ToolResult, ToolResult> {
    SearchTool::new().run(&call("search", params), &folder.places(), &Stop::of(&folder.cancel, None))
}

fn output(folder: &Folder, params: Value) -> String {
    search(folder, params).unwrap().output.as_str().unwrap().to_owned()
}

fn project() -> Folder {
    Folder::with(&[
        (".gitignore", b"build/\n"),
        ("a.py", b"# TODO one\nx = 1\n# todo two\n"),
        ("b.rs", b"// TODO three\r\n"),
        ("build/c.py", b"# TODO built\n"),
        (".env.py", b"# TODO hidden\n"),
        ("data.bin", b"TODO\0TODO\n"),
        ("sub/d.py", b"fn first() {\n    TODO\n}\nfn second() {\n}\n"),
    ])
}

#[test]
fn lines_come_with_path_and_number_in_order() {
    let folder = project();
    let result = search(&folder, json!({"pattern": "todo"})).unwrap();
    assert_eq!(result.output, "a.py:1: # TODO one\na.py:3: # todo two\nb.rs:1: // TODO three\nsub/d.py:2:     TODO");
    assert_eq!(
        Value::Object(result.metadata),
        json!({
            "matches": 4, "files_searched": 3, "files": ["a.py", "b.rs", "sub/d.py"],
            "truncated": false, "binary_skipped": 1, "unreadable": 0,
        })
    );
}

#[test]
fn each_parameter_does_what_it_says() {
    let folder = project();
    assert_eq!(
        output(&folder, json!({"pattern": "TODO", "case_sensitive": true, "path": "a.py"})),
        "a.py:1: # TODO one"
    );
    assert_eq!(output(&folder, json!({"pattern": "todo", "file_pattern": "*.rs"})), "b.rs:1: // TODO three");
    assert_eq!(output(&folder, json!({"pattern": "todo", "file_pattern": "sub/*"})), "sub/d.py:2:     TODO");
    assert_eq!(output(&folder, json!({"pattern": "todo", "path": "sub"})), "sub/d.py:2:     TODO");
    assert_eq!(output(&folder, json!({"pattern": "built", "respect_gitignore": false})), "build/c.py:1: # TODO built");
    assert_eq!(output(&folder, json!({"pattern": "hidden"})), "No matches found");
    assert_eq!(output(&folder, json!({"pattern": "hidden", "hidden": true})), ".env.py:1: # TODO hidden");
    assert_eq!(output(&folder, json!({"pattern": "todo", "output_mode": "files"})), "a.py\nb.rs\nsub/d.py");
    assert_eq!(output(&folder, json!({"pattern": "todo", "output_mode": "count"})), "a.py:2\nb.rs:1\nsub/d.py:1");
    let refused = refusal(search(&folder, json!({"pattern": r"first\(\) \{\n.*TODO"}))).0;
    assert!(refused.ends_with("(set multiline for a pattern that spans lines)"), "{refused}");
    assert_eq!(
        output(&folder, json!({"pattern": r"first\(\) \{\n.*TODO", "multiline": true})),
        "sub/d.py:1: fn first() {\nsub/d.py:2:     TODO"
    );
    assert_eq!(
        output(&folder, json!({"pattern": "x = 1", "context_lines": 1})),
        "a.py-1- # TODO one\na.py:2: x = 1\na.py-3- # todo two"
    );
}

#[test]
fn groups_of_context_are_parted() {
    let folder = Folder::with(&[("f", b"hit\n1\n2\n3\n4\nhit\n")]);
    assert_eq!(
        output(&folder, json!({"pattern": "hit", "context_lines": 1})),
        "f:1: hit\nf-2- 1\n--\nf-5- 4\nf:6: hit"
    );
}

#[test]
fn results_are_capped_and_it_is_said() {
    let folder = project();
    let two = search(&folder, json!({"pattern": "todo", "max_results": 2})).unwrap();
    assert_eq!(two.output, "a.py:1: # TODO one\na.py:3: # todo two");
    assert_eq!((&two.metadata["matches"], &two.metadata["truncated"]), (&json!(2), &json!(true)));
    let all = search(&folder, json!({"pattern": "todo", "max_results": 4})).unwrap();
    assert_eq!(all.metadata["truncated"], false, "four of four is all of them");
    let file = search(&folder, json!({"pattern": "todo", "max_results": 1, "output_mode": "files"})).unwrap();
    assert_eq!((file.output, &file.metadata["truncated"]), (json!("a.py"), &json!(true)));
    let many: Vec<u8> = b"hit\n".repeat(500);
    let folder = Folder::with(&[("many", &many)]);
    assert_eq!(search(&folder, json!({"pattern": "hit"})).unwrap().metadata["matches"], 50);
    assert_eq!(search(&folder, json!({"pattern": "hit", "max_results": 0})).unwrap().metadata["matches"], 500);
}

#[test]
fn a_caret_finds_every_file_once_also_an_empty_one() {
    let folder = Folder::with(&[
        ("a/config.yaml", b"x: 1\ny: 2\n"),
        ("b/config.yaml", b""),
        ("b/other", b"z"),
        ("c/config.yaml", b"\0\x01"),
    ]);
    let result = search(&folder, json!({"pattern": "^", "file_pattern": "config.yaml"})).unwrap();
    assert_eq!(result.output, "a/config.yaml:1: x: 1\nb/config.yaml:1: \nc/config.yaml:1: ");
    assert_eq!(result.metadata["files"], json!(["a/config.yaml", "b/config.yaml", "c/config.yaml"]));
    assert_eq!(result.metadata["matches"], 3);
    let paths = output(&folder, json!({"pattern": "^", "file_pattern": "config.yaml", "output_mode": "files"}));
    assert_eq!(paths, "a/config.yaml\nb/config.yaml\nc/config.yaml");
}

#[test]
fn bad_arguments_have_their_pointer_and_message() {
    let folder = project();
    let (error, pointer) = refusal(search(&folder, json!({"pattern": "("})));
    assert!(error.starts_with("Invalid regex: "), "{error}");
    assert_eq!(pointer, "/pattern");
    let (error, pointer) = refusal(search(&folder, json!({"pattern": ""})));
    assert!(error.starts_with("Invalid regex: it is empty"), "{error}");
    assert_eq!(pointer, "/pattern");
    assert!(refusal(search(&folder, json!({"pattern": "(?=a)"}))).0.ends_with("(look-around is not supported)"));
    assert_eq!(refusal(search(&folder, json!({"pattern": "a", "file_pattern": "{a"}))).1, "/file_pattern");
    assert_eq!(refusal(search(&folder, json!({"pattern": "a", "path": "a\0"}))).1, "/path");
    assert_eq!(refusal(search(&folder, json!({"pattern": "a", "path": "none"}))).0, "File not found: none");
    let outside = search(&folder, json!({"pattern": "a", "path": "/etc"})).unwrap_err();
    assert_eq!(outside.cause, Some(Cause::PermissionDenied));
    assert_eq!(refusal(search(&folder, json!({"pattern": "a\nb"}))).1, "/pattern");
}

#[test]
fn odd_bytes_do_not_stop_it() {
    let long = [b"x".repeat(10_000), b"needle\n".to_vec()].concat();
    let late_nul = [b"needle\n".repeat(20_000), b"\0".to_vec()].concat();
    let folder = Folder::with(&[
        ("latin", b"caf\xe9 needle\n"),
        ("long", &long),
        ("late", &late_nul),
        ("wide", b"\xff\xfen\0e\0e\0d\0l\0e\0\n\0"),
        ("last", b"needle"),
    ]);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let result = search(&folder, json!({"pattern": "needle", "max_results": 0})).unwrap();
    let text = result.output.as_str().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "last:1: needle");
    assert_eq!(lines[1], "latin:1: caf\u{fffd} needle");
    assert!(lines[2].starts_with("long:1: xxx") && lines[2].ends_with("… [8006 bytes cut]"), "{}", lines[2].len());
    assert_eq!(lines[3..], ["wide:1: needle"]);
    assert_eq!(result.metadata["binary_skipped"], 1);
}

#[test]
fn the_answer_is_the_same_every_time() {
    let names: Vec<String> = (0..400).map(|n| format!("d{}/f{n}.txt", n % 7)).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), b"one hit\ntwo hit\n".as_slice())).collect();
    let folder = Folder::with(&files);
    for most in [0, 1, 7, 333] {
        let first = search(&folder, json!({"pattern": "hit", "max_results": most})).unwrap();
        for _ in 0..5 {
            let again = search(&folder, json!({"pattern": "hit", "max_results": most})).unwrap();
            assert_eq!(again, first, "max_results {most}");
        }
    }
}

#[test]
fn several_folders_are_searched_in_turn_and_nothing_else() {
    let folder = Folder::with(&[("one/a", b"hit"), ("two/b", b"hit"), ("three/c", b"hit")]);
    let places = folder.only(&["two", "one"]);
    let tool = SearchTool::new();
    let result =
        tool.run(&call("search", json!({"pattern": "hit"})), &places, &Stop::of(&folder.cancel, None)).unwrap();
    assert_eq!(result.output, "two/b:1: hit\none/a:1: hit");
    let outside =
        tool.run(&call("search", json!({"pattern": "hit", "path": "three"})), &places, &Stop::of(&folder.cancel, None));
    assert_eq!(outside.unwrap_err().cause, Some(Cause::PermissionDenied));
}

#[test]
fn it_ends_when_asked() {
    let folder = project();
    let late = SearchTool::new().run(
        &call("search", json!({"pattern": "todo"})),
        &folder.places(),
        &Stop::of(&folder.cancel, Some(Duration::ZERO)),
    );
    assert_eq!(late.unwrap_err().cause, Some(Cause::Timeout));
    folder.cancel.cancel();
    assert_eq!(search(&folder, json!({"pattern": "todo"})).unwrap_err().cause, Some(Cause::Cancelled));
}
