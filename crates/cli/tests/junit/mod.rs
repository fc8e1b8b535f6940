//! Whether a JUnit report keeps to the schema that most readers share, and says what the report in JSON says.
//!
//! The schema is that of Jenkins' xUnit plugin, `junit-10.xsd`; here it stands as two tables.

use roxmltree::{Document, Node};
use serde_json::Value;

/// Element, its attributes (a `!` marks a required one), its children.
const SCHEMA: [(&str, &[&str], &[&str]); 12] = [
    ("testsuites", &["name", "time", "tests", "failures", "errors"], &["testsuite"]),
    (
        "testsuite",
        &[
            "!name",
            "!tests",
            "!failures",
            "!errors",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
        ],
        &["testcase", "properties", "system-out", "system-err"],
    ),
    (
        "testcase",
        &["!name", "time", "classname", "group"],
        &[
            "skipped",
            "error",
            "failure",
            "rerunFailure",
            "rerunError",
            "flakyFailure",
            "flakyError",
            "system-out",
            "system-err",
        ],
    ),
    ("skipped", &["type", "message"], &[]),
    ("error", &["type", "message"], &[]),
    ("failure", &["type", "message"], &[]),
    ("rerunFailure", &["!type", "message"], &["stackTrace", "system-out", "system-err"]),
    ("rerunError", &["!type", "message"], &["stackTrace", "system-out", "system-err"]),
    ("flakyFailure", &["!type", "message"], &["stackTrace", "system-out", "system-err"]),
    ("flakyError", &["!type", "message"], &["stackTrace", "system-out", "system-err"]),
    ("system-out", &[], &[]),
    ("system-err", &[], &[]),
];

/// What is against the schema.
fn faults(node: Node<'_, '_>) -> Vec<String> {
    let name = node.tag_name().name();
    let Some((_, attributes, children)) = SCHEMA.iter().find(|(known, ..)| *known == name) else {
        return vec![format!("there is no element {name}")];
    };
    let mut faults = Vec::new();
    for attribute in node.attributes() {
        if !attributes.iter().any(|known| known.trim_start_matches('!') == attribute.name()) {
            faults.push(format!("{name} has no attribute {}", attribute.name()));
        }
    }
    for required in attributes.iter().filter_map(|known| known.strip_prefix('!')) {
        if node.attribute(required).is_none() {
            faults.push(format!("{name} lacks {required}"));
        }
    }
    for child in node.children().filter(Node::is_element) {
        if !children.contains(&child.tag_name().name()) {
            faults.push(format!("{name} has no {}", child.tag_name().name()));
        }
        faults.extend(self::faults(child));
    }
    faults
}

/// Panics when the report is against the schema, or says other numbers than the one in JSON.
pub(crate) fn check(xml: &str, report: &Value) {
    let document = Document::parse(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    assert_eq!(faults(root), Vec::<String>::new(), "{xml}");
    let cases: Vec<Node<'_, '_>> = root.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    let with = |names: &[&str]| {
        let has = |case: &&Node<'_, '_>| case.children().any(|child| names.contains(&child.tag_name().name()));
        cases.iter().filter(has).count() as u64
    };
    let counted = |status: &str| report["counts"][status].as_u64().unwrap();
    assert_eq!(cases.len() as u64, counted("total"));
    assert_eq!(with(&["failure"]), counted("failed"));
    assert_eq!(with(&["error"]), counted("timed_out") + counted("crashed"));
    assert_eq!(with(&["skipped"]), counted("skipped"));
    assert_eq!(with(&["flakyFailure", "flakyError"]), counted("flaky"));
    let sum = |name: &str| {
        let suites = root.children().filter(Node::is_element);
        suites.map(|suite| suite.attribute(name).map_or(0, |text| text.parse::<u64>().unwrap())).sum::<u64>()
    };
    assert_eq!((sum("tests"), sum("failures")), (counted("total"), counted("failed")));
    assert_eq!(sum("skipped"), counted("skipped"));
}

#[test]
fn the_schema_refuses_what_is_none() {
    let wrong = "<testsuites><testsuite name='a' tests='1' failures='0'><testcase/><x/></testsuite></testsuites>";
    let document = Document::parse(wrong).unwrap();
    let faults = faults(document.root_element());
    assert_eq!(
        faults,
        ["testsuite lacks errors", "testcase lacks name", "testsuite has no x", "there is no element x"]
    );
}
