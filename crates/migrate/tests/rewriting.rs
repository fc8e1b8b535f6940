//! What happens to a text: matches, what is left and why, checks, bytes that stay.

use std::path::Path;

use agentic_migrate::{Limits, Reason, Rewrite, RuleSet, Stage};

fn rules(text: &str) -> RuleSet {
    RuleSet::from_yaml(text, "rules.yaml").unwrap_or_else(|error| panic!("{error}"))
}

fn run(text: &str, path: &str, file: &str) -> Rewrite {
    rules(text).rewrite(Path::new(path), file)
}

fn left(rewrite: &Rewrite) -> Vec<(usize, Reason)> {
    rewrite.left.iter().map(|left| (left.line, left.reason)).collect()
}

const RENAME: &str = "rules: [{id: r, identifier: {from: old, to: new}}]";

#[test]
fn rules_apply_in_order_each_to_the_result_of_the_last() {
    let rewrite = run(
        "rules: [{id: one, identifier: {from: a, to: b}}, {id: two, identifier: {from: b, to: c}}]",
        "x.py",
        "a = 1\nif b:\n    a()\n",
    );
    assert_eq!(rewrite.text.as_deref(), Some("c = 1\nif c:\n    c()\n"));
    let told: Vec<_> = rewrite.matches.iter().map(|m| (m.rule.as_str(), m.line, m.column)).collect();
    assert_eq!(told, [("one", 1, 1), ("one", 3, 5), ("two", 1, 1), ("two", 2, 4), ("two", 3, 5)]);
    assert_eq!((rewrite.matches[0].before.as_str(), rewrite.matches[0].after.as_str()), ("a", "b"));
    let applied: Vec<_> = rewrite.applied.iter().map(|applied| (applied.rule.as_str(), applied.matches)).collect();
    assert_eq!(applied, [("one", 2), ("two", 3)]);
    let json = serde_json::to_value(&rewrite).unwrap();
    assert_eq!(json["matches"][1]["line"], 3);
    assert_eq!(json["applied"][1]["matches"], 3);
}

#[test]
fn a_text_that_no_rule_matches_has_no_successor() {
    let rewrite = run(RENAME, "x.py", "# old\n");
    assert_eq!(rewrite.text, None);
    assert!(rewrite.matches.is_empty() && rewrite.left.is_empty());
    let there_and_back = "rules: [{identifier: {from: a, to: b}}, {identifier: {from: b, to: a}}]";
    assert_eq!(run(there_and_back, "x.py", "a\n").text, None, "what comes out as it was has none either");
}

#[test]
fn every_byte_beside_a_match_stays() {
    let kept = |path: &str, file: &str| {
        let text = run(RENAME, path, file).text.unwrap();
        assert_eq!(text, file.replace("old", "new"));
    };
    for path in ["x.py", "x.txt", "x.go"] {
        kept(path, "old\r\nx old\r\n");
        kept(path, "\u{feff}old\r\n  \t old");
        kept(path, "old\n\r\nold\r\n\n\u{feff} old  \n\n");
        kept(path, "\u{feff}\n old\u{a0}\n");
    }
}

#[test]
fn a_replacement_of_several_lines_takes_over_the_line_ends() {
    let pattern = "rules: [{language: python, pattern: 'f($A, $B)', fix: \"g(\\n    $A,\\n    $B,\\n)\"}]";
    assert_eq!(run(pattern, "x.py", "f(1, 2)\r\n").text.unwrap(), "g(\r\n    1,\r\n    2,\r\n)\r\n");
    assert_eq!(run(pattern, "x.py", "f(1, 2)\n").text.unwrap(), "g(\n    1,\n    2,\n)\n");
    let indented = "if x:\r\n    f(1, [\r\n        2])\r\n";
    let expected = "if x:\r\n    g(\r\n        1,\r\n        [\r\n            2],\r\n    )\r\n";
    assert_eq!(run(pattern, "x.py", indented).text.unwrap(), expected);
    let regex = "rules: [{regex: {pattern: 'a;', replacement: \"a\\nb\\n\"}}]";
    assert_eq!(run(regex, "x.txt", "\u{feff}a;\r\n").text.unwrap(), "\u{feff}a\r\nb\r\n\r\n");
    assert_eq!(run(regex, "x.txt", "a;\r\n\n").text.unwrap(), "a\nb\n\r\n\n", "a mixture is left to the rule");
}

#[test]
fn a_regular_expression_has_groups_flags_and_scopes() {
    let one = |regex: &str, file: &str| {
        run(&format!("rules: [{{regex: {{{regex}}}, syntax_check: false}}]"), "x.py", file).text
    };
    assert_eq!(one("pattern: '(a)(?P<n>b)', replacement: '${n}$1$$'", "ab").unwrap(), "ba$");
    assert_eq!(one("pattern: '^a', replacement: b", "a\na").unwrap(), "b\na");
    assert_eq!(one("pattern: '^a$', replacement: b, multi_line: true", "a\r\na").unwrap(), "b\r\nb");
    assert_eq!(one("pattern: 'a.b', replacement: c", "a\nb"), None);
    assert_eq!(one("pattern: 'a.b', replacement: c, dot_all: true", "a\nb").unwrap(), "c");
    assert_eq!(one("pattern: 'A+', replacement: b, ignore_case: true", "aAa").unwrap(), "b");
    let file = "x = 'x y'  # x\ny = f'x {x}'\n";
    assert_eq!(one("pattern: x, replacement: z", file).unwrap(), file.replace('x', "z"));
    assert_eq!(one("pattern: x, replacement: z, scope: code", file).unwrap(), "z = 'x y'  # x\ny = f'x {z}'\n");
    assert_eq!(one("pattern: x, replacement: z, scope: strings", file).unwrap(), "x = 'z y'  # x\ny = f'z {x}'\n");
    assert_eq!(one("pattern: x, replacement: z, scope: comments", file).unwrap(), "x = 'x y'  # z\ny = f'x {x}'\n");
    let to_end = "pattern: 'x.*', replacement: z, scope: code";
    assert_eq!(one(to_end, "x = 'x' + x # x\n").unwrap(), "z'x' + z# x\n", "a match stays within a stretch of code");
    assert_eq!(one("pattern: '^ *x', replacement: z, scope: code", "'' x\n"), None, "a stretch begins no line");
    assert_eq!(run("rules: [{regex: {pattern: x, replacement: z, scope: code}}]", "x.txt", "x").text, None);
}

#[test]
fn of_overlapping_matches_the_outermost_is_replaced_and_the_others_are_told() {
    let rule = |more: &str| format!("rules: [{{id: r, language: python, pattern: f($A), fix: g($A){more}}}]");
    let file = "x = 1\nf(f(1) + f(f(2)))\nf(3)\n";
    let rewrite = run(&rule(""), "x.py", file);
    assert_eq!(rewrite.text.as_deref(), Some("x = 1\ng(f(1) + f(f(2)))\ng(3)\n"));
    assert_eq!(left(&rewrite), [(2, Reason::Overlaps); 3]);
    assert!(rewrite.left[0].to_string().starts_with("line 2: rule `r` matches within another match"));
    assert_eq!(rewrite.not_idempotent, [], "that the inner ones match again is told once");
    let rewrite = run(&rule(", repeat: 5"), "x.py", file);
    assert_eq!(rewrite.text.as_deref(), Some("x = 1\ng(g(1) + g(g(2)))\ng(3)\n"));
    assert_eq!((left(&rewrite).len(), rewrite.applied[0].matches), (0, 5));
}

#[test]
fn a_rule_that_would_break_the_syntax_leaves_the_file() {
    let rule = |more: &str| format!("rules: [{{id: r, regex: {{pattern: 'a\\)', replacement: b}}{more}}}]");
    let file = "x = 1\nf(a)\n";
    let rewrite = run(&rule(""), "x.py", file);
    assert_eq!((rewrite.text.as_deref(), left(&rewrite)), (None, vec![(2, Reason::WouldNotParse)]));
    assert!(rewrite.matches.is_empty());
    assert_eq!(run(&rule(", syntax_check: false"), "x.py", file).text.as_deref(), Some("x = 1\nf(b\n"));
    assert_eq!(run(&rule(""), "x.txt", file).text.as_deref(), Some("x = 1\nf(b\n"), "no grammar, no check");
    let sound = "rules: [{identifier: {from: x, to: y}}]";
    assert!(run(sound, "x.py", file).applied[0].parses);
    assert!(!run(sound, "x.txt", file).applied[0].parses && !run(sound, "x.py", "x = (\n").applied[0].parses);
    let broken = "x = (\nf(a)\n";
    assert!(run(&rule(""), "x.py", broken).text.is_some(), "a file that did not parse before is not judged");
    let keyword = run("rules: [{identifier: {from: old, to: class}}]", "x.py", "a = 1\nold = 2\n");
    assert_eq!(left(&keyword), [(2, Reason::WouldNotParse)]);
    let others = "rules: [{id: r, regex: {pattern: 'a\\)', replacement: b}}, {identifier: {from: f, to: g}}]";
    assert_eq!(run(others, "x.py", file).text.as_deref(), Some("x = 1\ng(a)\n"), "other rules go on");
}

#[test]
fn a_rule_that_changes_its_own_result_is_told() {
    let rule = |more: &str| format!("rules: [{{id: r, regex: {{pattern: a, replacement: aa}}{more}}}]");
    let rewrite = run(&rule(""), "x.txt", "b\na\n");
    assert_eq!(rewrite.text.as_deref(), Some("b\naa\n"), "the change is made");
    let again = &rewrite.not_idempotent[0];
    assert_eq!((again.rule.as_str(), again.line, again.before.as_str(), again.after.as_str()), ("r", 2, "a", "aa"));
    assert_eq!(run(&rule(", idempotent: false"), "x.txt", "a\n").not_idempotent, []);
    let wrap = "rules: [{language: python, pattern: f($A), fix: g(f($A))}]";
    assert_eq!(run(wrap, "x.py", "f(1)\n").not_idempotent.len(), 1);
    assert_eq!(run(wrap, "x.py", "f(f(1))\n").not_idempotent.len(), 1, "nested matches hide nothing");
    let swap = "rules: [{language: python, pattern: 'f($A, $B)', fix: 'f($B, $A)'}]";
    assert_eq!(run(swap, "x.py", "f(1, 2)\n").not_idempotent.len(), 1);
    assert_eq!(run(swap, "x.py", "f(1, 1)\n").text, None, "a match that comes out the same is none");
}

#[test]
fn conditions_look_at_the_text_as_the_rule_meets_it() {
    let rule = |more: &str| format!("rules: [{{identifier: {{from: a, to: b}}, {more}}}]");
    let runs = |more: &str, file: &str| run(&rule(more), "x.py", file).text.is_some();
    assert!(runs("if_contains: import x", "import x\na\n"));
    assert!(!runs("if_contains: import x", "a\n"));
    assert!(!runs("if_contains: [import x, import y]", "import x\na\n"), "each of them");
    assert!(!runs("unless_contains: [z, import x]", "import x\na\n"), "none of them");
    assert!(runs("unless_contains: z", "a\n"));
    let order = "rules: [{identifier: {from: a, to: b}}, {if_contains: b, identifier: {from: c, to: d}}]";
    assert_eq!(run(order, "x.py", "a = c\n").text.as_deref(), Some("b = d\n"));
}

#[test]
fn a_rule_is_for_files_by_globs_and_languages() {
    let applies = |more: &str, path: &str| {
        rules(&format!("rules: [{{identifier: {{from: a, to: b}}, {more}}}]")).may_apply(Path::new(path))
    };
    assert!(applies("files: 'src/**'", "src/a/b.txt"));
    assert!(!applies("files: 'src/**'", "lib/b.txt"));
    assert!(!applies("files: ['src/**', '!*.txt']", "src/a/b.txt"));
    assert!(!applies("exclude: '*.txt'", "src/a/b.txt"));
    assert!(applies("language: go", "a.go") && !applies("language: go", "a.py") && !applies("language: go", "a"));
    assert!(applies("language: [go, py]", "a.py"));
    let pattern = rules("rules: [{language: cpp, pattern: a, fix: b}]");
    assert!(pattern.may_apply(Path::new("a.hpp")) && pattern.may_apply(Path::new("a.h")));
    assert!(!pattern.may_apply(Path::new("a.c")) && !pattern.may_apply(Path::new("a.txt")));
    assert!(!rules("rules: [{command: make}]").may_apply(Path::new("a.c")));
    let rewrite = run("rules: [{identifier: {from: a, to: b}, files: '*.go'}]", "x.py", "a\n");
    assert_eq!((rewrite.text, rewrite.applied.len()), (None, 0));
}

#[test]
fn commands_keep_their_place() {
    let text = "rules: [{id: first, command: make fmt, message: why}, {identifier: {from: a, to: b}}, \
                {identifier: {from: b, to: c}}, {command: make}, {identifier: {from: c, to: d}}]";
    let rules = rules(text);
    let lines: Vec<_> = rules.commands().map(|command| (command.id.as_str(), command.line.as_str())).collect();
    assert_eq!(lines, [("first", "make fmt"), ("rule-4", "make")]);
    let [Stage::Command(first), Stage::Rules(one), Stage::Command(_), Stage::Rules(two)] = rules.stages() else {
        panic!("{:?}", rules.stages());
    };
    assert_eq!((first.message.as_deref(), one.clone(), two.clone()), (Some("why"), 1..3, 4..5));
    let path = Path::new("x.py");
    assert_eq!(rules.rewrite_stage(one.clone(), path, "a\n").text.as_deref(), Some("c\n"));
    assert_eq!(rules.rewrite_stage(two.clone(), path, "a\n").text, None);
    assert_eq!(rules.rewrite(path, "a\n").text.as_deref(), Some("d\n"));
    let kinds: Vec<_> = rules.rules().iter().map(|rule| (rule.id(), rule.kind())).collect();
    assert_eq!(kinds[..2], [("first", "command"), ("rule-2", "identifier")]);
}

#[test]
fn what_is_too_much_is_left_with_its_reason() {
    let limits = Limits { bytes: 20, ..Limits::default() };
    let large = rules(RENAME).with_limits(limits).rewrite(Path::new("x.py"), "old = 1  # a long comment\n");
    assert_eq!((&large.text, left(&large)), (&None, vec![(1, Reason::FileTooLarge)]));
    let none = rules(RENAME).with_limits(limits).rewrite(Path::new("x.py"), "nothing here that could match\n");
    assert!(none.left.is_empty(), "a rule that cannot match says nothing");
    let grow = rules("rules: [{regex: {pattern: a, replacement: bbbbbbbb}}]").with_limits(limits);
    assert_eq!(left(&grow.rewrite(Path::new("x.txt"), "aaaaaa")), [(1, Reason::ResultTooLarge)]);
    let every = format!("rules: [{{regex: {{pattern: '(?s).', replacement: '{}'}}}}]", "$0".repeat(10_000));
    let rewrite = run(&every, "x.txt", &"y".repeat(3 << 20));
    assert_eq!(left(&rewrite), [(1, Reason::ResultTooLarge)], "found before it is built");
    let slow = Limits { time: std::time::Duration::ZERO, ..Limits::default() };
    let rewrite = rules(RENAME).with_limits(slow).rewrite(Path::new("x.py"), &"old = 1\n".repeat(1000));
    assert_eq!(left(&rewrite), [(1, Reason::TooSlow)]);
}

#[test]
fn deep_nesting_neither_overflows_the_stack_nor_hangs() {
    let deep =
        |open: &str, inner: &str, close: &str| format!("{}{inner}{}\n", open.repeat(20_000), close.repeat(20_000));
    let pattern = "rules: [{language: [python, javascript], pattern: '$A + $A', fix: 2 * $A}]";
    // Deep trees are walked only as far as a limit; comparing two of them would recurse.
    for file in
        [deep("(", "1 + 1", ")"), deep("[", "1 + 1", "]"), "1 + ".repeat(20_000) + "1\n", deep("-", "x + x", "")]
    {
        for path in ["x.py", "x.js"] {
            let rewrite = run(pattern, path, &file);
            assert!(rewrite.text.is_none());
            assert_eq!(left(&rewrite), [(1, Reason::TooDeep)]);
        }
    }
    let rename = run(RENAME, "x.py", &deep("(", "old", ")"));
    assert_eq!(rename.text.unwrap(), deep("(", "new", ")"), "a rename goes as deep as the file does");
    let code = "rules: [{regex: {pattern: old, replacement: new, scope: code}}]";
    assert_eq!(run(code, "x.py", &deep("(", "old", ")")).text.unwrap(), deep("(", "new", ")"));
    let limit = Limits::default().depth - 10;
    let twice = format!("{}x{}", "[".repeat(limit), "]".repeat(limit));
    let rewrite = run(pattern, "x.py", &format!("{twice} + {twice}\n"));
    assert_eq!(rewrite.text.unwrap(), format!("2 * {twice}\n"), "what is within the limit is compared");
}

#[test]
fn odd_texts_are_taken_as_they_come() {
    for file in
        ["", "\u{feff}", "\0old\0", "old\0", "\r\r\n\r", "日本 old 語\u{202e}", "old\u{301}", "'old", "\"\"\"old"]
    {
        for path in ["x.py", "x.rs", "x.js", "x.ts", "x.tsx", "x.go", "x.java", "x.c", "x.cpp", "x.sh", "x.txt"] {
            let all = "rules: [{identifier: {from: old, to: new, in: [code, strings, comments]}, syntax_check: false}]";
            let text = run(all, path, file).text.unwrap_or_else(|| file.to_owned());
            assert_eq!(text.replace("new", "old"), file);
        }
    }
}

#[test]
fn rules_are_shared_by_threads() {
    let text = "rules: [{identifier: {from: old, to: new}}, {language: python, pattern: f($A), fix: g($A)}, \
                {regex: {pattern: x, replacement: y}}]";
    let rules = rules(text);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let rules = &rules;
            scope.spawn(move || {
                for round in 0..50 {
                    let rewrite = rules.rewrite(Path::new("x.py"), &format!("old = f(x, {number}) + f({round})\n"));
                    assert_eq!(rewrite.text.unwrap(), format!("new = f(y, {number}) + g({round})\n"));
                }
            });
        }
    });
}
