//! What a rules file that cannot be used says: the field, the problem, and what to do.

use agentic_migrate::{RuleError, RuleSet};

fn error(text: &str) -> RuleError {
    RuleSet::from_yaml(text, "r.yaml").expect_err(text)
}

#[test]
fn an_error_names_file_line_rule_field_problem_and_remedy() {
    let text = "rules:\n  - identifier: {from: a, to: b}\n  - id: second\n    language: python\n    regex:\n      pattern: (a)\n      replacement: $2\n";
    let error = error(text);
    assert_eq!(error.line, Some(5));
    assert_eq!(error.rule.as_deref(), Some("rule 2 (`second`)"));
    assert_eq!(
        error.to_string(),
        "r.yaml:5: rule 2 (`second`): `regex.replacement`: the pattern has no group `2`; \
         its groups are `0`, `1`; `$$` is a dollar sign"
    );
}

#[test]
fn every_mistake_has_its_field_and_its_problem() {
    #[rustfmt::skip]
    let cases = [
        ("", "rules", "there is no rule"),
        ("[]", "", "the file is no mapping"),
        ("rules:", "rules", "there is no rule"),
        ("rules: []", "rules", "there is no rule"),
        ("rules: 3", "rules", "it is no list"),
        ("rule: []", "rule", "unknown field"),
        ("rules: [{command: a}]\n---\nrules: [{command: b}]\n", "", "there is more than one document"),
        ("rules: [3]", "rules", "rule 1 is no mapping"),
        ("rules: [a", "", "unclosed bracket '['"),
        ("rules: [{}]\nmore: 1", "more", "unknown field"),
        ("rules: [{}]", "", "the rule does nothing"),
        ("rules: [{id: a, identifier: {from: a, to: b}}, {id: a, identifier: {from: a, to: b}}]", "id", "`a` is the id of rule 1 already"),
        ("rules: [{id: '', identifier: {from: a, to: b}}]", "id", "the id is empty"),
        ("rules: [{id: rule-2, identifier: {from: a, to: b}}, {identifier: {from: a, to: b}}]", "id", "`rule-2` is the id of rule 1 already"),
        ("rules:\n  - id: x\n    patern: a\n", "patern", "unknown field"),
        ("rules: [{from: a, to: b}]", "from", "unknown field"),
        ("rules: [{identifier: {from: a, to: b}, regex: {pattern: a, replacement: b}}]", "", "the rule does 2 things: `identifier`, `regex`"),
        ("rules: [{identifier: {from: a}}]", "identifier", "missing field `to`"),
        ("rules: [{identifier: {form: a, to: b}}]", "identifier", "unknown field `form`, expected one of `from`, `to`, `in`"),
        ("rules: [{identifier: a}]", "identifier", "invalid type: string \"a\", expected a mapping"),
        ("rules: [{identifier: {from: a, to: 3}}]", "identifier", "invalid type: integer `3`, expected a string"),
        ("rules: [{identifier: {from: a, to: 3b}}]", "identifier.to", "\"3b\" is no identifier"),
        ("rules: [{identifier: {from: a b, to: b}}]", "identifier.from", "\"a b\" is no identifier"),
        ("rules: [{identifier: {from: a, to: a}}]", "identifier.to", "`a` is the old name"),
        ("rules: [{identifier: {from: a, to: b, in: []}}]", "identifier.in", "the list is empty, so nothing would be renamed"),
        ("rules: [{identifier: {from: a, to: b, in: [text]}}]", "identifier", "unknown variant `text`, expected one of `code`, `strings`, `comments`"),
        ("rules: [{identifier: {from: a, to: b}, fix: c}]", "fix", "it does not go with `identifier`"),
        ("rules: [{identifier: {from: a, to: b}, language: cobol}]", "language", "unknown language \"cobol\""),
        ("rules: [{identifier: {from: a, to: b}, language: []}]", "language", "the list is empty"),
        ("rules: [{identifier: {from: a, to: b}, files: 3}]", "files", "expected a text or a list of texts"),
        ("rules: [{identifier: {from: a, to: b}, files: ['a[']}]", "files", "bad glob \"a[\": unclosed character class; missing ']'"),
        ("rules: [{identifier: {from: a, to: b}, files: ['']}]", "files", "\"\" is no glob"),
        ("rules: [{identifier: {from: a, to: b}, if_contains: ''}]", "if_contains", "the text is empty, and every file contains it"),
        ("rules: [{identifier: {from: a, to: b}, idempotent: 1}]", "idempotent", "invalid type: integer `1`, expected a boolean"),
        ("rules: [{identifier: {from: a, to: b}, idempotent: yes}]", "idempotent", "invalid type: string \"yes\", expected a boolean"),
        ("rules: [{identifier: {from: a, to: b}, repeat: 0}]", "repeat", "0 is out of range"),
        ("rules: [{identifier: {from: a, to: b}, repeat: -1}]", "repeat", "invalid value: integer `-1`, expected u32"),
        ("rules: [{identifier: {from: a, to: b}, id: 3}]", "id", "invalid type: integer `3`, expected a string"),
        ("rules: [{identifier: {from: a, to: b}, id: x, id: y}]", "", "duplicate mapping key: id"),
        ("rules: [{regex: {pattern: '(a', replacement: b}}]", "regex.pattern", "bad regular expression \"(a\": unclosed group, at column 1"),
        ("rules: [{regex: {pattern: 'a*', replacement: b}}]", "regex.pattern", "\"a*\" can match the empty text"),
        ("rules: [{regex: {pattern: '[^\\s\\S]', replacement: b}}]", "regex.pattern", "\"[^\\\\s\\\\S]\" matches nothing"),
        ("rules: [{regex: {pattern: '\\b', replacement: b}}]", "regex.pattern", "\"\\\\b\" can match the empty text"),
        ("rules: [{regex: {pattern: '(?=a)', replacement: b}}]", "regex.pattern", "bad regular expression \"(?=a)\": look-around, including look-ahead and look-behind, is not supported, at column 1"),
        ("rules: [{regex: {pattern: 'a{1000}{1000}{10}', replacement: b}}]", "regex.pattern", "the expression cannot be compiled: error building NFA: heap usage during NFA compilation exceeded limit of 10485760"),
        ("rules: [{regex: {pattern: '(a)', replacement: $2}}]", "regex.replacement", "the pattern has no group `2`"),
        ("rules: [{regex: {pattern: '(?P<n>a)', replacement: '${m}'}}]", "regex.replacement", "the pattern has no group `m`"),
        ("rules: [{regex: {pattern: a, replacement: b, scope: x}}]", "regex", "unknown variant `x`, expected one of `all`, `code`, `strings`, `comments`"),
        ("rules: [{regex: {pattern: a, replacment: b}}]", "regex", "unknown field `replacment`, expected one of `pattern`, `replacement`, `multi_line`, `dot_all`, `ignore_case`, `scope`"),
        ("rules: [{command: ''}]", "command", "the command is empty"),
        ("rules: [{command: make, files: a}]", "files", "it does not go with `command`"),
        ("rules: [{pattern: a($A), fix: b($A)}]", "language", "`pattern` needs a language"),
        ("rules: [{pattern: a($A), language: python}]", "fix", "`pattern` needs a `fix`"),
        ("rules: [{pattern: a($A), fix: b($B), language: python}]", "fix", "nothing captures `$B`"),
        ("rules: [{pattern: 'a(', fix: b, language: python}]", "pattern", "bad pattern \"a(\" for python: it does not parse"),
        ("rules: [{pattern: 'a(); b()', fix: b, language: python}]", "pattern", "bad pattern \"a(); b()\" for python: it is more than one piece of code"),
        ("rules: [{pattern: '', fix: b, language: python}]", "pattern", "bad pattern \"\" for python: there is no code in it"),
        ("rules: [{pattern: '$$$A', fix: b, language: python}]", "pattern", "bad pattern \"$$$A\" for python: alone it stands for no one node"),
        ("rules: [{pattern: 3, fix: b, language: python}]", "pattern", "it has none of the forms that it may have"),
        ("rules: [{pattern: {context: 'a()', selector: nothing}, fix: b, language: python}]", "pattern", "bad pattern \"a()\" for python: Kind `nothing` is invalid"),
        ("rules: [{pattern: {context: 'a()', selector: string}, fix: b, language: python}]", "pattern", "bad pattern \"a()\" for python: no `string` is in it"),
        ("rules: [{pattern: {contxt: 'a()', selector: string}, fix: b, language: python}]", "pattern", "it has none of the forms that it may have"),
        ("rules: [{pattern: a, fix: 3, language: python}]", "fix", "it has none of the forms that it may have"),
        ("rules: [{pattern: a, fix: [{template: b, title: x}, {template: c, title: y}], language: python}]", "fix", "there are 2 alternatives"),
        ("rules: [{rule: {patern: a}, fix: b, language: python}]", "rule", "unknown field `patern`, expected one of `pattern`, `kind`, `regex`, `nthChild`, `range`, `inside`, `has`, `precedes`, `follows`, `all`, `any`, `not`, `matches`"),
        ("rules: [{rule: {pattern: 'a('}, fix: b, language: python}]", "rule.pattern", "bad pattern \"a(\" for python: it does not parse"),
        ("rules: [{rule: {all: [{pattern: 'a('}]}, fix: b, language: python}]", "rule.all[0].pattern", "bad pattern \"a(\" for python: it does not parse"),
        ("rules: [{rule: {kind: nothing}, fix: b, language: python}]", "rule", "bad for python: Rule contains invalid kind matcher: Invalid Kind: Kind `nothing` is invalid"),
        ("rules: [{rule: {regex: a}, fix: b, language: python}]", "rule", "the rule does not say which kinds of nodes it is about"),
        ("rules: [{rule: {inside: {pattern: a}}, fix: b, language: python}]", "rule", "the rule does not say which kinds of nodes it is about"),
        ("rules: [{rule: {pattern: a, regex: '('}, fix: b, language: python}]", "rule", "bad for python: Rule contains invalid regex matcher: Parsing text matcher fails: unclosed group"),
        ("rules: [{rule: {matches: u}, fix: b, language: python}]", "rule", "bad for python: Rule contains invalid matches reference: Rule `u` is not defined"),
        ("rules: [{rule: {matches: u}, utils: {u: {matches: u}}, fix: b, language: python}]", "utils", "bad for python: Rule contains invalid matches reference: Rule `u` has a cyclic dependency in its `matches` sub-rule"),
        ("rules: [{rule: {pattern: $A}, constraints: {B: {regex: a}}, fix: b, language: python}]", "constraints", "nothing captures `$B`"),
        ("rules: [{rule: {pattern: $A}, constraints: {A: {regex: '('}}, fix: b, language: python}]", "constraints", "bad for python: Rule contains invalid regex matcher: Parsing text matcher fails: unclosed group"),
        ("rules: [{rule: {pattern: $A}, transform: {B: {replace: {source: $C, replace: a, by: b}}}, fix: b, language: python}]", "transform", "nothing captures `$C`"),
        ("rules: [{rule: {pattern: $A}, transform: {B: {replac: {source: $A, replace: a, by: b}}}, fix: b, language: python}]", "transform", "it has none of the forms that it may have"),
        ("rules: [{rule: {pattern: $A}, transform: {B: {rewrite: {source: $A, rewriters: [x]}}}, fix: b, language: python}]", "rule", "the rule does not say which kinds of nodes it is about"),
        ("rules: [{rule: {pattern: $A}, rewriters: [{id: x, rule: {pattern: b}}], fix: b, language: python}]", "rewriters", "missing field `fix`"),
    ];
    for (text, field, problem) in cases {
        let error = error(text);
        assert_eq!((error.field.as_deref().unwrap_or(""), &*error.problem), (field, problem), "{text}");
        assert!(!error.help.is_empty(), "{text}");
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    assert_eq!(&*error(&" ".repeat(2 << 20)).problem, "the file has 2097152 bytes, and 1048576 are the limit");
    let many = format!("rules:\n{}", "- {identifier: {from: a, to: b}}\n".repeat(1001));
    assert_eq!(&*error(&many).problem, "there are 1001 rules, and 1000 are the limit");
    let nested = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(5000), close.repeat(5000));
    let rule = format!("rules: [{{language: python, fix: b, rule: {}}}]", nested("{not: ", "{pattern: a}", "}"));
    assert!(error(&rule).problem.contains("nested too deeply"), "{}", error(&rule));
    let pattern = format!("rules: [{{language: python, fix: b, pattern: '{}'}}]", nested("(", "1", ")"));
    assert!(error(&pattern).problem.ends_with("it is nested deeper than 200 levels"), "{}", error(&pattern));
    let pattern = format!("rules: [{{language: python, fix: b, pattern: '{}'}}]", "a".repeat(20_000));
    assert!(error(&pattern).problem.ends_with("it is longer than 16384 bytes"), "{}", error(&pattern));
    let regex = format!("rules: [{{regex: {{pattern: '{}', replacement: b}}}}]", nested("(", "a", ")"));
    assert!(error(&regex).problem.contains("nested parentheses"), "{}", error(&regex));
    assert!(error(&regex).to_string().len() < 500, "what is shown of a long text is short");
    let mut bomb = String::from("rules:\n- &a0 {message: 'xxxxxxxxxxxxxxxxxxxx'}\n");
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("- &a{level} {{files: [{list}]}}\n"));
    }
    assert!(error(&bomb).problem.contains("refers to itself too often"), "{}", error(&bomb));
}

#[test]
fn what_ast_grep_accepts_is_accepted() {
    let rules = r"
rules:
  - id: everything
    language: [javascript, typescript, tsx]
    utils: { loop: { any: [{ kind: for_statement }, { kind: while_statement }] } }
    rule:
      pattern: { context: 'f($A)', selector: call_expression, strictness: relaxed }
      inside: { matches: loop, stopBy: end }
      not: { has: { regex: '^x$', stopBy: end } }
    constraints: { A: { kind: identifier } }
    rewriters: [{ id: up, rule: { pattern: a }, fix: A }]
    transform:
      B: { convert: { source: $A, toCase: upperCase } }
      C: { rewrite: { source: $A, rewriters: [up] } }
    fix: { template: 'g($B, $C);', expandEnd: { regex: ';' } }
";
    let rules = RuleSet::from_yaml(rules, "r.yaml").unwrap();
    let rewrite = rules.rewrite("a.ts".as_ref(), "for (;;) { f(a); f(b) }\nf(a);\n");
    assert_eq!(rewrite.text.as_deref(), Some("for (;;) { g(A, A); g(B, b); }\nf(a);\n"));
}
