//! The report that pytest writes for programs (JUnit's XML): each test with its verdict.

/// One test.
#[derive(Debug, PartialEq)]
pub(super) struct Case {
    /// `test_tools test_reads`, with the class between them where there is one.
    pub(super) name: String,
    pub(super) verdict: Verdict,
}

#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    Skipped(String),
}

/// The tests of a report; the error says why it cannot be believed.
pub(super) fn read(report: &str) -> Result<Vec<Case>, String> {
    let (_, suite) = report.split_once("<testsuite ").ok_or("there is no test suite in it")?;
    let said = attribute(suite, "tests").and_then(|count| count.parse::<usize>().ok());
    let cases: Vec<Case> = suite.split("<testcase ").skip(1).map(case).collect();
    match said {
        _ if !suite.contains("</testsuite>") => Err("it is not complete".to_owned()),
        Some(0) | None => Err("no test was collected".to_owned()),
        Some(_) => Ok(cases),
    }
}

/// Reads a test from behind the beginning of its element to the next test's. A test may print anything; what it
/// prints has its angle brackets escaped.
fn case(element: &str) -> Case {
    let get = |name| attribute(element, name).unwrap_or_default();
    let name = format!("{} {}", get("classname"), get("name")).trim().to_owned();
    let verdict = if element.contains("<failure") || element.contains("<error") {
        Verdict::Failed
    } else if let Some((_, skipped)) = element.split_once("<skipped") {
        Verdict::Skipped(attribute(skipped, "message").unwrap_or_default())
    } else {
        Verdict::Passed
    };
    Case { name, verdict }
}

/// The value of an attribute of the element in which `text` begins.
fn attribute(text: &str, name: &str) -> Option<String> {
    // Inside a value `>` may be itself, and a quotation mark never is.
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once("=\"")?;
        let (value, next) = after.split_once('"')?;
        if before.contains('>') {
            return None;
        }
        if before.trim() == name {
            return Some(plain(value));
        }
        rest = next;
    }
}

fn plain(value: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#10;", " "), ("&amp;", "&")];
    entities.iter().fold(value.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.1" timestamp="t" hostname="h"><testcase classname="test_a" name="test_one[a&gt;b]" time="0.001" /><testcase classname="test_a.TestB" name="test_two" time="0.0"><failure message="assert 1 &lt; 0">&lt;skipped message="x"</failure></testcase><testcase classname="test_a" name="test_three" time="0.0"><skipped type="pytest.skip" message="no &quot;cgroup&quot; > here">test_a.py:3: no</skipped><system-out>&lt;failure</system-out></testcase><testcase classname="" name="test_c" time="0.0"><error message="collection failure">boom</error></testcase></testsuite></testsuites>"#;

    #[test]
    fn every_test_has_its_verdict() {
        let cases = read(REPORT).expect("a report");
        let short: Vec<_> = cases.iter().map(|case| (case.name.as_str(), &case.verdict)).collect();
        let skipped = Verdict::Skipped("no \"cgroup\" > here".to_owned());
        assert_eq!(
            short,
            [
                ("test_a test_one[a>b]", &Verdict::Passed),
                ("test_a.TestB test_two", &Verdict::Failed),
                ("test_a test_three", &skipped),
                ("test_c", &Verdict::Failed),
            ]
        );
    }

    #[test]
    fn nothing_is_no_success() {
        let none = r#"<testsuites><testsuite name="pytest" tests="0" errors="0"></testsuite></testsuites>"#;
        assert_eq!(read(none), Err("no test was collected".to_owned()));
        assert!(read("").is_err());
        assert!(read(&REPORT[..REPORT.len() - 30]).is_err());
    }
}
