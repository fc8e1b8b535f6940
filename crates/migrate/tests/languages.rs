//! Each language: a rename that spares strings and comments, and a rewrite of structure.

use std::path::Path;

use agentic_migrate::{Language, RuleSet};

/// The new text, which is the old one where no rule matches.
fn rewritten(rules: &str, path: &str, text: &str) -> String {
    let rules = RuleSet::from_yaml(rules, "rules.yaml").unwrap();
    let rewrite = rules.rewrite(Path::new(path), text);
    assert!(rewrite.left.is_empty(), "{:?}", rewrite.left);
    assert!(rewrite.not_idempotent.is_empty(), "{:?}", rewrite.not_idempotent);
    rewrite.text.unwrap_or_else(|| text.to_owned())
}

fn renamed(path: &str, text: &str) -> String {
    rewritten("rules: [{identifier: {from: old, to: fresh}}]", path, text)
}

fn replaced(language: &str, path: &str, pattern: &str, fix: &str, text: &str) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let (pattern, fix) = (quoted(pattern), quoted(fix));
    rewritten(&format!("rules: [{{language: {language}, pattern: {pattern}, fix: {fix}}}]"), path, text)
}

#[test]
fn python() {
    assert_eq!(
        renamed(
            "a.py",
            "from old import old as x  # old\n\
             def old(a, old=1): 'old'\n\
             x.old = old_(old=f\"old {old} old\") + r'''old'''\n\
             class old: older = old2\n"
        ),
        "from fresh import fresh as x  # old\n\
         def fresh(a, fresh=1): 'old'\n\
         x.fresh = old_(fresh=f\"old {fresh} old\") + r'''old'''\n\
         class fresh: older = old2\n"
    );
    assert_eq!(
        replaced(
            "python",
            "a.py",
            "assertEquals($A, $$$B)",
            "assertEqual($A, $$$B)",
            "assertEquals(f(1), 2, msg='x')\n"
        ),
        "assertEqual(f(1), 2, msg='x')\n"
    );
}

#[test]
fn rust() {
    assert_eq!(
        renamed(
            "a.rs",
            "/// old\nfn old<'old>(a: &'old str, old: old) -> old { 'old: loop { break 'old } }\n\
             struct S { old: u8 } // old\nfn f() { println!(\"old {}\", old); S { old }.old; r#\"old\"#; old!(old); 'o' }\n"
        ),
        "/// old\nfn fresh<'old>(a: &'old str, fresh: fresh) -> fresh { 'old: loop { break 'old } }\n\
         struct S { fresh: u8 } // old\nfn f() { println!(\"old {}\", fresh); S { fresh }.fresh; r#\"old\"#; fresh!(fresh); 'o' }\n"
    );
    assert_eq!(
        replaced("rust", "a.rs", "$A.unwrap()", "$A?", "fn f() { let a = b.c(1).unwrap(); }\n"),
        "fn f() { let a = b.c(1)?; }\n"
    );
}

#[test]
fn a_format_of_rust_takes_up_names() {
    assert_eq!(
        renamed(
            "a.rs",
            "fn f(old: u8) { println!(\"old {old} {old:?} {{old}} {x:old$}\"); log::info!(r#\"{old}\"#, a = g(\"{old}\")); json!(\"{old}\"); }\n"
        ),
        "fn f(fresh: u8) { println!(\"old {fresh} {fresh:?} {{old}} {x:fresh$}\"); log::info!(r#\"{fresh}\"#, a = g(\"{fresh}\")); json!(\"{old}\"); }\n"
    );
}

#[test]
fn javascript() {
    assert_eq!(
        renamed(
            "a.jsx",
            "import { old } from 'old'; // old\nconst { old: x, y = old } = { old, 'old': a.old };\n\
             old: for (;;) break old;\nlet s = `old ${old}`, r = /old/; const j = <old old=\"old\">old {old}</old>;\n"
        ),
        "import { fresh } from 'old'; // old\nconst { fresh: x, y = fresh } = { fresh, 'old': a.fresh };\n\
         fresh: for (;;) break fresh;\nlet s = `old ${fresh}`, r = /old/; const j = <fresh fresh=\"old\">old {fresh}</fresh>;\n"
    );
    assert_eq!(
        replaced("javascript", "a.mjs", "var $A = $B", "const $A = $B", "var a = 1;\nlet b = 2;\n"),
        "const a = 1;\nlet b = 2;\n"
    );
}

#[test]
fn typescript_and_tsx() {
    let text = "type old = { old?: old }; /* old */ function f(this: old, old: old): old { return old as old; }\n";
    assert_eq!(renamed("a.ts", text), text.replace("old", "fresh").replace("/* fresh */", "/* old */"));
    assert_eq!(
        renamed("a.tsx", "const a = (old: old) => <old.Item old={old}>old</old.Item>;\n"),
        "const a = (fresh: fresh) => <fresh.Item fresh={fresh}>old</fresh.Item>;\n"
    );
    assert_eq!(
        replaced("typescript", "a.ts", "$A as any", "$A as unknown", "let a = b as any;\n"),
        "let a = b as unknown;\n"
    );
    assert_eq!(
        replaced("tsx", "a.tsx", "<Old $$$A />", "<New $$$A />", "let a = <Old x={1} y=\"2\" />;\n"),
        "let a = <New x={1} y=\"2\" />;\n"
    );
}

#[test]
fn go() {
    assert_eq!(
        renamed(
            "a.go",
            "package old\n\n// old\ntype old struct{ old old }\n\nfunc (o *old) old() { old.old(\"old\", `old`, 'o'); goto old\nold:\n}\n"
        ),
        "package fresh\n\n// old\ntype fresh struct{ fresh fresh }\n\nfunc (o *fresh) fresh() { fresh.fresh(\"old\", `old`, 'o'); goto fresh\nfresh:\n}\n"
    );
    assert_eq!(
        replaced(
            "go",
            "a.go",
            "errors.Wrap($E, $M)",
            "fmt.Errorf($M, $E)",
            "package a\n\nfunc f() error { return errors.Wrap(err, \"x\") }\n"
        ),
        "package a\n\nfunc f() error { return fmt.Errorf(\"x\", err) }\n"
    );
}

#[test]
fn java() {
    assert_eq!(
        renamed(
            "A.java",
            "package old; /* old */ class old { old old(old a) { return this.old(\"old\", old::old); } } // old\n"
        ),
        "package fresh; /* old */ class fresh { fresh fresh(fresh a) { return this.fresh(\"old\", fresh::fresh); } } // old\n"
    );
    assert_eq!(
        replaced(
            "java",
            "A.java",
            "new Integer($A)",
            "Integer.valueOf($A)",
            "class A { Integer a = new Integer(1); }\n"
        ),
        "class A { Integer a = Integer.valueOf(1); }\n"
    );
}

#[test]
fn c() {
    assert_eq!(
        renamed(
            "a.c",
            "#include <old.h>\n#define old(x) old(x, \"old\", 'a') /* old */\n/* old */\nstruct old { int old; };\n\
             int old(struct old *a) { old: return a->old + old(\"old\"); }\n"
        ),
        "#include <old.h>\n#define fresh(x) fresh(x, \"old\", 'a') /* old */\n/* old */\nstruct fresh { int fresh; };\n\
         int fresh(struct fresh *a) { fresh: return a->fresh + fresh(\"old\"); }\n"
    );
    assert_eq!(
        replaced("c", "a.c", "strcpy($A, $B)", "strlcpy($A, $B, sizeof($A))", "void f(void) { strcpy(a, b); }\n"),
        "void f(void) { strlcpy(a, b, sizeof(a)); }\n"
    );
}

#[test]
fn cpp() {
    assert_eq!(
        renamed(
            "a.hpp",
            "namespace old { class old : public old::Base { old(); ~old(); int old = 0; /* old */ }; } auto s = R\"(old)\";\n"
        ),
        "namespace fresh { class fresh : public fresh::Base { fresh(); ~fresh(); int fresh = 0; /* old */ }; } auto s = R\"(old)\";\n"
    );
    assert_eq!(
        replaced("cpp", "a.h", "std::auto_ptr<$T>", "std::unique_ptr<$T>", "std::auto_ptr<int> a;\n"),
        "std::unique_ptr<int> a;\n"
    );
}

#[test]
fn bash() {
    assert_eq!(
        renamed(
            "a.sh",
            "# old\nold() { echo old; }\nold=1; export old\nold \"$old old ${old}\" 'old' $(old) $((old + 1))\ncat <<E\nold $old\nE\n"
        ),
        "# old\nfresh() { echo old; }\nfresh=1; export fresh\nfresh \"$fresh old ${fresh}\" 'old' $(fresh) $((fresh + 1))\ncat <<E\nold $fresh\nE\n"
    );
    assert_eq!(replaced("bash", "a.bash", "egrep $A $B", "grep -E $A $B", "egrep 'x' file\n"), "grep -E 'x' file\n");
}

#[test]
fn what_is_in_strings_and_comments_is_renamed_when_asked() {
    let rename = |parts: &str| {
        let rules = format!("rules: [{{identifier: {{from: old, to: new, in: [{parts}]}}}}]");
        rewritten(&rules, "a.py", "old = 'old older'  # old: old_\n")
    };
    assert_eq!(rename("strings"), "old = 'new older'  # old: old_\n");
    assert_eq!(rename("comments"), "old = 'old older'  # new: old_\n");
    assert_eq!(rename("code, strings, comments"), "new = 'new older'  # new: old_\n");
}

#[test]
fn without_a_grammar_an_identifier_is_a_word() {
    assert_eq!(
        renamed("notes.txt", "old (old) older old_ bold öold old.\n"),
        "fresh (fresh) older old_ bold öold fresh.\n"
    );
    let comments = "rules: [{identifier: {from: old, to: new, in: [comments]}}]";
    assert_eq!(rewritten(comments, "notes.txt", "old\n"), "old\n");
}

#[test]
fn every_language_has_a_test_here() {
    assert_eq!(Language::ALL.len(), 10);
}
