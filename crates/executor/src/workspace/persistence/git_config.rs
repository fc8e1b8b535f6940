//! Git's configuration files: read as git reads them, and which of their keys make git run a program.
//!
//! Main function: [`executing`]. What our reading cannot make sense of is an error, and the caller takes an error for
//! the worst: a reader that is more lenient than git would be a way past it.

use std::collections::HashSet;

/// One setting. Section and key in lower case, as git compares them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) subsection: Option<String>,
    pub(super) key: String,
    /// `None`: the key alone, which stands for true.
    pub(super) value: Option<String>,
}

impl Entry {
    /// As `git config` spells it.
    pub(super) fn name(&self) -> String {
        match &self.subsection {
            Some(subsection) => format!("{}.{subsection}.{}", self.section, self.key),
            None => format!("{}.{}", self.section, self.key),
        }
    }
    fn text(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

/// When a key runs something.
#[derive(Debug, Clone, Copy)]
enum When {
    /// Whatever its value.
    Always,
    /// Unless the value is a truth value: `core.fsmonitor = true` is git's own daemon.
    NotBool,
    /// When the value begins like this.
    Begins(&'static str),
}

/// Section, key (`*`: any) and when. Sources: git-config(1), git-lfs-config(5), and for `hook.*` githooks(5).
/// A subsection, where there may be one, is any.
#[rustfmt::skip]
const KEYS: &[(&str, &str, When)] = &[
    ("core", "fsmonitor", When::NotBool),
    ("core", "hookspath", When::Always),
    ("core", "sshcommand", When::Always),
    ("core", "gitproxy", When::Always),
    ("core", "editor", When::Always),
    ("core", "pager", When::Always),
    ("core", "askpass", When::Always),
    ("core", "alternaterefscommand", When::Always),
    ("sequence", "editor", When::Always),
    ("pager", "*", When::NotBool),
    ("interactive", "difffilter", When::Always),
    ("alias", "*", When::Always),
    ("credential", "helper", When::Always),
    ("diff", "external", When::Always),
    ("diff", "command", When::Always),
    ("diff", "textconv", When::Always),
    ("difftool", "*", When::NotBool),
    ("mergetool", "*", When::NotBool),
    ("merge", "driver", When::Always),
    ("filter", "clean", When::Always),
    ("filter", "smudge", When::Always),
    ("filter", "process", When::Always),
    ("gpg", "program", When::Always),
    ("gpg", "defaultkeycommand", When::Always),
    ("hook", "*", When::Always),
    ("include", "path", When::Always),
    ("includeif", "path", When::Always),
    ("init", "templatedir", When::Always),
    ("protocol", "allow", When::Always),
    ("remote", "uploadpack", When::Always),
    ("remote", "receivepack", When::Always),
    ("remote", "vcs", When::Always),
    ("remote", "url", When::Begins("ext::")),
    ("remote", "pushurl", When::Begins("ext::")),
    ("submodule", "url", When::Begins("ext::")),
    ("submodule", "update", When::Begins("!")),
    ("uploadpack", "packobjectshook", When::Always),
    ("sendemail", "smtpserver", When::Begins("/")),
    ("sendemail", "sendmailcmd", When::Always),
    ("sendemail", "tocmd", When::Always),
    ("sendemail", "cccmd", When::Always),
    ("sendemail", "headercmd", When::Always),
    ("trailer", "command", When::Always),
    ("trailer", "cmd", When::Always),
    ("tar", "command", When::Always),
    ("browser", "*", When::Always),
    ("man", "*", When::Always),
    ("web", "browser", When::Always),
    ("instaweb", "*", When::Always),
    ("imap", "tunnel", When::Always),
    ("guitool", "cmd", When::Always),
    ("gui", "*", When::Begins("!")),
    ("lfs", "path", When::Always),
    ("lfs", "clean", When::Always),
    ("lfs", "smudge", When::Always),
    ("lfs", "standalonetransferagent", When::Always),
];

/// The entries of `now` that make git run a program, or read further settings, and that `before` does not hold.
pub(super) fn executing<'a>(now: &'a [Entry], before: &[Entry]) -> Vec<&'a Entry> {
    let before: HashSet<&Entry> = before.iter().collect();
    now.iter().filter(|entry| runs(entry) && !before.contains(entry)).collect()
}

fn runs(entry: &Entry) -> bool {
    let truth = |text: &str| {
        // As git_parse_maybe_bool reads it.
        let text = text.to_ascii_lowercase();
        matches!(text.as_str(), "" | "true" | "yes" | "on" | "false" | "no" | "off") || text.parse::<i64>().is_ok()
    };
    KEYS.iter().any(|(section, key, when)| {
        *section == entry.section
            && (*key == "*" || *key == entry.key)
            && match when {
                When::Always => true,
                When::NotBool => !truth(entry.text()),
                When::Begins(start) => entry.text().trim_start().starts_with(start),
            }
    })
}

/// Reads a configuration file as git's config.c does.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = Reader { rest: bytes };
    let (mut entries, mut section) = (Vec::new(), None);
    loop {
        match reader.next() {
            None => return Ok(entries),
            Some(b'#' | b';') => while !matches!(reader.next(), None | Some(b'\n')) {},
            Some(byte) if byte.is_ascii_whitespace() || byte == 0x0b => {}
            Some(b'[') => section = Some(reader.section()?),
            Some(byte) if byte.is_ascii_alphabetic() => {
                let (section, subsection): &(String, Option<String>) =
                    section.as_ref().ok_or("a key stands before any section")?;
                let (key, value) = reader.setting(byte)?;
                entries.push(Entry { section: section.clone(), subsection: subsection.clone(), key, value });
            }
            Some(_) => return Err("a line is neither a section nor a key"),
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// The next byte, CRLF as a newline.
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        if *first == b'\r' && rest.first() == Some(&b'\n') {
            self.rest = &rest[1..];
            return Some(b'\n');
        }
        Some(*first)
    }
    /// After `[`: the section, and what stands in quotes. `[a.b]` is the old way to write `[a "b"]`.
    fn section(&mut self) -> Result<(String, Option<String>), &'static str> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some(b']') => {
                    return Ok(match name.split_once('.') {
                        Some((section, rest)) => (section.to_owned(), Some(rest.to_owned())),
                        None => (name, None),
                    });
                }
                Some(byte) if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' => {
                    name.push(byte.to_ascii_lowercase().into());
                }
                Some(b' ' | b'\t') => break,
                _ => return Err("a section's name is not closed"),
            }
        }
        while let Some(b' ' | b'\t') = self.rest.first() {
            self.next();
        }
        if self.next() != Some(b'"') {
            return Err("a subsection is not in quotes");
        }
        let mut sub = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => match self.next() {
                    None | Some(b'\n') => return Err("a subsection is not closed"),
                    Some(byte) => sub.push(byte),
                },
                None | Some(b'\n') => return Err("a subsection is not closed"),
                Some(byte) => sub.push(byte),
            }
        }
        if self.next() != Some(b']') {
            return Err("a section's name is not closed");
        }
        // `[core.x "y"]` is odd and legal; the first word decides what a key means.
        let section = name.split('.').next().unwrap_or_default().to_owned();
        Ok((section, Some(String::from_utf8_lossy(&sub).into_owned())))
    }
    /// A key that begins with `first`, and its value.
    fn setting(&mut self, first: u8) -> Result<(String, Option<String>), &'static str> {
        let mut key = String::from(first.to_ascii_lowercase() as char);
        let mut after = self.next();
        while let Some(byte) = after.filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            key.push(byte.to_ascii_lowercase().into());
            after = self.next();
        }
        while let Some(b' ' | b'\t') = after {
            after = self.next();
        }
        match after {
            None | Some(b'\n') => Ok((key, None)),
            Some(b'=') => Ok((key, Some(self.value()?))),
            Some(_) => Err("a key is followed by something else than `=`"),
        }
    }
    fn value(&mut self) -> Result<String, &'static str> {
        let (mut value, mut quoted, mut comment) = (Vec::new(), false, false);
        let mut solid = 0;
        loop {
            let byte = match self.next() {
                None | Some(b'\n') if quoted => return Err("a value's quotes are not closed"),
                None | Some(b'\n') => break,
                Some(byte) => byte,
            };
            if comment {
                continue;
            }
            if byte.is_ascii_whitespace() && !quoted {
                if !value.is_empty() {
                    value.push(byte);
                }
                continue;
            }
            match byte {
                b'#' | b';' if !quoted => {
                    comment = true;
                    continue;
                }
                b'"' => {
                    quoted = !quoted;
                    continue;
                }
                b'\\' => match self.next() {
                    Some(b'\n') => continue,
                    Some(b't') => value.push(b'\t'),
                    Some(b'b') => value.push(8),
                    Some(b'n') => value.push(b'\n'),
                    Some(other @ (b'\\' | b'"')) => value.push(other),
                    _ => return Err("a value holds an unknown escape"),
                },
                other => value.push(other),
            }
            solid = value.len();
        }
        value.truncate(solid);
        Ok(String::from_utf8_lossy(&value).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let entries = parse(text.as_bytes()).unwrap();
        executing(&entries, &[]).into_iter().map(Entry::name).collect()
    }

    #[test]
    fn what_git_writes_by_itself_runs_nothing() {
        let usual = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
                     [remote \"origin\"]\n\turl = https://example.org/a.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
                     [branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n\
                     [user]\n\tname = A\n\temail = a@example.org\n[submodule \"s\"]\n\tactive = true\n\turl = ../s\n\
                     [core]\n\tfsmonitor = true\n[pager]\n\tlog = false\n";
        assert_eq!(found(usual), Vec::<String>::new());
    }

    #[test]
    fn every_spelling_of_a_key_that_runs_something_is_seen() {
        for text in [
            "[core]\nfsmonitor=./x",
            "[CORE]\r\n\tFsMonitor = ./x\r\n",
            "[core] fsmonitor = ./x",
            "\u{feff}[core]\n fsmonitor = \"./x\" # note",
            "[core]\nfsmonitor = \\\n ./x",
            "[core]\nbare = false ; note\n  fsmonitor\t=\t./x",
            "[core][user]\nname = a\n[core]\nfsmonitor = x y",
        ] {
            assert_eq!(found(text), ["core.fsmonitor"], "{text:?}");
        }
        assert_eq!(found("[filter \"a.b\"]\nclean = x\n"), ["filter.a.b.clean"]);
        assert_eq!(found("[filter.lfs]\nclean = x\n"), ["filter.lfs.clean"]);
        assert_eq!(found("[diff \"q\\\"]\"]\ntextconv = x\n"), ["diff.q\"].textconv"]);
        assert_eq!(found("[alias]\nst = status\n"), ["alias.st"]);
        assert_eq!(found("[includeIf \"gitdir:/\"]\npath = ../x\n"), ["includeif.gitdir:/.path"]);
        assert_eq!(found("[remote \"o\"]\nurl = ext::sh -c x\n"), ["remote.o.url"]);
        assert_eq!(found("[submodule \"o\"]\nupdate = !x\n"), ["submodule.o.update"]);
    }

    #[test]
    fn a_value_is_what_git_makes_of_it() {
        let value = |text: &str| parse(text.as_bytes()).unwrap()[0].value.clone().unwrap();
        assert_eq!(value("[a]\nb =  x y  ; c\n"), "x y");
        assert_eq!(value("[a]\nb = \" x \"\n"), " x ");
        assert_eq!(value("[a]\nb = x\\\"y # z"), "x\"y");
        assert_eq!(value("[a]\nb = one\\\ntwo"), "onetwo");
        assert_eq!(parse(b"[a]\nb\n").unwrap()[0].value, None);
    }

    #[test]
    fn what_was_there_before_is_not_news() {
        let before = parse(b"[alias]\nst = status\n").unwrap();
        let now = parse(b"[alias]\nst = status\n[user]\nname = a\n").unwrap();
        assert!(executing(&now, &before).is_empty());
        let now = parse(b"[alias]\nst = !x\n").unwrap();
        assert_eq!(executing(&now, &before).len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in ["[core\nx = 1", "x = 1", "[core]\nx ~ 1", "[core]\nx = \"1\n", "[a \"b]\nc = d", "[core]\nx = \\q"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
