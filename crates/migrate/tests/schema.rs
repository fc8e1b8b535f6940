//! The published schema and the reader agree.

use agentic_migrate::RuleSet;
use serde_json::{Value, json};

fn accepts(file: &Value) -> bool {
    let schema = jsonschema::validator_for(&RuleSet::schema()).unwrap();
    for error in schema.iter_errors(file) {
        println!("{}: {error}", error.instance_path());
    }
    schema.is_valid(file)
}

fn reads(file: &Value) -> bool {
    RuleSet::from_yaml(&file.to_string(), "r.yaml").is_ok()
}

#[test]
fn what_is_right_is_right_for_both() {
    let rules = [
        json!({"identifier": {"from": "a", "to": "b", "in": ["code", "strings"]}, "id": "x", "message": "y"}),
        json!({"identifier": {"from": "a", "to": "b"}, "files": "*.py", "exclude": ["!a", "b"], "language": "python"}),
        json!({"identifier": {"from": "a", "to": "b"}, "if_contains": "a", "unless_contains": ["b"], "repeat": 2}),
        json!({"identifier": {"from": "a", "to": "b"}, "idempotent": false, "syntax_check": false}),
        json!({"regex": {"pattern": "a", "replacement": "b", "scope": "comments", "multi_line": true,
            "dot_all": true, "ignore_case": true}, "language": ["rust", "go"]}),
        json!({"pattern": "f($A)", "fix": "g($A)", "language": ["javascript", "tsx"]}),
        json!({"pattern": {"context": "f($A)", "selector": "call"}, "fix": {"template": "g($A)"}, "language": "python",
            "constraints": {"A": {"regex": "a"}}, "transform": {"B": {"replace": {"source": "$A", "replace": "a", "by": "b"}}}}),
        json!({"rule": {"kind": "call", "inside": {"matches": "u", "stopBy": "end"}}, "utils": {"u": {"kind": "call"}},
            "fix": "", "language": "python", "rewriters": [{"id": "r", "rule": {"pattern": "a"}, "fix": "b"}]}),
        json!({"command": "make", "id": "x"}),
    ];
    for rule in rules {
        let file = json!({"rules": [rule]});
        RuleSet::from_yaml(&file.to_string(), "r.yaml").unwrap_or_else(|error| panic!("{error}"));
        assert!(accepts(&file), "{file}");
    }
}

#[test]
fn what_is_wrong_is_wrong_for_both() {
    let files = [
        json!({}),
        json!({"rules": []}),
        json!({"rules": [{"command": "make"}], "more": 1}),
        json!({"rules": [{"id": "x"}]}),
        json!({"rules": [{"command": "make", "identifier": {"from": "a", "to": "b"}}]}),
        json!({"rules": [{"identifier": {"from": "a"}}]}),
        json!({"rules": [{"identifier": {"from": "a", "to": "b", "at": "c"}}]}),
        json!({"rules": [{"identifier": {"from": "a", "to": "b"}, "language": "cobol"}]}),
        json!({"rules": [{"identifier": {"from": "a", "to": "b"}, "repeat": 0}]}),
        json!({"rules": [{"identifier": {"from": "a", "to": "b"}, "more": 0}]}),
        json!({"rules": [{"regex": {"pattern": "a", "replacement": "b", "scope": "x"}}]}),
        json!({"rules": [{"pattern": "a", "language": "python"}]}),
        json!({"rules": [{"pattern": "a", "fix": "b"}]}),
        json!({"rules": [{"rule": {"patern": "a"}, "fix": "b", "language": "python"}]}),
    ];
    for file in files {
        assert!(!accepts(&file), "{file}");
        assert!(!reads(&file), "{file}");
    }
}
