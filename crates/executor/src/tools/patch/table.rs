//! The table of cases (`tests/patch_table.toml`), each through a whole call, and diffs of random texts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::ApplyPatchTool;
use crate::tools::ToolResult;
use crate::tools::edit::table::{outside_is_untouched, ranges};
use crate::tools::files::TextEncoding;
use crate::tools::place::testing::{Folder, call};

type Tree = BTreeMap<String, Vec<u8>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    file: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(rename = "in", default = "utf8")]
    on_disk: String,
    body: Option<String>,
    hunks: Option<String>,
    patch: Option<String>,
    after: Option<String>,
    becomes: Option<BTreeMap<String, String>>,
    tier: Option<String>,
    error: Option<String>,
}

fn utf8() -> String {
    "utf-8".into()
}

fn tree(folder: &Folder) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn apply(folder: &Folder, patch: &str) -> Result<ToolResult, ToolResult> {
    ApplyPatchTool::new().run(&call("apply_patch", json!({ "patch": patch })), &folder.places())
}

impl Case {
    fn encoded(&self, files: &BTreeMap<String, String>) -> Tree {
        let encoding = TextEncoding::named(&self.on_disk).unwrap();
        files.iter().map(|(name, text)| (name.clone(), encoding.encode(text, true).unwrap().into_owned())).collect()
    }
    fn whole_patch(&self) -> String {
        match (&self.patch, &self.body, &self.hunks) {
            (Some(patch), None, None) => patch.clone(),
            (None, Some(body), None) => {
                let end = if body.contains("\r\n") { "\r\n" } else { "\n" };
                format!("*** Begin Patch{end}*** Update File: f{end}{body}*** End Patch{end}")
            }
            (None, None, Some(hunks)) => format!("--- a/f\n+++ b/f\n{hunks}"),
            _ => panic!("{}: one of patch, body and hunks", self.name),
        }
    }
    fn one_file(name: &str, text: Option<&String>) -> BTreeMap<String, String> {
        text.map(|text| (name.to_owned(), text.clone())).into_iter().collect()
    }

    fn try_it(&self) -> Result<(), String> {
        let mut before = self.encoded(&self.files);
        before.extend(self.encoded(&Self::one_file("f", self.file.as_ref())));
        let folder = Folder::new();
        for (name, bytes) in &before {
            folder.put(name, bytes);
        }
        let result = apply(&folder, &self.whole_patch());
        let after = tree(&folder);
        let wanted = match (&self.after, &self.becomes) {
            (Some(text), None) => Some(self.encoded(&Self::one_file("f", Some(text)))),
            (None, Some(files)) => Some(self.encoded(files)),
            _ => None,
        };
        match (result, wanted, &self.error) {
            (Ok(result), Some(wanted), None) => {
                if after != wanted {
                    return Err(format!("the files are {after:?}"));
                }
                if self.tier.is_some() && result.metadata["tier"].as_str() != self.tier.as_deref() {
                    return Err(format!("the tier is {}", result.metadata["tier"]));
                }
                let width = if TextEncoding::named(&self.on_disk).is_some_and(TextEncoding::is_wide) { 2 } else { 1 };
                match (before.get("f"), after.get("f")) {
                    (Some(before), Some(after)) => {
                        outside_is_untouched(before, after, &ranges(&result.metadata), width)
                    }
                    _ => Ok(()),
                }
            }
            (Err(failure), None, Some(wanted)) => {
                let error = failure.error.unwrap_or_default();
                if !error.contains(wanted.as_str()) {
                    return Err(format!("the error is {error:?}"));
                }
                if after == before { Ok(()) } else { Err("something was changed".into()) }
            }
            (Ok(result), ..) => Err(format!("it is a success: {}", result.output)),
            (Err(failure), ..) => Err(format!("it is a failure: {:?}", failure.error)),
        }
    }
}

#[test]
fn every_case_of_the_table_comes_out() {
    let table = include_str!("../../../tests/patch_table.toml");
    let groups: BTreeMap<String, Vec<Case>> = toml::from_str(table).unwrap();
    assert!(groups.values().map(Vec::len).sum::<usize>() >= 130);
    let mut wrong = Vec::new();
    for (group, cases) in &groups {
        for case in cases {
            if let Err(what) = case.try_it() {
                wrong.push(format!("{group}: {}: {what}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Texts of few different lines, so that hunks are ambiguous often.
fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "[ab]?",
        "[ \t]{0,2}[ab-]{1,2}[ \t]?",
        Just("-- a".into()),
        Just("@@ -1 +1 @@".into()),
        Just("é\u{1F600}".into())
    ];
    let ending = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n")];
    (prop::collection::vec((line, ending), 0..14), "[ab]{0,2}").prop_map(|(lines, last)| {
        lines.into_iter().map(|(line, ending): (String, &str)| line + ending).collect::<String>() + &last
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A diff makes the second text of the first one, or is refused; it never makes another.
    #[test]
    fn a_diff_makes_the_second_text_of_the_first(old in text(), new in text(), radius in 0..4_usize) {
        prop_assume!(old != new);
        let diff = similar::TextDiff::from_lines(&old, &new);
        let patch = diff.unified_diff().context_radius(radius).header("a/f", "b/f").to_string();
        let folder = Folder::with(&[("f", old.as_bytes())]);
        match apply(&folder, &patch) {
            Ok(_) => prop_assert_eq!(String::from_utf8(folder.bytes("f")).unwrap(), new),
            Err(failure) => {
                prop_assert_eq!(folder.bytes("f"), old.as_bytes());
                prop_assert!(radius == 0, "with context it always fits: {:?}\n{}", failure.error, patch);
            }
        }
    }

    /// On a text that it was not made for, a diff is refused, or only what its ranges say is changed.
    #[test]
    fn on_another_text_only_the_ranges_change(old in text(), new in text(), other in text(), radius in 0..3_usize) {
        prop_assume!(old != new);
        let diff = similar::TextDiff::from_lines(&old, &new);
        let patch = diff.unified_diff().context_radius(radius).header("a/f", "b/f").to_string();
        let folder = Folder::with(&[("f", other.as_bytes())]);
        match apply(&folder, &patch) {
            Ok(result) => {
                let outside = outside_is_untouched(other.as_bytes(), &folder.bytes("f"), &ranges(&result.metadata), 1);
                prop_assert_eq!(outside, Ok(()));
            }
            Err(_) => prop_assert_eq!(folder.bytes("f"), other.as_bytes()),
        }
    }

    /// The same lines as an envelope: what was asked for, but for the last line end, which the envelope cannot say.
    #[test]
    fn an_envelope_makes_the_second_text_or_is_refused(old in text(), new in text()) {
        let (old, new) = (old.replace("\r\n", "\n"), new.replace("\r\n", "\n"));
        prop_assume!(old != new && !old.is_empty());
        let diff = similar::TextDiff::from_lines(&old, &new);
        let mut body = String::from("*** Begin Patch\n*** Update File: f\n@@\n");
        for change in diff.iter_all_changes() {
            body.push_str(&format!("{}{}\n", change.tag(), change.value().trim_end_matches('\n')));
        }
        body.push_str("*** End Patch\n");
        let folder = Folder::with(&[("f", old.as_bytes())]);
        if apply(&folder, &body).is_ok() {
            let made = String::from_utf8(folder.bytes("f")).unwrap();
            let bare = |text: &str| text.strip_suffix('\n').unwrap_or(text).to_owned();
            prop_assert!(made == new || bare(&made) == bare(&new), "{made:?}\n{body}");
        } else {
            prop_assert_eq!(folder.bytes("f"), old.as_bytes());
        }
    }
}
