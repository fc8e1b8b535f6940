//! The table of cases (`tests/edit_table.toml`), each through a whole call.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::EditTool;
use crate::tools::files::TextEncoding;
use crate::tools::place::testing::{Folder, call};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    file: Option<String>,
    #[serde(rename = "in", default = "utf8")]
    on_disk: String,
    old: String,
    new: String,
    #[serde(default)]
    all: bool,
    count: Option<u64>,
    encoding: Option<String>,
    hash: Option<String>,
    after: Option<String>,
    tier: Option<String>,
    error: Option<String>,
}

fn utf8() -> String {
    "utf-8".into()
}

fn bytes(case: &Case, text: &str) -> Vec<u8> {
    TextEncoding::named(&case.on_disk).unwrap().encode(text, true).unwrap().into_owned()
}

fn params(case: &Case, before: Option<&[u8]>) -> Value {
    let mut params = Map::from_iter([
        ("path".to_owned(), json!("f")),
        ("old".to_owned(), json!(case.old)),
        ("new".to_owned(), json!(case.new)),
    ]);
    let hash = case.hash.as_deref().map(|hash| match before {
        Some(before) if hash == "same" => blake3::hash(before).to_hex().to_string(),
        _ => hash.to_owned(),
    });
    let given = [
        ("replace_all", case.all.then_some(json!(true))),
        ("expected_count", case.count.map(Value::from)),
        ("encoding", case.encoding.clone().map(Value::from)),
        ("expected_hash", hash.map(Value::from)),
    ];
    params.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(params)
}

#[test]
fn every_case_of_the_table_comes_out() {
    let table = include_str!("../../../tests/edit_table.toml");
    let groups: BTreeMap<String, Vec<Case>> = toml::from_str(table).unwrap();
    assert!(groups.values().map(Vec::len).sum::<usize>() >= 120);
    let mut wrong = Vec::new();
    for (group, cases) in &groups {
        for case in cases {
            if let Err(what) = try_case(case) {
                wrong.push(format!("{group}: {}: {what}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn try_case(case: &Case) -> Result<(), String> {
    let folder = Folder::new();
    let before = case.file.as_deref().map(|text| bytes(case, text));
    if let Some(bytes) = &before {
        folder.put("f", bytes);
    }
    let tool = EditTool::new();
    let result = tool.run(&call("edit", params(case, before.as_deref())), &folder.places());
    let after = folder.path().join("f").exists().then(|| folder.bytes("f"));
    match (result, &case.after, &case.error) {
        (Ok(result), Some(wanted), None) => {
            let after = after.ok_or("there is no file")?;
            if after != bytes(case, wanted) {
                return Err(format!("the file is {:?}", String::from_utf8_lossy(&after)));
            }
            if result.metadata["tier"].as_str() != case.tier.as_deref() {
                return Err(format!("the tier is {}", result.metadata["tier"]));
            }
            let width = if TextEncoding::named(&case.on_disk).is_some_and(TextEncoding::is_wide) { 2 } else { 1 };
            outside_is_untouched(&before.unwrap_or_default(), &after, &ranges(&result.metadata), width)
        }
        (Err(failure), None, Some(wanted)) => {
            let error = failure.error.unwrap_or_default();
            if !error.contains(wanted.as_str()) {
                return Err(format!("the error is {error:?}"));
            }
            if after == before { Ok(()) } else { Err("the file was changed".into()) }
        }
        (Ok(result), ..) => Err(format!("it is a success: {}", result.output)),
        (Err(failure), ..) => Err(format!("it is a failure: {failure:?}")),
    }
}

/// The ranges that a result reports.
pub(crate) fn ranges(metadata: &Map<String, Value>) -> Vec<String> {
    metadata["ranges"].as_array().into_iter().flatten().filter_map(|range| Some(range.as_str()?.to_owned())).collect()
}

/// That what lies outside the reported ranges is the same, in the same order, and nothing else is.
pub(crate) fn outside_is_untouched(before: &[u8], after: &[u8], ranges: &[String], width: usize) -> Result<(), String> {
    let mut kept = Vec::new();
    let mut done = 0;
    for range in ranges {
        let Range { start, end } = offsets(before, range, width).ok_or(format!("{range} is no range of the file"))?;
        kept.push(&before[done..start]);
        done = end;
    }
    kept.push(&before[done..]);
    let mut rest = after;
    let last = kept.len() - 1;
    for (index, part) in kept.iter().enumerate() {
        let at = match index {
            0 => rest.starts_with(part).then_some(0),
            _ if index == last => rest.ends_with(part).then(|| rest.len() - part.len()),
            _ if part.is_empty() => Some(0),
            _ => rest.windows(part.len()).position(|window| window == *part),
        };
        rest = &rest[at.ok_or(format!("the bytes outside {ranges:?} have changed"))? + part.len()..];
    }
    Ok(())
}

/// `line:column-line:column` in bytes.
fn offsets(text: &[u8], range: &str, width: usize) -> Option<Range<usize>> {
    let at = |place: &str| {
        let (line, column) = place.split_once(':')?;
        let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
        let feeds = text
            .chunks(width)
            .enumerate()
            .filter(|(_, unit)| unit.contains(&b'\n') && unit.iter().all(|byte| *byte == b'\n' || *byte == 0));
        let starts: Vec<usize> = std::iter::once(0).chain(feeds.map(|(index, _)| (index + 1) * width)).collect();
        Some(starts.get(line.checked_sub(1)?)? + (column.checked_sub(1)?) * width)
    };
    let (from, to) = range.split_once('-')?;
    let range = at(from)?..at(to)?;
    (range.start <= range.end && range.end <= text.len()).then_some(range)
}
