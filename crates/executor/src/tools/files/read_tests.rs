//! `file_read`: its facts, ranges, encodings, and what is refused.

use serde_json::json;

use super::*;
use crate::cause::Cause;
use crate::tools::place::testing::{Folder, call, refusal};

fn read(folder: &Folder, params: Value) -> Result<ToolResult, ToolResult> {
    FileReadTool::new().run(&call("file_read", params), &folder.places())
}

#[test]
fn a_file_is_read_with_its_facts() {
    let folder = Folder::with(&[("a/b.txt", "één\ntwee\n".as_bytes())]);
    let result = read(&folder, json!({"path": "a/b.txt"})).unwrap();
    assert_eq!(result.output, "één\ntwee\n");
    assert_eq!(
        Value::Object(result.metadata),
        json!({"encoding": "utf-8", "bom": false, "lines": 2, "truncated": false, "kind": "text", "path": "a/b.txt", "size": 11,
            "hash": blake3::hash("één\ntwee\n".as_bytes()).to_hex().to_string()})
    );
}

#[test]
fn absolute_paths_are_shown_as_they_were_typed() {
    let folder = Folder::with(&[("a", b"x")]);
    let typed = folder.path().join("a").display().to_string();
    assert_eq!(read(&folder, json!({"path": typed})).unwrap().metadata["path"], typed);
}

#[test]
fn a_range_is_returned_as_it_stands() {
    let folder = Folder::with(&[("f", b"one\r\ntwo\nthree")]);
    let lines = |start: Option<u64>, end: Option<u64>| {
        read(&folder, json!({"path": "f", "start_line": start, "end_line": end})).unwrap()
    };
    assert_eq!(lines(Some(1), Some(1)).output, "one\r\n");
    assert_eq!(lines(Some(2), None).output, "two\nthree");
    assert_eq!(lines(None, Some(2)).output, "one\r\ntwo\n");
    let past = lines(Some(3), Some(99));
    assert_eq!((past.output, &past.metadata["end_line"]), (json!("three"), &json!(3)));
    let beyond = refusal(read(&folder, json!({"path": "f", "start_line": 4})));
    assert_eq!(
        beyond,
        ("Invalid parameter /start_line: expected at most 3, the lines of f, found 4".into(), "/start_line".into())
    );
    let backwards = refusal(read(&folder, json!({"path": "f", "start_line": 3, "end_line": 2})));
    assert_eq!(backwards.1, "/end_line");
}

#[test]
fn an_empty_file_has_no_lines_and_can_be_read() {
    let folder = Folder::with(&[("empty", b"")]);
    let result = read(&folder, json!({"path": "empty", "start_line": 1})).unwrap();
    assert_eq!((result.output, &result.metadata["lines"]), (json!(""), &json!(0)));
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_so() {
    let failure = read(&Folder::new(), json!({"path": "no/such.txt"})).unwrap_err();
    assert_eq!(failure.error.as_deref(), Some("File not found: no/such.txt"));
    assert_eq!(failure.cause, Some(Cause::NotFound));
    assert_eq!(failure.status, crate::tools::ToolStatus::Error);
}

#[test]
fn what_is_outside_is_refused_by_every_way() {
    let folder = Folder::with(&[("b/secret", b"s"), ("bc/file", b"c"), ("ab", b"x")]);
    std::os::unix::fs::symlink("../bc/file", folder.path().join("b/link")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("b/away")).unwrap();
    let tool = FileReadTool::new();
    let only_b = |path: &str| tool.run(&call("file_read", json!({"path": path})), &folder.only(&["b"]));
    assert!(only_b("b/secret").is_ok());
    for path in ["bc/file", "b/../bc/file", "b/link", "b/away", "/etc/hostname", "ab", "../x", "bc/no-such"] {
        let failure = only_b(path).unwrap_err();
        assert_eq!(failure.status, crate::tools::ToolStatus::PermissionDenied, "{path}: {:?}", failure.error);
    }
    let control = tool.run(&call("file_read", json!({"path": "b/link"})), &folder.only(&["b", "bc"]));
    assert_eq!(control.unwrap().output, "c");
    assert!(
        tool.run(&call("file_read", json!({"path": "ab"})), &folder.only(&[])).is_err(),
        "no folder allows nothing"
    );
}

#[test]
fn paths_that_cannot_be_are_refused_with_their_pointer() {
    let folder = Folder::with(&[("d/x", b"")]);
    for path in ["", "a\0b", "d"] {
        let (error, pointer) = refusal(read(&folder, json!({"path": path})));
        assert_eq!(pointer, "/path", "{path:?}: {error}");
    }
    assert_eq!(
        refusal(read(&folder, json!({"path": "d"}))).0,
        "d is a folder, not a file; list_files shows what is in it"
    );
    let long = "x".repeat(5_000);
    assert!(read(&folder, json!({"path": long})).is_err());
}

#[test]
fn a_fifo_is_refused_at_once() {
    let folder = Folder::new();
    let fifo = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    if !fifo.is_ok_and(|status| status.success()) {
        agentic_testkit::skip!("no mkfifo");
    }
    let (error, _) = refusal(read(&folder, json!({"path": "pipe"})));
    assert_eq!(error, "pipe is a FIFO, not a regular file");
}

#[test]
fn encodings_are_honoured() {
    let folder = Folder::with(&[
        ("latin", b"caf\xe9"),
        ("bom", b"\xEF\xBB\xBFhi"),
        ("wide", b"\xff\xfeh\0i\0\n\0"),
        ("bare", b"h\0i\0"),
    ]);
    let latin = refusal(read(&folder, json!({"path": "latin"})));
    assert_eq!(
        latin,
        ("latin is not valid utf-8 at byte 3; name its encoding (latin-1 takes any bytes)".into(), "/encoding".into())
    );
    assert_eq!(read(&folder, json!({"path": "latin", "encoding": "latin-1"})).unwrap().output, "café");
    let bom = read(&folder, json!({"path": "bom"})).unwrap();
    assert_eq!(
        (bom.output, &bom.metadata["encoding"], &bom.metadata["bom"]),
        (json!("hi"), &json!("utf-8-sig"), &json!(true))
    );
    let wide = read(&folder, json!({"path": "wide"})).unwrap();
    assert_eq!((wide.output, &wide.metadata["encoding"]), (json!("hi\n"), &json!("utf-16")));
    assert!(read(&folder, json!({"path": "bare"})).is_err());
    assert_eq!(read(&folder, json!({"path": "bare", "encoding": "utf-16-le"})).unwrap().output, "hi");
    let zero = refusal(read(&folder, json!({"path": "latin", "start_line": 0})));
    assert_eq!(zero.1, "/start_line", "the tool does not rely on its caller");
    let unknown = refusal(read(&folder, json!({"path": "latin", "encoding": "klingon"})));
    assert_eq!(unknown.1, "/encoding");
}

#[test]
fn a_picture_comes_as_base64_and_other_binaries_do_not() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
    let folder = Folder::with(&[("dot.txt", png), ("a.zip", b"PK\x03\x04\x14\0\0\0\x08\0rest"), ("raw", b"a\0b")]);
    let picture = read(&folder, json!({"path": "dot.txt"})).unwrap();
    assert_eq!((&picture.metadata["kind"], &picture.metadata["mime"]), (&json!("image"), &json!("image/png")));
    let data = base64::engine::general_purpose::STANDARD.decode(picture.metadata["data"].as_str().unwrap()).unwrap();
    assert_eq!(data, png);
    let zip = read(&folder, json!({"path": "a.zip"})).unwrap_err();
    assert_eq!((&zip.metadata["kind"], &zip.metadata["mime"]), (&json!("binary"), &json!("application/zip")));
    assert!(zip.error.unwrap().starts_with("a.zip is a binary file (application/zip) of 14 bytes, not text;"));
    assert!(read(&folder, json!({"path": "raw"})).is_err());
}

#[test]
fn what_is_too_long_is_cut_only_when_asked() {
    let folder = Folder::with(&[("big", "é".repeat(6 << 20).as_bytes())]);
    let failure = read(&folder, json!({"path": "big"})).unwrap_err();
    assert_eq!(
        failure.error.as_deref(),
        Some(
            "big has 12582912 bytes, more than the 10485760 that are returned at once; give start_line and end_line, or max_bytes"
        )
    );
    let cut = read(&folder, json!({"path": "big", "max_bytes": 5})).unwrap();
    assert_eq!((cut.output, &cut.metadata["truncated"]), (json!("éé"), &json!(true)));
    let whole = read(&folder, json!({"path": "big", "max_bytes": 12_582_912})).unwrap();
    assert_eq!(whole.metadata["truncated"], false);
}
