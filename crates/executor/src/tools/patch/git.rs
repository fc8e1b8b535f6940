//! The head of a file in a unified diff: names, and git's lines about modes, renames and binary content.

use super::parse::{Action, Cursor, FilePatch, PatchError, shown};

/// One side of a file: its name as written, or `/dev/null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Side {
    Nothing,
    Named(String),
}

/// What stands between `diff --git` and `---`.
#[derive(Debug, Clone, Default)]
pub(super) struct Extended {
    pub(super) line: usize,
    /// The two names of the first line, where they can be told apart.
    names: Option<(String, String)>,
    action: Option<Action>,
    rename: Option<(String, String)>,
    executable: Option<bool>,
}

/// Prefixes of the two sides: git's own, and those of `diff.mnemonicPrefix`.
const PREFIXES: [&str; 5] = ["a/", "b/", "i/", "w/", "c/"];

/// Reads from `diff --git` up to `---` or what follows it.
pub(super) fn read(lines: &mut Cursor<'_>) -> Result<Extended, PatchError> {
    let mut head = Extended { line: lines.number(), ..Extended::default() };
    let first = lines.next().unwrap_or_default();
    head.names = names(first.strip_prefix("diff --git ").unwrap_or_default());
    let (mut from, mut to) = (None, None);
    while let Some(line) = lines.peek() {
        let word = |prefix: &str| line.strip_prefix(prefix);
        if let Some(mode) = word("old mode ") {
            executable(lines, mode)?;
        } else if let Some(mode) = word("new mode ") {
            head.executable = executable(lines, mode)?;
        } else if let Some(mode) = word("new file mode ") {
            head.action = Some(Action::Add);
            head.executable = executable(lines, mode)?.filter(|is| *is);
        } else if let Some(mode) = word("deleted file mode ") {
            head.action = Some(Action::Delete);
            executable(lines, mode)?;
        } else if let Some(name) = word("rename from ") {
            from = Some(unquoted(lines, name)?);
        } else if let Some(name) = word("rename to ") {
            to = Some(unquoted(lines, name)?);
        } else if word("copy from ").is_some() || word("copy to ").is_some() {
            return lines
                .error(format!("a copy is not taken: {}; add the file instead (git diff --no-copies)", shown(line)));
        } else if word("Binary files ").is_some() || word("GIT binary patch").is_some() {
            let name = head.names.as_ref().map_or("the file", |(_, new)| new.as_str());
            return lines.error(format!("a binary patch is not taken ({name})"));
        } else if let Some(rest) = word("index ") {
            if let Some((_, mode)) = rest.split_once(' ') {
                executable(lines, mode)?;
            }
        } else if word("similarity index ").is_none() && word("dissimilarity index ").is_none() {
            break;
        }
        lines.next();
    }
    head.rename = match (from, to) {
        (Some(from), Some(to)) => Some((from, to)),
        (None, None) => None,
        _ => return lines.error("expected `rename from` and `rename to`, found only one of them"),
    };
    Ok(head)
}

/// Whether a mode is that of a program; what is no regular file is refused.
fn executable(lines: &Cursor<'_>, mode: &str) -> Result<Option<bool>, PatchError> {
    match mode.trim() {
        "100644" => Ok(Some(false)),
        "100755" => Ok(Some(true)),
        "120000" => lines.error("a symbolic link in a patch is not taken (mode 120000); make it with the shell"),
        "160000" => lines.error("a submodule in a patch is not taken (mode 160000)"),
        other => lines.error(format!("expected the mode 100644 or 100755, found {}", shown(other))),
    }
}

/// The two names after `diff --git`; without quotes they are told apart only when they are the same.
fn names(text: &str) -> Option<(String, String)> {
    if text.starts_with('"') || text.ends_with('"') {
        let (old, rest) = if text.starts_with('"') {
            let end = (1..text.len()).find(|at| text[..*at].ends_with('"') && unquote(&text[..*at]).is_some())?;
            (unquote(&text[..end])?, text[end..].strip_prefix(' ')?)
        } else {
            let (old, rest) = text.split_once(' ')?;
            (old.to_owned(), rest)
        };
        let new = if rest.starts_with('"') { unquote(rest)? } else { rest.to_owned() };
        return Some(stripped(&old, &new)).flatten();
    }
    let middle = text.len().checked_sub(1)? / 2;
    let (old, new) = (text.get(..middle)?, text.get(middle..)?.strip_prefix(' ')?);
    stripped(old, new)
}

/// Two names of one file, without their prefixes.
fn stripped(old: &str, new: &str) -> Option<(String, String)> {
    let bare = |name: &str| PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).map(str::to_owned);
    match (bare(old), bare(new)) {
        // The same twice has no prefix (`--no-prefix`).
        _ if old == new => Some((old.to_owned(), new.to_owned())),
        (Some(old), Some(new)) if old == new => Some((old, new)),
        _ => None,
    }
}

/// What git writes for a name that is not plain: `"a\tb\303\251"`. `None` when it is broken or no UTF-8.
fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'"' {
            return None;
        }
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            plain @ (b'"' | b'\\') => plain,
            high @ b'0'..=b'3' => {
                let digit = |byte: u8| matches!(byte, b'0'..=b'7').then(|| byte - b'0');
                (high - b'0') << 6 | digit(rest.next()?)? << 3 | digit(rest.next()?)?
            }
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok()
}

fn unquoted(lines: &Cursor<'_>, name: &str) -> Result<String, PatchError> {
    if !name.starts_with('"') {
        return Ok(name.to_owned());
    }
    unquote(name).map_or_else(|| lines.error(format!("a quoted name that cannot be read: {}", shown(name))), Ok)
}

/// The name on a `---` or `+++` line. diff puts a time after it, behind a tab.
pub(super) fn side(lines: &Cursor<'_>, prefix: &str) -> Result<Side, PatchError> {
    let line = lines.peek().unwrap_or_default();
    let name = line.strip_prefix(prefix).unwrap_or_default();
    let name = if name.starts_with('"') { name } else { name.split('\t').next().unwrap_or_default() };
    if name == "/dev/null" {
        return Ok(Side::Nothing);
    }
    let name = unquoted(lines, name.trim_end())?;
    if name.is_empty() { lines.error("expected a path") } else { Ok(Side::Named(name)) }
}

/// What happens to a file that has nothing but `---` and `+++`.
pub(super) fn plain(line: usize, pair: Option<(Side, Side)>) -> Result<FilePatch, PatchError> {
    Extended { line, ..Extended::default() }.file(pair)
}

impl Extended {
    /// What happens to the file, and where.
    pub(super) fn file(self, pair: Option<(Side, Side)>) -> Result<FilePatch, PatchError> {
        let error = |what: String| Err(PatchError { line: self.line, what });
        let file = |action, path: String, to| FilePatch {
            line: self.line,
            action,
            path,
            to,
            executable: self.executable,
            hunks: Vec::new(),
        };
        let without = |name: &str, prefixes: &[&str]| {
            prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name).to_owned()
        };
        // git's first line tells whether there are prefixes; without it `a/` and `b/` are taken for such.
        let bare = |name: &str| match &self.names {
            Some((known, _)) if known == name || without(name, &PREFIXES) == *known => known.clone(),
            _ => without(name, &PREFIXES[..2]),
        };
        if let Some((from, to)) = self.rename.clone() {
            let agrees = |name: &str, side: &Side| matches!(side, Side::Named(found) if found == name || without(found, &PREFIXES) == name);
            if let Some((old, new)) = &pair
                && !(agrees(&from, old) && agrees(&to, new))
            {
                return error(format!("the names beside `---` and `+++` are not those of the rename ({from}, {to})"));
            }
            return Ok(file(Action::Update, from, Some(to)));
        }
        let found = match pair {
            Some((Side::Nothing, Side::Nothing)) => return error("both sides are /dev/null".into()),
            Some((Side::Nothing, Side::Named(new))) => (Action::Add, bare(&new)),
            Some((Side::Named(old), Side::Nothing)) => (Action::Delete, bare(&old)),
            Some((Side::Named(old), Side::Named(new))) => match stripped(&old, &new) {
                Some((path, _)) => (self.action.unwrap_or(Action::Update), path),
                None => {
                    return error(format!(
                        "`---` and `+++` name two files ({old}, {new}); a rename is said by git's `rename from` and `rename to`"
                    ));
                }
            },
            None => match &self.names {
                Some((path, _)) => (self.action.unwrap_or(Action::Update), path.clone()),
                None => return error("the names after `diff --git` cannot be told apart".into()),
            },
        };
        if self.action.is_some_and(|action| action != found.0) {
            return error(format!("git's mode line and the names beside `---` and `+++` disagree about {}", found.1));
        }
        Ok(file(found.0, found.1, None))
    }
}
