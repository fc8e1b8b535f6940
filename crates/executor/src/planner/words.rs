//! A task as words: quoted text, file names and plain words told apart, with what stood around them.

/// A word of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The word without its quotes and without punctuation around it.
    pub(super) text: String,
    /// The same in lower case.
    pub(super) lower: String,
    /// Whether it stood in quotes: then it is somebody's text and never a word of ours.
    pub(super) quoted: bool,
    /// The punctuation that followed it.
    pub(super) after: String,
    /// Whether a line began with it.
    pub(super) starts_line: bool,
}

impl Word {
    /// Whether it is that plain word (lower case).
    pub(super) fn is(&self, word: &str) -> bool {
        !self.quoted && self.lower == word
    }
    /// Whether it is one of these plain words.
    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        !self.quoted && words.contains(&self.lower.as_str())
    }
    /// Whether it looks like a path: it has a `/`, an ending, or is a name that everybody knows.
    pub(super) fn is_path(&self) -> bool {
        const KNOWN: [&str; 9] = [
            "makefile",
            "dockerfile",
            "justfile",
            "rakefile",
            "procfile",
            "vagrantfile",
            "gemfile",
            "pipfile",
            "jenkinsfile",
        ];
        let text = self.text.as_str();
        if !text.contains(char::is_alphanumeric)
            || text.starts_with('-')
            || text.contains("://")
            || self.is_glob()
            || text.chars().any(char::is_control)
        {
            return false;
        }
        if self.quoted && text.contains(char::is_whitespace) {
            // A quoted name with spaces is a path only if it ends like one.
            return has_ending(text) && !text.ends_with('.');
        }
        if text.contains('/') {
            return !text.starts_with("//");
        }
        KNOWN.contains(&self.lower.as_str())
            || has_ending(text)
            || (text.starts_with('.') && text.len() > 2 && is_name(&text[1..]))
    }
    /// Whether it is a pattern of file names.
    pub(super) fn is_glob(&self) -> bool {
        let text = self.text.as_str();
        (text.starts_with("*.") || text.starts_with("**/") || text.contains("/*")) && text.len() > 2 || text == "*"
    }
}

/// `name.ext` where the ending is short and starts with a letter.
fn has_ending(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or(text);
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty()
            && (1..=10).contains(&ending.len())
            && ending.starts_with(|c: char| c.is_ascii_alphabetic())
            && ending.chars().all(|c| c.is_ascii_alphanumeric())
            // `console.log` and `os.system` are code; an ending is known, or the stem is no call.
            && (known(ending) || stem.contains('.') || stem.contains('-'))
    })
}

/// The endings by which a plain word is taken for a file.
const ENDINGS: &[&str] = &[
    "adoc",
    "bash",
    "bat",
    "bin",
    "c",
    "cc",
    "cfg",
    "cjs",
    "cmake",
    "conf",
    "cpp",
    "cs",
    "css",
    "csv",
    "dart",
    "diff",
    "env",
    "ex",
    "exs",
    "gif",
    "go",
    "gradle",
    "graphql",
    "h",
    "hpp",
    "hs",
    "htm",
    "html",
    "ini",
    "ipynb",
    "java",
    "jpg",
    "js",
    "json",
    "jsonl",
    "jsx",
    "kt",
    "less",
    "lock",
    "lua",
    "md",
    "mjs",
    "ml",
    "patch",
    "php",
    "pl",
    "png",
    "properties",
    "proto",
    "ps1",
    "py",
    "pyi",
    "r",
    "rb",
    "rs",
    "rst",
    "scala",
    "scss",
    "sh",
    "sql",
    "svelte",
    "svg",
    "swift",
    "tf",
    "tex",
    "toml",
    "ts",
    "tsx",
    "txt",
    "vue",
    "xml",
    "yaml",
    "yml",
    "zig",
];

fn known(ending: &str) -> bool {
    let ending = ending.to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str())
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
}

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut rest = text;
    let mut starts_line = true;
    loop {
        let trimmed = rest.trim_start();
        starts_line |= rest[..rest.len() - trimmed.len()].contains('\n');
        rest = trimmed;
        let Some(first) = rest.chars().next() else { return words };
        let (text, quoted, end) = match quoted(rest, first) {
            Some((inner, end)) => (inner, true, end),
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (&rest[..end], false, end)
            }
        };
        let (mut text, mut after) = (text, String::new());
        if quoted {
            let tail = rest[end..].find(|c: char| !",;:.!?)".contains(c)).unwrap_or(rest.len() - end);
            after.push_str(&rest[end..end + tail]);
            rest = &rest[end + tail..];
        } else {
            rest = &rest[end..];
            // `foo()` keeps its parentheses; `(foo)` loses them.
            let opened = text.trim_start_matches('(');
            let closing = if opened.len() < text.len() { ",;:.!?)" } else { ",;:.!?" };
            let bare = opened.trim_end_matches(|c| closing.contains(c));
            // A word of nothing but punctuation, such as `...`, stays a word.
            if !bare.is_empty() {
                after.push_str(&opened[bare.len()..]);
                text = bare;
            }
        }
        words.push(Word { text: text.to_owned(), lower: text.to_lowercase(), quoted, after, starts_line });
        starts_line = false;
    }
}

/// The inner text and the end of a quotation that starts here. An apostrophe inside a word starts none, for it
/// is not at a word's start; one without an end (`'tis`) is none either.
fn quoted(rest: &str, first: char) -> Option<(&str, usize)> {
    let close = match first {
        '"' | '\'' | '`' => first,
        '“' => '”',
        '‘' => '’',
        _ => return None,
    };
    let inner = &rest[first.len_utf8()..];
    let ends = inner.match_indices(close).find(|(at, _)| {
        let next = inner[at + close.len_utf8()..].chars().next();
        next.is_none_or(|c| c.is_whitespace() || ",;:.!?)".contains(c))
    })?;
    Some((&inner[..ends.0], first.len_utf8() + ends.0 + close.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text)
            .into_iter()
            .map(|w| if w.quoted { format!("<{}>{}", w.text, w.after) } else { format!("{}{}", w.text, w.after) })
            .collect()
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(
            texts("write \"a, then b\" to 'x y.txt', don't `rm -rf`"),
            ["write", "<a, then b>", "to", "<x y.txt>,", "don't", "<rm -rf>"]
        );
        assert_eq!(texts("'tis \"open"), ["'tis", "\"open"]);
    }

    #[test]
    fn paths_are_told_from_words_and_code() {
        let is_path = |text: &str| words(text)[0].is_path();
        for path in [
            "README.md",
            "src/main.rs",
            "a/b",
            ".gitignore",
            "Makefile",
            "./x",
            "app.config.ts",
            "\"my file.txt\"",
            "config.yaml,",
        ] {
            assert!(is_path(path), "{path}");
        }
        for word in [
            "read",
            "os.system",
            "console.log()",
            "*.py",
            "e.g",
            "1.5",
            "http://x/y",
            "-rf",
            "...",
            "\"hello world.\"",
            "/",
        ] {
            assert!(!is_path(word), "{word}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_letter_is_lost(text in "([a-z]{1,4}|[ ,;.'\"`\n()é])*") {
            let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let kept: String = words(&text).iter().map(|w| letters(&w.text)).collect();
            proptest::prop_assert_eq!(kept, letters(&text));
        }
    }
}
