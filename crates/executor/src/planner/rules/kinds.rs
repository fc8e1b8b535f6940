//! Which kind of work a part of a task asks for, by its verb and a few words around it.

use super::part::Part;

/// What the rules can plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Search,
    List,
    Test,
    Build,
    Install,
    Commit,
    GitShow,
    Rename,
    Edit,
    Run,
}

/// What is understood, with an example each: shown when a task is refused.
const UNDERSTOOD: &[(&str, &str)] = &[
    ("read a file", "read README.md"),
    ("write or create a file", "write \"hello\" to notes.txt"),
    ("search, find, grep", "search for \"TODO\" in *.py"),
    ("list files", "list files in src"),
    ("replace text in a file", "replace \"a\" with \"b\" in config.py"),
    ("rename an identifier", "rename getUserData to fetchUserProfile"),
    ("run the tests", "run the tests"),
    ("build", "build the project"),
    ("install", "install requests"),
    ("commit with git", "commit with message \"fix the parser\""),
    ("run a command of yours", "run the command, with `command` in the context: \"make docs\""),
];

/// The list of what is understood, a line each.
pub fn understood() -> String {
    let mut text = String::new();
    for (what, example) in UNDERSTOOD {
        text.push_str(&format!("  {what:<24} {example}\n"));
    }
    text.push_str(
        "Several can be joined by \"and\", \"then\", commas or a numbered list. A plan file says anything else.",
    );
    text
}

const TESTS: &[&str] =
    &["test", "tests", "testsuite", "test-suite", "testing", "pytest", "unittest", "unittests", "unit-tests", "specs"];
const FILES: &[&str] = &["file", "files", "folder", "folders", "directory", "directories", "dir", "tree"];

/// Words that turn a part's meaning around or make it conditional: what stands beside them is never done blindly.
const TURNS: &[&str] = &[
    "don't", "dont", "don’t", "never", "without", "unless", "if", "until", "except", "instead", "not", "avoid",
    "while", "when",
];

/// Why a part cannot be planned by rules although its verb may be known.
pub(super) fn turned(part: &Part<'_>) -> Option<String> {
    let turn = part.words.iter().find(|word| word.is_one_of(TURNS))?;
    Some(format!("\"{}\" makes it conditional or turns it around; a plan file can say that with `when`", turn.text))
}

/// Whether the part says what not to do.
pub(super) fn negated(part: &Part<'_>) -> bool {
    part.has(&["don't", "dont", "don’t", "never", "without", "avoid"])
        || part.has(&["not"]) && part.has(&["do", "should", "must"])
}

/// The kind of a part; its verb is marked as used.
pub(super) fn kind(part: &mut Part<'_>) -> Option<Kind> {
    let at = part.verb()?;
    let verb = part.word(at).filter(|word| !word.quoted)?;
    let tests = part.has(TESTS);
    let next = |words: &[&str]| part.is(at + 1, words);
    let finds = part.has(&["usage", "usages", "occurrence", "occurrences", "references"]);
    let git = part.has(&["git"]);
    let shows_git = part.has(&["status", "diff", "log", "history"]);
    let paths = part.words.iter().any(|word| word.is_path());
    let kind = match verb.lower.as_str() {
        "show" | "print" | "display" | "view" if git && shows_git => Kind::GitShow,
        "show" | "display" | "print" | "see" if part.has(FILES) && !paths || part.has(&["structure"]) => Kind::List,
        "show" | "display" if finds => Kind::Search,
        "read" | "reread" | "show" | "display" | "view" | "print" | "cat" | "open" | "inspect" | "load" | "see" => {
            Kind::Read
        }
        "look" if next(&["for"]) => Kind::Search,
        "look" if next(&["at", "into", "in", "through"]) => Kind::Read,
        "create" | "make" if part.has(&["commit"]) => Kind::Commit,
        "make" if next(&["test", "tests", "check"]) => Kind::Test,
        "make" | "check" | "verify" | "ensure" | "run" | "rerun" | "re-run" | "execute" | "start" | "launch" | "do"
        | "perform"
            if tests && (!verb.is("make") || next(&["sure"])) =>
        {
            Kind::Test
        }
        "make"
            if part.words.len() == at + 1
                || next(&["build", "all", "the", "it", "everything"]) && !part.has(FILES) && !paths =>
        {
            Kind::Build
        }
        "write" | "save" | "append" | "create" | "make" => Kind::Write,
        "add" if part.has(&["dependency", "dependencies", "package", "packages"]) => Kind::Install,
        "add" if part.has(&["commit"]) => Kind::Commit,
        "add" if paths && part.words.iter().any(|word| word.quoted) => Kind::Write,
        "search" | "find" if part.has(&["replace", "substitute"]) => Kind::Edit,
        "list" | "ls" if !finds && part.words.iter().any(|word| word.is_glob()) => Kind::List,
        // "find *.py", but "find x in *.py" looks into them.
        "find" if part.word(at + 1).is_some_and(|word| word.is_glob() && !word.quoted) => Kind::List,
        "search" | "find" | "grep" | "locate" | "where" => Kind::Search,
        "list" if finds => Kind::Search,
        "list" | "ls" => Kind::List,
        "test" | "retest" | "pytest" | "tests" => Kind::Test,
        "unit" if next(&["test", "tests"]) => Kind::Test,
        "check" if git && shows_git => Kind::GitShow,
        "check" if git || next(&["in"]) => return None,
        "check" if paths => Kind::Read,
        "run" | "rerun" | "execute" | "do" | "perform" | "start" if part.has(&["build"]) => Kind::Build,
        "run" | "rerun" | "re-run" | "execute" | "launch" | "start" => Kind::Run,
        "cargo" | "npm" if next(&["test"]) || next(&["run"]) && part.is(at + 2, &["test", "tests"]) => Kind::Test,
        "cargo" | "npm" if next(&["build"]) || next(&["run"]) && part.is(at + 2, &["build"]) => Kind::Build,
        "pip" | "pip3" | "npm" if next(&["install"]) => Kind::Install,
        "build" | "rebuild" | "compile" => Kind::Build,
        "install" => Kind::Install,
        "commit" | "stage" => Kind::Commit,
        "git" if next(&["status", "diff", "log"]) => Kind::GitShow,
        "git" if part.words.len() == at + 1 || next(&["commit", "add", "stage"]) => Kind::Commit,
        "rename" | "refactor" => Kind::Rename,
        "change" if part.has(&["name"]) && part.has(&["to"]) => Kind::Rename,
        "update" if part.has(&["dependency", "dependencies", "package", "packages"]) => return None,
        "replace" | "substitute" | "swap" | "edit" | "change" | "update" => Kind::Edit,
        _ => return None,
    };
    let next_is_install = next(&["install"]);
    part.use_at(at);
    match kind {
        Kind::Test if verb.is_one_of(&["cargo", "npm"]) => part.use_words(&["test", "tests", "run"]),
        Kind::Test => part.use_words(TESTS),
        Kind::Install if next_is_install => part.use_at(at + 1),
        Kind::Build => part.use_words(&["build", "cargo", "npm", "run"]),
        Kind::List => part.use_words(&["tree", "structure"]),
        Kind::Edit => part.use_words(&["replace", "substitute", "find", "search"]),
        _ => {}
    }
    Some(kind)
}
