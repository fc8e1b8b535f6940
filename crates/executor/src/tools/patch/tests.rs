//! `apply_patch` through its whole call: files, refusals, and what is told.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::cause::Cause;
use crate::tools::place::testing::{Folder, call};

fn apply(folder: &Folder, patch: &str) -> Result<ToolResult, ToolResult> {
    ApplyPatchTool::new().run(&call("apply_patch", json!({ "patch": patch })), &folder.places())
}

#[track_caller]
fn refused(folder: &Folder, patch: &str) -> String {
    apply(folder, patch).expect_err("it is refused").error.unwrap()
}

#[test]
fn the_result_tells_what_was_done() {
    let folder = Folder::with(&[("a.py", b"x = 1\ny = 2\n"), ("old.txt", b"o\n"), ("was", b"same\n")]);
    let patch = "*** Begin Patch\n*** Update File: a.py\n@@\n x = 1\n-y = 2\n+y = 3\n*** Add File: d/new.txt\n+hello\n\
        *** Delete File: old.txt\n*** Update File: was\n*** Move to: is\n*** End Patch\n";
    let result = apply(&folder, patch).unwrap();
    assert_eq!(result.output, "Updated a.py: 1 hunk (1:1-3:1)\nAdded d/new.txt\nDeleted old.txt\nMoved was to is");
    assert_eq!(folder.bytes("a.py"), b"x = 1\ny = 3\n");
    assert_eq!(folder.bytes("d/new.txt"), b"hello\n");
    assert_eq!(folder.bytes("is"), b"same\n");
    assert!(!folder.path().join("old.txt").exists() && !folder.path().join("was").exists());
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let files = &result.metadata["files"];
    assert_eq!(
        files[0],
        json!({
            "path": "a.py", "action": "update", "tier": "exact", "ranges": ["1:1-3:1"],
            "hunks": [{"line": 3, "tier": "exact"}],
            "diff": "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n+y = 3\n",
            "before_hash": hash(b"x = 1\ny = 2\n"), "after_hash": hash(b"x = 1\ny = 3\n"),
        })
    );
    assert_eq!((&files[1]["action"], &files[1]["before_hash"]), (&json!("add"), &json!(null)));
    assert_eq!((&files[2]["action"], &files[2]["after_hash"]), (&json!("delete"), &json!(null)));
    assert_eq!(files[2]["diff"], "--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-o\n");
    assert_eq!(
        (&files[3]["action"], &files[3]["from"], &files[3]["path"]),
        (&json!("move"), &json!("was"), &json!("is"))
    );
}

#[test]
fn a_failure_names_file_hunk_lines_and_the_closest_region() {
    let folder = Folder::with(&[("a", b"one\ntwo\nthree\none\n"), ("b", b"fn total() {\n    1\n}\n")]);
    let ambiguous = apply(&folder, "--- a/a\n+++ b/a\n@@ -3,1 +3,1 @@\n-one\n+1\n").unwrap_err();
    assert_eq!(
        ambiguous.error.as_deref(),
        Some(
            "hunk 1 of 1 in a (line 3 of the patch) fits at 2 places (lines 1, 4); and not at the line that it names; \
             make the diff with more context, or its line number right"
        )
    );
    assert_eq!(ambiguous.cause, Some(Cause::EditMismatch));
    assert_eq!(ambiguous.metadata["lines"], json!([1, 4]));
    let nowhere = apply(
        &folder,
        "*** Begin Patch\n*** Update File: a\n@@\n-two\n+2\n*** Update File: b\n@@\n-fn totals() {\n+fn sum() {\n     1\n*** End Patch",
    )
    .unwrap_err();
    assert_eq!(
        nowhere.error.as_deref(),
        Some(
            "hunk 1 of 1 in b (line 7 of the patch) fits nowhere: its lines are not in b; the closest is lines 1-2 \
             (- looked for, + in the file):\n-fn totals() {\n+fn total() {\n     1\n(no file was changed)"
        )
    );
    assert_eq!((&nowhere.metadata["hunk"], &nowhere.metadata["patch_line"]), (&json!(1), &json!(7)));
    assert_eq!(folder.bytes("a"), b"one\ntwo\nthree\none\n", "the first file waits for the second");
}

#[test]
fn permission_bits_come_and_stay() {
    let folder = Folder::with(&[("run", b"#!/bin/sh\n"), ("plain", b"x\n"), ("prog", b"p\n")]);
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    let set = |path: &str, mode| {
        std::fs::set_permissions(folder.path().join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set("run", 0o644);
    set("plain", 0o640);
    set("prog", 0o750);
    let patch = "diff --git a/run b/run\nold mode 100644\nnew mode 100755\n\
        diff --git a/plain b/plain\nindex 1..2 100644\n--- a/plain\n+++ b/plain\n@@ -1 +1 @@\n-x\n+y\n\
        diff --git a/prog b/moved\nsimilarity index 100%\nrename from prog\nrename to moved\n\
        diff --git a/new b/new\nnew file mode 100755\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n";
    apply(&folder, patch).unwrap();
    assert_eq!((mode("run"), mode("plain"), mode("moved")), (0o755, 0o640, 0o750));
    assert_eq!(mode("new") & 0o100, 0o100);
    assert_eq!(folder.bytes("plain"), b"y\n");
    apply(&folder, "diff --git a/run b/run\nold mode 100755\nnew mode 100644\n").unwrap();
    assert_eq!(mode("run"), 0o644);
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let folder = Folder::with(&[("real", b"x\n"), ("d/in", b"x\n")]);
    std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("out")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    let on = |path: &str| format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-x\n+y\n");
    assert!(
        refused(&folder, "*** Begin Patch\n*** Delete File: link\n*** End Patch").contains("link is a symbolic link")
    );
    assert!(refused(&folder, &on("fifo")).contains("not a regular file"));
    assert!(refused(&folder, &on("d")).contains("d is a folder"));
    assert!(refused(&folder, &on("../escape")).contains("outside the allowed paths"));
    let out = apply(&folder, &on("out")).unwrap_err();
    assert_eq!(out.cause, Some(Cause::PermissionDenied), "{out:?}");
    apply(&folder, &on("link")).unwrap();
    assert_eq!(folder.bytes("real"), b"y\n");
    assert!(folder.path().join("link").is_symlink());
}

#[test]
fn a_write_that_fails_takes_everything_back() {
    let folder = Folder::with(&[("a", b"one\n"), ("gone", b"g\n"), ("from", b"f\n")]);
    let patch = "*** Begin Patch\n*** Update File: a\n@@\n-one\n+1\n*** Delete File: gone\n*** Update File: from\n*** Move to: to/here\n\
        *** Add File: new\n+n\n*** Add File: new/below\n+z\n*** End Patch";
    let error = refused(&folder, patch);
    assert!(error.starts_with("failed to edit new/below: "), "{error}");
    assert_eq!(
        (folder.bytes("a"), folder.bytes("gone"), folder.bytes("from")),
        (b"one\n".to_vec(), b"g\n".to_vec(), b"f\n".to_vec())
    );
    assert!(!folder.path().join("new").exists() && !folder.path().join("to/here").exists());
    // The same, but for the part that cannot be: the control.
    apply(&folder, &patch.replace("*** Add File: new/below\n+z\n", "")).unwrap();
    assert_eq!((folder.bytes("a"), folder.bytes("to/here")), (b"1\n".to_vec(), b"f\n".to_vec()));
}

#[test]
fn a_file_is_named_once_by_any_spelling() {
    let folder = Folder::with(&[("a", b"one\ntwo\n")]);
    let patch = |second: &str| {
        format!(
            "*** Begin Patch\n*** Update File: a\n@@\n-one\n+1\n*** Update File: {second}\n@@\n-two\n+2\n*** End Patch"
        )
    };
    assert!(refused(&folder, &patch("a")).contains("line 6 of the patch: a is named a second time"));
    assert!(refused(&folder, &patch("./a")).contains("twice, under two names"));
    std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
    assert!(refused(&folder, &patch("b")).contains("twice, under two names"));
}

#[test]
fn a_binary_file_is_moved_and_deleted_but_not_changed() {
    let folder = Folder::with(&[("a.bin", b"a\0b\n"), ("b.bin", b"c\0d\n")]);
    let change = "--- a/a.bin\n+++ b/a.bin\n@@ -1 +1 @@\n-a\n+b\n";
    assert!(refused(&folder, change).contains("a.bin is a binary file"));
    let result = apply(
        &folder,
        "*** Begin Patch\n*** Update File: a.bin\n*** Move to: c.bin\n*** Delete File: b.bin\n*** End Patch",
    )
    .unwrap();
    assert_eq!(folder.bytes("c.bin"), b"a\0b\n");
    assert_eq!(result.metadata["files"][1]["diff"], "Binary file b.bin, 4 bytes\n");
}

#[test]
fn what_it_touches_is_told_before() {
    let touched = |patch: &str| ApplyPatchTool::new().resources(json!({ "patch": patch }).as_object().unwrap());
    let patch = "*** Begin Patch\n*** Delete File: b\n*** Update File: ./a\n*** Move to: c\n*** End Patch";
    assert_eq!(touched(patch), Resources::Keys(vec!["path:a".into(), "path:b".into(), "path:c".into()]));
    assert_eq!(touched("nothing"), Resources::Undeclared);
}
