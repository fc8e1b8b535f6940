//! Reads the JUnit XML that a runner writes: only the parts that runners agree on.

use roxmltree::{Document, Node, ParsingOptions};

use crate::workspace::Exchange;

/// Bytes of a report that are read at most.
const MOST: u64 = 128 << 20;
/// Elements and attributes of one.
const MOST_NODES: u32 = 4_000_000;

/// One `testcase`.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) class: String,
    pub(super) seconds: Option<f64>,
    /// The `type`, the `message` and the text of a failure or error.
    pub(super) failure: Option<(String, String, String)>,
    /// How often it failed before it passed.
    pub(super) flaky: u32,
    /// The message of `skipped`.
    pub(super) skipped: Option<String>,
    /// `system-out` and `system-err`.
    pub(super) output: String,
}

/// The cases of a report; `None` when there is none.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(exchange: &Exchange, name: &str) -> Result<Option<Vec<Case>>, String> {
    let bytes = match exchange.read(name, MOST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("the report cannot be read: {error}")),
    };
    parse(&String::from_utf8_lossy(&bytes)).map(Some)
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document =
        Document::parse_with_options(text, options).map_err(|error| format!("the report is no JUnit XML: {error}"))?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "testsuites" | "testsuite") {
        return Err("the report is no JUnit XML: it does not begin with testsuites or testsuite".into());
    }
    Ok(root.descendants().filter(|node| node.has_tag_name("testcase")).map(case).collect())
}

fn case(node: Node<'_, '_>) -> Case {
    let attribute = |node: Node<'_, '_>, name: &str| node.attribute(name).unwrap_or_default().to_owned();
    let text = |node: Node<'_, '_>| node.text().unwrap_or_default().to_owned();
    let child = |name: &str| node.children().find(|child| child.has_tag_name(name));
    let failure = child("failure").or_else(|| child("error"));
    let outputs = ["system-out", "system-err"].into_iter().filter_map(child).map(text);
    Case {
        name: attribute(node, "name"),
        class: attribute(node, "classname"),
        seconds: node.attribute("time").and_then(|time| time.parse().ok()),
        flaky: node.children().filter(|child| matches!(child.tag_name().name(), "flakyFailure" | "flakyError")).count()
            as u32,
        failure: failure.map(|node| (attribute(node, "type"), attribute(node, "message"), text(node))),
        skipped: child("skipped").map(|node| attribute(node, "message")),
        output: outputs.collect::<Vec<_>>().join("\n").trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused() {
        for (text, why) in [
            ("", "no JUnit XML"),
            ("<html/>", "does not begin with"),
            ("<testsuites><testcase name='a'>", "no JUnit XML"),
            ("<!DOCTYPE x [<!ENTITY a 'b'>]><testsuites/>", "no JUnit XML"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_case_has_its_parts() {
        let text = "<testsuites><testsuite name='s'><testcase name='a &lt;b&gt;' classname='c' time='0.5'>\
                    <failure type='t' message='m'>text</failure><system-out>out</system-out></testcase>\
                    <testcase name='b'><skipped message='why'/></testcase></testsuite></testsuites>";
        let cases = parse(text).unwrap();
        assert_eq!(cases[0].failure, Some(("t".into(), "m".into(), "text".into())));
        assert_eq!((cases[0].name.as_str(), cases[0].flaky, cases[0].seconds), ("a <b>", 0, Some(0.5)));
        assert_eq!((cases[0].output.as_str(), cases[1].skipped.as_deref()), ("out", Some("why")));
    }
}
