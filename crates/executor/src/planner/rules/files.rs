//! The kinds that work on files without a shell: read, write, list, search, edit, rename.

use regex::Regex;
use serde_json::{Map, Value, json};

use super::part::{Part, is_noise};
use super::{Planning, text};
use crate::planner::error::PlanError;
use crate::planner::plan::{ForEach, OnFailure, PlanStep};
use crate::planner::words::Word;

/// The endings by which people call languages.
const LANGUAGES: &[(&[&str], &str)] = &[
    (&["python", "py"], "*.py"),
    (&["rust", "rs"], "*.rs"),
    (&["javascript", "js"], "*.js"),
    (&["typescript", "ts"], "*.ts"),
    (&["go", "golang"], "*.go"),
    (&["java"], "*.java"),
    (&["markdown", "md"], "*.md"),
    (&["json"], "*.json"),
    (&["yaml"], "*.{yaml,yml}"),
    (&["toml"], "*.toml"),
    (&["html"], "*.html"),
    (&["css"], "*.css"),
    (&["text", "txt"], "*.txt"),
];

/// Bytes of each file that a rename shows before it.
const MOST_SHOWN: u64 = 1 << 20;

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

impl Planning<'_> {
    fn given(&self, key: &str) -> Option<String> {
        self.context.get(key).and_then(text)
    }

    pub(super) fn read(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        let mut paths = part.take_all(Word::is_path);
        if paths.is_empty() {
            paths.extend(self.given("path"));
        }
        if paths.is_empty() && part.has(&["config", "configuration", "configs", "settings", "configurations"]) {
            part.use_words(&["config", "configuration", "configs", "settings", "configurations"]);
            let found = self.project.config();
            self.plan.assume(match &found {
                Some(path) => format!("the config is {path}"),
                None => {
                    "the config is config.yaml, as the project has none that is known; `path` in the context names another".into()
                }
            });
            paths.push(found.unwrap_or_else(|| "config.yaml".into()));
        }
        if paths.is_empty() {
            for at in 0..part.words.len() {
                let word = &part.words[at];
                if part.is_used(at) || (!word.quoted && is_noise(word)) {
                    continue;
                }
                let found = if word.is_one_of(&["manifest"]) {
                    self.project.manifest("")
                } else {
                    self.project.named(&word.text)
                };
                if let Some(path) = found {
                    part.use_at(at);
                    if path != word.text {
                        self.plan.assume(format!("\"{}\" is {path}", word.text));
                    }
                    paths.push(path);
                }
            }
        }
        if paths.is_empty() {
            return Err(self.missing(part, "which file to read is not said".into(), &["path"]));
        }
        part.use_words(&["readme", "license", "changelog", "manifest"]);
        let (first, last) = lines(part);
        for path in paths {
            let mut params = object([("path", json!(path))]);
            params.extend(first.map(|line| ("start_line".to_owned(), json!(line))));
            params.extend(last.map(|line| ("end_line".to_owned(), json!(line))));
            let step = self.step(part, "file_read", params, &format!("Read {path}"))?;
            self.observe(step);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        let verb = part.verb().and_then(|at| part.word(at)).map_or("", |word| word.lower.as_str());
        let append = matches!(verb, "append" | "add");
        // The path stands after "to"; what is quoted before it is content, even if it looks like a path.
        let path = part
            .take_after(&["to", "in", "into", "at", "file", "named", "called"], Word::is_path)
            .or_else(|| part.take(|word| !word.quoted && word.is_path()))
            .or_else(|| self.given("path"))
            .or_else(|| part.take(Word::is_path));
        let Some(path) = path else {
            return Err(self.missing(part, "which file to write is not said".into(), &["path", "content"]));
        };
        let content = self.given("content").or_else(|| part.take(|word| word.quoted)).or_else(|| {
            let from =
                part.words.iter().position(|word| word.is_one_of(&["content", "contents", "containing", "saying"]))?
                    + 1;
            let rest: Vec<&str> = (from..part.words.len())
                .filter(|&at| !part.is_used(at))
                .map(|at| part.words[at].text.as_str())
                .collect();
            (from..part.words.len()).for_each(|at| part.use_at(at));
            let rest = (!rest.is_empty()).then(|| rest.join(" "));
            self.plan.assume(format!(
                "the content is \"{}\", without the punctuation around words",
                rest.as_deref().unwrap_or_default()
            ));
            rest
        });
        self.strict = !self.context.contains_key("content");
        let content = match content {
            Some(content) => content,
            None if matches!(verb, "create" | "make") && !self.project.0.exists(&path) => {
                part.use_words(&["empty", "blank"]);
                self.plan.assume(format!("{path} is created empty"));
                String::new()
            }
            None => return Err(self.missing(part, format!("what to write to {path} is not said"), &["content"])),
        };
        let mut params = object([("path", json!(path)), ("content", json!(content))]);
        let description = match (append, verb) {
            (true, _) => format!("Append to {path}"),
            (false, "create" | "make") => format!("Create {path}"),
            _ => format!("Write {path}"),
        };
        if append {
            params.insert("mode".into(), json!("append"));
        }
        let step = self.step(part, "file_write", params, &description)?;
        self.effect(vec![step]);
        Ok(())
    }

    pub(super) fn list(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        let glob = self.file_pattern(part);
        let folder = self.folder(part);
        let mut description = String::from("List files");
        let mut params = Map::new();
        if let Some(folder) = folder {
            description.push_str(&format!(" in {folder}"));
            params.insert("path".into(), json!(folder));
        }
        if let Some(glob) = glob {
            description.push_str(&format!(" that match {glob}"));
            params.insert("glob".into(), json!(glob));
        }
        if !self.has_tool("list_files") && self.has_tool("search") {
            // The same list by the default four tools: every file has a line's start.
            let glob = params.shift_remove("glob");
            params.insert("pattern".into(), json!("^"));
            params.extend(glob.map(|glob| ("file_pattern".to_owned(), glob)));
            params.insert("output_mode".into(), json!("files"));
            let step = self.step(part, "search", params, &description)?;
            self.observe(step);
            return Ok(());
        }
        let step = self.step(part, "list_files", params, &description)?;
        self.observe(step);
        Ok(())
    }

    pub(super) fn search(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        part.use_words(&["for", "grep"]);
        let by_name = part.has(&["named", "called"]) || part.has(&["file", "files"]);
        let glob = self.file_pattern(part);
        let folder = self.folder(part);
        let given = self.given("pattern");
        let first_path = part
            .words
            .iter()
            .enumerate()
            .find(|(at, word)| !part.is_used(*at) && word.is_path() && (!word.quoted || by_name));
        if given.is_none()
            && let Some((at, word)) = first_path
            && (by_name || at <= part.verb().map_or(0, |verb| verb + 2))
        {
            part.use_at(at);
            let name = word.text.rsplit('/').next().unwrap_or(&word.text);
            let mut step = crate::planner::recovery::search_for(&word.text);
            step.description = format!("Find {name}");
            let step = self.checked(part, step)?;
            self.observe(step);
            return Ok(());
        }
        let pattern = match given {
            Some(pattern) => pattern,
            None => self.pattern(part)?,
        };
        let mut params = object([("pattern", json!(pattern))]);
        if let Some(glob) = glob {
            params.insert("file_pattern".into(), json!(glob));
        }
        if let Some(folder) = folder {
            params.insert("path".into(), json!(folder));
        }
        let step = self.step(part, "search", params, &format!("Search for {pattern}"))?;
        self.observe(step);
        Ok(())
    }

    /// What to search for, from the text.
    fn pattern(&mut self, part: &mut Part<'_>) -> Result<String, PlanError> {
        if let Some(quoted) = part.take(|word| word.quoted && !word.text.trim().is_empty()) {
            return Ok(self.literal_or_regex(quoted));
        }
        // People add what kind of thing they look for.
        let kinds = [
            "comment",
            "comments",
            "call",
            "calls",
            "statement",
            "statements",
            "definition",
            "definitions",
            "defined",
            "used",
            "import",
            "imports",
            "string",
            "strings",
        ];
        let plain = |part: &Part<'_>, skip: &dyn Fn(&Word) -> bool| -> Vec<usize> {
            (0..part.words.len())
                .filter(|&at| {
                    !part.is_used(at)
                        && !skip(&part.words[at])
                        && !super::FILLERS.contains(&part.words[at].lower.as_str())
                })
                .collect()
        };
        let mut places = plain(part, &|word| is_noise(word) || word.is_one_of(&kinds));
        if places.is_empty() {
            places = plain(part, &is_noise);
        }
        // "salt and pepper" is one text; what stands between belongs to it.
        let (Some(&first), Some(&last)) = (places.first(), places.last()) else {
            return Err(self.missing(part, "what to search for is not said".into(), &["pattern"]));
        };
        let words: Vec<&str> =
            (first..=last).filter(|&at| !part.is_used(at)).map(|at| part.words[at].text.as_str()).collect();
        let found = words.join(" ");
        if words.len() > 1 {
            self.plan.assume(format!("the text to search for is \"{found}\""));
        }
        (0..part.words.len()).for_each(|at| {
            if (first..=last).contains(&at) || part.words[at].is_one_of(&kinds) {
                part.use_at(at)
            }
        });
        Ok(self.literal_or_regex(found))
    }

    fn literal_or_regex(&mut self, found: String) -> String {
        let meant = found.contains('|')
            || [r"\b", r"\d", r"\w", r"\s", ".*", ".+", "]+", "]*", ")?", ")+"].iter().any(|mark| found.contains(mark))
            || found.starts_with('^')
            || found.ends_with('$');
        if meant && Regex::new(&found).is_ok() {
            self.plan.assume(format!("\"{found}\" is a regular expression"));
            return found;
        }
        regex::escape(&found)
    }

    /// Which files: a glob, or a language.
    fn file_pattern(&self, part: &mut Part<'_>) -> Option<String> {
        if let Some(glob) = part.take(Word::is_glob) {
            return Some(glob);
        }
        let at = (0..part.words.len()).find(|&at| {
            let named = LANGUAGES.iter().any(|(names, _)| part.words[at].is_one_of(names));
            named
                && !part.is_used(at)
                && (part.is(at + 1, &["file", "files", "code", "source", "sources"])
                    || at > 0 && part.is(at - 1, &["in"]))
        });
        if let Some(at) = at {
            part.use_at(at);
            let (_, glob) = LANGUAGES.iter().find(|(names, _)| part.words[at].is_one_of(names))?;
            return Some((*glob).to_owned());
        }
        self.given("file_pattern")
    }
    /// Where: the path after "in", a folder of the project, or the context's path.
    fn folder(&self, part: &mut Part<'_>) -> Option<String> {
        let exists = |word: &Word| word.is_path() || (!word.text.is_empty() && self.project.0.exists(&word.text));
        let found = part
            .take_after(&["in", "inside", "within", "under", "across", "of", "from", "into"], exists)
            .or_else(|| {
                // "… in src" names a place, there or not: to look everywhere instead would not be what was asked for.
                let last = (0..part.words.len()).rev().find(|&at| !is_noise(&part.words[at]))?;
                let place = last > 1
                    && !part.words[last].quoted
                    && !part.is_used(last)
                    && part.is(last - 1, &["in", "inside", "within", "under"]);
                if !place {
                    return None;
                }
                part.use_at(last);
                part.use_at(last - 1);
                Some(part.words[last].text.clone())
            });
        let found = found.or_else(|| {
            // "list src"
            let verb = part.verb()?;
            let list = part.is(verb, &["list", "ls"]);
            if list { part.take(|word| !word.quoted && exists(word)) } else { None }
        });
        found.or_else(|| self.given("path"))
    }

    pub(super) fn edit(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        let either = |a: &str, b: &str| self.given(a).or_else(|| self.given(b));
        let (mut old, mut new) = (either("old", "old_content"), either("new", "new_content"));
        let everywhere =
            part.has(&["everywhere"]) || part.words.windows(2).any(|pair| pair[0].is("all") && pair[1].is("files"));
        let replace_all = part.has(&["all", "every", "occurrences", "everywhere"]);
        // "in config.py" is the place; what is replaced may look like a path as well.
        let path = part.take_after(&["in", "inside", "within", "of", "file"], Word::is_path);
        // "change the timeout to 30" does not say which text to replace; "replace a with b" does.
        let says = part.verb().is_some_and(|verb| part.is(verb, &["replace", "substitute", "swap", "find", "search"]));
        if old.is_none() {
            self.strict = true;
            let pair = part.words.iter().position(|word| word.is_one_of(&["with", "to", "by", "into", "for"]));
            if let Some(at) = pair.filter(|&at| at > 0 && at + 1 < part.words.len()) {
                let before = (0..at)
                    .rev()
                    .find(|&at| !part.is_used(at) && (part.words[at].quoted || !is_noise(&part.words[at])));
                let quoted = before.is_some_and(|before| part.words[before].quoted && part.words[at + 1].quoted);
                if let Some(before) = before.filter(|_| (says || quoted) && !part.is_used(at + 1)) {
                    old = Some(part.words[before].text.clone());
                    new = Some(part.words[at + 1].text.clone());
                    [before, at, at + 1].into_iter().for_each(|at| part.use_at(at));
                }
            }
        }
        let path = path.or_else(|| part.take(|word| !word.quoted && word.is_path())).or_else(|| self.given("path"));
        let (Some(old), Some(new)) = (old, new) else {
            let keys: &[&'static str] = if path.is_none() { &["path", "old", "new"] } else { &["old", "new"] };
            return Err(self.missing(part, "what to replace with what is not said".into(), keys));
        };
        let Some(path) = path else {
            if everywhere && is_identifier(&old) && is_identifier(&new) {
                return self.rename_chain(part, &old, &new, None);
            }
            return Err(self.missing(part, "which file to change is not said".into(), &["path"]));
        };
        let mut params = object([("path", json!(path)), ("old", json!(old)), ("new", json!(new))]);
        if replace_all {
            params.insert("replace_all".into(), json!(true));
        }
        let step = self.step(part, "edit", params, &format!("Edit {path}"))?;
        self.effect(vec![step]);
        Ok(())
    }

    pub(super) fn rename(&mut self, part: &mut Part<'_>) -> Result<(), PlanError> {
        part.use_words(&["rename", "refactor", "change", "by", "renaming", "symbols", "identifiers"]);
        let glob = self.file_pattern(part);
        let (mut old, mut new) = (self.given("old_name"), self.given("new_name"));
        let pair = part.words.iter().position(|word| word.is_one_of(&["to", "as", "into", "with", "->", "→", "=>"]));
        if old.is_none()
            && new.is_none()
            && let Some(at) = pair.filter(|&at| at > 0 && at + 1 < part.words.len())
            && let Some(before) =
                (0..at).rev().find(|&at| !part.is_used(at) && (part.words[at].quoted || !is_noise(&part.words[at])))
        {
            old = Some(part.words[before].text.clone());
            new = Some(part.words[at + 1].text.clone());
            [before, at, at + 1].into_iter().for_each(|at| part.use_at(at));
            self.strict = true;
        }
        let (Some(old), Some(new)) = (old, new) else {
            return Err(self.missing(part, "the old and the new name are not said".into(), &["old_name", "new_name"]));
        };
        let without_call = |name: String| name.strip_suffix("()").map(str::to_owned).unwrap_or(name);
        let (old, new) = (without_call(old), without_call(new));
        for name in [&old, &new] {
            if !is_identifier(name) {
                return Err(self.refused(part, format!("rename means identifiers, and \"{name}\" is none (files are moved by a `command` in the context: \"mv OLD NEW\")")));
            }
        }
        if old == new {
            return Err(self.refused(part, "the old and the new name are the same".into()));
        }
        self.rename_chain(part, &old, &new, glob)
    }

    /// Search, read, write; the later two go over what the first found.
    fn rename_chain(
        &mut self,
        part: &mut Part<'_>,
        old: &str,
        new: &str,
        glob: Option<String>,
    ) -> Result<(), PlanError> {
        // Everything is spent: names, "everywhere", and the like.
        let folder = self.folder(part);
        self.plan.assume(format!(
            "`{old}` is renamed where it stands as a whole word, in capitals and small letters as written"
        ));
        let mut search = object([
            ("pattern", json!(format!(r"\b{}\b", regex::escape(old)))),
            ("case_sensitive", json!(true)),
            ("max_results", json!(0)),
            ("output_mode", json!("files")),
        ]);
        if let Some(glob) = glob {
            search.insert("file_pattern".into(), json!(glob));
        }
        if let Some(folder) = folder {
            search.insert("path".into(), json!(folder));
        }
        let mut search = self.step(part, "search", search, "Find occurrences")?;
        // What a file holds is shown, not needed: an odd or a large one must not keep the others from their new name.
        let mut read = self.step(part, "file_read", shown(), "Read files")?;
        let transform = json!({"rename_identifier": {"from": old, "to": new}});
        let mut write = self.step(part, "file_write", object([("transform", transform)]), "Update files")?;
        // One file that may not be written keeps its old name and is told; the others get the new one.
        write.on_failure = OnFailure::Continue;
        let earlier = self.since.clone();
        search.depends_on = self.before_observing();
        let found = self.push(search);
        let over = |step: &mut PlanStep| {
            step.params.shift_insert(0, "path".into(), json!("${{ item }}"));
            let items = json!(format!("${{{{ steps.{found}.metadata.files }}}}"));
            step.for_each = Some(ForEach { items, name: "item".into() });
        };
        over(&mut read);
        over(&mut write);
        read.depends_on = vec![found.clone()];
        write.depends_on = vec![self.push(read)];
        // What was read before this part must be read before the files change.
        write.depends_on.extend(earlier);
        let written = self.push(write);
        self.last_effect = vec![written];
        self.since.clear();
        Ok(())
    }
}

/// Reads any file, a large one in part.
fn shown() -> Map<String, Value> {
    object([("lossy", json!(true)), ("max_bytes", json!(MOST_SHOWN))])
}

/// `lines 3-9`, `lines 3 to 9`, `line 3`, `the first 10 lines`.
fn lines(part: &mut Part<'_>) -> (Option<u64>, Option<u64>) {
    let number = |at: usize| {
        part.word(at).filter(|word| !word.quoted).and_then(|word| word.text.parse::<u64>().ok()).filter(|n| *n > 0)
    };
    let Some(at) = part.words.iter().position(|word| word.is_one_of(&["line", "lines"])) else { return (None, None) };
    let (found, used) = if let Some(first) = number(at + 1) {
        match number(at + 3).filter(|last| part.is(at + 2, &["to", "-"]) && *last >= first) {
            Some(last) => ((Some(first), Some(last)), at..at + 4),
            None => ((Some(first), Some(first)), at..at + 2),
        }
    } else if let Some((first, last)) = part.word(at + 1).and_then(|word| word.text.split_once('-')) {
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => ((Some(first), Some(last)), at..at + 2),
            _ => return (None, None),
        }
    } else if let Some(count) = at.checked_sub(1).and_then(number).filter(|_| at > 1 && part.is(at - 2, &["first"])) {
        ((None, Some(count)), at - 1..at)
    } else {
        return (None, None);
    };
    used.for_each(|at| part.use_at(at));
    found
}

/// A name in a programming language: letters, digits, `_`; no digit first.
fn is_identifier(name: &str) -> bool {
    name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}
