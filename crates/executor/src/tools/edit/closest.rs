//! Words for "not found": the region of the file that is most like what was looked for.
//!
//! Likeness is used for the message only. Nothing is ever replaced because it is similar.

use std::collections::HashSet;
use std::fmt::Write as _;

use similar::{Algorithm, ChangeTag, TextDiff};

/// Lines of the little diff that are shown.
const MOST_LINES: usize = 24;
/// Letters of a window that are compared.
const MOST_LETTERS: usize = 2_000;
/// Pairs of letters that wording an error may look at, over all windows. A count and not a time: the answer must
/// not depend on how busy the machine is.
const MOST_WORK: usize = 20_000_000;
/// Windows that are compared letter by letter at most.
const MOST_WINDOWS: usize = 64;
/// Likeness below which a region is not worth showing.
const LEAST: f32 = 0.45;

/// A region of a file, by line numbers from 1, and how it differs from what was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closest {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) hint: Option<&'static str>,
    pub(crate) diff: String,
}

/// The region of `text` that is most like `old`; `None` when nothing is.
pub(crate) fn closest(text: &str, old: &str) -> Option<Closest> {
    let lines: Vec<&str> = text.lines().collect();
    let wanted: Vec<&str> = old.lines().collect();
    let height = wanted.len().min(lines.len());
    if height == 0 {
        return None;
    }
    // Lines that agree but for surrounding space, then words that are in both, choose the few windows that are
    // compared letter by letter.
    let known: HashSet<&str> = wanted.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let spoken: HashSet<&str> = wanted.iter().flat_map(|line| words(line)).collect();
    let promise = |line: &&str| {
        let shared: i64 = words(line).map(|word| if spoken.contains(word) { 1 } else { -1 }).sum();
        (i64::from(known.contains(line.trim())), shared)
    };
    let lines_promise: Vec<(i64, i64)> = lines.iter().map(promise).collect();
    let add = |sum: (i64, i64), line: (i64, i64), sign: i64| (sum.0 + sign * line.0, sum.1 + sign * line.1);
    let mut sum = lines_promise[..height].iter().fold((0, 0), |sum, line| add(sum, *line, 1));
    let mut windows = vec![(sum, 0)];
    for start in 1..=lines.len() - height {
        sum = add(add(sum, lines_promise[start + height - 1], 1), lines_promise[start - 1], -1);
        windows.push((sum, start));
    }
    windows.sort_by_key(|(promise, start)| (std::cmp::Reverse(*promise), *start));
    let wanted_text = wanted.join("\n");
    let letters = wanted_text.chars().take(MOST_LETTERS).count().max(1);
    let most = (MOST_WORK / (letters * letters)).clamp(1, MOST_WINDOWS);
    let mut best: Option<(f32, usize)> = None;
    for (_, start) in windows.iter().take(most) {
        let likeness = likeness(&lines[*start..start + height].join("\n"), &wanted_text);
        if best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, *start));
        }
    }
    let (likeness, start) = best?;
    if likeness < LEAST {
        return None;
    }
    let region = lines[start..start + height].join("\n");
    Some(Closest { first: start + 1, last: start + height, hint: hint(text, old), diff: diff(&wanted_text, &region) })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn likeness(a: &str, b: &str) -> f32 {
    let cut = |text: &str| text.chars().take(MOST_LETTERS).collect::<String>();
    TextDiff::configure().algorithm(Algorithm::Myers).diff_chars(cut(a), cut(b)).ratio()
}

/// The usual reasons why text that looks right is not found.
fn hint(text: &str, old: &str) -> Option<&'static str> {
    let ends = |text: &str| text.replace("\r\n", "\n");
    let bare_end = old.trim_end_matches(['\r', '\n']);
    if bare_end.len() < old.len() && ends(text).ends_with(&ends(bare_end)) {
        return Some("the file ends there, without a line end");
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    if trimmed(text).contains(&trimmed(old)) {
        return Some("only trailing spaces differ, and old is no whole lines");
    }
    let bare = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    if bare(text).contains(&bare(old)) {
        return Some("only the indentation differs, and not by the same everywhere");
    }
    None
}

/// Line by line, `-` what was looked for and `+` what the file has.
fn diff(wanted: &str, region: &str) -> String {
    let diff = TextDiff::from_lines(wanted, region);
    let mut shown = String::new();
    for (line, change) in diff.iter_all_changes().enumerate() {
        if line == MOST_LINES {
            shown.push_str("…\n");
            break;
        }
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        let text = change.value().trim_end_matches(['\n', '\r']);
        let text: String = text.chars().take(200).collect();
        let _ = writeln!(shown, "{sign}{text}");
    }
    shown.truncate(shown.trim_end().len());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_lines_are_named_and_shown() {
        let text = "fn a() {}\n\nfn total(items: &[u32]) -> u32 {\n    items.iter().sum()\n}\n";
        let found = closest(text, "fn total(items: &[u64]) -> u64 {\n    items.iter().sum()\n}").unwrap();
        assert_eq!((found.first, found.last, found.hint), (3, 5, None));
        assert_eq!(
            found.diff,
            "-fn total(items: &[u64]) -> u64 {\n+fn total(items: &[u32]) -> u32 {\n     items.iter().sum()\n }"
        );
    }

    #[test]
    fn what_is_like_nothing_is_not_guessed_at() {
        assert_eq!(closest("alpha\nbeta\n", "0123456789"), None);
        assert_eq!(closest("", "x"), None);
    }

    #[test]
    fn usual_reasons_are_named() {
        let hint = |text, old| closest(text, old).unwrap().hint;
        assert_eq!(hint("a = 1\r\nb = 2", "a = 1\nb = 2\n"), Some("the file ends there, without a line end"));
        assert_eq!(
            hint("xa = 1  \nb = 2\n", "a = 1\nb = 2"),
            Some("only trailing spaces differ, and old is no whole lines")
        );
        assert_eq!(
            hint("if x:\n  a = 1\n      b = 2\n", "    a = 1\n    b = 2"),
            Some("only the indentation differs, and not by the same everywhere")
        );
    }

    #[test]
    fn in_a_large_file_the_nearest_line_is_found_however_busy_the_machine_is() {
        let text: String = (0..60_000).map(|n| format!("let value_{n} = compute({n});\n")).collect();
        let found = closest(&text, "let value_31337 = compute(31338);").unwrap();
        assert_eq!((found.first, found.last), (31338, 31338));
    }

    #[test]
    fn long_windows_are_compared_in_part() {
        let text: String = (0..2_000).map(|n| format!("line number {n} of the file\n")).collect();
        let old = text.lines().skip(700).take(400).collect::<Vec<_>>().join("\n").replace("number 900 ", "No. 900 ");
        let found = closest(&text, &old).unwrap();
        assert_eq!((found.first, found.last), (701, 1100));
    }
}
