//! What the fuzz targets of this crate call (`fuzz/`), and the same with a fixed sequence of inputs as tests. In no other
//! build.

use std::path::Path;
use std::time::Duration;

use crate::limits::Limits;
use crate::set::RuleSet;

const PATHS: [&str; 11] = ["a.py", "a.rs", "a.js", "a.ts", "a.tsx", "a.go", "a.java", "a.c", "a.cpp", "a.sh", "a.txt"];

/// For files whose rules cannot be read.
const RULES: &str = r#"
rules:
  - identifier: { from: a, to: bc, in: [code, strings, comments] }
  - { regex: { pattern: '[a-z]+(\d)', replacement: "$1\n$0", scope: code }, syntax_check: false }
  - { regex: { pattern: '.\b', replacement: '', scope: strings, dot_all: true } }
  - language: [python, rust, js, ts, tsx, go, java, c, cpp, bash]
    rule: { any: [{ pattern: a }, { pattern: bc }], inside: { regex: b, stopBy: end } }
    fix: "x\n  (bc)"
    repeat: 3
"#;

/// A rules file, up to the first zero, and a file that it rewrites: each byte before the text is a place in the list of
/// paths, so that the seeds name their language.
///
/// # Panics
/// When a report is not true of the text that comes with it.
pub fn rewrite(bytes: &[u8]) {
    let (rules, file) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (&b""[..], bytes),
    };
    let Some((place, file)) = file.split_first() else { return };
    let (Ok(rules), Ok(file)) = (std::str::from_utf8(rules), std::str::from_utf8(file)) else { return };
    let path = Path::new(PATHS[usize::from(*place) % PATHS.len()]);
    let rules = RuleSet::from_yaml(rules, "rules.yaml").unwrap_or_else(|error| {
        assert!(!error.problem.is_empty() && !error.to_string().contains('\u{1b}'), "{error}");
        RuleSet::from_yaml(RULES, "rules.yaml").expect("these are right")
    });
    let limits = Limits { bytes: 100_000, time: Duration::from_secs(3), ..Limits::default() };
    let rewrite = rules.with_limits(limits).rewrite(path, file);
    let made: usize = rewrite.applied.iter().map(|applied| applied.matches).sum();
    match &rewrite.text {
        Some(text) => assert!(text != file && made > 0 && text.len() <= limits.bytes + 3),
        None => assert!(made == 0 || rewrite.applied.len() > 1 || !rewrite.matches.is_empty()),
    }
    for found in &rewrite.matches {
        assert!(found.line >= 1 && found.column >= 1 && found.before != found.after || found.before.ends_with('…'));
    }
}

#[cfg(test)]
mod tests {
    use agentic_testkit::mutations;

    use super::*;

    fn tried(seeds: &[&[u8]], count: usize) {
        seeds.iter().for_each(|seed| rewrite(seed));
        mutations(seeds, count).for_each(|bytes| rewrite(&bytes));
    }

    #[test]
    fn a_rules_file_is_read_or_refused() {
        let seeds: &[&[u8]] = &[
            b"rules: [{id: x, identifier: {from: a, to: b, in: [code, strings]}, files: ['*.py', '!b/**']}]\0\x00a = 'a'\n",
            b"rules: [{regex: {pattern: '(a|b)+?', replacement: '${1}$$', scope: comments}, repeat: 2}]\0\x01// a\n",
            b"rules: [{pattern: 'f($A, $$$B)', fix: 'g($$$B, $A)', language: [js, tsx]}]\0\x02f(1, f(2, 3), x)\n",
            b"rules: [{rule: {any: [{pattern: $A}, {kind: string}], has: {regex: a, stopBy: end}}, constraints: {A: {regex: x}}, transform: {B: {substring: {source: $A, startChar: 1}}}, fix: '$B', language: python}]\0\x00x(a)\n",
            b"rules:\n- &a {command: make}\n- {<<: *a, id: b}\n\0\x05package a\n",
        ];
        tried(seeds, 1_500);
    }

    #[test]
    fn a_file_is_rewritten_whatever_it_is() {
        let seeds: &[&[u8]] = &[
            b"\x00def a(x1):\n    return f'{a} a' + 'b1'  # a\n",
            b"\x01fn a<'a>(a: &'a str) { println!(\"a {}\", a1); /* a */ }\n",
            b"\x02const {a, b: a1} = `a ${a}`; /* a */ function a() { return a => a }\n",
            b"\x04let x = <a b=\"a\">a {a}</a>; type a = { a?: a };\n",
            b"\x05package a\n\nfunc a() { a(\"a\", `a1`, 'a') }\n",
            b"\x07#define a(x) a(x, \"a\")\r\nint a(void) { return a->a1; }\r\n",
            b"\x08namespace a { class a : a::b { ~a(); }; } auto s = R\"(a)\";\n",
            b"\x09a() { echo \"$a ${a1}\" 'a'; }\ncat <<E\na $a\nE\n",
            "\x0aa \u{feff}a1 é a\r\n".as_bytes(),
        ];
        tried(seeds, 1_500);
    }
}
