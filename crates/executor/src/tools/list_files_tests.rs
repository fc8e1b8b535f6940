//! `list_files`: order, switches, several folders, links and odd names, refusals.

use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use super::*;
use crate::cause::Cause;
use crate::tools::place::testing::{Folder, call, refusal};

fn project() -> Folder {
    Folder::with(&[
        (".gitignore", b"target/\n*.log\n!keep.log\n"),
        (".hidden", b""),
        (".git/config", b""),
        ("README.md", b""),
        ("src/lib.rs", b""),
        ("src/a/lib.rs", b""),
        ("src/a/.gitignore", b"local\n"),
        ("src/a/local", b""),
        ("target/out.rs", b""),
        ("x.log", b""),
        ("keep.log", b""),
    ])
}

fn list(folder: &Folder, params: Value) -> Result<ToolResult, ToolResult> {
    ListFilesTool::new().run(&call("list_files", params), &folder.places(), &Stop::of(&folder.cancel, None))
}

fn files(folder: &Folder, params: Value) -> Vec<String> {
    let result = list(folder, params).unwrap();
    result.metadata["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned()).collect()
}

#[test]
fn files_are_listed_in_order_without_what_git_ignores() {
    let folder = project();
    let result = list(&folder, json!({})).unwrap();
    assert_eq!(result.output, "README.md\nkeep.log\nsrc/a/lib.rs\nsrc/lib.rs");
    assert_eq!((&result.metadata["count"], &result.metadata["truncated"]), (&json!(4), &json!(false)));
}

#[test]
fn each_switch_does_what_it_says() {
    let folder = project();
    assert_eq!(files(&folder, json!({"name": "lib.rs"})), ["src/a/lib.rs", "src/lib.rs"]);
    assert_eq!(files(&folder, json!({"glob": "*.rs"})), ["src/a/lib.rs", "src/lib.rs"]);
    assert_eq!(files(&folder, json!({"glob": "src/*.rs"})), ["src/lib.rs"]);
    assert_eq!(files(&folder, json!({"glob": "src/**/*.rs"})), ["src/a/lib.rs", "src/lib.rs"]);
    assert_eq!(files(&folder, json!({"glob": "*.{md,log}"})), ["README.md", "keep.log"]);
    assert_eq!(files(&folder, json!({"path": "src"})), ["src/a/lib.rs", "src/lib.rs"]);
    assert_eq!(files(&folder, json!({"path": "target/../src/a"})), ["src/a/lib.rs"]);
    assert_eq!(files(&folder, json!({"path": "src", "glob": "a/*"})), ["src/a/lib.rs"]);
    assert_eq!(files(&folder, json!({"path": "target"})), ["target/out.rs"], "what is named is looked at");
    assert_eq!(files(&folder, json!({"hidden": true, "glob": ".*"})), [".gitignore", ".hidden", "src/a/.gitignore"]);
    let all = files(&folder, json!({"respect_gitignore": false, "hidden": true}));
    assert_eq!(all.len(), 11, "{all:?}");
    assert_eq!(files(&folder, json!({"respect_gitignore": false, "name": "x.log"})), ["x.log"]);
    let two = list(&folder, json!({"max_results": 2})).unwrap();
    assert_eq!((&two.metadata["count"], &two.metadata["truncated"]), (&json!(2), &json!(true)));
    let four = list(&folder, json!({"max_results": 4})).unwrap();
    assert_eq!(four.metadata["truncated"], false, "four of four is all of them");
    assert_eq!(files(&folder, json!({"max_results": 0})).len(), 4);
    assert_eq!(list(&folder, json!({"name": "none"})).unwrap().output, "No files found");
}

#[test]
fn bad_arguments_have_their_pointer() {
    let folder = project();
    assert_eq!(refusal(list(&folder, json!({"glob": "[a"}))).1, "/glob");
    assert_eq!(refusal(list(&folder, json!({"glob": ""}))).1, "/glob");
    assert_eq!(
        refusal(list(&folder, json!({"path": "README.md"}))),
        ("README.md is a file, not a folder".into(), "/path".into())
    );
    assert_eq!(refusal(list(&folder, json!({"path": "no"}))).0, "File not found: no");
    assert_eq!(list(&folder, json!({"path": "/etc"})).unwrap_err().cause, Some(Cause::PermissionDenied));
}

#[test]
fn links_and_odd_names_are_no_way_out() {
    let folder = Folder::with(&[("a", b"")]);
    std::os::unix::fs::symlink("/etc", folder.path().join("etc")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join(".gitignore")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    std::fs::write(folder.path().join(odd), b"").unwrap();
    assert_eq!(files(&folder, json!({})), ["a", "etc", "\u{fffd}\u{fffd}"]);
}

#[test]
fn several_folders_are_listed_in_turn() {
    let folder = Folder::with(&[("one/a", b""), ("two/b", b""), ("three/c", b"")]);
    let tool = ListFilesTool::new();
    let places = folder.only(&["two", "one"]);
    let result = tool.run(&call("list_files", json!({})), &places, &Stop::of(&folder.cancel, None)).unwrap();
    assert_eq!(result.output, "two/b\none/a");
}

#[test]
fn a_cancelled_listing_says_so() {
    let folder = project();
    folder.cancel.cancel();
    assert_eq!(list(&folder, json!({})).unwrap_err().cause, Some(Cause::Cancelled));
}
