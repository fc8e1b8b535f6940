//! The `apply_patch` envelope: `*** Begin Patch`, files, hunks without line numbers, `*** End Patch`.

use super::parse::{Action, Cursor, FilePatch, Form, Hunk, HunkLine, Op, Patch, PatchError, is_file_line, shown};

const END: &str = "*** End Patch";
const END_OF_FILE: &str = "*** End of File";

/// Reads an envelope, from its first line on.
pub(super) fn parse(mut lines: Cursor<'_>) -> Result<Patch, PatchError> {
    if lines.peek().map(str::trim_end) != Some("*** Begin Patch") {
        return lines.error("expected `*** Begin Patch`");
    }
    lines.next();
    let mut files = Vec::new();
    loop {
        let Some(line) = lines.peek().map(str::trim_end) else {
            return lines.error("expected `*** End Patch`, found the end of the patch; it may have been cut off");
        };
        if line == END {
            lines.next();
            break;
        }
        if line.trim().is_empty() {
            lines.next();
            continue;
        }
        let named = [
            ("*** Add File:", Action::Add),
            ("*** Delete File:", Action::Delete),
            ("*** Update File:", Action::Update),
        ];
        let Some((path, action)) = named.iter().find_map(|(word, action)| Some((line.strip_prefix(word)?, *action)))
        else {
            return lines.error(format!(
                "expected `*** Add File: `, `*** Delete File: `, `*** Update File: ` or `{END}`, found {}",
                shown(line)
            ));
        };
        files.push(file(&mut lines, path.trim(), action)?);
    }
    lines.skip_blank();
    if let Some(line) = lines.peek() {
        return lines.error(format!("expected nothing after `{END}`, found {}", shown(line)));
    }
    if files.is_empty() {
        return lines.error("the patch names no file");
    }
    Ok(Patch { form: Form::Envelope, files })
}

fn file(lines: &mut Cursor<'_>, path: &str, action: Action) -> Result<FilePatch, PatchError> {
    let line = lines.number();
    if path.is_empty() {
        return lines.error("expected a path after `File:`");
    }
    lines.next();
    let mut file = FilePatch { line, action, path: path.to_owned(), to: None, executable: None, hunks: Vec::new() };
    match action {
        Action::Delete => {}
        Action::Add => file.hunks.extend(added(lines)?),
        Action::Update => {
            if let Some(to) = lines.peek().and_then(|line| line.strip_prefix("*** Move to:")) {
                let to = to.trim();
                if to.is_empty() || to == path {
                    return lines.error("expected another path after `*** Move to:`");
                }
                file.to = Some(to.to_owned());
                lines.next();
            }
            while let Some(hunk) = hunk(lines, file.hunks.is_empty())? {
                file.hunks.push(hunk);
            }
            if file.hunks.is_empty() && file.to.is_none() {
                return Err(PatchError {
                    line,
                    what: format!("the update of {path} has no hunk and no `*** Move to:`"),
                });
            }
        }
    }
    Ok(file)
}

/// Whether the next line ends what belongs to a file.
fn is_over(lines: &Cursor<'_>) -> bool {
    lines.peek().is_none_or(|line| line.trim_end() == END || is_file_line(line))
}

/// The lines of a new file; none when it is to be empty.
fn added(lines: &mut Cursor<'_>) -> Result<Option<Hunk>, PatchError> {
    let mut hunk = Hunk { line: lines.number(), within: Vec::new(), at_end: false, stated: None, lines: Vec::new() };
    while !is_over(lines) {
        let ending = lines.ending();
        match lines.peek().and_then(|line| line.strip_prefix('+')) {
            Some(text) => hunk.lines.push(HunkLine { op: Op::Add, text: text.to_owned(), ending }),
            // A blank line before the next file belongs to neither.
            None if lines.peek().is_some_and(|line| line.trim().is_empty()) => {
                lines.skip_blank();
                if !is_over(lines) {
                    return lines.error("a line of a new file begins with `+`, an empty one too");
                }
            }
            None => {
                let found = shown(lines.peek().unwrap_or_default());
                return lines.error(format!("a line of a new file begins with `+`, found {found}"));
            }
        }
        if !is_over(lines) {
            lines.next();
        }
    }
    Ok((!hunk.lines.is_empty()).then_some(hunk))
}

/// The next hunk of an update. The first may do without `@@`.
fn hunk(lines: &mut Cursor<'_>, first: bool) -> Result<Option<Hunk>, PatchError> {
    if is_over(lines) {
        return Ok(None);
    }
    let mut hunk = Hunk { line: lines.number(), within: Vec::new(), at_end: false, stated: None, lines: Vec::new() };
    let mut headed = false;
    while let Some(head) = lines.peek().filter(|line| line.trim_end() == "@@" || line.starts_with("@@ ")) {
        headed = true;
        let head = head[2..].trim();
        if head.starts_with('-') && head.ends_with("@@") {
            return lines.error("an envelope has no line numbers: write `@@`, or `@@ ` and a line that stands above");
        }
        if !head.is_empty() {
            hunk.within.push(head.to_owned());
        }
        lines.next();
    }
    if !headed && !first {
        return lines.error(format!("expected `@@` or `*** …`, found {}", shown(lines.peek().unwrap_or_default())));
    }
    while !is_over(lines) {
        let (line, ending) = (lines.peek().unwrap_or_default(), lines.ending());
        // Empty lines before the next file are between the two.
        let mut after = lines.clone();
        after.skip_blank();
        if line.is_empty() && is_over(&after) {
            *lines = after;
            break;
        }
        if line.trim_end() == END_OF_FILE {
            lines.next();
            hunk.at_end = true;
            break;
        }
        let (op, text) = match line.as_bytes().first() {
            Some(b'+') => (Op::Add, &line[1..]),
            Some(b'-') => (Op::Remove, &line[1..]),
            Some(b' ') => (Op::Keep, &line[1..]),
            // An empty line of the file, whose blank was trimmed away.
            None => (Op::Keep, ""),
            Some(b'@') if line.trim_end() == "@@" || line.starts_with("@@ ") => break,
            _ => {
                return lines.error(format!("a line of a hunk begins with a blank, `+` or `-`, found {}", shown(line)));
            }
        };
        hunk.lines.push(HunkLine { op, text: text.to_owned(), ending });
        lines.next();
    }
    if hunk.lines.iter().all(|line| line.op == Op::Keep) {
        return Err(PatchError {
            line: hunk.line,
            what: "the hunk changes nothing: no line begins with `+` or `-`".into(),
        });
    }
    Ok(Some(hunk))
}
