//! Properties over made-up files of every language.

use std::path::Path;

use agentic_migrate::{Rewrite, RuleSet};
use proptest::prelude::*;

/// Pieces of which files are made: names, what surrounds them, and what grammars stumble over.
const PIECES: [&str; 48] = [
    "old",
    "older",
    "_old",
    "x",
    "f",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ":",
    ".",
    "=",
    "+",
    "\"",
    "'",
    "`",
    "\\",
    "#",
    "//",
    "/*",
    "*/",
    "\n",
    "\r\n",
    "\n    ",
    " ",
    "\t",
    "\"old\"",
    "'old'",
    "f'{old}'",
    "`${old}`",
    "$old",
    "def old(x):",
    "class old",
    "fn old()",
    "return old",
    "if old:",
    "import old",
    "<old>",
    "</old>",
    "let x = ",
    "'''",
    "é",
    "日",
    "1",
];

const PATHS: [&str; 11] = ["a.py", "a.rs", "a.js", "a.ts", "a.tsx", "a.go", "a.java", "a.c", "a.cpp", "a.sh", "a.txt"];

fn files() -> impl Strategy<Value = (String, &'static str)> {
    let text = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60).prop_map(|pieces| pieces.concat());
    (text, prop::sample::select(&PATHS[..]))
}

/// Files that parse, of lines that may follow each other in any order.
fn sound() -> impl Strategy<Value = (String, &'static str)> {
    let lines: [(&'static str, &'static [&'static str]); 5] = [
        (
            "a.py",
            &["old = f'{old} old'", "# old", "import old, older", "def old(old, x=old): 'old'", "x.old(old=1)", ""],
        ),
        (
            "a.rs",
            &["fn old(old: old) { old!(old, \"old\") }", "// old", "/* older old */", "struct old { old: u8 }", ""],
        ),
        (
            "a.tsx",
            &["let old = `old ${old}`;", "// old", "<old old='old'>old {old}</old>;", "f({ old, older: x.old });"],
        ),
        ("a.c", &["#define old(x) old(x, \"old\")", "struct old { int old; };", "/* old */", "int older = old('o');"]),
        ("a.txt", &["old", "older old", "'old' (old)", ""]),
    ];
    let file = |(path, lines): (&'static str, &'static [&'static str])| {
        let ends = prop::sample::select(&["\n", "\r\n"][..]);
        (prop::collection::vec(prop::sample::select(lines), 0..12), ends)
            .prop_map(move |(lines, end)| (lines.join(end), path))
    };
    prop::sample::select(lines.to_vec()).prop_flat_map(file)
}

fn rewrite(rules: &str, path: &str, text: &str) -> Rewrite {
    RuleSet::from_yaml(rules, "r.yaml").unwrap().rewrite(Path::new(path), text)
}

fn text(rewrite: Rewrite, before: &str) -> String {
    rewrite.text.unwrap_or_else(|| before.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_that_match_nothing_change_nothing((file, path) in files()) {
        let rules = "
rules:
  - identifier: { from: absent, to: other, in: [code, strings, comments] }
  - regex: { pattern: 'absent+', replacement: other }
  - regex: { pattern: 'absent+', replacement: other, scope: strings }
  - { language: [python, rust, js, ts, tsx, go, java, c, cpp, bash], pattern: absent, fix: other }
";
        let rewrite = rewrite(rules, path, &file);
        prop_assert_eq!(rewrite, Rewrite::default());
    }

    /// Of files that parse: where one does not, how far an error reaches depends on the lengths of words.
    #[test]
    fn a_rename_there_and_back_gives_the_same_text(
        (file, path) in sound(),
        parts in "(code|strings|comments|code, strings, comments)",
    ) {
        let rename =
            |from: &str, to: &str| format!("rules: [{{identifier: {{from: {from}, to: {to}, in: [{parts}]}}}}]");
        let there = rewrite(&rename("old", "fresh"), path, &file);
        prop_assert!(there.not_idempotent.is_empty() && there.left.is_empty());
        let matches = there.matches.len();
        let there = text(there, &file);
        prop_assert_eq!(there.len(), file.len() + 2 * matches);
        prop_assert_eq!(there.matches("older").count(), file.matches("older").count());
        prop_assert_eq!(text(rewrite(&rename("fresh", "old"), path, &there), &there), file);
    }

    #[test]
    fn any_rule_takes_any_file((file, path) in files(), first in prop::sample::select(&PIECES[..]), fix in prop::sample::select(&PIECES[..])) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let escaped: String = first.chars().map(|c| if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() }).collect();
        let rules = format!("
rules:
  - regex: {{ pattern: {}, replacement: {}, scope: code }}
    repeat: 3
  - language: [python, rust, js, ts, tsx, go, java, c, cpp, bash]
    rule: {{ any: [{{ pattern: old }}, {{ pattern: x }}, {{ pattern: f }}], not: {{ inside: {{ kind: ERROR, stopBy: end }} }} }}
    fix: {}
", quoted(&escaped), quoted(&fix.replace('$', "$$")), quoted(fix));
        let rewrite = rewrite(&rules, path, &file);
        if rewrite.applied.iter().all(|applied| applied.matches == 0) {
            prop_assert_eq!(rewrite.text, None);
        }
    }
}
