//! `file_write` and renaming: new, replaced and appended files, modes, links, encodings, refusals.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::cause::Cause;
use crate::tools::place::testing::{Folder, call, refusal};

fn write(folder: &Folder, params: Value) -> Result<ToolResult, ToolResult> {
    FileWriteTool::new().run(&call("file_write", params), &folder.places())
}

#[test]
fn a_file_is_made_with_its_folders() {
    let folder = Folder::new();
    let result = write(&folder, json!({"path": "a/b/c.txt", "content": "één"})).unwrap();
    assert_eq!(folder.bytes("a/b/c.txt"), "één".as_bytes());
    assert_eq!(result.output, "Wrote 5 bytes to a/b/c.txt");
    assert_eq!(
        Value::Object(result.metadata),
        json!({"path": "a/b/c.txt", "size": 5, "written": 5, "mode": "overwrite", "encoding": "utf-8", "created": true})
    );
}

#[test]
fn overwriting_keeps_the_mode_and_appending_keeps_the_bytes() {
    let folder = Folder::new();
    let path = folder.put("run.sh", b"old and longer");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    write(&folder, json!({"path": "run.sh", "content": "new"})).unwrap();
    assert_eq!(folder.bytes("run.sh"), b"new");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
    let result = write(&folder, json!({"path": "run.sh", "content": "er", "mode": "append"})).unwrap();
    assert_eq!(folder.bytes("run.sh"), b"newer");
    assert_eq!((&result.metadata["size"], &result.metadata["mode"]), (&json!(5), &json!("append")));
    write(&folder, json!({"path": "fresh", "content": "x", "mode": "append"})).unwrap();
    assert_eq!(folder.bytes("fresh"), b"x");
}

#[test]
fn a_link_inside_is_written_through_and_one_outside_is_not() {
    let folder = Folder::with(&[("real", b"old")]);
    std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("away")).unwrap();
    write(&folder, json!({"path": "link", "content": "new"})).unwrap();
    assert_eq!(folder.bytes("real"), b"new");
    assert!(folder.path().join("link").is_symlink());
    let failure = write(&folder, json!({"path": "away", "content": "new"})).unwrap_err();
    assert_eq!(failure.cause, Some(Cause::PermissionDenied), "{:?}", failure.error);
    assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
}

#[test]
fn what_cannot_be_written_is_refused_with_its_pointer() {
    let folder = Folder::with(&[("d/x", b""), ("file", b"")]);
    assert_eq!(refusal(write(&folder, json!({"path": "d", "content": ""}))).1, "/path");
    assert_eq!(refusal(write(&folder, json!({"path": "file/below", "content": ""}))).1, "/path");
    assert_eq!(refusal(write(&folder, json!({"path": "a\0b", "content": ""}))).1, "/path");
    let euro = refusal(write(&folder, json!({"path": "e", "content": "€", "encoding": "latin-1"})));
    assert_eq!(euro, ("failed to write e: latin-1 has no '€'".into(), "/encoding".into()));
    assert!(!folder.path().join("e").exists());
    let none = refusal(write(&folder, json!({"path": "e"})));
    assert_eq!(none, ("Missing required parameter: content".into(), "/content".into()));
    let both = json!({"path": "file", "content": "", "transform": {"rename_identifier": {"from": "a", "to": "b"}}});
    assert_eq!(refusal(write(&folder, both)).1, "/transform");
}

#[test]
fn outside_the_allowed_paths_nothing_is_made() {
    let folder = Folder::with(&[("in/x", b"")]);
    let tool = FileWriteTool::new();
    let to = |path: &str| tool.run(&call("file_write", json!({"path": path, "content": "x"})), &folder.only(&["in"]));
    let failure = to("out/new/file").unwrap_err();
    assert_eq!(failure.status, crate::tools::ToolStatus::PermissionDenied);
    assert!(failure.error.unwrap().starts_with("Access denied: out/new/file is outside the allowed paths ("));
    assert!(!folder.path().join("out").exists());
    assert!(to("in/new/file").is_ok());
}

#[test]
fn encodings_write_their_marks() {
    let folder = Folder::new();
    write(&folder, json!({"path": "w", "content": "hi", "encoding": "utf-16"})).unwrap();
    write(&folder, json!({"path": "w", "content": "!", "encoding": "utf-16", "mode": "append"})).unwrap();
    assert_eq!(folder.bytes("w"), b"\xff\xfeh\0i\0!\0");
    write(&folder, json!({"path": "s", "content": "hi", "encoding": "utf-8-sig"})).unwrap();
    assert_eq!(folder.bytes("s"), b"\xEF\xBB\xBFhi");
}

#[test]
fn a_rename_changes_the_name_and_nothing_else() {
    let folder =
        Folder::with(&[("a.py", b"getUserData(getUserDataX)\r\n\xffgetUserData \xe9"), ("b.bin", b"getUserData\0")]);
    let rename = |path: &str| {
        let transform = json!({"rename_identifier": {"from": "getUserData", "to": "fetchUserProfile"}});
        write(&folder, json!({"path": path, "transform": transform})).unwrap()
    };
    let text = rename("a.py");
    assert_eq!(folder.bytes("a.py"), b"fetchUserProfile(getUserDataX)\r\n\xffgetUserData \xe9");
    assert_eq!((&text.metadata["replacements"], &text.metadata["path"]), (&json!(1), &json!("a.py")));
    let binary = rename("b.bin");
    assert_eq!(folder.bytes("b.bin"), b"getUserData\0");
    assert_eq!((&binary.metadata["skipped"], &binary.metadata["replacements"]), (&json!("binary"), &json!(0)));
    let again = rename("a.py");
    assert_eq!(again.metadata["replacements"], 0);
    let bad = json!({"path": "a.py", "transform": {"rename_identifier": {"from": "a b", "to": "c"}}});
    assert_eq!(refusal(write(&folder, bad)).1, "/transform/rename_identifier/from");
    let missing = json!({"path": "no", "transform": {"rename_identifier": {"from": "a", "to": "c"}}});
    assert_eq!(refusal(write(&folder, missing)).0, "File not found: no");
}

#[test]
fn calls_on_one_path_share_a_key() {
    let key = |path: &str| FileWriteTool::new().resources(json!({"path": path}).as_object().unwrap());
    assert_eq!(key("a/./b"), key("a/c/../b"));
    assert_ne!(key("a/b"), key("a/c"));
}
