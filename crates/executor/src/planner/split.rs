//! Splits a compound task into its parts, and never loses a word.
//!
//! Some marks always split: `;`, a new line, "then", a list's numbers and dashes, the end of a sentence.
//! "and", "," and their kin split only before a word that starts a part of its own (a verb), so that
//! "search for salt and pepper" and "read a.txt, b.txt" stay whole. Quoted text is never looked into.

use std::ops::Range;

use super::words::Word;

/// Words that start a part: what the rules understand, and what people ask for that they do not. The second
/// kind is listed so that "run tests and deploy" is refused for its second half and not half done.
pub(super) const VERBS: &[&str] = &[
    // understood
    "read",
    "show",
    "display",
    "view",
    "print",
    "cat",
    "open",
    "inspect",
    "load",
    "look",
    "write",
    "create",
    "save",
    "append",
    "make",
    "search",
    "find",
    "grep",
    "locate",
    "list",
    "ls",
    "test",
    "retest",
    "pytest",
    "run",
    "rerun",
    "execute",
    "launch",
    "start",
    "check",
    "verify",
    "ensure",
    "build",
    "rebuild",
    "compile",
    "install",
    "commit",
    "stage",
    "git",
    "rename",
    "refactor",
    "replace",
    "substitute",
    "edit",
    "change",
    "update",
    "swap",
    // not understood
    "add",
    "analyze",
    "analyse",
    "archive",
    "benchmark",
    "bump",
    "clean",
    "clone",
    "close",
    "convert",
    "copy",
    "debug",
    "delete",
    "deploy",
    "describe",
    "document",
    "download",
    "drop",
    "email",
    "erase",
    "explain",
    "fetch",
    "fix",
    "format",
    "generate",
    "implement",
    "improve",
    "kill",
    "lint",
    "merge",
    "migrate",
    "move",
    "optimize",
    "optimise",
    "profile",
    "publish",
    "pull",
    "push",
    "rebase",
    "release",
    "remove",
    "reset",
    "restart",
    "revert",
    "review",
    "rm",
    "send",
    "serve",
    "stop",
    "summarise",
    "summarize",
    "sync",
    "tag",
    "tell",
    "translate",
    "uninstall",
    "upgrade",
    "upload",
    "wipe",
];

/// Words before a part's verb that say nothing.
pub(super) const FILLERS: &[&str] = &[
    "please",
    "can",
    "could",
    "would",
    "will",
    "you",
    "kindly",
    "now",
    "just",
    "also",
    "first",
    "firstly",
    "second",
    "secondly",
    "third",
    "finally",
    "lastly",
    "last",
    "next",
    "then",
    "and",
    "let's",
    "lets",
    "let",
    "us",
    "i",
    "i'd",
    "we",
    "want",
    "need",
    "like",
    "to",
    "should",
    "must",
    "go",
    "ahead",
    "try",
    "help",
    "me",
    "quickly",
    "afterwards",
    "again",
    "step",
];

/// Always between parts.
const THEN: &[&str] = &["then", "afterwards", "afterward", "thereafter", "&&"];
/// Between parts before a verb.
const AND: &[&str] = &["and", "&", "plus", "also", "finally", "next"];

/// The parts of a task as ranges of its words, in order, none empty. Words between them are connectives.
pub(super) fn split(words: &[Word]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    let mut number = 0;
    let mut at = 0;
    while at < words.len() {
        // What lies from `at` to `next` is a connective, if it is one.
        let next = if let Some(next) = list_mark(words, at, number) {
            number += 1;
            Some(next)
        } else if at > start {
            always(words, at).or_else(|| before_a_verb(words, start, at))
        } else {
            None
        };
        match next {
            Some(next) => {
                parts.push(start..at);
                start = next;
                at = next.max(at + usize::from(next == at));
            }
            None => at += 1,
        }
    }
    parts.push(start..words.len());
    parts.retain(|part| !part.is_empty());
    parts
}

/// `1.` `2)` in their order, `step 1:`, and `-` `*` at the start of a line.
fn list_mark(words: &[Word], at: usize, number: u32) -> Option<usize> {
    let word = &words[at];
    if word.quoted {
        return None;
    }
    if word.starts_line && ["-", "*", "•", "+"].contains(&word.text.as_str()) {
        return Some(at + 1);
    }
    let counts = |word: &Word, ends: &[&str]| {
        let digits = word.text.trim_end_matches(')');
        let end = if digits.len() < word.text.len() { ")" } else { word.after.as_str() };
        digits.parse() == Ok(number + 1) && ends.contains(&end)
    };
    if counts(word, &[".", ")"]) {
        return Some(at + 1);
    }
    (word.is("step") && words.get(at + 1).is_some_and(|next| !next.quoted && counts(next, &[":", ".", ")"])))
        .then_some(at + 2)
}

/// Where the next part starts when a part surely ends before `at`.
fn always(words: &[Word], at: usize) -> Option<usize> {
    let (before, word) = (&words[at - 1], &words[at]);
    if word.is_one_of(THEN) {
        return Some(at + 1);
    }
    let next_is = |offset: usize, text: &str| words.get(at + offset).is_some_and(|word| word.is(text));
    if (word.is("and") && next_is(1, "then"))
        || (word.is("after") && next_is(1, "that"))
        || (word.is("followed") && next_is(1, "by"))
    {
        return Some(at + 2);
    }
    let sentence =
        before.after.contains(['.', '!', '?']) && (starts_part(words, at) || word.text.starts_with(char::is_uppercase));
    (word.starts_line || before.after.contains(';') || sentence).then_some(at)
}

/// Where the next part starts when "and" or a comma stands here and a verb follows.
fn before_a_verb(words: &[Word], start: usize, at: usize) -> Option<usize> {
    let (before, word) = (&words[at - 1], &words[at]);
    // "Finally, commit": what stands before is no part of its own.
    if words[start..at].iter().all(|word| word.is_one_of(FILLERS)) {
        return None;
    }
    if word.is_one_of(AND) && starts_part(words, at + 1) {
        let verb = &words[at + 1];
        // One thing said with two verbs.
        let one = at == start + 1
            && ((before.is_one_of(&["search", "find"]) && verb.is_one_of(&["replace", "substitute"]))
                || (before.is_one_of(&["stage", "add"]) && verb.is("commit")));
        return (!one).then_some(at + 1);
    }
    (before.after.contains(',') && starts_part(words, at)).then_some(at)
}

/// Whether a verb stands at `at`, words that say nothing aside.
fn starts_part(words: &[Word], at: usize) -> bool {
    let rest = words.get(at..).unwrap_or_default();
    rest.iter().find(|word| !word.is_one_of(FILLERS)).is_some_and(|word| word.is_one_of(VERBS))
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn parts(task: &str) -> Vec<String> {
        let words = words(task);
        let join =
            |range: Range<usize>| words[range].iter().map(|word| word.text.clone()).collect::<Vec<_>>().join(" ");
        split(&words).into_iter().map(join).collect()
    }

    #[test]
    fn connectives_split() {
        assert_eq!(parts("Read config and run tests"), ["Read config", "run tests"]);
        assert_eq!(parts("read a.txt, then build; test"), ["read a.txt", "build", "test"]);
        assert_eq!(parts("build, test and commit"), ["build", "test", "commit"]);
        assert_eq!(parts("Build it. Then please run the tests."), ["Build it", "please run the tests"]);
        assert_eq!(parts("run tests and then also commit"), ["run tests", "also commit"]);
        assert_eq!(parts("run tests and deploy"), ["run tests", "deploy"]);
    }

    #[test]
    fn lists_split() {
        assert_eq!(parts("1. read config\n2. run tests"), ["read config", "run tests"]);
        assert_eq!(parts("1) build 2) test 3) commit"), ["build", "test", "commit"]);
        assert_eq!(parts("- build\n- test"), ["build", "test"]);
        assert_eq!(parts("Step 1: build Step 2: test"), ["build", "test"]);
        assert_eq!(parts("build\ntest"), ["build", "test"]);
        assert_eq!(parts("search for 2. in a.txt"), ["search for 2 in a.txt"]);
    }

    #[test]
    fn what_belongs_together_stays() {
        for task in [
            "search for salt and pepper",
            "read a.txt, b.txt and c.txt",
            "write \"a and run tests; then 1. b\" to x.txt",
            "search and replace \"a\" with \"b\" in x.txt",
            "install numpy, pandas and requests",
        ] {
            assert_eq!(parts(task).len(), 1, "{task}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_word_is_lost_but_connectives(tokens in proptest::collection::vec(proptest::sample::select(vec![
            "read", "and", "then", "a.txt", ",", ";", "\n", "1.", "2.", "-", "after", "that", "followed", "by", "step", "1:", "\"x and y\"", "foo.", "test", "&&",
        ]), 0..30)) {
            let words = words(&tokens.join(" "));
            let parts = split(&words);
            let mut at = 0;
            for part in parts.iter().chain([&(words.len()..words.len())]) {
                proptest::prop_assert!(part.start >= at, "overlap");
                for word in &words[at..part.start] {
                    let connective = word.is_one_of(THEN) || word.is_one_of(AND)
                        || word.is_one_of(&["after", "that", "followed", "by", "step", "-", "1", "2"]);
                    proptest::prop_assert!(connective, "lost {:?}", word);
                }
                at = part.end;
            }
        }
    }
}
