//! Unified diffs, as `diff -u` and `git diff` write them, with git's lines about modes and renames.
//!
//! Text before the first file (a commit message) and after git's signature is passed over; between files nothing is.

use super::git::{self, Extended};
use super::parse::{Action, Cursor, FilePatch, Form, Hunk, HunkLine, Op, Patch, PatchError, shown};

/// Reads a diff.
pub(super) fn parse(mut lines: Cursor<'_>) -> Result<Patch, PatchError> {
    let mut files = Vec::new();
    // Text is passed over before the first file, and after a signature.
    let mut prose = true;
    while let Some(line) = lines.peek() {
        if line.starts_with("diff --git ") {
            let header = git::read(&mut lines)?;
            files.push(file(&mut lines, Some(header))?);
            prose = false;
        } else if is_pair(&lines) {
            files.push(file(&mut lines, None)?);
            prose = false;
        } else if line.starts_with("Binary files ") || line.starts_with("GIT binary patch") {
            return lines.error(format!("a binary patch is not taken: {}", shown(line)));
        } else if line.starts_with("Only in ") {
            return lines.error(format!("{} names a file without what is in it; make the diff with -N", shown(line)));
        } else if line.starts_with("diff --cc ") || line.starts_with("diff --combined ") || line.starts_with("@@@") {
            return lines.error("a combined diff of a merge is not taken; make the diff against one parent");
        } else if line.starts_with("@@") {
            let what = if files.is_empty() {
                "a hunk before any file: expected `--- a/PATH` and `+++ b/PATH` before it"
            } else {
                "a hunk header is `@@ -LINE,COUNT +LINE,COUNT @@`"
            };
            return lines.error(what);
        } else if line == "-- " || line == "--" {
            lines.next();
            prose = true;
        } else if prose || line.trim().is_empty() || is_remark(line) {
            lines.next();
        } else {
            return lines
                .error(format!("expected `@@ -LINE,COUNT +LINE,COUNT @@` or the next file, found {}", shown(line)));
        }
    }
    if files.is_empty() {
        let what = "there is no patch: expected `*** Begin Patch`, or a unified diff (`--- a/PATH`, `+++ b/PATH`, `@@ -LINE,COUNT +LINE,COUNT @@`)";
        return Err(PatchError { line: 1, what: what.into() });
    }
    Ok(Patch { form: Form::Unified, files })
}

/// `---` and `+++`, one after the other.
fn is_pair(lines: &Cursor<'_>) -> bool {
    lines.peek().is_some_and(|line| line.starts_with("--- "))
        && lines.ahead(1).is_some_and(|line| line.starts_with("+++ "))
}

/// Lines that other tools put between files.
fn is_remark(line: &str) -> bool {
    line.starts_with("diff ") || line.starts_with("Index: ") || line.starts_with("=====")
}

fn file(lines: &mut Cursor<'_>, header: Option<Extended>) -> Result<FilePatch, PatchError> {
    let line = header.as_ref().map_or(lines.number(), |header| header.line);
    let pair = if is_pair(lines) {
        let old = git::side(lines, "--- ")?;
        lines.next();
        let new = git::side(lines, "+++ ")?;
        lines.next();
        Some((old, new))
    } else {
        None
    };
    let mut file = match header {
        Some(header) => header.file(pair)?,
        None => git::plain(line, pair)?,
    };
    while lines.peek().is_some_and(|line| line.starts_with("@@ -")) {
        file.hunks.push(hunk(lines, &file)?);
    }
    if file.hunks.is_empty() && file.action == Action::Update && file.to.is_none() && file.executable.is_none() {
        return lines.error(format!("expected `@@ -LINE,COUNT +LINE,COUNT @@`: nothing is said about {}", file.path));
    }
    let whole = match file.action {
        Action::Add => file.hunks.len() <= 1 && file.hunks.iter().all(|hunk| hunk.old().next().is_none()),
        Action::Delete => file.hunks.len() <= 1 && file.hunks.iter().all(|hunk| hunk.renewed().next().is_none()),
        Action::Update => true,
    };
    if !whole {
        let what = if file.action == Action::Add {
            "a new file has one hunk of `+` lines"
        } else {
            "a deleted file has one hunk of `-` lines"
        };
        return Err(PatchError { line, what: format!("{what} ({})", file.path) });
    }
    Ok(file)
}

/// `-1,3` or `-1`: a line and a count.
fn span(word: &str, sign: char) -> Option<(usize, usize)> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let word = word.strip_prefix(sign)?;
    match word.split_once(',') {
        Some((line, count)) => Some((digits(line)?, digits(count)?)),
        None => Some((digits(word)?, 1)),
    }
}

fn header(line: &str) -> Option<((usize, usize), (usize, usize))> {
    let (spans, _heading) = line.strip_prefix("@@ ")?.split_once(" @@")?;
    let (old, new) = spans.split_once(' ')?;
    let (old, new) = (span(old, '-')?, span(new, '+')?);
    // Line 0 is that of an empty side.
    ((old.0 > 0 || old.1 == 0) && (new.0 > 0 || new.1 == 0)).then_some((old, new))
}

fn hunk(lines: &mut Cursor<'_>, file: &FilePatch) -> Result<Hunk, PatchError> {
    let line = lines.number();
    let Some((old, new)) = header(lines.peek().unwrap_or_default()) else {
        let found = shown(lines.peek().unwrap_or_default());
        return lines.error(format!("a hunk header is `@@ -LINE,COUNT +LINE,COUNT @@`, found {found}"));
    };
    lines.next();
    let counted = count(lines.clone());
    let miscounted = |counted: (usize, usize)| PatchError {
        line,
        what: format!(
            "the header says {} old and {} new lines, and the hunk has {} and {}",
            old.1, new.1, counted.0, counted.1
        ),
    };
    let mut hunk = Hunk { line, within: Vec::new(), at_end: false, stated: Some(old.0), lines: Vec::new() };
    let (mut old_left, mut new_left) = (old.1, new.1);
    // The header's counts say where the hunk ends: a removed line may look like the beginning of a file.
    while old_left + new_left > 0 {
        let Some((op, text)) = body_line(lines) else {
            if no_newline(lines, &mut hunk)? {
                continue;
            }
            return Err(miscounted(counted));
        };
        let (from_old, from_new) = (usize::from(op != Op::Add), usize::from(op != Op::Remove));
        let left = (old_left.checked_sub(from_old), new_left.checked_sub(from_new));
        let (Some(old), Some(new)) = left else { return Err(miscounted(counted)) };
        (old_left, new_left) = (old, new);
        hunk.lines.push(HunkLine { op, text: text.to_owned(), ending: lines.ending() });
        lines.next();
    }
    no_newline(lines, &mut hunk)?;
    if body_line(lines).is_some_and(|(op, text)| op != Op::Keep || !text.is_empty()) && !is_over(lines) {
        return Err(miscounted(counted));
    }
    if hunk.lines.iter().all(|line| line.op == Op::Keep) {
        return Err(PatchError { line, what: format!("the hunk changes nothing in {}", file.path) });
    }
    for side in [hunk.old().collect::<Vec<_>>(), hunk.renewed().collect()] {
        if side.iter().rev().skip(1).any(|line| line.ending.is_empty()) {
            let what = "`\\ No newline at end of file` is said of a line that is not the last";
            return Err(PatchError { line, what: what.into() });
        }
    }
    Ok(hunk)
}

/// The next line as one of a hunk.
fn body_line<'a>(lines: &Cursor<'a>) -> Option<(Op, &'a str)> {
    let line = lines.peek()?;
    match line.as_bytes().first() {
        Some(b' ') => Some((Op::Keep, &line[1..])),
        Some(b'-') => Some((Op::Remove, &line[1..])),
        Some(b'+') => Some((Op::Add, &line[1..])),
        // An empty line of the file, whose blank was trimmed away.
        None => Some((Op::Keep, "")),
        _ => None,
    }
}

/// Takes `\ No newline at end of file`, which is said of the line before. True when it was there.
fn no_newline(lines: &mut Cursor<'_>, hunk: &mut Hunk) -> Result<bool, PatchError> {
    if !lines.peek().is_some_and(|line| line.starts_with('\\')) {
        return Ok(false);
    }
    match hunk.lines.last_mut() {
        Some(last) if !last.ending.is_empty() => last.ending = "",
        _ => return lines.error("`\\ No newline at end of file` without a line before it"),
    }
    lines.next();
    Ok(true)
}

/// Whether the next line begins another file or is git's signature.
fn is_over(lines: &Cursor<'_>) -> bool {
    let line = lines.peek().unwrap_or_default();
    let signature = line == "-- " || line == "--";
    is_pair(lines) || (signature && !lines.ahead(1).is_some_and(|line| line.starts_with([' ', '+', '-', '\\', '@'])))
}

/// The old and the new lines that stand here, whatever the header says.
fn count(mut lines: Cursor<'_>) -> (usize, usize) {
    let (mut old, mut new) = (0, 0);
    while !is_over(&lines) {
        match body_line(&lines) {
            // Empty lines may follow the hunk and be none of it.
            Some((Op::Keep, "")) if lines.peek() == Some("") && ends_after_blanks(&lines) => break,
            Some((op, _)) => {
                old += usize::from(op != Op::Add);
                new += usize::from(op != Op::Remove);
            }
            None if lines.peek().is_some_and(|line| line.starts_with('\\')) => {}
            None => break,
        }
        lines.next();
    }
    (old, new)
}

fn ends_after_blanks(lines: &Cursor<'_>) -> bool {
    let mut after = lines.clone();
    after.skip_blank();
    body_line(&after).is_none() || after.peek().is_none()
}
