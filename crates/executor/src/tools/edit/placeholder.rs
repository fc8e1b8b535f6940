//! Omission placeholders: "rest of the code unchanged..." written where code should be.
//!
//! A model that writes one means "and so on"; a file that holds one has lost what it stood for. Only lines that
//! are nothing but such a remark count, and only when the text being replaced does not hold the same line.

use std::sync::LazyLock;

use regex::Regex;

static PLACEHOLDER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let opening = r"(?://+|\#+|/\*+|\*|<!--|\{/\*|--|;+|%+|\(|\[|<|\.{3}|…)";
    let what = r"(?:code|file|files|function|functions|method|methods|class|implementation|implementations|content|contents|lines|logic|body|imports|tests|fields|module|script|text)";
    let remark = [
        format!(r"(?:the\s+)?rest\s+of\s+(?:the\s+|your\s+|this\s+)?(?:\w+\s+)?{what}"),
        format!(r"(?:existing|remaining|unchanged|previous|original|other|same)\s+(?:\w+\s+)?{what}"),
        format!(r"{what}\s+(?:remains?|stays?|is|are|here|omitted|unchanged|continues?|goes)"),
        r"(?:unchanged|omitted|unmodified|as\s+before|same\s+as\s+(?:before|above|original))".to_owned(),
    ]
    .join("|");
    // A remark needs its ellipsis: "# existing code" alone may be somebody's heading.
    let line = format!(
        r"(?ix)^\s*{opening}[\s./*\#…\[(<-]*(?:
            (?:\.{{3}}|…)\W*(?:{remark})\b.*
          | (?:{remark})\b[^.…]*(?:\.{{3}}|…).*
        )$|^\s*{opening}\s*(?:\.{{3}}|…)\s*(?:{remark})\b.*$|^\s*(?:\.{{3}}|…)\s*(?:{remark})\b.*$"
    );
    Regex::new(&line).ok()
});

/// The first line of `new` that stands for code left out and is not in `old`.
pub(crate) fn placeholder<'a>(old: &str, new: &'a str) -> Option<&'a str> {
    let pattern = PLACEHOLDER.as_ref()?;
    new.lines()
        .filter(|line| line.len() < 200 && pattern.is_match(line))
        .map(str::trim)
        .find(|line| !old.lines().any(|other| other.trim() == *line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_compiles() {
        assert!(PLACEHOLDER.is_some());
    }

    #[test]
    fn remarks_in_place_of_code_are_found() {
        for line in [
            "// rest of code unchanged...",
            "# ... rest of the code ...",
            "    // ... existing code ...",
            "/* ... remaining methods unchanged ... */",
            "<!-- rest of the file… -->",
            "... rest of implementation",
            "(rest of code ...)",
            "# ... (unchanged)",
            "// [rest of methods...]",
            "-- ... same as before",
            "{/* ... existing imports ... */}",
            "// The rest of your code stays the same...",
        ] {
            let new = format!("fn a() {{\n{line}\n}}\n");
            assert_eq!(placeholder("", &new), Some(line.trim()), "{line}");
            assert_eq!(placeholder(&new, &new), None, "it was there before: {line}");
        }
    }

    #[test]
    fn ordinary_lines_are_not() {
        for line in [
            "// existing code paths are tested below",
            "# the rest of the file is generated",
            "print('rest of code...')",
            "const [first, ...rest] = items;",
            "def f(*args): ...",
            "    ...",
            "# ...",
            "See the existing code in lib.rs...",
            "// TODO: handle the remaining cases...",
            "...args: string[]",
        ] {
            assert_eq!(placeholder("", line), None, "{line}");
        }
    }
}
