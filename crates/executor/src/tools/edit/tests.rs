//! `edit` through its whole call: matches, misses, many files, and what is refused.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use agentic_testkit::skip;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cause::Cause;
use crate::tools::place::testing::{Folder, call, refusal};
use crate::tools::{FileReadTool, FileWriteTool, Tool};

fn edit(folder: &Folder, params: Value) -> Result<ToolResult, ToolResult> {
    EditTool::new().run(&call("edit", params), &folder.places())
}

fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Each folder under `tests/scenarios` holds `input` (files before), `call.json` (the call and what is expected of
/// its result) and `expected` (files after; absent: as before).
#[test]
fn scenarios() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<_> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
    names.sort();
    assert!(names.len() >= 12, "the scenarios are there");
    for scenario in names {
        let name = scenario.file_name().unwrap().to_string_lossy().into_owned();
        let told: Value = serde_json::from_slice(&std::fs::read(scenario.join("call.json")).unwrap())
            .unwrap_or_else(|error| panic!("{name}/call.json: {error}"));
        let folder = Folder::new();
        for (path, bytes) in tree(&scenario.join("input")) {
            folder.put(path.to_str().unwrap(), &bytes);
        }
        let result = edit(&folder, told["params"].clone()).unwrap_or_else(|failure| failure);
        assert_eq!(json!(result.status), told["status"], "{name}: {result:?}");
        if let Some(error) = told.get("error") {
            assert_eq!(result.error.as_deref(), error.as_str(), "{name}");
        }
        if let Some(output) = told.get("output") {
            assert_eq!(&result.output, output, "{name}");
        }
        for (key, value) in told["metadata"].as_object().into_iter().flatten() {
            assert_eq!(result.metadata.get(key), Some(value), "{name}: metadata {key}");
        }
        let after = if scenario.join("expected").is_dir() { scenario.join("expected") } else { scenario.join("input") };
        assert_eq!(tree(folder.path()), tree(&after), "{name}");
    }
}

#[test]
fn the_result_tells_what_was_done() {
    let folder = Folder::with(&[("a.py", b"x = 1\ny = 2\n")]);
    let result = edit(&folder, json!({"path": "a.py", "old": "y = 2", "new": "y = 3"})).unwrap();
    assert_eq!(result.output, "Edited a.py: 1 replacement (2:1-2:6)");
    let facts = json!({
        "path": "a.py",
        "tier": "exact",
        "occurrences": 1,
        "ranges": ["2:1-2:6"],
        "diff": "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n+y = 3\n",
        "before_hash": blake3::hash(b"x = 1\ny = 2\n").to_hex().to_string(),
        "after_hash": blake3::hash(b"x = 1\ny = 3\n").to_hex().to_string(),
    });
    assert_eq!(result.metadata["files"], json!([facts]));
    for (key, value) in facts.as_object().unwrap() {
        assert_eq!(&result.metadata[key], value, "{key}");
    }
}

#[test]
fn mode_and_links_survive() {
    let folder = Folder::new();
    let path = folder.put("bin/run", b"echo old\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("bin/run", folder.path().join("link")).unwrap();
    edit(&folder, json!({"path": "link", "old": "old", "new": "new"})).unwrap();
    assert_eq!(folder.bytes("bin/run"), b"echo new\n");
    assert!(folder.path().join("link").is_symlink());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn two_spellings_of_a_file_are_one_file() {
    let folder = Folder::with(&[("a", b"one two")]);
    std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
    let edits = json!([{"path": "a", "old": "one", "new": "1"}, {"path": "./b", "old": "two", "new": "2"}]);
    let result = edit(&folder, json!({"edits": edits})).unwrap();
    assert_eq!(folder.bytes("a"), b"1 2");
    assert_eq!(result.metadata["files"].as_array().unwrap().len(), 1);
}

#[test]
fn a_write_that_fails_puts_the_others_back() {
    let folder = Folder::with(&[("a", b"one"), ("d/x", b"")]);
    // Each fits alone; written in turn, the third finds the second in its way.
    let edits = json!([
        {"path": "a", "old": "one", "new": "1"},
        {"path": "new", "old": "", "new": "n"},
        {"path": "new/below", "old": "", "new": "z"},
    ]);
    let failure = edit(&folder, json!({"edits": edits})).unwrap_err();
    assert!(failure.error.unwrap().starts_with("failed to edit new/below: "));
    assert_eq!(folder.bytes("a"), b"one");
    assert!(!folder.path().join("new").exists());
    // The same through the disk's own refusal, after the first file was written.
    if rustix::process::geteuid().is_root() {
        skip!("root is refused no write by permission bits");
    }
    let locked = folder.put("locked", b"two");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o444)).unwrap();
    let edits = json!([{"path": "a", "old": "one", "new": "1"}, {"path": "locked", "old": "two", "new": "2"}]);
    let failure = edit(&folder, json!({"edits": edits})).unwrap_err();
    assert_eq!(failure.cause, Some(Cause::PermissionDenied));
    assert_eq!((folder.bytes("a"), folder.bytes("locked")), (b"one".to_vec(), b"two".to_vec()));
}

#[test]
fn utf_16_is_edited_in_its_own_units() {
    let folder = Folder::new();
    let text: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain("a\r\nold é\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    folder.put("w.txt", &text);
    let result = edit(&folder, json!({"path": "w.txt", "old": "old é", "new": "new"})).unwrap();
    let wanted: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain("a\r\nnew\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(folder.bytes("w.txt"), wanted);
    assert_eq!(result.metadata["ranges"], json!(["2:1-2:6"]));
}

#[test]
fn outside_the_allowed_paths_nothing_is_read_or_written() {
    let folder = Folder::with(&[("in/a", b"old"), ("out/a", b"old")]);
    let tool = EditTool::new();
    let run =
        |path: &str| tool.run(&call("edit", json!({"path": path, "old": "old", "new": "new"})), &folder.only(&["in"]));
    let failure = run("out/a").unwrap_err();
    assert_eq!(failure.cause, Some(Cause::PermissionDenied));
    assert_eq!(folder.bytes("out/a"), b"old");
    assert!(run("in/a").is_ok());
}

#[test]
fn bad_arguments_have_their_pointer() {
    let folder = Folder::with(&[("a", b"x")]);
    let pointer = |params: Value| refusal(edit(&folder, params)).1;
    assert_eq!(pointer(json!({"path": "a", "old": "x", "new": "x"})), "/new");
    assert_eq!(pointer(json!({"path": "a", "old": "", "new": "y"})), "/old");
    assert_eq!(pointer(json!({"path": "a\0", "old": "x", "new": "y"})), "/path");
    assert_eq!(pointer(json!({"path": "a", "edits": [{"path": "a", "old": "x", "new": "y"}]})), "/path");
    assert_eq!(
        pointer(json!({"edits": [{"path": "a", "old": "x", "new": "y"}, {"path": "a", "old": "q", "new": "y"}]})),
        "/edits/1/old"
    );
    assert_eq!(pointer(json!({"edits": [{"path": "", "old": "x", "new": "y"}]})), "/edits/0/path");
    assert_eq!(
        refusal(edit(&folder, json!({"path": "a", "old": "x"}))),
        ("Missing required parameter: new".into(), "/new".into())
    );
    assert_eq!(folder.bytes("a"), b"x");
}

#[test]
fn tools_say_what_they_touch() {
    let params = json!({"edits": [{"path": "b"}, {"path": "./a"}, {"path": "a"}]});
    let keys = EditTool::new().resources(params.as_object().unwrap());
    assert_eq!(keys, Resources::Keys(vec!["path:a".into(), "path:b".into()]));
    let same = FileWriteTool::new().resources(json!({"path": "a"}).as_object().unwrap());
    assert_eq!(same, Resources::Keys(vec!["path:a".into()]));
    assert_eq!(FileReadTool::new().resources(&Map::new()), Resources::Independent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Line endings, marks, invalid bytes, a missing last newline: what stands around the text stays.
    #[test]
    fn a_file_keeps_every_byte_around_the_edit(
        before in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), 1_u8..=255], 0..200),
        after in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), 0_u8..=255], 0..200),
        new in "([a-z\u{e9}]|\r\n){0,20}",
    ) {
        let old = "\u{2603}the old text\u{2603}";
        let bytes = [before.as_slice(), old.as_bytes(), &after].concat();
        let head = &bytes[..bytes.len().min(8 << 10)];
        prop_assume!(!bytes.starts_with(b"\xff\xfe") && !bytes.starts_with(b"\xfe\xff") && !head.contains(&0));
        let folder = Folder::with(&[("f", &bytes)]);
        edit(&folder, json!({"path": "f", "old": old, "new": new})).unwrap();
        prop_assert_eq!(folder.bytes("f"), [before.as_slice(), new.as_bytes(), &after].concat());
    }
}

#[test]
fn very_many_occurrences_do_not_take_long() {
    let text = "x = old;\n".repeat(100_000);
    let folder = Folder::with(&[("f", text.as_bytes())]);
    let start = std::time::Instant::now();
    let result = edit(&folder, json!({"path": "f", "old": "old", "new": "new", "replace_all": true})).unwrap();
    assert!(start.elapsed().as_secs() < 30, "took {:?}", start.elapsed());
    assert_eq!(result.metadata["occurrences"], 100_000);
    assert_eq!(result.metadata["ranges"].as_array().unwrap().len(), 1_000);
    assert!(folder.bytes("f").starts_with(b"x = new;\nx = new;"));
}
